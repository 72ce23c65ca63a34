//! A comparison by a table as people and programs read it: aligned text, Markdown, CSV.

use super::report::{Judged, TruthReport};
use crate::compare::statistics::Spread;
use crate::compare::table::{aligned, difference, markdown, spread};

impl TruthReport {
    /// The table, what to read it by and the claims, aligned for a terminal.
    pub fn to_text(&self) -> String {
        format!("{}\n{}", aligned(&self.rows()), self.sentences(""))
    }

    /// The same as Markdown.
    pub fn to_markdown(&self) -> String {
        format!("{}\n{}", markdown(&self.rows()), self.sentences("- "))
    }

    /// A row a found cell, for other programs.
    pub fn to_csv(&self) -> String {
        let mut text = "method,seed,architecture,accuracy,rank,regret,validation_accuracy,validation_rank,parameters,\
                        multiply_adds,search_seconds,peak_memory,questions\n"
            .to_owned();
        for run in &self.runs {
            fn some<T: ToString>(value: Option<T>) -> String {
                value.map_or(String::new(), |value| value.to_string())
            }
            let fields = [
                run.method.clone(),
                run.seed.to_string(),
                run.architecture.clone(),
                run.truth.value.to_string(),
                run.truth.rank.to_string(),
                run.truth.regret.to_string(),
                some(run.validation.as_ref().map(|at| at.value)),
                some(run.validation.as_ref().map(|at| at.rank)),
                some(run.parameters),
                some(run.multiply_adds),
                run.seconds.to_string(),
                some(run.peak_memory),
                some(run.questions),
            ];
            text += &(fields.join(",") + "\n");
        }
        text
    }

    /// A row a method; the first is the head.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let against = self.reference.as_ref().map_or("points".to_owned(), |name| format!("points against {name}"));
        let time = self.reference.as_ref().map_or("of the time".to_owned(), |name| format!("of {name}'s time"));
        let head =
            ["method", "n", &self.column, &against, "regret", "rank", "median rank", "search s", &time, "peak MiB"];
        let head = head.into_iter().chain(["questions"]).map(str::to_owned).collect();
        let row = |method: &Judged| {
            vec![
                method.method.clone(),
                method.accuracy.n.to_string(),
                spread(Some(method.accuracy), 1.0, 2),
                difference(method.difference, 1.0, 2, true),
                spread(Some(method.regret), 1.0, 2),
                spread(Some(method.rank), 1.0, 0),
                format!("{}", method.median_rank),
                spread(method.search_seconds, 1.0, digits_of_seconds(method.search_seconds)),
                difference(method.time_ratio, 1.0, 2, false),
                spread(method.peak_memory, 1.0 / f64::from(1 << 20), 0),
                method.questions.map_or("–".to_owned(), |questions| format!("{:.0}", questions.mean)),
            ]
        };
        std::iter::once(head).chain(self.methods.iter().map(row)).collect()
    }

    /// How to read the numbers.
    pub(crate) fn explanation(&self) -> String {
        let table = &self.table;
        let quantiles: Vec<String> = table.quantiles.iter().map(|value| format!("{value:.2}")).collect();
        let [column, best] = [&self.column, &self.best];
        let mut text = format!(
            "Mean ± standard deviation over n seeds, of `random` over all cells; {column} is looked up in the table, where the best \
             of {} cells has {:.2}: {best}. Quantiles of all cells (5, 25, 50, 75, 95 %): {}. Rank 1 is the best. Questions: \
             accuracies ({}) of trained cells that the method asks for; the training behind them is not in its seconds.",
            table.cells,
            table.best,
            quantiles.join(", "),
            self.validation
        );
        if let Some(reference) = &self.reference {
            text += &format!(
                " In brackets: 95 % confidence interval of the mean difference from {reference} (of the time: of the mean ratio), \
                 paired by seed, by Student's t."
            );
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

/// Searches that train take minutes and more, those that ask the table take a part of a second.
fn digits_of_seconds(seconds: Option<Spread>) -> usize {
    match seconds.map_or(0.0, |seconds| seconds.mean) {
        10.0.. => 0,
        1.0..10.0 => 1,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::super::report::TruthReport;
    use super::super::tests::truth;
    use crate::table::VALIDATION;

    /// das finds cells 9, 12 and 15; sdas 20, 21 and 25 in a third of the time; evolution asks 110 questions.
    fn report() -> TruthReport {
        let truth = truth(VALIDATION);
        let found = |method: &str, cells: [usize; 3], seconds: f64, questions: Option<usize>| {
            (1..)
                .zip(cells)
                .map(|(seed, cell)| {
                    let memory = questions.is_none().then_some(300 << 20);
                    let seconds = seconds + seed as f64;
                    Found { seconds, questions, peak_memory: memory, ..Found::of(method, seed, &truth, cell) }
                })
                .collect::<Vec<_>>()
        };
        let runs = [
            found("sdas", [20, 21, 25], 98.0, None),
            found("das", [9, 12, 15], 298.0, None),
            found("evolution", [25, 25, 25], 0.0, Some(110)),
        ];
        let methods = [("sdas", false), ("das", false), ("evolution", false), ("random", true), ("late", false)];
        TruthReport::of("nb201", &truth, &methods, runs.concat())
    }

    #[test]
    fn what_a_person_reads() {
        // By hand: sdas 22 ± 2.65, ranks 7, 6 and 1; differences from das 11, 9, 10 (s = 1, half width 4.3027/√3 = 2.48).
        let text = report().to_text();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(
            lines[0],
            [
                "method",
                "n",
                "test_200",
                "points against das",
                "regret",
                "rank",
                "median rank",
                "search s",
                "of das's time",
                "peak MiB",
                "questions"
            ]
        );
        assert_eq!(
            lines[1],
            [
                "sdas",
                "3",
                "22.00 ± 2.65",
                "+10.00 [+7.52, +12.48]",
                "3.00 ± 2.65",
                "5 ± 3",
                "6",
                "100 ± 1",
                "0.33 [0.33, 0.34]",
                "300 ± 0",
                "–"
            ]
        );
        assert_eq!(lines[2][..4], ["das", "3", "12.00 ± 3.00", "–"]);
        assert_eq!(lines[3][7..], ["2.0 ± 1.0", "–", "–", "110"]);
        assert_eq!(lines[4][..3], ["random", "27", "12.94 ± 7.85"]);
        assert_eq!(lines[4][6..], ["14", "–", "–", "–", "–"]);
        // What has found nothing yet has no row.
        assert!(!text.contains("late"), "{text}");
        for sentence in [
            "the best of 27 cells has 25.00: |b~0|+|b~0|a~1|",
            "supported: sdas finds better cells than das (+10.00 points, 95 % interval +7.52 to +12.48, n = 3)",
            "supported: sdas takes at most half of das's time to search (0.33 of it",
            "undecided: das finds better cells than random (-0.94 points",
        ] {
            assert!(text.contains(sentence), "{text}\nlacks: {sentence}");
        }
        // The seconds of who asks are no search's.
        assert!(!text.contains("evolution takes"), "{text}");
    }

    #[test]
    fn markdown_and_csv_hold_the_same_numbers() {
        let report = report();
        assert!(
            report.to_markdown().contains("| sdas | 3 | 22.00 ± 2.65 | +10.00 [+7.52, +12.48] |"),
            "{}",
            report.to_markdown()
        );
        let csv = report.to_csv();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| line.len() == 13), "{csv}");
        assert_eq!(lines[1][..6], ["sdas", "1", "|b~0|+|none~0|b~1|", "20", "7", "5"]);
        assert_eq!(lines[9][10..], ["3", "", "110"]);
    }
}
