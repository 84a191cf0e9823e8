//! A metadata value, where it lies in the file.

use super::header::fixed_width;
use std::{borrow::Cow, fmt};

/// Arrays were walked over once when the header was read: their elements are there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    /// UTF-8, or what a careless writer took for it.
    Text(&'a [u8]),
    Array {
        kind: u32,
        n: usize,
        bytes: &'a [u8],
        wide: bool,
    },
}

impl<'a> Value<'a> {
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(v) => Some(*v),
            Self::Signed(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }
    /// A finite number.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Unsigned(v) => *v as f64,
            Self::Signed(v) => *v as f64,
            Self::F32(v) => decimal(*v),
            Self::F64(v) => *v,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
    /// Without the zeros that some writers put at the end.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(bytes) => {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                Some(String::from_utf8_lossy(&bytes[..end]))
            }
            _ => None,
        }
    }
    /// The elements of an array, one after the other.
    pub fn elements(&self) -> Option<Elements<'a>> {
        match *self {
            Self::Array { kind, n, bytes, wide } => Some(Elements { kind, left: n, bytes, wide }),
            _ => None,
        }
    }
}

/// The shortest decimal that means this number: what its writer had, 1e-5 and not 9.99999975e-6.
pub(super) fn decimal(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

pub(super) struct Elements<'a> {
    kind: u32,
    left: usize,
    bytes: &'a [u8],
    wide: bool,
}

impl<'a> Elements<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(taken)
    }
    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(if self.wide { 8 } else { 4 })?;
        let length = bytes.iter().rev().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
        usize::try_from(length).ok()
    }
    fn read(&mut self) -> Option<Value<'a>> {
        let fixed = match fixed_width(self.kind) {
            Some(width) => self.take(width)?,
            None if self.kind == 8 => {
                let n = self.length()?;
                return Some(Value::Text(self.take(n)?));
            }
            // Nothing we read is an array of arrays.
            None => return None,
        };
        let mut raw = [0; 8];
        raw[..fixed.len()].copy_from_slice(fixed);
        let bits = u64::from_le_bytes(raw);
        Some(match self.kind {
            0 | 2 | 4 | 10 => Value::Unsigned(bits),
            1 => Value::Signed((bits as i8).into()),
            3 => Value::Signed((bits as i16).into()),
            5 => Value::Signed((bits as i32).into()),
            11 => Value::Signed(bits as i64),
            6 => Value::F32(f32::from_bits(bits as u32)),
            7 => Value::Bool(bits != 0),
            12 => Value::F64(f64::from_bits(bits)),
            _ => return None,
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.read()
    }
}

/// For error messages.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(v) => write!(f, "{v}"),
            Self::Signed(v) => write!(f, "{v}"),
            Self::F32(v) => write!(f, "{v}"),
            Self::F64(v) => write!(f, "{v}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Text(_) => {
                let text = self.text().unwrap_or_default();
                let shown: String = text.chars().take(60).collect();
                write!(f, "`{shown}{}`", if shown.len() < text.len() { "…" } else { "" })
            }
            Self::Array { n, .. } => write!(f, "a list of {n}"),
        }
    }
}
