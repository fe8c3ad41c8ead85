//! A key-value server with its own framing and a handshake: a message is one byte with its length, then its text.
//!
//! The first message is `hello`; then `set KEY VALUE` and `get KEY` use a table that all connections share. Run
//! `cargo run --example stateful_framing -- 127.0.0.1:8001` and
//! `printf '\5hello\7set a 1\5get a' | nc -N 127.0.0.1 8001 | od -An -c`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{Context, Finish, Outbox, Protocol, Session};
use echoloop::server::{Config, Server};
use std::collections::HashMap;

type Table = HashMap<Vec<u8>, Vec<u8>>;

/// The protocol of the listener, with the data that its connections share.
#[derive(Default)]
struct KeyValue(Table);

/// The state of one connection.
enum Conversation {
    Handshake,
    Ready,
}

impl Protocol for KeyValue {
    type Session = Conversation;

    fn name(&self) -> &'static str {
        "key-value"
    }

    fn session(&mut self) -> Conversation {
        Conversation::Handshake
    }
}

impl Session for Conversation {
    type Shared = KeyValue;

    fn receive(
        &mut self,
        input: &[u8],
        cx: Context<'_, KeyValue>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        let mut consumed = 0;
        // An incomplete message stays in the input: the connection passes it again with what follows.
        while outbox.is_ordinary()
            && !outbox.is_full()
            && let Some(message) = first_message(&input[consumed..])
        {
            consumed += 1 + message.len();
            outbox.count_message();
            self.on_message(message, &mut cx.shared.0, outbox);
        }
        consumed
    }
}

impl Conversation {
    fn on_message(&mut self, message: &[u8], table: &mut Table, outbox: &mut Outbox<'_>) {
        let words: Vec<&[u8]> = message.splitn(3, |byte| *byte == b' ').collect();
        match (&self, &words[..]) {
            (Conversation::Handshake, [b"hello"]) => {
                *self = Conversation::Ready;
                reply(b"welcome", outbox);
            }
            (Conversation::Ready, [b"set", key, value]) => {
                table.insert(key.to_vec(), value.to_vec());
                reply(b"ok", outbox);
            }
            (Conversation::Ready, [b"get", key]) => {
                reply(table.get(*key).map_or(b"", Vec::as_slice), outbox);
            }
            _ => outbox.finish(Finish::Malformed),
        }
    }
}

/// The first message of the input, without its length; `None` if it is incomplete.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first()?;
    rest.get(..usize::from(*length))
}

/// Sends a message. Values come from messages, so their length fits into a byte.
fn reply(text: &[u8], outbox: &mut Outbox<'_>) {
    outbox.write(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
    outbox.write(text);
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let protocol = KeyValue::default();
    let mut server = Server::new(MioNet::with_signals()?, protocol, Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
