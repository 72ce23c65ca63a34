//! A server on loopback that does what servers do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// What is asked for, or the part of it.
    Serve,
    /// All of it, whatever part is asked for.
    Whole,
    /// As `Serve`, but no more than so many bytes of it.
    Cut(usize),
    /// So many bytes of all of it, without a word of how long it is, as servers do that pass on what they make.
    Unsaid(usize),
    /// This number and a page.
    Status(u16),
    /// It is elsewhere.
    Moved(&'static str),
    /// The connection is closed at once.
    Close,
}

pub(super) struct Server {
    pub(super) address: String,
    /// Of each request the path and the first byte asked for.
    requests: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Server {
    /// Serves `body`, each request by the next of `acts`, and all after them by the last.
    pub(super) fn start(body: Vec<u8>, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&requests);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let act = acts[number.min(acts.len() - 1)];
                // Whoever asks may leave at any time.
                let _ = answer(stream, &body, act, &heard);
            }
        });
        Self { address, requests }
    }

    pub(super) fn requests(&self) -> Vec<(String, usize)> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, body: &[u8], act: Act, heard: &Mutex<Vec<(String, usize)>>) -> std::io::Result<()> {
    let (mut path, mut from) = (String::new(), 0);
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap_or_default().into();
        } else if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    heard.lock().unwrap().push((path, from));
    let total = body.len();
    let mut head = |text: String| stream.write_all(format!("HTTP/1.1 {text}\r\nConnection: close\r\n\r\n").as_bytes());
    let from = if matches!(act, Act::Whole | Act::Unsaid(_)) { 0 } else { from };
    let left = match act {
        Act::Close => return Ok(()),
        Act::Status(status) => return head(format!("{status} No\r\nContent-Length: 0")),
        Act::Moved(to) => return head(format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0")),
        Act::Unsaid(_) => {
            head("200 OK".into())?;
            total
        }
        _ if from >= total && from > 0 => {
            return head(format!("416 No\r\nContent-Range: bytes */{total}\r\nContent-Length: 0"));
        }
        _ if from > 0 => {
            let range = format!("Content-Range: bytes {from}-{}/{total}", total - 1);
            head(format!("206 Partial Content\r\nContent-Length: {}\r\n{range}", total - from))?;
            total - from
        }
        _ => {
            head(format!("200 OK\r\nContent-Length: {total}"))?;
            total
        }
    };
    let count = match act {
        Act::Cut(count) | Act::Unsaid(count) => left.min(count),
        _ => left,
    };
    stream.write_all(&body[from..from + count])?;
    Ok(())
}
