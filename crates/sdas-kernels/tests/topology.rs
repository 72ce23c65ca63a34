//! Cells of any topology, fused against portable in double precision, and their determinism.

mod outcome;
mod topologies;

use burn::tensor::{DType, Device, Tensor};
use outcome::Outcome;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sdas_kernels::{Edge, Epsilon, Expression, Link, Mode, Norm, Pool, Stage, Width, cell};
use topologies::{Case, HALVED, Plan, UNIT, benchmark, convolve, residual};

/// NAS-Bench-201's, and others beside them.
const OPERATIONS: &[Expression] = &[
    Expression::Zero,
    Expression::Skip,
    convolve(1),
    convolve(3),
    Expression::AveragePool { kernel: [1, 3, 3] },
    Expression::Pool { pool: Pool::Average, kernel: [1, 3, 3] },
    Expression::Chain(&[Stage::strided([1, 3, 3]), Stage::unstrided([1, 3, 3])]),
    Expression::Shrink,
    Expression::Largest,
    Expression::Noise,
];

fn cases() -> impl Strategy<Value = Case> {
    let operations = prop_oneof![
        4 => proptest::sample::subsequence(OPERATIONS.to_vec(), 1..5).prop_map(|operations| (operations, true)),
        3 => proptest::sample::select(OPERATIONS.to_vec()).prop_map(|operation| (vec![operation], false)),
        2 => Just((vec![Expression::Zero], false)),
    ];
    // Where a link comes from is a share of the states before its node.
    let link = (0.0..1.0, operations);
    let nodes = proptest::collection::vec(proptest::collection::vec(link, 1..4), 1..5);
    let norm = prop_oneof![3 => Just(Norm::Plain), 1 => Just(Norm::Affine)];
    let extent = (1..3usize, 4..11usize, 4..11usize).prop_map(|(t, h, w)| [t, h, w]);
    let sizes = (1..4usize, 2..20usize, 1..5usize, 0..3usize, prop_oneof![2 => Just(1usize), 1 => 2..5usize]);
    (sizes, extent, nodes, any::<[bool; 3]>(), norm, any::<[bool; 4]>(), any::<u64>(), 1..16u32).prop_map(
        |((inputs, channels, images, beyond, share), extent, nodes, flags, norm, tracked, seed, outputs)| {
            let [reduction, running, scaled] = flags;
            let mut links = Vec::new();
            for (node, to) in nodes.iter().enumerate() {
                for (share, (operations, mixed)) in to {
                    let from = (share * (inputs + node) as f64) as usize;
                    let stride = if reduction && from < inputs { HALVED } else { UNIT };
                    let (operations, mixed) = (operations.clone(), *mixed);
                    links.push(Plan { from, node, operations, mixed, stride, channels: [channels; 2] });
                }
            }
            let some = (0..nodes.len()).filter(|node| outputs >> node & 1 == 1).map(|node| inputs + node);
            let mut concat: Vec<_> = some.collect();
            if concat.is_empty() {
                concat.push(inputs + nodes.len() - 1);
            }
            let inputs = vec![channels * share; inputs];
            let beyond = beyond + usize::from(share > 1);
            Case { inputs, images, extent, links, norm, running, scaled, share, beyond, concat, tracked, seed }
        },
    )
}

fn on_cpu(case: &Case, dtype: DType, portable: bool) -> Outcome {
    case.run(&Device::flex().autodiff(), dtype, portable)
}

fn compare(case: &Case, width: Width) {
    let ours = width.within(|| on_cpu(case, DType::F32, false));
    let reference = on_cpu(case, DType::F64, true);
    ours.check(&reference, 1e-3, format_args!("in {width:?}: {case:?}"));
}

proptest! {
    // The same cases every time: an element that lies within rounding of a ReLU's kink has another gradient in single
    // precision, which random cases would meet now and then.
    #![proptest_config(ProptestConfig {
        cases: 150, rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn fused_cells_of_any_topology_are_the_portable_ones(case in cases()) {
        for width in Width::available() {
            compare(&case, width);
        }
    }
}

/// Cells whose channels fill units of lanes, share them, and do neither.
fn whole() -> impl Iterator<Item = Case> {
    let running = |case| Case { running: true, ..case };
    let part = |case: Case, share: usize| {
        let inputs = case.inputs.iter().map(|channels| channels * share).collect();
        Case { inputs, share, beyond: 1, ..case }
    };
    let strided = |mut case: Case| {
        case.links.iter_mut().filter(|link| link.from == 0).for_each(|link| link.stride = HALVED);
        case
    };
    let odd = |case| Case { extent: [1, 15, 13], ..case };
    let even = |case| Case { extent: [1, 16, 32], ..case };
    [16, 8, 5, 2, 4, 24, 40].into_iter().flat_map(move |channels| {
        let (cell, block) = (benchmark(channels), residual(channels));
        let parts = [part(cell.clone(), 4), odd(strided(part(cell.clone(), 2))), strided(part(cell.clone(), 3))];
        [cell.clone(), odd(cell), even(block.clone()), odd(block.clone()), running(block)].into_iter().chain(parts)
    })
}

#[test]
fn whole_cells_and_residual_blocks_are_the_portable_ones() {
    for case in whole() {
        for width in Width::available() {
            compare(&case, width);
        }
    }
}

#[test]
fn numbers_do_not_depend_on_the_threads_nor_on_the_width() {
    let widths = Width::available();
    for case in whole() {
        let first = on_cpu(&case, DType::F32, false);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| on_cpu(&case, DType::F32, false)), first, "{threads} threads: {case:?}");
        }
        for width in &widths {
            assert_eq!(width.within(|| on_cpu(&case, DType::F32, false)), first, "{width:?}: {case:?}");
        }
    }
}

#[test]
fn nodes_of_zeros_are_zeros_and_so_are_the_gradients() {
    let zero = |plan: Plan| Plan { operations: vec![Expression::Zero], mixed: false, ..plan };
    let mut case = benchmark(3);
    // The first node is zeros; the last, of an edge from it and of nothing else, is the norms' shifts, zeros too.
    case.links =
        case.links.into_iter().map(|link| if (link.from, link.node) == (1, 2) { link } else { zero(link) }).collect();
    for portable in [false, true] {
        let outcome = on_cpu(&case, DType::F32, portable);
        assert!(outcome.values("activation").iter().all(|&value| value == 0.0));
        assert!(outcome.values("gradient of input 0").iter().all(|&value| value == 0.0));
    }
    case.links = case.links.into_iter().map(zero).collect();
    let outcome = on_cpu(&case, DType::F32, false);
    assert_eq!(outcome.values("activation").len(), 5 * 16 * 17 * 3);
    assert!(outcome.values("activation").iter().all(|&value| value == 0.0));
}

#[test]
#[should_panic(expected = "links come in their order")]
fn a_node_without_a_link_is_refused() {
    let mut case = benchmark(3);
    case.links.remove(0);
    on_cpu(&case, DType::F32, false);
}

#[test]
#[should_panic(expected = "noise is of the shape of what its link gives, [2, 1, 4, 4, 3]")]
fn noise_of_another_shape_is_refused() {
    let edge = Edge {
        inputs: 3,
        outputs: 3,
        stride: UNIT,
        operations: vec![Expression::Noise, Expression::Skip],
        norm: Norm::Plain,
        epsilon: Epsilon::USUAL,
    };
    let zeros = |side: usize| Tensor::<5>::zeros([2, 1, side, side, 3], &Device::flex());
    let (weights, mixed, factors) = (None, None, None);
    let link =
        Link { edge: &edge, from: 0, node: 0, weights, mode: Mode::Batch, mixed, noise: Some(zeros(3)), factors };
    cell(vec![zeros(4)], vec![link], None, &[1], 1);
}
