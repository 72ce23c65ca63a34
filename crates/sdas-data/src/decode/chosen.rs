//! Some frames of a clip: those that a sample shows.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decoder::{Packet, ratio, twice};
use super::process::Heard;
use super::{CHANNELS, Decoder, Failure, Form, Frames};

/// The frame from which on it is worth knowing where else than at its start a clip can be begun: what is decoded in vain
/// before costs less than a process does.
const LATE: usize = 64;

/// Where else than at its start the decoding of a clip can begin, so that the same frames come out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entries {
    /// Frames that need none before them, nor do those after them: their numbers, in order.
    keys: Vec<u32>,
    /// When the first frame is shown, and the time from each to the next, in seconds.
    first: f64,
    step: f64,
}

impl Entries {
    /// Of a clip with these packets, as many as frames; none unless each has a time, and all are equally far apart but for
    /// the rounding of some containers: only then does a frame's time say its number.
    fn of(packets: &[(i64, bool)], frames: usize, unit: f64) -> Option<Self> {
        let mut packets = packets.to_vec();
        packets.sort_unstable();
        let [(first, _), .., (last, _)] = packets[..] else { return None };
        let step = (last - first) as f64 / (packets.len() - 1) as f64;
        let is_near = |(number, &(time, _)): (u32, &(i64, bool))| {
            (time as f64 - first as f64 - f64::from(number) * step).abs() < 0.25 * step
        };
        if packets.len() != frames || !(0..).zip(&packets).all(is_near) {
            return None;
        }
        let keys = (0..).zip(&packets).filter(|(number, (_, is_key))| *number > 0 && *is_key);
        let keys: Vec<u32> = keys.map(|(number, _)| number).collect();
        (!keys.is_empty()).then_some(Self { keys, first: first as f64 * unit, step: step * unit })
    }

    /// The last of them up to frame `number`.
    fn before(&self, number: usize) -> Option<u32> {
        self.keys[..self.keys.partition_point(|&key| key as usize <= number)].last().copied()
    }

    /// When a frame is shown; what lies between two is for finding them by.
    fn time(&self, number: f64) -> f64 {
        self.first + number * self.step
    }
}

impl Decoder {
    /// As [`decode`](Self::decode), and where its decoding can begin.
    pub(crate) fn look(&self, path: &Path, form: &Form) -> Result<(Frames, Option<Entries>), Failure> {
        let (frames, is_flawless) = self.judge(path, form)?;
        let count = frames.count(CHANNELS);
        // Where something is concealed, it matters what came before; and `fps` counts frames from the start.
        if count <= LATE || !is_flawless || form.fps.is_some() {
            return Ok((frames, None));
        }
        let probe = twice(|| self.probe(path, "stream=time_base:packet=pts,flags"))?;
        let entries = probe.and_then(|probe| {
            let unit = ratio(probe.streams.first()?.time_base.as_ref()?)?;
            // Discarded ones, `D`, belong to what an edit list has cut off.
            let packet = |packet: &Packet| {
                Some((packet.pts?, packet.flags.starts_with('K'))).filter(|_| !packet.flags.contains('D'))
            };
            let packets: Option<Vec<_>> = probe.packets.iter().map(packet).collect();
            Entries::of(&packets?, count, unit)
        });
        Ok((frames, entries))
    }

    /// The frames `numbers`, which ascend, exactly as [`decode`](Self::decode) has them. No more of the clip is decoded
    /// than from the last of its `entries` before them, or from its start.
    pub(crate) fn choose(
        &self,
        path: &Path,
        form: &Form,
        entries: Option<&Entries>,
        numbers: &[usize],
    ) -> Result<Frames, Failure> {
        let (first, most) = (numbers[0], numbers.len().to_string());
        // Where the container finds something else there, from its start.
        if let Some((entries, key)) = entries.and_then(|entries| Some((entries, entries.before(first)?)))
            && let Ok((frames, _)) = self.choose_from(path, form, entries, key, numbers)
            && !frames.pixels.is_empty()
            && frames.count(CHANNELS) == numbers.len()
        {
            return Ok(frames);
        }
        let filters = form.filters_of(&select(numbers.iter().map(|number| format!("eq(n,{number})"))));
        Ok(twice(|| self.frames_by(path, [&[], &["-frames:v", &most]], &filters))?.0)
    }

    /// What is found of the frames `numbers` when the clip is decoded from frame `key` on.
    fn choose_from(
        &self,
        path: &Path,
        form: &Form,
        entries: &Entries,
        key: u32,
        numbers: &[usize],
    ) -> Result<(Frames, Heard), Failure> {
        let between = |&number: &usize| {
            let [from, to] = [-0.5, 0.5].map(|half| entries.time(number as f64 + half));
            format!("between(t,{from:.9},{to:.9})")
        };
        let (at, most) = (format!("{:.6}", entries.time(f64::from(key))), numbers.len().to_string());
        let before = ["-seek_timestamp", "1", "-noaccurate_seek", "-copyts", "-ss", &*at];
        let filters = form.filters_of(&select(numbers.iter().map(between)));
        self.frames_by(path, [&before, &["-frames:v", &most]], &filters)
    }
}

/// The filter that leaves frames of which one of these is true.
fn select(conditions: impl Iterator<Item = String>) -> String {
    format!("select='{}',", conditions.collect::<Vec<_>>().join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Resize;

    #[test]
    fn the_same_frames_come_out_wherever_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let decoder = Decoder::find().unwrap();
        let form = Form { size: Some(32), resize: Resize::Crop, fps: None };
        // Frames that need later ones, in groups that begin anew and, without a key among them, in one that does not.
        for (name, codec, has_entries) in [
            ("a.mp4", &["-c:v", "libx264", "-bf", "2", "-g", "30", "-x264-params", "open-gop=1"][..], true),
            ("b.mkv", &["-c:v", "libx264", "-bf", "2", "-g", "30"], true),
            ("c.mkv", &["-c:v", "mpeg4", "-bf", "2", "-g", "25"], true),
            ("d.webm", &["-c:v", "libvpx", "-g", "25", "-deadline", "realtime", "-cpu-used", "8"], true),
            ("e.mp4", &["-c:v", "libx264", "-g", "999", "-sc_threshold", "0"], false),
            ("f.avi", &["-c:v", "mpeg4", "-bf", "2", "-g", "25"], false),
        ] {
            let path = folder.path().join(name);
            let mut ffmpeg = std::process::Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=30000/1001:d=4"]).args(codec);
            assert!(ffmpeg.args(["-pix_fmt", "yuv420p"]).arg(&path).status().unwrap().success());
            let (all, entries) = ok(decoder.look(&path, &form));
            assert!(all.count(CHANNELS) >= 119 && entries.is_some() == has_entries, "{name}: {entries:?}");
            for numbers in [&[0][..], &[3, 4, 90], &[64, 66, 68], &[100, 101, 117], &[118]] {
                let expected: Vec<u8> =
                    numbers.iter().flat_map(|&number| all.frame(number, CHANNELS)).copied().collect();
                let chosen = ok(decoder.choose(&path, &form, entries.as_ref(), numbers));
                assert!(chosen.size == all.size && chosen.pixels == expected, "{name}: {numbers:?}");
                let Some(entries) = &entries else { continue };
                // Little was decoded that is not shown.
                if let Some(key) = entries.before(numbers[0]) {
                    let (frames, heard) = ok(decoder.choose_from(&path, &form, entries, key, numbers));
                    assert!(frames.pixels == expected && heard.decoded.unwrap() < 80, "{name}: {heard:?}");
                }
                // What has other times than it had is found from its start.
                let late = Entries { first: entries.first + 999.0, ..entries.clone() };
                assert!(ok(decoder.choose(&path, &form, Some(&late), numbers)).pixels == expected);
            }
        }
    }

    fn ok<T>(outcome: Result<T, Failure>) -> T {
        match outcome {
            Ok(value) => value,
            Err(Failure::Broken(words) | Failure::Passing(words)) => panic!("{words}"),
            Err(Failure::Fatal(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn entries_are_those_of_equal_times_only() {
        // Shown in another order than they lie, as with frames that need later ones.
        let packets = |times: &[i64]| times.iter().map(|&time| (time, time % 30 == 20)).collect::<Vec<_>>();
        let of = |times: &[i64], frames| Entries::of(&packets(times), frames, 0.01);
        let entries = of(&[20, 50, 30, 40, 80, 60, 70], 7).unwrap();
        assert_eq!(entries, Entries { keys: vec![3, 6], first: 0.2, step: 0.1 });
        assert_eq!(
            [0, 2, 3, 5, 6, 9].map(|number| entries.before(number)),
            [None, None, Some(3), Some(3), Some(6), Some(6)]
        );
        assert!((entries.time(4.0) - 0.6).abs() < 1e-12);
        // Rounded, as of 30 a second in thousandths.
        assert!(Entries::of(&[(0, true), (33, false), (67, true), (100, false)], 4, 0.001).is_some());
        // Unequal, twice the same, as many as there are not, and none but the first.
        assert_eq!(of(&[20, 30, 50, 60], 4), None);
        assert_eq!(of(&[20, 20, 20], 3), None);
        assert_eq!(of(&[20, 30, 40, 50], 5), None);
        assert_eq!(of(&[20, 30, 40], 3), None);
        assert_eq!(of(&[20], 1), None);
    }
}
