//! The processor's tile unit (Intel AMX): matrix products and the fused scan of f32 numbers that are packed as several smaller ones.
//!
//! The unit multiplies bfloat16 numbers, adding up in f32, or integers of eight bits, adding up in 32. [`planes`] makes up to three bfloat16 numbers of an
//! f32 one, [`digits`] three digits to base 256 of a fixed-point number; [`plane_products`] and [`digit_products`] multiply blocks of them, [`product`] whole
//! matrices, and [`scan`] and [`digit_scan`] a
//! sample's gradients with its inputs.
//!
//! Where another thread works on the same core (in a virtual machine that may be anybody's), reads of tiles and products took four times as long as alone. Two things bring
//! that to twice, and cost nothing where nobody else is (docs/speed.md has the figures): a register is cleared when nothing reads it any more, well before it is
//! read into again, and any two of the unit's instructions have eight others between them, be they ones that do nothing.

/// Instructions that do nothing, as text; see the module's.
macro_rules! apart {
    () => {
        ".rept 8\nnop\n.endr\n"
    };
}

mod digit_products;
pub(super) mod digit_scan;
mod digits;
#[cfg(all(test, target_os = "linux"))]
mod emulated;
mod plane_products;
mod planes;
pub(super) mod product;
mod registers;
pub(super) mod scan;

pub(super) use registers::turn;

use crate::compute::Mat;
use std::{arch::asm, marker::PhantomData, sync::OnceLock};

/// Rows or columns of a panel.
const SIDE: usize = 16;
/// Floats that take the room of a tile, and of a panel's head.
const TILE: usize = SIDE * SIDE;
const HEAD: usize = 16;
/// Rows and columns of a block.
pub(super) const BLOCK: usize = 2 * SIDE;

/// Which way a panel's tiles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Whether the processor has the unit and the system lets this process use it. The first call asks the system, for all threads; it should come before they
/// are started.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        use super::isa::{Isa, Level};
        Isa::highest().level() == Level::Avx512 && has_instructions() && permitted()
    })
}

/// AMX-BF16, AMX-TILE and AMX-INT8 by CPUID, leaf 7: there is no processor with one of them alone.
fn has_instructions() -> bool {
    let leaves = std::arch::x86_64::__cpuid(0).eax;
    let bits = if leaves >= 7 { std::arch::x86_64::__cpuid_count(7, 0).edx } else { 0 };
    [22, 24, 25].iter().all(|bit| bits & (1 << bit) != 0)
}

/// Linux gives the unit's registers to a process that asks for them.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    #[expect(unsafe_code, reason = "a system call that the library has no function for")]
    // SAFETY: the call takes two numbers and changes what the kernel saves of this process' registers.
    let answer = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
    if answer != 0 {
        tracing::warn!("the processor has a tile unit, but the system does not give it: {}", std::io::Error::last_os_error());
    }
    answer == 0
}

/// Elsewhere nobody has tried.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// What an operand's f32 numbers become for the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// So many bfloat16 numbers: [`planes`].
    Planes(usize),
    /// Three digits: [`digits`].
    Digits,
}

/// The unit, and what it is given. Exists only where the processor has it (or, in tests, AVX-512 to pack for it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    parts: Parts,
    #[cfg(test)]
    twin: bool,
}

impl Unit {
    /// One to three planes, or digits.
    pub fn amx(parts: Parts) -> Option<Self> {
        (parts.is_possible() && available()).then_some(Self {
            parts,
            #[cfg(test)]
            twin: false,
        })
    }
    pub fn parts(self) -> Parts {
        self.parts
    }
    /// For products with this weight. One stored in bfloat16 has two empty planes of three, so that planes make three products where digits make eight. Three of its rows
    /// tell: they are the same whatever it is multiplied with, and either way is right for any numbers.
    fn for_weight(mut self, weight: Mat<'_>) -> Self {
        let short = |r: usize| weight.row(r).iter().all(|v| v.to_bits() & 0xffff == 0);
        let is_short = || weight.rows > 0 && [0, weight.rows / 2, weight.rows - 1].into_iter().all(short);
        if self.parts == Parts::Digits && is_short() {
            self.parts = Parts::Planes(3);
        }
        self
    }
    /// Depths of a tile.
    pub fn step(self) -> usize {
        match self.parts {
            Parts::Planes(_) => planes::STEP,
            Parts::Digits => digits::STEP,
        }
    }
    /// The deepest product that is made in one piece.
    pub fn deepest(self) -> usize {
        match self.parts {
            Parts::Planes(_) => usize::MAX,
            Parts::Digits => digit_products::DEEPEST,
        }
    }
    /// Floats that take the room of a panel.
    pub fn panel_len(self, depth: usize) -> usize {
        HEAD + depth.div_ceil(self.step()) * self.parts.tiles() * TILE
    }
    /// Rows that run along the depth: row `r` of the panels is `row(r)`, for `count` rows; `panels` are as many as these fill, one after another, each of
    /// [`Self::panel_len`].
    pub fn pack_along<'a>(self, side: Side, count: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
        let len = self.panel_len(depth);
        assert!(panels.len() == count.div_ceil(SIDE) * len, "{count} rows, {depth} deep, in {} floats", panels.len());
        match self.parts {
            Parts::Planes(_) => planes::pack_along(self, side, count, depth, row, panels),
            Parts::Digits => digits::pack_along(self, side, count, depth, row, panels),
        }
    }
    /// Rows that run across the depth: row `k` of the panels is `row(k)`, which has one number for each of `count` columns; `panels` are as many as these
    /// fill, one after another.
    pub fn pack_across<'a>(self, side: Side, count: usize, depth: usize, row: impl Fn(usize) -> &'a [f32], panels: &mut [f32]) {
        let len = self.panel_len(depth);
        assert!(
            panels.len().is_multiple_of(len) && panels.len() / len * SIDE >= count,
            "{count} columns, {depth} deep, in {} floats",
            panels.len()
        );
        let together = match self.parts {
            Parts::Planes(_) => planes::TOGETHER,
            Parts::Digits => digits::TOGETHER,
        };
        // Few panels at a time: each row is then read by whole lines, and the panels' lines stay in the first-level cache.
        for (i, panels) in panels.chunks_mut(together * len).enumerate() {
            let from = i * together * SIDE;
            let row = |k: usize| &row(k)[from.min(count)..count];
            match self.parts {
                Parts::Planes(_) => planes::pack_across(self, side, depth, row, panels, len),
                Parts::Digits => digits::pack_across(self, side, depth, row, panels, len),
            }
        }
    }
    /// Readies the unit for this thread until the session is dropped.
    pub fn begin(self) -> Session {
        if !self.is_twin() {
            #[repr(C, align(64))]
            struct Palette([u8; 64]);
            const PALETTE: Palette = {
                // Palette 1; eight registers of 16 rows of 64 bytes.
                let mut bytes = [0; 64];
                bytes[0] = 1;
                let mut i = 0;
                while i < 8 {
                    bytes[16 + 2 * i] = 64;
                    bytes[48 + i] = SIDE as u8;
                    i += 1;
                }
                Palette(bytes)
            };
            #[expect(unsafe_code, reason = "an instruction the language has no function for")]
            // SAFETY: the unit is there; the instruction reads 64 bytes and nothing else of this program uses its registers.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &PALETTE, options(nostack, readonly));
            }
        }
        Session {
            unit: self,
            of_this_thread: PhantomData,
            #[cfg(test)]
            twin_sums: std::cell::RefCell::new(digit_products::Sums::new()),
        }
    }
    #[cfg(not(test))]
    fn is_twin(self) -> bool {
        false
    }
    #[cfg(test)]
    fn is_twin(self) -> bool {
        self.twin
    }
}

/// The unit, ready on the thread that began the session.
pub(super) struct Session {
    unit: Unit,
    of_this_thread: PhantomData<*const ()>,
    /// What the unit would hold, of digits.
    #[cfg(test)]
    twin_sums: std::cell::RefCell<digit_products::Sums>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.unit.is_twin() {
            #[expect(unsafe_code, reason = "an instruction the language has no function for")]
            // SAFETY: the session began with the unit's configuration; this undoes it.
            unsafe {
                asm!("tilerelease", options(nostack, nomem));
            }
        }
    }
}

/// A block of the result, `[BLOCK][BLOCK]`.
#[repr(C, align(64))]
pub(super) struct Block(pub [f32; BLOCK * BLOCK]);

impl Parts {
    fn is_possible(self) -> bool {
        match self {
            Self::Planes(planes) => (1..=3).contains(&planes),
            Self::Digits => true,
        }
    }
    /// Tiles of a step and panel.
    fn tiles(self) -> usize {
        match self {
            Self::Planes(planes) => planes,
            Self::Digits => digits::DIGITS,
        }
    }
}

/// Two left and two right panels of one depth.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub left: [&'a [f32]; 2],
    /// The same panel twice where its columns are all that is wanted.
    pub right: [&'a [f32]; 2],
    pub depth: usize,
    /// The operands change places: the planes' products come in the order that they have with the right one on the left, so that each element keeps its bits.
    pub mirrored: bool,
    /// Floats that will be wanted soon, brought to the second-level cache meanwhile: [`AHEAD`] of them for each step.
    pub ahead: *const f32,
}

/// See [`Panels::ahead`].
pub(super) const AHEAD: usize = 128;

impl Session {
    pub fn unit(&self) -> Unit {
        self.unit
    }
    /// The block's products of what was packed.
    pub fn multiply(&self, panels: &Panels<'_>, out: &mut Block) {
        match self.unit.parts {
            Parts::Planes(_) => self.multiply_planes(panels, out),
            Parts::Digits => self.multiply_digits(panels, out),
        }
    }
}

#[cfg(test)]
impl Parts {
    pub const ALL: [Self; 4] = [Self::Planes(1), Self::Planes(2), Self::Planes(3), Self::Digits];
}

#[cfg(test)]
impl Unit {
    /// The unit's twin in plain code, where panels can be packed for it.
    pub fn twin(parts: Parts) -> Option<Self> {
        use super::isa::{Isa, Level};
        (Isa::highest().level() == Level::Avx512).then_some(Self { parts, twin: true })
    }
    /// Twins of all parts.
    pub fn twins() -> impl Iterator<Item = Self> {
        Parts::ALL.into_iter().filter_map(Self::twin)
    }
    /// The unit, or where the processor lacks it and the system lets it be emulated, what stands for it.
    pub fn here(parts: Parts) -> Option<Self> {
        #[cfg(target_os = "linux")]
        if !available() && Self::twin(parts).is_some() && emulated::install() {
            return Some(Self { parts, twin: false });
        }
        Self::amx(parts)
    }
    /// Twins, and the units.
    pub fn all() -> Vec<Self> {
        Self::twins().chain(Parts::ALL.into_iter().filter_map(Self::here)).collect()
    }
}
