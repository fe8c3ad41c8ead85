//! Runs a scenario: the real server, iteration by iteration.

use super::network::Network;
use super::scenarios::Scenario;
use super::sentences;
use super::step::{Phase, Recording};
use super::world::World;
use crate::net::{Key, ListenOptions};
use crate::protocol::Raw;
use crate::server::{Config, Exit, Server};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// Runs a scenario with a server of the raw protocol. Two runs give the same steps.
///
/// # Errors
/// The server has failed.
pub fn record(scenario: &Scenario) -> io::Result<Recording> {
    let sizes = scenario.sizes;
    let world = Rc::new(RefCell::new(World::new(sizes, scenario.script)));
    let config = Config {
        max_pending: sizes.read,
        budget: sizes.budget,
        ..Config::default()
    };
    let mut server = Server::new(Network(Rc::clone(&world)), Raw, config);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    server.listen(&ListenOptions::new(address))?;
    let exit = loop {
        let exit = server.run_iteration()?;
        let mut world = world.borrow_mut();
        compare(&server, &mut world);
        if exit.is_some() || world.is_over {
            break exit;
        }
    };
    let mut world = world.borrow_mut();
    if let Some(exit) = exit {
        world.exited(exit);
    }
    world.is_over = true;
    Ok(std::mem::take(&mut world.recording))
}

/// Compares what the steps show of each connection with the state of the engine after the iteration.
fn compare(server: &Server<Network, Raw>, world: &mut World) {
    let (saved, keys) = server.save();
    let queued: Vec<Key> = keys_of(&saved.queues.run, &keys);
    for id in 0..world.views.len() {
        let socket = &world.kernel.sockets[id];
        let Some(key) = socket.key.filter(|_| !socket.is_closed) else {
            continue;
        };
        let view = &world.views[id];
        let shown = (
            view.state,
            view.output.clone(),
            view.class.number(),
            view.is_queued,
            view.read_buffer.is_empty(),
        );
        let engine = server.save_connection(key).map(|(saved, _)| {
            (
                saved.connection.state,
                saved.connection.output,
                saved.slot.class,
                queued.contains(&key),
                true,
            )
        });
        if engine.as_ref() != Some(&shown) {
            let iteration = world.iteration;
            let fault = format!("{key}, iteration {iteration}: {engine:?}, shown as {shown:?}");
            world.recording.faults.push(fault);
        }
    }
}

/// The keys at these positions.
fn keys_of(positions: &[u32], keys: &[Key]) -> Vec<Key> {
    let keys = positions.iter().map(|at| keys.get(*at as usize).copied());
    keys.flatten().collect()
}

impl World {
    fn exited(&mut self, exit: Exit) {
        let reason = match exit {
            Exit::Drained => "drained",
            Exit::Interrupted => "interrupted",
            Exit::Requested => "requested",
        };
        self.enter(Phase::Drain);
        let title = "the server exits".to_owned();
        self.server_step(title, None, sentences::exited(reason), None);
    }
}
