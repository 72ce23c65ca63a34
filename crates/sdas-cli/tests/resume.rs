//! A run that cannot be lost: killed at several moments, then resumed, it ends exactly as if it had never stopped.

use sdas::run::Checkpoint;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TINY: [&str; 9] = [
    "search.epochs=3",
    "search.channels=2",
    "search.cells=3",
    "search.batch=10",
    "search.alpha_warmup=0",
    "search.schedule.start=0.05",
    "data.shapes.train=80",
    "data.shapes.test=20",
    "data.size=16",
];

fn sdas() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env("RAYON_NUM_THREADS", "2");
    command
}

fn start(folder: &Path) -> Child {
    with_settings(sdas().args(["search", "--out"]).arg(folder), &TINY).spawn().expect("the program starts")
}

fn with_settings<'a>(command: &'a mut Command, settings: &[&str]) -> &'a mut Command {
    settings.iter().fold(command, |command, setting| command.args(["--set", setting]))
}

fn resume(folder: &Path) {
    go_on("search", folder);
}

fn go_on(command: &str, folder: &Path) {
    let status = sdas().args([command, "--resume"]).arg(folder).status().expect("the program starts");
    assert!(status.success(), "resuming {} failed", folder.display());
}

/// The last checkpoint's tensors, and the files that must not depend on when a search was stopped.
fn outcome(folder: &Path) -> (Checkpoint, Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (last_checkpoint(folder), read("decisions.jsonl"), read("genotype.json"))
}

fn last_checkpoint(folder: &Path) -> Checkpoint {
    let mut checkpoints: Vec<PathBuf> =
        std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let mut last = Checkpoint::read(checkpoints.last().expect("a run has checkpoints")).unwrap();
    // Times differ from run to run; the numbers do not.
    last.state.clear();
    last
}

/// Waits until `moment` says so, then kills; false if the run ended first.
fn kill_when(mut child: Child, moment: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(120);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < limit, "the moment never came");
        if moment() {
            // SIGKILL: no handler runs, nothing is flushed.
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

#[test]
fn a_killed_search_resumes_bit_for_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    assert!(start(&whole).wait().unwrap().success());
    let expected = outcome(&whole);
    assert_eq!(lines(&whole.join("decisions.jsonl")), 16);

    type Moment = fn(&Path) -> bool;
    let moments: [(&str, Moment); 5] = [
        ("before the first checkpoint", |folder| folder.join("config.toml").exists()),
        ("at the first decision", |folder| lines(&folder.join("decisions.jsonl")) > 0),
        ("at a later decision", |folder| lines(&folder.join("decisions.jsonl")) > 9),
        ("while a checkpoint is written", |folder| {
            lines(&folder.join("metrics.jsonl")) > 0
                && std::fs::read_dir(folder.join("checkpoints"))
                    .is_ok_and(|mut all| all.any(|e| e.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "tmp"))))
        }),
        ("after two epochs", |folder| lines(&folder.join("metrics.jsonl")) > 1),
    ];
    let mut killed = 0;
    for (index, (name, moment)) in moments.into_iter().enumerate() {
        let folder = scratch.path().join(format!("killed-{index}"));
        killed += usize::from(kill_when(start(&folder), || moment(&folder)));
        resume(&folder);
        assert!(outcome(&folder) == expected, "killed {name}, the search ended otherwise");
    }
    // A write lasts less than a millisecond and may be missed; the other moments cannot be.
    assert!(killed >= 4, "only {killed} runs were killed");
}

#[test]
fn a_cut_off_checkpoint_falls_back_to_the_one_before() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    assert!(start(&whole).wait().unwrap().success());
    assert!(kill_when(start(&cut), || lines(&cut.join("metrics.jsonl")) > 2) || lines(&cut.join("metrics.jsonl")) == 3);
    let newest = std::fs::read_dir(cut.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    resume(&cut);
    assert!(outcome(&cut) == outcome(&whole));
}

#[test]
fn a_killed_training_resumes_bit_for_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let train = |folder: &Path| {
        // Everything random in a training: augmentation, drop path, dropout.
        let settings = [
            "train.epochs=3",
            "train.channels=2",
            "train.cells=3",
            "train.batch=10",
            "train.drop_path=0.3",
            "train.dropout=0.2",
            "data.shapes.train=80",
            "data.shapes.test=20",
        ];
        let mut command = sdas();
        with_settings(command.args(["train", "darts_v2", "--out"]).arg(folder), &settings).spawn().unwrap()
    };
    let whole = scratch.path().join("whole");
    assert!(train(&whole).wait().unwrap().success());
    for (index, epochs) in [0, 1, 2].into_iter().enumerate() {
        let folder = scratch.path().join(format!("killed-{index}"));
        let begun = || folder.join("config.toml").exists();
        let killed = kill_when(train(&folder), || begun() && lines(&folder.join("metrics.jsonl")) >= epochs);
        assert!(killed, "the training ended before epoch {epochs} was seen");
        go_on("train", &folder);
        assert!(last_checkpoint(&folder) == last_checkpoint(&whole), "killed after epoch {epochs}, it ended otherwise");
    }
}

/// The first Ctrl-C writes a checkpoint and leaves with 130.
#[cfg(unix)]
#[test]
fn an_interrupted_search_resumes_bit_for_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, stopped) = (scratch.path().join("whole"), scratch.path().join("stopped"));
    assert!(start(&whole).wait().unwrap().success());
    let mut child = start(&stopped);
    while lines(&stopped.join("decisions.jsonl")) < 3 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(stopped.join("checkpoints")).unwrap().count(), 1, "within the first epoch");
    resume(&stopped);
    assert!(outcome(&stopped) == outcome(&whole));
}

/// Where there is nothing to write, the first Ctrl-C leaves at once.
#[cfg(unix)]
#[test]
fn an_interrupted_measurement_is_left_and_made_another_time() {
    let scratch = tempfile::tempdir().unwrap();
    let many =
        TINY.map(|setting| if setting.starts_with("data.shapes.test") { "data.shapes.test=40000" } else { setting });
    let small = ["train.epochs=1", "train.channels=2", "train.cells=3", "train.batch=10"];
    let compare = || {
        let mut command = sdas();
        command.args(["compare", "shapes", "--methods", "random", "--seeds", "1", "--out"]).arg(scratch.path());
        with_settings(&mut command, &[&many[..], &small].concat());
        command
    };
    let mut child = compare().stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.ends_with("random, seed 1: test")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(told.collect::<Vec<_>>(), ["interrupted; the same command begins again, with what was kept"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let measured = scratch.path().join("random/seed1/train/evaluation.json");
    assert!(!measured.exists());
    assert!(compare().status().unwrap().success() && measured.exists());
}
