//! Whole networks against PyTorch: supernets before and during a schedule, search steps, derived networks.
//! Each by both bodies of the edge, the fused one and the portable one. `make_golden.py`, beside the definitions that the
//! numbers come from, says how each file was made.

#[path = "../../../golden/reader.rs"]
mod golden;
mod precision;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use golden::Case;
use precision::{Numbers, Outcome, TOLERANCE, hold};
use sdas::batch::{DeviceBatch, cross_entropy};
use sdas::genotype::{Gene, Genes, Genotype};
use sdas::network::{NamedWeight, Network, NetworkShape, Pass, Stem};
use sdas::optimizer::SgdSettings;
use sdas::parameters::Parameters;
use sdas::search::{Order, SearchState};
use sdas::space::{Candidates, CellKind, IMAGE, Space, VIDEO};
use sdas::supernet::{Alpha, AlphaSettings, Remains, Rows, Supernet, SupernetShape};
use sdas_data::Part;

/// Second-order gradients are differences of two nearly equal ones.
const SECOND_ORDER_TOLERANCE: f64 = 1e-2;

fn batch(case: &Case, input: &str, target: &str, numbers: &Numbers, device: &Device) -> DeviceBatch {
    let labels: Vec<i32> = case.integers(target).1.iter().map(|&label| label as i32).collect();
    let count = labels.len();
    DeviceBatch {
        input: numbers.activation(case, input, device),
        host_labels: labels.iter().map(|&label| label as usize).collect(),
        labels: Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), device),
        part: Part::whole(count),
    }
}

/// The golden weights with `prefix`, in the network's slots.
fn weights(case: &Case, prefix: &str, network: &Network, numbers: &Numbers, device: &Device) -> Parameters {
    let mut slots: Vec<Option<Vec<f32>>> = vec![None; network.slots];
    for weight in network.weights() {
        let (_, values) = case.floats(&format!("{prefix}{}", weight.name));
        slots[weight.slot].get_or_insert_default().extend(weight.kind.from_pytorch(values));
    }
    numbers.parameters(&slots, device)
}

fn alphas(case: &Case, prefix: &str, candidates: &Candidates, numbers: &Numbers) -> Alpha {
    let mut alpha = Alpha::new(candidates, 0);
    let rows = |kind| {
        let values = numbers.values(case.floats(&format!("{prefix}alpha_{kind}")).1);
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        values.chunks(candidates.space.operations.len()).map(<[f32]>::to_vec).collect()
    };
    alpha.values = ["normal", "reduce"].map(rows).to_vec();
    alpha
}

/// All numbers of a kind of cell.
fn flat<T: Copy + Into<f64>>(rows: &Rows<T>) -> Vec<f64> {
    rows.iter().flatten().map(|&value| value.into()).collect()
}

/// Adds tensors of `parameters` as `prefix` + name.
fn add_parameters(outcome: &mut Outcome, prefix: &str, weights: &[NamedWeight], parameters: &Parameters) {
    for weight in weights {
        let tensor = parameters.get(weight.slot).expect("a weight has a value");
        let values: Vec<f64> = tensor.slice([weight.range.clone()]).into_data().iter::<f64>().collect();
        outcome.add_values(format!("{prefix}{}", weight.name), weight.kind.to_pytorch(&values));
    }
}

/// Cases by prefix, of which one or more must be there.
fn cases(prefix: &str) -> Vec<Case> {
    golden::files(prefix).iter().map(|path| Case::read(path)).collect()
}

fn number(case: &Case, key: &str) -> usize {
    case.case[key].as_u64().unwrap_or_else(|| panic!("{} has no {key}", case.name)) as usize
}

fn space(case: &Case) -> &'static Space {
    let video = case.case["nd"].as_u64() == Some(3);
    if video { &VIDEO } else { &IMAGE }
}

fn supernet(case: &Case) -> Supernet {
    let axes: Vec<usize> = match case.case["stem_stride"].as_array() {
        Some(axes) => axes.iter().map(|axis| axis.as_u64().unwrap() as usize).collect(),
        None => vec![1, 1],
    };
    let stem_stride = match axes[..] {
        [h, w] => [1, h, w],
        [t, h, w] => [t, h, w],
        _ => panic!("{}: a stem's stride has two or three axes", case.name),
    };
    let [channels, cells, classes] = ["channels", "layers", "classes"].map(|key| number(case, key));
    Supernet::new(
        Candidates::whole(space(case)),
        SupernetShape { channels, cells, classes, inputs: 3, stem_stride, share: 1 },
    )
}

fn state(case: &Case, prefix: &str, numbers: &Numbers, device: &Device) -> SearchState {
    let supernet = supernet(case);
    let weights = weights(case, prefix, &supernet.network, numbers, device);
    let alpha = alphas(case, prefix, &supernet.candidates, numbers);
    let statistics = numbers.constants(&supernet.network.initial_statistics(device));
    SearchState::new(supernet, weights, statistics, alpha)
}

/// Logits, loss, weight gradients and α gradients of a supernet; weights whose operation is gone are not compared.
fn run_supernet(
    case: &Case,
    state: &SearchState,
    names: &[NamedWeight],
    numbers: &Numbers,
    device: &Device,
) -> Outcome {
    let mut outcome = Outcome::default();
    let batch = batch(case, "x", "target", numbers, device);
    let tracked = state.weights.tracked();
    let alpha = state
        .alpha
        .tensors(&state.supernet.plans, &batch.input)
        .into_iter()
        .map(|alpha| alpha.to_device(device).autodiff().require_grad());
    let alpha: Vec<_> = alpha.collect();
    let mixes = Some(alpha.iter().map(|alpha| softmax(alpha.clone(), 1)).collect());
    let logits = state.supernet.network.forward(Pass { mixes, ..Pass::training(&tracked) }, batch.input).logits;
    outcome.add("logits", logits.clone().inner());
    let loss = cross_entropy(logits, batch.labels);
    outcome.add("loss", loss.clone().inner());
    let mut gradients = loss.backward();
    for (alpha, kind) in alpha.iter().zip(["normal", "reduce"]) {
        outcome.add(format!("g.alpha_{kind}"), alpha.grad(&gradients).expect("α is tracked"));
    }
    add_parameters(&mut outcome, "g.", names, &tracked.gradients(&mut gradients));
    outcome
}

#[test]
fn supernets() {
    for case in cases("supernet_") {
        hold(
            &case,
            |_| TOLERANCE,
            |numbers| {
                let state = state(&case, "p.", numbers, numbers.device());
                run_supernet(&case, &state, &state.supernet.network.weights(), numbers, numbers.device())
            },
        );
    }
}

#[test]
fn decided_supernets() {
    for case in cases("decided_") {
        hold(
            &case,
            |_| TOLERANCE,
            |numbers| {
                let (state, names) = decided(&case, numbers, numbers.device());
                run_supernet(&case, &state, &names, numbers, numbers.device())
            },
        );
    }
}

/// The state with the file's edges decided, and what is left of its weights.
fn decided(case: &Case, numbers: &Numbers, device: &Device) -> (SearchState, Vec<NamedWeight>) {
    let mut state = state(case, "p.", numbers, device);
    let mut names = state.supernet.network.weights();
    let mut remains = Remains::default();
    for (kind, key) in [(CellKind::Normal, "normal"), (CellKind::Reduction, "reduce")] {
        let cells: Vec<usize> = (0..state.supernet.network.cells.len())
            .filter(|&index| state.supernet.network.cells[index].kind == Some(kind))
            .collect();
        for (edge, choice) in case.case["edges"][key].as_object().unwrap() {
            let edge: usize = edge.parse().unwrap();
            let operation = choice.as_str().map(|name| {
                state.supernet.candidates.of(kind, edge).iter().position(|operation| operation.name == name).unwrap()
            });
            match operation {
                Some(operation) => state.supernet.fix(kind, edge, operation, &mut remains),
                None => state.supernet.prune(kind, edge, &mut remains),
            }
            // What is left of the edge keeps its old names, at new places in its flat tensor.
            for cell in &cells {
                let own = format!("cells.{cell}.edges.{edge}.");
                let kept = operation.map(|operation| format!("{own}ops.{operation}."));
                names.retain(|weight| {
                    !weight.name.starts_with(&own) || kept.as_ref().is_some_and(|kept| weight.name.starts_with(kept))
                });
                let mut start = 0;
                for weight in names.iter_mut().filter(|weight| weight.name.starts_with(&own)) {
                    weight.range = start..start + weight.kind.len();
                    start = weight.range.end;
                }
            }
        }
    }
    let before = state.weights.count();
    remains.apply(&mut [&mut state.weights, &mut state.sgd.momentum], &mut state.statistics);
    let live: usize = names.iter().map(|weight| weight.kind.len()).sum();
    assert_eq!(state.weights.count(), live);
    assert_eq!(state.sgd.momentum.count(), live);
    assert_eq!(state.supernet.network.counts([1, 12, 12]).parameters, live);
    assert!(live < before);
    (state, names)
}

#[test]
fn search_steps() {
    for case in cases("search_step_") {
        let order = match number(&case, "order") {
            1 => Order::First,
            _ => Order::Second,
        };
        let tolerance = |name: &str| match order {
            Order::Second if name.starts_with("ga") => SECOND_ORDER_TOLERANCE,
            _ => TOLERANCE,
        };
        hold(&case, tolerance, |numbers| two_steps(&case, order, numbers, numbers.device()));
    }
}

fn two_steps(case: &Case, order: Order, numbers: &Numbers, device: &Device) -> Outcome {
    let settings = SgdSettings::default();
    let mut state = state(case, "p0.", numbers, device);
    // The file kept in the project holds a part of the updated weights only.
    let mut updated = |step: usize| {
        let mut names = state.supernet.network.weights();
        names.retain(|weight| case.has(&format!("p{step}.{}", weight.name)));
        names
    };
    let updated = [1, 2].map(&mut updated);
    let mut outcome = Outcome::default();
    for (step, updated) in (1..=2).zip(&updated) {
        let [training, validation] = ["train", "val"]
            .map(|half| batch(case, &format!("{half}{step}.x"), &format!("{half}{step}.target"), numbers, device));
        let gradient = state.alpha_gradient(order, &training, &validation, settings.rate, &settings);
        for (kind, values) in ["normal", "reduce"].iter().zip(&gradient.values) {
            outcome.add_values(format!("ga{step}.{kind}"), flat(values));
        }
        state.alpha.update(&gradient.values, &state.supernet.plans, &AlphaSettings::default());
        let done = state.weight_step(&training, settings.rate, &settings);
        outcome.add_values(format!("train_loss{step}"), vec![done.tally.mean_loss()]);
        outcome.add_values(format!("grad_norm{step}"), vec![done.gradient_norm]);
        add_parameters(&mut outcome, &format!("p{step}."), updated, &state.weights);
        for (kind, values) in ["normal", "reduce"].iter().zip(&state.alpha.values) {
            outcome.add_values(format!("p{step}.alpha_{kind}"), flat(values));
        }
    }
    outcome
}

fn genes(space: &'static Space, edges: &serde_json::Value, concat: &serde_json::Value) -> Genes {
    let gene = |edge: &serde_json::Value| Gene {
        operation: space.operation(edge[0].as_str().unwrap()).unwrap(),
        from: edge[1].as_u64().unwrap() as usize,
    };
    let edges: Vec<Gene> = edges.as_array().unwrap().iter().map(gene).collect();
    Genes {
        nodes: edges.chunks(2).map(<[Gene]>::to_vec).collect(),
        concat: concat.as_array().unwrap().iter().map(|state| state.as_u64().unwrap() as usize).collect(),
    }
}

#[test]
fn derived_networks() {
    for case in cases("network_") {
        let space = space(&case);
        let text = &case.case["genotype"];
        let genotype = Genotype {
            space,
            cells: vec![
                genes(space, &text["normal"], &text["normal_concat"]),
                genes(space, &text["reduce"], &text["reduce_concat"]),
            ],
            origin: None,
        };
        let stem = match case.case["stem"].as_str() {
            Some("cifar") => Stem::Cifar,
            Some("imagenet") => Stem::Imagenet,
            _ => Stem::Video,
        };
        let auxiliary = case.case["aux"].as_bool().unwrap();
        let [channels, cells, classes] = ["channels", "layers", "classes"].map(|key| number(&case, key));
        let network =
            Network::derived(&genotype, NetworkShape { channels, cells, classes, inputs: 3, stem, auxiliary });
        let counts = network.counts([1, 32, 32]);
        assert_eq!(counts.parameters + counts.auxiliary_parameters, number(&case, "parameters"));

        hold(
            &case,
            |_| TOLERANCE,
            |numbers| {
                let weights = weights(&case, "p.", &network, numbers, numbers.device());
                let batch = batch(&case, "x", "target", numbers, numbers.device());
                let tracked = weights.tracked();
                let forward = network.forward(Pass::training(&tracked), batch.input);
                let mut outcome = Outcome::default();
                outcome.add("logits", forward.logits.clone().inner());
                let mut loss = cross_entropy(forward.logits, batch.labels.clone());
                assert_eq!(forward.auxiliary.is_some(), auxiliary);
                if let Some(logits) = forward.auxiliary {
                    outcome.add("aux_logits", logits.clone().inner());
                    let weight = case.case["aux_weight"].as_f64().unwrap();
                    loss = loss + cross_entropy(logits, batch.labels) * weight;
                }
                outcome.add("loss", loss.clone().inner());
                let statistics = numbers.constants(&network.initial_statistics(numbers.device()));
                let statistics = statistics.approach(&forward.statistics, 0.1);
                for statistic in network.statistics() {
                    let own = statistics.get(statistic.slot).expect("a norm has statistics");
                    outcome.add(format!("b.{}", statistic.name), own.slice([statistic.range.clone()]));
                }
                let input = numbers.activation(&case, "eval.x", numbers.device());
                outcome.add("eval.logits", network.forward(Pass::evaluation(&weights, &statistics), input).logits);
                add_parameters(&mut outcome, "g.", &network.weights(), &tracked.gradients(&mut loss.backward()));
                outcome
            },
        );
    }
}
