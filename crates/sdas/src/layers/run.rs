//! Evaluation and training.

use super::body;
use super::fused::{Piece, PieceKind};
use super::{Graph, Initial, Layer, Node, Place};
use crate::network::{Dropout, Forward, Pass};
use crate::parameters::Parameters;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use sdas_data::Part;
use sdas_data::random::{Stream, stream};
use sdas_kernels::{Edge, Epsilon, Expression, Mode, Norm, Together, WeightKind};

impl Graph {
    /// Runs the network on pictures or clips `[N, T, H, W, C]`. Layers have dropout rates of their own: of the pass, they take
    /// the stream.
    ///
    /// # Panics
    ///
    /// If the samples' size is one that [`shapes`](Self::shapes) refuses.
    pub fn forward(&self, pass: Pass<'_>, input: Tensor<5>) -> Forward {
        let Pass { weights, running, dropout, part, together, .. } = pass;
        let mut run = Run { weights, running, dropout, part, together, statistics: Parameters::empty(self.slots) };
        let pieces = self.pieces();
        let reads_of = |index: usize| pieces[index].as_ref().map_or(&self.nodes[index].reads, |piece| &piece.reads);
        // Who computes a layer with others does not read what lies between.
        let mut reads_left = vec![0usize; self.nodes.len()];
        reads_left[self.output.index()] += 1;
        for index in (0..self.nodes.len()).rev() {
            if reads_left[index] > 0 {
                reads_of(index).iter().for_each(|read| reads_left[read.index()] += 1);
            }
        }
        let mut values: Vec<Option<Tensor<5>>> = vec![None; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            // It may have been computed with the layer before it.
            if values[index].is_some() || reads_left[index] == 0 {
                continue;
            }
            let mut take = |value: super::Value| {
                let left = &mut reads_left[value.index()];
                *left -= 1;
                let read = &mut values[value.index()];
                let taken = if *left == 0 { read.take() } else { read.clone() };
                taken.expect("layers are in an order in which they can be computed")
            };
            let mut reads = match node.layer {
                Layer::Input { .. } => vec![input.clone()],
                _ => reads_of(index).iter().map(|&read| take(read)).collect(),
            };
            let Some(Piece { kind, value, .. }) = &pieces[index] else {
                values[index] = Some(run.layer(node, reads));
                continue;
            };
            let first = reads.remove(0);
            values[value.index()] = Some(match kind {
                PieceKind::Convolution(edge, around) => {
                    let read = match around {
                        Some(window) => body::surround(first, window),
                        None => first,
                    };
                    let norm = Some(&self.nodes[value.index()]).filter(|_| value.index() != index);
                    run.edge(node, edge, norm, read)
                }
                PieceKind::RectifiedSum => sdas_kernels::relu_of_sum(first, reads.remove(0)),
            });
        }
        let logits = values[self.output.index()].take().expect("the output is computed");
        let [n, t, h, w, classes] = logits.dims();
        let logits = logits.reshape([n, t * h * w * classes]);
        Forward { logits, auxiliary: None, statistics: run.statistics }
    }

    /// Initial weights from the stream "weights", one position a slot. Where nothing else is said ([`Initial`]), convolutions
    /// are normal, of variance 2 over the outputs that one input has a part in (He et al., 2015); linear layers uniform
    /// within ±1/√(fan in); norms have scale 1. Biases and shifts are 0.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Parameters {
        let mut slots: Vec<Option<Vec<f32>>> = vec![None; self.slots];
        let mut streams: Vec<Option<Stream>> = vec![None; self.slots];
        for Node { layer, place: Place { slot, .. }, initial, .. } in
            self.nodes.iter().filter(|node| node.has_numbers())
        {
            let stream = streams[*slot].get_or_insert_with(|| stream(seed, "weights", [*slot as u64, 0]));
            let values = slots[*slot].get_or_insert_default();
            for learnt in layer.learns() {
                let count = learnt.kind.len();
                match (initial, layer, learnt.kind) {
                    (_, _, WeightKind::Shift(_)) | (Initial::Zero, ..) => {
                        values.extend(std::iter::repeat_n(0.0, count));
                    }
                    (Initial::Normal(deviation), ..) => {
                        values.extend((0..count).map(|_| normal(stream) * deviation));
                    }
                    (_, Layer::Convolution { filter, .. }, WeightKind::Dense { .. }) => {
                        let parts = filter.window.volume() * filter.outputs / filter.groups;
                        let deviation = (2.0 / parts as f32).sqrt();
                        values.extend((0..count).map(|_| normal(stream) * deviation));
                    }
                    (_, _, WeightKind::Pointwise { inputs, .. }) => {
                        let bound = 1.0 / (inputs as f32).sqrt();
                        values.extend((0..count).map(|_| stream.random_range(-bound..bound)));
                    }
                    (_, _, WeightKind::Scale(_)) => values.extend(std::iter::repeat_n(1.0, count)),
                    _ => values.extend(std::iter::repeat_n(0.0, count)),
                }
            }
        }
        slots.iter_mut().for_each(|slot| *slot = slot.take().filter(|values| !values.is_empty()));
        Parameters::from_host(slots, device)
    }

    /// Initial running statistics: means 0, variances 1.
    pub fn initial_statistics(&self, device: &Device) -> Parameters {
        let mut slots: Vec<Option<Vec<f32>>> = vec![None; self.slots];
        for Node { layer, place, .. } in &self.nodes {
            if let Layer::Norm { channels, .. } = *layer {
                let values = slots[place.slot].get_or_insert_default();
                values.extend(std::iter::repeat_n(0.0, channels));
                values.extend(std::iter::repeat_n(1.0, channels));
            }
        }
        Parameters::from_host(slots, device)
    }
}

/// A standard normal variate (Box, Muller, 1958).
fn normal(stream: &mut Stream) -> f32 {
    let radius = (-2.0 * libm::logf(1.0 - stream.random::<f32>())).sqrt();
    radius * libm::cosf(std::f32::consts::TAU * stream.random::<f32>())
}

/// A forward pass.
struct Run<'a> {
    weights: &'a Parameters,
    running: Option<&'a Parameters>,
    dropout: Option<Dropout>,
    part: Option<Part>,
    together: Option<Together>,
    /// By slot, the batch's statistics, in training.
    statistics: Parameters,
}

impl Run<'_> {
    /// The weights of a layer and of what lies right after it, `count` of them.
    fn weights(&self, place: Place, count: usize) -> Tensor<1> {
        let slot = self.weights.get(place.slot).expect("a layer that learns has weights");
        let whole = place.weights == 0 && slot.dims()[0] == count;
        if whole { slot } else { slot.slice([place.weights..place.weights + count]) }
    }

    /// Each tensor that a layer learns.
    fn learnt(&self, node: &Node) -> Vec<Tensor<1>> {
        let mut place = node.place;
        let learns = node.layer.learns();
        let each = learns.iter().map(|learnt| {
            let weights = self.weights(place, learnt.kind.len());
            place.weights += learnt.kind.len();
            weights
        });
        each.collect()
    }

    fn running(&self, node: &Node) -> Option<Tensor<1>> {
        let (from, count) = (node.place.statistics, node.layer.statistic_count());
        let slot = self.running?.get(node.place.slot).expect("a norm needs running statistics");
        Some(slot.slice([from..from + count]))
    }

    /// What norms go by in training.
    fn by_the_batch(&self) -> Mode {
        self.together.clone().map_or(Mode::Batch, Mode::Together)
    }

    /// Notes the batch's statistics. The norms of a slot come in the order in which they lie there.
    fn report(&mut self, node: &Node, statistics: Option<Tensor<1>>) {
        let slot = node.place.slot;
        if let Some(own) = statistics {
            let before = self.statistics.get(slot).into_iter();
            self.statistics.set(slot, Some(Tensor::cat(before.chain([own]).collect(), 0)));
        }
    }

    /// A convolution, with its bias or with the norm that follows it.
    fn edge(&mut self, node: &Node, edge: &Edge, norm: Option<&Node>, x: Tensor<5>) -> Tensor<5> {
        let (weights, bias) = (self.weights(node.place, edge.weight_count()), self.learnt(node).into_iter().nth(1));
        let mode = match (norm.filter(|_| self.running.is_some()), self.running) {
            (Some(norm), _) => Mode::Running(self.running(norm)),
            (None, Some(_)) => Mode::Running(None),
            (None, None) => self.by_the_batch(),
        };
        let output = edge.forward(x, Some(weights), None, mode);
        if let Some(norm) = norm {
            self.report(norm, output.statistics);
        }
        body::add_bias(output.activation, bias)
    }

    fn layer(&mut self, node: &Node, reads: Vec<Tensor<5>>) -> Tensor<5> {
        let mut learnt = self.learnt(node).into_iter();
        let mut reads = reads.into_iter();
        let mut read = || reads.next().expect("every layer reads something");
        match &node.layer {
            Layer::Input { .. } => read(),
            Layer::Convolution { filter, .. } => {
                let weight = learnt.next().expect("a convolution has weights");
                body::add_bias(body::convolve(read(), filter, weight), learnt.next())
            }
            Layer::Norm { channels, epsilon, affine } => {
                let norm = if *affine { Norm::Affine } else { Norm::Plain };
                let operations = vec![Expression::Normalise];
                let edge = Edge {
                    inputs: *channels,
                    outputs: *channels,
                    stride: [1; 3],
                    operations,
                    norm,
                    epsilon: Epsilon::new(*epsilon),
                };
                let weights = affine.then(|| self.weights(node.place, node.layer.weight_count()));
                let mode =
                    self.running(node).map_or_else(|| self.by_the_batch(), |running| Mode::Running(Some(running)));
                let normed = edge.forward(read(), weights, None, mode);
                self.report(node, normed.statistics);
                normed.activation
            }
            Layer::Activation(activation) => body::activate(*activation, read()),
            Layer::Pool { pool, window } => body::pool(read(), *pool, window),
            Layer::AdaptiveAverage { size } => body::adaptive_average(read(), *size),
            Layer::Flatten { frames, .. } => body::flatten(read(), *frames),
            Layer::Linear { outputs, .. } => {
                let weight = learnt.next().expect("a linear layer has weights");
                body::linear(read(), weight, learnt.next(), *outputs)
            }
            Layer::Add => {
                let first = read();
                reads.fold(first, |sum, term| sum + term)
            }
            Layer::Multiply => {
                let first = read();
                reads.fold(first, |product, factor| product * factor)
            }
            Layer::Concatenate => Tensor::cat(reads.collect(), 4),
            Layer::FrameProduct => body::frame_product(read()),
            Layer::Slice { from, to } => read().narrow(4, *from, to - from),
            Layer::Shuffle { groups } => body::shuffle(read(), *groups),
            Layer::Pad { amounts } => body::pad(read(), *amounts, 0.0),
            Layer::Difference => body::difference(read()),
            Layer::Zero { outputs, stride } => {
                let x = read();
                let [n, t, h, w, _] = x.dims();
                let [t, h, w] = std::array::from_fn(|axis| [t, h, w][axis].div_ceil(stride[axis]));
                Tensor::zeros([n, t, h, w, *outputs], (&x.device(), x.dtype()))
            }
            Layer::LocalResponseNorm { size, alpha, beta, bias } => {
                body::local_response_norm(read(), *size, *alpha, *beta, *bias)
            }
            Layer::Dropout { rate } => {
                let x = read();
                match self.dropout.as_mut().filter(|_| self.running.is_none() && *rate > 0.0) {
                    Some(dropout) => {
                        let shape @ [n, t, h, w, c] = x.dims();
                        dropout.rate = *rate;
                        dropout.apply(x.reshape([n, t * h * w * c]), self.part).reshape(shape)
                    }
                    None => x,
                }
            }
            Layer::Attention { affinity } => body::attend(read(), read(), read(), *affinity),
            Layer::Bilinear => body::bilinear(read()),
        }
    }
}
