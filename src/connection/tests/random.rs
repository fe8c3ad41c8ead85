//! Whatever the kernel does with the pieces, what comes back is what was sent.

use super::*;
use proptest::prelude::*;

/// A socket with input in pieces, and room for output in pieces; where a piece is empty, the call would block.
struct Pieces {
    input: VecDeque<Vec<u8>>,
    room: VecDeque<usize>,
    written: Vec<u8>,
    /// A call would block since the last event: an edge is owed once that is over.
    read_blocked: bool,
    write_blocked: bool,
}

impl Stream for Pieces {
    const SHORT_READ_DRAINS: bool = false;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.read_blocked, "a read although nothing has come");
        let Some(piece) = self.input.front_mut() else {
            return Ok(0);
        };
        if piece.is_empty() {
            self.input.pop_front();
            self.read_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.input.pop_front();
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.write_blocked, "a write although there is no room");
        let room = self.room.pop_front().unwrap_or(usize::MAX);
        if room == 0 {
            self.write_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = room.min(bytes.len());
        self.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn takes_output(&mut self) -> bool {
        true
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        panic!("nobody asked for a FIN");
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

proptest! {
    /// Any split of the input, any partial writes, would-blocks anywhere: raw echo returns exactly the input, then
    /// ends; it never owes more than allowed; and an edge for each call that blocked is all it needs.
    #[test]
    fn echo_returns_exactly_its_input(
        input in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40),
        room in proptest::collection::vec(prop_oneof![Just(0), 1_usize..200], 0..80),
        max_pending in 1_usize..400,
        budget in 1_usize..500,
    ) {
        let mut rig = Rig::new(Raw, Limits { max_pending, budget });
        let expected: Vec<u8> = input.concat();
        let mut stream = Pieces {
            input: input.into(),
            room: room.into(),
            written: Vec::new(),
            read_blocked: false,
            write_blocked: false,
        };
        let mut readiness = READABLE;
        let mut drives = 0;
        loop {
            let mut bench = bench(&mut rig.common, &mut rig.gathered);
            let scratch = &mut rig.scratch;
            let outcome = rig.connection.drive(&mut stream, readiness, scratch, &mut bench);
            prop_assert!(rig.connection.owed() <= max_pending);
            rig.check();
            match outcome {
                Outcome::Closed(reason) => {
                    prop_assert_eq!(reason, CloseReason::PeerClosed);
                    break;
                }
                Outcome::Turn => readiness = Readiness::NONE,
                Outcome::Memory => prop_assert!(false, "there is memory enough"),
                Outcome::Input | Outcome::Event => {
                    readiness = READABLE.when(stream.read_blocked) | WRITABLE.when(stream.write_blocked);
                    prop_assert!(readiness != Readiness::NONE, "it waits for an edge that need not come");
                    (stream.read_blocked, stream.write_blocked) = (false, false);
                }
            }
            drives += 1;
            prop_assert!(drives < 30_000, "it does not come to an end");
        }
        prop_assert_eq!(stream.written, expected);
    }
}
