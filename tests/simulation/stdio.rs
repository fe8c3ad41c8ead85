//! [`Net`] with simulated standard input and output.

use crate::network::SharedNetwork;
use crate::selector::SERVER;
use crate::send::client_sockets;
use crate::sim_net::{SimListener, SimNet, SimStream};
use crate::sim_stdin::SimStdin;
use crate::sim_stdout::SimStdout;
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Progress, Readiness, Ready, Signal, Source, Time,
};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The network of a program that uses standard output and possibly standard input.
pub struct WithStdio<const DRAINS: bool> {
    pub net: SimNet<DRAINS>,
    pub stdin: Option<Rc<RefCell<SimStdin>>>,
    pub stdout: Rc<RefCell<SimStdout>>,
}

impl<const DRAINS: bool> WithStdio<DRAINS> {
    /// Standard input, if there is one.
    pub fn stdin(&self) -> Box<dyn Read> {
        let network = self.net.network.clone();
        match self.stdin.clone() {
            Some(stdin) => Box::new(StdinHandle { network, stdin }),
            None => Box::new(io::empty()),
        }
    }

    /// Standard output.
    pub fn stdout(&self) -> StdoutHandle {
        let (network, stdout) = (self.net.network.clone(), self.stdout.clone());
        StdoutHandle { network, stdout }
    }

    /// Takes the pending events of both.
    fn take_pending(&mut self) -> Vec<Ready> {
        let mut events = Vec::new();
        if self.stdout.borrow_mut().take_pending() {
            events.push(OUTPUT);
        }
        let stdin = self.stdin.as_ref();
        if stdin.is_some_and(|stdin| stdin.borrow_mut().take_pending()) {
            events.push(INPUT);
        }
        events
    }

    /// Adds spurious events, as the selector does for connections.
    fn push_spurious(&mut self, ready: &mut Vec<Ready>) {
        let mut network = self.net.network.borrow_mut();
        let spurious = network.faults.spurious;
        if self.net.host == SERVER || ready.is_empty() || !network.fault(spurious) {
            return;
        }
        self.stdout.borrow_mut().on_event();
        ready.push(OUTPUT);
        if let Some(stdin) = &self.stdin {
            stdin.borrow_mut().on_event();
            ready.insert(0, INPUT);
        }
    }
}

const INPUT: Ready = Ready {
    key: Key::of_source(Source::STDIN),
    readiness: Readiness::READABLE,
};

const OUTPUT: Ready = Ready {
    key: Key::of_source(Source::STDOUT),
    readiness: Readiness::WRITABLE,
};

impl<const DRAINS: bool> Net for WithStdio<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        self.net.now()
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let events = self.take_pending();
        let timeout = if events.is_empty() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        self.net.wait(timeout, ready)?;
        ready.extend(events);
        self.push_spurious(ready);
        Ok(())
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<SimListener> {
        self.net.listen(options, source)
    }

    fn register_listener(&mut self, listener: &mut SimListener, source: Source) -> io::Result<()> {
        self.net.register_listener(listener, source)
    }

    fn local_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        self.net.local_addr(listener)
    }

    fn accept_from(
        &mut self,
        listener: &SimListener,
    ) -> Result<(Self::Stream, SocketAddr), AcceptError> {
        self.net.accept_from(listener)
    }

    fn has_waiting(&mut self, listener: &SimListener) -> bool {
        self.net.has_waiting(listener)
    }

    fn connect(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Self::Stream> {
        self.net.connect(target, local)
    }

    fn register(&mut self, stream: &Self::Stream, key: Key, writable: bool) -> io::Result<()> {
        self.net.register(stream, key, writable)
    }

    fn watch_writable(&mut self, stream: &Self::Stream, key: Key) -> io::Result<()> {
        self.net.watch_writable(stream, key)
    }

    fn progress(&mut self, stream: &Self::Stream) -> Option<Progress> {
        self.net.progress(stream)
    }

    fn close(&mut self, stream: Self::Stream, ending: Ending) {
        self.net.close(stream, ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        self.net.take_signal()
    }
}

/// Standard input of the program.
struct StdinHandle {
    network: SharedNetwork,
    stdin: Rc<RefCell<SimStdin>>,
}

impl Read for StdinHandle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut network = self.network.borrow_mut();
        let mut stdin = self.stdin.borrow_mut();
        // After the peer's FIN the client checks without an event whether input is left to send.
        stdin.may_read_without_event = client_sockets(&network).any(|socket| socket.fin_arrived);
        stdin.read(&mut network, buffer)
    }
}

/// Standard output of the program.
pub struct StdoutHandle {
    network: SharedNetwork,
    stdout: Rc<RefCell<SimStdout>>,
}

impl Write for StdoutHandle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut network = self.network.borrow_mut();
        self.stdout.borrow_mut().write(&mut network, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
