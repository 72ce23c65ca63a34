//! What `sdas bench` is told.

use super::{DeviceName, SizeArguments};
use clap::{Args, Subcommand, value_parser};
use sdas::bench::Width;
use sdas::space::Space;
use std::num::NonZeroUsize;

/// What to time.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// One step of a search, or of a network's training: its seconds, and its share of the machine's measured peak
    #[command(after_help = "Examples:\n  sdas bench step\n  sdas bench step darts_v2 --batch 96\n  \
                            sdas bench step mobilenet_v1 --width 0.25 --size 64 --batch 64\n  \
                            sdas bench step --channels 8 --layers 5 --batch 4 --frames 8 --size 64\n  \
                            sdas bench step --share 4 --batch 256\n  \
                            sdas bench step --space nb201 --layers 15 --batch 64 --device cuda")]
    Step(StepArguments),
}

/// `sdas bench step`.
#[derive(Debug, Args)]
pub(crate) struct StepArguments {
    /// A network whose training's step is timed: a cell's by its name or file, or one that people made [default: none; a
    /// search step with nothing decided, of 16 channels and 8 cells]
    pub(crate) network: Option<String>,
    /// The space that is searched: image, video, nb201, or s1 to s4 [default: image; video where there are several frames]
    #[arg(long, conflicts_with = "network")]
    pub(crate) space: Option<&'static Space>,
    /// Parts of the channels of which the edges of a search work on the first, as with search.relaxation.kind=partial
    #[arg(long, value_name = "PARTS", conflicts_with = "network", default_value = "1")]
    pub(crate) share: NonZeroUsize,
    #[command(flatten)]
    pub(crate) sizes: SizeArguments,
    /// Samples a step, of each half in a search
    #[arg(long, default_value = "16", value_parser = value_parser!(u64).range(2..))]
    pub(crate) batch: u64,
    /// Steps to time, after one that is not timed
    #[arg(long, default_value = "5")]
    pub(crate) steps: NonZeroUsize,
    /// Compute edges out of the tensor library's own operations, the reference
    #[arg(long)]
    pub(crate) portable: bool,
    /// The vectors to compute with on the processor: avx512, avx2, neon or plain [default: the widest that it has]
    #[arg(long, value_parser = vectors)]
    pub(crate) vectors: Option<Width>,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Print the measurements as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Vectors by their name, if this processor has them.
fn vectors(name: &str) -> Result<Width, String> {
    let available = Width::available();
    available.iter().copied().find(|width| width.name() == name).ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|width| width.name()).collect();
        format!("this processor has {}", names.join(", "))
    })
}
