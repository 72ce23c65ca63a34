//! A run that cannot be lost: killed at several moments, then resumed, it ends exactly as if it had never stopped.

use sdas::run::Checkpoint;
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
    let mut command = sdas();
    command.arg("search").arg("--out").arg(folder);
    for setting in TINY {
        command.args(["--set", setting]);
    }
    command.spawn().expect("the program starts")
}

fn resume(folder: &Path) {
    let status = sdas().args(["search", "--resume"]).arg(folder).status().expect("the program starts");
    assert!(status.success(), "resuming {} failed", folder.display());
}

/// The last checkpoint's tensors, and the files that must not depend on when a run was stopped.
fn outcome(folder: &Path) -> (Checkpoint, Vec<u8>, Vec<u8>) {
    let mut checkpoints: Vec<PathBuf> =
        std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let mut last = Checkpoint::read(checkpoints.last().expect("a run has checkpoints")).unwrap();
    // Times differ from run to run; the numbers do not.
    last.state.clear();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (last, read("decisions.jsonl"), read("genotype.json"))
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
fn usage_errors_name_the_key_and_exit_with_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_sdas")).args(["search", "--set", "search.epoch=3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("unknown field `epoch`"), "{text}");
}
