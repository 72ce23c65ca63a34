//! Functions that are computed by hand on the CPU in single precision, there and back, where the tensor library would add in
//! an order, or round, as processors, their number or the system's library have it.

use crate::edge::is_portable;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward as Differentiable, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flex::FlexTensor;
use std::fmt::Debug;
use std::sync::Arc;

/// A function of a contiguous tensor and of weights, of which there may be none.
pub trait Function: Debug + Send + Sync {
    /// The shape of its result.
    fn shape(&self, input: &[usize]) -> Vec<usize>;

    /// The result.
    fn there(&self, input: &[f32], weights: &[f32]) -> Vec<f32>;

    /// The gradients of the input and of the weights, by that of the result; each is left empty where it is not wanted.
    fn back(&self, input: &[f32], weights: &[f32], gradient: &[f32], wanted: [bool; 2]) -> [Vec<f32>; 2];
}

/// Whether what is done with a tensor is computed by hand: on the CPU, in single precision.
pub fn is_by_hand<const D: usize>(tensor: &Tensor<D>) -> bool {
    !is_portable() && tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// What a function makes of a tensor that [is computed by hand](is_by_hand).
pub(crate) fn apply<const D: usize, const E: usize>(
    function: impl Function + 'static,
    input: Tensor<D>,
    weights: Option<Tensor<1>>,
) -> Tensor<E> {
    let weights = weights.unwrap_or_else(|| Tensor::zeros([1], &input.device().inner()));
    Tensor::from_dispatch(Dispatch::by_hand(input.into_dispatch(), weights.into_dispatch(), Arc::new(function)))
}

/// What the way back gives; a single element for what was not asked for.
#[derive(ExtensionType)]
pub struct Returned<B: Backend> {
    /// Gradient of the input.
    pub input: FloatTensor<B>,
    /// Gradient of the weights.
    pub weights: FloatTensor<B>,
}

/// A function and its derivative, as Burn calls them.
#[backend_extension(Autodiff, Flex)]
pub trait ByHand: Backend {
    /// The way there.
    fn by_hand(input: FloatTensor<Self>, weights: FloatTensor<Self>, function: Arc<dyn Function>) -> FloatTensor<Self>;

    /// The way back from the result's gradient.
    fn by_hand_back(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        function: Arc<dyn Function>,
        wanted: [bool; 2],
    ) -> Returned<Self>;
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of single precision")
}

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    match values.len() {
        0 => FlexTensor::from_data(TensorData::new(vec![0.0f32], [1])),
        _ => FlexTensor::from_data(TensorData::new(values, shape)),
    }
}

impl ByHand for Flex {
    fn by_hand(input: FloatTensor<Self>, weights: FloatTensor<Self>, function: Arc<dyn Function>) -> FloatTensor<Self> {
        let (input, weights) = (input.to_contiguous(), weights.to_contiguous());
        tensor(function.there(values(&input), values(&weights)), function.shape(input.layout().shape()))
    }

    fn by_hand_back(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        function: Arc<dyn Function>,
        wanted: [bool; 2],
    ) -> Returned<Self> {
        let [input, weights, gradient] = [input, weights, gradient].map(|tensor| tensor.to_contiguous());
        let [of_input, of_weights] = function.back(values(&input), values(&weights), values(&gradient), wanted);
        Returned {
            input: tensor(of_input, input.layout().shape().to_vec()),
            weights: tensor(of_weights, weights.layout().shape().to_vec()),
        }
    }
}

/// The backward step's inputs.
#[derive(Debug, Clone)]
struct State<B: Backend> {
    input: FloatTensor<B>,
    weights: FloatTensor<B>,
    function: Arc<dyn Function>,
}

#[derive(Debug)]
struct Step;

impl<B: ByHand> Differentiable<B, 2> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 2>, graph: &mut Graph, _: &mut Checkpointer) {
        let gradient = graph.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let State { input, weights, function } = ops.state;
        let returned = B::by_hand_back(input, weights, gradient, function, wanted);
        for (node, gradient) in ops.parents.into_iter().zip([returned.input, returned.weights]) {
            if let Some(node) = node {
                graph.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: ByHand, C: CheckpointStrategy> ByHand for Autodiff<B, C> {
    fn by_hand(input: FloatTensor<Self>, weights: FloatTensor<Self>, function: Arc<dyn Function>) -> FloatTensor<Self> {
        let parents = [input.node(), weights.node()];
        let (input, weights) = (input.into_primitive(), weights.into_primitive());
        let result = B::by_hand(input.clone(), weights.clone(), function.clone());
        match Step.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(State { input, weights, function }, result),
            OpsKind::UnTracked(step) => step.finish(result),
        }
    }

    fn by_hand_back(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Arc<dyn Function>,
        _: [bool; 2],
    ) -> Returned<Self> {
        unreachable!("autodiff is of first order: nobody differentiates the way back")
    }
}
