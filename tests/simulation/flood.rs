//! Floods: clients that send as many messages as they can, which are little to read and much to answer.

use crate::peer::{Leaving, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::speech::{Language, Speech};
use echoloop::server::Config;

/// What the kernels take of one flood at once.
const WINDOW: usize = 400_000;

/// How many bytes of answers each flood asks for.
const ANSWERS: usize = 300_000;

/// In some runs in which lines are spoken, makes all peers flood, with a budget that is small against what the kernels
/// take at once.
pub fn maybe_draw(
    rng: &Rng,
    language: Language,
    config: &mut Config,
    (window, kernel): (&mut usize, &mut Kernel),
    peers: &mut Vec<Peer>,
) {
    // A copy of the generator, so that everything else is drawn as without floods.
    let mut rng = Rng::new(rng.clone().next() ^ 0x00F1_00D5);
    let Language::Line { prefix, .. } = language else {
        return;
    };
    let has_long_answers = prefix.len() > 1_000;
    if !rng.chance(if has_long_answers { 500 } else { 150 }) {
        return;
    }
    *window = WINDOW;
    *kernel = Kernel::default();
    config.max_pending = 4_096;
    config.max_buffered = 1 << 40;
    config.budget = 5_000 + rng.index(if has_long_answers { 40_000 } else { 200_000 });
    let lines = ANSWERS / (prefix.len() + 1);
    *peers = (0..rng.between(1, 3))
        .map(|id| {
            let messages = (0..lines).map(|_| (b"\n".to_vec(), Some([prefix, b"\n"].concat())));
            let speech = Speech::of(messages);
            let mut plan = Plan::draw(&mut rng, 1_000);
            plan.says(speech.length());
            plan.chunk = speech.length();
            plan.reading = Reading::Prompt;
            plan.leaving = Leaving::WhenEchoed;
            plan.urgent = 0;
            Peer::speaking(id, plan, speech)
        })
        .collect();
}
