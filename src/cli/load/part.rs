//! `--part I/N`: the exact share of a load that this process runs, one of N processes on one or several hosts.
//!
//! Every process gets the same flags for the whole load; only I differs. Engines that start the processes number them in
//! the environment, from 0: `--part auto` reads that. Parts have no connection with each other: `--start-at` starts them
//! together, and `echoloop report` merges their results.

use super::Flags;
use super::jobs::share;
use crate::cli::value::by;
use crate::load::{Config, PartNumber, Share, Sources};
use clap::Args;
use std::env;

/// The variables of each engine: the number of a process, from 0, and the number of processes.
const VARIABLES: [(&str, &str); 2] = [
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("JOB_COMPLETION_INDEX", "ECHOLOOP_PARTS"),
];

/// The flag of a part.
#[derive(Debug, Args)]
pub(super) struct PartFlags {
    /// Run part I of N, from 1/N to N/N, of this load; auto: from `SLURM_PROCID` and `SLURM_NTASKS`, or from
    /// `JOB_COMPLETION_INDEX` and `ECHOLOOP_PARTS`
    #[arg(long, value_name = "I/N|auto", value_parser = by(part), conflicts_with_all = ["find", "sweep"])]
    part: Option<PartArg>,
}

/// The value of `--part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartArg {
    Auto,
    Given(Share),
}

fn part(text: &str) -> Result<PartArg, String> {
    if text == "auto" {
        return Ok(PartArg::Auto);
    }
    let part = share(text).map(PartArg::Given);
    part.map_err(|_| "not a part: write 1/4 to 4/4, or auto".to_owned())
}

impl PartFlags {
    /// The part that this process runs, unless it runs the whole load.
    pub(super) fn share(&self) -> Result<Option<Share>, String> {
        match self.part {
            None => Ok(None),
            Some(PartArg::Given(share)) => Ok(Some(share)),
            Some(PartArg::Auto) => automatic(|name| {
                let value = env::var_os(name)?;
                Some(value.to_string_lossy().into_owned())
            })
            .map(Some),
        }
    }

    /// The addresses of a given network for this part, which begins at another one than the other parts.
    pub(super) fn sources(&self, all: Sources) -> Sources {
        let share = self.share().ok().flatten();
        share.map_or(all, |share| all.share(share))
    }

    /// The part as it is saved.
    pub(super) fn number(&self) -> Option<PartNumber> {
        self.share().ok().flatten().map(PartNumber::from)
    }
}

/// The part that the environment names.
fn automatic(value: impl Fn(&str) -> Option<String>) -> Result<Share, String> {
    let found = VARIABLES
        .iter()
        .find_map(|(index, count)| Some((index, value(index)?, count)));
    let Some((index_name, index, count_name)) = found else {
        let names = VARIABLES.map(|(index, count)| format!("{index} and {count}"));
        return Err(format!(
            "--part auto needs {}: neither is set; write --part 1/4 to 4/4",
            names.join(", or ")
        ));
    };
    let Some(count) = value(count_name) else {
        return Err(format!(
            "--part auto found {index_name}={index}, but {count_name} is not set: set it to the number of parts"
        ));
    };
    let share = index.parse().ok().zip(count.parse().ok());
    let share = share.and_then(|(index, count)| Share::new(index, count));
    share.ok_or_else(|| {
        format!(
            "--part auto found {index_name}={index:?} and {count_name}={count:?}: the first is to be a number from 0, \
             below the second"
        )
    })
}

impl Flags {
    /// Checks that each part has a connection, and a connection for each of its processes.
    pub(super) fn check_part(&self, connections: usize) -> Result<(), String> {
        let Some(share) = self.part.share()? else {
            return self.jobs.check(connections.max(1));
        };
        let (parts, index) = (share.count(), share.index() + 1);
        let smallest = connections / parts as usize;
        if smallest == 0 {
            return Err(format!(
                "--part {index}/{parts} of {connections} connections leaves parts without one: ask for at most \
                 {connections} parts"
            ));
        }
        let checked = self.jobs.check(smallest);
        checked.map_err(|why| format!("{why} in the smallest part"))
    }

    /// The part of this load that this process runs, or all of it.
    pub(super) fn own_part(&self, whole: &Config) -> Result<Config, String> {
        let part = self.part.share()?;
        Ok(part.map_or_else(|| whole.clone(), |part| whole.share(part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<Share, String> {
        automatic(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn parts_are_numbered_from_1() {
        let given = |index, count| Ok(PartArg::Given(Share::new(index, count).unwrap()));
        assert_eq!(part("1/4"), given(0, 4));
        assert_eq!(part("4/4"), given(3, 4));
        assert_eq!(part("auto"), Ok(PartArg::Auto));
        for wrong in ["", "0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/4"] {
            assert!(part(wrong).unwrap_err().contains("1/4 to 4/4"), "{wrong}");
        }
    }

    #[test]
    fn variables_of_slurm_and_kubernetes_count_from_0() {
        let slurm = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
        assert_eq!(found(&slurm), Ok(Share::new(0, 4).unwrap()));
        let job = [("JOB_COMPLETION_INDEX", "3"), ("ECHOLOOP_PARTS", "4")];
        assert_eq!(found(&job), Ok(Share::new(3, 4).unwrap()));
        assert_eq!(found(&[slurm, job].concat()), found(&slurm));
        // A batch script has the number of tasks, but is not one of them.
        let outside = [("SLURM_NTASKS", "8"), job[0], job[1]];
        assert_eq!(found(&outside), found(&job));
    }

    #[test]
    fn missing_or_wrong_variables_are_named() {
        let all = [
            "SLURM_PROCID",
            "SLURM_NTASKS",
            "JOB_COMPLETION_INDEX",
            "ECHOLOOP_PARTS",
        ];
        let none = found(&[]).unwrap_err();
        assert!(all.iter().all(|name| none.contains(name)), "{none}");
        let half = found(&[("JOB_COMPLETION_INDEX", "3")]).unwrap_err();
        assert!(half.contains("ECHOLOOP_PARTS is not set"), "{half}");
        for (index, count) in [("4", "4"), ("-1", "4"), ("", "4"), ("0", "0"), ("x", "y\n")] {
            let wrong = found(&[("SLURM_PROCID", index), ("SLURM_NTASKS", count)]).unwrap_err();
            assert!(wrong.contains("SLURM_PROCID") && wrong.contains("SLURM_NTASKS"));
            assert_eq!(wrong.lines().count(), 1, "{wrong}");
        }
    }
}
