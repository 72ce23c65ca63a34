//! An edge as units: what is computed before each batch norm, in the order of the data's way.

use super::grid::{Border, Grid, Taps, Transposed, Window};
use crate::expression::{Expression, Extent, Padding, Pool, Stage};
use crate::lanes::{HALF, LANES, Lanes, blocks};
use crate::portable::shares;
use crate::weights::{strided, volume};
use crate::{Edge, Epsilon, Norm};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Elements between the results of two units: streams that lie a power of two apart would compete for the same cache lines.
const SKEW: usize = 5;

/// Pixels that are worked on at once, where rows are shorter.
pub(crate) const STRIP: usize = 64;

/// An edge for inputs of one size.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Images of the batch.
    pub(crate) samples: usize,
    /// Whether two images share the lanes, since one alone would leave half of them empty.
    pub(crate) shared: bool,
    /// What is worked on one by one: images, or pairs of those that share the lanes, the last of which may lack its second.
    pub(crate) images: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) input: Extent,
    pub(crate) output: Extent,
    pub(crate) normed: bool,
    pub(crate) affine: bool,
    /// What norms add to variances.
    pub(crate) epsilon: Epsilon,
    /// In the order of the weights' layout.
    pub(crate) units: Vec<Unit>,
    /// What is summed, by operation.
    pub(crate) terms: Vec<Term>,
    pub(crate) operations: usize,
    /// Units whose results depend on one another lie on different levels.
    pub(crate) levels: usize,
    /// Elements of an image's kept results; those of a level lie behind those of the levels before.
    pub(crate) kept: usize,
    /// Elements of a strip's results of pools, which are not kept: computing them again is cheaper than memory.
    pub(crate) pooled: usize,
    /// Elements of the flat weights.
    pub(crate) weights: usize,
    /// Elements of the flat tensor of statistics.
    pub(crate) statistics: usize,
    /// The input after its ReLU, for the windows that read it.
    pub(crate) activated: Grid,
    /// The input as it is, for the way back through maxima.
    pub(crate) raw: Grid,
}

/// A term of the edge's sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    pub(crate) operation: usize,
    /// A unit's result after its norm; `None` for the input itself.
    pub(crate) unit: Option<usize>,
}

/// What is computed between its source and its batch norm.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The unit whose normed result is read, after a ReLU; `None` for the edge's input.
    pub(crate) source: Option<usize>,
    pub(crate) level: usize,
    pub(crate) input: Extent,
    pub(crate) output: Extent,
    pub(crate) body: Body,
    /// Where its norm's statistics start in the flat tensor.
    pub(crate) statistics: Option<usize>,
    /// Where its norm's scale starts in the flat weights; the shift follows it.
    pub(crate) scale: Option<usize>,
    /// Where its results start among the kept ones of an image, `[blocks, pixels]`, or, of a pool, among the pools' of a
    /// strip, `[blocks, pixels of the strip]`.
    pub(crate) kept: usize,
    /// Where the gradient of its normed result goes, if a unit reads it: over that unit's results, which nobody reads any
    /// more by then.
    pub(crate) gradient: Option<usize>,
}

/// What a unit computes.
#[derive(Debug)]
pub(crate) enum Body {
    Product(Product),
    Pool(PoolUnit),
}

/// A matrix product of each pixel's row.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) rows: Rows,
    /// Elements of a row.
    pub(crate) inputs: usize,
    /// The parts of the matrix that are not zero.
    pub(crate) segments: Vec<Segment>,
}

/// A part of a product's matrix, `[inputs, outputs]` in the flat weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) weights: usize,
    pub(crate) first_input: usize,
    pub(crate) inputs: usize,
    pub(crate) first_output: usize,
    pub(crate) outputs: usize,
}

/// Where a product's rows come from.
#[derive(Debug)]
pub(crate) enum Rows {
    /// A depthwise convolution of the source after its ReLU.
    Depthwise(Depthwise),
    /// Pixels of the input after its ReLU, at `stride` times the output's coordinates plus each of the shifts, one behind
    /// the other; zeros beyond the end.
    Pixels { stride: Extent, shifts: Vec<Extent> },
    /// The difference to the frame before, after the ReLU.
    Difference { stride: Extent },
    /// The input under a window, tap after tap, each tap `pitch` elements wide.
    Patches { window: Window, pitch: usize, activated: bool, direct: Option<Direct> },
    /// Means of the input, as it is, over windows of size `stride` side by side; one over the number of elements in each, by
    /// output pixel.
    Means { stride: Extent, shares: Vec<f32> },
}

/// How patches are read where they lie, in the grid of the activated input: at stride 1, where copying them would copy every
/// element as often as the window has taps.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) taps: Taps,
    pub(crate) transposed: Transposed,
}

/// A depthwise convolution.
#[derive(Debug)]
pub(crate) struct Depthwise {
    pub(crate) window: Window,
    /// Where its weights start in the flat tensor: `[taps, channels]`.
    pub(crate) weights: usize,
    /// The grid that it reads, and its taps there.
    pub(crate) grid: Grid,
    pub(crate) taps: Taps,
    pub(crate) transposed: Transposed,
}

/// A pool.
#[derive(Debug)]
pub(crate) struct PoolUnit {
    pub(crate) pool: Pool,
    pub(crate) window: Window,
    pub(crate) taps: Taps,
    pub(crate) transposed: Transposed,
    /// A sum is a convolution by ones.
    pub(crate) ones: Vec<Lanes>,
    /// For averages, one over the number of real elements, by output pixel.
    pub(crate) shares: Vec<f32>,
}

impl Unit {
    pub(crate) fn pixels(&self) -> usize {
        volume(self.output)
    }

    /// The window that reads its source's grid after the ReLU.
    fn activated_window(&self) -> Option<&Window> {
        match &self.body {
            Body::Product(Product { rows: Rows::Depthwise(Depthwise { window, .. }), .. })
            | Body::Product(Product { rows: Rows::Patches { window, direct: Some(_), .. }, .. }) => Some(window),
            _ => None,
        }
    }
}

/// Plans made before, by edge and by images and size.
type Plans = HashMap<Edge, HashMap<(usize, Extent), Arc<Plan>>>;

static PLANS: LazyLock<Mutex<Plans>> = LazyLock::new(Mutex::default);

/// Forgets the plans made so far.
pub(crate) fn forget_plans() {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Plan {
    /// The plan of an edge; a step asks for the same few over and over.
    pub(crate) fn of(edge: &Edge, samples: usize, input: Extent) -> Arc<Self> {
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(edge).and_then(|plans| plans.get(&(samples, input))) {
            return plan.clone();
        }
        let plan = Arc::new(Plan::new(edge, samples, input));
        plans.entry(edge.clone()).or_default().insert((samples, input), plan.clone());
        plan
    }

    fn new(edge: &Edge, samples: usize, input: Extent) -> Self {
        let is_gathered = |operation: &Expression| match operation {
            Expression::Convolve { padding, activated, .. } => !is_direct(edge, *padding, *activated),
            _ => false,
        };
        let shared = samples > 1 && edge.inputs.max(edge.outputs) <= HALF && !edge.operations.iter().any(is_gathered);
        let mut plan = Plan {
            samples,
            shared,
            images: if shared { samples.div_ceil(2) } else { samples },
            inputs: edge.inputs,
            outputs: edge.outputs,
            input,
            output: edge.output_extent(input),
            normed: edge.norm != Norm::Absent,
            affine: edge.norm == Norm::Affine,
            epsilon: edge.epsilon,
            units: Vec::new(),
            terms: Vec::new(),
            operations: edge.operations.len(),
            levels: 0,
            kept: 0,
            pooled: 0,
            weights: 0,
            statistics: 0,
            activated: Grid::new(input, Border::default()),
            raw: Grid::new(input, Border::default()),
        };
        let mut builder = Builder { edge, plan: &mut plan };
        for (operation, expression) in edge.operations.iter().enumerate() {
            for unit in builder.expression(expression) {
                builder.plan.terms.push(Term { operation, unit });
            }
        }
        plan.finish();
        plan
    }

    /// Blocks of the output's channels.
    pub(crate) fn blocks(&self) -> usize {
        blocks(self.outputs)
    }

    /// The units of a level with their indices.
    pub(crate) fn level(&self, level: usize) -> impl Iterator<Item = (usize, &Unit)> {
        self.units.iter().enumerate().filter(move |(_, unit)| unit.level == level)
    }

    /// Whether a unit reads the grid of the activated input.
    pub(crate) fn reads_activated(&self) -> bool {
        self.level(0).any(|(_, unit)| unit.activated_window().is_some())
    }

    /// Whether a maximum reads the input.
    pub(crate) fn has_maxima(&self) -> bool {
        let is_maximum = |unit: &Unit| matches!(&unit.body, Body::Pool(PoolUnit { pool: Pool::Max, .. }));
        self.units.iter().any(is_maximum)
    }

    /// Pixels of the output that are worked on at once: whole rows.
    pub(crate) fn strip(&self) -> usize {
        strip(self.output)
    }

    /// The operation that a unit's result is a term of.
    pub(crate) fn operation_of(&self, unit: usize) -> Option<usize> {
        self.terms.iter().find(|term| term.unit == Some(unit)).map(|term| term.operation)
    }

    /// Lays the memory out and gives every window its grid.
    fn finish(&mut self) {
        self.levels = self.units.iter().map(|unit| unit.level + 1).max().unwrap_or(0);
        let blocks = self.blocks();
        for level in 0..self.levels {
            for index in 0..self.units.len() {
                let unit = &self.units[index];
                if unit.level != level {
                    continue;
                }
                let read = unit.source.map_or(0, |source| self.units[source].pixels());
                let (place, length) = match unit.body {
                    Body::Product(_) => (&mut self.kept, blocks * unit.pixels().max(read) + SKEW),
                    Body::Pool(_) => (&mut self.pooled, blocks * strip(unit.output)),
                };
                self.units[index].kept = *place;
                *place += length;
            }
        }
        // An edge of pools alone keeps something, too, so that its images can be told apart.
        self.kept = self.kept.max(1);
        for reader in 0..self.units.len() {
            if let Some(source) = self.units[reader].source {
                self.units[source].gradient = Some(self.units[reader].kept);
            }
        }
        let (mut activated, mut raw) = (Border::default(), Border::default());
        for unit in self.units.iter().filter(|unit| unit.source.is_none()) {
            match &unit.body {
                Body::Pool(pool) => raw = raw.join(pool.window.border(unit.input, unit.output)),
                Body::Product(_) => {
                    if let Some(window) = unit.activated_window() {
                        activated = activated.join(window.border(unit.input, unit.output));
                    }
                }
            }
        }
        self.activated = Grid::new(self.input, activated);
        self.raw = Grid::new(self.input, raw);
        for unit in &mut self.units {
            match &mut unit.body {
                Body::Product(Product { rows: Rows::Depthwise(depthwise), .. }) => {
                    depthwise.grid = match unit.source {
                        None => self.activated,
                        Some(_) => Grid::new(unit.input, depthwise.window.border(unit.input, unit.output)),
                    };
                    depthwise.taps = Taps::of(&depthwise.window, &depthwise.grid);
                }
                Body::Product(Product { rows: Rows::Patches { window, direct: Some(direct), .. }, .. }) => {
                    direct.taps = Taps::of(window, &self.activated);
                }
                Body::Pool(pool) => pool.taps = Taps::of(&pool.window, &self.raw),
                Body::Product(_) => {}
            }
        }
    }
}

/// Pixels of an output that are worked on at once: as many whole rows as make [`STRIP`].
pub(crate) fn strip([_, _, width]: Extent) -> usize {
    width * (STRIP / width).max(1)
}

/// Whether a dense convolution reads its patches where they lie.
fn is_direct(edge: &Edge, padding: Padding, activated: bool) -> bool {
    activated && padding == Padding::Same && edge.stride == [1; 3]
}

struct Builder<'a> {
    edge: &'a Edge,
    plan: &'a mut Plan,
}

impl Builder<'_> {
    /// Adds the units of an expression; returns what it is the sum of.
    fn expression(&mut self, expression: &Expression) -> Vec<Option<usize>> {
        let Edge { inputs, outputs, stride, norm, .. } = *self.edge;
        let around = |kernel: Extent| Window::same(kernel, [1; 3], stride);
        match expression {
            Expression::Zero | Expression::Noise => vec![],
            Expression::Skip | Expression::Largest if self.edge.is_identity() => vec![None],
            Expression::Skip => {
                let half = outputs / 2;
                let second = blocks(inputs) * LANES;
                let shift = std::array::from_fn(|axis| usize::from(stride[axis] > 1));
                let rows = Rows::Pixels { stride, shifts: vec![[0; 3], shift] };
                let segments = vec![(0, inputs, 0, half), (second, inputs, half, outputs - half)];
                vec![Some(self.product(rows, second + inputs, segments, true))]
            }
            Expression::Pool { pool, kernel } => vec![Some(self.pool(*pool, around(*kernel), norm == Norm::Plain))],
            Expression::AveragePool { kernel } => vec![Some(self.pool(Pool::Average, around(*kernel), false))],
            Expression::Largest => {
                let window = Window { padding: [0; 3], ..around(stride) };
                vec![Some(self.pool(Pool::Max, window, false))]
            }
            Expression::Shrink => {
                let shares = shares(self.plan.input, stride).into_iter().map(|share| share as f32).collect();
                vec![Some(self.product(Rows::Means { stride, shares }, inputs, vec![(0, inputs, 0, outputs)], false))]
            }
            Expression::Chain(stages) => {
                vec![stages.iter().fold(None, |source, stage| Some(self.stage(stage, source)))]
            }
            Expression::Parallel(stages) => stages.iter().map(|stage| Some(self.stage(stage, None))).collect(),
            Expression::Compromise { spatial, temporal } => {
                let first = self.stage(spatial, None);
                vec![Some(first), Some(self.stage(temporal, Some(first)))]
            }
            Expression::TemporalDifference => {
                vec![Some(self.product(Rows::Difference { stride }, inputs, vec![(0, inputs, 0, outputs)], true))]
            }
            Expression::Project => {
                let rows = Rows::Pixels { stride, shifts: vec![[0; 3]] };
                vec![Some(self.product(rows, inputs, vec![(0, inputs, 0, outputs)], true))]
            }
            // Of a window of one element the mean is the element.
            Expression::Normalise => vec![Some(self.pool(Pool::Average, around([1; 3]), true))],
            Expression::Convolve { kernel, padding, activated } => {
                let mut window = around(*kernel);
                if *padding == Padding::Valid {
                    window.padding = [0; 3];
                }
                let taps = volume(*kernel);
                let (input, output) = (self.plan.input, self.plan.output);
                let direct = is_direct(self.edge, *padding, *activated)
                    .then(|| Direct { taps: Taps::default(), transposed: Transposed::new(&window, input, output) });
                // Few channels lie side by side, so that no copied row is mostly padding; many start on a block each.
                let pitch = if inputs < LANES && direct.is_none() { inputs } else { blocks(inputs) * LANES };
                let segments = (0..taps).map(|tap| (tap * pitch, inputs, 0, outputs)).collect();
                let rows = Rows::Patches { window, pitch, activated: *activated, direct };
                vec![Some(self.product(rows, taps * pitch, segments, true))]
            }
        }
    }

    fn stage(&mut self, stage: &Stage, source: Option<usize>) -> usize {
        let channels = self.edge.outputs;
        let window = Window::same(stage.kernel, stage.dilation, stage.stride(self.edge.stride));
        let input = source.map_or(self.plan.input, |source| self.plan.units[source].output);
        let output = strided(input, window.stride);
        let weights = self.weights(volume(stage.kernel) * channels);
        let depthwise = Depthwise {
            window,
            weights,
            grid: Grid::new(input, Border::default()),
            taps: Taps::default(),
            transposed: Transposed::new(&window, input, output),
        };
        let segments = self.segments(vec![(0, channels, 0, channels)]);
        let body = Body::Product(Product { rows: Rows::Depthwise(depthwise), inputs: channels, segments });
        self.unit(source, input, output, body, true)
    }

    /// A product of rows of the edge's input; a segment is its first input, inputs, first output and outputs.
    fn product(
        &mut self,
        rows: Rows,
        inputs: usize,
        segments: Vec<(usize, usize, usize, usize)>,
        normed: bool,
    ) -> usize {
        let segments = self.segments(segments);
        let body = Body::Product(Product { rows, inputs, segments });
        self.unit(None, self.plan.input, self.plan.output, body, normed)
    }

    fn pool(&mut self, pool: Pool, window: Window, normed: bool) -> usize {
        let (input, output) = (self.plan.input, self.plan.output);
        let kernel = window.kernel;
        let real = |axis: usize, at: usize| {
            let first = (at * window.stride[axis]).saturating_sub(window.padding[axis]);
            let end = (at * window.stride[axis] + kernel[axis] - window.padding[axis]).min(input[axis]);
            end - first
        };
        let shares = match pool {
            Pool::Max => Vec::new(),
            Pool::Average => (0..volume(output))
                .map(|pixel| [pixel / (output[1] * output[2]), pixel / output[2] % output[1], pixel % output[2]])
                .map(|at| 1.0 / (0..3).map(|axis| real(axis, at[axis])).product::<usize>() as f32)
                .collect(),
        };
        let transposed = Transposed::new(&window, input, output);
        let body = Body::Pool(PoolUnit {
            pool,
            window,
            taps: Taps::default(),
            transposed,
            ones: vec![Lanes::filled(1.0); volume(kernel)],
            shares,
        });
        self.unit(None, input, output, body, normed)
    }

    fn unit(&mut self, source: Option<usize>, input: Extent, output: Extent, body: Body, normed: bool) -> usize {
        let outputs = self.edge.outputs;
        let normed = normed && self.plan.normed;
        let scale = (normed && self.plan.affine).then(|| self.weights(2 * outputs));
        let statistics = normed.then_some(self.plan.statistics);
        if normed {
            self.plan.statistics += 2 * outputs;
        }
        let level = source.map_or(0, |source| self.plan.units[source].level + 1);
        let unit = Unit { source, level, input, output, body, statistics, scale, kept: 0, gradient: None };
        self.plan.units.push(unit);
        self.plan.units.len() - 1
    }

    fn segments(&mut self, segments: Vec<(usize, usize, usize, usize)>) -> Vec<Segment> {
        let segment = |(first_input, inputs, first_output, outputs): (usize, usize, usize, usize)| Segment {
            weights: self.weights(inputs * outputs),
            first_input,
            inputs,
            first_output,
            outputs,
        };
        segments.into_iter().map(segment).collect()
    }

    /// The next `count` weights of the flat tensor.
    fn weights(&mut self, count: usize) -> usize {
        let at = self.plan.weights;
        self.plan.weights += count;
        at
    }
}
