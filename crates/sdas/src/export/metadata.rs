//! What whoever runs a network elsewhere has to know of it, as text by key.

use super::{Numbers, Subject};
use crate::architecture::Architecture;

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
        entries.push(("classes", serde_json::to_string(&self.classes).expect("names are JSON")));
        if let Some(seen) = &self.seen {
            entries.extend([("mean", list(&seen.statistics.mean)), ("std", list(&seen.statistics.std))]);
        }
        entries.push(match &self.numbers {
            Numbers::Run(_) => ("weights", "trained".to_owned()),
            Numbers::Initial(seed) => ("weights", format!("initial, seed {seed}")),
        });
        entries.into_iter().map(|(key, value)| (format!("sdas.{key}"), value)).collect()
    }
}
