//! The class of a network that people made: a module a layer, and what they compute line by line.

use super::source::{Modules, numbers, path, python};
use crate::layers::{Activation, Affinity, Filter, Graph, Layer, Node, Padding, Pooling, Shape, Window};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

/// A graph as Python.
pub(super) struct Class {
    /// The source of `class Network`.
    pub(super) source: String,
    /// Features that the first head reads.
    pub(super) features: usize,
}

/// Writes the class of a network whose layers give these shapes; `axes` are 2 for pictures and 3 for clips.
pub(super) fn class(graph: &Graph, shapes: &[Shape], axes: usize, what: &str) -> Class {
    let parts = Parts::of(graph);
    let mut writer = Writer { graph, shapes, axes, parts: &parts, flat: vec![false; graph.nodes().len()] };
    let features = writer.function(&parts.trunk, &[0], &parts.features, "");
    let head = writer.head();
    let heads: Vec<&Node> = parts.heads.iter().map(|&head| &graph.nodes()[head]).collect();
    let names: Vec<String> = heads.iter().map(|node| python(&node.name)).collect();
    let mut text =
        format!("class Network(nn.Module):\n    \"\"\"{what}.\"\"\"\n\n    heads = [{}]\n", names.join(", "));
    let inputs = match &parts.features[..] {
        [_] => heads.first().map_or(0, |node| inputs(&node.layer)),
        several => several.iter().map(|&index| shapes[index].channels).sum(),
    };
    text += "\n    def __init__(self, config: dict, num_classes: int):\n        super().__init__()\n";
    let _ = writeln!(text, "        self.num_features = {inputs}");
    text += &writer.modules().text();
    text += "        self.reset_classifier(num_classes)\n";
    text += "\n    def reset_classifier(self, num_classes: int) -> None:\n";
    text += "        \"\"\"A new head for so many classes; none for 0.\"\"\"\n        self.num_classes = num_classes\n";
    for node in &heads {
        let module = module(&node.layer, axes, "num_classes").unwrap_or_default();
        let _ = writeln!(text, "        {} = {module} if num_classes else nn.Identity()", path(&node.name));
    }
    if let [node] = heads[..] {
        let _ = write!(text, "\n    def get_classifier(self) -> nn.Module:\n        return {}\n", path(&node.name));
    }
    let _ = write!(text, "\n    def forward_features(self, x: Tensor) -> Tensor:\n{features}");
    let _ = write!(text, "\n    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:\n{head}");
    text +=
        "\n    def forward(self, x: Tensor) -> Tensor:\n        return self.forward_head(self.forward_features(x))\n";
    Class { source: text, features: inputs }
}

/// Where a network is parted into what gives features and what makes logits of them.
struct Parts {
    /// The last layers that learn.
    heads: Vec<usize>,
    /// What the heads read, before what learns nothing and only brings it to one position.
    features: Vec<usize>,
    /// The layers up to the features.
    trunk: Vec<usize>,
    /// The layers after them.
    head: Vec<usize>,
}

impl Parts {
    fn of(graph: &Graph) -> Parts {
        let nodes = graph.nodes();
        let reads = |index: usize| nodes[index].reads.iter().map(|read| read.index());
        let (mut heads, mut after, mut next) = (Vec::new(), BTreeSet::new(), VecDeque::from([graph.output().index()]));
        while let Some(index) = next.pop_front() {
            if after.insert(index) {
                match nodes[index].layer {
                    Layer::Convolution { .. } | Layer::Linear { .. } => heads.push(index),
                    _ => next.extend(reads(index)),
                }
            }
        }
        heads.sort_unstable();
        let mut features = BTreeSet::new();
        for mut index in heads.iter().flat_map(|&head| reads(head)) {
            while let Layer::Flatten { .. } | Layer::Dropout { .. } | Layer::AdaptiveAverage { .. } = nodes[index].layer
            {
                after.insert(index);
                index = nodes[index].reads[0].index();
            }
            features.insert(index);
        }
        let mut needed = BTreeSet::new();
        let mut next: Vec<usize> = features.iter().copied().collect();
        while let Some(index) = next.pop() {
            if needed.insert(index) {
                next.extend(reads(index));
            }
        }
        Parts {
            heads,
            features: features.into_iter().collect(),
            trunk: needed.into_iter().filter(|&index| index > 0).collect(),
            head: after.into_iter().collect(),
        }
    }

    /// Whether there is one head, before which its input is given where that is asked for. Before several, the features are.
    fn has_one_head(&self) -> bool {
        self.heads.len() == 1
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    shapes: &'a [Shape],
    axes: usize,
    parts: &'a Parts,
    /// By layer, whether it gives `(N, C)`.
    flat: Vec<bool>,
}

/// Names of values, in the order in which they are taken.
fn value_names() -> impl Iterator<Item = String> {
    let more = (1..).map(|number| format!("x{number}"));
    ["x", "y", "z", "u", "v", "w"].map(str::to_owned).into_iter().chain(more)
}

/// Which names hold a value that is still needed.
struct Names {
    of: Vec<Option<String>>,
    taken: BTreeSet<String>,
}

impl Names {
    fn take(&mut self, index: usize) -> String {
        let name = value_names().find(|name| !self.taken.contains(name)).expect("there is always another number");
        self.taken.insert(name.clone());
        self.of[index] = Some(name.clone());
        name
    }

    fn free(&mut self, index: usize) {
        if let Some(name) = self.of[index].take() {
            self.taken.remove(&name);
        }
    }

    fn get(&self, index: usize) -> String {
        self.of[index].clone().expect("layers are in an order in which they can be computed")
    }
}

impl Writer<'_> {
    /// Every module but the heads.
    fn modules(&self) -> Modules {
        let mut modules = Modules::default();
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let outputs = match &node.layer {
                Layer::Convolution { filter, .. } => filter.outputs,
                Layer::Linear { outputs, .. } => *outputs,
                _ => 0,
            };
            if let Some(module) = module(&node.layer, self.axes, &outputs.to_string()) {
                modules.add(&node.name, (!self.parts.heads.contains(&index)).then_some(module));
            }
        }
        modules
    }

    /// The head's function.
    fn head(&mut self) -> String {
        let (parts, output) = (self.parts, self.graph.output().index());
        let mut first = match parts.has_one_head() {
            true => String::new(),
            false => "        if pre_logits or self.num_classes == 0:\n            return x\n".to_owned(),
        };
        if parts.features.len() > 1 {
            // They lie side by side.
            let mut from = 0;
            let part = |&index: &usize| {
                let to = from + self.shapes[index].channels;
                format!("x[:, {}:{to}]", std::mem::replace(&mut from, to))
            };
            let slices: Vec<String> = parts.features.iter().map(part).collect();
            let names: Vec<String> = value_names().take(slices.len()).collect();
            let _ = writeln!(first, "        {} = {}", names.join(", "), slices.join(", "));
        }
        let text = self.function(&parts.head, &parts.features, &[output], &first);
        // Logits have no positions.
        if self.flat[output] { text } else { format!("{}.flatten(1)\n", text.trim_end()) }
    }

    /// The lines that compute `nodes` from `given` and return `wanted`.
    fn function(&mut self, nodes: &[usize], given: &[usize], wanted: &[usize], first: &str) -> String {
        let all = self.graph.nodes();
        let mut names = Names { of: vec![None; all.len()], taken: BTreeSet::new() };
        given.iter().for_each(|&index| drop(names.take(index)));
        let mut last_use = vec![0; all.len()];
        for &index in nodes {
            all[index].reads.iter().for_each(|read| last_use[read.index()] = index);
        }
        wanted.iter().for_each(|&index| last_use[index] = usize::MAX);
        let mut text = first.to_owned();
        let mut block = String::new();
        for &index in nodes {
            let node = &all[index];
            let own = node.name.rsplit_once('.').map_or("", |(block, _)| block);
            let own: String = own.split('.').take(2).collect::<Vec<_>>().join(".");
            if module(&node.layer, self.axes, "").is_some() && own != block {
                if !own.is_empty() {
                    let space = if text.is_empty() { "" } else { "\n" };
                    let _ = writeln!(text, "{space}        # {own}");
                }
                block = own;
            }
            let reads: Vec<usize> = node.reads.iter().map(|read| read.index()).collect();
            if self.parts.heads.contains(&index) && self.parts.has_one_head() {
                let is_flat = matches!(node.layer, Layer::Linear { .. }) && self.shapes[reads[0]].positions() == 1;
                let value = self.read(&names, reads[0], is_flat);
                let _ = write!(text, "        if pre_logits:\n            return {value}\n");
            }
            let (expression, flat) = self.expression(index, &reads, &names);
            self.flat[index] = flat;
            reads.iter().filter(|&&read| last_use[read] == index).for_each(|&read| names.free(read));
            let name = names.take(index);
            if name != expression {
                let _ = writeln!(text, "        {name} = {expression}");
            }
        }
        let _ = match wanted {
            [only] => writeln!(text, "        return {}", names.get(*only)),
            several => {
                let results: Vec<String> = several.iter().map(|&index| names.get(index)).collect();
                writeln!(text, "        return torch.cat([{}], 1)", results.join(", "))
            }
        };
        text
    }

    /// A value, as `(N, C)` or with its positions.
    fn read(&self, names: &Names, index: usize, flat: bool) -> String {
        let name = names.get(index);
        match (self.flat[index], flat) {
            (true, false) => format!("{name}[..., {}]", vec!["None"; self.axes].join(", ")),
            (false, true) => format!("{name}.flatten(1)"),
            _ => name,
        }
    }

    /// What a layer computes, and whether it is `(N, C)`.
    fn expression(&self, index: usize, reads: &[usize], names: &Names) -> (String, bool) {
        let (node, axes) = (&self.graph.nodes()[index], self.axes);
        let all_flat = reads.iter().all(|&read| self.flat[read]);
        let spatial = |at: usize| self.read(names, reads[at], false);
        let alike = |at: usize| self.read(names, reads[at], all_flat);
        let joined = |sign: &str| (0..reads.len()).map(&alike).collect::<Vec<_>>().join(sign);
        let own = path(&node.name);
        let over = |function: &str, x: String, more: &str| format!("{function}({x}{more})");
        let text = match &node.layer {
            Layer::Input { .. } => names.get(reads[0]),
            Layer::Convolution { filter, .. } => over(&own, padded(spatial(0), &filter.window, axes, "0.0"), ""),
            Layer::Norm { .. } => over(&own, spatial(0), ""),
            Layer::Linear { .. } if self.shapes[reads[0]].positions() == 1 => {
                return (over(&own, self.read(names, reads[0], true), ""), true);
            }
            Layer::Linear { .. } => format!("{own}({}.movedim(1, -1)).movedim(-1, 1)", spatial(0)),
            Layer::Activation(activation) => return (activate(*activation, &names.get(reads[0])), all_flat),
            Layer::Pool { pool, window } => pooled(spatial(0), *pool, window, axes),
            Layer::AdaptiveAverage { size } => self.averaged(spatial(0), *size, self.shapes[reads[0]]),
            Layer::Flatten { frames, .. } if *frames || axes == 2 => {
                return (self.read(names, reads[0], true), true);
            }
            Layer::Flatten { .. } => {
                format!("{}.permute(0, 1, 3, 4, 2).flatten(1, 3)[..., None, None]", spatial(0))
            }
            Layer::Add => return (joined(" + "), all_flat),
            Layer::Multiply => return (joined(" * "), all_flat),
            Layer::Concatenate => return (format!("torch.cat([{}], 1)", joined(", ")), all_flat),
            Layer::FrameProduct if axes == 2 => spatial(0),
            Layer::FrameProduct => format!("{}.prod(2, keepdim=True)", spatial(0)),
            Layer::Slice { from, to } => return (format!("{}[:, {from}:{to}]", alike(0)), all_flat),
            Layer::Shuffle { groups } => format!("shuffle({}, {groups})", spatial(0)),
            Layer::Pad { amounts } => {
                let around = amounts[3 - axes..].iter().rev().flatten();
                let around: Vec<String> = around.map(isize::to_string).collect();
                format!("F.pad({}, [{}])", spatial(0), around.join(", "))
            }
            Layer::Difference => {
                let x = spatial(0);
                format!("torch.cat([torch.zeros_like({x}[:, :, :1]), {x}[:, :, 1:] - {x}[:, :, :-1]], 2)")
            }
            Layer::Zero { outputs, stride } => {
                let steps = stride[3 - axes..].iter().map(|step| format!("::{step}")).collect::<Vec<_>>().join(", ");
                format!("torch.zeros_like({}[:, :1, {steps}]).repeat_interleave({outputs}, 1)", spatial(0))
            }
            Layer::LocalResponseNorm { size, alpha, beta, bias } => {
                format!("F.local_response_norm({}, {size}, {alpha:?}, {beta:?}, {bias:?})", spatial(0))
            }
            Layer::Dropout { rate: 0.0 } => return (names.get(reads[0]), all_flat),
            Layer::Dropout { rate } => {
                return (format!("F.dropout({}, {rate:?}, self.training)", names.get(reads[0])), all_flat);
            }
            Layer::Attention { affinity } => {
                let by = if *affinity == Affinity::Softmax { "True" } else { "False" };
                format!("attend({}, {}, {}, {by})", spatial(0), spatial(1), spatial(2))
            }
            Layer::Bilinear => return (format!("bilinear({})", spatial(0)), true),
        };
        (text, false)
    }

    fn averaged(&self, x: String, size: [Option<usize>; 3], shape: Shape) -> String {
        let axes = self.axes;
        let left: Vec<Option<usize>> = size[3 - axes..].to_vec();
        let is_whole = |(at, left): (usize, &Option<usize>)| match left {
            None => true,
            Some(left) => *left == shape.extent[3 - axes + at],
        };
        if left.iter().enumerate().all(is_whole) && !left.contains(&Some(1)) {
            return x;
        }
        if left.iter().all(|left| matches!(left, None | Some(1))) {
            let gone: Vec<usize> = (0..axes).filter(|&at| left[at].is_some()).map(|at| at + 2).collect();
            return format!("{x}.mean({}, keepdim=True)", numbers('(', &gone));
        }
        let parts = left.iter().enumerate().map(|(at, left)| match left {
            Some(left) => left.to_string(),
            None => format!("{x}.size({})", at + 2),
        });
        format!("F.adaptive_avg_pool{axes}d({x}, [{}])", parts.collect::<Vec<_>>().join(", "))
    }
}

/// Channels that a head reads.
fn inputs(layer: &Layer) -> usize {
    match layer {
        Layer::Convolution { inputs, .. } | Layer::Linear { inputs, .. } => *inputs,
        _ => 0,
    }
}

/// The module of a layer that learns, with so many outputs.
fn module(layer: &Layer, axes: usize, outputs: &str) -> Option<String> {
    Some(match layer {
        Layer::Convolution { inputs, filter: Filter { window, groups, bias, .. } } => {
            let mut text = format!("nn.Conv{axes}d({inputs}, {outputs}, {}", one(&window.kernel[3 - axes..]));
            let mut more = |name: &str, sizes: &[usize], usual: usize| {
                if sizes.iter().any(|&size| size != usual) {
                    let _ = write!(text, ", {name}={}", one(sizes));
                }
            };
            more("stride", &window.stride[3 - axes..], 1);
            more("padding", &around(window, axes).unwrap_or_default(), 0);
            more("dilation", &window.dilation[3 - axes..], 1);
            more("groups", &[*groups], 1);
            text + if *bias { ")" } else { ", bias=False)" }
        }
        Layer::Norm { channels, epsilon, affine } => {
            let epsilon = if *epsilon == 1e-5 { String::new() } else { format!(", eps={epsilon:e}") };
            let affine = if *affine { "" } else { ", affine=False" };
            format!("nn.BatchNorm{axes}d({channels}{epsilon}{affine})")
        }
        Layer::Linear { inputs, bias, .. } => {
            format!("nn.Linear({inputs}, {outputs}{})", if *bias { "" } else { ", bias=False" })
        }
        _ => return None,
    })
}

/// Sizes along the axes, as one number where they are the same.
fn one(sizes: &[usize]) -> String {
    match sizes {
        [first, rest @ ..] if rest.iter().all(|size| size == first) => first.to_string(),
        _ => numbers('(', sizes),
    }
}

/// From the first element that a window reads to the last.
fn reach(window: &Window, axes: usize) -> Vec<usize> {
    (3 - axes..3).map(|axis| (window.kernel[axis] - 1) * window.dilation[axis] + 1).collect()
}

/// What is put around an input on either side, if that is as much on both.
fn around(window: &Window, axes: usize) -> Option<Vec<usize>> {
    match window.padding {
        Padding::Fixed(padding) => {
            let sides = &padding[3 - axes..];
            sides.iter().all(|[before, after]| before == after).then(|| sides.iter().map(|side| side[0]).collect())
        }
        Padding::Same => {
            let reach = reach(window, axes);
            let is_even =
                reach.iter().all(|size| size % 2 == 1) && window.stride[3 - axes..].iter().all(|&step| step == 1);
            is_even.then(|| reach.iter().map(|size| size / 2).collect())
        }
    }
}

/// What a window goes over, where it has to be padded by hand.
fn padded(x: String, window: &Window, axes: usize, value: &str) -> String {
    if around(window, axes).is_some() {
        return x;
    }
    let value = if value == "0.0" { String::new() } else { format!(", {value}") };
    match window.padding {
        Padding::Same => {
            let [reach, stride] =
                [&reach(window, axes)[..], &window.stride[3 - axes..]].map(|sizes| numbers('[', sizes));
            format!("pad_same({x}, {reach}, {stride}{value})")
        }
        Padding::Fixed(padding) => {
            let value = if value.is_empty() { value } else { format!(", value={}", &value[2..]) };
            format!("F.pad({x}, {}{value})", sides(&padding[3 - axes..]))
        }
    }
}

/// As many elements on either side.
fn around_all(amounts: &[usize]) -> String {
    sides(&amounts.iter().map(|&amount| [amount; 2]).collect::<Vec<_>>())
}

/// Elements before and after, from the last axis, as `F.pad` takes them.
fn sides(padding: &[[usize; 2]]) -> String {
    numbers('[', &padding.iter().rev().flatten().copied().collect::<Vec<_>>())
}

fn pooled(x: String, pool: Pooling, window: &Window, axes: usize) -> String {
    let [kernel, stride, dilation] =
        [window.kernel, window.stride, window.dilation].map(|sizes| numbers('[', &sizes[3 - axes..]));
    let even = around(window, axes);
    let ceil = if window.ceil { ", ceil_mode=True" } else { "" };
    let is_padded = even.as_ref().is_none_or(|sides| sides.iter().any(|&side| side > 0));
    match pool {
        Pooling::Max => {
            // PyTorch pads by half a window at most.
            let kernel_sizes = &window.kernel[3 - axes..];
            let fits =
                even.as_ref().filter(|sides| sides.iter().zip(kernel_sizes).all(|(side, size)| 2 * side <= *size));
            let (x, sides) = match (fits, window.padding) {
                (Some(sides), _) => (x, sides.clone()),
                (None, Padding::Fixed(padding)) => {
                    (format!("F.pad({x}, {}, value=float(\"-inf\"))", sides(&padding[3 - axes..])), vec![0; axes])
                }
                (None, Padding::Same) => (padded(x, window, axes, "float(\"-inf\")"), vec![0; axes]),
            };
            let mut more = String::new();
            if window.dilation != [1; 3] {
                let _ = write!(more, ", {dilation}");
            }
            format!("F.max_pool{axes}d({x}, {kernel}, {stride}, {}{more}{ceil})", numbers('[', &sides))
        }
        Pooling::Average { .. } if !is_padded => format!("F.avg_pool{axes}d({x}, {kernel}, {stride}{ceil})"),
        // PyTorch's own over clips refuses those that are smaller than a window.
        Pooling::Average { padded: true } if even.is_some() && (axes == 2 || window.ceil) => {
            format!("F.avg_pool{axes}d({x}, {kernel}, {stride}, {}{ceil})", numbers('[', &even.unwrap_or_default()))
        }
        Pooling::Average { padded: true } => {
            let x = match even {
                Some(sides) => format!("F.pad({x}, {})", around_all(&sides)),
                None => padded(x, window, axes, "0.0"),
            };
            format!("average({x}, {kernel}, {stride})")
        }
        Pooling::Average { padded: false } => match (window.padding, even) {
            (_, Some(sides)) if axes == 2 || window.ceil => {
                let sides = numbers('[', &sides);
                format!("F.avg_pool{axes}d({x}, {kernel}, {stride}, {sides}{ceil}, count_include_pad=False)")
            }
            (Padding::Same, _) => format!("average_same({x}, {kernel}, {stride})"),
            (Padding::Fixed(padding), _) => {
                format!("average_padded({x}, {kernel}, {stride}, {})", sides(&padding[3 - axes..]))
            }
        },
    }
}

fn activate(activation: Activation, x: &str) -> String {
    match activation {
        Activation::Relu => format!("F.relu({x})"),
        Activation::Relu6 => format!("F.relu6({x})"),
        Activation::Sigmoid => format!("{x}.sigmoid()"),
        Activation::Tanh => format!("{x}.tanh()"),
        Activation::HardSigmoid => format!("F.hardsigmoid({x})"),
        Activation::HardSwish => format!("F.hardswish({x})"),
        Activation::Softmax => format!("{x}.softmax(1)"),
        Activation::Logarithm => format!("{x}.clamp(min=1e-30).log()"),
        Activation::SignedRoot => format!("signed_root({x})"),
        Activation::UnitLength => format!("unit_length({x})"),
    }
}
