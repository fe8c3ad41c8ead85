//! A client on the engine: connects, sends a line, and prints the reply until the server's FIN.
//!
//! Run a server such as `cargo run --example shout -- 127.0.0.1:8001`, and `cargo run --example client -- 127.0.0.1:8001
//! hello`.

use echoloop::connection::{Closed, Common, Connections, Driver, Limits, Owner, Timeouts};
use echoloop::net::{Key, MioNet, Net};
use echoloop::protocol::{Context, Outbox, Protocol, Session};
use echoloop::reactor::Reactor;
use std::io;
use std::time::Duration;

/// The memory of the connection for output, in bytes.
const MAX_BUFFERED: usize = 1024 * 1024;

/// The protocol: collects the reply.
#[derive(Default)]
struct Request {
    reply: Vec<u8>,
}

struct RequestSession;

impl Protocol for Request {
    type Session = RequestSession;

    fn name(&self) -> &'static str {
        "request"
    }

    fn session(&mut self) -> RequestSession {
        RequestSession
    }
}

impl Session for RequestSession {
    type Shared = Request;

    fn receive(&mut self, input: &[u8], cx: Context<'_, Request>, _: &mut Outbox<'_>) -> usize {
        cx.shared.reply.extend(input);
        input.len()
    }
}

/// The owner of the connection.
struct Client {
    driver: Driver<Request>,
    closed: Option<Closed>,
}

impl<N: Net> Owner<N, Request> for Client {
    fn driver(&mut self) -> &mut Driver<Request> {
        &mut self.driver
    }

    fn closed(&mut self, _: &mut Connections<N, Request>, _: Key, closed: Closed) {
        self.closed = Some(closed);
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(io::Error::other)?;
    let line = arguments.next().unwrap_or("hello".into()) + "\n";

    let timeouts = Timeouts {
        connect: Some(Duration::from_secs(5)),
        idle: Some(Duration::from_secs(60)),
        ..Timeouts::default()
    };
    let mut reactor = Reactor::new(MioNet::new()?, timeouts.by_class(), Duration::ZERO);
    let common = Common::new(Request::default(), Limits::default(), MAX_BUFFERED);
    let mut client = Client {
        driver: Driver::new(common),
        closed: None,
    };
    let key = client.driver.connect(&mut reactor, address, None, 0)?;
    // The output waits until the connection is established, and FIN follows it.
    if client.write(&mut reactor, key, |outbox| outbox.write(line.as_bytes()))
        && let Some(reason) = client.driver.half_close(&mut reactor, key)
    {
        client.close(&mut reactor, key, reason);
    }
    while client.closed.is_none() {
        client.run_iteration(&mut reactor)?;
    }
    let reply = String::from_utf8_lossy(&client.driver.common.protocol.reply);
    print!("{reply}");
    let closed = client.closed.take();
    if let Some(error) = closed.and_then(|closed| closed.error) {
        return Err(error);
    }
    Ok(())
}
