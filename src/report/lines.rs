//! Several saved results in one text, one per line, as `load --save -` of several processes leaves them.

use super::saved::Input;

/// Reads all results of a text: one, or one per line. Empty lines are skipped; a text without any other has no result.
///
/// # Errors
/// As [`Input::read`]; the reason names the line if there are several.
pub fn read_all(name: &str, text: &[u8]) -> Result<Vec<Input>, String> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
    let lines: Vec<(usize, &[u8])> = lines.collect();
    // An indented object begins with a line that has its bracket alone.
    let is_indented = lines.first().is_some_and(|(_, line)| *line == b"{");
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    if lines.len() == 1 || is_indented {
        let input = Input::read(name, text);
        return input.map_or_else(|why| Err(format!("{name}: {why}")), |input| Ok(vec![input]));
    }
    let read = lines.into_iter().map(|(number, line)| {
        let name = format!("line {number} of {name}");
        Input::read(&name, line).map_err(|why| format!("{name}: {}", of_a_line(&why)))
    });
    read.collect()
}

/// The reason why a line is no result.
fn of_a_line(why: &str) -> String {
    if !why.starts_with("it is not JSON") {
        return why.to_owned();
    }
    // The parser has seen one line only.
    let why = why.replacen(" at line 1 column ", " at column ", 1);
    format!("{why}; processes on one stream may tear their lines: give each its own file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn line() -> String {
        serde_json::to_string(&sample::load()).unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        let inputs = read_all("x", text.as_bytes()).unwrap();
        inputs.iter().map(|input| input.name().to_owned()).collect()
    }

    #[test]
    fn each_line_is_a_result() {
        let line = line();
        assert_eq!(names(&line), ["x"]);
        assert_eq!(names(&format!("\n{line}\r\n")), ["x"]);
        let two = format!("{line}\r\n\n{line}");
        assert_eq!(names(&two), ["line 1 of x", "line 3 of x"]);
        assert_eq!(names("\n \n"), [""; 0]);
        let indented = serde_json::to_string_pretty(&sample::load()).unwrap();
        assert_eq!(names(&indented), ["x"]);
    }

    #[test]
    fn torn_line_is_named() {
        let line = line();
        let (start, end) = line.split_at(100);
        for (text, place) in [
            (format!("{line}\n{start}\n{line}\n"), "line 2 of x: "),
            (format!("{start}\n{end}\n"), "line 1 of x: "),
            (format!("{line}\n{line}{line}\n"), "line 2 of x: "),
            (format!("{line}\n0: {line}\n"), "line 2 of x: "),
            (start.to_owned(), "x: "),
        ] {
            let why = read_all("x", text.as_bytes()).unwrap_err();
            assert!(why.starts_with(place) && why.contains("not JSON"), "{why}");
            assert_eq!(why.lines().count(), 1, "{why}");
        }
    }
}
