//! What a user with a folder of pictures sees.

mod running;

use running::{printed, sdas};
use std::fs;
use std::path::Path;

/// A picture of one colour.
fn picture(path: &Path, colour: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [b"P6 8 8 255\n".as_slice(), &[colour; 8 * 8 * 3]].concat()).unwrap();
}

/// Two classes, two pictures of each to train on and one to test on.
fn set(root: &Path) {
    for (colour, name) in (0..).zip(["train/a/1", "train/a/2", "train/b/1", "train/b/2", "test/a/3", "test/b/3"]) {
        picture(&root.join(name).with_extension("ppm"), 40 * colour);
    }
}

fn refused(arguments: &[&str]) -> String {
    let output = sdas(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn pictures_that_cannot_be_used_as_they_are_are_counted_and_named() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("set");
    set(&root);
    let text = |path: &Path| path.display().to_string();
    let (data, cache) = (text(&root), format!("data.cache={}", text(&place.path().join("cache"))));
    let prepare = ["data", "prepare", "folder", "--data", &data, "--set", &cache];
    for found in [0, 6, 6] {
        let prepared = printed(&prepare);
        assert!(prepared.contains(&format!("6 ({found} were there before)")), "{prepared}");
    }

    fs::write(root.join("train/a/cut.png"), "no picture").unwrap();
    fs::write(root.join("train/a/notes.txt"), "no picture").unwrap();
    fs::copy(root.join("train/b/1.ppm"), root.join("test/b/copy.ppm")).unwrap();
    let error = refused(&prepare);
    assert!(error.contains("cut.png: ") && error.contains("`data.broken`"), "{error}");
    let skip = [&prepare[..], &["--set", "data.broken=skip"]].concat();
    let error = refused(&skip);
    assert!(error.contains("copy.ppm: the same as ") && error.contains("`data.duplicates`"), "{error}");
    let output = sdas(&[&skip[..], &["--set", "data.duplicates=warn"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("7 (7 were there before)"));
    for words in ["1 broken:", "1 passed over by their endings: 1 .txt", "1 of the test set also in the training set:"]
    {
        assert!(told.contains(words), "{told}");
    }

    let error = refused(&[&skip[..], &["--set", "data.max_pixels=63"]].concat());
    assert!(error.contains("has no pictures that can be decoded"), "{error}");
}

#[test]
fn one_class_is_nothing_to_search() {
    let place = tempfile::tempdir().unwrap();
    let (root, out) = (place.path().join("set"), place.path().join("run"));
    set(&root);
    for folder in ["train/b", "test/b"] {
        fs::remove_dir_all(root.join(folder)).unwrap();
    }
    let [data, run] = [&root, &out].map(|path| path.display().to_string());
    let error = refused(&["search", "folder", "--data", &data, "--out", &run]);
    assert!(error.contains("only one class, `a`") && error.contains("two classes or more"), "{error}");
    assert!(!out.exists());
}
