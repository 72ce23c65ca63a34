use super::*;
use crate::network::{Network, NetworkShape, Stem};
use crate::schedule::decision::Choice;
use crate::schedule::{Criterion, Refused, Scores, Unit};
use crate::space::{NB201, S2, SPACES, Space};
use proptest::prelude::*;
use rand::Rng;
use sdas_data::random::{Stream, stream};
use std::sync::LazyLock;

const CRITERIA: [Criterion; 7] = [
    Criterion::Confidence,
    Criterion::Margin,
    Criterion::Certainty,
    Criterion::Strength,
    Criterion::Sgas1,
    Criterion::Sgas2,
    Criterion::Random,
];

/// Counts of a small network of a cell.
fn counts(genotype: &Genotype) -> Counts {
    let shape = NetworkShape { channels: 4, cells: 6, classes: 3, inputs: 3, stem: Stem::Cifar, auxiliary: false };
    Network::derived(genotype, shape).counts([4, 16, 16])
}

/// Those of every space, without a budget.
static COSTS: LazyLock<Vec<Costs>> = LazyLock::new(|| {
    let of = |space| Costs::measure(&Candidates::whole(space), Budget::default(), counts).unwrap();
    SPACES.iter().copied().map(of).collect()
});

fn fresh(space: &'static Space) -> Vec<Plan> {
    space.kinds().iter().map(|_| Plan::new(space)).collect()
}

/// The least that a cell can come to in one of the two, and the most.
fn range(costs: &Costs, at: usize) -> (usize, usize) {
    let space = costs.candidates.space;
    let mut most = costs.fixed[at];
    for &kind in space.kinds() {
        for node in 0..space.nodes {
            let edge = |edge: usize| costs.choices[kind.index()][edge].iter().map(|cost| cost[at]).max().unwrap();
            let mut edges: Vec<usize> = space.edges_into(node).map(edge).collect();
            edges.sort_unstable();
            most += edges.iter().rev().take(space.kept(node)).sum::<usize>();
        }
    }
    let budget = Budget { parameters: Some(1), multiply_adds: Some(1) };
    let least = Costs { budget, ..costs.clone() }.completions(&fresh(space));
    (least.iter().map(|cost| cost[at]).min().unwrap(), most)
}

fn mixes(candidates: &Candidates, kind: CellKind, chance: &mut Stream) -> Vec<Vec<f64>> {
    let softmax = |operations: &Vec<_>| {
        let powers: Vec<f64> = operations.iter().map(|_| chance.random_range(-30.0..30.0f64).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    };
    candidates.edges(kind).iter().map(softmax).collect()
}

/// The cell that a search comes to with other α at every decision, and its decisions.
fn searched(
    candidates: &Candidates,
    costs: Option<&Costs>,
    (unit, criterion): (Unit, Criterion),
    seed: u64,
) -> (Genotype, Vec<Choice>) {
    let space = candidates.space;
    let (mut plans, mut choices) = (fresh(space), Vec::new());
    let (mut chance, mut history) = (stream(seed, "test", [0, 0]), vec![Vec::new(); 2]);
    while !plans.iter().all(Plan::is_complete) {
        for &kind in space.kinds() {
            if plans[kind.index()].is_complete() {
                continue;
            }
            let (mixes, never) = (mixes(candidates, kind, &mut chance), candidates.never_chosen(kind));
            let history: &mut Vec<_> = &mut history[kind.index()];
            let room = Room::new(costs, &plans, kind);
            let seen = Scores { mixes: &mixes, weights: &[1.0; 14][..mixes.len()], never: &never, history };
            let plan = &mut plans[kind.index()];
            choices.push(match unit {
                Unit::Edge => plan.decide(candidates, kind, criterion, &seen, &room, &mut chance),
                Unit::Operation => plan.reduce(candidates, kind, criterion, &seen, &room, &mut chance),
            });
            history.push(mixes.iter().zip(&never).map(|(p, &never)| crate::schedule::others(p, never)).collect());
        }
    }
    let cells = space.kinds().iter().zip(&plans).map(|(&kind, plan)| plan.genes(candidates, kind).unwrap()).collect();
    (Genotype { space, cells, origin: None }, choices)
}

fn same(a: &[Choice], b: &[Choice]) -> bool {
    let of = |choices: &[Choice]| -> Vec<_> {
        choices.iter().map(|own| (own.edge, own.operation, own.pruned.clone(), own.candidates.clone())).collect()
    };
    of(a) == of(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// In every space, whatever α does between decisions, whatever is decided and by which criterion, and whatever is
    /// bounded.
    #[test]
    fn a_found_cell_keeps_its_budget_and_one_that_bounds_nothing_changes_nothing(
        space in 0..SPACES.len(),
        way in 0..CRITERIA.len() + 2,
        seed in any::<u64>(),
        shares in [prop::option::of(0.0..=1.0f64), prop::option::of(0.0..=1.0f64)],
    ) {
        let costs = &COSTS[space];
        let shrinking = [(Unit::Operation, Criterion::Strength), (Unit::Operation, Criterion::Random)];
        let way = CRITERIA.get(way).map_or_else(|| shrinking[way - CRITERIA.len()], |&criterion| (Unit::Edge, criterion));
        let candidates = &costs.candidates;
        let bound = |at: usize| {
            let (least, most) = range(costs, at);
            shares[at].map(|share| least + (share * (most - least) as f64) as usize)
        };
        let budget = Budget { parameters: bound(0), multiply_adds: bound(1) };
        let costs = Costs { budget, ..costs.clone() };
        let (free, free_choices) = searched(candidates, None, way, seed);
        if costs.check(&fresh(candidates.space)).is_ok() {
            let (found, choices) = searched(candidates, Some(&costs), way, seed);
            let counted = counts(&found);
            let spending = Spending { budget, parameters: counted.parameters, multiply_adds: counted.multiply_adds };
            prop_assert_eq!(costs.spending(&found), spending);
            prop_assert!(budget.parameters.is_none_or(|most| counted.parameters <= most));
            prop_assert!(budget.multiply_adds.is_none_or(|most| counted.multiply_adds <= most));
            prop_assert!(costs.allow(&found));
            // The first choice that differs is one that the budget cost.
            let changed = choices.iter().zip(&free_choices).find(|(own, free)| {
                (own.edge, own.operation) != (free.edge, free.operation)
            });
            prop_assert_eq!(changed.is_none(), found == free);
            if let Some((own, free)) = changed {
                let refused = own.refused.as_ref().unwrap();
                prop_assert_eq!((refused.edge, &refused.operation), (free.edge, &free.candidates[0].operation));
                let is_over = |least: Option<usize>, most: Option<usize>| least.zip(most).is_some_and(|(a, b)| a > b);
                let Budget { parameters, multiply_adds } = refused.least;
                prop_assert!(is_over(parameters, budget.parameters) || is_over(multiply_adds, budget.multiply_adds));
            }
        } else {
            // Each alone can be kept; both are too much only where one is cheap in what another is dear in.
            prop_assert!(shares.iter().all(Option::is_some));
        }
        let most = |at| Some(range(&costs, at).1);
        let loose = Costs { budget: Budget { parameters: most(0), multiply_adds: most(1) }, ..costs.clone() };
        let (found, choices) = searched(candidates, Some(&loose), way, seed);
        prop_assert_eq!(found, free);
        prop_assert!(same(&choices, &free_choices) && choices.iter().all(|choice| choice.refused.is_none()));
    }

    /// Against all cells that a plan leaves, where what each choice costs is drawn by chance: cheap in one, dear in the other.
    #[test]
    fn what_can_be_kept_is_known_exactly(
        keeps_every in any::<bool>(),
        seed in any::<u64>(),
        bounds in [prop::option::of(0..60usize), prop::option::of(0..60usize)],
    ) {
        let mut chance = stream(seed, "test", [1, 0]);
        let (candidates, left) = match keeps_every {
            true => {
                let names = ["none", "skip_connect", "nor_conv_1x1"].map(str::to_owned);
                (Candidates::subset(&NB201, &names).unwrap(), 4)
            }
            false => (Candidates::whole(&S2), 3),
        };
        let space = candidates.space;
        let mut cost = || [chance.random_range(0..10), chance.random_range(0..10)];
        let choices: Vec<Vec<Vec<Cost>>> = space.kinds().iter().map(|&kind| {
            candidates.edges(kind).iter().map(|own| own.iter().map(|_| cost()).collect()).collect()
        }).collect();
        let mut plans = fresh(space);
        let mut decisions = space.kinds().len() * space.decisions() - left;
        while decisions > 0 {
            let open = of_state(&plans, EdgeState::Mixed);
            let (kind, edge) = open[chance.random_range(0..open.len())];
            let count = candidates.edges(space.kinds()[kind])[edge].len();
            plans[kind].take(space, edge, chance.random_range(0..count));
            decisions -= 1;
        }
        let mut all = Vec::new();
        complete(&candidates, &choices, &plans, &mut all);
        // So that about half of the budgets can be kept.
        let typical = |at: usize| all.iter().map(|cost| cost[at]).min().unwrap();
        let bound = |at: usize| bounds[at].map(|more| typical(at) + more / 4);
        let budget = Budget { parameters: bound(0), multiply_adds: bound(1) };
        let costs = Costs { budget, candidates, fixed: [0, 0], choices };
        let kept = all.iter().any(|&cost| budget.holds(cost));
        prop_assert_eq!(costs.check(&plans).is_ok(), kept);
        for (&kind, plan) in costs.candidates.space.kinds().iter().zip(&plans) {
            prop_assert_eq!(Room::new(Some(&costs), &plans, kind).holds(plan), kept);
        }
    }
}

/// The edges in a state, by kind of cell.
fn of_state(plans: &[Plan], state: EdgeState) -> Vec<(usize, usize)> {
    let edges = |(kind, plan): (usize, &Plan)| {
        let states = plan.states().iter().enumerate();
        states.filter(|(_, own)| **own == state).map(|(edge, _)| (kind, edge)).collect::<Vec<_>>()
    };
    plans.iter().enumerate().flat_map(edges).collect()
}

/// What every cell costs that the plans leave, each in whatever order its edges are decided.
fn complete(candidates: &Candidates, choices: &[Vec<Vec<Cost>>], plans: &[Plan], all: &mut Vec<Cost>) {
    let open = of_state(plans, EdgeState::Mixed);
    for &(kind, edge) in &open {
        for operation in 0..choices[kind][edge].len() {
            let mut plans = plans.to_vec();
            plans[kind].take(candidates.space, edge, operation);
            complete(candidates, choices, &plans, all);
        }
    }
    if open.is_empty() {
        let decided = plans.iter().zip(choices).flat_map(|(plan, choices)| plan.states().iter().zip(choices));
        let cost = decided.filter_map(|(state, own)| match *state {
            EdgeState::Decided(operation) => Some(own[operation]),
            EdgeState::Mixed | EdgeState::Left(_) | EdgeState::Pruned => None,
        });
        all.push(cost.fold([0, 0], plus));
    }
}

#[test]
fn what_costs_nothing_less_is_refused_with_the_least_that_is_possible() {
    for (space, costs) in SPACES.iter().zip(COSTS.iter()) {
        for (at, key) in ["search.budget.parameters", "search.budget.multiply_adds"].into_iter().enumerate() {
            let (least, _) = range(costs, at);
            let check = |bound| {
                let mut bounds = [None, None];
                bounds[at] = Some(bound);
                let [parameters, multiply_adds] = bounds;
                Costs { budget: Budget { parameters, multiply_adds }, ..costs.clone() }.check(&fresh(space))
            };
            assert_eq!(check(least), Ok(()), "{space}");
            let (refused, message) = check(least - 1).unwrap_err();
            assert_eq!(refused, key, "{space}");
            assert!(
                message.contains(&format!("is {}, but a found cell's network has {least} ", least - 1)),
                "{message}"
            );
        }
    }
}

#[test]
fn both_can_be_too_much_where_each_alone_is_not() {
    // Skips are cheap in parameters and dear in multiply-adds.
    let candidates = Candidates::whole(&S2);
    let choices = vec![vec![vec![[1, 2], [2, 1]]; 14]; 2];
    let check = |parameters, multiply_adds| {
        let budget = Budget { parameters: Some(parameters), multiply_adds: Some(multiply_adds) };
        Costs { budget, candidates: candidates.clone(), fixed: [100, 200], choices: choices.clone() }.check(&fresh(&S2))
    };
    // 16 edges of 3 in both.
    assert_eq!((check(116, 232), check(124, 224), check(132, 216)), (Ok(()), Ok(()), Ok(())));
    let (key, message) = check(116, 216).unwrap_err();
    assert_eq!(key, "search.budget");
    assert!(
        message.contains("124 parameters and 224 multiply-adds") || message.contains("cannot be kept"),
        "{message}"
    );
    assert_eq!(check(115, 300).unwrap_err().0, "search.budget.parameters");
    assert_eq!(check(300, 215).unwrap_err().0, "search.budget.multiply_adds");
}

#[test]
fn the_strongest_operation_that_is_allowed_is_taken() {
    let candidates = Candidates::whole(&S2);
    // Every separable convolution costs 10, and there is room for one.
    let budget = Budget { parameters: Some(12), multiply_adds: None };
    let choices = vec![vec![vec![[0, 7], [10, 7]]; 14]; 2];
    let costs = Costs { budget, candidates: candidates.clone(), fixed: [1, 0], choices };
    let mut mixes = vec![vec![0.3, 0.7]; 14];
    (mixes[5], mixes[9]) = (vec![0.1, 0.9], vec![0.2, 0.8]);
    let (kind, never, mut plans) = (CellKind::Normal, candidates.never_chosen(CellKind::Normal), fresh(&S2));
    let mut decide = || {
        let room = Room::new(Some(&costs), &plans, kind);
        let seen = Scores { mixes: &mixes, weights: &[1.0; 14][..mixes.len()], never: &never, history: &[] };
        plans[0].decide(&candidates, kind, Criterion::Confidence, &seen, &room, &mut stream(0, "", [0, 0]))
    };
    let first = decide();
    assert_eq!((first.edge, first.operation, first.refused), (5, 1, None));
    let second = decide();
    assert_eq!((second.edge, second.operation), (9, 0));
    let least = Budget { parameters: Some(21), multiply_adds: None };
    assert_eq!(
        second.refused,
        Some(Refused { edge: 9, from: 0, node: 3, operation: "sep_conv_3x3".to_owned(), least })
    );
    assert!((second.candidates[0].share - 0.2).abs() < 1e-12);
}
