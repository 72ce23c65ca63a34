//! Measuring final networks on the test set, and asking them about files.

mod examine;

pub use examine::{Examination, Frame, Mistake, examine};

use crate::batch::{DeviceBatch, Tally};
use crate::network::Pass;
use crate::recipe::Recipe;
use crate::run::{Context, Folder, Phase, RunError, Seen, check_classes, load_data, loader};
use crate::{search, train};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use sdas_data::{Dataset, Views};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Measured on the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What the data set calls it.
    pub split: String,
    /// Samples.
    pub count: usize,
    /// Clips of every sample, and crops of every clip, whose probabilities are averaged.
    pub views: [usize; 2],
    /// Share whose best class is right.
    pub top1: f64,
    /// Share whose class is among the best five.
    pub top5: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Seconds that the networks computed a view of a sample, on the average; loading is not counted. 0 in files of before.
    #[serde(default)]
    pub seconds_per_view: f64,
    /// Each class.
    pub classes: Vec<ClassAccuracy>,
}

/// One class of the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub name: String,
    /// Samples.
    pub count: usize,
    /// Share whose best class is right.
    pub accuracy: f64,
}

/// A run to measure, and the weight of its probabilities among several runs'.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// The run's folder.
    pub run: PathBuf,
    /// Above 0; only the ratios matter.
    pub weight: f64,
}

/// What a network takes a file for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The file.
    pub file: PathBuf,
    /// Every class with its probability, the most probable first.
    pub classes: Vec<(String, f64)>,
}

/// Evaluates the networks of `runs`, by their newest checkpoints, together: the mean of their probabilities by weight (late
/// fusion; Simonyan, Zisserman, 2014). `data` replaces the recipes' data folder.
///
/// # Errors
///
/// If there is no run, its data cannot be loaded, or the runs have different classes or test sets.
pub fn evaluate(runs: &[Weighed], data: Option<&Path>, mut context: Context<'_>) -> Result<Evaluation, RunError> {
    let total: f64 = runs.iter().map(|run| run.weight).sum();
    let mut fused: Option<Fused> = None;
    for Weighed { run, weight } in runs {
        let part = Fused::of(run, data, weight / total, &mut context)?;
        fused = Some(match fused {
            None => part,
            Some(before) => before.with(part)?,
        });
    }
    let fused = fused.ok_or_else(|| RunError::Setting { key: "runs", message: "there must be at least one".into() })?;
    Ok(fused.evaluation())
}

/// Asks the network of the run in `folder` about files of the run's kind, pictures or clips.
///
/// # Errors
///
/// If there is no run, or a file cannot be read.
pub fn predict(folder: &Path, files: &[PathBuf], mut context: Context<'_>) -> Result<Vec<Prediction>, RunError> {
    let folder = Folder::open(folder)?;
    let recipe = folder.recipe()?;
    let seen = Seen::of(&recipe).ok_or_else(|| RunError::Setting {
        key: "data.mean",
        message: "is not in the run's config.toml; measure the run with `sdas eval`, or train it again".to_owned(),
    })?;
    let samples = sdas_data::open_files(&recipe.data.source(), &[String::new()], files)?;
    let judge = Judge::open(&folder, &recipe, seen.channels(samples.channels()), &mut context)?;
    let (probabilities, _) = judge.probabilities(&samples, &seen, recipe.eval, &context)?;
    let prediction = |(file, row): (&PathBuf, &[f64])| {
        let mut classes: Vec<(String, f64)> = judge.classes.iter().cloned().zip(row.iter().copied()).collect();
        classes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Prediction { file: file.clone(), classes }
    };
    Ok(files.iter().zip(probabilities.chunks_exact(judge.classes.len())).map(prediction).collect())
}

/// Logits `[N, classes]` of samples `[N, T, H, W, C]`.
type Network = Box<dyn Fn(Tensor<5>) -> Tensor<2>>;

/// The network of a run, as its newest checkpoint has it.
struct Judge {
    forward: Network,
    classes: Vec<String>,
    batch: usize,
}

impl Judge {
    fn open(folder: &Folder, recipe: &Recipe, inputs: usize, context: &mut Context<'_>) -> Result<Self, RunError> {
        Ok(match folder.phase()? {
            Phase::Search => {
                let (state, classes) = search::load_state(recipe, inputs, folder, context)?;
                Judge { forward: Box::new(move |input| state.evaluate(input)), classes, batch: recipe.search.batch }
            }
            Phase::Train => {
                let (state, classes) = train::load_state(recipe, inputs, folder, context)?;
                let forward = move |input| {
                    let [weights, statistics] = state.measured();
                    let pass = Pass::evaluation(weights, statistics);
                    state.network.forward(pass, input).logits
                };
                Judge { forward: Box::new(forward), classes, batch: recipe.train.batch }
            }
        })
    }

    /// Probabilities of every sample, `[samples, classes]`: the mean over its views; and the seconds that the network
    /// computed.
    fn probabilities(
        &self,
        samples: &Dataset,
        seen: &Seen,
        views: Views,
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, f64), RunError> {
        let indices: Vec<usize> = (0..samples.len()).collect();
        let loader = loader(samples, &indices, seen.evaluation(self.batch, views))?;
        let mut probabilities = vec![0.0; samples.len() * self.classes.len()];
        let mut seconds = 0.0;
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let of = batch.samples.clone();
            let start = Instant::now();
            let logits = (self.forward)(DeviceBatch::new(batch, &context.device).input);
            let rows: Vec<f32> = softmax(logits, 1).into_data().convert::<f32>().iter::<f32>().collect();
            seconds += start.elapsed().as_secs_f64();
            for (row, sample) in rows.chunks_exact(self.classes.len()).zip(of) {
                let to = &mut probabilities[sample as usize * self.classes.len()..][..self.classes.len()];
                to.iter_mut().zip(row).for_each(|(to, value)| *to += f64::from(*value) / views.count() as f64);
            }
        }
        Ok((probabilities, seconds))
    }
}

/// Probabilities of a test set, of one run or of several.
struct Fused {
    split: String,
    views: Views,
    classes: Vec<String>,
    samples: Dataset,
    seen: Seen,
    /// `[samples, classes]`.
    probabilities: Vec<f64>,
    /// Of computing them.
    seconds: f64,
}

impl Fused {
    fn of(run: &Path, data: Option<&Path>, weight: f64, context: &mut Context<'_>) -> Result<Self, RunError> {
        let folder = Folder::open(run)?;
        let mut recipe = folder.recipe()?;
        if let Some(data) = data {
            recipe.data.path = Some(data.to_owned());
        }
        let seed = match folder.phase()? {
            Phase::Search => recipe.search.seed,
            Phase::Train => recipe.train.seed,
        };
        let data = load_data(&mut recipe, seed, context.observer)?;
        let judge = Judge::open(&folder, &recipe, data.seen.channels(data.train.channels()), context)?;
        check_classes(&judge.classes, data.test.classes())?;
        let (mut probabilities, seconds) = judge.probabilities(&data.test, &data.seen, recipe.eval, context)?;
        probabilities.iter_mut().for_each(|value| *value *= weight);
        Ok(Fused {
            split: data.test_name,
            views: recipe.eval,
            classes: judge.classes,
            samples: data.test,
            seen: data.seen,
            probabilities,
            seconds,
        })
    }

    /// The sum of both; the views are the first's.
    fn with(mut self, other: Fused) -> Result<Self, RunError> {
        check_classes(&self.classes, &other.classes)?;
        if self.samples.labels() != other.samples.labels() {
            return Err(RunError::OtherTest { before: self.samples.len(), now: other.samples.len() });
        }
        self.probabilities.iter_mut().zip(other.probabilities).for_each(|(own, other)| *own += other);
        self.seconds += other.seconds;
        Ok(self)
    }

    /// Every sample's probabilities and its class.
    fn rows(&self) -> impl Iterator<Item = (&[f64], u16)> {
        self.probabilities.chunks_exact(self.classes.len()).zip(self.samples.labels().iter().copied())
    }

    fn evaluation(&self) -> Evaluation {
        let names = &self.classes;
        let mut tallies = vec![Tally::default(); names.len()];
        for (row, label) in self.rows() {
            // Logarithms of probabilities are logits of the same probabilities.
            let logits: Vec<f32> = row.iter().map(|&p| p.max(f64::from(f32::MIN_POSITIVE)).ln() as f32).collect();
            tallies[usize::from(label)].add_sample(&logits, label.into());
        }
        let mut all = Tally::default();
        tallies.iter().for_each(|tally| all.add(*tally));
        let class = |(name, tally): (&String, &Tally)| ClassAccuracy {
            name: name.clone(),
            count: tally.count,
            accuracy: tally.accuracy(),
        };
        let Views { clips, crops, .. } = self.views;
        Evaluation {
            split: self.split.clone(),
            count: all.count,
            views: [clips, crops],
            top1: all.accuracy(),
            top5: all.top5_accuracy(),
            loss: all.mean_loss(),
            seconds_per_view: self.seconds / (all.count * clips * crops).max(1) as f64,
            classes: names.iter().zip(&tallies).map(class).collect(),
        }
    }
}
