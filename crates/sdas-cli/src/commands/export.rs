//! `sdas export`.

use super::{Outcome, say, say_json, sizes};
use crate::arguments::{ExportArguments, ExportFormat};
use crate::display::Display;
use crate::interrupt::STOP;
use anyhow::{Context as _, bail};
use sdas::architecture::Architecture;
use sdas::device::Place;
use sdas::export::{Subject, Written, to_safetensors, write_pytorch};
use sdas::genotype::Genotype;
use sdas::run::Context;
use std::path::Path;
use std::time::Instant;

/// The seed of a network without training, unless another is asked for.
const SEED: u64 = 1;

/// Writes a network in a format of others.
pub(crate) fn run(arguments: &ExportArguments) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let written = match arguments.to {
        ExportFormat::Genotype => genotype(arguments)?,
        ExportFormat::Safetensors => {
            let subject = subject(arguments)?;
            vec![Written::whole(&arguments.output, &to_safetensors(&subject))?]
        }
        ExportFormat::Onnx => bail!("--to onnx is not there yet"),
        ExportFormat::Pytorch => write_pytorch(&subject(arguments)?, &arguments.output)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        let files: Vec<_> =
            written.iter().map(|file| serde_json::json!({ "file": file.path, "bytes": file.bytes })).collect();
        say_json(&serde_json::json!({ "files": files, "seconds": seconds }))?;
    } else {
        let lines = written.iter().map(|file| format!("{}  {} bytes\n", file.path.display(), file.bytes));
        say(&format!("{}took {seconds:.2} s\n", lines.collect::<String>()))?;
    }
    Ok(Outcome::Done)
}

/// Writes the cell alone.
fn genotype(arguments: &ExportArguments) -> anyhow::Result<Vec<Written>> {
    let genotype = Genotype::resolve(&arguments.network)?;
    let text = format!("{}\n", genotype.to_text());
    Ok(vec![Written::whole(&arguments.output, text.as_bytes())?])
}

/// The network of a run, or one without training.
fn subject(arguments: &ExportArguments) -> anyhow::Result<Subject> {
    let ExportArguments { network, seed, sizes, .. } = arguments;
    let path = Path::new(network);
    if path.join("config.toml").exists() {
        let given = seed.map(|_| "--seed").or(sizes.given());
        if let Some(option) = given {
            bail!("{option} is for a network without training; that of {} is as it was trained", path.display());
        }
        let mut display = Display::new();
        let device = Place::resolve("cpu")?.device();
        let context = Context { device, observer: &mut display, stop: &STOP };
        return Ok(Subject::of_run(path, context)?);
    }
    let seed = seed.unwrap_or(SEED);
    Ok(match Architecture::resolve(network)? {
        Architecture::Network(named) => Subject::of_network(named, &sizes::of_network(named, sizes)?, seed)?,
        Architecture::Cell(genotype) => {
            let (shape, extent) = sizes::of_cell(&genotype, sizes)?;
            Subject::of_cell(&genotype, shape, extent, seed).context("the cell gives no network of layers")?
        }
    })
}
