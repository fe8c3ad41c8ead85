//! `echoloop lab explain`: its output, and its pages in a headless browser.

use crate::chromium::{TIME, assert_fits, have_chromium, open, url_of};
use crate::echoloop;
use crate::tools::run;
use std::fs;
use std::process::Output;

const NAMES: [&str; 6] = [
    "two-clients",
    "short-read",
    "slow-reader",
    "half-close",
    "emfile",
    "drain",
];

fn explain(arguments: &[&str]) -> Output {
    let arguments = [&["lab", "explain"], arguments].concat();
    run(echoloop(&arguments), b"")
}

fn page(name: &str) -> String {
    let output = explain(&[name]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
    String::from_utf8(output.stdout).unwrap()
}

/// The number of steps, as the slider of the page has it.
fn steps(page: &str) -> usize {
    let (_, rest) = page.split_once("max=\"").unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

/// The colours that a reader prefers.
#[derive(Clone, Copy, Debug)]
enum Scheme {
    Dark,
    Light,
}

impl Scheme {
    /// The option of Chromium.
    fn option(self) -> &'static str {
        match self {
            Scheme::Dark => "--blink-settings=preferredColorScheme=0",
            Scheme::Light => "--blink-settings=preferredColorScheme=1",
        }
    }
}

/// Loads a page with another script at its end, which has `press(key, times)`, `say(text)` and `find(id)`. Returns what
/// it has said, line by line.
fn said(page: &str, script: &str, scheme: Scheme) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "<pre id=\"said\"></pre><script>
        const say = (text) => {{ find('said').textContent += `${{text}}\\n`; }};
        const press = (key, times) => {{
          for (let count = 0; count < times; count += 1) {{
            document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true }}));
          }}
        }};
        {script}</script></body>"
    );
    let text = page.replace("</body>", &script);
    let path = folder.path().join("page.html");
    fs::write(&path, text).unwrap();
    let loaded = open(&url_of(&path), TIME, &[scheme.option()]);
    assert_eq!(loaded.console, [""; 0]);
    let (_, said) = loaded.dom.split_once("<pre id=\"said\">").unwrap();
    let (said, _) = said.split_once("</pre>").unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn without_a_name_the_scenarios_are_listed_one_per_line() {
    let output = explain(&[]);
    assert!(output.status.success());
    let list = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = list
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(names, NAMES);
    for line in list.lines() {
        let words = line.split_whitespace().count();
        assert!(words > 4 && line.len() <= 80, "{line}");
    }
}

#[test]
fn unknown_scenario_is_an_error_with_the_most_similar_name() {
    let output = explain(&["slow-readers"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("'slow-reader'"), "{message}");
    assert!(message.contains("lab explain"), "{message}");
    assert!(message.lines().all(|line| line.len() <= 80), "{message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn pages_are_small_and_load_nothing() {
    for name in NAMES {
        let page = page(name);
        assert!(page.len() < 150_000, "{name}: {}", page.len());
        for foreign in ["http:", "https:", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(foreign), "{name}: {foreign}");
        }
        assert!(page.contains("default-src 'none'"), "{name}");
    }
}

#[test]
fn log_level_does_not_change_a_page() {
    let arguments = ["-v", "lab", "explain", "drain"];
    let verbose = run(echoloop(&arguments), b"");
    assert_eq!(String::from_utf8(verbose.stdout).unwrap(), page("drain"));
    assert_eq!(String::from_utf8_lossy(&verbose.stderr), "");
}

#[test]
fn table_without_scripts_has_one_row_per_step() {
    for name in NAMES {
        let page = page(name);
        let (_, rest) = page.split_once("<noscript>").unwrap();
        let (table, _) = rest.split_once("</noscript>").unwrap();
        let (_, rows) = table.split_once("<tbody>").unwrap();
        assert_eq!(rows.matches("<tr>").count(), steps(&page), "{name}");
        assert!(page.contains("<div id=\"player\" hidden"), "{name}");
    }
}

#[test]
fn keys_step_through_every_page() {
    if !have_chromium() {
        return;
    }
    for name in NAMES {
        let page = page(name);
        let script = "say(find('player').hidden); say(find('counter').textContent);
            press('ArrowRight', 7); say(find('counter').textContent);
            press('ArrowLeft', 2); say(find('counter').textContent);
            press('End', 1); say(find('counter').textContent); press('ArrowRight', 1);
            say(find('counter').textContent); say(find('next').disabled);
            press('Home', 1); say(find('counter').textContent);
            press(' ', 1); say(find('play').textContent); press(' ', 1); say(find('play').textContent);";
        let last = format!("Step {0} of {0}", steps(&page));
        let step = |number: usize| format!("Step {number} of {}", steps(&page));
        let expected = [
            "false".to_owned(),
            step(1),
            step(8),
            step(6),
            last.clone(),
            last,
            "true".to_owned(),
            step(1),
            "Pause".to_owned(),
            "Play".to_owned(),
        ];
        assert_eq!(said(&page, script, Scheme::Light), expected, "{name}");
    }
}

#[test]
fn each_step_marks_lines_and_shows_its_sentence() {
    if !have_chromium() {
        return;
    }
    for name in NAMES {
        let page = page(name);
        let script = "for (let step = 0; step < steps.length; step += 1) {
              const loop = document.querySelectorAll('.here').length;
              const call = document.querySelectorAll('.calls').length;
              const figures = [...document.querySelectorAll('.call figure')].filter((figure) => !figure.hidden).length;
              const isServer = find('actor').textContent === 'server' && find('title').textContent !== 'the server exits';
              const isRight = loop === 1 && call === figures && (call === 1) === isServer;
              const text = find('text').textContent.length > 20 && !find('text').textContent.includes('`');
              if (!isRight || !text) { say(`${step}: ${loop} ${call} ${figures} ${find('text').textContent}`); }
              press('ArrowRight', 1);
            }
            say(find('counter').textContent);";
        let expected = format!("Step {0} of {0}", steps(&page));
        assert_eq!(said(&page, script, Scheme::Light), [expected], "{name}");
    }
}

#[test]
fn first_and_last_step_have_their_values_in_light_and_dark() {
    if !have_chromium() {
        return;
    }
    let page = page("slow-reader");
    let script = "const value = (key) => document.querySelector(`[data-key='${key}']`).textContent;
        say(getComputedStyle(document.body).backgroundColor);
        say(`${value('listener')}, ${find('of-A').hidden}`);
        press('End', 1);
        say(`${value('A.in')}, ${find('of-A').hidden}, ${value('A.count')}`);";
    let [light, dark] = [Scheme::Light, Scheme::Dark].map(|scheme| said(&page, script, scheme));
    assert_eq!(light[0], "rgb(244, 245, 247)");
    assert_eq!(dark[0], "rgb(18, 21, 26)");
    for values in [&light[1..], &dark[1..]] {
        let last = "closed: peer closed, false, 22 sent, 22 received";
        assert_eq!(values, ["open, true", last]);
    }
}

#[test]
fn pages_fit_a_phone_of_320_pixels() {
    if !have_chromium() {
        return;
    }
    for name in NAMES {
        assert_fits(&page(name), 320, "go(20)");
    }
}
