//! One file from a server, by curl as a process of its own: its certificates, proxies and protocols are the system's.
//!
//! curl writes the answer's head and its body to a pipe, and we write the file: so what was there before is gone on with
//! or begun anew by the server's word, and what cannot be written is the system's error.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Fetching;
use super::error::FetchError;
use super::sets::Archive;

/// How long to wait for a server, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Attempts one after another that may bring nothing.
    pub(super) attempts: u32,
    /// Before the second of them; before the third twice as long, and so on.
    pub(super) pause: Duration,
}

pub(super) const PATIENCE: Patience = Patience { attempts: 5, pause: Duration::from_secs(1) };

/// curl's exit codes for what may be otherwise another time: no name, no connection, a part of the file, too slow, TLS
/// that did not come about, nothing, not sent, not received, and HTTP/2's and HTTP/3's troubles.
const PASSING: [i32; 12] = [6, 7, 16, 18, 28, 35, 52, 55, 56, 92, 95, 96];
/// Seconds that a connection may bring nothing.
const SILENCE: &str = "60";
/// The most bytes of an answer's head.
const HEAD: u64 = 1 << 16;

/// Why an attempt failed.
enum Failure {
    Passing(String),
    Final(FetchError),
}

/// What an answer says of itself.
#[derive(Debug, Default, PartialEq)]
struct Head {
    status: u16,
    /// The bytes that follow.
    length: Option<u64>,
    /// The first of them, where they are a part.
    start: Option<u64>,
    /// Of the whole.
    total: Option<u64>,
}

/// Downloads `url` to `part`, or goes on with what is there of it. Whether something was.
pub(super) fn download(
    archive: &Archive,
    url: &str,
    part: &Path,
    patience: Patience,
    tell: &mut dyn FnMut(Fetching<'_>),
) -> Result<bool, FetchError> {
    let write = || FetchError::write(part);
    let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(write())?;
    let length = |file: &File| file.metadata().map(|metadata| metadata.len()).map_err(write());
    if archive.bytes.is_some_and(|bytes| length(&file).is_ok_and(|there| there > bytes)) {
        file.set_len(0).map_err(write())?;
    }
    let was_there = length(&file)? > 0;
    let mut futile = 0;
    loop {
        let before = length(&file)?;
        if archive.bytes == Some(before) {
            return Ok(was_there);
        }
        let words = match attempt(archive, url, (part, &mut file), before, tell) {
            Ok(()) => return Ok(was_there),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(words)) => words,
        };
        let bytes = length(&file)?;
        futile = if bytes > before { 0 } else { futile + 1 };
        if futile >= patience.attempts {
            return Err(FetchError::Cut { url: url.into(), words, part: part.into(), bytes });
        }
        let pause = patience.pause * 2_u32.pow(futile.saturating_sub(1));
        tell(Fetching::Again { file: &archive.file, words: &words, pause });
        thread::sleep(pause);
    }
}

/// curl, which ends with us.
struct Curl(Child);

impl Drop for Curl {
    fn drop(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Curl {
    fn start(url: &str, from: u64) -> io::Result<(Self, BufReader<ChildStdout>)> {
        let mut command = Command::new("curl");
        command
            .args(["--disable", "--silent", "--show-error", "--include", "--suppress-connect-headers"])
            .args(["--location", "--max-redirs", "10", "--proto", "=http,https", "--proto-redir", "=http,https"])
            .args(["--connect-timeout", "30", "--speed-limit", "1", "--speed-time", SILENCE]);
        if from > 0 {
            command.args(["--range", &format!("{from}-")]);
        }
        command.args(["--", url]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().expect("piped"));
        Ok((Self(child), output))
    }

    /// How it ended, once its output has.
    fn end(mut self, url: &str, part: &Path) -> Result<(), Failure> {
        let mut words = String::new();
        // Whatever can be read of it.
        let _ = self.0.stderr.take().expect("piped").read_to_string(&mut words);
        let status = self.0.wait().map_err(|error| Failure::Passing(error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let words = if words.trim().is_empty() { format!("curl: {status}") } else { words.trim().replace('\n', "; ") };
        match status.code() {
            Some(code) if !PASSING.contains(&code) => Err(Failure::Final(FetchError::Refused {
                url: url.into(),
                words,
                folder: part.parent().unwrap_or(part).into(),
            })),
            _ => Err(Failure::Passing(words)),
        }
    }
}

fn attempt(
    archive: &Archive,
    url: &str,
    (part, file): (&Path, &mut File),
    before: u64,
    tell: &mut dyn FnMut(Fetching<'_>),
) -> Result<(), Failure> {
    let write = || |source| Failure::Final(FetchError::write(part)(source));
    let (curl, mut output) = Curl::start(url, before).map_err(|source| {
        let folder = part.parent().unwrap_or(part).into();
        Failure::Final(FetchError::NoCurl { source, url: url.into(), folder })
    })?;
    let Some(head) = read_head(&mut output).map_err(|error| Failure::Passing(error.to_string()))? else {
        curl.end(url, part)?;
        return Err(Failure::Passing("the server's answer is empty".into()));
    };
    let total = head.total.or(head.length.filter(|_| head.status == 200));
    match head.status {
        206 if head.start == Some(before) => {}
        // Some servers do not know of parts.
        200..206 => file.set_len(0).map_err(write())?,
        416 if head.total == Some(before) => return Ok(()),
        206 | 416 => {
            file.set_len(0).map_err(write())?;
            return Err(Failure::Passing("the server has another part of it than was asked for".into()));
        }
        408 | 429 | 500.. => return Err(Failure::Passing(format!("the server answers {}", head.status))),
        status => return Err(Failure::Final(FetchError::Status { url: url.into(), status })),
    }
    if let (Some(found), Some(expected)) = (total, archive.bytes)
        && found != expected
    {
        return Err(Failure::Final(FetchError::Size { url: url.into(), found, expected }));
    }
    let mut done = file.seek(SeekFrom::End(0)).map_err(write())?;
    loop {
        let bytes = match output.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Passing(error.to_string())),
            Ok([]) => break,
            Ok(bytes) => bytes,
        };
        let count = bytes.len();
        file.write_all(bytes).map_err(write())?;
        output.consume(count);
        done += count as u64;
        tell(Fetching::Bytes { file: &archive.file, done, total: archive.bytes.or(total) });
    }
    curl.end(url, part)?;
    match archive.bytes {
        // Where the server has not said how many there are.
        Some(bytes) if done < bytes => Err(Failure::Passing(format!("it ended after {done} of {bytes} bytes"))),
        _ => Ok(()),
    }
}

/// The head of the last answer, after those that led to it; none if there is none.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    loop {
        let mut head = Head::default();
        let mut limited = from.by_ref().take(HEAD);
        loop {
            let mut line = Vec::new();
            limited.read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line);
            if line.is_empty() {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/") {
                head.status = rest.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            } else if let Some((name, value)) = line.split_once(':') {
                head.field(name, value.trim());
            }
        }
        // A place where it has moved to, which curl follows, or that it is coming.
        if !matches!(head.status, 100..200 | 301 | 302 | 303 | 307 | 308) {
            return Ok(Some(head));
        }
    }
}

impl Head {
    fn field(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("content-length") {
            self.length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("content-range") {
            let Some((range, total)) = value.strip_prefix("bytes ").and_then(|value| value.split_once('/')) else {
                return;
            };
            self.total = total.parse().ok();
            self.start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_that_of_the_last_answer() {
        let text = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 3\r\n\r\nHTTP/2 206\r\ncontent-length: 5\r\n\
                    Content-Range: bytes 7-11/12\r\n\r\nbody: x\r\n\r\n";
        let mut from = text.as_bytes();
        let head = read_head(&mut from).unwrap().unwrap();
        assert_eq!(head, Head { status: 206, length: Some(5), start: Some(7), total: Some(12) });
        assert_eq!(from, b"body: x\r\n\r\n");
        assert_eq!(read_head(&mut "HTTP/1.1 200 OK\r\n".as_bytes()).unwrap(), None);
        let head = read_head(&mut "HTTP/1.1 416 No\r\nContent-Range: bytes */12\r\n\r\n".as_bytes()).unwrap().unwrap();
        assert_eq!((head.status, head.start, head.total), (416, None, Some(12)));
    }
}
