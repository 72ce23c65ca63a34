//! Windows that slide over time, height and width: those of convolutions and of pools.

use sdas_kernels::Extent;
use serde::{Deserialize, Serialize};

/// A window and how it slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its size, in elements that it reads.
    pub kernel: Extent,
    /// How far it moves.
    pub stride: Extent,
    /// Distance between the elements that it reads.
    pub dilation: Extent,
    /// What is put around the input.
    pub padding: Padding,
    /// Whether the last window may reach beyond the padding, so that no element is left out (`ceil_mode` of PyTorch).
    pub ceil: bool,
}

/// What is put around an input before a window slides over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Padding {
    /// So many elements before and after, along every axis.
    Fixed([[usize; 2]; 3]),
    /// As many as make the output the input's size divided by the stride, rounded up; the odd one at the end (TensorFlow's
    /// `SAME`).
    Same,
}

impl Window {
    /// A window that moves by one, without padding.
    pub const fn new(kernel: Extent) -> Self {
        let padding = Padding::Fixed([[0; 2]; 3]);
        Window { kernel, stride: [1; 3], dilation: [1; 3], padding, ceil: false }
    }

    /// A window over height and width, frame by frame.
    pub const fn square(side: usize) -> Self {
        Window::new([1, side, side])
    }

    /// A window over time, height and width, of one size along all.
    pub const fn cube(side: usize) -> Self {
        Window::new([side; 3])
    }

    /// The same with another stride.
    pub const fn stride(self, stride: Extent) -> Self {
        Window { stride, ..self }
    }

    /// The same with a stride along height and width.
    pub const fn step(self, stride: usize) -> Self {
        self.stride([1, stride, stride])
    }

    /// The same with so many elements around the input.
    pub const fn padding(self, [t, h, w]: Extent) -> Self {
        Window { padding: Padding::Fixed([[t; 2], [h; 2], [w; 2]]), ..self }
    }

    /// The same with its elements so far apart.
    pub const fn dilation(self, dilation: Extent) -> Self {
        Window { dilation, ..self }
    }

    /// The same with half of its reach around the input: an odd window of stride 1 keeps the size.
    pub const fn centred(self) -> Self {
        let Window { kernel: [t, h, w], dilation: [dt, dh, dw], .. } = self;
        self.padding([t / 2 * dt, h / 2 * dh, w / 2 * dw])
    }

    /// The same with TensorFlow's padding.
    pub const fn same(self) -> Self {
        Window { padding: Padding::Same, ..self }
    }

    /// The same, leaving no element out.
    pub const fn ceil(self) -> Self {
        Window { ceil: true, ..self }
    }

    /// Number of elements that it reads.
    pub fn volume(&self) -> usize {
        self.kernel.iter().fold(1, |volume, &size| volume.saturating_mul(size))
    }

    /// From the first element that it reads to the last, along every axis.
    fn reach(&self) -> Extent {
        std::array::from_fn(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    /// How many there are; `None` if the input, with its padding, is smaller than the window.
    pub fn output(&self, input: Extent) -> Option<Extent> {
        let reach = self.reach();
        let mut output = [0; 3];
        for axis in 0..3 {
            let stride = self.stride[axis];
            output[axis] = match self.padding {
                Padding::Same => input[axis].div_ceil(stride),
                Padding::Fixed(padding) => {
                    let [before, after] = padding[axis];
                    let room = input[axis].checked_add(before)?.checked_add(after)?.checked_sub(reach[axis])?;
                    // A window that would begin in the padding at the end is none.
                    let more = self.ceil && (room.div_ceil(stride)) * stride < input[axis] + before;
                    if more { room.div_ceil(stride) + 1 } else { room / stride + 1 }
                }
            };
        }
        output.iter().all(|&size| size > 0).then_some(output)
    }

    /// The elements before and after an input that the windows read.
    pub fn margins(&self, input: Extent) -> [[usize; 2]; 3] {
        let (reach, output) = (self.reach(), self.output(input).unwrap_or([1; 3]));
        std::array::from_fn(|axis| {
            let spanned = (output[axis] - 1) * self.stride[axis] + reach[axis];
            match self.padding {
                Padding::Same => {
                    let missing = spanned.saturating_sub(input[axis]);
                    [missing / 2, missing - missing / 2]
                }
                Padding::Fixed(padding) => [padding[axis][0], spanned.saturating_sub(input[axis] + padding[axis][0])],
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch's and TensorFlow's formulas, by hand.
    #[test]
    fn windows_are_counted_as_others_count_them() {
        let along = |window: Window, size: usize| window.output([1, size, size]).map(|[_, _, width]| width);
        let pool = Window::square(3).step(2);
        assert_eq!(along(pool, 112), Some(55));
        assert_eq!(along(pool.centred(), 112), Some(56));
        assert_eq!(along(pool.ceil(), 112), Some(56));
        // The window that begins at 8, in the padding, is none.
        assert_eq!(along(Window::square(2).step(2).centred().ceil(), 7), Some(4));
        assert_eq!(along(pool.same(), 7), Some(4));
        assert_eq!(along(pool.dilation([1, 2, 2]).centred(), 7), Some(4));
        assert_eq!(along(Window::square(8), 7), None);
        assert_eq!(pool.same().margins([1, 8, 7]), [[0, 0], [0, 1], [1, 1]]);
        assert_eq!(pool.ceil().margins([1, 112, 113]), [[0, 0], [0, 1], [0, 0]]);
    }
}
