//! The page of a run.

use super::chart::Chart;
use super::growth::Growth;
use super::html::{absent, details, escape, facts, section, table};
use super::making::command;
use super::{Measured, Page};
use crate::architecture::Architecture;
use crate::draw::{Picture, svg, to_text};
use crate::evaluate::Evaluation;
use crate::genotype::Genotype;
use crate::numbers::{duration, memory, percent, thousands};
use crate::recipe::Recipe;
use crate::run::{CellRecord, Folder, MetricRecord, Phase, RunError, RunResult};
use crate::schedule::Decision;

/// What a run's folder holds, as far as it has come.
struct Run {
    phase: Phase,
    recipe: Recipe,
    metrics: Vec<MetricRecord>,
    decisions: Vec<Decision>,
    cells: Vec<CellRecord>,
    result: Option<RunResult>,
    /// What a training trains.
    architecture: Option<Architecture>,
    /// What a comparison measured on the test set.
    evaluation: Option<Evaluation>,
}

impl Run {
    fn read(folder: &Folder) -> Result<Self, RunError> {
        let metrics: Vec<MetricRecord> = folder.whole_lines("metrics.jsonl")?;
        let phase = match metrics.first() {
            Some(first) => first.phase,
            None => folder.phase()?,
        };
        let architecture = (phase == Phase::Train).then(|| Architecture::read(folder)).transpose()?;
        Ok(Run {
            phase,
            recipe: folder.recipe()?,
            metrics,
            decisions: folder.whole_lines("decisions.jsonl")?,
            cells: folder.whole_lines("cells.jsonl")?,
            result: folder.result()?,
            architecture: architecture.map(|(architecture, _)| architecture),
            evaluation: folder.json("evaluation.json")?,
        })
    }

    fn epochs(&self) -> usize {
        match self.phase {
            Phase::Search => self.recipe.search.epochs,
            Phase::Train => self.recipe.train.epochs,
        }
    }

    fn seed(&self) -> u64 {
        match self.phase {
            Phase::Search => self.recipe.search.seed,
            Phase::Train => self.recipe.train.seed,
        }
    }

    /// Where it stands, in a line.
    fn state(&self) -> String {
        let what = match (&self.phase, &self.architecture) {
            (Phase::Search, _) => "A search".to_owned(),
            (Phase::Train, Some(Architecture::Network(_))) => format!("A training of {}", self.network()),
            (Phase::Train, _) => "A training of a found cell's network".to_owned(),
        };
        let done = match &self.result {
            Some(result) => format!("finished, {} epochs", result.epochs),
            None => format!("not finished, {} of {} epochs done", self.metrics.len(), self.epochs()),
        };
        format!("{what} with the recipe {}, seed {}: {done}.", self.recipe.recipe, self.seed())
    }

    fn network(&self) -> String {
        self.architecture.as_ref().map_or(String::new(), Architecture::text)
    }

    /// The cell that a search found or a training trains.
    fn genotype(&self) -> Option<Genotype> {
        let found = self.result.as_ref().and_then(RunResult::genotype);
        found.or_else(|| self.architecture.as_ref()?.genotype().cloned())
    }
}

/// The page of the run in a folder.
pub(super) fn page(folder: &Folder, measured: &Measured) -> Result<Page, RunError> {
    let run = Run::read(folder)?;
    let path = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    let name = path.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    // A comparison calls all its runs alike.
    let title = match name.as_str() {
        "search" | "train" => {
            let above: Vec<_> = path.iter().rev().take(3).map(|part| part.to_string_lossy()).collect();
            above.into_iter().rev().collect::<Vec<_>>().join("/")
        }
        _ => name,
    };
    let (growth, data) = match run.phase {
        Phase::Search => Growth::of(&run.recipe, &run.decisions, &run.cells).to_html(),
        Phase::Train => Default::default(),
    };
    let mut sections = vec![section("glance", "At a glance", &glance(&run))];
    match run.phase {
        Phase::Search => sections.push(section("cell", "The cell as it grew", &format!("{growth}{}", found(&run)))),
        Phase::Train => sections.push(section("cell", "The network", &trained(&run))),
    }
    sections.push(section("curves", "Course", &curves(&run)));
    let checkpoint = match (&run.result, run.phase) {
        (Some(_), Phase::Search) => "The network that the search ended with",
        (Some(_), Phase::Train) => "The trained network",
        (None, _) => "The network of the newest checkpoint (the run is not finished)",
    };
    sections.push(section("test", "Test set", &measured.to_html(checkpoint, run.evaluation.as_ref())));
    sections.push(section("making", "How it was made", &making(&run)));
    Ok(Page { title, lead: run.state(), sections, data })
}

fn glance(run: &Run) -> String {
    let Some(last) = run.metrics.last() else { return absent("No epoch is done yet.") };
    let mut known = vec![("Training accuracy", percent(last.train_accuracy))];
    known.extend(last.validation_accuracy.map(|accuracy| ("Held-out accuracy", percent(accuracy))));
    if let Some(evaluation) = &run.evaluation {
        known.push(("Test accuracy", percent(evaluation.top1)));
    }
    known.push(("Parameters", thousands(last.parameters)));
    known.push(("Multiply-adds a sample", thousands(last.multiply_adds)));
    let seconds = run
        .result
        .as_ref()
        .map_or_else(|| run.metrics.iter().map(|record| record.seconds).sum(), |result| result.seconds);
    known.push(("Time", duration(seconds)));
    known.extend(last.peak_memory.map(|bytes| ("Memory at most", memory(bytes))));
    if let Some(decided) = &last.decided {
        let of = run.recipe.space.name.decisions();
        let text: Vec<String> = decided.iter().map(|count| format!("{count} of {of}")).collect();
        known.push(("Edges decided", text.join(" + ")));
    }
    if let Some(collapse) = run.result.as_ref().and_then(|result| result.collapse.as_ref()) {
        known.push(("Collapsed", format!("in epoch {}", collapse.epoch)));
    }
    facts(&known)
}

/// The found cell in words.
fn found(run: &Run) -> String {
    match run.genotype() {
        None => String::new(),
        Some(genotype) => {
            details("found", "The found cell as text", &format!("<pre>{}</pre>", escape(&to_text(&genotype))))
        }
    }
}

fn trained(run: &Run) -> String {
    let Some(genotype) = run.genotype() else {
        return format!("<p><code>{}</code>, a network that people made.</p>", escape(&run.network()));
    };
    let drawing = svg(&Picture::of(&genotype, "")).replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    format!(
        "<div class=\"wide\" id=\"drawing\" tabindex=\"0\" role=\"region\" aria-label=\"The cells\">{drawing}</div>{}",
        details("found", "The cell as text", &format!("<pre>{}</pre>", escape(&to_text(&genotype))))
    )
}

fn curves(run: &Run) -> String {
    if run.metrics.is_empty() {
        return absent("No epoch is done yet.");
    }
    let points = |value: &dyn Fn(&MetricRecord) -> Option<f64>| {
        run.metrics.iter().filter_map(|record| Some((record.epoch as f64, value(record)?))).collect::<Vec<_>>()
    };
    let both = |train: &dyn Fn(&MetricRecord) -> Option<f64>, held: &dyn Fn(&MetricRecord) -> Option<f64>| {
        vec![("training", points(train)), ("held out", points(held))]
    };
    let one = |name: &'static str, value: &dyn Fn(&MetricRecord) -> Option<f64>| vec![(name, points(value))];
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let charts = [
        ("Loss", "nats", both(&|record| Some(record.train_loss), &|record| record.validation_loss)),
        (
            "Accuracy",
            "percent",
            both(&|record| Some(100.0 * record.train_accuracy), &|record| Some(100.0 * record.validation_accuracy?)),
        ),
        ("Time", "seconds an epoch", one("an epoch", &|record| Some(record.seconds))),
        ("Memory", "MiB in an epoch", one("at most", &|record| Some(mebibytes(record.memory?)))),
        ("Parameters", "thousands alive", one("alive", &|record| Some(1e-3 * record.parameters as f64))),
        (
            "Entropy of α",
            "nats, undecided edges",
            vec![
                ("normal cell", points(&|record| record.alpha_entropy.as_ref()?.first().copied())),
                ("reduction cell", points(&|record| record.alpha_entropy.as_ref()?.get(1).copied())),
            ],
        ),
    ];
    let steps = run.metrics.last().map_or(1.0, |last| last.step as f64 / last.epoch as f64);
    let mut marks: Vec<f64> = run.decisions.iter().map(|decision| decision.step as f64 / steps).collect();
    marks.dedup();
    // Counts that never change are numbers, not curves.
    let charts = charts.into_iter().filter(|(title, ..)| run.phase == Phase::Search || *title != "Parameters");
    let charts: String =
        charts.map(|(title, unit, lines)| Chart { title, unit, lines, marks: &marks }.to_html()).collect();
    let head = [
        "epoch",
        "loss",
        "accuracy",
        "held-out loss",
        "held-out accuracy",
        "rate",
        "seconds",
        "MiB",
        "parameters",
        "multiply-adds",
    ];
    let some = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let row = |record: &MetricRecord| {
        vec![
            record.epoch.to_string(),
            format!("{:.4}", record.train_loss),
            percent(record.train_accuracy),
            some(record.validation_loss.map(|loss| format!("{loss:.4}"))),
            some(record.validation_accuracy.map(percent)),
            format!("{:.5}", record.rate),
            format!("{:.1}", record.seconds),
            some(record.memory.map(|bytes| format!("{:.0}", mebibytes(bytes)))),
            thousands(record.parameters),
            thousands(record.multiply_adds),
        ]
    };
    let rows: Vec<Vec<String>> = run.metrics.iter().map(row).collect();
    let note = if marks.is_empty() { "" } else { "<p>Vertical lines are decisions.</p>" };
    format!(
        "{note}<div class=\"charts\">{charts}</div>{}",
        details("numbers", "Every epoch in numbers", &table("Epochs", &head, &rows))
    )
}

fn making(run: &Run) -> String {
    let network = match &run.architecture {
        Some(Architecture::Network(_)) => run.network(),
        _ => "genotype.json".to_owned(),
    };
    format!(
        "<p>The command that makes it again, in the run's folder:</p><pre class=\"command\">{}</pre>{}",
        escape(&command(&run.recipe, run.phase, &network)),
        details("recipe", "The recipe, every value", &format!("<pre>{}</pre>", escape(&run.recipe.to_toml())))
    )
}
