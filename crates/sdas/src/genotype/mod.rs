//! The found cell: per node, two edges and the operation of each.
//!
//! A genotype is written and read as JSON ([`Genotype::to_json`]) and as the text that the DARTS family prints
//! ([`Genotype::to_darts_text`]); cells from the literature go by name ([`published`], [`Genotype::resolve`]). Every
//! way in passes the same check: four nodes, two edges each from states before the node, operations of one space and
//! none of them `none`.
//!
//! The two edges of a node may read the same state. No search here ends so (there is one edge between two states), and
//! no published cell in [`PUBLISHED`] has it, but the field's networks run it (NASNet's cell in the DARTS repository
//! does), so it is read, written, built and drawn.

mod cells;
mod darts_text;
mod file;
mod published;

pub use darts_text::TextError;
pub use published::{PUBLISHED, Published, published};

use crate::space::{CellKind, INPUTS, NODES, Operation, OperationKind, Space, SpaceName, UnknownOperation};
use rand::Rng;
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The architecture that a search ends in.
#[derive(Debug, Clone, PartialEq)]
pub struct Genotype {
    /// The table that the operations are from.
    pub space: SpaceName,
    /// The cell that keeps the size.
    pub normal: Genes,
    /// The cell that halves it.
    pub reduction: Genes,
    /// Where it came from, if that is known.
    pub origin: Option<Origin>,
}

/// One kind of cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genes {
    /// Two edges for each of the four nodes.
    pub nodes: [[Gene; 2]; 4],
    /// The states that are concatenated into the cell's output: 0 and 1 are its inputs, 2 to 5 its nodes.
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

/// So many edges of a cell's eight that run skip connections and pools make it a collapsed one: what differentiable
/// searches degenerate into (Zela et al., 2020). Of cells drawn at random from the space for images, 7 % are.
pub const COLLAPSED: usize = 6;

impl Genes {
    /// Edges that run an operation of one of these kinds, of eight.
    pub fn count(&self, kinds: &[OperationKind]) -> usize {
        self.nodes.iter().flatten().filter(|gene| kinds.contains(&gene.operation.kind)).count()
    }
}

impl Genotype {
    /// A cell of each kind drawn uniformly: each node reads two of the states before it by an operation each.
    pub fn drawn(space: &Space, stream: &mut Stream) -> Genotype {
        let candidates: Vec<_> = space.operations.iter().filter(|operation| !operation.is_none()).collect();
        let mut cell = || {
            let nodes = [0, 1, 2, 3].map(|node| {
                let states = INPUTS + node;
                let first = stream.random_range(0..states);
                let second = (first + stream.random_range(1..states)) % states;
                [first.min(second), first.max(second)]
                    .map(|from| Gene { from, operation: candidates[stream.random_range(0..candidates.len())] })
            });
            Genes { nodes, concat: vec![2, 3, 4, 5] }
        };
        Genotype { space: space.name, normal: cell(), reduction: cell(), origin: None }
    }

    /// The genes of one kind of cell.
    pub fn genes(&self, kind: CellKind) -> &Genes {
        match kind {
            CellKind::Normal => &self.normal,
            CellKind::Reduction => &self.reduction,
        }
    }

    /// Share of its sixteen edges that `other` has, too, between the same states and with the same operation: 1 for the
    /// same cells. Cells drawn at random from the space for images share 9 %, those from the one for video 5 %.
    pub fn agreement(&self, other: &Genotype) -> f64 {
        let shared =
            CellKind::ALL.into_iter().flat_map(|kind| self.genes(kind).nodes.iter().zip(&other.genes(kind).nodes));
        let shared = shared.map(|(own, others)| own.iter().filter(|gene| others.contains(gene)).count());
        shared.sum::<usize>() as f64 / 16.0
    }

    /// The genotype that `text` holds, as JSON or as DARTS text.
    ///
    /// # Errors
    ///
    /// [`GenotypeError::Neither`] where it looks like neither, otherwise those of [`Genotype::from_json`] or of
    /// [`Genotype::from_darts_text`].
    pub fn parse(text: &str) -> Result<Genotype, GenotypeError> {
        Genotype::parse_cell(text, None)
    }

    /// The same of text that may hold several cells, by name or line.
    fn parse_cell(text: &str, which: Option<&str>) -> Result<Genotype, GenotypeError> {
        let text = text.trim_start_matches('\u{feff}');
        match (text.trim_start().starts_with('{'), which) {
            (true, None) => Genotype::from_json(text),
            (true, Some(name)) => Err(GenotypeError::OneCell { name: name.to_owned() }),
            (false, _) if text.contains("Genotype") => Genotype::of_darts_cell(text, which),
            (false, _) => Err(GenotypeError::Neither),
        }
    }
}

/// Why something is no genotype.
#[derive(Debug, thiserror::Error)]
pub enum GenotypeError {
    /// Neither of the two forms.
    #[error(
        "neither a genotype file (JSON: {{\"format\": \"{}\", …}}) nor DARTS text (Genotype(normal=[…], …))",
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
    /// Not what the DARTS family prints.
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
    /// Not four nodes.
    #[error("a cell has {NODES} nodes, this one {0}")]
    Nodes(usize),
    /// Not eight edges, in DARTS text.
    #[error("a cell has {edges} edges, two for each of its {NODES} nodes, this one {0}", edges = 2 * NODES)]
    Pairs(usize),
    /// Not two edges into a node.
    #[error("a node has 2 edges, this one {0}")]
    Edges(usize),
    /// An operation that the space does not have.
    #[error(transparent)]
    Operation(#[from] UnknownOperation),
    /// The absence of an edge.
    #[error("\"none\" is the absence of an edge and is never chosen")]
    None,
    /// A state that is not before the node.
    #[error("reads state {from}, which {}; it may read 0 to {last}", whereabouts(*from, *last))]
    From {
        /// The state it reads.
        from: i64,
        /// The last state it may read.
        last: usize,
    },
    /// No output.
    #[error("it is empty; name the states that form the output, usually [2, 3, 4, 5]")]
    ConcatEmpty,
    /// An output of what is not there.
    #[error("state {0} does not exist; there are 0 to {last}", last = INPUTS + NODES - 1)]
    ConcatMissing(i64),
    /// A state that is part of the output twice.
    #[error("state {0} is listed twice")]
    ConcatTwice(i64),
    /// An input that a reduction cell cannot concatenate.
    #[error("state {0} is an input, which is larger than the nodes of a reduction cell; there may be 2 to 5")]
    ConcatInput(i64),
}

fn whereabouts(from: i64, last: usize) -> &'static str {
    let node = last as i64 + 1;
    if from < 0 || from >= (INPUTS + NODES) as i64 {
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
    fn check(&self, kind: CellKind, space: SpaceName) -> Result<Genes, GenotypeError> {
        let at = |place: String| move |fault| GenotypeError::Cell { place, fault };
        let nodes: [[Gene; 2]; NODES] = self
            .nodes
            .iter()
            .enumerate()
            .map(|(node, edges)| {
                let place = format!("{kind}, node {node} (of 0..{})", NODES - 1);
                let genes = edges
                    .iter()
                    .enumerate()
                    .map(|(index, (name, from))| {
                        check_gene(space, node, name, *from).map_err(at(format!("{place}, edge {index}")))
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                genes.try_into().map_err(|genes: Vec<_>| at(place)(CellFault::Edges(genes.len())))
            })
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .map_err(|nodes: Vec<_>| at(kind.to_string())(CellFault::Nodes(nodes.len())))?;
        let concat = check_concat(kind, &self.concat).map_err(at(format!("{kind}, concat")))?;
        Ok(Genes { nodes, concat })
    }
}

fn check_gene(space: SpaceName, node: usize, name: &str, from: i64) -> Result<Gene, CellFault> {
    let operation = space.operation(name)?;
    if operation.is_none() {
        return Err(CellFault::None);
    }
    let last = INPUTS + node - 1;
    match usize::try_from(from) {
        Ok(from) if from <= last => Ok(Gene { from, operation }),
        _ => Err(CellFault::From { from, last }),
    }
}

fn check_concat(kind: CellKind, states: &[i64]) -> Result<Vec<usize>, CellFault> {
    if states.is_empty() {
        return Err(CellFault::ConcatEmpty);
    }
    let mut concat = Vec::with_capacity(states.len());
    for &given in states {
        let state = usize::try_from(given).unwrap_or(usize::MAX);
        if state >= INPUTS + NODES {
            return Err(CellFault::ConcatMissing(given));
        }
        if kind == CellKind::Reduction && state < INPUTS {
            return Err(CellFault::ConcatInput(given));
        }
        if concat.contains(&state) {
            return Err(CellFault::ConcatTwice(given));
        }
        concat.push(state);
    }
    Ok(concat)
}
