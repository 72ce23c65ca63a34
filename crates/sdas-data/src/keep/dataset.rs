//! Samples of one split, pictures or clips, decoded, as 8-bit numbers.

use std::sync::Arc;

use memmap2::Mmap;

use super::undecoded::{Undecoded, smallest};
use crate::decode::CHANNELS;
use crate::error::DataError;

/// All samples of one split: 8-bit, each `[frames, height, width, channels]` row-major, in memory or
/// memory-mapped.
///
/// A sample is a clip; a picture is a clip of one frame. Every sample has its own number of frames
/// and its own size; all have the same channels. A clone shares the samples.
#[derive(Clone)]
pub struct Dataset {
    shared: Arc<Shared>,
}

struct Shared {
    content: Content,
    labels: Vec<u16>,
    /// What each sample was cut from, by number, where that is known.
    sources: Option<Vec<u32>>,
    classes: Vec<String>,
    channels: usize,
    /// The smallest height and the smallest width.
    size: [usize; 2],
    /// Whether all samples are of this size.
    same_size: bool,
}

/// What samples are.
enum Content {
    /// Where each lies, decoded.
    Kept { stores: Vec<Arc<Store>>, samples: Vec<Sample> },
    /// Those that are decoded when they are looked at.
    Undecoded(Undecoded),
}

impl Content {
    /// Sample `i`, and the store that it lies in.
    fn sample(&self, i: usize) -> (&Sample, &Store) {
        match self {
            Content::Kept { stores, samples } => (&samples[i], &stores[samples[i].store as usize]),
            Content::Undecoded(_) => panic!("sample {i} is not kept: it is decoded when a loader looks at it"),
        }
    }

    /// Frames, height and width of sample `i`.
    fn shape(&self, i: usize) -> [usize; 3] {
        match self {
            Content::Kept { samples, .. } => samples[i].shape(),
            Content::Undecoded(samples) => samples
                .shape(i)
                .unwrap_or_else(|| panic!("picture {i} is not kept: its size is known when it is opened")),
        }
    }
}

/// Where bytes are.
pub(crate) enum Store {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Store {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Store::Memory(bytes) => bytes,
            Store::Mapped(map) => map,
        }
    }
}

/// Where a sample lies, its shape and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Number of the store.
    pub(crate) store: u32,
    /// Its first byte in the store.
    pub(crate) offset: u64,
    /// At least 1.
    pub(crate) frames: u32,
    /// Height and width.
    pub(crate) size: [u32; 2],
    pub(crate) label: u16,
}

impl Sample {
    /// Frames, height, width.
    fn shape(&self) -> [usize; 3] {
        [self.frames, self.size[0], self.size[1]].map(|side| side as usize)
    }

    /// Bytes of one frame.
    fn frame_bytes(&self, channels: usize) -> usize {
        let [_, height, width] = self.shape();
        height * width * channels
    }
}

/// Bytes of samples of these shapes (frames, height, width), if that is a number.
fn total_bytes(shapes: impl IntoIterator<Item = [usize; 3]>, channels: usize) -> Option<usize> {
    shapes.into_iter().try_fold(0usize, |total, shape| {
        total.checked_add(shape.iter().try_fold(channels, |product, &side| product.checked_mul(side))?)
    })
}

impl Dataset {
    /// Pictures from memory: `pixels` is `[labels.len(), size[0], size[1], channels]` row-major,
    /// with `size` as height, width.
    ///
    /// # Errors
    /// [`DataError::Layout`] if the lengths do not fit each other, [`DataError::LabelOutOfRange`]
    /// if a label has no class.
    pub fn new(
        pixels: Vec<u8>,
        labels: Vec<u16>,
        classes: Vec<String>,
        size: [usize; 2],
        channels: usize,
    ) -> Result<Self, DataError> {
        let shapes = vec![[1, size[0], size[1]]; labels.len()];
        if total_bytes(shapes.iter().copied(), channels) != Some(pixels.len()) {
            let shape = [labels.len(), size[0], size[1], channels];
            return Err(DataError::Layout { bytes: pixels.len(), shape });
        }
        Self::clips(pixels, &shapes, labels, classes, channels)
    }

    /// Clips from memory: in `pixels` lies one after the other, each `[frames, height, width,
    /// channels]` row-major with its own of `shapes`, which are frames, height, width.
    ///
    /// # Errors
    /// [`DataError::ClipLayout`] if the lengths do not fit each other, [`DataError::LabelOutOfRange`]
    /// if a label has no class.
    pub fn clips(
        pixels: Vec<u8>,
        shapes: &[[usize; 3]],
        labels: Vec<u16>,
        classes: Vec<String>,
        channels: usize,
    ) -> Result<Self, DataError> {
        let whole = shapes.iter().flatten().all(|&side| (1..=u32::MAX as usize).contains(&side));
        let bytes = total_bytes(shapes.iter().copied(), channels);
        if !whole || bytes != Some(pixels.len()) || shapes.len() != labels.len() {
            return Err(DataError::ClipLayout {
                bytes: pixels.len(),
                shapes: shapes.len(),
                labels: labels.len(),
                needed: bytes.filter(|_| whole),
            });
        }
        let mut offset = 0;
        let samples = shapes.iter().zip(labels).map(|(shape, label)| {
            let [frames, height, width] = shape.map(|side| side as u32);
            let sample = Sample { store: 0, offset, frames, size: [height, width], label };
            offset += (sample.frame_bytes(channels) * shape[0]) as u64;
            sample
        });
        let samples = samples.collect();
        Self::from_samples(vec![Arc::new(Store::Memory(pixels))], samples, classes, channels)
    }

    /// The samples that lie in `stores`, in this order. Nothing keeps samples from sharing bytes.
    ///
    /// # Errors
    /// [`DataError::Outside`] if a sample has no frames, no size or does not lie in its store,
    /// [`DataError::LabelOutOfRange`] if a label has no class.
    pub(crate) fn from_samples(
        stores: Vec<Arc<Store>>,
        samples: Vec<Sample>,
        classes: Vec<String>,
        channels: usize,
    ) -> Result<Self, DataError> {
        for (record, sample) in samples.iter().enumerate() {
            let bytes = stores.get(sample.store as usize).map_or(0, |store| store.bytes().len());
            let shape = sample.shape();
            let length = total_bytes([shape], channels).filter(|&length| length > 0);
            let end = usize::try_from(sample.offset).ok().and_then(|offset| offset.checked_add(length?));
            if end.is_none_or(|end| end > bytes) {
                return Err(DataError::Outside { record, shape, offset: sample.offset, bytes });
            }
            if usize::from(sample.label) >= classes.len() {
                let label = sample.label.into();
                let path = "memory".into();
                return Err(DataError::LabelOutOfRange { path, record, label, classes: classes.len() });
            }
        }
        let (size, same_size) = smallest(samples.iter().map(|sample| sample.size.map(|side| side as usize)));
        let labels = samples.iter().map(|sample| sample.label).collect();
        let content = Content::Kept { stores, samples };
        Ok(Self { shared: Arc::new(Shared { content, labels, sources: None, classes, channels, size, same_size }) })
    }

    /// Samples that are decoded when they are looked at, of these labels, each of which has a class.
    pub(crate) fn undecoded(samples: Undecoded, labels: Vec<u16>, classes: Vec<String>) -> Self {
        let (size, same_size) = samples.size();
        let (content, channels) = (Content::Undecoded(samples), CHANNELS);
        Self { shared: Arc::new(Shared { content, labels, sources: None, classes, channels, size, same_size }) }
    }

    /// The samples, where they are decoded when they are looked at.
    pub(crate) fn not_kept(&self) -> Option<&Undecoded> {
        match &self.shared.content {
            Content::Kept { .. } => None,
            Content::Undecoded(samples) => Some(samples),
        }
    }

    /// Whether samples are decoded when a loader looks at them, again in every epoch.
    pub fn is_undecoded(&self) -> bool {
        self.not_kept().is_some()
    }

    /// With the recording that each sample was cut from, by any number.
    ///
    /// # Panics
    /// If there is not one for each, or the dataset is shared already.
    pub(crate) fn with_sources(mut self, sources: Vec<u32>) -> Self {
        assert_eq!(sources.len(), self.len());
        Arc::get_mut(&mut self.shared).expect("nobody else has it yet").sources = Some(sources);
        self
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.shared.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.shared.classes
    }

    /// Height and width in pixels that every sample has at least: those of each where they are the
    /// same, which pictures' are; otherwise the smallest height and the smallest width. Without
    /// samples 0 and 0.
    pub fn size(&self) -> [usize; 2] {
        self.shared.size
    }

    /// Height and width of every sample; None if they differ.
    pub fn common_size(&self) -> Option<[usize; 2]> {
        self.shared.same_size.then_some(self.shared.size)
    }

    /// Height and width of sample `i`.
    ///
    /// # Panics
    /// If there is no such sample, or it is a picture that is not [kept](Self::is_undecoded).
    pub fn size_of(&self, i: usize) -> [usize; 2] {
        let [_, size @ ..] = self.shared.content.shape(i);
        size
    }

    /// Frames of sample `i`; 1 for a picture.
    ///
    /// # Panics
    /// If there is no such sample, or it is a picture that is not [kept](Self::is_undecoded).
    pub fn frames(&self, i: usize) -> usize {
        self.shared.content.shape(i)[0]
    }

    /// Numbers per pixel: 3 for red, green and blue; 2 for optical flow, 8-bit, x then y.
    pub fn channels(&self) -> usize {
        self.shared.channels
    }

    /// Whether pixels are motion, x then y.
    pub(crate) fn is_flow(&self) -> bool {
        self.channels() == 2
    }

    /// The class of sample `i`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn label(&self, i: usize) -> usize {
        self.shared.labels[i].into()
    }

    /// The class of every sample.
    pub fn labels(&self) -> &[u16] {
        &self.shared.labels
    }

    /// What each sample was cut from, where the data set tells: samples of the same number show the
    /// same scene.
    pub fn sources(&self) -> Option<&[u32]> {
        self.shared.sources.as_deref()
    }

    /// Sample `i`, all of it, `[frames, height, width, channels]` row-major, 0–255.
    ///
    /// # Panics
    /// If there is no such sample, or it is not [kept](Self::is_undecoded).
    pub fn pixels(&self, i: usize) -> &[u8] {
        let (sample, store) = self.shared.content.sample(i);
        let length = sample.frame_bytes(self.shared.channels) * sample.frames as usize;
        &store.bytes()[sample.offset as usize..][..length]
    }

    /// Frame `t` of sample `i`, `[height, width, channels]` row-major, 0–255.
    ///
    /// # Panics
    /// If there is no such sample or no such frame, or it is not [kept](Self::is_undecoded).
    pub fn frame(&self, i: usize, t: usize) -> &[u8] {
        let length = self.shared.content.sample(i).0.frame_bytes(self.shared.channels);
        &self.pixels(i)[t * length..][..length]
    }

    /// Whether any samples are read from a memory-mapped cache.
    pub fn is_mapped(&self) -> bool {
        match &self.shared.content {
            Content::Kept { stores, .. } => stores.iter().any(|store| matches!(**store, Store::Mapped(_))),
            Content::Undecoded(_) => false,
        }
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [height, width] = self.size();
        let least = if self.common_size().is_some() { "" } else { "at least " };
        let classes = self.classes().len();
        write!(f, "Dataset({} × {least}{height}×{width}×{}, {classes} classes)", self.len(), self.channels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Dataset {
        let pixels = vec![0, 10, 255, 10, 51, 7, 51, 7];
        Dataset::new(pixels, vec![1, 0], vec!["a".into(), "b".into()], [1, 2], 2).unwrap()
    }

    #[test]
    fn pictures_and_labels_are_found() {
        let data = tiny();
        assert_eq!((data.len(), data.size(), data.channels()), (2, [1, 2], 2));
        assert_eq!(data.pixels(0), [0, 10, 255, 10]);
        assert_eq!(data.pixels(1), [51, 7, 51, 7]);
        assert_eq!((data.label(0), data.label(1)), (1, 0));
    }

    #[test]
    fn clips_of_different_shape_are_found() {
        // Two frames of 1×2, one of 2×1, one channel.
        let pixels = vec![1, 2, 3, 4, 5, 6];
        let classes = vec!["a".into(), "b".into()];
        let data = Dataset::clips(pixels, &[[2, 1, 2], [1, 2, 1]], vec![1, 0], classes, 1).unwrap();
        assert_eq!((data.len(), data.size(), data.common_size(), data.labels()), (2, [1, 1], None, [1, 0].as_slice()));
        assert_eq!([0, 1].map(|i| (data.frames(i), data.size_of(i))), [(2, [1, 2]), (1, [2, 1])]);
        assert_eq!((data.pixels(0), data.pixels(1)), ([1, 2, 3, 4].as_slice(), [5, 6].as_slice()));
        assert_eq!((data.frame(0, 0), data.frame(0, 1), data.frame(1, 0)), (&[1, 2][..], &[3, 4][..], &[5, 6][..]));
    }

    #[test]
    #[should_panic]
    fn a_frame_does_not_reach_into_the_next_clip() {
        let data = Dataset::clips(vec![0; 4], &[[2, 1, 1]; 2], vec![0; 2], vec!["a".into()], 1).unwrap();
        data.frame(0, 2);
    }

    #[test]
    fn samples_lie_in_several_stores() {
        let stores = [vec![1, 2, 3], vec![4, 5]].map(|bytes| Arc::new(Store::Memory(bytes))).to_vec();
        let sample = |store, offset, frames| Sample { store, offset, frames, size: [1, 1], label: 0 };
        let build = |samples| Dataset::from_samples(stores.clone(), samples, vec!["a".into()], 1);
        let data = build(vec![sample(1, 0, 2), sample(0, 2, 1)]).unwrap();
        assert_eq!((data.pixels(0), data.pixels(1)), ([4, 5].as_slice(), [3].as_slice()));
        assert_eq!(data.common_size(), Some([1, 1]));
        for outside in [sample(1, 1, 2), sample(2, 0, 1), sample(0, u64::MAX, 1), sample(0, 0, 0)] {
            let error = build(vec![sample(0, 0, 1), outside]).unwrap_err();
            assert!(error.to_string().contains("sample 1"), "{error}");
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_an_error() {
        let error = Dataset::new(vec![0; 5], vec![0, 0], vec!["a".into()], [1, 3], 1).unwrap_err();
        assert!(error.to_string().contains("5 bytes"), "{error}");
        let error = Dataset::new(vec![0; 2], vec![0, 7], vec!["a".into()], [1, 1], 1).unwrap_err();
        assert!(error.to_string().contains("label 7"), "{error}");
    }
    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let clips = |shapes: &[[usize; 3]], labels| Dataset::clips(vec![0; 6], shapes, labels, vec!["a".into()], 3);
        assert!(clips(&[[1, 1, 1]; 2], vec![0; 2]).is_ok());
        assert!(clips(&[[1, 1, 1]; 2], vec![0]).unwrap_err().to_string().contains("1 labels"));
        assert!(clips(&[[3, 1, 1]], vec![0]).unwrap_err().to_string().contains("9 bytes"));
        assert!(clips(&[[2, 1, 1], [0, 1, 1]], vec![0; 2]).is_err());
        assert!(clips(&[[usize::MAX, 2, 1]], vec![0]).is_err());
    }
}
