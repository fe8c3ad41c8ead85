//! How much one iteration of the server's loop may do, so that no connection and no listener holds up the others.

use crate::ends::End;
use crate::world::World;
use echoloop::connection::MESSAGE_COST;
use echoloop::server::Config;

/// A connection is driven at most so often in one iteration: for its event, its deadline, its turn in the run queue, and
/// by a drain.
const DRIVES: usize = 4;

/// After so many used-up budgets in a drain the rest of what had arrived is a flood, and is dropped.
const BUDGETS_TO_LEAVE: u64 = 255;

/// Messages that one call of a session may answer, whatever is left of the budget.
const MOST_PER_CALL: usize = 512;

impl World {
    /// An iteration of the server's loop begins.
    pub fn begin_iteration(&mut self) {
        self.closed.clear();
        for listener in &mut self.listeners {
            listener.accepted = 0;
        }
        for end in &mut self.ends {
            end.read_in_iteration = 0;
            end.written_before = end.written;
        }
    }

    /// After an iteration in which further turns were perhaps `refused`: notes which connections lack one.
    pub fn note_refused_turns(&mut self, refused: bool) {
        let budget = self.budget;
        for end in self.ends.iter_mut().filter(|end| end.fin_sent) {
            let used_up = end.read_in_iteration >= budget;
            end.turn_refused = if end.read_in_iteration > 0 {
                refused && used_up
            } else {
                end.turn_refused
            };
        }
    }

    /// Whether so much work was done for a connection since the server was told to stop that the rest of its input is a
    /// flood.
    pub fn is_flood(&self, end: &End) -> bool {
        let answers = end.written_when_stopped..end.written;
        let speech = end.speech.as_deref();
        let messages = speech.map_or(0, |speech| speech.messages(answers.clone()) + 1);
        let bytes = end.read - end.read_when_stopped + answers.end - answers.start;
        let work = bytes + (MESSAGE_COST * messages) as u64;
        self.stopping && work >= BUDGETS_TO_LEAVE.saturating_mul(self.budget as u64)
    }

    /// What an iteration did is within its budgets.
    pub fn check_work(&self, config: &Config) {
        for end in self.ends.iter().filter(|end| end.is_servers) {
            // The last read may go a whole buffer beyond the budget.
            let most = DRIVES * config.budget + 65_536;
            let read = end.read_in_iteration;
            assert!(read <= most, "{read} bytes read in one iteration: {end:?}");
            if let Some(speech) = &end.speech {
                let answered = speech.messages(end.written_before..end.written);
                // The answers to what was read before may have been pending output.
                let read_before = end.read - end.read_in_iteration as u64;
                let due = speech.due(read_before, false).max(end.written_before);
                let pending = speech.messages(end.written_before..due);
                let most = pending + DRIVES * (config.budget / MESSAGE_COST + MOST_PER_CALL);
                assert!(
                    answered <= most,
                    "{answered} messages answered in one iteration, allowed are {most}: {end:?}"
                );
                // Output that was pending, and what the last call produces, may go beyond the budget.
                let beyond = 2 * (config.max_pending + speech.longest_answer());
                let most = (DRIVES * (config.budget + beyond)) as u64;
                let written = end.written - end.written_before;
                assert!(
                    written <= most,
                    "{written} bytes written in one iteration, allowed are {most}: {end:?}"
                );
            }
        }
        // A drain empties the queues at once.
        if !self.stopping {
            for listener in &self.listeners {
                let (accepted, most) = (listener.accepted, config.accepts_per_turn);
                assert!(accepted <= most, "{accepted} accepted in one iteration");
            }
        }
    }
}
