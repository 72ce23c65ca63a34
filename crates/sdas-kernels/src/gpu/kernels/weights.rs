//! Sums over pixels for the gradients of weights. A cube sums a fixed range of pixels, a second kernel the cubes' sums in their
//! order.

use super::super::table::{UNITS, piece, sum};
use super::back::{back, result_gradient, upstream};
use super::forward::BLOCK;
use super::place::*;
use super::rows::*;
use cubecl::prelude::*;

/// Vectors of a row that a cube of [`matrices`] works on.
pub const ROWS: usize = 16;

/// Vectors that a tile of rows takes, and one of gradients: a cube has a unit for each quad of a row's pixels.
const TILE: usize = UNITS * QUAD;

/// Partial sums of the matrices' gradients, rows times gradients of results. The grid is (cubes of a piece, pieces, blocks
/// of rows times blocks of outputs).
#[cube(launch_unchecked)]
pub fn matrices<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    inner_gradients: &[Vector<f32, N>],
    factors: &[f32],
    backs: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    x_pitch: usize,
    channels: usize,
    per_image: usize,
    output_blocks: usize,
    #[comptime] inner: bool,
    #[comptime] dense: bool,
    #[comptime] means: bool,
    #[comptime] shapes: Shapes,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let lanes = N::value();
    let window = window(table, row);
    let inputs = at(table, row, piece::INPUTS);
    let outputs = at(table, row, piece::OUTPUTS);
    let head = at(table, row, piece::FIRST);
    let mut length = outputs;
    if comptime!(dense) {
        length = inputs * (window.kernel_t * window.kernel_h * window.kernel_w) as usize;
    }
    let first_row = CUBE_POS_Z as usize / output_blocks * ROWS;
    let first_output = CUBE_POS_Z as usize % output_blocks * BLOCK;
    let present = first_row < length && first_output < outputs;
    let wide = min(max(length, first_row + 1) - first_row, ROWS);
    let block = min(max(outputs, first_output + 1) - first_output, BLOCK);
    // Every unit has a vector of a row and one of the results: as many products as a vector has lanes.
    let pairs = wide * block;
    let strands = UNITS / pairs;
    let strand = me / pairs;
    let own_row = me % pairs / block;
    let own_output = me % block;
    let size = min(TILE / max(wide, block), UNITS) / QUAD * QUAD;
    let range = at(table, row, piece::SUMS_RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let activated = flag(table, row, piece::ACTIVATED);
    let difference = flag(table, row, piece::DIFFERENCE);
    let upstream = upstream(table, row, channels, per_image);
    let column = first_output + me % block;
    let back = back::<N>(backs, at(table, row, piece::BACK), head + min(column, max(outputs, 1) - 1), channels);
    let tap = tap(&window, inputs, first_row + me % wide);

    let mut rows = Shared::<[Vector<f32, N>]>::new_slice(TILE);
    let mut gradients = Shared::<[Vector<f32, N>]>::new_slice(TILE);
    let mut sums = Array::<Vector<f32, N>>::new(lanes);
    #[unroll]
    for lane in 0..lanes {
        sums[lane] = Vector::new(0.0);
    }
    if present {
        let mut done = from;
        while done < end {
            if comptime!(dense) {
                let mut local = me / wide;
                // Coordinates are counted on rather than divided out.
                let place = place(done + local, window.output_t, window.output_h, window.output_w);
                let mut image = place.image;
                let mut t = place.t;
                let mut h = place.h;
                let mut w = place.w;
                while local < size {
                    let mut value = Vector::<f32, N>::new(0.0);
                    if done + local < end {
                        let corner = Place {
                            image,
                            t: t * window.stride_t - window.padding_t,
                            h: h * window.stride_h - window.padding_h,
                            w: w * window.stride_w - window.padding_w,
                        };
                        let pitch = Pitch { start, pixel: x_pitch };
                        value = dense_row::<N>(x, &pitch, &window, &corner, &tap, activated, difference, means);
                    }
                    if me < UNITS / wide * wide {
                        rows[local * wide + me % wide] = value;
                    }
                    local += UNITS / wide;
                    w += (UNITS / wide) as i32;
                    while w >= window.output_w {
                        w -= window.output_w;
                        h += 1;
                        if h == window.output_h {
                            h = 0;
                            t += 1;
                            if t == window.output_t {
                                t = 0;
                                image += 1;
                            }
                        }
                    }
                }
            } else if me < size / QUAD * wide {
                let mut quad = Array::<Vector<f32, N>>::new(QUAD);
                let channel = first_row + me % wide;
                let place = Strand { channel, channels, first: done + me / wide * QUAD, strands: 1, end };
                let weight = at(table, row, piece::DEPTHWISE) + channel;
                let shape = signed(table, row, piece::SHAPE);
                if comptime!(inner) {
                    let line = source_line::<N>(normals, table, row, channel, channels);
                    let pitch = Pitch { start: at(table, row, piece::SOURCE), pixel: channels };
                    quad_rows::<N>(
                        results, &pitch, weights, &line, &window, shape, weight, &place, &mut quad, true, shapes,
                    );
                } else {
                    let line = Line::<N> { scale: Vector::new(1.0), shift: Vector::new(0.0) };
                    let pitch = Pitch { start, pixel: x_pitch };
                    quad_rows::<N>(x, &pitch, weights, &line, &window, shape, weight, &place, &mut quad, false, shapes);
                }
                #[unroll]
                for k in 0..QUAD {
                    rows[(me / wide * QUAD + k) * wide + me % wide] = quad[k];
                }
            }
            let mut local = me / block;
            while local < size {
                let pixel = done + local;
                let mut value = Vector::<f32, N>::new(0.0);
                if pixel < end {
                    value = result_gradient::<N>(
                        results,
                        nodes,
                        inner_gradients,
                        factors,
                        &upstream,
                        &back,
                        pixel,
                        head + column,
                    );
                }
                if me < UNITS / block * block {
                    gradients[local * block + me % block] = value;
                }
                local += UNITS / block;
            }
            sync_cube();
            if strand < strands {
                let count = min(end - done, size);
                let mut local = strand;
                while local < count {
                    let read = rows[local * wide + own_row];
                    let gradient = gradients[local * block + own_output];
                    #[unroll]
                    for lane in 0..lanes {
                        sums[lane] += Vector::new(read.extract(lane)) * gradient;
                    }
                    local += strands;
                }
            }
            sync_cube();
            done += size;
        }
    }
    let part = CUBE_POS_X as usize * length * lanes * outputs;
    let to = at(table, row, piece::MATRIX_SUMS) + part;
    #[unroll]
    for lane in 0..lanes {
        if strand < strands {
            gradients[me] = sums[lane];
        }
        sync_cube();
        if strand == 0 && present && from < end {
            let mut sum = Vector::<f32, N>::new(0.0);
            for other in 0..strands {
                sum += gradients[other * pairs + me];
            }
            let line = (first_row + own_row) * lanes + lane;
            partial[to + line * outputs + first_output + own_output] = sum;
        }
        sync_cube();
    }
}

/// Partial sums of depthwise weights' gradients: the gradient of the rows times what each tap read. Every unit of a cube
/// has a tap in one vector of channels. The grid is (cubes of a piece, pieces, blocks of taps).
#[cube(launch_unchecked)]
pub fn depthwise<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    x_pitch: usize,
    #[comptime] inner: bool,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let window = window(table, row);
    let channels = at(table, row, piece::OUTPUTS);
    let taps = (window.kernel_t * window.kernel_h * window.kernel_w) as usize;
    let count = taps * channels;
    let skipped = CUBE_POS_Z as usize * UNITS;
    let block = min(max(count, skipped + 1) - skipped, UNITS);
    let strands = UNITS / block;
    let strand = me / block;
    let own = skipped + me % block;
    let active = own < count && strand < strands;
    let channel = own % channels;
    let tap = (own / channels) as i32;
    let tap_t = tap / (window.kernel_h * window.kernel_w) * window.dilation_t;
    let tap_h = tap / window.kernel_w % window.kernel_h * window.dilation_h;
    let tap_w = tap % window.kernel_w * window.dilation_w;
    let range = at(table, row, piece::SUMS_RANGE);
    let begin = CUBE_POS_X as usize * range;
    let limit = min(begin + range, at(table, row, piece::PIXELS));
    // Every strand has pixels that follow one another, so that coordinates are counted on rather than divided out.
    let each = (range + strands - 1) / strands;
    let from = min(begin + strand * each, limit);
    let end = min(from + each, limit);
    let rows = at(table, row, piece::ROWS) + channel;
    // The input has no norm.
    let mut normal = (-1i32).runtime();
    let mut source = start + channel;
    let mut source_pitch = x_pitch;
    if comptime!(inner) {
        normal = signed(table, row, piece::SOURCE_NORMAL);
        source = at(table, row, piece::SOURCE) + channel;
        source_pitch = channels;
    }
    let line = line::<N>(normals, normal, channel, channels);
    let mut sum = Vector::<f32, N>::new(0.0);
    if active {
        let place = corner(&window, from);
        let mut image = place.image;
        let mut t = place.t + tap_t;
        let mut h = place.h + tap_h;
        let mut w = place.w + tap_w;
        let end_w = window.output_w * window.stride_w - window.padding_w + tap_w;
        let end_h = window.output_h * window.stride_h - window.padding_h + tap_h;
        let end_t = window.output_t * window.stride_t - window.padding_t + tap_t;
        let mut pixel = from;
        while pixel < end {
            if within(t, window.input_t) && within(h, window.input_h) && within(w, window.input_w) {
                let at = (((image * window.input_t + t) * window.input_h + h) * window.input_w + w) as usize;
                let mut value = Vector::<f32, N>::new(0.0);
                if comptime!(inner) {
                    value = results[source + at * source_pitch] * line.scale + line.shift;
                } else {
                    value = x[source + at * source_pitch];
                }
                sum += max(value, Vector::new(0.0)) * results[rows + pixel * channels];
            }
            w += window.stride_w;
            if w >= end_w {
                w -= window.output_w * window.stride_w;
                h += window.stride_h;
                if h >= end_h {
                    h -= window.output_h * window.stride_h;
                    t += window.stride_t;
                    if t >= end_t {
                        t -= window.output_t * window.stride_t;
                        image += 1;
                    }
                }
            }
            pixel += 1;
        }
    }
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    if active {
        tile[me] = sum;
    }
    sync_cube();
    if strand == 0 && own < count && begin < limit {
        let mut sum = Vector::<f32, N>::new(0.0);
        for other in 0..strands {
            sum += tile[other * block + me];
        }
        partial[at(table, row, piece::DEPTHWISE_SUMS) + CUBE_POS_X as usize * count + own] = sum;
    }
}

/// As [`depthwise`], for windows that the compiler knows: every unit has a row of taps in one vector of channels.
#[cube(launch_unchecked)]
pub fn depthwise_quads<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    x_pitch: usize,
    #[comptime] inner: bool,
    #[comptime] shapes: Shapes,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let window = window(table, row);
    let shape = signed(table, row, piece::SHAPE);
    let channels = at(table, row, piece::OUTPUTS);
    let count = (window.kernel_t * window.kernel_h) as usize * channels;
    let skipped = CUBE_POS_Z as usize * UNITS;
    let block = min(max(count, skipped + 1) - skipped, UNITS);
    let strands = UNITS / block;
    let strand = me / block;
    let own = skipped + me % block;
    let active = own < count && strand < strands;
    let channel = own % channels;
    let tap = own / channels;
    let range = at(table, row, piece::SUMS_RANGE);
    let begin = CUBE_POS_X as usize * range;
    let limit = min(begin + range, at(table, row, piece::PIXELS));
    let each = (range / QUAD + strands - 1) / strands * QUAD;
    let from = min(begin + strand * each, limit);
    let end = min(from + each, limit);
    let taps = comptime!(shapes.taps());
    let mut sums = Array::<Vector<f32, N>>::new(taps);
    #[unroll]
    for kw in 0..taps {
        sums[kw] = Vector::new(0.0);
    }
    if active {
        #[unroll]
        for index in 0..comptime!(shapes.len()) {
            if shape == comptime!(index as i32) {
                let of = comptime!(shapes.get(index));
                let strand = Strand { channel, channels, first: from, strands: tap, end };
                if comptime!(inner) {
                    let line = source_line::<N>(normals, table, row, channel, channels);
                    let pitch = Pitch { start: at(table, row, piece::SOURCE), pixel: channels };
                    tap_sums::<N>(results, results, &pitch, &line, &window, table, row, &strand, &mut sums, true, of);
                } else {
                    let line = Line::<N> { scale: Vector::new(1.0), shift: Vector::new(0.0) };
                    let pitch = Pitch { start, pixel: x_pitch };
                    tap_sums::<N>(x, results, &pitch, &line, &window, table, row, &strand, &mut sums, false, of);
                }
            }
        }
    }
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    let width = window.kernel_w as usize;
    #[unroll]
    for kw in 0..taps {
        if active {
            tile[me] = sums[kw];
        }
        sync_cube();
        if strand == 0 && own < count && begin < limit && kw < width {
            let mut sum = Vector::<f32, N>::new(0.0);
            for other in 0..strands {
                sum += tile[other * block + me];
            }
            let part = CUBE_POS_X as usize * count * width;
            partial[at(table, row, piece::DEPTHWISE_SUMS) + part + (tap * width + kw) * channels + channel] = sum;
        }
        sync_cube();
    }
}

/// The sums of a row of taps, the `strands`-th of a window, over a strand's pixels.
#[cube]
fn tap_sums<N: Size>(
    source: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    pitch: &Pitch,
    line: &Line<N>,
    window: &Window,
    table: &[i32],
    row: usize,
    strand: &Strand,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] inner: bool,
    #[comptime] shape: Shape,
) {
    let Shape { kernel, dilation, stride } = comptime!(shape);
    let rows = at(table, row, piece::ROWS) + strand.channel;
    let tap = strand.strands as i32;
    let tap_t = tap / window.kernel_h * window.dilation_t - window.padding_t;
    let tap_h = tap % window.kernel_h * window.dilation_h - window.padding_h;
    let place = place(strand.first, window.output_t, window.output_h, window.output_w);
    let mut image = place.image;
    let mut output_t = place.t;
    let mut output_h = place.h;
    let mut output_w = place.w;
    let mut pixel = strand.first;
    while pixel < strand.end {
        let t = output_t * window.stride_t + tap_t;
        let h = output_h * window.stride_h + tap_h;
        if within(t, window.input_t) && within(h, window.input_h) {
            let begin = ((image * window.input_t + t) * window.input_h + h) * window.input_w;
            let mut values = Array::<Vector<f32, N>>::new(comptime!(shape.width()));
            row_values::<N>(
                source,
                pitch,
                line,
                strand.channel,
                begin,
                output_w * window.stride_w - window.padding_w,
                window.input_w,
                &mut values,
                inner,
                comptime!(shape.width()),
            );
            #[unroll]
            for k in 0..QUAD {
                let gradient = results[rows + (pixel + k) * strand.channels];
                #[unroll]
                for kw in 0..kernel[2] {
                    sums[kw] += values[comptime!(k * stride[2] + kw * dilation[2])] * gradient;
                }
            }
        }
        output_w += comptime!(QUAD as i32);
        if output_w >= window.output_w {
            output_w -= window.output_w;
            output_h += 1;
            if output_h >= window.output_h {
                output_h = 0;
                output_t += 1;
                if output_t >= window.output_t {
                    output_t = 0;
                    image += 1;
                }
            }
        }
        pixel += QUAD;
    }
}

/// Adds up the cubes' sums of weights' gradients, in their order. The grid is (parts of a sum, sums).
#[cube(launch_unchecked)]
pub fn add_up<N: Size>(partial: &[Vector<f32, N>], total: &mut [Vector<f32, N>], table: &[i32], first: usize) {
    let row = first + CUBE_POS_Y as usize;
    let own = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let length = at(table, row, sum::LENGTH);
    if own < length {
        let parts = at(table, row, sum::PARTS);
        let from = at(table, row, sum::PARTIAL) + own;
        let mut sum = Vector::<f32, N>::new(0.0);
        for part in 0..parts {
            sum += partial[from + part * length];
        }
        total[at(table, row, sum::TO) + own] = sum;
    }
}
