//! The command line.

mod bench;
mod data;
mod output;

pub(crate) use bench::{BenchCommand, StepArguments};
pub(crate) use data::{DataArguments, DataCommand, FetchArguments};
pub(crate) use output::{
    DrawArguments, Drawing, DrawingForm, ExportArguments, ExportFormat, ReportArguments, TensorboardArguments,
    WatchArguments,
};

use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use sdas::architecture::Scale;
use sdas::table::{TRUTH, VALIDATION};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Searches, trains and evaluates networks for pictures and clips.
#[derive(Debug, Parser)]
#[command(
    name = "sdas",
    version,
    after_help = "Example:\n  sdas search shapes\n\n\
                  Exit status:\n  \
                  0    done\n  \
                  1    something failed\n  \
                  2    wrong usage, or a recipe or data that cannot be\n  \
                  3    another process is at it\n  \
                  130  stopped by Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP, after a checkpoint: the same command goes on"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Search for a cell
    #[command(
        after_help = "Examples:\n  sdas search\n  sdas search cifar10 --data data/cifar-10-batches-bin --seed 2\n  \
                            sdas search shapes --set search.epochs=10 --out runs/short\n  \
                            sdas search --resume runs/shapes-seed1\n\n\
                            The same command again, with the same --out, goes on where it stopped."
    )]
    Search(SearchArguments),
    /// Train the network that a cell gives
    #[command(after_help = "Examples:\n  sdas train runs/shapes-seed1\n  \
                            sdas train darts_v2 cifar10-train --data data/cifar-10-batches-bin\n  \
                            sdas train --resume runs/shapes-train-seed1\n\n\
                            The same command again, with the same --out, goes on where it stopped.")]
    Train(TrainArguments),
    /// Measure a run's network on the test set, those of several runs together, or a network with the weights of a file
    #[command(after_help = "Examples:\n  sdas eval runs/shapes-train-seed1\n  \
                            sdas eval runs/rgb runs/flow --shares 1,1.5\n  \
                            sdas eval runs/shapes-train-seed1 --weights finetuned.safetensors\n  \
                            sdas eval resnet18 my-recipe.toml --weights resnet18.pth")]
    Eval(EvalArguments),
    /// Ask a network what is in pictures or clips
    #[command(after_help = "Examples:\n  sdas predict runs/folder-train-seed1 photo.jpg another.png\n  \
                            sdas predict runs/folder-train-seed1 photos --csv --top 1 >photos.csv\n  \
                            curl -s https://example.org/cat.jpg | sdas predict runs/folder-train-seed1 -\n  \
                            sdas predict runs/clips-train-seed1 long.mp4 --every 1\n  \
                            sdas predict resnet18 my-recipe.toml photo.jpg --weights resnet18.pth")]
    Predict(PredictArguments),
    /// Decode a recipe's data into its cache ahead of time, or check what is there
    #[command(subcommand)]
    Data(DataCommand),
    /// Compare search methods over several seeds: search, train and test each, with honest statistics
    #[command(after_help = "Methods:\n  \
                            sdas      the recipe as it is\n  \
                            das       everything decided at the end, as DARTS does\n  \
                            random    cells drawn at random, no search\n  \
                            confidence, margin, certainty, strength, sgas1, sgas2, random_order\n            \
                            the recipe with edges decided in this order\n  \
                            shrink    the recipe with operations decided: the weakest of all edges goes\n  \
                            snas, gdas, beta-darts, darts-minus, pc-darts\n            \
                            das with what these add to it; sdas-gdas and so on: sdas with it\n  \
                            NAME      what the recipe has as [methods.NAME]: the keys that it changes\n\
                            With --table, which looks up what is found instead of training it, also searches that ask for\n\
                            accuracies of trained cells:\n  \
                            evolution, reinforce, predictor, best_of\n\n\
                            Examples:\n  sdas compare shapes --seeds 5\n  \
                            sdas compare cifar10-small --data cifar-10-batches-bin --methods sdas,das --seeds 3\n  \
                            sdas compare shapes --methods sdas,late --set methods.late.search.schedule.end=0.8\n  \
                            sdas compare shapes --table nb201.csv --methods evolution,reinforce,random --seeds 20\n\n\
                            The same command again goes on where it stopped; with more seeds, or with more methods\n\
                            beside those before, it adds to what is there. On a cluster any number of machines do parts of\n\
                            one comparison: --list prints them, --part does one, --part left whatever is left.")]
    Compare(CompareArguments),
    /// Look up a cell in a table of trained cells: its accuracies, and its rank among all
    #[command(after_help = "Example:\n  sdas lookup '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+\
                            |skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|' --table nb201.csv")]
    Lookup(LookupArguments),
    /// Draw a cell, or the layers of a network that people made, as text, SVG or PNG
    #[command(
        after_help = "Examples:\n  sdas draw darts_v2\n  sdas draw resnet18 -o resnet18.svg\n  sdas draw runs/shapes-seed1 -o cell.svg\n  \
                            sdas draw genotypes.py:PDARTS -o cell.png"
    )]
    Draw(DrawArguments),
    /// Write a network for others: ONNX, PyTorch, its weights, its cell
    #[command(after_help = "Examples:\n  sdas export runs/shapes-train-seed1 --to onnx -o net.onnx\n  \
                            sdas export runs/shapes-train-seed1 --to onnx --with-preprocessing --fold -o net.onnx\n  \
                            sdas export runs/shapes-train-seed1 --to pytorch -o net\n  \
                            sdas export resnet20 --to safetensors -o resnet20.safetensors\n  \
                            sdas export runs/shapes-seed1 --to genotype -o cell.txt")]
    Export(ExportArguments),
    /// Write a run or a comparison as one HTML page to look at: the cell as it grew, curves, mistakes, costs
    #[command(after_help = "Examples:\n  sdas report runs/shapes-seed1\n  \
                            sdas report runs/compare-shapes -o comparison.html")]
    Report(ReportArguments),
    /// Show that page to a browser on this machine, and keep it current while the run goes on
    #[command(after_help = "Example:\n  sdas watch runs/shapes-seed1")]
    Watch(WatchArguments),
    /// Write runs, or a comparison's runs, for TensorBoard
    #[command(after_help = "Examples:\n  sdas tensorboard runs/shapes-seed1 -o events\n  \
                            sdas tensorboard runs/compare-shapes -o events && tensorboard --logdir events\n\n\
                            A run writes the same itself, while it goes on, with --set run.tensorboard=true.")]
    Tensorboard(TensorboardArguments),
    /// Count the parameters and multiply-adds of a network that people made, or that a cell gives
    #[command(
        after_help = "Examples:\n  sdas params resnet18\n  sdas params mobilenet_v1 --width 0.25 --classes 10 --size 96\n  \
                            sdas params darts_v2\n  \
                            sdas params darts_v2 --channels 48 --layers 14 --classes 1000 --size 224 --stem imagenet"
    )]
    Params(ParamsArguments),
    /// Time what a run is made of, on random pictures
    #[command(subcommand)]
    Bench(BenchCommand),
    /// List the processor and the graphics cards that this program can compute on, and how to get others
    #[command(after_help = "Example:\n  sdas devices")]
    Devices(DevicesArguments),
    /// Write what completes this program's words in a shell, or its manual pages
    #[command(after_help = "Examples:\n  sdas completions bash >~/.local/share/bash-completion/completions/sdas\n  \
                            sdas completions --man ~/.local/share/man/man1")]
    Completions(CompletionsArguments),
    /// List the built-in recipes
    #[command(after_help = "Example:\n  sdas recipes")]
    Recipes,
}

/// Where a run computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// A graphics card if there is one that this program can use, else the processor
    Auto,
    /// The best graphics card
    Gpu,
    /// The processor
    Cpu,
    /// A graphics card, through the system's graphics interface
    Wgpu,
    /// An NVIDIA card
    Cuda,
}

impl DeviceName {
    /// Who builds the program for cards wants theirs to be used.
    const DEFAULT: &str = if cfg!(any(feature = "wgpu", feature = "cuda")) { "auto" } else { "cpu" };

    /// The name as the library knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DeviceName::Auto => "auto",
            DeviceName::Gpu => "gpu",
            DeviceName::Cpu => "cpu",
            DeviceName::Wgpu => "wgpu",
            DeviceName::Cuda => "cuda",
        }
    }
}

/// `sdas completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell whose script goes to standard output
    #[arg(required_unless_present = "man")]
    pub(crate) shell: Option<Shell>,
    /// Write a manual page for every command into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    pub(crate) man: Option<PathBuf>,
}

/// `sdas devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Print what there is as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What searching and training have in common.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The data set's folder (data.path of the recipe)
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) data: Option<PathBuf>,
    /// The run's folder; a run of this recipe that it holds is gone on with [default: a new one under runs/, named after recipe
    /// and seed]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// The seed that everything random follows from
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Override a value of the recipe, as in search.epochs=10; may be repeated
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    pub(crate) set: Vec<String>,
    /// Go on with the interrupted run in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Of several ranks under mpirun, end all when one has not answered for so long; while data is loaded, for 24 times as long
    #[cfg(feature = "mpi")]
    #[arg(long, value_name = "SECONDS", default_value = "1800", value_parser = value_parser!(u64).range(1..))]
    pub(crate) rank_timeout: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sdas search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// A built-in recipe or a recipe file [default: shapes]
    #[arg(conflicts_with = "resume")]
    pub(crate) recipe: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// `sdas train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// The network that a cell gives (a genotype file, one of several cells in a file as FILE:NAME, a published cell's name, a
    /// run's folder, or NAS-Bench-201's text, |…~0|+|…~0|…~1|+…), or one that people made by its name (resnet20)
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) network: Option<String>,
    /// A built-in recipe or a recipe file [default: the recipe of the run the cell is from, else shapes]
    #[arg(conflicts_with = "resume")]
    pub(crate) recipe: Option<String>,
    /// Begin with the weights of a file (.safetensors, .pth, by PyTorch's names) or of another training's folder; a classifier
    /// of other classes is left to chance
    #[arg(long, value_name = "FILE|RUN", conflicts_with = "resume")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// A network's numbers, where they are not those of its run, and what that needs.
#[derive(Debug, Args)]
pub(crate) struct WeightsArguments {
    /// Take the network's numbers from a file (.safetensors, .pth, by PyTorch's names) or from a training's folder; all of
    /// them must fit
    #[arg(long, value_name = "FILE|RUN")]
    pub(crate) weights: Option<PathBuf>,
    /// The data set's folder, where it is not the one of the run or of the recipe
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Override a value of a network's recipe, as in data.size=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "weights")]
    pub(crate) set: Vec<String>,
}

/// `sdas eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    /// The runs' folders; of several, the probabilities are averaged (late fusion). With --weights one run, or a network as
    /// `sdas train` names it and the recipe that would train it [default: shapes]
    #[arg(required = true, value_name = "RUN|NETWORK [RECIPE]")]
    pub(crate) networks: Vec<String>,
    /// The runs' shares of the mean, separated by commas, as in 1,1.5 [default: all the same]
    #[arg(long, value_delimiter = ',', value_name = "SHARE", conflicts_with = "weights")]
    pub(crate) shares: Vec<f64>,
    #[command(flatten)]
    pub(crate) given: WeightsArguments,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Print the measurements as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sdas compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// A built-in recipe or a recipe file: what all methods share
    #[arg(default_value = "shapes")]
    pub(crate) recipe: String,
    /// The methods, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "METHOD",
        default_value = "sdas,das,random",
        default_value_if("networks", ArgPredicate::IsPresent, None)
    )]
    pub(crate) methods: Vec<String>,
    /// Networks that are trained as they are, separated by commas: by name (resnet20, darts_v2), or a cell or a run's folder
    /// by a name of your own (found:runs/shapes-seed1). Without --methods these alone
    #[arg(long, value_delimiter = ',', value_name = "NAME[:WHAT]", conflicts_with = "table")]
    pub(crate) networks: Vec<String>,
    /// Bring every network to the largest channels or width that keep this: parameters=0.5e6 or multiply_adds=5e6
    #[arg(long, value_name = "COUNT=NUMBER", conflicts_with = "table")]
    pub(crate) at: Option<Scale>,
    /// Run every method with the seeds 1 to N
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// Run so many parts (a method with a seed) side by side, each in a process with its share of the threads: two runs of
    /// one thread are done sooner than one of two after another
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) parallel: NonZeroUsize,
    /// Print the parts, one a line, in the order of their worth to a comparison that is not finished, and where each stands
    #[arg(long, conflicts_with = "part")]
    pub(crate) list: bool,
    /// Do one part alone: by its number in the list, which counts from 0, or its name; auto takes the number from
    /// SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. Or, as one of several workers, whatever is left and nobody else does
    #[arg(long, value_name = "N|METHOD:SEED|auto|left", value_parser = part, overrides_with = "part")]
    pub(crate) part: Option<PartName>,
    /// The data set's folder (data.path of the recipe)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Train nothing: look up what is found in this table of all trained cells of the recipe's space, a CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    /// The table's column that is the truth
    #[arg(long, value_name = "NAME", default_value = TRUTH, requires = "table")]
    pub(crate) column: String,
    /// The table's column that methods see which ask for accuracies
    #[arg(long, value_name = "NAME", default_value = VALIDATION, requires = "table")]
    pub(crate) validation: String,
    /// The comparison's folder [default: runs/compare-RECIPE]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Override a value of the recipe, as in search.epochs=10; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print what it comes to as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of a comparison is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartName {
    /// The part of this number.
    Number(usize),
    /// That of a method and a seed.
    Of { method: String, seed: u64 },
    /// That of the index that a scheduler gives. Only where it is asked for: a variable that happens to be set must not change
    /// what a command does.
    Index,
    /// Whatever is left.
    Left,
}

fn part(text: &str) -> Result<PartName, String> {
    let named = || {
        let (method, seed) = text.rsplit_once(':')?;
        Some(PartName::Of { method: method.to_owned(), seed: seed.parse().ok()? })
    };
    match text {
        "auto" => Ok(PartName::Index),
        "left" => Ok(PartName::Left),
        _ => {
            let number = text.parse().ok().map(PartName::Number);
            number.or_else(named).ok_or_else(|| "write a number, METHOD:SEED, auto or left".to_owned())
        }
    }
}

/// `sdas predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// The run's folder; with --weights also a network as `sdas train` names it, which the recipe follows that would train it
    #[arg(value_name = "RUN|NETWORK RECIPE")]
    pub(crate) network: String,
    /// The pictures or clips; folders of them, at any depth; or - for one that comes on standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) given: WeightsArguments,
    /// Of videos of any length, say what is in every so many seconds of them
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) every: Option<f64>,
    /// With --every, look at so much of the video around their middle [default: as much as the network sees of a clip]
    #[arg(long, value_name = "SECONDS", requires = "every", value_parser = seconds)]
    pub(crate) window: Option<f64>,
    /// How many classes to name of each
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) top: NonZeroUsize,
    /// Where to compute
    #[arg(long, value_enum, default_value = DeviceName::DEFAULT)]
    pub(crate) device: DeviceName,
    /// Print the predictions as JSON, an object a line
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print the predictions as CSV, a line for each class that is named
    #[arg(long)]
    pub(crate) csv: bool,
}

/// A time that is some.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds from 0.01 to 86400".to_owned())
}

/// `sdas lookup`.
#[derive(Debug, Args)]
pub(crate) struct LookupArguments {
    /// The cell, as the benchmark writes it
    pub(crate) genotype: String,
    /// The table: a CSV file with a line for every cell
    #[arg(long, value_name = "FILE")]
    pub(crate) table: PathBuf,
    /// Only this column of accuracies; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) column: Vec<String>,
    /// Print what is known of the cell as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sdas params`.
#[derive(Debug, Args)]
pub(crate) struct ParamsArguments {
    /// A network that people made, by name (resnet18, mobilenet_v1, r2plus1d_18, …), or a cell: a genotype file, one of several
    /// cells in a file as FILE:NAME, a published cell's name, a run's folder, or NAS-Bench-201's text (|…~0|+|…~0|…~1|+…)
    pub(crate) network: String,
    #[command(flatten)]
    pub(crate) sizes: SizeArguments,
    /// Print the counts as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The sizes of a network that is made, not read.
#[derive(Debug, Default, Args)]
pub(crate) struct SizeArguments {
    /// Channels of the first cells [default: as the literature of the space trains it, 36; 16 in nb201]
    #[arg(long)]
    pub(crate) channels: Option<NonZeroUsize>,
    /// Number of cells [default: as the literature of the space trains it, 20; 15 in nb201]
    #[arg(long)]
    pub(crate) layers: Option<NonZeroUsize>,
    /// Factor of the channels of a network that people made [default: 1]
    #[arg(long, value_name = "FACTOR", value_parser = width_factor)]
    pub(crate) width: Option<f64>,
    /// Number of classes [default: 10 for a cell; what a network that people made was published for]
    #[arg(long)]
    pub(crate) classes: Option<NonZeroUsize>,
    /// Side of the pictures in pixels [default: 32 for a cell; what a network that people made was published for]
    #[arg(long)]
    pub(crate) size: Option<NonZeroUsize>,
    /// Frames of a clip [default: 16 with the video stem, else 1; what a network that people made was published for]
    #[arg(long)]
    pub(crate) frames: Option<NonZeroUsize>,
    /// What comes before the first cell [default: cifar]
    #[arg(long, value_enum)]
    pub(crate) stem: Option<StemName>,
}

impl SizeArguments {
    /// The first option that is given, if any is.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let SizeArguments { channels, layers, width, classes, size, frames, stem } = self;
        let options = [
            ("--channels", channels.is_some()),
            ("--layers", layers.is_some()),
            ("--width", width.is_some()),
            ("--classes", classes.is_some()),
            ("--size", size.is_some()),
            ("--frames", frames.is_some()),
            ("--stem", stem.is_some()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

/// A factor that channels can have.
fn width_factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| *factor > 0.0 && *factor <= WIDEST);
    factor.ok_or_else(|| format!("a width is a number above 0 and up to {WIDEST}"))
}

/// The most that channels can be multiplied with: more is a mistake.
const WIDEST: f64 = 100.0;

/// What comes before the first cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StemName {
    /// One convolution that keeps the size
    Cifar,
    /// Convolutions that bring the size down to an eighth
    Imagenet,
    /// For clips
    Video,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn resuming_needs_no_genotype_and_takes_no_recipe() {
        assert!(Arguments::try_parse_from(["sdas", "train", "--resume", "runs/a"]).is_ok());
        assert!(Arguments::try_parse_from(["sdas", "train"]).is_err());
        assert!(Arguments::try_parse_from(["sdas", "search", "shapes", "--resume", "runs/a"]).is_err());
    }
}
