//! What the TCP client counts.

/// Packets and events of all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent.
    pub sent: u64,
    /// Packets received, of any kind.
    pub received: u64,
    /// SYN segments sent again.
    pub syn_retransmits: u64,
    /// Segments with data or FIN sent again after a timeout.
    pub retransmits: u64,
    /// Segments whose bytes had all been received before.
    pub duplicates: u64,
    /// Segments that were dropped because bytes before theirs are missing.
    pub out_of_order: u64,
    /// Packets with a wrong checksum.
    pub bad_checksums: u64,
    /// Keepalive probes answered.
    pub keepalives: u64,
    /// Duplicates of a SYN-ACK.
    pub duplicate_syn_acks: u64,
    /// Challenge acknowledgments sent (RFC 5961).
    pub challenges: u64,
    /// Connections whose address and port the server had still in use: reset, and requested again.
    pub reused: u64,
    /// RST segments sent.
    pub resets_sent: u64,
    /// RST segments that were not valid, and changed nothing.
    pub invalid_resets: u64,
    /// Packets of other protocols, addresses or ports, and fragments.
    pub not_ours: u64,
}
