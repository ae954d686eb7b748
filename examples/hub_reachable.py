"""Exit with 0 if the Hugging Face Hub answers within three seconds and HF_HUB_OFFLINE is not set."""

import socket
import sys

from huggingface_hub import constants

if constants.HF_HUB_OFFLINE:
    sys.exit(1)
try:
    socket.create_connection((constants.ENDPOINT.split("://")[-1].split("/")[0], 443), timeout=3).close()
except OSError:
    sys.exit(1)
