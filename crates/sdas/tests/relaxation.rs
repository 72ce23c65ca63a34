//! Relaxations and regularisers against their formulas, in double precision by the portable body: α's gradient against
//! finite differences of a loss that is written down here, and what a step with drawn operations computes and leaves
//! alone.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::Rng;
use sdas::batch::{DeviceBatch, cross_entropy};
use sdas::network::Pass;
use sdas::optimizer::SgdSettings;
use sdas::parameters::Parameters;
use sdas::schedule::EdgeState;
use sdas::search::{Order, SearchState};
use sdas::space::{Candidates, CellKind, IMAGE, NB201, OperationKind, S1, S2, SPACES, Space, VIDEO};
use sdas::supernet::{Alpha, AlphaSettings, Drawn, Mixing, Relaxation, Remains, Supernet, SupernetShape};
use sdas_data::random::stream;
use sdas_kernels::portably;

const SAMPLES: usize = 4;
const CLASSES: usize = 3;
const SIDE: usize = 8;
/// α lies on multiples of 1/1024 and is moved by this, which single precision holds exactly; so little that hardly a
/// ReLU has its kink in between.
const STEP: f64 = 1.0 / 262_144.0;

type Factors = Vec<Vec<Vec<f64>>>;

fn cast(parameters: &Parameters, dtype: DType) -> Parameters {
    parameters.map(|tensor| tensor.cast(dtype))
}

fn state(space: &'static Space, mixing: Mixing, dtype: DType) -> SearchState {
    let (channels, share) = match mixing.relaxation {
        Relaxation::Partial { share } => (2 * share, share),
        _ => (2, 1),
    };
    let shape = SupernetShape { channels, cells: 3, classes: CLASSES, inputs: 3, stem_stride: [1, 1, 1], share };
    let supernet = Supernet::new(Candidates::whole(space), shape);
    let device = Device::flex();
    let weights = cast(&supernet.network.initial_weights(1, &device), dtype);
    let statistics = cast(&supernet.network.initial_statistics(&device), dtype);
    let mut alpha = Alpha::new(&supernet.candidates, 1);
    if share > 1 {
        alpha = alpha.weighing_edges(space, 1);
    }
    let mut random = stream(1, "test", [0, 0]);
    let numbers = alpha.values.iter_mut().flatten().flatten();
    numbers.for_each(|number| *number = random.random_range(-1024..1024) as f32 / 1024.0);
    SearchState { mixing, ..SearchState::new(supernet, weights, statistics, alpha) }
}

fn batch(dtype: DType) -> DeviceBatch {
    batch_of([1, SIDE, SIDE], dtype)
}

fn batch_of([t, h, w]: [usize; 3], dtype: DType) -> DeviceBatch {
    let mut random = stream(1, "test", [1, 0]);
    let shape = [SAMPLES, t, h, w, 3];
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.5..1.5)).collect();
    let labels = vec![0, 2, 1, 2];
    DeviceBatch {
        input: Tensor::from_data(TensorData::new(pixels, shape), (&Device::flex(), dtype)),
        labels: Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [SAMPLES]), &Device::flex()),
        host_labels: labels.iter().map(|&label| label as usize).collect(),
        part: sdas_data::Part::whole(SAMPLES),
    }
}

/// The loss with these factors, of the whole supernet.
fn loss(state: &SearchState, factors: &Factors, batch: &DeviceBatch) -> f64 {
    let upload = |rows: &Vec<Vec<f64>>| {
        let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    };
    let mixes = Some(factors.iter().map(upload).collect());
    let pass = Pass { mixes, ..Pass::training(&state.weights) };
    let logits = state.supernet.network.forward(pass, batch.input.clone()).logits;
    cross_entropy(logits, batch.labels.clone()).into_data().iter::<f64>().next().unwrap()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = row.iter().map(|number| number.exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// (log softmax(α) + g) / τ, with the variates that α's half of step `step` draws.
fn scores(alpha: &Alpha, half: &str, temperature: f64, mixing: &Mixing) -> Factors {
    let of = |(kind, rows): (usize, &Vec<Vec<f32>>)| {
        let mut random = stream(mixing.seed, &format!("gumbel/{half}"), [mixing.step as u64, kind as u64]);
        let mut score = |p: f64| {
            let variate = -(-(1.0 - random.random::<f64>()).ln()).ln();
            (p.ln() + f64::from(variate as f32)) / temperature
        };
        let row = |row: &Vec<f32>| row.iter().map(|&number| f64::from(number)).collect::<Vec<f64>>();
        rows.iter().map(|own| softmax(&row(own)).into_iter().map(&mut score).collect()).collect()
    };
    alpha.values.iter().enumerate().map(of).collect()
}

fn soft(scores: &Factors) -> Factors {
    scores.iter().map(|rows| rows.iter().map(|row| softmax(row)).collect()).collect()
}

fn plain(alpha: &Alpha) -> Factors {
    let row = |row: &Vec<f32>| softmax(&row.iter().map(|&number| f64::from(number)).collect::<Vec<f64>>());
    alpha.values.iter().map(|rows| rows.iter().map(row).collect()).collect()
}

fn with_skips(candidates: &Candidates, mut factors: Factors, factor: f64) -> Factors {
    for (kind, rows) in candidates.space.kinds().iter().zip(&mut factors) {
        for (edge, row) in rows.iter_mut().enumerate() {
            let skip = candidates.of(*kind, edge).iter().position(|own| own.kind == OperationKind::Skip).unwrap();
            row[skip] += factor;
        }
    }
    factors
}

/// λ · mean over a kind's edges of log Σ exp α.
fn decay(alpha: &Alpha, lambda: f64) -> f64 {
    let of_edge = |row: &Vec<f32>| row.iter().map(|&number| f64::from(number).exp()).sum::<f64>().ln();
    let of = |rows: &Vec<Vec<f32>>| lambda * rows.iter().map(of_edge).sum::<f64>() / rows.len() as f64;
    alpha.values.iter().map(of).sum()
}

/// Half of a search of eleven epochs: what falls is halved, what rises is half there.
fn halfway(mixing: Mixing) -> Mixing {
    let mut mixing = Mixing { seed: 3, ..mixing };
    mixing.go_to(17, 5, 11);
    mixing
}

fn assert_near(own: f64, expected: f64, what: &str) {
    assert!((own - expected).abs() < 1e-6 + 1e-5 * expected.abs(), "{what}: {own}, not {expected}");
}

/// Holds α's gradient against differences of `formula`.
fn assert_gradient(mixing: Mixing, formula: impl Fn(&SearchState, &DeviceBatch) -> f64) {
    let (mut state, batch) = (state(&NB201, halfway(mixing), DType::F64), batch(DType::F64));
    let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default()).values;
    for edge in 0..6 {
        for at in 0..5 {
            let before = state.alpha.values[0][edge][at];
            let mut moved = |by: f64| {
                state.alpha.values[0][edge][at] = (f64::from(before) + by) as f32;
                formula(&state, &batch)
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            state.alpha.values[0][edge][at] = before;
            assert_near(gradient[0][edge][at], slope, &format!("{mixing:?}, edge {edge}, operation {at}"));
        }
    }
    assert!(gradient[0].iter().flatten().any(|value| value.abs() > 1e-3), "there is something to compare");
}

#[test]
fn gradients_of_alpha_are_those_of_the_formulas() {
    portably(|| {
        let skip = Mixing { auxiliary_skip: 1.0, ..Mixing::default() };
        assert_gradient(skip, |state, batch| {
            loss(state, &with_skips(&state.supernet.candidates, plain(&state.alpha), 0.5), batch)
        });
        let decaying = Mixing { beta_decay: 4.0, ..Mixing::default() };
        assert_gradient(decaying, |state, batch| loss(state, &plain(&state.alpha), batch) + decay(&state.alpha, 2.0));
        let gumbel = Mixing { relaxation: Relaxation::Gumbel { from: 3.0, to: 1.0 }, ..skip };
        assert_gradient(gumbel, |state, batch| {
            let factors = soft(&scores(&state.alpha, "alpha", 2.0, &state.mixing));
            loss(state, &with_skips(&state.supernet.candidates, factors, 0.5), batch)
        });
    });
}

const HARD: Relaxation = Relaxation::GumbelHard { from: 3.0, to: 1.0 };

fn highest(row: &[f64]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

fn choices(scores: &Factors) -> Vec<Vec<usize>> {
    scores.iter().map(|rows| rows.iter().map(|row| highest(row)).collect()).collect()
}

/// 1 at the chosen operation, 0 at the others.
fn alone(scores: &Factors) -> Factors {
    let row = |row: &Vec<f64>| (0..row.len()).map(|at| f64::from(u8::from(at == highest(row)))).collect();
    scores.iter().map(|rows| rows.iter().map(row).collect()).collect()
}

/// Straight through: the slope of the loss of what was drawn, by its factor, times the slope of its share.
#[test]
fn a_drawn_operation_teaches_alpha_through_its_share() {
    portably(|| {
        let mixing = halfway(Mixing { relaxation: HARD, ..Mixing::default() });
        let (state, batch) = (state(&NB201, mixing, DType::F64), batch(DType::F64));
        let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default());
        let scores = scores(&state.alpha, "alpha", 2.0, &state.mixing);
        let (shares, drawn) = (soft(&scores), alone(&scores));
        assert_near(gradient.tally.mean_loss(), loss(&state, &drawn, &batch), "the loss");
        let mut taught = 0;
        for (edge, row) in shares[0].iter().enumerate() {
            let chosen = highest(row);
            let moved = |by: f64| {
                let mut drawn = drawn.clone();
                drawn[0][edge][chosen] += by;
                loss(&state, &drawn, &batch)
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            taught += usize::from(slope.abs() > 1e-3);
            for (at, share) in row.iter().enumerate() {
                let of_share = row[chosen] * (f64::from(u8::from(at == chosen)) - share) / 2.0;
                assert_near(gradient.values[0][edge][at], slope * of_share, &format!("edge {edge}, operation {at}"));
            }
        }
        assert!(taught > 1, "there is something to compare");
    });
}

/// What a half-step draws costs what the network costs in which it is decided.
#[test]
fn what_is_drawn_costs_as_much_as_what_is_decided() {
    for space in [&NB201, &IMAGE] {
        let state = state(space, Mixing::default(), DType::F32);
        let kinds = space.kinds();
        let of_kind = |&kind: &CellKind| {
            let edges = state.supernet.candidates.edges(kind).iter().enumerate();
            edges.map(|(edge, operations)| (edge + 2) % operations.len()).collect()
        };
        let choices: Vec<Vec<usize>> = kinds.iter().map(of_kind).collect();
        let mut decided = state.supernet.clone();
        for (&kind, edges) in kinds.iter().zip(&choices) {
            for (edge, &operation) in edges.iter().enumerate() {
                decided.fix(kind, edge, operation, &mut Remains::default());
            }
        }
        let drawn = Drawn::new(&state.supernet, choices);
        let size = [1, SIDE, SIDE];
        assert_eq!(drawn.network.counts(size), decided.network.counts(size));
        assert!(drawn.network.counts(size).multiply_adds < state.supernet.network.counts(size).multiply_adds / 2);
        assert_eq!(drawn.weights(&state.weights).count(), decided.network.weight_counts().iter().sum::<usize>());
    }
}

/// The numbers of operations that were not drawn may be anything: nothing is computed with them, and their statistics
/// stay.
#[test]
fn what_is_not_drawn_is_not_computed() {
    let mixing = halfway(Mixing { relaxation: HARD, ..Mixing::default() });
    let (mut state, batch) = (state(&NB201, mixing, DType::F32), batch(DType::F32));
    let settings = SgdSettings::default();
    let whole = state.clone();
    let spoil = |state: &mut SearchState, half: &str| {
        state.weights = whole.weights.clone();
        let drawn = choices(&scores(&state.alpha, half, 2.0, &state.mixing));
        for cell in state.supernet.network.cells.iter().filter(|cell| cell.kind == Some(CellKind::Normal)) {
            for own in &cell.edges {
                let Some(mut values) = state.weights.to_host()[own.block.slot].clone() else { continue };
                let kept = drawn[0][own.mixed.unwrap()];
                let others = own.block.edge.weights().into_iter().filter(|weight| weight.operation != kept);
                others.for_each(|weight| values[weight.range].fill(f32::NAN));
                let count = values.len();
                let spoilt = Tensor::from_data(TensorData::new(values, [count]), &Device::flex());
                state.weights.set(own.block.slot, Some(spoilt));
            }
        }
        drawn
    };

    spoil(&mut state, "alpha");
    let [own, expected] =
        [&state, &whole].map(|state| state.alpha_gradient(Order::First, &batch, &batch, 0.1, &settings));
    assert_eq!(own.values, expected.values);
    assert!(own.tally.loss.is_finite());

    let drawn = spoil(&mut state, "weights");
    let (own, expected) =
        (state.weight_step(&batch, 0.1, &settings), whole.clone().weight_step(&batch, 0.1, &settings));
    assert_eq!((own.tally, own.gradient_norm), (expected.tally, expected.gradient_norm));
    assert!(own.gradient_norm.is_finite());
    let [before, after] = [&whole, &state].map(|state| state.statistics.to_host());
    let mut moved = [0, 0];
    for own in &state.supernet.network.cells[0].edges {
        let (Some(before), Some(after)) = (&before[own.block.slot], &after[own.block.slot]) else { continue };
        for statistic in own.block.edge.statistics() {
            let is_drawn = statistic.operation == drawn[0][own.mixed.unwrap()];
            assert_eq!(before[statistic.range.clone()] != after[statistic.range], is_drawn);
            moved[usize::from(is_drawn)] += 1;
        }
    }
    assert!(moved.iter().all(|&norms| norms > 0), "{moved:?}");
}

/// Weights that were not drawn have a gradient of 0: decay and momentum go on, as in the authors' code.
#[test]
fn weights_that_are_not_drawn_decay() {
    let mixing = halfway(Mixing { relaxation: HARD, ..Mixing::default() });
    let (mut state, batch) = (state(&NB201, mixing, DType::F32), batch(DType::F32));
    let before = state.weights.to_host();
    let drawn = choices(&scores(&state.alpha, "weights", 2.0, &state.mixing));
    let settings = SgdSettings { weight_decay: 0.5, ..SgdSettings::default() };
    state.weight_step(&batch, 0.1, &settings);
    let after = state.weights.to_host();
    let block = &state.supernet.network.cells[0].edges[0].block;
    let (before, after) = (before[block.slot].as_ref().unwrap(), after[block.slot].as_ref().unwrap());
    let weights = block.edge.weights();
    let other = weights.iter().find(|weight| weight.operation != drawn[0][0]).unwrap();
    for at in other.range.clone() {
        assert!((after[at] - 0.95 * before[at]).abs() < 1e-6);
    }
}

/// `none` on every edge: no way leads from α to the loss.
#[test]
fn nothing_drawn_at_all_is_a_step_like_others() {
    let step = || {
        let mixing = halfway(Mixing { relaxation: HARD, ..Mixing::default() });
        let (mut state, batch) = (state(&NB201, mixing, DType::F32), batch(DType::F32));
        state.alpha.values[0].iter_mut().for_each(|row| row[0] = 100.0);
        let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default());
        assert!(gradient.values.iter().flatten().flatten().all(|&value| value == 0.0));
        assert!(state.weight_step(&batch, 0.1, &SgdSettings::default()).gradient_norm.is_finite());
    };
    step();
    portably(step);
}

/// Held-out samples see the expectation, or the strongest operations alone.
#[test]
fn measuring_draws_nothing() {
    portably(|| {
        let batch = batch(DType::F64);
        let logits = |relaxation| {
            let state = state(&NB201, halfway(Mixing { relaxation, ..Mixing::default() }), DType::F64);
            state.evaluate(batch.input.clone()).into_data().iter::<f64>().collect::<Vec<_>>()
        };
        let softmax = logits(Relaxation::Softmax {});
        assert_eq!(logits(Relaxation::Gumbel { from: 3.0, to: 1.0 }), softmax);

        let state = state(&NB201, Mixing::default(), DType::F64);
        let rows = &alone(&plain(&state.alpha))[0];
        let factors = Tensor::from_data(TensorData::new(rows.concat(), [6, 5]), (&Device::flex(), DType::F64));
        let pass = Pass { mixes: Some(vec![factors]), ..Pass::evaluation(&state.weights, &state.statistics) };
        let whole = state.supernet.network.forward(pass, batch.input.clone()).logits;
        let whole: Vec<f64> = whole.into_data().iter::<f64>().collect();
        let strongest = logits(HARD);
        assert!(strongest.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-9), "{strongest:?}, not {whole:?}");
        assert!(strongest.iter().zip(&softmax).any(|(a, b)| (a - b).abs() > 1e-3));
    });
}

const PARTIAL: Relaxation = Relaxation::Partial { share: 2 };

/// softmax(α) · softmax(β), and softmax(β) behind it for what passes by; β over the edges of a node that are undecided.
fn weighed(state: &SearchState) -> Factors {
    let space = state.supernet.candidates.space;
    let of = |(kind, rows): (usize, &Vec<Vec<f32>>)| {
        let states = state.supernet.plans[kind].states();
        let width = rows.iter().map(Vec::len).max().unwrap() + 1;
        let factors = |(edge, row): (usize, &Vec<f32>)| {
            let node = space.edge(edge).node;
            let (into, beta) = (space.edges_into(node), &rows[space.edge_count() + node]);
            let power = |other: usize| match states[other] {
                EdgeState::Mixed => f64::from(beta[other - into.start]).exp(),
                _ => 0.0,
            };
            let share = power(edge) / into.clone().map(power).sum::<f64>().max(1e-300);
            let row: Vec<f64> = row.iter().map(|&number| f64::from(number)).collect();
            let mut factors: Vec<f64> = softmax(&row).into_iter().map(|p| p * share).chain([share]).collect();
            factors.resize(width, 0.0);
            factors
        };
        rows[..space.edge_count()].iter().enumerate().map(factors).collect()
    };
    state.alpha.values.iter().enumerate().map(of).collect()
}

/// Of α and of β, with an edge decided and one pruned.
#[test]
fn gradients_of_beta_are_those_of_the_formula() {
    portably(|| {
        for (space, states) in [
            (&NB201, vec![(3, EdgeState::Decided(2))]),
            (
                &S2,
                vec![
                    (0, EdgeState::Decided(1)),
                    (1, EdgeState::Decided(0)),
                    (6, EdgeState::Decided(1)),
                    (7, EdgeState::Pruned),
                ],
            ),
        ] {
            let mut state = state(space, Mixing { relaxation: PARTIAL, ..Mixing::default() }, DType::F64);
            let mut plans = state.supernet.plans.clone();
            let mut own = plans[0].states().to_vec();
            states.into_iter().for_each(|(edge, state)| own[edge] = state);
            plans[0] = serde_json::from_value(serde_json::to_value(own).unwrap()).unwrap();
            state.supernet = state.supernet.with_plans(plans);
            state.weights = cast(&state.supernet.network.initial_weights(1, &Device::flex()), DType::F64);
            state.statistics = cast(&state.supernet.network.initial_statistics(&Device::flex()), DType::F64);
            let batch = batch_of([1, 7, 9], DType::F64);
            let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default());
            assert_near(gradient.tally.mean_loss(), loss(&state, &weighed(&state), &batch), "the loss");
            let edges = space.edge_count();
            let last = space.kinds().len() - 1;
            for (kind, row) in [(0, 2), (0, 5), (0, edges + 1), (0, edges + 2), (last, 1), (last, edges + 2)] {
                for at in 0..state.alpha.values[kind][row].len() {
                    let before = state.alpha.values[kind][row][at];
                    let mut moved = |by: f64| {
                        state.alpha.values[kind][row][at] = (f64::from(before) + by) as f32;
                        loss(&state, &weighed(&state), &batch)
                    };
                    let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                    state.alpha.values[kind][row][at] = before;
                    let what = format!("{space}, kind {kind}, row {row}, number {at}");
                    assert_near(gradient.values[kind][row][at], slope, &what);
                }
            }
            // β of a decided edge, the first of three or of the fourth node's five, is out of it.
            let [decided, other] = if edges == 6 { [(8, 0), (8, 1)] } else { [(edges + 2, 1), (edges + 2, 0)] };
            assert_eq!(gradient.values[0][decided.0][decided.1], 0.0);
            assert!(gradient.values[0][other.0][other.1].abs() > 1e-5);
        }
    });
}

/// In one piece, or edge by edge where there is noise, a step is that of the reference, on sizes that no window fills.
#[test]
fn every_space_is_searched_on_a_part_of_its_channels() {
    for space in SPACES {
        let extent = if *space == &VIDEO { [3, 9, 7] } else { [1, 9, 7] };
        let step = |dtype| {
            let mut state = state(space, Mixing { relaxation: PARTIAL, ..Mixing::default() }, dtype);
            let (batch, settings) = (batch_of(extent, dtype), SgdSettings::default());
            let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &settings);
            let norm = state.weight_step(&batch, 0.1, &settings).gradient_norm;
            let logits = state.evaluate(batch.input.clone()).into_data().iter::<f64>().collect::<Vec<_>>();
            let mut numbers = gradient.values.concat().concat();
            numbers.extend(logits);
            numbers.push(norm);
            numbers
        };
        let (own, reference) = (step(DType::F32), portably(|| step(DType::F64)));
        assert_eq!(own.len(), reference.len());
        let scale = reference.iter().fold(0.0f64, |most, number| most.max(number.abs()));
        for (at, (own, reference)) in own.iter().zip(&reference).enumerate() {
            assert!((own - reference).abs() < 2e-3 * scale, "{space}, number {at}: {own}, not {reference}");
        }
    }
}

/// Of the operations of edges, every second goes: the network is as with factors of 0 there, α's softmax is over the others,
/// and weights, momentum and statistics are as long as what is left.
#[test]
fn what_edges_lose_is_gone_and_the_rest_share() {
    portably(|| {
        for (space, relaxation) in [(&NB201, Relaxation::Softmax {}), (&S1, Relaxation::Softmax {}), (&NB201, PARTIAL)]
        {
            let whole = state(space, Mixing { relaxation, ..Mixing::default() }, DType::F64);
            let mut state = whole.clone();
            let mut states = vec![EdgeState::Mixed; space.edge_count()];
            let count = |edge: usize| whole.supernet.candidates.of(CellKind::Normal, edge).len();
            for edge in [0, 1, 4] {
                states[edge] = EdgeState::Left((edge % 2..count(edge)).step_by(2).collect());
            }
            let mut plan = serde_json::from_value(serde_json::to_value(&states).unwrap()).unwrap();
            std::mem::swap(&mut state.supernet.plans[0], &mut plan);
            let mut remains = Remains::default();
            state.supernet.follow(CellKind::Normal, &plan, &mut remains);
            let SearchState { weights, statistics, sgd, .. } = &mut state;
            remains.apply(&mut [weights, &mut sgd.momentum], statistics);
            let lengths = |parameters: &Parameters| -> Vec<usize> {
                parameters.to_host().iter().map(|slot| slot.as_ref().map_or(0, Vec::len)).collect()
            };
            assert_eq!(lengths(&state.weights), state.supernet.network.weight_counts());
            assert_eq!(lengths(&state.sgd.momentum), state.supernet.network.weight_counts());
            assert_eq!(lengths(&state.statistics), state.supernet.network.statistic_counts());
            assert!(state.weights.count() < whole.weights.count());

            let mut factors = match relaxation {
                Relaxation::Partial { .. } => weighed(&whole),
                _ => plain(&whole.alpha),
            };
            for (edge, row) in factors[0].iter_mut().enumerate() {
                let own = |at: usize| states[edge].has(at);
                let (all, left): (f64, f64) = (0..count(edge))
                    .fold((0.0, 0.0), |(all, left), at| (all + row[at], left + if own(at) { row[at] } else { 0.0 }));
                row.iter_mut().take(count(edge)).enumerate().for_each(|(at, factor)| {
                    *factor = if own(at) { *factor * all / left } else { 0.0 };
                });
            }
            let batch = batch_of([1, 7, 9], DType::F64);
            let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default());
            assert_near(gradient.tally.mean_loss(), loss(&whole, &factors, &batch), &format!("{space}, the loss"));
            for (edge, row) in gradient.values[0].iter().enumerate().take(space.edge_count()) {
                let sum: f64 = row.iter().sum();
                assert!(sum.abs() < 1e-9, "a softmax's gradient sums up to 0, not {sum}");
                assert!((0..row.len()).all(|at| states[edge].has(at) || row[at] == 0.0));
            }
            assert!(gradient.values[0][0].iter().any(|value| value.abs() > 1e-6) || space == &S1);

            // What is gone is never drawn, and a step leaves its α alone.
            let before = state.alpha.clone();
            state.mixing.relaxation = HARD;
            let step = |step: usize, state: &mut SearchState| {
                state.mixing.go_to(step, 0, 10);
                let gradient = state.alpha_gradient(Order::First, &batch, &batch, 0.1, &SgdSettings::default());
                state.alpha.update(&gradient.values, &state.supernet.plans, &AlphaSettings::default());
            };
            if relaxation == (Relaxation::Softmax {}) {
                (0..5).for_each(|at| step(at, &mut state));
                for (edge, row) in state.alpha.values[0].iter().enumerate() {
                    for (at, value) in row.iter().enumerate() {
                        let learns = states[edge].has(at) && states[edge].left(row.len()).count() > 1;
                        assert_eq!(
                            *value != before.values[0][edge][at],
                            learns,
                            "{space}, edge {edge}, operation {at}"
                        );
                    }
                }
            }
        }
    });
}
