//! How good a model is on a domain: multiple choice by log-likelihood, loss and perplexity. Source: lm-evaluation-harness conventions.

pub mod encode;
pub mod intervention;
pub mod score;

pub use encode::{Encoded, encode_pair, encode_prompt, encode_text};
pub use intervention::{AblationMode, Intervention};
pub use score::{DomainScore, ItemScore};
