//! The way there: products with the sums for their norms, pools, norms, and the sums of terms.

use super::super::table::{UNITS, kind, node, norm, piece, term};
use super::place::*;
use super::rows::*;
use cubecl::prelude::*;

/// Pixels of a strand's part of a tile.
pub const PER: usize = QUAD;

/// Vectors that a tile's rows take.
const TILE: usize = UNITS * PER;

/// Vectors of a row that a dense product takes at once.
pub const CHUNK: usize = 4;

/// Vectors of a dense product's outputs that a cube works on.
pub const BLOCK: usize = 16;

/// Pixels of a dense product's tile at most.
pub const PIXELS: usize = 256;

/// Vectors of a dense product's tile that one unit reads.
const READS: usize = PIXELS * CHUNK / UNITS;

/// Stages: the depthwise convolution and the product of a tile at a time, and the sums over the cube's tiles. The grid is
/// (cubes of a piece, pieces).
#[cube(launch_unchecked)]
pub fn stage<N: Size>(
    x: &[Vector<f32, N>],
    results: &mut [Vector<f32, N>],
    weights: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    pitch: usize,
    #[comptime] inner: bool,
    #[comptime] shapes: Shapes,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let window = window(table, row);
    let shape = signed(table, row, piece::SHAPE);
    let channels = at(table, row, piece::OUTPUTS);
    let strands = UNITS / channels;
    let range = at(table, row, piece::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let channel = me % channels;
    let own = me / channels;
    let active = own < strands;
    let to = at(table, row, piece::RESULT);
    let matrix = at(table, row, piece::MATRIX) + channel;
    let depthwise = at(table, row, piece::DEPTHWISE) + channel;

    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(TILE);
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    let mut done = from;
    while done < end {
        if active {
            let mut rows = Array::<Vector<f32, N>>::new(PER);
            let strand = Strand { channel, channels, first: done + own * PER, strands: 1, end };
            if comptime!(inner) {
                let line = source_line::<N>(normals, table, row, channel, channels);
                let pitch = Pitch { start: at(table, row, piece::SOURCE), pixel: channels };
                quad_rows::<N>(
                    &*results, &pitch, weights, &line, &window, shape, depthwise, &strand, &mut rows, true, shapes,
                );
            } else {
                let line = Line::<N> { scale: Vector::new(1.0), shift: Vector::new(0.0) };
                let pitch = Pitch { start, pixel: pitch };
                quad_rows::<N>(x, &pitch, weights, &line, &window, shape, depthwise, &strand, &mut rows, false, shapes);
            }
            #[unroll]
            for k in 0..PER {
                // The strands' first pixels side by side, then their second ones: what is read at once is dense.
                tile[(k * strands + own) * channels + channel] = rows[k];
            }
        }
        sync_cube();
        if active {
            let mut values = Array::<Vector<f32, N>>::new(PER);
            #[unroll]
            for k in 0..PER {
                values[k] = Vector::new(0.0);
            }
            let mut line = matrix;
            for input in 0..channels {
                let mut rows = Array::<Vector<f32, N>>::new(PER);
                #[unroll]
                for k in 0..PER {
                    rows[k] = tile[(k * strands + own) * channels + input];
                }
                #[unroll]
                for lane in 0..N::value() {
                    let factor = weights[line];
                    line += channels;
                    #[unroll]
                    for k in 0..PER {
                        values[k] += Vector::new(rows[k].extract(lane)) * factor;
                    }
                }
            }
            #[unroll]
            for k in 0..PER {
                let pixel = done + own * PER + k;
                if pixel < end {
                    results[to + pixel * channels + channel] = values[k];
                    sum += values[k];
                    squares += values[k] * values[k];
                }
            }
        }
        sync_cube();
        done += PER * strands;
    }
    if active {
        tile[me] = sum;
        tile[UNITS + me] = squares;
    }
    sync_cube();
    if own == 0 && from < end {
        let place = at(table, row, piece::PARTIAL) + 2 * CUBE_POS_X as usize * channels + channel;
        write_sums::<N>(&*tile, partial, place, channels, me, channels, strands, end - from);
    }
}

/// The mean and the sum of squared deviations of what a cube's strands have summed, in their order.
#[cube]
#[allow(clippy::too_many_arguments)]
fn write_sums<N: Size>(
    tile: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    place: usize,
    channels: usize,
    me: usize,
    apart: usize,
    strands: usize,
    pixels: usize,
) {
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    for other in 0..strands {
        sum += tile[other * apart + me];
        squares += tile[UNITS + other * apart + me];
    }
    let mean = sum / Vector::new(f32::cast_from(pixels));
    partial[place] = mean;
    partial[place + channels] = max(squares - sum * mean, Vector::new(0.0));
}

/// Dense products: pixels under a window, or means, times a matrix. The grid is (cubes of a piece, pieces, blocks of outputs).
#[cube(launch_unchecked)]
pub fn dense<N: Size>(
    x: &[Vector<f32, N>],
    results: &mut [Vector<f32, N>],
    weights: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    pitch: usize,
    channels: usize,
    #[comptime] means: bool,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let window = window(table, row);
    let pitch = Pitch { start, pixel: pitch };
    let inputs = at(table, row, piece::INPUTS);
    let activated = flag(table, row, piece::ACTIVATED);
    let difference = flag(table, row, piece::DIFFERENCE);
    let outputs = at(table, row, piece::OUTPUTS);
    let length = inputs * (window.kernel_t * window.kernel_h * window.kernel_w) as usize;
    let skipped = CUBE_POS_Z as usize * BLOCK;
    let block = min(max(outputs, skipped) - skipped, BLOCK);
    // A cube beyond the last block has nothing to do.
    let present = block > 0;
    let block = max(block, 1);
    let strands = UNITS / block;
    let range = at(table, row, piece::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, piece::PIXELS));
    let column = me % block;
    let own = me / block;
    let active = own < strands && present;
    let size = min(PER * strands, PIXELS);
    let output = skipped + column;
    let matrix = at(table, row, piece::MATRIX) + output;
    let to = at(table, row, piece::RESULT) + at(table, row, piece::FIRST) + output;
    let wide = comptime!(CHUNK + 1);

    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(PIXELS * (CHUNK + 1)));
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    let mut done = from;
    while done < end {
        let mut values = Array::<Vector<f32, N>>::new(PER);
        #[unroll]
        for k in 0..PER {
            values[k] = Vector::new(0.0);
        }
        // Where the pixels lie that a unit reads, for all of their rows.
        let mut places = Sequence::<Place>::new();
        #[unroll]
        for read in 0..READS {
            places.push(corner(&window, done + me / CHUNK + read * comptime!(UNITS / CHUNK)));
        }
        // Which vector of a row it reads is counted on rather than divided out.
        let mut input = me % CHUNK;
        let mut kt = 0i32.runtime();
        let mut kh = 0i32.runtime();
        let mut kw = 0i32.runtime();
        let mut chunk = 0usize;
        while chunk < length {
            while input >= inputs {
                input -= inputs;
                kw += 1;
                if kw == window.kernel_w {
                    kw = 0;
                    kh += 1;
                    if kh == window.kernel_h {
                        kh = 0;
                        kt += 1;
                    }
                }
            }
            let tap =
                Tap { t: kt * window.dilation_t, h: kh * window.dilation_h, w: kw * window.dilation_w, channel: input };
            #[unroll]
            for read in 0..READS {
                let local = me / CHUNK + read * comptime!(UNITS / CHUNK);
                let mut value = Vector::<f32, N>::new(0.0);
                if local < size && done + local < end && chunk + me % CHUNK < length {
                    let corner = places.index(read);
                    value = dense_row::<N>(x, &pitch, &window, corner, &tap, activated, difference, means);
                }
                tile[local * wide + me % CHUNK] = value;
            }
            sync_cube();
            if active {
                let inner = min(length - chunk, CHUNK);
                let mut line = matrix + chunk * N::value() * outputs;
                for input in 0..inner {
                    let mut rows = Array::<Vector<f32, N>>::new(PER);
                    #[unroll]
                    for k in 0..PER {
                        let local = min(own + k * strands, PIXELS - 1);
                        rows[k] = tile[local * wide + input];
                    }
                    #[unroll]
                    for lane in 0..N::value() {
                        let factor = weights[line];
                        line += outputs;
                        #[unroll]
                        for k in 0..PER {
                            values[k] += Vector::new(rows[k].extract(lane)) * factor;
                        }
                    }
                }
            }
            sync_cube();
            chunk += CHUNK;
            input += CHUNK;
        }
        if active {
            #[unroll]
            for k in 0..PER {
                let local = own + k * strands;
                let pixel = done + local;
                if local < size && pixel < end {
                    results[to + pixel * channels] = values[k];
                    sum += values[k];
                    squares += values[k] * values[k];
                }
            }
        }
        done += size;
    }
    if active {
        tile[me] = sum;
        tile[UNITS + me] = squares;
    }
    sync_cube();
    if own == 0 && present && from < end {
        let place =
            at(table, row, piece::PARTIAL) + 2 * CUBE_POS_X as usize * channels + at(table, row, piece::FIRST) + output;
        write_sums::<N>(&*tile, partial, place, channels, me, block, strands, end - from);
    }
}

/// Pools, of maxima with the index of the tap that each is. The grid is (cubes of a piece, pieces).
#[cube(launch_unchecked)]
pub fn pool<N: Size>(
    x: &[Vector<f32, N>],
    results: &mut [Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    pitch: usize,
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
    let to = at(table, row, piece::RESULT) + channel;
    let indices = at(table, row, piece::MATRIX_SUMS) + channel;
    let maximum = signed(table, row, piece::KIND) == kind::MAXIMUM;
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    if active {
        let mut pixel = from + own;
        while pixel < end {
            let corner = corner(&window, pixel);
            // What lies within the picture.
            let first_t = max(corner.t, 0);
            let first_h = max(corner.h, 0);
            let first_w = max(corner.w, 0);
            let end_t = min(corner.t + window.kernel_t, window.input_t);
            let end_h = min(corner.h + window.kernel_h, window.input_h);
            let end_w = min(corner.w + window.kernel_w, window.input_w);
            let mut best = Vector::<f32, N>::new(0.0);
            let mut index = Vector::<f32, N>::new(-1.0);
            let mut t = first_t;
            let mut h = first_h;
            let mut w = first_w;
            // One loop, since the compiler would unroll those of each axis, for more registers than there are.
            while t < end_t {
                let at = ((corner.image * window.input_t + t) * window.input_h + h) * window.input_w + w;
                let value = x[start + at as usize * pitch + channel];
                if maximum {
                    let tap = ((t - corner.t) * window.kernel_h + h - corner.h) * window.kernel_w + w - corner.w;
                    #[unroll]
                    for lane in 0..N::value() {
                        let larger = value.extract(lane) > best.extract(lane) || index.extract(lane) < 0.0;
                        best.insert(lane, select(larger, value.extract(lane), best.extract(lane)));
                        index.insert(lane, select(larger, f32::cast_from(tap), index.extract(lane)));
                    }
                } else {
                    best += value;
                }
                w += 1;
                if w == end_w {
                    w = first_w;
                    h += 1;
                    if h == end_h {
                        h = first_h;
                        t += 1;
                    }
                }
            }
            if maximum {
                results[indices + pixel * channels] = index;
            } else {
                let count = (end_t - first_t) * (end_h - first_h) * (end_w - first_w);
                best = best / Vector::new(f32::cast_from(count));
            }
            results[to + pixel * channels] = best;
            sum += best;
            squares += best * best;
            pixel += strands;
        }
    }
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(2 * UNITS));
    if active {
        tile[me] = sum;
        tile[UNITS + me] = squares;
    }
    sync_cube();
    if own == 0 && from < end {
        let place = at(table, row, piece::PARTIAL) + 2 * CUBE_POS_X as usize * channels + channel;
        write_sums::<N>(&*tile, partial, place, channels, me, channels, strands, end - from);
    }
}

/// Units of a cube that merges sums.
pub const MERGERS: usize = 64;

/// Norms out of the cubes' sums, merged by Chan's formula (Chan, Golub, LeVeque, 1979) in an order that the shape alone
/// decides, or of running statistics: scale, shift, mean and 1/σ; and the statistics for the running ones. The grid is
/// (vectors of channels, norms).
#[cube(launch_unchecked)]
pub fn normalise<N: Size>(
    partial: &[Vector<f32, N>],
    weights: &[Vector<f32, N>],
    running: &[Vector<f32, N>],
    normals: &mut [Vector<f32, N>],
    statistics: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    channels: usize,
) {
    let row = first + CUBE_POS_Y as usize;
    let channel = CUBE_POS_X as usize;
    let me = UNIT_POS as usize;
    let sort = signed(table, row, norm::KIND);
    let pixels = at(table, row, norm::PIXELS);
    let range = at(table, row, norm::RANGE);
    let mut counts = Shared::<[f32]>::new_slice(MERGERS);
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(MERGERS);
    let mut deviations = Shared::<[Vector<f32, N>]>::new_slice(MERGERS);
    let mut count = 0.0f32;
    let mut mean = Vector::<f32, N>::new(0.0);
    let mut deviation = Vector::<f32, N>::new(0.0);
    if sort == 1 {
        let parts = (pixels + range - 1) / range;
        let mut part = me;
        while part < parts {
            let own = f32::cast_from(min(pixels - part * range, range));
            let place = at(table, row, norm::PARTIAL) + 2 * part * channels + channel;
            let total = count + own;
            let delta = partial[place] - mean;
            mean += delta * Vector::new(own / total);
            deviation += partial[place + channels] + delta * delta * Vector::new(count * own / total);
            count = total;
            part += MERGERS;
        }
    }
    counts[me] = count;
    means[me] = mean;
    deviations[me] = deviation;
    let mut step = comptime!(MERGERS / 2).runtime();
    while step > 0 {
        sync_cube();
        if me < step {
            let own = counts[me + step];
            if own > 0.0 {
                let total = counts[me] + own;
                let delta = means[me + step] - means[me];
                let before = counts[me];
                means[me] += delta * Vector::new(own / total);
                let deviation = deviations[me + step] + delta * delta * Vector::new(before * own / total);
                deviations[me] += deviation;
                counts[me] = total;
            }
        }
        step /= 2;
    }
    sync_cube();
    if me == 0 {
        let own = at(table, row, norm::NORMAL) * 4 * channels + channel;
        let mut scale = Vector::<f32, N>::new(1.0);
        let mut shift = Vector::<f32, N>::new(0.0);
        let mut mean = Vector::<f32, N>::new(0.0);
        let mut inverse = Vector::<f32, N>::new(1.0);
        if sort > 0 {
            let place = at(table, row, norm::STATISTICS) + channel;
            let mut variance = Vector::<f32, N>::new(1.0);
            if sort == 1 {
                mean = means[0];
                let elements = f32::cast_from(pixels);
                variance = deviations[0] / Vector::new(elements);
                statistics[place] = mean;
                // Running variances are unbiased, the batch's own is not (as in PyTorch).
                statistics[place + channels] = deviations[0] / Vector::new(max(elements - 1.0, 1.0));
            } else {
                mean = running[place];
                variance = running[place + channels];
            }
            let epsilon = f32::reinterpret(signed(table, row, norm::EPSILON));
            inverse = Vector::new(1.0) / (variance + Vector::new(epsilon)).sqrt();
            scale = inverse;
            let affine = signed(table, row, norm::AFFINE);
            if affine >= 0 {
                scale = inverse * weights[affine as usize + channel];
                shift = weights[affine as usize + channels + channel];
            }
            shift -= scale * mean;
        }
        normals[own] = scale;
        normals[own + channels] = shift;
        normals[own + 2 * channels] = mean;
        normals[own + 3 * channels] = inverse;
    }
}

/// The factor of a term of a node's sum for a pixel: its mix times its sample's.
#[cube]
pub fn factor(mixes: &[f32], factors: &[f32], mix: i32, scaled: i32, image: usize) -> f32 {
    let mut factor = 1.0f32;
    if mix >= 0 {
        factor = mixes[mix as usize];
    }
    if scaled >= 0 {
        factor *= factors[scaled as usize + image];
    }
    factor
}

/// Nodes' sums of their terms. The grid is (parts of the pixels, nodes).
#[cube(launch_unchecked)]
pub fn combine<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    mixes: &[f32],
    factors: &[f32],
    output: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    pitch: usize,
    channels: usize,
    pixels: usize,
    per_image: usize,
    #[comptime] own: bool,
) {
    let row = first + CUBE_POS_Y as usize;
    let strands = UNITS / channels;
    let me = UNIT_POS as usize;
    let channel = me % channels;
    let strand = me / channels;
    let begin = CUBE_POS_X as usize * PER * strands + strand;
    let terms = at(table, row, node::FIRST);
    let count = at(table, row, node::COUNT);
    let to = at(table, row, node::OUTPUT) + channel;
    let output_pitch = at(table, row, node::PITCH);
    if strand < strands {
        let mut sums = Array::<Vector<f32, N>>::new(PER);
        #[unroll]
        for k in 0..PER {
            sums[k] = Vector::new(0.0);
            let pixel = begin + k * strands;
            if signed(table, row, node::BEGUN) == 1 && pixel < pixels {
                sums[k] = output[to + pixel * output_pitch];
            }
        }
        for index in 0..count {
            let term = terms + index;
            let line = line::<N>(normals, signed(table, term, term::NORMAL), channel, channels);
            let result = signed(table, term, term::RESULT);
            let mix = signed(table, term, term::MIX);
            let scaled = signed(table, term, term::FACTORS);
            #[unroll]
            for k in 0..PER {
                let pixel = begin + k * strands;
                if pixel < pixels {
                    let factor = factor(mixes, factors, mix, scaled, pixel / per_image);
                    let mut value = Vector::<f32, N>::new(0.0);
                    if result >= 0 {
                        value = results[result as usize + pixel * channels + channel];
                    } else if comptime!(own) {
                        value = output[start + pixel * pitch + channel];
                    } else {
                        value = x[start + pixel * pitch + channel];
                    }
                    sums[k] += (value * line.scale + line.shift) * Vector::new(factor);
                }
            }
        }
        #[unroll]
        for k in 0..PER {
            let pixel = begin + k * strands;
            if pixel < pixels {
                output[to + pixel * output_pitch] = sums[k];
            }
        }
    }
}
