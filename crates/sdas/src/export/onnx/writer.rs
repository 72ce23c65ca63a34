//! Nodes and tensors as they are put down, by names of their own.

use super::OnnxError;
use super::proto::{Attribute, Kind, Node, Tensor};
use burn::tensor::f16;
use std::collections::HashSet;

/// The most that a number of 16 bits holds.
const MOST: f32 = 65504.0;

/// A network being written down.
pub(super) struct Writer {
    /// Of weights and activations.
    pub(super) float: Kind,
    pub(super) nodes: Vec<Node>,
    pub(super) tensors: Vec<Tensor>,
    /// What nodes are named after.
    scope: String,
    names: HashSet<String>,
    /// The first number that does not fit.
    fault: Option<OnnxError>,
}

impl Writer {
    pub(super) fn new(float: Kind) -> Self {
        Writer {
            float,
            nodes: Vec::new(),
            tensors: Vec::new(),
            scope: String::new(),
            names: HashSet::new(),
            fault: None,
        }
    }

    /// Names what follows after a layer; after what it computes where the layer has no name.
    pub(super) fn begin(&mut self, layer: &str) {
        layer.clone_into(&mut self.scope);
    }

    /// A name that nothing has.
    fn unique(&mut self, name: &str) -> String {
        let numbered = |number: usize| if number == 1 { name.to_owned() } else { format!("{name}_{number}") };
        let name = (1..).map(numbered).find(|name| !self.names.contains(name)).expect("there is always another number");
        self.names.insert(name.clone());
        name
    }

    /// Claims the name of an input.
    pub(super) fn input(&mut self, name: &str) -> String {
        self.unique(name)
    }

    /// Adds a node with one result, and names that.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let name = match &self.scope[..] {
            "" => kind.to_lowercase(),
            scope => format!("{scope}.{}", kind.to_lowercase()),
        };
        let name = self.unique(&name);
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: kind.to_owned(),
            attribute,
        });
        name
    }

    /// The same numbers as those of another kind.
    pub(super) fn cast(&mut self, x: &str, from: Kind, to: Kind) -> String {
        if from == to { x.to_owned() } else { self.node("Cast", &[x], vec![Attribute::int("to", to as i64)]) }
    }

    /// Gives a result another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let named = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        named.filter(|name| *name == from).for_each(|name| to.clone_into(name));
    }

    fn tensor(&mut self, name: &str, kind: Kind, dims: &[usize], bytes: Vec<u8>) -> String {
        let name = self.unique(name);
        self.tensors.push(Tensor {
            dims: dims.iter().map(|&size| size as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data: Some(bytes),
            ..Tensor::default()
        });
        name
    }

    /// Numbers of the kind that the network computes with.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.floats_of(self.float, name, dims, values)
    }

    /// Numbers of a kind.
    pub(super) fn floats_of(&mut self, kind: Kind, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = match kind {
            Kind::Half => {
                if let Some(&value) = values.iter().find(|value| value.is_finite() && value.abs() > MOST) {
                    self.fault.get_or_insert_with(|| OnnxError::Half { tensor: name.to_owned(), value });
                }
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        self.tensor(name, kind, dims, bytes)
    }

    /// One number, which what it meets is spread over. One that 16 bits do not tell from 0 is the smallest that they do.
    pub(super) fn number(&mut self, value: f64) -> String {
        let least = f64::from(f16::MIN_POSITIVE.to_f32());
        let value = match self.float {
            Kind::Half if value != 0.0 => value.abs().clamp(least, f64::from(MOST)).copysign(value),
            _ => value,
        };
        self.floats("number", &[], &[value as f32])
    }

    /// Whole numbers: sizes, axes and the like.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        // The same are there once.
        let is_same = |tensor: &&Tensor| {
            tensor.data_type == Kind::Integer as i32 && tensor.raw_data.as_deref() == Some(&bytes[..])
        };
        if let Some(known) = self.tensors.iter().find(is_same) {
            return known.name.clone();
        }
        self.tensor("integers", Kind::Integer, &[values.len()], bytes)
    }

    /// What is written, if all of it can be.
    pub(super) fn finish(self) -> Result<(Vec<Node>, Vec<Tensor>), OnnxError> {
        match self.fault {
            None => Ok((self.nodes, self.tensors)),
            Some(fault) => Err(fault),
        }
    }
}
