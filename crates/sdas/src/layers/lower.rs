//! A network of cells as a graph of layers, with the same numbers in the same places.

use super::window::Window;
use super::{Builder, Filter, Graph, Layer, Place, Pooling, Value};
use crate::network::{Block, Cell, Linear, Network};
use sdas_kernels::{Edge, Expression, Extent, Norm, Padding, Pool, Stage, WeightKind};
use std::collections::VecDeque;

/// Why a network does not lower.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// An edge still mixes several operations.
    #[error("{edge} still mixes {operations} operations; a network lowers once all its edges are decided")]
    Mixed {
        /// The edge.
        edge: String,
        /// How many.
        operations: usize,
    },
    /// A cell's edges work on a part of its channels.
    #[error("cell {cell} works on one of {share} parts of its channels, as in the search; train its genotype instead")]
    Part {
        /// The cell, from 0.
        cell: usize,
        /// How many parts there are.
        share: usize,
    },
    /// An edge gives random numbers.
    #[error("{edge} gives noise, which no layer does")]
    Noise {
        /// The edge.
        edge: String,
    },
}

impl Graph {
    /// The layers that a network of cells runs once it is trained, without its auxiliary head. The graph's parameters are
    /// the network's, slot by slot.
    ///
    /// # Errors
    ///
    /// If an edge is undecided, or noise.
    pub fn lower(network: &Network) -> Result<Graph, LowerError> {
        let first = network.stem.first().map_or(0, |block| block.edge.inputs);
        let (builder, input) = Builder::new(first);
        let mut lowering = Lowering { builder };
        let mut before = lowering.chain(&network.stem, input)?;
        let mut last = lowering.chain(&network.second_stem, before)?;
        for (index, cell) in network.cells.iter().enumerate() {
            if cell.share > 1 {
                return Err(LowerError::Part { cell: index, share: cell.share });
            }
            let output = lowering.cell(cell, [before, last])?;
            (before, last) = (last, output);
        }
        if let Some(block) = &network.closing {
            last = lowering.block(block, last)?;
            last = lowering.builder.relu(last);
        }
        let features = lowering.builder.average(last);
        let logits = lowering.classifier(&network.classifier, features);
        Ok(lowering.builder.finish_in(logits, network.slots))
    }
}

/// What PyTorch would call the module that has this weight of an edge.
fn module(block: &Block, weight: &str) -> String {
    let name = block.pytorch_name(weight);
    name.strip_suffix(".weight").expect("a module's name is its weight's without its end").to_owned()
}

struct Lowering {
    builder: Builder,
}

impl Lowering {
    fn chain(&mut self, blocks: &[Block], x: Value) -> Result<Value, LowerError> {
        blocks.iter().try_fold(x, |x, block| self.block(block, x))
    }

    fn cell(&mut self, cell: &Cell, outputs: [Value; 2]) -> Result<Value, LowerError> {
        let mut states = Vec::new();
        for (index, &read) in outputs[2 - cell.inputs..].iter().enumerate() {
            states.push(match cell.preprocess.get(index) {
                Some(block) => self.block(block, read)?,
                None => read,
            });
        }
        for node in 0..cell.nodes() {
            let mut terms = Vec::new();
            for edge in cell.edges.iter().filter(|edge| edge.node == node) {
                terms.push(self.block(&edge.block, states[edge.from])?);
            }
            states.push(match terms[..] {
                [term] => term,
                _ => self.builder.layer("", Layer::Add, &terms),
            });
        }
        let output: Vec<Value> = cell.concat.iter().map(|&state| states[state]).collect();
        Ok(match output[..] {
            [node] => node,
            _ => self.builder.concatenate(&output),
        })
    }

    fn classifier(&mut self, linear: &Linear, x: Value) -> Value {
        let layer = Layer::Linear { inputs: linear.inputs, outputs: linear.outputs, bias: true };
        self.builder.layer_in(&linear.name, layer, &[x], Place { slot: linear.slot, ..Place::default() })
    }

    fn block(&mut self, block: &Block, x: Value) -> Result<Value, LowerError> {
        let edge = || block.name.clone();
        let Edge { stride, outputs, .. } = block.edge;
        let expression = match &block.edge.operations[..] {
            [Expression::Noise] => return Err(LowerError::Noise { edge: edge() }),
            [operation] => operation,
            [] => &Expression::Zero,
            several => return Err(LowerError::Mixed { edge: edge(), operations: several.len() }),
        };
        if *expression == Expression::Zero {
            return Ok(self.builder.layer("", Layer::Zero { outputs, stride }, &[x]));
        }
        if block.is_identity() {
            return Ok(x);
        }
        let weights = block.edge.weights().into_iter();
        let weights = weights
            .filter(|weight| weight.kind.fan_in().is_some())
            .map(|weight| (module(block, &weight.name), weight.kind, weight.range.start));
        let statistics = block.edge.statistics().into_iter();
        let norms = statistics.map(|norm| (norm.name, norm.range)).collect();
        let mut part = Part { builder: &mut self.builder, block, weights: weights.collect(), norms };
        let y = part.expression(expression, x);
        assert!(part.weights.is_empty() && part.norms.is_empty(), "an edge has no weights but its operations'");
        Ok(y)
    }
}

/// An edge being lowered: its convolutions and norms are met in the order in which their numbers lie.
struct Part<'a> {
    builder: &'a mut Builder,
    block: &'a Block,
    /// Name, kind and place of each convolution's weight.
    weights: VecDeque<(String, WeightKind, usize)>,
    /// Name, below the edge, and place of each norm's statistics.
    norms: VecDeque<(String, std::ops::Range<usize>)>,
}

impl Part<'_> {
    fn expression(&mut self, expression: &Expression, x: Value) -> Value {
        let Edge { stride, norm, .. } = self.block.edge;
        let pooled = |pool, kernel| Layer::Pool { pool, window: Window::new(kernel).stride(stride).centred() };
        let average = Pooling::Average { padded: false };
        match expression {
            Expression::Zero | Expression::Noise => unreachable!("lowered without its weights"),
            Expression::Largest if stride == [1; 3] => x,
            Expression::Largest => self.builder.max_pool(x, Window::new(stride).stride(stride).ceil()),
            Expression::Skip => {
                let x = self.builder.relu(x);
                let straight = self.convolve(Window::new([1; 3]).stride(stride), x);
                let ahead = stride.map(|step| if step > 1 { [-1, 1] } else { [0, 0] });
                let shifted = self.builder.layer("", Layer::Pad { amounts: ahead }, &[x]);
                let shifted = self.convolve(Window::new([1; 3]).stride(stride), shifted);
                let y = self.builder.concatenate(&[straight, shifted]);
                self.norm(y)
            }
            Expression::Pool { pool, kernel } => {
                let pool = if *pool == Pool::Max { Pooling::Max } else { average };
                let y = self.builder.layer("", pooled(pool, *kernel), &[x]);
                if norm == Norm::Plain { self.norm(y) } else { y }
            }
            Expression::AveragePool { kernel } => self.builder.layer("", pooled(average, *kernel), &[x]),
            Expression::Shrink => {
                let window = Window::new(stride).stride(stride).ceil();
                let x = if stride == [1; 3] { x } else { self.builder.average_pool(x, window, false) };
                self.convolve(Window::new([1; 3]), x)
            }
            Expression::Chain(stages) => stages.iter().fold(x, |x, stage| self.stage(stage, x)),
            Expression::Parallel(stages) => {
                let branches: Vec<Value> = stages.iter().map(|stage| self.stage(stage, x)).collect();
                self.builder.layer("", Layer::Add, &branches)
            }
            Expression::Compromise { spatial, temporal } => {
                let y = self.stage(spatial, x);
                let more = self.stage(temporal, y);
                self.builder.add(y, more)
            }
            Expression::TemporalDifference => {
                let x = self.builder.relu(x);
                let x = self.builder.layer("", Layer::Difference, &[x]);
                self.normed(Window::new([1; 3]).stride(stride), x)
            }
            Expression::Project => {
                let x = self.builder.relu(x);
                self.normed(Window::new([1; 3]).stride(stride), x)
            }
            Expression::Normalise => self.norm(x),
            Expression::Convolve { kernel, padding, activated } => {
                let x = if *activated { self.builder.relu(x) } else { x };
                let window = Window::new(*kernel).stride(stride);
                self.normed(if *padding == Padding::Same { window.centred() } else { window }, x)
            }
        }
    }

    fn stage(&mut self, stage: &Stage, x: Value) -> Value {
        let stride: Extent = stage.stride(self.block.edge.stride);
        let x = self.builder.relu(x);
        let x = self.convolve(Window::new(stage.kernel).dilation(stage.dilation).stride(stride).centred(), x);
        self.normed(Window::new([1; 3]), x)
    }

    fn normed(&mut self, window: Window, x: Value) -> Value {
        let y = self.convolve(window, x);
        if self.block.edge.norm == Norm::Absent { y } else { self.norm(y) }
    }

    fn convolve(&mut self, window: Window, x: Value) -> Value {
        let (name, kind, start) = self.weights.pop_front().expect("every convolution has a weight");
        let (outputs, groups) = match kind {
            WeightKind::Depthwise { channels, .. } => (channels, channels),
            WeightKind::Pointwise { outputs, .. } | WeightKind::Dense { outputs, .. } => (outputs, 1),
            WeightKind::Scale(_) | WeightKind::Shift(_) => unreachable!("only convolutions are listed"),
        };
        let inputs = self.builder.channels(x);
        let layer = Layer::Convolution { inputs, filter: Filter::new(outputs, window).groups(groups) };
        let place = Place { slot: self.block.slot, weights: start, statistics: 0 };
        self.builder.layer_in(name, layer, &[x], place)
    }

    fn norm(&mut self, x: Value) -> Value {
        let (name, range) = self.norms.pop_front().expect("every norm has statistics");
        let affine = self.block.edge.norm == Norm::Affine;
        let scale = format!("{name}.weight");
        let mut weights = self.block.edge.weights().into_iter();
        let weights = weights.find(|weight| weight.name == scale).map_or(0, |scale| scale.range.start);
        let name = module(self.block, &scale);
        let place = Place { slot: self.block.slot, weights, statistics: range.start };
        let layer =
            Layer::Norm { channels: self.builder.channels(x), epsilon: self.block.edge.epsilon.value(), affine };
        self.builder.layer_in(name, layer, &[x], place)
    }
}
