//! The SVG document.

use super::layout::{CellLayout, Cubic, EdgeLayout, LABEL_SIZE, Measure, Point, Rect, place, point};
use super::{CellPicture, EdgePicture, EdgeState, Picture};
use crate::space::{INPUTS, NODES, OperationKind};
use std::fmt::Write;

const MARGIN: f64 = 28.0;
const BETWEEN: f64 = 52.0;
const LEGEND_ROW: f64 = 20.0;
const INK: &str = "#1f2937";
const MUTED: &str = "#6b7280";
const FAINT: &str = "#b6bdc8";
/// Of the rail that joins nodes to the output: the nodes' own tone.
const RAIL: &str = "#dcc88a";
const SANS: &str = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";
const MONO: &str = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace";

/// Colours that people with any colour vision can tell apart, and a tint of each for the label.
fn colours(edge: &EdgePicture) -> (&'static str, &'static str) {
    match (edge.state, edge.kind) {
        (EdgeState::Undecided, _) | (_, OperationKind::None) => (FAINT, "#ffffff"),
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
        (_, OperationKind::Skip) => "identity",
        (_, OperationKind::Pool) => "pooling",
        (_, OperationKind::Spatial) => "spatial convolution",
        (_, OperationKind::Temporal) => "temporal convolution",
        (_, OperationKind::SpaceTime) => "space-time convolution",
    }
}

/// The picture as an SVG document, on a white ground of its own so that it reads on dark pages too.
pub fn svg(picture: &Picture) -> String {
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

    let mut svg = String::new();
    let out = &mut svg;
    element(
        out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" font-family=\"{SANS}\">"
        ),
    );
    element(out, format_args!("<title>{}</title>", escape(&picture.title)));
    element(
        out,
        format_args!(
            "<rect x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"10\" fill=\"#ffffff\" stroke=\"#d8dde4\"/>",
            width.round() - 1.0,
            height.round() - 1.0
        ),
    );
    if titled > 0.0 {
        let title = Text { size: 17.0, weight: 600, ..Text::at(point(MARGIN, MARGIN + 14.0)) };
        title.write(out, &escape(&picture.title));
    }
    for (index, (cell, layout)) in picture.cells.iter().zip(&cells).enumerate() {
        let left = MARGIN + index as f64 * (measure.width() + BETWEEN);
        let name = Text { size: 13.5, fill: MUTED, ..Text::at(point(left, MARGIN + titled + 10.0)) };
        name.write(out, &escape(&cell.name));
        element(out, format_args!("<g transform=\"translate({left:.1} {line:.1})\">"));
        draw_cell(out, cell, layout);
        element(out, format_args!("</g>"));
    }
    draw_legend(out, &legend, point(width / 2.0, legend_line));
    element(out, format_args!("</svg>"));
    svg
}

fn draw_cell(out: &mut String, cell: &CellPicture, layout: &CellLayout) {
    draw_rail(out, cell, layout);
    // The settled edges last, over the others.
    for state in [EdgeState::Undecided, EdgeState::Decided] {
        for edge in layout.edges.iter().filter(|edge| cell.edges[edge.index].state == state) {
            draw_edge(out, &cell.edges[edge.index], edge);
        }
    }
    for (state, rect) in layout.states.iter().enumerate() {
        match state {
            0 => draw_box(out, rect, "#f3f4f6", "<tspan font-style=\"italic\">c</tspan>", "k−2"),
            1 => draw_box(out, rect, "#f3f4f6", "<tspan font-style=\"italic\">c</tspan>", "k−1"),
            node => draw_box(out, rect, "#fff7dc", &(node - INPUTS).to_string(), ""),
        }
    }
    draw_box(out, &layout.output, "#f3f4f6", "<tspan font-style=\"italic\">c</tspan>", "k");
    for edge in &layout.edges {
        draw_label(out, &cell.edges[edge.index], &edge.label);
    }
}

/// The output is the nodes one after another: a rail that collects them, lighter than the edges.
fn draw_rail(out: &mut String, cell: &CellPicture, layout: &CellLayout) {
    const BEND: f64 = 8.0;
    let rail = layout.rail;
    let end = layout.output.centre().x;
    let foot = layout.output.y + layout.output.height;
    let mut path = String::new();
    let mut first = f64::INFINITY;
    for &state in cell.concat.iter().filter(|&&state| state < INPUTS + NODES) {
        let rect = &layout.states[state];
        // An input joins the rail from its middle, a node from its right corner, which no edge uses.
        let (x, y, towards) = match state {
            0 => (rect.centre().x - 8.0, rect.y + rect.height, BEND),
            1 => (rect.centre().x + 8.0, rect.y, -BEND),
            _ => (rect.x + rect.width - 6.0, rect.y + rect.height, BEND),
        };
        let _ = write!(path, "M{x:.1} {y:.1}V{:.1}Q{x:.1} {rail:.1} {:.1} {rail:.1}", rail - towards, x + BEND);
        first = first.min(x + BEND);
    }
    if path.is_empty() {
        return;
    }
    let tip = foot + 1.0;
    let _ = write!(
        path,
        "M{first:.1} {rail:.1}H{:.1}Q{end:.1} {rail:.1} {end:.1} {:.1}V{:.1}",
        end - BEND,
        rail - BEND,
        tip + 5.0
    );
    element(out, format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{RAIL}\" stroke-width=\"1.8\"/>"));
    arrow(out, point(end, tip), -1.0, RAIL);
}

fn draw_edge(out: &mut String, edge: &EdgePicture, layout: &EdgeLayout) {
    let [leave, along, mut arrive] = layout.curve;
    let (colour, _) = colours(edge);
    let thickness = if edge.state == EdgeState::Decided { 2.0 } else { 1.1 };
    let tip = arrive[3];
    let down = if arrive[0].y < tip.y { 1.0 } else { -1.0 };
    // The stroke ends inside the arrow's head, whose point is then sharp.
    arrive[3].y -= down * 5.0;
    let start = leave[0];
    let mut path = format!("M{:.1} {:.1}", start.x, start.y);
    bezier(&mut path, &leave);
    let _ = write!(path, "H{:.1}", along[3].x);
    bezier(&mut path, &arrive);
    // A white border makes one of two crossing edges pass over the other.
    let border = thickness + 4.0;
    element(out, format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"#ffffff\" stroke-width=\"{border}\"/>"));
    element(out, format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thickness}\"/>"));
    arrow(out, tip, down, colour);
}

fn bezier(path: &mut String, cubic: &Cubic) {
    let [_, a, b, c] = cubic;
    let _ = write!(path, "C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.x, a.y, b.x, b.y, c.x, c.y);
}

/// An arrow's head that ends in `tip`, pointing down for 1 and up for −1.
fn arrow(out: &mut String, tip: Point, down: f64, colour: &str) {
    let (x, y, back) = (tip.x, tip.y, tip.y - down * 8.0);
    element(
        out,
        format_args!("<path d=\"M{x:.1} {y:.1}L{:.1} {back:.1}H{:.1}Z\" fill=\"{colour}\"/>", x - 3.8, x + 3.8),
    );
}

fn draw_label(out: &mut String, edge: &EdgePicture, rect: &Rect) {
    let (colour, tint) = colours(edge);
    draw_rect(out, rect, 5.0, tint, colour);
    let fill = if edge.state == EdgeState::Decided { INK } else { MUTED };
    let at = point(rect.centre().x, rect.centre().y + 0.35 * LABEL_SIZE);
    let text = Text { size: LABEL_SIZE, fill, font: MONO, anchor: "middle", ..Text::at(at) };
    text.write(out, &escape(&edge.label));
}

fn draw_box(out: &mut String, rect: &Rect, fill: &str, name: &str, index: &str) {
    draw_rect(out, rect, 7.0, fill, MUTED);
    let at = point(rect.centre().x, rect.centre().y + 5.0);
    let text = Text { size: 15.0, anchor: "middle", ..Text::at(at) };
    if index.is_empty() {
        text.write(out, name);
    } else {
        text.write(out, &format!("{name}<tspan dy=\"4\" font-size=\"10.5\">{index}</tspan>"));
    }
}

fn draw_rect(out: &mut String, rect: &Rect, radius: f64, fill: &str, stroke: &str) {
    let Rect { x, y, width, height } = rect;
    element(
        out,
        format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" \
             fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ),
    );
}

/// One entry for each kind that occurs, and one for the rail, in as many rows as the width asks for.
fn legend(picture: &Picture, width: f64) -> Vec<Vec<Key>> {
    let mut edges: Vec<&EdgePicture> = Vec::new();
    for edge in picture.cells.iter().flat_map(|cell| &cell.edges).filter(|edge| edge.is_possible()) {
        if !edges.iter().any(|seen| meaning(seen) == meaning(edge)) {
            edges.push(edge);
        }
    }
    edges.sort_by_key(|edge| (edge.state == EdgeState::Undecided, edge.kind));
    let mut keys: Vec<Key> = edges.iter().map(|edge| Key { colour: colours(edge).0, meaning: meaning(edge) }).collect();
    keys.push(Key { colour: RAIL, meaning: "concatenation" });
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
    colour: &'static str,
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

fn draw_legend(out: &mut String, rows: &[Vec<Key>], at: Point) {
    for (index, row) in rows.iter().enumerate() {
        let y = at.y + index as f64 * LEGEND_ROW;
        let mut x = at.x - length(row) / 2.0;
        for key in row {
            let Key { colour, meaning } = key;
            let thickness = if [FAINT, RAIL].contains(colour) { 1.8 } else { 3.0 };
            element(
                out,
                format_args!(
                    "<path d=\"M{x:.1} {:.1}h{SWATCH}\" stroke=\"{colour}\" stroke-width=\"{thickness}\"/>",
                    y - 4.0
                ),
            );
            Text { size: 12.0, fill: MUTED, ..Text::at(point(x + SWATCH + 7.0, y)) }.write(out, meaning);
            x += key.length() + APART;
        }
    }
}

struct Text {
    at: Point,
    size: f64,
    weight: u16,
    fill: &'static str,
    font: &'static str,
    anchor: &'static str,
}

impl Text {
    fn at(at: Point) -> Self {
        Text { at, size: 12.0, weight: 400, fill: INK, font: SANS, anchor: "start" }
    }

    /// `content` is SVG: what a user wrote is escaped before.
    fn write(&self, out: &mut String, content: &str) {
        let Text { at, size, weight, fill, font, anchor } = self;
        element(
            out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{fill}\" \
                 font-family=\"{font}\" text-anchor=\"{anchor}\">{content}</text>",
                at.x, at.y
            ),
        );
    }
}

fn element(out: &mut String, element: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{element}");
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
