//! A comparison as pictures: accuracy against search time and against multiply-adds, and the course of the searches.

use super::report::{Report, Summary};
use super::statistics::Spread;
use super::truth::{Band, TruthReport};
use crate::run::MetricRecord;
use plotters::coord::types::RangedCoordf64;
use plotters::coord::{CoordTranslate, Shift};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

/// Colours that people with any colour vision tell apart (Okabe, Ito, 2008), without yellow, which is faint on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const FONT: &str = "sans-serif";
/// Without the legend, which is as wide as its names.
const SIZE: (u32, u32) = (780, 520);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Fault<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// How a method looks: beyond as many as there are colours, hollow and dashed.
#[derive(Clone, Copy)]
struct Look {
    colour: RGBColor,
    hollow: bool,
}

impl Look {
    fn of(method: usize) -> Self {
        Look { colour: COLOURS[method % COLOURS.len()], hollow: method >= COLOURS.len() }
    }

    /// A dot's inside.
    fn dot(self, opacity: f64) -> ShapeStyle {
        ShapeStyle { filled: !self.hollow, ..self.colour.mix(opacity).stroke_width(2) }
    }
}

/// Test accuracy against seconds of searching, as SVG: a dot a run, and each method's means with their deviations.
pub(super) fn accuracy(report: &Report) -> String {
    let names: Vec<_> = report.methods.iter().map(|method| method.method.as_str()).enumerate().collect();
    draw(&names, |area, legend| {
        let runs = report.runs.iter().map(|run| (run.search.as_ref().map_or(0.0, |s| s.seconds), 100.0 * run.accuracy));
        let runs: Vec<(f64, f64)> = runs.collect();
        let title = format!("{}: test accuracy against search time", report.recipe);
        let ends = |bars: Vec<[f64; 3]>| bars.into_iter().flatten().collect::<Vec<f64>>();
        let x = ends(report.methods.iter().map(|method| bar(method.search_seconds, 1.0)).collect());
        let y = ends(report.methods.iter().map(|method| bar(Some(method.accuracy), 100.0)).collect());
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(
                range(runs.iter().map(|run| run.0).chain(x)),
                range(runs.iter().map(|run| run.1).chain(y)),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("seconds of searching")
            .x_label_formatter(&label)
            .y_desc("accuracy on the test set, %: every run, mean ± standard deviation")
            .y_label_formatter(&label)
            .label_style((FONT, 13))
            .draw()?;
        for (index, method) in report.methods.iter().enumerate() {
            let look = Look::of(index);
            let own = report.runs.iter().zip(&runs).filter(|(run, _)| run.method == method.method);
            chart.draw_series(own.map(|(_, &at)| Circle::new(at, 4, look.dot(0.45))))?;
            let (x, y) = (method.search_seconds, method.accuracy);
            let [left, middle, right] = bar(x, 1.0);
            let [low, mean, high] = bar(Some(y), 100.0);
            let style = look.colour.stroke_width(2);
            chart.draw_series([ErrorBar::new_vertical(middle, low, mean, high, style, 10)])?;
            chart.draw_series([ErrorBar::new_horizontal(mean, left, middle, right, style, 10)])?;
        }
        explain(&names, legend, |area, look, y| area.draw(&Circle::new((12, y), 5, look.dot(1.0))))
    })
}

/// Test accuracy against multiply-adds, which are logarithmic, as SVG: each method's means with their deviations, a dot a run,
/// and a line along the front, the methods whose mean no cheaper one reaches.
pub(super) fn cost(report: &Report) -> String {
    let names: Vec<_> = report.methods.iter().map(|method| method.method.as_str()).enumerate().collect();
    draw(&names, |area, legend| {
        let millions = |count: f64| (1e-6 * count).max(1e-6);
        let x = report.runs.iter().map(|run| millions(run.multiply_adds as f64));
        let [low, high] = [x.clone().fold(f64::INFINITY, f64::min) / 1.1, 1.1 * x.fold(0.0, f64::max)];
        let bars = report.methods.iter().flat_map(|method| bar(Some(method.accuracy), 100.0));
        let y = report.runs.iter().map(|run| 100.0 * run.accuracy).chain(bars).collect::<Vec<f64>>();
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{}: test accuracy against multiply-adds", report.recipe), (FONT, 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d((low..high).log_scale().with_key_points(ticks(low, high)), range(y.into_iter()))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("multiply-adds a sample, millions")
            .x_label_formatter(&label)
            .y_desc("accuracy on the test set, %: every run, mean ± standard deviation")
            .y_label_formatter(&label)
            .label_style((FONT, 13))
            .draw()?;
        let mean = |method: &Summary| (millions(method.multiply_adds.mean), 100.0 * method.accuracy.mean);
        let mut front: Vec<(f64, f64)> = report.methods.iter().map(mean).collect();
        front.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1)));
        let mut best = f64::NEG_INFINITY;
        front.retain(|&(_, accuracy)| {
            let is_first = accuracy > best;
            best = best.max(accuracy);
            is_first
        });
        chart.plotting_area().draw(&PathElement::new(front, BLACK.mix(0.4).stroke_width(1)))?;
        for (index, method) in report.methods.iter().enumerate() {
            let look = Look::of(index);
            let own = report.runs.iter().filter(|run| run.method == method.method);
            let at = own.map(|run| (millions(run.multiply_adds as f64), 100.0 * run.accuracy));
            chart.draw_series(at.map(|at| Circle::new(at, 4, look.dot(0.45))))?;
            let [low, middle, high] = bar(Some(method.accuracy), 100.0);
            let style = look.colour.stroke_width(2);
            chart.draw_series([ErrorBar::new_vertical(mean(method).0, low, middle, high, style, 10)])?;
        }
        explain(&names, legend, |area, look, y| area.draw(&Circle::new((12, y), 5, look.dot(1.0))))
    })
}

/// Edges decided and seconds a step over the epochs, as SVG: a line a search. `courses` has the metrics of each method's
/// searches, in the report's order.
pub(super) fn course(report: &Report, courses: &[Vec<&[MetricRecord]>]) -> String {
    let names = report.methods.iter().map(|method| method.method.as_str()).enumerate();
    let names: Vec<_> = names.zip(courses).filter(|(_, searches)| !searches.is_empty()).map(|(name, _)| name).collect();
    draw(&names, |area, legend| {
        let area = area.titled(&format!("{}: the course of the searches", report.recipe), (FONT, 20))?;
        let [upper, lower] = &area.split_evenly((2, 1))[..] else { unreachable!("two rows were asked for") };
        panel(upper, courses, "edges decided", |record| record.decided.iter().flatten().sum::<usize>() as f64)?;
        panel(lower, courses, "seconds a step", |record| record.seconds_per_step)?;
        explain(&names, legend, |area, look, y| line(area, look, vec![(2, y), (22, y)]))
    })
}

fn panel<'a>(
    area: &Area<'a>,
    courses: &[Vec<&[MetricRecord]>],
    what: &str,
    value: impl Fn(&MetricRecord) -> f64,
) -> Result<(), Fault<'a>> {
    let points = |search: &&[MetricRecord]| -> Vec<(f64, f64)> {
        search.iter().map(|record| (record.epoch as f64, value(record))).collect()
    };
    let all: Vec<(f64, f64)> = courses.iter().flat_map(|searches| searches.iter().flat_map(points)).collect();
    let epochs = all.iter().map(|point| point.0).fold(1.0, f64::max);
    let chart = axes(area, ["epoch", what], epochs, range(all.iter().map(|point| point.1).chain([0.0])))?;
    for (method, searches) in courses.iter().enumerate() {
        for search in searches {
            line(chart.plotting_area(), Look::of(method), points(search))?;
        }
    }
    Ok(())
}

/// True accuracy of the cells that searches would have come to if they had ended before, as SVG: a line a method and a band
/// around it, all of it above, and below what the better half of all cells has.
pub(super) fn trajectories(report: &TruthReport, bands: &[Band]) -> String {
    let names: Vec<_> = bands.iter().map(|band| band.method.as_str()).enumerate().collect();
    draw(&names, |area, legend| {
        let area = area.titled(&format!("{}: what the searches would have come to", report.recipe), (FONT, 20))?;
        let [upper, lower] = &area.split_evenly((2, 1))[..] else { unreachable!("two rows were asked for") };
        let [.., median, _, _] = report.table.quantiles;
        let ends = bands.iter().flat_map(|band| band.points.iter().flat_map(|&[_, low, _, high]| [low, high]));
        // No cell is better than the best, whatever a mean and a deviation say.
        let (whole, best) = (range(ends.chain([report.table.best])), report.table.best);
        let room = 0.04 * (best - median).max(1e-6);
        for (panel, y) in [(upper, whole.start..whole.end.min(best + room)), (lower, median..best + room)] {
            let chart = axes(panel, ["share of the search, %", &report.column], 100.0, y.clone())?;
            for (index, band) in bands.iter().enumerate() {
                let look = Look::of(index);
                let at = |end: usize| band.points.iter().map(move |point| (100.0 * point[0], point[end]));
                let inside = |(x, value): (f64, f64)| (x, value.clamp(y.start, y.end));
                let around: Vec<_> = at(1).chain(at(3).collect::<Vec<_>>().into_iter().rev()).map(inside).collect();
                chart.plotting_area().draw(&Polygon::new(around, look.colour.mix(0.12)))?;
                // What is lower for a while runs along the edge; what is lower all the time is not in the panel.
                if at(2).any(|(_, value)| value >= y.start) {
                    line(chart.plotting_area(), look, at(2).map(inside).collect())?;
                }
            }
        }
        explain(&names, legend, |area, look, y| line(area, look, vec![(2, y), (22, y)]))
    })
}

/// A panel's axes, called `names`, from 0 to `right`.
fn axes<'a, 'b>(
    area: &'b Area<'a>,
    [x, y]: [&str; 2],
    right: f64,
    range: Range<f64>,
) -> Result<ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>, Fault<'a>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(x)
        .x_label_formatter(&label)
        .x_labels(right.min(10.0) as usize + 1)
        .y_desc(y)
        .y_label_formatter(&label)
        .y_labels(6)
        .label_style((FONT, 13))
        .draw()?;
    Ok(chart)
}

/// A line in a method's look.
fn line<'a, C: CoordTranslate>(
    area: &DrawingArea<SVGBackend<'a>, C>,
    look: Look,
    points: Vec<C::From>,
) -> Result<(), Fault<'a>>
where
    C::From: Clone,
{
    let style = look.colour.mix(0.7).stroke_width(2);
    match look.hollow {
        true => area.draw(&DashedPathElement::new(points, 6, 4, style)),
        false => area.draw(&PathElement::new(points, style)),
    }
}

/// Says which method, by its place among all, looks how.
fn explain<'a>(
    names: &[(usize, &str)],
    legend: &Area<'a>,
    swatch: impl Fn(&Area<'a>, Look, i32) -> Result<(), Fault<'a>>,
) -> Result<(), Fault<'a>> {
    for (row, &(method, name)) in names.iter().enumerate() {
        let y = 60 + 24 * row as i32;
        swatch(legend, Look::of(method), y)?;
        let middle = (FONT, 15).into_text_style(legend).pos(Pos::new(HPos::Left, VPos::Center));
        legend.draw(&Text::new(name.to_owned(), (30, y), middle))?;
    }
    Ok(())
}

/// Draws a picture with a legend of these names on its right.
fn draw(names: &[(usize, &str)], picture: impl for<'a> Fn(&Area<'a>, &Area<'a>) -> Result<(), Fault<'a>>) -> String {
    let longest = names.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
    let (width, height) = SIZE;
    let mut svg = String::new();
    {
        let all = SVGBackend::with_string(&mut svg, (width + 44 + 9 * longest as u32, height)).into_drawing_area();
        let (area, legend) = all.split_horizontally(width);
        all.fill(&WHITE)
            .and_then(|()| picture(&area, &legend))
            .and_then(|()| all.present())
            .expect("text takes any drawing");
    }
    svg
}

/// All values with some room around them.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let high = values.clone().fold(f64::NEG_INFINITY, f64::max);
    let low = values.fold(f64::INFINITY, f64::min);
    let room = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1.0) };
    low - room..high + room
}

/// Where a logarithmic axis has labels: at powers of ten, or at round numbers where there would be fewer than two.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let multiples = |step: f64| (low / step).ceil() as i64..=(high / step).floor() as i64;
    let powers = (low.log10().ceil() as i32..=high.log10().floor() as i32).map(|power| 10f64.powi(power));
    let powers: Vec<f64> = powers.collect();
    if powers.len() > 1 {
        return powers;
    }
    let least = 10f64.powi((high - low).log10().floor() as i32 - 1);
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0].map(|step| step * least);
    let step = steps.into_iter().find(|&step| multiples(step).count() <= 8).unwrap_or(50.0 * least);
    multiples(step).map(|number| number as f64 * step).collect()
}

/// Mean minus deviation, mean, mean plus deviation; all 0 where nothing was measured.
fn bar(value: Option<Spread>, scale: f64) -> [f64; 3] {
    let (mean, deviation) = value.map_or((0.0, 0.0), |spread| (spread.mean, spread.deviation.unwrap_or(0.0)));
    [mean - deviation, mean, mean + deviation].map(|value| scale * value)
}

/// A number at an axis, without the digits that it does not need.
fn label(value: &f64) -> String {
    ((value * 1000.0).round() / 1000.0 + 0.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{report, run};
    use super::*;
    use crate::run::Phase;

    #[test]
    fn every_run_is_a_dot() {
        let svg = accuracy(&report());
        // A dot a run, a mean of each method twice (both bars), and one in the legend.
        assert_eq!(svg.matches("<circle").count(), 9 + 3 * 2 + 3, "{svg}");
        for word in ["sdas", "das", "random", "seconds of searching", "shapes: test accuracy"] {
            assert!(svg.contains(word), "{word} is missing");
        }
    }

    #[test]
    fn the_front_leaves_out_what_a_cheaper_network_reaches() {
        let at = |method: &str, millions: usize, accuracy: f64| super::super::report::Outcome {
            multiply_adds: millions * 1_000_000,
            ..run(method, 1, accuracy, None)
        };
        let runs = vec![at("large", 100, 0.9), at("small", 1, 0.5), at("poor", 50, 0.4), at("middle", 10, 0.7)];
        let svg = cost(&Report::of("shapes", runs));
        let front = svg.lines().find(|line| line.contains("<polyline") && line.contains("opacity=\"0.4\"")).unwrap();
        let points = front.split("points=\"").nth(1).unwrap().split('"').next().unwrap().split_whitespace().count();
        assert_eq!(points, 3, "{front}");
        assert!(svg.contains("multiply-adds a sample, millions") && svg.contains("poor"), "{svg}");
        for label in ["1", "10", "100"] {
            assert!(svg.lines().any(|line| line.trim() == label), "{label}: {svg}");
        }
        // The axis is no wider than what it shows.
        let svg = cost(&Report::of("shapes", vec![at("a", 2, 0.9), at("b", 3, 0.5)]));
        for label in ["2", "2.2", "3.2"] {
            assert!(svg.lines().any(|line| line.trim() == label), "{label}: {svg}");
        }
    }

    #[test]
    fn a_logarithmic_axis_has_some_labels() {
        let close = |ticks: Vec<f64>, expected: &[f64]| {
            assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
            assert!(ticks.iter().zip(expected).all(|(tick, at)| (tick - at).abs() < 1e-9), "{ticks:?}");
        };
        close(ticks(0.5, 200.0), &[1.0, 10.0, 100.0]);
        close(ticks(4.5, 5.5), &[4.6, 4.8, 5.0, 5.2, 5.4]);
        close(ticks(6.0, 60.0), &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        // All networks cost the same, whatever that is.
        for at in [1e-6, 0.03, 7.0, 999.0, 123_456.0] {
            assert!((3..=8).contains(&ticks(at / 1.1, 1.1 * at).len()), "{at}");
        }
    }

    #[test]
    fn methods_beyond_the_colours_are_hollow() {
        let runs = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|method| run(method, 1, 0.5, Some(1.0)));
        let svg = accuracy(&Report::of("shapes", runs.to_vec()));
        let hollow = |colour: &str| {
            let dots = svg.lines().filter(|line| line.contains("<circle") && line.contains(colour));
            dots.filter(|dot| dot.contains("fill=\"none\"")).count()
        };
        // Every mean is drawn twice, hollow; of the eighth, which has the first's colour, its run and the legend, too.
        assert_eq!((hollow("#0072B2"), hollow("#D55E00")), (2 + 4, 2), "{svg}");
    }

    #[test]
    fn every_search_is_a_line_in_both_panels() {
        let record = |epoch: usize| MetricRecord {
            phase: Phase::Search,
            epoch,
            step: 10 * epoch,
            rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: None,
            validation_accuracy: None,
            gradient_norm: 1.0,
            decided: Some(vec![epoch, epoch]),
            alpha_entropy: None,
            skips: None,
            pools: None,
            eigenvalue: None,
            parameters: 1,
            multiply_adds: 1,
            seconds: 1.0,
            seconds_per_step: 1.0 / epoch as f64,
            memory: None,
            peak_memory: None,
        };
        let epochs: Vec<_> = (1..=5).map(record).collect();
        let svg = course(&report(), &[vec![&epochs, &epochs], vec![&epochs], vec![]]);
        let lines =
            |colour: &str| svg.lines().filter(|line| line.contains("<polyline") && line.contains(colour)).count();
        // Each search in two panels, and the legend.
        assert_eq!((lines("#0072B2"), lines("#D55E00"), lines("#009E73")), (5, 3, 0), "{svg}");
    }

    #[test]
    fn every_method_is_a_line_and_a_band_in_both_panels() {
        let (report, bands) = crate::compare::truth::tests::trajectories();
        let svg = trajectories(&report, &bands);
        let count =
            |what: &str, colour: &str| svg.lines().filter(|line| line.contains(what) && line.contains(colour)).count();
        // The legend has lines only. The mean of all cells is below their median, where the lower panel begins.
        for (colour, lines) in [("#0072B2", 3), ("#D55E00", 3), ("#009E73", 2)] {
            assert_eq!((count("<polygon", colour), count("<polyline", colour)), (2, lines), "{colour}: {svg}");
        }
        for word in ["all", "predictor", "random", "share of the search, %", "test_200"] {
            assert!(svg.contains(word), "{word} is missing");
        }
    }
}
