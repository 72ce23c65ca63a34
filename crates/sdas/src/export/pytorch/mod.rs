//! A folder for PyTorch that needs nothing else: a module to read and go on with, its weights, and what is its own as data.
//!
//! The sources lie beside this file as Python, so that they can be read, run and checked as such. A network of cells is
//! [`cells.py`](CELLS) as it is, which builds what `config.json` says; of one that people made, `layers.py` with the class that
//! [`layers`] writes. `folder.py`, which reads the folder, follows in both.

mod config;
mod layers;
mod source;

use super::{ExportError, Numbers, Subject, Written, to_safetensors};
use crate::architecture::Architecture;
use crate::layers::{Graph, Layer, Node, ShapeError};
use crate::run::Seen;
use sdas_data::ClipSettings;
use sdas_kernels::Extent;
use serde_json::{Value, json};
use std::path::Path;

const CELLS: &str = include_str!("cells.py");
const LAYERS: &str = include_str!("layers.py");
const FOLDER: &str = include_str!("folder.py");
const HUBCONF: &str = include_str!("hubconf.py");
/// The file of the weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";
const README: &str = include_str!("README.md");

/// What stands between a source's imports, of which some are for the source alone, and what is copied.
const COPIED: &str = "# What follows goes into every folder.\n";
/// Where a network's own class goes.
const CLASS: &str = "# The network: an example here, the network's own in a folder.\n";

/// Height and width, and frames before them where there are some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axes(usize);

impl Axes {
    fn count(self) -> usize {
        self.0
    }

    fn of(self, extent: Extent) -> Vec<usize> {
        extent[3 - self.0..].to_vec()
    }
}

/// A network's files, by name.
///
/// # Errors
///
/// If its layers cannot read samples of its size.
pub fn to_pytorch(subject: &Subject, folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, ShapeError> {
    let axes = Axes(if subject.is_planar() { 2 } else { 3 });
    let shapes = subject.graph.shapes(subject.extent)?;
    let (class, num_features, own) = match (&subject.network, &subject.architecture) {
        (Some(network), Architecture::Cell(genotype)) => {
            (None, network.classifier.inputs, config::cells(network, genotype.space, axes))
        }
        _ => {
            let what = format!("{}, for {} classes", subject.text(), shapes[subject.graph.output().index()].count());
            let class = layers::class(&subject.graph, &shapes, axes.count(), &what);
            let features = class.features;
            (Some(class.source), features, Vec::new())
        }
    };
    let input_size = [&[subject.inputs][..], &axes.of(subject.extent)].concat();
    let (statistics, clip) = match &subject.seen {
        Some(Seen { statistics, clip, .. }) => ([&statistics.mean[..], &statistics.std[..]], *clip),
        None => ([&[0.0f32][..], &[1.0][..]], ClipSettings::default()),
    };
    // As often as frames are stacked.
    let [mean, std] = statistics.map(|values| values.iter().cycle().take(subject.inputs).collect::<Vec<_>>());
    let classes = shapes[subject.graph.output().index()].count();
    let mut entries: Vec<(&str, Value)> = vec![
        ("sdas", env!("CARGO_PKG_VERSION").into()),
        ("network", subject.text().into()),
        ("weights", weights(&subject.numbers).into()),
        ("input_size", json!(input_size)),
        ("mean", json!(mean)),
        ("std", json!(std)),
        ("normalization", json!(clip.normalization)),
        ("stack", clip.stack.into()),
        ("fresh", json!(clip.fresh())),
        ("num_classes", classes.into()),
        ("classes", json!(subject.classes)),
        ("num_features", num_features.into()),
        ("first_conv", first_convolution(&subject.graph).map_or("", |node| node.name.as_str()).into()),
    ];
    entries.extend(own);
    Ok(vec![
        ("sdas_net.py", module(class.as_deref()).into_bytes()),
        ("hubconf.py", HUBCONF.as_bytes().to_vec()),
        ("config.json", config::text(&entries).into_bytes()),
        (WEIGHTS, to_safetensors(subject)),
        ("README.md", readme(subject, folder, &input_size).into_bytes()),
    ])
}

/// Writes a network's folder.
///
/// # Errors
///
/// If a file cannot be written, or its layers cannot read samples of its size.
pub fn write_pytorch(subject: &Subject, folder: &Path) -> Result<Vec<Written>, ExportError> {
    let files = to_pytorch(subject, folder)?;
    let failed = |source| ExportError::Write { path: folder.to_owned(), source };
    sdas_data::whole::make_folder(folder).map_err(failed)?;
    files.into_iter().map(|(name, bytes)| Written::whole(&folder.join(name), &bytes)).collect()
}

/// The convolution that reads the samples, if nothing else does and it reads all channels together.
fn first_convolution(graph: &Graph) -> Option<&Node> {
    let mut readers = graph.nodes().iter().filter(|node| node.reads.iter().any(|read| read.index() == 0));
    let first = readers.next().filter(|_| readers.next().is_none())?;
    matches!(&first.layer, Layer::Convolution { filter, .. } if filter.groups == 1).then_some(first)
}

fn weights(numbers: &Numbers) -> String {
    match numbers {
        Numbers::Run(_) => "trained".to_owned(),
        Numbers::Initial(seed) => format!("initial, seed {seed}"),
    }
}

/// The source of `sdas_net.py`; with a class of its own for a network that people made.
fn module(class: Option<&str>) -> String {
    let network = if class.is_some() { LAYERS } else { CELLS };
    let (head, body) = network.split_once(COPIED).expect("the source says what is copied");
    let (folder_head, folder) = FOLDER.split_once(COPIED).expect("the source says what is copied");
    let title = head.lines().next().unwrap_or_default();
    // All imports but the one of a network, which is in the same file.
    let imports = folder_head.lines().skip(1).filter(|line| !line.contains("import Network"));
    let imports: Vec<&str> = imports.collect();
    let mut text = format!("{title}\n{}\n\n", imports.join("\n").trim_end());
    text += match class {
        None => body,
        Some(_) => body.split_once(CLASS).expect("the source says where the class goes").0,
    };
    text += class.unwrap_or_default();
    text + "\n" + folder
}

fn readme(subject: &Subject, folder: &Path, input_size: &[usize]) -> String {
    let sizes: Vec<String> =
        std::iter::once(1).chain(input_size.iter().copied()).map(|size| size.to_string()).collect();
    let (name, what) = match &subject.architecture {
        Architecture::Network(network) => (network.name(), "a network that people made".to_owned()),
        Architecture::Cell(genotype) => {
            ("A network of cells".to_owned(), format!("`{}` of the space `{}`", genotype.to_text(), genotype.space))
        }
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    README
        .replace("{{name}}", &name)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{what}}", &format!("{what}, {} weights", weights(&subject.numbers)))
        .replace("{{folder}}", &folder.display().to_string())
        .replace("{{shape}}", &sizes.join(", "))
}
