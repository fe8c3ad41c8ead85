//! What every part uses: the machine, the servers to compare, the rounds, and the report.

use crate::load::{Load, Outcome};
use crate::machine::Machine;
use crate::report::Report;
use crate::rivals::{Files, RIVALS, Rival, Server};
use std::env;

/// The idle connections of a full run.
const HELD: usize = 9_000;

/// Connections beside the idle ones.
const OTHERS: usize = 300;

/// One run of the bench.
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) report: Report,
    /// The most idle connections that a server in front of another one can hold on this machine.
    pub(crate) max_held: usize,
    files: Files,
    installed: [bool; RIVALS],
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Bench {
        let machine = Machine::detect();
        // A connection takes two file descriptors in a proxy.
        let max_held = HELD.min((machine.max_connections / 2).saturating_sub(OTHERS));
        let missing = Rival::ALL.map(Rival::missing);
        let mut bench = Bench {
            quick,
            machine,
            report: Report::new(quick),
            max_held,
            files: Files::create(max_held + OTHERS),
            installed: missing.each_ref().map(Option::is_none),
        };
        for (rival, missing) in Rival::ALL.iter().zip(missing) {
            match missing {
                // The program under test is never optional.
                Some(message) if *rival == Rival::Echoloop => bench.report.failure(message),
                Some(message) => bench.missing_tool(&message),
                None => {}
            }
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

    pub(crate) fn full_or_quick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Limits a load to the length of a round.
    pub(crate) fn timed(&self, load: Load) -> Load {
        let load = load.with("warmup", self.full_or_quick(0.2, 0.1));
        load.with("seconds", self.full_or_quick(1.0, 0.25))
    }

    /// Whether a rival can be started on this machine.
    pub(crate) fn has(&self, rival: Rival) -> bool {
        self.installed[rival as usize]
    }

    /// Starts a rival on the servers' core.
    pub(crate) fn start(&self, rival: Rival) -> Server {
        Server::start(rival, &self.files, &self.machine)
    }

    /// Runs a load of echoes on each rival in each round. Every measurement uses a new process, so that the random
    /// layout of its memory averages out.
    pub(crate) fn load_rivals(&self, rounds: usize, load: &Load) -> [Vec<Outcome>; RIVALS] {
        self.measure_rivals(rounds, |rival| {
            let server = self.start(rival);
            Some(load.run(&self.machine, &server, server.address))
        })
    }

    /// Measures each installed rival in each round, beginning with another one in each; the series of a rival that is
    /// not measured is empty.
    pub(crate) fn measure_rivals<T>(
        &self,
        rounds: usize,
        mut measure: impl FnMut(Rival) -> Option<T>,
    ) -> [Vec<T>; RIVALS] {
        let mut series = std::array::from_fn(|_| Vec::new());
        for round in 0..rounds {
            for offset in 0..RIVALS {
                let rival = Rival::ALL[(round + offset) % RIVALS];
                if self.has(rival) {
                    series[rival as usize].extend(measure(rival));
                }
            }
        }
        series
    }
}

/// One figure of each outcome of each rival.
pub(crate) fn figures_by_rival(
    outcomes: &[Vec<Outcome>; RIVALS],
    figure: impl Fn(&Outcome) -> f64,
) -> [Vec<f64>; RIVALS] {
    outcomes
        .each_ref()
        .map(|outcomes| outcomes.iter().map(&figure).collect())
}
