//! The lab, for those who study non-blocking I/O: server architectures, mistakes and their remedies, and the event loop
//! step by step.
//!
//! - [`patterns`]: server architectures; [`experiment`] measures them under one load.
//! - [`traps`]: mistakes, each with a wrong and a right version.
//! - [`explain`]: pages that show the event loop step by step.
//!
//! Only here are threads and blocking sockets allowed. Only `cli` uses this module.

pub mod experiment;
pub mod explain;
pub mod patterns;
pub mod traps;
