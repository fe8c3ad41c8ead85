//! File descriptors of traced processes: which of them are connections.
//!
//! A child shares the table of its parent (a thread) or has a copy of it. A connection is closed when no table has it.

use crate::sorting;
use std::collections::HashMap;

/// What a file descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fd {
    /// The connection with this serial number.
    Connection(u32),
    /// Something else, such as a file, or a socket that is not connected.
    Other,
}

#[derive(Clone, Debug, Default)]
struct Table {
    fds: HashMap<i64, Fd>,
    /// Processes that have this table.
    users: usize,
    /// Events of epoll carry this number for a file descriptor.
    epoll_data: HashMap<u64, i64>,
}

/// The tables of all processes.
#[derive(Debug, Default)]
pub(super) struct Fds {
    tables: Vec<Table>,
    of_process: HashMap<u32, usize>,
    /// By the serial number of a connection: the number of file descriptors that it has in all tables.
    references: HashMap<u32, usize>,
}

impl Fds {
    fn table(&mut self, pid: u32) -> &mut Table {
        let index = *self.of_process.entry(pid).or_insert_with(|| {
            self.tables.push(Table {
                users: 1,
                ..Table::default()
            });
            self.tables.len() - 1
        });
        &mut self.tables[index]
    }

    /// What a file descriptor is, if that is known.
    pub(super) fn get(&mut self, pid: u32, fd: i64) -> Option<Fd> {
        self.table(pid).fds.get(&fd).copied()
    }

    /// Adds a file descriptor. Returns a connection that has none left, since `fd` was its last: its close was not traced.
    pub(super) fn insert(&mut self, pid: u32, fd: i64, what: Fd) -> Option<u32> {
        if let Fd::Connection(serial) = what {
            *self.references.entry(serial).or_default() += 1;
        }
        let before = self.table(pid).fds.insert(fd, what);
        self.release(before)
    }

    /// Removes a file descriptor. Returns a connection that has none left.
    pub(super) fn remove(&mut self, pid: u32, fd: i64) -> Option<u32> {
        let removed = self.table(pid).fds.remove(&fd);
        self.release(removed)
    }

    /// Removes a range of file descriptors. Returns the connections that have none left.
    pub(super) fn remove_range(&mut self, pid: u32, first: i64, last: i64) -> Vec<u32> {
        let fds = self.table(pid).fds.keys().copied();
        let mut fds: Vec<i64> = fds.filter(|fd| (first..=last).contains(fd)).collect();
        sorting::sort(&mut fds);
        fds.into_iter()
            .filter_map(|fd| self.remove(pid, fd))
            .collect()
    }

    fn release(&mut self, fd: Option<Fd>) -> Option<u32> {
        let Some(Fd::Connection(serial)) = fd else {
            return None;
        };
        let references = self.references.get_mut(&serial)?;
        *references = references.saturating_sub(1);
        if *references > 0 {
            return None;
        }
        self.references.remove(&serial);
        Some(serial)
    }

    /// A child was started; it `shares` the table of its parent, or has a copy.
    pub(super) fn fork(&mut self, parent: u32, child: u32, shares: bool) {
        if self.of_process.contains_key(&child) {
            // Its first line came before the return of the call in the parent.
            return;
        }
        self.table(parent);
        let Some(index) = self.of_process.get(&parent).copied() else {
            return;
        };
        if shares {
            self.tables[index].users += 1;
            self.of_process.insert(child, index);
            return;
        }
        let copy = Table {
            users: 1,
            ..self.tables[index].clone()
        };
        for fd in copy.fds.values() {
            if let Fd::Connection(serial) = fd {
                *self.references.entry(*serial).or_default() += 1;
            }
        }
        self.tables.push(copy);
        self.of_process.insert(child, self.tables.len() - 1);
    }

    /// A process has ended. Returns the connections that have no file descriptor left.
    pub(super) fn exit(&mut self, pid: u32) -> Vec<u32> {
        let Some(index) = self.of_process.get(&pid).copied() else {
            return Vec::new();
        };
        let table = &mut self.tables[index];
        table.users = table.users.saturating_sub(1);
        let closed = if table.users == 0 {
            self.remove_range(pid, i64::MIN, i64::MAX)
        } else {
            Vec::new()
        };
        self.of_process.remove(&pid);
        closed
    }

    /// Remembers that events of epoll with `data` are those of `fd`.
    pub(super) fn set_epoll_data(&mut self, pid: u32, data: u64, fd: i64) {
        self.table(pid).epoll_data.insert(data, fd);
    }

    /// What an event of epoll with `data` is about.
    pub(super) fn by_epoll_data(&mut self, pid: u32, data: u64) -> Option<Fd> {
        let fd = self.table(pid).epoll_data.get(&data).copied()?;
        self.get(pid, fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_is_closed_with_its_last_fd() {
        let mut fds = Fds::default();
        assert_eq!(fds.insert(1, 8, Fd::Connection(1)), None);
        fds.fork(1, 2, false);
        assert_eq!(fds.get(2, 8), Some(Fd::Connection(1)));
        assert_eq!(fds.remove(1, 8), None, "the child has it");
        assert_eq!(fds.exit(2), [1]);
        assert!(fds.exit(2).is_empty());
    }

    #[test]
    fn threads_share_a_table() {
        let mut fds = Fds::default();
        fds.fork(1, 2, true);
        fds.insert(2, 8, Fd::Connection(1));
        assert_eq!(fds.get(1, 8), Some(Fd::Connection(1)));
        assert!(fds.exit(2).is_empty(), "the other thread has the table");
        assert_eq!(fds.remove(1, 8), Some(1));
    }

    #[test]
    fn reused_fd_closes_its_connection() {
        let mut fds = Fds::default();
        fds.insert(1, 8, Fd::Connection(1));
        assert_eq!(fds.insert(1, 8, Fd::Connection(2)), Some(1));
        assert_eq!(fds.insert(1, 8, Fd::Other), Some(2));
        assert_eq!(fds.remove(1, 8), None);
    }
}
