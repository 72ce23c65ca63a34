//! A comparison that is judged by a table of trained cells: nothing is trained, every found cell is looked up, and with it
//! the cells that each search would have come to if it had ended before.

mod report;
mod text;
mod trajectory;

pub use report::{Found, Judged, TruthReport};
pub(super) use trajectory::Band;

use super::share::{Account, Work};
use super::{Beside, Comparison, Completion, Listed, Part, Share, plot};
use crate::recipe::Recipe;
use crate::run::{CellRecord, Context, Event, Folder, RunError, Stage};
use crate::space::{Keep, Space};
use crate::table::{CellSpace, Column, Searcher, Table, TableError};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;
use trajectory::Course;

/// What is true of cells: a column of a table; and what searches that need accuracies are told instead, another one.
#[derive(Debug)]
pub struct Truth {
    table: Table,
    column: String,
    validation: String,
}

impl Truth {
    /// By these columns of a table.
    ///
    /// # Errors
    ///
    /// A column of the truth that is not there. Of the other, [`Comparison::look_up`] says so, if a method asks for it.
    pub fn new(table: Table, column: &str, validation: &str) -> Result<Self, TableError> {
        table.column(column)?;
        Ok(Truth { table, column: column.to_owned(), validation: validation.to_owned() })
    }

    fn column(&self) -> &Column {
        self.table.column(&self.column).expect("looked for when the truth was made")
    }

    /// The column that searches are told.
    fn validation(&self) -> Result<&Column, RunError> {
        if self.validation == self.column {
            let message = format!("is {} like the truth, but no method may choose by that; name another", self.column);
            return Err(RunError::Setting { key: "validation", message });
        }
        Ok(self.table.column(&self.validation)?)
    }
}

/// A method and seed that is looked up.
struct Done {
    /// Which of the methods.
    method: usize,
    found: Found,
    course: Course,
}

/// Sees that the recipe searches cells that the table has.
fn check_space(recipe: &Recipe, space: &CellSpace) -> Result<(), RunError> {
    let own = recipe.space.name;
    let is_the_tables = own.keep == Keep::EveryEdge && CellSpace::of(own) == *space;
    if is_the_tables { Ok(()) } else { Err(other_space(own)) }
}

fn other_space(name: &Space) -> RunError {
    let message =
        format!("is {name}, but the table has no cells of that space; name a recipe that searches the table's");
    RunError::Setting { key: "space.name", message }
}

impl Comparison {
    /// Looks up what the methods find: searches what `share` says of what is missing in `folder`, trains nothing, and writes
    /// what all of it comes to: `truth.{json,csv,md}`, and `trajectory.{svg,csv}`. Searches are those of
    /// [`run`](Comparison::run), in the same places, so that either goes on with what the other has done; `beside` computes
    /// them elsewhere.
    ///
    /// # Errors
    ///
    /// See [`RunError`]; also a recipe that searches other cells than the table has, and a table without the column that a
    /// method asks for.
    pub fn look_up(
        &self,
        truth: &Truth,
        folder: &Path,
        share: Share,
        mut context: Context<'_>,
        beside: Option<&Beside<'_>>,
    ) -> Result<Completion<TruthReport>, RunError> {
        self.check_truth(truth)?;
        let account = LookedUp { comparison: self, truth, done: Vec::new() };
        Work::new(&self.looked_up(folder)?, folder, beside, account).run(share, &mut context)
    }

    /// The parts that are looked up, as [`list`](Comparison::list) has those that are trained.
    ///
    /// # Errors
    ///
    /// As of [`look_up`](Comparison::look_up).
    pub fn list_looked_up(&self, truth: &Truth, folder: &Path) -> Result<Vec<Listed>, RunError> {
        self.check_truth(truth)?;
        let account = LookedUp { comparison: self, truth, done: Vec::new() };
        Ok(Work::new(&self.looked_up(folder)?, folder, None, account).list())
    }

    /// Cells drawn by chance are the table's own.
    fn looked_up<'a>(&'a self, folder: &'a Path) -> Result<Vec<Part<'a>>, RunError> {
        let mut parts = self.parts(folder)?;
        parts.retain(|part| !part.method.draws());
        Ok(parts)
    }

    /// Sees that all methods can be looked up.
    fn check_truth(&self, truth: &Truth) -> Result<(), RunError> {
        for method in self.methods.iter().filter(|method| !method.draws()) {
            match method.searches() {
                true => check_space(&method.recipe(&self.recipe, 1)?, truth.table.space())?,
                false => truth.validation().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// What the cells that were looked up come to.
struct LookedUp<'a> {
    comparison: &'a Comparison,
    truth: &'a Truth,
    done: Vec<Done>,
}

impl LookedUp<'_> {
    fn in_order(&self) -> Vec<&Done> {
        let mut in_order: Vec<&Done> = self.done.iter().collect();
        in_order.sort_by_key(|done| (done.method, done.found.seed));
        in_order
    }
}

impl Account for LookedUp<'_> {
    type Report = TruthReport;

    fn is_done(&self, part: &Part<'_>) -> bool {
        !part.has_to_search()
    }

    fn compute(&self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError> {
        Ok(part.look_up(self.truth, context)?.is_some())
    }

    fn take(&mut self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError> {
        let done = part.look_up(self.truth, context)?;
        let is_done = done.is_some();
        self.done.extend(done);
        Ok(is_done)
    }

    fn tell(&self, part: &Part<'_>, _: &[&Part<'_>], context: &mut Context<'_>) {
        if let Some(Done { found, .. }) = self.done.last().filter(|_| part.method.searches()) {
            context.observer.notice(&Event::LookedUp { found });
        }
    }

    fn report(&self) -> TruthReport {
        let Comparison { recipe, methods, .. } = self.comparison;
        let methods: Vec<(&str, bool)> = methods.iter().map(|method| (method.name.as_str(), method.draws())).collect();
        let found = self.in_order().into_iter().map(|done| done.found.clone()).collect();
        TruthReport::of(&recipe.recipe, self.truth, &methods, found)
    }

    fn write(&self, place: &Folder) -> Result<(), RunError> {
        let report = self.report();
        let json = serde_json::to_string_pretty(&report).expect("a report is JSON");
        place.write("truth.json", json.as_bytes())?;
        place.write("truth.csv", report.to_csv().as_bytes())?;
        place.write("truth.md", report.to_markdown().as_bytes())?;
        let in_order = self.in_order();
        let bands: Vec<Band> = (self.comparison.methods.iter().enumerate())
            .filter_map(|(index, method)| {
                let own = in_order.iter().filter(|done| done.method == index).map(|done| &done.course);
                match method.draws() {
                    true => Some(Band::of_chance(&method.name, &report.table)),
                    false => Band::of(&method.name, &own.collect::<Vec<_>>()),
                }
            })
            .collect();
        place.write("trajectory.csv", trajectory::to_csv(&bands).as_bytes())?;
        place.write("trajectory.svg", plot::trajectories(&report, &bands).as_bytes())
    }
}

impl Part<'_> {
    /// Whether a search of it is missing, which takes its time.
    fn has_to_search(&self) -> bool {
        self.method.searches() && !self.folder(Stage::Search).join("result.json").exists()
    }

    /// Searches, if that is missing, and looks up what was found; `None` if it was stopped.
    fn look_up(&self, truth: &Truth, context: &mut Context<'_>) -> Result<Option<Done>, RunError> {
        if context.stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let (found, course) = match self.method.asks() {
            Some(searcher) => self.asked(searcher, truth)?,
            None => {
                let Some(searched) = self.searched(context)? else { return Ok(None) };
                let space = truth.table.space();
                let cell = space.cell(&searched.genotype).ok_or_else(|| other_space(searched.genotype.space))?;
                let number = space.number(&cell);
                let mut found = Found::of(&self.method.name, self.seed, truth, number);
                found.seconds = searched.outcome.seconds;
                found.peak_memory = searched.outcome.peak_memory;
                (found, self.course(truth, number)?)
            }
        };
        Ok(Some(Done { method: self.index, found, course }))
    }

    /// Lets a search ask the table.
    fn asked(&self, searcher: &Searcher, truth: &Truth) -> Result<(Found, Course), RunError> {
        let (validation, column) = (truth.validation()?, truth.column());
        let start = Instant::now();
        let asked = searcher.run(truth.table.space(), validation, self.seed);
        let seconds = start.elapsed().as_secs_f64();
        let mut found = Found::of(&self.method.name, self.seed, truth, asked.found());
        found.seconds = seconds;
        found.questions = Some(asked.0.len());
        let all = asked.0.len() as f64;
        let points = asked.0.iter().zip(1..).map(|(&cell, count)| (f64::from(count) / all, column.value(cell)));
        Ok((found, Course::of(points)))
    }

    /// What the search would have come to after each epoch, and what it came to, by its number.
    fn course(&self, truth: &Truth, found: usize) -> Result<Course, RunError> {
        let folder = Folder::open(&self.folder(Stage::Search))?;
        let (space, column) = (truth.table.space(), truth.column());
        let epochs = self.recipe.search.epochs as f64;
        let mut points = Vec::new();
        for CellRecord { epoch, genotype, .. } in folder.lines::<CellRecord>("cells.jsonl")? {
            let cell = space.parse(&genotype).map_err(|fault| RunError::File {
                what: "read",
                path: folder.file("cells.jsonl"),
                source: std::io::Error::other(format!("epoch {epoch}: genotype \"{genotype}\": {fault}")),
            })?;
            points.push((epoch as f64 / epochs, column.value(space.number(&cell))));
        }
        points.push((1.0, column.value(found)));
        Ok(Course::of(points))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compare::Method;
    use crate::device;
    use crate::run::Observer;
    use crate::table::tests::table;
    use crate::table::{TRUTH, VALIDATION};
    use std::sync::atomic::AtomicBool;

    struct Silent;

    impl Observer for Silent {
        fn notice(&mut self, _: &Event<'_>) {}
    }

    /// 27 cells: by validation the last is best, in truth the last but one.
    pub(super) fn truth(validation: &str) -> Truth {
        let space = CellSpace::new(&["none", "a", "b"], 3);
        let number = |operations: &[u8]| f64::from(operations.iter().fold(0, |sum, own| 3 * sum + u32::from(*own)));
        let table = table(space, move |own| if number(own) == 26.0 { 24.5 } else { number(own) }, number);
        Truth::new(table, TRUTH, validation).unwrap()
    }

    fn look_up(methods: &[&str], truth: &Truth, folder: &Path) -> Result<TruthReport, RunError> {
        let settings = ["methods.all.table={ kind = \"best_of\", questions = 27 }".to_owned()];
        let recipe = Recipe::resolve("shapes", &settings).unwrap();
        let methods = methods.iter().map(|name| Method::resolve(name, &recipe).unwrap()).collect();
        let comparison = Comparison::new(recipe, methods, 4).unwrap();
        let (device, stop) = (device::choose("cpu").unwrap(), AtomicBool::new(false));
        let context = Context { device, observer: &mut Silent, stop: &stop };
        match comparison.look_up(truth, folder, Share::All, context, None)? {
            Completion::Whole(report) => Ok(*report),
            other => panic!("nobody stops it: {other:?}"),
        }
    }

    /// Two methods of two seeds, and chance.
    pub(in crate::compare) fn trajectories() -> (TruthReport, Vec<Band>) {
        let truth = truth(VALIDATION);
        let methods = [("all", false), ("predictor", false), ("random", true)];
        let report = TruthReport::of("nb201", &truth, &methods, vec![Found::of("all", 1, &truth, 3)]);
        let courses = [[(0.2, 3.0), (0.7, 20.0)], [(0.1, 1.0), (0.9, 25.0)]].map(Course::of);
        let of = |name| Band::of(name, &courses.each_ref()).unwrap();
        let bands = vec![of("all"), of("predictor"), Band::of_chance("random", &report.table)];
        (report, bands)
    }

    #[test]
    fn what_is_chosen_by_validation_is_judged_by_the_truth() {
        let place = tempfile::tempdir().unwrap();
        let report = look_up(&["all", "random", "predictor"], &truth(VALIDATION), place.path()).unwrap();
        // Whoever asks about every cell finds the last one, whatever the truth is.
        assert_eq!(report.runs.len(), 8);
        for run in &report.runs {
            assert_eq!(run.architecture, "|b~0|+|b~0|b~1|");
            assert_eq!((run.truth.value, run.truth.rank, run.truth.regret), (24.5, 2, 0.5));
            assert_eq!(run.validation.as_ref().map(|at| at.rank), Some(1));
        }
        assert_eq!(report.runs[0].questions, Some(27));
        let all = &report.methods[0];
        assert_eq!((all.accuracy.mean, all.accuracy.deviation, all.median_rank), (24.5, Some(0.0), 2.0));
        // Chance is the whole table: 0 to 25 and 24.5.
        let chance = &report.methods[1];
        assert_eq!((chance.method.as_str(), chance.accuracy.n), ("random", 27));
        assert!((chance.accuracy.mean - (325.0 + 24.5) / 27.0).abs() < 1e-9);
        assert_eq!((chance.median_rank, chance.questions), (14.0, None));
        for file in ["truth.json", "truth.csv", "truth.md", "trajectory.csv", "trajectory.svg"] {
            assert!(std::fs::metadata(place.path().join(file)).unwrap().len() > 100, "{file}");
        }
        let read = std::fs::read(place.path().join("truth.json")).unwrap();
        assert_eq!(serde_json::from_slice::<TruthReport>(&read).unwrap(), report);
    }

    #[test]
    fn a_search_is_looked_up_epoch_by_epoch() {
        let place = tempfile::tempdir().unwrap();
        let recipe = Recipe::resolve("shapes", &["search.epochs=8".to_owned()]).unwrap();
        let methods = vec![Method::resolve("das", &recipe).unwrap()];
        let comparison = Comparison::new(recipe, methods, 1).unwrap();
        let part = &comparison.parts(place.path()).unwrap()[0];
        let folder = part.folder(Stage::Search);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), "").unwrap();
        let write = |lines: &str| std::fs::write(folder.join("cells.jsonl"), lines).unwrap();
        // It came to the ninth cell; in the first epoch it would have come to 020 in base 3, the sixth.
        write(concat!(r#"{"epoch": 1, "genotype": "|none~0|+|b~0|none~1|"}"#, "\n",));
        let course = part.course(&truth(VALIDATION), 9).unwrap();
        assert_eq!(course, Course::of([(0.125, 6.0), (1.0, 9.0)]));
        write("{\"epoch\": 1, \"genotype\": \"|none~0|+|c~0|none~1|\"}\n");
        let fault = part.course(&truth(VALIDATION), 9).unwrap_err().to_string();
        assert!(
            fault.contains("cells.jsonl: epoch 1: genotype") && fault.contains("unknown operation \"c\""),
            "{fault}"
        );
    }

    #[test]
    fn what_cannot_be_looked_up_is_refused_before_anything_is_computed() {
        let place = tempfile::tempdir().unwrap();
        let fault = |methods: &[&str], validation: &str| {
            let folder = place.path().join("none");
            let text = look_up(methods, &truth(validation), &folder).unwrap_err().to_string();
            assert!(!folder.exists(), "{text}");
            text
        };
        assert!(
            fault(&["sdas"], VALIDATION).contains("space.name: is image, but the table has no cells of that space")
        );
        assert!(fault(&["evolution"], "valid_50").contains("no column \"valid_50\"; it has valid_12, test_200"));
        assert!(fault(&["evolution"], TRUTH).contains("no method may choose by that"));
        // Who asks nothing needs no such column.
        look_up(&["random"], &truth("valid_50"), place.path()).unwrap();
    }
}
