//! A request-reply server: a closure calculates the reply to each line.
//!
//! Run `cargo run --example calculator -- 127.0.0.1:8001` and `nc 127.0.0.1 8001`, and type `6 * 7`.

use echoloop::net::{ListenOptions, MioNet};
use echoloop::protocol::{Finish, Line};
use echoloop::server::{Config, Server};
use std::fmt::Write;

/// The longest accepted line, in bytes.
const LONGEST: usize = 1000;

/// Evaluates an expression from left to right; `None` if it is invalid.
fn calculate(expression: &[u8]) -> Option<i64> {
    let mut words = str::from_utf8(expression).ok()?.split_whitespace();
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
    // All connections share the variables of the closure.
    let mut count = 0_u64;
    let calculator = Line::new(LONGEST, move |line, reply| {
        count += 1;
        if line == b"quit" {
            let _ = write!(reply, "closing, {count} lines received");
            reply.finish(Finish::Done);
        } else if let Some(result) = calculate(line) {
            reply.echo();
            let _ = write!(reply, " = {result}");
        } else {
            reply.write(b"invalid expression");
        }
    });
    let mut server = Server::new(MioNet::with_signals()?, calculator, Config::default());
    let address = server.listen(&ListenOptions::new(address))?;
    println!("listening on {address}");
    server.run().map(|_| ())
}
