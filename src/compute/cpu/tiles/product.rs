//! Matrix products on the tile unit: both operands are packed, once for all threads, and multiplied by blocks.
//!
//! An element is one chain of sums along the depth, whatever rows and columns stand beside it: whether a product comes here depends on its form and depth
//! alone, and what it is made of on the weight, so that rows computed alone have the bits they have in company.

use super::{
    AHEAD, BLOCK, Block, Panels, Parts, SIDE, Session, Side, Unit,
    digit_products::{self, LEFT, Place, Settling, Sums},
};
use crate::compute::{
    Mat,
    cpu::{
        matmul::Form,
        panel::{LINE, aligned},
        pool::{Pool, SharedMut},
    },
};

/// Longest sum made in one piece: so deep that adding the pieces costs little, and no deeper, so that a task's right panels stay in the second-level cache.
const DEPTH: usize = 768;
/// Columns packed at once (up to 8 MiB).
const COLUMNS: usize = 2048;
/// Rows packed at once.
const ROWS: usize = 2048;
/// Rows of a task, most of its columns, and floats of their panels, which stay in the second-level cache (1.3 MiB).
const TASK_ROWS: usize = 128;
const TASK_COLUMNS: usize = 384;
const TASK_FLOATS: usize = 336 << 10;
/// Panels that a task packs: whole pairs, as they are multiplied; more where rows run across the depth, of which a task then reads more in one place.
const PANELS_ALONG: usize = 4;
const PANELS_ACROSS: usize = 8;
/// Rows up to which a weight is packed a little at a time where it is multiplied.
const FEW_ROWS: usize = BLOCK;

/// Whether a product of this depth gains by the unit; a shorter one is mostly zeros beyond its depth.
pub(in crate::compute::cpu) fn gains(unit: Unit, depth: usize) -> bool {
    depth >= unit.step() / 2
}

/// `out[m,n] = a . b (+ out)`, operands as the form says; rows of `out` `stride` apart. The shapes were checked by the caller.
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many operands")]
pub(in crate::compute::cpu) fn multiply(
    pool: &Pool,
    unit: Unit,
    form: Form,
    out: SharedMut,
    stride: usize,
    a: Mat<'_>,
    b: Mat<'_>,
    add: bool,
) {
    let (m, k) = if form == Form::Tn { (a.cols, a.rows) } else { (a.rows, a.cols) };
    let n = if form == Form::Nt { b.rows } else { b.cols };
    let unit = if form == Form::Tn { unit } else { unit.for_weight(b) };
    if form == Form::Nt && m <= FEW_ROWS {
        return few_rows(pool, unit, out, stride, a, b, add);
    }
    let deep = depths(unit, k);
    let len = |depth: usize| unit.panel_len(depth);
    let mut lent_right = pool.lend(n.min(COLUMNS).div_ceil(SIDE) * len(deep) + LINE);
    let mut lent_left = pool.lend(m.min(ROWS).div_ceil(SIDE) * len(deep) + LINE);
    // The depths of some columns one after another, so that a result wider than the caches is met there again.
    for c in (0..n).step_by(COLUMNS) {
        let cols = COLUMNS.min(n - c);
        for first in (0..k).step_by(deep) {
            let depth = deep.min(k - first);
            let len = len(depth);
            let right = aligned(&mut lent_right.buffer, cols.div_ceil(SIDE) * len);
            let right_part = Part { from: b, side: Side::Right, along: form == Form::Nt, at: c, count: cols };
            for r in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - r);
                let left = aligned(&mut lent_left.buffer, rows.div_ceil(SIDE) * len);
                let left_part = Part { from: a, side: Side::Left, along: form != Form::Tn, at: r, count: rows };
                if r == 0 {
                    pack(pool, unit, first, depth, [(&right_part, &mut *right), (&left_part, &mut *left)]);
                } else {
                    pack(pool, unit, first, depth, [(&left_part, &mut *left)]);
                }
                let width = even(cols, (TASK_FLOATS / len * SIDE).clamp(BLOCK, TASK_COLUMNS));
                let (down, across) = (rows.div_ceil(TASK_ROWS), cols.div_ceil(width));
                let (left, right) = (&*left, &*right);
                // Tasks of the same columns one after another, which then stay in a thread's cache.
                let tasks = down * across;
                pool.for_each(tasks, |task| {
                    // What this thread is likely to come to next.
                    let next = (task + pool.threads) % tasks;
                    let (next_row, next_col) = (next % down * TASK_ROWS, next / down * width);
                    let (tr, tc) = (task % down * TASK_ROWS, task / down * width);
                    let task = Task {
                        rows: TASK_ROWS.min(rows - tr),
                        cols: width.min(cols - tc),
                        depth,
                        left: &left[tr / SIDE * len..],
                        right: &right[tc / SIDE * len..],
                        out: out.ptr((r + tr) * stride + c + tc),
                        stride,
                        add: add || first > 0,
                        next_left: &left[next_row / SIDE * len..],
                        next_right: (next_col != tc).then(|| &right[next_col / SIDE * len..]),
                    };
                    #[expect(unsafe_code, reason = "each task writes its own rectangle of the result")]
                    // SAFETY: the caller checked the result against its slice; rectangles of different tasks share no element.
                    unsafe {
                        match unit.parts() {
                            Parts::Planes(_) => run(&unit.begin(), &task),
                            Parts::Digits => run_digits(&unit.begin(), &task),
                        }
                    }
                });
            }
        }
    }
}

/// `out = a . b^T (+ out)` for few rows, as text that is written asks for all the time: the weight's rows are packed as they lie, for the left, and multiplied
/// while they are in the cache.
fn few_rows(pool: &Pool, unit: Unit, out: SharedMut, stride: usize, a: Mat<'_>, b: Mat<'_>, add: bool) {
    let (m, n, k) = (a.rows, b.rows, a.cols);
    let deep = depths(unit, k);
    let firsts: Vec<usize> = (0..k).step_by(deep).collect();
    let longest = unit.panel_len(deep);
    // The rows' panels, piece after piece of the depth.
    let panels = m.div_ceil(SIDE);
    let mut lent = pool.lend(firsts.len() * panels * longest + LINE);
    let right = aligned(&mut lent.buffer, firsts.len() * panels * longest);
    for (&first, right) in firsts.iter().zip(right.chunks_exact_mut(panels * longest)) {
        let depth = deep.min(k - first);
        let right = &mut right[..panels * unit.panel_len(depth)];
        Part { from: a, side: Side::Right, along: true, at: 0, count: m }.pack(unit, 0, first, depth, right);
    }
    let right = &*right;
    let cols = if n * k < SERIAL_BELOW { n } else { n.div_ceil(4 * pool.threads).next_multiple_of(BLOCK) };
    pool.map_with(
        n.div_ceil(cols),
        || pool.lend(2 * longest + LINE),
        |lent, task| {
            let session = unit.begin();
            let mut made = Block([0.0; BLOCK * BLOCK]);
            for c in (task * cols..n.min((task + 1) * cols)).step_by(BLOCK) {
                let count = BLOCK.min(n - c);
                for (&first, right) in firsts.iter().zip(right.chunks_exact(panels * longest)) {
                    let depth = deep.min(k - first);
                    let len = unit.panel_len(depth);
                    let left = aligned(&mut lent.buffer, count.div_ceil(SIDE) * len);
                    unit.pack_along(Side::Left, count, depth, |r| &b.row(c + r)[first..], left);
                    let (left, right) = (two(left, 0, count, len), two(right, 0, m, len));
                    session.multiply(&Panels { left, right, depth, mirrored: true, ahead: left[0].as_ptr() }, &mut made);
                    for r in 0..m {
                        #[expect(unsafe_code, reason = "each task writes its own columns of the result")]
                        // SAFETY: columns of different tasks share no element.
                        let to = unsafe { out.slice(r * stride + c, count) };
                        for (i, to) in to.iter_mut().enumerate() {
                            let made = made.0[i * BLOCK + r];
                            *to = if add || first > 0 { *to + made } else { made };
                        }
                    }
                }
            }
        },
    );
}

/// Length of pieces that a depth is cut into, all but the last of one length.
fn depths(unit: Unit, k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH).max(1)).next_multiple_of(unit.step())
}

/// Length of nearly equal parts of at most `most`.
fn even(length: usize, most: usize) -> usize {
    length.div_ceil(length.div_ceil(most)).next_multiple_of(BLOCK)
}

/// Rows (`along`: they run along the depth) or columns `at..at + count` of an operand.
struct Part<'a> {
    from: Mat<'a>,
    side: Side,
    along: bool,
    at: usize,
    count: usize,
}

impl Part<'_> {
    /// Panels that a task packs.
    fn panels(&self) -> usize {
        if self.along { PANELS_ALONG } else { PANELS_ACROSS }
    }
    fn tasks(&self) -> usize {
        self.count.div_ceil(self.panels() * SIDE)
    }
    /// Those of one task at depths `first..first + depth`; `panels` holds them alone.
    fn pack(&self, unit: Unit, task: usize, first: usize, depth: usize, panels: &mut [f32]) {
        let begin = task * self.panels() * SIDE;
        let count = (self.panels() * SIDE).min(self.count - begin);
        let at = self.at + begin;
        if !self.along {
            return unit.pack_across(self.side, count, depth, |k| &self.from.row(first + k)[at..at + count], panels);
        }
        unit.pack_along(self.side, count, depth, |r| &self.from.row(at + r)[first..], panels);
    }
}

/// Packs parts of operands, each into its own panels, all at once.
fn pack<const N: usize>(pool: &Pool, unit: Unit, first: usize, depth: usize, parts: [(&Part<'_>, &mut [f32]); N]) {
    let len = unit.panel_len(depth);
    let parts = parts.map(|(part, to)| (part, SharedMut::new(to)));
    pool.for_each(parts.iter().map(|(part, _)| part.tasks()).sum(), |mut task| {
        for (part, to) in &parts {
            if task < part.tasks() {
                let from = task * part.panels();
                #[expect(unsafe_code, reason = "each task packs its own panels")]
                // SAFETY: panels of different tasks share no element.
                let panels = unsafe { to.slice(from * len, part.panels().min(part.count.div_ceil(SIDE) - from) * len) };
                return part.pack(unit, task, first, depth, panels);
            }
            task -= part.tasks();
        }
    });
}

/// Work (multiply-adds) of a row below which it stays on one thread.
const SERIAL_BELOW: usize = 64 * 64 * 64;

/// A rectangle of the result.
struct Task<'a> {
    rows: usize,
    cols: usize,
    depth: usize,
    left: &'a [f32],
    right: &'a [f32],
    out: *mut f32,
    stride: usize,
    add: bool,
    /// Left panels that are likely to be wanted after this task, and right ones where they are others.
    next_left: &'a [f32],
    next_right: Option<&'a [f32]>,
}

/// # Safety
/// The task's rectangle of the result must be writable, and nothing else may touch it meanwhile.
#[expect(unsafe_code, reason = "writes through a pointer with a stride")]
unsafe fn run(session: &Session, task: &Task<'_>) {
    let unit = session.unit();
    let len = unit.panel_len(task.depth);
    let step = unit.step();
    let mut blocks = [const { Block([0.0; BLOCK * BLOCK]) }; 2];
    // A block that waits for its numbers to be moved while the unit makes the next.
    let mut waiting: Option<Place> = None;
    let mut turn = 0;
    for r in (0..task.rows).step_by(BLOCK) {
        let rows = BLOCK.min(task.rows - r);
        let left = two(task.left, r / SIDE, rows, len);
        // The next rows are brought near while these are multiplied, a little with every block.
        let mut ahead = left[0].as_ptr().wrapping_add(2 * len);
        for c in (0..task.cols).step_by(BLOCK) {
            let cols = BLOCK.min(task.cols - c);
            let panels = Panels { left, right: two(task.right, c / SIDE, cols, len), depth: task.depth, mirrored: false, ahead };
            ahead = ahead.wrapping_add(task.depth.div_ceil(step) * AHEAD);
            // SAFETY: inside the task's rectangle.
            let place = Place { rows, cols, out: unsafe { task.out.add(r * task.stride + c) } };
            // SAFETY: the caller's promise. Tiles that are stored wait for their lines, which in a pass over many layers come from memory.
            unsafe { call_for(place, task.stride, task.add) };
            if !task.add && rows == BLOCK && cols == BLOCK && panels.shifts().is_none() {
                // SAFETY: the caller's promise, for a whole block.
                unsafe { session.multiply_into(&panels, place.out, task.stride) };
                continue;
            }
            session.multiply(&panels, &mut blocks[turn]);
            turn = 1 - turn;
            if let Some(place) = waiting.replace(place) {
                // SAFETY: the caller's promise, for a place within the task's rectangle; a unit comes with AVX-512.
                unsafe { settle(&blocks[turn], place, task.stride, task.add) };
            }
        }
    }
    if let Some(place) = waiting {
        // SAFETY: as above.
        unsafe { settle(&blocks[1 - turn], place, task.stride, task.add) };
    }
}

/// As [`run`], of digits: a left panel stays in the first-level cache while all right ones pass by, and the result is written along its rows.
///
/// # Safety
/// As [`run`]; a unit comes with AVX-512.
#[expect(unsafe_code, reason = "writes through a pointer with a stride, by code compiled for more than the baseline")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn run_digits(session: &Session, task: &Task<'_>) {
    let len = session.unit().panel_len(task.depth);
    let ahead = task.depth.div_ceil(session.unit().step()) * AHEAD;
    let mut sums = Sums::new();
    let before: *mut Sums = &raw mut sums;
    // A block that is put together while the unit makes the next.
    let mut waiting: Option<Settling<'_>> = None;
    let mut next_right = task.next_right.map_or(task.right.as_ptr(), <[f32]>::as_ptr);
    for r in (0..task.rows).step_by(SIDE) {
        let left = &task.left[digit_products::panel(r / SIDE, len)];
        let mut next_left = if r + SIDE < task.rows { left.as_ptr().wrapping_add(len) } else { task.next_left.as_ptr() };
        for c in (0..task.cols).step_by(SIDE) {
            let right = &task.right[digit_products::panel(c / SIDE, len)];
            let place = Place {
                rows: SIDE.min(task.rows - r),
                cols: SIDE.min(task.cols - c),
                // SAFETY: inside the task's rectangle.
                out: unsafe { task.out.add(r * task.stride + c) },
            };
            // SAFETY: the caller's promise.
            unsafe { call_for(place, task.stride, task.add) };
            // One of four blocks brings the next rows near, the others the next task's columns.
            let next = if (c / SIDE).is_multiple_of(4) || task.next_right.is_none() { &mut next_left } else { &mut next_right };
            let from = *next;
            *next = next.wrapping_add(ahead);
            // SAFETY: panels of the task's depth; the caller's promise, for a place within the task's rectangle.
            unsafe {
                match &mut waiting {
                    Some(block) => {
                        session.multiply_sums(left, right, task.depth, before, |step, operation| {
                            if operation == 0 {
                                (0..AHEAD).step_by(LINE).for_each(|line| call_for_line(from.wrapping_add(step * AHEAD + line)));
                            }
                            let settles = (step > 0 || operation >= LEFT) && block.next(&*before, task.stride, task.add);
                            if !settles {
                                Session::pause();
                            }
                        });
                        block.rest(&*before, task.stride, task.add);
                    }
                    None => session.multiply_sums(left, right, task.depth, before, |_, _| Session::pause()),
                }
            }
            waiting = Some(Settling::new(left, right, place));
        }
    }
    if let Some(mut block) = waiting {
        session.last_sums(&mut sums);
        // SAFETY: as above.
        unsafe { block.rest(&sums, task.stride, task.add) };
    }
}

/// Panel `first` and the next where there are so many rows, else the first once more: what that makes is not read.
fn two(panels: &[f32], first: usize, rows: usize, len: usize) -> [&[f32]; 2] {
    let second = if rows > SIDE { first + 1 } else { first };
    [first, second].map(|p| &panels[p * len..][..len])
}

/// Asks for a line to be brought to the second-level cache.
#[inline(always)]
fn call_for_line(line: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    #[expect(unsafe_code, reason = "a hint to the processor")]
    // SAFETY: a prefetch may be of any address.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
    }
}

/// Brings a place to the second-level cache, or all the way where it will be read.
///
/// # Safety
/// The place must be readable.
#[expect(unsafe_code, reason = "a pointer with a stride")]
unsafe fn call_for(place: Place, stride: usize, read: bool) {
    use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    for r in 0..place.rows {
        for c in (0..place.cols).step_by(LINE) {
            // SAFETY: the caller's promise.
            let line = unsafe { place.out.add(r * stride + c) }.cast();
            if read {
                // SAFETY: an instruction that only asks.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
            } else {
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
            }
        }
    }
}

/// Moves a block to its place, or adds it to what is there.
///
/// # Safety
/// The place must be writable, nothing else touching it, and the processor must have AVX-512.
#[expect(unsafe_code, reason = "code compiled for more than the baseline, and a pointer with a stride")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn settle(block: &Block, place: Place, stride: usize, add: bool) {
    for (r, from) in block.0.chunks_exact(BLOCK).take(place.rows).enumerate() {
        // SAFETY: the caller's promise.
        let to = unsafe { std::slice::from_raw_parts_mut(place.out.add(r * stride), place.cols) };
        match (<&mut [f32; BLOCK]>::try_from(&mut *to), add) {
            (Ok(whole), true) => whole.iter_mut().zip(from).for_each(|(t, f)| *t += f),
            (Ok(whole), false) => whole.copy_from_slice(from),
            (Err(_), true) => to.iter_mut().zip(from).for_each(|(t, f)| *t += f),
            (Err(_), false) => to.copy_from_slice(&from[..place.cols]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::rng::Rng, compute::cpu::Isa};

    /// Every form against f64, relative to the sum of the products' sizes: what is left out of each product, and what sums of f32 round off.
    #[test]
    fn every_form_keeps_its_accuracy_on_ragged_shapes() {
        let pool = Pool::new(Some(2), Isa::best());
        let mut rng = Rng::new(5);
        let mut numbers = |n: usize, scale: f64| (0..n).map(|_| (rng.normal() * scale) as f32).collect::<Vec<f32>>();
        for (m, n, k, scale) in [
            (1, 1, 1, 1.0),
            (3, 35, 40, 1.0),
            (33, 17, 31, 1e-30),
            (50, 70, 800, 1e-3),
            (40, 16, 64, 1e-36),
            (130, 200, 33, 1.0),
            (64, 80, 800, 1.0),
        ] {
            let (mut a, mut b) = (numbers(m * k, scale), numbers(n * k, 1.0));
            if m == 64 {
                // Panels without lower planes beside panels that have them: rows of zeros, and numbers of eight bits.
                a[..SIDE * k].fill(0.0);
                let short = |v: &mut f32| *v = f32::from_bits(v.to_bits() & 0xffff_0000);
                a[3 * SIDE * k..].iter_mut().chain(&mut b[SIDE * k..3 * SIDE * k]).for_each(short);
            }
            let transposed =
                |data: &[f32], rows: usize, cols: usize| (0..data.len()).map(|i| data[i % rows * cols + i / rows]).collect::<Vec<f32>>();
            let (at, bt) = (transposed(&a, m, k), transposed(&b, n, k));
            for unit in Unit::all() {
                // What is left out of a product, and 2^-24 for each sum: 16 in a step's chains, and one for each of a step's pairs.
                let sums = (40.0 + k as f64 / 4.0) * 2f64.powi(-24);
                let (bound, of_largest) = match unit.parts() {
                    Parts::Planes(planes) => ([2f64.powi(-7), 2f64.powi(-14), 2f64.powi(-23)][planes - 1] + sums, 0.0),
                    // What is left out of both numbers, and of their product, is a part of the largest ones.
                    Parts::Digits => (4.0 * 2f64.powi(-24), (2.0 * 2f64.powf(-22.99) + 2f64.powi(-30)) * k as f64),
                };
                let mut first: Option<Vec<f32>> = None;
                for form in [Form::Nt, Form::Nn, Form::Tn] {
                    let left = if form == Form::Tn { Mat::new(&at, k, m) } else { Mat::new(&a, m, k) };
                    let right = if form == Form::Nt { Mat::new(&b, n, k) } else { Mat::new(&bt, k, n) };
                    let stride = n + 5;
                    let mut out = vec![0.5f32; m * stride];
                    multiply(&pool, unit, form, SharedMut::new(&mut out), stride, left, right, false);
                    let mut added = out.clone();
                    multiply(&pool, unit, form, SharedMut::new(&mut added), stride, left, right, true);
                    for r in 0..m {
                        for c in 0..stride {
                            let (got, twice) = (f64::from(out[r * stride + c]), f64::from(added[r * stride + c]));
                            if c >= n {
                                assert_eq!((got, twice), (0.5, 0.5), "beyond the result");
                                continue;
                            }
                            let terms = || (0..k).map(|i| f64::from(a[r * k + i]) * f64::from(b[c * k + i]));
                            let (want, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                            let largest = |row: &[f32]| row.iter().fold(0.0f64, |most, v| most.max(f64::from(v.abs())));
                            let rest = of_largest * largest(&a[r * k..][..k]) * largest(&b[c * k..][..k]);
                            assert!((got - want).abs() <= bound * size + rest, "{m} x {n} x {k}, {unit:?}: {got} for {want}, sizes {size}");
                            assert!((twice - 2.0 * got).abs() <= 3.0 * bound * size + 2.0 * rest, "{twice} for twice {got}");
                        }
                    }
                    match &first {
                        Some(first) => assert!(*first == out, "forms differ, {m} x {n} x {k}, {unit:?}"),
                        None => first = Some(out),
                    }
                }
            }
        }
    }

    #[test]
    fn the_unit_has_the_bits_of_its_twin_and_rows_alone_those_in_company() {
        let pool = Pool::new(Some(1), Isa::best());
        let mut rng = Rng::new(6);
        let (m, n, k) = (37, 50, 830);
        let data = |rng: &mut Rng, n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let (a, mut b) = (data(&mut rng, m * k), data(&mut rng, n * k));
        for rounded in [false, true] {
            if rounded {
                // A weight stored as bfloat16: its lower planes are empty, and their products left out.
                b.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits() & 0xffff_0000));
            }
            let run = |unit: Unit, first: usize, rows: usize| {
                let mut out = vec![0.0f32; rows * n];
                let left = Mat::new(&a, m, k).rows(first, rows);
                multiply(&pool, unit, Form::Nt, SharedMut::new(&mut out), n, left, Mat::new(&b, n, k), false);
                out
            };
            for parts in Parts::ALL {
                let Some(twin) = Unit::twin(parts) else { return };
                let whole = run(twin, 0, m);
                assert!(run(twin, 18, 1) == whole[18 * n..][..n] && run(twin, 20, 17) == whole[20 * n..]);
                if let Some(unit) = Unit::here(parts) {
                    assert!(run(unit, 0, m) == whole, "{parts:?}: the unit differs from its twin");
                    assert!(run(unit, 18, 1) == whole[18 * n..][..n] && run(unit, 20, 17) == whole[20 * n..]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_shows_in_its_row_alone() {
        let pool = Pool::new(Some(1), Isa::best());
        for unit in Unit::all() {
            for bad in [f32::NAN, f32::INFINITY] {
                let (mut a, b) = (vec![1.0f32; 20 * 40], vec![1.0f32; 20 * 40]);
                a[7 * 40 + 3] = bad;
                let mut out = vec![0.0; 20 * 20];
                multiply(&pool, unit, Form::Nt, SharedMut::new(&mut out), 20, Mat::new(&a, 20, 40), Mat::new(&b, 20, 40), false);
                assert!(out.iter().enumerate().all(|(i, v)| v.is_finite() == (i / 20 != 7)), "{unit:?}");
            }
        }
    }
}
