//! Where a run computes: devices by name, and which there are.

use serde::{Serialize, Serializer};
use std::fmt;

pub use burn::tensor::Device;
pub use sdas_kernels::{Allocator, Card, CardKind, CardMemory, Found, Interface, Lack};

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Known, but something is missing.
    #[error("{name}: {lack}")]
    Lacking {
        /// The device.
        name: &'static str,
        /// What is missing.
        lack: Lack,
    },
    /// A card is asked for, and there is none.
    #[error("gpu: there is no graphics card to compute on{}", listed(.lacks))]
    NoCard {
        /// What every interface lacks, or nothing where it has a card that is none.
        lacks: Vec<(Interface, Option<Lack>)>,
    },
    /// Unknown.
    #[error("unknown device \"{name}\"; there are {}", NAMES.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

fn listed(lacks: &[(Interface, Option<Lack>)]) -> String {
    let line = |(interface, lack): &(Interface, Option<Lack>)| {
        let name = interface.name();
        let lack = lack.as_ref().map_or_else(
            || format!("there is only software that does a card's work; --device {name} computes with it all the same"),
            |lack| lack.to_string().replace('\n', "\n  "),
        );
        format!("\n  {name}: {lack}")
    };
    lacks.iter().map(line).collect()
}

/// What a device can be called.
pub const NAMES: [&str; 5] = ["auto", "gpu", "cpu", "wgpu", "cuda"];

/// Where a run computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the processor.
    Processor,
    /// On a graphics card.
    Card(Card),
}

impl Place {
    /// The place called `name`: `cpu`, the best card of `wgpu` or `cuda`, the best of both (`gpu`), or that where there is
    /// one and the processor otherwise (`auto`).
    ///
    /// # Errors
    ///
    /// If there is none of that name, or what it needs is missing.
    pub fn resolve(name: &str) -> Result<Place, DeviceError> {
        Place::resolve_nth(name, 0)
    }

    /// The same for one of several processes on this machine, by its number: where there are several cards as good as the best,
    /// each takes another, and after the last the first again.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub fn resolve_nth(name: &str, number: usize) -> Result<Place, DeviceError> {
        Place::among(name, number, Interface::find)
    }

    fn among(name: &str, number: usize, find: impl Fn(Interface) -> Found) -> Result<Place, DeviceError> {
        if let Some(interface) = Interface::ALL.into_iter().find(|interface| interface.name() == name) {
            let Found { cards, lack } = find(interface);
            return match (lack, nth(cards, number)) {
                (None, Some(card)) => Ok(Place::Card(card)),
                (lack, _) => Err(DeviceError::Lacking { name: interface.name(), lack: lack.unwrap_or(Lack::Adapter) }),
            };
        }
        match name {
            "cpu" => Ok(Place::Processor),
            "gpu" => best(number, find).map(Place::Card).map_err(|lacks| DeviceError::NoCard { lacks }),
            "auto" => Ok(best(number, find).map_or(Place::Processor, Place::Card)),
            other => Err(DeviceError::Unknown { name: other.to_owned() }),
        }
    }

    /// What Burn computes on.
    pub fn device(&self) -> Device {
        match self {
            Place::Processor => Device::flex(),
            Place::Card(card) => card.device(),
        }
    }
}

/// Its device, and what it is.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Processor => f.write_str("cpu, the processor"),
            Place::Card(card) => write!(f, "{}, {}", card.interface.name(), card.name),
        }
    }
}

/// A card by number among those that are as the first, going round.
fn nth(cards: Vec<Card>, number: usize) -> Option<Card> {
    let kind = cards.first()?.kind;
    let alike: Vec<Card> = cards.into_iter().filter(|card| card.kind == kind).collect();
    let at = number % alike.len();
    alike.into_iter().nth(at)
}

/// The best card that is one, of the first interface that has any, or another as good by number; or what each lacks.
fn best(number: usize, find: impl Fn(Interface) -> Found) -> Result<Card, Vec<(Interface, Option<Lack>)>> {
    let mut lacks = Vec::new();
    for interface in Interface::ALL {
        let Found { cards, lack } = find(interface);
        let card = nth(cards.into_iter().filter(|card| card.kind != CardKind::Software).collect(), number);
        match (card, lack) {
            (Some(card), None) => return Ok(card),
            (_, lack) => lacks.push((interface, lack)),
        }
    }
    Err(lacks)
}

/// The device called `name`; see [`Place::resolve`].
///
/// # Errors
///
/// If there is none of that name, or what it needs is missing.
pub fn choose(name: &str) -> Result<Device, DeviceError> {
    Ok(Place::resolve(name)?.device())
}

/// What this build and machine have.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The processor and every card, by each interface that reaches it.
    pub devices: Vec<Listed>,
    /// What is missing for others.
    pub missing: Vec<Missing>,
    /// What `auto` takes.
    pub auto: &'static str,
}

/// A device of a [`Listing`].
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What takes it.
    pub device: &'static str,
    /// As its maker calls it.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// Bytes of memory that it has, or that the system lets this program have, where that is known.
    pub memory: Option<u64>,
    /// Bytes of these that nobody uses now, where that is known.
    pub free: Option<u64>,
    /// Whether anything computes on it.
    pub usable: bool,
}

/// Something that is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// The device that it is missing for.
    pub device: &'static str,
    /// What, and how to get it.
    #[serde(serialize_with = "text")]
    pub lack: Lack,
}

fn text<S: Serializer>(lack: &Lack, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lack)
}

impl Listing {
    /// Looks what there is.
    pub fn new() -> Listing {
        let mut listing = Listing::among(|interface| {
            let mut found = interface.find();
            // A card has to be brought up to be asked.
            if found.lack.is_none() {
                found.cards.iter_mut().for_each(|card| card.memory = card.memory_now());
            }
            found
        });
        listing.devices[0].memory = crate::run::memory_limit();
        listing
    }

    fn among(find: impl Fn(Interface) -> Found) -> Listing {
        let processor = Listed {
            device: "cpu",
            name: format!("the processor, with {} vectors", sdas_kernels::Width::current().name()),
            kind: "processor",
            memory: None,
            free: None,
            usable: true,
        };
        let (mut devices, mut missing) = (vec![processor], Vec::new());
        for interface in Interface::ALL {
            let (device, Found { cards, lack }) = (interface.name(), find(interface));
            devices.extend(cards.into_iter().map(|Card { name, kind, memory, .. }| Listed {
                device,
                name,
                kind: kind.name(),
                memory: memory.total,
                free: memory.free,
                usable: lack.is_none(),
            }));
            missing.extend(lack.map(|lack| Missing { device, lack }));
        }
        let auto = best(0, find).map_or("cpu", |card| card.interface.name());
        Listing { devices, missing, auto }
    }
}

impl Default for Listing {
    fn default() -> Self {
        Listing::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(interface: Interface, kind: CardKind, name: &str) -> Card {
        Card { interface, name: name.to_owned(), kind, index: 0, memory: CardMemory::default() }
    }

    /// A machine with an NVIDIA card and one that is a part of the processor.
    fn both(interface: Interface) -> Found {
        let cards = match interface {
            Interface::Cuda => vec![card(interface, CardKind::Discrete, "A")],
            Interface::Wgpu => {
                vec![card(interface, CardKind::Discrete, "A"), card(interface, CardKind::Integrated, "B")]
            }
        };
        Found { cards, lack: None }
    }

    /// One whose driver is there, but no compiler.
    fn no_compiler(interface: Interface) -> Found {
        let lack = Lack::Compiler { name: "libnvrtc.so".to_owned(), looked: "/usr/local/cuda/lib64".to_owned() };
        Found { lack: (interface == Interface::Cuda).then_some(lack), ..both(interface) }
    }

    /// One without any card, where Mesa does a card's work.
    fn software(interface: Interface) -> Found {
        match interface {
            Interface::Cuda => Found { cards: Vec::new(), lack: Some(Lack::Driver) },
            Interface::Wgpu => Found { cards: vec![card(interface, CardKind::Software, "llvmpipe")], lack: None },
        }
    }

    /// A build without cards.
    fn not_built(interface: Interface) -> Found {
        Found { cards: Vec::new(), lack: Some(Lack::NotBuilt { feature: interface.name() }) }
    }

    fn resolve(name: &str, find: fn(Interface) -> Found) -> String {
        match Place::among(name, 0, find) {
            Ok(place) => place.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn auto_takes_the_best_card_and_the_processor_where_there_is_none() {
        assert_eq!(resolve("auto", both), "cuda, A");
        assert_eq!(resolve("auto", no_compiler), "wgpu, A");
        for find in [software, not_built] {
            assert_eq!(Place::among("auto", 0, find).unwrap(), Place::Processor);
        }
        assert_eq!(Listing::among(both).auto, "cuda");
        assert_eq!(Listing::among(software).auto, "cpu");
    }

    #[test]
    fn processes_side_by_side_take_a_card_each() {
        let four = |interface| {
            let one = |index| Card { index, ..card(interface, CardKind::Discrete, "A") };
            let cards = (0..4).map(one).chain([card(interface, CardKind::Integrated, "B")]).collect();
            Found { cards, lack: None }
        };
        let taken = |name: &str| -> Vec<usize> {
            let index = |number| match Place::among(name, number, four).unwrap() {
                Place::Card(card) if card.kind == CardKind::Discrete => card.index,
                other => panic!("{other}"),
            };
            (0..6).map(index).collect()
        };
        for name in ["auto", "gpu", "cuda", "wgpu"] {
            assert_eq!(taken(name), [0, 1, 2, 3, 0, 1], "{name}");
        }
        assert_eq!(Place::among("cpu", 3, four).unwrap(), Place::Processor);
    }

    #[test]
    fn gpu_is_a_card_or_says_what_is_missing_for_one() {
        assert_eq!(resolve("gpu", both), "cuda, A");
        assert_eq!(resolve("gpu", no_compiler), "wgpu, A");
        let text = resolve("gpu", software);
        assert!(
            text.starts_with("gpu: there is no graphics card to compute on\n  cuda: there is no NVIDIA driver"),
            "{text}"
        );
        assert!(
            text.contains("\n  wgpu: there is only software that does a card's work; --device wgpu computes"),
            "{text}"
        );
        let text = resolve("gpu", not_built);
        assert!(text.contains("--features cuda") && text.contains("--features wgpu"), "{text}");
    }

    #[test]
    fn a_device_by_its_name_is_that_or_an_error() {
        assert_eq!(resolve("wgpu", both), "wgpu, A");
        assert_eq!(resolve("wgpu", software), "wgpu, llvmpipe");
        assert_eq!(resolve("cpu", both), "cpu, the processor");
        let text = resolve("cuda", no_compiler);
        assert!(text.starts_with("cuda: CUDA's run-time compiler is missing (NVRTC: libnvrtc.so is "), "{text}");
        assert!(text.contains("/usr/local/cuda/lib64") && text.contains("CUDA_PATH"), "{text}");
        let text = resolve("cuda", not_built);
        assert_eq!(text, "cuda: this build has no cuda; build with it: cargo run --release --features cuda -- …");
        assert_eq!(resolve("tpu", both), "unknown device \"tpu\"; there are auto, gpu, cpu, wgpu, cuda");
    }

    #[test]
    fn what_cannot_be_used_is_listed_with_what_it_lacks() {
        let Listing { devices, missing, auto } = Listing::among(no_compiler);
        let told: Vec<_> = devices.iter().map(|listed| (listed.device, listed.kind, listed.usable)).collect();
        let wgpu = [("wgpu", "discrete", true), ("wgpu", "integrated", true)];
        assert_eq!(told, [("cpu", "processor", true), ("cuda", "discrete", false), wgpu[0], wgpu[1]]);
        assert!(matches!(&missing[..], [Missing { device: "cuda", lack: Lack::Compiler { .. } }]), "{missing:?}");
        assert_eq!(auto, "wgpu");
    }
}
