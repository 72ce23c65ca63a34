//! Measuring final networks on the test set.

mod examine;

pub use examine::{Examination, Frame, Mistake, examine};

use crate::architecture::{Architecture, Model};
use crate::batch::{DeviceBatch, Tally};
use crate::network::{NamedStatistic, NamedWeight, Pass};
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::run::{Context, Folder, Phase, RunData, RunError, Seen, Sizes, check_classes, load_data, loader};
use crate::{search, train};
use burn::tensor::Tensor;
use sdas_data::{Dataset, Views};
use sdas_kernels::softmax;
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

/// A network to measure or to ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Examinee {
    /// That of a run.
    Run {
        /// The run's folder.
        folder: PathBuf,
        /// Where its numbers are from: a file of weights, or another training's folder; without, its newest checkpoint.
        weights: Option<PathBuf>,
    },
    /// The one that a training by this recipe would train.
    Network {
        /// What would be trained.
        architecture: Architecture,
        /// The recipe.
        recipe: Box<Recipe>,
        /// Where its numbers are from: a file of weights, or a training's folder.
        weights: PathBuf,
    },
}

impl Examinee {
    /// The network of a run as it is.
    pub fn run(folder: impl Into<PathBuf>) -> Self {
        Examinee::Run { folder: folder.into(), weights: None }
    }

    pub(crate) fn recipe(&self) -> Result<Recipe, RunError> {
        match self {
            Examinee::Run { folder, .. } => Folder::open(folder)?.recipe(),
            Examinee::Network { recipe, .. } => Ok(recipe.as_ref().clone()),
        }
    }

    /// The seed that a part of the data is chosen by.
    fn seed(&self, recipe: &Recipe) -> Result<u64, RunError> {
        Ok(match self {
            Examinee::Run { folder, .. } if Folder::open(folder)?.phase()? == Phase::Search => recipe.search.seed,
            _ => recipe.train.seed,
        })
    }
}

/// A network to measure, and the share of its probabilities among several networks'.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// The network.
    pub examinee: Examinee,
    /// Above 0; only the ratios matter.
    pub share: f64,
}

/// Evaluates networks together: the mean of their probabilities by share (late fusion; Simonyan, Zisserman, 2014). `data`
/// replaces the recipes' data folder.
///
/// # Errors
///
/// If there is no network, its data cannot be loaded, a file of weights is of another one, or they have different classes or
/// test sets.
pub fn evaluate(networks: &[Weighed], data: Option<&Path>, mut context: Context<'_>) -> Result<Evaluation, RunError> {
    let total: f64 = networks.iter().map(|network| network.share).sum();
    let mut fused: Option<Fused> = None;
    for Weighed { examinee, share } in networks {
        let part = Fused::of(examinee, data, share / total, &mut context)?;
        fused = Some(match fused {
            None => part,
            Some(before) => before.with(part)?,
        });
    }
    let fused = fused.ok_or_else(|| RunError::Setting { key: "runs", message: "there must be at least one".into() })?;
    Ok(fused.evaluation())
}

/// Logits `[N, classes]` of samples `[N, T, H, W, C]`.
type Network = Box<dyn Fn(Tensor<5>) -> Tensor<2>>;

/// A network with its numbers, and the classes that it knows.
pub(crate) struct Judge {
    forward: Network,
    pub(crate) classes: Vec<String>,
    pub(crate) batch: usize,
}

impl Judge {
    /// The one that is asked about files, and what it sees of them.
    pub(crate) fn for_files(
        examinee: &Examinee,
        recipe: &mut Recipe,
        context: &mut Context<'_>,
    ) -> Result<(Self, Seen), RunError> {
        match examinee {
            Examinee::Run { folder, weights } => {
                let seen = Seen::of(recipe).ok_or_else(|| RunError::Setting {
                    key: "data.mean",
                    message: "is not in the run's config.toml; measure the run with `sdas eval`, or train it again"
                        .to_owned(),
                })?;
                let inputs = seen.channels(recipe.data.input.channels());
                Ok((Judge::of_run(folder, weights.as_deref(), recipe, inputs, context)?, seen))
            }
            // Of the data, its classes and what pixels are normalised by.
            Examinee::Network { architecture, weights, .. } => {
                let seed = recipe.train.seed;
                let data = load_data(recipe, seed, context.observer)?;
                Ok((Judge::of_network(architecture, weights, recipe, &data, context)?, data.seen))
            }
        }
    }

    /// The network of a run, as its newest checkpoint has it, or with the numbers of `weights`.
    fn of_run(
        folder: &Path,
        weights: Option<&Path>,
        recipe: &Recipe,
        inputs: usize,
        context: &mut Context<'_>,
    ) -> Result<Self, RunError> {
        let replaced = |names, numbers: [&Parameters; 2], classes: &[String], context: &mut Context<'_>| match weights {
            None => Ok(numbers.map(Parameters::clone)),
            Some(path) => numbers_of(path, names, numbers, (inputs, classes), context),
        };
        let folder = Folder::open(folder)?;
        Ok(match folder.phase()? {
            Phase::Search => {
                let (mut state, classes) = search::load_state(recipe, inputs, &folder, context)?;
                let names = (state.supernet.network.weights(), state.supernet.network.statistics());
                [state.weights, state.statistics] =
                    replaced(names, [&state.weights, &state.statistics], &classes, context)?;
                Judge { forward: Box::new(move |input| state.evaluate(input)), classes, batch: recipe.search.batch }
            }
            Phase::Train => {
                let (state, classes) = train::load_state(recipe, inputs, &folder, context)?;
                let numbers = replaced(state.network.names(), state.measured(), &classes, context)?;
                Judge { forward: forward(state.network, numbers), classes, batch: recipe.train.batch }
            }
        })
    }

    /// The network that the recipe's training would train on `data`, with the numbers of `weights`.
    fn of_network(
        architecture: &Architecture,
        weights: &Path,
        recipe: &mut Recipe,
        data: &RunData,
        context: &mut Context<'_>,
    ) -> Result<Self, RunError> {
        architecture.check_stem(recipe)?;
        let sizes = Sizes::of(data);
        let [frames, height, width, _] = data.seen.evaluation(recipe.train.batch, recipe.eval).shape(&data.test)?;
        let extent = [frames, height, width];
        architecture.fit(recipe, sizes, extent)?;
        let network = architecture.model(recipe, sizes, extent)?;
        let fresh = [network.initial_weights(0, &context.device), network.initial_statistics(&context.device)];
        let classes = data.train.classes().to_vec();
        let numbers = numbers_of(weights, network.names(), fresh.each_ref(), (sizes.inputs, &classes), context)?;
        Ok(Judge { forward: forward(network, numbers), classes, batch: recipe.train.batch })
    }

    /// Probabilities of every sample, `[samples, classes]`: the mean over its views; and the seconds that the network
    /// computed.
    pub(crate) fn probabilities(
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
            let rows: Vec<f32> = softmax(logits).into_data().convert::<f32>().iter::<f32>().collect();
            seconds += start.elapsed().as_secs_f64();
            for (row, sample) in rows.chunks_exact(self.classes.len()).zip(of) {
                let to = &mut probabilities[sample as usize * self.classes.len()..][..self.classes.len()];
                to.iter_mut().zip(row).for_each(|(to, value)| *to += f64::from(*value) / views.count() as f64);
            }
        }
        Ok((probabilities, seconds))
    }
}

/// A network with its numbers.
fn forward(network: Model, numbers: [Parameters; 2]) -> Network {
    Box::new(move |input| {
        let [weights, statistics] = &numbers;
        network.forward(Pass::evaluation(weights, statistics), input).logits
    })
}

/// The numbers that a file, or another training, has for a network with these names, of so many inputs and these classes:
/// all of them.
fn numbers_of(
    path: &Path,
    names: (Vec<NamedWeight>, Vec<NamedStatistic>),
    numbers: [&Parameters; 2],
    (inputs, classes): (usize, &[String]),
    context: &mut Context<'_>,
) -> Result<[Parameters; 2], RunError> {
    let tensors = train::named_tensors(path, inputs, context)?;
    tensors.check_classes(classes)?;
    Ok(tensors.into_numbers(names, numbers, &context.device)?.for_evaluation(classes.len())?)
}

/// Probabilities of a test set, of one network or of several.
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
    fn of(examinee: &Examinee, data: Option<&Path>, share: f64, context: &mut Context<'_>) -> Result<Self, RunError> {
        let mut recipe = examinee.recipe()?;
        if let Some(data) = data {
            recipe.data.path = Some(data.to_owned());
        }
        let seed = examinee.seed(&recipe)?;
        let data = load_data(&mut recipe, seed, context.observer)?;
        let inputs = data.seen.channels(data.train.channels());
        let judge = match examinee {
            Examinee::Run { folder, weights } => Judge::of_run(folder, weights.as_deref(), &recipe, inputs, context)?,
            Examinee::Network { architecture, weights, .. } => {
                Judge::of_network(architecture, weights, &mut recipe, &data, context)?
            }
        };
        check_classes(&judge.classes, data.test.classes())?;
        let (mut probabilities, seconds) = judge.probabilities(&data.test, &data.seen, recipe.eval, context)?;
        probabilities.iter_mut().for_each(|value| *value *= share);
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
            let logits: Vec<f32> = row.iter().map(|&p| libm::log(p.max(f64::from(f32::MIN_POSITIVE))) as f32).collect();
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
