//! Cells to test with.

use sdas::genotype::{Gene, Genes, Genotype};
use sdas::space::{Expression, IMAGE, Operation, OperationKind, Space};

/// A space of one's own, with what no other gives an edge to choose from.
pub static LARGEST: Space = Space {
    name: "largest",
    operations: &[Operation { name: "largest", kind: OperationKind::Pool, expression: Expression::Largest }],
    ..IMAGE
};

/// A cell in which every edge runs one operation.
pub fn everywhere(space: &'static Space, operation: &str) -> Genotype {
    let gene = |from: usize| Gene { operation: space.operation(operation).unwrap(), from };
    let inputs = space.inputs;
    let nodes = match space.name {
        "nb201" => (0..space.nodes).map(|node| (0..=node).map(gene).collect()).collect(),
        _ => (0..space.nodes).map(|node| vec![gene(node), gene(node + 1)]).collect(),
    };
    let concat = match space.name {
        "nb201" => vec![space.nodes],
        _ => (inputs..inputs + space.nodes).collect(),
    };
    let genes = Genes { nodes, concat };
    Genotype { space, cells: space.kinds().iter().map(|_| genes.clone()).collect(), origin: None }
}
