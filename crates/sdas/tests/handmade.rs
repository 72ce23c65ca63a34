//! Networks that people made, held against what others count of them.

use sdas::handmade::{NETWORKS, Named, Sizes};

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
