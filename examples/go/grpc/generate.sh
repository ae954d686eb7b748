#!/bin/sh
# Make gen/tensorflow and gen/serving from flowformers' copy of TensorFlow Serving's .proto files.
# Needs protoc and its two plugins in the PATH:
#   go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.34.1
#   go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0
set -eu
cd "$(dirname "$0")"
protos=../../../src/flowformers/wire/protos
module=example.com/flowformers
names="classification get_model_metadata inference input model predict prediction_service regression"
serving=$(for name in $names; do echo "tensorflow_serving/apis/$name.proto"; done)
core=$(cd "$protos" && find tensorflow -name '*.proto')
packages=$(
  for file in $serving; do echo "M$file=$module/gen/serving"; done
  for file in $core; do echo "M$file=$module/gen/tensorflow"; done
)
options=$(echo "$packages" | paste -sd, -)
# shellcheck disable=SC2086
protoc -I"$protos" --go_out=. --go_opt="module=$module,$options" \
  --go-grpc_out=. --go-grpc_opt="module=$module,$options" $serving $core
