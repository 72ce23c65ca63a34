//! Networks in the formats of others.
//!
//! What is written here as ONNX is computed by others elsewhere: `crates/sdas-oracle` and `bench/check_onnx.py` read the cases
//! that these tests leave in the folder that `SDAS_ONNX_CASES` names, or else in `target/tmp/onnx`: a model, what it is given,
//! and what we compute of that.

mod cells;

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use cells::{LARGEST, everywhere};
use rand::Rng;
use safetensors::tensor::{Dtype, TensorView};
use sdas::architecture::Architecture;
use sdas::export::{Numbers, OnnxError, OnnxSettings, Subject, to_onnx, to_safetensors};
use sdas::handmade::{NETWORKS, Named, Sizes};
use sdas::layers::{Activation, Affinity, Builder, Filter, Graph, Layer, Padding, Value, Window};
use sdas::network::{NetworkShape, Pass};
use sdas::parameters::Parameters;
use sdas::run::Seen;
use sdas::space::{Candidates, IMAGE, NB201, Space, Stem, VIDEO};
use sdas::supernet::{Remains, Supernet, SupernetShape};
use sdas_data::random::stream;
use sdas_data::{ClipSettings, Normalization, Sampling, Statistics};
use sdas_kernels::portably;
use std::path::PathBuf;

/// Samples in a case.
const BATCH: usize = 3;

/// A folder of cases.
fn cases(below: &str) -> PathBuf {
    let whole = std::env::var_os("SDAS_ONNX_CASES")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("onnx"), PathBuf::from);
    let folder = whole.join(below);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Numbers by chance, of about unit variance.
fn by_chance(count: usize, seed: u64) -> Vec<f32> {
    let mut stream = stream(seed, "export", [0, 0]);
    (0..count).map(|_| stream.random_range(-1.7..1.7)).collect()
}

/// Samples by chance.
fn samples([t, h, w]: [usize; 3], channels: usize) -> Tensor<5> {
    let shape = [BATCH, t, h, w, channels];
    Tensor::from_data(TensorData::new(by_chance(shape.iter().product(), 7), shape), &Device::flex())
}

/// A network with weights by chance, scales and biases among them, and statistics that have begun to follow samples.
fn subject(graph: Graph, inputs: usize, extent: [usize; 3]) -> Subject {
    let device = Device::flex();
    let mut seed = 0;
    let weights = graph.initial_weights(1, &device).map(|tensor| {
        seed += 1;
        let count = tensor.dims()[0];
        tensor + Tensor::from_data(TensorData::new(by_chance(count, seed), [count]), &device) * 0.05
    });
    // Not the batch's alone: where its variance is next to nothing, norms would make a last bit a difference.
    let batch = graph.forward(Pass::training(&weights), samples(extent, inputs)).statistics;
    let statistics = graph.initial_statistics(&device).approach(&batch, 0.3);
    Subject {
        architecture: Architecture::Network(Named::find("resnet20").unwrap()),
        network: None,
        shape: None,
        graph,
        weights,
        statistics,
        numbers: Numbers::Initial(1),
        extent,
        inputs,
        classes: Vec::new(),
        seen: None,
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Samples as `case` has them, and what the network makes of them: logits, or in a model with preprocessing probabilities.
struct Case {
    name: &'static str,
    shape: Vec<usize>,
    kind: Dtype,
    input: Vec<u8>,
    given: Vec<f32>,
    /// In double precision, where rounding matters.
    exact: Vec<f32>,
}

impl Case {
    fn of(subject: &Subject, extent: [usize; 3], preprocessed: bool, exact: bool) -> Self {
        let mut input = samples(extent, subject.inputs);
        let pixels: Option<Vec<u8>> = preprocessed.then(|| {
            let pixels: Vec<u8> = input.to_data().iter::<f32>().map(|value| (value * 60.0 + 110.0) as u8).collect();
            let values = normalised(subject, &pixels, extent[0]);
            input = Tensor::from_data(TensorData::new(values, input.dims()), &Device::flex());
            pixels
        });
        let given = |dtype: DType| -> Vec<f32> {
            let cast = |numbers: &Parameters| numbers.map(|tensor| tensor.cast(dtype));
            let (weights, statistics) = (cast(&subject.weights), cast(&subject.statistics));
            let pass = Pass::evaluation(&weights, &statistics);
            let logits = subject.graph.forward(pass, input.clone().cast(dtype)).logits;
            let given = if preprocessed { softmax(logits, 1) } else { logits };
            given.into_data().convert::<f32>().iter().collect()
        };
        let exact = if exact { portably(|| given(DType::F64)) } else { Vec::new() };
        let [t, h, w] = extent;
        let sizes = if subject.is_planar() { vec![h, w] } else { vec![t, h, w] };
        let floats = || -> Vec<f32> { input.clone().permute([0, 4, 1, 2, 3]).into_data().iter().collect() };
        let (kind, shape, input) = match pixels {
            Some(pixels) => (Dtype::U8, [&[BATCH][..], &sizes, &[subject.inputs]].concat(), pixels),
            None => (Dtype::F32, [&[BATCH, subject.inputs][..], &sizes].concat(), bytes(&floats())),
        };
        Case { name: "", shape, kind, input, given: given(DType::F32), exact }
    }

    fn tensors(&self) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
        let given = |what: &str, values: &[f32]| {
            (format!("{what}{}", self.name), Dtype::F32, vec![BATCH, values.len() / BATCH], bytes(values))
        };
        let mut tensors = vec![(format!("x{}", self.name), self.kind, self.shape.clone(), self.input.clone())];
        tensors.push(given("logits", &self.given));
        tensors.extend((!self.exact.is_empty()).then(|| given("exact", &self.exact)));
        tensors
    }
}

/// Pixels of samples of so many steps, normalised as the subject's run does.
fn normalised(subject: &Subject, pixels: &[u8], steps: usize) -> Vec<f32> {
    let (Seen { clip, statistics }, channels) = (subject.seen.as_ref().unwrap(), subject.inputs);
    let colours = channels / clip.stack;
    let sample = |pixels: &[u8]| -> Vec<f32> {
        // What has not been in the stack of the step before.
        let is_new = |at: usize| {
            let (step, number) = (at / (pixels.len() / steps), at % channels / colours);
            step == 0 || number + clip.stride >= clip.stack
        };
        let moments = |colour: usize| {
            if clip.normalization == Normalization::Dataset {
                return [statistics.mean[colour], statistics.std[colour]].map(f64::from);
            }
            let of = (0..pixels.len()).filter(|&at| at % colours == colour && is_new(at));
            let values: Vec<f64> = of.map(|at| f64::from(pixels[at]) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            [mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()]
        };
        let moments: Vec<[f64; 2]> = (0..colours).map(moments).collect();
        let value = |(at, &value): (usize, &u8)| {
            let [mean, std] = moments[at % colours];
            ((f64::from(value) / 255.0 - mean) / std) as f32
        };
        pixels.iter().enumerate().map(value).collect()
    };
    pixels.chunks(pixels.len() / BATCH).flat_map(sample).collect()
}

/// Leaves a case: the model, and for samples by chance the logits; where their size is free, for those of another, too.
fn leave(below: &str, name: &str, subject: &Subject, settings: &OnnxSettings) {
    let folder = cases(below);
    let external = settings.external.is_some().then(|| format!("{name}.onnx.data"));
    let settings = OnnxSettings { external: external.clone(), ..settings.clone() };
    let onnx = to_onnx(subject, &settings).unwrap_or_else(|error| panic!("{name}: {error}"));
    std::fs::write(folder.join(format!("{name}.onnx")), &onnx.model).unwrap();
    assert_eq!(onnx.data.is_some(), external.is_some());
    if let (Some(data), Some(file)) = (&onnx.data, external) {
        std::fs::write(folder.join(file), data).unwrap();
    }
    let case = Case::of(subject, subject.extent, settings.preprocessing, below == "networks");
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |most, value| most.max(value.abs()));
    let size = largest(&mut case.given.iter().copied());
    let between = largest(&mut case.given.iter().zip(&case.given[case.given.len() / BATCH..]).map(|(a, b)| a - b));
    // Edges that give zeros leave of a sample nothing.
    let is_nothing = name.contains("zero") || name.ends_with("none");
    assert!(
        size.is_finite() && (is_nothing || between > 0.01 * size),
        "{name}: {between:.1e} between samples, of {size:.1e}"
    );
    let mut tensors = case.tensors();
    let axes = &onnx.input.axes;
    let mut other = subject.extent;
    for (axis, called) in ["frames", "height", "width"].into_iter().enumerate() {
        other[axis] += if axes.iter().any(|axis| axis == called) { 3 } else { 0 };
    }
    if other != subject.extent && below != "networks" {
        let other = Case::of(subject, other, settings.preprocessing, false);
        tensors.extend(Case { name: "2", ..other }.tensors());
    }
    let views = tensors
        .iter()
        .map(|(name, kind, shape, bytes)| (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    std::fs::write(folder.join(format!("{name}.safetensors")), safetensors::serialize(views, None).unwrap()).unwrap();
}

type Build = fn(&mut Builder, Value) -> Value;

/// Every layer, over six channels.
fn layers() -> Vec<(&'static str, Build)> {
    const CEIL: Window = Window::square(3).step(2).padding([0, 1, 1]).ceil();
    fn uneven(window: Window) -> Window {
        Window { padding: Padding::Fixed([[0, 0], [2, 1], [0, 1]]), ..window }
    }
    fn attention(b: &mut Builder, x: Value, affinity: Affinity) -> Value {
        let pooled = b.max_pool(x, Window::square(2).step(2));
        let twice = b.add(pooled, pooled);
        b.layer("", Layer::Attention { affinity }, &[x, pooled, twice])
    }
    vec![
        ("convolution", |b, x| {
            b.convolution("c", x, Filter::new(4, uneven(Window::square(3).step(2).dilation([1, 2, 1]))).biased())
        }),
        ("grouped", |b, x| b.convolution("c", x, Filter::new(8, Window::square(3).centred()).groups(2))),
        ("depthwise", |b, x| b.convolution("c", x, Filter::new(6, Window::square(5).step(2).centred()).groups(6))),
        ("same", |b, x| b.convolution("c", x, Filter::new(4, Window::square(2).step(3).same()))),
        ("same_kept", |b, x| b.convolution("c", x, Filter::new(4, Window::square(4).dilation([1, 2, 2]).same()))),
        ("norm", |b, x| {
            let x = b.norm_with("affine", x, 1e-3);
            b.layer("plain", Layer::Norm { channels: 6, epsilon: 1e-5, affine: false }, &[x])
        }),
        ("relu", |b, x| b.relu(x)),
        ("relu6", |b, x| {
            let x = b.add(x, x);
            let x = b.add(x, x);
            b.activation(Activation::Relu6, x)
        }),
        ("sigmoid", |b, x| b.activation(Activation::Sigmoid, x)),
        ("tanh", |b, x| b.activation(Activation::Tanh, x)),
        ("hard_sigmoid", |b, x| {
            let x = b.add(x, x);
            b.activation(Activation::HardSigmoid, x)
        }),
        ("hard_swish", |b, x| {
            let x = b.add(x, x);
            b.activation(Activation::HardSwish, x)
        }),
        ("softmax", |b, x| b.activation(Activation::Softmax, x)),
        ("logarithm", |b, x| b.activation(Activation::Logarithm, x)),
        ("signed_root", |b, x| b.activation(Activation::SignedRoot, x)),
        ("unit_length", |b, x| b.activation(Activation::UnitLength, x)),
        ("max", |b, x| b.max_pool(x, uneven(Window::square(3).step(2)))),
        ("max_ceil", |b, x| b.max_pool(x, Window::square(3).step(2).ceil())),
        ("max_ceil_padded", |b, x| b.max_pool(x, Window::square(2).step(2).padding([0, 1, 1]).ceil())),
        ("max_dilated", |b, x| b.max_pool(x, Window::square(3).dilation([1, 3, 2]).centred())),
        ("max_same", |b, x| b.max_pool(x, Window::square(3).step(2).same())),
        ("average_inside", |b, x| b.average_pool(x, uneven(Window::square(3).step(2)), false)),
        ("average_padded", |b, x| b.average_pool(x, uneven(Window::square(3).step(2)), true)),
        ("average_same", |b, x| b.average_pool(x, Window::square(3).step(2).same(), true)),
        ("average_ceil_inside", |b, x| b.average_pool(x, CEIL, false)),
        ("average_ceil_padded", |b, x| b.average_pool(x, CEIL, true)),
        ("average_ceil", |b, x| b.average_pool(x, Window::square(2).step(2).ceil(), false)),
        ("adaptive", |b, x| b.layer("", Layer::AdaptiveAverage { size: [None, Some(3), Some(4)] }, &[x])),
        ("adaptive_rows", |b, x| b.layer("", Layer::AdaptiveAverage { size: [None, Some(1), None] }, &[x])),
        ("linear", |b, x| b.linear("l", x, 5)),
        ("linear_rows", |b, x| {
            let x = b.average(x);
            let x = b.linear("l", x, 5);
            let x = b.relu(x);
            b.layer("m", Layer::Linear { inputs: 5, outputs: 7, bias: false }, &[x])
        }),
        ("gate", |b, x| {
            let gate = b.average(x);
            let gate = b.linear("l", gate, 6);
            let gate = b.activation(Activation::Sigmoid, gate);
            b.multiply(x, gate)
        }),
        ("add", |b, x| {
            let (y, z) = (b.relu(x), b.activation(Activation::Tanh, x));
            b.layer("", Layer::Add, &[x, y, z])
        }),
        ("concatenate", |b, x| {
            let (y, z) = (b.channels_of(x, 1, 4), b.relu(x));
            b.concatenate(&[x, y, z])
        }),
        ("concatenate_rows", |b, x| {
            let y = b.average(x);
            let (y, z) = (b.linear("l", y, 3), b.linear("m", y, 4));
            let y = b.concatenate(&[y, z]);
            b.channels_of(y, 2, 6)
        }),
        ("shuffle", |b, x| b.layer("", Layer::Shuffle { groups: 2 }, &[x])),
        ("pad", |b, x| b.layer("", Layer::Pad { amounts: [[0, 0], [2, -1], [-1, 1]] }, &[x])),
        ("pad_shifted", |b, x| {
            let x = b.layer("", Layer::AdaptiveAverage { size: [None, Some(1), None] }, &[x]);
            let y = b.layer("", Layer::Pad { amounts: [[0, 0], [-1, 1], [-1, 1]] }, &[x]);
            b.add(x, y)
        }),
        ("zero", |b, x| b.layer("", Layer::Zero { outputs: 4, stride: [1, 2, 2] }, &[x])),
        ("response", |b, x| b.layer("", Layer::LocalResponseNorm { size: 3, alpha: 0.1, beta: 0.75, bias: 2.0 }, &[x])),
        ("response_even", |b, x| {
            b.layer("", Layer::LocalResponseNorm { size: 4, alpha: 0.1, beta: 0.75, bias: 2.0 }, &[x])
        }),
        ("dropout", |b, x| b.dropout(x, 0.5)),
        ("attention", |b, x| attention(b, x, Affinity::Softmax)),
        ("attention_mean", |b, x| attention(b, x, Affinity::Mean)),
        ("bilinear", |b, x| b.layer("", Layer::Bilinear, &[x])),
        ("difference", |b, x| {
            let y = b.layer("", Layer::Difference, &[x]);
            b.add(x, y)
        }),
        ("product", |b, x| b.layer("", Layer::FrameProduct, &[x])),
        ("flatten", |b, x| b.flatten(x, 7 * 10)),
    ]
}

/// Those that look at several frames.
fn temporal() -> Vec<(&'static str, Build)> {
    vec![
        ("convolution_cube", |b, x| {
            let padding = Padding::Fixed([[1, 0], [1, 1], [0, 2]]);
            b.convolution("c", x, Filter::new(4, Window { padding, ..Window::cube(3).stride([2, 1, 2]) }))
        }),
        ("same_cube", |b, x| b.convolution("c", x, Filter::new(4, Window::cube(3).stride([2; 3]).same()))),
        ("max_cube", |b, x| b.max_pool(x, Window::cube(3).stride([2; 3]).centred())),
        ("average_cube", |b, x| b.average_pool(x, Window::cube(3).stride([2, 2, 2]).centred(), false)),
        ("average_cube_ceil", |b, x| b.average_pool(x, Window::cube(3).stride([2; 3]).padding([0, 1, 1]).ceil(), true)),
        ("pad_cube", |b, x| b.layer("", Layer::Pad { amounts: [[-1, 1], [0, 0], [1, 0]] }, &[x])),
        ("segments", |b, x| {
            let y = b.average_frames(x);
            let y = b.linear("l", y, 5);
            b.average(y)
        }),
    ]
}

/// Every layer between samples of two sizes and logits: with all positions as channels, so that every number is looked at, and
/// with their means, so that the size is free.
#[test]
fn every_layer_is_written() {
    let planar = layers().into_iter().map(|layer| (layer, "2d", [1, 7, 10]));
    let spatial = layers().into_iter().chain(temporal()).map(|layer| (layer, "3d", [3, 7, 10]));
    for ((name, build), dims, extent) in planar.chain(spatial) {
        for free in [false, true] {
            let (mut b, x) = Builder::new(6);
            let y = build(&mut b, x);
            let y = match free {
                true => {
                    // Something that means do not take away.
                    let y = b.multiply(y, y);
                    b.average(y)
                }
                false => {
                    let (mut other, x) = Builder::new(6);
                    let y = build(&mut other, x);
                    let positions = other.finish(y).shapes(extent).unwrap()[y.index()].positions();
                    b.layer("", Layer::Flatten { frames: true, positions }, &[y])
                }
            };
            let subject = subject(b.finish(y), 6, extent);
            let how = if free { "free" } else { "whole" };
            leave("layers", &format!("{dims}_{name}_{how}"), &subject, &OnnxSettings::default());
        }
    }
}

#[test]
fn every_operation_of_the_spaces_is_written() {
    let spaces: [(&'static Space, Stem, [usize; 3]); 5] = [
        (&LARGEST, Stem::Cifar, [1, 17, 14]),
        (&IMAGE, Stem::Cifar, [1, 17, 14]),
        (&IMAGE, Stem::Imagenet, [1, 33, 30]),
        (&VIDEO, Stem::Video, [17, 19, 16]),
        (&NB201, Stem::Cifar, [1, 11, 10]),
    ];
    for (space, stem, extent) in spaces {
        for operation in space.operations {
            let shape = NetworkShape { channels: 4, cells: 3, classes: 5, inputs: 3, stem, auxiliary: true };
            let cell = Subject::of_cell(&everywhere(space, operation.name), shape, extent, 1).unwrap();
            let own = subject(cell.graph, 3, extent);
            let name = format!("{space}_{stem}_{}", operation.name);
            leave("cells", &name, &own, &OnnxSettings::default());
            let axes = to_onnx(&own, &OnnxSettings::default()).unwrap().input.axes;
            let free = if space.name == "video" { &["frames", "height", "width"][..] } else { &["height", "width"] };
            assert_eq!(axes[2..], *free, "{name}");
        }
    }
}

/// A searched network after its last decision: norms without scale and shift, pools with norms.
#[test]
fn decided_networks_are_written() {
    let shape = SupernetShape { channels: 4, cells: 4, classes: 3, inputs: 3, stem_stride: [1, 2, 2], share: 1 };
    for (space, extent) in [(&IMAGE, [1, 19, 16]), (&VIDEO, [4, 19, 16])] {
        let mut supernet = Supernet::new(Candidates::whole(space), shape);
        assert_eq!(supernet.genes(), None);
        for &kind in space.kinds() {
            for edge in 0..space.edge_count() {
                // The first two edges into every node stay: every operation but `none`, in turn.
                match [0, 1, 2, 3, 5, 6, 9, 10].iter().position(|&kept| kept == edge) {
                    Some(place) => {
                        let operation = 1 + (place + 8 * kind.index()) % (space.operations.len() - 1);
                        supernet.fix(kind, edge, operation, &mut Remains::default());
                    }
                    None => supernet.prune(kind, edge, &mut Remains::default()),
                }
            }
        }
        let subject = subject(Graph::lower(&supernet.network).unwrap(), 3, extent);
        for fold in [false, true] {
            let settings = OnnxSettings { fold, ..OnnxSettings::default() };
            leave("cells", &format!("{space}_decided{}", if fold { "_folded" } else { "" }), &subject, &settings);
        }
    }
}

fn handmade(name: &str, width: f64, extent: [usize; 3]) -> Subject {
    of_frames(name, width, extent, 1)
}

/// One that reads so many frames side by side.
fn of_frames(name: &str, width: f64, extent: [usize; 3], stack: usize) -> Subject {
    let network = Named::find(name).unwrap();
    let sizes = Sizes { extent, width, classes: 7, inputs: network.usual().inputs * stack };
    subject(network.build(&sizes), sizes.inputs, extent)
}

/// Whether a model has a node of a kind.
fn has(model: &[u8], kind: &str) -> bool {
    model.windows(kind.len()).any(|bytes| bytes == kind.as_bytes())
}

#[test]
fn norms_are_taken_into_convolutions() {
    let fold = OnnxSettings { fold: true, ..OnnxSettings::default() };
    let resnet = handmade("seresnet20", 0.25, [1, 32, 32]);
    leave("settings", "folded", &resnet, &fold);
    let [plain, folded] =
        [OnnxSettings::default(), fold.clone()].map(|settings| to_onnx(&resnet, &settings).unwrap().model);
    assert!(has(&plain, "BatchNormalization") && !has(&folded, "BatchNormalization"));
    // Norms before convolutions stay.
    let densenet = handmade("densenet_bc100_12", 0.25, [1, 32, 32]);
    leave("settings", "folded_in_part", &densenet, &fold);
    assert!(has(&to_onnx(&densenet, &fold).unwrap().model, "BatchNormalization"));
}

#[test]
fn weights_lie_beside_at_places_that_can_be_mapped() {
    let subject = handmade("resnet20", 0.5, [1, 32, 32]);
    let external = OnnxSettings { external: Some("beside.bin".to_owned()), ..OnnxSettings::default() };
    leave("settings", "external", &subject, &external);
    let [inside, beside] = [OnnxSettings::default(), external].map(|settings| to_onnx(&subject, &settings).unwrap());
    let data = beside.data.unwrap();
    assert_eq!(inside.data, None);
    assert!(beside.model.len() + subject.weights.count() * 3 < inside.model.len());
    assert!(has(&beside.model, "beside.bin") && !has(&inside.model, "beside.bin"));
    // The first convolution's kernel is the first that is long enough; the second begins at the next page.
    let tensors = subject.tensors();
    let long: Vec<_> = tensors.iter().filter(|tensor| tensor.values.len() >= 256).collect();
    assert_eq!(long[0].name, "layer1.0.conv1.weight");
    let at = |page: usize, values: &[f32]| data[page * 4096..].starts_with(&bytes(values));
    assert!(at(0, &long[0].values) && at(1, &long[1].values));
}

#[test]
fn pixels_are_normalised_inside() {
    let settings = OnnxSettings { preprocessing: true, ..OnnxSettings::default() };
    let statistics = Statistics { mean: vec![0.3, 0.45, 0.5], std: vec![0.2, 0.25, 0.31] };
    for (name, network, extent) in [("picture", "resnet20", [1, 16, 16]), ("clip", "r3d_18", [4, 16, 16])] {
        for normalization in [Normalization::Dataset, Normalization::PerClip] {
            let clip = ClipSettings { normalization, ..ClipSettings::default() };
            let mut subject = handmade(network, 0.25, extent);
            subject.classes = ["one", "a second", "third", "4", "5", "6", "7"].map(str::to_owned).to_vec();
            subject.seen = Some(Seen { clip, statistics: statistics.clone() });
            leave("settings", &format!("pixels_{name}_{normalization:?}"), &subject, &settings);
            let onnx = to_onnx(&subject, &settings).unwrap();
            assert!(has(&onnx.model, r#"["one","a second","#) && has(&onnx.model, "sdas.normalization"));
            assert_eq!([onnx.input.name, onnx.input.numbers, onnx.output.name], ["pixels", "uint8", "probabilities"]);
            assert_eq!(onnx.input.axes.last().unwrap(), "3");
        }
    }
}

/// Colours have one mean over all frames, in which a frame counts once, however many stacks it is in.
#[test]
fn stacked_pixels_are_normalised_inside() {
    let settings = OnnxSettings { preprocessing: true, ..OnnxSettings::default() };
    let statistics = Statistics { mean: vec![0.3, 0.45, 0.5], std: vec![0.2, 0.25, 0.31] };
    let cases = [
        ("picture", "resnet20", [1, 16, 16], 1, 4),
        ("clip_apart", "r3d_18", [4, 16, 16], 5, 3),
        ("clip_overlapping", "r3d_18", [4, 16, 16], 2, 5),
    ];
    for (name, network, extent, stride, stack) in cases {
        for normalization in [Normalization::Dataset, Normalization::PerClip] {
            let clip = ClipSettings { frames: extent[0], stride, stack, normalization, ..ClipSettings::default() };
            let mut subject = of_frames(network, 0.25, extent, stack);
            subject.seen = Some(Seen { clip, statistics: statistics.clone() });
            leave("settings", &format!("stacked_{name}_{normalization:?}"), &subject, &settings);
            let onnx = to_onnx(&subject, &settings).unwrap();
            assert_eq!(onnx.input.axes.last().unwrap(), &(3 * stack).to_string());
            assert!(has(&onnx.model, "sdas.stack") && has(&onnx.model, "sdas.stride"));
        }
    }
    let mut subject = of_frames("tsn_resnet20", 0.25, [4, 16, 16], 2);
    for (frames, normalization) in
        [(4, Normalization::PerClip), (1, Normalization::PerClip), (4, Normalization::Dataset)]
    {
        let sampling = Sampling::Segments;
        let clip = ClipSettings { frames, stack: 2, sampling, normalization, ..ClipSettings::default() };
        subject.seen = Some(Seen { clip, statistics: statistics.clone() });
        // Which frames of two segments are the same is not to be seen.
        let refused = matches!(to_onnx(&subject, &settings), Err(OnnxError::OwnStatistics));
        assert_eq!(refused, frames == 4 && normalization == Normalization::PerClip);
    }
}

#[test]
fn half_as_many_bits_are_half_as_many_bytes() {
    let mut subject = handmade("resnet20", 0.5, [1, 32, 32]);
    let half = OnnxSettings { half: true, fold: true, ..OnnxSettings::default() };
    leave("half", "half", &subject, &half);
    let [single, short] = [false, true]
        .map(|short| to_onnx(&subject, &OnnxSettings { half: short, ..half.clone() }).unwrap().model.len());
    assert!(short < single * 6 / 10, "{short} of {single}");
    subject.weights = subject.weights.map(|tensor| tensor * 1e9);
    let error = to_onnx(&subject, &half).unwrap_err();
    assert!(matches!(&error, OnnxError::Half { tensor, .. } if tensor.ends_with("weight")), "{error}");
}

#[test]
fn samples_are_of_any_size_where_no_layer_needs_it() {
    let axes = |name: &str, extent| {
        let Subject { graph, inputs, .. } = handmade(name, 0.1, extent);
        to_onnx(&subject(graph, inputs, extent), &OnnxSettings::default()).unwrap().input.axes.join(" ")
    };
    assert_eq!(axes("resnet20", [1, 32, 32]), "batch 3 height width");
    assert_eq!(axes("googlenet", [1, 64, 64]), "batch 3 height width");
    assert_eq!(axes("mobilenet_v1", [1, 64, 64]), "batch 3 height width");
    assert_eq!(axes("vgg11", [1, 64, 96]), "batch 3 64 96");
    assert_eq!(axes("r3d_18", [8, 32, 32]), "batch 3 frames height width");
    assert_eq!(axes("tsn_vgg11", [3, 64, 64]), "batch 3 frames 64 64");
}

#[test]
fn what_no_model_can_be_is_said() {
    let resnet = handmade("resnet20", 0.25, [1, 32, 32]);
    let pixels = OnnxSettings { preprocessing: true, ..OnnxSettings::default() };
    assert!(matches!(to_onnx(&resnet, &pixels), Err(OnnxError::NoStatistics)));
    let (mut b, x) = Builder::new(3);
    let y = b.relu(x);
    let error = to_onnx(&subject(b.finish(y), 3, [1, 4, 5]), &OnnxSettings::default()).unwrap_err();
    assert_eq!(error.to_string(), "the network gives 1×4×5, 3 channels, and no row of logits");
    let named = |name: &str, frames: usize| {
        let network = Named::find(name).unwrap();
        Subject::of_network(network, &Sizes { extent: [frames, 32, 32], width: 0.25, ..network.usual() }, 1)
    };
    let error = named("resnet20", 4).unwrap_err().to_string();
    assert!(error.contains("samples of 4×32×32") && error.contains("logits at 4×1×1 positions"), "{error}");
    assert!(error.contains("remedy: a network for pictures reads 1 frame; `tsn_` before its name"), "{error}");
    assert!(named("resnet20", 1).is_ok() && named("tsn_resnet20", 4).is_ok());
}

/// What is written as safetensors is what is read of it.
#[test]
fn weights_come_back_from_the_file() {
    for (name, extent) in [("resnet20", [1, 32, 32]), ("r2plus1d_18", [4, 16, 16])] {
        let subject = handmade(name, 0.25, extent);
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("weights.safetensors");
        std::fs::write(&file, to_safetensors(&subject)).unwrap();
        let device = Device::flex();
        let zeros = [subject.weights.zeros_like(), subject.statistics.zeros_like()];
        let loaded = subject.graph.load(&file, [&zeros[0], &zeros[1]], &device).unwrap().exactly().unwrap();
        let host = |numbers: &Parameters| numbers.to_host();
        assert_eq!(loaded.map(|numbers| host(&numbers)), [host(&subject.weights), host(&subject.statistics)]);
        let first = subject.tensors().into_iter().find(|tensor| tensor.shape.len() > 1).unwrap();
        assert_eq!(first.shape.len(), if extent[0] == 1 { 4 } else { 5 }, "{}", first.name);
    }
}

/// Every network that people made, narrow and on small samples. Slow: `bench/check_onnx.py` runs it.
#[test]
#[ignore = "minutes long; for bench/check_onnx.py"]
fn every_network_is_written() {
    let names = NETWORKS.iter().map(|network| network.name.to_owned());
    for name in names.chain(["tsn_resnet18", "tsn_vgg11", "tsn_alexnet_2012"].map(str::to_owned)) {
        let [t, h, w] = Named::find(&name).unwrap().usual().extent;
        let subject = handmade(&name, 0.1, [t.min(16), h.min(64), w.min(96)]);
        leave("networks", &name, &subject, &OnnxSettings::default());
    }
}
