//! From the last residual to numbers: logits, log-probabilities, objectives and their gradients. Never all logits of a long batch at once.

use super::{
    Batch, Decoder, Hooks, NoHooks, NoTaps, Role, Taps, Tensor,
    decoder::{add, add_rows, call, sized},
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Mat, MatMut, MovedLogits, Norm, NormKind},
};

/// Logits held at once (128 MiB): with more rows at a time the head's matrix is read less often.
const LOGITS: usize = 32 << 20;
const MOST_ROWS: usize = 1024;
const LEAST_ROWS: usize = 64;

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

/// A token asked of one row of the last residual, and the weight of its log-probability in a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredToken {
    pub row: usize,
    pub token: u32,
    pub weight: f32,
}

/// Chosen rows on their way to the head.
struct HeadRows {
    /// Of the last residual, `[rows, d_model]`.
    x: Vec<f32>,
    /// After the final norm.
    normed: Vec<f32>,
    /// What meets the output matrix, `[rows, width]`, where that is not `normed`.
    projected: Option<Vec<f32>>,
}

impl HeadRows {
    fn hidden(&self) -> &[f32] {
        self.projected.as_deref().unwrap_or(&self.normed)
    }
}

/// One row of the last residual, and what is asked of its logits.
struct LossRow {
    row: usize,
    target: u32,
    weight: f32,
    sequence: usize,
}

impl Decoder {
    /// Rows whose logits are held at once, of so many: slices are about equally long.
    fn slice(&self, rows: usize) -> usize {
        let most = (LOGITS / self.model.spec.vocab.max(1)).clamp(LEAST_ROWS, MOST_ROWS);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }

    /// Chosen rows of the last `hook_resid_post` through final norm and projection.
    fn head_rows(&self, resid: &[f32], rows: &[usize]) -> HeadRows {
        let d = self.model.spec.d_model;
        let mut x = Vec::with_capacity(rows.len() * d);
        for &r in rows {
            x.extend_from_slice(&resid[r * d..(r + 1) * d]);
        }
        let weights = &self.model.weights;
        let normed = match weights.outer(Role::NormFinal) {
            Some(gain) => {
                let mut y = vec![0.0; x.len()];
                let bias = weights.outer(Role::NormFinalBias).map(Tensor::values);
                self.backend.norm(&self.model.spec.norm.norm(), &x, gain, bias, &mut y);
                y
            }
            None => x.clone(),
        };
        let projected = self.projected(&normed);
        HeadRows { x, normed, projected }
    }

    fn projected(&self, normed: &[f32]) -> Option<Vec<f32>> {
        let (d, width) = (self.model.spec.d_model, self.model.spec.embedding.width);
        let project = self.model.weights.outer(Role::ProjectOut)?;
        let n = normed.len() / d;
        let mut out = vec![0.0; n * width];
        self.backend.gemm_nt(MatMut::new(&mut out, n, width), Mat::new(normed, n, d), Mat::new(project, width, d), 1.0, 0.0);
        Some(out)
    }

    /// `[n, vocab]` from rows `[n, width]`.
    fn head(&self, hidden: &[f32], logits: &mut Vec<f32>) -> Result<()> {
        let (width, vocab) = (self.model.spec.embedding.width, self.model.spec.vocab);
        let n = hidden.len() / width;
        let out = MatMut::new(sized(logits, n * vocab), n, vocab);
        self.backend.gemm_nt(out, Mat::new(hidden, n, width), Mat::new(self.model.weights.head(), vocab, width), 1.0, 0.0);
        if let Some(cap) = self.model.spec.logit_soft_cap {
            self.backend.soft_cap(logits, cap);
        }
        if self.backend.all_finite(logits) {
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
        self.head(self.head_rows(resid, rows).hidden(), &mut logits)?;
        Ok(logits)
    }

    /// Logits `[n, vocab]` of a whole batch, with `ln_final.hook_normalized` shown to the hooks. As in TransformerLens that point is the
    /// residual normed without the norm's gain and bias. A model without a final norm has no such point.
    ///
    /// # Errors
    /// Those of the hook, and a logit that is not finite.
    pub fn logits_hooked(&self, batch: &Batch, resid: &[f32], hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let weights = &self.model.weights;
        let Some(gain) = weights.outer(Role::NormFinal).filter(|_| hooks.wants(HookPoint::FinalNorm)) else {
            return self.logits(resid, &(0..batch.n_tokens()).collect::<Vec<_>>());
        };
        let d = self.model.spec.d_model;
        let norm = self.model.spec.norm.norm();
        let mut normed = vec![0.0; resid.len()];
        self.backend.norm(&Norm { gain_offset: 0.0, ..norm }, resid, &vec![1.0; d], None, &mut normed);
        call(hooks, HookPoint::FinalNorm, batch, &mut normed)?;
        for row in normed.chunks_exact_mut(d) {
            for (v, gain) in row.iter_mut().zip(gain.iter()) {
                *v *= norm.gain_offset + gain;
            }
            if let Some(bias) = weights.outer(Role::NormFinalBias) {
                add(row, bias);
            }
        }
        let projected = self.projected(&normed);
        let mut logits = Vec::new();
        self.head(projected.as_deref().unwrap_or(&normed), &mut logits)?;
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
        let (mut logits, mut losses) = (self.take_logits(), Vec::new());
        let mut scores = Vec::with_capacity(scored.len());
        for slice in scored.chunks(self.slice(scored.len())) {
            let rows: Vec<usize> = slice.iter().map(|i| i - 1).collect();
            let targets: Vec<u32> = slice.iter().map(|&i| batch.tokens[i]).collect();
            self.head(self.head_rows(resid, &rows).hidden(), &mut logits)?;
            let greedy: Vec<bool> = logits.chunks_exact(vocab).zip(&targets).map(|(row, &t)| arg_max(row) == t as usize).collect();
            self.backend.cross_entropy(&mut logits, &targets, None, sized(&mut losses, slice.len()));
            scores.extend(losses.iter().zip(greedy).map(|(&loss, greedy)| (-loss, greedy)));
        }
        self.return_logits(logits);
        Ok(scores)
    }

    /// True where logits are a linear map of the last residual but for the final norm's division and the soft-cap.
    pub fn divides_last(&self) -> bool {
        self.model.weights.outer(Role::ProjectOut).is_none()
    }

    /// Rows `[n, d_model]` of the last residual as the final norm passes them on, but for its division and its bias: a linear map.
    fn undivided(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        let Some(gain) = self.model.weights.outer(Role::NormFinal) else { return rows };
        let norm = self.model.spec.norm.norm();
        for row in rows.chunks_exact_mut(self.model.spec.d_model) {
            let mean = if norm.kind == NormKind::Layer { mean(row) as f32 } else { 0.0 };
            for (v, gain) in row.iter_mut().zip(gain.iter()) {
                *v = (*v - mean) * (norm.gain_offset + gain);
            }
        }
        rows
    }

    /// Logits `[n, vocab]` of rows of the last residual before the final norm's division, its bias and the soft-cap: what a change of low rank is added
    /// to ([`Decoder::moved_log_probs`]).
    ///
    /// # Panics
    /// Where not [`Decoder::divides_last`]: a bug of the caller.
    pub fn undivided_logits(&self, rows: &[f32]) -> Vec<f32> {
        assert!(self.divides_last(), "a projection stands between the final norm and the logits");
        self.times_head(&self.undivided(rows))
    }

    fn times_head(&self, rows: &[f32]) -> Vec<f32> {
        let (d, vocab) = (self.model.spec.d_model, self.model.spec.vocab);
        let n = rows.len() / d;
        let mut logits = vec![0.0; n * vocab];
        self.backend.gemm_nt(
            MatMut::new(&mut logits, n, vocab),
            Mat::new(rows, n, d),
            Mat::new(self.model.weights.head(), vocab, d),
            1.0,
            0.0,
        );
        logits
    }

    /// Natural-log probabilities of tokens at rows of the last residual that neurons of the last layer moved: `resid` `[n, d_model]` is the residual under the
    /// change, `undivided` [`Decoder::undivided_logits`] without it, `delta` `[n, neurons]` the change of the neurons' activations. Within rounding those of
    /// [`Decoder::logits`]; the head's matrix is met by as many rows as there are neurons instead of `n`.
    pub fn moved_log_probs(&self, resid: &[f32], undivided: &[f32], neurons: &[usize], delta: &[f32], wanted: &[(usize, u32)]) -> Vec<f64> {
        let (spec, weights) = (&self.model.spec, &self.model.weights);
        let (d, vocab, k) = (spec.d_model, spec.vocab, neurons.len());
        let n = resid.len() / d;
        let mut rows = self.undivided(&self.neuron_outputs(spec.n_layers - 1, neurons));
        let bias = weights.outer(Role::NormFinalBias).filter(|_| weights.outer(Role::NormFinal).is_some());
        rows.extend(bias.iter().flat_map(|b| b.iter()));
        let directions = self.times_head(&rows);
        let (directions, bias) = (&directions[..k * vocab], bias.map(|_| &directions[k * vocab..]));
        let scale: Vec<f32> = match weights.outer(Role::NormFinal) {
            None => vec![1.0; n],
            Some(_) => resid.chunks_exact(d).map(|row| division(&spec.norm.norm(), row)).collect(),
        };
        let job = MovedLogits {
            undivided: Mat::new(undivided, n, vocab),
            delta: Mat::new(delta, n, k),
            directions: Mat::new(directions, k, vocab),
            scale: &scale,
            bias,
            soft_cap: spec.logit_soft_cap,
            wanted,
        };
        let (mut log_sums, mut picked) = (vec![0.0; n], vec![0.0; wanted.len()]);
        self.backend.moved_logits(&job, &mut log_sums, &mut picked);
        wanted.iter().zip(picked).map(|(&(row, _), logit)| f64::from(logit) - log_sums[row]).collect()
    }

    /// Values of the objectives (one for each sequence) and the gradient to start the backward pass with.
    ///
    /// # Errors
    /// When a sequence is too short for its objective, or a number is not finite.
    pub fn objective(&self, batch: &Batch, resid: &[f32], objectives: &[Objective]) -> Result<ObjectiveValues> {
        self.objective_with(batch, resid, objectives, &mut NoTaps)
    }

    /// [`Decoder::objective`] that also adds the gradients of head and final norm to the parameters that `taps` wants.
    ///
    /// # Errors
    /// As [`Decoder::objective`].
    pub fn objective_with(&self, batch: &Batch, resid: &[f32], objectives: &[Objective], taps: &mut dyn Taps) -> Result<ObjectiveValues> {
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
        let (values, d_resid) = self.rows_backward(batch, resid, objectives.len(), &last_rows, &loss_rows, taps)?;
        Ok(ObjectiveValues { values: values.into_iter().map(|v| v as f32).collect(), d_resid })
    }

    /// `sum_i weights[i] * cross-entropy of token i given what stands before it`, over the batch's packed tokens, and its gradient as in
    /// [`Decoder::objective_with`]. `weights` `[n]`; a weight of 0 costs nothing, and must be 0 for the first token of a sequence.
    ///
    /// # Errors
    /// When a first token has a weight, or a number is not finite.
    pub fn weighted_loss(&self, batch: &Batch, resid: &[f32], weights: &[f32], taps: &mut dyn Taps) -> Result<(f64, Vec<f32>)> {
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
        let (values, d_resid) = self.rows_backward(batch, resid, 1, &[], &rows, taps)?;
        Ok((values[0], d_resid))
    }

    /// Gradient `[n, d_model]` of `sum_i weight_i * ln p(token_i | row_i)` with respect to the last block's `hook_resid_post`. A row may be asked for
    /// several tokens, and none need stand in the batch: choices of a question are scored this way.
    ///
    /// # Errors
    /// When a row is outside the batch, or a number is not finite.
    pub fn log_prob_gradient(&self, batch: &Batch, resid: &[f32], tokens: &[ScoredToken]) -> Result<Vec<f32>> {
        let (n, vocab) = (batch.n_tokens(), self.model.spec.vocab);
        if let Some(bad) = tokens.iter().find(|t| t.row >= n || t.token as usize >= vocab) {
            return Err(Error::invalid(format!("token {} at row {}, expected below {vocab} and {n}", bad.token, bad.row)));
        }
        // Minus the cross-entropy is the log-probability.
        let row = |t: &ScoredToken| LossRow { row: t.row, target: t.token, weight: -t.weight, sequence: 0 };
        let rows: Vec<LossRow> = tokens.iter().map(row).collect();
        Ok(self.rows_backward(batch, resid, 1, &[], &rows, &mut NoTaps)?.1)
    }

    /// Values and residual gradient of maximum logits (`last_rows`: row and value index) and weighted losses.
    fn rows_backward(
        &self,
        batch: &Batch,
        resid: &[f32],
        n_values: usize,
        last_rows: &[(usize, usize)],
        loss_rows: &[LossRow],
        taps: &mut dyn Taps,
    ) -> Result<(Vec<f64>, Vec<f32>)> {
        let spec = &self.model.spec;
        let (d, width, vocab) = (spec.d_model, spec.embedding.width, spec.vocab);
        let head = self.model.weights.head();
        let head_role = if spec.tied_head { Role::Embedding } else { Role::Head };
        let mut values = vec![0f64; n_values];
        let mut d_resid = vec![0.0; batch.n_tokens() * d];
        let (mut logits, mut losses) = (self.take_logits(), Vec::new());

        for slice in last_rows.chunks(self.slice(last_rows.len())) {
            let rows: Vec<usize> = slice.iter().map(|&(row, _)| row).collect();
            let r = self.head_rows(resid, &rows);
            self.head(r.hidden(), &mut logits)?;
            // The derivative of a maximum is that of the entry which attains it (the first, of equals): a row of the head.
            let mut d_hidden = Vec::with_capacity(rows.len() * width);
            for ((row, &(_, sequence)), hidden) in logits.chunks_exact(vocab).zip(slice).zip(r.hidden().chunks_exact(width)) {
                let best = arg_max(row);
                values[sequence] = f64::from(row[best]);
                let slope = spec.logit_soft_cap.map_or(1.0, |cap| 1.0 - (row[best] / cap) * (row[best] / cap));
                d_hidden.extend(head[best * width..(best + 1) * width].iter().map(|w| slope * w));
                if let Some(sum) = taps.parameter(head_role) {
                    for (sum, h) in sum[best * width..(best + 1) * width].iter_mut().zip(hidden) {
                        *sum += slope * h;
                    }
                }
            }
            self.head_backward(&r, &rows, d_hidden, &mut d_resid, taps);
        }
        for slice in loss_rows.chunks(self.slice(loss_rows.len())) {
            let n = slice.len();
            let rows: Vec<usize> = slice.iter().map(|r| r.row).collect();
            let targets: Vec<u32> = slice.iter().map(|r| r.target).collect();
            let row_weights: Vec<f32> = slice.iter().map(|r| r.weight).collect();
            let r = self.head_rows(resid, &rows);
            self.head(r.hidden(), &mut logits)?;
            let capped = spec.logit_soft_cap.map(|cap| (cap, logits.clone()));
            self.backend.cross_entropy(&mut logits, &targets, Some(&row_weights), sized(&mut losses, n));
            if let Some((cap, capped)) = capped {
                logits.iter_mut().zip(capped).for_each(|(g, v)| *g *= 1.0 - (v / cap) * (v / cap));
            }
            for (row, &loss) in slice.iter().zip(&losses) {
                values[row.sequence] += f64::from(loss) * f64::from(row.weight);
            }
            let d_logits = Mat::new(&logits, n, vocab);
            if let Some(sum) = taps.parameter(head_role) {
                self.backend.gemm_tn(MatMut::new(sum, vocab, width), d_logits, Mat::new(r.hidden(), n, width), 1.0, 1.0);
            }
            let mut d_hidden = vec![0.0; n * width];
            self.backend.gemm_nn(MatMut::new(&mut d_hidden, n, width), d_logits, Mat::new(head, vocab, width), 1.0, 0.0);
            self.head_backward(&r, &rows, d_hidden, &mut d_resid, taps);
        }
        self.return_logits(logits);
        if let Some(sequence) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::numeric("objective", format!("{} for sequence {sequence}, expected a finite number", values[sequence])));
        }
        if !self.backend.all_finite(&d_resid) {
            let point = HookPoint::ResidPost(self.model.spec.n_layers - 1);
            return Err(Error::numeric(format!("gradient at {point}"), "a value is not finite"));
        }
        Ok((values, d_resid))
    }

    /// From the gradient of what meets the output matrix, `[rows, width]`, to that of the residual's rows.
    fn head_backward(&self, r: &HeadRows, rows: &[usize], d_hidden: Vec<f32>, d_resid: &mut [f32], taps: &mut dyn Taps) {
        let (spec, weights) = (&self.model.spec, &self.model.weights);
        let (d, width, n) = (spec.d_model, spec.embedding.width, rows.len());
        let d_normed = match weights.outer(Role::ProjectOut) {
            None => d_hidden,
            Some(project) => {
                let d_hidden = Mat::new(&d_hidden, n, width);
                if let Some(sum) = taps.parameter(Role::ProjectOut) {
                    self.backend.gemm_tn(MatMut::new(sum, width, d), d_hidden, Mat::new(&r.normed, n, d), 1.0, 1.0);
                }
                let mut d_normed = vec![0.0; n * d];
                self.backend.gemm_nn(MatMut::new(&mut d_normed, n, d), d_hidden, Mat::new(project, width, d), 1.0, 0.0);
                d_normed
            }
        };
        let d_x = match weights.outer(Role::NormFinal) {
            None => d_normed,
            Some(gain) => {
                if spec.norm.bias
                    && let Some(sum) = taps.parameter(Role::NormFinalBias)
                {
                    add_rows(sum, &d_normed);
                }
                let mut d_x = vec![0.0; n * d];
                self.backend.norm_backward(&spec.norm.norm(), &r.x, gain, &d_normed, &mut d_x, taps.parameter(Role::NormFinal));
                d_x
            }
        };
        for (&row, g) in rows.iter().zip(d_x.chunks_exact(d)) {
            // A row may be asked for several tokens.
            add(&mut d_resid[row * d..(row + 1) * d], g);
        }
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

fn mean(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v)).sum::<f64>() / row.len().max(1) as f64
}

/// What a norm multiplies a row by, its gain apart.
fn division(norm: &Norm, row: &[f32]) -> f32 {
    let mean = if norm.kind == NormKind::Layer { mean(row) } else { 0.0 };
    let square = row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / row.len().max(1) as f64;
    (1.0 / (square + f64::from(norm.eps)).sqrt()) as f32
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
