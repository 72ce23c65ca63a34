//! Cells from the literature, by name.
//!
//! Each is the one its authors' public code gives, checked against a second public listing; the parameter counts that
//! follow from them are tested in `crate::network`.

use super::{Draft, Genes, Genotype, Origin};
use crate::space::{CellKind, IMAGE};

/// A cell from the literature.
#[derive(Debug)]
pub struct Published {
    /// Its name on the command line.
    pub name: &'static str,
    /// The method that found it.
    pub method: &'static str,
    /// The data it was found on.
    pub dataset: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    normal: Edges,
    reduction: Edges,
}

/// Two for each of the four nodes.
type Edges = [(&'static str, i64); 8];

const DARTS: &str = "Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055";
const PDARTS: &str = "Chen, Xie, Wu, Tian: Progressive Differentiable Architecture Search: Bridging the Depth Gap \
                      between Search and Evaluation. ICCV 2019, arXiv:1904.12760";
const PC_DARTS: &str = "Xu, Xie, Zhang, Chen, Qi, Tian, Xiong: PC-DARTS: Partial Channel Connections for \
                        Memory-Efficient Architecture Search. ICLR 2020, arXiv:1907.05737";
const SNAS: &str = "Xie, Zheng, Liu, Lin: SNAS: Stochastic Neural Architecture Search. ICLR 2019, arXiv:1812.09926";
const SGAS: &str = "Li, Qian, Delgadillo, Müller, Thabet, Ghanem: SGAS: Sequential Greedy Architecture Search. \
                    CVPR 2020, arXiv:1912.00195";

const SKIP: &str = "skip_connect";
const MAX: &str = "max_pool_3x3";
const AVG: &str = "avg_pool_3x3";
const SEP3: &str = "sep_conv_3x3";
const SEP5: &str = "sep_conv_5x5";
const DIL3: &str = "dil_conv_3x3";
const DIL5: &str = "dil_conv_5x5";

/// The published cells, all of the image space and all with the four nodes as output.
#[rustfmt::skip] // One node a pair of columns.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "darts_v1",
        method: "DARTS, first order",
        dataset: "CIFAR-10",
        paper: DARTS,
        normal:    [(SEP3, 1), (SEP3, 0),  (SKIP, 0), (SEP3, 1),  (SKIP, 0), (SEP3, 1),  (SEP3, 0), (SKIP, 2)],
        reduction: [(MAX, 0),  (MAX, 1),   (SKIP, 2), (MAX, 0),   (MAX, 0),  (SKIP, 2),  (SKIP, 2), (AVG, 0)],
    },
    Published {
        name: "darts_v2",
        method: "DARTS, second order",
        dataset: "CIFAR-10",
        paper: DARTS,
        normal:    [(SEP3, 0), (SEP3, 1),  (SEP3, 0), (SEP3, 1),  (SEP3, 1), (SKIP, 0),  (SKIP, 0), (DIL3, 2)],
        reduction: [(MAX, 0),  (MAX, 1),   (SKIP, 2), (MAX, 1),   (MAX, 0),  (SKIP, 2),  (SKIP, 2), (MAX, 1)],
    },
    Published {
        name: "pdarts",
        method: "P-DARTS",
        dataset: "CIFAR-10",
        paper: PDARTS,
        normal:    [(SKIP, 0), (DIL3, 1),  (SKIP, 0), (SEP3, 1),  (SEP3, 1), (SEP3, 3),  (SEP3, 0), (DIL5, 4)],
        reduction: [(AVG, 0),  (SEP5, 1),  (SEP3, 0), (DIL5, 2),  (MAX, 0),  (DIL3, 1),  (DIL3, 1), (DIL5, 3)],
    },
    Published {
        name: "pc_darts_cifar",
        method: "PC-DARTS",
        dataset: "CIFAR-10",
        paper: PC_DARTS,
        normal:    [(SEP3, 1), (SKIP, 0),  (SEP3, 0), (DIL3, 1),  (SEP5, 0), (SEP3, 1),  (AVG, 0),  (DIL3, 1)],
        reduction: [(SEP5, 1), (MAX, 0),   (SEP5, 1), (SEP5, 2),  (SEP3, 0), (SEP3, 3),  (SEP3, 1), (SEP3, 2)],
    },
    Published {
        name: "pc_darts_imagenet",
        method: "PC-DARTS",
        dataset: "ImageNet",
        paper: PC_DARTS,
        normal:    [(SKIP, 1), (SEP3, 0),  (SEP3, 0), (SKIP, 1),  (SEP3, 1), (SEP3, 3),  (SEP3, 1), (DIL5, 4)],
        reduction: [(SEP3, 0), (SKIP, 1),  (DIL5, 2), (MAX, 1),   (SEP3, 2), (SEP3, 1),  (SEP5, 0), (SEP3, 3)],
    },
    Published {
        name: "snas_mild",
        method: "SNAS, mild constraint",
        dataset: "CIFAR-10",
        paper: SNAS,
        normal:    [(SEP3, 0), (SEP3, 1),  (SKIP, 0), (DIL3, 1),  (SKIP, 0), (SKIP, 1),  (SKIP, 0), (SEP3, 1)],
        reduction: [(MAX, 0),  (MAX, 1),   (MAX, 1),  (SKIP, 2),  (MAX, 1),  (SKIP, 2),  (MAX, 0),  (DIL5, 2)],
    },
    Published {
        name: "sgas_cri1",
        method: "SGAS, criterion 1, the best of ten on CIFAR-10",
        dataset: "CIFAR-10",
        paper: SGAS,
        normal:    [(SEP3, 0), (DIL3, 1),  (SEP3, 0), (SEP3, 1),  (SEP5, 1), (SEP5, 3),  (SKIP, 0), (DIL5, 2)],
        reduction: [(MAX, 0),  (DIL5, 1),  (SEP3, 0), (SKIP, 2),  (SEP3, 1), (SKIP, 2),  (MAX, 0),  (MAX, 1)],
    },
    Published {
        name: "sgas_cri2",
        method: "SGAS, criterion 2, the best of ten on CIFAR-10",
        dataset: "CIFAR-10",
        paper: SGAS,
        normal:    [(SEP3, 0), (SEP3, 1),  (SEP3, 0), (SEP3, 2),  (MAX, 0),  (SEP3, 3),  (SEP3, 2), (SEP3, 3)],
        reduction: [(SEP3, 0), (MAX, 1),   (DIL3, 0), (MAX, 1),   (MAX, 0),  (SEP3, 2),  (MAX, 0),  (SEP5, 2)],
    },
];

impl Published {
    /// The cell, with the method and the data set as its origin.
    pub fn genotype(&self) -> Genotype {
        let origin = Origin { method: self.method.to_owned(), dataset: self.dataset.to_owned(), ..Origin::default() };
        Genotype {
            space: &IMAGE,
            cells: vec![genes(CellKind::Normal, &self.normal), genes(CellKind::Reduction, &self.reduction)],
            origin: Some(origin),
        }
    }
}

fn genes(kind: CellKind, edges: &Edges) -> Genes {
    let nodes = edges.chunks(2).map(|pair| pair.iter().map(|&(name, from)| (name.to_owned(), from)).collect());
    let draft = Draft { nodes: nodes.collect(), concat: vec![2, 3, 4, 5] };
    draft.check(kind, &IMAGE).expect("the table above holds cells; a test reads them all")
}

/// The published cell called `name`.
pub fn published(name: &str) -> Option<Genotype> {
    PUBLISHED.iter().find(|published| published.name == name).map(Published::genotype)
}

/// The names, for messages.
pub(super) fn names() -> String {
    PUBLISHED.iter().map(|published| published.name).collect::<Vec<_>>().join(", ")
}
