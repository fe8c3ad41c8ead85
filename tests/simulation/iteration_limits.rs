//! Limits of the work in one iteration of the server: no connection and no listener may delay the others.

use crate::network::Network;
use crate::socket::Socket;
use echoloop::connection::testing::MESSAGE_COST;
use echoloop::server::Config;

/// A connection is driven at most four times in one iteration: by its event, its deadline, the run queue and a drain.
const DRIVES: usize = 4;

/// In a drain, the server drops the remaining input of a connection after it has used up this many budgets.
const DRAIN_BUDGETS: u64 = 255;

/// Messages that one call of a session may answer beyond the budget.
const MAX_MESSAGES_PER_CALL: usize = 512;

impl Network {
    /// Resets the per-iteration counts before an iteration of the server.
    pub fn begin_iteration(&mut self) {
        self.closed.clear();
        for listener in &mut self.listeners {
            listener.accepted = 0;
        }
        for socket in &mut self.sockets {
            socket.read_in_iteration = 0;
            socket.written_before = socket.written;
        }
    }

    /// After an iteration: records which connections could not be requeued, if requeueing was `refused`.
    pub fn record_refused_requeues(&mut self, refused: bool) {
        let budget = self.budget;
        for socket in self.sockets.iter_mut().filter(|socket| socket.fin_sent) {
            let used_up = socket.read_in_iteration >= budget;
            socket.requeue_refused = if socket.read_in_iteration > 0 {
                refused && used_up
            } else {
                socket.requeue_refused
            };
        }
    }

    /// Whether the server may drop the remaining input of a connection: it has done the maximum of work for it since
    /// the stop.
    pub fn is_input_flood(&self, socket: &Socket) -> bool {
        let replies = socket.written_when_stopped..socket.written;
        let script = socket.script.as_deref();
        let messages = script.map_or(0, |script| script.count_replies(replies.clone()) + 1);
        let bytes = socket.read - socket.read_when_stopped + replies.end - replies.start;
        let work = bytes + (MESSAGE_COST * messages) as u64;
        self.stopping && work >= DRAIN_BUDGETS.saturating_mul(self.budget as u64)
    }

    /// Checks that an iteration stayed within its budgets.
    pub fn check_iteration_limits(&self, config: &Config) {
        for socket in self.sockets.iter().filter(|socket| socket.is_server_side) {
            // The last read may exceed the budget by a whole buffer.
            let most = DRIVES * config.budget + 65_536;
            let read = socket.read_in_iteration;
            assert!(
                read <= most,
                "{read} bytes read in one iteration: {socket:?}"
            );
            if let Some(script) = &socket.script {
                let answered = script.count_replies(socket.written_before..socket.written);
                // Replies to earlier input may have been pending output.
                let read_before = socket.read - socket.read_in_iteration as u64;
                let due = script
                    .reply_bytes_due(read_before, false)
                    .max(socket.written_before);
                let pending = script.count_replies(socket.written_before..due);
                let most =
                    pending + DRIVES * (config.budget / MESSAGE_COST + MAX_MESSAGES_PER_CALL);
                assert!(
                    answered <= most,
                    "{answered} messages answered in one iteration, limit {most}: {socket:?}"
                );
                // Earlier pending output and the output of the last call may exceed the budget.
                let beyond = 2 * (config.max_pending + script.longest_reply());
                let most = DRIVES * (config.budget + beyond);
                let (payload, header) = self.record;
                let most = (most + header * most.div_ceil(payload)) as u64;
                let written = socket.written - socket.written_before;
                assert!(
                    written <= most,
                    "{written} bytes written in one iteration, limit {most}: {socket:?}"
                );
            }
        }
        // A drain empties the accept queues in one iteration.
        if !self.stopping {
            for listener in &self.listeners {
                let (accepted, most) = (listener.accepted, config.accepts_per_iteration);
                assert!(
                    accepted <= most,
                    "{accepted} connections accepted in one iteration"
                );
            }
        }
    }
}
