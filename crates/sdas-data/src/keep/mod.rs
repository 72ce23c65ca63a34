//! How samples are kept: in memory, in a memory-mapped file, of clips in packs of frames, or not at all.

pub(crate) mod cache;
mod clips;
mod dataset;
mod flow;
mod packs;
mod undecoded;

use std::path::PathBuf;
use std::sync::Arc;

use memmap2::MmapMut;

use crate::decode::CHANNELS;
use crate::error::DataError;
use crate::remarks::{Listed, Remarks};
use crate::source::{Decoded, Origin, Sink};
pub(crate) use clips::{ClipsCache, Making};
pub use dataset::Dataset;
pub(crate) use dataset::{Sample, Store};
pub(crate) use flow::with_flow;
pub use packs::Building;
pub(crate) use undecoded::{Pictures, Undecoded};

/// The two splits of a data set; both have the same classes, and pictures have the same size.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Pictures to train on.
    pub train: Dataset,
    /// Pictures to test on.
    pub test: Dataset,
    /// What the data set calls the latter: `test` or `val`.
    pub test_name: String,
    /// What there is to say besides.
    pub remarks: Remarks,
}

/// What [`prepare`](crate::prepare) has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Clips, or pictures, that can be used, in both splits.
    pub clips: usize,
    /// Bytes of their frames, or of their flow where that is the input.
    pub bytes: u64,
    /// Time that it took.
    pub seconds: f64,
    /// Those of them that were in the cache before, that of flow where flow is the input.
    pub found: usize,
    /// What there is to say besides.
    pub remarks: Remarks,
    /// The cache's folder, that of flow where flow is the input; none if all is kept in memory.
    pub cache: Option<PathBuf>,
}

/// What [`check`](crate::check) has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// Clips, or pictures, that are in the cache as they should be, in both splits; where flow is the
    /// input, in both caches.
    pub clips: usize,
    /// Bytes of their frames, or of their flow where that is the input, all of which were read.
    pub bytes: u64,
    /// Time that it took.
    pub seconds: f64,
    /// Clips that are not in the cache, or were changed since.
    pub absent: usize,
    /// Clips whose frames, or flow, are not what was written. They are struck from the cache: whoever
    /// uses it next makes them anew. Of pictures, the cache that is not to be trusted.
    pub damaged: Listed,
    /// What there is to say besides, as far as the cache tells.
    pub remarks: Remarks,
}

pub(crate) fn bytes_of(splits: &Splits) -> u64 {
    let bytes = |dataset: &Dataset| match dataset.is_undecoded() {
        true => 0,
        false => (0..dataset.len()).map(|i| dataset.pixels(i).len() as u64).sum::<u64>(),
    };
    bytes(&splits.train) + bytes(&splits.test)
}

impl Sink for Vec<u8> {
    fn reserve(&mut self, bytes: usize) -> Result<(), DataError> {
        // Asked of the system, since an allocator may end the process instead of refusing.
        if bytes > 0 {
            MmapMut::map_anon(bytes).map_err(|_| DataError::Memory { bytes })?;
        }
        self.reserve_exact(bytes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// The datasets of samples that lie in `store`, those to train on first.
pub(crate) fn assemble(store: Store, decoded: Decoded, origin: &dyn Origin) -> Result<Splits, DataError> {
    let remarks = origin.remarks(&decoded);
    let Decoded { frames, size, labels, .. } = decoded;
    let store = Arc::new(store);
    let mut offset = 0;
    let mut dataset = |labels: &[u16]| {
        let samples = labels.iter().map(|&label| {
            let sample = Sample { store: 0, offset, frames: frames as u32, size: size.map(|side| side as u32), label };
            offset += (frames * size[0] * size[1] * CHANNELS) as u64;
            sample
        });
        let samples = samples.collect();
        Dataset::from_samples(vec![store.clone()], samples, origin.classes().to_vec(), CHANNELS)
    };
    Ok(Splits {
        train: dataset(&labels[0])?,
        test: dataset(&labels[1])?,
        test_name: origin.test_name().into(),
        remarks,
    })
}
