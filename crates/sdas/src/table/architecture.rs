//! A cell of a benchmark's space: one operation on every edge, and the text that the benchmark writes it as.

use crate::genotype::Genotype;
use crate::space::{Keep, NB201, Space};

/// What the cells of a table are made of: nodes in a row, an edge from every earlier node to every later one, and the
/// operations that an edge may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellSpace {
    operations: Vec<String>,
    nodes: usize,
}

/// A cell: the operation of each edge, by its place among the space's; edges go node by node, 0→1, 0→2, 1→2, 0→3, ….
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Architecture(pub Vec<u8>);

/// Why a text is no cell of the space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// An operation that the space does not have.
    #[error("unknown operation \"{name}\"; there are {known}")]
    Operation {
        /// What was written.
        name: String,
        /// The space's.
        known: String,
    },
    /// Other edges than the space has, or no such text at all.
    #[error("is no cell of this space; it is written like {example}")]
    Form {
        /// One that is right.
        example: String,
    },
}

impl CellSpace {
    /// Cells of `nodes` nodes, the input among them, whose edges run one of `operations`. Searches that grow a cell begin
    /// with the first of these on every edge.
    pub fn new(operations: &[&str], nodes: usize) -> Self {
        CellSpace { operations: operations.iter().map(|name| name.to_string()).collect(), nodes }
    }

    /// The cells of a search space in which every edge has an operation.
    pub fn of(space: &Space) -> Self {
        let names: Vec<&str> = space.operations.iter().map(|operation| operation.name).collect();
        CellSpace::new(&names, space.states())
    }

    /// NAS-Bench-201's 15,625 cells (Dong, Yang, ICLR 2020, section 2.1).
    pub fn nas_bench_201() -> Self {
        CellSpace::of(&NB201)
    }

    /// The cell of a genotype; `None` if it is of another space.
    pub fn cell(&self, genotype: &Genotype) -> Option<Architecture> {
        if genotype.space.keep != Keep::EveryEdge || CellSpace::of(genotype.space) != *self {
            return None;
        }
        let operations = genotype.cells.first()?.operations(genotype.space);
        Some(Architecture(operations.into_iter().map(|operation| operation as u8).collect()))
    }

    /// Operations that an edge may run.
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// Edges of a cell.
    pub fn edges(&self) -> usize {
        self.nodes * (self.nodes - 1) / 2
    }

    /// Cells of the space.
    pub fn cells(&self) -> usize {
        self.operations().pow(self.edges() as u32)
    }

    /// The cell's number, below [`cells`](Self::cells): its operations as digits, the first edge's in front.
    pub fn number(&self, architecture: &Architecture) -> usize {
        architecture.0.iter().fold(0, |number, &operation| number * self.operations() + usize::from(operation))
    }

    /// The cell of that number.
    pub fn architecture(&self, mut number: usize) -> Architecture {
        let mut operations = vec![0; self.edges()];
        for operation in operations.iter_mut().rev() {
            *operation = (number % self.operations()) as u8;
            number /= self.operations();
        }
        Architecture(operations)
    }

    /// The benchmark's text: `|OPERATION~FROM|…|` a node, joined by `+`.
    pub fn text(&self, architecture: &Architecture) -> String {
        let mut edges = architecture.0.iter();
        let mut node = |node| -> String {
            let terms = (0..node).zip(&mut edges);
            terms.map(|(from, &operation)| format!("|{}~{from}", self.operations[usize::from(operation)])).collect()
        };
        (1..self.nodes).map(|to| node(to) + "|").collect::<Vec<_>>().join("+")
    }

    /// Reads the benchmark's text.
    ///
    /// # Errors
    ///
    /// An operation that the space does not have, or anything else.
    pub fn parse(&self, text: &str) -> Result<Architecture, ArchitectureError> {
        let form = || {
            let last = (self.operations() - 1) as u8;
            ArchitectureError::Form { example: self.text(&Architecture(vec![last; self.edges()])) }
        };
        let mut operations = Vec::with_capacity(self.edges());
        let mut nodes = text.split('+');
        for (to, node) in (1..self.nodes).zip(&mut nodes) {
            let node = node.strip_prefix('|').and_then(|node| node.strip_suffix('|')).ok_or_else(form)?;
            let mut terms = node.split('|');
            for (from, term) in (0..to).zip(&mut terms) {
                let (name, state) = term.split_once('~').ok_or_else(form)?;
                if state.parse() != Ok(from) {
                    return Err(form());
                }
                operations.push(self.operation(name)?);
            }
            if terms.next().is_some() {
                return Err(form());
            }
        }
        match operations.len() == self.edges() && nodes.next().is_none() {
            true => Ok(Architecture(operations)),
            false => Err(form()),
        }
    }

    fn operation(&self, name: &str) -> Result<u8, ArchitectureError> {
        let place = self.operations.iter().position(|own| own == name);
        place
            .map(|place| place as u8)
            .ok_or_else(|| ArchitectureError::Operation { name: name.to_owned(), known: self.operations.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cell_of_the_benchmark() {
        // A row of the benchmark: the text, and its operations by their places.
        let text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|";
        let space = CellSpace::nas_bench_201();
        let cell = space.parse(text).unwrap();
        assert_eq!(cell, Architecture(vec![4, 2, 1, 0, 3, 1]));
        assert_eq!(space.text(&cell), text);
        assert_eq!((space.edges(), space.cells()), (6, 15625));
        // In base 5: 4·3125 + 2·625 + 1·125 + 0·25 + 3·5 + 1.
        assert_eq!(space.number(&cell), 13891);
    }

    proptest! {
        #[test]
        fn every_cell_survives_its_number_and_its_text(number in 0usize..15625) {
            let space = CellSpace::nas_bench_201();
            let cell = space.architecture(number);
            prop_assert_eq!(space.number(&cell), number);
            prop_assert_eq!(space.parse(&space.text(&cell)), Ok(cell));
        }

        #[test]
        fn no_text_is_a_panic(text in r"[|+~a-z0-9_]{0,40}") {
            prop_assert!(CellSpace::nas_bench_201().parse(&text).is_err());
        }
    }

    #[test]
    fn what_is_no_cell_says_what_would_be() {
        let space = CellSpace::new(&["none", "conv"], 3);
        assert_eq!(space.text(&Architecture(vec![1, 0, 1])), "|conv~0|+|none~0|conv~1|");
        let fault = |text: &str| space.parse(text).unwrap_err().to_string();
        assert_eq!(fault("|conv~0|+|none~0|cony~1|"), "unknown operation \"cony\"; there are none, conv");
        for text in [
            "",
            "|conv~0|",
            "|conv~0|+|none~0|",
            "|conv~0|+|none~1|conv~0|",
            "|conv~0|+|none~0|conv~1|conv~2|",
            "|conv~0|+|none~0|conv~1|+|conv~0|conv~1|conv~2|",
            "conv~0+none~0|conv~1",
            "|conv0|+|none~0|conv~1|",
        ] {
            assert!(fault(text).contains("is written like |conv~0|+|conv~0|conv~1|"), "{text}: {}", fault(text));
        }
    }
}
