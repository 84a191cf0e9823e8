//! Training over the block VJP, of every parameter, a neuron set or low-rank adapters: AdamW and SGD, cosine schedule, clipping by global norm, checkpoints that resume byte for byte.

pub mod change;
pub mod checkpoint;
pub mod demo;
pub mod examples;
pub mod gradients;
pub mod init;
pub mod lora;
mod need;
pub mod optimizer;
pub mod overlay;
pub mod peft;
pub mod run;
pub mod schedule;
pub mod trained;
pub mod trainer;

pub use change::{MatrixChange, WeightChange, weight_change};
pub use examples::{Examples, Learn, examples};
pub use lora::{Lora, LoraConfig};
pub use optimizer::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig};
pub use overlay::Overlay;
pub use run::{Ended, Evaluated, TuneConfig, TunePoint, Tuned, tune, tune_from};
pub use schedule::Schedule;
pub use trained::{Part, Slice, Trained};
pub use trainer::{StepReport, Target, TrainConfig, TrainSequence, Trainer};
