//! Datasets as epochs of batches, made ahead of time by background threads.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{JoinHandle, spawn};

use crate::augment::{Augmentation, augment};
use crate::dataset::Dataset;
use crate::random::{shuffle, stream};
use crate::statistics::Statistics;

/// Pictures and their labels, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised pictures, `shape` row-major.
    pub pixels: Vec<f32>,
    /// One class per picture.
    pub labels: Vec<i32>,
    /// Pictures, frames (1), height, width, channels.
    pub shape: [usize; 5],
}

/// In which order an epoch goes through the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Another one every epoch.
    Shuffled,
    /// As the indices are given.
    InOrder,
}

/// What becomes of pictures too few for a last full batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// They are left out, unless there is no other batch: every step of a training sees the same
    /// number.
    Drop,
    /// They are a smaller batch: an evaluation sees every picture once.
    Keep,
}

/// How a [`Loader`] makes its batches.
#[derive(Clone, Debug)]
pub struct LoaderSettings {
    /// Keeps the chance of several loaders with one seed apart: streams `<name>/order` and
    /// `<name>/augment`.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// Pictures per batch.
    pub batch: usize,
    /// The order within an epoch.
    pub order: Order,
    /// The end of an epoch.
    pub last: Last,
    /// Batches per epoch, whatever the number of pictures: surplus ones are left out, and after the
    /// last the epoch goes on with its first, newly augmented. All batches are then full, or hold
    /// every picture if those are fewer. So a loader of one half can keep step with one of the
    /// other, a picture larger. None: once through all pictures.
    pub batches: Option<usize>,
    /// What pictures are normalised by.
    pub statistics: Statistics,
    /// Random changes of every picture.
    pub augmentation: Augmentation,
    /// Background threads, at least 1. One is enough for 32×32 pictures; it has no influence on
    /// what is in a batch.
    pub threads: usize,
    /// Batches kept ready, at least one per thread.
    pub prefetch: usize,
}

impl LoaderSettings {
    /// Shuffled, augmented, full batches; one thread, four batches ahead.
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
            order: Order::Shuffled,
            last: Last::Drop,
            batches: None,
            statistics,
            augmentation,
            threads: 1,
            prefetch: 4,
        }
    }

    /// Every picture once, in order, as it is; one thread, four batches ahead.
    pub fn evaluation(batch: usize, statistics: Statistics) -> Self {
        Self {
            order: Order::InOrder,
            last: Last::Keep,
            ..Self::training("evaluation", 0, batch, statistics, Augmentation::none())
        }
    }
}

/// Makes epochs of batches from some pictures of a dataset.
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
}

impl Loader {
    /// A loader of the pictures `indices` of `dataset`.
    ///
    /// # Panics
    /// If the batch size is 0, an index has no picture, or the statistics are of another number of
    /// channels.
    pub fn new(dataset: &Dataset, indices: &[usize], settings: LoaderSettings) -> Self {
        assert!(settings.batch > 0, "a batch has at least one picture");
        assert!(indices.iter().all(|&i| i < dataset.len()), "indices are below {}", dataset.len());
        assert_eq!(settings.statistics.mean.len(), dataset.channels(), "statistics of as many channels");
        Self { shared: Arc::new(Shared { dataset: dataset.clone(), indices: indices.to_vec(), settings }) }
    }

    /// Pictures in one round through the indices.
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
                (receiver, spawn(move || shared.work(epoch, batches, &order, &queue)))
            })
            .unzip();
        Epoch { queues, workers, first, next: first, end }
    }
}

impl Shared {
    fn batches(&self) -> usize {
        let (pictures, batch) = (self.indices.len(), self.settings.batch);
        match (self.settings.batches, self.settings.last) {
            _ if pictures == 0 => 0,
            (Some(batches), _) => batches,
            (None, Last::Drop) => (pictures / batch).max(1),
            (None, Last::Keep) => pictures.div_ceil(batch),
        }
    }

    /// Makes batches until all are made or nobody wants more.
    fn work(&self, epoch: u64, batches: impl Iterator<Item = usize>, order: &[usize], queue: &SyncSender<Batch>) {
        for number in batches {
            if queue.send(self.batch(epoch, number, order)).is_err() {
                return;
            }
        }
    }

    fn batch(&self, epoch: u64, number: usize, order: &[usize]) -> Batch {
        let Self { dataset, settings, .. } = self;
        let positions = match settings.batches {
            None => {
                let start = number * settings.batch;
                start..(start + settings.batch).min(order.len())
            }
            Some(_) => {
                let size = settings.batch.min(order.len());
                number * size..(number + 1) * size
            }
        };
        let ([height, width], channels) = (dataset.size(), dataset.channels());
        let shape = [positions.len(), 1, height, width, channels];
        let mut pixels = vec![0.0; shape.iter().product()];
        let mut labels = Vec::with_capacity(positions.len());
        let name = format!("{}/augment", settings.name);
        for (out, position) in pixels.chunks_exact_mut(height * width * channels).zip(positions) {
            let picture = order[position % order.len()];
            labels.push(dataset.label(picture) as i32);
            let mut rng = stream(settings.seed, &name, [epoch, position as u64]);
            augment(
                dataset.pixels(picture),
                dataset.size(),
                channels,
                &settings.statistics,
                &settings.augmentation,
                &mut rng,
                out,
            );
        }
        Batch { pixels, labels, shape }
    }
}

/// The batches of an epoch, in order, from background threads.
pub struct Epoch {
    /// One queue per thread; the batches come from them in turn.
    queues: Vec<Receiver<Batch>>,
    workers: Vec<JoinHandle<()>>,
    first: usize,
    next: usize,
    end: usize,
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next >= self.end {
            return None;
        }
        let thread = (self.next - self.first) % self.queues.len();
        self.next += 1;
        match self.queues[thread].recv() {
            Ok(batch) => Some(batch),
            Err(_) => {
                // The thread has died of a panic; it goes on here.
                let panic = self.workers.swap_remove(thread).join().expect_err("its work was not done");
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
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
