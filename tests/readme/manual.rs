//! Manual pages and completions: complete, and accepted by the programs that read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::echoloop;
use crate::tools::{have_tool, run};

/// The subcommands that the help shows.
fn subcommands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let names = after
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help");
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() >= 6, "{help}");
    names
}

/// The subcommands of `lab` that its help shows.
fn parts_of_lab() -> Vec<String> {
    let help = printed(&["lab", "--help"]);
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

/// The output of a run that succeeds without a message on stderr.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = run(echoloop(arguments), b"");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    assert_eq!(message, "");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the manual pages into `folder` and returns their file names.
fn pages(folder: &Path) -> Vec<String> {
    printed(&["manual", folder.to_str().unwrap()]);
    let files = fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The output of a program that renders a manual page without a message on stderr.
#[track_caller]
fn rendered(mut reader: Command, page: &Path) -> String {
    // The width, so that no line of an example is broken; some systems have no other locale.
    reader
        .arg(page)
        .env("MANWIDTH", "150")
        .env("LC_ALL", "C.UTF-8");
    let output = run(reader, b"");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {message}", page.display());
    assert_eq!(message, "", "{}", page.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn manual_has_a_page_for_each_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = vec!["echoloop.1".to_owned()];
    expected.extend(
        subcommands()
            .iter()
            .map(|name| format!("echoloop-{name}.1")),
    );
    let parts = parts_of_lab();
    assert_eq!(parts.len(), 4, "{parts:?}");
    expected.extend(parts.iter().map(|name| format!("echoloop-lab-{name}.1")));
    expected.sort();
    assert_eq!(pages(&folder.path().join("not/yet/there")), expected);
}

#[test]
fn groff_accepts_every_page() {
    if !have_tool("groff") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for page in pages(folder.path()) {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-ww", "-z", "-K", "utf8"]);
        assert_eq!(rendered(groff, &folder.path().join(page)), "");
    }
}

#[test]
fn man_shows_every_flag_and_example_of_the_help() {
    if !have_tool("man") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    pages(folder.path());
    for name in subcommands() {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"]);
        let page = folder.path().join(format!("echoloop-{name}.1"));
        let shown = without_overstrikes(&rendered(man, &page));
        let help = printed(&[&name, "--help"]);
        for flag in flags(&help) {
            assert!(shown.contains(&flag), "{flag} in {shown}");
        }
        let examples = examples(&help);
        assert!(examples.len() >= 2, "{help}");
        let (_, below) = shown.split_once("\nEXAMPLES\n").unwrap();
        for example in examples {
            assert!(below.contains(&example), "{example} in {below}");
        }
    }
}

#[test]
fn manual_folder_that_cannot_be_created_is_named() {
    let output = run(echoloop(&["manual", "/dev/null/man1"]), b"");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/dev/null/man1"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn bash_completes_subcommands_and_their_flags() {
    if !have_tool("bash") {
        return;
    }
    let names = subcommands();
    assert_eq!(completed(&["echoloop", ""]), {
        let flags = [
            "--help",
            "--quiet",
            "--verbose",
            "--version",
            "-V",
            "-h",
            "-q",
            "-v",
        ];
        let mut all = flags.map(str::to_owned).to_vec();
        all.extend(names.clone());
        all.sort();
        all
    });
    for name in names {
        let completed = completed(&["echoloop", &name, "-"]);
        let explained = flags(&printed(&[&name, "--help"]));
        for flag in &explained {
            assert!(completed.contains(flag), "{name} {flag}: {completed:?}");
        }
        for flag in completed.iter().filter(|flag| flag.starts_with("--")) {
            assert!(explained.contains(flag), "{name} {flag} is not in the help");
        }
    }
}

#[test]
fn hidden_flag_is_in_no_manual_and_no_completion() {
    // `load` passes this flag to the server that it starts.
    let hidden = "end-with-parent";
    assert!(!printed(&["serve", "--help"]).contains(hidden));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            !printed(&["completions", shell]).contains(hidden),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for page in pages(folder.path()) {
        let text = fs::read_to_string(folder.path().join(&page)).unwrap();
        // roff escapes hyphens.
        assert!(!text.replace('\\', "").contains(hidden), "{page}");
    }
}

#[test]
fn completions_of_each_shell_have_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for name in subcommands() {
            assert!(script.contains(&name), "{name} for {shell}");
        }
        if have_tool(shell) {
            let mut check = Command::new(shell);
            check.arg("-n").arg("/dev/stdin");
            let output = run(check, script.as_bytes());
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{shell}: {message}");
            assert_eq!(message, "", "{shell}");
        }
    }
}

/// The completions of bash for the last of these words, sorted.
fn completed(words: &[&str]) -> Vec<String> {
    let script = printed(&["completions", "bash"]);
    let typed: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (words.len() - 1, words.len().saturating_sub(2));
    let ask = format!(
        "\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_echoloop echoloop '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        typed.join(" "),
        words[last],
        words[before],
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-s"]);
    let output = run(bash, (script + &ask).as_bytes());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(message, "");
    let offered = String::from_utf8(output.stdout).unwrap();
    let mut offered: Vec<String> = offered.lines().map(str::to_owned).collect();
    offered.sort();
    offered
}

/// The long flags that a help text lists.
fn flags(help: &str) -> Vec<String> {
    let lines = help.lines().map(str::trim_start);
    let flags = lines
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            let at = line.find("--")?;
            let end = line[at + 2..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let end = end.map_or(line.len(), |end| at + 2 + end);
            Some(line[at..end].to_owned())
        });
    let flags: Vec<String> = flags.collect();
    assert!(flags.contains(&"--help".to_owned()), "{help}");
    flags
}

/// The commands below `Examples:` of a help text.
fn examples(help: &str) -> Vec<String> {
    let (_, after) = help.split_once("\nExamples:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let commands = lines.filter(|line| !line.starts_with("   "));
    let commands = commands.map(|line| line.trim().split("  ").next().unwrap().to_owned());
    commands.collect()
}

/// Removes overstrikes, with which some versions of man write bold and underlined letters to a pipe.
fn without_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c == '\u{8}' {
            plain.pop();
        } else {
            plain.push(c);
        }
    }
    plain
}
