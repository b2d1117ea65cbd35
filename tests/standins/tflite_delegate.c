/* A TensorFlow Lite delegate for tests: takes operators, computes them, and can refuse in all the ways that count.
 *
 * Interface: external_delegate_interface.h; layouts: the first fields of tensorflow/lite/core/c/common.h (TensorFlow 2.19
 * to 2.21; they have stood in this order since 2.3). Options: `take` (how many of the first operators; default: all),
 * `widest` (none of more rows), `fail` (creating it fails with these words). It takes ADD of a tensor to itself, so that k of them are 2^k times.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct { int type; union { float *f; void *raw; } data; IntArray *dims; struct { float scale; int32_t zero; } params;
                 int allocation; size_t bytes; const void *rest[3]; int handle; _Bool stale, variable;
                 struct { int type; void *params; } quantization; void *sparsity; const IntArray *signature; } Tensor;
typedef struct { IntArray *inputs, *outputs, *intermediates, *temporaries; void *user_data, *builtin_data; } Node;
typedef struct { Delegate *delegate; IntArray *nodes_to_replace, *input_tensors, *output_tensors; } Params;
typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *registration_external;
    void *(*async_kernel)(Context *, Node *);
    uint64_t inplace_operator;
} Registration;
struct Context {
    size_t tensors_size;
    int (*GetExecutionPlan)(Context *, IntArray **);
    Tensor *tensors;
    void *impl_;
    int (*ResizeTensor)(Context *, Tensor *, IntArray *);
    void (*ReportError)(Context *, const char *, ...);
    int (*AddTensors)(Context *, int, int *);
    int (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
    int (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *, Delegate *);
};
struct Delegate {
    void *data_;
    int (*Prepare)(Context *, Delegate *);
    int (*CopyFromBufferHandle)(Context *, Delegate *, int, Tensor *);
    int (*CopyToBufferHandle)(Context *, Delegate *, int, Tensor *);
    void (*FreeBufferHandle)(Context *, Delegate *, int *);
    int64_t flags;
    void *opaque_delegate_builder;
    int take, widest;
};

static void *init(Context *context, const char *buffer, size_t length) {
    return (void *)(intptr_t)((const Params *)buffer)->nodes_to_replace->size;
}
static void release(Context *context, void *buffer) {}
static int prepare(Context *context, Node *node) { return 0; }
static int invoke(Context *context, Node *node) {
    const Tensor *from = &context->tensors[node->inputs->data[0]];
    Tensor *to = &context->tensors[node->outputs->data[0]];
    float factor = (float)(1 << (int)(intptr_t)node->user_data);
    for (size_t i = 0; i < to->bytes / sizeof(float); i++) to->data.f[i] = factor * from->data.f[i];
    return 0;
}

static int choose(Context *context, Delegate *delegate) {
    IntArray *plan;
    if (context->GetExecutionPlan(context, &plan)) return 1;
    IntArray *chosen = malloc(sizeof(int) * (size_t)(plan->size + 1));
    chosen->size = 0;
    for (int i = 0; i < plan->size && chosen->size < delegate->take; i++) {
        Node *node;
        Registration *kind;
        int number = plan->data[i];
        if (context->GetNodeAndRegistration(context, number, &node, &kind)) return 1;
        if (kind->builtin_code == 0 && node->inputs->size == 2 && node->inputs->data[0] == node->inputs->data[1]
            && context->tensors[node->inputs->data[0]].dims->data[0] <= delegate->widest)
            chosen->data[chosen->size++] = number; /* 0: ADD */
    }
    Registration kernel = {init, release, prepare, invoke, 0, 0, "TestDelegate", 1, 0, 0, 0};
    int status = chosen->size ? context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, chosen, delegate) : 0;
    free(chosen);
    return status;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    Delegate *made = calloc(1, sizeof *made);
    made->Prepare = choose;
    made->take = made->widest = 1 << 20;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "take")) made->take = atoi(values[i]);
        else if (!strcmp(keys[i], "widest")) made->widest = atoi(values[i]);
        else {
            report(strcmp(keys[i], "fail") ? "unknown option" : values[i]);
            free(made);
            return 0;
        }
    }
    return made;
}
void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
