//! A cell's output: four nodes' channels side by side, and the way back. On the CPU in parallel, out of the pool of memory.

use super::extension::{pooled, values};
use super::memory::Buffer;
use crate::crew::each;
use crate::edge::is_portable;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor};

/// Tensors that the fused body puts together.
const NODES: usize = 4;

/// Pixels that one task copies.
const PART: usize = 4096;

/// Puts the channels of activations `[N, T, H, W, C]` side by side, `[N, T, H, W, nodes × C]`.
///
/// # Panics
///
/// If there is none, or their shapes differ in more than the channels.
pub fn concatenate(nodes: Vec<Tensor<5>>) -> Tensor<5> {
    let alike = |node: &Tensor<5>| node.dims() == nodes[0].dims() && node.dtype() == DType::F32;
    let fused = !is_portable() && nodes.len() == NODES && nodes.iter().all(alike);
    if !fused || nodes[0].device() != Device::flex() {
        return Tensor::cat(nodes, 4);
    }
    let [a, b, c, d]: [Tensor<5>; NODES] = nodes.try_into().expect("there are four");
    Tensor::from_dispatch(
        Dispatch::beside(a.into_dispatch(), b.into_dispatch(), c.into_dispatch(), d.into_dispatch()).whole,
    )
}

/// All channels.
#[derive(ExtensionType)]
pub struct Whole<B: Backend> {
    /// `[N, T, H, W, 4 × C]`.
    pub whole: FloatTensor<B>,
}

/// Each node's channels.
#[derive(ExtensionType)]
pub struct Apart<B: Backend> {
    /// `[N, T, H, W, C]`.
    pub a: FloatTensor<B>,
    /// As `a`.
    pub b: FloatTensor<B>,
    /// As `a`.
    pub c: FloatTensor<B>,
    /// As `a`.
    pub d: FloatTensor<B>,
}

/// Four activations side by side, and the way back.
#[backend_extension(Autodiff, Flex)]
pub trait Concatenate: Backend {
    /// The way there.
    fn beside(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, d: FloatTensor<Self>) -> Whole<Self>;

    /// The way back.
    fn apart(whole: FloatTensor<Self>) -> Apart<Self>;
}

impl Concatenate for Flex {
    fn beside(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, d: FloatTensor<Self>) -> Whole<Self> {
        let nodes = [a, b, c, d].map(|node| node.to_contiguous());
        let mut shape = nodes[0].layout().shape().to_vec();
        let channels = shape[4];
        shape[4] *= NODES;
        let count: usize = shape.iter().product();
        let mut whole = Buffer::of_floats(count);
        let parts = whole.floats()[..count].chunks_mut(PART * NODES * channels).enumerate();
        each(parts, |(part, whole)| {
            let nodes = nodes.each_ref().map(|node| &values(node)[part * PART * channels..]);
            for (pixel, whole) in whole.chunks_exact_mut(NODES * channels).enumerate() {
                for (to, node) in whole.chunks_exact_mut(channels).zip(nodes) {
                    to.copy_from_slice(&node[pixel * channels..][..channels]);
                }
            }
        });
        Whole { whole: pooled(whole, shape) }
    }

    fn apart(whole: FloatTensor<Self>) -> Apart<Self> {
        let whole = whole.to_contiguous();
        let mut shape = whole.layout().shape().to_vec();
        shape[4] /= NODES;
        let (channels, count) = (shape[4], shape.iter().product::<usize>());
        let mut nodes: [Buffer; NODES] = std::array::from_fn(|_| Buffer::of_floats(count));
        let mut parts = nodes.each_mut().map(|node| node.floats()[..count].chunks_mut(PART * channels));
        let parts = values(&whole).chunks(PART * NODES * channels).map(|whole| {
            let nodes = parts.each_mut().map(|parts| parts.next().expect("as many parts as the whole has"));
            (whole, nodes)
        });
        each(parts, |(whole, mut nodes)| {
            for (pixel, whole) in whole.chunks_exact(NODES * channels).enumerate() {
                for (node, from) in nodes.iter_mut().zip(whole.chunks_exact(channels)) {
                    node[pixel * channels..][..channels].copy_from_slice(from);
                }
            }
        });
        let [a, b, c, d] = nodes.map(|node| pooled(node, shape.clone()));
        Apart { a, b, c, d }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Concatenate> Backward<B, NODES> for Step {
    type State = ();

    fn backward(self, ops: Ops<(), NODES>, graph: &mut Gradients, _: &mut Checkpointer) {
        let gradient = graph.consume::<B>(&ops.node);
        let Apart { a, b, c, d } = B::apart(gradient);
        for (node, gradient) in ops.parents.into_iter().zip([a, b, c, d]) {
            if let Some(node) = node {
                graph.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Concatenate, C: CheckpointStrategy> Concatenate for Autodiff<B, C> {
    fn beside(a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>, d: FloatTensor<Self>) -> Whole<Self> {
        let parents = [a.node(), b.node(), c.node(), d.node()];
        let [a, b, c, d] = [a, b, c, d].map(|node| node.into_primitive());
        let whole = Step.prepare::<C>(parents).compute_bound().stateless(B::beside(a, b, c, d).whole);
        Whole { whole }
    }

    fn apart(_: FloatTensor<Self>) -> Apart<Self> {
        unreachable!("autodiff is of first order: nobody differentiates the way back")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portably;
    use burn::tensor::Distribution;

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn four_nodes_go_beside_one_another_and_their_gradients_apart() {
        let device = Device::flex().autodiff();
        for shape in [[1, 1, 1, 1, 1], [2, 1, 5, 7, 3], [1, 3, 40, 50, 16]] {
            let [n, t, h, w, c] = shape;
            let random = |shape: [usize; 5]| Tensor::<5>::random(shape, Distribution::Normal(0.0, 1.0), &device);
            let nodes: Vec<_> = (0..NODES).map(|_| random(shape).require_grad()).collect();
            let factors = random([n, t, h, w, NODES * c]).detach();
            let run = || {
                let whole = concatenate(nodes.clone());
                let gradients = (whole.clone() * factors.clone()).sum().backward();
                let apart: Vec<_> = nodes.iter().map(|node| host(node.grad(&gradients).unwrap())).collect();
                (host(whole), apart)
            };
            assert_eq!(run(), portably(run), "{shape:?}");
        }
    }

    #[test]
    fn other_numbers_of_nodes_are_fine() {
        let nodes = |count: usize| vec![Tensor::<5>::ones([1, 1, 2, 2, 3], &Device::flex()); count];
        assert_eq!(concatenate(nodes(3)).dims(), [1, 1, 2, 2, 9]);
        assert_eq!(concatenate(nodes(1)).dims(), [1, 1, 2, 2, 3]);
    }
}
