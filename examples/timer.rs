//! A timer per connection: a client that sends a number of milliseconds gets `time is up` when they have passed.
//!
//! Run `cargo run --example timer -- 127.0.0.1:8001` and `nc 127.0.0.1 8001`, and type `1500`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{ConnectionId, Context, Finish, Message, Outbox, Protocol, Session};
use echoloop::server::{Config, Server};
use echoloop::time::Time;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// The longest accepted line, in bytes.
const LONGEST: usize = 10;

/// The protocol of the listener: the timers of all connections, and the messages that are not sent yet.
#[derive(Default)]
struct Alarm {
    timers: BTreeSet<(Time, ConnectionId)>,
    messages: VecDeque<Message>,
}

/// The state of one connection: its timer.
#[derive(Default)]
struct AlarmSession {
    timer: Option<Time>,
}

impl Protocol for Alarm {
    type Session = AlarmSession;

    fn name(&self) -> &'static str {
        "alarm"
    }

    fn session(&mut self) -> AlarmSession {
        AlarmSession::default()
    }

    fn next_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    fn wake_at(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn on_wake(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            // If the connection has closed, the message is dropped.
            self.messages.push_back(Message::new(id, *b"time is up\n"));
        }
    }
}

impl Session for AlarmSession {
    type Shared = Alarm;

    fn receive(&mut self, input: &[u8], cx: Context<'_, Alarm>, outbox: &mut Outbox<'_>) -> usize {
        let Some(end) = input.iter().rposition(|byte| *byte == b'\n') else {
            if input.len() > LONGEST {
                outbox.finish(Finish::TooLong);
            }
            return 0;
        };
        // Only the last of several lines counts: a number replaces the one before it.
        let line = input[..end].rsplit(|byte| *byte == b'\n').next();
        let number = line.and_then(|line| str::from_utf8(line).ok());
        if let Some(Ok(milliseconds)) = number.map(|text| text.trim().parse::<u16>()) {
            let timers = &mut cx.shared.timers;
            let at = cx.now + Duration::from_millis(milliseconds.into());
            if let Some(replaced) = self.timer.replace(at) {
                timers.remove(&(replaced, cx.id));
            }
            timers.insert((at, cx.id));
        } else {
            outbox.finish(Finish::Malformed);
        }
        end + 1
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    let mut server = Server::new(MioNet::with_signals()?, Alarm::default(), Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
