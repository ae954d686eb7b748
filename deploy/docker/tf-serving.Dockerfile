# TensorFlow Serving with an exported model inside: the article's run, cp and commit as one file.
#
#   docker build -f deploy/docker/tf-serving.Dockerfile --build-arg MODEL_NAME=bert -t bert-serving my_model
#   docker run -p 8500:8500 -p 8501:8501 bert-serving
#
# The context is a folder that `flowformers export` wrote. For a GPU: --build-arg TAG=2.20.0-gpu.
ARG TAG=2.20.0
FROM tensorflow/serving:${TAG}
ARG MODEL_NAME=model
COPY saved_model /models/${MODEL_NAME}
ENV MODEL_NAME=${MODEL_NAME}
