//! IP packets to and from a network stack.

use std::io;

/// IP packets to and from the network stack of a kernel, or a simulated one. Its calls never block.
pub trait PacketLink {
    /// Reads one packet into `buffer` and returns its length. A packet longer than the buffer is cut.
    ///
    /// # Errors
    /// See read(2): `WouldBlock` if no packet has arrived.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends a packet. The link may lose it, as any network does.
    ///
    /// # Errors
    /// See write(2), such as for a packet that is malformed, or if the interface is down.
    fn send(&mut self, packet: &[u8]) -> io::Result<()>;
}
