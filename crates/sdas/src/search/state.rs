//! A search's state at its beginning, or as a checkpoint has it.

use super::SearchState;
use super::progress::Progress;
use crate::network::{Counts, Network};
use crate::optimizer::Sgd;
use crate::recipe::{Recipe, SearchSettings};
use crate::run::{Checkpoint, CheckpointError, Context, Folder, RunError, Sizes, StepSize};
use crate::space::{EDGES, Space};
use crate::supernet::{Alpha, Supernet, SupernetShape};
use burn::tensor::Device;
use sdas_kernels::Extent;
use std::path::Path;

/// Whether the machine can have the memory for a step on samples of this size.
fn check_room(recipe: &Recipe, sizes: Sizes, extent: Extent, device: &Device) -> Result<(), RunError> {
    let (space, Sizes { classes, inputs }) = (space(recipe)?, sizes);
    let SearchSettings { channels, cells, batch, stem_stride, .. } = recipe.search;
    let keys = ["search.channels", "search.cells", "search.batch", "data.clip.frames", "data.size"];
    StepSize { keys, channels, cells, batch, extent }.check(device, |channels, cells, extent| {
        Counts::of(cells, extent, |cells| Network::supernet(&space, channels, cells, classes, inputs, stem_stride))
    })
}

fn space(recipe: &Recipe) -> Result<Space, RunError> {
    Space::subset(recipe.space.name, &recipe.space.operations)
        .map_err(|error| RunError::Setting { key: "space.operations", message: error.to_string() })
}

pub(super) fn supernet(recipe: &Recipe, sizes: Sizes) -> Result<Supernet, RunError> {
    let shape = SupernetShape {
        channels: recipe.search.channels,
        cells: recipe.search.cells,
        classes: sizes.classes,
        inputs: sizes.inputs,
        stem_stride: recipe.search.stem_stride,
    };
    Ok(Supernet::new(space(recipe)?, shape))
}

/// The state at the beginning, for samples of size `extent`, if the machine can have the memory for it.
pub(super) fn initial(
    recipe: &Recipe,
    sizes: Sizes,
    extent: Extent,
    context: &Context<'_>,
) -> Result<SearchState, RunError> {
    check_room(recipe, sizes, extent, &context.device)?;
    let supernet = supernet(recipe, sizes)?;
    let weights = supernet.network.initial_weights(recipe.search.seed, &context.device);
    let statistics = supernet.network.initial_statistics(&context.device);
    let alpha = Alpha::new(supernet.space.len(), recipe.search.seed);
    Ok(SearchState { sgd: Sgd::new(&weights), supernet, weights, statistics, alpha })
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
    let supernet = supernet(recipe, Sizes { classes: classes.len(), inputs })?;
    Ok((restore(supernet, &progress, (&path, checkpoint), context)?, classes))
}

pub(super) fn restore(
    fresh: Supernet,
    progress: &Progress,
    (path, mut checkpoint): (&Path, Checkpoint),
    context: &Context<'_>,
) -> Result<SearchState, RunError> {
    let operations = fresh.space.len();
    let mut pair = |name: &str| -> Result<[Vec<f32>; 2], CheckpointError> {
        let mut values = |kind| checkpoint.take_values(&format!("{name}.{kind}"), EDGES * operations, path);
        Ok([values("normal")?, values("reduction")?])
    };
    // Before the decisions, which are of these operations.
    let (values, first, second) = (pair("alpha")?, pair("alpha_first")?, pair("alpha_second")?);
    let alpha = Alpha { values, first, second, steps: progress.alpha_steps, operations };
    let supernet = fresh.with_plans(progress.plans.clone());
    let (weights, statistics) = (supernet.network.weight_counts(), supernet.network.statistic_counts());
    let mut take = |prefix: &str, counts: &[usize]| checkpoint.take(prefix, counts, path, &context.device);
    let (momentum, weights) = (take("momentum", &weights)?, take("weights", &weights)?);
    let statistics = take("statistics", &statistics)?;
    checkpoint.finish(path)?;
    Ok(SearchState { supernet, weights, statistics, sgd: Sgd { momentum }, alpha })
}
