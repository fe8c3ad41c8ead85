//! One line of strace(1), as `strace -f -ttt -T` writes it:
//!
//! ```text
//! 1234  1700000000.123456 recvfrom(8, "hello\n", 65536, 0, NULL, NULL) = 6 <0.000012>
//! [pid  1234] 1700000000.123456 epoll_wait(3,  <unfinished ...>
//! 1234  1700000000.223456 <... epoll_wait resumed>[], 1024, -1) = 0 <0.100000>
//! 1234  1700000000.323456 +++ exited with 0 +++
//! ```

use std::num::ParseIntError;
use std::time::Duration;

/// A line of a process; without `-f` its process is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) pid: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) content: Content<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A call from its name on: `close(8) = 0 <0.000010>`.
    Call(&'a str),
    /// A call that has begun: `close(8`.
    Unfinished(&'a str),
    /// The rest of a call that has begun: `) = 0 <0.000010>`.
    Resumed(&'a str),
    /// The process has ended.
    Exited,
    /// Something else, such as a signal.
    Other,
}

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Vec<&'a str>,
    /// The result; `None` if the call did not return.
    pub(super) result: Option<i64>,
    /// The name of the error, if it failed.
    pub(super) error: Option<&'a str>,
    /// How long it took.
    pub(super) duration: Duration,
}

impl<'a> Line<'a> {
    /// Parses a line; `None` if it is not one of strace with times.
    pub(super) fn parse(line: &'a str) -> Option<Line<'a>> {
        let (pid, rest) = split_pid(line)?;
        let (time, rest) = rest.split_once(' ')?;
        let time = parse_seconds(time)?;
        let rest = rest.trim();
        let content = if let Some(resumed) = rest.strip_prefix("<... ") {
            // Older versions print a space before the bracket.
            let (_, rest) = resumed.split_once(" resumed")?;
            Content::Resumed(rest.trim_start_matches(' ').strip_prefix('>')?)
        } else if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            Content::Unfinished(begun.trim_end())
        } else if let Some(end) = rest.strip_prefix("+++ ") {
            let has_ended = end.starts_with("exited") || end.starts_with("killed");
            if has_ended {
                Content::Exited
            } else {
                Content::Other
            }
        } else if rest.starts_with("---") {
            Content::Other
        } else {
            Content::Call(rest)
        };
        Some(Line { pid, time, content })
    }
}

/// The process of a line, and the rest from the time on.
fn split_pid(line: &str) -> Option<(u32, &str)> {
    if let Some(rest) = line.strip_prefix("[pid") {
        let (pid, rest) = rest.split_once(']')?;
        return Some((pid.trim().parse().ok()?, rest.trim_start()));
    }
    let line = line.trim_start();
    let (first, rest) = line.split_once(' ')?;
    if first.contains('.') {
        return Some((0, line));
    }
    Some((first.parse().ok()?, rest.trim_start()))
}

/// Seconds with up to nine digits after the point, as nanoseconds.
fn parse_seconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds: u64 = seconds.parse().ok()?;
    let nanos = fraction.parse::<u64>().ok()? * scale;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

impl<'a> Call<'a> {
    /// Parses a call; `None` if it is incomplete.
    pub(super) fn parse(text: &'a str) -> Option<Call<'a>> {
        let (name, rest) = text.split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (arguments, rest) = split_arguments(rest)?;
        let result = rest.trim_start().strip_prefix('=')?.trim();
        let (result, duration) = match result.rsplit_once('<') {
            Some((result, duration)) if duration.ends_with('>') => {
                let seconds = parse_seconds(duration.trim_end_matches('>'));
                (result.trim_end(), seconds)
            }
            _ => (result, None),
        };
        let mut words = result.split_whitespace();
        let value = words.next()?;
        // With -y, a file descriptor is followed by its path.
        let value = value.split('<').next().unwrap_or(value);
        let error = words.next().filter(|word| is_errno(word));
        Some(Call {
            name,
            arguments,
            result: parse_result(value).ok()?,
            error,
            duration: Duration::from_nanos(duration.unwrap_or(0)),
        })
    }

    /// An argument that is a number, such as a file descriptor.
    pub(super) fn number(&self, index: usize) -> Option<i64> {
        let text = self.arguments.get(index)?;
        // With -y, a file descriptor is followed by its path.
        text.split('<').next()?.trim().parse().ok()
    }

    /// An argument as text; empty if there is none.
    pub(super) fn text(&self, index: usize) -> &'a str {
        self.arguments.get(index).copied().unwrap_or("")
    }
}

fn is_errno(word: &str) -> bool {
    word.len() > 1 && word.starts_with('E') && word.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A result as a number; `Ok(None)` if the call did not return.
fn parse_result(text: &str) -> Result<Option<i64>, ParseIntError> {
    if text == "?" {
        return Ok(None);
    }
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map(|address| Some(address.cast_signed())),
        None => text.parse().map(Some),
    }
}

/// The arguments up to the closing parenthesis, and what follows it. Quoted strings may contain anything.
fn split_arguments(text: &str) -> Option<(Vec<&str>, &str)> {
    let mut arguments = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if is_quoted {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => is_quoted = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(text[start..at].trim());
                return Some((arguments, &text[at + 1..]));
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call<'_> {
        Call::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn pid_and_time_are_parsed_in_each_form() {
        for (line, pid) in [
            ("1234  17.000005 close(8) = 0 <0.000010>", 1234),
            ("[pid  1234] 17.000005 close(8) = 0 <0.000010>", 1234),
            ("17.000005 close(8) = 0 <0.000010>", 0),
        ] {
            let line = Line::parse(line).unwrap();
            assert_eq!((line.pid, line.time), (pid, 17_000_005_000));
            assert_eq!(line.content, Content::Call("close(8) = 0 <0.000010>"));
        }
        assert_eq!(parse_seconds("1.5"), Some(1_500_000_000));
        for wrong in ["", "1", "12:30:01.5", "1.1234567890", ".5", "1.", "-1.5"] {
            assert_eq!(parse_seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_of_a_call_and_the_end_of_a_process_are_recognized() {
        fn content(text: &str) -> Option<Content<'_>> {
            Line::parse(text).map(|line| line.content)
        }
        assert_eq!(
            content("7 1.0 read(8,  <unfinished ...>"),
            Some(Content::Unfinished("read(8,"))
        );
        for resumed in [
            "<... read resumed>\"x\", 9)",
            "<... read resumed> \"x\", 9)",
        ] {
            let line = format!("7 1.0 {resumed} = 1 <0.1>");
            let Some(Content::Resumed(rest)) = content(&line) else {
                panic!("{line}");
            };
            assert_eq!(rest.trim_start(), "\"x\", 9) = 1 <0.1>");
        }
        assert_eq!(
            content("7 1.0 +++ exited with 0 +++"),
            Some(Content::Exited)
        );
        assert_eq!(content("7 1.0 --- SIGTERM {} ---"), Some(Content::Other));
        for wrong in [
            "",
            "strace: Process 7 attached",
            "7 x close(8) = 0",
            "close(8) = 0",
        ] {
            assert_eq!(Line::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn strings_may_contain_what_ends_a_call() {
        let call = call(r#"sendto(8, "a\") = 3 <1.0>, {", 4, MSG_NOSIGNAL, NULL, 0) = 4 <0.25>"#);
        assert_eq!(call.name, "sendto");
        assert_eq!(call.number(0), Some(8));
        assert_eq!(call.arguments.len(), 6);
        assert_eq!(call.text(3), "MSG_NOSIGNAL");
        assert_eq!((call.result, call.error), (Some(4), None));
        assert_eq!(call.duration, Duration::from_millis(250));
    }

    #[test]
    fn results_are_numbers_errors_or_unknown() {
        let failed = call("read(8, 0x7f, 5) = -1 EAGAIN (Resource temporarily unavailable) <0.1>");
        assert_eq!((failed.result, failed.error), (Some(-1), Some("EAGAIN")));
        let timeout = call("poll([{fd=7, events=POLLIN}], 1, 0) = 0 (Timeout) <0.000009>");
        assert_eq!((timeout.result, timeout.error), (Some(0), None));
        assert_eq!(timeout.number(2), Some(0));
        assert_eq!(call("exit_group(0) = ?").result, None);
        assert_eq!(
            call("mmap(NULL, 4096) = 0x7f0000000000").result,
            Some(0x7f00_0000_0000)
        );
        let with_paths = call("accept4(3<TCP:[1]>, NULL) = 9<TCP:[2]> <0.1>");
        assert_eq!(
            (with_paths.number(0), with_paths.result),
            (Some(3), Some(9))
        );
        for wrong in [
            "",
            "read",
            "read(8",
            "read(8)",
            "read(8) =",
            "re ad(8) = 1",
            "read(\"8) = 1",
        ] {
            assert_eq!(Call::parse(wrong), None, "{wrong}");
        }
    }
}
