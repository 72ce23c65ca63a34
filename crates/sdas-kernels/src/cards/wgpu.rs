//! Cards that the system's graphics interface offers.

use super::{Card, CardKind, CardMemory, Found, Interface, Lack};
use burn::tensor::{Device, DeviceKind};
use cubecl::wgpu::wgpu::{self, DeviceType};
use cubecl::wgpu::{AutoGraphicsApi, WgpuDevice, WgpuDeviceKind};

pub(super) fn find() -> Found {
    let mut cards = cards();
    cards.sort_by_key(|card| (card.kind, card.index));
    let lack = cards.is_empty().then_some(Lack::Adapter);
    Found { cards, lack }
}

/// Those of the interface that the run time chooses: of the first that has a card, or else of the first that has anything.
fn cards() -> Vec<Card> {
    let mut software = Vec::new();
    for backend in AutoGraphicsApi::chain() {
        let cards = of(backend);
        if cards.iter().any(|card| card.kind != CardKind::Software) {
            return cards;
        }
        if software.is_empty() {
            software = cards;
        }
    }
    software
}

fn of(backend: wgpu::Backend) -> Vec<Card> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut cards: Vec<Card> = Vec::new();
    for adapter in cubecl::future::block_on(instance.enumerate_adapters(backend.into())) {
        let info = adapter.get_info();
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => CardKind::Discrete,
            DeviceType::IntegratedGpu => CardKind::Integrated,
            DeviceType::VirtualGpu => CardKind::Virtual,
            DeviceType::Other => CardKind::Other,
            DeviceType::Cpu => CardKind::Software,
        };
        let index = cards.iter().filter(|card| card.kind == kind).count();
        // Software has the machine's memory, whatever it says.
        let total = if kind == CardKind::Software { None } else { total(&adapter) };
        let memory = CardMemory { total, free: None };
        cards.push(Card { interface: Interface::Wgpu, name: info.name, kind, index, memory });
    }
    cards
}

pub(super) fn device(card: &Card) -> Device {
    Device::wgpu(match card.kind {
        CardKind::Discrete => DeviceKind::DiscreteGpu(card.index),
        CardKind::Integrated => DeviceKind::IntegratedGpu(card.index),
        CardKind::Virtual => DeviceKind::VirtualGpu(card.index),
        CardKind::Software => DeviceKind::Cpu,
        // Burn has no name for those.
        CardKind::Other => DeviceKind::DefaultDevice,
    })
}

pub(super) fn memory(device: &WgpuDevice) -> CardMemory {
    let (kind, index) = match device.kind {
        WgpuDeviceKind::DiscreteGpu(index) => (CardKind::Discrete, index),
        WgpuDeviceKind::IntegratedGpu(index) => (CardKind::Integrated, index),
        WgpuDeviceKind::VirtualGpu(index) => (CardKind::Virtual, index),
        WgpuDeviceKind::Cpu => (CardKind::Software, 0),
        _ => (CardKind::Other, 0),
    };
    let card = cards().into_iter().find(|card| card.kind == kind && card.index == index);
    card.map_or(CardMemory::default(), |card| card.memory)
}

/// The largest part of the card's own memory. WebGPU itself does not tell, Vulkan does.
#[cfg(not(target_os = "macos"))]
#[allow(unsafe_code)]
fn total(adapter: &wgpu::Adapter) -> Option<u64> {
    // `MemoryHeapFlags::DEVICE_LOCAL`.
    const LOCAL: u32 = 1;
    // SAFETY: the adapter outlives what is asked of it, which changes nothing.
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        adapter.shared_instance().raw_instance().get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = &properties.memory_heaps[..properties.memory_heap_count as usize];
    heaps.iter().filter(|heap| heap.flags.as_raw() & LOCAL != 0).map(|heap| heap.size).max()
}

#[cfg(target_os = "macos")]
fn total(_: &wgpu::Adapter) -> Option<u64> {
    None
}
