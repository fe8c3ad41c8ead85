//! The hello of a connection in user space that the server has closed as announced, and that is opened again.

use super::{Settings, Wires, World, for_each_seed};
use crate::rng::Rng;
use crate::sim_net::address;
use crate::userspace::link_network::Faults;
use echoloop::load::{Config, Script};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// The time for a hello.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The delay of a packet in milliseconds. The last connection is established after two delays, has its hello after two more
/// and a reply after further two. It is opened again, and its second hello lasts from the eighth delay to the tenth. The time
/// for its first one would be over in between.
const DELAYS: (u64, u64) = (130, 160);

/// The message is an HTTP reply that announces the end of its connection, for a server that echoes.
const SCRIPT: &str = r#"
[hello]
send = "HELLO\n"
expect = { line = true, equals = "HELLO" }
[message]
send = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
expect = { http = true, ends_with = "ok" }
"#;

fn script(rng: &mut Rng) -> Script {
    let read = |_: &str| Err(ErrorKind::NotFound.into());
    let script = Script::parse("simulated", SCRIPT, read);
    script.unwrap().resolve(rng.next(), "target").unwrap()
}

/// A hello without an answer is the first in the queue of timers, so that those after it remain there.
#[test]
fn hello_of_a_reopened_connection_has_its_whole_time() {
    for_each_seed(|mut rng| {
        let idle = u32::try_from(rng.between(2, 30)).unwrap();
        let config = Config {
            idle,
            active: 0,
            duration: Duration::from_millis(100),
            warmup: Duration::ZERO,
            connect_timeout: TIMEOUT,
            probe: 0,
            script: Some(Arc::new(script(&mut rng))),
            ..Config::new(address(1))
        };
        let unanswered = u32::try_from(rng.between(0, u64::from(idle) - 2)).unwrap();
        let delay = Duration::from_millis(rng.between(DELAYS.0, DELAYS.1));
        let world = World::with(&mut rng, config, |rng, endpoints| {
            let faults = Faults {
                loss_per_mille: 0,
                duplicates_per_mille: 0,
                most_delay: delay,
            };
            let settings = Settings {
                // One more, since the reopened connection may arrive before its old socket is free.
                sockets: idle as usize + 1,
                keepalive: None,
            };
            let mut wires = Wires::new(rng, endpoints, faults, settings);
            wires.to_server.least_delay = delay;
            wires.to_client.least_delay = delay;
            let unanswered = endpoints.source(unanswered);
            wires.server.unanswered.push(unanswered);
            wires
        });
        let (_, result) = world.finish();
        let connections = &result.connections;
        let failed = (connections.failed.hello, connections.failed.total());
        assert_eq!(failed, (1, 1), "{result:#?}");
        assert_eq!(
            (connections.lost, connections.reconnected),
            (0, 1),
            "{result:#?}"
        );
        result
    });
}
