//! What a user sees who goes on with a network in PyTorch, and comes back.

mod running;

use running::{printed, sdas};
use serde_json::Value;
use std::path::Path;

const TINY: [&str; 8] = [
    "data.shapes.train=40",
    "data.shapes.test=20",
    "data.size=16",
    "train.epochs=1",
    "train.batch=10",
    "train.channels=2",
    "train.cells=3",
    "train.width=0.25",
];

fn set() -> Vec<&'static str> {
    TINY.iter().flat_map(|setting| ["--set", *setting]).collect()
}

/// The mean loss on the test set.
fn loss(arguments: &[&str]) -> f64 {
    let text = printed(&[&["eval", "--json"], arguments].concat());
    serde_json::from_str::<Value>(&text).unwrap()["loss"].as_f64().unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = sdas(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_network_goes_to_pytorch_and_its_weights_come_back() {
    let place = tempfile::tempdir().unwrap();
    let of = |name: &str| place.path().join(name).display().to_string();
    for network in ["darts_v2", "resnet20"] {
        let [run, folder] = ["run", "pytorch"].map(|name| of(&format!("{network}-{name}")));
        printed(&[&["train", network, "shapes", "--out", &run], &set()[..]].concat());
        let told = printed(&["export", &run, "--to", "pytorch", "-o", &folder]);
        for file in ["sdas_net.py", "hubconf.py", "config.json", "model.safetensors", "README.md"] {
            assert!(Path::new(&folder).join(file).is_file() && told.contains(file), "{told}");
        }
        let config = std::fs::read_to_string(Path::new(&folder).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["classes"].as_array().unwrap().len(), 10, "{config}");
        assert!(config["mean"][0].as_f64().unwrap() > 0.1 && config["weights"] == "trained", "{config}");
        // The same numbers from the file, for the run and for the network by its name and recipe; another's are others.
        let weights = format!("{folder}/model.safetensors");
        let own = loss(&[&run]);
        assert_eq!(loss(&[&run, "--weights", &weights]), own, "{network}");
        assert_eq!(loss(&[&run, "--weights", &folder]), own, "{network}, of the folder");
        assert_eq!(loss(&[&[network, "shapes", "--weights", &weights], &set()[..]].concat()), own, "{network}");
        printed(&[&["export", network, "--to", "pytorch", "-o", &folder, "--seed", "9"][..], &sizes(network)].concat());
        assert_ne!(loss(&[&run, "--weights", &weights]), own, "{network}");
        let picture = of("picture.ppm");
        std::fs::write(&picture, [b"P6 16 16 255\n".as_slice(), &[90; 16 * 16 * 3]].concat()).unwrap();
        let ask = |named: &[&str]| printed(&[&["predict"], named, &[&picture, "--weights", &weights]].concat());
        assert_eq!(ask(&[&run]), ask(&[&set()[..], &[network, "shapes"]].concat()), "{network}");
    }
    let [cells, layers] = ["darts_v2-run", "resnet20-run"].map(of);
    let other = of("darts_v2-pytorch/model.safetensors");
    let error = refused(&["eval", &layers, "--weights", &other]);
    assert!(error.contains("holds the weights of another network: ") && error.contains(" more\n"), "{error}");
    let error = refused(&["eval", &cells, "--weights", &of("nothing.pth")]);
    assert!(error.contains("nothing.pth"), "{error}");
    let error = refused(&["eval", "resnet20"]);
    assert!(error.contains("resnet20 is a network without numbers of its own; give them by --weights"), "{error}");
    let error = refused(&["eval", &cells, "shapes", "--weights", &other]);
    assert!(error.contains("a run is measured by its own recipe: leave out the recipe"), "{error}");
    let error = refused(&["predict", "resnet20", "shapes", "--weights", &other]);
    assert!(error.contains("name a recipe after it, then the files"), "{error}");
    assert!(
        refused(&["eval", &cells, &layers, "--shares", "1,2", "--weights", &other]).contains("cannot be used with")
    );
}

/// The sizes of the runs, as options.
fn sizes(network: &str) -> [&'static str; 6] {
    match network {
        "darts_v2" => ["--channels", "2", "--layers", "3", "--size", "16"],
        _ => ["--width", "0.25", "--classes", "10", "--size", "16"],
    }
}
