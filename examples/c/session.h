/* What the programs beside it share: errors that end the program, a SavedModel in a session. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

typedef struct {
  TF_Status *status;
  TF_Graph *graph;
  TF_Session *session;
} Model;

static void check(const Model *model, const char *what) {
  if (TF_GetCode(model->status) != TF_OK) {
    fprintf(stderr, "%s: %s\n", what, TF_Message(model->status));
    exit(1);
  }
}

/* $OP_LIBRARIES, separated by colons: ops that are not TensorFlow's own, such as those of tensorflow_text. */
static void load_ops(const Model *model) {
  const char *listed = getenv("OP_LIBRARIES");
  if (listed == NULL) return;
  char *paths = strdup(listed);
  for (char *path = strtok(paths, ":"); path != NULL; path = strtok(NULL, ":")) {
    TF_LoadLibrary(path, model->status);
    check(model, path);
  }
  free(paths);
}

static Model open_model(const char *folder) {
  Model model = {TF_NewStatus(), TF_NewGraph(), NULL};
  load_ops(&model);
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  model.session =
      TF_LoadSessionFromSavedModel(options, NULL, folder, tags, 1, model.graph, NULL, model.status);
  check(&model, folder);
  TF_DeleteSessionOptions(options);
  return model;
}

static TF_Output find(const Model *model, const char *name) {
  TF_Output output = {TF_GraphOperationByName(model->graph, name), 0};
  if (output.oper == NULL) {
    fprintf(stderr, "expected an operation %s in the graph; see flowformers inspect\n", name);
    exit(1);
  }
  return output;
}

static void close_model(Model *model) {
  TF_CloseSession(model->session, model->status);
  TF_DeleteSession(model->session, model->status);
  TF_DeleteGraph(model->graph);
  TF_DeleteStatus(model->status);
}
