//! The way back through windows: every pixel of an input gathers from the rows that read it, so that nothing is added
//! to by two at once.

use super::super::table::{UNITS, kind, piece};
use super::forward::factor;
use super::place::*;
use super::rows::*;
use super::sums::write_pair;
use cubecl::prelude::*;

/// The output coordinate whose tap lies on an input coordinate, or -1: `at` is the input's plus the padding, minus the
/// tap's distance.
#[cube]
fn origin(at: i32, stride: i32, size: i32) -> i32 {
    let mut output = at;
    if stride > 1 {
        output = at / stride;
        if output * stride != at {
            output = -1;
        }
    }
    select(at >= 0 && output < size, output, -1)
}

/// The coordinates of `per` pixels, `strands` apart; beyond the end, such that no tap lies there.
#[derive(CubeType)]
pub struct Places {
    pub images: Array<i32>,
    pub ts: Array<i32>,
    pub hs: Array<i32>,
    pub ws: Array<i32>,
}

#[cube]
fn places(strand: &Strand, t: i32, h: i32, w: i32, #[comptime] per: usize) -> Places {
    let mut images = Array::<i32>::new(per);
    let mut ts = Array::<i32>::new(per);
    let mut hs = Array::<i32>::new(per);
    let mut ws = Array::<i32>::new(per);
    #[unroll]
    for k in 0..per {
        let pixel = strand.first + k * strand.strands;
        let place = place(pixel, t, h, w);
        images[k] = place.image;
        ts[k] = place.t;
        hs[k] = place.h;
        ws[k] = select(pixel < strand.end, place.w, -65536);
    }
    Places { images, ts, hs, ws }
}

/// What `per` pixels, `strands` apart, gather from one piece. Depthwise rows are weighed by the taps; of dense ones every
/// tap has its own part; of pools, averages, divided by their number already, go to all elements, and maxima to their tap alone.
#[cube]
pub fn gather<N: Size>(
    rows: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    table: &[i32],
    row: usize,
    strand: &Strand,
    places: &Places,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] per: usize,
    #[comptime] depthwise: bool,
) {
    let window = window(table, row);
    let sort = signed(table, row, piece::KIND);
    let from = at(table, row, piece::ROWS);
    let inputs = at(table, row, piece::INPUTS);
    let difference = flag(table, row, piece::DIFFERENCE);
    let mut length = strand.channels;
    if comptime!(!depthwise) {
        if sort == kind::DENSE {
            length = inputs * (window.kernel_t * window.kernel_h * window.kernel_w) as usize;
        }
    }
    let mut tap = 0usize;
    let mut at_tap = first_tap();
    while at_tap.t < window.kernel_t {
        let mut factor = Vector::<f32, N>::new(1.0);
        if comptime!(depthwise) {
            factor = weights[at(table, row, piece::DEPTHWISE) + tap * strand.channels + strand.channel];
        }
        #[unroll]
        for k in 0..per {
            let t = origin(
                places.ts[k] + window.padding_t - at_tap.t * window.dilation_t,
                window.stride_t,
                window.output_t,
            );
            let h = origin(
                places.hs[k] + window.padding_h - at_tap.h * window.dilation_h,
                window.stride_h,
                window.output_h,
            );
            let w = origin(
                places.ws[k] + window.padding_w - at_tap.w * window.dilation_w,
                window.stride_w,
                window.output_w,
            );
            if t >= 0 && h >= 0 && w >= 0 {
                let pixel =
                    (((places.images[k] * window.output_t + t) * window.output_h + h) * window.output_w + w) as usize;
                if comptime!(depthwise) {
                    sums[k] += rows[from + pixel * length + strand.channel] * factor;
                } else if sort == kind::DENSE {
                    // Of a difference, the first frame's row is zero.
                    if !difference || t * window.stride_t > 0 {
                        sums[k] += rows[from + pixel * length + tap * inputs + strand.channel];
                    }
                } else {
                    let place = pixel * length + strand.channel;
                    let value = results[at(table, row, piece::RESULT) + place];
                    if sort == kind::MAXIMUM {
                        let index = results[at(table, row, piece::MATRIX_SUMS) + place];
                        let mut hit = Vector::<f32, N>::new(0.0);
                        #[unroll]
                        for lane in 0..N::value() {
                            let own = index.extract(lane) == f32::cast_from(tap);
                            hit.insert(lane, select(own, value.extract(lane), 0.0));
                        }
                        sums[k] += hit;
                    } else {
                        sums[k] += value;
                    }
                }
            }
        }
        tap += 1;
        next_tap(&mut at_tap, &window);
    }
    if comptime!(!depthwise) {
        // A difference is also read one frame later, and that frame has a row if the stride meets it.
        if difference {
            #[unroll]
            for k in 0..per {
                let t = origin(places.ts[k] + 1, window.stride_t, window.output_t);
                let h = origin(places.hs[k], window.stride_h, window.output_h);
                let w = origin(places.ws[k], window.stride_w, window.output_w);
                if t >= 0 && h >= 0 && w >= 0 {
                    let pixel = (((places.images[k] * window.output_t + t) * window.output_h + h) * window.output_w + w)
                        as usize;
                    sums[k] -= rows[from + pixel * length + strand.channel];
                }
            }
        }
    }
}

/// As [`gather`], of rows of means, divided by their number already: every pixel lies under one window.
#[cube]
fn gather_means<N: Size>(
    rows: &[Vector<f32, N>],
    table: &[i32],
    row: usize,
    strand: &Strand,
    places: &Places,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] per: usize,
) {
    let window = window(table, row);
    let from = at(table, row, piece::ROWS) + strand.channel;
    #[unroll]
    for k in 0..per {
        if places.ws[k] >= 0 {
            let t = places.ts[k] / window.stride_t;
            let h = places.hs[k] / window.stride_h;
            let w = places.ws[k] / window.stride_w;
            let pixel = ((places.images[k] * window.output_t + t) * window.output_h + h) * window.output_w + w;
            sums[k] += rows[from + pixel as usize * strand.channels];
        }
    }
}

/// As [`gather`], for a quad and a depthwise window that is known to the compiler.
#[cube]
fn gather_quad<N: Size>(
    rows: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    table: &[i32],
    row: usize,
    strand: &Strand,
    places: &Places,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] shape: Shape,
) {
    let Shape { kernel, dilation, stride } = comptime!(shape);
    let window = window(table, row);
    let from = at(table, row, piece::ROWS) + strand.channel;
    let factors = at(table, row, piece::DEPTHWISE) + strand.channel;
    let w = places.ws[0] / comptime!(stride[2] as i32) + comptime!(shape.first_output());
    let present = strand.first < strand.end;
    #[unroll]
    for kt in 0..kernel[0] {
        let t = places.ts[0] + window.padding_t - comptime!((kt * dilation[0]) as i32);
        let t = origin(t, comptime!(stride[0] as i32), window.output_t);
        #[unroll]
        for kh in 0..kernel[1] {
            let h = places.hs[0] + window.padding_h - comptime!((kh * dilation[1]) as i32);
            let h = origin(h, comptime!(stride[1] as i32), window.output_h);
            if present && t >= 0 && h >= 0 {
                let line = ((places.images[0] * window.output_t + t) * window.output_h + h) * window.output_w;
                let mut values = Array::<Vector<f32, N>>::new(comptime!(shape.reach()));
                #[unroll]
                for index in 0..comptime!(shape.reach()) {
                    let w = w + comptime!(index as i32);
                    values[index] = Vector::new(0.0);
                    if within(w, window.output_w) {
                        values[index] = rows[from + (line + w) as usize * strand.channels];
                    }
                }
                #[unroll]
                for kw in 0..kernel[2] {
                    let factor = weights[factors + comptime!((kt * kernel[1] + kh) * kernel[2] + kw) * strand.channels];
                    #[unroll]
                    for k in 0..QUAD {
                        let output = comptime!(shape.output(k, kw));
                        if comptime!(output.is_some()) {
                            let index = comptime!((output.unwrap_or(0) - shape.first_output()) as usize);
                            sums[k] += values[index] * factor;
                        }
                    }
                }
            }
        }
    }
}

/// What a quad gathers from a stage.
#[cube]
fn gather_stage<N: Size>(
    rows: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    table: &[i32],
    row: usize,
    strand: &Strand,
    places: &Places,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] shapes: Shapes,
) {
    let shape = signed(table, row, piece::SHAPE);
    // Quads have to lie within a row.
    let whole = signed(table, row, comptime!(piece::WINDOW + 2)) % comptime!(QUAD as i32) == 0;
    let mut left = true;
    #[unroll]
    for index in 0..comptime!(shapes.len()) {
        let of = comptime!(shapes.get(index));
        if comptime!(of.is_gathered()) {
            if whole && shape == comptime!(index as i32) {
                gather_quad::<N>(rows, weights, table, row, strand, places, sums, of);
                left = false;
            }
        }
    }
    if comptime!(shapes.are_general()) {
        if left {
            gather::<N>(rows, rows, weights, table, row, strand, places, sums, QUAD, true);
        }
    }
}

/// Keeps a gradient where the value is positive.
#[cube]
pub fn kept<N: Size>(gradient: Vector<f32, N>, value: Vector<f32, N>) -> Vector<f32, N> {
    let mut kept = Vector::<f32, N>::new(0.0);
    #[unroll]
    for lane in 0..N::value() {
        kept.insert(lane, select(value.extract(lane) > 0.0, gradient.extract(lane), 0.0));
    }
    kept
}

/// The gradient of the normed results that inner units read, with the cubes' sums of it, plain and times the deviation of
/// the results from their mean. The grid is (cubes of a piece, pieces).
#[cube(launch_unchecked)]
pub fn inner<N: Size>(
    results: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    mixes: &[f32],
    factors: &[f32],
    inner: &mut [Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    per_image: usize,
    #[comptime] shapes: Shapes,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let window = window(table, row);
    let channels = at(table, row, piece::OUTPUTS);
    let strands = UNITS / channels;
    let range = at(table, row, piece::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let channel = me % channels;
    let own = me / channels;
    let active = own < strands;
    let source = at(table, row, piece::SOURCE) + channel;
    let to = at(table, row, piece::INNER) + channel;
    let normal = signed(table, row, piece::SOURCE_NORMAL);
    let line = line::<N>(normals, normal, channel, channels);
    let mean = normals[(normal as usize * 4 + 2) * channels + channel];
    let gradient = signed(table, row, piece::GRADIENT);
    let pitch = at(table, row, piece::PITCH);
    let mix = signed(table, row, piece::MIX);
    let scaled = signed(table, row, piece::FACTORS);
    let mut plain = Vector::<f32, N>::new(0.0);
    let mut with = Vector::<f32, N>::new(0.0);
    if active {
        let mut done = from + own * QUAD;
        while done < end {
            let strand = Strand { channel, channels, first: done, strands: 1, end };
            let mut sums = Array::<Vector<f32, N>>::new(QUAD);
            #[unroll]
            for k in 0..QUAD {
                sums[k] = Vector::new(0.0);
            }
            let places = places(&strand, window.input_t, window.input_h, window.input_w, QUAD);
            gather_stage::<N>(results, weights, table, row, &strand, &places, &mut sums, shapes);
            #[unroll]
            for k in 0..QUAD {
                let pixel = done + k;
                if pixel < end {
                    let result = results[source + pixel * channels];
                    let mut sum = kept::<N>(sums[k], result * line.scale + line.shift);
                    if gradient >= 0 {
                        let factor = factor(mixes, factors, mix, scaled, pixel / per_image);
                        sum += nodes[gradient as usize + pixel * pitch + channel] * Vector::new(factor);
                    }
                    inner[to + pixel * channels] = sum;
                    plain += sum;
                    with += sum * (result - mean);
                }
            }
            done += QUAD * strands;
        }
    }
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(2 * UNITS));
    if active {
        tile[me] = plain;
        tile[UNITS + me] = with;
    }
    sync_cube();
    if own == 0 {
        write_pair::<N>(
            &*tile,
            partial,
            at(table, row, piece::PARTIAL) + 2 * CUBE_POS_X as usize * channels + channel,
            channels,
            me,
            strands,
        );
    }
}

/// The gradient of the state that a phase's links read, over all of them: added to what is there, where it is begun. The grid
/// is the parts of the pixels.
#[cube(launch_unchecked)]
pub fn input<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    rows: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    mixes: &[f32],
    factors: &[f32],
    gradient: &mut [Vector<f32, N>],
    table: &[i32],
    stages: usize,
    stage_count: usize,
    others: usize,
    other_count: usize,
    start: usize,
    pitch: usize,
    channels: usize,
    pixels: usize,
    per_image: usize,
    input_t: i32,
    input_h: i32,
    input_w: i32,
    to: usize,
    to_pitch: usize,
    #[comptime] own: bool,
    #[comptime] begun: bool,
    #[comptime] dense: bool,
    #[comptime] shapes: Shapes,
) {
    let me = UNIT_POS as usize;
    let strands = UNITS / channels;
    let channel = me % channels;
    let begin = (CUBE_POS_X as usize * strands + me / channels) * QUAD;
    if me / channels < strands {
        let strand = Strand { channel, channels, first: begin, strands: 1, end: pixels };
        let places = places(&strand, input_t, input_h, input_w, QUAD);
        let mut sums = Array::<Vector<f32, N>>::new(QUAD);
        let mut plain = Array::<Vector<f32, N>>::new(QUAD);
        #[unroll]
        for k in 0..QUAD {
            sums[k] = Vector::new(0.0);
            plain[k] = Vector::new(0.0);
        }
        for index in 0..stage_count {
            gather_stage::<N>(results, weights, table, stages + index, &strand, &places, &mut sums, shapes);
        }
        for index in 0..other_count {
            let row = others + index;
            let sort = signed(table, row, piece::KIND);
            if sort == kind::IDENTITY {
                let from = at(table, row, piece::GRADIENT) + channel;
                let node_pitch = at(table, row, piece::PITCH);
                let mix = signed(table, row, piece::MIX);
                let scaled = signed(table, row, piece::FACTORS);
                #[unroll]
                for k in 0..QUAD {
                    let pixel = begin + k;
                    if pixel < pixels {
                        let factor = factor(mixes, factors, mix, scaled, pixel / per_image);
                        let value = if comptime!(own) {
                            gradient[from + pixel * node_pitch]
                        } else {
                            nodes[from + pixel * node_pitch]
                        };
                        plain[k] += value * Vector::new(factor);
                    }
                }
            } else if sort == kind::MEANS {
                if comptime!(dense) {
                    gather_means::<N>(rows, table, row, &strand, &places, &mut plain, QUAD);
                }
            } else if sort == kind::DENSE {
                if comptime!(dense) {
                    if flag(table, row, piece::ACTIVATED) {
                        gather::<N>(rows, results, weights, table, row, &strand, &places, &mut sums, QUAD, false);
                    } else {
                        gather::<N>(rows, results, weights, table, row, &strand, &places, &mut plain, QUAD, false);
                    }
                }
            } else {
                gather::<N>(results, results, weights, table, row, &strand, &places, &mut plain, QUAD, false);
            }
        }
        #[unroll]
        for k in 0..QUAD {
            let pixel = begin + k;
            if pixel < pixels {
                let mut sum = plain[k] + kept::<N>(sums[k], x[start + pixel * pitch + channel]);
                let place = to + pixel * to_pitch + channel;
                if comptime!(begun) {
                    sum += gradient[place];
                }
                gradient[place] = sum;
            }
        }
    }
}
