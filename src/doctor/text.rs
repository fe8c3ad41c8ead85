//! A report as text: one screen of 80 columns, what is wrong first. Only commands may be longer, to stay in one piece.

use super::figures::{label, meaning, narrow, narrow_value, value};
use super::remedy::Remedy;
use super::verdict::{Role, ports_per_address, sources};
use super::{Notice, Report};
use crate::numbers::grouped;
use std::fmt::{self, Display, Formatter};

/// The length of a line, in letters.
const WIDTH: usize = 80;

/// The report as text, with a line break at its end.
#[must_use]
pub fn text(report: &Report) -> String {
    Text(report).to_string()
}

struct Text<'a>(&'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        headline(f, report)?;
        remedies(f, report)?;
        for notice in report.notices.iter().filter(|notice| notice.is_wrong) {
            say(f, notice)?;
        }
        table(f, report)?;
        for notice in report.notices.iter().filter(|notice| !notice.is_wrong) {
            say(f, notice)?;
        }
        Ok(())
    }
}

/// What is most worth knowing: whether they fit, or else how many there can be.
fn headline(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let Some(asked) = report.asked else {
        return carried(f, report);
    };
    let carried = report.verdict.carries.of(report.role);
    let fits = report.verdict.fits(report.role, asked);
    let does = match (fits, asked) {
        (true, 1) => "fits",
        (true, _) => "fit",
        (false, 1) => "does not fit",
        (false, _) => "do not fit",
    };
    let most = match (carried.connections, carried.limited_by) {
        (Some(most), Some(limit)) if fits => {
            format!("the most is {}, by {}", grouped(most), label(limit))
        }
        // What limits them stands in the next lines.
        (Some(most), _) => format!("the most is {}", grouped(most)),
        (None, _) => "no limit could be read".to_owned(),
    };
    let connections = connections(asked, report.role);
    wrapped(f, "", &format!("{connections} {does}: {most}."))
}

/// How many connections there can be in each role.
fn carried(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "Connections that this machine carries:\n")?;
    for role in Role::ALL {
        let carried = report.verdict.carries.of(role);
        let most = carried.connections.map_or("unknown".to_owned(), narrow);
        let limit = match carried.limited_by {
            Some(limit) => format!("   limited first by {}", label(limit)),
            None => String::new(),
        };
        writeln!(f, "  {:<15}{most:>12}{limit}", role_in_words(role))?;
    }
    Ok(())
}

fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Server => "as server",
        Role::Client => "as client",
        Role::Both => "with both ends",
    }
}

/// `1,000,000 connections as server`.
fn connections(count: u64, role: Role) -> String {
    let noun = if count == 1 {
        "connection"
    } else {
        "connections"
    };
    format!("{} {noun} {}", grouped(count), role_in_words(role))
}

/// What raises each limit that is too low.
fn remedies(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.remedies.is_empty() {
        return Ok(());
    }
    let limits = match report.remedies.len() {
        1 => "one limit is too low".to_owned(),
        count => format!("{count} limits are too low"),
    };
    writeln!(
        f,
        "\nFor {}, {limits}:",
        connections(report.goal, report.role)
    )?;
    for (bound, remedy) in &report.remedies {
        let limit = bound.limit;
        let (has, needs) = (value(limit, bound.value), value(limit, remedy.to));
        writeln!(f)?;
        wrapped(
            f,
            "  ",
            &format!("{}: {has}, and {needs} are needed", label(limit)),
        )?;
        wrapped(f, "    # ", &format!("{}.", meaning(limit)))?;
        commands(f, remedy)?;
    }
    Ok(())
}

/// Lines that can be copied to a shell: all but the commands are comments.
fn commands(f: &mut Formatter<'_>, remedy: &Remedy) -> fmt::Result {
    if let Some(needs) = &remedy.needs {
        wrapped(f, "    # ", &format!("Needs {needs}."))?;
    }
    let groups = [("now", &remedy.now), ("for good", &remedy.for_good)];
    for (when, commands) in groups {
        if !commands.is_empty() {
            writeln!(f, "    # {when}:")?;
        }
        for command in commands {
            writeln!(f, "    {command}")?;
        }
    }
    if let Some(line) = &remedy.unit {
        writeln!(
            f,
            "    # for good, in a systemd unit below [Service]:\n    {line}"
        )?;
    }
    Ok(())
}

/// What is good to know, with the command that changes it now; JSON has the one for good too.
fn say(f: &mut Formatter<'_>, notice: &Notice) -> fmt::Result {
    writeln!(f)?;
    wrapped(f, "", &notice.text)?;
    let remedy = notice.remedy.iter();
    for command in remedy.flat_map(|remedy| &remedy.now) {
        writeln!(f, "    {command}")?;
    }
    Ok(())
}

/// All limits, with a mark at those that are too low.
fn table(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "\nAll limits, and how many connections each allows:\n")?;
    writeln!(
        f,
        "  {:<25}{:>13}{:>13}{:>13}{:>13}",
        "", "value", "as server", "as client", "both ends"
    )?;
    for bound in &report.verdict.bounds {
        let is_low = report.remedy_for(bound.limit).is_some();
        let mark = if is_low { '!' } else { ' ' };
        let value = narrow_value(bound.limit, bound.value);
        write!(f, "{mark} {:<25}{value:>13}", label(bound.limit))?;
        for role in Role::ALL {
            let allows = bound.allows(role).map_or("-".to_owned(), narrow);
            write!(f, "{allows:>13}")?;
        }
        writeln!(f)?;
    }
    if !report.remedies.is_empty() {
        let role = role_in_words(report.role);
        writeln!(f, "! too low for {} {role}", grouped(report.goal))?;
    }
    ports(f, report)
}

/// How the number of ports comes about.
fn ports(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let facts = &report.facts;
    let (Some(ports), Some(sources)) = (ports_per_address(facts), sources(facts)) else {
        return Ok(());
    };
    let addresses = if sources == 1 { "address" } else { "addresses" };
    let text = format!(
        "Ports: {} for each address to connect from, {sources} {addresses} here; over loopback, all of 127.0.0.0/8.",
        grouped(ports)
    );
    writeln!(f)?;
    wrapped(f, "", &text)
}

/// Writes words in lines that fit, each behind `indent`.
fn wrapped(f: &mut Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            writeln!(f, "{indent}{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "{indent}{line}")
}
