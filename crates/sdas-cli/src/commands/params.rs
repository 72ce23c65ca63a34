//! `sdas params`.

use super::{Outcome, say, say_json};
use crate::arguments::{ParamsArguments, StemName};
use crate::format::thousands;
use anyhow::{anyhow, bail};
use sdas::genotype::Genotype;
use sdas::network::{Counts, Network, NetworkShape, Stem};
use std::num::NonZeroUsize;

/// Counts what a network costs.
pub(crate) fn run(arguments: &ParamsArguments) -> anyhow::Result<Outcome> {
    let genotype = Genotype::resolve(&arguments.genotype)?;
    let stem = match arguments.stem {
        StemName::Cifar => Stem::Cifar,
        StemName::Imagenet => Stem::Imagenet,
        StemName::Video => Stem::Video,
    };
    genotype.space.check_stem(stem).map_err(|message| anyhow!("--stem {message}"))?;
    let [channels, cells] = genotype.space.usual;
    let shape = NetworkShape {
        channels: arguments.channels.map_or(channels, NonZeroUsize::get),
        cells: arguments.layers.map_or(cells, NonZeroUsize::get),
        classes: arguments.classes.get(),
        inputs: 3,
        stem,
        auxiliary: true,
    };
    let size = arguments.size.get();
    let frames = arguments.frames.map_or(if stem == Stem::Video { 16 } else { 1 }, NonZeroUsize::get);
    let build = |cells| Network::derived(&genotype, NetworkShape { cells, ..shape });
    let counts = Counts::of(shape.cells, [frames, size, size], build);
    if !counts.are_exact() {
        bail!("the counts of a network of these sizes are beyond {}; make it smaller", thousands(usize::MAX));
    }
    if arguments.json {
        say_json(&counts)?;
    } else {
        say(&report(&counts))?;
    }
    Ok(Outcome::Done)
}

fn report(counts: &Counts) -> String {
    let Counts { parameters, auxiliary_parameters, multiply_adds, .. } = *counts;
    let rows = [("parameters", parameters), ("auxiliary head", auxiliary_parameters), ("multiply-adds", multiply_adds)];
    let rows = rows.map(|(name, number)| (name, thousands(number)));
    let width = rows.iter().map(|(_, number)| number.len()).max().unwrap_or(0);
    let lines: String = rows.into_iter().map(|(name, number)| format!("{name:14}  {number:>width$}\n")).collect();
    format!(
        "{lines}\nThe parameters do not hold the auxiliary head's, which is there in training only. Multiply-adds are those of\n\
         convolutions and linear layers for one sample without the auxiliary head; norms, pools and additions are free.\n"
    )
}
