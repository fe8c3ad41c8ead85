//! The crates that a dependent compiles for the library without the program.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

/// The most crates of the library, itself included.
const MOST_CRATES: usize = 25;

/// The names of all crates of a normal build, `echoloop` included.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--edges=normal"])
        .args(["--prefix=none", "--no-dedupe", "--format={p}"])
        .args(features)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn library_has_at_most_25_crates() {
    let crates = crates(&["--no-default-features"]);
    assert!(crates.contains("echoloop") && crates.contains("mio"));
    let count = crates.len();
    assert!(count <= MOST_CRATES, "{count} crates: {crates:?}");
}

#[test]
fn crates_of_the_program_are_not_those_of_the_library() {
    let all = crates(&[]);
    let library = crates(&["--no-default-features"]);
    for name in ["clap", "hdrhistogram", "indicatif", "maud", "serde", "time"] {
        assert!(all.contains(name), "{name}");
        assert!(!library.contains(name), "{name}");
    }
}
