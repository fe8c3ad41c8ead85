//! Scripts over TLS against Redis, which uses OpenSSL.

use crate::certificates::Certificates;
use crate::real_servers::redis_over_tls;
use crate::run::script_file;
use crate::tls::{handshakes, passed, run};

#[test]
fn scripts_verify_redis_over_tls_with_client_certificates() {
    let files = Certificates::new();
    let Some(server) = redis_over_tls(&files) else {
        return;
    };
    let script = script_file(
        r#"
[hello]
send = "CLIENT SETNAME load-{connection}\r\n"
expect = { resp = true, equals = "+OK\r\n" }
[message]
send = "ECHO {connection}-{sequence}\r\n"
expect = { resp = true, ends_with = "\r\n{connection}-{sequence}\r\n" }
[keepalive]
every = "1s"
send = "PING\r\n"
expect = { resp = true, equals = "+PONG\r\n" }
"#,
    );
    let (certificate, key) = (files.path("client.pem"), files.path("client.key"));
    let shape = ["--idle", "100", "-c", "10", "-d", "2s"];
    let identity = ["--cert", &certificate, "--key", &key];
    for script in ["redis", script.path().to_str().unwrap()] {
        let flags = [&["--script", script], &shape[..], &identity].concat();
        let result = passed(&run(&server.address, &files, &flags));
        assert_eq!(handshakes(&result).full, 110, "{result:#?}");
        let echo = &result.echo;
        assert!(echo.received > 0, "{result:#?}");
        assert_eq!((echo.mismatched, echo.unanswered), (0, 0), "{result:#?}");
        let probe = &result.probe;
        assert_eq!((probe.asked, probe.alive), (100, 100), "{result:#?}");
        assert_eq!(result.keepalive.mismatched, 0, "{result:#?}");
        assert_eq!(result.connections.lost, 0, "{result:#?}");
        let has_keepalive = script != "redis";
        assert_eq!(result.keepalive.received > 0, has_keepalive, "{result:#?}");
    }
    let without = [&["--script", "redis"], &shape[..]].concat();
    let failed = run(&server.address, &files, &without);
    assert_eq!(failed.result().connections.opened, 0, "{failed:#?}");
    assert!(failed.stderr.contains("--cert F"), "{failed:#?}");
}
