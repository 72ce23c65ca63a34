//! The text that the DARTS family prints: `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, reduce=…,
//! reduce_concat=…)`.
//!
//! Read as Python would read it, and a little more: the four parts in any order, lists or tuples, either quote,
//! `range(a, b)` and `list(range(a, b))`, trailing commas, `#` comments, line breaks anywhere. It may stand anywhere in a
//! longer text, such as a `genotypes.py` or a search's log; [`Cells`] finds it there.

use super::cells::Cells;
use super::{CellFault, Draft, Genes, Genotype, GenotypeError};
use crate::space::{CellKind, IMAGE, Keep, Space, spaces};
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Where a DARTS text stops being one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Genotype {
    /// The text that the DARTS family prints and that Python evaluates, on one line; it has no place for the origin.
    pub fn to_darts_text(&self) -> String {
        let mut text = String::from("Genotype(");
        for (kind, genes) in self.kinds() {
            let (name, separator) = match kind {
                CellKind::Normal => ("normal", ""),
                CellKind::Reduction => ("reduce", ", "),
            };
            let edge = |gene: &super::Gene| format!("('{}', {})", gene.operation.name, gene.from);
            let edges: Vec<_> = genes.nodes.iter().flatten().map(edge).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{name}=[{}], {name}_concat={:?}", edges.join(", "), genes.concat);
        }
        text + ")"
    }

    /// Reads the text that the DARTS family prints, wherever it stands in `text`. The space is the first of those with such
    /// cells that knows the operations' names: a text of `skip_connect` alone, which all know, is of the image space.
    ///
    /// # Errors
    ///
    /// Text of another form, with what was expected where, text with several cells, and cells that cannot be.
    pub fn from_darts_text(text: &str) -> Result<Genotype, GenotypeError> {
        Genotype::of_darts_cell(text, None)
    }

    /// The cell of that name or line in `text`; without either, the only one.
    pub(super) fn of_darts_cell(text: &str, which: Option<&str>) -> Result<Genotype, GenotypeError> {
        let [normal, reduction] = Reader::new(Cells::of(text).choose(which)?).genotype()?;
        let space = recognise([&normal, &reduction]);
        let genes = |parts: Parts, kind: CellKind| -> Result<Genes, GenotypeError> {
            if parts.edges.len() != space.decisions() {
                let fault = CellFault::Pairs { nodes: space.nodes, found: parts.edges.len() };
                return Err(GenotypeError::Cell { place: kind.to_string(), fault });
            }
            let nodes = parts.edges.chunks(2).map(<[_]>::to_vec).collect();
            Draft { nodes, concat: parts.concat }.check(kind, space)
        };
        Ok(Genotype {
            space,
            cells: vec![genes(normal, CellKind::Normal)?, genes(reduction, CellKind::Reduction)?],
            origin: None,
        })
    }
}

/// The space that knows most of the names; where that is not all of them, the check names the first unknown one.
fn recognise(cells: [&Parts; 2]) -> &'static Space {
    let known = |space: &'static Space| {
        cells.iter().flat_map(|parts| &parts.edges).filter(|(name, _)| space.operation(name).is_ok()).count()
    };
    let spaces = spaces().into_iter().filter(|space| space.keep == Keep::TwoEdges);
    spaces.fold(&IMAGE, |best, space| if known(space) > known(best) { space } else { best })
}

/// States of a range that are read: more than any cell has.
const LONGEST: usize = 14;

/// One cell's two parts.
#[derive(Default)]
struct Parts {
    edges: Vec<(String, i64)>,
    concat: Vec<i64>,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The text from there on.
    pub(super) rest: &'a str,
    /// Line, from 1.
    pub(super) line: usize,
    /// Column in characters, from 1.
    pub(super) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Name(String),
    Text(String),
    /// A quote without its second on the same line.
    Quote(char),
    Number(i64),
    Sign(char),
    End,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    line: usize,
    column: usize,
}

/// Characters of what was found that an error shows.
const SHOWN: usize = 40;

impl Token {
    fn error(&self, expected: impl Into<String>) -> TextError {
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let found = match &self.kind {
            Kind::Name(name) => shown(name),
            Kind::Text(text) => format!("'{}'", shown(text)),
            Kind::Quote(quote) => return self.fault(format!("a closing {quote} on the same line"), "none"),
            Kind::Number(number) => number.to_string(),
            Kind::Sign(sign) => format!("\"{sign}\""),
            Kind::End => "the end".to_owned(),
        };
        self.fault(expected, found)
    }

    fn fault(&self, expected: impl Into<String>, found: impl Into<String>) -> TextError {
        TextError { line: self.line, column: self.column, expected: expected.into(), found: found.into() }
    }
}

/// Takes a text apart as far as it is read, counting lines and columns on the way.
struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
    column: usize,
}

impl Tokens<'_> {
    fn take(&mut self) -> Token {
        let is_digit = |c: char| c.is_ascii_digit() || c == '-';
        while let Some(first) = self.chars.peek().copied() {
            let Tokens { line, column, .. } = *self;
            let token = |kind| Token { kind, line, column };
            match first {
                '#' => drop(self.run(|c| c != '\n')),
                _ if first.is_whitespace() => drop(self.run(char::is_whitespace)),
                '\'' | '"' => {
                    self.run_of(1, |_| true);
                    let text = self.run(|c| c != first && c != '\n');
                    return token(match self.run_of(1, |c| c == first).is_empty() {
                        true => Kind::Quote(first),
                        false => Kind::Text(text),
                    });
                }
                _ if is_digit(first) => {
                    let digits = self.run(is_digit);
                    return token(digits.parse().map_or(Kind::Name(digits), Kind::Number));
                }
                _ if first.is_alphanumeric() || first == '_' => {
                    return token(Kind::Name(self.run(|c| c.is_alphanumeric() || c == '_' || c == '.')));
                }
                _ => {
                    self.run_of(1, |_| true);
                    return token(Kind::Sign(first));
                }
            }
        }
        Token { kind: Kind::End, line: self.line, column: self.column }
    }

    /// The characters that belong, from here on.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> String {
        self.run_of(usize::MAX, belongs)
    }

    /// At most `most` of them.
    fn run_of(&mut self, most: usize, belongs: impl Fn(char) -> bool) -> String {
        let mut run = String::new();
        for _ in 0..most {
            let Some(c) = self.chars.next_if(|&c| belongs(c)) else { break };
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
            run.push(c);
        }
        run
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    next: Token,
}

impl<'a> Reader<'a> {
    fn new(Place { rest, line, column }: Place<'a>) -> Self {
        let mut tokens = Tokens { chars: rest.chars().peekable(), line, column };
        Reader { next: tokens.take(), tokens }
    }

    fn peek(&self) -> &Token {
        &self.next
    }

    fn take(&mut self) -> Token {
        std::mem::replace(&mut self.next, self.tokens.take())
    }

    fn take_if(&mut self, sign: char) -> bool {
        let there = self.peek().kind == Kind::Sign(sign);
        if there {
            self.take();
        }
        there
    }

    fn expect(&mut self, sign: char, expected: &str) -> Result<(), TextError> {
        if self.take_if(sign) { Ok(()) } else { Err(self.peek().error(expected)) }
    }

    fn name(&mut self, expected: &str) -> Result<(String, Token), TextError> {
        let token = self.take();
        match &token.kind {
            Kind::Name(name) => Ok((name.clone(), token)),
            _ => Err(token.error(expected)),
        }
    }

    fn number(&mut self) -> Result<i64, TextError> {
        let token = self.take();
        match token.kind {
            Kind::Number(number) => Ok(number),
            _ => Err(token.error("a state's number")),
        }
    }

    fn genotype(mut self) -> Result<[Parts; 2], TextError> {
        self.name("\"Genotype(\"")?;
        self.expect('(', "\"(\" after Genotype")?;
        let mut edges: [Option<Vec<(String, i64)>>; 2] = [None, None];
        let mut concats: [Option<Vec<i64>>; 2] = [None, None];
        let close = loop {
            if self.peek().kind == Kind::Sign(')') {
                break self.take();
            }
            let (name, token) = self.name("normal, normal_concat, reduce, reduce_concat or \")\"")?;
            self.expect('=', &format!("\"=\" after {name}"))?;
            let repeated = match name.as_str() {
                "normal" => edges[0].replace(self.sequence("edges", Reader::edge)?).is_some(),
                "reduce" => edges[1].replace(self.sequence("edges", Reader::edge)?).is_some(),
                "normal_concat" => concats[0].replace(self.states()?).is_some(),
                "reduce_concat" => concats[1].replace(self.states()?).is_some(),
                _ => return Err(token.error("normal, normal_concat, reduce or reduce_concat")),
            };
            if repeated {
                return Err(TextError { found: format!("{name} again"), ..token.error("each part once") });
            }
            if !self.take_if(',') && self.peek().kind != Kind::Sign(')') {
                return Err(self.peek().error("\",\" or \")\""));
            }
        };
        self.leave(close.line)?;
        let missing = |part: &str| close.error(format!("{part} in the genotype"));
        let [normal, reduce] = edges;
        let [normal_concat, reduce_concat] = concats;
        Ok([
            Parts {
                edges: normal.ok_or_else(|| missing("normal=[…]"))?,
                concat: normal_concat.ok_or_else(|| missing("normal_concat=[…]"))?,
            },
            Parts {
                edges: reduce.ok_or_else(|| missing("reduce=[…]"))?,
                concat: reduce_concat.ok_or_else(|| missing("reduce_concat=[…]"))?,
            },
        ])
    }

    /// What may follow on the genotype's last line: what closes a list, a call or a string that it stands in.
    fn leave(&mut self, line: usize) -> Result<(), TextError> {
        while self.peek().line == line {
            let token = self.take();
            match token.kind {
                Kind::End => break,
                Kind::Quote(_) | Kind::Sign(',' | ';' | ')' | ']' | '}') => {}
                _ => return Err(token.error("nothing after the genotype's \")\"")),
            }
        }
        Ok(())
    }

    /// A list or a tuple.
    fn sequence<T>(&mut self, of: &str, item: impl Fn(&mut Self) -> Result<T, TextError>) -> Result<Vec<T>, TextError> {
        let close = if self.take_if('[') {
            ']'
        } else {
            self.expect('(', &format!("a list of {of}"))?;
            ')'
        };
        let mut items = Vec::new();
        while !self.take_if(close) {
            items.push(item(self)?);
            if !self.take_if(',') && self.peek().kind != Kind::Sign(close) {
                return Err(self.peek().error(format!("\",\" or \"{close}\"")));
            }
        }
        Ok(items)
    }

    fn edge(&mut self) -> Result<(String, i64), TextError> {
        let close = if self.take_if('[') {
            ']'
        } else {
            self.expect('(', "an edge, as in ('sep_conv_3x3', 0)")?;
            ')'
        };
        let token = self.take();
        let Kind::Text(operation) = token.kind else {
            return Err(token.error("an operation's name in quotes"));
        };
        self.expect(',', "\",\" and a state's number")?;
        let from = self.number()?;
        self.take_if(',');
        self.expect(close, &format!("\"{close}\" after the edge"))?;
        Ok((operation, from))
    }

    /// A list of states or a range of them, which `list(…)` or `tuple(…)` may stand around.
    fn states(&mut self) -> Result<Vec<i64>, TextError> {
        match &self.peek().kind {
            Kind::Name(name) if matches!(name.as_str(), "list" | "tuple") => {
                self.take();
                self.expect('(', "\"(\"")?;
                let states = self.plain_states()?;
                self.expect(')', "\")\"")?;
                Ok(states)
            }
            _ => self.plain_states(),
        }
    }

    fn plain_states(&mut self) -> Result<Vec<i64>, TextError> {
        if self.peek().kind != Kind::Name("range".to_owned()) {
            return self.sequence("states", Reader::number);
        }
        let range = self.take();
        let bounds = self.sequence("bounds", Reader::number)?;
        let (start, end) = match bounds[..] {
            [end] => (0, end),
            [start, end] => (start, end),
            _ => return Err(range.error("range(a, b)")),
        };
        // There are six states; what lies beyond them is refused by its first, so a huge range need not be built.
        // Enough to see that there are too many.
        Ok((start..end).take(LONGEST).collect())
    }
}
