//! Lists of files with their labels, of one's own: pictures, clips and folders of frames, and tables of pictures.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use sdas_data::{DataError, Duplicates, Kind, Source, Splits, Unusable, load};
use tempfile::TempDir;

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn save(root: &Path, file: &str, size: u32, colour: u8) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(size, size, Rgb([colour; 3])).save(path).unwrap();
}

/// Frames `img_00001.png`, … of these colours.
fn frames(root: &Path, folder: &str, colours: &[u8]) {
    for (number, &colour) in (1..).zip(colours) {
        save(root, &format!("{folder}/img_{number:05}.png"), 8, colour);
    }
}

fn source(kind: Kind, root: &Path) -> Source {
    let cache = matches!(kind, Kind::List).then(|| root.join("cache"));
    Source { path: Some(root.into()), cache, ..Source::new(kind) }
}

fn read(kind: Kind, root: &Path) -> Result<Splits, DataError> {
    load(&source(kind, root), &|_| {})
}

/// The message of what is wrong, which names this place and a remedy.
fn message(result: Result<Splits, DataError>, place: &str) -> String {
    let text = result.unwrap_err().to_string();
    assert!(text.contains(place) && text.contains("\n  remedy: "), "{place}: {text}");
    text
}

/// Three pictures to train on and two to test on, and their lists.
fn pictures() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, colour) in [("a b/1.png", 10), ("2.png", 20), ("3.png", 30), ("4.png", 40), ("5.png", 50)] {
        save(folder.path(), file, 8, colour);
    }
    write(folder.path(), "my_train_list.txt", "\u{feff}a b/1.png 1\r\n2.png\t0\n\n3.png  1\n");
    write(folder.path(), "my_val_list.txt", "4.png 1\n5.png 0\n");
    folder
}

#[test]
fn pictures_are_in_the_order_of_their_list() {
    let folder = pictures();
    let splits = read(Kind::PictureList, folder.path()).unwrap();
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[1, 0, 1][..], &[1, 0][..]));
    assert_eq!((splits.train.classes(), &*splits.test_name), (&["0".to_owned(), "1".into()][..], "val"));
    let first = |set: &sdas_data::Dataset| (0..set.len()).map(|number| set.pixels(number)[0]).collect::<Vec<_>>();
    assert_eq!((first(&splits.train), first(&splits.test)), (vec![10, 20, 30], vec![40, 50]));

    // With names, which a list may also use; and with lists elsewhere.
    let root = folder.path();
    write(root, "lists/classes.txt", "cat\ndog\n");
    write(root, "lists/train.txt", "2.png dog\n3.png 0\n");
    write(root, "lists/test.txt", "4.png cat\n");
    let splits = load(&Source { lists: Some(root.join("lists")), ..source(Kind::PictureList, root) }, &|_| {}).unwrap();
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[1, 0][..], &[0][..]));
    // Words without a list of them are in alphabetical order.
    fs::remove_file(root.join("lists/classes.txt")).unwrap();
    write(root, "lists/train.txt", "2.png dog\n3.png ape\n");
    write(root, "lists/test.txt", "4.png dog\n");
    let splits = load(&Source { lists: Some(root.join("lists")), ..source(Kind::PictureList, root) }, &|_| {}).unwrap();
    assert_eq!((splits.train.classes(), splits.test.labels()), (&["ape".to_owned(), "dog".into()][..], &[1][..]));
}

#[test]
fn what_is_wrong_with_a_list_is_told_with_its_line() {
    let cases = [
        ("my_train_list.txt", "2.png 0\n../3.png 1\n", "line 2: expected a path within `data.path`"),
        ("my_val_list.txt", "/etc/passwd 1\n", "line 1: expected a path within `data.path`"),
        ("my_train_list.txt", "2.png\n", "line 1: expected `<path> <label>`, found `2.png`"),
        ("my_train_list.txt", "2.png 0\n\n3.png 2\n", "line 3: expected a label from 0 to 1, which there are"),
        ("my_train_list.txt", "2.png -1\n3.png 0\n4.png 1\n", "my_val_list.txt, line 1"),
        (
            "my_val_list.txt",
            "4.png 1\n5.png 7\n",
            "line 2: expected a label from 0 to 1, which there are to train on, found `7`",
        ),
        ("my_train_list.txt", "2.png 0\nnone.png 1\n", "line 2: expected a file or folder that is there, found `"),
        ("my_train_list.txt", "2.png 0\n3.png 1\n2.png 0\n", "line 3: expected a file that no other line has"),
        ("my_val_list.txt", "4.png 1\n3.png 1\n", "as in my_train_list.txt, line 4"),
        ("my_train_list.txt", "2.png 0\nx.mp4 1\n", "line 2: expected a picture; for clips `data.kind` is `list`"),
        ("my_val_list.txt", "\n", "line 1: expected a file and its label, found `the end of the list`"),
        ("classes.txt", "\n", "classes.txt, line 1: expected the names of the classes"),
        ("classes.txt", "cat\n", "my_train_list.txt, line 1"),
        ("classes.txt", "a\nb\nc\n", "class `c` has no files to train on"),
        ("other_train.txt", "2.png 0\n", "found `my_train_list.txt`, `other_train.txt`"),
    ];
    for (file, text, words) in cases {
        let folder = pictures();
        write(folder.path(), file, text);
        let told = message(read(Kind::PictureList, folder.path()), words);
        assert!(told.contains(&folder.path().display().to_string()), "{told}");
    }
    let folder = pictures();
    fs::remove_file(folder.path().join("my_val_list.txt")).unwrap();
    message(read(Kind::PictureList, folder.path()), "expected one list of files to test");
    // Where that is allowed, a file may be in both lists, but not with two labels.
    let folder = pictures();
    let warned = || Source { duplicates: Duplicates::Warn, ..source(Kind::PictureList, folder.path()) };
    write(folder.path(), "my_val_list.txt", "4.png 1\n2.png 0\n");
    assert_eq!(load(&warned(), &|_| {}).unwrap().remarks.shared.count, 1);
    write(folder.path(), "my_val_list.txt", "4.png 1\n2.png 1\n");
    message(load(&warned(), &|_| {}), "my_val_list.txt, line 2: expected a file that no other line has");
}

#[test]
fn folders_of_frames_are_clips() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    frames(root, "jump/one", &[10, 20, 30]);
    frames(root, "run/two", &[40, 50]);
    frames(root, "run/three 3", &[60, 70, 80, 90]);
    // Fields of flow beside them are no frames.
    save(root, "jump/one/x_00001.png", 8, 255);
    write(root, "lists/ucf_train_rawframes.txt", "jump/one 3 0\nrun/two 2 1\n");
    write(root, "lists/ucf_val_rawframes.txt", "run/three 3 4 1\n");
    let of = |root: &Path| Source { lists: Some(root.join("lists")), ..source(Kind::List, root) };
    let splits = load(&of(root), &|_| {}).unwrap();
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 1][..], &[1][..]));
    let colours =
        |set: &sdas_data::Dataset, number| set.pixels(number).chunks(8 * 8 * 3).map(|frame| frame[5]).collect();
    let all: Vec<Vec<u8>> = vec![colours(&splits.train, 0), colours(&splits.train, 1), colours(&splits.test, 0)];
    assert_eq!(all, [vec![10, 20, 30], vec![40, 50], vec![60, 70, 80, 90]]);

    for (text, words) in [
        ("jump/one 2 0\nrun/two 2 1\n", "line 1: expected a folder with 2 frames, found `"),
        ("jump/one 3 0\nrun/none 2 1\n", "line 2: expected a file or folder that is there"),
        ("jump/one 0\nrun/two 2 1\n", "line 1: expected how many frames the folder has"),
        ("jump/one/img_00001.png 0\nrun/two 2 1\n", "for pictures it is `picture-list`"),
    ] {
        write(root, "lists/ucf_train_rawframes.txt", text);
        message(load(&of(root), &|_| {}), words);
    }
    // What is not there may be left out, and a frame that is broken breaks its clip alone.
    write(root, "lists/ucf_train_rawframes.txt", "jump/one 3 0\nrun/none 2 1\nrun/two 2 1\n");
    let skipping = Source { missing: Unusable::Skip, ..of(root) };
    let splits = load(&skipping, &|_| {}).unwrap();
    assert_eq!((splits.train.labels(), splits.remarks.missing.count), (&[0, 1][..], 1));
    frames(root, "jump/four", &[1, 2]);
    save(root, "jump/four/img_00002.png", 9, 2);
    write(root, "lists/ucf_train_rawframes.txt", "jump/one 3 0\njump/four 2 0\nrun/two 2 1\n");
    let told = message(load(&of(root), &|_| {}), "1 of 4 clips cannot be decoded");
    assert!(told.contains("img_00002.png is of another size than the frames before it"), "{told}");
}

#[test]
fn videos_are_named_by_lists() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, source) in [
        ("a.mp4", "testsrc=s=16x16:r=10:d=0.4"),
        ("b c.mp4", "testsrc2=s=16x16:r=10:d=0.3"),
        ("d.mp4", "color=red:s=16x16:r=10:d=0.2"),
    ] {
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "mpeg4"])
            .arg(root.join(file))
            .status();
        assert!(made.expect("these tests need ffmpeg: ./test.sh installs it").success());
    }
    write(root, "train.txt", "a.mp4 0\nb c.mp4 3 1\n");
    write(root, "test.txt", "d.mp4 1\n");
    let splits = read(Kind::List, root).unwrap();
    let frames = |set: &sdas_data::Dataset, number| set.pixels(number).len() / (16 * 16 * 3);
    assert_eq!([frames(&splits.train, 0), frames(&splits.train, 1), frames(&splits.test, 0)], [4, 3, 2]);
    assert_eq!((splits.train.labels(), &*splits.test_name), (&[0, 1][..], "test"));
}

#[test]
fn tables_name_a_folders_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, colour) in [("train/x/1.png", 1), ("train/2.png", 2), ("validation/3.png", 3)] {
        save(root, file, 8, colour);
    }
    write(root, "train/metadata.csv", "file_name,text,label\nx/1.png,\"a, b\",dog\n2.png,,cat\n");
    write(root, "validation/metadata.csv", "label,file_name\ncat,3.png\n");
    let splits = read(Kind::Folder, root).unwrap();
    assert_eq!((splits.train.classes(), &*splits.test_name), (&["cat".to_owned(), "dog".into()][..], "validation"));
    assert_eq!((splits.train.labels(), splits.test.labels()), (&[1, 0][..], &[0][..]));
    assert_eq!((splits.train.pixels(0)[0], splits.test.pixels(0)[0]), (1, 3));

    // As JSON, a line each, with numbers.
    fs::remove_file(root.join("validation/metadata.csv")).unwrap();
    write(root, "train/metadata.csv", "file_name,label\nx/1.png,1\n2.png,0\n");
    write(root, "validation/metadata.jsonl", "{\"file_name\": \"3.png\", \"label\": 1, \"more\": []}\n");
    write(root, "classes.txt", "cat\ndog\n");
    let splits = read(Kind::Folder, root).unwrap();
    assert_eq!((splits.train.classes(), splits.test.labels()), (&["cat".to_owned(), "dog".into()][..], &[1][..]));

    for (file, text, words) in [
        (
            "train/metadata.csv",
            "file_name,label\nx/1.png,1\n../../2.png,0\n",
            "metadata.csv, line 3: expected a path within `data.path`",
        ),
        ("validation/metadata.jsonl", "{\"file_name\": \"3.png\"}\n", "metadata.jsonl, line 1: expected the columns"),
        (
            "train/metadata.csv",
            "file_name,class\nx/1.png,1\n",
            "metadata.csv, line 1: expected the columns `file_name` and",
        ),
        ("train/metadata.csv", "file_name,label\nx/1.png,1\n2.png\n", "metadata.csv, line 3: expected the columns"),
        (
            "train/metadata.csv",
            "file_name,label\nx/1.png,1\n9.png,0\n",
            "metadata.csv, line 3: expected a file or folder",
        ),
    ] {
        let before = fs::read_to_string(root.join(file)).unwrap();
        write(root, file, text);
        message(read(Kind::Folder, root), words);
        write(root, file, &before);
    }
    fs::remove_file(root.join("validation/metadata.jsonl")).unwrap();
    message(read(Kind::Folder, root), "expected a table of the pictures to test on");
}

/// A small data set of a kind, with lists: their names, and what is in them.
fn of_kind(kind: Kind, root: &Path) -> Vec<(&'static str, &'static str)> {
    let clip = |file: &str| {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
            .args(["color=red:s=16x16:r=10:d=0.2", "-c:v", "mpeg4"])
            .arg(path)
            .status();
        assert!(made.expect("these tests need ffmpeg: ./test.sh installs it").success());
    };
    match kind {
        Kind::PictureList => {
            (1..5).for_each(|number| save(root, &format!("a b/{number}.png"), 8, number));
            vec![
                ("train.txt", "a b/1.png dog\na b/2.png cat\n"),
                ("test.txt", "a b/3.png dog\na b/4.png cat\n"),
                ("classes.txt", "cat\ndog\n"),
            ]
        }
        Kind::Folder => {
            for (file, colour) in [("train/1.png", 1), ("train/2.png", 2), ("val/3.png", 3)] {
                save(root, file, 8, colour);
            }
            vec![
                ("train/metadata.csv", "file_name,label\n1.png,1\n2.png,0\n"),
                ("val/metadata.jsonl", "{\"file_name\": \"3.png\", \"label\": 1}\n"),
                ("classes.txt", "cat\ndog\n"),
            ]
        }
        Kind::Cifar10 => {
            let records: Vec<u8> = (0..10).flat_map(|label| [&[label][..], &[50 + label; 3072]].concat()).collect();
            let parts = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".into()]);
            parts.for_each(|part| fs::write(root.join(part), &records).unwrap());
            vec![("batches.meta.txt", "plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n")]
        }
        Kind::Shards => {
            for (part, colours) in [("train.tar", [10, 20]), ("val.tar", [30, 40])] {
                let mut shard = tar::Builder::new(fs::File::create(root.join(part)).unwrap());
                for (label, colour) in (0..).zip(colours) {
                    save(root, "one.png", 8, colour);
                    shard.append_path_with_name(root.join("one.png"), format!("{label}.png")).unwrap();
                    fs::write(root.join("one.cls"), format!("{label}")).unwrap();
                    shard.append_path_with_name(root.join("one.cls"), format!("{label}.cls")).unwrap();
                }
                shard.finish().unwrap();
            }
            vec![("classes.txt", "cat\ndog\n")]
        }
        Kind::List => {
            ["a.mp4", "b c.mp4", "d.mp4"].into_iter().for_each(clip);
            vec![("train.txt", "a.mp4 0\nb c.mp4 1\n"), ("test.txt", "d.mp4 1\n")]
        }
        Kind::Ucf101 => {
            ["Bow/v_1.avi", "Dig/v_2.avi", "Bow/v_3.avi"].into_iter().for_each(clip);
            vec![
                ("ucfTrainTestlist/classInd.txt", "1 Bow\n2 Dig\n"),
                ("ucfTrainTestlist/trainlist01.txt", "Bow/v_1.avi 1\nDig/v_2.avi 2\n"),
                ("ucfTrainTestlist/testlist01.txt", "Bow/v_3.avi\n"),
            ]
        }
        Kind::Hmdb51 => {
            ["wave/a.avi", "wave/b.avi", "clap/c.avi"].into_iter().for_each(clip);
            vec![
                ("testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 1\nb.avi 2\n"),
                ("testTrainMulti_7030_splits/clap_test_split1.txt", "c.avi 1\n"),
            ]
        }
        Kind::Kinetics => {
            let clips = ["train/juggling/a_000003_000013.mp4", "val/juggling/b_000003_000013.mp4"];
            clips.into_iter().for_each(clip);
            vec![
                ("train.csv", "label,youtube_id,time_start,time_end,split\njuggling,a,3,13,train\n"),
                ("val.csv", "label,youtube_id,time_start,time_end,split\njuggling,b,3,13,val\n"),
            ]
        }
        _ => panic!("{kind:?} has no lists"),
    }
}

/// As editors and tables' programs of other systems write it: with a byte order mark, with other ends of lines, without the
/// last of them, with blank lines behind.
#[test]
fn a_list_in_another_hand_is_the_same_list() {
    for kind in [
        Kind::PictureList,
        Kind::Folder,
        Kind::Cifar10,
        Kind::Shards,
        Kind::List,
        Kind::Ucf101,
        Kind::Hmdb51,
        Kind::Kinetics,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let lists = of_kind(kind, root);
        lists.iter().for_each(|(file, text)| write(root, file, text));
        let cache = kind.has_clips().then(|| root.join("cache"));
        // All clips are of the same frames.
        let duplicates = if kind.has_clips() { Duplicates::Warn } else { Duplicates::default() };
        let source = Source { path: Some(root.into()), cache, duplicates, ..Source::new(kind) };
        let read = |what: &str| {
            let splits = load(&source, &|_| {}).unwrap_or_else(|error| panic!("{kind:?}, {what}: {error}"));
            let of = |set: &sdas_data::Dataset| {
                let first = (0..set.len()).map(|number| set.pixels(number)[0]).collect::<Vec<_>>();
                (set.classes().to_vec(), set.labels().to_vec(), first)
            };
            [of(&splits.train), of(&splits.test)]
        };
        let expected = read("as it was");
        for (file, text) in &lists {
            let crlf = text.replace('\n', "\r\n");
            for other in [
                format!("\u{feff}{text}"),
                format!("\u{feff}{crlf}"),
                crlf.trim_end().to_owned(),
                format!("{crlf}\r\n"),
                format!("{text}\n\n"),
            ] {
                write(root, file, &other);
                let what = format!("{file} is {other:?}");
                assert_eq!(read(&what), expected, "{kind:?}, {what}");
            }
            write(root, file, text);
        }
    }
}
