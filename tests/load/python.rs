//! A server in python3 that prints its port. Shared with the benches.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A server with asyncio's default backlog of 100, which echoes.
pub(crate) const ASYNCIO: &str = "
import asyncio, resource
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
";

/// A running server. Dropping it ends the process.
pub(crate) struct Python {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Python {
    /// Runs this program, which listens on 127.0.0.1 and then prints its port.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Python {
        let mut process = Command::new("python3")
            .args(["-c", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Python { process, address }
    }

    #[allow(dead_code, reason = "the benches watch no process")]
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
