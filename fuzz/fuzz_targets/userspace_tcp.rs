//! Any packets, calls and timeouts: each packet has the outcome that a model of RFC 9293 and RFC 5961 defines. The steps
//! and the model are those of the tests.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/userspace_tcp/checked.rs"]
mod checked;
#[path = "../../tests/userspace_tcp/model.rs"]
mod model;
#[path = "../../tests/userspace_tcp/steps.rs"]
mod steps;
#[path = "../../tests/userspace_tcp/wire.rs"]
mod wire;

/// `smoltcp` accepts all checksums if it is compiled with `--cfg fuzzing`, as cargo-fuzz does.
const IGNORES_CHECKSUMS: bool = true;

fuzz_target!(|bytes: &[u8]| steps::run(bytes));
