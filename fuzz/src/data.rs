//! Data: CIFAR's files, pictures, official lists and lists of one's own, tables, shards, and caches.

use sdas_data::{Duplicates, Kind, Source, check, load, open_each, prepare};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use tempfile::{Builder, NamedTempFile, TempDir};

/// Where files are made and read a million times: in memory, where the system has a place for that.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// A file whose name ends so.
pub(crate) fn file(ending: &str) -> NamedTempFile {
    Builder::new().suffix(ending).tempfile_in(place()).expect("there is room")
}

pub(crate) fn folder() -> TempDir {
    Builder::new().tempdir_in(place()).expect("there is room")
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("there is room");
    fs::write(path, bytes).expect("there is room");
}

/// A picture of 4×4 pixels, as PPM.
fn ppm(value: u8) -> Vec<u8> {
    [&b"P6 4 4 255\n"[..], &[value; 48]].concat()
}

/// Records of CIFAR-10, one of each class.
fn records() -> Vec<u8> {
    (0..10u8).flat_map(|label| std::iter::once(label).chain((0..3072).map(move |at| (at % 251) as u8))).collect()
}

pub(crate) fn cifar_seeds() -> Vec<Vec<u8>> {
    vec![records(), records()[..3073].to_vec(), vec![]]
}

pub(crate) fn cifar(bytes: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = folder();
        (2..=5).for_each(|number| write(folder.path(), &format!("data_batch_{number}.bin"), &records()[..3073]));
        write(folder.path(), "test_batch.bin", &records());
        folder
    });
    write(FOLDER.path(), "data_batch_1.bin", bytes);
    let _ = load(&Source { path: Some(FOLDER.path().into()), ..Source::new(Kind::Cifar10) }, &|_| {});
}

pub(crate) fn picture_seeds() -> Vec<Vec<u8>> {
    let all = ["gray.png", "rgba.png", "rgb.jpg", "progressive.jpg", "rgb.webp", "rgb.bmp", "gray.pgm", "bits.pbm"];
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/pictures");
    all.iter().map(|name| fs::read(seeds.join(name)).expect("a seed")).chain([ppm(7)]).collect()
}

pub(crate) fn picture(bytes: &[u8]) {
    static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| file(".png"));
    fs::write(FILE.path(), bytes).expect("there is room");
    let source = Source { size: Some(32), max_pixels: 1 << 20, ..Source::new(Kind::Folder) };
    let _ = open_each(&source, &["one".to_owned()], &[FILE.path().into()]);
}

/// Lists of clips that are not there, and of pictures that are: kind, the fuzzed file, and what it usually holds. Clips that are
/// there would each be a process.
const LISTS: [(Kind, &str, &str); 9] = [
    (Kind::Ucf101, "ucfTrainTestlist/classInd.txt", "1 ApplyEyeMakeup\n2 Archery\n"),
    (
        Kind::Ucf101,
        "ucfTrainTestlist/trainlist01.txt",
        "Archery/v_Archery_g08_c01.avi 2\nApplyEyeMakeup/v_A_g08_c02.avi 1\n",
    ),
    (
        Kind::Ucf101,
        "ucfTrainTestlist/testlist01.txt",
        "Archery/v_Archery_g01_c01.avi\nApplyEyeMakeup/v_A_g01_c02.avi\n",
    ),
    (Kind::Hmdb51, "testTrainMulti_7030_splits/wave_test_split1.txt", "a_wave_1.avi 1\nb_wave_2.avi 2\nc.avi 0\n"),
    (
        Kind::Kinetics,
        "train.csv",
        "label,youtube_id,time_start,time_end,split\njuggling,abc_-1,3,13,train\n\"a, b\",x,0,10,train\n",
    ),
    (
        Kind::Kinetics,
        "val.csv",
        "label,youtube_id,time_start,time_end,split,is_cc\njuggling,zzz,3,13,val,0\n\"a, b\",y,1,2,val,1\n",
    ),
    (Kind::PictureList, "train.txt", "a/1.ppm dog\n2.ppm cat\n"),
    (Kind::PictureList, "classes.txt", "cat\ndog\n"),
    (Kind::List, "train.txt", "no/1.mp4 0\nno/2.mp4 1\n"),
];

pub(crate) fn list_seeds() -> Vec<Vec<u8>> {
    (0..).zip(LISTS).map(|(number, (_, _, text))| [&[number], text.as_bytes()].concat()).collect()
}

pub(crate) fn lists(bytes: &[u8]) {
    static FOLDERS: LazyLock<Vec<TempDir>> = LazyLock::new(|| {
        let make = |(kind, _, _): (Kind, &str, &str)| {
            let folder = folder();
            LISTS.iter().filter(|list| list.0 == kind).for_each(|list| write(folder.path(), list.1, list.2.as_bytes()));
            write(folder.path(), "a/1.ppm", &ppm(1));
            write(folder.path(), "2.ppm", &ppm(2));
            write(folder.path(), "3.ppm", &ppm(3));
            match kind {
                Kind::PictureList => write(folder.path(), "test.txt", b"3.ppm dog\n"),
                Kind::List => write(folder.path(), "test.txt", b"no/3.mp4 1\n"),
                _ => {}
            }
            folder
        };
        LISTS.into_iter().map(make).collect()
    });
    let Some((&number, bytes)) = bytes.split_first() else { return };
    let number = usize::from(number) % LISTS.len();
    let (kind, name, _) = LISTS[number];
    let root = FOLDERS[number].path();
    write(root, name, bytes);
    let _ = load(&Source { path: Some(root.into()), cache: cache_of(kind, root), ..Source::new(kind) }, &|_| {});
}

/// Where clips are kept.
fn cache_of(kind: Kind, root: &Path) -> Option<PathBuf> {
    (kind != Kind::PictureList).then(|| root.join("cache"))
}

pub(crate) fn metadata_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\0file_name,text,label\nx/1.ppm,\"a, b\",dog\n2.ppm,,cat\n".to_vec(),
        b"\x01{\"file_name\": \"x/1.ppm\", \"label\": \"dog\", \"more\": []}\n{\"file_name\": \"2.ppm\", \"label\": \"cat\"}\n".to_vec(),
    ]
}

pub(crate) fn metadata(bytes: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = folder();
        for (name, value) in [("train/x/1.ppm", 1), ("train/2.ppm", 2), ("validation/3.ppm", 3)] {
            write(folder.path(), name, &ppm(value));
        }
        write(folder.path(), "validation/metadata.csv", b"label,file_name\ncat,3.ppm\n");
        folder
    });
    let Some((&form, bytes)) = bytes.split_first() else { return };
    let name = if form == 0 { "train/metadata.csv" } else { "train/metadata.jsonl" };
    write(FOLDER.path(), name, bytes);
    let _ = load(&Source { path: Some(FOLDER.path().into()), ..Source::new(Kind::Folder) }, &|_| {});
    fs::remove_file(FOLDER.path().join(name)).expect("it is there");
}

/// A tar file of these.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub(crate) fn shard_seeds() -> Vec<Vec<u8>> {
    vec![
        tar(&[("a.ppm", &ppm(1)), ("a.cls", b"0"), ("b.ppm", &ppm(2)), ("b.cls", b"1")]),
        tar(&[("a.ppm", &ppm(1)), ("a.json", b"{\"label\": 0}"), ("b.ppm", &ppm(2)), ("b.json", b"{\"label\": 1}")]),
    ]
}

pub(crate) fn shard(bytes: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = folder();
        write(folder.path(), "val.tar", &shard_seeds()[0]);
        folder
    });
    write(FOLDER.path(), "train.tar", bytes);
    let source = Source { path: Some(FOLDER.path().into()), max_pixels: 1 << 20, ..Source::new(Kind::Shards) };
    let _ = load(&source, &|_| {});
}

/// The pictures of a folder, and what their cache is when it is whole.
struct Pictures {
    _folder: TempDir,
    source: Source,
    path: PathBuf,
    whole: Vec<u8>,
}

static PICTURES: LazyLock<Pictures> = LazyLock::new(|| {
    let folder = folder();
    for (name, value) in [("train/a", 1), ("train/b", 2), ("val/a", 3), ("val/b", 4)] {
        write(folder.path(), &format!("{name}/1.ppm"), &ppm(value));
    }
    let cache = folder.path().join("cache");
    let source = Source { path: Some(folder.path().into()), cache: Some(cache.clone()), ..Source::new(Kind::Folder) };
    prepare(&source, &|_| {}).expect("there is room");
    let path = cache.read_dir().expect("it was made").flatten().next().expect("it was made").path();
    let whole = fs::read(&path).expect("it was made");
    Pictures { _folder: folder, source, path, whole }
});

/// Length of the index, its checksum, that of the pixels, and the magic number.
const FOOTER: usize = 24;

/// The parts of a cache: pixels and index.
fn parts(whole: &[u8]) -> (&[u8], &[u8]) {
    let (body, footer) = whole.split_at(whole.len() - FOOTER);
    let length = u64::from_le_bytes(footer[..8].try_into().expect("eight bytes")) as usize;
    body.split_at(body.len() - length)
}

pub(crate) fn cache_seeds() -> Vec<Vec<u8>> {
    let (pixels, index) = parts(&PICTURES.whole);
    vec![[&[0], index].concat(), [&[1], &*PICTURES.whole].concat(), [&[2], pixels].concat()]
}

/// The first byte says what the others are: the index, or the pixels, to which the rest and the right checksums are added, since
/// a fuzzer does not get past these; or all of it.
pub(crate) fn cache(bytes: &[u8]) {
    let Pictures { source, path, whole, .. } = &*PICTURES;
    let Some((&form, bytes)) = bytes.split_first() else { return };
    let (pixels, index) = parts(whole);
    let summed = |pixels: &[u8], index: &[u8]| {
        let length = (index.len() as u64).to_le_bytes();
        let sums = [index, pixels].map(|part| crc32fast::hash(part).to_le_bytes());
        [pixels, index, &length, &sums.concat(), &whole[whole.len() - 8..]].concat()
    };
    let changed = match form % 3 {
        0 => summed(pixels, bytes),
        1 => bytes.to_vec(),
        _ => summed(bytes, index),
    };
    // Beside and renamed, as caches are made: it may be mapped.
    let beside = path.with_extension("new");
    fs::write(&beside, changed).and_then(|()| fs::rename(&beside, path)).expect("there is room");
    if let Ok(splits) = load(source, &|_| {}) {
        (0..splits.train.len()).for_each(|number| assert!(!splits.train.pixels(number).is_empty()));
    }
}

/// Two clips, and their cache when it is whole.
struct Clips {
    _folder: TempDir,
    source: Source,
    index: PathBuf,
    whole: Vec<u8>,
}

static CLIPS: LazyLock<Clips> = LazyLock::new(|| {
    let folder = folder();
    for place in ["train/a", "val/a"] {
        let clip = folder.path().join(place).join("1.avi");
        fs::create_dir_all(clip.parent().expect("in a folder")).expect("there is room");
        let made =
            ["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=16x16:rate=5:duration=0.6", "-c:v", "mpeg4"];
        assert!(Command::new("ffmpeg").args(made).arg(clip).status().expect("ffmpeg is there").success());
    }
    let cache = folder.path().join("cache");
    let source = Source {
        path: Some(folder.path().into()),
        cache: Some(cache.clone()),
        duplicates: Duplicates::Warn,
        ..Source::new(Kind::Clips)
    };
    prepare(&source, &|_| {}).expect("there is room");
    let mut folders = vec![cache];
    let index = loop {
        let path = folders.pop().expect("there is an index");
        match path.is_dir() {
            true => folders.extend(path.read_dir().expect("it was made").flatten().map(|entry| entry.path())),
            false if path.ends_with("index") => break path,
            false => {}
        }
    };
    let whole = fs::read(&index).expect("it was made");
    Clips { _folder: folder, source, index, whole }
});

pub(crate) fn packs_seeds() -> Vec<Vec<u8>> {
    let lines = CLIPS.whole.split_inclusive(|&byte| byte == b'\n');
    let bare: Vec<u8> = lines.flat_map(|line| line[9..].iter().copied()).collect();
    vec![[&[0], &*bare].concat(), [&[1], &*CLIPS.whole].concat()]
}

/// The first byte says whether lines get the right checksums.
pub(crate) fn packs(bytes: &[u8]) {
    let Some((&form, bytes)) = bytes.split_first() else { return };
    let summed = |line: &[u8]| {
        let json = line.strip_suffix(b"\n").unwrap_or(line);
        // Checked with the line's end left out, as it is read.
        [format!("{:08x} ", crc32fast::hash(json)).as_bytes(), line].concat()
    };
    let index = match form {
        0 => bytes.split_inclusive(|&byte| byte == b'\n').flat_map(summed).collect(),
        _ => bytes.to_vec(),
    };
    fs::write(&CLIPS.index, index).expect("there is room");
    let _ = check(&CLIPS.source);
}
