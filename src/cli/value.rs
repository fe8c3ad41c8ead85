//! The values of flags that a function parses.

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use std::ffi::OsStr;

/// Parses a value by a function. clap also accepts the function itself, and has 2 kB of code for each.
pub(super) fn by<T>(parse: fn(&str) -> Result<T, String>) -> By<T> {
    By(parse)
}

#[derive(Clone)]
pub(super) struct By<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for By<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parsed = value.to_str().map_or_else(|| Err(String::new()), self.0);
        parsed.map_err(|reason| rejected(command, argument, value, reason))
    }
}

/// The error of clap for a function that rejects the value, or for a value that is not UTF-8.
#[cold]
fn rejected(
    command: &Command,
    argument: Option<&Arg>,
    value: &OsStr,
    reason: String,
) -> clap::Error {
    let reject = move |_: &str| Err::<(), String>(reason.clone());
    let rejected = reject.parse_ref(command, argument, value);
    let other = |()| clap::Error::new(ErrorKind::ValueValidation);
    rejected.map_or_else(|error| error, other)
}
