//! Edges by hand: layouts, statistics, running mode, decisions.

use burn::tensor::{Device, Tensor, TensorData};
use sdas_kernels::{Edge, Epsilon, Expression, Mode, Norm, Padding, Pool, Stage, WeightKind, portably};

const SPACE: [usize; 3] = [1, 3, 3];
const SEPARABLE: Expression = Expression::Chain(&[Stage::strided(SPACE), Stage::unstrided(SPACE)]);
const DILATED: Expression = Expression::Chain(&[Stage::dilated(SPACE, [1, 2, 2])]);
const AVERAGE: Expression = Expression::Pool { pool: Pool::Average, kernel: SPACE };

fn edge(operations: Vec<Expression>, norm: Norm) -> Edge {
    Edge { inputs: 4, outputs: 4, stride: [1, 1, 1], operations, norm, epsilon: Epsilon::USUAL }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn assert_close(ours: &[f32], expected: &[f32]) {
    assert_eq!(ours.len(), expected.len());
    for (a, b) in ours.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{ours:?} is not {expected:?}");
    }
}

#[test]
fn weights_and_statistics_lie_in_the_order_of_the_operations() {
    let edge = edge(vec![AVERAGE, SEPARABLE, DILATED], Norm::Plain);
    let names: Vec<_> = edge.weights().into_iter().map(|weight| weight.name).collect();
    assert_eq!(
        names,
        [
            "ops.1.0.1.weight",
            "ops.1.0.2.weight",
            "ops.1.1.1.weight",
            "ops.1.1.2.weight",
            "ops.2.1.weight",
            "ops.2.2.weight"
        ]
    );
    let names: Vec<_> = edge.statistics().into_iter().map(|statistic| statistic.name).collect();
    assert_eq!(names, ["ops.0.1", "ops.1.0.3", "ops.1.1.3", "ops.2.3"]);
    // A stage has 9 taps and a 4×4 product over 4 channels.
    assert_eq!(edge.weight_count(), 3 * (9 * 4 + 16));
    assert_eq!(edge.statistic_count(), 4 * 8);
    assert_eq!(edge.multiply_adds([1, 5, 7]), 3 * (9 * 4 + 16) * 35);
}

#[test]
fn affine_norms_hold_a_scale_and_a_shift_and_leave_pools_alone() {
    let edge = edge(vec![AVERAGE, DILATED], Norm::Affine);
    let kinds: Vec<_> = edge.weights().into_iter().map(|weight| weight.kind).collect();
    assert_eq!(
        kinds,
        [
            WeightKind::Depthwise { kernel: SPACE, channels: 4 },
            WeightKind::Pointwise { inputs: 4, outputs: 4 },
            WeightKind::Scale(4),
            WeightKind::Shift(4)
        ]
    );
    assert_eq!(edge.statistic_count(), 8);
}

#[test]
fn the_benchmarks_operations_lie_as_pytorch_names_them() {
    let convolve = |kernel| Expression::Convolve { kernel, padding: Padding::Same, activated: true };
    let pool = Expression::AveragePool { kernel: SPACE };
    let edge = edge(vec![Expression::Zero, Expression::Skip, convolve([1, 1, 1]), convolve(SPACE), pool], Norm::Plain);
    let weights = edge.weights();
    let names: Vec<_> = weights.iter().map(|weight| (weight.name.as_str(), weight.kind.fan_in())).collect();
    assert_eq!(names, [("ops.2.1.weight", Some(4)), ("ops.3.1.weight", Some(36))]);
    // The pool has no norm, even in a search.
    let names: Vec<_> = edge.statistics().into_iter().map(|statistic| statistic.name).collect();
    assert_eq!(names, ["ops.2.2", "ops.3.2"]);
    assert_eq!(edge.weight_count(), 10 * 16);
    assert_eq!(edge.multiply_adds([1, 5, 7]), 10 * 16 * 35);
    assert_eq!(edge.kept([1, 5, 7]), 2 * 4 * 35);
    let shrink = Edge {
        inputs: 4,
        outputs: 6,
        stride: [1, 2, 2],
        operations: vec![Expression::Shrink],
        norm: Norm::Affine,
        epsilon: Epsilon::USUAL,
    };
    let weights = shrink.weights();
    assert_eq!((weights.len(), weights[0].name.as_str()), (1, "1.weight"));
    assert_eq!(weights[0].kind, WeightKind::Pointwise { inputs: 4, outputs: 6 });
    assert_eq!((shrink.statistic_count(), shrink.multiply_adds([1, 8, 6])), (0, 24 * 12));
}

#[test]
fn means_of_what_is_there_shrink_an_activation() {
    let edge = Edge {
        inputs: 1,
        outputs: 2,
        stride: [1, 2, 2],
        operations: vec![Expression::Shrink],
        norm: Norm::Plain,
        epsilon: Epsilon::USUAL,
    };
    let rows = vec![1.0, 3.0, -4.0, 5.0, 7.0, 6.0, 2.0, 4.0, 9.0];
    for portable in [false, true] {
        let input = tensor(rows.clone(), [1, 1, 3, 3, 1]);
        let forward = || edge.forward(input, Some(tensor(vec![2.0, -1.0], [2])), None, Mode::Batch);
        let output = if portable { portably(forward) } else { forward() };
        assert!(output.statistics.is_none());
        // (1 + 3 + 5 + 7)/4, (6 − 4)/2, (2 + 4)/2 and 9, times the two weights.
        assert_close(&values(output.activation), &[8.0, -4.0, 2.0, -1.0, 6.0, -3.0, 18.0, -9.0]);
    }
}

#[test]
fn edges_without_norms_have_no_statistics() {
    let edge = edge(vec![AVERAGE, SEPARABLE], Norm::Absent);
    assert_eq!(edge.statistic_count(), 0);
    let weights = tensor(vec![0.5; edge.weight_count()], [edge.weight_count()]);
    let output = edge.forward(tensor(vec![1.0; 36], [1, 1, 3, 3, 4]), Some(weights), None, Mode::Batch);
    assert!(output.statistics.is_none());
}

#[test]
fn deciding_keeps_one_operation_and_says_where_its_numbers_lay() {
    let edge = edge(vec![Expression::Zero, AVERAGE, SEPARABLE, DILATED], Norm::Plain);
    let (decided, weights, statistics) = edge.decide(2);
    assert_eq!(decided.operations, [SEPARABLE]);
    assert_eq!((weights, statistics), (0..104, 8..24));
    assert_eq!(decided.weight_count(), 104);
    let (decided, weights, statistics) = edge.decide(3);
    assert_eq!((decided.weight_count(), weights, statistics), (52, 104..156, 24..32));
    let (decided, weights, statistics) = edge.decide(1);
    assert_eq!((decided.weight_count(), weights, statistics), (0, 0..0, 0..8));
    let (decided, weights, statistics) = edge.decide(0);
    assert_eq!((decided.weight_count(), weights, statistics), (0, 0..0, 0..0));
}

#[test]
fn pytorchs_order_and_ours_are_each_others_reverse() {
    let kind = WeightKind::Dense { kernel: [1, 2, 2], inputs: 2, outputs: 3 };
    let ours: Vec<f32> = (0..24).map(|v| v as f32).collect();
    let theirs = kind.to_pytorch(&ours);
    // Output 0, input 0: the four taps, which lie six values apart in our order.
    assert_eq!(theirs[..4], [0.0, 6.0, 12.0, 18.0]);
    assert_eq!(kind.from_pytorch(&theirs), ours);
}

#[test]
fn statistics_are_the_batchs_means_and_unbiased_variances() {
    // A 1×1 convolution with weight 2 of one channel: 2, 4, 6, 0 (from -1).
    let edge = Edge {
        inputs: 1,
        outputs: 1,
        stride: [1, 1, 1],
        operations: vec![Expression::Project],
        norm: Norm::Plain,
        epsilon: Epsilon::new(0.5),
    };
    let input = tensor(vec![1.0, 2.0, 3.0, -1.0], [2, 1, 1, 2, 1]);
    let output = edge.forward(input, Some(tensor(vec![2.0], [1])), None, Mode::Batch);
    assert_close(&values(output.statistics.unwrap()), &[3.0, 20.0 / 3.0]);
    let root = (5.0f32 + 0.5).sqrt();
    assert_close(&values(output.activation), &[-1.0 / root, 1.0 / root, 3.0 / root, -3.0 / root]);
}

#[test]
fn running_mode_normalises_by_the_given_statistics() {
    let edge = Edge {
        inputs: 1,
        outputs: 1,
        stride: [1, 1, 1],
        operations: vec![Expression::Project],
        norm: Norm::Affine,
        epsilon: Epsilon::new(0.5),
    };
    let input = tensor(vec![1.0, 2.0, 3.0, -1.0], [2, 1, 1, 2, 1]);
    // Weight 2, scale 3, shift 0.5; mean 1, variance 4.
    let weights = tensor(vec![2.0, 3.0, 0.5], [3]);
    let mode = Mode::Running(Some(tensor(vec![1.0, 4.0], [2])));
    let output = edge.forward(input, Some(weights), None, mode);
    assert!(output.statistics.is_none());
    let normed = |v: f32| (v - 1.0) / (4.0f32 + 0.5).sqrt() * 3.0 + 0.5;
    assert_close(&values(output.activation), &[2.0, 4.0, 6.0, 0.0].map(normed));
}

#[test]
fn averages_count_real_elements_only_and_the_mix_weighs_operations() {
    let edge = Edge {
        inputs: 1,
        outputs: 1,
        stride: [1, 1, 1],
        operations: vec![AVERAGE, Expression::Skip],
        norm: Norm::Absent,
        epsilon: Epsilon::USUAL,
    };
    let input = tensor(vec![1.0, 2.0, 3.0, 6.0], [1, 1, 2, 2, 1]);
    let output = edge.forward(input, None, Some(tensor(vec![2.0, 10.0], [2])), Mode::Batch);
    assert_close(&values(output.activation), &[16.0, 26.0, 36.0, 66.0]);
}

#[test]
fn windows_without_padding_shrink_the_output() {
    let convolve = Expression::Convolve { kernel: SPACE, padding: Padding::Valid, activated: false };
    let edge = Edge {
        inputs: 1,
        outputs: 2,
        stride: [1, 2, 2],
        operations: vec![convolve],
        norm: Norm::Absent,
        epsilon: Epsilon::USUAL,
    };
    assert_eq!(edge.output_extent([1, 6, 7]), [1, 2, 3]);
    let output =
        edge.forward(tensor(vec![1.0; 42], [1, 1, 6, 7, 1]), Some(tensor(vec![1.0; 18], [18])), None, Mode::Batch);
    assert_eq!(output.activation.dims(), [1, 1, 2, 3, 2]);
    assert_close(&values(output.activation), &[9.0; 12]);
}

#[test]
#[should_panic(expected = "an edge of 4 input channels was given 3")]
fn a_wrong_number_of_channels_is_refused() {
    edge(vec![Expression::Skip], Norm::Plain).forward(tensor(vec![0.0; 3], [1, 1, 1, 1, 3]), None, None, Mode::Batch);
}
