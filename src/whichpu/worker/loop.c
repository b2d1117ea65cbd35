/* The native loop: what a C or C++ application that makes the runtime's C call sees.
 *
 * Two clock reads stand around each call and nothing else. How often to call, and when to stop, is decided in
 * measure.py for both loops alike. Calls take up to three pointers; the surplus ones are ignored by the callee, as the C
 * calling conventions of the systems we run on allow. The clock is that of Python's perf_counter_ns. On
 * macOS that is not CLOCK_MONOTONIC, whose steps there are a microsecond.
 */
#include <stdint.h>
#include <time.h>

typedef void *(*pointer_call)(void *, void *, void *);
typedef int (*number_call)(void *, void *, void *);

#ifdef __APPLE__
#define CLOCK CLOCK_UPTIME_RAW
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Latencies of `count` calls, in order; ends early with the status of the first call that reports one. */
void *whichpu_timed_pointer(pointer_call call, void *a, void *b, void *c, int64_t count, uint64_t *latencies_ns) {
    for (int64_t index = 0; index < count; index++) {
        uint64_t began = now_ns();
        void *status = call(a, b, c);
        latencies_ns[index] = now_ns() - began;
        if (status)
            return status;
    }
    return 0;
}

/* The same for runtimes whose status is a number, 0 for success. */
int whichpu_timed_number(number_call call, void *a, void *b, void *c, int64_t count, uint64_t *latencies_ns) {
    for (int64_t index = 0; index < count; index++) {
        uint64_t began = now_ns();
        int status = call(a, b, c);
        latencies_ns[index] = now_ns() - began;
        if (status)
            return status;
    }
    return 0;
}

/* An inference that takes several calls: all of them, or until one reports. The list ends with an empty call. */
struct call {
    pointer_call function;
    void *a, *b, *c;
};

void *whichpu_in_turn(void *calls, void *unused_b, void *unused_c) {
    (void)unused_b, (void)unused_c;
    for (const struct call *next = calls; next->function; next++) {
        void *status = next->function(next->a, next->b, next->c);
        if (status)
            return status;
    }
    return 0;
}

/* Inferences of the null backend: nothing, and a busy wait of `*wait_ns`. */
int whichpu_nothing(void *a, void *b, void *c) {
    (void)a, (void)b, (void)c;
    return 0;
}

int whichpu_wait(void *wait_ns, void *b, void *c) {
    (void)b, (void)c;
    uint64_t until = now_ns() + *(const uint64_t *)wait_ns;
    while (now_ns() < until) {
    }
    return 0;
}
