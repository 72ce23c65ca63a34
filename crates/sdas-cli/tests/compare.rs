//! A comparison: searched, trained, measured, gone on with, refused.

mod running;

use running::{printed, sdas};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A comparison of tiny runs in `out`, with more arguments.
fn compare<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let settings = [
        "data.shapes.train=80",
        "data.shapes.test=30",
        "data.size=16",
        "search.epochs=2",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
        "train.epochs=1",
        "train.channels=2",
        "train.cells=3",
        "train.batch=10",
        "methods.late.search.schedule.kind=linear",
        "methods.late.search.schedule.start=0.6",
        "methods.late.search.schedule.end=0.9",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    ["compare", "shapes", "--out", out].into_iter().chain(settings).chain(more.iter().copied()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_comparison_is_made_of_ordinary_runs_and_goes_on_where_it_stopped() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("all");
    let name = out.to_str().unwrap();
    let methods = ["--methods", "sdas,das,random,late"];
    let first = printed(&compare(name, &[&methods[..], &["--seeds", "1"]].concat()));
    assert!(first.contains("undecided: sdas finds more accurate networks than das"), "{first}");

    // One more seed adds to what is there.
    let before = json(&out.join("compare.json"));
    let text = printed(&compare(name, &[&methods[..], &["--seeds", "2", "--json"]].concat()));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report, json(&out.join("compare.json")));
    let runs = report["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| format!("{} {}", run["method"].as_str().unwrap(), run["seed"])).collect();
    assert_eq!(names, ["sdas 1", "sdas 2", "das 1", "das 2", "random 1", "random 2", "late 1", "late 2"]);
    assert_eq!((&runs[0], &runs[2], &runs[4]), (&before["runs"][0], &before["runs"][1], &before["runs"][2]));
    for file in ["compare.csv", "compare.md", "accuracy.svg", "course.svg"] {
        assert!(fs::metadata(out.join(file)).unwrap().len() > 200, "{file}");
    }

    // Its parts are what the other commands would have done.
    let run = out.join("das/seed2/train");
    let measured: Value = serde_json::from_str(&printed(&["eval", run.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(measured["top1"], runs[3]["accuracy"]);
    let alone = place.path().join("alone");
    let config = out.join("late/seed2/search/config.toml");
    printed(&["search", config.to_str().unwrap(), "--out", alone.to_str().unwrap()]);
    let cell = |run: &Path| json(&run.join("genotype.json"));
    assert_eq!(cell(&alone), cell(&out.join("late/seed2/search")));
    assert_eq!(cell(&out.join("random/seed1/train"))["origin"]["method"], "random");
    assert!(!out.join("random/seed1/search").exists());

    // As if killed: at the end of a training, before a measurement, and before a run had begun.
    fs::remove_file(out.join("das/seed1/train/result.json")).unwrap();
    fs::remove_file(out.join("late/seed1/train/evaluation.json")).unwrap();
    fs::remove_dir_all(out.join("random/seed2/train")).unwrap();
    fs::create_dir_all(out.join("random/seed2/train/checkpoints")).unwrap();
    let output = sdas(&compare(name, &[&methods[..], &["--seeds", "2", "--json"]].concat()));
    let told = String::from_utf8(output.stderr).unwrap();
    for part in ["das, seed 1: training", "late, seed 1: test", "random, seed 2: training"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains(": search"), "{told}");
    // The last of the eight is done: nothing is left to be done after it.
    let measured: Vec<&str> = told.lines().filter(|line| line.contains("on the test set")).collect();
    assert!(measured[1].contains("on the test set; about ") && measured[7].ends_with("on the test set"), "{told}");
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (before, after) in runs.iter().zip(again["runs"].as_array().unwrap()) {
        for key in ["accuracy", "train_accuracy", "parameters", "cell", "search"] {
            assert_eq!(before[key], after[key], "{} {}: {key}", before["method"], before["seed"]);
        }
    }

    // What a search does not depend on may change without another search.
    let other = out.join("das/seed1/train");
    fs::remove_dir_all(&other).unwrap();
    let output = sdas(&compare(name, &["--methods", "das", "--seeds", "1", "--set", "train.epochs=2"]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("das, seed 1: training") && !told.contains(": search"), "{told}");

    // A training is of the cell that its search found.
    fs::copy(out.join("random/seed1/train/genotype.json"), out.join("sdas/seed1/train/genotype.json")).unwrap();
    let output = sdas(&compare(name, &["--methods", "sdas", "--seeds", "1"]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("sdas/seed1/train was made with genotype = Genotype("), "{told}");
}

#[test]
fn parts_side_by_side_come_to_the_same() {
    let place = tempfile::tempdir().unwrap();
    let report = |name: &str, more: &[&str]| {
        let out = place.path().join(name);
        let more = [&["--methods", "sdas,das,random", "--seeds", "2", "--json"], more].concat();
        let report: Value = serde_json::from_str(&printed(&compare(out.to_str().unwrap(), &more))).unwrap();
        assert_eq!(report, json(&out.join("compare.json")));
        let runs = report["runs"].as_array().unwrap().clone();
        runs.into_iter().map(|run| ["method", "seed", "accuracy", "genotype"].map(|key| run[key].clone()))
    };
    assert!(report("apart", &["--parallel", "3"]).eq(report("one", &[])));
    let log = fs::read_to_string(place.path().join("apart/das/seed2/log.txt")).unwrap();
    assert!(log.contains("das, seed 2: training"), "{log}");
}

#[test]
fn parts_that_fail_do_so_in_their_own_words() {
    let place = tempfile::tempdir().unwrap();
    let (out, data) = (place.path().join("all"), place.path().join("nowhere"));
    let arguments = ["compare", "folder", "--parallel", "2", "--methods", "sdas,das", "--seeds", "1"];
    let paths = ["--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = sdas(&[&arguments[..], &paths].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let (_, error) = told.split_once("error: 2 of 2 parts failed").unwrap();
    for method in ["sdas", "das"] {
        assert!(
            error.contains(&format!("\n{method}:1: ")) && error.contains(&format!("{method}/seed1/log.txt")),
            "{told}"
        );
    }
    assert_eq!(error.matches("nowhere is not a data set").count(), 2, "{told}");

    // Here, for the one reason that all have.
    let output = sdas(&[&["compare", "folder", "--methods", "sdas,das", "--seeds", "1"][..], &paths].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("\nsdas:1, das:1: ") && output.status.code() == Some(1), "{told}");
}

#[test]
fn what_makes_no_comparison_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("all");
    let name = out.to_str().unwrap();
    let refused = |more: &[&str]| {
        let output = sdas(&compare(name, more));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {text}");
        text
    };
    assert!(refused(&["--methods", "sdas,nas"]).contains("there is no method \"nas\"; there are late, sdas, das"));
    assert!(refused(&["--methods", "sdas,das,sdas"]).contains("sdas is named twice"));
    assert!(refused(&["--set", "methods.x.search.epoch=3"]).contains("method x: search.epoch: unknown field `epoch`"));
    assert!(refused(&["--set", "search.schedule.kind=at_end"]).contains("`sdas` would be `das`"));
    assert!(!out.exists());
    printed(&compare(name, &["--methods", "random", "--seeds", "1"]));
    let other = refused(&["--methods", "random", "--seeds", "1", "--set", "train.epochs=2"]);
    assert!(other.contains("random/seed1/train was made with train.epochs = 1, but now it would be 2"), "{other}");
}
