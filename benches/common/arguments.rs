//! The command line of a bench: `[PART]... [--quick] [--OPTION FILE]...`.

use std::process::ExitCode;

/// A part of a bench that measures into an `R`: its name and its function.
pub(crate) type Part<R> = (&'static str, fn(&mut R));

/// What was asked for.
pub(crate) struct Arguments<R: 'static> {
    pub(crate) quick: bool,
    /// The named parts in the order given, or all.
    pub(crate) parts: Vec<&'static Part<R>>,
    files: Vec<(&'static str, String)>,
}

impl<R> Arguments<R> {
    /// The file of an option.
    pub(crate) fn file(&self, option: &str) -> Option<&str> {
        let mut files = self.files.iter().rev();
        let found = files.find(|(name, _)| *name == option);
        found.map(|(_, file)| file.as_str())
    }
}

/// Reads the command line of a bench with these parts, and options that take a file. Prints what is wrong with it, and
/// returns the exit code for that.
pub(crate) fn read<R>(
    parts: &'static [Part<R>],
    options: &[&'static str],
) -> Result<Arguments<R>, ExitCode> {
    parse(std::env::args().skip(1), parts, options).map_err(|error| {
        let parts = parts.iter().map(|(name, _)| format!("[{name}] "));
        let options = options.iter().map(|name| format!(" [{name} FILE]"));
        let (parts, options): (String, String) = (parts.collect(), options.collect());
        eprintln!("{error}: {parts}[--quick]{options}");
        ExitCode::from(2)
    })
}

fn parse<R>(
    mut arguments: impl Iterator<Item = String>,
    parts: &'static [Part<R>],
    options: &[&'static str],
) -> Result<Arguments<R>, String> {
    let mut chosen = Arguments {
        quick: false,
        parts: Vec::new(),
        files: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => chosen.quick = true,
            // Cargo passes this to every bench.
            "--bench" => {}
            name => {
                if let Some(option) = options.iter().find(|option| **option == name) {
                    let file = arguments.next();
                    let file = file.ok_or_else(|| format!("{name} needs a file"))?;
                    chosen.files.push((*option, file));
                } else {
                    let part = parts.iter().find(|(part, _)| *part == name);
                    chosen
                        .parts
                        .push(part.ok_or_else(|| format!("no part {name}"))?);
                }
            }
        }
    }
    if chosen.parts.is_empty() {
        chosen.parts.extend(parts);
    }
    Ok(chosen)
}
