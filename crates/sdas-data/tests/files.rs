//! Files by name, as a network is asked about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbImage;
use sdas_data::{DataError, Input, Kind, Resize, Source, load, meant_files, open_each, open_files, spool};

fn classes() -> Vec<String> {
    vec!["a".into(), "b".into()]
}

fn picture(path: &Path, [width, height]: [u32; 2]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 99])).save(path).unwrap();
}

fn clip(path: &Path, [frames, width, height]: [usize; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let source = format!("testsrc2=s={width}x{height}:r=10:d={}", frames as f64 / 10.0);
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4"])
        .arg(path)
        .output()
        .expect("these tests need ffmpeg: ./test.sh installs it, or sudo apt-get install ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn pictures_are_those_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let files = [file("train/a/1.png"), file("train/b/2.jpg"), file("test/a/3.png"), file("test/b/4.png")];
    for (i, file) in (0..).zip(&files) {
        picture(file, [40 + i, 30]);
    }
    for resize in [Resize::Crop, Resize::Squash] {
        let source = Source { path: Some(folder.path().into()), size: Some(24), resize, ..Source::new(Kind::Folder) };
        let splits = load(&source, &|_| {}).unwrap();
        // In the order given, also twice.
        let opened = open_files(&source, &classes(), &[1, 0, 1].map(|i| files[i].clone())).unwrap();
        assert_eq!((opened.labels(), opened.classes()), (&[0, 0, 0][..], &classes()[..]));
        assert_eq!((opened.common_size(), opened.channels(), opened.frames(0)), (Some([24, 24]), 3, 1));
        assert_eq!([0, 1, 2].map(|i| opened.pixels(i)), [1, 0, 1].map(|i| splits.train.pixels(i)));

        // Without a size, as they are, but not of two sizes at once.
        let source = Source { size: None, path: None, ..source };
        assert_eq!(open_files(&source, &classes(), &files[..1]).unwrap().size(), [30, 40]);
        let error = open_files(&source, &classes(), &files).unwrap_err().to_string();
        assert!(error.contains("1.png is 40×30") && error.contains("2.jpg is 41×30"), "{error}");
    }
    for kind in [Kind::Cifar10, Kind::Cifar100, Kind::Shapes] {
        let open = |size| open_files(&Source { size, ..Source::new(kind) }, &classes(), &files).unwrap();
        assert_eq!((open(None).common_size(), open(Some(16)).common_size()), (Some([32; 2]), Some([16; 2])));
    }
    assert!(open_files(&Source::new(Kind::Shapes), &classes(), &[]).unwrap().is_empty());
    let error = open_files(&Source::new(Kind::Shapes), &[], &files).unwrap_err();
    assert!(matches!(error, DataError::LabelOutOfRange { .. }), "{error}");
}

#[test]
fn clips_are_those_of_a_folder_of_clips() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    let file = root.join("train/a/x %d: 1.avi");
    clip(&file, [6, 48, 32]);
    clip(&root.join("test/a/y.avi"), [4, 32, 32]);
    for (input, resize, fps, frames) in [
        (Input::Rgb, Resize::Crop, None, 6),
        (Input::Rgb, Resize::Squash, Some(5.0), 3),
        (Input::Flow, Resize::Crop, None, 5),
        (Input::Flow, Resize::Squash, Some(5.0), 2),
    ] {
        let cache = Some(folder.path().join("cache"));
        let source = Source { path: Some(root.clone()), cache, size: Some(24), ..Source::new(Kind::Clips) };
        let source = Source { input, resize, fps, ..source };
        let splits = load(&source, &|_| {}).unwrap();
        let given = [root.join("test/a/y.avi"), file.clone()];
        let opened = open_files(&Source { path: None, ..source }, &classes(), &given).unwrap();
        assert_eq!((opened.labels(), opened.channels(), opened.frames(1)), (&[0, 0][..], input.channels(), frames));
        assert_eq!((opened.pixels(0), opened.pixels(1)), (splits.test.pixels(0), splits.train.pixels(0)));
        assert_eq!((opened.size_of(1), opened.is_mapped()), (splits.train.size_of(0), false));
    }
    // The square of the generated clips.
    for (size, side) in [(None, 32), (Some(20), 20)] {
        for input in [Input::Rgb, Input::Flow] {
            let source = Source { size, input, ..Source::new(Kind::Motion) };
            let opened = open_files(&source, &classes(), std::slice::from_ref(&file)).unwrap();
            assert_eq!((opened.common_size(), opened.channels()), (Some([side; 2]), input.channels()));
        }
    }
}

#[test]
fn a_picture_is_a_clip_of_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["x%d.jpg", "y.png"].map(|name| folder.path().join(name));
    files.iter().for_each(|file| picture(file, [48, 32]));
    for fps in [None, Some(30.0), Some(2.0)] {
        let source = Source { size: Some(16), fps, ..Source::new(Kind::Kinetics) };
        let opened = open_files(&source, &classes(), &files).unwrap();
        assert_eq!([0, 1].map(|i| (opened.frames(i), opened.size_of(i))), [(1, [16, 24]); 2], "{fps:?}");
        let opened = open_files(&Source { input: Input::Flow, ..source }, &classes(), &files).unwrap();
        assert!((0..2).all(|i| opened.pixels(i) == [128; 16 * 24 * 2]));
    }
    // They are as large as clips of their size become.
    for (size, resize) in
        [(None, Resize::Crop), (Some(21), Resize::Crop), (Some(64), Resize::Crop), (Some(20), Resize::Squash)]
    {
        for [width, height] in [[50, 34], [34, 50], [34, 34], [36, 34]] {
            let files = ["x.png", "y.avi"].map(|name| folder.path().join(format!("{width}×{height}-{name}")));
            picture(&files[0], [width, height]);
            if !files[1].exists() {
                clip(&files[1], [1, width as usize, height as usize]);
            }
            let source = Source { size, resize, ..Source::new(Kind::Clips) };
            let opened = open_files(&source, &classes(), &files).unwrap();
            assert_eq!(opened.size_of(0), opened.size_of(1), "{width}×{height}, {size:?}, {resize:?}");
        }
    }
    let half = folder.path().join("half.jpg");
    let whole = fs::read(&files[0]).unwrap();
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let error = open_files(&Source::new(Kind::Clips), &classes(), &[half]).unwrap_err().to_string();
    assert!(error.contains("half.jpg: the file is truncated"), "{error}");
}

#[test]
fn all_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    picture(&file("good.png"), [20, 20]);
    clip(&file("clip.avi"), [2, 32, 32]);
    let bad: Vec<PathBuf> = (0..13).map(|i| file(&format!("bad-{i}.png"))).collect();
    bad[1..].iter().for_each(|file| fs::write(file, "nothing").unwrap());
    for (kind, words) in
        [(Kind::Folder, "give pictures, such as JPEG or PNG"), (Kind::Clips, "give clips, or pictures")]
    {
        let files = [&[file("good.png"), file("clip.avi")], &bad[..]].concat();
        let error = open_files(&Source::new(kind), &classes(), &files).unwrap_err().to_string();
        let what = if kind == Kind::Folder { "14 of 15 files cannot be used as pictures" } else { "13 of 15 files" };
        assert!(error.contains(what) && error.contains(words), "{error}");
        assert!(bad.iter().all(|file| error.contains(&format!("{}: ", file.display()))), "{error}");
        assert!(
            error.lines().nth(if kind == Kind::Folder { 2 } else { 1 }).unwrap().contains("No such file"),
            "{error}"
        );
        assert_eq!(error.contains("clip.avi: it is a clip"), kind == Kind::Folder, "{error}");
    }
    let source = Source { input: Input::Flow, ..Source::new(Kind::Folder) };
    let error = open_files(&source, &classes(), &[file("good.png")]).unwrap_err();
    assert!(matches!(error, DataError::NoMotion { kind: "folder" }), "{error}");
}

#[test]
fn folders_mean_the_files_in_them_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in ["b/2.png", "b/1.png", "a/deep/3.PNG", "notes.txt", "clip.mp4"] {
        fs::create_dir_all(file(name).parent().unwrap()).unwrap();
        fs::write(file(name), "").unwrap();
    }
    fs::create_dir(file("empty")).unwrap();
    let pictures = Source::new(Kind::Folder);
    let given = [file("notes.txt"), folder.path().into()];
    let meant = meant_files(&pictures, &given).unwrap();
    assert_eq!(meant, ["notes.txt", "a/deep/3.PNG", "b/1.png", "b/2.png"].map(file));
    assert_eq!(meant_files(&Source::new(Kind::Clips), &given[1..]).unwrap(), [file("clip.mp4")]);
    let error = meant_files(&pictures, &[file("empty")]).unwrap_err().to_string();
    assert!(
        error.contains("cannot be used as pictures") && error.contains("empty: none are in this folder"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_used_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let files = ["1.png", "2.png", "3.png"].map(file);
    picture(&files[0], [9, 9]);
    fs::write(&files[1], "no picture").unwrap();
    picture(&files[2], [7, 7]);
    let opened = open_each(&Source { size: Some(4), ..Source::new(Kind::Folder) }, &classes(), &files).unwrap();
    assert_eq!((opened.samples.len(), opened.files), (2, vec![files[0].clone(), files[2].clone()]));
    assert_eq!((opened.failed.len(), &opened.failed[0].0), (1, &files[1]));
}

#[test]
fn what_comes_from_elsewhere_is_a_file_for_a_while() {
    let spooled = spool(&mut &b"bytes"[..]).unwrap();
    let path = spooled.path().to_owned();
    assert_eq!(fs::read(&path).unwrap(), b"bytes");
    drop(spooled);
    assert!(!path.exists());
    assert!(spool(&mut &b""[..]).is_err());
}
