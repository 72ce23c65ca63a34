//! The program on a disk that is full, fails or forgets, and in a process that is killed or asked to stop: one clear line, and
//! a folder that goes on, to the same bytes.
//!
//! Faults are injected by a library that is preloaded into the program (`shim.c`), since all that Rust's standard library
//! does to files goes through the C library: nothing in the program knows of it, it can fail any operation in turn, and it
//! needs neither rights nor a kernel's help, as a file system of one's own would.
//!
//! `SDAS_FAULTS=all` tries all that a short run only samples; `SDAS_KILLS` says how many runs are killed.
#![cfg(target_os = "linux")]

mod disk;
mod work;

use disk::{Disk, Left, Operation, files, read_log};
use sdas_data::random::{below, stream};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use work::{
    CLIPS, COMPARE, OLD, ONNX, Outcome, PICTURES, PYTORCH, SEARCH, TRAIN, Work, checkpoints, make_samples, plain,
    program,
};

/// What goes wrong with an operation; `shim.c` says what each is.
const REFUSED: [&str; 3] = ["enospc", "eio", "full"];
const KILLED: [&str; 2] = ["kill", "torn"];
/// Requests to stop.
const STOPPED: [&str; 2] = ["term", "int"];
/// What a program has to put up with.
const BORNE: [&str; 3] = ["short", "eintr", "clock"];

/// Where one kind of work is done again and again.
struct Bench {
    work: Work,
    place: TempDir,
    shim: PathBuf,
    expected: Outcome,
    operations: Vec<Operation>,
}

impl Bench {
    fn new(work: Work) -> Bench {
        let place = tempfile::tempdir().unwrap();
        let shim = place.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success(), "the shim is compiled");
        make_samples(&place.path().join("shared"));
        let mut bench = Bench { work, place, shim, expected: Outcome::new(), operations: Vec::new() };
        bench.clear();
        let whole = bench.run(None);
        assert!(whole.status.success(), "{}", told(&whole));
        bench.operations = read_log(&bench.log());
        bench.expected = bench.outcome();
        bench
    }

    fn under(&self) -> PathBuf {
        self.place.path().join("under")
    }

    fn log(&self) -> PathBuf {
        self.place.path().join("log")
    }

    fn outcome(&self) -> Outcome {
        (self.work.outcome)(&self.under(), &self.place.path().join("shared"))
    }

    /// Begins anew.
    fn clear(&self) {
        let _ = fs::remove_dir_all(self.under());
        let _ = fs::remove_file(self.log());
        fs::create_dir(self.under()).unwrap();
        (self.work.prepare)(&self.under());
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.args((self.work.words)(&self.under(), &self.place.path().join("shared"))).stdin(Stdio::null());
        command
    }

    /// Does the work, or goes on with it, with a fault at an operation, counted from 1.
    fn run(&self, fault: Option<(usize, &str)>) -> Output {
        let mut command = self.command();
        command.env("LD_PRELOAD", &self.shim).env("FAULTS_UNDER", self.under()).env("FAULTS_LOG", self.log());
        if let Some((at, kind)) = fault {
            command.env("FAULTS_AT", at.to_string()).env("FAULTS_KIND", kind);
        }
        command.output().unwrap()
    }

    /// Goes on without faults and sees that it comes to the same.
    fn goes_on(&self, what: &str) {
        let output = self.command().output().unwrap();
        assert!(output.status.success(), "{}, {what}: it does not go on: {}", self.work.name, told(&output));
        self.is_same(what);
    }

    /// Sees that all has come to what it should.
    fn is_same(&self, what: &str) {
        let outcome = self.outcome();
        let names = || outcome.keys().chain(self.expected.keys());
        let other = names().find(|&name| outcome.get(name) != self.expected.get(name));
        assert!(other.is_none(), "{}, {what}: it came to another {other:?}", self.work.name);
    }

    /// Lets every `step`-th operation go wrong in this way.
    fn try_all(&self, kind: &str, step: usize) -> usize {
        let numbers = (1..=self.operations.len()).step_by(step);
        numbers.clone().for_each(|at| self.try_one(at, kind));
        numbers.count()
    }

    fn try_one(&self, at: usize, kind: &str) {
        let Operation { what, path, .. } = &self.operations[at - 1];
        let what = format!("{kind} at operation {at}, {what} of {}", path.display());
        self.clear();
        let output = self.run(Some((at, kind)));
        let said = told(&output);
        assert!(!said.contains("panicked"), "{what}: {said}");
        match output.status.code() {
            // It could do without.
            Some(0) => self.is_same(&what),
            Some(1) if REFUSED.contains(&kind) => {
                let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
                assert!(errors == 1 && said.contains(self.under().to_str().unwrap()), "{what}: {said}");
            }
            Some(130) if STOPPED.contains(&kind) => {
                let lines = said.lines().filter(|line| line.starts_with("interrupted; ")).count();
                assert!(lines == 1 && !said.contains("error: "), "{what}: {said}");
            }
            None if KILLED.contains(&kind) => assert_eq!(output.status.signal(), Some(9), "{what}"),
            _ => panic!("{what}: {}: {said}", output.status),
        }
        if self.work.is_whole {
            self.is_whole(&what, KILLED.iter().chain(&STOPPED).any(|other| *other == kind));
        }
        self.goes_on(&what);
    }

    /// Sees that all files are what they are to be, or were.
    fn is_whole(&self, what: &str, may_leave: bool) {
        for (path, bytes) in files(&self.under()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let bytes = plain(name, bytes);
            match self.expected.get(name) {
                Some(expected) => assert!(bytes == *expected || bytes == OLD, "{what}: {name} is not whole"),
                None => assert!(may_leave && name.starts_with('.'), "{what}: it left {name}"),
            }
        }
    }

    /// Cuts the power after every `step`-th operation.
    fn cut_power(&self, step: usize) -> usize {
        self.clear();
        let mut disk = Disk::of(&self.under());
        let mut tried = 0;
        for (number, operation) in self.operations.iter().enumerate() {
            disk.apply(operation);
            if number % step != 0 {
                continue;
            }
            let by_chance = (0..if is_thorough() { 4 } else { 1 }).map(|seed| Left::Some(1000 * seed + number as u64));
            for left in [Left::Nothing, Left::Names].into_iter().chain(by_chance) {
                let _ = fs::remove_dir_all(self.under());
                let (folders, files) = disk.after(left);
                folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
                files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
                self.goes_on(&format!("{left:?} left of what was not synchronised up to operation {}", number + 1));
                tried += 1;
            }
        }
        // What the program has said it has written is there for good.
        let locks = ["lock", ".lock", "holder"];
        let unsaved = disk.unsaved();
        let unsaved: Vec<_> = unsaved.iter().filter(|path| !locks.iter().any(|lock| path.ends_with(lock))).collect();
        assert!(unsaved.is_empty(), "{}: {unsaved:?}", self.work.name);
        tried
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_thorough() -> bool {
    std::env::var_os("SDAS_FAULTS").is_some_and(|value| value == "all")
}

fn count_of(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// Every fault at every operation; a short run takes every `step`-th.
fn survives(work: Work, step: usize) {
    let bench = Bench::new(work);
    let step = if is_thorough() { 1 } else { step };
    let mut tried = format!("{}: {} operations", bench.work.name, bench.operations.len());
    for kind in REFUSED.iter().chain(&KILLED).chain(&STOPPED).chain(&BORNE) {
        tried += &format!(", {kind} {}", bench.try_all(kind, step));
    }
    println!("{tried}, power {}", bench.cut_power(step));
}

#[test]
fn a_search_survives_every_fault() {
    survives(SEARCH, 7);
}

#[test]
fn a_training_survives_every_fault() {
    survives(TRAIN, 11);
}

#[test]
fn a_comparison_survives_every_fault() {
    survives(COMPARE, 61);
}

#[test]
fn a_cache_of_pictures_survives_every_fault() {
    survives(PICTURES, 1);
}

#[test]
fn a_cache_of_clips_survives_every_fault() {
    survives(CLIPS, 9);
}

#[test]
fn exports_survive_every_fault() {
    survives(ONNX, 1);
    survives(PYTORCH, 3);
}

/// Killed at any moment, again and again until it comes to its end.
#[test]
fn a_search_that_is_killed_at_random_comes_to_the_same() {
    let bench = Bench::new(SEARCH);
    let begun = Instant::now();
    bench.clear();
    assert!(bench.command().output().unwrap().status.success());
    let usual = begun.elapsed();
    let (kills, mut killed, mut chance) = (count_of("SDAS_KILLS", 20), 0, stream(1, "kills", [0; 2]));
    while killed < kills {
        bench.clear();
        // Three times on end, and then it may go on to its end.
        for _ in 0..3 {
            let moment = usual.mul_f64(below(&mut chance, 1000) as f64 / 1000.0);
            let mut child = bench.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(moment);
            child.kill().unwrap();
            killed += usize::from(child.wait().unwrap().signal() == Some(9));
        }
        bench.goes_on(&format!("after {killed} kills"));
    }
    println!("killed {killed} times");
}

/// Whichever byte it is: it is noticed, the checkpoint before is taken, and that is said; or nothing depends on it.
#[test]
fn a_flipped_byte_of_a_checkpoint_costs_an_epoch() {
    let bench = Bench::new(SEARCH);
    let newest = checkpoints(&bench.under().join("run")).pop().unwrap();
    let run = fs::read(&newest).unwrap();
    let whole = files(&bench.under());
    let (mut chance, mut noticed, count) = (stream(2, "flips", [0; 2]), 0, count_of("SDAS_FLIPS", 30));
    for _ in 0..count {
        whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        let mut flipped = run.clone();
        flipped[below(&mut chance, run.len())] ^= 1 << below(&mut chance, 8);
        fs::write(&newest, &flipped).unwrap();
        let output = bench.command().output().unwrap();
        let said = told(&output);
        assert!(output.status.success(), "{said}");
        noticed += usize::from(said.contains("instead; it is kept as "));
        bench.is_same(&said);
    }
    // A blank of the header may turn into another.
    assert!(10 * noticed >= 9 * count, "{noticed} of {count}");
}

#[test]
fn a_flipped_byte_of_a_cache_is_noticed() {
    for work in [PICTURES, CLIPS] {
        let bench = Bench::new(work);
        let is_lock = |path: &Path| path.ends_with("lock") || path.ends_with("holder");
        let whole: Vec<_> = files(&bench.under()).into_iter().filter(|(path, _)| !is_lock(path)).collect();
        let (mut chance, mut noticed, count) = (stream(3, "flips", [0; 2]), 0, count_of("SDAS_FLIPS", 30) / 2);
        for _ in 0..count {
            bench.clear();
            fs::create_dir_all(whole[0].0.parent().unwrap()).unwrap();
            whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            let (path, bytes) = &whole[below(&mut chance, whole.len())];
            let at = below(&mut chance, bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << below(&mut chance, 8);
            fs::write(path, &flipped).unwrap();
            let mut words = (bench.work.words)(&bench.under(), &bench.place.path().join("shared"));
            words[1] = "check".to_owned();
            let output = program().args(&words).arg("--json").output().unwrap();
            let is_there =
                serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok_and(|told| told["absent"] == 0);
            noticed += usize::from(!output.status.success() || !is_there);
            bench.goes_on(&format!("byte {at} of {}", path.display()));
        }
        // The digits of a checksum may change their case.
        assert!(10 * noticed >= 9 * count, "{}: {noticed} of {count}", bench.work.name);
    }
}

/// Whatever the limit: it is refused, or there is one error, and what is there goes on.
#[test]
fn without_memory_there_is_one_error() {
    let bench = Bench::new(SEARCH);
    let within = |kibibytes: usize, command: &Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {kibibytes} && exec \"$@\""), "sh"]).arg(command.get_program());
        shell.args(command.get_args()).env("RAYON_NUM_THREADS", "1").output().unwrap()
    };
    // Below this the system does not load the program.
    let mut version = program();
    version.arg("--version");
    let starts = |kibibytes: &usize| within(*kibibytes, &version).status.success();
    let least = 4_000 + (10_000..).step_by(2_000).find(starts).unwrap();
    let (mut done, mut failed) = (0, 0);
    for kibibytes in (least..least + 42_000).step_by(if is_thorough() { 500 } else { 7_000 }) {
        bench.clear();
        let output = within(kibibytes, &bench.command());
        let said = told(&output);
        match output.status.code() {
            Some(0) => done += 1,
            Some(1 | 2) => {
                assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{kibibytes}: {said}");
                failed += 1;
            }
            _ => panic!("{kibibytes} KiB: {}: {said}", output.status),
        }
        bench.goes_on(&format!("with {kibibytes} KiB"));
    }
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
}
