//! Folders of pictures: `train/<class>/**`, and `test/<class>/**` or `val/<class>/**`. The pictures to test on may also
//! lie side by side, as those of ImageNet do, with a list of their classes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::duplicates::Duplicates;
use super::labelled::{Allowed, What, by_tables};
use super::listing::{FlatTest, Listing, Wanted, below, list};
use super::picture_list::found;
use super::pictures::{FoundPictures, PictureSettings};
use super::places::Places;
use super::text;
use super::unusable::Unusable;
use crate::decode::EXTENSIONS;
use crate::error::{DataError, found_at};
use crate::remarks::Remarks;

/// The keys that it uses.
pub(super) const KEYS: &[&str] = &["path", "resize", "broken", "duplicates", "lists", "keep"];
const KIND: &str = "folder";

const PICTURES: Wanted = Wanted {
    kind: KIND,
    what: "pictures",
    extensions: EXTENSIONS,
    none: "put pictures (.jpg, .png, .webp, .bmp, …) there, or delete the class's folders in both splits",
};
/// By which names lists of the classes of a test set are looked for, besides its own with `.txt` or `.csv`.
const LISTS: &[&str] = &["LOC_val_solution.csv"];
/// The list of the development kit, whose numbers are those of a table that no program but Matlab reads.
const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";

/// The files in `folder` and below it that are named as pictures are, in order.
pub(crate) fn pictures_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    below(folder, &PICTURES)
}

/// Lists the pictures; the list of a flat test set's classes is in `lists` or, without it, in the data set's folder or in
/// that of the test set.
///
/// Where `train` has a table `metadata.csv`, this names the pictures.
pub(super) fn find(
    settings: PictureSettings,
    lists: Option<&Path>,
    duplicates: Duplicates,
) -> Result<FoundPictures, DataError> {
    let allowed = Allowed { what: What::Pictures, missing: Unusable::Error, duplicates };
    if let Some(labelled) = by_tables(&settings.root, allowed)? {
        return Ok(found(KIND, settings, labelled));
    }
    let label = |test: &Path, classes: &[String], names: &[PathBuf]| labels(test, lists, classes, names);
    let Listing { classes, test_name, files: [mut files, test], labels, passed_over } =
        list(&settings.root, &PICTURES, Some(&label as &FlatTest))?;
    files.extend(test.iter());
    let places = Arc::new(Places::Files(files));
    let remarks = Remarks { passed_over, ..Remarks::default() };
    Ok(FoundPictures { kind: KIND, settings, classes, test_name, places, labels, remarks })
}

/// The labels of pictures that lie side by side in `test`, by a list of lines `<name> <class>`, where blanks, tabs or
/// commas lie between. A class is a folder's name, or its number from 0 in their order. More on a line is passed over.
fn labels(test: &Path, lists: Option<&Path>, classes: &[String], pictures: &[PathBuf]) -> Result<Vec<u16>, DataError> {
    let beside = test.parent().unwrap_or(test);
    let folders = lists.map_or(vec![beside, test], |lists| vec![lists]);
    let own = test.file_name().unwrap_or_default().to_string_lossy();
    let names = [format!("{own}.txt"), format!("{own}.csv")].into_iter().chain(LISTS.iter().map(|&name| name.into()));
    let names: Vec<_> = names.collect();
    let there =
        folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).find(|list| list.is_file());
    let Some(list) = there else {
        let is_ground_truth = folders.iter().any(|folder| folder.join(GROUND_TRUTH).is_file());
        return Err(DataError::NotADataset {
            path: folders[0].into(),
            kind: KIND,
            expected: format!(
                "`{}`, `{}` or `{}`, a line `<name> <class>` for every picture of `{own}`",
                names[0], names[1], names[2]
            ),
            found: if is_ground_truth {
                format!("`{GROUND_TRUTH}`, whose numbers only `meta.mat` explains")
            } else {
                found_at(folders[0])
            },
            remedy: "put the pictures to test on into folders named as the classes, or give such a list (of ImageNet \
                     `LOC_val_solution.csv`), or set `data.lists` to its folder",
        });
    };
    let odd = |line: usize, expected: String, found: &str| DataError::List {
        path: list.clone(),
        line,
        expected,
        found: found.into(),
    };
    let text = text::read(&list)?;
    let mut known = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split([' ', '\t', ',']).map(str::trim).filter(|word| !word.is_empty());
        let (Some(name), class) = (words.next(), words.next().unwrap_or_default()) else { continue };
        let by_number = || class.parse().ok().filter(|&label: &usize| label < classes.len());
        match classes.iter().position(|known| known == class).or_else(by_number) {
            Some(label) => drop(known.insert(stem(Path::new(name)), label as u16)),
            // The names of the columns.
            None if number == 1 && list.extension().is_some_and(|ending| ending == "csv") => {}
            None => {
                let expected =
                    format!("a picture's name and its class, a folder of `train` or a number below {}", classes.len());
                return Err(odd(number, expected, line));
            }
        }
    }
    let label = |picture: &PathBuf| match known.get(&stem(picture)) {
        Some(&label) => Ok(label),
        None => {
            let expected = format!("the class of `{}`", stem(picture));
            Err(odd(text.lines().count() + 1, expected, "the end of the list"))
        }
    };
    pictures.iter().map(label).collect()
}

/// Its name without its ending.
fn stem(picture: &Path) -> String {
    picture.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
