//! Linear layers.

use crate::{Edge, Expression, Mode, Norm, Padding};
use burn::tensor::{Device, Tensor};

/// `input`, `[N, inputs]`, times `weights`, `[inputs × outputs]` in rows.
///
/// On the CPU that is the tensor library's product. On graphics cards it is the dense product of an edge: the library's
/// would round its factors to a shorter format there.
///
/// # Panics
///
/// If the weights are not as many.
pub fn linear(input: Tensor<2>, weights: Tensor<1>, outputs: usize) -> Tensor<2> {
    let [samples, inputs] = input.dims();
    if input.device() == Device::flex() {
        return input.matmul(weights.reshape([inputs, outputs]));
    }
    let product = Expression::Convolve { kernel: [1; 3], padding: Padding::Valid, activated: false };
    let edge = Edge { inputs, outputs, stride: [1; 3], operations: vec![product], norm: Norm::Absent };
    let input = input.reshape([samples, 1, 1, 1, inputs]);
    edge.forward(input, Some(weights), None, Mode::Batch).activation.reshape([samples, outputs])
}
