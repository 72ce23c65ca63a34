//! What whoever runs a network elsewhere has to know of it, as text by key.

use super::{Numbers, Subject};
use crate::architecture::Architecture;
use sdas_data::Normalization;

/// The key of the classes' names, a list of JSON.
pub(crate) const CLASSES: &str = "sdas.classes";

impl Subject {
    /// Keys and values: what the network is and reads, its classes, what pixels are normalised by. Lists are JSON.
    pub fn metadata(&self) -> Vec<(String, String)> {
        let list = |values: &[f32]| format!("{values:?}");
        let mut entries = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        match &self.architecture {
            Architecture::Cell(genotype) => {
                entries.extend([("genotype", genotype.to_text()), ("space", genotype.space.to_string())]);
            }
            Architecture::Network(network) => entries.push(("network", network.name())),
        }
        if let Some(shape) = &self.shape {
            entries.extend([("channels", shape.channels.to_string()), ("cells", shape.cells.to_string())]);
        }
        let [frames, height, width] = self.extent;
        entries.push(("size", format!("[{frames}, {height}, {width}]")));
        if let Some(seen) = &self.seen {
            let of = match seen.clip.normalization {
                Normalization::Dataset => "dataset",
                Normalization::PerClip => "per_clip",
            };
            entries.extend([("mean", list(&seen.statistics.mean)), ("std", list(&seen.statistics.std))]);
            entries.push(("normalization", of.to_owned()));
            entries.extend([("stride", seen.clip.stride.to_string()), ("stack", seen.clip.stack.to_string())]);
        }
        entries.push(match &self.numbers {
            Numbers::Run(_) => ("weights", "trained".to_owned()),
            Numbers::Initial(seed) => ("weights", format!("initial, seed {seed}")),
        });
        let entries = entries.into_iter().map(|(key, value)| (format!("sdas.{key}"), value));
        let classes = serde_json::to_string(&self.classes).expect("names are JSON");
        entries.chain([(CLASSES.to_owned(), classes)]).collect()
    }
}
