//! Linear layers.

use crate::{Edge, Epsilon, Expression, Mode, Norm, Padding, is_by_hand};
use burn::tensor::Tensor;

/// `input`, `[N, inputs]`, times `weights`, `[inputs × outputs]` in rows.
///
/// It is the dense product of an edge over N pixels: the tensor library's own adds in another order on other processors, and
/// rounds its factors to a shorter format on graphics cards.
///
/// # Panics
///
/// If the weights are not as many.
pub fn linear(input: Tensor<2>, weights: Tensor<1>, outputs: usize) -> Tensor<2> {
    let [samples, inputs] = input.dims();
    let product = Expression::Convolve { kernel: [1; 3], padding: Padding::Same, activated: false };
    let edge = Edge {
        inputs,
        outputs,
        stride: [1; 3],
        operations: vec![product],
        norm: Norm::Absent,
        epsilon: Epsilon::USUAL,
    };
    let input = input.reshape([1, 1, 1, samples, inputs]);
    edge.forward(input, Some(weights), None, Mode::Batch).activation.reshape([samples, outputs])
}

/// The matrix product of each pair, `[N, rows, inputs]` times `[N, inputs, outputs]`: a linear layer each, for the same
/// reasons, where that is computed in one piece.
///
/// # Panics
///
/// If the pairs are not as many, or do not fit.
pub fn products(left: Tensor<3>, right: Tensor<3>) -> Tensor<3> {
    if !is_by_hand(&left) {
        return left.matmul(right);
    }
    let [pairs, rows, inputs] = left.dims();
    let outputs = right.dims()[2];
    assert_eq!(right.dims(), [pairs, inputs, outputs], "the matrices to multiply by {:?}", left.dims());
    let product = |pair: usize| {
        let left = left.clone().narrow(0, pair, 1).reshape([rows, inputs]);
        let right = right.clone().narrow(0, pair, 1).reshape([inputs * outputs]);
        linear(left, right, outputs).reshape([1, rows, outputs])
    };
    Tensor::cat((0..pairs).map(product).collect(), 0)
}
