/* The lowest-overhead loop there is: a standalone C program on the library in a runtime's wheel, as an application in
 * C or C++ runs it. It shares no code with WhichPU; harness_tax.py compiles it and holds the worker's loops against it.
 *
 *     tight_loop onnxruntime|openvino LIBRARY MODEL INPUTS THREADS NAME=1x64... -- NAME=1x8...
 *
 * INPUTS holds the float32 inputs one after the other; shapes of inputs, then of outputs, are float32 too. One request
 * a line on stdin, one JSON answer a line on stdout: "warm" (until steady) or "block OPENING_NS STEADY_NS" (the opening
 * inferences are run and left out), as tight_loop.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define MOST 1000 /* inferences in a block, as the worker's */
#define OPENING_LEAST 2
#define STEADY_LEAST 20
#define TENSORS 8

struct tensor {
    char *name;
    int64_t shape[8], rank, bytes;
    void *data;
};

static struct tensor inputs[TENSORS], outputs[TENSORS];
static int input_count, output_count;
static uint64_t latencies[MOST];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why ? why : "failed");
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* ------------------------------------------------------------ ONNX Runtime */

typedef void *(*ort_call)(); /* any arguments; returns a status, null for success */
static const ort_call *ort;  /* the table of functions, as ordered in onnxruntime_c_api.h */
enum {
    CREATE_ENV = 3, CREATE_SESSION = 7, CREATE_OPTIONS = 10, SET_SEVERITY = 22, SET_GRAPH = 23, SET_INTRA = 24,
    SET_INTER = 25, CREATE_RUN_OPTIONS = 39, CREATE_TENSOR = 49, CREATE_MEMORY = 69, RUN = 133, CREATE_BINDING = 134,
    BIND_INPUT = 136, BIND_OUTPUT = 137
};
static void *session, *run_options, *binding;

static void ort_check(void *status, const char *what) {
    if (status)
        fail(what, ((const char *(*)(void *))ort[2])(status));
}

static void ort_bind(struct tensor *tensors, int count, int place, void *memory) {
    for (struct tensor *tensor = tensors; tensor < tensors + count; tensor++) {
        void *value;
        ort_check(((void *(*)(void *, void *, size_t, const int64_t *, size_t, int, void **))ort[CREATE_TENSOR])(
                      memory, tensor->data, tensor->bytes, tensor->shape, tensor->rank, 1, &value), "tensor");
        ort_check(ort[place](binding, tensor->name, value), "bind");
    }
}

static void ort_open(void *library, const char *model, int threads) {
    const void *(*base)(void) = (const void *(*)(void))dlsym(library, "OrtGetApiBase");
    if (!base)
        fail("OrtGetApiBase", dlerror());
    ort = (*(const ort_call *(*const *)(uint32_t))base())(16);
    void *environment, *options, *memory;
    ort_check(ort[CREATE_ENV](3, "tight", &environment), "environment");
    ort_check(ort[CREATE_OPTIONS](&options), "options");
    ort_check(ort[SET_INTRA](options, threads), "intra");
    ort_check(ort[SET_INTER](options, 1), "inter");
    ort_check(ort[SET_SEVERITY](options, 3), "severity");
    ort_check(ort[SET_GRAPH](options, 99), "graph");
    ort_check(ort[CREATE_SESSION](environment, model, options, &session), "session");
    ort_check(ort[CREATE_RUN_OPTIONS](&run_options), "run options");
    ort_check(ort[CREATE_MEMORY](1, 0, &memory), "memory");
    ort_check(ort[CREATE_BINDING](session, &binding), "binding");
    ort_bind(inputs, input_count, BIND_INPUT, memory);
    ort_bind(outputs, output_count, BIND_OUTPUT, memory);
}

static void ort_loop(int64_t count) {
    void *(*run)(void *, void *, void *) = (void *(*)(void *, void *, void *))ort[RUN];
    for (int64_t index = 0; index < count; index++) {
        int64_t began = now_ns();
        void *status = run(session, run_options, binding);
        latencies[index] = now_ns() - began;
        if (status)
            ort_check(status, "run");
    }
}

/* ------------------------------------------------------------ OpenVINO */

struct ov_shape {
    int64_t rank, *sizes;
};
static void *openvino, *request;
static int (*ov_infer)(void *);

static void *ov(const char *name) {
    void *found = dlsym(openvino, name);
    if (!found)
        fail(name, dlerror());
    return found;
}

static void ov_check(int status, const char *what) {
    if (status)
        fail(what, ((const char *(*)(void))ov("ov_get_last_err_msg"))());
}

/* Our memory in place of the request's; the type is asked for, because its number differs from version to version. */
static void ov_bind(struct tensor *tensors, int count, const char *get, const char *set) {
    for (int index = 0; index < count; index++) {
        void *own, *bound;
        int type;
        struct ov_shape shape = {tensors[index].rank, tensors[index].shape};
        ov_check(((int (*)(void *, size_t, void **))ov(get))(request, index, &own), get);
        ov_check(((int (*)(void *, int *))ov("ov_tensor_get_element_type"))(own, &type), "type");
        ov_check(((int (*)(int, struct ov_shape, void *, void **))ov("ov_tensor_create_from_host_ptr"))(
                     type, shape, tensors[index].data, &bound), "tensor");
        ov_check(((int (*)(void *, size_t, void *))ov(set))(request, index, bound), set);
    }
}

static void ov_open(void *library, const char *model, const char *threads) {
    void *core, *network, *compiled;
    openvino = library;
    ov_infer = (int (*)(void *))ov("ov_infer_request_infer");
    ov_check(((int (*)(void **))ov("ov_core_create"))(&core), "core");
    ov_check(((int (*)(void *, const char *, const char *, void **))ov("ov_core_read_model"))(core, model, 0, &network),
             "read");
    ov_check(((int (*)(void *, void *, const char *, size_t, void **, ...))ov("ov_core_compile_model"))(
                 core, network, "CPU", 10, &compiled, "PERFORMANCE_HINT", "LATENCY", "NUM_STREAMS", "1",
                 "ENABLE_CPU_PINNING", "NO", "INFERENCE_NUM_THREADS", threads, "INFERENCE_PRECISION_HINT", "f32"),
             "compile");
    ov_check(((int (*)(void *, void **))ov("ov_compiled_model_create_infer_request"))(compiled, &request), "request");
    ov_bind(inputs, input_count, "ov_infer_request_get_input_tensor_by_index",
            "ov_infer_request_set_input_tensor_by_index");
    ov_bind(outputs, output_count, "ov_infer_request_get_output_tensor_by_index",
            "ov_infer_request_set_output_tensor_by_index");
}

static void ov_loop(int64_t count) {
    for (int64_t index = 0; index < count; index++) {
        int64_t began = now_ns();
        int status = ov_infer(request);
        latencies[index] = now_ns() - began;
        if (status)
            ov_check(status, "infer");
    }
}

/* ------------------------------------------------------------ requests */

static void (*loop)(int64_t);

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static double median(int64_t count) {
    qsort(latencies, count, sizeof *latencies, by_value);
    return (latencies[(count - 1) / 2] + latencies[count / 2]) / 2.0;
}

static int64_t fill(int64_t wall_ns, double latency_ns, int64_t least) {
    int64_t count = wall_ns / (latency_ns > 1 ? latency_ns : 1);
    return count < least ? least : count > MOST ? MOST : count;
}

/* The worker's rule: windows of 3 ms until the medians of the last three agree within 5 %, or 2 s. */
static double warm(void) {
    double last[3] = {0, 0, 0};
    loop(OPENING_LEAST);
    double now = median(OPENING_LEAST);
    for (int64_t began = now_ns(), windows = 1; windows < 1000000; windows++) {
        int64_t count = fill(3000000, now, OPENING_LEAST);
        loop(count);
        now = median(count);
        last[windows % 3] = now;
        double low = last[0], high = last[0];
        for (int index = 1; index < 3; index++) {
            low = last[index] < low ? last[index] : low;
            high = last[index] > high ? last[index] : high;
        }
        if (windows >= 3 && (high - low <= 0.05 * low || now_ns() - began > 2000000000))
            break;
    }
    return now;
}

static void parse(struct tensor *tensor, char *text, FILE *from) {
    char *sizes = strrchr(text, '=');
    if (!sizes)
        fail(text, "not NAME=SIZES");
    *sizes++ = 0;
    tensor->name = text;
    tensor->bytes = sizeof(float);
    for (char *size = strtok(sizes, "x"); size; size = strtok(0, "x"))
        tensor->bytes *= tensor->shape[tensor->rank++] = atoll(size);
    if (posix_memalign(&tensor->data, 64, tensor->bytes + 64))
        fail(text, "no memory");
    memset(tensor->data, 0, tensor->bytes);
    if (from && fread(tensor->data, 1, tensor->bytes, from) != (size_t)tensor->bytes)
        fail(text, "the inputs are too short");
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a frozen process can't see its stdin close */
    if (count < 7)
        fail(arguments[0], "RUNTIME LIBRARY MODEL INPUTS THREADS NAME=SIZES... -- NAME=SIZES...");
    FILE *data = fopen(arguments[4], "rb");
    void *library = dlopen(arguments[2], RTLD_NOW);
    if (!data || !library)
        fail(arguments[2], library ? "no inputs" : dlerror());
    int index = 6;
    for (; index < count && strcmp(arguments[index], "--"); index++)
        parse(&inputs[input_count++ % TENSORS], arguments[index], data);
    for (index++; index < count; index++)
        parse(&outputs[output_count++ % TENSORS], arguments[index], 0);
    if (strcmp(arguments[1], "openvino"))
        ort_open(library, arguments[3], atoi(arguments[5])), loop = ort_loop;
    else
        ov_open(library, arguments[3], arguments[5]), loop = ov_loop;
    loop(1);
    double latency_ns = 0;
    printf("{\"ready\": true}\n");
    fflush(stdout);
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        long long opening_ns, steady_ns;
        if (sscanf(line, "block %lld %lld", &opening_ns, &steady_ns) == 2) {
            loop(fill(opening_ns, latency_ns, OPENING_LEAST));
            int64_t steady = fill(steady_ns, latency_ns, STEADY_LEAST);
            loop(steady);
            printf("{\"latencies_ns\": [%llu", (unsigned long long)latencies[0]);
            for (int64_t place = 1; place < steady; place++)
                printf(", %llu", (unsigned long long)latencies[place]);
            printf("]}\n");
        } else {
            latency_ns = warm();
            printf("{\"latency_ns\": %.1f}\n", latency_ns);
        }
        fflush(stdout);
    }
    return 0;
}
