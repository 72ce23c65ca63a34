//! Cells: genotypes in every form, and tables of trained cells.

use sdas::genotype::{Genotype, published};
use sdas::table::{CellSpace, Table};
use std::cell::RefCell;
use std::fs;
use tempfile::NamedTempFile;

fn seeds_of(form: fn(&Genotype) -> String) -> Vec<Vec<u8>> {
    let names = ["darts_v2", "pc_darts_cifar", "sgas_cri1", "snas_mild"];
    names.into_iter().filter_map(published).map(|genotype| form(&genotype).into_bytes()).collect()
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    let benchmark = Genotype::from_benchmark_text(BENCHMARK).expect("a cell").to_json();
    seeds_of(Genotype::to_json).into_iter().chain([benchmark.into_bytes()]).collect()
}

pub(crate) fn json(bytes: &[u8]) {
    let Ok(genotype) = Genotype::from_json(&String::from_utf8_lossy(bytes)) else { return };
    let again = Genotype::from_json(&genotype.to_json()).expect("what is written is read");
    assert!(again == genotype, "it is read back as another");
    use_cell(&genotype);
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let log = b"2019-12-31 12:00:00,000 genotype = ";
    let mut seeds = seeds_of(Genotype::to_darts_text);
    seeds.extend(seeds_of(Genotype::to_darts_text).iter().map(|text| [&log[..], text].concat()));
    seeds.extend(seeds_of(Genotype::to_text));
    seeds
}

pub(crate) fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(genotype) = Genotype::from_darts_text(&text) {
        use_cell(&genotype);
    }
    if let Ok(genotype) = Genotype::parse(&text) {
        use_cell(&genotype);
    }
}

const BENCHMARK: &str = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|";

pub(crate) fn benchmark_seeds() -> Vec<Vec<u8>> {
    vec![BENCHMARK.as_bytes().to_vec(), b"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|".to_vec()]
}

pub(crate) fn benchmark(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(genotype) = Genotype::from_benchmark_text(&text) {
        use_cell(&genotype);
    }
    let space = CellSpace::nas_bench_201();
    if let Ok(cell) = space.parse(&text) {
        assert!(space.parse(&space.text(&cell)).is_ok_and(|again| again == cell), "it is read back as another");
    }
}

/// What is done with a cell that was read.
fn use_cell(genotype: &Genotype) {
    genotype.edge_count();
    genotype.to_text();
}

/// A table of a space of 16 cells.
fn small() -> CellSpace {
    CellSpace::new(&["none", "skip_connect"], 3)
}

pub(crate) fn table_seeds() -> Vec<Vec<u8>> {
    let space = small();
    let cells = || (0..space.cells()).map(|number| space.architecture(number));
    let mut words = "architecture,valid_12,test_200,flops\n".to_owned();
    cells().enumerate().for_each(|(at, cell)| words += &format!("\"{}\",{at}.5,0.{at},1e{at}\n", space.text(&cell)));
    vec![words.into_bytes()]
}

pub(crate) fn table(bytes: &[u8]) {
    thread_local! {
        static FILE: RefCell<NamedTempFile> = RefCell::new(crate::data::file(".csv"));
    }
    FILE.with_borrow(|file| {
        fs::write(file.path(), bytes).expect("there is room");
        for space in [small(), CellSpace::nas_bench_201()] {
            let Ok(table) = Table::read(file.path(), space) else { continue };
            for name in ["valid_12", "test_200"] {
                if let Ok(column) = table.column(name) {
                    column.standing(column.best());
                    column.distribution();
                }
            }
        }
    });
}
