//! An echo protocol that shares its state with the test, and a server of it.

use crate::net::{ListenOptions, MioNet, Net, Time};
use crate::protocol::{ConnectionId, Context, Message, Outbox, Protocol, Session};
use crate::server::{Config, Exit, Server};
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What the server has passed to the protocol, and what the protocol returns.
#[derive(Default)]
pub(super) struct State {
    pub(super) opened: Vec<ConnectionId>,
    pub(super) peers: Vec<Option<SocketAddr>>,
    pub(super) closed: Vec<ConnectionId>,
    /// The connections that have received input.
    pub(super) received: Vec<ConnectionId>,
    pub(super) messages: VecDeque<Message>,
    /// Queued when a connection closes.
    pub(super) farewell: Option<Message>,
    /// Queued by the timer.
    pub(super) reminder: Option<Message>,
    pub(super) wake_at: Option<Time>,
    pub(super) woken: Option<Time>,
}

/// An echo protocol whose state the test shares.
pub(super) struct Hub<const WANTS_PEER: bool>(Rc<RefCell<State>>);

pub(super) struct HubSession<const WANTS_PEER: bool>;

impl<const WANTS_PEER: bool> Protocol for Hub<WANTS_PEER> {
    type Session = HubSession<WANTS_PEER>;

    const WANTS_PEER: bool = WANTS_PEER;

    fn name(&self) -> &'static str {
        "hub"
    }

    fn session(&mut self) -> Self::Session {
        HubSession
    }

    fn opened(&mut self, id: ConnectionId, peer: Option<SocketAddr>) {
        let mut state = self.0.borrow_mut();
        state.opened.push(id);
        state.peers.push(peer);
    }

    fn closed(&mut self, id: ConnectionId) {
        let mut state = self.0.borrow_mut();
        state.closed.push(id);
        let farewell = state.farewell.take();
        state.messages.extend(farewell);
    }

    fn next_message(&mut self) -> Option<Message> {
        self.0.borrow_mut().messages.pop_front()
    }

    fn wake_at(&self) -> Option<Time> {
        self.0.borrow().wake_at
    }

    fn on_wake(&mut self, now: Time) {
        let mut state = self.0.borrow_mut();
        state.wake_at = None;
        state.woken = Some(now);
        let reminder = state.reminder.take();
        state.messages.extend(reminder);
    }
}

impl<const WANTS_PEER: bool> Session for HubSession<WANTS_PEER> {
    type Shared = Hub<WANTS_PEER>;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        context.shared.0.borrow_mut().received.push(context.id);
        outbox.send(input);
        input.len()
    }
}

pub(super) struct Fixture<const WANTS_PEER: bool = false> {
    pub(super) server: Server<MioNet, Hub<WANTS_PEER>>,
    pub(super) state: Rc<RefCell<State>>,
    pub(super) address: SocketAddr,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        Fixture::with_config(Config::default())
    }
}

impl<const WANTS_PEER: bool> Fixture<WANTS_PEER> {
    pub(super) fn with_config(config: Config) -> Self {
        let state = Rc::<RefCell<State>>::default();
        let hub = Hub(Rc::clone(&state));
        let mut server = Server::new(MioNet::new().unwrap(), hub, config);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = server.listen(&ListenOptions::new(any_port)).unwrap();
        Fixture {
            server,
            state,
            address,
        }
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Runs an iteration that does not wait for events.
    pub(super) fn run_iteration(&mut self) -> Option<Exit> {
        self.state().wake_at = Some(Time::ZERO);
        self.server.run_iteration().unwrap()
    }

    /// Runs iterations until the condition is true.
    #[track_caller]
    pub(super) fn run_until(&mut self, condition: impl Fn(&State) -> bool) {
        let deadline = self.server.net().now() + PATIENCE;
        while !condition(&self.state()) {
            assert!(self.server.net().now() < deadline, "time is over");
            assert_eq!(self.run_iteration(), None);
        }
    }

    /// A client whose connection is open.
    #[track_caller]
    pub(super) fn connect(&mut self) -> (TcpStream, ConnectionId) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let count = self.state().opened.len() + 1;
        self.run_until(|state| state.opened.len() == count);
        let id = self.state().opened[count - 1];
        (client, id)
    }

    pub(super) fn send(&mut self, message: Message) {
        self.state().messages.push_back(message);
        assert_eq!(self.run_iteration(), None);
    }
}

#[track_caller]
pub(super) fn assert_receives(client: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).unwrap();
    assert_eq!(received, expected);
}
