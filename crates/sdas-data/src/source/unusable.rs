//! What becomes of samples that cannot be used.

use serde::{Deserialize, Serialize};

/// What becomes of pictures or clips that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unusable {
    /// They are an error, that counts them all and names the first ten.
    #[default]
    Error,
    /// They are left out, counted, and the first ten named in [`Remarks`](crate::Remarks).
    Skip,
}
