//! `sdas lookup`.

use super::{Outcome, say, say_json};
use crate::arguments::LookupArguments;
use crate::format::thousands;
use anyhow::Context;
use sdas::genotype::Genotype;
use sdas::space::NB201;
use sdas::table::{CellSpace, Entry, Table};

/// Looks up a cell.
pub(crate) fn run(arguments: &LookupArguments) -> anyhow::Result<Outcome> {
    let space = CellSpace::nas_bench_201();
    let genotype = Genotype::resolve(&arguments.genotype)?;
    let cell = space.cell(&genotype).with_context(|| {
        format!("{} is a cell of the space {}, but tables are of {NB201}", arguments.genotype, genotype.space)
    })?;
    let table = Table::read(&arguments.table, space)?;
    let mut entry = table.entry(&cell);
    if !arguments.column.is_empty() {
        arguments.column.iter().try_for_each(|name| table.column(name).map(|_| ()))?;
        entry.accuracies.retain(|standing| arguments.column.contains(&standing.column));
    }
    match arguments.json {
        true => say_json(&entry)?,
        false => say(&report(&entry))?,
    }
    Ok(Outcome::Done)
}

fn report(entry: &Entry) -> String {
    let head = ["column", "value", "regret", "rank", "of"].map(str::to_owned);
    let rows = entry.accuracies.iter().map(|standing| {
        [
            standing.column.clone(),
            format!("{:.2}", standing.value),
            format!("{:.2}", standing.regret),
            thousands(standing.rank),
            thousands(standing.cells),
        ]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let sizes = entry.sizes.iter().map(|(name, size)| (name.replace('_', "-"), thousands(*size as usize)));
    let sizes: Vec<_> = sizes.collect();
    let names = rows.iter().map(|row| &row[0]).chain(sizes.iter().map(|(name, _)| name));
    let first = names.map(String::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [1, 2, 3, 4].map(width);
    let mut text = format!("{}\n\n", entry.architecture);
    for row in &rows {
        text += &format!("{:first$}", row[0]);
        row[1..].iter().zip(widths).for_each(|(cell, width)| text += &format!("  {cell:>width$}"));
        text += "\n";
    }
    let width = sizes.iter().map(|(_, size)| size.len()).max().unwrap_or(0);
    let lines: Vec<_> = sizes.iter().map(|(name, size)| format!("{name:first$}  {size:>width$}\n")).collect();
    if lines.is_empty() { text } else { format!("{text}\n{}", lines.concat()) }
}
