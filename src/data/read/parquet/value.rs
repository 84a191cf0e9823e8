//! What a stored value means, and how the entries of columns become rows again.

use super::{
    Res,
    encoding::Raw,
    page::Column,
    schema::{Body, Leaf, Meaning, Node, Physical, Repetition, Role},
};
use serde_json::{Map, Value};

/// A stored value as JSON has it. Bytes that are no text (pictures, sounds) are null: no prompt can be made of them.
pub fn value_of(raw: Raw<'_>, leaf: &Leaf) -> Value {
    match raw {
        Raw::Bool(b) => b.into(),
        Raw::Int(i) => match leaf.meaning {
            Meaning::Unsigned if leaf.physical == Physical::Int32 => u64::from(i as u32).into(),
            Meaning::Unsigned => (i as u64).into(),
            Meaning::Decimal(scale) => decimal(i128::from(i), scale).into(),
            Meaning::Date => date(i).into(),
            Meaning::Time(per_second) => time(i, per_second).into(),
            Meaning::Timestamp(per_second) => timestamp(i, per_second).into(),
            _ => i.into(),
        },
        // Day 2,440,588 of the Julian count is 1970-01-01.
        Raw::Int96(day, nanoseconds) => {
            let seconds = (i64::from(day) - 2_440_588) * 86_400 + nanoseconds.div_euclid(1_000_000_000);
            timestamp(seconds, 1).into()
        }
        Raw::Float(f) => number(f64::from(f), f.to_string()),
        Raw::Double(f) => number(f, f.to_string()),
        Raw::Bytes(bytes) => match leaf.meaning {
            Meaning::Decimal(scale) if bytes.len() <= 16 => {
                let first = if bytes.first().is_some_and(|b| b & 0x80 != 0) { -1i128 } else { 0 };
                decimal(bytes.iter().fold(first, |v, &b| v << 8 | i128::from(b)), scale).into()
            }
            Meaning::Half if bytes.len() == 2 => {
                let f = half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
                number(f64::from(f), f.to_string())
            }
            Meaning::Json => std::str::from_utf8(bytes).map_or(Value::Null, |t| serde_json::from_str(t).unwrap_or_else(|_| t.into())),
            _ => std::str::from_utf8(bytes).map_or(Value::Null, Value::from),
        },
    }
}

/// The shortest decimal that reads back as the same number: 0.1f32 is 0.1, not 0.10000000149.
fn number(wide: f64, shortest: String) -> Value {
    shortest.parse::<f64>().ok().filter(|f| f.is_finite()).or(wide.is_finite().then_some(wide)).map_or(Value::Null, Value::from)
}

fn decimal(unscaled: i128, scale: u32) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - scale as usize);
    let sign = if unscaled < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Days since 1970 as `YYYY-MM-DD` (proleptic Gregorian; civil-from-days of H. Hinnant).
fn date(days: i64) -> String {
    // Far beyond any calendar the number itself says more.
    if days.abs() > 100_000_000 {
        return days.to_string();
    }
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
}

fn time(units: i64, per_second: u32) -> String {
    let s = units.div_euclid(i64::from(per_second));
    format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

fn timestamp(units: i64, per_second: u32) -> String {
    let seconds = units.div_euclid(i64::from(per_second));
    format!("{}T{}Z", date(seconds.div_euclid(86_400)), time(seconds.rem_euclid(86_400), 1))
}

/// The columns of a row group with a cursor in each.
pub struct Cursors {
    columns: Vec<Column>,
    /// Next entry and next value of each column.
    at: Vec<(usize, usize)>,
    max_def: Vec<u8>,
}

const APART: &str = "its columns do not fit together";

impl Cursors {
    pub fn new(columns: Vec<Column>, leaves: &[Leaf]) -> Self {
        let at = vec![(0, 0); columns.len()];
        Self { columns, at, max_def: leaves.iter().map(|l| l.max_def).collect() }
    }
    /// The next row.
    pub fn row(&mut self, roots: &[Node]) -> Res<Map<String, Value>> {
        roots.iter().map(|node| Ok((node.name.clone(), self.node(node)?))).collect()
    }
    /// Levels of the next entry of a column.
    fn peek(&self, leaf: usize) -> Option<(u8, u8)> {
        let column = &self.columns[leaf];
        let i = self.at[leaf].0;
        Some((*column.def.get(i)?, *column.rep.get(i)?))
    }
    fn next(&mut self, leaf: usize) -> Res<Value> {
        let (def, _) = self.peek(leaf).ok_or(APART)?;
        let (entry, value) = &mut self.at[leaf];
        *entry += 1;
        if def < self.max_def[leaf] {
            return Ok(Value::Null);
        }
        let found = self.columns[leaf].values.get_mut(*value).map(Value::take).ok_or(APART)?;
        *value += 1;
        Ok(found)
    }
    /// One entry from every column below a node that is not there.
    fn absent(&mut self, node: &Node) -> Res<()> {
        match &node.body {
            Body::Leaf(leaf) => self.next(*leaf).map(|_| ()),
            Body::Group(children) => children.iter().try_for_each(|c| self.absent(c)),
        }
    }
    fn node(&mut self, node: &Node) -> Res<Value> {
        let leaf = node.first_leaf();
        let there = |s: &Self| Ok::<_, String>(s.peek(leaf).ok_or(APART)?.0 >= node.def);
        match node.repetition {
            Repetition::Required => self.element(node),
            Repetition::Optional if there(self)? => self.element(node),
            Repetition::Optional => self.absent(node).map(|()| Value::Null),
            Repetition::Repeated if there(self)? => {
                let mut list = vec![self.element(node)?];
                // The first column below decides how long the list is; the others must agree or run apart.
                while self.peek(leaf).is_some_and(|(_, rep)| rep == node.rep) {
                    list.push(self.element(node)?);
                }
                Ok(Value::Array(list))
            }
            Repetition::Repeated => self.absent(node).map(|()| Value::Array(Vec::new())),
        }
    }
    /// The node's value, known to be there; of a repeated node one of its values.
    fn element(&mut self, node: &Node) -> Res<Value> {
        let children = match &node.body {
            Body::Leaf(leaf) => return self.next(*leaf),
            Body::Group(children) => children,
        };
        match (node.role, children.as_slice()) {
            (Role::List, [inner]) if inner.repetition == Repetition::Repeated => {
                let list = self.node(inner)?;
                Ok(if wraps_its_element(node, inner) { unwrapped(list) } else { list })
            }
            (Role::Map, [inner]) if inner.repetition == Repetition::Repeated => self.node(inner).map(as_object),
            _ => {
                let fields = children.iter().map(|c| Ok((c.name.clone(), self.node(c)?))).collect::<Res<Map<_, _>>>()?;
                Ok(Value::Object(fields))
            }
        }
    }
}

/// Whether the repeated group inside a list only holds the element (`list.element`), or is it. Rules of LogicalTypes.md, "Lists".
fn wraps_its_element(list: &Node, inner: &Node) -> bool {
    match &inner.body {
        Body::Leaf(_) => false,
        Body::Group(fields) => fields.len() == 1 && inner.name != "array" && inner.name != format!("{}_tuple", list.name),
    }
}

fn unwrapped(list: Value) -> Value {
    let Value::Array(list) = list else { return list };
    let only = |v: Value| match v {
        Value::Object(o) => o.into_iter().next().map_or(Value::Null, |(_, v)| v),
        other => other,
    };
    Value::Array(list.into_iter().map(only).collect())
}

/// Keys and values as one object; keys that are no text are written as JSON.
fn as_object(pairs: Value) -> Value {
    let Value::Array(pairs) = pairs else { return pairs };
    let pair = |v: Value| match v {
        Value::Object(o) => {
            let mut fields = o.into_iter().map(|(_, v)| v);
            let key = fields.next().map_or_else(String::new, |k| k.as_str().map_or_else(|| k.to_string(), str::to_owned));
            (key, fields.next().unwrap_or(Value::Null))
        }
        other => (other.to_string(), Value::Null),
    };
    Value::Object(pairs.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_decimals_read_as_people_write_them() {
        assert_eq!((date(0), date(11_016), date(-1)), ("1970-01-01".into(), "2000-02-29".into(), "1969-12-31".into()));
        assert_eq!(timestamp(951_782_400_123, 1_000), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(-1, 1), "1969-12-31T23:59:59Z");
        assert_eq!((decimal(-12345, 2), decimal(5, 3), decimal(7, 0)), ("-123.45".into(), "0.005".into(), "7".into()));
        assert_eq!(time(3_661_000_000, 1_000_000), "01:01:01");
        assert_eq!(date(i64::MAX), i64::MAX.to_string());
        assert_eq!(number(f64::from(0.1f32), 0.1f32.to_string()), Value::from(0.1));
        assert_eq!(number(f64::NAN, "NaN".into()), Value::Null);
    }
}
