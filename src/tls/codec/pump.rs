//! Drives a session of the TLS library until it requires input.
//!
//! Invariant: between two calls the library has nothing to send and holds no plaintext.

use rustls::CommonState;
use rustls::Error;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// A session of either side.
pub(super) trait Engine {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn state(&self) -> &CommonState;
}

impl Engine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(ciphertext)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Engine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        ciphertext: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(ciphertext)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

/// What to write once the handshake is complete.
#[derive(Clone, Copy)]
pub(super) enum Write<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

/// Why a session cannot continue.
pub(super) enum Failure {
    /// The library's error. Its alert is in the output.
    Library(Error),
    OutOfMemory,
    /// The keys of a TLS 1.2 session have encrypted as many records as they may.
    KeysUsedUp,
    /// The library is in a state that its documentation excludes.
    Unexpected(&'static str),
}

/// What a call of [`pump`] did.
#[derive(Clone, Copy, Default)]
pub(super) struct Pumped {
    /// Bytes at the front of the ciphertext that the library does not use any more.
    pub(super) discard: usize,
    /// `close_notify` was received.
    pub(super) peer_closed: bool,
    /// The write was done.
    pub(super) written: bool,
}

enum Next {
    Continue,
    Closed,
    Idle { written: bool },
    Failed(Error),
}

/// Processes `ciphertext` until the session requires more. After an error the session is not used again.
pub(super) fn pump<E: Engine>(
    engine: &mut E,
    ciphertext: &mut [u8],
    plaintext: &mut Vec<u8>,
    output: &mut Vec<u8>,
    write: Option<Write<'_>>,
) -> Result<Pumped, Failure> {
    let mut pumped = Pumped::default();
    loop {
        let front = pumped.discard.min(ciphertext.len());
        let UnbufferedStatus { discard, state, .. } = engine.process(&mut ciphertext[front..]);
        let next = match state {
            Ok(state) => step(state, plaintext, output, write)?,
            Err(error) => Next::Failed(error),
        };
        pumped.discard += discard;
        match next {
            Next::Continue => {}
            Next::Closed => pumped.peer_closed = true,
            Next::Idle { written } => {
                pumped.written = written;
                return Ok(pumped);
            }
            Next::Failed(error) => {
                let front = pumped.discard.min(ciphertext.len());
                send_alert(engine, &mut ciphertext[front..], plaintext, output)?;
                return Err(Failure::Library(error));
            }
        }
    }
}

fn step<Data>(
    state: ConnectionState<'_, '_, Data>,
    plaintext: &mut Vec<u8>,
    output: &mut Vec<u8>,
    write: Option<Write<'_>>,
) -> Result<Next, Failure> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => append(plaintext, record.payload)?,
                    Err(error) => return Ok(Next::Failed(error)),
                }
            }
        }
        ConnectionState::EncodeTlsData(data) => encode(data, output)?,
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::PeerClosed => return Ok(Next::Closed),
        ConnectionState::WriteTraffic(mut traffic) => {
            let written = write.is_some();
            if let Some(write) = write {
                encrypt(&mut traffic, write, output)?;
            }
            return Ok(Next::Idle { written });
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => {
            return Ok(Next::Idle { written: false });
        }
        // Early data is not accepted by the settings.
        _ => return Err(Failure::Unexpected("early data")),
    }
    Ok(Next::Continue)
}

/// Moves what the library has to send after an error to the output. The record that caused the error is not
/// processed again: the library sends before it reads.
fn send_alert<E: Engine>(
    engine: &mut E,
    ciphertext: &mut [u8],
    plaintext: &mut Vec<u8>,
    output: &mut Vec<u8>,
) -> Result<(), Failure> {
    while engine.state().wants_write() {
        match engine.process(ciphertext).state {
            Ok(state) => {
                step(state, plaintext, output, None)?;
            }
            Err(_) => break,
        }
    }
    Ok(())
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Failure> {
    let reserved = buffer.try_reserve(bytes.len());
    reserved.map_err(|_| Failure::OutOfMemory)?;
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// Appends `length` zeros, and returns the index of the first.
fn extend(output: &mut Vec<u8>, length: usize) -> Result<usize, Failure> {
    let begin = output.len();
    let reserved = output.try_reserve(length);
    reserved.map_err(|_| Failure::OutOfMemory)?;
    output.resize(begin + length, 0);
    Ok(begin)
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, output: &mut Vec<u8>) -> Result<(), Failure> {
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return Err(Failure::Unexpected("nothing to encode"));
    };
    let begin = extend(output, size.required_size)?;
    let encoded = data.encode(&mut output[begin..]);
    encoded.map_err(|_| Failure::Unexpected("no space to encode"))?;
    Ok(())
}

/// The plaintext of a record (RFC 8446, 5.1).
const MAX_FRAGMENT: usize = 16 << 10;

/// More than header, nonce, content type and tag of a record have in each cipher suite.
const RECORD_OVERHEAD: usize = 64;

fn encrypt<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    write: Write<'_>,
    output: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut try_write = |space: &mut [u8]| match write {
        Write::Data(data) => traffic.encrypt(data, space),
        Write::CloseNotify => traffic.queue_close_notify(space),
    };
    let mut size = match write {
        Write::Data(data) => data.len() + (data.len() / MAX_FRAGMENT + 2) * RECORD_OVERHEAD,
        Write::CloseNotify => RECORD_OVERHEAD,
    };
    loop {
        let begin = extend(output, size)?;
        match try_write(&mut output[begin..]) {
            Ok(written) => {
                output.truncate(begin + written);
                return Ok(());
            }
            Err(error) => {
                output.truncate(begin);
                match error {
                    EncryptError::InsufficientSize(needed) if needed.required_size > size => {
                        size = needed.required_size;
                    }
                    EncryptError::InsufficientSize(_) => {
                        return Err(Failure::Unexpected("no space to encrypt"));
                    }
                    EncryptError::EncryptExhausted => return Err(Failure::KeysUsedUp),
                }
            }
        }
    }
}
