//! The reduced spaces in which one-shot search is known to fail (Zela, Elsken, Saikia, Marrakchi, Brox, Hutter, 2020,
//! section 3): the cells of DARTS with two or three operations an edge. S1's lists, which its authors got by searching
//! twice, are those of their public code.

use super::image::{AVG_POOL_3, DIL_CONV_3, DIL_CONV_5, MAX_POOL_3, NONE, SEP_CONV_3, SKIP, cells};
use super::{Operation, OperationKind, Space};
use sdas_kernels::Expression;

/// Two operations an edge, other ones on each.
pub static S1: Space = Space {
    by_edge: &[NORMAL, REDUCTION],
    ..cells("s1", &[MAX_POOL_3, AVG_POOL_3, SKIP, SEP_CONV_3, DIL_CONV_3, DIL_CONV_5])
};
/// A skip connection or a separable convolution.
pub static S2: Space = cells("s2", &[SKIP, SEP_CONV_3]);
/// Those of [`S2`], and `none`, which is never chosen.
pub static S3: Space = cells("s3", &[NONE, SKIP, SEP_CONV_3]);

/// A separable convolution, or random numbers in place of the edge's state: an operation that no search should take.
pub static S4: Space = cells("s4", &[NOISE, SEP_CONV_3]);

/// N(0, 1), drawn anew in every pass.
const NOISE: Operation = Operation { name: "noise", kind: OperationKind::Noise, expression: Expression::Noise };

type Pair = &'static [&'static str];

const SKIP_SEP: Pair = &[SKIP.name, SEP_CONV_3.name];
const SKIP_DIL3: Pair = &[SKIP.name, DIL_CONV_3.name];
const SKIP_DIL5: Pair = &[SKIP.name, DIL_CONV_5.name];
const MAX_SKIP: Pair = &[MAX_POOL_3.name, SKIP.name];
const MAX_AVG: Pair = &[MAX_POOL_3.name, AVG_POOL_3.name];
const MAX_SEP: Pair = &[MAX_POOL_3.name, SEP_CONV_3.name];
const MAX_DIL3: Pair = &[MAX_POOL_3.name, DIL_CONV_3.name];
const DIL3_DIL5: Pair = &[DIL_CONV_3.name, DIL_CONV_5.name];

#[rustfmt::skip] // One node a line.
const NORMAL: &[Pair] = &[
    SKIP_DIL3, SKIP_DIL5,
    SKIP_DIL5, SKIP_SEP, SKIP_DIL3,
    MAX_SKIP, SKIP_SEP, SKIP_SEP, SKIP_DIL3,
    SKIP_SEP, MAX_SKIP, SKIP_DIL3, DIL3_DIL5, DIL3_DIL5,
];

#[rustfmt::skip] // One node a line.
const REDUCTION: &[Pair] = &[
    MAX_AVG, MAX_DIL3,
    MAX_AVG, MAX_AVG, SKIP_DIL5,
    MAX_AVG, MAX_SEP, SKIP_DIL3, SKIP_DIL5,
    MAX_AVG, MAX_AVG, SKIP_DIL5, SKIP_DIL5, SKIP_DIL5,
];
