//! A search's state at its beginning, or as a checkpoint has it.

use super::SearchState;
use super::progress::Progress;
use crate::architecture;
use crate::genotype::Genotype;
use crate::network::{Counts, Network, NetworkShape};
use crate::optimizer::Sgd;
use crate::recipe::{Recipe, SearchSettings};
use crate::run::{Checkpoint, CheckpointError, Context, Event, Folder, Ranks, Room, RunError, Sizes, StepSize, Work};
use crate::schedule::{Costs, Plan};
use crate::space::{Candidates, CellKind};
use crate::supernet::{Alpha, Drawn, Mixing, Relaxation, Rows, Supernet, SupernetShape};

use burn::tensor::Device;
use sdas_kernels::{Extent, Recorded};
use std::path::Path;

/// Says that the machine can have the memory for a step on samples of this size before anything is decided, and what a
/// graphics card needs.
pub(super) fn check_room(
    recipe: &Recipe,
    sizes: Sizes,
    extent: Extent,
    ranks: &Ranks,
    context: &mut Context<'_>,
) -> Result<(), RunError> {
    if let Some(room) = room(recipe, sizes, extent, ranks, &context.device)? {
        context.observer.notice(&Event::Room(room));
    }
    Ok(())
}

fn room(
    recipe: &Recipe,
    sizes: Sizes,
    extent: Extent,
    ranks: &Ranks,
    device: &Device,
) -> Result<Option<Room>, RunError> {
    let (candidates, shape) = (candidates(recipe)?, shape(recipe, sizes));
    let SearchSettings { channels, cells, batch, .. } = recipe.search;
    let keys = ["search.channels", "search.cells", "search.batch", "data.clip.frames", "data.size"];
    let (work, batch) = (Work::search(&recipe.search, candidates.space), batch.div_ceil(ranks.count()));
    StepSize { work, keys, channels, cells, batch, extent }.check(device, |channels, cells, extent| {
        step_counts(recipe.search.relaxation, &candidates, SupernetShape { channels, cells, ..shape }, extent)
    })
}

/// Counts of what a step computes before anything is decided; where operations are drawn, its activations are the mean
/// of what may be drawn.
fn step_counts(relaxation: Relaxation, candidates: &Candidates, shape: SupernetShape, extent: Extent) -> Counts {
    let shaped = |cells| SupernetShape { cells, ..shape };
    let whole = Counts::of(shape.cells, extent, |cells| Network::supernet(candidates, shaped(cells)));
    match relaxation {
        Relaxation::GumbelHard { .. } => {
            let supernet = |cells| Supernet::new(candidates.clone(), shaped(cells));
            let of = |operation| Counts::of(shape.cells, extent, |cells| drawn(&supernet(cells), operation));
            let most = candidates.space.operations.len();
            let sum = (0..most).fold(0usize, |sum, operation| sum.saturating_add(of(operation).activations));
            Counts { activations: sum / most, ..whole }
        }
        Relaxation::Softmax {} | Relaxation::Gumbel { .. } | Relaxation::Partial { .. } => whole,
    }
}

/// The network that is computed where every edge draws the same operation of its own.
fn drawn(supernet: &Supernet, operation: usize) -> Network {
    let candidates = &supernet.candidates;
    let of = |&kind| candidates.edges(kind).iter().map(|operations| operation % operations.len()).collect();
    Drawn::new(supernet, candidates.space.kinds().iter().map(of).collect()).network
}

/// How α acts in a search, in its epoch `epoch`.
fn mixing(search: &SearchSettings, epoch: usize) -> Mixing {
    let SearchSettings { relaxation, beta_decay, auxiliary_skip, seed, epochs, .. } = *search;
    let mut mixing = Mixing { relaxation, beta_decay, auxiliary_skip, seed, ..Mixing::default() };
    mixing.go_to(0, epoch, epochs);
    mixing
}

fn candidates(recipe: &Recipe) -> Result<Candidates, RunError> {
    Candidates::subset(recipe.space.name, &recipe.space.operations)
        .map_err(|error| RunError::Setting { key: "space.operations", message: error.to_string() })
}

fn shape(recipe: &Recipe, Sizes { classes, inputs }: Sizes) -> SupernetShape {
    let SearchSettings { channels, cells, stem_stride, relaxation, .. } = recipe.search;
    SupernetShape { channels, cells, classes, inputs, stem_stride, share: relaxation.share() }
}

/// α at the beginning, with β where edges are weighed.
fn alpha(recipe: &Recipe, candidates: &Candidates) -> Alpha {
    let alpha = Alpha::new(candidates, recipe.search.seed);
    if recipe.search.relaxation.weighs_edges() {
        alpha.weighing_edges(candidates.space, recipe.search.seed)
    } else {
        alpha
    }
}

pub(super) fn supernet(recipe: &Recipe, sizes: Sizes) -> Result<Supernet, RunError> {
    Ok(Supernet::new(candidates(recipe)?, shape(recipe, sizes)))
}

/// What each choice costs in the network that the recipe's training makes of a cell, for samples of size `extent`, where the
/// recipe has a budget; `plans` are what is decided.
///
/// # Errors
///
/// If the budget cannot be kept.
pub(super) fn costs(recipe: &Recipe, sizes: Sizes, extent: Extent, plans: &[Plan]) -> Result<Option<Costs>, RunError> {
    let budget = recipe.search.budget;
    if budget.is_unlimited() {
        return Ok(None);
    }
    let shape = NetworkShape { auxiliary: false, ..architecture::shape(recipe, sizes) };
    let counts = move |genotype: &Genotype| {
        Counts::of(shape.cells, extent, |cells| Network::derived(genotype, NetworkShape { cells, ..shape }))
    };
    let setting = |(key, message)| RunError::Setting { key, message };
    let costs = Costs::measure(&candidates(recipe)?, budget, counts).ok_or_else(|| {
        let message = "is of a network of train.channels and train.cells beyond what can be counted; make it smaller";
        setting(("search.budget", message.to_owned()))
    })?;
    costs.check(plans).map_err(setting)?;
    Ok(Some(costs))
}

/// The state at the beginning, for samples of size `extent`, if the machine can have the memory for it.
pub(super) fn initial(
    recipe: &Recipe,
    sizes: Sizes,
    extent: Extent,
    ranks: &Ranks,
    context: &mut Context<'_>,
) -> Result<SearchState, RunError> {
    check_room(recipe, sizes, extent, ranks, context)?;
    let ranks = ranks.clone().with_sync_norm(recipe.search.sync_norm);
    let supernet = supernet(recipe, sizes)?;
    let weights = supernet.network.initial_weights(recipe.search.seed, &context.device);
    let statistics = supernet.network.initial_statistics(&context.device);
    let alpha = alpha(recipe, &supernet.candidates);
    let mixing = mixing(&recipe.search, 0);
    Ok(SearchState { mixing, ranks, ..SearchState::new(supernet, weights, statistics, alpha) })
}

/// The state of a search's newest checkpoint, for measuring it.
pub(crate) fn load_state(
    recipe: &Recipe,
    inputs: usize,
    folder: &Folder,
    context: &mut Context<'_>,
) -> Result<(SearchState, Vec<String>), RunError> {
    let (path, checkpoint) = folder.last(context.observer)?.ok_or_else(|| folder.without_checkpoint())?;
    let progress: Progress = checkpoint.state(&path)?;
    let classes = progress.data.classes.clone();
    progress.check_network(recipe)?;
    let sizes = Sizes { classes: classes.len(), inputs };
    let state = restore(recipe, sizes, &progress, (&path, checkpoint), &Ranks::alone(), context)?;
    Ok((state, classes))
}

pub(super) fn restore(
    recipe: &Recipe,
    sizes: Sizes,
    progress: &Progress,
    (path, mut checkpoint): (&Path, Checkpoint),
    ranks: &Ranks,
    context: &Context<'_>,
) -> Result<SearchState, RunError> {
    let fresh = supernet(recipe, sizes)?;
    let candidates = &fresh.candidates;
    let begun = alpha(recipe, candidates);
    let mut rows = |name: &str| -> Result<Vec<Rows<f32>>, CheckpointError> {
        let mut of = |(kind, begun): (&CellKind, &Rows<f32>)| -> Result<Rows<f32>, CheckpointError> {
            let count = begun.iter().map(Vec::len).sum();
            let mut values = checkpoint.take_values(&format!("{name}.{kind}"), count, path)?.into_iter();
            Ok(begun.iter().map(|row| values.by_ref().take(row.len()).collect()).collect())
        };
        candidates.space.kinds().iter().zip(&begun.values).map(&mut of).collect()
    };
    // Before the decisions, which are of these operations.
    let (values, first, second) = (rows("alpha")?, rows("alpha_first")?, rows("alpha_second")?);
    let alpha = Alpha { values, first, second, steps: progress.alpha_steps, ..begun };
    let whole = |plan: &Plan| plan.states().len() == candidates.space.edge_count();
    if progress.plans.len() != candidates.space.kinds().len() || !progress.plans.iter().all(whole) {
        let reason = format!("its decisions are of cells of another space than {}", candidates.space);
        return Err(CheckpointError::Damaged { path: path.to_owned(), reason }.into());
    }
    let supernet = fresh.with_plans(progress.plans.clone());
    let (weights, statistics) = (supernet.network.weight_counts(), supernet.network.statistic_counts());
    let mut take = |prefix: &str, counts: &[usize]| checkpoint.take(prefix, counts, path, &context.device);
    let (momentum, weights) = (take("momentum", &weights)?, take("weights", &weights)?);
    let statistics = take("statistics", &statistics)?;
    checkpoint.finish(path)?;
    // Of the epoch of the last step.
    let mixing = mixing(&recipe.search, progress.epoch.saturating_sub(usize::from(progress.step_in_epoch == 0)));
    Ok(SearchState {
        supernet,
        weights,
        statistics,
        sgd: Sgd { momentum, undecayed: Vec::new() },
        alpha,
        mixing,
        recorded: Recorded::default(),
        ranks: ranks.clone().with_sync_norm(recipe.search.sync_norm),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::NB201;

    #[test]
    fn partial_steps_need_less() {
        let candidates = Candidates::whole(&NB201);
        let shape = SupernetShape { channels: 4, cells: 3, classes: 10, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let counts =
            |share| step_counts(Relaxation::Softmax {}, &candidates, SupernetShape { share, ..shape }, [1, 8, 8]);
        let (whole, partial) = (counts(1), counts(4));
        // Six edges in a cell, each of a 1×1 and a 3×3 convolution: of a quarter of the channels in and out.
        let weights = |channels: usize| 6 * 10 * channels * channels * 15 / 16;
        let sizes = [(4, 64), (8, 16), (16, 4)];
        assert_eq!(
            whole.parameters - partial.parameters,
            sizes.map(|(channels, _)| weights(channels)).iter().sum::<usize>()
        );
        let products = sizes.map(|(channels, pixels)| weights(channels) * pixels);
        assert_eq!(whole.multiply_adds - partial.multiply_adds, products.iter().sum::<usize>());
        let results = sizes.map(|(channels, pixels)| 6 * 2 * channels * pixels * 3 / 4);
        assert_eq!(whole.activations - partial.activations, results.iter().sum::<usize>());
    }

    #[test]
    fn drawn_steps_need_the_mean_of_what_may_be_drawn() {
        let candidates = Candidates::whole(&NB201);
        let shape = SupernetShape { channels: 4, cells: 3, classes: 10, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let counts = |relaxation| step_counts(relaxation, &candidates, shape, [1, 8, 8]);
        let whole = counts(Relaxation::Softmax {});
        let hard = counts(Relaxation::GumbelHard { from: 10.0, to: 0.1 });
        assert_eq!((hard.parameters, hard.multiply_adds), (whole.parameters, whole.multiply_adds));
        // Of six edges in a cell each has two convolutions among five operations, of 4 channels and 64 pixels, 8 and
        // 16, 16 and 4: the whole keeps both results, the mean a fifth of that.
        let results = 6 * 2 * (4 * 64 + 8 * 16 + 16 * 4);
        assert_eq!(whole.activations - hard.activations, results - results / 5);
    }
}
