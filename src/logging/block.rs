//! A block of lines at the end of a terminal: erased before a line is written, drawn again below it, in one write.

use std::sync::Mutex;

/// The lines on the terminal; none without a block.
static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The bytes that write a line, with its newline, above the block.
pub(super) fn above(line: &str, columns: Option<usize>) -> String {
    let drawn = DRAWN.lock().map(|lines| lines.clone());
    let lines = drawn.unwrap_or_default();
    erase(&lines, columns) + line + &lines.join("\n")
}

/// Whether a block is on the terminal.
pub(super) fn is_drawn() -> bool {
    DRAWN.lock().is_ok_and(|lines| !lines.is_empty())
}

/// The bytes that replace the block by these lines.
pub(super) fn replace(lines: Vec<String>, columns: Option<usize>) -> String {
    let Ok(mut drawn) = DRAWN.lock() else {
        return String::new();
    };
    let erased = erase(&drawn, columns);
    *drawn = lines;
    erased + &drawn.join("\n")
}

/// The bytes that erase these lines and move the cursor to the start of the first. A terminal that is narrower than a
/// line shows it as several rows.
fn erase(lines: &[String], columns: Option<usize>) -> String {
    let rows_of = |line: &String| match columns {
        Some(columns) => line.chars().count().div_ceil(columns).max(1),
        None => 1,
    };
    match lines.iter().map(rows_of).sum::<usize>() {
        0 => String::new(),
        1 => "\r\u{1b}[J".to_owned(),
        rows => format!("\r\u{1b}[{}A\u{1b}[J", rows - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erases_all_rows_of_a_block() {
        let lines = ["a".repeat(45), String::new(), "b".repeat(20)];
        assert_eq!(erase(&lines, Some(80)), "\r\u{1b}[2A\u{1b}[J");
        assert_eq!(erase(&lines, Some(20)), "\r\u{1b}[4A\u{1b}[J");
        assert_eq!(erase(&lines[..1], None), "\r\u{1b}[J");
        assert_eq!(erase(&[], Some(80)), "");
    }
}
