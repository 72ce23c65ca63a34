//! The SVG document.

use super::layout::{Point, Rect};
use super::scene::{Font, INDEX_DROP, INDEX_SIZE, Item, Paint, Scene, Segment, Style, Text};
use std::fmt::Write;

const SANS: &str = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";
const MONO: &str = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace";

/// The picture as an SVG document.
pub fn svg(picture: impl Into<Scene>) -> String {
    let Scene { width, height, title, items, .. } = picture.into();
    let mut svg = String::new();
    let out = &mut svg;
    element(
        out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" font-family=\"{SANS}\">"
        ),
    );
    element(out, format_args!("<title>{}</title>", escape(&title)));
    for item in &items {
        match item {
            Item::Box { rect: Rect { x, y, width, height }, radius, fill, stroke } => element(
                out,
                format_args!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" \
                     fill=\"{fill}\" stroke=\"{stroke}\"/>"
                ),
            ),
            Item::Path { path, paint: Paint::Fill(colour) } => {
                element(out, format_args!("<path d=\"{}\" fill=\"{colour}\"/>", data(path)));
            }
            Item::Path { path, paint: Paint::Stroke(colour, thickness) } => element(
                out,
                format_args!(
                    "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thickness}\"/>",
                    data(path)
                ),
            ),
            Item::Text(text) => write_text(out, text),
        }
    }
    element(out, format_args!("</svg>"));
    svg
}

/// A path as SVG writes it.
fn data(path: &[Segment]) -> String {
    let mut data = String::new();
    for segment in path {
        let (letter, points) = match *segment {
            Segment::Move(to) => ('M', vec![to]),
            Segment::Line(to) => ('L', vec![to]),
            Segment::Quadratic(a, to) => ('Q', vec![a, to]),
            Segment::Cubic(a, b, to) => ('C', vec![a, b, to]),
            Segment::Close => ('Z', vec![]),
        };
        let points: Vec<String> = points.iter().map(|Point { x, y }| format!("{x:.1} {y:.1}")).collect();
        data.push(letter);
        data += &points.join(" ");
    }
    data
}

fn write_text(out: &mut String, Text { at, centred, size, bold, fill, font, spans }: &Text) {
    let span = |(text, style): (String, Style)| match style {
        Style::Plain => text,
        Style::Italic => format!("<tspan font-style=\"italic\">{text}</tspan>"),
        Style::Index => format!("<tspan dy=\"{INDEX_DROP}\" font-size=\"{INDEX_SIZE}\">{text}</tspan>"),
    };
    let content: String = spans.iter().map(|part| span((escape(&part.text), part.style))).collect();
    let weight = if *bold { 600 } else { 400 };
    let font = match font {
        Font::Sans => SANS,
        Font::Mono => MONO,
    };
    let anchor = if *centred { "middle" } else { "start" };
    element(
        out,
        format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{fill}\" \
             font-family=\"{font}\" text-anchor=\"{anchor}\">{content}</text>",
            at.x, at.y
        ),
    );
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
