// Text in, label out over gRPC. The packages serving and tensorflow are generated from TensorFlow Serving's .proto
// files by generate.sh.
//
//	./generate.sh && go mod tidy
//	flowformers serve my_model --model_name bert
//	go run . "I love it."
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	serving "example.com/flowformers/gen/serving"
	tensorflow "example.com/flowformers/gen/tensorflow"
)

func main() {
	address := flag.String("address", "localhost:8500", "the server's gRPC address")
	model := flag.String("model", "bert", "the model's name")
	flag.Parse()
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := serving.NewPredictionServiceClient(connection).Predict(ctx, request(*model, flag.Args()))
	if err != nil {
		log.Fatal(err)
	}
	labels, scores := response.Outputs["label"].StringVal, response.Outputs["score"].FloatVal
	for row := range labels {
		fmt.Printf("%s\t%v\n", labels[row], scores[row])
	}
}

func request(model string, texts []string) *serving.PredictRequest {
	values := make([][]byte, len(texts))
	for row, text := range texts {
		values[row] = []byte(text)
	}
	batch := &tensorflow.TensorProto{
		Dtype: tensorflow.DataType_DT_STRING,
		TensorShape: &tensorflow.TensorShapeProto{
			Dim: []*tensorflow.TensorShapeProto_Dim{{Size: int64(len(texts))}},
		},
		StringVal: values,
	}
	return &serving.PredictRequest{
		ModelSpec:    &serving.ModelSpec{Name: model, SignatureName: "text"},
		Inputs:       map[string]*tensorflow.TensorProto{"text": batch},
		OutputFilter: []string{"label", "score"},
	}
}
