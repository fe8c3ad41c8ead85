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

/// The dependencies of this package in its manifest, without those of its tests.
fn manifest_dependencies() -> BTreeSet<String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--locked", "--offline", "--no-deps"])
        .args(["--format-version", "1"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let dependencies = metadata.pointer("/packages/0/dependencies").unwrap();
    let dependencies = dependencies.as_array().unwrap().iter();
    let used = dependencies.filter(|dependency| dependency["kind"] != "dev");
    used.map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The dependencies of this package in the lock file of the fuzz targets, which the build of this package does not read.
fn locked_for_fuzzing() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.lock");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, entry) = text.split_once("\nname = \"echoloop\"\n").unwrap();
    let (_, list) = entry.split_once("dependencies = [\n").unwrap();
    let (list, _) = list.split_once("]\n").unwrap();
    // An entry is the name, and the version if there are several.
    let names = list.lines().filter_map(|line| line.split('"').nth(1));
    let names = names.filter_map(|name| name.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn lock_file_of_fuzz_targets_has_the_current_dependencies() {
    let expected = manifest_dependencies();
    assert!(expected.contains("mio"), "{expected:?}");
    assert_eq!(
        locked_for_fuzzing(),
        expected,
        "run `cargo metadata >/dev/null` in fuzz"
    );
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
    let names = [
        "clap",
        "hdrhistogram",
        "indicatif",
        "maud",
        "ring",
        "rustls",
        "serde",
        "time",
    ];
    for name in names {
        assert!(all.contains(name), "{name}");
        assert!(!library.contains(name), "{name}");
    }
}
