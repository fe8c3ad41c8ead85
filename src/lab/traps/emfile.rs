//! Without free file descriptors accept(2) fails with EMFILE, and the connection stays in the accept queue: a
//! level-triggered listener remains ready, and the loop never sleeps.

use super::epoll::Wakeups;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// Ignores the error and waits for the next event, which is there already.
pub(super) fn wrong(wakeups: &mut Wakeups, listener: &TcpListener) -> io::Result<()> {
    let mut clients = Vec::new();
    wakeups.watch(listener)?;
    while wakeups.next()? {
        match listener.accept() {
            Ok((client, _)) => clients.push(client),
            Err(error) => log::debug!("cannot accept: {error}"),
        }
    }
    Ok(())
}

/// Ignores the listener for a while. The connections wait in the accept queue.
pub(super) fn right(wakeups: &mut Wakeups, listener: &TcpListener) -> io::Result<()> {
    let mut clients = Vec::new();
    wakeups.watch(listener)?;
    while wakeups.next()? {
        if wakeups.is_timer {
            wakeups.watch(listener)?;
            continue;
        }
        match listener.accept() {
            Ok((client, _)) => clients.push(client),
            Err(error) => {
                log::debug!("cannot accept: {error}");
                wakeups.ignore(listener)?;
                wakeups.set_timer(Duration::from_millis(250));
            }
        }
    }
    Ok(())
}
