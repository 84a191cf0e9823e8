//! Training over the block VJP: AdamW, cosine schedule, clipping by global norm, checkpoints that resume byte for byte.

pub mod checkpoint;
pub mod demo;
pub mod gradients;
pub mod init;
pub mod optimizer;
pub mod schedule;
pub mod trainer;

pub use optimizer::{AdamW, AdamWConfig};
pub use schedule::Schedule;
pub use trainer::{StepReport, TrainConfig, TrainSequence, Trainer};
