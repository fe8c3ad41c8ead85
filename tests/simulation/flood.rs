//! Message floods: clients send as many messages as possible, which are short and have long replies.

use crate::client_script::{ClientScript, ProtocolConfig};
use crate::peer::{Closing, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use echoloop::server::Config;

/// Bytes of one flood that the kernels buffer at once.
const WINDOW: usize = 400_000;

/// Bytes of replies to each flood.
const REPLY_BYTES: usize = 300_000;

/// In some runs of the line protocol, makes all peers flood, with a budget far below what the kernels buffer.
pub fn maybe_draw(
    rng: &Rng,
    protocol: ProtocolConfig,
    config: &mut Config,
    (window, kernel): (&mut usize, &mut Kernel),
    peers: &mut Vec<Peer>,
) {
    // A copy of the generator: the other draws do not depend on the flood.
    let mut rng = Rng::new(rng.clone().next() ^ 0x00F1_00D5);
    let ProtocolConfig::Line { prefix, .. } = protocol else {
        return;
    };
    let has_long_replies = prefix.len() > 1_000;
    if !rng.chance(if has_long_replies { 500 } else { 150 }) {
        return;
    }
    *window = WINDOW;
    *kernel = Kernel::default();
    config.max_pending = 4_096;
    config.max_buffered = 1 << 40;
    config.budget = 5_000 + rng.index(if has_long_replies { 40_000 } else { 200_000 });
    let lines = REPLY_BYTES / (prefix.len() + 1);
    *peers = (0..rng.between(1, 3))
        .map(|id| {
            let messages = (0..lines).map(|_| (b"\n".to_vec(), Some([prefix, b"\n"].concat())));
            let script = ClientScript::from_messages(messages);
            let mut plan = Plan::draw(&mut rng, 1_000);
            plan.set_total(script.length());
            plan.chunk = script.length();
            plan.reading = Reading::Prompt;
            plan.closing = Closing::WhenEchoed;
            plan.urgent_per_mille = 0;
            Peer::with_script(id, plan, script)
        })
        .collect();
}
