//! A table of trained cells: every cell of a small space with the accuracies that somebody measured, such as NAS-Bench-201
//! (Dong, Yang, ICLR 2020). Searches are judged by it without training anything.
//!
//! The table is the user's file. Which of its columns is the truth is a choice; what searches for a cell sees another one
//! ([`Searcher`]), so that nothing is chosen by the truth.

mod architecture;
mod read;
mod search;

pub use architecture::{Architecture, ArchitectureError, CellSpace};
pub use read::TableError;
pub use search::{BestOf, Course, Evolution, Predictor, Reinforce, Searcher};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The column that is the truth unless another is named: NAS-Bench-201's test accuracy on CIFAR-10 after 200 epochs.
pub const TRUTH: &str = "test_200";
/// The column that searches ask unless another is named: its validation accuracy on CIFAR-10 after 12 epochs.
pub const VALIDATION: &str = "valid_12";

/// Every cell of a space with what was measured of it.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    space: CellSpace,
    accuracies: Vec<Column>,
    /// Learnt numbers and multiply-adds, where the file has them.
    sizes: Vec<Column>,
}

/// What was measured of every cell.
#[derive(Debug)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// The values by the cells' numbers.
    values: Vec<f64>,
    /// The same, the best first.
    sorted: Vec<f64>,
}

/// Where a cell stands in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The column.
    pub column: String,
    /// The cell's value.
    pub value: f64,
    /// Its rank: 1 and as many as are better, so that equals share one.
    pub rank: usize,
    /// Cells in all.
    pub cells: usize,
    /// The best value less this one.
    pub regret: f64,
}

/// What a table knows of a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The cell, as the benchmark writes it.
    pub architecture: String,
    /// Where it stands in every column of accuracies.
    pub accuracies: Vec<Standing>,
    /// What the file says of its size: `parameters`, `multiply_adds`.
    pub sizes: Vec<(String, f64)>,
}

/// A column as a whole: what a cell comes to that is drawn from the space by chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Cells.
    pub cells: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The values that 5, 25, 50, 75 and 95 % of the cells do not exceed, interpolated.
    pub quantiles: [f64; 5],
    /// The best.
    pub best: f64,
}

impl Table {
    /// The file that it was read from.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The space that it has every cell of.
    pub fn space(&self) -> &CellSpace {
        &self.space
    }

    /// The column of accuracies called `name`.
    ///
    /// # Errors
    ///
    /// [`TableError::NoColumn`], which says which there are.
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.accuracies.iter().find(|column| column.name == name).ok_or_else(|| TableError::NoColumn {
            path: self.path.clone(),
            column: name.to_owned(),
            known: self.accuracies.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// All that is known of a cell.
    pub fn entry(&self, architecture: &Architecture) -> Entry {
        let number = self.space.number(architecture);
        Entry {
            architecture: self.space.text(architecture),
            accuracies: self.accuracies.iter().map(|column| column.standing(number)).collect(),
            sizes: self.sizes.iter().map(|column| (column.name.clone(), column.values[number])).collect(),
        }
    }

    /// The size called `name` of a cell by its number, where the file has it.
    pub(crate) fn size(&self, name: &str, number: usize) -> Option<f64> {
        self.sizes.iter().find(|column| column.name == name).map(|column| column.values[number])
    }
}

impl Column {
    fn new(name: &str, values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        Column { name: name.to_owned(), values, sorted }
    }

    /// Cells that it has a value of.
    pub fn cells(&self) -> usize {
        self.values.len()
    }

    /// The value of a cell, by its number.
    pub fn value(&self, number: usize) -> f64 {
        self.values[number]
    }

    /// The number of the best cell; of several, the first.
    pub fn best(&self) -> usize {
        let is_best = |value: &f64| *value == self.sorted[0];
        self.values.iter().position(is_best).expect("the best value is one of them")
    }

    /// Where a cell stands, by its number.
    pub fn standing(&self, number: usize) -> Standing {
        let value = self.values[number];
        Standing {
            column: self.name.clone(),
            value,
            rank: 1 + self.sorted.partition_point(|other| *other > value),
            cells: self.sorted.len(),
            regret: self.sorted[0] - value,
        }
    }

    /// The column as a whole.
    pub fn distribution(&self) -> Distribution {
        let cells = self.sorted.len();
        let mean = self.values.iter().sum::<f64>() / cells as f64;
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        Distribution {
            cells,
            mean,
            deviation: (squares / cells as f64).sqrt(),
            quantiles: [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| self.quantile(share)),
            best: self.sorted[0],
        }
    }

    /// The value that this share of the cells does not exceed, interpolated between neighbours.
    fn quantile(&self, share: f64) -> f64 {
        let place = (1.0 - share) * (self.sorted.len() - 1) as f64;
        let [above, below] = [place.floor(), place.ceil()].map(|place| self.sorted[place as usize]);
        above + (below - above) * place.fract()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table of the space with these accuracies for `test_200` and `valid_12`.
    pub(crate) fn table(space: CellSpace, test: impl Fn(&[u8]) -> f64, validation: impl Fn(&[u8]) -> f64) -> Table {
        let of = |value: &dyn Fn(&[u8]) -> f64| -> Vec<f64> {
            (0..space.cells()).map(|number| value(&space.architecture(number).0)).collect()
        };
        let accuracies = vec![Column::new(VALIDATION, of(&validation)), Column::new(TRUTH, of(&test))];
        let sizes = vec![Column::new("parameters", of(&|operations| f64::from(operations[0])))];
        Table { path: PathBuf::from("table.csv"), space, accuracies, sizes }
    }

    /// Eight cells whose test accuracies are 10, 20, 30, 40, 50, 60, 70, 70.
    fn eight() -> Table {
        let space = CellSpace::new(&["none", "conv"], 3);
        let own = space.clone();
        let test = move |operations: &[u8]| {
            let number = own.number(&Architecture(operations.to_vec()));
            10.0 * (number.min(6) + 1) as f64
        };
        table(space, test, |_| 1.0)
    }

    #[test]
    fn ranks_are_shared_and_regrets_are_against_the_best() {
        let table = eight();
        let column = table.column(TRUTH).unwrap();
        let standing = |number| {
            let Standing { value, rank, cells, regret, .. } = column.standing(number);
            (value, rank, cells, regret)
        };
        assert_eq!(standing(7), (70.0, 1, 8, 0.0));
        assert_eq!(standing(6), (70.0, 1, 8, 0.0));
        assert_eq!(standing(5), (60.0, 3, 8, 10.0));
        assert_eq!(standing(0), (10.0, 8, 8, 60.0));
        assert_eq!(column.best(), 6);
    }

    #[test]
    fn a_column_as_a_whole() {
        let table = eight();
        let whole = table.column(TRUTH).unwrap().distribution();
        assert_eq!((whole.cells, whole.mean, whole.best), (8, 43.75, 70.0));
        // By numpy: std 21.1763, quantiles [0.05, 0.25, 0.5, 0.75, 0.95] of the eight.
        assert!((whole.deviation - 21.1763).abs() < 1e-4, "{whole:?}");
        assert_eq!(whole.quantiles.map(|value| (value * 1e6).round() / 1e6), [13.5, 27.5, 45.0, 62.5, 70.0]);
    }

    #[test]
    fn an_entry_has_every_column() {
        let table = eight();
        let entry = table.entry(&table.space().parse("|conv~0|+|none~0|conv~1|").unwrap());
        let columns: Vec<_> = entry.accuracies.iter().map(|at| (at.column.as_str(), at.value, at.rank)).collect();
        assert_eq!(columns, [("valid_12", 1.0, 1), ("test_200", 60.0, 3)]);
        assert_eq!(entry.sizes, [("parameters".to_owned(), 1.0)]);
        let missing = table.column("imagenet").unwrap_err().to_string();
        assert!(missing.contains("no column \"imagenet\"") && missing.contains("valid_12, test_200"), "{missing}");
    }
}
