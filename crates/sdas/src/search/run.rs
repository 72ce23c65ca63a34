//! A whole search: epochs, decisions, checkpoints, events.

mod collapse;
mod decide;
mod loaders;
#[cfg(test)]
mod tests;

use self::loaders::Loaders;
use super::SearchState;
use super::progress::{Clock, Progress, Times};
use super::state::{check_room, costs, initial, restore, supernet};
use super::step::BegunStep;
use crate::architecture::Architecture;
use crate::batch::{DeviceBatch, Tally, WeightStep};
use crate::draw;
use crate::genotype::{Genes, Genotype, Origin};
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::report::tensorboard::Recorder;
use crate::run::{
    CellRecord, Checkpoint, Context, Ending, Estimate, Event, Folder, MetricRecord, Phase, Ranks, RunError, RunResult,
    Sizes, Standing, Wait, check_norms, checksum, forget_peak_memory, load_data, peak_memory, standing, what_is_done,
};
use crate::schedule::{Costs, Moment, Plan, others};
use crate::space::{CellKind, OperationKind, Space};
use sdas_data::Batch;
use std::path::Path;

/// Steps that are looked at for an estimate of all that are left.
const LOOKED_AT: usize = 500;

/// Epochs of q that `sgas2` remembers.
const REMEMBERED: usize = 4;

/// Searches a cell as `recipe` says and writes everything into `folder`.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn search(recipe: Recipe, folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    search_among(&Ranks::alone(), recipe, folder, context)
}

/// The same as one of several ranks, of which the first alone writes into `folder` and should be given someone to tell.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn search_among(
    ranks: &Ranks,
    mut recipe: Recipe,
    folder: &Path,
    mut context: Context<'_>,
) -> Result<Ending, RunError> {
    let seed = recipe.search.seed;
    let data = ranks.in_turn(|| {
        if ranks.is_first() {
            Folder::check_free(folder)?;
        }
        load_data(&mut recipe, seed, context.observer)
    })?;
    ranks.compare(&what_is_done(&recipe, &data))?;
    let search = ranks.all::<_, RunError>(Wait::Loading, || {
        check_norms(ranks, "search.sync_norm", recipe.search.sync_norm, &context.device)?;
        let loaders = Loaders::new(&recipe, &data, ranks)?;
        let state = initial(&recipe, Sizes::of(&data), loaders.extent(), ranks, &mut context)?;
        let costs = costs(&recipe, Sizes::of(&data), loaders.extent(), &state.supernet.plans)?;
        let progress = Progress::begin(Phase::Search, &recipe, &data);
        // Last: a run that cannot begin leaves no folder.
        let folder = if ranks.is_first() { Folder::create(folder, &recipe, &[])? } else { Folder::elsewhere(folder) };
        let (clock, recorder) = (Clock::new(Times::default()), Recorder::of(&recipe, &folder)?);
        Ok(Search { recipe, folder, state, progress, context, loaders, costs, clock, recorder })
    })?;
    search.run()
}

/// Searches a cell as `recipe` says from wherever that stands in `folder`: begins, goes on, or takes what is done.
///
/// # Errors
///
/// If there is a run of another recipe; see [`RunError`].
pub fn complete(recipe: Recipe, folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    complete_among(&Ranks::alone(), recipe, folder, context)
}

/// The same as one of several ranks, all of which look at the folder.
///
/// # Errors
///
/// If there is a run of another recipe, or the ranks do not see the same; see [`RunError`].
pub fn complete_among(ranks: &Ranks, recipe: Recipe, folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    match standing(ranks, || Folder::standing(folder, &recipe, Phase::Search))? {
        Standing::Absent => search_among(ranks, recipe, folder, context),
        Standing::Begun => resume_among(ranks, folder, context),
        Standing::Done(result) => Ok(Ending::Done(result)),
    }
}

/// Goes on with the search in `folder`, bit for bit as if it had never stopped.
///
/// # Errors
///
/// If there is no search to go on with; see [`RunError`].
pub fn resume(folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    resume_among(&Ranks::alone(), folder, context)
}

/// The same as one of several ranks, however many it was before. All read the folder; the first alone writes into it.
///
/// # Errors
///
/// If there is no search to go on with; see [`RunError`].
pub fn resume_among(ranks: &Ranks, folder: &Path, mut context: Context<'_>) -> Result<Ending, RunError> {
    let (folder, last) = ranks.in_turn(|| Folder::resume_among(ranks, folder, Phase::Search, context.observer))?;
    let (recipe, progress, data) = ranks.in_turn(|| {
        let mut recipe = folder.recipe()?;
        let progress = last.as_ref().map(|(path, checkpoint)| checkpoint.state::<Progress>(path)).transpose()?;
        progress.iter().try_for_each(|progress| progress.check_sizes(&recipe))?;
        let seed = recipe.search.seed;
        let data = load_data(&mut recipe, seed, context.observer)?;
        progress.iter().try_for_each(|progress| progress.check(&data))?;
        Ok((recipe, progress, data))
    })?;
    ranks.compare(&what_is_done(&recipe, &data))?;
    let search = ranks.all::<_, RunError>(Wait::Loading, || {
        check_norms(ranks, "search.sync_norm", recipe.search.sync_norm, &context.device)?;
        let loaders = Loaders::new(&recipe, &data, ranks)?;
        let (state, progress) = match last.zip(progress) {
            Some(((path, checkpoint), progress)) => {
                // What is decided needs less than is known of; it had room where it began.
                if progress.decisions == 0 {
                    check_room(&recipe, Sizes::of(&data), loaders.extent(), ranks, &mut context)?;
                }
                let state = restore(&recipe, Sizes::of(&data), &progress, (&path, checkpoint), ranks, &context)?;
                (state, progress)
            }
            // Killed before the first checkpoint: the recipe is all there is, and all that is needed.
            None => {
                let state = initial(&recipe, Sizes::of(&data), loaders.extent(), ranks, &mut context)?;
                (state, Progress::begin(Phase::Search, &recipe, &data))
            }
        };
        let costs = costs(&recipe, Sizes::of(&data), loaders.extent(), &state.supernet.plans)?;
        folder.cut("metrics.jsonl", progress.epoch)?;
        folder.cut("cells.jsonl", cells_until(progress.epoch, &folder))?;
        folder.cut("decisions.jsonl", progress.decisions)?;
        let (clock, recorder) = (Clock::new(progress.times), Recorder::of(&recipe, &folder)?);
        Ok(Search { recipe, folder, state, progress, context, loaders, costs, clock, recorder })
    })?;
    search.agree("weights")?;
    search.run()
}

/// What each choice of a search of the recipe costs, where it has a budget.
pub(crate) fn costs_of(recipe: &Recipe, context: &mut Context<'_>) -> Result<Option<Costs>, RunError> {
    if recipe.search.budget.is_unlimited() {
        return Ok(None);
    }
    let mut recipe = recipe.clone();
    let seed = recipe.search.seed;
    let data = load_data(&mut recipe, seed, context.observer)?;
    let [frames, height, width, _] = data.seen.clip.shape(&data.train)?;
    let fresh = supernet(&recipe, Sizes::of(&data))?;
    costs(&recipe, Sizes::of(&data), [frames, height, width], &fresh.plans)
}

/// Lines of `cells.jsonl` up to an epoch. Runs of before have none of their first epochs.
fn cells_until(epoch: usize, folder: &Folder) -> usize {
    let text = std::fs::read_to_string(folder.file("cells.jsonl")).unwrap_or_default();
    let is_before = |line: &&str| {
        line.ends_with('\n') && serde_json::from_str::<CellRecord>(line).is_ok_and(|record| record.epoch <= epoch)
    };
    text.split_inclusive('\n').take_while(is_before).count()
}

/// A batch on its device, if it could be loaded.
type Moved<E> = Result<DeviceBatch, E>;

struct Search<'a> {
    recipe: Recipe,
    folder: Folder,
    state: SearchState,
    progress: Progress,
    context: Context<'a>,
    loaders: Loaders,
    /// Where there is a budget.
    costs: Option<Costs>,
    clock: Clock,
    /// Where the recipe wants it.
    recorder: Option<Recorder>,
}

impl Search<'_> {
    fn run(mut self) -> Result<Ending, RunError> {
        forget_peak_memory();
        let epochs = self.recipe.search.epochs;
        let counts = self.state.supernet.network.counts(self.loaders.extent());
        self.context.observer.notice(&Event::Started {
            phase: Phase::Search,
            folder: self.folder.path(),
            epoch: self.progress.epoch,
            step: self.progress.step_in_epoch,
            decided: Some(self.decided()),
            decisions: self.space().decisions(),
            epochs,
            steps: self.loaders.training.batches(),
            parameters: self.state.weights.count(),
            multiply_adds: counts.multiply_adds,
        });
        if self.progress.epoch < epochs {
            self.estimate()?;
        }
        self.clock.begin_epoch();
        while self.progress.epoch < epochs && !self.is_stopped() {
            if !self.epoch()? {
                self.checkpoint()?;
                return Ok(Ending::Interrupted);
            }
        }
        self.finish()
    }

    /// Times a few steps on a copy of the state, so that the search itself is the same with or without.
    fn estimate(&mut self) -> Result<(), RunError> {
        let mut copy = self.state.clone();
        let settings = self.recipe.search.weights.clone();
        let mut batches = self.loaders.training.epoch(0, 0).zip(self.loaders.validation.epoch(0, 0));
        let mut times = Vec::new();
        for _ in 0..4 {
            let (training, validation) = match batches.next() {
                Some((Ok(training), Ok(validation))) => (training, validation),
                // Where the others would wait for us.
                Some((Err(error), _) | (_, Err(error))) if !self.state.ranks.is_alone() => return Err(error.into()),
                // What cannot be read is told of when the search comes to it.
                _ => break,
            };
            let (training, validation) =
                (DeviceBatch::new(training, &self.context.device), DeviceBatch::new(validation, &self.context.device));
            let start = std::time::Instant::now();
            if !copy.supernet.is_decided() {
                copy.alpha_gradient(self.recipe.search.order, &training, &validation, 0.0, &settings);
            }
            copy.weight_step(&training, 0.0, &settings);
            times.push(start.elapsed().as_secs_f64());
        }
        self.state.ranks.check()?;
        if times.is_empty() {
            return Ok(());
        }
        // The first step also takes its memory from the system, and a graphics card records the second.
        let warm = &times[times.len() / 2..];
        let seconds = warm.iter().sum::<f64>() / warm.len() as f64;
        self.clock.expect(seconds);
        let estimate = Estimate { seconds: self.seconds_left(), memory: peak_memory(), seconds_per_step: seconds };
        self.context.observer.notice(&Event::Estimate(estimate));
        Ok(())
    }

    /// What is left, if mixed edges fall away evenly between the schedule's decisions.
    fn seconds_left(&self) -> f64 {
        let (steps, epochs) = (self.loaders.training.batches(), self.recipe.search.epochs);
        let decisions = self.decisions(self.space().kinds()[0]);
        let mixed_at = |step: usize| {
            let due = self.recipe.search.schedule.due(Moment { step, steps_per_epoch: steps, epochs }, decisions);
            // A decided edge costs about a tenth of a mixed one.
            1.0 - 0.9 * due as f64 / decisions as f64
        };
        let now = mixed_at(self.progress.step).max(0.1);
        let left = (steps * epochs).saturating_sub(self.progress.step);
        // It is asked at every step, of which there may be a million.
        let looked_at = left.min(LOOKED_AT);
        let at = |number: usize| self.progress.step + (left as f64 * number as f64 / looked_at as f64) as usize;
        let share = (0..looked_at).map(|number| mixed_at(at(number)) / now).sum::<f64>() / looked_at.max(1) as f64;
        let share = share * left as f64;
        // Measuring the held-out pictures goes forward once, where a step goes forward twice and back twice.
        1.2 * share * self.clock.seconds_per_step()
    }

    /// Whether this epoch's steps move α.
    fn alpha_moves(&self) -> bool {
        self.progress.epoch >= self.recipe.search.alpha_warmup && !self.state.supernet.is_decided()
    }

    /// The next batches on the device, to which they are copied while it works: of the weights' half, and of α's while it
    /// moves.
    fn move_next<E>(
        &self,
        batches: &mut impl Iterator<Item = [Result<Batch, E>; 2]>,
    ) -> Option<(Moved<E>, Option<Moved<E>>)> {
        let [training, validation] = batches.next()?;
        let moved = |batch: Result<Batch, E>| batch.map(|batch| DeviceBatch::new(batch, &self.context.device));
        Some((moved(training), self.alpha_moves().then(|| moved(validation))))
    }

    /// Runs to the end of the current epoch; false if stopped before.
    fn epoch(&mut self) -> Result<bool, RunError> {
        let (epoch, settings) = (self.progress.epoch, self.recipe.search.clone());
        let rate = settings.weights.rate_at(epoch, settings.epochs);
        let batches = self.loaders.training.epoch(epoch as u64, self.progress.step_in_epoch);
        let alphas = self.loaders.validation.epoch(epoch as u64, self.progress.step_in_epoch);
        let mut batches = batches.zip(alphas).map(|(training, validation)| [training, validation]);
        let mut moved = self.move_next(&mut batches);
        let mut begun = None;
        while let Some((training, validation)) = moved {
            if self.state.ranks.stops(self.context.stop) {
                self.end(begun)?;
                return Ok(false);
            }
            let start = std::time::Instant::now();
            let training = training?;
            self.state.mixing.go_to(self.progress.step + usize::from(begun.is_some()), epoch, settings.epochs);
            if self.alpha_moves() {
                let validation = validation.expect("α still moves")?;
                let state = &mut self.state;
                let gradient = match begun.take() {
                    Some(begun) => {
                        let (gradient, done) = state.alpha_gradient_behind(
                            begun,
                            settings.order,
                            &training,
                            &validation,
                            rate,
                            &settings.weights,
                        );
                        self.take(&done)?;
                        gradient
                    }
                    None => state.alpha_gradient(settings.order, &training, &validation, rate, &settings.weights),
                };
                self.state.ranks.check()?;
                self.check(gradient.tally.loss.is_finite(), "the loss of α", "search.alpha.rate")?;
                self.state.alpha.update(&gradient.values, &self.state.supernet.plans, &settings.alpha);
            }
            begun = Some(self.state.begin_weight_step(&training, rate, &settings.weights));
            self.state.ranks.check()?;
            moved = self.move_next(&mut batches);
            let moment = Moment { step: self.progress.step + 1, ..self.moment() };
            let keeps = self.clock.is_checkpoint_due(self.recipe.run.checkpoint_minutes);
            // What a step came to is read with α's next gradient, if nothing has to know it before.
            if !self.alpha_moves() || moved.is_none() || keeps || self.is_due(moment) {
                self.end(begun.take())?;
            }
            self.clock.step(start.elapsed().as_secs_f64());
            if keeps {
                self.checkpoint()?;
            }
        }
        self.end_epoch(rate)
    }

    /// Waits for what a step of the weights came to, if one is on its way, and takes the decisions that are due then.
    fn end(&mut self, begun: Option<BegunStep>) -> Result<(), RunError> {
        let Some(begun) = begun else { return Ok(()) };
        let done = self.state.end_weight_step(begun);
        self.take(&done)?;
        let decisions = self.progress.decisions;
        self.decide(self.moment())?;
        if self.progress.decisions > decisions {
            self.agree("decisions")?;
        }
        Ok(())
    }

    /// Counts a step of the weights, if it came to numbers.
    fn take(&mut self, done: &WeightStep) -> Result<(), RunError> {
        self.check(done.tally.loss.is_finite(), "the training loss", "search.weights.rate")?;
        self.check(done.gradient_norm.is_finite(), "the gradient", "search.weights.rate")?;
        self.progress.add(done);
        let report = self.progress.report(self.seconds_left());
        self.context.observer.notice(&Event::Step(report));
        Ok(())
    }

    fn check(&self, finite: bool, what: &'static str, key: &'static str) -> Result<(), RunError> {
        let Progress { epoch, step, .. } = self.progress;
        if finite { Ok(()) } else { Err(RunError::NotFinite { what, epoch: epoch + 1, step, key }) }
    }

    /// Sees to it that all ranks have come to the same, where rounding on other processors could lead them apart.
    fn agree(&self, what: &str) -> Result<(), RunError> {
        let ranks = &self.state.ranks;
        if ranks.is_alone() {
            return Ok(());
        }
        let alpha = self.state.alpha.values.iter().flatten().flatten().map(|number| u64::from(number.to_bits()));
        let numbers =
            |parameters: &Parameters| parameters.to_host().into_iter().flatten().flatten().collect::<Vec<_>>();
        let weights = if what == "weights" { numbers(&self.state.weights) } else { Vec::new() };
        let words = alpha.chain(weights.iter().map(|number| u64::from(number.to_bits())));
        let plans = serde_json::to_string(&self.state.supernet.plans).expect("plans are JSON");
        let words = words.chain(plans.bytes().map(u64::from)).chain([self.progress.step as u64]);
        let what = format!("the checksum of {what} after step {}", self.progress.step);
        Ok(ranks.compare(&[(what, format!("{:016x}", checksum(words)))])?)
    }

    fn moment(&self) -> Moment {
        let (steps_per_epoch, epochs) = (self.loaders.training.batches(), self.recipe.search.epochs);
        Moment { step: self.progress.step, steps_per_epoch, epochs }
    }

    fn space(&self) -> &'static Space {
        self.state.supernet.candidates.space
    }

    fn decided(&self) -> Vec<usize> {
        self.state.supernet.plans.iter().map(Plan::decided).collect()
    }

    /// Measures the held-out samples and closes the epoch; false if stopped before, all its steps done.
    fn end_epoch(&mut self, rate: f64) -> Result<bool, RunError> {
        let mut validation = Tally::default();
        for batch in self.loaders.evaluation.epoch(0, 0) {
            if self.state.ranks.stops(self.context.stop) {
                return Ok(false);
            }
            let batch = batch?;
            // Of a small last batch, not everyone has a part.
            if batch.labels.is_empty() {
                continue;
            }
            let batch = DeviceBatch::new(batch, &self.context.device);
            validation.add(Tally::of(self.state.evaluate(batch.input), &batch.host_labels));
        }
        self.state.ranks.sum_tally(&mut validation);
        self.state.ranks.check()?;
        if self.state.ranks.stops(self.context.stop) && !self.state.ranks.is_alone() {
            return Ok(false);
        }
        let eigenvalue = self.watch(self.moment())?;
        self.agree("weights")?;
        let size =
            (self.state.weights.count(), self.state.supernet.network.counts(self.loaders.extent()).multiply_adds);
        let leaning = self.leaning();
        let share = |kind| {
            let share = |genes: &Genes| genes.count(&[kind]) as f64 / self.space().decisions() as f64;
            leaning.cells.iter().map(share).collect::<Vec<_>>()
        };
        let record = MetricRecord {
            decided: Some(self.decided()),
            alpha_entropy: self.alpha_entropy(),
            skips: Some(share(OperationKind::Skip)),
            pools: Some(share(OperationKind::Pool)),
            eigenvalue,
            ..self.progress.record(rate, Some(validation), self.clock.end_epoch(), size)
        };
        self.folder.append("metrics.jsonl", &record)?;
        let mixes = self.space().kinds().iter().zip(&self.state.supernet.plans);
        let mixes = mixes.map(|(&kind, plan)| self.state.alpha.mixes_written(kind, plan)).collect();
        self.folder.append("cells.jsonl", &CellRecord { epoch: record.epoch, genotype: leaning.to_text(), mixes })?;
        for &kind in self.space().kinds() {
            let never = self.state.supernet.candidates.never_chosen(kind);
            let q = self.state.alpha.mixes(kind).iter().zip(never).map(|(p, never)| others(p, never)).collect();
            let history = &mut self.progress.history[kind.index()];
            history.push(q);
            if history.len() > REMEMBERED {
                history.remove(0);
            }
        }
        self.progress.end_epoch(record.clone());
        self.checkpoint()?;
        self.record()?;
        self.context.observer.notice(&Event::Epoch(&record));
        Ok(true)
    }

    /// Mean entropy of softmax(α) over the undecided edges of each kind.
    fn alpha_entropy(&self) -> Option<Vec<f64>> {
        let entropy = |p: &[f64]| -p.iter().filter(|&&p| p > 0.0).map(|&p| p * libm::log(p)).sum::<f64>();
        let mean = |&kind: &CellKind| {
            let states = self.state.supernet.plans[kind.index()].states();
            let mixes = self.state.alpha.mixes_left(kind, &self.state.supernet.plans[kind.index()]);
            let open: Vec<f64> =
                states.iter().zip(&mixes).filter(|(state, _)| state.is_open()).map(|(_, p)| entropy(p)).collect();
            open.iter().sum::<f64>() / open.len().max(1) as f64
        };
        (!self.state.supernet.is_decided()).then(|| self.space().kinds().iter().map(mean).collect())
    }

    fn checkpoint(&mut self) -> Result<(), RunError> {
        if self.folder.is_elsewhere() {
            return Ok(());
        }
        self.progress.plans = self.state.supernet.plans.clone();
        self.progress.alpha_steps = self.state.alpha.steps;
        self.progress.times = self.clock.times();
        let mut checkpoint = Checkpoint::new(&self.progress);
        checkpoint.put("weights", &self.state.weights);
        checkpoint.put("momentum", &self.state.sgd.momentum);
        checkpoint.put("statistics", &self.state.statistics);
        let alpha = &self.state.alpha;
        for (name, all) in [("alpha", &alpha.values), ("alpha_first", &alpha.first), ("alpha_second", &alpha.second)] {
            for (kind, rows) in self.space().kinds().iter().zip(all) {
                checkpoint.tensors.insert(format!("{name}.{kind}"), rows.concat());
            }
        }
        let path = self.folder.save(self.progress.step, &checkpoint)?;
        self.clock.checkpoint();
        self.context.observer.notice(&Event::Checkpoint(&path));
        Ok(())
    }

    /// Writes for TensorBoard what is new.
    fn record(&mut self) -> Result<(), RunError> {
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.follow(&self.folder))
    }

    fn finish(mut self) -> Result<Ending, RunError> {
        // Every schedule decides all by its end, but it may have been moved since.
        let cells = self.state.supernet.genes().ok_or_else(|| RunError::Setting {
            key: "search.epochs",
            message: format!(
                "is {}, and after {} epochs edges are undecided; put config.toml back as it was",
                self.recipe.search.epochs, self.progress.epoch
            ),
        })?;
        let method = match self.recipe.search.schedule {
            crate::schedule::Schedule::AtEnd {} => "das",
            _ => "sdas",
        };
        let genotype = Genotype {
            space: self.space(),
            cells,
            origin: Some(Origin {
                method: method.to_owned(),
                dataset: self.recipe.data.kind.name().to_owned(),
                seed: Some(self.recipe.search.seed),
                recipe: Some(self.recipe.recipe.clone()),
            }),
        };
        self.folder.write("genotype.json", genotype.to_json().as_bytes())?;
        self.folder.write("cell.svg", draw::cell_pair(&genotype, &self.recipe.recipe).as_bytes())?;
        let counts = self.state.supernet.network.counts(self.loaders.extent());
        let result = RunResult {
            budget: self.costs.as_ref().map(|costs| costs.spending(&genotype)),
            collapse: self.progress.watch.collapse,
            ..self.progress.result(Phase::Search, &genotype.into(), counts, self.clock.times().run)
        };
        let text = serde_json::to_string_pretty(&result).expect("a result is JSON");
        self.folder.write("result.json", text.as_bytes())?;
        self.record()?;
        Ok(Ending::Done(Box::new(result)))
    }
}

impl Progress {
    /// What a finished run reports.
    pub(crate) fn result(
        &self,
        phase: Phase,
        architecture: &Architecture,
        counts: crate::network::Counts,
        seconds: f64,
    ) -> RunResult {
        let last = self.last.as_ref();
        RunResult {
            phase,
            epochs: self.epoch,
            seconds,
            peak_memory: self.peak_memory(),
            train_loss: last.map_or(f64::NAN, |record| record.train_loss),
            train_accuracy: last.map_or(f64::NAN, |record| record.train_accuracy),
            validation_loss: last.and_then(|record| record.validation_loss),
            validation_accuracy: last.and_then(|record| record.validation_accuracy),
            parameters: counts.parameters,
            multiply_adds: counts.multiply_adds,
            budget: None,
            collapse: None,
            genotype: architecture.genotype().map_or(serde_json::Value::Null, |genotype| {
                serde_json::from_str(&genotype.to_json()).expect("a genotype is JSON")
            }),
            network: architecture.genotype().is_none().then(|| architecture.text()),
        }
    }
}
