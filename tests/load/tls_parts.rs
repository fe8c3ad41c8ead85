//! `--part` over TLS: saved files, and what `report` makes of them.

use crate::certificates::Certificates;
use crate::parts::{WHOLE, assert_whole, start};
use crate::run::{Output, Running, echoloop};
use crate::schema::assert_valid;
use crate::tls::{Server, handshakes};
use echoloop::load::{Distribution, Saved};
use std::fs;

#[test]
fn parts_over_tls_are_merged_from_their_files() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = |part: &str| {
        let name = format!("part-{}.json", &part[..1]);
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let (ca, start) = (files.path("ca.pem"), start());
    let running = ["1/2", "2/2"].map(|part| {
        let fixed = ["load", &server.address, "--tls", "--ca", &ca];
        let of_part = ["--part", part, "--start-at", &start, "--save", &file(part)];
        Running::start(echoloop(&[&fixed[..], &of_part, &WHOLE].concat()))
    });
    for output in running.map(Running::finish) {
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    let paths = ["1/2", "2/2"].map(file);
    let parts = paths.each_ref().map(|path| {
        let text = fs::read_to_string(path).unwrap();
        assert_valid("saved", &text);
        serde_json::from_str::<Saved>(&text).unwrap()
    });
    let report = |more: &[&str]| {
        let fixed = ["report", &paths[0], &paths[1], "--parts", "2"];
        let output = Running::start(echoloop(&[&fixed[..], more].concat())).finish();
        assert_eq!(output.code, Some(0), "{output:#?}");
        output
    };
    let merged: Output = report(&["-o", "json", "--expect", "handshake_p99<60s"]);
    let merged = merged.result();
    assert_whole(&parts, &merged);
    let counts = handshakes(&merged);
    assert_eq!((counts.full, counts.resumed), (110, 0));
    let mut times = Distribution::new();
    for part in &parts {
        assert!(part.configuration.tls && handshakes(&part.result).full == 55);
        times.add(&part.histograms.handshake_us);
    }
    assert_eq!(merged.connect.handshake_us, Some(times.summary()));
    let text = report(&[]);
    let line = "\nTLS handshakes  110 full, 0 resumed\n";
    assert!(text.stdout.contains(line), "{text:#?}");
}
