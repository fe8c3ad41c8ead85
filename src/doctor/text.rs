//! A report as text of 80 columns, problems first. Only commands may be longer, since they are not split.

use super::capacity::{Role, RoleCapacity, TLS_SESSION_BYTES, ports_per_address, sources};
use super::figures::{label, meaning, narrow, value};
use super::remedy::Remedy;
use super::{Notice, Report};
use crate::numbers::grouped;
use crate::wrap::{Break, wrapped};
use std::fmt::{self, Display, Formatter};

/// The report as text, with a line break at its end.
#[must_use]
pub fn text(report: &Report) -> String {
    Text(report).to_string()
}

struct Text<'a>(&'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Text(report) = self;
        write_headline(f, report)?;
        write_remedies(f, report)?;
        write_notices(f, report, true)?;
        write_table(f, report)?;
        write_notices(f, report, false)
    }
}

/// Whether the connections in question fit, or else how many fit in each role.
fn write_headline(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let Some(requested) = report.requested else {
        return write_capacity(f, report);
    };
    let capacity = report.capacity.by_role.of(report.role);
    let fits = report.fits() == Some(true);
    let verb = match (fits, requested) {
        (true, 1) => "fits",
        (true, _) => "fit",
        (false, 1) => "does not fit",
        (false, _) => "do not fit",
    };
    let maximum = match report.obstacle() {
        // The notice below names it.
        Some(_) => "no TUN interface can be created".to_owned(),
        None => maximum(capacity, fits),
    };
    let connections = connections(requested, report);
    write_wrapped(f, "", &format!("{connections} {verb}: {maximum}."))
}

/// The most connections, and the limit if it is not the subject of a remedy.
fn maximum(capacity: RoleCapacity, fits: bool) -> String {
    match (capacity.connections, capacity.limited_by) {
        (Some(most), Some(limit)) if fits => {
            format!("the maximum is {}, by {}", grouped(most), label(limit))
        }
        // The remedies below name the limit.
        (Some(most), _) => format!("the maximum is {}", grouped(most)),
        (None, _) => "no limit could be read".to_owned(),
    }
}

/// How many connections fit in each role.
fn write_capacity(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let kind = if report.has_tls {
        "TLS connections"
    } else {
        "Connections"
    };
    writeln!(f, "{kind} that fit on this machine:\n")?;
    for role in Role::ALL {
        let capacity = report.capacity.by_role.of(role);
        let most = capacity.connections.map_or("unknown".to_owned(), narrow);
        let limit = capacity.limited_by.map(label);
        let limit = limit.map_or_else(String::new, |limit| format!("   limited first by {limit}"));
        writeln!(f, "  {:<15}{most:>12}{limit}", phrase(role))?;
    }
    Ok(())
}

fn phrase(role: Role) -> &'static str {
    match role {
        Role::Server => "as server",
        Role::Client => "as client",
        Role::Both => "with both ends",
    }
}

/// `1,000,000 connections as server`.
fn connections(count: u64, report: &Report) -> String {
    let tls = if report.has_tls { "TLS " } else { "" };
    let plural = if count == 1 { "" } else { "s" };
    format!(
        "{} {tls}connection{plural} {}",
        grouped(count),
        phrase(report.role)
    )
}

/// How to raise each limit that is too low.
fn write_remedies(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let limits = match report.remedies.len() {
        0 => return Ok(()),
        1 => "one limit is too low".to_owned(),
        count => format!("{count} limits are too low"),
    };
    let connections = connections(report.goal, report);
    writeln!(f, "\nFor {connections}, {limits}:")?;
    for (bound, remedy) in &report.remedies {
        let limit = bound.limit;
        let has = value(limit, bound.value, grouped);
        let needs = value(limit, remedy.to, grouped);
        writeln!(f)?;
        write_wrapped(
            f,
            "  ",
            &format!("{}: {has}, needed: {needs}", label(limit)),
        )?;
        write_wrapped(f, "    # ", &format!("{}.", meaning(limit)))?;
        write_commands(f, remedy)?;
    }
    Ok(())
}

/// Lines to paste into a shell: all but the commands are comments.
fn write_commands(f: &mut Formatter<'_>, remedy: &Remedy) -> fmt::Result {
    if let Some(needs) = &remedy.needs {
        write_wrapped(f, "    # ", &format!("Needs {needs}."))?;
    }
    for (when, commands) in [("now", &remedy.now), ("permanently", &remedy.permanent)] {
        if !commands.is_empty() {
            writeln!(f, "    # {when}:\n    {}", commands.join("\n    "))?;
        }
    }
    if let Some(line) = &remedy.unit {
        writeln!(
            f,
            "    # permanently, in [Service] of a systemd unit:\n    {line}"
        )?;
    }
    Ok(())
}

/// Notices, with the commands that change them now; JSON has the permanent ones too.
fn write_notices(f: &mut Formatter<'_>, report: &Report, is_wrong: bool) -> fmt::Result {
    let of_kind = |notice: &&Notice| notice.is_wrong == is_wrong;
    for notice in report.notices.iter().filter(of_kind) {
        writeln!(f)?;
        write_wrapped(f, "", &notice.text)?;
        for command in notice.remedy.iter().flat_map(|remedy| &remedy.now) {
            writeln!(f, "    {command}")?;
        }
    }
    Ok(())
}

/// All limits, with a mark at those that are too low.
fn write_table(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "\nAll limits, and how many connections each allows:\n")?;
    writeln!(
        f,
        "  {:<25}{:>13}{:>13}{:>13}{:>13}",
        "", "value", "as server", "as client", "both ends"
    )?;
    for bound in &report.capacity.bounds {
        let is_low = report.remedy_for(bound.limit).is_some();
        let mark = if is_low { '!' } else { ' ' };
        let value = value(bound.limit, bound.value, narrow);
        write!(f, "{mark} {:<25}{value:>13}", label(bound.limit))?;
        for role in Role::ALL {
            let allows = bound.allows(role).map_or("-".to_owned(), narrow);
            write!(f, "{allows:>13}")?;
        }
        writeln!(f)?;
    }
    if !report.remedies.is_empty() {
        let (goal, role) = (grouped(report.goal), phrase(report.role));
        writeln!(f, "! too low for {goal} {role}")?;
    }
    if report.has_tls {
        let [server, client] = [TLS_SESSION_BYTES.server, TLS_SESSION_BYTES.client].map(grouped);
        let text = format!(
            "Memory: with {server} bytes on the server and {client} on the client for each TLS session."
        );
        writeln!(f)?;
        write_wrapped(f, "", &text)?;
    }
    if report.userspace.is_some() {
        return Ok(());
    }
    let facts = &report.facts;
    let (Some(ports), Some(sources)) = (ports_per_address(facts), sources(facts)) else {
        return Ok(());
    };
    let ports = grouped(ports);
    let addresses = if sources == 1 { "address" } else { "addresses" };
    let text = format!(
        "Ports: {ports} per source address, {sources} {addresses} here; over loopback, all of 127.0.0.0/8."
    );
    writeln!(f)?;
    write_wrapped(f, "", &text)
}

/// Writes words in lines of at most [`WIDTH`](crate::wrap::WIDTH), each after `indent`.
fn write_wrapped(f: &mut Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    f.write_str(&wrapped(indent, indent, text, Break::Words))
}
