//! `--jobs N`: one load over several processes, since one process uses one CPU and has a limit of file descriptors.
//!
//! The parent process starts N children with its own command line and the hidden flags of [`JobArgs`]. Each child runs its
//! exact share. A child writes one JSON line per event to its stdout ([`Message`]) and reads two from its stdin:
//!
//! ```text
//! child:  begun                          it catches signals
//! child:  connected                      all its connections are established
//! parent: the start time, to all         once all have reported
//! child:  interval ... interval          each measured second
//! child:  saved                          the result, with its connections still established
//! parent: end of file, to all            the merged result is printed: close the connections
//! ```

mod child;
mod parent;
mod processes;

use crate::cli::units;
use crate::cli::value::by;
use crate::load::{Counts, Interval, Saved, Share};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::thread::available_parallelism;

/// The flags of several processes.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// Split the load exactly over N processes, with one merged result; auto: one per CPU
    #[arg(long, value_name = "N|auto", default_value = "1", value_parser = by(jobs))]
    jobs: JobCount,

    /// Which share this process runs, as INDEX/COUNT; set by the parent process
    #[arg(long, value_name = "I/N", value_parser = by(share), hide = true, requires = "job_target")]
    job: Option<Share>,

    /// The server's address; set by the parent process
    #[arg(long, value_name = "ADDR", hide = true, requires = "job")]
    job_target: Option<SocketAddr>,
}

/// The value of `--jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobCount {
    Auto,
    Count(NonZeroU32),
}

/// The most processes.
const MOST_JOBS: u32 = 1024;

fn jobs(text: &str) -> Result<JobCount, String> {
    if text == "auto" {
        return Ok(JobCount::Auto);
    }
    let count = units::count(text)
        .ok()
        .and_then(|count| u32::try_from(count).ok());
    let count = count
        .filter(|count| *count <= MOST_JOBS)
        .and_then(NonZeroU32::new);
    count
        .map(JobCount::Count)
        .ok_or_else(|| format!("not a number of processes: write auto, or 1 to {MOST_JOBS}"))
}

/// `INDEX/COUNT`, with indexes from 1.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let parsed = text.split_once('/').and_then(|(index, count)| {
        let index = index.parse::<u32>().ok()?.checked_sub(1)?;
        Share::new(index, count.parse().ok()?)
    });
    parsed.ok_or_else(|| "not a share: write 1/4 to 4/4".to_owned())
}

impl JobArgs {
    /// The number of processes for this number of connections; each has at least one.
    pub(super) fn count(&self, connections: usize) -> u32 {
        match self.jobs {
            JobCount::Count(count) => count.get(),
            JobCount::Auto => {
                let cpus = available_parallelism().map_or(1, usize::from);
                u32::try_from(cpus.min(connections)).unwrap_or(MOST_JOBS)
            }
        }
    }

    /// Whether there may be more than one process.
    pub(super) fn is_several(&self) -> bool {
        self.jobs != JobCount::Count(NonZeroU32::MIN)
    }

    /// Checks that each process has a connection.
    pub(super) fn check(&self, connections: usize) -> Result<(), String> {
        let count = self.count(connections);
        if count as usize > connections {
            return Err(format!(
                "--jobs {count} is more than the {connections} connections: ask for at most {connections}"
            ));
        }
        Ok(())
    }

    /// The share that this process runs, and the server's address, if it is a child of `--jobs`.
    pub(super) fn own_share(&self) -> Option<(Share, SocketAddr)> {
        self.job.zip(self.job_target)
    }
}

/// A line from a child to its parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// Signals are caught from now on.
    Begun,
    /// All connections are established.
    Connected,
    /// A second of the measured part, and its response times.
    Interval(Interval, Counts),
    /// The result.
    Saved(Box<Saved>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_a_count_or_auto() {
        assert_eq!(jobs("auto"), Ok(JobCount::Auto));
        assert_eq!(jobs("4"), Ok(JobCount::Count(NonZeroU32::new(4).unwrap())));
        for wrong in ["", "0", "-1", "many", "1025", "1.5"] {
            assert!(jobs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_numbered_from_1() {
        assert_eq!(share("1/4"), Ok(Share::new(0, 4).unwrap()));
        assert_eq!(share("4/4"), Ok(Share::new(3, 4).unwrap()));
        for wrong in ["", "0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
