//! The two forms of writing a genotype, the errors they give, and the published cells.

use proptest::prelude::*;
use sdas::genotype::{Gene, Genes, Genotype, Origin, PUBLISHED, published};
use sdas::space::{Candidates, CellKind, IMAGE, Keep, NB201, Output, SPACES, Space, VIDEO};
use std::collections::HashSet;

/// An edge from `from` to `node`, with any operation that it may have.
fn gene(space: &'static Space, kind: CellKind, node: usize, from: usize) -> impl Strategy<Value = Gene> {
    let choices: Vec<_> = Candidates::whole(space).choices(kind, space.edges_into(node).start + from).collect();
    prop::sample::select(choices).prop_map(move |operation| Gene { from, operation })
}

fn node(space: &'static Space, kind: CellKind, node: usize) -> BoxedStrategy<Vec<Gene>> {
    let states = space.inputs + node;
    match space.keep {
        Keep::EveryEdge => (0..states).map(|from| gene(space, kind, node, from)).collect::<Vec<_>>().boxed(),
        Keep::TwoEdges => {
            let any = move || (0..states).prop_flat_map(move |from| gene(space, kind, node, from));
            [any(), any()].prop_map(Vec::from).boxed()
        }
    }
}

fn genes(space: &'static Space, kind: CellKind) -> impl Strategy<Value = Genes> {
    let nodes: Vec<_> = (0..space.nodes).map(|index| node(space, kind, index)).collect();
    let concat = match (space.output, kind) {
        (Output::LastNode, _) => Just(space.concat()).boxed(),
        (Output::Nodes, kind) => {
            let first = if kind == CellKind::Reduction { space.inputs } else { 0 };
            let states: Vec<_> = (first..space.states()).collect();
            let length = states.len();
            prop::sample::subsequence(states, 1..=length).prop_shuffle().boxed()
        }
    };
    (nodes, concat).prop_map(|(nodes, concat)| Genes { nodes, concat })
}

fn origin() -> impl Strategy<Value = Origin> {
    (".*", ".*", any::<Option<u64>>(), prop::option::of(".*")).prop_map(|(method, dataset, seed, recipe)| Origin {
        method,
        dataset,
        seed,
        recipe,
    })
}

/// Any genotype of any space.
fn genotype() -> impl Strategy<Value = Genotype> {
    prop::sample::select(SPACES).prop_flat_map(|space| {
        let cells: Vec<_> = space.kinds().iter().map(|&kind| genes(space, kind)).collect();
        (cells, prop::option::of(origin())).prop_map(move |(cells, origin)| Genotype { space, cells, origin })
    })
}

/// Whether the operations' names alone tell the space: of those with the same form of text, the first that knows them all.
fn names_its_space(genotype: &Genotype) -> bool {
    let knows = |space: &Space| {
        genotype
            .cells
            .iter()
            .flat_map(Genes::edges)
            .all(|(_, gene)| space.operations.iter().any(|o| o == gene.operation))
    };
    SPACES.iter().find(|space| space.keep == genotype.space.keep && knows(space)) == Some(&genotype.space)
}

/// Python's ways to write the four nodes' states.
const RANGES: [&str; 8] = [
    "[2, 3, 4, 5]",
    "(2, 3, 4, 5)",
    "[2, 3, 4, 5, ]",
    "range(2, 6)",
    "list(range(2, 6))",
    "tuple(range(2, 6))",
    "list([2, 3, 4, 5])",
    "tuple((2, 3, 4, 5))",
];

proptest! {
    #[test]
    fn json_reads_back_as_written(genotype in genotype()) {
        let text = genotype.to_json();
        prop_assert_eq!(text.chars().last(), Some('\n'));
        prop_assert_eq!(&Genotype::from_json(&text).unwrap(), &genotype);
        prop_assert_eq!(Genotype::parse(&text).unwrap(), genotype);
    }

    #[test]
    fn the_text_of_the_literature_reads_back_as_written(genotype in genotype()) {
        let text = genotype.to_text();
        let expected = Genotype { origin: None, ..genotype };
        let read = Genotype::parse(&text).unwrap();
        if names_its_space(&expected) {
            prop_assert_eq!(&read, &expected);
        }
        prop_assert_eq!(read.cells, expected.cells);
    }

    #[test]
    fn a_published_cell_is_read_from_any_hand(
        which in 0..PUBLISHED.len(),
        before in prop::collection::vec("[0-9A-Za-z:,./_ ()=-]{0,40}", 0..3),
        line in "([0-9]{4}-[0-9]{2}-[0-9]{2} )?([0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} )?((AM|PM|INFO|epoch|genotype|CELL) ?[=:]? )*",
        ends in prop::sample::select(&["\n", "\r\n"][..]),
        blank in prop::sample::select(&["", " ", "  ", "\t", "\n    ", "\r\n\t"][..]),
        range in prop::sample::select(&RANGES[..]),
        quote in prop::sample::select(&["'", "\""][..]),
        after in prop::sample::select(&["", " ", "  # the best", "\n", "\r\n\r\n", "\n12:00 tensor([[0.1, 'x\n"][..]),
        has_mark: bool,
    ) {
        let expected = Genotype { origin: None, ..Genotype::resolve(PUBLISHED[which].name).unwrap() };
        let mark = if has_mark { "\u{feff}" } else { "" };
        let text = expected.to_darts_text().replace("[2, 3, 4, 5]", range).replace('\'', quote);
        let text = text.replace(", ", &format!(",{blank}")).replace('=', &format!("={blank}")).replace('(', &format!("({blank}"));
        let before: String = before.iter().map(|line| format!("{line}{ends}")).collect();
        let whole = format!("{mark}{before}{line}{text}{after}");
        prop_assert_eq!(&Genotype::parse(&whole).map_err(|error| TestCaseError::fail(format!("{whole}: {error}")))?, &expected);
        // JSON and the benchmark's text stand alone.
        let benchmark = Genotype::from_operations(&NB201, &[0, 1, 2, 3, 4, 0]).unwrap();
        for cell in [&expected, &benchmark] {
            for form in [cell.to_json(), cell.to_text()] {
                prop_assert_eq!(&Genotype::parse(&format!("{mark}{blank}{form}{blank}{ends}")).unwrap(), cell);
            }
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in ".*", cut in 0..400usize) {
        let _ = Genotype::parse(&text);
        let _ = Genotype::from_darts_text(&text);
        let whole = published("pdarts").unwrap();
        let benchmark = Genotype::from_operations(&NB201, &[0, 1, 2, 3, 4, 0]).unwrap();
        for form in [whole.to_darts_text(), whole.to_json(), benchmark.to_text()] {
            let mut broken: String = form.chars().take(cut).collect();
            broken.push_str(&text);
            broken.extend(form.chars().skip(cut + 1));
            let _ = Genotype::parse(&broken);
        }
    }
}

/// The file of `darts_v2`, with one thing replaced.
fn spoiled(from: &str, to: &str) -> String {
    let text = published("darts_v2").unwrap().to_json();
    assert!(text.contains(from), "nothing to replace: {from}");
    Genotype::from_json(&text.replacen(from, to, 1)).unwrap_err().to_string()
}

/// A file with the given normal nodes (skip connections, where that is empty) and outputs.
fn json_with(nodes: &str, normal_concat: &str, reduction_concat: &str) -> String {
    let other = r#"[[{"from":0,"op":"skip_connect"},{"from":1,"op":"skip_connect"}],
        [{"from":0,"op":"skip_connect"},{"from":1,"op":"skip_connect"}],
        [{"from":0,"op":"skip_connect"},{"from":1,"op":"skip_connect"}],
        [{"from":0,"op":"skip_connect"},{"from":1,"op":"skip_connect"}]]"#;
    let nodes = if nodes.is_empty() { other } else { nodes };
    format!(
        r#"{{"format":"sdas-genotype","version":1,"space":"image",
            "normal":{{"nodes":{nodes},"concat":{normal_concat}}},
            "reduction":{{"nodes":{other},"concat":{reduction_concat}}}}}"#
    )
}

fn fault(nodes: &str, normal_concat: &str, reduction_concat: &str) -> String {
    Genotype::from_json(&json_with(nodes, normal_concat, reduction_concat)).unwrap_err().to_string()
}

#[test]
fn a_file_without_origin_is_read() {
    let genotype = Genotype::from_json(&json_with("", "[2, 3, 4, 5]", "[2, 3, 4, 5]")).unwrap();
    assert_eq!(genotype.origin, None);
    assert!(!genotype.to_json().contains("origin"));
}

#[test]
fn a_file_of_another_form_is_refused_by_field() {
    assert_eq!(spoiled("sdas-genotype", "onnx"), r#""format" is "onnx"; a genotype file says "sdas-genotype""#);
    assert_eq!(
        spoiled("\"version\": 1", "\"version\": 2"),
        "\"version\" is 2; this program reads version 1: use the sdas that wrote it"
    );
    assert_eq!(
        Genotype::from_json("{}").unwrap_err().to_string(),
        "\"format\" is missing; a genotype file says \"sdas-genotype\""
    );
    assert!(spoiled("\"space\": \"image\"", "\"space\": \"sound\"").contains("unknown space \"sound\""));
    assert!(spoiled("\"concat\"", "\"join\"").contains("unknown field `join`, expected `nodes` or `concat`"));
    assert!(spoiled("\"normal\"", "\"version\": 1, \"normal\"").contains("duplicate field `version`"));
    assert!(spoiled("\"dataset\"", "\"data\"").contains("unknown field `data`"));
    assert!(spoiled("}", "").starts_with("not a genotype file: "));
}

#[test]
fn a_cell_that_cannot_be_is_refused_by_place() {
    let all = "[2, 3, 4, 5]";
    let skip = |from: i64| format!(r#"{{"from":{from},"op":"skip_connect"}}"#);
    let pair = |a: i64, b: i64| format!("[{}, {}]", skip(a), skip(b));
    let cell = |third: &str| format!("[{}, {}, {third}, {}]", pair(0, 1), pair(0, 1), pair(0, 1));
    let at = |third: &str| fault(&cell(third), all, all);

    assert_eq!(
        at(&pair(0, 5)),
        "normal, node 2 (of 0..3), edge 1: reads state 5, which comes after it; it may read 0 to 3"
    );
    assert_eq!(
        at(&pair(4, 0)),
        "normal, node 2 (of 0..3), edge 0: reads state 4, which is the node itself; it may read 0 to 3"
    );
    for missing in [-1, 6] {
        assert_eq!(
            at(&pair(0, missing)),
            format!(
                "normal, node 2 (of 0..3), edge 1: reads state {missing}, which does not exist; it may read 0 to 3"
            )
        );
    }
    assert_eq!(
        at(r#"[{"from":0,"op":"none"},{"from":1,"op":"skip_connect"}]"#),
        "normal, node 2 (of 0..3), edge 0: \"none\" is the absence of an edge and is never chosen"
    );
    assert!(
        at(r#"[{"from":0,"op":"temporal_diff"},{"from":1,"op":"skip_connect"}]"#)
            .starts_with("normal, node 2 (of 0..3), edge 0: unknown operation \"temporal_diff\" in the image space")
    );
    assert_eq!(at(&format!("[{}]", skip(0))), "normal, node 2 (of 0..3): a node has 2 edges, this one 1");
    assert_eq!(at(&format!("[{0}, {0}, {0}]", skip(0))), "normal, node 2 (of 0..3): a node has 2 edges, this one 3");
    assert_eq!(fault(&format!("[{0}, {0}, {0}]", pair(0, 1)), all, all), "normal: a cell has 4 nodes, this one 3");
    assert_eq!(
        fault(&format!("[{0}, {0}, {0}, {0}, {0}]", pair(0, 1)), all, all),
        "normal: a cell has 4 nodes, this one 5"
    );

    assert!(fault("", "[]", all).starts_with("normal, concat: it is empty"));
    assert_eq!(fault("", "[2, 6]", all), "normal, concat: state 6 does not exist; there are 0 to 5");
    assert_eq!(fault("", all, "[2, 5, 2]"), "reduction, concat: state 2 is listed twice");
    assert!(fault("", all, "[1, 2]").starts_with("reduction, concat: state 1 is an input, which is larger"));
    assert!(Genotype::from_json(&json_with("", "[1, 2]", all)).is_ok());
}

#[test]
fn the_same_input_twice_is_a_cell() {
    let text = published("darts_v2").unwrap().to_darts_text();
    let twice =
        text.replacen("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", "('avg_pool_3x3', 0), ('avg_pool_3x3', 0)", 1);
    let genotype = Genotype::parse(&twice).unwrap();
    assert_eq!(genotype.cells[0].nodes[0][0], genotype.cells[0].nodes[0][1]);
}

#[test]
fn darts_text_is_read_as_python_would() {
    let expected = Genotype { origin: None, ..published("pdarts").unwrap() };
    // P-DARTS' own listing, in another hand: order, quotes, brackets, breaks, comments, commas.
    let text = r#"
        # 2.50 % on CIFAR-10
        genotypes.PDARTS = Genotype(
            reduce_concat = list_below,
    "#;
    assert!(Genotype::parse(text).is_err());
    let text = r#"
        # 2.50 % on CIFAR-10
        PDARTS = genotypes.Genotype(
            reduce_concat=range(2,6),
            reduce=[('avg_pool_3x3',0), ("sep_conv_5x5", 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2),
                    ['max_pool_3x3', 0], ('dil_conv_3x3', 1,), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3),],
            normal=(('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1),
                    ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',
                    0), ('dil_conv_5x5', 4)), # sixteen edges in all
            normal_concat=(2, 3, 4, 5),
        )
    "#;
    assert_eq!(Genotype::parse(text).unwrap(), expected);
}

#[test]
fn darts_text_tells_the_space_by_its_names() {
    let text = |operation: &str| {
        let edges = format!("('{operation}', 0), ('skip_connect', 1)");
        let cell = [edges.as_str(); 4].join(", ");
        format!("Genotype(normal=[{cell}], normal_concat=range(2, 6), reduce=[{cell}], reduce_concat=range(2, 6))")
    };
    assert_eq!(Genotype::parse(&text("p3d_a_3x3x3")).unwrap().space, &VIDEO);
    assert_eq!(Genotype::parse(&text("dil_conv_5x5")).unwrap().space, &IMAGE);
    assert_eq!(Genotype::parse(&text("skip_connect")).unwrap().space, &IMAGE);
    let error = Genotype::parse(&text("sep_conv_7x7")).unwrap_err().to_string();
    assert!(error.starts_with("normal, node 0 (of 0..3), edge 0: unknown operation \"sep_conv_7x7\" in the image"));
}

#[test]
fn darts_text_of_another_form_is_refused_by_place() {
    let error = |text: &str| Genotype::from_darts_text(text).unwrap_err().to_string();
    assert_eq!(error(""), "line 1, column 1: expected \"Genotype(\", found the end");
    assert_eq!(error("G = Genome()"), "line 1, column 13: expected \"Genotype(\", found the end");
    assert_eq!(
        error("Genotype(\n  normal=[(sep_conv_3x3, 0)])"),
        "line 2, column 12: expected an operation's name in quotes, found sep_conv_3x3"
    );
    assert_eq!(
        error("Genotype(normal=[('sep_conv_3x3' 0)])"),
        "line 1, column 34: expected \",\" and a state's number, found 0"
    );
    assert_eq!(
        error("Genotype(normal=[('sep_conv_3x3, 0)])"),
        "line 1, column 19: expected a closing ' on the same line, found none"
    );
    assert_eq!(
        error("Genotype(layers=8)"),
        "line 1, column 10: expected normal, normal_concat, reduce or reduce_concat, found layers"
    );
    assert_eq!(
        error("Genotype(normal=[], normal=[])"),
        "line 1, column 21: expected each part once, found normal again"
    );
    assert_eq!(
        error("Genotype(normal=[], reduce=[], normal_concat=[2])"),
        "line 1, column 49: expected reduce_concat=[…] in the genotype, found \")\""
    );
    assert_eq!(
        error("Genotype(normal=[], normal_concat=range(2, 6), reduce=[], reduce_concat=range(2, 6))"),
        "normal: a cell has 8 edges, two for each of its 4 nodes, this one 0"
    );
    let text = published("pdarts").unwrap().to_darts_text();
    assert!(error(&format!("{text} + 1")).ends_with("expected nothing after the genotype's \")\", found \"+\""));
    assert!(error(&text.replace("[2, 3, 4, 5]", "range(0, 9999999999999)")).contains("state 6 does not exist"));
    assert!(
        Genotype::parse("hello").unwrap_err().to_string().starts_with("neither a genotype file (JSON: {\"format\"")
    );
}

/// A cell that is no other's, as DARTS prints it.
fn printed(name: &str) -> (String, Genotype) {
    let genotype = Genotype { origin: None, ..published(name).unwrap() };
    (genotype.to_darts_text(), genotype)
}

#[test]
fn darts_text_is_read_where_it_stands() {
    let (text, expected) = printed("sgas_cri2");
    let list = text.replace("[2, 3, 4, 5]", "list(range(2, 6))");
    assert_ne!(list, text);
    for text in [
        format!("2019-12-31 02:51:20,249 genotype = {text}\n"),
        format!("03/05 11:22:33 AM epoch #3 {text}\n03/05 11:22:33 AM tensor([[0.1, 'x\n"),
        format!("\u{feff}{text}"),
        format!("\u{feff}CELL = {text}\r\n\r\n"),
        list,
        text.replace("[2, 3, 4, 5]", "tuple([2, 3, 4, 5])"),
        format!("# OLD = {text}\nCELLS = {{'new': {text}}}"),
        format!("from collections import namedtuple\nGenotype = namedtuple('Genotype', 'normal reduce')\n{text};"),
        format!("CELL = {text}  # don't\nOTHER = CELL # the same"),
    ] {
        assert_eq!(Genotype::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")), expected);
    }
    let json = format!("\u{feff}{}", expected.to_json());
    assert_eq!(Genotype::parse(&json).unwrap(), expected);
    let nested = text.replace("[2, 3, 4, 5]", &"list(".repeat(1_000_000));
    assert!(Genotype::parse(&nested).unwrap_err().to_string().contains("expected a list of states, found list"));
}

#[test]
fn of_several_cells_one_is_chosen_by_name_or_line() {
    let [(first, v1), (second, v2), (third, cri1), (_, cri2)] =
        ["darts_v1", "darts_v2", "sgas_cri1", "sgas_cri2"].map(printed);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("genotypes.py");
    let resolve = |name: &str| Genotype::resolve(&format!("{}{name}", file.display()));
    // As in DARTS: a cell that is none of ours between others, and another name at the end.
    let text = format!(
        "NASNet = Genotype(\n  normal = [('conv_7x1_1x7', 0)],\n  normal_concat = [4, 5, 6])\n\
         V1 = {first}\nV2 = {second}\nDARTS = V2\nDARTS_AGAIN = DARTS\n"
    );
    std::fs::write(&file, &text).unwrap();
    assert_eq!(resolve(":V1").unwrap(), v1);
    for which in [":V2", ":DARTS", ":DARTS_AGAIN", ":5"] {
        assert_eq!(resolve(which).unwrap(), v2, "{which}");
    }
    assert!(resolve(":NASNet").unwrap_err().to_string().contains("line 3, column 28: expected reduce="));
    let listed = "NASNet (line 1), V1 (line 4), V2 (line 5), DARTS (line 6), DARTS_AGAIN (line 7)";
    let message = |which: &str| resolve(which).unwrap_err().to_string().replace(place.path().to_str().unwrap(), "");
    assert_eq!(
        message(""),
        format!("/genotypes.py: it holds 3 cells; choose one by its name or line, as in FILE:NAME: {listed}")
    );
    assert_eq!(
        message(":V3"),
        format!("/genotypes.py: no cell is called V3 or stands in a line of that number; there are: {listed}")
    );

    // A search's log: of one name the last counts, as in Python, and each has its line.
    std::fs::write(&file, format!("12:00 genotype = {first}\n12:01 {second}\n12:02 genotype = {third}\n")).unwrap();
    assert_eq!(resolve(":genotype").unwrap(), cri1);
    assert_eq!((resolve(":1").unwrap(), resolve(":2").unwrap()), (v1, v2));
    assert!(
        message("")
            .ends_with("genotype (lines 1 to 3, 2 times; the name stands for the last), one without a name (line 2)")
    );

    std::fs::write(&file, cri2.to_json()).unwrap();
    assert_eq!(resolve("").unwrap(), cri2);
    assert!(message(":V1").ends_with("holds one cell, without a name: leave out \":V1\""));
    assert!(
        Genotype::resolve("absent.py:V1").unwrap_err().to_string().contains("is neither a file nor a published cell")
    );
}

#[test]
fn a_file_of_a_windows_shell_is_read() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("genotype.txt");
    let (text, expected) = printed("pdarts");
    let units: Vec<u16> = format!("\u{feff}{text}\r\n").encode_utf16().collect();
    for bytes in
        [u16::to_le_bytes, u16::to_be_bytes].map(|bytes| units.iter().copied().flat_map(bytes).collect::<Vec<_>>())
    {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(Genotype::read(&file).unwrap(), expected);
    }
}

/// Megabytes, of whatever is repeated, are read in a time that nobody notices, where the square of it would be hours.
#[test]
fn long_texts_are_read_in_linear_time() {
    let (text, _) = printed("pdarts");
    let edges = "('sep_conv_3x3', 0), ".repeat(150_000);
    let start = std::time::Instant::now();
    for text in [
        text.replacen("normal=[", &format!("normal=[{edges}"), 1),
        text.replacen("Genotype(", &format!("Genotype({}", " ".repeat(3_000_000)), 1),
        format!("{text}\n").repeat(8_000),
        text.repeat(8_000),
        format!("{}{text}", "Genotype(".repeat(300_000)),
        format!("Genotype(normal={}", "[".repeat(3_000_000)),
        format!("{}\nC = B{text}", "A = B\nB = A\n".repeat(250_000)),
    ] {
        assert!(text.len() > 2_000_000);
        assert!(Genotype::parse(&text).is_err() || text.contains("   "));
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn published_cells_are_whole_and_distinct() {
    let names: HashSet<_> = PUBLISHED.iter().map(|published| published.name).collect();
    assert_eq!(names.len(), PUBLISHED.len());
    let expected = [
        "darts_v1",
        "darts_v2",
        "pdarts",
        "pc_darts_cifar",
        "pc_darts_imagenet",
        "snas_mild",
        "sgas_cri1",
        "sgas_cri2",
    ];
    for name in expected {
        let genotype = Genotype::resolve(name).unwrap();
        assert_eq!(genotype.space, &IMAGE);
        assert_eq!(Genotype::from_json(&genotype.to_json()).unwrap(), genotype);
        for genes in &genotype.cells {
            assert_eq!(genes.concat, [2, 3, 4, 5]);
            assert!(genes.nodes.iter().all(|pair| pair[0].from != pair[1].from), "{name} reads a state twice");
        }
    }
}

/// The line of `genotypes.py` in the authors' repository (quark0/darts), character by character.
#[test]
fn darts_v2_is_the_line_that_its_authors_print() {
    let line = "DARTS_V2 = Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), \
                ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), \
                ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), \
                ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), \
                ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])";
    assert_eq!(format!("DARTS_V2 = {}", published("darts_v2").unwrap().to_darts_text()), line);
}

#[test]
fn files_are_written_whole_and_found_by_name_path_or_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genotype.json");
    let genotype = published("sgas_cri1").unwrap();
    published("darts_v1").unwrap().write(&path).unwrap();
    genotype.write(&path).unwrap();
    assert_eq!(Genotype::read(&path).unwrap(), genotype);
    assert_eq!(Genotype::resolve(path.to_str().unwrap()).unwrap(), genotype);
    assert_eq!(Genotype::resolve(folder.path().to_str().unwrap()).unwrap(), genotype);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing stays beside the file");

    std::fs::write(&path, "{}").unwrap();
    let message = Genotype::read(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: \"format\" is missing", path.display())), "{message}");
    let absent = folder.path().join("absent").join("genotype.json");
    assert!(Genotype::read(&absent).unwrap_err().to_string().starts_with("cannot read the genotype "));
    assert!(genotype.write(&absent).unwrap_err().to_string().starts_with("cannot write the genotype "));
    let message = Genotype::resolve("darts").unwrap_err().to_string();
    assert!(
        message.starts_with("\"darts\" is neither a file nor a published cell; those are darts_v1, darts_v2, pdarts")
    );
}

const BENCHMARK: &str = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|";

#[test]
fn the_benchmarks_text_is_read_alone_from_a_file_and_as_an_argument() {
    let genotype = Genotype::resolve(BENCHMARK).unwrap();
    assert_eq!((genotype.space, genotype.cells.len()), (&NB201, 1));
    // Edges 0→1, 0→2, 1→2, 0→3, 1→3, 2→3, by their places in the table of operations.
    assert_eq!(genotype.cells[0].operations(&NB201), [3, 3, 4, 1, 3, 0]);
    assert_eq!(Genotype::from_operations(&NB201, &[3, 3, 4, 1, 3, 0]), Some(genotype.clone()));
    assert_eq!(genotype.to_text(), BENCHMARK);
    assert_eq!(Genotype::from_json(&genotype.to_json()).unwrap(), genotype);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("cell.txt");
    std::fs::write(&file, format!("\u{feff}\n{BENCHMARK}\r\n")).unwrap();
    assert_eq!(Genotype::read(&file).unwrap(), genotype);
    // A node's edges may come in another order.
    let turned = BENCHMARK.replace("nor_conv_3x3~0|avg_pool_3x3~1|", "avg_pool_3x3~1|nor_conv_3x3~0|");
    assert_eq!(Genotype::parse(&turned).unwrap(), genotype);
    assert_eq!(Genotype::from_operations(&NB201, &[3, 3, 4, 1, 3, 5]), None);
    assert_eq!(Genotype::from_operations(&NB201, &[3; 5]), None);
    assert_eq!(Genotype::from_operations(&IMAGE, &[3; 16]), None);
}

#[test]
fn a_benchmark_text_of_another_form_is_refused_by_place() {
    let error = |from: &str, to: &str| {
        assert!(BENCHMARK.contains(from), "nothing to replace: {from}");
        Genotype::parse(&BENCHMARK.replacen(from, to, 1)).unwrap_err().to_string()
    };
    assert_eq!(error("~0|+", "|+"), "line 1, column 14: expected \"~\" and a state's number, found \"|\"");
    assert_eq!(error("~0|+", "~x|+"), "line 1, column 15: expected a state's number, found x");
    assert_eq!(error("|+|", "|-|"), "line 1, column 18: expected \"~\" and a state's number, found \"|\"");
    assert_eq!(error("|none~2|", "|"), "normal, node 2 (of 0..2): a node has 3 edges, this one 2");
    assert_eq!(error("|none~2|", "|none~2"), "line 1, column 87: expected \"|\" after an edge, found the end");
    assert_eq!(
        error("+|nor", "+\n nor"),
        "line 2, column 2: expected \"|\" before a node's first edge, found nor_conv_3x3"
    );
    assert_eq!(
        error("~1|none", "~0|none"),
        "normal, node 2 (of 0..2): state 0 is read twice; there is one edge from each"
    );
    assert!(
        error("none~2", "none~3")
            .starts_with("normal, node 2 (of 0..2), edge 2: reads state 3, which is the node itself")
    );
    assert!(error("none~2", "sep_conv_3x3~2").contains("unknown operation \"sep_conv_3x3\" in the nb201 space"));
    let short = Genotype::parse("|none~0|").unwrap_err().to_string();
    assert_eq!(short, "normal: a cell has 3 nodes, this one 1");
}

#[test]
fn a_file_has_the_kinds_of_cell_and_the_operations_of_its_space() {
    let json = Genotype::resolve(BENCHMARK).unwrap().to_json();
    assert!(!json.contains("reduction"));
    let error = |text: &str| Genotype::from_json(text).unwrap_err().to_string();
    let both = json.replacen("  \"normal\"", "  \"reduction\": {\"nodes\": [], \"concat\": []},\n  \"normal\"", 1);
    assert_eq!(error(&both), "the nb201 space has no reduction cell: leave \"reduction\" out");
    assert_eq!(error(&json.replace("[3]", "[2]")), "normal, concat: it must be [3], the last node, not [2]");
    let darts = published("darts_v2").unwrap().to_json();
    let alone = darts.replacen("\"reduction\"", "\"other\"", 1);
    assert!(error(&alone).contains("unknown field `other`"), "{}", error(&alone));
    let start = darts.find(",\n  \"reduction\"").unwrap();
    let end = darts.find(",\n  \"origin\"").unwrap();
    assert_eq!(
        error(&format!("{}{}", &darts[..start], &darts[end..])),
        "not a genotype file: missing field `reduction`"
    );
    // S1 has other operations on every edge.
    let text = error(&darts.replace("\"image\"", "\"s1\""));
    assert_eq!(
        text,
        "normal, node 0 (of 0..3), edge 0: \"sep_conv_3x3\" is none of the operations from state 0, which are skip_connect, \
         dil_conv_3x3"
    );
}
