//! ffmpeg and ffprobe at work: what they deliver, what they say, and whether they do anything.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Failure;
use crate::error::DataError;
use crate::threads::begin;

/// How often we look up while we wait.
const TURN: Duration = Duration::from_millis(100);
/// How long the rest of what it said may take once it has ended: a child of its own may keep the
/// pipe open, as that of a script does.
const REST: Duration = Duration::from_secs(5);
/// How much of a line that they say is read.
const LINE: u64 = 1 << 12;
/// How many complaints are told.
const COMPLAINTS: usize = 3;
/// The containers that are read, by ffmpeg's names: those that hold the frames themselves. Others,
/// playlists above all, name files that hold them.
const CONTAINERS: &str = "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,apng,h261,h263,h264,hevc,m4v,vc1,\
    mjpeg,obu,av1,ivf,dv,mxf,nut,rm,wtv,yuv4mpegpipe";

/// The most pixels of a frame, twice those of 8K: it bounds the memory that ffmpeg takes for a file that says it is larger.
const PIXELS: &str = "67108864";

/// How long a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without delivering anything.
    pub(super) silence: Duration,
    /// Altogether.
    pub(super) total: Duration,
}

/// The program, to be run apart from the terminal: Ctrl-C is for us, and ffmpeg ended by it would
/// look like a broken clip. It ends with us all the same, since nobody reads its pipe any more.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    // CREATE_NEW_PROCESS_GROUP.
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(&mut command, 0x200);
    command
}

/// The options that have this file read, and no other; without `file:` a colon in its name would
/// mean a protocol.
pub(super) fn input(path: &Path) -> [OsString; 8] {
    let mut input = OsString::from("file:");
    input.push(path);
    let [protocols, containers, pixels] =
        ["-protocol_whitelist", "-format_whitelist", "-max_pixels"].map(OsString::from);
    [protocols, "file".into(), containers, CONTAINERS.into(), pixels, PIXELS.into(), "-i".into(), input]
}

/// A clock that stands still while this process does: stopped, or on a machine that sleeps.
struct Clock {
    seen: Instant,
    run: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { seen: Instant::now(), run: Duration::ZERO }
    }

    /// The time that we were there since the start. Read at every turn: what is longer was a pause.
    fn read(&mut self) -> Duration {
        let now = Instant::now();
        self.run += now.duration_since(self.seen).min(2 * TURN);
        self.seen = now;
        self.run
    }
}

/// Runs `command` to its end: `next` reads one piece of its output, `take` has it, in the same
/// order. With what it said; of what went wrong, that it could not be started comes alone.
pub(super) fn run<T: Send + 'static>(
    mut command: Command,
    patience: Patience,
    mut next: impl FnMut(&mut BufReader<ChildStdout>) -> io::Result<Option<T>> + Send + 'static,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(Result<(), Failure>, Heard), DataError> {
    let program = command.get_program().to_owned();
    let name = Path::new(&program).file_stem().unwrap_or(&program).to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| DataError::NoFfmpeg { program: program.into(), source })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, stderr) = (BufReader::new(stdout.expect("piped")), stderr.expect("piped"));

    let heard = Arc::new(Mutex::new(Heard::default()));
    let listens = {
        let heard = Arc::clone(&heard);
        move || listen(stderr, &heard)
    };
    let (sender, pieces) = sync_channel(2);
    let reads = move || {
        // Ends with the output, with the first error, or when nobody listens any more.
        while let Some(piece) = next(&mut stdout).transpose() {
            let failed = piece.is_err();
            if sender.send(piece).is_err() || failed {
                break;
            }
        }
    };
    let threads = begin("words", listens).and_then(|listening| Ok((listening, begin("frames", reads)?)));
    let (listening, _) = match threads {
        Ok(threads) => threads,
        Err(source) => {
            // Fails only if it has ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            return Err(DataError::Thread { source });
        }
    };

    let mut clock = Clock::start();
    let mut last = Duration::ZERO;
    // Whether the output has ended by itself, and how it was up to then.
    let (ended, outcome) = loop {
        let piece = pieces.recv_timeout(TURN);
        let now = clock.read();
        match piece {
            _ if now > patience.total => {
                let what = format!("it has no end: {name} was not through after {} s", patience.total.as_secs_f32());
                break (false, Err(Failure::Broken(what)));
            }
            Ok(Ok(piece)) => {
                last = now;
                if let Err(what) = take(piece) {
                    break (false, Err(Failure::Broken(what)));
                }
            }
            Ok(Err(error)) => {
                break (true, Err(Failure::Broken(format!("{name}'s output ends inside a frame: {error}"))));
            }
            Err(RecvTimeoutError::Disconnected) => break (true, Ok(())),
            Err(RecvTimeoutError::Timeout) if now - last > patience.silence => {
                let what = format!("{name} did nothing for {} s", patience.silence.as_secs_f32());
                break (false, Err(Failure::Passing(what)));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    drop(pieces);
    let status = if ended { wait(&mut child, patience.silence) } else { None };
    if status.is_none() {
        // Fails only if it has ended meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut clock = Clock::start();
    while !listening.is_finished() && clock.read() < REST.min(patience.silence) {
        thread::sleep(Duration::from_millis(1));
    }
    let heard = mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    let outcome = match (outcome, status) {
        // If it failed, that is why its output was not whole. Without a code, somebody has killed it.
        (_, Some(status)) if !status.success() => {
            let kind = if status.code().is_some() { Failure::Broken } else { Failure::Passing };
            Err(kind(format!("{name} failed ({status})")))
        }
        (Ok(()), None) => Err(Failure::Passing(format!("{name} did not end"))),
        (outcome, _) => outcome,
    };
    Ok((outcome, heard))
}

/// How the process ended; none if it has not after `patience`.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let mut clock = Clock::start();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if clock.read() < patience => thread::sleep(Duration::from_millis(1)),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Hears all lines; the rest is read even if nobody wants it, or else the program would wait.
fn listen(stderr: ChildStderr, heard: &Mutex<Heard>) {
    let (mut stderr, mut line) = (BufReader::new(stderr), Vec::new());
    while let Ok(1..) = stderr.by_ref().take(LINE).read_until(b'\n', &mut line) {
        heard.lock().unwrap_or_else(PoisonError::into_inner).hear(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// What ffmpeg has said, with `-v level+verbose`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    /// The first things it complained about.
    complaints: Vec<String>,
    /// Whether a frame gave up another as its reference that was not there, as after a trim that begins within an open group. All
    /// that is in the file may have been read then, and frames that are to be shown only after others may not be.
    pub(super) lacks_references: bool,
    /// Whether a frame was there in part, of which it may say nothing else.
    pub(super) has_parts: bool,
    /// Frames that the filter `showinfo` had shown before the last complaint, or the last frame that was there in part.
    pub(super) before_last: usize,
    /// Frames that the filter `showinfo` has shown.
    pub(super) shown: usize,
    /// Frames that were decoded, by its own count.
    pub(super) decoded: Option<usize>,
    /// Width and height of the first frames.
    size: Option<String>,
    /// The first width and height that are others.
    other_size: Option<String>,
    /// What it takes the file for, if that is not to be read.
    pub(super) refused: Option<String>,
    /// Whether a line had a level.
    has_begun: bool,
}

impl Heard {
    /// Takes in a line such as `[h264 @ 0x55c247426880] [error] words`.
    fn hear(&mut self, line: &str) {
        let (mut from, mut level, mut words) = (String::new(), "", line.trim());
        while let Some((tag, rest)) = words.strip_prefix('[').and_then(|words| words.split_once(']')) {
            words = rest.trim_start();
            if ["panic", "fatal", "error", "warning", "info", "verbose"].contains(&tag) {
                level = tag;
                self.has_begun = true;
                break;
            }
            from += &format!("[{}] ", tag.split(" @ 0x").next().unwrap_or(tag));
        }
        match level {
            // The system's words, if it could not begin; later only what goes on from a line before, as
            // a text in the file does that has several lines.
            "" if self.has_begun || words.is_empty() => {}
            "error" if words.starts_with("mmco: unref ") => self.lacks_references = true,
            "" | "panic" | "fatal" | "error" => self.complain(&from, words),
            "warning" if tells_of_loss(words) => self.complain(&from, words),
            "warning" if words.contains("corrupt decoded frame") => {
                self.has_parts = true;
                self.before_last = self.shown;
            }
            "info" if from.contains("showinfo") && words.starts_with("n:") => self.shown += 1,
            "verbose" if words.contains(" frames decoded") => {
                let count = words.split(" frames decoded").next().and_then(|words| words.rsplit(' ').next());
                self.decoded = count.and_then(|count| count.parse().ok());
            }
            // The filters begin anew whenever frames are of another size, or another form of pixels.
            "verbose" if words.starts_with("w:") && words.contains(" pixfmt:") => {
                let sides: Vec<_> = words.split([':', ' ']).collect();
                let size = Some(format!("{}×{}", sides[1], sides[3]));
                match &self.size {
                    None => self.size = size,
                    first if *first != size && self.other_size.is_none() => self.other_size = size,
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }

    fn complain(&mut self, from: &str, words: &str) {
        if words.contains("Format not on whitelist") {
            self.refused = Some(from.trim_matches(['[', ']', ' ']).into());
        }
        self.before_last = self.shown;
        if self.complaints.len() <= COMPLAINTS {
            self.complaints.push(format!("{from}{words}"));
        }
    }

    /// Its first complaints, on one line; none if it had none.
    pub(super) fn complaints(&self) -> Option<String> {
        let told = self.complaints.len().min(COMPLAINTS);
        let more = if self.complaints.len() > COMPLAINTS { "; …" } else { "" };
        (told > 0).then(|| self.complaints[..told].join("; ") + more)
    }

    /// That frames are of several sizes, if they are.
    pub(super) fn resized(&self) -> Option<String> {
        let (size, other) = (self.size.as_ref()?, self.other_size.as_ref()?);
        Some(format!("its resolution changes from {size} to {other}"))
    }
}

/// Whether a warning says that a part of the file is not there; of most it is said that nothing was
/// lost but time.
fn tells_of_loss(words: &str) -> bool {
    let words = words.to_lowercase();
    ["packet corrupt", "corrupt input packet", "packet size mismatch", "truncated"]
        .iter()
        .any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_is_understood() {
        let mut heard = Heard::default();
        for line in [
            "[graph 0 input from stream 0:0 @ 0x55] [verbose] w:160 h:120 pixfmt:yuv420p tb:1/90000 fr:25/1 sar:1/1",
            "[warning] Guessed Channel Layout for Input Stream #0.1 : stereo",
            "[warning] file:x.mp4: corrupt decoded frame in stream 0",
            "[Parsed_scale_0 @ 0x55] [verbose] w:64 h:64 flags:'' interl:0",
            "[graph 0 input from stream 0:0 @ 0x55] [verbose] w:160 h:120 pixfmt:yuvj420p tb:1/90000 fr:25/1 sar:1/1",
            "[Parsed_showinfo_1 @ 0x55] [info] n:   0 pts:      0 pts_time:0       duration:      1",
            "    Last message repeated 3 times",
            "[info]     comment         : One",
            "                    : of two lines",
        ] {
            heard.hear(line);
        }
        assert_eq!((heard.complaints(), heard.has_parts, heard.resized(), heard.shown), (None, true, None, 1));

        heard.hear("[h264 @ 0x55b803c76640] [error] mmco: unref short failure");
        assert_eq!((heard.complaints(), heard.lacks_references), (None, true));

        heard.hear("[mpegts @ 0x558d8a798940] [warning] Packet corrupt (stream = 0, dts = 212400).\n");
        heard.hear("[in @ 0x1] [h264 @ 0x55] [error] no frame!");
        assert_eq!(heard.before_last, 1);
        heard.hear("[Parsed_showinfo_1 @ 0x55] [info] n:   1 pts:      1");
        heard.hear("[verbose]   Input stream #0:0 (video): 50 packets read (77459 bytes); 49 frames decoded; ");
        heard.hear("[graph 0 input from stream 0:0 @ 0x55] [verbose] w:80 h:60 pixfmt:yuv420p tb:1/90000");
        let words = "[mpegts] Packet corrupt (stream = 0, dts = 212400).; [in] [h264] no frame!";
        assert_eq!(heard.complaints().as_deref(), Some(words));
        assert_eq!(heard.resized().as_deref(), Some("its resolution changes from 160×120 to 80×60"));
        assert_eq!((heard.decoded, heard.shown, heard.before_last), (Some(49), 2, 1));

        heard.hear("[hls @ 0x55] [error] Format not on whitelist 'mov,avi'");
        heard.hear("[error] x.mp4: Invalid argument");
        assert_eq!(heard.refused.as_deref(), Some("hls"));
        assert!(heard.complaints().unwrap().ends_with("Format not on whitelist 'mov,avi'; …"));

        let mut heard = Heard::default();
        heard.hear("ffmpeg: error while loading shared libraries: libavdevice.so.59");
        assert!(heard.complaints().is_some());
    }
}
