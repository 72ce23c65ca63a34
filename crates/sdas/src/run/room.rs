//! Room for a run's steps on a graphics card.

use super::RunError;
use super::memory::bytes_text;
use crate::architecture::Architecture;
use crate::network::Counts;
use crate::recipe::SearchSettings;
use crate::search::Order;
use crate::space::Space;
use crate::supernet::Relaxation;
use sdas_kernels::{CardMemory, Expression};

/// What a step needs of a card's memory, and what there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that it needs, estimated from the sizes: as much as it will be, or up to a quarter more; for networks that people
    /// made and where the recordings of a search share memory up to a half more, and twice as much where operations are drawn or
    /// edges work on a part of the channels.
    pub needs: u64,
    /// What the card has.
    pub memory: CardMemory,
}

impl Room {
    /// That of steps of `batch` samples, which is called `key`, for a network of such counts.
    ///
    /// # Errors
    ///
    /// [`RunError::NoRoom`] where it is known that there is not enough, with the largest batch for which there is.
    pub(super) fn find(
        work: Work,
        counts: &Counts,
        (key, batch): (&'static str, usize),
        memory: CardMemory,
        is_shared: bool,
    ) -> Result<Room, RunError> {
        let needs = work.bytes(counts, batch, is_shared);
        let Some(has) = memory.free.or(memory.total).filter(|has| needs > *has as f64) else {
            return Ok(Room { needs: needs as u64, memory });
        };
        // What more samples need grows by the same for each, or from some number on by less.
        let fits = |batch: &usize| work.bytes(counts, *batch, is_shared) <= has as f64;
        let (mut largest, mut too_large) = (0, batch);
        while too_large - largest > 1 {
            let middle = largest + (too_large - largest) / 2;
            if fits(&middle) { largest = middle } else { too_large = middle }
        }
        let has = match memory.free.zip(memory.total) {
            Some((free, total)) => format!("{} free of {}", bytes_text(free as f64), bytes_text(total as f64)),
            None => bytes_text(has as f64),
        };
        Err(RunError::NoRoom { key, batch, needs: bytes_text(needs), has, largest })
    }
}

/// A step as a graphics card goes about it. All numbers are measured (see the test), for memory is taken in pools of sizes
/// that only the allocator knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    /// Passes that keep what they work on to themselves, as each does that is recorded.
    passes: f64,
    /// What a pass has at once, as a multiple of the results that it keeps for the way back.
    results: f64,
    /// Copies of the weights, their gradients and momenta, for each pass.
    weights: f64,
    /// MiB that are always there, for each pass.
    always: f64,
}

impl Work {
    /// The first order's search of cells that go by phase: a pass for α, and one for the weights.
    pub(super) const SEARCH: Work = Work { passes: 2.0, results: 1.3, weights: 4.0, always: 32.0 };
    /// The same where both halves take turns in one memory; small steps take no less for it.
    const SHARING: Work = Work { passes: 1.0, results: 1.6, weights: 16.0, always: 350.0 };
    /// A training of such cells.
    const TRAIN: Work = Work { passes: 1.0, results: 1.2, weights: 4.0, always: 56.0 };
    /// A search of cells of dense convolutions, whose rows have a gradient of their own on the way back: of a few cells up to a
    /// half more than this says.
    const DENSE: Work = Work { results: 1.65, ..Work::SEARCH };
    /// A search of cells with noise, which is never recorded, since it comes from the host.
    const NOISE: Work = Work { passes: 1.0, results: 1.75, always: 24.0, ..Work::SEARCH };
    /// A search of cells whose edges work on a part of the channels: nodes are there twice, and weigh more beside results that
    /// are fewer.
    const PARTS: Work = Work { passes: 1.0, results: 2.65, weights: 4.0, always: 130.0 };

    /// A step of a search.
    pub(crate) fn search(settings: &SearchSettings, space: &Space) -> Work {
        let work = match settings.relaxation {
            Relaxation::Partial { .. } => Work::PARTS,
            Relaxation::Softmax {} | Relaxation::Gumbel { .. } if is_noisy(space) => Work::NOISE,
            // Never recorded, since it is another one every time; some draws keep much more than others.
            Relaxation::GumbelHard { .. } => Work { passes: 1.0, results: 4.2, ..Work::SEARCH },
            Relaxation::Softmax {} | Relaxation::Gumbel { .. } if is_dense(space) => Work::DENSE,
            Relaxation::Softmax {} | Relaxation::Gumbel { .. } => Work::SEARCH,
        };
        match settings.order {
            Order::First => work,
            Order::Second => Work { passes: 1.5 * work.passes, ..work },
        }
    }

    /// A step of the training of a cell's network, or of one that people made, which is computed by Burn's operations.
    pub(crate) fn training(architecture: &Architecture) -> Work {
        match architecture.genotype() {
            Some(genotype) if !is_noisy(genotype.space) && !is_dense(genotype.space) => Work::TRAIN,
            Some(_) => Work { results: 2.4, ..Work::TRAIN },
            None => Work { results: 5.5, weights: 12.0, ..Work::TRAIN },
        }
    }

    /// Bytes of a card's memory that it takes where what is recorded shares memory, or does not.
    fn bytes(self, counts: &Counts, batch: usize, is_shared: bool) -> f64 {
        let alone = self.bytes_alone(counts, batch);
        if is_shared && self == Work::SEARCH { alone.min(Work::SHARING.bytes_alone(counts, batch)) } else { alone }
    }

    fn bytes_alone(self, counts: &Counts, batch: usize) -> f64 {
        let parameters = counts.parameters as f64 + counts.auxiliary_parameters as f64;
        let kept = batch as f64 * counts.activations as f64;
        self.passes * (4.0 * (self.results * kept + self.weights * parameters) + self.always * f64::from(1 << 20))
    }
}

/// Whether its cells have operations that are nothing but noise.
fn is_noisy(space: &Space) -> bool {
    space.operations.iter().any(|operation| operation.expression == Expression::Noise)
}

/// Whether its cells have dense convolutions.
fn is_dense(space: &Space) -> bool {
    space.operations.iter().any(|operation| matches!(operation.expression, Expression::Convolve { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::published;
    use crate::network::{Network, NetworkShape, Stem};
    use crate::run::Phase;
    use crate::space::{Candidates, IMAGE, NB201, S4, VIDEO};
    use crate::supernet::SupernetShape;

    const MIB: f64 = (1 << 20) as f64;
    const UNKNOWN: CardMemory = CardMemory { total: None, free: None };

    /// Those of the network whose steps `sdas bench step` times.
    fn counts(phase: Phase, [channels, cells, frames, side]: [usize; 4]) -> Counts {
        let extent = [frames, side, side];
        let network = match phase {
            Phase::Search => {
                let space = if frames > 1 { &VIDEO } else { &IMAGE };
                return searched(space, [channels, cells, frames, side], 1);
            }
            Phase::Train => {
                let stem = Stem::Cifar;
                let shape = NetworkShape { channels, cells, classes: 10, inputs: 3, stem, auxiliary: false };
                Network::derived(&published("darts_v2").unwrap(), shape)
            }
        };
        network.counts(extent)
    }

    /// Those of a search's supernet whose edges work on one of `share` parts of the channels.
    fn searched(space: &'static Space, [channels, cells, frames, side]: [usize; 4], share: usize) -> Counts {
        let stem_stride = if frames > 1 { [1, 2, 2] } else { [1; 3] };
        let shape = SupernetShape { channels, cells, classes: 10, inputs: 3, stem_stride, share };
        Network::supernet(&Candidates::whole(space), shape).counts([frames, side, side])
    }

    /// Asserts that an estimate is at least what was measured, in MiB, and at most so many times that.
    fn check(work: Work, counts: &Counts, batch: usize, is_shared: bool, (measured, most): (f64, f64)) {
        let room = Room::find(work, counts, ("batch", batch), UNKNOWN, is_shared).unwrap();
        let ratio = room.needs as f64 / MIB / measured;
        assert!((1.0..most).contains(&ratio), "{ratio:.3} of {measured} MiB with a batch of {batch} and {counts:?}");
    }

    fn work(phase: Phase) -> Work {
        match phase {
            Phase::Search => Work::SEARCH,
            Phase::Train => Work::TRAIN,
        }
    }

    #[test]
    fn the_estimate_is_what_was_measured_or_a_quarter_more() {
        // MiB that `sdas bench step --device cuda` had of a driver that counts what is asked of it: phase, channels, cells,
        // frames, side; batch; measured where nothing is shared, and where pictures' searches share.
        let measured = [
            (Phase::Search, [16, 8, 1, 32], 64, 4114.0, Some(2531.0)),
            (Phase::Search, [16, 8, 1, 32], 16, 1112.0, Some(724.0)),
            (Phase::Search, [16, 8, 1, 32], 4, 366.0, Some(256.0)),
            (Phase::Search, [8, 8, 1, 32], 64, 2086.0, Some(1179.0)),
            (Phase::Search, [36, 8, 1, 32], 16, 2784.0, Some(2070.0)),
            (Phase::Search, [16, 20, 1, 32], 16, 2758.0, Some(1648.0)),
            (Phase::Search, [16, 3, 1, 32], 64, 1928.0, Some(1332.0)),
            (Phase::Search, [16, 8, 1, 64], 16, 4114.0, Some(2531.0)),
            (Phase::Search, [8, 5, 16, 112], 16, 23604.0, None),
            (Phase::Search, [8, 5, 8, 64], 4, 1006.0, None),
            (Phase::Search, [16, 8, 16, 64], 4, 6437.0, None),
            (Phase::Train, [36, 20, 1, 32], 96, 3510.0, None),
            (Phase::Train, [36, 20, 1, 32], 16, 637.0, None),
            (Phase::Train, [16, 8, 1, 32], 64, 498.0, None),
            (Phase::Train, [16, 8, 1, 64], 64, 1898.0, None),
        ];
        for (phase, sizes, batch, alone, shared) in measured {
            let counts = counts(phase, sizes);
            for (measured, is_shared, most) in [(Some(alone), false, 1.25), (shared, true, 1.6)] {
                let Some(measured) = measured else { continue };
                check(work(phase), &counts, batch, is_shared, (measured, most));
            }
        }
    }

    /// As above, of searches of NAS-Bench-201's space: channels, cells and side; batch; measured.
    #[test]
    fn the_estimate_of_dense_cells_is_what_was_measured_or_a_quarter_more() {
        let measured = [
            ([16, 15, 32], 64, 1718.0),
            ([16, 15, 32], 16, 520.0),
            ([8, 15, 32], 64, 817.0),
            ([32, 15, 32], 16, 1122.0),
            ([16, 15, 64], 16, 1718.0),
        ];
        for ([channels, cells, side], batch, measured) in measured {
            let counts = searched(&NB201, [channels, cells, 1, side], 1);
            check(Work::DENSE, &counts, batch, false, (measured, 1.25));
        }
    }

    /// As above, of searches with noise: channels, cells and side; batch; measured.
    #[test]
    fn the_estimate_of_cells_with_noise_is_what_was_measured_or_a_quarter_more() {
        let measured = [
            ([16, 8, 32], 64, 1184.0),
            ([16, 8, 32], 16, 307.0),
            ([16, 8, 32], 4, 96.0),
            ([8, 8, 32], 64, 608.0),
            ([36, 8, 32], 16, 736.0),
            ([16, 20, 32], 16, 770.0),
            ([16, 8, 64], 16, 1184.0),
        ];
        for ([channels, cells, side], batch, measured) in measured {
            check(Work::NOISE, &searched(&S4, [channels, cells, 1, side], 1), batch, true, (measured, 1.25));
        }
    }

    /// As above, of searches on a part of the channels: channels, cells, frames and side; batch; parts; measured.
    #[test]
    fn the_estimate_of_a_part_of_the_channels_is_what_was_measured_or_twice_that() {
        let measured = [
            ([16, 8, 1, 32], 64, 4, 1575.0),
            ([16, 8, 1, 32], 16, 4, 294.0),
            ([16, 8, 1, 32], 256, 4, 4281.0),
            ([16, 8, 1, 32], 64, 2, 1564.0),
            ([36, 8, 1, 32], 16, 4, 670.0),
            ([16, 20, 1, 32], 16, 4, 941.0),
            ([16, 3, 1, 32], 64, 4, 849.0),
            ([16, 8, 1, 64], 16, 4, 1575.0),
            ([8, 5, 16, 112], 16, 4, 5829.0),
            ([8, 5, 8, 64], 4, 4, 347.0),
            ([16, 8, 16, 64], 4, 4, 1880.0),
            ([16, 8, 16, 64], 4, 2, 2183.0),
        ];
        for (sizes, batch, share, measured) in measured {
            let space = if sizes[2] > 1 { &VIDEO } else { &IMAGE };
            check(Work::PARTS, &searched(space, sizes, share), batch, true, (measured, 2.0));
        }
    }

    #[test]
    fn what_a_card_does_in_another_way_has_numbers_of_its_own() {
        let settings = |relaxation, order| SearchSettings { relaxation, order, ..SearchSettings::default() };
        let (softmax, drawn) = (Relaxation::Softmax {}, Relaxation::GumbelHard { from: 10.0, to: 0.1 });
        let search = |relaxation, order, space| Work::search(&settings(relaxation, order), space);
        assert_eq!(search(softmax, Order::First, &IMAGE), Work::SEARCH);
        assert_eq!(search(softmax, Order::First, &VIDEO), Work::SEARCH);
        assert_eq!(search(softmax, Order::Second, &IMAGE).passes, 3.0);
        assert_eq!(search(softmax, Order::First, &NB201), Work::DENSE);
        assert_eq!(search(softmax, Order::First, &S4), Work::NOISE);
        assert_eq!(search(drawn, Order::First, &IMAGE).passes, 1.0);
        assert_eq!(search(Relaxation::Partial { share: 4 }, Order::First, &IMAGE), Work::PARTS);
        let training = |name: &str| Work::training(&Architecture::resolve(name).unwrap());
        assert_eq!(training("darts_v2"), Work::TRAIN);
        assert!(
            training("resnet20").results > Work::TRAIN.results && training("resnet20").weights > Work::TRAIN.weights
        );
    }

    #[test]
    fn more_of_anything_needs_more_room() {
        let needs = |sizes, batch| Work::SEARCH.bytes(&counts(Phase::Search, sizes), batch, false);
        let one = needs([8, 4, 2, 16], 4);
        for (sizes, batch) in
            [([12, 4, 2, 16], 4), ([8, 5, 2, 16], 4), ([8, 4, 3, 16], 4), ([8, 4, 2, 20], 4), ([8, 4, 2, 16], 5)]
        {
            assert!(needs(sizes, batch) > one, "{sizes:?} {batch}");
        }
    }

    #[test]
    fn a_batch_without_room_is_refused_with_the_largest_that_has_it() {
        let counts = counts(Phase::Search, [16, 8, 1, 32]);
        let find = |batch, total, free| {
            Room::find(Work::SEARCH, &counts, ("search.batch", batch), CardMemory { total, free }, false)
        };
        let gib = |count: u64| Some(count << 30);
        assert!(
            find(64, gib(8), gib(6)).is_ok()
                && find(64, gib(8), None).is_ok()
                && find(usize::MAX >> 20, None, None).is_ok()
        );
        let Err(RunError::NoRoom { largest, .. }) = find(512, gib(8), gib(6)) else { panic!("there is no such room") };
        assert!(largest > 64 && find(largest, gib(8), gib(6)).is_ok());
        assert!(find(largest + 1, gib(8), gib(6)).is_err());
        let text = find(512, gib(8), gib(6)).unwrap_err().to_string();
        assert!(text.starts_with("search.batch: is 512, but such a step needs about 34."), "{text}");
        assert!(text.contains(" GiB of the card's memory, which has 6.0 GiB free of 8.0 GiB\n  remedy: "), "{text}");
        assert!(text.contains(&format!("search.batch={largest}")), "{text}");
        let text = find(512, Some(1 << 20), None).unwrap_err().to_string();
        assert!(text.contains("not one sample"), "{text}");
    }
}
