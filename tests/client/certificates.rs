//! Certificates for tests, as files, and a server of TLS in python3.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use tempfile::TempDir;

/// The files of two authorities: `ca.pem`, with the certificates `server.pem`, for 127.0.0.1, `localhost` and
/// `server.test`, and `client.pem`, and their keys `server.key` and `client.key`; and `other-ca.pem`.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let files = Certificates(tempfile::tempdir().unwrap());
        let authority = authority("Authority");
        files.write("ca.pem", &authority.pem());
        files.write("other-ca.pem", &self::authority("Other").pem());
        for (name, hosts) in [
            ("server", &["127.0.0.1", "localhost", "server.test"][..]),
            ("client", &["client.test"]),
        ] {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(hosts).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            files.write(&format!("{name}.pem"), &certificate.pem());
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The flags of a server, and more.
    pub(crate) fn serve<'a>(&self, more: &[&'a str]) -> Vec<String> {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let mut flags = vec!["--tls-cert".to_owned(), certificate, "--tls-key".to_owned()];
        flags.push(key);
        flags.extend(more.iter().map(|&flag: &&'a str| flag.to_owned()));
        flags
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The strings as `&str`.
pub(crate) fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// A server that prints its port; arguments: certificate, key, what it does. It echoes until `close_notify` (`echo`),
/// answers requests of HTTP (`http`), sends FIN without `close_notify` after its first reply (`cut`), does not reply
/// (`hang`), or accepts without a handshake (`deaf`).
pub(crate) const PYTHON_TLS: &str = "
import socket, ssl, sys, threading
certificate, key, what = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
kept = []
def serve(plain):
    kept.append(plain)
    if what == 'deaf':
        return
    try:
        stream = context.wrap_socket(plain, server_side=True)
        kept.append(stream)
        while data := stream.recv(65536):
            if what == 'hang':
                threading.Event().wait()
            if what == 'http':
                for _ in range(data.count(b'\\r\\n\\r\\n')):
                    stream.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
                continue
            stream.sendall(data)
            if what == 'cut':
                stream.shutdown(socket.SHUT_WR)
                return
        stream.unwrap().close()
    except OSError:
        plain.close()
listener = socket.create_server(('127.0.0.1', 0), backlog=100)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";
