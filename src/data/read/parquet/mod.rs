//! Parquet: columns back into rows. Written for files from anywhere: every size that a file states is checked before memory is set aside for
//! it, and all that is unpacked is paid from a [`Budget`] that follows from the size of the file.

mod encoding;
mod page;
mod schema;
mod thrift;
mod value;

use super::Row;
use crate::base::{Ctx, Error, Result};
use std::{
    borrow::Cow,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// A message without the file's name.
type Res<T> = std::result::Result<T, String>;

const MAGIC: &[u8; 4] = b"PAR1";

/// Where the bytes come from.
pub trait Source {
    fn size(&self) -> u64;
    fn read(&self, at: u64, len: u64) -> std::io::Result<Cow<'_, [u8]>>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read(&self, at: u64, len: u64) -> std::io::Result<Cow<'_, [u8]>> {
        let found = at.checked_add(len).and_then(|end| self.get(at as usize..end as usize));
        found.map(Cow::Borrowed).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// A file with its length at the time it was opened.
pub struct Opened(pub File, pub u64);

impl Source for Opened {
    fn size(&self) -> u64 {
        self.1
    }
    fn read(&self, at: u64, len: u64) -> std::io::Result<Cow<'_, [u8]>> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < len { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes.into()) }
    }
}

/// What may be unpacked in all. Text packs well, by 20 at most in practice; a file that unpacks to more than 64 times its size was made to.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    page: u64,
}

const FLOOR: u64 = 16 << 20;
const TIMES: u64 = 64;

impl Budget {
    fn for_file(bytes: u64) -> Self {
        let all = FLOOR.saturating_add(bytes.saturating_mul(TIMES));
        Self { left: all, page: all }
    }
    fn charge(&mut self, bytes: u64) -> Res<()> {
        self.left = self.left.checked_sub(bytes).ok_or("unpacks to many times its size, as no table of texts does; it is not read")?;
        Ok(())
    }
    /// A value in memory: itself, its place in a row, its text.
    fn charge_value(&mut self, value: &serde_json::Value) -> Res<()> {
        const EACH: u64 = size_of::<serde_json::Value>() as u64;
        self.charge(EACH + value.as_str().map_or(0, str::len) as u64)
    }
    /// Whether a page of this size may be held for as long as it is read.
    fn page(&self, bytes: u64) -> Res<()> {
        if bytes > self.page { Err(format!("a page is said to have {bytes} bytes, the file has not a {TIMES}th of that")) } else { Ok(()) }
    }
}

/// The first `at_most` rows and whether they are all. `line` of a row is its number from 1.
///
/// # Errors
/// When the file is cut, damaged or uses what we do not know, or the work is cancelled.
pub fn read(path: &Path, source: &impl Source, at_most: Option<u64>, ctx: &Ctx<'_>) -> Result<(Vec<Row>, bool)> {
    let bad = |message: String| Error::format(path, format!("Parquet file: {message}"));
    let bytes = |at: u64, len: u64| source.read(at, len).map_err(|e| Error::io(path, e));
    let file_len = source.size();
    if file_len < 12 {
        return Err(bad(format!("has {file_len} bytes, a whole one has at least 12; was the download cut short?")));
    }
    let tail = bytes(file_len - 8, 8)?;
    match &tail[4..] {
        magic if magic == MAGIC => {}
        b"PARE" => return Err(bad("is encrypted".to_owned())),
        _ => return Err(bad("does not end as one; was the download cut short?".to_owned())),
    }
    let footer_len = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer_len > file_len - 12 {
        return Err(bad(format!("says that {footer_len} of its {file_len} bytes are its description")));
    }
    let footer = schema::read_footer(&bytes(file_len - 8 - footer_len, footer_len)?, file_len).map_err(bad)?;
    let mut budget = Budget::for_file(file_len);
    let total: u64 = footer.groups.iter().fold(0, |n, g| n.saturating_add(g.n_rows));
    let mut left = at_most.unwrap_or(u64::MAX);
    let mut rows = Vec::new();
    for group in footer.groups.iter().filter(|g| g.n_rows > 0) {
        if left == 0 {
            break;
        }
        let wanted = group.n_rows.min(left);
        left -= wanted;
        let mut columns = Vec::with_capacity(group.chunks.len());
        for (chunk, leaf) in group.chunks.iter().zip(&footer.leaves) {
            ctx.check()?;
            let packed = bytes(chunk.start, chunk.len)?;
            let named = |m: String| bad(format!("column `{}`: {m}", leaf.name));
            columns.push(page::read_column(&packed, chunk, leaf, wanted, &mut budget).map_err(named)?);
        }
        let mut cursors = value::Cursors::new(columns, &footer.leaves);
        for i in 0..wanted {
            if i % 1024 == 0 {
                ctx.check()?;
            }
            let fields = cursors.row(&footer.roots).map_err(bad)?;
            // What a row costs beside its values: names of columns, nulls, lists.
            budget.charge(fields.iter().map(|(k, v)| 64 + k.len() as u64 + 80 * nested(v)).sum::<u64>()).map_err(bad)?;
            rows.push(Row { line: rows.len() + 1, fields });
        }
    }
    let complete = rows.len() as u64 == total;
    Ok((rows, complete))
}

/// Values inside a value.
fn nested(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(list) => list.iter().map(|v| 1 + nested(v)).sum(),
        serde_json::Value::Object(fields) => fields.values().map(|v| 2 + nested(v)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
