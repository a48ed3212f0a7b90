//! `hean man`: manual pages, made from the same definition as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;

/// Flags of `man`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManArgs {
    /// Write hean.1 and a page for each command there, such as /usr/local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl Cli {
    /// Writes hean(1).
    pub fn manual(out: &mut dyn Write) -> io::Result<()> {
        Man::new(definition()).render(out)
    }

    /// Writes a page for every command into `dir`; returns how many.
    pub fn manuals(dir: &Path) -> io::Result<usize> {
        fs::create_dir_all(dir)?;
        let mut command = definition().disable_help_subcommand(true);
        clap_mangen::generate_to(command.clone(), dir)?;
        command.build();
        Ok(count(&command))
    }
}

/// The version alone: commit and target belong to a binary, not to a manual.
fn definition() -> Command {
    Cli::command().version(env!("CARGO_PKG_VERSION"))
}

fn count(command: &Command) -> usize {
    1 + command.get_subcommands().map(count).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().expect("directory");
        let count = Cli::manuals(dir.path()).expect("pages");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), count);
        for (name, word) in [
            ("hean.1", "hean\\-ticker(1)"),
            ("hean-ticker.1", "SYMBOL"),
            ("hean-keydb-migrate.1", "\\-\\-overwrite"),
        ] {
            let text = fs::read_to_string(dir.path().join(name)).expect(name);
            assert!(text.contains(word), "{name}: {text}");
            assert!(text.contains(".SH NAME"), "{name}");
        }
    }
}
