//! The admin listener during an upgrade: the old process closes it, the new one opens its own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use super::failures::LONG;
use super::{Clients, Upgradable};
use crate::admin::{free_address, get, scrape, wait_for};
use crate::client::{assert_echo, connect, read_to_fin};
use crate::tools::have_tool;

#[test]
fn new_process_serves_admin_on_the_same_address() {
    let admin = free_address();
    let server = Upgradable::start(&["--admin", &admin.to_string()]);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_echo(client, b"before");
    }
    let mut kept = connect(admin);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(kept.read(&mut [0; 1000]).unwrap() > 0);
    let started = scrape(admin, "process_start_time_seconds");
    for round in 1..=2 {
        let output = server.upgrade();
        assert!(
            output.status.success(),
            "{output:?} {:#?}",
            server.daemon.lines()
        );
        wait_for(
            admin,
            "echoloop_upgrades_total{result=\"done\"}",
            f64::from(round),
        );
    }
    assert!(scrape(admin, "process_start_time_seconds") > started);
    assert!((scrape(admin, "echoloop_connections_open") - 3.0).abs() < 1e-9);
    assert!((scrape(admin, "echoloop_connections_opened_total") - 3.0).abs() < 1e-9);
    assert_eq!(
        read_to_fin(&mut kept),
        b"",
        "admin connections are not passed on"
    );
    for client in &mut clients {
        assert_echo(client, b"after");
    }
}

#[test]
fn totals_of_messages_and_bytes_continue() {
    let admin = free_address();
    let flags = ["-p", "line", "--prefix", "", "--admin", &admin.to_string()];
    let server = Upgradable::start(&flags);
    let mut clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for (round, lines) in [(0, 2.0), (1, 4.0), (2, 5.0)] {
        if round > 0 {
            let output = server.upgrade();
            assert!(output.status.success(), "{output:?}");
            wait_for(
                admin,
                "echoloop_upgrades_total{result=\"done\"}",
                f64::from(round),
            );
        }
        for client in &mut clients {
            assert_echo(client, b"a line\n");
        }
        if round == 1 {
            // Its counts are those of a closed connection from now on.
            let mut closed = clients.pop().unwrap();
            closed.shutdown(Shutdown::Write).unwrap();
            read_to_fin(&mut closed);
        }
        for (sample, expected) in [
            ("echoloop_received_messages_total", lines),
            ("echoloop_sent_messages_total", lines),
            ("echoloop_received_bytes_total", 7.0 * lines),
            ("echoloop_sent_bytes_total", 7.0 * lines),
            ("echoloop_connections_opened_total", 2.0),
        ] {
            wait_for(admin, sample, expected);
        }
    }
}

#[test]
fn admin_is_open_again_after_an_upgrade_that_failed() {
    if !have_tool("python3") {
        return;
    }
    let admin = free_address();
    let flags = [
        "-p",
        "line",
        "--upgrade-timeout",
        LONG,
        "--admin",
        &admin.to_string(),
    ];
    let server = Upgradable::start(&flags);
    let mut clients = Clients::connect(&server, 3);
    // Both fail after the old process has closed its listener.
    for (round, (mode, reason)) in [
        (1, ("register", "No space left")),
        (2, ("killed", "has ended")),
    ] {
        server.install_script(mode);
        let output = server.upgrade();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(reason),
            "{error}"
        );
        wait_for(
            admin,
            "echoloop_upgrades_total{result=\"failed\"}",
            f64::from(round),
        );
        assert_eq!(get(admin, "/healthz").body, "ok\n");
        clients.finish_lines();
    }
}

#[test]
fn upgrade_fails_if_the_new_process_cannot_serve_admin() {
    let admin = free_address();
    let flags = [
        "-p",
        "line",
        "--upgrade-timeout",
        LONG,
        "--admin",
        &admin.to_string(),
    ];
    let server = Upgradable::start(&flags);
    let mut clients = Clients::connect(&server, 3);
    let taken = TcpListener::bind("127.0.0.79:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let real = server.path("real");
    let script = format!(
        "#!/bin/sh\nexec {} serve -p line --pid-file {} --admin {busy}\n",
        real.display(),
        server.path("pid").display(),
    );
    server.install(script.as_bytes(), 0o755);
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    let reason = format!("the new process cannot take over: cannot serve admin on {busy}: ");
    assert!(
        !output.status.success() && error.contains(&reason),
        "{error}"
    );
    clients.finish_lines();
    wait_for(admin, "echoloop_upgrades_total{result=\"failed\"}", 1.0);
}
