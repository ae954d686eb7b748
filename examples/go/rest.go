// Text in, label out over REST, with the standard library alone.
//
//	flowformers serve my_model --model_name bert
//	go run rest.go "I love it."
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"
)

type request struct {
	SignatureName string   `json:"signature_name"`
	Instances     []string `json:"instances"`
}

type answer struct {
	Predictions []struct {
		Label string  `json:"label"`
		Score float64 `json:"score"`
	} `json:"predictions"`
	Error string `json:"error"`
}

func main() {
	address := flag.String("address", "http://localhost:8501", "the server's REST address")
	model := flag.String("model", "bert", "the model's name")
	flag.Parse()
	found, err := classify(*address, *model, flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range found.Predictions {
		fmt.Printf("%s\t%v\n", row.Label, row.Score)
	}
}

func classify(address, model string, texts []string) (*answer, error) {
	body, err := json.Marshal(request{SignatureName: "text", Instances: texts})
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second}
	url := fmt.Sprintf("%s/v1/models/%s:predict", address, model)
	response, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	found := &answer{}
	if err := json.Unmarshal(content, found); err != nil {
		return nil, fmt.Errorf("%s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, found.Error)
	}
	return found, nil
}
