//! A cell in a few lines of text.

use crate::genotype::{Gene, Genotype};

/// The cells as aligned sums, one line a node, as a terminal shows them; edges that run nothing are left out.
///
/// ```text
/// normal
///   node 0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})
///   …
///   output = nodes 0, 1, 2, 3
/// ```
pub fn to_text(genotype: &Genotype) -> String {
    let inputs = genotype.space.inputs;
    let term = |gene: &Gene| format!("{}({})", gene.operation.name, state_name(gene.from, inputs));
    let sum = |genes: &Vec<Gene>| -> Vec<String> {
        genes.iter().filter(|gene| !gene.operation.is_none()).map(term).collect()
    };
    let sums: Vec<Vec<Vec<String>>> =
        genotype.cells.iter().map(|genes| genes.nodes.iter().map(sum).collect()).collect();
    // Terms stand in columns; after the last of a line nothing needs room.
    let width = |column: usize| {
        let followed = sums.iter().flatten().filter(|terms| terms.len() > column + 1);
        followed.map(|terms| terms[column].len()).max().unwrap_or(0)
    };
    let line = |terms: &Vec<String>| match terms.split_last() {
        None => "0".to_owned(),
        Some((last, first)) => {
            let padded = first.iter().enumerate().map(|(column, term)| format!("{term:0$} + ", width(column)));
            padded.collect::<String>() + last
        }
    };
    let mut lines = Vec::new();
    for ((kind, genes), sums) in genotype.kinds().zip(&sums) {
        lines.push(kind.to_string());
        lines.extend(sums.iter().enumerate().map(|(node, terms)| format!("  node {node} = {}", line(terms))));
        let output: Vec<_> = genes.concat.iter().map(|&of| state_name(of, inputs)).collect();
        lines.push(format!("  output = {}", output.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// What a state of a cell with so many inputs is called: `c_{k-2}`, `c_{k-1}`, `node 0`, …
pub fn state_name(state: usize, inputs: usize) -> String {
    match state.checked_sub(inputs) {
        None => format!("c_{{k-{}}}", inputs - state),
        Some(node) => format!("node {node}"),
    }
}
