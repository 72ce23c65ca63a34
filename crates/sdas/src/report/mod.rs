//! A run, or a comparison, as one page of HTML: everything that its folder holds, with pictures, and nothing from outside.
//!
//! A page is data first (`Page`: a title, sections, and what the script moves), made from a run's folder (`run.rs`) or a
//! comparison's (`comparison.rs`), and then text around which `page.css` and `page.js` stand.

mod chart;
mod comparison;
mod growth;
mod html;
mod making;
mod measured;
mod run;
pub mod tensorboard;

pub use measured::Measured;

use crate::evaluate::examine;
use crate::run::{Context, Folder, RunError};
use html::escape;
use std::path::Path;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Mistakes on a page.
const MISTAKES: usize = 24;

/// A page before it is text.
#[derive(Debug)]
struct Page {
    title: String,
    /// What it is of, in a line.
    lead: String,
    /// HTML.
    sections: Vec<String>,
    /// JSON for the script; empty where nothing moves.
    data: String,
}

/// How a page comes to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a file, which asks nobody for anything.
    File,
    /// From a server that it asks for news of itself.
    Served,
}

/// Measures the run in a folder on the test set, where its data can be found; a comparison has done so with its own.
pub fn measure(path: &Path, data: Option<&Path>, context: &mut Context<'_>) -> Measured {
    match examine(path, data, MISTAKES, context) {
        Ok(examination) => Measured::Done(Box::new(examination)),
        Err(error) => Measured::Not(error.to_string()),
    }
}

/// Whether the folder is a run's that can be measured, not a comparison's.
///
/// # Errors
///
/// If it is neither's.
pub fn is_run(path: &Path) -> Result<bool, RunError> {
    match Folder::open(path) {
        Ok(_) => Ok(true),
        Err(_) if comparison::is_one(&Folder::at(path)) => Ok(false),
        Err(_) => Err(RunError::NoRun { path: path.to_owned(), missing: "config.toml, compare.json or truth.json" }),
    }
}

/// The page of the run or the comparison in a folder.
///
/// # Errors
///
/// If it holds neither, or what it holds cannot be read.
pub fn page(path: &Path, measured: &Measured, form: Form) -> Result<String, RunError> {
    let page = match is_run(path)? {
        true => run::page(&Folder::open(path)?, measured)?,
        false => comparison::page(&Folder::at(path))?,
    };
    Ok(page.to_html(form))
}

impl Page {
    fn to_html(&self, form: Form) -> String {
        let Page { title, lead, sections, data } = self;
        let (title, lead) = (escape(title), escape(lead));
        // Whatever gets into the page, it can ask nobody for anything.
        let asks = if form == Form::Served { "'self'" } else { "'none'" };
        let policy = format!(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src {asks}; \
             base-uri 'none'; form-action 'none'"
        );
        let live = if form == Form::Served { " data-live" } else { "" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title} – sdas</title>\n<style>\n{STYLE}</style>\n</head>\n<body{live}>\n\
             <a class=\"skip\" href=\"#page\">To the content</a>\n\
             <header><h1>{title}</h1><p id=\"lead\">{lead}</p><p id=\"news\" role=\"status\"></p></header>\n\
             <main id=\"page\" tabindex=\"-1\">\n{}\n</main>\n<footer>Made by sdas {}.</footer>\n\
             <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            sections.join("\n"),
            env!("CARGO_PKG_VERSION")
        )
    }
}

#[cfg(test)]
mod tests;
