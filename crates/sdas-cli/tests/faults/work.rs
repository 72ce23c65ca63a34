//! What the program does while something goes wrong, on the smallest scale, and what it comes to.

use crate::disk::files;
use sdas::run::Checkpoint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files by name.
pub type Outcome = BTreeMap<String, Vec<u8>>;

/// One kind of work, done in a folder.
pub struct Work {
    pub name: &'static str,
    /// What is there before.
    pub prepare: fn(&Path),
    /// The command's words, for a folder that is as yet untouched or holds what was done before; the second folder holds what
    /// is the same for all.
    pub words: fn(&Path, &Path) -> Vec<String>,
    /// What must be the same whatever went wrong meanwhile.
    pub outcome: fn(&Path, &Path) -> Outcome,
    /// Whether files that are not finished are gone after an error, and files that are there are whole at any time.
    pub is_whole: bool,
}

pub const SEARCH: Work = Work {
    name: "search",
    prepare: |_| {},
    words: |under, _| match under.join("run/config.toml").exists() {
        true => words("search --resume", &under.join("run"), &[]),
        false => words("search --out", &under.join("run"), &[SAMPLES, &SEARCHED].concat()),
    },
    outcome: |under, _| run(&under.join("run")),
    is_whole: false,
};

pub const TRAIN: Work = Work {
    name: "train",
    prepare: |_| {},
    words: |under, _| match under.join("run/config.toml").exists() {
        true => words("train --resume", &under.join("run"), &[]),
        false => words(&format!("train {CELL} --out"), &under.join("run"), &[SAMPLES, &TRAINED].concat()),
    },
    outcome: |under, _| run(&under.join("run")),
    is_whole: false,
};

pub const COMPARE: Work = Work {
    name: "compare",
    prepare: |_| {},
    words: |under, _| {
        let settings = [SAMPLES, &SEARCHED, &TRAINED].concat();
        words("compare shapes --methods sdas,random --seeds 1 --out", &under.join("all"), &settings)
    },
    outcome: |under, _| {
        let all = under.join("all");
        let mut outcome = run(&all.join("sdas/seed1/search"));
        for name in ["sdas", "random"] {
            let run = run(&all.join(name).join("seed1/train"));
            outcome.extend(run.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        }
        outcome.insert("compare.json".into(), timeless(&all.join("compare.json")));
        outcome
    },
    is_whole: false,
};

pub const PICTURES: Work = Work {
    name: "cache of pictures",
    prepare: |_| {},
    words: |under, shared| cache("data prepare", "folder", &shared.join("pictures"), under),
    // What a killed one has left is removed once it is old.
    outcome: |under, _| named(&under.join("cache"), |name| !name.starts_with('.')),
    is_whole: true,
};

pub const CLIPS: Work = Work {
    name: "cache of clips",
    prepare: |_| {},
    words: |under, shared| cache("data prepare", "clips", &shared.join("clips"), under),
    outcome: |under, shared| {
        // In which order they lie there is chance.
        let output =
            program().args(cache("data check --json", "clips", &shared.join("clips"), under)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
        ["clips", "bytes", "absent", "damaged"].map(|key| (key.into(), checked[key].to_string().into())).into()
    },
    is_whole: false,
};

pub const ONNX: Work = Work {
    name: "export to ONNX",
    prepare: |under| fs::write(under.join("net.onnx"), OLD).unwrap(),
    words: |under, _| words("export resnet20 --width 0.1 --to onnx --output", &under.join("net.onnx"), &[]),
    outcome: |under, _| named(under, |name| !name.starts_with('.')),
    is_whole: true,
};

pub const PYTORCH: Work = Work {
    name: "export to PyTorch",
    prepare: |_| {},
    words: |under, _| words("export resnet20 --width 0.1 --to pytorch --output", &under.join("net"), &[]),
    outcome: |under, _| named(&under.join("net"), |name| !name.starts_with('.')),
    is_whole: true,
};

/// What is there before an export, which is to be replaced whole.
pub const OLD: &[u8] = b"what was there before";

const SAMPLES: &[&str] = &["data.shapes.train=16", "data.shapes.test=10", "data.size=16"];
const SEARCHED: [&str; 7] = [
    "space.name=nb201",
    "search.epochs=2",
    "search.channels=1",
    "search.cells=3",
    "search.batch=4",
    "search.alpha_warmup=0",
    "search.schedule.start=0.05",
];
const TRAINED: [&str; 4] = ["train.epochs=2", "train.channels=2", "train.cells=3", "train.batch=8"];
const CELL: &str = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|skip_connect~2|";

/// The program, with one thread.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
    command.env("RAYON_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
    command
}

/// Samples that caches are made of, in `shared`.
pub fn make_samples(shared: &Path) {
    for (split, more) in [("train", 0), ("test", 5)] {
        for (class, value) in [("one", 50u8 + more), ("two", 200 + more)] {
            let pictures = shared.join("pictures").join(split).join(class);
            fs::create_dir_all(&pictures).unwrap();
            for number in 0..3u8 {
                let pixels: Vec<u8> = (0..192).map(|at: u8| at.wrapping_mul(value).wrapping_add(number)).collect();
                fs::write(pictures.join(format!("{number}.ppm")), [&b"P6 8 8 255\n"[..], &pixels].concat()).unwrap();
            }
            let clips = shared.join("clips").join(split).join(class);
            fs::create_dir_all(&clips).unwrap();
            let input = format!("color=c=#{value:02x}40ff:s=16x16:r=5:d=0.6");
            let ffmpeg = Command::new("ffmpeg")
                .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &input, "-c:v", "mpeg4", "-y"])
                .arg(clips.join("a.avi"))
                .status();
            assert!(ffmpeg.unwrap().success());
        }
    }
}

fn words(command: &str, to: &Path, settings: &[&str]) -> Vec<String> {
    let settings = settings.iter().flat_map(|&setting| ["--set", setting]);
    command.split(' ').chain([to.to_str().unwrap()]).chain(settings).map(str::to_owned).collect()
}

fn cache(command: &str, kind: &str, samples: &Path, under: &Path) -> Vec<String> {
    let keep = if kind == "folder" { "data.keep=\"cache\"" } else { "data.broken=\"error\"" };
    let settings = [
        format!("data.kind={kind}"),
        format!("data.path={:?}", samples),
        format!("data.cache={:?}", under.join("cache")),
        "data.size=16".to_owned(),
        keep.to_owned(),
    ];
    let settings = settings.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]);
    command.split(' ').chain(["shapes"]).map(str::to_owned).chain(settings).collect()
}

/// The last checkpoint's tensors, and the files that must not depend on when a run was stopped.
fn run(folder: &Path) -> Outcome {
    let mut outcome = named(folder, |name| ["decisions.jsonl", "cells.jsonl", "genotype.json"].contains(&name));
    let last = checkpoints(folder).pop().expect("a run has checkpoints");
    // The state has times, which differ from run to run; the numbers do not.
    for (name, values) in Checkpoint::read(&last).unwrap().tensors {
        let name = format!("{} of {}", name, last.file_name().unwrap().display());
        outcome.insert(name, values.into_iter().flat_map(f32::to_le_bytes).collect());
    }
    outcome.insert("result.json".into(), timeless(&folder.join("result.json")));
    outcome
}

/// The whole checkpoints of a run, oldest first.
pub fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let all = files(&folder.join("checkpoints")).into_keys();
    all.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors")).collect()
}

/// A file's bytes; of safetensors the header in one order, since that of its metadata is chance.
pub fn plain(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let header = || {
        let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?) as usize;
        let (header, tensors) = bytes[8..].split_at_checked(length)?;
        let header: Value = serde_json::from_slice(header).ok()?;
        Some([header.to_string().as_bytes(), tensors].concat())
    };
    let ordered = if name.ends_with(".safetensors") { header() } else { None };
    ordered.unwrap_or(bytes)
}

/// Files directly in a folder.
fn named(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Outcome {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let all = files(folder).into_iter().map(|(path, bytes)| (name(&path), bytes));
    let meant = all.filter(|(name, _)| !name.contains('/') && is_meant(name));
    meant.map(|(name, bytes)| (name.clone(), plain(&name, bytes))).collect()
}

/// A file of JSON without what was measured of time and memory.
fn timeless(path: &Path) -> Vec<u8> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                entries.retain(|key, _| !key.contains("seconds") && !key.contains("memory"));
                entries.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    strip(&mut value);
    value.to_string().into_bytes()
}
