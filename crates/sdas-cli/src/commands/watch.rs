//! `sdas watch`: one page, read-only, for a browser on this machine.

use super::{Outcome, device, say};
use crate::arguments::WatchArguments;
use crate::display::{Display, note};
use crate::interrupt::{SERVING, STOP};
use anyhow::{Context as _, anyhow};
use sdas::device::Device;
use sdas::report::{Form, Measured, is_run, measure, page};
use sdas::run::Context;
use sdas_data::threads::begin;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tiny_http::{Header, Request, Response, Server};

/// Where it listens unless told, if nobody else does.
const PORT: u16 = 7327;
/// How long it waits for a request before it sees whether to stop.
const PAUSE: Duration = Duration::from_millis(200);
/// What a page is made of; where any of these changes, so may the page.
const SOURCES: [&str; 8] = [
    "config.toml",
    "metrics.jsonl",
    "decisions.jsonl",
    "cells.jsonl",
    "result.json",
    "evaluation.json",
    "compare.json",
    "truth.json",
];

/// Serves the page until Ctrl-C.
pub(crate) fn run(arguments: &WatchArguments) -> anyhow::Result<Outcome> {
    let folder = &arguments.folder;
    let is_run = is_run(folder)?;
    let first = match is_run {
        true => "the run is not finished; it is measured when it is",
        false => "a comparison has measured its runs",
    };
    let device = device(arguments.device)?;
    SERVING.store(true, Ordering::SeqCst);
    let (server, address) = listen(arguments.listen)?;
    if !address.ip().is_loopback() {
        note(&format!("whoever reaches {address} can read the page; nothing can be changed through it"));
    }
    say(&format!("{} is shown at http://{address}/\nCtrl-C ends that\n", folder.display()))?;
    let measured = Arc::new(Mutex::new((0, Measured::Not(first.to_owned()))));
    let mut shown = Shown { folder: folder.clone(), measured, built: None, is_measuring: false };
    while !STOP.load(Ordering::SeqCst) {
        let Some(request) = server.recv_timeout(PAUSE).context("cannot take requests")? else { continue };
        let is_finished = is_run && folder.join("result.json").exists();
        if is_finished && !std::mem::replace(&mut shown.is_measuring, true) {
            shown.measure(arguments.data.clone(), device.clone());
        }
        // Who leaves before the answer has only himself to tell.
        let _ = respond(request, address, &mut shown);
    }
    note("stopped");
    Ok(Outcome::Done)
}

/// Listens where it is told; else at the usual port, or where that is taken at another.
fn listen(asked: Option<SocketAddr>) -> anyhow::Result<(Server, SocketAddr)> {
    let usual = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let open = |address: SocketAddr| {
        let failed = |error| anyhow!("cannot listen at {address}: {error}");
        let server = Server::http(address).map_err(failed)?;
        let own = server.server_addr().to_ip().context("the server has no address")?;
        anyhow::Ok((server, own))
    };
    match asked {
        Some(address) => open(address),
        None => open(usual(PORT)).or_else(|_| open(usual(0))),
    }
}

/// The page as it was last made.
struct Shown {
    folder: PathBuf,
    /// What is known of the test set, and how often that has changed.
    measured: Arc<Mutex<(usize, Measured)>>,
    /// What it was made of, and what came out, with a mark of that.
    built: Option<(Stamp, String, String)>,
    /// Whether the test set is, or was, measured.
    is_measuring: bool,
}

/// Sizes and times of files, and how often what is known of the test set has changed.
type Stamp = (Vec<Option<(u64, Option<SystemTime>)>>, usize);

impl Shown {
    /// Measures the finished run beside the server.
    fn measure(&self, data: Option<PathBuf>, device: Device) {
        let (folder, measured) = (self.folder.clone(), Arc::clone(&self.measured));
        *measured.lock().unwrap_or_else(PoisonError::into_inner) = (1, Measured::Not("that is being done".to_owned()));
        let measures = move || {
            let mut display = Display::new();
            let mut context = Context { device, observer: &mut display, stop: &STOP };
            let result = measure(&folder, data.as_deref(), &mut context);
            *measured.lock().unwrap_or_else(PoisonError::into_inner) = (2, result);
        };
        if let Err(error) = begin("measuring", measures) {
            let why = format!("no thread can be started for it: {error}");
            *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = (2, Measured::Not(why));
        }
    }

    /// The page, and its mark; made anew where something has changed.
    fn page(&mut self) -> anyhow::Result<(&str, &str)> {
        let known = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let (changes, measured) = &*known;
        let stamp = (stamp(&self.folder), *changes);
        if self.built.as_ref().is_none_or(|(before, ..)| *before != stamp) {
            let html = page(&self.folder, measured, Form::Served)?;
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            self.built = Some((stamp, html, format!("\"{:016x}\"", hasher.finish())));
        }
        let (_, html, mark) = self.built.as_ref().context("the page was just made")?;
        Ok((html, mark))
    }
}

fn stamp(folder: &Path) -> Vec<Option<(u64, Option<SystemTime>)>> {
    let of = |name: &&str| std::fs::metadata(folder.join(name)).ok().map(|meta| (meta.len(), meta.modified().ok()));
    SOURCES.iter().map(of).collect()
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Page,
    Refused(u16, &'static str),
}

/// Only the page, only to be read, and, on this machine's own address, only by that name: a web site whose name leads here
/// is not to read it with the browser of whoever visits it.
fn answer(method: &str, path: &str, host: Option<&str>, address: SocketAddr) -> Answer {
    let port = address.port();
    let own = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
    let is_own =
        host.is_some_and(|host| own.iter().any(|own| own.eq_ignore_ascii_case(host)) || host == address.to_string());
    match () {
        () if address.ip().is_loopback() && !is_own => Answer::Refused(403, "this page is for this machine alone\n"),
        () if method != "GET" => Answer::Refused(405, "this page can only be read\n"),
        () if path != "/" => Answer::Refused(404, "there is one page, /\n"),
        () => Answer::Page,
    }
}

fn respond(request: Request, address: SocketAddr, shown: &mut Shown) -> io::Result<()> {
    let said = |name: &'static str| {
        let header = request.headers().iter().find(|header| header.field.equiv(name));
        header.map(|header| header.value.as_str().to_owned())
    };
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("our headers are well formed");
    let plain = |text: &str, status: u16| {
        Response::from_string(text)
            .with_status_code(status)
            .with_header(header("Content-Type", "text/plain; charset=utf-8"))
    };
    let host = said("Host");
    match answer(request.method().as_str(), request.url(), host.as_deref(), address) {
        Answer::Refused(405, text) => request.respond(plain(text, 405).with_header(header("Allow", "GET"))),
        Answer::Refused(status, text) => request.respond(plain(text, status)),
        Answer::Page => match shown.page() {
            Err(error) => {
                let text = format!("{error:#}\n");
                request.respond(plain(&text, 500))
            }
            Ok((_, mark)) if said("If-None-Match").as_deref() == Some(mark) => request.respond(Response::empty(304)),
            Ok((html, mark)) => {
                // In one piece, whatever its length.
                let response = Response::from_string(html)
                    .with_chunked_threshold(usize::MAX)
                    .with_header(header("Content-Type", "text/html; charset=utf-8"))
                    .with_header(header("X-Content-Type-Options", "nosniff"))
                    .with_header(header("Cache-Control", "no-cache"))
                    .with_header(header("ETag", mark));
                request.respond(response)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_and_only_for_this_machine() {
        let own: SocketAddr = "127.0.0.1:7327".parse().unwrap();
        let get = |path, host| answer("GET", path, host, own);
        for host in ["127.0.0.1:7327", "localhost:7327", "LOCALHOST:7327", "[::1]:7327"] {
            assert_eq!(get("/", Some(host)), Answer::Page);
        }
        for host in [
            None,
            Some("evil.example:7327"),
            Some("localhost"),
            Some("127.0.0.1:80"),
            Some("localhost:7327.evil.example"),
        ] {
            assert!(matches!(get("/", host), Answer::Refused(403, _)), "{host:?}");
        }
        for path in ["/config.toml", "/../etc/passwd", "//", "/?x"] {
            assert!(matches!(get(path, Some("localhost:7327")), Answer::Refused(404, _)), "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            assert!(matches!(answer(method, "/", Some("localhost:7327"), own), Answer::Refused(405, _)), "{method}");
        }
        // Elsewhere the names that lead there are not ours to know.
        assert_eq!(answer("GET", "/", Some("lab.example:80"), "10.0.0.5:80".parse().unwrap()), Answer::Page);
        assert_eq!(answer("GET", "/", Some("127.0.0.2:80"), "127.0.0.2:80".parse().unwrap()), Answer::Page);
    }
}
