//! What happens outside of the server while it sleeps: clients connect, send and read; a signal arrives; time passes.

use super::kernel::Kernel;
use super::sentences::bytes;
use crate::net::Signal;

/// An action of a client, or of its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Connect,
    Send(&'static str),
    /// Half-close: FIN after the bytes sent so far.
    SendFin,
    /// Reads at most this number of bytes.
    Read(usize),
    /// Reads everything up to the server's FIN, and closes.
    Close,
    /// SIGTERM for the server.
    Terminate,
    /// Nothing happens until the wait of the server ends.
    Sleep,
}

/// An action, by whom, and what the client does from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) client: &'static str,
    pub(super) action: Action,
    pub(super) does: &'static str,
}

/// What happens in one sleep of the server.
pub(super) type Group = &'static [Act];

impl Act {
    pub(super) const fn new(client: &'static str, action: Action, does: &'static str) -> Act {
        Act {
            client,
            action,
            does,
        }
    }

    pub(super) fn actor(&self) -> String {
        match self.action {
            Action::Terminate => "operator".to_owned(),
            Action::Sleep => "clock".to_owned(),
            _ => format!("client {}", self.client),
        }
    }

    /// Performs the action of a client, which has the connection `id`, or of the operator. Returns the title of the step
    /// and its sentence.
    pub(super) fn perform(&self, kernel: &mut Kernel, id: usize) -> (String, String) {
        let client = self.client;
        match self.action {
            Action::Connect => {
                kernel.connect(client);
                let text = format!(
                    "Client {client} connects. The kernel completes the handshake without the \
                     server, and adds the connection to the accept queue."
                );
                ("connects".to_owned(), text)
            }
            Action::Send(text) => {
                kernel.send(id, text.as_bytes());
                let title = format!("sends {}", bytes(text.len()));
                (title, sent(kernel, id, text.len()))
            }
            Action::SendFin => {
                kernel.send_fin(id);
                let text = format!(
                    "Client {client} sends FIN (half-close): it sends no more bytes, but still \
                     reads. FIN is behind the bytes that it has sent."
                );
                ("sends FIN".to_owned(), text)
            }
            Action::Read(most) => {
                let was_ready = is_ready(kernel, id);
                let count = kernel.receive(id, most);
                let raised = !was_ready && is_ready(kernel, id);
                let text = received(kernel, id, count, raised);
                let title = match count {
                    0 => "reads FIN".to_owned(),
                    _ => format!("reads {}", bytes(count)),
                };
                (title, text)
            }
            Action::Close => {
                let count = kernel.receive(id, usize::MAX);
                kernel.send_fin(id);
                let text = format!(
                    "Client {client} reads {} and FIN, and closes: its own FIN is the last event of \
                     the connection.",
                    bytes(count)
                );
                ("closes".to_owned(), text)
            }
            Action::Terminate => {
                kernel.signal(Signal::Terminate);
                let text = "The operator stops the server: kill sends SIGTERM. The signal is an \
                            entry of the ready list, like any event.";
                ("sends SIGTERM".to_owned(), text.to_owned())
            }
            Action::Sleep => {
                let text = "No client does anything until the deadline.".to_owned();
                ("time passes".to_owned(), text)
            }
        }
    }
}

fn is_ready(kernel: &Kernel, id: usize) -> bool {
    let key = kernel.sockets[id].key;
    let ready = kernel.ready_list();
    ready.iter().any(|(_, event)| Some(event.key) == key)
}

fn sent(kernel: &Kernel, id: usize, count: usize) -> String {
    let socket = &kernel.sockets[id];
    let what = format!("Client {} sends {}", socket.client, bytes(count));
    let held = socket.held_back.len();
    if held > 0 {
        format!(
            "{what}. The receive buffer of the server takes {}, and is full. The other {held} stay \
             in the kernel of the client: TCP flow control.",
            count - held
        )
    } else if socket.key.is_some() {
        format!("{what}. The receive buffer of the server has space for all: an edge, input.")
    } else {
        format!(
            "{what}. The kernel of the server receives them, although the server has not accepted \
             the connection yet."
        )
    }
}

fn received(kernel: &Kernel, id: usize, count: usize, raised: bool) -> String {
    let socket = &kernel.sockets[id];
    let client = socket.client;
    if count == 0 {
        return format!("Client {client} reads FIN: both directions are closed.");
    }
    let what = format!("Client {client} reads {}.", bytes(count));
    let free = kernel.sizes.send_buffer - socket.send_buffer.len();
    if raised {
        format!(
            "{what} Now {free} bytes of the send buffer are free: that is an edge, output space."
        )
    } else if socket.is_at_server_fin() {
        format!("{what} Then it reads FIN: nothing follows.")
    } else if socket.wants_space() {
        format!(
            "{what} Only {free} of {} bytes of the send buffer are free. The kernel reports output \
             space when a third is free, not for each byte.",
            kernel.sizes.send_buffer
        )
    } else if socket.received.len() == socket.sent.len() {
        format!("{what} It has all its bytes back.")
    } else {
        what
    }
}
