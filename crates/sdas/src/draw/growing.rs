//! A cell whose edges change while one looks: every edge of its space at a place that it keeps, with nothing said yet of its
//! operation. A page's style gives the colours by class, and its script the states and labels.

use super::layout::{EdgeLayout, Measure, Point, Rect, place};
use super::{CellPicture, EdgePicture, EdgeState, Picture};
use crate::space::{OperationKind, Space};
use std::fmt::Write as _;

const MARGIN: f64 = 6.0;
/// Of the strip below a label that shows the mixture.
const STRIP: f64 = 3.5;

/// The cell as SVG, for the inside of a page. Edge `n` is two groups of the class `edge`: its way, `ID-n`, and over all ways
/// its label, `ID-n-label`, with a `text` and a group `strip` for what it mixes, `data-box` being the place of that. Labels
/// have room for `letters` letters.
pub(crate) fn growing(space: &Space, id: &str, name: &str, letters: usize) -> String {
    let edge = |place: crate::space::Edge| EdgePicture {
        from: place.from,
        to: space.inputs + place.node,
        label: "x".repeat(letters),
        kind: OperationKind::None,
        state: EdgeState::Undecided,
    };
    let cell = CellPicture::new(space, name, space.edges().map(edge), space.concat());
    let measure = Measure::of(&Picture { title: String::new(), cells: vec![cell.clone()] });
    let layout = place(&cell, measure);
    let (width, height) = (measure.width() + 2.0 * MARGIN, layout.bottom - layout.top + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg class=\"cell\" id=\"{id}\" viewBox=\"{:.1} {:.1} {width:.1} {height:.1}\" role=\"img\" aria-label=\"{name}\">",
        -MARGIN,
        layout.top - MARGIN
    );
    let output = layout.output;
    let nodes: Vec<&Rect> = cell.concat.iter().map(|&state| &layout.states[state]).collect();
    for node in nodes {
        let (x, foot) = (node.x + node.width - 6.0, node.y + node.height);
        let end = output.centre().x;
        let foot_of_output = output.y + output.height;
        let _ = write!(
            svg,
            "<path class=\"rail\" d=\"M{x:.1} {foot:.1}V{:.1}H{end:.1}V{foot_of_output:.1}\"/>",
            layout.rail
        );
    }
    for EdgeLayout { index, curve: [leave, along, arrive], .. } in &layout.edges {
        let mut path = format!("M{}", pair(leave[0]));
        for [_, a, b, to] in [leave, along, arrive] {
            let _ = write!(path, "C{} {} {}", pair(*a), pair(*b), pair(*to));
        }
        let tip = arrive[3];
        let back = if arrive[0].y < tip.y { tip.y - 8.0 } else { tip.y + 8.0 };
        let head = format!("M{}L{:.1} {back:.1}L{:.1} {back:.1}Z", pair(tip), tip.x - 3.8, tip.x + 3.8);
        let _ = write!(
            svg,
            "<g class=\"edge\" id=\"{id}-{index}\"><path class=\"way\" d=\"{path}\"/><path class=\"head\" d=\"{head}\"/></g>"
        );
    }
    for EdgeLayout { index, label: Rect { x, y, width, height }, .. } in &layout.edges {
        let _ = write!(
            svg,
            "<g class=\"edge\" id=\"{id}-{index}-label\" data-box=\"{x:.1} {:.1} {width:.1} {STRIP}\"><rect class=\"box\" \
             x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\"/><g class=\"strip\"></g>\
             <text x=\"{:.1}\" y=\"{:.1}\"></text></g>",
            y + height - STRIP,
            x + width / 2.0,
            y + height / 2.0 + 0.8
        );
    }
    for (state, rect) in layout.states.iter().enumerate() {
        let (class, text) = match state.checked_sub(cell.inputs) {
            None => ("input", format!("c<tspan dy=\"3\" font-size=\"9\">k−{}</tspan>", cell.inputs - state)),
            Some(node) => ("node", node.to_string()),
        };
        state_box(&mut svg, class, rect, &text);
    }
    state_box(&mut svg, "input", &output, "c<tspan dy=\"3\" font-size=\"9\">k</tspan>");
    svg + "</svg>"
}

fn pair(at: Point) -> String {
    format!("{:.1} {:.1}", at.x, at.y)
}

fn state_box(svg: &mut String, class: &str, rect: &Rect, text: &str) {
    let Rect { x, y, width, height } = *rect;
    let at = rect.centre();
    let _ = write!(
        svg,
        "<g class=\"state {class}\"><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{text}</text></g>",
        at.x,
        at.y + 5.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SPACES;

    #[test]
    fn every_edge_of_every_space_has_its_group() {
        for space in SPACES {
            let svg = growing(space, "cell-0", "normal cell", 16);
            for edge in 0..space.edge_count() {
                assert_eq!(svg.matches(&format!(" id=\"cell-0-{edge}\">")).count(), 1, "{}, edge {edge}", space.name);
            }
            assert_eq!(svg.matches("class=\"edge\"").count(), 2 * space.edge_count());
            assert_eq!(svg.matches("class=\"state ").count(), space.states() + 1);
        }
    }
}
