// What the host sends to expand coefficient records, and the arithmetic of blocks. Layouts: src/coef/device/tasks.rs, which asserts sizes;
// bytes of a chunk: src/coef/layout.md; arithmetic, bit by bit: src/coef/expand/scalar.rs.
#pragma once
#include "types.cuh"

namespace coef {

// Most blocks of a chunk.
constexpr u32 CHUNK = 32;
// No chunk has more bytes: 5 (head) + 64 (DC) + 32 (presence) + 384 (masks, widths) + 3840 (values), and what a load reaches over.
constexpr u32 CHUNK_BOUND = 4352;
// From block to block in shared memory: one word more than a block, so that 32 threads at the same place of 32 blocks meet 32 banks.
constexpr u32 PITCH = 66;

// Set in a status where a chunk's blocks do not end where the chunk does.
constexpr u32 CONTRADICTION = 1;

// A chunk to expand, 32 bytes.
struct ChunkTask {
  // Its first byte in the records; the first needed block's first sample in the samples, a multiple of 8.
  u64 bytes, samples;
  // Its length in 2 bytes; from row to row of samples in 8 bytes.
  u16 pairs, stride;
  // Which status it sets; which quantisation table.
  u32 image, table;
  // Its blocks, 1 to 32; of them the first needed and how many.
  u8 blocks, first, count, reserved;
};
static_assert(sizeof(ChunkTask) == 32, "as the host writes them");

// Where the pixels of a region go.
struct PixelPlace {
  // First byte.
  u64 offset;
  // Bytes from row to row and from plane to plane; plane 0: one plane stands for R, G and B. All multiples of 4.
  u32 stride, plane;
};

// A region to make of samples, 88 bytes. The second and third component share size and place.
struct PictureTask {
  // First byte of each component's samples.
  u64 samples[3];
  PixelPlace pixels;
  u32 width, height;
  // Bytes from row to row of the first component's samples and of the others'.
  u32 stride, chroma_stride;
  // Column and row of the region's first pixel, counted from the first sample; of the others', from the first pixel of that.
  u32 at[2], chroma_at[2];
  // The picture's last column and row of the others' samples, counted from the first.
  u32 chroma_last[2];
  u32 kind, reserved;
};
static_assert(sizeof(PictureTask) == 88, "as the host writes them");

// Bits of PictureTask::kind.
enum Kind : u32 { RGB = 1, HALF_COLUMNS = 2, HALF_ROWS = 4, FANCY = 8 };

// Rows of a region for one block of threads, 12 bytes.
struct BandTask {
  u32 picture, first, end;
};

// `width` bits (0 to 16) from bit `at` on.
__device__ __forceinline__ u32 bits_at(const u32* words, u32 at, u32 width) {
  const u64 two = static_cast<u64>(words[at / 32 + 1]) << 32 | words[at / 32];
  return static_cast<u32>(two >> (at % 32)) & ((1u << width) - 1);
}

// The lowest bit that is set.
__device__ __forceinline__ u32 lowest(u32 bits) { return static_cast<u32>(__popc((bits & (0 - bits)) - 1)); }

// The coefficient that `code` of `width` bits (0 to 15) stands for; width 0 gives 1.
__device__ __forceinline__ i32 value_of(u32 code, u32 width) {
  // The sign bit to the top and back; two shifts, because width 0 would make one of 32.
  const i32 stored = static_cast<i32>(code << (31 - width) << 1) >> (31 - width) >> 1;
  return stored < 0 ? stored : stored + 1;
}

// Where coefficient `lane` of tile `tile` stands in a block of natural order.
__device__ __forceinline__ u32 position(u32 tile, u32 lane) {
  const u32 pair = (tile >> 1 & 2) | (tile & 1), half = tile >> 1 & 1;
  return (2 * pair + lane / 4) * 8 + half * 4 + lane % 4;
}

// A value of 16 bits for sums that wrap in 32: unsigned, whose wrapping C++ defines.
__device__ __forceinline__ u32 wide(i32 value) { return static_cast<u32>(value); }
// A sum in 16 bits, which wraps.
__device__ __forceinline__ u32 wide_sum(i32 a, i32 b) { return wide(static_cast<i16>(a + b)); }

// `sum` rounded, shifted right by SHIFT and saturated to 16 bits.
template <u32 SHIFT>
__device__ __forceinline__ i16 rounded(u32 sum) {
  const i32 shifted = static_cast<i32>(sum + (1u << (SHIFT - 1))) >> SHIFT;
  return static_cast<i16>(min(max(shifted, -32768), 32767));
}

// One dimension of the inverse DCT (Loeffler, Ligtenberg, Moschytz 1989) of eight values, in place.
template <u32 SHIFT>
__device__ __forceinline__ void inverse_dct(i16 (&v)[8]) {
  const u32 even_both = (wide(v[2]) + wide(v[6])) * 4433u;
  const u32 tmp2 = even_both - wide(v[6]) * 15137u, tmp3 = even_both + wide(v[2]) * 6270u;
  const u32 tmp0 = wide_sum(v[0], v[4]) << 13, tmp1 = wide_sum(v[0], -v[4]) << 13;
  const u32 even[4] = {tmp0 + tmp3, tmp1 + tmp2, tmp1 - tmp2, tmp0 - tmp3};

  const u32 z1 = (wide(v[7]) + wide(v[1])) * 7373u, z2 = (wide(v[5]) + wide(v[3])) * 20995u;
  const u32 sum73 = wide_sum(v[7], v[3]), sum51 = wide_sum(v[5], v[1]);
  const u32 z5 = (sum73 + sum51) * 9633u;
  const u32 z3 = z5 - sum73 * 16069u, z4 = z5 - sum51 * 3196u;
  const u32 odd[4] = {
      wide(v[1]) * 12299u - z1 + z4,
      wide(v[3]) * 25172u - z2 + z3,
      wide(v[5]) * 16819u - z2 + z4,
      wide(v[7]) * 2446u - z1 + z3,
  };
UNROLL
  for (u32 k = 0; k < 4; ++k) {
    v[k] = rounded<SHIFT>(even[k] + odd[k]);
    v[7 - k] = rounded<SHIFT>(even[k] - odd[k]);
  }
}

__device__ __forceinline__ u32 level(i32 value) { return static_cast<u32>(min(max(value, 0), 255)); }

// A pixel of Y, Cb, Cr (ITU-R BT.601, full range; weights of 16 bits) as R, G, B.
__device__ __forceinline__ void convert(u32 luma, u32 blue, u32 red, u32 (&out)[3]) {
  const i32 y = static_cast<i32>(luma), cb = static_cast<i32>(blue) - 128, cr = static_cast<i32>(red) - 128;
  out[0] = level(y + ((91881 * cr + 32768) >> 16));
  out[1] = level(y + ((-22554 * cb - 46802 * cr + 32768) >> 16));
  out[2] = level(y + ((116130 * cb + 32768) >> 16));
}

}  // namespace coef
