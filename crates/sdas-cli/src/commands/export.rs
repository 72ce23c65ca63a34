//! `sdas export`.

use super::{Outcome, program, say, say_json, shell_word, sizes};
use crate::arguments::{ExportArguments, ExportFormat};
use crate::display::Display;
use crate::format::thousands;
use crate::interrupt::STOP;
use anyhow::{Context as _, bail};
use sdas::architecture::Architecture;
use sdas::device::Place;
use sdas::export::{Numbers, OnnxSettings, Port, Subject, Written, to_onnx, to_safetensors, write_pytorch};
use sdas::genotype::Genotype;
use sdas::run::Context;
use std::path::Path;
use std::time::Instant;

/// The seed of a network without training, unless another is asked for.
const SEED: u64 = 1;

/// What was exported.
#[derive(Default)]
struct Export {
    written: Vec<Written>,
    /// What there is to say of it: a name and a text each.
    rows: Vec<(&'static str, String)>,
    /// What to do with it, as a command.
    next: String,
}

/// Writes a network in a format of others.
pub(crate) fn run(arguments: &ExportArguments) -> anyhow::Result<Outcome> {
    check(arguments)?;
    let start = Instant::now();
    let export = match arguments.to {
        ExportFormat::Genotype => genotype(arguments)?,
        ExportFormat::Safetensors => safetensors(arguments)?,
        ExportFormat::Onnx => onnx(arguments)?,
        ExportFormat::Pytorch => pytorch(arguments)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        say_json(&export.to_json(seconds))?;
    } else {
        say(&export.report(seconds))?;
    }
    Ok(Outcome::Done)
}

/// Whether the options are those of the format.
fn check(arguments: &ExportArguments) -> anyhow::Result<()> {
    let ExportArguments { to, with_preprocessing, fold, half, external_data, .. } = *arguments;
    let of_onnx = [
        ("--with-preprocessing", with_preprocessing),
        ("--fold", fold),
        ("--half", half),
        ("--external-data", external_data),
    ];
    match of_onnx.into_iter().find(|(_, given)| *given) {
        Some((option, _)) if to != ExportFormat::Onnx => bail!("{option} is for --to onnx"),
        _ => Ok(()),
    }
}

impl Export {
    fn to_json(&self, seconds: f64) -> serde_json::Value {
        let file = |file: &Written| serde_json::json!({ "file": file.path, "bytes": file.bytes });
        let files: Vec<_> = self.written.iter().map(file).collect();
        let rows = self.rows.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into()));
        let mut value = serde_json::Value::Object(rows.collect());
        value["files"] = files.into();
        value["seconds"] = seconds.into();
        value
    }

    fn report(self, seconds: f64) -> String {
        let mut rows = self.rows;
        for Written { path, bytes } in &self.written {
            rows.push(("written", format!("{}, {} bytes", path.display(), thousands(*bytes))));
        }
        rows.push(("took", format!("{seconds:.2} s")));
        let lines: String = rows.into_iter().map(|(name, text)| format!("{name:9} {text}\n")).collect();
        format!("{lines}\nnext:\n  {}\n", self.next)
    }
}

/// Writes the cell alone.
fn genotype(arguments: &ExportArguments) -> anyhow::Result<Export> {
    if let Some(option) = arguments.seed.map(|_| "--seed").or(arguments.sizes.given()) {
        bail!("{option} says nothing of a cell; leave it out with --to genotype");
    }
    if Path::new(&arguments.network).join("network.json").exists() {
        bail!("{} is the run of a network that people made, which has no cells", arguments.network);
    }
    let folder = Path::new(&arguments.network);
    if folder.join("config.toml").exists() && !folder.join("genotype.json").exists() {
        // What is missing of it is said by whoever reads the search.
        subject(arguments)?;
    }
    let text = Genotype::resolve(&arguments.network)?.to_text();
    Ok(Export {
        written: vec![Written::whole(&arguments.output, format!("{text}\n").as_bytes())?],
        rows: vec![("cell", text)],
        next: format!("{} train {}", program(), shell_word(&arguments.output)),
    })
}

fn safetensors(arguments: &ExportArguments) -> anyhow::Result<Export> {
    let subject = subject(arguments)?;
    let file = &arguments.output;
    let load = format!("from safetensors.torch import load_file; print(list(load_file({})))", python_string(file));
    Ok(Export {
        written: vec![Written::whole(file, &to_safetensors(&subject))?],
        rows: described(&subject),
        next: python(&load),
    })
}

fn pytorch(arguments: &ExportArguments) -> anyhow::Result<Export> {
    let (subject, folder) = (subject(arguments)?, &arguments.output);
    let load = format!("import torch; print(torch.hub.load({}, 'sdas', source='local'))", python_string(folder));
    Ok(Export { written: write_pytorch(&subject, folder)?, rows: described(&subject), next: python(&load) })
}

fn onnx(arguments: &ExportArguments) -> anyhow::Result<Export> {
    let (subject, file) = (subject(arguments)?, &arguments.output);
    let mut beside = file.clone().into_os_string();
    beside.push(".data");
    let beside = Path::new(&beside);
    let name = || {
        let name = beside.file_name().and_then(|name| name.to_str());
        name.map(str::to_owned).with_context(|| format!("the name of {} is not Unicode", beside.display()))
    };
    let settings = OnnxSettings {
        preprocessing: arguments.with_preprocessing,
        half: arguments.half,
        fold: arguments.fold,
        external: arguments.external_data.then(name).transpose()?,
    };
    let onnx = to_onnx(&subject, &settings)?;
    // The weights first: a model is there only with them.
    let data = onnx.data.as_ref().map(|data| Written::whole(beside, data)).transpose()?;
    let model = Written::whole(file, &onnx.model)?;
    let mut rows = described(&subject);
    rows.extend([("reads", port(&onnx.input)), ("gives", port(&onnx.output))]);
    let call = format!(
        "import numpy, onnxruntime; net = onnxruntime.InferenceSession({}); print(net.run(None, {{'{}': {}}}))",
        python_string(file),
        onnx.input.name,
        sample(&onnx.input, &subject),
    );
    Ok(Export { written: std::iter::once(model).chain(data).collect(), rows, next: python(&call) })
}

/// A line of Python's, as a shell takes it.
fn python(code: &str) -> String {
    let escaped = |character: char| if "\\\"$`".contains(character) { vec!['\\', character] } else { vec![character] };
    format!("python -c \"{}\"", code.chars().flat_map(escaped).collect::<String>())
}

/// A string of Python's.
fn python_string(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A sample for Python: as large as the network is made for, and of nothing.
fn sample(port: &Port, subject: &Subject) -> String {
    let [frames, height, width] = subject.extent;
    let size = |axis: &String| match axis.as_str() {
        "batch" => "1".to_owned(),
        "frames" => frames.to_string(),
        "height" => height.to_string(),
        "width" => width.to_string(),
        size => size.to_owned(),
    };
    format!("numpy.zeros(({}), '{}')", port.axes.iter().map(size).collect::<Vec<_>>().join(", "), port.numbers)
}

/// What a model reads or gives: `input float32 [batch, 3, height, width]`.
fn port(Port { name, numbers, axes }: &Port) -> String {
    format!("{name} {numbers} [{}]", axes.join(", "))
}

/// What is exported, and where its numbers are from.
fn described(subject: &Subject) -> Vec<(&'static str, String)> {
    let numbers: usize = subject.graph.weight_counts().iter().sum();
    let of = match &subject.architecture {
        Architecture::Cell(genotype) => format!("of a cell of the space {}", genotype.space),
        Architecture::Network(network) => network.name(),
    };
    let weights = match &subject.numbers {
        Numbers::Run(run) => format!("those of {}", run.display()),
        Numbers::Initial(seed) => {
            format!("not trained: as a training with seed {seed} begins; give a run's folder for trained ones")
        }
    };
    vec![("network", format!("{of}, {} parameters", thousands(numbers))), ("weights", weights)]
}

/// The network of a run, or one without training.
fn subject(arguments: &ExportArguments) -> anyhow::Result<Subject> {
    let ExportArguments { network, seed, sizes, .. } = arguments;
    let path = Path::new(network);
    if path.join("config.toml").exists() {
        if let Some(option) = seed.map(|_| "--seed").or(sizes.given()) {
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
            Subject::of_cell(&genotype, shape, extent, seed)?
        }
    })
}
