//! The median of the square around every pixel, by networks of minima and maxima that work on many pixels at once.
//!
//! The columns of a square are sorted, then the rows of what results: many numbers are then below or above too many others
//! to be the median. Of 25, 13 are left.

/// Writes the median of the `SIDE` × `SIDE` (3 or 5) numbers around every number of a row to `out`. `rows` are the rows
/// around it, each with `SIDE` / 2 numbers more than `out` at either end.
#[inline(always)]
pub(super) fn row<const SIDE: usize>(rows: [&[f32]; SIDE], out: &mut [f32]) {
    let width = out.len();
    let shifted: [[&[f32]; SIDE]; SIDE] = std::array::from_fn(|x| std::array::from_fn(|y| &rows[y][x..][..width]));
    for x in 0..width {
        out[x] = of(shifted.map(|column| column.map(|row| row[x])));
    }
}

/// The median of a square's columns.
#[inline(always)]
fn of<const SIDE: usize>(mut square: [[f32; SIDE]; SIDE]) -> f32 {
    square.iter_mut().for_each(sort);
    let mut square: [[f32; SIDE]; SIDE] = std::array::from_fn(|y| std::array::from_fn(|x| square[x][y]));
    square.iter_mut().for_each(sort);
    if SIDE == 3 {
        return middle_of([square[0][2], square[1][1], square[2][0]]);
    }
    // In row a and column b, from 1, a number is at least as large as a·b − 1 others and at most as large as (6 − a) ·
    // (6 − b) − 1; it is left out if either is more than 12.
    let [s0, s1, s2, s3, s4] = std::array::from_fn(|y| square[y]);
    // Of eight out of 13 neither the least nor the greatest is the median; another number takes their place, and so on.
    let [_, a, b, c, d, e, f, _] = ends_apart([s0[3], s0[4], s1[2], s1[3], s1[4], s2[1], s2[2], s2[3]]);
    let [_, a, b, c, d, e, _] = ends_apart([a, b, c, d, e, f, s3[0]]);
    let [_, a, b, c, d, _] = ends_apart([a, b, c, d, e, s3[1]]);
    let [_, a, b, c, _] = ends_apart([a, b, c, d, s3[2]]);
    let [_, a, b, _] = ends_apart([a, b, c, s4[0]]);
    middle_of([a, b, s4[1]])
}

/// The least first, the greatest last, the others somewhere between.
#[inline(always)]
fn ends_apart<const COUNT: usize>(mut values: [f32; COUNT]) -> [f32; COUNT] {
    for i in 1..COUNT {
        exchange(&mut values, 0, i);
    }
    for i in 1..COUNT - 1 {
        exchange(&mut values, i, COUNT - 1);
    }
    values
}

#[inline(always)]
fn middle_of(three: [f32; 3]) -> f32 {
    ends_apart(three)[1]
}

/// Sorts 3 or 5 numbers.
#[inline(always)]
fn sort<const COUNT: usize>(values: &mut [f32; COUNT]) {
    const OF_3: [[usize; 2]; 3] = [[0, 1], [1, 2], [0, 1]];
    const OF_5: [[usize; 2]; 9] = [[0, 3], [1, 4], [0, 2], [1, 3], [0, 1], [2, 4], [1, 2], [3, 4], [2, 3]];
    let network: &[[usize; 2]] = if COUNT == 3 { &OF_3 } else { &OF_5 };
    for &[low, high] in network {
        exchange(values, low, high);
    }
}

/// Puts the smaller of two numbers first. Not by `f32::min` and `max`, whose care for NaN costs three instructions instead
/// of one.
#[inline(always)]
fn exchange<const COUNT: usize>(values: &mut [f32; COUNT], low: usize, high: usize) {
    let (a, b) = (values[low], values[high]);
    values[low] = if a < b { a } else { b };
    values[high] = if a > b { a } else { b };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn medians_are_those_of_sorting(width in 1usize..20, numbers in prop::collection::vec(-9i8..9, 5 * 23)) {
            let pixels: Vec<_> = numbers.iter().map(|&number| f32::from(number)).collect();
            let check = |side: usize, out: &[f32]| {
                for (x, &median) in out.iter().enumerate() {
                    let mut square: Vec<_> =
                        pixels.chunks(23).take(side).flat_map(|row| row[x..][..side].to_vec()).collect();
                    square.sort_by(f32::total_cmp);
                    assert_eq!(median, square[square.len() / 2]);
                }
            };
            let rows: [&[f32]; 5] = std::array::from_fn(|y| &pixels[y * 23..][..23]);
            let mut out = vec![0.0; width];
            row::<5>(rows, &mut out);
            check(5, &out);
            row::<3>([rows[0], rows[1], rows[2]], &mut out);
            check(3, &out);
        }
    }

    #[test]
    fn every_arrangement_of_zeros_and_ones_is_right() {
        // By the 0–1 principle this proves the network: all squares of zeros and ones, up to the order in a column.
        for code in 0..6usize.pow(5) {
            let ones: [usize; 5] = std::array::from_fn(|i| code / 6usize.pow(i as u32) % 6);
            let square = ones.map(|ones| std::array::from_fn(|y| f32::from(u8::from(y < ones))));
            let expected = f32::from(u8::from(ones.iter().sum::<usize>() > 12));
            assert_eq!(of::<5>(square), expected, "{ones:?}");
        }
    }
}
