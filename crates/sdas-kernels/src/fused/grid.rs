//! Where a window's taps lie: grids with a border, so that no tap needs a test whether it lies inside.

use crate::expression::Extent;
use crate::lanes::Lanes;
use crate::weights::volume;
use std::ops::Deref;

/// A window that moves over an activation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: Extent,
    pub(crate) dilation: Extent,
    pub(crate) stride: Extent,
    pub(crate) padding: Extent,
}

impl Window {
    /// A window that keeps the size at stride 1.
    pub(crate) fn same(kernel: Extent, dilation: Extent, stride: Extent) -> Self {
        Window { kernel, dilation, stride, padding: std::array::from_fn(|axis| dilation[axis] * (kernel[axis] / 2)) }
    }

    /// The taps' coordinates, from the first position of the window, in the order of the weights.
    pub(crate) fn taps(&self) -> impl Iterator<Item = [isize; 3]> {
        let Window { kernel: [kt, kh, kw], dilation, padding, .. } = *self;
        let at = move |axis: usize, tap: usize| (tap * dilation[axis]) as isize - padding[axis] as isize;
        (0..kt * kh * kw).map(move |tap| [at(0, tap / (kh * kw)), at(1, tap / kw % kh), at(2, tap % kw)])
    }

    /// The border that an activation of size `input` needs for an output of size `output`.
    pub(crate) fn border(&self, input: Extent, output: Extent) -> Border {
        let after = |axis: usize| {
            let last = self.stride[axis] * (output[axis] - 1) + (self.kernel[axis] - 1) * self.dilation[axis];
            (last + 1).saturating_sub(self.padding[axis] + input[axis])
        };
        Border { before: self.padding, after: std::array::from_fn(after) }
    }
}

/// How far a grid reaches beyond its activation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Border {
    pub(crate) before: Extent,
    pub(crate) after: Extent,
}

impl Border {
    /// The least border that includes both.
    pub(crate) fn join(self, other: Border) -> Border {
        let larger = |a: Extent, b: Extent| std::array::from_fn(|axis| a[axis].max(b[axis]));
        Border { before: larger(self.before, other.before), after: larger(self.after, other.after) }
    }
}

/// An activation of `[blocks, T, H, W]` with a border around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) inner: Extent,
    before: Extent,
    outer: Extent,
}

impl Grid {
    pub(crate) fn new(inner: Extent, border: Border) -> Self {
        let outer = std::array::from_fn(|axis| border.before[axis] + inner[axis] + border.after[axis]);
        Grid { inner, before: border.before, outer }
    }

    /// Elements of one block.
    pub(crate) fn plane(&self) -> usize {
        volume(self.outer)
    }

    /// Where the element at the inner coordinates `[t, h, w]` lies.
    #[inline(always)]
    pub(crate) fn at(&self, t: usize, h: usize, w: usize) -> usize {
        ((t + self.before[0]) * self.outer[1] + h + self.before[1]) * self.outer[2] + w + self.before[2]
    }

    /// Rows of the inner part.
    pub(crate) fn rows(&self) -> usize {
        self.inner[0] * self.inner[1]
    }

    /// Length of a row of the inner part.
    pub(crate) fn width(&self) -> usize {
        self.inner[2]
    }

    /// Where a row of the inner part starts.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> usize {
        self.at(row / self.inner[1], row % self.inner[1], 0)
    }

    /// How far an element lies behind the first of the border, for a step from the inner origin.
    fn offset(&self, step: [isize; 3]) -> usize {
        let [t, h, w] = std::array::from_fn(|axis| {
            usize::try_from(self.before[axis] as isize + step[axis]).expect("a grid's border holds every tap")
        });
        (t * self.outer[1] + h) * self.outer[2] + w
    }

    /// Steps from one element to the next along the three axes.
    pub(crate) fn steps(&self) -> Extent {
        [self.outer[1] * self.outer[2], self.outer[2], 1]
    }

    /// Fills the border of one block.
    #[inline(always)]
    pub(crate) fn fill_border(&self, plane: &mut [Lanes], value: Lanes) {
        let [_, height, width] = self.outer;
        let inside = |at: usize, axis: usize| at >= self.before[axis] && at < self.before[axis] + self.inner[axis];
        for (row, elements) in plane.chunks_exact_mut(width).enumerate() {
            if inside(row / height, 0) && inside(row % height, 1) {
                elements[..self.before[2]].fill(value);
                elements[self.before[2] + self.inner[2]..].fill(value);
            } else {
                elements.fill(value);
            }
        }
    }
}

/// A tap: which weight, and where its element lies from the element at the start of the grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) weight: usize,
    pub(crate) offset: usize,
}

/// The taps of a window over a grid, line after line: the taps of a line lie beside one another along the width.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    all: Vec<Tap>,
    /// Taps of a line.
    pub(crate) line: usize,
    /// Elements from one tap of a line to the next.
    pub(crate) spacing: usize,
}

impl Taps {
    /// The taps of a window over a grid.
    pub(crate) fn of(window: &Window, grid: &Grid) -> Self {
        let tap = |(weight, step)| Tap { weight, offset: grid.offset(step) };
        Taps::new(window.taps().enumerate().map(tap).collect(), window.kernel[2])
    }

    /// Lines of `line` taps each.
    fn new(mut all: Vec<Tap>, line: usize) -> Self {
        all.chunks_mut(line.max(1)).for_each(|line| line.sort_by_key(|tap| tap.offset));
        let spacing = if line > 1 && !all.is_empty() { all[1].offset - all[0].offset } else { 1 };
        Taps { all, line, spacing }
    }

    /// The lines.
    pub(crate) fn lines(&self) -> std::slice::ChunksExact<'_, Tap> {
        self.all.chunks_exact(self.line.max(1))
    }
}

impl Deref for Taps {
    type Target = [Tap];

    fn deref(&self) -> &[Tap] {
        &self.all
    }
}

/// The way back through a window: a gather over the gradient of its output. Input positions whose coordinates leave the
/// same remainder by the stride read the same taps; there is one phase for each such class.
#[derive(Debug)]
pub(crate) struct Transposed {
    /// Holds the output's gradient.
    pub(crate) grid: Grid,
    pub(crate) phases: Vec<Phase>,
}

/// Input positions `first + stride × j`, for j below `count` along each axis.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) first: Extent,
    pub(crate) count: Extent,
    /// Offsets into the gradient's grid from its element j.
    pub(crate) taps: Taps,
}

impl Transposed {
    pub(crate) fn new(window: &Window, input: Extent, output: Extent) -> Self {
        let volume_of = |extent: Extent| volume(extent);
        // Per axis and remainder: the taps that reach an input position, and the step from j to the output that used it.
        let reached = |axis: usize, remainder: usize| -> Vec<(usize, isize)> {
            let stride = window.stride[axis] as isize;
            (0..window.kernel[axis])
                .map(|tap| (tap, (remainder + window.padding[axis]) as isize - (tap * window.dilation[axis]) as isize))
                .filter(|(_, distance)| distance.rem_euclid(stride) == 0)
                .map(|(tap, distance)| (tap, distance.div_euclid(stride)))
                .collect()
        };
        let remainders: Extent = std::array::from_fn(|axis| window.stride[axis].min(input[axis]));
        let count = |axis: usize, remainder: usize| (input[axis] - remainder).div_ceil(window.stride[axis]);
        let mut border = Border::default();
        for axis in 0..3 {
            for remainder in 0..remainders[axis] {
                for (_, step) in reached(axis, remainder) {
                    let last = count(axis, remainder) as isize - 1 + step;
                    border.before[axis] = border.before[axis].max((-step).max(0) as usize);
                    border.after[axis] = border.after[axis].max((last + 1 - output[axis] as isize).max(0) as usize);
                }
            }
        }
        let grid = Grid::new(output, border);
        let [_, kh, kw] = window.kernel;
        let phases = (0..volume_of(remainders))
            .map(|phase| {
                let [_, h, w] = remainders;
                let first = [phase / (h * w), phase / w % h, phase % w];
                let axes: [_; 3] = std::array::from_fn(|axis| reached(axis, first[axis]));
                let mut taps = Vec::new();
                for &(tap_t, t) in &axes[0] {
                    for &(tap_h, h) in &axes[1] {
                        for &(tap_w, w) in &axes[2] {
                            let weight = (tap_t * kh + tap_h) * kw + tap_w;
                            taps.push(Tap { weight, offset: grid.offset([t, h, w]) });
                        }
                    }
                }
                let taps = Taps::new(taps, axes[2].len());
                Phase { first, count: std::array::from_fn(|axis| count(axis, first[axis])), taps }
            })
            .collect();
        Transposed { grid, phases }
    }
}
