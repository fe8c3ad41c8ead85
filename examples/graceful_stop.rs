//! A server that a client can stop: at the line `stop` it drains, as at SIGTERM, and exits.
//!
//! Run `cargo run --example graceful_stop -- 127.0.0.1:8001` and `printf 'hello\nstop\n' | nc -N 127.0.0.1 8001`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::Line;
use echoloop::server::{Config, Server};
use std::cell::Cell;
use std::rc::Rc;

/// The longest accepted line, in bytes.
const LONGEST: usize = 1000;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let stops = Rc::new(Cell::new(false));
    let stop_requested = Rc::clone(&stops);
    let echo = Line::new(LONGEST, move |line, reply| {
        if line == b"stop" {
            stops.set(true);
            reply.write(b"stopping");
        } else {
            reply.echo();
        }
    });
    let mut server = Server::new(MioNet::with_signals()?, echo, Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    loop {
        if server.run_iteration()?.is_some() {
            return Ok(());
        }
        if stop_requested.get() {
            // Listeners close; connections answer what has arrived, flush their output and send FIN.
            server.drain();
        }
    }
}
