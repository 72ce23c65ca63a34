//! Graphics cards: which this build reaches on this machine, with how much memory, and what is missing for the others. It is
//! asked before anything starts, since Burn's devices panic where something is missing.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod wgpu;

use burn::tensor::Device;

/// How a card is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// NVIDIA's own driver.
    Cuda,
    /// The system's graphics interface: Vulkan, Metal or DirectX 12.
    Wgpu,
}

impl Interface {
    /// All, the fastest first.
    pub const ALL: [Interface; 2] = [Interface::Cuda, Interface::Wgpu];

    /// The feature that builds it, and the device's name.
    pub fn name(self) -> &'static str {
        match self {
            Interface::Cuda => "cuda",
            Interface::Wgpu => "wgpu",
        }
    }

    /// The cards that are reached so on this machine.
    pub fn find(self) -> Found {
        match self {
            #[cfg(feature = "cuda")]
            Interface::Cuda => cuda::find(),
            #[cfg(feature = "wgpu")]
            Interface::Wgpu => wgpu::find(),
            #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
            _ => Found { cards: Vec::new(), lack: Some(Lack::NotBuilt { feature: self.name() }) },
        }
    }
}

/// What an interface has on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The cards, the best first.
    pub cards: Vec<Card>,
    /// What is missing to compute on them, or to know of any.
    pub lack: Option<Lack>,
}

/// A graphics card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// How it is reached.
    pub interface: Interface,
    /// As its maker calls it.
    pub name: String,
    /// What it is.
    pub kind: CardKind,
    /// Its number among those of its interface and kind.
    pub index: usize,
    /// Its own memory.
    pub memory: CardMemory,
}

impl Card {
    /// Its memory, what is free of it too where the driver tells, for which the card is brought up.
    pub fn memory_now(&self) -> CardMemory {
        match self.interface {
            #[cfg(feature = "cuda")]
            Interface::Cuda => cuda::memory(self.index),
            _ => self.memory,
        }
    }

    /// The device to compute on.
    pub fn device(&self) -> Device {
        match self.interface {
            #[cfg(feature = "cuda")]
            Interface::Cuda => Device::cuda(self.index),
            #[cfg(feature = "wgpu")]
            Interface::Wgpu => wgpu::device(self),
            #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
            _ => unreachable!("a build without {} finds no card of it", self.interface.name()),
        }
    }
}

/// What a card is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CardKind {
    /// A card of its own.
    Discrete,
    /// A part of the processor.
    Integrated,
    /// A virtual machine's.
    Virtual,
    /// The driver does not say.
    Other,
    /// None: the processor does a card's work, as Mesa's llvmpipe does.
    Software,
}

impl CardKind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            CardKind::Discrete => "discrete",
            CardKind::Integrated => "integrated",
            CardKind::Virtual => "virtual",
            CardKind::Other => "other",
            CardKind::Software => "software",
        }
    }
}

/// A card's memory in bytes, as far as its driver tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CardMemory {
    /// All that there is.
    pub total: Option<u64>,
    /// What nobody uses now.
    pub free: Option<u64>,
}

/// What is missing to compute on a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// The build.
    #[error("this build has no {feature}; build with it: cargo run --release --features {feature} -- …")]
    NotBuilt {
        /// The feature that has it.
        feature: &'static str,
    },
    /// NVIDIA's driver.
    #[error(
        "there is no NVIDIA driver (libcuda.so.1 or nvcuda.dll cannot be loaded)\n  remedy: install the driver of the card; a \
         card of another make is reached by wgpu"
    )]
    Driver,
    /// A driver that starts.
    #[error("NVIDIA's driver does not start: {message}\n  remedy: see what nvidia-smi says; reinstall the driver")]
    Start {
        /// What it says.
        message: String,
    },
    /// A card.
    #[error(
        "NVIDIA's driver has no card to offer\n  remedy: see what nvidia-smi says, and whether CUDA_VISIBLE_DEVICES hides it"
    )]
    Card,
    /// NVRTC.
    #[error(
        "CUDA's run-time compiler is missing (NVRTC: {name} is neither on the path of libraries nor in {looked})\n  remedy: \
         install the CUDA toolkit, or its packages nvrtc and cudart, and set CUDA_PATH to its folder if that is another"
    )]
    Compiler {
        /// The library.
        name: String,
        /// The folders.
        looked: String,
    },
    /// CUDA's headers.
    #[error(
        "CUDA's headers are missing (there is no folder {looked})\n  remedy: install the CUDA toolkit, or its packages nvrtc and \
         cudart, and set CUDA_PATH to its folder, which has include in it"
    )]
    Headers {
        /// Where they should be.
        looked: String,
    },
    /// An adapter.
    #[error(
        "the system's graphics interface (Vulkan, Metal or DirectX 12) has no card\n  remedy: install the card's driver; on \
         Debian and Ubuntu apt install libvulkan1 mesa-vulkan-drivers for AMD's and Intel's; vulkaninfo lists what there is"
    )]
    Adapter,
}

/// The memory of the card that a device is; nothing for the processor.
#[cfg(feature = "gpu")]
pub fn card_memory(device: &Device) -> Option<CardMemory> {
    use burn::backend::DispatchDevice;
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "cuda")]
        DispatchDevice::Cube(device @ cubecl::Device::Cuda(card)) => {
            // What a run of before has left in the pools is free, too.
            let client = device.client();
            let _ = client.memory_cleanup();
            let _ = cubecl::future::block_on(client.sync());
            Some(cuda::memory(card.index))
        }
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(cubecl::Device::Wgpu(card)) => Some(wgpu::memory(card)),
        DispatchDevice::Cube(_) => Some(CardMemory::default()),
        _ => None,
    }
}

/// Whether what a device records shares memory: both halves of a search's step then take what one takes.
pub fn recordings_share_memory(device: &Device) -> bool {
    #[cfg(feature = "cuda")]
    {
        use burn::backend::DispatchDevice;
        matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(cubecl::Device::Cuda(_)))
    }
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        false
    }
}

/// The memory of the card that a device is: a build without cards has none.
#[cfg(not(feature = "gpu"))]
pub fn card_memory(_: &Device) -> Option<CardMemory> {
    None
}
