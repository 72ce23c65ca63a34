//! Ranks that are threads of one process: their link are channels.

use super::*;
use crate::architecture::Architecture;
use crate::device::Device;
use crate::recipe::Recipe;
use crate::run::{Checkpoint, Context, Ending, Event, Folder, MetricRecord, Observer};
use crate::schedule::Decision;
use crate::{search, train};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What a rank sends to itself never arrives.
struct Threads {
    rank: usize,
    count: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
    /// Exchanges until it is as good as dead; counted down.
    left: AtomicUsize,
    patience: Duration,
}

/// A link for each of `count` ranks.
fn links(count: usize) -> Vec<Threads> {
    let mut to: Vec<Vec<Sender<Vec<u8>>>> = (0..count).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<Mutex<Receiver<Vec<u8>>>>> = (0..count).map(|_| Vec::new()).collect();
    for sender in 0..count {
        for receivers in &mut from {
            let (end, other) = channel();
            to[sender].push(end);
            receivers.push(Mutex::new(other));
        }
    }
    let link = |(rank, (to, from))| Threads {
        rank,
        count,
        to,
        from,
        left: AtomicUsize::new(usize::MAX),
        patience: Duration::from_secs(20),
    };
    to.into_iter().zip(from).enumerate().map(link).collect()
}

impl Link for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn local_rank(&self) -> usize {
        self.rank
    }

    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]], _: Wait) -> Result<(), RankError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(RankError::Gone { rank: self.rank });
        }
        let others = || (0..self.count).filter(|&rank| rank != self.rank);
        for rank in others() {
            self.to[rank].send(sent[rank].to_vec()).map_err(|_| RankError::Gone { rank })?;
        }
        for rank in others() {
            let from = self.from[rank].lock().unwrap();
            let bytes = from.recv_timeout(self.patience).map_err(|error| match error {
                RecvTimeoutError::Disconnected => RankError::Gone { rank },
                RecvTimeoutError::Timeout => RankError::Silent { rank, seconds: self.patience.as_secs() },
            })?;
            received[rank].copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// What `body` gives on every rank.
fn on_ranks<T: Send>(links: Vec<Threads>, body: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = |link: Threads| {
            let body = &body;
            scope.spawn(move || body(&Ranks::new(Arc::new(link))))
        };
        let threads: Vec<_> = links.into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Numbers whose sum depends on the order in which they are added.
fn numbers(rank: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 31 + rank * 17) % 101) as f32 * 10f32.powi((at + 3 * rank) as i32 % 9 - 4)).collect()
}

#[test]
fn sums_are_added_in_the_order_of_the_ranks() {
    // Few enough for one message, and many, whose parts differ in size.
    for (count, length) in [(2, 5), (3, 0), (3, 1), (4, 7), (2, 20_001), (3, 20_000), (4, 33_331)] {
        let mut expected = numbers(0, length);
        for rank in 1..count {
            expected.iter_mut().zip(numbers(rank, length)).for_each(|(sum, term)| *sum += term);
        }
        for summed in on_ranks(links(count), |ranks| {
            let mut own = numbers(ranks.rank(), length);
            ranks.sum(&mut own);
            ranks.check().unwrap();
            own
        }) {
            assert!(summed.iter().map(|v| v.to_bits()).eq(expected.iter().map(|v| v.to_bits())), "{count} {length}");
        }
    }
}

#[test]
fn ranks_that_differ_are_told_apart() {
    let value = |rank: usize| if rank == 2 { "64" } else { "32" };
    let told = on_ranks(links(3), |ranks| {
        let own = [("seed", "1"), ("search.batch", value(ranks.rank())), ("epochs", "2")];
        ranks.compare(&own.map(|(what, value)| (what.to_owned(), value.to_owned())))
    });
    let differs =
        RankError::Differs { rank: 2, what: "search.batch".to_owned(), first: "32".to_owned(), other: "64".to_owned() };
    assert_eq!(told, vec![Err(differs); 3]);
}

#[test]
fn what_fails_on_one_rank_keeps_all_from_beginning() {
    let done = on_ranks(links(3), |ranks| {
        let done = ranks.in_turn(|| match ranks.rank() {
            1 => Err(RunError::Setting { key: "data.path", message: "is not there".to_owned() }),
            rank => Ok(rank),
        });
        assert!(ranks.are_told());
        done
    });
    let [first, own, last] = &done[..] else { panic!("three ranks") };
    assert!(matches!(own, Err(error) if error.to_string() == "data.path: is not there"), "{own:?}");
    for other in [first, last] {
        assert!(matches!(other, Err(RunError::Rank(RankError::Failed { rank: 1 }))), "{other:?}");
    }
}

fn recipe(changes: &[&str]) -> Recipe {
    let small = [
        "data.shapes.train=60",
        "data.shapes.test=20",
        "data.size=16",
        "search.batch=9",
        "search.channels=2",
        "search.cells=3",
        "search.epochs=3",
        "search.alpha_warmup=0",
        "train.batch=9",
        "train.channels=2",
        "train.cells=3",
        "train.epochs=2",
        "train.holdout=0.2",
    ];
    let changes: Vec<String> = small.iter().chain(changes).map(|change| change.to_string()).collect();
    Recipe::resolve("shapes", &changes).unwrap()
}

/// Asks to stop after so many steps.
struct After<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for After<'_> {
    fn notice(&mut self, event: &Event<'_>) {
        if let Event::Step(_) = event {
            self.steps = self.steps.saturating_sub(1);
            self.stop.store(self.steps == 0, Ordering::SeqCst);
        }
    }
}

/// Searches as one of several; rank `at` of them is asked to stop after its first `steps` steps.
fn searched(ranks: &Ranks, recipe: &Recipe, folder: &Path, at: usize, steps: usize) -> Result<Ending, RunError> {
    let stop = AtomicBool::new(false);
    let mut observer = After { steps: if ranks.rank() == at { steps } else { usize::MAX }, stop: &stop };
    let context = Context::new(Device::flex(), &mut observer, &stop);
    search::search_among(ranks, recipe.clone(), folder, context)
}

/// Never asked to stop.
const TO_THE_END: usize = usize::MAX;

struct Left {
    metrics: Vec<MetricRecord>,
    decisions: Vec<(String, usize, String, usize)>,
    checkpoint: Checkpoint,
}

fn left(folder: &Path) -> Left {
    let folder = Folder::open(folder).unwrap();
    let decisions: Vec<Decision> = folder.lines("decisions.jsonl").unwrap_or_default();
    Left {
        metrics: folder.lines("metrics.jsonl").unwrap(),
        decisions: decisions
            .into_iter()
            .map(|decision| (decision.cell.to_string(), decision.edge, decision.operation, decision.step))
            .collect(),
        checkpoint: folder.last(&mut ()).unwrap().unwrap().1,
    }
}

/// How far two runs are apart: of losses, and of all numbers of their checkpoints.
fn apart(one: &Left, other: &Left) -> [f64; 2] {
    let losses = |left: &Left| -> Vec<f64> {
        let of = |record: &MetricRecord| [record.train_loss, record.validation_loss.unwrap(), record.gradient_norm];
        left.metrics.iter().flat_map(of).collect()
    };
    let values = |left: &Left| -> Vec<f64> { left.checkpoint.tensors.values().flatten().map(|&v| v.into()).collect() };
    [(losses(one), losses(other)), (values(one), values(other))].map(|(one, other)| {
        assert_eq!(one.len(), other.len());
        one.iter().zip(other).map(|(one, other)| (one - other).abs() / (1.0 + one.abs())).fold(0.0, f64::max)
    })
}

#[test]
fn with_norms_of_all_samples_ranks_search_as_one_does() {
    let place = tempfile::tempdir().unwrap();
    for order in ["first", "second"] {
        // A step an epoch, so that rounding has little time to grow.
        let recipe = recipe(&[
            "search.sync_norm=true",
            "data.shapes.train=20",
            "search.epochs=6",
            &format!("search.order=\"{order}\""),
        ]);
        let run = |name: &str, count: usize| {
            let folder = place.path().join(format!("{name}-{order}"));
            for ending in on_ranks(links(count), |ranks| searched(ranks, &recipe, &folder, 0, TO_THE_END)) {
                assert!(matches!(ending.unwrap(), Ending::Done(_)));
            }
            left(&folder)
        };
        let (one, mut two, again) = (run("one", 1), run("two", 2), run("again", 2));
        // As many ranks, the same bits.
        assert_eq!(two.checkpoint.tensors, again.checkpoint.tensors);
        assert_eq!(apart(&two, &again), [0.0; 2]);
        assert_eq!(one.decisions.len(), 16);
        let off = match order {
            "first" => {
                assert_eq!(one.decisions, two.decisions);
                apart(&one, &two)
            }
            // Its gradients are differences of nearly equal ones, in which rounding is large.
            _ => {
                two.metrics.truncate(2);
                let checkpoint = Checkpoint::default;
                let one = Left { metrics: one.metrics[..2].to_vec(), checkpoint: checkpoint(), ..one };
                apart(&one, &Left { checkpoint: checkpoint(), ..two })
            }
        };
        assert!(off[0] < 1e-4 && off[1] < 1e-3, "{order}: {off:?}");
    }
}

#[test]
fn a_search_goes_on_with_other_ranks_where_it_stopped() {
    let place = tempfile::tempdir().unwrap();
    let recipe = recipe(&["search.sync_norm=true"]);
    let [whole, parted] = ["whole", "parted"].map(|name| place.path().join(name));
    on_ranks(links(2), |ranks| searched(ranks, &recipe, &whole, 0, TO_THE_END).unwrap());
    // A rank is asked that writes nothing; all stop after the same step.
    for ending in on_ranks(links(2), |ranks| searched(ranks, &recipe, &parted, 1, 4).unwrap()) {
        assert_eq!(ending, Ending::Interrupted);
    }
    for count in [3, 1] {
        let stop = if count == 1 { TO_THE_END } else { 3 };
        on_ranks(links(count), |ranks| {
            let never = AtomicBool::new(false);
            let mut observer = After { steps: stop, stop: &never };
            search::resume_among(ranks, &parted, Context::new(Device::flex(), &mut observer, &never)).unwrap()
        });
    }
    let (whole, parted) = (left(&whole), left(&parted));
    assert_eq!(whole.decisions, parted.decisions);
    assert_eq!(whole.metrics.last().unwrap().step, parted.metrics.last().unwrap().step);
    let off = apart(&whole, &parted);
    assert!(off[0] < 2e-3 && off[1] < 2e-2, "{off:?}");
}

#[test]
fn a_rank_that_dies_ends_the_run_on_all_and_leaves_it_whole() {
    let place = tempfile::tempdir().unwrap();
    let recipe = recipe(&[]);
    let folder = place.path().join("run");
    // Behind the first of three epochs.
    let mut dying = links(3);
    dying[1].left = AtomicUsize::new(40);
    let endings = on_ranks(dying, |ranks| searched(ranks, &recipe, &folder, 0, TO_THE_END));
    for (rank, ending) in endings.into_iter().enumerate() {
        assert!(matches!(ending, Err(RunError::Rank(RankError::Gone { .. }))), "{rank}: {ending:?}");
    }
    assert!(!folder.join("result.json").exists());
    let epochs = left(&folder).metrics.len();
    assert!((1..3).contains(&epochs), "{epochs}");
    let never = AtomicBool::new(false);
    let ending = search::resume(&folder, Context::new(Device::flex(), &mut (), &never)).unwrap();
    assert!(matches!(ending, Ending::Done(_)));
}

#[test]
fn a_rank_that_hangs_is_named() {
    let mut links = links(2);
    links[0].patience = Duration::from_millis(50);
    let faults = on_ranks(links, |ranks| {
        if ranks.rank() == 1 {
            std::thread::sleep(Duration::from_millis(200));
            return ranks.check();
        }
        ranks.sum(&mut [1.0f64]);
        ranks.sum(&mut [1.0f32]);
        ranks.check()
    });
    assert_eq!(faults, [Err(RankError::Silent { rank: 1, seconds: 0 }), Ok(())]);
}

#[test]
fn ranks_with_another_recipe_or_no_batch_to_share_do_not_begin() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run");
    let recipes = [recipe(&[]), recipe(&["search.weights.rate=0.5"])];
    for ending in on_ranks(links(2), |ranks| searched(ranks, &recipes[ranks.rank()], &folder, 0, TO_THE_END)) {
        let error = ending.unwrap_err().to_string();
        assert!(error.starts_with("search.weights.rate is 0.025 on rank 0, but 0.5 on rank 1\n  remedy: "), "{error}");
    }
    let small = recipe(&["search.batch=2"]);
    let endings = on_ranks(links(3), |ranks| searched(ranks, &small, &folder, 0, TO_THE_END));
    let error = endings.into_iter().next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "search.batch: makes batches of 2, which 3 ranks cannot share; start 2 at most");
    assert!(!folder.exists());
}

#[test]
fn with_norms_of_all_samples_ranks_train_as_one_does() {
    let place = tempfile::tempdir().unwrap();
    let changes = ["train.sync_norm=true", "train.drop_path=0.3", "train.dropout=0.3", "train.average=0.5"];
    for (name, network) in [("cell", "darts_v2"), ("layers", "resnet20")] {
        let recipe = recipe(&[&changes[..], &["train.width=0.25"][..if name == "layers" { 1 } else { 0 }]].concat());
        let architecture = Architecture::resolve(network).unwrap();
        let run = |count: usize| {
            let folder = place.path().join(format!("{name}{count}"));
            on_ranks(links(count), |ranks| {
                let never = AtomicBool::new(false);
                let mut nobody = ();
                let context = Context::new(Device::flex(), &mut nobody, &never);
                train::train_among(ranks, recipe.clone(), &architecture, &folder, context).unwrap();
            });
            left(&folder)
        };
        let one = run(1);
        for count in [2, 4] {
            let off = apart(&one, &run(count));
            assert!(off[0] < 2e-3 && off[1] < 2e-2, "{name}, {count}: {off:?}");
        }
    }
}
