//! The auxiliary head: a second classifier in the middle, whose loss helps the early cells learn.

use super::average;
use super::block::{Block, BlockPass, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use sdas_kernels::Extent;

/// ReLU, 5×5 average pool, 1×1 convolution, norm, ReLU, 2×2 convolution, (norm,) ReLU, linear (DARTS' heads).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auxiliary {
    /// The cell that it reads.
    pub after: usize,
    /// Stride of the pool: 3 for CIFAR, 2 for ImageNet.
    pub stride: usize,
    /// The 1×1 and the 2×2 convolution.
    pub convolutions: [Block; 2],
    /// To the logits.
    pub classifier: Linear,
}

/// Side of the pool's window.
const WINDOW: usize = 5;

impl Auxiliary {
    /// `[N, 1, H, W, C]` to `[N, classes]`. Features are averaged over what is left of the picture: one pixel at the
    /// size that the head was made for.
    pub(super) fn forward(&self, pass: &mut BlockPass<'_>, x: Tensor<5>) -> Tensor<2> {
        let [n, t, h, w, c] = x.dims();
        let options = AvgPoolOptions { stride: [self.stride; 2], ..AvgPoolOptions::new([WINDOW; 2]) };
        let planes = relu(x).reshape([n * t, h, w, c]).permute([0, 3, 1, 2]);
        let pooled = avg_pool2d(planes, options).permute([0, 2, 3, 1]);
        let [_, h, w, _] = pooled.dims();
        let x = pooled.reshape([n, t, h, w, c]);
        let x = self.convolutions.iter().fold(x, |x, block| block.forward(pass, x));
        self.classifier.forward(pass.weights, average(relu(x)))
    }

    /// Size after the pool of features of size `extent`; `None` where they are too small for the head.
    pub fn pooled(&self, extent: Extent) -> Option<Extent> {
        let [t, h, w] = extent;
        let pool = |size: usize| size.checked_sub(WINDOW).map(|room| room / self.stride + 1).filter(|&left| left >= 2);
        Some([t, pool(h)?, pool(w)?])
    }
}
