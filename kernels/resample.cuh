// Crop and antialiased resize: Pillow's two passes, every one rounded to 8 bits, in integers.
//
// A weight of 22 bits is cut into three signed digits of 8 bits, w = d0 + 256 d1 + 65536 d2, and levels are shifted to -128..127, so that one
// dp4a takes four taps of a digit:
//
//   sum of w v  =  dp4a(d0, v - 128) + 256 dp4a(d1, ..) + 65536 dp4a(d2, ..) + 128 sum of w
//
// exactly. Taps lie in words of four: an output's first word starts at a multiple of 4 bytes of memory (columns) or of the crop's rows, and
// weights of what its kernel does not reach are 0.
//
// Table of an axis, made by `make_tables`: `int4 weights[words][size]` (three digits of four taps; the constant 128 sum w + 2^21 in the
// fourth value of the first word), then `u32 starts[size]`.
#pragma once
#include "plan.cuh"

// Pillow's kernel (libImaging/Resample.c), f64, in its order of operations.
__device__ __forceinline__ double kernel_at(double x, bool bilinear) {
  x = x < 0.0 ? -x : x;
  if (bilinear) return x < 1.0 ? 1.0 - x : 0.0;
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
  return 0.0;
}

// Columns of the crop that lie before it in its first aligned word; none where its border is reflected.
__device__ __forceinline__ bool is_folded(const View& view) {
  const ViewPlan& plan = view.plan;
  return plan.x < 0 || plan.y < 0 || plan.x + plan.width > static_cast<i32>(view.width) ||
         plan.y + plan.height > static_cast<i32>(view.height);
}
__device__ __forceinline__ u32 lead_of(const View& view) {
  return is_folded(view) ? 0 : static_cast<u32>(view.plan.x - view.held_x) & 3;
}

// The table of an axis from `input` to `size` pixels, `lead` of which come before the first; by all threads of the block.
__device__ inline void make_axis(int4* weights, u32 words, u32 input, u32 lead, const Delivery& delivery) {
  const u32 size = delivery.size;
  const bool bilinear = delivery.bilinear != 0;
  u32* starts = reinterpret_cast<u32*>(weights + static_cast<u64>(words) * size);
  const double scale = static_cast<double>(input) / static_cast<double>(size);
  const double wide = scale > 1.0 ? scale : 1.0;
  const double reach = (bilinear ? 1.0 : 2.0) * wide;
  const double narrow = 1.0 / wide;
  const i32 last_start = static_cast<i32>((lead + input + 3) & ~3u) - static_cast<i32>(4 * words);

  for (u32 x = threadIdx.x; x < size; x += blockDim.x) {
    const double centre = (static_cast<double>(x) + 0.5) * scale;
    const i32 first = max(static_cast<i32>(centre - reach + 0.5), 0);
    const i32 end = min(static_cast<i32>(centre + reach + 0.5), static_cast<i32>(input));
    double sum = 0.0;
    for (i32 tap = first; tap < end; ++tap) {
      sum = sum + kernel_at((static_cast<double>(tap) - centre + 0.5) * narrow, bilinear);
    }
    const i32 start = max(min((static_cast<i32>(lead) + first) & ~3, last_start), 0);
    i32 total = 0;
    for (u32 word = 0; word < words; ++word) {
      u32 low = 0, middle = 0, high = 0;
      for (u32 byte = 0; byte < 4; ++byte) {
        const i32 tap = start + static_cast<i32>(4 * word + byte) - static_cast<i32>(lead);
        if (tap < first || tap >= end) continue;
        const double share = kernel_at((static_cast<double>(tap) - centre + 0.5) * narrow, bilinear);
        const double scaled = (sum != 0.0 ? share / sum : share) * 4194304.0;
        const i32 weight = static_cast<i32>(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
        total += weight;
        const i32 d0 = static_cast<i8>(weight);
        const i32 rest = (weight - d0) >> 8;
        const i32 d1 = static_cast<i8>(rest);
        const i32 d2 = (rest - d1) >> 8;
        low |= static_cast<u32>(d0 & 255) << (8 * byte);
        middle |= static_cast<u32>(d1 & 255) << (8 * byte);
        high |= static_cast<u32>(d2 & 255) << (8 * byte);
      }
      weights[word * size + x] = int4{static_cast<i32>(low), static_cast<i32>(middle), static_cast<i32>(high), 0};
    }
    weights[x].w = 128 * total + (1 << 21);
    starts[x] = static_cast<u32>(start);
  }
}

// A table as the passes read it.
struct Axis {
  const int4* weights;
  const u32* starts;
  u32 words, size;

  __device__ Axis(const int4* tables, u32 at, u32 words, u32 size)
      : weights(tables + at), starts(reinterpret_cast<const u32*>(tables + at + words * size)), words(words), size(size) {}
  __device__ __forceinline__ int4 weight(u32 word, u32 x) const { return weights[word * size + x]; }
  __device__ __forceinline__ u32 start(u32 x) const { return starts[x]; }
  // One past the last tap's word of output x.
  __device__ __forceinline__ u32 end(u32 x) const { return starts[x] + 4 * words; }
};

// A sum of taps, a digit at a time.
struct Sum {
  i32 low = 0, middle = 0, high = 0;
  __device__ __forceinline__ void add(const int4& weight, i32 levels) {
    low = __dp4a(weight.x, levels, low);
    middle = __dp4a(weight.y, levels, middle);
    high = __dp4a(weight.z, levels, high);
  }
  // Between the terms a sum may leave 32 bits; the result fits.
  __device__ __forceinline__ i32 level(i32 constant) const {
    const u32 sum = static_cast<u32>(low) + (static_cast<u32>(middle) << 8) + (static_cast<u32>(high) << 16) +
                    static_cast<u32>(constant);
    return min(max(static_cast<i32>(sum) >> 22, 0), 255);
  }
};

// Words of four pixels of a crop, one plane of it.
struct Crop {
  const u8* plane;
  const View& view;
  u32 stride, height;
  bool folded;

  // `pixels`: of the held region's plane.
  __device__ Crop(const u8* pixels, const View& view) : view(view), stride(view.stride), height(view.plan.height) {
    folded = is_folded(view);
    const i32 column = (view.plan.x - view.held_x) & ~3;
    plane = folded ? pixels : pixels + static_cast<u64>(view.plan.y - view.held_y) * stride + column;
  }

  // Reflection at the edge pixels, which are not repeated.
  __device__ static i32 fold(i32 index, i32 length) {
    index = index < 0 ? -index : index;
    return index < length ? index : 2 * (length - 1) - index;
  }

  // Levels less 128 of columns `column..column + 4`, counted from the word that the crop starts in. Rows behind the last repeat it.
  __device__ __forceinline__ i32 four(u32 row, u32 column) const {
    row = min(row, height - 1);
    u32 word;
    if (!folded) {
      word = __ldg(reinterpret_cast<const u32*>(plane + static_cast<u64>(row) * stride + column));
    } else {
      word = gathered(row, column);
    }
    return static_cast<i32>(word ^ 0x80808080u);
  }

  __device__ u32 gathered(u32 row, u32 column) const {
    const ViewPlan& plan = view.plan;
    const i32 y = fold(plan.y + static_cast<i32>(row), static_cast<i32>(view.height)) - view.held_y;
    u32 word = 0;
    for (u32 byte = 0; byte < 4; ++byte) {
      const i32 inside = min(static_cast<i32>(column + byte), plan.width - 1);
      const i32 x = fold(plan.x + inside, static_cast<i32>(view.width)) - view.held_x;
      word |= static_cast<u32>(plane[static_cast<u64>(y) * stride + static_cast<u64>(x)]) << (8 * byte);
    }
    return word;
  }
};

// Rows between the passes: `rows` of them (a power of two), every column's together, less 128. Columns are a word apart more than their rows
// take, so that threads side by side meet different banks.
struct Ring {
  u8* bytes;
  u32 rows;
  __device__ __forceinline__ u32* word(u32 column, u32 row) const {
    return reinterpret_cast<u32*>(bytes + static_cast<u64>(column) * (rows + 4) + (row & (rows - 1)));
  }
};

// Rows `from..to` (multiples of 4) of the crop, through the columns' table, into the ring.
__device__ inline void pass_across(const Crop& crop, const Axis& columns, const Ring& ring, u32 from, u32 to, const Lane& lane) {
  for (u32 group = lane.y; 4 * group < to - from; group += lane.rows) {
    const u32 row = from + 4 * group;
    for (u32 x = lane.x; x < columns.size; x += lane.columns) {
      const u32 start = columns.start(x);
      Sum sums[4];
      i32 constant = 0;
      for (u32 word = 0; word < columns.words; ++word) {
        const int4 weight = columns.weight(word, x);
        if (word == 0) constant = weight.w;
UNROLL
        for (u32 k = 0; k < 4; ++k) sums[k].add(weight, crop.four(row + k, start + 4 * word));
      }
      u32 four = 0;
UNROLL
      for (u32 k = 0; k < 4; ++k) four |= static_cast<u32>(sums[k].level(constant)) << (8 * k);
      *ring.word(x, row) = four ^ 0x80808080u;
    }
  }
}

// Rows `from..to` of the view out of the ring, into `plane`. A thread takes four columns, a quarter apart, for one reading of the weights.
__device__ inline void pass_down(const Ring& ring, const Axis& rows, u8* plane, bool mirrored, u32 from, u32 to, const Lane& lane) {
  const u32 size = rows.size, quarter = (size + 3) / 4;
  for (u32 line = lane.y; line < to - from; line += lane.rows) {
    const u32 y = from + line, start = rows.start(y);
    for (u32 left = lane.x; left < quarter; left += lane.columns) {
      Sum sums[4];
      i32 constant = 0;
      for (u32 word = 0; word < rows.words; ++word) {
        const int4 weight = rows.weight(word, y);
        if (word == 0) constant = weight.w;
UNROLL
        for (u32 k = 0; k < 4; ++k) {
          const u32 x = left + k * quarter;
          if (x < size) sums[k].add(weight, static_cast<i32>(*ring.word(x, start + 4 * word)));
        }
      }
UNROLL
      for (u32 k = 0; k < 4; ++k) {
        const u32 x = left + k * quarter;
        if (x < size) plane[y * size + (mirrored ? size - 1 - x : x)] = static_cast<u8>(sums[k].level(constant));
      }
    }
  }
}

// The last row of the view, plus one, whose taps all fit the ring when row `from`'s first tap is the oldest.
__device__ inline u32 band_end(const Axis& rows, u32 from, u32 ring_rows) {
  const u32 most = rows.start(from) + ring_rows;
  u32 low = from + 1, high = rows.size;
  while (low < high) {
    const u32 middle = (low + high + 1) / 2;
    if (rows.end(middle - 1) <= most) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// One plane of the crop to one plane of the view; all threads of the block. The ring holds at least the taps of one row.
__device__ inline void resample_plane(const u8* pixels, const View& view, const Axis& columns, const Axis& rows, const Ring& ring, u8* plane) {
  const Crop crop(pixels, view);
  const Lane across(columns.size), down((columns.size + 3) / 4);
  const u32 height = (view.plan.height + 3) & ~3u;
  u32 done = 0;
  for (u32 y = 0; y < rows.size;) {
    const u32 next = band_end(rows, y, ring.rows);
    const u32 needed = min(rows.end(next - 1), height);
    pass_across(crop, columns, ring, max(done, rows.start(y)), needed, across);
    __syncthreads();
    pass_down(ring, rows, plane, is_mirrored(view.plan), y, next, down);
    __syncthreads();
    done = needed;
    y = next;
  }
}
