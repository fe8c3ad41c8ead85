//! The CPU time of other processes.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The CPU time of these processes so far, in nanoseconds, with that of threads that have ended.
pub(crate) fn nanoseconds(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| of_process(*pid)).sum()
}

fn of_process(pid: u32) -> u64 {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    let clock = clock_getcpuclockid(pid).unwrap();
    let time = clock_gettime(clock).unwrap();
    let [seconds, nanoseconds] = [time.tv_sec(), time.tv_nsec()].map(i64::unsigned_abs);
    1_000_000_000 * seconds + nanoseconds
}

/// Checks that the time of this process advances while it runs.
pub(crate) fn self_check() {
    let own = [std::process::id()];
    let before = nanoseconds(&own);
    while nanoseconds(&own) == before {}
}
