//! Frames of clips on disk: packed files of about a gigabyte, memory-mapped, and an index.
//!
//! The folder of a cache holds `index` (see [`index`]), `pack-0000`, `pack-0001`, …, and while it
//! is written to a lock. A clip's line is written after its frames have reached the disk, so at
//! whatever moment a build is killed, everything in the index is there. Frames are not read when a
//! cache is opened (there may be a terabyte of them): opening verifies the lines of the index and
//! that the packs are long enough, [`Packs::verify`] the checksums of all frames.
//!
//! Frames of clips that have changed since, or are not wanted any more, stay where they are until
//! the folder is deleted.
//!
//! Of clips that are not kept there is the index alone: what was counted when they were decoded.

mod build;
mod index;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

pub use build::Building;
pub(crate) use build::{Made, build};
pub(crate) use index::{Count, Header, Place};
use index::{Index, Line, Outcome};

use super::cache::map;
use super::dataset::Store;
use crate::error::DataError;
use crate::source::clips::Item;

/// An opened cache.
pub(crate) struct Packs {
    folder: PathBuf,
    channels: usize,
    lines: HashMap<String, Line>,
    packs: BTreeMap<u32, Arc<Store>>,
}

/// What a cache knows of an item.
#[derive(Debug, PartialEq)]
pub(crate) enum Known<'a> {
    /// Where its frames are.
    Packed(&'a Place),
    /// What its frames are, which are not kept.
    Counted(&'a Count),
    /// Why there are none.
    Broken(&'a str),
}

impl Packs {
    /// Opens the cache in `folder`; it is empty if there is none of this header.
    pub(crate) fn open(folder: &Path, header: &Header) -> Result<Self, DataError> {
        let path = folder.join(INDEX);
        let index = index::read(&path).map_err(DataError::read(&path))?;
        Self::of(folder, header, index)
    }

    fn of(folder: &Path, header: &Header, index: Index) -> Result<Self, DataError> {
        let lines = if index.header.as_ref() == Some(header) { index.lines } else { vec![] };
        let mut packs = Self {
            folder: folder.into(),
            channels: header.channels,
            lines: lines.into_iter().map(|line| (line.path.clone(), line)).collect(),
            packs: BTreeMap::new(),
        };
        packs.map_all()?;
        Ok(packs)
    }

    /// Maps the packs and forgets what lies beyond their ends.
    fn map_all(&mut self) -> Result<(), DataError> {
        let numbers: BTreeSet<u32> = self.places().map(|(_, place)| place.pack).collect();
        for number in numbers {
            let path = self.folder.join(pack_name(number));
            if let Ok(file) = File::open(&path) {
                let map = map(&file).map_err(DataError::read(&path))?;
                self.packs.insert(number, Arc::new(Store::Mapped(map)));
            }
        }
        let (packs, channels) = (&self.packs, self.channels);
        self.lines.retain(|_, line| match &line.outcome {
            Outcome::Packed(place) => packs
                .get(&place.pack)
                .is_some_and(|pack| place.end(channels).is_some_and(|end| end <= pack.bytes().len() as u64)),
            Outcome::Counted(_) | Outcome::Broken(_) | Outcome::Damaged => true,
        });
        Ok(())
    }

    fn places(&self) -> impl Iterator<Item = (&Line, &Place)> {
        self.lines.values().filter_map(|line| match &line.outcome {
            Outcome::Packed(place) => Some((line, place)),
            Outcome::Counted(_) | Outcome::Broken(_) | Outcome::Damaged => None,
        })
    }

    /// What is known of `item` as its file is now.
    pub(crate) fn find(&self, item: &Item) -> Option<Known<'_>> {
        let line = self.lines.get(&item.key).filter(|line| line.stamp == item.stamp)?;
        match &line.outcome {
            Outcome::Packed(place) => Some(Known::Packed(place)),
            Outcome::Counted(count) => Some(Known::Counted(count)),
            Outcome::Broken(words) => Some(Known::Broken(words)),
            Outcome::Damaged => None,
        }
    }

    /// The pack of this number, which a [`Place`] of this cache names.
    pub(crate) fn store(&self, number: u32) -> &Arc<Store> {
        &self.packs[&number]
    }

    /// The bytes at `place`, which is one of this cache's.
    pub(crate) fn bytes(&self, place: &Place) -> &[u8] {
        &self.store(place.pack).bytes()[place.offset as usize..][..place.bytes(self.channels) as usize]
    }

    /// Verifies the frames of those of `items` that are there, on all cores; those that do not have
    /// their checksum are struck from the index, so that the next build makes them anew, and
    /// returned.
    pub(crate) fn verify<'a>(&self, items: &'a [Item]) -> Result<Vec<&'a Item>, DataError> {
        let damaged: Vec<_> = items
            .par_iter()
            .filter(|item| match self.find(item) {
                Some(Known::Packed(place)) => crc32fast::hash(self.bytes(place)) != place.crc,
                Some(Known::Counted(_) | Known::Broken(_)) | None => false,
            })
            .collect();
        if !damaged.is_empty() {
            let lines = damaged.iter().map(|item| Line {
                path: item.key.clone(),
                stamp: item.stamp,
                outcome: Outcome::Damaged,
            });
            writer::strike(&self.folder, lines)?;
        }
        Ok(damaged)
    }
}

const INDEX: &str = "index";

fn pack_name(number: u32) -> String {
    format!("pack-{number:04}")
}
