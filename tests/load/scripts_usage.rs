//! Wrong scripts and contradictory flags: exit code 2, with the place and a remedy.

use crate::run::{load, script_file};

#[test]
fn faults_in_script_files_exit_2_with_line_and_column() {
    for (text, place, what) in [
        ("[message]\nsned = 'x'\n", ":2:1: ", "unknown key `sned`"),
        (
            "[message]\nsend = 'x'\nexpect = { line = true, matches = '(' }\n",
            ":3:",
            "no regular expression",
        ),
        (
            "[message]\nsend = 'x'\nexpect = { equals = '' }\n",
            ":3:10: ",
            "without the end of the reply",
        ),
        (
            "[message]\nsend = 'a{conection}'\n",
            ":2:10: ",
            "unknown placeholder `{conection}`",
        ),
    ] {
        let script = script_file(text);
        let path = script.path().to_str().unwrap();
        let output = load(&["127.0.0.1:9", "--script", path]);
        assert_eq!(output.code, Some(2), "{output:#?}");
        let place = format!("{path}{place}");
        assert!(
            output.stderr.contains(&place),
            "no {place} in {}",
            output.stderr
        );
        assert!(
            output.stderr.contains(what),
            "no {what} in {}",
            output.stderr
        );
        assert!(output.stderr.contains("; "), "a remedy: {}", output.stderr);
    }
}

#[test]
fn contradictory_flags_of_scripts_exit_2() {
    for (flags, what) in [
        (
            &["--script", "passive", "--idle", "1", "--active", "1"][..],
            "leave --active out",
        ),
        (&["--script", "nothing"], "built in are echo, passive"),
        (&["--message", "x"], "add --reply-until"),
        (&["--reply-line"], "needs --message"),
        (
            &["--message", "x", "--reply-line", "--script", "http"],
            "exclude each other",
        ),
        (
            &["--message", "{x}", "--reply-line"],
            "--message:1:1: unknown placeholder",
        ),
        (
            &["--message", "x", "--reply-line", "--reply-length", "3"],
            "cannot be used with",
        ),
    ] {
        let output = load(&[&["127.0.0.1:9"], flags].concat());
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(
            output.stderr.contains(what),
            "no {what:?} in {}",
            output.stderr
        );
    }
    let output = load(&["--script", "http"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output.stderr.contains("needs the address of a server"),
        "{output:#?}"
    );
}
