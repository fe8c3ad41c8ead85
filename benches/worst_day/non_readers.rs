//! Non-readers: many peers that send as fast as possible and never read.
//!
//! With the default limits, the daemon's memory for them is bounded by their number, and other clients are not slowed
//! down. With a small `--max-buffered`, that is the bound for all together; the effect on other clients is shown.

use crate::client_loop::ClientLoop;
use crate::clients::NonReader;
use crate::daemon::{Daemon, Memory, kernel_tcp_memory};
use crate::echo::Ends;
use crate::pingers::{self, Outcome, Pingers};
use crate::report::{Report, as_f64, median, mib, ms};
use std::ops::Range;
use std::time::{Duration, Instant};

/// `--max-pending` by default: the most pending output per connection, in bytes.
const MAX_PENDING: i64 = 64 * 1024;

/// `--max-buffered` by default.
const MAX_BUFFERED: i64 = 256 * 1024 * 1024;

/// The most memory per connection besides pending output: its slot, list entries and allocator overhead.
const OVERHEAD: i64 = 256;

/// The most memory independent of connections: tables that double, and the allocator's reserve.
const GENERAL: i64 = 1024 * 1024;

/// The largest increase of the regular clients' p99 response time, as a factor.
const MAX_RATIO: f64 = 2.0;

/// The interval of the regular clients.
const INTERVAL: Duration = Duration::from_millis(5);

/// How many peers connect at once, and the time to the next batch, so that the backlog does not overflow.
const BATCH: (usize, Duration) = (250, Duration::from_millis(25));

/// The time until the load is constant, at first and after the non-readers have disconnected.
const PAUSE: Duration = Duration::from_millis(300);

/// Non-readers that connect several times to a daemon with the default limits.
struct Load {
    peers: u32,
    rounds: u64,
    flags: &'static [&'static str],
    /// The send buffer of each, in bytes.
    send_buffer: usize,
}

/// One round: without non-readers, while they connect, and with them.
struct Round {
    before: Range<Instant>,
    connecting: Range<Instant>,
    connected: Range<Instant>,
    /// The daemon's memory with all of them connected, and after they have disconnected.
    memory: Memory,
    memory_after: Memory,
    /// The growth of the kernel's memory for TCP with all of them connected, in bytes.
    kernel: i64,
    /// The bytes that the kernel accepted from them.
    accepted: u64,
    /// Connections that ended before they were disconnected.
    ends: Ends,
}

pub(crate) fn run(report: &mut Report) {
    let scale = if report.quick { 10 } else { 1 };
    let measured = Duration::from_millis(if report.quick { 300 } else { 4000 });
    for load in [
        // Many, each with the least possible memory in the kernel.
        Load {
            peers: 10_000 / scale,
            rounds: if report.quick { 1 } else { 7 },
            flags: &["--socket-buffer", "4KiB"],
            send_buffer: 4 << 10,
        },
        // Fewer, whose bytes arrive in large pieces, so that pending output reaches its limit.
        Load {
            peers: 1000 / scale,
            rounds: 1,
            flags: &["--socket-buffer", "64KiB"],
            send_buffer: 64 << 10,
        },
        // A few, with the kernel's own buffers, which grow.
        Load {
            peers: 100 / scale,
            rounds: 1,
            flags: &[],
            send_buffer: 64 << 10,
        },
    ] {
        with_default_limits(&load, measured, report);
    }
    let (limit, flag, measured) = if report.quick {
        (1 << 20, "1MiB", measured)
    } else {
        (8 << 20, "8MiB", 3 * measured)
    };
    with_little_memory(10_000 / scale, limit, flag, measured, report);
}

fn with_default_limits(load: &Load, measured: Duration, report: &mut Report) {
    let what = format!(
        "{} peers that send and never read, {} regular clients, default limits, {}",
        load.peers,
        pingers::COUNT,
        if load.flags.is_empty() {
            "default buffers".to_owned()
        } else {
            load.flags.join(" ")
        }
    );
    report.part("hogs", &what);
    let daemon = Daemon::start(load.flags, None);
    let start = daemon.memory();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    std::thread::sleep(PAUSE);
    let rounds: Vec<Round> = (0..load.rounds)
        .map(|number| {
            let round = round(&daemon, load.peers, load.send_buffer, number, measured);
            std::thread::sleep(PAUSE);
            round
        })
        .collect();
    let pinged = pingers.stop();

    let each = i64::from(load.peers) * (MAX_PENDING + OVERHEAD) + GENERAL;
    let all = MAX_BUFFERED + i64::from(load.peers) * OVERHEAD + GENERAL;
    bar_on_growth(start, &rounds, load.peers, each.min(all), report);
    bar_on_closed(&rounds, report);
    bar_on_latency(&rounds, &pinged, report);
    let errors = format!("{} of {}", pinged.errors(), pinged.response_times().len());
    report.bar(
        "regular clients: errors",
        errors,
        "none",
        pinged.errors() == 0,
    );
}

fn bar_on_latency(rounds: &[Round], pinged: &Outcome, report: &mut Report) {
    let p99 = |span: &Range<Instant>| pinged.response_times_in(span).p99();
    for round in rounds {
        let figures =
            [&round.before, &round.connecting, &round.connected].map(|span| ms(p99(span)));
        let name = "regular clients' p99: before, connecting, with";
        report.figure(name, figures.join(", "));
    }
    let ratio = |of: fn(&Round) -> &Range<Instant>| {
        let ratio = |round| p99(of(round)).as_secs_f64() / p99(&round.before).as_secs_f64();
        median(rounds.iter().map(ratio).collect())
    };
    let connecting = ratio(|round| &round.connecting);
    report.figure("p99 ratio, connecting (median)", format!("{connecting:.2}"));
    let connected = ratio(|round| &round.connected);
    let name = "p99 ratio, with non-readers (median)";
    if rounds.len() < 3 {
        report.figure(name, format!("{connected:.2}"));
    } else {
        let bar = format!("at most {MAX_RATIO}");
        report.time_bar(
            name,
            format!("{connected:.2}"),
            &bar,
            connected <= MAX_RATIO,
        );
    }
}

fn with_little_memory(peers: u32, limit: i64, flag: &str, measured: Duration, report: &mut Report) {
    let what = format!(
        "{peers} peers that send and never read, {} regular clients, --max-buffered {flag} --stall-timeout 5s",
        pingers::COUNT
    );
    report.part("hogs", &what);
    let flags = ["--socket-buffer", "4KiB", "--stall-timeout", "5s"];
    let flags = [&flags[..], &["--max-buffered", flag]].concat();
    let daemon = Daemon::start(&flags, None);
    let start = daemon.memory();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    std::thread::sleep(PAUSE);
    let round = [round(&daemon, peers, 4096, 0, measured)];
    let disconnected = Instant::now();
    std::thread::sleep(measured.min(Duration::from_secs(3)));
    let after = disconnected..Instant::now();
    let pinged = pingers.stop();

    let most = limit + i64::from(peers) * OVERHEAD + GENERAL;
    bar_on_growth(start, &round, peers, most, report);
    let [round] = round;
    report.figure("non-readers closed by the daemon", round.ends.summary());
    for (name, span) in [
        ("before", &round.before),
        ("connecting", &round.connecting),
        ("with non-readers", &round.connected),
        ("after", &after),
    ] {
        let due = (span.end - span.start).as_secs_f64() / INTERVAL.as_secs_f64();
        let due = due * f64::from(pingers::COUNT);
        let echoed = as_f64(i64::try_from(pinged.echoes_in(span)).unwrap());
        let share = format!("{:.1} %", 100.0 * echoed / due);
        report.figure(&format!("regular clients: echoed, {name}"), share);
        let times = pinged.response_times_in(span);
        report.figure(&format!("regular clients: p99, {name}"), ms(times.p99()));
    }
    report.figure("longest time without any echo", ms(pinged.longest_gap()));
    let errors = format!("{} of {}", pinged.errors(), pinged.response_times().len());
    report.bar(
        "regular clients: errors",
        errors,
        "none",
        pinged.errors() == 0,
    );
}

fn bar_on_growth(start: Memory, rounds: &[Round], peers: u32, most: i64, report: &mut Report) {
    let highest = |of: fn(&Round) -> i64| rounds.iter().map(of).max().unwrap_or(0);
    let accepted = highest(|round| i64::try_from(round.accepted).unwrap());
    report.figure(
        "accepted from non-readers, with kernel buffers",
        mib(accepted),
    );
    let kernel = mib(highest(|round| round.kernel));
    report.figure("growth of the kernel's TCP memory, both ends", kernel);
    let bar = format!("at most {}", mib(most));
    let rss = highest(|round| round.memory.rss) - start.rss;
    report.bar("growth with non-readers: RSS", mib(rss), &bar, rss <= most);
    let pss = highest(|round| round.memory.pss) - start.pss;
    report.bar("growth with non-readers: PSS", mib(pss), &bar, pss <= most);
    let each = format!("{} B", pss / i64::from(peers));
    report.figure("growth per non-reader: PSS", each);
    let disconnected = highest(|round| round.memory_after.rss) - start.rss;
    report.figure("growth after they disconnected: RSS", mib(disconnected));
}

/// No limit is exceeded and no timeout has passed, so the daemon must not close any.
fn bar_on_closed(rounds: &[Round], report: &mut Report) {
    let mut closed = rounds.iter().map(|round| round.ends.summary());
    let closed = closed.find(|ends| ends != "none");
    let name = "non-readers closed by the daemon";
    report.bar(
        name,
        closed.as_deref().unwrap_or("none"),
        "none",
        closed.is_none(),
    );
}

/// Regular clients alone; then the non-readers connect, remain for a while, and disconnect with RST.
fn round(daemon: &Daemon, peers: u32, buffer: usize, number: u64, measured: Duration) -> Round {
    let fds_at_start = daemon.open_fds();
    let kernel = kernel_tcp_memory();
    let begin = Instant::now();
    std::thread::sleep(measured);
    let connect_begin = Instant::now();
    let mut clients = ClientLoop::<NonReader>::new(daemon.address, 2);
    connect_all(&mut clients, peers, buffer, number);
    // After a while, the daemon may have reset some.
    let (at_once, kernel) = (daemon.memory(), kernel_tcp_memory() - kernel);
    let all_connected = Instant::now();
    clients.run_until(measured, |_| false);
    let end = Instant::now();
    let later = daemon.memory();
    let accepted = clients.iter().map(NonReader::sent).sum();
    let mut ends = Ends::default();
    for (_, end) in clients.take_closed() {
        ends.count(end);
    }
    clients.disconnect(usize::MAX, true, |_| true);
    daemon.wait_for_open_fds(fds_at_start);
    Round {
        before: begin..connect_begin,
        connecting: connect_begin..all_connected,
        connected: all_connected..end,
        memory: if later.rss > at_once.rss {
            later
        } else {
            at_once
        },
        memory_after: daemon.memory(),
        kernel,
        accepted,
        ends,
    }
}

/// Connects all non-readers, and waits until the kernel accepts nothing more from any.
fn connect_all(clients: &mut ClientLoop<NonReader>, peers: u32, buffer: usize, round: u64) {
    let timeout = Duration::from_secs(300);
    let mut next_batch = Instant::now();
    let mut left = peers as usize;
    clients.run_until(Duration::from_secs(30), |clients| {
        let now = Instant::now();
        if now < next_batch {
            return false;
        }
        next_batch = now + BATCH.1;
        for _ in 0..BATCH.0.min(left) {
            clients.connect(NonReader::sending_at_once(
                round << 32 | left as u64,
                timeout,
                buffer,
            ));
            left -= 1;
        }
        let quiet = Duration::from_millis(300);
        left == 0
            && clients
                .iter()
                .all(|peer| now - peer.last_progress_at > quiet)
    });
}
