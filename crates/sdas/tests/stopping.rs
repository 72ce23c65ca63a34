//! A run that is stopped at any of its moments ends, once resumed, as if it had never been.

use sdas::device;
use sdas::genotype::Genotype;
use sdas::recipe::Recipe;
use sdas::run::{Checkpoint, Context, Ending, Event, Observer};
use sdas::space::{Candidates, IMAGE, NB201, S2, SPACES, Space};
use sdas_data::random::stream;
use std::path::{Path, PathBuf};
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
    recipe_with(space, &[])
}

fn recipe_with(space: &Space, own: &[&str]) -> Recipe {
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
    let settings: Vec<String> = settings.iter().chain(own).map(|setting| setting.to_string()).chain([name]).collect();
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
    for (space, kind) in SPACES.iter().flat_map(|space| [(space, "search"), (space, "train")]) {
        let cell = Genotype::drawn(&Candidates::whole(space), &mut stream(1, "test", [0, 0]));
        let begin = |folder: &Path, context: Context<'_>| match kind {
            "search" => sdas::search::search(recipe(space), folder, context).unwrap(),
            _ => sdas::train::train(recipe(space), &cell.clone().into(), folder, context).unwrap(),
        };
        let resume = |folder: &Path, context: Context<'_>| match kind {
            "search" => sdas::search::resume(folder, context).unwrap(),
            _ => sdas::train::resume(folder, context).unwrap(),
        };
        ends_alike(&place.path().join(format!("{space}-{kind}")), begin, resume);
    }
}

/// Runs to the end, and to the end with a stop after the first epoch's steps, in folders that begin with `name`.
fn ends_alike(
    name: &Path,
    begin: impl Fn(&Path, Context<'_>) -> Ending,
    resume: impl Fn(&Path, Context<'_>) -> Ending,
) {
    let device = device::choose("cpu").unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|end| PathBuf::from(format!("{}-{end}", name.display())));
    let never = AtomicBool::new(false);
    let ending = begin(&whole, Context { device: device.clone(), observer: &mut Quiet, stop: &never });
    assert!(matches!(ending, Ending::Done(_)));

    let stop = AtomicBool::new(false);
    let mut observer = StopsAtLastStep { stop: &stop, steps: 0 };
    let ending = begin(&stopped, Context { device: device.clone(), observer: &mut observer, stop: &stop });
    assert_eq!(ending, Ending::Interrupted);
    assert!(!stopped.join("metrics.jsonl").exists(), "the epoch is not measured");
    let ending = resume(&stopped, Context { device, observer: &mut Quiet, stop: &never });
    assert!(matches!(ending, Ending::Done(_)));
    let (name, (lines, own), (expected_lines, expected)) = (name.display(), last(&stopped), last(&whole));
    assert_eq!(lines, expected_lines, "{name}");
    let names = |checkpoint: &Checkpoint| checkpoint.tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&own), names(&expected), "{name}");
    let differing: Vec<String> = own
        .tensors
        .iter()
        .filter(|(tensor, values)| expected.tensors[*tensor] != **values)
        .map(|(tensor, values)| {
            let expected = &expected.tensors[tensor];
            let at = (0..values.len()).find(|&at| values.get(at) != expected.get(at)).unwrap_or(values.len());
            format!("{tensor} from {at} of {}: {:?} for {:?}", expected.len(), values.get(at), expected.get(at))
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{name}: {} tensors differ: {:?}",
        differing.len(),
        &differing[..differing.len().min(9)]
    );
}

/// What is drawn, and what changes from epoch to epoch, is a function of where the search stands.
#[test]
fn searches_with_every_relaxation_and_regulariser_resume_bit_for_bit() {
    let place = tempfile::tempdir().unwrap();
    let cases: [(&str, &Space, &[&str]); 4] = [
        ("gumbel", &NB201, &["search.relaxation.kind=gumbel", "search.auxiliary_skip=1"]),
        ("gumbel_hard", &NB201, &["search.relaxation.kind=gumbel_hard"]),
        ("gumbel_hard-image", &IMAGE, &["search.relaxation.kind=gumbel_hard", "search.beta_decay=50"]),
        ("second", &S2, &["search.relaxation.kind=gumbel", "search.order=second", "search.beta_decay=50"]),
    ];
    for (name, space, settings) in cases {
        // Edges are mixed until into the second epoch.
        let schedule = ["search.schedule.start=0.3", "search.schedule.end=0.9"];
        let recipe = recipe_with(space, &[settings, &schedule].concat());
        ends_alike(
            &place.path().join(name),
            |folder, context| sdas::search::search(recipe.clone(), folder, context).unwrap(),
            |folder, context| sdas::search::resume(folder, context).unwrap(),
        );
    }
}
