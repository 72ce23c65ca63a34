//! Which frames of a sample the network sees.

use serde::{Deserialize, Serialize};

use crate::decode::MOST;
use crate::error::DataError;
use crate::keep::Dataset;
use crate::random::{Stream, below};

/// What the network sees of a sample: how many of its frames and which, how large, and on which
/// scale. The same in training and in testing; the default is a picture as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipSettings {
    /// Time steps, at least 1.
    pub frames: usize,
    /// Frames from one time step of a [`Sampling::Clip`] to the next, at least 1.
    pub stride: usize,
    /// Where the time steps lie in the sample.
    pub sampling: Sampling,
    /// Consecutive frames that make one time step, at least 1: their channels side by side, for
    /// optical flow x1 y1 x2 y2 … (Simonyan and Zisserman 2014, arXiv:1406.2199).
    pub stack: usize,
    /// Side in pixels of the square that the network sees. None is the samples' own size, which they
    /// must then share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// What pixels are normalised by.
    pub normalization: Normalization,
}

impl Default for ClipSettings {
    fn default() -> Self {
        let (sampling, normalization) = (Sampling::default(), Normalization::default());
        Self { frames: 1, stride: 1, sampling, stack: 1, crop: None, normalization }
    }
}

/// Where the time steps lie in a sample. One that is too short is looped: after its last frame comes
/// its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// One run, `stride` apart, from a random frame on.
    #[default]
    Clip,
    /// One at a random place in each of equal parts of the sample (temporal segment networks; Wang
    /// et al. 2016, arXiv:1608.00859).
    Segments,
}

/// What pixels are normalised by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// The loader's statistics.
    #[default]
    Dataset,
    /// Mean and deviation of what is seen of this very sample, before padding and cutout: clips in
    /// the dark come out as bright as others.
    PerClip,
}

impl ClipSettings {
    /// What the network sees of a sample of `dataset`: time steps, height, width, channels.
    ///
    /// # Errors
    /// [`DataError::Setting`] for what is impossible, alone or with this dataset.
    pub fn shape(&self, dataset: &Dataset) -> Result<[usize; 4], DataError> {
        for (key, value) in
            [("data.clip.frames", self.frames), ("data.clip.stride", self.stride), ("data.clip.stack", self.stack)]
        {
            if value == 0 {
                return Err(DataError::setting(key, value, "a number of at least 1"));
            }
        }
        let channels = dataset.channels();
        let [height, width] = match self.crop {
            None => dataset.common_size().ok_or_else(|| {
                DataError::setting(
                    "data.clip.crop",
                    "left out where samples differ in size",
                    "the side in pixels to bring them to",
                )
            })?,
            Some(crop) if !(1..=MOST).contains(&crop) => {
                return Err(DataError::setting("data.clip.crop", crop, format!("a number from 1 to {MOST}")));
            }
            Some(crop) => [crop; 2],
        };
        Ok([self.frames, height, width, channels * self.stack])
    }

    /// The first frame of every time step, at random places of a sample of `count` frames; to be
    /// taken modulo `count`.
    pub(crate) fn at_random(&self, count: usize, rng: &mut Stream) -> Vec<usize> {
        match self.sampling {
            Sampling::Clip => self.run(below(rng, self.places(count))),
            Sampling::Segments => {
                let places = self.places(count);
                let border = |segment: usize| segment * places / self.frames;
                // A segment may be shorter than a frame; it then takes the one it lies in.
                let place = |segment| border(segment) + below(rng, (border(segment + 1) - border(segment)).max(1));
                (0..self.frames).map(place).collect()
            }
        }
    }

    /// Likewise at the places of view number `view` of `views` in time. Runs are spread evenly, the
    /// first from the first frame on and the last up to the last frame; a single one is in the
    /// middle. Of segments, each view takes the middle of its part of every segment.
    pub(crate) fn at_view(&self, count: usize, view: usize, views: usize) -> Vec<usize> {
        let places = self.places(count);
        match self.sampling {
            Sampling::Clip if views == 1 => self.run((places - 1) / 2),
            Sampling::Clip => self.run(view * (places - 1) / (views - 1)),
            Sampling::Segments => {
                let middle = |segment| (2 * (segment * views + view) + 1) * places / (2 * views * self.frames);
                (0..self.frames).map(middle).collect()
            }
        }
    }

    /// How many frames of a time step's stack, its last, are in no step before it. None where that depends on the sample.
    /// Samples that are too short for all frames, and looped, are left out of account.
    pub fn fresh(&self) -> Option<usize> {
        match self.sampling {
            _ if self.frames == 1 || self.stack == 1 => Some(self.stack),
            Sampling::Clip => Some(self.stack.min(self.stride)),
            Sampling::Segments => None,
        }
    }

    fn run(&self, start: usize) -> Vec<usize> {
        (0..self.frames).map(|step| start + step * self.stride).collect()
    }

    /// Frames at which a run, or a segment's time step, can start without leaving the sample; 1 if
    /// the sample is too short.
    fn places(&self, count: usize) -> usize {
        let length = match self.sampling {
            Sampling::Clip => (self.frames - 1) * self.stride + self.stack,
            Sampling::Segments => self.stack,
        };
        count.saturating_sub(length) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::stream;

    fn clip(frames: usize, stride: usize, stack: usize) -> ClipSettings {
        ClipSettings { frames, stride, stack, ..ClipSettings::default() }
    }

    fn segments(frames: usize, stack: usize) -> ClipSettings {
        ClipSettings { sampling: Sampling::Segments, ..clip(frames, 9, stack) }
    }

    fn chances(settings: ClipSettings, count: usize) -> BTreeSet<Vec<usize>> {
        (0..400).map(|i| settings.at_random(count, &mut stream(0, "test", [i, 0]))).collect()
    }

    #[test]
    fn a_run_is_anywhere_it_fits() {
        // 3 frames 2 apart span 5 of 7: they start at 0, 1 or 2.
        let expected = [[0, 2, 4], [1, 3, 5], [2, 4, 6]].map(Vec::from);
        assert_eq!(chances(clip(3, 2, 1), 7), BTreeSet::from(expected));
        // Two fields at each step: one place less.
        assert_eq!(chances(clip(3, 2, 2), 7), BTreeSet::from([vec![0, 2, 4], vec![1, 3, 5]]));
        // It just fits, or does not.
        for count in 1..=5 {
            assert_eq!(chances(clip(3, 2, 1), count), BTreeSet::from([vec![0, 2, 4]]));
        }
        assert_eq!(chances(clip(1, 1, 1), 3), BTreeSet::from([vec![0], vec![1], vec![2]]));
    }

    #[test]
    fn segments_have_one_place_each() {
        // 7 frames in 3 segments: {0, 1}, {2, 3}, {4, 5, 6}.
        let all = chances(segments(3, 1), 7);
        let each = |segment: usize| all.iter().map(|steps| steps[segment]).collect::<Vec<_>>();
        assert_eq!(all.len(), 12);
        assert_eq!([0, 1, 2].map(|i| each(i).into_iter().min().unwrap()), [0, 2, 4]);
        assert_eq!([0, 1, 2].map(|i| each(i).into_iter().max().unwrap()), [1, 3, 6]);
        // Stacks of 5 of 7 start at 0, 1 or 2.
        assert_eq!(chances(segments(3, 5), 7), BTreeSet::from([vec![0, 1, 2]]));
        // Fewer frames than segments: 2 in 5.
        assert_eq!(chances(segments(5, 1), 2), BTreeSet::from([vec![0, 0, 0, 1, 1]]));
        assert_eq!(chances(segments(2, 4), 3), BTreeSet::from([vec![0, 0]]));
    }

    #[test]
    fn frames_of_a_stack_that_no_step_before_has() {
        // 0 to 4, 2 to 6, 4 to 8: two new ones each. 0 to 2, 5 to 7: all.
        assert_eq!(clip(3, 2, 5).fresh(), Some(2));
        assert_eq!(clip(2, 5, 3).fresh(), Some(3));
        assert_eq!(
            [clip(1, 2, 5), clip(4, 2, 1), segments(1, 5), segments(3, 1)].map(|clip| clip.fresh()),
            [Some(5), Some(1), Some(5), Some(1)]
        );
        assert_eq!(segments(3, 2).fresh(), None);
    }

    #[test]
    fn views_in_time_by_hand() {
        let views =
            |settings: ClipSettings, count, views| (0..views).map(move |view| settings.at_view(count, view, views));
        // 10 frames, runs of 4: places 0 to 6.
        assert!(views(clip(4, 1, 1), 10, 1).eq([vec![3, 4, 5, 6]]));
        assert!(views(clip(4, 1, 1), 10, 2).eq([vec![0, 1, 2, 3], vec![6, 7, 8, 9]]));
        assert!(views(clip(4, 1, 1), 10, 3).map(|steps| steps[0]).eq([0, 3, 6]));
        assert!(views(clip(4, 1, 1), 10, 5).map(|steps| steps[0]).eq([0, 1, 3, 4, 6]));
        // Too short: all the same.
        assert!(views(clip(4, 1, 1), 3, 2).eq([vec![0, 1, 2, 3], vec![0, 1, 2, 3]]));
        // 10 frames in 2 segments of 5, looked at in the middle, or in the middles of their halves.
        assert!(views(segments(2, 1), 10, 1).eq([vec![2, 7]]));
        assert!(views(segments(2, 1), 10, 2).eq([vec![1, 6], vec![3, 8]]));
        // 6 places for stacks of 5 of 10.
        assert!(views(segments(3, 5), 10, 1).eq([vec![1, 3, 5]]));
        assert!(views(segments(4, 1), 1, 1).eq([vec![0; 4]]));
    }

    #[test]
    fn what_is_impossible_is_named() {
        let data = Dataset::clips(vec![0; 5], &[[2, 1, 2], [1, 1, 1]], vec![0; 2], vec!["a".into()], 1).unwrap();
        let fails = |settings: ClipSettings, words: &str| {
            let error = settings.shape(&data).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("remedy: "), "{error}");
        };
        let square = ClipSettings { crop: Some(4), ..clip(3, 1, 2) };
        assert_eq!(square.shape(&data).unwrap(), [3, 4, 4, 2]);
        fails(clip(1, 1, 1), "`data.clip.crop`");
        fails(ClipSettings { crop: Some(0), ..square }, "`data.clip.crop`");
        fails(ClipSettings { frames: 0, ..square }, "`data.clip.frames`");
        fails(ClipSettings { stride: 0, ..square }, "`data.clip.stride`");
        fails(ClipSettings { stack: 0, ..square }, "`data.clip.stack`");
    }
}
