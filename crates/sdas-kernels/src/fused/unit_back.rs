//! The way back through one unit, for one image.

use super::correlate::{self, ResultRows, Row, correlate_row};
use super::forward::{fill_rows, pool_input};
use super::grid::Transposed;
use super::memory::{Scratch, first};
use super::normal::Back;
use super::pack::Packed;
use super::plan::{Plan, PoolUnit, Product, Rows, Unit, strip};
use super::pool::start;
use super::product::{self, Ahead, Results, Strip, Sums, multiply};
use super::rows::{Place, reaches_all, scatter};
use crate::expression::{Extent, Pool};
use crate::lanes::{Lanes, Pixels, blocks};
use crate::registers::Registers;
use crate::weights::volume;

/// A unit and what the way back through it reads.
pub(crate) struct UnitBack<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) unit: &'a Unit,
    pub(crate) back: &'a Back,
    /// What the image has kept.
    pub(crate) kept: &'a [Lanes],
    /// The gradient of its normed results, where another unit reads them.
    pub(crate) own: Option<&'a [Lanes]>,
    /// The gradient of the edge's output, otherwise.
    pub(crate) gradient: Pixels<'a>,
    /// The edge's input.
    pub(crate) input: Pixels<'a>,
}

impl UnitBack<'_> {
    /// Fills `to`, from `start` on and `pitch` elements a block, with the gradient of the results of the strip of `pixels` from
    /// `pixel` on, or adds it where `ADD`. A pool's results are those of the strip, `pooled`.
    #[inline(always)]
    pub(super) fn result_gradient<R: Registers, const ADD: bool>(
        &self,
        (pixel, pixels): (usize, usize),
        pooled: Option<&[Lanes]>,
        to: &mut [Lanes],
        (start, pitch): (usize, usize),
    ) {
        let plane = self.unit.pixels();
        for block in 0..self.plan.blocks() {
            let to = &mut to[start + block * pitch..][..pixels];
            let [p, q, r] = self.back.plane(block).map(|lanes| self.input.present(lanes));
            let results = match pooled {
                Some(pooled) => &pooled[block * pixels..],
                None => &self.kept[self.unit.kept + block * plane + pixel..],
            };
            let results = &results[..pixels];
            let mut x = 0;
            while x < pixels {
                let left = pixels - x;
                let from = (results, block, pixel);
                if left >= 8 {
                    self.tile::<R, ADD, 8>((p, q, r), from, x, to);
                    x += 8;
                } else {
                    self.tile::<R, ADD, 1>((p, q, r), from, x, to);
                    x += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn tile<R: Registers, const ADD: bool, const P: usize>(
        &self,
        (p, q, r): (Lanes, Lanes, Lanes),
        (results, block, pixel): (&[Lanes], usize, usize),
        x: usize,
        to: &mut [Lanes],
    ) {
        let results: &[Lanes; P] = results[x..].first_chunk().expect("a tile has P pixels");
        let to: &mut [Lanes; P] = to[x..].first_chunk_mut().expect("a tile has P pixels");
        let gradients: [Lanes; P] = match self.own {
            Some(own) => *own[block * self.unit.pixels() + pixel + x..].first_chunk().expect("a tile has P pixels"),
            None => self.gradient.tile::<P>(pixel + x, block),
        };
        for i in 0..P {
            let r = if ADD { to[i].plus::<R>(r) } else { r };
            to[i] = r.add_product::<R>(q, results[i]).add_product::<R>(p, gradients[i]);
        }
    }
}

/// Goes back through a product: adds the gradient of what it reads (before the mask of its ReLU) to
/// `scratch.activated_gradient`, or to `scratch.raw_gradient` where it reads the input as it is, and that of its weights to
/// `weights` (the depthwise part and the product's).
#[inline(always)]
pub(crate) fn product_back<R: Registers>(
    of: &UnitBack,
    product: &Product,
    packed: &Packed,
    mut weights: Option<(&mut [Lanes], &mut [Lanes])>,
    back_to_source: bool,
    scratch: &mut Scratch,
) {
    let UnitBack { plan, unit, input, .. } = *of;
    let (plane, strip) = (unit.pixels(), strip(unit.output));
    let row_blocks = blocks(product.inputs);
    let Scratch { activated, grid, rows, results, row_gradients, .. } = scratch;
    let reads_raw = matches!(product.rows, Rows::Patches { activated: false, .. } | Rows::Means { .. });
    let (to, begun) = match reads_raw {
        true => (&mut scratch.raw_gradient, &mut scratch.raw_begun),
        false => (&mut scratch.activated_gradient, &mut scratch.activated_begun),
    };
    let add = std::mem::replace(begun, *begun || back_to_source);
    let depthwise = match &product.rows {
        Rows::Depthwise(depthwise) => Some(depthwise),
        _ => None,
    };
    let gradient_grid = depthwise.filter(|_| back_to_source).map(|depthwise| &depthwise.transposed.grid);
    let grid = first(grid, gradient_grid.map_or(0, |grid| plan.blocks() * grid.plane()));
    if let Some(layout) = gradient_grid {
        for plane in grid.chunks_exact_mut(layout.plane()) {
            layout.fill_border(plane, Lanes::ZERO);
        }
    }
    let mut pixel = 0;
    while pixel < plane {
        let pixels = strip.min(plane - pixel);
        let results = first(results, plan.blocks() * pixels);
        of.result_gradient::<R, false>((pixel, pixels), None, results, (0, pixels));
        let row_gradients = first(row_gradients, row_blocks * pixels);
        let [_, height, width] = unit.output;
        // Straight into the grid, if there is one.
        let (to_lanes, to_plane) = match gradient_grid {
            Some(layout) => (&mut *grid, layout.plane()),
            None => (&mut *row_gradients, pixels),
        };
        let row_at = |row: usize| {
            let y = pixel / width + row;
            gradient_grid.map_or(row * width, |layout| layout.at(y / height, y % height, 0))
        };
        let (runs, length) = match (depthwise.is_some(), back_to_source) {
            (true, _) => (pixels / width, width),
            (false, true) => (1, pixels),
            (false, false) => (0, 0),
        };
        for run in 0..runs {
            let (rows, at) = (Strip { lanes: results, pixels }, run * length..(run + 1) * length);
            let to = Results { lanes: &mut *to_lanes, start: row_at(run) - run * length, plane: to_plane };
            let sums = Sums { values: &mut [], squares: &mut [] };
            let ahead = Some(Ahead { lanes: of.kept, start: unit.kept + pixel + pixels, plane });
            match plan.shared {
                false => multiply::<R, false, false>(rows, at, plan.outputs, &packed.transposed, to, sums, ahead),
                true => multiply::<R, false, true>(rows, at, plan.outputs, &packed.transposed, to, sums, ahead),
            }
        }
        if let Some((depthwise_weights, product_weights)) = &mut weights {
            let rows = first(rows, row_blocks * pixels);
            fill_rows::<R>(unit, product, packed, plan.outputs, input, activated, (pixel, pixels), rows);
            match plan.shared {
                false => product::weight_gradients::<R, false>(Strip { lanes: rows, pixels }, results, product_weights),
                true => product::weight_gradients::<R, true>(Strip { lanes: rows, pixels }, results, product_weights),
            }
            if let Some(depthwise) = depthwise {
                let [st, sh, sw] = depthwise.window.stride;
                let taps = depthwise.taps.len();
                for block in 0..plan.blocks() {
                    let source = &activated[block * depthwise.grid.plane()..][..depthwise.grid.plane()];
                    let gradients = &mut depthwise_weights[block * taps..][..taps];
                    let start = |row: usize| {
                        let y = pixel / width + row;
                        start(&depthwise.grid, y / height * st, y % height * sh)
                    };
                    let results = &to_lanes[block * to_plane..][..to_plane];
                    let rows = ResultRows { results, rows: pixels / width, width, at: row_at, stride: sw, start };
                    correlate::weight_gradients::<R>(source, rows, &depthwise.taps, gradients);
                }
            }
        }
        if gradient_grid.is_none() && back_to_source {
            let place = Place { input: unit.input, output: unit.output, channels: plan.inputs, first: pixel, pixels };
            let to = first(to, blocks(plan.inputs) * volume(unit.input));
            if add || !reaches_all(&product.rows) {
                if !add && pixel == 0 {
                    to.fill(Lanes::ZERO);
                }
                scatter::<R, true>(&product.rows, place, row_gradients, to);
            } else {
                scatter::<R, false>(&product.rows, place, row_gradients, to);
            }
        }
        pixel += pixels;
    }
    if let Some(depthwise) = depthwise.filter(|_| back_to_source) {
        let to = first(to, plan.blocks() * volume(unit.input));
        let (stride, weights) = (depthwise.window.stride, &packed.depthwise);
        let window = (&depthwise.transposed, unit.input, stride);
        if add {
            gather_back::<R, true>(window, grid, weights, depthwise.taps.len(), to);
        } else {
            gather_back::<R, false>(window, grid, weights, depthwise.taps.len(), to);
        }
    }
}

/// Goes back through a pool of every edge of a fan: adds the gradient of the input to `scratch.raw_gradient`. The edges
/// share the pool's results, so that their gradients are summed before it.
#[inline(always)]
pub(crate) fn pool_back<R: Registers>(edges: &[UnitBack], pool: &PoolUnit, scratch: &mut Scratch) {
    let UnitBack { plan, unit, input, .. } = edges[0];
    let (plane, strip) = (unit.pixels(), strip(unit.output));
    let Scratch { raw, grid, results, pooled, columns, padded, raw_gradient, raw_begun, .. } = scratch;
    let add = std::mem::replace(raw_begun, true);
    let layout = match pool.pool {
        Pool::Max => &plan.raw,
        Pool::Average => &pool.transposed.grid,
    };
    let grid = first(grid, plan.blocks() * layout.plane());
    for (block, plane) in grid.chunks_exact_mut(layout.plane()).enumerate() {
        match pool.pool {
            Pool::Max => {
                plane.fill(Lanes::ZERO);
                let source = &mut raw[block * layout.plane()..][..layout.plane()];
                layout.fill_border(source, pool.border());
            }
            Pool::Average => layout.fill_border(plane, Lanes::ZERO),
        }
    }
    let [_, height, width] = unit.output;
    let [st, sh, _] = pool.window.stride;
    let mut pixel = 0;
    while pixel < plane {
        let pixels = strip.min(plane - pixel);
        let results = first(results, plan.blocks() * pixels);
        let pooled = first(pooled, plan.blocks() * pixels);
        let input = pool_input(plan, input, padded);
        // An average without a norm is linear.
        match pool.pool == Pool::Max || unit.statistics.is_some() {
            true => pool.strip::<R>((plan.input, plan.output), input, (pixel, pixels), columns, pooled),
            false => pooled.fill(Lanes::ZERO),
        }
        edges[0].result_gradient::<R, false>((pixel, pixels), Some(pooled), results, (0, pixels));
        for edge in &edges[1..] {
            edge.result_gradient::<R, true>((pixel, pixels), Some(pooled), results, (0, pixels));
        }
        match pool.pool {
            Pool::Average => {
                for results in results.chunks_exact_mut(pixels) {
                    for (result, share) in results.iter_mut().zip(&pool.shares[pixel..]) {
                        *result = result.times::<R>(R::splat(*share));
                    }
                }
                copy_rows(layout, unit.output, pixel, pixels, results, grid);
            }
            Pool::Max => {
                for block in 0..plan.blocks() {
                    let source = &raw[block * layout.plane()..][..layout.plane()];
                    let grid = &mut grid[block * layout.plane()..][..layout.plane()];
                    for row in 0..pixels / width {
                        let y = pixel / width + row;
                        let from = start(layout, y / height * st, y % height * sh);
                        let maxima = &pooled[block * pixels + row * width..][..width];
                        let gradients = &results[block * pixels + row * width..][..width];
                        pool.max_row_back::<R>((source, from), maxima, gradients, grid);
                    }
                }
            }
        }
        pixel += pixels;
    }
    let to = first(raw_gradient, plan.blocks() * volume(unit.input));
    match pool.pool {
        Pool::Average => {
            let window = (&pool.transposed, unit.input, pool.window.stride);
            if add {
                gather_back::<R, true>(window, grid, &pool.ones, 0, to);
            } else {
                gather_back::<R, false>(window, grid, &pool.ones, 0, to);
            }
        }
        Pool::Max => {
            let pixels = volume(unit.input);
            for (block, to) in to.chunks_exact_mut(pixels).enumerate() {
                let plane = &grid[block * layout.plane()..][..layout.plane()];
                for row in 0..layout.rows() {
                    let gradients = &plane[layout.row(row)..][..layout.width()];
                    for (to, gradient) in to[row * layout.width()..][..layout.width()].iter_mut().zip(gradients) {
                        *to = if add { to.plus::<R>(*gradient) } else { *gradient };
                    }
                }
            }
        }
    }
}

/// Copies a strip of whole rows, `[blocks, pixels]`, into a grid.
#[inline(always)]
fn copy_rows(
    layout: &super::grid::Grid,
    [_, height, width]: Extent,
    pixel: usize,
    pixels: usize,
    from: &[Lanes],
    to: &mut [Lanes],
) {
    for (from, to) in from.chunks_exact(pixels).zip(to.chunks_exact_mut(layout.plane())) {
        for (row, from) in from.chunks_exact(width).enumerate() {
            let y = pixel / width + row;
            let at = layout.at(y / height, y % height, 0);
            to[at..at + width].copy_from_slice(from);
        }
    }
}

/// Adds to `to`, `[blocks, input pixels]`, or writes there where `ADD` is not set, the gradient that comes back through a
/// window from the grid of its output's gradient; a block's weights start `taps` behind those of the block before.
#[inline(always)]
fn gather_back<R: Registers, const ADD: bool>(
    (transposed, [frames, height, width], stride): (&Transposed, Extent, Extent),
    grid: &[Lanes],
    weights: &[Lanes],
    taps: usize,
    to: &mut [Lanes],
) {
    let plane = transposed.grid.plane();
    for (block, to) in to.chunks_exact_mut(frames * height * width).enumerate() {
        let grid = &grid[block * plane..][..plane];
        let weights = &weights[block * taps..];
        for phase in &transposed.phases {
            let [first_t, first_h, first_w] = phase.first;
            for t in 0..phase.count[0] {
                for h in 0..phase.count[1] {
                    let row = (first_t + t * stride[0]) * height + first_h + h * stride[1];
                    let to_row = Row { start: row * width + first_w, step: stride[2], length: phase.count[2] };
                    let from = start(&transposed.grid, t, h);
                    correlate_row::<R, ADD>(grid, (from, 1), &phase.taps, weights, to, to_row);
                }
            }
        }
    }
}
