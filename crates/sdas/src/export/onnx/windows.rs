//! Convolutions, pools and padding.

use super::layers::Layers;
use super::proto::Attribute;
use crate::layers::{Filter, Padding, Pooling, Value, Window};

/// The end of an axis, however long it is.
const END: i64 = i64::MAX;

/// What is around an input, before and after along every axis.
type Margins = [[usize; 2]; 3];

/// How windows meet a border.
struct Border {
    margins: Margins,
    /// Whether the last window may reach beyond the margins.
    ceil: bool,
    /// Whether the margins follow from the size, as TensorFlow has it.
    same: bool,
}

impl Border {
    fn attributes(&self, layers: &Layers<'_>) -> Vec<Attribute> {
        if self.same {
            return vec![Attribute::text("auto_pad", "SAME_UPPER")];
        }
        let side = |side: usize| layers.along(self.margins.map(|margins| margins[side]));
        let pads = [side(0), side(1)].concat();
        let pads = pads.iter().any(|&pad| pad > 0).then(|| Attribute::ints("pads", pads));
        pads.into_iter().chain(self.ceil.then(|| Attribute::int("ceil_mode", 1))).collect()
    }
}

impl Layers<'_> {
    /// The border of windows that slide over a value.
    fn border(&self, x: Value, window: &Window) -> Border {
        let (extent, varying) = (self.extent(x), self.varying(x));
        let known = window.margins(extent);
        let slides = |axis: usize| varying[axis] && window.stride[axis] > 1;
        match window.padding {
            Padding::Same => Border { margins: known, ceil: false, same: (0..3).any(slides) },
            Padding::Fixed(margins) if !window.ceil => Border { margins, ceil: false, same: false },
            // Where the size is known, so is what the last window reads.
            Padding::Fixed(margins) => Border {
                margins: std::array::from_fn(|axis| if varying[axis] { margins[axis] } else { known[axis] }),
                ceil: (0..3).any(slides),
                same: false,
            },
        }
    }

    /// Kernel, stride and distance of windows.
    fn steps(&self, window: &Window) -> Vec<Attribute> {
        let several = |name: &str, sizes: [usize; 3]| {
            let sizes = self.along(sizes);
            sizes.iter().any(|&size| size > 1).then(|| Attribute::ints(name, sizes))
        };
        let kernel = Attribute::ints("kernel_shape", self.along(window.kernel));
        let steps = [several("strides", window.stride), several("dilations", window.dilation)];
        std::iter::once(kernel).chain(steps.into_iter().flatten()).collect()
    }

    pub(super) fn convolution(&mut self, index: usize, first: Value, inputs: usize, filter: &Filter) -> String {
        let (x, linear) = (self.spread(first), self.numbers.linear(index));
        let mut attributes = self.steps(&filter.window);
        attributes.extend(self.border(first, &filter.window).attributes(self));
        if filter.groups > 1 {
            attributes.push(Attribute::int("group", filter.groups as i64));
        }
        let dims = [&[filter.outputs, inputs / filter.groups][..], &self.along(filter.window.kernel)].concat();
        self.convolve(index, &x, &dims, linear, attributes)
    }

    pub(super) fn pool(&mut self, first: Value, pool: Pooling, window: &Window) -> String {
        let (mut x, mut border) = (self.spread(first), self.border(first, window));
        let mut attributes = self.steps(window);
        let kind = match (pool, window.padding) {
            (Pooling::Max, _) => {
                // Runtimes take margins that are smaller than a window.
                let is_wide = |axis: usize| border.margins[axis].iter().any(|&side| side >= window.kernel[axis]);
                if !border.same && (0..3).any(is_wide) {
                    let lowest = self.writer.number(f64::from(f32::MIN));
                    x = self.surround(&x, border.margins, Some(&lowest));
                    border.margins = Margins::default();
                }
                "MaxPool"
            }
            (Pooling::Average { padded: true }, Padding::Fixed(margins)) if margins != Margins::default() => {
                if window.ceil {
                    // The margins count, what lies beyond them does not: they become a part of the input.
                    x = self.surround(&x, margins, None);
                    for (left, taken) in border.margins.iter_mut().flatten().zip(margins.as_flattened()) {
                        *left = left.saturating_sub(*taken);
                    }
                } else {
                    attributes.push(Attribute::int("count_include_pad", 1));
                }
                "AveragePool"
            }
            (Pooling::Average { .. }, _) => "AveragePool",
        };
        attributes.extend(border.attributes(self));
        self.writer.node(kind, &[&x], attributes)
    }

    /// Elements around a value, of zeros where nothing else is said.
    fn surround(&mut self, x: &str, margins: Margins, fill: Option<&str>) -> String {
        let side = |side: usize| self.along(margins.map(|margins| margins[side] as i64));
        let pads = [&[0, 0][..], &side(0), &[0, 0], &side(1)].concat();
        let pads = self.writer.integers(&pads);
        let operands: Vec<&str> = [x, &pads].into_iter().chain(fill).collect();
        self.writer.node("Pad", &operands, vec![])
    }

    pub(super) fn pad(&mut self, first: Value, amounts: [[isize; 2]; 3]) -> String {
        let mut x = self.spread(first);
        // First what is added, so that something is left of a short axis of which more is cut off than there is.
        let more = amounts.map(|sides| sides.map(|side| usize::try_from(side).unwrap_or(0)));
        if more != Margins::default() {
            x = self.surround(&x, more, None);
        }
        let cut = |amount: isize| amount.min(0) as i64;
        let part = |axis: usize| {
            let [before, after] = amounts[axis].map(cut);
            (self.place(axis), -before, if after == 0 { END } else { after })
        };
        let is_cut = |axis: &usize| amounts[*axis].iter().any(|&amount| amount < 0);
        let parts: Vec<_> = self.places().filter(is_cut).map(part).collect();
        if parts.is_empty() { x } else { self.slice(&x, &parts) }
    }

    /// Means over parts of about equal size.
    pub(super) fn adaptive_average(&mut self, first: Value, size: [Option<usize>; 3]) -> String {
        let mut x = self.spread(first);
        let (extent, varying) = (self.extent(first), self.varying(first));
        let is_whole = |axis: &usize| size[*axis] == Some(1) && (extent[*axis] > 1 || varying[*axis]);
        let whole: Vec<usize> = self.places().filter(is_whole).collect();
        if !whole.is_empty() && self.places().all(|axis| size[axis] == Some(1)) {
            return self.writer.node("GlobalAveragePool", &[&x], vec![]);
        }
        if !whole.is_empty() {
            let places = whole.iter().map(|&axis| self.place(axis) as usize);
            let axes = Attribute::ints("axes", places);
            x = self.writer.node("ReduceMean", &[&x], vec![axes]);
        }
        for axis in self.places() {
            match size[axis] {
                Some(parts) if parts > 1 && parts != extent[axis] => x = self.part_means(&x, axis, extent[axis], parts),
                _ => {}
            }
        }
        x
    }

    /// Means of parts along one axis: part i of n is from ⌊i·size/n⌋ to ⌈(i+1)·size/n⌉ (PyTorch's adaptive pools).
    fn part_means(&mut self, x: &str, axis: usize, size: usize, parts: usize) -> String {
        let place = self.place(axis);
        let means: Vec<String> = (0..parts)
            .map(|at| {
                let (from, to) = (at * size / parts, ((at + 1) * size).div_ceil(parts));
                let part = self.slice(x, &[(place, from as i64, to as i64)]);
                self.writer.node("ReduceMean", &[&part], vec![Attribute::ints("axes", [place as usize])])
            })
            .collect();
        let means: Vec<&str> = means.iter().map(String::as_str).collect();
        self.writer.node("Concat", &means, vec![Attribute::int("axis", place)])
    }
}
