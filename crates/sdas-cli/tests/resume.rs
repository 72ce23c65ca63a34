//! A run that cannot be lost: killed at several moments, then resumed, it ends exactly as if it had never stopped.

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use sdas::genotype::published;
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
    start_with(folder, &TINY)
}

fn start_with(folder: &Path, settings: &[&str]) -> Child {
    with_settings(sdas().args(["search", "--out"]).arg(folder), settings).spawn().expect("the program starts")
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
fn outcome(folder: &Path) -> (Checkpoint, [Vec<u8>; 3]) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (last_checkpoint(folder), ["decisions.jsonl", "cells.jsonl", "genotype.json"].map(read))
}

fn last_checkpoint(folder: &Path) -> Checkpoint {
    let mut last = Checkpoint::read(checkpoints(folder).last().expect("a run has checkpoints")).unwrap();
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

/// Holds a search of the benchmark's cell, with `settings`, killed and resumed against the same that was not.
fn assert_resumes(settings: &[&str], decisions: usize) {
    let scratch = tempfile::tempdir().unwrap();
    let settings: Vec<&str> = TINY.iter().chain(&["space.name=nb201"]).chain(settings).copied().collect();
    let whole = scratch.path().join("whole");
    assert!(start_with(&whole, &settings).wait().unwrap().success());
    assert_eq!(lines(&whole.join("decisions.jsonl")), decisions);
    for (name, file, count) in [("decision", "decisions.jsonl", 2), ("epoch", "metrics.jsonl", 2)] {
        let folder = scratch.path().join(name);
        let killed = kill_when(start_with(&folder, &settings), || lines(&folder.join(file)) >= count);
        assert!(killed, "no {name} came");
        resume(&folder);
        assert!(outcome(&folder) == outcome(&whole), "killed at a {name}, the search ended otherwise");
    }
}

/// In a space of one kind of cell, each of whose edges is decided.
#[test]
fn a_killed_search_of_the_benchmarks_cell_resumes_bit_for_bit() {
    assert_resumes(&[], 6);
}

/// β, too, is there again.
#[test]
fn a_killed_search_on_a_part_of_the_channels_resumes_bit_for_bit() {
    assert_resumes(&["search.channels=4", r#"search.relaxation={ kind = "partial", share = 2 }"#], 6);
}

/// Operations go one by one: 24 of 30 in six edges, among them those of which α, momentum and statistics are cut.
#[test]
fn a_killed_search_that_decides_operations_resumes_bit_for_bit() {
    assert_resumes(&["search.schedule.unit=operation", "search.criterion=strength"], 24);
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

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|x| x == "safetensors")).collect();
    paths.sort();
    paths
}

/// What resuming says when it is refused, and how.
fn refused(command: &str, folder: &Path) -> (Option<i32>, String) {
    let output = sdas().args([command, "--resume"]).arg(folder).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_and_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, run) = (scratch.path().join("whole"), scratch.path().join("run"));
    assert!(start(&whole).wait().unwrap().success());
    assert!(start(&run).wait().unwrap().success());
    let [before, newest] = &checkpoints(&run)[..] else { panic!("the newest two are kept") };
    let bytes = std::fs::read(newest).unwrap();
    let mut turned = bytes.clone();
    // In the last weights.
    turned[bytes.len() - 7] ^= 1;
    for (damaged, reason) in [(&bytes[..bytes.len() / 2], "is damaged"), (&turned[..], "its checksum is another")] {
        std::fs::write(newest, damaged).unwrap();
        let output = sdas().args(["search", "--resume"]).arg(&run).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        let told = String::from_utf8(output.stderr).unwrap();
        let aside = format!("{}.damaged", newest.display());
        let instead = format!("taking {} instead; it is kept as {aside}\n", before.display());
        assert!(told.contains(reason) && told.contains(&instead) && told.contains("warning: "), "{told}");
        assert_eq!(std::fs::read(aside).unwrap(), damaged);
        assert!(outcome(&run) == outcome(&whole));
    }
    // Also where it is only read.
    std::fs::write(newest, &turned).unwrap();
    let output = sdas().args(["eval"]).arg(&run).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && String::from_utf8(output.stderr).unwrap().contains("its checksum is another"));
    std::fs::write(before, &bytes[..100]).unwrap();
    let (code, told) = refused("search", &run);
    assert!(code == Some(1) && told.contains("cannot go on: ") && told.contains("config.toml is the recipe"), "{told}");
}

#[test]
fn what_was_changed_by_hand_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let [search, train] = ["search", "train"].map(|name| scratch.path().join(name));
    assert!(start(&search).wait().unwrap().success());
    let mut command = sdas();
    command.arg("train").arg(&search).arg("--out").arg(&train);
    let tiny = ["train.epochs=1", "train.channels=2", "train.cells=3", "train.batch=10"];
    assert!(with_settings(&mut command, &tiny).status().unwrap().success());
    for (run, section, changes) in [
        (
            &search,
            "search",
            [("channels = 2", "channels = 3"), ("batch = 10", "batch = 20"), ("cells = 3", "cells = 4")],
        ),
        (&train, "train", [("channels = 2", "channels = 4"), ("batch = 10", "batch = 5"), ("cells = 3", "cells = 5")]),
    ] {
        let config = run.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let (before, own) = text.split_once(&format!("[{section}]\n")).unwrap();
        for (from, to) in changes {
            assert!(own.contains(from), "{own}");
            std::fs::write(&config, format!("{before}[{section}]\n{}", own.replacen(from, to, 1))).unwrap();
            let (code, told) = refused(section, run);
            let [(key, was), (_, is)] = [from, to].map(|text| text.split_once(" = ").unwrap());
            let expected = format!("{section}.{key} is {is}, but the run was made with {was}\n");
            assert!(code == Some(2) && told.contains(&expected), "{told}");
            // Measuring needs the network's sizes alone.
            let output = sdas().arg("eval").arg(run).stderr(Stdio::piped()).output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.success(), told.contains(&expected)), (key == "batch", key != "batch"), "{told}");
        }
        std::fs::write(&config, text).unwrap();
        go_on(section, run);
    }
    published("darts_v1").unwrap().write(train.join("genotype.json")).unwrap();
    let (_, told) = refused("train", &train);
    assert!(told.contains("is of another network") && told.contains("genotype.json"), "{told}");
}

#[test]
fn checkpoints_that_are_gone_or_cannot_be_written_are_noticed_first() {
    let scratch = tempfile::tempdir().unwrap();
    let run = scratch.path().join("run");
    assert!(start(&run).wait().unwrap().success());
    let metrics = std::fs::read(run.join("metrics.jsonl")).unwrap();
    let folder = run.join("checkpoints");
    std::fs::remove_dir_all(&folder).unwrap();
    let (code, told) = refused("search", &run);
    assert!(code == Some(1) && told.contains("metrics.jsonl has 3 epochs, but it has no checkpoints"), "{told}");
    assert_eq!(std::fs::read(run.join("metrics.jsonl")).unwrap(), metrics, "what there is is kept");
    assert!(!folder.exists());
    // Nothing was computed yet that could be lost: it begins again, and makes the folder.
    std::fs::remove_file(run.join("metrics.jsonl")).unwrap();
    resume(&run);
    assert_eq!(lines(&run.join("metrics.jsonl")), 3);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let (code, told) = refused("search", &run);
    assert!(code == Some(1) && told.contains("checkpoints"), "{told}");
}

#[test]
fn a_killed_training_resumes_bit_for_bit() {
    // The network of a cell, and one that people made.
    ["darts_v2", "resnet20"].into_iter().for_each(killed_training);
}

fn killed_training(network: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let train = |folder: &Path| {
        // Everything random in a training, augmentation, drop path, dropout, and everything that it carries along.
        let settings = [
            "train.parts=3",
            "train.at={multiply_adds=300000}",
            "train.average=0.9",
            "train.decay_norms=false",
            "train.label_smoothing=0.1",
            "train.weights.nesterov=true",
            "train.weights.warmup=1",
            "train.weights.course={kind=\"steps\",at=[2]}",
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
        with_settings(command.args(["train", network, "--out"]).arg(folder), &settings).spawn().unwrap()
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

/// A search of two epochs that takes its first decision early in the first: more than a hundred steps are still to come when
/// that is seen, however busy the machine is.
#[cfg(unix)]
const LONG: [&str; 9] = [
    "search.epochs=2",
    "search.channels=1",
    "search.cells=3",
    "search.batch=4",
    "search.alpha_warmup=0",
    "search.schedule.start=0.05",
    "data.shapes.train=800",
    "data.shapes.test=20",
    "data.size=16",
];

/// Whether the system says that hang-ups are ignored here, as under `nohup`, and so in whatever is started from here; `None`
/// where it does not tell.
#[cfg(unix)]
fn hang_up_is_ignored() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

/// Waits until the search has taken a decision.
#[cfg(unix)]
fn await_decision(child: &mut Child, folder: &Path) {
    while lines(&folder.join("decisions.jsonl")) < 1 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

#[cfg(unix)]
fn send(signal: Signal, to: &Child) {
    kill_process(Pid::from_child(to), signal).unwrap();
}

/// The first Ctrl-C writes a checkpoint and leaves with 130; so does what a scheduler or a closed terminal sends, however
/// often.
#[cfg(unix)]
#[test]
fn an_interrupted_search_resumes_bit_for_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    assert!(start_with(&whole, &LONG).wait().unwrap().success());
    let mut cases =
        vec![&[Signal::INT][..], &[Signal::TERM, Signal::TERM], &[Signal::USR1, Signal::USR1, Signal::TERM]];
    // Where it is not known whether a hang-up is to be ignored, it is left to the system.
    if hang_up_is_ignored() == Some(false) {
        cases.push(&[Signal::HUP, Signal::HUP]);
    }
    for (index, signals) in cases.into_iter().enumerate() {
        let stopped = scratch.path().join(format!("stopped-{index}"));
        let mut child = start_with(&stopped, &LONG);
        await_decision(&mut child, &stopped);
        signals.iter().for_each(|&signal| send(signal, &child));
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signals:?}");
        // One, if it was within the first epoch.
        assert!(!checkpoints(&stopped).is_empty(), "{signals:?}");
        resume(&stopped);
        assert!(outcome(&stopped) == outcome(&whole), "{signals:?}");
    }
}

/// What a job script says, begun anew by a scheduler as often as it takes: the same command begins, goes on, and finds
/// that all is done.
#[cfg(unix)]
#[test]
fn the_same_command_goes_on_until_all_is_done() {
    let scratch = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| scratch.path().join(name));
    let settings = ["data.shapes.train=800", "data.size=16", "train.channels=2", "train.cells=3", "train.batch=4"];
    let train = |folder: &Path, epochs: &str| {
        let mut command = sdas();
        command.args(["train", "darts_v2", "--set", epochs, "--out"]).arg(folder).stderr(Stdio::piped());
        with_settings(&mut command, &settings).spawn().unwrap()
    };
    let two = "train.epochs=2";
    assert!(train(&whole, two).wait().unwrap().success());
    // In the first epoch, and once more after some steps.
    for _ in 0..2 {
        let mut child = train(&stopped, two);
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(told.any(|line| line.contains("parameters, ")));
        send(Signal::USR1, &child);
        told.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(!stopped.join("metrics.jsonl").exists(), "it is within an epoch");
    }
    assert!(train(&stopped, two).wait().unwrap().success());
    assert!(last_checkpoint(&stopped) == last_checkpoint(&whole));

    let files = || ["result.json", "metrics.jsonl"].map(|name| std::fs::read(stopped.join(name)).unwrap());
    let before = files();
    let done = train(&stopped, two).wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && told.contains("stopped is done; this is what it came to"), "{told}");
    assert_eq!(files(), before);
    let other = train(&stopped, "train.epochs=3").wait_with_output().unwrap();
    let told = String::from_utf8(other.stderr).unwrap();
    assert!(other.status.code() == Some(2) && told.contains("was made with train.epochs = 2, but now"), "{told}");
    assert!(!told.contains("is done"), "{told}");
}

/// Checkpoints within an epoch are such as one after it: killed without a warning, a run goes on from there.
#[cfg(unix)]
#[test]
fn a_run_killed_within_an_epoch_resumes_from_there_bit_for_bit() {
    let scratch = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| scratch.path().join(name));
    assert!(start_with(&whole, &LONG).wait().unwrap().success());
    let often: Vec<&str> = LONG.iter().chain(&["run.checkpoint_minutes=1e-6"]).copied().collect();
    let child = start_with(&killed, &often);
    assert!(kill_when(child, || lines(&killed.join("decisions.jsonl")) > 0 && checkpoints_of(&killed) > 0));
    assert!(!killed.join("metrics.jsonl").exists(), "it is within the first epoch");
    let told = sdas().args(["search", "--resume"]).arg(&killed).stderr(Stdio::piped()).output().unwrap();
    assert!(told.status.success());
    assert!(outcome(&killed) == outcome(&whole));
}

/// How many checkpoints there are, of a run that may not have come to its folder.
#[cfg(unix)]
fn checkpoints_of(folder: &Path) -> usize {
    let is_checkpoint = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|x| x == "safetensors");
    let entries = std::fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    entries.filter(is_checkpoint).count()
}

/// As under `nohup`.
#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sdas"), "search", "--out"]).arg(&folder);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = with_settings(&mut shell, &LONG).spawn().unwrap();
    await_decision(&mut child, &folder);
    send(Signal::HUP, &child);
    assert!(child.try_wait().unwrap().is_none(), "it ended before the signal came");
    assert!(child.wait().unwrap().success());
    assert_eq!(lines(&folder.join("metrics.jsonl")), 2);
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
    send(Signal::INT, &child);
    assert_eq!(told.collect::<Vec<_>>(), ["interrupted; the same command begins again, with what was kept"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let measured = scratch.path().join("random/seed1/train/evaluation.json");
    assert!(!measured.exists());
    assert!(compare().status().unwrap().success() && measured.exists());
}
