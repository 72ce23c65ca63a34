//! The page of a comparison.

use super::Page;
use super::html::{absent, data_url, escape, section, table};
use crate::compare::{Claim, Outcome, Report, TruthReport, Verdict};
use crate::run::{Folder, RunError};
use serde::Deserialize;

/// A comparison's results, of either kind.
enum Compared {
    Trained(Report),
    LookedUp(TruthReport),
}

/// What of a comparison by training is measured; the rest follows from it, also where it was written by a program of before.
#[derive(Deserialize)]
struct Runs {
    recipe: String,
    runs: Vec<Outcome>,
}

/// The pictures that a comparison writes.
const PICTURES: [(&str, &str); 4] = [
    ("accuracy.svg", "Accuracy of every method"),
    ("cost.svg", "Accuracy against cost"),
    ("course.svg", "The searches' course"),
    ("trajectory.svg", "What the cell would be worth if the search ended now"),
];

/// Whether a folder is a comparison's.
pub(super) fn is_one(folder: &Folder) -> bool {
    ["compare.json", "truth.json"].iter().any(|name| folder.file(name).exists())
}

/// The page of the comparison in a folder.
pub(super) fn page(folder: &Folder) -> Result<Page, RunError> {
    let compared = match folder.json::<Runs>("compare.json")? {
        Some(Runs { runs, .. }) if runs.is_empty() => {
            return Err(RunError::NoRun { path: folder.path().to_owned(), missing: "run that is done" });
        }
        Some(Runs { recipe, runs }) => Compared::Trained(Report::of(&recipe, runs)),
        None => Compared::LookedUp(folder.json::<TruthReport>("truth.json")?.ok_or_else(|| RunError::NoRun {
            path: folder.path().to_owned(),
            missing: "compare.json or truth.json",
        })?),
    };
    let (recipe, methods, claims, tables, sentences, csv) = match &compared {
        Compared::Trained(report) => (
            &report.recipe,
            report.methods.len(),
            &report.claims,
            report.tables(),
            report.explanation(),
            report.to_csv(),
        ),
        Compared::LookedUp(report) => (
            &report.recipe,
            report.methods.len(),
            &report.claims,
            vec![report.rows()],
            report.explanation(),
            report.to_csv(),
        ),
    };
    let runs: Vec<Vec<String>> = csv.lines().map(|line| line.split(',').map(shortened).collect()).collect();
    let captions = ["Results", "Costs", "Cells"];
    let tables: String = tables
        .iter()
        .zip(captions)
        .filter_map(|(rows, caption)| Some(table(caption, rows.first()?, &rows[1..])))
        .collect();
    let pictures: String = PICTURES.iter().filter_map(|(file, name)| picture(folder, file, name)).collect();
    let pictures = if pictures.is_empty() { absent("There are no pictures in its folder.") } else { pictures };
    let all = runs.split_first().map_or(String::new(), |(head, rows)| table("A row a run", head, rows));
    let sections = vec![
        section("results", "Methods", &format!("{tables}<p>{}</p>", escape(sentences.trim()))),
        section("claims", "What may be said", &said(claims)),
        section("pictures", "Pictures", &pictures),
        section("runs", "Every run", &all),
        section("making", "How it was made", &making(folder, recipe, &runs)),
    ];
    let path = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    let title = path.file_name().map_or_else(|| "comparison".to_owned(), |name| name.to_string_lossy().into_owned());
    let count = runs.len().saturating_sub(1);
    let lead = format!("A comparison of {methods} methods with the recipe {recipe}: {count} runs.");
    Ok(Page { title, lead, sections, data: String::new() })
}

/// A field of a table for programs as people read it: numbers with four digits behind the point.
fn shortened(field: &str) -> String {
    match (field.parse::<f64>(), field.split_once('.')) {
        (Ok(number), Some((_, digits))) if digits.len() > 4 => format!("{number:.4}"),
        _ => field.to_owned(),
    }
}

fn said(claims: &[Claim]) -> String {
    if claims.is_empty() {
        return absent("Nothing: there is nothing to compare with.");
    }
    let claim = |Claim { statement, verdict, evidence }: &Claim| {
        let class = match verdict {
            Verdict::Supported => "supported",
            Verdict::NotSupported => "refuted",
            Verdict::Undecided => "undecided",
        };
        format!("<li class=\"{class}\"><b>{verdict}</b>: {} ({})</li>", escape(statement), escape(evidence))
    };
    format!("<ul class=\"claims\">{}</ul>", claims.iter().map(claim).collect::<String>())
}

/// A picture of the folder, as a picture: whatever is in the file, nothing of it is run.
fn picture(folder: &Folder, file: &str, name: &str) -> Option<String> {
    let bytes = std::fs::read(folder.file(file)).ok()?;
    let url = data_url("image/svg+xml", &bytes);
    Some(format!(
        "<figure class=\"paper\"><figcaption>{name}</figcaption><div class=\"wide\" id=\"{file}\" tabindex=\"0\" role=\"region\" \
         aria-label=\"{name}\"><img src=\"{url}\" alt=\"{name}; the tables have the numbers\"></div></figure>"
    ))
}

/// The command: methods and seeds by what is there.
fn making(folder: &Folder, recipe: &str, runs: &[Vec<String>]) -> String {
    let mut methods: Vec<&str> = runs.iter().skip(1).map(|run| run[0].as_str()).collect();
    methods.dedup();
    let seeds = runs.iter().skip(1).filter_map(|run| run.get(1)?.parse::<u64>().ok()).max().unwrap_or(1);
    let table = if folder.file("truth.json").exists() { " --table TABLE.csv" } else { "" };
    let text = format!("sdas compare {recipe} --methods {} --seeds {seeds}{table}", methods.join(","));
    format!(
        "<p>The methods and seeds that are there come of a command like this one; what else the recipe was given is in each \
         run's <code>config.toml</code>. <code>sdas report</code> of a run's folder shows that run.</p>\
         <pre class=\"command\">{}</pre>",
        escape(&text)
    )
}
