//! What a scan takes out of a backward pass: inputs and gradients of the linear layers, relevance of neurons and heads.

use super::{
    metrics::relevance::add_relevance,
    plan::{Input, Sizes},
    scanner::{LayerSums, Scanner, weight_name},
};
use crate::{
    base::{Ctx, Error, HookPoint, Result},
    compute::SampleSpan,
    model::{Batch, Matrix, RowsAt, Taps},
};
use std::ops::Range;

/// Inputs and gradients of one layer's linear weights for all samples, `[tokens, width]` each.
pub(super) struct Gathered {
    x: [Vec<f32>; Input::COUNT],
    delta: [Vec<f32>; Matrix::ALL.len()],
}

impl Gathered {
    /// Room for these matrices; nothing for the others.
    pub fn new(sizes: &Sizes, of: &[Matrix], tokens: usize) -> Self {
        Self { x: Default::default(), delta: Default::default() }.again(sizes, of, tokens)
    }
    /// The same memory for these matrices; every row is to be put in anew.
    pub fn again(mut self, sizes: &Sizes, of: &[Matrix], tokens: usize) -> Self {
        for input in 0..Input::COUNT {
            match of.iter().find(|m| Input::of(**m) as usize == input) {
                Some(&m) => self.x[input].resize(tokens * sizes.input(m), 0.0),
                None => self.x[input] = Vec::new(),
            }
        }
        for m in Matrix::ALL {
            match of.contains(&m) {
                true => self.delta[m as usize].resize(tokens * sizes.output(m), 0.0),
                false => self.delta[m as usize] = Vec::new(),
            }
        }
        self
    }
    pub fn x(&self, m: Matrix) -> &[f32] {
        &self.x[Input::of(m) as usize]
    }
    pub fn delta(&self, m: Matrix) -> &[f32] {
        &self.delta[m as usize]
    }
}

/// Where inputs and gradients of linear layers go.
pub(super) enum Sink<'a> {
    /// Nowhere: only relevance is wanted.
    None,
    /// Through the fused scan at once: this micro-batch holds every sample.
    Scan(&'a Scanner<'a>),
    /// Into place, to be scanned when every micro-batch has passed.
    Gather(&'a mut Gathered),
}

pub(super) struct ScanTaps<'a> {
    pub layer: usize,
    pub batch: &'a Batch,
    /// Domain of each sequence of the batch.
    pub domains: &'a [usize],
    /// First token of the batch among all samples' tokens.
    pub first_token: usize,
    /// Matrices looked at in this pass.
    pub of: &'a [Matrix],
    pub sink: Sink<'a>,
    /// Head width; `None` when no relevance is wanted.
    pub relevance: Option<usize>,
    pub sums: &'a mut LayerSums,
    pub ctx: &'a Ctx<'a>,
    pub seen: Seen,
}

/// What has fired so far, each in units of times.
#[derive(Default)]
pub(super) struct Seen {
    linear: [u32; Matrix::ALL.len()],
    /// Inputs that were put in their place.
    inputs: [bool; Input::COUNT],
    post: u32,
    z: u32,
}

impl Taps for ScanTaps<'_> {
    fn wants_input(&self, _: usize, matrix: Matrix) -> bool {
        !matches!(self.sink, Sink::None) && self.of.contains(&matrix)
    }
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        if !self.looks_at(layer, matrix)? {
            return Ok(());
        }
        match &mut self.sink {
            Sink::None => Ok(()),
            Sink::Scan(scanner) => scanner.scan(layer, &[(matrix, delta)], scanner.samples, x, self.sums),
            Sink::Gather(all) => {
                let n = self.batch.n_tokens();
                // Matrices that read the same tensor bring it each.
                let input = Input::of(matrix) as usize;
                if !std::mem::replace(&mut self.seen.inputs[input], true) {
                    put(&mut all.x[input], x, self.first_token, n);
                }
                put(&mut all.delta[matrix as usize], delta, self.first_token, n);
                Ok(())
            }
        }
    }

    fn linears(&mut self, layer: usize, x: &[f32], of: &[(Matrix, &[f32])]) -> Result<()> {
        let Sink::Scan(scanner) = self.sink else {
            return of.iter().try_for_each(|(matrix, delta)| self.linear(layer, *matrix, x, delta));
        };
        let mut wanted = Vec::with_capacity(of.len());
        for &(matrix, delta) in of {
            if self.looks_at(layer, matrix)? {
                wanted.push((matrix, delta));
            }
        }
        scanner.scan(layer, &wanted, scanner.samples, x, self.sums)
    }

    fn linear_at(&mut self, layer: usize, matrix: Matrix, at: &RowsAt, x: &[f32], delta: &[f32]) -> Result<()> {
        if !self.looks_at(layer, matrix)? {
            return Ok(());
        }
        match &mut self.sink {
            Sink::None => Ok(()),
            Sink::Scan(scanner) => {
                let spans = at.starts.windows(2).zip(scanner.samples);
                let samples: Vec<SampleSpan> = spans.map(|(w, s)| SampleSpan { start: w[0], end: w[1], ..*s }).collect();
                scanner.scan(layer, &[(matrix, delta)], &samples, x, self.sums)
            }
            Sink::Gather(all) => {
                let places = self.first_token..self.first_token + self.batch.n_tokens();
                // Not noted: keys and values, which read what queries do, bring all rows of it.
                let input = Input::of(matrix) as usize;
                if !self.seen.inputs[input] {
                    put_at(&mut all.x[input], x, places.clone(), at);
                }
                put_at(&mut all.delta[matrix as usize], delta, places, at);
                Ok(())
            }
        }
    }

    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()> {
        self.relevance_of(point, &self.batch.starts, values, gradient)
    }

    fn activation_at(&mut self, point: HookPoint, at: &RowsAt, values: &[f32], gradient: &[f32]) -> Result<()> {
        self.relevance_of(point, &at.starts, values, gradient)
    }
}

impl ScanTaps<'_> {
    /// Counts a linear layer's tap; false where the matrix is not looked at.
    fn looks_at(&mut self, layer: usize, matrix: Matrix) -> Result<bool> {
        self.ctx.check()?;
        if layer != self.layer {
            return Err(Error::numeric(weight_name(layer, matrix), format!("its tap fired in the backward pass of layer {}", self.layer)));
        }
        self.seen.linear[matrix as usize] += 1;
        Ok(self.of.contains(&matrix))
    }

    /// Adds relevance of neurons or heads; sequence i has rows `starts[i]..starts[i + 1]`.
    fn relevance_of(&mut self, point: HookPoint, starts: &[usize], values: &[f32], gradient: &[f32]) -> Result<()> {
        self.ctx.check()?;
        match point {
            HookPoint::MlpPost(l) if l == self.layer => {
                self.seen.post += 1;
                if self.relevance.is_some() {
                    let LayerSums { relevance, attribution, .. } = &mut *self.sums;
                    add_relevance(starts, self.domains, values, gradient, 1, relevance, Some(attribution));
                }
            }
            HookPoint::Z(l) if l == self.layer => {
                self.seen.z += 1;
                if let Some(head) = self.relevance {
                    add_relevance(starts, self.domains, values, gradient, head, &mut self.sums.head_relevance, None);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Copies a micro-batch's rows to their place among all samples' rows.
fn put(all: &mut [f32], rows: &[f32], first: usize, n: usize) {
    let width = rows.len() / n.max(1);
    all[first * width..(first + n) * width].copy_from_slice(rows);
}

/// The same for chosen rows of it, the others being 0.
fn put_at(all: &mut [f32], rows: &[f32], places: Range<usize>, at: &RowsAt) {
    let width = rows.len() / at.rows.len().max(1);
    let all = &mut all[places.start * width..places.end * width];
    all.fill(0.0);
    at.put(rows, all, width);
}

impl Seen {
    /// # Errors
    /// Names the first tap that fired never, or more than once.
    pub fn complete(&self, layer: usize, expected: &[Matrix]) -> Result<()> {
        let times = |n: u32| format!("its tap fired {n} times in one backward pass, expected once");
        for &m in expected {
            let n = self.linear[m as usize];
            if n != 1 {
                return Err(Error::numeric(weight_name(layer, m), times(n)));
            }
        }
        for (n, point) in [(self.post, HookPoint::MlpPost(layer)), (self.z, HookPoint::Z(layer))] {
            if n != 1 {
                return Err(Error::numeric(point.to_string(), times(n)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::job::silently;

    /// Fires the taps of a block with one sequence of two tokens, three neurons and one head of width two, but for `silent`.
    fn fire(silent: Option<Matrix>, silent_post: bool) -> Result<()> {
        let batch = Batch::new(&[vec![1u32, 2]]);
        let mut sums = LayerSums::zeros(1, 0, 1, false, 3, 1);
        silently(|ctx| {
            let mut taps = ScanTaps {
                layer: 4,
                batch: &batch,
                domains: &[0],
                first_token: 0,
                of: &Matrix::ALL,
                sink: Sink::None,
                relevance: Some(2),
                sums: &mut sums,
                ctx,
                seen: Seen::default(),
            };
            for m in Matrix::ALL.into_iter().filter(|m| Some(*m) != silent) {
                taps.linear(4, m, &[0.0; 4], &[0.0; 4])?;
            }
            if !silent_post {
                taps.activation(HookPoint::MlpPost(4), &[1.0; 6], &[1.0; 6])?;
            }
            taps.activation(HookPoint::Z(4), &[1.0; 4], &[1.0; 4])?;
            taps.seen.complete(4, &Matrix::ALL)
        })
    }

    #[test]
    fn a_tap_that_did_not_fire_is_an_error_that_names_the_tensor() {
        assert!(fire(None, false).is_ok());
        let message = fire(Some(Matrix::Up), false).expect_err("silent").to_string();
        assert!(message.contains("blocks.4.up.weight") && message.contains("0 times"), "{message}");
        let message = fire(None, true).expect_err("silent").to_string();
        assert!(message.contains("blocks.4.mlp.hook_post"), "{message}");
    }
}
