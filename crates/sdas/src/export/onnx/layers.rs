//! What every layer is among ONNX's operators.

use super::OnnxError;
use super::axes::Axes;
use super::numbers::{Linear, Numbers};
use super::proto::Attribute;
use super::writer::Writer;
use crate::layers::{Activation, Affinity, Graph, Layer, Node, Shape, Value};

/// Below this, the logarithm is that of this.
const LEAST: f64 = 1e-30;

/// What a layer gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) form: Form,
}

/// How a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `[N, C, H, W]`, of networks for clips `[N, C, T, H, W]`.
    Spread,
    /// `[N, C]`, of one position.
    Rows,
}

/// A graph being written, layer by layer.
pub(super) struct Layers<'a> {
    pub(super) writer: Writer,
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a [Shape],
    pub(super) axes: &'a Axes,
    pub(super) numbers: &'a Numbers<'a>,
    /// Two where a picture's height and width are all there is, else three.
    pub(super) dims: usize,
    /// What the layers so far give.
    pub(super) given: Vec<Given>,
}

impl Layers<'_> {
    /// Writes all layers; `input` is what the first gives. Gives the logits, `[N, classes]`.
    pub(super) fn write(&mut self, input: String) -> Result<String, OnnxError> {
        let graph = self.graph;
        for (index, node) in graph.nodes().iter().enumerate() {
            self.writer.begin(&node.name);
            let given = match node.layer {
                Layer::Input { .. } => Given { name: input.clone(), form: Form::Spread },
                _ => self.layer(index, node),
            };
            self.given.push(given);
        }
        let output = graph.output();
        self.writer.begin("");
        match self.is_single(output) {
            true => Ok(self.rows(output)),
            false => Err(OnnxError::Positions { shape: self.shapes[output.index()] }),
        }
    }

    /// Of numbers for time, height and width, those for the axes that there are.
    pub(super) fn along<T: Copy>(&self, numbers: [T; 3]) -> Vec<T> {
        numbers[3 - self.dims..].to_vec()
    }

    /// The place of an axis of a sample among those of a batch.
    pub(super) fn place(&self, axis: usize) -> i64 {
        (2 + axis + self.dims - 3) as i64
    }

    /// Places of the axes that there are.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        3 - self.dims..3
    }

    /// `1`s for the axes that there are.
    pub(super) fn ones(&self) -> Vec<usize> {
        vec![1; self.dims]
    }

    pub(super) fn extent(&self, value: Value) -> [usize; 3] {
        self.shapes[value.index()].extent
    }

    pub(super) fn varying(&self, value: Value) -> [bool; 3] {
        self.axes.varying(value.index())
    }

    /// Whether there is one position, whatever the samples' size.
    fn is_single(&self, value: Value) -> bool {
        self.extent(value) == [1; 3] && self.varying(value) == [false; 3]
    }

    /// A value with its axes.
    pub(super) fn spread(&mut self, value: Value) -> String {
        let Given { name, form } = self.given[value.index()].clone();
        match form {
            Form::Spread => name,
            Form::Rows => {
                let axes: Vec<i64> = self.places().map(|axis| self.place(axis)).collect();
                let axes = self.writer.integers(&axes);
                self.writer.node("Unsqueeze", &[&name, &axes], vec![])
            }
        }
    }

    /// A value of one position without its axes.
    fn rows(&mut self, value: Value) -> String {
        let Given { name, form } = self.given[value.index()].clone();
        match form {
            Form::Rows => name,
            Form::Spread => self.writer.node("Flatten", &[&name], vec![Attribute::int("axis", 1)]),
        }
    }

    /// Values in one form: without axes where all are.
    fn alike(&mut self, values: &[Value]) -> (Vec<String>, Form) {
        let are_rows = values.iter().all(|value| self.given[value.index()].form == Form::Rows);
        match are_rows {
            true => (values.iter().map(|&value| self.rows(value)).collect(), Form::Rows),
            false => (values.iter().map(|&value| self.spread(value)).collect(), Form::Spread),
        }
    }

    /// `[N, C, positions]`.
    fn positions(&mut self, value: Value) -> String {
        let (x, sizes) = (self.spread(value), self.writer.integers(&[0, 0, -1]));
        self.writer.node("Reshape", &[&x, &sizes], vec![])
    }

    fn layer(&mut self, index: usize, node: &Node) -> Given {
        let spread = |name: String| Given { name, form: Form::Spread };
        let rows = |name: String| Given { name, form: Form::Rows };
        let first = node.reads[0];
        match &node.layer {
            Layer::Input { .. } => unreachable!("it reads nothing"),
            Layer::Dropout { .. } => self.given[first.index()].clone(),
            Layer::Norm { .. } if self.numbers.is_taken(index) => self.given[first.index()].clone(),
            Layer::Convolution { inputs, filter } => spread(self.convolution(index, first, *inputs, filter)),
            Layer::Norm { epsilon, .. } => spread(self.norm(node, first, *epsilon)),
            Layer::Activation(activation) => {
                let Given { name, form } = self.given[first.index()].clone();
                Given { name: self.activation(*activation, &name), form }
            }
            Layer::Pool { pool, window } => spread(self.pool(first, *pool, window)),
            Layer::AdaptiveAverage { size } => spread(self.adaptive_average(first, *size)),
            Layer::Flatten { frames, positions } => self.flatten(first, *frames, *positions),
            Layer::Linear { inputs, outputs, .. } => match self.is_single(first) {
                true => rows(self.linear(index, first, [*inputs, *outputs])),
                false => spread(self.linear_everywhere(index, first, [*inputs, *outputs])),
            },
            Layer::Add => self.chain("Add", &node.reads),
            Layer::Multiply => self.chain("Mul", &node.reads),
            Layer::Concatenate => {
                let (values, form) = self.alike(&node.reads);
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                Given { name: self.writer.node("Concat", &values, vec![Attribute::int("axis", 1)]), form }
            }
            Layer::FrameProduct if self.dims == 2 => self.given[first.index()].clone(),
            Layer::FrameProduct => {
                let x = self.spread(first);
                spread(self.writer.node("ReduceProd", &[&x], vec![Attribute::ints("axes", [2])]))
            }
            Layer::Slice { from, to } => {
                let Given { name, form } = self.given[first.index()].clone();
                Given { name: self.slice(&name, &[(1, *from as i64, *to as i64)]), form }
            }
            Layer::Shuffle { groups } => {
                let each = self.shapes[index].channels / groups;
                let order: Vec<i64> = (0..each * groups).map(|to| (to % groups * each + to / groups) as i64).collect();
                let (x, order) = (self.spread(first), self.writer.integers(&order));
                spread(self.writer.node("Gather", &[&x, &order], vec![Attribute::int("axis", 1)]))
            }
            Layer::Pad { amounts } => spread(self.pad(first, *amounts)),
            Layer::Difference => spread(self.difference(first)),
            Layer::Zero { outputs, stride } => spread(self.zero(first, *outputs, *stride)),
            Layer::LocalResponseNorm { size, alpha, beta, bias } => {
                spread(self.local_response_norm(first, *size, [*alpha, *beta, *bias]))
            }
            Layer::Attention { affinity } => spread(self.attention(node, *affinity)),
            Layer::Bilinear => {
                let x = self.positions(first);
                let turned = self.writer.node("Transpose", &[&x], vec![Attribute::ints("perm", [0, 2, 1])]);
                let products = self.writer.node("MatMul", &[&x, &turned], vec![]);
                rows(self.writer.node("Flatten", &[&products], vec![Attribute::int("axis", 1)]))
            }
        }
    }

    /// From the first value on, each with what came before it.
    fn chain(&mut self, kind: &str, reads: &[Value]) -> Given {
        let (values, form) = self.alike(reads);
        let mut values = values.into_iter();
        let first = values.next().expect("every layer reads something");
        let name = values.fold(first, |all, value| self.writer.node(kind, &[&all, &value], vec![]));
        Given { name, form }
    }

    fn norm(&mut self, node: &Node, first: Value, epsilon: f64) -> String {
        let (x, norm) = (self.spread(first), self.numbers.norm(node));
        let mut part =
            |what: &str, values: &[f32]| self.writer.floats(&format!("{}.{what}", node.name), &[values.len()], values);
        let (scale, shift) = (part("weight", &norm.scale), part("bias", &norm.shift));
        let (mean, variance) = (part("running_mean", &norm.mean), part("running_var", &norm.variance));
        let inputs = [&x[..], &scale, &shift, &mean, &variance];
        self.writer.node("BatchNormalization", &inputs, vec![Attribute::float("epsilon", epsilon)])
    }

    pub(super) fn activation(&mut self, activation: Activation, x: &str) -> String {
        let writer = &mut self.writer;
        match activation {
            Activation::Relu => writer.node("Relu", &[x], vec![]),
            Activation::Relu6 => {
                let bounds = [0.0, 6.0].map(|bound| writer.number(bound));
                writer.node("Clip", &[x, &bounds[0], &bounds[1]], vec![])
            }
            Activation::Sigmoid => writer.node("Sigmoid", &[x], vec![]),
            Activation::Tanh => writer.node("Tanh", &[x], vec![]),
            Activation::HardSigmoid => {
                let slope = [Attribute::float("alpha", 1.0 / 6.0), Attribute::float("beta", 0.5)];
                writer.node("HardSigmoid", &[x], slope.to_vec())
            }
            Activation::HardSwish => writer.node("HardSwish", &[x], vec![]),
            Activation::Softmax => writer.node("Softmax", &[x], vec![Attribute::int("axis", 1)]),
            Activation::Logarithm => {
                let least = writer.number(LEAST);
                let x = writer.node("Max", &[x, &least], vec![]);
                writer.node("Log", &[&x], vec![])
            }
            Activation::SignedRoot => {
                let (sign, size) = (writer.node("Sign", &[x], vec![]), writer.node("Abs", &[x], vec![]));
                let least = writer.number(LEAST.sqrt());
                let size = writer.node("Add", &[&size, &least], vec![]);
                let root = writer.node("Sqrt", &[&size], vec![]);
                writer.node("Mul", &[&sign, &root], vec![])
            }
            Activation::UnitLength => {
                let (squares, channels) = (writer.node("Mul", &[x, x], vec![]), writer.integers(&[1]));
                let sum = writer.node("ReduceSum", &[&squares, &channels], vec![]);
                let least = writer.number(LEAST);
                let sum = writer.node("Add", &[&sum, &least], vec![]);
                let length = writer.node("Sqrt", &[&sum], vec![]);
                writer.node("Div", &[x, &length], vec![])
            }
        }
    }

    /// A linear layer over one position.
    fn linear(&mut self, index: usize, first: Value, [inputs, outputs]: [usize; 2]) -> String {
        let (x, Linear { weight, bias }) = (self.rows(first), self.numbers.linear(index));
        let name = &self.graph.nodes()[index].name;
        let mut operands = vec![x, self.writer.floats(&format!("{name}.weight"), &[outputs, inputs], &weight)];
        operands.extend(bias.map(|bias| self.writer.floats(&format!("{name}.bias"), &[outputs], &bias)));
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        self.writer.node("Gemm", &operands, vec![Attribute::int("transB", 1)])
    }

    /// A linear layer at every position: a convolution with windows of one.
    fn linear_everywhere(&mut self, index: usize, first: Value, [inputs, outputs]: [usize; 2]) -> String {
        let (x, linear) = (self.spread(first), self.numbers.linear(index));
        let dims = [&[outputs, inputs][..], &self.ones()].concat();
        self.convolve(index, &x, &dims, linear, vec![])
    }

    /// A convolution's node with its weights.
    pub(super) fn convolve(
        &mut self,
        index: usize,
        x: &str,
        dims: &[usize],
        Linear { weight, bias }: Linear,
        attributes: Vec<Attribute>,
    ) -> String {
        let name = &self.graph.nodes()[index].name;
        let mut operands = vec![x.to_owned(), self.writer.floats(&format!("{name}.weight"), dims, &weight)];
        operands.extend(bias.map(|bias| self.writer.floats(&format!("{name}.bias"), &dims[..1], &bias)));
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        self.writer.node("Conv", &operands, attributes)
    }

    /// A part along some axes: place, from where, to before where.
    pub(super) fn slice(&mut self, x: &str, parts: &[(i64, i64, i64)]) -> String {
        let mut list =
            |of: fn(&(i64, i64, i64)) -> i64| self.writer.integers(&parts.iter().map(of).collect::<Vec<i64>>());
        let (starts, ends, axes) = (list(|part| part.1), list(|part| part.2), list(|part| part.0));
        self.writer.node("Slice", &[x, &starts, &ends, &axes], vec![])
    }

    /// Channel by channel, positions become channels.
    fn flatten(&mut self, first: Value, frames: bool, positions: usize) -> Given {
        let [read, ..] = self.extent(first);
        let of_one_frame = self.dims == 2 || read == 1 && !self.varying(first)[0];
        if frames || of_one_frame {
            return Given { name: self.rows(first), form: Form::Rows };
        }
        let name = self.spread(first);
        if positions == 1 {
            return Given { name, form: Form::Spread };
        }
        let turn = |writer: &mut Writer, x: &str, order: &[usize]| {
            writer.node("Transpose", &[x], vec![Attribute::ints("perm", order.iter().copied())])
        };
        let frames = turn(&mut self.writer, &name, &[0, 2, 1, 3, 4]);
        let sizes = self.writer.integers(&[0, 0, -1]);
        let features = self.writer.node("Reshape", &[&frames, &sizes], vec![]);
        let channels = turn(&mut self.writer, &features, &[0, 2, 1]);
        let axes = self.writer.integers(&[3, 4]);
        Given { name: self.writer.node("Unsqueeze", &[&channels, &axes], vec![]), form: Form::Spread }
    }

    /// From what is a frame before; the first is before itself.
    fn difference(&mut self, first: Value) -> String {
        let x = self.spread(first);
        let before = match self.dims {
            2 => x.clone(),
            _ => {
                let one = self.writer.integers(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
                let longer = self.writer.node("Pad", &[&x, &one], vec![Attribute::text("mode", "edge")]);
                self.slice(&longer, &[(2, 0, -1)])
            }
        };
        self.writer.node("Sub", &[&x, &before], vec![])
    }

    /// One channel at every stride's step, times nothing, as often as there are channels.
    fn zero(&mut self, first: Value, outputs: usize, stride: [usize; 3]) -> String {
        let x = self.spread(first);
        let mut part = self.slice(&x, &[(1, 0, 1)]);
        if stride != [1; 3] {
            // A pool of windows of one, since some runtimes take no steps through what may be of any size.
            let steps = [Attribute::ints("kernel_shape", self.ones()), Attribute::ints("strides", self.along(stride))];
            part = self.writer.node("MaxPool", &[&part], steps.to_vec());
        }
        let dims = [&[1, outputs][..], &self.ones()].concat();
        let zeros = self.writer.floats("zeros", &dims, &vec![0.0; outputs]);
        self.writer.node("Mul", &[&part, &zeros], vec![])
    }

    fn local_response_norm(&mut self, first: Value, size: usize, [alpha, beta, bias]: [f64; 3]) -> String {
        let x = self.spread(first);
        // The standard counts the odd channel after, PyTorch before; and runtimes know pictures alone.
        if self.dims == 2 && size % 2 == 1 {
            let numbers = [("alpha", alpha), ("beta", beta), ("bias", bias)];
            let mut attributes = vec![Attribute::int("size", size as i64)];
            attributes.extend(numbers.map(|(name, value)| Attribute::float(name, value)));
            return self.writer.node("LRN", &[&x], attributes);
        }
        // The sum of the squares around each channel is a product with ones around the diagonal.
        let channels = self.shapes[first.index()].channels;
        let around = |output: usize, input: usize| input + size / 2 >= output && input <= output + (size - 1) / 2;
        let factor = |at: usize| if around(at / channels, at % channels) { (alpha / size as f64) as f32 } else { 0.0 };
        let factors: Vec<f32> = (0..channels * channels).map(factor).collect();
        let dims = [&[channels, channels][..], &self.ones()].concat();
        let squares = self.writer.node("Mul", &[&x, &x], vec![]);
        let factors = self.writer.floats("factors", &dims, &factors);
        let bias = self.writer.floats("bias", &[channels], &vec![bias as f32; channels]);
        let sums = self.writer.node("Conv", &[&squares, &factors, &bias], vec![]);
        let beta = self.writer.number(beta);
        let power = self.writer.node("Pow", &[&sums, &beta], vec![]);
        self.writer.node("Div", &[&x, &power], vec![])
    }

    fn attention(&mut self, node: &Node, affinity: Affinity) -> String {
        let [query, key, value] = [0, 1, 2].map(|at| self.positions(node.reads[at]));
        let keys = self.writer.node("Transpose", &[&key], vec![Attribute::ints("perm", [0, 2, 1])]);
        // [N, keys, queries]
        let products = self.writer.node("MatMul", &[&keys, &query], vec![]);
        let shares = match affinity {
            Affinity::Softmax => self.writer.node("Softmax", &[&products], vec![Attribute::int("axis", 1)]),
            Affinity::Mean => {
                let count = self.writer.number(self.shapes[node.reads[1].index()].positions() as f64);
                self.writer.node("Div", &[&products, &count], vec![])
            }
        };
        let attended = self.writer.node("MatMul", &[&value, &shares], vec![]);
        let first = node.reads[0];
        let sizes = match self.varying(first).contains(&true) {
            false => {
                let sizes = self.along(self.extent(first)).into_iter().map(|size| size as i64);
                self.writer.integers(&[0, 0].into_iter().chain(sizes).collect::<Vec<i64>>())
            }
            true => {
                let x = self.spread(first);
                let shape = self.writer.node("Shape", &[&x], vec![Attribute::int("start", 2)]);
                let same = self.writer.integers(&[0, 0]);
                self.writer.node("Concat", &[&same, &shape], vec![Attribute::int("axis", 0)])
            }
        };
        self.writer.node("Reshape", &[&attended, &sizes], vec![])
    }
}
