// A stand-in for NVIDIA's driver: the functions that metacl calls, on host memory, each done at once. It shows without
// a GPU that every call has its arguments in place and its context current, and that answers are read as they are
// meant.
//
// STANDIN_VERSION (13000) and STANDIN_DEVICES (1) set what it tells; one kernel, `twice`, it knows.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
};
enum { STREAM = 0x57, EVENT, MODULE, FUNCTION };
#define TOTAL ((size_t)1 << 30)

typedef struct { int kind, timed, queries; double time; size_t shared; } Thing;

static int started, retained;
static int primary; // its address is the context
static size_t used;
static double now;
static __thread void* current;

static int number(const char* name, int usual) {
  const char* text = getenv(name);
  return text ? atoi(text) : usual;
}
static int is(const void* thing, int kind) { return thing && ((const Thing*)thing)->kind == kind; }
static int is_stream(const void* stream) { return !stream || is(stream, STREAM); }
static Thing* make(int kind) {
  Thing* thing = calloc(1, sizeof *thing);
  thing->kind = kind;
  return thing;
}
#define IN_CONTEXT if (current != &primary || !retained) return INVALID_CONTEXT
#define HANDLE(test) if (!(test)) return INVALID_HANDLE

int cuInit(unsigned flags) {
  if (flags) return INVALID_VALUE;
  started = 1;
  return number("STANDIN_DEVICES", 1) ? SUCCESS : NO_DEVICE;
}
int cuDriverGetVersion(int* version) { *version = number("STANDIN_VERSION", 13000); return SUCCESS; }
int cuDeviceGetCount(int* count) { *count = number("STANDIN_DEVICES", 1); return started ? SUCCESS : 3; }
int cuDeviceGet(int* device, int ordinal) {
  if (ordinal < 0 || ordinal >= number("STANDIN_DEVICES", 1)) return INVALID_DEVICE;
  *device = 70 + ordinal;
  return SUCCESS;
}
int cuDeviceGetName(char* name, int length, int device) {
  if (device < 70) return INVALID_DEVICE;
  strncpy(name, "stand-in", length);
  return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = TOTAL; return device < 70 ? INVALID_DEVICE : SUCCESS; }
int cuDeviceGetAttribute(int* value, int which, int device) {
  if (device < 70) return INVALID_DEVICE;
  switch (which) {
    case 16: *value = 132; return SUCCESS;    // multiprocessors
    case 75: *value = 9; return SUCCESS;      // compute capability, major
    case 76: *value = 0; return SUCCESS;      // and minor
    case 97: *value = 227 << 10; return SUCCESS; // shared memory a block may ask for
    default: return INVALID_VALUE;
  }
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  if (device < 70) return INVALID_DEVICE;
  ++retained;
  *context = &primary;
  return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return device >= 70 && retained-- > 0 ? SUCCESS : INVALID_CONTEXT; }
int cuCtxGetCurrent(void** context) { *context = current; return SUCCESS; }
int cuCtxSetCurrent(void* context) { current = context; return SUCCESS; }
int cuGetErrorString(int code, const char** text) { (void)code; *text = "stand-in"; return SUCCESS; }

int cuMemGetInfo_v2(size_t* left, size_t* total) { IN_CONTEXT; *left = TOTAL - used; *total = TOTAL; return SUCCESS; }
int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  IN_CONTEXT;
  if (!bytes) return INVALID_VALUE;
  if (bytes > TOTAL - used) return OUT_OF_MEMORY;
  size_t* block = aligned_alloc(256, (bytes + 511) / 256 * 256);
  *block = bytes;
  used += bytes;
  *address = (uint64_t)(uintptr_t)block + 256;
  return SUCCESS;
}
int cuMemFree_v2(uint64_t address) {
  IN_CONTEXT;
  size_t* block = (size_t*)(uintptr_t)(address - 256);
  used -= *block;
  free(block);
  return SUCCESS;
}
int cuMemHostAlloc(void** start, size_t bytes, unsigned flags) {
  IN_CONTEXT;
  if (!bytes || flags != 1) return INVALID_VALUE; // portable, and not write-combined
  if (bytes > TOTAL) return OUT_OF_MEMORY;
  *start = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return SUCCESS;
}
int cuMemFreeHost(void* start) { IN_CONTEXT; free(start); return SUCCESS; }

int cuStreamCreate(void** stream, unsigned flags) {
  IN_CONTEXT;
  if (flags != 1) return INVALID_VALUE; // non-blocking
  *stream = make(STREAM);
  return SUCCESS;
}
static int destroy(Thing* thing, int kind) {
  HANDLE(is(thing, kind));
  thing->kind = 0; // kept, so that a second use is seen
  return SUCCESS;
}
int cuStreamDestroy_v2(void* stream) { IN_CONTEXT; return destroy(stream, STREAM); }
int cuStreamSynchronize(void* stream) { IN_CONTEXT; HANDLE(is_stream(stream)); return SUCCESS; }
int cuStreamWaitEvent(void* stream, Thing* event, unsigned flags) {
  IN_CONTEXT;
  HANDLE(is_stream(stream) && is(event, EVENT));
  return flags ? INVALID_VALUE : SUCCESS;
}
int cuEventCreate(void** event, unsigned flags) {
  IN_CONTEXT;
  if (flags != 1 && flags != 3) return INVALID_VALUE; // blocking, and timing disabled or not
  Thing* thing = make(EVENT);
  thing->timed = flags == 1;
  *event = thing;
  return SUCCESS;
}
int cuEventDestroy_v2(void* event) { IN_CONTEXT; return destroy(event, EVENT); }
int cuEventRecord(Thing* event, void* stream) {
  IN_CONTEXT;
  HANDLE(is_stream(stream) && is(event, EVENT));
  event->time = ++now;
  event->queries = 1;
  return SUCCESS;
}
// The first query after a recording says no, as on a device that is busy.
int cuEventQuery(Thing* event) {
  IN_CONTEXT;
  HANDLE(is(event, EVENT));
  return event->queries-- > 0 ? NOT_READY : SUCCESS;
}
int cuEventSynchronize(void* event) { IN_CONTEXT; HANDLE(is(event, EVENT)); return SUCCESS; }
int cuEventElapsedTime_v2(float* milliseconds, Thing* start, Thing* end) {
  IN_CONTEXT;
  HANDLE(is(start, EVENT) && is(end, EVENT) && start->timed && end->timed && start->time && end->time);
  *milliseconds = (float)(end->time - start->time);
  return SUCCESS;
}

static int copy(void* to, const void* from, size_t bytes, void* stream) {
  IN_CONTEXT;
  HANDLE(is_stream(stream));
  memcpy(to, from, bytes);
  return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
  return copy((void*)(uintptr_t)to, from, bytes, stream);
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
  return copy(to, (void*)(uintptr_t)from, bytes, stream);
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
  return copy((void*)(uintptr_t)to, (void*)(uintptr_t)from, bytes, stream);
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* stream) {
  IN_CONTEXT;
  HANDLE(is_stream(stream));
  memset((void*)(uintptr_t)to, value, bytes);
  return SUCCESS;
}

int cuModuleLoadData(void** module, const void* image) {
  IN_CONTEXT;
  if (memcmp(image, "\177ELF", 4)) return INVALID_IMAGE;
  *module = make(MODULE);
  return SUCCESS;
}
int cuModuleUnload(void* module) { IN_CONTEXT; return destroy(module, MODULE); }
int cuModuleGetFunction(void** function, void* module, const char* name) {
  IN_CONTEXT;
  HANDLE(is(module, MODULE));
  if (strcmp(name, "twice")) return NOT_FOUND;
  Thing* thing = make(FUNCTION);
  thing->shared = 48 << 10;
  *function = thing;
  return SUCCESS;
}
int cuFuncGetAttribute(int* value, int which, void* function) {
  IN_CONTEXT;
  HANDLE(is(function, FUNCTION));
  switch (which) {
    case 0: *value = 1024; return SUCCESS; // threads of a block
    case 1: *value = 0; return SUCCESS;    // shared memory
    case 3: *value = 0; return SUCCESS;    // local memory
    case 4: *value = 18; return SUCCESS;   // registers
    default: return INVALID_VALUE;
  }
}
int cuFuncSetAttribute(Thing* function, int which, int value) {
  IN_CONTEXT;
  HANDLE(is(function, FUNCTION));
  if (which != 8 || value < 0 || value > 227 << 10) return INVALID_VALUE;
  function->shared = value;
  return SUCCESS;
}
int cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* size) {
  IN_CONTEXT;
  HANDLE(is(function, FUNCTION));
  if (index > 2) return INVALID_VALUE;
  *offset = 8 * index;
  *size = index < 2 ? 8 : 4;
  return SUCCESS;
}
int cuLaunchKernel(Thing* function, unsigned grid, unsigned grid_y, unsigned grid_z, unsigned block, unsigned block_y,
                   unsigned block_z, unsigned shared, void* stream, void** arguments, void** extra) {
  IN_CONTEXT;
  HANDLE(is(function, FUNCTION) && is_stream(stream));
  if (!grid || grid_y != 1 || grid_z != 1 || !block || block > 1024 || block_y != 1 || block_z != 1 || extra) return INVALID_VALUE;
  if (shared > function->shared) return INVALID_VALUE;
  const unsigned char* from = *(const unsigned char**)arguments[0];
  unsigned char* to = *(unsigned char**)arguments[1];
  for (unsigned i = 0; i < *(unsigned*)arguments[2]; ++i) to[i] = 2 * from[i];
  return SUCCESS;
}
