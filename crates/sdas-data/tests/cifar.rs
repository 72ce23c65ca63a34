//! The binary versions of CIFAR, from tiny files of the same format.

use std::fs;
use std::path::Path;

use sdas_data::{DataError, Kind, Source, Splits, load};
use tempfile::TempDir;

/// A record whose red plane counts up from the label, green is 100 and blue 200 everywhere.
fn record(labels: &[u8]) -> Vec<u8> {
    let label = *labels.last().unwrap();
    let red = (0..1024).map(|i| (i % 100) as u8 + label);
    labels.iter().copied().chain(red).chain([100; 1024]).chain([200; 1024]).collect()
}

/// Five files of two records and one of ten.
fn cifar10() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..5u8 {
        let records = [record(&[2 * i]), record(&[2 * i + 1])].concat();
        fs::write(folder.path().join(format!("data_batch_{}.bin", i + 1)), records).unwrap();
    }
    let test: Vec<u8> = (0..10).rev().flat_map(|label| record(&[label])).collect();
    fs::write(folder.path().join("test_batch.bin"), test).unwrap();
    folder
}

fn source(kind: Kind, path: &Path) -> Source {
    Source { path: Some(path.into()), ..Source::new(kind) }
}

fn load10(path: &Path) -> Result<Splits, DataError> {
    load(&source(Kind::Cifar10, path), &|_| {})
}

/// The message, after checking that it names `place` and has a remedy.
fn message(result: Result<Splits, DataError>, place: impl AsRef<Path>) -> String {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(&place.as_ref().display().to_string()), "{message}");
    assert!(message.contains("remedy: "), "{message}");
    message
}

#[test]
fn cifar10_is_read() {
    let folder = cifar10();
    let splits = load10(folder.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(splits.test.labels(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(splits.train.classes()[9], "truck");
    assert_eq!((splits.train.size(), splits.test.channels()), ([32, 32], 3));
    // Planes have become pixels: the second pixel of the picture labelled 7.
    assert_eq!(splits.train.pixels(7)[3..6], [8, 100, 200]);
    assert_eq!(splits.train.pixels(7)[3 * 1023..], [23 + 7, 100, 200]);
}

#[test]
fn names_come_from_the_file_beside() {
    let folder = cifar10();
    let names = folder.path().join("batches.meta.txt");
    fs::write(&names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
    assert_eq!(load10(folder.path()).unwrap().test.classes()[9], "j");
    fs::write(&names, "a\nb\n").unwrap();
    assert!(message(load10(folder.path()), &names).contains("names 2 classes instead of 10"));
}

#[test]
fn the_folder_around_will_do_and_sizes_change() {
    let around = tempfile::tempdir().unwrap();
    let folder = cifar10();
    let inner = around.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    for file in folder.path().read_dir().unwrap().flatten() {
        fs::copy(file.path(), inner.join(file.file_name())).unwrap();
    }
    let splits = load(&Source { size: Some(16), ..source(Kind::Cifar10, around.path()) }, &|_| {}).unwrap();
    assert_eq!(splits.train.size(), [16, 16]);
    assert_eq!(splits.train.pixels(3)[1..3], [100, 200]);
}

#[test]
fn cifar100_has_fine_labels() {
    let folder = tempfile::tempdir().unwrap();
    let train: Vec<u8> = (0..100).flat_map(|label| record(&[label / 5, label])).collect();
    fs::write(folder.path().join("train.bin"), &train).unwrap();
    fs::write(folder.path().join("test.bin"), record(&[19, 42])).unwrap();
    let splits = load(&source(Kind::Cifar100, folder.path()), &|_| {}).unwrap();
    assert!(splits.train.labels().iter().copied().eq(0..100));
    assert_eq!(
        (splits.test.labels(), splits.test.pixels(0)[..6].to_vec()),
        (&[42][..], vec![42, 100, 200, 43, 100, 200])
    );
    assert_eq!(splits.train.classes()[99], "worm");

    fs::write(folder.path().join("test.bin"), record(&[0, 100])).unwrap();
    let result = load(&source(Kind::Cifar100, folder.path()), &|_| {});
    assert!(message(result, folder.path().join("test.bin")).contains("record 0 has label 100"));
}

#[test]
fn a_truncated_file_is_an_error() {
    let folder = cifar10();
    let file = folder.path().join("data_batch_3.bin");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let message1 = message(load10(folder.path()), &file);
    assert!(message1.contains("6145 bytes") && message1.contains("3073"), "{message1}");
    fs::write(&file, []).unwrap();
    assert!(message(load10(folder.path()), &file).contains("0 bytes"));
}

#[test]
fn a_label_out_of_range_is_an_error() {
    let folder = cifar10();
    let file = folder.path().join("data_batch_2.bin");
    fs::write(&file, [record(&[2]), record(&[3]), record(&[10])].concat()).unwrap();
    assert!(message(load10(folder.path()), &file).contains("record 2 has label 10, but there are only 10 classes"));
}

#[test]
fn an_empty_class_is_an_error() {
    let folder = cifar10();
    fs::write(folder.path().join("data_batch_5.bin"), record(&[9])).unwrap();
    assert!(message(load10(folder.path()), folder.path()).contains("class `ship` has no pictures"));
}

#[test]
fn a_missing_file_is_named() {
    let folder = cifar10();
    fs::remove_file(folder.path().join("data_batch_4.bin")).unwrap();
    assert!(message(load10(folder.path()), folder.path()).contains("expected `data_batch_4.bin`, found `data_batch_1"));
}

#[test]
fn a_folder_that_is_not_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(load10(folder.path()), folder.path()).contains("found an empty folder"));
    fs::write(folder.path().join("data_batch_1"), "pickled").unwrap();
    let text = message(load10(folder.path()), folder.path());
    assert!(text.contains("`data_batch_1`") && text.contains("cifar-10-binary.tar.gz"), "{text}");
    assert!(message(load10(Path::new("/no/such/folder")), "/no/such/folder").contains("found nothing"));
    let error = load(&Source::new(Kind::Cifar100), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("set `data.path` (--data) to the folder `cifar-100-binary`"), "{error}");
}
