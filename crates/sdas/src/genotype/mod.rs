//! The found cell: the edges of each node, and the operation of each.
//!
//! A genotype is written and read as JSON ([`Genotype::to_json`]) and as the text of its literature ([`Genotype::to_text`]):
//! what the DARTS family prints, or what NAS-Bench-201 does. Cells from the literature go by name ([`published`],
//! [`Genotype::resolve`]). Every way in passes the same check: the nodes and edges of the space, from states before the node,
//! with operations that they may have.
//!
//! Where a node keeps two edges, the two of a node may read the same state. No search here ends so (there is one edge between two states), and
//! no published cell in [`PUBLISHED`] has it, but the field's networks run it (NASNet's cell in the DARTS repository
//! does), so it is read, written, built and drawn.

mod benchmark_text;
mod cells;
mod darts_text;
mod file;
mod published;

pub use darts_text::TextError;
pub use published::{PUBLISHED, Published, published};

use crate::space::{Candidates, CellKind, Keep, Operation, OperationKind, Output, Space, UnknownOperation, names};
use rand::Rng;
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The architecture that a search ends in.
#[derive(Debug, Clone, PartialEq)]
pub struct Genotype {
    /// The space that it is from.
    pub space: &'static Space,
    /// The cell of each kind that the space has, normal first.
    pub cells: Vec<Genes>,
    /// Where it came from, if that is known.
    pub origin: Option<Origin>,
}

/// One kind of cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genes {
    /// The edges of each node.
    pub nodes: Vec<Vec<Gene>>,
    /// The states that are the cell's output, side by side: first come its inputs, then its nodes.
    pub concat: Vec<usize>,
}

/// One edge of a found cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gene {
    /// The state that it reads.
    pub from: usize,
    /// The operation that it runs.
    pub operation: &'static Operation,
}

/// Where a genotype came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The method that found it.
    pub method: String,
    /// The data it was found on.
    pub dataset: String,
    /// The search's seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The recipe's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
}

impl Genes {
    /// Every edge with its node, node by node.
    pub fn edges(&self) -> impl Iterator<Item = (usize, &Gene)> {
        self.nodes.iter().enumerate().flat_map(|(node, genes)| genes.iter().map(move |gene| (node, gene)))
    }

    /// Edges that run an operation of one of these kinds.
    pub fn count(&self, kinds: &[OperationKind]) -> usize {
        self.edges().filter(|(_, gene)| kinds.contains(&gene.operation.kind)).count()
    }

    /// Edges that learn nothing: skip connections, pools, noise, none.
    pub fn idle(&self) -> usize {
        self.edges().filter(|(_, gene)| !gene.operation.learns()).count()
    }

    /// Of every edge, node by node and by the state it reads, its operation's index in the space's table: where every edge is
    /// kept, all that there is to say of a cell.
    pub fn operations(&self, space: &Space) -> Vec<usize> {
        let index = |operation: &Operation| space.operations.iter().position(|own| own == operation);
        self.edges().map(|(_, gene)| index(gene.operation).expect("a gene's operation is of its space")).collect()
    }
}

impl Genotype {
    /// A cell of each kind drawn uniformly: of each node, which of the states before it it reads, where it keeps two edges, and
    /// an operation for each edge.
    pub fn drawn(candidates: &Candidates, stream: &mut Stream) -> Genotype {
        let space = candidates.space;
        let mut cell = |&kind: &CellKind| {
            let mut node = |node: usize| {
                let states = space.inputs + node;
                let read = match space.keep {
                    Keep::EveryEdge => (0..states).collect(),
                    Keep::TwoEdges => {
                        let first = stream.random_range(0..states);
                        let second = (first + stream.random_range(1..states)) % states;
                        vec![first.min(second), first.max(second)]
                    }
                };
                let mut gene = |from: usize| {
                    let choices: Vec<_> = candidates.choices(kind, space.edges_into(node).start + from).collect();
                    Gene { from, operation: choices[stream.random_range(0..choices.len())] }
                };
                read.into_iter().map(&mut gene).collect()
            };
            Genes { nodes: (0..space.nodes).map(&mut node).collect(), concat: space.concat() }
        };
        Genotype { space, cells: space.kinds().iter().map(&mut cell).collect(), origin: None }
    }

    /// The genes of one kind of cell.
    ///
    /// # Panics
    ///
    /// If the space has no cells of this kind.
    pub fn genes(&self, kind: CellKind) -> &Genes {
        &self.cells[kind.index()]
    }

    /// The genes of every kind of cell.
    pub fn kinds(&self) -> impl Iterator<Item = (CellKind, &Genes)> {
        self.space.kinds().iter().copied().zip(&self.cells)
    }

    /// The cells of a space in which every edge has an operation, by these operations' indices in the space's table, all
    /// edges of the first kind of cell first; `None` where there are others than edges, or it is no such space.
    pub fn from_operations(space: &'static Space, operations: &[usize]) -> Option<Genotype> {
        if space.keep != Keep::EveryEdge || operations.len() != space.decisions() * space.kinds().len() {
            return None;
        }
        let cell = |own: &[usize]| {
            let mut nodes = vec![Vec::new(); space.nodes];
            for (place, &operation) in space.edges().zip(own) {
                nodes[place.node].push(Gene { from: place.from, operation: space.operations.get(operation)? });
            }
            Some(Genes { nodes, concat: space.concat() })
        };
        let cells: Option<Vec<Genes>> = operations.chunks(space.decisions()).map(cell).collect();
        Some(Genotype { space, cells: cells?, origin: None })
    }

    /// Edges of all kinds of cell together.
    pub fn edge_count(&self) -> usize {
        self.cells.iter().map(|genes| genes.edges().count()).sum()
    }

    /// Share of its edges that `other`, of the same space, has, too, between the same states and with the same operation: 1
    /// for the same cells. Cells drawn at random from the space for images share 9 %, those from the one for video 5 %.
    pub fn agreement(&self, other: &Genotype) -> f64 {
        let nodes =
            |genotype: &Genotype| genotype.cells.iter().flat_map(|genes| genes.nodes.clone()).collect::<Vec<_>>();
        let shared = nodes(self).into_iter().zip(nodes(other));
        let shared = shared.map(|(own, others)| own.iter().filter(|gene| others.contains(gene)).count());
        shared.sum::<usize>() as f64 / self.edge_count() as f64
    }

    /// The cells in one line, as the literature of their space writes them; the space and the origin have no place there.
    pub fn to_text(&self) -> String {
        match self.space.keep {
            Keep::TwoEdges => self.to_darts_text(),
            Keep::EveryEdge => self.to_benchmark_text(),
        }
    }

    /// The genotype that `text` holds, as JSON, as DARTS text or as the benchmark's.
    ///
    /// # Errors
    ///
    /// [`GenotypeError::Neither`] where it looks like none of them, otherwise those of [`Genotype::from_json`],
    /// [`Genotype::from_darts_text`] or [`Genotype::from_benchmark_text`].
    pub fn parse(text: &str) -> Result<Genotype, GenotypeError> {
        Genotype::parse_cell(text, None)
    }

    /// The same of text that may hold several cells, by name or line.
    fn parse_cell(text: &str, which: Option<&str>) -> Result<Genotype, GenotypeError> {
        let text = text.trim_start_matches('\u{feff}');
        match (text.trim_start().starts_with('{'), which) {
            (true, None) => Genotype::from_json(text),
            (true, Some(name)) => Err(GenotypeError::OneCell { name: name.to_owned() }),
            (false, None) if text.trim_start().starts_with('|') => Genotype::from_benchmark_text(text),
            (false, _) if text.contains("Genotype") => Genotype::of_darts_cell(text, which),
            (false, _) => Err(GenotypeError::Neither),
        }
    }
}

/// Why something is no genotype.
#[derive(Debug, thiserror::Error)]
pub enum GenotypeError {
    /// None of the forms.
    #[error(
        "neither a genotype file (JSON: {{\"format\": \"{}\", …}}) nor DARTS text (Genotype(normal=[…], …)) nor \
         NAS-Bench-201's (|…~0|+|…~0|…~1|+…)",
        file::FORMAT
    )]
    Neither,
    /// Not JSON, or a field that is missing, unknown, repeated or of the wrong type.
    #[error("not a genotype file: {0}")]
    Json(serde_json::Error),
    /// JSON of another kind.
    #[error("\"format\" is {found}; a genotype file says \"{}\"", file::FORMAT)]
    Format {
        /// What it says, as JSON.
        found: String,
    },
    /// A version that this program does not know.
    #[error("\"version\" is {found}; this program reads version {}: use the sdas that wrote it", file::VERSION)]
    Version {
        /// What it says, as JSON.
        found: String,
    },
    /// A space that does not exist.
    #[error("{0}")]
    Space(String),
    /// A kind of cell that the space does not have.
    #[error("the {space} space has no reduction cell: leave \"reduction\" out")]
    NoReduction {
        /// The space.
        space: &'static Space,
    },
    /// Not what the literature prints.
    #[error(transparent)]
    Text(#[from] TextError),
    /// More cells than one.
    #[error("it holds {count} cells; choose one by its name or line, as in FILE:NAME: {cells}")]
    Several {
        /// How many.
        count: usize,
        /// Their names and lines.
        cells: String,
    },
    /// No cell of that name or line.
    #[error("no cell is called {name} or stands in a line of that number; there are: {cells}")]
    NoCell {
        /// What was asked for.
        name: String,
        /// The names and lines that there are.
        cells: String,
    },
    /// A name for a cell in a file that holds one without a name.
    #[error("a genotype file in JSON holds one cell, without a name: leave out \":{name}\"")]
    OneCell {
        /// What was asked for.
        name: String,
    },
    /// A cell that cannot be.
    #[error("{place}: {fault}")]
    Cell {
        /// Where in the genotype, as in `normal, node 2 (of 0..3), edge 1`.
        place: String,
        /// What is wrong there.
        fault: CellFault,
    },
    /// One of the above, in a file.
    #[error("{}: {fault}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Box<GenotypeError>,
    },
    /// A file that cannot be read.
    #[error("cannot read the genotype {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write the genotype {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Neither a file nor a published cell.
    #[error("\"{name}\" is neither a file nor a published cell; those are {known}", known = published::names())]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// Why a cell cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellFault {
    /// Another number of nodes.
    #[error("a cell has {expected} nodes, this one {found}")]
    Nodes {
        /// Those of the space.
        expected: usize,
        /// Those there are.
        found: usize,
    },
    /// Not two edges for each node, in DARTS text.
    #[error("a cell has {} edges, two for each of its {nodes} nodes, this one {found}", 2 * nodes)]
    Pairs {
        /// Nodes of the space.
        nodes: usize,
        /// Edges that there are.
        found: usize,
    },
    /// Another number of edges into a node.
    #[error("a node has {expected} edges, this one {found}")]
    Edges {
        /// Those of the space.
        expected: usize,
        /// Those there are.
        found: usize,
    },
    /// Two edges between the same states where there is one each.
    #[error("state {0} is read twice; there is one edge from each")]
    Twice(usize),
    /// An operation that the space has, on an edge that cannot have it.
    #[error("\"{name}\" is none of the operations from state {from}, which are {has}")]
    Elsewhere {
        /// The operation.
        name: String,
        /// The state that the edge reads.
        from: usize,
        /// What it may have.
        has: String,
    },
    /// An operation that the space does not have.
    #[error(transparent)]
    Operation(#[from] UnknownOperation),
    /// The absence of an edge.
    #[error("\"none\" is the absence of an edge and is never chosen")]
    None,
    /// A state that is not before the node.
    #[error("reads state {from}, which {}; it may read 0 to {last}", whereabouts(*from, *last, *states))]
    From {
        /// The state it reads.
        from: i64,
        /// The last state it may read.
        last: usize,
        /// States of a cell.
        states: usize,
    },
    /// No output.
    #[error("it is empty; name the states that form the output, usually {0:?}")]
    ConcatEmpty(Vec<usize>),
    /// An output of what is not there.
    #[error("state {state} does not exist; there are 0 to {last}")]
    ConcatMissing {
        /// The state.
        state: i64,
        /// The last one.
        last: usize,
    },
    /// Another output than the last node.
    #[error("it must be {expected:?}, the last node, not {found:?}")]
    ConcatOther {
        /// The output that there is.
        expected: Vec<usize>,
        /// What is given.
        found: Vec<i64>,
    },
    /// A state that is part of the output twice.
    #[error("state {0} is listed twice")]
    ConcatTwice(i64),
    /// An input that a reduction cell cannot concatenate.
    #[error(
        "state {state} is an input, which is larger than the nodes of a reduction cell; there may be {} to {last}",
        last + 1 - nodes
    )]
    ConcatInput {
        /// The state.
        state: i64,
        /// Number of nodes.
        nodes: usize,
        /// The last state.
        last: usize,
    },
}

fn whereabouts(from: i64, last: usize, states: usize) -> &'static str {
    let node = last as i64 + 1;
    if from < 0 || from >= states as i64 {
        "does not exist"
    } else if from == node {
        "is the node itself"
    } else {
        "comes after it"
    }
}

/// A cell as a form of writing gives it, before the check.
struct Draft {
    /// Operation and state, for each edge of each node.
    nodes: Vec<Vec<(String, i64)>>,
    concat: Vec<i64>,
}

impl Draft {
    fn check(&self, kind: CellKind, space: &'static Space) -> Result<Genes, GenotypeError> {
        let at = |place: String| move |fault| GenotypeError::Cell { place, fault };
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for (node, edges) in self.nodes.iter().enumerate() {
            let place = format!("{kind}, node {node} (of 0..{})", space.nodes - 1);
            let mut genes: Vec<Gene> = Vec::with_capacity(edges.len());
            for (index, (name, from)) in edges.iter().enumerate() {
                let gene = check_gene(space, kind, node, name, *from).map_err(at(format!("{place}, edge {index}")))?;
                genes.push(gene);
            }
            // Of a node too many, too, so that what is wrong with an edge is said first.
            let expected = space.kept(node);
            if genes.len() != expected {
                return Err(at(place)(CellFault::Edges { expected, found: genes.len() }));
            }
            if space.keep == Keep::EveryEdge {
                genes.sort_by_key(|gene| gene.from);
                if let Some(pair) = genes.windows(2).find(|pair| pair[0].from == pair[1].from) {
                    return Err(at(place)(CellFault::Twice(pair[0].from)));
                }
            }
            nodes.push(genes);
        }
        if nodes.len() != space.nodes {
            return Err(at(kind.to_string())(CellFault::Nodes { expected: space.nodes, found: nodes.len() }));
        }
        let concat = check_concat(space, kind, &self.concat).map_err(at(format!("{kind}, concat")))?;
        Ok(Genes { nodes, concat })
    }
}

fn check_gene(space: &'static Space, kind: CellKind, node: usize, name: &str, from: i64) -> Result<Gene, CellFault> {
    let operation = space.operation(name)?;
    if operation.is_none() && !space.none_is_chosen {
        return Err(CellFault::None);
    }
    let last = space.inputs + node - 1;
    let from = match usize::try_from(from) {
        Ok(from) if from <= last => from,
        _ => return Err(CellFault::From { from, last, states: space.states() }),
    };
    // Of a node too many, whose edges are none of the space's, the number of nodes is what is wrong.
    let edge = space.edges_into(node).start + from;
    if node < space.nodes && !space.allowed(kind, edge).any(|own| own == operation) {
        let has = names(&space.allowed(kind, edge).collect::<Vec<_>>());
        return Err(CellFault::Elsewhere { name: name.to_owned(), from, has });
    }
    Ok(Gene { from, operation })
}

fn check_concat(space: &Space, kind: CellKind, states: &[i64]) -> Result<Vec<usize>, CellFault> {
    if states.is_empty() {
        return Err(CellFault::ConcatEmpty(space.concat()));
    }
    let last = space.states() - 1;
    let mut concat = Vec::with_capacity(states.len());
    for &given in states {
        let state = usize::try_from(given).unwrap_or(usize::MAX);
        if state > last {
            return Err(CellFault::ConcatMissing { state: given, last });
        }
        if kind == CellKind::Reduction && state < space.inputs {
            return Err(CellFault::ConcatInput { state: given, nodes: space.nodes, last });
        }
        if concat.contains(&state) {
            return Err(CellFault::ConcatTwice(given));
        }
        concat.push(state);
    }
    if space.output == Output::LastNode && concat != space.concat() {
        return Err(CellFault::ConcatOther { expected: space.concat(), found: states.to_vec() });
    }
    Ok(concat)
}
