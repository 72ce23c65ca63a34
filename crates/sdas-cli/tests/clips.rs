//! What a user with clips on disk sees: decoding, checking, searching, training, measuring, asking. Needs ffmpeg.

mod running;

use running::{printed, sdas};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A clip of a second that ffmpeg makes, of as many frames: `source` is one of its test pictures.
fn clip(path: &Path, source: &str, frames: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let input = format!("{source}=duration=1:size=48x32:rate={frames}");
    let made = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &input]).arg(path).status();
    assert!(made.expect("this test needs ffmpeg: ./test.sh installs it, or sudo apt-get install ffmpeg").success());
}

/// A set in UCF101's form: two classes, three clips of each to train on and two to test on.
fn set(root: &Path) {
    fs::write(root.join("classInd.txt"), "1 Bars\n2 Pattern\n").unwrap();
    let (mut train, mut test) = (String::new(), String::new());
    for (label, class, source) in [(1, "Bars", "smptebars"), (2, "Pattern", "testsrc2")] {
        for number in 0..5 {
            let name = format!("{class}/v_{class}_g{number:02}_c01.mp4");
            clip(&root.join("videos").join(&name), source, 8 + number);
            match number {
                0..3 => train += &format!("{name} {label}\n"),
                _ => test += &format!("{name}\n"),
            }
        }
    }
    fs::write(root.join("trainlist01.txt"), train).unwrap();
    fs::write(root.join("testlist01.txt"), test).unwrap();
}

#[test]
fn clips_are_decoded_searched_trained_measured_and_named() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("set");
    fs::create_dir(&root).unwrap();
    set(&root);
    let text = |path: &Path| path.display().to_string();
    let (data, cache) = (text(&root), format!("data.cache={}", text(&place.path().join("cache"))));
    let of_data = ["ucf101-small", "--data", &data, "--set", &cache, "--set", "data.size=32"];

    let prepared = printed(&[&["data", "prepare"], &of_data[..]].concat());
    assert!(prepared.contains("10 (0 were there before)"), "{prepared}");
    let again = printed(&[&["data", "prepare"], &of_data[..]].concat());
    assert!(again.contains("10 (10 were there before)"), "{again}");
    let checked = printed(&[&["data", "check"], &of_data[..]].concat());
    assert!(checked.contains("10 samples") && checked.contains("damaged   0"), "{checked}");

    let sizes = "data.clip.crop=32 data.clip.frames=4 data.clip.stride=2 eval.clips=2 search.epochs=2 search.batch=2 \
                 search.alpha_warmup=0 search.channels=4 search.cells=3 train.epochs=2 train.batch=2 train.channels=4 \
                 train.cells=3";
    let sizes: Vec<&str> = sizes.split_whitespace().flat_map(|size| ["--set", size]).collect();
    let [found, trained] = ["found", "trained"].map(|name| text(&place.path().join(name)));
    printed(&[&["search"], &of_data[..], &sizes, &["--out", &found]].concat());
    printed(&["train", &found, "--out", &trained]);
    let measured = printed(&["eval", &trained]);
    assert!(measured.contains("4 samples, mean over 2 clips × 3 crops of each"), "{measured}");
    let together = printed(&["eval", &found, &trained, "--shares", "1,3"]);
    assert!(together.contains("4 samples"), "{together}");
    let refused = sdas(&["eval", &found, &trained, "--shares", "1"]);
    assert_eq!(refused.status.code(), Some(2));

    let file = text(&root.join("videos/Bars/v_Bars_g03_c01.mp4"));
    let named = printed(&["predict", &trained, &file, "--top", "2"]);
    assert!(named.starts_with(&file) && named.contains("Bars") && named.contains("Pattern"), "{named}");

    // A folder with a clip in it that is none: the others go on, and it is named.
    let broken = root.join("videos/Bars/v_Bars_g01_c01.mp4");
    fs::write(&broken, "no clip").unwrap();
    let output = sdas(&["predict", &trained, &text(&root.join("videos")), "--json"]);
    let (lines, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("1 of 10 files cannot be used as clips") && told.contains(&text(&broken)), "{told}");
    assert!(told.contains("9 samples, ") && told.contains(" ms each"), "{told}");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9);
    assert!(lines[0]["file"].as_str().unwrap().ends_with("v_Bars_g00_c01.mp4") && lines[0].get("seconds").is_none());
    let share = |number: usize| lines[0]["classes"][number][1].as_f64().unwrap();
    assert!(share(0) >= share(1) && (share(0) + share(1) - 1.0).abs() < 1e-5);

    // A video on standard input, of which every quarter of a second is looked at.
    let long = place.path().join("long.mp4");
    clip(&long, "testsrc2", 16);
    let input = fs::File::open(&long).unwrap();
    let of_input = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
        let output = command.args(["predict", &trained, "-"]).args(more).stdin(input.try_clone().unwrap()).output();
        std::io::Seek::rewind(&mut &input).unwrap();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rows = of_input(&["--every", "0.25", "--csv", "--top", "1"]);
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0], ["file", "from", "seconds", "rank", "class", "probability"]);
    let times: Vec<_> = rows[1..].iter().map(|row| row[..4].to_vec()).collect();
    assert_eq!(times, ["0", "0.25", "0.5", "0.75"].map(|from| vec!["-", from, "0.25", "1"]));
    let lines = of_input(&["--every", "0.5", "--window", "0.5"]);
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines.len() == 3 && lines[0] == "-" && lines[2].trim_start().starts_with("0.5 s  "), "{lines:?}");
    assert!(of_input(&["--top", "1"]).starts_with("-\n"));
}

#[test]
fn clips_that_are_not_there_are_counted_and_named() {
    let place = tempfile::tempdir().unwrap();
    set(place.path());
    let gone = place.path().join("videos/Pattern/v_Pattern_g01_c01.mp4");
    fs::remove_file(&gone).unwrap();
    let cache = format!("data.cache={}", place.path().join("cache").display());
    let data = place.path().display().to_string();
    let arguments = ["data", "prepare", "ucf101-small", "--data", &data, "--set", &cache, "--set", "data.size=16"];
    let refused = sdas(&arguments);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("v_Pattern_g01_c01.mp4") && error.contains("skip"), "{error}");

    let skipped = sdas(&[&arguments[..], &["--set", "data.missing=skip"]].concat());
    assert_eq!(skipped.status.code(), Some(0));
    let told = String::from_utf8(skipped.stderr).unwrap();
    assert!(told.contains("1 missing") && told.contains("v_Pattern_g01_c01.mp4"), "{told}");
}
