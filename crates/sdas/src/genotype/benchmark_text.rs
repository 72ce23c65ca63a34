//! The text that NAS-Bench-201 and what builds on it use: `|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+…`, a part of
//! `OPERATION~STATE` an edge, node after node.

use super::darts_text::TextError;
use super::{Draft, Genes, Genotype, GenotypeError};
use crate::space::{CellKind, NB201};

impl Genotype {
    /// The benchmark's text of the normal cell, on one line.
    pub fn to_benchmark_text(&self) -> String {
        let Genes { nodes, .. } = self.genes(CellKind::Normal);
        let edge = |gene: &super::Gene| format!("{}~{}|", gene.operation.name, gene.from);
        let nodes: Vec<_> =
            nodes.iter().map(|genes| format!("|{}", genes.iter().map(edge).collect::<String>())).collect();
        nodes.join("+")
    }

    /// Reads the benchmark's text, alone or with white space around it.
    ///
    /// # Errors
    ///
    /// Text of another form, with what was expected where, and cells that cannot be.
    pub fn from_benchmark_text(text: &str) -> Result<Genotype, GenotypeError> {
        let nodes = Reader { text, at: text.len() - text.trim_start().len() }.nodes()?;
        let concat = NB201.concat().into_iter().map(|state| state as i64).collect();
        let genes = Draft { nodes, concat }.check(CellKind::Normal, &NB201)?;
        Ok(Genotype { space: &NB201, cells: vec![genes], origin: None })
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Bytes read.
    at: usize,
}

impl<'a> Reader<'a> {
    fn nodes(mut self) -> Result<Vec<Vec<(String, i64)>>, TextError> {
        let mut nodes = Vec::new();
        loop {
            self.take('|', "\"|\" before a node's first edge")?;
            let mut edges = Vec::new();
            while edges.is_empty() || !self.rest().is_empty() && !self.rest().starts_with('+') {
                let name = self.word("an operation's name")?.to_owned();
                self.take('~', "\"~\" and a state's number")?;
                let start = self.at;
                let number = self.word("a state's number")?;
                let from = number.parse().map_err(|_| self.fault(start, "a state's number"))?;
                self.take('|', "\"|\" after an edge")?;
                edges.push((name, from));
            }
            nodes.push(edges);
            if self.rest().is_empty() {
                return Ok(nodes);
            }
            self.take('+', "\"+\" between nodes")?;
        }
    }

    fn rest(&self) -> &'a str {
        self.text[self.at..].trim_end()
    }

    fn take(&mut self, sign: char, expected: &str) -> Result<(), TextError> {
        if !self.rest().starts_with(sign) {
            return Err(self.fault(self.at, expected));
        }
        self.at += sign.len_utf8();
        Ok(())
    }

    /// What stands before the next sign.
    fn word(&mut self, expected: &str) -> Result<&'a str, TextError> {
        let rest = self.rest();
        let word = &rest[..rest.find(['~', '|', '+']).unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.fault(self.at, expected));
        }
        self.at += word.len();
        Ok(word)
    }

    fn fault(&self, at: usize, expected: &str) -> TextError {
        let at = self.text.len() - self.text[at..].trim_start().len();
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let rest = self.text[at..].trim_end();
        // A word as a whole, as far as a line of an error should go.
        let word: String = rest.chars().take(40).take_while(|&c| !['~', '|', '+'].contains(&c)).collect();
        let found = match (word.is_empty(), rest.chars().next()) {
            (_, None) => "the end".to_owned(),
            (true, Some(sign)) => format!("\"{sign}\""),
            (false, _) => word,
        };
        TextError { line, column, expected: expected.to_owned(), found }
    }
}
