//! Building networks from a genotype, or from a search space.

use super::{Auxiliary, Block, Cell, CellEdge, Linear, Network};
use crate::genotype::{Genes, Genotype};
use crate::space::{Between, Candidates, CellKind, Closing, Operation, Preprocessing, Space, Stem, stage_starts};
use crate::supernet::SupernetShape;
use sdas_kernels::{Edge, Epsilon, Expression, Extent, Norm, Padding};

/// The sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkShape {
    /// Channels of the first cells' nodes.
    pub channels: usize,
    /// Number of cells.
    pub cells: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the pictures or clips.
    pub inputs: usize,
    /// What lies before the first cell.
    pub stem: Stem,
    /// Whether there is an auxiliary head.
    pub auxiliary: bool,
}

impl Network {
    /// The network that `genotype` describes, at the given sizes (`Network` of DARTS).
    pub fn derived(genotype: &Genotype, shape: NetworkShape) -> Network {
        let mut builder = Builder::new(genotype.space, shape.channels, Norm::Affine);
        builder.stem(shape.stem, shape.inputs);
        let mut auxiliary_at = None;
        for index in 0..shape.cells {
            let kind = builder.begin_cell(index, shape.cells);
            builder.derived_cell(kind, genotype.genes(kind));
            if shape.auxiliary && index == 2 * shape.cells / 3 {
                auxiliary_at = Some((builder.cells.len() - 1, builder.last));
            }
        }
        let auxiliary =
            auxiliary_at.map(|(after, channels)| builder.auxiliary(shape.stem, after, channels, shape.classes));
        builder.finish(shape.classes, auxiliary)
    }

    /// The supernet of a space: every edge of every cell mixes all its candidate operations. The stem is one convolution.
    pub fn supernet(candidates: &Candidates, shape: SupernetShape) -> Network {
        let SupernetShape { channels, cells, classes, inputs, stem_stride, share } = shape;
        let mut builder = Builder::new(candidates.space, channels, Norm::Plain);
        builder.single_stem(inputs, stem_stride);
        for index in 0..cells {
            let kind = builder.begin_cell(index, cells);
            builder.search_cell(kind, candidates.edges(kind), share);
        }
        builder.finish(classes, None)
    }
}

/// Puts a network together, cell by cell, and hands out slots.
pub struct Builder {
    space: &'static Space,
    norm: Norm,
    /// Channels of the current cell's nodes.
    channels: usize,
    /// Channels of the output before the last.
    before: usize,
    /// Channels of the last output.
    last: usize,
    /// Stride that brings the output before the last to the size of the last.
    catch_up: Extent,
    slots: usize,
    stem: Vec<Block>,
    second_stem: Vec<Block>,
    cells: Vec<Cell>,
}

const UNIT: Extent = [1, 1, 1];

impl Builder {
    fn new(space: &'static Space, channels: usize, norm: Norm) -> Self {
        Builder {
            space,
            norm,
            channels,
            before: 0,
            last: 0,
            catch_up: UNIT,
            slots: 0,
            stem: Vec::new(),
            second_stem: Vec::new(),
            cells: Vec::new(),
        }
    }

    fn block(&mut self, name: String, first_layer: usize, edge: Edge) -> Block {
        self.slots += 1;
        Block { name, first_layer, slot: self.slots - 1, edge }
    }

    /// A convolution with affine norm.
    fn stem_block(
        &mut self,
        name: &str,
        first_layer: usize,
        [inputs, outputs]: [usize; 2],
        stride: Extent,
        activated: bool,
    ) -> Block {
        let convolve = Expression::Convolve { kernel: self.space.stem_kernel, padding: Padding::Same, activated };
        self.block(
            name.to_owned(),
            first_layer,
            Edge { inputs, outputs, stride, operations: vec![convolve], norm: Norm::Affine, epsilon: Epsilon::USUAL },
        )
    }

    fn single_stem(&mut self, inputs: usize, stride: Extent) {
        let outputs = self.channels.saturating_mul(self.space.stem_width);
        let block = self.stem_block("stem", 0, [inputs, outputs], stride, false);
        self.stem.push(block);
        (self.before, self.last) = (outputs, outputs);
    }

    fn stem(&mut self, stem: Stem, inputs: usize) {
        let c = self.channels;
        let strides = match stem {
            Stem::Cifar => return self.single_stem(inputs, UNIT),
            Stem::Imagenet => [[1, 2, 2]; 3],
            Stem::Video => [[1, 2, 2], [2, 2, 2], [1, 2, 2]],
        };
        let first = self.stem_block("stem0", 0, [inputs, c / 2], strides[0], false);
        let second = self.stem_block("stem0", 2, [c / 2, c], strides[1], true);
        self.stem = vec![first, second];
        self.second_stem = vec![self.stem_block("stem1", 0, [c, c], strides[2], true)];
        (self.before, self.last) = (c, c);
        self.catch_up = strides[2];
    }

    /// Kind of cell `index` of `cells`, before which the channels are doubled where a stage begins: by the cell itself, or by
    /// what is put between.
    fn begin_cell(&mut self, index: usize, cells: usize) -> CellKind {
        if !stage_starts(cells).contains(&index) {
            return CellKind::Normal;
        }
        let before = self.channels;
        self.channels = before.saturating_mul(2);
        match self.space.between {
            Between::ReductionCells => CellKind::Reduction,
            Between::ResidualBlocks => {
                self.residual_block(before);
                CellKind::Normal
            }
        }
    }

    /// A residual block (He et al., 2016) as a cell of edges that nobody searches: two 3×3 convolutions of which the first
    /// reduces the size, and beside them the means of windows of that size and a 1×1 convolution.
    fn residual_block(&mut self, inputs: usize) {
        let prefix = format!("cells.{}", self.cells.len());
        let (outputs, norm) = (self.channels, Norm::Affine);
        let convolve = Expression::Convolve { kernel: [1, 3, 3], padding: Padding::Same, activated: true };
        let stride = self.space.stride;
        let mut edge = |name: &str, [from, node, inputs]: [usize; 3], stride, operation: Expression| {
            let edge = Edge { inputs, outputs, stride, operations: vec![operation], norm, epsilon: Epsilon::USUAL };
            CellEdge { from, node, mixed: None, block: self.block(format!("{prefix}.{name}"), 0, edge) }
        };
        let edges = vec![
            edge("conv_a", [0, 0, inputs], stride, convolve.clone()),
            edge("conv_b", [1, 1, outputs], UNIT, convolve),
            edge("downsample", [0, 1, inputs], stride, Expression::Shrink),
        ];
        self.push(Cell { kind: None, inputs: 1, preprocess: Vec::new(), edges, concat: vec![2], share: 1 });
    }

    fn preprocess(&mut self) -> Vec<Block> {
        if self.space.preprocessing == Preprocessing::Absent {
            return Vec::new();
        }
        let prefix = format!("cells.{}", self.cells.len());
        let (outputs, norm) = (self.channels, self.norm);
        let read = [(self.before, self.catch_up), (self.last, UNIT)];
        let read = read.into_iter().skip(2 - self.space.inputs).enumerate();
        let mut block = |index: usize, inputs: usize, stride: Extent| {
            let operation = if stride == UNIT { Expression::Project } else { Expression::Skip };
            let edge = Edge { inputs, outputs, stride, operations: vec![operation], norm, epsilon: Epsilon::USUAL };
            self.block(format!("{prefix}.pre{index}"), 0, edge)
        };
        read.map(|(index, (inputs, stride))| block(index, inputs, stride)).collect()
    }

    /// The edge of the current cell that runs `operations` from state `from`, on one of `share` parts of its channels.
    fn edge(&self, kind: CellKind, from: usize, operations: Vec<Expression>, share: usize) -> Edge {
        let stride = match kind {
            CellKind::Reduction if from < self.space.inputs => self.space.stride,
            _ => UNIT,
        };
        let channels = self.channels / share;
        Edge { inputs: channels, outputs: channels, stride, operations, norm: self.norm, epsilon: Epsilon::USUAL }
    }

    fn search_cell(&mut self, kind: CellKind, candidates: &[Vec<&'static Operation>], share: usize) {
        let index = self.cells.len();
        let preprocess = self.preprocess();
        let mut edges = Vec::with_capacity(candidates.len());
        for (row, (place, operations)) in self.space.edges().zip(candidates).enumerate() {
            let operations = operations.iter().map(|operation| operation.expression.clone()).collect();
            let edge = self.edge(kind, place.from, operations, share);
            let block = self.block(format!("cells.{index}.edges.{row}"), 0, edge);
            edges.push(CellEdge { from: place.from, node: place.node, mixed: Some(row), block });
        }
        let concat = self.space.concat();
        self.push(Cell { kind: Some(kind), inputs: self.space.inputs, preprocess, edges, concat, share });
    }

    fn derived_cell(&mut self, kind: CellKind, genes: &Genes) {
        let index = self.cells.len();
        let preprocess = self.preprocess();
        let mut edges = Vec::new();
        for (node, gene) in genes.edges() {
            let edge = self.edge(kind, gene.from, vec![gene.operation.expression.clone()], 1);
            let block = self.block(format!("cells.{index}.ops.{}", edges.len()), 0, edge);
            edges.push(CellEdge { from: gene.from, node, mixed: None, block });
        }
        let concat = genes.concat.clone();
        self.push(Cell { kind: Some(kind), inputs: self.space.inputs, preprocess, edges, concat, share: 1 });
    }

    fn push(&mut self, cell: Cell) {
        self.catch_up = match cell.kind {
            Some(CellKind::Normal) => UNIT,
            Some(CellKind::Reduction) | None => self.space.stride,
        };
        (self.before, self.last) = (self.last, self.channels.saturating_mul(cell.concat.len()));
        self.cells.push(cell);
    }

    fn auxiliary(&mut self, stem: Stem, after: usize, inputs: usize, classes: usize) -> Auxiliary {
        let (stride, last_norm) = match stem {
            Stem::Cifar => (3, Norm::Affine),
            Stem::Imagenet | Stem::Video => (2, Norm::Absent),
        };
        let convolve = |[inputs, outputs]: [usize; 2], side: usize, activated: bool, norm: Norm| Edge {
            inputs,
            outputs,
            stride: UNIT,
            operations: vec![Expression::Convolve { kernel: [1, side, side], padding: Padding::Valid, activated }],
            norm,
            epsilon: Epsilon::USUAL,
        };
        let name = || "aux.features".to_owned();
        let first = self.block(name(), 2, convolve([inputs, 128], 1, false, Norm::Affine));
        let second = self.block(name(), 4, convolve([128, 768], 2, true, last_norm));
        let classifier = self.linear("aux.classifier", 768, classes);
        Auxiliary { after, stride, convolutions: [first, second], classifier }
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        self.slots += 1;
        Linear { name: name.to_owned(), slot: self.slots - 1, inputs, outputs }
    }

    fn finish(mut self, classes: usize, auxiliary: Option<Auxiliary>) -> Network {
        let closing = (self.space.closing == Closing::Normalised).then(|| {
            let (channels, operations) = (self.last, vec![Expression::Normalise]);
            let edge = Edge {
                inputs: channels,
                outputs: channels,
                stride: UNIT,
                operations,
                norm: Norm::Affine,
                epsilon: Epsilon::USUAL,
            };
            self.block("lastact".to_owned(), 0, edge)
        });
        let classifier = self.linear("classifier", self.last, classes);
        Network {
            stem: self.stem,
            second_stem: self.second_stem,
            cells: self.cells,
            auxiliary,
            closing,
            classifier,
            slots: self.slots,
        }
    }
}
