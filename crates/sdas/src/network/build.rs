//! Building networks from a genotype, or from a search space.

use super::{Auxiliary, Block, Cell, CellEdge, Linear, Network};
use crate::genotype::{Genes, Genotype};
use crate::space::{CellKind, EDGES, INPUTS, Space, SpaceName, edges, reduction_cells};
use sdas_kernels::{Edge, Expression, Extent, Norm, Padding};
use serde::{Deserialize, Serialize};

/// What lies before the first cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// One 3×3 convolution to three times the channels, at full size.
    Cifar,
    /// Three 3×3 convolutions of stride 2: the cells' inputs at 1/4 and 1/8.
    Imagenet,
    /// 3×3×3 convolutions of strides (1,2,2), (2,2,2), (1,2,2): the cells' inputs at 1/4 and 1/8 of the size, half the
    /// frames.
    Video,
}

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
            let kind = builder.next_cell(shape.cells);
            let genes = match kind {
                CellKind::Normal => &genotype.normal,
                CellKind::Reduction => &genotype.reduction,
            };
            builder.derived_cell(kind, genes);
            if shape.auxiliary && index == 2 * shape.cells / 3 {
                auxiliary_at = Some((index, builder.last));
            }
        }
        let auxiliary =
            auxiliary_at.map(|(after, channels)| builder.auxiliary(shape.stem, after, channels, shape.classes));
        builder.finish(shape.classes, auxiliary)
    }

    /// The supernet of a space: every edge of every cell mixes all candidate operations. `stem_stride` is that of its one
    /// 3×3(×3) convolution.
    pub fn supernet(
        space: &Space,
        channels: usize,
        cells: usize,
        classes: usize,
        inputs: usize,
        stem_stride: Extent,
    ) -> Network {
        let mut builder = Builder::new(space.name, channels, Norm::Plain);
        builder.supernet_stem(inputs, stem_stride);
        let operations: Vec<_> = space.operations.iter().map(|operation| operation.expression.clone()).collect();
        for _ in 0..cells {
            let kind = builder.next_cell(cells);
            builder.search_cell(kind, &operations);
        }
        builder.finish(classes, None)
    }
}

/// Puts a network together, cell by cell, and hands out slots.
pub struct Builder {
    space: SpaceName,
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
    fn new(space: SpaceName, channels: usize, norm: Norm) -> Self {
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

    /// A 3×3 convolution with affine norm, 3×3×3 for clips.
    fn stem_block(
        &mut self,
        name: &str,
        first_layer: usize,
        [inputs, outputs]: [usize; 2],
        stride: Extent,
        activated: bool,
    ) -> Block {
        let kernel = match self.space {
            SpaceName::Image => [1, 3, 3],
            SpaceName::Video => [3, 3, 3],
        };
        let convolve = Expression::Convolve { kernel, padding: Padding::Same, activated };
        self.block(
            name.to_owned(),
            first_layer,
            Edge { inputs, outputs, stride, operations: vec![convolve], norm: Norm::Affine },
        )
    }

    fn supernet_stem(&mut self, inputs: usize, stride: Extent) {
        let outputs = self.channels.saturating_mul(3);
        let block = self.stem_block("stem", 0, [inputs, outputs], stride, false);
        self.stem.push(block);
        (self.before, self.last) = (outputs, outputs);
    }

    fn stem(&mut self, stem: Stem, inputs: usize) {
        let c = self.channels;
        let strides = match stem {
            Stem::Cifar => return self.supernet_stem(inputs, UNIT),
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

    /// Kind of the cell that comes next, of `cells`; a reduction cell doubles the channels.
    fn next_cell(&mut self, cells: usize) -> CellKind {
        if reduction_cells(cells).contains(&self.cells.len()) {
            self.channels = self.channels.saturating_mul(2);
            CellKind::Reduction
        } else {
            CellKind::Normal
        }
    }

    fn preprocess(&mut self) -> [Block; INPUTS] {
        let prefix = format!("cells.{}", self.cells.len());
        let (outputs, norm) = (self.channels, self.norm);
        let (first, stride) = match self.catch_up {
            UNIT => (Expression::Project, UNIT),
            stride => (Expression::Skip, stride),
        };
        let (before, last) = (self.before, self.last);
        let first = Edge { inputs: before, outputs, stride, operations: vec![first], norm };
        let second = Edge { inputs: last, outputs, stride: UNIT, operations: vec![Expression::Project], norm };
        [self.block(format!("{prefix}.pre0"), 0, first), self.block(format!("{prefix}.pre1"), 0, second)]
    }

    /// The edge of the current cell that runs `operations` from state `from`.
    fn edge(&self, kind: CellKind, from: usize, operations: Vec<Expression>) -> Edge {
        let stride = match kind {
            CellKind::Reduction if from < INPUTS => self.space.reduction_stride(),
            _ => UNIT,
        };
        Edge { inputs: self.channels, outputs: self.channels, stride, operations, norm: self.norm }
    }

    fn search_cell(&mut self, kind: CellKind, operations: &[Expression]) {
        let index = self.cells.len();
        let preprocess = self.preprocess();
        let mut cell_edges = Vec::with_capacity(EDGES);
        for (row, place) in edges().enumerate() {
            let edge = self.edge(kind, place.from, operations.to_vec());
            let block = self.block(format!("cells.{index}.edges.{row}"), 0, edge);
            cell_edges.push(CellEdge { from: place.from, node: place.node, mixed: Some(row), block });
        }
        self.push(Cell { kind, preprocess, edges: cell_edges, concat: vec![2, 3, 4, 5] });
    }

    fn derived_cell(&mut self, kind: CellKind, genes: &Genes) {
        let index = self.cells.len();
        let preprocess = self.preprocess();
        let mut cell_edges = Vec::new();
        for (place, gene) in genes.nodes.iter().flatten().enumerate() {
            let edge = self.edge(kind, gene.from, vec![gene.operation.expression.clone()]);
            let block = self.block(format!("cells.{index}.ops.{place}"), 0, edge);
            cell_edges.push(CellEdge { from: gene.from, node: place / 2, mixed: None, block });
        }
        self.push(Cell { kind, preprocess, edges: cell_edges, concat: genes.concat.clone() });
    }

    fn push(&mut self, cell: Cell) {
        self.catch_up = match cell.kind {
            CellKind::Normal => UNIT,
            CellKind::Reduction => self.space.reduction_stride(),
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
        let classifier = self.linear("classifier", self.last, classes);
        Network {
            stem: self.stem,
            second_stem: self.second_stem,
            cells: self.cells,
            auxiliary,
            classifier,
            slots: self.slots,
        }
    }
}
