//! Comparing methods: each is searched, trained and measured with several seeds, all else being the same.
//!
//! A comparison is a folder of ordinary runs, `METHOD/seedN/search` and `METHOD/seedN/train`, and what they come to. It
//! can be stopped at any moment; begun again, it goes on with what is there, and does nothing twice.

mod method;
mod plot;
mod report;
mod statistics;
mod table;

pub use method::Method;
pub use report::{Claim, Makeup, Outcome, Report, SearchOutcome, Summary, Verdict};
pub use statistics::{CONFIDENCE, Difference, Spread};

use crate::evaluate::{Evaluation, Weighed, evaluate};
use crate::genotype::{Genotype, Origin};
use crate::recipe::Recipe;
use crate::run::{Context, Ending, Event, Folder, MetricRecord, RunError, RunResult, Stage};
use crate::space::Candidates;
use crate::{search, train};
use sdas_data::random::stream;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The test set's measure of a trained network, in the run's folder.
const EVALUATION: &str = "evaluation.json";

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    recipe: Recipe,
    methods: Vec<Method>,
    seeds: u64,
}

/// A method and seed that is done.
struct Done {
    /// Which of the methods.
    method: usize,
    outcome: Outcome,
    /// The metrics of its search, if it has one.
    course: Option<Vec<MetricRecord>>,
}

impl Comparison {
    /// Of `methods`, which share `recipe`, each with the seeds 1 to `seeds`.
    ///
    /// # Errors
    ///
    /// No method, one that is named twice, or no seed.
    pub fn new(recipe: Recipe, methods: Vec<Method>, seeds: u64) -> Result<Self, RunError> {
        let fault = |key, message: String| Err(RunError::Setting { key, message });
        let twice =
            |(index, method): &(usize, &Method)| methods[..*index].iter().any(|other| other.name == method.name);
        if methods.is_empty() {
            return fault("methods", "name at least one".to_owned());
        }
        if let Some((_, method)) = methods.iter().enumerate().find(twice) {
            return fault("methods", format!("{} is named twice", method.name));
        }
        if seeds == 0 {
            return fault("seeds", "must be at least 1".to_owned());
        }
        Ok(Comparison { recipe, methods, seeds })
    }

    /// Runs what is missing in `folder`, and writes what all of it comes to: `compare.{json,csv,md}`, `accuracy.svg` and
    /// `course.svg`. The test set is looked at once a network, at its end.
    ///
    /// # Errors
    ///
    /// See [`RunError`]; also if the folder holds runs of another recipe, or another process works in it.
    pub fn run(&self, folder: &Path, mut context: Context<'_>) -> Result<Ending<Report>, RunError> {
        let place = Folder::claim(folder)?;
        let mut parts = self.parts(folder)?;
        // What is done comes first, so that no report says less than the one before.
        parts.sort_by_key(|part| !part.is_done());
        let found = parts.iter().filter(|part| part.is_done()).count();
        let mut done: Vec<Done> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let Some(part) = part.run(&mut context)? else { return Ok(Ending::Interrupted) };
            done.push(part);
            let outcome = &done[index].outcome;
            let seconds_left = seconds_left(&done, &parts[found.max(index + 1)..]);
            context.observer.notice(&Event::Measured { outcome, seconds_left });
            if index + 1 >= found {
                self.write(&done, &place)?;
            }
        }
        Ok(Ending::Done(Box::new(self.report(&done))))
    }

    /// Every method with every seed, seed by seed, so that what is there at any time is paired.
    fn parts<'a>(&'a self, folder: &'a Path) -> Result<Vec<Part<'a>>, RunError> {
        let methods = || self.methods.iter().enumerate();
        let all = (1..=self.seeds).flat_map(|seed| methods().map(move |(index, method)| (seed, index, method)));
        let count = self.seeds * self.methods.len() as u64;
        all.zip(1..)
            .map(|((seed, index, method), number)| {
                let recipe = method.recipe(&self.recipe, seed)?;
                Ok(Part { method, index, seed, number: [number, count], recipe, folder })
            })
            .collect()
    }

    /// What the runs so far come to.
    fn report(&self, done: &[Done]) -> Report {
        let mut in_order: Vec<&Done> = done.iter().collect();
        in_order.sort_by_key(|done| (done.method, done.outcome.seed));
        Report::of(&self.recipe.recipe, in_order.into_iter().map(|done| done.outcome.clone()).collect())
    }

    fn write(&self, done: &[Done], place: &Folder) -> Result<(), RunError> {
        let report = self.report(done);
        let json = serde_json::to_string_pretty(&report).expect("a report is JSON");
        place.write("compare.json", json.as_bytes())?;
        place.write("compare.csv", report.to_csv().as_bytes())?;
        place.write("compare.md", report.to_markdown().as_bytes())?;
        place.write("accuracy.svg", plot::accuracy(&report).as_bytes())?;
        let is_searched = done.iter().any(|done| done.course.is_some());
        if is_searched {
            place.write("course.svg", plot::course(&report, &self.courses(done)).as_bytes())?;
        }
        Ok(())
    }

    /// The courses of each method's searches, for the methods that a report has.
    fn courses<'a>(&self, done: &'a [Done]) -> Vec<Vec<&'a [MetricRecord]>> {
        let of = |method| done.iter().filter(move |done| done.method == method);
        let reported = (0..self.methods.len()).filter(|&method| of(method).next().is_some());
        reported.map(|method| of(method).filter_map(|done| done.course.as_deref()).collect()).collect()
    }
}

/// What the `missing` parts will take: each as much as its method's took so far, or as all did.
fn seconds_left(done: &[Done], missing: &[Part<'_>]) -> f64 {
    let mean = |is_meant: &dyn Fn(&Done) -> bool| {
        let seconds: Vec<f64> = done.iter().filter(|done| is_meant(done)).map(|done| done.outcome.seconds()).collect();
        Spread::of(&seconds).map(|spread| spread.mean)
    };
    missing.iter().filter_map(|part| mean(&|done| done.method == part.index).or_else(|| mean(&|_| true))).sum()
}

/// Whether a training that is in `folder` already is one of this cell.
fn check_genotype(folder: &Path, genotype: &Genotype) -> Result<(), RunError> {
    let Ok(run) = Folder::open(folder) else { return Ok(()) };
    let [before, now] = [&Genotype::read(run.file("genotype.json"))?, genotype].map(Genotype::to_text);
    match before == now {
        true => Ok(()),
        false => Err(RunError::OtherRecipe { path: folder.to_owned(), key: "genotype".to_owned(), before, now }),
    }
}

/// One method with one seed.
struct Part<'a> {
    method: &'a Method,
    /// Which of the methods.
    index: usize,
    seed: u64,
    /// Which of all parts, from 1, and how many there are.
    number: [u64; 2],
    recipe: Recipe,
    folder: &'a Path,
}

impl Part<'_> {
    /// Whether nothing of it is missing.
    fn is_done(&self) -> bool {
        self.folder(Stage::Test).join(EVALUATION).exists()
    }

    /// Runs what is missing of it; `None` if it was stopped.
    fn run(&self, context: &mut Context<'_>) -> Result<Option<Done>, RunError> {
        let (mut searched, mut course) = (None, None);
        let genotype = if self.method.searches() {
            let folder = self.folder(Stage::Search);
            let begin = |context: Context<'_>| search::search(self.recipe.clone(), &folder, context);
            let Some(result) = self.stage(Stage::Search, begin, search::resume, context)? else {
                return Ok(None);
            };
            let folder = Folder::open(&folder)?;
            let epochs: Vec<MetricRecord> = folder.lines("metrics.jsonl")?;
            let entropy = epochs.iter().rev().find_map(|record| record.alpha_entropy.clone());
            searched = Some(SearchOutcome::new(&result, entropy));
            course = Some(epochs);
            Genotype::read(folder.file("genotype.json"))?
        } else {
            self.drawn()?
        };
        let folder = self.folder(Stage::Train);
        check_genotype(&folder, &genotype)?;
        let begin = |context: Context<'_>| train::train(self.recipe.clone(), &genotype, &folder, context);
        let Some(trained) = self.stage(Stage::Train, begin, train::resume, context)? else { return Ok(None) };
        let Some(tested) = self.tested(&folder, context)? else { return Ok(None) };
        let outcome = Outcome {
            method: self.method.name.clone(),
            seed: self.seed,
            accuracy: tested.top1,
            test_samples: tested.count,
            train_accuracy: trained.train_accuracy,
            train_seconds: trained.seconds,
            parameters: trained.parameters,
            multiply_adds: trained.multiply_adds,
            cell: Makeup::of(&genotype),
            genotype,
            search: searched,
        };
        Ok(Some(Done { method: self.index, outcome, course }))
    }

    /// The run's folder of a stage.
    fn folder(&self, stage: Stage) -> PathBuf {
        let name = if stage == Stage::Search { "search" } else { "train" };
        self.folder.join(&self.method.name).join(format!("seed{}", self.seed)).join(name)
    }

    fn tell(&self, stage: Stage, context: &mut Context<'_>) {
        context.observer.notice(&Event::Part { method: &self.method.name, seed: self.seed, stage, part: self.number });
    }

    /// The cell that the seed draws from the space.
    fn drawn(&self) -> Result<Genotype, RunError> {
        let candidates = Candidates::subset(self.recipe.space.name, &self.recipe.space.operations)
            .map_err(|error| RunError::Setting { key: "space.operations", message: error.to_string() })?;
        let origin = Origin {
            method: self.method.name.clone(),
            dataset: self.recipe.data.kind.name().to_owned(),
            seed: Some(self.seed),
            recipe: Some(self.recipe.recipe.clone()),
        };
        let cell = Genotype::drawn(&candidates, &mut stream(self.seed, "random_cell", [0, 0]));
        Ok(Genotype { origin: Some(origin), ..cell })
    }

    /// Runs a stage to its end from wherever it stands; `None` if it was stopped.
    fn stage(
        &self,
        stage: Stage,
        begin: impl FnOnce(Context<'_>) -> Result<Ending, RunError>,
        resume: impl FnOnce(&Path, Context<'_>) -> Result<Ending, RunError>,
        context: &mut Context<'_>,
    ) -> Result<Option<RunResult>, RunError> {
        let path = self.folder(stage);
        let begun = Folder::open(&path).ok();
        if let Some(folder) = &begun {
            folder.check_recipe(&self.recipe, stage)?;
            if let Some(result) = folder.result()? {
                return Ok(Some(result));
            }
        }
        if context.stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.tell(stage, context);
        let ending = match begun {
            Some(_) => resume(&path, context.again())?,
            None => begin(context.again())?,
        };
        Ok(match ending {
            Ending::Done(result) => Some(*result),
            Ending::Interrupted => None,
        })
    }

    /// The network on the test set, measured once; `None` if it was stopped.
    fn tested(&self, path: &Path, context: &mut Context<'_>) -> Result<Option<Evaluation>, RunError> {
        let folder = Folder::open(path)?;
        if let Some(evaluation) = folder.json(EVALUATION)? {
            return Ok(Some(evaluation));
        }
        if context.stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.tell(Stage::Test, context);
        let evaluation = evaluate(&[Weighed { run: path.to_owned(), weight: 1.0 }], None, context.again())?;
        let json = serde_json::to_string_pretty(&evaluation).expect("an evaluation is JSON");
        folder.write(EVALUATION, json.as_bytes())?;
        Ok(Some(evaluation))
    }
}
