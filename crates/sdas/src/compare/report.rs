//! What a comparison comes to: each run's numbers, each method's, and what may be said of them.

use super::statistics::{Difference, Spread};
use crate::genotype::{Genes, Genotype};
use crate::run::RunResult;
use crate::space::OperationKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One method with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The method.
    pub method: String,
    /// The seed of its search and of its training.
    pub seed: u64,
    /// Share of the test set that the trained network has right (top 1).
    pub accuracy: f64,
    /// Samples of the test set.
    pub test_samples: usize,
    /// Of the last epoch's training samples, as the network saw them then.
    pub train_accuracy: f64,
    /// Seconds of the training.
    pub train_seconds: f64,
    /// The most memory that it had, in bytes, where the system tells.
    #[serde(default)]
    pub train_memory: Option<u64>,
    /// Seconds of one of its steps, in the mean.
    #[serde(default)]
    pub step_seconds: f64,
    /// Seconds that the trained network computes a sample, in the mean over the test set's views.
    #[serde(default)]
    pub sample_seconds: f64,
    /// Learnt numbers of the trained network.
    pub parameters: usize,
    /// Its multiply-adds for one sample.
    pub multiply_adds: usize,
    /// The found cells, as the text that their literature prints; absent of a network that people made.
    #[serde(with = "as_text", default)]
    pub genotype: Option<Genotype>,
    /// What they are made of.
    pub cell: Option<Makeup>,
    /// The search; absent where nothing was searched.
    pub search: Option<SearchOutcome>,
}

/// A search's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchOutcome {
    /// Seconds of computing.
    pub seconds: f64,
    /// The most memory it had, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Accuracy on the held-out half at the end.
    pub validation_accuracy: f64,
    /// Training accuracy minus validation accuracy at the end.
    pub gap: f64,
    /// Mean entropy of softmax(α) over the edges undecided at the end of the last epoch that had any, in nats.
    pub alpha_entropy: Option<f64>,
}

impl Outcome {
    /// Seconds of searching and training.
    pub fn seconds(&self) -> f64 {
        self.train_seconds + self.search.as_ref().map_or(0.0, |search| search.seconds)
    }
}

mod as_text {
    use crate::genotype::Genotype;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(genotype: &Option<Genotype>, serializer: S) -> Result<S::Ok, S::Error> {
        genotype.as_ref().map(Genotype::to_text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Genotype>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| Genotype::parse(&text)).transpose().map_err(de::Error::custom)
    }
}

/// Shares of kinds of operations among the edges of the found cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Makeup {
    /// Skip connections.
    pub skips: f64,
    /// Pools.
    pub pools: f64,
    /// Operations across time, with or without space.
    pub temporal: f64,
    /// Whether a cell has collapsed: three quarters of its edges or more learn nothing (skips, pools, none).
    pub collapsed: bool,
}

impl Makeup {
    /// Of a genotype.
    pub fn of(genotype: &Genotype) -> Self {
        use OperationKind::{Pool, Skip, SpaceTime, Temporal};
        let share = |kinds: &[OperationKind]| {
            let count = genotype.cells.iter().map(|genes| genes.count(kinds)).sum::<usize>();
            count as f64 / genotype.edge_count() as f64
        };
        let collapsed = |genes: &Genes| genes.idle() >= genotype.space.collapsed();
        Makeup {
            skips: share(&[Skip]),
            pools: share(&[Pool]),
            temporal: share(&[Temporal, SpaceTime]),
            collapsed: genotype.cells.iter().any(collapsed),
        }
    }
}

/// What a comparison comes to: `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The recipe that the methods share.
    pub recipe: String,
    /// What is compared with: `das` where it takes part, else the first method.
    pub reference: String,
    /// Each method.
    pub methods: Vec<Summary>,
    /// What may be said.
    pub claims: Vec<Claim>,
    /// Each run.
    pub runs: Vec<Outcome>,
}

/// One method over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its name.
    pub method: String,
    /// Test accuracy.
    pub accuracy: Spread,
    /// Test accuracy minus the reference's of the same seed; absent of the reference.
    pub difference: Option<Difference>,
    /// Seconds of searching; absent where nothing is searched, as is what follows.
    pub search_seconds: Option<Spread>,
    /// Seconds of searching over the reference's of the same seed, as a geometric mean; absent of the reference.
    pub time_ratio: Option<Difference>,
    /// The search's peak memory in bytes.
    pub peak_memory: Option<Spread>,
    /// Accuracy of the searched network on the held-out half, at the end of the search: what methods may be chosen by.
    pub validation_accuracy: Option<Spread>,
    /// Its training accuracy minus that.
    pub gap: Option<Spread>,
    /// Mean entropy of softmax(α) where it was last undecided, in nats.
    pub alpha_entropy: Option<Spread>,
    /// Learnt numbers of the trained network.
    pub parameters: Spread,
    /// Its multiply-adds for one sample.
    pub multiply_adds: Spread,
    /// Seconds that it computes a sample.
    pub sample_seconds: Spread,
    /// Seconds of a step of its training.
    pub step_seconds: Spread,
    /// The most memory that its training had, in bytes.
    pub train_memory: Option<Spread>,
    /// Share of skip connections in the found cells; absent of a network that people made, as is what follows.
    pub skips: Option<Spread>,
    /// Share of pools.
    pub pools: Option<Spread>,
    /// Share of operations across time.
    pub temporal: Option<Spread>,
    /// How many runs ended in a collapsed cell.
    pub collapsed: usize,
    /// How far its seeds found the same: the mean of [`Genotype::agreement`] over all pairs of them; absent of one seed.
    pub agreement: Option<f64>,
}

/// A statement, and what the runs say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The statement.
    pub statement: String,
    /// Whether it may be made.
    pub verdict: Verdict,
    /// The numbers behind the verdict.
    pub evidence: String,
}

/// Whether a statement may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is on its side.
    Supported,
    /// The whole interval is on the other side.
    NotSupported,
    /// The interval is on both sides, or there is none.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Supported => "supported",
            Verdict::NotSupported => "not supported",
            Verdict::Undecided => "undecided",
        })
    }
}

impl SearchOutcome {
    /// Of a finished search; `alpha_entropy` is in its metrics.
    pub(super) fn new(result: &RunResult, alpha_entropy: Option<Vec<f64>>) -> Self {
        let validation_accuracy = result.validation_accuracy.unwrap_or(f64::NAN);
        SearchOutcome {
            seconds: result.seconds,
            peak_memory: result.peak_memory,
            validation_accuracy,
            gap: result.train_accuracy - validation_accuracy,
            alpha_entropy: alpha_entropy.map(|kinds| kinds.iter().sum::<f64>() / kinds.len() as f64),
        }
    }
}

impl Report {
    /// Of all runs, those of a method one after another.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn of(recipe: &str, runs: Vec<Outcome>) -> Self {
        let mut names: Vec<&str> = runs.iter().map(|run| run.method.as_str()).collect();
        names.dedup();
        let reference = reference(&names).expect("there is a run").to_owned();
        let methods: Vec<Summary> = names.iter().map(|name| Summary::of(name, &reference, &runs)).collect();
        let claims = claims(&methods, &reference, &runs);
        Report { recipe: recipe.to_owned(), reference, methods, claims, runs }
    }
}

impl Summary {
    fn of(method: &str, reference: &str, runs: &[Outcome]) -> Self {
        let own = || runs.iter().filter(|run| run.method == method);
        let spread = |value: fn(&Outcome) -> f64| {
            Spread::of(&own().map(value).collect::<Vec<_>>()).expect("a method has at least one run")
        };
        let search = |value: fn(&SearchOutcome) -> Option<f64>| {
            Spread::of(&own().filter_map(|run| value(run.search.as_ref()?)).collect::<Vec<_>>())
        };
        let cell = |value: fn(&Makeup) -> f64| {
            Spread::of(&own().filter_map(|run| run.cell.as_ref().map(value)).collect::<Vec<_>>())
        };
        let is_other = method != reference;
        Summary {
            method: method.to_owned(),
            accuracy: spread(|run| run.accuracy),
            difference: paired(method, reference, runs, |a, b| Some(a.accuracy - b.accuracy)).filter(|_| is_other),
            search_seconds: search(|search| Some(search.seconds)),
            time_ratio: paired(method, reference, runs, |a, b| {
                Some((a.search.as_ref()?.seconds / b.search.as_ref()?.seconds).ln())
            })
            .filter(|_| is_other)
            .map(|logarithm| logarithm.map(f64::exp)),
            peak_memory: search(|search| search.peak_memory.map(|bytes| bytes as f64)),
            validation_accuracy: search(|search| Some(search.validation_accuracy)),
            gap: search(|search| Some(search.gap)),
            alpha_entropy: search(|search| search.alpha_entropy),
            parameters: spread(|run| run.parameters as f64),
            multiply_adds: spread(|run| run.multiply_adds as f64),
            sample_seconds: spread(|run| run.sample_seconds),
            step_seconds: spread(|run| run.step_seconds),
            train_memory: Spread::of(&own().filter_map(|run| Some(run.train_memory? as f64)).collect::<Vec<_>>()),
            skips: cell(|cell| cell.skips),
            pools: cell(|cell| cell.pools),
            temporal: cell(|cell| cell.temporal),
            collapsed: own().filter(|run| run.cell.is_some_and(|cell| cell.collapsed)).count(),
            agreement: agreement(&own().filter_map(|run| run.genotype.as_ref()).collect::<Vec<_>>()),
        }
    }
}

/// The mean over all pairs; `None` where there is none.
fn agreement(genotypes: &[&Genotype]) -> Option<f64> {
    let pairs =
        genotypes.iter().enumerate().flat_map(|(index, one)| genotypes[..index].iter().map(move |other| (one, other)));
    Spread::of(&pairs.map(|(one, other)| one.agreement(other)).collect::<Vec<_>>()).map(|spread| spread.mean)
}

/// What methods are compared with: `das` where it takes part, else the first; `None` of none.
pub(super) fn reference<'a>(methods: &[&'a str]) -> Option<&'a str> {
    methods.iter().find(|name| **name == "das").or(methods.first()).copied()
}

/// What one method came to with one seed.
pub(super) trait Seeded {
    fn method(&self) -> &str;
    fn seed(&self) -> u64;
}

impl Seeded for Outcome {
    fn method(&self) -> &str {
        &self.method
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// A difference of two methods over the seeds that both have.
pub(super) fn paired<R: Seeded>(
    method: &str,
    other: &str,
    runs: &[R],
    value: impl Fn(&R, &R) -> Option<f64>,
) -> Option<Difference> {
    let of = |name: &str, seed: u64| runs.iter().find(|run| run.method() == name && run.seed() == seed);
    let own = runs.iter().filter(|run| run.method() == method);
    Difference::of(&own.filter_map(|run| value(run, of(other, run.seed())?)).collect::<Vec<_>>())
}

/// Of a method beside another.
const FINDS: &str = "finds more accurate networks than";

/// What the runs let us say: more accurate than the reference, in half its time, more accurate than random cells.
fn claims(methods: &[Summary], reference: &str, runs: &[Outcome]) -> Vec<Claim> {
    let mut claims = Vec::new();
    let more_accurate = |method: &str, other: &str, how: &str| {
        let difference = paired(method, other, runs, |a, b| Some(100.0 * (a.accuracy - b.accuracy)))?;
        let range = difference.interval.map(|[low, high]| format!("{low:+.1} to {high:+.1}"));
        Some(Claim {
            statement: format!("{method} {how} {other}"),
            verdict: verdict(difference.interval, 0.0),
            evidence: evidence(&format!("{:+.1} points", difference.mean), range, difference.n),
        })
    };
    // Networks that are as they are: of these the first is held against the others, as whatever is searched.
    let networks: Vec<&str> = methods
        .iter()
        .filter(|method| method.search_seconds.is_none() && method.method != "random")
        .map(|method| method.method.as_str())
        .collect();
    let found = methods.iter().filter(|method| method.search_seconds.is_some()).map(|method| method.method.as_str());
    let held: Vec<&str> = found.chain(networks.first().copied()).collect();
    for own in &held {
        for other in networks.iter().filter(|other| *other != own) {
            claims.extend(more_accurate(own, other, "is more accurate than"));
        }
    }
    // What searches nothing claims nothing more.
    for Summary { method, time_ratio, .. } in methods.iter().filter(|method| method.search_seconds.is_some()) {
        if method != reference {
            claims.extend(more_accurate(method, reference, FINDS).filter(|_| !networks.contains(&reference)));
            if let (Some(ratio), "das") = (time_ratio, reference) {
                let range = ratio.interval.map(|[low, high]| format!("{low:.2} to {high:.2}"));
                claims.push(Claim {
                    statement: format!("{method} takes at most half of {reference}'s time to search"),
                    verdict: verdict(ratio.interval.map(|[low, high]| [-high, -low]), -0.5),
                    evidence: evidence(&format!("{:.2} of it", ratio.mean), range, ratio.n),
                });
            }
        }
        let has_random = methods.iter().any(|other| other.method == "random");
        if has_random && reference != "random" {
            claims.extend(more_accurate(method, "random", FINDS));
        }
    }
    claims
}

/// Whether a number with this interval is above `limit`.
pub(super) fn verdict(interval: Option<[f64; 2]>, limit: f64) -> Verdict {
    match interval {
        Some([low, _]) if low > limit => Verdict::Supported,
        Some([_, high]) if high < limit => Verdict::NotSupported,
        _ => Verdict::Undecided,
    }
}

pub(super) fn evidence(mean: &str, range: Option<String>, n: usize) -> String {
    match range {
        Some(range) => format!("{mean}, 95 % interval {range}, n = {n}"),
        None if n == 1 => format!("{mean}, n = 1: no interval from one pair"),
        None => format!("{mean}, n = {n}: no interval from equal differences"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::genotype::published;

    /// A run by its accuracy and the seconds of its search.
    pub(in crate::compare) fn run(method: &str, seed: u64, accuracy: f64, seconds: Option<f64>) -> Outcome {
        let search = |seconds| SearchOutcome {
            seconds,
            peak_memory: Some(300 << 20),
            validation_accuracy: 0.5,
            gap: 0.1,
            alpha_entropy: Some(1.5),
        };
        Outcome {
            method: method.to_owned(),
            seed,
            accuracy,
            test_samples: 1000,
            train_accuracy: 0.8,
            train_seconds: 60.0,
            parameters: 120_000,
            multiply_adds: 14_000_000,
            train_memory: Some(200 << 20),
            step_seconds: 0.05,
            sample_seconds: 0.002,
            genotype: Some(published(if seed == 2 { "darts_v1" } else { "darts_v2" }).expect("a published cell")),
            cell: Some(Makeup { skips: 0.25, pools: 0.125, temporal: 0.0, collapsed: seed == 2 }),
            search: seconds.map(search),
        }
    }

    /// Of three seeds: better than `das` and in well under half its time; `random` scatters.
    pub(in crate::compare) fn report() -> Report {
        let three = |method: &'static str, accuracies: [f64; 3], seconds: Option<[f64; 3]>| {
            let one = move |seed: usize| run(method, seed as u64 + 1, accuracies[seed], seconds.map(|s| s[seed]));
            (0..3).map(one)
        };
        let runs = three("sdas", [0.72, 0.74, 0.73], Some([100.0, 110.0, 105.0]))
            .chain(three("das", [0.70, 0.71, 0.71], Some([300.0, 320.0, 310.0])))
            .chain(three("random", [0.60, 0.80, 0.71], None));
        Report::of("shapes", runs.collect())
    }

    #[test]
    fn methods_are_paired_by_seed_with_das() {
        let report = report();
        assert_eq!(report.reference, "das");
        let names: Vec<_> = report.methods.iter().map(|method| method.method.as_str()).collect();
        assert_eq!(names, ["sdas", "das", "random"]);
        let [sdas, das, random] = &report.methods[..] else { panic!() };
        // Differences 2, 3 and 2 points: mean 7/3, s = 1/√3, half width 4.3027/3.
        let difference = sdas.difference.unwrap();
        assert!((100.0 * difference.mean - 7.0 / 3.0).abs() < 1e-9);
        assert!((100.0 * difference.interval.unwrap()[0] - (7.0 - 4.302_653) / 3.0).abs() < 1e-4);
        assert!((sdas.time_ratio.unwrap().mean - 0.338_6).abs() < 1e-3);
        assert_eq!((das.difference, das.time_ratio), (None, None));
        assert_eq!((random.search_seconds, random.time_ratio), (None, None));
        assert_eq!(sdas.collapsed, 1);
        // DARTS V2, V1 and V2 again: pairs share 11, 16 and 11 of 16 edges.
        assert_eq!(sdas.agreement, Some((11.0 + 16.0 + 11.0) / 48.0));
    }

    #[test]
    fn claims_say_what_the_intervals_allow() {
        let text: Vec<_> =
            report().claims.iter().map(|c| format!("{}: {} ({})", c.verdict, c.statement, c.evidence)).collect();
        // By hand: against random, differences 12, −6, 2 (s = 9.02) and 10, −9, 0 (s = 9.50), half widths 4.3027·s/√3;
        // logarithms of the ratios −1.0986, −1.0678, −1.0826 (s = 0.0154).
        assert_eq!(
            text,
            [
                "supported: sdas finds more accurate networks than das (+2.3 points, 95 % interval +0.9 to +3.8, n = 3)",
                "supported: sdas takes at most half of das's time to search (0.34 of it, 95 % interval 0.33 to 0.35, n = 3)",
                "undecided: sdas finds more accurate networks than random (+2.7 points, 95 % interval -19.7 to +25.1, n = 3)",
                "undecided: das finds more accurate networks than random (+0.3 points, 95 % interval -23.3 to +23.9, n = 3)",
            ]
        );
    }

    #[test]
    fn a_report_survives_its_own_json() {
        let report = report();
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains(r#""genotype":"Genotype(normal=[('sep_conv_3x3', 0)"#), "{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap().methods, report.methods);
    }

    #[test]
    fn one_seed_decides_nothing() {
        let report = Report::of("x", vec![run("sdas", 1, 0.9, Some(1.0)), run("das", 1, 0.1, Some(9.0))]);
        assert!(report.claims.iter().all(|claim| claim.verdict == Verdict::Undecided));
        assert_eq!(report.methods[0].agreement, None);
        let equal = [("das", 0.70), ("sdas", 0.72)].map(|(method, accuracy)| {
            [(1, accuracy), (2, accuracy + 0.02)].map(|(seed, accuracy)| run(method, seed, accuracy, None))
        });
        let difference = Report::of("x", equal.concat()).methods[1].difference.unwrap();
        assert!(difference.interval.is_none() && (difference.mean - 0.02).abs() < 1e-9, "{difference:?}");
        let worse =
            (1..4).flat_map(|seed| [run("a", seed, 0.9, Some(1.0)), run("b", seed, 0.1 * seed as f64, Some(2.0))]);
        let mut worse: Vec<_> = worse.collect();
        worse.sort_by(|a, b| a.method.cmp(&b.method));
        let report = Report::of("x", worse);
        assert_eq!((report.reference.as_str(), report.claims.len()), ("a", 1));
        assert_eq!(report.claims[0].verdict, Verdict::NotSupported);
    }
}
