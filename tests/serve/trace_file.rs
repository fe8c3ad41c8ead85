//! The file of `--trace`: a reader has a complete trace at any time, as far as the file can be renamed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::tools::run;
use crate::trace::Trace;

/// A folder, and the path of a trace in it.
fn in_folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    (folder, path)
}

fn daemon(path: &Path) -> Daemon {
    Daemon::start(&["--trace", path.to_str().unwrap()])
}

/// Has the daemon write its trace, for the `count`th time.
#[track_caller]
fn write_trace(daemon: &mut Daemon, count: usize) {
    daemon.signal(Signal::SIGUSR1);
    eventually(PATIENCE, "the trace is written", || {
        let lines = daemon.lines();
        let written = lines
            .iter()
            .filter(|line| line.contains("wrote a trace of"));
        written.count() == count
    });
}

fn stop(mut daemon: Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

/// The files of a folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn file_that_cannot_be_created_is_an_error_at_the_start() {
    let mut command = echoloop();
    command.args([
        "serve",
        "-l",
        "127.0.0.1:0",
        "--trace",
        "/nonexistent/trace.json",
    ]);
    let output = run(command, b"");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("cannot write a trace to /nonexistent/trace.json"),
        "{error}"
    );
    assert!(
        error.contains("give --trace a file in a directory"),
        "{error}"
    );
}

#[test]
fn trace_replaces_the_file_completely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    fs::write(&path, vec![b'x'; 1_000_000]).unwrap();
    let mut daemon = Daemon::start(&["--trace", path.to_str().unwrap()]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "opened at the start");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    assert_eq!(Trace::read(&path).other("bytes_in"), 0);
}

#[test]
fn polling_reader_sees_complete_traces_only() {
    let (folder, path) = in_folder();
    let mut daemon = daemon(&path);
    let mut client = connect(daemon.address());
    for _ in 0..3_000 {
        assert_echo(&mut client, b"x");
    }
    let is_over = AtomicBool::new(false);
    let versions = thread::scope(|scope| {
        let polling = scope.spawn(|| {
            let (mut versions, mut last) = (0, Vec::new());
            while !is_over.load(SeqCst) {
                let read = fs::read(&path).unwrap();
                // It is empty until the first one is written.
                if read != last {
                    Trace::parse(&read);
                    versions += 1;
                    last = read;
                }
            }
            versions
        });
        for count in 1..=30 {
            // Its track is before the events, so that parts of two traces are no JSON.
            assert_echo(&mut connect(daemon.address()), b"x");
            write_trace(&mut daemon, count);
        }
        is_over.store(true, SeqCst);
        polling.join().unwrap()
    });
    assert!(versions > 1, "{versions} versions");
    stop(daemon);
    assert_eq!(names(&folder), ["trace.json"]);
}

#[test]
fn open_file_keeps_its_complete_trace() {
    let (_folder, path) = in_folder();
    let mut daemon = daemon(&path);
    write_trace(&mut daemon, 1);
    let mut first = File::open(&path).unwrap();
    assert_echo(&mut connect(daemon.address()), b"hello");
    write_trace(&mut daemon, 2);
    let mut contents = Vec::new();
    first.read_to_end(&mut contents).unwrap();
    assert!(Trace::parse(&contents).tracks().len() == 1);
    assert!(Trace::read(&path).tracks().len() == 2);
}

#[test]
fn trace_has_the_permissions_of_the_file_that_it_replaces() {
    let (_folder, path) = in_folder();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&path).unwrap();
    stop(daemon(&path));
    let after = fs::metadata(&path).unwrap();
    assert_ne!(after.ino(), before.ino());
    assert_eq!(after.mode(), before.mode());
    Trace::read(&path);
}

#[test]
fn moved_trace_stays_and_the_next_one_is_a_new_file() {
    let (folder, path) = in_folder();
    let mut daemon = daemon(&path);
    write_trace(&mut daemon, 1);
    let kept = folder.path().join("kept.json");
    fs::rename(&path, &kept).unwrap();
    assert_echo(&mut connect(daemon.address()), b"hello");
    stop(daemon);
    assert_eq!(Trace::read(&kept).tracks().len(), 1);
    assert_eq!(Trace::read(&path).tracks().len(), 2);
}

#[test]
fn file_is_overwritten_where_no_other_can_be_created() {
    let (folder, path) = in_folder();
    let mut daemon = daemon(&path);
    // Stands for a folder that the user may not write: this test may run as root.
    let taken = format!("trace.json.{}.tmp", daemon.pid());
    fs::create_dir(folder.path().join(taken)).unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_echo(&mut connect(daemon.address()), b"hello");
    write_trace(&mut daemon, 1);
    let long = fs::read(&path).unwrap();
    fs::write(&path, [&long[..], b"the end of a longer one"].concat()).unwrap();
    write_trace(&mut daemon, 2);
    assert_eq!(Trace::read(&path).tracks().len(), 2);
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    stop(daemon);
}

#[test]
fn symbolic_link_stays_and_its_target_is_overwritten() {
    let (folder, path) = in_folder();
    let target = folder.path().join("target.json");
    symlink(&target, &path).unwrap();
    stop(daemon(&path));
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    Trace::read(&target);
}

#[test]
fn fifo_and_stdout_take_the_trace() {
    let (folder, path) = in_folder();
    mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    thread::scope(|scope| {
        let reading = scope.spawn(|| Trace::read(&path));
        stop(daemon(&path));
        assert_eq!(reading.join().unwrap().tracks().len(), 1);
    });
    let redirected = folder.path().join("redirected.json");
    let mut command = echoloop();
    command.args(serve_arguments(
        &["127.0.0.1:0"],
        &["--trace", "/dev/stdout"],
    ));
    command.stdout(Stdio::from(File::create(&redirected).unwrap()));
    stop(Daemon::launch(command, 1));
    Trace::read(&redirected);
}
