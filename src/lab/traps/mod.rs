//! Mistakes of network programs: each in a wrong and a right version, with the result of both.
//!
//! Each trap has one file, with `fn wrong` and `fn right`: example code, to be read. The module `experiments` runs both
//! versions between real sockets and measures the result; it has the prediction and the explanation too. Results are
//! decided by counts of bytes, events and errors; by time only where time is the subject, and then by a wide margin.

mod child;
mod difference;
mod experiments;
mod page;
mod repeats;
mod report;
mod suggestion;
mod traced;

mod epoll;
mod loopback;

mod backlog;
mod close;
mod edge;
mod emfile;
mod half_close;
mod herd;
mod nagle;
mod partial_frame;
mod short_write;
mod sigpipe;
mod slow_reader;
mod stale_key;
mod starvation;
mod time_wait;
mod urgent;

pub use page::page;
pub use report::{explanation, list, prediction, result};
pub use suggestion::similar;
pub use traced::{TracedRun, chrome_trace};

use std::io;

/// All traps, in the order in which a course would show them.
pub const TRAPS: [&Trap; 15] = experiments::ALL;

/// A mistake.
#[derive(Debug)]
pub struct Trap {
    /// Its name on the command line.
    pub name: &'static str,
    /// The mistake in a few words.
    pub sentence: &'static str,
    /// What the experiment does.
    experiment: &'static str,
    predicted_wrong: &'static str,
    predicted_right: &'static str,
    why: &'static str,
    source: Source,
    in_echoloop: Place,
    /// The experiment changes its process, and has one of its own.
    is_child: bool,
    wrong: fn() -> io::Result<Outcome>,
    right: fn() -> io::Result<Outcome>,
}

/// The source file of a trap.
#[derive(Debug)]
struct Source {
    path: &'static str,
    text: &'static str,
}

/// The place in echoloop that gets it right.
#[derive(Debug)]
struct Place {
    path: &'static str,
    /// A text in the file.
    item: &'static str,
    how: &'static str,
}

/// The two versions of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The version with the mistake.
    Wrong,
    /// The version without it.
    Right,
}

/// The result of an experiment with one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened, in figures.
    figures: String,
    /// The version for which this was predicted.
    predicted_of: Option<Version>,
}

impl Outcome {
    /// `is_wrong`: as predicted for the wrong version; `is_right`: for the right one.
    fn new(is_wrong: bool, is_right: bool, figures: String) -> Outcome {
        let predicted_of = match (is_wrong, is_right) {
            (true, false) => Some(Version::Wrong),
            (false, true) => Some(Version::Right),
            _ => None,
        };
        Outcome {
            figures,
            predicted_of,
        }
    }

    /// Whether it is what was predicted for this version.
    #[must_use]
    pub fn is_as_predicted(&self, version: Version) -> bool {
        self.predicted_of == Some(version)
    }
}

impl Version {
    /// Its name in the text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::Wrong => "wrong",
            Version::Right => "right",
        }
    }
}

impl Trap {
    fn predicted(&self, version: Version) -> &'static str {
        match version {
            Version::Wrong => self.predicted_wrong,
            Version::Right => self.predicted_right,
        }
    }

    /// The trap with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Trap> {
        TRAPS.into_iter().find(|trap| trap.name == name)
    }

    /// Runs one version, in a child process if the experiment requires it.
    ///
    /// # Errors
    /// The experiment cannot be run.
    pub fn run(&self, version: Version) -> io::Result<Outcome> {
        if self.is_child {
            child::run(self.name, version)
        } else {
            self.run_here(version)
        }
    }

    /// Runs one version in this process.
    ///
    /// # Errors
    /// The experiment cannot be run.
    pub fn run_here(&self, version: Version) -> io::Result<Outcome> {
        match version {
            Version::Wrong => (self.wrong)(),
            Version::Right => (self.right)(),
        }
    }
}
