//! "Try a text": what every layer would answer to a text of the user's, with the model as it is and with the ablation in force.

use super::{
    App, Failure,
    event::Event,
    inspect::{Found, Looking, Reading, Word, tokens_of},
    score::Change,
};
use crate::{
    base::provenance::Provenance,
    inspect::{self, LensRow},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// One layer at one position.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LensAnswer {
    /// Likeliest first; the value is the probability.
    pub top: Vec<Word>,
    pub entropy_bits: f32,
    /// How many tokens are likelier than the model's own answer at this position.
    pub rank: u32,
}

/// One model over the text: a row for each layer, empty until it is there; an answer for each position read out.
pub type LensGrid = Vec<Vec<LensAnswer>>;

#[derive(Clone, Debug, Default)]
pub struct LensLive {
    pub text: String,
    /// Of the text in force, those read out last.
    pub tokens: Vec<Word>,
    /// Position of the first token that is read out.
    pub from: usize,
    /// Tokens of the text beyond what the model takes, cut off at its end.
    pub left_out: usize,
    /// The model as it is.
    pub plain: Arc<LensGrid>,
    /// With the ablation in force.
    pub changed: Option<Arc<LensGrid>>,
    pub running: bool,
    pub failed: Option<Failure>,
    pub provenance: Option<Provenance>,
    pub(super) wish: Option<LensWish>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct LensWish {
    text: String,
    /// [`crate::model::Decoder::computing_key`]
    model: String,
    change: Change,
}

pub(super) enum LensNews {
    Tokens { tokens: Vec<Word>, from: usize, left_out: usize, provenance: Box<Provenance> },
    Rows { plain: Arc<LensGrid>, changed: Option<Arc<LensGrid>> },
}

/// Tokens of a layer and position that are kept.
pub const TOP: usize = 5;
/// Longer texts are cut.
const MOST_TOKENS: usize = 512;
/// Typing pauses this long before anything is read.
const PAUSE: Duration = Duration::from_millis(80);

impl LensLive {
    pub(super) fn take(&mut self, news: LensNews) {
        match news {
            LensNews::Tokens { tokens, from, left_out, provenance } => {
                (self.tokens, self.from, self.left_out) = (tokens, from, left_out);
                self.provenance = Some(*provenance);
                (self.plain, self.changed) = (Arc::default(), None);
            }
            LensNews::Rows { plain, changed } => (self.plain, self.changed) = (plain, changed),
        }
    }
    pub(super) fn ended(&mut self, failed: Option<Failure>) {
        self.running = false;
        self.failed = failed;
    }
}

impl App {
    pub(super) fn try_text(&mut self, text: String) {
        self.lens.text = text;
        self.refresh_lens();
    }

    /// Reads the text anew when it, the model or what is off has changed.
    pub(super) fn refresh_lens(&mut self) {
        if self.lens.text.is_empty() {
            if self.lens.wish.is_some() {
                self.runner.supersede(&mut self.jobs, |t| *t == super::event::JobTarget::Looking(Looking::Lens));
                self.lens = LensLive::default();
            }
            return;
        }
        let Some(decoder) = self.decoder.clone() else { return };
        let wish = LensWish { text: self.lens.text.clone(), model: decoder.computing_key(), change: self.change_in_force() };
        if self.lens.wish.as_ref() == Some(&wish) {
            return;
        }
        let scorer = self.scorer(decoder.clone(), &self.project.eval);
        let mut provenance = self.provenance();
        provenance.formula =
            "logit lens: hook_resid_post of each layer through final norm and unembedding (soft cap where the model has one), softmax"
                .into();
        provenance.objective.clear();
        (provenance.data_sha256, provenance.prompts) = (Vec::new(), Vec::new());
        provenance.command = self.lens_command(&wish.text);
        self.lens.wish = Some(wish.clone());
        (self.lens.running, self.lens.failed) = (true, None);
        self.look(Looking::Lens, move |ctx, out| {
            std::thread::sleep(PAUSE);
            ctx.check()?;
            let tokenizer = &decoder.model.tokenizer;
            let word = |token: u32, value: f32| Word { token, piece: tokenizer.piece(token), value };
            let (tokens, left_out) = tokens_of(&Reading::Text(wish.text), &decoder, None, MOST_TOKENS)?;
            let from = tokens.len().saturating_sub(inspect::MOST_POSITIONS);
            let shown = tokens[from..].iter().map(|&t| word(t, 0.0)).collect();
            let send = |news| out.send(Event::Found(Found::Lens(news)));
            send(LensNews::Tokens { tokens: shown, from, left_out, provenance: Box::new(provenance) });
            let layers = decoder.model.spec.n_layers;
            let answers = |row: LensRow| -> Vec<LensAnswer> {
                row.into_iter()
                    .map(|c| LensAnswer {
                        top: c.top.into_iter().map(|(t, p)| word(t, p)).collect(),
                        entropy_bits: c.entropy_bits,
                        rank: c.rank,
                    })
                    .collect()
            };
            // Partial results at most ten times a second: each is a copy of what is there.
            let mut told = std::time::Instant::now();
            let mut plain = vec![Vec::new(); layers];
            inspect::lens(&decoder, &tokens, None, TOP, ctx, &mut |layer, row| {
                plain[layer] = answers(row);
                if told.elapsed() > Duration::from_millis(100) {
                    send(LensNews::Rows { plain: Arc::new(plain.clone()), changed: None });
                    told = std::time::Instant::now();
                }
            })?;
            let plain = Arc::new(plain);
            send(LensNews::Rows { plain: plain.clone(), changed: None });
            if wish.change.is_none() {
                return Ok(());
            }
            let intervention = scorer.intervention(&wish.change, ctx)?;
            let mut changed = vec![Vec::new(); layers];
            inspect::lens(&decoder, &tokens, Some(&intervention), TOP, ctx, &mut |layer, row| {
                changed[layer] = answers(row);
                if told.elapsed() > Duration::from_millis(100) {
                    send(LensNews::Rows { plain: plain.clone(), changed: Some(Arc::new(changed.clone())) });
                    told = std::time::Instant::now();
                }
            })?;
            send(LensNews::Rows { plain, changed: Some(Arc::new(changed)) });
            Ok(())
        });
    }
}
