//! The parent of `--jobs`: starts the parts together, adds up their seconds, and merges their results.

use super::Message;
use super::processes::{Event, Processes, describe};
use crate::cli::Failure;
use crate::cli::load::clock::Clock;
use crate::cli::load::output::{self, Output};
use crate::cli::load::watcher::Watcher;
use crate::cli::load::{Flags, raise_fd_limit};
use crate::cli::output::to_stdout;
use crate::load::{
    Config, Counts, Interval, Observer, Progress, Saved, ServerReadings, Stage, WallTime, Warning,
};
use crate::logging;
use crate::report::{self, Input};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// From when the last part is connected to the start of the warm-up: enough for all parts to receive the start time.
const LEAD: Duration = Duration::from_millis(100);

/// A running load of several parts.
struct Parent {
    processes: Processes,
    parts: Vec<Part>,
    watcher: Watcher,
    readings: ServerReadings,
    config: Config,
    /// When the measured part begins, once it is known.
    start: Option<WallTime>,
    /// When the readings of the server were taken.
    read_at: (WallTime, WallTime),
    requested_start: Option<WallTime>,
    clock: Clock,
    lines: Option<Lines>,
    /// Seconds reported.
    reported: usize,
    was_interrupted: bool,
}

/// One part, as far as it is known.
#[derive(Default)]
struct Part {
    /// It catches signals.
    has_begun: bool,
    is_connected: bool,
    seconds: VecDeque<(Interval, Counts)>,
    saved: Option<Saved>,
    last_log: Option<String>,
}

impl Flags {
    /// Runs the load over several processes and reports the merged result.
    pub(in crate::cli::load) fn run_jobs(
        &self,
        count: u32,
        config: Config,
        server: Option<u32>,
        clock: Clock,
    ) -> Result<ExitCode, Failure> {
        self.warn_about_own_server(&config);
        let lines = (self.output == Output::Jsonl).then(Lines::start);
        if let Some(lines) = &lines {
            lines.write(output::start_line(&config, clock.now())?);
        }
        let mut watcher = Watcher::new(server, config.target, self.output, config.active > 0);
        let readings = ServerReadings {
            before: watcher.snapshot().server,
            ..ServerReadings::default()
        };
        let processes = Processes::start(count, config.target, &clock.arguments())?;
        let target = config.target;
        let mut parent = Parent {
            parts: (0..processes.len()).map(|_| Part::default()).collect(),
            processes,
            watcher,
            readings,
            config,
            start: None,
            read_at: Default::default(),
            requested_start: self.clock.start(clock),
            clock,
            lines,
            reported: 0,
            was_interrupted: false,
        };
        parent.run()?;
        parent.show_progress(Stage::Done, &Interval::default());
        let mut saved = parent.merge()?;
        parent.finish_lines(&saved)?;
        self.publish(&mut saved, target, |saved| {
            parent.processes.finish();
            parent.watcher.on_all_closed();
            let after = parent.watcher.snapshot().server;
            if let (Some(server), Some(after)) = (&mut saved.result.server, after) {
                server.set_after(&after);
            }
        })
    }

    /// Warns if the child server has fewer file descriptors than the load has connections.
    fn warn_about_own_server(&self, config: &Config) {
        let (limit, connections) = (raise_fd_limit(), u64::from(config.connections()));
        if self.target.is_none() && connections >= limit {
            log::warn!(
                "the server started for this load holds fewer than {connections} connections, since a process may open \
                 {limit} files; start several `echoloop serve --reuse-port`, and give their address"
            );
        }
    }
}

impl Parent {
    /// Runs until all parts have sent their results.
    fn run(&mut self) -> Result<(), Failure> {
        while self.parts.iter().any(|part| part.saved.is_none()) {
            let now = self.clock.now();
            self.read_server(now);
            let event = match self.next_reading() {
                Some(at) => self.processes.events.recv_timeout(at.since(now)),
                None => self
                    .processes
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(event) => self.process(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure("no process of --jobs is left".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(index, message) => self.process_message(index, message),
            Event::Log(index, line) => {
                let earlier = self.parts[index].last_log.replace(line);
                if let Some(line) = earlier {
                    logging::print_line(&line);
                }
            }
            Event::Closed(index) if self.parts[index].saved.is_none() => {
                return Err(self.failure_of(index));
            }
            Event::Closed(_) => {}
            Event::Signal => self.interrupt(),
        }
        Ok(())
    }

    fn process_message(&mut self, index: usize, message: Message) {
        let part = &mut self.parts[index];
        match message {
            Message::Begun => {
                part.has_begun = true;
                if self.was_interrupted {
                    self.processes.interrupt(index);
                }
            }
            Message::Connected => part.is_connected = true,
            Message::Interval(interval, counts) => part.seconds.push_back((interval, counts)),
            Message::Saved(saved) => part.saved = Some(*saved),
        }
        self.report_seconds();
        self.start_together();
    }

    /// Sends the start time once each part is connected or has ended.
    fn start_together(&mut self) {
        let is_ready = |part: &Part| part.is_connected || part.saved.is_some();
        if self.start.is_some() || !self.parts.iter().all(is_ready) {
            return;
        }
        let earliest = self.clock.now() + LEAD + self.config.warmup;
        // Whole milliseconds, as results contain them: so all parts have the same start.
        let earliest = Duration::from_millis(milliseconds(earliest.0) + 1);
        let start = WallTime(earliest).max(self.requested_start.unwrap_or_default());
        self.start = Some(start);
        self.processes.write(&format!("{}\n", start.0.as_nanos()));
    }

    /// Reports the seconds that all parts have delivered.
    fn report_seconds(&mut self) {
        while self.parts.iter().all(|part| !part.seconds.is_empty()) {
            let parts = self.parts.iter_mut();
            let second: Vec<_> = parts.filter_map(|part| part.seconds.pop_front()).collect();
            let interval = report::sum_of_second(&second);
            self.reported += 1;
            self.show_progress(Stage::Measuring, &interval);
            self.watcher.on_interval(&interval);
            self.write_line(&interval);
        }
    }

    fn show_progress(&mut self, stage: Stage, interval: &Interval) {
        let elapsed = Duration::try_from_secs_f64(interval.at).unwrap_or_default();
        self.watcher.on_progress(Progress {
            stage,
            done: interval.held,
            total: self.config.connections().into(),
            left: Some(self.config.duration.saturating_sub(elapsed)),
        });
    }

    fn write_line(&mut self, interval: &Interval) {
        let line = self.watcher.interval_line(interval, &Counts::default());
        if let (Some(lines), Some(line)) = (&self.lines, line) {
            lines.write(line);
        }
    }

    /// Writes the lines of the seconds that are not reported yet, and waits until stdout has accepted all.
    fn finish_lines(&mut self, saved: &Saved) -> Result<(), Failure> {
        for interval in saved.result.intervals.iter().skip(self.reported) {
            self.write_line(interval);
        }
        self.lines.take().map_or(Ok(()), Lines::finish)
    }

    /// The time of the next reading of the server.
    fn next_reading(&self) -> Option<WallTime> {
        let start = self.start.filter(|_| self.readings.before.is_some())?;
        match (self.readings.from, self.readings.to) {
            (None, _) => Some(start),
            (_, None) => Some(start + self.config.duration),
            _ => None,
        }
    }

    /// Reads the server if it is time.
    fn read_server(&mut self, now: WallTime) {
        let Some(at) = self.next_reading().filter(|at| *at <= now) else {
            return;
        };
        if self.start.is_some_and(|start| at == start) {
            self.readings.from = self
                .watcher
                .quick_snapshot()
                .server
                .or(self.readings.before);
            self.read_at.0 = now;
        } else {
            self.read_end(now);
        }
    }

    fn read_end(&mut self, now: WallTime) {
        self.readings.drained = self.watcher.snapshot().server;
        self.readings.to = self.readings.drained.or(self.readings.from);
        self.read_at.1 = now;
    }

    /// Passes a signal on: the measured part, if it has begun, ends now.
    fn interrupt(&mut self) {
        self.was_interrupted = true;
        for (index, part) in self.parts.iter().enumerate() {
            // A child that does not catch signals yet is interrupted as soon as it does.
            if part.has_begun {
                self.processes.interrupt(index);
            }
        }
        if self.readings.to.is_none() && self.readings.before.is_some() {
            let now = self.clock.now();
            if self.readings.from.is_none() {
                self.readings.from = self.watcher.quick_snapshot().server;
                self.read_at.0 = now;
            }
            self.read_end(now);
        }
    }

    /// Why a part has no result. The other parts are ended when this value's owner is dropped.
    fn failure_of(&mut self, index: usize) -> Failure {
        let (count, pid) = (self.processes.len(), self.processes.pid(index));
        let what = format!("part {} of {count} (process {pid}) has failed", index + 1);
        let status = describe(&self.processes.wait(index));
        let log = self.parts[index].last_log.take();
        let failure = log
            .as_deref()
            .and_then(|line| line.strip_prefix("echoloop: "));
        match failure {
            // It names the remedy.
            Some(failure) => Failure(format!("{what}: {failure}")),
            None => Failure::new(
                what,
                status,
                "the other parts were ended; run the load again",
            ),
        }
    }

    /// The merged result.
    fn merge(&mut self) -> Result<Saved, Failure> {
        let count = self.processes.len();
        let mut inputs = Vec::new();
        for (index, part) in self.parts.iter_mut().enumerate() {
            let name = format!("part {} of {count}", index + 1);
            if let Some(line) = part.last_log.take() {
                logging::print_line(&line);
            }
            let saved = part.saved.take().unwrap_or_default();
            let input = Input::of(&name, saved);
            inputs.push(input.map_err(|why| Failure(format!("cannot use {name}: {why}")))?);
        }
        let held = |input: &Input| {
            let connections = &input.saved().result.connections;
            connections.opened.saturating_sub(connections.lost)
        };
        let held = inputs.iter().map(held).sum();
        let mut saved = report::merge_parts(inputs).map_err(Failure)?;
        let measured = self.read_at.1.since(self.read_at.0).as_secs_f64();
        saved.result.server = self.readings.to_result(measured, held);
        // The exact figures: those of the parts are rounded.
        let asked = self.config.to_saved();
        (saved.configuration.rate, saved.configuration.ramp) = (asked.rate, asked.ramp);
        self.add_late_start(&mut saved);
        output::add_origin(&mut saved);
        saved.result.clock = self.clock.to_result();
        Ok(saved)
    }

    /// Adds a warning if the measured part began later than requested.
    fn add_late_start(&self, saved: &mut Saved) {
        let (Some(requested), Some(start)) = (self.requested_start, self.start) else {
            return;
        };
        let late = milliseconds(start.since(requested));
        if late > 0 {
            let warning = Warning::LateStart(late);
            saved.result.warnings.push(warning.to_string());
            saved.result.warning_details.push(warning);
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Lines for stdout, which a thread writes: a slow reader delays no start and no signal.
struct Lines {
    sender: Sender<String>,
    writer: JoinHandle<Result<(), Failure>>,
}

impl Lines {
    fn start() -> Lines {
        let (sender, lines) = channel::<String>();
        let writer = thread::spawn(move || lines.iter().try_for_each(to_stdout));
        Lines { sender, writer }
    }

    fn write(&self, line: String) {
        // The writer's error is reported at the end.
        let _ = self.sender.send(line);
    }

    fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        self.writer.join().unwrap_or(Ok(()))
    }
}
