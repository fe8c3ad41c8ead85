//! The live page in a headless browser, during a load.

use std::net::SocketAddr;
use std::process::{Child, Stdio};

use super::{get, start, wait_for};
use crate::chromium::{Loaded, assert_fits, have_chromium, open};
use crate::harness::echoloop;

/// The time of the page in milliseconds. It passes as fast as the page is served: a poll takes some milliseconds.
const LONG: u32 = 400_000;

/// A load in the background, which ends with the test.
struct Load(Child);

impl Load {
    /// Some connections stay, others are opened for each echo.
    fn start(target: SocketAddr) -> Load {
        let mut command = echoloop();
        command.args([
            "load",
            &target.to_string(),
            "-q",
            "--idle",
            "40",
            "--active",
            "2",
        ]);
        command.args(["--churn", "reset", "--probe", "off", "-d", "120s"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Load(command.spawn().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The text of the element with this id.
#[track_caller]
fn text_of(dom: &str, id: &str) -> String {
    let start = dom
        .find(&format!("id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id}: {dom}"));
    let rest = &dom[start..];
    let begin = rest.find('>').unwrap() + 1;
    let end = rest[begin..].find('<').unwrap();
    rest[begin..begin + end].to_owned()
}

#[test]
fn live_page_shows_connections_rates_and_charts_during_a_load() {
    if !have_chromium() {
        return;
    }
    let (daemon, admin) = start(&[]);
    let _load = Load::start(daemon.address());
    crate::harness::eventually(crate::tools::PATIENCE, "the load has begun", || {
        super::scrape(admin, "echoloop_connections_opened_total") > 60.0
    });
    let Loaded { dom, console } = open(&format!("http://{admin}/"), LONG, &[]);
    assert_eq!(console, [""; 0]);
    assert!(
        dom.contains("<body class=\"live\">"),
        "the script ran: {dom}"
    );
    let open: u64 = text_of(&dom, "open").parse().unwrap();
    assert!((40..=44).contains(&open), "{open} connections");
    assert_eq!(text_of(&dom, "state"), "serving");
    for id in ["opened", "received", "sent"] {
        let text = text_of(&dom, id);
        let starts_with_digit = text.starts_with(|c: char| ('1'..='9').contains(&c));
        assert!(starts_with_digit, "{id}: {text:?}");
    }
    // Connections, opened per second, bytes per second, buffered bytes; the other two have no figures.
    let shown = dom.matches("role=\"img\" aria-label=\"").count();
    assert!(shown >= 4, "{shown} charts: {dom}");
    let drawn = dom.matches(" d=\"M").count();
    assert!(drawn >= 5, "{drawn} lines");
}

#[test]
fn page_needs_no_script_and_fits_a_phone() {
    if !have_chromium() {
        return;
    }
    let (_daemon, admin) = start(&[]);
    wait_for(admin, "echoloop_connections_open", 0.0);
    let page = get(admin, "/").body;
    assert!(page.contains("<td data-path=\"connections.opened\">0</td>"));
    // The security policy is in the head of the response, and does not hold for the file.
    assert_fits(&page, 390, "");
}
