//! The genotype file: JSON with a format and a version, checked on reading.

use super::{Draft, Gene, Genes, Genotype, GenotypeError, Origin, published};
use crate::space::{CellKind, Space};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use std::fs;
use std::io;
use std::path::Path;

pub(super) const FORMAT: &str = "sdas-genotype";
pub(super) const VERSION: u64 = 1;
/// The file's name in a run's folder.
const IN_RUN: &str = "genotype.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    // Read before, by `from_json`; here, to be known fields.
    #[serde(rename = "format")]
    _format: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
    space: String,
    normal: CellForm,
    // There where the space has such cells.
    reduction: Option<CellForm>,
    #[serde(default)]
    origin: Option<Origin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CellForm {
    nodes: Vec<Vec<GeneForm>>,
    concat: Vec<i64>,
}

// Signed, so that "-1" is refused by the check, which names the place, and not by the JSON reader, which cannot.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GeneForm {
    from: i64,
    op: String,
}

impl From<CellForm> for Draft {
    fn from(form: CellForm) -> Self {
        let pair = |gene: GeneForm| (gene.op, gene.from);
        Draft {
            nodes: form.nodes.into_iter().map(|edges| edges.into_iter().map(pair).collect()).collect(),
            concat: form.concat,
        }
    }
}

impl Genotype {
    /// The genotype file's text: JSON with one node a line and a newline at the end.
    pub fn to_json(&self) -> String {
        // Laid out by hand, because the usual indentation spends four lines on an edge.
        let mut parts = vec![
            format!("  \"format\": \"{FORMAT}\""),
            format!("  \"version\": {VERSION}"),
            format!("  \"space\": \"{}\"", self.space),
        ];
        parts.extend(self.kinds().map(|(kind, genes)| format!("  \"{kind}\": {}", cell_json(genes))));
        if let Some(origin) = &self.origin {
            let text = serde_json::to_string_pretty(origin).expect("strings and numbers are always JSON");
            parts.push(format!("  \"origin\": {}", text.replace('\n', "\n  ")));
        }
        format!("{{\n{}\n}}\n", parts.join(",\n"))
    }

    /// Reads a genotype file's text.
    ///
    /// # Errors
    ///
    /// Anything but version 1 of the format with exactly its fields, and cells that cannot be; the message names the
    /// place.
    pub fn from_json(text: &str) -> Result<Genotype, GenotypeError> {
        // Format and version first: of another version, the other fields mean nothing.
        let value: serde_json::Value = serde_json::from_str(text).map_err(GenotypeError::Json)?;
        let found = |key: &str| value.get(key).map_or("missing".to_owned(), |value| value.to_string());
        if value.get("format").and_then(|value| value.as_str()) != Some(FORMAT) {
            return Err(GenotypeError::Format { found: found("format") });
        }
        if value.get("version").and_then(|value| value.as_u64()) != Some(VERSION) {
            return Err(GenotypeError::Version { found: found("version") });
        }
        let form: FileForm = serde_json::from_str(text).map_err(GenotypeError::Json)?;
        let space: &'static Space = form.space.parse().map_err(GenotypeError::Space)?;
        let mut forms = vec![form.normal];
        match (space.kinds().contains(&CellKind::Reduction), form.reduction) {
            (true, Some(form)) => forms.push(form),
            (true, None) => return Err(GenotypeError::Json(serde_json::Error::missing_field("reduction"))),
            (false, None) => {}
            (false, Some(_)) => return Err(GenotypeError::NoReduction { space }),
        }
        let check = |(form, &kind): (CellForm, &CellKind)| Draft::from(form).check(kind, space);
        let cells = forms.into_iter().zip(space.kinds()).map(check).collect::<Result<_, _>>()?;
        Ok(Genotype { space, cells, origin: form.origin })
    }

    /// Reads a file, as [`Genotype::parse`] reads text.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and those of [`Genotype::parse`] with the path.
    pub fn read(path: impl AsRef<Path>) -> Result<Genotype, GenotypeError> {
        read_cell(path.as_ref(), None)
    }

    /// Writes a genotype file: beside, then renamed, so that a file of that name is whole at every moment.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), GenotypeError> {
        let path = path.as_ref();
        sdas_data::whole::write_whole(path, self.to_json().as_bytes())
            .map_err(|error| GenotypeError::Write { path: path.to_owned(), error })
    }

    /// The published cell of that name, else the genotype in the file of that name; a run's folder stands for the
    /// `genotype.json` in it, and `FILE:NAME` for one of several cells in a file, by its name or its line. A file called like
    /// a published cell is reached as `./darts_v2`. What begins with `|` is a cell itself, as NAS-Bench-201 writes it.
    ///
    /// # Errors
    ///
    /// Neither a file nor a published cell (the message lists those), and those of [`Genotype::read`].
    pub fn resolve(file_or_name: &str) -> Result<Genotype, GenotypeError> {
        if let Some(genotype) = published(file_or_name) {
            return Ok(genotype);
        }
        if file_or_name.starts_with('|') {
            return Genotype::from_benchmark_text(file_or_name);
        }
        let path = Path::new(file_or_name);
        if path.is_dir() {
            return Genotype::read(path.join(IN_RUN));
        }
        if path.exists() {
            return Genotype::read(path);
        }
        match file_or_name.rsplit_once(':') {
            Some((file, name)) if Path::new(file).is_file() => read_cell(Path::new(file), Some(name)),
            _ => Err(GenotypeError::Unknown { name: file_or_name.to_owned() }),
        }
    }
}

fn read_cell(path: &Path, which: Option<&str>) -> Result<Genotype, GenotypeError> {
    let text =
        fs::read(path).and_then(decoded).map_err(|error| GenotypeError::Read { path: path.to_owned(), error })?;
    Genotype::parse_cell(&text, which)
        .map_err(|fault| GenotypeError::In { path: path.to_owned(), fault: Box::new(fault) })
}

/// The text of a file: UTF-8, or UTF-16 with a byte order mark, as a Windows shell's `>` writes it.
fn decoded(bytes: Vec<u8>) -> io::Result<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(io::Error::other)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(io::Error::other),
    }
}

fn cell_json(genes: &Genes) -> String {
    // Operations' names are plain words: nothing in them needs escaping.
    let edge = |gene: &Gene| format!("{{\"from\": {}, \"op\": \"{}\"}}", gene.from, gene.operation.name);
    let edges = |genes: &Vec<Gene>| genes.iter().map(edge).collect::<Vec<_>>().join(", ");
    let nodes: Vec<_> = genes.nodes.iter().map(|genes| format!("      [{}]", edges(genes))).collect();
    format!("{{\n    \"nodes\": [\n{}\n    ],\n    \"concat\": {:?}\n  }}", nodes.join(",\n"), genes.concat)
}
