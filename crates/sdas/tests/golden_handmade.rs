//! Networks that people made and single layers against torchvision and PyTorch. `golden/handmade.py` makes the files.

#[path = "../../../golden/reader.rs"]
mod golden;
mod precision;

use burn::tensor::{Device, Int, Tensor, TensorData};
use golden::Case;
use precision::{Numbers, Outcome, TOLERANCE, hold};
use sdas::batch::cross_entropy;
use sdas::handmade::{Named, Sizes};
use sdas::layers::{Activation, Affinity, Builder, Filter, Graph, Layer, Padding, Value, Window};
use sdas::network::Pass;
use sdas::parameters::Parameters;
use sdas::weights::{LoadError, Mismatch};
use std::path::Path;

/// The network of a file, and its weights and statistics as they are there.
fn network(path: &Path, case: &Case) -> (Graph, [Parameters; 2]) {
    let (shape, _) = case.floats("x");
    let extent = match shape[2..] {
        [h, w] => [1, h, w],
        [t, h, w] => [t, h, w],
        _ => panic!("{}: x is neither pictures nor clips", case.name),
    };
    let number = |key: &str| case.case[key].as_u64().unwrap() as usize;
    let sizes = Sizes {
        extent,
        inputs: number("inputs"),
        classes: number("classes"),
        width: case.case["width"].as_f64().unwrap(),
    };
    let graph = Named::find(case.case["network"].as_str().unwrap()).unwrap().build(&sizes);
    let device = Device::flex();
    let initial = [graph.initial_weights(0, &device), graph.initial_statistics(&device)];
    let loaded = graph.load(path, [&initial[0], &initial[1]], &device).unwrap();
    for difference in &loaded.differences {
        // What was computed lies beside the weights.
        let is_result = |tensor: &str| ["x", "target", "logits", "loss", "train.logits"].contains(&tensor);
        match difference {
            Mismatch::Superfluous { tensor, .. } if is_result(tensor) || tensor.starts_with("g.") => {}
            other => panic!("{}: {other}", case.name),
        }
    }
    (graph, [loaded.weights, loaded.statistics])
}

#[test]
fn networks_are_torchvisions() {
    for path in golden::files("handmade_") {
        let case = Case::read(&path);
        let (graph, [weights, statistics]) = network(&path, &case);
        let [weights, statistics] = [weights, statistics].map(|parameters| parameters.to_host());
        hold(
            &case,
            |_| TOLERANCE,
            |numbers| {
                let device = numbers.device();
                let [weights, statistics] = [&weights, &statistics].map(|slots| numbers.parameters(slots, device));
                let input = numbers.activation(&case, "x", device);
                let mut outcome = Outcome::default();
                let evaluated = graph.forward(Pass::evaluation(&weights, &statistics), input.clone());
                outcome.add("logits", evaluated.logits);
                if case.has("loss") {
                    train(&graph, &case, &weights, input, &mut outcome);
                }
                outcome
            },
        );
    }
}

/// Logits, loss and gradients of a training step.
fn train(graph: &Graph, case: &Case, weights: &Parameters, input: Tensor<5>, outcome: &mut Outcome) {
    let labels: Vec<i32> = case.integers("target").1.iter().map(|&label| label as i32).collect();
    let count = labels.len();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &input.device());
    let tracked = weights.tracked();
    let forward = graph.forward(Pass::training(&tracked), input);
    outcome.add("train.logits", forward.logits.clone().inner());
    let loss = cross_entropy(forward.logits, labels);
    outcome.add("loss", loss.clone().inner());
    let gradients = tracked.gradients(&mut loss.backward());
    for weight in graph.weights() {
        let own = gradients.get(weight.slot).unwrap().slice([weight.range.clone()]);
        let values: Vec<f64> = own.into_data().iter::<f64>().collect();
        let (name, values) = (format!("g.{}", weight.name), weight.kind.to_pytorch(&values));
        // A shift that the next norm takes back has no gradient but rounding.
        match largest(&case.doubles(&name)) < NOTHING {
            true => assert!(largest(&values) < 1e-5, "{name} is {:.1e}, and nothing in the file", largest(&values)),
            false => outcome.add_values(name, values),
        }
    }
    assert_eq!(forward.statistics.count(), graph.statistic_counts().iter().sum::<usize>());
}

/// Below this, a gradient in double precision is rounding.
const NOTHING: f64 = 1e-12;

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// A layer over `x` of the file, and the names of its weights there.
struct Single {
    name: &'static str,
    weights: Vec<&'static str>,
    build: fn(&mut Builder, Value) -> Value,
}

fn singles() -> Vec<Single> {
    let plain = |name, build| Single { name, weights: Vec::new(), build };
    vec![
        Single {
            name: "dense",
            weights: vec!["w.dense", "w.bias"],
            build: |b, x| {
                let window = Window::new([3, 3, 2]).stride([1, 2, 3]).padding([1, 0, 1]);
                b.convolution("c", x, Filter::new(4, window).biased())
            },
        },
        Single {
            name: "grouped",
            weights: vec!["w.grouped"],
            build: |b, x| {
                let window = Window::square(3).stride([2, 1, 2]).dilation([1, 2, 2]).centred();
                b.convolution("c", x, Filter::new(8, window).groups(2))
            },
        },
        Single {
            name: "depthwise",
            weights: vec!["w.depthwise"],
            build: |b, x| b.convolution("c", x, Filter::new(6, Window::cube(3).stride([2; 3]).centred()).groups(6)),
        },
        Single {
            name: "same",
            weights: vec!["w.dense", "w.bias"],
            build: |b, x| {
                let window = Window::new([3, 3, 2]).stride([1, 2, 2]).same();
                assert_eq!(window.margins([3, 7, 10]), [[1, 1], [1, 1], [0, 0]]);
                let padding = Padding::Fixed([[1, 1], [1, 1], [0, 1]]);
                b.convolution("c", x, Filter::new(4, Window { padding, ..window }).biased())
            },
        },
        plain("max", |b, x| b.max_pool(x, Window::cube(3).stride([2; 3]).centred())),
        plain("max_ceil", |b, x| b.max_pool(x, Window::new([1, 2, 3]).step(2).ceil())),
        plain("average", |b, x| b.average_pool(x, Window::cube(3).stride([2; 3]).centred(), true)),
        plain("average_inside", |b, x| b.average_pool(x, Window::square(3).step(2).centred(), false)),
        plain("average_ceil", |b, x| b.average_pool(x, CEIL, true)),
        plain("average_ceil_inside", |b, x| b.average_pool(x, CEIL, false)),
        plain("adaptive", |b, x| b.layer("", Layer::AdaptiveAverage { size: [Some(2), Some(3), Some(12)] }, &[x])),
        plain("response", |b, x| {
            b.layer("", Layer::LocalResponseNorm { size: 3, alpha: 0.1, beta: 0.75, bias: 2.0 }, &[x])
        }),
        plain("attention", |b, x| attention(b, x, Affinity::Softmax)),
        plain("attention_mean", |b, x| attention(b, x, Affinity::Mean)),
        plain("shuffle", |b, x| b.layer("", Layer::Shuffle { groups: 2 }, &[x])),
        plain("flatten", |b, x| b.layer("", Layer::Flatten { frames: true, positions: 210 }, &[x])),
        plain("product", |b, x| b.layer("", Layer::FrameProduct, &[x])),
        plain("bilinear", |b, x| b.layer("", Layer::Bilinear, &[x])),
        plain("hard_swish", |b, x| b.activation(Activation::HardSwish, x)),
        plain("hard_sigmoid", |b, x| b.activation(Activation::HardSigmoid, x)),
    ]
}

const CEIL: Window = Window::new([2, 3, 3]).stride([2; 3]).padding([0, 1, 1]).ceil();

fn attention(b: &mut Builder, x: Value, affinity: Affinity) -> Value {
    let pooled = b.max_pool(x, Window::square(2).step(2));
    let twice = b.add(pooled, pooled);
    b.layer("", Layer::Attention { affinity }, &[x, pooled, twice])
}

#[test]
fn layers_are_pytorchs() {
    let files = golden::files("layers");
    for case in files.iter().map(|path| Case::read(path)) {
        let shape = case.floats("x").0.to_vec();
        let extent = [shape[2], shape[3], shape[4]];
        let graphs: Vec<(Single, Graph)> = singles()
            .into_iter()
            .map(|single| {
                let (mut b, x) = Builder::new(shape[1]);
                let y = (single.build)(&mut b, x);
                (single, b.finish(y))
            })
            .collect();
        hold(
            &case,
            |_| TOLERANCE,
            |numbers| {
                let device = numbers.device();
                let input = numbers.activation(&case, "x", device);
                let mut outcome = Outcome::default();
                for (single, graph) in &graphs {
                    let weights = weights(&case, graph, &single.weights, numbers, device);
                    let none = Parameters::empty(graph.slots());
                    let logits = graph.forward(Pass::evaluation(&weights, &none), input.clone()).logits;
                    let shape = graph.shapes(extent).unwrap()[graph.output().index()];
                    let ([t, h, w], c, n) = (shape.extent, shape.channels, logits.dims()[0]);
                    outcome.add_activation(single.name, logits.reshape([n, t, h, w, c]));
                }
                outcome
            },
        );
    }
}

/// The file's tensors as the weights of a graph of one layer.
fn weights(case: &Case, graph: &Graph, names: &[&str], numbers: &Numbers, device: &Device) -> Parameters {
    let mut slots: Vec<Option<Vec<f32>>> = vec![None; graph.slots()];
    for (weight, name) in graph.weights().into_iter().zip(names) {
        slots[weight.slot].get_or_insert_default().extend(weight.kind.from_pytorch(case.floats(name).1));
    }
    numbers.parameters(&slots, device)
}

#[test]
fn weights_of_another_network_are_named_with_both_shapes() {
    let path = golden::files("handmade_resnet18").remove(0);
    let (device, narrow) = (Device::flex(), Named::find("resnet18").unwrap());
    let load = |network: Named, classes: usize| {
        let graph = network.build(&Sizes { classes, width: 1.0 / 32.0, ..network.usual() });
        let initial = [graph.initial_weights(0, &device), graph.initial_statistics(&device)];
        graph.load(&path, [&initial[0], &initial[1]], &device).map(|loaded| (loaded, initial))
    };
    // Another number of classes: everything but the classifier is the file's, and the classifier is as it was.
    let (loaded, initial) = load(narrow, 9).unwrap();
    let mut shapes = loaded.differences.iter().filter(|difference| matches!(difference, Mismatch::Shape { .. }));
    let expected = Mismatch::Shape { tensor: "fc.bias".to_owned(), ours: vec![9], theirs: vec![7] };
    assert_eq!(shapes.next(), Some(&expected));
    assert_eq!(shapes.next().unwrap().to_string(), "fc.weight is [7, 16] there, and [9, 16] in the network");
    assert_eq!(shapes.next(), None);
    let last = loaded.weights.slots() - 1;
    let (own, initial) = (loaded.weights.to_host(), initial[0].to_host());
    assert_eq!(own[last], initial[last]);
    assert_ne!(own[0], initial[0]);
    let error = loaded.exactly().unwrap_err().to_string();
    assert!(error.contains("handmade_resnet18.safetensors holds the weights of another network"), "{error}");
    // Another network: what it lacks, and what is too much.
    let (loaded, _) = load(Named::find("resnet34").unwrap(), 7).unwrap();
    let missing = Mismatch::Missing { tensor: "layer4.2.conv1.weight".to_owned(), ours: vec![16, 16, 1, 3, 3] };
    assert!(loaded.differences.contains(&missing));
    let file = |ending: &str| {
        let file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
        std::fs::write(file.path(), b"no weights").unwrap();
        file
    };
    let graph = narrow.build(&Sizes { width: 0.02, ..narrow.usual() });
    let initial = [graph.initial_weights(0, &device), graph.initial_statistics(&device)];
    let refused = |path: &Path| graph.load(path, [&initial[0], &initial[1]], &device).unwrap_err();
    assert!(matches!(refused(file(".safetensors").path()), LoadError::Format { .. }));
    assert!(matches!(refused(file(".pth").path()), LoadError::Pytorch { .. }));
    assert!(matches!(refused(file(".txt").path()), LoadError::Kind { .. }));
    assert!(matches!(refused(Path::new("nothing.safetensors")), LoadError::Read { .. }));
}

/// What PyTorch saves in the middle of a training: weights below two names, beside an optimizer's numbers.
#[test]
fn weights_are_found_in_a_checkpoint_of_pytorchs() {
    let path = golden::files("handmade_resnet18").remove(0);
    let (graph, expected) = network(&path, &Case::read(&path));
    let device = Device::flex();
    let initial = [graph.initial_weights(0, &device), graph.initial_statistics(&device)];
    let checkpoint = path.with_file_name("checkpoint.pth");
    let loaded = graph.load(&checkpoint, [&initial[0], &initial[1]], &device).unwrap();
    assert_eq!(loaded.taken, 102);
    let own = loaded.exactly().unwrap();
    for (own, expected) in own.iter().zip(&expected) {
        assert_eq!(own.to_host(), expected.to_host());
    }
}
