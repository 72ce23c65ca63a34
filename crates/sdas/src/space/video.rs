//! The space for clips: the cells of DARTS with operations across time. Ours: the paper's list is not public. Names give the kernel as time × height × width.

use super::image::cells;
use super::{Operation, OperationKind, Space};
use sdas_kernels::{Expression, Pool, Stage};

const SPACE: [usize; 3] = [1, 3, 3];
const TIME: [usize; 3] = [3, 1, 1];
const BOTH: [usize; 3] = [3, 3, 3];

/// The space for clips.
pub static VIDEO: Space = Space { stride: [2, 2, 2], stem_kernel: BOTH, ..cells("video", OPERATIONS) };

const OPERATIONS: &[Operation] = &[
    Operation { name: "none", kind: OperationKind::None, expression: Expression::Zero },
    Operation {
        name: "max_pool_3x3x3",
        kind: OperationKind::Pool,
        expression: Expression::Pool { pool: Pool::Max, kernel: BOTH },
    },
    Operation {
        name: "avg_pool_3x3x3",
        kind: OperationKind::Pool,
        expression: Expression::Pool { pool: Pool::Average, kernel: BOTH },
    },
    Operation { name: "skip_connect", kind: OperationKind::Skip, expression: Expression::Skip },
    Operation {
        name: "sep_conv_1x3x3",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::strided(SPACE), Stage::unstrided(SPACE)]),
    },
    Operation {
        name: "sep_conv_3x1x1",
        kind: OperationKind::Temporal,
        expression: Expression::Chain(&[Stage::strided(TIME), Stage::unstrided(TIME)]),
    },
    Operation {
        name: "sep_conv_3x3x3",
        kind: OperationKind::SpaceTime,
        expression: Expression::Chain(&[Stage::strided(BOTH), Stage::unstrided(BOTH)]),
    },
    Operation {
        name: "p3d_a_3x3x3",
        kind: OperationKind::SpaceTime,
        expression: Expression::Chain(&[
            Stage { strided: [false, true, true], ..Stage::strided(SPACE) },
            Stage { strided: [true, false, false], ..Stage::strided(TIME) },
        ]),
    },
    Operation {
        name: "p3d_b_3x3x3",
        kind: OperationKind::SpaceTime,
        expression: Expression::Parallel(&[Stage::strided(SPACE), Stage::strided(TIME)]),
    },
    Operation {
        name: "p3d_c_3x3x3",
        kind: OperationKind::SpaceTime,
        expression: Expression::Compromise { spatial: Stage::strided(SPACE), temporal: Stage::unstrided(TIME) },
    },
    Operation {
        name: "dil_conv_1x3x3",
        kind: OperationKind::Spatial,
        expression: Expression::Chain(&[Stage::dilated(SPACE, [1, 2, 2])]),
    },
    Operation {
        name: "dil_conv_3x1x1",
        kind: OperationKind::Temporal,
        expression: Expression::Chain(&[Stage::dilated(TIME, [2, 1, 1])]),
    },
    Operation { name: "temporal_diff", kind: OperationKind::Temporal, expression: Expression::TemporalDifference },
];
