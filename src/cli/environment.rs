//! Environment variables for the flags of `serve`: `ECHOLOOP_MAX_CONNECTIONS` for `--max-connections`, and so on.

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use std::env;
use std::ffi::OsString;

/// The start of the names.
const PREFIX: &str = "ECHOLOOP_";

/// Adds the variables to the flags of `serve`.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_subcommand("serve", |serve| serve.mut_args(with_variable))
}

fn with_variable(flag: Arg) -> Arg {
    let Some(name) = flag.get_long().map(variable) else {
        return flag;
    };
    if flag.is_hide_set() {
        return flag;
    }
    let flag = match flag.get_action() {
        ArgAction::SetTrue => flag.value_parser(BoolishValueParser::new()),
        ArgAction::Append => flag.value_delimiter(','),
        ArgAction::Set => flag,
        // --help and --version.
        _ => return flag,
    };
    flag.env(name).hide_env_values(true)
}

/// The variable of a flag.
fn variable(flag: &str) -> String {
    PREFIX.to_owned() + &flag.to_uppercase().replace('-', "_")
}

/// Adds to an error about a value that it comes from the environment, if it does.
pub(super) fn name_source(error: &mut clap::Error, arguments: &[OsString]) {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    // `--max-connections <N>`
    let flag = shown.split_whitespace().next().unwrap_or_default();
    let is_typed = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with(flag));
    let Some(name) = flag.strip_prefix("--").map(variable) else {
        return;
    };
    if env::var_os(&name).is_some() && !arguments.iter().any(is_typed) {
        let tip = format!("the value is that of the environment variable {name}");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::command;

    #[test]
    fn each_visible_flag_of_serve_has_a_variable() {
        let command = command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut count = 0;
        for flag in serve.get_arguments().filter(|flag| !flag.is_hide_set()) {
            let long = flag.get_long().unwrap();
            let expected = format!("ECHOLOOP_{}", long.to_uppercase().replace('-', "_"));
            let name = flag.get_env().map(|name| name.to_str().unwrap());
            assert_eq!(name, Some(expected.as_str()), "--{long}");
            count += 1;
        }
        assert!(count > 20, "{count} flags");
    }

    #[test]
    fn other_commands_have_no_variables() {
        let command = command();
        for other in command.get_subcommands() {
            let has_variable = other.get_arguments().any(|flag| flag.get_env().is_some());
            assert_eq!(
                has_variable,
                other.get_name() == "serve",
                "{}",
                other.get_name()
            );
        }
    }
}
