//! From 8-bit frames to what a network sees: crop, flip, normalise, cutout.

use std::ops::Range;

use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use super::colour::ColourJitter;
use super::statistics::Statistics;
use crate::error::DataError;
use crate::random::{Stream, below};

/// Random changes of a sample: colours, then, in the order of DARTS, crop, flip, (normalise,) cutout. All frames of
/// a clip are changed alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Pixels of black (of optical flow: no motion) around the picture before a window of its own
    /// size is cut from a random place; 0: off.
    pub crop_padding: usize,
    /// Whether every other picture, by chance, is mirrored left to right; of optical flow x then
    /// turns around, 255 − x.
    pub flip: bool,
    /// Side in pixels of a square set to the mean (0 after normalising); its centre is anywhere in
    /// the picture and what sticks out is lost (DeVries and Taylor 2017, arXiv:1708.04552); 0: off.
    pub cutout: usize,
    /// How far colours may go.
    #[serde(skip_serializing_if = "ColourJitter::is_off")]
    pub colour: ColourJitter,
}

impl Augmentation {
    /// No change at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether its numbers are possible.
    ///
    /// # Errors
    /// [`DataError::Setting`].
    pub fn check(&self) -> Result<(), DataError> {
        self.colour.check()
    }
}

/// What chance does to a sample: the same to all its frames.
pub(crate) struct Change {
    /// How many pixels of a frame are lost above and to the left, where negative: added.
    shift: [isize; 2],
    pub(crate) mirrored: bool,
    /// Rows and columns set to the mean.
    hole: [Range<usize>; 2],
}

impl Change {
    /// One by chance, of frames of this `size`. Steps that are off draw nothing from `rng`.
    pub(crate) fn draw(augmentation: &Augmentation, size: [usize; 2], rng: &mut Stream) -> Self {
        let Augmentation { crop_padding: padding, flip, cutout, .. } = *augmentation;
        let mut change = Self { shift: [0; 2], mirrored: false, hole: [0..0, 0..0] };
        if padding > 0 {
            change.shift = [(); 2].map(|()| below(rng, 2 * padding + 1) as isize - padding as isize);
        }
        change.mirrored = flip && rng.next_u32() & 1 == 1;
        if cutout > 0 {
            change.hole = size.map(|side| {
                let start = below(rng, side) as isize - (cutout / 2) as isize;
                let end = start + cutout as isize;
                start.max(0) as usize..(end as usize).min(side)
            });
        }
        change
    }
}

/// Brings 8-bit frames to what a network sees: changed and normalised.
pub(crate) struct Finish<'a> {
    change: &'a Change,
    size: [usize; 2],
    /// For each channel the factor, the summand, and the result for padding.
    affine: Vec<[f32; 3]>,
}

impl<'a> Finish<'a> {
    /// Of frames of this `size`. In optical `flow`, mirroring also turns x around, and padding is no
    /// motion where that of pictures is black.
    pub(crate) fn new(change: &'a Change, size: [usize; 2], statistics: &Statistics, flow: bool) -> Self {
        // v · scale + shift, so that a pixel costs no division.
        let affine = statistics.mean.iter().zip(&statistics.std).enumerate().map(|(channel, (&mean, &std))| {
            let (scale, shift) = ((1.0 / (255.0 * f64::from(std))) as f32, -mean / std);
            match flow {
                false => [scale, shift, shift],
                true if channel == 0 && change.mirrored => [-scale, 255.0 * scale + shift, 127.5 * scale + shift],
                true => [scale, shift, 127.5 * scale + shift],
            }
        });
        Self { change, size, affine: affine.collect() }
    }

    /// Writes a time step, `[height, width, channels · frames.len()]` row-major: the frames' channels
    /// side by side.
    pub(crate) fn step(&self, frames: &[&[u8]], out: &mut [f32]) {
        let channels = self.affine.len();
        let row = self.size[1] * channels * frames.len();
        for (number, frame) in frames.iter().enumerate() {
            self.frame(frame, number * channels, channels * frames.len(), out);
        }
        let [rows, columns] = self.change.hole.clone();
        for line in out.chunks_exact_mut(row).take(rows.end).skip(rows.start) {
            line[columns.start * channels * frames.len()..columns.end * channels * frames.len()].fill(0.0);
        }
    }

    /// Writes a frame to the channels from `first` on of pixels of `stride` channels.
    fn frame(&self, frame: &[u8], first: usize, stride: usize, out: &mut [f32]) {
        let ([height, width], channels) = (self.size, self.affine.len());
        let [down, right] = self.change.shift;
        for (y, line) in out.chunks_exact_mut(width * stride).enumerate() {
            let source = y.checked_add_signed(down).filter(|&y| y < height);
            let source = source.map(|y| &frame[y * width * channels..][..width * channels]);
            for (x, pixel) in line.chunks_exact_mut(stride).enumerate() {
                let pixel = &mut pixel[first..first + channels];
                let x = if self.change.mirrored { width - 1 - x } else { x };
                let x = x.checked_add_signed(right).filter(|&x| x < width);
                match source.zip(x) {
                    Some((source, x)) => {
                        for ((to, &from), [scale, shift, _]) in
                            pixel.iter_mut().zip(&source[x * channels..]).zip(&self.affine)
                        {
                            *to = f32::from(from) * scale + shift;
                        }
                    }
                    None => {
                        for (to, [.., padding]) in pixel.iter_mut().zip(&self.affine) {
                            *to = *padding;
                        }
                    }
                }
            }
        }
    }
}

/// Writes the picture `pixels`, augmented, but for its colours, by chance `rng` and normalised by `statistics`, to `out`.
///
/// Both are `[size[0], size[1], channels]` row-major (height, width). A value v becomes (v / 255 −
/// mean) / std; the crop's padding is v = 0 and is normalised like every other pixel. Steps that
/// are off draw nothing from `rng`.
///
/// # Panics
/// If the lengths do not fit the shape.
pub fn augment(
    pixels: &[u8],
    size: [usize; 2],
    channels: usize,
    statistics: &Statistics,
    augmentation: &Augmentation,
    rng: &mut Stream,
    out: &mut [f32],
) {
    let [height, width] = size;
    assert_eq!([pixels.len(), out.len()], [height * width * channels; 2], "a picture is {height}×{width}×{channels}");
    assert_eq!([statistics.mean.len(), statistics.std.len()], [channels; 2], "one mean and std per channel");
    let change = Change::draw(augmentation, size, rng);
    Finish::new(&change, size, statistics, false).step(&[pixels], out);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::stream;

    /// v stays v / 255.
    fn plain(channels: usize) -> Statistics {
        Statistics { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    fn unchanged(mirrored: bool) -> Change {
        Change { shift: [0; 2], mirrored, hole: [0..0, 0..0] }
    }

    /// All results that `tries` streams lead to, as multiples of 1 / 255.
    fn results(pixels: &[u8], size: [usize; 2], augmentation: Augmentation, tries: u64) -> BTreeSet<Vec<u8>> {
        let channels = pixels.len() / size[0] / size[1];
        (0..tries)
            .map(|i| {
                let mut out = vec![f32::NAN; pixels.len()];
                let mut rng = stream(0, "test", [i, 0]);
                augment(pixels, size, channels, &plain(channels), &augmentation, &mut rng, &mut out);
                out.iter().map(|value| (value * 255.0).round() as u8).collect()
            })
            .collect()
    }

    fn set<const N: usize, const L: usize>(expected: [[u8; L]; N]) -> BTreeSet<Vec<u8>> {
        expected.map(Vec::from).into()
    }

    #[test]
    fn values_are_normalised_per_channel() {
        let statistics = Statistics { mean: vec![0.2, 0.6], std: vec![0.5, 0.1] };
        let mut out = [0.0; 4];
        augment(
            &[255, 0, 51, 153],
            [1, 2],
            2,
            &statistics,
            &Augmentation::none(),
            &mut stream(0, "", [0; 2]),
            &mut out,
        );
        // (1 − 0.2) / 0.5, (0 − 0.6) / 0.1, (0.2 − 0.2) / 0.5, (0.6 − 0.6) / 0.1
        for (value, expected) in out.into_iter().zip([1.6, -6.0, 0.0, 0.0]) {
            assert!((value - expected).abs() < 1e-5, "{out:?}");
        }
    }

    #[test]
    fn flip_mirrors_whole_pixels_half_of_the_time() {
        let flip = Augmentation { flip: true, ..Augmentation::none() };
        let expected = set([[1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 1, 2, 7, 8, 5, 6]]);
        assert_eq!(results(&[1, 2, 3, 4, 5, 6, 7, 8], [2, 2], flip, 50), expected);
        let mirrored = (0..1000)
            .filter(|&i| {
                let mut out = [0.0; 2];
                augment(&[0, 1], [1, 2], 1, &plain(1), &flip, &mut stream(0, "test", [i, 0]), &mut out);
                out[0] > 0.0
            })
            .count();
        assert!((450..550).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn crop_shifts_in_raw_zeros() {
        let crop = Augmentation { crop_padding: 1, ..Augmentation::none() };
        // 1 2      the nine 2×2 windows of     0 0 0 0
        // 3 4                                  0 1 2 0
        //                                      0 3 4 0
        //                                      0 0 0 0
        let expected = set([
            [0, 0, 0, 1],
            [0, 0, 1, 2],
            [0, 0, 2, 0],
            [0, 1, 0, 3],
            [1, 2, 3, 4],
            [2, 0, 4, 0],
            [0, 3, 0, 0],
            [3, 4, 0, 0],
            [4, 0, 0, 0],
        ]);
        assert_eq!(results(&[1, 2, 3, 4], [2, 2], crop, 200), expected);
        // Black, not the mean: −mean / std after normalising.
        let statistics = Statistics { mean: vec![0.5], std: vec![0.25] };
        let mut seen = BTreeSet::new();
        for i in 0..50 {
            let mut out = [0.0];
            augment(&[255], [1, 1], 1, &statistics, &crop, &mut stream(0, "test", [i, 0]), &mut out);
            seen.insert(out[0] as i32);
        }
        assert_eq!(seen, BTreeSet::from([-2, 2]));
    }

    #[test]
    fn a_crop_wider_than_the_picture_is_only_padding_at_times() {
        let crop = Augmentation { crop_padding: 5, ..Augmentation::none() };
        assert!(results(&[1, 2, 3, 4], [2, 2], crop, 200).contains(&vec![0; 4]));
    }

    #[test]
    fn cutout_is_clipped_at_the_borders() {
        let row = [1, 2, 3, 4];
        let cut = |side| results(&row, [1, 4], Augmentation { cutout: side, ..Augmentation::none() }, 100);
        assert_eq!(cut(1), set([[0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 0]]));
        // As DARTS: from centre − side / 2 to centre + side / 2, without the latter.
        assert_eq!(cut(2), set([[0, 2, 3, 4], [0, 0, 3, 4], [1, 0, 0, 4], [1, 2, 0, 0]]));
        assert_eq!(cut(20), set([[0; 4]]));
        let square = results(&[9; 16], [4, 4], Augmentation { cutout: 2, ..Augmentation::none() }, 300);
        assert_eq!(square.len(), 16);
        let holes: BTreeSet<_> =
            square.iter().map(|picture| picture.iter().filter(|&&value| value == 0).count()).collect();
        assert_eq!(holes, BTreeSet::from([1, 2, 4]));
    }

    #[test]
    fn cutout_is_the_mean() {
        let statistics = Statistics { mean: vec![0.5], std: vec![0.25] };
        let mut out = [1.0];
        let cutout = Augmentation { cutout: 1, ..Augmentation::none() };
        augment(&[255], [1, 1], 1, &statistics, &cutout, &mut stream(0, "", [0; 2]), &mut out);
        assert_eq!(out, [0.0]);
    }

    #[test]
    fn mirrored_flow_turns_x_around() {
        // Two pixels of x and y; mean ½, standard deviation 1 / 510: 2 · v − 255.
        let statistics = Statistics { mean: vec![0.5; 2], std: vec![1.0 / 510.0; 2] };
        let mut out = [0.0; 4];
        let mut finish = |change: Change| {
            Finish::new(&change, [1, 2], &statistics, true).step(&[&[0, 10, 100, 200]], &mut out);
            out.map(|value| value.round() as i32)
        };
        assert_eq!(finish(unchanged(false)), [-255, -235, -55, 145]);
        assert_eq!(finish(unchanged(true)), [55, 145, 255, -235]);
        // Padding is no motion, mirrored or not.
        assert_eq!(finish(Change { shift: [0, 1], ..unchanged(false) }), [-55, 145, 0, 0]);
        assert_eq!(finish(Change { shift: [0, 1], ..unchanged(true) }), [0, 0, 55, 145]);
    }

    #[test]
    fn stacked_frames_lie_side_by_side_and_share_the_hole() {
        let change = Change { hole: [0..1, 1..2], ..unchanged(true) };
        let frames: [&[u8]; 2] = [&[1, 2, 3], &[4, 5, 6]];
        let mut out = [0.0; 6];
        Finish::new(&change, [1, 3], &plain(1), false).step(&frames, &mut out);
        assert_eq!(out.map(|value| (value * 255.0).round()), [3.0, 6.0, 0.0, 0.0, 1.0, 4.0]);
    }
}
