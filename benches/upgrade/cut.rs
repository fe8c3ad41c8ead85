//! Clients of `line` and `frame:4` that are in the middle of a message nearly always: each sends the rest of a message
//! together with the beginning of the next.

use crate::echo::Random;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The number of clients.
const COUNT: u64 = 20;

/// The most bytes of a message.
const MOST_BYTES: u64 = 20_000;

/// The time between two clients, so that they leave the CPU to others.
const PAUSE: Duration = Duration::from_millis(1);

/// What the clients send.
#[derive(Clone, Copy)]
pub(crate) enum Messages {
    Lines,
    Frames,
}

/// The running clients.
pub(crate) struct Cut {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Cut {
    pub(crate) fn start(daemon: SocketAddr, messages: Messages) -> Cut {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || run(daemon, messages, &stopped));
        Cut { stop, thread }
    }

    /// Stops the clients; the number of verified messages, or the first failure.
    pub(crate) fn stop(self) -> io::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn run(daemon: SocketAddr, messages: Messages, stop: &AtomicBool) -> io::Result<u64> {
    let clients = (0..COUNT).map(|seed| Client::connect(daemon, messages, seed + 1));
    let mut clients = clients.collect::<io::Result<Vec<_>>>()?;
    let mut verified = 0;
    while !stop.load(Ordering::Relaxed) {
        for client in &mut clients {
            client.finish_message()?;
            verified += 1;
            thread::sleep(PAUSE);
        }
    }
    Ok(verified)
}

struct Client {
    stream: TcpStream,
    messages: Messages,
    random: Random,
    /// The rest of the message that was begun, and its reply.
    rest: Vec<u8>,
    reply: Vec<u8>,
}

impl Client {
    fn connect(daemon: SocketAddr, messages: Messages, seed: u64) -> io::Result<Client> {
        let stream = TcpStream::connect(daemon)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Client {
            stream,
            messages,
            random: Random::new(seed),
            rest: Vec::new(),
            reply: Vec::new(),
        };
        client.begin_message()?;
        Ok(client)
    }

    /// Sends the rest of the message and the beginning of the next, and verifies the reply.
    fn finish_message(&mut self) -> io::Result<()> {
        let expected = std::mem::take(&mut self.reply);
        self.begin_message()?;
        let mut received = vec![0; expected.len()];
        self.stream.read_exact(&mut received)?;
        if received != expected {
            return Err(io::Error::other("echo mismatch"));
        }
        Ok(())
    }

    /// Sends the rest of the last message and a part of a new one, of at least one byte and not all.
    fn begin_message(&mut self) -> io::Result<()> {
        let length = self.random.within(1..MOST_BYTES);
        let letters = (0..length).map(|_| b'a' + self.random.byte() % 26);
        let text: Vec<u8> = letters.collect();
        let message = match self.messages {
            Messages::Lines => [&text[..], b"\n"].concat(),
            Messages::Frames => {
                let header = u32::try_from(length).unwrap().to_be_bytes();
                [&header[..], &text].concat()
            }
        };
        self.reply = match self.messages {
            Messages::Lines => [b"ECHO ", &message[..]].concat(),
            Messages::Frames => message.clone(),
        };
        let cut = self.random.within(1..message.len() as u64);
        let (part, rest) = message.split_at(usize::try_from(cut).unwrap());
        self.rest.extend_from_slice(part);
        self.stream.write_all(&self.rest)?;
        self.rest = rest.to_vec();
        Ok(())
    }
}
