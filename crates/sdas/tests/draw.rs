//! Drawings as a user gets them; where labels lie is tested beside the layout.

use sdas::draw::{EdgeState, Picture, cell_pair, svg, to_text};
use sdas::genotype::{Genotype, PUBLISHED, published};

#[test]
fn a_drawing_names_every_edge_of_both_cells() {
    for cell in PUBLISHED {
        let genotype = cell.genotype();
        let drawing = cell_pair(&genotype, cell.name);
        assert!(drawing.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" "));
        assert!(drawing.ends_with("</svg>\n"));
        assert!(drawing.contains("normal cell") && drawing.contains("reduction cell"));
        for genes in &genotype.cells {
            for (_, gene) in genes.edges() {
                assert!(drawing.contains(&format!(">{}</text>", gene.operation.name)));
            }
        }
        assert_eq!(
            drawing.matches("_pool_3x3</text>").count()
                + drawing.matches("_conv_3x3</text>").count()
                + drawing.matches("_conv_5x5</text>").count()
                + drawing.matches(">skip_connect</text>").count(),
            16
        );
    }
}

#[test]
fn equal_cells_give_equal_drawings() {
    let genotype = published("pdarts").unwrap();
    assert_eq!(cell_pair(&genotype, "P-DARTS"), cell_pair(&genotype, "P-DARTS"));
}

#[test]
fn a_title_is_escaped() {
    let drawing = cell_pair(&published("darts_v1").unwrap(), "a < b & \"c\"\u{1b}");
    assert!(drawing.contains("<title>a &lt; b &amp; &quot;c&quot; </title>"));
}

#[test]
fn an_undecided_edge_is_said_to_be() {
    let mut picture = Picture::of(&published("darts_v1").unwrap(), "epoch 12");
    assert!(!svg(&picture).contains("undecided"));
    picture.cells[0].edges[3].state = EdgeState::Undecided;
    assert!(svg(&picture).contains("undecided"));
}

#[test]
fn a_picture_of_nothing_is_a_picture() {
    let nothing = Picture { title: String::new(), cells: Vec::new() };
    assert!(svg(&nothing).ends_with("</svg>\n"));
}

#[test]
fn a_terminal_gets_aligned_sums() {
    let expected = "\
normal
  node 0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})
  node 1 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1})
  node 2 = sep_conv_3x3(c_{k-1}) + skip_connect(c_{k-2})
  node 3 = skip_connect(c_{k-2}) + dil_conv_3x3(node 0)
  output = node 0, node 1, node 2, node 3
reduction
  node 0 = max_pool_3x3(c_{k-2}) + max_pool_3x3(c_{k-1})
  node 1 = skip_connect(node 0)  + max_pool_3x3(c_{k-1})
  node 2 = max_pool_3x3(c_{k-2}) + skip_connect(node 0)
  node 3 = skip_connect(node 0)  + max_pool_3x3(c_{k-1})
  output = node 0, node 1, node 2, node 3
";
    assert_eq!(to_text(&published("darts_v2").unwrap()), expected);
    assert_eq!(to_text(&Genotype { origin: None, ..published("darts_v2").unwrap() }), expected);
}

#[test]
fn a_terminal_gets_sums_of_any_length() {
    let cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|";
    let expected = "\
normal
  node 0 = nor_conv_3x3(c_{k-1})
  node 1 = 0
  node 2 = skip_connect(c_{k-1}) + nor_conv_3x3(node 0) + avg_pool_3x3(node 1)
  output = node 2
";
    let genotype = Genotype::parse(cell).unwrap();
    assert_eq!(to_text(&genotype), expected);
    let drawing = cell_pair(&genotype, "");
    assert!(!drawing.contains(">none<") && drawing.contains(">output<") && !drawing.contains("concatenation"));
}
