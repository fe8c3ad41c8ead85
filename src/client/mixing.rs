//! Bytes that follow from a number, so that they can be checked without having been kept.

/// Fills `payload` with the bytes of echo `number`: `SplitMix64`, begun anew for each (Steele, Lea, Flood: Fast splittable
/// pseudorandom number generators, 2014).
pub(super) fn fill(number: u64, payload: &mut [u8]) {
    let mut state = mix(number);
    for chunk in payload.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = mix(state).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_bytes_and_a_shorter_payload_is_the_beginning_of_a_longer_one() {
        let bytes = |number, size| {
            let mut payload = vec![0; size];
            fill(number, &mut payload);
            payload
        };
        assert_eq!(bytes(1, 100), bytes(1, 100));
        assert_eq!(bytes(1, 13), bytes(1, 100)[..13]);
        assert_ne!(bytes(1, 13), bytes(2, 13));
    }
}
