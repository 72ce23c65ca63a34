//! Computations that a graphics card records once and then repeats.

#[cfg(feature = "gpu")]
use crate::edge::is_portable;
use burn::tensor::Tensor;
use std::hash::Hash;
#[cfg(feature = "gpu")]
use std::sync::{Mutex, PoisonError};

/// What goes into a recorded computation or comes out of it: tensors in groups that lie side by side.
pub type Values = Vec<Vec<Tensor<1>>>;

/// Computations that are done over and over with other numbers, one after another. A graphics card records the launches of each
/// at its second time and repeats them from then on, so that the host's work for each of them is done once; elsewhere it is
/// just done.
///
/// While one is recorded, nothing may be read from the device or written to it: it must depend on the values of its inputs
/// through tensors alone.
#[derive(Debug, Default)]
pub struct Recorded {
    #[cfg(feature = "gpu")]
    recorder: Mutex<crate::gpu::Recorder>,
}

/// A copy has recorded nothing yet.
impl Clone for Recorded {
    fn clone(&self) -> Self {
        Recorded::default()
    }
}

impl Recorded {
    /// What `compute` makes of `inputs`. It has to be the same computation under the same name as long as `structure` is the
    /// same; with another one, all recordings are forgotten. With inputs of other sizes than it was recorded with, it is done
    /// anew.
    pub fn run(
        &self,
        name: &'static str,
        structure: impl Hash,
        inputs: Values,
        compute: impl Fn(Values) -> Values,
    ) -> Values {
        #[cfg(feature = "gpu")]
        if !is_portable() {
            let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(outputs) = recorder.run(name, structure, &inputs, &compute) {
                return outputs;
            }
        }
        #[cfg(not(feature = "gpu"))]
        let _ = (name, structure);
        compute(inputs)
    }
}
