//! Where the blocks of a network stand: in rows, so that every link leads downwards (Sugiyama, Tagawa, Toda, 1981). A link over
//! several rows has a place of its own in each.

use super::blocks::Blocks;

/// A block, or a place where a link passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Item {
    /// The block; none where a link passes.
    pub(super) block: Option<usize>,
    pub(super) row: usize,
    /// Of its centre.
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Rows of items, and each link as the items that it passes.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) items: Vec<Item>,
    pub(super) rows: Vec<Vec<usize>>,
    pub(super) ways: Vec<Vec<usize>>,
}

const APART: f64 = 18.0;
const PASSING: f64 = 6.0;
/// Times that every row is put in order by its neighbours, and then moved towards them.
const SWEEPS: usize = 12;

impl Rows {
    pub(super) fn of(picture: &Blocks, width: impl Fn(usize) -> f64) -> Self {
        let mut rank = vec![0usize; picture.blocks.len()];
        for &[from, to] in &picture.links {
            rank[to] = rank[to].max(rank[from] + 1);
        }
        let block = |(block, &row): (usize, &usize)| Item { block: Some(block), row, x: 0.0, width: width(block) };
        let mut placed = Rows {
            items: rank.iter().enumerate().map(block).collect(),
            rows: vec![Vec::new(); rank.iter().max().map_or(0, |last| last + 1)],
            ways: Vec::new(),
        };
        for &[from, to] in &picture.links {
            let mut way = vec![from];
            for row in rank[from] + 1..rank[to] {
                way.push(placed.items.len());
                placed.items.push(Item { block: None, row, x: 0.0, width: PASSING });
            }
            way.push(to);
            placed.ways.push(way);
        }
        for (index, item) in placed.items.iter().enumerate() {
            placed.rows[item.row].push(index);
        }
        placed.order();
        placed.place();
        placed
    }

    /// For every item those that it is joined to in the row before and in the row behind.
    fn neighbours(&self) -> [Vec<Vec<usize>>; 2] {
        let mut all = [0; 2].map(|_| vec![Vec::new(); self.items.len()]);
        for pair in self.ways.iter().flat_map(|way| way.windows(2)) {
            all[0][pair[1]].push(pair[0]);
            all[1][pair[0]].push(pair[1]);
        }
        all
    }

    /// Orders every row by the mean place of its neighbours, down and up in turn.
    fn order(&mut self) {
        let neighbours = self.neighbours();
        let mut place = vec![0.0; self.items.len()];
        let number = |row: &[usize], place: &mut [f64]| {
            row.iter().enumerate().for_each(|(at, &item)| place[item] = at as f64 - row.len() as f64 / 2.0);
        };
        self.rows.iter().for_each(|row| number(row, &mut place));
        for sweep in 0..SWEEPS {
            let of = &neighbours[sweep % 2];
            let rows: Vec<usize> =
                if sweep % 2 == 0 { (0..self.rows.len()).collect() } else { (0..self.rows.len()).rev().collect() };
            for row in rows {
                let row = &mut self.rows[row];
                let wanted = |item: &usize| mean(&of[*item], |other| place[other]).unwrap_or(place[*item]);
                let mut keyed: Vec<(f64, usize)> = row.iter().map(|item| (wanted(item), *item)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                *row = keyed.into_iter().map(|(_, item)| item).collect();
                number(row, &mut place);
            }
        }
    }

    /// Moves every item as near to its neighbours as the others in its row allow.
    fn place(&mut self) {
        let neighbours = self.neighbours();
        for sweep in 0..SWEEPS {
            let of = &neighbours[sweep % 2];
            let down = sweep % 2 == 0;
            for at in 0..self.rows.len() {
                let row = &self.rows[if down { at } else { self.rows.len() - 1 - at }];
                let wanted = |&item: &usize| mean(&of[item], |other| self.items[other].x).unwrap_or(self.items[item].x);
                let apart = |pair: &[usize]| {
                    let [a, b] = [pair[0], pair[1]].map(|item| self.items[item]);
                    (a.width + b.width) / 2.0 + APART
                };
                let wanted: Vec<f64> = row.iter().map(wanted).collect();
                let apart: Vec<f64> = row.windows(2).map(apart).collect();
                for (&item, x) in row.clone().iter().zip(spread(&wanted, &apart)) {
                    self.items[item].x = x;
                }
            }
        }
    }
}

fn mean(of: &[usize], value: impl Fn(usize) -> f64) -> Option<f64> {
    (!of.is_empty()).then(|| of.iter().map(|&index| value(index)).sum::<f64>() / of.len() as f64)
}

/// The places nearest to those wanted, in squares, of which each is so far from the one before it: a monotone regression once
/// the distances are taken off.
fn spread(wanted: &[f64], apart: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = vec![0.0];
    for distance in apart {
        offset += distance;
        offsets.push(offset);
    }
    // Means of runs that would otherwise fall, with their lengths.
    let mut runs: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offsets) {
        let mut run = (wanted - offset, 1);
        while let Some(before) = runs.pop_if(|before| before.0 > run.0) {
            let count = before.1 + run.1;
            run = ((before.0 * before.1 as f64 + run.0 * run.1 as f64) / count as f64, count);
        }
        runs.push(run);
    }
    let levels = runs.into_iter().flat_map(|(level, count)| std::iter::repeat_n(level, count));
    levels.zip(offsets).map(|(level, offset)| level + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{NETWORKS, Named};

    #[test]
    fn places_are_spread_as_little_as_they_have_to_be() {
        assert_eq!(spread(&[0.0, 10.0, 20.0], &[5.0, 5.0]), [0.0, 10.0, 20.0]);
        assert_eq!(spread(&[0.0, 0.0], &[10.0]), [-5.0, 5.0]);
        assert_eq!(spread(&[4.0, 1.0, 100.0], &[1.0, 1.0]), [2.0, 3.0, 100.0]);
        assert_eq!(spread(&[], &[]), [0.0; 0]);
    }

    #[test]
    fn links_lead_downwards_and_nothing_overlaps() {
        for network in NETWORKS {
            let named = Named::find(network.name).unwrap();
            let picture = Blocks::of(&named.build(&named.usual()), named.usual().extent, "").unwrap();
            let placed = Rows::of(&picture, |block| 7.0 * picture.blocks[block].label.chars().count() as f64);
            for way in &placed.ways {
                assert!(way.windows(2).all(|pair| placed.items[pair[0]].row + 1 == placed.items[pair[1]].row));
            }
            for pair in placed.rows.iter().flat_map(|row| row.windows(2)) {
                let [a, b] = [pair[0], pair[1]].map(|item| placed.items[item]);
                assert!(b.x - a.x > (a.width + b.width) / 2.0, "{}: {a:?} and {b:?}", network.name);
            }
        }
    }
}
