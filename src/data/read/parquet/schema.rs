//! The footer: schema and row groups. Everything that a later step relies on is checked here.
//! Source: github.com/apache/parquet-format, src/main/thrift/parquet.thrift.

use super::{
    Res,
    thrift::{Kind, Thrift},
};

/// Columns below which a file is read; no table of texts comes near.
const MAX_COLUMNS: usize = 2_000;
const MAX_DEPTH: usize = 24;
const MAX_NAME_BYTES: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Physical {
    Bool,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    /// Of so many bytes each.
    Fixed(usize),
}

/// What a physical value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Text,
    Json,
    Unsigned,
    /// Digits after the point.
    Decimal(u32),
    /// Days since 1970.
    Date,
    /// Units a second.
    Time(u32),
    Timestamp(u32),
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    Required,
    Optional,
    Repeated,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// Index into [`Footer::leaves`].
    Leaf(usize),
    Group(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Struct,
    List,
    Map,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub repetition: Repetition,
    /// Definition level at which this node is there; repetition level of a repeated one.
    pub def: u8,
    pub rep: u8,
    pub role: Role,
    pub body: Body,
}

impl Node {
    pub fn first_leaf(&self) -> usize {
        match &self.body {
            Body::Leaf(leaf) => *leaf,
            Body::Group(children) => children.first().map_or(0, Node::first_leaf),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Leaf {
    pub name: String,
    pub physical: Physical,
    pub meaning: Meaning,
    pub max_def: u8,
    pub max_rep: u8,
}

#[derive(Clone, Debug)]
pub struct Chunk {
    pub codec: i32,
    /// Where its pages lie in the file.
    pub start: u64,
    pub len: u64,
    /// Values and nulls together.
    pub n_values: u64,
}

#[derive(Clone, Debug)]
pub struct RowGroup {
    pub n_rows: u64,
    /// One for each leaf.
    pub chunks: Vec<Chunk>,
}

#[derive(Clone, Debug)]
pub struct Footer {
    pub roots: Vec<Node>,
    pub leaves: Vec<Leaf>,
    pub groups: Vec<RowGroup>,
}

/// A schema element as it is written: the tree in depth-first order.
struct Element<'a> {
    physical: Option<i32>,
    type_length: i32,
    repetition: i32,
    name: &'a str,
    children: usize,
    converted: Option<i32>,
    scale: i32,
    logical: Option<Logical>,
}

#[derive(Clone, Copy)]
struct Logical {
    id: i64,
    scale: i32,
    per_second: u32,
    signed: bool,
}

/// Reads the footer of a file of `file_len` bytes.
pub fn read_footer(bytes: &[u8], file_len: u64) -> Res<Footer> {
    let (mut elements, mut groups, mut encrypted) = (Vec::new(), Vec::new(), false);
    Thrift::new(bytes).fields(|t, id, kind| {
        match (id, kind) {
            (2, Kind::List) => elements = t.structs(element)?,
            (4, Kind::List) => groups = t.structs(row_group)?,
            (8, _) => {
                encrypted = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if encrypted {
        return Err("is encrypted".to_owned());
    }
    let mut elements = elements.into_iter();
    let root = elements.next().ok_or("has no schema")?;
    let mut leaves = Vec::new();
    let roots = children(root.children, &mut elements, &mut leaves, (0, 0), 0)?;
    if leaves.is_empty() {
        return Err("has no columns".to_owned());
    }
    let groups = groups.into_iter().map(|g| check_group(g, &leaves, file_len)).collect::<Res<_>>()?;
    Ok(Footer { roots, leaves, groups })
}

fn element<'a>(t: &mut Thrift<'a>) -> Res<Element<'a>> {
    let mut e = Element { physical: None, type_length: 0, repetition: 0, name: "", children: 0, converted: None, scale: 0, logical: None };
    t.fields(|t, id, kind| {
        match (id, kind) {
            (1, Kind::Int) => e.physical = Some(t.int32()?),
            (2, Kind::Int) => e.type_length = t.int32()?,
            (3, Kind::Int) => e.repetition = t.int32()?,
            (4, Kind::Binary) => e.name = t.text()?,
            (5, Kind::Int) => e.children = usize::try_from(t.size()?).unwrap_or(usize::MAX),
            (6, Kind::Int) => e.converted = Some(t.int32()?),
            (7, Kind::Int) => e.scale = t.int32()?,
            (10, Kind::Struct) => e.logical = logical(t)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(e)
}

/// The union `LogicalType`: a struct with one field set.
fn logical(t: &mut Thrift<'_>) -> Res<Option<Logical>> {
    let mut found = None;
    t.fields(|t, id, kind| {
        if kind != Kind::Struct {
            return Ok(false);
        }
        let mut l = Logical { id, scale: 0, per_second: 1_000, signed: true };
        t.fields(|t, field, kind| {
            match (id, field, kind) {
                (5, 1, Kind::Int) => l.scale = t.int32()?,
                // TIME and TIMESTAMP: the union TimeUnit.
                (7 | 8, 2, Kind::Struct) => t.fields(|_, unit, _| {
                    l.per_second = [1_000, 1_000_000, 1_000_000_000][usize::try_from(unit - 1).unwrap_or(0).min(2)];
                    Ok(false)
                })?,
                (10, 2, Kind::Bool(signed)) => l.signed = signed,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        found = Some(l);
        Ok(true)
    })?;
    Ok(found)
}

fn row_group(t: &mut Thrift<'_>) -> Res<(u64, Vec<Chunk>)> {
    let (mut n_rows, mut chunks) = (0, Vec::new());
    t.fields(|t, id, kind| {
        match (id, kind) {
            (1, Kind::List) => chunks = t.structs(chunk)?,
            (3, Kind::Int) => n_rows = t.size()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((n_rows, chunks))
}

fn chunk(t: &mut Thrift<'_>) -> Res<Chunk> {
    let mut c = Chunk { codec: 0, start: 0, len: 0, n_values: 0 };
    let (mut elsewhere, mut encrypted, mut data, mut dictionary) = (false, false, 0, None);
    t.fields(|t, id, kind| {
        match (id, kind) {
            (1, Kind::Binary) => elsewhere = !t.binary()?.is_empty(),
            (3, Kind::Struct) => t.fields(|t, id, kind| {
                match (id, kind) {
                    (4, Kind::Int) => c.codec = t.int32()?,
                    (5, Kind::Int) => c.n_values = t.size()?,
                    (7, Kind::Int) => c.len = t.size()?,
                    (9, Kind::Int) => data = t.size()?,
                    (11, Kind::Int) => dictionary = Some(t.size()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            (8, _) => {
                encrypted = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if elsewhere {
        return Err("keeps its columns in another file".to_owned());
    }
    if encrypted {
        return Err("is encrypted".to_owned());
    }
    // Some writers name a dictionary at 0, where the magic number stands, when there is none.
    c.start = dictionary.filter(|&d| d > 0 && d < data).unwrap_or(data);
    Ok(c)
}

fn check_group((n_rows, chunks): (u64, Vec<Chunk>), leaves: &[Leaf], file_len: u64) -> Res<RowGroup> {
    if chunks.len() != leaves.len() {
        return Err(format!("a row group has {} columns, the schema {}", chunks.len(), leaves.len()));
    }
    for (chunk, leaf) in chunks.iter().zip(leaves) {
        if chunk.start.checked_add(chunk.len).is_none_or(|end| end > file_len) {
            return Err(format!("column `{}` lies beyond the end of the file; was the download cut short?", leaf.name));
        }
        // Each row gives every column at least one entry.
        if n_rows > chunk.n_values || (leaf.max_rep == 0 && n_rows != chunk.n_values) {
            return Err(format!("column `{}` has {} values for {n_rows} rows", leaf.name, chunk.n_values));
        }
    }
    Ok(RowGroup { n_rows, chunks })
}

fn children<'a>(
    n: usize,
    elements: &mut impl Iterator<Item = Element<'a>>,
    leaves: &mut Vec<Leaf>,
    (def, rep): (u8, u8),
    depth: usize,
) -> Res<Vec<Node>> {
    let mut nodes = Vec::new();
    for _ in 0..n {
        nodes.push(node(elements, leaves, (def, rep), depth)?);
    }
    Ok(nodes)
}

fn node<'a>(elements: &mut impl Iterator<Item = Element<'a>>, leaves: &mut Vec<Leaf>, (def, rep): (u8, u8), depth: usize) -> Res<Node> {
    let e = elements.next().ok_or("its schema ends before its last column")?;
    if depth > MAX_DEPTH {
        return Err(format!("its schema is nested deeper than {MAX_DEPTH} levels"));
    }
    if e.name.len() > MAX_NAME_BYTES {
        return Err(format!("the name of a column has {} bytes, at most {MAX_NAME_BYTES} are read", e.name.len()));
    }
    let repetition = match e.repetition {
        0 => Repetition::Required,
        1 => Repetition::Optional,
        2 => Repetition::Repeated,
        other => return Err(format!("column `{}` has the unknown repetition {other}", e.name)),
    };
    let def = def + u8::from(repetition != Repetition::Required);
    let rep = rep + u8::from(repetition == Repetition::Repeated);
    let name = e.name.to_owned();
    if e.children == 0 {
        if leaves.len() >= MAX_COLUMNS {
            return Err(format!("has more than {MAX_COLUMNS} columns"));
        }
        let physical = physical(&e)?;
        leaves.push(Leaf { name: name.clone(), physical, meaning: meaning(&e, physical), max_def: def, max_rep: rep });
        return Ok(Node { name, repetition, def, rep, role: Role::Struct, body: Body::Leaf(leaves.len() - 1) });
    }
    let role = match (e.logical.map(|l| l.id), e.converted) {
        (Some(3), _) | (None, Some(3)) => Role::List,
        (Some(2), _) | (None, Some(1 | 2)) => Role::Map,
        _ => Role::Struct,
    };
    let body = Body::Group(children(e.children, elements, leaves, (def, rep), depth + 1)?);
    Ok(Node { name, repetition, def, rep, role, body })
}

fn physical(e: &Element<'_>) -> Res<Physical> {
    Ok(match e.physical {
        Some(0) => Physical::Bool,
        Some(1) => Physical::Int32,
        Some(2) => Physical::Int64,
        Some(3) => Physical::Int96,
        Some(4) => Physical::Float,
        Some(5) => Physical::Double,
        Some(6) => Physical::Bytes,
        Some(7) => match usize::try_from(e.type_length) {
            Ok(n @ 1..=65_536) => Physical::Fixed(n),
            _ => return Err(format!("column `{}` has values of {} bytes", e.name, e.type_length)),
        },
        other => return Err(format!("column `{}` is of unknown type {other:?}", e.name)),
    })
}

fn meaning(e: &Element<'_>, physical: Physical) -> Meaning {
    let scale = |scale: i32| Meaning::Decimal(u32::try_from(scale).unwrap_or(0).min(38));
    match (e.logical, e.converted) {
        (Some(l), _) => match l.id {
            1 | 4 => Meaning::Text,
            5 => scale(l.scale),
            6 => Meaning::Date,
            7 => Meaning::Time(l.per_second),
            8 => Meaning::Timestamp(l.per_second),
            10 if !l.signed => Meaning::Unsigned,
            12 => Meaning::Json,
            15 => Meaning::Half,
            _ => Meaning::Plain,
        },
        (None, Some(converted)) => match converted {
            0 | 4 => Meaning::Text,
            5 => scale(e.scale),
            6 => Meaning::Date,
            7 => Meaning::Time(1_000),
            8 => Meaning::Time(1_000_000),
            9 => Meaning::Timestamp(1_000),
            10 => Meaning::Timestamp(1_000_000),
            11..=14 => Meaning::Unsigned,
            19 => Meaning::Json,
            _ => Meaning::Plain,
        },
        // The old way to write nanoseconds.
        (None, None) if physical == Physical::Int96 => Meaning::Timestamp(1_000_000_000),
        (None, None) => Meaning::Plain,
    }
}
