//! `echoloop lab trap --trace` and `--html`: the system calls of both versions, from real runs.

use crate::chromium::{TIME, assert_fits, have_chromium, open, url_of};
use crate::echoloop;
use crate::tools::{have_tool, run_within};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

/// Two versions in strace, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The files of a trap.
struct Files {
    folder: TempDir,
    trace: Value,
    /// What was printed.
    text: String,
}

/// Runs both versions of a trap.
#[track_caller]
fn files_of(name: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let output = trap(name, &[], folder.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
    assert_eq!(output.status.code(), Some(0), "{name}: {text}");
    let trace = fs::read(folder.path().join("trace.json")).unwrap();
    Files {
        folder,
        trace: serde_json::from_slice(&trace).unwrap(),
        text,
    }
}

/// Runs a trap with its files in a folder.
fn trap(name: &str, flags: &[&str], folder: &Path) -> Output {
    let mut command = echoloop(&["lab", "trap", name]);
    command.args(flags);
    command.arg("--trace").arg(folder.join("trace.json"));
    command.arg("--html").arg(folder.join("pages"));
    run_within(PATIENCE, command, b"")
}

impl Files {
    fn page(&self, name: &str, version: &str) -> String {
        let file = format!("pages/{name}-{version}.html");
        fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    fn events(&self) -> impl Iterator<Item = &Value> {
        self.trace["traceEvents"].as_array().unwrap().iter()
    }

    /// The tracks of a version.
    fn tracks(&self, version: &str) -> Vec<u64> {
        let prefix = format!("{version}: ");
        let own = self.events().filter(|event| {
            let name = event["args"]["name"].as_str();
            event["name"] == "thread_name" && name.is_some_and(|name| name.starts_with(&prefix))
        });
        own.map(|event| event["tid"].as_u64().unwrap()).collect()
    }

    /// What happened in a version.
    fn events_of(&self, version: &str) -> Vec<&Value> {
        let tracks = self.tracks(version);
        let own = self
            .events()
            .filter(|event| event["ph"] != "M" && tracks.contains(&event["tid"].as_u64().unwrap()));
        own.collect()
    }

    /// How often something happened in a version.
    fn count(&self, version: &str, name: &str) -> u64 {
        let events = self.events_of(version).into_iter();
        events.filter(|event| event["name"] == name).count() as u64
    }

    /// The sum of a figure of the connections that the client has opened, or the server has accepted.
    fn sum(&self, version: &str, opened: &str, figure: &str) -> u64 {
        let events = self.events_of(version).into_iter();
        let ends = events.filter(|event| event["args"]["opened"] == opened);
        ends.map(|event| event["args"][figure].as_u64().unwrap())
            .sum()
    }
}

const CLIENT: &str = "connected by this process";
const SERVER: &str = "accepted";

/// A measure of the trace, and its values in the wrong and in the right version.
type Measured = (&'static str, fn(&Files, &str) -> u64, fn(u64, u64) -> bool);

/// Where the timelines differ.
const MEASURED: [Measured; 8] = [
    (
        "edge",
        |files, version| files.sum(version, SERVER, "bytes_in"),
        |wrong, right| (wrong, right) == (4096, 10_000),
    ),
    (
        "short-write",
        |files, version| files.sum(version, CLIENT, "bytes_in"),
        |wrong, right| wrong < right && right == 16_000_000,
    ),
    (
        "half-close",
        |files, version| files.sum(version, SERVER, "bytes_out"),
        |wrong, right| (wrong, right) == (0, 5),
    ),
    (
        "urgent",
        |files, version| files.sum(version, SERVER, "bytes_in"),
        |wrong, right| (wrong, right) == (6, 7),
    ),
    (
        "starvation",
        |files, version| files.sum(version, SERVER, "bytes_in"),
        |wrong, right| wrong > 65_536 && right == 16_384,
    ),
    (
        "slow-reader",
        |files, version| files.sum(version, CLIENT, "bytes_out"),
        |wrong, right| wrong == 32_000_000 && right < 16_000_000,
    ),
    (
        "emfile",
        |files, version| files.count(version, "accept: no file descriptor or memory left"),
        |wrong, right| wrong > 1_000 && (1..50).contains(&right),
    ),
    (
        "time-wait",
        // The last one ends the server.
        |files, version| files.count(version, "accepted") - 1,
        |wrong, right| (wrong, right) == (4, 20),
    ),
];

/// Texts that only the page of the wrong version has, and only that of the right one.
const TEXTS: [(&str, Option<&str>, Option<&str>); 7] = [
    ("close", None, Some("shutdown(")),
    (
        "sigpipe",
        Some("+++ killed by SIGPIPE +++"),
        Some(r"hello\n"),
    ),
    (
        "backlog",
        Some("listen(3, 8) = 0"),
        Some("listen(3, 4096) = 0"),
    ),
    ("herd", None, Some("EPOLLEXCLUSIVE")),
    ("nagle", None, Some("TCP_NODELAY")),
    ("urgent", None, Some("SO_OOBINLINE")),
    ("time-wait", None, Some("SO_LINGER")),
];

/// The rows of the table.
fn rows(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("<tbody>").unwrap();
    let (body, _) = body.split_once("</tbody>").unwrap();
    body.split("<tr").skip(1).collect()
}

/// The text of the entry `name` at the top of a page.
fn fact<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("<dt>{name}</dt><dd>");
    let (_, rest) = page.split_once(&begin).unwrap();
    rest.split_once("</dd>").unwrap().0
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check(name: &str, files: &Files) {
    let printed = joined(&files.text);
    for version in ["wrong", "right"] {
        assert!(!files.events_of(version).is_empty(), "{name}");
        let page = files.page(name, version);
        assert!(page.len() < 150_000, "{name}: {} B", page.len());
        for foreign in [
            "http:", "https:", "src=", "url(", "@import", "<link", "<script",
        ] {
            assert!(!page.contains(foreign), "{name}: {foreign}");
        }
        assert!(page.contains("default-src 'none'"), "{name}");
        for label in ["predicted", "result", "why"] {
            let text = fact(&page, label).replace("&gt;", ">");
            assert!(printed.contains(&joined(&text)), "{name}: {label} {text}");
        }
        assert!(rows(&page).len() > 10, "{name}");
        assert!(rows(&page)[0].contains("socket("), "{name}");
    }
}

#[test]
fn every_trap_has_a_trace_and_two_pages() {
    if !have_tool("strace") {
        return;
    }
    let list = run_within(PATIENCE, echoloop(&["lab", "trap"]), b"");
    let list = String::from_utf8(list.stdout).unwrap();
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() >= 15, "{names:?}");
    let queue = Mutex::new(names.into_iter());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let files = files_of(name);
                    check(name, &files);
                    for (_, measure, is_right) in MEASURED.iter().filter(|(of, ..)| *of == name) {
                        let values = ["wrong", "right"].map(|version| measure(&files, version));
                        assert!(is_right(values[0], values[1]), "{name}: {values:?}");
                    }
                    let texts = TEXTS.iter().filter(|(of, ..)| *of == name);
                    for (_, wrong, right) in texts {
                        let pages = ["wrong", "right"].map(|version| files.page(name, version));
                        let tables = pages.each_ref().map(|page| rows(page).concat());
                        for (text, own, other) in [(wrong, 0, 1), (right, 1, 0)] {
                            let Some(text) = text else { continue };
                            assert!(tables[own].contains(text), "{name}: {text}");
                            assert!(!tables[other].contains(text), "{name}: {text}");
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn one_version_has_one_page_that_keeps_the_reason() {
    if !have_tool("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = trap("urgent", &["--wrong"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let files = fs::read_dir(folder.path().join("pages")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["urgent-wrong.html"]);
    let page = fs::read_to_string(folder.path().join("pages/urgent-wrong.html")).unwrap();
    assert_eq!(
        fact(&page, "why"),
        "`echoloop lab trap urgent` shows the reason."
    );
    assert!(!page.contains("urgent-right.html"));
    let trace = fs::read_to_string(folder.path().join("trace.json")).unwrap();
    assert!(trace.contains("\"wrong: ") && !trace.contains("\"right: "));
}

/// Runs a trap with another program as its `strace`, or with none.
#[track_caller]
fn error_with_strace(script: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    if let Some(script) = script {
        let path = folder.path().join("strace");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = echoloop(&["lab", "trap", "edge", "--html"]);
    command.arg(folder.path()).env("PATH", folder.path());
    let output = run_within(PATIENCE, command, b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn missing_strace_is_an_error_that_names_the_package() {
    let error = error_with_strace(None);
    let expected = "echoloop: cannot run the trap edge in strace: No such file";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("install strace"), "{error}");
}

#[test]
fn strace_that_may_not_trace_is_an_error_with_its_message() {
    let script = "#!/bin/sh\necho 'strace: ptrace(PTRACE_TRACEME): Operation not permitted' >&2\n\
                  echo 'strace: see above' >&2\nexit 1\n";
    let error = error_with_strace(Some(script));
    assert!(
        error.contains("PTRACE_TRACEME): Operation not permitted"),
        "{error}"
    );
    assert!(error.contains("without --trace and --html"), "{error}");
}

#[test]
fn file_that_cannot_be_written_is_an_error_before_the_run() {
    for flags in [
        ["--trace", "/nonexistent/trace.json"],
        ["--html", "/dev/null/pages"],
    ] {
        let mut command = echoloop(&["lab", "trap", "edge"]);
        command.args(flags);
        let output = run_within(PATIENCE, command, b"");
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(output.stdout.is_empty(), "{flags:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains(flags[1]) && error.lines().count() == 1,
            "{error}"
        );
    }
    let without_name = echoloop(&["lab", "trap", "--trace", "trace.json"]);
    let output = run_within(PATIENCE, without_name, b"");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn page_opens_in_a_browser_and_fits_a_phone() {
    if !have_tool("strace") || !have_chromium() {
        return;
    }
    let files = files_of("edge");
    for version in ["wrong", "right"] {
        let path = files
            .folder
            .path()
            .join(format!("pages/edge-{version}.html"));
        let loaded = open(&url_of(&path), TIME, &[]);
        assert_eq!(loaded.console, [""; 0]);
        let page = files.page("edge", version);
        assert_eq!(rows(&loaded.dom).len(), rows(&page).len());
        // Only the test has a script.
        let without_policy = page.replace("default-src 'none'; ", "");
        assert_fits(&without_policy, 320, "");
        let colour = |scheme: u32| {
            let script = "<script>document.title = getComputedStyle(document.body).backgroundColor\
                          </script></body>";
            let path = files.folder.path().join("colour.html");
            fs::write(&path, without_policy.replace("</body>", script)).unwrap();
            let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
            let dom = open(&url_of(&path), TIME, &[&scheme]).dom;
            let (_, title) = dom.split_once("<title>").unwrap();
            title.split_once('<').unwrap().0.to_owned()
        };
        assert_eq!(
            [0, 1].map(colour),
            ["rgb(18, 21, 26)", "rgb(244, 245, 247)"]
        );
    }
}
