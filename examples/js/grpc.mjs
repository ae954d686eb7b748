// Text in, label out over gRPC.
//
//     npm install
//     node grpc.mjs "I love it." PROTOS
//
// PROTOS: the folder of TensorFlow Serving's .proto files; flowformers has a copy:
//     python -c 'import flowformers.wire as w; print(w.__path__[0] + "/protos")'

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [text, protos, address = "localhost:8500", model = "bert"] = process.argv.slice(2);

const definition = protoLoader.loadSync("tensorflow_serving/apis/prediction_service.proto", { includeDirs: [protos] });
const { PredictionService } = grpc.loadPackageDefinition(definition).tensorflow.serving;
const service = new PredictionService(address, grpc.credentials.createInsecure());

const request = {
  modelSpec: { name: model, signatureName: "text" },
  inputs: { text: { dtype: "DT_STRING", tensorShape: { dim: [{ size: 1 }] }, stringVal: [Buffer.from(text)] } },
  outputFilter: ["label", "score"],
};

service.predict(request, { deadline: Date.now() + 30_000 }, (error, response) => {
  service.close();
  if (error) throw error;
  const { label, score } = response.outputs;
  console.log(`${label.stringVal[0].toString()}\t${score.floatVal[0]}`);
});
