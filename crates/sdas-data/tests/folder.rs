//! Folders of pictures: what is read, what is not, and every way they can be broken.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use sdas_data::{DataError, Kind, Resize, Source, Splits, Unusable, load};
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
fn all_levels_are_read_and_other_files_are_counted() {
    let folder = pictures("val");
    let cat = folder.path().join("train/cat");
    save(cat.join("images/0.png"), 8, 8, [7, 7, 7]);
    save(cat.join("indoors/at/night/9.png"), 8, 8, [8, 8, 8]);
    fs::write(cat.join("boxes.txt"), "text").unwrap();
    fs::write(cat.join("indoors/at/1.TIFF"), "a picture").unwrap();
    fs::write(cat.join("indoors/at/2.tiff"), "another").unwrap();
    fs::write(cat.join(".hidden.png"), "not a picture").unwrap();
    save(folder.path().join("train/forgotten.png"), 8, 8, [0; 3]);
    fs::create_dir(folder.path().join("train/.cache")).unwrap();
    fs::write(folder.path().join("val/dog/README"), "text").unwrap();
    // A link to a folder that it lies in is not gone after, one to another folder is.
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", cat.join("indoors/up")).unwrap();
    let splits = load_folder(folder.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 0, 0, 1]);
    assert_eq!((splits.train.pixels(2), splits.train.pixels(3)), (&[7; 192][..], &[8; 192][..]));
    let passed_over = splits.remarks.passed_over;
    assert_eq!(passed_over.count, 5);
    let endings = [(".tiff", 2), (".png", 1), (".txt", 1), ("without ending", 1)];
    assert_eq!(passed_over.endings, endings.map(|(ending, count)| (ending.to_owned(), count)));
}

#[test]
fn pictures_of_other_formats_are_read() {
    let folder = pictures("val");
    for name in ["3.webp", "4.bmp", "5.ppm", "6.JFIF"] {
        let picture = RgbImage::from_pixel(8, 8, Rgb([0, name.as_bytes()[0], 255]));
        let format = image::ImageFormat::from_path(name).unwrap_or(image::ImageFormat::Jpeg);
        picture.save_with_format(folder.path().join("train/cat").join(name), format).unwrap();
    }
    let splits = load_folder(folder.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 0, 0, 0, 0, 1]);
    for (i, digit) in [2, 3, 4].into_iter().zip(b"345") {
        assert_eq!(splits.train.pixels(i), [0, *digit, 255].repeat(64));
    }
    assert!(splits.train.pixels(5).chunks(3).all(|pixel| pixel[1].abs_diff(b'6') < 9 && pixel[2] > 240));
}

/// A JPEG and a PNG of 8×8 that say that they are `width`×`height`.
fn boasting(folder: &Path, [width, height]: [u16; 2]) -> [PathBuf; 2] {
    let [jpeg, png] = ["boast.jpg", "boast.png"].map(|name| folder.join(name));
    save(&jpeg, 8, 8, [1, 1, 1]);
    let mut bytes = fs::read(&jpeg).unwrap();
    // The frame header: marker, length, bits, height, width.
    let frame = bytes.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    fs::write(&jpeg, bytes).unwrap();

    save(&png, 8, 8, [2, 2, 2]);
    let mut bytes = fs::read(&png).unwrap();
    // After the signature: length, "IHDR", width, height, five bytes, checksum of all but the length.
    bytes[16..20].copy_from_slice(&u32::from(width).to_be_bytes());
    bytes[20..24].copy_from_slice(&u32::from(height).to_be_bytes());
    let checksum = crc32(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&checksum);
    fs::write(&png, bytes).unwrap();
    [jpeg, png]
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn pictures_larger_than_allowed_are_refused_before_they_are_decoded() {
    let folder = pictures("val");
    let files = boasting(&folder.path().join("train/cat"), [65000, 64000]);
    for file in &files {
        let text = message(load_folder(folder.path()), file);
        let words =
            "it says that it is 65000×64000, which is 4160000000 pixels, more than `data.max_pixels` = 120000000";
        assert!(text.contains("2 of 7 pictures cannot be decoded") && text.contains(words), "{text}");
        let asked = Source { size: Some(8), ..source(folder.path()) };
        let error = sdas_data::open_files(&asked, &["cat".into()], std::slice::from_ref(file)).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()) && error.contains(words), "{error}");
    }

    // Exactly as many as are allowed are.
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let with = |max_pixels| load(&Source { max_pixels, ..source(folder.path()) }, &|_| {});
    assert!(with(64).is_ok());
    let text = message(with(63), folder.path().join("train/cat/1.png"));
    assert!(text.contains("5 of 5 pictures") && text.contains("is 8×8, which is 64 pixels"), "{text}");
    assert!(with(0).unwrap_err().to_string().contains("`data.max_pixels` cannot be 0"));
    assert!(with(u64::MAX).unwrap_err().to_string().contains("from 1 to 4294967296"));
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
    assert!(
        text.contains("1 of 6 pictures") && text.contains("truncated") && text.contains("set `data.broken`"),
        "{text}"
    );

    let png = fs::read(cat.join("1.png")).unwrap();
    fs::write(cat.join("cut.png"), &png[..png.len() / 2]).unwrap();
    for i in 0..10 {
        fs::write(cat.join(format!("empty{i}.png")), "").unwrap();
    }
    let last = folder.path().join("val/dog/none.jpg");
    fs::write(&last, "<html>not found</html>").unwrap();
    let source = Source { cache: Some(folder.path().join("cache")), ..source(folder.path()) };
    let text = message(load(&source, &|_| {}), cat.join("cut.png"));
    assert!(text.contains("13 of 18 pictures") && text.contains("and 3 more"), "{text}");
    assert_eq!(text.lines().count(), 1 + 10 + 1 + 1, "{text}");
    assert!(!text.contains("none.jpg"));
    // All of them are in a file.
    let list = text.lines().find_map(|line| line.split("all are named in ").nth(1)).unwrap();
    let list = fs::read_to_string(list).unwrap();
    assert_eq!(list.lines().count(), 13, "{list}");
    assert!(list.lines().last().unwrap().starts_with(&last.display().to_string()), "{list}");
}

#[test]
fn broken_pictures_can_be_skipped() {
    let folder = pictures("val");
    let [first, cat, dog] =
        ["train/cat/0.png", "train/cat/3.png", "val/dog/a.jpg"].map(|name| folder.path().join(name));
    fs::write(&first, "no picture").unwrap();
    fs::write(&cat, "").unwrap();
    fs::copy(folder.path().join("train/dog/a.JPG"), &dog).unwrap();
    let whole = fs::read(&dog).unwrap();
    fs::write(&dog, &whole[..whole.len() - 9]).unwrap();
    let cache = Some(folder.path().join("cache"));
    for cache in [None, cache.clone(), cache] {
        let source = Source { broken: Unusable::Skip, cache, ..source(folder.path()) };
        let splits = load(&source, &|_| {}).unwrap();
        assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 0, 1][..], &[0, 1][..]));
        assert_eq!(
            (splits.train.pixels(0), splits.test.pixels(0)),
            (&[40, 50, 60].repeat(64)[..], &[1, 2, 3].repeat(64)[..])
        );
        let broken = splits.remarks.broken;
        assert_eq!(broken.count, 3);
        assert_eq!(broken.first.iter().map(|(file, _)| file).collect::<Vec<_>>(), [&first, &cat, &dog]);
        assert_eq!(broken.first[2].1, "the file is truncated");
        // Whoever does not allow it has no use for that cache.
        let text = message(load(&Source { broken: Unusable::Error, ..source }, &|_| {}), &cat);
        assert!(text.contains("3 of 8 pictures cannot be decoded"), "{text}");
    }
    // A class of which nothing is left is an error all the same.
    fs::write(folder.path().join("train/dog/a.JPG"), "").unwrap();
    let source = Source { broken: Unusable::Skip, ..source(folder.path()) };
    let text = message(load(&source, &|_| {}), folder.path().join("train/dog"));
    assert!(text.contains("class `dog` has no pictures that can be decoded"), "{text}");
}

#[test]
fn a_link_that_leads_nowhere_is_broken() {
    #[cfg(unix)]
    for cache in [false, true] {
        let folder = pictures("val");
        let lost = folder.path().join("train/cat/lost.png");
        std::os::unix::fs::symlink("/nowhere/lost.png", &lost).unwrap();
        let cache = cache.then(|| folder.path().join("cache"));
        let text = message(load(&Source { cache, ..source(folder.path()) }, &|_| {}), &lost);
        assert!(text.contains("1 of 6 pictures cannot be decoded") && text.contains("No such file"), "{text}");
    }
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
