//! Weights from files and from other runs, by the names that PyTorch gives them.

use crate::export::CLASSES;
use crate::layers::Graph;
use crate::network::{NamedStatistic, NamedWeight};
use crate::parameters::Parameters;
use burn::tensor::{DType, Device, TensorData};
use pytorch_reader::{PytorchError, PytorchReader};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sdas_kernels::WeightKind;
use std::collections::{BTreeMap, HashMap};
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
    /// It is no safetensors file.
    #[error("{} is no safetensors file: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// It is no file of PyTorch's.
    #[error("{} is no file of weights that PyTorch has written: {source}", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<PytorchError>,
    },
    /// Its name does not say what it is.
    #[error("{}: weights are read from .safetensors, .pth, .pt and .bin files and from the folders of trainings and of exports to PyTorch", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
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
    #[error(
        "{} holds the weights of another network: {}\n  remedy: name the network that they are of, or give a file of this one's",
        path.display(), listed(differences)
    )]
    Different {
        /// The file.
        path: PathBuf,
        /// What differs.
        differences: Vec<Mismatch>,
    },
    /// They are for other classes than the data has.
    #[error(
        "{} holds weights for {theirs}, but the data has {ours}\n  remedy: give the data that they are for, or train from \
         them: `sdas train` begins with what fits and leaves a classifier of other classes to chance", path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// How many, or the first that differs.
        theirs: String,
        /// Likewise.
        ours: String,
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

/// A tensor in PyTorch's order.
#[derive(Debug, Clone, PartialEq)]
struct Values {
    shape: Vec<usize>,
    /// Or what it holds that no weight is.
    values: Result<Vec<f32>, String>,
}

/// Tensors by PyTorch's names.
#[derive(Debug, Clone)]
pub struct NamedTensors {
    path: PathBuf,
    tensors: BTreeMap<String, Values>,
    /// The classes that they tell apart, in the order of the logits; none where they do not say.
    classes: Vec<String>,
}

/// A network's numbers, some of them from a file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The weights.
    pub weights: Parameters,
    /// The running statistics.
    pub statistics: Parameters,
    /// How many tensors were taken.
    pub taken: usize,
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

    /// As a network of so many classes may begin with them: what it has beyond the file are an auxiliary head and a classifier
    /// of another number of classes.
    ///
    /// # Errors
    ///
    /// If more differs.
    pub(crate) fn for_training(self, classes: usize) -> Result<Self, LoadError> {
        self.but_for(|difference| match difference {
            Mismatch::Superfluous { .. } => true,
            Mismatch::Missing { tensor, .. } => is_of_head(tensor),
            Mismatch::Shape { ours, theirs, .. } => ours[0] == classes && ours[1..] == theirs[1..],
        })
    }

    /// As a network of so many classes may be measured with them: only an auxiliary head, which is for training, may be
    /// lacking or too much.
    ///
    /// # Errors
    ///
    /// If anything else differs.
    pub(crate) fn for_evaluation(self, classes: usize) -> Result<[Parameters; 2], LoadError> {
        let is_of_head = |difference: &Mismatch| match difference {
            Mismatch::Missing { tensor, .. } | Mismatch::Superfluous { tensor, .. } => is_of_head(tensor),
            Mismatch::Shape { .. } => false,
        };
        let mut others = self.differences.iter().filter(|difference| !is_of_head(difference)).map(|one| match one {
            Mismatch::Shape { ours, theirs, .. } if ours[0] == classes && ours[1..] == theirs[1..] => Some(theirs[0]),
            _ => None,
        });
        // Of another number of classes, and nothing else.
        if let Some(Some(number)) = others.next()
            && others.all(|other| other == Some(number))
        {
            let [theirs, ours] = [number, classes].map(|number| format!("{number} classes"));
            return Err(LoadError::Classes { path: self.path, theirs, ours });
        }
        let loaded = self.but_for(is_of_head)?;
        Ok([loaded.weights, loaded.statistics])
    }

    /// Itself, if nothing differs but what may, and something is from the file.
    fn but_for(self, may_differ: impl Fn(&Mismatch) -> bool) -> Result<Self, LoadError> {
        let differences: Vec<Mismatch> =
            self.differences.iter().filter(|difference| !may_differ(difference)).cloned().collect();
        match differences.is_empty() && self.taken > 0 {
            true => Ok(self),
            false => Err(LoadError::Different { path: self.path, differences }),
        }
    }
}

/// Whether a weight is of an auxiliary head, which is for training alone: ours is called `aux`, those of torchvision's
/// GoogLeNet `aux1` and `aux2`.
fn is_of_head(tensor: &str) -> bool {
    let module = tensor.split('.').next().unwrap_or_default();
    module.strip_prefix("aux").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
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
    /// linear layers, or the other way round: a kernel's first axes may be left out where they are 1.
    fn fits(&self, theirs: &[usize]) -> bool {
        let parts = |shape: &[usize]| {
            let (head, kernel) = shape.split_at(shape.len().min(2));
            let kernel = kernel.iter().copied().skip_while(|&size| size == 1).collect();
            (head.to_vec(), kernel)
        };
        let (ours, theirs): ((_, Vec<usize>), (_, Vec<usize>)) = (parts(&self.shape()), parts(theirs));
        ours == theirs
    }
}

/// Where a network's numbers lie, by name.
fn targets(weights: Vec<NamedWeight>, statistics: Vec<NamedStatistic>) -> BTreeMap<String, Target> {
    let weights = weights.into_iter().map(|weight| {
        let target = Target { statistics: false, slot: weight.slot, range: weight.range, kind: weight.kind };
        (weight.name, target)
    });
    let statistics = statistics.into_iter().map(|statistic| {
        let kind = WeightKind::Shift(statistic.range.len());
        (statistic.name, Target { statistics: true, slot: statistic.slot, range: statistic.range, kind })
    });
    weights.chain(statistics).collect()
}

impl Graph {
    /// The numbers that a safetensors file has for this network, by PyTorch's names; `weights` and `statistics` where it has
    /// none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds anything but floating-point numbers.
    pub fn load(&self, path: &Path, numbers: [&Parameters; 2], device: &Device) -> Result<Loaded, LoadError> {
        NamedTensors::read(path)?.into_numbers((self.weights(), self.statistics()), numbers, device)
    }
}

impl NamedTensors {
    /// Those of a safetensors file, or of one that PyTorch has written (`.pth`, `.pt`, `.bin`), of which nothing is executed.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let (tensors, classes) = match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => read_safetensors(path)?,
            Some("pth" | "pt" | "bin") => (read_pytorch(path)?, Vec::new()),
            _ => return Err(LoadError::Kind { path: path.to_owned() }),
        };
        Ok(NamedTensors { path: path.to_owned(), tensors, classes })
    }

    /// Whether they are for these classes, as far as they say.
    ///
    /// # Errors
    ///
    /// If they are for others.
    pub(crate) fn check_classes(&self, ours: &[String]) -> Result<(), LoadError> {
        let theirs = &self.classes;
        if theirs.is_empty() || theirs == ours {
            return Ok(());
        }
        let [theirs, ours] = match theirs.iter().zip(ours).position(|(theirs, ours)| theirs != ours) {
            Some(at) if theirs.len() == ours.len() => {
                [theirs, ours].map(|classes| format!("`{}` as class {at}", classes[at]))
            }
            _ => [theirs.len(), ours.len()].map(|number| format!("{number} classes")),
        };
        Err(LoadError::Classes { path: self.path.clone(), theirs, ours })
    }

    /// Those of a network in memory, for these classes; `path` is where they are from.
    pub(crate) fn of(
        path: &Path,
        classes: Vec<String>,
        (weights, statistics): (Vec<NamedWeight>, Vec<NamedStatistic>),
        numbers: [&Parameters; 2],
    ) -> Self {
        let numbers = numbers.map(Parameters::to_host);
        let values = |(name, target): (String, Target)| {
            let slot = numbers[usize::from(target.statistics)][target.slot].as_deref().unwrap_or_default();
            let values = target.kind.to_pytorch(&slot[target.range.clone()]);
            (name, Values { shape: target.shape(), values: Ok(values) })
        };
        let tensors = targets(weights, statistics).into_iter().map(values).collect();
        NamedTensors { path: path.to_owned(), tensors, classes }
    }

    /// The numbers that they have for a network with these names; `weights` and `statistics` where they have none. Names may
    /// lie below others, as in checkpoints that hold more than weights (`state_dict.`, `module.`): then only those below the
    /// one that has most of the network's names are looked at.
    ///
    /// # Errors
    ///
    /// If one of them holds anything but floating-point numbers.
    pub(crate) fn into_numbers(
        self,
        (named_weights, named_statistics): (Vec<NamedWeight>, Vec<NamedStatistic>),
        [weights, statistics]: [&Parameters; 2],
        device: &Device,
    ) -> Result<Loaded, LoadError> {
        let (mut weights, mut statistics) = (weights.to_host(), statistics.to_host());
        let mut targets = targets(named_weights, named_statistics);
        let (mut differences, mut taken) = (Vec::new(), 0);
        let above = above(&self.tensors, &targets).to_owned();
        for (name, Values { shape: theirs, values }) in self.tensors {
            // PyTorch counts the batches that a norm has seen.
            let Some(name) = name.strip_prefix(&above).filter(|name| !name.ends_with("num_batches_tracked")) else {
                continue;
            };
            let tensor = name.to_owned();
            let Some(target) = targets.remove(name) else {
                differences.push(Mismatch::Superfluous { tensor, theirs });
                continue;
            };
            if !target.fits(&theirs) {
                differences.push(Mismatch::Shape { tensor, ours: target.shape(), theirs });
                continue;
            }
            let values = values.map_err(|dtype| LoadError::Type { path: self.path.clone(), tensor, dtype })?;
            let slots = if target.statistics { &mut statistics } else { &mut weights };
            let slot = slots[target.slot].as_mut().expect("a slot that something lies in is not empty");
            slot[target.range].copy_from_slice(&target.kind.from_pytorch(&values));
            taken += 1;
        }
        let missing = targets.into_iter();
        differences.extend(missing.map(|(tensor, target)| Mismatch::Missing { tensor, ours: target.shape() }));
        Ok(Loaded {
            weights: Parameters::from_host(weights, device),
            statistics: Parameters::from_host(statistics, device),
            taken,
            differences,
            path: self.path,
        })
    }
}

/// What stands before the most names that the network has: nothing, or up to two names of what they lie in.
fn above<'a>(theirs: &'a BTreeMap<String, Values>, ours: &BTreeMap<String, Target>) -> &'a str {
    let mut found: HashMap<&str, usize> = HashMap::from([("", 0)]);
    for name in theirs.keys() {
        let ends = name.match_indices('.').map(|(at, _)| at + 1);
        for end in [0].into_iter().chain(ends.take(2)) {
            if ours.contains_key(&name[end..]) {
                *found.entry(&name[..end]).or_default() += 1;
            }
        }
    }
    let most = found.into_iter().max_by(|(one, n), (other, m)| n.cmp(m).then(other.len().cmp(&one.len())));
    most.map_or("", |(above, _)| above)
}

/// The tensors, and the classes that a file of ours names.
fn read_safetensors(path: &Path) -> Result<(BTreeMap<String, Values>, Vec<String>), LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let fault = |source| LoadError::Format { path: path.to_owned(), source };
    let file = SafeTensors::deserialize(&bytes).map_err(fault)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(fault)?;
    let classes = header.metadata().as_ref().and_then(|metadata| metadata.get(CLASSES));
    let classes = classes.and_then(|classes| serde_json::from_str(classes).ok()).unwrap_or_default();
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let dtype = match view.dtype() {
            Dtype::F32 => Ok(DType::F32),
            Dtype::F64 => Ok(DType::F64),
            Dtype::F16 => Ok(DType::F16),
            Dtype::BF16 => Ok(DType::BF16),
            other => Err(format!("{other:?}")),
        };
        (name.to_owned(), values(view.shape(), dtype, view.data().to_vec()))
    };
    Ok((file.iter().map(tensor).collect(), classes))
}

fn read_pytorch(path: &Path) -> Result<BTreeMap<String, Values>, LoadError> {
    let fault = |source| match source {
        PytorchError::Io(source) => LoadError::Read { path: path.to_owned(), source },
        source => LoadError::Pytorch { path: path.to_owned(), source: Box::new(source) },
    };
    let file = PytorchReader::new(path).map_err(fault)?;
    let tensor = |(name, tensor): (&String, &pytorch_reader::Tensor)| {
        let dtype = match tensor.dtype() {
            pytorch_reader::DType::F32 => Ok(DType::F32),
            pytorch_reader::DType::F64 => Ok(DType::F64),
            pytorch_reader::DType::F16 => Ok(DType::F16),
            pytorch_reader::DType::BF16 => Ok(DType::BF16),
            other => Err(format!("{other:?}")),
        };
        let bytes = tensor.read().map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Ok((name.clone(), values(tensor.shape(), dtype, bytes)))
    };
    file.tensors().iter().map(tensor).collect()
}

fn values(shape: &[usize], dtype: Result<DType, String>, bytes: Vec<u8>) -> Values {
    let floats =
        |dtype| TensorData::from_bytes_vec(bytes, shape.to_vec(), dtype).convert::<f32>().iter::<f32>().collect();
    Values { shape: shape.to_vec(), values: dtype.map(floats) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_for_other_classes_say_which() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let of = |classes: &[&str]| NamedTensors {
            path: "a.safetensors".into(),
            tensors: BTreeMap::new(),
            classes: names(classes),
        };
        let ours = names(&["daisy", "rose"]);
        of(&[]).check_classes(&ours).unwrap();
        of(&["daisy", "rose"]).check_classes(&ours).unwrap();
        for (theirs, words) in [
            (
                &["daisy", "tulip"][..],
                "a.safetensors holds weights for `tulip` as class 1, but the data has `rose` as class 1",
            ),
            (&["daisy"], "holds weights for 1 classes, but the data has 2 classes"),
        ] {
            let error = of(theirs).check_classes(&ours).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("remedy: "), "{error}");
        }
    }

    #[test]
    fn heads_for_training_alone_are_told_by_their_names() {
        assert!(["aux.classifier.bias", "aux1.conv.bn.weight", "aux2.fc1.bias"].into_iter().all(is_of_head));
        assert!(!["auxiliary.weight", "cells.0.aux.weight", "fc.bias"].into_iter().any(is_of_head));
    }
}
