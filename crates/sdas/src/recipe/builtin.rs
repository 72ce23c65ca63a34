//! The built-in recipes. Each file's header says where its numbers come from, the command, the time and the result.

/// A recipe that needs no file.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Builtin {
    /// The header's first line: what it is for.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("builtin/", $name, ".toml")) }),*]
    };
}

/// All built-in recipes; the first is the one that a search runs when none is named.
pub const BUILTIN: &[Builtin] = recipes![
    "shapes",
    "shapes-das",
    "cifar10",
    "cifar10-das",
    "cifar10-2nd",
    "cifar10-train",
    "cifar10-small",
    "cifar10-small-das",
    "nb201",
    "nb201-small",
    "folder",
    "motion",
    "motion-spatial",
    "clips",
    "ucf101-small",
    "ucf101-small-flow",
    "msr-action3d",
    "utd-mhad",
    "avletters",
    "ucf101",
    "hmdb51",
    "kinetics",
    "pictures-train",
    "imagenet-train",
    "imagenet-train-1024",
    "kinetics-train",
    "ucf101-train",
    "hmdb51-train",
];
