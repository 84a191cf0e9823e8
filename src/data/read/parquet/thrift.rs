//! The compact protocol of Apache Thrift, in which Parquet writes its footer and page headers. Reads from a slice; every length is checked
//! against what is left of it before anything is allocated.
//! Source: github.com/apache/thrift, doc/specs/thrift-compact-protocol.md.

use super::Res;

/// Nesting that is skipped; no field we skip is nested deeper than a handful.
const DEPTH: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool(bool),
    Byte,
    /// i16, i32, i64: all the same on the wire.
    Int,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

fn kind(code: u8) -> Res<Kind> {
    Ok(match code {
        1 => Kind::Bool(true),
        2 => Kind::Bool(false),
        3 => Kind::Byte,
        4..=6 => Kind::Int,
        7 => Kind::Double,
        8 => Kind::Binary,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        13 => Kind::Uuid,
        other => return Err(format!("its description holds a value of unknown type {other}")),
    })
}

pub struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Thrift<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
    fn take(&mut self, n: usize) -> Res<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len()).ok_or("its description is cut off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
    fn byte(&mut self) -> Res<u8> {
        Ok(self.take(1)?[0])
    }
    fn varint(&mut self) -> Res<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            value |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("its description holds a number that never ends".to_owned())
    }
    pub fn int(&mut self) -> Res<i64> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }
    pub fn int32(&mut self) -> Res<i32> {
        i32::try_from(self.int()?).map_err(|_| "its description holds a number that is too large".to_owned())
    }
    /// A count or an offset.
    pub fn size(&mut self) -> Res<u64> {
        u64::try_from(self.int()?).map_err(|_| "its description holds a negative size".to_owned())
    }
    pub fn binary(&mut self) -> Res<&'a [u8]> {
        let n = self.varint()?;
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }
    pub fn text(&mut self) -> Res<&'a str> {
        std::str::from_utf8(self.binary()?).map_err(|_| "a name in its description is not UTF-8".to_owned())
    }
    /// Reads a struct: `field` gets each field's id and kind and says whether it has read the value; values it leaves are skipped.
    pub fn fields(&mut self, mut field: impl FnMut(&mut Self, i64, Kind) -> Res<bool>) -> Res<()> {
        let mut id = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let kind = kind(head & 0x0f)?;
            id = if head >> 4 == 0 { self.int()? } else { id + i64::from(head >> 4) };
            if !field(self, id, kind)? {
                self.skip(kind, 0)?;
            }
        }
    }
    /// The length of a list, whose elements (of this kind) follow. Each takes at least a byte, so no length goes beyond what is left.
    pub fn list(&mut self) -> Res<(usize, Kind)> {
        let head = self.byte()?;
        let n = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        let n = usize::try_from(n).ok().filter(|&n| n <= self.bytes.len() - self.at);
        let n = n.ok_or("its description holds a list that is longer than the file")?;
        // Some writers give an empty list no element type.
        let kind = if n == 0 { Kind::Byte } else { kind(head & 0x0f)? };
        Ok((n, kind))
    }
    /// A list of structs.
    pub fn structs<T>(&mut self, mut read: impl FnMut(&mut Self) -> Res<T>) -> Res<Vec<T>> {
        let (n, kind) = self.list()?;
        if n > 0 && kind != Kind::Struct {
            return Err("its description holds a list of another kind than expected".to_owned());
        }
        (0..n).map(|_| read(self)).collect()
    }
    pub fn skip(&mut self, kind: Kind, depth: usize) -> Res<()> {
        if depth > DEPTH {
            return Err("its description is nested too deep".to_owned());
        }
        match kind {
            Kind::Bool(_) => {}
            Kind::Byte => {
                self.take(1)?;
            }
            Kind::Int => {
                self.varint()?;
            }
            Kind::Double => {
                self.take(8)?;
            }
            Kind::Uuid => {
                self.take(16)?;
            }
            Kind::Binary => {
                self.binary()?;
            }
            Kind::List => {
                let (n, kind) = self.list()?;
                for _ in 0..n {
                    self.skip_element(kind, depth)?;
                }
            }
            Kind::Map => {
                let n = self.varint()?;
                if n > 0 {
                    let kinds = self.byte()?;
                    let (key, value) = (self::kind(kinds >> 4)?, self::kind(kinds & 0x0f)?);
                    for _ in 0..n {
                        self.skip_element(key, depth)?;
                        self.skip_element(value, depth)?;
                    }
                }
            }
            Kind::Struct => loop {
                let head = self.byte()?;
                if head == 0 {
                    break;
                }
                if head >> 4 == 0 {
                    self.varint()?;
                }
                self.skip(self::kind(head & 0x0f)?, depth + 1)?;
            },
        }
        Ok(())
    }
    /// In lists and maps a truth value takes a byte; in a field it is part of the kind.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Res<()> {
        match kind {
            Kind::Bool(_) => self.take(1).map(|_| ()),
            other => self.skip(other, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lists_and_what_is_not_known_are_read_in_turn() {
        // 1: i32 -2 | 3: binary "ab" | 4: list of two i32 (7, 8) | 20: struct { 1: true } | 21: i64 5
        let bytes = [0x15, 3, 0x28, 2, b'a', b'b', 0x19, 0x25, 14, 16, 0x0c, 40, 0x11, 0, 0x16, 10, 0];
        let mut seen = Vec::new();
        let mut t = Thrift::new(&bytes);
        t.fields(|t, id, kind| {
            seen.push((id, kind));
            match id {
                1 => assert_eq!(t.int32(), Ok(-2)),
                3 => assert_eq!(t.text(), Ok("ab")),
                21 => assert_eq!(t.size(), Ok(5)),
                _ => return Ok(false),
            }
            Ok(true)
        })
        .expect("struct");
        assert_eq!(t.position(), bytes.len());
        assert_eq!(seen, [(1, Kind::Int), (3, Kind::Binary), (4, Kind::List), (20, Kind::Struct), (21, Kind::Int)]);
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_allocated() {
        // A list of 2^32 - 1 structs, a text of as many bytes.
        assert!(Thrift::new(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f]).list().is_err());
        assert!(Thrift::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, b'a']).binary().is_err());
        assert!(Thrift::new(&[0xff; 12]).int().is_err());
        // A map without end, and structs in structs.
        assert!(Thrift::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x55]).skip(Kind::Map, 0).is_err());
        assert!(Thrift::new(&[0x1c; 10_000]).fields(|_, _, _| Ok(false)).is_err());
    }
}
