//! Shapes and counts from the graph alone.

use super::{Graph, Layer, Node, Shape};
use crate::network::Counts;
use sdas_kernels::Extent;

/// A sample's size that a network cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("samples of {}×{}×{} (frames, height, width) do not fit the network: {layer} {message}", input[0], input[1], input[2])]
pub struct ShapeError {
    /// The samples' size.
    pub input: Extent,
    /// The layer.
    pub layer: String,
    /// What it cannot do.
    pub message: String,
}

impl Graph {
    /// The shape of what every layer gives, for samples of size `input`.
    ///
    /// # Errors
    ///
    /// If a layer cannot read what it is given.
    pub fn shapes(&self, input: Extent) -> Result<Vec<Shape>, ShapeError> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for (index, Node { name, layer, reads, .. }) in self.nodes.iter().enumerate() {
            let read: Vec<Shape> = reads.iter().map(|value| shapes[value.index()]).collect();
            let shape = match layer {
                Layer::Input { channels } => Ok(Shape { extent: input, channels: *channels }),
                layer => layer.output(&read),
            };
            shapes.push(shape.map_err(|message| {
                let mut before = self.nodes[..index].iter().rev().map(|node| &node.name);
                let layer = match (name.is_empty(), before.find(|name| !name.is_empty())) {
                    (true, Some(before)) => format!("what follows {before}"),
                    _ => name.clone(),
                };
                ShapeError { input, layer, message }
            })?);
        }
        Ok(shapes)
    }

    /// How many classes a network tells samples of size `input` apart by: how long its row of logits is.
    ///
    /// # Errors
    ///
    /// If a layer cannot read what it is given, or there is more than one row.
    pub fn classes(&self, input: Extent) -> Result<usize, ShapeError> {
        let Shape { extent: [t, h, w], channels } = self.shapes(input)?[self.output().index()];
        if t * h * w == 1 {
            return Ok(channels);
        }
        let message = format!(
            "gives logits at {t}×{h}×{w} positions, and not one row of them\n  remedy: a network for pictures reads 1 frame; \
             `tsn_` before its name names the one of several, whose logits are the means over them"
        );
        Err(ShapeError { input, layer: "its end".to_owned(), message })
    }

    /// Counts for samples of size `input`.
    ///
    /// # Errors
    ///
    /// If a layer cannot read what it is given.
    pub fn counts(&self, input: Extent) -> Result<Counts, ShapeError> {
        let shapes = self.shapes(input)?;
        let layers = || self.nodes.iter().map(|node| &node.layer).zip(&shapes);
        let sum = |counts: &mut dyn Iterator<Item = usize>| counts.fold(0, usize::saturating_add);
        // Whatever else is kept, these are: the results of convolutions and linear layers, which norms and activations need
        // on the way back, and of what brings several values together.
        let is_kept = |layer: &Layer| {
            matches!(layer, Layer::Convolution { .. } | Layer::Linear { .. } | Layer::Add | Layer::Concatenate)
        };
        Ok(Counts {
            parameters: sum(&mut layers().map(|(layer, _)| layer.weight_count())),
            auxiliary_parameters: 0,
            multiply_adds: sum(&mut layers().map(|(layer, shape)| layer.multiply_adds(*shape))),
            activations: sum(&mut layers().filter(|(layer, _)| is_kept(layer)).map(|(_, shape)| shape.count())),
        })
    }
}
