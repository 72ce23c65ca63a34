//! Networks as graphs of layers.

mod cells;

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use cells::{LARGEST, everywhere};
use rand::Rng;
use sdas::handmade::Named;
use sdas::layers::{Builder, Filter, Graph, LowerError, Window};
use sdas::network::{Dropout, NamedWeight, Network, NetworkShape, Pass};
use sdas::parameters::Parameters;
use sdas::space::{Candidates, IMAGE, NB201, OperationKind, Space, Stem, VIDEO};
use sdas::supernet::{Remains, Supernet, SupernetShape};
use sdas_data::random::stream;
use sdas_kernels::portably;

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
    let (weights, running) = (network.initial_weights(1, &device), statistics(network, &device));
    difference_with(network, graph, [t, h, w], [&weights, &running])
}

fn difference_with(
    network: &Network,
    graph: &Graph,
    [t, h, w]: [usize; 3],
    [weights, running]: [&Parameters; 2],
) -> f64 {
    let device = Device::flex();
    let input = Tensor::random([2, t, h, w, 3], Distribution::Default, &device);
    let ours = graph.forward(Pass::evaluation(weights, running), input.clone()).logits;
    let theirs = network.forward(Pass::evaluation(weights, running), input).logits;
    let largest = |logits: Tensor<2>| logits.abs().max().into_scalar::<f32>();
    let size = largest(theirs.clone());
    assert!(size > 0.0, "logits that are nothing show nothing");
    f64::from(largest(ours - theirs) / size)
}

#[test]
fn derived_networks_lower_to_the_same_numbers() {
    let stems: [(&'static Space, &[Stem], [usize; 3]); 4] = [
        (&LARGEST, &[Stem::Cifar], [1, 19, 14]),
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

/// A searched network after its last decision: norms without scale and shift, pools with norms, edges that are gone.
#[test]
fn decided_networks_lower_to_the_same_numbers() {
    let shape = SupernetShape { channels: 4, cells: 4, classes: 3, inputs: 3, stem_stride: [1, 2, 2], share: 1 };
    for (space, extent) in [(&IMAGE, [1, 19, 16]), (&VIDEO, [4, 19, 16])] {
        let mut supernet = Supernet::new(Candidates::whole(space), shape);
        let device = Device::flex();
        let mut weights = supernet.network.initial_weights(1, &device);
        let mut running = statistics(&supernet.network, &device);
        let mut remains = Remains::default();
        for &kind in space.kinds() {
            for edge in 0..space.edge_count() {
                // The first two edges into every node stay: every operation but `none`, in turn.
                let kept = [0, 1, 2, 3, 5, 6, 9, 10].iter().position(|&kept| kept == edge);
                match kept {
                    Some(place) => {
                        let operation = 1 + (place + 8 * kind.index()) % (space.operations.len() - 1);
                        supernet.fix(kind, edge, operation, &mut remains);
                    }
                    None => supernet.prune(kind, edge, &mut remains),
                }
            }
        }
        remains.apply(&mut [&mut weights], &mut running);
        let graph = Graph::lower(&supernet.network).unwrap();
        let (own, lowered) = (supernet.network.counts(extent), graph.counts(extent).unwrap());
        assert_eq!((lowered.parameters, lowered.multiply_adds), (own.parameters, own.multiply_adds), "{space}");
        let difference = difference_with(&supernet.network, &graph, extent, [&weights, &running]);
        assert!(difference < 1e-5, "{space}: logits differ by {difference:.1e}");
    }
}

#[test]
fn what_is_undecided_or_noise_does_not_lower() {
    let shape = SupernetShape { channels: 4, cells: 3, classes: 2, inputs: 3, stem_stride: [1; 3], share: 1 };
    let supernet = Network::supernet(&Candidates::whole(&IMAGE), shape);
    let part = Network::supernet(&Candidates::whole(&IMAGE), SupernetShape { share: 2, ..shape });
    assert_eq!(Graph::lower(&part), Err(LowerError::Part { cell: 0, share: 2 }));
    let mixed = LowerError::Mixed { edge: "cells.0.edges.0".to_owned(), operations: 8 };
    assert_eq!(Graph::lower(&supernet), Err(mixed));
    let space = sdas::space::SPACES.iter().find(|space| space.name == "s4").unwrap();
    let noise = space.operations.iter().find(|operation| operation.kind == OperationKind::Noise).unwrap();
    let shape = NetworkShape { channels: 4, cells: 3, classes: 2, inputs: 3, stem: Stem::Cifar, auxiliary: false };
    let network = Network::derived(&everywhere(space, noise.name), shape);
    assert_eq!(Graph::lower(&network), Err(LowerError::Noise { edge: "cells.0.ops.0".to_owned() }));
}

#[test]
fn a_graph_is_data() {
    let named = Named::find("senet154").unwrap();
    let graph = named.build(&named.usual());
    let text = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
}

/// By hand: a 3×3 convolution from 3 to 4 channels over 5 × 6 pixels, its norm, a pool to 3 × 3, a linear layer at each of
/// these.
#[test]
fn layers_are_counted_and_sized() {
    let (mut b, x) = Builder::new(3);
    let x = b.convolution("conv", x, Filter::new(4, Window::square(3).centred()));
    let x = b.norm("norm", x);
    let x = b.max_pool(x, Window::square(3).step(2).centred());
    let x = b.linear("linear", x, 7);
    let graph = b.finish(x);
    let counts = graph.counts([2, 5, 6]).unwrap();
    assert_eq!(counts.parameters, 108 + 8 + 28 + 7);
    assert_eq!(counts.multiply_adds, 2 * (30 * 108 + 9 * 28));
    assert_eq!(counts.activations, 2 * (30 * 4 + 9 * 7));
    assert_eq!(graph.shapes([2, 5, 6]).unwrap().last().unwrap().extent, [2, 3, 3]);
    // The norm lies in the convolution's slot.
    assert_eq!(graph.weight_counts(), [116, 35]);
    assert_eq!(graph.statistic_counts(), [8, 0]);
    let (mut b, x) = Builder::new(3);
    let x = b.convolution("first", x, Filter::new(4, Window::square(3)));
    let message = b.finish(x).counts([1, 2, 9]).unwrap_err().to_string();
    assert_eq!(
        message,
        "samples of 1×2×9 (frames, height, width) do not fit the network: first has windows of 1×3×3, but is given 1×2×9"
    );
}

/// Dropout leaves the mean as it is, follows the stream alone, and is absent in evaluation.
#[test]
fn dropout_is_of_the_layers_rate_and_of_the_passs_stream() {
    let (mut b, x) = Builder::new(1);
    let x = b.dropout(x, 0.75);
    let graph = b.finish(x);
    let none = Parameters::empty(0);
    let input = Tensor::<5>::ones([1, 1, 100, 100, 1], &Device::flex());
    let run = |pass: Pass<'_>| -> Vec<f32> { graph.forward(pass, input.clone()).logits.into_data().iter().collect() };
    let dropout = || Some(Dropout { rate: 0.0, stream: stream(1, "dropout", [0, 0]) });
    let dropped = run(Pass { dropout: dropout(), ..Pass::training(&none) });
    assert!(dropped.iter().all(|&value| value == 0.0 || value == 4.0));
    let mean = dropped.iter().sum::<f32>() / 1e4;
    assert!((mean - 1.0).abs() < 0.1, "{mean}");
    assert_eq!(dropped, run(Pass { dropout: dropout(), ..Pass::training(&none) }));
    assert!(run(Pass { dropout: dropout(), ..Pass::evaluation(&none, &none) }).iter().all(|&value| value == 1.0));
    let other = |rate: f64, input: Tensor<5>| -> Vec<f32> {
        let pass = Pass { dropout: dropout(), ..Pass::training(&none) };
        graph.clone().with_dropout(rate).forward(pass, input).logits.into_data().iter().collect()
    };
    let half = other(0.5, input.clone());
    assert!(half.iter().all(|&value| value == 0.0 || value == 2.0) && half.contains(&0.0));
    assert!(other(0.0, input.clone()).iter().all(|&value| value == 1.0));
}
