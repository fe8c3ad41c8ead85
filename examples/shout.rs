//! A server with its own protocol: the reply is the input in capitals.
//!
//! Run `cargo run --example shout -- 127.0.0.1:8001` and `printf 'hello\n' | nc -N 127.0.0.1 8001`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{Context, Outbox, Protocol, Session};
use echoloop::server::{Config, Server};

/// The protocol of the listener. Its fields would be settings and counters that the sessions share.
struct Shout;

/// The state of one connection: none.
struct Shouting;

impl Protocol for Shout {
    type Session = Shouting;

    fn name(&self) -> &'static str {
        "shout"
    }

    fn session(&mut self) -> Shouting {
        Shouting
    }
}

impl Session for Shouting {
    type Shared = Shout;

    fn receive(&mut self, input: &[u8], _: Context<'_, Shout>, outbox: &mut Outbox<'_>) -> usize {
        outbox.write(&input.to_ascii_uppercase());
        input.len()
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let mut server = Server::new(MioNet::with_signals()?, Shout, Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
