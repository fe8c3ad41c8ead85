//! What the page shows of the server beside the kernel: the state of each connection, as its calls and notes imply it.
//!
//! The engine cannot be read within an iteration. At the end of each iteration its state is compared with this one.

use super::kernel::Socket;
use crate::connection::{Classes, CloseReason};
use crate::net::Note;
use crate::reactor::Class;

/// The receive side and the send side of a connection, with the numbers of the engine's saved states.
pub(super) type State = (u8, u8);

const OPEN: u8 = 1;
const UNTIL_DRAINED: u8 = 2;
const DISCARD: u8 = 3;
const AT_EOF: u8 = 4;
const SENDS: u8 = 0;
const FIN_QUEUED: u8 = 1;
const FIN_SENT: u8 = 2;

/// The user space of one connection.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Its input in the read buffer, which all connections share.
    pub(super) read_buffer: Vec<u8>,
    /// Its output buffer: the pending output.
    pub(super) output: Vec<u8>,
    pub(super) state: State,
    pub(super) class: Class,
    pub(super) reason: Option<CloseReason>,
    /// Whether it is in the run queue.
    pub(super) is_queued: bool,
    /// What the client does.
    pub(super) client: &'static str,
}

impl Default for View {
    fn default() -> View {
        View {
            read_buffer: Vec::new(),
            output: Vec::new(),
            state: (OPEN, SENDS),
            class: Class::NONE,
            reason: None,
            is_queued: false,
            client: "connects",
        }
    }
}

impl View {
    pub(super) fn on_registered(&mut self) {
        self.class = Classes::IDLE;
    }

    /// Bytes were read; none is the client's FIN.
    pub(super) fn on_read(&mut self, bytes: &[u8]) {
        match self.state.0 {
            OPEN | UNTIL_DRAINED if bytes.is_empty() => self.state = (AT_EOF, FIN_QUEUED),
            DISCARD => {}
            _ => self.read_buffer.extend(bytes),
        }
    }

    /// A read would block.
    pub(super) fn on_empty(&mut self) {
        if self.state.0 == UNTIL_DRAINED && self.output.is_empty() {
            self.state = (DISCARD, FIN_QUEUED);
        }
    }

    /// The kernel has accepted bytes.
    pub(super) fn on_written(&mut self, count: usize) {
        let output = if self.output.is_empty() {
            &mut self.read_buffer
        } else {
            &mut self.output
        };
        output.drain(..count.min(output.len()));
    }

    /// A write would block: the rest of the reply is copied to the output buffer.
    pub(super) fn on_send_buffer_full(&mut self) {
        self.output.append(&mut self.read_buffer);
    }

    pub(super) fn on_fin_sent(&mut self) {
        self.state.1 = FIN_SENT;
        self.class = Classes::LINGER;
    }

    pub(super) fn on_note(&mut self, note: Note) {
        match note {
            Note::BudgetUsed => self.is_queued = true,
            Note::OutputPending => self.class = Classes::STALLED,
            Note::OutputSent if self.class == Classes::STALLED => self.class = Classes::IDLE,
            Note::Drain if self.state.0 == OPEN => self.state.0 = UNTIL_DRAINED,
            Note::Closing(reason) => self.reason = CloseReason::from_number(reason),
            _ => {}
        }
    }

    pub(super) fn is_until_drained(&self) -> bool {
        self.state.0 == UNTIL_DRAINED
    }

    pub(super) fn is_at_eof(&self) -> bool {
        self.state.0 == AT_EOF
    }

    pub(super) fn is_fin_sent(&self) -> bool {
        self.state.1 == FIN_SENT
    }

    /// What the server does with input, in words.
    pub(super) fn receive_side(&self) -> &'static str {
        match self.state.0 {
            OPEN if self.output.is_empty() => "reads input",
            OPEN => "paused: output pending",
            UNTIL_DRAINED => "reads what has arrived",
            DISCARD => "discards input",
            _ => "FIN read: at its end",
        }
    }

    /// What the server does with output, in words.
    pub(super) fn send_side(&self) -> &'static str {
        match (self.state.1, self.output.is_empty()) {
            (SENDS, _) => "open",
            (FIN_QUEUED, true) => "FIN is next",
            (FIN_QUEUED, false) => "FIN follows the output",
            _ => "FIN sent",
        }
    }

    /// The class of deadlines, in words.
    pub(super) fn deadline(&self) -> &'static str {
        match self.class {
            Classes::IDLE => "none: idle",
            Classes::STALLED => "60 s: output pending",
            Classes::LINGER => "2 s: awaits FIN",
            _ => "none",
        }
    }

    /// Whether all bytes of the client are in one place each, in order.
    pub(super) fn conserves(&self, socket: &Socket) -> bool {
        let found = socket.received.iter();
        let found = found
            .chain(&socket.send_buffer)
            .chain(&self.output)
            .chain(&self.read_buffer)
            .chain(&socket.receive_buffer)
            .chain(&socket.held_back);
        found.eq(&socket.sent)
    }
}
