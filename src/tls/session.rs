//! TLS around a session: a session that contains another one, and a [`Codec`] between it and the connection.

use super::Codec;
use super::layer::Layer;
use super::protocol::{InProgress, Settings, Tls};
use crate::protocol::{Context, Finish, Outbox, Session};
use crate::time::Time;
use std::fmt;

/// A session over TLS.
pub struct TlsSession<S>(Box<State<S>>);

impl<S> fmt::Debug for TlsSession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
    }
}

pub(super) struct State<S> {
    /// `None` before the first byte in either direction.
    pub(super) codec: Option<Codec>,
    pub(super) inner: S,
    /// Plaintext that the inner session has not consumed.
    pub(super) plaintext: Vec<u8>,
    pub(super) record: Option<Vec<u8>>,
    pub(super) phase: Phase,
    /// When the connection was established.
    pub(super) opened: Time,
    pub(super) has_input: bool,
}

#[derive(Debug)]
pub(super) enum Phase {
    Handshake(#[expect(dead_code, reason = "counts until it is dropped")] InProgress),
    Established,
    /// The session has finished, or failed.
    Over,
}

impl<S: Session> Session for TlsSession<S> {
    type Shared = Tls<S::Shared>;
    const FIN_IS_RECEIPT: bool = S::FIN_IS_RECEIPT;
    const HOLDS_BYTES: bool = true;

    fn open(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        self.0.opened = context.now;
        if let Settings::Client(_) = context.shared.settings {
            self.layer(context, outbox).start();
        }
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        if !matches!(self.0.phase, Phase::Over) {
            self.layer(context, outbox).receive(input);
        }
        input.len()
    }

    fn drained(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if matches!(self.0.phase, Phase::Established) {
            let mut layer = self.layer(context, outbox);
            let called = layer.call(&[], |session, _, context, outbox| {
                session.drained(context, outbox);
                0
            });
            layer.apply(called);
        }
    }

    fn end<'a>(
        &mut self,
        _: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) {
        let state = &*self.0;
        if matches!(state.phase, Phase::Over) {
            return;
        }
        if !state.has_input {
            // A port that is checked, not a session.
            outbox.finish(Finish::PeerClosed);
            return;
        }
        let ended = state.codec.as_ref().map_or(Ok(()), Codec::end);
        let mut layer = self.layer(context, outbox);
        match ended {
            Ok(()) => layer.finish(Finish::PeerClosed),
            Err(error) => layer.fail(error),
        }
    }

    fn write(
        &mut self,
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        if matches!(self.0.phase, Phase::Over) {
            return;
        }
        let mut layer = self.layer(context, outbox);
        if layer.start() {
            let called = layer.call(&[], |session, _, context, outbox| {
                session.write(context, outbox, write);
                0
            });
            layer.apply(called);
        }
    }

    fn before_fin(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        let layer = self.layer(context, outbox);
        if let Some(codec) = &mut layer.state.codec
            && codec.close_notify(layer.outbox.buffer()).is_err()
        {
            layer.outbox.set_out_of_memory();
        }
    }

    fn held_bytes(&self) -> usize {
        let state = &*self.0;
        let ciphertext = state.codec.as_ref().map_or(0, Codec::held_bytes);
        let record = state.record.as_ref().map_or(0, Vec::capacity);
        ciphertext + state.plaintext.capacity() + record
    }

    fn is_handshaking(&self) -> bool {
        matches!(self.0.phase, Phase::Handshake(_))
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        self.0.record.take()
    }
}

impl<S: Session> TlsSession<S> {
    /// A session around `inner`, whose handshake begins.
    pub(super) fn new(inner: S, handshake: InProgress) -> Self {
        TlsSession(Box::new(State {
            codec: None,
            inner,
            plaintext: Vec::new(),
            record: None,
            phase: Phase::Handshake(handshake),
            opened: Time::ZERO,
            has_input: false,
        }))
    }

    fn layer<'l, 'o>(
        &'l mut self,
        context: Context<'l, Tls<S::Shared>>,
        outbox: &'l mut Outbox<'o>,
    ) -> Layer<'l, 'o, S> {
        let Context {
            id,
            now,
            shared,
            tag,
        } = context;
        Layer {
            state: &mut self.0,
            id,
            now,
            tag,
            shared,
            outbox,
        }
    }
}

impl<S> State<S> {
    /// Whether the codec has just completed its handshake.
    pub(super) fn is_established_now(&self) -> bool {
        let codec = self.codec.as_ref();
        matches!(self.phase, Phase::Handshake(_))
            && codec.is_some_and(|codec| !codec.is_handshaking())
    }
}
