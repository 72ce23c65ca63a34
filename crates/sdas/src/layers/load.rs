//! Weights from files, by the names that PyTorch gives them.

use super::Graph;
use crate::parameters::Parameters;
use burn::tensor::{DType, Device, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sdas_kernels::WeightKind;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a file's weights are not the network's.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the weights {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no file of weights.
    #[error("{} is no safetensors file: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A tensor holds what no weight is.
    #[error("{}: {tensor} holds {dtype}; weights are F32, F64, F16 or BF16", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it holds.
        dtype: String,
    },
    /// The file's tensors are not those of the network.
    #[error("{} holds the weights of another network: {}", path.display(), listed(differences))]
    Different {
        /// The file.
        path: PathBuf,
        /// What differs.
        differences: Vec<Mismatch>,
    },
}

/// How a file's tensors differ from a network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The file lacks a tensor.
    Missing {
        /// Its name.
        tensor: String,
        /// Its shape in the network.
        ours: Vec<usize>,
    },
    /// The network lacks a tensor.
    Superfluous {
        /// Its name.
        tensor: String,
        /// Its shape in the file.
        theirs: Vec<usize>,
    },
    /// Both have it, in different shapes.
    Shape {
        /// Its name.
        tensor: String,
        /// Its shape in the network.
        ours: Vec<usize>,
        /// Its shape in the file.
        theirs: Vec<usize>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Missing { tensor, ours } => write!(f, "it lacks {tensor}, {ours:?}"),
            Mismatch::Superfluous { tensor, theirs } => write!(f, "the network has no {tensor}, {theirs:?}"),
            Mismatch::Shape { tensor, ours, theirs } => {
                write!(f, "{tensor} is {theirs:?} there, and {ours:?} in the network")
            }
        }
    }
}

/// How many differences a message names.
const NAMED: usize = 3;

fn listed(differences: &[Mismatch]) -> String {
    let named: Vec<String> = differences.iter().take(NAMED).map(Mismatch::to_string).collect();
    let more = differences.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", named.join("; "))
}

/// A network's numbers, some of them from a file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The weights.
    pub weights: Parameters,
    /// The running statistics.
    pub statistics: Parameters,
    /// What the file has differently; the numbers of these are as they were.
    pub differences: Vec<Mismatch>,
    path: PathBuf,
}

impl Loaded {
    /// The weights and running statistics, if they are all from the file and all of the file.
    ///
    /// # Errors
    ///
    /// If anything differs.
    pub fn exactly(self) -> Result<[Parameters; 2], LoadError> {
        match self.differences.is_empty() {
            true => Ok([self.weights, self.statistics]),
            false => Err(LoadError::Different { path: self.path, differences: self.differences }),
        }
    }
}

/// Where in the parameters a tensor of the network lies.
struct Target {
    statistics: bool,
    slot: usize,
    range: std::ops::Range<usize>,
    kind: WeightKind,
}

impl Target {
    /// Its shape as PyTorch has it.
    fn shape(&self) -> Vec<usize> {
        match self.kind {
            WeightKind::Dense { kernel: [t, h, w], inputs, outputs } => vec![outputs, inputs, t, h, w],
            WeightKind::Depthwise { kernel: [t, h, w], channels } => vec![channels, 1, t, h, w],
            WeightKind::Pointwise { inputs, outputs } => vec![outputs, inputs],
            WeightKind::Scale(channels) | WeightKind::Shift(channels) => vec![channels],
        }
    }

    /// Whether a tensor of a file is it. Networks for pictures have kernels without time there, and 1×1 convolutions may be
    /// linear layers: a kernel's first axes may be left out where they are 1.
    fn fits(&self, theirs: &[usize]) -> bool {
        let ours = self.shape();
        let left_out = ours.len().saturating_sub(theirs.len());
        let (head, kernel) = ours.split_at(ours.len().min(2));
        left_out <= kernel.len()
            && kernel[..left_out].iter().all(|&size| size == 1)
            && head.iter().chain(&kernel[left_out..]).eq(theirs)
    }
}

impl Graph {
    /// The numbers that a safetensors file has for this network, by PyTorch's names; `weights` and `statistics` where it has
    /// none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds anything but floating-point numbers.
    pub fn load(
        &self,
        path: &Path,
        [weights, statistics]: [&Parameters; 2],
        device: &Device,
    ) -> Result<Loaded, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|source| LoadError::Format { path: path.to_owned(), source })?;
        let (mut weights, mut statistics) = (weights.to_host(), statistics.to_host());
        let mut targets = self.targets();
        let mut differences = Vec::new();
        let mut tensors: Vec<_> = file.iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        // PyTorch counts the batches that a norm has seen.
        for (name, view) in tensors.into_iter().filter(|(name, _)| !name.ends_with(".num_batches_tracked")) {
            let (tensor, theirs) = (name.to_owned(), view.shape().to_vec());
            let Some(target) = targets.remove(name) else {
                differences.push(Mismatch::Superfluous { tensor, theirs });
                continue;
            };
            if !target.fits(&theirs) {
                differences.push(Mismatch::Shape { tensor, ours: target.shape(), theirs });
                continue;
            }
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F64 => DType::F64,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                other => {
                    return Err(LoadError::Type { path: path.to_owned(), tensor, dtype: format!("{other:?}") });
                }
            };
            let data = TensorData::from_bytes_vec(view.data().to_vec(), theirs, dtype);
            let values: Vec<f32> = data.convert::<f32>().iter::<f32>().collect();
            let slots = if target.statistics { &mut statistics } else { &mut weights };
            let slot = slots[target.slot].as_mut().expect("a slot that something lies in is not empty");
            slot[target.range].copy_from_slice(&target.kind.from_pytorch(&values));
        }
        let missing = targets.into_iter();
        differences.extend(missing.map(|(tensor, target)| Mismatch::Missing { tensor, ours: target.shape() }));
        Ok(Loaded {
            weights: Parameters::from_host(weights, device),
            statistics: Parameters::from_host(statistics, device),
            differences,
            path: path.to_owned(),
        })
    }

    fn targets(&self) -> BTreeMap<String, Target> {
        let weights = self.weights().into_iter().map(|weight| {
            let target = Target { statistics: false, slot: weight.slot, range: weight.range, kind: weight.kind };
            (weight.name, target)
        });
        let statistics = self.statistics().into_iter().map(|statistic| {
            let kind = WeightKind::Shift(statistic.range.len());
            (statistic.name, Target { statistics: true, slot: statistic.slot, range: statistic.range, kind })
        });
        weights.chain(statistics).collect()
    }
}
