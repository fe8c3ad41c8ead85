//! A Slurm cluster of four nodes on this machine: a `munged` with a new key, a `slurmctld` and four `slurmd`, all
//! below `target/` and on free ports of 127.0.0.1, without systemd and cgroups.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::tools::{lacking, run};

/// How long a step of the cluster or a job may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) const NODES: u16 = 4;

/// How often a cluster is started if another process takes one of its ports.
const ATTEMPTS: u32 = 3;

/// A running cluster. Dropping it cancels its jobs and ends its daemons.
pub(crate) struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
}

/// A job that has ended.
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    /// What the batch script wrote.
    pub(crate) output: String,
    /// The folder of the results of its tasks.
    pub(crate) results: PathBuf,
}

/// `PATH` with the folders of daemons, which the `PATH` of a user may not have.
fn path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin")
}

fn is_installed(program: &str) -> bool {
    env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

impl Cluster {
    /// Starts a cluster and waits until all nodes are idle; `None` if a program is missing.
    pub(crate) fn start() -> Option<Cluster> {
        for program in ["munged", "slurmctld", "slurmd", "sbatch"] {
            if !is_installed(program) {
                lacking(&format!("{program} is missing"));
                return None;
            }
        }
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let mut cluster = Cluster::launch();
            match cluster.wait_until_idle() {
                Ok(()) => return Some(cluster),
                Err(reason) => why = reason,
            }
        }
        panic!("no cluster after {ATTEMPTS} attempts: {why}");
    }

    fn launch() -> Cluster {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut cluster = Cluster {
            folder,
            daemons: Vec::new(),
        };
        // munged requires that all users can reach its socket.
        fs::set_permissions(cluster.folder.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["state", "spool", "work"] {
            fs::create_dir(cluster.file(name)).unwrap();
        }
        cluster.write_key();
        fs::write(cluster.file("slurm.conf"), cluster.configuration()).unwrap();
        let flag = |flag: &str, name: &str| format!("--{flag}={}", cluster.file(name).display());
        let munged = [
            "--foreground".to_owned(),
            // Folders that other users may write to are those of this project.
            "--force".to_owned(),
            flag("key-file", "key"),
            flag("socket", "munge"),
            flag("pid-file", "munged.pid"),
            flag("log-file", "munged.log"),
            flag("seed-file", "seed"),
        ];
        cluster.spawn("munged", &munged);
        let socket = cluster.file("munge");
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "munged: {}", cluster.logs());
            thread::sleep(Duration::from_millis(5));
        }
        let words =
            |words: &[&str]| -> Vec<String> { words.iter().map(ToString::to_string).collect() };
        cluster.spawn("slurmctld", &words(&["-D", "-c"]));
        for node in 1..=NODES {
            cluster.spawn("slurmd", &words(&["-D", "-N", &format!("n{node}")]));
        }
        cluster
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_key(&self) {
        let mut key = [0; 128];
        File::open("/dev/urandom")
            .unwrap()
            .read_exact(&mut key)
            .unwrap();
        fs::write(self.file("key"), key).unwrap();
        fs::set_permissions(self.file("key"), Permissions::from_mode(0o600)).unwrap();
    }

    fn configuration(&self) -> String {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = hostname.trim().split('.').next().unwrap();
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let folder = self.folder.path().display();
        // All ports at once, so that each is another one.
        let listeners =
            [(); NODES as usize + 1].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let mut text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmUser={user}\nSlurmdUser={user}\n\
             CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\nAuthType=auth/munge\nAuthInfo=socket={folder}/munge\n\
             StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool/%n\nSlurmctldPidFile={folder}/slurmctld.pid\n\
             SlurmdPidFile={folder}/slurmd.%n.pid\nSlurmctldLogFile={folder}/slurmctld.log\n\
             SlurmdLogFile={folder}/slurmd.%n.log\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\nMpiDefault=none\n\
             JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nSchedulerType=sched/builtin\nReturnToService=2\n\
             SlurmdTimeout=0\nMailProg=/bin/true\nKillOnBadExit=1\n\
             PartitionName=all Nodes=n[1-{NODES}] Default=YES MaxTime=INFINITE State=UP\n",
            ports[0],
        );
        for (node, port) in (1..).zip(&ports[1..]) {
            let node = format!(
                "NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1\n"
            );
            text.push_str(&node);
        }
        text
    }

    /// A program of the cluster, without variables of any other.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.folder.path())
            .env("SLURM_CONF", self.file("slurm.conf"))
            .current_dir(self.file("work"));
        command
    }

    fn spawn(&mut self, program: &str, arguments: &[String]) {
        let output =
            File::create(self.file(&format!("{}.{program}.out", self.daemons.len()))).unwrap();
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        self.daemons.push(command.spawn().unwrap());
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(program);
        command.args(arguments);
        run(command, b"")
    }

    fn wait_until_idle(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.run("sinfo", &["--noheader", "--format=%D %t"]);
            if output.stdout == format!("{NODES} idle\n").as_bytes() {
                return Ok(());
            }
            let mut daemons = self.daemons.iter_mut();
            let has_ended = daemons.any(|daemon| daemon.try_wait().unwrap().is_some());
            if has_ended || Instant::now() > deadline {
                let state = String::from_utf8_lossy(&output.stdout).into_owned();
                return Err(format!(
                    "a daemon ended: {has_ended}; nodes: {state}{}",
                    self.logs()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The logs of all daemons.
    fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|file| file.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|e| e == "log" || e == "out"));
        logs.fold(String::new(), |all, path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            format!("{all}\n== {}\n{text}", path.display())
        })
    }

    /// Submits a batch script and returns the number of the job.
    #[track_caller]
    pub(crate) fn submit(
        &self,
        variables: &[(&str, &str)],
        script: &Path,
        arguments: &[&str],
    ) -> String {
        let mut sbatch = self.command("sbatch");
        sbatch
            .arg("--parsable")
            .arg(script)
            .args(arguments)
            .envs(variables.iter().copied());
        let output = run(sbatch, b"");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until a job has ended.
    #[track_caller]
    pub(crate) fn wait(&self, job: &str) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let mut shown;
        loop {
            let output = self.run("scontrol", &["--oneliner", "show", "job", job]);
            shown = String::from_utf8(output.stdout).unwrap();
            if ["COMPLETED", "FAILED"].contains(&field(&shown, "JobState")) {
                break;
            }
            assert!(Instant::now() < deadline, "{shown}{}", self.logs());
            thread::sleep(Duration::from_millis(50));
        }
        let work = self.file("work");
        let (exit_code, _signal) = field(&shown, "ExitCode").split_once(':').unwrap();
        Ended {
            exit_code: exit_code.parse().unwrap(),
            output: fs::read_to_string(work.join(format!("echoloop-{job}.txt"))).unwrap(),
            results: work.join(format!("echoloop-{job}")),
        }
    }
}

/// The value of `name=value` in a line of `scontrol`.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A test that fails may leave a job, whose processes are no children of the daemons.
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_running = || {
            let _ = self
                .command("scancel")
                .args(["--quiet", "--partition=all"])
                .status();
            let queue = self.command("squeue").arg("--noheader").output();
            queue.is_ok_and(|queue| !queue.stdout.is_empty())
        };
        while is_running() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let deadline = Instant::now() + Duration::from_secs(10);
            for daemon in &mut self.daemons {
                if matches!(daemon.try_wait(), Ok(None)) {
                    let _ = kill(Pid::from_raw(daemon.id().cast_signed()), signal);
                }
            }
            let mut is_alive = || {
                let mut daemons = self.daemons.iter_mut();
                daemons.any(|daemon| matches!(daemon.try_wait(), Ok(None)))
            };
            while is_alive() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
