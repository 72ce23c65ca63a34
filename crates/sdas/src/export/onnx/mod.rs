//! A network as an ONNX model: layers and weights in one file, which many runtimes read.
//!
//! Activations are channels first, `[N, C, H, W]`, of networks for clips `[N, C, T, H, W]`. The batch is of any size, and so are
//! the samples along every axis whose size no layer has to know.

mod axes;
mod external;
mod layers;
mod numbers;
mod preprocessing;
mod proto;
mod windows;
mod writer;

use super::Subject;
use crate::layers::{Shape, ShapeError};
use axes::Axes;
use layers::Layers;
use numbers::Numbers;
use prost::Message;
use proto::{Entry, Kind, Model, Opset, Size, ValueInfo};
use writer::Writer;

/// What is written, beside the layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnnxSettings {
    /// Take 8-bit pixels, channels last, normalise them, and give probabilities.
    pub preprocessing: bool,
    /// Compute with floating-point numbers of 16 bits; what is read and given has 32 all the same.
    pub half: bool,
    /// Take norms into the convolutions that they follow.
    pub fold: bool,
    /// Weights beside the model, in a file of this name.
    pub external: Option<String>,
}

/// Why a network is no ONNX model.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// Samples that it cannot read.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// What it gives is not a row of logits.
    #[error("the network gives {shape}, and no row of logits")]
    Positions {
        /// What it gives.
        shape: Shape,
    },
    /// A number that 16 bits do not hold.
    #[error("{tensor} has a {value:e}, more than numbers of 16 bits hold; export it without --half, or with --fold")]
    Half {
        /// The tensor.
        tensor: String,
        /// The number.
        value: f32,
    },
    /// There is no data to know the normalisation from.
    #[error(
        "there is no mean and deviation to normalise pixels by: a network without training has seen none\n  remedy: export \
         the run of a training, or leave out --with-preprocessing"
    )]
    NoStatistics,
    /// Stacked frames are normalised by their clip's own numbers, and which of them are the same is in no stack.
    #[error(
        "data.clip.normalization = \"per_clip\" with stacks of several segments is not written into a model: whether a frame \
         is in two of them depends on the clip\n  remedy: leave out --with-preprocessing and normalise before"
    )]
    OwnStatistics,
    /// More than one file holds.
    #[error(
        "the model has {bytes} bytes, more than the 2 GiB that a file of ONNX holds\n  remedy: --external-data, or --half"
    )]
    Large {
        /// Its bytes.
        bytes: usize,
    },
}

/// A network as a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Onnx {
    /// The bytes of the model's file.
    pub model: Vec<u8>,
    /// Those of the file with its weights, where they are beside.
    pub data: Option<Vec<u8>>,
    /// What it reads.
    pub input: Port,
    /// What it gives.
    pub output: Port,
}

/// What a model reads or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: &'static str,
    /// `uint8` or `float32`.
    pub numbers: &'static str,
    /// Its axes: sizes, or names of those that may be of any size.
    pub axes: Vec<String>,
}

impl Port {
    fn new(name: &'static str, kind: Kind, sizes: &[Size]) -> Self {
        let axis = |size: &Size| match size {
            Size::Fixed(size) => size.to_string(),
            Size::Free(name) => name.clone(),
        };
        let numbers = if kind == Kind::Byte { "uint8" } else { "float32" };
        Port { name, numbers, axes: sizes.iter().map(axis).collect() }
    }
}

/// The most bytes of a message of protobuf.
const MOST: usize = i32::MAX as usize;

/// Writes a network down as an ONNX model.
///
/// # Errors
///
/// What no model can be, and why.
pub fn to_onnx(subject: &Subject, settings: &OnnxSettings) -> Result<Onnx, OnnxError> {
    let shapes = subject.graph.shapes(subject.extent)?;
    let axes = Axes::of(&subject.graph, subject.is_planar());
    let numbers = Numbers::of(subject, settings.fold);
    let float = if settings.half { Kind::Half } else { Kind::Single };
    let mut writing = Layers {
        writer: Writer::new(float),
        graph: &subject.graph,
        shapes: &shapes,
        axes: &axes,
        numbers: &numbers,
        dims: if subject.is_planar() { 2 } else { 3 },
        given: Vec::new(),
    };
    let sizes = writing.sample();
    let (name, kind) = if settings.preprocessing { ("pixels", Kind::Byte) } else { ("input", Kind::Single) };
    let input = writing.writer.input(name);
    let mut x = input.clone();
    if settings.preprocessing {
        x = preprocessing::normalise(&mut writing, subject, &x)?;
    }
    x = writing.writer.cast(&x, Kind::Single, float);
    let logits = writing.write(x)?;
    let mut output = writing.writer.cast(&logits, float, Kind::Single);
    let result = if settings.preprocessing { "probabilities" } else { "logits" };
    if settings.preprocessing {
        output = preprocessing::share(&mut writing.writer, &output);
    }
    writing.writer.rename(&output, result);
    let classes = shapes[subject.graph.output().index()].channels as i64;

    let batch = Size::Free("batch".to_owned());
    let (channels, rest) = (Size::Fixed(subject.inputs as i64), sizes);
    let inner: Vec<Size> = match settings.preprocessing {
        true => rest.into_iter().chain([channels]).collect(),
        false => std::iter::once(channels).chain(rest).collect(),
    };
    let read: Vec<Size> = std::iter::once(batch.clone()).chain(inner).collect();
    let given = vec![batch, Size::Fixed(classes)];
    let (input_port, output_port) = (Port::new(name, kind, &read), Port::new(result, Kind::Single, &given));
    let (node, mut initializer) = writing.writer.finish()?;
    let data = settings.external.as_deref().map(|file| external::move_out(&mut initializer, file));
    let graph = proto::Graph {
        node,
        name: "sdas".to_owned(),
        initializer,
        input: vec![ValueInfo::new(&input, kind, read)],
        output: vec![ValueInfo::new(result, Kind::Single, given)],
    };
    let model = Model {
        ir_version: 8,
        producer_name: "sdas".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![Opset { domain: String::new(), version: 17 }],
        metadata_props: subject.metadata().into_iter().map(|(key, value)| Entry { key, value }).collect(),
    };
    let bytes = model.encoded_len();
    if bytes > MOST {
        return Err(OnnxError::Large { bytes });
    }
    Ok(Onnx { model: model.encode_to_vec(), data, input: input_port, output: output_port })
}
