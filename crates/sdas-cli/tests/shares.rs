//! A comparison that several processes do parts of: which part is whose, who takes over, and who writes what it comes to.

mod running;

use running::{printed, sdas};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TINY: [&str; 12] = [
    "data.shapes.train=80",
    "data.shapes.test=30",
    "data.size=16",
    "search.channels=2",
    "search.cells=3",
    "search.batch=10",
    "search.alpha_warmup=0",
    "search.epochs=2",
    "train.epochs=1",
    "train.channels=2",
    "train.cells=3",
    "train.batch=10",
];

/// A comparison of tiny runs in `out`, with more arguments.
fn compare<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let settings = TINY.iter().flat_map(|setting| ["--set", setting]);
    let out = ["compare", "shapes", "--out", out.to_str().unwrap()];
    out.into_iter().chain(settings).chain(more.iter().copied()).collect()
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap()
}

/// What must not depend on who computed a part.
fn outcomes(out: &Path) -> Vec<[Value; 4]> {
    let keys = ["method", "seed", "accuracy", "genotype"];
    report(out)["runs"].as_array().unwrap().iter().map(|run| keys.map(|key| run[key].clone())).collect()
}

fn wait_until(child: &mut Child, moment: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !moment() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the moment came");
        assert!(Instant::now() < limit, "the moment never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn parts_are_listed_and_done_one_by_one() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("all");
    let methods = ["--methods", "das,random", "--seeds", "2"];
    let with = |more: &[&'static str]| compare(&out, &[&methods, more].concat());
    let list = || printed(&with(&["--list"]));
    assert_eq!(list(), "0  das:1     search\n1  random:1  training\n2  das:2     search\n3  random:2  training\n");
    assert!(!out.exists(), "who lists changes nothing");

    printed(&with(&["--part", "random:1"]));
    let index = |variable: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
        command.args(with(&["--part", "auto"]));
        command.env_remove("SLURM_ARRAY_TASK_ID").env_remove("JOB_COMPLETION_INDEX").env(variable, value);
        command.output().unwrap()
    };
    assert_eq!(index("SLURM_ARRAY_TASK_ID", "3").status.code(), Some(0));
    assert_eq!(list(), "0  das:1     search\n1  random:1  done\n2  das:2     search\n3  random:2  done\n");
    let listed: Value = serde_json::from_str(&printed(&with(&["--list", "--json"]))).unwrap();
    assert_eq!(listed[1], json!({ "part": 1, "method": "random", "seed": 1, "next": null }));
    assert_eq!(listed[2], json!({ "part": 2, "method": "das", "seed": 2, "next": "search" }));

    // More seeds add to the end.
    let three = compare(&out, &["--methods", "das,random", "--seeds", "3", "--list"]);
    assert!(printed(&three).starts_with(&list()));
    let none = index("JOB_COMPLETION_INDEX", "4");
    assert_eq!(none.status.code(), Some(2));
    assert!(told(&none).contains("4 is none of the 4 parts of this comparison, counted from 0"), "{}", told(&none));

    assert_eq!(index("JOB_COMPLETION_INDEX", "0").status.code(), Some(0));
    assert_eq!(report(&out)["runs"].as_array().unwrap().len(), 3);
    let last = printed(&with(&["--part", "2"]));
    assert!(last.contains("written to"), "who is last says what it comes to: {last}");
    assert_eq!(report(&out)["runs"].as_array().unwrap().len(), 4);
    // What is done is not done again.
    let again = sdas(&with(&["--part", "2"]));
    assert!(again.status.success() && !told(&again).contains(": search"), "{}", told(&again));
}

/// One takes what is left, and leaves when that is nothing; the other waits for it, and has the whole report.
#[test]
fn workers_do_no_part_twice() {
    let place = tempfile::tempdir().unwrap();
    let [alone, shared] = ["alone", "shared"].map(|name| place.path().join(name));
    let methods = ["--methods", "sdas,das,random", "--seeds", "2"];
    printed(&compare(&alone, &methods));
    let workers = [
        start(&compare(&shared, &[&methods[..], &["--part", "left"]].concat())),
        start(&compare(&shared, &methods)),
        start(&compare(&shared, &[&methods[..], &["--part", "left"]].concat())),
    ];
    let ended = workers.map(|worker| worker.wait_with_output().unwrap());
    let all: String = ended.iter().map(told).collect();
    assert!(ended.iter().all(|ended| ended.status.success()), "{all}");
    assert!(String::from_utf8_lossy(&ended[1].stdout).contains("written to"), "{all}");
    for (method, stage) in [("sdas", "search"), ("das", "search"), ("random", "training")] {
        for seed in [1, 2] {
            let begun = all.lines().filter(|line| line.ends_with(&format!(" {method}, seed {seed}: {stage}")));
            assert_eq!(begun.count(), 1, "{method}, seed {seed}: {all}");
        }
    }
    assert_eq!(outcomes(&shared), outcomes(&alone));
}

#[cfg(unix)]
#[test]
fn what_a_killed_worker_leaves_is_taken_over() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = tempfile::tempdir().unwrap();
    let [alone, shared] = ["alone", "shared"].map(|name| place.path().join(name));
    let methods = ["--methods", "das", "--seeds", "1", "--set", "search.epochs=16"];
    printed(&compare(&alone, &methods));
    let left = compare(&shared, &[&methods[..], &["--part", "left"]].concat());
    let mut worker = start(&left);
    let checkpoints = shared.join("das/seed1/search/checkpoints");
    let is_there = |file: fs::DirEntry| file.path().extension().is_some_and(|name| name == "safetensors");
    wait_until(&mut worker, || {
        fs::read_dir(&checkpoints).is_ok_and(|mut files| files.any(|file| is_there(file.unwrap())))
    });
    // It stands still and has its lock, however long the others take.
    kill_process(Pid::from_child(&worker), Signal::STOP).unwrap();
    let second = sdas(&left);
    assert_eq!(second.status.code(), Some(0), "nothing is left for it: {}", told(&second));
    assert!(
        told(&second).contains(&format!("das, seed 1, is left to process {} on ", worker.id())),
        "{}",
        told(&second)
    );
    let busy = sdas(&compare(&shared, &[&methods[..], &["--part", "0"]].concat()));
    assert_eq!(busy.status.code(), Some(3), "{}", told(&busy));
    worker.kill().unwrap();
    worker.wait().unwrap();
    let third = sdas(&left);
    assert!(third.status.success() && told(&third).contains(" epochs of 4 steps, "), "{}", told(&third));
    assert_eq!(outcomes(&shared), outcomes(&alone));
}

#[test]
fn a_part_that_fails_is_named_and_stops_no_other() {
    let place = tempfile::tempdir().unwrap();
    // Its weights' first step is no number any more.
    let methods = ["--methods", "bad,das,random", "--set", "methods.bad.search.weights.rate=1e30", "--seeds", "1"];
    for more in [&[][..], &["--part", "left"], &["--parallel", "2"]] {
        let out = place.path().join(more.concat());
        let ended = sdas(&compare(&out, &[&methods[..], more].concat()));
        let told = told(&ended);
        assert_eq!(ended.status.code(), Some(1), "{more:?}: {told}");
        assert!(told.contains("bad, seed 1, is passed over: "), "{more:?}: {told}");
        let (_, error) = told.split_once("error: 1 of 3 parts failed").unwrap();
        assert!(error.contains("bad:1: the loss of α is not finite at step 1"), "{more:?}: {error}");
        let names: Vec<_> = outcomes(&out).into_iter().map(|[method, ..]| method).collect();
        assert_eq!(names, ["das", "random"], "{more:?}");
        let alone = sdas(&compare(&out, &[&methods[..], &["--part", "bad:1"]].concat()));
        assert_eq!(alone.status.code(), Some(1));
    }
}

/// The parts' processes are asked to stop, too, and are waited for.
#[cfg(unix)]
#[test]
fn a_comparison_side_by_side_stops_with_checkpoints_and_goes_on() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = tempfile::tempdir().unwrap();
    let [alone, beside] = ["alone", "beside"].map(|name| place.path().join(name));
    let methods = ["--methods", "sdas,das", "--seeds", "1", "--set", "search.epochs=60"];
    printed(&compare(&alone, &methods));
    let arguments = compare(&beside, &[&methods[..], &["--parallel", "2"]].concat());
    for signal in [Signal::TERM, Signal::USR1] {
        let mut child = start(&arguments);
        let said = |method: &str| fs::read_to_string(beside.join(method).join("seed1/log.txt")).unwrap_or_default();
        let begun = [said("sdas"), said("das")].map(|text| text.matches("a step now").count());
        wait_until(&mut child, || {
            ["sdas", "das"]
                .iter()
                .zip(&begun)
                .all(|(method, begun)| said(method).matches("a step now").count() > *begun)
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        for method in ["sdas", "das"] {
            assert!(said(method).trim_end().lines().last().unwrap().starts_with("interrupted; "), "{}", said(method));
            let checkpoints = beside.join(method).join("seed1/search/checkpoints");
            assert!(fs::read_dir(checkpoints).unwrap().count() > 0, "{method}");
        }
    }
    printed(&arguments);
    assert_eq!(outcomes(&beside), outcomes(&alone));
}
