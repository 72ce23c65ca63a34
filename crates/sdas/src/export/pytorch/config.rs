//! `config.json`: what is a network's own.

use super::Axes;
use crate::network::{Block, Cell, Network};
use crate::space::Space;
use sdas_kernels::{Expression, Norm, Padding, Pool, Stage};
use serde_json::{Map, Value, json};

/// The keys that describe a network of cells.
pub(super) fn cells(network: &Network, space: &Space, axes: Axes) -> Vec<(&'static str, Value)> {
    let mut operations = Map::new();
    for name in ["skip", "project"] {
        let expression = if name == "skip" { Expression::Skip } else { Expression::Project };
        operations.insert(name.to_owned(), operation(&expression, axes, true));
    }
    let mut kinds = Map::new();
    for cell in &network.cells {
        let Some(kind) = cell.kind else { continue };
        let edges = (0..cell.nodes()).flat_map(|node| cell.edges.iter().filter(move |edge| edge.node == node));
        let edges = edges.map(|edge| {
            let block = &edge.block.edge;
            let expression = block.operations.first().unwrap_or(&Expression::Zero);
            let name = space.operations.iter().find(|operation| operation.expression == *expression);
            let name = name.map_or("none", |operation| operation.name);
            operations.entry(name).or_insert_with(|| operation(expression, axes, block.norm == Norm::Affine));
            let module: Vec<&str> = edge.block.name.rsplitn(3, '.').take(2).collect();
            json!({
                "module": format!("{}.{}", module[1], module[0]),
                "from": edge.from,
                "node": cell.inputs + edge.node,
                "operation": name,
            })
        });
        let edges: Vec<Value> = edges.collect();
        kinds.entry(kind.to_string()).or_insert_with(|| json!({ "edges": edges, "output": cell.concat }));
    }
    let stems: Vec<Vec<Value>> = [&network.stem, &network.second_stem]
        .into_iter()
        .filter(|stem| !stem.is_empty())
        .map(|stem| stem.iter().map(|block| convolution(block, axes)).collect())
        .collect();
    vec![
        ("stems", json!(stems)),
        ("operations", Value::Object(operations)),
        ("kinds", Value::Object(kinds)),
        ("cells", network.cells.iter().map(|one| cell(one, axes)).collect()),
        ("closing", json!(network.closing.is_some())),
    ]
}

/// A convolution of a stem, which is an operation with its sizes.
fn convolution(block: &Block, axes: Axes) -> Value {
    let edge = &block.edge;
    let mut value = operation(&edge.operations[0], axes, true);
    value["inputs"] = edge.inputs.into();
    value["outputs"] = edge.outputs.into();
    value["stride"] = json!(axes.of(edge.stride));
    value
}

/// A cell's sizes: what its kind has in common stands apart.
fn cell(cell: &Cell, axes: Axes) -> Value {
    let from_input = |input: usize| cell.edges.iter().find(move |edge| edge.from == input);
    let inputs: Vec<usize> = match cell.preprocess.is_empty() {
        true => (0..cell.inputs).map(|input| from_input(input).map_or(0, |edge| edge.block.edge.inputs)).collect(),
        false => cell.preprocess.iter().map(|block| block.edge.inputs).collect(),
    };
    let first = (0..cell.inputs).find_map(from_input).map(|edge| &edge.block.edge);
    let preprocess: Vec<Vec<usize>> = cell.preprocess.iter().map(|block| axes.of(block.edge.stride)).collect();
    json!({
        "kind": cell.kind.map_or("residual".to_owned(), |kind| kind.to_string()),
        "inputs": inputs,
        "channels": cell.edges.first().map_or(0, |edge| edge.block.edge.outputs),
        "stride": axes.of(first.map_or([1; 3], |edge| edge.stride)),
        "preprocess": preprocess,
        "affine": cell.edges.first().is_none_or(|edge| edge.block.edge.norm == Norm::Affine),
    })
}

/// An operation as data; where its edge's norms are not affine, one follows a pool.
fn operation(expression: &Expression, axes: Axes, affine: bool) -> Value {
    let stage = |stage: &Stage| {
        let strided: Vec<bool> = stage.strided[3 - axes.count()..].to_vec();
        json!({ "kernel": axes.of(stage.kernel), "dilation": axes.of(stage.dilation), "strided": strided })
    };
    let stages = |stages: &[Stage]| stages.iter().map(stage).collect::<Vec<_>>();
    let one = axes.of([1; 3]);
    match expression {
        // Networks with noise do not lower, and so are not exported.
        Expression::Zero | Expression::Noise => json!({ "kind": "zero" }),
        Expression::Skip => json!({ "kind": "skip" }),
        Expression::Pool { pool, kernel } => json!({
            "kind": if *pool == Pool::Max { "max_pool" } else { "average_pool" },
            "kernel": axes.of(*kernel),
            "normed": !affine,
        }),
        Expression::AveragePool { kernel } => {
            json!({ "kind": "average_pool", "kernel": axes.of(*kernel), "normed": false })
        }
        Expression::Chain(all) => json!({ "kind": "chain", "stages": stages(all) }),
        Expression::Parallel(all) => json!({ "kind": "parallel", "stages": stages(all) }),
        Expression::Compromise { spatial, temporal } => {
            json!({ "kind": "compromise", "spatial": stage(spatial), "temporal": stage(temporal) })
        }
        Expression::TemporalDifference => json!({ "kind": "temporal_difference" }),
        Expression::Project => json!({ "kind": "convolution", "kernel": one, "activated": true }),
        Expression::Convolve { kernel, activated, padding } => {
            debug_assert_eq!(*padding, Padding::Same, "auxiliary heads alone have others");
            json!({ "kind": "convolution", "kernel": axes.of(*kernel), "activated": activated })
        }
        Expression::Largest => json!({ "kind": "largest" }),
        Expression::Shrink => json!({ "kind": "shrink" }),
        Expression::Normalise => json!({ "kind": "normalise" }),
    }
}

/// The text: a line a key, and a line each of what a key has several of.
pub(super) fn text(entries: &[(&str, Value)]) -> String {
    let key = |name: &str| serde_json::to_string(name).expect("a string is JSON");
    let lines =
        |open: char, items: Vec<String>, close: char| format!("{open}\n    {}\n  {close}", items.join(",\n    "));
    let value = |value: &Value| match value {
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            lines('[', items.iter().map(Value::to_string).collect(), ']')
        }
        Value::Object(items) if !items.is_empty() => {
            lines('{', items.iter().map(|(name, item)| format!("{}: {item}", key(name))).collect(), '}')
        }
        other => other.to_string(),
    };
    let entries: Vec<String> = entries.iter().map(|(name, item)| format!("  {}: {}", key(name), value(item))).collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}
