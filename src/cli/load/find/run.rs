//! Runs the steps of a search or a sweep, and reports what was found.

use super::{Plan, STEP};
use crate::cli::load::Flags;
use crate::cli::load::output::{self, Output};
use crate::cli::load::values::default_spin;
use crate::cli::load::watcher::{self, Watcher};
use crate::cli::output::{json_line, to_stdout};
use crate::cli::{Failure, exit_code, scheduling_net};
use crate::load::{
    Cause, Config, EchoClient, Find, FindStep, Load, Observer, Quantity, Saved, Script, Search,
    Snapshot, SynTimers, WallTime, judge,
};
use crate::logging;
use crate::net::{AcceptQueue, MioNet, Net, Traced, time_of_day};
use crate::numbers::as_f64;
use crate::report::{self, Ending};
use crate::tls::{ClientSettings, MaybeTls};
use serde::Serialize;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often, and at which distance, the server is given another connection before the next step: 10 s together.
const RETRIES: (u32, Duration) = (200, Duration::from_millis(50));

/// The measured part of the load on that connection, which ends with an echo in any case.
const SETTLING: Duration = Duration::from_millis(1);

/// The warm-up of a step is at most this part of its measured part.
const WARMUP_SHARE: u32 = 4;

/// One line of `-o jsonl`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record<'a> {
    Step(&'a FindStep),
}

/// Reads the machine for one step, and shows nothing.
struct Quiet(Watcher);

impl Observer for Quiet {
    fn snapshot(&mut self) -> Snapshot {
        self.0.snapshot()
    }

    fn syn_timers(&self) -> SynTimers {
        self.0.syn_timers()
    }

    fn accept_queue(&mut self) -> Option<AcceptQueue> {
        self.0.accept_queue()
    }

    fn on_all_closed(&mut self) {
        self.0.on_all_closed();
    }
}

/// A running search or sweep.
struct Run<'a> {
    flags: &'a Flags,
    target: SocketAddr,
    server: Option<u32>,
    /// The script, the same in all steps: they are one run.
    script: Option<Arc<Script>>,
    /// TLS, with the sessions to resume, the same in all steps.
    tls: Option<ClientSettings>,
    /// Receives the signals, also between the loads.
    signals: Traced<MioNet>,
    is_interrupted: bool,
    find: Find,
    /// Why steps were not met, with their values.
    causes: Vec<(u64, Cause)>,
    /// The result of the best step, or of the last one while none was met.
    shown: Option<Saved>,
    /// The resident memory of the server before the first step.
    rss_before_bytes: Option<u64>,
}

/// A step: whether it is met, and how many connections were held if others failed.
type Step = ControlFlow<Ending, (bool, Option<u64>)>;

impl Flags {
    /// Runs the search or the sweep, and reports what it has found.
    pub(in crate::cli::load) fn find_limit(
        &self,
        plan: &Plan<'_>,
        target: SocketAddr,
        server: Option<u32>,
    ) -> Result<ExitCode, Failure> {
        let condition = self.find.condition.as_ref();
        let mut run = Run {
            flags: self,
            target,
            server,
            script: self.script_for(target, WallTime(time_of_day()))?,
            tls: self.tls.settings(self.target.as_ref())?,
            signals: scheduling_net()?,
            is_interrupted: false,
            find: Find {
                what: plan.what(),
                condition: condition.map(ToString::to_string),
                ..Find::default()
            },
            causes: Vec::new(),
            shown: None,
            rss_before_bytes: None,
        };
        if self.output == Output::Jsonl {
            let begun = WallTime(time_of_day());
            to_stdout(output::start_line(
                &self.config(target, begun, process::id())?,
                begun,
            )?)?;
        }
        let ending = run.steps(plan)?;
        run.conclude(plan, ending)
    }
}

/// Runs a load and resets its connections.
fn run_to_end<C: MaybeTls<EchoClient>>(
    mut load: Load<Traced<MioNet>, Box<dyn Observer>, C>,
    begun: WallTime,
) -> Result<Saved, Failure> {
    load.run()
        .map_err(|error| Failure(format!("the event loop failed: {error}")))?;
    let saved = load.to_saved(begun);
    load.reset();
    Ok(saved)
}

impl Run<'_> {
    /// Makes all steps.
    fn steps(&mut self, plan: &Plan<'_>) -> Result<Ending, Failure> {
        let (mut search, mut values) = match plan {
            Plan::Search(what) => {
                let search = Search::new(what.first(), self.flags.largest(*what));
                (Some(search), [].iter())
            }
            Plan::Sweep(_, values) => (None, values.iter()),
        };
        loop {
            let next = match &search {
                Some(search) => search.next(),
                None => values.next().copied(),
            };
            let Some(value) = next else {
                return Ok(Ending::Complete);
            };
            match (self.step(value)?, &mut search) {
                (ControlFlow::Break(ending), _) => return Ok(ending),
                (ControlFlow::Continue((is_met, held)), Some(search)) => {
                    search.record(value, is_met, held);
                }
                (ControlFlow::Continue(_), None) => {}
            }
        }
    }

    fn step(&mut self, value: u64) -> Result<Step, Failure> {
        let config = self.config(value)?;
        if self.shown.is_some()
            && let Some(ending) = self.settle(&config)?
        {
            return Ok(ControlFlow::Break(ending));
        }
        let saved = self.load(&config)?;
        if self.is_interrupted() {
            return Ok(ControlFlow::Break(Ending::Interrupted));
        }
        let condition = self.flags.find.condition.as_ref();
        let verdict = judge(self.find.what, &config, &saved.result, condition);
        let step = FindStep::of(value, &saved.result, verdict.is_met());
        if watcher::shows_progress() {
            let cause = verdict.cause.as_ref();
            logging::print_line(&report::find_line(self.find.what, &step, cause));
        }
        if self.flags.output == Output::Jsonl {
            to_stdout(json_line(&Record::Step(&step))?)?;
        }
        self.find.add(step);
        let is_met = verdict.is_met();
        self.causes
            .extend(verdict.cause.map(|cause| (value, cause)));
        let server = saved.result.server.as_ref();
        let rss_bytes = server.map(|server| server.rss_before_bytes);
        self.rss_before_bytes = self.rss_before_bytes.or(rss_bytes);
        if self.find.best.is_none_or(|best| is_met && best == value) {
            self.shown = Some(saved);
        }
        Ok(ControlFlow::Continue((is_met, verdict.held)))
    }

    /// Whether a signal has arrived since the beginning.
    fn is_interrupted(&mut self) -> bool {
        while self.signals.take_signal().is_some() {
            self.is_interrupted = true;
        }
        self.is_interrupted
    }

    /// The configuration of the step with this value.
    fn config(&self, value: u64) -> Result<Config, Failure> {
        let flags = self.flags;
        let now = WallTime(time_of_day());
        let mut config = flags.config(self.target, now, process::id())?;
        let connections = u32::try_from(value).unwrap_or(u32::MAX);
        match self.find.what {
            Quantity::Rate => config.rate = Some(as_f64(value)),
            Quantity::Active => config.active = connections,
            Quantity::Idle => config.idle = connections,
        }
        let step = flags.find.step.unwrap_or(STEP);
        Ok(Config {
            duration: step,
            warmup: flags.warmup.min(step / WARMUP_SHARE),
            sources: flags.local_addresses(self.target, config.connections(), process::id()),
            spin: flags.spin.unwrap_or_else(|| default_spin(config.rate)),
            script: self.script.clone(),
            tls: self.tls.clone(),
            ..config
        })
    }

    /// Waits until the server has answered one connection. It has then processed what the step before has left, unless it
    /// processes connections in parallel. Returns why that cannot be waited for.
    fn settle(&mut self, step: &Config) -> Result<Option<Ending>, Failure> {
        let is_active = step.active > 0;
        let config = Config {
            active: is_active.into(),
            idle: (!is_active).into(),
            rate: None,
            churn: None,
            duration: SETTLING,
            warmup: Duration::ZERO,
            spin: Duration::ZERO,
            ..step.clone()
        };
        let (attempts, distance) = RETRIES;
        for _ in 0..attempts {
            let result = self.load(&config)?.result;
            if self.is_interrupted() {
                return Ok(Some(Ending::Interrupted));
            }
            let connections = result.connections;
            if connections.opened > connections.lost {
                return Ok(None);
            }
            if connections.failed.refused > 0 {
                break;
            }
            // The server may not have processed the resets yet: it may count those connections towards its limit.
            thread::sleep(distance);
        }
        Ok(Some(Ending::ServerGone))
    }

    /// Runs a load and resets its connections.
    fn load(&self, config: &Config) -> Result<Saved, Failure> {
        let begun = WallTime(time_of_day());
        let shows_echoes = config.active > 0;
        let watcher: Box<dyn Observer> = Box::new(Quiet(Watcher::new(
            self.server,
            self.target,
            self.flags.output,
            shows_echoes,
        )));
        let (net, whole) = (scheduling_net()?, config.clone());
        match config.tls.clone() {
            None => run_to_end(Load::new(net, whole, watcher), begun),
            Some(tls) => run_to_end(Load::over_tls(net, whole, tls, watcher), begun),
        }
    }

    /// Reports what was found, and the result of the best step.
    fn conclude(mut self, plan: &Plan<'_>, ending: Ending) -> Result<ExitCode, Failure> {
        let flags = self.flags;
        let Some(mut saved) = self.shown.take() else {
            let what = "nothing was found: a signal arrived before the first step had ended";
            return Err(Failure(what.to_owned()));
        };
        let mut find = self.find;
        let mut causes = self.causes.iter().rev();
        let cause = causes.find(|(value, _)| Some(*value) == find.next);
        find.sentence = report::find_sentence(&find, cause.map(|(_, cause)| cause), ending);
        let is_found = find.best.is_some() || matches!(plan, Plan::Sweep(..));
        let result = &mut saved.result;
        result.find = Some(find);
        if let Some(before) = self.rss_before_bytes {
            result.count_memory_from(before);
        }
        output::add_origin(&mut saved);
        let published = flags.publish(&mut saved, self.target, |_| {})?;
        Ok(if is_found {
            published
        } else {
            exit_code(false)
        })
    }
}
