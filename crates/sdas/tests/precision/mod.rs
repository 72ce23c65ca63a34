//! How far a computation in single precision may be from PyTorch's.
//!
//! Mostly two computations of the same thing differ by 1e-6 of its size. But where an element lies within rounding of a
//! ReLU's or a maximum's kink, it is chance on which side each of them falls, and gradients jump by per cents; and a norm
//! over three values multiplies rounding by hundreds. How much rounding changes is a property of the numbers and of the
//! precision, hardly of who computes with them, and so it is measured: the portable body computes the case in double
//! precision, and over and over with the last digits of all that goes in changed by chance: by a rounding, and by up to
//! eight where that explains nothing, since every layer on the way rounds, too. How far these are from the former is what
//! single precision cannot be held to.
//!
//! They are computed in single and in double precision by turns. In single precision all draws may be off to the same
//! side: the portable body's norms sum thousands of elements, whose last digits are lost in the sum, and so it rounds the
//! same way every time. In double precision the draws lie around the exact numbers.
//!
//! The measure says nothing of what is right: a wrong factor is as wrong in both precisions, and cancels out. What is right
//! is PyTorch's numbers alone.
#![allow(dead_code)] // no test file uses all of it

use super::golden::{Case, relative_error};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::Rng;
use sdas::parameters::Parameters;
use sdas_data::random::{Stream, stream};
use sdas_kernels::portably;
use std::cell::RefCell;

/// Comfortable for single precision: what every tensor is held to that is not ill-conditioned.
pub const TOLERANCE: f64 = 1e-4;

/// What double precision is held to where the file is in double precision. α alone is rounded to single precision on the
/// way.
const DOUBLE_TOLERANCE: f64 = 1e-7;
/// Disturbed computations that a measure is the largest of, at most. Whether a kink within reach is crossed is chance each
/// time, so what is off is measured until it is accounted for, or this often.
const DRAWS: u64 = 96;
/// After so many draws the disturbance is doubled.
const DRAWS_OF_ONE_SIZE: u64 = 24;
/// The last digit of single precision.
const ROUNDING: f64 = f32::EPSILON as f64;
/// How many times the measure an error may be.
const FACTOR: f64 = 4.0;

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
    /// The most that values are changed by, relatively, and the chance that changes them.
    disturbance: Option<(f64, RefCell<Stream>)>,
}

impl Numbers {
    fn exact(dtype: DType, device: Device) -> Self {
        Numbers { dtype, device, disturbance: None }
    }

    fn disturbed(draw: u64) -> Self {
        let dtype = if draw.is_multiple_of(2) { DType::F32 } else { DType::F64 };
        let stream = RefCell::new(stream(draw, "disturbance", [0, 0]));
        let most = ROUNDING * f64::from(1 << (draw / DRAWS_OF_ONE_SIZE));
        Numbers { dtype, device: Device::flex(), disturbance: Some((most, stream)) }
    }

    /// Where they are computed with.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values as they go in.
    pub fn values(&self, values: &[f32]) -> Vec<f64> {
        let share = || match &self.disturbance {
            Some((most, stream)) => 1.0 + stream.borrow_mut().random_range(-*most..*most),
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
    for body in [Body::Double, Body::Fused, Body::Portable] {
        let computed = (body != Body::Double).then(|| body.compute(&compute));
        let outcome = computed.as_ref().unwrap_or(&exact);
        let strict = body == Body::Double && case.is_double();
        let mut tensors: Vec<Held> = outcome
            .0
            .iter()
            .map(|(name, ours)| Held {
                name,
                error: relative_error(ours, &case.doubles(name)),
                allowed: if strict { DOUBLE_TOLERANCE } else { tolerance(name) },
            })
            .collect();
        let ill = tensors.iter().filter(|tensor| tensor.is_off()).count();
        let mut draws = 0;
        while !strict && draws < DRAWS && tensors.iter().any(Held::is_off) {
            let disturbed = portably(|| compute(&Numbers::disturbed(draws)));
            for (tensor, ((_, disturbed), (_, exact))) in tensors.iter_mut().zip(disturbed.0.iter().zip(&exact.0)) {
                tensor.allowed = tensor.allowed.max(FACTOR * relative_error(disturbed, exact));
            }
            draws += 1;
        }
        println!("{} ({body:?}): {} tensors, {ill} ill-conditioned, {draws} draws", case.name, tensors.len());
        for Held { name, error, allowed } in tensors.iter().filter(|tensor| tensor.is_off()) {
            wrong.push(format!("{name} ({body:?}) is off by {error:.1e}, {allowed:.1e} allowed"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", case.name, wrong.join("\n"));
}

/// How far a tensor is from the file's.
struct Held<'a> {
    name: &'a str,
    error: f64,
    allowed: f64,
}

impl Held<'_> {
    fn is_off(&self) -> bool {
        self.error.is_nan() || self.error > self.allowed
    }
}
