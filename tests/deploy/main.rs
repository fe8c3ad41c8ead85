//! The recipes in `deploy/`: a load from several hosts with one merged result.
//!
//! - [`slurm`]: the batch script, submitted to a cluster of four nodes on this machine.
//! - [`cluster`]: that cluster.
//! - [`remote`]: the scripts for `pdsh` and GNU parallel, with a local shell in place of ssh.
//! - [`kubernetes`]: the manifests, built and validated.
//! - [`server`]: the server under load.
//! - [`results`]: what the parts saved, added up independently.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic with its message reports the failure of a test"
)]

mod cluster;
mod kubernetes;
mod remote;
mod results;
mod server;
mod slurm;
#[path = "../serve/tools.rs"]
mod tools;

use std::path::PathBuf;

/// The program under test.
const ECHOLOOP: &str = env!("CARGO_BIN_EXE_echoloop");

/// A file of a recipe.
fn recipe(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "deploy", name]
        .iter()
        .collect()
}
