//! A run that is stopped at any of its moments ends, once resumed, as if it had never been.

use sdas::device;
use sdas::genotype::Genotype;
use sdas::recipe::Recipe;
use sdas::run::{Checkpoint, Context, Ending, Event, Observer};
use sdas::space::{Candidates, SPACES, Space};
use sdas_data::random::stream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops the run with the last step of an epoch, before what is held out of it is measured.
struct StopsAtLastStep<'a> {
    stop: &'a AtomicBool,
    steps: usize,
}

impl Observer for StopsAtLastStep<'_> {
    fn notice(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { steps, .. } => self.steps = *steps,
            Event::Step(report) if report.step == self.steps => self.stop.store(true, Ordering::SeqCst),
            _ => {}
        }
    }
}

struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _: &Event<'_>) {}
}

fn recipe(space: &Space) -> Recipe {
    let settings = [
        "search.epochs=2",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
        "train.epochs=2",
        "train.channels=2",
        "train.cells=3",
        "train.batch=10",
        "train.holdout=0.5",
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
    ];
    let name = format!("space.name={space}");
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).chain([name]).collect();
    Recipe::resolve("shapes", &settings).unwrap()
}

/// How many epochs, decisions and cells are written down, and the last checkpoint's tensors.
fn last(folder: &Path) -> ([usize; 3], Checkpoint) {
    let lines = |name: &str| std::fs::read_to_string(folder.join(name)).map_or(0, |text| text.lines().count());
    let entries = std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut checkpoint = Checkpoint::read(&entries.max().unwrap()).unwrap();
    // Times differ from run to run.
    checkpoint.state.clear();
    (["metrics.jsonl", "decisions.jsonl", "cells.jsonl"].map(lines), checkpoint)
}

#[test]
fn measuring_what_is_held_out_can_be_stopped() {
    let place = tempfile::tempdir().unwrap();
    let device = device::choose("cpu").unwrap();
    for (space, kind) in SPACES.iter().flat_map(|space| [(space, "search"), (space, "train")]) {
        let cell = Genotype::drawn(&Candidates::whole(space), &mut stream(1, "test", [0, 0]));
        let begin = |folder: &Path, context: Context<'_>| match kind {
            "search" => sdas::search::search(recipe(space), folder, context).unwrap(),
            _ => sdas::train::train(recipe(space), &cell, folder, context).unwrap(),
        };
        let resume = |folder: &Path, context: Context<'_>| match kind {
            "search" => sdas::search::resume(folder, context).unwrap(),
            _ => sdas::train::resume(folder, context).unwrap(),
        };
        let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(format!("{space}-{kind}-{name}")));
        let never = AtomicBool::new(false);
        begin(&whole, Context { device: device.clone(), observer: &mut Quiet, stop: &never });

        let stop = AtomicBool::new(false);
        let mut observer = StopsAtLastStep { stop: &stop, steps: 0 };
        let ending = begin(&stopped, Context { device: device.clone(), observer: &mut observer, stop: &stop });
        assert_eq!(ending, Ending::Interrupted);
        assert!(!stopped.join("metrics.jsonl").exists(), "the epoch is not measured");
        let ending = resume(&stopped, Context { device: device.clone(), observer: &mut Quiet, stop: &never });
        assert!(matches!(ending, Ending::Done(_)));
        assert!(last(&stopped) == last(&whole), "{space} {kind}");
    }
}
