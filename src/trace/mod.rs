//! What an event loop did, as a timeline of the loop and of each connection, and as Chrome trace JSON.

mod chrome;
mod strace;
mod timeline;

pub use chrome::{NamedLoop, write_chrome_trace, write_loops};
pub use strace::Strace;
pub use timeline::{Iteration, Timeline, Track, source_text, text_of};
