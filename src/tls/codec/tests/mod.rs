//! Both sides against each other, with ciphertext that is cut, truncated, altered or not TLS at all.

mod cuts;
mod floods;
mod handshakes;
mod settings;

use super::{ClientSettings, Codec, Identity, Progress, ServerSettings, Trust};
use crate::tls::certificates::Authority;
use crate::tls::error::{TlsError, TlsErrorKind};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::sync::LazyLock;

const NAME: &str = "localhost";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority and the settings of its server, for the tests that require no others.
struct Common {
    authority: Authority,
    server: ServerSettings,
}

static COMMON: LazyLock<Common> = LazyLock::new(|| {
    let authority = Authority::new("test authority");
    let server = server_of(&authority, None, &[]);
    Common { authority, server }
});

fn server_of(
    authority: &Authority,
    client_ca: Option<&Authority>,
    alpn: &[&str],
) -> ServerSettings {
    let (certificate, key) = authority.issue(&[NAME, "127.0.0.1"]);
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let client_ca = client_ca.map(Authority::pem);
    ServerSettings::new(&identity, client_ca.as_ref(), &owned(alpn)).unwrap()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A client of the common server with one version.
fn client(version: &'static SupportedProtocolVersion) -> ClientSettings {
    let ca = COMMON.authority.pem();
    let trust = Trust::Authorities(&ca);
    ClientSettings::with_versions(&[version], NAME, trust, None, &[], false).unwrap()
}

/// One side of a conversation.
struct Side {
    codec: Codec,
    received: Vec<u8>,
    output: Vec<u8>,
    scratch: Vec<u8>,
    progress: Progress,
    error: Option<TlsError>,
}

impl Side {
    fn server(settings: &ServerSettings) -> Side {
        Side::new(Codec::accept(settings).unwrap(), Vec::new())
    }

    fn client(settings: &ClientSettings) -> Side {
        let mut output = Vec::new();
        let codec = Codec::connect(settings, &mut output).unwrap();
        Side::new(codec, output)
    }

    fn new(codec: Codec, output: Vec<u8>) -> Side {
        Side {
            codec,
            received: Vec::new(),
            output,
            scratch: Vec::new(),
            progress: Progress::default(),
            error: None,
        }
    }

    /// Passes ciphertext. After an error the rest is ignored, as a connection does.
    fn receive(&mut self, ciphertext: &[u8]) {
        self.receive_steps(ciphertext, &mut 1000);
    }

    fn receive_steps(&mut self, ciphertext: &[u8], steps: &mut u32) {
        if self.error.is_some() {
            return;
        }
        let result = self.codec.receive(
            ciphertext,
            &mut self.scratch,
            &mut self.received,
            &mut self.output,
            steps,
        );
        assert!(self.scratch.is_empty(), "scratch memory holds data");
        match result {
            Ok(progress) => {
                let established = self.progress.established || progress.established;
                self.progress = progress;
                self.progress.established = established;
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn encrypt(&mut self, plaintext: &[u8]) {
        self.codec.encrypt(plaintext, &mut self.output).unwrap();
    }

    fn close_notify(&mut self) {
        self.codec.close_notify(&mut self.output).unwrap();
    }

    fn error_kind(&self) -> Option<TlsErrorKind> {
        self.error.as_ref().map(TlsError::kind)
    }

    fn error_text(&self) -> String {
        self.error
            .as_ref()
            .map_or(String::new(), TlsError::to_string)
    }
}

/// Passes output in pieces until both sides are silent. `cut` gets the length of what is left, and returns that of
/// the next piece.
fn exchange(client: &mut Side, server: &mut Side, mut cut: impl FnMut(usize) -> usize) {
    loop {
        let to_server = std::mem::take(&mut client.output);
        let to_client = std::mem::take(&mut server.output);
        if to_server.is_empty() && to_client.is_empty() {
            return;
        }
        for (side, bytes) in [(&mut *server, to_server), (&mut *client, to_client)] {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                side.receive(piece);
                rest = after;
            }
        }
    }
}

fn whole(length: usize) -> usize {
    length
}

/// Two sides after their handshake.
fn established(client: &ClientSettings, server: &ServerSettings) -> (Side, Side) {
    let (mut client, mut server) = (Side::client(client), Side::server(server));
    exchange(&mut client, &mut server, whole);
    assert_eq!(
        (client.error_text(), server.error_text()),
        Default::default()
    );
    assert!(client.progress.established && server.progress.established);
    (client, server)
}
