//! What an edge of a cell computes, forward and backward, on Burn tensors.
//!
//! Activations are channels-last everywhere, `[N, T, H, W, C]`; an image is a clip of one frame. An [`Edge`] maps one
//! activation to another: the sum of its operations, each an [`Expression`], weighted by α or, once decided, alone. The
//! layers around the cells (preprocessing, stems) are edges of a single operation, so that a whole network is made of
//! one kind of block whose parameters lie in one flat tensor.

mod allocator;
mod by_hand;
mod cards;
mod cell;
mod crew;
mod edge;
mod elementary;
mod expression;
mod fused;
#[cfg(feature = "gpu")]
mod gpu;
mod grouped;
mod lanes;
mod linear;
mod peak;
mod portable;
mod recorded;
mod registers;
mod together;
mod usage;
mod weights;
mod width;

pub use allocator::Allocator;
pub use by_hand::is_by_hand;
pub use cards::{Card, CardKind, CardMemory, Found, Interface, Lack, card_memory, recordings_share_memory};
pub use cell::{CellOutput, Link, cell};
pub use edge::{Edge, Epsilon, Mode, Norm, Output, portably};
pub use elementary::{log_softmax, logarithm, power, relu, relu_of_sum, sigmoid, softmax, tanh};
pub use expression::{Expression, Extent, Padding, Pool, Stage};
pub use fused::{Descending, Descent, GradientNorm, approach, norm, release_memory};
pub use grouped::Convolution;
pub use linear::{linear, products};
pub use peak::{peak_bandwidth, peak_operations};
pub use recorded::{Recorded, Values};
pub use together::{Others, Together};
pub use usage::{device_memory, launches};
pub use weights::{Statistic, Weight, WeightKind};
pub use width::Width;
