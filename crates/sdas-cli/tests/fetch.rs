//! What a user sees who has no data yet. Needs curl.

mod running;

use running::{printed, sdas};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

fn refused(arguments: &[&str], code: i32) -> String {
    let output = sdas(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A server on loopback that sends this to whoever asks, and nothing else.
fn serve(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let request = BufReader::new(stream.try_clone().unwrap());
            request.lines().map_while(Result::ok).find(|line| line.is_empty());
            // Whoever asks may leave at any time.
            let _ =
                write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(&body));
        }
    });
    address
}

#[test]
fn without_data_the_command_that_gets_it_is_named() {
    let error = refused(&["search", "cifar10-small"], 2);
    assert!(error.contains("`sdas data fetch cifar10` gets it"), "{error}");
    let error = refused(&["data", "fetch", "imagenet"], 1);
    assert!(error.contains("https://www.image-net.org/download.php"), "{error}");
    let error = refused(&["data", "fetch", "cifar"], 2);
    assert!(error.contains("name one of `cifar10`"), "{error}");
}

#[test]
fn lists_are_fetched_and_what_comes_next_is_said() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("kinetics").display().to_string();
    let table = "label,youtube_id,time_start,time_end,split\narchery,x,1,11,train\n";
    let address = serve("200 OK", table.into());
    let text = printed(&["data", "fetch", "kinetics-lists", &folder, "--from", &address]);
    assert!(text.starts_with(&format!("fetched   {folder}/annotations\n")), "{text}");
    assert!(text.contains("k400_train_path.txt") && text.contains("search kinetics --data"), "{text}");
    let again: serde_json::Value =
        serde_json::from_str(&printed(&["data", "fetch", "kinetics-lists", &folder, "--json"])).unwrap();
    assert!(again["was_there"] == true && again["data"] == *folder, "{again}");
}

/// A file may have no more than 64 KiB, which looks to the program as a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_has_come() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cifar10");
    let address = serve("200 OK\r\nContent-Length: 170052171", vec![7; 1 << 20]);
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" data fetch cifar10 \"$1\" --from \"$2\"";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sdas")])
        .arg(&folder)
        .arg(format!("{address}x.tar.gz"))
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let part = folder.join("cifar-10-binary.tar.gz.part");
    assert!(error.contains(&format!("cannot write {}", part.display())), "{error}");
    assert!(error.contains("remedy: free some space there"), "{error}");
    let bytes = part.metadata().unwrap().len();
    assert!(bytes == 64 << 10 || bytes == 128 << 10, "{bytes}");
}
