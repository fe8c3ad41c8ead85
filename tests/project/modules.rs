//! Checks the map at the top of `src/lib.rs` against the imports in the source files.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library in dependency order: each may import those before it.
const ENGINE: [&str; 8] = [
    "time",
    "memory",
    "histogram",
    "protocol",
    "net",
    "reactor",
    "connection",
    "server",
];

/// The modules of the program, in the same order. Each may import the library.
const PROGRAM: [&str; 21] = [
    "wrap",
    "numbers",
    "sorting",
    "userspace",
    "json",
    "stdio",
    "stdout",
    "trace",
    "tls",
    "proxy",
    "upgrade",
    "admin",
    "doctor",
    "echo",
    "client",
    "load",
    "report",
    "lab",
    "logging",
    "cli",
    "main",
];

/// Names that only one module may use.
const ONLY_IN: [(&str, &str); 12] = [
    ("mio::", "net"),
    ("signal_hook", "net"),
    ("socket2::", "net"),
    ("clap::", "cli"),
    ("clap_complete::", "cli"),
    ("clap_mangen::", "cli"),
    ("simple_logger::", "logging"),
    ("indicatif::", "cli"),
    ("smoltcp::", "userspace"),
    ("Instant", "net"),
    ("SystemTime", "net"),
    // How digits are grouped by thousands.
    ("is_multiple_of(3)", "numbers"),
];

/// Names that modules without I/O must not use either.
const NO_IO: [&str; 5] = ["std::net", "std::fs", "std::io", "std::os", "log::"];

fn find_sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module of a file: the first component of its path below `src`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(src()).unwrap();
    let first = below.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> Option<usize> {
    let mut modules = ENGINE.iter().chain(&PROGRAM);
    modules.position(|name| *name == module)
}

/// The lines of a file that are not comments.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.starts_with("//"));
    code.map(str::to_owned).collect()
}

/// The identifiers after each occurrence of `prefix`.
fn names_after<'a>(line: &'a str, prefix: &'static str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// The modules that a line names, as `crate::module` or, in the program, `echoloop::module`.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    names_after(line, "crate::").chain(names_after(line, "echoloop::"))
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    find_sources(&src(), &mut found);
    assert!(
        found.len() > 20,
        "too few source files in {}",
        src().display()
    );
    found
}

#[test]
fn imports_run_one_way() {
    for path in all_sources() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{module} is not on the map"));
        for line in code(&path) {
            for named in named_modules(&line) {
                let other =
                    rank(named).unwrap_or_else(|| panic!("{path:?} names {named:?}: {line}"));
                assert!(other <= own, "{path:?} ({module}) imports {named}: {line}");
            }
        }
    }
}

#[test]
fn engine_modules_import_no_program_module() {
    let mut count = 0;
    for path in all_sources() {
        if !ENGINE.contains(&module_of(&path).as_str()) {
            continue;
        }
        count += 1;
        for line in code(&path) {
            for named in named_modules(&line).chain(names_after(&line, "super::")) {
                assert!(
                    !PROGRAM.contains(&named),
                    "{path:?} imports {named}: {line}"
                );
            }
        }
    }
    assert!(count > 20, "{count} files");
}

#[test]
fn each_dependency_is_named_in_one_module() {
    for path in all_sources() {
        let module = module_of(&path);
        for line in code(&path) {
            for (name, only) in ONLY_IN {
                let named = line.contains(name) && !line.contains("proptest");
                assert!(!named || module == only, "{path:?} names {name}: {line}");
            }
            if ["time", "histogram", "numbers", "protocol"].contains(&module.as_str()) {
                for name in NO_IO {
                    assert!(!line.contains(name), "{path:?} names {name}: {line}");
                }
            }
        }
    }
}

#[test]
fn tls_library_is_named_in_one_folder() {
    let folder = src().join("tls/codec");
    let mut in_folder = 0;
    for path in all_sources() {
        for line in code(&path) {
            if !line.contains("rustls") {
                continue;
            }
            assert!(path.starts_with(&folder), "{path:?} names rustls: {line}");
            in_folder += 1;
        }
    }
    assert!(in_folder > 10, "{in_folder} lines");
}

#[test]
fn library_modules_name_no_command_line_flag() {
    for path in all_sources() {
        if !ENGINE.contains(&module_of(&path).as_str()) {
            continue;
        }
        for line in code(&path) {
            let text = line.split_once('"').map_or("", |(_, text)| text);
            let flag = text.split("--").nth(1).unwrap_or_default();
            let is_flag = flag.starts_with(|c: char| c.is_ascii_lowercase());
            let is_program = text.contains("echoloop doctor");
            assert!(!is_flag && !is_program, "{path:?}: {line}");
        }
    }
}

#[test]
fn lib_rs_documents_the_engine_and_hides_the_program() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let at = lib.find("#[cfg(feature").unwrap();
    let (engine, program) = lib.split_at(at);
    assert!(!engine.contains("#["), "an attribute of an engine module");
    for module in ENGINE {
        let row = format!("| [`{module}`]");
        assert!(lib.contains(&row), "{module} is not in the table");
        let declaration = format!("\npub mod {module};\n");
        assert!(engine.contains(&declaration), "{module} is not declared");
    }
    for module in PROGRAM.into_iter().filter(|module| *module != "main") {
        let declaration = format!("#[cfg_attr(doc, doc(hidden))]\npub mod {module};\n");
        let feature = if module == "lab" { "lab" } else { "program" };
        let is_hidden =
            program.contains(&format!("#[cfg(feature = \"{feature}\")]\n{declaration}"));
        assert!(is_hidden, "{module} is not hidden");
    }
}
