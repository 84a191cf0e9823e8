//! Pages: header, compression, levels, values. One column of one row group at a time.

use super::{
    Budget, Res,
    encoding::{Raw, bit_packed, delta, delta_bytes, delta_lengths, hybrid, plain, take, unsplit},
    schema::{Chunk, Leaf, Physical},
    thrift::{Kind, Thrift},
    value::value_of,
};
use serde_json::Value;
use std::io::Read as _;

/// The entries of one column: a value or its absence, with the levels that say where it belongs.
#[derive(Debug, Default)]
pub struct Column {
    pub def: Vec<u8>,
    pub rep: Vec<u8>,
    /// Only where `def` is the leaf's greatest.
    pub values: Vec<Value>,
}

#[derive(Default)]
struct Header {
    kind: i32,
    uncompressed: usize,
    compressed: usize,
    n_values: usize,
    encoding: i32,
    def_encoding: i32,
    rep_encoding: i32,
    /// Of a page of the second version: bytes of its levels, and whether the rest is compressed.
    def_len: usize,
    rep_len: usize,
    is_compressed: bool,
}

const DATA: i32 = 0;
const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;

fn header(t: &mut Thrift<'_>) -> Res<Header> {
    let size = |t: &mut Thrift<'_>| usize::try_from(t.int32()?).map_err(|_| "a page has a negative size".to_owned());
    let mut h = Header { is_compressed: true, ..Header::default() };
    t.fields(|t, id, kind| {
        match (id, kind) {
            (1, Kind::Int) => h.kind = t.int32()?,
            (2, Kind::Int) => h.uncompressed = size(t)?,
            (3, Kind::Int) => h.compressed = size(t)?,
            (5 | 7 | 8, Kind::Struct) => {
                let outer = id;
                t.fields(|t, id, kind| {
                    match (outer, id, kind) {
                        (_, 1, Kind::Int) => h.n_values = size(t)?,
                        (5 | 7, 2, Kind::Int) | (8, 4, Kind::Int) => h.encoding = t.int32()?,
                        (5, 3, Kind::Int) => h.def_encoding = t.int32()?,
                        (5, 4, Kind::Int) => h.rep_encoding = t.int32()?,
                        (8, 5, Kind::Int) => h.def_len = size(t)?,
                        (8, 6, Kind::Int) => h.rep_len = size(t)?,
                        (8, 7, Kind::Bool(yes)) => h.is_compressed = yes,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(h)
}

/// Reads the entries of a column up to the one after which `rows` rows are whole. `bytes` are the chunk's.
pub fn read_column(bytes: &[u8], chunk: &Chunk, leaf: &Leaf, rows: u64, budget: &mut Budget) -> Res<Column> {
    let mut column = Column::default();
    let mut dictionary: Option<Vec<Value>> = None;
    let mut rest = bytes;
    let mut n_rows = 0u64;
    // The row that begins last is whole only when the next one begins.
    while (column.def.len() as u64) < chunk.n_values && n_rows <= rows {
        let mut t = Thrift::new(rest);
        let h = header(&mut t)?;
        rest = &rest[t.position()..];
        let body = take(&mut rest, h.compressed)?;
        match h.kind {
            DICTIONARY => {
                let page = unpack(body, chunk.codec, h.uncompressed, budget)?;
                let mut values = Vec::new();
                if h.n_values > page.len() {
                    return Err(format!("a dictionary of {} bytes is said to have {} values", page.len(), h.n_values));
                }
                plain(&page, leaf, h.n_values, |raw| keep(&mut values, raw, leaf, budget))?;
                dictionary = Some(values);
            }
            DATA | DATA_V2 => {
                if column.def.len() as u64 + h.n_values as u64 > chunk.n_values {
                    return Err("its pages hold more values than its description says".to_owned());
                }
                if h.n_values == 0 && h.compressed == 0 && rest.is_empty() {
                    break;
                }
                budget.charge(h.n_values as u64 * 2)?;
                let before = column.rep.len();
                data_page(body, &h, chunk.codec, leaf, dictionary.as_deref(), &mut column, budget)?;
                n_rows += column.rep[before..].iter().filter(|&&r| r == 0).count() as u64;
            }
            // Index pages and kinds yet to be invented.
            _ => {}
        }
    }
    if n_rows < rows {
        return Err(format!("its pages end after {n_rows} of {rows} rows"));
    }
    Ok(column)
}

fn data_page(
    body: &[u8],
    h: &Header,
    codec: i32,
    leaf: &Leaf,
    dictionary: Option<&[Value]>,
    column: &mut Column,
    budget: &mut Budget,
) -> Res<()> {
    let n = h.n_values;
    let unpacked;
    let mut rest: &[u8];
    if h.kind == DATA_V2 {
        let mut body = body;
        let rep = take(&mut body, h.rep_len)?;
        let def = take(&mut body, h.def_len)?;
        levels(rep, leaf.max_rep, n, &mut column.rep)?;
        levels(def, leaf.max_def, n, &mut column.def)?;
        let size = h.uncompressed.checked_sub(h.rep_len + h.def_len).ok_or("a page is smaller than its levels")?;
        let codec = if h.is_compressed && !body.is_empty() { codec } else { 0 };
        unpacked = unpack(body, codec, size, budget)?;
        rest = &unpacked;
    } else {
        unpacked = unpack(body, codec, h.uncompressed, budget)?;
        rest = &unpacked;
        old_levels(&mut rest, h.rep_encoding, leaf.max_rep, n, &mut column.rep)?;
        old_levels(&mut rest, h.def_encoding, leaf.max_def, n, &mut column.def)?;
    }
    let there = column.def[column.def.len() - n..].iter().filter(|&&d| d == leaf.max_def).count();
    values(rest, h.encoding, there, leaf, dictionary, &mut column.values, budget)
}

fn width_of(max: u8) -> u32 {
    u8::BITS - max.leading_zeros()
}

fn levels(bytes: &[u8], max: u8, n: usize, out: &mut Vec<u8>) -> Res<()> {
    if max == 0 {
        out.resize(out.len() + n, 0);
        return Ok(());
    }
    hybrid(bytes, width_of(max), n, |v| level(v, max, out))
}

fn level(v: u32, max: u8, out: &mut Vec<u8>) -> Res<()> {
    match u8::try_from(v) {
        Ok(v) if v <= max => {
            out.push(v);
            Ok(())
        }
        _ => Err(format!("a page has the level {v}, at most {max} is possible")),
    }
}

/// Levels of a page of the first version: behind their length, or bit-packed without one.
fn old_levels(rest: &mut &[u8], encoding: i32, max: u8, n: usize, out: &mut Vec<u8>) -> Res<()> {
    match encoding {
        _ if max == 0 => levels(&[], 0, n, out),
        3 => {
            let len = take(rest, 4)?.iter().rev().fold(0usize, |v, &b| v << 8 | usize::from(b));
            levels(take(rest, len)?, max, n, out)
        }
        4 => {
            let used = bit_packed(rest, width_of(max), n, |v| level(v, max, out))?;
            take(rest, used).map(|_| ())
        }
        other => Err(format!("levels in the unknown encoding {other}")),
    }
}

fn keep(values: &mut Vec<Value>, raw: Raw<'_>, leaf: &Leaf, budget: &mut Budget) -> Res<()> {
    let value = value_of(raw, leaf);
    budget.charge_value(&value)?;
    values.push(value);
    Ok(())
}

fn values(
    bytes: &[u8],
    encoding: i32,
    n: usize,
    leaf: &Leaf,
    dictionary: Option<&[Value]>,
    out: &mut Vec<Value>,
    budget: &mut Budget,
) -> Res<()> {
    if n == 0 {
        return Ok(());
    }
    let before = out.len();
    match encoding {
        0 => plain(bytes, leaf, n, |raw| keep(out, raw, leaf, budget))?,
        2 | 8 => {
            let dictionary = dictionary.ok_or("a page needs a dictionary that is not there")?;
            let (&width, indices) = bytes.split_first().ok_or("a page ends before its values do")?;
            hybrid(indices, u32::from(width), n, |i| {
                let value = dictionary.get(i as usize).ok_or_else(|| format!("entry {i} of a dictionary of {}", dictionary.len()))?;
                budget.charge_value(value)?;
                out.push(value.clone());
                Ok(())
            })?;
        }
        3 if leaf.physical == Physical::Bool => {
            let mut rest = bytes;
            let len = take(&mut rest, 4)?.iter().rev().fold(0usize, |v, &b| v << 8 | usize::from(b));
            hybrid(take(&mut rest, len)?, 1, n, |v| keep(out, Raw::Bool(v == 1), leaf, budget))?;
        }
        5 if matches!(leaf.physical, Physical::Int32 | Physical::Int64) => {
            budget.charge(8 * n as u64)?;
            let narrow = leaf.physical == Physical::Int32;
            for v in delta(bytes, n)?.0 {
                keep(out, Raw::Int(if narrow { i64::from(v as i32) } else { v }), leaf, budget)?;
            }
        }
        6 if leaf.physical == Physical::Bytes => {
            budget.charge(24 * n as u64)?;
            for v in delta_lengths(bytes, n)? {
                keep(out, Raw::Bytes(v), leaf, budget)?;
            }
        }
        7 if matches!(leaf.physical, Physical::Bytes | Physical::Fixed(_)) => {
            budget.charge(32 * n as u64)?;
            delta_bytes(bytes, n, |v| keep(out, Raw::Bytes(v), leaf, budget))?;
        }
        9 => {
            let together = unsplit(bytes, leaf.physical, n)?;
            plain(&together, leaf, n, |raw| keep(out, raw, leaf, budget))?;
        }
        other => return Err(format!("values in the encoding {other}, which is not known for their type")),
    }
    if out.len() - before == n { Ok(()) } else { Err(format!("a page holds {} values where {n} were announced", out.len() - before)) }
}

/// The page as it was before compression: `size` bytes, checked.
fn unpack(body: &[u8], codec: i32, size: usize, budget: &mut Budget) -> Res<Vec<u8>> {
    budget.page(size as u64)?;
    let bad = |name: &str| format!("a page that is said to be compressed by {name} is not");
    let mut out = Vec::new();
    match codec {
        0 => out.extend_from_slice(body),
        1 => {
            if snap::raw::decompress_len(body).map_err(|_| bad("Snappy"))? != size {
                return Err(bad("Snappy"));
            }
            out.resize(size, 0);
            snap::raw::Decoder::new().decompress(body, &mut out).map_err(|_| bad("Snappy"))?;
        }
        2 => {
            flate2::read::MultiGzDecoder::new(body).take(size as u64 + 1).read_to_end(&mut out).map_err(|_| bad("gzip"))?;
        }
        4 => {
            brotli::Decompressor::new(body, 4096).take(size as u64 + 1).read_to_end(&mut out).map_err(|_| bad("Brotli"))?;
        }
        5 => out = hadoop_lz4(body, size).or_else(|_| raw_lz4(body, size)).map_err(|()| bad("LZ4"))?,
        // In one piece: as a stream it would set aside the window that the data asks for.
        6 => out = zstd::bulk::decompress(body, size).map_err(|_| bad("Zstandard"))?,
        7 => out = raw_lz4(body, size).map_err(|()| bad("LZ4"))?,
        3 => return Err("is compressed by LZO, which cannot be read; save it with Snappy or Zstandard".to_owned()),
        other => return Err(format!("is compressed by the unknown codec {other}")),
    }
    if out.len() == size { Ok(out) } else { Err(format!("a page has {} bytes, its header says {size}", out.len())) }
}

fn raw_lz4(body: &[u8], size: usize) -> Result<Vec<u8>, ()> {
    let mut out = vec![0; size];
    let n = lz4_flex::block::decompress_into(body, &mut out).map_err(|_| ())?;
    if n == size { Ok(out) } else { Err(()) }
}

/// Hadoop's frames: sizes unpacked and packed (big-endian), then the block; again and again.
fn hadoop_lz4(body: &[u8], size: usize) -> Result<Vec<u8>, ()> {
    let mut out = vec![0; size];
    let (mut rest, mut at) = (body, 0usize);
    while !rest.is_empty() {
        let mut number = || Ok(take(&mut rest, 4).map_err(|_| ())?.iter().fold(0usize, |v, &b| v << 8 | usize::from(b)));
        let (unpacked, packed) = (number()?, number()?);
        let block = take(&mut rest, packed).map_err(|_| ())?;
        let room = at.checked_add(unpacked).and_then(|end| out.get_mut(at..end)).ok_or(())?;
        if lz4_flex::block::decompress_into(block, room).map_err(|_| ())? != unpacked {
            return Err(());
        }
        at += unpacked;
    }
    if at == size { Ok(out) } else { Err(()) }
}
