//! Samples that are in both sets, or in one twice. Needs ffmpeg.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use image::{Rgb, RgbImage};
use sdas_data::{Duplicates, Kind, Source, load};
use tempfile::TempDir;

/// A clip of as many frames.
fn clip(to: &Path, frames: usize) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let source = format!("testsrc2=s=32x32:r=10:d={}", frames as f64 / 10.0);
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4"])
        .arg(to)
        .output()
        .expect("these tests need ffmpeg: ./test.sh installs it, or sudo apt-get install ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two classes with lists in the form of UCF101: three clips to train on and two to test on.
fn set() -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    for (i, name) in ["Jump/v_1.avi", "Jump/v_2.avi", "Run/v_3.avi", "Jump/v_4.avi", "Run/v_5.avi"].iter().enumerate() {
        clip(&root.join("UCF-101").join(name), i + 2);
    }
    let lists = root.join("ucfTrainTestlist");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("classInd.txt"), "1 Jump\n2 Run\n").unwrap();
    fs::write(lists.join("trainlist01.txt"), "Run/v_3.avi 2\nJump/v_1.avi 1\nJump/v_2.avi 1\n").unwrap();
    fs::write(lists.join("testlist01.txt"), "Jump/v_4.avi\nRun/v_5.avi\n").unwrap();
    let source = Source { path: Some(root), cache: Some(folder.path().join("cache")), ..Source::new(Kind::Ucf101) };
    (folder, source)
}

#[test]
fn a_picture_in_both_sets_is_an_error_or_a_remark() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for (i, name) in (0..).zip(["train/cat/1", "train/cat/2", "train/dog/a", "val/cat/c", "val/dog/b"]) {
        let path = file(name).with_extension("png");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(8, 8, Rgb([i * 40, 7, 9])).save(path).unwrap();
    }
    let source = Source { path: Some(folder.path().into()), ..Source::new(Kind::Folder) };
    // By content, whatever the name and the format.
    fs::copy(file("train/cat/1.png"), file("val/cat/x.png")).unwrap();
    image::open(file("train/cat/2.png")).unwrap().save(file("val/dog/y.bmp")).unwrap();
    // One that is in one set twice, of two classes.
    fs::copy(file("train/cat/1.png"), file("train/dog/z.png")).unwrap();
    let cache = Some(file("cache"));
    for cache in [None, cache.clone(), cache] {
        let with = |duplicates| load(&Source { duplicates, cache: cache.clone(), ..source.clone() }, &|_| {});
        let text = with(Duplicates::Error).unwrap_err().to_string();
        assert!(text.starts_with("2 of the test set are also in the training set"), "{text}");
        assert!(text.contains(&format!("y.bmp: the same as {}", file("train/cat/2.png").display())), "{text}");
        assert!(text.contains("set `data.duplicates` to `warn`") && !text.contains("z.png"), "{text}");
        let splits = with(Duplicates::Warn).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (4, 4));
        let remarks = splits.remarks;
        assert_eq!(
            remarks.shared.first[0],
            (file("val/cat/x.png"), format!("the same as {}", file("train/cat/1.png").display()))
        );
        assert_eq!((remarks.shared.count, remarks.repeated.count), (2, 1));
        assert_eq!(remarks.repeated.first[0].0, file("train/dog/z.png"));
    }
    // What is in one set twice is a remark in any case.
    fs::remove_file(file("val/cat/x.png")).unwrap();
    fs::remove_file(file("val/dog/y.bmp")).unwrap();
    let remarks = load(&source, &|_| {}).unwrap().remarks;
    assert_eq!((remarks.shared.count, remarks.repeated.count), (0, 1));
}

#[test]
fn a_clip_in_both_lists_is_an_error_or_a_remark() {
    let (_folder, source) = set();
    let root = source.path.clone().unwrap();
    let lists = root.join("ucfTrainTestlist");
    // One that both lists name, and one that a list names twice.
    fs::write(lists.join("trainlist01.txt"), "Run/v_3.avi 2\nJump/v_1.avi 1\nRun/v_3.avi 2\nJump/v_2.avi 1\n").unwrap();
    fs::write(lists.join("testlist01.txt"), "Jump/v_4.avi\nRun/v_5.avi\nJump/v_1.avi\n").unwrap();
    let told = Mutex::new(0);
    let error = load(&source, &|_| *told.lock().unwrap() += 1).unwrap_err().to_string();
    // Before anything is decoded.
    assert_eq!(told.into_inner().unwrap(), 0);
    assert!(error.starts_with("1 of the test set is also in the training set"), "{error}");
    assert!(error.contains("v_1.avi: named by both lists") && error.contains("`data.duplicates` to `warn`"), "{error}");

    let warned = Source { duplicates: Duplicates::Warn, ..source.clone() };
    let splits = load(&warned, &|_| {}).unwrap();
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[1, 0, 0][..], &[0, 1, 0][..]));
    let remarks = splits.remarks;
    let one = |name: &str, words: &str| vec![(root.join("UCF-101").join(name), words.to_owned())];
    assert_eq!((remarks.shared.count, remarks.shared.first), (1, one("Jump/v_1.avi", "named twice")));
    assert_eq!((remarks.repeated.count, remarks.repeated.first), (1, one("Run/v_3.avi", "named twice, taken once")));
}

#[test]
fn a_clip_under_two_names_is_found_by_its_content() {
    let (_folder, source) = set();
    let clips = source.path.as_ref().unwrap().join("UCF-101");
    fs::copy(clips.join("Jump/v_2.avi"), clips.join("Jump/v_4.avi")).unwrap();
    for _ in 0..2 {
        let error = load(&source, &|_| {}).unwrap_err().to_string();
        assert!(error.starts_with("1 of the test set is also in the training set"), "{error}");
        let (copy, first) = (clips.join("Jump/v_4.avi"), clips.join("Jump/v_2.avi"));
        assert!(error.contains(&format!("{}: the same as {}", copy.display(), first.display())), "{error}");
    }
    let warned = Source { duplicates: Duplicates::Warn, ..source.clone() };
    let splits = load(&warned, &|_| {}).unwrap();
    assert_eq!((splits.test.len(), splits.remarks.shared.count, splits.remarks.repeated.count), (2, 1, 0));
    // Within the training set, no error.
    fs::copy(clips.join("Jump/v_2.avi"), clips.join("Jump/v_1.avi")).unwrap();
    clip(&clips.join("Jump/v_4.avi"), 5);
    let remarks = load(&source, &|_| {}).unwrap().remarks;
    assert_eq!((remarks.shared.count, remarks.repeated.count), (0, 1));
    assert_eq!(remarks.repeated.first[0].0, clips.join("Jump/v_2.avi"));
}
