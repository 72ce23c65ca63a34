//! The parts of a comparison, and which is meant.

use super::super::{Outcome, say, say_json};
use crate::arguments::PartName;
use anyhow::{Context as _, bail};
use sdas::compare::Listed;
use sdas::run::RunError;

/// Where schedulers say which of an array's tasks this is: Slurm, and Kubernetes.
const INDICES: [&str; 2] = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"];

/// Prints the parts, one a line.
pub(super) fn say_parts(parts: &[Listed], json: bool) -> anyhow::Result<Outcome> {
    if json {
        say_json(&parts)?;
    } else {
        say(&text(parts))?;
    }
    Ok(Outcome::Done)
}

fn text(parts: &[Listed]) -> String {
    let names: Vec<String> = parts.iter().map(|part| format!("{}:{}", part.method, part.seed)).collect();
    let number_width = parts.len().saturating_sub(1).to_string().len();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |(part, name): (&Listed, &String)| {
        let next = part.next.map_or("done".to_owned(), |stage| stage.to_string());
        let by = part.by.as_ref().map_or(String::new(), |by| format!(", by {by}"));
        format!("{:number_width$}  {name:name_width$}  {next}{by}\n", part.part)
    };
    parts.iter().zip(&names).map(line).collect()
}

/// The number of the part that is meant.
pub(super) fn number(name: &PartName, parts: &[Listed]) -> anyhow::Result<usize> {
    match name {
        PartName::Number(number) => Ok(*number),
        PartName::Index => index(|variable| std::env::var(variable).ok()),
        PartName::Of { method, seed } => {
            let part = parts.iter().find(|part| part.method == *method && part.seed == *seed);
            let message = || format!("{method}:{seed} is no part of this comparison; --list prints them");
            Ok(part.ok_or_else(|| RunError::Setting { key: "part", message: message() })?.part)
        }
        PartName::Left => bail!("what is left is no one part"),
    }
}

/// The index that a scheduler gives, where just one does.
fn index(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<usize> {
    let fault = |message| RunError::Setting { key: "part", message };
    let given: Vec<(&str, String)> = INDICES.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
    match &given[..] {
        [(name, value)] => {
            let number = value.parse().map_err(|_| fault(format!("{name} is \"{value}\", which is no number from 0")));
            Ok(number?)
        }
        [] => {
            let names = INDICES.join(" nor ");
            Err(fault(format!("neither {names} is set; name the part by its number"))).context("--part auto")
        }
        _ => {
            let names = INDICES.join(" and ");
            Err(fault(format!("{names} are both set; name the part by its number"))).context("--part auto")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdas::run::Stage;

    #[test]
    fn parts_are_lines() {
        let part = |part, method: &str, next, by: Option<&str>| Listed {
            part,
            method: method.to_owned(),
            seed: 1,
            next,
            by: by.map(str::to_owned),
        };
        let parts = [
            part(0, "sdas", None, None),
            part(1, "das", Some(Stage::Train), Some("process 7 on node3")),
            part(2, "random", Some(Stage::Search), None),
        ];
        let expected = "0  sdas:1    done\n1  das:1     training, by process 7 on node3\n2  random:1  search\n";
        assert_eq!(text(&parts), expected);
    }

    #[test]
    fn one_scheduler_says_which_part() {
        let of = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
            index(found).map_err(|error| error.chain().last().unwrap().to_string())
        };
        assert_eq!(of(&[("SLURM_ARRAY_TASK_ID", "11")]), Ok(11));
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0"), ("SLURM_JOB_ID", "7")]), Ok(0));
        assert!(of(&[]).unwrap_err().contains("neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"));
        assert!(of(&[("SLURM_ARRAY_TASK_ID", "1"), ("JOB_COMPLETION_INDEX", "1")]).unwrap_err().contains("both"));
        assert!(of(&[("SLURM_ARRAY_TASK_ID", "1-3")]).unwrap_err().contains("\"1-3\", which is no number"));
    }
}
