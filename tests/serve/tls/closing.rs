//! The end of connections: `close_notify` in each direction, FIN without it, records of `collect`, and messages that are
//! cut anywhere.

use std::io::Read;

use nix::sys::signal::Signal;

use super::{Authority, Peer, serve};
use crate::collecting::collector;
use crate::harness::{Daemon, PATIENCE};

#[test]
fn a_mebibyte_is_echoed_whatever_the_cuts() {
    let (authority, daemon) = serve(&[]);
    for options in [&["version=1.2"][..], &["version=1.3"], &["step=1000"]] {
        let Some(mut peer) = Peer::open(&authority, &daemon, options) else {
            return;
        };
        assert_eq!(peer.ask("echo 1048576"), "echoed");
    }
    let mut peer = Peer::open(&authority, &daemon, &["step=1"]).unwrap();
    assert_eq!(peer.ask("echo 5000"), "echoed");
}

#[test]
fn close_notify_of_the_client_is_answered_and_fin_follows() {
    let (authority, daemon) = serve(&[]);
    for version in ["version=1.2", "version=1.3"] {
        let Some(mut peer) = Peer::open(&authority, &daemon, &[version]) else {
            return;
        };
        peer.assert_echo();
        assert_eq!(peer.ask("unwrap"), "unwrapped");
        assert_eq!(peer.ask("tail"), "0 bytes then fin");
    }
    assert!(daemon.close_summary(1).starts_with("peer closed, "));
    assert!(daemon.close_summary(2).starts_with("peer closed, "));
}

/// Half-close as in TLS 1.3: what was sent before `close_notify` is echoed completely after it.
#[test]
fn close_notify_after_unread_echo_loses_nothing() {
    let (authority, daemon) = serve(&["--max-pending", "20KiB"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &["buffer=16384"]) else {
        return;
    };
    let text = "0123456789".repeat(9_000);
    assert_eq!(peer.ask(&format!("send {text}")), "sent");
    assert_eq!(peer.ask("close_notify"), "sent");
    assert_eq!(peer.ask("fin"), "sent");
    let end = peer.ask("end");
    assert!(end.contains(&text), "{} bytes", end.len());
    assert!(
        end.ends_with(" then close_notify"),
        "{}",
        &end[end.len() - 40..]
    );
}

#[test]
fn fin_without_close_notify_is_malformed_and_logged() {
    let (authority, daemon) = serve(&[]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    peer.assert_echo();
    assert_eq!(peer.ask("fin"), "sent");
    peer.ask("end");
    assert!(daemon.close_summary(1).starts_with("malformed, "));
    daemon.wait_for_line("why", |line| {
        line.contains("#1 TLS: the client closed the connection without close_notify")
    });
}

/// Each has its own line, also if several fail before the first of them is closed.
#[test]
fn each_failed_session_is_logged_with_its_reason() {
    let (authority, daemon) = serve(&[]);
    let peers: Option<Vec<_>> = (0..4)
        .map(|_| Peer::open(&authority, &daemon, &[]))
        .collect();
    let Some(mut peers) = peers else { return };
    for peer in &mut peers {
        // A record that cannot be decrypted. The connection lingers after the alert.
        peer.ask("partial 100");
        assert_eq!(peer.ask("partial 100"), "sent");
    }
    for number in 1..=4 {
        daemon.wait_for_line("the reason", |line| {
            line.contains(&format!(
                "#{number} TLS: a record of the client cannot be decrypted"
            ))
        });
    }
}

/// A server with `-p collect`, and what it writes.
fn collect(extra: &[&str]) -> (Authority, Daemon, std::io::PipeReader) {
    let authority = Authority::new();
    let flags = authority.flags(extra);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let (daemon, output) = collector(&flags[1..]);
    (authority, daemon, output)
}

/// Drains the server, and returns all that it has written.
fn written(mut daemon: Daemon, mut output: std::io::PipeReader) -> String {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn close_notify_is_the_end_and_the_receipt_of_a_record() {
    let (authority, daemon, output) = collect(&[]);
    for options in [&["version=1.2"][..], &["version=1.3"], &["step=1"]] {
        let Some(mut peer) = Peer::open(&authority, &daemon, options) else {
            return;
        };
        assert_eq!(peer.ask("send one "), "sent");
        assert_eq!(peer.ask("send record\\n"), "sent");
        assert_eq!(peer.ask("unwrap"), "unwrapped");
        assert_eq!(peer.ask("tail"), "0 bytes then fin");
    }
    assert_eq!(written(daemon, output), "one record\n".repeat(3));
}

#[test]
fn record_without_close_notify_is_reset_and_not_written() {
    let (authority, daemon, output) = collect(&[]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    assert_eq!(peer.ask("send not complete"), "sent");
    assert_eq!(peer.ask("fin"), "sent");
    assert_eq!(peer.ask("end"), "b'' then reset");
    assert!(daemon.close_summary(1).starts_with("malformed, "));
    assert_eq!(written(daemon, output), "");
}

/// `close_notify` would be the receipt of a record that was not written.
#[test]
fn idle_client_of_collect_is_reset_without_close_notify() {
    let (authority, daemon, output) = collect(&["--idle-timeout", "3s"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    assert_eq!(peer.ask("send not complete"), "sent");
    assert_eq!(peer.ask("end"), "b'' then reset");
    assert!(daemon.close_summary(1).starts_with("idle, "));
    assert_eq!(written(daemon, output), "");
}

#[test]
fn drain_resets_a_client_of_collect_without_close_notify() {
    let (authority, mut daemon, _output) = collect(&[]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    assert_eq!(peer.ask("send not complete"), "sent");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(peer.ask("end"), "b'' then reset");
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn record_above_the_limit_is_reset_without_close_notify() {
    let (authority, daemon, output) = collect(&["--max-message", "1000"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let text = "x".repeat(2000);
    assert_eq!(peer.ask(&format!("send {text}")), "sent");
    assert_eq!(peer.ask("end"), "b'' then reset");
    assert!(daemon.close_summary(1).starts_with("too long, "));
    assert_eq!(written(daemon, output), "");
}

#[test]
fn large_record_is_written_once_and_completely() {
    let (authority, daemon, mut output) = collect(&["--max-message", "4MiB"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let text = "0123456789abcdef".repeat(50_000);
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        output.read_to_string(&mut all).unwrap();
        all
    });
    assert_eq!(peer.ask(&format!("send {text}")), "sent");
    assert_eq!(peer.ask("unwrap"), "unwrapped");
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    assert!(reader.join().unwrap() == text);
}

#[test]
fn lines_and_frames_may_be_cut_anywhere_and_across_records() {
    for (protocol, message, reply, end) in [
        ("line", "abcdef\\n", "ECHO abcdef\\n", "ECHO abcdef"),
        ("frame:2", "\\x00\\x06abcdef", "\\x00\\x06abcdef", ""),
    ] {
        let (authority, daemon) = serve(&["-p", protocol]);
        for options in [&["step=1"][..], &["step=7"], &[]] {
            let Some(mut peer) = Peer::open(&authority, &daemon, options) else {
                return;
            };
            // A record for each character.
            let mut rest = message;
            while !rest.is_empty() {
                let length = match rest.as_bytes() {
                    [b'\\', b'x', ..] => 4,
                    [b'\\', ..] => 2,
                    _ => 1,
                };
                let (piece, after) = rest.split_at(length);
                assert_eq!(peer.ask(&format!("send {piece}")), "sent");
                rest = after;
            }
            assert_eq!(peer.ask(&format!("expect {reply}")), "received");
            // Several messages in one record, and the beginning of the next.
            let several = format!(
                "send {}{}",
                message.repeat(3),
                &message[..message.len() - 2]
            );
            assert_eq!(peer.ask(&several), "sent");
            let replies = format!("expect {}", reply.repeat(3));
            assert_eq!(peer.ask(&replies), "received");
            // An incomplete line is a line at the end, an incomplete frame is none.
            assert_eq!(peer.ask("close_notify"), "sent");
            assert_eq!(peer.ask("end"), format!("b'{end}' then close_notify"));
        }
    }
}
