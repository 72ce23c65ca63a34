//! `sdas params`.

use super::{Outcome, say, say_json, sizes, spending_text};
use crate::arguments::ParamsArguments;
use crate::format::thousands;
use anyhow::bail;
use sdas::architecture::Architecture;
use sdas::genotype::Genotype;
use sdas::handmade::{Named, Sizes};
use sdas::network::{Counts, Network, NetworkShape};
use sdas::run::Folder;
use sdas::schedule::Spending;
use std::path::Path;

/// Counts what a network costs.
pub(crate) fn run(arguments: &ParamsArguments) -> anyhow::Result<Outcome> {
    match Architecture::resolve(&arguments.network)? {
        Architecture::Network(network) => handmade(network, arguments),
        Architecture::Cell(genotype) => derived(&genotype, arguments),
    }
}

/// A network that people made.
fn handmade(network: Named, arguments: &ParamsArguments) -> anyhow::Result<Outcome> {
    let sizes = sizes::of_network(network, &arguments.sizes)?;
    let counts = network.build(&sizes).counts(sizes.extent)?;
    check(&counts)?;
    if arguments.json {
        say_json(&counts)?;
    } else {
        let Sizes { extent: [frames, height, width], inputs, classes, .. } = sizes;
        let frames = if frames > 1 { format!("{frames} frames of ") } else { String::new() };
        let sizes =
            format!("For {} classes, {frames}{height} × {width} pixels in {inputs} channels.", thousands(classes));
        say(&format!(
            "{}\n{sizes} {FREE}; norms, pools and additions are free.\n",
            table(&[COUNTED[0], COUNTED[1]], &counts)
        ))?;
    }
    Ok(Outcome::Done)
}

/// The network that a cell gives.
fn derived(genotype: &Genotype, arguments: &ParamsArguments) -> anyhow::Result<Outcome> {
    let (shape, extent) = sizes::of_cell(genotype, &arguments.sizes)?;
    let build = |cells| Network::derived(genotype, NetworkShape { cells, ..shape });
    let counts = Counts::of(shape.cells, extent, build);
    check(&counts)?;
    let spending = spending(Path::new(&arguments.network))?;
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

/// Whether the counts are what they are.
fn check(counts: &Counts) -> anyhow::Result<()> {
    if !counts.are_exact() {
        bail!("the counts of a network of these sizes are beyond {}; make it smaller", thousands(usize::MAX));
    }
    Ok(())
}

/// A name and a count.
type Counted = (&'static str, fn(&Counts) -> usize);

const COUNTED: [Counted; 3] = [
    ("parameters", |counts| counts.parameters),
    ("multiply-adds", |counts| counts.multiply_adds),
    ("auxiliary head", |counts| counts.auxiliary_parameters),
];

/// What multiply-adds are.
const FREE: &str = "Multiply-adds are those of\nconvolutions and linear layers for one sample";

fn report(counts: &Counts) -> String {
    let lines = table(&[COUNTED[0], COUNTED[2], COUNTED[1]], counts);
    format!(
        "{lines}\nThe parameters do not hold the auxiliary head's, which is there in training only. {FREE} without the auxiliary \
         head; norms, pools and additions are free.\n"
    )
}

/// A line a count.
fn table(rows: &[Counted], counts: &Counts) -> String {
    let rows: Vec<(&str, String)> = rows.iter().map(|(name, count)| (*name, thousands(count(counts)))).collect();
    let width = rows.iter().map(|(_, number)| number.len()).max().unwrap_or(0);
    rows.into_iter().map(|(name, number)| format!("{name:14}  {number:>width$}\n")).collect()
}
