//! Causal softmax attention inside packed sequences, forward and backward.
//!
//! A task is a sequence and a key-value head with the query heads that share it, backward always, so that these add up in order and without a race, forward where
//! that leaves enough tasks; else one query head. Keys and values are packed once a task. Queries go in blocks, backward for sums over queries, and in strips, which
//! multiply only what their last query sees: scores stay in cache and nearly half of the work is never done. A few queries, as in writing text, are multiplied
//! with keys and values where these lie.

use super::{
    isa::{Isa, per_isa},
    matmul::{K_BLOCK, View, product},
    numeric::{LANES, dot, exp, fold, tanh},
    pairs::Words,
    panel::{self, Job, Left, Panels, aligned, pack_across, pack_columns, panel_width, prefetch},
    pool::{Pool, SharedMut},
};
use crate::compute::{AttentionShape, AttentionSpan, all_zero};
use std::ops::Range;

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

/// Rows of a product that go together, the tallest block of the panels: queries, or keys where sums run over queries. A strip sees only what its last
/// row sees.
const STRIP: usize = 12;

/// Rows of one head: row `i` is `width` floats from `at + i * stride` on.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    at: usize,
    stride: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    fn row(self, i: usize) -> &'a [f32] {
        &self.data[self.at + i * self.stride..][..self.width]
    }
    fn from(self, i: usize) -> Self {
        Self { at: self.at + i * self.stride, ..self }
    }
    /// Asks for `n` rows from `i` on, as far as there are any: they lie too far apart for the processor to see that they follow.
    fn ask(self, i: usize, n: usize, there: usize) {
        (i..(i + n).min(there)).for_each(|i| prefetch(self.row(i)));
    }
    fn left(self) -> Left {
        Left { ptr: self.data[self.at..].as_ptr(), rs: self.stride, cs: 1 }
    }
    fn view(self) -> View {
        View::new(&self.data[self.at..], self.stride)
    }
}

/// How the operands of a head lie in panels.
#[derive(Clone, Copy)]
struct Layout {
    isa: Isa,
    panel: usize,
    /// What rows of scores are multiples of: whole panels and whole registers of sums.
    unit: usize,
}

impl Layout {
    fn new() -> Self {
        // The level of the crate's kernels, whose bits these are.
        let isa = Isa::highest();
        let panel = panel_width(isa);
        Self { isa, panel, unit: panel.max(LANES) }
    }
    /// The first `n` rows as the columns of a right operand, a unit's multiple of them, filled up with zeros.
    fn columns(self, rows: Rows<'_>, n: usize, room: &mut Vec<f32>) -> Panels {
        let depth = rows.width;
        let panels = aligned(room, n.next_multiple_of(self.unit) * depth);
        let (used, rest) = panels.split_at_mut(n.next_multiple_of(self.panel) * depth);
        let row = |i: usize| {
            rows.ask(i + STRIP, 1, n);
            rows.row(i)
        };
        pack_columns(self.isa, Words::Numbers, n, depth, row, used);
        rest.fill(0.0);
        Panels { ptr: panels.as_ptr(), step: depth * self.panel, row: self.panel }
    }
    /// The first `n` rows as those of a right operand.
    fn rows(self, rows: Rows<'_>, n: usize, room: &mut Vec<f32>) -> Panels {
        let panels = aligned(room, n * rows.width.next_multiple_of(self.panel));
        match self.panel {
            32 => pack_across::<32>(Words::Numbers, n, |i| rows.row(i), panels),
            16 => pack_across::<16>(Words::Numbers, n, |i| rows.row(i), panels),
            _ => pack_across::<8>(Words::Numbers, n, |i| rows.row(i), panels),
        }
        Panels { ptr: panels.as_ptr(), step: n * self.panel, row: self.panel }
    }
    /// As [`Layout::rows`], where they lie if they fill panels.
    fn rows_in_place(self, rows: Rows<'_>, n: usize, room: &mut Vec<f32>) -> Panels {
        if rows.width.is_multiple_of(self.panel) {
            Panels { ptr: rows.left().ptr, step: self.panel, row: rows.stride }
        } else {
            self.rows(rows, n, room)
        }
    }
    /// `out[m, cols] = left . right (+ out)` over `depths`, which are cut where all of them from 0 on would be; `out`'s rows are `stride` apart.
    ///
    /// # Safety
    /// As for [`panel::multiply`].
    #[expect(unsafe_code, reason = "see `panel::multiply`")]
    #[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
    unsafe fn multiply(
        self,
        m: usize,
        cols: usize,
        depths: Range<usize>,
        left: Left,
        right: Panels,
        out: *mut f32,
        stride: usize,
        mut add: bool,
    ) {
        let mut at = depths.start;
        while at < depths.end {
            let end = ((at / K_BLOCK + 1) * K_BLOCK).min(depths.end);
            let left = Left { ptr: left.ptr.wrapping_add(at * left.cs), ..left };
            let right = Panels { ptr: right.ptr.wrapping_add(at * right.row), ..right };
            let job = Job { m, cols, depth: end - at, left, right, out, out_row: stride, add, words: Words::Numbers };
            // SAFETY: the caller's promise.
            unsafe { panel::multiply(self.isa, &job) };
            (at, add) = (end, true);
        }
    }
}

/// Working memory of a task: scores, operands packed, and rows of one head side by side.
#[derive(Default)]
struct Gathered {
    scores: Vec<f32>,
    turned: Vec<f32>,
    across: Vec<f32>,
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
    let (heads, d, layout) = (shape.n_heads, shape.head_dim, Layout::new());
    // Heads that share keys share what is packed of them, unless there would be too few tasks.
    let together = if spans.len() * shape.n_kv_heads >= 2 * pool.threads { w.group } else { 1 };
    pool.map_with(spans.len() * heads / together, Gathered::default, |own: &mut Gathered, task| {
        let (span, h) = (&spans[task * together / heads], task * together % heads);
        let (t, queries) = (span.first + span.rows.len(), span.rows.len());
        if queries == 0 || d == 0 {
            return;
        }
        let Gathered { scores, turned, across, k: own_k, v: own_v } = own;
        let at_head = h / w.group * d;
        let side_by_side = |from: &[f32], own: &mut Vec<f32>| gather(from, span.keys.iter().cloned().flatten(), t, w.kv, at_head, d, own);
        let (k, v) = match span.keys.as_slice() {
            [whole] => {
                let of = |data| Rows { data, at: whole.start * w.kv + at_head, stride: w.kv, width: d };
                (of(k), of(v))
            }
            _ => {
                side_by_side(k, own_k);
                side_by_side(v, own_v);
                let of = |data| Rows { data, at: 0, stride: d, width: d };
                (of(own_k.as_slice()), of(own_v.as_slice()))
            }
        };
        let packed = (queries >= STRIP).then(|| (layout.columns(k, t, turned), layout.rows(v, t, across)));
        for h in h..h + together {
            let mut first = span.first;
            while first < t {
                let block = first / QUERIES * QUERIES;
                let m = (block + QUERIES).min(t) - first;
                let seen = keys_of(block, first - block + m, shape);
                let here = (span.rows.start + first - span.first) * w.q + h * d;
                let q = Rows { data: q, at: here, stride: w.q, width: d };
                // Where the columns of the scores begin.
                let base = seen.start / layout.unit * layout.unit;
                if let Some((turned, across)) = packed {
                    for i in (0..m).step_by(STRIP) {
                        let rows = STRIP.min(m - i);
                        let end = first + i + rows;
                        let width = (end - base).next_multiple_of(layout.unit);
                        scores.resize(scores.len().max(rows * width), 0.0);
                        let keys = Panels { ptr: turned.ptr.wrapping_add(base * d), ..turned };
                        let values = Panels { ptr: across.ptr.wrapping_add(seen.start * across.row), ..across };
                        #[expect(unsafe_code, reason = "strided views of one head")]
                        // SAFETY: rows of this span and columns of this head, checked above; only this task writes these of `z`.
                        unsafe {
                            layout.multiply(rows, width, 0..d, q.from(i).left(), keys, scores.as_mut_ptr(), width, false);
                            q.ask(i + rows, STRIP, t - first);
                            softmax_rows(pool.isa, &mut scores[..rows * width], width, first + i - base, shape);
                            let p = Left { ptr: scores[seen.start - base..].as_ptr(), rs: width, cs: 1 };
                            layout.multiply(rows, d, 0..end - seen.start, p, values, z.ptr(here + i * w.q), w.q, false);
                        }
                    }
                } else {
                    // Columns begin where those of many rows do.
                    let (width, unused) = ((seen.end - base).next_multiple_of(layout.unit), seen.start - base);
                    scores.resize(scores.len().max(m * width), 0.0);
                    let (k, v) = (k.from(seen.start), v.from(seen.start));
                    #[expect(unsafe_code, reason = "strided views of one head")]
                    // SAFETY: as above.
                    unsafe {
                        let to = scores[unused..].as_mut_ptr();
                        product(m, seen.len(), d, to, width, q.view(), k.view().transposed(), 1.0, 0.0);
                        softmax_rows(pool.isa, &mut scores[..m * width], width, first - base, shape);
                        let p = View::new(&scores[unused..], width);
                        product(m, d, seen.len(), z.ptr(here), w.q, p, v.view(), 1.0, 0.0);
                    }
                }
                first += m;
            }
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
    let width = t.next_multiple_of(LANES);
    pool.map_with(
        shape.n_heads,
        || vec![0.0; t * width],
        |scores, h| {
            #[expect(unsafe_code, reason = "strided views of one head, and each task writes its own")]
            // SAFETY: heads of different tasks share no element; the views lie inside `q` and `k` as checked.
            let rows = unsafe {
                let qv = View::new(&q[h * shape.head_dim..], w.q);
                let kt = View::new(&k[h / w.group * shape.head_dim..], w.kv).transposed();
                product(t, t, shape.head_dim, scores.as_mut_ptr(), width, qv, kt, 1.0, 0.0);
                out.slice(h * t * t, t * t)
            };
            softmax_rows(pool.isa, scores, width, 0, shape);
            for (to, from) in rows.chunks_exact_mut(t).zip(scores.chunks_exact(width)) {
                to.copy_from_slice(&from[..t]);
            }
        },
    );
    pattern
}

/// Working memory of a backward task: scores and their gradients, and operands packed.
#[derive(Default)]
struct Packed {
    p: Vec<f32>,
    dp: Vec<f32>,
    slopes: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    rows: Vec<f32>,
    right: Vec<f32>,
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
    let (heads, d, layout) = (shape.n_kv_heads, shape.head_dim, Layout::new());
    pool.map_with(sequences * heads, Packed::default, |own: &mut Packed, task| {
        let (s, kv_head) = (task / heads, task % heads);
        let (start, t) = (starts[s], starts[s + 1] - starts[s]);
        if t == 0 || d == 0 {
            return;
        }
        let Packed { p, dp, slopes, keys: key_room, values: value_room, rows: row_room, right } = own;
        let at_kv = start * w.kv + kv_head * d;
        let of = |data| Rows { data, at: at_kv, stride: w.kv, width: d };
        let (key_columns, value_columns) = (layout.columns(of(k), t, key_room), layout.columns(of(v), t, value_room));
        let key_rows = layout.rows(of(k), t, row_room);
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
                // Keys that fell between the windows of live queries.
                for i in written..keys.start {
                    #[expect(unsafe_code, reason = "strided views of one head")]
                    // SAFETY: as below.
                    unsafe {
                        dk.slice(at_kv + i * w.kv, d).fill(0.0);
                        dv.slice(at_kv + i * w.kv, d).fill(0.0);
                    }
                }
                let of = |data| Rows { data, at: at_q + first * w.q, stride: w.q, width: d };
                let (q, dz) = (of(q), of(dz));
                // Where the columns of the scores begin.
                let base = keys.start / layout.unit * layout.unit;
                let width = (keys.end - base).next_multiple_of(layout.unit);
                p.resize(p.len().max(m * width), 0.0);
                dp.resize(dp.len().max(m * width), 0.0);
                let at_base = |columns: Panels| Panels { ptr: columns.ptr.wrapping_add(base * d), ..columns };
                for i in (0..m).step_by(STRIP) {
                    let rows = STRIP.min(m - i);
                    let end = first + i + rows;
                    let n = (end - base).next_multiple_of(layout.unit);
                    let (p, dp) = (&mut p[i * width..][..rows * width], &mut dp[i * width..][..rows * width]);
                    let key_rows = Panels { ptr: key_rows.ptr.wrapping_add(keys.start * key_rows.row), ..key_rows };
                    #[expect(unsafe_code, reason = "strided views of one head")]
                    // SAFETY: rows and columns of this sequence and head, checked by `Widths::check`; only this task writes these of
                    // `dq`, `dk`, `dv`.
                    unsafe {
                        layout.multiply(rows, n, 0..d, q.from(i).left(), at_base(key_columns), p.as_mut_ptr(), width, false);
                        if let Some(cap) = shape.soft_cap {
                            slopes.resize(rows * width, 0.0);
                            cap_slopes(pool.isa, p, shape.scale / cap, slopes);
                        }
                        q.ask(i + rows, STRIP, t - first);
                        softmax_rows(pool.isa, p, width, first + i - base, shape);
                        layout.multiply(rows, n, 0..d, dz.from(i).left(), at_base(value_columns), dp.as_mut_ptr(), width, false);
                        dz.ask(i + rows, STRIP, t - first);
                        let slopes = shape.soft_cap.map(|_| slopes.as_slice());
                        softmax_backward(pool.isa, p, dp, width, n, shape.scale, slopes);
                        let left = Left { ptr: dp[keys.start - base..].as_ptr(), rs: width, cs: 1 };
                        let to = dq.ptr(at_q + (first + i) * w.q);
                        layout.multiply(rows, d, 0..end - keys.start, left, key_rows, to, w.q, false);
                    }
                }
                for (left, right_rows, out) in [(&*p, dz, &dv), (&*dp, q, &dk)] {
                    let right = layout.rows_in_place(right_rows, m, right);
                    let mut j = keys.start;
                    while j < keys.end {
                        let old = j < written;
                        let end = (j + STRIP).min(if old { written.min(keys.end) } else { keys.end });
                        // The queries that see one of these keys.
                        let from = j.max(first) - first;
                        let to = shape.window.map_or(m, |window| m.min(end - 1 + window - first));
                        #[expect(unsafe_code, reason = "strided views of one head")]
                        // SAFETY: as above.
                        unsafe {
                            let left = Left { ptr: left[j - base..].as_ptr(), rs: 1, cs: width };
                            layout.multiply(end - j, d, from..to, left, right, out.ptr(at_kv + j * w.kv), w.kv, old);
                        }
                        j = end;
                    }
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

/// Softmax of `scale * score`, soft-capped where the shape says so, over the keys a query sees: row `i` sees those before `first + i + 1` of
/// `width`, as far back as its window goes. The others become 0. `width` is a multiple of [`LANES`], and so is the first column's key, so that a key is always
/// summed in the same lane and a row's bits depend neither on what follows it nor on where its scores begin.
#[inline(always)]
fn softmax_rows_body<const FMA: bool>(scores: &mut [f32], width: usize, first: usize, shape: &AttentionShape) {
    match shape.soft_cap {
        None => softmax_of::<FMA>(scores, width, first, shape.window, |x| x * shape.scale),
        Some(cap) => softmax_of::<FMA>(scores, width, first, shape.window, |x| cap * tanh::<FMA>(x * (shape.scale / cap))),
    }
}

#[inline(always)]
fn softmax_of<const FMA: bool>(scores: &mut [f32], width: usize, first: usize, window: Option<usize>, logit: impl Fn(f32) -> f32) {
    /// What a key that is not seen scores.
    const UNSEEN: f32 = f32::NEG_INFINITY;
    for (i, row) in scores.chunks_exact_mut(width).enumerate() {
        let end = first + i + 1;
        let begin = window.map_or(0, |window| end.saturating_sub(window));
        let (before, rest) = row.split_at_mut(begin / LANES * LANES);
        let (seen, after) = rest.split_at_mut(end.next_multiple_of(LANES) - before.len());
        let seen = seen.as_chunks_mut::<LANES>().0;
        // Of 32 bits, as scores are: compared sixteen at a time.
        let (begin, end) = ((begin - before.len()) as i32, (end - before.len()) as i32);
        let last = seen.len() - 1;
        let mut highest = [UNSEEN; LANES];
        for (c, x) in seen.iter_mut().enumerate() {
            for x in &mut *x {
                *x = logit(*x);
            }
            if c == 0 || c == last {
                let first = (c * LANES) as i32;
                for (j, x) in x.iter_mut().enumerate() {
                    let key = first + j as i32;
                    *x = if key >= begin && key < end { *x } else { UNSEEN };
                }
            }
            for j in 0..LANES {
                highest[j] = if x[j] > highest[j] { x[j] } else { highest[j] };
            }
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
        for x in &mut *seen {
            for j in 0..LANES {
                let e = exp::<FMA>(x[j] - highest);
                x[j] = if x[j] == UNSEEN { 0.0 } else { e };
                sum[j] += x[j];
            }
        }
        // A value that is not a number is one of the sum, and so of every quotient.
        let norm = 1.0 / fold(&sum);
        // One loop over all of them: of nested ones gathers and scatters of AVX-512 were made, which took longer than all the rest.
        for x in seen.as_flattened_mut() {
            *x *= norm;
        }
        before.fill(0.0);
        after.fill(0.0);
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

/// `dp = p * (dp - sum(p * dp)) * scale` over the first `n` of each row's `width`, times `slopes` where there are any; 0 in the others.
#[inline(always)]
fn softmax_backward_body<const FMA: bool>(p: &[f32], dp: &mut [f32], width: usize, n: usize, scale: f32, slopes: Option<&[f32]>) {
    for (r, (p, dp)) in p.chunks_exact(width).zip(dp.chunks_exact_mut(width)).enumerate() {
        let (counted, rest) = dp.split_at_mut(n);
        let mean = dot::<FMA>(&p[..n], counted);
        for (d, p) in counted.iter_mut().zip(p) {
            *d = p * (*d - mean) * scale;
        }
        if let Some(slopes) = slopes {
            for (d, slope) in counted.iter_mut().zip(&slopes[r * width..]) {
                *d *= slope;
            }
        }
        rest.fill(0.0);
    }
}
per_isa! { fn softmax_backward(p: &[f32], dp: &mut [f32], width: usize, n: usize, scale: f32, slopes: Option<&[f32]>) { softmax_backward_body } }
