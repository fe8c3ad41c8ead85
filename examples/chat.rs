//! A chat: each line that a client sends is sent to all other clients.
//!
//! Run `cargo run --example chat -- 127.0.0.1:8001` and, in two terminals, `nc 127.0.0.1 8001`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{ConnectionId, Context, Finish, Message, Outbox, Protocol, Session};
use echoloop::server::{Config, Server};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// The longest accepted line, in bytes.
const LONGEST: usize = 1000;

/// The protocol of the listener: the clients with their names, and the messages that are not sent yet.
#[derive(Default)]
struct Chat {
    names: BTreeMap<ConnectionId, String>,
    messages: VecDeque<Message>,
}

/// The state of one connection: none.
struct ChatSession;

impl Chat {
    /// Queues a line for all clients but its sender.
    fn send_to_others(&mut self, sender: ConnectionId, line: &str) {
        let name = self.names.get(&sender).map_or("", String::as_str);
        let line = format!("{name}: {line}\n").into_bytes();
        let line: Arc<[u8]> = line.into();
        let others = self.names.keys().filter(|id| **id != sender);
        let messages = others.map(|id| Message::new(*id, Arc::clone(&line)));
        self.messages.extend(messages);
    }
}

impl Protocol for Chat {
    type Session = ChatSession;

    const WANTS_PEER: bool = true;

    fn name(&self) -> &'static str {
        "chat"
    }

    fn session(&mut self) -> ChatSession {
        ChatSession
    }

    fn opened(&mut self, id: ConnectionId, peer: Option<SocketAddr>) {
        let name = peer.map_or_else(|| id.to_string(), |peer| peer.to_string());
        self.names.insert(id, name);
        self.send_to_others(id, "joined");
    }

    fn closed(&mut self, id: ConnectionId) {
        self.send_to_others(id, "left");
        self.names.remove(&id);
    }

    fn next_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }
}

impl Session for ChatSession {
    type Shared = Chat;

    fn receive(&mut self, input: &[u8], cx: Context<'_, Chat>, outbox: &mut Outbox<'_>) -> usize {
        let mut consumed = 0;
        while !outbox.is_full() {
            let rest = &input[consumed..];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > LONGEST {
                    outbox.finish(Finish::TooLong);
                }
                break;
            };
            let line = String::from_utf8_lossy(&rest[..length]);
            cx.shared.send_to_others(cx.id, &line);
            consumed += length + 1;
            outbox.count_message();
        }
        consumed
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let mut server = Server::new(MioNet::with_signals()?, Chat::default(), Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
