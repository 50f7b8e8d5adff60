//! What `shim.c` exports, and its structs.

use std::ffi::{c_char, c_int};

/// A JPEG's header.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: i32,
    /// [`GRAY`], [`YCBCR`], [`RGB`] or another.
    pub(super) space: i32,
    /// Bits of a sample.
    pub(super) precision: i32,
    /// Not 0: no DCT.
    pub(super) lossless: i32,
}

pub(super) const GRAY: i32 = 1;
pub(super) const YCBCR: i32 = 2;
pub(super) const RGB: i32 = 3;

/// A component without its blocks.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Component {
    pub(super) h: i32,
    pub(super) v: i32,
    pub(super) columns: u32,
    pub(super) rows: u32,
    /// 0: no scan held the component.
    pub(super) has_table: i32,
    pub(super) quantisation: [u16; 64],
}

impl Component {
    pub(super) const EMPTY: Self = Self { h: 0, v: 0, columns: 0, rows: 0, has_table: 0, quantisation: [0; 64] };
}

/// Opaque.
#[repr(C)]
pub(super) struct Reader {
    _private: [u8; 0],
}

/// Opaque.
#[repr(C)]
pub(super) struct Writer {
    _private: [u8; 0],
}

unsafe extern "C" {
    pub(super) fn metacl_jpeg_new() -> *mut Reader;
    pub(super) fn metacl_jpeg_open(reader: *mut Reader, bytes: *const u8, length: usize, header: *mut Header) -> c_int;
    pub(super) fn metacl_jpeg_read(reader: *mut Reader, most_scans: c_int, rgb: *mut u8) -> c_int;
    pub(super) fn metacl_jpeg_component(reader: *const Reader, index: c_int, out: *mut Component);
    pub(super) fn metacl_jpeg_blocks(reader: *mut Reader, index: c_int, out: *mut [i16; 64]) -> c_int;
    pub(super) fn metacl_jpeg_message(reader: *const Reader) -> *const c_char;
    pub(super) fn metacl_jpeg_close(reader: *mut Reader);

    pub(super) fn metacl_jpeg_write(
        header: *const Header,
        components: *const Component,
        blocks: *const *const [i16; 64],
        optimise: c_int,
    ) -> *mut Writer;
    pub(super) fn metacl_jpeg_file(writer: *const Writer, length: *mut usize) -> *const u8;
    pub(super) fn metacl_jpeg_failure(writer: *const Writer) -> *const c_char;
    pub(super) fn metacl_jpeg_free(writer: *mut Writer);
}
