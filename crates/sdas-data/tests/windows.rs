//! Videos of any length, part by part. Needs ffmpeg.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::Command;

use sdas_data::{Dataset, Kind, Length, Source, Stopped, Window, WindowSettings, open_files, windows};

/// Three seconds of ten frames each.
fn video(path: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=32x24:r=10:d=3", "-c:v", "mpeg4"])
        .arg(path)
        .status();
    assert!(made.expect("these tests need ffmpeg: ./test.sh installs it").success());
}

fn source() -> Source {
    Source { size: Some(16), ..Source::new(Kind::Clips) }
}

fn settings(length: Length) -> WindowSettings {
    WindowSettings { every: 1.0, length, batch: 2 }
}

#[test]
fn parts_are_frames_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("video.mp4");
    video(&file);
    let whole = open_files(&source(), &["a".into()], std::slice::from_ref(&file)).unwrap();
    let frames = |from: usize, to| (from..to).flat_map(|t| whole.frame(0, t).to_vec()).collect::<Vec<u8>>();
    for (length, parts) in [
        (Length::Frames(4), [(3, 7), (13, 17), (23, 27)]),
        (Length::Seconds(1.6), [(0, 16), (7, 23), (14, 30)]),
        (Length::Seconds(60.0), [(0, 30); 3]),
    ] {
        let (mut seen, mut at_once): (Vec<(Window, Vec<u8>)>, _) = (vec![], vec![]);
        let mut take = |windows: &[Window], samples: &Dataset| {
            at_once.push(samples.len());
            seen.extend(windows.iter().enumerate().map(|(i, window)| (*window, samples.pixels(i).to_vec())));
            Ok::<(), Infallible>(())
        };
        windows(&source(), &file, settings(length), &mut take).unwrap();
        assert_eq!(at_once, [2, 1]);
        for (number, ((window, pixels), (from, to))) in seen.iter().zip(parts).enumerate() {
            assert_eq!(*window, Window { number, frames: to - from });
            assert!(*pixels == frames(from, to), "{length:?} {number}");
        }
    }

    // Whoever takes them may stop.
    let stopped = windows(&source(), &file, settings(Length::Frames(4)), &mut |_, _| Err("enough"));
    assert!(matches!(stopped, Err(Stopped::Asked("enough"))));
}

#[test]
fn what_is_no_video_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("video.mp4");
    video(&file);
    let half = folder.path().join("half.mp4");
    let bytes = fs::read(&file).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let text = folder.path().join("text.mp4");
    fs::write(&text, "no video").unwrap();
    for file in [half, text, folder.path().join("none.mp4")] {
        let mut never = |_: &[Window], _: &Dataset| -> Result<(), ()> { panic!("there are no frames") };
        let stopped = windows(&source(), &file, settings(Length::Frames(4)), &mut never);
        assert!(matches!(stopped, Err(Stopped::Unusable(_))), "{stopped:?}");
    }
}
