// What torch's Rust binding lacks of CUDA, over libtorch's device-generic face: it needs no CUDA headers, and links against the CPU half
// alone. Once libtorch_cuda.so is open, the calls reach it through the registries of libc10.so. See mod.rs.
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdint>

#include "../../guarded.hpp"

using metacl::guarded;

namespace {
c10::Device gpu(int ordinal) { return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(ordinal)}; }

constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
}  // namespace

extern "C" {
// The CUstream that torch's operators of this thread are queued on; 0 is the legacy default stream.
const char *metacl_current_stream(int ordinal, uint64_t *handle) {
  return guarded([=] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    *handle = reinterpret_cast<uintptr_t>(guard.getStreamNativeHandle(guard.getStream(gpu(ordinal))));
  });
}

// Most bytes that tensors held at once since the last reset; 0 before the first tensor.
const char *metacl_peak_memory(int ordinal, uint64_t *bytes) {
  return guarded([=] {
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    const auto device = gpu(ordinal).index();
    *bytes = allocator->initialized() ? static_cast<uint64_t>(allocator->getDeviceStats(device).allocated_bytes[kAll].peak) : 0;
  });
}

// Lets the peak begin anew at what is held now.
const char *metacl_reset_peak_memory(int ordinal) {
  return guarded([=] {
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    if (allocator->initialized()) {
      allocator->resetPeakStats(gpu(ordinal).index());
    }
  });
}

// Gives back what the caching allocator keeps for later; what tensors hold stays.
const char *metacl_empty_cache() {
  return guarded([] {
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    if (allocator->initialized()) {
      allocator->emptyCache();
    }
  });
}

// A contiguous tensor over memory that is ours; `release(owner)` when nothing of torch refers to it any more, on failure at once. Kinds: 0 u8, 1 f32.
// `ordinal` -1: the CPU.
const char *metacl_lend(uint64_t pointer, const int64_t *sizes, size_t dimensions, int kind, int ordinal, void *owner,
                        void (*release)(void *), at::Tensor **tensor) {
  bool held = false;
  const char *failure = guarded([&] {
    const c10::Device device = ordinal < 0 ? c10::Device(c10::DeviceType::CPU) : gpu(ordinal);
    const auto options = at::TensorOptions().dtype(kind == 0 ? at::kByte : at::kFloat).device(device);
    auto *memory = reinterpret_cast<void *>(static_cast<uintptr_t>(pointer));
    auto lent = at::for_blob(memory, at::IntArrayRef(sizes, dimensions))
                    .deleter([owner, release](void *) { release(owner); })
                    .options(options)
                    .target_device(device)
                    .make_tensor();
    held = true;
    *tensor = new at::Tensor(std::move(lent));
  });
  if (failure != nullptr && !held) {
    release(owner);
  }
  return failure;
}

// Where libc10.so, which every libtorch has beside its other libraries, was loaded from; null where the loader does not say.
const char *metacl_torch_library() {
  Dl_info found{};
  return dladdr(reinterpret_cast<void *>(&c10::GetAllocator), &found) != 0 ? found.dli_fname : nullptr;
}
}
