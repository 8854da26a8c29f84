//! Owns reading the files that people write in TOML: what is wrong is said with the file, the line and the key.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// An error in such a file.
#[derive(Debug, thiserror::Error)]
pub enum TomlFileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// The file is not TOML, or does not say what it should.
    #[error("{path}: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The fault, with line and key.
        why: String,
    },
}

/// Reads a file whose text `parse` understands.
pub fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, TomlFileError> {
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map_err(|why| TomlFileError::Wrong { path, why }),
        Err(why) => Err(TomlFileError::Io { path, why }),
    }
}

/// Reads the keys and values of a text; the error names line and key.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}
