//! A video of any length, part by part, as a network is asked about it: decoded as a stream, of which no more is in memory
//! than the parts that are asked about next.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::decode::{Decoder, Failure, Form, Frames, Resize};
use crate::error::DataError;
use crate::flow::TvL1;
use crate::keep::{Dataset, Sample, Store};
use crate::source::{Input, Kind, Source};

/// Which parts of a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowSettings {
    /// Seconds of it that each part stands for: it lies around their middle.
    pub every: f64,
    /// How long each part is.
    pub length: Length,
    /// Parts that are handed over at once.
    pub batch: usize,
}

/// How long a part of a video is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many frames.
    Frames(usize),
    /// So many seconds.
    Seconds(f64),
}

/// A part of a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The number of the time that it stands for, which begins after so many times [`WindowSettings::every`] seconds.
    pub number: usize,
    /// Frames that it has.
    pub frames: usize,
}

/// Has parts of a video, and their frames.
pub type TakeWindows<'a, E> = dyn FnMut(&[Window], &Dataset) -> Result<(), E> + 'a;

/// Why a video was not gone through to its end.
#[derive(Debug)]
pub enum Stopped<E> {
    /// It cannot be decoded, for this reason.
    Unusable(String),
    /// It would be so with every video.
    Data(DataError),
    /// Whoever had the parts has had enough.
    Asked(E),
}

/// Decodes `file` as the clips of `source` are, and hands over its parts in order, with all labels 0. The whole of a video is
/// gone through: at its ends parts are moved inwards, and one that is shorter than a part is one.
///
/// # Errors
/// What [`Stopped`] says; `source` must have clips.
pub fn windows<E>(
    source: &Source,
    file: &Path,
    settings: WindowSettings,
    take: &mut TakeWindows<'_, E>,
) -> Result<(), Stopped<E>> {
    source.validate().map_err(Stopped::Data)?;
    let decoder = Decoder::find().map_err(Stopped::Data)?;
    let usual = match source.kind {
        Kind::Motion => Form { size: source.size.or(Some(crate::files::SIDE)), resize: Resize::Squash, fps: None },
        _ => source.form(),
    };
    let stopped = |failure| match failure {
        Failure::Broken(words) | Failure::Passing(words) => Stopped::Unusable(words),
        Failure::Fatal(error) => Stopped::Data(error),
    };
    // Frames at equal times, so that their number tells the time.
    let rate = match usual.fps {
        Some(rate) => Some(rate),
        None => decoder.rate(file).map_err(stopped)?,
    };
    let Some(rate) = rate else {
        // Why it cannot be decoded, if that is so.
        let none = |_, _| Err("it does not say how many frames it has a second".into());
        return decoder.stream(file, &usual, none).map_err(stopped);
    };
    let form = Form { fps: Some(rate), ..usual };
    let frames = match settings.length {
        Length::Frames(frames) => frames,
        Length::Seconds(seconds) => (seconds * rate).round() as usize,
    };
    // A field of flow lies between two frames.
    let frames = frames.max(1) + usize::from(source.input == Input::Flow);
    let mut sliding = Sliding::new(frames, settings.every * rate);
    let mut waiting: Vec<Part> = vec![];
    let mut asked = None;
    let mut size = [0; 2];
    let mut hand_over = |size, parts: &mut Vec<Part>| {
        let (windows, samples) = dataset(size, parts, source.input).map_err(Stopped::Data)?;
        parts.clear();
        take(&windows, &samples).map_err(Stopped::Asked)
    };
    let streamed = decoder.stream(file, &form, |of, pixels| {
        if size != [0; 2] && of != size {
            return Err("its resolution changes".into());
        }
        size = of;
        waiting.extend(sliding.push(pixels));
        if waiting.len() >= settings.batch {
            hand_over(size, &mut waiting).map_err(|error| {
                asked = Some(error);
                String::new()
            })?;
        }
        Ok(())
    });
    match (asked, streamed) {
        (Some(error), _) => return Err(error),
        (None, Err(failure)) => return Err(stopped(failure)),
        (None, Ok(())) => {}
    }
    waiting.extend(sliding.end());
    while !waiting.is_empty() {
        let rest = waiting.split_off(waiting.len().min(settings.batch));
        hand_over(size, &mut waiting)?;
        waiting = rest;
    }
    Ok(())
}

/// A window and its frames.
type Part = (Window, Vec<Arc<Vec<u8>>>);

/// The parts as samples.
fn dataset(size: [usize; 2], parts: &[Part], input: Input) -> Result<(Vec<Window>, Dataset), DataError> {
    let (mut stores, mut samples) = (vec![], vec![]);
    for (_, frames) in parts {
        let pixels: Vec<u8> = frames.iter().flat_map(|frame| frame.iter().copied()).collect();
        let pixels = match input {
            Input::Rgb => pixels,
            Input::Flow => TvL1::default().fields(&pixels, size),
        };
        let made = Frames { size, pixels };
        samples.push(Sample {
            store: stores.len() as u32,
            offset: 0,
            frames: made.count(input.channels()) as u32,
            size: size.map(|side| side as u32),
            label: 0,
        });
        stores.push(Arc::new(Store::Memory(made.pixels)));
    }
    let samples = Dataset::from_samples(stores, samples, vec![String::new()], input.channels())?;
    Ok((parts.iter().map(|(window, _)| *window).collect(), samples))
}

/// A window that slides over frames as they come.
struct Sliding {
    length: usize,
    /// Frames from one window's time to the next one's.
    every: f64,
    /// The newest frames: no more than a window has.
    newest: VecDeque<Arc<Vec<u8>>>,
    /// Frames that have come.
    seen: usize,
    /// The number of the next window.
    next: usize,
}

impl Sliding {
    fn new(length: usize, every: f64) -> Self {
        Self { length, every, newest: VecDeque::new(), seen: 0, next: 0 }
    }

    /// The frame after the last of the next window, if there is no end before it.
    fn ends(&self) -> usize {
        let middle = (self.next as f64 + 0.5) * self.every;
        (middle - self.length as f64 / 2.0).round().max(0.0) as usize + self.length
    }

    /// The windows that this frame completes.
    fn push(&mut self, frame: Vec<u8>) -> Vec<Part> {
        self.newest.push_back(Arc::new(frame));
        if self.newest.len() > self.length {
            self.newest.pop_front();
        }
        self.seen += 1;
        let mut parts = vec![];
        while self.ends() == self.seen {
            parts.push(self.part());
        }
        parts
    }

    /// Those that would go on after the last frame: they end with it.
    fn end(&mut self) -> Vec<Part> {
        let mut parts = vec![];
        while self.next == 0 || self.next as f64 * self.every + 0.5 <= self.seen as f64 {
            parts.push(self.part());
        }
        parts
    }

    fn part(&mut self) -> Part {
        let number = self.next;
        self.next += 1;
        (Window { number, frames: self.newest.len() }, self.newest.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every window, by number, the first and the last of its frames.
    fn slide(length: usize, every: f64, count: u8) -> Vec<(u8, u8)> {
        let mut sliding = Sliding::new(length, every);
        let mut parts: Vec<Part> = (0..count).flat_map(|frame| sliding.push(vec![frame])).collect();
        parts.extend(sliding.end());
        assert!(parts.iter().enumerate().all(|(number, part)| part.0.number == number));
        parts.iter().map(|(_, frames)| (frames[0][0], frames.last().unwrap()[0])).collect()
    }

    #[test]
    fn every_time_has_a_window_around_its_middle() {
        // Four frames around the middle of every five: 2.5, 7.5, …
        assert_eq!(slide(4, 5.0, 15), [(1, 4), (6, 9), (11, 14)]);
        // Longer than the time between them, moved inwards at both ends.
        assert_eq!(slide(9, 5.0, 15), [(0, 8), (3, 11), (6, 14)]);
        // The last time is begun only, and still has one.
        assert_eq!(slide(4, 5.0, 17), [(1, 4), (6, 9), (11, 14), (13, 16)]);
        // Shorter than a window; several times within a frame.
        assert_eq!(slide(9, 5.0, 7), [(0, 6), (0, 6)]);
        assert_eq!(slide(2, 0.5, 2), [(0, 1); 4]);
        assert_eq!(slide(1, 100.0, 3), [(2, 2)]);
    }
}
