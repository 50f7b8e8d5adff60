// Views of a batch: crop, antialiased resize, mirror, colour operations in drawn order, gray, blur, quarter turns, values. One launch for a
// batch, whatever the sizes of its sources; equal bytes to the CPU's (integers and IEEE f32/f64, no contraction, no fast division).
//
// Launch shape of `render_views`: a block a view. The view stays in the block's shared memory from the first pass to its delivery (3 size^2 bytes:
// 150,528 at 224; an A100's block has 166,912, an H100's 232,448), with a ring of rows between the passes behind it, so each byte of a source is
// read once from memory, whatever the stages, and each value of the batch is written once:
//   bytes moved = crop (3 width height) + batch (3 size^2 value_bytes) + tables (about 16 KB a view, written and read within the L2 cache).
// Views that do not fit lie in the workspace, with the same code.
// Threads: a multiple of the side, up to 1024; any number is right, one too (that is how the host runs it).
#include "blur.cuh"
#include "resample.cuh"

// Tables of both axes: a block an axis of a view. Bounded by 256 threads, ptxas would spill a register on sm_80.
extern "C" __global__ void __launch_bounds__(128) make_tables(const View* views, int4* tables, Delivery delivery) {
  const View& view = views[blockIdx.x / 2];
  if (blockIdx.x % 2 == 0) {
    make_axis(tables + view.column_table, view.column_words, static_cast<u32>(view.plan.width), lead_of(view), delivery);
  } else {
    make_axis(tables + view.row_table, view.row_words, static_cast<u32>(view.plan.height), 0, delivery);
  }
}

extern "C" __global__ void __launch_bounds__(1024, 1)
    render_views(const View* views, const u8* pixels, const int4* tables, const i16* blur, const u32* values, u8* workspace, u8* batch, Delivery delivery) {
  SHARED_BYTES(shared);
  __shared__ u32 bits[768];
  const View& view = views[blockIdx.x];
  const u32 size = delivery.size, area = size * size, plane = (area + 3) & ~3u;
  for (u32 k = threadIdx.x; k < 768; k += blockDim.x) bits[k] = values[k];

  const bool fits = delivery.ring_rows != 0;
  u8* const bytes = fits ? shared : workspace + static_cast<u64>(blockIdx.x) * delivery.view_bytes;
  Ring ring{shared + 3 * plane, delivery.ring_rows};
  if (view.ring_rows != 0) ring = Ring{workspace + static_cast<u64>(gridDim.x) * delivery.view_bytes + 16 * static_cast<u64>(view.ring_at), view.ring_rows};

  const Planes source{bytes, plane, area, view.plane == 0};
  const Axis columns(tables, view.column_table, view.column_words, size), rows(tables, view.row_table, view.row_words, size);
  for (u32 channel = 0; channel < (source.single ? 1 : 3); ++channel) {
    resample_plane(pixels + view.pixels + static_cast<u64>(channel) * view.plane, view, columns, rows, ring, bytes + channel * plane);
  }
  colour_view(view.plan, source);

  const Planes finished{bytes, plane, area, source.single || ends_gray(view.plan)};
  u8* const to = batch + static_cast<u64>(blockIdx.x) * 3 * area * delivery.value_bytes;
  const Target target{to, bits, size, area, delivery.value_bytes, quarter_turns(view.plan), delivery.channels_last != 0};
  __syncthreads();
  if (view.radius > 0) {
    const u32 room = size * (ring.rows + 4);
    blur_view(finished, blur + view.taps, view.radius, reinterpret_cast<i16*>(ring.bytes), room, target);
  } else {
    deliver_view(finished, target);
  }
}
