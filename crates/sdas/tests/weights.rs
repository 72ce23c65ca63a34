//! A training that begins with the weights of another.

use sdas::architecture::Architecture;
use sdas::device;
use sdas::recipe::Recipe;
use sdas::run::{Checkpoint, Context, Event, Observer, RunError};
use std::path::Path;
use std::sync::atomic::AtomicBool;

struct Notes(Vec<String>);

impl Observer for Notes {
    fn notice(&mut self, event: &Event<'_>) {
        if let Event::Loaded { taken, differences, .. } = event {
            self.0.push(taken.to_string());
            self.0.extend(differences.iter().map(ToString::to_string));
        }
    }
}

/// Trains a network on tiny pictures, and says what was told of the weights that it began with.
fn train(network: &str, folder: &Path, own: &[String]) -> Result<Vec<String>, RunError> {
    let settings = [
        "data.shapes.train=40",
        "data.shapes.test=20",
        "data.size=16",
        "train.epochs=1",
        "train.channels=2",
        "train.cells=3",
        "train.batch=10",
        "train.width=0.25",
    ];
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).chain(own.to_vec()).collect();
    let recipe = Recipe::resolve("shapes", &settings).unwrap();
    let mut notes = Notes(Vec::new());
    let stop = AtomicBool::new(false);
    let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
    sdas::train::train(recipe, &Architecture::resolve(network).unwrap(), folder, context)?;
    Ok(notes.0)
}

fn initial(path: &Path) -> String {
    format!("train.initial={:?}", path.to_str().unwrap())
}

/// A rate of nothing leaves the weights as they were.
const STILL: &str = "train.weights.rate=0";

fn last(folder: &Path) -> Checkpoint {
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Checkpoint::read(files.last().unwrap()).unwrap()
}

#[test]
fn a_training_goes_on_with_the_weights_of_another() {
    let place = tempfile::tempdir().unwrap();
    for network in ["darts_v2", "resnet20"] {
        let [first, second] = ["first", "second"].map(|name| place.path().join(format!("{network}-{name}")));
        // What is measured of it is its average, which is what another begins with.
        train(network, &first, &["train.average=0.5".to_owned()]).unwrap();
        let told = train(network, &second, &[initial(&first), STILL.to_owned()]).unwrap();
        assert_eq!(told.len(), 1, "{network}: {told:?}");
        let tensors = |checkpoint: Checkpoint, prefix: &str| {
            let own = checkpoint
                .tensors
                .into_iter()
                .filter_map(|(name, values)| Some((name.strip_prefix(prefix)?.to_owned(), values)));
            own.collect::<std::collections::BTreeMap<_, _>>()
        };
        let before = tensors(last(&first), "average.weights.");
        assert!(before.len() > 5 && before == tensors(last(&second), "weights."), "{network}");
    }
    // Another network's, a search's, and none at all.
    let other = train("resnet56", &place.path().join("other"), &[initial(&place.path().join("resnet20-first"))]);
    let error = other.unwrap_err().to_string();
    assert!(error.contains("resnet20-first holds the weights of another network: it lacks layer1.3."), "{error}");
    let none = train("resnet20", &place.path().join("none"), &[initial(&place.path().join("nothing"))]);
    assert!(none.unwrap_err().to_string().contains("weights are read from .safetensors, .pth, .pt and .bin files"));
    assert!(!place.path().join("other").exists() && !place.path().join("none").exists());
}
