//! The sections of a recipe with their defaults.

use crate::architecture::Scale;
use crate::optimizer::SgdSettings;
use crate::schedule::{Budget, Collapse, Criterion, Schedule};
use crate::search::Order;
use crate::space::{IMAGE, Space, Stem};
use crate::supernet::{AlphaSettings, Relaxation};
use sdas_data::{
    Augmentation, ClipSettings, Cropping, Duplicates, Input, Keep, Kind, Motion, Resize, Shapes, Source, Statistics,
    Unusable,
};
use sdas_kernels::Extent;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[data]`: where the pictures or clips come from, and what the network sees of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// Which kind of data: pictures (`shapes`, `cifar10`, `cifar100`, `folder`, `shards`, `picture-list`) or clips (`motion`,
    /// `clips`, `list`, `ucf101`, `hmdb51`, `kinetics`).
    pub kind: Kind,
    /// The data set's folder; every kind but `shapes` and `motion` needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Side in pixels that every picture is brought to; of a clip, the short side. Without it they stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How a picture of another shape becomes square: `crop` or `squash`.
    pub resize: Resize,
    /// How what is decoded is kept: in `memory`, in a `cache`, or, of pictures in files, as `none`: decoded while they are
    /// used. Without it clips in files are in a cache, and others in memory unless a folder for the cache is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Folder for the memory-mapped cache of what is decoded; without it the user's folder for caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Official division into train and test, 1 to 3, of `ucf101` and `hmdb51`.
    pub split: usize,
    /// Folder of the official lists, or of that of the classes of pictures to test on, where they are not in `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lists: Option<PathBuf>,
    /// Of clips, only these classes, with labels in this order; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Frames a second that clips are brought to; without it every frame is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Clips that the lists name and that are not there: an `error`, or `skip` them.
    pub missing: Unusable,
    /// Pictures of a folder, or clips, that cannot be decoded: likewise.
    pub broken: Unusable,
    /// Samples that are in the training set and in the test set, by name or by content: an `error`, or `warn` of them.
    pub duplicates: Duplicates,
    /// The most pixels, width times height, that a picture's file may have.
    pub max_pixels: u64,
    /// What is seen of clips: their colours, `rgb`, or their optical `flow`.
    pub input: Input,
    /// What the network sees of a clip: frames, their stride, the side of the square that is cut out.
    pub clip: ClipSettings,
    /// Use this many samples of the training set, drawn class by class; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Mean of each channel, pixels scaled to [0, 1]; measured on the training pictures where it is not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; measured where it is not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// Whether a run measured mean and deviation; where other pictures are asked for, they are measured anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub measured: bool,
    /// How many pictures of `shapes` are drawn.
    pub shapes: Shapes,
    /// How many clips of `motion` are made.
    pub motion: Motion,
}

impl Default for DataSettings {
    fn default() -> Self {
        DataSettings {
            kind: Kind::Shapes,
            path: None,
            size: None,
            resize: Resize::default(),
            keep: None,
            cache: None,
            limit: None,
            mean: Vec::new(),
            std: Vec::new(),
            measured: false,
            split: 1,
            lists: None,
            classes: None,
            fps: None,
            missing: Unusable::default(),
            broken: Unusable::default(),
            duplicates: Duplicates::default(),
            max_pixels: Source::new(Kind::Folder).max_pixels,
            input: Input::default(),
            clip: ClipSettings::default(),
            shapes: Shapes::default(),
            motion: Motion::default(),
        }
    }
}

impl DataSettings {
    /// What the loader is asked for.
    pub fn source(&self) -> Source {
        let DataSettings { kind, path, size, resize, keep, cache, shapes, motion, .. } = self.clone();
        let DataSettings { split, lists, classes, fps, missing, broken, duplicates, max_pixels, input, .. } =
            self.clone();
        Source {
            kind,
            path,
            size,
            resize,
            keep,
            cache,
            shapes,
            motion,
            split,
            lists,
            classes,
            fps,
            missing,
            broken,
            duplicates,
            max_pixels,
            input,
        }
    }

    /// Mean and deviation, where the recipe or an earlier resolution gives both.
    pub fn statistics(&self) -> Option<Statistics> {
        let given = !self.mean.is_empty() && !self.std.is_empty();
        given.then(|| Statistics { mean: self.mean.clone(), std: self.std.clone() })
    }
}

/// `[space]`: what is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpaceSettings {
    /// The space: `image` or `video` (cells of DARTS), `nb201` (NAS-Bench-201), `s1` to `s4` (reduced ones).
    pub name: &'static Space,
    /// A part of its operations by name; empty means all of them.
    pub operations: Vec<String>,
}

impl Default for SpaceSettings {
    fn default() -> Self {
        SpaceSettings { name: &IMAGE, operations: Vec::new() }
    }
}

/// `[search]`: the supernet and how it is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// Channels of the first cells' nodes.
    pub channels: usize,
    /// Number of cells, at least 3, in all stages together: 15 are the N = 5 a stage of NAS-Bench-201, whose residual blocks
    /// are not counted.
    pub cells: usize,
    /// Stride of the supernet's first convolution: frames, height, width.
    pub stem_stride: Extent,
    /// Samples a step, of each half.
    pub batch: usize,
    /// Where several ranks share a batch, whether norms go by the samples of all of them, or of each by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_norm: bool,
    /// Epochs.
    pub epochs: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// How α's gradient is taken: `first` or `second` order.
    pub order: Order,
    /// Epochs at the start in which only the weights learn.
    pub alpha_warmup: usize,
    /// Which undecided edge goes next; where operations are decided, `strength`, by which the weakest goes, or `random`.
    pub criterion: Criterion,
    /// λ that β-decay reaches in the last epoch, linearly from 0 in the first; 50 in its paper, 0 does without.
    pub beta_decay: f64,
    /// Factor of an auxiliary skip connection beside every mix in the first epoch, linearly to 0 in the last; 1 in its
    /// paper (DARTS−), 0 does without.
    pub auxiliary_skip: f64,
    /// How α becomes the factors of a mix: `softmax`, `gumbel` (SNAS), `gumbel_hard` (GDAS) or `partial`
    /// (PC-DARTS).
    pub relaxation: Relaxation,
    /// When edges are decided, or, with `unit = "operation"`, operations.
    pub schedule: Schedule,
    /// The most that the network of the found cell may come to, as `[train]` builds it: `{ parameters = …, multiply_adds = … }`,
    /// either or both.
    #[serde(skip_serializing_if = "Budget::is_unlimited")]
    pub budget: Budget,
    /// What tells that the search collapses, and what is done about it: `{ act = "decide", by = { kind = "skips" } }`.
    pub collapse: Collapse,
    /// The weights' optimizer.
    pub weights: SgdSettings,
    /// α's optimizer.
    pub alpha: AlphaSettings,
    /// Which part of a training sample is seen.
    pub cropping: Cropping,
    /// What is done to it.
    pub augment: Augmentation,
}

impl Default for SearchSettings {
    fn default() -> Self {
        SearchSettings {
            channels: 16,
            cells: 8,
            stem_stride: [1, 1, 1],
            batch: 64,
            sync_norm: false,
            epochs: 50,
            seed: 1,
            order: Order::First,
            alpha_warmup: 0,
            criterion: Criterion::Confidence,
            beta_decay: 0.0,
            auxiliary_skip: 0.0,
            relaxation: Relaxation::default(),
            schedule: Schedule::default(),
            budget: Budget::default(),
            collapse: Collapse::default(),
            weights: SgdSettings::default(),
            alpha: AlphaSettings::default(),
            cropping: Cropping::default(),
            augment: Augmentation { crop_padding: 4, flip: true, ..Augmentation::none() },
        }
    }
}

/// `[train]`: the derived network and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// What lies before the first cell: `cifar`, `imagenet` or `video`; with `nb201` only `cifar`.
    pub stem: Stem,
    /// Channels of the first cells' nodes.
    pub channels: usize,
    /// Number of cells, at least 3, counted as in the search.
    pub cells: usize,
    /// Factor of the channels of a network that people made.
    pub width: f64,
    /// The most that the network may come to: `{ parameters = … }` or `{ multiply_adds = … }`. Channels, or the width, are then
    /// the largest that keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Scale>,
    /// Weights to begin with, instead of chance: a file (.safetensors, .pth) with PyTorch's names, or a training's folder. The
    /// classifier is left to chance where its classes are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<PathBuf>,
    /// Samples a step.
    pub batch: usize,
    /// Parts that a step's batch goes through the network in, one after another, their gradients taken together: memory
    /// is that of a part. Norms see a part.
    pub parts: usize,
    /// Where several ranks share a batch, whether norms go by the samples of all of them, or of each by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_norm: bool,
    /// Epochs.
    pub epochs: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// Share of the training set that is held out and measured after every epoch; 0 trains on all of it.
    pub holdout: f64,
    /// Probability of dropping an edge's output at the last epoch; rises linearly from 0.
    pub drop_path: f64,
    /// Probability of dropping a feature before the classifier, in a network of cells.
    pub dropout: f64,
    /// The rate of all dropout of a network that people made, instead of those that it was published with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handmade_dropout: Option<f64>,
    /// Weight of the auxiliary head's loss; 0 builds no head.
    pub auxiliary: f64,
    /// ε of label smoothing: the loss's target is 1 − ε of the sample's class and ε of all alike (Szegedy and others, 2016).
    pub label_smoothing: f64,
    /// The optimizer.
    pub weights: SgdSettings,
    /// Whether norms and biases decay as other weights do.
    pub decay_norms: bool,
    /// Share of it that a moving average of weights and running statistics keeps at each step, less in the first ones; the
    /// average is what is measured and what the training ends with. 0 takes the weights themselves.
    pub average: f64,
    /// Which part of a training sample is seen.
    pub cropping: Cropping,
    /// What is done to it.
    pub augment: Augmentation,
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            stem: Stem::Cifar,
            channels: 36,
            cells: 20,
            width: 1.0,
            at: None,
            initial: None,
            batch: 96,
            parts: 1,
            sync_norm: false,
            epochs: 600,
            seed: 1,
            holdout: 0.0,
            drop_path: 0.2,
            dropout: 0.0,
            handmade_dropout: None,
            auxiliary: 0.4,
            label_smoothing: 0.0,
            weights: SgdSettings { rate_end: 0.0, ..SgdSettings::default() },
            decay_norms: true,
            average: 0.0,
            cropping: Cropping::default(),
            augment: Augmentation { crop_padding: 4, flip: true, cutout: 16, ..Augmentation::none() },
        }
    }
}

/// `[run]`: what a run writes, and when, whatever it computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Whether it also writes event files for TensorBoard, into `tensorboard/` in its folder.
    pub tensorboard: bool,
    /// Minutes after which a checkpoint is written within an epoch, besides those after every epoch.
    pub checkpoint_minutes: f64,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings { tensorboard: false, checkpoint_minutes: 15.0 }
    }
}
