//! The kernels on one device, and their launches. All of them only queue: nothing here waits.

use crate::augment::cuda::list::ViewList;
use crate::gpu::{Arguments, Gpu, GpuError, Kernel, Launch, Module, Sources, Stream};

/// What is compiled: one module for all kernels.
pub const SOURCES: Sources<'static> = Sources {
    main: ("metacl.cu", "#include \"coef.cu\"\n#include \"mix.cu\"\n#include \"views.cu\"\n"),
    headers: &[
        ("blur.cuh", include_str!("../../../kernels/blur.cuh")),
        ("coef.cu", include_str!("../../../kernels/coef.cu")),
        ("coef.cuh", include_str!("../../../kernels/coef.cuh")),
        ("colour.cuh", include_str!("../../../kernels/colour.cuh")),
        ("deliver.cuh", include_str!("../../../kernels/deliver.cuh")),
        ("mix.cu", include_str!("../../../kernels/mix.cu")),
        ("plan.cuh", include_str!("../../../kernels/plan.cuh")),
        ("resample.cuh", include_str!("../../../kernels/resample.cuh")),
        ("types.cuh", include_str!("../../../kernels/types.cuh")),
        ("views.cu", include_str!("../../../kernels/views.cu")),
    ],
};

/// Names of all kernels.
pub const NAMES: [&str; 5] = ["expand_chunks", "make_pixels", "make_tables", "render_views", "mix_rows"];

/// Threads of a block of `make_tables`.
const TABLE_THREADS: u32 = 128;

/// The kernels, loaded.
#[derive(Clone, Debug)]
pub struct Kernels {
    pub(super) expand_chunks: Kernel,
    pub(super) make_pixels: Kernel,
    make_tables: Kernel,
    render_views: Kernel,
    pub(super) mix_rows: Kernel,
    shared: u32,
}

/// Addresses on the device that a launch over a [`ViewList`] takes.
#[derive(Clone, Copy, Debug)]
pub struct ViewMemory {
    /// [`ViewList::views`].
    pub views: u64,
    /// Start of the pixels that sources count from.
    pub pixels: u64,
    /// [`ViewList::table_bytes`] bytes, aligned to 16.
    pub tables: u64,
    /// [`ViewList::weights`].
    pub weights: u64,
    /// [`ValueKind::table`](super::ValueKind::table).
    pub values: u64,
    /// [`ViewList::workspace_bytes`] bytes, aligned to 16.
    pub workspace: u64,
    /// [`ViewList::batch_bytes`] bytes, aligned to 16.
    pub batch: u64,
}

impl Kernels {
    /// The kernels of a module compiled from [`SOURCES`], on a device whose blocks may have `per_block` bytes of shared memory.
    ///
    /// # Errors
    /// Where the module is another, or the device allows less.
    pub fn of(module: &Module, per_block: u32) -> Result<Self, GpuError> {
        let [expand_chunks, make_pixels, make_tables, render_views, mix_rows] = NAMES.map(|name| module.kernel(name));
        let render_views = render_views?;
        // What the source declares counts as well.
        let shared = per_block.saturating_sub(render_views.attributes()?.static_shared as u32);
        render_views.allow_shared(shared as usize)?;
        Ok(Self {
            shared,
            expand_chunks: expand_chunks?,
            make_pixels: make_pixels?,
            make_tables: make_tables?,
            render_views,
            mix_rows: mix_rows?,
        })
    }

    /// The device they are loaded on.
    pub fn gpu(&self) -> &Gpu {
        self.render_views.gpu()
    }

    /// Bytes of shared memory that a launch of `render_views` may ask for a block.
    pub fn shared(&self) -> u32 {
        self.shared
    }

    /// Queues the views of `list` on `stream`: their tables, then one launch for all of them.
    ///
    /// # Safety
    /// `memory` is what its fields say, filled by then on this stream or before it by an event, and stays so until the launch has run.
    ///
    /// # Errors
    /// [`GpuError`].
    pub unsafe fn render(&self, stream: &Stream, list: &ViewList, memory: ViewMemory) -> Result<(), GpuError> {
        let ViewMemory { views, pixels, tables, weights, values, workspace, batch } = memory;
        let count = list.views().len() as u32;
        let launch = Launch { grid: 2 * count, block: TABLE_THREADS, shared: 0 };
        let arguments = Arguments::new().pointer(views).pointer(tables).value(list.delivery());
        // SAFETY: the kernel's parameters, in order; memory by the caller's promise.
        unsafe { stream.launch(&self.make_tables, launch, &arguments) }?;

        let launch = Launch { grid: count, block: list.threads(), shared: list.shared_bytes() };
        let arguments = Arguments::new()
            .pointer(views)
            .pointer(pixels)
            .pointer(tables)
            .pointer(weights)
            .pointer(values)
            .pointer(workspace)
            .pointer(batch)
            .value(list.delivery());
        // SAFETY: as above.
        unsafe { stream.launch(&self.render_views, launch, &arguments) }
    }
}
