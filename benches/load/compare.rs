//! `report --compare`: the same server twice, and a server with 20 % more service time.

use crate::fixed::{Above, Fixed};
use crate::programs::{Running, program};
use crate::report::Report;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const SERVICE_TIME: Duration = Duration::from_millis(1);

/// 20 % more.
const SLOWER: Duration = Duration::from_micros(1200);

/// The number of trials of each kind.
const TRIALS: u32 = 20;

/// The shortest run that can be compared.
const SECONDS: &str = "7s";

/// Measures a server of this service time, and saves the result.
fn measure(service_time: Duration, path: &Path) {
    let server = Fixed {
        service: service_time,
        limit: usize::MAX,
        above: Above::Reset,
    };
    let save = path.to_str().unwrap();
    let arguments = [
        "--active",
        "8",
        "--duration",
        SECONDS,
        "--warmup",
        "200ms",
        "-o",
        "json",
        "--save",
        save,
    ];
    let result = Running::start(server.start(), &arguments).finish();
    assert_eq!(result.echo.mismatched, 0, "{result:#?}");
}

/// Compares two of the saved results in `folder`.
fn compare(folder: &Path, files: [&str; 2], format: &str) -> String {
    let [base, new] = files;
    let output = program(&["report", "--compare", base, new, "-o", format])
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn compare_json(folder: &Path, files: [&str; 2]) -> Value {
    serde_json::from_str(&compare(folder, files, "json")).unwrap()
}

/// The figures of a comparison that are significant, with their changes.
fn significant(comparison: &Value) -> Vec<String> {
    let figures = comparison["compare"].as_object().unwrap();
    let significant = figures
        .iter()
        .filter(|(_, figure)| figure["significant"] == true);
    let shown = significant.map(|(name, figure)| {
        format!("{name} {:.1} %", figure["change_percent"].as_f64().unwrap())
    });
    shown.collect()
}

/// The same server twice is never different, one with 20 % more service time always.
pub(crate) fn run(report: &mut Report) {
    report.part(
        "compare",
        "1 ms per message, twice; and 1.2 ms: runs of 7 s, closed loop",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let trials = if report.quick { 1 } else { TRIALS };
    let (mut same, mut slower) = (0, 0);
    for trial in 1..=trials {
        let [base, again, slow] = ["base.json", "again.json", "slow.json"].map(path);
        measure(SERVICE_TIME, &base);
        // The slower one is not always the last.
        if trial % 2 == 0 {
            measure(SERVICE_TIME, &again);
            measure(SLOWER, &slow);
        } else {
            measure(SLOWER, &slow);
            measure(SERVICE_TIME, &again);
        }
        let unchanged = compare_json(folder.path(), ["base.json", "again.json"]);
        let changed = compare_json(folder.path(), ["base.json", "slow.json"]);
        let (wrong, found) = (significant(&unchanged), significant(&changed));
        println!("  {trial}: same: {wrong:?}; slower: {found:?}");
        same += u32::from(unchanged["verdict"] == "no significant difference" && wrong.is_empty());
        slower += u32::from(changed["compare"]["rate"]["significant"] == true);
    }
    println!(
        "{}",
        compare(folder.path(), ["base.json", "slow.json"], "text")
    );
    let of_all = |count: u32| format!("{count} of {trials}");
    let bar = format!("{trials} of {trials}");
    report.time_bar(
        "same server: no significant difference",
        of_all(same),
        &bar,
        same == trials,
    );
    report.time_bar(
        "20 % more service time: significant",
        of_all(slower),
        &bar,
        slower == trials,
    );
}
