//! Clips that are not kept: counted once, and decoded while they are used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sdas_data::{
    Augmentation, Batch, ClipSettings, ColourJitter, Cropping, DataError, Dataset, Duplicates, Input, Keep, Kind,
    Loader, LoaderSettings, Sampling, Source, Splits, Statistics, Unusable, Views, check, load, prepare,
};

/// A clip of moving figures that begins at `start` seconds of them, at 10 frames a second.
fn synthesise(to: &Path, frames: usize, size: &str, start: usize, codec: &[&str]) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let source = format!("testsrc2=s={size}:r=10:d={}", start as f64 + frames as f64 / 10.0);
    let start = start.to_string();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &source, "-ss", &start]).args(codec).arg(to);
    assert!(ffmpeg.status().expect("these tests need ffmpeg").success());
}

const MPEG4: &[&str] = &["-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-g", "6"];
const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "20", "-pix_fmt", "yuv420p"];

/// Clips of several containers and lengths: four to train on, two to test on.
fn folder() -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    synthesise(&root.join("train/jump/a.avi"), 7, "48x32", 0, MPEG4);
    synthesise(&root.join("train/jump/b.mp4"), 90, "48x32", 1, H264);
    synthesise(&root.join("train/run/c.mkv"), 80, "32x64", 2, H264);
    synthesise(&root.join("train/run/d.mp4"), 3, "40x40", 3, H264);
    synthesise(&root.join("val/jump/e.mov"), 75, "32x32", 4, H264);
    synthesise(&root.join("val/run/f.avi"), 20, "40x32", 5, MPEG4);
    let cache = Some(folder.path().join("cache"));
    (folder, Source { path: Some(root), cache, ..Source::new(Kind::Clips) })
}

fn none(source: &Source) -> Source {
    Source { keep: Some(Keep::None), ..source.clone() }
}

fn open(source: &Source) -> Splits {
    load(source, &|_| {}).unwrap()
}

fn settings(clip: ClipSettings) -> LoaderSettings {
    let statistics = Statistics { mean: vec![0.5; 3], std: vec![0.25; 3] };
    let colour = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let augmentation = Augmentation { flip: true, colour, ..Augmentation::none() };
    let cropping = Cropping::RandomResized { area: [0.08, 1.0], aspect: [0.75, 4.0 / 3.0] };
    LoaderSettings { clip, cropping, ..LoaderSettings::training("weights", 3, 2, statistics, augmentation) }
}

fn batches(data: &Dataset, settings: LoaderSettings, epoch: u64, first: usize) -> Vec<Batch> {
    let all: Vec<_> = (0..data.len()).collect();
    Loader::new(data, &all, settings).epoch(epoch, first).map(Result::unwrap).collect()
}

/// The folder of the cache that ends so.
fn cache(source: &Source, ending: &str) -> PathBuf {
    let entries = source.cache.as_ref().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut folders = entries.filter(|path| path.extension().is_some_and(|end| end == ending));
    folders.next().unwrap()
}

#[test]
fn clips_that_are_not_kept_are_seen_as_those_that_are() {
    let (_folder, source) = folder();
    let run = ClipSettings { frames: 4, stride: 3, crop: Some(12), ..ClipSettings::default() };
    let segments = ClipSettings { sampling: Sampling::Segments, stack: 2, ..run };
    for (size, fps) in [(None, None), (Some(16), Some(6.0))] {
        let source = Source { size, fps, ..source.clone() };
        let (kept, not_kept) = (open(&source), open(&none(&source)));
        assert!(not_kept.train.is_undecoded() && !kept.train.is_undecoded());
        for (kept, not_kept) in [(&kept.train, &not_kept.train), (&kept.test, &not_kept.test)] {
            assert_eq!(
                (kept.labels(), kept.size(), kept.common_size()),
                (not_kept.labels(), not_kept.size(), not_kept.common_size())
            );
            let shapes =
                |data: &Dataset| (0..data.len()).map(|i| (data.frames(i), data.size_of(i))).collect::<Vec<_>>();
            assert_eq!(shapes(kept), shapes(not_kept));
            let all: Vec<_> = (0..kept.len()).collect();
            assert_eq!(kept.statistics(&all), not_kept.statistics(&all));
            for clip in [run, segments] {
                let of = |data| batches(data, settings(clip), 0, 0);
                assert!(of(kept) == of(not_kept));
                let views = Some(Views { clips: 2, crops: 3, ..Views::default() });
                let of = |data| batches(data, LoaderSettings { views, batch: 7, ..settings(clip) }, 0, 0);
                assert!(of(kept) == of(not_kept));
            }
        }
    }
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let (_folder, source) = folder();
    let train = open(&none(&source)).train;
    let settings = settings(ClipSettings { frames: 4, crop: Some(12), ..ClipSettings::default() });
    for epoch in 0..2 {
        let whole = batches(&train, settings.clone(), epoch, 0);
        let rest = batches(&train, LoaderSettings { threads: 3, ..settings.clone() }, epoch, 1);
        assert!(whole.len() == 2 && whole[1..] == rest);
    }
    assert!(batches(&train, settings.clone(), 0, 0) != batches(&train, settings, 1, 0));
}

#[test]
fn clips_are_counted_once_and_that_is_all_that_is_written() {
    let (_folder, source) = folder();
    let source = none(&source);
    let prepared = prepare(&source, &|_| {}).unwrap();
    let counts = cache(&source, "counts");
    assert_eq!((prepared.clips, prepared.found, prepared.bytes), (6, 0, 0));
    assert_eq!(prepared.cache.as_ref(), Some(&counts));
    let bytes: u64 = counts.read_dir().unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 2000, "{bytes}");
    assert_eq!(prepare(&source, &|_| {}).unwrap().found, 6);
    let checked = check(&source).unwrap();
    assert_eq!((checked.clips, checked.absent), (6, 0));

    // A line that is not what was written, and one that is cut off, are made anew.
    let index = counts.join("index");
    let whole = fs::read_to_string(&index).unwrap();
    fs::write(&index, &whole.replacen("\"frames\":7", "\"frames\":9", 1)[..whole.len() - 9]).unwrap();
    assert_eq!(check(&source).unwrap().absent, 2);
    assert_eq!(prepare(&source, &|_| {}).unwrap().found, 4);
    assert_eq!(open(&source).train.frames(0), 7);
    // So is a clip that was changed.
    synthesise(&source.path.as_ref().unwrap().join("val/run/f.avi"), 9, "40x32", 5, MPEG4);
    assert_eq!((prepare(&source, &|_| {}).unwrap().found, open(&source).test.frames(1)), (5, 9));
}

#[test]
fn broken_and_repeated_clips_are_told_of_as_with_a_cache() {
    let (_folder, source) = folder();
    let root = source.path.clone().unwrap();
    let whole = fs::read(root.join("train/jump/b.mp4")).unwrap();
    fs::write(root.join("train/jump/g.mp4"), &whole[..whole.len() / 2]).unwrap();
    let errors = [&source, &none(&source)].map(|source| load(source, &|_| {}).unwrap_err().to_string());
    assert!(errors[0] == errors[1] && errors[0].contains("1 of 7 clips cannot be decoded"), "{errors:?}");
    let skip = Source { broken: Unusable::Skip, ..source.clone() };
    let remarks = [&skip, &none(&skip)].map(|source| open(source).remarks);
    assert!(remarks[0] == remarks[1] && remarks[0].broken.count == 1);

    // In another container it is the same clip.
    fs::remove_file(root.join("train/jump/g.mp4")).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(root.join("train/jump/b.mp4")).args(["-c", "copy"]);
    assert!(ffmpeg.arg(root.join("val/jump/h.mkv")).status().unwrap().success());
    let errors = [&source, &none(&source)].map(|source| load(source, &|_| {}).unwrap_err().to_string());
    assert!(errors[0] == errors[1] && errors[0].contains("val/jump/h.mkv"), "{errors:?}");
    let warn = none(&Source { duplicates: Duplicates::Warn, ..source });
    assert_eq!(open(&warn).remarks.shared.count, 1);
}

#[test]
fn a_clip_that_changes_meanwhile_ends_the_epoch_with_its_name() {
    let (_folder, source) = folder();
    let root = source.path.clone().unwrap();
    let train = open(&none(&source)).train;
    let settings = settings(ClipSettings { frames: 4, stride: 30, crop: Some(12), ..ClipSettings::default() });
    let error = |path: &Path| {
        let made: Vec<_> = Loader::new(&train, &[0, 1, 2, 3], settings.clone()).epoch(0, 0).collect();
        let text = made.last().unwrap().as_ref().unwrap_err().to_string();
        assert!(text.contains(&format!("{} cannot be decoded", path.display())) && text.contains("remedy: "), "{text}");
        text
    };
    let path = root.join("train/jump/b.mp4");
    let whole = fs::read(&path).unwrap();
    synthesise(&path, 50, "48x32", 1, H264);
    assert!(error(&path).contains("it is not what it was when it had 90 frames of 48×32"));
    fs::write(&path, &whole[..100]).unwrap();
    error(&path);
    fs::remove_file(&path).unwrap();
    error(&path);
}

#[test]
fn of_frames_in_folders_only_those_are_read_that_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    for clip in ["a", "b"] {
        for frame in 0..9_u8 {
            let path = root.join(clip).join(format!("img_{frame:05}.jpg"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let shade = |x: u32, y: u32| image::Rgb([frame * 20, x as u8 * 6, y as u8 * 7 + clip.as_bytes()[0]]);
            image::RgbImage::from_fn(24, 20, shade).save(path).unwrap();
        }
    }
    fs::write(root.join("train.txt"), "a 9 0\n").unwrap();
    fs::write(root.join("test.txt"), "b 9 0\n").unwrap();
    let cache = Some(folder.path().join("cache"));
    let source = Source { path: Some(root.clone()), cache, size: Some(16), ..Source::new(Kind::List) };
    let (kept, not_kept) = (open(&source), open(&none(&source)));
    let settings = LoaderSettings {
        views: Some(Views::default()),
        ..settings(ClipSettings { frames: 3, crop: Some(12), ..ClipSettings::default() })
    };
    let of = |data: &Dataset| batches(data, settings.clone(), 0, 0);
    assert!(of(&kept.train) == of(&not_kept.train));
    // The middle three.
    for frame in [0, 1, 2, 6, 7, 8] {
        fs::write(root.join(format!("a/img_{frame:05}.jpg")), "none").unwrap();
    }
    assert!(of(&kept.train) == of(&not_kept.train));
    fs::write(root.join("a/img_00004.jpg"), "none").unwrap();
    let text = Loader::new(&not_kept.train, &[0], settings).epoch(0, 0).next().unwrap().unwrap_err().to_string();
    assert!(text.contains("data/a cannot be decoded: img_00004.jpg: "), "{text}");
}

#[test]
fn the_flow_of_clips_is_kept_or_refused() {
    let (_folder, source) = folder();
    let flow = none(&Source { input: Input::Flow, ..source });
    let error = load(&flow, &|_| {}).unwrap_err();
    assert!(matches!(error, DataError::Setting { key: "data.keep", .. }));
    assert!(error.to_string().contains("takes far longer to compute"), "{error}");
}
