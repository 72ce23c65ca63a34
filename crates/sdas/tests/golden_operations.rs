//! Every candidate operation alone, in the search phase, against PyTorch: output, gradient of the input and of every
//! weight.

#[path = "../../../golden/reader.rs"]
mod golden;
mod precision;

use golden::Case;
use precision::{Numbers, Outcome, TOLERANCE, hold};
use sdas::space::{IMAGE, Space, VIDEO};
use sdas_kernels::{Edge, Epsilon, Extent, Mode, Norm};

#[test]
fn image_operations_are_pytorchs() {
    compare_all("op2d_", &IMAGE);
}

#[test]
fn video_operations_are_pytorchs() {
    compare_all("op3d_", &VIDEO);
}

fn compare_all(prefix: &str, space: &'static Space) {
    for path in golden::files(prefix) {
        let case = Case::read(&path);
        let edge = edge(&case, space);
        let gradients = case.names().filter(|name| name.starts_with("g.")).count();
        assert_eq!(edge.weights().len(), gradients, "{}: a gradient is left", case.name);
        hold(&case, |_| TOLERANCE, |numbers| run(&case, &edge, numbers));
    }
}

fn edge(case: &Case, space: &'static Space) -> Edge {
    let operation = space.operation(case.case["op"].as_str().unwrap()).unwrap();
    let channels = case.case["channels"].as_u64().unwrap() as usize;
    let mut stride: Vec<_> =
        case.case["stride"].as_array().unwrap().iter().map(|s| s.as_u64().unwrap() as usize).collect();
    if stride.len() == 2 {
        stride.insert(0, 1);
    }
    let stride: Extent = stride.try_into().unwrap();
    let operations = vec![operation.expression.clone()];
    Edge { inputs: channels, outputs: channels, stride, operations, norm: Norm::Plain, epsilon: Epsilon::USUAL }
}

fn run(case: &Case, edge: &Edge, numbers: &Numbers) -> Outcome {
    let device = numbers.device().clone().autodiff();
    let input = numbers.activation(case, "x", &device).require_grad();
    let mut flat = Vec::new();
    for weight in edge.weights() {
        flat.extend(weight.kind.from_pytorch(case.floats(&format!("p.{}", weight.name)).1));
    }
    let weights = (!flat.is_empty()).then(|| numbers.tensor(&flat, [flat.len()], &device).require_grad());
    let output = edge.forward(input.clone(), weights.clone(), None, Mode::Batch).activation;
    // Zeros depend on nothing, and autodiff refuses to go back from a constant: the input is added, and taken off again.
    let tracked = output.clone() * numbers.activation(case, "gy", &device);
    let gradients = (tracked.sum() + input.clone().sum()).backward();

    let mut outcome = Outcome::default();
    outcome.add_activation("y", output);
    outcome.add_activation("gx", input.grad(&gradients).unwrap() - input.ones_like().inner());
    if let Some(weights) = weights {
        let gradient: Vec<f64> = weights.grad(&gradients).unwrap().into_data().iter::<f64>().collect();
        for weight in edge.weights() {
            outcome.add_values(format!("g.{}", weight.name), weight.kind.to_pytorch(&gradient[weight.range]));
        }
    }
    outcome
}
