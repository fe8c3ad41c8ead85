//! The sentences of the pages: what a call did, and why the server made it.

use super::kernel::{Kernel, Socket};
use super::view::View;
use crate::connection::CloseReason;
use crate::net::{Ending, Note, Readiness, Signal};
use crate::time;
use std::time::Duration;

/// A number of bytes: `1 byte`, `16 bytes`.
pub(super) fn bytes(count: usize) -> String {
    counted(count, "byte")
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What a connection is ready for, as the page shows it in the ready list.
pub(super) fn readiness(readiness: Readiness) -> String {
    let names = [
        (Readiness::READABLE, "input"),
        (Readiness::WRITABLE, "output space"),
        (Readiness::DRAIN, "FIN"),
    ];
    let names = names.iter().filter(|(bit, _)| readiness.contains(*bit));
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    names.join(" + ")
}

pub(super) fn sleeps(timeout: Option<Duration>, is_first: bool) -> String {
    match timeout {
        None if is_first => "The ready list is empty, and no deadline runs. The server sleeps in \
                             `epoll_wait` without a limit: it uses no CPU until an event arrives."
            .to_owned(),
        None => "The ready list is empty, and no deadline runs: the server sleeps in `epoll_wait` \
                 without a limit."
            .to_owned(),
        Some(timeout) => format!(
            "The ready list is empty: the server sleeps in `epoll_wait`. It wakes up after {} at the \
             latest, for the next deadline.",
            spaced(timeout)
        ),
    }
}

/// A time with its unit: `250 ms`.
fn spaced(duration: Duration) -> String {
    let text = time::in_units(duration);
    let unit = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit.unwrap_or(text.len()));
    format!("{number} {unit}")
}

pub(super) fn woke(events: &[String], was_asleep: bool, is_first: bool) -> String {
    let how = if was_asleep {
        "The server wakes up: `epoll_wait`"
    } else {
        "`epoll_wait`"
    };
    let count = counted(events.len(), "event");
    let listed = events.join("; ");
    let why = if is_first {
        " The ready list is empty again: an edge is reported once."
    } else {
        ""
    };
    format!("{how} returns {count}: {listed}.{why}")
}

pub(super) fn woke_for_deadline(passed: Duration) -> String {
    format!(
        "No event has arrived for {}: `epoll_wait` returns 0 events.",
        spaced(passed)
    )
}

/// A wait without a timeout that returned no event.
pub(super) fn polls(is_draining: bool) -> String {
    if is_draining {
        "`epoll_wait` does not sleep (timeout 0), and returns no event: in each iteration the drain \
         visits 1,024 places for connections, and it has more of them to visit."
    } else {
        "`epoll_wait` does not sleep (timeout 0), since the run queue has an entry. It returns no \
         event."
    }
    .to_owned()
}

pub(super) fn accepted(client: &str) -> String {
    format!("`accept` removes client {client} from the accept queue and returns its socket.")
}

pub(super) fn accept_failed(waiting: &str, limit: usize) -> String {
    format!(
        "`accept` fails with EMFILE: the process has used all its file descriptors ({limit} for \
         connections). Client {waiting} stays in the accept queue."
    )
}

pub(super) fn has_waiting(is_waiting: bool) -> String {
    if is_waiting {
        "`poll` on the listener: another client is in the accept queue. The server accepts again: \
         for a queue that was not emptied no further edge comes."
    } else {
        "`poll` on the listener: the accept queue is empty. The next client is a new edge."
    }
    .to_owned()
}

pub(super) fn registered(name: &str, client: &str, is_first: bool) -> String {
    let what = format!("Client {client} becomes connection {name}, registered with epoll");
    if is_first {
        format!(
            "{what}: from now on input and FIN are reported as edges. Output space is not \
             included, since most connections never need it."
        )
    } else {
        format!("{what} for input and FIN.")
    }
}

/// The result of a read, and what is known about its socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) count: usize,
    /// The size of the buffer.
    pub(super) size: usize,
    /// FIN has arrived.
    pub(super) has_fin: bool,
    /// The server reads up to EAGAIN without an event, since it drains.
    pub(super) is_drain: bool,
    /// Bytes that came from the client's kernel into the free space.
    pub(super) refilled: usize,
}

pub(super) fn read(name: &str, read: Read, is_first: bool) -> String {
    let Read { count, size, .. } = read;
    let what = format!("`read` returned {count} of {}", bytes(size));
    let why = if count == size && is_first {
        format!(
            ": the buffer is full, so {name} may have more. The server must read again, since no \
             edge comes for bytes that were there already."
        )
    } else if count == size {
        format!(": the buffer is full, so {name} must be read again.")
    } else if read.has_fin {
        ". A short read usually shows that the socket is empty. But FIN was reported, and no edge \
         follows it, so the server reads up to the end."
            .to_owned()
    } else if read.is_drain {
        ". The drain reads without an event, so only EAGAIN shows that the socket is empty."
            .to_owned()
    } else if is_first {
        ": the socket is empty, so the server waits for the next edge. A second read would only \
         return EAGAIN."
            .to_owned()
    } else {
        ": the socket is empty, so the server waits for the next edge.".to_owned()
    };
    let refilled = match read.refilled {
        0 => String::new(),
        count => format!(
            " {} of the client's kernel take the free space: a new edge.",
            bytes(count)
        ),
    };
    what + &why + &refilled
}

pub(super) fn fin_read(name: &str, client: &str, view: &View) -> String {
    let then = if view.is_fin_sent() {
        "Both sides have sent FIN."
    } else if view.output.is_empty() {
        "All its bytes are echoed, so the connection can close."
    } else {
        "Its output is sent before the server's FIN."
    };
    format!("`read` returned 0: client {client} has sent FIN, and {name} has no more input. {then}")
}

pub(super) fn read_would_block(name: &str, view: &View) -> String {
    let what = format!("`read` returned EAGAIN: {name} has no input left.");
    if view.is_until_drained() {
        format!("{what} All that had arrived before the drain is answered.")
    } else if view.is_fin_sent() {
        format!("{what} The server waits for the client's FIN, and drops other input.")
    } else {
        format!("{what} From now on, epoll reports the next byte as an edge.")
    }
}

/// A write of `size` bytes of which the kernel accepted `count`.
pub(super) fn written(
    name: &str,
    (count, size): (usize, usize),
    was_pending: bool,
    is_first: bool,
) -> String {
    if count < size {
        return format!(
            "The kernel accepted {count} of {}: the send buffer of {name} is full. The server \
             writes again, since an edge follows only after EAGAIN.",
            bytes(size)
        );
    }
    let count = bytes(count);
    match (was_pending, is_first) {
        (true, _) => format!(
            "The kernel accepted the {count} of pending output of {name}. The output buffer is \
             freed."
        ),
        (_, true) => format!(
            "The kernel accepted all of the reply, {count}. The server writes the read buffer \
             itself: it copies nothing."
        ),
        (_, false) => format!("The kernel accepted all of the reply, {count}."),
    }
}

pub(super) fn write_would_block(name: &str, rest: usize, was_pending: bool) -> String {
    let what = format!("`write` returned EAGAIN: the send buffer of {name} is full.");
    let rest = bytes(rest);
    if was_pending {
        format!("{what} The output buffer keeps {rest}.")
    } else {
        format!(
            "{what} The rest of the reply, {rest}, is copied to an output buffer, which is \
             allocated now."
        )
    }
}

pub(super) fn watches_writable(name: &str) -> String {
    format!(
        "From now on epoll reports output space of {name}, too. The server requests this once, at \
         the first pending output; it stays for the life of the connection."
    )
}

pub(super) fn fin_sent(name: &str, client: &str) -> String {
    format!(
        "All output of {name} is with the kernel, so the server sends FIN (`shutdown`). It still \
         reads: closing with unread input would send RST, which destroys bytes on their way to \
         client {client}."
    )
}

pub(super) fn closed(name: &str, socket: &Socket, view: &View, ending: Ending) -> String {
    let why = view
        .reason
        .map_or_else(String::new, |reason| format!(", reason: {reason}"));
    let rest = socket.send_buffer.len();
    let how = match ending {
        Ending::Reset => "with RST",
        _ if view.is_fin_sent() => "after both FINs",
        _ => "with FIN",
    };
    let after = match rest {
        0 => String::new(),
        _ => format!(
            " The kernel still sends the {} of its send buffer, and FIN after them.",
            bytes(rest)
        ),
    };
    format!("The server closes {name} {how}{why}. Its file descriptor is free.{after}")
}

pub(super) fn signal(signal: Signal) -> String {
    format!(
        "The signal is {}: a drain. First the server accepts the clients that are in the accept \
         queue, since closing the listener would reset them.",
        signal.name()
    )
}

pub(super) fn listener_closed() -> String {
    "The listener is closed. From now on the kernel refuses new clients.".to_owned()
}

pub(super) fn accept_queue_empty() -> String {
    "`accept` returned EAGAIN: the accept queue is empty, so closing the listener resets no client."
        .to_owned()
}

/// A connection that was driven without a call: the title of the step, and its sentence.
pub(super) fn not_called(name: &str, view: &View, socket: &Socket) -> (String, String) {
    if view.is_queued {
        let text = format!(
            "{name} is in the run queue already, and a connection runs once in an iteration. The \
             server keeps the event for that run."
        );
        return (format!("{name}: event kept"), text);
    }
    let pending = bytes(view.output.len());
    let text = if socket.receive_buffer.is_empty() {
        format!(
            "The FIN of client {} has arrived. But {name} is not read while output is pending \
             ({pending}), so the server reads FIN later.",
            socket.client
        )
    } else {
        format!(
            "{name} has input, but is not read while output is pending ({pending}). So the input \
             stays in the receive buffer, and when that is full, TCP stops the client: \
             back-pressure."
        )
    };
    (format!("{name}: not read"), text)
}

/// A decision of the server about a connection; `None` if the next call shows it.
pub(super) fn note(note: Note, name: &str, view: &View) -> Option<String> {
    Some(match note {
        Note::BudgetUsed => format!(
            "{name} has used up its budget for one iteration, and may have more input. It goes to \
             the run queue: other connections are next, and {name} continues in the next iteration."
        ),
        Note::OutputPending => format!(
            "{name} has pending output: it is not read until that is sent. Its deadline is that of \
             pending output now: a client that takes no byte for 60 s is reset."
        ),
        Note::OutputSent if view.is_fin_sent() => return None,
        Note::OutputSent => format!(
            "{name} has no pending output any more: its deadline is that of an idle connection, \
             and it is read again."
        ),
        Note::DeadlinePassed(_) => format!("The deadline of {name} has passed."),
        Note::DeadlineExtended => {
            format!("Client of {name} makes progress: the deadline restarts.")
        }
        Note::Drain if view.output.is_empty() => format!(
            "Drain of {name}: the server answers the input that has arrived, and then sends FIN."
        ),
        Note::Drain => format!(
            "Drain of {name}: output is pending ({}), so FIN must wait until it is sent.",
            bytes(view.output.len())
        ),
        _ => return None,
    })
}

/// A decision of the server about accepting and about itself.
pub(super) fn server_note(note: Note, kernel: &Kernel) -> Option<String> {
    Some(match note {
        Note::AcceptPaused => "Accepting pauses. No further edge comes for the client that waits, \
                               so the server tries again without one: after 250 ms, or when a \
                               connection closes."
            .to_owned(),
        Note::AcceptResumed if kernel.descriptors_in_use() < kernel.sizes.descriptors => {
            "A file descriptor is free: the pause ends, and accepting continues at once.".to_owned()
        }
        Note::AcceptResumed => "The pause is over. The server tries to accept again.".to_owned(),
        Note::Drain => "The drain has begun, and takes at most 10 s. The server visits each \
                        connection next: also those without an event."
            .to_owned(),
        _ => return None,
    })
}

/// The end of a run in which the server has stopped.
pub(super) fn exited(reason: &str) -> String {
    format!(
        "No connection is left: the server exits ({reason}). Every client has received all its bytes and FIN."
    )
}

/// Why a connection was closed, for the table of connections.
pub(super) fn closed_state(reason: Option<CloseReason>) -> String {
    reason.map_or_else(|| "closed".to_owned(), |reason| format!("closed: {reason}"))
}
