//! Real servers, each on a free port of 127.0.0.1 with a temporary folder, and ended by its process id.

use crate::certificates::Certificates;
use crate::ports::unused_port;
use crate::tools::{PATIENCE, have_tool, lacking};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// File descriptors of a server: more than the connections of a test.
const FDS: u32 = 4096;

/// A running server. Dropping it ends the process.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
    folder: TempDir,
}

/// Where a server runs and listens.
pub(crate) struct Place<'a> {
    pub(crate) ip: &'a str,
    /// A shell there.
    pub(crate) shell: Command,
}

/// The loopback address of this namespace.
fn here() -> Place<'static> {
    Place {
        ip: "127.0.0.1",
        shell: Command::new("sh"),
    }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts what `command` makes of a port and a folder, and waits until it accepts connections.
#[track_caller]
fn start(command: impl FnOnce(u16, &Path) -> Vec<String>) -> Server {
    start_at(here(), command)
}

/// As [`start`], in this place.
#[track_caller]
fn start_at(place: Place<'_>, command: impl FnOnce(u16, &Path) -> Vec<String>) -> Server {
    let Place { ip, mut shell } = place;
    let folder = TempDir::new().unwrap();
    let port = unused_port("127.0.0.1");
    let words = command(port, folder.path());
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let process = shell
        .arg("-c")
        .arg(format!("ulimit -n {FDS}; exec \"$0\" \"$@\""))
        .args(&words)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut server = Server {
        process,
        address: format!("{ip}:{port}"),
        folder,
    };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(&server.address).is_err() {
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap();
        let ended = server.process.try_wait().unwrap();
        assert!(ended.is_none(), "{words:?} exited: {log}");
        assert!(
            Instant::now() < deadline,
            "{words:?} does not listen: {log}"
        );
        thread::sleep(Duration::from_millis(5));
    }
    server
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

/// nginx, which closes a connection after so many requests.
pub(crate) fn nginx(requests: u32) -> Option<Server> {
    nginx_at(here(), requests)
}

/// As [`nginx`], in this place.
pub(crate) fn nginx_at(place: Place<'_>, requests: u32) -> Option<Server> {
    have_tool("nginx").then(|| {
        let ip = place.ip;
        start_at(place, |port, folder| {
            let temp = |name: &str| format!("{name}_temp_path {};", folder.display());
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(temp);
            let configuration = format!(
                "daemon off; master_process off; pid {0}/pid; error_log {0}/log;
                events {{ worker_connections {FDS}; }}
                http {{ access_log off; keepalive_requests {requests}; {1} server {{ listen {ip}:{port}; location / {{ return 200 hello; }} }} }}",
                folder.display(),
                paths.join(" ")
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, configuration).unwrap();
            let (folder, file) = (folder.display().to_string(), file.display().to_string());
            words(&["nginx", "-p", &folder, "-e", "log", "-c", &file])
        })
    })
}

/// socat, which echoes with a process for each connection.
pub(crate) fn socat() -> Option<Server> {
    have_tool("socat").then(|| {
        start(|port, _| {
            let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,backlog=128");
            words(&["socat", &listen, "PIPE"])
        })
    })
}

// Its protected mode takes no connections from 127.1.2.3.
const REDIS: [&str; 5] = ["redis-server", "--save", "", "--protected-mode", "no"];

pub(crate) fn redis() -> Option<Server> {
    redis_at(here())
}

/// As [`redis`], in this place.
pub(crate) fn redis_at(place: Place<'_>) -> Option<Server> {
    have_tool("redis-server").then(|| {
        let ip = place.ip;
        start_at(place, |port, _| {
            let port = port.to_string();
            words(&[&REDIS[..], &["--bind", ip, "--port", &port]].concat())
        })
    })
}

/// Redis with TLS, which requires client certificates of the same authority, as is its default.
pub(crate) fn redis_over_tls(files: &Certificates) -> Option<Server> {
    have_tool("redis-server").then(|| {
        start(|port, _| {
            let port = port.to_string();
            let [ca, certificate, key] =
                ["ca.pem", "server.pem", "server.key"].map(|name| files.path(name));
            let options = [
                "--bind",
                "127.0.0.1",
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-ca-cert-file",
                &ca,
                "--tls-cert-file",
                &certificate,
                "--tls-key-file",
                &key,
            ];
            words(&[&REDIS[..], &options].concat())
        })
    })
}

pub(crate) fn memcached() -> Option<Server> {
    memcached_at(here())
}

/// As [`memcached`], in this place.
pub(crate) fn memcached_at(place: Place<'_>) -> Option<Server> {
    have_tool("memcached").then(|| {
        let ip = place.ip;
        start_at(place, |port, _| {
            let port = port.to_string();
            let options = ["-l", ip, "-c", "2048", "-u", "nobody", "-U", "0"];
            words(&[&["memcached", "-p", &port], &options[..]].concat())
        })
    })
}

pub(crate) fn mosquitto() -> Option<Server> {
    mosquitto_at(here())
}

/// As [`mosquitto`], in this place.
pub(crate) fn mosquitto_at(place: Place<'_>) -> Option<Server> {
    have_tool("mosquitto").then(|| {
        let ip = place.ip;
        start_at(place, |port, folder| {
            let file = folder.join("mosquitto.conf");
            let configuration =
                format!("listener {port} {ip}\nallow_anonymous true\npersistence false\n");
            std::fs::write(&file, configuration).unwrap();
            words(&["mosquitto", "-c", &file.display().to_string()])
        })
    })
}

/// The Python of the environment that `.ci/run` creates, with the package `websockets`.
fn python_with_websockets() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/tools/venv/bin/python3");
    let has_package = || {
        let import = Command::new(&python)
            .args(["-c", "import websockets"])
            .status();
        import.is_ok_and(|status| status.success())
    };
    let found = python.is_file() && has_package();
    let remedy = "target/tools/venv has no websockets: .ci/run installs it";
    (found || lacking(remedy)).then_some(python)
}

pub(crate) fn websockets() -> Option<Server> {
    websockets_at(here())
}

/// As [`websockets`], in this place.
pub(crate) fn websockets_at(place: Place<'_>) -> Option<Server> {
    let python = python_with_websockets()?;
    let ip = place.ip;
    Some(start_at(place, |port, _| {
        let program = format!(
            "import asyncio
from websockets.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    async with serve(echo, '{ip}', {port}, backlog=1024) as server:
        await server.serve_forever()

asyncio.run(main())
"
        );
        words(&[&python.display().to_string(), "-c", &program])
    }))
}

/// A server in asyncio that greets with a line and repeats each line.
pub(crate) fn asyncio_lines() -> Option<Server> {
    asyncio_lines_at(here())
}

/// As [`asyncio_lines`], in this place.
pub(crate) fn asyncio_lines_at(place: Place<'_>) -> Option<Server> {
    have_tool("python3").then(|| {
        let ip = place.ip;
        start_at(place, |port, _| {
            let program = format!(
                "import asyncio

async def talk(reader, writer):
    writer.write(b'220 ready\\r\\n')
    while line := await reader.readline():
        writer.write(b'250 ' + line)
    writer.close()

async def main():
    server = await asyncio.start_server(talk, '{ip}', {port}, backlog=1024)
    await server.serve_forever()

asyncio.run(main())
"
            );
            words(&["python3", "-c", &program])
        })
    })
}
