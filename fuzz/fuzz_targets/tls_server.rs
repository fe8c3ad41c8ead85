//! Any bytes to a TLS session of a server and of a client, in pieces: an error or nothing, never plaintext.
#![no_main]

use arbitrary::Arbitrary;
use echoloop::tls::{ClientSettings, Codec, Identity, Pem, ServerSettings, Trust};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SETTINGS: LazyLock<(ServerSettings, ClientSettings)> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = Pem::new("cert.pem", certified.cert.pem());
    let key = Pem::new("key.pem", certified.signing_key.serialize_pem());
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    (
        ServerSettings::new(&identity, None, &[]).unwrap(),
        ClientSettings::new("localhost", Trust::Any, None, &[], true).unwrap(),
    )
});

#[derive(Arbitrary, Debug)]
struct Run {
    is_server: bool,
    /// Begin with a valid first message of a client, so that a server is in the middle of a handshake.
    after_hello: bool,
    pieces: Vec<(Vec<u8>, u8)>,
}

fuzz_target!(|run: Run| {
    let (server, client) = &*SETTINGS;
    let mut output = Vec::new();
    let mut hello = Vec::new();
    let client = Codec::connect(client, &mut hello).unwrap();
    let mut codec = if run.is_server {
        Codec::accept(server).unwrap()
    } else {
        client
    };
    let mut pieces = run.pieces;
    if run.after_hello && run.is_server {
        pieces.insert(0, (hello, 2));
    }
    let (mut scratch, mut plaintext) = (Vec::new(), Vec::new());
    codec.encrypt(b"early", &mut output).unwrap();
    for (piece, steps) in pieces {
        let mut steps = u32::from(steps);
        let result = codec.receive(
            &piece,
            &mut scratch,
            &mut plaintext,
            &mut output,
            &mut steps,
        );
        assert!(plaintext.is_empty());
        if result.is_err() {
            assert_eq!(codec.held_bytes(), 0);
            return;
        }
    }
    assert!(codec.is_handshaking() && codec.end().is_err());
    codec.close_notify(&mut output).unwrap();
});
