//! Fetching from a server on loopback, by curl.

mod server;

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rand_chacha::rand_core::RngCore;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::random::stream;
use crate::source::{Kind, Source};
use server::{Act, Server};

const FILE: &str = "cifar-10-binary.tar.gz";

/// CIFAR-10 with two pictures in every file, packed as the original is.
fn cifar() -> Vec<u8> {
    let names: Vec<_> = (1..6).map(|number| format!("data_batch_{number}")).chain(["test_batch".into()]).collect();
    let mut members = vec![("cifar-10-batches-bin/".into(), EntryType::Directory, vec![])];
    for (number, name) in (0..5).chain([0]).zip(&names) {
        // Noise, so that there is something to cut.
        let mut records = vec![0; 2 * 3073];
        stream(0, name, [0; 2]).fill_bytes(&mut records);
        (records[0], records[3073]) = (number, number + 5);
        members.push((format!("cifar-10-batches-bin/{name}.bin"), EntryType::Regular, records));
    }
    tar(&members)
}

fn tar(members: &[(String, EntryType, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(vec![], Compression::fast()));
    for (name, kind, bytes) in members {
        let mut header = Header::new_ustar();
        // Past the checks of this crate, which writes no such names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn set(name: &str) -> &'static Set {
    find(name).unwrap()
}

/// A file that is published as `body`.
fn published(name: &str, body: &[u8], server: &Server) -> Archive {
    let sha256 = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let [archive] = &archives(set(name))[..] else { panic!("one file") };
    Archive {
        bytes: Some(body.len() as u64),
        md5: None,
        sha256: Some(sha256),
        url: format!("{}{}", server.address, archive.file),
        ..archive.clone()
    }
}

/// What becomes of fetching it, and what was told.
fn fetch_to(folder: &Path, name: &str, archive: &Archive) -> (Result<Fetched, FetchError>, Vec<String>) {
    let mut told = vec![];
    let patience = Patience { attempts: 3, pause: Duration::from_millis(1) };
    let order = Order { set: set(name), folder, patience };
    let outcome = order.fetch(vec![archive.clone()], &mut |event| told.push(format!("{event:?}")));
    (outcome, told)
}

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// It is what a recipe reads, and nothing is left over.
fn is_cifar(folder: &Path) {
    let source = Source { path: Some(folder.into()), ..Source::new(Kind::Cifar10) };
    let splits = crate::load(&source, &|_| {}).unwrap();
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 5, 1, 6, 2, 7, 3, 8, 4, 9][..], &[0, 5][..]));
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["cifar-10-batches-bin"]);
}

#[test]
fn what_is_fetched_is_what_a_recipe_reads() {
    let (folder, body) = (place(), cifar());
    let server = Server::start(body.clone(), vec![Act::Moved("/elsewhere"), Act::Serve]);
    let archive = published("cifar10", &body, &server);
    let (fetched, told) = fetch_to(folder.path(), "cifar10", &archive);
    let fetched = fetched.unwrap();
    assert_eq!((fetched.recipe, fetched.setting, fetched.was_there), ("cifar10-small", None, false));
    assert_eq!(fetched.data, folder.path());
    is_cifar(folder.path());
    assert_eq!(server.requests(), [(format!("/{FILE}"), 0), ("/elsewhere".into(), 0)]);
    let total = body.len();
    let bytes = format!("Bytes {{ file: \"{FILE}\", done: {total}, total: Some({total}) }}");
    let [.., all, checking, unpacking] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*all, bytes);
    assert!(checking.starts_with("Checking") && unpacking.starts_with("Unpacking"), "{told:?}");

    // Once more there is nothing to do.
    let (again, told) = fetch_to(folder.path(), "cifar10", &archive);
    assert!(again.unwrap().was_there && told.is_empty() && server.requests().len() == 2);
}

#[test]
fn a_cut_connection_is_gone_on_with() {
    let (folder, body) = (place(), cifar());
    let acts = vec![Act::Cut(5000), Act::Status(503), Act::Cut(3000), Act::Close, Act::Serve];
    let server = Server::start(body.clone(), acts);
    let (fetched, told) = fetch_to(folder.path(), "cifar10", &published("cifar10", &body, &server));
    fetched.unwrap();
    is_cifar(folder.path());
    let starts: Vec<_> = server.requests().iter().map(|request| request.1).collect();
    assert_eq!(starts, [0, 5000, 5000, 8000, 8000]);
    let again: Vec<_> = told.iter().filter(|event| event.starts_with("Again")).collect();
    for (event, words) in again.iter().zip(["curl: (18)", "the server answers 503", "curl: (18)", "curl: (52)"]) {
        assert!(event.contains(words), "{event}");
    }
    assert_eq!(again.len(), 4);
}

#[test]
fn what_an_earlier_call_left_is_gone_on_with_and_said_when_in_vain() {
    let (folder, body) = (place(), cifar());
    let server = Server::start(body.clone(), vec![Act::Cut(7000), Act::Close, Act::Close, Act::Close, Act::Serve]);
    let archive = published("cifar10", &body, &server);
    let text = fetch_to(folder.path(), "cifar10", &archive).0.unwrap_err().to_string();
    let part = folder.path().join(format!("{FILE}.part"));
    assert!(text.contains("curl: (52)") && text.contains("7000 bytes of it are kept"), "{text}");
    assert_eq!(fs::read(&part).unwrap(), body[..7000]);
    fetch_to(folder.path(), "cifar10", &archive).0.unwrap();
    is_cifar(folder.path());
    assert_eq!(server.requests().last().unwrap().1, 7000);

    // All had come, but it was not looked at any more: with its length known nobody is asked, else the server is.
    for (bytes, requests) in [(archive.bytes, 0), (None, 1)] {
        let (folder, server) = (place(), Server::start(body.clone(), vec![Act::Serve]));
        fs::write(folder.path().join(format!("{FILE}.part")), &body).unwrap();
        let archive = Archive { bytes, ..published("cifar10", &body, &server) };
        fetch_to(folder.path(), "cifar10", &archive).0.unwrap();
        is_cifar(folder.path());
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn a_server_without_parts_begins_anew() {
    let body = cifar();
    let all = [vec![Act::Cut(5000), Act::Whole], vec![Act::Cut(5000), Act::Unsaid(6000), Act::Unsaid(usize::MAX)]];
    for acts in all {
        let (folder, requests) = (place(), acts.len());
        let server = Server::start(body.clone(), acts);
        fetch_to(folder.path(), "cifar10", &published("cifar10", &body, &server)).0.unwrap();
        is_cifar(folder.path());
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn another_file_is_refused() {
    let (folder, body) = (place(), cifar());
    let mut other = body.clone();
    *other.last_mut().unwrap() ^= 1;
    let server = Server::start(other, vec![Act::Serve]);
    let archive = published("cifar10", &body, &server);
    let (outcome, _) = fetch_to(folder.path(), "cifar10", &archive);
    let text = outcome.unwrap_err().to_string();
    let sum = archive.sha256.as_ref().unwrap();
    assert!(text.contains("its SHA-256 is") && text.contains(&format!("instead of {sum}")), "{text}");
    assert!(!folder.path().join("cifar-10-batches-bin").exists());
    assert!(!folder.path().join(format!("{FILE}.part")).exists());

    // By its length alone, before it comes.
    let server = Server::start(body[1..].to_vec(), vec![Act::Serve]);
    let text = fetch_to(folder.path(), "cifar10", &published("cifar10", &body, &server)).0.unwrap_err().to_string();
    let words = format!("has {} bytes, but it should have {}", body.len() - 1, body.len());
    assert!(text.contains(&words) && text.contains("--from URL"), "{text}");

    // By MD5, where that is what its publishers say.
    let server = Server::start(body.clone(), vec![Act::Serve]);
    let md5 = |sum: &str| Archive { md5: Some(sum.into()), sha256: None, ..published("cifar10", &body, &server) };
    let text = fetch_to(folder.path(), "cifar10", &md5("0")).0.unwrap_err().to_string();
    let sum = text.split("its MD5 is ").nth(1).unwrap_or_else(|| panic!("{text}"));
    let sum = sum.split(' ').next().unwrap().to_owned();
    fetch_to(folder.path(), "cifar10", &md5(&sum)).0.unwrap();
    is_cifar(folder.path());
}

#[test]
fn what_was_there_of_another_file_is_thrown_away_once() {
    let (folder, body) = (place(), cifar());
    let server = Server::start(body.clone(), vec![Act::Serve]);
    let part = folder.path().join(format!("{FILE}.part"));
    fs::write(&part, [7; 4000]).unwrap();
    let archive = published("cifar10", &body, &server);
    fetch_to(folder.path(), "cifar10", &archive).0.unwrap();
    is_cifar(folder.path());
    assert_eq!(server.requests().iter().map(|request| request.1).collect::<Vec<_>>(), [4000, 0]);

    // Longer than the whole it cannot be of it.
    let (folder, server) = (place(), Server::start(body.clone(), vec![Act::Serve]));
    fs::write(folder.path().join(format!("{FILE}.part")), vec![7; body.len() + 1]).unwrap();
    fetch_to(folder.path(), "cifar10", &published("cifar10", &body, &server)).0.unwrap();
    is_cifar(folder.path());
}

#[test]
fn what_trying_again_does_not_change_is_said_at_once() {
    let body = cifar();
    for (act, words) in [
        (Act::Status(404), "the server answers 404\n  remedy: look whether it has moved"),
        (Act::Moved("ftp://127.0.0.1/x"), "put it into"),
        (Act::Moved("/again"), "curl: (47)"),
    ] {
        let (folder, server) = (place(), Server::start(body.clone(), vec![act]));
        let (outcome, told) = fetch_to(folder.path(), "cifar10", &published("cifar10", &body, &server));
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(words) && text.contains(&server.address) && told.is_empty(), "{text} {told:?}");
    }
}

#[test]
fn a_file_that_somebody_has_put_there_is_taken_and_left() {
    let (folder, body) = (place(), cifar());
    let server = Server::start(vec![], vec![Act::Status(500)]);
    let archive = published("cifar10", &body, &server);
    let own = folder.path().join(FILE);
    fs::write(&own, &body[1..]).unwrap();
    let text = fetch_to(folder.path(), "cifar10", &archive).0.unwrap_err().to_string();
    assert!(text.contains("its length in bytes is") && text.contains("remedy: delete it"), "{text}");
    fs::write(&own, &body).unwrap();
    fetch_to(folder.path(), "cifar10", &archive).0.unwrap();
    assert!(server.requests().is_empty() && own.is_file());
    fs::remove_file(own).unwrap();
    is_cifar(folder.path());
}

#[test]
fn two_processes_do_not_write_to_one_place() {
    let (folder, body) = (place(), cifar());
    let server = Server::start(body.clone(), vec![Act::Serve]);
    let lock = File::create(folder.path().join(".fetch.lock")).unwrap();
    lock.lock().unwrap();
    let archive = published("cifar10", &body, &server);
    let text = fetch_to(folder.path(), "cifar10", &archive).0.unwrap_err().to_string();
    assert!(text.contains("another process is fetching to"), "{text}");
    drop(lock);
    fetch_to(folder.path(), "cifar10", &archive).0.unwrap();
    is_cifar(folder.path());
}

#[test]
fn an_archive_writes_nowhere_else_and_nothing_but_files() {
    let member = |name: &str, kind| (name.to_owned(), kind, b"evil".to_vec());
    let outside = "would lie outside of the folder";
    let no_file = "is neither a file nor a folder";
    for (name, kind, words) in [
        ("../evil", EntryType::Regular, outside),
        ("cifar-10-batches-bin/../../evil", EntryType::Regular, outside),
        ("/tmp/evil", EntryType::Regular, outside),
        ("evil", EntryType::Symlink, no_file),
        ("evil", EntryType::Link, no_file),
        ("evil", EntryType::Fifo, no_file),
    ] {
        let folder = place();
        let home = folder.path().join("home");
        let body = tar(&[member(name, kind)]);
        let server = Server::start(body.clone(), vec![Act::Serve]);
        let text = fetch_to(&home, "cifar10", &published("cifar10", &body, &server)).0.unwrap_err().to_string();
        assert!(text.contains(&format!("its member `{name}` {words}")), "{text}");
        assert!(!folder.path().join("evil").exists() && !home.join("evil").exists());
        assert!(!home.join(".cifar10.unpacking").exists());
    }
    let zip = |name: &str, is_link: bool| {
        let mut zip = ZipWriter::new(std::io::Cursor::new(vec![]));
        let options = SimpleFileOptions::default();
        match is_link {
            true => zip.add_symlink(name, "/etc/passwd", options).unwrap(),
            false => zip.start_file(name, options).and_then(|()| Ok(zip.write_all(b"evil")?)).unwrap(),
        }
        zip.finish().unwrap().into_inner()
    };
    for (body, words) in [(zip("../evil", false), outside), (zip("evil", true), no_file)] {
        let (folder, server) = (place(), Server::start(body.clone(), vec![Act::Serve]));
        let archive = published("ucf101-lists", &body, &server);
        let text = fetch_to(folder.path(), "ucf101-lists", &archive).0.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn lists_come_out_of_a_zip_and_say_what_is_still_to_be_got() {
    let mut zip = ZipWriter::new(std::io::Cursor::new(vec![]));
    zip.add_directory("ucfTrainTestlist", SimpleFileOptions::default()).unwrap();
    zip.start_file("ucfTrainTestlist/classInd.txt", SimpleFileOptions::default()).unwrap();
    zip.write_all(b"1 Archery\n").unwrap();
    let body = zip.finish().unwrap().into_inner();
    let (folder, server) = (place(), Server::start(body.clone(), vec![Act::Serve]));
    let archive = published("ucf101-lists", &body, &server);
    let fetched = fetch_to(folder.path(), "ucf101-lists", &archive).0.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("ucfTrainTestlist/classInd.txt")).unwrap(), "1 Archery\n");
    assert!(fetched.besides.unwrap().contains("DIR/UCF-101") && fetched.recipe == "ucf101-small");
}

#[test]
fn an_archive_of_something_else_or_cut_off_is_told_of() {
    let whole =
        tar(&[("other/x".into(), EntryType::Regular, (0..9000_u32).map(|at| ((at * at) >> 5) as u8).collect())]);
    for (body, words) in [
        (whole.clone(), "has no `cifar-10-batches-bin/`, but `other/`"),
        (whole[..whole.len() / 2].to_vec(), "cannot be unpacked"),
        (b"<html>log in</html>".to_vec(), "cannot be unpacked"),
    ] {
        let (folder, server) = (place(), Server::start(body.clone(), vec![Act::Serve]));
        let archive = published("cifar10", &body, &server);
        let text = fetch_to(folder.path(), "cifar10", &archive).0.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
        assert!(!folder.path().join("cifar-10-batches-bin").exists());
    }
}

#[test]
fn tables_are_known_by_their_first_line_and_come_from_a_mirrors_folder() {
    let table = b"label,youtube_id,time_start,time_end,split\narchery,x,1,11,train\n".to_vec();
    let (folder, server) = (place(), Server::start(table.clone(), vec![Act::Serve]));
    fetch("kinetics-lists", Some(folder.path()), Some(&server.address), &mut |_| {}).unwrap();
    for file in ["train.csv", "val.csv"] {
        assert_eq!(fs::read(folder.path().join("annotations").join(file)).unwrap(), table);
    }
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.0).collect();
    assert_eq!(paths, ["/train.csv", "/val.csv"]);

    let folder = place();
    let one = format!("{}train.csv", server.address);
    let text = fetch("kinetics-lists", Some(folder.path()), Some(&one), &mut |_| {}).unwrap_err().to_string();
    assert!(text.contains("`kinetics-lists` has 2 files") && text.contains("ending in `/`"), "{text}");
    let server = Server::start(b"<html>\nlog in".to_vec(), vec![Act::Serve]);
    let text = fetch("kinetics-lists", Some(folder.path()), Some(&server.address), &mut |_| {});
    let text = text.unwrap_err().to_string();
    assert!(text.contains("has no first line `label,youtube_id,time_start,time_end,…`, but `<html>`"), "{text}");
}
