//! Any bytes as a header of the PROXY protocol: more input does not change a decision, which is made within the limits.
#![no_main]

use echoloop::proxy::{MAX_BINARY, MAX_LINE, parse};
use libfuzzer_sys::fuzz_target;

/// Signatures before the bytes of the fuzzer, which would rarely find them.
const STARTS: [&[u8]; 4] = [
    b"",
    b"PROXY ",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21",
];

fuzz_target!(|run: (u8, Vec<u8>)| {
    let (start, bytes) = run;
    let input = [STARTS[usize::from(start) % STARTS.len()], &bytes].concat();
    let mut decided = None;
    for cut in 0..=input.len() {
        decided = parse(&input[..cut]).transpose();
        if decided.is_some() {
            break;
        }
    }
    match decided {
        None => assert!(input.len() < MAX_BINARY),
        Some(Ok(header)) => {
            let limit = if input.starts_with(b"PROXY ") {
                MAX_LINE
            } else {
                MAX_BINARY
            };
            assert!(header.length <= limit);
            assert_eq!(parse(&input), Ok(Some(header)));
        }
        Some(Err(_)) => assert!(parse(&input).is_err()),
    }
});
