//! What a training trains: the network of a cell, or one that people made.

use crate::genotype::{Genotype, GenotypeError};
use crate::handmade::{self, Named, UnknownNetwork};
use crate::layers::Graph;
use crate::network::{Counts, Dropout, Forward, NamedStatistic, NamedWeight, Network, NetworkShape, Pass};
use crate::parameters::Parameters;
use crate::recipe::{Recipe, TrainSettings};
use crate::run::{Folder, RunError, Sizes};
use crate::space::Stem;
use burn::tensor::{Device, Tensor};
use sdas_data::random::Stream;
use sdas_kernels::Extent;
use serde::{Deserialize, Serialize};

/// What a training trains.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// The network that a cell gives, of the recipe's channels and cells.
    Cell(Box<Genotype>),
    /// A network that people made, of the recipe's width.
    Network(Named),
}

impl From<Genotype> for Architecture {
    fn from(genotype: Genotype) -> Self {
        Architecture::Cell(Box::new(genotype))
    }
}

/// A name that is neither a cell's nor a network's.
#[derive(Debug, thiserror::Error)]
pub enum ArchitectureError {
    /// No cell that can be read.
    #[error(transparent)]
    Cell(#[from] GenotypeError),
    /// Nothing of that name.
    #[error("{cell}; and {network}")]
    Unknown {
        /// Why it is no cell.
        cell: GenotypeError,
        /// Why it is no network.
        network: UnknownNetwork,
    },
}

/// The file of a network that people made, in a run's folder.
const NETWORK: &str = "network.json";
/// That of a cell.
const GENOTYPE: &str = "genotype.json";

/// What networks are brought to, so that like is compared with like: the most that one may have of either, for one sample
/// and without an auxiliary head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Learnt numbers.
    Parameters(usize),
    /// Multiply-adds.
    MultiplyAdds(usize),
}

impl Scale {
    /// The bound, and what of the counts it is of.
    fn parts(self) -> (usize, fn(&Counts) -> usize) {
        match self {
            Scale::Parameters(most) => (most, |counts| counts.parameters),
            Scale::MultiplyAdds(most) => (most, |counts| counts.multiply_adds),
        }
    }
}

impl std::str::FromStr for Scale {
    type Err = String;

    /// `parameters=0.5e6` or `multiply_adds=5000000`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (what, number) = text.split_once('=').ok_or("write parameters=NUMBER or multiply_adds=NUMBER")?;
        let most: f64 = number.parse().map_err(|_| format!("\"{number}\" is no number"))?;
        if !(1.0..1e18).contains(&most) {
            return Err(format!("{number} must be at least 1 and below 1e18"));
        }
        match what {
            "parameters" => Ok(Scale::Parameters(most as usize)),
            "multiply_adds" => Ok(Scale::MultiplyAdds(most as usize)),
            _ => Err(format!("\"{what}\" is neither parameters nor multiply_adds")),
        }
    }
}

/// Steps of a width that make 1.
const WIDTHS: f64 = 256.0;
/// Steps beyond which nothing is looked for: a width of 64.
const WIDEST: usize = 1 << 14;

/// What is in `network.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    /// Its name.
    network: String,
    /// Frames, height and width of the samples it is made for.
    extent: Extent,
}

impl Architecture {
    /// The network or the cell that is called so: see [`Named::find`] and [`Genotype::resolve`].
    ///
    /// # Errors
    ///
    /// If there is neither.
    pub fn resolve(name: &str) -> Result<Self, ArchitectureError> {
        let network = match Named::find(name) {
            Ok(network) => return Ok(Architecture::Network(network)),
            Err(unknown) => unknown,
        };
        match Genotype::resolve(name) {
            Ok(genotype) => Ok(genotype.into()),
            Err(cell @ GenotypeError::Unknown { .. }) => Err(ArchitectureError::Unknown { cell, network }),
            Err(error) => Err(error.into()),
        }
    }

    /// What the run in a folder trains, and for a network that people made the size of the samples it is made for.
    ///
    /// # Errors
    ///
    /// If the folder does not say.
    pub(crate) fn read(folder: &Folder) -> Result<(Self, Option<Extent>), RunError> {
        let path = folder.file(NETWORK);
        if !path.exists() {
            return Ok((Genotype::read(folder.file(GENOTYPE))?.into(), None));
        }
        let fault = |message: String| RunError::Network { path: path.clone(), message };
        let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
        let file: NetworkFile = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let network = Named::find(&file.network).map_err(|error| fault(error.to_string()))?;
        Ok((Architecture::Network(network), Some(file.extent)))
    }

    /// The file of a run's folder that says what it trains: its name and its text.
    pub(crate) fn file(&self, extent: Extent) -> (&'static str, String) {
        match self {
            Architecture::Cell(genotype) => (GENOTYPE, genotype.to_json()),
            Architecture::Network(network) => {
                let file = NetworkFile { network: network.name(), extent };
                (NETWORK, serde_json::to_string_pretty(&file).expect("a name and sizes are JSON"))
            }
        }
    }

    /// The cell, if it is one.
    pub fn genotype(&self) -> Option<&Genotype> {
        match self {
            Architecture::Cell(genotype) => Some(genotype),
            Architecture::Network(_) => None,
        }
    }

    /// In short: DARTS' text of a cell, a network's name.
    pub fn text(&self) -> String {
        match self {
            Architecture::Cell(genotype) => genotype.to_text(),
            Architecture::Network(network) => network.name(),
        }
    }

    /// Whether the network of the recipe's training can have the recipe's stem.
    ///
    /// # Errors
    ///
    /// If not.
    pub(crate) fn check_stem(&self, recipe: &Recipe) -> Result<(), RunError> {
        let Architecture::Cell(genotype) = self else { return Ok(()) };
        let stem = genotype.space.check_stem(recipe.train.stem);
        stem.map_err(|message| RunError::Setting { key: "train.stem", message })
    }

    /// The network of the recipe's training, for samples of size `extent`.
    ///
    /// # Errors
    ///
    /// If it cannot read samples of that size.
    pub(crate) fn model(&self, recipe: &Recipe, sizes: Sizes, extent: Extent) -> Result<Model, RunError> {
        Ok(match self {
            Architecture::Cell(genotype) => Model::Cells(Network::derived(genotype, shape(recipe, sizes))),
            Architecture::Network(network) => {
                let Sizes { classes, inputs } = sizes;
                let graph = network.build(&handmade::Sizes { extent, inputs, classes, width: recipe.train.width });
                let graph = match recipe.train.handmade_dropout {
                    Some(rate) => graph.with_dropout(rate),
                    None => graph,
                };
                let key = if extent[0] != network.usual().extent[0] { "data.clip.frames" } else { "data.size" };
                let misfit = |message: String| RunError::Setting { key, message };
                graph.classes(extent).map_err(|error| misfit(format!("{}: {error}", network.name())))?;
                Model::Layers(graph)
            }
        })
    }

    /// Brings the recipe's channels, or its width, to the largest with which the network keeps what `train.at` says, if it
    /// says anything.
    ///
    /// # Errors
    ///
    /// If the narrowest does not keep it.
    pub(crate) fn fit(&self, recipe: &mut Recipe, sizes: Sizes, extent: Extent) -> Result<(), RunError> {
        let Some(at) = recipe.train.at else { return Ok(()) };
        let (most, of) = at.parts();
        let least = match (self, recipe.train.stem) {
            (Architecture::Cell(_), Stem::Imagenet | Stem::Video) => 2,
            _ => 1,
        };
        let mut cost = |step: usize| {
            match self {
                Architecture::Cell(_) => recipe.train.channels = step,
                Architecture::Network(_) => recipe.train.width = step as f64 / WIDTHS,
            }
            let TrainSettings { channels, cells, .. } = recipe.train;
            of(&self.counts(recipe, sizes, (channels, cells), extent))
        };
        let (mut low, mut high) = (least, least + 1);
        let narrowest = cost(low);
        if narrowest > most {
            let name = if self.genotype().is_some() { "the network of this cell".to_owned() } else { self.text() };
            let message = format!("is {most}, but at its narrowest {name} has {narrowest}");
            return Err(RunError::Setting { key: "train.at", message });
        }
        // The costs rise with the step, if not with every one.
        while high < WIDEST && cost(high) <= most {
            (low, high) = (high, 2 * high);
        }
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            *(if cost(middle) <= most { &mut low } else { &mut high }) = middle;
        }
        cost(low);
        Ok(())
    }

    /// What the network costs for samples of size `extent` with so many channels and cells, as far as it has them, without
    /// building what is too large to be built.
    pub(crate) fn counts(
        &self,
        recipe: &Recipe,
        sizes: Sizes,
        (channels, cells): (usize, usize),
        extent: Extent,
    ) -> Counts {
        match self {
            Architecture::Cell(genotype) => {
                let shape = NetworkShape { channels, ..shape(recipe, sizes) };
                Counts::of(cells, extent, |cells| Network::derived(genotype, NetworkShape { cells, ..shape }))
            }
            Architecture::Network(_) => match self.model(recipe, sizes, extent) {
                Ok(model) => model.counts(extent),
                Err(_) => Counts::default(),
            },
        }
    }
}

/// The network of cells of the recipe's training.
pub(crate) fn shape(recipe: &Recipe, sizes: Sizes) -> NetworkShape {
    let TrainSettings { channels, cells, stem, auxiliary, .. } = recipe.train;
    let Sizes { classes, inputs } = sizes;
    NetworkShape { channels, cells, classes, inputs, stem, auxiliary: auxiliary > 0.0 }
}

/// A network that is trained: of cells, whose edges are computed as a whole, or of layers.
#[derive(Debug, Clone)]
pub(crate) enum Model {
    Cells(Network),
    Layers(Graph),
}

impl Model {
    /// See [`Network::forward`] and [`Graph::forward`].
    pub(crate) fn forward(&self, pass: Pass<'_>, input: Tensor<5>) -> Forward {
        match self {
            Model::Cells(network) => network.forward(pass, input),
            Model::Layers(graph) => graph.forward(pass, input),
        }
    }

    /// Dropout in training, with the recipe's rate: of cells before the classifier; layers have their own rates.
    pub(crate) fn dropout(&self, rate: f64, stream: Stream) -> Option<Dropout> {
        let drops = rate > 0.0 || matches!(self, Model::Layers(_));
        drops.then_some(Dropout { rate, stream })
    }

    /// See [`Network::counts`] and [`Graph::counts`].
    pub(crate) fn counts(&self, extent: Extent) -> Counts {
        match self {
            Model::Cells(network) => network.counts(extent),
            Model::Layers(graph) => graph.counts(extent).expect("it is made for samples of that size"),
        }
    }

    pub(crate) fn initial_weights(&self, seed: u64, device: &Device) -> Parameters {
        match self {
            Model::Cells(network) => network.initial_weights(seed, device),
            Model::Layers(graph) => graph.initial_weights(seed, device),
        }
    }

    pub(crate) fn initial_statistics(&self, device: &Device) -> Parameters {
        match self {
            Model::Cells(network) => network.initial_statistics(device),
            Model::Layers(graph) => graph.initial_statistics(device),
        }
    }

    /// Learnt numbers in every slot.
    pub(crate) fn weight_counts(&self) -> Vec<usize> {
        match self {
            Model::Cells(network) => network.weight_counts(),
            Model::Layers(graph) => graph.weight_counts(),
        }
    }

    /// Running statistics in every slot.
    pub(crate) fn statistic_counts(&self) -> Vec<usize> {
        match self {
            Model::Cells(network) => network.statistic_counts(),
            Model::Layers(graph) => graph.statistic_counts(),
        }
    }

    /// All weights and all running statistics by PyTorch's names, in the order of their slots.
    pub(crate) fn names(&self) -> (Vec<NamedWeight>, Vec<NamedStatistic>) {
        match self {
            Model::Cells(network) => (network.weights(), network.statistics()),
            Model::Layers(graph) => (graph.weights(), graph.statistics()),
        }
    }
}
