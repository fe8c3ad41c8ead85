//! Faults in files, with their places.

use super::tests::parse;

#[test]
fn faults_give_line_column_and_remedy() {
    let message = |expect: &str| format!("[message]\nsend = \"x\"\nexpect = {expect}\n");
    for (source, place, what) in [
        (
            "[mesage]\n".to_owned(),
            (1, 2),
            "unknown key `mesage` in a script",
        ),
        (
            "[message]\nsned = \"x\"\n".to_owned(),
            (2, 1),
            "unknown key `sned`",
        ),
        (
            message("{ line = true, is = \"\" }"),
            (3, 25),
            "unknown key `is` in `expect`",
        ),
        (
            message("{ starts_with = \"+\" }"),
            (3, 10),
            "without the end of the reply",
        ),
        (
            message("{ line = true, length = 3 }"),
            (3, 19),
            "a second end",
        ),
        (
            message("{ line = true, matches = 'a(b' }"),
            (3, 36),
            "no regular expression",
        ),
        (
            message("{ line = true, matches = 'a{conection}' }"),
            (3, 37),
            "unknown placeholder",
        ),
        (
            message("{ line = true, equals = \"ab{conection}\" }"),
            (3, 37),
            "unknown placeholder `{conection}`",
        ),
        (message("{ frame = 3 }"), (3, 20), "1, 2 or 4"),
        (message("{ length = 0 }"), (3, 21), "`length`"),
        (message("{ until = \"\" }"), (3, 21), "`until` is empty"),
        (message("{ http = 1 }"), (3, 19), "`http` is not true"),
        (message("true"), (3, 10), "`expect` is not a table"),
        ("[message]\nsend = \"x\"\n".to_owned(), (1, 1), "needs both"),
        ("[hello]\n".to_owned(), (1, 1), "neither"),
        (
            "[keepalive]\nsend = \"x\"\n".to_owned(),
            (1, 1),
            "without `every`",
        ),
        (
            "[keepalive]\nevery = 5\nsend = \"x\"\n".to_owned(),
            (2, 9),
            "not a duration",
        ),
        (
            "[keepalive]\nevery = \"0s\"\nsend = \"x\"\n".to_owned(),
            (2, 10),
            "not a duration",
        ),
        (
            "[hello]\nsend = { file = \"gone\" }\n".to_owned(),
            (2, 18),
            "cannot read gone",
        ),
        (
            "[hello]\nsend = { text = \"a\", file = \"b\" }\n".to_owned(),
            (2, 8),
            "`text` or `file`",
        ),
        ("[hello]\nsend = \"a\n".to_owned(), (2, 10), "invalid"),
    ] {
        let error = parse(&source).unwrap_err();
        assert_eq!(error.place, Some(place), "{source}: {error}");
        assert!(error.what.contains(what), "{source}: {error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("x.toml:{}:{}: ", place.0, place.1)),
            "{text}"
        );
        assert!(!error.remedy.is_empty() && !text.contains('\n'), "{text}");
    }
}
