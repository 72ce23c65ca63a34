//! A comparison as people and programs read it: aligned text, Markdown, CSV.

use super::report::{Report, Summary};
use super::statistics::{Difference, Spread};

impl Report {
    /// The tables and the claims, aligned for a terminal.
    pub fn to_text(&self) -> String {
        let tables = self.tables().into_iter().map(|rows| aligned(&rows) + "\n").collect::<String>();
        format!("{tables}{}", self.sentences(""))
    }

    /// The same as Markdown.
    pub fn to_markdown(&self) -> String {
        let tables = self.tables().into_iter().map(|rows| markdown(&rows) + "\n").collect::<String>();
        format!("{tables}{}", self.sentences("- "))
    }

    /// A row a run, for other programs.
    pub fn to_csv(&self) -> String {
        let mut text = "method,seed,accuracy,test_samples,train_accuracy,train_seconds,search_seconds,peak_memory,\
                        validation_accuracy,gap,alpha_entropy,parameters,multiply_adds,skips,pools,temporal,collapsed,\
                        sample_seconds,step_seconds,train_memory\n"
            .to_owned();
        for run in &self.runs {
            let search = run.search.as_ref();
            let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            let fields = [
                run.method.clone(),
                run.seed.to_string(),
                run.accuracy.to_string(),
                run.test_samples.to_string(),
                run.train_accuracy.to_string(),
                run.train_seconds.to_string(),
                number(search.map(|search| search.seconds)),
                search.and_then(|search| search.peak_memory).map_or(String::new(), |bytes| bytes.to_string()),
                number(search.map(|search| search.validation_accuracy)),
                number(search.map(|search| search.gap)),
                number(search.and_then(|search| search.alpha_entropy)),
                run.parameters.to_string(),
                run.multiply_adds.to_string(),
                number(run.cell.map(|cell| cell.skips)),
                number(run.cell.map(|cell| cell.pools)),
                number(run.cell.map(|cell| cell.temporal)),
                run.cell.map_or(String::new(), |cell| cell.collapsed.to_string()),
                run.sample_seconds.to_string(),
                run.step_seconds.to_string(),
                run.train_memory.map_or(String::new(), |bytes| bytes.to_string()),
            ];
            text += &(fields.join(",") + "\n");
        }
        text
    }

    /// What came out, what the networks cost, and what their cells are made of; the first row of each is its head. What no
    /// method has is left out.
    pub(crate) fn tables(&self) -> Vec<Vec<Vec<String>>> {
        let against = format!("points against {}", self.reference);
        let time = format!("of {}'s time", self.reference);
        let head = ["method", "n", "test accuracy %", &against, "search s", &time, "peak MiB"];
        let results = self.rows(&head, |method| {
            vec![
                method.accuracy.n.to_string(),
                spread(Some(method.accuracy), 100.0, 1),
                difference(method.difference, 100.0, 1, true),
                spread(method.search_seconds, 1.0, 0),
                difference(method.time_ratio, 1.0, 2, false),
                spread(method.peak_memory, 1.0 / f64::from(1 << 20), 0),
            ]
        });
        let head = [
            "method",
            "skips %",
            "pools %",
            "temporal %",
            "collapsed",
            "agree %",
            "α entropy",
            "held out %",
            "gap points",
        ];
        let cells = self.rows(&head, |method| {
            vec![
                spread(method.skips, 100.0, 0),
                spread(method.pools, 100.0, 0),
                spread(method.temporal, 100.0, 0),
                method.skips.map_or(ABSENT.to_owned(), |cells| format!("{} of {}", method.collapsed, cells.n)),
                method.agreement.map_or(ABSENT.to_owned(), |share| format!("{:.0}", 100.0 * share)),
                spread(method.alpha_entropy, 1.0, 2),
                spread(method.validation_accuracy, 100.0, 1),
                spread(method.gap, 100.0, 1),
            ]
        });
        let head = ["method", "parameters k", "multiply-adds M", "ms a sample", "ms a step", "training MiB"];
        let costs = self.rows(&head, |method| {
            vec![
                spread(Some(method.parameters), 1e-3, 0),
                spread(Some(method.multiply_adds), 1e-6, 1),
                // 0 in comparisons of before, which did not measure them.
                spread(Some(method.sample_seconds).filter(|seconds| seconds.mean > 0.0), 1e3, 2),
                spread(Some(method.step_seconds).filter(|seconds| seconds.mean > 0.0), 1e3, 0),
                spread(method.train_memory, 1.0 / f64::from(1 << 20), 0),
            ]
        });
        [results, costs, cells].into_iter().map(known).filter(|table| table[0].len() > 1).collect()
    }

    fn rows(&self, head: &[&str], row: impl Fn(&Summary) -> Vec<String>) -> Vec<Vec<String>> {
        let head = head.iter().map(|name| name.to_string()).collect();
        let methods = self.methods.iter().map(|method| [vec![method.method.clone()], row(method)].concat());
        std::iter::once(head).chain(methods).collect()
    }

    /// How to read the numbers.
    pub(crate) fn explanation(&self) -> String {
        let mut text = format!(
            "Mean ± standard deviation over n seeds. In brackets: 95 % confidence interval of the mean difference from {} \
             (of the time: of the mean ratio), paired by seed, by Student's t.",
            self.reference
        );
        if self.methods.iter().any(|method| method.search_seconds.is_some()) {
            text += " Agree: how many of the found edges any two seeds have in common, with the same operation. Held out: \
                     the accuracy of the network that the search ends with, on the half that its weights were not trained \
                     on; gap: its training accuracy less that.";
        }
        text + "\n"
    }

    /// How to read the numbers, and a line a claim.
    fn sentences(&self, mark: &str) -> String {
        let mut text = self.explanation();
        if !self.claims.is_empty() {
            text.push('\n');
        }
        for claim in &self.claims {
            text += &format!("{mark}{}: {} ({})\n", claim.verdict, claim.statement, claim.evidence);
        }
        text
    }
}

/// What is not there.
const ABSENT: &str = "–";

/// The columns in which anything is there.
fn known(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let is_known = |column: usize| column == 0 || rows[1..].iter().any(|row| row[column] != ABSENT);
    let columns: Vec<usize> = (0..rows[0].len()).filter(|&column| is_known(column)).collect();
    rows.iter().map(|row| columns.iter().map(|&column| row[column].clone()).collect()).collect()
}

pub(super) fn spread(value: Option<Spread>, scale: f64, digits: usize) -> String {
    let number = |value: f64| format!("{:.digits$}", scale * value);
    match value {
        None => ABSENT.to_owned(),
        Some(Spread { mean, deviation: None, .. }) => number(mean),
        Some(Spread { mean, deviation: Some(deviation), .. }) => format!("{} ± {}", number(mean), number(deviation)),
    }
}

pub(super) fn difference(value: Option<Difference>, scale: f64, digits: usize, signed: bool) -> String {
    let number = |value: f64| match signed {
        true => format!("{:+.digits$}", scale * value),
        false => format!("{:.digits$}", scale * value),
    };
    match value {
        None => ABSENT.to_owned(),
        Some(Difference { mean, interval: None, .. }) => number(mean),
        Some(Difference { mean, interval: Some([low, high]), .. }) => {
            format!("{} [{}, {}]", number(mean), number(low), number(high))
        }
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    (0..rows[0].len()).map(width).collect()
}

/// The first column to the left, numbers to the right.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let widths = widths(rows);
    let cell = |(column, text): (usize, &String)| match column {
        0 => format!("{text:<width$}", width = widths[0]),
        _ => format!("{text:>width$}", width = widths[column]),
    };
    rows.iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n")
        .collect()
}

pub(super) fn markdown(rows: &[Vec<String>]) -> String {
    let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
    let rule = format!("|---|{}\n", "---:|".repeat(rows[0].len() - 1));
    line(&rows[0]) + &rule + &rows[1..].iter().map(|row| line(row)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;

    #[test]
    fn what_a_person_reads() {
        let text = report().to_text();
        assert!(
            text.starts_with(
                "method  n  test accuracy %   points against das  search s      of das's time  peak MiB\n\
             sdas    3       73.0 ± 1.0    +2.3 [+0.9, +3.8]   105 ± 5  0.34 [0.33, 0.35]   300 ± 0\n\
             das     3       70.7 ± 0.6                    –  310 ± 10                  –   300 ± 0\n\
             random  3      70.3 ± 10.0  -0.3 [-23.9, +23.3]         –                  –         –\n"
            ),
            "{text}"
        );
        assert!(text.contains("1 of 3") && text.contains("paired by seed"), "{text}");
        assert!(text.contains("1 of 3       79  1.50 ± 0.00  50.0 ± 0.0  10.0 ± 0.0\n"), "{text}");
        assert!(text.contains("\nsupported: sdas finds more accurate networks than das (+2.3"), "{text}");
    }

    #[test]
    fn markdown_and_csv_hold_the_same_numbers() {
        let markdown = report().to_markdown();
        assert!(markdown.contains("|---|---:|---:|---:|---:|---:|---:|\n| sdas | 3 | 73.0 ± 1.0 |"), "{markdown}");
        let csv = report().to_csv();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| line.len() == 20), "{csv}");
        assert_eq!(&lines[1][..3], ["sdas", "1", "0.72"]);
        assert_eq!((lines[9][0], lines[9][6]), ("random", ""));
    }
}
