//! The scenarios: sizes, and what the clients do.

use super::kernel::Sizes;
use super::script::Action::{Close, Connect, Read, Send, SendFin, Sleep, Terminate};
use super::script::{Act, Group};

/// A scenario of `echoloop lab explain`.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// The title of its page.
    pub title: &'static str,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// What to watch, for the top of the page.
    pub(super) lead: &'static str,
    /// Whether the page shows file descriptors and the clock.
    pub(super) shows_limits: bool,
    pub(super) sizes: Sizes,
    pub(super) script: &'static [Group],
}

/// All scenarios, in the order in which to look at them.
pub static SCENARIOS: [Scenario; 6] = [
    TWO_CLIENTS,
    SHORT_READ,
    SLOW_READER,
    HALF_CLOSE,
    EMFILE,
    DRAIN,
];

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

const SIZES: Sizes = Sizes {
    receive_buffer: 8,
    send_buffer: 8,
    read: 4,
    budget: 64,
    descriptors: 8,
};

/// Short for the tables below.
const fn act(client: &'static str, action: super::script::Action, does: &'static str) -> Act {
    Act::new(client, action, does)
}

const TWO_CLIENTS: Scenario = Scenario {
    name: "two-clients",
    title: "Two clients, one thread",
    summary: "one thread, two clients; a budget limits the busy one",
    lead: "One thread serves every client, and none of its calls blocks. Client A sends more than \
           its budget: watch how client B is served in between.",
    shows_limits: false,
    sizes: Sizes {
        send_buffer: 12,
        budget: 8,
        ..SIZES
    },
    script: &[
        &[
            act("A", Connect, "is connected"),
            act("B", Connect, "is connected"),
        ],
        &[
            act("A", Send("abcdefghijkl"), "waits for its echo"),
            act("B", Send("hi"), "waits for its echo"),
        ],
        &[
            act("B", Read(12), "has its echo"),
            act("A", Read(12), "has its echo"),
        ],
        &[act("A", SendFin, "has sent FIN, still reads")],
        &[act("A", Read(8), "is closed")],
    ],
};

const SHORT_READ: Scenario = Scenario {
    name: "short-read",
    title: "Short reads",
    summary: "when to stop reading: after EAGAIN, or after a short read",
    lead: "epoll reports an edge once, so the server reads until the socket is empty. Watch which \
           read shows that.",
    shows_limits: false,
    sizes: SIZES,
    script: &[
        &[act("A", Connect, "is connected")],
        &[act("A", Send("hi"), "waits for its echo")],
        &[
            act("A", Read(12), "has its echo"),
            act("A", Send("ping"), "waits for its echo"),
        ],
        &[
            act("A", Read(12), "has its echo"),
            act("A", Send("tictac"), "waits for its echo"),
        ],
        &[
            act("A", Read(12), "has its echo"),
            act("A", Send("bye"), "waits for its echo"),
            act("A", SendFin, "has sent FIN, still reads"),
        ],
        &[act("A", Read(12), "has its echo, and FIN")],
    ],
};

const SLOW_READER: Scenario = Scenario {
    name: "slow-reader",
    title: "A slow reader",
    summary: "a client that does not read: pending output, back-pressure",
    lead: "Client A sends, and does not read its echo. Watch in which buffers the bytes wait, and when \
           the server stops reading.",
    shows_limits: false,
    sizes: SIZES,
    script: &[
        &[act("A", Connect, "is connected")],
        &[act("A", Send("abcdefghijklmnopqrstuv"), "does not read")],
        &[act("A", Read(2), "reads slowly")],
        &[act("A", Read(2), "reads slowly")],
        &[act("A", Read(8), "reads")],
        &[act("A", Read(8), "reads")],
        &[
            act("A", Read(8), "has all its bytes"),
            act("A", SendFin, "has sent FIN, still reads"),
        ],
        &[act("A", Read(8), "is closed")],
    ],
};

const HALF_CLOSE: Scenario = Scenario {
    name: "half-close",
    title: "Half-close",
    summary: "clients that send FIN, and still receive all their bytes",
    lead: "A client that has sent FIN still reads. Client A gets its echo at once; client B reads \
           late. Watch when the server sends its own FIN.",
    shows_limits: false,
    sizes: SIZES,
    script: &[
        &[act("A", Connect, "is connected")],
        &[
            act("A", Send("bye"), "waits for its echo"),
            act("A", SendFin, "has sent FIN, still reads"),
        ],
        &[
            act("A", Read(8), "has its echo, and FIN"),
            act("B", Connect, "is connected"),
        ],
        &[
            act("B", Send("abcdefghij"), "does not read"),
            act("B", SendFin, "has sent FIN, does not read"),
        ],
        &[act("B", Read(8), "reads")],
        &[act("B", Read(8), "has its echo, and FIN")],
    ],
};

const EMFILE: Scenario = Scenario {
    name: "emfile",
    title: "No file descriptor left",
    summary: "no file descriptor left: accepting pauses, and resumes",
    lead: "The process has file descriptors for two connections, and three clients connect. Watch \
           the third one; the other two are served all the time.",
    shows_limits: true,
    sizes: Sizes {
        descriptors: 2,
        ..SIZES
    },
    script: &[
        &[
            act("A", Connect, "is connected"),
            act("B", Connect, "is connected"),
            act("C", Connect, "is connected"),
        ],
        &[act("", Sleep, "")],
        &[
            act("B", Send("hi"), "waits for its echo"),
            act("C", Send("me"), "waits for its echo"),
        ],
        &[
            act("B", Read(8), "has its echo"),
            act("A", SendFin, "has sent FIN"),
        ],
        &[act("C", Read(8), "has its echo")],
    ],
};

const DRAIN: Scenario = Scenario {
    name: "drain",
    title: "Drain",
    summary: "SIGTERM: close the listener, answer, flush, send FIN",
    lead: "The server stops, and no client loses a byte: neither A, a slow reader, nor B, which has just \
           connected.",
    shows_limits: false,
    sizes: SIZES,
    script: &[
        &[act("A", Connect, "is connected")],
        &[act("A", Send("abcdefghij"), "does not read")],
        &[
            act("B", Connect, "is connected"),
            act("B", Send("bye"), "waits for its echo"),
            act("", Terminate, ""),
        ],
        &[act("B", Close, "is closed")],
        &[act("A", Read(8), "reads")],
        &[act("A", Close, "is closed")],
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_words() {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            let name = scenario.name;
            let is_valid = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(name.chars().all(is_valid), "{name}");
            let first = SCENARIOS.iter().position(|other| other.name == name);
            assert_eq!(first, Some(index), "{name}");
            assert_eq!(find(name).map(|found| found.title), Some(scenario.title));
        }
    }
}
