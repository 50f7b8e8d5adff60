// Coefficient records to pixels: two kernels, for a whole batch of regions of pictures.
//
// Formula: src/coef/layout.md and src/coef/expand/scalar.rs, which is libjpeg-turbo's default decode. Integers only; tolerance: equal bytes.
//
// expand_chunks  one block of 32 threads a chunk of up to 32 blocks of coefficients; any number of threads is right.
//   Reads the chunk once (about 600 bytes), whole vectors of 16 bytes; writes 64 bytes a needed block. Shared memory 9248 bytes, static.
// make_pixels    one block of 128 threads a band of rows, about 4096 pixels; any number of threads is right.
//   Reads 1 to 3 samples a pixel, writes 1 or 3 bytes. No shared memory.
//
// Whatever the bytes of a chunk: reads stay in the vectors of 16 bytes that hold it, writes in its needed blocks' samples.
#include "coef.cuh"

namespace coef {

// Vectors that hold a chunk, wherever in the first it starts, and the words that a load of its last bits reaches over.
constexpr u32 STAGED = (15 + CHUNK_BOUND + 15) / 16 + 1;

// A chunk in shared memory. Places are bytes and bits counted from the start of the vector that it starts in.
struct Staged {
  const u32* words;
  u32 start;
  u32 blocks;
  // Bits of a DC and bytes of masks and widths; held to what layout.md allows, so that no place leaves CHUNK_BOUND.
  u32 dc_bits, control;

  __device__ Staged(const uint4* vectors, u32 start, u32 blocks)
      : words(reinterpret_cast<const u32*>(vectors)), start(start), blocks(blocks) {
    dc_bits = min(byte(start + 2), 16u);
    control = min(byte(start + 3) | byte(start + 4) << 8, 12 * blocks);
  }
  __device__ __forceinline__ u32 byte(u32 at) const { return reinterpret_cast<const u8*>(words)[at]; }
  __device__ __forceinline__ u32 presence_at() const { return start + 5 + (blocks * dc_bits + 7) / 8; }
  __device__ __forceinline__ u32 control_at() const { return presence_at() + blocks; }
  // A bit.
  __device__ __forceinline__ u32 values_at() const { return 8 * (control_at() + control); }
  __device__ __forceinline__ u32 presence(u32 block) const { return byte(presence_at() + block); }
  __device__ __forceinline__ i32 dc(u32 block) const {
    const u32 least = byte(start) | byte(start + 1) << 8;
    return static_cast<i16>(least + bits_at(words, 8 * (start + 5) + block * dc_bits, dc_bits));
  }
  // Width of present tile `index` of a block whose widths start at byte `widths`.
  __device__ __forceinline__ u32 width(u32 widths, u32 index) const { return byte(widths + index / 2) >> (4 * (index % 2)) & 15; }
};

// Masks and widths of a block of `tiles` tiles.
__device__ __forceinline__ u32 control_bytes(u32 tiles) { return tiles + (tiles + 1) / 2; }

// Value bits of a block of `tiles` tiles whose masks start at byte `at`.
__device__ inline u32 value_bits(const Staged& chunk, u32 tiles, u32 at) {
  u32 bits = 0;
  for (u32 index = 0; index < tiles; ++index) {
    bits += static_cast<u32>(__popc(chunk.byte(at + index))) * chunk.width(at + tiles, index);
  }
  return bits;
}

// The dequantised coefficients of a block, natural order. `at`: byte of its masks; `value`: bit of its values.
__device__ inline void unpack_block(const Staged& chunk, u32 block, u32 at, u32 value, const i16* steps, i16* out) {
  for (u32 k = 0; k < 64; ++k) out[k] = 0;
  out[0] = static_cast<i16>(chunk.dc(block) * steps[0]);
  u32 presence = chunk.presence(block);
  const u32 tiles = static_cast<u32>(__popc(presence));
  for (u32 index = 0; index < tiles; ++index, presence &= presence - 1) {
    const u32 tile = lowest(presence), width = chunk.width(at + tiles, index);
    for (u32 mask = chunk.byte(at + index); mask != 0; mask &= mask - 1) {
      const u32 place = position(tile, lowest(mask));
      // The DC is no value of a tile: one in its place is stepped over.
      if (place != 0) out[place] = static_cast<i16>(value_of(bits_at(chunk.words, value, width), width) * steps[place]);
      value += width;
    }
  }
}

// Running sums of 32 numbers in sums[0], into sums[1]; all threads of the block.
__device__ inline void running_sums(u32 (&sums)[2][CHUNK]) {
  u32 from = 0;
  for (u32 step = 1; step < CHUNK; step *= 2, from ^= 1) {
    for (u32 k = threadIdx.x; k < CHUNK; k += blockDim.x) {
      sums[from ^ 1][k] = sums[from][k] + (k >= step ? sums[from][k - step] : 0);
    }
    __syncthreads();
  }
  // Five steps: the last one wrote sums[1].
}

// What comes before number `k` of running sums.
__device__ __forceinline__ u32 before(const u32 (&sums)[2][CHUNK], u32 k) { return k == 0 ? 0 : sums[1][k - 1]; }

// Columns, then rows of the inverse DCT of `count` blocks, and their samples; all threads of the block. Item by item, neighbouring threads
// take neighbouring blocks: other banks of shared memory, and neighbouring bytes of a row of samples.
__device__ inline void transform(i16* blocks, u32 count, u8* samples, u32 stride) {
  for (u32 item = threadIdx.x; item < 8 * count; item += blockDim.x) {
    i16* column = blocks + item % count * PITCH + item / count;
    i16 values[8];
UNROLL
    for (u32 y = 0; y < 8; ++y) values[y] = column[8 * y];
    inverse_dct<11>(values);
UNROLL
    for (u32 y = 0; y < 8; ++y) column[8 * y] = values[y];
  }
  __syncthreads();
  for (u32 item = threadIdx.x; item < 8 * count; item += blockDim.x) {
    const u32 block = item % count, y = item / count;
    const i16* row = blocks + block * PITCH + 8 * y;
    i16 values[8];
UNROLL
    for (u32 x = 0; x < 8; ++x) values[x] = row[x];
    inverse_dct<18>(values);
    u32 words[2] = {0, 0};
UNROLL
    for (u32 x = 0; x < 8; ++x) words[x / 4] |= level(values[x] + 128) << (8 * (x % 4));
    *reinterpret_cast<uint2*>(samples + static_cast<u64>(y) * stride + 8 * block) = uint2{words[0], words[1]};
  }
}

// Four pixels of a component that has half the columns, from column `x` on, counted from the first pixel of its first sample. `near` and
// `far`: the row of samples, and the one that is mixed in one to three (the same where it has all rows).
__device__ inline void upsample_columns(const u8* near, const u8* far, i32 x, i32 last, u32 kind, u32 (&out)[4]) {
  if ((kind & FANCY) == 0) {
UNROLL
    for (i32 k = 0; k < 4; ++k) out[k] = near[min((x + k) / 2, last)];
    return;
  }
  const bool mixed = (kind & HALF_ROWS) != 0, odd = x % 2 != 0;
  // The four samples that the pixels are made of; beyond either end the last one counts again.
  const i32 base = (x + 1) / 2 - 1;
  u32 sums[4];
UNROLL
  for (i32 k = 0; k < 4; ++k) {
    const i32 column = min(max(base + k, 0), last);
    sums[k] = mixed ? 3u * near[column] + far[column] : near[column];
  }
  // Two samples a pixel, the nearer one three times: a pixel's left neighbour if its column is even, else its right one.
  const u32 shift = mixed ? 4 : 2, left = mixed ? 8 : 1, right = mixed ? 7 : 2;
UNROLL
  for (u32 k = 0; k < 4; ++k) {
    // From an even column on, samples 1 0, 1 2, 2 1, 2 3; from an odd one, 0 1, 1 0, 1 2, 2 1.
    const u32 even_start = k % 2 == 0 ? 3 * sums[k / 2 + 1] + sums[k / 2] + left : 3 * sums[k / 2 + 1] + sums[k / 2 + 2] + right;
    const u32 odd_start = k % 2 == 0 ? 3 * sums[k / 2] + sums[k / 2 + 1] + right : 3 * sums[k / 2 + 1] + sums[k / 2] + left;
    out[k] = (odd ? odd_start : even_start) >> shift;
  }
}

// Four pixels of the second or third component, from column `x` and in row `y` of the region.
__device__ inline void chroma_at(const PictureTask& picture, const u8* samples, u32 x, u32 y, u32 (&out)[4]) {
  const i32 last = static_cast<i32>(picture.chroma_last[0]), bottom = static_cast<i32>(picture.chroma_last[1]);
  const i32 column = static_cast<i32>(picture.chroma_at[0] + x), row = static_cast<i32>(picture.chroma_at[1] + y);
  const bool half = (picture.kind & HALF_ROWS) != 0;
  const i32 near = half ? row / 2 : row;
  const i32 far = !half ? near : row % 2 == 0 ? max(near - 1, 0) : min(near + 1, bottom);
  const u8* near_row = samples + static_cast<u64>(near) * picture.chroma_stride;
  const u8* far_row = samples + static_cast<u64>(far) * picture.chroma_stride;
  if ((picture.kind & HALF_COLUMNS) != 0) return upsample_columns(near_row, far_row, column, last, picture.kind, out);
UNROLL
  for (i32 k = 0; k < 4; ++k) out[k] = near_row[min(column + k, last)];
}

__device__ __forceinline__ u32 packed(const u32 (&bytes)[4]) {
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24;
}

// Four pixels of a region, from column `x` of row `y` on; what is behind the row's end means nothing.
__device__ inline void make_four(const PictureTask& picture, u32 x, u32 y, const u8* samples, u8* pixels) {
  const u8* row = samples + picture.samples[0] + static_cast<u64>(picture.at[1] + y) * picture.stride + picture.at[0];
  u32 first[4];
UNROLL
  for (u32 k = 0; k < 4; ++k) first[k] = row[min(x + k, picture.width - 1)];
  u8* out = pixels + picture.pixels.offset + static_cast<u64>(y) * picture.pixels.stride + x;
  if (picture.pixels.plane == 0) {
    *reinterpret_cast<u32*>(out) = packed(first);
    return;
  }
  u32 second[4], third[4];
  chroma_at(picture, samples + picture.samples[1], x, y, second);
  chroma_at(picture, samples + picture.samples[2], x, y, third);
  if ((picture.kind & RGB) == 0) {
UNROLL
    for (u32 k = 0; k < 4; ++k) {
      u32 pixel[3];
      convert(first[k], second[k], third[k], pixel);
      first[k] = pixel[0], second[k] = pixel[1], third[k] = pixel[2];
    }
  }
  *reinterpret_cast<u32*>(out) = packed(first);
  *reinterpret_cast<u32*>(out + picture.pixels.plane) = packed(second);
  *reinterpret_cast<u32*>(out + 2 * static_cast<u64>(picture.pixels.plane)) = packed(third);
}

}  // namespace coef

// Grid: one block a chunk. `records` is aligned to 16 and readable to a multiple of 16, `samples` is aligned to 8, `status` zeroed before;
// `tables`: 64 steps each, natural order.
extern "C" __global__ void __launch_bounds__(32)
    expand_chunks(const coef::ChunkTask* chunks, u32 count, const u8* __restrict__ records, const i16* tables, u8* samples, u32* status) {
  using namespace coef;
  __shared__ uint4 vectors[STAGED];
  __shared__ i16 steps[64];
  __shared__ u32 controls[2][CHUNK], values[2][CHUNK];
  __shared__ i16 blocks[CHUNK * PITCH];
  if (blockIdx.x >= count) return;
  const ChunkTask task = chunks[blockIdx.x];
  const u32 length = 2u * task.pairs, start = static_cast<u32>(task.bytes % 16);

  const uint4* from = reinterpret_cast<const uint4*>(records + (task.bytes - start));
  const u32 needed = (start + min(length, CHUNK_BOUND) + 15) / 16;
  for (u32 k = threadIdx.x; k < needed; k += blockDim.x) vectors[k] = from[k];
  for (u32 k = threadIdx.x; k < 64; k += blockDim.x) steps[k] = tables[64 * static_cast<u64>(task.table) + k];
  __syncthreads();

  // Where each block's masks start follows from the presence of those before it, where its values start from their masks and widths.
  const Staged chunk(vectors, start, task.blocks);
  for (u32 k = threadIdx.x; k < CHUNK; k += blockDim.x) {
    controls[0][k] = k < chunk.blocks ? control_bytes(static_cast<u32>(__popc(chunk.presence(k)))) : 0;
  }
  __syncthreads();
  running_sums(controls);
  for (u32 k = threadIdx.x; k < CHUNK; k += blockDim.x) {
    const u32 tiles = k < chunk.blocks ? static_cast<u32>(__popc(chunk.presence(k))) : 0;
    values[0][k] = value_bits(chunk, tiles, chunk.control_at() + before(controls, k));
  }
  __syncthreads();
  running_sums(values);

  for (u32 k = threadIdx.x; k < task.count; k += blockDim.x) {
    const u32 block = task.first + k;
    const u32 at = chunk.control_at() + before(controls, block), value = chunk.values_at() + before(values, block);
    unpack_block(chunk, block, at, value, steps, blocks + k * PITCH);
  }
  if (threadIdx.x == 0) {
    const u32 value_bytes = (values[1][CHUNK - 1] + 7) / 8 + chunk.values_at() / 8 - start;
    const bool ends = controls[1][CHUNK - 1] == chunk.control && (value_bytes + 1) / 2 * 2 == length;
    if (!ends) atomicOr(&status[task.image], CONTRADICTION);
  }
  __syncthreads();
  transform(blocks, task.count, samples + task.samples, 8u * task.stride);
}

// Grid: one block a band. `samples` as `expand_chunks` left them; `pixels` is aligned to 4.
extern "C" __global__ void __launch_bounds__(128)
    make_pixels(const coef::PictureTask* pictures, const coef::BandTask* bands, u32 count, const u8* __restrict__ samples,
                u8* __restrict__ pixels) {
  using namespace coef;
  if (blockIdx.x >= count) return;
  const BandTask band = bands[blockIdx.x];
  const PictureTask picture = pictures[band.picture];
  const u32 words = (picture.width + 3) / 4;
  for (u32 item = threadIdx.x; item < words * (band.end - band.first); item += blockDim.x) {
    make_four(picture, 4 * (item % words), band.first + item / words, samples, pixels);
  }
}
