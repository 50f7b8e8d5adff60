// The kernels as functions of a shared library, by name. Compiled by tests/kernels_support.
#include "../../kernels/host.hpp"

#include "../../kernels/mix.cu"
#include "../../kernels/views.cu"

// Runs a kernel to its end; 1 where there is none of that name.
extern "C" int metacl_launch(const char* name, unsigned grid, unsigned block, unsigned shared, void* const* arguments) {
#define KERNEL(kernel)                                    \
  if (std::strcmp(name, #kernel) == 0) {                  \
    host::launch(kernel, grid, block, shared, arguments); \
    return 0;                                             \
  }
  KERNEL(make_tables)
  KERNEL(render_views)
  KERNEL(mix_rows)
  return 1;
}
