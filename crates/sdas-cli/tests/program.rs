//! What a user sees of the program: output, errors, exit codes.

mod running;

use running::{printed, sdas};
use serde_json::Value;

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
fn params_knows_networks_that_people_made() {
    let text = printed(&["params", "resnet18"]);
    assert!(text.contains("11,689,512") && text.contains("1,814,073,344") && !text.contains("auxiliary"), "{text}");
    assert!(text.contains("For 1,000 classes, 224 × 224 pixels in 3 channels."), "{text}");
    // MobileNet at a quarter of its width, as pytorchcv counts it.
    let json = printed(&["params", "mobilenet_v1", "--width", "0.25", "--json"]);
    let counts: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!([&counts["parameters"], &counts["multiply_adds"]], [470_072, 41_030_272]);
    // Segments over any network for pictures; the classifier's 1000 rows of 512 weights and a bias become ten.
    let text = printed(&["params", "tsn_resnet18", "--classes", "10"]);
    assert!(text.contains("11,181,642") && text.contains("3 frames of 224 × 224"), "{text}");
    let text = refused(&["params", "resnet81"], 2);
    assert!(
        text.contains("published cell; those are") && text.contains("a name like it are resnet18, resnet34"),
        "{text}"
    );
    let text = refused(&["params", "c3d", "--size", "8"], 1);
    assert!(text.contains("samples of 16×8×8 (frames, height, width) do not fit the network"), "{text}");
    let text = refused(&["params", "vgg11", "--layers", "3"], 1);
    assert!(text.contains("--layers is for networks of cells; vgg11 is made wider or narrower by --width"), "{text}");
    assert!(refused(&["params", "darts_v2", "--width", "2"], 1).contains("by --channels"));
    assert!(refused(&["params", "vgg11", "--width", "0"], 2).contains("above 0"));
    assert!(refused(&["params", "vgg11", "--size", "9999999999"], 1).contains("beyond 18,446"));
}

#[test]
fn devices_lists_what_there_is_and_how_to_get_others() {
    let text = printed(&["devices"]);
    assert!(text.starts_with("device  name ") && text.contains("\ncpu     the processor, with "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&printed(&["devices", "--json"])).unwrap();
    assert_eq!(
        (json["devices"][0]["device"].as_str(), json["devices"][0]["usable"].as_bool()),
        (Some("cpu"), Some(true))
    );
    assert!(json["devices"][0]["memory"].is_u64() || !cfg!(target_os = "linux"), "{json}");
    for device in ["wgpu", "cuda"] {
        let is_missing = json["missing"].as_array().unwrap().iter().any(|missing| missing["device"] == device);
        let is_listed = json["devices"].as_array().unwrap().iter().any(|listed| listed["device"] == device);
        assert!(is_missing || is_listed, "{json}");
    }
    assert!(text.contains(&format!("\n--device auto takes {}\n", json["auto"].as_str().unwrap())), "{text}");
    assert!(refused(&["search", "--device", "tpu"], 2).contains("auto, gpu, cpu, wgpu, cuda"));
}

/// What a build without cards says of them.
#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
#[test]
fn a_card_that_cannot_be_had_is_an_error_before_anything_starts() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    let search = |device| refused(&["search", "--out", run.to_str().unwrap(), "--device", device], 2);
    for device in ["wgpu", "cuda"] {
        let expected = format!(
            "error: {device}: this build has no {device}; build with it: cargo run --release --features {device} -- …\n"
        );
        assert_eq!(search(device), expected);
    }
    let text = search("gpu");
    assert!(text.contains("there is no graphics card to compute on\n  cuda: this build has no cuda"), "{text}");
    assert!(!run.exists());
    // What is taken is said, where it is not by its name that it was asked for.
    let step = ["bench", "step", "--layers", "3", "--channels", "2", "--batch", "2", "--size", "8", "--steps", "1"];
    let output = sdas(&[&step[..], &["--device", "auto"]].concat());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "computing on cpu, the processor\n");
    assert!(String::from_utf8(output.stdout).unwrap().contains("in fused multiply-adds"));
    assert!(sdas(&step).stderr.is_empty());
}

/// A training's step is three passes over the multiply-adds that `sdas params` counts of the same network.
#[test]
fn a_step_is_timed_of_searches_cells_networks_and_clips() {
    let small = ["--size", "8", "--classes", "3"];
    let of_cells = ["--channels", "2", "--layers", "3"];
    let clips = ["--frames", "2", "--width", "0.05"];
    for (network, sizes) in [("darts_v2", &of_cells[..]), ("resnet20", &["--width", "0.2"]), ("r3d_18", &clips)] {
        let json = |command: &[&str]| -> Value {
            let arguments = [command, &[network, "--json"], &small, sizes].concat();
            serde_json::from_str(&printed(&arguments)).unwrap()
        };
        let counted = json(&["params"])["multiply_adds"].as_f64().unwrap();
        let step = json(&["bench", "step", "--batch", "2", "--steps", "1"]);
        assert_eq!(step["operations"].as_f64().unwrap(), 3.0 * 2.0 * 2.0 * counted, "{network}: {step}");
        assert!(step["median_seconds"].as_f64().unwrap() > 0.0, "{network}: {step}");
    }
    for (command, expected) in [
        ("bench step --width 2", "--width is of networks that are trained"),
        ("bench step --layers 2", "--layers is 2, but"),
        ("bench step --space nb201 resnet20", "cannot be used with"),
        ("bench step resnet20 --channels 3", "--channels is for networks of cells"),
        ("bench step vgg16 --size 8", "--size: is too small: samples of 1×8×8"),
    ] {
        let output = sdas(&command.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) || output.status.code() == Some(1), "{command}: {text}");
        assert!(text.contains(expected), "{command}: {text}");
    }
}

#[test]
fn a_budget_is_kept_told_and_shown() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    let run = run.to_str().unwrap();
    let tiny = [
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
        "search.epochs=2",
        "search.alpha_warmup=0",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.budget.parameters=50000",
    ];
    let search: Vec<&str> =
        ["search", "--out", run].into_iter().chain(tiny.iter().flat_map(|setting| ["--set", *setting])).collect();
    let output = sdas(&search);
    let [told, printed_last] = [output.stderr, output.stdout].map(|text| String::from_utf8(text).unwrap());
    assert!(told.contains("; not ") && told.contains(" parameters at the least; decided"), "{told}");
    assert!(printed_last.contains("budget    ") && printed_last.contains(" of 50,000 parameters, "), "{printed_last}");
    // The recipe trains 12 channels and 5 cells.
    let text = printed(&["params", run, "--channels", "12", "--layers", "5", "--size", "16"]);
    assert!(text.contains("The search had a budget, of which its cell takes") && text.contains(" of 50,000"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&printed(&["params", run, "--channels", "12", "--layers", "5", "--size", "16", "--json"]))
            .unwrap();
    assert_eq!(json["budget"]["parameters"], json["parameters"]);
    assert_eq!(json["budget"]["multiply_adds"], json["multiply_adds"]);
    assert!(json["parameters"].as_u64().unwrap() <= 50_000);
}

#[test]
fn draw_prints_text_or_writes_a_picture() {
    assert!(printed(&["draw", "darts_v2"]).contains("node 0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})"));
    assert!(printed(&["draw", "resnet20"]).contains("3x3 conv 16, norm, ReLU\n"));
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("cell.svg");
    printed(&["draw", "darts_v2", "-o", file.to_str().unwrap()]);
    assert!(std::fs::read_to_string(file).unwrap().starts_with("<svg"));
    let file = place.path().join("cell.PNG");
    printed(&["draw", "darts_v2", "-o", file.to_str().unwrap()]);
    assert!(std::fs::read(file).unwrap().starts_with(b"\x89PNG\r\n"));
    let file = place.path().join("cell.pdf");
    let text = refused(&["draw", "darts_v2", "-o", file.to_str().unwrap()], 2);
    assert!(text.contains("a drawing can be a .svg or a .png, not a .pdf") && !file.exists(), "{text}");
}

#[test]
fn one_of_several_cells_is_named_behind_its_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("genotypes.py");
    let cell = |operation: &str| {
        let edges = format!("('{operation}', 0), ('skip_connect', 1), ").repeat(4);
        format!("Genotype(normal=[{edges}], normal_concat=range(2, 6), reduce=[{edges}], reduce_concat=range(2, 6))")
    };
    std::fs::write(&file, format!("A = {}\nB = {}\n", cell("sep_conv_5x5"), cell("dil_conv_3x3"))).unwrap();
    let file = file.to_str().unwrap();
    assert!(
        printed(&["draw", &format!("{file}:B")]).contains("node 0 = dil_conv_3x3(c_{k-2}) + skip_connect(c_{k-1})")
    );
    let text = refused(&["draw", file], 2);
    assert!(text.contains("it holds 2 cells") && text.contains("A (line 1), B (line 2)"), "{text}");
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_built() {
    let start = std::time::Instant::now();
    let text = refused(&["params", "darts_v2", "--channels", "99999999999"], 1);
    assert!(text.contains("beyond 18,446,744,073,709,551,615"), "{text}");
    // Three cells more are one in each part, whose sizes do not depend on how many there are.
    let parameters = |layers: &str| {
        let text = printed(&["params", "darts_v2", "--layers", layers, "--json"]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["parameters"].as_u64().unwrap()
    };
    let (few, more) = (parameters("20"), parameters("23"));
    assert_eq!(parameters("3000000020"), few + 1_000_000_000 * (more - few));

    // Where the system tells how much memory there is.
    if cfg!(target_os = "linux") {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("run");
        let out = ["--out", out.to_str().unwrap(), "--set", "data.shapes.train=80", "--set", "data.shapes.test=20"];
        for (command, keys) in [
            ("search", ["search.cells=100000000", "search.batch=4"]),
            ("search", ["search.channels=99999999999", "search.batch=4"]),
            ("train darts_v2", ["train.cells=1000000000", "train.batch=4"]),
        ] {
            let command: Vec<&str> = command.split(' ').collect();
            let sets = keys.iter().flat_map(|key| ["--set", key]);
            let text = refused(&[command.as_slice(), &out, &sets.collect::<Vec<_>>()].concat(), 2);
            let (key, value) = keys[0].split_once('=').unwrap();
            assert!(text.contains(&format!("{key}: is {value}, but a step would hold at least ")), "{text}");
            assert!(!place.path().join("run").exists());
        }
        let text = refused(&["bench", "step", "--size", "9999999999"], 2);
        assert!(text.contains("--size: is 9999999999, but a step would hold"), "{text}");
    }
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn methods_are_named_by_the_comparisons_help() {
    let text = printed(&["compare", "--help"]);
    for method in ["sdas", "gdas", "pc-darts", "shrink"] {
        assert!(text.contains(method), "{text}");
    }
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
    assert!(refused(&["search", "--out", &search], 2).contains("search was made with data.shapes."));
    assert!(refused(&["train", "darts_v2", "--out", &search], 2).contains("one of `sdas search`"));
    let lock = std::fs::File::open(place.path().join("search/.lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(&["search", "--resume", &search], 3).contains("another process works in"));
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
    for (settings, expected) in [
        (&["search.batch=64", "data.shapes.train=80", "data.shapes.test=20"][..], "search.batch: is 64"),
        (&["data.kind=cifar10"], "--data"),
        (&["data.kind=cifar10", "data.shapes.train=80"], "has no use for `data.shapes`"),
    ] {
        let mut arguments = vec!["search", "--out", out.to_str().unwrap()];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let text = refused(&arguments, 2);
        assert!(text.contains(expected), "{text}");
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

#[test]
fn shells_and_manuals_know_the_commands() {
    for (shell, words) in [("bash", "complete -F _sdas"), ("zsh", "#compdef sdas"), ("fish", "complete -c sdas")] {
        let script = printed(&["completions", shell]);
        assert!(script.contains(words) && script.contains("--every"), "{script}");
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("man1");
    printed(&["completions", "--man", &folder.display().to_string()]);
    let page = std::fs::read_to_string(folder.join("sdas-data-fetch.1")).unwrap();
    assert!(page.starts_with(".ie") && page.contains("imagenette") && folder.join("sdas.1").is_file(), "{page}");
    assert_eq!(sdas(&["completions"]).status.code(), Some(2));
}
