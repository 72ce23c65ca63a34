//! A search that collapses, what is done about it, and that it can be killed in the middle of that.

use sdas::device;
use sdas::recipe::Recipe;
use sdas::run::{CellRecord, Checkpoint, Context, Ending, Event, MetricRecord, Observer, RunResult};
use sdas::schedule::{Act, Cause, CollapseRecord, Decision};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Notes collapses, copies the run's folder at the first decision, as if it were killed there, and stops the run after a
/// collapse, if it is to.
struct Watching<'a> {
    folder: PathBuf,
    collapses: Vec<CollapseRecord>,
    copy: Option<PathBuf>,
    stops: bool,
    stop: &'a AtomicBool,
}

impl Observer for Watching<'_> {
    fn notice(&mut self, event: &Event<'_>) {
        match event {
            Event::Collapse(record) => {
                self.collapses.push(**record);
                self.stop.store(self.stops, Ordering::SeqCst);
            }
            Event::Decided { .. } => {
                if let Some(to) = self.copy.take() {
                    copy(&self.folder, &to);
                }
            }
            _ => {}
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &to) } else { std::fs::copy(&entry, to).map(|_| ()).unwrap() }
    }
}

/// Everything is decided at the end, as DAS does, so that α may run wherever it will.
fn recipe(more: &[&str]) -> Recipe {
    let settings = [
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
        "space.name=s2",
        "search.epochs=6",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=1",
        "search.alpha.rate=0.1",
        "search.criterion=strength",
        "search.schedule.kind=at_end",
    ];
    let settings: Vec<String> = settings.iter().chain(more).map(|setting| setting.to_string()).collect();
    Recipe::resolve("shapes", &settings).unwrap()
}

fn lines<T: DeserializeOwned>(folder: &Path, name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What must not depend on when a run was stopped.
#[derive(PartialEq)]
struct Outcome {
    checkpoint: Checkpoint,
    decisions: Vec<Decision>,
    genotype: Vec<u8>,
    /// Of every epoch.
    eigenvalues: Vec<Option<f64>>,
    decided: Vec<Option<Vec<usize>>>,
}

fn outcome(folder: &Path) -> Outcome {
    let entries = std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut checkpoint = Checkpoint::read(&entries.max().unwrap()).unwrap();
    // Times differ from run to run.
    checkpoint.state.clear();
    let metrics: Vec<MetricRecord> = lines(folder, "metrics.jsonl");
    Outcome {
        checkpoint,
        decisions: lines(folder, "decisions.jsonl"),
        genotype: std::fs::read(folder.join("genotype.json")).unwrap(),
        eigenvalues: metrics.iter().map(|record| record.eigenvalue).collect(),
        decided: metrics.into_iter().map(|record| record.decided).collect(),
    }
}

struct Runs {
    place: tempfile::TempDir,
}

impl Runs {
    fn run(&self, name: &str, more: &[&str], stops: bool) -> (Ending, Vec<CollapseRecord>) {
        let folder = self.place.path().join(name);
        let stop = AtomicBool::new(false);
        let copy = Some(self.place.path().join(format!("{name}-killed")));
        let mut observer = Watching { folder: folder.clone(), collapses: Vec::new(), copy, stops, stop: &stop };
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut observer, stop: &stop };
        let ending = sdas::search::search(recipe(more), &folder, context).unwrap();
        (ending, observer.collapses)
    }

    fn resume(&self, name: &str) {
        let (folder, stop) = (self.place.path().join(name), AtomicBool::new(false));
        let mut observer =
            Watching { folder: folder.clone(), collapses: Vec::new(), copy: None, stops: false, stop: &stop };
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut observer, stop: &stop };
        assert!(matches!(sdas::search::resume(&folder, context).unwrap(), Ending::Done(_)));
    }

    /// A run to its end, and the same killed at its first decision, and stopped at its collapse.
    fn whole(&self, name: &str, more: &[&str]) -> (RunResult, PathBuf) {
        let (ending, collapses) = self.run(name, more, false);
        let Ending::Done(result) = ending else { panic!("nobody stopped it") };
        assert_eq!(result.collapse.as_slice(), collapses, "a collapse is told once");
        let whole = self.place.path().join(name);
        let expected = outcome(&whole);
        self.resume(&format!("{name}-killed"));
        assert!(outcome(&self.place.path().join(format!("{name}-killed"))) == expected, "{name}, killed");
        let stopped = format!("{name}-stopped");
        if self.run(&stopped, more, true).0 == Ending::Interrupted {
            self.resume(&stopped);
        }
        assert!(outcome(&self.place.path().join(stopped)) == expected, "{name}, stopped");
        // A run that is done has nothing left to do.
        self.resume(name);
        assert!(outcome(&whole) == expected, "{name}, resumed at its end");
        (*result, whole)
    }
}

#[test]
fn a_cell_of_skips_is_acted_on() {
    let runs = Runs { place: tempfile::tempdir().unwrap() };
    // Any skip is one too many.
    let share = "search.collapse.by.share=0.0";
    let (warned, folder) = runs.whole("warn", &[share]);
    let collapse = warned.collapse.unwrap();
    assert_eq!((collapse.act, warned.epochs), (Act::Warn, 6));
    assert!(lines::<Decision>(&folder, "decisions.jsonl").iter().all(|decision| decision.epoch == 6));
    // In the first epoch α does not learn.
    assert_eq!(collapse.epoch, 2);
    let Cause::Skips { cell, share: told } = collapse.cause else { panic!("{collapse:?}") };
    let metrics: Vec<MetricRecord> = lines(&folder, "metrics.jsonl");
    assert_eq!(metrics[1].skips.as_ref().unwrap()[cell.index()], told);
    assert!(metrics.iter().all(|record| record.eigenvalue.is_none()));

    let (decided, folder) = runs.whole("decide", &[share, "search.collapse.act=decide"]);
    assert_eq!((decided.collapse.unwrap().act, decided.epochs), (Act::Decide, 6));
    let decisions: Vec<Decision> = lines(&folder, "decisions.jsonl");
    assert_eq!(decisions.len(), 16);
    assert!(decisions.iter().all(|decision| decision.epoch == 2 && decision.step == metrics[1].step));
    let before = lines::<CellRecord>(&runs.place.path().join("warn"), "cells.jsonl").swap_remove(1);
    assert_eq!(decided.genotype().unwrap().to_text(), before.genotype);

    let (stopped, folder) = runs.whole("stop", &[share, "search.collapse.act=stop"]);
    assert_eq!((stopped.epochs, lines::<MetricRecord>(&folder, "metrics.jsonl").len()), (2, 2));
    assert_eq!(stopped.genotype().unwrap().to_text(), before.genotype);
}

#[test]
fn a_loss_that_becomes_curved_is_acted_on_by_the_last_good_alpha() {
    let runs = Runs { place: tempfile::tempdir().unwrap() };
    let settings = |seed: u64, act: &str| {
        let own = [format!("search.seed={seed}"), format!("search.collapse.act={act}")];
        let shared = [
            "search.epochs=12",
            "search.collapse.by.kind=curvature",
            // It grows at all, from one epoch to the next but one.
            "search.collapse.by.ratio=1",
            "search.collapse.by.lag=2",
            "search.collapse.by.window=1",
        ];
        own.into_iter().chain(shared.map(str::to_owned)).collect::<Vec<_>>()
    };
    fn words(settings: &[String]) -> Vec<&str> {
        settings.iter().map(String::as_str).collect()
    }
    // A search in which it does.
    let seed = (1..=8).find(|&seed| {
        let (_, collapses) = runs.run(&format!("seek{seed}"), &words(&settings(seed, "warn")), false);
        !collapses.is_empty()
    });
    let (stopped, folder) = runs.whole("stop", &words(&settings(seed.expect("in one of them it grows"), "stop")));
    let collapse = stopped.collapse.expect("it grows");
    let metrics: Vec<MetricRecord> = lines(&folder, "metrics.jsonl");
    assert_eq!((stopped.epochs, metrics.len()), (collapse.epoch, collapse.epoch));
    assert_eq!(metrics[0].eigenvalue, None, "α does not learn yet");
    assert!(metrics[1..].iter().all(|record| record.eigenvalue.is_some()));
    let Cause::Curvature { before, now } = collapse.cause else { panic!("{collapse:?}") };
    assert!(before < now && collapse.good == collapse.epoch - 2);
    assert_eq!(metrics[collapse.epoch - 1].eigenvalue, Some(now));
    assert_eq!(metrics[collapse.good - 1].eigenvalue, Some(before));
    // The cell is that of the epoch before it grew.
    let cells: Vec<CellRecord> = lines(&folder, "cells.jsonl");
    assert_eq!(stopped.genotype().unwrap().to_text(), cells[collapse.good - 1].genotype);
    assert_eq!(cells[collapse.epoch - 1].genotype, cells[collapse.good - 1].genotype);
}
