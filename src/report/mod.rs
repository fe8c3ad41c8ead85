//! Results, as people and programs read them.
//!
//! In comes what a load has found, out comes text.

mod text;

pub use text::text;
