//! The server under load, on a free port of 127.0.0.1.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::ECHOLOOP;

/// A running `echoloop serve`. Dropping it ends the process.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Server {
        let mut process = Command::new(ECHOLOOP)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut lines = log.by_ref().map(Result::unwrap);
        let address = lines
            .find_map(|line| {
                let (_, after) = line.split_once("listening on ")?;
                Some(after.split(' ').next()?.to_owned())
            })
            .expect("the server listens");
        // A full pipe would drop log lines.
        thread::spawn(move || log.for_each(drop));
        Server { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
