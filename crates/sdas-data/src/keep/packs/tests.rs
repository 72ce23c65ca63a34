//! Caches of made-up frames: killed, cut, damaged, full and shared.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::build::build_packs;
use super::writer::Lock;
use super::*;
use crate::decode::{Failure, Frames};
use crate::source::Stamp;

const CHANNELS: usize = 2;

fn header() -> Header {
    Header::new("test", "any".into(), CHANNELS)
}

fn items(count: usize) -> Vec<Item> {
    let item = |i| Item {
        key: format!("class/{i}.avi"),
        path: format!("/data/class/{i}.avi").into(),
        stamp: Stamp { bytes: i as u64, changed: 0 },
    };
    (0..count).map(item).collect()
}

/// Frames that are a function of the item; the third cannot be made.
fn produce(item: &Item) -> Result<Frames, Failure> {
    let i = item.stamp.bytes as usize;
    match i {
        2 => Err(Failure::Broken("no \"moov\"\natom".into())),
        _ => {
            let size = [2, 3 + i % 2];
            let bytes = (1 + i % 4) * size[0] * size[1] * CHANNELS;
            Ok(Frames { size, pixels: (0..bytes).map(|at| (at * 7 + i * 31) as u8).collect() })
        }
    }
}

/// Builds with packs of 100 bytes and returns what there is and how many items were made for it.
fn make(folder: &Path, items: &[Item]) -> (Packs, usize) {
    let made = AtomicUsize::new(0);
    let count = |item: &Item| {
        made.fetch_add(1, Ordering::Relaxed);
        produce(item)
    };
    let packs = build_packs(folder, &header(), items, false, &count, &|_| {}, 100).unwrap();
    (packs, made.into_inner())
}

/// Whether the cache has exactly what [`produce`] makes.
fn is_whole(packs: &Packs, items: &[Item]) -> bool {
    items.iter().all(|item| match (packs.find(item), produce(item)) {
        (Some(Known::Packed(place)), Ok(frames)) => {
            [place.height, place.width] == frames.size
                && place.frames == frames.count(CHANNELS)
                && packs.bytes(place) == frames.pixels
        }
        (Some(Known::Broken(words)), Err(Failure::Broken(expected))) => words == expected,
        _ => false,
    })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_built_is_found_and_not_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep/cache");
    let items = items(12);
    let (packs, made) = make(&folder, &items[..9]);
    assert!(is_whole(&packs, &items[..9]) && made == 9);
    // How many packs depends on which item is ready first.
    assert!(names(&folder).contains(&"pack-0001".into()), "{:?}", names(&folder));
    let (again, made) = make(&folder, &items);
    assert!(is_whole(&again, &items) && made == 3);
    assert!(is_whole(&packs, &items[..9]));
    assert_eq!(make(&folder, &items).1, 0);
    assert!(again.verify(&items).unwrap().is_empty());
    // The broken one only on request.
    build(
        &folder,
        &header(),
        &items,
        true,
        &|item| {
            assert_eq!(item.key, "class/2.avi");
            produce(item)
        },
        &|_| {},
    )
    .unwrap();
    // Of another form, nothing is known.
    let other = Header::new("test", "other".into(), CHANNELS);
    assert_eq!(Packs::open(&folder, &other).unwrap().find(&items[0]), None);
}

#[test]
fn an_item_that_changed_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut items = items(6);
    let (old, _) = make(folder.path(), &items);
    items[4].stamp.changed = 5;
    items[1].stamp.bytes = 7;
    let (new, made) = make(folder.path(), &items);
    assert_eq!(made, 2);
    assert!(is_whole(&new, &items) && !is_whole(&old, &items));
}

#[test]
fn a_fatal_failure_keeps_what_was_finished() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(6);
    let failing = |item: &Item| match item.stamp.bytes {
        5 => Err(Failure::Fatal(DataError::NoCache)),
        _ => produce(item),
    };
    let outcome = build_packs(folder.path(), &header(), &items, false, &failing, &|_| {}, 100);
    assert!(matches!(outcome, Err(DataError::NoCache)));
    let (packs, made) = make(folder.path(), &items);
    assert!(is_whole(&packs, &items) && made <= 2, "{made}");
}

#[test]
fn what_fails_in_passing_is_tried_again_another_time() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(6);
    let failing = |item: &Item| match item.stamp.bytes {
        5 => Err(Failure::Passing("killed".into())),
        _ => produce(item),
    };
    let packs = build_packs(folder.path(), &header(), &items, false, &failing, &|_| {}, 100).unwrap();
    assert!(is_whole(&packs, &items[..5]));
    assert_eq!(packs.find(&items[5]), Some(Known::Broken("killed")));
    let (packs, made) = make(folder.path(), &items);
    assert!(is_whole(&packs, &items) && made == 1, "{made}");
}

#[test]
fn only_one_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::take(folder.path()).unwrap();
    let error = Lock::take(folder.path()).err().unwrap().to_string();
    assert!(error.contains(&format!("is being written by process {}", std::process::id())), "{error}");
    assert!(error.contains("remedy: wait"), "{error}");
    // Who builds waits, and says so.
    let lock = Mutex::new(Some(lock));
    let told = |building: &Building| drop(building.waits.then(|| lock.lock().unwrap().take()));
    let packs = build(folder.path(), &header(), &items(3), false, &produce, &told).unwrap();
    assert!(lock.lock().unwrap().is_none() && is_whole(&packs, &items(3)));
    // Reading needs no lock.
    let _lock = Lock::take(folder.path()).unwrap();
    assert_eq!(make(folder.path(), &items(3)).1, 0);
    drop(packs);
}

#[test]
fn several_at_once_share_the_work_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(40);
    let made = AtomicUsize::new(0);
    let counting = |item: &Item| {
        made.fetch_add(1, Ordering::SeqCst);
        produce(item)
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let packs = build_packs(folder.path(), &header(), &items, false, &counting, &|_| {}, 100).unwrap();
                assert!(is_whole(&packs, &items));
            });
        }
    });
    assert!(is_whole(&make(folder.path(), &items).0, &items));
    assert_eq!(made.into_inner(), 40, "what one has made, the others have");
}

#[test]
fn verification_strikes_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(9);
    let (packs, _) = make(folder.path(), &items);
    let Some(Known::Packed(&place)) = packs.find(&items[7]) else { panic!("it is there") };
    drop(packs);
    let path = folder.path().join(pack_name(place.pack));
    let mut bytes = fs::read(&path).unwrap();
    bytes[place.offset as usize] ^= 1;
    fs::write(&path, bytes).unwrap();
    // A line that an earlier kill has torn does not take others with it.
    let mut index = fs::read(folder.path().join(INDEX)).unwrap();
    index.extend(b"0badc0de {\"path\":");
    fs::write(folder.path().join(INDEX), index).unwrap();
    let damaged = Packs::open(folder.path(), &header()).unwrap().verify(&items).unwrap().len();
    assert_eq!(damaged, 1);
    let (packs, made) = make(folder.path(), &items);
    assert_eq!(made, 1);
    assert!(is_whole(&packs, &items) && packs.verify(&items).unwrap().is_empty());
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_one_error_and_keeps_what_was_complete() {
    const FULL_DISK: &str = "SDAS_TEST_FULL_DISK";
    let items = items(8);
    // 200 kB each.
    let large = |item: &Item| Ok(Frames { size: [100, 100], pixels: vec![item.stamp.bytes as u8; 200_000] });
    if let Some(folder) = std::env::var_os(FULL_DISK) {
        let outcome = build(Path::new(&folder), &header(), &items, false, &large, &|_| {});
        let error = outcome.err().expect("there is no room").to_string();
        assert!(error.contains("File too large") && error.contains("what is complete in it is kept"), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The same test with a limit on files of 1000 blocks, 512 or 1024 bytes by the shell, that is
    // told of by an error, as a full disk is.
    let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact \"$1\"";
    let status = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .arg("keep::packs::tests::a_full_disk_is_one_error_and_keeps_what_was_complete")
        .env(FULL_DISK, folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    let packs = Packs::open(folder.path(), &header()).unwrap();
    let kept: Vec<_> = items.iter().filter(|item| packs.find(item).is_some()).collect();
    assert!((2..=5).contains(&kept.len()), "{}", kept.len());
    assert!(packs.verify(&items).unwrap().is_empty());
    let packs = build(folder.path(), &header(), &items, false, &large, &|_| {}).unwrap();
    assert!(items.iter().all(|item| packs.find(item).is_some()) && packs.verify(&items).unwrap().is_empty());
}

/// A cache of these items, built in two goes.
fn built(items: &[Item]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &items[..items.len() / 2]);
    make(folder.path(), items);
    folder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cache_cut_off_anywhere_is_completed(
        index: prop::sample::Index,
        packs in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4), 8),
        altered: Option<prop::sample::Index>,
    ) {
        let items = items(16);
        let folder = built(&items);
        let path = folder.path().join(INDEX);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(index.index(bytes.len() + 1));
        if let (Some(at), 1..) = (altered, bytes.len()) {
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
        }
        fs::write(&path, &bytes).unwrap();
        for (number, (at, how)) in (0..).zip(packs) {
            let path = folder.path().join(pack_name(number));
            let Ok(mut bytes) = fs::read(&path) else { continue };
            match how {
                // As it was; longer than any line knows; shorter than the lines say; not there.
                0 => continue,
                1 => bytes.extend([0xaa; 77]),
                2 => bytes.truncate(at.index(bytes.len() + 1)),
                _ => {
                    fs::remove_file(&path).unwrap();
                    continue;
                }
            }
            fs::write(&path, bytes).unwrap();
        }
        let (packs, _) = make(folder.path(), &items);
        prop_assert!(is_whole(&packs, &items));
        prop_assert!(packs.verify(&items).unwrap().is_empty());
        prop_assert_eq!(make(folder.path(), &items).1, 0);
    }
}

#[test]
fn a_torn_index_costs_only_what_has_no_line() {
    let items = items(16);
    let folder = built(&items);
    let files: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<_> = files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let (index, _) = files.iter().find(|(_, path)| path.ends_with(INDEX)).unwrap();
    for cut in (0..=index.len()).step_by(29) {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, path) in &files {
            fs::write(folder.path().join(path.file_name().unwrap()), bytes).unwrap();
        }
        fs::write(folder.path().join(INDEX), &index[..cut]).unwrap();
        let lines = index[..cut].iter().filter(|&&byte| byte == b'\n').count();
        let (packs, made) = make(folder.path(), &items);
        assert_eq!(made, 16 - lines.saturating_sub(1), "cut to {cut} bytes");
        assert!(is_whole(&packs, &items) && packs.verify(&items).unwrap().is_empty());
    }
}

#[test]
fn a_killed_build_is_gone_on_with() {
    const KILLED: &str = "SDAS_TEST_KILLED";
    let items = items(5000);
    if let Some(folder) = std::env::var_os(KILLED) {
        let slowly = |item: &Item| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            produce(item)
        };
        let _ = build_packs(Path::new(&folder), &header(), &items, false, &slowly, &|_| {}, 1000);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keep::packs::tests::a_killed_build_is_gone_on_with"])
        .env(KILLED, folder.path())
        .spawn()
        .unwrap();
    let lines = || fs::read(folder.path().join(INDEX)).map_or(0, |index| index.split(|&byte| byte == b'\n').count());
    while lines() < 10 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let known = Packs::open(folder.path(), &header()).unwrap();
    let known = items.iter().filter(|item| known.find(item).is_some()).count();
    assert!((8..5000).contains(&known), "{known}");
    let made = AtomicUsize::new(0);
    let count = |item: &Item| {
        made.fetch_add(1, Ordering::Relaxed);
        produce(item)
    };
    let packs = build(folder.path(), &header(), &items, false, &count, &|_| {}).unwrap();
    assert_eq!(made.into_inner(), 5000 - known);
    assert!(is_whole(&packs, &items) && packs.verify(&items).unwrap().is_empty());
}
