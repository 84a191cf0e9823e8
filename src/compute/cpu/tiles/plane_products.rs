//! Blocks of 32 rows times 32 columns of packed planes.
//!
//! One instruction multiplies 16 rows of 32 bfloat16 numbers with 32 x 16 and adds the products to 16 x 16 f32: those of even depths in one chain of fused
//! multiply-adds from zero, those of odd depths in another, both added, and their sum added to the accumulator. Numbers below 2^-126 are taken, and
//! left, as zero; sums round to nearest. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS.) Tests have a twin of it in
//! plain code.
//!
//! For more than one plane (see [`super::planes`]) the products of planes are further instructions on the same accumulators: each step of the depth
//! goes through the pairs of [`pairs`], ordered so that few tiles are loaded twice, and none of the left ones, which often come from farther away (mirrored:
//! none of the right). Pairs with an empty plane are left out: adding zero changes no bit.

use super::{
    BLOCK, Block, HEAD, Panels, Parts, SIDE, Session, TILE,
    planes::{Head, STEP, power_of_two},
};
use std::arch::asm;

/// Pairs of planes (left, right) in the order of their products, for one, two or three planes.
#[cfg(test)]
fn pairs(planes: usize) -> &'static [(usize, usize)] {
    match planes {
        1 => &[(0, 0)],
        2 => &[(1, 0), (0, 0), (0, 1)],
        _ => &[(2, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 2)],
    }
}

impl Panels<'_> {
    /// What the left and the right operand were multiplied by, as powers of two, if they were.
    pub fn shifts(&self) -> Option<([i32; 2], [i32; 2])> {
        let shift = |p: [&[f32]; 2]| p.map(|p| Head::of(p).shift);
        let (left, right) = (shift(self.left), shift(self.right));
        (left != [0; 2] || right != [0; 2]).then_some((left, right))
    }
}

impl Session {
    /// The block's products with the panels' shifts taken back.
    pub(super) fn multiply_planes(&self, panels: &Panels<'_>, out: &mut Block) {
        #[expect(unsafe_code, reason = "see `multiply_into`")]
        // SAFETY: a block has the room.
        unsafe {
            self.multiply_into(panels, out.0.as_mut_ptr(), BLOCK);
        }
        take_back(panels, out);
    }

    /// `[BLOCK][BLOCK]` products, rows `stride` floats apart, as the panels hold their numbers.
    ///
    /// # Safety
    /// The rows must be writable, and nothing else may touch them meanwhile.
    #[expect(unsafe_code, reason = "writes through a pointer with a stride, by instructions the language has no functions for")]
    pub unsafe fn multiply_into(&self, panels: &Panels<'_>, out: *mut f32, stride: usize) {
        let planes = self.unit.planes();
        let len = self.unit.panel_len(panels.depth);
        assert!(panels.left.iter().chain(&panels.right).all(|p| p.len() == len), "panels of a depth of {}", panels.depth);
        let steps = (len - HEAD) / (planes * TILE);
        #[cfg(test)]
        if self.unit.twin {
            // SAFETY: the caller's promise.
            unsafe { twin::multiply(planes, panels, steps, out, stride) };
            return;
        }
        let job = Job {
            left: panels.left.map(|p| p[HEAD..].as_ptr()),
            right: panels.right.map(|p| p[HEAD..].as_ptr()),
            steps,
            step: planes * TILE * size_of::<f32>(),
            ahead: panels.ahead,
            out,
            stride: stride * size_of::<f32>(),
        };
        // Where a plane of both of an operand's panels is empty, so are its products.
        // One right panel twice: its second columns are not wanted.
        let slim = std::ptr::eq(panels.right[0], panels.right[1]);
        macro_rules! of {
            ($kernel:ident) => {
                if slim { $kernel::slim } else { $kernel::wide }
            };
        }
        let kernel = match (planes, live(panels.left), live(panels.right), panels.mirrored) {
            (1, ..) | (_, 1, 1, _) => of!(one),
            (2, 1, _, false) => of!(one_by_two),
            (2, _, 1, false) => of!(two_by_one),
            (2, _, _, false) => of!(two),
            (_, 1, _, false) => of!(one_by_three),
            (_, _, 1, false) => of!(three_by_one),
            (_, _, _, false) => of!(three),
            (2, 1, _, true) => of!(mirrored_one_by_two),
            (2, _, 1, true) => of!(mirrored_two_by_one),
            (2, _, _, true) => of!(mirrored_two),
            (_, 1, _, true) => of!(mirrored_one_by_three),
            (_, _, 1, true) => of!(mirrored_three_by_one),
            (_, _, _, true) => of!(mirrored_three),
        };
        if steps == 0 {
            for r in 0..BLOCK {
                // SAFETY: the caller's promise.
                unsafe { std::slice::from_raw_parts_mut(out.add(r * stride), BLOCK) }.fill(0.0);
            }
            return;
        }
        // SAFETY: the session holds the unit; the panels were found to have `steps` steps; the caller's promise about `out`.
        unsafe { kernel(&job) }
    }
}

/// Groups of products of a step with so many planes, after each of which other work has its turn.
pub(super) const fn groups(planes: usize) -> usize {
    [1, 3, 6][planes - 1]
}

impl Session {
    /// As [`Session::multiply`], for a left operand that comes from the second-level cache and a right one that stays in the first. After every group of products,
    /// [`groups`] times a step, `beside` is called, and what it does goes on while the unit works; not where one of the `P` planes is empty, and less is to be
    /// multiplied.
    ///
    /// # Safety
    /// On a processor with AVX-512.
    #[inline(always)]
    #[expect(unsafe_code, reason = "instructions the language has no functions for")]
    pub unsafe fn multiply_beside<const P: usize>(&self, panels: &Panels<'_>, out: &mut Block, mut beside: impl FnMut()) {
        let full = |p: [&[f32]; 2]| p.iter().all(|p| Head::of(p).live == P);
        let steps = panels.depth.div_ceil(STEP);
        let whole = panels.left.iter().chain(&panels.right).all(|p| p.len() == HEAD + steps * P * TILE);
        if self.unit.is_twin() || self.unit.parts != Parts::Planes(P) || !whole || steps == 0 || !full(panels.left) || !full(panels.right) {
            return self.multiply(panels, out);
        }
        // SAFETY: panels of `steps` steps of `P` planes each, and a block, were found; the session holds the unit.
        unsafe {
            by_hand::clear();
            for step in 0..steps {
                let plane = |of: [&[f32]; 2], p: usize| of.map(|panel| panel.as_ptr().add(HEAD + (step * P + p) * TILE));
                let left = |p: usize| by_hand::left(plane(panels.left, p));
                let right = |p: usize| by_hand::right(plane(panels.right, p));
                let mut products = || {
                    by_hand::products();
                    beside();
                };
                // As the kernels `one`, `two` and `three`.
                match P {
                    1 => {
                        left(0);
                        right(0);
                        products();
                    }
                    2 => {
                        left(1);
                        right(0);
                        products();
                        left(0);
                        products();
                        right(1);
                        products();
                    }
                    _ => {
                        left(2);
                        right(0);
                        products();
                        left(1);
                        products();
                        right(1);
                        products();
                        left(0);
                        products();
                        right(0);
                        products();
                        right(2);
                        products();
                    }
                }
            }
            by_hand::store(out);
        }
        take_back(panels, out);
    }
}

/// A block's products as its panels hold them to products of what was packed.
fn take_back(panels: &Panels<'_>, out: &mut Block) {
    if let Some((left, right)) = panels.shifts() {
        for (i, v) in out.0.iter_mut().enumerate() {
            let (r, c) = (i / BLOCK / SIDE, i % BLOCK / SIDE);
            *v = *v * power_of_two(-left[r]) * power_of_two(-right[c]);
        }
    }
}

/// Single actions of a block, between which other code runs. The compiler knows no tile registers, so it keeps nothing there and changes none; what one
/// statement leaves in them is there for the next.
#[expect(unsafe_code, reason = "instructions the language has no functions for")]
mod by_hand {
    use super::{BLOCK, Block, SIDE, asm};

    /// # Safety
    /// Inside a session of the real unit, as all of these.
    #[inline(always)]
    pub(super) unsafe fn clear() {
        // SAFETY (here and below): the caller's promise.
        unsafe { asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack)) }
    }
    /// # Safety
    /// Each pointer leads to a tile. They are read without a place in the first-level cache, where the right operand is to stay.
    #[inline(always)]
    pub(super) unsafe fn left(tiles: [*const f32; 2]) {
        unsafe {
            asm!("tilezero tmm4", "tilezero tmm5", "tileloaddt1 tmm4, [{a} + {s}*1]", apart!(), "tileloaddt1 tmm5, [{b} + {s}*1]", apart!(), a = in(reg) tiles[0], b = in(reg) tiles[1],
                s = in(reg) 64usize, options(nostack));
        }
    }
    /// # Safety
    /// Each pointer leads to a tile.
    #[inline(always)]
    pub(super) unsafe fn right(tiles: [*const f32; 2]) {
        unsafe {
            asm!("tilezero tmm6", "tilezero tmm7", "tileloadd tmm6, [{a} + {s}*1]", apart!(), "tileloadd tmm7, [{b} + {s}*1]", apart!(), a = in(reg) tiles[0], b = in(reg) tiles[1],
                s = in(reg) 64usize, options(nostack));
        }
    }
    /// Adds the products of what was loaded last.
    #[inline(always)]
    pub(super) unsafe fn products() {
        unsafe {
            asm!(
                "tdpbf16ps tmm0, tmm4, tmm6",
                apart!(),
                "tdpbf16ps tmm1, tmm4, tmm7",
                apart!(),
                "tdpbf16ps tmm2, tmm5, tmm6",
                apart!(),
                "tdpbf16ps tmm3, tmm5, tmm7",
                options(nostack)
            );
        }
    }
    #[inline(always)]
    pub(super) unsafe fn store(out: &mut Block) {
        let top = out.0.as_mut_ptr();
        unsafe {
            asm!("tilestored [{a} + {s}*1], tmm0", "tilestored [{a} + {s}*1 + 64], tmm1", "tilestored [{b} + {s}*1], tmm2",
                "tilestored [{b} + {s}*1 + 64], tmm3", a = in(reg) top, b = in(reg) top.add(SIDE * BLOCK),
                s = in(reg) BLOCK * size_of::<f32>(), options(nostack));
        }
    }
}

/// Planes of a pair of panels that are multiplied with: those that hold something in either of them.
fn live(pair: [&[f32]; 2]) -> usize {
    Head::of(pair[0]).live.max(Head::of(pair[1]).live)
}

/// What the loops below take; `step` and `stride` in bytes.
struct Job {
    left: [*const f32; 2],
    right: [*const f32; 2],
    /// At least one.
    steps: usize,
    step: usize,
    ahead: *const f32,
    out: *mut f32,
    stride: usize,
}

/// One action of a step: the left or right panels' plane is loaded, or what was loaded is multiplied; `slim` with one right panel.
macro_rules! text {
    ($width:ident L h) => {
        concat!(
            "tilezero tmm4\ntilezero tmm5\n",
            "tileloadd tmm4, [{a0} + {s}*1]\n",
            apart!(),
            "tileloadd tmm5, [{a1} + {s}*1]\n",
            apart!()
        )
    };
    ($width:ident L m) => {
        concat!(
            "tilezero tmm4\ntilezero tmm5\n",
            "tileloadd tmm4, [{a0} + {s}*1 + 1024]\n",
            apart!(),
            "tileloadd tmm5, [{a1} + {s}*1 + 1024]\n",
            apart!()
        )
    };
    ($width:ident L l) => {
        concat!(
            "tilezero tmm4\ntilezero tmm5\n",
            "tileloadd tmm4, [{a0} + {s}*1 + 2048]\n",
            apart!(),
            "tileloadd tmm5, [{a1} + {s}*1 + 2048]\n",
            apart!()
        )
    };
    (wide R h) => {
        concat!(
            "tilezero tmm6\ntilezero tmm7\n",
            "tileloadd tmm6, [{b0} + {s}*1]\n",
            apart!(),
            "tileloadd tmm7, [{b1} + {s}*1]\n",
            apart!()
        )
    };
    (wide R m) => {
        concat!(
            "tilezero tmm6\ntilezero tmm7\n",
            "tileloadd tmm6, [{b0} + {s}*1 + 1024]\n",
            apart!(),
            "tileloadd tmm7, [{b1} + {s}*1 + 1024]\n",
            apart!()
        )
    };
    (wide R l) => {
        concat!(
            "tilezero tmm6\ntilezero tmm7\n",
            "tileloadd tmm6, [{b0} + {s}*1 + 2048]\n",
            apart!(),
            "tileloadd tmm7, [{b1} + {s}*1 + 2048]\n",
            apart!()
        )
    };
    (slim R h) => {
        concat!("tilezero tmm6\n", "tileloadd tmm6, [{b0} + {s}*1]\n", apart!())
    };
    (slim R m) => {
        concat!("tilezero tmm6\n", "tileloadd tmm6, [{b0} + {s}*1 + 1024]\n", apart!())
    };
    (slim R l) => {
        concat!("tilezero tmm6\n", "tileloadd tmm6, [{b0} + {s}*1 + 2048]\n", apart!())
    };
    (wide X) => {
        concat!(
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            apart!(),
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            apart!(),
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            apart!(),
            "tdpbf16ps tmm3, tmm5, tmm7\n",
            apart!()
        )
    };
    (slim X) => {
        concat!("tdpbf16ps tmm0, tmm4, tmm6\n", apart!(), "tdpbf16ps tmm2, tmm5, tmm6\n", apart!())
    };
}

/// A block's loop over the depth with the given actions for a step.
macro_rules! body {
    ($width:ident: $([$($action:tt)*])*) => {
        /// # Safety
        /// Inside a session of the real unit; panels of the job's steps, `out` writable for a block.
        #[expect(unsafe_code, reason = "instructions the language has no functions for")]
        pub(super) unsafe fn $width(job: &Job) {
            // SAFETY: the caller's promise; the tile registers are this module's alone, and none is live between two blocks.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "prefetcht1 [{p}]",
                    "prefetcht1 [{p} + 64]",
                    "prefetcht1 [{p} + 128]",
                    "prefetcht1 [{p} + 192]",
                    "prefetcht1 [{p} + 256]",
                    "prefetcht1 [{p} + 320]",
                    "prefetcht1 [{p} + 384]",
                    "prefetcht1 [{p} + 448]",
                    "add {p}, 512",
                    $(text!($width $($action)*),)*
                    "add {a0}, {step}",
                    "add {a1}, {step}",
                    "add {b0}, {step}",
                    "add {b1}, {step}",
                    "dec {n}",
                    "jnz 2b",
                    "tilestored [{c0} + {cs}*1], tmm0",
                    "tilestored [{c0} + {cs}*1 + 64], tmm1",
                    "tilestored [{c1} + {cs}*1], tmm2",
                    "tilestored [{c1} + {cs}*1 + 64], tmm3",
                    a0 = inout(reg) job.left[0] => _,
                    a1 = inout(reg) job.left[1] => _,
                    b0 = inout(reg) job.right[0] => _,
                    b1 = inout(reg) job.right[1] => _,
                    n = inout(reg) job.steps => _,
                    p = inout(reg) job.ahead => _,
                    s = in(reg) 64usize,
                    step = in(reg) job.step,
                    c0 = in(reg) job.out,
                    c1 = in(reg) job.out.wrapping_byte_add(SIDE * job.stride),
                    cs = in(reg) job.stride,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}
macro_rules! kernel {
    ($name:ident: $($action:tt)*) => {
        mod $name {
            use super::{Job, SIDE, asm};
            body!(wide: $($action)*);
            body!(slim: $($action)*);
        }
    };
}
kernel!(one: [L h] [R h] [X]);
kernel!(two: [L m] [R h] [X] [L h] [X] [R m] [X]);
kernel!(two_by_one: [L m] [R h] [X] [L h] [X]);
kernel!(one_by_two: [L h] [R h] [X] [R m] [X]);
kernel!(three: [L l] [R h] [X] [L m] [X] [R m] [X] [L h] [X] [R h] [X] [R l] [X]);
kernel!(three_by_one: [L l] [R h] [X] [L m] [X] [L h] [X]);
kernel!(one_by_three: [L h] [R m] [X] [R h] [X] [R l] [X]);
kernel!(mirrored_two: [R m] [L h] [X] [R h] [X] [L m] [X]);
kernel!(mirrored_one_by_two: [R m] [L h] [X] [R h] [X]);
kernel!(mirrored_two_by_one: [R h] [L h] [X] [L m] [X]);
kernel!(mirrored_three: [R l] [L h] [X] [R m] [X] [L m] [X] [R h] [X] [L h] [X] [L l] [X]);
kernel!(mirrored_one_by_three: [R l] [L h] [X] [R m] [X] [R h] [X]);
kernel!(mirrored_three_by_one: [R h] [L m] [X] [L h] [X] [L l] [X]);

#[cfg(test)]
pub(super) mod twin {
    use super::{BLOCK, Panels, SIDE, live, pairs};
    use crate::compute::cpu::tiles::{
        Side,
        planes::{STEP, written},
    };

    /// Below the normal numbers there is only zero.
    fn flushed(x: f32) -> f32 {
        if x.is_normal() || !x.is_finite() { x } else { x * 0.0 }
    }

    /// What one instruction adds to a sum.
    pub(in super::super) fn add_pairs(sum: f32, pairs: impl Iterator<Item = ([f32; 2], [f32; 2])>) -> f32 {
        let mut chains = [0.0f32; 2];
        for (a, b) in pairs {
            for (i, chain) in chains.iter_mut().enumerate() {
                *chain = flushed(flushed(a[i]).mul_add(flushed(b[i]), *chain));
            }
        }
        flushed(sum + flushed(chains[0] + chains[1]))
    }

    /// # Safety
    /// As `Session::multiply_into`.
    #[expect(unsafe_code, reason = "as the unit")]
    pub(super) unsafe fn multiply(planes: usize, panels: &Panels<'_>, steps: usize, out: *mut f32, stride: usize) {
        let mut sums = [[0.0f32; BLOCK]; BLOCK];
        for step in 0..steps {
            for &(p, q) in pairs(planes) {
                let (p, q) = if panels.mirrored { (q, p) } else { (p, q) };
                // A step of one plane by row or column and depth.
                let read = |side, panels: [&[f32]; 2], plane| -> Vec<[f32; STEP]> {
                    let empty = plane >= live(panels);
                    let number = |i: usize, k: usize| {
                        if empty { 0.0 } else { flushed(written(planes, side, panels[i / SIDE], plane, i % SIDE, step * STEP + k)) }
                    };
                    (0..BLOCK).map(|i| std::array::from_fn(|k| number(i, k))).collect()
                };
                let (left, right) = (read(Side::Left, panels.left, p), read(Side::Right, panels.right, q));
                for (sums, a) in sums.iter_mut().zip(&left) {
                    for (sum, b) in sums.iter_mut().zip(&right) {
                        let pair = |of: &[f32; STEP], k: usize| [of[2 * k], of[2 * k + 1]];
                        *sum = add_pairs(*sum, (0..STEP / 2).map(|k| (pair(a, k), pair(b, k))));
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(out.add(r * stride), BLOCK) }.copy_from_slice(sums);
        }
    }
}
