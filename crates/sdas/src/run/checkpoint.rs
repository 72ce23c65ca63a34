//! Checkpoints: everything a run needs to go on bit for bit, in one safetensors file.

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
}

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

    /// Takes parameters of `slots` slots from under `prefix`.
    pub fn take(&mut self, prefix: &str, slots: usize, device: &Device) -> Parameters {
        let values = (0..slots).map(|slot| self.tensors.remove(&format!("{prefix}.{slot}"))).collect();
        Parameters::from_host(values, device)
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
        let metadata = HashMap::from([
            ("format".to_owned(), "sdas-checkpoint".to_owned()),
            ("version".to_owned(), "1".to_owned()),
            ("state".to_owned(), self.state.clone()),
        ]);
        safetensors::serialize(views, Some(metadata)).expect("names and sizes are fine")
    }

    /// Reads a file that [`to_bytes`](Self::to_bytes) filled.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is cut off, or is something else.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let metadata = header.metadata().as_ref().ok_or_else(|| damaged("it has no metadata".to_owned()))?;
        if metadata.get("format").map(String::as_str) != Some("sdas-checkpoint") {
            return Err(damaged("its format is not \"sdas-checkpoint\"".to_owned()));
        }
        let state = metadata.get("state").ok_or_else(|| damaged("it has no state".to_owned()))?.clone();
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let tensors = file
            .iter()
            .map(|(name, view)| {
                let values = view.data().chunks_exact(4);
                (name.to_owned(), values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            })
            .collect();
        Ok(Checkpoint { tensors, state })
    }
}
