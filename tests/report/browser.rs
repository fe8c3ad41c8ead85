//! The page in a headless browser. One test checks that console messages and requests are detected at all.

use crate::chromium::{self, TIME, assert_fits, have_chromium, url_of};
use crate::tools::run as run_to_exit;
use crate::{echoloop, run};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Hosts that the browser contacts for time, updates and accounts, independently of the page.
const BROWSER_HOSTS: [&str; 4] = ["google.com", "googleapis.com", "gstatic.com", "gvt1.com"];

/// A page as loaded by the browser.
struct Loaded {
    /// The document after loading.
    dom: String,
    /// The lines on the console.
    console: Vec<String>,
    /// The first lines of the page's network requests.
    requests: Vec<String>,
}

/// A proxy that records all requests of the browser and refuses them.
struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        // The thread runs until the test process exits.
        thread::spawn(move || {
            for stream in listener.incoming() {
                refuse(&mut stream.unwrap(), &recorded);
            }
        });
        Proxy { address, requests }
    }

    /// The requests of the page, without those of the browser.
    fn page_requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let is_own = |line: &str| BROWSER_HOSTS.iter().any(|host| line.contains(host));
        let foreign = requests.iter().filter(|line| !is_own(line));
        foreign.cloned().collect()
    }
}

fn refuse(stream: &mut TcpStream, requests: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]);
    if let Some(line) = request.lines().next() {
        requests.lock().unwrap().push(line.to_owned());
    }
    let _ = stream.write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

/// Loads a file of `folder` in Chromium, behind the proxy.
fn open(folder: &TempDir, name: &str) -> Loaded {
    let proxy = Proxy::start();
    let server = format!("--proxy-server=http://{}", proxy.address);
    let options = ["--proxy-bypass-list=<-loopback>", &server];
    let url = url_of(&folder.path().join(name));
    let loaded = chromium::open(&url, TIME, &options);
    Loaded {
        dom: loaded.dom,
        console: loaded.console,
        requests: proxy.page_requests(),
    }
}

/// Writes the page of these results to a file in `folder`.
fn page(folder: &Path, name: &str, results: &[&str]) {
    let results: Vec<String> = results.iter().map(|name| run(name)).collect();
    let path = folder.join(name);
    let mut arguments = vec!["report", "--report", path.to_str().unwrap()];
    arguments.extend(results.iter().map(String::as_str));
    let output = run_to_exit(echoloop(&arguments), b"");
    assert!(output.status.success(), "{output:?}");
}

fn charts(dom: &str) -> usize {
    dom.matches("<svg role=\"img\"").count()
}

#[test]
fn page_has_its_charts_and_causes_no_message_or_request() {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "both.html", &["together-1", "together-2"]);
    page(folder.path(), "idle.html", &["idle"]);
    for (name, expected) in [("both.html", 6), ("idle.html", 2)] {
        let loaded = open(&folder, name);
        assert_eq!(charts(&loaded.dom), expected, "{name}");
        assert_eq!(loaded.console, [""; 0], "{name}");
        assert_eq!(loaded.requests, [""; 0], "{name}");
    }
}

#[test]
fn page_of_a_comparison_causes_no_message_or_request() {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compared.html");
    let (base, new) = (run("together-1"), run("together-2"));
    let page = path.to_str().unwrap();
    let arguments = ["report", "--compare", &base, &new, "--report", page];
    let output = run_to_exit(echoloop(&arguments), b"");
    assert!(output.status.success(), "{output:?}");
    let loaded = open(&folder, "compared.html");
    assert_eq!(charts(&loaded.dom), 3);
    assert_eq!(loaded.console, [""; 0]);
    assert_eq!(loaded.requests, [""; 0]);
}

#[test]
fn console_messages_and_requests_of_a_page_are_detected() {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "<!DOCTYPE html><script>console.error('detected')</script><img src=\"http://echoloop.invalid/x.png\">";
    fs::write(folder.path().join("script.html"), text).unwrap();
    let loaded = open(&folder, "script.html");
    assert!(loaded.console.iter().any(|line| line.contains("detected")));
    assert!(
        loaded
            .requests
            .iter()
            .any(|line| line.contains("echoloop.invalid")),
        "{:?}",
        loaded.requests
    );
}

#[test]
fn injected_script_does_not_run() {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "page.html", &["idle"]);
    let path = folder.path().join("page.html");
    let text = fs::read_to_string(&path).unwrap();
    let script = "<main><script>document.title = 'script ran'</script>";
    fs::write(&path, text.replace("<main>", script)).unwrap();
    let loaded = open(&folder, "page.html");
    assert!(!loaded.dom.contains("<title>script ran"));
    assert!(
        loaded
            .console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{:?}",
        loaded.console
    );
}

#[test]
fn page_fits_a_phone_of_320_pixels() {
    if !have_chromium() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), "page.html", &["together-1", "together-2"]);
    let text = fs::read_to_string(folder.path().join("page.html")).unwrap();
    // Its security policy forbids further scripts.
    assert_fits(&text.replace("Content-Security-Policy", "X-None"), 320, "");
}
