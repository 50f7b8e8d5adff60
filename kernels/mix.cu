// Query mixing (mixup, CutMix) on finished rows: each with the row of the same view of the class opposite, into new rows.
//
// row = view * classes + class; its partner: view * classes + (classes - 1 - class). Blended, value = share * own + (1 - share) * other, each
// product and the sum rounded to the value's kind, as torch does it; or a patch of the other pasted in.
// Launch shape: a block a new row, threads along its values. Bytes moved: two values read (one for CutMix), one written. Equal bytes.
#include "plan.cuh"

struct Mix {
  u32 classes;
  // The first row that is mixed; as many as there are blocks follow.
  u32 first;
  u32 size;
  u32 channels_last;
  // 0: f32, 1: f16, 2: bf16.
  u32 kind;
  float share, other;
  // A patch of the other in place of the blend, where `height` is not 0.
  u32 top, left, height, width;
};

__device__ __forceinline__ float from_half(u32 bits) {
  const u32 sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) return __uint_as_float(sign | __float_as_uint(__fmul_rn(static_cast<float>(fraction), 5.9604644775390625e-8f)));
  return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

// To the nearest, ties to even.
__device__ __forceinline__ u32 to_half(float value) {
  const u32 bits = __float_as_uint(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below the least normal number: adding 1/2 rounds at 2^-24.
    const float rounded = __fadd_rn(__uint_as_float(magnitude), 0.5f);
    return sign | (__float_as_uint(rounded) - 0x3f000000);
  }
  const u32 even = magnitude >> 13 & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + even) >> 13);
}

struct Values {
  u32 kind;
  __device__ __forceinline__ float load(const u8* row, u32 at) const {
    if (kind == 0) return reinterpret_cast<const float*>(row)[at];
    const u32 bits = reinterpret_cast<const u16*>(row)[at];
    return kind == 1 ? from_half(bits) : __uint_as_float(bits << 16);
  }
  __device__ __forceinline__ u32 bits(float value) const {
    const u32 all = __float_as_uint(value);
    if (kind == 0) return all;
    if (kind == 1) return to_half(value);
    return (all + 0x7fff + (all >> 16 & 1)) >> 16;
  }
  __device__ __forceinline__ float rounded(float value) const {
    if (kind == 0) return value;
    return kind == 1 ? from_half(bits(value)) : __uint_as_float(bits(value) << 16);
  }
  __device__ __forceinline__ void store(u8* row, u32 at, float value) const {
    if (kind == 0) {
      reinterpret_cast<float*>(row)[at] = value;
    } else {
      reinterpret_cast<u16*>(row)[at] = static_cast<u16>(bits(value));
    }
  }
};

extern "C" __global__ void __launch_bounds__(512) mix_rows(const u8* rows, u8* mixed, Mix mix) {
  const u32 row = mix.first + blockIdx.x, own_class = row % mix.classes;
  const u32 partner = row - own_class + (mix.classes - 1 - own_class);
  const u32 area = mix.size * mix.size, count = 3 * area;
  const u64 row_bytes = static_cast<u64>(count) * (mix.kind == 0 ? 4 : 2);
  const u8 *const own = rows + row * row_bytes, *const other = rows + partner * row_bytes;
  u8* const to = mixed + blockIdx.x * row_bytes;
  const Values values{mix.kind};
  for (u32 at = threadIdx.x; at < count; at += blockDim.x) {
    if (mix.height == 0) {
      const float mine = values.rounded(__fmul_rn(values.load(own, at), mix.share));
      const float theirs = values.rounded(__fmul_rn(values.load(other, at), mix.other));
      values.store(to, at, __fadd_rn(mine, theirs));
      continue;
    }
    const u32 pixel = mix.channels_last != 0 ? at / 3 : at % area;
    const u32 y = pixel / mix.size - mix.top, x = pixel % mix.size - mix.left;
    values.store(to, at, values.load(y < mix.height && x < mix.width ? other : own, at));
  }
}
