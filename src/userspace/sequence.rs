//! Sequence numbers: 32 bits that wrap around (RFC 9293, section 3.4).

/// The distance from `from` to `to`, if `to` is at or after `from` by at most `most`.
pub(super) fn distance(from: u32, to: u32, most: u32) -> Option<u32> {
    let distance = to.wrapping_sub(from);
    (distance <= most).then_some(distance)
}

/// Whether `to` is before `from`, by less than half of the sequence numbers.
pub(super) fn is_before(to: u32, from: u32) -> bool {
    to.wrapping_sub(from) > u32::MAX / 2
}

/// The output function of `SplitMix64`: the initial sequence number of a connection from its index and the secret.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_wrap_around() {
        assert_eq!(distance(u32::MAX, 4, 5), Some(5));
        assert_eq!(distance(u32::MAX, 4, 4), None);
        assert_eq!(distance(4, 3, u32::MAX / 2), None);
        assert!(is_before(u32::MAX, 0) && is_before(3, 4));
        assert!(!is_before(4, 4) && !is_before(0, u32::MAX));
    }
}
