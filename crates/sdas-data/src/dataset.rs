//! Pictures of one split, decoded, as 8-bit numbers.

use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// All pictures of one split: 8-bit, `[count, height, width, channels]` row-major, in memory or
/// memory-mapped.
///
/// A clone shares the pictures.
#[derive(Clone)]
pub struct Dataset {
    shared: Arc<Shared>,
}

struct Shared {
    pixels: Pixels,
    labels: Vec<u16>,
    classes: Vec<String>,
    size: [usize; 2],
    channels: usize,
}

/// The pictures of one split: a part of a store that both splits share.
pub(crate) struct Pixels {
    pub(crate) store: Arc<Store>,
    pub(crate) range: Range<usize>,
}

/// Where the bytes are.
pub(crate) enum Store {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Pixels {
    fn bytes(&self) -> &[u8] {
        match &*self.store {
            Store::Memory(bytes) => &bytes[self.range.clone()],
            Store::Mapped(map) => &map[self.range.clone()],
        }
    }
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
        let range = 0..pixels.len();
        let pixels = Pixels { store: Arc::new(Store::Memory(pixels)), range };
        Self::from_parts(pixels, labels, classes, size, channels)
    }

    pub(crate) fn from_parts(
        pixels: Pixels,
        labels: Vec<u16>,
        classes: Vec<String>,
        size: [usize; 2],
        channels: usize,
    ) -> Result<Self, DataError> {
        let shape = [labels.len(), size[0], size[1], channels];
        let expected = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        if expected != Some(pixels.bytes().len()) {
            return Err(DataError::Layout { bytes: pixels.bytes().len(), shape });
        }
        if let Some(record) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            return Err(DataError::LabelOutOfRange {
                path: "memory".into(),
                record,
                label: labels[record].into(),
                classes: classes.len(),
            });
        }
        Ok(Self { shared: Arc::new(Shared { pixels, labels, classes, size, channels }) })
    }

    /// How many pictures there are.
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

    /// Height and width of every picture, in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.shared.size
    }

    /// Numbers per pixel: 3, red, green and blue, for everything [`crate::load`] returns.
    pub fn channels(&self) -> usize {
        self.shared.channels
    }

    /// The class of picture `i`.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn label(&self, i: usize) -> usize {
        self.shared.labels[i].into()
    }

    /// The class of every picture.
    pub fn labels(&self) -> &[u16] {
        &self.shared.labels
    }

    /// Picture `i`, `[height, width, channels]` row-major, 0–255.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn pixels(&self, i: usize) -> &[u8] {
        let bytes = self.picture_bytes();
        &self.shared.pixels.bytes()[i * bytes..][..bytes]
    }

    /// Whether the pictures are read from a memory-mapped cache.
    pub fn is_mapped(&self) -> bool {
        matches!(*self.shared.pixels.store, Store::Mapped(_))
    }

    /// Mean and standard deviation per channel, over all pixels of the pictures `indices`, on the
    /// scale 0–1.
    ///
    /// The sums are exact integers, so the order of `indices` has no influence.
    ///
    /// # Panics
    /// If an index has no picture.
    pub fn statistics(&self, indices: &[usize]) -> Statistics {
        let channels = self.channels();
        let mut histograms = vec![[0u64; 256]; channels];
        for &i in indices {
            for pixel in self.pixels(i).chunks_exact(channels) {
                for (histogram, &value) in histograms.iter_mut().zip(pixel) {
                    histogram[usize::from(value)] += 1;
                }
            }
        }
        let (mean, std) = histograms.iter().map(moments).unzip();
        Statistics { mean, std }
    }

    fn picture_bytes(&self) -> usize {
        self.shared.size[0] * self.shared.size[1] * self.shared.channels
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [height, width] = self.size();
        let classes = self.classes().len();
        write!(f, "Dataset({} × {height}×{width}×{}, {classes} classes)", self.len(), self.channels())
    }
}

/// Mean and standard deviation per channel of pixels on the scale 0–1: what pictures are normalised
/// by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel (of the population); 1 for a channel that never varies,
    /// so that normalising by it stays finite.
    pub std: Vec<f32>,
}

/// Mean and standard deviation of the values 0–255 of a histogram, divided by 255.
fn moments(histogram: &[u64; 256]) -> (f32, f32) {
    let (mut count, mut sum, mut squares) = (0u128, 0u128, 0u128);
    for (value, &times) in (0u128..).zip(histogram) {
        let times = u128::from(times);
        count += times;
        sum += times * value;
        squares += times * value * value;
    }
    // n²·variance, still exact.
    let spread = count * squares - sum * sum;
    if spread == 0 {
        return (if count == 0 { 0.0 } else { (sum as f64 / count as f64 / 255.0) as f32 }, 1.0);
    }
    let count = count as f64;
    ((sum as f64 / count / 255.0) as f32, ((spread as f64).sqrt() / count / 255.0) as f32)
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
    fn statistics_by_hand() {
        // Channel 0 of picture 0 is {0, 1}: mean ½, standard deviation ½. Channel 1 never varies.
        let statistics = tiny().statistics(&[0]);
        assert_eq!(statistics.mean, [0.5, 10.0 / 255.0]);
        assert_eq!(statistics.std, [0.5, 1.0]);
        // Both: {0, 1, 0.2, 0.2}: mean 0.35, mean square 0.27, variance 0.1475.
        let statistics = tiny().statistics(&[1, 0]);
        assert!((statistics.mean[0] - 0.35).abs() < 1e-7);
        assert!((statistics.std[0] - 0.1475f32.sqrt()).abs() < 1e-7);
        assert_eq!(tiny().statistics(&[]), Statistics { mean: vec![0.0; 2], std: vec![1.0; 2] });
    }

    #[test]
    fn lengths_that_do_not_fit_are_an_error() {
        let error = Dataset::new(vec![0; 5], vec![0, 0], vec!["a".into()], [1, 3], 1).unwrap_err();
        assert!(error.to_string().contains("5 bytes"), "{error}");
        let error = Dataset::new(vec![0; 2], vec![0, 7], vec!["a".into()], [1, 1], 1).unwrap_err();
        assert!(error.to_string().contains("label 7"), "{error}");
    }
}
