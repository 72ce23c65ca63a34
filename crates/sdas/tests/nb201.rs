//! The space of NAS-Bench-201: what its networks cost, and a search of its cells.

use sdas::device;
use sdas::genotype::Genotype;
use sdas::network::{Network, NetworkShape, Stem};
use sdas::recipe::Recipe;
use sdas::run::{CellRecord, Context, Ending, Event, MetricRecord, Observer};
use sdas::space::NB201;
use std::sync::atomic::AtomicBool;

/// What the benchmark's networks cost.
struct Row {
    /// Of each edge, its operation.
    operations: Vec<usize>,
    parameters: usize,
    multiply_adds: usize,
}

/// The columns `operations`, `parameters` and `multiply_adds` of a table.
fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|own| *own == name).unwrap();
    let [operations, parameters, multiply_adds] = ["operations", "parameters", "multiply_adds"].map(column);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Row {
            operations: cells[operations].bytes().map(|digit| usize::from(digit - b'0')).collect(),
            parameters: cells[parameters].parse().unwrap(),
            multiply_adds: cells[multiply_adds].parse().unwrap(),
        }
    };
    lines.map(row).collect()
}

/// With 16 channels, five cells a stage and ten classes, for 32×32 pixels. The benchmark counts as we do, without norms, pools
/// and sums, but for the classifier's bias: an addition a class, which are free here as all additions are.
fn assert_costs(rows: &[Row]) {
    const CLASSES: usize = 10;
    for row in rows {
        let genotype = Genotype::from_operations(&NB201, &row.operations).unwrap();
        let shape =
            NetworkShape { channels: 16, cells: 15, classes: CLASSES, inputs: 3, stem: Stem::Cifar, auxiliary: false };
        let counts = Network::derived(&genotype, shape).counts([1, 32, 32]);
        let counted = (counts.parameters, counts.multiply_adds + CLASSES);
        assert_eq!(counted, (row.parameters, row.multiply_adds), "{}", genotype.to_text());
    }
}

/// Rows of the benchmark, such that every edge has every operation.
#[test]
fn networks_cost_what_the_benchmark_says() {
    let rows = rows(include_str!("nb201_counts.csv"));
    for (edge, operation) in (0..6).flat_map(|edge| (0..5).map(move |operation| (edge, operation))) {
        assert!(
            rows.iter().any(|row| row.operations[edge] == operation),
            "edge {edge} never has operation {operation}"
        );
    }
    assert_costs(&rows);
}

/// All 15,625 rows of the table that `NB201_TABLE` names.
#[test]
#[ignore = "needs the benchmark's table"]
fn networks_cost_what_the_whole_table_says() {
    let path = std::env::var("NB201_TABLE").expect("NB201_TABLE names the table");
    let rows = rows(&std::fs::read_to_string(path).unwrap());
    assert_eq!(rows.len(), 15_625);
    assert_costs(&rows);
}

struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _: &Event<'_>) {}
}

/// A search from the first step to a cell, and its training.
#[test]
fn a_search_ends_in_a_cell_of_the_space() {
    let settings = [
        "space.name=nb201",
        "search.epochs=3",
        "search.channels=4",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
        "train.epochs=1",
        "train.channels=4",
        "train.cells=3",
        "train.batch=10",
        "train.auxiliary=0",
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
    ];
    let recipe = Recipe::resolve("shapes", &settings.map(str::to_owned)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let [search, train] = ["search", "train"].map(|name| place.path().join(name));
    let (device, stop) = (device::choose("cpu").unwrap(), AtomicBool::new(false));
    let context = Context { device: device.clone(), observer: &mut Quiet, stop: &stop };
    let Ending::Done(result) = sdas::search::search(recipe.clone(), &search, context).unwrap() else { panic!() };
    let genotype = Genotype::read(search.join("genotype.json")).unwrap();
    assert_eq!((genotype.space, result.genotype()), (&NB201, Some(genotype.clone())));
    let read = |name: &str| std::fs::read_to_string(search.join(name)).unwrap();
    let decisions: Vec<serde_json::Value> =
        read("decisions.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(decisions.len(), 6);
    assert!(
        decisions.iter().all(|decision| decision["cell"] == "normal" && decision["pruned"] == serde_json::json!([]))
    );
    let metrics: Vec<MetricRecord> = read("metrics.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(metrics.last().unwrap().decided, Some(vec![6]));
    // The cells of every epoch, of which the last is what the search came to.
    let cells: Vec<CellRecord> = read("cells.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cells.iter().map(|record| record.epoch).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(cells.iter().all(|record| Genotype::parse(&record.genotype).is_ok()));
    assert_eq!(cells[2].genotype, genotype.to_text());

    let context = Context { device, observer: &mut Quiet, stop: &stop };
    let trained = sdas::train::train(recipe, &genotype.clone().into(), &train, context).unwrap();
    assert!(matches!(trained, Ending::Done(result) if result.train_loss.is_finite()));
}

/// A cell that hands nothing on is one that the search may come to.
#[test]
fn a_cell_of_nothing_is_trained() {
    let settings = ["train.epochs=1", "train.channels=4", "train.cells=3", "train.batch=10", "train.auxiliary=0"];
    let data = ["data.shapes.train=40", "data.shapes.test=20", "data.size=16"];
    let settings: Vec<String> = settings.iter().chain(&data).map(|setting| setting.to_string()).collect();
    let recipe = Recipe::resolve("shapes", &settings).unwrap();
    let genotype = Genotype::from_operations(&NB201, &[0; 6]).unwrap();
    let place = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let context = Context { device: device::choose("cpu").unwrap(), observer: &mut Quiet, stop: &stop };
    let Ending::Done(result) =
        sdas::train::train(recipe, &genotype.clone().into(), &place.path().join("run"), context).unwrap()
    else {
        panic!("nothing stopped it")
    };
    // Nothing of the pictures reaches the classifier: it can learn how frequent classes are, and no more.
    assert!((result.train_loss - 10f64.ln()).abs() < 0.5, "{}", result.train_loss);
}
