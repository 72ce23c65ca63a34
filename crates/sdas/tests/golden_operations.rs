//! Every candidate operation alone, in the search phase, against PyTorch: output, gradient of the input and of every
//! weight.

#[path = "../../../golden/reader.rs"]
mod golden;

use burn::tensor::{Device, Tensor, TensorData};
use golden::{Case, relative_error};
use sdas::space::SpaceName;
use sdas_kernels::{Edge, Extent, Mode, Norm};
use std::collections::BTreeMap;

/// Single precision against single precision: sums in another order.
const TOLERANCE: f64 = 1e-4;

#[test]
fn image_operations_are_pytorchs() {
    compare_all("op2d_", SpaceName::Image, Edge::forward);
}

#[test]
fn video_operations_are_pytorchs() {
    compare_all("op3d_", SpaceName::Video, Edge::forward);
}

type Forward = fn(&Edge, Tensor<5>, Option<Tensor<1>>, Option<Tensor<1>>, Mode) -> sdas_kernels::Output;

fn compare_all(prefix: &str, space: SpaceName, forward: Forward) {
    let mut largest = BTreeMap::new();
    for path in golden::files(prefix) {
        let case = Case::read(&path);
        for (what, error) in errors(&case, space, forward) {
            assert!(error < TOLERANCE, "{}: {what} is off by {error:.2e}", case.name);
            let group = if what.starts_with("g.") { "weight gradients".to_owned() } else { what };
            let entry = largest.entry(group).or_insert((0.0, String::new()));
            if error >= entry.0 {
                *entry = (error, case.name.clone());
            }
        }
    }
    for (group, (error, name)) in largest {
        println!("{prefix}* {group:16} largest error {error:.1e} ({name})");
    }
}

/// The error of everything that the file holds, by name.
fn errors(case: &Case, space: SpaceName, forward: Forward) -> Vec<(String, f64)> {
    let operation = space.operation(case.case["op"].as_str().unwrap()).unwrap();
    let channels = case.case["channels"].as_u64().unwrap() as usize;
    let mut stride: Vec<_> =
        case.case["stride"].as_array().unwrap().iter().map(|s| s.as_u64().unwrap() as usize).collect();
    if stride.len() == 2 {
        stride.insert(0, 1);
    }
    let stride: Extent = stride.try_into().unwrap();
    let edge = Edge {
        inputs: channels,
        outputs: channels,
        stride,
        operations: vec![operation.expression.clone()],
        norm: Norm::Plain,
    };

    let device = Device::flex().autodiff();
    let input = channels_last(case, "x", &device).require_grad();
    let weights = flat_weights(&edge, case, &device).map(Tensor::require_grad);
    let output = forward(&edge, input.clone(), weights.clone(), None, Mode::Batch);
    // Zeros depend on nothing, and autodiff refuses to go back from a constant: the input is added, and taken off again.
    let tracked = output.activation.clone() * channels_last(case, "gy", &device);
    let gradients = (tracked.sum() + input.clone().sum()).backward();
    let input_gradient = input.grad(&gradients).unwrap() - input.ones_like().inner();

    let mut errors = vec![
        ("output".to_owned(), error(&output.activation, &channels_last(case, "y", &device))),
        ("input gradient".to_owned(), error(&input_gradient, &channels_last(case, "gx", &device))),
    ];
    if let Some(weights) = weights {
        let gradient: Vec<f32> = weights.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        for weight in edge.weights() {
            let name = format!("g.{}", weight.name);
            let ours = weight.kind.to_pytorch(&gradient[weight.range]);
            let error = relative_error(&ours, case.floats(&name).1);
            errors.push((name, error));
        }
    }
    let compared = errors.len() - 2;
    assert_eq!(
        compared,
        case.names().filter(|name| name.starts_with("g.")).count(),
        "{}: a gradient is left",
        case.name
    );
    errors
}

/// An activation of the file, `[N, T, H, W, C]` for its `[N, C, T, H, W]` or `[N, C, H, W]`.
fn channels_last(case: &Case, name: &str, device: &Device) -> Tensor<5> {
    let (shape, values) = case.floats(name);
    let mut shape = shape.to_vec();
    if shape.len() == 4 {
        shape.insert(2, 1);
    }
    Tensor::<5>::from_data(TensorData::new(values.to_vec(), shape), device).permute([0, 2, 3, 4, 1])
}

fn flat_weights(edge: &Edge, case: &Case, device: &Device) -> Option<Tensor<1>> {
    let mut flat = Vec::new();
    for weight in edge.weights() {
        flat.extend(weight.kind.from_pytorch(case.floats(&format!("p.{}", weight.name)).1));
    }
    (!flat.is_empty()).then(|| Tensor::from_data(TensorData::new(flat.clone(), [flat.len()]), device))
}

fn error(ours: &Tensor<5>, golden: &Tensor<5>) -> f64 {
    assert_eq!(ours.dims(), golden.dims());
    let values = |tensor: &Tensor<5>| tensor.clone().into_data().try_to_vec::<f32>().unwrap();
    relative_error(&values(ours), &values(golden))
}
