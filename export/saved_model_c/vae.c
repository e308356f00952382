/* A VAE's SavedModel in C, on TensorFlow's C API: the loader that TensorFlow Serving uses.

       vae exported/saved_model/1 generate 7 16 images.f32    16 pictures of seed 7, raw float32
       vae exported/saved_model/1 decode z.f32 images.f32     pictures of latents, raw float32 in

   Signatures go by name; the graph's own names for their inputs and outputs are read from the
   SavedModel's description, a protocol buffer. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "vae: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* Protocol buffers: a message is a row of fields, each with a number and, if it is of length-delimited
   type (2), bytes that are a string or another message. */
typedef struct {
  const uint8_t *at, *end;
} Bytes;

static uint64_t varint(Bytes *message) {
  uint64_t value = 0;
  for (int shift = 0; message->at < message->end && shift < 64; shift += 7) {
    uint8_t byte = *message->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  fail("the SavedModel's description is damaged", 0);
  return 0;
}

/* The next length-delimited field of that number; false at the end of the message. */
static bool next_field(Bytes *message, uint64_t number, Bytes *field) {
  while (message->at < message->end) {
    uint64_t tag = varint(message), size = 0;
    switch (tag & 7) {
      case 0: varint(message); continue;
      case 1: size = 8; break;
      case 2: size = varint(message); break;
      case 5: size = 4; break;
      default: fail("the SavedModel's description is damaged", 0);
    }
    if (size > (uint64_t)(message->end - message->at))
      fail("the SavedModel's description is damaged", 0);
    field->at = message->at, field->end = message->at += size;
    if ((tag & 7) == 2 && tag >> 3 == number) return true;
  }
  return false;
}

/* The value of a key in a map: a repeated field of entries, with the key as 1 and the value as 2. */
static bool look_up(Bytes message, uint64_t map, const char *key, Bytes *value) {
  Bytes entry, name, within;
  while (next_field(&message, map, &entry)) {
    within = entry;
    if (!next_field(&within, 1, &name)) continue;
    if ((size_t)(name.end - name.at) != strlen(key) || memcmp(name.at, key, strlen(key))) continue;
    within = entry;
    return next_field(&within, 2, value);
  }
  return false;
}

enum { SIGNATURES = 5, INPUTS = 1, OUTPUTS = 2, TENSOR_NAME = 1 }; /* of MetaGraphDef, SignatureDef */

static TF_Output tensor(TF_Graph *graph, Bytes signature, uint64_t which, const char *key) {
  Bytes info, name;
  char text[512];
  if (!look_up(signature, which, key, &info) || !next_field(&info, TENSOR_NAME, &name))
    fail("the signature has no such input or output", key);
  size_t size = (size_t)(name.end - name.at);
  if (size >= sizeof text) fail("a name is too long", key);
  memcpy(text, name.at, size), text[size] = 0;
  char *colon = strrchr(text, ':');
  if (!colon) fail("not the name of a tensor", text);
  *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, text), atoi(colon + 1)};
  if (!found.oper) fail("the graph has no operation", text);
  return found;
}

static TF_Tensor *new_tensor(TF_DataType type, const int64_t *shape, int rank, const void *data,
                             size_t bytes) {
  TF_Tensor *made = TF_AllocateTensor(type, shape, rank, bytes);
  memcpy(TF_TensorData(made), data, bytes);
  return made;
}

static TF_Tensor *read_latents(TF_Graph *graph, TF_Output z, const char *path) {
  TF_Status *status = TF_NewStatus();
  int64_t shape[2];
  TF_GraphGetTensorShape(graph, z, shape, 2, status);
  check(status, "z is not [rows, latent_dim]");
  FILE *file = fopen(path, "rb");
  if (!file) fail("cannot read", path);
  fseek(file, 0, SEEK_END);
  size_t bytes = (size_t)ftell(file), row = 4 * (size_t)shape[1];
  rewind(file);
  if (bytes == 0 || bytes % row) {
    fprintf(stderr, "vae: %s holds %zu bytes; a row of latents is %zu\n", path, bytes, row);
    exit(1);
  }
  shape[0] = (int64_t)(bytes / row);
  TF_Tensor *made = TF_AllocateTensor(TF_FLOAT, shape, 2, bytes);
  if (fread(TF_TensorData(made), 1, bytes, file) != bytes) fail("cannot read", path);
  fclose(file);
  for (size_t i = 0; i < bytes / 4; i++)
    if (!isfinite(((float *)TF_TensorData(made))[i])) fail("NaN or infinite numbers", path);
  return made;
}

static long long integer(const char *text, long long least, long long most, const char *what) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (*end || end == text || errno || value < least || value > most) fail(what, text);
  return value;
}

int main(int argc, char **argv) {
  bool generates = argc == 6 && !strcmp(argv[2], "generate");
  if (!generates && !(argc == 5 && !strcmp(argv[2], "decode")))
    fail("usage", "vae FOLDER generate SEED NUMBER OUTPUT | vae FOLDER decode LATENTS OUTPUT");

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *description = TF_NewBuffer();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph,
                                                     description, status);
  check(status, argv[1]);
  Bytes meta = {description->data, (const uint8_t *)description->data + description->length};
  Bytes signature;
  if (!look_up(meta, SIGNATURES, argv[2], &signature))
    fail("the SavedModel has no such signature", argv[2]);

  TF_Output inputs[2], mean = tensor(graph, signature, OUTPUTS, "mean");
  TF_Tensor *values[2], *result = NULL;
  int number = 0;
  if (generates) {
    long long seed = integer(argv[3], LLONG_MIN, LLONG_MAX, "the seed has to be an integer of 64 bits");
    int32_t words[2] = {(int32_t)(uint32_t)seed, (int32_t)(uint32_t)((uint64_t)seed >> 32)};
    int32_t samples = (int32_t)integer(argv[4], 1, INT32_MAX, "the number has to be an integer of at least 1");
    int64_t two = 2;
    inputs[number] = tensor(graph, signature, INPUTS, "seed");
    values[number++] = new_tensor(TF_INT32, &two, 1, words, sizeof words);
    inputs[number] = tensor(graph, signature, INPUTS, "num_samples");
    values[number++] = new_tensor(TF_INT32, NULL, 0, &samples, sizeof samples);
  } else {
    inputs[number] = tensor(graph, signature, INPUTS, "z");
    values[number] = read_latents(graph, inputs[number], argv[3]);
    number++;
  }
  TF_SessionRun(session, NULL, inputs, values, number, &mean, &result, 1, NULL, 0, NULL, status);
  check(status, argv[2]);

  const char *path = argv[argc - 1];
  char *part = malloc(strlen(path) + 6); /* takes the place of the output when it is whole */
  if (!part) fail("out of memory", 0);
  strcat(strcpy(part, path), ".part");
  FILE *file = fopen(part, "wb");
  if (!file) fail("cannot write", path);
  size_t bytes = TF_TensorByteSize(result);
  bool failed = fwrite(TF_TensorData(result), 1, bytes, file) != bytes;
  if (fclose(file) || failed || rename(part, path)) {
    remove(part);
    fail("cannot write", path);
  }
  printf("%s: [", path);
  for (int i = 0; i < TF_NumDims(result); i++)
    printf("%s%lld", i ? ", " : "", (long long)TF_Dim(result, i));
  printf("] float32\n");
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  return 0;
}
