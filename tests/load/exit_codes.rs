//! Exit code 3 without `--expect`, one failure at a time; and an expectation on a figure replaces its default.

use crate::limits::load_with_fds;
use crate::run::{Output, Running, echoloop, load};
use crate::servers::{Fate, serve};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Exits with 3 and this reason, and with 0 if an expectation accepts it.
#[track_caller]
fn assert_fails(arguments: &[&str], reason: &str, accepting: &str, refusing: &str) {
    let output = load(arguments);
    assert_eq!(output.code, Some(3), "{output:#?}");
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains(reason), "{output:#?}");
    assert!(last.starts_with("echoloop: "), "{output:#?}");
    let accepted = load(&[arguments, &["--expect", accepting]].concat());
    assert_eq!(accepted.code, Some(0), "{accepting}: {accepted:#?}");
    let refused = load(&[arguments, &["--expect", refusing]].concat());
    assert_eq!(refused.code, Some(3), "{refusing}: {refused:#?}");
}

#[test]
fn failed_connection_is_exit_code_3() {
    let server = serve(|_| Fate::Answered).to_string();
    let run = |expect: &[&str]| -> Output {
        let usual = [
            &server,
            "--idle",
            "100",
            "--duration",
            "100ms",
            "--warmup",
            "0",
        ];
        load_with_fds(64, &[&usual[..], expect].concat())
    };
    let output = run(&[]);
    assert_eq!(output.code, Some(3), "{output:#?}");
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("connections failed"), "{output:#?}");
    assert_eq!(run(&["--expect", "failed<=60"]).code, Some(0));
    assert_eq!(run(&["--expect", "failed<=30"]).code, Some(3));
    assert_eq!(run(&["--expect", "lost=0"]).code, Some(3), "another figure");
}

#[test]
fn lost_connections_are_exit_code_3() {
    let run = |expect: &[&str]| -> Output {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let held: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let accepted = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming().take(20) {
                let stream = stream.unwrap();
                let (mut reader, mut writer) =
                    (stream.try_clone().unwrap(), stream.try_clone().unwrap());
                accepted.lock().unwrap().push(stream);
                thread::spawn(move || std::io::copy(&mut reader, &mut writer));
            }
        });
        let usual = [
            "load",
            &server,
            "--idle",
            "20",
            "--duration",
            "3s",
            "--warmup",
            "0",
        ];
        let mut load = Running::start(echoloop(&[&usual[..], expect].concat()));
        load.wait_for_the_first_second();
        for stream in &held.lock().unwrap()[..3] {
            stream.shutdown(Shutdown::Both).unwrap();
        }
        load.finish()
    };
    let output = run(&[]);
    assert_eq!(output.code, Some(3), "{output:#?}");
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("3 connections lost"), "{output:#?}");
    assert!(!last.contains("dead"), "counted once: {output:#?}");
    assert_eq!(run(&["--expect", "lost<5"]).code, Some(0));
    assert_eq!(run(&["--expect", "lost<3"]).code, Some(3));
}

#[test]
fn wrong_reply_is_exit_code_3() {
    let server = serve(|message| {
        message.bytes[77] ^= u8::from(message.number == 5);
        Fate::Answered
    });
    let server = server.to_string();
    let arguments = [&server, "--active", "1", "--rate", "100", "--warmup", "0"];
    let arguments = [&arguments[..], &["--duration", "200ms"]].concat();
    assert_fails(
        &arguments,
        "1 replies wrong",
        "mismatched<2",
        "mismatched<1",
    );
}

#[test]
fn missing_reply_is_exit_code_3() {
    let server = serve(|message| {
        if message.connection % 4 == 1 && message.number == 5 {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let server = server.to_string();
    let arguments = [
        &server,
        "--active",
        "4",
        "--warmup",
        "0",
        "--duration",
        "500ms",
    ];
    assert_fails(&arguments, "1 replies missing", "missing<2", "missing<1");
}

#[test]
fn dead_idle_connection_is_exit_code_3() {
    let server = serve(|message| {
        let is_proof = message.number == 0 && message.connection % 20 == 15;
        if message.connection % 20 == 3 && !is_proof {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let server = server.to_string();
    let arguments = [
        &server,
        "--idle",
        "20",
        "--warmup",
        "0",
        "--duration",
        "100ms",
    ];
    let arguments = [&arguments[..], &["--connect-timeout", "3s"]].concat();
    let reason = "1 idle connections dead";
    assert_fails(&arguments, reason, "alive>=95%", "alive=100%");
}
