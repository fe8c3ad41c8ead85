//! `deploy/slurm/load.sbatch`, submitted to a real cluster.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cluster::{Cluster, Ended, NODES, PATIENCE};
use crate::results::{only_line, percentile, response_times, sum};
use crate::server::Server;
use crate::tools::{have_tool, run};
use crate::{ECHOLOOP, recipe};

fn submit(cluster: &Cluster, start_in: &str, arguments: &[&str]) -> String {
    let variables = [("ECHOLOOP", ECHOLOOP), ("START_IN", start_in)];
    cluster.submit(&variables, &recipe("slurm/load.sbatch"), arguments)
}

/// The results of all tasks.
#[track_caller]
fn saved(ended: &Ended) -> Vec<Value> {
    let read = |task| fs::read_to_string(ended.results.join(format!("run-{task}.json"))).unwrap();
    (0..NODES).map(|task| only_line(&read(task))).collect()
}

/// The merged result of the files of a job, as `-o json`.
fn merged(ended: &Ended) -> Value {
    let mut report = std::process::Command::new(ECHOLOOP);
    report.args(["report", "--parts", &NODES.to_string(), "-o", "json"]);
    report.args((0..NODES).map(|task| ended.results.join(format!("run-{task}.json"))));
    let output = run(report, b"");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The process of this task of a job, as soon as it is the load tester.
#[track_caller]
fn process_of(cluster: &Cluster, job: &str, task: u32) -> Pid {
    let deadline = Instant::now() + PATIENCE;
    let has = |environment: &[u8], variable: String| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == variable.as_bytes())
    };
    // Jobs of other clusters have the same numbers.
    let configuration = format!("SLURM_CONF={}", cluster.file("slurm.conf").display());
    let is_task = |process: &Path| {
        let is_load =
            fs::read_link(process.join("exe")).is_ok_and(|exe| exe == Path::new(ECHOLOOP));
        is_load
            && fs::read(process.join("environ")).is_ok_and(|environment| {
                has(&environment, format!("SLURM_JOB_ID={job}"))
                    && has(&environment, format!("SLURM_PROCID={task}"))
                    && has(&environment, configuration.clone())
            })
    };
    loop {
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let mut numbers = processes.filter_map(|entry| {
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            is_task(&entry.path()).then_some(number)
        });
        if let Some(number) = numbers.next() {
            return Pid::from_raw(number);
        }
        assert!(
            Instant::now() < deadline,
            "task {task} of job {job} did not start"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn four_tasks_hold_10_050_connections_and_lose_none() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = Server::start(&[]);
    let load = [
        "--idle",
        "10k",
        "--active",
        "50",
        "--rate",
        "2k",
        "--duration",
        "2s",
    ];
    let load = [
        &[&*server.address][..],
        &load,
        &["--connect-timeout", "60s"],
    ]
    .concat();
    let ended = cluster.wait(&submit(&cluster, "8", &load));
    let text = &ended.output;
    assert_eq!(ended.exit_code, 0, "{text}");
    for line in [
        "10,050 requested, 10,050 established, 0 failed, 0 lost",
        "10,000 idle probed, 10,000 alive, 0 dead, 0 mismatched",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let (saved, merged) = (saved(&ended), merged(&ended));
    assert_eq!(sum(&saved, "/result/connections/opened"), 10_050);
    assert_eq!(sum(&saved, "/configuration/active"), 50);
    let times = response_times(&saved);
    let received = sum(&saved, "/result/echo/received");
    assert!(received > 0, "{merged:#}");
    assert_eq!(merged["echo"]["received"], received);
    let of_merged = &merged["echo"]["response_time_us"];
    assert_eq!(of_merged["count"], times.values().sum::<u64>());
    assert_eq!(of_merged["p99"], percentile(&times, 99), "{of_merged}");
}

/// A program that runs the program under test with a wall clock that is 3 s behind in one task.
fn with_one_clock_behind(cluster: &Cluster, task: u32) -> String {
    let program = cluster.file("echoloop");
    let script = format!(
        "#!/bin/sh\n\
        if [ \"$1:$SLURM_PROCID\" = load:{task} ]; then\n\
        exec faketime --exclude-monotonic -f -3s {ECHOLOOP} \"$@\"\nfi\nexec {ECHOLOOP} \"$@\"\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program.into_os_string().into_string().unwrap()
}

#[test]
fn report_of_tasks_with_clock_compares_their_clocks() {
    let behind = 2;
    let installed = have_tool("faketime").then(Cluster::start).flatten();
    let Some(cluster) = installed else {
        return;
    };
    let (server, clock) = (Server::start(&[]), Server::start(&["-p", "clock"]));
    let program = with_one_clock_behind(&cluster, behind);
    let load = ["--active", "8", "--rate", "80", "--duration", "1s"];
    let load = [&[&*server.address][..], &load, &["--clock", &clock.address]].concat();
    let variables = [("ECHOLOOP", &*program), ("START_IN", "8")];
    let job = cluster.submit(&variables, &recipe("slurm/load.sbatch"), &load);
    let ended = cluster.wait(&job);
    assert_eq!(ended.exit_code, 0, "{}", ended.output);
    let together = &merged(&ended)["together"];
    assert_eq!(together["clocks"], "compared", "{together}");
    assert_eq!(together["server"], *clock.address, "{together}");
    for (task, saved) in (0..).zip(saved(&ended)) {
        let reading = &saved["result"]["clock"];
        let [offset, uncertainty] =
            ["offset_us", "uncertainty_us"].map(|key| reading[key].as_f64().unwrap());
        let expected = if task == behind { 3e6 } else { 0.0 };
        // Beside the uncertainty, the precision of libfaketime.
        let error = (offset - expected).abs();
        assert!(error <= uncertainty + 100.0, "task {task}: {reading}");
    }
}

#[test]
fn missed_expectation_of_a_task_is_exit_code_3() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = Server::start(&[]);
    let load = ["--active", "8", "--rate", "80", "--duration", "3s"];
    let load = [&[&*server.address][..], &load, &["--expect", "p99<1us"]].concat();
    let ended = cluster.wait(&submit(&cluster, "5", &load));
    assert_eq!(ended.exit_code, 3, "{}", ended.output);
    assert!(ended.output.contains("p99<1us: MISSED"), "{}", ended.output);
    assert_eq!(sum(&saved(&ended), "/result/connections/opened"), 8);
}

#[test]
fn killed_task_is_named_and_the_exit_code_is_1() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let server = Server::start(&[]);
    let load = ["--active", "8", "--rate", "80", "--duration", "3s"];
    let load = [&[&*server.address][..], &load].concat();
    let job = submit(&cluster, "5", &load);
    kill(process_of(&cluster, &job, 2), Signal::SIGKILL).unwrap();
    let ended = cluster.wait(&job);
    let text = &ended.output;
    assert_eq!(ended.exit_code, 1, "{text}");
    assert!(text.contains("part 3 of 4"), "{text}");
    // The others are not ended.
    for task in [0, 1, 3] {
        let file = ended.results.join(format!("run-{task}.json"));
        only_line(&fs::read_to_string(file).unwrap());
    }
}
