//! The operations for images: those of DARTS (Liu, Simonyan, Yang, 2018, section 3.1).

use super::{Operation, OperationKind};
use sdas_kernels::{Expression, Pool, Stage};

const K3: [usize; 3] = [1, 3, 3];
const K5: [usize; 3] = [1, 5, 5];
const APART: [usize; 3] = [1, 2, 2];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "none", kind: OperationKind::None, expression: Expression::Zero },
    Operation {
        name: "max_pool_3x3",
        kind: OperationKind::Pool,
        expression: Expression::Pool { pool: Pool::Max, kernel: K3 },
    },
    Operation {
        name: "avg_pool_3x3",
        kind: OperationKind::Pool,
        expression: Expression::Pool { pool: Pool::Average, kernel: K3 },
    },
    Operation { name: "skip_connect", kind: OperationKind::Skip, expression: Expression::Skip },
    Operation {
        name: "sep_conv_3x3",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::strided(K3), Stage::unstrided(K3)]),
    },
    Operation {
        name: "sep_conv_5x5",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::strided(K5), Stage::unstrided(K5)]),
    },
    Operation {
        name: "dil_conv_3x3",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::dilated(K3, APART)]),
    },
    Operation {
        name: "dil_conv_5x5",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::dilated(K5, APART)]),
    },
];
