//! What a launch works on, as data: rows of numbers in a buffer, so that one kernel serves units of every shape and one
//! launch all of them.

/// Numbers of a row.
pub(super) const WIDTH: usize = 43;

/// Units of a cube in most kernels.
pub(super) const UNITS: usize = 256;

/// Stands for "none" where a row holds an offset.
pub(super) const NONE: i32 = -1;

/// Places in the row of a product or a pool. Offsets and lengths of activations and weights count vectors; of a pixel's
/// channels there are so many vectors.
pub(super) mod piece {
    /// Input and output extents, then the window: kernel, dilation, stride, padding; three numbers each.
    pub const WINDOW: usize = 0;
    /// Output pixels of the whole batch.
    pub const PIXELS: usize = 18;
    /// Pixels that one cube works on.
    pub const RANGE: usize = 19;
    /// Where the unit's results start.
    pub const RESULT: usize = 20;
    /// Where the results of the unit that it reads start.
    pub const SOURCE: usize = 21;
    /// The norm of that unit.
    pub const SOURCE_NORMAL: usize = 22;
    /// The matrix.
    pub const MATRIX: usize = 23;
    /// The depthwise weights.
    pub const DEPTHWISE: usize = 24;
    /// Channels read by a tap.
    pub const INPUTS: usize = 25;
    /// Columns of the matrix.
    pub const OUTPUTS: usize = 26;
    /// The first channel of the result that the matrix makes.
    pub const FIRST: usize = 27;
    /// Whether the input goes through a ReLU.
    pub const ACTIVATED: usize = 28;
    /// Whether a row is the difference to the frame before.
    pub const DIFFERENCE: usize = 29;
    /// Where the cubes' sums go.
    pub const PARTIAL: usize = 30;
    /// The gradient of the link's node.
    pub const GRADIENT: usize = 31;
    /// The gradient of the unit's normed result, where other units read that.
    pub const INNER: usize = 32;
    /// The factors of the samples.
    pub const FACTORS: usize = 33;
    /// The norm's way back.
    pub const BACK: usize = 34;
    /// Where the rows' gradient goes.
    pub const ROWS: usize = 35;
    /// Where partial sums of the matrix's gradient go; a pool's indices of its maxima.
    pub const MATRIX_SUMS: usize = 36;
    /// Where partial sums of the depthwise weights' gradient go.
    pub const DEPTHWISE_SUMS: usize = 37;
    /// What a row's gradient that also goes to a node is multiplied by.
    pub const MIX: usize = 38;
    /// What it is: [`super::kind`].
    pub const KIND: usize = 39;
    /// Pixels that one cube sums weights' gradients over.
    pub const SUMS_RANGE: usize = 40;
    /// Its window among those that the kernel was compiled for.
    pub const SHAPE: usize = 41;
    /// Vectors from a pixel of that node to the next.
    pub const PITCH: usize = 42;
}

/// What a piece is.
pub(super) mod kind {
    pub const DEPTHWISE: i32 = 0;
    pub const DENSE: i32 = 1;
    pub const MAXIMUM: i32 = 2;
    pub const AVERAGE: i32 = 3;
    pub const IDENTITY: i32 = 4;
    /// A product of means over windows of the stride's size, side by side.
    pub const MEANS: i32 = 5;
}

/// Places in the row of a norm.
pub(super) mod norm {
    pub const NORMAL: usize = 0;
    /// 0: none, 1: by the batch, 2: by running statistics.
    pub const KIND: usize = 1;
    pub const PARTIAL: usize = 2;
    pub const PIXELS: usize = 3;
    pub const RANGE: usize = 4;
    /// Learnt scale and shift.
    pub const AFFINE: usize = 5;
    pub const STATISTICS: usize = 6;
    /// What is added to variances, as the bits of a float.
    pub const EPSILON: usize = 7;
}

/// Places in the row of a node: its terms, and where it lies in the output.
pub(super) mod node {
    pub const FIRST: usize = 0;
    pub const COUNT: usize = 1;
    pub const OUTPUT: usize = 2;
    /// Whether something stands there already.
    pub const BEGUN: usize = 3;
    /// Vectors from a pixel of it to the next.
    pub const PITCH: usize = 4;
    /// Of a pool's result in its place: the pool's row.
    pub const PIECE: usize = 5;
}

/// Places in the row of a term.
pub(super) mod term {
    /// The unit's results; none for the input itself.
    pub const RESULT: usize = 0;
    pub const NORMAL: usize = 1;
    pub const MIX: usize = 2;
    pub const FACTORS: usize = 3;
    /// The gradient of the node.
    pub const GRADIENT: usize = 4;
    pub const PIXELS: usize = 5;
    pub const RANGE: usize = 6;
    pub const PARTIAL: usize = 7;
    /// The norm's way back; none where it is taken from elsewhere.
    pub const BACK: usize = 8;
    /// Whether the norm depends on the batch.
    pub const BATCH: usize = 9;
    /// Where the gradient of learnt scale and shift goes.
    pub const AFFINE: usize = 10;
    /// Vectors from a pixel of that node to the next.
    pub const PITCH: usize = 11;
}

/// Places in the row of an operation of a link: its terms, and its mix.
pub(super) mod entry {
    pub const FIRST: usize = 0;
    pub const COUNT: usize = 1;
    /// Where the mix's gradient goes.
    pub const GRADIENT: usize = 2;
}

/// Places in the row of a sum over cubes.
pub(super) mod sum {
    pub const PARTIAL: usize = 0;
    pub const PARTS: usize = 1;
    pub const LENGTH: usize = 2;
    pub const TO: usize = 3;
}

/// Rows being written.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<i32>);

/// Rows of one sort, one behind the other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rows {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Table {
    pub(super) fn rows(&self) -> usize {
        self.0.len() / WIDTH
    }

    /// Adds a row that holds `values` at their places.
    pub(super) fn add(&mut self, values: &[(usize, i32)]) -> usize {
        let start = self.0.len();
        self.0.resize(start + WIDTH, NONE);
        for &(at, value) in values {
            self.0[start + at] = value;
        }
        start / WIDTH
    }

    pub(super) fn set(&mut self, row: usize, at: usize, value: i32) {
        self.0[row * WIDTH + at] = value;
    }

    pub(super) fn get(&self, row: usize, at: usize) -> i32 {
        self.0[row * WIDTH + at]
    }

    /// Copies a row to the end.
    pub(super) fn repeat(&mut self, row: usize) -> usize {
        let start = self.0.len();
        self.0.extend_from_within(row * WIDTH..(row + 1) * WIDTH);
        start / WIDTH
    }

    /// The rows from `first` to the end.
    pub(super) fn since(&self, first: usize) -> Rows {
        Rows { first, count: self.rows() - first }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }
}
