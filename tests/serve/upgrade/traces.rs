//! `--trace` and upgrades: each process writes its own trace to the file.

use nix::sys::signal::Signal;

use super::{Upgradable, signal};
use crate::client::assert_echo;
use crate::harness::{PATIENCE, eventually};
use crate::trace::Trace;

#[test]
fn old_process_writes_its_trace_and_the_new_one_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let server = Upgradable::start(&["-v", "--trace", path.to_str().unwrap()]);
    let mut client = server.connect();
    assert_echo(&mut client, b"before");
    let output = server.upgrade();
    assert!(output.status.success(), "{output:?}");
    server
        .daemon
        .wait_for_line("the trace", |line| line.contains("wrote a trace of "));
    let old = Trace::read(&path);
    assert_eq!(
        old.summary(1),
        "open at the end of the trace, 6 bytes in, 6 out"
    );
    assert_echo(&mut client, b"later");
    signal(server.pid(), Signal::SIGUSR1);
    eventually(PATIENCE, "the new process has written its trace", || {
        server.lines_with("wrote a trace of ").len() == 2
    });
    let new = Trace::read(&path);
    assert!(new.names(1).contains(&"taken over"));
    assert_eq!(
        new.summary(1),
        "open at the end of the trace, 5 bytes in, 5 out"
    );
}
