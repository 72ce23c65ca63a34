//! Optical flow as what is seen of clips.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use sdas_data::flow::{Flow, TvL1, gray};
use sdas_data::{
    Augmentation, Building, ClipSettings, Dataset, Input, Kind, Loader, LoaderSettings, Motion, Source, Unusable,
    check, load, prepare,
};
use tempfile::TempDir;

/// Height and width of the clips that are made here.
const SIZE: [usize; 2] = [40, 56];

/// A texture of a few waves that moves by `step` pixels to the right and down from one frame to the next.
fn moving(frames: usize, step: [f64; 2]) -> Vec<u8> {
    let value = |x: f64, y: f64| 127.0 + 40.0 * ((0.4 * x + 0.2 * y).sin() + (0.5 * y - 0.3 * x).cos());
    let pixel = |t: usize, i: usize| {
        let [x, y] = [(i % SIZE[1]) as f64 - step[0] * t as f64, (i / SIZE[1]) as f64 - step[1] * t as f64];
        [value(x, y), value(x + 1.0, y), value(x, y + 1.0)].map(|value| value as u8)
    };
    (0..frames).flat_map(|t| (0..SIZE[0] * SIZE[1]).flat_map(move |i| pixel(t, i))).collect()
}

/// Writes frames as a clip that loses nothing.
fn write(to: &Path, pixels: &[u8]) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let raw = to.with_extension("raw");
    fs::write(&raw, pixels).unwrap();
    let size = format!("{}x{}", SIZE[1], SIZE[0]);
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", "10", "-i"])
        .arg(&raw)
        .args(["-c:v", "ffv1", "-pix_fmt", "bgr0"])
        .arg(to)
        .output()
        .expect("these tests need ffmpeg: ./test.sh installs it, or sudo apt-get install ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(raw).unwrap();
}

/// Two classes with known motion, and a clip of one frame.
fn shifted() -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    write(&root.join("train/a/right.mkv"), &moving(4, [2.0, 0.0]));
    write(&root.join("train/b/up.mkv"), &moving(3, [0.0, -1.0]));
    write(&root.join("test/a/still.mkv"), &moving(1, [0.0, 0.0]));
    write(&root.join("test/b/both.mkv"), &moving(2, [-1.0, 1.0]));
    let cache = Some(folder.path().join("cache"));
    let source = Source { path: Some(root), cache, input: Input::Flow, ..Source::new(Kind::Clips) };
    (folder, source)
}

/// All reports of a preparation, as what, done, of how many, found before.
fn reports(source: &Source) -> Vec<(&'static str, usize, usize, usize)> {
    let reports = Mutex::new(vec![]);
    let note = |building: &Building| {
        reports.lock().unwrap().push((building.what, building.done, building.total, building.found));
    };
    prepare(source, &note).unwrap();
    reports.into_inner().unwrap()
}

/// The only folder in the cache whose name ends so.
fn cache_of(source: &Source, ending: &str) -> PathBuf {
    let folders = source.cache.as_ref().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = folders.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect();
    assert_eq!(found.len(), 1);
    found[0].clone()
}

fn flip_a_bit(folder: &Path) {
    let pack = folder.join("pack-0000");
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 64;
    fs::write(pack, bytes).unwrap();
}

fn pixels(data: &Dataset) -> Vec<Vec<u8>> {
    (0..data.len()).map(|i| data.pixels(i).to_vec()).collect()
}

/// The middle one of the motions to the right and down.
fn median(field: &[u8], size: [usize; 2]) -> [f32; 2] {
    let flow = Flow::from_bytes(field, size);
    [flow.x, flow.y].map(|mut values| {
        values.sort_by(f32::total_cmp);
        values[values.len() / 2]
    })
}

#[test]
fn clips_become_their_motion() {
    let (_folder, source) = shifted();
    let splits = load(&source, &|building| assert!(building.done <= building.total)).unwrap();
    assert!(splits.train.is_mapped());
    assert_eq!((splits.train.channels(), splits.train.labels()), (2, &[0, 1][..]));
    for (data, i, frames, step) in
        [(&splits.train, 0, 4, [2.0, 0.0]), (&splits.train, 1, 3, [0.0, -1.0]), (&splits.test, 1, 2, [-1.0, 1.0])]
    {
        assert_eq!((data.frames(i), data.size_of(i)), (frames - 1, SIZE));
        let clip = moving(frames, step);
        let gray: Vec<_> = clip.chunks_exact(clip.len() / frames).map(gray).collect();
        for (t, pair) in gray.windows(2).enumerate() {
            let field = data.frame(i, t);
            assert_eq!(field, TvL1::default().flow(&pair[0], &pair[1], SIZE).to_bytes());
            let found = median(field, SIZE);
            assert!((0..2).all(|axis| (f64::from(found[axis]) - step[axis]).abs() < 0.2), "{found:?}, not {step:?}");
        }
    }
    // One frame: no motion.
    assert_eq!((splits.test.frames(0), splits.test.pixels(0)), (1, &[128; 40 * 56 * 2][..]));

    // And on to the network: two fields a step.
    let train = [0, 1];
    let statistics = splits.train.statistics(&train);
    let settings = LoaderSettings::training("weights", 0, 2, statistics, Augmentation::none());
    let clip = ClipSettings { frames: 1, stack: 2, ..ClipSettings::default() };
    let batch =
        Loader::new(&splits.train, &train, LoaderSettings { clip, ..settings }).epoch(0, 0).next().unwrap().unwrap();
    assert_eq!(batch.shape, [2, 1, SIZE[0], SIZE[1], 4]);
}

#[test]
fn flow_is_computed_once_after_the_frames() {
    let (_folder, source) = shifted();
    let rgb = Source { input: Input::Rgb, ..source.clone() };
    let before = check(&source).unwrap();
    assert_eq!((before.clips, before.absent), (0, 4));
    assert_eq!(reports(&rgb).last(), Some(&("clips", 4, 4, 0)));
    assert_eq!(check(&source).unwrap().absent, 4);
    // The frames are found.
    let made = reports(&source);
    let flow: Vec<_> = (1..=4).map(|done| ("flow", done, 4, 0)).collect();
    assert_eq!(made, [&[("clips", 4, 4, 4)], &flow[..]].concat());
    assert_eq!(reports(&source), [("clips", 4, 4, 4), ("flow", 4, 4, 4)]);

    let prepared = prepare(&source, &|_| {}).unwrap();
    assert_eq!((prepared.clips, prepared.found, prepared.cache), (4, 4, Some(cache_of(&source, "flow"))));
    assert_eq!(prepared.bytes, (3 + 2 + 1 + 1) * 40 * 56 * 2);
    let checked = check(&source).unwrap();
    assert_eq!((checked.clips, checked.bytes, checked.absent), (4, prepared.bytes, 0));
    let [frames, flow] = ["frames", "flow"].map(|ending| cache_of(&source, ending));
    assert_eq!(frames.file_stem(), flow.file_stem());
    assert_eq!(load(&rgb, &|_| {}).unwrap().train.channels(), 3);

    // A changed clip is decoded and computed anew; one that is gone from the frames only, decoded.
    write(&source.path.as_ref().unwrap().join("train/b/up.mkv"), &moving(5, [1.0, 0.0]));
    assert_eq!(reports(&source), [("clips", 4, 4, 3), ("flow", 4, 4, 3)]);
    assert_eq!(load(&source, &|_| {}).unwrap().train.frames(1), 4);
    fs::remove_dir_all(frames).unwrap();
    assert_eq!(check(&source).unwrap().absent, 4);
    assert_eq!(reports(&source)[3..], [("clips", 4, 4, 0), ("flow", 4, 4, 4)]);
}

#[test]
fn flow_of_other_settings_is_stale() {
    let (_folder, source) = shifted();
    let whole = load(&source, &|_| {}).unwrap();
    let index = cache_of(&source, "flow").join("index");
    let text = fs::read_to_string(&index).unwrap();
    let (header, lines) = text.split_once('\n').unwrap();
    // As if written with another λ; a line begins with its checksum.
    let other = header[9..].replace("lambda: 0.15", "lambda: 0.16");
    assert_ne!(other, header[9..]);
    assert!(other.contains(r#""content":"flow""#) && other.contains("scale=w=iw") && other.contains("bound 20"));
    fs::write(&index, format!("{:08x} {other}\n{lines}", crc32fast::hash(other.as_bytes()))).unwrap();
    assert_eq!(check(&source).unwrap().absent, 4);
    assert_eq!(reports(&source)[..2], [("clips", 4, 4, 4), ("flow", 1, 4, 0)]);
    assert_eq!(pixels(&load(&source, &|_| {}).unwrap().train), pixels(&whole.train));
    assert_eq!(fs::read_to_string(&index).unwrap().lines().next(), Some(header));
}

#[test]
fn what_is_damaged_is_found_and_mended() {
    let (_folder, source) = shifted();
    let whole = pixels(&load(&source, &|_| {}).unwrap().train);
    let [frames, flow] = ["frames", "flow"].map(|ending| cache_of(&source, ending));
    for folder in [&frames, &flow] {
        flip_a_bit(folder);
        let checked = check(&source).unwrap();
        assert_eq!((checked.clips, checked.damaged.count, checked.absent), (3, 1, 0));
        assert_eq!(checked.damaged.first[0].1.contains("flow"), folder == &flow);
        assert_eq!(check(&source).unwrap().absent, 1);
        assert_eq!(pixels(&load(&source, &|_| {}).unwrap().train), whole);
        assert_eq!(check(&source).unwrap().clips, 4);
    }
    // No flow is computed of damaged frames, though nobody has asked for a check.
    let (_folder, source) = shifted();
    prepare(&Source { input: Input::Rgb, ..source.clone() }, &|_| {}).unwrap();
    flip_a_bit(&cache_of(&source, "frames"));
    let made = reports(&source);
    assert_eq!(made[..2], [("clips", 4, 4, 4), ("clips", 4, 4, 3)]);
    assert_eq!(pixels(&load(&source, &|_| {}).unwrap().train), whole);
}

#[test]
fn broken_clips_have_no_flow() {
    let (_folder, source) = shifted();
    let broken = source.path.as_ref().unwrap().join("train/a/broken.mkv");
    fs::write(&broken, "not a clip").unwrap();
    let told = Mutex::new(vec![]);
    let error = prepare(&source, &|building| told.lock().unwrap().push(building.what)).unwrap_err().to_string();
    // Before any flow is computed.
    assert_eq!(told.into_inner().unwrap(), ["clips"; 5]);
    assert!(error.contains("1 of 5 clips cannot be decoded") && error.contains("broken.mkv: "), "{error}");
    let source = Source { broken: Unusable::Skip, ..source };
    assert_eq!(reports(&source).last(), Some(&("flow", 4, 4, 0)));
    assert_eq!(reports(&source), [("clips", 5, 5, 5), ("flow", 4, 4, 4)]);
    let prepared = prepare(&source, &|_| {}).unwrap();
    assert_eq!((prepared.clips, prepared.remarks.broken.count), (4, 1));
    let checked = check(&source).unwrap();
    assert_eq!((checked.clips, checked.absent, checked.remarks.broken.count), (4, 0, 1));
    // Once it can be decoded, it has.
    write(&broken, &moving(2, [1.0, 0.0]));
    assert_eq!(load(&source, &|_| {}).unwrap().train.frames(0), 1);
}

#[test]
fn generated_clips_move_as_their_classes_say() {
    let motion = Motion { train: 32, test: 16, frames: 5, seed: 0 };
    let source = Source { motion, input: Input::Flow, ..Source::new(Kind::Motion) };
    let made = reports(&source);
    assert_eq!(made.last(), Some(&("flow", 48, 48, 0)));
    assert_eq!(made.iter().rfind(|report| report.0 == "clips"), Some(&("clips", 48, 48, 0)));

    let data = load(&source, &|_| {}).unwrap().train;
    assert_eq!((data.channels(), data.common_size(), data.frames(0)), (2, Some([32, 32]), 4));
    assert_eq!((data.len(), data.labels()[..9].to_vec()), (32, vec![0, 1, 2, 3, 4, 5, 6, 7, 0]));
    for i in 0..data.len() {
        let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
        let flow = Flow::from_bytes(data.pixels(i), [4 * 32, 32]);
        let [x, y] = [flow.x, flow.y].map(mean);
        let (along, least) = match data.classes()[data.label(i)].as_str() {
            "left" => (-x, 0.5),
            "right" => (x, 0.5),
            "up" => (-y, 0.5),
            "down" => (y, 0.5),
            // They turn or grow about a place near the middle.
            _ => (-x.abs().max(y.abs()), -0.6),
        };
        assert!(along > least, "clip {i}, {}: {x}, {y}", data.classes()[data.label(i)]);
    }
}

#[test]
fn pictures_have_no_flow() {
    for kind in [Kind::Shapes, Kind::Cifar10, Kind::Cifar100, Kind::Folder] {
        let source = Source { input: Input::Flow, ..Source::new(kind) };
        let error = load(&source, &|_| {}).unwrap_err().to_string();
        let words = ["`data.input`", "`flow`", &format!("`{kind}`"), "remedy: set `data.input` to `rgb`"];
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    }
    let source: Source = serde_json::from_str(r#"{"kind": "motion", "input": "flow"}"#).unwrap();
    assert_eq!(source, Source { input: Input::Flow, ..Source::new(Kind::Motion) });
    assert_eq!(serde_json::from_str::<Source>(r#"{"kind": "motion"}"#).unwrap().input, Input::Rgb);
}
