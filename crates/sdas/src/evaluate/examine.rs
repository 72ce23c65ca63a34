//! More of a test set than its accuracy: what is taken for what, and the worst mistakes as pictures.

use super::{Evaluation, Examinee, Fused};
use crate::run::{Context, RunError, Seen, loader};
use sdas_data::{ClipSettings, Normalization, Statistics, Views};
use std::path::Path;

/// What a look at a run's mistakes on the test set gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// What `sdas eval` measures.
    pub evaluation: Evaluation,
    /// By class, how many of its samples are taken for which.
    pub confusion: Vec<Vec<usize>>,
    /// Those that the network was most sure of, the worst first.
    pub mistakes: Vec<Mistake>,
}

/// A sample that is taken for another class.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Its class.
    pub is: usize,
    /// That which it is taken for.
    pub taken_for: usize,
    /// How sure the network is of that.
    pub probability: f64,
    /// What the network looked at; of a clip the frame in the middle.
    pub frame: Frame,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Height and width.
    pub size: [usize; 2],
    /// Red, green, blue, row by row.
    pub pixels: Vec<u8>,
}

/// Measures the network of a run on the test set, as [`evaluate`](super::evaluate()) does, and shows at most `most` mistakes.
///
/// # Errors
///
/// If there is no run, or its data cannot be loaded.
pub fn examine(
    run: &Path,
    data: Option<&Path>,
    most: usize,
    context: &mut Context<'_>,
) -> Result<Examination, RunError> {
    let fused = Fused::of(&Examinee::run(run), data, 1.0, context)?;
    let mut confusion = vec![vec![0; fused.classes.len()]; fused.classes.len()];
    let mut wrong: Vec<(usize, usize, f64)> = Vec::new();
    for (sample, (row, label)) in fused.rows().enumerate() {
        // Of equal ones the first, as the accuracy takes it.
        let best = (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
        confusion[usize::from(label)][best] += 1;
        if best != usize::from(label) {
            wrong.push((sample, best, row[best]));
        }
    }
    wrong.sort_by(|a, b| b.2.total_cmp(&a.2));
    wrong.truncate(most);
    let frames = frames(&fused, &wrong.iter().map(|(sample, ..)| *sample).collect::<Vec<_>>())?;
    let mistake = |((sample, taken_for, probability), frame)| Mistake {
        is: fused.samples.label(sample),
        taken_for,
        probability,
        frame,
    };
    let mistakes = wrong.into_iter().zip(frames).map(mistake).collect();
    Ok(Examination { evaluation: fused.evaluation(), confusion, mistakes })
}

/// What a network looks at of samples, before it is normalised: one frame of each.
fn frames(fused: &Fused, samples: &[usize]) -> Result<Vec<Frame>, RunError> {
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let channels = fused.samples.channels();
    let seen = Seen {
        clip: ClipSettings { normalization: Normalization::Dataset, ..fused.seen.clip },
        statistics: Statistics { mean: vec![0.0; channels], std: vec![1.0; channels] },
    };
    let views = Views { clips: 1, crops: 1, ..fused.views };
    let loader = loader(&fused.samples, samples, seen.evaluation(samples.len(), views))?;
    let mut frames = Vec::new();
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let [_, steps, height, width, channels] = batch.shape;
        let frame = height * width * channels;
        for row in batch.pixels.chunks_exact(steps * frame) {
            let middle = &row[steps / 2 * frame..][..frame];
            // Gray, and of optical flow its first field, is gray in all three.
            let colours = |pixel: &[f32]| if channels == 3 { [pixel[0], pixel[1], pixel[2]] } else { [pixel[0]; 3] };
            let pixels = middle.chunks_exact(channels).flat_map(colours);
            let pixels = pixels.map(|value| (255.0 * value).round().clamp(0.0, 255.0) as u8).collect();
            frames.push(Frame { size: [height, width], pixels });
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Weighed, evaluate};
    use crate::recipe::Recipe;
    use crate::run::{Event, Observer};
    use crate::{architecture::Architecture, device, train};
    use std::sync::atomic::AtomicBool;

    struct Nobody;

    impl Observer for Nobody {
        fn notice(&mut self, _: &Event<'_>) {}
    }

    /// A network that has learnt nothing makes mistakes; they agree with the accuracy, and show the test set's pictures.
    #[test]
    fn mistakes_add_up_and_are_pictures_of_the_test_set() {
        let place = tempfile::tempdir().unwrap();
        let settings =
            ["data.shapes.train=40", "data.shapes.test=30", "data.size=16", "train.batch=20", "train.epochs=1"];
        let settings =
            settings.map(str::to_owned).into_iter().chain(["train.channels=2", "train.cells=3"].map(str::to_owned));
        let recipe = Recipe::resolve("shapes", &settings.collect::<Vec<_>>()).unwrap();
        let stop = AtomicBool::new(false);
        let mut nobody = Nobody;
        let mut context =
            Context { device: device::Place::resolve("cpu").unwrap().device(), observer: &mut nobody, stop: &stop };
        let run = place.path().join("run");
        train::train(recipe.clone(), &Architecture::resolve("darts_v2").unwrap(), &run, context.again()).unwrap();
        let seen = examine(&run, None, 5, &mut context).unwrap();
        let plain =
            evaluate(&[Weighed { examinee: Examinee::run(run.clone()), share: 1.0 }], None, context.again()).unwrap();
        assert_eq!((seen.evaluation.top1, seen.evaluation.loss), (plain.top1, plain.loss));
        let right: usize = (0..10).map(|class| seen.confusion[class][class]).sum();
        assert_eq!(seen.confusion.iter().flatten().sum::<usize>(), 30);
        assert_eq!(right as f64 / 30.0, seen.evaluation.top1);
        assert_eq!(seen.mistakes.len(), 5.min(30 - right));
        assert!(seen.mistakes.is_sorted_by(|a, b| a.probability >= b.probability));
        let test = crate::run::load_data(&mut recipe.clone(), 1, &mut Nobody).unwrap().test;
        for mistake in &seen.mistakes {
            assert!(mistake.is != mistake.taken_for && seen.confusion[mistake.is][mistake.taken_for] > 0);
            assert_eq!(mistake.frame.size, [16, 16]);
            let own = |i: &usize| test.label(*i) == mistake.is && test.frame(*i, 0) == mistake.frame.pixels;
            assert!((0..test.len()).any(|i| own(&i)), "a picture that the test set has, of its class");
        }
    }
}
