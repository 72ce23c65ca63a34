//! Sums over pixels for the gradients of terms. A cube sums a fixed range of pixels, a second kernel the
//! cubes' sums in their order.

use super::super::table::{UNITS, entry, term};
use super::back::total;
use super::place::*;
use super::rows::*;
use cubecl::prelude::*;

/// Writes the two sums that a cube's strands have, added up in their order.
#[cube]
pub fn write_pair<N: Size>(
    tile: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    place: usize,
    channels: usize,
    me: usize,
    strands: usize,
) {
    let mut plain = Vector::<f32, N>::new(0.0);
    let mut with = Vector::<f32, N>::new(0.0);
    for other in 0..strands {
        plain += tile[other * channels + me];
        with += tile[UNITS + other * channels + me];
    }
    partial[place] = plain;
    partial[place + channels] = with;
}

/// `Σ G` and `Σ G (u - μ)` of every term, G being the gradient of its node. The grid is (cubes of a term, terms).
#[cube(launch_unchecked)]
pub fn terms<N: Size>(
    x: &[Vector<f32, N>],
    results: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    nodes: &[Vector<f32, N>],
    factors: &[f32],
    partial: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    start: usize,
    x_pitch: usize,
    channels: usize,
    per_image: usize,
) {
    let row = first + CUBE_POS_Y as usize;
    let me = UNIT_POS as usize;
    let strands = UNITS / channels;
    let channel = me % channels;
    let own = me / channels;
    let range = at(table, row, term::RANGE);
    let from = CUBE_POS_X as usize * range;
    let end = min(from + range, at(table, row, term::PIXELS));
    let result = signed(table, row, term::RESULT);
    let scaled = signed(table, row, term::FACTORS);
    let gradients = at(table, row, term::GRADIENT) + channel;
    let pitch = at(table, row, term::PITCH);
    let normal = signed(table, row, term::NORMAL);
    let mut mean = Vector::<f32, N>::new(0.0);
    if normal >= 0 {
        mean = normals[(normal as usize * 4 + 2) * channels + channel];
    }
    let mut plain = Vector::<f32, N>::new(0.0);
    let mut with = Vector::<f32, N>::new(0.0);
    if own < strands {
        let mut pixel = from + own;
        while pixel < end {
            let mut gradient = nodes[gradients + pixel * pitch];
            if scaled >= 0 {
                gradient = gradient * Vector::new(factors[scaled as usize + pixel / per_image]);
            }
            let mut value = Vector::<f32, N>::new(0.0);
            if result >= 0 {
                value = results[result as usize + pixel * channels + channel];
            } else {
                value = x[start + pixel * x_pitch + channel];
            }
            plain += gradient;
            with += gradient * (value - mean);
            pixel += strands;
        }
    }
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(2 * UNITS));
    if own < strands {
        tile[me] = plain;
        tile[UNITS + me] = with;
    }
    sync_cube();
    if own == 0 && from < end {
        let place = at(table, row, term::PARTIAL) + 2 * CUBE_POS_X as usize * channels + channel;
        write_pair::<N>(&*tile, partial, place, channels, me, strands);
    }
}

/// What the sums of an operation's terms come to: the norms' way back, gradients of learnt scales and shifts, and of the
/// mix. With û = (u - μ)/σ and the normed result's gradient G: du = γ/σ (G - mean(G) - û mean(G û)). The grid is the
/// operations.
#[cube(launch_unchecked)]
pub fn operations<N: Size>(
    partial: &[Vector<f32, N>],
    normals: &[Vector<f32, N>],
    mixes: &[f32],
    backs: &mut [Vector<f32, N>],
    mix_gradient: &mut [f32],
    weight_gradient: &mut [Vector<f32, N>],
    table: &[i32],
    first: usize,
    channels: usize,
    #[comptime] for_mixes: bool,
    #[comptime] for_weights: bool,
) {
    let row = first + CUBE_POS_X as usize;
    let me = UNIT_POS as usize;
    let strands = UNITS / channels;
    let channel = me % channels;
    let own = me / channels;
    let terms = at(table, row, entry::FIRST);
    let count = at(table, row, entry::COUNT);
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(2 * UNITS));
    let mut share = Vector::<f32, N>::new(0.0);
    for index in 0..count {
        let term = terms + index;
        let pixels = at(table, term, term::PIXELS);
        let range = at(table, term, term::RANGE);
        let parts = (pixels + range - 1) / range;
        let from = at(table, term, term::PARTIAL) + channel;
        let mut plain = Vector::<f32, N>::new(0.0);
        let mut with = Vector::<f32, N>::new(0.0);
        if own < strands {
            let mut part = own;
            while part < parts {
                plain += partial[from + 2 * part * channels];
                with += partial[from + (2 * part + 1) * channels];
                part += strands;
            }
            tile[me] = plain;
            tile[UNITS + me] = with;
        }
        sync_cube();
        if own == 0 {
            plain = Vector::new(0.0);
            with = Vector::new(0.0);
            for other in 0..strands {
                plain += tile[other * channels + channel];
                with += tile[UNITS + other * channels + channel];
            }
            let normal = signed(table, term, term::NORMAL);
            let line = line::<N>(normals, normal, channel, channels);
            let mut mean = Vector::<f32, N>::new(0.0);
            let mut inverse = Vector::<f32, N>::new(1.0);
            if normal >= 0 {
                mean = normals[(normal as usize * 4 + 2) * channels + channel];
                inverse = normals[(normal as usize * 4 + 3) * channels + channel];
            }
            share += line.scale * with + (line.shift + line.scale * mean) * plain;
            let mix_at = signed(table, term, term::MIX);
            let mut mix = 1.0f32;
            if mix_at >= 0 {
                mix = mixes[mix_at as usize];
            }
            let mix = Vector::<f32, N>::new(mix);
            let with_normed = mix * inverse * with;
            let back_at = signed(table, term, term::BACK);
            if back_at >= 0 {
                let to = back_at as usize * 3 * channels + channel;
                backs[to] = line.scale * mix;
                let mut q = Vector::<f32, N>::new(0.0);
                let mut r = Vector::<f32, N>::new(0.0);
                if signed(table, term, term::BATCH) == 1 {
                    let elements = Vector::<f32, N>::new(f32::cast_from(pixels));
                    let slope = line.scale * inverse * with_normed / elements;
                    q = Vector::new(0.0) - slope;
                    r = slope * mean - line.scale * mix * plain / elements;
                }
                backs[to + channels] = q;
                backs[to + 2 * channels] = r;
            }
            let affine = signed(table, term, term::AFFINE);
            if comptime!(for_weights) && affine >= 0 {
                weight_gradient[affine as usize + channel] = with_normed;
                weight_gradient[affine as usize + channels + channel] = mix * plain;
            }
        }
        sync_cube();
    }
    if own == 0 {
        tile[me] = share;
    }
    sync_cube();
    let to = signed(table, row, entry::GRADIENT);
    if comptime!(for_mixes) && me == 0 && to >= 0 {
        let mut sum = 0.0f32;
        for channel in 0..channels {
            sum += total::<N>(tile[channel]);
        }
        mix_gradient[to as usize] = sum;
    }
}
