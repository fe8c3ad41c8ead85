//! The servers that are compared: how they are found, configured and started.

mod against;
mod files;
mod server;

pub(crate) use against::{Against, COLUMNS};
pub(crate) use files::Files;
pub(crate) use server::Server;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compared servers, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Echoloop,
    Haproxy,
    Nginx,
    /// A thread for each connection.
    Stunnel,
}

/// The number of [`Rival`]s.
pub(crate) const RIVALS: usize = 4;

/// Where Debian installs the stream module of nginx.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

impl Rival {
    pub(crate) const ALL: [Rival; RIVALS] = [
        Rival::Echoloop,
        Rival::Haproxy,
        Rival::Nginx,
        Rival::Stunnel,
    ];

    pub(crate) fn name(self) -> &'static str {
        COLUMNS[self as usize]
    }

    /// Whether the server can complete a handshake without a connection to the echo server behind it.
    pub(crate) fn has_handshake_alone(self) -> bool {
        self != Rival::Stunnel
    }

    /// Whether the server needs an echo server behind it.
    fn is_proxy(self) -> bool {
        self != Rival::Echoloop
    }

    /// What is missing, and how it is installed; `None` if the server can be started.
    pub(crate) fn missing(self) -> Option<String> {
        let package = match self {
            Rival::Echoloop if !serve_has_tls() => {
                return Some(
                    "echoloop: NOT MEASURED, this build of serve has no --tls-cert".into(),
                );
            }
            Rival::Haproxy if find("haproxy").is_none() => "haproxy",
            Rival::Nginx if find("nginx").is_none() || !Path::new(NGINX_STREAM).is_file() => {
                "nginx-light libnginx-mod-stream"
            }
            Rival::Stunnel if find("stunnel4").is_none() => "stunnel4",
            _ => return None,
        };
        let name = self.name();
        Some(format!(
            "{name}: NOT MEASURED, it is missing (apt-get install {package})"
        ))
    }

    /// The name and version of the program; empty if it is not installed.
    pub(crate) fn version(self) -> String {
        let (program, option, before) = match self {
            Rival::Echoloop => return String::new(),
            Rival::Haproxy => ("haproxy", "-v", "HAProxy version "),
            Rival::Nginx => ("nginx", "-v", "nginx version: nginx/"),
            Rival::Stunnel => ("stunnel4", "-version", "stunnel "),
        };
        let output = find(program).map(|program| Command::new(program).arg(option).output());
        let Some(Ok(output)) = output else {
            return String::new();
        };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let number = text.lines().find_map(|line| line.strip_prefix(before));
        let number = number.and_then(|rest| rest.split([' ', '-']).next());
        format!("{} {}", self.name(), number.unwrap_or_default())
    }

    /// The command that starts the server in the foreground.
    fn command(self, files: &Files, ports: Ports, backend: Option<SocketAddr>) -> Command {
        let template = match self {
            Rival::Echoloop => return serve_with_tls(files, ports.echo),
            Rival::Haproxy => include_str!("haproxy.cfg"),
            Rival::Nginx => include_str!("nginx.conf"),
            Rival::Stunnel => include_str!("stunnel.conf"),
        };
        let text = template
            .replace("@PORT@", &ports.echo.to_string())
            .replace("@PORT_ALONE@", &ports.alone.to_string())
            .replace("@BACKEND@", &backend.unwrap().to_string())
            .replace("@CONNECTIONS@", &files.max_connections.to_string())
            .replace(
                "@CONNECTIONS_BOTH@",
                &(2 * files.max_connections).to_string(),
            )
            .replace("@MODULE@", NGINX_STREAM)
            .replace("@DIRECTORY@", files.directory.path().to_str().unwrap());
        let path = files.write(&format!("{}.conf", self.name()), &text);
        let (program, arguments): (&str, &[&str]) = match self {
            // -db: no background process.
            Rival::Haproxy => ("haproxy", &["-db", "-f"]),
            Rival::Nginx => ("nginx", &["-e", "stderr", "-c"]),
            _ => ("stunnel4", &[]),
        };
        let mut command = Command::new(find(program).unwrap());
        command.args(arguments).arg(path);
        command
    }
}

/// The ports of a server.
#[derive(Clone, Copy)]
struct Ports {
    /// Echoes.
    echo: u16,
    /// Closes after the handshake.
    alone: u16,
}

/// The program of this build, independent of the environment.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}

fn serve_with_tls(files: &Files, port: u16) -> Command {
    let mut command = echoloop(&["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command.arg("--tls-cert").arg(&files.certificate);
    command.arg("--tls-key").arg(&files.key);
    command
}

/// Whether this build can be compared.
fn serve_has_tls() -> bool {
    let help = echoloop(&["serve", "--help"]).output().unwrap();
    String::from_utf8_lossy(&help.stdout).contains("--tls-cert")
}

/// The path of a program. Daemons are in folders that the PATH of a user may not have.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut programs = folders.map(|folder| folder.join(program));
    programs.find(|program| program.is_file())
}

/// Whether a program can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}
