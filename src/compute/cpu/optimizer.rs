//! The optimiser's update, piece by piece over all threads: it is bound by memory, and by nothing else once its root and division are vectors.

use super::{
    isa::per_isa,
    pool::{Pool, SharedMut},
};
use crate::compute::AdamWStep;

/// Elements a task handles; edges fall at the same places for any thread count.
const PIECE: usize = 32 * 1024;

/// [`crate::compute::Backend::adamw`]
pub(super) fn adamw(pool: &Pool, step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
    let n = w.len();
    assert!(gradient.len() == n && mean.len() == n && square.len() == n, "{n} weights, as many gradients and moments");
    let (w, mean, square) = (SharedMut::new(w), SharedMut::new(mean), SharedMut::new(square));
    pool.for_each(n.div_ceil(PIECE), |task| {
        let (from, len) = (task * PIECE, PIECE.min(n - task * PIECE));
        #[expect(unsafe_code, reason = "each task writes its own elements")]
        // SAFETY: pieces of different tasks share no element.
        let (w, mean, square) = unsafe { (w.slice(from, len), mean.slice(from, len), square.slice(from, len)) };
        adamw_piece(pool.isa, step, w, &gradient[from..from + len], mean, square);
    });
}

/// No multiply-add is fused: the update is PyTorch's to the last bit of each operation, on every instruction level.
#[inline(always)]
fn adamw_body<const FMA: bool>(step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
    let AdamWStep { beta1, beta2, eps, step_size, root2, keep, scale } = *step;
    let (rest1, rest2) = (1.0 - beta1, 1.0 - beta2);
    for (((w, &g), mean), square) in w.iter_mut().zip(gradient).zip(mean).zip(square) {
        let g = g * scale;
        *mean += (g - *mean) * rest1;
        *square = *square * beta2 + g * g * rest2;
        *w = *w * keep - step_size * *mean / (square.sqrt() / root2 + eps);
    }
}
per_isa! { fn adamw_piece(step: &AdamWStep, w: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) { adamw_body } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::Isa;

    #[test]
    fn every_level_and_thread_count_gives_the_same_bits() {
        let step = AdamWStep { beta1: 0.9, beta2: 0.98, eps: 1e-8, step_size: 3e-3, root2: 0.7, keep: 0.999, scale: 0.5 };
        let n = PIECE + 37;
        let value = |i: usize, k: usize| ((i * 2_654_435_761 + k * 40_503) % 10_007) as f32 / 5_003.5 - 1.0;
        let start = |k: usize| (0..n).map(|i| value(i, k)).collect::<Vec<f32>>();
        let run = |threads, isa| {
            let pool = Pool::new(Some(threads), isa);
            let (mut w, g, mut mean) = (start(0), start(1), start(2));
            let mut square: Vec<f32> = start(3).iter().map(|v| v * v).collect();
            adamw(&pool, &step, &mut w, &g, &mut mean, &mut square);
            (w, mean, square)
        };
        // The first element by hand, in f64.
        let (w, g, m, s) = (f64::from(value(0, 0)), f64::from(value(0, 1)) * 0.5, f64::from(value(0, 2)), f64::from(value(0, 3)).powi(2));
        let (m, s) = (m + (g - m) * 0.1, s * 0.98 + g * g * 0.02);
        let expected = w * 0.999 - 3e-3 * m / (s.sqrt() / 0.7 + 1e-8);
        let first = run(1, Isa::BASELINE);
        assert!((f64::from(first.0[0]) - expected).abs() < 1e-6, "{} {expected}", first.0[0]);
        for isa in Isa::available() {
            assert!(run(2, isa) == first, "{}", isa.name());
        }
    }
}
