//! A search under a budget, and what a comparison draws under one.

use sdas::compare::{Comparison, Completion, Method, Share};
use sdas::device;
use sdas::genotype::Genotype;
use sdas::network::{Network, NetworkShape};
use sdas::recipe::Recipe;
use sdas::run::{Context, Ending, Event, Observer, RunError, RunResult};
use sdas::schedule::{Budget, Decision, Spending};
use std::path::Path;
use std::sync::atomic::AtomicBool;

struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _: &Event<'_>) {}
}

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
        "train.channels=6",
        "train.cells=5",
        "train.batch=10",
    ];
    let settings: Vec<String> = settings.iter().chain(more).map(|setting| setting.to_string()).collect();
    Recipe::resolve("shapes", &settings).unwrap()
}

fn search(recipe: Recipe, folder: &Path) -> Result<RunResult, RunError> {
    let (device, stop) = (device::choose("cpu").unwrap(), AtomicBool::new(false));
    match sdas::search::search(recipe, folder, Context { device, observer: &mut Quiet, stop: &stop })? {
        Ending::Done(result) => Ok(*result),
        Ending::Interrupted => panic!("nobody stops it"),
    }
}

/// Parameters and multiply-adds of the network that the recipe's training makes of a cell.
fn counts(recipe: &Recipe, cell: &Genotype) -> [usize; 2] {
    let (channels, cells, stem) = (recipe.train.channels, recipe.train.cells, recipe.train.stem);
    let shape = NetworkShape { channels, cells, classes: 10, inputs: 3, stem, auxiliary: false };
    let counts = Network::derived(cell, shape).counts([1, 16, 16]);
    [counts.parameters, counts.multiply_adds]
}

fn decisions(folder: &Path) -> Vec<Decision> {
    let text = std::fs::read_to_string(folder.join("decisions.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_search_keeps_its_budget_and_says_what_that_cost() {
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let free = search(recipe(&[]), &folder("free")).unwrap();
    assert_eq!(free.budget, None);
    let free_text = std::fs::read_to_string(folder("free").join("decisions.jsonl")).unwrap();
    assert!(!free_text.contains("refused"));

    // What cannot be kept is refused before there is a run, with the least that can be.
    let refused = search(recipe(&["search.budget.parameters=100"]), &folder("none")).unwrap_err().to_string();
    let (head, tail) = refused.split_once(" parameters at the least").unwrap();
    assert!(head.starts_with("search.budget.parameters: is 100, but") && tail.contains("train.channels"), "{refused}");
    assert!(!folder("none").exists());
    let least: usize = head.rsplit(' ').next().unwrap().parse().unwrap();

    let [most, _] = counts(&recipe(&[]), &free.genotype().unwrap());
    assert!(least < most);
    for bound in [least, (least + most) / 2] {
        let recipe = recipe(&[&format!("search.budget.parameters={bound}")]);
        let run = folder(&bound.to_string());
        let result = search(recipe.clone(), &run).unwrap();
        let [parameters, multiply_adds] = counts(&recipe, &result.genotype().unwrap());
        assert!(parameters <= bound && (bound > least || parameters == least));
        let budget = Budget { parameters: Some(bound), multiply_adds: None };
        assert_eq!(result.budget, Some(Spending { budget, parameters, multiply_adds }));
        let decisions = decisions(&run);
        let refused: Vec<_> = decisions.iter().filter_map(|decision| decision.refused.as_ref()).collect();
        assert!(!refused.is_empty());
        assert!(refused.iter().all(|refused| refused.least.parameters.unwrap() > bound));
    }

    // One that bounds nothing changes nothing.
    let result = search(recipe(&[&format!("search.budget.parameters={}", 100 * most)]), &folder("loose")).unwrap();
    assert_eq!(result.genotype, free.genotype);
    assert_eq!(std::fs::read_to_string(folder("loose").join("decisions.jsonl")).unwrap(), free_text);
}

#[test]
fn cells_drawn_by_chance_keep_the_budget_too() {
    let place = tempfile::tempdir().unwrap();
    let drawn = |name: &str, bound: Option<usize>, seeds| {
        let budget = bound.map(|bound| format!("search.budget.parameters={bound}"));
        let recipe = recipe(&budget.iter().map(String::as_str).collect::<Vec<_>>());
        let comparison = Comparison::new(recipe.clone(), vec![Method::resolve("random", &recipe).unwrap()], seeds);
        let (device, stop) = (device::choose("cpu").unwrap(), AtomicBool::new(false));
        let context = Context { device, observer: &mut Quiet, stop: &stop };
        match comparison.unwrap().run(&place.path().join(name), Share::All, context, None)? {
            Completion::Whole(report) => Ok(report.runs.into_iter().filter_map(|run| run.genotype).collect::<Vec<_>>()),
            other => panic!("nobody stops it: {other:?}"),
        }
    };
    let parameters = |cell: &Genotype| counts(&recipe(&[]), cell)[0];
    let free = drawn("free", None, 3).unwrap();
    let sizes: Vec<usize> = free.iter().map(parameters).collect();
    let (small, large) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
    let kept = drawn("kept", Some(small), 3).unwrap();
    assert!(kept.iter().all(|cell| parameters(cell) <= small));
    // What keeps it anyhow is what was drawn anyhow.
    assert!(kept.iter().zip(&free).all(|(kept, free)| (kept == free) == (parameters(free) <= small)));
    let loose = drawn("loose", Some(large), 3).unwrap();
    assert!(loose == free);
    // So tight that chance would hardly find one.
    let refused: Result<_, RunError> = drawn("tight", Some(least()), 1);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("search.budget: none of 100000 cells drawn by chance keeps it"), "{text}");
}

/// The fewest parameters that a cell can come to.
fn least() -> usize {
    let place = tempfile::tempdir().unwrap();
    let text = search(recipe(&["search.budget.parameters=1"]), &place.path().join("run")).unwrap_err().to_string();
    text.split_once(" parameters at the least").unwrap().0.rsplit(' ').next().unwrap().parse().unwrap()
}
