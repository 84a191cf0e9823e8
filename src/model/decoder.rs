//! The instrumented decoder: embed, block forward, block VJP (block/), and from the last residual to numbers (head.rs).

use super::{
    Batch, Hooks, Model, Taps,
    block::Scratch,
    rope,
    spec::{PositionSpec, RopeSpec},
    weights::Role,
};
use crate::{
    base::{Error, HookPoint, Result},
    compute::{Backend, Mat, MatMut, RopeTable, ScanDevice},
};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

pub use super::{
    block::BlockTape,
    head::{Objective, ObjectiveValues, ScoredToken},
};

/// A model on a device. Cheap to clone.
#[derive(Clone)]
pub struct Decoder {
    pub model: Arc<Model>,
    pub backend: Arc<dyn Backend>,
    /// Runs the fused scan instead of the backend.
    scan_device: Option<Arc<dyn ScanDevice>>,
    shared: Arc<Shared>,
}

/// What clones of a decoder have in common: memory that is used again instead of being asked for anew.
#[derive(Default)]
struct Shared {
    /// One a kind of rotation that the model's layers use.
    rope: RwLock<Vec<(RopeSpec, Arc<RopeTable>)>>,
    scratch: Mutex<Vec<Scratch>>,
    tapes: Mutex<Vec<BlockTape>>,
    /// The last slice of logits.
    logits: Mutex<Vec<f32>>,
}

/// Bytes of tapes that are kept for the next pass: as much as the allocator keeps of freed memory, but without clearing it again.
const SPARE_TAPES: usize = 512 << 20;

impl Decoder {
    /// What its numbers depend on, for keys of results that are gone on with: the weights, and the arithmetic where it is not plain f32.
    pub fn computing_key(&self) -> String {
        match self.backend.arithmetic() {
            "f32" => self.model.info.sha256.clone(),
            other => format!("{} in {other}", self.model.info.sha256),
        }
    }
    pub fn new(model: Arc<Model>, backend: Arc<dyn Backend>) -> Self {
        Self { model, backend, scan_device: None, shared: Arc::default() }
    }

    /// The same decoder, with its scans on another device; `None`: on the backend.
    #[must_use]
    pub fn with_scan_device(self, device: Option<Arc<dyn ScanDevice>>) -> Self {
        Self { scan_device: device, ..self }
    }

    pub fn scan_device(&self) -> Option<&dyn ScanDevice> {
        self.scan_device.as_deref()
    }

    /// What a scan runs on, for provenance.
    pub fn scan_place(&self) -> String {
        match &self.scan_device {
            Some(device) => format!("scan on {}, forward and backward on {}", device.name(), self.backend.device()),
            None => self.backend.device(),
        }
    }

    /// The model, for changing its weights; `None` while another decoder or the library holds it too.
    pub fn model_mut(&mut self) -> Option<&mut Model> {
        Arc::get_mut(&mut self.model)
    }

    /// Token embeddings `[n, d_model]`.
    ///
    /// # Errors
    /// When a sequence is empty or longer than the model's positions, or a token is outside its vocabulary.
    pub fn embed(&self, batch: &Batch, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let spec = &self.model.spec;
        for i in 0..batch.n_sequences() {
            match batch.len_of(i) {
                _ if batch.span(i).is_empty() => return Err(Error::invalid(format!("sequence {i} of the batch has no tokens"))),
                n if n > spec.max_positions => {
                    let most = spec.max_positions;
                    return Err(Error::invalid(format!("a sequence of {n} tokens is longer than the model's {most} positions; cut it")));
                }
                _ => {}
            }
        }
        let (d, width, vocab) = (spec.d_model, spec.embedding.width, spec.vocab);
        let weights = &self.model.weights;
        let mut resid = Vec::with_capacity(batch.n_tokens() * width);
        for &token in &batch.tokens {
            let token = token as usize;
            if token >= vocab {
                return Err(Error::invalid(format!(
                    "token {token} is outside the model's vocabulary of {vocab}; is the tokenizer another model's?"
                )));
            }
            resid.extend_from_slice(&weights.embedding[token * width..(token + 1) * width]);
        }
        if spec.embedding.scale != 1.0 {
            resid.iter_mut().for_each(|v| *v *= spec.embedding.scale);
        }
        if let Some(project) = weights.outer(Role::ProjectIn) {
            let n = batch.n_tokens();
            let mut wide = vec![0.0; n * d];
            self.backend.gemm_nt(MatMut::new(&mut wide, n, d), Mat::new(&resid, n, width), Mat::new(project, d, width), 1.0, 0.0);
            resid = wide;
        }
        call(hooks, HookPoint::Embed, batch, &mut resid)?;
        if let (Some(table), PositionSpec::Learned { offset }) = (weights.outer(Role::Positions), &spec.positions) {
            let mut rows = Vec::with_capacity(resid.len());
            for &p in &batch.positions {
                let row = p as usize + offset;
                rows.extend_from_slice(&table[row * d..(row + 1) * d]);
            }
            call(hooks, HookPoint::PosEmbed, batch, &mut rows)?;
            resid.iter_mut().zip(&rows).for_each(|(v, p)| *v += p);
        }
        Ok(resid)
    }

    /// Backward of [`Decoder::embed`]: what stands at `d_resid` `[n, d_model]` is added to the parameters that `taps` wants.
    pub fn embed_backward(&self, batch: &Batch, d_resid: &[f32], taps: &mut dyn Taps) {
        let (spec, weights) = (&self.model.spec, &self.model.weights);
        let (n, d, width) = (batch.n_tokens(), spec.d_model, spec.embedding.width);
        if let PositionSpec::Learned { offset } = spec.positions
            && let Some(sum) = taps.parameter(Role::Positions)
        {
            for (&p, row) in batch.positions.iter().zip(d_resid.chunks_exact(d)) {
                add(&mut sum[(p as usize + offset) * d..][..d], row);
            }
        }
        let mut d_embedded = Cow::Borrowed(d_resid);
        if let Some(project) = weights.outer(Role::ProjectIn) {
            if let Some(sum) = taps.parameter(Role::ProjectIn) {
                let mut embedded: Vec<f32> = Vec::with_capacity(n * width);
                for &token in &batch.tokens {
                    embedded.extend(weights.embedding[token as usize * width..][..width].iter().map(|v| v * spec.embedding.scale));
                }
                self.backend.gemm_tn(MatMut::new(sum, d, width), Mat::new(d_resid, n, d), Mat::new(&embedded, n, width), 1.0, 1.0);
            }
            let mut narrow = vec![0.0; n * width];
            self.backend.gemm_nn(MatMut::new(&mut narrow, n, width), Mat::new(d_resid, n, d), Mat::new(project, d, width), 1.0, 0.0);
            d_embedded = Cow::Owned(narrow);
        }
        if let Some(sum) = taps.parameter(Role::Embedding) {
            let scale = spec.embedding.scale;
            for (&token, row) in batch.tokens.iter().zip(d_embedded.chunks_exact(width)) {
                for (sum, g) in sum[token as usize * width..][..width].iter_mut().zip(row) {
                    *sum += scale * g;
                }
            }
        }
    }

    /// Embed and all blocks: the last `hook_resid_post`.
    ///
    /// # Errors
    /// As [`Decoder::embed`] and [`Decoder::block_forward`].
    pub fn forward(&self, batch: &Batch, hooks: &mut dyn Hooks) -> Result<Vec<f32>> {
        let mut resid = self.embed(batch, hooks)?;
        for layer in 0..self.model.spec.n_layers {
            self.block_forward(layer, batch, &mut resid, None, hooks)?;
        }
        Ok(resid)
    }

    /// Rotary table that covers every position of the batch, and each token's row in it; `None` where positions are learned.
    pub(super) fn rope_for<'b>(&self, layer: usize, batch: &'b Batch) -> Option<(Arc<RopeTable>, Cow<'b, [u32]>)> {
        let spec = self.model.spec.rope(layer)?;
        let table = self.rope_table(spec, batch.positions.iter().max().map_or(1, |&p| p as usize + 1));
        let Some(original) = rope::long_from(spec) else { return Some((table, Cow::Borrowed(&batch.positions))) };
        // A sequence is long or short by itself, whatever it is batched with.
        let half = (table.cos.len() / table.pairs.max(1) / 2) as u32;
        let mut rows = batch.positions.clone();
        for i in 0..batch.n_sequences() {
            if batch.len_of(i) > original {
                rows[batch.span(i)].iter_mut().for_each(|p| *p += half);
            }
        }
        Some((table, Cow::Owned(rows)))
    }

    fn rope_table(&self, spec: &RopeSpec, needed: usize) -> Arc<RopeTable> {
        let kinds = if rope::long_from(spec).is_some() { 2 } else { 1 };
        let covers = |(of, t): &&(RopeSpec, Arc<RopeTable>)| of == spec && t.cos.len() >= kinds * needed * t.pairs;
        if let Some((_, table)) = self.shared.rope.read().unwrap_or_else(PoisonError::into_inner).iter().find(covers) {
            return table.clone();
        }
        // Grown by doubling, so that ever longer batches do not make it anew each time.
        let table = Arc::new(rope::table(spec, needed.next_power_of_two()));
        let mut kept = self.shared.rope.write().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, t)| of != spec || t.cos.len() > table.cos.len());
        kept.push((spec.clone(), table.clone()));
        table
    }

    pub(super) fn take_scratch(&self) -> Scratch {
        self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// So many tapes, some with the memory of an earlier pass.
    pub fn take_tapes(&self, n: usize) -> Vec<BlockTape> {
        let mut spare = self.shared.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        let from = spare.len().saturating_sub(n);
        let mut tapes = spare.split_off(from);
        tapes.resize_with(n, BlockTape::default);
        tapes
    }

    /// Keeps the tapes' memory for the next pass, up to half a gibibyte.
    pub fn return_tapes(&self, tapes: impl IntoIterator<Item = BlockTape>) {
        let mut spare = self.shared.tapes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = spare.iter().map(BlockTape::bytes).sum();
        for tape in tapes {
            bytes += tape.bytes();
            if bytes > SPARE_TAPES {
                return;
            }
            spare.push(tape);
        }
    }

    /// The memory of an earlier slice of logits, unless another pass has it.
    pub(super) fn take_logits(&self) -> Vec<f32> {
        std::mem::take(&mut self.shared.logits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn return_logits(&self, logits: Vec<f32>) {
        *self.shared.logits.lock().unwrap_or_else(PoisonError::into_inner) = logits;
    }

    pub(super) fn return_scratch(&self, scratch: Scratch) {
        self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

/// Shows a hook the tensor if it wants it.
pub(super) fn call(hooks: &mut dyn Hooks, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
    if hooks.wants(point) { hooks.at(point, batch, values) } else { Ok(()) }
}

/// Sets the length; new room is zero, old room keeps whatever it held.
pub(super) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

pub(super) fn add(sum: &mut [f32], values: &[f32]) {
    for (s, v) in sum.iter_mut().zip(values) {
        *s += v;
    }
}

/// Adds every row of `values` `[n, sum.len()]`.
pub(super) fn add_rows(sum: &mut [f32], values: &[f32]) {
    for row in values.chunks_exact(sum.len().max(1)) {
        add(sum, row);
    }
}
