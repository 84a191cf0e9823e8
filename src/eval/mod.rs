//! How good a model is on a domain: multiple choice by log-likelihood, loss and perplexity. Source: lm-evaluation-harness conventions.

pub mod chat;
pub mod donors;
pub mod encode;
pub mod evaluate;
pub mod intervention;
pub mod means;
pub mod prepared;
pub mod score;
pub mod switch;

pub use chat::{gold_text, prompt_text};
pub use donors::{Donors, positional_means, resample_donors};
pub use encode::{Encoded, encode_pair, encode_prompt, encode_text};
pub use evaluate::{Cancellable, EvalConfig, evaluate};
pub use intervention::{AblationAt, AblationMode, Intervention, Means};
pub use means::means;
pub use prepared::{Limits, Question, Sharing, Step, prepare};
pub use score::{DomainScore, ItemScore};
pub use switch::{RowTags, RowTagsRef, Switch, SwitchHooks};
