//! A run's folder. Whatever is complete in it stays valid: files are written beside and renamed, and lines that a
//! checkpoint does not know of are cut off when the run goes on.

use super::lock::{BEAT, Lock};
use super::{Checkpoint, CheckpointError, Event, Observer, Phase, Ranks, RunError, RunResult, Stage};
use crate::recipe::Recipe;
use sdas_data::whole;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A run's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held as long as this process works in the folder; absent of one that is only read.
    _lock: Option<Lock>,
    /// Whether another process writes it, for this one, too: what is written here is dropped.
    is_elsewhere: bool,
}

/// A checkpoint, and those after it, which are damaged, and how.
struct Newest {
    path: PathBuf,
    checkpoint: Checkpoint,
    damaged: Vec<(PathBuf, CheckpointError)>,
}

/// Where a run stands.
pub(crate) enum Standing {
    /// It has not begun.
    Absent,
    /// It is not done; its newest checkpoint says more.
    Begun,
    /// It is done.
    Done(Box<RunResult>),
}

/// Whole checkpoints that a run keeps.
const CHECKPOINTS_KEPT: usize = 2;

/// How long the few moments that another process needs of a folder are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Folder {
    /// Makes the folder of a new run and writes `files`, by name, and its recipe into it.
    ///
    /// # Errors
    ///
    /// If it cannot be made, holds a run already, or another process works in it.
    pub fn create(path: &Path, recipe: &Recipe, files: &[(&str, String)]) -> Result<Folder, RunError> {
        let is_new = !path.exists();
        let folder = Folder::claim(path)?;
        Folder::check_free(path)?;
        // The recipe comes last: it is what makes this the folder of a run.
        let recipe = ("config.toml", recipe.to_toml());
        let write = || {
            folder.make_checkpoints()?;
            files.iter().chain([&recipe]).try_for_each(|(name, text)| folder.write(name, text.as_bytes()))
        };
        write().inspect_err(|_| {
            // As if it had never begun; what cannot be removed either is in nobody's way.
            if is_new {
                let _ = std::fs::remove_dir_all(path);
            }
        })?;
        Ok(folder)
    }

    /// Whether a run may begin in a folder, so that it can be said before anything is computed.
    ///
    /// # Errors
    ///
    /// [`RunError::Occupied`] if it holds one, or what is left of one.
    pub(crate) fn check_free(path: &Path) -> Result<(), RunError> {
        let folder = Folder { path: path.to_owned(), _lock: None, is_elsewhere: false };
        let is_used = ["config.toml", "metrics.jsonl"].iter().any(|name| folder.file(name).exists());
        match is_used || !folder.checkpoints()?.is_empty() {
            true => Err(RunError::Occupied { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Opens the folder of a run of this kind to go on with it, from the newest checkpoint that is whole; there is none
    /// where the run has not come to its first. Those after it are set aside, so that they neither count nor are taken later,
    /// and `observer` is told of them.
    ///
    /// # Errors
    ///
    /// If it holds none, or one of the other kind, or another process works in it, or checkpoints cannot be written there, or
    /// there is none that is whole although there should be.
    pub(crate) fn resume(
        path: &Path,
        phase: Phase,
        observer: &mut dyn Observer,
    ) -> Result<(Folder, Option<(PathBuf, Checkpoint)>), RunError> {
        Folder::open(path)?;
        // First of all: what another process is writing is not to be judged.
        let folder = Folder::claim(path)?;
        let newest = folder.newest()?;
        match folder.phase_by(newest.as_ref())? {
            own if own == phase => folder.make_checkpoints()?,
            phase => return Err(RunError::OtherPhase { phase }),
        }
        let Some(Newest { path, checkpoint, damaged }) = newest else { return Ok((folder, None)) };
        for (damaged, fault) in &damaged {
            let mut aside = damaged.clone().into_os_string();
            aside.push(".damaged");
            let aside = PathBuf::from(aside);
            whole::rename(damaged, &aside).map_err(folder.fault("rename", damaged))?;
            observer.notice(&Event::FellBack { fault, instead: &path, aside: Some(&aside) });
        }
        Ok((folder, Some((path, checkpoint))))
    }

    /// The same for one of several ranks. The first does it; the others, after it, read what it has left.
    pub(crate) fn resume_among(
        ranks: &Ranks,
        path: &Path,
        phase: Phase,
        observer: &mut dyn Observer,
    ) -> Result<(Folder, Option<(PathBuf, Checkpoint)>), RunError> {
        if ranks.is_first() {
            return Folder::resume(path, phase, observer);
        }
        let folder = Folder { is_elsewhere: true, ..Folder::open(path)? };
        let last = folder.last(observer)?;
        Ok((folder, last))
    }

    /// Makes the folder of the checkpoints where it is not there, and sees that it can be written to, before anything is
    /// computed that could then not be kept.
    fn make_checkpoints(&self) -> Result<(), RunError> {
        let checkpoints = self.file("checkpoints");
        whole::make_folder(&checkpoints).map_err(self.fault("make", &checkpoints))?;
        let probe = checkpoints.join("probe.tmp");
        let probed = File::create(&probe).and_then(|_| std::fs::remove_file(&probe));
        probed.map_err(self.fault("write into", &checkpoints))
    }

    /// Makes a folder, if it is not there, and keeps other processes out of it until it is dropped.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or another process works in it.
    pub(crate) fn claim(path: &Path) -> Result<Folder, RunError> {
        let mut folder = Folder { path: path.to_owned(), _lock: None, is_elsewhere: false };
        whole::make_folder(path).map_err(folder.fault("make", path))?;
        folder._lock = Some(Lock::take(path, BEAT)?);
        Ok(folder)
    }

    /// The same, of a folder that others need for moments only, for which it waits.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or another process stays in it.
    pub(crate) fn claim_in_turn(path: &Path) -> Result<Folder, RunError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match Folder::claim(path) {
                Err(RunError::Busy { .. }) if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
                claimed => return claimed,
            }
        }
    }

    /// The folder of a run that several processes share, for one of those that do not write it.
    pub(crate) fn elsewhere(path: &Path) -> Folder {
        Folder { is_elsewhere: true, ..Folder::at(path) }
    }

    /// Whether another process writes it.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Opens the folder of a run to read it.
    ///
    /// # Errors
    ///
    /// If it holds none.
    pub fn open(path: &Path) -> Result<Folder, RunError> {
        let folder = Folder { path: path.to_owned(), _lock: None, is_elsewhere: false };
        match folder.file("config.toml").exists() {
            true => Ok(folder),
            false => Err(RunError::NoRun { path: path.to_owned(), missing: "config.toml" }),
        }
    }

    /// A folder to read from, whatever it holds.
    pub(crate) fn at(path: &Path) -> Folder {
        Folder { path: path.to_owned(), _lock: None, is_elsewhere: false }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The recipe, every value resolved.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn recipe(&self) -> Result<Recipe, RunError> {
        Ok(Recipe::resolve(&self.file("config.toml").to_string_lossy(), &[])?)
    }

    /// Whether the run was made with what `recipe` has for this stage, whatever was measured since not counted.
    ///
    /// # Errors
    ///
    /// [`RunError::OtherRecipe`] if not.
    pub(crate) fn check_recipe(&self, recipe: &Recipe, stage: Stage) -> Result<(), RunError> {
        let [before, now] = [self.recipe()?, recipe.clone()].map(|recipe| recipe.asked(stage));
        match before.difference(&now) {
            None => Ok(()),
            Some((key, [before, now])) => Err(RunError::OtherRecipe { path: self.path.clone(), key, before, now }),
        }
    }

    /// Where a run of this kind and recipe stands in a folder.
    ///
    /// # Errors
    ///
    /// If there is another one.
    pub(crate) fn standing(path: &Path, recipe: &Recipe, phase: Phase) -> Result<Standing, RunError> {
        let Ok(folder) = Folder::open(path) else { return Ok(Standing::Absent) };
        let result = folder.result()?;
        let own = match &result {
            Some(result) => result.phase,
            // By its files alone: another process may be at its checkpoints.
            None => folder.phase_by(None)?,
        };
        if own != phase {
            return Err(RunError::OtherPhase { phase: own });
        }
        folder.check_recipe(recipe, if phase == Phase::Search { Stage::Search } else { Stage::Train })?;
        Ok(result.map_or(Standing::Begun, |result| Standing::Done(Box::new(result))))
    }

    /// What the run came to; `None` while it has not.
    ///
    /// # Errors
    ///
    /// If that cannot be read.
    pub fn result(&self) -> Result<Option<RunResult>, RunError> {
        self.json("result.json")
    }

    /// What a JSON file holds; `None` if it is not there.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RunError> {
        let path = self.file(name);
        let fault = self.fault("read", &path);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| fault(error.into())),
        }
    }

    /// What the lines of a file hold.
    pub(crate) fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, RunError> {
        let path = self.file(name);
        let text = std::fs::read_to_string(&path).map_err(self.fault("read", &path))?;
        let line = |line| serde_json::from_str(line).map_err(|error| self.fault("read", &path)(error.into()));
        text.lines().map(line).collect()
    }

    /// What the lines of a file hold that are complete, for whoever reads while a run writes; nothing where there is no file.
    pub(crate) fn whole_lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, RunError> {
        let path = self.file(name);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(self.fault("read", &path))?,
        };
        let line = |line| serde_json::from_str(line).map_err(|error| self.fault("read", &path)(error.into()));
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(line).collect()
    }

    /// Which kind of run it is, by its newest checkpoint; without any, only a search has taken decisions, and only a training
    /// begins with its cell or network.
    ///
    /// # Errors
    ///
    /// If no checkpoint can be read.
    pub fn phase(&self) -> Result<Phase, RunError> {
        self.phase_by(self.newest()?.as_ref())
    }

    fn phase_by(&self, newest: Option<&Newest>) -> Result<Phase, RunError> {
        let Some(Newest { path, checkpoint, .. }) = newest else {
            let names = ["decisions.jsonl", "genotype.json", "network.json"];
            let [decisions, cell, network] = names.map(|name| self.file(name).exists());
            return Ok(if network || cell && !decisions { Phase::Train } else { Phase::Search });
        };
        #[derive(serde::Deserialize)]
        struct Kind {
            phase: Phase,
        }
        Ok(checkpoint.state::<Kind>(path)?.phase)
    }

    /// Writes a file beside and renames it, so that it is there whole or not at all.
    ///
    /// # Errors
    ///
    /// A full disk, missing rights and the like.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        if self.is_elsewhere {
            return Ok(());
        }
        let path = self.file(name);
        whole::write_through(&path.with_extension("tmp"), &path, bytes).map_err(self.fault("write", &path))
    }

    /// Appends a JSON line.
    pub(crate) fn append(&self, name: &str, line: &impl Serialize) -> Result<(), RunError> {
        if self.is_elsewhere {
            return Ok(());
        }
        let path = self.file(name);
        let mut text = serde_json::to_string(line).expect("a record is JSON");
        text.push('\n');
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(self.fault("open", &path))?;
        let appended = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        // The checkpoint that counts this line must not outlast the file.
        let appended = appended.and_then(|()| if is_new { whole::sync_names(&self.path) } else { Ok(()) });
        appended.map_err(self.fault("append to", &path))
    }

    /// Keeps the first `lines` lines of a file: those that the checkpoint knows of.
    pub(crate) fn cut(&self, name: &str, lines: usize) -> Result<(), RunError> {
        let path = self.file(name);
        if self.is_elsewhere || lines == 0 && !path.exists() {
            return Ok(());
        }
        let bytes = std::fs::read(&path).map_err(self.fault("read", &path))?;
        let ends: Vec<usize> = (1..=bytes.len()).filter(|&end| bytes[end - 1] == b'\n').take(lines).collect();
        if ends.len() < lines {
            let found = format!("it has {} of the {lines} lines that the checkpoint counts", ends.len());
            return Err(self.fault("go on with", &path)(std::io::Error::other(found)));
        }
        self.write(name, &bytes[..ends.last().copied().unwrap_or(0)])
    }

    /// Writes the checkpoint after `step` steps and removes all but the newest two.
    pub(crate) fn save(&self, step: usize, checkpoint: &Checkpoint) -> Result<PathBuf, RunError> {
        let name = format!("checkpoints/step-{step:09}.safetensors");
        if self.is_elsewhere {
            return Ok(self.file(&name));
        }
        // Whatever has become of the folder since the run began.
        let folder = self.file("checkpoints");
        whole::make_folder(&folder).map_err(self.fault("make", &folder))?;
        self.write(&name, &checkpoint.to_bytes())?;
        let all = self.checkpoints()?;
        for old in &all[..all.len().saturating_sub(CHECKPOINTS_KEPT)] {
            std::fs::remove_file(old).map_err(self.fault("remove", old))?;
        }
        Ok(self.file(&name))
    }

    /// The newest checkpoint that is whole and where it lies; `observer` is told of those after it that are not. There is
    /// none where the run has not come to its first.
    ///
    /// # Errors
    ///
    /// If one cannot be read, none is whole, or there are none any more.
    pub(crate) fn last(&self, observer: &mut dyn Observer) -> Result<Option<(PathBuf, Checkpoint)>, RunError> {
        let Some(Newest { path, checkpoint, damaged }) = self.newest()? else { return Ok(None) };
        for (_, fault) in &damaged {
            observer.notice(&Event::FellBack { fault, instead: &path, aside: None });
        }
        Ok(Some((path, checkpoint)))
    }

    /// The newest checkpoint that is whole; an older one where the newest is damaged. One that cannot be read may be whole.
    fn newest(&self) -> Result<Option<Newest>, RunError> {
        let mut damaged = Vec::new();
        for path in self.checkpoints()?.into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some(Newest { path, checkpoint, damaged })),
                Err(error @ CheckpointError::Read { .. }) => return Err(error.into()),
                Err(error) => damaged.push((path, error)),
            }
        }
        if !damaged.is_empty() {
            let faults: Vec<String> = damaged.iter().map(|(_, error)| error.to_string()).collect();
            return Err(self.no_checkpoint(faults.join("; ")));
        }
        let metrics = self.file("metrics.jsonl");
        let epochs = std::fs::read(metrics).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count());
        // An epoch's line is written just before its checkpoint.
        match epochs {
            0 | 1 => Ok(None),
            _ => Err(self.no_checkpoint(format!("its metrics.jsonl has {epochs} epochs, but it has no checkpoints"))),
        }
    }

    fn no_checkpoint(&self, why: String) -> RunError {
        RunError::NoCheckpoint { path: self.path.clone(), why }
    }

    pub(crate) fn without_checkpoint(&self) -> RunError {
        RunError::NoRun { path: self.path.clone(), missing: "checkpoint" }
    }

    /// All checkpoints, oldest first.
    fn checkpoints(&self) -> Result<Vec<PathBuf>, RunError> {
        let folder = self.file("checkpoints");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&folder).map_err(self.fault("list", &folder))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .collect();
        paths.sort();
        Ok(paths)
    }

    fn fault(&self, what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RunError + use<> {
        let path = path.to_owned();
        move |source| RunError::File { what, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::LOCK;
    use super::*;

    /// What is set aside.
    #[derive(Default)]
    struct Aside(Vec<PathBuf>);

    impl Observer for Aside {
        fn notice(&mut self, event: &Event<'_>) {
            if let Event::FellBack { aside: Some(aside), .. } = event {
                self.0.push(aside.to_path_buf());
            }
        }
    }

    fn resume(path: &Path, phase: Phase) -> Result<Folder, RunError> {
        Folder::resume(path, phase, &mut Aside::default()).map(|(folder, _)| folder)
    }

    #[test]
    fn one_process_works_in_a_folder_and_any_may_read_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let recipe = Recipe::resolve("shapes", &[]).unwrap();
        // What a run leaves that is killed before its recipe is written.
        std::fs::create_dir_all(path.join("checkpoints")).unwrap();
        std::fs::write(path.join(LOCK), "").unwrap();
        let begun = Folder::create(&path, &recipe, &[]).unwrap();
        assert!(matches!(resume(&path, Phase::Search), Err(RunError::Busy { .. })));
        // Whatever its files look like meanwhile.
        let written = path.join("checkpoints/step-000000001.safetensors");
        std::fs::write(&written, "").unwrap();
        for phase in [Phase::Search, Phase::Train] {
            assert!(matches!(resume(&path, phase), Err(RunError::Busy { .. })));
        }
        std::fs::remove_file(written).unwrap();
        assert!(matches!(Folder::create(&path, &recipe, &[]), Err(RunError::Busy { .. })));
        assert_eq!(Folder::open(&path).unwrap().recipe().unwrap(), recipe);
        drop(begun);
        assert!(matches!(Folder::create(&path, &recipe, &[]), Err(RunError::Occupied { .. })));
        let resumed = resume(&path, Phase::Search).unwrap();
        assert!(matches!(resume(&path, Phase::Search), Err(RunError::Busy { .. })));
        drop(resumed);
        assert!(matches!(resume(place.path(), Phase::Search), Err(RunError::NoRun { .. })));
        assert!(!place.path().join(LOCK).exists(), "what is no run is left as it is");
    }

    #[test]
    fn no_run_begins_on_what_is_left_of_another() {
        let place = tempfile::tempdir().unwrap();
        let recipe = Recipe::resolve("shapes", &[]).unwrap();
        let path = place.path().join("run");
        std::fs::create_dir_all(path.join("checkpoints")).unwrap();
        let left = path.join("checkpoints/step-000000800.safetensors");
        std::fs::write(&left, "").unwrap();
        assert!(matches!(Folder::create(&path, &recipe, &[]), Err(RunError::Occupied { .. })));
        std::fs::remove_file(left).unwrap();
        Folder::create(&path, &recipe, &[]).unwrap();
    }

    #[test]
    fn what_is_damaged_is_set_aside_and_counts_no_more() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let folder = Folder::create(&path, &Recipe::resolve("shapes", &[]).unwrap(), &[]).unwrap();
        let checkpoint = Checkpoint::new(&serde_json::json!({ "phase": "search" }));
        let [first, second] = [100, 200].map(|step| folder.save(step, &checkpoint).unwrap());
        std::fs::write(&second, &checkpoint.to_bytes()[..20]).unwrap();
        drop(folder);
        // Who only reads leaves it.
        let mut told = Aside::default();
        let (taken, _) = Folder::open(&path).unwrap().last(&mut told).unwrap().unwrap();
        assert!(taken == first && told.0.is_empty() && second.exists());
        let (folder, last) = Folder::resume(&path, Phase::Search, &mut told).unwrap();
        let aside = folder.file("checkpoints/step-000000200.safetensors.damaged");
        assert_eq!((last.unwrap().0, told.0), (first.clone(), vec![aside.clone()]));
        let third = folder.save(150, &checkpoint).unwrap();
        assert_eq!(folder.checkpoints().unwrap(), [first, third.clone()]);
        assert!(aside.exists() && !second.exists());
        drop(folder);
        let (_, last) = Folder::resume(&path, Phase::Search, &mut Aside::default()).unwrap();
        assert_eq!(last.unwrap().0, third);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_damaged() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let folder = Folder::create(&path, &Recipe::resolve("shapes", &[]).unwrap(), &[]).unwrap();
        folder.save(100, &Checkpoint::new(&serde_json::json!({ "phase": "search" }))).unwrap();
        drop(folder);
        // For lack of a file that whoever runs the tests may not read: a folder cannot be read either.
        let unreadable = path.join("checkpoints/step-000000200.safetensors");
        std::fs::create_dir(&unreadable).unwrap();
        let refused = resume(&path, Phase::Search);
        assert!(matches!(refused, Err(RunError::Checkpoint(CheckpointError::Read { path, .. })) if path == unreadable));
        assert!(unreadable.exists());
    }

    #[test]
    fn a_run_that_wrote_no_checkpoint_is_of_its_kind_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let recipe = Recipe::resolve("shapes", &[]).unwrap();
        for (name, files) in [("search", vec![]), ("train", vec![("genotype.json", String::new())])] {
            drop(Folder::create(&place.path().join(name), &recipe, &files).unwrap());
        }
        let resume = |name, phase| resume(&place.path().join(name), phase);
        for (name, own, other) in [("search", Phase::Search, Phase::Train), ("train", Phase::Train, Phase::Search)] {
            assert!(matches!(resume(name, other), Err(RunError::OtherPhase { phase }) if phase == own));
            resume(name, own).unwrap();
        }
    }
}
