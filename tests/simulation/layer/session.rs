//! The session of the layer.

use super::record::{Decoder, Encoder, Kind, MAX_PAYLOAD};
use super::{Layer, Role, Settings};
use echoloop::protocol::{ConnectionId, Context, Finish, Outbox, Protocol, Session};
use echoloop::time::Time;
use std::net::SocketAddr;

/// The empty records in sequence from which on input counts as a flood.
pub const MAX_EMPTY: u32 = 32;

/// What the first byte of the handshake declares about a client. A well-behaved one sends a farewell before FIN, and no
/// damaged record; a program under test may close without a farewell.
pub const HOSTILE: u8 = 0;
pub const HONEST: u8 = 1;
pub const PROGRAM: u8 = 2;

/// The payload of a step of the handshake.
pub fn step_payload(step: usize, conduct: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![step as u8; length.max(2)];
    payload[1] = conduct;
    payload
}

/// The payload of a farewell.
pub fn farewell_payload(bytes: u64, notices: u32) -> Vec<u8> {
    [&bytes.to_be_bytes()[..], &notices.to_be_bytes()].concat()
}

#[derive(Debug)]
pub struct LayerSession<S> {
    inner: S,
    role: Role,
    settings: Settings,
    encoder: Encoder,
    decoder: Decoder,
    /// Steps of the handshake that are processed.
    steps: usize,
    conduct: u8,
    /// Input that the inner session has not consumed.
    plaintext: Vec<u8>,
    /// The inner session is to be called with it.
    wants_call: bool,
    /// Output from outside before the handshake has completed.
    early: Vec<Vec<u8>>,
    empty_records: u32,
    /// Bytes and notices, sent and received.
    sent: (u64, u32),
    received: u64,
    has_said_farewell: bool,
    /// The peer's farewell has arrived, or the session has finished.
    has_ended: bool,
    record: Option<Vec<u8>>,
}

impl<S: Session> LayerSession<S> {
    pub fn new(inner: S, role: Role, settings: Settings) -> Self {
        LayerSession {
            inner,
            role,
            settings,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            steps: 0,
            conduct: PROGRAM,
            plaintext: Vec::new(),
            wants_call: false,
            early: Vec::new(),
            empty_records: 0,
            sent: (0, 0),
            received: 0,
            has_said_farewell: false,
            has_ended: false,
            record: None,
        }
    }

    fn write_record(&mut self, kind: Kind, payload: &[u8], outbox: &mut Outbox<'_>) {
        let mut wire = Vec::new();
        self.encoder.push(&mut wire, kind, payload);
        outbox.write(&wire);
    }

    fn write_step(&mut self, outbox: &mut Outbox<'_>) {
        let payload = step_payload(self.steps, self.conduct, self.settings.step_length);
        self.write_record(Kind::Handshake, &payload, outbox);
    }

    fn write_data(&mut self, bytes: &[u8], outbox: &mut Outbox<'_>) {
        self.sent.0 += bytes.len() as u64;
        for payload in bytes.chunks(self.settings.chunk.clamp(1, MAX_PAYLOAD)) {
            self.write_record(Kind::Data, payload, outbox);
        }
    }

    /// Writes output from outside: a server's is a notice.
    fn write_outside(&mut self, bytes: &[u8], outbox: &mut Outbox<'_>) {
        if self.role == Role::Client {
            self.write_data(bytes, outbox);
        } else {
            self.sent.1 += 1;
            self.write_record(Kind::Notice, bytes, outbox);
        }
    }

    /// Closes the connection because of its input.
    fn reject(&mut self, why: &str, is_fin: bool, outbox: &mut Outbox<'_>) {
        let may = match self.conduct {
            HONEST => false,
            PROGRAM => is_fin,
            _ => true,
        };
        assert!(may, "{why} from a well-behaved peer");
        self.finish(Finish::Malformed, outbox);
    }

    fn finish(&mut self, finish: Finish, outbox: &mut Outbox<'_>) {
        self.has_ended = true;
        self.wants_call = false;
        self.plaintext = Vec::new();
        self.decoder.clear();
        outbox.finish(finish);
    }
}

/// What a call of the session needs beside its outbox.
struct Call<'a, P> {
    id: ConnectionId,
    now: Time,
    layer: &'a mut Layer<P>,
}

impl<S: Session> LayerSession<S> {
    /// Calls the inner session with `input`, and sends its output. Returns the consumed bytes, why it has finished, and
    /// whether it is to be called again.
    fn call_inner(
        &mut self,
        input: &[u8],
        call: &mut Call<'_, S::Shared>,
        outbox: &mut Outbox<'_>,
        method: impl for<'i> FnOnce(&mut S, &'i [u8], Context<'_, S::Shared>, &mut Outbox<'i>) -> usize,
    ) -> (usize, Option<Finish>, bool) {
        let mut buffer = Vec::new();
        let mut output = Outbox::new(&mut buffer, self.settings.chunk);
        let context = Context::new(call.id, call.now, &mut call.layer.inner);
        let consumed = method(&mut self.inner, input, context, &mut output);
        self.write_data(output.bytes(), outbox);
        let again = output.is_full() || output.is_deferred();
        (consumed, output.finished(), again)
    }

    fn pass_plaintext(&mut self, call: &mut Call<'_, S::Shared>, outbox: &mut Outbox<'_>) {
        let mut plaintext = std::mem::take(&mut self.plaintext);
        let (consumed, finish, again) = self.call_inner(&plaintext, call, outbox, S::receive);
        plaintext.drain(..consumed);
        self.plaintext = plaintext;
        self.wants_call = again;
        if let Some(finish) = finish {
            self.finish(finish, outbox);
        }
    }

    fn complete_handshake(&mut self, call: &mut Call<'_, S::Shared>, outbox: &mut Outbox<'_>) {
        call.layer.observed.handshakes.remove(&call.id);
        call.layer.observed.completed += 1;
        for bytes in std::mem::take(&mut self.early) {
            self.write_outside(&bytes, outbox);
        }
        self.call_inner(&[], call, outbox, |inner, _, context, output| {
            inner.open(context, output);
            0
        });
    }

    fn on_step(&mut self, payload: &[u8], call: &mut Call<'_, S::Shared>, outbox: &mut Outbox<'_>) {
        if !self.is_handshaking() || payload.first() != Some(&(self.steps as u8)) {
            return self.reject("a step out of order", false, outbox);
        }
        if self.role == Role::Server {
            self.conduct = payload[1];
            self.write_step(outbox);
        }
        self.steps += 1;
        if !self.is_handshaking() {
            self.complete_handshake(call, outbox);
        } else if self.role == Role::Client {
            self.write_step(outbox);
        }
    }

    fn on_farewell(
        &mut self,
        payload: &[u8],
        call: &mut Call<'_, S::Shared>,
        outbox: &mut Outbox<'_>,
    ) {
        assert!(payload.starts_with(&self.received.to_be_bytes()), "lost");
        let rest = std::mem::take(&mut self.plaintext);
        let (_, finish, _) =
            self.call_inner(&rest, call, outbox, |inner, rest, context, output| {
                inner.end(rest, context, output);
                rest.len()
            });
        if finish == Some(Finish::Record) {
            self.record = Some(rest);
        }
        self.finish(finish.unwrap_or(Finish::PeerClosed), outbox);
    }

    /// Processes what is held, as far as the outbox and the budget allow.
    fn proceed(&mut self, call: &mut Call<'_, S::Shared>, outbox: &mut Outbox<'_>) {
        let mut records = 0;
        while !self.has_ended {
            let has_work = self.wants_call || self.decoder.has_record();
            let is_full = outbox.is_full() || records == self.settings.records_per_call;
            if !has_work {
                return;
            }
            if is_full {
                return outbox.defer();
            }
            if self.wants_call {
                self.pass_plaintext(call, outbox);
                outbox.count_message();
                continue;
            }
            let is_costly = self.role == Role::Server
                && self.is_handshaking()
                && call.layer.settings.costly >> self.steps & 1 == 1;
            if is_costly && !call.layer.take_step() {
                return outbox.defer();
            }
            records += 1;
            outbox.count_message();
            match self.decoder.take() {
                Err(_) => self.reject("a damaged record", false, outbox),
                Ok(None) => return,
                Ok(Some((Kind::Handshake, payload))) => self.on_step(&payload, call, outbox),
                Ok(Some(_)) if self.is_handshaking() => {
                    self.reject("data before the handshake", false, outbox);
                }
                Ok(Some((Kind::Data, payload))) => self.on_data(&payload, outbox),
                Ok(Some((Kind::Farewell, payload))) => self.on_farewell(&payload, call, outbox),
                Ok(Some((Kind::Notice, _))) => {}
            }
        }
    }

    fn on_data(&mut self, payload: &[u8], outbox: &mut Outbox<'_>) {
        self.empty_records = match payload {
            [] => self.empty_records + 1,
            _ => 0,
        };
        if self.empty_records > MAX_EMPTY {
            return self.reject("a flood of empty records", false, outbox);
        }
        self.received += payload.len() as u64;
        self.plaintext.extend(payload);
        self.wants_call = !payload.is_empty();
    }

    /// Records the state after a call, for the checks.
    fn observe(&self, call: &mut Call<'_, S::Shared>, outbox: &Outbox<'_>) {
        let (id, observed) = (call.id, &mut call.layer.observed);
        observed.held.insert(id, self.held_bytes());
        if self.has_ended {
            observed.handshakes.remove(&id);
        }
        if outbox.is_deferred() && outbox.finished().is_none() {
            observed.deferred.insert(id);
        } else {
            observed.deferred.remove(&id);
        }
    }
}

impl<S: Session> LayerSession<S> {
    /// Reports the client when the first record is complete.
    fn report(
        &mut self,
        consumed: usize,
        context: Context<'_, Layer<S::Shared>>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        assert_eq!(self.steps, 0, "continued before it was admitted");
        let (id, now, layer) = (context.id, context.now, context.shared);
        let proxies = layer.proxies.as_mut().expect("it has proxies");
        if self.decoder.has_record() {
            let client = SocketAddr::from(([192, 0, 2, 1], 1 + id.serial as u16 % 1000));
            proxies.report(id, (id.serial % 3 > 0).then_some(client));
            outbox.defer();
        }
        let mut call = Call { id, now, layer };
        self.observe(&mut call, outbox);
        consumed
    }
}

impl<S: Session> Session for LayerSession<S> {
    type Shared = Layer<S::Shared>;

    const FIN_IS_RECEIPT: bool = S::FIN_IS_RECEIPT;
    const HOLDS_BYTES: bool = true;

    fn open(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        let observed = &mut context.shared.observed;
        observed.handshakes.insert(context.id, context.now);
        if self.role == Role::Client {
            self.write_step(outbox);
        }
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        assert!(!self.has_ended, "called after the end");
        let is_deferred = context.shared.observed.deferred.contains(&context.id);
        assert!(input.is_empty() || !is_deferred, "input while deferred");
        self.decoder.push(input);
        if !context.is_admitted() {
            return self.report(input.len(), context, outbox);
        }
        let (id, now, layer) = (context.id, context.now, context.shared);
        let mut call = Call { id, now, layer };
        self.proceed(&mut call, outbox);
        self.observe(&mut call, outbox);
        input.len()
    }

    fn drained(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if self.is_handshaking() || self.has_ended {
            return;
        }
        let (id, now, layer) = (context.id, context.now, context.shared);
        let mut call = Call { id, now, layer };
        self.call_inner(&[], &mut call, outbox, |inner, _, context, output| {
            inner.drained(context, output);
            0
        });
    }

    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) {
        assert!(rest.is_empty(), "the session consumes all input");
        assert!(!self.has_ended, "called after the end");
        let (id, now, layer) = (context.id, context.now, context.shared);
        let mut call = Call { id, now, layer };
        let is_deferred = call.layer.observed.deferred.contains(&id);
        assert!(!is_deferred, "FIN was read while deferred");
        call.layer.observed.truncated += 1;
        self.reject("FIN without a farewell", true, outbox);
        self.observe(&mut call, outbox);
    }

    fn write(
        &mut self,
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        let mut buffer = Vec::new();
        let mut output = Outbox::new(&mut buffer, usize::MAX);
        write(&mut output);
        if let Some(finish) = output.finished() {
            outbox.finish(finish);
        }
        if output.is_empty() {
            return;
        }
        if self.is_handshaking() {
            self.early.push(output.bytes().to_vec());
        } else {
            self.write_outside(output.bytes(), outbox);
        }
        let id = context.id;
        let observed = &mut context.shared.observed;
        observed.held.insert(id, self.held_bytes());
    }

    fn before_fin(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if self.is_handshaking() || std::mem::replace(&mut self.has_said_farewell, true) {
            return;
        }
        context.shared.observed.farewells.push(context.id);
        let payload = farewell_payload(self.sent.0, self.sent.1);
        self.write_record(Kind::Farewell, &payload, outbox);
    }

    fn held_bytes(&self) -> usize {
        let early: usize = self.early.iter().map(Vec::len).sum();
        self.decoder.len() + self.plaintext.len() + early
    }

    fn is_handshaking(&self) -> bool {
        self.steps < self.settings.steps
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        self.record.take()
    }
}

/// The length of a farewell on the wire.
pub const FAREWELL: usize = super::record::HEADER + 12;

const _: () = {
    const fn is_protocol<P: Protocol>() {}
    is_protocol::<Layer<echoloop::protocol::Raw>>();
};
