//! Views through the kernels, as on a device: sources in an arena, one launch for all.

use std::ffi::c_void;

use metacl::augment::cuda::{Output, Source, ViewList};
use metacl::augment::{ViewPlan, ViewSpec};
use metacl::decode::Region;
use metacl::image::Size;

use super::Kernels;

/// What a launch runs on.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Shared memory that a block may have.
    pub shared: u32,
    /// Threads of a block; none: as many as the list says.
    pub threads: Option<u32>,
}

/// An H100's shared memory, and one thread a block, which is fastest on a CPU.
pub const FAST: Machine = Machine { shared: 232_448, threads: Some(1) };

/// Memory of exactly so many bytes, aligned as device memory is.
pub struct Memory(Vec<u128>, usize);

impl Memory {
    pub fn new(bytes: u64) -> Self {
        let bytes = bytes as usize;
        Self(vec![0xdddd_dddd_dddd_dddd_dddd_dddd_dddd_dddd; bytes.div_ceil(16)], bytes)
    }

    pub fn pointer(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// Sources behind each other, as a stage lays them out.
#[derive(Default)]
pub struct Arena {
    bytes: Vec<u8>,
}

impl Arena {
    /// Copies a region behind what is there.
    pub fn add(&mut self, region: Region<'_>, image: Size) -> Source {
        let held = region.rect();
        let stride = held.width.next_multiple_of(4);
        let (at, pixels) = (self.bytes.len() as u64, region.pixels);
        for channel in 0..pixels.channels() {
            for y in 0..held.height {
                self.bytes.extend_from_slice(pixels.row(channel, y));
                let end = self.bytes.len().next_multiple_of(4);
                self.bytes.resize(end, 0xee);
            }
        }
        let plane = if pixels.is_gray() { 0 } else { stride * held.height };
        Source { at, stride, plane, held, image }
    }

    /// A copy as device memory.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::new(self.bytes.len() as u64);
        memory.bytes_mut().copy_from_slice(&self.bytes);
        memory
    }
}

/// Runs both kernels over the views of `list`, whose sources lie in `arena`.
pub fn launch(list: &ViewList, output: Output, arena: &Arena, machine: Machine) -> Vec<u8> {
    let kernels = Kernels::get();
    let mut views = list.views().to_vec();
    let mut weights = list.weights().to_vec();
    let (mut pixels, mut tables) = (arena.memory(), Memory::new(list.table_bytes()));
    let (mut workspace, mut batch) = (Memory::new(list.workspace_bytes()), Memory::new(list.batch_bytes()));
    let (mut values, mut delivery) = (output.kind.table(), list.delivery());
    let count = views.len() as u32;

    let mut pointers = [
        views.as_mut_ptr().cast(),
        pixels.pointer(),
        tables.pointer(),
        weights.as_mut_ptr().cast(),
        values.as_mut_ptr().cast(),
        workspace.pointer(),
        batch.pointer(),
    ];
    let [views_at, pixels_at, tables_at, weights_at, values_at, workspace_at, batch_at] =
        pointers.each_mut().map(|pointer| std::ptr::from_mut::<*mut c_void>(pointer).cast::<c_void>());
    let delivery_at = (&raw mut delivery).cast();
    // SAFETY: the parameters of the kernels, in their order; sizes as the list says.
    unsafe {
        let block = machine.threads.unwrap_or(64);
        kernels.launch("make_tables", 2 * count, block, 0, &[views_at, tables_at, delivery_at]);
        let block = machine.threads.unwrap_or(list.threads());
        let arguments = [views_at, pixels_at, tables_at, weights_at, values_at, workspace_at, batch_at, delivery_at];
        kernels.launch("render_views", count, block, list.shared_bytes(), &arguments);
    }
    batch.bytes().to_vec()
}

/// One view of levels, planar.
pub fn render(source: Region<'_>, image: Size, plan: &ViewPlan, spec: ViewSpec, machine: Machine) -> Vec<u8> {
    let output = Output { kind: metacl::augment::cuda::ValueKind::U8, channels_last: false };
    let mut arena = Arena::default();
    let mut list = ViewList::new(spec, output, machine.shared);
    list.push(plan, arena.add(source, image)).expect("a plan that fits its image");
    launch(&list, output, &arena, machine)
}
