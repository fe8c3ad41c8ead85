//! A request-reply server in one closure: each line is a sum, and its answer is a line.
//!
//! `cargo run --example calculator -- 127.0.0.1:8001`, and then `nc 127.0.0.1 8001`, and type `6 * 7`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{Finish, Line};
use echoloop::server::{Config, Server};
use std::fmt::Write;

/// The longest line that is taken, in bytes.
const LONGEST: usize = 1000;

/// Works out `6 * 7`; `None` if it makes no sense.
fn calculate(sum: &[u8]) -> Option<i64> {
    let mut words = str::from_utf8(sum).ok()?.split_whitespace();
    let mut number = words.next()?.parse().ok()?;
    while let Some(operator) = words.next() {
        let operand: i64 = words.next()?.parse().ok()?;
        number = match operator {
            "+" => i64::checked_add(number, operand)?,
            "-" => i64::checked_sub(number, operand)?,
            "*" => i64::checked_mul(number, operand)?,
            "/" => i64::checked_div(number, operand)?,
            _ => return None,
        };
    }
    Some(number)
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8001".into());
    let address = address.parse().map_err(std::io::Error::other)?;
    // What the closure holds, all its connections share.
    let mut answered = 0_u64;
    let calculator = Line::new(LONGEST, move |line, reply| {
        answered += 1;
        if line == b"quit" {
            let _ = write!(reply, "goodbye, after {answered} lines of everybody's");
            reply.finish(Finish::Done);
        } else if let Some(result) = calculate(line) {
            reply.echo();
            let _ = write!(reply, " = {result}");
        } else {
            reply.write(b"what is that?");
        }
    });
    let mut server = Server::new(MioNet::with_signals()?, calculator, Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
