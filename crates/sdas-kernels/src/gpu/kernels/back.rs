//! The way back through products: from the gradients of results to those of the rows.

use super::super::table::{UNITS, kind, node, piece, term};
use super::forward::{BLOCK, CHUNK, PER, PIXELS};
use super::place::*;
use cubecl::prelude::*;

/// The gradient of a unit's result: `p × g + q × u + r`, g being that of its normed result.
#[derive(CubeType, Clone, Copy)]
pub struct Back<N: Size> {
    pub p: Vector<f32, N>,
    pub q: Vector<f32, N>,
    pub r: Vector<f32, N>,
}

#[cube]
pub fn back<N: Size>(backs: &[Vector<f32, N>], row: usize, channel: usize, channels: usize) -> Back<N> {
    let own = row * 3 * channels + channel;
    Back::<N> { p: backs[own], q: backs[own + channels], r: backs[own + 2 * channels] }
}

/// Where the gradient of a unit's normed result is.
#[derive(CubeType, Clone, Copy)]
pub struct Upstream {
    /// In its node's gradient, or none.
    pub gradient: i32,
    /// Among the inner gradients, or none.
    pub inner: i32,
    /// The factors of the samples, or none.
    pub factors: i32,
    pub result: usize,
    /// Vectors from a pixel of the nodes' gradient to the next.
    pub pitch: usize,
    pub per_image: usize,
    pub channels: usize,
}

#[cube]
pub fn upstream(table: &[i32], row: usize, channels: usize, per_image: usize) -> Upstream {
    Upstream {
        gradient: signed(table, row, piece::GRADIENT),
        inner: signed(table, row, piece::INNER),
        factors: signed(table, row, piece::FACTORS),
        result: at(table, row, piece::RESULT),
        pitch: at(table, row, piece::PITCH),
        per_image,
        channels,
    }
}

/// The gradient of a unit's result in one vector of a pixel's channels.
#[cube]
pub fn result_gradient<N: Size>(
    results: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    inner: &[Vector<f32, N>],
    factors: &[f32],
    from: &Upstream,
    back: &Back<N>,
    pixel: usize,
    channel: usize,
) -> Vector<f32, N> {
    let mut gradient = Vector::<f32, N>::new(0.0);
    if from.inner >= 0 {
        gradient = inner[from.inner as usize + pixel * from.channels + channel];
    } else {
        gradient = nodes[from.gradient as usize + pixel * from.pitch + channel];
        if from.factors >= 0 {
            gradient = gradient * Vector::new(factors[from.factors as usize + pixel / from.per_image]);
        }
    }
    let result = results[from.result + pixel * from.channels + channel];
    back.p * gradient + back.q * result + back.r
}

/// A vector's lanes added up.
#[cube]
pub fn total<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for lane in 0..N::value() {
        sum += vector.extract(lane);
    }
    sum
}

/// Vectors of channels up to which a stage's cube holds its matrix.
pub const HELD: usize = 16;

/// A block of a matrix of so many `outputs`, as many rows as a vector has lanes, from the other side.
#[cube]
fn transpose_block<N: Size>(
    matrix: &[Vector<f32, N>],
    from: usize,
    outputs: usize,
    transposed: &mut [Vector<f32, N>],
    to: usize,
    channels: usize,
    channel: usize,
    output: usize,
) {
    let lanes = N::value();
    let mut lines = Array::<Vector<f32, N>>::new(lanes);
    #[unroll]
    for lane in 0..lanes {
        lines[lane] = matrix[from + (channel * lanes + lane) * outputs + output];
    }
    #[unroll]
    for other in 0..lanes {
        let mut column = Vector::<f32, N>::new(0.0);
        #[unroll]
        for lane in 0..lanes {
            column.insert(lane, lines[lane].extract(other));
        }
        transposed[to + (output * lanes + other) * channels + channel] = column;
    }
}

/// The matrices of stages, each in its place but transposed. The grid is (parts of a matrix, pieces).
#[cube(launch_unchecked)]
pub fn transpose<N: Size>(
    weights: &[Vector<f32, N>],
    transposed: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    channels: usize,
) {
    let matrix = at(table, first + CUBE_POS_Y as usize, piece::MATRIX);
    let block = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    if block < channels * channels {
        let (channel, output) = (block % channels, block / channels);
        transpose_block::<N>(weights, matrix, channels, transposed, matrix, channels, channel, output);
    }
}

/// Stages: the gradient of a tile's results times the transposed matrix, over the results. Where `held`, for at most [`HELD`]
/// vectors of channels, a cube transposes the matrix itself; otherwise that has been done. The grid is
/// (cubes of a piece, pieces).
#[cube(launch_unchecked)]
pub fn stage<N: Size>(
    results: &mut [Vector<f32, N>],
    weights: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    inner: &[Vector<f32, N>],
    factors: &[f32],
    backs: &[Vector<f32, N>],
    table: &[i32],
    first: usize,
    per_image: usize,
    #[comptime] held: bool,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let lanes = N::value();
    let channels = at(table, row, piece::OUTPUTS);
    let strands = UNITS / channels;
    let range = at(table, row, piece::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let channel = me % channels;
    let own = me / channels;
    let active = own < strands;
    let matrix = at(table, row, piece::MATRIX);
    let to = at(table, row, piece::ROWS) + channel;
    let upstream = upstream(table, row, channels, per_image);
    let back = back::<N>(backs, at(table, row, piece::BACK), channel, channels);

    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(UNITS * PER));
    let mut transposed = Shared::<[Vector<f32, N>]>::new_slice(comptime!(if held { HELD * HELD * lanes } else { 1 }));
    if comptime!(held) {
        if me < channels * channels {
            transpose_block::<N>(weights, matrix, channels, &mut transposed, 0, channels, channel, me / channels);
        }
    }
    let mut done = from;
    while done < end {
        if active {
            #[unroll]
            for k in 0..PER {
                let pixel = done + own + k * strands;
                let mut gradient = Vector::<f32, N>::new(0.0);
                if pixel < end {
                    gradient = result_gradient::<N>(&*results, nodes, inner, factors, &upstream, &back, pixel, channel);
                }
                tile[(own + k * strands) * channels + channel] = gradient;
            }
        }
        sync_cube();
        if active {
            let mut values = Array::<Vector<f32, N>>::new(PER);
            #[unroll]
            for k in 0..PER {
                values[k] = Vector::new(0.0);
            }
            for output in 0..channels {
                let mut rows = Array::<Vector<f32, N>>::new(PER);
                #[unroll]
                for k in 0..PER {
                    rows[k] = tile[(own + k * strands) * channels + output];
                }
                #[unroll]
                for other in 0..lanes {
                    let column = (output * lanes + other) * channels + channel;
                    let factor = if comptime!(held) { transposed[column] } else { weights[matrix + column] };
                    #[unroll]
                    for k in 0..PER {
                        values[k] += Vector::new(rows[k].extract(other)) * factor;
                    }
                }
            }
            #[unroll]
            for k in 0..PER {
                let pixel = done + own + k * strands;
                if pixel < end {
                    results[to + pixel * channels] = values[k];
                }
            }
        }
        sync_cube();
        done += PER * strands;
    }
}

/// Dense products: the gradient of the results times the transposed matrix, tap by tap; of a mean, that of each of its
/// elements. The grid is (cubes of a piece, pieces, blocks of a row).
#[cube(launch_unchecked)]
pub fn dense<N: Size>(
    results: &[Vector<f32, N>],
    rows: &mut [Vector<f32, N>],
    weights: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    inner: &[Vector<f32, N>],
    factors: &[f32],
    backs: &[Vector<f32, N>],
    table: &[i32],
    first: usize,
    channels: usize,
    per_image: usize,
    #[comptime] means: bool,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let lanes = N::value();
    let window = window(table, row);
    let outputs = at(table, row, piece::OUTPUTS);
    let head = at(table, row, piece::FIRST);
    let length = at(table, row, piece::INPUTS) * (window.kernel_t * window.kernel_h * window.kernel_w) as usize;
    let skipped = CUBE_POS_Z as usize * BLOCK;
    let block = min(max(length, skipped) - skipped, BLOCK);
    let present = block > 0;
    let block = max(block, 1);
    let strands = UNITS / block;
    let range = at(table, row, piece::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let own = me / block;
    let active = own < strands && present;
    let size = min(PER * strands, PIXELS);
    let index = skipped + me % block;
    let matrix = at(table, row, piece::MATRIX) + skipped * lanes * outputs;
    let to = at(table, row, piece::ROWS) + index;
    let back_row = at(table, row, piece::BACK);
    let wide = comptime!(CHUNK + 1);
    let upstream = upstream(table, row, channels, per_image);

    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(PIXELS * (CHUNK + 1)));
    let mut transposed = Shared::<[Vector<f32, N>]>::new_slice(comptime!(CHUNK * lanes * BLOCK));
    let mut done = from;
    while done < end {
        let mut sums = Array::<Vector<f32, N>>::new(PER);
        #[unroll]
        for k in 0..PER {
            sums[k] = Vector::new(0.0);
        }
        let mut chunk = 0usize;
        while chunk < outputs {
            let mut item = me;
            let output = chunk + me % CHUNK;
            let back = back::<N>(backs, back_row, head + min(output, outputs - 1), channels);
            while item < size * CHUNK {
                let pixel = done + item / CHUNK;
                let mut value = Vector::<f32, N>::new(0.0);
                if pixel < end && output < outputs {
                    value =
                        result_gradient::<N>(results, nodes, inner, factors, &upstream, &back, pixel, head + output);
                }
                tile[item / CHUNK * wide + item % CHUNK] = value;
                item += UNITS;
            }
            let count = min(outputs - chunk, CHUNK);
            if present && me < block * count {
                let from = matrix + chunk;
                transpose_block::<N>(weights, from, outputs, &mut transposed, 0, block, me % block, me / block);
            }
            sync_cube();
            if active {
                for output in 0..count {
                    let mut values = Array::<Vector<f32, N>>::new(PER);
                    #[unroll]
                    for k in 0..PER {
                        let local = min(own + k * strands, PIXELS - 1);
                        values[k] = tile[local * wide + output];
                    }
                    #[unroll]
                    for other in 0..lanes {
                        let factor = transposed[(output * lanes + other) * block + me % block];
                        #[unroll]
                        for k in 0..PER {
                            sums[k] += Vector::new(values[k].extract(other)) * factor;
                        }
                    }
                }
            }
            sync_cube();
            chunk += CHUNK;
        }
        if active {
            #[unroll]
            for k in 0..PER {
                let local = own + k * strands;
                let pixel = done + local;
                if local < size && pixel < end {
                    let mut sum = sums[k];
                    if comptime!(means) {
                        let place = place(pixel, window.output_t, window.output_h, window.output_w);
                        let count = covered(place.t, window.stride_t, 0, window.stride_t, window.input_t)
                            * covered(place.h, window.stride_h, 0, window.stride_h, window.input_h)
                            * covered(place.w, window.stride_w, 0, window.stride_w, window.input_w);
                        sum = sum / Vector::new(f32::cast_from(count));
                    }
                    rows[to + pixel * length] = sum;
                }
            }
        }
        done += size;
    }
}

/// Pools: the gradient of the result, over the results, summed over the links that have the pool; of an average, that of each
/// of its elements. The grid is (parts of the pixels, pools).
#[cube(launch_unchecked)]
pub fn pool<N: Size>(
    results: &mut [Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    factors: &[f32],
    backs: &[Vector<f32, N>],
    table: &[i32],
    first: usize,
    channels: usize,
    pixels: usize,
    per_image: usize,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let strands = UNITS / channels;
    let channel = me % channels;
    let pixel = CUBE_POS_X as usize * strands + me / channels;
    let terms = at(table, row, node::FIRST);
    let count = at(table, row, node::COUNT);
    let to = at(table, row, node::OUTPUT) + pixel * channels + channel;
    if me / channels < strands && pixel < pixels {
        let result = results[to];
        let mut sum = Vector::<f32, N>::new(0.0);
        for index in 0..count {
            let term = terms + index;
            let back = back::<N>(backs, at(table, term, term::BACK), channel, channels);
            let from = at(table, term, term::GRADIENT) + pixel * at(table, term, term::PITCH) + channel;
            let mut gradient = nodes[from];
            let scaled = signed(table, term, term::FACTORS);
            if scaled >= 0 {
                gradient = gradient * Vector::new(factors[scaled as usize + pixel / per_image]);
            }
            sum += back.p * gradient + back.q * result + back.r;
        }
        let piece = at(table, row, node::PIECE);
        if signed(table, piece, piece::KIND) == kind::AVERAGE {
            let window = window(table, piece);
            let place = place(pixel, window.output_t, window.output_h, window.output_w);
            let count = covered(place.t, window.stride_t, window.padding_t, window.kernel_t, window.input_t)
                * covered(place.h, window.stride_h, window.padding_h, window.kernel_h, window.input_h)
                * covered(place.w, window.stride_w, window.padding_w, window.kernel_w, window.input_w);
            sum = sum / Vector::new(f32::cast_from(count));
        }
        results[to] = sum;
    }
}
