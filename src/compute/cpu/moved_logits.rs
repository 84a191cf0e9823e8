//! Log-sums of logits that a change of low rank moves: a tile of rows and columns at a time, copied, moved, reduced and forgotten, so that the kept
//! logits are read once and nothing as large as they are is written.

use super::{
    cross_entropy::sum_exp,
    isa::per_isa,
    matmul::{View, product},
    numeric::{max, tanh},
    pool::Pool,
};
use crate::compute::MovedLogits;

/// Rows and columns of a tile (256 KiB).
const ROWS: usize = 64;
const COLUMNS: usize = 1024;

/// Largest logit so far, and the sum of exponentials below it.
#[derive(Clone, Copy)]
struct Running {
    highest: f32,
    sum: f64,
}

/// See [`crate::compute::Backend::moved_logits`].
pub(super) fn moved_logits(pool: &Pool, job: &MovedLogits<'_>, log_sums: &mut [f64], picked: &mut [f32]) {
    let (rows, vocab, k) = (job.undivided.rows, job.undivided.cols, job.delta.cols);
    assert!(
        job.delta.rows == rows && job.scale.len() == rows && log_sums.len() == rows,
        "{rows} rows of logits, {} of changes, {} scales",
        job.delta.rows,
        job.scale.len()
    );
    assert!(job.directions.rows == k && (k == 0 || job.directions.cols == vocab), "{k} directions of {vocab} logits");
    assert!(job.bias.is_none_or(|b| b.len() == vocab) && picked.len() == job.wanted.len(), "bias and wanted logits");
    assert!(job.wanted.iter().all(|w| w.0 < rows && (w.1 as usize) < vocab), "a logit that is not there");
    let mut by_row: Vec<usize> = (0..job.wanted.len()).collect();
    by_row.sort_by_key(|&i| job.wanted[i].0);
    let parts = pool.map_with(rows.div_ceil(ROWS), || vec![0.0f32; ROWS * COLUMNS], |tile, task| block(pool, job, &by_row, task, tile));
    for (task, (running, found)) in parts.into_iter().enumerate() {
        for (out, r) in log_sums[task * ROWS..].iter_mut().zip(running) {
            *out = r.sum.ln() + f64::from(r.highest);
        }
        for (i, value) in found {
            picked[i] = value;
        }
    }
}

/// One block of rows: their running sums, and the wanted logits among them by number.
fn block(pool: &Pool, job: &MovedLogits<'_>, by_row: &[usize], task: usize, tile: &mut [f32]) -> (Vec<Running>, Vec<(usize, f32)>) {
    let (vocab, k) = (job.undivided.cols, job.delta.cols);
    let first = task * ROWS;
    let n = ROWS.min(job.undivided.rows - first);
    let wanted = &by_row[by_row.partition_point(|&i| job.wanted[i].0 < first)..by_row.partition_point(|&i| job.wanted[i].0 < first + n)];
    let mut running = vec![Running { highest: f32::NEG_INFINITY, sum: 0.0 }; n];
    let mut found = Vec::with_capacity(wanted.len());
    for c in (0..vocab).step_by(COLUMNS) {
        let cols = COLUMNS.min(vocab - c);
        for (r, row) in tile.chunks_exact_mut(cols).take(n).enumerate() {
            row.copy_from_slice(&job.undivided.row(first + r)[c..c + cols]);
        }
        if k > 0 {
            let delta = View::new(&job.delta.data[first * job.delta.stride..], job.delta.stride);
            let directions = View::new(&job.directions.data[c..], job.directions.stride);
            #[expect(unsafe_code, reason = "strided views of the operands")]
            // SAFETY: rows and columns inside the operands by the assertions above; the tile is this task's.
            unsafe {
                product(n, cols, k, tile.as_mut_ptr(), cols, delta, directions, 1.0, 1.0);
            }
        }
        let bias = job.bias.map(|b| &b[c..c + cols]);
        for ((r, row), running) in tile.chunks_exact_mut(cols).take(n).enumerate().zip(&mut running) {
            reduce(pool.isa, row, job.scale[first + r], bias, job.soft_cap, running);
        }
        for &i in wanted {
            let (row, column) = (job.wanted[i].0 - first, job.wanted[i].1 as usize);
            if (c..c + cols).contains(&column) {
                found.push((i, tile[row * cols + column - c]));
            }
        }
    }
    (running, found)
}

/// Turns moved sums of one row into logits and adds their exponentials up.
#[inline(always)]
fn reduce_body<const FMA: bool>(row: &mut [f32], scale: f32, bias: Option<&[f32]>, cap: Option<f32>, running: &mut Running) {
    row.iter_mut().for_each(|v| *v *= scale);
    if let Some(bias) = bias {
        row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
    }
    if let Some(cap) = cap {
        row.iter_mut().for_each(|v| *v = cap * tanh::<FMA>(*v / cap));
    }
    let highest = max(row);
    // A NaN is larger than nothing and must show all the same.
    if highest > running.highest || highest.is_nan() {
        running.sum *= f64::from(running.highest - highest).exp();
        running.highest = highest;
    }
    running.sum += sum_exp::<FMA>(row, running.highest);
}
per_isa! { fn reduce(row: &mut [f32], scale: f32, bias: Option<&[f32]>, cap: Option<f32>, running: &mut Running) { reduce_body } }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{Mat, cpu::Isa};

    #[test]
    fn log_sums_and_chosen_logits_are_those_of_the_moved_rows() {
        let (rows, vocab, k) = (ROWS + 3, 2 * COLUMNS + 7, 5);
        let numbers = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin()).collect::<Vec<f32>>();
        let (undivided, delta, directions) = (numbers(rows * vocab, 0.71), numbers(rows * k, 0.37), numbers(k * vocab, 0.11));
        let (scale, bias) = (numbers(rows, 0.9), numbers(vocab, 0.05));
        let wanted = [(1, 0), (0, 2 * COLUMNS as u32), (rows - 1, vocab as u32 - 1), (1, 0)];
        for (bias, soft_cap) in [(None, None), (Some(&bias[..]), Some(2.0))] {
            let job = MovedLogits {
                undivided: Mat::new(&undivided, rows, vocab),
                delta: Mat::new(&delta, rows, k),
                directions: Mat::new(&directions, k, vocab),
                scale: &scale,
                bias,
                soft_cap,
                wanted: &wanted,
            };
            let logit = |r: usize, c: usize| {
                let moved: f64 = (0..k).map(|i| f64::from(delta[r * k + i]) * f64::from(directions[i * vocab + c])).sum();
                let plain = (f64::from(undivided[r * vocab + c]) + moved) * f64::from(scale[r]) + bias.map_or(0.0, |b| f64::from(b[c]));
                soft_cap.map_or(plain, |cap| f64::from(cap) * (plain / f64::from(cap)).tanh())
            };
            for isa in Isa::available() {
                let run = |threads| {
                    let (mut sums, mut picked) = (vec![0.0; rows], vec![0.0; wanted.len()]);
                    moved_logits(&Pool::new(Some(threads), isa), &job, &mut sums, &mut picked);
                    (sums, picked)
                };
                let (sums, picked) = run(1);
                assert_eq!((sums.clone(), picked.clone()), run(2), "threads change no bit");
                for (&(r, c), v) in wanted.iter().zip(picked) {
                    // A few ulp of numbers around 1.
                    assert!((f64::from(v) - logit(r, c as usize)).abs() < 2e-6);
                }
                for r in [0, 1, ROWS, rows - 1] {
                    let exact = (0..vocab).map(|c| logit(r, c).exp()).sum::<f64>().ln();
                    assert!((sums[r] - exact).abs() < 1e-6, "{} for {exact}", sums[r]);
                }
            }
        }
    }
}
