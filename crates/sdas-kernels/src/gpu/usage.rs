//! What a card is used for: launches and memory.

use super::flat::primitives;
use super::runs_on;
use burn::tensor::{Device, Tensor};
use cubecl::MemoryScope;
use cubecl::client::Client;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
struct Count(AtomicUsize);

impl LaunchObserver for Count {
    fn launched(&self, _kernel: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The kernels that the whole process launches while `body` runs. What is recorded and repeated counts once, when it is
/// recorded.
pub(crate) fn launches<R>(body: impl FnOnce() -> R) -> (R, usize) {
    let count = Arc::new(Count::default());
    let observation = LaunchObservation::new(count.clone());
    let result = body();
    drop(observation);
    (result, count.0.load(Ordering::Relaxed))
}

/// The way to a card.
pub(super) fn client(device: &Device) -> Option<Client> {
    let one = || Tensor::<1>::zeros([1], &device.clone().inner());
    runs_on(device).then(|| primitives(&[one()]).map(|tensors| tensors[0].client.clone())).flatten()
}

/// Bytes of a card's memory that this process has taken.
pub(crate) fn memory(device: &Device) -> Option<u64> {
    Some(client(device)?.memory_report(MemoryScope::Device).usage().bytes_reserved)
}
