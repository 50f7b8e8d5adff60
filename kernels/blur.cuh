// Gaussian blur in fixed point, the bytes of src/augment/cpu/blur.rs: levels times 64, down, then across, weights in 2^-15, zeros outside, every
// tap pair rounded by itself.
//
// Bands of rows: the pass down goes from the view into 16-bit rows with `radius` zeros at either end, the pass across from there to the batch.
#pragma once
#include "deliver.cuh"

__device__ __forceinline__ i32 scaled(i32 value, i32 weight) { return (value * weight + (1 << 14)) >> 15; }

// The sum of taps around a value: `at(k)` is the value k places further, on both sides.
template <typename At>
__device__ __forceinline__ i32 tap_sum(const i16* weights, i32 radius, const At& at) {
  i32 sum = scaled(at(0), weights[0]);
  for (i32 k = 1; k <= radius; ++k) sum += scaled(at(-k) + at(k), weights[k]);
  return sum;
}

// Blurs the view and delivers it. `rows` has room for `room` bytes, one row of 16-bit values with margins at least.
__device__ inline void blur_view(const Planes& view, const i16* weights, u32 radius, i16* rows, u32 room, const Target& target) {
  const i32 size = static_cast<i32>(target.size), reach = static_cast<i32>(radius);
  const u32 pitch = target.size + 2 * radius, band = room / (2 * pitch);
  const Lane lane(target.size);
  for (u32 channel = 0; channel < (view.single ? 1 : 3); ++channel) {
    const u8* const plane = view.bytes + channel * view.plane;
    for (u32 first = 0; first < target.size; first += band) {
      const u32 count = min(band, target.size - first);
      for (u32 line = lane.y; line < count; line += lane.rows) {
        i16* const row = rows + line * pitch;
        const i32 y = static_cast<i32>(first + line);
        for (u32 x = lane.x; x < target.size; x += lane.columns) {
          const auto at = [&](i32 k) {
            return y + k >= 0 && y + k < size ? static_cast<i32>(plane[static_cast<u32>((y + k) * size) + x]) << 6 : 0;
          };
          row[radius + x] = static_cast<i16>(tap_sum(weights, reach, at));
          // As many columns as margins there are, at least: a margin is less than half a view.
          if (x < radius) row[x] = row[radius + target.size + x] = 0;
        }
      }
      __syncthreads();
      for (u32 line = lane.y; line < count; line += lane.rows) {
        const i16* const row = rows + line * pitch + radius;
        for (u32 x = lane.x; x < target.size; x += lane.columns) {
          const i32 sum = tap_sum(weights, reach, [&](i32 k) { return static_cast<i32>(row[static_cast<i32>(x) + k]); });
          target.put(channel, view.single, target.place(x, first + line), static_cast<u32>(min((sum + 32) >> 6, 255)));
        }
      }
      __syncthreads();
    }
  }
}
