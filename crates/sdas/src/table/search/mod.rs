//! The field's searches that train every cell that they try: on a table a question costs nothing.
//!
//! A search asks for accuracies of one column, the validation column, and sees nothing else of the table. What it comes to
//! is the best cell that it has asked about, as with each of the papers; a cell that is asked about again counts again, as
//! training it again would.

mod best_of;
mod evolution;
mod predictor;
mod reinforce;

pub use best_of::BestOf;
pub use evolution::Evolution;
pub use predictor::Predictor;
pub use reinforce::Reinforce;

use super::{Architecture, CellSpace, Column};
use rand::Rng;
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};

/// A search and its settings, as recipes have them: `{ kind = "evolution", population = 100, sample = 25 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Searcher {
    /// Regularised evolution.
    Evolution(Evolution),
    /// A policy that is trained by policy gradients.
    Reinforce(Reinforce),
    /// Cells grown edge by edge, by a predictor of their accuracy.
    Predictor(Predictor),
    /// The best of some drawn by chance.
    BestOf(BestOf),
}

/// A search's name, and the search with its default settings.
type Named = (&'static str, fn() -> Searcher);

/// The course of a search: the cell that it would have come to after each question, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course(pub Vec<usize>);

impl Course {
    /// What the search came to.
    ///
    /// # Panics
    ///
    /// If nothing was asked, which [`Searcher::check`] rules out.
    pub fn found(&self) -> usize {
        *self.0.last().expect("a search asks at least one question")
    }
}

/// The accuracies that a search may still ask for, and what it has asked.
struct Questions<'a> {
    space: &'a CellSpace,
    accuracies: &'a Column,
    left: usize,
    best: Option<(usize, f64)>,
    course: Vec<usize>,
}

impl Questions<'_> {
    /// The accuracy of a cell; `None` when as many as may be asked for have been.
    fn ask(&mut self, cell: &Architecture) -> Option<f64> {
        self.left = self.left.checked_sub(1)?;
        let number = self.space.number(cell);
        let accuracy = self.accuracies.value(number);
        let (best, _) = match self.best {
            Some((best, highest)) if highest >= accuracy => (best, highest),
            _ => *self.best.insert((number, accuracy)),
        };
        self.course.push(best);
        Some(accuracy)
    }
}

impl Searcher {
    /// The search of that name with its default settings.
    pub fn named(name: &str) -> Option<Searcher> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, make)| make())
    }

    /// The names, and the searches with their default settings.
    const ALL: [Named; 4] = [
        ("evolution", || Searcher::Evolution(Evolution::default())),
        ("reinforce", || Searcher::Reinforce(Reinforce::default())),
        ("predictor", || Searcher::Predictor(Predictor::default())),
        ("best_of", || Searcher::BestOf(BestOf::default())),
    ];

    /// The names that there are.
    pub fn names() -> [&'static str; 4] {
        Self::ALL.map(|(name, _)| name)
    }

    /// The first impossible setting, as its key and what would be right.
    ///
    /// # Errors
    ///
    /// That.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let least = |key, value: usize, least: usize| match value < least {
            true => Err((key, format!("must be at least {least}, not {value}"))),
            false => Ok(()),
        };
        let positive = |key, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err((key, format!("must be a number above 0, not {value}"))),
        };
        match self {
            Searcher::Evolution(own) => {
                least("questions", own.questions, 1)?;
                least("population", own.population, 1)?;
                least("sample", own.sample, 1)
            }
            Searcher::Reinforce(own) => {
                least("questions", own.questions, 1)?;
                positive("rate", own.rate)?;
                match (0.0..1.0).contains(&own.momentum) {
                    true => Ok(()),
                    false => Err(("momentum", format!("must be at least 0 and below 1, not {}", own.momentum))),
                }
            }
            Searcher::Predictor(own) => {
                least("questions", own.questions, 1)?;
                least("beam", own.beam, 1)?;
                positive("ridge", own.ridge)
            }
            Searcher::BestOf(own) => least("questions", own.questions, 1),
        }
    }

    /// Searches `space` by asking for these accuracies; everything random follows from the seed.
    pub fn run(&self, space: &CellSpace, accuracies: &Column, seed: u64) -> Course {
        let left = match self {
            Searcher::Evolution(own) => own.questions,
            Searcher::Reinforce(own) => own.questions,
            Searcher::Predictor(own) => own.questions,
            Searcher::BestOf(own) => own.questions,
        };
        let mut questions = Questions { space, accuracies, left, best: None, course: Vec::new() };
        match self {
            Searcher::Evolution(own) => own.run(&mut questions, seed),
            Searcher::Reinforce(own) => own.run(&mut questions, seed),
            Searcher::Predictor(own) => own.run(&mut questions),
            Searcher::BestOf(own) => own.run(&mut questions, seed),
        };
        Course(questions.course)
    }
}

/// A cell drawn uniformly.
fn drawn(space: &CellSpace, stream: &mut Stream) -> Architecture {
    Architecture((0..space.edges()).map(|_| stream.random_range(0..space.operations() as u8)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::super::{Table, VALIDATION};
    use super::*;

    /// 729 cells; each edge is better the nearer its operation is to a certain one, so that one cell is best.
    pub(super) fn hill() -> Table {
        let space = CellSpace::new(&["none", "a", "b"], 4);
        let validation = |operations: &[u8]| -> f64 {
            let best = [2, 1, 0, 2, 1, 2];
            operations.iter().zip(best).map(|(&own, best)| 10.0 - f64::from(own.abs_diff(best))).sum()
        };
        table(space, |_| 0.0, validation)
    }

    fn course(searcher: &Searcher, table: &Table, seed: u64) -> Course {
        searcher.run(table.space(), table.column(VALIDATION).unwrap(), seed)
    }

    #[test]
    fn each_finds_the_top_of_a_hill_and_asks_as_often_as_it_may() {
        let table = hill();
        let top = table.space().number(&Architecture(vec![2, 1, 0, 2, 1, 2]));
        let reinforce = Reinforce { questions: 3000, rate: 0.02, ..Reinforce::default() };
        for (searcher, questions) in [
            (Searcher::Evolution(Evolution { questions: 400, ..Evolution::default() }), 400),
            (Searcher::Reinforce(reinforce), 3000),
            (Searcher::Predictor(Predictor { questions: 100, beam: 20, ..Predictor::default() }), 100),
            (Searcher::BestOf(BestOf { questions: 729 }), 729),
        ] {
            for seed in 1..=5 {
                let course = course(&searcher, &table, seed);
                assert_eq!(course.0.len(), questions, "{searcher:?}");
                assert_eq!(course.found(), top, "{searcher:?}, seed {seed}");
            }
        }
    }

    #[test]
    fn a_course_never_gets_worse() {
        let table = hill();
        let column = table.column(VALIDATION).unwrap();
        for name in Searcher::names() {
            let course = course(&Searcher::named(name).unwrap(), &table, 3);
            assert!(course.0.is_sorted_by_key(|&cell| column.value(cell)), "{name}");
        }
    }

    #[test]
    fn the_seed_is_all_that_a_course_depends_on() {
        // Every cell is as good as another, but for a ripple that makes courses differ.
        let space = CellSpace::nas_bench_201();
        let own = space.clone();
        let ripple = move |operations: &[u8]| (own.number(&Architecture(operations.to_vec())) as f64 * 0.7).sin();
        let table = table(space, |_| 0.0, ripple);
        for name in ["evolution", "reinforce", "best_of"] {
            let searcher = Searcher::named(name).unwrap();
            let [one, again, other] = [7, 7, 8].map(|seed| course(&searcher, &table, seed));
            assert_eq!(one, again, "{name}");
            assert_ne!(one, other, "{name}");
        }
        // What the predictor asks depends on answers only.
        let predictor = Searcher::named("predictor").unwrap();
        assert_eq!(course(&predictor, &table, 7), course(&predictor, &table, 8));
    }

    #[test]
    fn default_budgets_are_those_of_the_papers() {
        let table = hill();
        let asked = |name| course(&Searcher::named(name).unwrap(), &table, 1).0.len();
        assert_eq!(["evolution", "reinforce", "best_of"].map(asked), [110, 12800, 110]);
    }

    #[test]
    fn settings_are_data() {
        let read = |text: &str| toml::from_str::<Searcher>(text).map_err(|error| error.to_string());
        let own = read("kind = \"evolution\"\npopulation = 100").unwrap();
        assert_eq!(own, Searcher::Evolution(Evolution { population: 100, ..Evolution::default() }));
        assert_eq!(read("kind = \"best_of\"").unwrap(), Searcher::named("best_of").unwrap());
        assert!(read("kind = \"evolution\"\npopulace = 3").unwrap_err().contains("unknown field `populace`"));
        assert!(read("kind = \"annealing\"").unwrap_err().contains("unknown variant `annealing`"));
        let (key, message) = read("kind = \"evolution\"\nsample = 0").unwrap().check().unwrap_err();
        assert_eq!((key, message.as_str()), ("sample", "must be at least 1, not 0"));
        for text in ["kind = \"reinforce\"\nmomentum = 1.0", "kind = \"predictor\"\nridge = 0.0"] {
            assert!(read(text).unwrap().check().is_err(), "{text}");
        }
    }
}
