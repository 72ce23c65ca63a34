//! The rows of a phase that its way back works on.

use super::super::nodes::Node;
use super::super::table::{NONE, Rows, UNITS, entry, kind, node, piece, sum, term};
use super::{Brought, Builder, Launch, Noise, PhaseLink, Placed, int, option, pool_key, range, share, take};
use crate::fused::Body;

impl Builder<'_> {
    /// The rows of terms, of the nodes that they are summed into, and of the operations that they belong to.
    pub(super) fn terms(&mut self) {
        let (pixels, channels) = (self.phase.pixels, self.phase.channels);
        let terms = self.links.iter().map(|link| link.plan.terms.len()).sum();
        let range = range(pixels, UNITS / channels, share(terms));
        let parts = pixels.div_ceil(range);
        let first = self.phase.table.rows();
        let mut owners = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            for of in &link.plan.terms {
                let unit = of.unit.map(|unit| (self.placed[index][unit], &link.plan.units[unit]));
                // The norms of units that are read by others have their sums from there.
                let outer = unit.filter(|(_, unit)| unit.gradient.is_none());
                let scale = outer.and_then(|(_, unit)| unit.scale);
                let batch = self.frame.batch && outer.is_some_and(|(_, unit)| unit.statistics.is_some());
                let own = [
                    (term::RESULT, option(unit.map(|(placed, _)| placed.result))),
                    (term::NORMAL, option(unit.map(|(placed, _)| placed.normal))),
                    (term::BACK, option(outer.map(|(placed, _)| placed.normal))),
                    (term::BATCH, i32::from(batch)),
                    (term::AFFINE, option(scale.map(|scale| self.lanes(link.weights + scale)))),
                ];
                owners.push((index, of.operation, of.unit, self.term(link, of.operation, range, &own)));
            }
            if let Some(Noise { operation, index: brought }) = link.noise {
                let result = take(&mut self.phase.results, pixels * channels);
                self.phase.noises.push(Brought { index: brought, result });
                let own = [(term::RESULT, int(result)), (term::BATCH, 0)];
                owners.push((index, operation, None, self.term(link, operation, range, &own)));
            }
        }
        self.phase.terms = Launch { rows: self.phase.table.since(first), cubes: parts, ..Launch::default() };
        self.node_rows(&owners);
        let first = self.phase.table.rows();
        for (index, link) in self.links.iter().enumerate() {
            for operation in 0..link.plan.operations {
                let mut own = owners.iter().filter(|owner| (owner.0, owner.1) == (index, operation));
                let row = own.next().map(|owner| owner.3);
                if row.is_none() && link.mixed.is_none() {
                    continue;
                }
                let count = own.count() + usize::from(row.is_some());
                let fields = [
                    (entry::FIRST, int(row.unwrap_or(0))),
                    (entry::COUNT, int(count)),
                    (entry::GRADIENT, self.mix(link, operation)),
                ];
                self.phase.table.add(&fields);
            }
        }
        self.phase.operations = self.phase.table.since(first);
        self.pool_rows(&owners);
    }

    /// A term's row, for the sums that cubes of `range` pixels take.
    fn term(&mut self, link: &PhaseLink, operation: usize, range: usize, own: &[(usize, i32)]) -> usize {
        let (pixels, channels) = (self.phase.pixels, self.phase.channels);
        let partial = take(&mut self.phase.back_partial, pixels.div_ceil(range) * 2 * channels);
        let fields = [
            (term::MIX, self.mix(link, operation)),
            (term::FACTORS, self.factors(link)),
            (term::GRADIENT, int(link.node.start)),
            (term::PITCH, int(link.node.pitch)),
            (term::PIXELS, int(pixels)),
            (term::RANGE, int(range)),
            (term::PARTIAL, int(partial)),
        ];
        self.phase.table.add(&[&fields[..], own].concat())
    }

    fn node_rows(&mut self, owners: &[(usize, usize, Option<usize>, usize)]) {
        let first = self.phase.table.rows();
        let mut nodes: Vec<Node> = self.links.iter().map(|link| link.node).collect();
        nodes.dedup();
        for node in nodes {
            let own = owners.iter().filter(|owner| self.links[owner.0].node == node);
            let rows: Vec<usize> = own.map(|owner| owner.3).collect();
            self.phase.table.add(&[
                (node::FIRST, option(rows.first().copied())),
                (node::COUNT, int(rows.len())),
                (node::OUTPUT, int(node.start)),
                (node::PITCH, int(node.pitch)),
                (node::BEGUN, i32::from(node.begun)),
            ]);
        }
        self.phase.nodes = self.phase.table.since(first);
    }

    /// The rows of pools on the way back: the terms that their results are.
    fn pool_rows(&mut self, owners: &[(usize, usize, Option<usize>, usize)]) {
        let mut pools: Vec<((usize, usize), Vec<usize>)> = Vec::new();
        for &(index, _, unit, row) in owners {
            let key = unit.and_then(|unit| pool_key(&self.links[index].plan.units[unit]));
            let Some(owner) = key.map(|key| self.pools[&key]) else { continue };
            match pools.iter_mut().find(|(known, _)| *known == owner) {
                Some((_, rows)) => rows.push(row),
                None => pools.push((owner, vec![row])),
            }
        }
        let copied: Vec<_> = pools
            .into_iter()
            .map(|((index, unit), rows)| {
                let first = self.phase.table.rows();
                for row in rows {
                    self.phase.table.repeat(row);
                }
                (int(self.placed[index][unit].result), self.phase.table.since(first))
            })
            .collect();
        let first = self.phase.table.rows();
        let pieces = self.phase.pools.rows.first..self.phase.pools.rows.first + self.phase.pools.rows.count;
        for (result, terms) in copied {
            let is_own = |row: &usize| self.phase.table.get(*row, piece::RESULT) == result;
            self.phase.table.add(&[
                (node::FIRST, int(terms.first)),
                (node::COUNT, int(terms.count)),
                (node::OUTPUT, result),
                (node::PIECE, int(pieces.clone().find(is_own).expect("a pool has a row"))),
            ]);
        }
        self.phase.pool_backs = self.phase.table.since(first);
    }

    /// The rows of units that others read, by the level of their readers.
    pub(super) fn inners(&mut self) {
        self.phase.inners = vec![Launch::default(); self.phase.stages.len()];
        self.phase.inner_operations = vec![Rows::default(); self.phase.stages.len()];
        for level in 1..self.phase.stages.len() {
            let first = self.phase.table.rows();
            let mut launch = Launch::default();
            let mut terms = Vec::new();
            let mut reader = self.phase.stages[level].rows.first;
            for (index, link) in self.links.iter().enumerate() {
                for (_, unit) in link.plan.level(level).filter(|(_, unit)| matches!(unit.body, Body::Product(_))) {
                    let source = unit.source.expect("a unit above the first level reads another");
                    let (of, placed) = (&link.plan.units[source], self.placed[index][source]);
                    let pixels = self.pixels(of);
                    let cubes = pixels.div_ceil(placed.range);
                    let partial = take(&mut self.phase.back_partial, cubes * 2 * self.phase.channels);
                    let row = self.phase.table.repeat(reader);
                    reader += 1;
                    let own = link.plan.operation_of(source);
                    let inner = self.inner_of(placed);
                    for (at, value) in [
                        (piece::PIXELS, int(pixels)),
                        (piece::RANGE, int(placed.range)),
                        (piece::PARTIAL, int(partial)),
                        (piece::INNER, inner),
                        // A unit may also be a term itself.
                        (piece::GRADIENT, own.map_or(NONE, |_| int(link.node.start))),
                        (piece::MIX, own.map_or(NONE, |operation| self.mix(link, operation))),
                        (piece::FACTORS, own.map_or(NONE, |_| self.factors(link))),
                    ] {
                        self.phase.table.set(row, at, value);
                    }
                    launch.cubes = launch.cubes.max(cubes);
                    terms.push([
                        (term::NORMAL, int(placed.normal)),
                        (term::PIXELS, int(pixels)),
                        (term::RANGE, int(placed.range)),
                        (term::PARTIAL, int(partial)),
                        (term::BACK, int(placed.normal)),
                        (term::BATCH, i32::from(self.frame.batch && of.statistics.is_some())),
                        (term::AFFINE, option(of.scale.map(|scale| self.lanes(link.weights + scale)))),
                    ]);
                }
            }
            launch.rows = self.phase.table.since(first);
            self.phase.inners[level] = launch;
            let rows: Vec<usize> = terms.iter().map(|term| self.phase.table.add(term)).collect();
            let first = self.phase.table.rows();
            for row in rows {
                self.phase.table.add(&[(entry::FIRST, int(row)), (entry::COUNT, 1)]);
            }
            self.phase.inner_operations[level] = self.phase.table.since(first);
        }
    }

    /// Where the gradient of a unit's normed result is, as its own row says.
    fn inner_of(&self, placed: Placed) -> i32 {
        let rows =
            self.phase.stages.iter().map(|launch| launch.rows).flat_map(|rows| rows.first..rows.first + rows.count);
        let own = |row: &usize| self.phase.table.get(*row, piece::RESULT) == int(placed.result);
        let row = rows.into_iter().find(own).expect("a unit that is read is a stage");
        self.phase.table.get(row, piece::INNER)
    }

    /// The rows of the sums of weights' gradients.
    pub(super) fn sums(&mut self) {
        let pieces: Vec<usize> = self
            .phase
            .stages
            .iter()
            .chain(&self.phase.denses)
            .map(|launch| launch.rows)
            .flat_map(|rows| rows.first..rows.first + rows.count)
            .collect();
        let first = self.phase.table.rows();
        for row in pieces {
            let get = |place: usize| self.phase.table.get(row, place) as usize;
            let kernel: usize = (6..9).map(|axis| get(piece::WINDOW + axis)).product();
            let is_stage = self.phase.table.get(row, piece::KIND) == kind::DEPTHWISE;
            let (inputs, outputs) = (get(piece::INPUTS), get(piece::OUTPUTS));
            let parts = get(piece::PIXELS).div_ceil(get(piece::SUMS_RANGE));
            let length = if is_stage { inputs } else { inputs * kernel } * self.frame.lanes * outputs;
            let mut sums = vec![(get(piece::MATRIX_SUMS), length, get(piece::MATRIX))];
            if is_stage {
                sums.push((get(piece::DEPTHWISE_SUMS), kernel * outputs, get(piece::DEPTHWISE)));
            }
            for (partial, length, to) in sums {
                self.phase.longest = self.phase.longest.max(length);
                self.phase.table.add(&[
                    (sum::PARTIAL, int(partial)),
                    (sum::PARTS, int(parts)),
                    (sum::LENGTH, int(length)),
                    (sum::TO, int(to)),
                ]);
            }
        }
        self.phase.sums = self.phase.table.since(first);
    }
}
