//! What seeds, and a look at the code that they drew, have found: each as short as it can be told.

use super::Exchange;
use super::plan::Plan;
use crate::faults::Faults;
use crate::inlet::Inlet;
use crate::output::Pipe;
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::CLIENTS;
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::SimNet;
use crate::standard::WithStandard;
use crate::world::{MILLISECOND, SharedWorld, SocketId, World};
use echoloop::client::{Awaited, Failure, SendReport, Sender};
use echoloop::net::Source;
use echoloop::protocol::Raw;
use echoloop::server::Config;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

const SECOND: u64 = 1_000 * MILLISECOND;

fn typed(bytes: usize) -> SendScript {
    SendScript::draw(&mut Rng::new(0), SendProtocol::Raw, bytes, false)
}

/// A client whose server is played by the test.
struct Alone {
    world: SharedWorld,
    sender: Sender<WithStandard<true>>,
    pipe: Rc<RefCell<Pipe>>,
}

impl Alone {
    fn new(faults: Faults, bytes: usize, pipe: Pipe, timeout: Option<Duration>) -> Alone {
        let mut world = World::new(Rng::new(0), faults, false);
        world.listen(Source::listener(0));
        world.least_timeout = least_timeout(&Config::default(), timeout);
        let world = Rc::new(RefCell::new(world));
        let dialogue = typed(bytes);
        let inlet = Inlet::file(dialogue.input());
        let pipe = Rc::new(RefCell::new(pipe));
        let net = WithStandard::<true> {
            net: SimNet {
                world: world.clone(),
                host: CLIENTS,
            },
            inlet: Some(Rc::new(RefCell::new(inlet))),
            pipe: pipe.clone(),
        };
        let mut config = Plan::calm().config(&dialogue, true);
        config.timeout = timeout;
        let sender = Sender::new(net, config);
        Alone {
            world,
            sender,
            pipe,
        }
    }

    /// One that has more to send than its server's window takes.
    fn talkative(faults: Faults, timeout: Option<Duration>) -> Alone {
        Alone::new(faults, 200_000, Pipe::file(), timeout)
    }

    /// The server's end of its connection.
    fn servers_end(&self) -> SocketId {
        self.world.borrow().sockets[0].peer.expect("it stands")
    }

    /// Runs until it ends, or until that time has come and nothing is left to do.
    fn run(&mut self, until: u64) -> Option<Result<SendReport, Failure>> {
        loop {
            let end = self.sender.run_iteration();
            if end.is_some() {
                return end;
            }
            let mut world = self.world.borrow_mut();
            let is_ready = world.is_anything_ready(CLIENTS) || self.pipe.borrow().is_pending();
            let Some(asleep) = world.hosts[CLIENTS].asleep_until.take_if(|_| !is_ready) else {
                continue;
            };
            let mut pipe = self.pipe.borrow_mut();
            let next = asleep.min(pipe.reads_at);
            world.now = next.min(until);
            if next > until {
                return None;
            }
            pipe.goes_on(&mut world);
        }
    }
}

#[test]
fn what_was_sent_and_received_is_told_where_output_closes_behind_the_end_of_the_connection() {
    let dialogue = typed(10);
    let inlet = Inlet::file(dialogue.input());
    let full = Pipe::empty(4, 0, u64::MAX, 0).breaks(SECOND, ErrorKind::BrokenPipe);
    let (rng, plan) = (Rng::new(0), Plan::calm());
    let mut exchange = Exchange::<true, _>::new(rng, plan, dialogue, Some(inlet), full, Raw);
    let end = exchange.send().unwrap();
    assert!(end.output_closed);
    assert_eq!((end.sent, end.received), (10, 10));
    assert_eq!(exchange.conclude(&Ok(end)), "output closed");
}

#[test]
fn what_came_before_a_reset_is_printed_although_calls_are_interrupted() {
    let faults = Faults {
        interrupted: 900,
        ..Faults::default()
    };
    let mut alone = Alone::talkative(faults, None);
    assert!(alone.run(SECOND).is_none());
    let servers = alone.servers_end();
    alone.world.borrow_mut().send(servers, b"no more of that");
    alone.world.borrow_mut().close(servers, true);
    let end = alone.run(2 * SECOND);
    assert!(matches!(end, Some(Err(Failure::Lost { .. }))), "{end:?}");
    assert_eq!(alone.pipe.borrow().written, b"no more of that");
}

#[test]
fn a_server_that_speaks_and_does_not_read_is_not_silent() {
    let timeout = Duration::from_millis(1_500);
    let mut alone = Alone::talkative(Faults::default(), Some(timeout));
    for second in 1..=5 {
        let end = alone.run(second * SECOND);
        assert!(end.is_none(), "after {second} seconds: {end:?}");
        let servers = alone.servers_end();
        alone.world.borrow_mut().send(servers, b"tick ");
    }
    let end = alone.run(60 * SECOND);
    let now = alone.world.borrow().now;
    assert!((6_500 * MILLISECOND..7 * SECOND).contains(&now), "at {now}");
    let Some(Err(Failure::Timeout { awaited, .. })) = end else {
        panic!("{end:?}")
    };
    assert!(matches!(awaited, Awaited::Acceptance(_)), "{awaited:?}");
    assert_eq!(alone.pipe.borrow().written, b"tick ".repeat(5));
}

#[test]
fn a_reset_that_is_met_on_being_let_read_again_without_memory_for_a_turn_is_the_end() {
    let waits = Pipe::empty(4, 0, 2 * SECOND, 0).then_takes(usize::MAX);
    let mut alone = Alone::new(Faults::default(), 10, waits, None);
    assert!(alone.run(SECOND).is_none());
    let servers = alone.servers_end();
    let mut sent = 0;
    loop {
        let taken = alone.world.borrow_mut().send(servers, &[b'x'; 10_000]);
        if taken == 0 {
            break;
        }
        sent += taken;
        assert!(alone.run(SECOND).is_none());
    }
    alone.world.borrow_mut().close(servers, true);
    alone.sender.refuse_places(true);
    let end = alone.run(3 * SECOND);
    assert!(matches!(end, Some(Err(Failure::Lost { .. }))), "{end:?}");
    assert_eq!(alone.pipe.borrow().written.len(), sent);
}

#[test]
fn bytes_before_a_reset_found_by_so_error_are_printed() {
    let faults = Faults {
        read_blocks: 900,
        ..Faults::default()
    };
    let waits = Pipe::empty(4, 0, 2 * SECOND, 0).then_takes(usize::MAX);
    let mut alone = Alone::new(faults, 10, waits, None);
    assert!(alone.run(SECOND).is_none());
    let servers = alone.servers_end();
    let mut sent = 0;
    loop {
        let taken = alone.world.borrow_mut().send(servers, &[b'x'; 10_000]);
        if taken == 0 {
            break;
        }
        sent += taken;
        assert!(alone.run(SECOND).is_none());
    }
    // Output fills the client's memory, so the client does not read, and finds the reset by SO_ERROR.
    alone.world.borrow_mut().close(servers, true);
    let end = alone.run(3 * SECOND);
    assert!(matches!(end, Some(Err(Failure::Lost { .. }))), "{end:?}");
    assert_eq!(alone.pipe.borrow().written.len(), sent);
}
