//! Causal softmax attention inside packed sequences, forward and backward.
//!
//! One task a (sequence, head), or (sequence, key-value head) backward, so that the query heads that share keys add up in order and without
//! a race. Heads are read and written in place through strided views, but for values in the forward pass: where the width is a power of two, rows of one
//! head share a few lines of the cache. Queries go in blocks that see only the keys up to their end: the score block stays in cache and half of the work is
//! never done.

use super::{
    isa::{Isa, per_isa},
    matmul::{K_BLOCK, View, product},
    numeric::{LANES, dot, exp, fold, tanh},
    pairs::Words,
    panel::{self, Job, Left, Panels, aligned, pack_columns, panel_width},
    pool::{Pool, SharedMut},
};
use crate::compute::{AttentionShape, AttentionSpan, all_zero};

/// Queries handled at once.
const QUERIES: usize = 64;

/// Row widths of queries and of keys.
#[derive(Clone, Copy)]
struct Widths {
    q: usize,
    kv: usize,
    group: usize,
}

impl Widths {
    fn of(shape: &AttentionShape) -> Self {
        assert!(
            shape.n_kv_heads > 0 && shape.n_heads.is_multiple_of(shape.n_kv_heads),
            "{} query heads over {} key-value heads",
            shape.n_heads,
            shape.n_kv_heads
        );
        Self { q: shape.n_heads * shape.head_dim, kv: shape.n_kv_heads * shape.head_dim, group: shape.n_heads / shape.n_kv_heads }
    }
    fn check(self, starts: &[usize], q: &[&[f32]], kv: &[&[f32]]) -> usize {
        let n = starts.last().copied().unwrap_or(0);
        assert!(starts.is_sorted(), "sequence starts must not fall");
        assert!(q.iter().all(|x| x.len() == n * self.q) && kv.iter().all(|x| x.len() == n * self.kv), "attention over {n} rows");
        starts.len().saturating_sub(1)
    }
}

/// See [`crate::compute::Backend::attention`].
pub(super) fn attention(pool: &Pool, q: &[f32], k: &[f32], v: &[f32], starts: &[usize], shape: &AttentionShape, z: &mut [f32]) {
    Widths::of(shape).check(starts, &[q, z], &[k, v]);
    let span = |w: &[usize]| AttentionSpan { rows: w[0]..w[1], first: 0, keys: std::iter::once(w[0]..w[1]).collect() };
    let spans: Vec<AttentionSpan> = starts.windows(2).map(span).collect();
    attention_spans(pool, q, k, v, &spans, shape, z);
}

/// Rows from which a product goes straight to the panels' inner loops: a call of the `gemm` crate packs both of these small operands.
const PANEL_ROWS: usize = 12;

/// `out[m,n] = a . b (+ out)` for operands of one head, rows of `out` `stride` apart; the bits of [`product`]. `packed` is working memory.
///
/// # Safety
/// As for [`product`].
#[expect(unsafe_code, reason = "see `product`")]
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
unsafe fn times(m: usize, n: usize, k: usize, out: *mut f32, stride: usize, a: View, b: View, add: bool, packed: &mut Vec<f32>) {
    // The level of the crate's kernels, whose bits these must be.
    let isa = Isa::highest();
    let width = panel_width(isa);
    let whole = n.is_multiple_of(width);
    if m < PANEL_ROWS || n == 0 || k == 0 || (b.cs == 1 && !whole) {
        // SAFETY: the caller's promise.
        return unsafe { product(m, n, k, out, stride, a, b, 1.0, if add { 1.0 } else { 0.0 }) };
    }
    for first in (0..k).step_by(K_BLOCK) {
        let depth = K_BLOCK.min(k - first);
        let from = b.ptr.wrapping_add(first * b.rs);
        let right = if b.cs == 1 {
            // Rows lie side by side as a panel's do.
            Panels { ptr: from, step: width, row: b.rs }
        } else {
            let panels = aligned(packed, n.next_multiple_of(width) * depth);
            // SAFETY: column `j` of `b` runs along the depth, readable by the caller's promise.
            let column = |j: usize| unsafe { std::slice::from_raw_parts(from.wrapping_add(j * b.cs), depth) };
            pack_columns(isa, Words::Numbers, n, depth, column, panels);
            Panels { ptr: panels.as_ptr(), step: depth * width, row: width }
        };
        let left = Left { ptr: a.ptr.wrapping_add(first * a.cs), rs: a.rs, cs: a.cs };
        // SAFETY: the caller's promise.
        unsafe {
            panel::multiply(
                isa,
                &Job { m, cols: n, depth, left, right, out, out_row: stride, add: add || first > 0, words: Words::Numbers },
            );
        }
    }
}

/// Queries of a span from which it pays to copy its values.
const GATHER_FROM: usize = 8;

/// Working memory of a task: scores, packed keys, and rows of one head side by side.
#[derive(Default)]
struct Gathered {
    scores: Vec<f32>,
    packed: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Columns `column..column + d` of `count` rows of `from` `[.., width]`, one after another.
fn gather(from: &[f32], rows: impl Iterator<Item = usize>, count: usize, width: usize, column: usize, d: usize, to: &mut Vec<f32>) {
    to.resize(count * d, 0.0);
    for (r, to) in rows.zip(to.chunks_exact_mut(d)) {
        // Fixed lengths become plain moves.
        let (from, from_rest) = from[r * width + column..][..d].as_chunks::<LANES>();
        let (to, to_rest) = to.as_chunks_mut::<LANES>();
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
        to_rest.copy_from_slice(from_rest);
    }
}

/// See [`crate::compute::Backend::attention_spans`]. Queries go in blocks that begin at the same positions whatever the span begins at: sums
/// over a window's keys are cut alike.
pub(super) fn attention_spans(
    pool: &Pool,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    spans: &[AttentionSpan],
    shape: &AttentionShape,
    z: &mut [f32],
) {
    let w = Widths::of(shape);
    let (n_q, n_kv) = (q.len() / w.q.max(1), k.len() / w.kv.max(1));
    assert!(q.len() == n_q * w.q && z.len() == q.len() && k.len() == n_kv * w.kv && v.len() == k.len(), "attention of {n_q} rows");
    let mut end = 0;
    for s in spans {
        assert!(s.rows.start >= end && s.rows.end <= n_q, "spans must not share a query, nor name one of {n_q} that is not there");
        assert!(s.keys.iter().all(|r| r.start <= r.end && r.end <= n_kv), "keys beyond the {n_kv} that are there");
        assert_eq!(s.keys.iter().map(ExactSizeIterator::len).sum::<usize>(), s.first + s.rows.len(), "keys up to the last query's own");
        end = s.rows.end;
    }
    let z = SharedMut::new(z);
    let (heads, d) = (shape.n_heads, shape.head_dim);
    pool.map_with(spans.len() * heads, Gathered::default, |own: &mut Gathered, task| {
        let (span, h) = (&spans[task / heads], task % heads);
        let (t, queries) = (span.first + span.rows.len(), span.rows.len());
        if queries == 0 {
            return;
        }
        let Gathered { scores, packed, k: own_k, v: own_v } = own;
        let at_head = h / w.group * d;
        let side_by_side = |from: &[f32], own: &mut Vec<f32>| gather(from, span.keys.iter().cloned().flatten(), t, w.kv, at_head, d, own);
        // Keys are packed before they are multiplied by, values only here.
        let (keys, key_row) = match span.keys.as_slice() {
            [whole] => (&k[whole.start * w.kv + at_head..], w.kv),
            _ => {
                side_by_side(k, own_k);
                (own_k.as_slice(), d)
            }
        };
        let (values, value_row) = match span.keys.as_slice() {
            [whole] if queries < GATHER_FROM => (&v[whole.start * w.kv + at_head..], w.kv),
            _ => {
                side_by_side(v, own_v);
                (own_v.as_slice(), d)
            }
        };
        scores.resize(QUERIES.min(t) * t, 0.0);
        let mut first = span.first;
        while first < t {
            let block = first / QUERIES * QUERIES;
            let m = (block + QUERIES).min(t) - first;
            let seen = keys_of(block, first - block + m, shape);
            let (here, width) = ((span.rows.start + first - span.first) * w.q + h * d, seen.len());
            #[expect(unsafe_code, reason = "strided views of one head")]
            // SAFETY: rows of this span and columns of this head, checked above; only this task writes these of `z`.
            unsafe {
                let (qv, kt) = (View::new(&q[here..], w.q), View::new(&keys[seen.start * key_row..], key_row).transposed());
                times(m, width, d, scores.as_mut_ptr(), width, qv, kt, false, packed);
                softmax_rows(pool.isa, &mut scores[..m * width], width, first - seen.start, shape);
                let (p, vv) = (View::new(scores, width), View::new(&values[seen.start * value_row..], value_row));
                times(m, d, width, z.ptr(here), w.q, p, vv, false, packed);
            }
            first += m;
        }
    });
}

/// Keys that `m` queries from `first` on see between them.
fn keys_of(first: usize, m: usize, shape: &AttentionShape) -> std::ops::Range<usize> {
    shape.window.map_or(0, |window| (first + 1).saturating_sub(window))..first + m
}

/// See [`crate::compute::Backend::attention_pattern`].
pub(super) fn attention_pattern(pool: &Pool, q: &[f32], k: &[f32], shape: &AttentionShape) -> Vec<f32> {
    let w = Widths::of(shape);
    let t = q.len() / w.q.max(1);
    w.check(&[0, t], &[q], &[k]);
    if t == 0 {
        return Vec::new();
    }
    let mut pattern = vec![0.0; shape.n_heads * t * t];
    let out = SharedMut::new(&mut pattern);
    pool.for_each(shape.n_heads, |h| {
        #[expect(unsafe_code, reason = "each task writes its own head")]
        // SAFETY: heads of different tasks share no element; the views lie inside `q` and `k` as checked.
        let rows = unsafe {
            let rows = out.slice(h * t * t, t * t);
            let qv = View::new(&q[h * shape.head_dim..], w.q);
            let kt = View::new(&k[h / w.group * shape.head_dim..], w.kv).transposed();
            product(t, t, shape.head_dim, rows.as_mut_ptr(), t, qv, kt, 1.0, 0.0);
            rows
        };
        softmax_rows(pool.isa, rows, t, 0, shape);
    });
    pattern
}

/// Inputs of the backward pass, `[n, ..]` as in [`crate::compute::Backend::attention_backward`].
pub(super) struct Saved<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub dz: &'a [f32],
}

/// See [`crate::compute::Backend::attention_backward`].
pub(super) fn attention_backward(
    pool: &Pool,
    saved: &Saved<'_>,
    starts: &[usize],
    shape: &AttentionShape,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let Saved { q, k, v, dz } = *saved;
    let w = Widths::of(shape);
    let sequences = w.check(starts, &[q, dz, dq], &[k, v, dk, dv]);
    let (dq, dk, dv) = (SharedMut::new(dq), SharedMut::new(dk), SharedMut::new(dv));
    let (heads, d) = (shape.n_kv_heads, shape.head_dim);
    pool.map_with(sequences * heads, <[Vec<f32>; 4]>::default, |[p, dp, slopes, packed], task| {
        let (s, kv_head) = (task / heads, task % heads);
        let (start, t) = (starts[s], starts[s + 1] - starts[s]);
        if t == 0 {
            return;
        }
        let at_kv = start * w.kv + kv_head * d;
        p.resize(QUERIES.min(t) * t, 0.0);
        dp.resize(QUERIES.min(t) * t, 0.0);
        if shape.soft_cap.is_some() {
            slopes.resize(QUERIES.min(t) * t, 0.0);
        }
        // Keys that an earlier product of this task has already written; later ones add to them.
        let mut written = 0;
        for h in kv_head * w.group..(kv_head + 1) * w.group {
            let at_q = start * w.q + h * d;
            let live = |i: &usize| !all_zero(&dz[at_q + i * w.q..][..d]);
            for block in (0..t).step_by(QUERIES) {
                // Queries without a gradient give none; with an objective at one position that is nearly all of the last layer's.
                let rows = block..(block + QUERIES).min(t);
                let first = rows.clone().find(live).unwrap_or(rows.end);
                let seen = rows.clone().rev().find(live).map_or(first, |last| last + 1);
                #[expect(unsafe_code, reason = "strided views of one head")]
                // SAFETY: rows of this sequence and columns of this head, which no other task writes.
                for i in rows.filter(|i| !(first..seen).contains(i)) {
                    unsafe { dq.slice(at_q + i * w.q, d) }.fill(0.0);
                }
                let m = seen - first;
                if m == 0 {
                    continue;
                }
                let keys = keys_of(first, m, shape);
                let (here, width, from) = (at_q + first * w.q, keys.len(), at_kv + keys.start * w.kv);
                // Keys that fell between the windows of live queries.
                for i in written..keys.start {
                    #[expect(unsafe_code, reason = "strided views of one head")]
                    // SAFETY: as below.
                    unsafe {
                        dk.slice(at_kv + i * w.kv, d).fill(0.0);
                        dv.slice(at_kv + i * w.kv, d).fill(0.0);
                    }
                }
                let old = written.saturating_sub(keys.start);
                #[expect(unsafe_code, reason = "strided views of one head")]
                // SAFETY: rows and columns of this sequence and head, checked by `Widths::check`; only this task writes these of
                // `dq`, `dk`, `dv`.
                unsafe {
                    let (qv, dzv) = (View::new(&q[here..], w.q), View::new(&dz[here..], w.q));
                    let (kv, vv) = (View::new(&k[from..], w.kv), View::new(&v[from..], w.kv));
                    times(m, width, d, p.as_mut_ptr(), width, qv, kv.transposed(), false, packed);
                    if let Some(cap) = shape.soft_cap {
                        cap_slopes(pool.isa, &p[..m * width], shape.scale / cap, slopes);
                    }
                    softmax_rows(pool.isa, &mut p[..m * width], width, first - keys.start, shape);
                    times(m, width, d, dp.as_mut_ptr(), width, dzv, vv.transposed(), false, packed);
                    let (pv, dpv) = (View::new(p, width), View::new(dp, width));
                    add_to_keys(m, width, d, old, dv.ptr(from), w.kv, pv, dzv, packed);
                    softmax_backward(pool.isa, &p[..m * width], &mut dp[..m * width], width, shape.scale);
                    if shape.soft_cap.is_some() {
                        for (g, slope) in dp[..m * width].iter_mut().zip(slopes.iter()) {
                            *g *= slope;
                        }
                    }
                    times(m, d, width, dq.ptr(here), w.q, dpv, kv, false, packed);
                    add_to_keys(m, width, d, old, dk.ptr(from), w.kv, dpv, qv, packed);
                }
                written = written.max(keys.end);
            }
        }
        for i in written..t {
            #[expect(unsafe_code, reason = "strided views of one head")]
            // SAFETY: as above.
            unsafe {
                dk.slice(at_kv + i * w.kv, d).fill(0.0);
                dv.slice(at_kv + i * w.kv, d).fill(0.0);
            }
        }
    });
}

/// `out[0..seen] += a[m, seen]^T . b[m, d]`, where rows from `written` on hold nothing yet.
///
/// # Safety
/// As for [`product`].
#[expect(unsafe_code, reason = "see `product`")]
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
unsafe fn add_to_keys(
    m: usize,
    seen: usize,
    d: usize,
    written: usize,
    out: *mut f32,
    stride: usize,
    a: View,
    b: View,
    packed: &mut Vec<f32>,
) {
    let old = written.min(seen);
    let fresh = View { ptr: a.ptr.wrapping_add(old), ..a };
    // SAFETY: the caller's promise; the two products write different rows.
    unsafe {
        times(old, d, m, out, stride, a.transposed(), b, true, packed);
        times(seen - old, d, m, out.wrapping_add(old * stride), stride, fresh.transposed(), b, false, packed);
    }
}

/// A register of `x` from `at` on, of which `n` lanes count; `fill` in the others.
#[inline(always)]
fn lanes_of(x: &[f32], at: usize, n: usize, fill: f32) -> [f32; LANES] {
    let mut lanes = [fill; LANES];
    if let Some(v) = x.get(at..at + LANES) {
        for j in 0..LANES {
            lanes[j] = if j < n { v[j] } else { fill };
        }
    } else {
        lanes[..n].copy_from_slice(&x[at..at + n]);
    }
    lanes
}

/// Writes the first `n` lanes of a register.
#[inline(always)]
fn put_lanes(x: &mut [f32], at: usize, n: usize, lanes: &[f32; LANES]) {
    if let Some(v) = x.get_mut(at..at + LANES) {
        for j in 0..LANES {
            v[j] = if j < n { lanes[j] } else { v[j] };
        }
    } else {
        x[at..at + n].copy_from_slice(&lanes[..n]);
    }
}

/// Softmax of `scale * score`, soft-capped where the shape says so, over the keys a query sees: row `i` sees those before `first + i + 1` of
/// `width`, as far back as its window goes. The others become 0. What does not fill a register goes through one all the same, with lanes that count
/// nothing, so that a row's bits do not depend on what follows it.
#[inline(always)]
fn softmax_rows_body<const FMA: bool>(scores: &mut [f32], width: usize, first: usize, shape: &AttentionShape) {
    match shape.soft_cap {
        None => softmax_of::<FMA>(scores, width, first, shape.window, |x| x * shape.scale),
        Some(cap) => softmax_of::<FMA>(scores, width, first, shape.window, |x| cap * tanh::<FMA>(x * (shape.scale / cap))),
    }
}

#[inline(always)]
fn softmax_of<const FMA: bool>(scores: &mut [f32], width: usize, first: usize, window: Option<usize>, logit: impl Fn(f32) -> f32) {
    for i in 0..scores.len() / width {
        let (row, end) = (i * width, i * width + first + i + 1);
        let begin = row + window.map_or(0, |window| (end - row).saturating_sub(window));
        scores[row..begin].fill(0.0);
        scores[end..row + width].fill(0.0);
        // Something neutral to a maximum.
        let (fill, whole) = (scores[begin], (end - begin) / LANES * LANES);
        let (last, rest) = (begin + whole, end - begin - whole);
        let mut highest = [f32::NEG_INFINITY; LANES];
        for x in scores[begin..last].as_chunks_mut::<LANES>().0 {
            for j in 0..LANES {
                x[j] = logit(x[j]);
                highest[j] = if x[j] > highest[j] { x[j] } else { highest[j] };
            }
        }
        let mut tail = lanes_of(scores, last, rest, fill);
        for j in 0..LANES {
            tail[j] = logit(tail[j]);
            highest[j] = if tail[j] > highest[j] { tail[j] } else { highest[j] };
        }
        let mut half = LANES / 2;
        while half > 0 {
            for j in 0..half {
                highest[j] = if highest[j + half] > highest[j] { highest[j + half] } else { highest[j] };
            }
            half /= 2;
        }
        let highest = highest[0];
        let mut sum = [0.0f32; LANES];
        for x in scores[begin..last].as_chunks_mut::<LANES>().0 {
            for j in 0..LANES {
                x[j] = exp::<FMA>(x[j] - highest);
                sum[j] += x[j];
            }
        }
        for j in 0..LANES {
            tail[j] = exp::<FMA>(tail[j] - highest);
            sum[j] += if j < rest { tail[j] } else { 0.0 };
        }
        // A value that is not a number is one of the sum, and so of every quotient.
        let norm = 1.0 / fold(&sum);
        for x in scores[begin..last].as_chunks_mut::<LANES>().0 {
            for x in x {
                *x *= norm;
            }
        }
        for x in &mut tail {
            *x *= norm;
        }
        put_lanes(scores, last, rest, &tail);
    }
}
per_isa! { fn softmax_rows(scores: &mut [f32], width: usize, first: usize, shape: &AttentionShape) { softmax_rows_body } }

/// Slope of `cap * tanh(s / cap)` at raw scores, `s = score * scale`; `by` is `scale / cap`.
#[inline(always)]
fn cap_slopes_body<const FMA: bool>(scores: &[f32], by: f32, out: &mut [f32]) {
    for (o, x) in out.iter_mut().zip(scores) {
        let t = tanh::<FMA>(x * by);
        *o = 1.0 - t * t;
    }
}
per_isa! { fn cap_slopes(scores: &[f32], by: f32, out: &mut [f32]) { cap_slopes_body } }

/// `dp = p * (dp - sum(p * dp)) * scale` for each row.
#[inline(always)]
fn softmax_backward_body<const FMA: bool>(p: &[f32], dp: &mut [f32], width: usize, scale: f32) {
    for (p, dp) in p.chunks_exact(width).zip(dp.chunks_exact_mut(width)) {
        let mean = dot::<FMA>(p, dp);
        for (d, p) in dp.iter_mut().zip(p) {
            *d = p * (*d - mean) * scale;
        }
    }
}
per_isa! { fn softmax_backward(p: &[f32], dp: &mut [f32], width: usize, scale: f32) { softmax_backward_body } }
