//! One call of a session over TLS: from ciphertext to the inner session, and back.

use super::protocol::{Completed, Tls};
use super::session::{Phase, State};
use super::{Codec, TlsError, TlsErrorKind};
use crate::protocol::{ConnectionId, Context, Finish, Outbox, Session};
use crate::time::Time;

/// A call of a session, with all that it may use.
pub(super) struct Layer<'l, 'o, S: Session> {
    pub(super) state: &'l mut State<S>,
    pub(super) id: ConnectionId,
    pub(super) now: Time,
    pub(super) tag: u32,
    pub(super) shared: &'l mut Tls<S::Shared>,
    pub(super) outbox: &'l mut Outbox<'o>,
}

/// The result of a call of the inner session.
#[derive(Clone, Copy)]
pub(super) struct Called {
    consumed: usize,
    finished: Option<Finish>,
    is_deferred: bool,
    is_full: bool,
}

impl<S: Session> Layer<'_, '_, S> {
    /// Creates the codec, if there is none; false if that fails.
    pub(super) fn start(&mut self) -> bool {
        if self.state.codec.is_none() {
            match self.shared.settings.codec(self.outbox.buffer()) {
                Ok(codec) => self.state.codec = Some(codec),
                Err(error) => {
                    self.fail(error);
                    return false;
                }
            }
        }
        true
    }

    /// Passes ciphertext to the codec, and its plaintext to the inner session.
    pub(super) fn receive(&mut self, input: &[u8]) {
        self.state.has_input |= !input.is_empty();
        if !self.start() {
            return;
        }
        let kept = std::mem::take(&mut self.state.plaintext);
        let is_shared = kept.is_empty();
        let mut plaintext = if is_shared {
            std::mem::take(&mut self.shared.buffers.plaintext)
        } else {
            kept
        };
        let decrypted = self.decrypt(input, &mut plaintext);
        let consumed = self.answer(&plaintext);
        if let Err(error) = decrypted {
            self.fail(error);
        }
        self.keep(plaintext, consumed, is_shared);
    }

    fn decrypt(&mut self, input: &[u8], plaintext: &mut Vec<u8>) -> Result<(), TlsError> {
        let Some(codec) = &mut self.state.codec else {
            return Ok(());
        };
        let progress = codec.receive(
            input,
            &mut self.shared.buffers.scratch,
            plaintext,
            self.outbox.buffer(),
            &mut self.shared.handshakes.steps,
        );
        if self.state.is_established_now() {
            self.on_established();
        }
        if progress?.deferred {
            self.outbox.defer();
        }
        Ok(())
    }

    /// Opens the inner session.
    fn on_established(&mut self) {
        self.state.phase = Phase::Established;
        let is_resumed = self.log_handshake();
        let took = self.now.since(self.state.opened);
        self.shared.statistics.count_completed(took, is_resumed);
        if self.shared.reports_completed {
            self.shared.completed.push(Completed {
                id: self.id,
                took,
                is_resumed,
            });
        }
        let called = self.call(&[], |session, _, context, outbox| {
            session.open(context, outbox);
            0
        });
        self.apply(called);
    }

    /// Logs what was negotiated; returns whether the session was resumed.
    fn log_handshake(&self) -> bool {
        let codec = self.state.codec.as_ref();
        let Some(negotiated) = codec.and_then(Codec::negotiated) else {
            return false;
        };
        log::debug!(
            "{} {} {}, {} handshake",
            self.id,
            negotiated.version,
            negotiated.cipher_suite,
            if negotiated.is_resumed {
                "resumed"
            } else {
                "full"
            }
        );
        negotiated.is_resumed
    }

    /// Passes plaintext to the inner session, as far as there is space for output. Returns the number of bytes not to be
    /// kept.
    fn answer(&mut self, plaintext: &[u8]) -> usize {
        let mut done = 0;
        while done < plaintext.len() && self.is_open() {
            if self.outbox.is_full() {
                self.outbox.defer();
                return done;
            }
            let called = self.call(&plaintext[done..], S::receive);
            done += called.consumed;
            self.apply(called);
            if called.is_deferred {
                return done;
            }
            if called.consumed == 0 {
                if called.is_full {
                    self.outbox.defer();
                    return done;
                }
                break;
            }
        }
        let codec = self.state.codec.as_ref();
        let is_at_end = codec.is_some_and(Codec::is_peer_closed);
        if is_at_end && self.is_open() && !self.outbox.is_deferred() {
            self.on_close_notify(&plaintext[done..]);
            done = plaintext.len();
        }
        done
    }

    /// The peer has sent `close_notify`; `rest` is what the inner session has not consumed.
    fn on_close_notify(&mut self, rest: &[u8]) {
        let called = self.call(rest, |session, rest, context, outbox| {
            session.end(rest, context, outbox);
            rest.len()
        });
        if called.finished == Some(Finish::Record) {
            match copy(rest) {
                Some(record) => self.state.record = Some(record),
                None => self.outbox.set_out_of_memory(),
            }
        }
        self.finish(called.finished.unwrap_or(Finish::PeerClosed));
    }

    fn is_open(&self) -> bool {
        matches!(self.state.phase, Phase::Established)
    }

    /// Calls the inner session, and encrypts its output.
    pub(super) fn call(
        &mut self,
        input: &[u8],
        method: impl for<'x> FnOnce(&mut S, &'x [u8], Context<'_, S::Shared>, &mut Outbox<'x>) -> usize,
    ) -> Called {
        let mut buffer = std::mem::take(&mut self.shared.buffers.inner);
        let mut inner = Outbox::new(&mut buffer, self.outbox.space().max(1));
        let context = Context::new(self.id, self.now, &mut self.shared.inner).tagged(self.tag);
        let consumed = method(&mut self.state.inner, input, context, &mut inner);
        let called = Called {
            consumed: consumed.min(input.len()),
            finished: inner.finished(),
            is_deferred: inner.is_deferred(),
            is_full: inner.is_full(),
        };
        for _ in 0..inner.messages() {
            self.outbox.count_message();
        }
        if inner.is_out_of_memory() {
            self.outbox.set_out_of_memory();
        }
        let encrypted = match &mut self.state.codec {
            Some(codec) if !inner.is_empty() => codec.encrypt(inner.bytes(), self.outbox.buffer()),
            _ => Ok(()),
        };
        self.shared.buffers.inner = buffer;
        if let Err(error) = encrypted {
            self.fail(error);
        }
        called
    }

    /// Applies what a call has requested beside its output.
    pub(super) fn apply(&mut self, called: Called) {
        if called.is_deferred {
            self.outbox.defer();
        }
        if let Some(finish) = called.finished {
            self.finish(finish);
        }
    }

    pub(super) fn finish(&mut self, finish: Finish) {
        self.state.phase = Phase::Over;
        self.outbox.finish(finish);
    }

    /// Ends the session after an error; an alert is in the outbox.
    pub(super) fn fail(&mut self, error: TlsError) {
        if error.kind() == TlsErrorKind::OutOfMemory {
            self.outbox.set_out_of_memory();
        }
        if matches!(self.state.phase, Phase::Handshake(_)) {
            self.shared.statistics.count_failed(error.kind());
        }
        log::debug!("{} TLS: {error}", self.id);
        self.shared.failed = Some((self.id, error));
        self.finish(Finish::Malformed);
    }

    /// Keeps the plaintext that the inner session has not consumed, and gives the shared buffer back.
    fn keep(&mut self, mut plaintext: Vec<u8>, consumed: usize, is_shared: bool) {
        if matches!(self.state.phase, Phase::Over) {
            plaintext.clear();
        } else {
            plaintext.drain(..consumed.min(plaintext.len()));
        }
        if !is_shared {
            plaintext.shrink_to(2 * plaintext.len());
            self.state.plaintext = plaintext;
            return;
        }
        match copy(&plaintext) {
            Some(rest) => self.state.plaintext = rest,
            None => self.outbox.set_out_of_memory(),
        }
        plaintext.clear();
        self.shared.buffers.plaintext = plaintext;
    }
}

/// A copy in exactly as much memory; `None` if there is none.
fn copy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}
