//! Which side of the line of nodes each edge runs on, and in which lane there.
//!
//! Edges from the first input run above and from a second below, because the inputs stand there. The edges between
//! nodes, at most six in a cell with one edge between two states, are tried on both sides in every combination.

use super::EdgePicture;

/// The side of the line of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

/// An edge's way, as far as it does not depend on sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) side: Side,
    /// 1 is next to the nodes.
    pub(super) level: usize,
}

/// Columns of the picture: the inputs share the first.
fn columns(edge: &EdgePicture, inputs: usize) -> (usize, usize) {
    (edge.from.saturating_sub(inputs - 1), edge.to + 1 - inputs)
}

/// Edges between nodes beyond which not every combination is tried; only repeated edges lead there.
const TRIED: usize = 8;

/// The best few choices of lanes for all edges, best first.
pub(super) fn choices(edges: &[&EdgePicture], inputs: usize, count: usize) -> Vec<Vec<Lane>> {
    let inner: Vec<usize> = (0..edges.len()).filter(|&index| edges[index].from >= inputs).collect();
    let combinations = 1usize << inner.len().min(TRIED);
    let mut ranked: Vec<(usize, Vec<Lane>)> = (0..combinations)
        .map(|combination| {
            let sides: Vec<Side> = (0..edges.len())
                .map(|index| match (edges[index].from, inner.iter().position(|&i| i == index)) {
                    (_, Some(bit)) if combination >> (bit % TRIED) & 1 == 1 => Side::Below,
                    (1, None) => Side::Below,
                    _ => Side::Above,
                })
                .collect();
            let lanes = levels(edges, inputs, &sides);
            (cost(edges, inputs, &lanes), lanes)
        })
        .collect();
    // Stable, so that equal pictures come out equal.
    ranked.sort_by_key(|(cost, _)| *cost);
    ranked.into_iter().take(count).map(|(_, lanes)| lanes).collect()
}

/// Short edges next to the nodes, longer ones around them; edges that do not meet share a level.
fn levels(edges: &[&EdgePicture], inputs: usize, sides: &[Side]) -> Vec<Lane> {
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_by_key(|&index| {
        let (start, end) = columns(edges[index], inputs);
        (end - start, start, index)
    });
    let mut lanes: Vec<Lane> = sides.iter().map(|&side| Lane { side, level: 0 }).collect();
    for &index in &order {
        let (start, end) = columns(edges[index], inputs);
        let meets = |other: usize| {
            let (s, e) = columns(edges[other], inputs);
            sides[other] == sides[index] && start < e && s < end
        };
        let highest = (0..edges.len()).filter(|&other| meets(other)).map(|other| lanes[other].level).max();
        lanes[index].level = 1 + highest.unwrap_or(0);
    }
    lanes
}

/// Crossings weigh most, then height, then an even spread over the two sides.
fn cost(edges: &[&EdgePicture], inputs: usize, lanes: &[Lane]) -> usize {
    let mut crossings = 0;
    for (a, edge) in edges.iter().enumerate() {
        let (start, end) = columns(edge, inputs);
        for (b, other) in edges.iter().enumerate() {
            let (s, e) = columns(other, inputs);
            crossings += usize::from(lanes[a].side == lanes[b].side && start < s && s < end && end < e);
        }
    }
    let height = |side| lanes.iter().filter(|lane| lane.side == side).map(|lane| lane.level).max().unwrap_or(0);
    let (above, below) = (height(Side::Above), height(Side::Below));
    let total: usize = lanes.iter().map(|lane| lane.level).sum();
    24 * crossings + 8 * (above + below) + 2 * above.abs_diff(below) + total
}
