//! The tile unit's instructions in plain code, for tests on processors that lack it: each raises an invalid opcode there, and a signal handler does what it says.
//!
//! So what runs is the very code that runs on the unit. (Encodings and what they do: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.)

use super::{SIDE, plane_products::twin::add_pairs};
use std::{cell::UnsafeCell, sync::OnceLock};

const ROW: usize = 64;

/// Eight registers of 16 rows of 64 bytes, of one thread.
type Registers = [[[u8; ROW]; SIDE]; 8];

thread_local! {
    static REGISTERS: UnsafeCell<Registers> = const { UnsafeCell::new([[[0; ROW]; SIDE]; 8]) };
}

/// Whether the instructions can be had now.
pub(super) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        #[expect(unsafe_code, reason = "a signal handler")]
        // SAFETY: the handler touches registers of its thread, and memory as the instructions do that raised it.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) == 0
        }
    })
}

/// General registers in the order of their numbers in instructions.
const GENERAL: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

#[expect(unsafe_code, reason = "reads an instruction and does what it says")]
extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system hands over the context of the instruction that raised the signal.
    let state = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let general = |number: usize| state[GENERAL[number] as usize] as u64;
    let at = state[libc::REG_RIP as usize] as *const u8;
    // SAFETY: an instruction is followed by others.
    let byte = |i: usize| unsafe { at.add(i).read() };
    // Three bytes of VEX: inverted upper bits of register numbers and the map 0F38; no W, vvvv inverted, 128 bits, prefix.
    let (upper, last, opcode, modrm) = (!byte(1), byte(2), byte(3), byte(4));
    if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || last & 0x84 != 0 {
        return unknown();
    }
    let (prefix, vvvv) = (last & 3, usize::from(!last >> 3 & 15));
    let (mode, reg, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
    let extended = |bit: u8, number: usize| number + usize::from(upper >> bit & 1) * 8;
    // A memory operand: its address, what its rows are apart, and the instruction's length.
    let memory = || {
        let (mut length, mut base, mut stride) = (5, extended(5, rm), 0);
        if rm == 4 {
            let sib = byte(5);
            length = 6;
            base = extended(5, usize::from(sib & 7));
            let index = extended(6, usize::from(sib >> 3 & 7));
            stride = if index == 4 { 0 } else { general(index) << (sib >> 6) };
        }
        let displacement = match mode {
            1 => {
                length += 1;
                i64::from(byte(length - 1) as i8)
            }
            2 => {
                length += 4;
                i64::from(i32::from_le_bytes(std::array::from_fn(|i| byte(length - 4 + i))))
            }
            _ => 0,
        };
        (general(base).wrapping_add_signed(displacement) as *mut u8, stride as usize, length)
    };
    let length = REGISTERS.with(|registers| {
        // SAFETY: of this thread, and no instruction is inside another.
        let registers = unsafe { &mut *registers.get() };
        match (opcode, prefix, mode) {
            // ldtilecfg, tilerelease
            (0x49, 0, 0..=2) => {
                *registers = [[[0xee; ROW]; SIDE]; 8];
                memory().2
            }
            (0x49, 0, 3) if modrm == 0xc0 => {
                *registers = [[[0xdd; ROW]; SIDE]; 8];
                5
            }
            // tilezero
            (0x49, 3, 3) => {
                registers[reg] = [[0; ROW]; SIDE];
                5
            }
            // tileloadd, tileloaddt1, tilestored
            (0x4b, 1 | 3, 0..=2) => {
                let (from, stride, length) = memory();
                for (r, row) in registers[reg].iter_mut().enumerate() {
                    // SAFETY: the program's own promise.
                    unsafe { from.add(r * stride).copy_to_nonoverlapping(row.as_mut_ptr(), ROW) };
                }
                length
            }
            (0x4b, 2, 0..=2) => {
                let (to, stride, length) = memory();
                for (r, row) in registers[reg].iter().enumerate() {
                    // SAFETY: the program's own promise.
                    unsafe { to.add(r * stride).copy_from_nonoverlapping(row.as_ptr(), ROW) };
                }
                length
            }
            // tdpbf16ps, tdpbssd
            (0x5c, 2, 3) => {
                let (left, right) = (registers[rm], registers[vvvv]);
                products_of_bfloat16(&mut registers[reg], &left, &right);
                5
            }
            (0x5e, 3, 3) => {
                let (left, right) = (registers[rm], registers[vvvv]);
                products_of_integers(&mut registers[reg], &left, &right);
                5
            }
            _ => 0,
        }
    });
    if length == 0 {
        return unknown();
    }
    state[libc::REG_RIP as usize] += length as i64;
}

/// An instruction that is not one of the unit's: the signal's own end.
#[expect(unsafe_code, reason = "a signal handler")]
fn unknown() {
    // SAFETY: gives the signal back; the instruction raises it again.
    unsafe {
        libc::signal(libc::SIGILL, libc::SIG_DFL);
    }
}

type Register = [[u8; ROW]; SIDE];

fn word(row: &[u8; ROW], i: usize) -> [u8; 4] {
    std::array::from_fn(|b| row[4 * i + b])
}

fn products_of_integers(sums: &mut Register, left: &Register, right: &Register) {
    for (sums, a) in sums.iter_mut().zip(left) {
        let mut row: [i32; SIDE] = std::array::from_fn(|c| i32::from_le_bytes(word(sums, c)));
        for (k, b) in right.iter().enumerate() {
            let a = word(a, k).map(|v| i32::from(v as i8));
            for (c, sum) in row.iter_mut().enumerate() {
                let b = word(b, c).map(|v| i32::from(v as i8));
                *sum = (0..4).fold(*sum, |sum, i| sum.wrapping_add(a[i] * b[i]));
            }
        }
        row.iter().zip(sums.chunks_exact_mut(4)).for_each(|(sum, to)| to.copy_from_slice(&sum.to_le_bytes()));
    }
}

fn products_of_bfloat16(sums: &mut Register, left: &Register, right: &Register) {
    let pair = |word: [u8; 4]| [0, 2].map(|i| f32::from_bits(u32::from_le_bytes([0, 0, word[i], word[i + 1]])));
    for (sums, a) in sums.iter_mut().zip(left) {
        for c in 0..SIDE {
            let pairs = (0..SIDE).map(|k| (pair(word(a, k)), pair(word(&right[k], c))));
            let sum = add_pairs(f32::from_le_bytes(word(sums, c)), pairs);
            sums[4 * c..][..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
