//! A child of `--jobs`: runs its share, and reports to its parent.

use super::Message;
use crate::cli::load::clock::Clock;
use crate::cli::load::values::default_spin;
use crate::cli::load::{Flags, output};
use crate::cli::output::{cannot_use, json_line, open_stdout, to_stdout};
use crate::cli::{Failure, end_with_parent, scheduling_net};
use crate::load::{
    Counts, EchoClient, Interval, Load, Machine, Observer, Share, Snapshot, SynTimers, WallTime,
};
use crate::net::{MioNet, Traced};
use crate::stdio::StandardStream;
use crate::tls::MaybeTls;
use nix::sys::signal::Signal;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// Reads this machine, and reports to the parent.
struct Reporter {
    machine: Machine,
    /// When the load was created.
    begun: Rc<Cell<WallTime>>,
}

impl Observer for Reporter {
    fn snapshot(&mut self) -> Snapshot {
        self.machine.snapshot()
    }

    fn syn_timers(&self) -> SynTimers {
        Machine::syn_timers()
    }

    fn connected_line(&mut self) -> Option<String> {
        json_line(&Message::Connected).ok()
    }

    fn start_after(&mut self, line: &str) -> Option<Duration> {
        let start = WallTime(Duration::from_nanos(line.parse().ok()?));
        Some(start.since(self.begun.get()))
    }

    fn interval_line(&mut self, interval: &Interval, response: &Counts) -> Option<String> {
        json_line(&Message::Interval(interval.clone(), response.clone())).ok()
    }
}

impl Flags {
    /// Runs one share of the load.
    pub(in crate::cli::load) fn run_share(
        &self,
        share: Share,
        target: SocketAddr,
    ) -> Result<ExitCode, Failure> {
        // Its result is for the parent alone.
        end_with_parent(Signal::SIGKILL)?;
        let mut net = scheduling_net()?;
        let stdout = open_stdout(net.inner_mut())?;
        let stdin =
            StandardStream::stdin(net.inner_mut()).map_err(|error| cannot_use("input", &error))?;
        to_stdout(json_line(&Message::Begun)?)?;
        let clock = self.clock.measure(self.connect_timeout)?;
        // All shares have their source addresses after those of the parent's number.
        let parent = std::os::unix::process::parent_id();
        let mut config = self.config(target, clock.now(), parent)?.share(share);
        config.spin = self.spin.unwrap_or_else(|| default_spin(config.rate));
        let reporter = Reporter {
            machine: Machine::new(None),
            begun: Rc::default(),
        };
        let created = Rc::clone(&reporter.begun);
        let streams = (stdin, stdout);
        let reporter: Box<dyn Observer> = Box::new(reporter);
        match config.tls.clone() {
            None => self.report_share(Load::new(net, config, reporter), &created, clock, streams),
            Some(tls) => {
                let load = Load::over_tls(net, config, tls, reporter);
                self.report_share(load, &created, clock, streams)
            }
        }
    }

    fn report_share<C: MaybeTls<EchoClient>>(
        &self,
        mut load: Load<Traced<MioNet>, Box<dyn Observer>, C>,
        created: &Cell<WallTime>,
        clock: Clock,
        (stdin, stdout): (StandardStream, StandardStream),
    ) -> Result<ExitCode, Failure> {
        // The parent sends the start time.
        let begun = load.align(|| clock.now(), None);
        created.set(begun);
        load.write_lines(stdout, "");
        load.start_from(stdin);
        load.run()
            .map_err(|error| Failure(format!("the event loop failed: {error}")))?;
        to_stdout(load.take_unwritten())?;
        let mut saved = load.to_saved(begun);
        output::add_origin(&mut saved);
        saved.part = self.part.number();
        saved.result.clock = clock.to_result();
        to_stdout(json_line(&Message::Saved(Box::new(saved.clone())))?)?;
        // The parent closes stdin when it has printed the merged result, which an error here cannot change.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        load.close(&mut saved);
        Ok(ExitCode::SUCCESS)
    }
}
