//! Private keys in the formats that OpenSSL writes.

use std::fs;
use std::process::Command;

use super::Authority;
use crate::harness::echoloop;
use crate::tools::{PATIENCE, have_tool, run_within};

/// The begin of a key file, and the command that creates it.
const KEYS: [(&str, &str); 5] = [
    (
        "-----BEGIN EC PARAMETERS-----",
        "openssl ecparam -name prime256v1 -genkey -out new.key",
    ),
    (
        "-----BEGIN EC PRIVATE KEY-----",
        "openssl ecparam -name secp384r1 -genkey -noout -out new.key",
    ),
    (
        "-----BEGIN RSA PRIVATE KEY-----",
        "openssl genrsa -traditional -out new.key 2048",
    ),
    (
        "-----BEGIN PRIVATE KEY-----",
        "openssl genpkey -algorithm ed25519 -out new.key",
    ),
    // Some servers take certificate and key from one file.
    (
        "-----BEGIN CERTIFICATE-----",
        "openssl genrsa -traditional -out new.key 2048; CERTIFY; cat new.key >> new.pem; cp new.pem new.key",
    ),
];

/// Issues `new.pem` for `new.key`.
const CERTIFY: &str = "openssl req -x509 -CA ca.pem -CAkey ca.key -key new.key -days 90 -subj /CN=localhost \
                       -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                       -addext basicConstraints=critical,CA:FALSE -out new.pem";

impl Authority {
    /// Runs a script in the directory of the files; it must succeed.
    #[track_caller]
    fn shell(&self, script: &str) {
        fs::write(self.path("ca.key"), self.issuer.key().serialize_pem()).unwrap();
        let mut command = Command::new("sh");
        let directory = self.directory.path();
        command.args(["-ec", script]).current_dir(directory);
        let output = run_within(PATIENCE, command, b"");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {error}");
    }
}

#[test]
fn keys_of_openssl_authenticate_servers_and_clients() {
    if !have_tool("openssl") {
        return;
    }
    for (begin, create) in KEYS {
        let authority = Authority::new();
        let script = match create.split_once("CERTIFY") {
            Some((before, after)) => format!("{before}{CERTIFY}{after}"),
            None => format!("{create}; {CERTIFY}"),
        };
        authority.shell(&script);
        let [certificate, key, ca] =
            ["new.pem", "new.key", "ca.pem"].map(|name| authority.text(name));
        let text = fs::read_to_string(&key).unwrap();
        assert!(text.starts_with(begin), "{create}: {text}");
        let daemon = crate::harness::Daemon::start(&[
            "-v",
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "--tls-client-ca",
            &ca,
        ]);
        let mut client = echoloop();
        client.args(["send", "--tls", "--ca", &ca, "--message", "hello"]);
        client.args(["--cert", &certificate, "--key", &key]);
        client.arg(daemon.address().to_string());
        let output = run_within(PATIENCE, client, b"");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"hello", "{begin}: {error}");
    }
}

#[test]
fn encrypted_key_is_rejected_with_a_command_that_decrypts_it() {
    if !have_tool("openssl") {
        return;
    }
    let authority = Authority::new();
    for (begin, encrypt) in [
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "openssl pkcs8 -topk8 -in key.pem -passout pass:secret -out FILE",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----",
            "openssl ec -aes128 -in key.pem -passout pass:secret -out FILE",
        ),
    ] {
        authority.shell(encrypt);
        let key = authority.text("FILE");
        assert!(fs::read_to_string(&key).unwrap().starts_with(begin));
        let mut server = echoloop();
        server.args(["serve", "--listen", "127.0.0.1:0"]);
        server.args(["--tls-cert", &authority.text("cert.pem"), "--tls-key", &key]);
        let output = run_within(PATIENCE, server, b"");
        let error = String::from_utf8(output.stderr).unwrap();
        let remedy = "openssl pkey -in FILE -out NEW";
        let expected = format!("{key}: the private key is encrypted: decrypt it with {remedy}\n");
        assert!(error.ends_with(&expected), "{error}");
        assert_eq!((error.lines().count(), output.status.code()), (1, Some(1)));
        authority.shell(&format!("{remedy} -passin pass:secret"));
        let decrypted = fs::read_to_string(authority.path("NEW")).unwrap();
        assert_eq!(
            decrypted,
            fs::read_to_string(authority.path("key.pem")).unwrap()
        );
    }
}
