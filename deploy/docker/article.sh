#!/usr/bin/env bash
# "Faster TensorFlow models in Hugging Face Transformers", step 3: a Docker image with a model inside, then a container.
#
#   deploy/docker/article.sh my_model bert          (CPU)
#   deploy/docker/article.sh my_model bert latest-gpu
#
# my_model is a folder that `flowformers export` or save_pretrained(saved_model=True) wrote.
set -euo pipefail
model=${1:?the exported folder} name=${2:?a name for the model} tag=${3:-latest}
[ -f "$model/saved_model/1/saved_model.pb" ] || { echo "expected $model/saved_model/1/saved_model.pb; run: flowformers export CHECKPOINT $model" >&2; exit 1; }
gpus=()
case $tag in *gpu) gpus=(--gpus all) ;; esac

docker pull "tensorflow/serving:$tag"
docker run -d --name serving_base "tensorflow/serving:$tag"
trap 'docker rm -f serving_base' EXIT
docker cp "$model/saved_model" "serving_base:/models/$name"
docker commit --change "ENV MODEL_NAME $name" serving_base "my_$name"
docker rm -f serving_base
trap - EXIT
docker run -d -p 8501:8501 -p 8500:8500 "${gpus[@]}" --name "$name" "my_$name"
