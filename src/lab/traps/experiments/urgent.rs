//! The client sends everything before the server reads.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::pair;
use crate::lab::traps::urgent::{right, wrong};
use rustix::net::{SendFlags, send};
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};

pub(super) const TRAP: Trap = Trap {
    name: "urgent",
    sentence: "the urgent byte vanishes from the stream",
    experiment: "A client sends abc, then X as urgent data, then def.",
    predicted_wrong: "the server reads abcdef",
    predicted_right: "the server reads abcXdef",
    why: "By default the kernel takes an urgent byte out of the stream, for a call with MSG_OOB. Any \
          client can send one, and then a firewall may read another text than the server.",
    source: source!("urgent.rs"),
    in_echoloop: Place {
        path: "src/net/listener.rs",
        item: "set_out_of_band_inline(true)",
        how: "all connections inherit the option. A read ends at the urgent byte all the same, and \
              edge-triggered epoll reports no event for what follows: hence EPOLLPRI.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

fn run(version: fn(&TcpStream) -> io::Result<String>) -> io::Result<Outcome> {
    let (mut client, server) = pair()?;
    client.write_all(b"abc")?;
    send(&client, b"X", SendFlags::OOB)?;
    client.write_all(b"def")?;
    client.shutdown(Shutdown::Write)?;
    let received = version(&server)?;
    let figures = format!("the server read {received}");
    let (is_wrong, is_right) = (received == "abcdef", received == "abcXdef");
    Ok(Outcome::new(is_wrong, is_right, figures))
}
