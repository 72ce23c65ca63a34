//! The test set on a page: accuracy, what is taken for what, the worst mistakes as pictures, and every class.

use super::html::{absent, data_url, escape, facts, table};
use crate::evaluate::{Evaluation, Examination, Frame, Mistake};
use crate::numbers::{percent, thousands};
use std::fmt::Write as _;
use tiny_skia::{IntSize, Pixmap};

/// Classes beyond which a table of all pairs is of no use.
const MATRIX: usize = 40;
/// Pairs of classes that are named.
const PAIRS: usize = 12;
/// Pixels that the longer side of a picture has at most.
const SIDE: usize = 128;

/// What is known of the test set.
#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    /// Nothing, and why.
    Not(String),
    /// What was measured.
    Done(Box<Examination>),
}

impl Measured {
    /// The part of the page; `before` is what a comparison measured and kept.
    pub(super) fn to_html(&self, of: &str, before: Option<&Evaluation>) -> String {
        match (self, before) {
            (Measured::Done(examination), _) => {
                let Examination { evaluation, confusion, mistakes } = examination.as_ref();
                let names: Vec<&str> = evaluation.classes.iter().map(|class| class.name.as_str()).collect();
                format!(
                    "{}{}{}{}",
                    numbers(evaluation, of),
                    pictures(mistakes, &names),
                    confusions(confusion, &names),
                    classes(evaluation, Some(confusion))
                )
            }
            (Measured::Not(why), Some(evaluation)) => {
                let why = format!("What is taken for what is not shown: {why}");
                format!("{}{}{}", numbers(evaluation, of), absent(&why), classes(evaluation, None))
            }
            (Measured::Not(why), None) => absent(&format!("Not measured: {why}")),
        }
    }
}

fn numbers(evaluation: &Evaluation, of: &str) -> String {
    let Evaluation { split, count, views: [clips, crops], top1, top5, loss, seconds_per_view, .. } = evaluation;
    let views = match clips * crops {
        1 => String::new(),
        _ => format!(", the mean over {clips} clips × {crops} crops of each"),
    };
    let said = format!(
        "{of} on the data set's “{split}” part, {} samples{views}, as <code>sdas eval</code> measures it.",
        thousands(*count)
    );
    let mut known = vec![("Top-1", percent(*top1)), ("Top-5", percent(*top5)), ("Loss", format!("{loss:.4} nats"))];
    if *seconds_per_view > 0.0 {
        known.push(("A sample takes", format!("{:.2} ms", 1e3 * seconds_per_view * (clips * crops) as f64)));
    }
    let [first, last] = said.split_once("<code>").map_or([said.as_str(), ""], |(first, last)| [first, last]);
    format!("<p>{}<code>{last}</p>{}", escape(first), facts(&known))
}

fn pictures(mistakes: &[Mistake], names: &[&str]) -> String {
    if mistakes.is_empty() {
        return "<h3>Worst mistakes</h3><p>There is none.</p>".to_owned();
    }
    let mut html =
        "<h3>Worst mistakes</h3><p>Those that the network is most sure of, as it sees them; of a clip the frame in \
                    the middle.</p><ul class=\"mistakes\">"
            .to_owned();
    for Mistake { is, taken_for, probability, frame } in mistakes {
        let (is, taken_for) = (escape(names[*is]), escape(names[*taken_for]));
        let picture = data_url("image/png", &png(frame));
        let _ = write!(
            html,
            "<li><img src=\"{picture}\" alt=\"{is}, taken for {taken_for}\"><span><b>{is}</b>, taken for <b>{taken_for}</b> \
             ({})</span></li>",
            percent(*probability)
        );
    }
    html + "</ul>"
}

/// A frame as a PNG file, brought down by whole steps to [`SIDE`] pixels.
fn png(frame: &Frame) -> Vec<u8> {
    let [height, width] = frame.size;
    let step = height.max(width).div_ceil(SIDE).max(1);
    let small = [height, width].map(|side| (side / step).max(1));
    let mut pixels = Vec::with_capacity(4 * small[0] * small[1]);
    for (row, column) in (0..small[0]).flat_map(|row| (0..small[1]).map(move |column| (row, column))) {
        for channel in 0..3 {
            let of = |(y, x): (usize, usize)| {
                usize::from(frame.pixels[3 * ((row * step + y) * width + column * step + x) + channel])
            };
            let block = (0..step.min(height)).flat_map(|y| (0..step.min(width)).map(move |x| (y, x)));
            let (sum, count) = block.fold((0, 0), |(sum, count), at| (sum + of(at), count + 1));
            pixels.push((sum / count) as u8);
        }
        pixels.push(255);
    }
    let size = IntSize::from_wh(small[1] as u32, small[0] as u32).expect("a frame has pixels");
    let pixmap = Pixmap::from_vec(pixels, size).expect("so many numbers as the size says");
    pixmap.encode_png().expect("memory takes any picture")
}

fn confusions(confusion: &[Vec<usize>], names: &[&str]) -> String {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (is, row) in confusion.iter().enumerate() {
        pairs.extend(
            row.iter()
                .enumerate()
                .filter(|(taken, count)| *taken != is && **count > 0)
                .map(|(taken, &count)| (count, is, taken)),
        );
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0));
    let row = |(count, is, taken): &(usize, usize, usize)| {
        let all: usize = confusion[*is].iter().sum();
        vec![names[*is].to_owned(), names[*taken].to_owned(), thousands(*count), percent(*count as f64 / all as f64)]
    };
    let rows: Vec<Vec<String>> = pairs.iter().take(PAIRS).map(row).collect();
    let most = match rows.is_empty() {
        true => String::new(),
        false => table("Most frequent confusions", &["is", "taken for", "samples", "of the class"], &rows),
    };
    let matrix = if names.len() <= MATRIX { matrix(confusion, names) } else { String::new() };
    format!("<h3>What is taken for what</h3>{matrix}{most}")
}

fn matrix(confusion: &[Vec<usize>], names: &[&str]) -> String {
    let mut html = "<div class=\"wide\" id=\"confusion\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\">\
                    <table class=\"confusion\"><caption>Confusion matrix: a row a class, a column what it is taken for</caption>\
                    <thead><tr><th scope=\"col\">is \\ taken for</th>"
        .to_owned();
    for name in names {
        let _ = write!(html, "<th scope=\"col\"><span>{}</span></th>", escape(name));
    }
    html += "</tr></thead><tbody>";
    for (is, row) in confusion.iter().enumerate() {
        let all = row.iter().sum::<usize>().max(1) as f64;
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(names[is]));
        for (taken, count) in row.iter().enumerate() {
            let class = if is == taken { "right" } else { "wrong" };
            let _ = write!(html, "<td class=\"{class}\" style=\"--share:{:.3}\">{count}</td>", *count as f64 / all);
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

fn classes(evaluation: &Evaluation, confusion: Option<&[Vec<usize>]>) -> String {
    let precision = |class: usize| {
        let confusion = confusion?;
        let taken: usize = confusion.iter().map(|row| row[class]).sum();
        Some(if taken == 0 { "–".to_owned() } else { percent(confusion[class][class] as f64 / taken as f64) })
    };
    let rows: Vec<Vec<String>> = (evaluation.classes.iter().enumerate())
        .map(|(index, class)| {
            let row = [class.name.clone(), thousands(class.count), percent(class.accuracy)];
            row.into_iter().chain(precision(index)).collect()
        })
        .collect();
    let head = ["class", "samples", "found (recall)", "right where named (precision)"];
    table("Every class", &head[..if confusion.is_some() { 4 } else { 3 }], &rows)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evaluate::ClassAccuracy;

    /// Of two classes with names that are no text, four samples, one of them wrong.
    pub(in crate::report) fn examination() -> Examination {
        let class = |name: &str, accuracy| ClassAccuracy { name: name.to_owned(), count: 2, accuracy };
        Examination {
            evaluation: Evaluation {
                split: "test".into(),
                count: 4,
                views: [1, 1],
                top1: 0.75,
                top5: 1.0,
                loss: 0.5,
                seconds_per_view: 0.002,
                classes: vec![class("<b>cat</b>", 1.0), class("dog & \"co\"", 0.5)],
            },
            confusion: vec![vec![2, 0], vec![1, 1]],
            mistakes: vec![Mistake {
                is: 1,
                taken_for: 0,
                probability: 0.9,
                frame: Frame { size: [2, 1], pixels: vec![255, 0, 0, 0, 0, 255] },
            }],
        }
    }

    #[test]
    fn every_number_is_there_and_names_are_text() {
        let html = Measured::Done(Box::new(examination())).to_html("The network", None);
        assert!(!html.contains("<b>cat") && !html.contains("dog & "), "{html}");
        assert!(html.contains(
            "<td class=\"wrong\" style=\"--share:0.500\">1</td><td class=\"right\" style=\"--share:0.500\">1</td>"
        ));
        assert!(
            html.contains("<dd>75.00 %</dd>")
                && html.contains("<dd>2.00 ms</dd>")
                && html.contains("“test” part, 4 samples")
        );
        let row = "<tr><th scope=\"row\">&lt;b&gt;cat&lt;/b&gt;</th><td>2</td><td>100.00 %</td><td>66.67 %</td></tr>";
        assert!(html.contains(row), "{html}");
        assert!(html.contains("alt=\"dog &amp; &quot;co&quot;, taken for &lt;b&gt;cat&lt;/b&gt;\""));
    }

    #[test]
    fn what_is_not_measured_is_said() {
        let not = Measured::Not("the folder \"<x>\" is gone".into());
        assert_eq!(
            not.to_html("", None),
            "<p class=\"absent\">Not measured: the folder &quot;&lt;x&gt;&quot; is gone</p>"
        );
        let evaluation = examination().evaluation;
        let html = not.to_html("", Some(&evaluation));
        assert!(html.contains("75.00 %") && html.contains("is gone") && !html.contains("precision"));
    }

    #[test]
    fn a_picture_has_its_pixels_and_a_large_one_their_means() {
        let decoded = |frame: &Frame| Pixmap::decode_png(&png(frame)).unwrap();
        let small = decoded(&examination().mistakes[0].frame);
        assert_eq!((small.width(), small.height()), (1, 2));
        assert_eq!(small.data(), [255, 0, 0, 255, 0, 0, 255, 255]);
        // Columns of 0 and 100, every two of which become one.
        let pixels = (0..2 * SIDE * SIDE).flat_map(|at| [100 * (at % 2) as u8; 3]).collect();
        let large = decoded(&Frame { size: [SIDE, 2 * SIDE], pixels });
        assert_eq!((large.width(), large.height()), (SIDE as u32, SIDE as u32 / 2));
        assert!(large.data().chunks_exact(4).all(|pixel| pixel == [50, 50, 50, 255]));
    }
}
