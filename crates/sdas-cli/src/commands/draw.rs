//! `sdas draw`.

use super::{Outcome, say};
use crate::arguments::{DrawArguments, Drawing, DrawingForm};
use anyhow::Context as _;
use sdas::architecture::Architecture;
use sdas::draw::{Blocks, Picture, Scene, png, svg, to_text};
use sdas_data::whole::write_whole;
use std::fs;
use std::path::Path;

/// Draws a cell, or a network that people made.
pub(crate) fn run(arguments: &DrawArguments) -> anyhow::Result<Outcome> {
    let title = title(&arguments.subject);
    let name = network_of(Path::new(&arguments.subject))?.unwrap_or_else(|| arguments.subject.clone());
    let (text, draw): (String, Box<dyn Fn(DrawingForm) -> Vec<u8>>) = match Architecture::resolve(&name)? {
        Architecture::Cell(genotype) => {
            let picture = Picture::of(&genotype, &title);
            (to_text(&genotype), Box::new(move |form| bytes(&picture, form)))
        }
        Architecture::Network(network) => {
            let sizes = network.usual();
            let blocks = Blocks::of(&network.build(&sizes), sizes.extent, &title)?;
            (blocks.to_text(), Box::new(move |form| bytes(&blocks, form)))
        }
    };
    match &arguments.output {
        Some(Drawing { file, form }) => {
            write_whole(file, &draw(*form)).with_context(|| format!("cannot write {}", file.display()))?;
            say(&format!("drawn to {}\n", file.display()))?;
        }
        None => say(&text)?,
    }
    Ok(Outcome::Done)
}

fn bytes(picture: impl Into<Scene>, form: DrawingForm) -> Vec<u8> {
    match form {
        DrawingForm::Svg => svg(picture).into_bytes(),
        DrawingForm::Png => png(picture),
    }
}

/// The name of the network that people made, if the run in a folder trains one.
fn network_of(folder: &Path) -> anyhow::Result<Option<String>> {
    let file = folder.join("network.json");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
    Ok(value["network"].as_str().map(str::to_owned))
}

/// The last part of the cell's name or path; of a run's genotype file, the run's; of a cell written out, nothing.
fn title(subject: &str) -> String {
    if subject.starts_with('|') {
        return String::new();
    }
    let path = Path::new(subject);
    let path = if path.ends_with("genotype.json") { path.parent().unwrap_or(path) } else { path };
    let name = if path.is_file() { path.file_stem() } else { path.file_name() };
    name.map_or_else(|| "cell".to_owned(), |name| name.to_string_lossy().into_owned())
}
