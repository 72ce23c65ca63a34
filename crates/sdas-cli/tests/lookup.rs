//! A table of trained cells: a cell is looked up, methods are compared by it, and what is wrong with a table is said.

mod running;

use running::{printed, sdas};
use sdas::table::CellSpace;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A table of all cells in `place`: the more of its operations are convolutions of 3×3, the better is a cell, in truth and by
/// validation, and the validation column is a little off.
fn table(place: &Path) -> PathBuf {
    let space = CellSpace::nas_bench_201();
    let mut text = "index,arch,operations,valid_12,test_200,other_test,parameters,multiply_adds\n".to_owned();
    for number in 0..space.cells() {
        let cell = space.architecture(number);
        let digits: String = cell.0.iter().map(|operation| operation.to_string()).collect();
        let convolutions = cell.0.iter().filter(|&&operation| operation == 3).count();
        let truth = 30 + 10 * convolutions;
        let validation = truth as f64 - 0.01 * f64::from(cell.0[0] % 2);
        let sizes = format!("{},{}", 1000 + 100 * convolutions, 1_000_000 * (1 + convolutions));
        text += &format!("{number},{},{digits},{validation},{truth},{},{sizes}\n", space.text(&cell), 100 - truth);
    }
    let path = place.join("cells.csv");
    fs::write(&path, text).unwrap();
    path
}

const CELL: &str = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|";

#[test]
fn a_cell_is_looked_up_in_every_column() {
    let place = tempfile::tempdir().unwrap();
    let path = table(place.path());
    let path = path.to_str().unwrap();
    // One of 6 edges is no 3x3 convolution: one cell is better, and 24 are as good; of validation, odd first edges are 0.01 off.
    let expected = format!(
        "{CELL}\n\n\
         column         value  regret    rank      of\n\
         valid_12       79.99   10.00       5  15,625\n\
         test_200       80.00   10.00       2  15,625\n\
         other_test     20.00   50.00  15,601  15,625\n\n\
         parameters         1,500\n\
         multiply-adds  6,000,000\n"
    );
    assert_eq!(printed(&["lookup", CELL, "--table", path]), expected);
    let json = printed(&["lookup", CELL, "--table", path, "--column", "test_200", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["accuracies"][0]["value"], &json["accuracies"][1]), (&80.0.into(), &Value::Null));
}

#[test]
fn what_cannot_be_looked_up_is_said() {
    let place = tempfile::tempdir().unwrap();
    let path = table(place.path());
    let refused = |arguments: &[&str]| {
        let output = sdas(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        text
    };
    let name = path.to_str().unwrap();
    assert!(
        refused(&["lookup", CELL, "--table", name, "--column", "x"]).contains("it has valid_12, test_200, other_test")
    );
    assert!(refused(&["lookup", "|conv~0|", "--table", name]).contains("unknown operation \"conv\""));
    let cut = place.path().join("cut.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&cut, text.lines().take(15_001).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let told = refused(&["lookup", CELL, "--table", cut.to_str().unwrap()]);
    assert!(
        told.contains("lacks 625 of its space's 15625 cells, such as |avg_pool_3x3~0|+|avg_pool_3x3~0|none~1|"),
        "{told}"
    );
}

#[test]
fn searches_that_ask_the_table_are_compared_by_it() {
    let place = tempfile::tempdir().unwrap();
    let (path, out) = (table(place.path()), place.path().join("all"));
    let [path, out] = [&path, &out].map(|path| path.to_str().unwrap());
    let compare = |more: &[&str]| {
        let methods = "predictor,evolution,many,random";
        let set = "methods.many.table={ kind = \"best_of\", questions = 15625 }";
        let arguments = ["compare", "--table", path, "--out", out, "--methods", methods, "--set", set, "--seeds", "3"];
        printed(&[&arguments[..], more].concat())
    };
    let text = compare(&[]);
    assert!(text.contains("truth.md") && text.contains("trajectory.svg"), "{text}");
    let report: Value = serde_json::from_str(&compare(&["--json"])).unwrap();
    let mean = |method: usize| report["methods"][method]["accuracy"]["mean"].as_f64().unwrap();
    // The best of all, and the mean of all cells: 30 + 10 · 6/5.
    assert_eq!(mean(2), 90.0);
    assert!((mean(3) - 42.0).abs() < 1e-9);
    assert!(mean(0) > 80.0 && mean(1) > 60.0, "{text}");
    let other: Value = serde_json::from_str(&compare(&["--json", "--column", "other_test"])).unwrap();
    // What is found is the same, whatever is the truth.
    for (run, other) in report["runs"].as_array().unwrap().iter().zip(other["runs"].as_array().unwrap()) {
        assert_eq!(run["architecture"], other["architecture"]);
        assert_eq!(run["truth"]["value"].as_f64().unwrap() + other["truth"]["value"].as_f64().unwrap(), 100.0);
    }
    let output = sdas(&["compare", "--methods", "evolution", "--out", out]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("evolution asks a table of trained cells; give one with --table FILE"), "{told}");
}
