//! [`CpuBackend`]: the kernel list, each line leading to its own file.

use super::{
    Isa, Products, activation, attention, cross_entropy, elementwise, matmul, matmul::Form, moved_logits, norm, optimizer, pool::Pool,
    rope, scan,
};
use crate::compute::{
    Activation, AdamWStep, AttentionShape, AttentionSpan, Backend, Mat, MatMut, MovedLogits, Norm, RopeTable, ScanJob, ScanSums,
};

/// Computes on the processor, with its own bounded threads.
pub struct CpuBackend {
    pool: Pool,
}

impl CpuBackend {
    /// `threads` is cut to what the process may use; `None` takes the physical cores, less one for the window where there are more than two.
    /// The result of a kernel does not depend on it.
    /// Products are made by [`Products::best`].
    pub fn new(threads: Option<usize>) -> Self {
        Self::with_products(threads, Products::best())
    }
    /// With a chosen arithmetic of products; f32 where the processor lacks what it needs ([`Products::available`]).
    pub fn with_products(threads: Option<usize>, products: Products) -> Self {
        let products = if products.available() { products } else { Products::F32 };
        Self { pool: Pool::with_products(threads, Isa::best(), products) }
    }
    /// With code of a chosen instruction level and f32 products; for tests that compare them. Matrix products take the best level all the same.
    pub fn with_isa(threads: Option<usize>, isa: Isa) -> Self {
        Self { pool: Pool::new(threads, isa) }
    }
    pub fn threads(&self) -> usize {
        self.pool.threads
    }
}

impl Backend for CpuBackend {
    fn device(&self) -> String {
        let threads = self.pool.threads;
        let products = self.pool.products;
        let unit = products.made_by().map(|unit| format!(" and {unit} {products}")).unwrap_or_default();
        format!("cpu ({}{unit}, {threads} thread{})", self.pool.isa.name(), if threads == 1 { "" } else { "s" })
    }
    fn arithmetic(&self) -> &'static str {
        self.pool.products.arithmetic()
    }
    fn gemm_nt(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        matmul::multiply(&self.pool, Form::Nt, out, a, b, alpha, beta);
    }
    fn gemm_nn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        matmul::multiply(&self.pool, Form::Nn, out, a, b, alpha, beta);
    }
    fn gemm_tn(&self, out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, alpha: f32, beta: f32) {
        matmul::multiply(&self.pool, Form::Tn, out, a, b, alpha, beta);
    }
    fn norm(&self, norm: &Norm, x: &[f32], gain: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        norm::norm(&self.pool, norm, x, gain, bias, y);
    }
    fn norm_backward(&self, norm: &Norm, x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], d_gain: Option<&mut [f32]>) {
        norm::norm_backward(&self.pool, norm, x, gain, dy, dx, d_gain);
    }
    fn rope(&self, x: &mut [f32], positions: &[u32], table: &RopeTable, heads: usize, head_dim: usize, inverse: bool) {
        rope::rope(&self.pool, x, positions, table, heads, head_dim, inverse);
    }
    fn attention(&self, q: &[f32], k: &[f32], v: &[f32], starts: &[usize], shape: &AttentionShape, z: &mut [f32]) {
        attention::attention(&self.pool, q, k, v, starts, shape, z);
    }
    fn attention_spans(&self, q: &[f32], k: &[f32], v: &[f32], spans: &[AttentionSpan], shape: &AttentionShape, z: &mut [f32]) {
        attention::attention_spans(&self.pool, q, k, v, spans, shape, z);
    }
    fn attention_pattern(&self, q: &[f32], k: &[f32], shape: &AttentionShape) -> Vec<f32> {
        attention::attention_pattern(&self.pool, q, k, shape)
    }
    fn attention_backward(
        &self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        dz: &[f32],
        starts: &[usize],
        shape: &AttentionShape,
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        attention::attention_backward(&self.pool, &attention::Saved { q, k, v, dz }, starts, shape, dq, dk, dv);
    }
    fn gated(&self, act: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
        activation::gated(&self.pool, act, gate, up, out);
    }
    fn gated_backward(&self, act: Activation, gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        activation::gated_backward(&self.pool, act, gate, up, d_out, d_gate, d_up);
    }
    fn activate(&self, act: Activation, pre: &[f32], out: &mut [f32]) {
        activation::activate(&self.pool, act, pre, out);
    }
    fn activate_backward(&self, act: Activation, pre: &[f32], d_out: &[f32], d_pre: &mut [f32]) {
        activation::activate_backward(&self.pool, act, pre, d_out, d_pre);
    }
    fn soft_cap(&self, x: &mut [f32], cap: f32) {
        elementwise::soft_cap(&self.pool, x, cap);
    }
    fn adamw(&self, step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        optimizer::adamw(&self.pool, step, w, gradient, mean, square);
    }
    fn add(&self, x: &mut [f32], y: &[f32]) {
        elementwise::add(&self.pool, x, y);
    }
    fn sum(&self, out: &mut [f32], x: &[f32], y: &[f32]) {
        elementwise::sum(&self.pool, out, x, y);
    }
    fn gather_columns(&self, out: MatMut<'_>, x: Mat<'_>, columns: &[usize]) {
        elementwise::gather_columns(&self.pool, out, x, columns);
    }
    fn square_norm(&self, x: &[f32]) -> f64 {
        elementwise::square_norm(&self.pool, x)
    }
    fn all_finite(&self, x: &[f32]) -> bool {
        elementwise::all_finite(&self.pool, x)
    }
    fn add_bias(&self, x: &mut [f32], bias: &[f32]) {
        elementwise::add_bias(&self.pool, x, bias);
    }
    fn cross_entropy(&self, logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]) {
        cross_entropy::cross_entropy(&self.pool, logits, targets, weights, losses);
    }
    fn log_sum_exp(&self, logits: &[f32], out: &mut [f64]) {
        cross_entropy::log_sum_exp(&self.pool, logits, out);
    }
    fn moved_logits(&self, job: &MovedLogits<'_>, log_sums: &mut [f64], picked: &mut [f32]) {
        moved_logits::moved_logits(&self.pool, job, log_sums, picked);
    }
    fn scan(&self, job: &ScanJob<'_>, sums: &mut ScanSums) {
        scan::scan_all(&self.pool, std::slice::from_ref(job), std::slice::from_mut(sums));
    }
    fn scan_all(&self, jobs: &[ScanJob<'_>], sums: &mut [ScanSums]) {
        scan::scan_all(&self.pool, jobs, sums);
    }
}
