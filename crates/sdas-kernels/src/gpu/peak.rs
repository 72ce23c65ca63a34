//! What a card could do at best, measured.

// Launches that check no bounds.
#![allow(unsafe_code)]

use super::kernels::peak::{CHAINS, LENGTH, copy, multiply_adds};
use super::run::Buffer;
use super::table::UNITS;
use super::usage::client;
use crate::peak::best;
use burn::tensor::Device;
use cubecl::prelude::*;
use std::time::Instant;

/// Seconds that a measurement takes at least, beside which a launch and a wait are nothing.
const LONG: f64 = 0.02;

/// How often its work is done at most, where a clock shows nothing.
const MOST: usize = 1 << 14;

/// Cubes that keep every processor of a card busy.
const CUBES: usize = 4096;

/// Elements of an array beyond every cache.
const LENGTH_COPIED: usize = 1 << 25;

/// Elements of a vector that is copied.
const LANES: usize = 4;

/// Floating-point operations a second of fused multiply-adds in registers, if it is a card; a multiply-add counts as two.
pub(crate) fn operations(device: &Device) -> Option<f64> {
    let client = client(device)?;
    let values = Buffer::from(client.create_from_slice(&0.5f32.to_ne_bytes().repeat(CUBES * UNITS)));
    let launch = |rounds: usize| {
        // SAFETY: there is a value for every unit.
        unsafe {
            multiply_adds::launch_unchecked(
                &client,
                CubeCount::new_1d(CUBES as u32),
                CubeDim::new_1d(UNITS as u32),
                values.argument(),
                rounds,
            );
        }
    };
    Some((2 * CHAINS * LENGTH * UNITS * CUBES) as f64 * rate(device, launch))
}

/// Bytes a second of a large copy, read and written bytes counted, if it is a card.
pub(crate) fn bandwidth(device: &Device) -> Option<f64> {
    let client = client(device)?;
    let [from, to] = [0, 1].map(|_| Buffer::new(&client, LENGTH_COPIED));
    let launch = |times: usize| {
        for _ in 0..times {
            // SAFETY: there is a vector for every unit in both.
            unsafe {
                copy::launch_unchecked(
                    &client,
                    CubeCount::new_1d((LENGTH_COPIED / LANES / UNITS) as u32),
                    CubeDim::new_1d(UNITS as u32),
                    LANES,
                    from.argument(),
                    to.argument(),
                );
            }
        }
    };
    Some((2 * LENGTH_COPIED * size_of::<f32>()) as f64 * rate(device, launch))
}

/// How often a second a card does the work that is launched so many times.
fn rate(device: &Device, launch: impl Fn(usize)) -> f64 {
    let run = |times| {
        launch(times);
        wait(device);
    };
    let long = |times| {
        let start = Instant::now();
        run(times);
        start.elapsed().as_secs_f64() >= LONG
    };
    // Compiled first.
    run(1);
    let mut times = 1;
    while !long(times) && times < MOST {
        times *= 2;
    }
    times as f64 / best(|| run(times))
}

fn wait(device: &Device) {
    device.sync().expect("a device that has just computed still does");
}
