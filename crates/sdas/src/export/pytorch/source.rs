//! Pieces of Python.

use std::fmt::Write as _;

/// A string of Python, of names that have nothing to be escaped but what is.
pub(super) fn python(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// A tuple, for `(`, or a list, for `[`.
pub(super) fn numbers(open: char, values: &[usize]) -> String {
    let listed: Vec<String> = values.iter().map(usize::to_string).collect();
    let (listed, only) = (listed.join(", "), if values.len() == 1 && open == '(' { "," } else { "" });
    format!("{open}{listed}{only}{}", if open == '(' { ')' } else { ']' })
}

/// A module of a network by its name: `self.layer1["0"]["conv1"]`.
pub(super) fn path(name: &str) -> String {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    parts.fold(format!("self.{first}"), |path, part| format!("{path}[{}]", python(part)))
}

/// Modules by name, in their order: those of one prefix in a dictionary.
#[derive(Debug, Default)]
pub(super) struct Modules {
    parts: Vec<(String, Option<Part>)>,
}

#[derive(Debug)]
enum Part {
    Module(String),
    Within(Modules),
}

impl Modules {
    /// Adds a module, or only what it lies in.
    pub(super) fn add(&mut self, name: &str, module: Option<String>) {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let at = self.parts.iter().position(|(part, _)| part == first).unwrap_or_else(|| {
            self.parts.push((first.to_owned(), None));
            self.parts.len() - 1
        });
        let part = &mut self.parts[at].1;
        match (rest, part) {
            (None, part) => *part = module.map(Part::Module),
            (Some(rest), Some(Part::Within(within))) => within.add(rest, module),
            (Some(rest), part) => {
                let mut within = Modules::default();
                within.add(rest, module);
                *part = Some(Part::Within(within));
            }
        }
    }

    /// The lines that make them, in `__init__`.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, part) in &self.parts {
            if let Some(part) = part {
                let _ = write!(text, "        self.{name} = ");
                part.write(&mut text, 2);
                text.push('\n');
            }
        }
        text
    }
}

impl Part {
    fn write(&self, text: &mut String, depth: usize) {
        match self {
            Part::Module(module) => text.push_str(module),
            Part::Within(Modules { parts }) => {
                text.push_str("nn.ModuleDict({\n");
                for (name, part) in parts {
                    if let Some(part) = part {
                        let _ = write!(text, "{}{}: ", "    ".repeat(depth + 1), python(name));
                        part.write(text, depth + 1);
                        text.push_str(",\n");
                    }
                }
                let _ = write!(text, "{}}})", "    ".repeat(depth));
            }
        }
    }
}
