//! A budget of the derived network: what each choice costs there, and whether what is undecided can still keep it.
//!
//! Edges' costs add up: an edge's depends on its kind of cell, on whether it reads an input or a node, and on its operation,
//! and on nothing that is chosen elsewhere. So whether a budget can be kept is known exactly, from the cheapest that every
//! node can come to. Where both numbers are bounded, one may be cheap in what another is dear in, and all that are not dearer
//! than another in both are followed.

use super::{EdgeState, Plan};
use crate::genotype::{Gene, Genes, Genotype};
use crate::network::Counts;
use crate::space::{Candidates, CellKind};
use serde::{Deserialize, Serialize};

/// `search.budget`: the most that the derived network may come to, at the training's sizes and without the auxiliary head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Learnt numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<usize>,
    /// Multiply-adds for one sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiply_adds: Option<usize>,
}

/// What a search under a budget came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// What there was.
    pub budget: Budget,
    /// Learnt numbers of the found cell's network, at the training's sizes and without the auxiliary head.
    pub parameters: usize,
    /// Its multiply-adds for one sample.
    pub multiply_adds: usize,
}

impl Budget {
    /// Whether nothing is bounded.
    pub fn is_unlimited(&self) -> bool {
        *self == Budget::default()
    }

    fn bounds(&self) -> [Option<usize>; 2] {
        [self.parameters, self.multiply_adds]
    }

    /// What of a cost is bounded; nothing of what is not.
    fn bounded(&self, [parameters, multiply_adds]: Cost) -> Cost {
        let bounds = self.bounds();
        [bounds[0].map_or(0, |_| parameters), bounds[1].map_or(0, |_| multiply_adds)]
    }

    fn holds(&self, cost: Cost) -> bool {
        self.bounds().iter().zip(cost).all(|(bound, cost)| bound.is_none_or(|bound| cost <= bound))
    }

    /// By how many times the budget it is, in what it is worst in.
    fn excess(&self, cost: Cost) -> f64 {
        let share = |(bound, cost): (&Option<usize>, usize)| bound.map_or(0.0, |bound| cost as f64 / bound as f64);
        self.bounds().iter().zip(cost).map(share).fold(0.0, f64::max)
    }

    /// A cost as a budget has it.
    fn named(&self, [parameters, multiply_adds]: Cost) -> Budget {
        Budget {
            parameters: self.parameters.map(|_| parameters),
            multiply_adds: self.multiply_adds.map(|_| multiply_adds),
        }
    }
}

/// Parameters and multiply-adds.
type Cost = [usize; 2];

/// What each choice of a search costs in the derived network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costs {
    budget: Budget,
    candidates: Candidates,
    /// What is there whatever is chosen.
    fixed: Cost,
    /// By kind of cell, edge and candidate operation.
    choices: Vec<Vec<Vec<Cost>>>,
}

impl Costs {
    /// Those of `candidates`, by the `counts` of networks of cells; `None` where these are beyond what can be counted.
    pub fn measure(candidates: &Candidates, budget: Budget, counts: impl Fn(&Genotype) -> Counts) -> Option<Self> {
        let space = candidates.space;
        let gene = |kind, edge, operation: usize| Gene {
            from: space.edge(edge).from,
            operation: candidates.of(kind, edge)[operation],
        };
        let cell = |&kind: &CellKind| Genes {
            nodes: (0..space.nodes).map(|node| vec![gene(kind, space.edges_into(node).start, 0)]).collect(),
            concat: space.concat(),
        };
        // Every node needs an edge; what any other adds is what it costs.
        let few = Genotype { space, cells: space.kinds().iter().map(cell).collect(), origin: None };
        let cost = |genotype: &Genotype| {
            let counts = counts(genotype);
            counts.are_exact().then_some([counts.parameters, counts.multiply_adds])
        };
        let base = cost(&few)?;
        let mut choices = Vec::new();
        for &kind in space.kinds() {
            let of_choice = |edge: usize, operation: usize| {
                let mut more = few.clone();
                more.cells[kind.index()].nodes[space.edge(edge).node].push(gene(kind, edge, operation));
                Some(minus(cost(&more)?, base))
            };
            let of_edge = |edge: usize| (0..candidates.of(kind, edge).len()).map(|own| of_choice(edge, own)).collect();
            choices.push((0..space.edge_count()).map(of_edge).collect::<Option<Vec<Vec<Cost>>>>()?);
        }
        let first = |edges: &Vec<Vec<Cost>>| {
            (0..space.nodes).map(|node| edges[space.edges_into(node).start][0]).fold([0, 0], plus)
        };
        let fixed = minus(base, choices.iter().map(first).fold([0, 0], plus));
        Some(Costs { budget, candidates: candidates.clone(), fixed, choices })
    }

    /// What a cell of these candidates takes of the budget.
    pub fn spending(&self, genotype: &Genotype) -> Spending {
        let [parameters, multiply_adds] = self.of(genotype);
        Spending { budget: self.budget, parameters, multiply_adds }
    }

    /// Whether a cell of these candidates keeps the budget.
    pub fn allow(&self, genotype: &Genotype) -> bool {
        self.budget.holds(self.of(genotype))
    }

    fn of(&self, genotype: &Genotype) -> Cost {
        let space = self.candidates.space;
        let of_gene = |kind: CellKind, (node, gene): (usize, &Gene)| {
            let edge = space.edges_into(node).start + gene.from;
            let own = self.candidates.of(kind, edge).iter().position(|operation| *operation == gene.operation);
            self.choices[kind.index()][edge][own.expect("the cell is of these candidates")]
        };
        let genes = genotype.kinds().flat_map(|(kind, genes)| genes.edges().map(move |gene| (kind, gene)));
        genes.map(|(kind, gene)| of_gene(kind, gene)).fold(self.fixed, plus)
    }

    /// Whether cells can come of these plans that keep the budget; otherwise the budget's key and what would be right.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn check(&self, plans: &[Plan]) -> Result<(), (&'static str, String)> {
        let least = self.completions(plans);
        if least.iter().any(|&cost| self.budget.holds(cost)) {
            return Ok(());
        }
        let Budget { parameters, multiply_adds } = self.budget;
        let remedy = "raise it, or let the network that is trained be smaller (train.channels, train.cells)";
        for (at, key, bound, what) in [
            (0, "search.budget.parameters", parameters, "parameters"),
            (1, "search.budget.multiply_adds", multiply_adds, "multiply-adds"),
        ] {
            let possible = least.iter().map(|cost| cost[at]).min().unwrap_or(0);
            if let Some(bound) = bound.filter(|&bound| bound < possible) {
                let message =
                    format!("is {bound}, but a found cell's network has {possible} {what} at the least; {remedy}");
                return Err((key, message));
            }
        }
        let [parameters, multiply_adds] = self.nearest(&least);
        let message = format!(
            "cannot be kept in both: what comes nearest has {parameters} parameters and {multiply_adds} multiply-adds; {remedy}"
        );
        Err(("search.budget", message))
    }

    /// What the cells may come to that these plans leave open: all costs of which none is dearer than another in everything.
    fn completions(&self, plans: &[Plan]) -> Vec<Cost> {
        let kinds = self.candidates.space.kinds().iter().zip(plans);
        kinds.fold(vec![self.budget.bounded(self.fixed)], |sum, (&kind, plan)| sums(&sum, &self.of_cell(kind, plan)))
    }

    fn of_cell(&self, kind: CellKind, plan: &Plan) -> Vec<Cost> {
        let never = self.candidates.never_chosen(kind);
        let node = |node| self.of_node(kind, plan, node, &never);
        (0..self.candidates.space.nodes).fold(vec![[0, 0]], |sum, own| sums(&sum, &node(own)))
    }

    fn of_node(&self, kind: CellKind, plan: &Plan, node: usize, never: &[Option<usize>]) -> Vec<Cost> {
        let space = self.candidates.space;
        let kept = space.kept(node);
        // By the number of edges that are taken so far.
        let mut taken = vec![Vec::new(); kept + 1];
        taken[0].push([0, 0]);
        for edge in space.edges_into(node) {
            let costs: Vec<Cost> =
                self.choices[kind.index()][edge].iter().map(|&cost| self.budget.bounded(cost)).collect();
            let (own, must) = match plan.states()[edge] {
                EdgeState::Pruned => continue,
                EdgeState::Decided(operation) => (vec![costs[operation]], true),
                state @ (EdgeState::Mixed | EdgeState::Left(_)) => {
                    let costs = costs.iter().enumerate();
                    let chosen = costs.filter(|&(own, _)| Some(own) != never[edge] && state.has(own));
                    (cheapest(chosen.map(|(_, &cost)| cost).collect()), false)
                }
            };
            for count in (0..=kept).rev() {
                let mut with = if must { Vec::new() } else { std::mem::take(&mut taken[count]) };
                if count > 0 {
                    with.extend(sums(&taken[count - 1], &own));
                }
                taken[count] = cheapest(with);
            }
        }
        taken.swap_remove(kept)
    }

    /// Of these costs, the one that comes nearest to the budget.
    fn nearest(&self, costs: &[Cost]) -> Cost {
        let excess = |cost: &Cost| self.budget.excess(*cost);
        *costs.iter().min_by(|a, b| excess(a).total_cmp(&excess(b))).expect("every plan can be completed")
    }
}

/// What a decision may take of a kind of cell, in view of what is decided of the others.
pub(crate) struct Room<'a>(Option<Within<'a>>);

struct Within<'a> {
    costs: &'a Costs,
    kind: CellKind,
    /// What the rest of the network may come to.
    rest: Vec<Cost>,
}

impl<'a> Room<'a> {
    /// What `costs`, if there is a budget, leave to a kind of cell where `plans` are what is decided.
    pub(crate) fn new(costs: Option<&'a Costs>, plans: &[Plan], kind: CellKind) -> Self {
        Room(costs.map(|costs| {
            let others = costs.candidates.space.kinds().iter().zip(plans).filter(|(other, _)| **other != kind);
            let rest = others.fold(vec![costs.budget.bounded(costs.fixed)], |sum, (&other, plan)| {
                sums(&sum, &costs.of_cell(other, plan))
            });
            Within { costs, kind, rest }
        }))
    }

    /// Whether a cell can come of the plan that keeps the budget.
    pub(crate) fn holds(&self, plan: &Plan) -> bool {
        self.0
            .as_ref()
            .is_none_or(|within| within.completions(plan).iter().any(|&cost| within.costs.budget.holds(cost)))
    }

    /// The network that can come of the plan and is nearest to the budget, in what is bounded.
    pub(crate) fn nearest(&self, plan: &Plan) -> Budget {
        self.0.as_ref().map_or(Budget::default(), |within| {
            within.costs.budget.named(within.costs.nearest(&within.completions(plan)))
        })
    }
}

impl Within<'_> {
    fn completions(&self, plan: &Plan) -> Vec<Cost> {
        sums(&self.rest, &self.costs.of_cell(self.kind, plan))
    }
}

fn plus(a: Cost, b: Cost) -> Cost {
    std::array::from_fn(|at| a[at].saturating_add(b[at]))
}

fn minus(a: Cost, b: Cost) -> Cost {
    std::array::from_fn(|at| a[at] - b[at])
}

/// Of each pair the sum, as far as no other is cheaper.
fn sums(a: &[Cost], b: &[Cost]) -> Vec<Cost> {
    cheapest(a.iter().flat_map(|&a| b.iter().map(move |&b| plus(a, b))).collect())
}

/// Without those that another is at least as cheap as in everything: the first number rises, the second falls.
fn cheapest(mut costs: Vec<Cost>) -> Vec<Cost> {
    costs.sort_unstable();
    let mut least = None;
    costs.retain(|&[_, second]| {
        let is_cheaper = least.is_none_or(|least| second < least);
        least = if is_cheaper { Some(second) } else { least };
        is_cheaper
    });
    costs
}

#[cfg(test)]
mod tests;
