//! Checkpoints: everything a run needs to go on bit for bit, in one safetensors file with a checksum over all of it.

use crate::parameters::Parameters;
use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Named flat tensors and a state in JSON.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// Everything else.
    pub state: String,
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a checkpoint of this program.
    #[error("{} is damaged or no checkpoint: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It is whole, but another network's.
    #[error(
        "{} is of another network than the run's files say: it has {found} values of {name}, and that needs {expected}\n  \
         remedy: put config.toml and genotype.json back as they were", path.display()
    )]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its length there; 0 where it is missing.
        found: usize,
        /// Its length in the run's network.
        expected: usize,
    },
}

const FORMAT: &str = "sdas-checkpoint";
/// Files of version 1 have no checksum.
const VERSIONS: [&str; 2] = ["1", "2"];

impl Checkpoint {
    /// A checkpoint of `state` without tensors.
    pub fn new(state: &impl Serialize) -> Self {
        let state = serde_json::to_string(state).expect("a run's state is JSON");
        Checkpoint { tensors: BTreeMap::new(), state }
    }

    /// Adds parameters under `prefix`, a tensor a slot.
    pub fn put(&mut self, prefix: &str, parameters: &Parameters) {
        for (slot, values) in parameters.to_host().into_iter().enumerate() {
            if let Some(values) = values {
                self.tensors.insert(format!("{prefix}.{slot}"), values);
            }
        }
    }

    /// Takes out what [`put`](Self::put) put under `prefix`: parameters with so many values in each slot.
    ///
    /// # Errors
    ///
    /// If there are others; `path` is where it came from.
    pub fn take(
        &mut self,
        prefix: &str,
        counts: &[usize],
        path: &Path,
        device: &Device,
    ) -> Result<Parameters, CheckpointError> {
        let slot = |(slot, &count): (usize, &usize)| {
            let values = self.take_values(&format!("{prefix}.{slot}"), count, path)?;
            Ok((!values.is_empty()).then_some(values))
        };
        let values = counts.iter().enumerate().map(slot).collect::<Result<_, CheckpointError>>()?;
        Ok(Parameters::from_host(values, device))
    }

    /// Takes a tensor of `count` values out; one of none is not there.
    ///
    /// # Errors
    ///
    /// If it is not there or of another length.
    pub fn take_values(&mut self, name: &str, count: usize, path: &Path) -> Result<Vec<f32>, CheckpointError> {
        let values = self.tensors.remove(name).unwrap_or_default();
        if values.len() == count {
            return Ok(values);
        }
        let (path, name) = (path.to_owned(), name.to_owned());
        Err(CheckpointError::Misfit { path, name, found: values.len(), expected: count })
    }

    /// Says that all was taken out.
    ///
    /// # Errors
    ///
    /// If something was not: the network has no place for it.
    pub fn finish(self, path: &Path) -> Result<(), CheckpointError> {
        match self.tensors.into_iter().next() {
            None => Ok(()),
            Some((name, values)) => {
                Err(CheckpointError::Misfit { path: path.to_owned(), name, found: values.len(), expected: 0 })
            }
        }
    }

    /// The state.
    ///
    /// # Errors
    ///
    /// If it is not of this form; `path` is where it came from.
    pub fn state<S: DeserializeOwned>(&self, path: &Path) -> Result<S, CheckpointError> {
        serde_json::from_str(&self.state)
            .map_err(|error| CheckpointError::Damaged { path: path.to_owned(), reason: error.to_string() })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes: BTreeMap<&String, Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, values)| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).expect("bytes and shape agree");
            (name.as_str(), view)
        });
        let parts = bytes.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("version".to_owned(), VERSIONS[1].to_owned()),
            ("checksum".to_owned(), checksum(&self.state, parts)),
            ("state".to_owned(), self.state.clone()),
        ]);
        safetensors::serialize(views, Some(metadata)).expect("names and sizes are fine")
    }

    /// Reads a file that [`to_bytes`](Self::to_bytes) filled.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is cut off, is not what was written, or is something else.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        Checkpoint::parse(&bytes).map_err(|reason| CheckpointError::Damaged { path: path.to_owned(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let metadata = header.metadata().as_ref().ok_or("it has no metadata")?;
        let entry = |name: &str| metadata.get(name).map(String::as_str).ok_or(format!("it has no {name}"));
        if entry("format")? != FORMAT {
            return Err(format!("its format is not \"{FORMAT}\""));
        }
        let (version, state) = (entry("version")?, entry("state")?);
        if !VERSIONS.contains(&version) {
            return Err(format!("its version is {version}; this program reads {}", VERSIONS.join(" and ")));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let views: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
        if let Some((name, view)) = views.iter().find(|(_, view)| view.dtype() != Dtype::F32) {
            return Err(format!("{name} is of type {:?}", view.dtype()));
        }
        let parts = views.iter().map(|(name, view)| (name.as_str(), view.data()));
        if version != VERSIONS[0] && checksum(state, parts) != entry("checksum")? {
            return Err("its checksum is another".to_owned());
        }
        let values = |view: &TensorView| {
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let tensors = views.iter().map(|(name, view)| (name.clone(), values(view))).collect();
        Ok(Checkpoint { tensors, state: state.to_owned() })
    }
}

/// CRC-32 over the state and every tensor with its name, in the order of these.
fn checksum<'a>(state: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        // With its length, so that nothing can move from one part to the next.
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(state.as_bytes());
    for (name, values) in tensors {
        part(name.as_bytes());
        part(values);
    }
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let tensors = [("weights.0", vec![1.0, -2.5, 3.0]), ("weights.2", vec![0.25])];
        Checkpoint {
            tensors: tensors.map(|(name, values)| (name.to_owned(), values)).into(),
            state: "{\"epoch\":3}".to_owned(),
        }
    }

    #[test]
    fn any_bit_that_turned_is_noticed() {
        let bytes = checkpoint().to_bytes();
        assert_eq!(Checkpoint::parse(&bytes).unwrap(), checkpoint());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut turned = bytes.clone();
                turned[at] ^= 1 << bit;
                // White space in the header and the like may differ: what is read may not.
                if let Ok(read) = Checkpoint::parse(&turned) {
                    assert_eq!(read, checkpoint(), "bit {bit} of byte {at}");
                }
            }
        }
        for length in 0..bytes.len() {
            assert!(Checkpoint::parse(&bytes[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn what_was_written_before_there_were_checksums_is_read() {
        let values = 1f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &values).unwrap();
        let write = |version: &str| {
            let metadata = [("format", FORMAT), ("version", version), ("state", "{}")];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            Checkpoint::parse(&safetensors::serialize([("weights.0", &view)], Some(metadata)).unwrap())
        };
        assert_eq!(write("1").unwrap().tensors["weights.0"], [1.0]);
        assert_eq!(write("2").unwrap_err(), "it has no checksum");
        assert_eq!(write("3").unwrap_err(), "its version is 3; this program reads 1 and 2");
    }

    #[test]
    fn tensors_have_the_lengths_of_the_network() {
        let path = Path::new("step.safetensors");
        let take = |counts: &[usize]| {
            let mut checkpoint = checkpoint();
            checkpoint.take("weights", counts, path, &Device::flex())?;
            checkpoint.finish(path)
        };
        take(&[3, 0, 1]).unwrap();
        for (counts, name, found, expected) in [
            (vec![3, 2, 1], "weights.1", 0, 2),
            (vec![4, 0, 1], "weights.0", 3, 4),
            (vec![3, 0], "weights.2", 1, 0),
            (vec![3, 0, 1, 7], "weights.3", 0, 7),
        ] {
            let text = take(&counts).unwrap_err().to_string();
            assert!(text.contains(&format!("has {found} values of {name}, and that needs {expected}\n")), "{text}");
        }
    }
}
