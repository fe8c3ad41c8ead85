//! `echoloop manual` and `echoloop completions`: what is installed beside the program, written from its flags themselves.
//!
//! Both are hidden from the help: who installs the program runs them once.

use super::Cli;
use super::Failure;
use super::examples::Afterword;
use super::output::{to_file, to_stdout};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const MANUAL_EXAMPLES: &str = "\
Examples:
  echoloop manual ~/.local/share/man/man1         for yourself
  echoloop manual /usr/local/share/man/man1       for everybody
  man echoloop-serve                              read one";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  echoloop completions bash > ~/.local/share/bash-completion/completions/echoloop
                                                  for bash
  echoloop completions fish > ~/.config/fish/completions/echoloop.fish
                                                  for fish
  echoloop completions zsh > /usr/local/share/zsh/site-functions/_echoloop
                                                  for zsh";

/// Write the manual: a page for the program, and one for each subcommand
#[derive(Debug, Args)]
#[command(after_help = MANUAL_EXAMPLES)]
pub(super) struct ManualFlags {
    /// Folder for the pages, which is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Print what makes a shell complete the flags
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(super) struct CompletionsFlags {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl ManualFlags {
    /// Writes all pages.
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        std::fs::create_dir_all(&self.folder).map_err(|error| {
            Failure(format!(
                "cannot make the folder {}: {error}; check the folder above it and its permissions",
                self.folder.display()
            ))
        })?;
        let mut program = shown();
        program.build();
        let pages = program.get_subcommands().chain([&program]);
        for command in pages {
            let man = Man::new(command.clone())
                .source(format!("echoloop {}", env!("CARGO_PKG_VERSION")))
                .manual("Manual of echoloop");
            let text = page(&man, command, &program)
                .map_err(|error| Failure(format!("cannot write a page: {error}")))?;
            to_file(&self.folder.join(man.get_filename()), &text)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl CompletionsFlags {
    /// Prints them.
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut shown(), "echoloop", &mut text);
        to_stdout(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The command line without the subcommands and the flags that are hidden: nobody shall be led to them.
fn shown() -> Command {
    let all = Cli::command();
    let visible = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    without_hidden_flags(&all)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("COMMANDS")
        .disable_help_subcommand(true)
        .subcommands(visible.map(without_hidden_flags))
}

/// A command like this one, made anew, since clap has no way to take a flag out again; most of what writes completions
/// does not heed that a flag is hidden.
fn without_hidden_flags(command: &Command) -> Command {
    let visible = command.get_arguments().filter(|flag| !flag.is_hide_set());
    Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .after_help(command.get_after_help().cloned().unwrap_or_default())
        .args(visible.cloned())
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
    let afterword = Afterword::of(&help.unwrap_or_default());
    sections(&afterword, command, program).to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// What the help says below the flags, and where to read on.
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
    roff.text([roman(
        "How much is logged, where neither -v nor -q is given: off, error, warn, info, debug or trace.",
    )]);
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
