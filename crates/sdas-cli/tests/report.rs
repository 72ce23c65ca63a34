//! Pages and event files as a user gets them.

mod running;

use running::{printed, sdas};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A tiny finished search.
fn search(out: &Path) {
    let settings = [
        "data.shapes.train=80",
        "data.shapes.test=20",
        "data.size=16",
        "search.epochs=2",
        "search.channels=2",
        "search.cells=3",
        "search.batch=10",
        "search.alpha_warmup=0",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    printed(&["search", "--out", out.to_str().unwrap()].into_iter().chain(settings).collect::<Vec<_>>());
}

#[test]
fn a_run_becomes_a_page_and_event_files() {
    let place = tempfile::tempdir().unwrap();
    let (run, file, events) = (place.path().join("run"), place.path().join("page.html"), place.path().join("events"));
    search(&run);
    let words = [run.to_str().unwrap(), "-o", file.to_str().unwrap()];
    let text = printed(&["report", words[0], words[1], words[2]]);
    assert!(text.starts_with(&format!("written to {} (", file.display())), "{text}");
    let html = fs::read_to_string(&file).unwrap();
    assert!(
        html.contains("as <code>sdas eval</code> measures it") && html.contains("20 samples"),
        "the test set is measured"
    );
    // Without the data, and without what the network learnt: the rest, and why not that.
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let output = sdas(&["report", words[0], words[1], words[2]]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("the test set is left out: "), "{said}");
    assert!(fs::read_to_string(&file).unwrap().contains("Not measured: "));
    let text = printed(&["tensorboard", words[0], "-o", events.to_str().unwrap()]);
    assert!(text.contains(&format!("tensorboard --logdir {}", events.display())), "{text}");
    assert_eq!(fs::read_dir(events.join("run")).unwrap().count(), 1);
    let output = sdas(&["report", events.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

/// Runs the program where no file may be longer than a kilobyte; whether it succeeds.
#[cfg(unix)]
fn with_short_files(arguments: &[&str]) -> bool {
    let shell = ["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sdas")];
    Command::new("sh").args(shell).args(arguments).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
#[cfg(unix)]
fn pages_and_drawings_are_written_whole_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    let of = |name: &str| place.path().join(name).display().to_string();
    let run = of("run");
    search(Path::new(&run));
    for (words, file) in [(["report", &run], of("page.html")), (["draw", "darts_v2"], of("cell.svg"))] {
        let asked = |file: &str| [words[0], words[1], "-o", file].map(str::to_owned);
        let whole = asked(&file);
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        fs::write(&file, "as it was").unwrap();
        assert!(!with_short_files(&whole), "{whole:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
        printed(&whole);
        let written = fs::read_to_string(&file).unwrap();
        assert!(written.len() > 4096 && written.contains("</svg>"), "{whole:?}");
        // A pipe gets the whole, and then what is said of it. The page says how long its measuring took.
        let piped = asked("/dev/stdout");
        let told = printed(&piped.iter().map(String::as_str).collect::<Vec<_>>());
        let (whole, said) = told.trim_end().rsplit_once('\n').unwrap();
        let end = written.trim_end().lines().next_back().unwrap();
        assert!(whole.as_bytes().starts_with(&written.as_bytes()[..1000]) && whole.ends_with(end), "{piped:?}");
        assert!(said.contains("to /dev/stdout"), "{said}");
    }
    let mut names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cell.svg", "page.html", "run"]);
}

/// `sdas watch`, which ends with it.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request; the status and the whole answer.
fn ask(port: &str, request: &str, host: &str, more: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
#[cfg(unix)]
fn a_run_is_watched_while_it_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    search(&run);
    // As it was before its last epoch.
    fs::remove_file(run.join("result.json")).unwrap();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let first = metrics.find('\n').unwrap() + 1;
    fs::write(run.join("metrics.jsonl"), &metrics[..first]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdas"));
    command.arg("watch").arg(&run).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watching = Watching(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(watching.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim_end().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let own = format!("127.0.0.1:{port}");
    assert!(line.contains(&format!("http://{own}/")), "{line}");

    let (status, page) = ask(&port, "GET /", &own, "");
    assert!(
        status == 200 && page.contains("not finished, 1 of 2 epochs done") && page.contains("data-live"),
        "{status}"
    );
    let mark = page.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().trim().to_owned();
    let known = format!("If-None-Match: {mark}\r\n");
    assert_eq!(ask(&port, "GET /", &own, &known).0, 304);
    fs::write(run.join("metrics.jsonl"), &metrics).unwrap();
    let (status, page) = ask(&port, "GET /", &own, &known);
    assert!(status == 200 && page.contains("not finished, 2 of 2 epochs done"), "{status}");

    assert_eq!(ask(&port, "GET /", &format!("evil.example:{port}"), "").0, 403);
    assert_eq!(ask(&port, "GET /config.toml", &own, "").0, 404);
    assert_eq!(ask(&port, "POST /", &own, "Content-Length: 0\r\n").0, 405);

    kill_process(Pid::from_child(&watching.0), Signal::INT).unwrap();
    assert_eq!(watching.0.wait().unwrap().code(), Some(0), "Ctrl-C ends it");
}
