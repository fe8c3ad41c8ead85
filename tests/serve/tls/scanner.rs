//! sslyze: the settings are those of Mozilla's intermediate profile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{port, serve};
use crate::tools::{lacking, run_within};

/// The Python of the environment that `.ci/run` creates, if it has a module.
pub(super) fn python_with(module: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/tools/venv/bin/python3");
    let mut import = Command::new(&python);
    let import = import.args(["-c", &format!("import {module}")]).output();
    let found = import.is_ok_and(|output| output.status.success());
    let remedy = format!("target/tools/venv has no {module}: .ci/run installs it");
    (found || lacking(&remedy)).then_some(python)
}

#[test]
fn settings_comply_with_the_intermediate_profile_of_mozilla() {
    let Some(python) = python_with("sslyze") else {
        return;
    };
    let (authority, daemon) = serve(&[]);
    let mut scan = Command::new(python);
    scan.args([
        "-m",
        "sslyze",
        "--mozilla_config=intermediate",
        "--certinfo_ca_file",
    ]);
    scan.arg(authority.path("ca.pem"));
    scan.args([
        "--certinfo",
        "--tlsv1_2",
        "--tlsv1_3",
        "--sslv2",
        "--sslv3",
        "--tlsv1",
        "--tlsv1_1",
    ]);
    scan.args([
        "--reneg",
        "--compression",
        "--heartbleed",
        "--openssl_ccs",
        "--fallback",
        "--robot",
        "--resum",
    ]);
    scan.args(["--elliptic_curves", "--ems", "--early_data"]);
    scan.arg(format!("localhost:{}", port(&daemon)));
    let output = run_within(Duration::from_secs(120), scan, b"");
    let text = String::from_utf8_lossy(&output.stdout);
    let complies = text.contains("OK - Compliant");
    assert!(output.status.success() && complies, "{text}");
    assert!(!text.contains("VULNERABLE -"), "{text}");
    let mut peer = super::Peer::open(&authority, &daemon, &[]).unwrap();
    peer.assert_echo();
}
