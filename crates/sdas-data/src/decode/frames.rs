//! A clip whose frames are pictures in a folder, as tools for optical flow want them.

use std::path::{Path, PathBuf};

use super::decoder::{Form, LONGEST};
use super::picture::{EXTENSIONS, decode, scale};
use super::{Failure, Frames};
use crate::error::DataError;

/// How frames are called where there may be fields of flow beside them.
const FRAME: &str = "img_";

/// The pictures in `folder` that are its frames, in the order of their names: those called `img_…`, or else all.
pub(crate) fn frame_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = || DataError::read(folder);
    let mut files = vec![];
    for entry in folder.read_dir().map_err(read())? {
        let path = entry.map_err(read())?.path();
        if path.extension().is_some_and(|ending| EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known))) {
            files.push(path);
        }
    }
    let is_frame = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FRAME));
    if files.iter().any(is_frame) {
        files.retain(is_frame);
    }
    files.sort();
    Ok(files)
}

/// The frames in `folder`, or those of these numbers. Nothing says how long each is shown, so that `fps` changes nothing.
pub(crate) fn decode_frames(
    folder: &Path,
    form: &Form,
    max_pixels: u64,
    numbers: Option<&[usize]>,
) -> Result<Frames, Failure> {
    let files = frame_files(folder).map_err(Failure::Fatal)?;
    let files = match numbers {
        None => files,
        Some(numbers) => numbers.iter().filter_map(|&number| files.get(number).cloned()).collect(),
    };
    let mut frames = Frames { size: [0; 2], pixels: vec![] };
    let mut first = [0; 2];
    for file in files {
        let name = || file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let picture = decode(&file, max_pixels).map_err(|words| Failure::Broken(format!("{}: {words}", name())))?;
        if frames.pixels.is_empty() {
            (first, frames.size) = (picture.size, form.size_of(picture.size));
        }
        if picture.size != first {
            return Err(Failure::Broken(format!("{} is of another size than the frames before it", name())));
        }
        if frames.pixels.len() > LONGEST {
            return Err(Failure::Broken("more than 2 GiB of frames: set a smaller `size`, or take fewer".into()));
        }
        frames.pixels.extend(scale(&picture, picture.size, frames.size));
    }
    match frames.pixels.is_empty() {
        true => Err(Failure::Broken("it has no frame".into())),
        false => Ok(frames),
    }
}
