// What the host sends of each view. Layouts are those of src/augment/plan.rs and src/augment/cuda/args.rs, which assert sizes and offsets.
#pragma once
#include "types.cuh"

// One drawn view, 48 bytes.
struct ViewPlan {
  u32 source;
  // In full-size source pixels; may leave the image by `pad` reflected pixels.
  i16 x, y, width, height;
  // Bit 0 mirror, 1-2 quarter turns, 3 gray, 4-7 which colour operations act, 8-15 their order.
  u32 flags;
  float brightness, contrast, saturation, hue, blur_sigma;
  u32 pad;
  u32 reserved[2];
};

// A plan, where its pixels are and where its tables lie, 112 bytes.
struct View {
  ViewPlan plan;
  // Byte of the first pixel of the held region's first plane, from the start of the pixels; a multiple of 4.
  u64 pixels;
  // Bytes from row to row, a multiple of 4, and from plane to plane; plane 0: one plane stands for R, G and B.
  u32 stride, plane;
  // First column and row of the held region in the image.
  i32 held_x, held_y;
  // The image.
  u32 width, height;
  // Where the axes' tables start, in 16 bytes, and how many words of four taps each output has.
  u32 column_table, row_table;
  u32 column_words, row_words;
  // Blur: first weight (of the centre), and taps beside the centre; no taps, no blur.
  u32 taps, radius;
  // Where the rows between the passes lie in the workspace, if they do not fit the block's shared memory: in 16 bytes, and a power of two of rows.
  u32 ring_at, ring_rows;
};
static_assert(sizeof(ViewPlan) == 48 && sizeof(View) == 112, "as the host writes them");

// What all views of a launch share.
struct Delivery {
  // Side of a view.
  u32 size;
  // 1: a triangle, else Pillow's bicubic.
  u32 bilinear;
  // Bytes of a value: 1, 2 or 4.
  u32 value_bytes;
  // Values of a pixel side by side, else planes.
  u32 channels_last;
  // Rows of the ring in shared memory, a power of two; 0: `workspace` holds the view and every ring.
  u32 ring_rows;
  // Bytes of workspace a view has for its planes, where `ring_rows` is 0.
  u32 view_bytes;
};

__device__ __forceinline__ bool is_mirrored(const ViewPlan& plan) { return (plan.flags & 1) != 0; }
// Counter-clockwise.
__device__ __forceinline__ u32 quarter_turns(const ViewPlan& plan) { return plan.flags >> 1 & 3; }
__device__ __forceinline__ bool ends_gray(const ViewPlan& plan) { return (plan.flags >> 3 & 1) != 0; }

// What a thread takes of a loop over `wide` columns and any rows:
//   for (u32 y = lane.y; y < height; y += lane.rows) for (u32 x = lane.x; x < wide; x += lane.columns)
struct Lane {
  u32 x, y, columns, rows;
  __device__ explicit Lane(u32 wide) {
    columns = min(wide, blockDim.x);
    rows = blockDim.x / columns;
    x = threadIdx.x % columns;
    // Threads of an incomplete last row take nothing.
    y = threadIdx.x / columns < rows ? threadIdx.x / columns : ~0u;
  }
};
