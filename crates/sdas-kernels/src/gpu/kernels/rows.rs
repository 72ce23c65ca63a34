//! The rows that a product multiplies by its matrix: depthwise convolutions, and pixels under a window.

use super::super::table::piece;
use super::place::*;
use crate::expression::Extent;
use cubecl::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Pixels that follow one another in a row, as one unit works on them.
pub const QUAD: usize = 4;

/// Windows that a kernel is compiled for at most.
const SHAPES: usize = 6;

/// A depthwise window that a kernel is compiled for: pixels of a quad then share what they read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    pub kernel: Extent,
    pub dilation: Extent,
    pub stride: Extent,
}

impl Shape {
    /// Elements of a row under the windows of a quad.
    pub fn width(&self) -> usize {
        (QUAD - 1) * self.stride[2] + (self.kernel[2] - 1) * self.dilation[2] + 1
    }

    /// Whether a quad's place under the windows is known along a row: the stride meets every quad's first pixel.
    pub fn is_gathered(&self) -> bool {
        QUAD.is_multiple_of(self.stride[2])
    }

    /// How far the output of a tap lies from a quad's first one, in steps of the stride, for a pixel of the quad; `None`
    /// where the stride passes it by.
    pub fn output(&self, pixel: usize, tap: usize) -> Option<i32> {
        let padding = self.dilation[2] * (self.kernel[2] / 2);
        let at = (pixel + padding) as i32 - (tap * self.dilation[2]) as i32;
        let stride = self.stride[2] as i32;
        (at.rem_euclid(stride) == 0).then_some(at.div_euclid(stride))
    }

    /// The first and the last of these.
    fn outputs(&self) -> [i32; 2] {
        let all = || (0..QUAD).flat_map(|pixel| (0..self.kernel[2]).filter_map(move |tap| self.output(pixel, tap)));
        [all().min().unwrap_or(0), all().max().unwrap_or(0)]
    }

    pub fn first_output(&self) -> i32 {
        self.outputs()[0]
    }

    /// Outputs of a row that a quad gathers from.
    pub fn reach(&self) -> usize {
        let [first, last] = self.outputs();
        (last - first + 1) as usize
    }
}

/// The windows of a launch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Shapes {
    all: [Shape; SHAPES],
    count: usize,
    /// Whether there are others, too, whose windows are read from the table.
    pub others: bool,
}

/// Those that kernels were compiled for.
static COMPILED: Mutex<Vec<Shapes>> = Mutex::new(Vec::new());

impl Shapes {
    /// The windows given and, where `more` of them do no harm, others: the fewest that kernels are compiled for already. As a
    /// search decides, fewer and fewer of a phase's windows are left, and none of these sets needs kernels of its own.
    pub fn covering(windows: impl Iterator<Item = Option<Shape>>, more: bool) -> Self {
        let mut own = Shapes::default();
        for window in windows {
            own.others |= window.is_none_or(|window| !own.add(window));
        }
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = |known: &&Shapes| {
            let has_all = own.known().iter().all(|window| known.known().contains(window));
            has_all && known.others == own.others && (more || known.count == own.count)
        };
        let known = compiled.iter().filter(covers).min_by_key(|known| known.count).copied();
        known.unwrap_or_else(|| {
            compiled.push(own);
            own
        })
    }

    /// Whether there was room for a window.
    fn add(&mut self, window: Shape) -> bool {
        let is_known = self.index(window).is_some();
        if !is_known && self.count < SHAPES {
            self.all[self.count] = window;
            self.count += 1;
        }
        is_known || self.index(window).is_some()
    }

    /// The index of a window, unless it is one of the others.
    pub fn index(&self, window: Shape) -> Option<usize> {
        self.known().iter().position(|known| *known == window)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, index: usize) -> Shape {
        self.all[index]
    }

    fn known(&self) -> &[Shape] {
        &self.all[..self.count]
    }

    /// Taps of the longest row.
    pub fn taps(&self) -> usize {
        self.known().iter().map(|shape| shape.kernel[2]).max().unwrap_or(1)
    }

    /// Whether a way back through one of them may have to be read from the table.
    pub fn are_general(&self) -> bool {
        self.others || self.known().iter().any(|shape| shape.stride != [1; 3])
    }
}

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

/// A tap of a window, counted from its first. Taps are gone through in one loop: the compiler would unroll one for each axis,
/// for more registers than there are.
#[derive(CubeType)]
pub struct Counted {
    pub t: i32,
    pub h: i32,
    pub w: i32,
}

#[cube]
pub fn first_tap() -> Counted {
    Counted { t: 0i32.runtime(), h: 0i32.runtime(), w: 0i32.runtime() }
}

/// In the order of the weights.
#[cube]
pub fn next_tap(tap: &mut Counted, window: &Window) {
    tap.w += 1;
    if tap.w == window.kernel_w {
        tap.w = 0;
        tap.h += 1;
        if tap.h == window.kernel_h {
            tap.h = 0;
            tap.t += 1;
        }
    }
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
    let mut tap = first_tap();
    while tap.t < window.kernel_t {
        let factor = weights[weight];
        weight += strand.channels;
        #[unroll]
        for k in 0..per {
            let t = ts[k] + tap.t * window.dilation_t;
            let h = hs[k] + tap.h * window.dilation_h;
            let w = ws[k] + tap.w * window.dilation_w;
            if within(t, window.input_t) && within(h, window.input_h) && within(w, window.input_w) {
                let from = ((images[k] + t) * window.input_h + h) * window.input_w + w;
                let mut value = source[pitch.start + from as usize * pitch.pixel + strand.channel];
                if comptime!(inner) {
                    value = value * line.scale + line.shift;
                }
                sums[k] += max(value, Vector::new(0.0)) * factor;
            }
        }
        next_tap(&mut tap, window);
    }
}

/// What lies under the windows of a quad in one row, after the norm and a ReLU.
#[cube]
pub fn row_values<N: Size>(
    source: &[Vector<f32, N>],
    pitch: &Pitch,
    line: &Line<N>,
    channel: usize,
    row: i32,
    first: i32,
    size: i32,
    values: &mut Array<Vector<f32, N>>,
    #[comptime] inner: bool,
    #[comptime] width: usize,
) {
    #[unroll]
    for index in 0..width {
        let w = first + comptime!(index as i32);
        values[index] = Vector::new(0.0);
        if within(w, size) {
            let mut value = source[pitch.start + (row + w) as usize * pitch.pixel + channel];
            if comptime!(inner) {
                value = value * line.scale + line.shift;
            }
            values[index] = max(value, Vector::new(0.0));
        }
    }
}

/// As [`depthwise_rows`], for a quad and a window that is known to the compiler.
#[cube]
pub fn depthwise_quad<N: Size>(
    source: &[Vector<f32, N>],
    pitch: &Pitch,
    weights: &[Vector<f32, N>],
    line: &Line<N>,
    window: &Window,
    own: usize,
    strand: &Strand,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] inner: bool,
    #[comptime] shape: Shape,
) {
    let Shape { kernel, dilation, stride } = comptime!(shape);
    let corner = corner(window, strand.first);
    let present = strand.first < strand.end;
    #[unroll]
    for k in 0..QUAD {
        sums[k] = Vector::new(0.0);
    }
    #[unroll]
    for kt in 0..kernel[0] {
        let t = corner.t + comptime!((kt * dilation[0]) as i32);
        #[unroll]
        for kh in 0..kernel[1] {
            let h = corner.h + comptime!((kh * dilation[1]) as i32);
            if present && within(t, window.input_t) && within(h, window.input_h) {
                let row = ((corner.image * window.input_t + t) * window.input_h + h) * window.input_w;
                let mut values = Array::<Vector<f32, N>>::new(comptime!(shape.width()));
                row_values::<N>(
                    source,
                    pitch,
                    line,
                    strand.channel,
                    row,
                    corner.w,
                    window.input_w,
                    &mut values,
                    inner,
                    comptime!(shape.width()),
                );
                #[unroll]
                for kw in 0..kernel[2] {
                    let factor = weights[own + comptime!((kt * kernel[1] + kh) * kernel[2] + kw) * strand.channels];
                    #[unroll]
                    for k in 0..QUAD {
                        sums[k] += values[comptime!(k * stride[2] + kw * dilation[2])] * factor;
                    }
                }
            }
        }
    }
}

/// The rows of a quad of one piece.
#[cube]
pub fn quad_rows<N: Size>(
    source: &[Vector<f32, N>],
    pitch: &Pitch,
    weights: &[Vector<f32, N>],
    line: &Line<N>,
    window: &Window,
    shape: i32,
    own: usize,
    strand: &Strand,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] inner: bool,
    #[comptime] shapes: Shapes,
) {
    #[unroll]
    for index in 0..comptime!(shapes.len()) {
        if shape == comptime!(index as i32) {
            let of = comptime!(shapes.get(index));
            depthwise_quad::<N>(source, pitch, weights, line, window, own, strand, sums, inner, of);
        }
    }
    if comptime!(shapes.others) {
        if shape < 0 {
            depthwise_rows::<N>(source, pitch, weights, line, window, own, strand, sums, inner, QUAD);
        }
    }
}

/// Where an element of a dense product's row lies under its window.
#[derive(CubeType, Clone, Copy)]
pub struct Tap {
    pub t: i32,
    pub h: i32,
    pub w: i32,
    pub channel: usize,
}

/// The `index`-th vector of a dense product's row.
#[cube]
pub fn tap(window: &Window, inputs: usize, index: usize) -> Tap {
    let mut t = 0i32.runtime();
    let mut h = 0i32.runtime();
    let mut w = 0i32.runtime();
    let mut channel = index;
    if window.kernel_t * window.kernel_h * window.kernel_w > 1 {
        let tap = (index / inputs) as i32;
        channel = index % inputs;
        t = tap / (window.kernel_h * window.kernel_w) * window.dilation_t;
        h = tap / window.kernel_w % window.kernel_h * window.dilation_h;
        w = tap % window.kernel_w * window.dilation_w;
    }
    Tap { t, h, w, channel }
}

/// One vector of a dense product's row: the input under a tap of the window at a corner, or, of `means`, that over a window
/// of the stride's size from there.
#[cube]
pub fn dense_row<N: Size>(
    x: &[Vector<f32, N>],
    pitch: &Pitch,
    window: &Window,
    corner: &Place,
    tap: &Tap,
    activated: bool,
    difference: bool,
    #[comptime] means: bool,
) -> Vector<f32, N> {
    let t = corner.t + tap.t;
    let h = corner.h + tap.h;
    let w = corner.w + tap.w;
    let mut value = Vector::<f32, N>::new(0.0);
    if comptime!(means) {
        let mut count = 0.0f32;
        for t in t..min(t + window.stride_t, window.input_t) {
            for h in h..min(h + window.stride_h, window.input_h) {
                for w in w..min(w + window.stride_w, window.input_w) {
                    let from = ((corner.image * window.input_t + t) * window.input_h + h) * window.input_w + w;
                    value += x[pitch.start + from as usize * pitch.pixel + tap.channel];
                    count += 1.0;
                }
            }
        }
        value = value / Vector::new(count);
    } else if within(t, window.input_t) && within(h, window.input_h) && within(w, window.input_w) {
        let from = ((corner.image * window.input_t + t) * window.input_h + h) * window.input_w + w;
        value = x[pitch.start + from as usize * pitch.pixel + tap.channel];
        if activated {
            value = max(value, Vector::new(0.0));
        }
        if difference {
            // Of the first frame there is none.
            if t > 0 {
                let before = from - window.input_h * window.input_w;
                value -= max(x[pitch.start + before as usize * pitch.pixel + tap.channel], Vector::new(0.0));
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
