//! Networks as graphs of layers.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::Rng;
use sdas::genotype::{Gene, Genes, Genotype};
use sdas::layers::{Graph, LowerError};
use sdas::network::{NamedWeight, Network, NetworkShape, Pass};
use sdas::parameters::Parameters;
use sdas::space::{Candidates, IMAGE, NB201, OperationKind, Space, Stem, VIDEO};
use sdas::supernet::SupernetShape;
use sdas_data::random::stream;
use sdas_kernels::portably;

/// A cell in which every edge runs one operation.
fn everywhere(space: &'static Space, operation: &str) -> Genotype {
    let gene = |from: usize| Gene { operation: space.operation(operation).unwrap(), from };
    let inputs = space.inputs;
    let nodes = match space.name {
        "nb201" => (0..space.nodes).map(|node| (0..=node).map(gene).collect()).collect(),
        _ => (0..space.nodes).map(|node| vec![gene(node), gene(node + 1)]).collect(),
    };
    let concat = match space.name {
        "nb201" => vec![space.nodes],
        _ => (inputs..inputs + space.nodes).collect(),
    };
    let genes = Genes { nodes, concat };
    Genotype { space, cells: space.kinds().iter().map(|_| genes.clone()).collect(), origin: None }
}

/// Means and variances that are not those of the start.
fn statistics(network: &Network, device: &Device) -> Parameters {
    let mut stream = stream(3, "statistics", [0, 0]);
    network.initial_statistics(device).map(|tensor| {
        let values: Vec<f32> = (0..tensor.dims()[0]).map(|_| stream.random_range(0.5..1.5)).collect();
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), device)
    })
}

/// The largest difference of logits by the largest logit, of the network and of what it lowers to.
fn difference(network: &Network, graph: &Graph, [t, h, w]: [usize; 3]) -> f64 {
    let device = Device::flex();
    let weights = network.initial_weights(1, &device);
    let running = statistics(network, &device);
    let input = Tensor::random([2, t, h, w, 3], Distribution::Default, &device);
    let ours = graph.forward(Pass::evaluation(&weights, &running), input.clone()).logits;
    let theirs = network.forward(Pass::evaluation(&weights, &running), input).logits;
    let largest = |logits: Tensor<2>| logits.abs().max().into_scalar::<f32>();
    let size = largest(theirs.clone());
    assert!(size > 0.0, "logits that are nothing show nothing");
    f64::from(largest(ours - theirs) / size)
}

#[test]
fn derived_networks_lower_to_the_same_numbers() {
    let stems: [(&'static Space, &[Stem], [usize; 3]); 3] = [
        (&IMAGE, &[Stem::Cifar, Stem::Imagenet], [1, 33, 30]),
        (&VIDEO, &[Stem::Video], [5, 33, 30]),
        (&NB201, &[Stem::Cifar], [1, 11, 10]),
    ];
    for (space, stems, extent) in stems {
        for (operation, &stem) in
            space.operations.iter().flat_map(|operation| stems.iter().map(move |s| (operation, s)))
        {
            let genotype = everywhere(space, operation.name);
            let shape = NetworkShape { channels: 6, cells: 4, classes: 5, inputs: 3, stem, auxiliary: false };
            let network = Network::derived(&genotype, shape);
            let graph = Graph::lower(&network).unwrap();
            let what = format!("{space}, {}, {stem}", operation.name);
            let (own, lowered) = (network.counts(extent), graph.counts(extent).unwrap());
            assert_eq!((lowered.parameters, lowered.multiply_adds), (own.parameters, own.multiply_adds), "{what}");
            let places = |weights: Vec<NamedWeight>| -> Vec<_> {
                weights.into_iter().map(|weight| (weight.name, weight.slot, weight.range)).collect()
            };
            assert_eq!(places(graph.weights()), places(network.weights()), "{what}");
            assert_eq!(graph.statistics(), network.statistics(), "{what}");
            for fused in [true, false] {
                let difference = match fused {
                    true => difference(&network, &graph, extent),
                    false => portably(|| difference(&network, &graph, extent)),
                };
                assert!(difference < 1e-5, "{what}: logits differ by {difference:.1e}, fused: {fused}");
            }
        }
    }
}

#[test]
fn what_is_undecided_or_noise_does_not_lower() {
    let shape = SupernetShape { channels: 4, cells: 3, classes: 2, inputs: 3, stem_stride: [1; 3] };
    let supernet = Network::supernet(&Candidates::whole(&IMAGE), shape);
    let mixed = LowerError::Mixed { edge: "cells.0.edges.0".to_owned(), operations: 8 };
    assert_eq!(Graph::lower(&supernet), Err(mixed));
    let space = sdas::space::SPACES.iter().find(|space| space.name == "s4").unwrap();
    let noise = space.operations.iter().find(|operation| operation.kind == OperationKind::Noise).unwrap();
    let shape = NetworkShape { channels: 4, cells: 3, classes: 2, inputs: 3, stem: Stem::Cifar, auxiliary: false };
    let network = Network::derived(&everywhere(space, noise.name), shape);
    assert_eq!(Graph::lower(&network), Err(LowerError::Noise { edge: "cells.0.ops.0".to_owned() }));
}
