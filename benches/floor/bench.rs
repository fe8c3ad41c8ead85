//! What every part uses: the machine, the servers to compare, the rounds, and the report.

use crate::load::{Load, Outcome};
use crate::machine::Machine;
use crate::report::Report;
use crate::rivals::{Programs, RIVALS, Rival, Server};
use std::env;
use std::process::Command;

/// One run of the bench.
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) report: Report,
    programs: Programs,
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Bench {
        let mut bench = Bench {
            quick,
            machine: Machine::detect(),
            report: Report::new(quick),
            programs: Programs::build(),
        };
        if !bench.has(Rival::Go) {
            bench.missing_tool("Go: NOT MEASURED, go is missing (apt-get install golang-go)");
        }
        bench
    }

    /// Reports a tool that is not installed: a failure if the environment requires all tools.
    pub(crate) fn missing_tool(&mut self, message: &str) {
        if env::var_os("ECHOLOOP_REQUIRE_TOOLS").is_some() {
            self.report.failure(message.into());
        } else {
            println!("{message}");
        }
    }

    /// The number of rounds in a comparison.
    pub(crate) fn rounds(&self) -> usize {
        self.full_or_quick(21, 3)
    }

    pub(crate) fn full_or_quick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Limits a load to the length of a round.
    pub(crate) fn timed(&self, load: Load) -> Load {
        let load = load.with("warmup", self.full_or_quick(0.1, 0.03));
        load.with("seconds", self.full_or_quick(0.4, 0.1))
    }

    /// Whether a rival can be started on this machine.
    pub(crate) fn has(&self, rival: Rival) -> bool {
        self.programs.command(rival).is_some()
    }

    /// The command that starts a rival.
    ///
    /// # Panics
    /// If the rival is not installed.
    pub(crate) fn command(&self, rival: Rival) -> Command {
        self.programs.command(rival).unwrap()
    }

    /// Starts a rival on the servers' core.
    pub(crate) fn start(&self, rival: Rival) -> Server {
        Server::start(self.command(rival), self.machine.server_core())
    }

    /// Loads each rival in each round. Every measurement uses a new process, so that the random layout of its memory
    /// averages out.
    pub(crate) fn load_rivals(&self, load: &Load) -> [Vec<Outcome>; RIVALS] {
        self.measure_rivals(|rival| {
            let server = self.start(rival);
            load.run(&self.machine, &[server])
        })
    }

    /// Measures each installed rival in each round; the series of a missing one is empty.
    pub(crate) fn measure_rivals<T>(
        &self,
        mut measure: impl FnMut(Rival) -> T,
    ) -> [Vec<T>; RIVALS] {
        let series = self.interleaved(|index| {
            let rival = Rival::ALL[index];
            self.has(rival).then(|| measure(rival))
        });
        series.map(|series| series.into_iter().flatten().collect())
    }

    /// Measures each of `N` settings once per round; each round begins with another one.
    pub(crate) fn interleaved<T, const N: usize>(
        &self,
        mut measure: impl FnMut(usize) -> T,
    ) -> [Vec<T>; N] {
        let mut series = std::array::from_fn(|_| Vec::new());
        for round in 0..self.rounds() {
            for offset in 0..N {
                let setting = (round + offset) % N;
                series[setting].push(measure(setting));
            }
        }
        series
    }
}

/// One figure of each outcome.
pub(crate) fn figures(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    outcomes.iter().map(figure).collect()
}

/// One figure of each outcome of each rival.
pub(crate) fn figures_by_rival(
    outcomes: &[Vec<Outcome>; RIVALS],
    figure: impl Fn(&Outcome) -> f64,
) -> [Vec<f64>; RIVALS] {
    std::array::from_fn(|rival| figures(&outcomes[rival], &figure))
}
