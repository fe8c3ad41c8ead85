//! A simulated network with standard input and output beside it.

use crate::inlet::Inlet;
use crate::output::Pipe;
use crate::selector::SERVER;
use crate::send::clients_ends;
use crate::sim_net::{SimListener, SimNet, SimStream};
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Progress, Readiness, Ready, Signal, Source, Time,
};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The network of a program that has standard output, and perhaps standard input.
pub struct WithStandard<const DRAINS: bool> {
    pub net: SimNet<DRAINS>,
    pub inlet: Option<Rc<RefCell<Inlet>>>,
    pub pipe: Rc<RefCell<Pipe>>,
}

impl<const DRAINS: bool> WithStandard<DRAINS> {
    /// What is to be told of the two, and is told now.
    fn take_pending(&mut self) -> Vec<Ready> {
        let mut told = Vec::new();
        if self.pipe.borrow_mut().takes_pending() {
            told.push(OUTPUT);
        }
        let inlet = self.inlet.as_ref();
        if inlet.is_some_and(|inlet| inlet.borrow_mut().takes_pending()) {
            told.push(INPUT);
        }
        told
    }

    /// As of connections, events may come for which there is no cause.
    fn push_spurious(&mut self, ready: &mut Vec<Ready>) {
        let mut world = self.net.world.borrow_mut();
        let spurious = world.faults.spurious;
        if self.net.host == SERVER || ready.is_empty() || !world.fault(spurious) {
            return;
        }
        self.pipe.borrow_mut().is_told();
        ready.push(OUTPUT);
        if let Some(inlet) = &self.inlet {
            inlet.borrow_mut().is_told();
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

impl<const DRAINS: bool> Net for WithStandard<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        self.net.now()
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let told = self.take_pending();
        let timeout = if told.is_empty() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        self.net.wait(timeout, ready)?;
        ready.extend(told);
        self.push_spurious(ready);
        Ok(())
    }

    fn read_stdin(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inlet) = &self.inlet else {
            return Err(ErrorKind::NotConnected.into());
        };
        let mut world = self.net.world.borrow_mut();
        let mut inlet = inlet.borrow_mut();
        // Who has heard all is to know at once whether there is something left to say.
        inlet.may_be_looked_at = clients_ends(&world).any(|end| end.fin_arrived);
        inlet.read(&mut world, buffer)
    }

    fn write_stdout(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.net.world.borrow_mut();
        self.pipe.borrow_mut().write(&mut world, bytes)
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<SimListener> {
        self.net.listen(options, source)
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
