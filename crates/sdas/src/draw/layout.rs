//! Where everything in a cell's picture stands.
//!
//! Lengths are in SVG user units (pixels at full size). The origin of a cell is the left end of its line of nodes, y
//! grows downwards. An edge's label lies inside the edge's own stretch of its lane, and stretches that share a lane do
//! not overlap, so labels never cover each other; lanes keep clear of the nodes.

use super::lanes::{Lane, Side, choices};
use super::{CellPicture, EdgePicture, Picture};

/// Size of the labels' type.
pub(super) const LABEL_SIZE: f64 = 11.5;
/// Width of a character of the labels' type: no common monospaced font has wider ones than 0.61 of its size.
const CHARACTER: f64 = 0.61 * LABEL_SIZE;
const LABEL_PADDING: f64 = 5.0;
const LABEL_HEIGHT: f64 = 18.0;

const NODE: (f64, f64) = (44.0, 30.0);
const INPUT: (f64, f64) = (50.0, 32.0);
const OUTPUT: (f64, f64) = (44.0, 30.0);
/// From the node's edge to the first lane, above and, where the output's rail runs between, below.
const FIRST_ABOVE: f64 = 26.0;
const FIRST_BELOW: f64 = 38.0;
const RAIL_BELOW: f64 = 16.0;
const LANE: f64 = 25.0;
/// Where an edge from an input changes to its lane.
const GATE: f64 = 30.0;
/// Least distance of the inputs' centres from the line of nodes.
const INPUT_OFFSET: f64 = 44.0;
/// How far from a node's centre line a label keeps.
const CLEAR: f64 = 7.0;
/// Other edges nearer to a label than this run behind it.
const TOUCH: f64 = 2.0;
/// Other edges nearer than this crowd it, which is avoided where there is room.
const CLOSE: f64 = 10.0;
const BEND: f64 = 20.0;
const PORTS: f64 = 9.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

pub(super) fn point(x: f64, y: f64) -> Point {
    Point { x, y }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    fn around(centre: Point, (width, height): (f64, f64)) -> Self {
        Rect { x: centre.x - width / 2.0, y: centre.y - height / 2.0, width, height }
    }

    pub(super) fn centre(&self) -> Point {
        point(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    fn right(&self) -> f64 {
        self.x + self.width
    }

    fn holds(&self, at: Point, margin: f64) -> bool {
        let within = |v: f64, start: f64, length: f64| v > start - margin && v < start + length + margin;
        within(at.x, self.x, self.width) && within(at.y, self.y, self.height)
    }
}

/// A cubic Bézier curve.
pub(super) type Cubic = [Point; 4];

/// An edge's way and label.
#[derive(Debug, Clone)]
pub(super) struct EdgeLayout {
    /// Its place in the cell's list.
    pub(super) index: usize,
    /// Out of its source, along its lane, into its node.
    pub(super) curve: [Cubic; 3],
    /// The box of its label.
    pub(super) label: Rect,
}

/// Sizes that all cells of a picture share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    label: f64,
    /// The most nodes of a cell.
    nodes: usize,
}

impl Measure {
    pub(super) fn of(picture: &Picture) -> Self {
        let labels = picture.cells.iter().flat_map(|cell| &cell.edges).map(|edge| label_width(&edge.label));
        let nodes = picture.cells.iter().map(|cell| cell.nodes).max().unwrap_or(1);
        Measure { label: labels.fold(60.0, f64::max), nodes }
    }

    fn node(&self, node: usize) -> f64 {
        let first = INPUT.0 + GATE + self.label + 2.0 * CLEAR;
        first + node as f64 * (self.label + 2.0 * CLEAR + 4.0)
    }

    fn output(&self) -> f64 {
        self.node(self.nodes - 1) + NODE.0 / 2.0 + 30.0 + OUTPUT.0 / 2.0
    }

    pub(super) fn width(&self) -> f64 {
        self.output() + OUTPUT.0 / 2.0
    }
}

pub(super) fn label_width(label: &str) -> f64 {
    label.chars().count() as f64 * CHARACTER + 2.0 * LABEL_PADDING
}

/// A cell, placed.
#[derive(Debug, Clone)]
pub(super) struct CellLayout {
    /// The inputs and the nodes, by state.
    pub(super) states: Vec<Rect>,
    pub(super) output: Rect,
    pub(super) edges: Vec<EdgeLayout>,
    /// The height that the output's rail runs in, below the nodes.
    pub(super) rail: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// The states' places, inputs first.
#[derive(Debug, Clone, Copy)]
struct Places<'a> {
    inputs: usize,
    states: &'a [Rect],
}

/// Places a cell: of the best few choices of lanes, the one whose labels lie clear of other edges.
pub(super) fn place(cell: &CellPicture, measure: Measure) -> CellLayout {
    let possible: Vec<usize> = (0..cell.edges.len()).filter(|&index| cell.is_possible(&cell.edges[index])).collect();
    let edges: Vec<&EdgePicture> = possible.iter().map(|&index| &cell.edges[index]).collect();
    let mut best: Option<(usize, CellLayout)> = None;
    for lanes in choices(&edges, cell.inputs, 6) {
        let (layout, covered) = place_in(cell, &edges, &possible, &lanes, measure);
        if best.as_ref().is_none_or(|(least, _)| covered < *least) {
            best = Some((covered, layout));
        }
    }
    best.expect("there is a choice of lanes, if only for no edges").1
}

fn height(lane: Lane) -> f64 {
    let beyond = LANE * (lane.level as f64 - 1.0);
    match lane.side {
        Side::Above => -(NODE.1 / 2.0 + FIRST_ABOVE + beyond),
        Side::Below => NODE.1 / 2.0 + FIRST_BELOW + beyond,
    }
}

/// The layout in the given lanes, and how many edges run behind labels that are not theirs.
fn place_in(
    cell: &CellPicture,
    edges: &[&EdgePicture],
    indices: &[usize],
    lanes: &[Lane],
    measure: Measure,
) -> (CellLayout, usize) {
    let inputs = cell.inputs;
    let state = |state: usize| match state.checked_sub(inputs) {
        None => Rect::around(point(INPUT.0 / 2.0, input_height(state, edges, lanes)), INPUT),
        Some(node) => Rect::around(point(measure.node(node), 0.0), NODE),
    };
    let states: Vec<Rect> = (0..cell.states()).map(state).collect();
    let states = Places { inputs, states: &states };
    let curves: Vec<[Cubic; 3]> = (0..edges.len()).map(|index| curve(index, edges, lanes, states)).collect();
    let mut covered = 0;
    let placed = (0..edges.len()).map(|index| {
        let (label, behind) = place_label(index, edges, lanes, states, &curves);
        covered += behind;
        EdgeLayout { index: indices[index], curve: curves[index], label }
    });
    let placed: Vec<EdgeLayout> = placed.collect();
    let output = Rect::around(point(measure.output(), 0.0), OUTPUT);
    let boxes = || states.states.iter().chain(placed.iter().map(|edge| &edge.label));
    let top = boxes().map(|rect| rect.y).fold(f64::INFINITY, f64::min);
    let bottom = boxes().map(|rect| rect.y + rect.height).fold(0.0, f64::max);
    (
        CellLayout {
            states: states.states.to_vec(),
            output,
            rail: NODE.1 / 2.0 + RAIL_BELOW,
            top,
            bottom,
            edges: placed,
        },
        covered,
    )
}

/// An input stands in the middle of its edges' lanes.
fn input_height(input: usize, edges: &[&EdgePicture], lanes: &[Lane]) -> f64 {
    let side = if input == 0 { -1.0 } else { 1.0 };
    let own: Vec<f64> =
        (0..edges.len()).filter(|&index| edges[index].from == input).map(|index| height(lanes[index]).abs()).collect();
    let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
    side * mean.max(INPUT_OFFSET)
}

/// Where an edge touches the box of a state: arrivals left, the longest innermost; departures right, likewise.
fn port(index: usize, arrives: bool, edges: &[&EdgePicture], lanes: &[Lane], places: Places<'_>) -> Point {
    let state = if arrives { edges[index].to } else { edges[index].from };
    let side = lanes[index].side;
    let touches = |other: usize, arrives: bool| {
        lanes[other].side == side && (if arrives { edges[other].to } else { edges[other].from }) == state
    };
    let mut arrivals: Vec<usize> = (0..edges.len()).filter(|&other| touches(other, true)).collect();
    let mut departures: Vec<usize> = (0..edges.len()).filter(|&other| touches(other, false)).collect();
    arrivals.sort_by_key(|&other| (lanes[other].level, other));
    departures.sort_by_key(|&other| (std::cmp::Reverse(lanes[other].level), other));
    let order: Vec<usize> = arrivals.iter().chain(&departures).copied().collect();
    let rank = order.iter().position(|&other| other == index).unwrap_or(0) as f64 - (order.len() as f64 - 1.0) / 2.0;
    let rect = places.states[state];
    if state < places.inputs {
        // Departures only, from the side: the outermost lane leaves farthest from the line of nodes.
        let spread = (rect.height - 10.0) / (order.len() as f64).max(1.0);
        let away = if side == Side::Above { 1.0 } else { -1.0 };
        return point(rect.right(), rect.centre().y + away * rank * spread.min(8.0));
    }
    // Below, the right corner belongs to the line that joins the output's rail.
    let (room, shift) = if side == Side::Above { (rect.width - 10.0, 0.0) } else { (rect.width - 20.0, -5.0) };
    let spread = PORTS.min(room / (order.len() as f64 - 1.0).max(1.0));
    let y = if side == Side::Above { rect.y } else { rect.y + rect.height };
    point(rect.centre().x + shift + rank * spread, y)
}

fn curve(index: usize, edges: &[&EdgePicture], lanes: &[Lane], places: Places<'_>) -> [Cubic; 3] {
    let lane = height(lanes[index]);
    let start = port(index, false, edges, lanes, places);
    let end = port(index, true, edges, lanes, places);
    let bend = BEND.min((end.x - start.x) / 2.0);
    // Of a quarter of an ellipse, to within a thousandth.
    const ROUND: f64 = 0.5523;
    let leave = if edges[index].from < places.inputs {
        let gate = start.x + GATE;
        let middle = start.x + GATE / 2.0;
        [start, point(middle, start.y), point(middle, lane), point(gate, lane)]
    } else {
        let control = start.y + ROUND * (lane - start.y);
        [start, point(start.x, control), point(start.x + bend * (1.0 - ROUND), lane), point(start.x + bend, lane)]
    };
    let control = end.y + ROUND * (lane - end.y);
    let turn = end.x - bend;
    let arrive = [point(turn, lane), point(end.x - bend * (1.0 - ROUND), lane), point(end.x, control), end];
    [leave, [leave[3], leave[3], arrive[0], arrive[0]], arrive]
}

/// Slides the label along its stretch to where fewest other edges run behind it, as near the middle as may be.
fn place_label(
    index: usize,
    edges: &[&EdgePicture],
    lanes: &[Lane],
    Places { inputs, states }: Places<'_>,
    curves: &[[Cubic; 3]],
) -> (Rect, usize) {
    let edge = edges[index];
    let size = (label_width(&edge.label), LABEL_HEIGHT);
    let (source, target) = (states[edge.from], states[edge.to]);
    let start = if edge.from < inputs { source.right() + GATE - CLEAR } else { source.centre().x + CLEAR };
    let (first, last) = (start + size.0 / 2.0, target.centre().x - CLEAR - size.0 / 2.0);
    let middle = (first + last) / 2.0;
    let reach = ((last - first) / 2.0).max(0.0);
    let runs_behind = |label: &Rect, margin: f64| {
        let runs = |other: &usize| *other != index && samples(&curves[*other]).any(|at| label.holds(at, margin));
        (0..edges.len()).filter(runs).count()
    };
    let mut best: Option<((usize, usize), Rect)> = None;
    for step in 0..=(reach / 4.0) as usize {
        for direction in [1.0, -1.0] {
            let label = Rect::around(point(middle + direction * 4.0 * step as f64, height(lanes[index])), size);
            let cost = (runs_behind(&label, TOUCH), runs_behind(&label, CLOSE));
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, label));
            }
        }
        if best.is_some_and(|(cost, _)| cost == (0, 0)) {
            break;
        }
    }
    let ((behind, _), label) = best.expect("the middle is always tried");
    (label, behind)
}

fn samples(curve: &[Cubic; 3]) -> impl Iterator<Item = Point> + '_ {
    curve.iter().flat_map(|cubic| (0..=24).map(move |step| along(cubic, step as f64 / 24.0)))
}

fn along(cubic: &Cubic, t: f64) -> Point {
    let s = 1.0 - t;
    let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
    let sum = |of: fn(&Point) -> f64| cubic.iter().zip(weights).map(|(at, weight)| weight * of(at)).sum();
    point(sum(|at| at.x), sum(|at| at.y))
}

#[cfg(test)]
mod tests;
