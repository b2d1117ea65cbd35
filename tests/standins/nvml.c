/* A stand-in for libnvidia-ml.so.1: names, signatures, structures and codes as nvml.h 12.9 declares them.
 *
 * A test sets what it answers: standin_set("power_mw", 1000), standin_fail("nvmlDeviceGetPowerUsage", 3). With -DOLD it
 * lacks what drivers before R460 lack. One GPU, or as many as "gpus" says, all alike.
 */
#include <string.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       ARGUMENT_VERSION_MISMATCH = 25 };

typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned int version; int sensorType; int temperature; } nvmlTemperature_t;
typedef struct { unsigned int pid; unsigned long long usedGpuMemory; } nvmlProcessInfo_v1_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_v2_t;
typedef struct {
    unsigned int pid;
    unsigned long long timeStamp;
    unsigned int smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;
typedef union {
    double dVal; int siVal; unsigned int uiVal; unsigned long ulVal; unsigned long long ullVal;
    signed long long sllVal; unsigned short usVal;
} nvmlValue_t;
typedef struct {
    unsigned int fieldId, scopeId;
    long long timestamp, latencyUsec;
    int valueType;
    nvmlReturn_t nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;

/* ---------------------------------------------------------------- what the test says */

#define MANY 512
static struct { const char *name; long long value; } settings[MANY] = {
    {"gpus", 1}, {"energy_mj", 123456789012345}, {"power_mw", 71250}, {"instant_mw", 70125}, {"average_mw", 71500},
    {"value_type", 1}, {"gpu_percent", 87}, {"memory_percent", 31}, {"total", 16LL << 30}, {"reserved", 300 << 20},
    {"used", 5LL << 30}, {"celsius", 61}, {"sm_mhz", 1410}, {"memory_mhz", 1215}, {"architecture", 7}, {"major", 8},
    {"minor", 6}, {"mig", 0},
};
static struct { const char *name; int code; } failures[MANY];
static struct { unsigned int pid; long long bytes; int graphics; } processes[MANY];
static nvmlProcessUtilizationSample_t samples[MANY];
static unsigned int process_count, sample_count;
static char kept[MANY][64];
static int kept_count, initialised;

static const char *keep(const char *name) { return strncpy(kept[kept_count++], name, 63); }

void standin_set(const char *name, long long value)
{
    int i = 0;
    while (settings[i].name && strcmp(settings[i].name, name)) i++;
    if (!settings[i].name) settings[i].name = keep(name);
    settings[i].value = value;
}

void standin_fail(const char *function, int code)
{
    int i = 0;
    while (failures[i].name && strcmp(failures[i].name, function)) i++;
    if (!failures[i].name) failures[i].name = keep(function);
    failures[i].code = code;
}

void standin_process(unsigned int pid, long long bytes, int graphics)
{
    processes[process_count].pid = pid;
    processes[process_count].bytes = bytes;
    processes[process_count++].graphics = graphics;
}

void standin_sample(unsigned int pid, unsigned long long time_us, unsigned int sm_percent)
{
    nvmlProcessUtilizationSample_t sample = {pid, time_us, sm_percent, 0, 0, 0};
    samples[sample_count++] = sample;
}

static long long get(const char *name)
{
    int i = 0;
    while (settings[i].name && strcmp(settings[i].name, name)) i++;
    return settings[i].value;
}

static int failure(const char *function)
{
    for (int i = 0; failures[i].name; i++)
        if (!strcmp(failures[i].name, function)) return failures[i].code;
    return initialised || !strncmp(function, "nvmlInit", 8) ? SUCCESS : UNINITIALIZED;
}

#define GPU(number) ((nvmlDevice_t)(long)(0x100000001 + (number)))  /* more than 32 bits, as a real handle */
#define BEGIN do { int code_ = failure(__func__); if (code_) return code_; } while (0)
#define ON_DEVICE BEGIN; if (device < GPU(0) || device >= GPU(get("gpus"))) return INVALID_ARGUMENT

/* ---------------------------------------------------------------- NVML */

nvmlReturn_t nvmlInit_v2(void) { BEGIN; initialised = 1; return SUCCESS; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount) { BEGIN; *deviceCount = get("gpus"); return SUCCESS; }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    BEGIN;
    if (index >= get("gpus")) return INVALID_ARGUMENT;
    *device = GPU(index);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    ON_DEVICE;
    strncpy(name, "NVIDIA Stand-in 16GB", length);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned int *arch)
{
    ON_DEVICE;
    *arch = get("architecture");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    ON_DEVICE;
    *major = get("major");
    *minor = get("minor");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power)
{
    ON_DEVICE;
    *power = get("power_mw");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    ON_DEVICE;
    utilization->gpu = get("gpu_percent");
    utilization->memory = get("memory_percent");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    ON_DEVICE;
    memory->total = get("total");
    memory->used = get("used") + get("reserved");
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensorType, unsigned int *temp)
{
    ON_DEVICE;
    if (sensorType != 0) return INVALID_ARGUMENT;
    *temp = get("celsius");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned int *clock)
{
    ON_DEVICE;
    if (type != 1 && type != 2) return INVALID_ARGUMENT;
    *clock = get(type == 1 ? "sm_mhz" : "memory_mhz");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *utilization,
                                             unsigned int *processSamplesCount, unsigned long long lastSeenTimeStamp)
{
    ON_DEVICE;
    unsigned int found = 0, room = *processSamplesCount;
    for (unsigned int i = 0; i < sample_count; i++) {
        if (samples[i].timeStamp <= lastSeenTimeStamp) continue;
        if (utilization && found < room) utilization[found] = samples[i];
        found++;
    }
    *processSamplesCount = found;
    return !found ? NOT_FOUND : !utilization || found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

#define LIST(FUNCTION, INFO, GRAPHICS)                                                             \
    nvmlReturn_t FUNCTION(nvmlDevice_t device, unsigned int *infoCount, INFO *infos)               \
    {                                                                                              \
        ON_DEVICE;                                                                                 \
        unsigned int found = 0, room = *infoCount;                                                 \
        for (unsigned int i = 0; i < process_count; i++) {                                         \
            if (processes[i].graphics != GRAPHICS) continue;                                       \
            if (infos && found < room) {                                                           \
                memset(&infos[found], 0xff, sizeof(INFO));                                         \
                infos[found].pid = processes[i].pid;                                               \
                infos[found].usedGpuMemory = processes[i].bytes;                                   \
            }                                                                                      \
            found++;                                                                               \
        }                                                                                          \
        *infoCount = found;                                                                        \
        return found > room ? INSUFFICIENT_SIZE : SUCCESS;                                         \
    }

LIST(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t, 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t, 1)

#ifndef OLD

LIST(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t, 1)

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy)
{
    ON_DEVICE;
    *energy = get("energy_mj");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values)
{
    ON_DEVICE;
    for (int i = 0; i < valuesCount; i++) {
        long long value = values[i].fieldId == 186 ? get("instant_mw") : values[i].fieldId == 185 ? get("average_mw") : -1;
        values[i].nvmlReturn = value < 0 ? NOT_SUPPORTED : SUCCESS;
        values[i].valueType = get("value_type");
        memset(&values[i].value, 0xee, sizeof values[i].value);  /* only one member of the union holds */
        if (values[i].valueType == 0) values[i].value.dVal = value + 0.25;
        else if (values[i].valueType == 1) values[i].value.uiVal = value;
        else values[i].value.ullVal = value;
    }
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    ON_DEVICE;
    if (memory->version != (sizeof(nvmlMemory_v2_t) | 2 << 24)) return ARGUMENT_VERSION_MISMATCH;
    memory->total = get("total");
    memory->reserved = get("reserved");
    memory->used = get("used");
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    ON_DEVICE;
    if (temperature->version != (sizeof(nvmlTemperature_t) | 1 << 24)) return ARGUMENT_VERSION_MISMATCH;
    temperature->temperature = get("celsius");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode, unsigned int *pendingMode)
{
    ON_DEVICE;
    *currentMode = *pendingMode = get("mig");
    return SUCCESS;
}

#endif
