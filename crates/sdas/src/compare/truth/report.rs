//! What a comparison by a table comes to: each found cell's place in it, each method's, and what may be said of them.

use super::Truth;
use crate::compare::report::{Claim, Seeded, evidence, paired, reference, verdict};
use crate::compare::statistics::{Difference, Spread};
use crate::table::{Column, Distribution, Standing};
use serde::{Deserialize, Serialize};

/// What one method found with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// The cell, as the benchmark writes it.
    pub architecture: String,
    /// Where it stands in truth.
    pub truth: Standing,
    /// Where it stands by what searches are told; absent where the table has no such column.
    pub validation: Option<Standing>,
    /// Its learnt numbers, by the table.
    pub parameters: Option<f64>,
    /// Its multiply-adds, by the table.
    pub multiply_adds: Option<f64>,
    /// Seconds of searching. A method that asks the table trains nothing: what its answers cost is not in here.
    pub seconds: f64,
    /// The most memory that the search had, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Accuracies of trained cells that were asked for; absent of a search that asks for none.
    pub questions: Option<usize>,
}

impl Found {
    /// A cell by its number.
    pub(super) fn of(method: &str, seed: u64, truth: &Truth, number: usize) -> Self {
        let space = truth.table.space();
        Found {
            method: method.to_owned(),
            seed,
            architecture: space.text(&space.architecture(number)),
            truth: truth.column().standing(number),
            validation: truth.table.column(&truth.validation).ok().map(|column| column.standing(number)),
            parameters: truth.table.size("parameters", number),
            multiply_adds: truth.table.size("multiply_adds", number),
            seconds: 0.0,
            peak_memory: None,
            questions: None,
        }
    }
}

impl Seeded for Found {
    fn method(&self) -> &str {
        &self.method
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// What a comparison by a table comes to: `truth.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthReport {
    /// The recipe that the methods share.
    pub recipe: String,
    /// The column that is the truth.
    pub column: String,
    /// The column that methods were told that ask for accuracies.
    pub validation: String,
    /// The truth of all cells of the table.
    pub table: Distribution,
    /// The cell that is best in truth.
    pub best: String,
    /// What is compared with: `das` where it takes part, else the first method that searches.
    pub reference: Option<String>,
    /// Each method.
    pub methods: Vec<Judged>,
    /// What may be said.
    pub claims: Vec<Claim>,
    /// Each found cell.
    pub runs: Vec<Found>,
}

/// One method over its seeds; `random` over all cells of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Its name.
    pub method: String,
    /// True accuracy.
    pub accuracy: Spread,
    /// True accuracy minus the reference's of the same seed; absent of the reference and of `random`.
    pub difference: Option<Difference>,
    /// Rank among all cells, 1 the best.
    pub rank: Spread,
    /// The rank that half of its seeds do not exceed.
    pub median_rank: f64,
    /// The best cell's true accuracy less its own.
    pub regret: Spread,
    /// Seconds of searching; absent of `random`, as is what follows.
    pub search_seconds: Option<Spread>,
    /// Seconds of searching over the reference's of the same seed, as a geometric mean; also absent where either asks for
    /// accuracies, whose seconds are not those of a search.
    pub time_ratio: Option<Difference>,
    /// The search's peak memory in bytes.
    pub peak_memory: Option<Spread>,
    /// Accuracies of trained cells that were asked for.
    pub questions: Option<Spread>,
}

impl TruthReport {
    /// Of all found cells, those of a method one after another; `methods` says of each whether it is chance.
    pub(super) fn of(recipe: &str, truth: &Truth, methods: &[(&str, bool)], runs: Vec<Found>) -> Self {
        let (column, space) = (truth.column(), truth.table.space());
        let searched: Vec<&str> = methods.iter().map(|(name, _)| *name).filter(|name| has(&runs, name)).collect();
        let reference = reference(&searched);
        let judged = methods.iter().filter_map(|&(name, is_chance)| match is_chance {
            true => Some(Judged::of_chance(name, column)),
            false => Judged::of(name, reference?, &runs),
        });
        let judged: Vec<Judged> = judged.collect();
        let table = column.distribution();
        TruthReport {
            recipe: recipe.to_owned(),
            column: truth.column.clone(),
            validation: truth.validation.clone(),
            best: space.text(&space.architecture(column.best())),
            reference: reference.map(str::to_owned),
            claims: reference.map_or(Vec::new(), |reference| claims(&judged, reference, &runs, table.mean)),
            methods: judged,
            table,
            runs,
        }
    }
}

fn has(runs: &[Found], method: &str) -> bool {
    runs.iter().any(|run| run.method == method)
}

impl Judged {
    fn of(method: &str, reference: &str, runs: &[Found]) -> Option<Self> {
        let own = || runs.iter().filter(|run| run.method == method);
        let spread = |value: fn(&Found) -> Option<f64>| Spread::of(&own().filter_map(value).collect::<Vec<_>>());
        let ranks: Vec<f64> = own().map(|run| run.truth.rank as f64).collect();
        let is_other = method != reference;
        Some(Judged {
            method: method.to_owned(),
            accuracy: spread(|run| Some(run.truth.value))?,
            difference: paired(method, reference, runs, |a, b| Some(a.truth.value - b.truth.value))
                .filter(|_| is_other),
            rank: Spread::of(&ranks)?,
            median_rank: median(ranks),
            regret: spread(|run| Some(run.truth.regret))?,
            search_seconds: spread(|run| Some(run.seconds)),
            time_ratio: paired(method, reference, runs, time_ratio)
                .filter(|_| is_other)
                .map(|logarithm| logarithm.map(f64::exp)),
            peak_memory: spread(|run| run.peak_memory.map(|bytes| bytes as f64)),
            questions: spread(|run| run.questions.map(|count| count as f64)),
        })
    }

    /// A cell drawn by chance: every cell of the table.
    fn of_chance(method: &str, column: &Column) -> Self {
        let all: Vec<Standing> = (0..column.cells()).map(|number| column.standing(number)).collect();
        let spread = |value: fn(&Standing) -> f64| {
            Spread::of(&all.iter().map(value).collect::<Vec<_>>()).expect("a table has cells")
        };
        Judged {
            method: method.to_owned(),
            accuracy: spread(|at| at.value),
            difference: None,
            rank: spread(|at| at.rank as f64),
            median_rank: median(all.iter().map(|at| at.rank as f64).collect()),
            regret: spread(|at| at.regret),
            search_seconds: None,
            time_ratio: None,
            peak_memory: None,
            questions: None,
        }
    }
}

/// The logarithm of how much longer one search took than another.
fn time_ratio(own: &Found, other: &Found) -> Option<f64> {
    let is_search = |found: &Found| found.questions.is_none();
    (is_search(own) && is_search(other)).then(|| (own.seconds / other.seconds).ln())
}

/// The middle value, or the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[half - 1] + values[half]) / 2.0 } else { values[half] }
}

/// What the runs let us say: better cells than the reference's, in half its time, better than cells drawn by chance.
fn claims(methods: &[Judged], reference: &str, runs: &[Found], chance: f64) -> Vec<Claim> {
    let better = |method: &str, other: &str, difference: Difference| {
        let range = difference.interval.map(|[low, high]| format!("{low:+.2} to {high:+.2}"));
        Claim {
            statement: format!("{method} finds better cells than {other}"),
            verdict: verdict(difference.interval, 0.0),
            evidence: evidence(&format!("{:+.2} points", difference.mean), range, difference.n),
        }
    };
    // What searches nothing claims nothing.
    let (searched, drawn): (Vec<_>, Vec<_>) = methods.iter().partition(|method| method.search_seconds.is_some());
    let mut claims = Vec::new();
    for Judged { method, difference, time_ratio, .. } in searched {
        claims.extend(difference.map(|difference| better(method, reference, difference)));
        if let (Some(ratio), "das") = (time_ratio, reference) {
            let range = ratio.interval.map(|[low, high]| format!("{low:.2} to {high:.2}"));
            claims.push(Claim {
                statement: format!("{method} takes at most half of {reference}'s time to search"),
                verdict: verdict(ratio.interval.map(|[low, high]| [-high, -low]), -0.5),
                evidence: evidence(&format!("{:.2} of it", ratio.mean), range, ratio.n),
            });
        }
        for Judged { method: random, .. } in &drawn {
            let own = runs.iter().filter(|run| run.method == *method).map(|run| run.truth.value - chance);
            let difference = Difference::of(&own.collect::<Vec<_>>());
            claims.extend(difference.map(|difference| better(method, random, difference)));
        }
    }
    claims
}
