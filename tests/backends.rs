//! Every kernel of the processor's backend against a plain f64 twin on odd shapes, at every instruction level, and with one and two threads.
//!
//! Tolerances: a sum of k products of numbers of size 1 in f32 is off by about sqrt(k) * 6e-8 and at worst k * 6e-8; with k up to 600 the
//! bound below, 2e-5 relative to the largest magnitude that enters, holds with room.

use brodmann::{
    base::rng::Rng,
    compute::{
        Activation, AttentionShape, AttentionSpan, Backend, Mat, MatMut, Norm, NormKind, RopeTable,
        cpu::{CpuBackend, Isa},
    },
};

fn random(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn backends() -> Vec<CpuBackend> {
    Isa::available().into_iter().flat_map(|isa| [Some(1), Some(2)].map(|t| CpuBackend::with_isa(t, isa))).collect()
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= tolerance * scale, "{what}: element {i} is {g}, expected {w}");
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Nt,
    Nn,
    Tn,
}

fn gemm(b: &CpuBackend, form: Form, out: MatMut<'_>, x: Mat<'_>, y: Mat<'_>, alpha: f32, beta: f32) {
    match form {
        Form::Nt => b.gemm_nt(out, x, y, alpha, beta),
        Form::Nn => b.gemm_nn(out, x, y, alpha, beta),
        Form::Tn => b.gemm_tn(out, x, y, alpha, beta),
    }
}

#[test]
fn products_agree_with_f64_on_odd_strided_shapes() {
    let mut rng = Rng::new(1);
    for (m, n, k) in [(1, 1, 1), (1, 65, 17), (3, 1, 5), (2, 3, 2), (17, 33, 1), (5, 7, 600), (65, 129, 17), (130, 200, 65), (64, 300, 515)]
    {
        for form in [Form::Nt, Form::Nn, Form::Tn] {
            let (ar, ac) = if form == Form::Tn { (k, m) } else { (m, k) };
            let (br, bc) = if form == Form::Nt { (n, k) } else { (k, n) };
            // Rows lie further apart than they are long.
            let (a, b) = (random(&mut rng, ar * (ac + 3)), random(&mut rng, br * (bc + 1)));
            let a = Mat { data: &a, rows: ar, cols: ac, stride: ac + 3 };
            let b = Mat { data: &b, rows: br, cols: bc, stride: bc + 1 };
            let at = |r: usize, i: usize| f64::from(if form == Form::Tn { a.row(i)[r] } else { a.row(r)[i] });
            let bt = |i: usize, c: usize| f64::from(if form == Form::Nt { b.row(c)[i] } else { b.row(i)[c] });
            for (alpha, beta) in [(1.0f32, 0.0f32), (0.5, 1.0), (-2.0, 0.25)] {
                let before = random(&mut rng, m * (n + 2));
                let mut want = wide(&before);
                for r in 0..m {
                    for c in 0..n {
                        let sum: f64 = (0..k).map(|i| at(r, i) * bt(i, c)).sum();
                        let o = &mut want[r * (n + 2) + c];
                        *o = f64::from(alpha) * sum + f64::from(beta) * *o;
                    }
                }
                for backend in backends() {
                    let mut out = before.clone();
                    gemm(&backend, form, MatMut { data: &mut out, rows: m, cols: n, stride: n + 2 }, a, b, alpha, beta);
                    close(&format!("{form:?} {m} {n} {k} {alpha} {beta}"), &out, &want, 2e-5);
                }
            }
        }
    }
}

#[test]
fn a_product_without_depth_scales_or_clears() {
    for backend in backends() {
        let mut out = vec![f32::NAN; 4];
        backend.gemm_nt(MatMut::new(&mut out, 2, 2), Mat::new(&[], 2, 0), Mat::new(&[], 2, 0), 1.0, 0.0);
        assert_eq!(out, [0.0; 4]);
        out.fill(3.0);
        backend.gemm_nt(MatMut::new(&mut out, 2, 2), Mat::new(&[], 2, 0), Mat::new(&[], 2, 0), 1.0, 2.0);
        assert_eq!(out, [6.0; 4]);
        backend.gemm_nn(MatMut::new(&mut [], 0, 3), Mat::new(&[], 0, 5), Mat::new(&[0.0; 15], 5, 3), 1.0, 0.0);
    }
}

/// A row's result must not depend on how many rows come with it, or batches would change answers.
#[test]
fn a_row_of_a_product_is_the_same_bits_in_any_company() {
    let mut rng = Rng::new(2);
    for (n, k) in [(3, 2), (16, 16), (48, 64), (100, 513), (1376, 512), (96, 1025)] {
        let (a, w) = (random(&mut rng, 150 * k), random(&mut rng, n * k));
        for form in [Form::Nt, Form::Nn] {
            let w = if form == Form::Nt { Mat::new(&w, n, k) } else { Mat::new(&w, k, n) };
            let run = |backend: &CpuBackend, first: usize, rows: usize| {
                let mut out = vec![0.5; rows * n];
                gemm(backend, form, MatMut::new(&mut out, rows, n), Mat::new(&a, 150, k).rows(first, rows), w, 1.0, 1.0);
                out
            };
            let (one, two) = (CpuBackend::new(Some(1)), CpuBackend::new(Some(2)));
            let all = run(&one, 0, 150);
            assert!(all == run(&two, 0, 150), "{form:?} {n} {k}: one and two threads");
            for (first, rows) in [(0, 1), (149, 1), (3, 2), (7, 5), (20, 16), (50, 17), (1, 70), (0, 128)] {
                assert!(run(&two, first, rows) == all[first * n..(first + rows) * n], "{form:?} {n} {k}: rows {first}+{rows}");
            }
        }
    }
}

/// Rows of zeros take a short cut that must not be seen in the result.
#[test]
fn zero_rows_of_a_gradient_leave_the_others_bits_alone() {
    let mut rng = Rng::new(20);
    let (m, n, k) = (90, 70, 40);
    let (mut a, w, before) = (random(&mut rng, m * k), random(&mut rng, k * n), random(&mut rng, m * n));
    let full = a.clone();
    let live = [3, 4, 88];
    (0..m).filter(|r| !live.contains(r)).for_each(|r| a[r * k..(r + 1) * k].fill(0.0));
    for backend in backends() {
        for beta in [0.0, 1.0, 0.5] {
            let run = |a: &[f32]| {
                let mut out = before.clone();
                backend.gemm_nn(MatMut::new(&mut out, m, n), Mat::new(a, m, k), Mat::new(&w, k, n), 0.75, beta);
                out
            };
            let (dense, sparse) = (run(&full), run(&a));
            for r in 0..m {
                for c in 0..n {
                    let want = if live.contains(&r) { dense[r * n + c] } else { beta * before[r * n + c] };
                    // A beta that is neither 0 nor 1 is multiplied in before instead of together with the sum: one rounding apart.
                    let slack = if beta == 0.5 { 2e-6 } else { 0.0 };
                    assert!((sparse[r * n + c] - want).abs() <= slack, "{r} {c}: {} {want}", sparse[r * n + c]);
                }
            }
        }
    }
}

/// With a gradient at the last position alone, as an objective there gives the last layer.
#[test]
fn attention_backward_of_one_query_equals_the_dense_one() {
    let mut rng = Rng::new(21);
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 8, scale: 0.35, window: None, soft_cap: None };
    let (starts, wq, wk, n) = ([0, 90, 93, 223], 32, 16, 223);
    let (q, k, v) = (random(&mut rng, n * wq), random(&mut rng, n * wk), random(&mut rng, n * wk));
    for backend in backends() {
        let run = |dz: &[f32], floor: f32| {
            // A gradient too small to count keeps the short cut away.
            let dz: Vec<f32> = dz.iter().map(|v| if *v == 0.0 { floor } else { *v }).collect();
            let (mut dq, mut dk, mut dv) = (vec![f32::NAN; n * wq], vec![f32::NAN; n * wk], vec![f32::NAN; n * wk]);
            backend.attention_backward(&q, &k, &v, &dz, &starts, &shape, &mut dq, &mut dk, &mut dv);
            (dq, dk, dv)
        };
        let mut dz = vec![0.0; n * wq];
        for row in [70, 89, 222] {
            let values = random(&mut rng, wq);
            dz[row * wq..(row + 1) * wq].copy_from_slice(&values);
        }
        let (sparse, dense) = (run(&dz, 0.0), run(&dz, 1e-30));
        close("dq", &sparse.0, &wide(&dense.0), 1e-6);
        close("dk", &sparse.1, &wide(&dense.1), 1e-6);
        close("dv", &sparse.2, &wide(&dense.2), 1e-6);
    }
}

fn norm(norm: &Norm, x: &[f64], gain: &[f64], bias: &[f64]) -> Vec<f64> {
    let d = gain.len();
    let mut y = Vec::new();
    for row in x.chunks(d) {
        let mean = if norm.kind == NormKind::Layer { row.iter().sum::<f64>() / d as f64 } else { 0.0 };
        let r = 1.0 / (row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / d as f64 + f64::from(norm.eps)).sqrt();
        y.extend(row.iter().zip(gain).zip(bias).map(|((v, g), b)| (v - mean) * r * (f64::from(norm.gain_offset) + g) + b));
    }
    y
}

const RMS: Norm = Norm { kind: NormKind::Rms, eps: 1e-5, gain_offset: 0.0 };

/// d/dx_i of `sum_j weight_j f(x)_j` by central differences in f64 (error about h^2 = 1e-10 relative).
fn numeric_gradient(x: &[f64], weight: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let value = |x: &[f64]| f(x).iter().zip(weight).map(|(a, b)| a * b).sum::<f64>();
    let h = 1e-5;
    (0..x.len())
        .map(|i| {
            let (mut lo, mut hi) = (x.to_vec(), x.to_vec());
            lo[i] -= h;
            hi[i] += h;
            (value(&hi) - value(&lo)) / (2.0 * h)
        })
        .collect()
}

#[test]
fn norm_forward_and_backward() {
    let mut rng = Rng::new(3);
    let kinds = [RMS, Norm { gain_offset: 1.0, ..RMS }, Norm { kind: NormKind::Layer, eps: 1e-3, gain_offset: 0.0 }];
    for (n, d) in [(1, 1), (3, 17), (5, 65), (2, 3)] {
        for of in &kinds {
            let (x, gain, dy) = (random(&mut rng, n * d), random(&mut rng, d), random(&mut rng, n * d));
            let bias = random(&mut rng, d);
            let want = norm(of, &wide(&x), &wide(&gain), &wide(&bias));
            let want_dx = numeric_gradient(&wide(&x), &wide(&dy), |x| norm(of, x, &wide(&gain), &wide(&bias)));
            let want_gain = numeric_gradient(&wide(&gain), &wide(&dy), |g| norm(of, &wide(&x), g, &wide(&bias)));
            for b in backends() {
                let mut y = vec![0.0; n * d];
                b.norm(of, &x, &gain, Some(&bias), &mut y);
                close("norm", &y, &want, 1e-5);
                b.norm(of, &x, &gain, None, &mut y);
                close("norm without bias", &y, &norm(of, &wide(&x), &wide(&gain), &vec![0.0; d]), 1e-5);
                // Both gradients are added to what is there.
                let (mut dx, mut d_gain) = (vec![1.0; n * d], vec![2.0; d]);
                b.norm_backward(of, &x, &gain, &dy, &mut dx, Some(&mut d_gain));
                close("norm's input", &dx, &want_dx.iter().map(|v| v + 1.0).collect::<Vec<_>>(), 1e-5);
                close("norm's gain", &d_gain, &want_gain.iter().map(|v| v + 2.0).collect::<Vec<_>>(), 1e-5);
            }
        }
    }
}

fn rope_table(positions: usize, pairs: usize) -> RopeTable {
    let angle = |i: usize| (i / pairs) as f64 * 10_000f64.powf(-((i % pairs) as f64) / pairs as f64);
    let values = |f: fn(f64) -> f64| (0..positions * pairs).map(|i| f(angle(i)) as f32).collect();
    RopeTable { cos: values(f64::cos), sin: values(f64::sin), pairs }
}

#[test]
fn rope_turns_pairs_and_its_inverse_turns_them_back() {
    let mut rng = Rng::new(4);
    for (n, heads, dim, pairs) in [(1, 1, 2, 1), (3, 3, 6, 3), (17, 2, 64, 32), (65, 5, 10, 4)] {
        let table = rope_table(80, pairs);
        let positions: Vec<u32> = (0..n as u32).map(|i| i * 7 % 80).collect();
        let x = random(&mut rng, n * heads * dim);
        let mut want = wide(&x);
        for (r, &p) in positions.iter().enumerate() {
            for h in 0..heads {
                for i in 0..pairs {
                    let at = (r * heads + h) * dim + i;
                    let (c, s) = (f64::from(table.cos[p as usize * pairs + i]), f64::from(table.sin[p as usize * pairs + i]));
                    let (a, b) = (want[at], want[at + pairs]);
                    want[at] = a * c - b * s;
                    want[at + pairs] = b * c + a * s;
                }
            }
        }
        for b in backends() {
            let mut y = x.clone();
            b.rope(&mut y, &positions, &table, heads, dim, false);
            close("rope", &y, &want, 1e-6);
            b.rope(&mut y, &positions, &table, heads, dim, true);
            close("rope and back", &y, &wide(&x), 1e-6);
        }
    }
}

/// Probabilities `[heads, t, t]` and head outputs of one sequence.
fn attention(q: &[f64], k: &[f64], v: &[f64], t: usize, s: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (d, group) = (s.head_dim, s.n_heads / s.n_kv_heads);
    let (wq, wk) = (s.n_heads * d, s.n_kv_heads * d);
    let (mut p, mut z) = (vec![0.0; s.n_heads * t * t], vec![0.0; t * wq]);
    for h in 0..s.n_heads {
        for i in 0..t {
            let at = |j: usize| j * wk + h / group * d;
            let first = s.window.map_or(0, |w| (i + 1).saturating_sub(w));
            let scores: Vec<f64> = (first..=i)
                .map(|j| {
                    let score = (0..d).map(|c| q[i * wq + h * d + c] * k[at(j) + c]).sum::<f64>() * f64::from(s.scale);
                    s.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|x| (x - top).exp()).sum();
            for (j, x) in (first..).zip(&scores) {
                let prob = (x - top).exp() / total;
                p[(h * t + i) * t + j] = prob;
                for c in 0..d {
                    z[i * wq + h * d + c] += prob * v[at(j) + c];
                }
            }
        }
    }
    (p, z)
}

#[test]
fn log_sums_of_exponentials_over_odd_widths() {
    let mut rng = Rng::new(31);
    for (rows, vocab) in [(1, 1), (3, 17), (5, 4097), (2, 50_001)] {
        let logits: Vec<f32> = random(&mut rng, rows * vocab).iter().map(|v| 12.0 * v).collect();
        let want: Vec<f64> = logits
            .chunks_exact(vocab)
            .map(|row| {
                let top = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
                top + row.iter().map(|v| (f64::from(*v) - top).exp()).sum::<f64>().ln()
            })
            .collect();
        for b in backends() {
            let mut got = vec![f64::NAN; rows];
            b.log_sum_exp(&logits, &mut got);
            // Each exponential is off by about 1e-7 of itself, so the sum by no more, and its logarithm by as much in absolute terms.
            assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 3e-7), "{rows} x {vocab}: {got:?}, expected {want:?}");
        }
    }
}

#[test]
fn attention_forward_over_packed_ragged_sequences() {
    let mut rng = Rng::new(5);
    for (n_heads, n_kv_heads, head_dim, window, soft_cap) in [
        (1, 1, 1, None, None),
        (4, 2, 8, None, None),
        (6, 1, 5, Some(1), None),
        (3, 3, 16, Some(7), Some(0.5)),
        (2, 1, 4, Some(70), Some(2.0)),
        (2, 1, 32, Some(70), None),
        (2, 2, 64, None, None),
    ] {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt(), window, soft_cap };
        let starts = [0, 1, 1, 4, 21, 86, 216];
        let (wq, wk) = (n_heads * head_dim, n_kv_heads * head_dim);
        let n = starts[starts.len() - 1];
        let (q, k, v) = (random(&mut rng, n * wq), random(&mut rng, n * wk), random(&mut rng, n * wk));
        let (qd, kd, vd) = (wide(&q), wide(&k), wide(&v));
        for b in backends() {
            let mut z = vec![f32::NAN; n * wq];
            b.attention(&q, &k, &v, &starts, &shape, &mut z);
            for s in starts.windows(2) {
                let (from, to) = (s[0], s[1]);
                let (p, want) = attention(&qd[from * wq..to * wq], &kd[from * wk..to * wk], &vd[from * wk..to * wk], to - from, &shape);
                close("attention", &z[from * wq..to * wq], &want, 1e-5);
                let pattern = b.attention_pattern(&q[from * wq..to * wq], &k[from * wk..to * wk], &shape);
                close("pattern", &pattern, &p, 1e-5);
            }
            // A sequence alone gives the same bits as in company.
            let mut alone = vec![0.0; (86 - 21) * wq];
            b.attention(&q[21 * wq..86 * wq], &k[21 * wk..86 * wk], &v[21 * wk..86 * wk], &[0, 65], &shape, &mut alone);
            assert!(alone == z[21 * wq..86 * wq]);
        }
    }
}

/// Queries that stand apart from their keys, and keys that lie in pieces, give the bits of the whole sequence: over several blocks of queries, with
/// windows, and over more keys than one matrix product sums at once.
#[test]
fn attention_over_spans_has_the_bits_of_whole_sequences() {
    let mut rng = Rng::new(6);
    for (n_heads, n_kv_heads, head_dim, window, soft_cap) in [
        (4, 2, 8, None, None),
        (3, 3, 16, Some(7), Some(0.5)),
        (2, 1, 4, Some(70), None),
        (2, 1, 4, Some(530), None),
        (2, 1, 64, None, None),
    ] {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, scale: 0.4, window, soft_cap };
        let (wq, wk, n) = (n_heads * head_dim, n_kv_heads * head_dim, 700);
        let (q, k, v) = (random(&mut rng, n * wq), random(&mut rng, n * wk), random(&mut rng, n * wk));
        for b in backends() {
            let mut whole = vec![f32::NAN; n * wq];
            b.attention(&q, &k, &v, &[0, n], &shape, &mut whole);
            for (first, m) in [(0, 1), (1, 2), (63, 2), (64, 64), (130, 1), (600, 100), (699, 1)] {
                // The keys' rows in another order: the last part before the first, as where a sequence goes on from another's beginning.
                let (cut, end) = (first / 2 + 1, first + m);
                let parts = |x: &[f32], w: usize| [&x[cut * w..end * w], &x[..cut * w]].concat();
                let cut = cut.min(end);
                let (ks, vs) = (parts(&k, wk), parts(&v, wk));
                let span = AttentionSpan { rows: 1..1 + m, first, keys: vec![end - cut..end, 0..end - cut] };
                let queries = [&q[..wq], &q[first * wq..end * wq], &q[..wq]].concat();
                let mut z = vec![7.0; (m + 2) * wq];
                b.attention_spans(&queries, &ks, &vs, &[span], &shape, &mut z);
                assert!(z[wq..(m + 1) * wq] == whole[first * wq..end * wq], "{shape:?}: {m} queries from {first}");
                assert!(z[..wq].iter().chain(&z[(m + 1) * wq..]).all(|v| *v == 7.0), "rows of no span stay");
            }
        }
    }
}

#[test]
fn attention_backward_against_central_differences() {
    let mut rng = Rng::new(6);
    for (n_heads, n_kv_heads, head_dim, window, soft_cap) in
        [(1, 1, 3, None, None), (4, 2, 4, None, None), (4, 2, 4, Some(3), None), (2, 2, 3, None, Some(0.7)), (2, 1, 3, Some(5), Some(1.5))]
    {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, scale: 0.6, window, soft_cap };
        let starts = [0, 1, 4, 4, 21];
        let (wq, wk, n) = (n_heads * head_dim, n_kv_heads * head_dim, 21);
        let (q, k, v, dz) = (random(&mut rng, n * wq), random(&mut rng, n * wk), random(&mut rng, n * wk), random(&mut rng, n * wq));
        let (qd, kd, vd) = (wide(&q), wide(&k), wide(&v));
        let all = |q: &[f64], k: &[f64], v: &[f64]| -> Vec<f64> {
            starts
                .windows(2)
                .flat_map(|s| {
                    let (a, b) = (s[0], s[1]);
                    attention(&q[a * wq..b * wq], &k[a * wk..b * wk], &v[a * wk..b * wk], b - a, &shape).1
                })
                .collect()
        };
        let want_q = numeric_gradient(&qd, &wide(&dz), |x| all(x, &kd, &vd));
        let want_k = numeric_gradient(&kd, &wide(&dz), |x| all(&qd, x, &vd));
        let want_v = numeric_gradient(&vd, &wide(&dz), |x| all(&qd, &kd, x));
        for b in backends() {
            let (mut dq, mut dk, mut dv) = (vec![f32::NAN; n * wq], vec![f32::NAN; n * wk], vec![f32::NAN; n * wk]);
            b.attention_backward(&q, &k, &v, &dz, &starts, &shape, &mut dq, &mut dk, &mut dv);
            close("dq", &dq, &want_q, 1e-5);
            close("dk", &dk, &want_k, 1e-5);
            close("dv", &dv, &want_v, 1e-5);
        }
    }
}

/// Longer than one block of queries: the analytic gradient in f64 (checked against differences above for short ones, where both agree).
#[test]
fn attention_backward_over_several_blocks_of_queries() {
    // Heads narrower than a panel, as wide, and a panel and a piece; windows that begin inside panels.
    for d in [8, 32, 40] {
        for (window, soft_cap) in [(None, None), (Some(37), None), (Some(100), Some(2.0)), (Some(1), None)] {
            attention_backward_of_heads(d, window, soft_cap, |_| true);
        }
    }
    // Queries without a gradient: before, between and behind those that have one.
    for window in [None, Some(20)] {
        attention_backward_of_heads(32, window, None, |i| i == 70 || i > 100 && i % 9 == 0 && i < 140);
    }
}

fn attention_backward_of_heads(d: usize, window: Option<usize>, soft_cap: Option<f32>, live: impl Fn(usize) -> bool) {
    let mut rng = Rng::new(7);
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: d, scale: 0.35, window, soft_cap };
    let (t, wq, wk) = (150, 4 * d, 2 * d);
    let (q, k, v, mut dz) = (random(&mut rng, t * wq), random(&mut rng, t * wk), random(&mut rng, t * wk), random(&mut rng, t * wq));
    dz.chunks_exact_mut(wq).enumerate().filter(|(i, _)| !live(*i)).for_each(|(_, row)| row.fill(0.0));
    let (qd, kd, vd, zd) = (wide(&q), wide(&k), wide(&v), wide(&dz));
    let (p, _) = attention(&qd, &kd, &vd, t, &shape);
    let (mut want_q, mut want_k, mut want_v) = (vec![0.0; t * wq], vec![0.0; t * wk], vec![0.0; t * wk]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for h in 0..4 {
        let (of_q, of_k) = (|i: usize| i * wq + h * d..i * wq + h * d + d, |j: usize| j * wk + h / 2 * d..j * wk + h / 2 * d + d);
        for i in 0..t {
            let dp: Vec<f64> = (0..=i).map(|j| dot(&zd[of_q(i)], &vd[of_k(j)])).collect();
            // Probabilities of keys before the window are 0 there.
            let row = &p[(h * t + i) * t..][..=i];
            let mean = dot(row, &dp);
            for j in 0..=i {
                let score = dot(&qd[of_q(i)], &kd[of_k(j)]) * f64::from(shape.scale);
                let slope = soft_cap.map_or(1.0, |cap| 1.0 - (score / f64::from(cap)).tanh().powi(2));
                let ds = row[j] * (dp[j] - mean) * f64::from(shape.scale) * slope;
                for c in 0..d {
                    let (q, k) = (of_q(i).start + c, of_k(j).start + c);
                    want_q[q] += ds * kd[k];
                    want_k[k] += ds * qd[q];
                    want_v[k] += row[j] * zd[q];
                }
            }
        }
    }
    let mut first: Option<(Isa, Vec<f32>)> = None;
    for isa in Isa::available() {
        for threads in [1, 2] {
            let b = CpuBackend::with_isa(Some(threads), isa);
            let (mut dq, mut dk, mut dv) = (vec![f32::NAN; t * wq], vec![f32::NAN; t * wk], vec![f32::NAN; t * wk]);
            b.attention_backward(&q, &k, &v, &dz, &[0, t], &shape, &mut dq, &mut dk, &mut dv);
            close("dq", &dq, &want_q, 1e-5);
            close("dk", &dk, &want_k, 1e-5);
            close("dv", &dv, &want_v, 1e-5);
            match &first {
                Some((same, bits)) if *same == isa => assert!(*bits == dk, "threads changed the bits"),
                _ => first = Some((isa, dk)),
            }
        }
    }
}

fn silu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}

#[test]
fn gated_activation_forward_and_backward() {
    let mut rng = Rng::new(8);
    for n in [1, 17, 65, 40_000] {
        let gate: Vec<f32> = random(&mut rng, n).iter().map(|v| v * 4.0).collect();
        let (up, d) = (random(&mut rng, n), random(&mut rng, n));
        let (gd, ud) = (wide(&gate), wide(&up));
        let want = silu(&gd, &ud);
        // Elementwise, so one difference for all at once.
        let shift = |x: &[f64], h: f64| x.iter().map(|v| v + h).collect::<Vec<_>>();
        let slope = |hi: Vec<f64>, lo: Vec<f64>| -> Vec<f64> {
            hi.iter().zip(&lo).zip(&d).map(|((a, b), d)| (a - b) / 2e-5 * f64::from(*d)).collect()
        };
        let want_gate = slope(silu(&shift(&gd, 1e-5), &ud), silu(&shift(&gd, -1e-5), &ud));
        let want_up = slope(silu(&gd, &shift(&ud, 1e-5)), silu(&gd, &shift(&ud, -1e-5)));
        for b in backends() {
            let (mut out, mut d_gate, mut d_up) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            b.gated(Activation::Silu, &gate, &up, &mut out);
            close("gated", &out, &want, 1e-6);
            b.gated_backward(Activation::Silu, &gate, &up, &d, &mut d_gate, &mut d_up);
            close("d gate", &d_gate, &want_gate, 1e-6);
            close("d up", &d_up, &want_up, 1e-6);
        }
    }
}

/// erf in f64: by its series near 0, by the continued fraction of erfc beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 2.0 {
        let fraction = (1..100).rev().fold(x.abs(), |below, k| x.abs() + f64::from(k) / 2.0 / below);
        return x.signum() * (1.0 - (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt()));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..150 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn every_activation_plain_and_gated_with_its_slope() {
    type Formula = fn(f64) -> f64;
    let formulas: [(Activation, Formula); 5] = [
        (Activation::Silu, |x| x / (1.0 + (-x).exp())),
        (Activation::Gelu, |x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))),
        (Activation::GeluTanh, |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())),
        (Activation::QuickGelu, |x| x / (1.0 + (-1.702 * x).exp())),
        (Activation::Relu, |x| x.max(0.0)),
    ];
    let mut rng = Rng::new(18);
    let n = 9_000;
    // Away from ReLU's corner, over which a difference would reach.
    let x: Vec<f32> = random(&mut rng, n).iter().map(|v| v * 5.0 + v.signum() * 1e-3).collect();
    let (up, d) = (random(&mut rng, n), random(&mut rng, n));
    for (act, f) in formulas {
        let value: Vec<f64> = x.iter().map(|&x| f(f64::from(x))).collect();
        let slope: Vec<f64> = x.iter().map(|&x| (f(f64::from(x) + 1e-4) - f(f64::from(x) - 1e-4)) / 2e-4).collect();
        let times = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).collect::<Vec<_>>();
        for b in backends() {
            let (mut out, mut d_pre, mut d_up) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
            b.activate(act, &x, &mut out);
            close(&format!("{act:?}"), &out, &value, 1e-6);
            b.activate_backward(act, &x, &d, &mut d_pre);
            close(&format!("slope of {act:?}"), &d_pre, &times(&slope, &d), 1e-6);
            b.gated(act, &x, &up, &mut out);
            close(&format!("gated {act:?}"), &out, &times(&value, &up), 1e-6);
            b.gated_backward(act, &x, &up, &d, &mut d_pre, &mut d_up);
            close(&format!("d gate of {act:?}"), &d_pre, &times(&times(&slope, &d), &up), 1e-6);
            close("d up", &d_up, &times(&value, &d), 1e-6);
        }
    }
}

#[test]
fn a_soft_cap_bends_towards_its_cap() {
    for b in backends() {
        let mut x = [-1e9f32, -60.0, -1.0, 0.0, 0.01, 30.0, 1e9];
        let want: Vec<f64> = x.iter().map(|&v| 30.0 * (f64::from(v) / 30.0).tanh()).collect();
        b.soft_cap(&mut x, 30.0);
        close("soft cap", &x, &want, 1e-6);
    }
}

#[test]
fn far_out_gates_stay_finite() {
    for b in backends() {
        let gate = [-1e30f32, -200.0, -88.5, 0.0, 88.5, 200.0, 1e30];
        let (mut out, mut dg, mut du) = ([0.0; 7], [0.0; 7], [0.0; 7]);
        b.gated(Activation::Silu, &gate, &[1.0; 7], &mut out);
        b.gated_backward(Activation::Silu, &gate, &[1.0; 7], &[1.0; 7], &mut dg, &mut du);
        assert!(out.iter().chain(&du).all(|v| v.is_finite()), "{out:?} {du:?}");
        assert_eq!(out[6], 1e30);
        assert!(out[1].abs() < 1e-30 && dg[1].abs() < 1e-30 && (dg[5] - 1.0).abs() < 1e-6, "{out:?} {dg:?}");
    }
}

#[test]
fn bias_is_added_to_every_row() {
    let mut rng = Rng::new(9);
    for (n, d) in [(1, 1), (3, 17), (500, 65)] {
        let (x, bias) = (random(&mut rng, n * d), random(&mut rng, d));
        for b in backends() {
            let mut y = x.clone();
            b.add_bias(&mut y, &bias);
            assert!(y.iter().enumerate().all(|(i, v)| *v == x[i] + bias[i % d]));
        }
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    let mut rng = Rng::new(10);
    for (n, vocab) in [(1, 1), (3, 17), (65, 65), (2, 5000)] {
        let logits: Vec<f32> = random(&mut rng, n * vocab).iter().map(|v| v * 5.0 + 100.0).collect();
        let targets: Vec<u32> = (0..n).map(|_| rng.below(vocab) as u32).collect();
        let weights: Vec<f32> = (0..n).map(|i| if i == 1 { 0.0 } else { rng.normal() as f32 }).collect();
        let (mut want, mut want_gradient) = (Vec::new(), Vec::new());
        for (r, row) in logits.chunks(vocab).enumerate() {
            let top = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
            let sum: f64 = row.iter().map(|v| (f64::from(*v) - top).exp()).sum();
            want.push(sum.ln() + top - f64::from(row[targets[r] as usize]));
            want_gradient.extend(row.iter().enumerate().map(|(c, v)| {
                let hit = if c == targets[r] as usize { 1.0 } else { 0.0 };
                f64::from(weights[r]) * ((f64::from(*v) - top).exp() / sum - hit)
            }));
        }
        for b in backends() {
            let (mut x, mut losses) = (logits.clone(), vec![0.0; n]);
            b.cross_entropy(&mut x, &targets, None, &mut losses);
            close("loss", &losses, &want, 1e-6);
            assert!(x == logits, "without weights the logits stay");
            b.cross_entropy(&mut x, &targets, Some(&weights), &mut losses);
            close("loss", &losses, &want, 1e-6);
            close("d logits", &x, &want_gradient, 1e-6);
        }
    }
}

#[test]
fn a_broken_number_shows_in_every_result() {
    for b in backends() {
        let bad = [1.0, f32::NAN, 2.0];
        let mut y = [0.0; 3];
        b.norm(&RMS, &bad, &[1.0; 3], None, &mut y);
        assert!(y.iter().all(|v| v.is_nan()));
        b.gated(Activation::Silu, &bad, &[1.0; 3], &mut y);
        assert!(y[1].is_nan());
        let mut loss = [0.0];
        b.cross_entropy(&mut bad.to_vec(), &[0], None, &mut loss);
        assert!(loss[0].is_nan());
        let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, head_dim: 1, scale: 1.0, window: None, soft_cap: None };
        b.attention(&bad, &[1.0; 3], &[1.0; 3], &[0, 3], &shape, &mut y);
        assert!(y[1].is_nan());
    }
}

/// Training must repeat byte for byte whatever the number of threads.
#[test]
fn one_and_two_threads_give_the_same_bits() {
    let mut rng = Rng::new(11);
    let (n, d) = (300, 160);
    let (x, dy, gain) = (random(&mut rng, n * d), random(&mut rng, n * d), random(&mut rng, d));
    let run = |threads: usize| {
        let b = CpuBackend::new(Some(threads));
        assert_eq!(b.threads(), threads.min(std::thread::available_parallelism().expect("count").get()));
        let (mut y, mut dx, mut d_gain) = (vec![0.0; n * d], vec![0.0; n * d], vec![0.0; d]);
        b.norm(&RMS, &x, &gain, None, &mut y);
        b.norm_backward(&RMS, &x, &gain, &dy, &mut dx, Some(&mut d_gain));
        let mut losses = vec![0.0; n];
        let mut logits = x.clone();
        b.cross_entropy(&mut logits, &vec![3; n], Some(&vec![0.1; n]), &mut losses);
        let mut dw = vec![0.0; d * d];
        b.gemm_tn(MatMut::new(&mut dw, d, d), Mat::new(&dy, n, d), Mat::new(&x, n, d), 1.0, 0.0);
        (y, dx, d_gain, losses, logits, dw)
    };
    assert!(run(1) == run(2));
}

#[test]
fn the_device_names_its_level_and_threads() {
    assert!(CpuBackend::with_isa(Some(1), Isa::BASELINE).device().ends_with("1 thread)"));
    let best = CpuBackend::new(None);
    assert!(best.device().starts_with("cpu (") && best.device().contains(&best.threads().to_string()), "{}", best.device());
}
