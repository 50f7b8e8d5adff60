// What torch's Rust binding lacks of autocast: the kind of number, and any device. See mod.rs.
#include <ATen/autocast_mode.h>

#include "../../guarded.hpp"

using metacl::guarded;

namespace {
at::DeviceType type_of(int cuda) { return cuda ? at::kCUDA : at::kCPU; }
}  // namespace

extern "C" {
// What `metacl_autocast_enter` found.
struct MetaclAutocast {
  int cuda;
  int enabled;
  int kind;
};

// Begins a region in which matrix products and convolutions on the device run in bfloat16 or, with `half`, in float16.
const char *metacl_autocast_enter(int cuda, int half, MetaclAutocast *found) {
  return guarded([=] {
    const auto device = type_of(cuda);
    found->cuda = cuda;
    found->enabled = at::autocast::is_autocast_enabled(device);
    found->kind = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_dtype(device, half ? at::kHalf : at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

// Ends the region; the outermost one forgets the weights it converted.
const char *metacl_autocast_exit(const MetaclAutocast *found) {
  return guarded([=] {
    const auto device = type_of(found->cuda);
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device, found->enabled != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(found->kind));
  });
}
}
