use super::*;
use crate::report::sample;
use proptest::prelude::*;
use serde_json::Value;

const CHARTS: &str = "<svg role=\"img\"";

fn count_of(page: &str, text: &str) -> usize {
    page.matches(text).count()
}

/// Puts `text` into every string of a saved result.
fn poison(value: &mut Value, text: &str) {
    match value {
        Value::String(string) => text.clone_into(string),
        Value::Array(all) => all.iter_mut().for_each(|one| poison(one, text)),
        Value::Object(all) => all.values_mut().for_each(|one| poison(one, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn key_figures_come_first_and_problems_before_charts() {
    let mut saved = sample::load();
    saved.result.warnings = vec!["it burns".to_owned()];
    saved.result.connections.failed.no_ports = 7;
    let page = html(&saved);
    let at = |text: &str| {
        page.find(text)
            .unwrap_or_else(|| panic!("no {text}: {page}"))
    };
    assert!(at("bytes/connection") < at("it burns"));
    assert!(at("it burns") < at("no local port left"));
    assert!(at("--sources") < at(CHARTS));
    assert!(at(CHARTS) < at("<h2>Configuration"));
    assert_eq!(count_of(&page, CHARTS), 6);
    assert!(page.contains("Problems found"));
}

#[test]
fn page_without_problems_has_no_problem_section() {
    let page = html(&sample::load());
    assert!(page.contains("No problems found"));
    assert!(!page.contains("<h2>Problems"));
}

#[test]
fn page_with_little_data_has_no_empty_charts() {
    let idle = html(&sample::of(&[vec![], vec![]]));
    assert_eq!(count_of(&idle, CHARTS), 2, "connections and connect times");
    assert!(idle.contains("no echoes requested"));
    let one_second = html(&sample::of(&[vec![70]]));
    assert_eq!(count_of(&one_second, CHARTS), 6);
    let mut nothing = sample::of(&[]);
    nothing.result.server = None;
    nothing.histograms.connect_us.0.clear();
    let nothing = html(&nothing);
    assert_eq!(count_of(&nothing, CHARTS), 0);
    assert!(nothing.contains("--server-pid"));
}

#[test]
fn strings_of_a_file_are_escaped() {
    let mut saved = sample::load();
    saved.result.warnings = vec![String::new()];
    saved.configuration.churn = Some(String::new());
    saved.configuration.sources = Some(String::new());
    saved.result.expect = vec![crate::load::Expectation::default()];
    saved.parts = [saved.to_parts(), saved.to_parts()].concat();
    let mut value = serde_json::to_value(&saved).unwrap();
    poison(
        &mut value,
        "<script>alert(1)</script>\"' onload=x <img src=//x> &amp; \u{202e}\u{7}",
    );
    let page = html(&serde_json::from_value(value).unwrap());
    for markup in ["<script", "<img", "\"' onload", "alert(1)</"] {
        assert!(!page.contains(markup), "{markup} is in the page");
    }
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains("&amp;amp; \u{fffd}\u{fffd}"));
    assert!(!page.contains(['\u{202e}', '\u{7}']));
}

#[test]
fn page_refers_to_no_other_resource() {
    let page = html(&sample::load());
    for fetching in [
        "http:", "https:", "src=", "url(", "@import", "<link", "<script",
    ] {
        assert!(!page.contains(fetching), "{fetching} is in the page");
    }
}

#[test]
fn each_chart_has_a_title_a_description_and_axis_titles() {
    let page = html(&sample::load());
    let charts: Vec<&str> = page.split(CHARTS).skip(1).collect();
    for chart in charts {
        let chart = &chart[..chart.find("</svg>").unwrap()];
        let label = chart.split("aria-labelledby=\"").nth(1).unwrap();
        let ids: Vec<&str> = label.split('"').next().unwrap().split(' ').collect();
        for id in ids {
            assert_eq!(count_of(&page, &format!("id=\"{id}\"")), 1, "{id}");
        }
        assert_eq!(count_of(chart, "class=\"name"), 2, "{chart}");
    }
}

#[test]
fn tooltips_cover_the_height_of_their_chart() {
    let page = html(&sample::load());
    let tips: Vec<&str> = page.split("class=\"tip\"").skip(1).collect();
    assert!(tips.len() > 3, "{}", tips.len());
    for tip in tips {
        let height = tip.split("height=\"").nth(1).unwrap();
        let height: f64 = height.split('"').next().unwrap().parse().unwrap();
        assert!(height > 100.0, "{tip}");
    }
}

/// Numbers in an attribute such as `x="12.5"`, or in a path.
fn coordinates(page: &str) -> Vec<f64> {
    let of = |attribute: &str| {
        let values = page.split(attribute).skip(1);
        let values = values.filter_map(|rest| rest.split('"').next());
        let numbers = values
            .flat_map(|value| value.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-'));
        let numbers = numbers.filter(|number| !number.is_empty());
        let numbers: Vec<f64> = numbers.map(|number| number.parse().unwrap()).collect();
        numbers
    };
    [
        " x=\"",
        " y=\"",
        " cx=\"",
        " cy=\"",
        " d=\"",
        " width=\"",
        " height=\"",
    ]
    .into_iter()
    .flat_map(of)
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// For measured figures and for any figures in a file.
    #[test]
    fn coordinates_of_any_result_are_finite_and_in_the_drawing(
        times in proptest::collection::vec(proptest::collection::vec(0_u64..60_000_000, 0..20), 0..5),
        figures in proptest::collection::vec(any::<f64>(), 5),
        held in any::<u64>(),
    ) {
        let mut saved = sample::of(&times);
        saved.result.echo.per_second = figures[0];
        saved.result.connect.per_second = figures[1];
        saved.result.generator.cpu_percent = figures[2];
        saved.configuration.rate = Some(figures[3]);
        saved.result.echo.service_time_us.mean = figures[4];
        saved.result.connections.asked = held / 2;
        for interval in &mut saved.result.intervals {
            interval.held = held;
            interval.max_us = held;
        }
        let page = html(&saved);
        prop_assert!(!page.contains("NaN") && !page.contains(">inf") && !page.contains("\"inf"));
        for number in coordinates(&page) {
            prop_assert!((-10.0..=450.0).contains(&number), "{}", number);
        }
    }
}
