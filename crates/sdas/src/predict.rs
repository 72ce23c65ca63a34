//! Asking a network about files, folders of them, and videos of any length.

use crate::evaluate::{Examinee, Judge};
use crate::recipe::Recipe;
use crate::run::{Context, RunError, Seen};
use sdas_data::{Dataset, Length, Opened, Sampling, Source, Stopped, Views, Window, WindowSettings};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a network takes a file, or a part of a video, for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The file.
    pub file: PathBuf,
    /// Of a part of a video, the seconds that it stands for: the first, and how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<[f64; 2]>,
    /// Every class with its probability, the most probable first.
    pub classes: Vec<(String, f64)>,
}

/// What files were taken for.
#[derive(Debug)]
pub struct Answers {
    /// Those that can be used, in their order.
    pub predictions: Vec<Prediction>,
    /// The others, each with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

/// A network, to be asked.
pub struct Predictor<'a> {
    judge: Judge,
    seen: Seen,
    recipe: Recipe,
    context: Context<'a>,
    seconds: f64,
}

impl<'a> Predictor<'a> {
    /// That of a run, or one with the weights of a file.
    ///
    /// # Errors
    ///
    /// If there is no such network.
    pub fn open(examinee: &Examinee, mut context: Context<'a>) -> Result<Self, RunError> {
        let mut recipe = examinee.recipe()?;
        let (judge, seen) = Judge::for_files(examinee, &mut recipe, &mut context)?;
        Ok(Predictor { judge, seen, recipe, context, seconds: 0.0 })
    }

    /// What the run's samples are.
    pub fn source(&self) -> Source {
        self.recipe.data.source()
    }

    /// How many samples are well asked about at once.
    pub fn batch(&self) -> usize {
        self.judge.batch
    }

    /// Seconds that the network has computed.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Asks about files of the run's kind, pictures or clips, all of which are in memory then.
    ///
    /// # Errors
    ///
    /// If it is not the files.
    pub fn files(&mut self, files: &[PathBuf]) -> Result<Answers, RunError> {
        let Opened { samples, files, failed } = sdas_data::open_each(&self.source(), &[String::new()], files)?;
        let classes = self.ask(&samples, self.recipe.eval)?;
        let prediction = |(file, classes)| Prediction { file, seconds: None, classes };
        Ok(Answers { predictions: files.into_iter().zip(classes).map(prediction).collect(), failed })
    }

    /// Asks about a video of any length, about every so many seconds of it: `take` has what the part around their middle
    /// is taken for. A part is as long as what the network sees of a clip, or so many seconds. Why it was not gone through to
    /// its end, if that is the video's fault.
    ///
    /// # Errors
    ///
    /// If it is anything else, or `take` fails.
    pub fn video<E: From<RunError>>(
        &mut self,
        file: &Path,
        every: f64,
        length: Option<f64>,
        take: &mut dyn FnMut(Prediction) -> Result<(), E>,
    ) -> Result<Option<String>, E> {
        let source = self.source();
        if !source.kind.has_clips() {
            let message = "is for runs of clips; of a video, give a run of pictures its frames as files".to_owned();
            return Err(RunError::Setting { key: "--every", message }.into());
        }
        let clip = self.recipe.data.clip;
        let length = match (length, clip.sampling) {
            (Some(seconds), _) => Length::Seconds(seconds),
            (None, Sampling::Clip) => Length::Frames((clip.frames - 1) * clip.stride + clip.stack),
            (None, Sampling::Segments) => {
                let message =
                    "must say how long clips of the run were, which sees frames from the whole of a clip".to_owned();
                return Err(RunError::Setting { key: "--window", message }.into());
            }
        };
        // The part is what is asked for: nothing is to be chosen in time.
        let views = Views { clips: 1, ..self.recipe.eval };
        let settings = WindowSettings { every, length, batch: self.batch() };
        let mut tell = |windows: &[Window], samples: &Dataset| -> Result<(), E> {
            let classes = self.ask(samples, views)?;
            for (window, classes) in windows.iter().zip(classes) {
                let seconds = Some([window.number as f64 * every, every]);
                take(Prediction { file: file.to_owned(), seconds, classes })?;
            }
            Ok(())
        };
        match sdas_data::windows(&source, file, settings, &mut tell) {
            Ok(()) => Ok(None),
            Err(Stopped::Unusable(words)) => Ok(Some(words)),
            Err(Stopped::Data(error)) => Err(RunError::from(error).into()),
            Err(Stopped::Asked(error)) => Err(error),
        }
    }

    /// Of every sample the classes, the most probable first.
    fn ask(&mut self, samples: &Dataset, views: Views) -> Result<Vec<Vec<(String, f64)>>, RunError> {
        let (probabilities, seconds) = self.judge.probabilities(samples, &self.seen, views, &self.context)?;
        self.seconds += seconds;
        let classes = |row: &[f64]| {
            let mut classes: Vec<(String, f64)> = self.judge.classes.iter().cloned().zip(row.iter().copied()).collect();
            classes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            classes
        };
        Ok(probabilities.chunks_exact(self.judge.classes.len()).map(classes).collect())
    }
}
