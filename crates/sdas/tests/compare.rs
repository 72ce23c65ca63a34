//! What a search and a comparison tell their observer, and how a comparison stops.

use sdas::compare::{Comparison, Completion, Method, Report, Share};
use sdas::device;
use sdas::recipe::Recipe;
use sdas::run::{Context, Event, MetricRecord, Observer, RunError};
use sdas::space::CellKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tiny pictures, a tiny network.
fn recipe(more: &[&str]) -> Recipe {
    let settings = [
        "data.shapes.train=80",
        "data.shapes.test=20",
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
    ];
    let settings: Vec<String> = settings.iter().chain(more).map(|setting| setting.to_string()).collect();
    Recipe::resolve("shapes", &settings).unwrap()
}

/// Notes what is told; asks to stop after so many steps.
struct Notes<'a> {
    collapsed: Vec<(CellKind, usize)>,
    epochs: Vec<MetricRecord>,
    steps_left: usize,
    stop: &'a AtomicBool,
}

impl Observer for Notes<'_> {
    fn notice(&mut self, event: &Event<'_>) {
        match event {
            Event::Collapsed { cell, edges } => self.collapsed.push((*cell, *edges)),
            Event::Epoch(record) => self.epochs.push((*record).clone()),
            Event::Step(_) => {
                self.steps_left = self.steps_left.saturating_sub(1);
                self.stop.store(self.steps_left == 0, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

fn notes(stop: &AtomicBool, steps_left: usize) -> Notes<'_> {
    stop.store(false, Ordering::SeqCst);
    Notes { collapsed: Vec::new(), epochs: Vec::new(), steps_left, stop }
}

#[test]
fn a_collapse_is_told_once_and_is_in_the_metrics() {
    let stop = AtomicBool::new(false);
    let search = |operations: &str| {
        let place = tempfile::tempdir().unwrap();
        let mut notes = notes(&stop, usize::MAX);
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
        let recipe = recipe(&[&format!("space.operations={operations}")]);
        sdas::search::search(recipe, &place.path().join("run"), context).unwrap();
        (notes.collapsed, notes.epochs)
    };
    let (mut collapsed, epochs) = search(r#"["none", "max_pool_3x3", "skip_connect"]"#);
    collapsed.sort();
    assert_eq!(collapsed, [(CellKind::Normal, 6), (CellKind::Reduction, 6)]);
    for record in epochs {
        let (skips, pools) = (record.skips.clone().unwrap(), record.pools.clone().unwrap());
        assert!((0..2).all(|kind| skips[kind] + pools[kind] == 1.0), "{skips:?} {pools:?}");
    }
    let (collapsed, epochs) = search(r#"["none", "sep_conv_3x3", "dil_conv_3x3"]"#);
    assert_eq!(collapsed, []);
    assert!(epochs.iter().all(|record| record.skips == Some(vec![0.0; 2]) && record.pools == Some(vec![0.0; 2])));
}

#[test]
fn a_comparison_that_is_stopped_goes_on_to_the_same_end() {
    let stop = AtomicBool::new(false);
    let place = tempfile::tempdir().unwrap();
    let recipe = recipe(&[]);
    let methods = || ["sdas", "random"].map(|name| Method::resolve(name, &recipe).unwrap()).to_vec();
    let comparison = Comparison::new(recipe.clone(), methods(), 1).unwrap();
    let run = |folder: &Path, steps: usize| -> Result<Completion<Report>, RunError> {
        let mut notes = notes(&stop, steps);
        comparison.run(
            folder,
            Share::All,
            Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop },
            None,
        )
    };
    let (whole, parts) = (place.path().join("whole"), place.path().join("parts"));
    let Completion::Whole(expected) = run(&whole, usize::MAX).unwrap() else { panic!("nobody stopped it") };
    // In the search, in the first training, in the second.
    for steps in [3, 8, 9] {
        assert_eq!(run(&parts, steps).unwrap(), Completion::Interrupted, "{steps}");
    }
    let Completion::Whole(report) = run(&parts, usize::MAX).unwrap() else { panic!("nobody stopped it") };
    for (own, expected) in report.runs.iter().zip(&expected.runs) {
        assert_eq!(
            (own.accuracy, own.train_accuracy, &own.genotype),
            (expected.accuracy, expected.train_accuracy, &expected.genotype)
        );
    }
    // Stopped in the new method's second seed, its report holds all that the last one held.
    let with = |names: &[&str]| {
        let methods = names.iter().map(|name| Method::resolve(name, &recipe).unwrap()).collect();
        Comparison::new(recipe.clone(), methods, 2).unwrap()
    };
    let go_on = |names: &[&str], steps: usize| {
        let mut notes = notes(&stop, steps);
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
        with(names).run(&parts, Share::All, context, None).unwrap()
    };
    assert!(matches!(go_on(&["sdas", "random"], usize::MAX), Completion::Whole(_)));
    assert_eq!(go_on(&["das", "sdas", "random"], 17), Completion::Interrupted);
    let report: Report = serde_json::from_slice(&std::fs::read(parts.join("compare.json")).unwrap()).unwrap();
    let runs: Vec<(&str, u64)> = report.runs.iter().map(|run| (run.method.as_str(), run.seed)).collect();
    assert_eq!(runs, [("das", 1), ("sdas", 1), ("sdas", 2), ("random", 1), ("random", 2)]);
    assert!(matches!(Comparison::new(recipe.clone(), Vec::new(), 1), Err(RunError::Setting { key: "methods", .. })));
}

/// Networks that people made and a published cell stand beside a method, all within the same multiply-adds, and what is there
/// is taken as it is.
#[test]
fn networks_are_compared_at_the_same_cost() {
    let stop = AtomicBool::new(false);
    let place = tempfile::tempdir().unwrap();
    let most = 400_000;
    let recipe = recipe(&[&format!("train.at={{multiply_adds={most}}}")]);
    let named = |name: &str| Method::network(name).unwrap();
    let random = Method::resolve("random", &recipe).unwrap();
    let methods = vec![named("own:darts_v2"), random, named("resnet20"), named("mobilenet_v1")];
    let comparison = Comparison::new(recipe, methods, 1).unwrap();
    let run = || -> Report {
        let mut notes = notes(&stop, usize::MAX);
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
        match comparison.run(place.path(), Share::All, context, None).unwrap() {
            Completion::Whole(report) => *report,
            _ => unreachable!("nobody stops it"),
        }
    };
    let report = run();
    let names: Vec<&str> = report.methods.iter().map(|method| method.method.as_str()).collect();
    assert_eq!(names, ["own", "random", "resnet20", "mobilenet_v1"]);
    for run in &report.runs {
        let share = run.multiply_adds as f64 / most as f64;
        assert!((0.6..=1.0).contains(&share), "{}: {share}", run.method);
        assert_eq!(run.genotype.is_some(), matches!(run.method.as_str(), "own" | "random"));
        assert!(run.step_seconds > 0.0 && run.sample_seconds > 0.0);
    }
    let statements: Vec<&str> = report.claims.iter().map(|claim| claim.statement.as_str()).collect();
    assert_eq!(statements, ["own is more accurate than resnet20", "own is more accurate than mobilenet_v1"]);
    assert!(place.path().join("cost.svg").exists() && !place.path().join("accuracy.svg").exists());
    let text = report.to_text();
    assert!(text.contains("ms a sample") && !text.contains("search s") && !text.contains("entropy"), "{text}");
    assert_eq!(run().runs, report.runs);
}

#[test]
fn a_network_that_cannot_be_brought_to_a_cost_says_its_least() {
    let stop = AtomicBool::new(false);
    let place = tempfile::tempdir().unwrap();
    let mut notes = notes(&stop, usize::MAX);
    let recipe = recipe(&["train.at={parameters=10}"]);
    for (network, called) in [("resnet20", "resnet20"), ("darts_v2", "the network of this cell")] {
        let comparison = Comparison::new(recipe.clone(), vec![Method::network(network).unwrap()], 1).unwrap();
        let context = Context { device: device::choose("cpu").unwrap(), observer: &mut notes, stop: &stop };
        let error = comparison.run(&place.path().join(network), Share::All, context, None).unwrap_err().to_string();
        assert!(error.contains(&format!("train.at: is 10, but at its narrowest {called} has ")), "{error}");
    }
    let error = Method::network("resnet21").unwrap_err().to_string();
    assert!(error.contains("resnet20"), "{error}");
}
