import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.util.concurrent.TimeUnit;
import tensorflow.Tensor.TensorProto;
import tensorflow.TensorShape.TensorShapeProto;
import tensorflow.Types.DataType;
import tensorflow.serving.Model.ModelSpec;
import tensorflow.serving.Predict.PredictRequest;
import tensorflow.serving.Predict.PredictResponse;
import tensorflow.serving.PredictionServiceGrpc;

/**
 * Text in, label out over gRPC. The classes are generated from flowformers' copy of the .proto files (see pom.xml);
 * with TensorFlow's own files, those of package tensorflow are in org.tensorflow.framework.
 *
 * <pre>
 *     flowformers serve my_model --model_name bert
 *     mvn -q compile exec:java -Dexec.mainClass=GrpcClient -Dexec.args="'I love it.'"
 * </pre>
 */
public final class GrpcClient {
  public static void main(String[] arguments) throws InterruptedException {
    String address = arguments.length > 1 ? arguments[1] : "localhost:8500";
    String model = arguments.length > 2 ? arguments[2] : "bert";
    ManagedChannel channel = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
    try {
      PredictResponse response =
          PredictionServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(30, TimeUnit.SECONDS)
              .predict(request(model, arguments[0]));
      String label = response.getOutputsOrThrow("label").getStringVal(0).toStringUtf8();
      System.out.println(label + "\t" + response.getOutputsOrThrow("score").getFloatVal(0));
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static PredictRequest request(String model, String text) {
    TensorProto batch =
        TensorProto.newBuilder()
            .setDtype(DataType.DT_STRING)
            .setTensorShape(TensorShapeProto.newBuilder().addDim(TensorShapeProto.Dim.newBuilder().setSize(1)))
            .addStringVal(ByteString.copyFromUtf8(text))
            .build();
    return PredictRequest.newBuilder()
        .setModelSpec(ModelSpec.newBuilder().setName(model).setSignatureName("text"))
        .putInputs("text", batch)
        .addOutputFilter("label")
        .addOutputFilter("score")
        .build();
  }
}
