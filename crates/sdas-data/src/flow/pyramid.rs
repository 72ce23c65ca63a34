//! Pictures at several scales, and linear resampling between them.

/// A gray picture, `[size[0], size[1]]` row-major (height, width), on the scale 0–255.
pub(super) struct Picture {
    pub(super) size: [usize; 2],
    pub(super) pixels: Vec<f32>,
}

impl Picture {
    pub(super) fn row(&self, y: usize) -> &[f32] {
        &self.pixels[y * self.size[1]..][..self.size[1]]
    }
}

/// No side of a scale but the first is shorter than this many pixels.
const SHORTEST: usize = 16;

/// The frame and its reductions, each `step` times as high and wide as the one before, at most `scales`.
pub(super) fn build(frame: &[u8], size: [usize; 2], scales: usize, step: f64) -> Vec<Picture> {
    let mut pictures = vec![Picture { size, pixels: frame.iter().map(|&value| f32::from(value)).collect() }];
    while pictures.len() < scales {
        let finer = &pictures[pictures.len() - 1];
        let size = finer.size.map(|side| (side as f64 * step).round_ties_even() as usize);
        if size[0].min(size[1]) < SHORTEST {
            break;
        }
        let mut pixels = vec![0.0; size[0] * size[1]];
        resample(|y| finer.row(y), finer.size, &mut pixels, size, [1.0 / step; 2]);
        pictures.push(Picture { size, pixels });
    }
    pictures
}

/// Linear interpolation between pixel centres, to `out`, `[to[0], to[1]]` row-major; a pixel of it is `pixel[0]` high
/// and `pixel[1]` wide in pixels of the picture of size `from` whose rows are `row`. Beyond the border is the border.
pub(super) fn resample<'a>(
    row: impl Fn(usize) -> &'a [f32],
    from: [usize; 2],
    out: &mut [f32],
    to: [usize; 2],
    pixel: [f64; 2],
) {
    let columns: Vec<_> = (0..to[1]).map(|x| Between::of(x, pixel[1], from[1])).collect();
    for (y, line) in out.chunks_exact_mut(to[1]).enumerate() {
        let down = Between::of(y, pixel[0], from[0]);
        let [upper, lower] = down.of.map(&row);
        for (value, across) in line.iter_mut().zip(&columns) {
            let [upper, lower] = [upper, lower].map(|row| across.mix(across.of.map(|x| row[x])));
            *value = down.mix([upper, lower]);
        }
    }
}

/// A place between two neighbours.
struct Between {
    of: [usize; 2],
    /// How far from the first to the second, in [0, 1].
    share: f32,
}

impl Between {
    /// Where the centre of pixel `i` lies among `side` pixels, each 1 / `pixel` of its own length.
    fn of(i: usize, pixel: f64, side: usize) -> Self {
        let place = ((i as f64 + 0.5) * pixel - 0.5).clamp(0.0, (side - 1) as f64);
        let first = place as usize;
        Self { of: [first, (first + 1).min(side - 1)], share: (place - first as f64) as f32 }
    }

    fn mix(&self, [first, second]: [f32; 2]) -> f32 {
        first + (second - first) * self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_shrink_until_a_side_is_short() {
        let sizes = |size: [usize; 2], scales| -> Vec<_> {
            build(&vec![7; size[0] * size[1]], size, scales, 0.8).iter().map(|picture| picture.size).collect()
        };
        assert_eq!(sizes([96, 128], 5), [[96, 128], [77, 102], [62, 82], [50, 66], [40, 53]]);
        assert_eq!(sizes([20, 300], 5), [[20, 300], [16, 240]]);
        assert_eq!(sizes([3, 1], 5), [[3, 1]]);
        assert_eq!(sizes([64, 64], 1), [[64, 64]]);
    }

    #[test]
    fn resampling_is_linear_between_centres() {
        // Centres at −¼, ¼, ¾ and 5/4 of pixels 0 and 1; what lies outside is clamped.
        let mut out = [0.0; 4];
        resample(|_| &[10.0, 20.0], [1, 2], &mut out, [1, 4], [1.0, 0.5]);
        assert_eq!(out, [10.0, 12.5, 17.5, 20.0]);
        let rows = [[0.0, 2.0], [4.0, 6.0], [8.0, 10.0]];
        let mut out = [0.0; 2];
        resample(|y| &rows[y], [3, 2], &mut out, [2, 1], [1.5, 2.0]);
        assert_eq!(out, [2.0, 8.0]);
    }
}
