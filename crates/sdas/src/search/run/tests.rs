use super::*;
use crate::batch::waits;
use burn::tensor::Device;
use std::sync::atomic::AtomicBool;

/// What a step of the weights came to is not waited for by itself, but at the end of an epoch.
#[test]
fn a_search_waits_for_its_device_once_a_step() {
    const EPOCHS: usize = 2;
    let changes = [
        "search.epochs=2",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
        "search.schedule.kind=at_end",
        "data.shapes.train=80",
        "data.shapes.test=10",
        "data.size=16",
    ];
    let changes: Vec<String> = changes.map(str::to_owned).into();
    let recipe = Recipe::resolve("shapes", &changes).unwrap();
    let place = tempfile::tempdir().unwrap();
    let (stop, mut nobody) = (AtomicBool::new(false), ());
    let context = Context::new(Device::flex(), &mut nobody, &stop);
    let (ending, count) = waits(|| search(recipe, &place.path().join("run"), context).unwrap());
    assert!(matches!(ending, Ending::Done(_)));
    // Four batches of each half; before, four steps are timed, which are waited for twice.
    assert_eq!(count, 4 * 2 + EPOCHS * (4 + 1 + 4));
}
