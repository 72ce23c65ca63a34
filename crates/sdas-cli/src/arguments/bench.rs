//! What `sdas bench` is told.

use super::DeviceName;
use clap::{Args, Subcommand, ValueEnum, value_parser};
use sdas::bench::Width;
use sdas::space::Space;
use std::num::NonZeroUsize;

/// What to time.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// One step: its seconds, and its share of the machine's measured peak
    #[command(after_help = "Examples:\n  sdas bench step\n  sdas bench step --phase train --batch 32\n  \
                            sdas bench step --channels 8 --layers 5 --batch 4 --frames 8 --size 64\n  \
                            sdas bench step --space nb201 --layers 15 --batch 64 --device cuda")]
    Step(StepArguments),
}

/// `sdas bench step`.
#[derive(Debug, Args)]
pub(crate) struct StepArguments {
    /// A step of a search with nothing decided, or of the training of DARTS V2's network
    #[arg(long, value_enum, default_value = "search")]
    pub(crate) phase: PhaseName,
    /// The space that is searched: image, video, nb201, or s1 to s4 [default: image; video where there are several frames]
    #[arg(long)]
    pub(crate) space: Option<&'static Space>,
    /// Channels of the first cells
    #[arg(long, default_value = "16")]
    pub(crate) channels: NonZeroUsize,
    /// Number of cells
    #[arg(long, default_value = "8", value_parser = value_parser!(u64).range(3..))]
    pub(crate) layers: u64,
    /// Samples a step, of each half in a search
    #[arg(long, default_value = "16", value_parser = value_parser!(u64).range(2..))]
    pub(crate) batch: u64,
    /// Side of the pictures in pixels
    #[arg(long, default_value = "32", value_parser = value_parser!(u64).range(8..))]
    pub(crate) size: u64,
    /// Frames
    #[arg(long, default_value = "1")]
    pub(crate) frames: NonZeroUsize,
    /// Steps to time, after one that is not timed
    #[arg(long, default_value = "5")]
    pub(crate) steps: NonZeroUsize,
    /// Compute edges out of the tensor library's own operations, the reference
    #[arg(long)]
    pub(crate) portable: bool,
    /// The vectors to compute with on the processor: avx512, avx2, neon or plain [default: the widest that it has]
    #[arg(long, value_parser = width)]
    pub(crate) width: Option<Width>,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Print the measurements as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A width of vectors by its name, if this processor has it.
fn width(name: &str) -> Result<Width, String> {
    let available = Width::available();
    available.iter().copied().find(|width| width.name() == name).ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|width| width.name()).collect();
        format!("this processor has {}", names.join(", "))
    })
}

/// What a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PhaseName {
    /// α on one batch, then the weights on another
    Search,
    /// The weights
    Train,
}
