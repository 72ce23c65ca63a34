//! Which samples, in which order, and batches of what is seen of them.

mod loader;
pub mod split;

pub use loader::{Batch, Epoch, Last, Loader, LoaderSettings, Order, Part, Share};
