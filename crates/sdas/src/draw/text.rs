//! A cell in a few lines of text.

use crate::genotype::{Gene, Genotype};
use crate::space::{CellKind, INPUTS};

/// Both cells as aligned sums, one line a node, as a terminal shows them:
///
/// ```text
/// normal
///   node 0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})
///   …
///   output = nodes 0, 1, 2, 3
/// ```
pub fn to_text(genotype: &Genotype) -> String {
    let term = |gene: &Gene| format!("{}({})", gene.operation.name, state(gene.from));
    let first = CellKind::ALL.iter().flat_map(|&kind| genotype.genes(kind).nodes.map(|edges| term(&edges[0]).len()));
    let width = first.max().unwrap_or(0);
    let mut lines = Vec::new();
    for kind in CellKind::ALL {
        let genes = genotype.genes(kind);
        lines.push(kind.to_string());
        for (node, [first, second]) in genes.nodes.iter().enumerate() {
            lines.push(format!("  node {node} = {:width$} + {}", term(first), term(second)));
        }
        let output: Vec<_> = genes.concat.iter().map(|&of| state(of)).collect();
        lines.push(format!("  output = {}", output.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn state(index: usize) -> String {
    match index {
        0 => "c_{k-2}".to_owned(),
        1 => "c_{k-1}".to_owned(),
        _ => format!("node {}", index - INPUTS),
    }
}
