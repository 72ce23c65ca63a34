//! Exponentials, logarithms and powers of tensors, rounded alike everywhere: those of the system's library differ from one
//! to the other, and within one by what the processor has.

use crate::by_hand::{Function, apply, is_by_hand};
use crate::crew::each;
use burn::tensor::{Tensor, activation};

/// softmax along the last axis.
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match is_by_hand(&x) {
        true => apply(Rows { width: x.dims()[D - 1], logarithm: false }, x, None),
        false => activation::softmax(x, D - 1),
    }
}

/// The logarithm of softmax along the last axis.
pub fn log_softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match is_by_hand(&x) {
        true => apply(Rows { width: x.dims()[D - 1], logarithm: true }, x, None),
        false => activation::log_softmax(x, D - 1),
    }
}

/// 1 / (1 + exp −x).
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_by_hand(&x) { apply(Curve::Sigmoid, x, None) } else { activation::sigmoid(x) }
}

/// The hyperbolic tangent.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_by_hand(&x) { apply(Curve::Tangent, x, None) } else { activation::tanh(x) }
}

/// The natural logarithm.
pub fn logarithm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_by_hand(&x) { apply(Curve::Logarithm, x, None) } else { x.log() }
}

/// `x` to the power of `exponent`.
pub fn power<const D: usize>(x: Tensor<D>, exponent: f64) -> Tensor<D> {
    if is_by_hand(&x) { apply(Curve::Power(exponent as f32), x, None) } else { x.powf_scalar(exponent) }
}

/// max(x, 0).
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_by_hand(&x) { apply(Curve::Rectifier, x, None) } else { activation::relu(x) }
}

/// max(a + b, 0), of tensors of one shape.
pub fn relu_of_sum<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    match is_by_hand(&a) {
        true => {
            let count = b.dims().iter().product::<usize>();
            apply(RectifiedSum, a, Some(b.reshape([count])))
        }
        false => activation::relu(a + b),
    }
}

/// Numbers that one task works on.
const PART: usize = 16 * 1024;

/// A function of each number.
#[derive(Debug, Clone, Copy)]
enum Curve {
    Sigmoid,
    Tangent,
    Logarithm,
    Power(f32),
    Rectifier,
}

impl Curve {
    fn value(self, x: f32) -> f32 {
        match self {
            // Neither exponential overflows.
            Curve::Sigmoid if x >= 0.0 => 1.0 / (1.0 + libm::expf(-x)),
            Curve::Sigmoid => {
                let power = libm::expf(x);
                power / (1.0 + power)
            }
            Curve::Tangent => libm::tanhf(x),
            Curve::Logarithm => libm::logf(x),
            Curve::Power(exponent) => libm::powf(x, exponent),
            Curve::Rectifier => rectified(x, x),
        }
    }

    fn slope(self, x: f32) -> f32 {
        match self {
            Curve::Sigmoid => {
                let value = self.value(x);
                value * (1.0 - value)
            }
            Curve::Tangent => {
                let value = self.value(x);
                1.0 - value * value
            }
            Curve::Logarithm => 1.0 / x,
            Curve::Power(exponent) => exponent * libm::powf(x, exponent - 1.0),
            Curve::Rectifier => rectified(x, 1.0),
        }
    }
}

impl Function for Curve {
    fn shape(&self, input: &[usize]) -> Vec<usize> {
        input.to_vec()
    }

    fn there(&self, input: &[f32], _: &[f32]) -> Vec<f32> {
        let mut result = vec![0.0; input.len()];
        each(result.chunks_mut(PART).zip(input.chunks(PART)), |(result, input)| {
            result.iter_mut().zip(input).for_each(|(result, &x)| *result = self.value(x));
        });
        result
    }

    fn back(&self, input: &[f32], _: &[f32], gradient: &[f32], _: [bool; 2]) -> [Vec<f32>; 2] {
        let mut result = vec![0.0; input.len()];
        each(
            result.chunks_mut(PART).zip(input.chunks(PART).zip(gradient.chunks(PART))),
            |(result, (input, gradient))| {
                let terms = input.iter().zip(gradient);
                result.iter_mut().zip(terms).for_each(|(result, (&x, g))| *result = g * self.slope(x));
            },
        );
        [result, Vec::new()]
    }
}

/// `value` where `x` is above 0, or no number.
fn rectified(x: f32, value: f32) -> f32 {
    if x > 0.0 || x.is_nan() { value } else { 0.0 }
}

/// max(a + b, 0): the second in the place of the weights.
#[derive(Debug, Clone, Copy)]
struct RectifiedSum;

impl Function for RectifiedSum {
    fn shape(&self, input: &[usize]) -> Vec<usize> {
        input.to_vec()
    }

    fn there(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut result = vec![0.0; a.len()];
        each(result.chunks_mut(PART).zip(a.chunks(PART).zip(b.chunks(PART))), |(result, (a, b))| {
            result.iter_mut().zip(a.iter().zip(b)).for_each(|(result, (a, b))| *result = rectified(a + b, a + b));
        });
        result
    }

    fn back(&self, a: &[f32], b: &[f32], gradient: &[f32], [of_a, of_b]: [bool; 2]) -> [Vec<f32>; 2] {
        let mut result = vec![0.0; gradient.len()];
        let parts = gradient.chunks(PART).zip(a.chunks(PART).zip(b.chunks(PART)));
        each(result.chunks_mut(PART).zip(parts), |(result, (gradient, (a, b)))| {
            let terms = gradient.iter().zip(a.iter().zip(b));
            result.iter_mut().zip(terms).for_each(|(result, (&g, (a, b)))| *result = rectified(a + b, g));
        });
        match (of_a, of_b) {
            (true, true) => [result.clone(), result],
            (true, false) => [result, Vec::new()],
            (false, _) => [Vec::new(), result],
        }
    }
}

/// softmax of rows, or its logarithm.
#[derive(Debug, Clone, Copy)]
struct Rows {
    width: usize,
    logarithm: bool,
}

impl Rows {
    /// Numbers of as many rows as one task works on.
    fn part(self) -> usize {
        PART.div_ceil(self.width) * self.width
    }
}

/// Fills `to` with softmax(x); returns the largest x, and the logarithm of Σ exp (x − largest).
fn shares(x: &[f32], to: &mut [f32]) -> (f32, f32) {
    let high = x.iter().copied().fold(f32::NEG_INFINITY, |high, x| if x > high || x.is_nan() { x } else { high });
    let mut sum = 0.0f64;
    for (to, &x) in to.iter_mut().zip(x) {
        *to = libm::expf(x - high);
        sum += f64::from(*to);
    }
    to.iter_mut().for_each(|to| *to = (f64::from(*to) / sum) as f32);
    (high, libm::log(sum) as f32)
}

impl Function for Rows {
    fn shape(&self, input: &[usize]) -> Vec<usize> {
        input.to_vec()
    }

    fn there(&self, input: &[f32], _: &[f32]) -> Vec<f32> {
        let mut result = vec![0.0; input.len()];
        each(result.chunks_mut(self.part()).zip(input.chunks(self.part())), |(result, input)| {
            for (result, input) in result.chunks_exact_mut(self.width).zip(input.chunks_exact(self.width)) {
                let (high, sum) = shares(input, result);
                if self.logarithm {
                    result.iter_mut().zip(input).for_each(|(result, &x)| *result = x - high - sum);
                }
            }
        });
        result
    }

    /// With s = softmax(x): s (g − Σ s g), or of the logarithm g − s Σ g.
    fn back(&self, input: &[f32], _: &[f32], gradient: &[f32], _: [bool; 2]) -> [Vec<f32>; 2] {
        let mut result = vec![0.0; input.len()];
        let parts = input.chunks(self.part()).zip(gradient.chunks(self.part()));
        each(result.chunks_mut(self.part()).zip(parts), |(result, (input, gradient))| {
            let rows = input.chunks_exact(self.width).zip(gradient.chunks_exact(self.width));
            for (result, (input, gradient)) in result.chunks_exact_mut(self.width).zip(rows) {
                shares(input, result);
                let of = |(&share, &g): (&f32, &f32)| if self.logarithm { f64::from(g) } else { f64::from(share * g) };
                let sum = result.iter().zip(gradient).map(of).sum::<f64>() as f32;
                for (result, &g) in result.iter_mut().zip(gradient) {
                    *result = if self.logarithm { g - *result * sum } else { *result * (g - sum) };
                }
            }
        });
        [result, Vec::new()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portably;
    use burn::tensor::{Device, Distribution, TensorData};

    /// Value and gradient as the tensor library has them, which rounds as the system's library does.
    #[test]
    fn functions_and_slopes_agree_with_the_tensor_library() {
        let device = Device::flex();
        let x = Tensor::<2>::random([37, 21], Distribution::Uniform(0.05, 3.0), &device);
        let weights = Tensor::<2>::random([37, 21], Distribution::Normal(0.0, 1.0), &device);
        type Named = (&'static str, fn(Tensor<2>) -> Tensor<2>);
        let functions: [Named; 9] = [
            ("softmax", softmax),
            ("log softmax", log_softmax),
            ("sigmoid", sigmoid),
            ("sigmoid of less than 0", |x| sigmoid(-x)),
            ("tanh", tanh),
            ("logarithm", logarithm),
            ("power", |x| power(x, 0.75)),
            ("ReLU", |x| relu(x - 1.0)),
            ("ReLU of a sum", |x| relu_of_sum(x.clone() * 0.5, 1.0 - x.square())),
        ];
        for (name, function) in functions {
            let both = || {
                let x = x.clone().autodiff().require_grad();
                let y = function(x.clone());
                let loss = (y.clone() * Tensor::from_inner(weights.clone())).sum();
                let gradient = x.grad(&loss.backward()).unwrap();
                [y.inner(), gradient].map(|tensor| tensor.into_data().iter::<f32>().collect::<Vec<f32>>())
            };
            for (own, other) in both().into_iter().zip(portably(both)) {
                let off = own.iter().zip(&other).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
                assert!(off < 2e-6, "{name}: {off}");
            }
        }
    }

    /// Every bit, whatever the machine: what these came to where they were written down, by musl's formulas.
    #[test]
    fn bits_are_everywhere_the_same() {
        let x = [-3.75f32, -0.3, 0.0, 1e-3, 0.7, 2.5, 11.0];
        let tensor = || Tensor::<2>::from_data(TensorData::new(x.to_vec(), [1, x.len()]), &Device::flex());
        let bits = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
        let squares = || tensor().square() + 0.5;
        let all = [
            softmax(tensor()),
            log_softmax(tensor()),
            sigmoid(tensor()),
            tanh(tensor()),
            logarithm(squares()),
            power(squares(), 0.75),
        ];
        let sum =
            all.map(bits).concat().into_iter().fold(0u64, |sum, bits| sum.wrapping_mul(31).wrapping_add(bits.into()));
        assert_eq!(sum, 12_430_259_022_581_798_164);
    }
}
