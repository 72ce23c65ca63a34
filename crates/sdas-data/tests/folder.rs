//! Folders of pictures: what is read, what is not, and every way they can be broken.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use sdas_data::{DataError, Kind, Resize, Source, Splits, load};
use tempfile::TempDir;

fn save(path: impl AsRef<Path>, width: u32, height: u32, colour: [u8; 3]) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, Rgb(colour)).save(path).unwrap();
}

/// Two classes, three 8×8 pictures in train and two in `test_name`.
fn pictures(test_name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    save(root.join("train/cat/2.png"), 8, 8, [10, 20, 30]);
    save(root.join("train/cat/1.png"), 8, 8, [40, 50, 60]);
    save(root.join("train/dog/a.JPG"), 8, 8, [200, 200, 200]);
    save(root.join(test_name).join("dog/b.jpeg"), 8, 8, [100, 100, 100]);
    save(root.join(test_name).join("cat/c.PNG"), 8, 8, [1, 2, 3]);
    folder
}

fn source(path: &Path) -> Source {
    Source { path: Some(path.into()), ..Source::new(Kind::Folder) }
}

fn load_folder(path: &Path) -> Result<Splits, DataError> {
    load(&source(path), &|_| {})
}

/// The message, after checking that it names `place` and has a remedy.
fn message(result: Result<Splits, DataError>, place: impl AsRef<Path>) -> String {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(&place.as_ref().display().to_string()), "{message}");
    assert!(message.contains("remedy: "), "{message}");
    message
}

#[test]
fn classes_and_pictures_are_sorted() {
    for test_name in ["test", "val"] {
        let folder = pictures(test_name);
        let splits = load_folder(folder.path()).unwrap();
        assert_eq!(splits.test_name, test_name);
        assert_eq!(splits.train.classes(), ["cat", "dog"]);
        assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 0, 1][..], &[0, 1][..]));
        assert_eq!(splits.train.size(), [8, 8]);
        assert_eq!(splits.train.pixels(0), [40, 50, 60].repeat(64));
        assert_eq!(splits.train.pixels(1), [10, 20, 30].repeat(64));
        assert!(splits.train.pixels(2).iter().all(|value| value.abs_diff(200) < 3));
        assert_eq!(splits.test.pixels(0), [1, 2, 3].repeat(64));
    }
}

#[test]
fn test_is_preferred_to_val() {
    let folder = pictures("val");
    save(folder.path().join("test/cat/x.png"), 8, 8, [9, 9, 9]);
    save(folder.path().join("test/dog/y.png"), 8, 8, [9, 9, 9]);
    assert_eq!(load_folder(folder.path()).unwrap().test_name, "test");
}

#[test]
fn other_files_are_passed_over_and_one_more_level_is_read() {
    let folder = pictures("val");
    let cat = folder.path().join("train/cat");
    save(cat.join("images/0.png"), 8, 8, [7, 7, 7]);
    fs::write(cat.join("boxes.txt"), "text").unwrap();
    fs::write(cat.join(".hidden.png"), "not a picture").unwrap();
    fs::write(folder.path().join("train/list.txt"), "text").unwrap();
    fs::create_dir(folder.path().join("train/.cache")).unwrap();
    let splits = load_folder(folder.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 0, 1]);
    assert_eq!(splits.train.pixels(2), [7; 192]);
}

#[test]
fn gray_and_transparent_pictures_of_any_size_become_rgb_of_one() {
    let folder = pictures("val");
    let cat = folder.path().join("train/cat");
    GrayImage::from_pixel(30, 20, Luma([77])).save(cat.join("3.jpg")).unwrap();
    RgbaImage::from_pixel(5, 50, Rgba([0, 0, 0, 0])).save(cat.join("4.png")).unwrap();
    for resize in [Resize::Crop, Resize::Squash] {
        let source = Source { size: Some(12), resize, ..source(folder.path()) };
        let splits = load(&source, &|_| {}).unwrap();
        assert_eq!((splits.train.size(), splits.test.size()), ([12, 12], [12, 12]));
        assert_eq!(splits.train.pixels(0), [40, 50, 60].repeat(144));
        assert!(splits.train.pixels(2).iter().all(|value| value.abs_diff(77) < 3));
        assert_eq!(splits.train.pixels(3), [255; 432]);
    }
}

#[test]
fn pictures_of_several_sizes_need_one() {
    let folder = pictures("val");
    let odd = folder.path().join("val/dog/z.png");
    save(&odd, 9, 8, [0; 3]);
    let text = message(load_folder(folder.path()), &odd);
    assert!(text.contains("is 8×8") && text.contains("is 9×8") && text.contains("set `data.size`"), "{text}");
    for size in [0, 5000] {
        let error = load(&Source { size: Some(size), ..source(folder.path()) }, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("from 1 to 4096"), "{error}");
    }
}

#[test]
fn all_broken_files_are_found_before_failing() {
    let folder = pictures("val");
    let cat = folder.path().join("train/cat");
    let cut = folder.path().join("train/cat/cut.jpg");
    let whole = fs::read(folder.path().join("train/dog/a.JPG")).unwrap();
    fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let text = message(load_folder(folder.path()), &cut);
    assert!(text.contains("1 of 6 pictures") && text.contains("truncated") && text.contains("this file"), "{text}");

    let png = fs::read(cat.join("1.png")).unwrap();
    fs::write(cat.join("cut.png"), &png[..png.len() / 2]).unwrap();
    for i in 0..10 {
        fs::write(cat.join(format!("empty{i}.png")), "").unwrap();
    }
    let last = folder.path().join("val/dog/none.jpg");
    fs::write(&last, "<html>not found</html>").unwrap();
    let text = message(load_folder(folder.path()), cat.join("cut.png"));
    assert!(text.contains("13 of 18 pictures") && text.contains("and 3 more"), "{text}");
    assert_eq!(text.lines().count(), 1 + 10 + 1 + 1, "{text}");
    assert!(!text.contains("none.jpg"));
}

#[test]
fn an_empty_class_is_an_error() {
    for split in ["train", "val"] {
        let folder = pictures("val");
        let empty = folder.path().join(split).join("ant");
        for split in ["train", "val"] {
            save(folder.path().join(split).join("ant/1.png"), 8, 8, [0; 3]);
        }
        fs::rename(empty.join("1.png"), empty.join("1.gif")).unwrap();
        let text = message(load_folder(folder.path()), &empty);
        assert!(text.contains("class `ant` has no pictures") && text.contains(".jpg"), "{text}");
    }
}

#[test]
fn classes_must_agree() {
    let folder = pictures("val");
    save(folder.path().join("val/bird/1.png"), 8, 8, [0; 3]);
    let text = message(load_folder(folder.path()), folder.path().join("val"));
    assert!(text.contains("unknown `bird`") && !text.contains("missing"), "{text}");
    save(folder.path().join("train/cow/1.png"), 8, 8, [0; 3]);
    let text = message(load_folder(folder.path()), folder.path().join("val"));
    assert!(text.contains("missing `cow`; unknown `bird`"), "{text}");
}

#[test]
fn a_folder_without_train_or_test_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(load_folder(folder.path()), folder.path()).contains("found an empty folder"));
    fs::create_dir(folder.path().join("training")).unwrap();
    let text = message(load_folder(folder.path()), folder.path());
    assert!(text.contains("expected a folder `train`, found `training/`"), "{text}");

    fs::create_dir(folder.path().join("train")).unwrap();
    let text = message(load_folder(folder.path()), folder.path());
    assert!(text.contains("no pictures to test on") && text.contains("move a part"), "{text}");

    fs::create_dir(folder.path().join("val")).unwrap();
    let text = message(load_folder(folder.path()), folder.path().join("train"));
    assert!(text.contains("expected one folder per class, found an empty folder"), "{text}");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(message(load_folder(&file), &file).contains("found a file"));
    let missing = folder.path().join("missing");
    assert!(message(load_folder(&missing), &missing).contains("found nothing"));
    let error = load(&Source::new(Kind::Folder), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("set `data.path` (--data)"), "{error}");
}

#[test]
fn recipes_name_kinds_and_ways_to_resize() {
    let source: Source = serde_json::from_str(r#"{"kind": "cifar100", "path": "x", "resize": "squash"}"#).unwrap();
    assert_eq!((source.kind, source.resize, source.shapes.train), (Kind::Cifar100, Resize::Squash, 4000));
    assert_eq!(serde_json::from_str::<Source>(&serde_json::to_string(&source).unwrap()).unwrap(), source);
    assert!(serde_json::from_str::<Source>(r#"{"kind": "folder", "sise": 3}"#).is_err());
    assert_eq!("folder".parse::<Kind>().unwrap(), Kind::Folder);
    let error = "imagenet".parse::<Kind>().unwrap_err().to_string();
    assert!(error.contains("`imagenet`") && error.contains("`folder`"), "{error}");
}
