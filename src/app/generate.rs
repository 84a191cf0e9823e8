//! Text that the open model writes.

use super::{
    App,
    event::{Event, JobTarget},
    state::NoticeLevel,
};
use crate::{
    base::provenance::Provenance,
    model::{GenerateConfig, NoHooks, generate},
};
use serde::Serialize;
use std::{sync::Arc, time::Instant};

/// What a model wrote, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generated {
    pub prompt: String,
    pub text: String,
    pub tokens: Vec<u32>,
    pub tokens_per_second: f64,
    pub config: GenerateConfig,
    pub provenance: Provenance,
}

impl App {
    pub(super) fn generate(&mut self, prompt: String, config: GenerateConfig) {
        let Some(decoder) = self.decoder.clone() else {
            let what = "Open a model folder, or `demo`, and wait until it is read.";
            return self.notice(NoticeLevel::Error, "There is no model to write", what);
        };
        let mut provenance = self.provenance();
        provenance.formula = "one forward pass a token".into();
        provenance.objective.clear();
        provenance.data_sha256.clear();
        provenance.seed = config.seed;
        self.runner.spawn(&mut self.jobs, "Writing", JobTarget::Other, move |ctx, out| {
            let tokenizer = &decoder.model.tokenizer;
            let begun = Instant::now();
            let tokens = generate(&decoder, &tokenizer.encode(&prompt)?, &config, &mut NoHooks, ctx)?;
            let seconds = begun.elapsed().as_secs_f64();
            let text = tokenizer.decode(&tokens)?;
            let tokens_per_second = tokens.len() as f64 / seconds.max(f64::MIN_POSITIVE);
            out.send(Event::Generated(Arc::new(Generated { prompt, text, tokens, tokens_per_second, config, provenance })));
            Ok(())
        });
    }
}
