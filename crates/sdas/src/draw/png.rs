//! The picture as pixels, with letters of our own: a machine may have no fonts, and those that it has look different on
//! each. `fonts/` holds the letters of DejaVu Sans and DejaVu Sans Mono that names and titles are made of (Latin, Greek and
//! Cyrillic; of the latter ASCII), cut out by fontTools.

use super::layout::{Point, Rect, point};
use super::scene::{Colour, Font, INDEX_DROP, INDEX_SIZE, Item, Paint, Scene, Segment, Style, Text};
use tiny_skia::{FillRule, PathBuilder, Pixmap, Stroke, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Pixels for each unit of the scene, so that it stays sharp on dense screens and in print.
const SCALE: f32 = 2.0;
const SANS: &[u8] = include_bytes!("fonts/DejaVuSans.ttf");
const MONO: &[u8] = include_bytes!("fonts/DejaVuSansMono.ttf");
/// Sideways for each unit up, where letters slant.
const SLANT: f32 = 0.2;
/// Of a letter's size: the line around it that makes it bold.
const BOLD: f64 = 0.04;

/// The picture as a PNG file's bytes.
pub fn png(picture: impl Into<Scene>) -> Vec<u8> {
    let scene: Scene = picture.into();
    let pixels = |length: f64| (length * f64::from(SCALE)) as u32;
    let pixmap =
        Pixmap::new(pixels(scene.width), pixels(scene.height)).expect("a picture has a size, and not a huge one");
    let mut canvas = Canvas { pixmap, sans: face(SANS), mono: face(MONO) };
    for item in &scene.items {
        match item {
            Item::Box { rect, radius, fill, stroke } => {
                let path = rounded(rect, *radius);
                canvas.draw(path.clone(), Paint::Fill(fill));
                canvas.draw(path, Paint::Stroke(stroke, 1.0));
            }
            Item::Path { path, paint } => canvas.draw(built(path), *paint),
            Item::Text(text) => canvas.text(text),
        }
    }
    canvas.pixmap.encode_png().expect("memory takes any picture")
}

struct Canvas {
    pixmap: Pixmap,
    sans: Face<'static>,
    mono: Face<'static>,
}

impl Canvas {
    fn draw(&mut self, path: PathBuilder, paint: Paint) {
        // One without any segment draws nothing: a space, an empty title.
        let Some(path) = path.finish() else { return };
        let mut with = tiny_skia::Paint::default();
        let (Paint::Fill(colour) | Paint::Stroke(colour, _)) = paint;
        let [red, green, blue] = channels(colour);
        with.set_color_rgba8(red, green, blue, 255);
        let scale = Transform::from_scale(SCALE, SCALE);
        match paint {
            Paint::Fill(_) => self.pixmap.fill_path(&path, &with, FillRule::Winding, scale, None),
            Paint::Stroke(_, width) => {
                let stroke = Stroke { width: width as f32, ..Stroke::default() };
                self.pixmap.stroke_path(&path, &with, &stroke, scale, None);
            }
        }
    }

    fn text(&mut self, text: &Text) {
        let face = match text.font {
            Font::Sans => &self.sans,
            Font::Mono => &self.mono,
        };
        let mut pen = Pen { path: PathBuilder::new(), at: point(0.0, 0.0), scale: 1.0, slant: 0.0 };
        for span in &text.spans {
            let (size, drop) = match span.style {
                Style::Index => (INDEX_SIZE, INDEX_DROP),
                Style::Plain | Style::Italic => (text.size, 0.0),
            };
            pen.scale = size as f32 / f32::from(face.units_per_em());
            pen.slant = if span.style == Style::Italic { SLANT } else { 0.0 };
            pen.at.y = text.at.y + drop;
            for letter in span.text.chars() {
                // The first glyph is the box that stands for what a font lacks.
                let glyph = face.glyph_index(letter).unwrap_or(GlyphId(0));
                face.outline_glyph(glyph, &mut pen);
                pen.at.x += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * f64::from(pen.scale);
            }
        }
        let left = text.at.x - if text.centred { pen.at.x / 2.0 } else { 0.0 };
        let Some(path) = pen.path.finish().and_then(|path| path.transform(Transform::from_translate(left as f32, 0.0)))
        else {
            return;
        };
        let mut letters = PathBuilder::new();
        letters.push_path(&path);
        if text.bold {
            self.draw(letters.clone(), Paint::Stroke(text.fill, BOLD * text.size));
        }
        self.draw(letters, Paint::Fill(text.fill));
    }
}

/// Writes letters one after another, from 0 on.
struct Pen {
    path: PathBuilder,
    at: Point,
    scale: f32,
    slant: f32,
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.at.x as f32 + self.scale * (x + self.slant * y), self.at.y as f32 - self.scale * y)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

fn face(font: &'static [u8]) -> Face<'static> {
    Face::parse(font, 0).expect("our own font is whole")
}

fn channels(colour: Colour) -> [u8; 3] {
    let all = u32::from_str_radix(&colour[1..], 16).expect("a colour is #rrggbb");
    [all >> 16, all >> 8, all].map(|channel| channel as u8)
}

fn built(segments: &[Segment]) -> PathBuilder {
    let mut path = PathBuilder::new();
    let at = |Point { x, y }: Point| (x as f32, y as f32);
    for segment in segments {
        match *segment {
            Segment::Move(to) => path.move_to(at(to).0, at(to).1),
            Segment::Line(to) => path.line_to(at(to).0, at(to).1),
            Segment::Quadratic(a, to) => path.quad_to(at(a).0, at(a).1, at(to).0, at(to).1),
            Segment::Cubic(a, b, to) => path.cubic_to(at(a).0, at(a).1, at(b).0, at(b).1, at(to).0, at(to).1),
            Segment::Close => path.close(),
        }
    }
    path
}

/// A rectangle with round corners, each a curve whose handles are as long as those of a circle.
fn rounded(&Rect { x, y, width, height }: &Rect, radius: f64) -> PathBuilder {
    let handle = radius * (1.0 - 0.552_285);
    let (right, bottom) = (x + width, y + height);
    let corner = |(x, y): (f64, f64), (from_x, from_y): (f64, f64), (to_x, to_y): (f64, f64)| {
        [
            Segment::Line(point(x + radius * from_x, y + radius * from_y)),
            Segment::Cubic(
                point(x + handle * from_x, y + handle * from_y),
                point(x + handle * to_x, y + handle * to_y),
                point(x + radius * to_x, y + radius * to_y),
            ),
        ]
    };
    let corners = [
        corner((right, y), (-1.0, 0.0), (0.0, 1.0)),
        corner((right, bottom), (0.0, -1.0), (-1.0, 0.0)),
        corner((x, bottom), (1.0, 0.0), (0.0, -1.0)),
        corner((x, y), (0.0, 1.0), (1.0, 0.0)),
    ];
    let mut path = vec![Segment::Move(point(x + radius, y))];
    path.extend(corners.into_iter().flatten());
    path.push(Segment::Close);
    built(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Picture;
    use crate::genotype::published;

    fn drawn(picture: &Picture) -> Pixmap {
        Pixmap::decode_png(&png(picture)).unwrap()
    }

    /// Pixels of a part of the picture, as far as there are any, that have nearly this colour.
    fn count(pixels: &Pixmap, &Rect { x, y, width, height }: &Rect, colour: Colour) -> usize {
        let wanted = channels(colour);
        let range =
            |from: f64, length: f64| (from * f64::from(SCALE)) as u32..((from + length) * f64::from(SCALE)) as u32;
        let all = range(y, height).flat_map(|y| range(x, width).map(move |x| (x, y)));
        let is_it = |(x, y): &(u32, u32)| {
            pixels.pixel(*x, *y).is_some_and(|pixel| {
                let own = pixel.demultiply();
                [own.red(), own.green(), own.blue()].iter().zip(wanted).all(|(own, wanted)| own.abs_diff(wanted) < 40)
            })
        };
        all.filter(is_it).count()
    }

    #[test]
    fn boxes_lines_and_letters_are_where_they_belong() {
        let picture = Picture::of(&published("pdarts").unwrap(), "Größe, Δ и 1");
        let (pixels, scene) = (drawn(&picture), Scene::from(&picture));
        assert_eq!((pixels.width(), pixels.height()), (2 * scene.width as u32, 2 * scene.height as u32));
        let mut texts = 0;
        for item in &scene.items {
            match item {
                Item::Box { rect, fill, .. } => {
                    let all = (4.0 * rect.width * rect.height) as usize;
                    assert!(count(&pixels, rect, fill) > all / 2, "{rect:?} is not filled");
                }
                Item::Path { path, paint: Paint::Stroke(colour, _) } if *colour != "#ffffff" => {
                    let Segment::Move(start) = path[0] else { panic!("a path begins somewhere") };
                    let around = Rect { x: start.x - 3.0, y: start.y - 3.0, width: 6.0, height: 6.0 };
                    assert!(count(&pixels, &around, colour) > 3, "{colour} does not begin at {start:?}");
                }
                Item::Path { .. } => {}
                Item::Text(text) => {
                    let letters: usize = text.spans.iter().map(|span| span.text.chars().count()).sum();
                    let width = text.size * 0.7 * letters as f64;
                    let left = text.at.x - if text.centred { width / 2.0 } else { 0.0 };
                    let around = Rect { x: left, y: text.at.y - text.size, width, height: text.size + INDEX_DROP };
                    // The strokes of a letter are about a tenth of its size wide, and longer than that.
                    let least = (letters as f64 * text.size) as usize;
                    assert!(count(&pixels, &around, text.fill) > least, "{text:?} cannot be read");
                    texts += 1;
                }
            }
        }
        // A title, two names, twice eight labels and seven states, and four or five entries of the legend.
        assert!((37..39).contains(&texts), "{texts}");
    }

    #[test]
    fn what_the_font_lacks_is_a_box_and_a_picture_of_nothing_a_picture() {
        let draw = |title: &str| drawn(&Picture { title: title.to_owned(), cells: Vec::new() });
        let all = Rect { x: 0.0, y: 0.0, width: 1e3, height: 1e3 };
        let dark = |title: &str| count(&draw(title), &all, "#1f2937");
        assert_eq!((dark(""), dark(" ")), (0, 0));
        assert!(dark("漢") > 20 && dark("漢字") > dark("漢"));
    }
}
