//! Low-rank adaptation: `W = W0 + alpha / r * B A` with `A` `[r, in]` and `B` `[out, r]`, of which only A and B train. Source: Hu et al., "LoRA:
//! Low-Rank Adaptation of Large Language Models", ICLR 2022; the start (A uniform as PyTorch's linear layer, B zero) as in PEFT.

use crate::{
    base::{Error, HookPoint, Result, rng::Rng},
    compute::{Backend, Mat, MatMut},
    model::{DecoderSpec, Matrix, Taps, Tensor, Weights, weights::Role},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    pub targets: BTreeSet<Matrix>,
}

impl Default for LoraConfig {
    /// Rank 8, alpha 16, queries and values: the choice of the paper.
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: BTreeSet::from([Matrix::Q, Matrix::V]) }
    }
}

/// One adapted matrix.
#[derive(Clone)]
pub struct Adapter {
    pub role: Role,
    pub layer: usize,
    pub matrix: Matrix,
    /// `[rank, in]`
    pub a: Vec<f32>,
    /// `[out, rank]`
    pub b: Vec<f32>,
    /// `W0`, `[out, in]`; shares memory with the model it came from.
    base: Tensor,
    d_a: Vec<f32>,
    d_b: Vec<f32>,
}

impl Adapter {
    pub fn n_in(&self) -> usize {
        self.base.shape[1]
    }
    pub fn n_out(&self) -> usize {
        self.base.shape[0]
    }
}

/// All adapters of a model.
#[derive(Clone)]
pub struct Lora {
    pub config: LoraConfig,
    pub adapters: Vec<Adapter>,
    by_place: BTreeMap<(usize, Matrix), usize>,
    backend: Arc<dyn Backend>,
    fired: usize,
    product: Vec<f32>,
}

impl Lora {
    /// # Errors
    /// When the rank is 0, or no target is a matrix of this model.
    pub fn new(spec: &DecoderSpec, weights: &Weights, config: LoraConfig, seed: u64, backend: Arc<dyn Backend>) -> Result<Self> {
        if config.rank == 0 || !config.alpha.is_finite() {
            let LoraConfig { rank, alpha, .. } = config;
            return Err(Error::invalid(format!("LoRA of rank {rank} with alpha {alpha}: the rank must be at least 1 and alpha a number")));
        }
        let mut adapters = Vec::new();
        for layer in 0..spec.n_layers {
            for &matrix in spec.matrices().iter().filter(|m| config.targets.contains(m)) {
                let role = Role::Weight(layer, matrix);
                let base = weights.get(role).ok_or_else(|| Error::invalid(format!("the weights have no {role}")))?;
                let (out, inside) = (base.shape[0], base.shape[1]);
                let mut rng = Rng::stream(seed, &format!("lora {role}"));
                let bound = (inside as f64).powf(-0.5);
                let a: Vec<f32> = (0..config.rank * inside).map(|_| ((2.0 * rng.unit() - 1.0) * bound) as f32).collect();
                let b = vec![0.0; out * config.rank];
                let (d_a, d_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
                adapters.push(Adapter { role, layer, matrix, a, b, base, d_a, d_b });
            }
        }
        if adapters.is_empty() {
            let names: Vec<_> = spec.matrices().iter().map(|m| m.name()).collect();
            return Err(Error::invalid(format!("LoRA has no target in this model; its matrices are {}", names.join(", "))));
        }
        let by_place = adapters.iter().enumerate().map(|(i, a)| ((a.layer, a.matrix), i)).collect();
        Ok(Self { config, adapters, by_place, backend, fired: 0, product: Vec::new() })
    }

    pub fn scale(&self) -> f32 {
        (self.config.alpha / self.config.rank as f64) as f32
    }
    /// Scalars that train.
    pub fn len(&self) -> usize {
        self.adapters.iter().map(|a| a.a.len() + a.b.len()).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.adapters.is_empty()
    }

    pub fn clear(&mut self) {
        for a in &mut self.adapters {
            a.d_a.fill(0.0);
            a.d_b.fill(0.0);
        }
        self.fired = 0;
    }
    /// # Errors
    /// When an adapter did not get exactly one gradient a micro-batch.
    pub fn check_fired(&self, micro_batches: usize) -> Result<()> {
        let expected = micro_batches * self.adapters.len();
        if self.fired == expected {
            return Ok(());
        }
        Err(Error::numeric("LoRA", format!("{} gradients arrived for {} adapters, expected {expected}", self.fired, self.adapters.len())))
    }
    /// Gradients in the order in which [`Lora::parameters`] gives the values.
    pub fn norm(&self) -> f64 {
        let square = |t: &[f32]| t.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
        self.adapters.iter().map(|a| square(&a.d_a) + square(&a.d_b)).sum::<f64>().sqrt()
    }
    /// Every A and B in turn with its gradient.
    pub fn parameters(&mut self) -> impl Iterator<Item = (&mut [f32], &[f32])> {
        self.adapters
            .iter_mut()
            .flat_map(|Adapter { a, b, d_a, d_b, .. }| [(a.as_mut_slice(), d_a.as_slice()), (b.as_mut_slice(), d_b.as_slice())])
    }

    /// Writes `W0 + alpha / r * B A` into the weights.
    ///
    /// # Errors
    /// When the weights are of another model.
    pub fn apply(&mut self, weights: &mut Weights) -> Result<()> {
        let (rank, scale) = (self.config.rank, self.scale());
        for adapter in &self.adapters {
            let (out, inside) = (adapter.n_out(), adapter.n_in());
            self.product.clear();
            self.product.extend_from_slice(&adapter.base);
            let product = MatMut::new(&mut self.product, out, inside);
            self.backend.gemm_nn(product, Mat::new(&adapter.b, out, rank), Mat::new(&adapter.a, rank, inside), scale, 1.0);
            let tensor = weights.get_mut(adapter.role).ok_or_else(|| Error::invalid(format!("the weights have no {}", adapter.role)))?;
            tensor.values_mut().copy_from_slice(&self.product);
        }
        Ok(())
    }
}

impl Taps for Lora {
    fn wants_input(&self, layer: usize, matrix: Matrix) -> bool {
        self.by_place.contains_key(&(layer, matrix))
    }
    fn linear(&mut self, layer: usize, matrix: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        let Some(&index) = self.by_place.get(&(layer, matrix)) else { return Ok(()) };
        self.fired += 1;
        let (rank, scale) = (self.config.rank, self.scale());
        let adapter = &mut self.adapters[index];
        let (out, inside) = (adapter.base.shape[0], adapter.base.shape[1]);
        let n = x.len() / inside;
        let (x, delta) = (Mat::new(x, n, inside), Mat::new(delta, n, out));
        // d B = s delta^T (x A^T), d A = s (delta B)^T x: the gradient of W itself is never formed.
        let mut low = vec![0.0; n * rank];
        self.backend.gemm_nt(MatMut::new(&mut low, n, rank), x, Mat::new(&adapter.a, rank, inside), 1.0, 0.0);
        self.backend.gemm_tn(MatMut::new(&mut adapter.d_b, out, rank), delta, Mat::new(&low, n, rank), scale, 1.0);
        self.backend.gemm_nn(MatMut::new(&mut low, n, rank), delta, Mat::new(&adapter.b, out, rank), 1.0, 0.0);
        self.backend.gemm_tn(MatMut::new(&mut adapter.d_a, rank, inside), Mat::new(&low, n, rank), x, scale, 1.0);
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
}
