//! The built-in clips can only be told apart by motion: a network that sees one frame at a time cannot, and one with
//! operations across time can.

use sdas::device;
use sdas::evaluate::{Examinee, Weighed, evaluate};
use sdas::genotype::Genotype;
use sdas::recipe::Recipe;
use sdas::run::{Context, Event, Observer};
use std::sync::atomic::AtomicBool;

struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _: &Event<'_>) {}
}

static STOP: AtomicBool = AtomicBool::new(false);

/// A cell that runs one operation on every edge.
fn cell(space: &str, operation: &str) -> Genotype {
    let node = |b: usize| format!(r#"[{{"from": 0, "op": "{operation}"}}, {{"from": {b}, "op": "{operation}"}}]"#);
    let nodes = [1, 1, 2, 3].map(node).join(", ");
    let cell = format!(r#"{{"nodes": [{nodes}], "concat": [2, 3, 4, 5]}}"#);
    let text = format!(
        r#"{{"format": "sdas-genotype", "version": 1, "space": "{space}", "normal": {cell}, "reduction": {cell}}}"#
    );
    Genotype::from_json(&text).unwrap()
}

/// Accuracy on the test set after a short training.
fn accuracy(recipe: &str, genotype: &Genotype) -> f64 {
    let sizes = ["data.size=16", "data.motion.train=480", "data.motion.test=400", "train.cells=3", "train.epochs=6"];
    let recipe = Recipe::resolve(recipe, &sizes.map(String::from)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    let device = device::choose("cpu").unwrap();
    let context = Context { device: device.clone(), observer: &mut Quiet, stop: &STOP };
    sdas::train::train(recipe, &genotype.clone().into(), &run, context).unwrap();
    let context = Context { device, observer: &mut Quiet, stop: &STOP };
    evaluate(&[Weighed { examinee: Examinee::run(run), share: 1.0 }], None, context).unwrap().top1
}

#[test]
fn only_operations_across_time_see_motion() {
    // Of eight classes, 400 guesses are right in 12.5 % ± 1.7 % (one standard deviation).
    let spatial = accuracy("motion-spatial", &cell("image", "sep_conv_3x3"));
    assert!((0.055..0.195).contains(&spatial), "one frame at a time: {spatial}");
    let temporal = accuracy("motion", &cell("video", "sep_conv_3x3x3"));
    assert!(temporal > 0.5, "across frames: {temporal}");
}
