//! How a search's cells grew: a stop after every decision and every epoch, with what each edge mixed then.

use super::html::{absent, details, escape, json, table};
use crate::draw::{self, CellPicture, EdgePicture, Picture, growing, state_name};
use crate::recipe::Recipe;
use crate::run::CellRecord;
use crate::schedule::{Candidate, Decision, Unit};
use crate::space::{Candidates, CellKind, Operation};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Of a decision's candidates, those that are shown.
const SHOWN: usize = 14;

/// Letters of a label: an operation's name, and its share in percent.
const LETTERS: usize = 17;

/// A search's course, as the page's script takes it.
#[derive(Debug, Serialize)]
pub(super) struct Growth {
    /// By kind of cell and edge, the candidates: name, and what they look at.
    operations: Vec<Vec<Vec<[&'static str; 2]>>>,
    stops: Vec<Stop>,
    #[serde(skip)]
    candidates: Candidates,
    #[serde(skip)]
    has_mixes: bool,
}

/// A moment of the search.
#[derive(Debug, Serialize)]
struct Stop {
    /// What it is called.
    name: String,
    /// Whether it is a decision.
    decided: bool,
    /// Steps done then.
    #[serde(skip)]
    step: usize,
    /// The epoch that it fell in.
    #[serde(skip)]
    epoch: usize,
    /// Of a decision, why it was taken: HTML.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// The edges that it is of: kind of cell, edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<[usize; 2]>,
    /// By kind of cell, every edge.
    cells: Vec<Vec<EdgeView>>,
}

/// An edge at a moment.
#[derive(Debug, Clone, PartialEq)]
struct EdgeView {
    state: State,
    /// The operation that it has, or that leads.
    operation: Option<usize>,
    /// The leading operation's share of those that can be chosen.
    share: Option<f64>,
    /// Shares of its operations, where they are told anew.
    mix: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Decided,
    Pruned,
}

impl Serialize for EdgeView {
    /// As a short list: there are tens of them at each of hundreds of moments.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let share = self.share.map(|share| (1e3 * share).round() / 1e3);
        (self.state as u8, self.operation, share, &self.mix).serialize(serializer)
    }
}

impl Growth {
    /// Of a run's decisions, and its cells at the end of epochs.
    pub(super) fn of(recipe: &Recipe, decisions: &[Decision], epochs: &[CellRecord]) -> Self {
        let candidates = candidates(recipe);
        let space = candidates.space;
        let operation = |operation: &&'static Operation| [operation.name, kind_name(operation)];
        let of_edges = |&kind: &CellKind| {
            candidates.edges(kind).iter().map(|all| all.iter().map(operation).collect()).collect::<Vec<Vec<_>>>()
        };
        let operations = space.kinds().iter().map(of_edges).collect();
        let open = EdgeView { state: State::Open, operation: None, share: None, mix: Vec::new() };
        let mut cells = vec![vec![open; space.edge_count()]; space.kinds().len()];
        let start = Stop {
            name: "at the start".into(),
            decided: false,
            step: 0,
            epoch: 0,
            why: String::new(),
            edge: None,
            cells: cells.clone(),
        };
        let mut stops = vec![start];
        let has_mixes =
            epochs.iter().any(|epoch| !epoch.mixes.is_empty()) || decisions.iter().any(|d| !d.mixes.is_empty());
        // Those of which there is something to show: a file that somebody has changed may tell of any.
        let seen = decisions.iter().map(|decision| decision.epoch).chain(epochs.iter().map(|record| record.epoch));
        let seen: BTreeSet<usize> = seen.collect();
        let unit = recipe.search.schedule.unit();
        let due: usize = space.kinds().iter().map(|&kind| unit.decisions(&candidates, kind)).sum();
        let mut number = 0;
        for &epoch in seen.range(1..) {
            for decision in decisions.iter().filter(|decision| decision.epoch == epoch) {
                // What another space has, or a kind of cell that this one lacks, is no decision of this search.
                let Some(cell) = cells.get_mut(decision.cell.index()).filter(|cell| decision.edge < cell.len()) else {
                    continue;
                };
                number += 1;
                learn(cell, &candidates, decision.cell, &decision.mixes);
                decide(cell, &candidates, decision);
                let name = format!("decision {number} of {due}, epoch {epoch}: {}", sentence(decision, space.inputs));
                let edge = Some([decision.cell.index(), decision.edge]);
                let why = why(recipe, decision, space.inputs, |edge| edge_name(&candidates, edge));
                stops.push(Stop { name, decided: true, step: decision.step, epoch, why, edge, cells: cells.clone() });
                cells.iter_mut().for_each(|cell| forget(cell));
            }
            let Some(record) = epochs.iter().find(|record| record.epoch == epoch && !record.mixes.is_empty()) else {
                continue;
            };
            for ((cell, &kind), mixes) in cells.iter_mut().zip(space.kinds()).zip(&record.mixes) {
                learn(cell, &candidates, kind, mixes);
            }
            let name = format!("end of epoch {epoch}");
            let (why, cells_then) = (String::new(), cells.clone());
            stops.push(Stop { name, decided: false, step: 0, epoch, why, edge: None, cells: cells_then });
            cells.iter_mut().for_each(|cell| forget(cell));
        }
        Growth { operations, stops, candidates, has_mixes }
    }

    /// The cells after each of the steps in which something was decided: that step, its epoch, the picture.
    pub(super) fn pictures(&self) -> Vec<(usize, usize, Picture)> {
        let decided: Vec<&Stop> = self.stops.iter().filter(|stop| stop.decided).collect();
        let last_of_step = decided
            .iter()
            .enumerate()
            .filter(|(at, stop)| decided.get(at + 1).is_none_or(|next| next.step > stop.step));
        let picture = |stop: &Stop| (stop.step, stop.epoch, self.picture(stop));
        last_of_step.map(|(_, stop)| picture(stop)).collect()
    }

    fn picture(&self, stop: &Stop) -> Picture {
        let candidates = &self.candidates;
        let space = candidates.space;
        let cell = |(&kind, cell): (&CellKind, &Vec<EdgeView>)| {
            let edges = cell.iter().enumerate().filter_map(|(index, view)| {
                let state = match view.state {
                    State::Open => draw::EdgeState::Undecided,
                    State::Decided => draw::EdgeState::Decided,
                    State::Pruned => return None,
                };
                Some(EdgePicture::new(space, space.edge(index), candidates.of(kind, index)[view.operation?], state))
            });
            CellPicture::new(space, &format!("{kind} cell"), edges, space.concat())
        };
        Picture { title: stop.name.clone(), cells: space.kinds().iter().zip(&stop.cells).map(cell).collect() }
    }

    /// The part of the page, and the data for its script.
    pub(super) fn to_html(&self) -> (String, String) {
        if self.stops.len() == 1 {
            return (absent("Nothing is decided yet, and no epoch is done."), String::new());
        }
        let candidates = &self.candidates;
        let last = self.stops.len() - 1;
        let mut html = format!(
            "<p>Move the slider (or press ← and →) to see the cells at any time of the search: after every decision{}. A label \
             names what an edge runs, or, while it is undecided, the operation that leads and its share; the strip below it is \
             the mixture by what operations look at.</p>\
             <div class=\"stops\"><label for=\"stop\">Moment of the search</label>\
             <div class=\"slide\"><button type=\"button\" id=\"before\" aria-label=\"The decision before\">‹</button>\
             <input type=\"range\" id=\"stop\" min=\"0\" max=\"{last}\" value=\"{last}\" step=\"1\" aria-describedby=\"moment\">\
             <button type=\"button\" id=\"after\" aria-label=\"The next decision\">›</button></div>\
             <p id=\"moment\" role=\"status\">{}</p></div>",
            if self.has_mixes { " and every epoch" } else { "" },
            escape(&self.stops[last].name)
        );
        html +=
            "<noscript><p class=\"absent\">The slider needs JavaScript. The rest of the page does not.</p></noscript>";
        let space = candidates.space;
        html += "<div class=\"cells\">";
        for &kind in space.kinds() {
            let name = format!("{kind} cell");
            let svg = growing(space, &format!("cell-{}", kind.index()), &name, LETTERS);
            let _ = write!(
                html,
                "<figure><figcaption>{name}</figcaption><div class=\"wide\" id=\"wide-{0}\" tabindex=\"0\" role=\"region\" \
                 aria-label=\"{name}\">{svg}</div></figure>",
                kind.index()
            );
        }
        html += "</div><ul class=\"legend\">";
        for (class, name) in LOOKS {
            let occurs = self.operations.iter().flatten().flatten().any(|[_, kind]| *kind == class);
            if occurs {
                let _ = write!(html, "<li class=\"k-{class}\">{name}</li>");
            }
        }
        html += "</ul><div id=\"why\" class=\"why\"></div>";
        if self.has_mixes {
            for &kind in space.kinds() {
                html += &mixture(candidates, kind);
            }
        } else {
            html += &absent(
                "This run wrote no mixtures (runs of before do not): of undecided edges the leading operation is shown, \
                             as the decisions tell it, and not what else they mix.",
            );
        }
        (html, json(self))
    }
}

/// What a search with the recipe chooses from.
pub(super) fn candidates(recipe: &Recipe) -> Candidates {
    let Recipe { space, .. } = recipe;
    Candidates::subset(space.name, &space.operations).expect("a recipe that was read has operations of its space")
}

/// What operations look at, by their class on the page.
const LOOKS: [(&str, &str); 7] = [
    ("spatial", "spatial convolution"),
    ("temporal", "temporal convolution"),
    ("spacetime", "space-time convolution"),
    ("pool", "pooling"),
    ("skip", "identity"),
    ("noise", "noise"),
    ("none", "none"),
];

fn kind_name(operation: &Operation) -> &'static str {
    use crate::space::OperationKind::*;
    match operation.kind {
        None => "none",
        Noise => "noise",
        Skip => "skip",
        Pool => "pool",
        Spatial => "spatial",
        Temporal => "temporal",
        SpaceTime => "spacetime",
    }
}

/// What was told is not told again.
fn forget(cell: &mut [EdgeView]) {
    cell.iter_mut().for_each(|edge| edge.mix.clear());
}

/// Takes note of what undecided edges mix.
fn learn(cell: &mut [EdgeView], candidates: &Candidates, kind: CellKind, mixes: &[Vec<f64>]) {
    let never = candidates.never_chosen(kind);
    for ((edge, mix), never) in cell.iter_mut().zip(mixes).zip(never) {
        if edge.state != State::Open || mix.is_empty() {
            continue;
        }
        let can_be = || mix.iter().enumerate().filter(|(index, _)| Some(*index) != never);
        let rest: f64 = can_be().map(|(_, share)| share).sum();
        // Of equal ones the first, as a decision takes it.
        let best = can_be().fold(None, |best: Option<(usize, f64)>, (index, &share)| match best {
            Some((_, most)) if most >= share => best,
            _ => Some((index, share)),
        });
        edge.operation = best.map(|(index, _)| index);
        edge.share = best.map(|(_, share)| share / rest.max(f64::MIN_POSITIVE));
        edge.mix = mix.clone();
    }
}

/// Does to the cell what the decision did.
fn decide(cell: &mut [EdgeView], candidates: &Candidates, decision: &Decision) {
    let place = |edge: usize, name: &str| {
        let operations = candidates.edges(decision.cell).get(edge)?;
        operations.iter().position(|operation| operation.name == name)
    };
    if decision.unit == Unit::Edge && decision.mixes.is_empty() {
        for Candidate { edge, operation, share, .. } in &decision.candidates {
            if let Some(view) = cell.get_mut(*edge) {
                (view.operation, view.share) = (place(*edge, operation), Some(*share));
            }
        }
    }
    let settled = decision.settled.iter().map(|settled| (settled.edge, settled.operation.as_str()));
    let own = (decision.unit == Unit::Edge).then_some((decision.edge, decision.operation.as_str()));
    for (edge, operation) in settled.chain(own) {
        if let Some(view) = cell.get_mut(edge) {
            (view.state, view.operation, view.share) = (State::Decided, place(edge, operation), None);
        }
    }
    for edge in &decision.pruned {
        if let Some(view) = cell.get_mut(*edge) {
            (view.state, view.operation, view.share) = (State::Pruned, None, None);
        }
    }
}

pub(super) fn edge_name(candidates: &Candidates, edge: usize) -> String {
    let space = candidates.space;
    match edge < space.edge_count() {
        true => {
            let crate::space::Edge { from, node } = space.edge(edge);
            format!("{} → node {node}", state_name(from, space.inputs))
        }
        false => format!("edge {edge}"),
    }
}

/// What a decision did.
pub(super) fn sentence(decision: &Decision, inputs: usize) -> String {
    let Decision { cell, node, operation, .. } = decision;
    let from = state_name(decision.from, inputs);
    match decision.unit {
        Unit::Edge => format!("{cell} node {node} takes {operation} of {from}"),
        Unit::Operation => format!("{cell} node {node} loses {operation} of {from}"),
    }
}

/// Why a decision was taken: criterion, margin, alternatives.
fn why(recipe: &Recipe, decision: &Decision, inputs: usize, edge_name: impl Fn(usize) -> String) -> String {
    let criterion = recipe.value("search.criterion").unwrap_or_default();
    let mut text = format!(
        "<h3>Why</h3><p>{}: by the criterion <code>{}</code>",
        escape(&sentence(decision, inputs)),
        escape(criterion.trim_matches('"'))
    );
    if let Some(best) = decision.candidates.first() {
        let _ = write!(text, " its score, {:.4}, is the best of {}", best.score, decision.candidates.len());
    }
    let _ = match (decision.runner_up, decision.margin) {
        (Some(edge), Some(margin)) => {
            write!(text, ", by a margin of {margin:.4} to {}.", escape(&edge_name(edge)))
        }
        _ => write!(text, "; nothing else was left."),
    };
    if let Some(refused) = &decision.refused {
        let _ = write!(
            text,
            " Without the budget it would have been {} of {}.",
            escape(&refused.operation),
            escape(&edge_name(refused.edge))
        );
    }
    if !decision.pruned.is_empty() {
        let names: Vec<String> = decision.pruned.iter().map(|&edge| edge_name(edge)).collect();
        let _ = write!(text, " With it fall away: {}.", escape(&names.join(", ")));
    }
    text += "</p>";
    let head = ["edge", if decision.unit == Unit::Edge { "would get" } else { "would lose" }, "its share", "score"];
    let row = |candidate: &Candidate| {
        let share = format!("{:.1} %", 100.0 * candidate.share);
        vec![edge_name(candidate.edge), candidate.operation.clone(), share, format!("{:.4}", candidate.score)]
    };
    let rows: Vec<Vec<String>> = decision.candidates.iter().take(SHOWN).map(row).collect();
    text += &table("Alternatives, best first", &head, &rows);
    match decision.candidates.len().saturating_sub(SHOWN) {
        0 => text,
        more => text + &format!("<p>And {more} more.</p>"),
    }
}

/// The table of what every edge mixes, which the script fills.
fn mixture(candidates: &Candidates, kind: CellKind) -> String {
    let names = candidates.space.operations.iter().map(|operation| operation.name);
    let names: Vec<&str> =
        names.filter(|name| candidates.edges(kind).iter().flatten().any(|own| own.name == *name)).collect();
    let mut rows = String::new();
    for (edge, operations) in candidates.edges(kind).iter().enumerate() {
        let _ = write!(
            rows,
            "<tr id=\"mix-{}-{edge}\"><th scope=\"row\">{}</th><td class=\"state\"></td>",
            kind.index(),
            edge_name(candidates, edge)
        );
        for name in &names {
            match operations.iter().position(|operation| operation.name == *name) {
                Some(place) => {
                    let _ = write!(rows, "<td data-op=\"{place}\"></td>");
                }
                None => rows += "<td>–</td>",
            }
        }
        rows += "</tr>";
    }
    let head: String = names.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let table = format!(
        "<div class=\"wide\" id=\"mixes-{0}\" tabindex=\"0\" role=\"region\" aria-label=\"Mixture, {kind} cell\"><table class=\"mix\">\
         <caption>softmax(α) in percent; of a decided edge as it was then</caption>\
         <thead><tr><th scope=\"col\">edge</th><th scope=\"col\" class=\"text\">now</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>",
        kind.index()
    );
    details(&format!("mixture-{}", kind.index()), &format!("Mixture on every edge of the {kind} cell"), &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a search that decides operations: an edge loses one and mixes the rest, then it is settled, and its sibling pruned.
    #[test]
    fn operations_that_go_are_followed_too() {
        let set = ["search.schedule={ kind = \"linear\", unit = \"operation\" }", "search.criterion=strength"];
        let recipe = Recipe::resolve("shapes", &set.map(str::to_owned)).unwrap();
        let decision = |more: &str| -> Decision {
            let text = format!(
                "{{\"progress\": 0.5, \"epoch\": 1, \"cell\": \"normal\", \"edge\": 0, \"from\": 0, \"node\": 0, \
                 \"unit\": \"operation\", \"operation\": \"max_pool_3x3\", \"candidates\": [], \"runner_up\": null, \
                 \"margin\": null, {more}}}"
            );
            serde_json::from_str(&text).unwrap()
        };
        let mix = "\"mixes\": [[0.5, 0, 0.1, 0.3, 0.1, 0, 0, 0]]";
        let decisions = [
            decision(&format!("\"step\": 1, \"pruned\": [], {mix}")),
            decision("\"step\": 1, \"pruned\": [1], \"settled\": [{\"edge\": 0, \"operation\": \"sep_conv_3x3\"}]"),
        ];
        let growth = Growth::of(&recipe, &decisions, &[]);
        let edge = |stop: usize, edge: usize| &growth.stops[stop].cells[0][edge];
        assert_eq!(growth.stops[1].name, "decision 1 of 180, epoch 1: normal node 0 loses max_pool_3x3 of c_{k-2}");
        // `none` is the largest part and can never lead; the skip connection has 0.3 of the other 0.5.
        assert_eq!((edge(1, 0).state, edge(1, 0).operation), (State::Open, Some(3)));
        assert!((edge(1, 0).share.unwrap() - 0.6).abs() < 1e-12);
        assert_eq!((edge(2, 0).state, edge(2, 0).operation, edge(2, 0).share), (State::Decided, Some(4), None));
        assert_eq!((edge(2, 1).state, edge(2, 1).operation), (State::Pruned, None));
        // One step, one picture: the last.
        let pictures = growth.pictures();
        assert_eq!(pictures.len(), 1);
        let (step, epoch, picture) = &pictures[0];
        assert_eq!((*step, *epoch, picture.cells[0].edges.len()), (1, 1, 1));
        assert_eq!(
            (picture.cells[0].edges[0].label.as_str(), picture.cells[0].edges[0].state),
            ("sep_conv_3x3", draw::EdgeState::Decided)
        );
    }
}
