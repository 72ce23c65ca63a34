//! What can be fetched, and what people have to get by themselves.

use std::io;

use serde::Deserialize;

use super::error::FetchError;

/// What a set's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    TarGz,
    Zip,
    /// Nobody may write what unpacks it anew: a program does.
    Rar,
    /// Lists in Kinetics' form, which are not packed.
    Table,
}

/// A set that can be fetched.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// The folder that it comes to in that of the data set.
    pub(super) yields: &'static str,
    /// The data set's folder below `data`, where no other is asked for.
    pub(super) home: &'static str,
    /// Where below it lies what a recipe takes as its data.
    pub(super) data: &'static str,
    /// The recipe to begin with, and what must be set in it.
    pub(super) recipe: &'static str,
    pub(super) setting: Option<&'static str>,
    /// The name of what belongs to it and must be got by hand.
    pub(super) besides: Option<&'static str>,
}

pub(super) const SETS: [Set; 6] = [
    Set {
        name: "cifar10",
        form: Form::TarGz,
        yields: "cifar-10-batches-bin",
        home: "cifar10",
        data: "",
        recipe: "cifar10-small",
        setting: None,
        besides: None,
    },
    Set {
        name: "cifar100",
        form: Form::TarGz,
        yields: "cifar-100-binary",
        home: "cifar100",
        data: "",
        recipe: "cifar10-small",
        setting: Some("data.kind=cifar100"),
        besides: None,
    },
    Set {
        name: "imagenette",
        form: Form::TarGz,
        yields: "imagenette2-160",
        home: "imagenette",
        data: "imagenette2-160",
        recipe: "folder",
        setting: None,
        besides: None,
    },
    Set {
        name: "ucf101-lists",
        form: Form::Zip,
        yields: "ucfTrainTestlist",
        home: "ucf101",
        data: "",
        recipe: "ucf101-small",
        setting: None,
        besides: Some("ucf101"),
    },
    Set {
        name: "hmdb51-lists",
        form: Form::Rar,
        yields: "testTrainMulti_7030_splits",
        home: "hmdb51",
        data: "",
        recipe: "hmdb51",
        setting: None,
        besides: Some("hmdb51"),
    },
    Set {
        name: "kinetics-lists",
        form: Form::Table,
        yields: "annotations",
        home: "kinetics",
        data: "",
        recipe: "kinetics",
        setting: None,
        besides: Some("kinetics"),
    },
];

/// What nobody can fetch for somebody else, with what to do.
const BY_HAND: [(&str, &str); 4] = [
    (
        "imagenet",
        "ImageNet wants an account and consent to its terms. Get ILSVRC 2012 at \
         https://www.image-net.org/download.php, or at Kaggle as `imagenet-object-localization-challenge`, and \
         unpack it to DIR/train/<wnid>/*.JPEG and DIR/val/*.JPEG, with `LOC_val_solution.csv` in DIR. Then take the \
         recipe `folder` with `data.keep = \"none\"` and --data DIR.",
    ),
    (
        "ucf101",
        "UCF101's clips (6.9 GB) are for research, and their server's certificate is not accepted everywhere. Get \
         https://www.crcv.ucf.edu/data/UCF101/UCF101.rar, or the same as a ZIP, \
         https://storage.googleapis.com/thumos14_files/UCF101_videos.zip, and put its folders of classes into \
         DIR/UCF-101, beside DIR/ucfTrainTestlist of `sdas data fetch ucf101-lists DIR`.",
    ),
    (
        "hmdb51",
        "HMDB51's clips (2 GB) are for research. Get \
         https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/hmdb51_org.rar, unpack it and the RAR of every \
         class in it, and put the folders of classes into DIR/hmdb51_org, beside DIR/testTrainMulti_7030_splits of \
         `sdas data fetch hmdb51-lists DIR`.",
    ),
    (
        "kinetics",
        "Kinetics-400's clips (hundreds of GB) are YouTube's, whose terms hold. Their archives are named in \
         https://s3.amazonaws.com/kinetics/400/train/k400_train_path.txt and \
         https://s3.amazonaws.com/kinetics/400/val/k400_val_path.txt. Unpack them anywhere in DIR, with the names of \
         clips as they are, beside DIR/annotations of `sdas data fetch kinetics-lists DIR`.",
    ),
];

/// What to do for what must be got by hand.
pub(super) fn by_hand(name: &str) -> Option<&'static str> {
    BY_HAND.iter().find(|(known, _)| *known == name).map(|(_, words)| *words)
}

/// The set of this name.
pub(super) fn find(name: &str) -> Result<&'static Set, FetchError> {
    if let Some(set) = SETS.iter().find(|set| set.name == name) {
        return Ok(set);
    }
    let names = || SETS.iter().map(|set| set.name).chain(BY_HAND.iter().map(|(name, _)| *name));
    Err(match by_hand(name) {
        Some(words) => FetchError::ByHand { name: name.into(), words },
        None => FetchError::UnknownSet {
            name: name.into(),
            known: names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        },
    })
}

/// A file of a set, as its publishers have it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Archive {
    pub(super) set: String,
    pub(super) file: String,
    pub(super) bytes: Option<u64>,
    pub(super) md5: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) url: String,
}

/// The files of a set; where each number is from stands beside it.
pub(super) fn archives(set: &Set) -> Vec<Archive> {
    let table = io::Cursor::new(include_str!("archives.tsv"));
    let rows = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(table).into_deserialize();
    let rows = rows.map(|row: Result<Archive, _>| row.expect("the table is well formed"));
    rows.filter(|row| row.set == set.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_files_that_can_be_told_from_others() {
        for set in &SETS {
            let archives = archives(set);
            assert!(!archives.is_empty(), "{}", set.name);
            for Archive { file, md5, sha256, url, .. } in archives {
                assert!(url.starts_with("https://") && url.ends_with(&file), "{url}");
                let is = |sum: &Option<String>, digits| {
                    sum.as_ref().is_some_and(|sum| {
                        sum.len() == digits && sum.bytes().all(|digit| b"0123456789abcdef".contains(&digit))
                    })
                };
                assert!(set.form == Form::Table || is(&md5, 32) || is(&sha256, 64), "{file}");
            }
            assert!(set.besides.is_none_or(|name| by_hand(name).is_some()), "{}", set.name);
        }
    }

    #[test]
    fn a_name_that_is_none_lists_those_that_are() {
        let text = find("cifar").unwrap_err().to_string();
        assert!(text.contains("`cifar`") && text.contains("`cifar10`, `cifar100`") && text.contains("`imagenet`"));
        let text = find("imagenet").unwrap_err().to_string();
        assert!(text.contains("https://www.image-net.org/download.php") && text.contains("DIR/val"), "{text}");
    }
}
