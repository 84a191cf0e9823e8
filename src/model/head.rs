//! From the last residual to numbers: logits, log-probabilities, objectives and their gradients. Never all logits of a long batch at once.

use super::{
    Batch, Decoder, Hooks, NoHooks,
    block::all_finite,
    decoder::{call, sized},
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut},
};

/// Rows whose logits are held at once.
const SLICE: usize = 256;

/// What is differentiated, for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// `max_v logit_v` at the last position.
    MaxLogit,
    /// Mean cross-entropy (natural log) of the tokens from index `from` (at least 1) to the end, each given what stands before it.
    Loss { from: usize },
}

/// One value a sequence, and the gradient of their sum.
pub struct ObjectiveValues {
    pub values: Vec<f32>,
    /// `[n, d_model]`, gradient with respect to the last block's `hook_resid_post`, of the sum over sequences of each one's value.
    pub d_resid: Vec<f32>,
}

/// Sums into which a trainer wants the gradients of head and final norm added.
pub struct HeadGradients<'a> {
    /// `[vocab, d_model]`: the head's, or the embedding's where it is tied.
    pub head: &'a mut [f32],
    /// `[d_model]`
    pub norm_final: &'a mut [f32],
}

/// One row of the last residual, and what is asked of its logits.
struct LossRow {
    row: usize,
    target: u32,
    weight: f32,
    sequence: usize,
}

impl Decoder {
    /// Final norm of chosen rows of the last `hook_resid_post`: `[rows, d_model]`.
    fn normed(&self, resid: &[f32], rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let d = self.model.spec.d_model;
        let mut x = Vec::with_capacity(rows.len() * d);
        for &r in rows {
            x.extend_from_slice(&resid[r * d..(r + 1) * d]);
        }
        let mut y = vec![0.0; x.len()];
        self.backend.rms_norm(&x, &self.model.weights.norm_final, self.norm_eps(), &mut y);
        (x, y)
    }

    /// `[n, vocab]` from normed rows `[n, d_model]`.
    fn head(&self, normed: &[f32], logits: &mut Vec<f32>) -> Result<()> {
        let (d, vocab) = (self.model.spec.d_model, self.model.spec.vocab);
        let n = normed.len() / d;
        let out = MatMut::new(sized(logits, n * vocab), n, vocab);
        self.backend.gemm_nt(out, Mat::new(normed, n, d), Mat::new(self.model.weights.head(), vocab, d), 1.0, 0.0);
        if all_finite(logits) {
            return Ok(());
        }
        let at = logits.iter().position(|v| !v.is_finite()).unwrap_or(0);
        Err(Error::numeric("logits", format!("{} for token {}, expected a finite number", logits[at], at % vocab)))
    }

    /// Logits `[rows, vocab]` of chosen rows of the last `hook_resid_post` (final norm included).
    ///
    /// # Errors
    /// When one is not finite.
    pub fn logits(&self, resid: &[f32], rows: &[usize]) -> Result<Vec<f32>> {
        let mut logits = Vec::new();
        self.head(&self.normed(resid, rows).1, &mut logits)?;
        Ok(logits)
    }

    /// Logits `[n, vocab]` of a whole batch, with `ln_final.hook_normalized` shown to the hooks. As in TransformerLens that point is the
    /// residual divided by its root mean square, before the norm's gain.
    ///
    /// # Errors
    /// Those of the hook, and a logit that is not finite.
    pub fn logits_hooked(&self, batch: &Batch, resid: &[f32], hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        if !hooks.wants(HookPoint::FinalNorm) {
            return self.logits(resid, &(0..batch.n_tokens()).collect::<Vec<_>>());
        }
        let d = self.model.spec.d_model;
        let mut normed = vec![0.0; resid.len()];
        self.backend.rms_norm(resid, &vec![1.0; d], self.norm_eps(), &mut normed);
        call(hooks, HookPoint::FinalNorm, batch, &mut normed)?;
        for row in normed.chunks_exact_mut(d) {
            for (v, gain) in row.iter_mut().zip(self.model.weights.norm_final.iter()) {
                *v *= gain;
            }
        }
        let mut logits = Vec::new();
        self.head(&normed, &mut logits)?;
        Ok(logits)
    }

    /// Natural-log probabilities of `tokens[i]` for each `i` in `scored` (indices into the batch's packed tokens, none the first of its
    /// sequence), given what stands before them; plus whether each was the arg max. Never holds more than a slice of logits.
    ///
    /// # Errors
    /// When an index is outside the batch or the first of its sequence, or a logit is not finite.
    pub fn log_probs(&self, batch: &Batch, resid: &[f32], scored: &[usize]) -> Result<Vec<(f32, bool)>> {
        for &i in scored {
            if i >= batch.n_tokens() || batch.positions[i] == 0 {
                return Err(Error::invalid(format!("token {i} of the batch cannot be scored: nothing stands before it in its sequence")));
            }
        }
        let vocab = self.model.spec.vocab;
        let (mut logits, mut losses) = (Vec::new(), Vec::new());
        let mut scores = Vec::with_capacity(scored.len());
        for slice in scored.chunks(SLICE) {
            let rows: Vec<usize> = slice.iter().map(|i| i - 1).collect();
            let targets: Vec<u32> = slice.iter().map(|&i| batch.tokens[i]).collect();
            self.head(&self.normed(resid, &rows).1, &mut logits)?;
            let greedy: Vec<bool> = logits.chunks_exact(vocab).zip(&targets).map(|(row, &t)| arg_max(row) == t as usize).collect();
            self.backend.cross_entropy(&mut logits, &targets, None, sized(&mut losses, slice.len()));
            scores.extend(losses.iter().zip(greedy).map(|(&loss, greedy)| (-loss, greedy)));
        }
        Ok(scores)
    }

    /// Values of the objectives (one for each sequence) and the gradient to start the backward pass with.
    ///
    /// # Errors
    /// When a sequence is too short for its objective, or a number is not finite.
    pub fn objective(&self, batch: &Batch, resid: &[f32], objectives: &[Objective]) -> Result<ObjectiveValues> {
        self.objective_with(batch, resid, objectives, None)
    }

    /// [`Decoder::objective`] that also adds up the gradients of head and final norm, for a trainer.
    ///
    /// # Errors
    /// As [`Decoder::objective`].
    pub fn objective_with(
        &self,
        batch: &Batch,
        resid: &[f32],
        objectives: &[Objective],
        gradients: Option<HeadGradients<'_>>,
    ) -> Result<ObjectiveValues> {
        if objectives.len() != batch.n_sequences() {
            return Err(Error::invalid(format!("{} objectives for {} sequences", objectives.len(), batch.n_sequences())));
        }
        let mut loss_rows = Vec::new();
        let mut last_rows = Vec::new();
        for (sequence, objective) in objectives.iter().enumerate() {
            let span = batch.span(sequence);
            match *objective {
                Objective::MaxLogit if span.is_empty() => return Err(Error::invalid(format!("sequence {sequence} has no tokens"))),
                Objective::MaxLogit => last_rows.push((span.end - 1, sequence)),
                Objective::Loss { from } if from == 0 || from >= span.len() => {
                    let n = span.len();
                    return Err(Error::invalid(format!(
                        "loss from token {from} of sequence {sequence}, expected 1 to {} of {n} tokens",
                        n.max(1) - 1
                    )));
                }
                Objective::Loss { from } => {
                    let weight = 1.0 / (span.len() - from) as f32;
                    let token = |i: usize| LossRow { row: i - 1, target: batch.tokens[i], weight, sequence };
                    loss_rows.extend((span.start + from..span.end).map(token));
                }
            }
        }
        let (values, d_resid) = self.rows_backward(batch, resid, objectives.len(), &last_rows, &loss_rows, gradients)?;
        Ok(ObjectiveValues { values: values.into_iter().map(|v| v as f32).collect(), d_resid })
    }

    /// `sum_i weights[i] * cross-entropy of token i given what stands before it`, over the batch's packed tokens, and its gradient as in
    /// [`Decoder::objective_with`]. `weights` `[n]`; a weight of 0 costs nothing, and must be 0 for the first token of a sequence.
    ///
    /// # Errors
    /// When a first token has a weight, or a number is not finite.
    pub fn weighted_loss(
        &self,
        batch: &Batch,
        resid: &[f32],
        weights: &[f32],
        gradients: Option<HeadGradients<'_>>,
    ) -> Result<(f64, Vec<f32>)> {
        if weights.len() != batch.n_tokens() {
            return Err(Error::invalid(format!("{} loss weights for {} tokens", weights.len(), batch.n_tokens())));
        }
        let mut rows = Vec::new();
        for (i, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            if batch.positions[i] == 0 {
                return Err(Error::invalid(format!("token {i} of the batch cannot be scored: nothing stands before it in its sequence")));
            }
            rows.push(LossRow { row: i - 1, target: batch.tokens[i], weight, sequence: 0 });
        }
        let (values, d_resid) = self.rows_backward(batch, resid, 1, &[], &rows, gradients)?;
        Ok((values[0], d_resid))
    }

    /// Values and residual gradient of maximum logits (`last_rows`: row and value index) and weighted losses.
    fn rows_backward(
        &self,
        batch: &Batch,
        resid: &[f32],
        n_values: usize,
        last_rows: &[(usize, usize)],
        loss_rows: &[LossRow],
        mut gradients: Option<HeadGradients<'_>>,
    ) -> Result<(Vec<f64>, Vec<f32>)> {
        let (d, vocab, eps) = (self.model.spec.d_model, self.model.spec.vocab, self.norm_eps());
        let weights = &self.model.weights;
        let mut values = vec![0f64; n_values];
        let mut d_resid = vec![0.0; batch.n_tokens() * d];
        let (mut logits, mut losses) = (Vec::new(), Vec::new());
        let mut back = |x: &[f32], d_normed: &[f32], rows: &mut dyn Iterator<Item = usize>, gain: Option<&mut [f32]>| {
            let mut d_x = vec![0.0; x.len()];
            self.backend.rms_norm_backward(x, &weights.norm_final, eps, d_normed, &mut d_x, gain);
            for (r, row) in rows.zip(d_x.chunks_exact(d)) {
                d_resid[r * d..(r + 1) * d].copy_from_slice(row);
            }
        };

        for slice in last_rows.chunks(SLICE) {
            let rows: Vec<usize> = slice.iter().map(|&(row, _)| row).collect();
            let (x, normed) = self.normed(resid, &rows);
            self.head(&normed, &mut logits)?;
            // The derivative of a maximum is that of the entry which attains it (the first, of equals): a row of the head.
            let mut d_normed = Vec::with_capacity(x.len());
            for ((row, &(_, sequence)), hidden) in logits.chunks_exact(vocab).zip(slice).zip(normed.chunks_exact(d)) {
                let best = arg_max(row);
                values[sequence] = f64::from(row[best]);
                d_normed.extend_from_slice(&weights.head()[best * d..(best + 1) * d]);
                if let Some(g) = &mut gradients {
                    for (sum, h) in g.head[best * d..(best + 1) * d].iter_mut().zip(hidden) {
                        *sum += h;
                    }
                }
            }
            back(&x, &d_normed, &mut rows.iter().copied(), gradients.as_mut().map(|g| &mut *g.norm_final));
        }
        for slice in loss_rows.chunks(SLICE) {
            let n = slice.len();
            let rows: Vec<usize> = slice.iter().map(|r| r.row).collect();
            let targets: Vec<u32> = slice.iter().map(|r| r.target).collect();
            let row_weights: Vec<f32> = slice.iter().map(|r| r.weight).collect();
            let (x, normed) = self.normed(resid, &rows);
            self.head(&normed, &mut logits)?;
            self.backend.cross_entropy(&mut logits, &targets, Some(&row_weights), sized(&mut losses, n));
            for (r, &loss) in slice.iter().zip(&losses) {
                values[r.sequence] += f64::from(loss) * f64::from(r.weight);
            }
            if let Some(g) = &mut gradients {
                let sum = MatMut::new(&mut *g.head, vocab, d);
                self.backend.gemm_tn(sum, Mat::new(&logits, n, vocab), Mat::new(&normed, n, d), 1.0, 1.0);
            }
            let mut d_normed = vec![0.0; n * d];
            let head = Mat::new(weights.head(), vocab, d);
            self.backend.gemm_nn(MatMut::new(&mut d_normed, n, d), Mat::new(&logits, n, vocab), head, 1.0, 0.0);
            back(&x, &d_normed, &mut rows.iter().copied(), gradients.as_mut().map(|g| &mut *g.norm_final));
        }
        if let Some(sequence) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::numeric("objective", format!("{} for sequence {sequence}, expected a finite number", values[sequence])));
        }
        if !all_finite(&d_resid) {
            let point = HookPoint::ResidPost(self.model.spec.n_layers - 1);
            return Err(Error::numeric(format!("gradient at {point}"), "a value is not finite"));
        }
        Ok((values, d_resid))
    }

    /// Embed, all blocks and head of one batch: logits `[n, vocab]`.
    ///
    /// # Errors
    /// As the parts.
    pub fn forward_logits(&self, batch: &Batch) -> Result<Vec<f32>> {
        let resid = self.forward(batch, &mut NoHooks)?;
        self.logits_hooked(batch, &resid, &mut NoHooks)
    }
}

/// Index of the largest value, the first of equals.
fn arg_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, &v) in row.iter().enumerate() {
        if v > row[best] {
            best = i;
        }
    }
    best
}
