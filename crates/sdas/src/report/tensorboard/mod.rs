//! A run for TensorBoard: scalars of every epoch, what edges mix, the cells as a picture at every decision, the recipe as
//! hyperparameters.
//!
//! A `Recorder` writes what a run's folder holds and it has not written yet: all of it at once, after the fact, or a
//! bit after every epoch, where a recipe says `run.tensorboard = true`.

mod message;
mod record;

use super::growth::{Growth, candidates, edge_name};
use crate::draw::png;
use crate::evaluate::Evaluation;
use crate::recipe::Recipe;
use crate::run::{CellRecord, Folder, MetricRecord, RunError};
use crate::schedule::Decision;
use crate::space::Candidates;
use message::{
    Choice, Dimension, End, Event, Histogram, Hyperparameters, Image, Metadata, PluginData, Shape, Start, Summary,
    Tensor, Value,
};
use prost::Message;
use record::framed;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// In a run's folder.
const PLACE: &str = "tensorboard";
/// What the names of our files begin with, as TensorBoard wants it, and end with.
const NAME: [&str; 2] = ["events.out.tfevents.", ".sdas"];
/// Parts of a histogram of shares.
const BUCKETS: usize = 30;

/// Writes one run's event file.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: PathBuf,
    /// When the run began, in seconds since 1970.
    start: f64,
    /// Lines that are written: of `metrics.jsonl`, of `cells.jsonl`, of `decisions.jsonl`.
    epochs: usize,
    cells: usize,
    decisions: usize,
    is_tested: bool,
    is_ended: bool,
}

/// Writes an event file of every run in `folders`, which are runs, or hold some, as a comparison's does, into folders of their
/// own under `into`; returns those.
///
/// # Errors
///
/// If a folder holds no run, or a file cannot be read or written.
pub fn write(folders: &[PathBuf], into: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut written: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let runs = runs_in(folder, DEPTH);
        if runs.is_empty() {
            return Err(RunError::NoRun { path: folder.clone(), missing: "config.toml, nor has a folder in it" });
        }
        let path = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        let own = path.file_name().map_or_else(|| PathBuf::from("run"), PathBuf::from);
        // A comparison alone needs no name above its methods.
        let above = if folders.len() == 1 && runs != [PathBuf::new()] { PathBuf::new() } else { own };
        for run in runs {
            // Joined part by part: an empty path would leave a slash.
            let base: PathBuf = into.join(&above).join(&run).components().collect();
            let numbered = (2..).map(|number| PathBuf::from(format!("{}-{number}", base.display())));
            let place = std::iter::once(base.clone()).chain(numbered).find(|place| !written.contains(place));
            let place = place.unwrap_or(base);
            let run = Folder::open(&folder.join(run))?;
            Recorder::begin(&run, &place)?.follow(&run)?;
            written.push(place);
        }
    }
    Ok(written)
}

/// A comparison's runs lie so deep: method, seed, stage.
const DEPTH: usize = 3;

/// The runs in a folder, by their paths in it; the folder itself, if it is one, as an empty path.
fn runs_in(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if Folder::open(folder).is_ok() {
        return vec![PathBuf::new()];
    }
    let mut names: Vec<PathBuf> = match (depth, std::fs::read_dir(folder)) {
        (0, _) | (_, Err(_)) => return Vec::new(),
        (_, Ok(entries)) => entries.filter_map(|entry| Some(entry.ok()?.file_name().into())).collect(),
    };
    names.sort();
    let of = |name: PathBuf| runs_in(&folder.join(&name), depth - 1).into_iter().map(move |run| name.join(run));
    names.into_iter().flat_map(of).collect()
}

impl Recorder {
    /// Of a run that goes on in its folder, if its recipe wants it.
    pub(crate) fn of(recipe: &Recipe, folder: &Folder) -> Result<Option<Self>, RunError> {
        match recipe.run.tensorboard && !folder.is_elsewhere() {
            false => Ok(None),
            true => {
                let mut recorder = Recorder::begin(folder, &folder.file(PLACE))?;
                recorder.follow(folder)?;
                Ok(Some(recorder))
            }
        }
    }

    /// Begins a file in `place`, instead of one that was there, with the run's hyperparameters.
    fn begin(run: &Folder, place: &Path) -> Result<Self, RunError> {
        let fault = |what| move |source| RunError::File { what, path: place.to_owned(), source };
        std::fs::create_dir_all(place).map_err(fault("make"))?;
        for entry in std::fs::read_dir(place).map_err(fault("list"))? {
            let path = entry.map_err(fault("list"))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(NAME[0]) && name.ends_with(NAME[1]) {
                std::fs::remove_file(&path).map_err(fault("clear"))?;
            }
        }
        let begun = std::fs::metadata(run.file("config.toml")).and_then(|meta| meta.modified()).ok();
        let start =
            begun.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |since| since.as_secs_f64());
        let file = place.join(format!("{}{start:.0}{}", NAME[0], NAME[1]));
        File::create(&file).map_err(fault("write into"))?;
        let recorder = Recorder { file, start, epochs: 0, cells: 0, decisions: 0, is_tested: false, is_ended: false };
        let recipe = run.recipe()?;
        let info = Hyperparameters {
            session_start_info: Some(Start { hparams: hyperparameters(&recipe), start_time_secs: start }),
            session_end_info: None,
        };
        let about = [
            hyperparameter("_hparams_/session_start_info", &info),
            text("recipe", &format!("```\n{}```\n", recipe.to_toml())),
        ];
        let version = Event { wall_time: start, file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
        recorder.append(&[version, event(start, 0, about.into())])?;
        Ok(recorder)
    }

    /// Writes what the run has come to since.
    pub(crate) fn follow(&mut self, run: &Folder) -> Result<(), RunError> {
        let metrics: Vec<MetricRecord> = run.whole_lines("metrics.jsonl")?;
        let decisions: Vec<Decision> = run.whole_lines("decisions.jsonl")?;
        let cells: Vec<CellRecord> = run.whole_lines("cells.jsonl")?;
        // When epochs ended; a decision falls within one, and counts as at its beginning.
        let mut at = self.start;
        let mut ends = vec![at];
        ends.extend(metrics.iter().map(|record| {
            at += record.seconds;
            at
        }));
        let end_of = |epoch: usize| ends.get(epoch).copied().unwrap_or(at);
        let mut events = Vec::new();
        for record in &metrics[self.epochs.min(metrics.len())..] {
            events.push(event(end_of(record.epoch), record.step, scalars(record)));
        }
        let recipe = run.recipe()?;
        let candidates = candidates(&recipe);
        for record in &cells[self.cells.min(cells.len())..] {
            let step = metrics.iter().find(|metrics| metrics.epoch == record.epoch).map_or(0, |metrics| metrics.step);
            events.push(event(end_of(record.epoch), step, mixtures(&candidates, record)));
        }
        if decisions.len() > self.decisions {
            let since = decisions[self.decisions].step;
            for (step, epoch, picture) in Growth::of(&recipe, &decisions, &cells).pictures() {
                if step >= since {
                    events.push(event(end_of(epoch - 1), step, vec![image("cell", png(&picture))]));
                }
            }
        }
        let step = metrics.last().map_or(0, |last| last.step);
        if let (false, Some(evaluation)) = (self.is_tested, run.json::<Evaluation>("evaluation.json")?) {
            let values = vec![scalar("accuracy/test", evaluation.top1), scalar("loss/test", evaluation.loss)];
            events.push(event(at, step, values));
            self.is_tested = true;
        }
        if !self.is_ended && run.file("result.json").exists() {
            let end = End { status: 1, end_time_secs: at };
            let info = Hyperparameters { session_start_info: None, session_end_info: Some(end) };
            events.push(event(at, step, vec![hyperparameter("_hparams_/session_end_info", &info)]));
            self.is_ended = true;
        }
        (self.epochs, self.cells, self.decisions) = (metrics.len(), cells.len(), decisions.len());
        self.append(&events)
    }

    fn append(&self, events: &[Event]) -> Result<(), RunError> {
        let bytes: Vec<u8> = events.iter().flat_map(|event| framed(&event.encode_to_vec())).collect();
        let append = || OpenOptions::new().append(true).open(&self.file)?.write_all(&bytes);
        append().map_err(|source| RunError::File { what: "append to", path: self.file.clone(), source })
    }
}

fn event(wall_time: f64, step: usize, value: Vec<Value>) -> Event {
    Event { wall_time, step: step as i64, file_version: None, summary: Some(Summary { value }) }
}

fn scalar(tag: impl Into<String>, value: f64) -> Value {
    Value { tag: tag.into(), simple_value: Some(value as f32), ..Value::default() }
}

fn image(tag: &str, png: Vec<u8>) -> Value {
    // A PNG file says its size in its first chunk.
    let side =
        |at: usize| png.get(at..at + 4).map_or(0, |bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes")));
    let image = Image { width: side(16), height: side(20), colorspace: 4, encoded_image_string: png };
    Value { tag: tag.to_owned(), image: Some(image), ..Value::default() }
}

fn plugin(name: &str, content: Vec<u8>) -> Option<Metadata> {
    Some(Metadata { plugin_data: Some(PluginData { plugin_name: name.to_owned(), content }) })
}

fn text(tag: &str, text: &str) -> Value {
    /// TensorFlow's number of texts.
    const STRING: i32 = 7;
    let shape = Some(Shape { dim: vec![Dimension { size: 1 }] });
    let tensor = Tensor { dtype: STRING, shape, string_val: vec![text.as_bytes().to_vec()] };
    Value { tag: tag.to_owned(), tensor: Some(tensor), metadata: plugin("text", Vec::new()), ..Value::default() }
}

fn hyperparameter(tag: &str, info: &Hyperparameters) -> Value {
    Value { tag: tag.to_owned(), metadata: plugin("hparams", info.encode_to_vec()), ..Value::default() }
}

/// A recipe's values by their dotted keys.
fn hyperparameters(recipe: &Recipe) -> BTreeMap<String, Choice> {
    fn add(key: &str, value: &toml::Value, all: &mut BTreeMap<String, Choice>) {
        let choice = match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    add(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, value, all);
                }
                return;
            }
            toml::Value::Boolean(truth) => Choice { bool_value: Some(*truth), ..Choice::default() },
            toml::Value::Integer(number) => Choice { number_value: Some(*number as f64), ..Choice::default() },
            toml::Value::Float(number) => Choice { number_value: Some(*number), ..Choice::default() },
            toml::Value::String(text) => Choice { string_value: Some(text.clone()), ..Choice::default() },
            other => Choice { string_value: Some(other.to_string()), ..Choice::default() },
        };
        all.insert(key.to_owned(), choice);
    }
    let mut all = BTreeMap::new();
    add("", &toml::Value::try_from(recipe).expect("a recipe is TOML"), &mut all);
    all
}

/// A line of `metrics.jsonl`. Memory is in mebibytes.
fn scalars(record: &MetricRecord) -> Vec<Value> {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let known = [
        ("loss/training", Some(record.train_loss)),
        ("loss/held out", record.validation_loss),
        ("accuracy/training", Some(record.train_accuracy)),
        ("accuracy/held out", record.validation_accuracy),
        ("cost/seconds an epoch", Some(record.seconds)),
        ("cost/seconds a step", Some(record.seconds_per_step)),
        ("cost/memory MiB", record.memory.map(mebibytes)),
        ("cost/parameters", Some(record.parameters as f64)),
        ("cost/multiply-adds", Some(record.multiply_adds as f64)),
        ("weights/rate", Some(record.rate)),
        ("weights/gradient norm", Some(record.gradient_norm)),
        ("alpha/eigenvalue", record.eigenvalue),
    ];
    let mut values: Vec<Value> = known.into_iter().filter_map(|(tag, value)| Some(scalar(tag, value?))).collect();
    let decided: Option<Vec<f64>> = record.decided.as_ref().map(|all| all.iter().map(|&count| count as f64).collect());
    let by_kind = [
        ("alpha/decided", decided.as_ref()),
        ("alpha/entropy", record.alpha_entropy.as_ref()),
        ("alpha/skips", record.skips.as_ref()),
        ("alpha/pools", record.pools.as_ref()),
    ];
    for (tag, numbers) in by_kind {
        let kinds = ["normal", "reduction"];
        values.extend(
            numbers.into_iter().flatten().zip(kinds).map(|(number, kind)| scalar(format!("{tag} {kind}"), *number)),
        );
    }
    values
}

/// What edges mix at the end of an epoch: of each kind of cell all shares, and of each undecided edge its operations', one part
/// an operation in the space's order.
fn mixtures(candidates: &Candidates, record: &CellRecord) -> Vec<Value> {
    let mut values = vec![text("cell if the search ended now", &record.genotype)];
    for (&kind, mixes) in candidates.space.kinds().iter().zip(&record.mixes) {
        let shares: Vec<f64> = mixes.iter().flatten().copied().collect();
        values.extend(histogram(&shares).map(|histo| value_of(format!("softmax(alpha)/{kind}"), histo)));
        for (edge, mix) in mixes.iter().enumerate().filter(|(_, mix)| !mix.is_empty()) {
            let tag = format!("mixture {kind}/{}", edge_name(candidates, edge));
            values.push(value_of(tag, bars(mix)));
        }
    }
    values
}

fn value_of(tag: String, histogram: Histogram) -> Value {
    Value { tag, histo: Some(histogram), ..Value::default() }
}

/// How often which shares occur.
fn histogram(shares: &[f64]) -> Option<Histogram> {
    let max = shares.iter().copied().reduce(f64::max)?;
    let min = shares.iter().copied().fold(max, f64::min);
    let width = max.max(f64::MIN_POSITIVE) / BUCKETS as f64;
    let mut bucket = vec![0.0; BUCKETS];
    for share in shares {
        bucket[((share / width) as usize).min(BUCKETS - 1)] += 1.0;
    }
    Some(Histogram {
        min,
        max,
        num: shares.len() as f64,
        sum: shares.iter().sum(),
        sum_squares: shares.iter().map(|share| share * share).sum(),
        bucket_limit: (1..=BUCKETS).map(|part| part as f64 * width).collect(),
        bucket,
    })
}

/// A part for each operation, as high as its share.
fn bars(mix: &[f64]) -> Histogram {
    let middle = |operation: usize| operation as f64 + 0.5;
    let moment =
        |power: i32| mix.iter().enumerate().map(|(operation, share)| share * middle(operation).powi(power)).sum();
    Histogram {
        min: 0.0,
        max: mix.len() as f64,
        num: mix.iter().sum(),
        sum: moment(1),
        sum_squares: moment(2),
        bucket_limit: (1..=mix.len()).map(|end| end as f64).collect(),
        bucket: mix.to_vec(),
    }
}

#[cfg(test)]
mod tests;
