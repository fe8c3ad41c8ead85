//! A PEM file: its name, for errors, and its text.

use super::error::SettingsError;
use std::path::Path;
use std::{fmt, fs};

/// The text of a PEM file.
#[derive(Clone)]
pub struct Pem {
    name: String,
    text: Vec<u8>,
}

/// A key file is larger than this only by mistake, such as a device.
const MAX_BYTES: u64 = 16 << 20;

impl Pem {
    /// A text with the name that errors give it.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Pem {
        Pem {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no file of at most 16 MiB.
    pub fn read(path: &Path) -> Result<Pem, SettingsError> {
        let name = path.display();
        let failed = |error| SettingsError::new(format!("cannot read {name}: {error}"));
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > MAX_BYTES {
            return Err(SettingsError::new(format!(
                "{name} has {length} bytes: a PEM file has at most {MAX_BYTES}"
            )));
        }
        let text = fs::read(path).map_err(failed)?;
        Ok(Pem::new(name.to_string(), text))
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the text contains a string.
    pub(super) fn contains(&self, part: &str) -> bool {
        memchr::memmem::find(&self.text, part.as_bytes()).is_some()
    }
}

// The text may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
