use super::*;
use crate::draw::EdgeState;
use crate::genotype::PUBLISHED;
use crate::space::{Candidates, IMAGE, NB201, OperationKind, Space, VIDEO};
use proptest::prelude::*;

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

/// What must hold of every picture: labels lie apart from each other and from all boxes, and inside the picture.
fn assert_clear(picture: &Picture) {
    let measure = Measure::of(picture);
    for cell in &picture.cells {
        let layout = place(cell, measure);
        assert_eq!(layout.edges.len(), cell.edges.len());
        for (index, edge) in layout.edges.iter().enumerate() {
            for other in &layout.edges[index + 1..] {
                assert!(!overlap(&edge.label, &other.label), "labels {:?} and {:?} overlap", edge, other);
            }
            for rect in layout.states.iter().chain([&layout.output]) {
                assert!(!overlap(&edge.label, rect), "label {edge:?} covers the box {rect:?}");
            }
            let label = &edge.label;
            assert!(label.x >= 0.0 && label.right() <= measure.width(), "label {edge:?} leaves the picture");
            assert!(label.y >= layout.top && label.y + label.height <= layout.bottom);
        }
        let inputs = &layout.states[..cell.inputs];
        assert!(inputs.windows(2).all(|pair| !overlap(&pair[0], &pair[1])), "the inputs overlap");
    }
}

#[test]
fn labels_of_published_cells_lie_apart_and_clear_of_other_edges() {
    for published in PUBLISHED {
        let picture = Picture::of(&published.genotype(), published.name);
        assert_clear(&picture);
        for cell in &picture.cells {
            let layout = place(cell, Measure::of(&picture));
            for edge in &layout.edges {
                let behind = layout.edges.iter().filter(|other| {
                    other.index != edge.index && samples(&other.curve).any(|at| edge.label.holds(at, 0.0))
                });
                assert_eq!(behind.count(), 0, "{}, {}: an edge runs behind {:?}", published.name, cell.name, edge);
            }
        }
    }
}

/// A cell with any two edges into each node, the same two states included.
fn found_cell(space: &'static Space) -> impl Strategy<Value = CellPicture> {
    let edge = move |node: usize| {
        (0..space.inputs + node, 1..space.operations.len()).prop_map(move |(from, operation)| {
            let place = crate::space::Edge { from, node };
            EdgePicture::new(space, place, &space.operations[operation], EdgeState::Decided)
        })
    };
    let nodes: Vec<_> = (0..space.nodes).flat_map(|node| [edge(node), edge(node)]).collect();
    nodes.prop_map(|edges| CellPicture::new(space, "normal cell", edges.into_iter(), space.concat()))
}

/// A cell in the middle of a search: each of its edges undecided, decided or pruned.
fn searched_cell(space: &'static Space) -> impl Strategy<Value = CellPicture> {
    prop::collection::vec((0..3u8, 1..space.operations.len()), space.edge_count()).prop_map(move |states| {
        let drawn =
            space.edges().zip(states).filter(|(_, (state, _))| *state != 2).map(|(edge, (state, operation))| {
                let state = if state == 0 { EdgeState::Undecided } else { EdgeState::Decided };
                EdgePicture::new(space, edge, &space.operations[operation], state)
            });
        CellPicture::new(space, "normal cell", drawn, space.concat())
    })
}

fn pair(cell: impl Strategy<Value = CellPicture>) -> impl Strategy<Value = Picture> {
    prop::collection::vec(cell, 2).prop_map(|cells| Picture { title: String::new(), cells })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn labels_of_any_image_cell_lie_apart(picture in pair(found_cell(&IMAGE))) {
        assert_clear(&picture);
    }

    #[test]
    fn labels_of_any_video_cell_lie_apart(picture in pair(found_cell(&VIDEO))) {
        assert_clear(&picture);
    }

    #[test]
    fn labels_of_any_cell_of_one_input_lie_apart(picture in pair(searched_cell(&NB201))) {
        assert_clear(&picture);
    }

    #[test]
    fn labels_of_any_search_state_lie_apart(picture in pair(searched_cell(&VIDEO))) {
        assert_clear(&picture);
    }
}

#[test]
fn labels_of_a_search_that_has_decided_nothing_lie_apart() {
    let space = &VIDEO;
    let operation = space.operation("dil_conv_1x3x3").unwrap();
    let edges = space.edges().map(|edge| EdgePicture::new(space, edge, operation, EdgeState::Undecided));
    let cell = CellPicture::new(space, "cell", edges, vec![5]);
    assert_clear(&Picture { title: String::new(), cells: vec![cell] });
}

#[test]
fn a_decided_edge_that_runs_nothing_is_not_drawn() {
    let none = Candidates::whole(&NB201).of(crate::space::CellKind::Normal, 0)[0];
    let count = |state: EdgeState| {
        let edges = NB201.edges().map(|edge| EdgePicture::new(&NB201, edge, none, state));
        CellPicture::new(&NB201, "cell", edges, vec![3]).edges.len()
    };
    assert_eq!([EdgeState::Decided, EdgeState::Undecided].map(count), [0, 6]);
}

#[test]
fn an_edge_that_cannot_be_is_left_out() {
    let edge = |from, to| EdgePicture {
        from,
        to,
        label: "skip_connect".to_owned(),
        kind: OperationKind::Skip,
        state: EdgeState::Decided,
    };
    let edges = vec![edge(3, 2), edge(0, 1), edge(0, 9), edge(4, 4), edge(0, 2)];
    let cell = CellPicture { name: "cell".to_owned(), inputs: 2, nodes: 4, edges, concat: vec![2, 17] };
    let picture = Picture { title: "a < b & \"c\"".to_owned(), cells: vec![cell] };
    let layout = place(&picture.cells[0], Measure::of(&picture));
    assert_eq!(layout.edges.iter().map(|edge| edge.index).collect::<Vec<_>>(), [4]);
    assert!(crate::draw::svg(&picture).contains("<title>a &lt; b &amp; &quot;c&quot;</title>"));
}
