//! Lists of one's own, as mmaction2 has them: `<path> <label>`, or `<folder> <frames> <label>`.

use std::path::Path;

use super::lists::Named;
use crate::error::DataError;
use crate::source::duplicates::Duplicates;
use crate::source::labelled::{Allowed, Labelled, What, by_lists};
use crate::source::unusable::Unusable;

pub(super) const KIND: &str = "list";

/// Finds the clips.
pub(super) fn find(
    path: &Path,
    lists: Option<&Path>,
    missing: Unusable,
    duplicates: Duplicates,
) -> Result<Named, DataError> {
    let allowed = Allowed { what: What::Clips, missing, duplicates };
    let Labelled { classes, at, test_name, files, labels } = by_lists(KIND, path, lists, allowed)?;
    let [train, test] = labels.map(|labels| labels.into_iter().map(usize::from));
    let [to_train, to_test] = files;
    let clips = [to_train.into_iter().zip(train).collect(), to_test.into_iter().zip(test).collect()];
    Ok(Named { classes, at, test_name, clips, sought: String::new() })
}
