//! Norms that go by the samples of several processes: what each has summed over its own is added up over all of them, there and
//! back.

use std::fmt;
use std::sync::Arc;

/// Who computes the same on other samples.
pub trait Others: Send + Sync {
    /// Adds numbers up over all, in place and in an order that is the same for everyone. It is called by all in the same order.
    fn sum(&self, numbers: &mut [f64]);
}

/// The parts of one batch that several processes compute.
#[derive(Clone)]
pub struct Together {
    /// Samples of all parts.
    pub samples: usize,
    /// Who has the others.
    pub others: Arc<dyn Others>,
}

impl Together {
    /// Adds lists of numbers up over all parts, with one message.
    pub(crate) fn sum<'a>(&self, lists: impl Iterator<Item = &'a mut Vec<f64>>) {
        let lists: Vec<&mut Vec<f64>> = lists.collect();
        let mut flat: Vec<f64> = lists.iter().flat_map(|list| list.iter().copied()).collect();
        if flat.is_empty() {
            return;
        }
        self.others.sum(&mut flat);
        let mut from = 0;
        for list in lists {
            let count = list.len();
            list.copy_from_slice(&flat[from..from + count]);
            from += count;
        }
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Together({} samples)", self.samples)
    }
}
