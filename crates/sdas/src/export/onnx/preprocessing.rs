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
        Normalization::PerClip => {
            let fresh = seen.clip.fresh().ok_or(OnnxError::OwnStatistics)?;
            let stack = Stack { frames: seen.clip.stack, fresh, inputs: subject.inputs };
            Ok(by_itself(layers, stack, &planes))
        }
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

/// Frames that lie side by side in a step's channels.
#[derive(Clone, Copy)]
struct Stack {
    /// How many.
    frames: usize,
    /// How many of them, the last, are in no step before.
    fresh: usize,
    /// The channels of all.
    inputs: usize,
}

/// By the sample's own mean and deviation.
fn by_itself(layers: &mut Layers<'_>, stack: Stack, planes: &str) -> String {
    /// Less than the deviation of pixels that are not all the same. Where they are, their distance is 0 as it is.
    const LEAST: f32 = 1e-4;
    let middle = mean(layers, stack, planes);
    let distance = layers.writer.node("Sub", &[planes, &middle], vec![]);
    let squares = layers.writer.node("Mul", &[&distance, &distance], vec![]);
    let variance = mean(layers, stack, &squares);
    let writer = &mut layers.writer;
    let deviation = writer.node("Sqrt", &[&variance], vec![]);
    let least = writer.floats_of(Kind::Single, "pixels.least", &[], &[LEAST]);
    let deviation = writer.node("Max", &[&deviation, &least], vec![]);
    writer.node("Div", &[&distance, &deviation], vec![])
}

/// Means of every colour over all pixels of all frames, for every channel. A frame that is in several steps counts once.
fn mean(layers: &mut Layers<'_>, stack: Stack, planes: &str) -> String {
    let over = |writer: &mut Writer, means: &str, axis: usize| {
        writer.node("ReduceMean", &[means], vec![Attribute::ints("axes", [axis])])
    };
    let (dims, Stack { frames, fresh, inputs }) = (layers.dims, stack);
    // Axis by axis: in one sum of all pixels, single precision loses more than the network does.
    let across = |writer: &mut Writer| (dims..dims + 2).rev().fold(planes.to_owned(), |x, axis| over(writer, &x, axis));
    let means = across(&mut layers.writer);
    if frames == 1 {
        return if dims == 3 { over(&mut layers.writer, &means, 2) } else { means };
    }
    let colours = inputs / frames;
    let parts = match ((frames - fresh) * colours) as i64 {
        0 => vec![means],
        // The first step's, which no other has, and then each step's own.
        known => {
            vec![layers.slice(&means, &[(1, 0, known), (2, 0, 1)]), layers.slice(&means, &[(1, known, inputs as i64)])]
        }
    };
    let writer = &mut layers.writer;
    // To [N, frames, colours].
    let sizes = writer.integers(&[0, -1, colours as i64]);
    let mut in_turn = |part: &String| {
        let steps = match dims {
            3 => writer.node("Transpose", &[part], vec![Attribute::ints("perm", [0, 2, 1, 3, 4])]),
            _ => part.clone(),
        };
        writer.node("Reshape", &[&steps, &sizes], vec![])
    };
    let parts: Vec<String> = parts.iter().map(&mut in_turn).collect();
    let all = match &parts[..] {
        [all] => all.clone(),
        parts => writer.node(
            "Concat",
            &parts.iter().map(String::as_str).collect::<Vec<_>>(),
            vec![Attribute::int("axis", 1)],
        ),
    };
    let colour = over(writer, &all, 1);
    let channels = writer.node("Concat", &vec![&colour[..]; frames], vec![Attribute::int("axis", 2)]);
    let sizes: Vec<i64> = [0, inputs as i64].into_iter().chain(vec![1; dims]).collect();
    let sizes = writer.integers(&sizes);
    writer.node("Reshape", &[&channels, &sizes], vec![])
}

/// From logits to probabilities.
pub(super) fn share(writer: &mut Writer, logits: &str) -> String {
    writer.node("Softmax", &[logits], vec![Attribute::int("axis", 1)])
}
