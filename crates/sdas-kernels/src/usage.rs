//! What a graphics card is used for.

use burn::tensor::Device;

/// What `body` gives, and how many kernels the process launched on cards meanwhile. Launches that are recorded count when
/// they are recorded, and not when they are repeated.
pub fn launches<R>(body: impl FnOnce() -> R) -> (R, usize) {
    #[cfg(feature = "gpu")]
    return crate::gpu::launches(body);
    #[cfg(not(feature = "gpu"))]
    (body(), 0)
}

/// Bytes of the device's own memory that this process has taken, in use or kept for what comes; `None` on the processor.
pub fn device_memory(device: &Device) -> Option<u64> {
    #[cfg(feature = "gpu")]
    return crate::gpu::memory(device);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = device;
        None
    }
}
