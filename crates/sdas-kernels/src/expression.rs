//! Operations as data: a small expression over stages.

/// Sizes along time, height and width.
pub type Extent = [usize; 3];

/// ReLU, depthwise convolution ("same" padding), 1×1 convolution, batch norm: the building block of every convolutional
/// candidate operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stage {
    /// Size of the depthwise kernel; odd along every axis.
    pub kernel: Extent,
    /// Distance between the kernel's taps.
    pub dilation: Extent,
    /// The axes along which this stage takes the edge's stride; the others keep their size.
    pub strided: [bool; 3],
}

impl Stage {
    /// A stage that takes the edge's stride along every axis.
    pub const fn strided(kernel: Extent) -> Self {
        Stage { kernel, dilation: [1, 1, 1], strided: [true, true, true] }
    }

    /// A stage that keeps the size of its input.
    pub const fn unstrided(kernel: Extent) -> Self {
        Stage { strided: [false, false, false], ..Stage::strided(kernel) }
    }

    /// A strided stage whose taps lie `dilation` apart.
    pub const fn dilated(kernel: Extent, dilation: Extent) -> Self {
        Stage { dilation, ..Stage::strided(kernel) }
    }

    /// The stage's own stride on an edge of stride `edge`.
    pub fn stride(&self, edge: Extent) -> Extent {
        std::array::from_fn(|axis| if self.strided[axis] { edge[axis] } else { 1 })
    }
}

/// What a pooling window takes of the elements under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The largest element.
    Max,
    /// The mean over the real elements, those outside the picture not counted.
    Average,
}

/// What a convolution does at the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Zeros, half a kernel wide: stride 1 keeps the size.
    Same,
    /// None: only windows that lie inside.
    Valid,
}

/// One operation, from an activation to an activation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expression {
    /// Zeros of the output's shape: the absence of an edge.
    Zero,
    /// Random numbers in place of anything of the input: what a [`Link`](crate::Link) brings with it. An edge alone has none,
    /// and zeros in their place.
    Noise,
    /// The identity; where the stride or the number of channels changes, a factorized reduce: ReLU, two strided 1×1
    /// convolutions, the second over the input shifted by one along every strided axis (zeros beyond its end, so that
    /// odd sizes work), concatenated, batch norm.
    Skip,
    /// Pooling with "same" padding. Batch norm follows only where the edge has no affine norms (the search phase).
    Pool {
        /// What is taken of a window.
        pool: Pool,
        /// Size of the window; odd along every axis.
        kernel: Extent,
    },
    /// Average pooling with "same" padding, elements outside the picture not counted, which no norm ever follows.
    AveragePool {
        /// Size of the window; odd along every axis.
        kernel: Extent,
    },
    /// Average pooling whose window is the edge's stride, without padding, then a 1×1 convolution without norm: a residual
    /// block's way past its convolutions. At an end that a window does not fill, what is there is averaged, so that the
    /// size is that of any other strided operation.
    Shrink,
    /// The largest element of each window of the edge's stride, without padding, which no norm ever follows; of a window that
    /// reaches beyond an end, of what is there. Where the stride is one, the identity. It is how channels pass by an edge that
    /// works on a part of them (Xu et al., 2020).
    Largest,
    /// Stages one after another.
    Chain(&'static [Stage]),
    /// The sum of stages over the same input (P3D-B; Qiu, Yao, Mei, 2017).
    Parallel(&'static [Stage]),
    /// `y = S(x); y + T(y)` (P3D-C; Qiu, Yao, Mei, 2017).
    Compromise {
        /// S, which takes the edge's stride.
        spatial: Stage,
        /// T.
        temporal: Stage,
    },
    /// ReLU, `x[t] - x[t-1]` (zero for the first frame), strided 1×1 convolution, batch norm: motion, not appearance.
    TemporalDifference,
    /// ReLU, 1×1 convolution, batch norm: a cell's preprocessing layer.
    Project,
    /// Batch norm alone: before a head that begins with a ReLU.
    Normalise,
    /// A dense convolution and batch norm: stems and heads, and candidate operations.
    Convolve {
        /// Size of the kernel.
        kernel: Extent,
        /// What happens at the border.
        padding: Padding,
        /// Whether a ReLU comes first.
        activated: bool,
    },
}
