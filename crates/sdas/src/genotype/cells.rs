//! Where the cells stand in a text that holds more than one of them, or more than cells: a `genotypes.py`, a log.

use super::GenotypeError;
use super::darts_text::{Place, TextError};
use std::collections::HashMap;

/// The DARTS texts of a longer text, found but not read: what nobody asks for may be of another form.
pub(super) struct Cells<'a> {
    found: Vec<Found<'a>>,
    /// Lines of the text, and columns of its last.
    end: (usize, usize),
}

#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    /// As in `NAME = Genotype(…)`, `'NAME': Genotype(…)`, or `NAME = OTHER_NAME` after that of the other.
    name: Option<&'a str>,
    /// Where it is named.
    line: usize,
    start: Place<'a>,
}

/// What every text begins with.
const WORD: &str = "Genotype";

/// Names that an error lists.
const LISTED: usize = 40;

impl<'a> Cells<'a> {
    /// Looks through `text`. Lines that begin with `#` are comments.
    pub(super) fn of(text: &'a str) -> Self {
        let mut cells = Cells { found: Vec::new(), end: (1, 1) };
        let mut named: HashMap<&str, Place> = HashMap::new();
        let mut rest = text;
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            // Before the end of the line is looked for, so that `rest` is the text from this line on.
            let here = rest;
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            cells.end = (line, content.chars().count() + 1);
            if content.trim_start().starts_with('#') {
                continue;
            }
            let mut counted = (0, 1);
            for at in starts(content) {
                counted = (at, counted.1 + content[counted.0..at].chars().count());
                let start = Place { rest: &here[at..], line, column: counted.1 };
                let name = name_before(content, at);
                named.extend(name.map(|name| (name, start)));
                cells.found.push(Found { name, line, start });
            }
            if let Some((name, start)) = other_name(content).and_then(|(name, of)| Some((name, *named.get(of)?))) {
                named.insert(name, start);
                cells.found.push(Found { name: Some(name), line, start });
            }
        }
        cells
    }

    /// The cell of that name, of several the last, as in Python; or the one in the line of that number. Without either, the
    /// only one.
    pub(super) fn choose(&self, which: Option<&str>) -> Result<Place<'a>, GenotypeError> {
        let Some(which) = which else {
            let Some(first) = self.found.first() else {
                let (line, column) = self.end;
                let (expected, found) = ("\"Genotype(\"".to_owned(), "the end".to_owned());
                return Err(TextError { line, column, expected, found }.into());
            };
            return match self.count() {
                1 => Ok(first.start),
                count => Err(GenotypeError::Several { count, cells: self.list() }),
            };
        };
        let line = which.parse::<usize>().ok();
        let is_it = |cell: &&Found| cell.name == Some(which) || Some(cell.line) == line;
        let chosen = self.found.iter().rev().find(is_it).map(|cell| cell.start);
        chosen.ok_or_else(|| GenotypeError::NoCell { name: which.to_owned(), cells: self.list() })
    }

    /// Cells, however many names they have.
    fn count(&self) -> usize {
        self.found.iter().filter(|cell| cell.line == cell.start.line).count()
    }

    /// Every name with its line, or the line alone.
    fn list(&self) -> String {
        let mut lines: HashMap<&str, Vec<usize>> = HashMap::new();
        for cell in &self.found {
            lines.entry(cell.name.unwrap_or_default()).or_default().push(cell.line);
        }
        let mut entries = self.found.iter().filter_map(|cell| match cell.name {
            None => Some(format!("one without a name (line {})", cell.line)),
            Some(name) => match lines[name][..] {
                [line] => Some(format!("{name} (line {line})")),
                // Where it stands first, all of them.
                [first, .., last] if first == cell.line => {
                    let times = lines[name].len();
                    Some(format!("{name} (lines {first} to {last}, {times} times; the name stands for the last)"))
                }
                _ => None,
            },
        });
        let listed: Vec<String> = entries.by_ref().take(LISTED).collect();
        match (listed.is_empty(), entries.count()) {
            (true, _) => "none".to_owned(),
            (false, 0) => listed.join(", "),
            (false, more) => format!("{} and {more} more", listed.join(", ")),
        }
    }
}

/// Where `Genotype(` stands in a line, as a word or the last part of a dotted one.
fn starts(line: &str) -> impl Iterator<Item = usize> {
    line.match_indices(WORD).map(|(at, _)| at).filter(|&at| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(is_of_name) && line[at + WORD.len()..].trim_start().starts_with('(')
    })
}

/// The name that what stands at `at` is given there.
fn name_before(line: &str, at: usize) -> Option<&str> {
    let module = line[..at].trim_end_matches(|c| c == '.' || is_of_name(c));
    let named = module.trim_end().strip_suffix(['=', ':'])?.trim_end();
    let named = named.strip_suffix(['\'', '"']).unwrap_or(named);
    let name = &named[named.trim_end_matches(is_of_name).len()..];
    is_name(name).then_some(name)
}

/// A line that gives another name to what has one.
fn other_name(line: &str) -> Option<(&str, &str)> {
    let (name, of) = line.split_once('=')?;
    let of = of.split_once('#').map_or(of, |(of, _)| of);
    Some((name.trim(), of.trim())).filter(|(name, of)| is_name(name) && is_name(of))
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_numeric()) && !text.is_empty() && text.chars().all(is_of_name)
}
