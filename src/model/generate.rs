//! Text from a model: one token at a time, drawn by candle's sampler.

use super::{Batch, Decoder, Hooks, Kept};
use crate::base::{Ctx, Error, Result};
use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use serde::{Deserialize, Serialize};

/// How tokens are chosen, and when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateConfig {
    /// Most tokens to add.
    pub tokens: usize,
    /// 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability.
    pub top_p: Option<f64>,
    /// Only this many of the likeliest tokens.
    pub top_k: Option<usize>,
    pub seed: u64,
    /// Ids that end the text; they are not part of it.
    pub stop: Vec<u32>,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self { tokens: 32, temperature: 0.0, top_p: None, top_k: None, seed: 0, stop: Vec::new() }
    }
}

impl GenerateConfig {
    fn sampling(&self) -> Sampling {
        let temperature = self.temperature;
        match (self.top_k, self.top_p) {
            _ if temperature <= 0.0 => Sampling::ArgMax,
            (None, None) => Sampling::All { temperature },
            (Some(k), None) => Sampling::TopK { k, temperature },
            (None, Some(p)) => Sampling::TopP { p, temperature },
            (Some(k), Some(p)) => Sampling::TopKThenTopP { k, p, temperature },
        }
    }
}

/// Tokens that follow `prompt`, without it. Keys and values of what was read are kept, which gives the same bits as reading all of it again; with hooks the
/// whole sequence is run for every token, so that they see every position each time. Ends early at the model's last position.
///
/// # Errors
/// When the prompt is empty or too long, the settings make no sense, a number is not finite, or the user stops it.
pub fn generate(decoder: &Decoder, prompt: &[u32], config: &GenerateConfig, hooks: &mut dyn Hooks, ctx: &Ctx<'_>) -> Result<Vec<u32>> {
    let most = decoder.model.spec.max_positions;
    if prompt.is_empty() {
        return Err(Error::invalid("there is no token to begin with: give a prompt"));
    }
    if prompt.len() >= most {
        return Err(Error::invalid(format!("the prompt has {} tokens, and the model has {most} positions; shorten it", prompt.len())));
    }
    if !config.temperature.is_finite()
        || config.temperature < 0.0
        || config.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0))
        || config.top_k == Some(0)
    {
        return Err(Error::invalid(format!(
            "temperature {}, top-p {:?}, top-k {:?}; expected a temperature from 0 up, a top-p above 0 and at most 1, a top-k from 1 up",
            config.temperature, config.top_p, config.top_k
        )));
    }
    let mut sampler = LogitsProcessor::from_sampling(config.seed, config.sampling());
    let mut tokens = prompt.to_vec();
    let mut kept = Kept::default();
    for done in 0..config.tokens {
        ctx.check()?;
        ctx.progress("writing", done, config.tokens, "tokens");
        if tokens.len() == most {
            break;
        }
        let resid = if hooks.is_blind() {
            let read = kept.tokens().len();
            decoder.read_on(&tokens[read..], &mut kept)?
        } else {
            decoder.forward(&Batch::new(&[&tokens]), hooks)?
        };
        let logits = decoder.logits(&resid, &[resid.len() / decoder.model.spec.d_model - 1])?;
        let failed = |e: candle_core::Error| Error::numeric("sampling", e.to_string());
        let logits = Tensor::from_vec(logits, decoder.model.spec.vocab, &Device::Cpu).map_err(failed)?;
        let next = sampler.sample(&logits).map_err(failed)?;
        if config.stop.contains(&next) {
            break;
        }
        tokens.push(next);
    }
    Ok(tokens.split_off(prompt.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::job::silently,
        compute::cpu::CpuBackend,
        model::{NoHooks, load_model},
    };
    use std::{path::Path, sync::Arc};

    fn decoder() -> Decoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
        Decoder::new(Arc::new(silently(|ctx| load_model(&folder, ctx)).expect("model")), Arc::new(CpuBackend::new(None)))
    }

    fn written(config: &GenerateConfig) -> Result<Vec<u32>> {
        silently(|ctx| generate(&decoder(), &[1, 40, 99], config, &mut NoHooks, ctx))
    }

    #[test]
    fn greedy_text_is_the_arg_max_each_time_and_stops_where_told() {
        let config = GenerateConfig { tokens: 6, ..GenerateConfig::default() };
        let text = written(&config).expect("text");
        assert_eq!(text.len(), 6);
        let mut all = vec![1, 40, 99];
        for &token in &text {
            let logits = decoder().forward_logits(&Batch::new(&[&all])).expect("logits");
            let last = &logits[logits.len() - 512..];
            assert!(last.iter().all(|v| *v <= last[token as usize]), "token {token} is not the likeliest");
            all.push(token);
        }
        let stopped = written(&GenerateConfig { stop: vec![text[3]], ..config }).expect("stopped");
        let end = text.iter().position(|t| *t == text[3]).expect("is in it");
        assert_eq!(stopped, text[..end]);
    }

    #[test]
    fn the_seed_decides_and_nonsense_is_refused() {
        let config = GenerateConfig { tokens: 12, temperature: 5.0, seed: 3, ..GenerateConfig::default() };
        assert_eq!(written(&config).expect("a"), written(&config).expect("b"));
        assert_ne!(written(&config).expect("a"), written(&GenerateConfig { seed: 4, ..config.clone() }).expect("b"));
        for bad in [
            GenerateConfig { temperature: f64::NAN, ..config.clone() },
            GenerateConfig { top_p: Some(0.0), ..config.clone() },
            GenerateConfig { top_k: Some(0), ..config },
        ] {
            assert!(written(&bad).expect_err("refused").to_string().contains("temperature"));
        }
    }

    #[test]
    fn the_models_last_position_ends_the_text() {
        let prompt: Vec<u32> = (0..254).map(|i| i % 500).collect();
        let config = GenerateConfig { tokens: 10, ..GenerateConfig::default() };
        let text = silently(|ctx| generate(&decoder(), &prompt, &config, &mut NoHooks, ctx)).expect("text");
        assert_eq!(text.len(), 2);
    }
}
