//! Hogs: very many peers that send for as long as anything is taken, and never read.
//!
//! With the default limits, what the daemon holds for them is bounded by their number, and others are to notice
//! nothing. With a small `--max-buffered`, that is the bound for all together; it is shown what others see then.

use crate::clients::Hog;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, Memory, kernel_tcp_memory};
use crate::echo::Ends;
use crate::pingers::{self, Outcome, Pingers};
use crate::report::{Report, as_f64, median, mib, ms};
use std::ops::Range;
use std::time::{Duration, Instant};

/// `--max-pending` by default: what may be owed to one peer, in bytes.
const MAX_PENDING: i64 = 64 * 1024;

/// `--max-buffered` by default.
const MAX_BUFFERED: i64 = 256 * 1024 * 1024;

/// What a connection may cost besides what it is owed: its slot, its places in lists, the allocator's share.
const OVERHEAD: i64 = 256;

/// What the daemon may need besides, whoever comes: tables that double, the allocator's reserve.
const GENERAL: i64 = 1024 * 1024;

/// By how much the 99th percentile of the others' response times may rise.
const MOST_RATIO: f64 = 2.0;

/// How often each of the well-behaved sends.
const INTERVAL: Duration = Duration::from_millis(5);

/// How many hogs come at once, and how soon after them the next: the daemon's backlog is not to overflow.
const BATCH: (usize, Duration) = (250, Duration::from_millis(25));

/// Until the others have found their rhythm, at first and after the hogs have gone.
const PAUSE: Duration = Duration::from_millis(300);

/// Hogs that come several times to a daemon with the default limits.
struct Flood {
    hogs: u32,
    rounds: u64,
    flags: &'static [&'static str],
    /// How much each may have on its way, in its own send buffer (bytes).
    send_buffer: usize,
}

/// One round: the others without hogs, while they come, and with them.
struct Round {
    before: Range<Instant>,
    coming: Range<Instant>,
    with: Range<Instant>,
    /// The daemon's memory when all were there, and when they had gone.
    there: Memory,
    gone: Memory,
    /// By how much the kernel's memory for TCP had grown when all were there, in bytes.
    kernel: i64,
    /// How many bytes were taken from the hogs.
    taken: u64,
    /// How hogs ended by themselves.
    ends: Ends,
}

pub(crate) fn run(report: &mut Report) {
    let scale = if report.quick { 10 } else { 1 };
    let measured = Duration::from_millis(if report.quick { 300 } else { 4000 });
    for flood in [
        // Many, each with as little as can be in the kernel.
        Flood {
            hogs: 10_000 / scale,
            rounds: if report.quick { 1 } else { 7 },
            flags: &["--socket-buffer", "4KiB"],
            send_buffer: 4 << 10,
        },
        // Fewer, whose bytes come in large pieces, so that what is owed comes up to the limit.
        Flood {
            hogs: 1000 / scale,
            rounds: 1,
            flags: &["--socket-buffer", "64KiB"],
            send_buffer: 64 << 10,
        },
        // A few, and the kernel's own buffers, which grow.
        Flood {
            hogs: 100 / scale,
            rounds: 1,
            flags: &[],
            send_buffer: 64 << 10,
        },
    ] {
        with_default_limits(&flood, measured, report);
    }
    let (limit, flag, measured) = if report.quick {
        (1 << 20, "1MiB", measured)
    } else {
        (8 << 20, "8MiB", 3 * measured)
    };
    with_little_memory(10_000 / scale, limit, flag, measured, report);
}

fn with_default_limits(flood: &Flood, measured: Duration, report: &mut Report) {
    let what = format!(
        "{} peers that send and never read, {} others, default limits, {}",
        flood.hogs,
        pingers::COUNT,
        if flood.flags.is_empty() {
            "default buffers".to_owned()
        } else {
            flood.flags.join(" ")
        }
    );
    report.part("hogs", &what);
    let daemon = Daemon::start(flood.flags, None);
    let start = daemon.memory();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    std::thread::sleep(PAUSE);
    let rounds: Vec<Round> = (0..flood.rounds)
        .map(|number| {
            let round = round(&daemon, flood.hogs, flood.send_buffer, number, measured);
            std::thread::sleep(PAUSE);
            round
        })
        .collect();
    let pinged = pingers.stop();

    let each = i64::from(flood.hogs) * (MAX_PENDING + OVERHEAD) + GENERAL;
    let all = MAX_BUFFERED + i64::from(flood.hogs) * OVERHEAD + GENERAL;
    bar_on_growth(start, &rounds, flood.hogs, each.min(all), report);
    bar_on_hogs(&rounds, report);
    bar_on_latency(&rounds, &pinged, report);
    let errors = format!("{} of {}", pinged.errors(), pinged.all().len());
    report.bar("others' errors", errors, "none", pinged.errors() == 0);
}

fn bar_on_latency(rounds: &[Round], pinged: &Outcome, report: &mut Report) {
    let p99 = |span: &Range<Instant>| pinged.due_in(span).p99();
    for round in rounds {
        let figures = [&round.before, &round.coming, &round.with].map(|span| ms(p99(span)));
        let name = "others' p99: before, hogs coming, hogs there";
        report.figure(name, figures.join(", "));
    }
    let ratio = |of: fn(&Round) -> &Range<Instant>| {
        let ratio = |round| p99(of(round)).as_secs_f64() / p99(&round.before).as_secs_f64();
        median(rounds.iter().map(ratio).collect())
    };
    let coming = ratio(|round| &round.coming);
    report.figure("p99 ratio, hogs coming (median)", format!("{coming:.2}"));
    let with = ratio(|round| &round.with);
    let name = "p99 ratio, hogs there (median)";
    if rounds.len() < 3 {
        report.figure(name, format!("{with:.2}"));
    } else {
        let bar = format!("at most {MOST_RATIO}");
        report.time_bar(name, format!("{with:.2}"), &bar, with <= MOST_RATIO);
    }
}

fn with_little_memory(hogs: u32, limit: i64, flag: &str, measured: Duration, report: &mut Report) {
    let what = format!(
        "{hogs} peers that send and never read, {} others, --max-buffered {flag} --stall-timeout 5s",
        pingers::COUNT
    );
    report.part("hogs", &what);
    let flags = ["--socket-buffer", "4KiB", "--stall-timeout", "5s"];
    let flags = [&flags[..], &["--max-buffered", flag]].concat();
    let daemon = Daemon::start(&flags, None);
    let start = daemon.memory();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    std::thread::sleep(PAUSE);
    let round = [round(&daemon, hogs, 4096, 0, measured)];
    let gone = Instant::now();
    std::thread::sleep(measured.min(Duration::from_secs(3)));
    let after = gone..Instant::now();
    let pinged = pingers.stop();

    let most = limit + i64::from(hogs) * OVERHEAD + GENERAL;
    bar_on_growth(start, &round, hogs, most, report);
    let [round] = round;
    report.figure("hogs that ended by themselves", round.ends.summary());
    for (name, span) in [
        ("before", &round.before),
        ("hogs coming", &round.coming),
        ("hogs there", &round.with),
        ("hogs gone", &after),
    ] {
        let wanted = (span.end - span.start).as_secs_f64() / INTERVAL.as_secs_f64();
        let wanted = wanted * f64::from(pingers::COUNT);
        let answered = as_f64(i64::try_from(pinged.answered_in(span)).unwrap());
        let share = format!("{:.1} %", 100.0 * answered / wanted);
        report.figure(&format!("others' messages answered, {name}"), share);
        let times = pinged.due_in(span);
        report.figure(&format!("others' p99, {name}"), ms(times.p99()));
    }
    report.figure(
        "not one of the others served for",
        ms(pinged.longest_silence()),
    );
    let errors = format!("{} of {}", pinged.errors(), pinged.all().len());
    report.bar("others' errors", errors, "none", pinged.errors() == 0);
}

fn bar_on_growth(start: Memory, rounds: &[Round], hogs: u32, most: i64, report: &mut Report) {
    let highest = |of: fn(&Round) -> i64| rounds.iter().map(of).max().unwrap_or(0);
    let taken = highest(|round| i64::try_from(round.taken).unwrap());
    report.figure("taken from the hogs, kernel's buffers included", mib(taken));
    let kernel = mib(highest(|round| round.kernel));
    report.figure("growth of the kernel's TCP memory, both ends", kernel);
    let bar = format!("at most {}", mib(most));
    let rss = highest(|round| round.there.rss) - start.rss;
    report.bar("growth with hogs there: RSS", mib(rss), &bar, rss <= most);
    let pss = highest(|round| round.there.pss) - start.pss;
    report.bar("growth with hogs there: Pss", mib(pss), &bar, pss <= most);
    let each = format!("{} B", pss / i64::from(hogs));
    report.figure("growth for each hog: Pss", each);
    let gone = highest(|round| round.gone.rss) - start.rss;
    report.figure("growth when they had gone: RSS", mib(gone));
}

/// They have done nothing yet for which they might be closed.
fn bar_on_hogs(rounds: &[Round], report: &mut Report) {
    let mut ended = rounds.iter().map(|round| round.ends.summary());
    let ended = ended.find(|ends| ends != "none");
    let name = "hogs that ended by themselves";
    report.bar(
        name,
        ended.as_deref().unwrap_or("none"),
        "none",
        ended.is_none(),
    );
}

/// The others alone; then the hogs come, stay for a while, and leave with a reset.
fn round(daemon: &Daemon, hogs: u32, buffer: usize, number: u64, measured: Duration) -> Round {
    let descriptors = daemon.descriptors();
    let kernel = kernel_tcp_memory();
    let begin = Instant::now();
    std::thread::sleep(measured);
    let came = Instant::now();
    let mut crowd = Crowd::<Hog>::new(daemon.address, 2);
    come(&mut crowd, hogs, buffer, number);
    // When they have been there for a while, the daemon may have reset some.
    let (at_once, kernel) = (daemon.memory(), kernel_tcp_memory() - kernel);
    let there = Instant::now();
    crowd.run_until(measured, |_| false);
    let end = Instant::now();
    let later = daemon.memory();
    let taken = crowd.clients().map(Hog::sent).sum();
    let mut ends = Ends::default();
    for (_, end) in crowd.take_ended() {
        ends.count(end);
    }
    crowd.dismiss(usize::MAX, true, |_| true);
    daemon.descriptors_fallen_to(descriptors);
    Round {
        before: begin..came,
        coming: came..there,
        with: there..end,
        there: if later.rss > at_once.rss {
            later
        } else {
            at_once
        },
        gone: daemon.memory(),
        kernel,
        taken,
        ends,
    }
}

/// Connects all hogs, and waits until nothing more is taken from any.
fn come(crowd: &mut Crowd<Hog>, hogs: u32, buffer: usize, round: u64) {
    let patience = Duration::from_secs(300);
    let mut next_batch = Instant::now();
    let mut left = hogs as usize;
    crowd.run_until(Duration::from_secs(30), |crowd| {
        let now = Instant::now();
        if now < next_batch {
            return false;
        }
        next_batch = now + BATCH.1;
        for _ in 0..BATCH.0.min(left) {
            crowd.connect(Hog::rude(round << 32 | left as u64, patience, buffer));
            left -= 1;
        }
        let quiet = Duration::from_millis(300);
        left == 0 && crowd.clients().all(|hog| now - hog.moved_at > quiet)
    });
}
