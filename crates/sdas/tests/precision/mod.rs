//! How far a computation in single precision may be from PyTorch's.
//!
//! Mostly two computations of the same thing differ by 1e-6 of its size. But where an element lies within rounding of a
//! ReLU's or a maximum's kink, it is chance on which side each of them falls, and gradients jump by per cents; and a norm
//! over three values multiplies rounding by hundreds. How much rounding may change is a property of the numbers, not of
//! who computes with them, and so it is measured: the portable body computes the case in double precision, as it is and
//! with all that goes in disturbed by a few roundings. What that changes, single precision cannot be held to.
//!
//! The measure says nothing of what is right: a wrong factor is as wrong in double precision, and changes the measure by
//! as little. What is right is PyTorch's numbers alone.
#![allow(dead_code)] // no test file uses all of it

use super::golden::{Case, relative_error};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::Rng;
use sdas::parameters::Parameters;
use sdas_data::random::{Stream, stream};
use sdas_kernels::portably;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

/// Comfortable for single precision: what every tensor is held to that is not ill-conditioned.
pub const TOLERANCE: f64 = 1e-4;

/// What double precision is held to where the file is in double precision. α alone is rounded to single precision on the
/// way.
const DOUBLE_TOLERANCE: f64 = 1e-7;
/// Disturbed computations that a measure is the largest of. Whether a kink within reach is crossed is chance each time.
const DRAWS: u64 = 12;
/// The same for what is off by more than they say.
const MOST_DRAWS: u64 = 96;
/// How many times the measure an error may be.
const FACTOR: f64 = 8.0;

/// A way to compute.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Body {
    Fused,
    Portable,
    /// The portable one in double precision.
    Double,
}

impl Body {
    fn compute(self, compute: impl Fn(&Numbers) -> Outcome) -> Outcome {
        match self {
            Body::Fused => compute(&Numbers::exact(DType::F32, fused_device())),
            Body::Portable => portably(|| compute(&Numbers::exact(DType::F32, Device::flex()))),
            Body::Double => portably(|| compute(&Numbers::exact(DType::F64, Device::flex()))),
        }
    }

    /// The largest relative disturbance that measures its rounding, in roundings of single precision. Every layer rounds;
    /// and Burn's sums, over a whole batch for a norm, run straight through it in single precision, where the fused body
    /// and PyTorch have double precision or partial sums.
    fn disturbance(self) -> f64 {
        let roundings = if self == Body::Portable { 16.0 } else { 4.0 };
        roundings / f64::from(1 << 24)
    }
}

/// Where the fused body runs: on the CPU, or where `SDAS_DEVICE` says.
fn fused_device() -> Device {
    match std::env::var("SDAS_DEVICE") {
        Ok(name) => sdas::device::choose(&name).expect("SDAS_DEVICE names a device of this build"),
        Err(_) => Device::flex(),
    }
}

/// Tensors by the names that they have in the golden file.
#[derive(Debug, Default)]
pub struct Outcome(Vec<(String, Vec<f64>)>);

impl Outcome {
    /// Adds a tensor.
    pub fn add<const D: usize>(&mut self, name: impl Into<String>, tensor: Tensor<D>) {
        self.add_values(name, tensor.into_data().iter::<f64>().collect());
    }

    /// Adds an activation `[N, T, H, W, C]`.
    pub fn add_activation(&mut self, name: impl Into<String>, activation: Tensor<5>) {
        self.add(name, activation.permute([0, 4, 1, 2, 3]));
    }

    /// Adds values that are no tensor, in the file's order.
    pub fn add_values(&mut self, name: impl Into<String>, values: Vec<f64>) {
        self.0.push((name.into(), values));
    }
}

/// How the numbers of a file go into a computation.
pub struct Numbers {
    dtype: DType,
    device: Device,
    disturbance: Option<(f64, RefCell<Stream>)>,
}

impl Numbers {
    fn exact(dtype: DType, device: Device) -> Self {
        Numbers { dtype, device, disturbance: None }
    }

    fn disturbed(largest: f64, draw: u64) -> Self {
        let stream = RefCell::new(stream(draw, "disturbance", [0, 0]));
        Numbers { dtype: DType::F64, device: Device::flex(), disturbance: Some((largest, stream)) }
    }

    /// Where they are computed with.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values as they go in.
    pub fn values(&self, values: &[f32]) -> Vec<f64> {
        let share = || match &self.disturbance {
            Some((largest, stream)) => 1.0 + stream.borrow_mut().random_range(-largest..*largest),
            None => 1.0,
        };
        values.iter().map(|&value| f64::from(value) * share()).collect()
    }

    /// A tensor of them.
    pub fn tensor<const D: usize>(&self, values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values(values), shape), (device, self.dtype))
    }

    /// An activation of the file, `[N, T, H, W, C]` for its `[N, C, T, H, W]` or `[N, C, H, W]`.
    pub fn activation(&self, case: &Case, name: &str, device: &Device) -> Tensor<5> {
        let (shape, values) = case.floats(name);
        let [n, c, t, h, w] = match *shape {
            [n, c, h, w] => [n, c, 1, h, w],
            [n, c, t, h, w] => [n, c, t, h, w],
            _ => panic!("{}: {name} is no activation", case.name),
        };
        self.tensor(values, [n, c, t, h, w], device).permute([0, 2, 3, 4, 1])
    }

    /// Flat tensors of them, by slot.
    pub fn parameters(&self, slots: &[Option<Vec<f32>>], device: &Device) -> Parameters {
        let tensor = |values: &Vec<f32>| self.tensor(values, [values.len()], device);
        Parameters::new(slots.iter().map(|slot| slot.as_ref().map(tensor)).collect())
    }

    /// Parameters that are the same whatever goes in.
    pub fn constants(&self, parameters: &Parameters) -> Parameters {
        parameters.map(|tensor| tensor.cast(self.dtype))
    }
}

/// Holds what `compute` gives, by the fused body and by the portable one, against the file. `tolerance` is that of a
/// tensor that is not ill-conditioned.
///
/// # Panics
///
/// If anything is off by more than its tolerance and by more than rounding may change it.
pub fn hold(case: &Case, tolerance: impl Fn(&str) -> f64, compute: impl Fn(&Numbers) -> Outcome) {
    let exact = Body::Double.compute(&compute);
    let mut wrong = Vec::new();
    let mut changes = Changes::new();
    for body in [Body::Double, Body::Fused, Body::Portable] {
        if body != Body::Fused {
            changes = measure(&exact, body.disturbance(), 0..DRAWS, &compute);
        }
        let outcome = body.compute(&compute);
        let mut held = Held::new(case, body, &outcome, &changes, &tolerance);
        if !held.wrong.is_empty() && !held.strict {
            // Few kinks are within reach of few draws: what is off is measured by more of them before it is judged.
            for (name, more) in measure(&exact, body.disturbance(), DRAWS..MOST_DRAWS, &compute) {
                let change = changes.get_mut(&name).expect("the same tensors every time");
                *change = change.max(more);
            }
            held = Held::new(case, body, &outcome, &changes, &tolerance);
        }
        println!("{} ({body:?}): {}", case.name, held.words);
        wrong.extend(held.wrong);
    }
    assert!(wrong.is_empty(), "{}:\n{}", case.name, wrong.join("\n"));
}

/// How far an outcome is from the file.
struct Held {
    strict: bool,
    words: String,
    /// What is off by more than is allowed.
    wrong: Vec<String>,
}

impl Held {
    fn new(case: &Case, body: Body, outcome: &Outcome, changes: &Changes, tolerance: impl Fn(&str) -> f64) -> Self {
        let strict = body == Body::Double && case.is_double();
        let (mut largest, mut ill, mut beyond, mut wrong) = ((0.0, ""), 0, 0, Vec::new());
        for (name, ours) in &outcome.0 {
            let error = relative_error(ours, &case.doubles(name));
            let least = if strict { DOUBLE_TOLERANCE } else { tolerance(name) };
            let allowed = if strict { least } else { (FACTOR * changes[name]).max(least) };
            ill += usize::from(allowed > least);
            beyond += usize::from(error > least);
            if error / allowed > largest.0 {
                largest = (error / allowed, name);
            }
            if error.is_nan() || error > allowed {
                wrong.push(format!("{name} ({body:?}) is off by {error:.1e}, {allowed:.1e} allowed"));
            }
        }
        let (share, name) = largest;
        let count = outcome.0.len();
        let words = format!(
            "{count} tensors, {ill} ill-conditioned, {beyond} thanks to that; at {share:.2} of what is allowed: {name}"
        );
        Held { strict, words, wrong }
    }
}

type Changes = BTreeMap<String, f64>;

/// By how much rounding may change each tensor, relative to its size.
fn measure(exact: &Outcome, disturbance: f64, draws: Range<u64>, compute: impl Fn(&Numbers) -> Outcome) -> Changes {
    let mut largest: Changes = exact.0.iter().map(|(name, _)| (name.clone(), 0.0)).collect();
    for draw in draws {
        let disturbed = portably(|| compute(&Numbers::disturbed(disturbance, draw)));
        for ((name, disturbed), (_, exact)) in disturbed.0.iter().zip(&exact.0) {
            let change = largest.get_mut(name).expect("the same tensors every time");
            *change = change.max(relative_error(disturbed, exact));
        }
    }
    largest
}
