//! The rows that a product multiplies by its matrix: depthwise convolutions, and pixels under a window.

use super::super::table::piece;
use super::place::*;
use cubecl::prelude::*;

/// Where the elements of an activation lie: vector by vector.
#[derive(CubeType, Clone, Copy)]
pub struct Pitch {
    /// The first pixel's.
    pub start: usize,
    /// From one pixel to the next.
    pub pixel: usize,
}

/// What one unit of a cube works on: one vector of channels of every `strands`-th pixel.
#[derive(CubeType, Clone, Copy)]
pub struct Strand {
    /// Its vector of channels, of so many.
    pub channel: usize,
    pub channels: usize,
    /// Its first pixel.
    pub first: usize,
    pub strands: usize,
    /// Where the cube's pixels end.
    pub end: usize,
}

/// Scale and shift of a norm in one vector of channels; 1 and 0 where there is none.
#[derive(CubeType, Clone, Copy)]
pub struct Line<N: Size> {
    pub scale: Vector<f32, N>,
    pub shift: Vector<f32, N>,
}

#[cube]
pub fn line<N: Size>(normals: &[Vector<f32, N>], normal: i32, channel: usize, channels: usize) -> Line<N> {
    let mut scale = Vector::<f32, N>::new(1.0);
    let mut shift = Vector::<f32, N>::new(0.0);
    if normal >= 0 {
        let own = normal as usize * 4 * channels + channel;
        scale = normals[own];
        shift = normals[own + channels];
    }
    Line::<N> { scale, shift }
}

/// A depthwise convolution of `per` pixels: of the activation after the norm of the unit that it comes from, if it is
/// another unit's, and a ReLU.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn depthwise_rows<N: Size>(
    source: &[Vector<f32, N>],
    pitch: &Pitch,
    weights: &[Vector<f32, N>],
    line: &Line<N>,
    window: &Window,
    own: usize,
    strand: &Strand,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] inner: bool,
    #[comptime] per: usize,
) {
    let mut images = Array::<i32>::new(per);
    let mut ts = Array::<i32>::new(per);
    let mut hs = Array::<i32>::new(per);
    let mut ws = Array::<i32>::new(per);
    #[unroll]
    for k in 0..per {
        sums[k] = Vector::new(0.0);
        let pixel = strand.first + k * strand.strands;
        let corner = corner(window, pixel);
        images[k] = corner.image * window.input_t;
        ts[k] = corner.t;
        hs[k] = corner.h;
        // Beyond the end, every tap lies outside.
        ws[k] = select(pixel < strand.end, corner.w, -65536);
    }
    let mut weight = own;
    for kt in 0..window.kernel_t {
        for kh in 0..window.kernel_h {
            for kw in 0..window.kernel_w {
                let factor = weights[weight];
                weight += strand.channels;
                #[unroll]
                for k in 0..per {
                    let t = ts[k] + kt * window.dilation_t;
                    let h = hs[k] + kh * window.dilation_h;
                    let w = ws[k] + kw * window.dilation_w;
                    if within(t, window.input_t) && within(h, window.input_h) && within(w, window.input_w) {
                        let from = ((images[k] + t) * window.input_h + h) * window.input_w + w;
                        let mut value = source[pitch.start + from as usize * pitch.pixel + strand.channel];
                        if comptime!(inner) {
                            value = value * line.scale + line.shift;
                        }
                        sums[k] += max(value, Vector::new(0.0)) * factor;
                    }
                }
            }
        }
    }
}

/// One vector of a dense product's row: the input under the `index`-th tap and channel of a window.
#[cube]
pub fn dense_row<N: Size>(
    x: &[Vector<f32, N>],
    pitch: &Pitch,
    window: &Window,
    corner: &Place,
    inputs: usize,
    activated: bool,
    difference: bool,
    index: usize,
) -> Vector<f32, N> {
    let tap = (index / inputs) as i32;
    let channel = index % inputs;
    let t = corner.t + tap / (window.kernel_h * window.kernel_w) * window.dilation_t;
    let h = corner.h + tap / window.kernel_w % window.kernel_h * window.dilation_h;
    let w = corner.w + tap % window.kernel_w * window.dilation_w;
    let mut value = Vector::<f32, N>::new(0.0);
    if within(t, window.input_t) && within(h, window.input_h) && within(w, window.input_w) {
        let from = ((corner.image * window.input_t + t) * window.input_h + h) * window.input_w + w;
        value = x[pitch.start + from as usize * pitch.pixel + channel];
        if activated {
            value = max(value, Vector::new(0.0));
        }
        if difference {
            // Of the first frame there is none.
            if t > 0 {
                let before = from - window.input_h * window.input_w;
                value -= max(x[pitch.start + before as usize * pitch.pixel + channel], Vector::new(0.0));
            } else {
                value = Vector::new(0.0);
            }
        }
    }
    value
}

/// Whether a field of a piece is set.
#[cube]
pub fn flag(table: &[i32], row: usize, #[comptime] place: usize) -> bool {
    signed(table, row, place) == 1
}

/// The norm of a piece's source.
#[cube]
pub fn source_line<N: Size>(
    normals: &[Vector<f32, N>],
    table: &[i32],
    row: usize,
    channel: usize,
    channels: usize,
) -> Line<N> {
    line::<N>(normals, signed(table, row, piece::SOURCE_NORMAL), channel, channels)
}
