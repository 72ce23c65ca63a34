//! `sdas params`.

use super::{Outcome, say, say_json, spending_text};
use crate::arguments::{ParamsArguments, StemName};
use crate::format::thousands;
use anyhow::{anyhow, bail};
use sdas::genotype::Genotype;
use sdas::network::{Counts, Network, NetworkShape, Stem};
use sdas::run::Folder;
use sdas::schedule::Spending;
use std::num::NonZeroUsize;
use std::path::Path;

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
    let spending = spending(Path::new(&arguments.genotype))?;
    if arguments.json {
        let mut value = serde_json::to_value(counts)?;
        if let Some(spending) = spending {
            value["budget"] = serde_json::to_value(spending)?;
        }
        say_json(&value)?;
    } else {
        let budget = spending.map_or(String::new(), |spending| {
            format!("\nThe search had a budget, of which its cell takes\n  {}\n", spending_text(&spending))
        });
        say(&format!("{}{budget}", report(&counts)))?;
    }
    Ok(Outcome::Done)
}

/// What the run in a folder took of its budget, if it is one and had one.
fn spending(path: &Path) -> anyhow::Result<Option<Spending>> {
    let Some(folder) = Some(path).filter(|path| path.is_dir()).and_then(|path| Folder::open(path).ok()) else {
        return Ok(None);
    };
    Ok(folder.result()?.and_then(|result| result.budget))
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
