//! Connections in user space beside active ones with kernel sockets; their results saved, merged, and as a page.

use crate::parts::{report, saved_line, start};
use crate::run::{Running, echoloop};
use crate::schema::assert_valid;
use crate::userspace_hosts::{Serve, assert_all_alive, in_tun_network, load_over_tun};
use echoloop::load::{LoadResult, Saved};
use nix::sys::signal::Signal;
use std::fs;

#[test]
fn active_connections_have_kernel_sockets_beside_idle_ones_in_user_space() {
    let name =
        "userspace_results::active_connections_have_kernel_sockets_beside_idle_ones_in_user_space";
    in_tun_network(name, || {
        let server = Serve::start(&[]);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (file, page) = (path("run.json"), path("run.html"));
        let counts = [
            "--active", "50", "--idle", "10k", "--rate", "1k", "-d", "1s",
        ];
        let expect = ["--expect", "alive=100%", "--expect", "lost=0"];
        let files = ["--save", &file, "--report", &page];
        let output = load_over_tun(&server.address, &[&counts[..], &expect, &files].concat());
        let result = assert_all_alive(&output, 10_000);
        assert_valid("result", &output.stdout);
        assert_eq!(result.connections.asked, 10_050);
        assert_eq!((result.echo.due, result.echo.unanswered), (1000, 0));
        assert!(result.echo.received > 0, "{result:#?}");
        assert!(result.expect.iter().all(|one| one.met), "{result:#?}");
        assert_eq!(result.expect.len(), 2);

        let saved = fs::read_to_string(&file).unwrap();
        assert_valid("saved", &saved);
        let saved: Saved = serde_json::from_str(&saved).unwrap();
        assert_eq!(saved.result.userspace_tcp, result.userspace_tcp);
        let page = fs::read_to_string(&page).unwrap();
        assert!(page.contains("10,000") && page.ends_with("</html>\n"));

        let shown = Running::start(echoloop(&["report", &file])).finish();
        assert_eq!(shown.code, Some(0), "{shown:#?}");
        for line in [
            "10,050 requested, 10,050 established, 0 failed, 0 lost\n",
            "10,000 idle probed, 10,000 alive, 0 dead, 0 mismatched\n",
        ] {
            assert!(shown.stdout.contains(line), "{shown:#?}");
        }
    });
}

#[test]
fn merged_results_sum_packets_and_causes() {
    let name = "userspace_results::merged_results_sum_packets_and_causes";
    in_tun_network(name, || {
        let mut server = Serve::start(&[]);
        let target = server.address.clone();
        let start = start();
        let part = |part: &str, prefix: &str| {
            let fixed = ["load", &target, "--userspace-tcp", "--prefix", prefix];
            let part = ["--part", part, "--save", "-", "--start-at", &start];
            let size = ["--idle", "1001", "-d", "3s", "--warmup", "0"];
            Running::start(echoloop(&[&fixed[..], &part, &size].concat()))
        };
        // Each part has its own interface, so its own prefix.
        let parts = [part("1/2", "198.18.0.0/16"), part("2/2", "198.19.0.0/16")];
        let parts = parts.map(|mut part| {
            part.wait_for_the_first_second();
            part
        });
        server.end_by(Signal::SIGKILL);
        let outputs = parts.map(Running::finish);
        let lines = outputs.map(|output| {
            assert_eq!(output.code, Some(3), "{output:#?}");
            output.stdout
        });
        let results = lines.each_ref().map(|line| saved_line(line).result);
        let (code, merged, stderr) = report(&lines.concat(), &["--parts", "2", "-o", "json"]);
        assert_eq!(code, Some(0), "{stderr}");
        assert_valid("result", &merged);
        let merged: LoadResult = serde_json::from_str(&merged).unwrap();
        let [one, other] = results
            .each_ref()
            .map(|result| result.userspace_tcp.unwrap());
        assert!(one.packets_sent > 1000 && other.packets_sent > 1000);
        assert_eq!(merged.userspace_tcp, Some(one + other));
        let connections = &merged.connections;
        let counts = (connections.asked, connections.opened, connections.lost);
        assert_eq!(counts, (1001, 1001, 1001), "{merged:#?}");
        assert_eq!(connections.lost_by.fin, 1001, "{merged:#?}");
    });
}
