//! The one error type below `app`. A message says what was found, what was expected and what to do.

use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user stopped the work. An outcome, not a failure.
    #[error("cancelled")]
    Cancelled,
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file that was read but is not what it should be; `message` names the place in it.
    #[error("{}: {message}", path.display())]
    Format { path: PathBuf, message: String },
    /// One row of a dataset. `line` counts from 1.
    #[error("{}:{line}: {message}", path.display())]
    Row { path: PathBuf, line: usize, message: String },
    /// A request that makes no sense for this model or data.
    #[error("{0}")]
    Invalid(String),
    /// A number that must not leave an engine (not finite, or a tap that never fired).
    #[error("{tensor}: {message}")]
    Numeric { tensor: String, message: String },
    /// A graphics card that is not there, gave up, or has too little memory.
    #[error("{device}: {message}")]
    Device { device: String, message: String },
}

impl Error {
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }
    pub fn format(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_owned(), message: message.into() }
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
    pub fn numeric(tensor: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Numeric { tensor: tensor.into(), message: message.into() }
    }
    pub fn device(device: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Device { device: device.into(), message: message.into() }
    }
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}
