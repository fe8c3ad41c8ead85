//! Runs an example: a shell in an empty folder, as an unprivileged user, in a network namespace with a loopback
//! interface only, so that the ports of the documents are free.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::comparison::difference;
use crate::documents::{Block, Kind};

/// Separates the outputs of two commands and carries the exit code of the first.
const MARK: char = '\u{1}';

/// The exit code after the last command; no program returns it.
const AT_END: i32 = 999;

/// How long log lines may be delayed after the last command.
const LOG_PATIENCE: Duration = Duration::from_secs(3);

/// The time after which an example counts as endless: some take ten seconds on a machine that has nothing else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// The environment that the examples assume: the usual limits of file descriptors. The log of servers goes to a file, so
/// that none of its lines is printed in the middle of the output of a command.
const BEGIN: &str = r#"
ulimit -Hn 20000 && ulimit -Sn 1024 || exit 125
exec 3<&0 </dev/null 4>"$HOME/.log"
listeners() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A"' | wc -l; }
until_listening() { until [ "$(listeners)" -gt "$1" ]; do sleep 0.01; done; }
mark() { printf '\001%d\001' "$1"; }
"#;

/// An example that starts no server assumes this one.
const SERVER: &str = "echoloop serve >/dev/null 2>&1 &\nuntil_listening 0\n";

/// The servers of an example run until all their log lines are read.
const END: &str = "mark 999\nread -r _ <&3\nkill $(jobs -p) 2>/dev/null\nwait\n";

/// The example programs.
const EXAMPLES: [&str; 7] = [
    "calculator",
    "chat",
    "client",
    "graceful_stop",
    "shout",
    "stateful_framing",
    "timer",
];

/// The folder of the packages of python3, beside the programs.
const PYTHON: &str = "python";

/// `cargo run` of the documents, with the programs that are built already.
const CARGO: &str = r#"#!/bin/sh
[ "$1" = run ] && shift || exit 125
while [ "$1" != -- ]; do
  case $1 in
    --example) program=$PROGRAMS/$2; shift 2 ;;
    --release | -q) shift ;;
    *) exit 125 ;;
  esac
done
shift
exec "${program:-echoloop}" "$@"
"#;

/// Configures the network namespace, then drops the privileges for that; with an address other than loopback, for
/// `doctor` (RFC 5737).
///
/// On some machines only root may open /dev/net/tun.
const NETWORK: &str = "ip link set lo up && ip addr add 192.0.2.1/24 dev lo || exit
{ mknod -m 666 \"$TUN\" c 10 200 && mount --bind \"$TUN\" /dev/net/tun; } 2>/dev/null
exec \"$@\"";

/// The programs that examples run.
pub(crate) struct Programs(TempDir);

impl Programs {
    /// Copies them, since other users may not be able to reach the folder of the build.
    pub(crate) fn install() -> Programs {
        let programs = Programs(tempfile::tempdir().unwrap());
        let built = Path::new(env!("CARGO_BIN_EXE_echoloop"));
        programs.copy(built, "echoloop");
        for example in EXAMPLES {
            programs.copy(&built.with_file_name("examples").join(example), example);
        }
        programs.copy_python_packages();
        let cargo = programs.0.path().join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        make_public(&cargo);
        make_public(programs.0.path());
        programs
    }

    /// The packages of the environment that `.ci/run` creates, if it exists: `websockets`.
    fn copy_python_packages(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pattern = root.join("target/tools/venv/lib/python3");
        let mut copy = Command::new("sh");
        copy.args(["-c", "cp -r \"$0\"*/site-packages/websockets \"$1\""]);
        let folder = self.0.path().join(PYTHON);
        fs::create_dir(&folder).unwrap();
        // Without the package, the example that needs it is skipped.
        let _ = copy.arg(pattern).arg(&folder).output();
        let mut publish = Command::new("chmod");
        publish.args(["-R", "a+rX"]).arg(&folder);
        assert!(publish.status().unwrap().success());
    }

    fn copy(&self, program: &Path, name: &str) {
        let copied = fs::copy(program, self.0.path().join(name));
        copied.unwrap_or_else(|error| {
            panic!("{}: {error} (cargo test builds it)", program.display())
        });
    }
}

fn make_public(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The folder of one example.
struct Place {
    folder: TempDir,
    programs: PathBuf,
}

impl Place {
    fn new(programs: &Path) -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
            programs: programs.to_owned(),
        };
        let home = place.path("home");
        fs::create_dir(&home).unwrap();
        symlink(programs, home.join("bin")).unwrap();
        make_public(place.folder.path());
        if Uid::effective().is_root() {
            chown(&home, Some(65534), Some(65534)).unwrap();
        }
        place
    }

    fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    /// A shell that runs a script.
    fn shell(&self, script: &str) -> Command {
        let file = self.path("script");
        fs::write(&file, script).unwrap();
        let (unshare, shell) = if Uid::effective().is_root() {
            let shell = "setpriv --reuid=65534 --regid=65534 --clear-groups bash";
            ("-nm", shell)
        } else {
            ("-rn", "unshare --map-user=1000 --map-group=1000 bash")
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:/usr/sbin:/sbin", self.programs.display());
        let mut command = Command::new("unshare");
        command
            .args([unshare, "sh", "-c", NETWORK, "sh"])
            .args(shell.split(' '))
            .arg(file)
            .current_dir(self.path("home"))
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("TUN", self.path("tun"))
            .env("PROGRAMS", &self.programs)
            .env("PYTHONPATH", self.programs.join(PYTHON))
            .env_remove("ECHOLOOP_LOG")
            .process_group(0);
        command
    }
}

/// Whether examples can run on this machine; if not, the reason.
pub(crate) fn is_possible() -> Result<(), String> {
    let place = Place::new(Path::new("/nonexistent"));
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
        "a network namespace or 20,000 file descriptors are not available: {why}"
    ))
}

/// The outcome of an example.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    AsShown,
    Otherwise(String),
    /// A program of another project is missing.
    Lacking(String),
}

/// A shell and all processes that it started. Invariant: they are one process group, which is killed on drop.
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
        // The command holds the write ends of the pipe: the reader would see no end of file.
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

/// Runs an example and compares its output.
pub(crate) fn run(block: &Block, programs: &Programs) -> Outcome {
    let place = Place::new(programs.0.path());
    let mut running = Running::start(place.shell(&script(block)));
    let start = Instant::now();
    let mut ended = None;
    loop {
        let is_over = start.elapsed() > LIMIT || running.child.try_wait().unwrap().is_some();
        let (mut printed, exits) = split_at_marks(&running.printed());
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        printed += &fs::read_to_string(place.path("home/.log")).unwrap_or_default();
        if printed.contains("ModuleNotFoundError") {
            return Outcome::Lacking(format!("{printed}(.ci/run installs the package)"));
        }
        if printed.contains("cannot use --userspace-tcp=private: ") {
            return Outcome::Lacking(printed);
        }
        if exits.last() == Some(&AT_END) {
            let since = ended.get_or_insert_with(Instant::now).elapsed();
            let outcome = judge(block, &printed, &exits);
            if since > LOG_PATIENCE || !matches!(outcome, Outcome::Otherwise(_)) {
                let mut stdin = running.child.stdin.take().unwrap();
                let _ = stdin.write_all(b"\n");
                return outcome;
            }
        } else if is_over {
            return Outcome::Otherwise(format!("it does not end, or too early\n{printed}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs an example and returns the output of each command.
pub(crate) fn record(block: &Block, programs: &Programs) -> Vec<String> {
    let place = Place::new(programs.0.path());
    let mut running = Running::start(place.shell(&script(block)));
    let end = format!("{MARK}{AT_END}{MARK}");
    let start = Instant::now();
    while !running.printed().contains(&end) {
        assert!(start.elapsed() < LIMIT, "{}: no end", block.place);
        thread::sleep(Duration::from_millis(5));
    }
    let printed = running.printed();
    let mut stdin = running.child.stdin.take().unwrap();
    let _ = stdin.write_all(b"\n");
    printed.split(MARK).step_by(2).map(str::to_owned).collect()
}

/// An example as a script, with a mark after each command.
fn script(block: &Block) -> String {
    let mut script = BEGIN.to_owned();
    let is_server = |command: &String| command.ends_with('&');
    if block.kind == Kind::Console && !block.commands.iter().any(is_server) {
        script += SERVER;
    }
    let steps = block.commands.iter().map(|command| {
        if block.kind == Kind::Script {
            format!("( set -e\n{command}\n)\nmark $?\n")
        } else if is_server(command) {
            format!(
                "before=$(listeners)\nexec 5>&2 2>&4\n{command}\nexec 2>&5\nuntil_listening $before\nmark 0\n"
            )
        } else {
            format!("{command}\nmark $?\n")
        }
    });
    script.extend(steps);
    script + END
}

/// The output without its marks, each of which ends an unfinished line, and the exit codes.
fn split_at_marks(output: &str) -> (String, Vec<i32>) {
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

fn judge(block: &Block, printed: &str, exits: &[i32]) -> Outcome {
    if exits.contains(&127) || printed.contains("command not found") {
        return Outcome::Lacking(printed.to_owned());
    }
    let shows_failure = block
        .output
        .iter()
        .any(|line| line.starts_with("echoloop: "));
    let is_right = |exit: &i32| match *exit {
        0 | AT_END => true,
        1 => shows_failure,
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
