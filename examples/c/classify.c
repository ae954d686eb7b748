/* Text in, label out through TensorFlow's C API: no Python, no server.

       TF=$(python -c 'import tensorflow, os; print(os.path.dirname(tensorflow.__file__))')
       TEXT=$(python -c 'import tensorflow_text, os; print(os.path.dirname(tensorflow_text.__file__))')/python/ops
       gcc classify.c -o classify -I"$TF/include" "$TF/libtensorflow_cc.so.2" "$TF/libtensorflow_framework.so.2" \
           -Wl,-rpath,"$TF"
       export OP_LIBRARIES="$TEXT/_fast_bert_normalizer.so:$TEXT/_fast_wordpiece_tokenizer.so"
       ./classify my_model/saved_model/1 StatefulPartitionedCall_3 "I love it."

   The second argument is the operation of the outputs of signature `text` in `flowformers inspect`, without its ":0";
   its outputs are in the order of their names, so the label comes first. OP_LIBRARIES lists the ops that tensorflow_text
   adds to TensorFlow: TensorFlow Serving has them built in, the C library has not. A byte-level BPE tokenizer needs
   _sentencepiece_tokenizer.so instead. */

#include <tensorflow/c/tf_tstring.h>

#include "session.h"

static TF_Tensor *batch_of_one(const char *text) {
  const int64_t shape[] = {1};
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString *value = TF_TensorData(tensor);
  TF_StringInit(value);
  TF_StringCopy(value, text, strlen(text));
  return tensor;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s SAVED_MODEL OUTPUT_OPERATION TEXT\n", argv[0]);
    return 2;
  }
  Model model = open_model(argv[1]);

  TF_Output feed = find(&model, "text_text"), fetch = find(&model, argv[2]);
  TF_Tensor *input = batch_of_one(argv[3]), *label = NULL;
  TF_SessionRun(model.session, NULL, &feed, &input, 1, &fetch, &label, 1, NULL, 0, NULL, model.status);
  check(&model, "run");
  const TF_TString *value = TF_TensorData(label);
  printf("%.*s\n", (int)TF_StringGetSize(value), TF_StringGetDataPointer(value));

  TF_DeleteTensor(label);
  TF_DeleteTensor(input);
  close_model(&model);
  return 0;
}
