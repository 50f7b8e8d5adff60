// The kernels as a library for the CPU: tests/kernels_support compiles this file and calls `metacl_launch`.
#include "../../kernels/host.hpp"

#include "../../kernels/coef.cu"
#include "../../kernels/mix.cu"
#include "../../kernels/views.cu"

// Wrong on purpose: tests of the sanitized builds expect to be stopped by them.
extern "C" __global__ void reads_behind(const u32* numbers, u32 count, u32* sum) {
  if (threadIdx.x == 0) *sum = numbers[count];
}
extern "C" __global__ void races(u32* sum) {
  for (u32 k = 0; k < 1000; ++k) *sum = *sum + threadIdx.x;
}

namespace {
struct Entry {
  const char* name;
  void (*launch)(unsigned grid, unsigned block, unsigned shared, void* const* arguments);
};

template <auto kernel>
void run(unsigned grid, unsigned block, unsigned shared, void* const* arguments) {
  host::launch(kernel, grid, block, shared, arguments);
}

constexpr Entry entries[] = {
    {"expand_chunks", run<expand_chunks>},
    {"make_pixels", run<make_pixels>},
    {"make_tables", run<make_tables>},
    {"mix_rows", run<mix_rows>},
    {"render_views", run<render_views>},
    {"reads_behind", run<reads_behind>},
    {"races", run<races>},
};
}  // namespace

// Runs a kernel; `arguments`: where each of its parameters is. 0, or 1 where there is no such kernel.
extern "C" int metacl_launch(const char* name, unsigned grid, unsigned block, unsigned shared, void* const* arguments) {
  for (const Entry& entry : entries) {
    if (std::strcmp(entry.name, name) != 0) continue;
    entry.launch(grid, block, shared, arguments);
    return 0;
  }
  return 1;
}
