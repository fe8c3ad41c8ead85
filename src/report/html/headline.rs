//! The figures that matter, first.

use crate::load::{LoadResult, Saved};
use crate::numbers::grouped;
use crate::report::chart::Escaped;
use crate::report::units::{as_f64, bytes, short, time, whole};
use std::fmt::Write;

struct Tile {
    name: &'static str,
    figure: String,
    note: String,
    is_alarming: bool,
}

/// Held, lost, echoes per second, p50, p99, bytes per connection.
pub(super) fn tiles(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let all = [
        held(result),
        lost(result),
        rate(saved),
        percentile("p50", result, result.echo.response_time_us.p50),
        percentile("p99", result, result.echo.response_time_us.p99),
        memory(saved),
    ];
    page.push_str("<dl class=\"tiles\">\n");
    for tile in all {
        let _ = writeln!(
            page,
            "<div{}><dt>{}</dt><dd class=\"figure\">{}</dd><dd class=\"note\">{}</dd></div>",
            if tile.is_alarming {
                " class=\"alarm\""
            } else {
                ""
            },
            tile.name,
            Escaped(&tile.figure),
            Escaped(&tile.note)
        );
    }
    page.push_str("</dl>\n");
}

fn held(result: &LoadResult) -> Tile {
    let connections = &result.connections;
    let held = connections.opened.saturating_sub(connections.lost);
    let probe = &result.probe;
    let alive = if probe.asked > 0 {
        format!(
            "; {} of {} idle ones alive at the end",
            grouped(probe.alive),
            grouped(probe.asked)
        )
    } else {
        String::new()
    };
    Tile {
        name: "held",
        figure: grouped(held),
        note: format!("of {} asked for{alive}", grouped(connections.asked)),
        is_alarming: held < connections.asked || probe.alive < probe.asked,
    }
}

fn lost(result: &LoadResult) -> Tile {
    let failed = result.connections.failed.total();
    Tile {
        name: "lost",
        figure: grouped(result.connections.lost),
        note: match failed {
            0 => "none failed to open".to_owned(),
            failed => format!("and {} failed to open", grouped(failed)),
        },
        is_alarming: result.connections.lost > 0 || failed > 0,
    }
}

fn rate(saved: &Saved) -> Tile {
    let echo = &saved.result.echo;
    if echo.sent == 0 {
        return absent("echoes/s", "no echoes were asked for");
    }
    let wrong = echo.mismatched.saturating_add(echo.unanswered);
    Tile {
        name: "echoes/s",
        figure: if echo.per_second < 1e6 {
            grouped(whole(echo.per_second))
        } else {
            short(echo.per_second)
        },
        note: match (wrong, saved.configuration.rate) {
            (0, Some(rate)) => format!("of {} asked for; all came back right", short(rate)),
            (0, None) => "as fast as they came; all came back right".to_owned(),
            (wrong, _) => format!(
                "{} of {} wrong or never answered",
                grouped(wrong),
                grouped(echo.sent)
            ),
        },
        is_alarming: wrong > 0,
    }
}

fn percentile(name: &'static str, result: &LoadResult, microseconds: u64) -> Tile {
    if result.echo.response_time_us.count == 0 {
        return absent(name, "no echo came back");
    }
    let service = &result.echo.service_time_us;
    let service = if name == "p50" {
        service.p50
    } else {
        service.p99
    };
    Tile {
        name,
        figure: time(as_f64(microseconds)),
        note: format!("response time; service time {}", time(as_f64(service))),
        is_alarming: false,
    }
}

fn memory(saved: &Saved) -> Tile {
    let Some(server) = &saved.result.server else {
        return absent("bytes/connection", "unknown: --server-pid names the server");
    };
    Tile {
        name: "bytes/connection",
        figure: short(server.rss_bytes_per_connection),
        note: format!(
            "user memory of the server: {} in all",
            bytes(server.rss_bytes)
        ),
        is_alarming: false,
    }
}

fn absent(name: &'static str, why: &str) -> Tile {
    Tile {
        name,
        figure: "\u{2013}".to_owned(),
        note: why.to_owned(),
        is_alarming: false,
    }
}
