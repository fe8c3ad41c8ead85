//! What an event loop did, as a timeline of the loop and of each connection, and as Chrome trace JSON.

mod chrome;
mod strace;
mod timeline;

pub use chrome::{ChromeTrace, NamedLoop, chrome_trace};
pub use strace::{Strace, StraceEntry};
pub use timeline::{Iteration, Timeline, Track, source_text, text_of};
