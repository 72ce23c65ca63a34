//! Which files pass for whole clips: those that are, and no others. ffmpeg makes them and breaks
//! them here.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use proptest::prelude::*;
use sdas_data::{Ending, Kind, Opened, Source, ending, open_each, open_files};
use tempfile::TempDir;

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().expect("these tests need ffmpeg: install it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A file in `folder` made by ffmpeg; `arguments` are in one text.
fn make(folder: &TempDir, arguments: &str, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let arguments = arguments.split_ascii_whitespace().chain([path.to_str().unwrap()]);
    run("ffmpeg", &["-nostdin", "-v", "error", "-y"].into_iter().chain(arguments).collect::<Vec<_>>());
    path
}

/// Two seconds of noise at 25 frames per second.
const NOISE: &str = "-f lavfi -i testsrc2=s=96x64:r=25:d=2,noise=alls=20:allf=t";
/// Groups of frames whose first need the group before.
const OPEN: &str = "-f lavfi -i testsrc2=s=96x64:r=25:d=5,noise=alls=20:allf=t \
    -c:v libx264 -x264-params open-gop=1:keyint=25:bframes=3:scenecut=0 -pix_fmt yuv420p -bf 3 -threads 1";
/// Five seconds of it.
const LONG: &str = "-f lavfi -i testsrc2=s=96x64:r=25:d=5,noise=alls=20:allf=t";
const TONE: &str = "-f lavfi -i sine=d=2";

/// How many frames the clip is taken to have, or why it is not taken.
fn frames_of(path: &Path) -> Result<usize, String> {
    let opened = open_files(&Source::new(Kind::Clips), &["a".into()], &[path.into()]);
    opened.map(|clips| clips.frames(0)).map_err(|error| error.to_string())
}

/// Writes `bytes` beside `path` and asks of it.
fn frames_with(path: &Path, bytes: &[u8]) -> Result<usize, String> {
    let other = path.with_file_name(format!("other-{}", path.file_name().unwrap().to_str().unwrap()));
    fs::write(&other, bytes).unwrap();
    frames_of(&other)
}

const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2";

/// Files by name, with sound or without, as ffmpeg writes them with such options, and whether their container tells where
/// they end. Where it does not, a cut between two frames is one that nobody can see.
const CONTAINERS: [(&str, bool, &str, bool); 19] = [
    ("sound.avi", true, "-c:v mpeg4 -q:v 5 -c:a pcm_s16le", true),
    ("silent.avi", false, "-c:v mpeg4 -q:v 5", true),
    // With an empty chunk for the frame that comes late.
    ("reordered.avi", true, "H264 -c:a mp3", true),
    ("silent.mp4", false, "H264", true),
    ("faststart.mp4", true, "H264 -movflags faststart", true),
    ("fragments.mp4", true, "H264 -g 10 -movflags frag_keyframe+empty_moov", false),
    ("x.mov", true, "-c:v mpeg4 -q:v 5", true),
    ("x.mkv", true, "H264", true),
    ("live.mkv", true, "H264 -live 1", false),
    ("x.webm", true, "-c:v libvpx -b:v 200k -c:a libopus", true),
    ("x.ts", true, "H264", false),
    ("x.mts", false, "H264 -f mpegts -mpegts_m2ts_mode 1", false),
    ("x.mpg", true, "-c:v mpeg1video -q:v 5", false),
    ("silent.mpg", false, "-c:v mpeg2video -q:v 5 -f vob", false),
    // The mark of the last page is not looked for: not every program sets it.
    ("x.ogv", true, "-c:v libtheora -q:v 5 -c:a libvorbis", false),
    ("silent.ogv", false, "-c:v libtheora -q:v 5", false),
    ("x.gif", false, "", true),
    ("x.flv", true, "-c:v flv1 -q:v 5 -c:a mp3 -ar 44100", true),
    ("x.wmv", true, "-c:v wmv2 -q:v 5 -c:a wmav2", true),
];

/// Whether so many of the `bytes` are told to be cut off by the container alone.
fn is_told(bytes: &[u8], length: usize) -> bool {
    matches!(ending(Cursor::new(&bytes[..length])).unwrap(), Ending::CutOff(_))
}

/// Lengths of `bytes` at which the container does not tell: the first, the last and the middle of those in a row, of which
/// no more than twelve, or all that there are, with `SDAS_CUTS=all`.
fn untold_cuts(bytes: &[u8]) -> Vec<usize> {
    let all: Vec<usize> = (0..bytes.len()).filter(|&length| !is_told(bytes, length)).collect();
    if std::env::var_os("SDAS_CUTS").is_some_and(|value| value == "all") {
        return all;
    }
    let rows = all.chunk_by(|before, after| before + 1 == *after);
    let ends: BTreeSet<_> = rows.flat_map(|row| [row[0], row[row.len() / 2], row[row.len() - 1]]).collect();
    let step = ends.len().div_ceil(12);
    ends.into_iter().rev().step_by(step).collect()
}

/// Every byte is tried as the last: the container tells, or ffmpeg is asked.
#[test]
fn a_clip_that_is_cut_off_anywhere_is_broken_in_every_container() {
    const SHORT: &str = "-f lavfi -i testsrc2=s=48x32:r=25:d=1,noise=alls=20:allf=t";
    let folder = tempfile::tempdir().unwrap();
    for (name, has_sound, options, tells_its_end) in CONTAINERS {
        let sound = if has_sound { "-f lavfi -i sine=d=1" } else { "" };
        let whole = make(&folder, &format!("{SHORT} {sound} {}", options.replace("H264", H264)), name);
        let open = |files: &[PathBuf]| open_each(&Source::new(Kind::Clips), &["a".into()], files).unwrap();
        let frames = |opened: &Opened, number| {
            let pixels = opened.samples.pixels(number);
            pixels.chunks(pixels.len() / opened.samples.frames(number)).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let all = frames(&open(std::slice::from_ref(&whole)), 0);
        assert_eq!(all.len(), 25, "{name}");

        let bytes = fs::read(&whole).unwrap();
        let told = [2, 4, 5, 6, 7, 9].map(|tenth| {
            (bytes.len() * tenth / 10..bytes.len()).find(|&length| is_told(&bytes, length)).expect("it tells of most")
        });
        let cuts = told.into_iter().chain(untold_cuts(&bytes)).map(|length| {
            let cut = folder.path().join(format!("{length}-{name}"));
            fs::write(&cut, &bytes[..length]).unwrap();
            cut
        });
        let cuts: Vec<_> = cuts.collect();
        let opened = open(&cuts);
        for cut in &cuts[..told.len()] {
            let failed = opened.failed.iter().find(|(file, _)| file == cut);
            assert!(failed.is_some_and(|(_, words)| words.contains("cut off")), "{}: {failed:?}", cut.display());
        }
        for (number, file) in opened.files.iter().enumerate() {
            let read = frames(&opened, number);
            // Frames that are the clip's, from its first on: none that is there in part.
            let mut rest = all.iter();
            let is_its_own = all[0] == read[0] && read.iter().all(|frame| rest.any(|own| own == frame));
            let is_right = is_its_own && (!tells_its_end || read.len() == all.len());
            assert!(is_right, "{} has {} frames; are they its own: {is_its_own}", file.display(), read.len());
        }
        cuts.iter().for_each(|cut| fs::remove_file(cut).unwrap());
    }
}

#[test]
fn a_cut_that_no_size_tells_of_is_heard_of() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, &format!("{NOISE} -c:v mpeg1video -q:v 5"), "x.mpg");
    let bytes = fs::read(&whole).unwrap();
    // ffmpeg's packets are 2048 bytes long here.
    let length = bytes.len() / 2 / 2048 * 2048;
    let error = frames_with(&whole, &bytes[..length]).unwrap_err();
    assert!(error.contains("errors in the last of its ") && error.contains("as if it were cut off"), "{error}");
    // The same error in the middle is concealed.
    let mut changed = bytes.clone();
    changed[length / 2..][..9].fill(0x55);
    assert_eq!(frames_with(&whole, &changed), Ok(50));
}

#[test]
fn the_message_counts_frames_where_the_header_does() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, &format!("{NOISE} {TONE} -c:v mpeg4 -q:v 5 -c:a pcm_s16le"), "x.avi");
    let bytes = fs::read(&whole).unwrap();
    let places = |name: &[u8]| -> Vec<_> { (0..bytes.len()).filter(|&at| bytes[at..].starts_with(name)).collect() };
    let (frames, index) = (places(b"movi")[0], places(b"idx1")[0]);
    let frames: Vec<_> = places(b"00dc").into_iter().filter(|&at| at > frames && at < index).collect();
    assert_eq!(frames.len(), 50);
    // In the sound behind the thirtieth frame.
    let error = frames_with(&whole, &bytes[..frames[30] - 9]).unwrap_err();
    assert!(error.contains("30 of the 50 frames that it announces are there"), "{error}");
    // Only a part of the index is missing; in its beginning, so that ffmpeg stops there without a word.
    assert_eq!(frames_with(&whole, &bytes[..index + 100]), Ok(50));
    let error = frames_with(&whole, &bytes[..index + 40]).unwrap_err();
    assert!(error.contains("it is cut off in its index, by which only 1 of its 50 frames are found"), "{error}");
    // All is there, but for frames that the header has and nobody wrote.
    let mut promising = bytes.clone();
    promising[places(b"strh")[0] + 8 + 32] = 60;
    let error = frames_with(&whole, &promising).unwrap_err();
    assert!(error.contains("50 of the 60 frames that it announces are there"), "{error}");
}

#[test]
fn what_lies_behind_a_whole_clip_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [
        ("x.mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
        ("x.mkv", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
        ("x.avi", "-c:v mpeg4 -q:v 5"),
        ("x.gif", ""),
        ("x.wmv", "-c:v wmv2 -q:v 5"),
        ("x.ogv", "-c:v libtheora -q:v 5"),
        ("x.flv", "-c:v flv1 -q:v 5"),
        ("x.mpg", "-c:v mpeg1video -q:v 5"),
        ("x.ts", "-c:v mpeg2video -q:v 5"),
    ] {
        let whole = make(&folder, &format!("{NOISE} {codec}"), name);
        let bytes = fs::read(&whole).unwrap();
        for behind in [&b"<html>what a server had to say</html>\0\0\0\0"[..], b"<html>", &[0; 3], &[0; 4], &[0; 999]] {
            assert_eq!(frames_with(&whole, &[&bytes, behind].concat()), Ok(50), "{name} and {behind:?}");
        }
    }
}

#[test]
fn a_program_stream_may_end_with_its_end_code() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, &format!("{NOISE} -c:v mpeg1video -q:v 5"), "x.mpg");
    let bytes = fs::read(&whole).unwrap();
    let bytes = bytes.strip_suffix(&[0, 0, 1, 0xb9]).unwrap_or(&bytes);
    for end in [&[][..], &[0, 0, 1, 0xb9], &[0, 0, 1, 0xb9, 0, 0]] {
        assert_eq!(frames_with(&whole, &[bytes, end].concat()), Ok(50), "{end:?}");
    }
}

#[test]
fn sizes_of_an_avi_may_be_a_little_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, &format!("{NOISE} -c:v mpeg4 -q:v 5"), "x.avi");
    let bytes = fs::read(&whole).unwrap();
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let place = |name: &[u8]| bytes.windows(name.len()).position(|window| window == name).unwrap();

    // Two frames that nobody wrote are few enough, even if the whole is two bytes short.
    let mut counted = bytes.clone();
    counted[place(b"strh") + 8 + 32] = 52;
    counted[4..8].copy_from_slice(&(number(4) as u32 + 2).to_le_bytes());
    assert_eq!(frames_with(&whole, &counted), Ok(50));

    // Without the bytes that make sizes even.
    let mut at = place(b"movi") + 4;
    let mut narrow = bytes[..at].to_vec();
    let mut left_out = 0;
    while bytes[at..].starts_with(b"00dc") {
        let end = at + 8 + number(at + 4);
        narrow.extend(&bytes[at..end]);
        left_out += end % 2;
        at = end + end % 2;
    }
    assert!(left_out > 10, "{left_out}");
    assert!(frames_with(&whole, &narrow).is_ok_and(|frames| frames >= 49), "{:?}", frames_with(&whole, &narrow));

    // Something between the frames.
    let mut between = bytes.clone();
    let middle = place(b"movi") + 4;
    between.splice(middle..middle, [0xff; 64]);
    assert!(frames_with(&whole, &between).is_ok_and(|frames| frames >= 49), "{:?}", frames_with(&whole, &between));
}

/// What ffprobe says of the first stream's packets: where they are, how long, and whether they are hidden.
fn packets(path: &Path) -> Vec<(usize, usize, bool)> {
    let arguments =
        ["-v", "quiet", "-select_streams", "V:0", "-of", "csv=p=0", "-show_entries", "packet=pos,size,flags"];
    let output = run("ffprobe", &[&arguments[..], &[path.to_str().unwrap()]].concat());
    let line = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        (fields[1].parse().unwrap(), fields[0].parse().unwrap(), fields[2].contains('D'))
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// Whether ffmpeg has something to complain about.
fn has_errors(path: &Path) -> bool {
    let output = run("ffmpeg", &["-nostdin", "-v", "error", "-i", path.to_str().unwrap(), "-f", "null", "-"]);
    !output.stderr.is_empty()
}

#[test]
fn what_an_edit_list_hides_is_not_promised() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, OPEN, "whole.mp4");
    let open = make(&folder, &format!("-ss 1.9 -i {} -t 2 -c copy", whole.display()), "open.mp4");
    let hidden = packets(&open).iter().filter(|(_, _, hidden)| *hidden).count();
    assert!(hidden > 0 && has_errors(&open));
    assert_eq!(frames_of(&open), Ok(packets(&open).len() - hidden));

    // One bad byte in what is hidden, and one in what is not.
    let codec = "-c:v libx264 -g 50 -pix_fmt yuv420p -bf 0 -crf 10";
    let whole = make(&folder, &format!("{NOISE} {codec}"), "closed.mp4");
    let trimmed = make(&folder, &format!("-ss 1.0 -i {} -c copy", whole.display()), "trimmed.mp4");
    let all = packets(&trimmed);
    let shown = all.iter().filter(|(_, _, hidden)| !hidden).count();
    assert!(shown < all.len());
    assert_eq!(frames_of(&trimmed), Ok(shown));
    let bytes = fs::read(&trimmed).unwrap();
    for packet in [all.len() - shown - 3, all.len() - 5] {
        let (at, size, _) = all[packet];
        let mut changed = bytes.clone();
        changed[at + size / 3] ^= 0xff;
        assert_eq!(frames_with(&trimmed, &changed), Ok(shown));
        assert!(has_errors(&folder.path().join("other-trimmed.mp4")));
    }
}

/// How many frames ffprobe decodes, which shows what the edit list does.
fn decoded(path: &Path) -> usize {
    let arguments = [
        "-v",
        "quiet",
        "-select_streams",
        "V:0",
        "-count_frames",
        "-of",
        "csv=p=0",
        "-show_entries",
        "stream=nb_read_frames",
    ];
    let output = run("ffprobe", &[&arguments[..], &[path.to_str().unwrap()]].concat());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap_or(0)
}

static TRIMMED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    make(&folder, OPEN, "0.mp4");
    make(&folder, &format!("{LONG} -c:v libx264 -pix_fmt yuv420p -g 40 -bf 2"), "1.mp4");
    make(&folder, &format!("{LONG} -c:v libx264 -pix_fmt yuv420p -g 12 -bf 0 -movflags faststart"), "2.mp4");
    make(&folder, &format!("{LONG} -c:v mpeg4 -q:v 5 -g 30 -bf 2"), "3.mov");
    folder
});

/// How many frames a part is taken to have that is cut out of a clip without encoding, and how many ffmpeg shows of it.
fn trimmed(name: &str, start: f64, length: f64) -> (Result<usize, String>, usize) {
    let trim = format!("-ss {start} -i {} -t {length} -c copy", TRIMMED.path().join(name).display());
    let trimmed = make(&TRIMMED, &trim, &format!("{start}-{length}-{name}"));
    (frames_of(&trimmed), decoded(&trimmed))
}

/// From the first of a group that needs the group before: ffmpeg shows what it can of it without.
#[test]
fn a_trim_of_a_few_frames_is_whole() {
    for (start, length) in [(1.0, 0.04), (1.0, 0.08), (1.04, 0.04), (1.04, 0.2)] {
        let (own, frames) = trimmed("0.mp4", start, length);
        assert!(frames > 0);
        assert_eq!(own, Ok(frames), "{length} s from {start}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_trim_of_an_mp4_is_whole(which in 0..4_usize, start in 0..480_u32, length in 4..500_u32) {
        let name = ["0.mp4", "1.mp4", "2.mp4", "3.mov"][which];
        let [start, length] = [start, length].map(|hundredths| f64::from(hundredths) / 100.0);
        match trimmed(name, start, length) {
            (own, 0) => prop_assert!(own.is_err()),
            (own, frames) => prop_assert_eq!(own, Ok(frames)),
        }
    }
}

#[test]
fn a_clip_cut_out_without_encoding_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let whole = make(&folder, OPEN, "whole.ts");
    for name in ["x.ts", "x.mkv"] {
        for (seconds, frames) in [(1, 20..=26), (2, 45..=51)] {
            let part = make(&folder, &format!("-ss 1.9 -i {} -t {seconds} -c copy", whole.display()), name);
            assert!(has_errors(&part), "{name}");
            let found = frames_of(&part).unwrap();
            assert!(frames.contains(&found), "{name}: {found}");
        }
    }
}

#[test]
fn playlists_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let clip = make(&folder, &format!("{NOISE} -c:v mpeg2video -f mpegts"), "private.ts");
    let clip = clip.display();
    for (name, what, text) in [
        (
            "list.mp4",
            "hls",
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nfile://{clip}\n#EXT-X-ENDLIST\n"),
        ),
        ("near.mp4", "hls", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nprivate.ts\n#EXT-X-ENDLIST\n".into()),
        ("script.avi", "concat", "ffconcat version 1.0\nfile private.ts\n".into()),
    ] {
        let list = folder.path().join(name);
        fs::write(&list, text).unwrap();
        let error = frames_of(&list).unwrap_err();
        assert!(
            error.contains(&format!("{name}: it is no container of clips, but what ffmpeg calls `{what}`")),
            "{error}"
        );
    }
}

#[test]
fn a_resolution_that_changes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let part = |size: &str| {
        let path =
            make(&folder, &format!("-f lavfi -i testsrc2=s={size}:r=25:d=1 -c:v mpeg2video -f mpegts"), "part.ts");
        fs::read(path).unwrap()
    };
    let both = folder.path().join("both.ts");
    fs::write(&both, [part("160x120"), part("80x60")].concat()).unwrap();
    for size in [None, Some(32)] {
        let source = Source { size, ..Source::new(Kind::Clips) };
        let error = open_files(&source, &["a".into()], std::slice::from_ref(&both)).unwrap_err().to_string();
        assert!(error.contains("its resolution changes from 160×120 to 80×60"), "{error}");
    }
    fs::write(&both, [part("160x120"), part("160x120")].concat()).unwrap();
    assert!(frames_of(&both).is_ok_and(|frames| frames >= 48), "{:?}", frames_of(&both));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.mp4");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(frames_of(&pipe).unwrap_err().contains("it is not a file"));
}

/// Its header claims it: 9000×8000 pixels, of which ffmpeg would make several at once.
#[test]
fn frames_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        make(&folder, "-f lavfi -i color=size=9000x8000:rate=5:duration=0.2 -c:v mjpeg -pix_fmt yuvj420p", "large.avi");
    let words = frames_of(&whole).unwrap_err();
    assert!(words.contains("exceeds specified max pixel count"), "{words}");
}
