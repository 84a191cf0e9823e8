//! The program without a screen: everything one can ask for ([`Command`]) and the state it changes ([`App`]).

pub mod command;
pub mod jobs;
pub mod library;
pub mod project;
pub mod state;

pub use command::Command;
pub use jobs::{JobId, JobState, JobView};
pub use library::{DomainEntry, Library, ModelEntry, RunEntry};
pub use project::{MapScale, NamedSet, Project, View};
pub use state::{AblationLive, App, Notice, NoticeLevel};
