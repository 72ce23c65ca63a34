//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use crate::commands::tell;
use crate::format::{duration, memory, percent, thousands};
use crate::interrupt::STEPPING;
use indicatif::{ProgressBar, ProgressStyle};
use sdas::compare::{Found, Outcome};
use sdas::device::CardMemory;
use sdas::draw::{CellPicture, EdgePicture, EdgeState, Picture, state_name};
use sdas::run::{Event, MetricRecord, Observer, Phase, Room, RunError, StepReport};
use sdas::schedule::{Act, Budget, Cause, CollapseRecord, Decision, Refused, Unit};
use sdas::weights::Mismatch;
use sdas_data::Building;
use sdas_data::fetch::Fetching;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Without a terminal, a line at most this often within an epoch.
const PAUSE: Duration = Duration::from_secs(30);

/// Shows the events of a run.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    /// Epochs in all, and steps of each.
    length: (usize, usize),
    /// Edges decided of each kind of cell, normal first; `None` in training.
    decided: Option<Vec<usize>>,
    /// Edges of a kind of cell that a search decides.
    decisions: usize,
    last_line: Instant,
    /// While samples are decoded.
    loading: Option<Loading>,
    /// Of a comparison, the part and the stage that it last came to.
    part: Option<String>,
}

impl Display {
    /// A bar if standard error is a terminal.
    pub(crate) fn new() -> Self {
        Display {
            bar: bar(),
            length: (0, 0),
            decided: None,
            decisions: 0,
            last_line: Instant::now(),
            loading: None,
            part: None,
        }
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn step(&mut self, report: &StepReport) {
        let (epochs, steps) = self.length;
        let StepReport { epoch, step, train_loss, train_accuracy, seconds_left } = *report;
        let decided =
            self.decided.as_ref().map_or(String::new(), |decided| format!(", {}", self.decided_text(decided)));
        let text = format!(
            "epoch {epoch}/{epochs}, step {step}/{steps}, loss {train_loss:.3}, accuracy {}, {} left{decided}",
            percent(train_accuracy),
            duration(seconds_left),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position((epoch.saturating_sub(1) * steps + step) as u64);
                bar.set_message(text);
            }
            None if self.last_line.elapsed() >= PAUSE => self.line(&text),
            None => {}
        }
    }

    fn decided_text(&self, decided: &[usize]) -> String {
        let kinds: Vec<_> = decided.iter().map(|decided| format!("{decided}/{}", self.decisions)).collect();
        format!("decided {}", kinds.join(" + "))
    }

    fn epoch_text(&self, record: &MetricRecord) -> String {
        let mut text = format!(
            "epoch {}/{}: loss {:.4}, accuracy {}",
            record.epoch,
            self.length.0,
            record.train_loss,
            percent(record.train_accuracy)
        );
        if let (Some(loss), Some(accuracy)) = (record.validation_loss, record.validation_accuracy) {
            text += &format!("; held out: loss {loss:.4}, accuracy {}", percent(accuracy));
        }
        if let Some(decided) = &record.decided {
            text += &format!("; {}", self.decided_text(decided));
        }
        let memory = record.memory.map_or(String::new(), |bytes| format!(", {}", memory(bytes)));
        format!("{text}; {}, {:.3} s a step{memory}", duration(record.seconds), record.seconds_per_step)
    }
}

/// Shows how far the decoding of samples is. What takes no time is not worth a line.
pub(crate) struct Loading {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Loading {
    pub(crate) fn new() -> Self {
        Loading { bar: bar(), last_line: Instant::now() }
    }

    /// Shows it.
    pub(crate) fn show(&mut self, &Building { what, done, total, found, seconds, waits, .. }: &Building) {
        if waits {
            note(&format!("waiting for another process, which is making {what}"));
        }
        let made = done.saturating_sub(found);
        if made == 0 || seconds < 0.5 {
            return;
        }
        let rate = made as f64 / seconds;
        let text = format!(
            "making {what}: {} of {}, {rate:.1} a second, {} left",
            thousands(done),
            thousands(total),
            duration((total - done) as f64 / rate),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(text);
            }
            None if self.last_line.elapsed() >= PAUSE => {
                self.last_line = Instant::now();
                note(&text);
            }
            None => {}
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows how far a download is.
pub(crate) struct Coming {
    bar: Option<ProgressBar>,
    last_line: Instant,
    /// When the first bytes came, and how many were there then.
    begun: Option<(Instant, u64)>,
}

impl Coming {
    pub(crate) fn new() -> Self {
        Coming { bar: bar(), last_line: Instant::now(), begun: None }
    }

    /// Shows it.
    pub(crate) fn show(&mut self, event: &Fetching<'_>) {
        match *event {
            Fetching::Bytes { file, done, total } => self.bytes(file, done, total),
            Fetching::Again { file, words, pause } => {
                self.begun = None;
                self.line(&format!("{file}: {words}; trying again in {} s", pause.as_secs()));
            }
            Fetching::Checking { file } => {
                self.begun = None;
                self.line(&format!("{file}: comparing checksums"));
            }
            Fetching::Unpacking { file } => self.line(&format!("{file}: unpacking")),
        }
    }

    fn bytes(&mut self, file: &str, done: u64, total: Option<u64>) {
        let (since, before) = *self.begun.get_or_insert((Instant::now(), done));
        if self.bar.is_none() && self.last_line.elapsed() < PAUSE {
            return;
        }
        let rate = (done - before) as f64 / since.elapsed().as_secs_f64().max(1e-3);
        let of = total.map_or(String::new(), |total| format!(" of {}", memory(total)));
        let left = total
            .filter(|_| rate > 0.0)
            .map_or(String::new(), |total| format!(", {} left", duration(total.saturating_sub(done) as f64 / rate)));
        let text = format!("{file}: {}{of}, {} a second{left}", memory(done), memory(rate as u64));
        match &self.bar {
            Some(bar) => {
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
                bar.set_message(text);
            }
            None => self.line(&text),
        }
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar if standard error is a terminal.
fn bar() -> Option<ProgressBar> {
    let is_shown = io::stderr().is_terminal() && !QUIET.load(Ordering::SeqCst);
    is_shown.then(|| {
        let style = ProgressStyle::with_template("{bar:20} {wide_msg}").expect("the template is well formed");
        ProgressBar::new(0).with_style(style)
    })
}

/// Whether this process says nothing but what goes wrong, since another speaks for it.
pub(crate) static QUIET: AtomicBool = AtomicBool::new(false);

/// A line on standard error, unless another process speaks for this one.
pub(crate) fn note(text: &str) {
    if !QUIET.load(Ordering::SeqCst) {
        speak(text);
    }
}

/// A line on standard error. Whether anybody reads it makes no difference to a run.
pub(crate) fn speak(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl Observer for Display {
    fn notice(&mut self, event: &Event<'_>) {
        match event {
            Event::Loading(building) => {
                STEPPING.store(false, Ordering::SeqCst);
                self.loading.get_or_insert_with(Loading::new).show(building);
                if building.done == building.total {
                    self.loading = None;
                }
            }
            Event::Remark(remark) => tell(remark),
            Event::FellBack { fault, instead, aside } => {
                let aside = aside.map_or_else(String::new, |aside| format!("; it is kept as {}", aside.display()));
                self.line(&format!("warning: {fault}; taking {} instead{aside}", instead.display()));
            }
            Event::Loaded { path, taken, differences } => {
                self.line(&format!("begins with {taken} tensors of {}", path.display()));
                // What the network has no place for is another matter than what it begins with by chance.
                let is_chance = |one: &&Mismatch| !matches!(one, Mismatch::Superfluous { .. });
                let (chance, unused): (Vec<&Mismatch>, Vec<&Mismatch>) = differences.iter().partition(is_chance);
                for difference in chance {
                    self.line(&format!("  left to chance: {difference}"));
                }
                if let Some(first) = unused.first() {
                    let others = unused.len() - 1;
                    self.line(&format!("  not used: {first}{}", if others > 0 { format!("; and {others} more") } else { String::new() }));
                }
            }
            Event::Room(Room { needs, memory: CardMemory { total, free } }) => {
                let has = match (total, free) {
                    (Some(total), Some(free)) => format!("which has {}, {} of it free", memory(*total), memory(*free)),
                    (Some(total), None) => format!("which has {}; what of it is free is not known", memory(*total)),
                    _ => "of which it is not known how much there is".to_owned(),
                };
                self.line(&format!("needs about {} of the card's memory, {has}", memory(*needs)));
            }
            Event::Started { phase, folder, epoch, step, decided, decisions, epochs, steps, parameters, multiply_adds } => {
                STEPPING.store(true, Ordering::SeqCst);
                self.length = (*epochs, *steps);
                (self.decided, self.decisions) = (decided.clone(), *decisions);
                if let Some(bar) = &self.bar {
                    bar.set_length((epochs * steps) as u64);
                    bar.set_position((epoch * steps + step) as u64);
                }
                let what = match phase {
                    Phase::Search => "search",
                    Phase::Train => "training",
                };
                let from = if *epoch == 0 { String::new() } else { format!(", {epoch} done") };
                self.line(&format!(
                    "writing to {}\n{what}: {epochs} epochs of {steps} steps{from}; {} parameters, {} multiply-adds",
                    folder.display(),
                    thousands(*parameters),
                    thousands(*multiply_adds),
                ));
            }
            Event::Estimate(estimate) => {
                let needs = estimate.memory.map_or(String::new(), |bytes| format!(" and {} of memory", memory(bytes)));
                self.line(&format!(
                    "takes about {}{needs}; {:.3} s a step now",
                    duration(estimate.seconds),
                    estimate.seconds_per_step,
                ));
            }
            Event::Step(report) => self.step(report),
            Event::Decided { decision, decided, picture } => {
                self.decided = Some(decided.to_vec());
                let inputs = picture.cells.first().map_or(0, |cell| cell.inputs);
                let mut text = format!("{}; {}", decision_text(decision, inputs), self.decided_text(decided));
                if self.bar.is_some() {
                    text = format!("{text}\n{}", picture_text(picture));
                }
                self.line(&text);
            }
            Event::Epoch(record) => {
                if let Some(decided) = &record.decided {
                    self.decided = Some(decided.clone());
                }
                let text = self.epoch_text(record);
                self.line(&text);
            }
            Event::Checkpoint(_) => {}
            Event::Collapsed { cell, edges } => self.line(&format!(
                "warning: the {cell} cell collapses: {edges} of its {} edges are skips and pools, which learn nothing\n  \
                 remedy: let the weights learn longer before α does (search.alpha_warmup), decide earlier, or lower search.alpha.rate",
                self.decisions
            )),
            Event::Collapse(record) => self.line(&format!("warning: {}", collapse_text(record))),
            Event::Part { method, seed, stage, part: [number, all] } => {
                STEPPING.store(false, Ordering::SeqCst);
                let text = format!("{number}/{all} {method}, seed {seed}: {stage}");
                // Tried again, since what it needs was not there.
                if self.part.as_ref() != Some(&text) {
                    self.line(&text);
                    self.part = Some(text);
                }
            }
            Event::Waiting { cache, holder } => {
                self.line(&format!("waiting until {holder} has written the cache {}", cache.display()));
            }
            Event::Passed { method, seed, fault: RunError::Busy { by, .. } } => {
                self.line(&format!("{method}, seed {seed}, is left to {by}\n"));
            }
            Event::Passed { method, seed, fault } => self.line(&format!("{method}, seed {seed}, is passed over: {fault}\n")),
            Event::LookedUp { found: Found { method, seed, truth, .. } } => self.line(&format!(
                "{method}, seed {seed}: {:.2} in {}, rank {} of {}\n",
                truth.value,
                truth.column,
                thousands(truth.rank),
                thousands(truth.cells)
            )),
            Event::Measured { outcome: Outcome { method, seed, accuracy, .. }, seconds_left } => {
                let left = match seconds_left {
                    0.0 => String::new(),
                    _ => format!("; about {} for the others", duration(*seconds_left)),
                };
                self.line(&format!("{method}, seed {seed}: {} on the test set{left}\n", percent(*accuracy)));
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn decision_text(decision: &Decision, inputs: usize) -> String {
    let margin = decision.margin.map_or(String::new(), |margin| format!(", margin {margin:.4}"));
    let pruned = match decision.pruned.len() {
        0 => String::new(),
        1 => ", 1 edge pruned".to_owned(),
        count => format!(", {count} edges pruned"),
    };
    let refused =
        decision.refused.as_ref().map_or(String::new(), |Refused { from, node, operation, least, .. }| {
            let (edge, least) =
                (format!("{operation}({}) to node {node}", state_name(*from, inputs)), least_text(least));
            match decision.unit {
                Unit::Edge => format!("; not {edge}, which would come to {least} at the least"),
                Unit::Operation => format!("; not {edge}, without which it would come to {least} at the least"),
            }
        });
    let does = match decision.unit {
        Unit::Edge => "takes",
        Unit::Operation => "loses",
    };
    format!(
        "epoch {}: {} node {} {does} {}({}){margin}{pruned}{refused}",
        decision.epoch,
        decision.cell,
        decision.node,
        decision.operation,
        state_name(decision.from, inputs),
    )
}

/// What the network would have come to at the best.
fn least_text(least: &Budget) -> String {
    let Budget { parameters, multiply_adds } = *least;
    let all = [(parameters, "parameters"), (multiply_adds, "multiply-adds")];
    let all = all.into_iter().filter_map(|(number, what)| Some(format!("{} {what}", thousands(number?))));
    all.collect::<Vec<_>>().join(" and ")
}

/// What tells a collapse, and what is done about it.
fn collapse_text(record: &CollapseRecord) -> String {
    let CollapseRecord { epoch, good, cause, act } = record;
    let cause = match cause {
        Cause::Skips { cell, share } => {
            format!("the {cell} cell would be skip connections to {} if it ended now", percent(*share))
        }
        Cause::Curvature { before, now } => {
            format!("the largest eigenvalue of α's Hessian has grown from {before:.4} to {now:.4}")
        }
    };
    let act = match act {
        Act::Warn => "remedy: let the weights learn longer before α does (search.alpha_warmup), decide earlier, lower \
                      search.alpha.rate,\n  or let all be decided when it does (search.collapse.act = \"decide\")"
            .to_owned(),
        Act::Decide => format!("what is undecided is decided now, by α of the end of epoch {good}"),
        Act::Stop => format!("what is undecided is decided now, by α of the end of epoch {good}, and the search ends"),
    };
    format!("the search collapses in epoch {epoch}: {cause}\n  {act}")
}

/// The cells as they stand: what is decided, and how many edges are not.
fn picture_text(picture: &Picture) -> String {
    picture.cells.iter().map(cell_text).collect::<Vec<_>>().join("\n")
}

fn cell_text(cell: &CellPicture) -> String {
    let mut lines = vec![format!("  {}", cell.name)];
    for node in 0..cell.nodes {
        let edges = || cell.edges.iter().filter(move |edge| edge.to == node + cell.inputs);
        let term = |edge: &EdgePicture| format!("{}({})", edge.label, state_name(edge.from, cell.inputs));
        let mut terms: Vec<_> = edges().filter(|edge| edge.state == EdgeState::Decided).map(term).collect();
        match edges().filter(|edge| edge.state == EdgeState::Undecided).count() {
            0 => {}
            1 => terms.push("1 edge undecided".to_owned()),
            count => terms.push(format!("{count} edges undecided")),
        }
        lines.push(format!("    node {node} = {}", terms.join(" + ")));
    }
    lines.join("\n")
}
