//! What every part needs: the machine, the rivals, the rounds, and the report that the rows go to.

use crate::load::{Load, Outcome};
use crate::machine::Machine;
use crate::report::Report;
use crate::rivals::{Rival, Server, build_floor};
use std::path::PathBuf;
use std::process::Command;

/// One run of the bench.
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) report: Report,
    floor: PathBuf,
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Bench {
        Bench {
            quick,
            machine: Machine::look(),
            report: Report::new(quick),
            floor: build_floor(),
        }
    }

    /// How many rounds are compared.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 21 }
    }

    /// One of two numbers: for a full run, or for a quick one.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A load for as long as a round takes.
    pub(crate) fn timed(&self, load: Load) -> Load {
        let load = load.with("warmup", self.either(0.1, 0.03));
        load.with("seconds", self.either(0.4, 0.1))
    }

    /// The program of a rival, and what it is told.
    pub(crate) fn command(&self, rival: Rival) -> Command {
        let (program, words) = rival.program(&self.floor);
        let mut command = Command::new(program);
        command.args(words);
        command
    }

    /// Starts a rival on the servers' core.
    pub(crate) fn start(&self, rival: Rival) -> Server {
        Server::start(self.command(rival), self.machine.server_core())
    }

    /// Loads each rival in each round, every time a new process: so that where it happens to lie in memory is drawn anew.
    pub(crate) fn race(&self, load: &Load) -> [Vec<Outcome>; 3] {
        self.interleaved(|contestant| {
            let server = self.start(Rival::ALL[contestant]);
            load.run(&self.machine, &[server])
        })
    }

    /// Measures contestants in turn, another one first in each round.
    pub(crate) fn interleaved<T, const N: usize>(
        &self,
        mut measure: impl FnMut(usize) -> T,
    ) -> [Vec<T>; N] {
        let mut series = std::array::from_fn(|_| Vec::new());
        for round in 0..self.rounds() {
            for turn in 0..N {
                let contestant = (round + turn) % N;
                series[contestant].push(measure(contestant));
            }
        }
        series
    }
}

/// One figure of each outcome.
pub(crate) fn figures(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    outcomes.iter().map(figure).collect()
}
