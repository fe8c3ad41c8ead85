//! The page in a real browser, headless. What is expected to be silent is first shown to be heard.

use crate::tools::{have_tool, run as run_to_its_end};
use crate::{echoloop, run};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What the browser asks for by itself, whatever the page: time, updates, accounts.
const ITS_OWN: [&str; 4] = ["google.com", "googleapis.com", "gstatic.com", "gvt1.com"];

/// What a browser has made of a page.
struct Seen {
    /// The document after it was loaded.
    dom: String,
    /// Lines of the console.
    console: Vec<String>,
    /// First lines of requests that left for the network, without the browser's own.
    requests: Vec<String>,
}

/// A proxy that everything asked for must come by, and that refuses all of it.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        // It waits for the next one until the test run ends.
        thread::spawn(move || {
            for stream in listener.incoming() {
                refuse(&mut stream.unwrap(), &noted);
            }
        });
        Proxy { address, asked }
    }

    fn foreign_requests(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let is_own = |line: &&String| ITS_OWN.iter().any(|host| line.contains(host));
        asked.iter().filter(|line| !is_own(line)).cloned().collect()
    }
}

fn refuse(stream: &mut TcpStream, asked: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]);
    if let Some(line) = request.lines().next() {
        asked.lock().unwrap().push(line.to_owned());
    }
    let _ = stream.write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

/// Opens a file of `folder` in Chromium.
fn open(folder: &TempDir, name: &str) -> Seen {
    let proxy = Proxy::start();
    let profile = folder.path().join("profile");
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        // Tests in a container run as root, where the sandbox does not work; the page is our own.
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--v=0",
        "--proxy-bypass-list=<-loopback>",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]);
    chromium.arg(format!("--proxy-server=http://{}", proxy.address));
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    let page = folder.path().join(name);
    chromium.arg(format!("file://{}", page.display()));
    let output = run_to_its_end(chromium, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let console = stderr.lines().filter(|line| line.contains(":CONSOLE"));
    Seen {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: console.map(str::to_owned).collect(),
        requests: proxy.foreign_requests(),
    }
}

/// The page of these runs, as a file of the folder.
fn page(folder: &Path, name: &str, runs: &[&str]) {
    let runs: Vec<String> = runs.iter().map(|name| run(name)).collect();
    let path = folder.join(name);
    let mut arguments = vec!["report", "--report", path.to_str().unwrap()];
    arguments.extend(runs.iter().map(String::as_str));
    let output = run_to_its_end(echoloop(&arguments), b"");
    assert!(output.status.success(), "{output:?}");
}

fn charts(dom: &str) -> usize {
    dom.matches("<svg role=\"img\"").count()
}

#[test]
fn charts_are_there_the_console_is_silent_and_nothing_is_fetched() {
    if !have_tool("chromium") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "both.html", &["together-1", "together-2"]);
    page(folder.path(), "idle.html", &["idle"]);
    for (name, expected) in [("both.html", 6), ("idle.html", 2)] {
        let seen = open(&folder, name);
        assert_eq!(charts(&seen.dom), expected, "{name}");
        assert_eq!(seen.console, [""; 0], "{name}");
        assert_eq!(seen.requests, [""; 0], "{name}");
    }
}

#[test]
fn a_page_that_talks_and_fetches_would_be_noticed() {
    if !have_tool("chromium") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "<!DOCTYPE html><script>console.error('heard')</script><img src=\"http://echoloop.invalid/x.png\">";
    fs::write(folder.path().join("loud.html"), text).unwrap();
    let seen = open(&folder, "loud.html");
    assert!(seen.console.iter().any(|line| line.contains("heard")));
    assert!(
        seen.requests
            .iter()
            .any(|line| line.contains("echoloop.invalid")),
        "{:?}",
        seen.requests
    );
}

#[test]
fn a_script_that_got_into_the_page_would_not_run() {
    if !have_tool("chromium") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "page.html", &["idle"]);
    let path = folder.path().join("page.html");
    let text = fs::read_to_string(&path).unwrap();
    let script = "<main><script>document.title = 'it ran'</script>";
    fs::write(&path, text.replace("<main>", script)).unwrap();
    let seen = open(&folder, "page.html");
    assert!(!seen.dom.contains("<title>it ran"));
    assert!(
        seen.console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{:?}",
        seen.console
    );
}

/// The page says its width to a frame around it, for which its policy must be taken out.
#[test]
fn on_a_phone_of_320_pixels_nothing_sticks_out() {
    if !have_tool("chromium") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "page.html", &["together-1", "together-2"]);
    let path = folder.path().join("page.html");
    let text = fs::read_to_string(&path).unwrap();
    let says = "<script>onload = () => parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>";
    let text = text
        .replace("Content-Security-Policy", "X-None")
        .replace("</body>", says);
    fs::write(&path, text).unwrap();
    let frame = "<!DOCTYPE html><body><p id=\"found\">nothing</p>\
         <script>onmessage = (said) => found.textContent = `${said.data} wide`</script>\
         <iframe src=\"page.html\" width=\"320\" height=\"600\"></iframe>";
    fs::write(folder.path().join("frame.html"), frame).unwrap();
    let seen = open(&folder, "frame.html");
    let expected = "<p id=\"found\">320 wide</p>";
    assert!(seen.dom.contains(expected), "{}", seen.dom);
}
