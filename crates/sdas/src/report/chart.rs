//! A line chart as SVG, in the page's own colours.

use super::html::escape;
use std::fmt::Write as _;

/// Numbers over the epochs.
pub(super) struct Chart<'a> {
    /// What they are.
    pub(super) title: &'a str,
    /// Their unit, as it stands on the axis.
    pub(super) unit: &'a str,
    /// Each line's name, and its points: an epoch and a number.
    pub(super) lines: Vec<(&'a str, Vec<(f64, f64)>)>,
    /// Where decisions fell, in epochs.
    pub(super) marks: &'a [f64],
}

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// More ticks than this do not fit.
const TICKS: f64 = 5.0;

/// The range of an axis and the distance of its ticks: round numbers.
fn axis(low: f64, high: f64) -> (f64, f64, f64) {
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
    let rough = (high - low) / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step, step)
}

/// A tick's number, with as many digits as its distance to the next needs.
fn tick(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{:.digits$}", value + 0.0)
}

impl Chart<'_> {
    /// A figure, or nothing where no line has a point.
    pub(super) fn to_html(&self) -> String {
        let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let lines: Vec<(&str, Vec<(f64, f64)>)> =
            self.lines.iter().map(|(name, points)| (*name, points.iter().filter(finite).copied().collect())).collect();
        let lines: Vec<_> = lines.into_iter().filter(|(_, points): &(_, Vec<_>)| !points.is_empty()).collect();
        let points = || lines.iter().flat_map(|(_, points)| points);
        let Some(last) = points().map(|(x, _)| *x).reduce(f64::max) else { return String::new() };
        let (low, high) =
            points().fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), (_, y)| (low.min(*y), high.max(*y)));
        // From 0, so that a height is a quantity.
        let (low, high, step) = axis(low.min(0.0), high);
        let (_, _, epochs) = axis(0.0, last.max(TICKS));
        let right = last.max(1.0);
        let x = |epoch: f64| LEFT + (WIDTH - LEFT - RIGHT) * epoch / right;
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.says(&lines))
        );
        for at in (0..).map(|number| low + f64::from(number) * step).take_while(|at| *at <= high + 0.5 * step) {
            let (height, text) = (y(at), tick(at, step));
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {height:.1}H{}\"/>", WIDTH - RIGHT);
            let _ =
                write!(svg, "<text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{text}</text>", LEFT - 6.0, height + 4.0);
        }
        for at in (0..).map(|number| f64::from(number) * epochs).take_while(|at| *at <= right) {
            let _ = write!(svg, "<text class=\"tick\" x=\"{:.1}\" y=\"{}\">{at}</text>", x(at), HEIGHT - BOTTOM + 16.0);
        }
        let _ =
            write!(svg, "<text class=\"tick\" x=\"{:.1}\" y=\"{}\">epoch</text>", (LEFT + WIDTH) / 2.0, HEIGHT - 3.0);
        for mark in self.marks.iter().filter(|mark| **mark <= right) {
            let _ = write!(svg, "<path class=\"mark\" d=\"M{:.1} {TOP}V{}\"/>", x(*mark), HEIGHT - BOTTOM);
        }
        for (index, (_, points)) in lines.iter().enumerate() {
            let path: Vec<String> =
                points.iter().map(|(at, value)| format!("{:.1} {:.1}", x(*at), y(*value))).collect();
            let _ = write!(svg, "<path class=\"line s{index}\" d=\"M{}\"/>", path.join("L"));
            if let ([(at, value)], true) = (points.as_slice(), points.len() == 1) {
                let _ = write!(
                    svg,
                    "<circle class=\"dot s{index}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                    x(*at),
                    y(*value)
                );
            }
        }
        let key =
            |(index, (name, _)): (usize, &(&str, _))| format!("<span class=\"key s{index}\">{}</span>", escape(name));
        let keys: String = lines.iter().enumerate().map(key).collect();
        format!(
            "<figure><figcaption>{}, {} {keys}</figcaption>{svg}</svg></figure>",
            escape(self.title),
            escape(self.unit)
        )
    }

    /// The picture in words: where each line begins and ends.
    fn says(&self, lines: &[(&str, Vec<(f64, f64)>)]) -> String {
        let line = |(name, points): &(&str, Vec<(f64, f64)>)| {
            let (first, last) = (points[0], points[points.len() - 1]);
            format!("{name} from {:.4} in epoch {} to {:.4} in epoch {}", first.1, first.0, last.1, last.0)
        };
        format!("{}, {}: {}", self.title, self.unit, lines.iter().map(line).collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_hold_all() {
        assert_eq!(axis(0.0, 2.39), (0.0, 2.5, 0.5));
        assert_eq!(axis(0.0, 100.0), (0.0, 100.0, 20.0));
        assert_eq!(axis(0.0, 0.0), (-0.6000000000000001, 0.6000000000000001, 0.2));
        assert_eq!([tick(0.30000000000000004, 0.1), tick(-0.0, 20.0), tick(150.0, 50.0)], ["0.3", "0", "150"]);
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let lines = vec![("training", vec![(1.0, 2.0), (2.0, f64::NAN), (4.0, 1.0)]), ("held out", Vec::new())];
        let html = Chart { title: "Loss", unit: "nats", lines, marks: &[3.0] }.to_html();
        // The axis goes from 0 to 2 and from 0 to 4.
        assert!(html.contains("<path class=\"line s0\" d=\"M143.5 12.0L430.0 99.0\"/>"), "{html}");
        assert!(html.contains("<path class=\"mark\" d=\"M334.5 12V186\"/>"), "{html}");
        assert!(html.contains("training from 2.0000 in epoch 1 to 1.0000 in epoch 4") && !html.contains("held out"));
        let empty = Chart { title: "Loss", unit: "nats", lines: vec![("training", Vec::new())], marks: &[] };
        assert_eq!(empty.to_html(), "");
    }
}
