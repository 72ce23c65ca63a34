//! What ranks must have in common before they begin, and what one run can be shared by.

use super::{Ranks, RunData, RunError, Standing, Wait};
use crate::recipe::Recipe;
use burn::tensor::Device;

/// Samples whose pixels are a part of what the data is known by.
const LOOKED_AT: usize = 16;

/// FNV-1a: the same on every machine, which the standard library's hashes do not promise.
pub(crate) fn checksum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
}

/// What a rank is about to do, by name: program and processor, every key of the recipe, the data.
pub(crate) fn what_is_done(recipe: &Recipe, data: &RunData) -> Vec<(String, String)> {
    let named = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    let mut all = vec![named("the version of sdas", &env!("CARGO_PKG_VERSION"))];
    // Where data lies may be another place on every machine; what lies there is looked at below.
    let is_place = |key: &str| ["data.path", "data.lists", "data.cache", "train.initial"].contains(&key);
    all.extend(recipe.values().into_iter().filter(|(key, _)| !is_place(key)));
    let identity = data.identity();
    let samples = [&data.train, &data.test];
    let [train, test] = samples.map(|samples| samples.len());
    let labels = samples.into_iter().flat_map(|samples| samples.labels().iter().map(|&label| u64::from(label)));
    all.push(named("the number of training samples", &train));
    all.push(named("the number of test samples", &test));
    all.push(named("the data's classes", &identity.classes.join(", ")));
    all.push(named("the checksum of the samples' labels", &format!("{:016x}", checksum(labels))));
    all.push(named("the checksum of the samples that are used", &format!("{:016x}", identity.pictures)));
    if !data.train.is_undecoded() {
        let looked_at = (0..LOOKED_AT.min(train)).map(|index| index * train / LOOKED_AT.min(train));
        let frames = looked_at.flat_map(|sample| data.train.frame(sample, 0));
        let sizes = (0..train).flat_map(|sample| {
            let [height, width] = data.train.size_of(sample);
            [data.train.frames(sample), height, width]
        });
        let words = frames.map(|&value| u64::from(value)).chain(sizes.map(|size| size as u64));
        all.push(named(
            "the checksum of the samples' sizes and of some of their pixels",
            &format!("{:016x}", checksum(words)),
        ));
    }
    all
}

/// Where a run stands in its folder, which all ranks have to see.
pub(crate) fn standing(ranks: &Ranks, look: impl FnOnce() -> Result<Standing, RunError>) -> Result<Standing, RunError> {
    let standing = ranks.all(Wait::Step, look)?;
    let word = match standing {
        Standing::Absent => "not begun",
        Standing::Begun => "begun",
        Standing::Done(_) => "done",
    };
    ranks.compare(&[("the run in that folder".to_owned(), word.to_owned())])?;
    Ok(standing)
}

/// Whether every rank has something of a batch.
pub(crate) fn check_batch(ranks: &Ranks, key: &'static str, batch: usize) -> Result<(), RunError> {
    match ranks.count() {
        count if count <= batch => Ok(()),
        count => {
            let message = format!("makes batches of {batch}, which {count} ranks cannot share; start {batch} at most");
            Err(RunError::Setting { key, message })
        }
    }
}

/// Whether norms can go by the samples of all ranks, where the recipe wants that.
pub(crate) fn check_norms(ranks: &Ranks, key: &'static str, sync: bool, device: &Device) -> Result<(), RunError> {
    if !sync || ranks.is_alone() || *device == Device::flex() {
        return Ok(());
    }
    let message = "is for ranks that compute on the processor; on graphics cards norms go by each rank's own samples: leave it \
                   out, or take --device cpu";
    Err(RunError::Setting { key, message: message.to_owned() })
}
