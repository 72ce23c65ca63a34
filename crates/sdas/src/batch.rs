//! A batch on its device, and what is measured on one.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};

/// Pictures or clips with their labels.
#[derive(Debug, Clone)]
pub struct DeviceBatch {
    /// `[N, T, H, W, C]`.
    pub input: Tensor<5>,
    /// `[N]`.
    pub labels: Tensor<1, Int>,
    /// The labels on the host.
    pub host_labels: Vec<usize>,
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
        }
    }

    /// Its samples and labels as flat numbers.
    pub(crate) fn flat(&self) -> Vec<Tensor<1>> {
        vec![self.input.clone().flatten(0, 4), self.labels.clone().float()]
    }

    /// A batch of this size from flat numbers.
    pub(crate) fn of_flat(&self, values: Vec<Tensor<1>>) -> Self {
        let [input, labels] = values.try_into().expect("these are samples and labels");
        let input = input.reshape(self.input.dims());
        DeviceBatch { input, labels: labels.int(), host_labels: self.host_labels.clone() }
    }

    /// Flat logits of its samples as `[N, classes]`.
    pub(crate) fn logits(&self, mut flat: Vec<Tensor<1>>) -> Tensor<2> {
        let flat = flat.pop().expect("these are the logits");
        let count = self.host_labels.len();
        let classes = flat.dims()[0] / count;
        flat.reshape([count, classes])
    }

    /// Tensors moved to the host, and the account of logits `[N, classes]`, with one wait for the device.
    pub(crate) fn read(&self, tensors: Vec<Tensor<2>>, logits: Tensor<2>) -> (Vec<Tensor<2>>, Tally) {
        let host = Device::flex();
        if self.input.device() == host {
            return (tensors, Tally::of(logits, &self.host_labels));
        }
        let all = tensors.into_iter().chain([logits]);
        let read = all.fold(Transaction::default(), Transaction::register).execute();
        let mut read: Vec<Tensor<2>> = read.into_iter().map(|data| Tensor::from_data(data, &host)).collect();
        let logits = read.pop().expect("the logits were read");
        (read, Tally::of(logits, &self.host_labels))
    }

    /// The samples in so many parts, one after another, whose sizes differ by one at most.
    pub(crate) fn parts(self, parts: usize) -> Vec<DeviceBatch> {
        if parts == 1 {
            return vec![self];
        }
        let count = self.host_labels.len();
        let parts = parts.min(count);
        let border = |part: usize| part * count / parts;
        let part = |part: usize| {
            let range = border(part)..border(part + 1);
            let host_labels = self.host_labels[range.clone()].to_vec();
            let (input, labels) = (self.input.clone().slice([range.clone()]), self.labels.clone().slice([range]));
            DeviceBatch { input, labels, host_labels }
        };
        (0..parts).map(part).collect()
    }
}

/// Mean cross-entropy of `logits` `[N, classes]` against `labels` `[N]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let count = logits.dims()[0];
    log_softmax(logits, 1).gather(1, labels.reshape([count, 1])).mean().neg()
}

/// The same against targets that are 1 − `smoothing` of the label's class and `smoothing` of all classes alike (Szegedy
/// and others, 2016, section 7).
pub fn smoothed_cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let exact = cross_entropy(logits.clone(), labels);
    if smoothing == 0.0 {
        return exact;
    }
    exact * (1.0 - smoothing) - log_softmax(logits, 1).mean() * smoothing
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
        let classes = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().convert::<f32>().iter::<f32>().collect();
        let mut tally = Tally::default();
        for (row, &label) in values.chunks_exact(classes).zip(labels) {
            tally.add_sample(row, label);
        }
        tally
    }

    /// Adds one sample; returns its best class.
    pub fn add_sample(&mut self, logits: &[f32], label: usize) -> usize {
        let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&v| f64::from(v - high).exp()).sum();
        self.loss += sum.ln() - f64::from(logits[label] - high);
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
