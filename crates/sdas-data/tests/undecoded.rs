//! Pictures that are decoded while they are used, in folders and in shards.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use sdas_data::{
    Augmentation, Batch, ClipSettings, ColourJitter, Cropping, DataError, Dataset, Keep, Kind, Loader, LoaderSettings,
    Source, Splits, Statistics, Views, check, load, prepare,
};

const CLASSES: [&str; 3] = ["n1", "n2", "n3"];

/// A smooth picture, no two alike.
fn picture(number: u32, [width, height]: [u32; 2]) -> RgbImage {
    let wave = |along: u32, of: u32, by: u32| ((along * 200 / of) as u8).wrapping_add((number * by) as u8 % 50);
    RgbImage::from_fn(width, height, |x, y| Rgb([wave(x, width, 11), wave(y, height, 7), (number * 29 % 256) as u8]))
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Pictures of several sizes: five of each class to train on, two to test on.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    for (split, count) in [("train", 5), ("val", 2)] {
        for class in CLASSES {
            for i in 0..count {
                let bytes = encoded(&picture(number, [60 + number, 90 - 2 * number]), ImageFormat::Jpeg);
                write(&folder.path().join(format!("{split}/{class}/{i}.JPEG")), &bytes);
                number += 1;
            }
        }
    }
    folder
}

/// The same as shards, two of train and one of val, where the order is another.
fn shards(of: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, split, picked) in
        [("train-000000", "train", 0..2), ("train-000001", "train", 2..5), ("val-000000", "val", 0..2)]
    {
        let mut shard = tar::Builder::new(File::create(folder.path().join(format!("{name}.tar"))).unwrap());
        for i in picked {
            for (label, class) in CLASSES.iter().enumerate() {
                let bytes = fs::read(of.join(format!("{split}/{class}/{i}.JPEG"))).unwrap();
                append(&mut shard, &format!("{class}_{i}.jpg"), &bytes);
                append(&mut shard, &format!("{class}_{i}.cls"), label.to_string().as_bytes());
                append(&mut shard, &format!("{class}_{i}.json"), b"{}");
            }
        }
        shard.finish().unwrap();
    }
    write(&folder.path().join("classes.txt"), CLASSES.join("\n").as_bytes());
    folder
}

fn append(shard: &mut tar::Builder<File>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    shard.append_data(&mut header, name, bytes).unwrap();
}

fn source(kind: Kind, path: &Path) -> Source {
    // Hidden, and so no part of the data.
    let cache = (kind == Kind::Shards).then(|| path.join(".cache"));
    Source { path: Some(path.into()), keep: Some(Keep::None), cache, ..Source::new(kind) }
}

fn open(source: &Source) -> Splits {
    load(source, &|_| {}).unwrap()
}

fn settings(crop: Option<usize>) -> LoaderSettings {
    let statistics = Statistics { mean: vec![0.5; 3], std: vec![0.25; 3] };
    let colour = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let augmentation = Augmentation { flip: true, colour, ..Augmentation::none() };
    let cropping = Cropping::RandomResized { area: [0.08, 1.0], aspect: [0.75, 4.0 / 3.0] };
    let clip = ClipSettings { crop, ..ClipSettings::default() };
    LoaderSettings { clip, cropping, ..LoaderSettings::training("weights", 3, 4, statistics, augmentation) }
}

fn batches(data: &Dataset, settings: LoaderSettings, epoch: u64, first: usize) -> Vec<Batch> {
    let all: Vec<_> = (0..data.len()).collect();
    Loader::new(data, &all, settings).epoch(epoch, first).map(Result::unwrap).collect()
}

/// Whether two pictures differ by no more than JPEG does: in the mean by less than what a pixel's shift would make of it.
fn are_alike(one: &Batch, other: &Batch) -> bool {
    let differences = || one.pixels.iter().zip(&other.pixels).map(|(one, other)| (one - other).abs() * 0.25 * 255.0);
    differences().fold(0.0, f32::max) < 8.0 && differences().sum::<f32>() < differences().count() as f32
}

#[test]
fn what_is_not_kept_is_the_same_as_what_is() {
    let folder = folder();
    for crop in [None, Some(12)] {
        let of = |keep| {
            let source = Source { size: Some(24), keep, ..source(Kind::Folder, folder.path()) };
            let Splits { train, test, test_name, .. } = open(&source);
            let indices: Vec<_> = (0..train.len()).collect();
            assert_eq!((train.len(), test.len(), &*test_name, train.common_size()), (15, 6, "val", Some([24; 2])));
            let statistics = train.statistics(&indices);
            (
                train.is_undecoded(),
                statistics,
                batches(&train, settings(crop), 1, 0),
                batches(&test, settings(crop), 1, 0),
            )
        };
        let (memory, none) = (of(Some(Keep::Memory)), of(Some(Keep::None)));
        assert!(!memory.0 && none.0);
        assert!((memory.1, memory.2, memory.3) == (none.1, none.2, none.3));
    }
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let folder = folder();
    let train = open(&source(Kind::Folder, folder.path())).train;
    assert_eq!((train.common_size(), train.size()), (None, [1; 2]));
    for number in 0..2 {
        let whole = batches(&train, settings(Some(16)), number, 0);
        let part = batches(&train, LoaderSettings { threads: 3, prefetch: 7, ..settings(Some(16)) }, number, 1);
        assert!(whole.len() == 3 && whole[1..] == part);
    }
    // Without a size to bring them to there is none.
    let error = settings(None).shape(&train).unwrap_err().to_string();
    assert!(error.contains("`data.clip.crop`"), "{error}");
}

#[test]
fn shards_are_the_same_as_their_files() {
    let folder = folder();
    let shards = shards(folder.path());
    let (files, members) = (open(&source(Kind::Folder, folder.path())), open(&source(Kind::Shards, shards.path())));
    assert_eq!(members.test_name, "val");
    assert_eq!(members.train.classes(), CLASSES);
    // Sample by sample, in an order of its own: of each class 0 and 1 in the first shard, 2 to 4 in the second.
    let number = |member: usize| 5 * (member % 3) + member / 3;
    let views = |data: &Dataset, i| {
        let settings = LoaderSettings { views: Some(Views::default()), ..settings(Some(16)) };
        let settings = LoaderSettings { augmentation: Augmentation::none(), ..settings };
        Loader::new(data, &[i], settings).epoch(0, 0).next().unwrap().unwrap()
    };
    for member in 0..15 {
        let (own, other) = (views(&members.train, member), views(&files.train, number(member)));
        assert!(own.pixels == other.pixels && own.labels == other.labels, "{member}");
    }
    assert_eq!(members.test.labels(), [0, 1, 2, 0, 1, 2]);
    // They can be kept, too.
    let kept = Source { size: Some(20), keep: None, ..source(Kind::Shards, shards.path()) };
    let none = Source { keep: Some(Keep::None), ..kept.clone() };
    let of = |source: &Source| batches(&open(source).train, settings(None), 0, 0);
    assert!(of(&kept) == of(&none));
}

#[test]
fn a_shard_cut_off_anywhere_names_itself_a_member_and_a_place() {
    let folder = folder();
    let shards = shards(folder.path());
    let path = shards.path().join("train-000001.tar");
    let whole = fs::read(&path).unwrap();
    let source = source(Kind::Shards, shards.path());
    let end = whole.len() - 1024;
    for cut in (0..end).step_by(97).chain([511, 512, 513, end - 1, end]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let text = load(&source, &|_| {}).unwrap_err().to_string();
        // Without a whole header there is no member to name.
        let place = if cut < 512 { "train-000001.tar: " } else { "train-000001.tar, member `" };
        assert!(text.contains(place) && (cut < 512 || text.contains(" at byte ")), "{cut}: {text}");
    }
    fs::write(&path, &whole[..1000]).unwrap();
    let text = load(&source, &|_| {}).unwrap_err().to_string();
    assert!(
        text.contains("member `n1_2.jpg` at byte 0: it should go on to byte ") && text.contains("ends at 1000"),
        "{text}"
    );
    fs::write(&path, b"\x1f\x8b\x08 and so on").unwrap();
    let text = load(&source, &|_| {}).unwrap_err().to_string();
    assert!(text.contains("train-000001.tar: it is compressed; unpack it"), "{text}");
    // One block of zeros is an end.
    fs::write(&path, &whole[..end + 512]).unwrap();
    load(&source, &|_| {}).unwrap();

    fs::remove_file(&path).unwrap();
    fs::copy(shards.path().join("train-000000.tar"), shards.path().join("train-000003.tar")).unwrap();
    let text = load(&source, &|_| {}).unwrap_err().to_string();
    assert!(text.contains("train-000001.tar is not there, but"), "{text}");
}

#[test]
fn shards_are_walked_through_once() {
    let folder = folder();
    let shards = shards(folder.path());
    let source = source(Kind::Shards, shards.path());
    let labels = || {
        let Splits { train, test, remarks, .. } = open(&source);
        assert_eq!(remarks.all().count(), 0);
        (train.labels().to_vec(), test.labels().to_vec())
    };
    let before = labels();
    let index = source.cache.as_ref().unwrap().read_dir().unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&index).unwrap();

    // Another class at the same place: as long as the shard has its length and its time, nobody looks.
    let path = shards.path().join("train-000001.tar");
    let changed = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.chunks(512).position(|block| block.starts_with(b"n3_4.cls")).unwrap() + 1;
    assert_eq!(bytes[512 * place], b'2');
    bytes[512 * place] = b'0';
    fs::write(&path, &bytes).unwrap();
    let touch = |time| File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    touch(changed);
    assert_eq!(labels(), before);
    assert!(fs::read(&index).unwrap() == whole);
    touch(changed + std::time::Duration::from_secs(1));
    let mut after = before.clone();
    *after.0.last_mut().unwrap() = 0;
    assert_eq!(labels(), after);

    // An index that is altered, cut off or not there is made anew where it has to be.
    let whole = fs::read(&index).unwrap();
    for damage in [
        &|bytes: &mut Vec<u8>| bytes[whole.len() / 2] ^= 1,
        &|bytes| bytes[0] ^= 1,
        &|bytes| bytes.truncate(whole.len() - 5),
        &|bytes| bytes.clear(),
    ] as [&dyn Fn(&mut Vec<u8>); 4]
    {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&index, bytes).unwrap();
        assert_eq!(labels(), after);
        assert!(fs::read(&index).unwrap() == whole);
    }

    // A shard that is none is an error every time, and the others are not walked through again.
    fs::remove_file(&index).unwrap();
    fs::write(&path, &bytes[..900]).unwrap();
    for _ in 0..2 {
        load(&source, &|_| {}).unwrap_err();
        assert_eq!(fs::read_to_string(&index).unwrap().lines().count(), 3);
    }

    // Where nothing can be written, it is only said.
    fs::write(&path, &bytes).unwrap();
    let nowhere = Source { cache: Some(index.join("x")), ..source };
    let Splits { train, remarks, .. } = open(&nowhere);
    assert_eq!((train.labels(), remarks.unwritten.count), (&*after.0, 1));
    let told: Vec<_> = remarks.all().map(|remark| remark.which).collect();
    assert!(told.len() == 1 && told[0].contains("x/"), "{told:?}");
}

#[test]
fn a_sample_of_a_shard_has_a_picture_and_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = encoded(&picture(0, [8, 8]), ImageFormat::Png);
    for (members, words) in [
        (&[("a.png", &*bytes)][..], "member `a` at byte 0: the sample has no class, `.cls`,"),
        (&[("a.cls", b"0"), ("b.png", &bytes)], "member `a` at byte 0: the sample has no picture"),
        (&[("a.cls", b"zero"), ("a.png", &bytes)], "`zero` is no class"),
        (&[("a.cls", b"1\n"), ("a.png", &bytes)], "class `0` has no pictures to train on"),
    ] {
        for split in ["train", "test"] {
            let mut shard = tar::Builder::new(File::create(folder.path().join(format!("my-{split}-1.tar"))).unwrap());
            members.iter().for_each(|(name, bytes)| append(&mut shard, name, bytes));
            shard.finish().unwrap();
        }
        let text = load(&source(Kind::Shards, folder.path()), &|_| {}).unwrap_err().to_string();
        assert!(text.contains(words) && text.contains("remedy: "), "{text}");
    }
}

#[test]
fn pictures_to_test_on_may_lie_side_by_side_with_a_list() {
    let folder = folder();
    let root = folder.path();
    let settings = || LoaderSettings { views: Some(Views::default()), ..settings(Some(16)) };
    let seen = || batches(&open(&source(Kind::Folder, root)).test, settings(), 0, 0);
    let by_folders = seen();
    let names: Vec<String> = CLASSES.iter().flat_map(|class| (0..2).map(move |i| format!("{class}_{i}"))).collect();
    for (number, name) in names.iter().enumerate() {
        let from = root.join(format!("val/{}/{}.JPEG", CLASSES[number / 2], number % 2));
        fs::rename(from, root.join(format!("val/{name}.JPEG"))).unwrap();
    }
    CLASSES.iter().for_each(|class| fs::remove_dir(root.join("val").join(class)).unwrap());
    let fails = |words: &str| {
        let text = load(&source(Kind::Folder, root), &|_| {}).unwrap_err().to_string();
        assert!(text.contains(words) && text.contains("remedy: "), "{text}");
    };
    fails("`LOC_val_solution.csv`, a line `<name> <class>`");
    write(&root.join("ILSVRC2012_validation_ground_truth.txt"), b"490\n361\n");
    fails("whose numbers only `meta.mat` explains");

    let line = |number: usize| {
        [format!("{}.JPEG {}", names[number], number / 2), format!("{},{} 1 2 3 4", names[number], CLASSES[number / 2])]
    };
    for (list, form, head) in [("val.txt", 0, ""), ("LOC_val_solution.csv", 1, "ImageId,PredictionString\n")] {
        let text = head.to_owned() + &(0..6).rev().map(|number| line(number)[form].clone() + "\n").collect::<String>();
        let path = root.join(list);
        fs::write(&path, &text).unwrap();
        assert!(seen() == by_folders);
        fs::write(&path, text.replace("n2_1", "n2_7")).unwrap();
        fails("expected the class of `n2_1`, found `the end of the list`");
        fs::write(&path, format!("{text}n9.JPEG n9\n")).unwrap();
        fails("expected a picture's name and its class, a folder of `train` or a number below 3, found `n9.JPEG n9`");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_picture_that_is_none_ends_the_epoch_with_its_name() {
    let folder = folder();
    let broken = folder.path().join("train/n2/3.JPEG");
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let source = source(Kind::Folder, folder.path());
    let train = open(&source).train;
    let all: Vec<_> = (0..15).collect();
    for threads in [1, 3] {
        let loader = Loader::new(&train, &all, LoaderSettings { threads, batch: 3, ..settings(Some(16)) });
        let made: Vec<_> = loader.epoch(0, 0).collect();
        let (last, before) = made.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok));
        let text = last.as_ref().unwrap_err().to_string();
        assert!(text.contains("train/n2/3.JPEG cannot be decoded: the file is truncated"), "{text}");
    }
    // Statistics are of the others.
    assert!(train.statistics(&all).mean.iter().all(|mean| mean.is_finite()));
    // A check decodes all, and counts.
    let text = check(&source).unwrap_err().to_string();
    assert!(text.contains("1 of 21 pictures cannot be decoded") && text.contains("n2/3.JPEG"), "{text}");
    fs::copy(folder.path().join("val/n1/0.JPEG"), &broken).unwrap();
    let text = check(&source).unwrap_err().to_string();
    assert!(text.contains("1 of the test set is also in the training set"), "{text}");
    fs::write(&broken, &bytes).unwrap();
    assert_eq!(check(&source).unwrap().clips, 21);
}

#[test]
fn large_jpegs_are_decoded_small_and_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let large = picture(5, [640, 480]);
    for split in ["train", "val"] {
        write(&folder.path().join(split).join("a/1.jpg"), &encoded(&large, ImageFormat::Jpeg));
        write(&folder.path().join(split).join("a/2.png"), &encoded(&large, ImageFormat::Png));
        write(
            &folder.path().join(split).join("a/3.jpg"),
            &with_orientation(&encoded(&turned(&large), ImageFormat::Jpeg), 6),
        );
    }
    let train = open(&source(Kind::Folder, folder.path())).train;
    for (crop, scale) in [(50, 1.0), (100, 0.9), (32, 0.3), (230, 1.0), (400, 1.0)] {
        let views = Some(Views { crops: 5, scale, ..Views::default() });
        let settings = LoaderSettings { views, augmentation: Augmentation::none(), ..settings(Some(crop)) };
        let of = |i| Loader::new(&train, &[i], settings.clone()).epoch(0, 0).map(Result::unwrap).collect::<Vec<_>>();
        let [jpeg, png, turned] = [0, 1, 2].map(of);
        for ((jpeg, png), turned) in jpeg.iter().zip(&png).zip(&turned) {
            assert!(are_alike(jpeg, png) && are_alike(turned, png), "{crop} {scale}");
        }
    }
}

/// Anticlockwise by a quarter.
fn turned(picture: &RgbImage) -> RgbImage {
    image::imageops::rotate270(picture)
}

/// The JPEG with an Exif segment that tells how to turn it.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tags =
        [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]]
            .concat();
    let length = (tags.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &tags, &jpeg[2..]].concat()
}

#[test]
fn gray_cmyk_and_wrong_endings_are_pictures_too() {
    let folder = tempfile::tempdir().unwrap();
    // Red, white, and a dark cyan below it, as Pillow writes CMYK.
    let cmyk = include_bytes!("pictures/cmyk.jpg");
    let mut gray = Vec::new();
    image::GrayImage::from_pixel(16, 16, image::Luma([77]))
        .write_to(&mut Cursor::new(&mut gray), ImageFormat::Jpeg)
        .unwrap();
    let blue = encoded(&RgbImage::from_pixel(16, 16, Rgb([0, 0, 255])), ImageFormat::Png);
    for split in ["train", "val"] {
        for (name, bytes) in [("1.jpg", &cmyk[..]), ("2.jpg", &gray), ("3.JPEG", &blue)] {
            write(&folder.path().join(split).join("a").join(name), bytes);
        }
    }
    let train = open(&source(Kind::Folder, folder.path())).train;
    let statistics = Statistics { mean: vec![0.0; 3], std: vec![1.0; 3] };
    let clip = ClipSettings { crop: Some(16), ..ClipSettings::default() };
    let settings = LoaderSettings { clip, ..LoaderSettings::evaluation(3, statistics) };
    let batch = Loader::new(&train, &[0, 1, 2], settings).epoch(0, 0).next().unwrap().unwrap();
    let at = |row: usize, y: usize, x: usize| {
        [0, 1, 2].map(|c| (batch.pixels[((row * 16 + y) * 16 + x) * 3 + c] * 255.0) as i32)
    };
    for (got, expected) in [
        (at(0, 2, 2), [255, 0, 0]),
        (at(0, 2, 12), [255, 255, 255]),
        (at(0, 12, 12), [0, 127, 127]),
        (at(1, 9, 9), [77; 3]),
        (at(2, 9, 9), [0, 0, 255]),
    ] {
        assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= 4), "{got:?} {expected:?}");
    }
}

#[test]
fn what_does_not_go_with_keeping_is_named() {
    let folder = folder();
    let none = source(Kind::Folder, folder.path());
    let fails = |source: Source, words: [&str; 2]| {
        let text = load(&source, &|_| {}).unwrap_err().to_string();
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
    };
    fails(
        Source { keep: Some(Keep::None), ..Source::new(Kind::Shapes) },
        ["`data.keep`", "`folder`, `shards`, `picture-list`, `list`, `clips`"],
    );
    fails(Source { keep: Some(Keep::Memory), ..Source::new(Kind::Ucf101) }, ["`data.keep`", "decoded once"]);
    fails(Source { cache: Some("x".into()), ..none.clone() }, ["`data.cache`", "leave `data.keep` out"]);
    fails(Source { broken: sdas_data::Unusable::Skip, ..none.clone() }, ["`data.broken`", "`sdas data check`"]);
    assert!(matches!(prepare(&none, &|_| {}), Err(DataError::Setting { key: "data.keep", .. })));
    let flow = Source { keep: Some(Keep::Cache), cache: Some(folder.path().join("cache")), size: Some(8), ..none };
    assert!(load(&flow, &|_| {}).unwrap().train.is_mapped());
}
