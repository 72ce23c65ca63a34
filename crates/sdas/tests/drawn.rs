//! Cells that chance draws, and what two cells have in common.

use sdas::genotype::{Genes, Genotype, published};
use sdas::space::{Candidates, IMAGE, NB201, VIDEO};
use sdas_data::random::stream;

/// Whether a share of `n` draws is within five standard deviations of its expectation.
fn is_near(count: usize, n: usize, expected: f64) -> bool {
    (count as f64 - n as f64 * expected).abs() < 5.0 * (n as f64 * expected * (1.0 - expected)).sqrt()
}

#[test]
fn cells_are_drawn_uniformly() {
    let candidates = Candidates::whole(&IMAGE);
    let cells: Vec<Genes> = (0..1000)
        .map(|seed| Genotype::drawn(&candidates, &mut stream(seed, "test", [0, 0])))
        .flat_map(|genotype| genotype.cells)
        .collect();
    let genes = || cells.iter().flat_map(|cell| cell.nodes.iter().flatten());
    for operation in IMAGE.operations {
        let count = genes().filter(|gene| gene.operation == operation).count();
        let share = if operation.is_none() { 0.0 } else { 1.0 / 7.0 };
        assert!(count == 0 && operation.is_none() || is_near(count, 16_000, share), "{} {count}", operation.name);
    }
    for node in 0..4 {
        let pairs: Vec<[usize; 2]> = cells.iter().map(|cell| [0, 1].map(|edge| cell.nodes[node][edge].from)).collect();
        let states = 2 + node;
        for first in 0..states {
            for second in first + 1..states {
                let count = pairs.iter().filter(|pair| **pair == [first, second]).count();
                assert!(node == 0 || is_near(count, 2000, 2.0 / (states * (states - 1)) as f64), "{node}: {pairs:?}");
            }
        }
        assert!(pairs.iter().all(|[first, second]| first < second && *second < states));
    }
    // Three of seven operations learn nothing: six or more of eight such edges have probability 7.0 %.
    let collapsed = cells.iter().filter(|cell| cell.idle() >= IMAGE.collapsed());
    assert!(is_near(collapsed.count(), 2000, 0.0699));
}

#[test]
fn every_edge_of_the_benchmarks_cell_is_drawn_uniformly() {
    let candidates = Candidates::whole(&NB201);
    let mut counts = [[0; 5]; 6];
    for seed in 0..2000 {
        let genotype = Genotype::drawn(&candidates, &mut stream(seed, "test", [0, 0]));
        let operations = genotype.cells[0].operations(&NB201);
        operations.into_iter().enumerate().for_each(|(edge, operation)| counts[edge][operation] += 1);
    }
    assert!(counts.as_flattened().iter().all(|&count| is_near(count, 2000, 0.2)), "{counts:?}");
}

#[test]
fn cells_agree_where_states_and_operation_are_the_same() {
    let [v1, v2] = ["darts_v1", "darts_v2"].map(|name| published(name).unwrap());
    // By hand: 2 + 1 + 2 + 0 edges of the normal cell, 2 + 1 + 2 + 1 of the reduction cell.
    assert_eq!((v1.agreement(&v2), v2.agreement(&v1), v1.agreement(&v1)), (11.0 / 16.0, 11.0 / 16.0, 1.0));
    // By chance: node i reads one of its i + 2 states by 2/(i + 2), and its operation is one of 7 (image) or 12 (video).
    for (space, operations) in [(&IMAGE, 7.0), (&VIDEO, 12.0)] {
        let candidates = Candidates::whole(space);
        let drawn: Vec<_> =
            (0..2000).map(|seed| Genotype::drawn(&candidates, &mut stream(seed, "test", [0, 0]))).collect();
        let mean = drawn.windows(2).map(|pair| pair[0].agreement(&pair[1])).sum::<f64>() / 1999.0;
        let expected = (2.0 / 2.0 + 2.0 / 3.0 + 2.0 / 4.0 + 2.0 / 5.0) / 4.0 / operations;
        assert!((mean - expected).abs() < 0.006, "{space}: {mean} is not {expected}");
    }
}
