//! Tips for flags that other programs have: an unknown flag names the one of this program that does the same.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Flags as other programs name them, the subcommand, and what to use.
const TIPS: [(&str, &[&str], &str); 11] = [
    (
        "load",
        &["--connections", "--connection", "--conns", "-C"],
        "use '--active N' for active connections, '--idle N' for idle ones",
    ),
    (
        "load",
        &["--clients", "--users", "--concurrency", "--parallel", "-P"],
        "use '--active N' for connections that send messages",
    ),
    (
        "load",
        &["-n", "--requests", "--count", "--number", "--messages"],
        "use '--duration D' for the length of a run, '--rate R' for its rate",
    ),
    (
        "load",
        &["-t", "--time", "--seconds", "-T"],
        "use '--duration D' for the measured time, '--jobs N' for several CPUs",
    ),
    (
        "load",
        &["--threads", "--workers", "--processes", "-j"],
        "use '--jobs N' for several CPUs",
    ),
    (
        "load",
        &["--rps", "--qps", "-R", "--throughput"],
        "use '--rate R' for messages per second",
    ),
    (
        "load",
        &["--message-size", "--length", "-l", "--payload"],
        "use '--size SIZE' for the size of a message",
    ),
    (
        "load",
        &["--timeout", "-W"],
        "use '--connect-timeout D', which is also the timeout of probes",
    ),
    (
        "load",
        &["--host", "--port", "-p", "--target"],
        "give the address of the server without a flag, as HOST:PORT",
    ),
    (
        "ping",
        &["-n", "-w", "--number", "--deadline"],
        "use '-c N' for the number of echoes, '-W D' for the timeout of each",
    ),
    (
        "serve",
        &["--port", "-P", "--bind", "--host", "--address"],
        "use '--listen HOST:PORT'",
    ),
];

/// Adds a tip to an error about an unknown flag, in place of the flag with the most similar name.
pub(super) fn add_tip(error: &mut clap::Error, arguments: &[OsString]) {
    if error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let unknown = unknown.split('=').next().unwrap_or_default();
    let words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let subcommand = words.clone().find(|word| !word.starts_with('-'));
    if let Some(tip) = subcommand.and_then(|subcommand| tip(subcommand, unknown)) {
        error.remove(ContextKind::SuggestedArg);
        let tips = vec![tip.to_owned().into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

fn tip(subcommand: &str, flag: &str) -> Option<&'static str> {
    let mut tips = TIPS.iter();
    let found = tips.find(|(of, flags, _)| *of == subcommand && flags.contains(&flag));
    found.map(|(.., tip)| *tip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn tips_are_for_unknown_flags_and_name_known_ones() {
        let cli = crate::cli::command();
        for (subcommand, flags, tip) in TIPS {
            let command = cli.find_subcommand(subcommand).unwrap();
            let longs: Vec<_> = command
                .get_arguments()
                .filter_map(clap::Arg::get_long)
                .collect();
            let shorts: Vec<_> = command
                .get_arguments()
                .filter_map(clap::Arg::get_short)
                .collect();
            for flag in flags {
                let is_known = match flag.strip_prefix("--") {
                    Some(long) => longs.contains(&long),
                    None => flag.chars().nth(1).is_some_and(|c| shorts.contains(&c)),
                };
                assert!(!is_known, "{subcommand} has {flag}");
            }
            let named = tip.split('\'').skip(1).step_by(2);
            for name in named.filter_map(|words| words.split(' ').next()) {
                let is_known = match name.strip_prefix("--") {
                    Some(long) => longs.contains(&long),
                    None => name.chars().nth(1).is_some_and(|c| shorts.contains(&c)),
                };
                assert!(is_known, "{subcommand} has no {name}: {tip}");
            }
        }
    }

    #[test]
    fn tip_replaces_the_most_similar_flag() {
        for (arguments, tip) in [
            (
                &["load", "--connections", "5"][..],
                "'--active N' for active connections, '--idle N'",
            ),
            (&["load", "--connections=5"], "'--idle N'"),
            (&["-q", "load", "-n", "5"], "'--duration D'"),
            (&["load", "--time", "5"], "'--duration D'"),
            (&["ping", "-n", "5"], "'-c N'"),
            (&["serve", "--port", "7"], "'--listen HOST:PORT'"),
            (&["load", "--churm", "fin"], "'--churn'"),
        ] {
            let arguments: Vec<OsString> = ["echoloop"]
                .iter()
                .chain(arguments)
                .map(OsString::from)
                .collect();
            let mut error = Cli::try_parse_from(&arguments).unwrap_err();
            add_tip(&mut error, &arguments);
            let text = error.to_string();
            assert!(text.contains(tip), "{arguments:?}: {text}");
            assert_eq!(text.matches("tip:").count(), 1, "{arguments:?}: {text}");
            assert_eq!(error.exit_code(), 2);
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        }
    }
}
