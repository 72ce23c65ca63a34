//! The space of NAS-Bench-201 (Dong, Yang, 2020, section 2.1): one kind of cell, in which every edge has an operation or
//! `none`, between fixed residual blocks (He et al., 2016).

use super::{Between, Closing, Keep, Operation, OperationKind, Output, Preprocessing, Space, Stem};
use sdas_kernels::{Expression, Padding};

/// The space of NAS-Bench-201.
pub static NB201: Space = Space {
    name: "nb201",
    operations: &[
        Operation { name: "none", kind: OperationKind::None, expression: Expression::Zero },
        Operation { name: "skip_connect", kind: OperationKind::Skip, expression: Expression::Skip },
        convolution("nor_conv_1x1", 1),
        convolution("nor_conv_3x3", 3),
        Operation {
            name: "avg_pool_3x3",
            kind: OperationKind::Pool,
            expression: Expression::AveragePool { kernel: [1, 3, 3] },
        },
    ],
    by_edge: &[],
    inputs: 1,
    nodes: 3,
    preprocessing: Preprocessing::Absent,
    keep: Keep::EveryEdge,
    none_is_chosen: true,
    output: Output::LastNode,
    between: Between::ResidualBlocks,
    stride: [1, 2, 2],
    stem_kernel: [1, 3, 3],
    stem_width: 1,
    stems: &[Stem::Cifar],
    closing: Closing::Normalised,
    usual: [16, 15],
};

const fn convolution(name: &'static str, side: usize) -> Operation {
    let expression = Expression::Convolve { kernel: [1, side, side], padding: Padding::Same, activated: true };
    Operation { name, kind: OperationKind::Spatial, expression }
}
