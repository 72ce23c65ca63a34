//! Samples that the program itself has.

use std::sync::{PoisonError, RwLock};

use crate::error::DataError;
use crate::keep::Splits;

/// The keys of a recipe's `[data]` that it uses besides those that every kind does.
pub(super) const KEYS: &[&str] = &[];

static GIVEN: RwLock<Option<Splits>> = RwLock::new(None);

/// Gives the samples that `data.kind = "given"` stands for from now on: pictures, or clips of whatever frames. What a run leaves
/// behind is gone on with, measured and asked in a program that gives the same.
///
/// ```
/// use sdas_data::{Dataset, Kind, Source, Splits, give, load};
///
/// let names = || vec!["dark".to_owned(), "light".to_owned()];
/// let pixels = |values: &[u8]| values.iter().flat_map(|&value| [value; 4 * 4 * 3]).collect();
/// let train = Dataset::new(pixels(&[10, 20, 220, 240]), vec![0, 0, 1, 1], names(), [4, 4], 3)?;
/// let test = Dataset::new(pixels(&[15, 230]), vec![0, 1], names(), [4, 4], 3)?;
/// give(Splits { train, test, test_name: "test".to_owned(), remarks: Default::default() });
/// assert_eq!(load(&Source::new(Kind::Given), &|_| {})?.train.len(), 4);
/// # Ok::<(), sdas_data::DataError>(())
/// ```
pub fn give(splits: Splits) {
    *GIVEN.write().unwrap_or_else(PoisonError::into_inner) = Some(splits);
}

/// What was given.
pub(crate) fn given() -> Result<Splits, DataError> {
    let given = GIVEN.read().unwrap_or_else(PoisonError::into_inner);
    given.clone().ok_or_else(|| {
        DataError::setting(
            "data.kind",
            "`given`, but no program has given samples",
            "that of data in files, or give them before (`sdas_data::give`)",
        )
    })
}
