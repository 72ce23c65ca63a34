//! Reading a table. Whatever is wrong with the file is said with its line, and with what would be right.

use super::{Architecture, ArchitectureError, CellSpace, Column, Table};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::path::{Path, PathBuf};

/// The column that says which cell a row is of, as the benchmark writes it.
const ARCHITECTURE: &str = "arch";
/// The same as digits, where the file has it.
const DIGITS: &str = "operations";
/// A row's place among the benchmark's, which nothing here depends on.
const INDEX: &str = "index";
/// Columns that are no accuracies.
const SIZES: [&str; 2] = ["parameters", "multiply_adds"];

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot read the table {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something else than a table.
    #[error(
        "{} is no table of trained cells: it is {what}\n  remedy: give a CSV file whose first line names the columns, `{ARCHITECTURE}` \
         and one or more of accuracies, and that has a line for every cell", path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A column that is asked for is not there.
    #[error(
        "the table {} has no column \"{column}\"; it has {known}\n  remedy: name one that it has, or give a table that has this one; \
         columns are separated by commas", path.display()
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// Those there are.
        known: String,
    },
    /// Two columns of one name.
    #[error("the table {} has two columns called \"{column}\"\n  remedy: rename or remove one", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// Their name.
        column: String,
    },
    /// A line with more or fewer values than the first.
    #[error(
        "{}, line {line}: has {found} values, but the first line names {columns} columns\n  remedy: the line may have been cut \
         off, or hold a comma too many; take it from the original again", path.display()
    )]
    Width {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Its values.
        found: u64,
        /// The columns.
        columns: u64,
    },
    /// A cell that the space does not have.
    #[error("{}, line {line}, column {ARCHITECTURE}: \"{value}\": {fault}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What it says.
        value: String,
        /// What is wrong with it.
        fault: ArchitectureError,
    },
    /// A row that says of itself that it is of two cells.
    #[error(
        "{}, line {line}, column {DIGITS}: is {value}, but the cell in column {ARCHITECTURE} has {digits}\n  remedy: correct one of \
         them; a spreadsheet drops zeros in front unless the column is text", path.display()
    )]
    Digits {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What it says.
        value: String,
        /// What the cell's text comes to.
        digits: String,
    },
    /// Not a number.
    #[error(
        "{}, line {line}, column {column}: \"{value}\" is no number\n  remedy: every column besides `{INDEX}`, `{ARCHITECTURE}` and \
         `{DIGITS}` has a finite number in every line", path.display()
    )]
    Number {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// What it says.
        value: String,
    },
    /// A cell with two rows.
    #[error("{}, line {line}: the cell {cell} is already in line {before}\n  remedy: keep one of the two", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The cell.
        cell: String,
        /// Its line before.
        before: u64,
    },
    /// Cells without a row.
    #[error(
        "the table {} lacks {missing} of its space's {cells} cells, such as {example}\n  remedy: it may have been cut off; ranks \
         and regrets need all of them", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// How many.
        missing: usize,
        /// Of how many.
        cells: usize,
        /// One of them.
        example: String,
    },
}

/// Where the columns are.
struct Head {
    architecture: usize,
    digits: Option<usize>,
    /// Columns of numbers by their place.
    numbers: Vec<(usize, String)>,
}

/// The rows read so far.
struct Rows<'a> {
    path: &'a Path,
    space: &'a CellSpace,
    head: Head,
    /// The line of each cell, by its number; 0 where there was none.
    lines: Vec<u64>,
    /// The numbers of each column, by the cells' numbers.
    values: Vec<Vec<f64>>,
}

impl Table {
    /// Reads a table that has every cell of `space`: CSV, whose first line names the columns.
    ///
    /// # Errors
    ///
    /// See [`TableError`].
    pub fn read(path: impl AsRef<Path>, space: CellSpace) -> Result<Table, TableError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| TableError::Read { path: path.to_owned(), source })?;
        Table::parse(&bytes, path, space)
    }

    fn parse(bytes: &[u8], path: &Path, space: CellSpace) -> Result<Table, TableError> {
        let other = |what: &str| TableError::Other { path: path.to_owned(), what: what.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| other("no text"))?;
        if let Some(what) = something_else(text) {
            return Err(other(what));
        }
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
        let fault = |error| csv_fault(error, path);
        let head = Head::of(reader.headers().map_err(fault)?, path)?;
        let values = vec![vec![0.0; space.cells()]; head.numbers.len()];
        let mut rows = Rows { path, space: &space, head, lines: vec![0; space.cells()], values };
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(fault)? {
            rows.take(&record)?;
        }
        rows.check_whole()?;
        let columns = rows.head.numbers.iter().zip(rows.values).map(|((_, name), values)| Column::new(name, values));
        let (sizes, accuracies) = columns.partition(|column| SIZES.contains(&column.name.as_str()));
        Ok(Table { path: path.to_owned(), accuracies, sizes, space })
    }
}

impl Head {
    fn of(names: &StringRecord, path: &Path) -> Result<Head, TableError> {
        let place = |name: &str| names.iter().position(|own| own == name);
        let twice = names.iter().enumerate().find(|(index, name)| place(name) != Some(*index));
        if let Some((_, name)) = twice {
            return Err(TableError::ColumnTwice { path: path.to_owned(), column: name.to_owned() });
        }
        let architecture = place(ARCHITECTURE).ok_or_else(|| TableError::NoColumn {
            path: path.to_owned(),
            column: ARCHITECTURE.to_owned(),
            known: shortened(&names.iter().collect::<Vec<_>>().join(", ")),
        })?;
        let is_number = |name: &str| ![INDEX, ARCHITECTURE, DIGITS].contains(&name);
        let numbers = names.iter().enumerate().filter(|(_, name)| is_number(name));
        let numbers = numbers.map(|(index, name)| (index, name.to_owned())).collect();
        Ok(Head { architecture, digits: place(DIGITS), numbers })
    }
}

impl Rows<'_> {
    fn take(&mut self, record: &StringRecord) -> Result<(), TableError> {
        let path = || self.path.to_owned();
        let line = record.position().map_or(0, csv::Position::line);
        let text = &record[self.head.architecture];
        let cell = self.space.parse(text);
        let cell = cell.map_err(|fault| TableError::Cell { path: path(), line, value: shortened(text), fault })?;
        if let Some(value) = self.head.digits.map(|column| &record[column]) {
            let digits = digits(&cell);
            if value != digits {
                return Err(TableError::Digits { path: path(), line, value: shortened(value), digits });
            }
        }
        let number = self.space.number(&cell);
        let before = std::mem::replace(&mut self.lines[number], line);
        if before > 0 {
            return Err(TableError::Twice { path: path(), line, cell: text.to_owned(), before });
        }
        for ((column, name), values) in self.head.numbers.iter().zip(&mut self.values) {
            let value = &record[*column];
            let parsed = value.parse().ok().filter(|number: &f64| number.is_finite());
            values[number] = parsed.ok_or_else(|| TableError::Number {
                path: path(),
                line,
                column: name.clone(),
                value: shortened(value),
            })?;
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<(), TableError> {
        let Some(first) = self.lines.iter().position(|&line| line == 0) else { return Ok(()) };
        Err(TableError::Missing {
            path: self.path.to_owned(),
            missing: self.lines.iter().filter(|&&line| line == 0).count(),
            cells: self.space.cells(),
            example: self.space.text(&self.space.architecture(first)),
        })
    }
}

/// What a text is, if it is one of the things that are taken for a table by mistake.
fn something_else(text: &str) -> Option<&'static str> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    match start.chars().next() {
        None => Some("empty"),
        Some('{') if start.contains("\"sdas-genotype\"") => Some("a genotype file, which is looked up in a table"),
        Some('{' | '[') => Some("JSON"),
        Some('|') => Some("a cell's text, which is looked up in a table"),
        _ if start.starts_with("Genotype(") => Some("a genotype, which is looked up in a table"),
        _ if start.contains('\0') => Some("no text"),
        _ => None,
    }
}

fn csv_fault(error: csv::Error, path: &Path) -> TableError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => TableError::Width {
            path: path.to_owned(),
            line: pos.as_ref().map_or(0, csv::Position::line),
            found: *len,
            columns: *expected_len,
        },
        _ => TableError::Other { path: path.to_owned(), what: error.to_string() },
    }
}

/// The operations by their places, a digit each; beyond 9, letters.
fn digits(cell: &Architecture) -> String {
    cell.0.iter().map(|&operation| char::from_digit(u32::from(operation), 36).unwrap_or('?')).collect()
}

/// A text from a file that may be anything, so that an error stays readable.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
index,arch,operations,valid_12,test_200,parameters
0,|none~0|,0,10.0,9.5,100
1,|conv~0|,1,71.5,93.0,300
2,|pool~0|,2,50,88.25,100
";

    fn read(text: &str) -> Result<Table, TableError> {
        Table::parse(text.as_bytes(), Path::new("cells.csv"), CellSpace::new(&["none", "conv", "pool"], 2))
    }

    fn fault(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn rows_come_in_any_order_and_columns_in_any_number() {
        for text in [
            WHOLE.to_owned(),
            WHOLE.replace('\n', "\r\n"),
            format!("\u{feff}{WHOLE}"),
            WHOLE.replace("|conv~0|", "\"|conv~0|\""),
            WHOLE.replace(',', " , "),
            "test_200,arch,valid_12\n93,|conv~0|,71.5\n88.25,|pool~0|,50\n9.5,|none~0|,1e1\n".to_owned(),
        ] {
            let table = read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(table.column("test_200").unwrap().values, [9.5, 93.0, 88.25], "{text}");
            assert_eq!(table.column("valid_12").unwrap().values, [10.0, 71.5, 50.0], "{text}");
        }
        let sizes: Vec<_> = (0..3).map(|number| read(WHOLE).unwrap().size("parameters", number)).collect();
        assert_eq!(sizes, [Some(100.0), Some(300.0), Some(100.0)]);
        assert!(read(WHOLE).unwrap().column("parameters").is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let with = |from: &str, to: &str| fault(&WHOLE.replacen(from, to, 1));
        for (text, expected) in [
            (with("arch", "cell"), "cells.csv has no column \"arch\"; it has index, cell, operations"),
            (with("test_200", "valid_12"), "two columns called \"valid_12\""),
            (with("1,|conv", "1,|cony"), "line 3, column arch: \"|cony~0|\": unknown operation \"cony\""),
            (with("|conv~0|", "conv"), "line 3, column arch: \"conv\": is no cell of this space"),
            (with("|conv~0|,1", "|conv~0|,2"), "line 3, column operations: is 2, but the cell in column arch has 1"),
            (with("93.0", "many"), "line 3, column test_200: \"many\" is no number"),
            (with("93.0", ""), "line 3, column test_200: \"\" is no number"),
            (with("93.0", "NaN"), "line 3, column test_200: \"NaN\" is no number"),
            (with("|pool~0|,2", "|conv~0|,1"), "line 4: the cell |conv~0| is already in line 3"),
            (with("1,|conv~0|,1,71.5,93.0,300\n", ""), "lacks 1 of its space's 3 cells, such as |conv~0|"),
            (with(",300", ""), "line 3: has 5 values, but the first line names 6 columns"),
            (with(",93.0", ",93,0"), "line 3: has 7 values"),
        ] {
            assert!(text.contains(expected), "{text}\ndoes not say: {expected}");
            assert!(text.contains("cells.csv"), "{text}");
        }
    }

    #[test]
    fn what_is_no_table_is_called_by_its_name() {
        for (text, expected) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{\"format\": \"sdas-genotype\"}", "a genotype file"),
            ("[1, 2]", "it is JSON"),
            ("Genotype(normal=[])", "a genotype, which"),
            ("|none~0|", "a cell's text"),
            ("arch\0", "no text"),
        ] {
            assert!(fault(text).contains(expected), "{text}: {}", fault(text));
        }
        let binary = Table::parse(&[0x89, b'P', 0xff], Path::new("x.png"), CellSpace::nas_bench_201());
        assert!(binary.unwrap_err().to_string().contains("it is no text"));
        let none = Table::read("no/such.csv", CellSpace::nas_bench_201()).unwrap_err().to_string();
        assert!(none.contains("cannot read the table no/such.csv"), "{none}");
    }
}
