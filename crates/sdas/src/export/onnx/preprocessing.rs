//! What lies around a network for those who have pixels and want probabilities.

use super::OnnxError;
use super::layers::Layers;
use super::proto::{Attribute, Kind, Size};
use super::writer::Writer;
use crate::export::Subject;
use sdas_data::{Normalization, Statistics};

/// What axes of samples are called where they may be of any size.
const AXES: [&str; 3] = ["frames", "height", "width"];

impl Layers<'_> {
    /// The sizes of a sample, along the axes that there are.
    pub(super) fn sample(&self) -> Vec<Size> {
        let (extent, varying) = (self.shapes[0].extent, self.axes.varying(0));
        let size = |axis: usize| match varying[axis] {
            true => Size::Free(AXES[axis].to_owned()),
            false => Size::Fixed(extent[axis] as i64),
        };
        self.places().map(size).collect()
    }
}

/// From pixels, channels last, to normalised ones, channels first.
pub(super) fn normalise(layers: &mut Layers<'_>, subject: &Subject, pixels: &str) -> Result<String, OnnxError> {
    let seen = subject.seen.as_ref().ok_or(OnnxError::NoStatistics)?;
    let last = layers.dims + 1;
    let order = [0, last].into_iter().chain(1..last);
    let pixels = layers.writer.cast(pixels, Kind::Byte, Kind::Single);
    let planes = layers.writer.node("Transpose", &[&pixels], vec![Attribute::ints("perm", order)]);
    match seen.clip.normalization {
        Normalization::Dataset => Ok(by_statistics(layers, &seen.statistics, subject.inputs, &planes)),
        Normalization::PerClip if seen.clip.stack > 1 => Err(OnnxError::OwnStatistics),
        Normalization::PerClip => Ok(by_itself(layers, &planes)),
    }
}

/// By the data set's mean and deviation. Stacked frames have their channels side by side.
fn by_statistics(layers: &mut Layers<'_>, statistics: &Statistics, inputs: usize, planes: &str) -> String {
    let Statistics { mean, std } = statistics;
    let of = |value: fn(f32, f32) -> f32| -> Vec<f32> {
        (0..inputs).map(|channel| value(mean[channel % mean.len()], std[channel % std.len()])).collect()
    };
    let (scale, shift) = (of(|_, std| (1.0 / (255.0 * f64::from(std))) as f32), of(|mean, std| -mean / std));
    let dims = [&[1, inputs][..], &layers.ones()].concat();
    let writer = &mut layers.writer;
    let scale = writer.floats_of(Kind::Single, "pixels.scale", &dims, &scale);
    let shift = writer.floats_of(Kind::Single, "pixels.shift", &dims, &shift);
    let scaled = writer.node("Mul", &[planes, &scale], vec![]);
    writer.node("Add", &[&scaled, &shift], vec![])
}

/// By the sample's own mean and deviation.
fn by_itself(layers: &mut Layers<'_>, planes: &str) -> String {
    /// Less than the deviation of pixels that are not all the same. Where they are, their distance is 0 as it is.
    const LEAST: f32 = 1e-4;
    let (dims, writer) = (layers.dims, &mut layers.writer);
    // Axis by axis: in one sum of all pixels, single precision loses more than the network does.
    let mean = |of: &str, writer: &mut Writer| {
        (2..2 + dims).rev().fold(of.to_owned(), |means, axis| {
            writer.node("ReduceMean", &[&means], vec![Attribute::ints("axes", [axis])])
        })
    };
    let middle = mean(planes, writer);
    let distance = writer.node("Sub", &[planes, &middle], vec![]);
    let squares = writer.node("Mul", &[&distance, &distance], vec![]);
    let variance = mean(&squares, writer);
    let deviation = writer.node("Sqrt", &[&variance], vec![]);
    let least = writer.floats_of(Kind::Single, "pixels.least", &[], &[LEAST]);
    let deviation = writer.node("Max", &[&deviation, &least], vec![]);
    writer.node("Div", &[&distance, &deviation], vec![])
}

/// From logits to probabilities.
pub(super) fn share(writer: &mut Writer, logits: &str) -> String {
    writer.node("Softmax", &[logits], vec![Attribute::int("axis", 1)])
}
