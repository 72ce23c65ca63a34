//! `sdas draw`.

use super::{Outcome, say};
use crate::arguments::{DrawArguments, Drawing, DrawingForm};
use anyhow::{Context as _, bail};
use sdas::draw::{Picture, png, svg, to_text};
use sdas::genotype::Genotype;
use std::fs;
use std::path::Path;

/// Draws a cell.
pub(crate) fn run(arguments: &DrawArguments) -> anyhow::Result<Outcome> {
    if Path::new(&arguments.genotype).join("network.json").exists() {
        bail!("{} is the run of a network that people made, which has no cells to draw", arguments.genotype);
    }
    let genotype = Genotype::resolve(&arguments.genotype)?;
    match &arguments.output {
        Some(Drawing { file, form }) => {
            let picture = Picture::of(&genotype, &title(&arguments.genotype));
            let bytes = match form {
                DrawingForm::Svg => svg(&picture).into_bytes(),
                DrawingForm::Png => png(&picture),
            };
            fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
            say(&format!("drawn to {}\n", file.display()))?;
        }
        None => say(&to_text(&genotype))?,
    }
    Ok(Outcome::Done)
}

/// The last part of the cell's name or path; of a run's genotype file, the run's; of a cell written out, nothing.
fn title(genotype: &str) -> String {
    if genotype.starts_with('|') {
        return String::new();
    }
    let path = Path::new(genotype);
    let path = if path.ends_with("genotype.json") { path.parent().unwrap_or(path) } else { path };
    let name = if path.is_file() { path.file_stem() } else { path.file_name() };
    name.map_or_else(|| "cell".to_owned(), |name| name.to_string_lossy().into_owned())
}
