//! `lab trace-of`: the timeline of other servers, from the output of strace.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{assert_echo, connect, exchange};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::ports::unused_port;
use crate::tools::{have_tool, run};
use crate::trace::Trace;

/// The arguments before the program, which write to `output`.
fn strace(output: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-T", "-o"]).arg(output);
    command
}

/// What `lab trace-of` makes of a file, and what it has logged.
fn trace_of(path: &Path) -> (Trace, String) {
    let mut command = echoloop();
    command.args(["lab", "trace-of"]).arg(path);
    let output = run(command, b"");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    (Trace::parse(&output.stdout), log)
}

/// The IP address of the servers.
const HOST: &str = "127.0.0.80";

/// A server in strace, which ends with this value.
struct Traced {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Traced {
    /// Runs a program in strace. `arguments` gets the port on [`HOST`], on which nothing listens.
    fn start(program: &[&str], arguments: impl Fn(&str, &Path) -> Vec<String>) -> Traced {
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = format!("{HOST}:{}", unused_port(HOST)).parse().unwrap();
        let mut command = strace(&folder.path().join("strace.out"));
        command.args(program);
        command.args(arguments(&address.port().to_string(), folder.path()));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Traced {
            child,
            address,
            folder,
        }
    }

    /// Waits until it listens; that connection is the first.
    fn first(&self) -> TcpStream {
        let mut first = None;
        eventually(2 * PATIENCE, "the server listens", || {
            first = TcpStream::connect(self.address).ok();
            first.is_some()
        });
        first.unwrap()
    }

    /// Ends the server, and reads its trace.
    fn end(mut self) -> (Trace, String) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for child in children.split_whitespace() {
            let _ = kill(Pid::from_raw(child.parse().unwrap()), Signal::SIGTERM);
        }
        eventually(PATIENCE, "strace ends", || {
            self.child.try_wait().unwrap().is_some()
        });
        trace_of(&self.folder.path().join("strace.out"))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn echoloop_has_the_same_bytes_as_its_own_trace() {
    if !have_tool("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (output, own) = (
        folder.path().join("strace.out"),
        folder.path().join("own.json"),
    );
    let mut command = strace(&output);
    command.arg(env!("CARGO_BIN_EXE_echoloop"));
    command.args(serve_arguments(
        &["127.0.0.1:0"],
        &["-v", "--trace", own.to_str().unwrap()],
    ));
    let mut daemon = Daemon::launch(command, 1);
    let mut client = connect(daemon.address());
    let data = vec![b'x'; 300_000];
    assert!(exchange(&mut client, &data) == data);
    let name = format!("#1 {}", client.local_addr().unwrap());
    assert_echo(&mut connect(daemon.address()), b"second");
    daemon.close_summary(1);
    let logged = daemon.close_summary(2);
    let strace_pid = daemon.pid();
    let children = format!("/proc/{strace_pid}/task/{strace_pid}/children");
    let pid = fs::read_to_string(children).unwrap();
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let (trace, log) = trace_of(&output);
    assert!(log.is_empty(), "{log}");
    let own = Trace::read(&own);
    let tracks = trace.tracks();
    assert_eq!(
        (&tracks[&1], &tracks[&2]),
        (&"event loop".to_owned(), &name)
    );
    assert_eq!(tracks.len(), 3, "{tracks:?}");
    for serial in [1, 2] {
        let bytes = |trace: &Trace| trace.summary(serial).split_once(", ").unwrap().1.to_owned();
        assert_eq!(bytes(&trace), bytes(&own));
    }
    assert!(logged.ends_with("6 bytes in, 6 out"), "{logged}");
    let reads = |trace: &Trace| {
        let names = trace.names(2).into_iter().map(str::to_owned);
        names
            .filter(|name| name.starts_with("read"))
            .collect::<Vec<_>>()
    };
    assert_eq!(reads(&trace), reads(&own));
}

#[test]
fn python_server_blocks_in_accept_and_read() {
    const SERVER: &str = "import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = s.accept()
    while data := c.recv(4096): c.sendall(data)
    c.close()";
    if !have_tool("strace") || !have_tool("python3") {
        return;
    }
    let server = Traced::start(&["python3", "-c", SERVER], |port, _| {
        vec![HOST.to_owned(), port.to_owned()]
    });
    let mut first = server.first();
    assert_eq!(exchange(&mut first, b"hello"), b"hello");
    let mut second = connect(server.address);
    assert_eq!(exchange(&mut second, b"again!"), b"again!");
    let (trace, log) = server.end();
    assert!(log.is_empty(), "{log}");
    assert_eq!(trace.summary(1), "closed, 5 bytes in, 5 out");
    assert_eq!(trace.summary(2), "closed, 6 bytes in, 6 out");
    for (serial, client) in [(1, first), (2, second)] {
        let name = format!("#{serial} {}", client.local_addr().unwrap());
        assert_eq!(trace.tracks()[&(serial + 1)], name);
    }
    assert_eq!(trace.tracks()[&1], "event loop");
}

#[test]
fn socat_serves_each_connection_in_a_child() {
    if !have_tool("strace") || !have_tool("socat") {
        return;
    }
    let server = Traced::start(&["socat"], |port, _| {
        let listen = format!("TCP-LISTEN:{port},fork,reuseaddr,bind={HOST}");
        vec![listen, "SYSTEM:cat".to_owned()]
    });
    let mut clients = vec![server.first(), connect(server.address)];
    for client in &mut clients {
        assert_echo(client, b"hello");
    }
    for client in &mut clients {
        assert_eq!(exchange(client, b"!"), b"!");
    }
    let (trace, _) = server.end();
    for (serial, client) in (1..).zip(&clients) {
        let name = format!("#{serial} {}", client.local_addr().unwrap());
        assert!(
            trace.tracks().values().any(|track| *track == name),
            "{name}"
        );
        let args = &trace.connection(serial)["args"];
        assert_eq!(
            (&args["bytes_in"], &args["bytes_out"]),
            (&6.into(), &6.into())
        );
    }
}

#[test]
fn nginx_has_its_requests_on_the_tracks_of_its_worker() {
    if !have_tool("strace") || !have_tool("nginx") {
        return;
    }
    let server = Traced::start(&["nginx"], |port, folder| {
        let folder = folder.display();
        let configuration = format!(
            "daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; events {{}} \
             http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; \
             fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder}; \
             server {{ listen {HOST}:{port}; return 200 hello; }} }}"
        );
        let path = format!("{folder}/nginx.conf");
        fs::write(&path, configuration).unwrap();
        vec!["-p".to_owned(), folder.to_string(), "-c".to_owned(), path]
    });
    let mut client = server.first();
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let reply = exchange(&mut client, request);
    assert!(reply.ends_with(b"hello"));
    let (trace, _) = server.end();
    let name = format!("#1 {}", client.local_addr().unwrap());
    assert!(
        trace.tracks().values().any(|track| *track == name),
        "{name}"
    );
    let args = &trace.connection(1)["args"];
    assert_eq!(args["bytes_in"], request.len());
    assert_eq!(args["bytes_out"], reply.len());
}

#[test]
fn standard_input_is_read_and_other_text_is_an_error() {
    let convert = |input: &[u8]| {
        let mut command = echoloop();
        command.args(["lab", "trace-of", "-"]);
        run(command, input)
    };
    let line = b"1.0 accept(3, NULL, NULL) = 4 <0.1>\nnonsense\n1.5 read(4, \"ab\", 9) = 2 <0.1>\n";
    let output = convert(line);
    assert!(output.status.success());
    assert_eq!(
        Trace::parse(&output.stdout).summary(1),
        "open at the end of the trace, 2 bytes in, 0 out"
    );
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("line 2 of - was not understood"), "{log}");
    let output = convert(b"GET / HTTP/1.1\n");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("- has no line of strace with times"),
        "{error}"
    );
    let mut lines = BufReader::new(error.as_bytes()).lines();
    assert!(lines.next().is_some() && lines.next().is_none(), "{error}");
}
