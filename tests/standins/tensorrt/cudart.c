/* A stand-in for CUDA's runtime library: names and signatures of the CUDA Runtime API reference, 11.4 to 13.5
 * (cuda_runtime_api.h); handles are pointers, cudaError_t is an int, 0 is success.
 * Device memory is host memory. Work on a stream is kept until it is waited for, as real work is not done before:
 * who reads too early reads what was there before. CUDART_STANDIN_GPUS is how many GPUs there are (default 1).
 * standin_enqueue is for the stand-in of TensorRT: it puts a call on a stream, captured as any other work.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Work {
    int kind; /* 0 copy, 1 call, 2 event */
    void *to;
    const void *from;
    size_t bytes;
    void (*function)(void *);
} Work;
typedef struct List {
    Work *work;
    int count;
} List;
typedef struct Stream {
    List queue, captured;
    int capturing;
} Stream;
typedef struct Event {
    double ms;
} Event;

static void add(List *list, Work work) {
    list->work = realloc(list->work, (list->count + 1) * sizeof(Work));
    list->work[list->count++] = work;
}

static int put(Stream *stream, Work work) {
    add(stream->capturing ? &stream->captured : &stream->queue, work);
    return 0;
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int gpus(void) {
    const char *told = getenv("CUDART_STANDIN_GPUS");
    return told ? atoi(told) : 1;
}

const char *cudaGetErrorString(int error) {
    return error == 100 ? "no CUDA-capable device is detected" : error == 101 ? "invalid device ordinal" : "unknown error";
}
int cudaRuntimeGetVersion(int *version) { return *version = 12060, 0; }
int cudaGetDeviceCount(int *count) { return *count = gpus(), *count ? 0 : 100; }
int cudaSetDevice(int device) { return device < gpus() ? 0 : 101; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 16 ? 16 : -1;
    return 0;
}
int cudaMalloc(void **pointer, size_t bytes) { return *pointer = calloc(1, bytes), 0; }
int cudaFree(void *pointer) { return free(pointer), 0; }
int cudaMallocHost(void **pointer, size_t bytes) { return *pointer = calloc(1, bytes), 0; }
int cudaFreeHost(void *pointer) { return free(pointer), 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, Stream *stream) {
    if (kind != 1 && kind != 2) return 21;
    return put(stream, (Work){0, to, from, bytes, NULL});
}
int cudaStreamCreateWithFlags(Stream **stream, unsigned flags) {
    (void)flags;
    return *stream = calloc(1, sizeof(Stream)), 0;
}
int cudaStreamDestroy(Stream *stream) { return free(stream->queue.work), free(stream), 0; }
int cudaStreamSynchronize(Stream *stream) {
    if (stream->capturing) return 900;
    for (int index = 0; index < stream->queue.count; index++) {
        Work *work = &stream->queue.work[index];
        if (work->kind == 0) memcpy(work->to, work->from, work->bytes);
        if (work->kind == 1) work->function(work->to);
        if (work->kind == 2) ((Event *)work->to)->ms = now_ms();
    }
    return stream->queue.count = 0, 0;
}
int cudaEventCreate(Event **event) { return *event = calloc(1, sizeof(Event)), 0; }
int cudaEventRecord(Event *event, Stream *stream) { return put(stream, (Work){2, event, NULL, 0, NULL}); }
int cudaEventElapsedTime(float *ms, Event *begin, Event *end) { return *ms = (float)(end->ms - begin->ms), 0; }
int cudaEventDestroy(Event *event) { return free(event), 0; }
int cudaStreamBeginCapture(Stream *stream, int mode) { return (void)mode, stream->capturing = 1, 0; }
int cudaStreamEndCapture(Stream *stream, List **graph) {
    *graph = malloc(sizeof(List));
    **graph = stream->captured;
    stream->captured = (List){0};
    return stream->capturing = 0, 0;
}
int cudaGraphInstantiateWithFlags(List **ready, List *graph, unsigned long long flags) {
    (void)flags;
    *ready = calloc(1, sizeof(List));
    for (int index = 0; index < graph->count; index++) add(*ready, graph->work[index]);
    return 0;
}
int cudaGraphLaunch(List *ready, Stream *stream) {
    for (int index = 0; index < ready->count; index++) put(stream, ready->work[index]);
    return 0;
}
int cudaGraphDestroy(List *graph) { return free(graph->work), free(graph), 0; }
int cudaGraphExecDestroy(List *ready) { return free(ready->work), free(ready), 0; }
int standin_enqueue(Stream *stream, void (*function)(void *), void *argument) {
    return put(stream, (Work){1, argument, NULL, 0, function});
}
