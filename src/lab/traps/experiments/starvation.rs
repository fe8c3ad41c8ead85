//! The input of the busy client is in the kernel before the server reads, so no thread has to be fast.

use super::{Outcome, Place, Trap};
use crate::lab::traps::epoll::{create, wait};
use crate::lab::traps::loopback::{listener, pair_of, unless_blocked, unread, until, until_steady};
use crate::lab::traps::starvation::{right, wrong};
use crate::numbers::grouped;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "starvation",
    sentence: "one busy client keeps all the others waiting",
    experiment: "A busy client has sent as much as the kernel takes, then a quiet one sends 5 bytes.",
    predicted_wrong: "the server reads more than 65,536 bytes of the busy client first",
    predicted_right: "it reads 16,384 bytes first",
    why: "A loop until EAGAIN ends when the client pauses. A client that sends as fast as the \
          server reads, or faster, does not: the loop never ends.",
    source: source!("starvation.rs"),
    in_echoloop: Place {
        path: "src/connection/reading.rs",
        item: "cx.budget() == 0",
        how: "a connection has a budget per iteration; when it is used up, the connection goes to \
              the end of the run queue, since epoll (edge-triggered) reports no further event.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

/// What the right version reads: 4 times 4,096 bytes.
const FEW: usize = 16 * 1024;

/// What is already in the receive buffer exceeds this.
const MANY: usize = 64 * 1024;

const BUSY: u64 = 0;
const QUIET: u64 = 1;

type Version = fn(&TcpStream, &mut dyn FnMut(&[u8])) -> io::Result<()>;

fn run(version: Version) -> io::Result<Outcome> {
    let listener = listener()?;
    set_socket_recv_buffer_size(&listener, 128 * 1024)?;
    let (mut busy, busy_end) = pair_of(&listener)?;
    let (mut quiet, quiet_end) = pair_of(&listener)?;
    busy.set_nonblocking(true)?;
    busy_end.set_nonblocking(true)?;
    let (piece, mut sent) = (vec![b'b'; 65536], 0);
    until_steady(Duration::from_millis(50), || {
        sent += unless_blocked(busy.write(&piece))?;
        Ok(sent)
    })?;
    quiet.write_all(b"hello")?;
    until(|| Ok(unread(&quiet_end)? == 5))?;

    let epoll = create()?;
    for (key, end) in [(BUSY, &busy_end), (QUIET, &quiet_end)] {
        epoll::add(&epoll, end, EventData::new_u64(key), EventFlags::IN)?;
    }
    let (mut bytes, mut reads) = (0, 0);
    'quiet: loop {
        for event in wait(&epoll)? {
            if event.key == QUIET {
                break 'quiet;
            }
            version(&busy_end, &mut |input| {
                bytes += input.len();
                reads += 1;
            })?;
        }
    }
    let figures = format!(
        "{} bytes of the busy client, {} reads, before the quiet one",
        grouped(bytes as u64),
        grouped(reads)
    );
    Ok(Outcome::new(bytes > MANY, bytes <= FEW, figures))
}
