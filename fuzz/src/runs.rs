//! Runs: recipes, checkpoints, a run's folder and a comparison's as they are read back, and files of weights.

use crate::data::{file, folder};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sdas::recipe::Recipe;
use sdas::report::{Form, Measured, page};
use sdas::run::Checkpoint;
use sdas::weights::NamedTensors;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::{NamedTempFile, TempDir};
use zip::write::SimpleFileOptions;

pub(crate) fn recipe_seeds() -> Vec<Vec<u8>> {
    let whole = Recipe::default().to_toml();
    let own = "base = \"shapes\"\n[search]\nschedule = { kind = \"step\", every = 2, from = 3 }\n[search.budget]\n\
               parameters = 500000\n[methods.mine.search]\nbatch = 32\n[data.augment]\n";
    vec![whole.into_bytes(), own.as_bytes().to_vec()]
}

pub(crate) fn recipe(bytes: &[u8]) {
    let Ok(recipe) = Recipe::from_toml(&String::from_utf8_lossy(bytes), "a file", "file", &[]) else { return };
    let text = recipe.to_toml();
    let again = Recipe::from_toml(&text, "a file", "file", &[]);
    assert!(again.is_ok_and(|again| again.to_toml() == text), "a recipe is read back as another:\n{text}");
}

pub(crate) fn override_seeds() -> Vec<Vec<u8>> {
    let all = "search.epochs=3\nsearch.schedule={kind=\"cosine\",start=0.1,end=0.9}\ndata.size=64\n\
               search.criterion=sgas2\nspace.operations=[\"skip_connect\", \"sep_conv_3x3\"]\ntrain.weights.rate=1e-3\n\
               data.kind=clips\nsearch.relaxation={ kind = \"partial\", share = 2 }\neval.clips=3\ndata.max_pixels=100";
    vec![all.as_bytes().to_vec(), b"search.batch=18446744073709551615".to_vec()]
}

pub(crate) fn overrides(bytes: &[u8]) {
    let all: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    let _ = Recipe::from_toml("base = \"shapes\"", "a file", "file", &all);
}

pub(crate) fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let state = serde_json::json!({ "phase": "search", "epoch": 3, "plans": [{ "states": ["open"] }] });
    let mut checkpoint = Checkpoint::new(&state);
    let empty = checkpoint.to_bytes();
    checkpoint.tensors.insert("weights.0".to_owned(), vec![1.0, -2.5, f32::NAN]);
    checkpoint.tensors.insert("momentum.0".to_owned(), vec![]);
    vec![empty, checkpoint.to_bytes()]
}

pub(crate) fn checkpoint(bytes: &[u8]) {
    static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| file(".safetensors"));
    let path = FILE.path();
    fs::write(path, bytes).expect("there is room");
    let Ok(mut read) = Checkpoint::read(path) else { return };
    let _ = read.state::<Value>(path);
    let _ = read.take_values("weights.0", 3, path);
    let _ = read.finish(path);
}

/// A run's files, and the folder that they lie in, where one of them is replaced.
struct Place {
    folder: TempDir,
    files: &'static [(&'static str, &'static str)],
}

impl Place {
    fn new(files: &'static [(&'static str, &'static str)]) -> Place {
        let place = Place { folder: folder(), files };
        place.restore();
        place
    }

    fn restore(&self) {
        for (name, text) in self.files {
            fs::write(self.folder.path().join(name), text).expect("there is room");
        }
    }

    /// Each file as an input: its number first.
    fn seeds(files: &[(&str, &str)]) -> Vec<Vec<u8>> {
        (0..).zip(files).map(|(number, (_, text))| [&[number], text.as_bytes()].concat()).collect()
    }

    /// The page of the folder, where one file is another.
    fn read(&self, bytes: &[u8]) {
        let Some((&number, bytes)) = bytes.split_first() else { return };
        let (name, before) = self.files[usize::from(number) % self.files.len()];
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, bytes).expect("there is room");
        let made = page(self.folder.path(), &Measured::Not("nobody asked".to_owned()), Form::File);
        if let Ok(html) = made {
            assert!(html.starts_with("<!doctype html>"));
        }
        fs::write(path, before).expect("there is room");
    }
}

/// Of a search of two epochs.
const RUN: [(&str, &str); 6] = [
    ("metrics.jsonl", include_str!("../seeds/run/metrics.jsonl")),
    ("decisions.jsonl", include_str!("../seeds/run/decisions.jsonl")),
    ("cells.jsonl", include_str!("../seeds/run/cells.jsonl")),
    ("genotype.json", include_str!("../seeds/run/genotype.json")),
    ("result.json", include_str!("../seeds/run/result.json")),
    ("config.toml", include_str!("../seeds/run/config.toml")),
];

pub(crate) fn folder_seeds() -> Vec<Vec<u8>> {
    Place::seeds(&RUN)
}

pub(crate) fn folder_of_run(bytes: &[u8]) {
    static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new(&RUN));
    PLACE.read(bytes);
}

const COMPARED: [(&str, &str); 1] = [("compare.json", include_str!("../seeds/compare.json"))];

pub(crate) fn comparison_seeds() -> Vec<Vec<u8>> {
    Place::seeds(&COMPARED)
}

pub(crate) fn comparison(bytes: &[u8]) {
    static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new(&COMPARED));
    PLACE.read(bytes);
}

pub(crate) fn safetensors_seeds() -> Vec<Vec<u8>> {
    let bytes = [0u8; 24];
    let view = |dtype, shape: &[usize], length| TensorView::new(dtype, shape.to_vec(), &bytes[..length]).expect("fits");
    let tensors = [
        ("module.conv.weight", view(Dtype::F32, &[2, 3], 24)),
        ("bias", view(Dtype::F16, &[3], 6)),
        ("scale", view(Dtype::F64, &[], 8)),
        ("none", view(Dtype::BF16, &[0, 5], 0)),
    ];
    vec![safetensors::serialize(tensors, Some(HashMap::new())).expect("names and sizes are fine")]
}

pub(crate) fn safetensors(bytes: &[u8]) {
    static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| file(".safetensors"));
    fs::write(FILE.path(), bytes).expect("there is room");
    let _ = NamedTensors::read(FILE.path());
}

/// The pickle of a state dict of one tensor, as `torch.save` writes it.
fn pickle() -> Vec<u8> {
    let mut text = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x06\x00\x00\x00weightq\x02".to_vec();
    text.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05");
    text.extend(
        b"X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x04tq\x08QK\x00K\x02K\x02\x86q\x09K\x02K\x01\x86q\x0a",
    );
    text.extend(b"\x89ccollections\nOrderedDict\nq\x0b)Rq\x0ctq\x0dRq\x0es.");
    text
}

/// A file of `torch.save` with this pickle, since a fuzzer does not get past the checksums of an archive.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in
        [("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &[0; 16]), ("a/version", b"3\n")]
    {
        archive.start_file(name, stored).expect("in memory");
        archive.write_all(bytes).expect("in memory");
    }
    archive.finish().expect("in memory").into_inner()
}

pub(crate) fn pth_seeds() -> Vec<Vec<u8>> {
    let whole = archive(&pickle());
    vec![[&[0], &*pickle()].concat(), [&[1], &*whole].concat(), [&[1], &*pickle()].concat()]
}

pub(crate) fn pth(bytes: &[u8]) {
    static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| file(".pth"));
    let Some((&is_whole, bytes)) = bytes.split_first() else { return };
    let bytes = if is_whole == 0 { archive(bytes) } else { bytes.to_vec() };
    fs::write(FILE.path(), bytes).expect("there is room");
    let _ = NamedTensors::read(FILE.path());
}
