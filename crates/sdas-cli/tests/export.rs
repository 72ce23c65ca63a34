//! What a user sees who takes a network elsewhere.

mod running;

use running::{printed, sdas};
use std::path::Path;

fn refused(arguments: &[&str]) -> String {
    let output = sdas(arguments);
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_network_by_name_is_written_as_a_training_begins_it() {
    let place = tempfile::tempdir().unwrap();
    let file = text(&place.path().join("net.onnx"));
    let export = |options: &[&str]| printed(&[&["export", "resnet20", "--to", "onnx", "-o", &file], options].concat());
    let said = export(&["--width", "0.5", "--classes", "7"]);
    assert!(said.contains("weights   not trained: as a training with seed 1 begins"), "{said}");
    assert!(
        said.contains("reads     input float32 [batch, 3, height, width]\ngives     logits float32 [batch, 7]"),
        "{said}"
    );
    assert!(said.contains("next:\n  python -c \"import numpy, onnxruntime; "), "{said}");
    let first = std::fs::read(&file).unwrap();
    export(&["--width", "0.5", "--classes", "7", "--seed", "2"]);
    let other = std::fs::read(&file).unwrap();
    assert!(first.len() == other.len() && first != other, "another seed is other weights");
    let json: serde_json::Value = serde_json::from_str(&export(&["--external-data", "--json"])).unwrap();
    let bytes = |at: usize| json["files"][at]["bytes"].as_u64().unwrap();
    assert_eq!(json["files"][1]["file"], format!("{file}.data"));
    assert!(bytes(1) > 4 * 250_000 && bytes(0) < bytes(1) / 10, "{json}");
    assert_eq!(std::fs::metadata(format!("{file}.data")).unwrap().len(), bytes(1));
    // Nothing else is left there.
    assert_eq!(place.path().read_dir().unwrap().count(), 2);
    let refused = |options: &[&str]| refused(&[&["export", "resnet20", "-o", &file], options].concat());
    assert!(refused(&["--to", "onnx", "--with-preprocessing"]).contains("remedy: export the run of a training"));
    assert!(refused(&["--to", "safetensors", "--half"]).contains("--half is for --to onnx"));
    assert!(refused(&["--to", "onnx", "--layers", "3"]).contains("--layers is for networks of cells"));
    assert!(refused(&["--to", "genotype"]).contains("neither a file nor a published cell"));
    for format in ["onnx", "pytorch", "safetensors"] {
        let said = refused(&["--to", format, "--frames", "4"]);
        assert!(said.contains("a network for pictures reads 1 frame; `tsn_` before its name"), "{said}");
    }
}

#[test]
fn a_cell_is_written_as_the_literature_of_its_space_does() {
    let place = tempfile::tempdir().unwrap();
    let file = text(&place.path().join("cell.txt"));
    let nb201 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|";
    for (cell, begins) in [("darts_v2", "Genotype(normal=[('sep_conv_3x3', 0), "), (nb201, nb201)] {
        printed(&["export", cell, "--to", "genotype", "-o", &file]);
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.starts_with(begins) && written.lines().count() == 1, "{written}");
        assert_eq!(printed(&["draw", &file]), printed(&["draw", cell]));
    }
}

/// A training's network, and a search's once it has decided all.
#[test]
fn runs_are_written_as_they_were_trained() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&place.path().join(name));
    let (trained, searched, file) = (path("trained"), path("searched"), path("net.onnx"));
    let small = ["--set", "data.shapes.train=60", "--set", "data.shapes.test=20"];
    let train =
        ["train", "resnet20", "shapes", "--out", &trained, "--set", "train.epochs=1", "--set", "train.width=0.25"];
    printed(&[&train[..], &["--set", "train.batch=20"], &small].concat());
    let export = ["export", &trained, "--to", "onnx", "-o", &file];
    let said = printed(&[&export[..], &["--with-preprocessing"]].concat());
    assert!(said.contains("reads     pixels uint8 [batch, height, width, 3]\ngives     probabilities"), "{said}");
    assert!(said.contains(&format!("weights   those of {trained}")), "{said}");
    assert!(
        refused(&[&export[..], &["--classes", "3"]].concat()).contains("--classes is for a network without training")
    );
    assert!(refused(&["export", &trained, "--to", "genotype", "-o", &file]).contains("has no cells"));

    let search =
        ["search", "shapes-das", "--out", &searched, "--set", "search.epochs=2", "--set", "search.alpha_warmup=0"];
    let sizes = ["--set", "search.channels=2", "--set", "search.cells=3", "--set", "search.batch=10"];
    printed(&[&search[..], &sizes, &small].concat());
    let export = ["export", &searched, "--to", "onnx", "-o", &file];
    assert!(printed(&export).contains("of a cell of the space image"));
    // As after its first epoch, when nothing was decided.
    let checkpoints = place.path().join("searched/checkpoints");
    let mut written: Vec<_> = checkpoints.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    written.sort();
    std::fs::remove_file(written.last().unwrap()).unwrap();
    let said = refused(&export);
    assert!(said.contains("has 28 of 28 edges left to decide") && said.contains("--resume"), "{said}");
}
