//! Networks that people made by hand: a short function each, which returns a [`Graph`].
//!
//! A definition says where it is from, and whose variant it is, since several share a name. Parameters and multiply-adds are
//! those that are published for it, and weights have torchvision's names where torchvision has the network. Where a definition
//! pads as TensorFlow does, means at the border are over what is there.

mod classic;
mod densenet;
mod inception;
mod inflated;
mod mobile;
mod residual3d;
mod resnet;
mod searched;
mod streams;
mod table;

pub use table::NETWORKS;

use crate::layers::Graph;
use sdas_kernels::Extent;

/// What a network is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Frames, height and width of the samples.
    pub extent: Extent,
    /// Channels of the samples.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
    /// Factor of the channels of every layer.
    pub width: f64,
}

impl Sizes {
    /// So many channels, times the width.
    fn wide(&self, channels: usize) -> usize {
        self.wide_in(channels, 1)
    }

    /// So many channels, times the width: the nearest multiple of `unit` that is not smaller by more than a tenth, as
    /// MobileNetV2 has it; where the width is 1 as they are.
    fn wide_in(&self, channels: usize, unit: usize) -> usize {
        if self.width == 1.0 {
            return channels;
        }
        let wanted = channels as f64 * self.width;
        let units = (wanted / unit as f64 + 0.5).floor().max(1.0);
        let units = if units * (unit as f64) < 0.9 * wanted { units + 1.0 } else { units };
        units as usize * unit
    }
}

/// A network of the table.
pub struct Handmade {
    /// Its name.
    pub name: &'static str,
    /// What it was published for.
    pub usual: Sizes,
    build: fn(&Sizes) -> Graph,
}

impl std::fmt::Debug for Handmade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Handmade {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A network that was asked for by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Named {
    network: &'static Handmade,
    /// Whether it is the network of a temporal segment network.
    segments: bool,
}

/// Before a picture network's name: the temporal segment network over it.
const SEGMENTS: &str = "tsn_";
/// Segments that TSN was published with.
const USUAL_SEGMENTS: usize = 3;

/// A name that no network has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no network is called \"{name}\"; {}", suggestion(name))]
pub struct UnknownNetwork {
    /// The name.
    pub name: String,
}

/// The names that begin as `name` does, as far as any do; all where none does.
fn suggestion(name: &str) -> String {
    let common = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let most = NETWORKS.iter().map(|network| common(network.name)).max().unwrap_or(0);
    let most = if most < 3 { 0 } else { most };
    let near: Vec<&str> = NETWORKS.iter().map(|network| network.name).filter(|known| common(known) >= most).collect();
    let which = if most == 0 { "there are" } else { "those with a name like it are" };
    format!("{which} {}", near.join(", "))
}

impl Named {
    /// The network with this name: one of [`NETWORKS`], or `tsn_` and the name of one of these for pictures.
    ///
    /// # Errors
    ///
    /// If there is none; the message says what there is.
    pub fn find(name: &str) -> Result<Named, UnknownNetwork> {
        let of = |name: &str| NETWORKS.iter().find(|network| network.name == name);
        let found = of(name).map(|network| Named { network, segments: false });
        let over = || {
            let network = of(name.strip_prefix(SEGMENTS)?)?;
            (network.usual.extent[0] == 1).then_some(Named { network, segments: true })
        };
        found.or_else(over).ok_or_else(|| UnknownNetwork { name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("{}{}", if self.segments { SEGMENTS } else { "" }, self.network.name)
    }

    /// What it was published for.
    pub fn usual(&self) -> Sizes {
        let Sizes { extent: [frames, height, width], .. } = self.network.usual;
        let frames = if self.segments { USUAL_SEGMENTS } else { frames };
        Sizes { extent: [frames, height, width], ..self.network.usual }
    }

    /// The network, made for something.
    pub fn build(&self, sizes: &Sizes) -> Graph {
        let graph = (self.network.build)(sizes);
        if self.segments { streams::segments(graph) } else { graph }
    }
}
