//! Servers that fork for each connection: their memory and CPU time include those of their descendants.

use crate::python::Python;
use crate::real_servers::socat;
use crate::run::load;
use crate::tools::have_tool;
use echoloop::load::{LoadResult, Memory};

/// An echo server that forks for each connection and uses 30 ms of CPU time for each message.
const FORKING: &str = r#"
import os, signal, socket, sys, time
if sys.argv[1] == "ignore":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        while data := connection.recv(128, socket.MSG_WAITALL):
            end = time.process_time() + 0.030
            while time.process_time() < end:
                pass
            connection.sendall(data)
        os._exit(0)
    connection.close()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"#;

/// The server; none if python3 is not installed. `waits` is how it treats its children: `wait` or `ignore`.
fn forking(waits: &str) -> Option<Python> {
    have_tool("python3").then(|| Python::start(FORKING, &[waits]))
}

/// A load of the server with this address and process id.
fn load_of(address: &str, pid: u32, flags: &[&str]) -> LoadResult {
    let pid = pid.to_string();
    let target = [address, "--server-pid", &pid, "-o", "json"];
    load(&[&target, flags].concat()).result()
}

fn load_python(server: &Python, flags: &[&str]) -> LoadResult {
    load_of(&server.address.to_string(), server.pid(), flags)
}

/// Asserts that the CPU time of the server includes that of its messages.
#[track_caller]
fn assert_cpu_time_counts(result: &LoadResult) {
    let server = result.server.as_ref().unwrap();
    let received = u32::try_from(result.echo.received).unwrap();
    let cpu = server.cpu_percent / 100.0 * result.seconds;
    let messages = 0.030 * f64::from(received);
    assert!(
        messages > 0.0 && cpu > messages / 2.0,
        "{cpu} of {messages}: {result:#?}"
    );
}

/// Asserts that the memory of the server, with 12 connections, includes a process for each of them.
#[track_caller]
fn assert_processes_count(result: &LoadResult, pid: u32) {
    let measured = result.server.as_ref().unwrap();
    assert_eq!(
        (measured.pid, measured.processes, measured.memory),
        (pid, 13, Memory::Pss),
        "{measured:?}"
    );
    // More than the slot of an event loop. Processes that share most pages: the RSS of one of python is over 5 MB.
    let each = measured.rss_bytes_per_connection;
    assert!((10_000.0..4_000_000.0).contains(&each), "{measured:?}");
}

#[test]
fn memory_and_cpu_time_of_a_forking_server_include_its_children() {
    let Some(server) = forking("wait") else {
        return;
    };
    for jobs in ["1", "2"] {
        let result = load_python(
            &server,
            &[
                "--idle",
                "10",
                "--active",
                "2",
                "--probe",
                "off",
                "--duration",
                "1s",
                "--warmup",
                "0",
                "--jobs",
                jobs,
            ],
        );
        assert_processes_count(&result, server.pid());
        assert_cpu_time_counts(&result);
    }
}

#[test]
fn cpu_time_of_exited_children_counts() {
    let Some(server) = forking("wait") else {
        return;
    };
    // A process for each echo.
    let flags = [
        "--active",
        "1",
        "--churn",
        "fin",
        "--duration",
        "1s",
        "--warmup",
        "0",
    ];
    let result = load_python(&server, &flags);
    assert_cpu_time_counts(&result);
}

#[test]
fn cpu_time_of_children_that_no_process_waits_for_is_not_lost() {
    let Some(server) = forking("ignore") else {
        return;
    };
    let flags = ["--active", "2", "--duration", "1s", "--warmup", "0"];
    let result = load_python(&server, &flags);
    assert_cpu_time_counts(&result);
}

#[test]
fn memory_of_socat_includes_a_process_for_each_connection() {
    let Some(server) = socat() else {
        return;
    };
    // After the warm-up, the processes of connections that were closed before it have exited: socat waits 0.5 s for them.
    let flags = [
        "--idle",
        "10",
        "--active",
        "2",
        "--duration",
        "1s",
        "--warmup",
        "1s",
    ];
    let result = load_of(&server.address, server.pid(), &flags);
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.lost, result.probe.alive),
        (12, 0, 10),
        "{result:#?}"
    );
    assert!(result.echo.received > 0, "{result:#?}");
    assert_processes_count(&result, server.pid());
}
