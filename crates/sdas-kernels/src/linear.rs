//! Linear layers.

use crate::{Edge, Epsilon, Expression, Mode, Norm, Padding};
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
