//! A batch on its device, and what is measured on one.

use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use sdas_data::{Part, Share};
use sdas_kernels::{GradientNorm, log_softmax};
use std::cell::Cell;

/// Pictures or clips with their labels.
#[derive(Debug, Clone)]
pub struct DeviceBatch {
    /// `[N, T, H, W, C]`.
    pub input: Tensor<5>,
    /// `[N]`.
    pub labels: Tensor<1, Int>,
    /// The labels on the host.
    pub host_labels: Vec<usize>,
    /// Where these stand in the whole batch.
    pub part: Part,
}

impl DeviceBatch {
    /// Moves a loaded batch to `device`.
    pub fn new(batch: sdas_data::Batch, device: &Device) -> Self {
        let host_labels: Vec<usize> = batch.labels.iter().map(|&label| label as usize).collect();
        let count = batch.labels.len();
        DeviceBatch {
            input: Tensor::from_data(TensorData::new(batch.pixels, batch.shape), device),
            labels: Tensor::from_data(TensorData::new(batch.labels, [count]), device),
            host_labels,
            part: batch.part,
        }
    }

    /// Its samples' share in the whole batch.
    pub(crate) fn share(&self) -> f64 {
        self.host_labels.len() as f64 / self.part.of as f64
    }

    /// What a mean over these samples is of the mean over the whole batch.
    pub(crate) fn weighed(&self, mean: Tensor<1>) -> Tensor<1> {
        // All of it: not even a multiplication.
        if self.share() == 1.0 { mean } else { mean * self.share() }
    }

    /// Its samples and labels as flat numbers.
    pub(crate) fn flat(&self) -> Vec<Tensor<1>> {
        vec![self.input.clone().flatten(0, 4), self.labels.clone().float()]
    }

    /// A batch of this size from flat numbers.
    pub(crate) fn of_flat(&self, values: Vec<Tensor<1>>) -> Self {
        let [input, labels] = values.try_into().expect("these are samples and labels");
        let input = input.reshape(self.input.dims());
        DeviceBatch { input, labels: labels.int(), host_labels: self.host_labels.clone(), part: self.part }
    }

    /// Flat logits of its samples as `[N, classes]`.
    pub(crate) fn logits(&self, mut flat: Vec<Tensor<1>>) -> Tensor<2> {
        let flat = flat.pop().expect("these are the logits");
        let count = self.host_labels.len();
        let classes = flat.dims()[0] / count;
        flat.reshape([count, classes])
    }

    /// Tensors moved to the host, the account of logits `[N, classes]`, and what a step that is still on its way is judged by,
    /// with one wait for the device.
    pub(crate) fn read(
        &self,
        tensors: Vec<Tensor<2>>,
        logits: Tensor<2>,
        step: Option<Unread>,
    ) -> (Vec<Tensor<2>>, Tally, Option<WeightStep>) {
        let count = tensors.len();
        let of_step = step.iter().flat_map(Unread::tensors);
        let mut data = read(tensors.into_iter().chain([logits]).chain(of_step)).into_iter();
        let on_host = |data: TensorData| {
            let dtype = data.dtype();
            Tensor::from_data(data, (&Device::flex(), dtype))
        };
        let tensors = data.by_ref().take(count).map(on_host).collect();
        let tally = Tally::of_values(data.next().expect("the logits were read"), &self.host_labels);
        (tensors, tally, step.map(|step| step.judged(data)))
    }

    /// The samples in so many parts, one after another, whose sizes differ by one at most. They are parts of what all ranks, of
    /// which this is the share of one, have in that place.
    pub(crate) fn parts(self, parts: usize, share: Share) -> Vec<DeviceBatch> {
        if parts == 1 {
            return vec![self];
        }
        let of_rank = |number: usize| Share { number, ..share }.range(self.part.of).len();
        // As many on all ranks.
        let parts = parts.min(self.part.of / share.of).max(1);
        let part = |index: usize| {
            let range = |count: usize| Share { number: index, of: parts }.range(count);
            let own = range(self.host_labels.len());
            let first = (0..share.number).map(|rank| range(of_rank(rank)).len()).sum();
            let of = (0..share.of).map(|rank| range(of_rank(rank)).len()).sum();
            let host_labels = self.host_labels[own.clone()].to_vec();
            let (input, labels) = (self.input.clone().slice([own.clone()]), self.labels.clone().slice([own]));
            DeviceBatch { input, labels, host_labels, part: Part { first, of } }
        };
        (0..parts).map(part).collect()
    }
}

thread_local! {
    static WAITS: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread waits while `body` runs for a device to have computed what is asked for here.
pub(crate) fn waits<R>(body: impl FnOnce() -> R) -> (R, usize) {
    let before = WAITS.get();
    let result = body();
    (result, WAITS.get() - before)
}

/// What a device has, with one wait for it.
fn read(tensors: impl Iterator<Item = Tensor<2>>) -> Vec<TensorData> {
    WAITS.set(WAITS.get() + 1);
    tensors.fold(Transaction::default(), Transaction::register).execute()
}

/// What a step of the weights came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightStep {
    /// On its batch.
    pub tally: Tally,
    /// The gradient's norm before clipping.
    pub gradient_norm: f64,
}

impl WeightStep {
    /// Whether the step may be taken.
    pub(crate) fn is_finite(&self) -> bool {
        self.tally.loss.is_finite() && self.gradient_norm.is_finite()
    }
}

/// What a step of the weights is judged by, which the device may not have computed yet.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    norm: GradientNorm,
    /// `[N, classes]` of parts of the batch, with their labels.
    logits: Vec<(Tensor<2>, Vec<usize>)>,
    /// What is known of other parts, or of all.
    known: Tally,
}

impl Unread {
    pub(crate) fn new(norm: GradientNorm, logits: Vec<(Tensor<2>, Vec<usize>)>) -> Self {
        Unread { norm, logits, known: Tally::default() }
    }

    /// What of it is known already.
    pub(crate) fn known(norm: GradientNorm, known: Tally) -> Self {
        Unread { norm, logits: Vec::new(), known }
    }

    /// What it is, with one wait for the device.
    pub(crate) fn read(self) -> WeightStep {
        let data = read(self.tensors());
        self.judged(data.into_iter())
    }

    /// What has to be read: the logits, and the sums that the norm is the root of.
    fn tensors(&self) -> impl Iterator<Item = Tensor<2>> {
        let sums = match &self.norm {
            GradientNorm::Known(_) => None,
            GradientNorm::Squares(sums) => Some(sums.clone().unsqueeze()),
        };
        self.logits.iter().map(|(logits, _)| logits.clone()).chain(sums)
    }

    /// The same from what those tensors hold.
    fn judged(self, mut data: impl Iterator<Item = TensorData>) -> WeightStep {
        let mut next = || data.next().expect("all of it was read");
        let mut tally = self.known;
        for (_, labels) in &self.logits {
            tally.add(Tally::of_values(next(), labels));
        }
        let gradient_norm = match self.norm {
            GradientNorm::Known(norm) => norm,
            GradientNorm::Squares(_) => GradientNorm::of_squares(next().iter::<f32>()),
        };
        WeightStep { tally, gradient_norm }
    }
}

/// Mean cross-entropy of `logits` `[N, classes]` against `labels` `[N]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let [count, classes] = logits.dims();
    // By a mask, for what goes back through an index is added up in no order on a graphics card; and the classes' numbers are
    // counted there, since nothing may be copied to it while a step is recorded.
    let numbers = Tensor::<2>::ones([1, classes], &labels.device()).cumsum(1) - 1.0;
    let others =
        labels.float().reshape([count, 1]).expand([count, classes]).not_equal(numbers.expand([count, classes]));
    log_softmax(logits).mask_fill(others, 0.0).sum_dim(1).mean().neg()
}

/// The same against targets that are 1 − `smoothing` of the label's class and `smoothing` of all classes alike (Szegedy
/// and others, 2016, section 7).
pub fn smoothed_cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let exact = cross_entropy(logits.clone(), labels);
    if smoothing == 0.0 {
        return exact;
    }
    exact * (1.0 - smoothing) - log_softmax(logits).mean() * smoothing
}

/// Sums over samples, from which means are taken: the running account of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Samples.
    pub count: usize,
    /// Σ cross-entropy.
    pub loss: f64,
    /// Samples whose best class is right.
    pub top1: usize,
    /// Samples whose class is among the best five.
    pub top5: usize,
}

impl Tally {
    /// The account of one batch, from its logits `[N, classes]`. Equal logits rank by class, the first first.
    pub fn of(logits: Tensor<2>, labels: &[usize]) -> Self {
        let logits = read([logits].into_iter()).pop().expect("the logits were read");
        Self::of_values(logits, labels)
    }

    fn of_values(logits: TensorData, labels: &[usize]) -> Self {
        let classes = logits.shape()[1];
        let values: Vec<f32> = logits.convert::<f32>().iter::<f32>().collect();
        let mut tally = Tally::default();
        for (row, &label) in values.chunks_exact(classes).zip(labels) {
            tally.add_sample(row, label);
        }
        tally
    }

    /// Adds one sample; returns its best class.
    pub fn add_sample(&mut self, logits: &[f32], label: usize) -> usize {
        let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&v| libm::exp(f64::from(v - high))).sum();
        self.loss += libm::log(sum) - f64::from(logits[label] - high);
        let above = |class: usize| {
            let ahead =
                |other: &usize| logits[*other] > logits[class] || (logits[*other] == logits[class] && *other < class);
            (0..logits.len()).filter(ahead).count()
        };
        let rank = above(label);
        self.count += 1;
        self.top1 += usize::from(rank == 0);
        self.top5 += usize::from(rank < 5);
        (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap_or(0)
    }

    /// Adds another account.
    pub fn add(&mut self, other: Tally) {
        self.count += other.count;
        self.loss += other.loss;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// Mean cross-entropy.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.count.max(1) as f64
    }

    /// Share of samples whose best class is right.
    pub fn accuracy(&self) -> f64 {
        self.top1 as f64 / self.count.max(1) as f64
    }

    /// Share of samples whose class is among the best five.
    pub fn top5_accuracy(&self) -> f64 {
        self.top5 as f64 / self.count.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_ranks_and_averages() {
        let mut tally = Tally::default();
        assert_eq!(tally.add_sample(&[0.0, 2.0, 1.0, -1.0, -2.0, -3.0], 1), 1);
        assert_eq!(tally.add_sample(&[0.0, 2.0, 1.0, -1.0, -2.0, -3.0], 5), 1);
        assert_eq!((tally.top1, tally.top5, tally.count), (1, 1, 2));
        let normaliser = [0.0, 2.0, 1.0, -1.0, -2.0, -3.0f64].iter().map(|v| v.exp()).sum::<f64>().ln();
        assert!((tally.mean_loss() - (normaliser - 2.0 + normaliser + 3.0) / 2.0).abs() < 1e-6);
        assert_eq!(Tally::default().add_sample(&[1.0, 1.0], 1), 0);
    }

    #[test]
    fn smoothing_by_hand() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1.0, -0.5, 0.25], [0.0, 3.0, -2.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([2, 0], &device);
        let rows = [([1.0, -0.5, 0.25f64], 2), ([0.0, 3.0, -2.0], 0)];
        let loss = |(row, label): ([f64; 3], usize)| -> f64 {
            let normaliser = row.iter().map(|value| value.exp()).sum::<f64>().ln();
            let target = |class| 0.1 / 3.0 + if class == label { 0.9 } else { 0.0 };
            (0..3).map(|class| target(class) * (normaliser - row[class])).sum()
        };
        let expected = rows.map(loss).iter().sum::<f64>() / 2.0;
        let got: f32 = smoothed_cross_entropy(logits, labels, 0.1).into_scalar();
        assert!((f64::from(got) - expected).abs() < 1e-6, "{got} for {expected}");
    }

    #[test]
    fn cross_entropy_agrees_with_the_tally() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1.0, -0.5, 0.25], [0.0, 3.0, -2.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([2, 0], &device);
        let loss: f32 = cross_entropy(logits.clone(), labels).into_scalar();
        assert!((f64::from(loss) - Tally::of(logits, &[2, 0]).mean_loss()).abs() < 1e-6);
    }
}
