//! Verified echoes, for `ping` and `load`: messages whose bytes follow from their numbers, the verification of replies,
//! and the summary of response times.
//!
//! Pure: numbers and bytes in, bytes and verdicts out.

mod pattern;
mod summary;
mod verifier;

pub(crate) use pattern::mix;
pub use pattern::{CONNECTION_BITS, Message, Mismatch, Pattern};
pub use summary::{Summary, percentile};
pub use verifier::{Verifier, WrongReply};
