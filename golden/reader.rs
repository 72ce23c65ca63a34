//! Reads the golden files: numbers from PyTorch that the project's own numbers are held against. Test files of several
//! crates include this one.
//!
//! The few files kept beside this one are always read. The full set lies outside the project, in the folder that
//! `SDAS_GOLDEN` names or in `../shared/golden`; `seeds.sh` makes new ones for seeds that nobody chose.
#![allow(dead_code)] // no test file uses all of it

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A tensor of a golden file, row-major.
#[derive(Debug, Clone)]
pub struct Golden {
    /// Size along every axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Values,
}

/// Elements of a golden tensor.
#[derive(Debug, Clone)]
pub enum Values {
    /// Activations, weights, gradients.
    Single(Vec<f32>),
    /// Results computed in double precision.
    Double(Vec<f64>),
    /// Class indices.
    Integer(Vec<i64>),
}

/// A golden file.
#[derive(Debug)]
pub struct Case {
    /// The file's name without its extension.
    pub name: String,
    /// What the file says of itself.
    pub case: serde_json::Value,
    tensors: BTreeMap<String, Golden>,
}

impl Case {
    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it is not a golden file; a test can do nothing with it then.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a golden file is a safetensors file");
        let case =
            header.metadata().as_ref().and_then(|metadata| metadata.get("case")).expect("a golden file has a case");
        let file = SafeTensors::deserialize(&bytes).expect("a golden file is a safetensors file");
        let tensors = file.iter().map(|(name, view)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => {
                    Values::Single(data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
                }
                Dtype::F64 => {
                    Values::Double(data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect())
                }
                Dtype::I64 => {
                    Values::Integer(data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect())
                }
                other => panic!("{}: {name} holds {other:?}", path.display()),
            };
            (name.to_owned(), Golden { shape: view.shape().to_vec(), values })
        });
        Case {
            name: path.file_stem().expect("a file has a name").to_string_lossy().into_owned(),
            case: serde_json::from_str(case).expect("a case is JSON"),
            tensors: tensors.collect(),
        }
    }

    /// Names of the tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether its results were computed in double precision.
    pub fn is_double(&self) -> bool {
        self.case["double"] == true
    }

    /// Whether there is a tensor called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Shape and elements of a tensor in single precision.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn floats(&self, name: &str) -> (&[usize], &[f32]) {
        match self.tensor(name) {
            Golden { shape, values: Values::Single(values) } => (shape, values),
            _ => panic!("{}: {name} is not in single precision", self.name),
        }
    }

    /// Elements of a tensor in single or double precision.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn doubles(&self, name: &str) -> Vec<f64> {
        match &self.tensor(name).values {
            Values::Single(values) => values.iter().map(|&value| value.into()).collect(),
            Values::Double(values) => values.clone(),
            Values::Integer(_) => panic!("{}: {name} holds integers", self.name),
        }
    }

    /// Shape and elements of a tensor of integers.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn integers(&self, name: &str) -> (&[usize], &[i64]) {
        match self.tensor(name) {
            Golden { shape, values: Values::Integer(values) } => (shape, values),
            _ => panic!("{}: {name} holds no integers", self.name),
        }
    }

    fn tensor(&self, name: &str) -> &Golden {
        self.tensors.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }
}

/// The files whose names start with `prefix`, in order: the kept ones, and those of the full set where there is one.
///
/// # Panics
///
/// If there are none: a comparison with nothing proves nothing.
pub fn files(prefix: &str) -> Vec<PathBuf> {
    let mut folders = vec![kept(), folder()];
    folders.dedup();
    let mut files = Vec::new();
    for folder in &folders {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        files.extend(
            entries
                .map(|entry| entry.expect("a folder can be listed").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
                .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))),
        );
    }
    files.sort();
    assert!(!files.is_empty(), "{} holds no golden file {prefix}*", folders[0].display());
    files
}

/// Where the golden files lie.
pub fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SDAS_GOLDEN") {
        return folder.into();
    }
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    if shared.is_dir() { shared } else { kept() }
}

/// Where the few files lie that are kept in the project.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden")
}

/// ‖ours − golden‖ / ‖golden‖, or ‖ours‖ where the golden tensor is zero.
///
/// # Panics
///
/// If the numbers of elements differ.
pub fn relative_error<T: Copy + Into<f64>>(ours: &[T], golden: &[T]) -> f64 {
    assert_eq!(ours.len(), golden.len(), "tensors of different sizes");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut ours.iter().zip(golden).map(|(&a, &b)| a.into() - b.into()));
    let size = norm(&mut golden.iter().map(|&b| b.into()));
    if size == 0.0 { difference } else { difference / size }
}
