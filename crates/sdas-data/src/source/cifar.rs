//! The binary version of CIFAR-10 and CIFAR-100: <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! A file is a row of records: one label byte (CIFAR-100: coarse, then fine), then 32×32 red, green
//! and blue bytes.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::origin::{Decoded, Origin, Progress, Sink};
use super::stamp::stamp;
use super::text;
use crate::decode::{CHANNELS, Picture, Resize, resize};
use crate::error::{DataError, found_at};
use crate::random::fnv1a;

/// The keys that it uses: photographs of which a network is asked are resized.
pub(super) const KEYS: &[&str] = &["path", "resize"];

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const AGAIN: &str = "unpack the archive again; if that does not help, download it again";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Ten,
    Hundred,
}

impl Version {
    fn kind(self) -> &'static str {
        match self {
            Version::Ten => "cifar10",
            Version::Hundred => "cifar100",
        }
    }

    /// The folder inside the archive.
    fn folder(self) -> &'static str {
        match self {
            Version::Ten => "cifar-10-batches-bin",
            Version::Hundred => "cifar-100-binary",
        }
    }

    /// Files to train on, then the one to test on.
    fn files(self) -> &'static [&'static str] {
        match self {
            Version::Ten => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
                "test_batch.bin",
            ],
            Version::Hundred => &["train.bin", "test.bin"],
        }
    }

    fn names_file(self) -> &'static str {
        match self {
            Version::Ten => "batches.meta.txt",
            Version::Hundred => "fine_label_names.txt",
        }
    }

    fn usual_names(self) -> impl Iterator<Item = &'static str> {
        match self {
            Version::Ten => TEN.split_whitespace(),
            Version::Hundred => HUNDRED.split_whitespace(),
        }
    }

    /// Bytes before the pixels; the last of them is the label.
    fn label_bytes(self) -> usize {
        match self {
            Version::Ten => 1,
            Version::Hundred => 2,
        }
    }

    fn record(self) -> usize {
        self.label_bytes() + CHANNELS * PLANE
    }

    fn remedy(self) -> &'static str {
        match self {
            Version::Ten => {
                "unpack the binary version, `cifar-10-binary.tar.gz` from \
                 https://www.cs.toronto.edu/~kriz/cifar.html, as `sdas data fetch cifar10` does, and set `data.path` \
                 (--data) to its folder"
            }
            Version::Hundred => {
                "unpack the binary version, `cifar-100-binary.tar.gz` from \
                 https://www.cs.toronto.edu/~kriz/cifar.html, as `sdas data fetch cifar100` does, and set `data.path` \
                 (--data) to its folder"
            }
        }
    }
}

/// The files of one of the two, found and of a proper length.
pub(crate) struct Cifar {
    version: Version,
    folder: PathBuf,
    classes: Vec<String>,
    /// Records in each of the files.
    records: Vec<usize>,
    size: usize,
}

impl Cifar {
    /// Looks for the files in `path` and in the archive's folder inside it. `size` is the side in
    /// pixels to scale to.
    pub(crate) fn find(version: Version, path: &Path, size: Option<usize>) -> Result<Self, DataError> {
        let files = version.files();
        let folder = [path.into(), path.join(version.folder())]
            .into_iter()
            .find(|folder| files.iter().any(|file| folder.join(file).is_file()))
            .ok_or_else(|| DataError::NotADataset {
                path: path.into(),
                kind: version.kind(),
                expected: format!("`{}` or `{}/` with it inside", files[0], version.folder()),
                found: found_at(path),
                remedy: version.remedy(),
            })?;
        let mut records = Vec::new();
        for file in files {
            let path = folder.join(file);
            let Ok(metadata) = path.metadata() else {
                return Err(DataError::NotADataset {
                    path: folder.clone(),
                    kind: version.kind(),
                    expected: format!("`{file}`"),
                    found: found_at(&folder),
                    remedy: version.remedy(),
                });
            };
            records.push(whole_records(&path, metadata.len(), version)?);
        }
        let classes = class_names(version, &folder)?;
        Ok(Self { version, folder, classes, records, size: size.unwrap_or(SIDE) })
    }

    /// Appends one file's pictures and labels.
    fn decode_file(&self, path: &Path, sink: &mut dyn Sink, labels: &mut Vec<u16>) -> Result<(), DataError> {
        let bytes = fs::read(path).map_err(DataError::read(path))?;
        whole_records(path, bytes.len() as u64, self.version)?;
        let before = self.version.label_bytes();
        for (record, bytes) in bytes.chunks_exact(self.version.record()).enumerate() {
            let label = usize::from(bytes[before - 1]);
            if label >= self.classes.len() {
                return Err(DataError::LabelOutOfRange {
                    path: path.into(),
                    record,
                    label,
                    classes: self.classes.len(),
                });
            }
            labels.push(label as u16);
        }
        let picture = self.size * self.size * CHANNELS;
        let mut pixels = vec![0; bytes.len() / self.version.record() * picture];
        pixels.par_chunks_mut(picture).zip(bytes.par_chunks_exact(self.version.record())).for_each(|(out, record)| {
            let native = Picture { size: [SIDE; 2], pixels: interleave(&record[before..]) };
            out.copy_from_slice(&resize(&native, self.size, Resize::Squash));
        });
        sink.append(&pixels)
    }
}

impl Origin for Cifar {
    fn fingerprint(&self) -> Result<u64, DataError> {
        let mut text = format!("{} {} {:?}", self.version.kind(), self.size, self.classes);
        for file in self.version.files() {
            text += &stamp(&self.folder, &self.folder.join(file))?;
        }
        Ok(fnv1a(text.as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        "test"
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let total = self.records.iter().sum();
        sink.reserve(total * self.size * self.size * CHANNELS)?;
        let mut labels = [vec![], vec![]];
        let last = self.records.len() - 1;
        for (i, file) in self.version.files().iter().enumerate() {
            self.decode_file(&self.folder.join(file), sink, &mut labels[usize::from(i == last)])?;
            progress(labels[0].len() + labels[1].len(), total);
        }
        for (label, class) in self.classes.iter().enumerate() {
            if !labels[0].contains(&(label as u16)) {
                return Err(DataError::EmptyClass {
                    path: self.folder.clone(),
                    class: class.clone(),
                    what: "pictures",
                    remedy: AGAIN,
                });
            }
        }
        Ok(Decoded { frames: 1, size: [self.size; 2], labels, ..Decoded::default() })
    }
}

/// How many records a file of `bytes` has: one or more, none cut off.
fn whole_records(path: &Path, bytes: u64, version: Version) -> Result<usize, DataError> {
    let record = version.record();
    if bytes == 0 || !bytes.is_multiple_of(record as u64) {
        return Err(DataError::Truncated { path: path.into(), bytes, record });
    }
    Ok((bytes / record as u64) as usize)
}

fn class_names(version: Version, folder: &Path) -> Result<Vec<String>, DataError> {
    let path = folder.join(version.names_file());
    if !path.exists() {
        return Ok(version.usual_names().map(String::from).collect());
    }
    let names = text::names(&path)?;
    let expected = version.usual_names().count();
    if names.len() != expected {
        return Err(DataError::Names { path, found: names.len(), expected });
    }
    Ok(names)
}

/// Planes of red, green and blue to pixels of red, green and blue.
fn interleave(planes: &[u8]) -> Vec<u8> {
    (0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]).collect()
}

const TEN: &str = "airplane automobile bird cat deer dog frog horse ship truck";

const HUNDRED: &str = "\
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle \
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant \
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man \
    maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree \
    plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail \
    snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout \
    tulip turtle wardrobe whale willow_tree wolf woman worm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_as_many_as_classes() {
        assert_eq!(Version::Ten.usual_names().count(), 10);
        assert_eq!(Version::Hundred.usual_names().count(), 100);
        assert!(Version::Hundred.usual_names().is_sorted());
    }

    #[test]
    fn planes_become_pixels() {
        let planes: Vec<u8> = (0..CHANNELS * PLANE).map(|i| (i / PLANE * 100 + i % PLANE % 50) as u8).collect();
        let pixels = interleave(&planes);
        assert_eq!(pixels[..6], [0, 100, 200, 1, 101, 201]);
        assert_eq!(pixels[CHANNELS * PLANE - 1], planes[CHANNELS * PLANE - 1]);
    }
}
