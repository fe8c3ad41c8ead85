//! The key figures, as tiles at the top of the page.

use crate::load::{LoadResult, Saved};
use crate::numbers::grouped;
use crate::report::units::{bytes, micros, short, whole};
use maud::{Markup, html};

struct Tile {
    name: &'static str,
    figure: String,
    note: String,
    is_alarming: bool,
}

impl Tile {
    fn new(name: &'static str, figure: String, note: String) -> Tile {
        Tile {
            name,
            figure,
            note,
            is_alarming: false,
        }
    }

    fn absent(name: &'static str, why: &str) -> Tile {
        Tile::new(name, "\u{2013}".to_owned(), why.to_owned())
    }

    fn alarming(self, is_alarming: bool) -> Tile {
        Tile {
            is_alarming,
            ..self
        }
    }
}

/// Connections held and lost, echoes per second, p50, p99, server memory per connection.
pub(super) fn tiles(saved: &Saved) -> Markup {
    let result = &saved.result;
    let (response, service) = (&result.echo.response_time_us, &result.echo.service_time_us);
    let all = [
        held(result),
        lost(result),
        rate(saved),
        percentile("p50", result, response.p50, service.p50),
        percentile("p99", result, response.p99, service.p99),
        memory(result),
    ];
    html! {
        dl.tiles {
            @for tile in all {
                div class=[tile.is_alarming.then_some("alarm")] {
                    dt { (tile.name) }
                    dd.figure { (tile.figure) }
                    dd.note { (tile.note) }
                }
            }
        }
    }
}

fn held(result: &LoadResult) -> Tile {
    let (connections, probe) = (&result.connections, &result.probe);
    let held = connections.opened.saturating_sub(connections.lost);
    let [requested, alive, probed] = [connections.asked, probe.alive, probe.asked].map(grouped);
    let note = match probe.asked {
        0 => format!("of {requested} requested"),
        _ => format!("of {requested} requested; {alive} of {probed} idle alive at the end"),
    };
    let is_alarming = held < connections.asked || probe.alive < probe.asked;
    Tile::new("held", grouped(held), note).alarming(is_alarming)
}

fn lost(result: &LoadResult) -> Tile {
    let (lost, failed) = (result.connections.lost, result.connections.failed.total());
    let note = match failed {
        0 => "none failed to connect".to_owned(),
        failed => format!("and {} failed to connect", grouped(failed)),
    };
    Tile::new("lost", grouped(lost), note).alarming(lost > 0 || failed > 0)
}

fn rate(saved: &Saved) -> Tile {
    let echo = &saved.result.echo;
    if echo.is_none() {
        return Tile::absent("echoes/s", "no echoes requested");
    }
    let wrong = echo.mismatched.saturating_add(echo.missing);
    let figure = if echo.per_second < 1e6 {
        grouped(whole(echo.per_second))
    } else {
        short(echo.per_second)
    };
    let is_behind = echo.outstanding > 0 && echo.unanswered > 0;
    let note = match (wrong, saved.configuration.rate) {
        (0, Some(rate)) if is_behind => format!(
            "of {} requested; {} messages outstanding",
            short(rate),
            grouped(echo.outstanding)
        ),
        (0, Some(rate)) => format!("of {} requested; all replies correct", short(rate)),
        (0, None) => "closed loop; all replies correct".to_owned(),
        _ => {
            let [wrong, due] = [wrong, echo.due].map(grouped);
            format!("{wrong} of {due} mismatched or missing")
        }
    };
    Tile::new("echoes/s", figure, note).alarming(wrong > 0 || is_behind)
}

fn percentile(name: &'static str, result: &LoadResult, response: u64, service: u64) -> Tile {
    let echo = &result.echo;
    if echo.response_time_us.count == 0 {
        return Tile::absent(name, "no reply received");
    }
    let is_bound = echo.response_time_lower_bounds.is_bound(name);
    let sign = if is_bound { "\u{2265} " } else { "" };
    let note = match echo.service_time_us.count {
        0 => "response time; no reply received".to_owned(),
        _ => format!("response time; service time {}", micros(service)),
    };
    Tile::new(name, format!("{sign}{}", micros(response)), note).alarming(is_bound)
}

fn memory(result: &LoadResult) -> Tile {
    const NAME: &str = "bytes/connection";
    let Some(server) = &result.server else {
        return Tile::absent(NAME, "unknown: measured with --server-pid");
    };
    let note = format!(
        "resident memory of the server: {} in total",
        bytes(server.rss_bytes)
    );
    Tile::new(NAME, short(server.rss_bytes_per_connection), note)
}
