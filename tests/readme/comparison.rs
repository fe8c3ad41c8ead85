//! Compares printed output with the output in a document: equal, or, where it was measured, of equal shape.
//!
//! Timestamps and ephemeral ports always differ. Log lines arrive at any time between the output of commands, so log
//! lines and other lines are compared separately, each in their order.

/// The end of a line of a result and the indent of the next: where it is wrapped depends on the width of its figures.
const CONTINUATION: &str = "\n                ";

/// How the printed output differs from the shown one; `None` if it does not.
pub(crate) fn difference(shown: &[String], printed: &str, is_measured: bool) -> Option<String> {
    let normalized = |line: &str| {
        let line = if is_measured {
            shape(line)
        } else {
            without_timestamps_and_ports(line)
        };
        line.trim_end().to_owned()
    };
    let unwrapped = |text: &str| text.replace(CONTINUATION, " ");
    let (shown, printed) = (unwrapped(&shown.join("\n")), unwrapped(printed));
    let shown: Vec<String> = shown.lines().map(normalized).collect();
    let printed: Vec<String> = printed.lines().map(normalized).collect();
    for wants_log in [false, true] {
        let of = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter().filter(|line| is_log(line) == wants_log);
            lines.cloned().collect()
        };
        let (shown, printed) = (of(&shown), of(&printed));
        let is_equal = if is_measured {
            is_subsequence(&shown, &printed)
        } else {
            shown == printed
        };
        if !is_equal {
            let (shown, printed) = (shown.join("\n"), printed.join("\n"));
            return Some(format!(
                "--- the document shows\n{shown}\n--- printed was\n{printed}\n---"
            ));
        }
    }
    None
}

/// Whether all of `shown` is in `printed` in this order: on another machine more lines, such as warnings, may be printed.
fn is_subsequence(shown: &[String], printed: &[String]) -> bool {
    let mut printed = printed.iter();
    shown.iter().all(|line| printed.any(|other| other == line))
}

/// Whether it is a normalized log line.
fn is_log(line: &str) -> bool {
    line.starts_with("TIME ") || line.starts_with("N-N-NTNZ ")
}

/// A line with its timestamp as `TIME` and ephemeral ports as `PORT`.
fn without_timestamps_and_ports(line: &str) -> String {
    let mut plain = line.to_owned();
    if let Some((first, rest)) = line.split_once(' ')
        && shape(first) == "N-N-NTNZ"
    {
        plain = format!("TIME {rest}");
    }
    let mut with_ports = String::new();
    let mut rest = plain.as_str();
    while let Some(at) = rest.find(':') {
        let (before, after) = rest.split_at(at + 1);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        with_ports.push_str(before);
        // Ports of the documents have four digits, ephemeral ones five (ip(7), ip_local_port_range).
        with_ports.push_str(if digits == 5 {
            "PORT"
        } else {
            &after[..digits]
        });
        rest = &after[digits..];
    }
    with_ports + rest
}

/// A line with `N` for each figure, one space between words, and one unit for all sizes.
fn shape(line: &str) -> String {
    // The sign of an offset is a part of the figure.
    let line = line.replace(" ms behind ", " ms ahead of ");
    let mut shape = String::new();
    let mut rest = line.as_str();
    while let Some(c) = rest.chars().next() {
        let length = figure(rest);
        if length > 0 {
            shape.push('N');
            rest = &rest[length..];
        } else {
            shape.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    let words = shape.split_whitespace().map(|word| match word {
        "KiB" | "MiB" | "GiB" => "SIZE",
        "kB/s" | "MB/s" | "GB/s" => "SIZE/s",
        "addresses" => "address",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The length of the figure at the start of `text`: digits, and the separators within numbers, times and addresses.
fn figure(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while is_digit(at)
        || (at > 0 && matches!(bytes.get(at), Some(b'.' | b',' | b':')) && is_digit(at + 1))
    {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_timestamps_and_ephemeral_ports_may_differ() {
        let shown = lines(
            "2026-11-20T09:49:31.578Z DEBUG #1 open 127.0.0.1:49886 of 127.0.0.1:8000\n6 * 7 = 42",
        );
        let others = "6 * 7 = 42\n2027-01-02T19:00:00.123Z DEBUG #1 open 127.0.0.1:55555 of 127.0.0.1:8000\n";
        assert_eq!(difference(&shown, others, false), None);
        for (this, that) in [
            ("= 42", "= 43"),
            ("#1", "#2"),
            (":8000", ":8001"),
            ("open", "shut"),
        ] {
            assert!(
                difference(&shown, &others.replace(this, that), false).is_some(),
                "{this}"
            );
        }
        let longer = format!("{others}more\n");
        assert!(difference(&shown, &longer, false).is_some());
        assert!(difference(&shown, "6 * 7 = 42", false).is_some());
    }

    #[test]
    fn measured_output_must_have_the_same_shape() {
        let shown = lines("a     1,050 echoes  p50 12 us, 4.1 MiB\n  b 2");
        assert_eq!(
            difference(&shown, "a 7 echoes p50 1013 us, 99 KiB\nbusy!\nb 3\n", true),
            None
        );
        for other in [
            "a 7 echoes p50 1013 ms, 99 KiB\nb 3",
            "b 3\na 7 echoes p50 1 us, 9 KiB",
            "b 3",
        ] {
            assert!(difference(&shown, other, true).is_some(), "{other}");
        }
    }
}
