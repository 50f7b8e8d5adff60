// Brightness, contrast, saturation, hue and gray: Pillow's values to the bit (the definition: src/augment/mod.rs).
//
// A thread holds four pixels of the view in registers and runs the operations of the plan on them in its order; contrast cuts them in two
// passes, because its base is the mean grey of what was before it. That mean is a sum of integers: exact, whatever the order.
// f32 without contraction (--fmad=false); where a fused operation is meant, it is written.
#pragma once
#include "plan.cuh"

enum ColourOp { BRIGHTNESS = 0, CONTRAST = 1, SATURATION = 2, HUE = 3 };

struct Four {
  i32 r[4], g[4], b[4];
};

__device__ __forceinline__ i32 luma(i32 r, i32 g, i32 b) { return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16; }

// base + factor (value - base) in f32, clamped to 0..=255 and truncated.
__device__ __forceinline__ i32 blend(i32 base, i32 value, float factor) {
  const float from = static_cast<float>(base);
  const float mixed = __fadd_rn(from, __fmul_rn(factor, static_cast<float>(value - base)));
  return min(max(__float2int_rz(mixed), 0), 255);
}

// floor(255 value) of the exact product.
__device__ __forceinline__ i32 floor_255(float value) {
  const i32 whole = __float2int_rz(__fmul_rn(value, 255.0f));
  // The rounded product may have reached the next whole number: then the exact one lies below it.
  return __fmaf_rn(value, 255.0f, -static_cast<float>(whole)) < 0.0f ? whole - 1 : whole;
}

// value / 6, rounded once: a product by the rounded sixth, mended by its residual.
__device__ __forceinline__ float sixth(float value) {
  const float part = 1.0f / 6.0f;
  const float near = __fmul_rn(value, part);
  return __fmaf_rn(__fmaf_rn(-6.0f, near, value), part, near);
}

// Adds `shift` to the hue byte of Pillow's HSV and goes back.
__device__ __forceinline__ void turn_hue(i32& r, i32& g, i32& b, i32 shift) {
  const i32 most = max(r, max(g, b)), least = min(r, min(g, b));
  // Raised to 1, gray pixels need no branch: their saturation is 0.
  const float chroma = static_cast<float>(max(most - least, 1));
  const i32 middle = r + g + b - most - least;
  const float part = __fdiv_rn(static_cast<float>(most - middle), chroma);
  // In sixths of a turn; the channel that is least is one chroma below the largest, whose first of equals counts.
  float sixths;
  if (r == most) {
    sixths = b == least ? __fsub_rn(1.0f, part) : __fsub_rn(part, 1.0f);
  } else if (g == most) {
    sixths = r == least ? __fsub_rn(3.0f, part) : __fadd_rn(1.0f, part);
  } else {
    sixths = g == least ? __fsub_rn(5.0f, part) : __fadd_rn(3.0f, part);
  }
  const float turns = sixth(sixths);
  const i32 hue = floor_255(turns < 0.0f ? __fadd_rn(turns, 1.0f) : turns);
  const i32 saturation = floor_255(__fdiv_rn(static_cast<float>(most - least), static_cast<float>(max(most, 1))));

  const i32 turned = (hue + shift) & 255;
  const auto channel = [&](i32 n) {
    i32 k = 85 * n + 2 * turned;
    k = k >= 510 ? k - 510 : k;
    const i32 lost = min(max(min(k, 340 - k), 0), 85);
    // V - V S lost / (255 * 85), rounded; the divisor is odd, so nothing lies halfway.
    return static_cast<i32>(static_cast<u32>(most * (21675 - saturation * lost) + 10837) / 21675u);
  };
  r = channel(5);
  g = channel(3);
  b = channel(1);
}

// One operation on four pixels. `mean`: the grey that contrast blends with; `shift`: of hue bytes.
__device__ __forceinline__ void apply(u32 op, const ViewPlan& plan, i32 mean, i32 shift, Four& four) {
  if (op == HUE) {
UNROLL
    for (u32 k = 0; k < 4; ++k) turn_hue(four.r[k], four.g[k], four.b[k], shift);
    return;
  }
  const float factor = op == BRIGHTNESS ? plan.brightness : op == CONTRAST ? plan.contrast : plan.saturation;
UNROLL
  for (u32 k = 0; k < 4; ++k) {
    i32 &r = four.r[k], &g = four.g[k], &b = four.b[k];
    const i32 base = op == BRIGHTNESS ? 0 : op == CONTRAST ? mean : luma(r, g, b);
    r = blend(base, r, factor);
    g = blend(base, g, factor);
    b = blend(base, b, factor);
  }
}

__device__ __forceinline__ void unpack(u32 word, i32 (&values)[4]) {
UNROLL
  for (u32 k = 0; k < 4; ++k) values[k] = static_cast<i32>(word >> (8 * k) & 255);
}
__device__ __forceinline__ u32 pack(const i32 (&values)[4]) {
  return static_cast<u32>(values[0]) | static_cast<u32>(values[1]) << 8 | static_cast<u32>(values[2]) << 16 |
         static_cast<u32>(values[3]) << 24;
}

// A view on its way: one plane, or three that are `plane` bytes apart, of `area` pixels.
struct Planes {
  u8* bytes;
  u32 plane, area;
  bool single;

  __device__ __forceinline__ Four load(u32 word) const {
    Four four;
    const u32* from = reinterpret_cast<const u32*>(bytes) + word;
    unpack(from[0], four.r);
    unpack(single ? from[0] : from[plane / 4], four.g);
    unpack(single ? from[0] : from[plane / 2], four.b);
    return four;
  }
  __device__ __forceinline__ void store(u32 word, const Four& four) const {
    u32* to = reinterpret_cast<u32*>(bytes) + word;
    to[0] = pack(four.r);
    if (single) return;
    to[plane / 4] = pack(four.g);
    to[plane / 2] = pack(four.b);
  }
};

// Runs operations `from..to` of the plan's order, then gray if `finish`; adds the greys of what comes out to `sum` if it is one.
__device__ inline void colour_pass(const ViewPlan& plan, const Planes& view, u32 from, u32 to, i32 mean, bool finish, u32* sum) {
  const u32 acting = plan.flags >> 4 & 15, order = plan.flags >> 8;
  // As Pillow's double has it, truncated.
  const i32 shift = static_cast<i32>(255.0 * static_cast<double>(plan.hue));
  u32 greys = 0;
  for (u32 word = threadIdx.x; 4 * word < view.area; word += blockDim.x) {
    Four four = view.load(word);
    for (u32 place = from; place < to; ++place) {
      const u32 op = order >> (2 * place) & 3;
      if (acting >> op & 1) apply(op, plan, mean, shift, four);
    }
    if (sum != nullptr) {
      for (u32 k = 0; k < 4; ++k) {
        if (4 * word + k < view.area) greys += static_cast<u32>(luma(four.r[k], four.g[k], four.b[k]));
      }
    }
    if (finish && ends_gray(plan)) {
UNROLL
      for (u32 k = 0; k < 4; ++k) four.r[k] = four.g[k] = four.b[k] = luma(four.r[k], four.g[k], four.b[k]);
    }
    view.store(word, four);
  }
  if (sum != nullptr) atomicAdd(&sum[threadIdx.x % 32], greys);
}

// The plan's colour operations and gray, by all threads of the block.
__device__ inline void colour_view(const ViewPlan& plan, const Planes& view) {
  __shared__ u32 sums[32];
  const u32 acting = plan.flags >> 4 & 15, order = plan.flags >> 8;
  if (acting == 0 && !ends_gray(plan)) return;
  u32 split = 0;
  while (split < 4 && (order >> (2 * split) & 3) != CONTRAST) ++split;
  // An order that does not name it has none.
  if ((acting >> CONTRAST & 1) == 0 || split == 4) {
    colour_pass(plan, view, 0, 4, 0, true, nullptr);
    __syncthreads();
    return;
  }
  for (u32 k = threadIdx.x; k < 32; k += blockDim.x) sums[k] = 0;
  __syncthreads();
  colour_pass(plan, view, 0, split, 0, false, sums);
  __syncthreads();
  u32 sum = 0;
  for (u32 k = 0; k < 32; ++k) sum += sums[k];
  const i32 mean = static_cast<i32>(static_cast<double>(sum) / static_cast<double>(view.area) + 0.5);
  colour_pass(plan, view, split, 4, mean, true, nullptr);
  __syncthreads();
}
