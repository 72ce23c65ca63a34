//! Dividing a dataset by class and seed.

use crate::random::{shuffle, stream};

/// Two halves, sorted: every class is divided as evenly as possible, and so is the whole. Random
/// stream `split`.
pub fn halves(labels: &[u16], seed: u64) -> [Vec<usize>; 2] {
    halves_of(&all(labels), labels, None, seed)
}

/// As [`halves`], of the samples `indices` only; `labels` are those of the whole dataset, and so are
/// `sources`: what was cut from one recording goes to one half, so that neither half knows the
/// other's scenes. Halves are then as even as that allows; a class of a single recording is divided
/// as if nothing were known.
///
/// # Panics
/// If an index has no label or no source.
pub fn halves_of(indices: &[usize], labels: &[u16], sources: Option<&[u32]>, seed: u64) -> [Vec<usize>; 2] {
    let mut halves = [vec![], vec![]];
    // Of classes with an odd number, every other gives its extra picture to the second half.
    let mut larger = 0;
    for mut class in shuffled_classes(indices, labels, seed, "split") {
        if let Some(recordings) = sources.map(|sources| recordings(&class, sources)).filter(|known| known.len() > 1) {
            let before = halves.each_ref().map(Vec::len);
            for recording in recordings {
                let own = |half: usize| halves[half].len() - before[half];
                let smaller = usize::from((own(1), halves[1].len()) < (own(0), halves[0].len()));
                halves[smaller].extend(recording);
            }
            continue;
        }
        let extra = class.split_off(class.len() / 2);
        let (large, small) = (extra, class);
        let odd = large.len() != small.len();
        halves[larger].extend(large);
        halves[1 - larger].extend(small);
        larger ^= usize::from(odd);
    }
    halves.iter_mut().for_each(|half| half.sort_unstable());
    halves
}

/// The samples of each recording, the largest first, else in the samples' order.
fn recordings(samples: &[usize], sources: &[u32]) -> Vec<Vec<usize>> {
    let mut recordings: Vec<Vec<usize>> = Vec::new();
    for &i in samples {
        match recordings.iter_mut().find(|recording| sources[recording[0]] == sources[i]) {
            Some(recording) => recording.push(i),
            None => recordings.push(vec![i]),
        }
    }
    recordings.sort_by_key(|recording| std::cmp::Reverse(recording.len()));
    recordings
}

/// At most `limit` pictures, sorted, with the classes in proportion: everything if `limit` allows,
/// else exactly `limit`, of which every class gets at least one as long as there are enough to go
/// round. Random stream `limit`.
pub fn subset(labels: &[u16], limit: usize, seed: u64) -> Vec<usize> {
    let mut classes = shuffled_classes(&all(labels), labels, seed, "limit");
    let sizes: Vec<_> = classes.iter().map(Vec::len).collect();
    for (class, share) in classes.iter_mut().zip(shares(&sizes, limit)) {
        class.truncate(share);
    }
    let mut chosen = classes.concat();
    chosen.sort_unstable();
    chosen
}

/// About `count` of the samples `indices`, sorted, to be held out of training on the others; `labels` and `sources` are as
/// for [`halves_of`], and never all of a class. By sample they are those of [`subset`]; of recordings, whole ones are
/// taken, as near to as many of each class as they come. Random stream `limit`.
///
/// # Panics
/// If an index has no label or no source.
pub fn held_out(indices: &[usize], labels: &[u16], sources: Option<&[u32]>, count: usize, seed: u64) -> Vec<usize> {
    let own: Vec<u16> = indices.iter().map(|&i| labels[i]).collect();
    let chosen: Vec<usize> = subset(&own, count, seed).into_iter().map(|place| indices[place]).collect();
    let Some(sources) = sources else {
        let mut left = vec![0; own.iter().max().map_or(0, |&most| usize::from(most) + 1)];
        own.iter().for_each(|&label| left[usize::from(label)] += 1);
        let goes = |index: &usize| {
            let left = &mut left[usize::from(labels[*index])];
            let goes = *left > 1;
            *left -= usize::from(goes);
            goes
        };
        return chosen.into_iter().filter(goes).collect();
    };
    let mut held = vec![];
    for (label, class) in (0..).zip(shuffled_classes(indices, labels, seed, "limit")) {
        let wanted = chosen.iter().filter(|&&i| labels[i] == label).count();
        let (before, mut left) = (held.len(), class.len());
        for recording in recordings(&class, sources) {
            let has = held.len() - before;
            let is_nearer = (has + recording.len()).abs_diff(wanted) < has.abs_diff(wanted);
            if is_nearer && recording.len() < left {
                left -= recording.len();
                held.extend(recording);
            }
        }
    }
    held.sort_unstable();
    held
}

/// How many of `limit` each class of these sizes gets: the largest remainder method, with at least
/// one each.
fn shares(sizes: &[usize], limit: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    if limit >= total {
        return sizes.to_vec();
    }
    let mut shares: Vec<_> = sizes
        .iter()
        .map(|&size| ((limit as u128 * size as u128 / total as u128) as usize).max(usize::from(size > 0)))
        .collect();
    // How far a class is from its exact share, in units of 1 / total; positive if it has too
    // little.
    let lack = |class: usize, share: usize| limit as i128 * sizes[class] as i128 - share as i128 * total as i128;
    let classes = 0..sizes.len();
    loop {
        let given: usize = shares.iter().sum();
        // Ties go to the first class, in both directions.
        if given < limit {
            let open = classes.clone().filter(|&class| shares[class] < sizes[class]).rev();
            let poorest = open.max_by_key(|&class| lack(class, shares[class])).expect("limit is below total");
            shares[poorest] += 1;
        } else if given > limit {
            let least = if limit >= sizes.iter().filter(|&&size| size > 0).count() { 1 } else { 0 };
            let open = classes.clone().filter(|&class| shares[class] > least);
            let richest = open.min_by_key(|&class| lack(class, shares[class])).expect("more than limit are given");
            shares[richest] -= 1;
        } else {
            return shares;
        }
    }
}

fn all(labels: &[u16]) -> Vec<usize> {
    (0..labels.len()).collect()
}

/// The indices of every class, each in an order of its own stream, so that no class depends on
/// another.
fn shuffled_classes(indices: &[usize], labels: &[u16], seed: u64, name: &str) -> Vec<Vec<usize>> {
    let count = labels.iter().max().map_or(0, |&last| usize::from(last) + 1);
    let mut classes = vec![vec![]; count];
    for &i in indices {
        classes[usize::from(labels[i])].push(i);
    }
    for (label, class) in (0..).zip(&mut classes) {
        class.sort_unstable();
        shuffle(class, &mut stream(seed, name, [label, 0]));
    }
    classes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(chosen: &[usize], labels: &[u16], class: u16) -> usize {
        chosen.iter().filter(|&&i| labels[i] == class).count()
    }

    proptest! {
        #[test]
        fn halves_are_even_disjoint_and_complete(
            labels in prop::collection::vec(0u16..7, 0..200), seed: u64, keep in prop::collection::vec(any::<bool>(), 200),
        ) {
            let indices: Vec<_> = (0..labels.len()).filter(|&i| keep[i]).collect();
            for (indices, halves) in [
                (all(&labels), halves(&labels, seed)),
                (indices.clone(), halves_of(&indices, &labels, None, seed)),
            ] {
                let [one, two] = &halves;
                prop_assert!(one.is_sorted() && two.is_sorted());
                let mut both = [one.as_slice(), two].concat();
                both.sort();
                prop_assert_eq!(&both, &indices);
                prop_assert!(one.len().abs_diff(two.len()) <= 1);
                for class in 0..7 {
                    prop_assert!(count(one, &labels, class).abs_diff(count(two, &labels, class)) <= 1);
                }
            }
        }

        #[test]
        fn no_recording_is_in_both_halves(
            samples in prop::collection::vec((0u16..4, 0u32..6), 0..120), seed: u64,
        ) {
            let labels: Vec<u16> = samples.iter().map(|(label, _)| *label).collect();
            // A recording shows one class.
            let sources: Vec<u32> = samples.iter().map(|(label, number)| 10 * u32::from(*label) + number).collect();
            let halves = halves_of(&all(&labels), &labels, Some(&sources), seed);
            let mut both = halves.concat();
            both.sort();
            prop_assert_eq!(both, all(&labels));
            for class in 0..4 {
                let of = |half: usize| -> Vec<u32> {
                    halves[half].iter().filter(|&&i| labels[i] == class).map(|&i| sources[i]).collect()
                };
                let (one, two) = (of(0), of(1));
                let total = one.len() + two.len();
                let mut known = [one.clone(), two.clone()].concat();
                known.sort();
                let largest = known.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
                if largest == total {
                    prop_assert!(one.len().abs_diff(two.len()) <= 1);
                } else {
                    prop_assert!(one.iter().all(|source| !two.contains(source)));
                    // No further apart than the largest recording makes them.
                    prop_assert!(one.len().abs_diff(two.len()) <= largest, "{} {}", one.len(), two.len());
                    prop_assert!(!one.is_empty() && !two.is_empty());
                }
            }
        }

        #[test]
        fn recordings_are_held_out_whole(
            samples in prop::collection::vec((0u16..4, 0u32..6), 0..120), wanted in 0usize..60, seed: u64,
        ) {
            let labels: Vec<u16> = samples.iter().map(|(label, _)| *label).collect();
            let sources: Vec<u32> = samples.iter().map(|(label, number)| 10 * u32::from(*label) + number).collect();
            let indices = all(&labels);
            let by_sample = held_out(&indices, &labels, None, wanted, seed);
            let subset = subset(&labels, wanted, seed);
            prop_assert!(by_sample.iter().all(|index| subset.contains(index)));
            for class in 0..4 {
                let [of_subset, total] = [&subset, &indices].map(|chosen| count(chosen, &labels, class));
                prop_assert_eq!(count(&by_sample, &labels, class), of_subset.min(total.saturating_sub(1)));
            }
            let held = held_out(&indices, &labels, Some(&sources), wanted, seed);
            prop_assert!(held.windows(2).all(|pair| pair[0] < pair[1]));
            let of = |source: u32, among: &[usize]| among.iter().filter(|&&i| sources[i] == source).count();
            for source in 0..40 {
                let held = of(source, &held);
                prop_assert!(held == 0 || held == of(source, &indices));
            }
            for class in 0..4 {
                let (wanted, got) = (count(&subset, &labels, class), count(&held, &labels, class));
                let largest = (10 * u32::from(class)..).take(6).map(|source| of(source, &indices)).max();
                let total = count(&indices, &labels, class);
                prop_assert!(got < total.max(1));
                // Too many by less than half of a recording.
                prop_assert!(got <= wanted || 2 * (got - wanted) < largest.unwrap_or(0));
            }
        }

        #[test]
        fn subsets_are_exact_and_proportional(
            labels in prop::collection::vec(0u16..7, 0..200), limit in 0usize..250, seed: u64,
        ) {
            let chosen = subset(&labels, limit, seed);
            prop_assert_eq!(chosen.len(), limit.min(labels.len()));
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            let classes = (0..7).filter(|class| labels.contains(class)).count();
            for class in 0..7 {
                let (of, got) = (count(&all(&labels), &labels, class), count(&chosen, &labels, class));
                prop_assert!(got <= of);
                if limit >= classes {
                    prop_assert_eq!(got > 0, of > 0);
                    let exact = limit.min(labels.len()) as f64 * of as f64 / labels.len().max(1) as f64;
                    // Giving one to classes whose exact share is less takes from the others, at
                    // most one per class.
                    prop_assert!((got as f64 - exact).abs() < 1.0 + classes as f64, "{} of {}, {}", got, of, exact);
                }
            }
        }
    }

    #[test]
    fn equal_classes_get_equal_shares() {
        let labels: Vec<u16> = (0..1000).map(|i| i % 10).collect();
        let chosen = subset(&labels, 200, 3);
        assert!((0..10).all(|class| count(&chosen, &labels, class) == 20));
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let labels: Vec<u16> = (0..100).map(|i| i % 10).collect();
        assert_eq!(halves(&labels, 1), halves(&labels, 1));
        assert_ne!(halves(&labels, 1), halves(&labels, 2));
        assert_ne!(subset(&labels, 50, 1), subset(&labels, 50, 2));
    }
}
