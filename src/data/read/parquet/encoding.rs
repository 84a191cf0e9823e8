//! The value encodings. Each decoder is told how many values are wanted, and stops with an error where the bytes end before them.
//! Source: github.com/apache/parquet-format, Encodings.md.

use super::{
    Res,
    schema::{Leaf, Physical},
};

const CUT: &str = "a page ends before its values do";

/// One value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    Bool(bool),
    Int(i64),
    /// Days (Julian) and nanoseconds of the day.
    Int96(u32, i64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
}

/// `n` values one after another: the encoding PLAIN.
pub fn plain<'a>(bytes: &'a [u8], leaf: &Leaf, n: usize, mut give: impl FnMut(Raw<'a>) -> Res<()>) -> Res<()> {
    let mut rest = bytes;
    for i in 0..n {
        give(match leaf.physical {
            Physical::Bool => Raw::Bool(bytes.get(i / 8).ok_or(CUT)? >> (i % 8) & 1 == 1),
            Physical::Int32 => Raw::Int(i64::from(i32::from_le_bytes(array(&mut rest)?))),
            Physical::Int64 => Raw::Int(i64::from_le_bytes(array(&mut rest)?)),
            Physical::Int96 => {
                let nanoseconds = i64::from_le_bytes(array(&mut rest)?);
                Raw::Int96(u32::from_le_bytes(array(&mut rest)?), nanoseconds)
            }
            Physical::Float => Raw::Float(f32::from_le_bytes(array(&mut rest)?)),
            Physical::Double => Raw::Double(f64::from_le_bytes(array(&mut rest)?)),
            Physical::Bytes => {
                let len = u32::from_le_bytes(array(&mut rest)?);
                Raw::Bytes(take(&mut rest, len as usize)?)
            }
            Physical::Fixed(len) => Raw::Bytes(take(&mut rest, len)?),
        })?;
    }
    Ok(())
}

pub fn take<'a>(rest: &mut &'a [u8], n: usize) -> Res<&'a [u8]> {
    if n > rest.len() {
        return Err(CUT.to_owned());
    }
    let (taken, left) = rest.split_at(n);
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Res<[u8; N]> {
    take(rest, N)?.try_into().map_err(|_| CUT.to_owned())
}

fn varint(rest: &mut &[u8]) -> Res<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let [b] = array(rest)?;
        value |= u64::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a page holds a number that never ends".to_owned())
}

fn zigzag(rest: &mut &[u8]) -> Res<i64> {
    let v = varint(rest)?;
    Ok((v >> 1) as i64 ^ -((v & 1) as i64))
}

/// `width` (at most 64) bits from bit `at` on, least significant first; bits beyond the end are 0.
fn bits(bytes: &[u8], at: usize, width: u32) -> u64 {
    let (first, shift) = (at / 8, at % 8);
    let mut window = [0u8; 16];
    let end = bytes.len().min(first + 9);
    if let Some(part) = bytes.get(first..end) {
        window[..part.len()].copy_from_slice(part);
    }
    let value = (u128::from_le_bytes(window) >> shift) as u64;
    if width >= 64 { value } else { value & ((1 << width) - 1) }
}

/// `n` numbers of `width` bits in runs and bit-packed groups of eight: levels, dictionary indices, truth values.
pub fn hybrid(bytes: &[u8], width: u32, n: usize, mut give: impl FnMut(u32) -> Res<()>) -> Res<()> {
    if width > 32 {
        return Err(format!("a page says its numbers have {width} bits"));
    }
    let mut rest = bytes;
    let mut left = n;
    while left > 0 {
        if rest.is_empty() && width == 0 {
            // Nothing has to be written to say that all are 0.
            (0..left).try_for_each(|_| give(0))?;
            return Ok(());
        }
        let head = varint(&mut rest)?;
        let count = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if head & 1 == 0 {
            let stored = take(&mut rest, (width as usize).div_ceil(8))?;
            let value = stored.iter().rev().fold(0u32, |v, &b| v << 8 | u32::from(b));
            let run = count.min(left);
            (0..run).try_for_each(|_| give(value))?;
            left -= run;
            if run == 0 {
                return Err("a page holds an empty run".to_owned());
            }
        } else {
            let wanted = count.saturating_mul(8).min(left);
            // Writers may leave out the padding of the last group.
            let stored = count.saturating_mul(width as usize).min(rest.len());
            if stored * 8 < wanted * width as usize || wanted == 0 {
                return Err(CUT.to_owned());
            }
            let packed = take(&mut rest, stored)?;
            (0..wanted).try_for_each(|i| give(bits(packed, i * width as usize, width) as u32))?;
            left -= wanted;
        }
    }
    Ok(())
}

/// `n` numbers of `width` bits, most significant first: the old encoding of levels. Returns the bytes used.
pub fn bit_packed(bytes: &[u8], width: u32, n: usize, mut give: impl FnMut(u32) -> Res<()>) -> Res<usize> {
    let used = n.saturating_mul(width as usize).div_ceil(8);
    if used > bytes.len() {
        return Err(CUT.to_owned());
    }
    for i in 0..n {
        let bit = |k: usize| u32::from(bytes[k / 8] >> (7 - k % 8) & 1);
        let from = i * width as usize;
        give((from..from + width as usize).fold(0, |v, k| v << 1 | bit(k)))?;
    }
    Ok(used)
}

/// DELTA_BINARY_PACKED: at most `n` numbers. Returns them and what lies after them.
pub fn delta(bytes: &[u8], n: usize) -> Res<(Vec<i64>, &[u8])> {
    let mut rest = bytes;
    let block = varint(&mut rest)?;
    let minis = varint(&mut rest)?;
    let total = varint(&mut rest)?;
    let mut value = zigzag(&mut rest)?;
    if minis == 0 || block == 0 || block > 1 << 20 || !block.is_multiple_of(128) || !block.is_multiple_of(minis) {
        return Err("a page has blocks of an impossible size".to_owned());
    }
    if total > n as u64 {
        return Err(format!("a page holds {total} values where {n} were announced"));
    }
    let (total, per_mini) = (total as usize, (block / minis) as usize);
    let mut values = Vec::with_capacity(total);
    if total > 0 {
        values.push(value);
    }
    while values.len() < total {
        let least = zigzag(&mut rest)?;
        let widths = take(&mut rest, minis as usize)?;
        for &width in widths {
            if values.len() == total {
                break;
            }
            if width > 64 {
                return Err(format!("a page says its numbers have {width} bits"));
            }
            let wanted = per_mini.min(total - values.len());
            let whole = (per_mini * usize::from(width)).div_ceil(8);
            let there = whole.min(rest.len());
            let packed = take(&mut rest, there)?;
            if packed.len() * 8 < wanted * usize::from(width) {
                return Err(CUT.to_owned());
            }
            for i in 0..wanted {
                let step = bits(packed, i * usize::from(width), u32::from(width)) as i64;
                value = value.wrapping_add(least).wrapping_add(step);
                values.push(value);
            }
        }
    }
    Ok((values, rest))
}

/// DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes.
pub fn delta_lengths(bytes: &[u8], n: usize) -> Res<Vec<&[u8]>> {
    let (lengths, mut rest) = delta(bytes, n)?;
    lengths.into_iter().map(|len| take(&mut rest, usize::try_from(len).unwrap_or(usize::MAX))).collect()
}

/// DELTA_BYTE_ARRAY: each value shares its beginning with the one before it. `give` gets them one by one, so that only one is held.
pub fn delta_bytes(bytes: &[u8], n: usize, mut give: impl FnMut(&[u8]) -> Res<()>) -> Res<()> {
    let (prefixes, rest) = delta(bytes, n)?;
    let suffixes = delta_lengths(rest, n)?;
    if prefixes.len() != suffixes.len() {
        return Err("a page has more beginnings than ends of values".to_owned());
    }
    let mut value = Vec::new();
    for (prefix, suffix) in prefixes.into_iter().zip(suffixes) {
        let prefix = usize::try_from(prefix).ok().filter(|&p| p <= value.len()).ok_or("a value repeats more than the one before it has")?;
        value.truncate(prefix);
        value.extend_from_slice(suffix);
        give(&value)?;
    }
    Ok(())
}

/// BYTE_STREAM_SPLIT: all first bytes, then all second bytes...; back into one value after another.
pub fn unsplit(bytes: &[u8], physical: Physical, n: usize) -> Res<Vec<u8>> {
    let width = match physical {
        Physical::Int32 | Physical::Float => 4,
        Physical::Int64 | Physical::Double => 8,
        Physical::Fixed(n) => n,
        _ => return Err("a page is split in a way its type does not allow".to_owned()),
    };
    let len = n.checked_mul(width).filter(|&len| len <= bytes.len()).ok_or(CUT)?;
    Ok((0..len).map(|i| bytes[i % width * n + i / width]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8], width: u32, n: usize) -> Res<Vec<u32>> {
        let mut out = Vec::new();
        hybrid(bytes, width, n, |v| {
            out.push(v);
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn runs_and_packed_groups_as_in_the_specification() {
        // 0 to 7 in 3 bits, the example of Encodings.md; then a run of four 5s.
        assert_eq!(numbers(&[0x03, 0x88, 0xc6, 0xfa, 0x08, 0x05], 3, 12), Ok(vec![0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 5, 5]));
        assert_eq!(numbers(&[], 0, 3), Ok(vec![0, 0, 0]));
        assert!(numbers(&[0x03, 0x88], 3, 8).is_err());
        assert!(numbers(&[0x00, 0x05], 3, 1).is_err(), "a run of none would be read for ever");
        assert!(numbers(&[0x02], 40, 1).is_err());
        let mut old = Vec::new();
        let used = bit_packed(&[0x05, 0x39, 0x77], 3, 8, |v| {
            old.push(v);
            Ok(())
        });
        assert_eq!((used, old), (Ok(3), vec![0, 1, 2, 3, 4, 5, 6, 7]));
    }

    #[test]
    fn deltas_as_in_the_specification() {
        // Block of 128 in 4 miniblocks, 5 values 7 5 3 1 2: deltas -2 -2 -2 1, least -2, so 0 0 0 3 in 2 bits.
        let bytes = [0x80, 0x01, 4, 5, 14, 3, 2, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0];
        let (values, rest) = delta(&bytes, 5).expect("values");
        assert_eq!((values, rest.len()), (vec![7, 5, 3, 1, 2], 0));
        assert!(delta(&bytes, 4).is_err(), "more than were announced");
        // 2^40 values in a few bytes.
        assert!(delta(&[0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0], 100).is_err());
    }

    #[test]
    fn split_bytes_come_together() {
        assert_eq!(unsplit(&[1, 2, 3, 4, 5, 6, 7, 8], Physical::Int32, 2), Ok(vec![1, 3, 5, 7, 2, 4, 6, 8]));
        assert!(unsplit(&[1, 2, 3], Physical::Int32, 1).is_err());
    }
}
