//! Chromium without a window: loads a page, and returns the document and its messages. The tests of `lab` and `report` share
//! it.

use crate::tools::{have_tool, run_within};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A browser may take long to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

const OPTIONS: [&str; 11] = [
    "--headless",
    // The sandbox does not work as root in a container; the page is from the test.
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--dump-dom",
];

/// The time of a page in milliseconds, unless a test needs more: it passes as fast as the page needs nothing.
pub(crate) const TIME: u32 = 3000;

/// A page as loaded by the browser.
pub(crate) struct Loaded {
    /// The document after the time.
    pub(crate) dom: String,
    /// The lines on the console.
    pub(crate) console: Vec<String>,
}

/// Whether Chromium is installed; if not, as [`have_tool`].
#[track_caller]
pub(crate) fn have_chromium() -> bool {
    have_tool("chromium")
}

/// The URL of a file.
pub(crate) fn url_of(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Loads a page, with further options of Chromium, and lets `time` milliseconds pass in it.
#[track_caller]
pub(crate) fn open(url: &str, time: u32, extra: &[&str]) -> Loaded {
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args(OPTIONS);
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg(format!("--virtual-time-budget={time}"));
    chromium.args(extra).arg(url);
    let output = run_within(PATIENCE, chromium, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let console = stderr.lines().filter(|line| line.contains(":CONSOLE"));
    Loaded {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: console.map(str::to_owned).collect(),
    }
}

/// Checks that a page is as wide as a screen of `pixels`, after a script has run in it: it sends its width to an enclosing
/// frame. No security policy of the page may forbid that.
#[track_caller]
pub(crate) fn assert_fits(page: &str, pixels: u32, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "<script>onload = () => {{ {script};
         parent.postMessage(document.documentElement.scrollWidth, '*') }}</script></body>"
    );
    let text = page.replace("</body>", &script);
    assert_ne!(text, page, "the page has no end");
    fs::write(folder.path().join("page.html"), text).unwrap();
    let frame = format!(
        "<!DOCTYPE html><body><p id=\"found\">nothing</p>\
         <script>onmessage = (message) => found.textContent = `${{message.data}} wide`</script>\
         <iframe src=\"page.html\" width=\"{pixels}\" height=\"800\"></iframe>"
    );
    let path = folder.path().join("frame.html");
    fs::write(&path, frame).unwrap();
    let dom = open(&url_of(&path), TIME, &[]).dom;
    let expected = format!("<p id=\"found\">{pixels} wide</p>");
    assert!(dom.contains(&expected), "{dom}");
}
