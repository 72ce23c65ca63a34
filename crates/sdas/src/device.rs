//! Where a run computes.

use burn::tensor::Device;

/// A device that this build does not have.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Known, but not built in.
    #[error("this build has no {name}; build with it: cargo run --release --features {name} -- …")]
    NotBuilt {
        /// The device.
        name: String,
    },
    /// Unknown.
    #[error("unknown device \"{name}\"; there are cpu, wgpu and cuda")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// The device called `name`: `cpu`, `wgpu` or `cuda`.
///
/// # Errors
///
/// If there is none of that name, or it was not built in.
pub fn choose(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(not(all(feature = "wgpu", feature = "cuda")))]
        "wgpu" | "cuda" => Err(DeviceError::NotBuilt { name: name.to_owned() }),
        other => Err(DeviceError::Unknown { name: other.to_owned() }),
    }
}
