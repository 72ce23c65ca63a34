//! From what a recipe says of data to datasets.

use std::time::Instant;

use crate::error::DataError;
use crate::keep::{
    Building, Checked, ClipsCache, Dataset, Making, Pictures, Prepared, Splits, Store, Undecoded, assemble, bytes_of,
    cache, with_flow,
};
use crate::remarks::Listed;
use crate::source::{Found, FoundPictures, Input, Keep, Origin, Progress, Source};

/// Finds, decodes and checks all pictures or clips of `source`, or opens the cache that an earlier
/// call left.
///
/// Pictures are decoded on all cores; their order, by class and file name for folders, as in the
/// files for CIFAR, does not depend on that. A cache that is incomplete, damaged, or not of the
/// files as they are now is made anew.
///
/// Clips in files are cached, and of them only those are decoded that the cache lacks. Their optical
/// flow, where that is the [`Input`], has a cache of its own, which is made from the frames in the
/// first; that of `motion` is computed anew each time. Where they are not to be kept ([`Keep::None`]), they are decoded
/// once all the same, to know which can be, and how many frames they have; that alone is written down.
///
/// `progress` is told how far it is, from one thread at a time; where optical flow is the input the
/// count begins anew when all clips are decoded.
///
/// # Errors
/// A [`DataError`] for whatever is missing or broken; of broken pictures in a folder, for all of
/// them at once.
pub fn load(source: &Source, progress: &(dyn Fn(&Building) + Sync)) -> Result<Splits, DataError> {
    match find(source)? {
        Kept::Clips(clips) => clips.load(progress),
        Kept::Undecoded(found) => Ok(undecoded(found)),
        Kept::Given(splits) => Ok(splits),
        Kept::Uniform(origin) => Ok(load_uniform(source, &*origin, progress)?.0),
    }
}

/// Samples that have been found, and how they are kept.
enum Kept {
    Uniform(Box<dyn Origin>),
    Undecoded(FoundPictures),
    Clips(ClipsCache),
    Given(Splits),
}

fn find(source: &Source) -> Result<Kept, DataError> {
    source.validate()?;
    let found = match source.find()? {
        Found::Uniform(origin) => return Ok(Kept::Uniform(origin)),
        Found::Pictures(found) if source.kept() == Keep::None => return Ok(Kept::Undecoded(found)),
        Found::Pictures(found) => return Ok(Kept::Uniform(Box::new(found))),
        Found::Given(splits) => return Ok(Kept::Given(splits)),
        Found::Clips(found) => found,
    };
    let making = Making {
        keep: source.kept(),
        form: source.form(),
        input: source.input,
        broken: source.broken,
        duplicates: source.duplicates,
        ledger: source.ledger(),
        max_pixels: source.max_pixels,
    };
    Ok(Kept::Clips(ClipsCache::new(found, making, &source.cache_folder()?)?))
}

/// As [`load`], of a kind whose samples all have one shape: any but clips in files. With the number of
/// samples that were in the cache before.
fn load_uniform(
    source: &Source,
    origin: &dyn Origin,
    progress: &(dyn Fn(&Building) + Sync),
) -> Result<(Splits, usize), DataError> {
    let stage = |what| {
        let begun = Instant::now();
        move |done, total| {
            let seconds = begun.elapsed().as_secs_f64();
            progress(&Building { what, done, total, seconds, ..Building::default() });
        }
    };
    let (splits, found) = decode(source, origin, &stage(if source.kind.has_clips() { "clips" } else { "pictures" }))?;
    match source.input {
        Input::Rgb => Ok((splits, found)),
        Input::Flow => Ok((with_flow(splits, &stage("flow"))?, found)),
    }
}

/// Decodes, or generates, or opens the cache; with the number of samples that were there before.
fn decode(source: &Source, origin: &dyn Origin, progress: Progress) -> Result<(Splits, usize), DataError> {
    let (store, decoded, was_there) = match source.kept() {
        Keep::Cache => cache::load(&source.cache_name(), origin, &source.cache_folder()?, progress)?,
        Keep::Memory | Keep::None => {
            let mut pixels = Vec::new();
            let decoded = origin.decode(&mut pixels, progress)?;
            (Store::Memory(pixels), decoded, false)
        }
    };
    let splits = assemble(store, decoded, origin)?;
    source.duplicates.check(&splits.remarks.shared)?;
    let found = if was_there { splits.train.len() + splits.test.len() } else { 0 };
    Ok((splits, found))
}

/// Does what [`load`] does for the sake of the cache that it leaves, and tells how far it is.
///
/// # Errors
/// Those of [`load`].
pub fn prepare(source: &Source, progress: &(dyn Fn(&Building) + Sync)) -> Result<Prepared, DataError> {
    match find(source)? {
        Kept::Clips(clips) => clips.prepare(progress),
        Kept::Undecoded(_) => Err(DataError::setting(
            "data.keep",
            "`none` where a cache is to be made",
            "`cache`, or use the data as it is",
        )),
        Kept::Given(_) => Err(DataError::setting(
            "data.kind",
            "`given` where a cache is to be made",
            "that of data in files; what a program gives is in memory",
        )),
        Kept::Uniform(origin) => prepare_uniform(source, &*origin, progress),
    }
}

fn prepare_uniform(
    source: &Source,
    origin: &dyn Origin,
    progress: &(dyn Fn(&Building) + Sync),
) -> Result<Prepared, DataError> {
    let begun = Instant::now();
    let (splits, found) = load_uniform(source, origin, progress)?;
    Ok(Prepared {
        clips: splits.train.len() + splits.test.len(),
        bytes: bytes_of(&splits),
        seconds: begun.elapsed().as_secs_f64(),
        found,
        remarks: splits.remarks,
        cache: match source.kept() {
            Keep::Cache => Some(source.cache_folder()?),
            Keep::Memory | Keep::None => None,
        },
    })
}

/// Reads all that is in the cache of `source` and verifies its checksums. Nothing is decoded, save
/// that pictures without a cache are loaded.
///
/// # Errors
/// Those of [`load`], but for what is damaged, which [`Checked`] names.
pub fn check(source: &Source) -> Result<Checked, DataError> {
    let origin = match find(source)? {
        Kept::Clips(clips) => return clips.check(),
        Kept::Undecoded(found) => return check_undecoded(source, &found),
        Kept::Given(splits) => {
            let clips = splits.train.len() + splits.test.len();
            return Ok(Checked { clips, bytes: bytes_of(&splits), ..Checked::default() });
        }
        Kept::Uniform(origin) => origin,
    };
    // Flow that is kept in memory needs no check.
    let source = Source { input: Input::Rgb, ..source.clone() };
    let begun = Instant::now();
    if source.kept() == Keep::Cache
        && let Some((path, opened)) = cache::verify(&source.cache_name(), &*origin, &source.cache_folder()?)?
    {
        let mut checked = Checked { seconds: begun.elapsed().as_secs_f64(), ..Checked::default() };
        match opened {
            Some((store, decoded)) => {
                let splits = assemble(store, decoded, &*origin)?;
                (checked.clips, checked.bytes) = (splits.train.len() + splits.test.len(), bytes_of(&splits));
                checked.remarks = splits.remarks;
            }
            None => checked.damaged.add(&path, "cut off, altered, or of other files than there are now"),
        }
        return Ok(checked);
    }
    let Prepared { clips, bytes, seconds, remarks, .. } = prepare_uniform(&source, &*origin, &|_| {})?;
    Ok(Checked { clips, bytes, seconds, absent: 0, damaged: Listed::default(), remarks })
}

/// Pictures that are decoded when they are looked at.
fn undecoded(found: FoundPictures) -> Splits {
    let FoundPictures { settings, classes, test_name, places, labels: [train, test], remarks, .. } = found;
    let dataset = |first, labels| {
        let pictures = Pictures::new(places.clone(), first, settings.form);
        Dataset::undecoded(Undecoded::Pictures(pictures), labels, classes.clone())
    };
    let first_of_test = train.len();
    Splits { train: dataset(0, train), test: dataset(first_of_test, test), test_name: test_name.into(), remarks }
}

/// Decodes all of them, which nothing else does.
fn check_undecoded(source: &Source, found: &FoundPictures) -> Result<Checked, DataError> {
    let begun = Instant::now();
    let mut bytes = 0;
    let looked = found.look(&|_, _| {}, |_, picture, _| {
        bytes += picture.pixels.len() as u64;
        Ok(())
    })?;
    let decoded = found.judge(looked)?;
    let remarks = found.remarks(&decoded);
    source.duplicates.check(&remarks.shared)?;
    let clips = decoded.labels.iter().map(Vec::len).sum();
    Ok(Checked { clips, bytes, seconds: begun.elapsed().as_secs_f64(), absent: 0, damaged: Listed::default(), remarks })
}
