//! Cells that others found by search, of five nodes, in the networks that their papers put them in: NASNet-A, AmoebaNet-A,
//! PNASNet-5, ENAS.

use super::Sizes;
use crate::layers::{Builder, Filter, Graph, Layer, Value, Window};

/// A cell: what every node adds, each an operation and the state it reads; the states that are the output.
///
/// State 0 is the output before the last, state 1 the last, and the nodes follow.
#[derive(Debug)]
struct Cell {
    nodes: [[(Operation, usize); 2]; 5],
    output: &'static [usize],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    /// Twice ReLU, depthwise convolution of that side, 1×1 convolution, norm.
    Separable(usize),
    /// ReLU, 1×1 to a quarter of the channels, 1×7, 7×1, 1×1, a norm after each and ReLUs between.
    Crossed,
    Max,
    /// Means, nothing outside counted.
    Average,
    /// The state as it is; where the size is reduced, a 1×1 convolution between ReLU and norm.
    Identity,
}

use Operation::{Average, Crossed, Identity, Max, Separable};

/// The two cells of a network.
#[derive(Debug)]
pub(super) struct Pair {
    normal: Cell,
    reduction: Cell,
}

/// NASNet-A (Zoph, Vasudevan, Shlens, Le, 2018, figure 4).
pub(super) const NASNET_A: Pair = Pair {
    normal: Cell {
        nodes: [
            [(Separable(5), 1), (Separable(3), 0)],
            [(Separable(5), 0), (Separable(3), 0)],
            [(Average, 1), (Identity, 0)],
            [(Average, 0), (Average, 0)],
            [(Separable(3), 1), (Identity, 1)],
        ],
        output: &[0, 2, 3, 4, 5, 6],
    },
    reduction: Cell {
        nodes: [
            [(Separable(5), 1), (Separable(7), 0)],
            [(Max, 1), (Separable(7), 0)],
            [(Average, 1), (Separable(5), 0)],
            [(Identity, 3), (Average, 2)],
            [(Separable(3), 2), (Max, 1)],
        ],
        output: &[3, 4, 5, 6],
    },
};

/// AmoebaNet-A (Real, Aggarwal, Huang, Le, 2019), as tensorflow/tpu has it.
pub(super) const AMOEBANET_A: Pair = Pair {
    normal: Cell {
        nodes: [
            [(Average, 1), (Max, 1)],
            [(Separable(3), 0), (Identity, 0)],
            [(Identity, 1), (Average, 0)],
            [(Separable(3), 1), (Separable(5), 2)],
            [(Average, 5), (Separable(3), 1)],
        ],
        output: &[0, 3, 4, 6],
    },
    reduction: Cell {
        nodes: [
            [(Separable(3), 0), (Average, 1)],
            [(Max, 1), (Separable(7), 2)],
            [(Max, 0), (Max, 1)],
            [(Separable(3), 4), (Crossed, 1)],
            [(Average, 0), (Separable(7), 1)],
        ],
        output: &[2, 3, 4, 5, 6],
    },
};

/// PNASNet-5 (Liu and others, 2018, figure 1): one cell, with a stride where the size is reduced.
pub(super) const PNASNET_5: Pair = Pair { normal: PNASNET_CELL, reduction: PNASNET_CELL };

const PNASNET_CELL: Cell = Cell {
    nodes: [
        [(Separable(5), 0), (Max, 0)],
        [(Separable(7), 1), (Max, 1)],
        [(Separable(5), 1), (Separable(3), 1)],
        [(Separable(3), 4), (Max, 1)],
        [(Separable(3), 0), (Identity, 1)],
    ],
    output: &[2, 3, 4, 5, 6],
};

/// ENAS (Pham, Guan, Zoph, Le, Dean, 2018), the cells of melodyguan/enas' final training on CIFAR-10. Its code brings the last
/// output to a cell's channels twice, which is done once here.
pub(super) const ENAS: Pair = Pair {
    normal: Cell {
        nodes: [
            [(Average, 0), (Separable(3), 0)],
            [(Identity, 0), (Separable(5), 0)],
            [(Identity, 0), (Separable(5), 1)],
            [(Separable(3), 1), (Separable(5), 0)],
            [(Average, 0), (Separable(5), 1)],
        ],
        output: &[2, 3, 4, 5, 6],
    },
    reduction: Cell {
        nodes: [
            [(Separable(3), 1), (Separable(3), 1)],
            [(Max, 0), (Average, 0)],
            [(Separable(5), 1), (Separable(5), 3)],
            [(Separable(3), 1), (Identity, 0)],
            [(Max, 0), (Separable(5), 1)],
        ],
        output: &[2, 4, 5, 6],
    },
};

/// How cells are put together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Channels of the nodes of the first normal cells.
    pub(super) filters: usize,
    /// Normal cells of each of the three parts.
    pub(super) repeats: [usize; 3],
    /// What comes before them.
    pub(super) start: Start,
    /// Whether the cell after a reduction reads, in place of the reduction's input, the output before that.
    pub(super) skips: bool,
}

/// What comes before the first normal cell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// A 3×3 convolution to three times the channels: CIFAR.
    Convolution,
    /// A 3×3 convolution with stride 2 to so many channels, and two reductions: ImageNet.
    Reductions(usize),
}

/// What norms of these networks add to a variance.
const EPSILON: f64 = 1e-3;

/// An output, and how often the size was halved on the way.
type Sized = (Value, usize);

/// What a cell reads.
enum Reads {
    /// The stem alone: state 0 is as it is, state 1 brought to the cell's channels.
    One(Sized),
    /// The output before the last, and the last.
    Two([Sized; 2]),
}

struct Assembly<'a> {
    b: Builder,
    sizes: &'a Sizes,
    cells: usize,
}

/// The network that two cells give.
pub(super) fn searched(sizes: &Sizes, pair: &Pair, plan: Plan) -> Graph {
    let (b, input) = Builder::new(sizes.inputs);
    let mut net = Assembly { b, sizes, cells: 0 };
    let Plan { filters, repeats, start, skips } = plan;
    let (channels, window) = match start {
        Start::Convolution => (3 * filters, Window::square(3).centred()),
        Start::Reductions(channels) => (channels, Window::square(3).step(2)),
    };
    let x = net.b.convolution("stem.conv", input, Filter::new(sizes.wide(channels), window));
    let x = net.b.norm_with("stem.bn", x, EPSILON);
    let mut outputs: [Sized; 2] = [(x, 0); 2];
    if let Start::Reductions(_) = start {
        let first = net.cell(&pair.reduction, Reads::One((x, 0)), filters / 4, 2);
        let second = net.cell(&pair.reduction, Reads::Two([(x, 0), first]), filters / 2, 2);
        outputs = [first, second];
    }
    for (part, count) in repeats.into_iter().enumerate() {
        let filters = filters << part;
        if part > 0 {
            let reduced = net.cell(&pair.reduction, Reads::Two(outputs), filters, 2);
            outputs = [if skips { outputs[0] } else { outputs[1] }, reduced];
        }
        for _ in 0..count {
            let output = net.cell(&pair.normal, Reads::Two(outputs), filters, 1);
            outputs = [outputs[1], output];
        }
    }
    let Assembly { mut b, .. } = net;
    let x = b.relu(outputs[1].0);
    let x = b.average_frames(x);
    let x = b.dropout(x, 0.5);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

impl Assembly<'_> {
    /// A cell of so many channels a node, which reduces the size by `step`.
    fn cell(&mut self, cell: &Cell, reads: Reads, filters: usize, step: usize) -> Sized {
        let prefix = format!("cells.{}", self.cells);
        self.cells += 1;
        let channels = self.sizes.wide_in(filters, 2);
        let (first, (last, level)) = match reads {
            Reads::One(stem) => (stem.0, stem),
            Reads::Two([(before, earlier), last]) => {
                let name = format!("{prefix}.before");
                let first = match earlier < last.1 {
                    true => self.halved(&name, before, channels),
                    false => self.projected(&name, before, channels, 1),
                };
                (first, last)
            }
        };
        let mut states = vec![first, self.projected(&format!("{prefix}.last"), last, channels, 1)];
        for (node, terms) in cell.nodes.into_iter().enumerate() {
            let terms = [0, 1].map(|side| {
                let (operation, from) = terms[side];
                let step = if from < 2 { step } else { 1 };
                self.operation(&format!("{prefix}.{node}.{side}"), operation, states[from], channels, step)
            });
            states.push(self.b.add(terms[0], terms[1]));
        }
        let output: Vec<Value> = cell.output.iter().map(|&state| states[state]).collect();
        (self.b.concatenate(&output), level + step - 1)
    }

    fn operation(&mut self, prefix: &str, operation: Operation, x: Value, channels: usize, step: usize) -> Value {
        let pool = Window::square(3).step(step).same();
        match operation {
            Separable(side) => {
                let first = self.separable(&format!("{prefix}.0"), x, side, channels, step);
                self.separable(&format!("{prefix}.1"), first, side, channels, 1)
            }
            Crossed => {
                let narrow = (channels / 4).max(1);
                let x = self.projected(&format!("{prefix}.0"), x, narrow, 1);
                let x = self.b.relu(x);
                let wide = Window::new([1, 1, 7]).stride([1, 1, step]).same();
                let x = self.normed(&format!("{prefix}.1"), x, Filter::new(narrow, wide));
                let x = self.b.relu(x);
                let high = Window::new([1, 7, 1]).stride([1, step, 1]).same();
                let x = self.normed(&format!("{prefix}.2"), x, Filter::new(narrow, high));
                self.projected(&format!("{prefix}.3"), x, channels, 1)
            }
            Max => {
                let x = self.b.max_pool(x, pool);
                self.fitted(prefix, x, channels)
            }
            Average => {
                let x = self.b.average_pool(x, pool, false);
                self.fitted(prefix, x, channels)
            }
            Identity if step == 1 && self.b.channels(x) == channels => x,
            Identity => self.projected(prefix, x, channels, step),
        }
    }

    /// ReLU, depthwise convolution, 1×1 convolution, norm.
    fn separable(&mut self, prefix: &str, x: Value, side: usize, channels: usize, step: usize) -> Value {
        let inputs = self.b.channels(x);
        let x = self.b.relu(x);
        let depthwise = Filter::new(inputs, Window::square(side).step(step).same()).groups(inputs);
        let x = self.b.convolution(format!("{prefix}.depthwise"), x, depthwise);
        self.normed(prefix, x, Filter::new(channels, Window::square(1)))
    }

    /// ReLU, 1×1 convolution, norm.
    fn projected(&mut self, prefix: &str, x: Value, channels: usize, step: usize) -> Value {
        let x = self.b.relu(x);
        self.normed(prefix, x, Filter::new(channels, Window::square(1).step(step)))
    }

    /// A pool's result, brought to the channels if it has others.
    fn fitted(&mut self, prefix: &str, x: Value, channels: usize) -> Value {
        if self.b.channels(x) == channels {
            x
        } else {
            self.normed(prefix, x, Filter::new(channels, Window::square(1)))
        }
    }

    fn normed(&mut self, prefix: &str, x: Value, filter: Filter) -> Value {
        let x = self.b.convolution(format!("{prefix}.conv"), x, filter);
        self.b.norm_with(format!("{prefix}.bn"), x, EPSILON)
    }

    /// Half of the size: ReLU, and every second pixel of the state and of the state moved by one, each through a 1×1
    /// convolution to half of the channels, side by side, and norm.
    fn halved(&mut self, prefix: &str, x: Value, channels: usize) -> Value {
        let x = self.b.relu(x);
        let moved = self.b.layer("", Layer::Pad { amounts: [[0, 0], [-1, 1], [-1, 1]] }, &[x]);
        let window = Window::square(1).step(2);
        let straight = self.b.convolution(format!("{prefix}.conv_a"), x, Filter::new(channels / 2, window));
        let moved = self.b.convolution(format!("{prefix}.conv_b"), moved, Filter::new(channels - channels / 2, window));
        let x = self.b.concatenate(&[straight, moved]);
        self.b.norm_with(format!("{prefix}.bn"), x, EPSILON)
    }
}
