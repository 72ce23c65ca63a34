//! The scene of a network's blocks.

use super::blocks::{BlockKind, Blocks, LayerBlock};
use super::layout::{LABEL_SIZE, Point, Rect, label_width, point};
use super::rows::{Item, Rows};
use super::scene::{Colour, Font, INK, MARGIN, MUTED, Paint, Scene, Segment, Text};

const HEIGHT: f64 = 24.0;
const ROW: f64 = 46.0;
const LINK: Colour = "#8a93a3";

/// The line around a block, and its ground.
fn colours(kind: BlockKind) -> (Colour, Colour) {
    match kind {
        BlockKind::Light => ("#4b5563", "#eef0f3"),
        BlockKind::Input => ("#6b7280", "#f3f4f6"),
        BlockKind::Join => ("#a08a3c", "#fff7dc"),
        BlockKind::Pool => ("#c2570c", "#fdeee2"),
        BlockKind::Convolution => ("#1d6fb8", "#e5f1fb"),
        BlockKind::Linear => ("#0f8575", "#e0f4f0"),
    }
}

/// Between the label and the size.
const GAP: &str = "   ";

fn whole(block: &LayerBlock) -> String {
    format!("{}{}", block.label, block.size.as_ref().map_or(String::new(), |size| format!("{GAP}{size}")))
}

impl From<&Blocks> for Scene {
    fn from(picture: &Blocks) -> Scene {
        let placed = Rows::of(picture, |block| label_width(&whole(&picture.blocks[block])));
        let left = placed.items.iter().map(|item| item.x - item.width / 2.0).fold(0.0, f64::min);
        let right = placed.items.iter().map(|item| item.x + item.width / 2.0).fold(0.0, f64::max);
        let titled = if picture.title.is_empty() { 0.0 } else { 34.0 };
        let title_width = 10.0 * picture.title.chars().count() as f64;
        let width = (2.0 * MARGIN + (right - left).max(title_width)).round();
        let rows = placed.rows.len() as f64;
        let height = (2.0 * MARGIN + titled + ROW * (rows - 1.0).max(0.0) + HEIGHT).round();
        let mut scene = Scene::new(width, height, &picture.title);
        scene.origin = point(MARGIN - left, MARGIN + titled);
        for way in &placed.ways {
            scene.way(&way.iter().map(|&item| placed.items[item]).collect::<Vec<_>>());
        }
        for item in &placed.items {
            if let Some(block) = item.block {
                scene.block(&picture.blocks[block], item);
            }
        }
        scene
    }
}

fn top(item: &Item) -> f64 {
    item.row as f64 * ROW
}

impl Scene {
    /// A link through the rows that it passes.
    fn way(&mut self, items: &[Item]) {
        let [first, .., last] = items else { return };
        let tip = point(last.x, top(last));
        let mut at = point(first.x, top(first) + HEIGHT);
        let mut path = vec![Segment::Move(at)];
        let bend = |at: Point, to: Point| {
            let half = (to.y - at.y) / 2.0;
            Segment::Cubic(point(at.x, at.y + half), point(to.x, to.y - half), to)
        };
        for passed in &items[1..items.len() - 1] {
            let enter = point(passed.x, top(passed));
            path.push(bend(at, enter));
            at = point(passed.x, top(passed) + HEIGHT);
            path.push(Segment::Line(at));
        }
        // Ends inside the arrow's head, whose point is then sharp.
        path.push(bend(at, point(tip.x, tip.y - 5.0)));
        self.path(&path, Paint::Stroke(LINK, 1.4));
        self.arrow(tip, 1.0, LINK);
    }

    fn block(&mut self, block: &LayerBlock, item: &Item) {
        let (stroke, fill) = colours(block.kind);
        let rect = Rect { x: item.x - item.width / 2.0, y: top(item), width: item.width, height: HEIGHT };
        self.rect(&rect, 5.0, fill, stroke);
        let all = label_width(&whole(block));
        let y = rect.y + HEIGHT / 2.0 + 0.35 * LABEL_SIZE;
        let text = |x: f64, fill: Colour| Text { size: LABEL_SIZE, fill, font: Font::Mono, ..Text::at(point(x, y)) };
        let start = item.x - all / 2.0 + label_width("") / 2.0;
        self.text(text(start, INK), &block.label);
        if let Some(size) = &block.size {
            let before = format!("{}{GAP}", block.label);
            self.text(text(start + label_width(&before) - label_width(""), MUTED), size);
        }
    }
}
