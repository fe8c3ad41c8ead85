//! A terminal in which the examples are run: a shell in an empty folder, of somebody who is not root, on a machine with no
//! other network than its own loopback, so that the ports of the README are free.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::blocks::{Block, Kind};
use crate::likeness::difference;
use crate::tools::PATIENCE;

/// Between the outputs of two commands: the exit code of the first.
const MARK: char = '\u{1}';

/// The exit code that tells the end of an example; no program has it.
const AT_END: i32 = 999;

/// How long the last lines of a log may come after all commands have ended.
const LOG_PATIENCE: Duration = Duration::from_secs(3);

/// What the examples take for granted: a limit of descriptors that most machines have. What servers log goes to a file, so
/// that no line of it is in the middle of what a command prints.
const BEGIN: &str = r#"
ulimit -Hn 20000 && ulimit -Sn 1024 || exit 125
exec 3<&0 </dev/null 4>"$HOME/.log"
listeners() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A"' | wc -l; }
begun() { until [ "$(listeners)" -gt "$1" ]; do sleep 0.01; done; }
mark() { printf '\001%d\001' "$1"; }
"#;

/// Where nothing is started in an example itself, it is about the server that the README starts at its top.
const SERVER: &str = "echoloop serve >/dev/null 2>&1 &\nbegun 0\n";

/// The servers of an example run on until all that they log has come.
const END: &str = "mark 999\nread -r _ <&3\nkill $(jobs -p) 2>/dev/null\nwait\n";

/// `cargo run` of the README, with what cargo has built already.
const CARGO: &str = r#"#!/bin/sh
[ "$1" = run ] && shift || exit 125
while [ "$1" != -- ]; do
  case $1 in
    --example) program=$EXAMPLES/$2; shift 2 ;;
    --release | -q) shift ;;
    *) exit 125 ;;
  esac
done
shift
exec "${program:-echoloop}" "$@"
"#;

/// What makes a network of its own, then gives the rights for that up; with an address that is not loopback's, for the
/// doctor (RFC 5737).
const NETWORK: &str = "ip link set lo up && ip addr add 192.0.2.1/24 dev lo && exec \"$@\"";

/// A folder for an example, with the programs beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { folder };
        for part in ["bin", "home"] {
            fs::create_dir(place.path(part)).unwrap();
        }
        // Copies, as others than who has built them may not reach the folder of the build.
        let built = Path::new(env!("CARGO_BIN_EXE_echoloop"));
        place.install(built, "echoloop");
        for example in ["shout", "calculator"] {
            place.install(&built.with_file_name("examples").join(example), example);
        }
        fs::write(place.path("bin/cargo"), CARGO).unwrap();
        symlink(place.path("bin"), place.path("home/bin")).unwrap();
        for part in ["", "bin", "home", "bin/cargo"] {
            let everybody = fs::Permissions::from_mode(0o755);
            fs::set_permissions(place.path(part), everybody).unwrap();
        }
        if Uid::effective().is_root() {
            std::os::unix::fs::chown(place.path("home"), Some(65534), Some(65534)).unwrap();
        }
        place
    }

    fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    fn install(&self, program: &Path, name: &str) {
        let copied = fs::copy(program, self.path("bin").join(name));
        copied.unwrap_or_else(|error| {
            panic!("{}: {error} (cargo test builds it)", program.display())
        });
    }

    /// A shell for a script, which stands in a file.
    fn shell(&self, script: &str) -> Command {
        let file = self.path("script");
        fs::write(&file, script).unwrap();
        let words: &[&str] = if Uid::effective().is_root() {
            let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups bash";
            &["unshare", "-n", "sh", "-c", NETWORK, "sh", nobody]
        } else {
            &[
                "unshare",
                "-rn",
                "sh",
                "-c",
                NETWORK,
                "sh",
                "unshare -U bash",
            ]
        };
        let words: Vec<&str> = words[..6]
            .iter()
            .copied()
            .chain(words[6].split(' '))
            .collect();
        let mut shell = Command::new(words[0]);
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .args(&words[1..])
            .arg(file)
            .current_dir(self.path("home"))
            .env(
                "PATH",
                format!("{}:{path}:/usr/sbin:/sbin", self.path("bin").display()),
            )
            .env("HOME", self.path("home"))
            .env("EXAMPLES", self.path("bin"))
            .env_remove("ECHOLOOP_LOG")
            .process_group(0);
        shell
    }
}

/// Whether examples can be run here; if not, why.
pub(crate) fn is_possible() -> Result<(), String> {
    let place = Place::new();
    let output = place
        .shell(&format!("{BEGIN}exit 0"))
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| format!("unshare cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "a network of its own and 20,000 descriptors are not to be had: {why}"
    ))
}

/// What came of an example.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    AsShown,
    Otherwise(String),
    /// A program of somebody else is not there.
    Lacking(String),
}

/// A shell and all that it has started. Invariant: they are a process group of their own, which ends with this value.
struct Running {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    fn start(mut shell: Command) -> Running {
        let (mut output, input) = std::io::pipe().unwrap();
        shell
            .stdin(Stdio::piped())
            .stdout(input.try_clone().unwrap())
            .stderr(input);
        let child = shell.spawn().unwrap();
        // The shell holds the other ends of the pipe, which must not stay open here.
        drop(shell);
        let printed = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&printed);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                all.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Running { child, printed }
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Runs an example, and compares what it prints.
pub(crate) fn run(block: &Block) -> Outcome {
    let place = Place::new();
    let mut running = Running::start(place.shell(&script(block)));
    let start = Instant::now();
    let mut ended = None;
    loop {
        let is_over = start.elapsed() > PATIENCE || running.child.try_wait().unwrap().is_some();
        let (mut printed, exits) = apart(&running.printed());
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        printed += &fs::read_to_string(place.path("home/.log")).unwrap_or_default();
        if exits.last() == Some(&AT_END) {
            let since = ended.get_or_insert_with(Instant::now).elapsed();
            let verdict = verdict(block, &printed, &exits);
            if since > LOG_PATIENCE || !matches!(verdict, Outcome::Otherwise(_)) {
                let mut stdin = running.child.stdin.take().unwrap();
                let _ = stdin.write_all(b"\n");
                return verdict;
            }
        } else if is_over {
            return Outcome::Otherwise(format!("it does not end, or too early\n{printed}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// An example as a script, with a mark after each command.
fn script(block: &Block) -> String {
    let mut script = BEGIN.to_owned();
    let is_server = |command: &&String| command.ends_with('&');
    if block.kind == Kind::Console && !block.commands.iter().any(|command| is_server(&command)) {
        script += SERVER;
    }
    let steps = block.commands.iter().map(|command| {
        if block.kind == Kind::Script {
            format!("( set -e\n{command}\n)\nmark $?\n")
        } else if is_server(&command) {
            format!(
                "before=$(listeners)\nexec 5>&2 2>&4\n{command}\nexec 2>&5\nbegun $before\nmark 0\n"
            )
        } else {
            format!("{command}\nmark $?\n")
        }
    });
    script.extend(steps);
    script + END
}

/// The output without its marks, each of which ends a line that is not empty, and the exit codes that they tell.
fn apart(output: &str) -> (String, Vec<i32>) {
    let (mut printed, mut exits) = (String::new(), Vec::new());
    for (at, piece) in output.split(MARK).enumerate() {
        if at % 2 == 1 {
            exits.extend(piece.parse::<i32>());
            continue;
        }
        if !piece.is_empty() && !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        printed.push_str(piece);
    }
    (printed, exits)
}

fn verdict(block: &Block, printed: &str, exits: &[i32]) -> Outcome {
    if exits.contains(&127) || printed.contains("command not found") {
        return Outcome::Lacking(printed.to_owned());
    }
    let tells_failure = block
        .output
        .iter()
        .any(|line| line.starts_with("echoloop: "));
    let is_right = |exit: &i32| match *exit {
        0 | AT_END => true,
        1 => tells_failure,
        // A threshold was missed, which a measured example may.
        3 => block.is_measured,
        _ => false,
    };
    if !exits.iter().all(is_right) {
        return Outcome::Otherwise(format!("exit codes {exits:?}\n{printed}"));
    }
    match difference(&block.output, printed, block.is_measured) {
        None => Outcome::AsShown,
        Some(difference) => Outcome::Otherwise(difference),
    }
}
