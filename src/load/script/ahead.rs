//! How much a script sends on an idle connection without waiting for the server.

use super::{Ids, Part, Script};

/// Parts that are sent one after another, and the bytes of all.
#[derive(Debug, Default)]
struct Batch {
    names: Vec<&'static str>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, name: &'static str, bytes: usize) {
        if bytes > 0 && self.names.last() != Some(&name) {
            self.names.push(name);
        }
        self.bytes += bytes;
    }
}

impl Script {
    /// What an idle connection may send without an intermediate reply, if that is more than `limit` bytes: the parts, and
    /// their bytes. Message and keepalive do not wait for each other, nor for a step of the hello without a reply.
    #[must_use]
    pub fn sends_more_than(&self, limit: usize) -> Option<(String, usize)> {
        let mut batches = Vec::new();
        let mut last = Batch::default();
        for step in 0..self.hello_steps() {
            let part = Part::Hello(step);
            let bytes = self.largest(part);
            batches.push(single("hello", bytes));
            last.add("hello", bytes);
            if self.has_reply(part) {
                batches.push(std::mem::take(&mut last));
            }
        }
        for (name, part) in [("message", Part::Message), ("keepalive", Part::Keepalive)] {
            let bytes = self.largest(part);
            batches.push(single(name, bytes));
            last.add(name, bytes);
        }
        // The last one has several parts: it is only named if none of them is too large alone.
        batches.push(last);
        let batch = batches.into_iter().find(|batch| batch.bytes > limit)?;
        Some((batch.names.join(" and "), batch.bytes))
    }

    /// The bytes of a part with the largest numbers in its placeholders.
    fn largest(&self, part: Part) -> usize {
        let ids = Ids {
            connection: u32::MAX,
            sequence: u64::MAX,
        };
        let mut bytes = Vec::new();
        self.render(part, ids, &mut bytes);
        bytes.len()
    }
}

fn single(name: &'static str, bytes: usize) -> Batch {
    Batch {
        names: vec![name],
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn more_than(limit: usize, source: &str) -> Option<(String, usize)> {
        let script = Script::parse("test", source, |_| unreachable!()).unwrap();
        script.resolve(1, "host:1").unwrap().sends_more_than(limit)
    }

    #[test]
    fn steps_with_a_reply_are_counted_apart_and_others_together() {
        let answered = "[[hello]]\nsend = '12345'\nexpect = { line = true }\n";
        let unanswered = "[[hello]]\nsend = '12345'\n";
        let rest = "[message]\nsend = '123'\nexpect = { line = true }\n";
        let all = |hello: &[&str]| format!("{}{rest}", hello.concat());
        let found = |limit, hello: &[&str]| more_than(limit, &all(hello));
        assert_eq!(found(5, &[answered, answered]), None);
        assert_eq!(found(4, &[answered]), Some(("hello".to_owned(), 5)));
        assert_eq!(
            found(9, &[unanswered, answered]),
            Some(("hello".to_owned(), 10))
        );
        let together = Some(("hello and message".to_owned(), 8));
        assert_eq!(found(7, &[answered, unanswered]), together);
    }

    #[test]
    fn largest_numbers_are_counted() {
        let source = "[message]\nsend = '{connection} {sequence}'\nexpect = { line = true }\n";
        assert_eq!(more_than(31, source), None);
        assert_eq!(more_than(30, source), Some(("message".to_owned(), 31)));
    }
}
