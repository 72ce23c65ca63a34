//! What is written for PyTorch, as far as it can be checked without: `bench/check_pytorch.py` has the rest.

use safetensors::SafeTensors;
use sdas::export::{Subject, to_pytorch};
use sdas::genotype::Genotype;
use sdas::handmade::{NETWORKS, Named, Sizes};
use sdas::network::{NetworkShape, Stem};
use sdas::run::Seen;
use sdas_data::{ClipSettings, Normalization, Sampling, Statistics};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names and shapes of tensors.
type Tensors = BTreeMap<String, Vec<usize>>;

struct Folder(BTreeMap<&'static str, Vec<u8>>);

impl Folder {
    fn of(subject: &Subject) -> Self {
        let files = to_pytorch(subject, Path::new("net")).unwrap();
        let folder = Folder(files.into_iter().collect());
        let names: Vec<_> = folder.0.keys().copied().collect();
        assert_eq!(names, ["README.md", "config.json", "hubconf.py", "model.safetensors", "sdas_net.py"]);
        folder
    }

    fn text(&self, name: &str) -> &str {
        std::str::from_utf8(&self.0[name]).unwrap()
    }

    fn config(&self) -> Value {
        serde_json::from_str(self.text("config.json")).unwrap()
    }

    fn tensors(&self) -> Tensors {
        let file = SafeTensors::deserialize(&self.0["model.safetensors"]).unwrap();
        file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect()
    }
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(size).collect()
}

/// The tensors that `cells.py` makes of a configuration, by the same rules.
#[derive(Default)]
struct Made(Tensors);

impl Made {
    fn of(config: &Value) -> Tensors {
        let mut made = Made::default();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let stems = list(&config["stems"]);
        for (at, stem) in stems.iter().enumerate() {
            let name = if stems.len() == 1 { "stem".to_owned() } else { format!("stem{at}") };
            let mut layer = 0;
            for block in list(stem) {
                layer += usize::from(block["activated"] == true);
                let [inputs, outputs] = ["inputs", "outputs"].map(|key| size(&block[key]));
                made.convolution(&format!("{name}.{layer}"), [outputs, inputs], &sizes(&block["kernel"]));
                made.norm(&format!("{name}.{}", layer + 1), outputs, true);
                layer += 2;
            }
        }
        for (at, cell) in list(&config["cells"]).iter().enumerate() {
            made.cell(&format!("cells.{at}"), cell, config);
        }
        let features = size(&config["num_features"]);
        if config["closing"] == true {
            made.norm("lastact.0", features, true);
        }
        let classes = size(&config["num_classes"]);
        made.0.insert("classifier.weight".to_owned(), vec![classes, features]);
        made.0.insert("classifier.bias".to_owned(), vec![classes]);
        made.0
    }

    fn cell(&mut self, name: &str, cell: &Value, config: &Value) {
        let (inputs, channels, stride) = (sizes(&cell["inputs"]), size(&cell["channels"]), sizes(&cell["stride"]));
        if cell["kind"] == "residual" {
            let three = vec![3; stride.len()];
            for (conv, inputs) in [("conv_a", inputs[0]), ("conv_b", channels)] {
                self.convolution(&format!("{name}.{conv}.1"), [channels, inputs], &three);
                self.norm(&format!("{name}.{conv}.2"), channels, true);
            }
            return self.convolution(&format!("{name}.downsample.1"), [channels, inputs[0]], &vec![1; stride.len()]);
        }
        let affine = cell["affine"] == true;
        for (at, stride) in cell["preprocess"].as_array().unwrap().iter().enumerate() {
            let stride = sizes(stride);
            let how = if stride.iter().all(|&step| step == 1) { "project" } else { "skip" };
            let what = &config["operations"][how];
            self.operation(&format!("{name}.pre{at}"), what, [inputs[at], channels], &stride, affine);
        }
        for edge in config["kinds"][cell["kind"].as_str().unwrap()]["edges"].as_array().unwrap() {
            let own = if size(&edge["from"]) < inputs.len() { stride.clone() } else { vec![1; stride.len()] };
            let name = format!("{name}.{}", edge["module"].as_str().unwrap());
            let what = &config["operations"][edge["operation"].as_str().unwrap()];
            self.operation(&name, what, [channels; 2], &own, affine);
        }
    }

    fn operation(&mut self, name: &str, what: &Value, [inputs, outputs]: [usize; 2], stride: &[usize], affine: bool) {
        let one = vec![1; stride.len()];
        match what["kind"].as_str().unwrap() {
            "skip" if inputs == outputs && stride == one => {}
            "skip" => {
                self.convolution(&format!("{name}.conv_a"), [outputs / 2, inputs], &one);
                self.convolution(&format!("{name}.conv_b"), [outputs - outputs / 2, inputs], &one);
                self.norm(&format!("{name}.bn"), outputs, affine);
            }
            "zero" => {}
            "max_pool" | "average_pool" if what["normed"] == true => self.norm(&format!("{name}.1"), outputs, affine),
            "max_pool" | "average_pool" => {}
            "chain" => match what["stages"].as_array().unwrap().as_slice() {
                [stage] => self.stage(name, stage, outputs, affine),
                stages => stages.iter().enumerate().for_each(|(at, stage)| {
                    self.stage(&format!("{name}.{at}"), stage, outputs, affine);
                }),
            },
            "parallel" => what["stages"].as_array().unwrap().iter().enumerate().for_each(|(at, stage)| {
                self.stage(&format!("{name}.branches.{at}"), stage, outputs, affine);
            }),
            "compromise" => {
                for part in ["spatial", "temporal"] {
                    self.stage(&format!("{name}.{part}"), &what[part], outputs, affine);
                }
            }
            "temporal_difference" => {
                self.convolution(&format!("{name}.conv"), [outputs, outputs], &one);
                self.norm(&format!("{name}.bn"), outputs, affine);
            }
            "convolution" => {
                assert_eq!(what["activated"], true);
                self.convolution(&format!("{name}.1"), [outputs, inputs], &sizes(&what["kernel"]));
                self.norm(&format!("{name}.2"), outputs, affine);
            }
            other => panic!("{other}"),
        }
    }

    fn stage(&mut self, name: &str, stage: &Value, channels: usize, affine: bool) {
        let kernel = sizes(&stage["kernel"]);
        self.convolution(&format!("{name}.1"), [channels, 1], &kernel);
        self.convolution(&format!("{name}.2"), [channels; 2], &vec![1; kernel.len()]);
        self.norm(&format!("{name}.3"), channels, affine);
    }

    fn convolution(&mut self, name: &str, channels: [usize; 2], kernel: &[usize]) {
        self.0.insert(format!("{name}.weight"), [&channels[..], kernel].concat());
    }

    fn norm(&mut self, name: &str, channels: usize, affine: bool) {
        let parts = if affine {
            &["weight", "bias", "running_mean", "running_var"][..]
        } else {
            &["running_mean", "running_var"]
        };
        for part in parts {
            self.0.insert(format!("{name}.{part}"), vec![channels]);
        }
    }
}

const VIDEO: &str = "Genotype(normal=[('sep_conv_1x3x3', 0), ('p3d_a_3x3x3', 1), ('p3d_b_3x3x3', 0), ('p3d_c_3x3x3', 1), \
                     ('temporal_diff', 1), ('skip_connect', 0), ('dil_conv_3x1x1', 0), ('sep_conv_3x3x3', 2)], \
                     normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3x3', 0), ('p3d_a_3x3x3', 1), ('skip_connect', 2), \
                     ('p3d_b_3x3x3', 1), ('p3d_c_3x3x3', 0), ('skip_connect', 1), ('temporal_diff', 0), \
                     ('avg_pool_3x3x3', 1)], reduce_concat=[2, 3, 4, 5])";
const NB201: &str = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|";

#[test]
fn a_network_of_cells_is_data_by_which_the_module_makes_its_tensors() {
    let shape = |channels, cells, stem| NetworkShape { channels, cells, classes: 7, inputs: 3, stem, auxiliary: true };
    let cases = [
        ("darts_v2", shape(4, 5, Stem::Cifar), [1, 32, 32], 64),
        ("pdarts", shape(4, 5, Stem::Imagenet), [1, 64, 48], 64),
        // Over clips with the stem for clips, cells for pictures have an axis of time.
        ("darts_v2", shape(4, 4, Stem::Video), [8, 32, 32], 64),
        (VIDEO, shape(4, 5, Stem::Video), [8, 32, 32], 64),
        (VIDEO, shape(4, 3, Stem::Cifar), [8, 32, 32], 64),
        (NB201, shape(4, 5, Stem::Cifar), [1, 32, 32], 16),
    ];
    for (text, shape, extent, features) in cases {
        let genotype = Genotype::resolve(text).or_else(|_| Genotype::parse(text)).unwrap();
        let subject = Subject::of_cell(&genotype, shape, extent, 1).unwrap();
        let folder = Folder::of(&subject);
        let config = folder.config();
        let planar = extent[0] == 1;
        let input = [&[3][..], &extent[usize::from(planar)..]].concat();
        assert_eq!(sizes(&config["input_size"]), input, "{text}");
        assert_eq!((size(&config["num_classes"]), size(&config["num_features"])), (7, features), "{text}");
        assert_eq!((&config["network"], &config["weights"]), (&genotype.to_text().into(), &"initial, seed 1".into()));
        let tensors = folder.tensors();
        let first = config["first_conv"].as_str().unwrap();
        assert_eq!(tensors[&format!("{first}.weight")].len(), if planar { 4 } else { 5 }, "{text}: {first}");
        assert_eq!(Made::of(&config), tensors, "{text}");
        // The module is the same for all; nothing of the sources' own is in it.
        let module = folder.text("sdas_net.py");
        assert!(module.contains("\nclass Cell(nn.Module):\n") && module.contains("\ndef sdas(pretrained"), "{module}");
        assert!(!module.contains("import Network") && !module.contains("goes into every folder"));
        assert_eq!(module.matches("\nimport torch\n").count(), 1);
        let readme = folder.text("README.md");
        let zeros: Vec<String> = [1].iter().chain(&input).map(usize::to_string).collect();
        assert!(readme.contains(&format!("torch.zeros({})", zeros.join(", "))) && !readme.contains("{{"), "{readme}");
    }
}

/// The modules that a class of layers makes, by name, with what makes them.
fn modules(source: &str) -> BTreeMap<String, String> {
    let class = source.split_once("\nclass Network(nn.Module):").unwrap().1;
    let (init, rest) = class.split_once("    def reset_classifier").unwrap();
    let mut made = BTreeMap::new();
    let mut within: Vec<String> = Vec::new();
    for line in init.lines().map(str::trim) {
        if line.starts_with("})") {
            within.pop();
        }
        let part = line.strip_prefix("self.").and_then(|line| line.split_once(" = nn."));
        let inner = line.strip_prefix('"').and_then(|line| line.split_once("\": nn."));
        if let Some((name, what)) = part.or(inner) {
            let name = within.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
            match what.starts_with("ModuleDict") {
                true => within.push(name.rsplit('.').next().unwrap().to_owned()),
                false => drop(made.insert(name, what.to_owned())),
            }
        }
    }
    let heads = rest.split_once("\n    def ").unwrap().0;
    for (path, what) in heads.lines().filter_map(|line| line.trim().strip_prefix("self.")?.split_once(" = nn.")) {
        let name = path.replace("[\"", ".").replace("\"]", "");
        assert!(what.contains("num_classes"), "{what}");
        made.insert(name, what.to_owned());
    }
    made
}

fn path(name: &str) -> String {
    let mut parts = name.split('.');
    let first = format!("self.{}", parts.next().unwrap());
    parts.fold(first, |path, part| format!("{path}[\"{part}\"]"))
}

#[test]
fn networks_that_people_made_have_a_module_a_layer() {
    for network in NETWORKS {
        // As small as it can read: full size is of no other layers.
        let usual = Sizes { width: 0.125, classes: 7, ..network.usual };
        let [frames, height, _] = usual.extent;
        let side = height.min(64);
        let subject = Subject::of_network(
            Named::find(network.name).unwrap(),
            &Sizes { extent: [frames, side, side], ..usual },
            1,
        );
        let subject = subject.or_else(|_| Subject::of_network(Named::find(network.name).unwrap(), &usual, 1)).unwrap();
        let folder = Folder::of(&subject);
        let (source, tensors) = (folder.text("sdas_net.py"), folder.tensors());
        let modules = modules(source);
        let own: BTreeSet<&str> = tensors.keys().map(|tensor| tensor.rsplit_once('.').unwrap().0).collect();
        let made: BTreeSet<&str> = modules.keys().map(String::as_str).collect();
        assert_eq!(made, own, "{}", network.name);
        for (name, what) in &modules {
            let called = source.matches(&format!("{}(", path(name))).count();
            assert_eq!(called, 1, "{}: {name} is called {called} times", network.name);
            let has = |part: &str| tensors.contains_key(&format!("{name}.{part}"));
            let is_norm = what.starts_with("BatchNorm");
            assert_eq!(has("running_mean"), is_norm, "{}: {name}", network.name);
            assert_eq!(has("bias"), !what.contains("bias=False"), "{}: {name}", network.name);
            let first: String = name.split('.').next().unwrap().to_owned();
            assert!(first.chars().all(|letter| letter.is_alphanumeric() || letter == '_'), "{first}");
            assert!(!first.starts_with(|letter: char| letter.is_ascii_digit()), "{first}");
        }
        let config = folder.config();
        assert!(size(&config["num_features"]) > 0 && size(&config["num_classes"]) == 7, "{}", network.name);
        // What is called the first convolution reads the samples, and nothing else does.
        let first = config["first_conv"].as_str().unwrap();
        if !first.is_empty() {
            let channels = size(&config["input_size"][0]);
            assert_eq!(tensors[&format!("{first}.weight")][1], channels, "{}", network.name);
        }
    }
}

/// A network of several streams gives the features of all as one tensor, and has no first convolution to replace.
#[test]
fn features_of_two_streams_lie_side_by_side() {
    let network = Named::find("two_stream").unwrap();
    let subject = Subject::of_network(network, &Sizes { width: 0.0625, classes: 7, ..network.usual() }, 1).unwrap();
    let folder = Folder::of(&subject);
    let source = folder.text("sdas_net.py");
    for excerpt in [
        "    def forward_features(self, x: Tensor) -> Tensor:\n",
        "        return torch.cat([y, x], 1)\n",
        "    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:\n        \
         if pre_logits or self.num_classes == 0:\n            return x\n        \
         x, y = x[:, 0:256], x[:, 256:512]\n",
    ] {
        assert!(source.contains(excerpt), "{excerpt}\nis not in\n{source}");
    }
    assert_eq!(folder.config()["num_features"], 512);
    assert_eq!(folder.config()["first_conv"], "");
}

/// What `prepare` does by: frames that lie side by side are of the same colours, and count once.
#[test]
fn stacked_frames_are_prepared_by_colour() {
    let network = Named::find("resnet20").unwrap();
    let subject = |frames: usize, stride: usize, stack: usize, sampling: Sampling, normalization: Normalization| {
        let network = if frames == 1 { network } else { Named::find("tsn_resnet20").unwrap() };
        let sizes = Sizes { extent: [frames, 32, 32], inputs: 3 * stack, classes: 7, width: 0.25 };
        let clip = ClipSettings { frames, stride, stack, sampling, normalization, ..ClipSettings::default() };
        let statistics = Statistics { mean: vec![0.25, 0.5, 0.75], std: vec![0.125, 0.375, 0.625] };
        Subject { seen: Some(Seen { clip, statistics }), ..Subject::of_network(network, &sizes, 1).unwrap() }
    };
    let of = |frames, stride, stack, sampling, normalization| {
        Folder::of(&subject(frames, stride, stack, sampling, normalization)).config()
    };
    let config = of(1, 1, 2, Sampling::Clip, Normalization::Dataset);
    assert_eq!(config["mean"], json!([0.25, 0.5, 0.75, 0.25, 0.5, 0.75]));
    assert_eq!(config["std"], json!([0.125, 0.375, 0.625, 0.125, 0.375, 0.625]));
    assert_eq!(config["input_size"], json!([6, 32, 32]));
    let config = of(4, 2, 5, Sampling::Clip, Normalization::PerClip);
    assert_eq!(
        [&config["normalization"], &config["stack"], &config["fresh"]],
        [&json!("per_clip"), &json!(5), &json!(2)]
    );
    assert_eq!(config["input_size"], json!([15, 4, 32, 32]));
    assert_eq!(of(1, 2, 5, Sampling::Clip, Normalization::PerClip)["fresh"], 5);
    // Whether the stacks of two segments overlap is not to be seen; the module says so.
    let folder = Folder::of(&subject(3, 1, 2, Sampling::Segments, Normalization::PerClip));
    assert_eq!(folder.config()["fresh"], Value::Null);
    let source = folder.text("sdas_net.py");
    for line in [
        "        stack, fresh = CONFIG[\"stack\"], CONFIG[\"fresh\"]\n        if fresh is None:\n            raise ValueError(",
        "        each = pixels.unflatten(-1, [stack, -1])\n",
        "        known = stack - fresh if pixels.dim() == 5 else 0\n",
        "(each[:, :1, ..., :known, :], each[..., known:, :])], 1)\n",
        "        mean, std = (values.repeat(1, stack).unflatten(1, [*around, -1])\n",
    ] {
        assert!(source.contains(line), "{line}\nis not in\n{source}");
    }
}

#[test]
fn a_class_is_written_line_by_line() {
    let sizes = Sizes { extent: [1, 32, 32], inputs: 3, classes: 7, width: 0.25 };
    let subject = Subject::of_network(Named::find("resnet20").unwrap(), &sizes, 1).unwrap();
    let folder = Folder::of(&subject);
    let source = folder.text("sdas_net.py");
    let excerpts = [
        "    \"\"\"resnet20, for 7 classes.\"\"\"\n\n    heads = [\"fc\"]\n",
        "        self.num_features = 16\n        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)\n",
        "            \"0\": nn.ModuleDict({\n                \"conv1\": nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False),\n                \
         \"bn1\": nn.BatchNorm2d(8),\n",
        "        self.fc = nn.Linear(16, num_classes) if num_classes else nn.Identity()\n",
        "    def forward_features(self, x: Tensor) -> Tensor:\n        x = self.conv1(x)\n        x = self.bn1(x)\n        \
         x = F.relu(x)\n\n        # layer1.0\n        y = self.layer1[\"0\"][\"conv1\"](x)\n",
        "    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:\n        \
         x = x.mean((2, 3), keepdim=True)\n        if pre_logits:\n            return x.flatten(1)\n        \
         x = self.fc(x.flatten(1))\n        return x\n",
    ];
    for excerpt in excerpts {
        assert!(source.contains(excerpt), "{excerpt}\nis not in\n{source}");
    }
}
