//! Convolutions of any kind: in groups of channels that do not see each other, with any distance between what a window
//! reads, and anything around the input. Dense ones are edges, which are faster.
//!
//! Sixteen channels of the output are a block. What they read of the input is spread to their lanes first, one channel of
//! every group at a time, so that all kinds of groups are one computation. Every sum is in an order that the shapes fix.

use crate::by_hand::{Function, apply};
use crate::crew::{each, map};
use crate::expression::Extent;
use crate::lanes::{LANES, Lanes, blocks};
use crate::registers::Registers;
use crate::weights::volume;
use crate::width::{Task, Width, run};
use burn::tensor::Tensor;
use std::ops::Range;

/// A convolution, but for the channels and the size of what it reads.
#[derive(Debug, Clone, Copy)]
pub struct Convolution {
    /// Channels written.
    pub outputs: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Size of the window, in elements that it reads.
    pub kernel: Extent,
    /// How far it moves.
    pub stride: Extent,
    /// Distance between the elements that it reads.
    pub dilation: Extent,
    /// Zeros before and after the input.
    pub margins: [[usize; 2]; 3],
}

impl Convolution {
    /// The convolution of `input`, `[N, T, H, W, C]`, by weights `[kernel, C / groups, outputs]`, on the CPU in single
    /// precision: `input` has to be [computed by hand](crate::is_by_hand).
    pub fn of(self, input: Tensor<5>, weights: Tensor<1>) -> Tensor<5> {
        let [samples, t, h, w, inputs] = input.dims();
        let input_extent = [t, h, w];
        let output = std::array::from_fn(|axis| {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let [before, after] = self.margins[axis];
            (before + input_extent[axis] + after - reach) / self.stride[axis] + 1
        });
        let sized = Sized { of: self, width: Width::current(), samples, inputs, input: input_extent, output };
        apply(sized, input, Some(weights))
    }
}

/// Groups of images whose parts of the weights' gradient are summed apart, at most.
const PARTS: usize = 16;

/// A convolution of inputs of one size.
#[derive(Debug, Clone, Copy)]
struct Sized {
    of: Convolution,
    width: Width,
    samples: usize,
    inputs: usize,
    input: Extent,
    output: Extent,
}

/// Elements of a row of the output with what a tap reads for them.
struct Under {
    to: Range<usize>,
    from: usize,
}

impl Sized {
    /// Channels of a group of the input.
    fn depth(&self) -> usize {
        self.inputs / self.of.groups
    }

    fn taps(&self) -> usize {
        volume(self.of.kernel)
    }

    /// Values of an input image.
    fn read(&self) -> usize {
        volume(self.input) * self.inputs
    }

    /// Values of an output image.
    fn written(&self) -> usize {
        volume(self.output) * self.of.outputs
    }

    /// Elements of the packed weights, `[blocks, depth, taps]`.
    fn packed(&self) -> usize {
        blocks(self.of.outputs) * self.depth() * self.taps()
    }

    /// Where in the packed weights a number of the flat ones lies, `[taps, depth, outputs]`.
    fn place(&self, flat: usize) -> (usize, usize) {
        let (outputs, depth) = (self.of.outputs, self.depth());
        let (tap, channel, output) = (flat / outputs / depth, flat / outputs % depth, flat % outputs);
        ((output / LANES * depth + channel) * self.taps() + tap, output % LANES)
    }

    fn pack(&self, weights: &[f32]) -> Vec<Lanes> {
        let mut packed = vec![Lanes::ZERO; self.packed()];
        for (flat, &weight) in weights.iter().enumerate() {
            let (at, lane) = self.place(flat);
            packed[at].0[lane] = weight;
        }
        packed
    }

    /// The channels of the input that a block's lanes read, the `channel`-th of each group.
    fn channels(&self, block: usize, channel: usize) -> impl Iterator<Item = usize> + Clone {
        let Sized { of: Convolution { outputs, groups, .. }, .. } = *self;
        let depth = self.depth();
        (block * LANES..outputs.min((block + 1) * LANES))
            .map(move |output| output / (outputs / groups) * depth + channel)
    }

    /// The elements of a row of the output for which a tap reads something.
    #[inline(always)]
    fn under(&self, row: usize, tap: usize) -> Option<Under> {
        let Convolution { kernel: [_, kh, kw], stride, dilation, margins, .. } = self.of;
        let at = [row / self.output[1], row % self.output[1]];
        let step = [tap / (kh * kw), tap / kw % kh, tap % kw];
        let [t, h] = std::array::from_fn(|axis| {
            let reached = at[axis] * stride[axis] + step[axis] * dilation[axis];
            reached.checked_sub(margins[axis][0]).filter(|&at| at < self.input[axis])
        });
        let (reached, before, width) = (step[2] * dilation[2], margins[2][0], self.input[2]);
        let first = before.saturating_sub(reached).div_ceil(stride[2]);
        let end = (before + width).saturating_sub(reached).div_ceil(stride[2]).min(self.output[2]);
        let from = (t? * self.input[1] + h?) * width + (first * stride[2] + reached).checked_sub(before)?;
        (first < end).then_some(Under { to: first..end, from })
    }
}

/// Spreads channels to the lanes of every pixel.
#[inline(always)]
fn spread(values: &[f32], pitch: usize, channels: impl Iterator<Item = usize> + Clone, to: &mut [Lanes]) {
    let first = channels.clone().next().expect("a block has channels");
    let count = channels.clone().count();
    let is_run = channels.clone().eq(first..first + count);
    for (to, pixel) in to.iter_mut().zip(values.chunks_exact(pitch)) {
        match is_run {
            true => to.0[..count].copy_from_slice(&pixel[first..first + count]),
            false => to.0.iter_mut().zip(channels.clone()).for_each(|(to, channel)| *to = pixel[channel]),
        }
    }
}

impl Function for Sized {
    fn shape(&self, _: &[usize]) -> Vec<usize> {
        let [t, h, w] = self.output;
        vec![self.samples, t, h, w, self.of.outputs]
    }

    fn there(&self, input: &[f32], weights: &[f32]) -> Vec<f32> {
        let packed = self.pack(weights);
        let mut result = vec![0.0; self.samples * self.written()];
        each(result.chunks_mut(self.written()).zip(input.chunks(self.read())), |(result, input)| {
            run(self.width, There { of: self, packed: &packed, input, result });
        });
        result
    }

    fn back(&self, input: &[f32], weights: &[f32], gradient: &[f32], wanted: [bool; 2]) -> [Vec<f32>; 2] {
        let packed = self.pack(weights);
        let mut of_input = vec![0.0; if wanted[0] { input.len() } else { 0 }];
        let images = self.samples.div_ceil(PARTS);
        let mut targets: Vec<&mut [f32]> = of_input.chunks_mut(images * self.read()).collect();
        targets.resize_with(self.samples.div_ceil(images), Default::default);
        let parts = input.chunks(images * self.read()).zip(gradient.chunks(images * self.written())).zip(targets);
        let sums = map(parts, |((input, gradient), of_input)| {
            let mut sums = vec![Lanes::ZERO; if wanted[1] { packed.len() } else { 0 }];
            run(self.width, Back { of: self, packed: &packed, input, gradient, of_input, sums: &mut sums });
            sums
        });
        let total = |flat| {
            let (at, lane) = self.place(flat);
            sums.iter().map(|sums| sums[at].0[lane]).reduce(|a, b| a + b).expect("there are images")
        };
        let of_weights = if wanted[1] { (0..weights.len()).map(total).collect() } else { Vec::new() };
        [of_input, of_weights]
    }
}

/// The way there of one image.
struct There<'a> {
    of: &'a Sized,
    packed: &'a [Lanes],
    input: &'a [f32],
    result: &'a mut [f32],
}

impl Task for There<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let There { of, packed, input, result } = self;
        let (outputs, taps, width) = (of.of.outputs, of.taps(), of.output[2]);
        let mut source = vec![Lanes::ZERO; volume(of.input)];
        let mut sums = vec![Lanes::ZERO; volume(of.output)];
        for block in 0..blocks(outputs) {
            sums.fill(Lanes::ZERO);
            for channel in 0..of.depth() {
                spread(input, of.inputs, of.channels(block, channel), &mut source);
                let weights = &packed[(block * of.depth() + channel) * taps..][..taps];
                for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
                    for (tap, weight) in weights.iter().enumerate() {
                        let Some(Under { to, from }) = of.under(row, tap) else { continue };
                        let read = source[from..].iter().step_by(of.of.stride[2]);
                        for (sum, read) in sums[to].iter_mut().zip(read) {
                            *sum = sum.add_product::<R>(*read, *weight);
                        }
                    }
                }
            }
            let (first, count) = (block * LANES, LANES.min(outputs - block * LANES));
            for (pixel, sum) in result.chunks_exact_mut(outputs).zip(&sums) {
                pixel[first..first + count].copy_from_slice(&sum.0[..count]);
            }
        }
    }
}

/// The way back of some images.
struct Back<'a> {
    of: &'a Sized,
    packed: &'a [Lanes],
    input: &'a [f32],
    gradient: &'a [f32],
    /// Zeros; empty where it is not wanted.
    of_input: &'a mut [f32],
    /// Packed like the weights; zeros, or empty where they are not wanted.
    sums: &'a mut [Lanes],
}

impl Task for Back<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let Back { of, packed, input, gradient, of_input, sums } = self;
        let (outputs, taps, width, stride) = (of.of.outputs, of.taps(), of.output[2], of.of.stride[2]);
        let (to_input, to_weights) = (!of_input.is_empty(), !sums.is_empty());
        let mut source = vec![Lanes::ZERO; volume(of.input)];
        let mut own = vec![Lanes::ZERO; volume(of.output)];
        let mut back = vec![Lanes::ZERO; volume(of.input)];
        let images = input.chunks_exact(of.read()).zip(gradient.chunks_exact(of.written())).enumerate();
        for (image, (input, gradient)) in images {
            for block in 0..blocks(outputs) {
                let (first, count) = (block * LANES, LANES.min(outputs - block * LANES));
                spread(gradient, outputs, first..first + count, &mut own);
                for channel in 0..of.depth() {
                    let start = (block * of.depth() + channel) * taps;
                    if to_weights {
                        spread(input, of.inputs, of.channels(block, channel), &mut source);
                        for (tap, total) in sums[start..start + taps].iter_mut().enumerate() {
                            let mut sum = Lanes::ZERO;
                            for (row, own) in own.chunks_exact(width).enumerate() {
                                let Some(Under { to, from }) = of.under(row, tap) else { continue };
                                for (own, read) in own[to].iter().zip(source[from..].iter().step_by(stride)) {
                                    sum = sum.add_product::<R>(*own, *read);
                                }
                            }
                            *total = total.plus::<R>(sum);
                        }
                    }
                    if to_input {
                        back.fill(Lanes::ZERO);
                        let weights = &packed[start..start + taps];
                        for (row, own) in own.chunks_exact(width).enumerate() {
                            for (tap, weight) in weights.iter().enumerate() {
                                let Some(Under { to, from }) = of.under(row, tap) else { continue };
                                for (own, back) in own[to].iter().zip(back[from..].iter_mut().step_by(stride)) {
                                    *back = back.add_product::<R>(*own, *weight);
                                }
                            }
                        }
                        let of_image = of_input[image * of.read()..][..of.read()].chunks_exact_mut(of.inputs);
                        for (pixel, back) in of_image.zip(&back) {
                            for (lane, channel) in of.channels(block, channel).enumerate() {
                                pixel[channel] += back.0[lane];
                            }
                        }
                    }
                }
            }
        }
    }
}
