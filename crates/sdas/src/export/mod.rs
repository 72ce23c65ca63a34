//! Networks for others: what is exported, and the formats that it is written in.
//!
//! A [`Subject`] is a network with its numbers and with what whoever runs it elsewhere has to know. Every format is written
//! of one.

mod metadata;
mod onnx;
mod pytorch;
mod safetensors;

pub(crate) use self::metadata::CLASSES;
pub use self::onnx::{Onnx, OnnxError, OnnxSettings, Port, to_onnx};
pub(crate) use self::pytorch::WEIGHTS;
pub use self::pytorch::{to_pytorch, write_pytorch};
pub use self::safetensors::{NamedTensor, to_safetensors};

use crate::architecture::Architecture;
use crate::genotype::Genotype;
use crate::handmade::{Named, Sizes};
use crate::layers::{Graph, LowerError, ShapeError};
use crate::network::{Counts, Network, NetworkShape};
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::run::{Context, Folder, Phase, RunError, Seen, memory_limit};
use crate::{architecture, search, train};
use burn::tensor::Device;
use sdas_kernels::Extent;
use std::path::{Path, PathBuf};

/// Why a network is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The network is no network of layers yet.
    #[error("{}: {source}", run.display())]
    Lower {
        /// The run.
        run: PathBuf,
        /// Why.
        source: LowerError,
    },
    /// A search that has not decided all.
    #[error(
        "the search in {} has {undecided} of {edges} edges left to decide, each of which still mixes several operations\n  \
         remedy: go on with it, `sdas search --resume {}`, and export what it finds", run.display(), run.display()
    )]
    Undecided {
        /// The run.
        run: PathBuf,
        /// How many edges are not decided, of all kinds of cells.
        undecided: usize,
        /// How many there are.
        edges: usize,
    },
    /// Samples that the network cannot read.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// More numbers than there is memory for.
    #[error(
        "the network would have {parameters} learnt numbers, for which this process has no memory\n  remedy: make it smaller"
    )]
    TooLarge {
        /// How many; the largest number that there is where they are more.
        parameters: usize,
    },
    /// Layers that are none of a network of layers yet.
    #[error(transparent)]
    Layers(#[from] LowerError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Where a network's numbers are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// The newest checkpoint of a run.
    Run(PathBuf),
    /// Those that a training with this seed begins with.
    Initial(u64),
}

/// A network to export.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is: a cell, or a network that people made.
    pub architecture: Architecture,
    /// The network of cells that it is, if it is one; its auxiliary head, too, has numbers in `weights`.
    pub network: Option<Network>,
    /// The sizes by which a cell was made that network. A search's has none: its stem is the search's.
    pub shape: Option<NetworkShape>,
    /// Its layers, without an auxiliary head; they have their numbers in the same slots.
    pub graph: Graph,
    /// What it has learnt.
    pub weights: Parameters,
    /// Its norms' running statistics.
    pub statistics: Parameters,
    /// Where both are from.
    pub numbers: Numbers,
    /// Frames, height and width of the samples that it is made for.
    pub extent: Extent,
    /// Channels that it reads: those of a sample, as often as frames are stacked.
    pub inputs: usize,
    /// The names of its classes, in the order of its logits; none where there is no data to name them.
    pub classes: Vec<String>,
    /// How its run prepares samples, mean and deviation among it; nothing where there is no run.
    pub seen: Option<Seen>,
}

impl Subject {
    /// The network of the run in a folder, as its newest checkpoint has it: of a training, or of a search that has decided
    /// all.
    ///
    /// # Errors
    ///
    /// If there is no run, or a search in it is not done.
    pub fn of_run(path: &Path, mut context: Context<'_>) -> Result<Subject, ExportError> {
        let folder = Folder::open(path)?;
        let recipe = folder.recipe()?;
        let seen = Seen::of(&recipe).ok_or_else(|| RunError::Setting {
            key: "data.mean",
            message: "is not in the run's config.toml; measure the run with `sdas eval`, or train it again".to_owned(),
        })?;
        let inputs = seen.channels(seen.statistics.mean.len());
        let run = Run { path, folder: &folder, recipe: &recipe, seen, inputs };
        match folder.phase()? {
            Phase::Search => run.search(&mut context),
            Phase::Train => run.training(&mut context),
        }
    }

    /// The network that a cell gives, with the numbers that a training begins with.
    ///
    /// # Errors
    ///
    /// If it cannot be one of layers, or there is no room for it.
    pub fn of_cell(genotype: &Genotype, shape: NetworkShape, extent: Extent, seed: u64) -> Result<Self, ExportError> {
        let shape = NetworkShape { auxiliary: false, ..shape };
        check_room(Counts::of(shape.cells, extent, |cells| {
            Network::derived(genotype, NetworkShape { cells, ..shape })
        }))?;
        let (network, device) = (Network::derived(genotype, shape), Device::flex());
        Ok(Subject {
            graph: Graph::lower(&network)?,
            weights: network.initial_weights(seed, &device),
            statistics: network.initial_statistics(&device),
            architecture: genotype.clone().into(),
            network: Some(network),
            shape: Some(shape),
            numbers: Numbers::Initial(seed),
            extent,
            inputs: shape.inputs,
            classes: Vec::new(),
            seen: None,
        })
    }

    /// A network that people made, with the numbers that a training begins with.
    ///
    /// # Errors
    ///
    /// If it cannot read samples of that size, or there is no room for it.
    pub fn of_network(network: Named, sizes: &Sizes, seed: u64) -> Result<Self, ExportError> {
        let (graph, device) = (network.build(sizes), Device::flex());
        graph.classes(sizes.extent)?;
        check_room(graph.counts(sizes.extent)?)?;
        Ok(Subject {
            weights: graph.initial_weights(seed, &device),
            statistics: graph.initial_statistics(&device),
            graph,
            architecture: Architecture::Network(network),
            network: None,
            shape: None,
            numbers: Numbers::Initial(seed),
            extent: sizes.extent,
            inputs: sizes.inputs,
            classes: Vec::new(),
            seen: None,
        })
    }

    /// Whether it is one for pictures: of one frame, and made of layers that would leave time alone.
    pub fn is_planar(&self) -> bool {
        self.extent[0] == 1 && self.graph.is_planar()
    }

    /// The cell or the network in short: DARTS' or NAS-Bench-201's text, or a name.
    pub fn text(&self) -> String {
        self.architecture.text()
    }
}

/// Says that there is room for a network's numbers and for the bytes of a file of them, before there are any.
fn check_room(counts: Counts) -> Result<(), ExportError> {
    let Counts { parameters, .. } = counts;
    match memory_limit() {
        Some(limit) if 8.0 * parameters as f64 > limit as f64 => Err(ExportError::TooLarge { parameters }),
        _ => Ok(()),
    }
}

/// A run being read.
struct Run<'a> {
    path: &'a Path,
    folder: &'a Folder,
    recipe: &'a Recipe,
    seen: Seen,
    inputs: usize,
}

impl Run<'_> {
    fn training(self, context: &mut Context<'_>) -> Result<Subject, ExportError> {
        let (architecture, extent) = Architecture::read(self.folder)?;
        let (state, classes) = train::load_state(self.recipe, self.inputs, self.folder, context)?;
        let [weights, statistics] = state.measured();
        let (network, graph) = match &state.network {
            architecture::Model::Cells(network) => (Some(network.clone()), self.lower(network)?),
            architecture::Model::Layers(graph) => (None, graph.clone()),
        };
        let sizes = crate::run::Sizes { classes: classes.len(), inputs: self.inputs };
        Ok(Subject {
            graph,
            weights: weights.clone(),
            statistics: statistics.clone(),
            shape: network.is_some().then(|| architecture::shape(self.recipe, sizes)),
            network,
            architecture,
            numbers: Numbers::Run(self.path.to_owned()),
            extent: extent.unwrap_or_else(|| self.extent()),
            inputs: self.inputs,
            classes,
            seen: Some(self.seen),
        })
    }

    fn search(self, context: &mut Context<'_>) -> Result<Subject, ExportError> {
        let (state, classes) = search::load_state(self.recipe, self.inputs, self.folder, context)?;
        let supernet = &state.supernet;
        let Some(cells) = supernet.genes() else {
            let states = || supernet.plans.iter().flat_map(|plan| plan.states());
            let undecided = states().filter(|state| state.is_open()).count();
            return Err(ExportError::Undecided { run: self.path.to_owned(), undecided, edges: states().count() });
        };
        Ok(Subject {
            architecture: Genotype { space: supernet.candidates.space, cells, origin: None }.into(),
            graph: self.lower(&supernet.network)?,
            network: Some(supernet.network.clone()),
            shape: None,
            extent: self.extent(),
            weights: state.weights,
            statistics: state.statistics,
            numbers: Numbers::Run(self.path.to_owned()),
            inputs: self.inputs,
            classes,
            seen: Some(self.seen),
        })
    }

    fn lower(&self, network: &Network) -> Result<Graph, ExportError> {
        Graph::lower(network).map_err(|source| ExportError::Lower { run: self.path.to_owned(), source })
    }

    /// What the network sees of a sample: as much as is cut out, or else the whole of it. Networks of cells read other sizes,
    /// too.
    fn extent(&self) -> Extent {
        /// The side of CIFAR's pictures, and of those that are made by a formula.
        const USUAL: usize = 32;
        let side = self.seen.clip.crop.or(self.recipe.data.size).unwrap_or(USUAL);
        [self.seen.clip.frames, side, side]
    }
}

/// A file that was written, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: usize,
}

impl Written {
    /// Writes a file, which is there whole or not at all.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn whole(path: &Path, bytes: &[u8]) -> Result<Written, ExportError> {
        let written = sdas_data::whole::write_whole(path, bytes);
        written.map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
        Ok(Written { path: path.to_owned(), bytes: bytes.len() })
    }
}
