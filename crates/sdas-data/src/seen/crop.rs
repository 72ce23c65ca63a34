//! Which part of a frame the network sees: by chance in training, by a fixed table in testing.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::random::{Stream, below, unit};

/// How often a random resized crop is drawn before the centre is taken.
const TRIES: usize = 10;

/// Which part of a sample is scaled to what the network sees in training; the same for all its
/// frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Cropping {
    /// The largest part in the middle that has the proportions of what the network sees; all of a
    /// sample that has them already.
    Centre {},
    /// Multi-scale corner crops (Wang et al. 2016, arXiv:1608.00859): height and width are those of
    /// the largest such part, each times one of the scales, at most one place apart in the list;
    /// the part lies in one of the four corners or in the middle.
    Corners {
        /// In (0, 1], in descending order.
        #[serde(default = "Cropping::default_scales")]
        scales: Vec<f64>,
    },
    /// A part of random area and proportions at a random place (Szegedy et al. 2015,
    /// arXiv:1409.4842): the area uniform and the logarithm of the proportions too, as torchvision has
    /// it; drawn again up to ten times if it does not fit, then the largest in the middle.
    RandomResized {
        /// The least and the largest share of the sample's area, in (0, 1].
        #[serde(default = "Cropping::default_area")]
        area: [f64; 2],
        /// The least and the largest width to height, relative to that of what the network sees.
        #[serde(default = "Cropping::default_aspect")]
        aspect: [f64; 2],
    },
}

impl Default for Cropping {
    fn default() -> Self {
        Cropping::Centre {}
    }
}

/// What is looked at of every sample in testing; what the network says of each is to be averaged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// Clips, evenly spaced, at least 1.
    pub clips: usize,
    /// Crops of each. 1: in the middle. 3: start, middle and end along the side with more room. 5:
    /// corners (top left, top right, bottom left, bottom right) and middle. 10: those, then those
    /// mirrored.
    pub crops: usize,
    /// Height and width of a crop as a share of the largest one's, in (0, 1].
    pub scale: f64,
}

impl Default for Views {
    /// All of a sample, once.
    fn default() -> Self {
        Self { clips: 1, crops: 1, scale: 1.0 }
    }
}

/// A part of a frame, in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window {
    /// Top, left.
    pub(crate) corner: [usize; 2],
    /// Height, width.
    pub(crate) size: [usize; 2],
}

impl Cropping {
    fn default_scales() -> Vec<f64> {
        vec![1.0, 0.875, 0.75, 0.66]
    }

    fn default_area() -> [f64; 2] {
        [0.08, 1.0]
    }

    fn default_aspect() -> [f64; 2] {
        [3.0 / 4.0, 4.0 / 3.0]
    }

    /// Whether its numbers are possible.
    ///
    /// # Errors
    /// [`DataError::Setting`].
    pub fn check(&self) -> Result<(), DataError> {
        match self {
            Cropping::Centre {} => {}
            Cropping::Corners { scales } => {
                if scales.is_empty() || !scales.iter().copied().all(is_share) || !scales.is_sorted_by(|a, b| a > b) {
                    return Err(DataError::setting(
                        "cropping.scales",
                        format!("{scales:?}"),
                        "numbers in (0, 1], descending",
                    ));
                }
            }
            Cropping::RandomResized { area, aspect } => {
                if !area.iter().copied().all(is_share) || area[0] > area[1] {
                    return Err(DataError::setting(
                        "cropping.area",
                        format!("{area:?}"),
                        "two numbers in (0, 1], ascending",
                    ));
                }
                if !(aspect[0] > 0.0 && aspect[0] <= aspect[1] && aspect[1].is_finite()) {
                    return Err(DataError::setting(
                        "cropping.aspect",
                        format!("{aspect:?}"),
                        "two numbers above 0, ascending",
                    ));
                }
            }
        }
        Ok(())
    }

    /// A part of a frame of this `size`, by chance, to be scaled to the size `seen`.
    pub(crate) fn at_random(&self, size: [usize; 2], seen: [usize; 2], rng: &mut Stream) -> Window {
        let largest = largest(size, seen);
        match self {
            Cropping::Centre {} => centred(size, largest),
            Cropping::Corners { scales } => {
                let near = |i: usize| (0..scales.len()).filter(move |&j| i.abs_diff(j) <= 1).map(move |j| [i, j]);
                let pairs: Vec<_> = (0..scales.len()).flat_map(near).collect();
                let pair = pairs[below(rng, pairs.len())];
                let part = [0, 1].map(|side| scaled(largest[side], scales[pair[side]]));
                let corner = corners(size, part)[below(rng, 5)];
                Window { corner, size: part }
            }
            Cropping::RandomResized { area, aspect } => {
                for _ in 0..TRIES {
                    let pixels = between(rng, *area) * (size[0] * size[1]) as f64;
                    let ratio = libm::exp(between(rng, aspect.map(libm::log))) * seen[1] as f64 / seen[0] as f64;
                    let part = [pixels / ratio, pixels * ratio].map(|square| square.sqrt().round() as usize);
                    if (0..2).all(|side| (1..=size[side]).contains(&part[side])) {
                        let corner = [0, 1].map(|side| below(rng, size[side] - part[side] + 1));
                        return Window { corner, size: part };
                    }
                }
                centred(size, largest)
            }
        }
    }
}

impl Views {
    /// How many there are of a sample.
    pub fn count(&self) -> usize {
        self.clips * self.crops
    }

    /// Whether its numbers are possible.
    ///
    /// # Errors
    /// [`DataError::Setting`].
    pub fn check(&self) -> Result<(), DataError> {
        if self.clips == 0 {
            return Err(DataError::setting("eval.clips", self.clips, "a number of at least 1"));
        }
        if ![1, 3, 5, 10].contains(&self.crops) {
            return Err(DataError::setting("eval.crops", self.crops, "1, 3, 5 or 10"));
        }
        if !is_share(self.scale) {
            return Err(DataError::setting("eval.scale", self.scale, "a number in (0, 1]"));
        }
        Ok(())
    }

    /// Crop number `crop` of a frame of this `size`, to be scaled to the size `seen`, and whether it
    /// is then mirrored.
    pub(crate) fn window(&self, crop: usize, size: [usize; 2], seen: [usize; 2]) -> (Window, bool) {
        let part = largest(size, seen).map(|side| scaled(side, self.scale));
        let [below, right] = [size[0] - part[0], size[1] - part[1]];
        let corner = match self.crops {
            1 => centred(size, part).corner,
            3 if right >= below => [below / 2, crop * right / 2],
            3 => [crop * below / 2, right / 2],
            _ => corners(size, part)[crop % 5],
        };
        (Window { corner, size: part }, crop >= 5)
    }
}

fn is_share(number: f64) -> bool {
    number > 0.0 && number <= 1.0
}

/// The largest height and width within `size` that have the proportions of `seen`.
fn largest(size: [usize; 2], seen: [usize; 2]) -> [usize; 2] {
    // To the nearest pixel, at least one.
    let fit = |side: usize, to: usize, from: usize| ((2 * side * to + from) / (2 * from)).max(1);
    if size[0] * seen[1] <= size[1] * seen[0] {
        [size[0], fit(size[0], seen[1], seen[0]).min(size[1])]
    } else {
        [fit(size[1], seen[0], seen[1]).min(size[0]), size[1]]
    }
}

fn scaled(side: usize, scale: f64) -> usize {
    ((side as f64 * scale).round() as usize).max(1)
}

fn centred(size: [usize; 2], part: [usize; 2]) -> Window {
    Window { corner: [0, 1].map(|side| (size[side] - part[side]) / 2), size: part }
}

/// Top left, top right, bottom left, bottom right, middle.
fn corners(size: [usize; 2], part: [usize; 2]) -> [[usize; 2]; 5] {
    let [bottom, right] = [size[0] - part[0], size[1] - part[1]];
    [[0, 0], [0, right], [bottom, 0], [bottom, right], [bottom / 2, right / 2]]
}

fn between(rng: &mut Stream, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * f64::from(unit(rng))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::stream;

    fn chances(cropping: &Cropping, size: [usize; 2], seen: [usize; 2]) -> BTreeSet<Window> {
        (0..2000).map(|i| cropping.at_random(size, seen, &mut stream(0, "test", [i, 0]))).collect()
    }

    #[test]
    fn the_largest_part_has_the_proportions_of_what_is_seen() {
        for (size, seen, expected) in [
            ([80, 107], [64, 64], [80, 80]),
            ([107, 80], [64, 64], [80, 80]),
            ([7, 7], [64, 64], [7, 7]),
            ([5, 9], [5, 9], [5, 9]),
            ([10, 10], [2, 3], [7, 10]),
            ([10, 10], [3, 2], [10, 7]),
            ([1, 1], [1, 9], [1, 1]),
            ([3, 1], [9, 1], [3, 1]),
        ] {
            assert_eq!(largest(size, seen), expected, "{size:?} {seen:?}");
            let window = Window { corner: [0, 1].map(|side| (size[side] - expected[side]) / 2), size: expected };
            assert_eq!(chances(&Cropping::Centre {}, size, seen), BTreeSet::from([window]));
        }
    }

    #[test]
    fn corner_crops_by_hand() {
        // 8 and 4 of 8×11, in all four pairs, each at five places, of which two pairs' coincide in
        // part: of height 8 the top is the bottom.
        let half = Cropping::Corners { scales: vec![1.0, 0.5] };
        let window = |top, left, height, width| Window { corner: [top, left], size: [height, width] };
        let mut expected = BTreeSet::new();
        for (height, width, tops, lefts) in [
            (8, 8, [0, 0, 0], [0, 1, 3]),
            (8, 4, [0, 0, 0], [0, 3, 7]),
            (4, 8, [0, 2, 4], [0, 1, 3]),
            (4, 4, [0, 2, 4], [0, 3, 7]),
        ] {
            for (top, left) in [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)] {
                expected.insert(window(tops[top], lefts[left], height, width));
            }
        }
        assert_eq!(chances(&half, [8, 11], [6, 6]), expected);
    }

    #[test]
    fn scales_of_corner_crops_are_at_most_one_place_apart() {
        let corners = Cropping::Corners { scales: Cropping::default_scales() };
        let sizes: BTreeSet<_> = chances(&corners, [256, 340], [224, 224]).iter().map(|window| window.size).collect();
        let sides = [256, 224, 192, 169];
        let expected =
            (0..4usize).flat_map(|i| (0..4).filter(move |&j| i.abs_diff(j) < 2).map(move |j| [sides[i], sides[j]]));
        assert_eq!(sizes, expected.collect());
    }

    #[test]
    fn random_resized_crops_keep_their_promises() {
        let (area, aspect) = ([0.2, 0.9], [0.5, 2.0]);
        let resized = Cropping::RandomResized { area, aspect };
        let windows = chances(&resized, [90, 120], [64, 64]);
        assert!(windows.len() > 1900);
        let (mut areas, mut lefts) = (vec![], BTreeSet::new());
        for Window { corner, size } in windows {
            assert!(corner[0] + size[0] <= 90 && corner[1] + size[1] <= 120);
            let share = (size[0] * size[1]) as f64 / 10800.0;
            let ratio = size[1] as f64 / size[0] as f64;
            assert!((0.19..0.91).contains(&share) && (0.48..2.1).contains(&ratio), "{share} {ratio}");
            areas.push(share);
            lefts.insert(corner[1]);
        }
        assert!(areas.iter().any(|&area| area < 0.22) && areas.iter().any(|&area| area > 0.8));
        assert!(lefts.len() > 60);
        // Wide and high are equally likely, and so are twice and half as wide.
        let even = Cropping::RandomResized { area: [0.1, 0.1], aspect: [0.25, 4.0] };
        let wide = |least: f64| {
            let of = |i| even.at_random([400, 400], [8, 8], &mut stream(0, "test", [i, 0])).size;
            (0..2000).map(of).filter(|size| size[1] as f64 > least * size[0] as f64).count()
        };
        assert!((900..1100).contains(&wide(1.0)) && (400..600).contains(&wide(2.0)), "{} {}", wide(1.0), wide(2.0));
        // What never fits is the middle: half the area, but thirty times as wide as high.
        let never = Cropping::RandomResized { area: [0.5, 0.5], aspect: [30.0, 30.0] };
        let middle = Window { corner: [0, 15], size: [90, 90] };
        assert_eq!(chances(&never, [90, 120], [8, 8]), BTreeSet::from([middle]));
        // All of it, in the proportions of what is seen.
        let all = Cropping::RandomResized { area: [1.0, 1.0], aspect: [1.0, 1.0] };
        assert_eq!(chances(&all, [3, 5], [3, 5]), BTreeSet::from([Window { corner: [0, 0], size: [3, 5] }]));
    }

    #[test]
    fn views_by_hand() {
        let windows = |crops, scale, size| {
            let views = Views { clips: 1, crops, scale };
            (0..crops).map(move |crop| views.window(crop, size, [8, 8]))
        };
        let corners = |crops, scale, size| windows(crops, scale, size).map(|(window, _)| window.corner);
        assert!(windows(1, 1.0, [9, 14]).eq([(Window { corner: [0, 2], size: [9, 9] }, false)]));
        assert!(corners(3, 1.0, [9, 14]).eq([[0, 0], [0, 2], [0, 5]]));
        assert!(corners(3, 1.0, [14, 9]).eq([[0, 0], [2, 0], [5, 0]]));
        // A third of 9 is 3, which leaves 6 rows and 11 columns.
        let third = 1.0 / 3.0;
        assert!(corners(3, third, [9, 14]).eq([[3, 0], [3, 5], [3, 11]]));
        let five = [[0, 0], [0, 11], [6, 0], [6, 11], [3, 5]];
        assert!(corners(5, third, [9, 14]).eq(five));
        assert!(corners(10, third, [9, 14]).eq(five.into_iter().chain(five)));
        let mirrored = |crops| windows(crops, 1.0, [9, 14]).filter(|&(_, mirrored)| mirrored).count();
        assert_eq!([1, 3, 5, 10].map(mirrored), [0, 0, 0, 5]);
    }

    #[test]
    fn impossible_numbers_are_named() {
        let names = |result: Result<(), DataError>, key: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains("remedy: "), "{error}");
        };
        for scales in [vec![], vec![0.0], vec![1.1], vec![0.5, 0.9], vec![f64::NAN]] {
            names(Cropping::Corners { scales }.check(), "cropping.scales");
        }
        let resized = |area, aspect| Cropping::RandomResized { area, aspect }.check();
        names(resized([0.0, 1.0], [1.0, 1.0]), "cropping.area");
        names(resized([0.5, 0.4], [1.0, 1.0]), "cropping.area");
        names(resized([0.5, 1.0], [2.0, 1.0]), "cropping.aspect");
        names(resized([0.5, 1.0], [0.0, 1.0]), "cropping.aspect");
        names(Views { clips: 0, ..Views::default() }.check(), "eval.clips");
        names(Views { crops: 2, ..Views::default() }.check(), "eval.crops");
        names(Views { scale: 1.5, ..Views::default() }.check(), "eval.scale");
        for cropping in ["centre", "corners", "random_resized"] {
            let cropping: Cropping = serde_json::from_str(&format!(r#"{{"kind": "{cropping}"}}"#)).unwrap();
            cropping.check().unwrap();
        }
        Views::default().check().unwrap();
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in [r#"{"kind": "centre", "scales": [1]}"#, r#"{"kind": "corners", "area": [0.5, 1]}"#] {
            assert!(serde_json::from_str::<Cropping>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Views>(r#"{"crop": 3}"#).is_err());
    }
}
