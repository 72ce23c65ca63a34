//! What searches would have come to if they had ended before: the truth over the share of each that is done.

use crate::compare::statistics::Spread;
use crate::table::Distribution;

/// Shares that trajectories are drawn at: every hundredth.
const STEPS: usize = 100;

/// The true accuracy of the cell that a search would have come to, at every hundredth of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course(Vec<Option<f64>>);

/// A method's courses.
pub(in crate::compare) struct Band {
    /// The method.
    pub(in crate::compare) method: String,
    /// Courses behind it.
    pub(in crate::compare) n: usize,
    /// Share of the search, and the lower end, the middle and the upper end there.
    pub(in crate::compare) points: Vec<[f64; 4]>,
}

impl Course {
    /// Of points (share of the search in (0, 1], accuracy) in their order: each holds until the next.
    pub(super) fn of(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut course = vec![None; STEPS + 1];
        let mut points = points.into_iter().peekable();
        let mut now = None;
        for (step, at) in course.iter_mut().enumerate() {
            // Shares are quotients: the last bit of one must not move it behind its step.
            let share = step as f64 / STEPS as f64 + 1e-9;
            while let Some((_, accuracy)) = points.next_if(|point| point.0 <= share) {
                now = Some(accuracy);
            }
            *at = now;
        }
        Course(course)
    }
}

impl Band {
    /// The mean of all courses and a standard deviation to either side, from where all of them have a cell; `None` of none.
    pub(super) fn of(method: &str, courses: &[&Course]) -> Option<Self> {
        let at = |step: usize| -> Option<[f64; 4]> {
            let values: Option<Vec<f64>> = courses.iter().map(|course| course.0[step]).collect();
            let Spread { mean, deviation, .. } = Spread::of(&values?)?;
            let deviation = deviation.unwrap_or(0.0);
            Some([step as f64 / STEPS as f64, mean - deviation, mean, mean + deviation])
        };
        let points: Vec<_> = (0..=STEPS).filter_map(at).collect();
        (!points.is_empty()).then(|| Band { method: method.to_owned(), n: courses.len(), points })
    }

    /// A cell drawn by chance: the mean, and the middle half of all cells.
    pub(super) fn of_chance(method: &str, table: &Distribution) -> Self {
        let [_, low, _, high, _] = table.quantiles;
        let points = vec![[0.0, low, table.mean, high], [1.0, low, table.mean, high]];
        Band { method: method.to_owned(), n: table.cells, points }
    }
}

/// A row a method and share.
pub(super) fn to_csv(bands: &[Band]) -> String {
    let mut text = "method,n,share,low,accuracy,high\n".to_owned();
    for Band { method, n, points } in bands {
        for [share, low, middle, high] in points {
            text += &format!("{method},{n},{share},{low},{middle},{high}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_until_the_next() {
        // Three epochs: nothing before the first has ended.
        let course = Course::of((1..=3).map(|epoch| (f64::from(epoch) / 3.0, 10.0 * f64::from(epoch))));
        let at = |step: usize| course.0[step];
        assert_eq!(
            [0, 33, 34, 66, 67, 99, 100].map(at),
            [None, None, Some(10.0), Some(10.0), Some(20.0), Some(20.0), Some(30.0)]
        );
        // More questions than steps, and a share that no binary fraction has exactly.
        let many = Course::of((1..=1000).map(|count| (f64::from(count) / 1000.0, f64::from(count))));
        assert_eq!(
            [0, 1, 7, 29, 100].map(|step| many.0[step]),
            [None, Some(10.0), Some(70.0), Some(290.0), Some(1000.0)]
        );
    }

    #[test]
    fn a_band_is_mean_and_deviation_where_all_courses_are() {
        let one = Course::of([(0.5, 60.0), (1.0, 90.0)]);
        let other = Course::of([(0.9, 80.0), (1.0, 94.0)]);
        let band = Band::of("sdas", &[&one, &other]).unwrap();
        assert_eq!((band.points.len(), band.points[0][0]), (11, 0.9));
        // s of 60 and 80 is 14.142, of 90 and 94 it is 2.828.
        let close = |point: [f64; 4], expected: [f64; 4]| {
            assert!(point.iter().zip(expected).all(|(own, other)| (own - other).abs() < 1e-3), "{point:?}");
        };
        close(band.points[0], [0.9, 55.858, 70.0, 84.142]);
        close(band.points[10], [1.0, 89.172, 92.0, 94.828]);
        assert!(Band::of("none", &[]).is_none());
        let csv = to_csv(&[band]);
        assert_eq!(csv.lines().count(), 12);
        assert!(csv.starts_with("method,n,share,low,accuracy,high\nsdas,2,0.9,55.8"), "{csv}");
    }
}
