//! The kernels' WGSL, with the few templates among them written out.
//!
//! A compiler that unrolls a loop keeps its arrays in registers, one that does not puts them into slow memory, and nothing says which. So the kernels
//! that hold a block of a product in registers are unrolled here: lines between `//@ each NAME COUNT` and `//@ end` are repeated with `$NAME`
//! replaced by 0, 1, ... (and `$NAMEv`, `$NAMEk` by its quarter and its vector component, `$NAMEo` by its row offset, `$NAME6` by 16 times
//! it). `//@ if WORD`, `//@ else` choose lines, `//@ part NAME` names some and `//@ use NAME` puts them in.

use crate::compute::HISTOGRAM_BINS;
use std::{collections::HashMap, fmt::Write as _};

/// How much of a matrix a workgroup of 256 threads takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileShape {
    /// Rows of a thread: 4 or 8.
    pub rows: u32,
    /// Columns of a thread, in fours: 1 or 2.
    pub cols: u32,
    /// The weights stay in registers from sample to sample; otherwise they are read again.
    pub held: bool,
}

impl TileShape {
    /// Runs everywhere.
    pub const SMALL: Self = Self { rows: 4, cols: 1, held: true };
    /// For cards with many registers and a lot to do.
    pub const LARGE: Self = Self { rows: 8, cols: 2, held: true };

    pub const fn height(self) -> usize {
        16 * self.rows as usize
    }
    pub const fn width(self) -> usize {
        64 * self.cols as usize
    }
    /// Bytes of workgroup memory: 16 tokens of both operands, and the lanes of a sum.
    pub const fn workgroup_bytes(self) -> u32 {
        (16 * (self.height() + self.width()) as u32 + 256 + 32) * 4
    }
}

/// Name and source of every kernel; those of tiles in this shape.
pub fn kernels(tile: TileShape) -> Vec<(&'static str, String)> {
    let number = |n: usize| n.to_string();
    let words = HashMap::from([
        ("ROWS", tile.rows.to_string()),
        ("COLS", tile.cols.to_string()),
        ("DELTA_LOADS", (tile.rows / 4).to_string()),
        ("X_LOADS", tile.cols.to_string()),
        ("HELD", u32::from(tile.held).to_string()),
        ("BINS", number(HISTOGRAM_BINS)),
        ("FIRST_BIN", number(87 << 3)),
    ]);
    [
        ("scan_tile", include_str!("../../../shaders/kernels/scan_tile.wgsl")),
        ("scan_mean", include_str!("../../../shaders/kernels/scan_mean.wgsl")),
        ("gram", include_str!("../../../shaders/kernels/gram.wgsl")),
        ("reduce", include_str!("../../../shaders/kernels/reduce.wgsl")),
    ]
    .map(|(name, source)| (name, expand(source, &words)))
    .into()
}

fn expand(source: &str, words: &HashMap<&str, String>) -> String {
    // Longer words first: one may begin another.
    let mut by_length: Vec<_> = words.iter().collect();
    by_length.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    let source = by_length.iter().fold(source.to_owned(), |text, (word, value)| text.replace(&format!("${word}"), value));
    let lines: Vec<&str> = source.lines().collect();
    let mut out = String::new();
    write_lines(&lines, words, &mut HashMap::new(), &mut out);
    out
}

fn directive(line: &str) -> Option<Vec<&str>> {
    Some(line.trim_start().strip_prefix("//@ ")?.split_whitespace().collect())
}

/// Lines up to the `end` that closes the block opened before `lines`, and how many lines that is without the `end`; `else` of the block itself too.
fn block(lines: &[&str]) -> (usize, Option<usize>) {
    let (mut depth, mut other) = (0, None);
    for (i, line) in lines.iter().enumerate() {
        match directive(line).as_deref() {
            Some(["each" | "if" | "part", ..]) => depth += 1,
            Some(["end"]) if depth == 0 => return (i, other),
            Some(["end"]) => depth -= 1,
            Some(["else"]) if depth == 0 => other = Some(i),
            _ => {}
        }
    }
    (lines.len(), other)
}

fn write_lines(lines: &[&str], words: &HashMap<&str, String>, parts: &mut HashMap<String, Vec<String>>, out: &mut String) {
    let number = |word: &str| words.get(word).map_or(word, String::as_str).parse::<usize>().unwrap_or(0);
    let mut i = 0;
    while i < lines.len() {
        let rest = &lines[i + 1..];
        match directive(lines[i]).as_deref() {
            Some(["each", name, count]) => {
                let (end, _) = block(rest);
                for value in 0..number(count) {
                    let body: Vec<String> = rest[..end].iter().map(|line| numbered(line, name, value)).collect();
                    let body: Vec<&str> = body.iter().map(String::as_str).collect();
                    write_lines(&body, words, parts, out);
                }
                i += end + 1;
            }
            Some(["if", word]) => {
                let (end, other) = block(rest);
                let (yes, no) = (&rest[..other.unwrap_or(end)], &rest[other.map_or(end, |o| o + 1)..end]);
                write_lines(if number(word) != 0 { yes } else { no }, words, parts, out);
                i += end + 1;
            }
            Some(["part", name]) => {
                let (end, _) = block(rest);
                parts.insert((*name).to_owned(), rest[..end].iter().map(|l| (*l).to_owned()).collect());
                i += end + 1;
            }
            Some(["use", name]) => {
                let body = parts.get(*name).cloned().unwrap_or_default();
                let body: Vec<&str> = body.iter().map(String::as_str).collect();
                write_lines(&body, words, parts, out);
            }
            _ => {
                let _ = writeln!(out, "{}", lines[i]);
            }
        }
        i += 1;
    }
}

fn numbered(line: &str, name: &str, value: usize) -> String {
    let component = ["x", "y", "z", "w"][value % 4];
    line.replace(&format!("${name}o"), &(value / 4 * 64 + value % 4).to_string())
        .replace(&format!("${name}v"), &(value / 4).to_string())
        .replace(&format!("${name}k"), component)
        .replace(&format!("${name}6"), &(16 * value).to_string())
        .replace(&format!("${name}"), &value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga::{
        front::wgsl,
        valid::{Capabilities, ValidationFlags, Validator},
    };

    #[test]
    fn lines_are_repeated_chosen_and_reused() {
        let words = HashMap::from([("N", "2".to_owned()), ("ON", "0".to_owned())]);
        let source =
            "a $N\n//@ part p\n//@ each i N\nv$i.$ik\n//@ end\n//@ end\n//@ if ON\nyes\n//@ else\nno\n//@ end\n//@ use p\n//@ use p\n";
        assert_eq!(expand(source, &words), "a 2\nno\nv0.x\nv1.y\nv0.x\nv1.y\n");
        let nested = "//@ each r 5\n//@ each c 2\n$r$c $rv$ro $c6\n//@ end\n//@ end\n";
        let text = expand(nested, &HashMap::new());
        assert_eq!(text.lines().count(), 10);
        assert_eq!(text.lines().last(), Some("41 164 16"));
    }

    /// Needs no graphics card: the checks that a driver's front end makes, with nothing beyond what every WebGPU device offers.
    #[test]
    fn every_kernel_is_valid_without_any_optional_capability() {
        for rows in [4, 8] {
            for cols in [1, 2] {
                for held in [false, true] {
                    for (name, source) in kernels(TileShape { rows, cols, held }) {
                        let left = source.lines().find(|l| l.trim_start().starts_with("//@") || l.contains('$'));
                        assert_eq!(left, None, "{name}: a directive is left");
                        let module = wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
                        Validator::new(ValidationFlags::all(), Capabilities::empty())
                            .validate(&module)
                            .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
                        assert!(module.entry_points.iter().all(|e| e.workgroup_size == [256, 1, 1]), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_large_tile_fits_common_workgroup_memory() {
        assert!(TileShape::SMALL.workgroup_bytes() <= 16 << 10);
        assert!(TileShape::LARGE.workgroup_bytes() <= 32 << 10);
        assert_eq!((TileShape::LARGE.height(), TileShape::LARGE.width()), (128, 128));
    }
}
