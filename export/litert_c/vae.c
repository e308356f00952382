/* A VAE in C on LiteRT: generate and decode by the names of their signatures.

       vae model.tflite                           what the file holds
       vae model.tflite generate 7 grid.pgm       the pictures of seed 7, as one picture
       vae model.tflite generate 7 images.f32     the same as raw float32 numbers
       vae model.tflite decode z.f32 images.f32   pictures of latents, raw float32 numbers in

   LiteRT's Python package brings the library but no headers: what is used of its C API is declared
   here. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LiteRT's C API, version 2.3. */
typedef struct Environment *Environment;
typedef struct Model *Model;
typedef struct Options *Options;
typedef struct CompiledModel *CompiledModel;
typedef struct Signature *Signature;
typedef struct Tensor *Tensor;
typedef struct Buffer *Buffer;
typedef struct Requirements *Requirements;
enum { FLOAT32 = 1, INT32 = 2 };
enum { READ = 0, WRITE = 1 };
enum { CPU = 1 };
typedef struct {
  int element_type;
  struct {
    unsigned rank : 7, has_strides : 1;
    int32_t size[8];
    uint32_t strides[8];
  } layout;
} TensorType;

int LiteRtCreateEnvironment(int, const void *, Environment *);
int LiteRtCreateModelFromFile(Environment, const char *, Model *);
int LiteRtCreateOptions(Options *);
int LiteRtSetOptionsHardwareAccelerators(Options, int);
int LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel *);
int LiteRtGetNumModelSignatures(Model, size_t *);
int LiteRtGetModelSignature(Model, size_t, Signature *);
int LiteRtGetSignatureKey(Signature, const char **);
int LiteRtGetNumSignatureInputs(Signature, size_t *);
int LiteRtGetNumSignatureOutputs(Signature, size_t *);
int LiteRtGetSignatureInputName(Signature, size_t, const char **);
int LiteRtGetSignatureOutputName(Signature, size_t, const char **);
int LiteRtGetSignatureInputTensorByIndex(Signature, size_t, Tensor *);
int LiteRtGetSignatureOutputTensorByIndex(Signature, size_t, Tensor *);
int LiteRtGetRankedTensorType(Tensor, TensorType *);
int LiteRtGetCompiledModelInputBufferRequirements(CompiledModel, size_t, size_t, Requirements *);
int LiteRtGetCompiledModelOutputBufferRequirements(CompiledModel, size_t, size_t, Requirements *);
int LiteRtCreateManagedTensorBufferFromRequirements(Environment, const TensorType *, Requirements,
                                                    Buffer *);
int LiteRtLockTensorBuffer(Buffer, void **, int);
int LiteRtUnlockTensorBuffer(Buffer);
int LiteRtRunCompiledModel(CompiledModel, size_t, size_t, Buffer *, size_t, Buffer *);

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "vae: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
  exit(1);
}

static void check(int status, const char *what) {
  if (status) fail(what, "LiteRT refuses");
}

static size_t count(const TensorType *type) {
  size_t n = 1;
  for (unsigned i = 0; i < type->layout.rank; i++) n *= (size_t)type->layout.size[i];
  return n;
}

static void print_type(const char *name, const TensorType *type) {
  printf(" %s[", name);
  for (unsigned i = 0; i < type->layout.rank; i++)
    printf("%s%d", i ? ", " : "", type->layout.size[i]);
  printf("]");
}

static void list(Model model) {
  size_t signatures, number;
  check(LiteRtGetNumModelSignatures(model, &signatures), "signatures");
  for (size_t s = 0; s < signatures; s++) {
    Signature signature;
    Tensor tensor;
    TensorType type;
    const char *name;
    check(LiteRtGetModelSignature(model, s, &signature), "signature");
    check(LiteRtGetSignatureKey(signature, &name), "signature");
    printf("%s:", name);
    check(LiteRtGetNumSignatureInputs(signature, &number), name);
    for (size_t i = 0; i < number; i++) {
      check(LiteRtGetSignatureInputName(signature, i, &name), "input");
      check(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor), name);
      check(LiteRtGetRankedTensorType(tensor, &type), name);
      print_type(name, &type);
    }
    printf(" ->");
    check(LiteRtGetNumSignatureOutputs(signature, &number), name);
    for (size_t i = 0; i < number; i++) {
      check(LiteRtGetSignatureOutputName(signature, i, &name), "output");
      check(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor), name);
      check(LiteRtGetRankedTensorType(tensor, &type), name);
      print_type(name, &type);
    }
    printf("\n");
  }
}

static size_t find(Model model, const char *wanted, Signature *signature) {
  size_t number;
  const char *key;
  check(LiteRtGetNumModelSignatures(model, &number), "signatures");
  for (size_t s = 0; s < number; s++) {
    check(LiteRtGetModelSignature(model, s, signature), "signature");
    check(LiteRtGetSignatureKey(*signature, &key), "signature");
    if (!strcmp(key, wanted)) return s;
  }
  fail("the file has no such signature", wanted);
  return 0;
}

/* Runs a signature of one input on as many rows as `given` holds, and returns the output `mean`. */
static float *run(Environment environment, Model model, const char *name, const void *given,
                  size_t given_bytes, TensorType *output_type, size_t *runs) {
  Options options;
  CompiledModel compiled;
  check(LiteRtCreateOptions(&options), "options");
  check(LiteRtSetOptionsHardwareAccelerators(options, CPU), "options");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), "compiling");

  Signature signature;
  size_t index = find(model, name, &signature), inputs, outputs, mean = 0;
  check(LiteRtGetNumSignatureInputs(signature, &inputs), name);
  check(LiteRtGetNumSignatureOutputs(signature, &outputs), name);
  if (inputs != 1) fail("a conditional model: this program gives one input only", name);

  Tensor tensor;
  TensorType input_type;
  Requirements requirements;
  Buffer input, output[8];
  if (outputs > 8) fail("too many outputs", name);
  check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), name);
  check(LiteRtGetRankedTensorType(tensor, &input_type), name);
  check(LiteRtGetCompiledModelInputBufferRequirements(compiled, index, 0, &requirements), name);
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &input_type, requirements,
                                                        &input), name);
  for (size_t i = 0; i < outputs; i++) {
    const char *key;
    TensorType type;
    check(LiteRtGetSignatureOutputName(signature, i, &key), name);
    check(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor), name);
    check(LiteRtGetRankedTensorType(tensor, &type), name);
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, index, i, &requirements), name);
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements,
                                                          &output[i]), name);
    if (!strcmp(key, "mean")) mean = i, *output_type = type;
  }
  if (output_type->element_type != FLOAT32) fail("an integer file: export one with real outputs", 0);

  for (unsigned i = 0; i < input_type.layout.rank; i++)
    if (input_type.layout.size[i] < 1) fail("the file takes any number of rows: export it with --batch-size 1", 0);
  size_t input_bytes = 4 * count(&input_type), output_bytes = 4 * count(output_type);
  if (given_bytes == 0 || given_bytes % input_bytes) {
    fprintf(stderr, "vae: %s takes a multiple of %zu bytes; %zu were given\n", name, input_bytes,
            given_bytes);
    exit(1);
  }
  *runs = given_bytes / input_bytes;
  float *result = malloc(*runs * output_bytes);
  if (!result) fail("out of memory", 0);
  for (size_t i = 0; i < *runs; i++) {
    void *memory;
    check(LiteRtLockTensorBuffer(input, &memory, WRITE), "input");
    memcpy(memory, (const char *)given + i * input_bytes, input_bytes);
    check(LiteRtUnlockTensorBuffer(input), "input");
    check(LiteRtRunCompiledModel(compiled, index, 1, &input, outputs, output), "running");
    check(LiteRtLockTensorBuffer(output[mean], &memory, READ), "output");
    memcpy((char *)result + i * output_bytes, memory, output_bytes);
    check(LiteRtUnlockTensorBuffer(output[mean]), "output");
  }
  return result;
}

static void *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("cannot read", path);
  fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  void *content = malloc(*bytes + 1);
  if (!content || fread(content, 1, *bytes, file) != *bytes) fail("cannot read", path);
  fclose(file);
  return content;
}

static uint32_t crc32(const unsigned char *bytes, size_t n) {
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < n; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

/* LiteRT maps a file and trusts it; a damaged one would crash it. The file's metadata hold the CRC-32
   of all its bytes, with zeros in the place of the checksum. */
static void check_intact(const char *path) {
  static const char key[] = "\"keras_vae_crc32\": \"";
  const size_t length = sizeof key - 1;
  size_t bytes;
  unsigned char *content = read_file(path, &bytes);
  for (size_t i = 0; i + length + 8 < bytes; i++) {
    if (memcmp(content + i, key, length)) continue;
    char stated[9] = "", *digits = (char *)content + i + length;
    memcpy(stated, digits, 8), memset(digits, '0', 8);
    if (strtoul(stated, 0, 16) != crc32(content, bytes))
      fail("the file is damaged; export it again, or fetch it anew", path);
    free(content);
    return;
  }
  fail("not a LiteRT file that keras_vae exported, or cut short", path);
}

/* The images, [n, height, width, 1] with values in [0, 1], side by side in about a square. */
static void write_pgm(FILE *file, const float *images, int n, int height, int width) {
  int columns = (int)ceil(sqrt(n)), rows = (n + columns - 1) / columns;
  fprintf(file, "P5\n%d %d\n255\n", columns * width, rows * height);
  for (int y = 0; y < rows * height; y++)
    for (int x = 0; x < columns * width; x++) {
      int image = y / height * columns + x / width;
      float value = image < n ? images[(image * height + y % height) * width + x % width] : 0;
      fputc((int)lrintf(255 * fminf(fmaxf(value, 0), 1)), file);
    }
}

int main(int argc, char **argv) {
  Environment environment;
  Model model;
  if (argc != 2 && argc != 5)
    fail("usage", "vae FILE [generate SEED OUTPUT | decode LATENTS OUTPUT]");
  check_intact(argv[1]);
  check(LiteRtCreateEnvironment(0, 0, &environment), "environment");
  if (LiteRtCreateModelFromFile(environment, argv[1], &model)) fail("not a LiteRT file", argv[1]);
  if (argc == 2) {
    list(model);
    return 0;
  }
  void *given;
  size_t bytes, runs;
  Signature signature;
  find(model, argv[2], &signature);
  if (!strcmp(argv[2], "generate")) {
    char *end;
    errno = 0;
    long long seed = strtoll(argv[3], &end, 10);
    if (*end || end == argv[3] || errno) fail("the seed has to be an integer of 64 bits", argv[3]);
    static uint32_t words[2];
    words[0] = (uint32_t)seed, words[1] = (uint32_t)((uint64_t)seed >> 32);
    given = words, bytes = sizeof words;
  } else {
    given = read_file(argv[3], &bytes);
    for (size_t i = 0; i < bytes / 4; i++)
      if (!isfinite(((float *)given)[i])) fail("NaN or infinite numbers", argv[3]);
  }
  TensorType type = {0};
  float *images = run(environment, model, argv[2], given, bytes, &type, &runs);
  const char *suffix = strrchr(argv[4], '.');
  int is_picture = suffix && !strcmp(suffix, ".pgm");
  if (is_picture && (type.layout.rank != 4 || type.layout.size[3] != 1))
    fail("a .pgm holds grey images, and the file gives others: write .f32", argv[4]);

  char *part = malloc(strlen(argv[4]) + 6); /* takes the place of the output when it is whole */
  if (!part) fail("out of memory", 0);
  strcat(strcpy(part, argv[4]), ".part");
  FILE *file = fopen(part, "wb");
  if (!file) fail("cannot write", argv[4]);
  int failed = 0;
  if (is_picture) {
    int n = (int)runs * type.layout.size[0];
    write_pgm(file, images, n, type.layout.size[1], type.layout.size[2]);
  } else {
    failed = fwrite(images, 4, runs * count(&type), file) != runs * count(&type);
  }
  failed = ferror(file) || failed;
  if (fclose(file) || failed || rename(part, argv[4])) {
    remove(part);
    fail("cannot write", argv[4]);
  }
  return 0;
}
