//! What a user sees of the program: output, errors, exit codes.

mod running;

use running::{printed, sdas};

fn refused(arguments: &[&str], code: i32) -> String {
    let output = sdas(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert!(output.stdout.is_empty(), "an error belongs to standard error");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn params_prints_the_counts() {
    let text = printed(&["params", "darts_v2", "--channels", "36", "--layers", "20"]);
    assert!(text.contains("3,349,342") && text.contains("476,426") && text.contains("528,359,040"), "{text}");
    let json = printed(&["params", "darts_v2", "--json"]);
    let counts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(counts["parameters"], 3_349_342);
}

#[test]
fn draw_prints_text_or_writes_a_picture() {
    assert!(printed(&["draw", "darts_v2"]).contains("node 0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})"));
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("cell.svg");
    printed(&["draw", "darts_v2", "-o", file.to_str().unwrap()]);
    assert!(std::fs::read_to_string(file).unwrap().starts_with("<svg"));
}

#[test]
fn a_search_can_be_drawn_trained_and_measured() {
    let place = tempfile::tempdir().unwrap();
    let [search, train] = ["search", "train"].map(|name| place.path().join(name).to_str().unwrap().to_owned());
    let small = ["data.shapes.train=80", "data.shapes.test=30", "data.size=16"];
    let set = |own: &[&'static str]| -> Vec<&'static str> {
        small.iter().chain(own).flat_map(|setting| ["--set", setting]).collect()
    };
    let own = ["search.epochs=2", "search.channels=2", "search.cells=3", "search.batch=10", "search.alpha_warmup=0"];
    let text = printed(&[&["search", "--json", "--out", &search], set(&own).as_slice()].concat());
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["folder"], search.as_str());
    assert!(result["genotype"]["normal"].is_object() || result["genotype"]["normal"].is_array(), "{result}");
    assert!(printed(&["draw", &search]).contains("reduction"));
    let own = ["train.epochs=1", "train.channels=2", "train.cells=3", "train.batch=10"];
    assert!(printed(&[&["train", &search, "--out", &train], set(&own).as_slice()].concat()).contains("accuracy"));
    for run in [&search, &train] {
        let text = printed(&["eval", run, "--json"]);
        let evaluation: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(evaluation["count"], 30);
        assert_eq!(evaluation["classes"].as_array().unwrap().len(), 10);
    }
    // The one cannot go on as the other, and neither with other pictures.
    let result = || std::fs::read(place.path().join("search/result.json")).unwrap();
    let before = result();
    assert!(refused(&["train", "--resume", &search], 2).contains("one of `sdas search`"));
    assert!(refused(&["search", "--resume", &train], 2).contains("one of `sdas train`"));
    assert_eq!(result(), before);
    let config = place.path().join("search/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("train = 80", "train = 90")).unwrap();
    assert!(refused(&["search", "--resume", &search], 1).contains("the training samples are not those"));
    assert!(refused(&["search", "--out", &search], 2).contains("already holds a run"));
    let lock = std::fs::File::open(place.path().join("search/.lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(&["search", "--resume", &search], 2).contains("another process works in"));
}

#[test]
fn misuse_names_the_key_and_exits_with_2() {
    let text = refused(&["search", "--set", "search.epoch=3"], 2);
    assert!(text.contains("search.epoch: unknown field `epoch`, expected one of"), "{text}");
    assert!(refused(&["search", "no_such"], 2).contains("built in are shapes"));
    assert!(refused(&["draw", "darts_v9"], 2).contains("those are darts_v1"));
    let flow = refused(&["search", "--set", "data.input=flow"], 2);
    assert!(flow.contains("`data.input`") && flow.contains("motion"), "{flow}");
    let frames = refused(&["search", "--set", "data.clip.frames=0"], 2);
    assert!(frames.contains("`data.clip.frames`"), "{frames}");
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("run");
    let small = ["--set", "data.shapes.train=80", "--set", "data.shapes.test=20"];
    for own in [["search", "--set", "search.batch=64"], ["search", "--set", "data.kind=cifar10"]] {
        let text = refused(&[own.as_slice(), &small, &["--out", out.to_str().unwrap()]].concat(), 2);
        assert!(text.contains("search.batch: is 64") || text.contains("--data"), "{text}");
        assert!(!out.exists());
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_with_what_to_try() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("run");
    let settings = [
        "search.weights.rate=1e18",
        "search.weights.clip=0",
        "search.epochs=2",
        "search.alpha_warmup=0",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
    ];
    let mut arguments = vec!["search", "--out", out.to_str().unwrap()];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let text = refused(&arguments, 1);
    assert!(text.contains("is not finite") && text.contains("a smaller search."), "{text}");
    assert!(out.join("config.toml").exists());
}
