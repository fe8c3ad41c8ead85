//! Any packet has the outcome that RFC 9293 and RFC 5961 define, in any state.

use crate::checked::Checked;
use crate::steps;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_have_the_outcome_of_the_model(bytes in vec(any::<u8>(), 0..1500)) {
        steps::run(&bytes);
    }

    #[test]
    fn any_bytes_change_nothing(is_ipv6: bool, mut bytes in vec(any::<u8>(), 0..100)) {
        let mut checked = Checked::new(is_ipv6, 1);
        checked.receive(&bytes);
        // With the version and the protocol.
        if bytes.len() > 9 {
            (bytes[0], bytes[9]) = (0x45, 6);
            checked.receive(&bytes);
            (bytes[0], bytes[6]) = (0x60, 6);
            checked.receive(&bytes);
        }
        prop_assert_eq!(checked.tcp.counters().sent, 0);
    }
}
