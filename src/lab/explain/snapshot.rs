//! The values that the page shows at a step, by name.
//!
//! A list has its entries separated by `|`; `*` marks the entry that is handled now, `-` one that is done.

use super::kernel::Socket;
use super::sentences::{closed_state, counted};
use super::view::View;
use super::world::{Progress, World};

/// In a buffer: FIN, after the bytes.
pub(super) const FIN: char = '\u{25a0}';

/// The values that belong to no connection: name, and label.
pub(super) const GLOBAL: [(&str, &str); 8] = [
    ("ready", "ready list"),
    ("events", "events"),
    ("run", "run queue"),
    ("queue", "accept queue"),
    ("listener", "listener"),
    ("files", "file descriptors"),
    ("read", "read buffer"),
    ("clock", "clock"),
];

/// The values of each connection.
pub(super) const CONNECTION: [(&str, &str); 11] = [
    ("id", "connection"),
    ("held", "in the client's kernel"),
    ("receive", "receive buffer"),
    ("output", "output buffer"),
    ("send", "send buffer"),
    ("in", "receive side"),
    ("out", "send side"),
    ("pending", "pending output"),
    ("deadline", "deadline"),
    ("client", "the client"),
    ("count", "bytes"),
];

impl World {
    /// All values at this step.
    pub(super) fn snapshot(&self) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for ((name, _), value) in GLOBAL.into_iter().zip(self.global_values()) {
            values.push((name.to_owned(), value));
        }
        for (id, socket) in self.kernel.sockets.iter().enumerate() {
            let of_connection = self.connection_values(id, socket, &self.views[id]);
            for ((name, _), value) in CONNECTION.into_iter().zip(of_connection) {
                values.push((format!("{}.{name}", socket.client), value));
            }
        }
        values
    }

    fn global_values(&self) -> [String; GLOBAL.len()] {
        let kernel = &self.kernel;
        let ready = kernel.ready_list();
        let ready = ready
            .iter()
            .map(|(item, event)| self.item_text(*item, event.readiness));
        let events = self.events.iter().map(|event| {
            let mark = match event.progress {
                Progress::Waiting => "",
                Progress::Current => "*",
                Progress::Done => "-",
            };
            format!("{mark}{}", self.event_text(event))
        });
        let ids = 0..self.views.len();
        let queued = ids.clone().filter(|id| self.views[*id].is_queued);
        let queue = kernel.accept_queue.iter();
        let queue = queue.map(|id| format!("client {}", kernel.sockets[*id].client));
        let listener = match (kernel.is_listening, self.is_accepting_paused) {
            (false, _) => "closed",
            (true, true) => "accepting pauses",
            (true, false) => "open",
        };
        let read_buffer = self.views.iter().map(|view| text(&view.read_buffer));
        [
            list(ready),
            list(events),
            list(queued.map(|id| self.name(id))),
            list(queue),
            listener.to_owned(),
            format!(
                "{} of {}",
                kernel.descriptors_in_use(),
                kernel.sizes.descriptors
            ),
            read_buffer.collect(),
            format!("{} ms", kernel.now.as_nanos() / 1_000_000),
        ]
    }

    fn connection_values(
        &self,
        id: usize,
        socket: &Socket,
        view: &View,
    ) -> [String; CONNECTION.len()] {
        let with_fin = |mut bytes: String, is_there: bool| {
            bytes.extend(is_there.then_some(FIN));
            bytes
        };
        let counts = format!(
            "{} sent, {} received",
            socket.sent.len(),
            socket.received.len()
        );
        let [state, send_side, deadline] = match (socket.key, socket.is_closed) {
            (None, _) => ["not accepted", "", ""].map(str::to_owned),
            (_, true) => [closed_state(view.reason), String::new(), String::new()],
            _ => [view.receive_side(), view.send_side(), view.deadline()].map(str::to_owned),
        };
        let pending = counted(view.output.len(), "byte");
        [
            self.name(id),
            text(socket.held_back.iter()),
            with_fin(
                text(socket.receive_buffer.iter()),
                socket.has_fin() && !socket.is_closed && !view.is_at_eof(),
            ),
            text(&view.output),
            with_fin(
                text(socket.send_buffer.iter()),
                socket.server_sent_fin && !socket.has_read_fin,
            ),
            state,
            send_side,
            if socket.is_closed {
                String::new()
            } else {
                pending
            },
            deadline,
            view.client.to_owned(),
            counts,
        ]
    }
}

fn list(entries: impl Iterator<Item = String>) -> String {
    entries.collect::<Vec<_>>().join("|")
}

fn text<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().map(|byte| char::from(*byte)).collect()
}
