/* Ask an exported classifier through TensorFlow's C API: no Python, no server.

   Build against the library in the tensorflow wheel (or libtensorflow's archive):

       TF=$(python -c 'import tensorflow, os; print(os.path.dirname(tensorflow.__file__))')
       gcc predict.c -o predict -I"$TF/include" "$TF/libtensorflow_cc.so.2" "$TF/libtensorflow_framework.so.2" \
           -Wl,-rpath,"$TF"
       ./predict my_model/saved_model/1 StatefulPartitionedCall_1 101 1045 2293 2009 102

   The second argument is the operation that `flowformers inspect` shows as the output's name, without its ":0". It prints
   one logit a line. An export that also takes text needs OP_LIBRARIES, see classify.c. */

#include <stdint.h>

#include "session.h"

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s SAVED_MODEL OUTPUT_OPERATION ID ...\n", argv[0]);
    return 2;
  }
  Model model = open_model(argv[1]);

  const char *names[] = {"serving_default_input_ids", "serving_default_attention_mask",
                         "serving_default_token_type_ids"};
  const int64_t shape[] = {1, argc - 3};
  TF_Output feeds[3];
  TF_Tensor *inputs[3];
  for (int n = 0; n < 3; ++n) {
    feeds[n] = find(&model, names[n]);
    inputs[n] = TF_AllocateTensor(TF_INT32, shape, 2, sizeof(int32_t) * shape[1]);
    int32_t *values = TF_TensorData(inputs[n]);
    for (int i = 0; i < shape[1]; ++i) values[i] = n == 0 ? atoi(argv[3 + i]) : n == 1;
  }
  TF_Output fetch = find(&model, argv[2]);
  TF_Tensor *logits = NULL;
  TF_SessionRun(model.session, NULL, feeds, inputs, 3, &fetch, &logits, 1, NULL, 0, NULL, model.status);
  check(&model, "run");

  const float *numbers = TF_TensorData(logits);
  for (size_t i = 0; i < TF_TensorByteSize(logits) / sizeof(float); ++i) printf("%.9g\n", numbers[i]);

  TF_DeleteTensor(logits);
  for (int n = 0; n < 3; ++n) TF_DeleteTensor(inputs[n]);
  close_model(&model);
  return 0;
}
