//! Cross-entropy of logit rows, and its gradient in place.

use super::{
    isa::per_isa,
    numeric::{LANES, exp, fold, max},
    pool::{Pool, SharedMut},
};

/// Elements whose exponentials are summed in f32 before the sum goes into f64.
const SUM_BLOCK: usize = 4096;

/// See [`crate::compute::Backend::cross_entropy`].
pub(super) fn cross_entropy(pool: &Pool, logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]) {
    let n = targets.len();
    assert!(losses.len() == n && weights.is_none_or(|w| w.len() == n), "cross-entropy of {n} rows");
    if n == 0 {
        return;
    }
    assert!(logits.len().is_multiple_of(n), "{} logits in {n} rows", logits.len());
    let vocab = logits.len() / n;
    let step = pool.rows_per_task(n, vocab);
    let (logits, losses) = (SharedMut::new(logits), SharedMut::new(losses));
    pool.for_each(n.div_ceil(step), |task| {
        let (row, count) = (task * step, step.min(n - task * step));
        #[expect(unsafe_code, reason = "each task writes its own rows")]
        // SAFETY: rows of different tasks share no element.
        let (logits, losses) = unsafe { (logits.slice(row * vocab, count * vocab), losses.slice(row, count)) };
        rows(pool.isa, logits, &targets[row..row + count], weights.map(|w| &w[row..row + count]), losses);
    });
}

/// See [`crate::compute::Backend::log_sum_exp`].
pub(super) fn log_sum_exp(pool: &Pool, logits: &[f32], out: &mut [f64]) {
    let n = out.len();
    assert!(logits.len().is_multiple_of(n.max(1)), "{} logits in {n} rows", logits.len());
    let vocab = logits.len() / n.max(1);
    let step = pool.rows_per_task(n, vocab);
    let parts = pool.map_with(
        n.div_ceil(step),
        || (),
        |(), task| {
            let (from, to) = (task * step, n.min((task + 1) * step));
            let mut sums = vec![0.0; to - from];
            log_sums(pool.isa, &logits[from * vocab..to * vocab], &mut sums);
            sums
        },
    );
    out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(o, s)| *o = s);
}

#[inline(always)]
fn log_sums_body<const FMA: bool>(logits: &[f32], out: &mut [f64]) {
    let vocab = logits.len() / out.len().max(1);
    for (x, out) in logits.chunks_exact(vocab.max(1)).zip(out) {
        let highest = max(x);
        *out = sum_exp::<FMA>(x, highest).ln() + f64::from(highest);
    }
}
per_isa! { fn log_sums(logits: &[f32], out: &mut [f64]) { log_sums_body } }

/// `sum exp(x - highest)`
#[inline(always)]
pub(super) fn sum_exp<const FMA: bool>(x: &[f32], highest: f32) -> f64 {
    let mut sum = 0.0f64;
    for block in x.chunks(SUM_BLOCK) {
        let mut acc = [0.0f32; LANES];
        let mut chunks = block.chunks_exact(LANES);
        for c in &mut chunks {
            for j in 0..LANES {
                acc[j] += exp::<FMA>(c[j] - highest);
            }
        }
        let rest: f32 = chunks.remainder().iter().map(|v| exp::<FMA>(v - highest)).sum();
        sum += f64::from(fold(&acc) + rest);
    }
    sum
}

#[inline(always)]
fn rows_body<const FMA: bool>(logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]) {
    let vocab = logits.len() / targets.len();
    for (i, (x, loss)) in logits.chunks_exact_mut(vocab).zip(losses).enumerate() {
        let target = targets[i] as usize;
        let highest = max(x);
        let sum = sum_exp::<FMA>(x, highest);
        *loss = (sum.ln() + f64::from(highest) - f64::from(x[target])) as f32;
        if let Some(weights) = weights {
            let weight = weights[i];
            let scale = (f64::from(weight) / sum) as f32;
            for v in x.iter_mut() {
                *v = exp::<FMA>(*v - highest) * scale;
            }
            // What the others have together: `softmax - 1` would leave a few bits of it where the answer is nearly certain.
            x[target] = 0.0;
            x[target] = -sum_blocks(x) as f32;
        }
    }
}

/// The sum of all, at f32's accuracy.
#[inline(always)]
fn sum_blocks(x: &[f32]) -> f64 {
    let mut sum = 0.0f64;
    for block in x.chunks(SUM_BLOCK) {
        let (whole, rest) = block.as_chunks::<LANES>();
        let mut acc = [0.0f32; LANES];
        for c in whole {
            for j in 0..LANES {
                acc[j] += c[j];
            }
        }
        sum += f64::from(fold(&acc) + rest.iter().sum::<f32>());
    }
    sum
}
per_isa! { fn rows(logits: &mut [f32], targets: &[u32], weights: Option<&[f32]>, losses: &mut [f32]) { rows_body } }

#[cfg(test)]
mod tests {
    use super::{super::Isa, *};

    #[test]
    fn gradients_of_nearly_certain_answers_keep_f32_s_accuracy() {
        let pool = Pool::new(Some(1), Isa::best());
        for (vocab, ahead) in [(2, 16.0), (300, 22.0), (9_001, 30.0), (49_152, 60.0), (300, 0.5), (300, -5.0)] {
            let (target, weight) = (vocab / 2, 0.25f32);
            let mut logits: Vec<f32> = (0..vocab).map(|i| ((i * 37 % 101) as f32 / 50.0).sin()).collect();
            logits[target] = ahead;
            let exact: Vec<f64> = logits.iter().map(|v| f64::from(*v).exp()).collect();
            let others: f64 = exact.iter().enumerate().filter(|(i, _)| *i != target).map(|(_, e)| e).sum();
            let want = -f64::from(weight) * others / (others + exact[target]);
            cross_entropy(&pool, &mut logits, &[target as u32], Some(&[weight]), &mut [0.0]);
            let got = f64::from(logits[target]);
            assert!((got - want).abs() <= 1e-6 * want.abs(), "{got} for {want}, {ahead} ahead of {vocab}");
        }
    }
}
