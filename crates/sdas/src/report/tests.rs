use super::measured::tests::examination;
use super::*;
use crate::architecture::Architecture;
use crate::compare::{Outcome, Report};
use crate::device;
use crate::recipe::Recipe;
use crate::run::{Event, Observer};
use crate::{search, train};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

struct Nobody;

impl Observer for Nobody {
    fn notice(&mut self, _: &Event<'_>) {}
}

/// Tiny pictures, a tiny network; the recipe's name is no text.
pub(super) fn recipe() -> Recipe {
    let settings = [
        "recipe=a<b>&\"c\"",
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
        "search.epochs=3",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
        "train.epochs=2",
        "train.channels=2",
        "train.cells=3",
        "train.batch=10",
        "train.holdout=0.25",
        "run.tensorboard=true",
    ];
    Recipe::resolve("shapes", &settings.map(str::to_owned)).unwrap()
}

/// A search and the training of what it found, made once for all tests; to be copied, not changed.
pub(super) fn runs() -> &'static Path {
    static RUNS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = RUNS.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let mut nobody = Nobody;
        let device = device::Place::resolve("cpu").unwrap().device();
        let mut context = Context { device, observer: &mut nobody, stop: &stop };
        search::search(recipe(), &place.path().join("search"), context.again()).unwrap();
        let cell = place.path().join("search/genotype.json");
        let cell = Architecture::resolve(cell.to_str().unwrap()).unwrap();
        train::train(recipe(), &cell, &place.path().join("train"), context.again()).unwrap();
        place
    });
    place.path()
}

/// A copy of a run without its checkpoints.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("r&<n>");
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(runs().join(name)).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    (place, to)
}

fn written(path: &Path) -> String {
    page(path, &Measured::Done(Box::new(examination())), Form::File).unwrap()
}

/// Whatever would load something from elsewhere.
fn check_alone(html: &str) {
    assert!(!html.contains("http://") && !html.contains("https://"), "an address");
    for attribute in ["src=\"", "href=\"", "url(", "action=\"", "srcset="] {
        for (at, _) in html.match_indices(attribute) {
            let value = &html[at + attribute.len()..];
            assert!(value.starts_with("data:") || value.starts_with('#'), "{}", &value[..value.len().min(60)]);
        }
    }
    assert!(html.contains("connect-src 'none'") && !html.contains("data-live>"));
    for name in ["<b>", "\"c\"", "<n>", "<b>cat", "\"co\""] {
        // Only the page's own bold words.
        assert!(name == "<b>" || !html.contains(name), "{name} is not escaped");
    }
    let own = html.matches("<b>").count();
    let expected = html.matches("<li><img").count() * 2 + html.matches("<li class=\"").count();
    assert!(own <= expected, "{own} bold words, {expected} of the page's own");
    // Every element that is opened is closed.
    for name in
        ["html", "head", "body", "main", "section", "table", "svg", "details", "script", "style", "figure", "g", "ul"]
    {
        let opened = html.matches(&format!("<{name}>")).count() + html.matches(&format!("<{name} ")).count();
        assert_eq!(opened, html.matches(&format!("</{name}>")).count(), "{name}");
    }
}

/// What the script is given.
fn data(html: &str) -> serde_json::Value {
    let (_, data) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_search_shows_its_cells_at_every_decision_and_epoch() {
    let (_place, run) = copy("search");
    let html = written(&run);
    check_alone(&html);
    assert!(
        html.contains("<h1>r&amp;&lt;n&gt;</h1>")
            && html.contains("recipe a&lt;b&gt;&amp;&quot;c&quot;, seed 1: finished, 3 epochs.")
    );
    let data = data(&html);
    let stops = data["stops"].as_array().unwrap();
    let decided: Vec<_> = stops.iter().filter(|stop| stop["decided"] == true).collect();
    assert_eq!((stops.len(), decided.len()), (1 + 16 + 3, 16));
    assert!(html.contains("max=\"19\" value=\"19\""));
    let count = |stop: &serde_json::Value, state: u8| {
        let edges = stop["cells"].as_array().unwrap().iter().flat_map(|cell| cell.as_array().unwrap());
        edges.filter(|edge| edge[0] == state).count()
    };
    assert_eq!([count(&stops[0], 0), count(&stops[0], 1)], [28, 0]);
    for (number, stop) in decided.iter().enumerate() {
        assert_eq!(count(stop, 1), number + 1);
        assert!(stop["why"].as_str().unwrap().contains("by the criterion <code>confidence</code>"), "{stop}");
    }
    assert_eq!([count(&stops[19], 0), count(&stops[19], 1), count(&stops[19], 2)], [0, 16, 12]);
    // The last decision's cells are the found ones.
    let found = fs::read_to_string(run.join("genotype.json")).unwrap();
    let found = crate::genotype::Genotype::from_json(&found).unwrap();
    let genes = found.cells[1]
        .edges()
        .map(|(node, gene)| (found.space.edges_into(node).start + gene.from, gene.operation.name));
    for (edge, name) in genes {
        let operation = stops[19]["cells"][1][edge][1].as_u64().unwrap() as usize;
        assert_eq!(data["operations"][1][edge][operation][0], name);
    }
    // What an undecided edge mixes is told, adds up to 1, and its leading operation is the largest part of it.
    let mixed = decided[0]["cells"][0].as_array().unwrap().iter().filter(|edge| edge[0] == 0);
    let mut mixes = 0;
    for edge in mixed {
        let mix: Vec<f64> = edge[3].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
        assert!((mix.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{mix:?}");
        let lead = edge[1].as_u64().unwrap() as usize;
        assert!(mix[1..].iter().all(|share| *share <= mix[lead]), "{mix:?}: {lead}");
        mixes += 1;
    }
    assert!(mixes > 10);
    assert!(
        html.contains(">Loss, nats") && html.contains("sdas search config.toml") && html.contains("[search.schedule]")
    );
}

#[test]
fn a_run_that_goes_on_is_shown_as_far_as_it_is() {
    let (_place, run) = copy("search");
    for name in ["result.json", "genotype.json", "cell.svg"] {
        fs::remove_file(run.join(name)).unwrap();
    }
    // While the second epoch's line is being written.
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let first = metrics.find('\n').unwrap();
    fs::write(run.join("metrics.jsonl"), &metrics[..first + 40]).unwrap();
    let not = |why: &str| page(&run, &Measured::Not(why.to_owned()), Form::File).unwrap();
    let html = not("the <data> is gone");
    check_alone(&html);
    assert!(
        html.contains("not finished, 1 of 3 epochs done") && html.contains("Not measured: the &lt;data&gt; is gone")
    );
    fs::remove_file(run.join("decisions.jsonl")).unwrap();
    let html = not("");
    assert_eq!(data(&html)["stops"].as_array().unwrap().len(), 1 + 3);
    fs::remove_file(run.join("metrics.jsonl")).unwrap();
    fs::remove_file(run.join("cells.jsonl")).unwrap();
    let html = not("");
    check_alone(&html);
    assert!(
        html.contains("No epoch is done yet.")
            && html.contains("Nothing is decided yet")
            && html.contains("id=\"data\"></script>")
    );
    let served = page(&run, &Measured::Not(String::new()), Form::Served).unwrap();
    assert!(served.contains("connect-src 'self'") && served.contains("<body data-live>"));
}

/// Runs of before wrote no mixtures: what the decisions tell is shown, and that this is all.
#[test]
fn a_run_of_before_is_shown_without_mixtures() {
    let (_place, run) = copy("search");
    for name in ["decisions.jsonl", "cells.jsonl"] {
        let text = fs::read_to_string(run.join(name)).unwrap();
        let without = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("mixes").expect("a run writes what is mixed");
            value.to_string() + "\n"
        };
        fs::write(run.join(name), text.lines().map(without).collect::<String>()).unwrap();
    }
    let html = written(&run);
    check_alone(&html);
    assert!(html.contains("This run wrote no mixtures") && !html.contains("id=\"mix-0-0\""));
    let stops = data(&html)["stops"].as_array().unwrap().clone();
    assert_eq!(stops.len(), 17);
    let open = stops[1]["cells"][0].as_array().unwrap().iter().find(|edge| edge[0] == 0).unwrap();
    assert!(open[1].is_u64() && open[2].as_f64().unwrap() > 0.1, "the decision tells what leads: {open}");
}

#[test]
fn a_training_shows_its_network_and_course() {
    let (_place, run) = copy("train");
    let evaluation = serde_json::to_string(&examination().evaluation).unwrap();
    fs::write(run.join("evaluation.json"), evaluation).unwrap();
    let html = page(&run, &Measured::Not("no".into()), Form::File).unwrap();
    check_alone(&html);
    assert!(
        html.contains("A training of a found cell")
            && html.contains("finished, 2 epochs")
            && html.contains("Accuracy, percent")
    );
    assert!(html.contains("normal cell</text>") && html.contains("sdas train genotype.json config.toml"));
    // What its comparison measured is not measured again.
    assert!(html.contains("<dt>Test accuracy</dt><dd>75.00 %</dd>") && html.contains("&lt;b&gt;cat&lt;/b&gt;"));
    assert!(!html.contains("id=\"stop\""));
}

#[test]
fn a_comparison_shows_its_tables_claims_and_pictures() {
    let place = tempfile::tempdir().unwrap();
    let run = |method: &str, seed: u64, accuracy: f64| Outcome {
        method: method.to_owned(),
        seed,
        accuracy,
        test_samples: 1000,
        train_accuracy: 0.9,
        train_seconds: 10.0,
        train_memory: None,
        step_seconds: 0.1,
        sample_seconds: 0.01,
        parameters: 1_000,
        multiply_adds: 2_000_000,
        genotype: None,
        cell: None,
        search: None,
    };
    let all = [run("a<b>", 1, 0.5), run("a<b>", 2, 0.6), run("resnet18", 1, 0.7), run("resnet18", 2, 0.9)];
    let json = serde_json::to_string(&Report::of("shapes", all.to_vec())).unwrap();
    fs::write(place.path().join("compare.json"), json).unwrap();
    fs::write(place.path().join("cost.svg"), "<svg onload=\"alert(1)\"/>").unwrap();
    assert!(!is_run(place.path()).unwrap());
    let html = page(place.path(), &Measured::Not(String::new()), Form::File).unwrap();
    check_alone(&html);
    assert!(html.contains("A comparison of 2 methods with the recipe shapes: 4 runs."));
    assert!(html.contains("<tr><th scope=\"row\">a&lt;b&gt;</th><td>2</td><td>55.0 ± 7.1</td>"), "{html}");
    assert!(html.contains("<b>undecided</b>: a&lt;b&gt; is more accurate than resnet18"));
    // A picture is shown, and nothing of it can run.
    assert!(html.contains("src=\"data:image/svg+xml;base64,") && !html.contains("alert"));
    assert!(html.contains("--methods a&lt;b&gt;,resnet18 --seeds 2"));
    // A report of before lacks what is computed of the runs.
    let old = format!(
        "{{\"recipe\": \"shapes\", \"methods\": [], \"claims\": [], \"runs\": {}}}",
        serde_json::to_string(&all).unwrap()
    );
    fs::write(place.path().join("compare.json"), old).unwrap();
    assert_eq!(page(place.path(), &Measured::Not(String::new()), Form::File).unwrap(), html);
    // Or did not measure the times of steps and samples: no column says that they took none.
    let timed = |html: &str| {
        ["<th scope=\"col\">ms a step</th>", "<th scope=\"col\">ms a sample</th>"].map(|head| html.contains(head))
    };
    let untimed = all.map(|run| Outcome { step_seconds: 0.0, sample_seconds: 0.0, ..run });
    fs::write(
        place.path().join("compare.json"),
        serde_json::to_string(&Report::of("shapes", untimed.to_vec())).unwrap(),
    )
    .unwrap();
    let without = page(place.path(), &Measured::Not(String::new()), Form::File).unwrap();
    assert_eq!([timed(&html), timed(&without)], [[true; 2], [false; 2]]);
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let error = page(place.path(), &Measured::Not(String::new()), Form::File).unwrap_err().to_string();
    assert!(error.contains("config.toml, compare.json or truth.json"), "{error}");
}
