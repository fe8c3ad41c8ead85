//! `echoloop manual` and `echoloop completions`: man pages and shell completions, generated from the flags.
//!
//! Both are hidden from the help, since they run once, at installation.

use super::Failure;
use super::examples::Afterword;
use super::output::{to_file, to_stdout};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const MANUAL_EXAMPLES: &str = "\
Examples:
  echoloop manual ~/.local/share/man/man1         install for this user
  echoloop manual /usr/local/share/man/man1       install for all users
  man echoloop-serve                              read a page";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  echoloop completions bash >~/.local/share/bash-completion/completions/echoloop
                                                  install for bash
  echoloop completions fish > ~/.config/fish/completions/echoloop.fish
                                                  install for fish
  echoloop completions zsh > /usr/local/share/zsh/site-functions/_echoloop
                                                  install for zsh";

/// Write the man pages: one for the program, one per subcommand
#[derive(Debug, Args)]
#[command(after_help = MANUAL_EXAMPLES)]
pub(super) struct ManualFlags {
    /// Write the pages to this directory; create it if missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Print a shell completion script
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(super) struct CompletionsFlags {
    /// Generate for this shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl ManualFlags {
    /// Writes all pages.
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        std::fs::create_dir_all(&self.directory).map_err(|error| {
            let what = format!("cannot create the directory {}", self.directory.display());
            Failure::new(what, error, "check its parent and the permissions")
        })?;
        let mut program = visible_command();
        program.build();
        for command in with_subcommands(&program) {
            let man = Man::new(command.clone())
                .source(format!("echoloop {}", env!("CARGO_PKG_VERSION")))
                .manual("echoloop manual");
            let text = page(&man, command, &program)
                .map_err(|error| Failure(format!("cannot format a man page: {error}")))?;
            to_file(&self.directory.join(man.get_filename()), &text)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl CompletionsFlags {
    /// Prints the script.
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut visible_command(), "echoloop", &mut text);
        to_stdout(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The command line without hidden subcommands and flags.
fn visible_command() -> Command {
    visible(&super::command())
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("COMMANDS")
        .disable_help_subcommand(true)
}

/// A command and all its subcommands, with theirs.
fn with_subcommands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(with_subcommands);
    std::iter::once(command).chain(below).collect()
}

/// A copy of `command` without hidden flags and subcommands: clap cannot remove a flag, and most completion generators ignore that
/// one is hidden.
fn visible(command: &Command) -> Command {
    let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .after_help(command.get_after_help().cloned().unwrap_or_default())
        .args(flags.cloned())
        .subcommands(subcommands.map(visible))
}

/// A page, in the order of man-pages(7).
fn page(man: &Man, command: &Command, program: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_help().map(ToString::to_string);
    let afterword = Afterword::parse(&help.unwrap_or_default());
    sections(&afterword, command, program).to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The sections after the options: notes, environment, examples, see also.
fn sections(afterword: &Afterword, command: &Command, program: &Command) -> Roff {
    let mut roff = Roff::new();
    if !afterword.notes.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for note in &afterword.notes {
        roff.control("PP", []).text([roman(note)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    roff.control("TP", []).text([bold("ECHOLOOP_LOG")]);
    let levels = "Log level, unless -v or -q is given: off, error, warn, info, debug or trace.";
    roff.text([roman(levels)]);
    if !afterword.examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
    }
    for example in &afterword.examples {
        roff.control("TP", []).text([bold(&example.command)]);
        roff.text([roman(&example.meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = program.get_subcommands().chain([program]);
    let names: Vec<&str> = others
        .filter(|other| other.get_name() != command.get_name())
        .map(|other| other.get_display_name().unwrap_or(other.get_name()))
        .collect();
    for (at, name) in names.iter().enumerate() {
        let comma = if at + 1 < names.len() { "," } else { "" };
        roff.text([bold(*name), roman(format!("(1){comma}"))]);
    }
    roff
}
