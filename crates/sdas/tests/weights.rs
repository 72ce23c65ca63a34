//! Trainings that begin with the weights of another, and networks that are measured with them.

use sdas::architecture::Architecture;
use sdas::device;
use sdas::evaluate::{Evaluation, Examinee, Weighed, evaluate};
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

/// Small networks and tiny pictures.
fn recipe(own: &[String]) -> Recipe {
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
    Recipe::resolve("shapes", &settings).unwrap()
}

/// Trains a network on tiny pictures, and says what was told of the weights that it began with.
fn train(network: &str, folder: &Path, own: &[String]) -> Result<Vec<String>, RunError> {
    let mut notes = Notes(Vec::new());
    let stop = AtomicBool::new(false);
    let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
    sdas::train::train(recipe(own), &Architecture::resolve(network).unwrap(), folder, context)?;
    Ok(notes.0)
}

/// A network on the test set, but for the time.
fn measure(examinee: Examinee) -> Result<Evaluation, RunError> {
    let stop = AtomicBool::new(false);
    let context = Context { device: device::choose("cpu").unwrap(), observer: &mut Notes(Vec::new()), stop: &stop };
    let evaluation = evaluate(&[Weighed { examinee, share: 1.0 }], None, context)?;
    Ok(Evaluation { seconds_per_view: 0.0, ..evaluation })
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

#[test]
fn an_auxiliary_head_is_left_to_chance_and_not_needed_to_measure() {
    let place = tempfile::tempdir().unwrap();
    let [plain, headed] = ["plain", "headed"].map(|name| place.path().join(name));
    // The head sees something of pictures of that size.
    let sized = "data.size=32".to_owned();
    train("darts_v2", &plain, std::slice::from_ref(&sized)).unwrap();
    let told =
        train("darts_v2", &headed, &[sized, "train.auxiliary=0.4".to_owned(), STILL.to_owned(), initial(&plain)]);
    let told = told.unwrap();
    assert!(told.len() > 5 && told[1..].iter().all(|line| line.starts_with("it lacks aux.")), "{told:?}");
    let with = |folder: &Path, weights: &Path| {
        measure(Examinee::Run { folder: folder.to_owned(), weights: Some(weights.to_owned()) }).unwrap()
    };
    assert_eq!(with(&headed, &plain), measure(Examinee::run(&plain)).unwrap());
    // Nor is it in the way where there is none.
    assert_eq!(with(&plain, &headed), measure(Examinee::run(&headed)).unwrap());
}

#[test]
fn networks_are_measured_with_the_weights_of_others() {
    let place = tempfile::tempdir().unwrap();
    let of = |name: &str| place.path().join(name);
    for network in ["darts_v2", "resnet20"] {
        let [first, second] = ["first", "second"].map(|name| of(&format!("{network}-{name}")));
        train(network, &first, &["train.epochs=2".to_owned()]).unwrap();
        train(network, &second, &["train.seed=2".to_owned()]).unwrap();
        let [own, other] = [&first, &second].map(|folder| measure(Examinee::run(folder)).unwrap());
        assert_ne!(own.loss, other.loss, "{network}");
        let given = Examinee::Run { folder: second, weights: Some(first.clone()) };
        assert_eq!(measure(given).unwrap(), own, "{network}");
        let architecture = Architecture::resolve(network).unwrap();
        let given = Examinee::Network { architecture, recipe: Box::new(recipe(&[])), weights: first };
        assert_eq!(measure(given).unwrap(), own, "{network}");
    }
    // A classifier of other classes is another network here, which says both shapes; nothing is left to chance.
    let fewer =
        ["data.size=16", "data.motion.train=16", "data.motion.test=16", "data.clip.frames=1", "train.width=0.25"];
    let fewer = Recipe::resolve("motion", &fewer.map(String::from)).unwrap();
    let examinee = |network: &str, weights: &str, recipe: Recipe| Examinee::Network {
        architecture: Architecture::resolve(network).unwrap(),
        recipe: Box::new(recipe),
        weights: of(weights),
    };
    let error = measure(examinee("resnet20", "resnet20-first", fewer)).unwrap_err().to_string();
    assert!(error.contains("resnet20-first holds weights for 10 classes, but the data has 8 classes"), "{error}");
    let error = measure(examinee("resnet56", "resnet20-first", recipe(&[]))).unwrap_err().to_string();
    assert!(error.contains("it lacks layer1.3.bn1.bias, [4]"), "{error}");
    let error = measure(examinee("resnet20", "darts_v2-first", recipe(&[]))).unwrap_err().to_string();
    assert!(error.contains("darts_v2-first holds the weights of another network"), "{error}");
}
