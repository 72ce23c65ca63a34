//! Networks that people made, held against what others count of them.

use burn::tensor::{Device, Distribution, Int, Tensor};
use sdas::batch::cross_entropy;
use sdas::handmade::{NETWORKS, Named, Sizes};
use sdas::network::Pass;

/// Parameters and multiply-adds (of convolutions and linear layers, for one sample) of published networks: of the named
/// definition, instantiated in PyTorch.
const COUNTS: &str = include_str!("handmade_counts.tsv");

#[test]
fn counts_are_those_of_the_published_networks() {
    let mut wrong = Vec::new();
    for line in COUNTS.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, width, inputs, extent, classes, parameters, multiply_adds, published] = fields[..] else {
            panic!("{line}")
        };
        let extent: Vec<usize> = extent.split('x').map(|size| size.parse().unwrap()).collect();
        let sizes = Sizes {
            extent: extent.try_into().unwrap(),
            inputs: inputs.parse().unwrap(),
            classes: classes.parse().unwrap(),
            width: width.parse().unwrap(),
        };
        let counts = Named::find(name).unwrap().build(&sizes).counts(sizes.extent).unwrap();
        let expected = [parameters, multiply_adds].map(|number| number.parse::<usize>().ok());
        for (what, own, expected) in
            [("parameters", counts.parameters, expected[0]), ("multiply-adds", counts.multiply_adds, expected[1])]
        {
            if let Some(expected) = expected.filter(|&expected| expected != own) {
                wrong.push(format!("{name} ({published}): {own} {what}, {expected} published"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_network_can_be_built_narrow_and_for_other_classes() {
    for network in NETWORKS {
        for width in [0.02, 0.25, 0.6, 1.3] {
            let named = Named::find(network.name).unwrap();
            let sizes = Sizes { classes: 7, width, ..named.usual() };
            let graph = named.build(&sizes);
            let shapes = graph.shapes(sizes.extent).unwrap_or_else(|error| panic!("{network:?}: {error}"));
            let output = shapes[graph.output().index()];
            assert_eq!((output.extent, output.channels), ([1; 3], 7), "{network:?}");
            let names: Vec<String> = graph.weights().into_iter().map(|weight| weight.name).collect();
            let mut unique = names.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), names.len(), "{network:?} has two weights of one name");
        }
    }
}

/// Of the networks that no golden file holds, one of every kind, narrow and on small samples: in evaluation a sample's logits
/// do not depend on the others of its batch, and a step of training has a gradient.
#[test]
fn samples_are_seen_one_by_one_and_taught_together() {
    for name in [
        "alexnet_2012",
        "bn_inception",
        "seresnet20",
        "preresnet20",
        "densenet_bc100_12",
        "shufflenet_v1_g2",
        "enas",
        "c3d",
        "i3d",
        "s3d_g",
        "p3d63",
        "non_local_r50_gaussian",
        "two_stream",
        "two_stream_fused",
        "tle_bn_inception",
        "frames_late",
        "frames_slow",
        "tsn_vgg11",
    ] {
        let named = Named::find(name).unwrap();
        let usual = named.usual();
        let [t, h, w] = usual.extent;
        let extent = [t.min(16), h.min(64), w.min(96)];
        let sizes = Sizes { extent, width: 0.1, classes: 3, ..usual };
        let (graph, device) = (named.build(&sizes), Device::flex());
        let (weights, running) = (graph.initial_weights(1, &device), graph.initial_statistics(&device));
        let [t, h, w] = extent;
        let input = Tensor::<5>::random([2, t, h, w, sizes.inputs], Distribution::Normal(0.0, 1.0), &device);
        let logits = |input: Tensor<5>| -> Vec<f32> {
            graph.forward(Pass::evaluation(&weights, &running), input).logits.into_data().iter().collect()
        };
        let together = logits(input.clone());
        let alone: Vec<f32> = (0..2).flat_map(|sample| logits(input.clone().narrow(0, sample, 1))).collect();
        let largest = together.iter().fold(0.0f32, |most, value| value.abs().max(most));
        let difference = together.iter().zip(&alone).fold(0.0f32, |most, (a, b)| (a - b).abs().max(most));
        assert!(together.iter().all(|value| value.is_finite()) && together.len() == 6, "{name}: {together:?}");
        assert!(difference <= 1e-4 * largest, "{name}: {together:?} together, {alone:?} alone");
        if name == "two_stream" {
            let shares: f32 = together[..3].iter().map(|value| value.exp()).sum();
            assert!((shares - 2.0).abs() < 1e-5, "two streams' shares of the classes add up to {shares}");
        }
        let tracked = weights.tracked();
        let forward = graph.forward(Pass::training(&tracked), input);
        let labels = Tensor::<1, Int>::from_ints([0, 2], &device);
        let gradients = tracked.gradients(&mut cross_entropy(forward.logits, labels).backward());
        assert!(gradients.norm().value().is_normal(), "{name}: a gradient of {:?}", gradients.norm());
    }
}

/// A non-local block begins as nothing (Wang, Girshick, Gupta, He, 2018, section 4.1), from small weights.
#[test]
fn non_local_blocks_begin_as_nothing() {
    let named = Named::find("non_local_r50").unwrap();
    let (graph, device) = (named.build(&Sizes { width: 0.25, ..named.usual() }), Device::flex());
    let weights = graph.initial_weights(1, &device);
    let values = |wanted: &str| -> Vec<f32> {
        let weight = graph.weights().into_iter().find(|weight| weight.name == wanted).unwrap();
        let slot = weights.get(weight.slot).unwrap().slice([weight.range]);
        slot.into_data().iter().collect()
    };
    let block = "layer3.5.non_local";
    assert!(values(&format!("{block}.bn.weight")).iter().all(|&scale| scale == 0.0));
    assert!(values("layer3.5.bn3.weight").iter().all(|&scale| scale == 1.0));
    for layer in ["theta", "phi", "g", "conv_out"] {
        let weights = values(&format!("{block}.{layer}.weight"));
        let deviation = (weights.iter().map(|value| value * value).sum::<f32>() / weights.len() as f32).sqrt();
        assert!((deviation - 0.01).abs() < 5e-4, "{layer}: {deviation}");
    }
}
