//! The optimizer's passes over all weights of a network: one over memory for the norm, and one for the step.

use super::extension::{pooled, values};
use super::memory::Buffer;
use crate::crew::each;
use crate::edge::is_portable;
use crate::registers::Registers;
use crate::width::{Task, Width, run};
use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use std::ops::Range;

/// A step of SGD: `d = scale·g + weight_decay·w`, `m ← momentum·m + d`, `w ← w − rate·m`, or with Nesterov's momentum
/// `w ← w − rate·(d + momentum·m)`, as PyTorch has both. The scale brings the gradient's norm within its bound.
#[derive(Debug, Clone, Copy)]
pub struct Descent {
    /// Bound of the norm of all gradients together; 0 is none.
    pub clip: f64,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f32,
    /// Share of the momentum that stays.
    pub momentum: f32,
    /// How far the weights go along the momentum.
    pub rate: f32,
    /// Nesterov's momentum.
    pub nesterov: bool,
}

/// A tensor of weights `[count]` with its momentum and its gradient.
#[derive(Debug, Clone)]
pub struct Descending {
    /// The weights.
    pub weights: Tensor<1>,
    /// Their momentum.
    pub momentum: Tensor<1>,
    /// Their gradient.
    pub gradient: Tensor<1>,
    /// The elements that do not decay, ranges in their order.
    pub undecayed: Vec<Range<usize>>,
}

/// Elements that one task works on.
const PART: usize = 16 * 1024;

/// The Euclidean norm of tensors, which a graphics card may not have computed yet.
#[derive(Debug, Clone)]
pub enum GradientNorm {
    /// As the host knows it.
    Known(f64),
    /// Sums of squares of parts, on the card; added up they are the norm's square.
    Squares(Tensor<1>),
}

impl GradientNorm {
    /// The number; waits for the card if it has it.
    pub fn value(self) -> f64 {
        match self {
            GradientNorm::Known(norm) => norm,
            GradientNorm::Squares(sums) => GradientNorm::of_squares(sums.into_data().iter::<f32>()),
        }
    }

    /// The number that these sums of squares, read from a card, come to.
    pub fn of_squares(sums: impl Iterator<Item = f32>) -> f64 {
        sums.map(f64::from).sum::<f64>().sqrt()
    }
}

impl Descent {
    /// What brings a gradient of this norm within the bound.
    fn scale(self, norm: f64) -> f32 {
        if self.clip > 0.0 { (self.clip / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 }
    }

    /// The weights and the momentum after the step, tensor by tensor, for gradients of this norm.
    pub fn step(self, tensors: Vec<Descending>, norm: &GradientNorm) -> Vec<[Tensor<1>; 2]> {
        let of = |one: &Descending| Some([flat(&one.weights)?, flat(&one.momentum)?, flat(&one.gradient)?]);
        let flat: Option<Vec<[FlexTensor; 3]>> = tensors.iter().map(of).collect();
        match flat {
            Some(flat) => {
                let undecayed: Vec<_> = tensors.iter().map(|one| &one.undecayed[..]).collect();
                self.fused(self.scale(norm.clone().value()), &flat, &undecayed)
            }
            None => {
                #[cfg(feature = "gpu")]
                if let Some(after) = crate::gpu::step(self, &tensors, norm).filter(|_| !is_portable()) {
                    return after;
                }
                let scale = self.scale(norm.clone().value());
                tensors.into_iter().map(|tensors| self.portable(scale, tensors)).collect()
            }
        }
    }

    fn portable(self, scale: f32, Descending { weights, momentum, gradient, undecayed }: Descending) -> [Tensor<1>; 2] {
        let mut decay = weights.clone() * self.weight_decay;
        for range in undecayed {
            let zeros = decay.clone().slice([range.clone()]).zeros_like();
            decay = decay.slice_assign([range], zeros);
        }
        let direction = gradient * scale + decay;
        let momentum = momentum * self.momentum + direction.clone();
        let ahead = if self.nesterov { direction + momentum.clone() * self.momentum } else { momentum.clone() };
        [weights - ahead * self.rate, momentum]
    }

    fn fused(self, scale: f32, tensors: &[[FlexTensor; 3]], undecayed: &[&[Range<usize>]]) -> Vec<[Tensor<1>; 2]> {
        let buffer = |tensor: &FlexTensor| Buffer::of_floats(values(tensor).len());
        let mut after: Vec<[Buffer; 2]> =
            tensors.iter().map(|[weights, ..]| [buffer(weights), buffer(weights)]).collect();
        let width = Width::current();
        let mut work = Vec::new();
        for ((before, [weights, momentum]), undecayed) in tensors.iter().zip(&mut after).zip(undecayed) {
            let before = before.each_ref().map(values);
            let (mut weights, mut momentum) = (weights.floats(), momentum.floats());
            for (range, decays) in parts(before[0].len(), undecayed) {
                let by = if decays { self } else { Descent { weight_decay: 0.0, ..self } };
                let after = [&mut weights, &mut momentum].map(|rest| {
                    let (own, others) = std::mem::take(rest).split_at_mut(range.len());
                    *rest = others;
                    own
                });
                work.push(Part { by, scale, before: before.map(|values| &values[range.clone()]), after });
            }
        }
        each(work, |part| run(width, part));
        let lengths = tensors.iter().map(|[weights, ..]| values(weights).len());
        let tensor = |values: Buffer, length: usize| Tensor::from_primitive::<Flex>(pooled(values, vec![length]));
        after.into_iter().zip(lengths).map(|(after, length)| after.map(|values| tensor(values, length))).collect()
    }
}

/// The parts of a tensor of `length` elements that a task each works on, in their order, and whether they decay.
fn parts(length: usize, undecayed: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    let mut parts = Vec::new();
    let mut add = |range: Range<usize>, decays: bool| {
        let starts = range.clone().step_by(PART);
        parts.extend(starts.map(|start| (start..(start + PART).min(range.end), decays)));
    };
    let mut done = 0;
    for range in undecayed {
        add(done..range.start, true);
        add(range.clone(), false);
        done = range.end;
    }
    add(done..length, true);
    parts
}

struct Part<'a> {
    by: Descent,
    scale: f32,
    /// Weights, momentum and gradient.
    before: [&'a [f32]; 3],
    /// Weights and momentum.
    after: [&'a mut [f32]; 2],
}

impl Task for Part<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let (scale, Descent { weight_decay, momentum, rate, nesterov, .. }) = (self.scale, self.by);
        let ([weights, old_momentum, gradient], [new_weights, new_momentum]) = (self.before, self.after);
        let before = weights.iter().zip(old_momentum).zip(gradient);
        let elements = before.zip(new_weights.iter_mut().zip(new_momentum));
        if nesterov {
            for (((w, m), g), (new_w, new_m)) in elements {
                let direction = g * scale + w * weight_decay;
                *new_m = m * momentum + direction;
                *new_w = w - (direction + *new_m * momentum) * rate;
            }
        } else {
            for (((w, m), g), (new_w, new_m)) in elements {
                *new_m = m * momentum + (g * scale + w * weight_decay);
                *new_w = w - *new_m * rate;
            }
        }
    }
}

/// The Euclidean norm over all tensors together.
pub fn norm(tensors: &[Tensor<1>]) -> GradientNorm {
    #[cfg(feature = "gpu")]
    if let Some(sums) = crate::gpu::squares(tensors).filter(|_| !is_portable()) {
        return GradientNorm::Squares(sums);
    }
    let flat: Option<Vec<FlexTensor>> = tensors.iter().map(flat).collect();
    let squares: f64 = match flat {
        Some(flat) => {
            let parts: Vec<&[f32]> = flat.iter().flat_map(|tensor| values(tensor).chunks(PART)).collect();
            let mut squares = vec![0.0; parts.len()];
            let width = Width::current();
            each(parts.iter().zip(&mut squares), |(values, square)| run(width, Squares { values, square }));
            squares.iter().sum()
        }
        // On the host, in double precision: a backend's own sum is as exact as it pleases.
        None => tensors.iter().map(squares_on_host).sum(),
    };
    GradientNorm::Known(squares.sqrt())
}

/// Tensors moved towards others by `share` of the way, pair by pair: how running statistics follow a batch's.
pub fn approach(own: &[Tensor<1>], target: &[Tensor<1>], share: f64) -> Vec<Tensor<1>> {
    #[cfg(feature = "gpu")]
    if let Some(moved) = crate::gpu::approach(own, target, share as f32).filter(|_| !is_portable()) {
        return moved;
    }
    let moved = |(own, target): (&Tensor<1>, &Tensor<1>)| own.clone() * (1.0 - share) + target.clone() * share;
    own.iter().zip(target).map(moved).collect()
}

fn squares_on_host(tensor: &Tensor<1>) -> f64 {
    tensor.to_data().convert::<f64>().iter::<f64>().map(|value| value * value).sum()
}

struct Squares<'a> {
    values: &'a [f32],
    square: &'a mut f64,
}

impl Task for Squares<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        const SUMS: usize = 64;
        // Single precision within a strip, double beyond it.
        for strip in self.values.chunks(16 * SUMS) {
            let mut sums = [0.0f32; SUMS];
            for values in strip.chunks(SUMS) {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * value);
            }
            *self.square += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        }
    }
}

/// The tensor on the CPU, contiguous and in single precision; None if it is elsewhere or of another type.
fn flat(tensor: &Tensor<1>) -> Option<FlexTensor> {
    if is_portable() || tensor.dtype() != DType::F32 {
        return None;
    }
    Some(tensor.clone().try_into_primitive::<Flex>().ok()?.to_contiguous())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portably;
    use burn::tensor::{Device, Distribution};

    fn random(counts: &[usize]) -> Vec<Tensor<1>> {
        let device = Device::flex();
        counts.iter().map(|&count| Tensor::random([count], Distribution::Normal(0.0, 1.0), &device)).collect()
    }

    fn host(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }

    #[test]
    fn a_step_by_hand() {
        let tensor = |values: [f32; 2]| Tensor::from_floats(values, &Device::flex());
        let tensors = |undecayed: &[Range<usize>]| {
            let (weights, momentum) = (tensor([1.0, -2.0]), tensor([0.5, 0.25]));
            vec![Descending { weights, momentum, gradient: tensor([4.0, 8.0]), undecayed: undecayed.to_vec() }]
        };
        // A norm of 8 is brought within 4: the scale is 0.5.
        let plain = Descent { clip: 4.0, weight_decay: 0.1, momentum: 0.8, rate: 0.25, nesterov: false };
        let norm = GradientNorm::Known(8.0);
        let nesterov = Descent { nesterov: true, ..plain };
        // d = 0.5·4 + 0.1·1 = 2.1 and 0.5·8 − 0.1·2 = 3.8, m = 0.8·0.5 + d = 2.5 and 0.8·0.25 + d = 4;
        // w = 1 − 2.5/4 and −2 − 4/4, or ahead of it 1 − (2.1 + 0.8·2.5)/4 and −2 − (3.8 + 0.8·4)/4;
        // and where the second does not decay d = 4, m = 4.2.
        let cases = [
            (plain, &[][..], [2.5, 4.0], [0.375, -3.0]),
            (nesterov, &[], [2.5, 4.0], [-0.025, -3.75]),
            (plain, &[1..2], [2.5, 4.2], [0.375, -3.05]),
            (nesterov, &[1..2], [2.5, 4.2], [-0.025, -3.84]),
        ];
        for (descent, undecayed, momentum, weights) in cases {
            for after in [descent.step(tensors(undecayed), &norm), portably(|| descent.step(tensors(undecayed), &norm))]
            {
                for (got, expected) in after[0].iter().zip([weights, momentum]) {
                    let off = host(got).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 1e-6, "{:?} for {expected:?} ({descent:?}, {undecayed:?})", host(got));
                }
            }
        }
    }

    #[test]
    fn fused_and_portable_agree_on_sizes_nobody_chose() {
        let counts = [1, 15, 16, 17, 63, 1000, PART - 1, PART, PART + 1, 3 * PART + 7];
        let (weights, momentum, gradients) = (random(&counts), random(&counts), random(&counts));
        // At the begin, across a part's border, and at the end.
        let undecayed = |count: usize| match count {
            ..64 => Vec::new(),
            64..PART => vec![0..3, 40..57],
            _ => vec![PART / 2..PART / 2 + 5, count - 9..count],
        };
        let tensors = || {
            let all = weights.iter().zip(&momentum).zip(&gradients);
            let descending = all.map(|((weights, momentum), gradient)| Descending {
                weights: weights.clone(),
                momentum: momentum.clone(),
                gradient: gradient.clone(),
                undecayed: undecayed(weights.dims()[0]),
            });
            descending.collect::<Vec<_>>()
        };
        let norm = GradientNorm::Known(10.0);
        for nesterov in [false, true] {
            let descent = Descent { clip: 3.0, weight_decay: 0.2, momentum: 0.9, rate: 0.025, nesterov };
            for (fused, portable) in
                descent.step(tensors(), &norm).iter().zip(portably(|| descent.step(tensors(), &norm)))
            {
                for (fused, portable) in fused.iter().zip(&portable) {
                    assert_eq!(fused.dims(), portable.dims());
                    for (a, b) in host(fused).iter().zip(host(portable)) {
                        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} and {b}");
                    }
                }
            }
        }
        let exact: f64 = gradients.iter().flat_map(host).map(|g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        for got in [super::norm(&gradients), portably(|| super::norm(&gradients))] {
            let got = got.value();
            assert!((got - exact).abs() < 1e-6 * exact, "{got} for {exact}");
        }
        assert_eq!(super::norm(&[]).value(), 0.0);
    }
}
