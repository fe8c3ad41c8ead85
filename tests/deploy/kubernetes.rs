//! `deploy/kubernetes`: the manifests are built by kustomize and validated strictly against the schema of Kubernetes. No
//! cluster runs them, but the command of the Job is run, and `run` with processes in place of pods.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;
use crate::tools::{have_tool, lacking, run, run_within};
use crate::{ECHOLOOP, recipe};

const PATIENCE: Duration = Duration::from_secs(120);

/// From YAML to a list in JSON.
const TO_JSON: &str =
    "import json, sys, yaml\njson.dump([*yaml.safe_load_all(sys.stdin)], sys.stdout)";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Python with the packages for the tests.
fn python() -> Option<PathBuf> {
    let python = project("target/tools/venv/bin/python3");
    let mut has = Command::new(&python);
    has.args(["-c", "import kubernetes_validate, yaml"]);
    let is_there = has.output().is_ok_and(|output| output.status.success());
    let remedy = "target/tools/venv has no kubernetes-validate: .ci/run installs it";
    (is_there || lacking(remedy)).then_some(python)
}

/// The manifests of a folder, as kustomize builds them.
fn built(folder: &str) -> Option<String> {
    if !have_tool("kubectl") {
        return None;
    }
    let mut kubectl = Command::new("kubectl");
    kubectl
        .arg("kustomize")
        .arg(recipe("kubernetes").join(folder));
    let output = run_within(PATIENCE, kubectl, b"");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Validates manifests: unknown keys are errors.
fn validate(python: &Path, manifests: &str) -> Output {
    let mut validator = Command::new(python);
    validator.args(["-m", "kubernetes_validate", "--strict", "/dev/stdin"]);
    run_within(PATIENCE, validator, manifests.as_bytes())
}

/// The manifests as JSON.
fn parsed(python: &Path, manifests: &str) -> Vec<Value> {
    let mut parser = Command::new(python);
    parser.args(["-c", TO_JSON]);
    serde_json::from_slice(&run(parser, manifests.as_bytes()).stdout).unwrap()
}

#[track_caller]
fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut manifests = manifests.iter();
    let found = manifests.find(|manifest| manifest["kind"] == kind);
    &found.unwrap_or_else(|| panic!("no {kind}"))["spec"]
}

/// The manifests of a folder, and Python; `None` if a tool is missing.
fn manifests(folder: &str) -> Option<(PathBuf, String, Vec<Value>)> {
    let (python, text) = (python()?, built(folder)?);
    let all = parsed(&python, &text);
    Some((python, text, all))
}

#[test]
fn manifests_are_valid_by_the_strict_schema() {
    for (folder, count) in [("serve", 2), ("load", 1)] {
        let Some((python, text, all)) = manifests(folder) else {
            return;
        };
        assert_eq!(all.len(), count, "{text}");
        let output = validate(&python, &text);
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{shown}");
        assert_eq!(shown.matches(" passed ").count(), count, "{shown}");
    }
}

#[test]
fn validator_finds_an_unknown_key_and_a_wrong_type() {
    let Some((python, text, _)) = manifests("load") else {
        return;
    };
    for (right, wrong) in [
        ("backoffLimit: 0", "backOffLimit: 0"),
        ("maxSkew: 1", "maxSkew: one"),
        ("topologyKey:", "topologykey:"),
    ] {
        assert!(text.contains(right), "{text}");
        let output = validate(&python, &text.replace(right, wrong));
        assert!(!output.status.success(), "{wrong} is valid");
    }
}

#[test]
fn service_and_probes_reach_the_port_of_the_server() {
    let Some((_, _, all)) = manifests("serve") else {
        return;
    };
    let (deployment, service) = (of_kind(&all, "Deployment"), of_kind(&all, "Service"));
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(&deployment["selector"]["matchLabels"], labels);
    assert_eq!(&service["selector"], labels);
    let container = &deployment["template"]["spec"]["containers"][0];
    let port = &container["ports"][0];
    assert_eq!(service["ports"][0]["targetPort"], port["name"]);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(
            container[probe]["tcpSocket"]["port"], port["name"],
            "{probe}"
        );
    }
    let listen = format!(":{}", port["containerPort"]);
    assert!(
        container["args"]
            .as_array()
            .unwrap()
            .contains(&listen.into())
    );
    let resolved = format!("echoloop:{}", service["ports"][0]["port"]);
    let Some((_, text, _)) = manifests("load") else {
        return;
    };
    assert!(text.contains(&format!("value: {resolved}\n")), "{text}");
}

#[test]
fn job_has_a_part_for_each_pod_and_starts_none_again() {
    let Some((_, _, all)) = manifests("load") else {
        return;
    };
    let job = of_kind(&all, "Job");
    assert_eq!(job["completionMode"], "Indexed");
    assert_eq!(job["backoffLimit"], 0);
    assert_eq!(job["parallelism"], job["completions"]);
    let pod = &job["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let mut parts = variables
        .iter()
        .filter(|variable| variable["name"] == "ECHOLOOP_PARTS");
    assert_eq!(
        parts.next().unwrap()["value"],
        job["completions"].to_string()
    );
    let spread = &pod["topologySpreadConstraints"][0];
    assert_eq!(
        spread["labelSelector"]["matchLabels"],
        job["template"]["metadata"]["labels"]
    );
    assert_eq!(
        pod["securityContext"]["sysctls"][0]["name"],
        "net.ipv4.ip_local_port_range"
    );
}

/// Writes a program that all users may run.
fn install(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}

/// A run of the Job that has ended.
struct Ended {
    exit_code: Option<i32>,
    /// Output and messages of `run`.
    text: String,
    /// The condition of the Job.
    condition: String,
}

/// Runs `run` with processes in place of pods; the log of the pod `lost` cannot be read. `None` if a tool is missing.
fn run_job(flags: &[&str], load: &str, lost: &str) -> Option<Ended> {
    let (python, text) = (python()?, built("load")?);
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    let job = folder.path().join("job");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&job).unwrap();
    let emulation = project("tests/deploy/kubectl.py");
    let script = format!(
        "#!/bin/sh\nexec {} {} \"$@\"\n",
        python.display(),
        emulation.display()
    );
    install(&bin.join("kubectl"), &script);
    std::os::unix::fs::symlink(ECHOLOOP, bin.join("echoloop")).unwrap();
    // A smaller load than in the recipe.
    let of_recipe = "--idle 10k --active 50 --rate 5k --duration 30s --connect-timeout";
    assert!(text.contains(of_recipe), "{text}");
    let manifest = fs::read_to_string(recipe("kubernetes/load/job.yaml")).unwrap();
    let manifest = manifest.replace(&format!("{of_recipe} 30s"), load);
    fs::write(job.join("job.yaml"), manifest).unwrap();
    fs::copy(
        recipe("kubernetes/load/kustomization.yaml"),
        job.join("kustomization.yaml"),
    )
    .unwrap();
    let path = env::var("PATH").unwrap_or_default();
    let real = env::split_paths(&path).map(|folder| folder.join("kubectl"));
    let real = real.into_iter().find(|file| file.is_file()).unwrap();
    let server = Server::start(&[]);
    let mut command = Command::new(recipe("kubernetes/run"));
    command
        .arg(&job)
        .args(flags)
        .env_remove("ECHOLOOP_LOG")
        .env("START_IN", "5")
        .env("KUBECTL", real)
        .env("FOLDER", folder.path())
        .env("TARGET", &server.address)
        .env("LOST", lost)
        .env("PATH", format!("{}:{path}", bin.display()));
    let output = run_within(PATIENCE, command, b"");
    Some(Ended {
        exit_code: output.status.code(),
        text: String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        condition: fs::read_to_string(folder.path().join("condition")).unwrap(),
    })
}

#[test]
fn run_merges_the_logs_of_all_pods() {
    let load = "--idle 1000 --active 10 --rate 100 --duration 3s";
    let Some(ended) = run_job(&["--expect", "alive=100%"], load, "none") else {
        return;
    };
    let text = &ended.text;
    assert_eq!(ended.exit_code, Some(0), "{text}");
    for part in [
        "1,010 requested, 1,010 established, 0 failed, 0 lost",
        "1,000 idle probed, 1,000 alive, 0 dead, 0 mismatched",
        "alive=100%: met",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn missed_expectation_ends_no_pod_and_is_exit_code_3() {
    let load = "--active 8 --rate 80 --duration 3s --expect p99<1us";
    let Some(ended) = run_job(&["--expect", "p99<1us"], load, "none") else {
        return;
    };
    let text = &ended.text;
    assert_eq!(ended.exit_code, Some(3), "{text}");
    assert_eq!(ended.condition, "Complete", "{text}");
    assert!(text.contains("8 requested, 8 established"), "{text}");
    assert!(text.contains("p99<1us: MISSED"), "{text}");
}

#[test]
fn pod_without_a_log_is_named_with_exit_code_1() {
    let load = "--active 8 --rate 80 --duration 3s";
    let Some(ended) = run_job(&[], load, "2") else {
        return;
    };
    let text = &ended.text;
    assert_eq!(ended.exit_code, Some(1), "{text}");
    assert!(text.contains("no log of pod/echoloop-load-2-x"), "{text}");
    assert!(text.contains("part 3 of 4"), "{text}");
}
