//! What a picture is made of: rectangles, paths and text, at their places. [`svg`](super::svg) and [`png`](super::png)
//! each put it into a form of its own.

use super::layout::{CellLayout, Cubic, EdgeLayout, LABEL_SIZE, Measure, Point, Rect, place, point};
use super::{CellPicture, EdgePicture, EdgeState, Picture};
use crate::space::OperationKind;

pub(super) const MARGIN: f64 = 28.0;
const BETWEEN: f64 = 52.0;
const LEGEND_ROW: f64 = 20.0;
pub(super) const INK: Colour = "#1f2937";
pub(super) const MUTED: Colour = "#6b7280";
const FAINT: Colour = "#b6bdc8";
const WHITE: Colour = "#ffffff";
/// Of the rail that joins nodes to the output: the nodes' own tone.
const RAIL: Colour = "#dcc88a";

/// Red, green and blue: `#rrggbb`.
pub(super) type Colour = &'static str;

/// A picture with everything at its place, on a white ground of its own so that it reads on dark pages too. Cells become one
/// ([`Picture`]), and the blocks of a network ([`Blocks`](super::Blocks)).
#[derive(Debug)]
pub struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    /// From back to front.
    pub(super) items: Vec<Item>,
    /// What is added to the place of every new item.
    pub(super) origin: Point,
}

#[derive(Debug)]
pub(super) enum Item {
    /// A rectangle with round corners and a line of width 1 around it.
    Box {
        rect: Rect,
        radius: f64,
        fill: Colour,
        stroke: Colour,
    },
    Path {
        path: Vec<Segment>,
        paint: Paint,
    },
    Text(Text),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Segment {
    Move(Point),
    Line(Point),
    Quadratic(Point, Point),
    Cubic(Point, Point, Point),
    Close,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Fill(Colour),
    /// A line of this width.
    Stroke(Colour, f64),
}

#[derive(Debug)]
pub(super) struct Text {
    /// Where its base line begins, or the middle of it.
    pub(super) at: Point,
    pub(super) centred: bool,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) fill: Colour,
    pub(super) font: Font,
    pub(super) spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Sans,
    Mono,
}

/// A part of a text.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Italic,
    /// Smaller, and lower by [`INDEX_DROP`].
    Index,
}

/// Size of an index.
pub(super) const INDEX_SIZE: f64 = 10.5;
/// How much lower it stands.
pub(super) const INDEX_DROP: f64 = 4.0;

/// Colours that people with any colour vision can tell apart, and a tint of each for the label.
fn colours(edge: &EdgePicture) -> (Colour, Colour) {
    match (edge.state, edge.kind) {
        (EdgeState::Undecided, _) | (_, OperationKind::None) => (FAINT, WHITE),
        (_, OperationKind::Noise) => ("#b45309", "#fef3c7"),
        (_, OperationKind::Skip) => ("#4b5563", "#eef0f3"),
        (_, OperationKind::Pool) => ("#c2570c", "#fdeee2"),
        (_, OperationKind::Spatial) => ("#1d6fb8", "#e5f1fb"),
        (_, OperationKind::Temporal) => ("#a8327e", "#fbe9f4"),
        (_, OperationKind::SpaceTime) => ("#0f8575", "#e0f4f0"),
    }
}

fn meaning(edge: &EdgePicture) -> &'static str {
    match (edge.state, edge.kind) {
        (EdgeState::Undecided, _) => "undecided (leading operation)",
        (_, OperationKind::None) => "none",
        (_, OperationKind::Noise) => "noise",
        (_, OperationKind::Skip) => "identity",
        (_, OperationKind::Pool) => "pooling",
        (_, OperationKind::Spatial) => "spatial convolution",
        (_, OperationKind::Temporal) => "temporal convolution",
        (_, OperationKind::SpaceTime) => "space-time convolution",
    }
}

impl From<&Picture> for Scene {
    fn from(picture: &Picture) -> Scene {
        let measure = Measure::of(picture);
        let cells: Vec<CellLayout> = picture.cells.iter().map(|cell| place(cell, measure)).collect();
        let count = cells.len().max(1) as f64;
        let width = 2.0 * MARGIN + count * measure.width() + (count - 1.0) * BETWEEN;
        let titled = if picture.title.is_empty() { 0.0 } else { 30.0 };
        let above = cells.iter().map(|cell| -cell.top).fold(0.0, f64::max);
        let below = cells.iter().map(|cell| cell.bottom).fold(0.0, f64::max);
        // The cells stand on one line.
        let line = MARGIN + titled + 28.0 + above;
        let legend_line = line + below + 34.0;
        let legend = legend(picture, width - 2.0 * MARGIN);
        let height = legend_line + LEGEND_ROW * (legend.len() as f64 - 1.0) + MARGIN - 4.0;
        let mut scene = Scene::new(width.round(), height.round(), &picture.title);
        let (width, origin) = (scene.width, scene.origin);
        for (index, (cell, layout)) in picture.cells.iter().zip(&cells).enumerate() {
            let left = MARGIN + index as f64 * (measure.width() + BETWEEN);
            let name = Text { size: 13.5, fill: MUTED, ..Text::at(point(left, MARGIN + titled + 10.0)) };
            scene.text(name, &cell.name);
            scene.origin = point(left, line);
            scene.cell(cell, layout);
            scene.origin = origin;
        }
        scene.legend(&legend, point(width / 2.0, legend_line));
        scene
    }
}

impl Scene {
    /// A ground of this size with a title, which may be empty.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut scene = Scene { width, height, title: title.to_owned(), items: Vec::new(), origin: point(0.0, 0.0) };
        let ground = Rect { x: 0.5, y: 0.5, width: width - 1.0, height: height - 1.0 };
        scene.rect(&ground, 10.0, WHITE, "#d8dde4");
        if !title.is_empty() {
            scene.text(Text { size: 17.0, bold: true, ..Text::at(point(MARGIN, MARGIN + 14.0)) }, title);
        }
        scene
    }

    fn moved(&self, at: Point) -> Point {
        point(at.x + self.origin.x, at.y + self.origin.y)
    }

    pub(super) fn rect(&mut self, rect: &Rect, radius: f64, fill: Colour, stroke: Colour) {
        let Point { x, y } = self.moved(point(rect.x, rect.y));
        self.items.push(Item::Box { rect: Rect { x, y, ..*rect }, radius, fill, stroke });
    }

    pub(super) fn path(&mut self, path: &[Segment], paint: Paint) {
        let moved = |segment: &Segment| match *segment {
            Segment::Move(to) => Segment::Move(self.moved(to)),
            Segment::Line(to) => Segment::Line(self.moved(to)),
            Segment::Quadratic(a, to) => Segment::Quadratic(self.moved(a), self.moved(to)),
            Segment::Cubic(a, b, to) => Segment::Cubic(self.moved(a), self.moved(b), self.moved(to)),
            Segment::Close => Segment::Close,
        };
        let path = path.iter().map(moved).collect();
        self.items.push(Item::Path { path, paint });
    }

    pub(super) fn text(&mut self, text: Text, content: &str) {
        self.spans(text, vec![Span { text: content.to_owned(), style: Style::Plain }]);
    }

    fn spans(&mut self, text: Text, spans: Vec<Span>) {
        let at = self.moved(text.at);
        self.items.push(Item::Text(Text { at, spans, ..text }));
    }

    fn cell(&mut self, cell: &CellPicture, layout: &CellLayout) {
        self.rail(cell, layout);
        // The settled edges last, over the others.
        for state in [EdgeState::Undecided, EdgeState::Decided] {
            for edge in layout.edges.iter().filter(|edge| cell.edges[edge.index].state == state) {
                self.edge(&cell.edges[edge.index], edge);
            }
        }
        for (state, rect) in layout.states.iter().enumerate() {
            match state.checked_sub(cell.inputs) {
                None => self.state(rect, "#f3f4f6", &["c", &format!("k−{}", cell.inputs - state)]),
                Some(node) => self.state(rect, "#fff7dc", &[&node.to_string()]),
            }
        }
        self.state(&layout.output, "#f3f4f6", &["c", "k"]);
        for edge in &layout.edges {
            self.label(&cell.edges[edge.index], &edge.label);
        }
    }

    /// The output is the nodes one after another: a rail that collects them, lighter than the edges.
    fn rail(&mut self, cell: &CellPicture, layout: &CellLayout) {
        const BEND: f64 = 8.0;
        let rail = layout.rail;
        let end = layout.output.centre().x;
        let foot = layout.output.y + layout.output.height;
        let mut path = Vec::new();
        let mut first = f64::INFINITY;
        for &state in cell.concat.iter().filter(|&&state| state < cell.states()) {
            let rect = &layout.states[state];
            // An input joins the rail from its middle, a node from its right corner, which no edge uses.
            let (x, y, towards) = match state {
                node if node >= cell.inputs => (rect.x + rect.width - 6.0, rect.y + rect.height, BEND),
                0 => (rect.centre().x - 8.0, rect.y + rect.height, BEND),
                _ => (rect.centre().x + 8.0, rect.y, -BEND),
            };
            path.push(Segment::Move(point(x, y)));
            path.push(Segment::Line(point(x, rail - towards)));
            path.push(Segment::Quadratic(point(x, rail), point(x + BEND, rail)));
            first = first.min(x + BEND);
        }
        if path.is_empty() {
            return;
        }
        let tip = foot + 1.0;
        path.push(Segment::Move(point(first, rail)));
        path.push(Segment::Line(point(end - BEND, rail)));
        path.push(Segment::Quadratic(point(end, rail), point(end, rail - BEND)));
        path.push(Segment::Line(point(end, tip + 5.0)));
        self.path(&path, Paint::Stroke(RAIL, 1.8));
        self.arrow(point(end, tip), -1.0, RAIL);
    }

    fn edge(&mut self, edge: &EdgePicture, layout: &EdgeLayout) {
        let [leave, along, mut arrive] = layout.curve;
        let (colour, _) = colours(edge);
        let thickness = if edge.state == EdgeState::Decided { 2.0 } else { 1.1 };
        let tip = arrive[3];
        let down = if arrive[0].y < tip.y { 1.0 } else { -1.0 };
        // The stroke ends inside the arrow's head, whose point is then sharp.
        arrive[3].y -= down * 5.0;
        let bezier = |[_, a, b, to]: Cubic| Segment::Cubic(a, b, to);
        let bend = leave[3];
        let path = [Segment::Move(leave[0]), bezier(leave), Segment::Line(point(along[3].x, bend.y)), bezier(arrive)];
        // A white border makes one of two crossing edges pass over the other.
        self.path(&path, Paint::Stroke(WHITE, thickness + 4.0));
        self.path(&path, Paint::Stroke(colour, thickness));
        self.arrow(tip, down, colour);
    }

    /// An arrow's head that ends in `tip`, pointing down for 1 and up for −1.
    pub(super) fn arrow(&mut self, tip: Point, down: f64, colour: Colour) {
        let back = tip.y - down * 8.0;
        let corners = [tip, point(tip.x - 3.8, back), point(tip.x + 3.8, back)];
        let [a, b, c] = corners;
        self.path(&[Segment::Move(a), Segment::Line(b), Segment::Line(c), Segment::Close], Paint::Fill(colour));
    }

    fn label(&mut self, edge: &EdgePicture, rect: &Rect) {
        let (colour, tint) = colours(edge);
        self.rect(rect, 5.0, tint, colour);
        let fill = if edge.state == EdgeState::Decided { INK } else { MUTED };
        let at = point(rect.centre().x, rect.centre().y + 0.35 * LABEL_SIZE);
        let text = Text { size: LABEL_SIZE, fill, font: Font::Mono, centred: true, ..Text::at(at) };
        self.text(text, &edge.label);
    }

    /// A state's box with its name: a number, or a letter and its index.
    fn state(&mut self, rect: &Rect, fill: Colour, name: &[&str]) {
        self.rect(rect, 7.0, fill, MUTED);
        let at = point(rect.centre().x, rect.centre().y + 5.0);
        let styles = if name.len() > 1 { [Style::Italic, Style::Index] } else { [Style::Plain; 2] };
        let spans = name.iter().zip(styles).map(|(text, style)| Span { text: text.to_string(), style });
        self.spans(Text { size: 15.0, centred: true, ..Text::at(at) }, spans.collect());
    }

    fn legend(&mut self, rows: &[Vec<Key>], at: Point) {
        for (index, row) in rows.iter().enumerate() {
            let y = at.y + index as f64 * LEGEND_ROW;
            let mut x = at.x - length(row) / 2.0;
            for key in row {
                let Key { colour, meaning } = key;
                let thickness = if [FAINT, RAIL].contains(colour) { 1.8 } else { 3.0 };
                let swatch = [point(x, y - 4.0), point(x + SWATCH, y - 4.0)];
                self.path(&[Segment::Move(swatch[0]), Segment::Line(swatch[1])], Paint::Stroke(colour, thickness));
                self.text(Text { fill: MUTED, ..Text::at(point(x + SWATCH + 7.0, y)) }, meaning);
                x += key.length() + APART;
            }
        }
    }
}

impl Text {
    pub(super) fn at(at: Point) -> Self {
        Text { at, centred: false, size: 12.0, bold: false, fill: INK, font: Font::Sans, spans: Vec::new() }
    }
}

/// One entry for each kind that occurs, and one for the rail, in as many rows as the width asks for.
fn legend(picture: &Picture, width: f64) -> Vec<Vec<Key>> {
    let mut edges: Vec<&EdgePicture> = Vec::new();
    let all = picture.cells.iter().flat_map(|cell| cell.edges.iter().map(move |edge| (cell, edge)));
    for (_, edge) in all.filter(|(cell, edge)| cell.is_possible(edge)) {
        if !edges.iter().any(|seen| meaning(seen) == meaning(edge)) {
            edges.push(edge);
        }
    }
    edges.sort_by_key(|edge| (edge.state == EdgeState::Undecided, edge.kind));
    let mut keys: Vec<Key> = edges.iter().map(|edge| Key { colour: colours(edge).0, meaning: meaning(edge) }).collect();
    let joins = picture.cells.iter().any(|cell| cell.concat.len() != 1) || picture.cells.is_empty();
    keys.push(Key { colour: RAIL, meaning: if joins { "concatenation" } else { "output" } });
    let mut rows: Vec<Vec<Key>> = Vec::new();
    for key in keys {
        match rows.last_mut() {
            Some(row) if length(row) + APART + key.length() <= width => row.push(key),
            _ => rows.push(vec![key]),
        }
    }
    rows
}

const SWATCH: f64 = 22.0;
const APART: f64 = 26.0;

struct Key {
    colour: Colour,
    meaning: &'static str,
}

impl Key {
    /// With a wide estimate for a proportional font, so that entries stay apart in any.
    fn length(&self) -> f64 {
        SWATCH + 7.0 + self.meaning.chars().count() as f64 * 6.6
    }
}

fn length(row: &[Key]) -> f64 {
    row.iter().map(|key| key.length() + APART).sum::<f64>() - APART
}
