//! The text that the DARTS family prints: `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, reduce=…,
//! reduce_concat=…)`.
//!
//! Read as Python would read it, and a little more: the four parts in any order, lists or tuples, either quote,
//! `range(a, b)`, trailing commas, `#` comments, line breaks anywhere, and a `NAME = ` in front.

use super::{CellFault, Draft, Genes, Genotype, GenotypeError};
use crate::space::{CellKind, EDGES, NODES, SpaceName};
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
        for (name, genes) in [("normal", &self.normal), ("reduce", &self.reduction)] {
            let edge = |gene: &super::Gene| format!("('{}', {})", gene.operation.name, gene.from);
            let edges: Vec<_> = genes.nodes.iter().flatten().map(edge).collect();
            let separator = if name == "normal" { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{name}=[{}], {name}_concat={:?}", edges.join(", "), genes.concat);
        }
        text + ")"
    }

    /// Reads the text that the DARTS family prints. The space is the one that knows the operations' names; a text of
    /// `skip_connect` alone, which both know, is of the image space.
    ///
    /// # Errors
    ///
    /// Text of another form, with what was expected where, and cells that cannot be.
    pub fn from_darts_text(text: &str) -> Result<Genotype, GenotypeError> {
        let [normal, reduction] = Reader { tokens: tokens(text)?, next: 0 }.genotype()?;
        let space = recognise([&normal, &reduction]);
        let genes = |parts: Parts, kind: CellKind| -> Result<Genes, GenotypeError> {
            if parts.edges.len() != 2 * NODES {
                let fault = CellFault::Pairs(parts.edges.len());
                return Err(GenotypeError::Cell { place: kind.to_string(), fault });
            }
            let nodes = parts.edges.chunks(2).map(<[_]>::to_vec).collect();
            Draft { nodes, concat: parts.concat }.check(kind, space)
        };
        Ok(Genotype {
            space,
            normal: genes(normal, CellKind::Normal)?,
            reduction: genes(reduction, CellKind::Reduction)?,
            origin: None,
        })
    }
}

/// The space that knows most of the names; where that is not all of them, the check names the first unknown one.
fn recognise(cells: [&Parts; 2]) -> SpaceName {
    let known = |space: SpaceName| {
        cells.iter().flat_map(|parts| &parts.edges).filter(|(name, _)| space.operation(name).is_ok()).count()
    };
    if known(SpaceName::Video) > known(SpaceName::Image) { SpaceName::Video } else { SpaceName::Image }
}

/// One cell's two parts.
#[derive(Default)]
struct Parts {
    edges: Vec<(String, i64)>,
    concat: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Name(String),
    Text(String),
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

impl Token {
    fn error(&self, expected: impl Into<String>) -> TextError {
        let found = match &self.kind {
            Kind::Name(name) => name.clone(),
            Kind::Text(text) => format!("'{text}'"),
            Kind::Number(number) => number.to_string(),
            Kind::Sign(sign) => format!("\"{sign}\""),
            Kind::End => "the end".to_owned(),
        };
        TextError { line: self.line, column: self.column, expected: expected.into(), found }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, TextError> {
    let mut tokens = Vec::new();
    let mut last = 1;
    for (line, content) in text.lines().enumerate() {
        last = line + 1;
        let mut chars = content.chars().peekable();
        let length = content.chars().count();
        while let Some(&first) = chars.peek() {
            let column = length - chars.clone().count() + 1;
            let token = |kind| Token { kind, line: line + 1, column };
            match first {
                '#' => break,
                _ if first.is_whitespace() => {
                    chars.next();
                }
                '\'' | '"' => tokens.push(token(quoted(&mut chars).ok_or_else(|| TextError {
                    line: line + 1,
                    column,
                    expected: format!("a closing {first} on the same line"),
                    found: "none".to_owned(),
                })?)),
                '0'..='9' | '-' => {
                    let digits = run(&mut chars, |c| c.is_ascii_digit() || c == '-');
                    let number = digits.parse().map_err(|_| token(Kind::Name(digits)).error("a state's number"))?;
                    tokens.push(token(Kind::Number(number)));
                }
                _ if first.is_alphanumeric() || first == '_' => {
                    let name = run(&mut chars, |c| c.is_alphanumeric() || c == '_' || c == '.');
                    tokens.push(token(Kind::Name(name)));
                }
                _ => {
                    chars.next();
                    tokens.push(token(Kind::Sign(first)));
                }
            }
        }
    }
    let column = text.lines().last().map_or(1, |line| line.chars().count() + 1);
    tokens.push(Token { kind: Kind::End, line: last, column });
    Ok(tokens)
}

fn run(chars: &mut Peekable<Chars>, belongs: impl Fn(char) -> bool) -> String {
    let mut run = String::new();
    while let Some(c) = chars.next_if(|&c| belongs(c)) {
        run.push(c);
    }
    run
}

/// The string that starts here, or nothing if its closing quote is missing.
fn quoted(chars: &mut Peekable<Chars>) -> Option<Kind> {
    let quote = chars.next()?;
    let text = run(chars, |c| c != quote);
    chars.next().map(|_| Kind::Text(text))
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
}

impl Reader {
    fn peek(&self) -> &Token {
        &self.tokens[self.next]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        // The end stays: whoever reads on sees it again.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
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
        const START: &str = "\"Genotype(\"";
        let (mut name, mut token) = self.name(START)?;
        if self.take_if('=') {
            (name, token) = self.name(START)?;
        }
        if name.rsplit('.').next() != Some("Genotype") {
            return Err(token.error(START));
        }
        self.expect('(', "\"(\" after Genotype")?;
        let mut edges: [Option<Vec<(String, i64)>>; 2] = [None, None];
        let mut concats: [Option<Vec<i64>>; 2] = [None, None];
        while !self.take_if(')') {
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
        }
        let end = self.peek();
        if end.kind != Kind::End {
            return Err(end.error("nothing after the genotype's \")\""));
        }
        let missing =
            |part: &str| TextError { found: "none".to_owned(), ..end.error(format!("{part} in the genotype")) };
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

    /// A list or a tuple.
    fn sequence<T>(
        &mut self,
        of: &str,
        item: impl Fn(&mut Reader) -> Result<T, TextError>,
    ) -> Result<Vec<T>, TextError> {
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

    /// A list of states, or `range(a, b)`.
    fn states(&mut self) -> Result<Vec<i64>, TextError> {
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
        Ok((start..end).take(EDGES).collect())
    }
}
