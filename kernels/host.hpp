// What CUDA gives a kernel, for a C++ compiler: the same sources then run on a CPU, where tests compare every byte and sanitizers watch.
//
// Blocks run one after the other. A block is `blockDim.x` real threads with a barrier, or one thread: kernels here are written as loops
// of stride blockDim.x between barriers, so that they mean the same for any number of threads, and one is fastest on a CPU.
// Numbers: compile with -ffp-contract=off; the intrinsics are then the IEEE operations that they name.
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time in the whole process (`host::launch` sees to it), so its shared variables are the only ones.
#define __shared__ static
#define UNROLL
#define SHARED_BYTES(name) unsigned char* const name = host::shared

struct Dim3 {
  unsigned x = 0, y = 0, z = 0;
};
struct int4 {
  int x, y, z, w;
};
struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};

inline thread_local Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {
inline unsigned char* shared = nullptr;
// Two barriers, met in turn: a thread that wakes late at one would else see who has come to the next, and ThreadSanitizer would take that
// for an order of what they did between the two.
inline std::barrier<>* barriers[2] = {nullptr, nullptr};
inline thread_local unsigned turn = 0;

inline void meet() {
  if (barriers[turn] == nullptr) return;
  barriers[turn]->arrive_and_wait();
  turn ^= 1;
}
inline std::mutex one_launch;

// Runs `kernel` on `grid` blocks of `block` threads with `bytes` of dynamic shared memory, filled with a pattern that is no zero.
template <typename... Parameters>
void launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, unsigned bytes, void* const* arguments) {
  const std::lock_guard guard(one_launch);
  const auto run = [&](unsigned thread) {
    threadIdx = {thread, 0, 0};
    blockDim = {block, 1, 1};
    gridDim = {grid, 1, 1};
    for (unsigned at = 0; at < grid; ++at) {
      blockIdx = {at, 0, 0};
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_cvref_t<Parameters>*>(arguments[I])...);
      }(std::index_sequence_for<Parameters...>{});
      meet();
    }
  };
  // Exactly as large as asked for, so that AddressSanitizer sees the first byte behind it; 16-aligned by malloc.
  shared = static_cast<unsigned char*>(std::malloc(bytes == 0 ? 1 : bytes));
  std::memset(shared, 0xa5, bytes);
  if (block == 1) {
    run(0);
  } else {
    std::barrier<> first(block), second(block);
    barriers[0] = &first, barriers[1] = &second;
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < block; ++thread) threads.emplace_back(run, thread);
    for (auto& thread : threads) thread.join();
    barriers[0] = barriers[1] = nullptr;
  }
  std::free(shared);
  shared = nullptr;
}
}  // namespace host

inline void __syncthreads() { host::meet(); }

inline unsigned atomicAdd(unsigned* to, unsigned value) { return __atomic_fetch_add(to, value, __ATOMIC_RELAXED); }
inline unsigned atomicOr(unsigned* to, unsigned value) { return __atomic_fetch_or(to, value, __ATOMIC_RELAXED); }

using std::max;
using std::min;

inline int __dp4a(int a, int b, int sum) {
  for (int byte = 0; byte < 4; ++byte) {
    sum += static_cast<std::int8_t>(a >> (8 * byte)) * static_cast<std::int8_t>(b >> (8 * byte));
  }
  return sum;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
// Toward zero; what does not fit becomes the nearest that does, what is no number 0.
inline int __float2int_rz(float value) {
  if (!(value == value)) return 0;
  if (value >= 2147483648.0f) return 2147483647;
  if (value < -2147483648.0f) return -2147483647 - 1;
  return static_cast<int>(value);
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <typename T>
inline T __ldg(const T* from) {
  return *from;
}
