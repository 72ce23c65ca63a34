//! Files by name, in memory: what a network is asked about.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use tempfile::NamedTempFile;

use crate::decode::{Decoder, Failure, Form, Frames, Resize, decode, fit, is_picture, scale};
use crate::error::DataError;
use crate::flow::TvL1;
use crate::keep::{Dataset, Sample, Store};
use crate::remarks::Listed;
use crate::source::clips::{clips_below, is_named_as_clip};
use crate::source::{Input, Kind, Source, pictures_below};

/// Side of pictures and clips of the built-in sets and CIFAR.
pub(crate) const SIDE: usize = 32;

/// Files by name, decoded.
pub struct Opened {
    /// Those that can be used, with all labels 0, since nobody knows their class yet.
    pub samples: Dataset,
    /// Their names.
    pub files: Vec<PathBuf>,
    /// The others, each with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

impl Opened {
    /// That these files, of so many, cannot be used.
    pub fn unusable(source: &Source, total: usize, failed: Vec<(PathBuf, String)>) -> DataError {
        let (what, remedy) = if source.kind.has_clips() {
            ("clips", "give clips, or pictures, that ffmpeg can read")
        } else {
            ("pictures", "give pictures, such as JPEG or PNG; of a clip, frames that are saved so")
        };
        let failed = Listed { count: failed.len(), first: failed, list: None };
        DataError::Files { what, total, failed, remedy }
    }
}

/// As [`open_each`], where all files must be such as can be used.
///
/// # Errors
/// [`DataError::Files`] that names all files that cannot be used, and those of [`open_each`].
pub fn open_files(source: &Source, classes: &[String], files: &[PathBuf]) -> Result<Dataset, DataError> {
    let Opened { samples, failed, .. } = open_each(source, classes, files)?;
    match failed.is_empty() {
        true => Ok(samples),
        false => Err(Opened::unusable(source, files.len(), failed)),
    }
}

/// Decodes files as those of `source` are, with its `kind`, `input`, `size`, `resize`, `fps` and `max_pixels`, into
/// memory, in the order of `files`.
///
/// Where `source` has pictures they must be such as [`Kind::Folder`] takes, and come to 32×32 pixels for CIFAR and
/// `shapes` unless it has a `size`. Where it has clips they may also be pictures, which are clips of one frame; for
/// `motion` they come to 32×32, or the square of `size`, whatever their proportions.
///
/// # Errors
/// [`DataError::Sizes`] if pictures of kind `folder` differ in size and `source` has none to bring them to; what is
/// impossible in `source`; [`DataError::LabelOutOfRange`] if there are no `classes`.
pub fn open_each(source: &Source, classes: &[String], files: &[PathBuf]) -> Result<Opened, DataError> {
    source.validate()?;
    let built_in = source.size.or(Some(SIDE));
    let opened: Vec<Result<Frames, Failure>> = if source.kind.has_clips() {
        let form = match source.kind {
            Kind::Motion => Form { size: built_in, resize: Resize::Squash, fps: None },
            _ => source.form(),
        };
        let decoder = Decoder::find()?;
        files.par_iter().map(|file| open_clip(file, &decoder, &form, source.input, source.max_pixels)).collect()
    } else {
        let side = match source.kind {
            Kind::Folder | Kind::Shards | Kind::PictureList => source.size,
            _ => built_in,
        };
        let open = |file: &PathBuf| open_picture(file, side, source.resize, source.max_pixels);
        files.par_iter().map(|file| open(file).map_err(Failure::Broken)).collect()
    };

    let (mut stores, mut samples, mut usable, mut failed) = (vec![], vec![], vec![], vec![]);
    for (file, frames) in files.iter().zip(opened) {
        match frames {
            Ok(frames) => {
                samples.push(Sample {
                    store: stores.len() as u32,
                    offset: 0,
                    frames: frames.count(source.input.channels()) as u32,
                    size: frames.size.map(|side| side as u32),
                    label: 0,
                });
                stores.push(Arc::new(Store::Memory(frames.pixels)));
                usable.push(file.clone());
            }
            Err(Failure::Broken(words) | Failure::Passing(words)) => failed.push((file.clone(), words)),
            Err(Failure::Fatal(error)) => return Err(error),
        }
    }
    let sizes = || samples.iter().map(|sample: &Sample| sample.size.map(|side| side as usize));
    if let (false, Some(first)) = (source.kind.has_clips(), sizes().next())
        && let Some((odd, size)) = sizes().enumerate().find(|&(_, size)| size != first)
    {
        return Err(DataError::Sizes { paths: [usable[0].clone(), usable[odd].clone()], sizes: [first, size] });
    }
    let samples = Dataset::from_samples(stores, samples, classes.to_vec(), source.input.channels())?;
    Ok(Opened { samples, files: usable, failed })
}

/// The files that `paths` mean: a file itself, and of a folder all that are named as the pictures of `source`, or its
/// clips, in it and below it, in order.
///
/// # Errors
/// If a folder cannot be read, or has none.
pub fn meant_files(source: &Source, paths: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut files = vec![];
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = if source.kind.has_clips() { clips_below(path)? } else { pictures_below(path)? };
        if found.is_empty() {
            let failed = vec![(path.clone(), "none are in this folder".into())];
            return Err(Opened::unusable(source, paths.len(), failed));
        }
        files.extend(found);
    }
    Ok(files)
}

/// What came from somewhere that is no file, as one: it is gone when this is dropped.
pub struct Spooled(NamedTempFile);

impl Spooled {
    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Writes all of `from` to a file in the folder for temporary files.
///
/// # Errors
/// If nothing comes, or it cannot be read or written.
pub fn spool(from: &mut dyn Read) -> Result<Spooled, DataError> {
    let folder = std::env::temp_dir();
    let mut file = NamedTempFile::new().map_err(DataError::read(&folder))?;
    match io::copy(from, &mut file) {
        Ok(1..) => Ok(Spooled(file)),
        outcome => {
            let source = outcome.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
            Err(DataError::Read { path: "-".into(), source })
        }
    }
}

fn open_clip(path: &Path, decoder: &Decoder, form: &Form, input: Input, most: u64) -> Result<Frames, Failure> {
    let Frames { size, pixels } = if path.is_file() && is_picture(path) {
        let picture = decode(path, most).map_err(Failure::Broken)?;
        let size = form.size_of(picture.size);
        Frames { size, pixels: scale(&picture, picture.size, size) }
    } else {
        decoder.decode(path, form)?
    };
    let pixels = match input {
        Input::Rgb => pixels,
        Input::Flow => TvL1::default().fields(&pixels, size),
    };
    Ok(Frames { size, pixels })
}

fn open_picture(path: &Path, side: Option<usize>, resize: Resize, most: u64) -> Result<Frames, String> {
    let picture = decode(path, most).map_err(|words| match is_named_as_clip(path) {
        true if path.is_file() => "it is a clip".into(),
        _ => words,
    })?;
    let picture = fit(picture, side, resize);
    Ok(Frames { size: picture.size, pixels: picture.pixels })
}
