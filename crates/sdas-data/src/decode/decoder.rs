//! One video file to its frames, by ffmpeg as a process of its own.
//!
//! ffmpeg writes every frame to a pipe as a PPM picture: raw RGB with a header that says its size.
//! So the size after rotation is ffmpeg's word, not our reading of the file, and an output that
//! ends early is noticed. The whole file is decoded, without seeking: frame t is frame t.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;

use super::container::{Ending, KEPT, ending};
use super::process::{Heard, Patience, command, input, run};
use super::{CHANNELS, Failure, Frames, MOST, Resize};
use crate::error::DataError;

/// How long ffmpeg may take before it is ended.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(120), total: Duration::from_secs(3600) };
/// The most bytes of frames that one clip may have: they are held in memory.
pub(super) const LONGEST: usize = 1 << 31;
/// The most bytes that ffprobe may tell of a clip.
const PROBED: usize = 1 << 28;
/// The most frames at the end of a clip that may be those in which an error was found: some are
/// decoded before those in front of them are shown.
const TAIL: usize = 32;

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
    pub(crate) fn filters(&self) -> String {
        self.filters_of("")
    }

    /// Likewise, of frames that the filter `select` leaves, which ends with a comma.
    pub(super) fn filters_of(&self, select: &str) -> String {
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
        format!("{fps}{select}{scale}format=rgb24")
    }
}

/// ffmpeg, found.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    patience: Patience,
    longest: usize,
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
        Ok(Self { ffmpeg, ffprobe, patience: PATIENCE, longest: LONGEST, passthrough: [passthrough, "passthrough"] })
    }

    /// All frames of the first video stream that is not a cover picture, turned upright.
    ///
    /// A file is broken if it was cut off, if ffmpeg fails or yields no frame, or if the frames are of
    /// several sizes. Complaints alone do not make it broken: ffmpeg conceals small errors, as
    /// players do. But with complaints and fewer frames than the file shows, it is.
    pub(crate) fn decode(&self, path: &Path, form: &Form) -> Result<Frames, Failure> {
        Ok(self.judge(path, form)?.0)
    }

    /// As [`decode`](Self::decode), and whether ffmpeg had nothing to complain about.
    pub(super) fn judge(&self, path: &Path, form: &Form) -> Result<(Frames, bool), Failure> {
        // What is no file may have no end, or wait for somebody to write to it.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Failure::Broken("it is not a file".into()));
        }
        let ending = File::open(path).and_then(ending).unwrap_or(Ending::Unknown);
        // Of what is cut off in front of its frames' end, none is decoded.
        if let Some(words) = ending.lacks(usize::MAX) {
            return Err(Failure::Broken(words));
        }
        let filters = form.filters();
        let (frames, heard) = twice(|| self.frames(path, &filters))?;
        if let Some(words) = heard.resized() {
            return Err(Failure::Broken(words));
        }
        // With `fps` there may be more frames than were decoded, or fewer.
        let decoded = heard.decoded.filter(|_| form.fps.is_some()).unwrap_or(frames.count(CHANNELS));
        if let Some(words) = ending.lacks(decoded) {
            return Err(Failure::Broken(words));
        }
        // Of the frame in which it was cut off, ffmpeg may say no more than that.
        let has_parts = ending == Ending::Unknown && heard.has_parts;
        let in_parts = || has_parts.then(|| "corrupt decoded frame".to_owned());
        let Some(words) = heard.complaints().or_else(in_parts) else {
            return Ok((frames, !heard.lacks_references));
        };
        match twice(|| self.promised(path))? {
            Some(promised) if decoded < promised => {
                Err(Failure::Broken(format!("only {decoded} of {promised} frames can be decoded: {words}")))
            }
            // What was cut off where nothing tells so has an error at its end.
            Some(_) if ending == Ending::Unknown && twice(|| self.errs_at_its_end(path))? => Err(Failure::Broken(
                format!("errors in the last of its {decoded} frames, as if it were cut off: {words}"),
            )),
            Some(_) => Ok((frames, false)),
            None => Err(Failure::Broken(format!("errors after {decoded} frames: {words}"))),
        }
    }

    /// Hands over every frame of `path` as it is decoded, however many there are, with its height and width.
    pub(crate) fn stream(
        &self,
        path: &Path,
        form: &Form,
        mut take: impl FnMut([usize; 2], Vec<u8>) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let ending = File::open(path).and_then(ending).unwrap_or(Ending::Unknown);
        if let Some(words) = ending.lacks(usize::MAX) {
            return Err(Failure::Broken(words));
        }
        let patient = Self { patience: Patience { total: Duration::MAX, ..self.patience }, ..self.clone() };
        let mut count = 0_usize;
        let heard = patient.ffmpeg(path, [&[], &[]], &form.filters(), read_picture, |(size, pixels)| {
            count += 1;
            take(size, pixels)
        })?;
        let lacks = || ending.lacks(heard.decoded.filter(|_| form.fps.is_some()).unwrap_or(count));
        match (count, heard.resized().or_else(lacks)) {
            (0, _) => Err(Failure::Broken(because("it has no frame".into(), &heard))),
            (_, Some(words)) => Err(Failure::Broken(words)),
            (_, None) => Ok(()),
        }
    }

    /// Frames a second that the file says it has, if it says so.
    pub(crate) fn rate(&self, path: &Path) -> Result<Option<f64>, Failure> {
        let probe = self.probe(path, "stream=avg_frame_rate");
        let probe = match probe {
            Err(Failure::Passing(_)) => None,
            probe => probe?,
        };
        let rate = probe.and_then(|probe| ratio(probe.streams.first()?.avg_frame_rate.as_ref()?));
        Ok(rate.filter(|rate| (0.01..=1000.0).contains(rate)))
    }

    /// The frames, and what ffmpeg said meanwhile.
    fn frames(&self, path: &Path, filters: &str) -> Result<(Frames, Heard), Failure> {
        let (frames, heard) = self.frames_by(path, [&[], &[]], filters)?;
        match frames.pixels.is_empty() {
            true => Err(Failure::Broken(because("it has no frame".into(), &heard))),
            false => Ok((frames, heard)),
        }
    }

    /// Likewise, with options before the file and after it; there may be none.
    pub(super) fn frames_by(
        &self,
        path: &Path,
        options: [&[&str]; 2],
        filters: &str,
    ) -> Result<(Frames, Heard), Failure> {
        let mut frames = Frames { size: [0; 2], pixels: vec![] };
        let heard = self.ffmpeg(path, options, filters, read_picture, |(size, pixels)| {
            if frames.pixels.is_empty() {
                frames.size = size;
            }
            if size != frames.size {
                return Err(format!("its size changes after {} frames", frames.count(CHANNELS)));
            }
            if frames.pixels.len() + pixels.len() > self.longest {
                let most = self.longest as f64 / f64::from(1 << 30);
                return Err(format!("more than {most} GiB of frames: set a smaller `size`, or cut it"));
            }
            frames.pixels.extend_from_slice(&pixels);
            Ok(())
        })?;
        Ok((frames, heard))
    }

    /// Whether ffmpeg finds errors in the last frames.
    fn errs_at_its_end(&self, path: &Path) -> Result<bool, Failure> {
        let small = Form { size: Some(16), resize: Resize::Squash, fps: None }.filters();
        let heard = self.ffmpeg(path, [&[], &[]], &format!("{small},showinfo"), read_some, |_| Ok(()))?;
        Ok(heard.before_last + TAIL.min(heard.shown.div_ceil(2)) >= heard.shown)
    }

    /// Runs ffmpeg on the video of `path`; `next` and `take` have the pictures that it writes.
    fn ffmpeg<T: Send + 'static>(
        &self,
        path: &Path,
        [before, after]: [&[&str]; 2],
        filters: &str,
        next: impl FnMut(&mut BufReader<ChildStdout>) -> io::Result<Option<T>> + Send + 'static,
        take: impl FnMut(T) -> Result<(), String>,
    ) -> Result<Heard, Failure> {
        let mut ffmpeg = command(&self.ffmpeg);
        ffmpeg
            .args(["-nostdin", "-hide_banner", "-nostats", "-v", "level+verbose"])
            .args(["-threads", "1", "-filter_threads", "1"])
            .args(before)
            .args(input(path))
            .args(["-map", "0:V:0", "-vf", filters])
            .args(self.passthrough)
            .args(after)
            .args(["-threads", "1", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"]);
        let (outcome, heard) = run(ffmpeg, self.patience, next, take).map_err(Failure::Fatal)?;
        match (outcome, &heard.refused) {
            (Ok(()), _) => Ok(heard),
            (Err(_), Some(format)) => Err(Failure::Broken(format!(
                "it is no container of clips, but what ffmpeg calls `{format}`; playlists and scripts, which name \
                 other files, are not followed"
            ))),
            (Err(Failure::Broken(what)), None) => Err(Failure::Broken(because(what, &heard))),
            (Err(Failure::Passing(what)), None) => Err(Failure::Passing(because(what, &heard))),
            (Err(error), None) => Err(error),
        }
    }

    /// The number of frames that are shown, by the file's packets: edit lists hide some. Only where
    /// it counts its frames are these exactly as many; else [`KEPT`] of them must do, since some packets hold no
    /// frame.
    /// None if ffprobe cannot tell.
    fn promised(&self, path: &Path) -> Result<Option<usize>, Failure> {
        let Some(probe) = self.probe(path, "stream=nb_frames:packet=flags")? else { return Ok(None) };
        let shown = probe.packets.iter().filter(|packet| !packet.flags.contains('D')).count();
        let counts = probe.streams.first().is_some_and(|stream| stream.nb_frames.is_some());
        Ok(Some(if counts { shown } else { (shown as f64 * KEPT) as usize }))
    }

    /// What ffprobe tells of the video's `entries`; none if it cannot tell.
    pub(super) fn probe(&self, path: &Path, entries: &str) -> Result<Option<Probe>, Failure> {
        let mut ffprobe = command(&self.ffprobe);
        ffprobe
            .args(["-v", "quiet", "-select_streams", "V:0", "-of", "json", "-show_entries", entries])
            .args(input(path));
        let mut text = Vec::new();
        let (outcome, _) = run(ffprobe, self.patience, read_some, |bytes| {
            text.extend(bytes);
            if text.len() > PROBED { Err("ffprobe tells too much".into()) } else { Ok(()) }
        })
        .map_err(Failure::Fatal)?;
        match outcome {
            Err(Failure::Broken(_)) => return Ok(None),
            outcome => outcome?,
        }
        Ok(serde_json::from_slice(&text).ok())
    }
}

/// ffmpeg, looked for when something is to be decoded for the first time: what is kept needs none.
#[derive(Debug, Default)]
pub(crate) struct FoundDecoder(OnceLock<Decoder>);

impl FoundDecoder {
    pub(crate) fn get(&self) -> Result<&Decoder, Failure> {
        if let Some(decoder) = self.0.get() {
            return Ok(decoder);
        }
        let found = Decoder::find().map_err(Failure::Fatal)?;
        Ok(self.0.get_or_init(|| found))
    }
}

/// Tries again what fails in passing.
pub(super) fn twice<T>(attempt: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    match attempt() {
        Err(Failure::Passing(_)) => attempt(),
        outcome => outcome,
    }
}

/// What happened, and ffmpeg's words.
fn because(what: String, heard: &Heard) -> String {
    heard.complaints().map_or(what.clone(), |words| format!("{what}: {words}"))
}

/// What ffprobe tells, where it was asked for it.
#[derive(Deserialize)]
pub(super) struct Probe {
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    #[serde(default)]
    pub(super) packets: Vec<Packet>,
}

#[derive(Deserialize)]
pub(super) struct Stream {
    nb_frames: Option<String>,
    avg_frame_rate: Option<String>,
    /// Of the packets' times, in seconds.
    pub(super) time_base: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Packet {
    #[serde(default)]
    pub(super) flags: String,
    /// When it is shown.
    pub(super) pts: Option<i64>,
}

/// The value of `30/1`.
pub(super) fn ratio(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/')?;
    Some(over.parse::<f64>().ok()? / under.parse::<f64>().ok()?)
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

/// Some bytes of the output; none at its end.
fn read_some(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let bytes = from.fill_buf()?.to_vec();
    from.consume(bytes.len());
    Ok((!bytes.is_empty()).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

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

    /// What becomes of a clip if ffmpeg, and ffprobe, do what this script does, and may do nothing for
    /// so many milliseconds.
    #[cfg(unix)]
    fn decode_by(script: &str, silence: u64) -> Result<Frames, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        // Written by another process: one of ours, begun meanwhile by another test, could inherit
        // the open file, and what is open for writing cannot be run.
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = -version ]; then echo ffmpeg version 6.0; exit; fi\ncd {}\n{script}\n",
            folder.path().display()
        );
        let written = Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(&program)
            .arg(text)
            .status();
        assert!(written.unwrap().success());
        let mut decoder = Decoder::with(program.clone(), program).unwrap();
        decoder.patience =
            Patience { silence: Duration::from_millis(silence), total: Duration::from_millis(5 * silence) };
        decoder.longest = 6 * 1000;
        decoder.decode(Path::new("clip.avi"), &AS_IT_IS)
    }

    #[cfg(unix)]
    const FRAME: &str = r"printf 'P6\n2 1\n255\nabcdef'";

    #[cfg(unix)]
    fn pixels_by(script: &str, silence: u64) -> Vec<u8> {
        match decode_by(script, silence) {
            Ok(frames) => frames.pixels,
            Err(Failure::Broken(told) | Failure::Passing(told)) => panic!("{script}: {told}"),
            Err(Failure::Fatal(error)) => panic!("{script}: {error}"),
        }
    }

    #[cfg(unix)]
    #[test]
    fn whatever_ffmpeg_does_is_noticed() {
        let frame = FRAME;
        assert_eq!(pixels_by(&format!("{frame}; {frame}"), 5000), b"abcdefabcdef");
        for (script, words) in [
            ("exec sleep 60".into(), "ffmpeg did nothing for 0.3 s"),
            (format!("{frame}; exec >&-; exec sleep 60"), "ffmpeg did not end"),
            ("exit 0".into(), "it has no frame"),
            ("echo '[avi @ 0x55d0] [error] no header' >&2; exit 7".into(), "7): [avi] no header"),
            (format!("{frame}; echo lost >&2; exit 1"), "1): lost"),
            (format!("{frame}; printf 'P6\\n2 1\\n255\\nabc'"), "ends inside a frame"),
            (format!("{frame}; printf 'P6\\n2 '"), "ends inside a frame"),
            (format!("{frame}; printf 'P6\\n1 2\\n255\\nabcdef'"), "its size changes after 1 frames"),
            ("printf hello; kill -9 $$".into(), "signal: 9"),
            // Complaints, and nobody says how many frames there should be.
            (format!("case $* in *quiet*) ;; *) {frame}; echo lost >&2;; esac"), "errors after 1 frames: lost"),
            // Without an end: too many frames, too slow a drip, nothing but words.
            (format!("while {frame}; do :; done"), "more than 0.000005"),
            (format!("while {frame}; do sleep 0.1; done"), "it has no end: ffmpeg was not through after 1.5 s"),
            ("while echo lost >&2; do :; done".into(), "ffmpeg did nothing for 0.3 s: lost; lost; lost; …"),
        ] {
            let begun = Instant::now();
            let (told, passes) = match decode_by(&script, 300) {
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
        // Complaints, and as many frames as promised: concealed. Frames that are not shown are not promised.
        let probe = r#"{"streams": [{"nb_frames": "9"}], "packets": [{"flags": "KD"}, {"flags": "__"}]}"#;
        let script = |before: usize, after: usize| {
            let shown = |frames| "echo '[Parsed_showinfo_1 @ 0x5] [info] n: 0'; ".repeat(frames);
            let says = format!("{{ {} echo '[error] lost'; {} }} >&2", shown(before), shown(after));
            format!("case $* in *quiet*) echo '{probe}';; *) {frame}; {says};; esac")
        };
        for (before, after) in [(0, 13), (60, 33)] {
            assert_eq!(pixels_by(&script(before, after), 5000), b"abcdef");
        }
        for (before, after) in [(0, 1), (2, 3), (13, 3), (60, 32)] {
            let Err(Failure::Broken(told)) = decode_by(&script(before, after), 5000) else { panic!("it passes") };
            assert!(told.contains("errors in the last of its 1 frames, as if it were cut off: lost"), "{told}");
        }
        // A wrapper whose own child holds the pipe: what was said up to then counts.
        let begun = Instant::now();
        let Err(Failure::Broken(told)) = decode_by("echo lost >&2; sleep 30 >&- & exit 1", 300) else {
            panic!("it passes")
        };
        assert!(told.contains("1): lost") && begun.elapsed() < Duration::from_secs(20), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn what_fails_in_passing_is_tried_again() {
        for failing in ["kill -9 $$", "exec sleep 60"] {
            let script = format!("if mkdir tried 2>&-; then {failing}; fi; {FRAME}");
            assert_eq!(pixels_by(&script, 1000), b"abcdef");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pause_of_this_process_is_no_silence_of_ffmpeg() {
        // Stops this very process for longer than it is patient, and delivers then. A second attempt
        // would have two frames.
        let stop = "kill -STOP $PPID; sleep 1.4; kill -CONT $PPID";
        let script = format!("if ! mkdir tried 2>&-; then {FRAME}; fi; {stop}; {FRAME}");
        assert_eq!(pixels_by(&script, 1000), b"abcdef");
    }
}
