//! Parquet: the columns of the long form with their types, strings by dictionary, Snappy, a row group for each 256 k rows.

use super::Steps;
use crate::base::{Ctx, Error, LongTable, Result, long_table::RowRef};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};
use std::{collections::HashMap, io::Write, sync::Arc};

const SCHEMA: &str = "message brodmann {
    required binary model (STRING);
    optional int32 layer;
    required binary module (STRING);
    optional int32 neuron;
    optional binary domain (STRING);
    required binary metric (STRING);
    optional double value;
    required int64 n;
    required int64 seed (INTEGER(64,false));
";

const ROW_GROUP: usize = 1 << 18;

/// One row group's columns, filled row by row.
#[derive(Default)]
struct Columns {
    model: Vec<ByteArray>,
    layer: Optional<i32>,
    module: Vec<ByteArray>,
    neuron: Optional<i32>,
    /// None where a row is about no domain: an empty cell of the text formats.
    domain: Optional<ByteArray>,
    metric: Vec<ByteArray>,
    value: Optional<f64>,
    n: Vec<i64>,
    seed: Vec<i64>,
    place: Optional<i32>,
}

/// Values that are there, and for each row whether one is.
struct Optional<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

/// Words that repeat, each kept once.
#[derive(Default)]
struct Words(HashMap<String, ByteArray>);

impl Words {
    fn get(&mut self, word: &str) -> ByteArray {
        if let Some(known) = self.0.get(word) {
            return known.clone();
        }
        let new = ByteArray::from(word.as_bytes().to_vec());
        self.0.insert(word.to_owned(), new.clone());
        new
    }
}

/// `metadata` becomes the file's key-value pairs.
///
/// # Errors
/// When `out` cannot be written, or the work is cancelled.
pub fn write_parquet(out: &mut (dyn Write + Send), table: &LongTable, metadata: &[(&str, String)], ctx: &Ctx<'_>) -> Result<()> {
    let schema = Arc::new(
        parse_message_type(&format!("{SCHEMA}{}}}", if table.order.is_some() { "optional int32 place;" } else { "" })).map_err(bad)?,
    );
    let pairs = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), v.clone())).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_dictionary_enabled(ColumnPath::from("value"), false)
        .set_created_by(crate::base::provenance::program())
        .set_key_value_metadata(Some(pairs))
        .build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(bad)?;
    let (mut columns, mut words) = (Columns::default(), Words::default());
    let mut steps = Steps::new(ctx, table.len());
    table.for_each(|row| {
        steps.row()?;
        columns.push(&table.model, &row, &mut words);
        if columns.n.len() == ROW_GROUP {
            let group = file.next_row_group().map_err(bad)?;
            std::mem::take(&mut columns).write(group).map_err(bad)?;
        }
        Ok(())
    })?;
    if !columns.n.is_empty() {
        let group = file.next_row_group().map_err(bad)?;
        columns.write(group).map_err(bad)?;
    }
    file.close().map_err(bad)?;
    Ok(())
}

fn bad(e: parquet::errors::ParquetError) -> Error {
    Error::invalid(format!("the Parquet file could not be written: {e}"))
}

impl Columns {
    fn push(&mut self, model: &str, row: &RowRef<'_>, words: &mut Words) {
        // Layers and neurons are far below 2^31: a model that wide would not fit anywhere.
        let place = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
        self.model.push(words.get(model));
        self.layer.push(place(row.layer));
        self.module.push(words.get(row.module));
        self.neuron.push(place(row.neuron));
        self.domain.push((!row.domain.is_empty()).then(|| words.get(row.domain)));
        self.metric.push(words.get(row.metric));
        self.value.push(row.value);
        self.n.push(i64::try_from(row.n).unwrap_or(i64::MAX));
        // As the column's type says, these are the bits of an unsigned number.
        self.seed.push(row.seed.cast_signed());
        self.place.push(place(row.place));
    }

    /// In the order of the schema.
    fn write<W: Write + Send>(self, mut group: SerializedRowGroupWriter<'_, W>) -> parquet::errors::Result<()> {
        macro_rules! column {
            ($kind:ty, $values:expr, $levels:expr) => {
                if let Some(mut column) = group.next_column()? {
                    column.typed::<$kind>().write_batch($values, $levels, None)?;
                    column.close()?;
                }
            };
        }
        column!(ByteArrayType, &self.model, None);
        column!(Int32Type, &self.layer.values, Some(&self.layer.levels));
        column!(ByteArrayType, &self.module, None);
        column!(Int32Type, &self.neuron.values, Some(&self.neuron.levels));
        column!(ByteArrayType, &self.domain.values, Some(&self.domain.levels));
        column!(ByteArrayType, &self.metric, None);
        column!(DoubleType, &self.value.values, Some(&self.value.levels));
        column!(Int64Type, &self.n, None);
        column!(Int64Type, &self.seed, None);
        // Only where the schema has it.
        column!(Int32Type, &self.place.values, Some(&self.place.levels));
        group.close()?;
        Ok(())
    }
}
