//! What `sdas data` is told.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with a recipe's data.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Decode everything into the cache, or go on with it
    #[command(after_help = "Example:\n  sdas data prepare ucf101-small --data arid6")]
    Prepare(DataArguments),
    /// Read everything in the cache and compare its checksums
    #[command(after_help = "Example:\n  sdas data check ucf101-small --data arid6")]
    Check(DataArguments),
    /// Download a data set, check it and unpack it; an interrupted download is gone on with
    #[command(after_help = "Sets:\n  \
                            cifar10, cifar100  pictures of 32×32 (170 MB)\n  \
                            imagenette         pictures of ten of ImageNet's classes, short side 160 (100 MB)\n  \
                            ucf101-lists, hmdb51-lists, kinetics-lists\n                     \
                            the official lists; it says where the clips are and where to put them\n  \
                            imagenet, ucf101, hmdb51, kinetics\n                     \
                            not fetched: it says where they are and where to put them\n\n\
                            It needs curl, and for hmdb51-lists bsdtar or unrar.\n\n\
                            Examples:\n  sdas data fetch cifar10\n  sdas data fetch ucf101-lists data/ucf101\n  \
                            sdas data fetch cifar10 --from https://mirror.example/cifar-10-binary.tar.gz")]
    Fetch(FetchArguments),
}

/// `sdas data fetch`.
#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The set's name
    pub(crate) set: String,
    /// The data set's folder, as --data takes it [default: one named after the set, in data]
    pub(crate) dir: Option<PathBuf>,
    /// Get it from this address instead: that of the file, or, ending in /, of the folder that it lies in. Sizes and
    /// checksums must be the published ones all the same
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Print what was fetched as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sdas data`.
#[derive(Debug, Args)]
pub(crate) struct DataArguments {
    /// A built-in recipe or a recipe file, or a run's folder
    pub(crate) recipe: String,
    /// The data set's folder (data.path of the recipe)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Override a value of the recipe, as in data.size=128; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print what was done as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
