//! What lies around a network for those who have pixels and want probabilities.

use super::OnnxError;
use super::layers::Layers;
use super::proto::{Attribute, Kind, Size};
use super::writer::Writer;
use crate::export::Subject;
use sdas_data::Normalization;

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
    if seen.clip.normalization == Normalization::PerClip {
        return Err(OnnxError::OwnStatistics);
    }
    let (mean, std) = (&seen.statistics.mean, &seen.statistics.std);
    // Stacked frames have their channels side by side.
    let of = |value: fn(f32, f32) -> f32| -> Vec<f32> {
        (0..subject.inputs).map(|channel| value(mean[channel % mean.len()], std[channel % std.len()])).collect()
    };
    let (scale, shift) = (of(|_, std| (1.0 / (255.0 * f64::from(std))) as f32), of(|mean, std| -mean / std));
    let dims = [&[1, subject.inputs][..], &layers.ones()].concat();
    let last = layers.dims + 1;
    let order = [0, last].into_iter().chain(1..last);
    let writer = &mut layers.writer;
    let pixels = writer.cast(pixels, Kind::Byte, Kind::Single);
    let planes = writer.node("Transpose", &[&pixels], vec![Attribute::ints("perm", order)]);
    let scale = writer.floats_of(Kind::Single, "pixels.scale", &dims, &scale);
    let shift = writer.floats_of(Kind::Single, "pixels.shift", &dims, &shift);
    let scaled = writer.node("Mul", &[&planes, &scale], vec![]);
    Ok(writer.node("Add", &[&scaled, &shift], vec![]))
}

/// From logits to probabilities.
pub(super) fn share(writer: &mut Writer, logits: &str) -> String {
    writer.node("Softmax", &[logits], vec![Attribute::int("axis", 1)])
}
