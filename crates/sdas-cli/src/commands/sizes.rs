//! The sizes of a network that is made: those that are asked for, and the usual ones.

use crate::arguments::{SizeArguments, StemName};
use anyhow::{anyhow, bail};
use sdas::genotype::Genotype;
use sdas::handmade::{Named, Sizes};
use sdas::network::{NetworkShape, Stem};
use std::num::NonZeroUsize;

/// Of a network that people made.
pub(super) fn of_network(network: Named, arguments: &SizeArguments) -> anyhow::Result<Sizes> {
    let of_cells = [
        ("--channels", arguments.channels.is_some()),
        ("--layers", arguments.layers.is_some()),
        ("--stem", arguments.stem.is_some()),
    ];
    if let Some((option, _)) = of_cells.into_iter().find(|(_, given)| *given) {
        bail!("{option} is for networks of cells; {} is made wider or narrower by --width", network.name());
    }
    let usual = network.usual();
    let [frames, height, width] = usual.extent;
    let side = |usual: usize| arguments.size.map_or(usual, NonZeroUsize::get);
    Ok(Sizes {
        extent: [arguments.frames.map_or(frames, NonZeroUsize::get), side(height), side(width)],
        classes: arguments.classes.map_or(usual.classes, NonZeroUsize::get),
        width: arguments.width.unwrap_or(usual.width),
        ..usual
    })
}

/// Of the network that a cell gives, and of its samples: frames, height and width.
pub(super) fn of_cell(genotype: &Genotype, arguments: &SizeArguments) -> anyhow::Result<(NetworkShape, [usize; 3])> {
    if arguments.width.is_some() {
        bail!("--width is for networks that people made; one of cells is made wider by --channels");
    }
    let stem = match arguments.stem.unwrap_or(StemName::Cifar) {
        StemName::Cifar => Stem::Cifar,
        StemName::Imagenet => Stem::Imagenet,
        StemName::Video => Stem::Video,
    };
    genotype.space.check_stem(stem).map_err(|message| anyhow!("--stem {message}"))?;
    let [channels, cells] = genotype.space.usual;
    let shape = NetworkShape {
        channels: arguments.channels.map_or(channels, NonZeroUsize::get),
        cells: arguments.layers.map_or(cells, NonZeroUsize::get),
        classes: arguments.classes.map_or(10, NonZeroUsize::get),
        inputs: 3,
        stem,
        auxiliary: true,
    };
    let size = arguments.size.map_or(32, NonZeroUsize::get);
    let frames = arguments.frames.map_or(if stem == Stem::Video { 16 } else { 1 }, NonZeroUsize::get);
    Ok((shape, [frames, size, size]))
}
