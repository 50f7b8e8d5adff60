// Levels of a finished view to values in the batch: turned, looked up, planes or channels last.
//
// A value is what the host's table of 3 x 256 says of its channel and level, so that f32, f16 and bf16, normalised or not, are the host's to the
// bit.
#pragma once
#include "colour.cuh"

struct Target {
  // This view's first value.
  u8* bytes;
  // [channel][level], in the block's shared memory: the bits of a value.
  const u32* values;
  u32 size, area, value_bytes, turns;
  bool channels_last;

  // Where pixel `to` of the turned view comes from.
  __device__ __forceinline__ u32 source(u32 to) const {
    if (turns == 0) return to;
    if (turns == 2) return area - 1 - to;
    const u32 y = to / size, x = to % size;
    return turns == 1 ? x * size + size - 1 - y : (size - 1 - x) * size + y;
  }

  // Where pixel (x, y) goes.
  __device__ __forceinline__ u32 place(u32 x, u32 y) const {
    if (turns == 0) return y * size + x;
    if (turns == 2) return area - 1 - y * size - x;
    return turns == 1 ? (size - 1 - x) * size + y : x * size + size - 1 - y;
  }

  __device__ __forceinline__ void store(u32 element, u32 bits) const {
    if (value_bytes == 4) {
      reinterpret_cast<u32*>(bytes)[element] = bits;
    } else if (value_bytes == 2) {
      reinterpret_cast<u16*>(bytes)[element] = static_cast<u16>(bits);
    } else {
      bytes[element] = static_cast<u8>(bits);
    }
  }

  // Elements `element..element + count` at once where they are four and aligned as four.
  __device__ __forceinline__ void store_four(u32 element, const u32 (&bits)[4], u32 count) const {
    if (count == 4 && area % 4 == 0) {
      u8* const to = bytes + static_cast<u64>(element) * value_bytes;
      if (value_bytes == 4) {
        *reinterpret_cast<uint4*>(to) = uint4{bits[0], bits[1], bits[2], bits[3]};
      } else if (value_bytes == 2) {
        *reinterpret_cast<uint2*>(to) = uint2{bits[0] | bits[1] << 16, bits[2] | bits[3] << 16};
      } else {
        *reinterpret_cast<u32*>(to) = bits[0] | bits[1] << 8 | bits[2] << 16 | bits[3] << 24;
      }
      return;
    }
    for (u32 k = 0; k < count; ++k) store(element + k, bits[k]);
  }

  // Four pixels in a row of the batch from pixel `to` on (fewer at the end).
  __device__ __forceinline__ void put_four(u32 to, const Four& four) const {
    const u32 count = min(4u, area - to);
    u32 bits[12];
UNROLL
    for (u32 k = 0; k < 4; ++k) {
      bits[3 * k] = values[four.r[k]];
      bits[3 * k + 1] = values[256 + four.g[k]];
      bits[3 * k + 2] = values[512 + four.b[k]];
    }
UNROLL
    for (u32 part = 0; part < 3; ++part) {
      u32 quad[4];
UNROLL
      for (u32 k = 0; k < 4; ++k) quad[k] = channels_last ? bits[4 * part + k] : bits[3 * k + part];
      if (!channels_last) {
        store_four(part * area + to, quad, count);
      } else if (3 * count > 4 * part) {
        store_four(3 * to + 4 * part, quad, min(4u, 3 * count - 4 * part));
      }
    }
  }

  // One level of one channel; of all three where `single`.
  __device__ __forceinline__ void put(u32 channel, bool single, u32 to, u32 level) const {
    for (u32 c = single ? 0 : channel; c < (single ? 3 : channel + 1); ++c) {
      store(channels_last ? 3 * to + c : c * area + to, values[256 * c + level]);
    }
  }
};

// The whole view.
__device__ inline void deliver_view(const Planes& view, const Target& target) {
  for (u32 word = threadIdx.x; 4 * word < view.area; word += blockDim.x) {
    if (target.turns == 0) {
      target.put_four(4 * word, view.load(word));
      continue;
    }
    Four four;
UNROLL
    for (u32 k = 0; k < 4; ++k) {
      const u32 from = target.source(min(4 * word + k, view.area - 1));
      four.r[k] = view.bytes[from];
      four.g[k] = view.single ? four.r[k] : view.bytes[view.plane + from];
      four.b[k] = view.single ? four.r[k] : view.bytes[2 * view.plane + from];
    }
    target.put_four(4 * word, four);
  }
}
