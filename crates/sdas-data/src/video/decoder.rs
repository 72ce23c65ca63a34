//! One video file to its frames, by ffmpeg as a process of its own.
//!
//! ffmpeg writes every frame to a pipe as a PPM picture: raw RGB with a header that says its size.
//! So the size after rotation is ffmpeg's word, not our reading of the file, and an output that
//! ends early is noticed. The whole file is decoded, without seeking: frame t is frame t.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::DataError;
use crate::packs::{Failure, Frames};
use crate::source::{CHANNELS, MOST, Resize};

/// How long ffmpeg may be silent before it is ended.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes of frames that one clip may have: they are held in memory.
const LONGEST: usize = 1 << 31;
/// How much of ffmpeg's complaints is kept.
const WORDS: usize = 1 << 12;

/// What the frames should be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    /// With [`Resize::Crop`] the short side in pixels; the long one then follows by proportion,
    /// rounded to an even number, and is not cut: that is left to the sampling. With
    /// [`Resize::Squash`] both sides. None keeps the file's size.
    pub(crate) size: Option<usize>,
    pub(crate) resize: Resize,
    /// Frames per second to repeat or drop frames to. None keeps every frame of the file, whatever
    /// its time.
    pub(crate) fps: Option<f64>,
}

impl Form {
    /// Height and width that frames of these come to.
    pub(crate) fn size_of(&self, size: [usize; 2]) -> [usize; 2] {
        let short = size[0].min(size[1]);
        match (self.size, self.resize) {
            (None, _) => size,
            (Some(side), Resize::Squash) => [side; 2],
            (Some(side), Resize::Crop) => size.map(|this| {
                let even = 2 * (side as f64 * this as f64 / short as f64 / 2.0).round() as usize;
                if this == short { side } else { even.max(side) }
            }),
        }
    }

    /// As ffmpeg's filters. Scaling averages over the area where it shrinks, and is linear where it
    /// enlarges.
    pub(super) fn filters(&self) -> String {
        let fps = self.fps.map(|fps| format!("fps={fps},")).unwrap_or_default();
        // Exact and the same on every processor.
        let flags = "flags=area+accurate_rnd+full_chroma_int+bitexact";
        let scale = match (self.size, self.resize) {
            (None, _) => format!("scale=w=iw:h=ih:{flags},"),
            (Some(size), Resize::Squash) => format!("scale=w={size}:h={size}:{flags},"),
            (Some(size), Resize::Crop) => {
                // The sides of a square are both the short one.
                let side = |this: &str, other: &str| {
                    format!("'if(lte({this},{other}),{size},max({size},2*round({size}*{this}/{other}/2)))'")
                };
                format!("scale=w={}:h={}:{flags},", side("iw", "ih"), side("ih", "iw"))
            }
        };
        format!("{fps}{scale}format=rgb24")
    }
}

/// ffmpeg, found.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    patience: Duration,
    /// The options that keep ffmpeg from repeating or dropping frames by their times.
    passthrough: [&'static str; 2],
}

impl Decoder {
    /// Finds ffmpeg and ffprobe in the folders of PATH.
    pub(crate) fn find() -> Result<Self, DataError> {
        Self::with("ffmpeg".into(), "ffprobe".into())
    }

    /// With these programs.
    fn with(ffmpeg: PathBuf, ffprobe: PathBuf) -> Result<Self, DataError> {
        let version = |program: &Path| {
            let output = command(program).arg("-version").output();
            output.map_err(|source| DataError::NoFfmpeg { program: program.into(), source })
        };
        version(&ffprobe)?;
        let text = version(&ffmpeg)?.stdout;
        let passthrough = if knows_fps_mode(&String::from_utf8_lossy(&text)) { "-fps_mode" } else { "-vsync" };
        Ok(Self { ffmpeg, ffprobe, patience: PATIENCE, passthrough: [passthrough, "passthrough"] })
    }

    /// All frames of the first video stream that is not a cover picture, turned upright.
    ///
    /// A file is broken if ffmpeg fails or yields no frame. Complaints alone do not make it broken:
    /// ffmpeg conceals small errors, as players do. But with complaints and fewer frames than the
    /// file says it has, it is.
    pub(crate) fn decode(&self, path: &Path, form: &Form) -> Result<Frames, Failure> {
        let Output { frames, words } = self.run(path, &form.filters())?;
        if words.is_empty() {
            return Ok(frames);
        }
        let decoded = match form.fps {
            None => frames.count(CHANNELS),
            // How many frames were decoded shows only without the filter.
            Some(_) => self
                .run(path, &Form { size: Some(16), resize: Resize::Squash, fps: None }.filters())?
                .frames
                .count(CHANNELS),
        };
        match self.promised(path) {
            Some(promised) if decoded < promised => {
                Err(Failure::Broken(format!("only {decoded} of {promised} frames can be decoded: {words}")))
            }
            Some(_) => Ok(frames),
            None => Err(Failure::Broken(format!("errors after {decoded} frames: {words}"))),
        }
    }

    fn run(&self, path: &Path, filters: &str) -> Result<Output, Failure> {
        let mut child = command(&self.ffmpeg)
            .args(["-nostdin", "-v", "error", "-threads", "1", "-filter_threads", "1", "-i"])
            .arg(input(path))
            .args(["-map", "0:V:0", "-vf", filters])
            .args(self.passthrough)
            .args(["-threads", "1", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Failure::Fatal(DataError::NoFfmpeg { program: self.ffmpeg.clone(), source }))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut stdout, stderr) = (BufReader::new(stdout.expect("piped")), stderr.expect("piped"));

        let words = thread::spawn(move || listen(stderr));
        let (sender, pictures) = sync_channel(2);
        thread::spawn(move || {
            // Ends with the output, with the first error, or when nobody listens any more.
            while let Some(picture) = read_picture(&mut stdout).transpose() {
                let failed = picture.is_err();
                if sender.send(picture).is_err() || failed {
                    break;
                }
            }
        });

        let mut frames = Frames { size: [0; 2], pixels: vec![] };
        // Whether the output has ended by itself, and how it was up to then.
        let broken: fn(String) -> Failure = Failure::Broken;
        let (ended, outcome) = loop {
            match pictures.recv_timeout(self.patience) {
                Ok(Ok((size, pixels))) => {
                    if frames.pixels.is_empty() {
                        frames.size = size;
                    }
                    if size != frames.size {
                        break (
                            false,
                            Err((broken, format!("its size changes after {} frames", frames.count(CHANNELS)))),
                        );
                    }
                    if frames.pixels.len() + pixels.len() > LONGEST {
                        let most = LONGEST >> 30;
                        let what = format!("more than {most} GiB of frames: set a smaller `size`, or cut it");
                        break (false, Err((broken, what)));
                    }
                    frames.pixels.extend_from_slice(&pixels);
                }
                Ok(Err(error)) => {
                    break (true, Err((broken, format!("ffmpeg's output ends inside a frame: {error}"))));
                }
                Err(RecvTimeoutError::Disconnected) => break (true, Ok(())),
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!("ffmpeg did nothing for {} s", self.patience.as_secs_f32());
                    break (false, Err((Failure::Passing, what)));
                }
            }
        };
        drop(pictures);
        let status = if ended { wait(&mut child, self.patience) } else { None };
        if status.is_none() {
            // Fails only if it has ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
        }
        let words = words.join().unwrap_or_default();
        let said = |kind: fn(String) -> Failure, what: String| {
            Err(kind(if words.is_empty() { what } else { format!("{what}: {words}") }))
        };
        match (outcome, status) {
            // If it failed, that is why its output was not whole. Without a code, somebody has killed it.
            (_, Some(status)) if !status.success() => {
                let kind = if status.code().is_some() { broken } else { Failure::Passing };
                said(kind, format!("ffmpeg failed ({status})"))
            }
            (Err((kind, what)), _) => said(kind, what),
            (Ok(()), None) => said(Failure::Passing, "ffmpeg did not end".into()),
            (Ok(()), Some(_)) if frames.pixels.is_empty() => said(broken, "it has no frame".into()),
            (Ok(()), Some(_)) => Ok(Output { frames, words }),
        }
    }

    /// The number of frames by what the file says of itself: their number, or else 95 % of the
    /// duration (sound may be longer) times the rate. None if it says neither.
    fn promised(&self, path: &Path) -> Option<usize> {
        let entries = "stream=nb_frames,avg_frame_rate,duration:format=duration";
        let output = command(&self.ffprobe)
            .args(["-v", "quiet", "-select_streams", "V:0", "-of", "json", "-show_entries", entries])
            .arg(input(path))
            .output()
            .ok()?;
        let probe: Probe = serde_json::from_slice(&output.stdout).ok()?;
        let stream = probe.streams.first()?;
        if let Some(count) = stream.nb_frames.as_ref().and_then(|count| count.parse().ok()) {
            return Some(count);
        }
        let seconds: f64 = stream.duration.as_ref().or(probe.format.duration.as_ref())?.parse().ok()?;
        let (frames, per) = stream.avg_frame_rate.as_ref()?.split_once('/')?;
        let rate = frames.parse::<f64>().ok()? / per.parse::<f64>().ok()?;
        rate.is_finite().then_some((seconds * rate * 0.95) as usize)
    }
}

struct Output {
    frames: Frames,
    /// What ffmpeg complained about.
    words: String,
}

#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize)]
struct Stream {
    nb_frames: Option<String>,
    avg_frame_rate: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
struct Format {
    duration: Option<String>,
}

/// The program, to be run apart from the terminal: Ctrl-C is for us, and ffmpeg ended by it would
/// look like a broken clip. It ends with us all the same, since nobody reads its pipe any more.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    // CREATE_NEW_PROCESS_GROUP.
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(&mut command, 0x200);
    command
}

/// The file as ffmpeg takes it; without `file:` a colon in its name would mean a protocol.
fn input(path: &Path) -> OsString {
    let mut input = OsString::from("file:");
    input.push(path);
    input
}

/// `-fps_mode` took `-vsync`'s place in 5.1; versions that are not numbers are from after that.
fn knows_fps_mode(version: &str) -> bool {
    let number = version.strip_prefix("ffmpeg version ").and_then(|rest| rest.split([' ', '-']).next());
    let mut parts = number.unwrap_or_default().trim_start_matches('n').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 1),
        (Some(Ok(major)), _) => major > 5,
        _ => true,
    }
}

/// The next picture's height and width and its pixels; none at the end of the output.
fn read_picture(from: &mut impl BufRead) -> io::Result<Option<([usize; 2], Vec<u8>)>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut header = Vec::new();
    for _ in 0..3 {
        from.by_ref().take(64).read_until(b'\n', &mut header)?;
    }
    let header = String::from_utf8_lossy(&header);
    let numbers: Vec<usize> = header.split_ascii_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
    let (true, &[width, height, 255]) = (header.starts_with("P6"), numbers.as_slice()) else {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("`{}` is not a header", header.trim())));
    };
    if !(1..=8 * MOST).contains(&width) || !(1..=8 * MOST).contains(&height) {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("{width}×{height} pixels")));
    }
    let mut pixels = vec![0; width * height * CHANNELS];
    from.read_exact(&mut pixels)?;
    Ok(Some(([height, width], pixels)))
}

/// The first lines of ffmpeg's complaints, on one line; the rest is read too, or else it would
/// wait.
fn listen(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(WORDS as u64).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    let words = String::from_utf8_lossy(&words);
    let lines: Vec<_> = words.lines().map(without_address).filter(|line| !line.is_empty()).collect();
    let mut text = lines.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
    if lines.len() > 3 {
        text += "; …";
    }
    text
}

/// `[h264 @ 0x55c247426880] words` as `[h264] words`.
fn without_address(line: &str) -> String {
    match (line.find(" @ 0x"), line.find(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line.trim().into(),
    }
}

/// How the process ended; none if it has not after `patience`.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
            Ok(None) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_IT_IS: Form = Form { size: None, resize: Resize::Crop, fps: None };

    #[test]
    fn without_ffmpeg_the_error_says_how_to_get_it() {
        let error = Decoder::with("nowhere/ffmpeg".into(), "nowhere/ffprobe".into()).unwrap_err().to_string();
        for words in ["cannot run `nowhere/ff", "apt install ffmpeg", "brew install ffmpeg", "winget install ffmpeg"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn versions_before_5_1_have_another_option() {
        for (version, is_new) in [
            ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright (c)", false),
            ("ffmpeg version 5.0 Copyright", false),
            ("ffmpeg version n5.1.2 Copyright", true),
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright", true),
            ("ffmpeg version 7.1 Copyright", true),
            ("ffmpeg version 8 Copyright", true),
            ("ffmpeg version N-112233-gabcdef Copyright", true),
            ("ffmpeg version 2024-05-02-git-71669f2ad5-full_build Copyright", true),
        ] {
            assert_eq!(knows_fps_mode(version), is_new, "{version}");
        }
    }

    #[test]
    fn filters_are_written_as_ffmpeg_reads_them() {
        let form = Form { size: Some(64), resize: Resize::Squash, fps: Some(12.5) };
        let flags = "flags=area+accurate_rnd+full_chroma_int+bitexact";
        assert_eq!(form.filters(), format!("fps=12.5,scale=w=64:h=64:{flags},format=rgb24"));
        assert_eq!(AS_IT_IS.filters(), format!("scale=w=iw:h=ih:{flags},format=rgb24"));
    }

    /// What becomes of a clip if ffmpeg does what this script does.
    #[cfg(unix)]
    fn decode_by(script: &str) -> Result<Frames, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        // Written by another process: one of ours, begun meanwhile by another test, could inherit
        // the open file, and what is open for writing cannot be run.
        let text = format!("#!/bin/sh\nif [ \"$1\" = -version ]; then echo ffmpeg version 6.0; exit; fi\n{script}\n");
        let written = Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(&program)
            .arg(text)
            .status();
        assert!(written.unwrap().success());
        let mut decoder = Decoder::with(program.clone(), program).unwrap();
        decoder.patience = Duration::from_millis(300);
        decoder.decode(Path::new("clip.avi"), &AS_IT_IS)
    }

    #[cfg(unix)]
    #[test]
    fn whatever_ffmpeg_does_is_noticed() {
        let frame = r"printf 'P6\n2 1\n255\nabcdef'";
        let pixels = |script: &str| decode_by(script).ok().unwrap().pixels;
        assert_eq!(pixels(&format!("{frame}; {frame}")), b"abcdefabcdef");
        for (script, words) in [
            ("exec sleep 60".into(), "ffmpeg did nothing for 0.3 s"),
            (format!("{frame}; exec >&-; exec sleep 60"), "ffmpeg did not end"),
            ("exit 0".into(), "it has no frame"),
            ("echo '[avi @ 0x55d0] no header' >&2; exit 7".into(), "7): [avi] no header"),
            (format!("{frame}; echo lost >&2; exit 1"), "1): lost"),
            (format!("{frame}; printf 'P6\\n2 1\\n255\\nabc'"), "ends inside a frame"),
            (format!("{frame}; printf 'P6\\n2 '"), "ends inside a frame"),
            (format!("{frame}; printf 'P6\\n1 2\\n255\\nabcdef'"), "its size changes after 1 frames"),
            ("printf hello; kill -9 $$".into(), "signal: 9"),
            // Complaints, and nobody says how many frames there should be.
            (format!("case $* in *quiet*) ;; *) {frame}; echo lost >&2;; esac"), "errors after 1 frames: lost"),
        ] {
            let begun = Instant::now();
            let (told, passes) = match decode_by(&script) {
                Err(Failure::Broken(told)) => (told, false),
                Err(Failure::Passing(told)) => (told, true),
                Err(Failure::Fatal(error)) => panic!("{error}"),
                Ok(_) => panic!("{script} delivers frames"),
            };
            assert!(told.contains(words), "{script}: {told}");
            // Only what somebody did to ffmpeg.
            assert_eq!(
                passes,
                ["did nothing", "did not end", "signal"].iter().any(|sign| words.contains(sign)),
                "{told}"
            );
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        // Complaints, and as many frames as promised: concealed.
        let probe = r#"{"streams": [{"nb_frames": "1"}]}"#;
        let script = format!("case $* in *quiet*) echo '{probe}';; *) {frame}; echo lost >&2;; esac");
        assert_eq!(pixels(&script), b"abcdef");
    }
}
