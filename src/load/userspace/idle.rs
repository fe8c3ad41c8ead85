//! What idle connections in user space do: they are opened, greet, are proven and probed, and send keepalives.

use super::{Call, Userspace};
use crate::load::conversation::Notice;
use crate::load::script::{Ids, Part};
use crate::load::session::EchoClient;
use crate::load::tester::Tester;
use crate::load::{Observer, Stage};
use crate::time::Time;
use crate::tls::MaybeTls;
use crate::userspace::{SendError, State};

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Begins to open an idle connection.
    pub(in crate::load) fn connect_userspace(&mut self, number: u32, now: Time) {
        let index = number - self.config.active;
        if let Some(userspace) = &mut self.userspace {
            userspace.connect(index, now);
        }
    }

    pub(super) fn on_userspace_established(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        now: Time,
    ) {
        userspace.established += 1;
        let began = self.connector.connecting.get(&number);
        if let Some(began) = began {
            self.tally.connect_times.record(now.since(*began));
        }
        let is_first = self.connector.on_established(number, now).is_some();
        if is_first {
            self.tally.connections.opened += 1;
            self.tally.opened_idle += 1;
            self.tally.last_established = now;
        }
        if self.config.script.is_some() {
            let call = self.call_session(userspace, number, Call::Open, now);
            self.client().established = None;
            if call.is_some() {
                self.expire_hello_of(number, None, now);
            }
            // It is proven when its hello is complete, which it may be by now.
            return;
        }
        userspace.unanswered = 0;
        if is_first && self.connector.must_prove(number) {
            self.send_idle_message(userspace, number, now);
        }
    }

    /// Processes input, after what is left of earlier input.
    pub(super) fn on_userspace_input(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        input: &[u8],
        now: Time,
    ) {
        let partial = userspace.partial.remove(&number).map(|mut partial| {
            partial.extend_from_slice(input);
            partial
        });
        let input = partial.as_deref().unwrap_or(input);
        let consumed = self.call_session(userspace, number, Call::Receive(input), now);
        let rest = consumed.and_then(|consumed| input.get(consumed..));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            userspace.partial.insert(number, rest.to_vec());
        }
    }

    /// Processes the replies and notices that a call of the session has left.
    pub(super) fn process_userspace_replies(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        now: Time,
    ) {
        if !self.client().replies.is_empty() {
            self.take_replies(now);
            self.connector.on_proven(number);
        }
        let Some(conversations) = self.conversations() else {
            return;
        };
        let mut notices = std::mem::take(&mut conversations.notices);
        for (number, notice) in notices.drain(..) {
            match notice {
                Notice::Greeted => self.on_userspace_greeted(userspace, number, now),
                Notice::Keepalive(reply) => self.count_keepalive(reply, now),
                Notice::Closes => self.close_as_announced(userspace, number, now),
            }
        }
        if let Some(conversations) = self.conversations() {
            conversations.notices = notices;
        }
    }

    /// The hello of a connection is complete.
    fn on_userspace_greeted(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        userspace.unanswered = 0;
        let is_open = userspace.tcp.is_established(number - self.config.active);
        let is_due = match self.stage {
            Stage::Connecting => self.connector.must_prove(number),
            Stage::Probing => self.is_probe_unsent(number),
            _ => false,
        };
        if is_open && is_due {
            self.send_idle_message(userspace, number, now);
        }
    }

    /// Sends a message whose echo or reply is verified.
    fn send_idle_message(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        let sequence = self.client().begin_probe(number);
        self.send_userspace(userspace, number, Part::Message, sequence, now);
    }

    /// Sends a message, or a part of a script.
    fn send_userspace(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        part: Part,
        sequence: u64,
        now: Time,
    ) {
        let connection = self.config.first_number + number;
        let mut bytes = std::mem::take(&mut userspace.output);
        if let Some(script) = &self.config.script {
            let ids = Ids {
                connection,
                sequence,
            };
            script.render(part, ids, &mut bytes);
        } else {
            let message = self.pattern.message(connection, sequence);
            bytes.clear();
            bytes.extend_from_slice(message.head());
            bytes.extend_from_slice(message.body());
        }
        let sent = userspace.send(number - self.config.active, &bytes, now);
        userspace.output = bytes;
        match sent {
            // Earlier bytes are not acknowledged: this message has no reply either.
            Ok(()) | Err(SendError::TooMuch) => {}
            Err(SendError::NotEstablished | SendError::Exhausted) => {
                self.end_userspace(userspace, number, now);
            }
        }
    }

    /// Whether a connection is probed whose message was not sent, since it was being opened again.
    fn is_probe_unsent(&mut self, number: u32) -> bool {
        let is_probed = self.probing.is_outstanding(number);
        let conversations = self.conversations().filter(|_| is_probed);
        conversations.is_some_and(|conversations| !conversations.is_outstanding(number))
    }

    /// Probes an idle connection; returns false if it is not established.
    pub(in crate::load) fn probe_userspace(&mut self, number: u32, now: Time) -> bool {
        let Some(mut userspace) = self.userspace.take() else {
            return false;
        };
        let state = userspace.tcp.variables(number - self.config.active).state;
        let is_open = state == State::Established;
        // In SYN-SENT it is opened again: the message is sent when its hello is complete.
        if is_open || state == State::SynSent {
            self.begin_probe_of(number, now);
        }
        if is_open {
            self.send_idle_message(&mut userspace, number, now);
        }
        self.userspace = Some(userspace);
        is_open
    }

    /// Whether the reply that proves a connection is outstanding: that is no unanswered keepalive.
    fn is_being_proven(&mut self, number: u32) -> bool {
        let is_proof = self.stage == Stage::Connecting && self.connector.proves(number);
        let conversations = self.conversations().filter(|_| is_proof);
        conversations.is_some_and(|conversations| conversations.is_outstanding(number))
    }

    /// Sends a keepalive on a connection, if it is idle and established.
    pub(in crate::load) fn keep_userspace_alive(&mut self, number: u32, now: Time) {
        if !self.is_in_userspace(number) || self.is_being_proven(number) {
            return;
        }
        let Some(mut userspace) = self.userspace.take() else {
            return;
        };
        if userspace.tcp.is_established(number - self.config.active)
            && let Some(sequence) = self.begin_keepalive(number)
        {
            self.send_userspace(&mut userspace, number, Part::Keepalive, sequence, now);
        }
        self.userspace = Some(userspace);
    }
}
