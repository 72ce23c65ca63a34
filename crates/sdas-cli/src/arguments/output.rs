//! What commands are told that show runs and networks or hand them over.

use super::{DeviceName, SizeArguments};
use clap::{Args, ValueEnum, value_parser};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// `sdas draw`.
#[derive(Debug, Args)]
pub(crate) struct DrawArguments {
    /// The cell: a genotype file, one of several cells in a file as FILE:NAME, a published cell's name, a run's folder, or
    /// NAS-Bench-201's text (|…~0|+|…~0|…~1|+…); or a network that people made, by its name or by the folder of its run
    #[arg(value_name = "CELL|NETWORK")]
    pub(crate) subject: String,
    /// Write an SVG or a PNG file, by its ending, instead of printing text
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<Drawing>,
}

/// A drawing's file.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    pub(crate) file: PathBuf,
    pub(crate) form: DrawingForm,
}

/// What a drawing can be written as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DrawingForm {
    Svg,
    Png,
}

impl FromStr for Drawing {
    type Err = String;

    /// A name without an ending, such as `/dev/stdout`, gets SVG.
    fn from_str(file: &str) -> Result<Self, String> {
        let file = PathBuf::from(file);
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let form = match ending.as_deref() {
            None | Some("svg") => DrawingForm::Svg,
            Some("png") => DrawingForm::Png,
            Some(other) => return Err(format!("a drawing can be a .svg or a .png, not a .{other}")),
        };
        Ok(Drawing { file, form })
    }
}

/// `sdas export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// A run's folder, whose trained network is exported; or a network without training, as its training begins: one that
    /// people made, by name (resnet20), or a cell's (a genotype file, one of several cells in a file as FILE:NAME, a published
    /// cell's name, or NAS-Bench-201's text, |…~0|+|…~0|…~1|+…)
    #[arg(value_name = "RUN|GENOTYPE|NETWORK")]
    pub(crate) network: String,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) to: ExportFormat,
    /// The file to write, or for pytorch the folder; what is there is replaced
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Of onnx: take 8-bit pixels, channels last, and give the probabilities of the classes; the run's mean and deviation are
    /// inside
    #[arg(long)]
    pub(crate) with_preprocessing: bool,
    /// Of onnx: norms taken into the convolutions before them, which is faster and cannot be trained on
    #[arg(long)]
    pub(crate) fold: bool,
    /// Of onnx: numbers of 16 bits, half the size; input and output have 32 all the same
    #[arg(long)]
    pub(crate) half: bool,
    /// Of onnx: weights in a file beside, FILE.data
    #[arg(long)]
    pub(crate) external_data: bool,
    /// Of a network without training, the seed that its weights follow from [default: 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Print what was written as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sizes: SizeArguments,
}

/// What a network can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A file for ONNX Runtime and what else reads ONNX: layers and weights
    Onnx,
    /// A folder that needs PyTorch alone: module, weights, configuration
    Pytorch,
    /// A file of weights and running statistics, by PyTorch's names
    Safetensors,
    /// A file of one line: the cell, as DARTS or NAS-Bench-201 writes it
    Genotype,
}

/// `sdas report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The folder of a run or of a comparison
    #[arg(value_name = "RUN|COMPARISON")]
    pub(crate) folder: PathBuf,
    /// The page
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
    /// The data set's folder, where it is not the one of the run
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to compute the predictions for the test set
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
}

/// `sdas watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// The folder of a run or of a comparison
    #[arg(value_name = "RUN|COMPARISON")]
    pub(crate) folder: PathBuf,
    /// Where to listen, as in 127.0.0.1:8000; on an address that is not of this machine alone, whoever reaches it can read the
    /// page [default: 127.0.0.1:7327, or another port where that is taken]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The data set's folder, where it is not the one of the run
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to compute the predictions for the test set, once the run is finished
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
}

/// `sdas tensorboard`.
#[derive(Debug, Args)]
pub(crate) struct TensorboardArguments {
    /// The folders of runs, or of comparisons
    #[arg(required = true, value_name = "RUN|COMPARISON")]
    pub(crate) folders: Vec<PathBuf>,
    /// Where to write, a folder for each run
    #[arg(short, long, value_name = "DIR", default_value = "tensorboard")]
    pub(crate) output: PathBuf,
}
