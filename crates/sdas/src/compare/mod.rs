//! Comparing methods and networks: each is searched, trained and measured with several seeds, all else being the same.
//!
//! A comparison is a folder of ordinary runs, `METHOD/seedN/search` and `METHOD/seedN/train`, and what they come to. It
//! can be stopped at any moment; begun again, it goes on with what is there, and does nothing twice. Several processes may do
//! parts of one, on one machine or on many.

mod method;
mod plot;
mod report;
mod share;
mod statistics;
mod table;
mod truth;

pub use method::Method;
pub use report::{Claim, Makeup, Outcome, Report, SearchOutcome, Summary, Verdict};
pub use share::{Beside, Completion, Compute, Computed, Share};
pub use statistics::{CONFIDENCE, Difference, Spread};
pub use truth::{Found, Judged, Truth, TruthReport};

use crate::evaluate::{Evaluation, Examinee, Weighed, evaluate};
use crate::genotype::{Genotype, Origin};
use crate::recipe::Recipe;
use crate::run::{Context, Ending, Event, Folder, MetricRecord, RunError, RunResult, Stage};
use crate::space::Candidates;
use crate::{search, train};
use sdas_data::random::stream;
use serde::Serialize;
use share::{Account, Work};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The test set's measure of a trained network, in the run's folder.
const EVALUATION: &str = "evaluation.json";

/// Cells that are drawn at most for one that keeps a budget.
const DRAWS: usize = 100_000;

/// More than anybody runs, so that parts can be counted.
const MOST_SEEDS: u64 = 10_000;

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    recipe: Recipe,
    methods: Vec<Method>,
    seeds: u64,
}

/// A search that is done.
struct Searched {
    genotype: Genotype,
    outcome: SearchOutcome,
    /// Its metrics.
    course: Vec<MetricRecord>,
}

/// A part of a comparison, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its number, from 0. More seeds add to the end; what is there keeps its number.
    pub part: usize,
    /// The method.
    pub method: String,
    /// Its seed.
    pub seed: u64,
    /// The stage that comes next; none of a part that is done.
    pub next: Option<Stage>,
    /// Who does it, where somebody said so of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
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
        if seeds > MOST_SEEDS {
            return fault("seeds", format!("must be at most {MOST_SEEDS}"));
        }
        Ok(Comparison { recipe, methods, seeds })
    }

    /// Does what `share` says of what is missing in `folder`, here or as `beside` does, and writes what all of it comes to:
    /// `compare.{json,csv,md}`, `accuracy.svg`, `cost.svg` and `course.svg`. The test set is looked at once a network, at its
    /// end. What fails is named at the end, and keeps nothing else from being done.
    ///
    /// # Errors
    ///
    /// See [`RunError`]; also if the folder holds runs of another recipe.
    pub fn run(
        &self,
        folder: &Path,
        share: Share,
        mut context: Context<'_>,
        beside: Option<&Beside<'_>>,
    ) -> Result<Completion<Report>, RunError> {
        self.check_trained()?;
        Work::new(&self.parts(folder)?, folder, beside, Trained::of(self, beside)).run(share, &mut context)
    }

    /// The parts in the order of their worth: seed by seed, all methods of each, so that what is there at any time is paired.
    ///
    /// # Errors
    ///
    /// A method that makes no sense for the recipe.
    pub fn list(&self, folder: &Path) -> Result<Vec<Listed>, RunError> {
        self.check_trained()?;
        Ok(Work::new(&self.parts(folder)?, folder, None, Trained::of(self, None)).list())
    }

    /// Sees that no method asks a table, which is there for looking up alone.
    fn check_trained(&self) -> Result<(), RunError> {
        let Some(method) = self.methods.iter().find(|method| method.asks().is_some()) else { return Ok(()) };
        let message = format!("{} asks a table of trained cells; give one with --table FILE", method.name);
        Err(RunError::Setting { key: "methods", message })
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
}

/// What the trained networks of a comparison come to.
struct Trained<'a> {
    comparison: &'a Comparison,
    /// How many parts are computed side by side.
    abreast: usize,
    done: Vec<Done>,
}

impl<'a> Trained<'a> {
    fn of(comparison: &'a Comparison, beside: Option<&Beside<'_>>) -> Self {
        Trained { comparison, abreast: beside.map_or(1, |beside| beside.count.get()), done: Vec::new() }
    }

    /// The courses of each method's searches, for the methods that a report has.
    fn courses(&self) -> Vec<Vec<&[MetricRecord]>> {
        let of = |method| self.done.iter().filter(move |done| done.method == method);
        let reported = (0..self.comparison.methods.len()).filter(|&method| of(method).next().is_some());
        reported.map(|method| of(method).filter_map(|done| done.course.as_deref()).collect()).collect()
    }
}

impl Account for Trained<'_> {
    type Report = Report;

    fn is_done(&self, part: &Part<'_>) -> bool {
        part.is_done()
    }

    fn compute(&self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError> {
        Ok(part.run(context)?.is_some())
    }

    fn take(&mut self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError> {
        let done = part.run(context)?;
        let is_done = done.is_some();
        self.done.extend(done);
        Ok(is_done)
    }

    fn tell(&self, _: &Part<'_>, missing: &[&Part<'_>], context: &mut Context<'_>) {
        let Some(Done { outcome, .. }) = self.done.last() else { return };
        let seconds_left = seconds_left(&self.done, missing) / self.abreast as f64;
        context.observer.notice(&Event::Measured { outcome, seconds_left });
    }

    fn report(&self) -> Report {
        let mut in_order: Vec<&Done> = self.done.iter().collect();
        in_order.sort_by_key(|done| (done.method, done.outcome.seed));
        Report::of(&self.comparison.recipe.recipe, in_order.into_iter().map(|done| done.outcome.clone()).collect())
    }

    fn write(&self, place: &Folder) -> Result<(), RunError> {
        let report = self.report();
        let json = serde_json::to_string_pretty(&report).expect("a report is JSON");
        place.write("compare.json", json.as_bytes())?;
        place.write("compare.csv", report.to_csv().as_bytes())?;
        place.write("compare.md", report.to_markdown().as_bytes())?;
        let is_searched = self.done.iter().any(|done| done.course.is_some());
        place.write("cost.svg", plot::cost(&report).as_bytes())?;
        if is_searched {
            place.write("accuracy.svg", plot::accuracy(&report).as_bytes())?;
            place.write("course.svg", plot::course(&report, &self.courses()).as_bytes())?;
        }
        Ok(())
    }
}

/// What the `missing` parts will take: each as much as its method's took so far, or as all did.
fn seconds_left(done: &[Done], missing: &[&Part<'_>]) -> f64 {
    let mean = |is_meant: &dyn Fn(&Done) -> bool| {
        let seconds: Vec<f64> = done.iter().filter(|done| is_meant(done)).map(|done| done.outcome.seconds()).collect();
        Spread::of(&seconds).map(|spread| spread.mean)
    };
    missing.iter().filter_map(|part| mean(&|done| done.method == part.index).or_else(|| mean(&|_| true))).sum()
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

    /// Where all of it lies.
    fn place(&self) -> PathBuf {
        self.folder.join(&self.method.name).join(format!("seed{}", self.seed))
    }

    /// What it is called.
    fn label(&self) -> String {
        format!("{}:{}", self.method.name, self.seed)
    }

    /// The stage that comes next.
    fn first_missing(&self) -> Stage {
        let is_there = |stage| self.folder(stage).join("result.json").exists();
        match () {
            () if self.method.searches() && !is_there(Stage::Search) => Stage::Search,
            () if !is_there(Stage::Train) => Stage::Train,
            () => Stage::Test,
        }
    }

    /// Runs what is missing of it; `None` if it was stopped.
    fn run(&self, context: &mut Context<'_>) -> Result<Option<Done>, RunError> {
        let (architecture, searched, course) = if let Some(architecture) = self.method.architecture() {
            (architecture.clone(), None, None)
        } else if self.method.searches() {
            let Some(Searched { genotype, outcome, course }) = self.searched(context)? else { return Ok(None) };
            (genotype.into(), Some(outcome), Some(course))
        } else {
            (self.drawn(context)?.into(), None, None)
        };
        let folder = self.folder(Stage::Train);
        let complete = |context: Context<'_>| train::complete(self.recipe.clone(), &architecture, &folder, context);
        let Some(trained) = self.stage(Stage::Train, complete, context)? else { return Ok(None) };
        let Some(tested) = self.tested(&folder, context)? else { return Ok(None) };
        let genotype = architecture.genotype();
        let steps: Vec<MetricRecord> = Folder::open(&folder)?.lines("metrics.jsonl")?;
        let steps: Vec<f64> = steps.iter().map(|record| record.seconds_per_step).collect();
        let outcome = Outcome {
            method: self.method.name.clone(),
            seed: self.seed,
            accuracy: tested.top1,
            test_samples: tested.count,
            train_accuracy: trained.train_accuracy,
            train_seconds: trained.seconds,
            train_memory: trained.peak_memory,
            step_seconds: Spread::of(&steps).map_or(0.0, |spread| spread.mean),
            sample_seconds: tested.seconds_per_view,
            parameters: trained.parameters,
            multiply_adds: trained.multiply_adds,
            cell: genotype.map(Makeup::of),
            genotype: genotype.cloned(),
            search: searched,
        };
        Ok(Some(Done { method: self.index, outcome, course }))
    }

    /// Searches, from wherever that stands; `None` if it was stopped.
    fn searched(&self, context: &mut Context<'_>) -> Result<Option<Searched>, RunError> {
        let folder = self.folder(Stage::Search);
        let complete = |context: Context<'_>| search::complete(self.recipe.clone(), &folder, context);
        let Some(result) = self.stage(Stage::Search, complete, context)? else { return Ok(None) };
        let folder = Folder::open(&folder)?;
        let course: Vec<MetricRecord> = folder.lines("metrics.jsonl")?;
        let entropy = course.iter().rev().find_map(|record| record.alpha_entropy.clone());
        let genotype = Genotype::read(folder.file("genotype.json"))?;
        Ok(Some(Searched { genotype, outcome: SearchOutcome::new(&result, entropy), course }))
    }

    /// The run's folder of a stage.
    fn folder(&self, stage: Stage) -> PathBuf {
        let name = if stage == Stage::Search { "search" } else { "train" };
        self.place().join(name)
    }

    fn tell(&self, stage: Stage, context: &mut Context<'_>) {
        context.observer.notice(&Event::Part { method: &self.method.name, seed: self.seed, stage, part: self.number });
    }

    /// The cell that the seed draws from the space: where there is a budget, the first that keeps it.
    fn drawn(&self, context: &mut Context<'_>) -> Result<Genotype, RunError> {
        let candidates = Candidates::subset(self.recipe.space.name, &self.recipe.space.operations)
            .map_err(|error| RunError::Setting { key: "space.operations", message: error.to_string() })?;
        let origin = Origin {
            method: self.method.name.clone(),
            dataset: self.recipe.data.kind.name().to_owned(),
            seed: Some(self.seed),
            recipe: Some(self.recipe.recipe.clone()),
        };
        let mut chance = stream(self.seed, "random_cell", [0, 0]);
        let costs = search::costs_of(&self.recipe, context)?;
        let mut draws = (0..DRAWS).map(|_| Genotype::drawn(&candidates, &mut chance));
        let keeps = |cell: &Genotype| costs.as_ref().is_none_or(|costs| costs.allow(cell));
        let cell = draws.find(keeps).ok_or_else(|| {
            let message =
                format!("none of {DRAWS} cells drawn by chance keeps it; raise it, or compare without `random`");
            RunError::Setting { key: "search.budget", message }
        })?;
        Ok(Genotype { origin: Some(origin), ..cell })
    }

    /// Runs a stage to its end from wherever it stands; `None` if it was stopped.
    fn stage(
        &self,
        stage: Stage,
        complete: impl FnOnce(Context<'_>) -> Result<Ending, RunError>,
        context: &mut Context<'_>,
    ) -> Result<Option<RunResult>, RunError> {
        if !self.folder(stage).join("result.json").exists() {
            if context.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            self.tell(stage, context);
        }
        match complete(context.again())? {
            Ending::Done(result) => Ok(Some(*result)),
            Ending::Interrupted => Ok(None),
        }
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
        let network = Weighed { examinee: Examinee::run(path), share: 1.0 };
        let evaluation = evaluate(&[network], None, context.again())?;
        let json = serde_json::to_string_pretty(&evaluation).expect("an evaluation is JSON");
        folder.write(EVALUATION, json.as_bytes())?;
        Ok(Some(evaluation))
    }
}
