//! Limits of the kernel for a user, in a new process or in both: the upgrade fails with their names.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use nix::unistd::Uid;

use super::failures::{LONG, assert_fails};
use super::{Clients, Upgradable};
use crate::tools::{have_tool, lacking, skip};

/// A user whose limits and capabilities are not those of root.
const USER: u32 = 54_321;

/// Starts a daemon as this user with `prlimit` flags; `None` if that is not possible here.
fn start_as_user(user: u32, limit: &str) -> Option<(Upgradable, Clients)> {
    let can = (Uid::effective().is_root() || lacking("only root can become another user"))
        && have_tool("setpriv")
        && have_tool("prlimit");
    can.then(|| {
        let server = Upgradable::start_as(&["-p", "line", "--upgrade-timeout", LONG], |path| {
            let mut command = Command::new("prlimit");
            let id = user.to_string();
            command.args([
                limit,
                "setpriv",
                "--reuid",
                &id,
                "--regid",
                &id,
                "--clear-groups",
            ]);
            command.arg(path);
            command
        });
        let clients = Clients::connect(&server, 20);
        (server, clients)
    })
}

#[test]
fn exhausted_process_limit_is_named() {
    if let Some((server, mut clients)) = start_as_user(USER, "--nproc=1") {
        assert_fails(&server, &mut clients, "Resource temporarily unavailable");
    }
}

/// The kernel limits the descriptors of a user that are in flight to the limit of open descriptors.
#[test]
fn too_many_descriptors_in_flight_are_reported() {
    if !have_tool("python3") {
        return;
    }
    let Some((server, mut clients)) = start_as_user(USER, "--nofile=200") else {
        return;
    };
    server.install_script("unread");
    let script = format!(
        "import os, socket, time\n\
         os.setgroups([]); os.setgid({USER}); os.setuid({USER})\n\
         ends = socket.socketpair()\n\
         [socket.send_fds(ends[0], [b'x'], [0] * 200) for _ in range(3)]\n\
         print('ready', flush=True)\n\
         time.sleep(1000)"
    );
    let holder = Holder::start(&script);
    assert_fails(&server, &mut clients, "Too many references");
    drop(holder);
}

/// A process that holds what is limited. It ends with this value.
struct Holder(Child);

impl Holder {
    /// Runs a script until it prints `ready`.
    #[track_caller]
    fn start(script: &str) -> Holder {
        let mut python = Command::new("python3");
        python.args(["-c", script]).stdout(Stdio::piped());
        let mut holder = Holder(python.spawn().unwrap());
        let mut ready = [0; 6];
        let stdout = holder.0.stdout.as_mut().unwrap();
        stdout.read_exact(&mut ready).unwrap();
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More watches than this would take too long. The default is as many as take 4 % of the memory: 8 million of 32 GB.
const MOST_WATCHES: u64 = 8_000_000;

/// The kernel limits how many file descriptors a user may register in all of its epoll instances (epoll(7)).
#[test]
fn exhausted_watches_of_a_user_are_reported() {
    if !have_tool("python3") {
        return;
    }
    let limit = fs::read_to_string("/proc/sys/fs/epoll/max_user_watches").unwrap();
    if limit.trim().parse::<u64>().unwrap() > MOST_WATCHES {
        skip("fs.epoll.max_user_watches is larger than a test can use up");
        return;
    }
    // The limit is that of one user, so no other process notices.
    let user = 60_000_000 + std::process::id();
    let Some((server, mut clients)) = start_as_user(user, "--nofile=200") else {
        return;
    };
    // Some are left for the old process, which watches the new one, and too few for all connections.
    let script = format!(
        "import os, select, time\n\
         os.setgroups([]); os.setgid({user}); os.setuid({user})\n\
         files = [os.eventfd(0) for _ in range(4000)]\n\
         epolls = []\n\
         try:\n\
         \x20   while True:\n\
         \x20       epolls.append(select.epoll())\n\
         \x20       register = epolls[-1].register\n\
         \x20       for file in files: register(file, 0)\n\
         except OSError as error:\n\
         \x20   assert error.errno == 28, error\n\
         for file in files[:10]: epolls[0].unregister(file)\n\
         print('ready', flush=True)\n\
         time.sleep(1000)"
    );
    let holder = Holder::start(&script);
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    // Its own words: the old process could watch it.
    assert!(error.contains("the new process"), "{error}");
    assert!(error.contains("No space left on device"), "{error}");
    clients.finish_lines();
    assert_eq!(server.pid(), server.daemon.pid());
    drop(holder);
    assert_fails_no_more(&server, &mut clients);
}

/// New connections are served, and the next upgrade succeeds.
#[track_caller]
fn assert_fails_no_more(server: &Upgradable, clients: &mut Clients) {
    Clients::connect(server, 1).finish_lines();
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert_ne!(server.pid(), server.daemon.pid());
    clients.finish_lines();
}
