//! From a sample to what the network sees of it: frames chosen, cut out, scaled, augmented and
//! normalised.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::augment::{Augmentation, Change, Finish};
use super::clip::{ClipSettings, Normalization};
use super::crop::{Cropping, Views, Window};
use super::statistics::Statistics;
use crate::decode::Frames;
use crate::error::DataError;
use crate::keep::Dataset;
use crate::random::stream;

/// What is seen of samples, and by which chance.
pub(crate) struct Sight<'a> {
    /// Of the streams of chance: `<name>/frames`, `<name>/crop`, `<name>/augment` and `<name>/colour`.
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    pub(crate) statistics: &'a Statistics,
    pub(crate) clip: &'a ClipSettings,
    /// Fixed views in place of chance.
    pub(crate) views: Option<Views>,
    pub(crate) cropping: &'a Cropping,
    pub(crate) augmentation: &'a Augmentation,
}

/// Makes the rows of batches, one at a time; keeps its memory from one to the next.
pub(crate) struct Viewer<'a> {
    dataset: &'a Dataset,
    sight: Sight<'a>,
    /// Time steps, height, width, channels of a row.
    shape: [usize; 4],
    resizer: Resizer,
    /// Frames of the sample, and what each is brought to.
    needed: Vec<usize>,
    scaled: Vec<Vec<u8>>,
    /// The clip that was decoded last, for other views of the same frames.
    decoded: Option<Decoded>,
}

/// Frames of a sample that is not kept.
struct Decoded {
    sample: usize,
    numbers: Vec<usize>,
    frames: Frames,
}

impl<'a> Viewer<'a> {
    pub(crate) fn new(dataset: &'a Dataset, sight: Sight<'a>, shape: [usize; 4]) -> Self {
        Self { dataset, sight, shape, resizer: Resizer::new(), needed: vec![], scaled: vec![], decoded: None }
    }

    /// Writes what is seen of `sample` in view number `view`, or by the chance at `at` if the
    /// settings have no views, to `out`.
    ///
    /// # Errors
    /// If it is decoded now, and cannot be.
    pub(crate) fn write(&mut self, sample: usize, view: usize, at: [u64; 2], out: &mut [f32]) -> Result<(), DataError> {
        let (dataset, [steps, height, width, channels]) = (self.dataset, self.shape);
        let (sight, seen, clip) = (&self.sight, [height, width], self.sight.clip);
        let opened = dataset.not_kept().map(|samples| Ok((samples, samples.open(sample)?))).transpose()?;
        let (count, size) = match &opened {
            Some((_, opened)) => (opened.frames, opened.size),
            None => (dataset.frames(sample), dataset.size_of(sample)),
        };
        // Each choice has its own stream: what is drawn for one shifts nothing for another.
        let chance = |what| stream(sight.seed, &format!("{}/{what}", sight.name), at);
        let (starts, window, mirrored) = match &sight.views {
            Some(views) => {
                let (window, mirrored) = views.window(view % views.crops, size, seen);
                (clip.at_view(count, view / views.crops, views.clips), window, mirrored)
            }
            None => {
                let window = sight.cropping.at_random(size, seen, &mut chance("crop"));
                (clip.at_random(count, &mut chance("frames")), window, false)
            }
        };
        let frame_at = |step: usize, number: usize| (starts[step] + number) % count;
        let mut change = Change::draw(sight.augmentation, seen, &mut chance("augment"));
        change.mirrored ^= mirrored;
        let jitter = sight.augmentation.colour.draw(&mut chance("colour"));

        // Every frame once, however often it is seen.
        self.needed.clear();
        self.needed.extend((0..steps).flat_map(|step| (0..clip.stack).map(move |number| frame_at(step, number))));
        self.needed.sort_unstable();
        self.needed.dedup();
        let needed = &self.needed;
        let decoded = match opened {
            None => None,
            Some((samples, opened)) => {
                let is_same = |last: &Decoded| opened.is_clip() && (last.sample, &last.numbers) == (sample, needed);
                Some(match self.decoded.take().filter(is_same) {
                    Some(last) => last,
                    None => {
                        let frames = samples.decode(sample, opened, needed, window.size, seen)?;
                        Decoded { sample, numbers: needed.clone(), frames }
                    }
                })
            }
        };
        let stored = decoded.as_ref().map_or(size, |decoded| decoded.frames.size);
        // By its place among those that are needed.
        let frame = |place: usize| match &decoded {
            Some(decoded) => decoded.frames.frame(place, dataset.channels()),
            None => dataset.frame(sample, needed[place]),
        };
        let whole = Window { corner: [0; 2], size };
        let ready: Vec<&[u8]> = if window == whole && stored == seen && jitter.is_none() {
            (0..needed.len()).map(frame).collect()
        } else {
            self.scaled.resize_with(needed.len().max(self.scaled.len()), Vec::new);
            for (place, scaled) in (0..needed.len()).zip(&mut self.scaled) {
                let frame = Frame { pixels: frame(place), stored, size, channels: dataset.channels() };
                scale(frame, window, seen, &mut self.resizer, scaled);
                if let Some(jitter) = &jitter {
                    jitter.apply(scaled);
                }
            }
            self.scaled[..needed.len()].iter().map(Vec::as_slice).collect()
        };

        let own;
        let statistics = match clip.normalization {
            Normalization::Dataset => sight.statistics,
            Normalization::PerClip => {
                let mut stored = Statistics::measure(ready.iter().copied(), dataset.channels());
                if dataset.is_flow() && change.mirrored {
                    // Seen in a mirror, x goes the other way.
                    stored.mean[0] = 1.0 - stored.mean[0];
                }
                own = stored;
                &own
            }
        };
        let finish = Finish::new(&change, seen, statistics, dataset.is_flow());
        let mut stack = Vec::with_capacity(clip.stack);
        for (step, out) in out.chunks_exact_mut(height * width * channels).enumerate() {
            stack.clear();
            stack.extend((0..clip.stack).map(|number| {
                let place = needed.binary_search(&frame_at(step, number)).expect("needed");
                ready[place]
            }));
            finish.step(&stack, out);
        }
        self.decoded = decoded;
        Ok(())
    }
}

/// A frame, or a picture that is decoded at a scale of its own.
struct Frame<'a> {
    pixels: &'a [u8],
    /// Height and width of the pixels.
    stored: [usize; 2],
    /// Height and width that they stand for.
    size: [usize; 2],
    channels: usize,
}

/// Brings the part `window` of a frame to the size `seen`: bilinearly, averaging over the area where
/// that shrinks. Vectors of optical flow keep their length in stored pixels.
fn scale(frame: Frame, window: Window, seen: [usize; 2], resizer: &mut Resizer, out: &mut Vec<u8>) {
    let Frame { pixels, stored, size, channels } = frame;
    if stored == size && window.size == seen {
        let ([top, left], [height, width]) = (window.corner, window.size);
        out.clear();
        for line in pixels.chunks_exact(size[1] * channels).skip(top).take(height) {
            out.extend_from_slice(&line[left * channels..][..width * channels]);
        }
        return;
    }
    out.resize(seen[0] * seen[1] * channels, 0);
    let kind = pixel_type(channels).expect("checked when the loader was made");
    let factor = [0, 1].map(|side| stored[side] as f64 / size[side] as f64);
    let [top, left] = [0, 1].map(|side| window.corner[side] as f64 * factor[side]);
    // Not beyond the end by the last digit.
    let [height, width] = [(top, 0), (left, 1)]
        .map(|(start, side)| (window.size[side] as f64 * factor[side]).min(stored[side] as f64 - start));
    // Without `use_alpha`, or the second channel of two would count as transparency.
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(left, top, width, height);
    let from = ImageRef::new(stored[1] as u32, stored[0] as u32, pixels, kind).expect("a frame of this size");
    let mut to = Image::from_slice_u8(seen[1] as u32, seen[0] as u32, out, kind).expect("resized to fit");
    resizer.resize(&from, &mut to, &options).expect("the window lies inside and both have the same type");
}

/// What frames of so many channels are to the library that scales them; None if it cannot.
pub(crate) fn pixel_type(channels: usize) -> Option<PixelType> {
    match channels {
        1 => Some(PixelType::U8),
        2 => Some(PixelType::U8x2),
        3 => Some(PixelType::U8x3),
        4 => Some(PixelType::U8x4),
        _ => None,
    }
}
