//! Datasets as epochs of batches, made ahead of time by background threads.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::decode::CHANNELS;
use crate::error::DataError;
use crate::keep::Dataset;
use crate::random::{shuffle, stream};
use crate::seen::{Augmentation, ClipSettings, Cropping, Sight, Statistics, Viewer, Views, pixel_type};
use crate::threads::begin;

/// Samples, or views of samples, and their labels, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised pixels, `shape` row-major.
    pub pixels: Vec<f32>,
    /// One class per row.
    pub labels: Vec<i32>,
    /// Rows, time steps, height, width, channels.
    pub shape: [usize; 5],
    /// The number in the dataset of the sample that each row is a view of.
    pub samples: Vec<u32>,
    /// Which rows of the whole batch these are.
    pub part: Part,
}

/// Where rows stand in a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first of them.
    pub first: usize,
    /// Rows of the whole batch.
    pub of: usize,
}

impl Part {
    /// All `count` rows of a batch.
    pub fn whole(count: usize) -> Self {
        Part { first: 0, of: count }
    }
}

/// Which share of every batch a loader makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0.
    pub number: usize,
    /// Shares in all.
    pub of: usize,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { number: 0, of: 1 };

    /// Its items among `count`; shares follow one another, and their sizes differ by one at most.
    pub fn range(self, count: usize) -> Range<usize> {
        let border = |number: usize| number * count / self.of;
        border(self.number)..border(self.number + 1)
    }
}

/// In which order an epoch goes through the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Another one every epoch.
    Shuffled,
    /// As the indices are given.
    InOrder,
}

/// What becomes of rows too few for a last full batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// They are left out, unless there is no other batch: every step of a training sees the same
    /// number.
    Drop,
    /// They are a smaller batch: an evaluation sees every one.
    Keep,
}

/// How a [`Loader`] makes its batches.
#[derive(Clone, Debug)]
pub struct LoaderSettings {
    /// Keeps the chance of several loaders with one seed apart: streams `<name>/order`,
    /// `<name>/frames`, `<name>/crop`, `<name>/augment` and `<name>/colour`.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// Rows per batch.
    pub batch: usize,
    /// The share of these that is made here: the same rows, whoever makes the others.
    pub share: Share,
    /// The order within an epoch.
    pub order: Order,
    /// The end of an epoch.
    pub last: Last,
    /// Batches per epoch, whatever the number of samples: surplus ones are left out, and after the
    /// last the epoch goes on with its first, newly augmented. All batches are then full, or hold
    /// every sample if those are fewer. So a loader of one half can keep step with one of the
    /// other, a sample larger. None: once through all samples.
    pub batches: Option<usize>,
    /// What pixels are normalised by.
    pub statistics: Statistics,
    /// What the network sees of a sample.
    pub clip: ClipSettings,
    /// Fixed views of every sample, in place of chance: one row each, one after the other, though
    /// not always in one batch. None: one row per sample, its frames and its part of them by chance.
    pub views: Option<Views>,
    /// Which part of a sample is seen, by chance; without influence on views.
    pub cropping: Cropping,
    /// Random changes after that.
    pub augmentation: Augmentation,
    /// Background threads, at least 1. One is enough for 32×32 pictures; those that are decoded when
    /// they are looked at want more. It has no influence on what is in a batch.
    pub threads: usize,
    /// Batches kept ready, at least one per thread.
    pub prefetch: usize,
}

impl LoaderSettings {
    /// Shuffled, augmented, full batches of pictures; one thread, four batches ahead.
    pub fn training(
        name: impl Into<String>,
        seed: u64,
        batch: usize,
        statistics: Statistics,
        augmentation: Augmentation,
    ) -> Self {
        Self {
            name: name.into(),
            seed,
            batch,
            share: Share::WHOLE,
            order: Order::Shuffled,
            last: Last::Drop,
            batches: None,
            statistics,
            clip: ClipSettings::default(),
            views: None,
            cropping: Cropping::default(),
            augmentation,
            threads: 1,
            prefetch: 4,
        }
    }

    /// Every picture once, in order, as it is; one thread, four batches ahead. Of clips the middle.
    pub fn evaluation(batch: usize, statistics: Statistics) -> Self {
        Self {
            order: Order::InOrder,
            last: Last::Keep,
            views: Some(Views::default()),
            ..Self::training("evaluation", 0, batch, statistics, Augmentation::none())
        }
    }

    /// What one row of samples of `dataset` is: time steps, height, width, channels.
    ///
    /// # Errors
    /// [`DataError::Setting`] for whatever is impossible, alone or with this dataset.
    pub fn shape(&self, dataset: &Dataset) -> Result<[usize; 4], DataError> {
        if self.batch == 0 {
            return Err(DataError::setting("batch", self.batch, "a number of at least 1"));
        }
        let (known, channels) = (self.statistics.mean.len(), dataset.channels());
        if [known, self.statistics.std.len()] != [channels; 2] {
            return Err(DataError::setting("data.mean", format!("of {known} channels"), format!("{channels} numbers")));
        }
        self.cropping.check()?;
        self.augmentation.check()?;
        if !self.augmentation.colour.is_off() && channels != CHANNELS {
            let value = format!("set for samples of {channels} channels");
            return Err(DataError::setting(
                "augment.colour",
                value,
                "nothing: only pictures and clips in colour have colours",
            ));
        }
        self.views.unwrap_or_default().check()?;
        let scaled = self.clip.crop.is_some()
            || self.views.map_or(self.cropping != Cropping::Centre {}, |views| {
                views != Views { clips: views.clips, ..Views::default() }
            });
        if scaled && pixel_type(channels).is_none() {
            return Err(DataError::setting(
                "data.clip.crop",
                format!("set for samples of {channels} channels"),
                "nothing",
            ));
        }
        self.clip.shape(dataset)
    }

    fn sight(&self) -> Sight<'_> {
        let Self { name, seed, statistics, clip, views, cropping, augmentation, .. } = self;
        Sight { name, seed: *seed, statistics, clip, views: *views, cropping, augmentation }
    }

    /// Rows of every sample.
    fn views(&self) -> usize {
        self.views.map_or(1, |views| views.count())
    }
}

/// Makes epochs of batches from some samples of a dataset.
///
/// What is in a batch is a pure function of the settings' seed and name, the epoch and the batch's
/// number.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

struct Shared {
    dataset: Dataset,
    indices: Vec<usize>,
    settings: LoaderSettings,
    /// Of a row: time steps, height, width, channels.
    shape: [usize; 4],
}

impl Loader {
    /// A loader of the samples `indices` of `dataset`.
    ///
    /// # Panics
    /// If an index has no sample, or where [`LoaderSettings::shape`] has an error.
    pub fn new(dataset: &Dataset, indices: &[usize], settings: LoaderSettings) -> Self {
        assert!(indices.iter().all(|&i| i < dataset.len()), "indices are below {}", dataset.len());
        let shape = settings.shape(dataset).unwrap_or_else(|error| panic!("{error}"));
        Self { shared: Arc::new(Shared { dataset: dataset.clone(), indices: indices.to_vec(), settings, shape }) }
    }

    /// What one row of every batch is: time steps, height, width, channels.
    pub fn shape(&self) -> [usize; 4] {
        self.shared.shape
    }

    /// Samples in one round through the indices.
    pub fn pictures(&self) -> usize {
        self.shared.indices.len()
    }

    /// Batches in an epoch.
    pub fn batches(&self) -> usize {
        self.shared.batches()
    }

    /// The batches of an epoch from number `first` on, exactly those of the whole epoch; threads
    /// start at once. Dropping the epoch before its end stops them.
    pub fn epoch(&self, epoch: u64, first: usize) -> Epoch {
        let shared = &self.shared;
        let end = shared.batches();
        let mut order = shared.indices.clone();
        if shared.settings.order == Order::Shuffled {
            shuffle(
                &mut order,
                &mut stream(shared.settings.seed, &format!("{}/order", shared.settings.name), [epoch, 0]),
            );
        }
        let order = Arc::new(order);

        let threads = shared.settings.threads.clamp(1, end.saturating_sub(first).max(1));
        let ready = shared.settings.prefetch.div_ceil(threads).max(1);
        let (queues, workers) = (0..threads)
            .map(|thread| {
                let (queue, receiver) = sync_channel(ready);
                let (shared, order) = (shared.clone(), order.clone());
                // Every thread makes every so-many-th batch: in order without any coordination.
                let batches = (first + thread..end).step_by(threads);
                let failing = queue.clone();
                let worker = begin("batches", move || shared.work(epoch, batches, &order, &queue));
                let worker = worker.map_err(|source| {
                    // There is room for it, since nobody else sends.
                    let _ = failing.send(Err(DataError::Thread { source }));
                });
                (receiver, worker.ok())
            })
            .unzip();
        Epoch { queues, workers, first, next: first, end }
    }
}

impl Shared {
    /// Rows in one round through the indices.
    fn rows(&self) -> usize {
        self.indices.len() * self.settings.views()
    }

    fn batches(&self) -> usize {
        let (rows, batch) = (self.rows(), self.settings.batch);
        match (self.settings.batches, self.settings.last) {
            _ if rows == 0 => 0,
            (Some(batches), _) => batches,
            (None, Last::Drop) => (rows / batch).max(1),
            (None, Last::Keep) => rows.div_ceil(batch),
        }
    }

    /// Makes batches until all are made, one cannot be, or nobody wants more.
    fn work(&self, epoch: u64, batches: impl Iterator<Item = usize>, order: &[usize], queue: &SyncSender<Made>) {
        let mut viewer = Viewer::new(&self.dataset, self.settings.sight(), self.shape);
        for number in batches {
            let made = self.batch(epoch, number, order, &mut viewer);
            let is_last = made.is_err();
            if queue.send(made).is_err() || is_last {
                return;
            }
        }
    }

    fn batch(&self, epoch: u64, number: usize, order: &[usize], viewer: &mut Viewer) -> Made {
        let (batch, views) = (self.settings.batch, self.settings.views());
        let rows = match self.settings.batches {
            None => number * batch..((number + 1) * batch).min(self.rows()),
            Some(_) => {
                let size = batch.min(self.rows());
                number * size..(number + 1) * size
            }
        };
        let own = self.settings.share.range(rows.len());
        let part = Part { first: own.start, of: rows.len() };
        let rows = rows.start + own.start..rows.start + own.end;
        let [steps, height, width, channels] = self.shape;
        let shape = [rows.len(), steps, height, width, channels];
        let mut pixels = vec![0.0; shape.iter().product()];
        let samples: Vec<_> = rows.clone().map(|row| order[row / views % order.len()]).collect();
        for ((out, row), &sample) in pixels.chunks_exact_mut(steps * height * width * channels).zip(rows).zip(&samples)
        {
            viewer.write(sample, row % views, [epoch, row as u64], out)?;
        }
        let labels = samples.iter().map(|&sample| self.dataset.label(sample) as i32).collect();
        Ok(Batch { pixels, labels, shape, samples: samples.iter().map(|&sample| sample as u32).collect(), part })
    }
}

/// A batch, or why there is none.
type Made = Result<Batch, DataError>;

/// The batches of an epoch, in order, from background threads. An error, which only samples can be that are not
/// [kept](Dataset::is_undecoded), ends it.
pub struct Epoch {
    /// One queue per thread; the batches come from them in turn.
    queues: Vec<Receiver<Made>>,
    /// Absent where none could be started.
    workers: Vec<Option<JoinHandle<()>>>,
    first: usize,
    next: usize,
    end: usize,
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let thread = (self.next - self.first) % self.queues.len();
        self.next += 1;
        match self.queues[thread].recv() {
            Ok(made) => {
                if made.is_err() {
                    self.next = self.end;
                }
                Some(made)
            }
            Err(_) => {
                // The thread has died of a panic; it goes on here.
                let worker = self.workers[thread].take().expect("it was there");
                let panic = worker.join().expect_err("its work was not done");
                resume_unwind(panic)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        // Without receivers the threads stop at their next batch.
        self.queues.clear();
        for worker in self.workers.drain(..).flatten() {
            let _ = worker.join();
        }
    }
}
