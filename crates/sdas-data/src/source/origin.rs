//! What every kind of samples can do that come one by one: be found, told apart, and decoded in order.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::remarks::Remarks;

/// Told after every few samples how many are made, of how many in both splits; called from one
/// thread at a time.
pub(crate) type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A data set that has been found but not decoded.
pub(crate) trait Origin {
    /// A hash of everything the decoded pictures depend on.
    fn fingerprint(&self) -> Result<u64, DataError>;

    /// Names of the classes.
    fn classes(&self) -> &[String];

    /// `test` or `val`.
    fn test_name(&self) -> &'static str;

    /// What there is to say of what was decoded.
    fn remarks(&self, _: &Decoded) -> Remarks {
        Remarks::default()
    }

    /// Appends all pictures to train on, then all to test on, to `sink`.
    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError>;
}

/// Takes decoded pictures, in order.
pub(crate) trait Sink {
    /// Told once, before the first picture, how many bytes there will be.
    fn reserve(&mut self, bytes: usize) -> Result<(), DataError>;

    /// Takes the next bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError>;
}

/// What is known of decoded samples besides their pixels.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Decoded {
    /// Frames of each.
    pub(crate) frames: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Labels of the pictures to train on and to test on.
    pub(crate) labels: [Vec<u16>; 2],
    /// Files that are left out because they cannot be decoded, by number, each with the reason.
    pub(crate) broken: Vec<(usize, String)>,
    /// Files of equal samples, by number, each with the first such.
    pub(crate) equal: Vec<[usize; 2]>,
}
