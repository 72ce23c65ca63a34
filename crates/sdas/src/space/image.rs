//! The space for images: cells and operations of DARTS (Liu, Simonyan, Yang, 2018, section 3.1).

use super::{Between, Closing, Keep, Operation, OperationKind, Output, Preprocessing, Space, Stem};
use sdas_kernels::{Expression, Pool, Stage};

const K3: [usize; 3] = [1, 3, 3];
const K5: [usize; 3] = [1, 5, 5];
const APART: [usize; 3] = [1, 2, 2];

pub(super) const NONE: Operation = Operation { name: "none", kind: OperationKind::None, expression: Expression::Zero };
pub(super) const MAX_POOL_3: Operation = pool("max_pool_3x3", Pool::Max);
pub(super) const AVG_POOL_3: Operation = pool("avg_pool_3x3", Pool::Average);
pub(super) const SKIP: Operation =
    Operation { name: "skip_connect", kind: OperationKind::Skip, expression: Expression::Skip };
pub(super) const SEP_CONV_3: Operation = chain("sep_conv_3x3", &[Stage::strided(K3), Stage::unstrided(K3)]);
pub(super) const SEP_CONV_5: Operation = chain("sep_conv_5x5", &[Stage::strided(K5), Stage::unstrided(K5)]);
pub(super) const DIL_CONV_3: Operation = chain("dil_conv_3x3", &[Stage::dilated(K3, APART)]);
pub(super) const DIL_CONV_5: Operation = chain("dil_conv_5x5", &[Stage::dilated(K5, APART)]);

const fn pool(name: &'static str, pool: Pool) -> Operation {
    Operation { name, kind: OperationKind::Pool, expression: Expression::Pool { pool, kernel: K3 } }
}

const fn chain(name: &'static str, stages: &'static [Stage]) -> Operation {
    Operation { name, kind: OperationKind::Spatial, expression: Expression::Chain(stages) }
}

/// The space of DARTS.
pub static IMAGE: Space =
    cells("image", &[NONE, MAX_POOL_3, AVG_POOL_3, SKIP, SEP_CONV_3, SEP_CONV_5, DIL_CONV_3, DIL_CONV_5]);

/// The cells and the skeleton of DARTS with these operations.
pub(super) const fn cells(name: &'static str, operations: &'static [Operation]) -> Space {
    Space {
        name,
        operations,
        by_edge: &[],
        inputs: 2,
        nodes: 4,
        preprocessing: Preprocessing::Projected,
        keep: Keep::TwoEdges,
        none_is_chosen: false,
        output: Output::Nodes,
        between: Between::ReductionCells,
        stride: [1, 2, 2],
        stem_kernel: [1, 3, 3],
        stem_width: 3,
        stems: &[Stem::Cifar, Stem::Imagenet, Stem::Video],
        closing: Closing::Absent,
        usual: [36, 20],
    }
}
