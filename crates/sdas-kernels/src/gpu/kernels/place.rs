//! Windows and the places of pixels, read from the table.

use super::super::table::{WIDTH, piece};
use cubecl::prelude::*;

/// A number of a row.
#[cube]
pub fn at(table: &[i32], row: usize, #[comptime] place: usize) -> usize {
    table[row * WIDTH + place] as usize
}

/// A number of a row that may be none.
#[cube]
pub fn signed(table: &[i32], row: usize, #[comptime] place: usize) -> i32 {
    table[row * WIDTH + place]
}

/// A window that moves over an activation.
#[derive(CubeType, Clone, Copy)]
pub struct Window {
    pub input_t: i32,
    pub input_h: i32,
    pub input_w: i32,
    pub output_t: i32,
    pub output_h: i32,
    pub output_w: i32,
    pub kernel_t: i32,
    pub kernel_h: i32,
    pub kernel_w: i32,
    pub dilation_t: i32,
    pub dilation_h: i32,
    pub dilation_w: i32,
    pub stride_t: i32,
    pub stride_h: i32,
    pub stride_w: i32,
    pub padding_t: i32,
    pub padding_h: i32,
    pub padding_w: i32,
}

#[cube]
pub fn window(table: &[i32], row: usize) -> Window {
    Window {
        input_t: signed(table, row, piece::WINDOW),
        input_h: signed(table, row, piece::WINDOW + 1),
        input_w: signed(table, row, piece::WINDOW + 2),
        output_t: signed(table, row, piece::WINDOW + 3),
        output_h: signed(table, row, piece::WINDOW + 4),
        output_w: signed(table, row, piece::WINDOW + 5),
        kernel_t: signed(table, row, piece::WINDOW + 6),
        kernel_h: signed(table, row, piece::WINDOW + 7),
        kernel_w: signed(table, row, piece::WINDOW + 8),
        dilation_t: signed(table, row, piece::WINDOW + 9),
        dilation_h: signed(table, row, piece::WINDOW + 10),
        dilation_w: signed(table, row, piece::WINDOW + 11),
        stride_t: signed(table, row, piece::WINDOW + 12),
        stride_h: signed(table, row, piece::WINDOW + 13),
        stride_w: signed(table, row, piece::WINDOW + 14),
        padding_t: signed(table, row, piece::WINDOW + 15),
        padding_h: signed(table, row, piece::WINDOW + 16),
        padding_w: signed(table, row, piece::WINDOW + 17),
    }
}

/// A pixel's coordinates.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    pub image: i32,
    pub t: i32,
    pub h: i32,
    pub w: i32,
}

/// Where a pixel lies, of activations of the given size.
#[cube]
pub fn place(pixel: usize, t: i32, h: i32, w: i32) -> Place {
    let pixel = pixel as i32;
    let row = pixel / w;
    let frame = row / h;
    Place { image: frame / t, t: frame % t, h: row % h, w: pixel % w }
}

/// Where a window's first tap lies for an output pixel.
#[cube]
pub fn corner(window: &Window, pixel: usize) -> Place {
    let output = place(pixel, window.output_t, window.output_h, window.output_w);
    Place {
        image: output.image,
        t: output.t * window.stride_t - window.padding_t,
        h: output.h * window.stride_h - window.padding_h,
        w: output.w * window.stride_w - window.padding_w,
    }
}

/// Whether a coordinate lies within a size.
#[cube]
pub fn within(at: i32, size: i32) -> bool {
    at >= 0 && at < size
}

/// Real elements under a window along one axis.
#[cube]
pub fn covered(output: i32, stride: i32, padding: i32, kernel: i32, size: i32) -> i32 {
    let first = output * stride - padding;
    min(first + kernel, size) - max(first, 0)
}
