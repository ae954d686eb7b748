"""Our server and models on other people's engines. What is for Docker, Kubernetes and KServe is in /deploy."""
