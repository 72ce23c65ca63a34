/* Stands for CUDA's driver and NVRTC where there is no card: every call succeeds, nothing is computed, memory that is read
 * back holds zeros. What is left of a program's time is its own side of the launches, and what it would have compiled can be
 * taken from CubeCL's log. Built and used by kernels.py; by hand:
 *
 *     cc -shared -fPIC -o libcuda.so.1 no_card.c && ln -s libcuda.so.1 libcuda.so && ln -s libcuda.so.1 libnvrtc.so
 *     CUDA_PATH=CUDA LD_LIBRARY_PATH=$PWD sdas bench step --device cuda
 *
 * When the program ends, it says how often it launched, replayed and copied. NO_CARD_ARCH is the card's compute capability,
 * 90 if it is not given.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Device;

static const size_t MEMORY = 80ull << 30;
static Device next = 1ull << 40;
static size_t used;
static long launches, recorded, replays, copies, is_recording;

/* What asks for nothing back. */
#define SUCCEED(name) \
    int name() { return 0; }
SUCCEED(cuInit)
SUCCEED(cuDevicePrimaryCtxRelease_v2)
SUCCEED(cuCtxSetCurrent)
SUCCEED(cuCtxSynchronize)
SUCCEED(cuStreamDestroy_v2)
SUCCEED(cuStreamSynchronize)
SUCCEED(cuStreamQuery)
SUCCEED(cuStreamWaitEvent)
SUCCEED(cuEventRecord)
SUCCEED(cuEventSynchronize)
SUCCEED(cuEventQuery)
SUCCEED(cuEventDestroy_v2)
SUCCEED(cuMemFree_v2)
SUCCEED(cuMemFreeAsync)
SUCCEED(cuMemcpyDtoDAsync_v2)
SUCCEED(cuMemcpyHtoD_v2)
SUCCEED(cuMemsetD8_v2)
SUCCEED(cuMemsetD8Async)
SUCCEED(cuModuleUnload)
SUCCEED(cuFuncSetAttribute)
SUCCEED(cuGraphDestroy)
SUCCEED(cuGraphExecDestroy)
SUCCEED(cuGraphUpload)
SUCCEED(nvrtcCreateProgram)
SUCCEED(nvrtcCompileProgram)
SUCCEED(nvrtcDestroyProgram)

/* What asks for a handle, of which nothing is ever read. */
#define HANDLE(name) \
    int name(void **handle) { *handle = &used; return 0; }
HANDLE(cuDevicePrimaryCtxRetain)
HANDLE(cuCtxGetCurrent)
HANDLE(cuStreamCreate)
HANDLE(cuStreamCreateWithPriority)
HANDLE(cuEventCreate)
HANDLE(cuModuleLoadData)
HANDLE(cuModuleLoadDataEx)
HANDLE(cuModuleGetFunction)
HANDLE(cuGraphInstantiateWithFlags)

#define NUMBER(name, type, value) \
    int name(type *number) { *number = value; return 0; }
NUMBER(cuDriverGetVersion, int, 13000)
NUMBER(cuDeviceGet, int, 0)
NUMBER(cuDeviceGetCount, int, 1)
NUMBER(cuDeviceTotalMem_v2, size_t, MEMORY)
NUMBER(cuFuncGetAttribute, int, 0)
NUMBER(cuEventElapsedTime, float, 0.001f)
NUMBER(cuEventElapsedTime_v2, float, 0.001f)

int cuDeviceGetAttribute(int *value, int attribute) {
    const char *arch = getenv("NO_CARD_ARCH");
    int capability = arch ? atoi(arch) : 90;
    switch (attribute) {
    case 1: case 2: case 3: *value = 1024; break;              /* units of a cube, and along its first axes */
    case 4: *value = 64; break;
    case 5: *value = INT32_MAX; break;                         /* cubes along each axis */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 48 << 10; break;                          /* shared memory of a cube, and what it may ask for */
    case 81: case 97: *value = (capability < 90 ? 163 : 227) << 10; break;
    case 10: *value = 32; break;                               /* units that go together */
    case 16: *value = capability < 90 ? 108 : 132; break;      /* multiprocessors */
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    default: *value = 1;
    }
    return 0;
}
int cuDeviceGetName(char *name, int length) { snprintf(name, length, "no card"); return 0; }
int cuDeviceGetPCIBusId(char *id, int length) { snprintf(id, length, "0000:01:00.0"); return 0; }
int cuDeviceGetUuid(void *id) { memset(id, 1, 16); return 0; }
int cuDeviceGetUuid_v2(void *id) { memset(id, 1, 16); return 0; }
int cuCtxGetStreamPriorityRange(int *least, int *most) { *least = *most = 0; return 0; }
int cuGetErrorName(int error, const char **name) { *name = "none"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "none"; return 0; }

int cuMemGetInfo_v2(size_t *available, size_t *total) { *total = MEMORY; *available = MEMORY - used; return 0; }
int cuMemAlloc_v2(Device *address, size_t bytes) {
    if (is_recording) fprintf(stderr, "no card: memory taken while launches are recorded\n");
    *address = next;
    next += (bytes + 4095) / 4096 * 4096;
    used += bytes;
    return 0;
}
int cuMemAllocAsync(Device *address, size_t bytes, void *stream) { return cuMemAlloc_v2(address, bytes); }
int cuMemAllocHost_v2(void **address, size_t bytes) { *address = malloc(bytes); return 0; }
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) { *address = malloc(bytes); return 0; }
int cuMemFreeHost(void *address) { free(address); return 0; }
int cuMemcpyHtoDAsync_v2(Device to, const void *from, size_t bytes, void *stream) {
    if (is_recording) fprintf(stderr, "no card: memory written while launches are recorded\n");
    copies++;
    return 0;
}
int cuMemcpyDtoH_v2(void *to, Device from, size_t bytes) { memset(to, 0, bytes); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, Device from, size_t bytes, void *stream) { memset(to, 0, bytes); return 0; }

struct Copy2D {
    size_t from_x, from_y; int from_type; const void *from_host; Device from; void *from_array; size_t from_pitch;
    size_t x, y; int type; char *host; Device device; void *array; size_t pitch;
    size_t width, height;
};
int cuMemcpy2DAsync_v2(const struct Copy2D *copy, void *stream) {
    for (size_t row = 0; copy->type == 1 && row < copy->height; row++)
        memset(copy->host + (copy->y + row) * copy->pitch + copy->x, 0, copy->width);
    return 0;
}

int cuLaunchKernel() { *(is_recording ? &recorded : &launches) += 1; return 0; }
int cuLaunchKernelEx() { return cuLaunchKernel(); }
int cuLaunchCooperativeKernel() { return cuLaunchKernel(); }
int cuStreamBeginCapture_v2() { is_recording = 1; return 0; }
int cuStreamEndCapture(void *stream, void **graph) { is_recording = 0; *graph = &used; return 0; }
int cuGraphGetNodes(void *graph, void **nodes, size_t *count) {
    if (nodes) nodes[0] = &used;
    *count = 1;
    return 0;
}
int cuGraphNodeGetType(void *node, int *type) { *type = 0; return 0; }
int cuGraphLaunch() { replays++; return 0; }

int nvrtcVersion(int *major, int *minor) { *major = 13; *minor = 0; return 0; }
int nvrtcGetNumSupportedArchs(int *count) { *count = 1; return 0; }
int nvrtcGetSupportedArchs(int *archs) { *archs = 90; return 0; }
int nvrtcGetPTXSize(void *program, size_t *bytes) { *bytes = 8; return 0; }
int nvrtcGetPTX(void *program, char *text) { memcpy(text, "// none", 8); return 0; }
int nvrtcGetCUBINSize(void *program, size_t *bytes) { *bytes = 8; return 0; }
int nvrtcGetCUBIN(void *program, char *code) { memset(code, 0, 8); return 0; }
int nvrtcGetProgramLogSize(void *program, size_t *bytes) { *bytes = 1; return 0; }
int nvrtcGetProgramLog(void *program, char *text) { *text = 0; return 0; }
int nvrtcAddNameExpression() { return 0; }
int nvrtcGetLoweredName(void *program, const char *name, const char **lowered) { *lowered = name; return 0; }
const char *nvrtcGetErrorString(int error) { return "none"; }

__attribute__((destructor)) static void report(void) {
    if (launches)
        fprintf(stderr, "no card: %ld launches, %ld recorded, %ld replays, %ld copies to the device, %zu MiB\n", launches,
                recorded, replays, copies, used >> 20);
}
