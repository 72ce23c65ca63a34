//! `sdas predict`.

use super::examinee::{is_run, of_run, of_words};
use super::{Outcome, device, say};
use crate::arguments::PredictArguments;
use crate::display::{Display, note};
use crate::format::{percent, thousands};
use crate::interrupt::STOP;
use anyhow::{Context as _, bail};
use sdas::evaluate::Examinee;
use sdas::predict::{Answers, Prediction, Predictor};
use sdas::run::Context;
use sdas_data::{Opened, Spooled, meant_files, spool};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What stands for standard input.
const INPUT: &str = "-";

/// Names the most probable classes of every file, as they become known. What cannot be used is named, and others go on.
pub(crate) fn run(arguments: &PredictArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let (examinee, files) = asked(arguments)?;
    let mut predictor = Predictor::open(&examinee, Context { device, observer: &mut display, stop: &STOP })?;
    let given = Given::new(files)?;
    let files = meant_files(&predictor.source(), &given.files)?;
    let begun = Instant::now();
    let mut printer = Printer { arguments, given: &given, count: 0, last: None };
    if arguments.csv {
        say("file,from,seconds,rank,class,probability\n")?;
    }
    let mut failed: Vec<(PathBuf, String)> = vec![];
    if let Some(every) = arguments.every {
        for file in &files {
            let words = predictor.video(file, every, arguments.window, &mut |prediction| printer.print(prediction))?;
            failed.extend(words.map(|words| (given.shown(file), words)));
        }
    } else {
        for files in files.chunks(predictor.batch()) {
            let Answers { predictions, failed: unusable } = predictor.files(files)?;
            predictions.into_iter().try_for_each(|prediction| printer.print(prediction))?;
            for (file, words) in unusable {
                let file = given.shown(&file);
                // A few are named in the end.
                if files.len() > 1 {
                    note(&format!("{}: {words}", file.display()));
                }
                failed.push((file, words));
            }
        }
    }
    if printer.count > 0 {
        let each = |seconds: f64| 1000.0 * seconds / printer.count as f64;
        note(&format!(
            "{} samples, {:.1} ms each, of which the network computed {:.1} ms",
            thousands(printer.count),
            each(begun.elapsed().as_secs_f64()),
            each(predictor.seconds())
        ));
    }
    match failed.is_empty() {
        true => Ok(Outcome::Done),
        false => Err(Opened::unusable(&predictor.source(), files.len(), failed).into()),
    }
}

/// The network, and what it is asked about.
fn asked(PredictArguments { network, files, given, .. }: &PredictArguments) -> anyhow::Result<(Examinee, &[PathBuf])> {
    if is_run(network) && given.data.is_some() {
        bail!("a run knows all that it needs of its data: leave out --data");
    }
    if given.weights.is_none() {
        return Ok((of_run(network)?, files));
    }
    if is_run(network) {
        return Ok((of_words(network, None, given)?, files));
    }
    let [recipe, files @ ..] = &files[..] else { unreachable!("there is one at least") };
    let recipe = recipe.to_str().with_context(|| format!("the name {} is not Unicode", recipe.display()))?;
    if files.is_empty() {
        bail!("{network} is a network: name a recipe after it, then the files");
    }
    Ok((of_words(network, Some(recipe), given)?, files))
}

/// The files, with standard input as one of them.
struct Given {
    files: Vec<PathBuf>,
    input: Option<Spooled>,
}

impl Given {
    fn new(names: &[PathBuf]) -> anyhow::Result<Self> {
        let is_input = |name: &PathBuf| name.as_os_str() == INPUT;
        let input = match names.iter().any(is_input) {
            true => Some(spool(&mut io::stdin().lock())?),
            false => None,
        };
        let file = |name: &PathBuf| match &input {
            Some(input) if is_input(name) => input.path().to_owned(),
            _ => name.clone(),
        };
        Ok(Given { files: names.iter().map(file).collect(), input })
    }

    /// What it was called.
    fn shown(&self, file: &Path) -> PathBuf {
        match &self.input {
            Some(input) if input.path() == file => INPUT.into(),
            _ => file.to_owned(),
        }
    }
}

/// Prints predictions, each as soon as it is there.
struct Printer<'a> {
    arguments: &'a PredictArguments,
    given: &'a Given,
    count: usize,
    /// The video of the line before.
    last: Option<PathBuf>,
}

impl Printer<'_> {
    fn print(&mut self, mut prediction: Prediction) -> anyhow::Result<()> {
        self.count += 1;
        prediction.file = self.given.shown(&prediction.file);
        prediction.classes.truncate(self.arguments.top.get());
        let text = if self.arguments.json {
            serde_json::to_string(&prediction).context("cannot write the prediction as JSON")? + "\n"
        } else if self.arguments.csv {
            rows(&prediction)
        } else if let Some([from, _]) = prediction.seconds {
            let is_new = self.last.as_ref() != Some(&prediction.file);
            let head = if is_new { format!("{}\n", prediction.file.display()) } else { String::new() };
            self.last = Some(prediction.file.clone());
            let classes = prediction.classes.iter().map(|(name, share)| format!("{name} {}", percent(*share)));
            format!("{head}{:>10}  {}\n", format!("{from} s"), classes.collect::<Vec<_>>().join(", "))
        } else {
            report(&prediction)
        };
        Ok(say(&text)?)
    }
}

fn report(Prediction { file, classes, .. }: &Prediction) -> String {
    let width = classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = classes.iter().map(|(name, share)| format!("  {name:width$}  {:>8}\n", percent(*share)));
    format!("{}\n{}", file.display(), lines.collect::<String>())
}

/// A line of CSV for each class.
fn rows(Prediction { file, seconds, classes }: &Prediction) -> String {
    let file = field(&file.display().to_string());
    let [from, length] = seconds.map_or([String::new(), String::new()], |seconds| seconds.map(|time| time.to_string()));
    let row = |(rank, (name, share)): (usize, &(String, f64))| {
        format!("{file},{from},{length},{rank},{},{share:.6}\n", field(name))
    };
    (1..).zip(classes).map(row).collect()
}

/// A field of CSV.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
