//! What a phase computes: the edges that read one state, laid out for the kernels.
//!
//! The rows of its table say what each kernel works on; they depend on shapes alone, and so do the buffers that the phase
//! needs.

mod way_back;

use super::kernels::forward::{BLOCK, PER};
use super::kernels::rows::{QUAD, Shape, Shapes};
use super::kernels::weights::ROWS;
use super::nodes::Node;
use super::table::{NONE, Rows, Table, UNITS, kind, norm, piece};
use crate::Pool;
use crate::expression::Extent;
use crate::fused::{Body, Plan, Product, Rows as ProductRows, Unit, Window};
use crate::weights::volume;
use std::collections::HashMap;
use std::sync::Arc;

/// Cubes of a launch that keep a card busy; so many pieces as a launch has share them.
const CUBES: usize = 1024;

/// Cubes of a piece, or of a sum, at least where there is work for them, and at most: their sums are merged by one.
const SHARE: [usize; 2] = [64, 512];

/// An edge of a phase.
#[derive(Debug, Clone)]
pub(super) struct PhaseLink {
    pub(super) plan: Arc<Plan>,
    /// The node that it is added to.
    pub(super) node: Node,
    /// Where its factors start among the mixes.
    pub(super) mixed: Option<usize>,
    /// The noise that it brings.
    pub(super) noise: Option<Noise>,
    /// Its row among the samples' factors.
    pub(super) factors: Option<usize>,
    /// Where its weights, and their gradients, start.
    pub(super) weights: usize,
    /// Where its statistics start.
    pub(super) statistics: usize,
}

/// An operation that is nothing but noise: which of its link's operations, and which of the noises that the cell was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Noise {
    pub(super) operation: usize,
    pub(super) index: usize,
}

/// Noise that is copied to the results: which of those that were given, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought {
    pub(super) index: usize,
    pub(super) result: usize,
}

/// What the edges of a phase have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// Lanes of a vector.
    pub(super) lanes: usize,
    /// Whether norms use the batch's statistics.
    pub(super) batch: bool,
}

/// Lanes that divide all channels of a plan.
pub(super) fn lanes(plan: &Plan) -> usize {
    let mut counts = vec![plan.inputs, plan.outputs];
    for unit in &plan.units {
        if let Body::Product(product) = &unit.body {
            counts.extend(product.segments.iter().flat_map(|segment| [segment.outputs, segment.weights]));
        }
    }
    [4, 2, 1].into_iter().find(|lanes| counts.iter().all(|count| count.is_multiple_of(*lanes))).unwrap_or(1)
}

/// A phase's table and what it takes to run it. Sizes count vectors.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub(super) table: Table,
    /// Vectors of a pixel's channels, read and written.
    pub(super) inputs: usize,
    pub(super) channels: usize,
    /// Pixels of the whole batch, read and written, and of an image.
    pub(super) input_pixels: usize,
    pub(super) pixels: usize,
    pub(super) per_image: usize,
    pub(super) per_input_image: usize,
    pub(super) input: Extent,
    pub(super) stages: Vec<Launch>,
    /// By level, the windows of its stages.
    pub(super) shapes: Vec<Shapes>,
    /// Dense products: of what lies under a window, and of means.
    denses: [Launch; 2],
    pub(super) pools: Launch,
    pub(super) noises: Vec<Brought>,
    pub(super) norms: Vec<Rows>,
    pub(super) nodes: Rows,
    pub(super) terms: Launch,
    pub(super) operations: Rows,
    /// By level, the units of the level before that it reads.
    pub(super) inners: Vec<Launch>,
    pub(super) inner_operations: Vec<Rows>,
    pub(super) pool_backs: Rows,
    /// Dense products, pools and identities.
    pub(super) others: Rows,
    pub(super) sums: Rows,
    /// Of the longest sum.
    pub(super) longest: usize,
    pub(super) results: usize,
    pub(super) normals: usize,
    pub(super) partial: usize,
    pub(super) back_partial: usize,
    pub(super) inner: usize,
    pub(super) dense_rows: usize,
    pub(super) weight_sums: usize,
}

/// Rows that one launch works on, and the most that one of them asks of the grid.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Launch {
    pub(super) rows: Rows,
    pub(super) cubes: usize,
    /// Cubes for the weights' gradients.
    pub(super) summers: usize,
    /// Blocks of outputs, of the matrix's rows, and of a depthwise kernel's taps.
    pub(super) output_blocks: usize,
    pub(super) row_blocks: usize,
    pub(super) tap_blocks: usize,
    /// Blocks of a row as [`super::kernels::back::dense`] takes them.
    pub(super) length_blocks: usize,
}

/// Where a unit of a link is.
#[derive(Debug, Clone, Copy)]
struct Placed {
    result: usize,
    /// Its norm and its way back.
    normal: usize,
    partial: usize,
    range: usize,
}

impl Phase {
    pub(super) fn new(links: &[PhaseLink], frame: Frame) -> Phase {
        let plan = &links[0].plan;
        let phase = Phase {
            inputs: plan.inputs / frame.lanes,
            channels: plan.outputs / frame.lanes,
            input_pixels: plan.samples * volume(plan.input),
            pixels: plan.samples * volume(plan.output),
            per_image: volume(plan.output),
            per_input_image: volume(plan.input),
            input: plan.input,
            ..Phase::default()
        };
        let mut links = links.to_vec();
        // Terms of one node lie one behind the other.
        links.sort_by_key(|link| link.node);
        let units = links.iter().flat_map(|link| &link.plan.units);
        let pieces = units.filter(|unit| matches!(unit.body, Body::Product(_))).count();
        let mut builder = Builder { phase, links: &links, frame, placed: Vec::new(), pieces, pools: HashMap::new() };
        builder.place();
        builder.products();
        builder.pools();
        builder.identities();
        builder.norms();
        builder.terms();
        builder.inners();
        builder.sums();
        builder.phase
    }
}

impl Phase {
    /// The launches of dense products, and whether they are of means.
    pub(super) fn dense_launches(&self) -> impl Iterator<Item = (Launch, bool)> {
        self.denses.into_iter().zip([false, true]).filter(|(launch, _)| launch.rows.count > 0)
    }
}

struct Builder<'a> {
    phase: Phase,
    links: &'a [PhaseLink],
    frame: Frame,
    /// By link and unit.
    placed: Vec<Vec<Placed>>,
    /// Products that have matrices.
    pieces: usize,
    /// The first link and unit that has a pool.
    pools: HashMap<(Pool, Extent, Extent), (usize, usize)>,
}

fn int(value: usize) -> i32 {
    i32::try_from(value).expect("a phase's buffers hold fewer than 2^31 vectors")
}

fn option(value: Option<usize>) -> i32 {
    value.map_or(NONE, int)
}

/// Takes `length` of what `used` counts.
fn take(used: &mut usize, length: usize) -> usize {
    let at = *used;
    *used += length;
    at
}

/// Cubes of one of so many pieces.
fn share(pieces: usize) -> usize {
    let [least, most] = SHARE;
    (CUBES / pieces.max(1)).clamp(least, most)
}

/// Pixels of a cube, so that there are at most `cubes` and each has whole tiles.
fn range(pixels: usize, tile: usize, cubes: usize) -> usize {
    pixels.div_ceil(tile).div_ceil(cubes) * tile
}

fn pool_key(unit: &Unit) -> Option<(Pool, Extent, Extent)> {
    match &unit.body {
        Body::Pool(pool) => Some((pool.pool, pool.window.kernel, pool.window.stride)),
        Body::Product(_) => None,
    }
}

fn window_fields(unit: &Unit, window: &Window, shift: Extent) -> Vec<(usize, i32)> {
    let Window { kernel, dilation, stride, padding } = *window;
    let mut values: Vec<i32> =
        [unit.input, unit.output, kernel, dilation, stride].concat().into_iter().map(int).collect();
    values.extend((0..3).map(|axis| int(padding[axis]) - int(shift[axis])));
    values.into_iter().enumerate().map(|(at, value)| (piece::WINDOW + at, value)).collect()
}

impl Builder<'_> {
    fn lanes(&self, elements: usize) -> usize {
        elements / self.frame.lanes
    }

    fn pixels(&self, unit: &Unit) -> usize {
        self.links[0].plan.samples * unit.pixels()
    }

    /// Gives every unit its place; links share their pools.
    fn place(&mut self) {
        let channels = self.phase.channels;
        let units = self.links.iter().map(|link| link.plan.units.len()).sum();
        for (index, link) in self.links.iter().enumerate() {
            let mut placed = Vec::new();
            for (at, unit) in link.plan.units.iter().enumerate() {
                let normal = take(&mut self.phase.normals, 1);
                let shared = pool_key(unit).map(|key| *self.pools.entry(key).or_insert((index, at)));
                if let Some((first, first_unit)) = shared.filter(|first| *first != (index, at)) {
                    let of: &Vec<Placed> = if first == index { &placed } else { &self.placed[first] };
                    placed.push(Placed { normal, ..of[first_unit] });
                    continue;
                }
                let pixels = self.pixels(unit);
                let tile = match &unit.body {
                    Body::Product(Product { rows: ProductRows::Depthwise(_), .. }) => PER * (UNITS / channels),
                    _ => 64,
                };
                let range = range(pixels, tile, share(units));
                placed.push(Placed {
                    result: take(&mut self.phase.results, pixels * channels),
                    normal,
                    partial: take(&mut self.phase.partial, pixels.div_ceil(range) * 2 * channels),
                    range,
                });
            }
            self.placed.push(placed);
        }
    }

    fn factors(&self, link: &PhaseLink) -> i32 {
        option(link.factors.map(|row| row * link.plan.samples))
    }

    fn mix(&self, link: &PhaseLink, operation: usize) -> i32 {
        option(link.mixed.map(|start| start + operation))
    }

    /// The rows of stages, level by level, and of dense products.
    fn products(&mut self) {
        let levels = self.links.iter().map(|link| link.plan.levels).max().unwrap_or(0);
        for level in 0..levels {
            let first = self.phase.table.rows();
            let mut launch = Launch::default();
            self.each_product(|builder, at, unit, product| {
                if let ProductRows::Depthwise(depthwise) = &product.rows
                    && unit.level == level
                {
                    let matrix = product.segments[0].weights;
                    let fields = [
                        (piece::KIND, kind::DEPTHWISE),
                        (piece::DEPTHWISE, int(builder.lanes(builder.links[at.0].weights + depthwise.weights))),
                        (piece::INPUTS, int(builder.phase.channels)),
                        (piece::OUTPUTS, int(builder.phase.channels)),
                        (piece::FIRST, 0),
                        (piece::ACTIVATED, 1),
                    ];
                    let window = window_fields(unit, &depthwise.window, [0; 3]);
                    builder.piece(at, unit, matrix, &[&fields[..], &window].concat(), &mut launch);
                }
            });
            launch.rows = self.phase.table.since(first);
            self.phase.stages.push(launch);
            self.shapes(launch.rows);
        }
        for means in [false, true] {
            let first = self.phase.table.rows();
            let mut launch = Launch::default();
            self.each_product(|builder, at, unit, product| {
                if matches!(product.rows, ProductRows::Means { .. }) == means {
                    builder.dense(at, unit, product, &mut launch);
                }
            });
            launch.rows = self.phase.table.since(first);
            self.phase.denses[usize::from(means)] = launch;
        }
    }

    /// Finds the windows of a level's stages, and tells each row its own.
    fn shapes(&mut self, rows: Rows) {
        let rows = rows.first..rows.first + rows.count;
        let window = |row: usize| {
            let three =
                |from: usize| [0, 1, 2].map(|axis| self.phase.table.get(row, piece::WINDOW + from + axis) as usize);
            let ([.., width], shape) = (three(3), Shape { kernel: three(6), dilation: three(9), stride: three(12) });
            width.is_multiple_of(QUAD).then_some(shape)
        };
        let windows: Vec<_> = rows.clone().map(window).collect();
        let is_mixed = self.links.iter().all(|link| link.mixed.is_some());
        let shapes = Shapes::covering(windows.iter().copied(), !is_mixed);
        for (row, window) in rows.zip(windows) {
            self.phase.table.set(row, piece::SHAPE, option(window.and_then(|window| shapes.index(window))));
        }
        self.phase.shapes.push(shapes);
    }

    fn each_product(&mut self, mut body: impl FnMut(&mut Self, (usize, usize), &Unit, &Product)) {
        for (index, link) in self.links.iter().enumerate() {
            for (at, unit) in link.plan.units.iter().enumerate() {
                if let Body::Product(product) = &unit.body {
                    body(self, (index, at), unit, product);
                }
            }
        }
    }

    fn dense(&mut self, at: (usize, usize), unit: &Unit, product: &Product, launch: &mut Launch) {
        let plan = &self.links[at.0].plan;
        let pixel = |stride| Window { kernel: [1; 3], dilation: [1; 3], stride, padding: [0; 3] };
        let mut sort = kind::DENSE;
        let (windows, activated, difference) = match &product.rows {
            ProductRows::Depthwise(_) => return,
            ProductRows::Means { stride, .. } => {
                sort = kind::MEANS;
                (vec![(pixel(*stride), [0; 3])], false, false)
            }
            ProductRows::Pixels { stride, shifts } => {
                (shifts.iter().map(|shift| (pixel(*stride), *shift)).collect(), true, false)
            }
            ProductRows::Difference { stride } => (vec![(pixel(*stride), [0; 3])], true, true),
            ProductRows::Patches { window, activated, .. } => (vec![(*window, [0; 3])], *activated, false),
        };
        for ((window, shift), segment) in windows.into_iter().zip(&product.segments) {
            let inputs = self.lanes(plan.inputs);
            let length = inputs * volume(window.kernel);
            let pixels = self.pixels(unit);
            let rows = take(&mut self.phase.dense_rows, pixels * length);
            let fields = [
                (piece::KIND, sort),
                (piece::INPUTS, int(inputs)),
                (piece::OUTPUTS, int(self.lanes(segment.outputs))),
                (piece::FIRST, int(self.lanes(segment.first_output))),
                (piece::ACTIVATED, i32::from(activated)),
                (piece::DIFFERENCE, i32::from(difference)),
                (piece::ROWS, int(rows)),
            ];
            let fields = [&fields[..], &window_fields(unit, &window, shift)].concat();
            self.piece(at, unit, segment.weights, &fields, launch);
        }
    }

    /// A product's row, its gradients' sums included.
    fn piece(
        &mut self,
        (index, at): (usize, usize),
        unit: &Unit,
        matrix: usize,
        fields: &[(usize, i32)],
        launch: &mut Launch,
    ) {
        let (link, placed) = (&self.links[index], self.placed[index][at]);
        let row = self.phase.table.add(fields);
        let get = |phase: &Phase, place: usize| phase.table.get(row, place) as usize;
        let kernel: usize = (6..9).map(|axis| get(&self.phase, piece::WINDOW + axis)).product();
        let is_stage = self.phase.table.get(row, piece::KIND) == kind::DEPTHWISE;
        let (inputs, outputs) = (get(&self.phase, piece::INPUTS), get(&self.phase, piece::OUTPUTS));
        let length = if is_stage { inputs } else { inputs * kernel };
        let pixels = self.pixels(unit);
        let (row_blocks, output_blocks) = (length.div_ceil(ROWS), outputs.div_ceil(BLOCK));
        let sums_range = range(pixels, 64, share(self.pieces * row_blocks * output_blocks));
        let parts = pixels.div_ceil(sums_range);
        let matrix_sums = take(&mut self.phase.weight_sums, parts * length * self.frame.lanes * outputs);
        let read = unit.source.map(|source| self.placed[index][source]);
        let inner = unit.gradient.is_some();
        let mut set = |place: usize, value: i32| self.phase.table.set(row, place, value);
        set(piece::PIXELS, int(pixels));
        set(piece::RANGE, int(placed.range));
        set(piece::SUMS_RANGE, int(sums_range));
        set(piece::RESULT, int(placed.result));
        set(piece::PARTIAL, int(placed.partial));
        set(piece::BACK, int(placed.normal));
        set(piece::MATRIX, int((link.weights + matrix) / self.frame.lanes));
        set(piece::MATRIX_SUMS, int(matrix_sums));
        set(piece::PITCH, int(link.node.pitch));
        if let Some(read) = read {
            set(piece::SOURCE, int(read.result));
            set(piece::SOURCE_NORMAL, int(read.normal));
        }
        if is_stage {
            // Over the results, which nobody reads any more by then.
            set(piece::ROWS, int(placed.result));
        }
        if inner {
            // One reader, whose level is the next; its place follows when the level before is laid out.
            let to = take(&mut self.phase.inner, pixels * self.phase.channels);
            self.phase.table.set(row, piece::INNER, int(to));
        } else {
            let factors = self.factors(link);
            self.phase.table.set(row, piece::GRADIENT, int(link.node.start));
            self.phase.table.set(row, piece::FACTORS, factors);
        }
        if is_stage {
            let to = take(&mut self.phase.weight_sums, parts * kernel * outputs);
            self.phase.table.set(row, piece::DEPTHWISE_SUMS, int(to));
        }
        launch.cubes = launch.cubes.max(pixels.div_ceil(placed.range));
        launch.summers = launch.summers.max(parts);
        launch.output_blocks = launch.output_blocks.max(output_blocks);
        launch.row_blocks = launch.row_blocks.max(row_blocks);
        launch.tap_blocks = launch.tap_blocks.max((kernel * outputs).div_ceil(UNITS));
        launch.length_blocks = launch.length_blocks.max(length.div_ceil(BLOCK));
    }

    /// The rows of pools, once each.
    fn pools(&mut self) {
        let first = self.phase.table.rows();
        let mut launch = Launch::default();
        let mut owners: Vec<_> = self.pools.values().copied().collect();
        owners.sort_unstable();
        for (index, at) in owners {
            let unit = &self.links[index].plan.units[at];
            let Body::Pool(pool) = &unit.body else { continue };
            let (placed, pixels) = (self.placed[index][at], self.pixels(unit));
            let maximum = pool.pool == Pool::Max;
            let indices = maximum.then(|| take(&mut self.phase.results, pixels * self.phase.channels));
            let fields = [
                (piece::KIND, if maximum { kind::MAXIMUM } else { kind::AVERAGE }),
                (piece::PIXELS, int(pixels)),
                (piece::RANGE, int(placed.range)),
                (piece::RESULT, int(placed.result)),
                (piece::OUTPUTS, int(self.phase.channels)),
                (piece::PARTIAL, int(placed.partial)),
                (piece::MATRIX_SUMS, option(indices)),
                (piece::ROWS, int(placed.result)),
                (piece::INPUTS, int(self.phase.channels)),
            ];
            self.phase.table.add(&[&fields[..], &window_fields(unit, &pool.window, [0; 3])].concat());
            launch.cubes = launch.cubes.max(pixels.div_ceil(placed.range));
        }
        launch.rows = self.phase.table.since(first);
        self.phase.pools = launch;
    }

    /// The rows of links that hand their input on, behind those of dense products and pools.
    fn identities(&mut self) {
        for link in self.links {
            for term in link.plan.terms.iter().filter(|term| term.unit.is_none()) {
                let fields = [
                    (piece::KIND, kind::IDENTITY),
                    (piece::GRADIENT, int(link.node.start)),
                    (piece::PITCH, int(link.node.pitch)),
                    (piece::MIX, self.mix(link, term.operation)),
                    (piece::FACTORS, self.factors(link)),
                ];
                self.phase.table.add(&fields);
            }
        }
        self.phase.others = self.phase.table.since(self.phase.denses[0].rows.first);
    }

    fn norms(&mut self) {
        for level in 0..self.phase.stages.len().max(1) {
            let first = self.phase.table.rows();
            for (index, link) in self.links.iter().enumerate() {
                for (at, unit) in link.plan.level(level) {
                    let placed = self.placed[index][at];
                    let sort = match (unit.statistics, self.frame.batch) {
                        (None, _) => 0,
                        (Some(_), true) => 1,
                        (Some(_), false) => 2,
                    };
                    let at = |within: Option<usize>, start: usize| option(within.map(|at| self.lanes(start + at)));
                    let fields = [
                        (norm::NORMAL, int(placed.normal)),
                        (norm::KIND, sort),
                        (norm::PARTIAL, int(placed.partial)),
                        (norm::PIXELS, int(self.pixels(unit))),
                        (norm::RANGE, int(placed.range)),
                        (norm::AFFINE, at(unit.scale, link.weights)),
                        (norm::STATISTICS, at(unit.statistics, link.statistics)),
                        (norm::EPSILON, (link.plan.epsilon.value() as f32).to_bits().cast_signed()),
                    ];
                    self.phase.table.add(&fields);
                }
            }
            let rows = self.phase.table.since(first);
            self.phase.norms.push(rows);
        }
    }
}
