//! The memory-mapped cache: the same pictures, made once, and never trusted when it should not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use image::{Rgb, RgbImage};
use sdas_data::{DataError, Dataset, Kind, Resize, Shapes, Source, Splits, check, load, prepare};
use tempfile::TempDir;

/// Two classes of one picture each in both splits, and a cache folder that is not there yet.
fn pictures() -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    for (i, place) in ["train/a", "train/b", "val/a", "val/b"].into_iter().enumerate() {
        fs::create_dir_all(folder.path().join(place)).unwrap();
        save(&folder.path().join(place).join("1.png"), i as u8 * 50);
    }
    let source = Source {
        path: Some(folder.path().into()),
        cache: Some(folder.path().join("cache/deep")),
        ..Source::new(Kind::Folder)
    };
    (folder, source)
}

fn save(path: &Path, value: u8) {
    RgbImage::from_fn(6, 4, |x, y| Rgb([value, x as u8, y as u8])).save(path).unwrap();
}

/// The splits, and whether the cache was written for them.
fn load_cached(source: &Source) -> (Splits, bool) {
    let written = || cache_file(source)?.metadata().ok()?.modified().ok();
    let before = written();
    let splits = load(source, &|building| assert!(building.done <= building.total)).unwrap();
    assert!(splits.train.is_mapped() && splits.test.is_mapped());
    (splits, before != written())
}

fn cache_file(source: &Source) -> Option<PathBuf> {
    let files: Vec<_> = source.cache.as_ref()?.read_dir().ok()?.flatten().map(|entry| entry.path()).collect();
    assert!(files.len() <= 1, "{files:?}");
    files.into_iter().next()
}

fn same(one: &Dataset, other: &Dataset) -> bool {
    one.labels() == other.labels()
        && one.classes() == other.classes()
        && one.size() == other.size()
        && (0..one.len()).all(|i| one.pixels(i) == other.pixels(i))
}

#[test]
fn cached_pictures_are_the_decoded_ones() {
    let (_folder, source) = pictures();
    let plain = load(&Source { cache: None, ..source.clone() }, &|_| {}).unwrap();
    assert!(!plain.train.is_mapped());
    for made in [true, false, false] {
        let (cached, decoded) = load_cached(&source);
        assert_eq!(decoded, made);
        assert!(same(&cached.train, &plain.train) && same(&cached.test, &plain.test));
        assert_eq!(cached.test_name, "val");
    }
}

#[test]
fn pictures_that_were_there_before_are_counted() {
    let (folder, source) = pictures();
    let found = |source: &Source| prepare(source, &|_| {}).unwrap().found;
    assert_eq!([found(&source), found(&source)], [0, 4]);
    save(&folder.path().join("train/b/2.png"), 99);
    assert_eq!([found(&source), found(&source)], [0, 5]);
    assert_eq!(found(&Source { cache: None, ..source }), 0);
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let (_folder, source) = pictures();
    let plain = load(&Source { cache: None, ..source.clone() }, &|_| {}).unwrap();
    load_cached(&source);
    let file = cache_file(&source).unwrap();
    let whole = fs::read(&file).unwrap();
    // Cut off, or with one byte altered; all parts of the file are hit, the footer eight times.
    for at in (0..whole.len()).step_by(3) {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        for bytes in [&whole[..at], &altered] {
            fs::write(&file, bytes).unwrap();
            fs::File::open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            let checked = check(&source).unwrap();
            assert_eq!((checked.clips, checked.damaged.count, &checked.damaged.first[0].0), (0, 1, &file));
            let (cached, decoded) = load_cached(&source);
            assert!(decoded, "byte {at} of {}", whole.len());
            assert!(same(&cached.train, &plain.train) && same(&cached.test, &plain.test));
        }
    }
    assert_eq!(fs::read(&file).unwrap(), whole);
    let checked = check(&source).unwrap();
    assert_eq!((checked.clips, checked.damaged.count), (plain.train.len() + plain.test.len(), 0));
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let (_folder, source) = pictures();
    let cache = source.cache.clone().unwrap();
    fs::create_dir_all(&cache).unwrap();
    let left = |name: &str, age: u64| {
        let path = cache.join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        (path, file)
    };
    let (abandoned, file) = left(".unfinished-old", 3600);
    drop(file);
    let (at_work, file) = left(".unfinished-slow", 3600);
    file.lock().unwrap();
    let (young, _) = left(".unfinished-young", 0);
    let (other, _) = left("mine", 3600);
    load(&source, &|_| {}).unwrap();
    assert_eq!([&abandoned, &at_work, &young, &other].map(|path| path.exists()), [false, true, true, true]);
}

#[test]
fn a_stale_cache_is_made_anew() {
    let (folder, source) = pictures();
    let (old, _) = load_cached(&source);
    let picture = folder.path().join("train/b/1.png");

    // The same length, another time.
    save(&picture, 51);
    fs::File::options()
        .append(true)
        .open(&picture)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(9))
        .unwrap();
    let (new, decoded) = load_cached(&source);
    assert!(decoded);
    assert_eq!((new.train.pixels(1)[0], old.train.pixels(1)[0]), (51, 50));

    // One more picture.
    save(&folder.path().join("train/b/2.png"), 99);
    let (new, decoded) = load_cached(&source);
    assert!(decoded);
    assert_eq!((new.train.len(), old.train.len()), (3, 2));
}

#[test]
fn every_source_has_its_own_file() {
    let (_folder, source) = pictures();
    let sources = [
        Source { size: Some(4), ..source.clone() },
        Source { size: Some(5), ..source.clone() },
        Source { size: Some(4), resize: Resize::Squash, ..source.clone() },
        Source { kind: Kind::Shapes, path: None, shapes: Shapes { train: 10, test: 10, seed: 0 }, ..source.clone() },
        Source { kind: Kind::Shapes, path: None, shapes: Shapes { train: 10, test: 10, seed: 1 }, ..source.clone() },
    ];
    for source in &sources {
        load(source, &|_| {}).unwrap();
    }
    assert_eq!(source.cache.unwrap().read_dir().unwrap().count(), sources.len());
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let (folder, source) = pictures();
    fs::write(folder.path().join("val/b/1.png"), "").unwrap();
    load(&source, &|_| {}).unwrap_err();
    assert_eq!(source.cache.unwrap().read_dir().unwrap().count(), 0);
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error() {
    let (folder, mut source) = pictures();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    source.cache = Some(file.clone());
    let error = load(&source, &|_| {}).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }));
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()) && text.contains("set `data.cache`"), "{text}");
}
