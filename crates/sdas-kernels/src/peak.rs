//! What a device could do at best, measured: what a kernel's speed is a share of.

use crate::crew::each;
use crate::lanes::{LANES, Lanes};
use crate::registers::Registers;
use crate::width::{Task, Width, run};
use burn::tensor::Device;
use std::hint::black_box;
use std::time::Instant;

/// Times that each measurement is taken; the best counts.
const TRIALS: usize = 7;

/// Floating-point operations a second of fused multiply-adds in registers, over all of a device; a multiply-add counts as two.
pub fn peak_operations(device: &Device) -> f64 {
    #[cfg(feature = "gpu")]
    if let Some(operations) = crate::gpu::peak::operations(device) {
        return operations;
    }
    #[cfg(not(feature = "gpu"))]
    let _ = device;
    processor_operations()
}

/// Bytes a second between a device's memory and what computes on it, read and written bytes counted.
pub fn peak_bandwidth(device: &Device) -> f64 {
    #[cfg(feature = "gpu")]
    if let Some(bandwidth) = crate::gpu::peak::bandwidth(device) {
        return bandwidth;
    }
    #[cfg(not(feature = "gpu"))]
    let _ = device;
    processor_bandwidth()
}

fn processor_operations() -> f64 {
    const ROUNDS: usize = 2_000_000;
    let threads = rayon::current_num_threads();
    let accumulators = |width| {
        let mut accumulators = 0;
        run(width, Chains { rounds: 0, accumulators: &mut accumulators });
        accumulators
    };
    let width = Width::current();
    let operations = (2 * LANES * accumulators(width) * ROUNDS * threads) as f64;
    operations / best(|| each(0..threads, |_| run(width, Chains { rounds: ROUNDS, accumulators: &mut 0 })))
}

/// Over all threads, `a = b + s c` on arrays beyond every cache (McCalpin's STREAM).
fn processor_bandwidth() -> f64 {
    const LENGTH: usize = 1 << 24;
    let (b, c) = (vec![1.0f32; LENGTH], vec![2.0f32; LENGTH]);
    let mut a = vec![0.0f32; LENGTH];
    let part = LENGTH / rayon::current_num_threads().max(1);
    let seconds = best(|| {
        each(a.chunks_mut(part).zip(b.chunks(part)).zip(c.chunks(part)), |((a, b), c)| {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = b + 3.0 * c;
            }
        });
        black_box(&a);
    });
    (3 * LENGTH * size_of::<f32>()) as f64 / seconds
}

/// The shortest of several runs, in seconds.
pub(crate) fn best(mut body: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        body();
        start.elapsed().as_secs_f64()
    };
    (0..TRIALS).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Chains of multiply-adds that do not depend on one another, as many as there are accumulators.
struct Chains<'a> {
    rounds: usize,
    /// How many chains there were.
    accumulators: &'a mut usize,
}

impl Task for Chains<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        match R::ACCUMULATORS {
            16 => chains::<R, 16>(self.rounds),
            6 => chains::<R, 6>(self.rounds),
            4 => chains::<R, 4>(self.rounds),
            _ => chains::<R, 2>(self.rounds),
        }
        *self.accumulators = R::ACCUMULATORS;
    }
}

#[inline(always)]
fn chains<R: Registers, const N: usize>(rounds: usize) {
    let (factor, addend) = (black_box(Lanes::filled(0.5)), black_box(Lanes::filled(1.0)));
    let mut sums = [Lanes::ZERO; N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = addend.add_product::<R>(*sum, factor);
        }
    }
    black_box(sums);
}
