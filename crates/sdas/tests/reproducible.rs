//! The same recipe and seed give the same run, to the last bit: in every vector width, for any number of threads, beside
//! another run, and on every kind of processor, which is what the file in `golden/` is for.

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use sdas::batch::cross_entropy;
use sdas::bench::Width;
use sdas::device;
use sdas::genotype::Genotype;
use sdas::handmade::{Named, Sizes};
use sdas::network::Pass;
use sdas::recipe::Recipe;
use sdas::run::{Checkpoint, Context, Ending, Event, Observer};
use sdas::space::{Candidates, IMAGE};
use sdas_data::random::stream;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A shortened run of the README's recipe, as it was on the first machine that it was made on.
const GOLDEN: &str = include_str!("../../../golden/run.txt");

struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _: &Event<'_>) {}
}

fn resolve(name: &str, settings: &[&str]) -> Recipe {
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    Recipe::resolve(name, &settings).unwrap()
}

/// What a run leaves, but for its times and its memory; of its tensors, a checksum for each of their kinds.
fn left(folder: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut text = String::new();
    for line in read("metrics.jsonl").lines() {
        let mut record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        ["seconds", "seconds_per_step", "memory", "peak_memory"].iter().for_each(|key| drop(record.remove(*key)));
        writeln!(text, "{}", serde_json::to_string(&record).unwrap()).unwrap();
    }
    for name in ["decisions.jsonl", "cells.jsonl"] {
        writeln!(text, "{name} {:08x}", crc32fast::hash(read(name).as_bytes())).unwrap();
    }
    let entries = std::fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut kinds: BTreeMap<String, crc32fast::Hasher> = BTreeMap::new();
    for (name, values) in &Checkpoint::read(&entries.max().unwrap()).unwrap().tensors {
        let hasher = kinds.entry(name.split('.').next().unwrap().to_owned()).or_default();
        values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    }
    kinds.into_iter().for_each(|(kind, hasher)| writeln!(text, "{kind} {:08x}", hasher.finalize()).unwrap());
    text + &read("genotype.json")
}

/// A whole run in a folder of its own.
fn run(begin: impl Fn(&Path, Context<'_>) -> Ending) -> String {
    let place = tempfile::tempdir().unwrap();
    let (folder, never) = (place.path().join("run"), AtomicBool::new(false));
    let ending = begin(&folder, Context { device: device::choose("cpu").unwrap(), observer: &mut Quiet, stop: &never });
    assert!(matches!(ending, Ending::Done(_)));
    left(&folder)
}

fn search(recipe: &Recipe) -> String {
    run(|folder, context| sdas::search::search(recipe.clone(), folder, context).unwrap())
}

/// What `body` gives, which every width, several numbers of threads and two at a time have to give alike.
fn alike<T: PartialEq + Send + std::fmt::Debug>(name: &str, body: impl Fn() -> T + Sync) -> T {
    let first = body();
    for width in Width::available() {
        assert_eq!(width.within(&body), first, "{name} in {width:?}");
    }
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(&body), first, "{name} by {threads} threads");
    }
    let [one, other] =
        std::thread::scope(|scope| [scope.spawn(&body), scope.spawn(&body)].map(|run| run.join().unwrap()));
    assert!(one == first && other == first, "{name} side by side: {one:?}\nand {other:?}\nfor {first:?}");
    first
}

const SMALL: [&str; 14] = [
    "search.epochs=2",
    "search.channels=2",
    "search.cells=3",
    "search.batch=10",
    "search.alpha_warmup=0",
    "search.schedule.start=0.2",
    "search.schedule.end=0.9",
    "train.epochs=2",
    "train.channels=2",
    "train.cells=3",
    "train.batch=10",
    "train.holdout=0.5",
    "train.drop_path=0.2",
    "train.label_smoothing=0.1",
];

const SHAPES: [&str; 3] = ["data.shapes.train=60", "data.shapes.test=20", "data.size=16"];

#[test]
fn searches_are_alike_wherever_they_run() {
    let cases: [(&str, &[&str]); 6] = [
        ("image", &[]),
        ("gumbel", &["space.name=nb201", "search.relaxation.kind=gumbel", "search.auxiliary_skip=1"]),
        ("gumbel_hard", &["search.relaxation.kind=gumbel_hard", "search.beta_decay=50"]),
        ("partial", &["search.channels=4", "search.relaxation.kind=partial", "search.relaxation.share=2"]),
        ("second", &["space.name=s2", "search.order=second"]),
        ("noise", &["space.name=s4"]),
    ];
    for (name, settings) in cases {
        let recipe = resolve("shapes", &[&SMALL[..], &SHAPES, settings].concat());
        alike(name, || search(&recipe));
    }
    let clips =
        ["data.motion.train=30", "data.motion.test=10", "data.motion.frames=4", "data.clip.frames=4", "data.size=16"];
    let recipe = resolve("motion", &[&SMALL[..], &clips].concat());
    alike("motion", || search(&recipe));
}

#[test]
fn trainings_are_alike_wherever_they_run() {
    let recipe = resolve("shapes", &[&SMALL[..], &SHAPES].concat());
    let cell = Genotype::drawn(&Candidates::whole(&IMAGE), &mut stream(1, "test", [0, 0]));
    alike("a cell", || {
        run(|folder, context| sdas::train::train(recipe.clone(), &cell.clone().into(), folder, context).unwrap())
    });
}

/// Of the networks that people made, those that have every kind of layer between them.
#[test]
fn networks_of_layers_are_alike_wherever_they_run() {
    for name in [
        "alexnet_2012",
        "googlenet",
        "resnext29_32x4d",
        "seresnet20",
        "mobilenet_v2",
        "shufflenet_v1_g3",
        "pnasnet5",
        "i3d",
        "s3d_g",
        "r2plus1d_18",
        "p3d63",
        "non_local_r50",
        "two_stream",
        "tle_bn_inception",
    ] {
        let named = Named::find(name).unwrap();
        let usual = named.usual();
        let [t, h, w] = usual.extent;
        let sizes = Sizes { extent: [t.min(16), h.min(64), w.min(64)], width: 0.1, classes: 3, ..usual };
        let (graph, device) = (named.build(&sizes), Device::flex());
        let (weights, [t, h, w]) = (graph.initial_weights(1, &device), sizes.extent);
        let input =
            Tensor::<5>::random([2, t, h, w, sizes.inputs], Distribution::Normal(0.0, 1.0), &device).into_data();
        alike(name, || {
            let tracked = weights.tracked();
            let forward = graph.forward(Pass::training(&tracked), Tensor::from_data(input.clone(), &device));
            let labels = Tensor::<1, Int>::from_data(TensorData::from([0, 2]), &device);
            let gradients = tracked.gradients(&mut cross_entropy(forward.logits, labels).backward());
            let mut hasher = crc32fast::Hasher::new();
            for tensors in [gradients, forward.statistics] {
                let values = tensors.to_host().into_iter().flatten().flatten();
                values.for_each(|value: f32| hasher.update(&value.to_le_bytes()));
            }
            hasher.finalize()
        });
    }
}

/// On whatever machine this runs. Where a change of the numbers is meant, what it prints becomes the file.
#[test]
fn a_run_of_the_readmes_recipe_is_the_golden_one() {
    let settings = ["data.shapes.train=400", "data.shapes.test=100", "search.epochs=5"];
    let left = search(&resolve("shapes", &settings));
    assert!(left == GOLDEN, "golden/run.txt is another run than this one:\n{left}");
}
