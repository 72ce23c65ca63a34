use super::*;
use crate::run::Stage;
use crate::schedule::{Act, Collapse, Measure, Schedule};
use crate::supernet::Relaxation;
use sdas_data::Source;

fn resolve(overrides: &[&str]) -> Result<Recipe, RecipeError> {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    Recipe::resolve("shapes", &overrides)
}

fn message(overrides: &[&str]) -> String {
    resolve(overrides).unwrap_err().to_string()
}

#[test]
fn every_builtin_recipe_resolves_and_survives_its_own_text() {
    for builtin in BUILTIN {
        let recipe = Recipe::resolve(builtin.name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(recipe.recipe, builtin.name);
        assert_eq!(Recipe::from_toml(&recipe.to_toml(), "text", "other", &[]).unwrap(), recipe);
    }
}

#[test]
fn overrides_take_effect() {
    let recipe = resolve(&[
        "search.epochs=30",
        "search.weights.rate=1",
        "search.schedule.kind=at_end",
        "data.kind=folder",
        "data.path=/a b",
    ])
    .unwrap();
    assert_eq!(recipe.search.epochs, 30);
    assert_eq!(recipe.search.weights.rate, 1.0);
    assert_eq!(recipe.search.schedule, Schedule::AtEnd {});
    assert_eq!(recipe.data.path.as_deref(), Some(Path::new("/a b")));
    let recipe = resolve(&[
        "search.schedule.every=1",
        "search.schedule.from=2",
        "search.schedule.kind=step",
        "search.epochs=20",
    ]);
    assert_eq!(recipe.unwrap().search.schedule, Schedule::Step { every: 1, from: 2, unit: Unit::Edge });
    let Schedule::Linear { start, end, unit } = resolve(&[]).unwrap().search.schedule else { panic!() };
    let cosine = resolve(&["search.schedule.kind=cosine"]).unwrap().search.schedule;
    assert_eq!(cosine, Schedule::Cosine { start, end, unit });
}

#[test]
fn a_section_given_in_part_keeps_its_other_defaults() {
    let recipe = Recipe::from_toml("[train.augment]\ncutout = 8\n[train.weights]\nrate = 1", "text", "x", &[]).unwrap();
    assert_eq!((recipe.train.augment.cutout, recipe.train.augment.crop_padding), (8, 4));
    assert_eq!((recipe.train.weights.rate, recipe.train.weights.rate_end), (1.0, 0.0));
    let recipe = Recipe::from_toml("[search]\nschedule = { kind = \"at_end\" }", "text", "x", &[]).unwrap();
    assert_eq!(recipe.search.schedule, Schedule::AtEnd {});
}

#[test]
fn a_recipe_starts_from_its_base() {
    let read = |text: &str| Recipe::from_toml(text, "text", "own", &[]);
    let own = read("base = \"shapes-das\"\n[search]\nepochs = 3").unwrap();
    let base = Recipe::resolve("shapes-das", &[]).unwrap();
    assert_eq!(own.search.schedule, Schedule::AtEnd {});
    assert_eq!(own.search.channels, Recipe::resolve("shapes", &[]).unwrap().search.channels);
    assert_eq!(own.train, base.train);
    assert_eq!((own.recipe.as_str(), own.search.epochs), ("own", 3));
    assert!(read("base = \"mine\"").unwrap_err().to_string().contains("base: \"mine\" is no built-in recipe"));
}

#[test]
fn errors_name_the_key_and_the_remedy() {
    assert!(message(&["search.epoch=3"]).contains("search"), "{}", message(&["search.epoch=3"]));
    assert!(message(&["search.epoch=3"]).contains("unknown field `epoch`, expected one of"));
    assert!(message(&["search.epochs=many"]).contains("search.epochs: invalid type"));
    assert!(message(&["search.cells=2"]).contains("search.cells: must be at least 3, not 2"));
    assert!(message(&["search.schedule.start=0.9"]).contains("search.schedule.end: must not come before start"));
    assert!(message(&["search.criterion=best"]).contains("search.criterion: unknown variant `best`, expected one of"));
    for (value, key) in [("3", "search.criterion"), ("true", "search.order"), ("1.5", "search.schedule.kind")] {
        let message = message(&[&format!("{key}={value}")]);
        assert!(message.contains(&format!("{key}: unknown variant `{value}`, expected ")), "{message}");
    }
    assert!(message(&["space.operations=[\"conv\"]"]).contains("space.operations: unknown operation \"conv\""));
    let softmax = message(&["search.relaxation={kind=\"softmax\",from=1.0}"]);
    assert!(softmax.contains("unknown field `from`: this kind has no keys of its own, leave it out"), "{softmax}");
    for (setting, expected) in [
        ("train.weights.course={kind=\"steps\",at=[3,3]}", "train.weights.course.at: must be rising epochs"),
        ("run.checkpoint_minutes=0", "run.checkpoint_minutes: must be above 0, not 0"),
        ("train.weights.course={kind=\"exponential\",factor=2}", "train.weights.course.factor: must be above 0"),
        ("train.weights.warmup=8", "train.weights.warmup: must be less than the 8 epochs"),
        ("train.parts=13", "train.parts: must be from 1 to half of train.batch, 12"),
        ("train.label_smoothing=1", "train.label_smoothing: must be"),
        ("train.average=1", "train.average: must be"),
    ] {
        assert!(message(&[setting]).contains(expected), "{}", message(&[setting]));
    }
    assert!(message(&["epochs"]).contains("write key=value"));
    assert!(message(&["data.mean=[0.5]"]).contains("data.std"));
    assert!(message(&["data.mean=[nan]", "data.std=[1.0]"]).contains("data.mean: must be finite"));
    assert!(message(&["data.mean=[0.5]", "data.std=[inf]"]).contains("data.std: must be finite"));
    assert!(message(&["search.alpha.weight_decay=nan"]).contains("search.alpha.weight_decay: must be at least 0"));
    assert!(message(&["eval.crops=2"]).contains("eval.crops: must be 1, 3, 5 or 10, not 2"));
    let cropping = r#"train.cropping={ kind = "corners", scales = [0.5, 0.7] }"#;
    assert!(message(&[cropping]).contains("train.cropping.scales: must be numbers in (0, 1], descending"));
    assert!(message(&["search.batch.x=1"]).contains("search.batch: invalid type"));
    assert!(Recipe::resolve("no_such", &[]).unwrap_err().to_string().contains("built in are shapes"));
}

#[test]
fn budget_and_collapse_are_read_and_checked() {
    let search = |overrides: &[&str]| resolve(overrides).unwrap().search;
    let budget = search(&["search.budget.parameters=60000"]).budget;
    assert_eq!(budget, Budget { parameters: Some(60_000), multiply_adds: None });
    assert!(resolve(&[]).unwrap().search.budget.is_unlimited());
    assert!(message(&["search.budget.parameters=0"]).contains("search.budget.parameters: must be at least 1, not 0"));
    assert!(message(&["search.budget.params=9"]).contains("unknown field `params`"));
    assert_eq!(search(&[]).collapse, Collapse { act: Act::Warn, by: Measure::Skips { share: 0.75 } });
    // Another kind starts afresh, and what is done stays.
    let by = ["search.collapse.act=stop", "search.collapse.by.kind=curvature", "search.collapse.by.lag=3"];
    let curvature = Measure::Curvature { ratio: 0.75, lag: 3, window: 5 };
    assert_eq!(search(&by).collapse, Collapse { act: Act::Stop, by: curvature });
    let lag = ["search.collapse.by.kind=curvature", "search.epochs=6"];
    assert!(message(&lag).contains("search.collapse.by.lag: must be less than the 5 epochs in which α learns, not 5"));
    assert!(message(&["search.collapse.by.share=1.0"]).contains("search.collapse.by.share: must be at least 0"));
    assert!(message(&["search.collapse.by.lag=3"]).contains("search.collapse.by: unknown field `lag`"));
    let skips = ["search.collapse.act=decide", "space.operations=[\"sep_conv_3x3\", \"dil_conv_3x3\"]"];
    assert!(message(&skips).contains("search.collapse.by: is skips, but space.operations has no skip connection"));
}

/// A search depends on what is trained where there is a budget of it.
#[test]
fn what_a_search_was_asked_for_has_the_sizes_that_a_budget_is_of() {
    let asked = |overrides: &[&str]| resolve(overrides).unwrap().asked(Stage::Search);
    assert_eq!(asked(&["train.channels=10"]), asked(&[]));
    let budget = "search.budget.parameters=60000";
    assert_ne!(asked(&["train.channels=10", budget]), asked(&[budget]));
    assert_eq!(asked(&["train.epochs=9", budget]), asked(&[budget]));
}

#[test]
fn deciding_before_alpha_learns_is_refused() {
    let text = message(&["search.epochs=10", "search.alpha_warmup=9"]);
    assert!(text.contains("search.schedule") && text.contains("warm-up"), "{text}");
    // Exactly at the end of the warm-up is too early, too.
    let step = ["search.schedule.kind=step", "search.schedule.from=1", "search.schedule.every=1"];
    assert!(message(&step).contains("warm-up"));
    assert!(message(&["search.schedule.start=0.05", "search.schedule.end=0.05"]).contains("warm-up"));
}

#[test]
fn operations_are_decided_by_their_strength_and_one_after_another() {
    let unit = "search.schedule.unit=operation";
    assert_eq!(resolve(&[unit, "search.criterion=strength"]).unwrap().search.schedule.unit(), Unit::Operation);
    let text = message(&[unit]);
    assert!(text.contains("search.criterion: ranks edges; where operations are decided"), "{text}");
    let text = message(&[unit, "search.criterion=strength", "search.schedule.kind=at_end"]);
    assert!(text.contains("search.schedule.unit: has no meaning with at_end"), "{text}");
    let text = message(&[unit, "search.criterion=strength", "search.auxiliary_skip=1"]);
    assert!(text.contains("search.auxiliary_skip: must be 0 where operations are decided"), "{text}");
    // 14 edges of 7 operations, of which 8 stay: 90 decisions, one an epoch.
    let text =
        message(&[unit, "search.criterion=strength", "search.schedule={ kind = \"step\", from = 1, every = 1 }"]);
    assert!(text.contains("search.schedule.every") && text.contains("the last of the 90 decisions"), "{text}");
}

#[test]
fn other_pictures_are_measured_anew() {
    let text = "[data]\nmean = [0.1]\nstd = [0.2]\nmeasured = true";
    let read = |overrides: &[String]| Recipe::from_toml(text, "text", "x", overrides).unwrap().data;
    assert_eq!(read(&[]).mean, [0.1]);
    assert_eq!(read(&["search.epochs=30".to_owned()]).mean, [0.1]);
    let other = read(&["data.shapes.train=50".to_owned()]);
    assert!(other.mean.is_empty() && other.std.is_empty() && !other.measured);
}

#[test]
fn settings_of_one_kind_stay_behind_when_another_is_chosen() {
    let of = |recipe: &str, overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        Recipe::resolve(recipe, &overrides).unwrap().data.source()
    };
    // `motion` makes other clips than by default, of which `clips` knows nothing.
    assert_eq!(of("motion", &[]).motion.train, 1000);
    assert_eq!(of("motion", &["data.kind=clips"]), Source::new(Kind::Clips));
    // What is said of the new kind counts, and so does what is not for it.
    assert_eq!(of("motion", &["data.kind=ucf101", "data.split=2"]).split, 2);
    assert_eq!(of("motion", &["data.kind=clips", "data.motion.train=50"]).motion.train, 50);
}

#[test]
fn pictures_by_formula_lie_nowhere() {
    assert!(message(&["data.path=pictures"]).contains("data.path") && message(&["data.path=x"]).contains("folder"));
}
#[test]
fn relaxations_are_read_and_checked() {
    let relaxation = |overrides: &[&str]| resolve(overrides).unwrap().search.relaxation;
    assert_eq!(relaxation(&[]), Relaxation::Softmax {});
    let hard = r#"search.relaxation={ kind = "gumbel_hard", from = 5 }"#;
    assert_eq!(relaxation(&[hard]), Relaxation::GumbelHard { from: 5.0, to: 0.1 });
    // Another kind has its own temperatures.
    assert_eq!(relaxation(&[hard, "search.relaxation.kind=gumbel"]), Relaxation::Gumbel { from: 1.0, to: 0.03 });

    assert!(message(&["search.relaxation.kind=hard"]).contains("search.relaxation.kind: unknown variant `hard`"));
    assert!(message(&["search.relaxation.from=2"]).contains("search.relaxation: unknown field `from`"));
    let cold = message(&["search.relaxation.kind=gumbel", "search.relaxation.to=0"]);
    assert!(cold.contains("search.relaxation.to: must be a temperature above 0, not 0"), "{cold}");
    assert!(message(&["search.beta_decay=-1"]).contains("search.beta_decay: must be at least 0 and finite, not -1"));
    assert!(message(&["search.auxiliary_skip=nan"]).contains("search.auxiliary_skip: must be at least 0"));
    assert!(message(&[hard, "search.order=second"]).contains("search.order: is second"));
    assert!(message(&[hard, "search.auxiliary_skip=1"]).contains("search.auxiliary_skip: must be 0 with"));
    for lacking in ["space.name=s1", r#"space.operations=["sep_conv_3x3", "dil_conv_3x3"]"#] {
        let text = message(&[lacking, "search.auxiliary_skip=1"]);
        assert!(text.contains("search.auxiliary_skip: must be 0 here") && text.contains("cell"), "{text}");
    }
    assert!(resolve(&["space.name=s2", "search.auxiliary_skip=1", "search.beta_decay=50"]).is_ok());
    assert_eq!(relaxation(&["search.relaxation.kind=partial"]), Relaxation::Partial { share: 4 });
    let text = message(&["search.relaxation.kind=partial", "search.channels=10"]);
    let remedy = "search.relaxation.share: is 4, which does not divide search.channels = 10; let search.channels be 8 or \
                  12, or search.relaxation.share 2 or 5 or 10";
    assert!(text.contains(remedy), "{text}");
    let text = message(&["search.relaxation.kind=partial", "search.relaxation.share=1"]);
    assert!(text.contains("search.relaxation.share: must be at least 2, not 1"), "{text}");
    let text = message(&["search.relaxation.kind=partial", "search.auxiliary_skip=1"]);
    assert!(text.contains("search.auxiliary_skip: must be 0 with the relaxation partial"), "{text}");
}
