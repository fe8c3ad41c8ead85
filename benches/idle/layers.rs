//! Idle connections whose sessions have a state: of lines, and behind a proxy, after its header was consumed.

use crate::clients::Clients;
use crate::daemon::Daemon;
use crate::report::Report;
use crate::{counts, slope};

/// A kind of connection, and the size of its slot in the event loop, which is all that an idle one takes.
struct Case {
    what: &'static str,
    flags: &'static [&'static str],
    header: &'static [u8],
    slot: f64,
}

/// What pages and the growth of tables add to a slot, per connection.
const MOST_BESIDE: f64 = 8.0;

const PROXIED: &[&str] = &["--proxy-protocol", "--proxy-from", "127.0.0.0/8"];

const CASES: [Case; 3] = [
    Case {
        what: "line",
        flags: &["--protocol", "line", "--prefix", ""],
        header: b"",
        slot: 64.0,
    },
    Case {
        what: "behind a proxy, header of version 1",
        flags: PROXIED,
        header: b"PROXY TCP4 192.0.2.1 198.51.100.7 5555 8000\r\n",
        slot: 80.0,
    },
    Case {
        what: "behind a proxy, header of version 2",
        flags: PROXIED,
        header:
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x15\xb3\x1f\x40",
        slot: 80.0,
    },
];

pub(crate) fn run(report: &mut Report) {
    report.part("layers", "connections that have echoed once");
    let (few, many) = counts(report.quick);
    for case in &CASES {
        let daemon = Daemon::start(case.flags, None);
        let mut clients = Clients::new(&daemon).with_header(case.header);
        let at_few = clients.open_until(few, b"");
        let at_many = clients.open_until(many, b"");
        let slope = slope(at_few, at_many, many - few);
        let most = case.slot + MOST_BESIDE;
        let name = format!("per connection: {}", case.what);
        let bar = format!("at most {most} B");
        report.bar(&name, format!("{slope:.1} B"), &bar, slope <= most);
    }
}
