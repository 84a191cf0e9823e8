//! Files written by the `parquet` crate read as what was written; files cut and changed anywhere give an error.

use super::*;
use crate::base::job::silently;
use ::parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    file::{
        properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// As the `datasets` library writes ARC, with a struct and a map beside.
const SCHEMA: &str = "message rows {
    OPTIONAL BYTE_ARRAY question (UTF8);
    OPTIONAL group choices (LIST) { REPEATED group list { OPTIONAL BYTE_ARRAY element (UTF8); } }
    REQUIRED INT64 label;
    OPTIONAL BOOLEAN hard;
    OPTIONAL DOUBLE score;
    OPTIONAL group source { REQUIRED INT32 page; OPTIONAL BYTE_ARRAY book (UTF8); }
    OPTIONAL group counts (MAP) { REPEATED group key_value { REQUIRED BYTE_ARRAY key (UTF8); OPTIONAL INT32 value; } }
}";

#[derive(Clone, Debug)]
struct Entry {
    question: Option<String>,
    choices: Option<Vec<Option<String>>>,
    label: i64,
    hard: Option<bool>,
    score: Option<i32>,
    source: Option<(i32, Option<String>)>,
    counts: Option<Vec<i32>>,
}

impl Entry {
    fn expected(&self) -> Value {
        let counts = self.counts.as_ref().map(|c| c.iter().enumerate().map(|(i, n)| (format!("k{i}"), json!(n))).collect::<Map>());
        json!({
            "question": self.question, "choices": self.choices, "label": self.label, "hard": self.hard,
            "score": self.score.map(|s| f64::from(s) / 4.0),
            "source": self.source.as_ref().map(|(page, book)| json!({"page": page, "book": book})),
            "counts": counts,
        })
    }
}

type Map = serde_json::Map<String, Value>;

fn entry() -> impl Strategy<Value = Entry> {
    let text = || prop_oneof![Just("the same".to_owned()), Just("the same again".to_owned()), "\\PC{0,12}"];
    let choices = proptest::collection::vec(proptest::option::of(text()), 0..4);
    (
        proptest::option::of(text()),
        proptest::option::of(choices),
        prop_oneof![0i64..4, any::<i64>()],
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<i32>()),
        proptest::option::of((any::<i32>(), proptest::option::of(text()))),
        proptest::option::of(proptest::collection::vec(any::<i32>(), 0..3)),
    )
        .prop_map(|(question, choices, label, hard, score, source, counts)| Entry {
            question,
            choices,
            label,
            hard,
            score,
            source,
            counts,
        })
}

fn bytes_of(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

/// A column with a value in some rows: values and definition levels.
fn sparse<T>(entries: &[Entry], value: impl Fn(&Entry) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let levels = entries.iter().map(|e| i16::from(value(e).is_some())).collect();
    (entries.iter().filter_map(value).collect(), levels)
}

/// Levels and values of a list: (values, definition levels, repetition levels).
fn listed<T>(entries: &[Entry], list: impl Fn(&Entry) -> Option<Vec<Option<T>>>, there: i16) -> (Vec<T>, Vec<i16>, Vec<i16>) {
    let (mut values, mut def, mut rep) = (Vec::new(), Vec::new(), Vec::new());
    for e in entries {
        let list = list(e);
        match list {
            None => (def.push(0), rep.push(0)),
            Some(list) if list.is_empty() => (def.push(1), rep.push(0)),
            Some(list) => {
                for (i, v) in list.into_iter().enumerate() {
                    rep.push(i16::from(i > 0));
                    def.push(if v.is_some() { there } else { 2 });
                    values.extend(v);
                }
                ((), ())
            }
        };
    }
    (values, def, rep)
}

fn write(entries: &[Entry], properties: WriterPropertiesBuilder) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("schema"));
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties.build())).expect("writer");
    // Two row groups, so that rows go on from one to the next.
    for part in entries.chunks(entries.len().div_ceil(2).max(1)) {
        let mut group = writer.next_row_group().expect("group");
        for i in 0.. {
            let Some(mut column) = group.next_column().expect("column") else { break };
            let written = match i {
                0 => {
                    let (v, d) = sparse(part, |e| e.question.as_deref().map(bytes_of));
                    column.typed::<ByteArrayType>().write_batch(&v, Some(&d), None)
                }
                1 => {
                    let texts = |e: &Entry| Some(e.choices.as_ref()?.iter().map(|c| c.as_deref().map(bytes_of)).collect());
                    let (v, d, r) = listed(part, texts, 3);
                    column.typed::<ByteArrayType>().write_batch(&v, Some(&d), Some(&r))
                }
                2 => {
                    let v: Vec<i64> = part.iter().map(|e| e.label).collect();
                    column.typed::<Int64Type>().write_batch(&v, None, None)
                }
                3 => {
                    let (v, d) = sparse(part, |e| e.hard);
                    column.typed::<BoolType>().write_batch(&v, Some(&d), None)
                }
                4 => {
                    let (v, d) = sparse(part, |e| e.score.map(|s| f64::from(s) / 4.0));
                    column.typed::<DoubleType>().write_batch(&v, Some(&d), None)
                }
                5 => {
                    let (v, d) = sparse(part, |e| e.source.as_ref().map(|s| s.0));
                    column.typed::<Int32Type>().write_batch(&v, Some(&d), None)
                }
                6 => {
                    let book = |e: &Entry| e.source.as_ref()?.1.clone();
                    let d: Vec<i16> = part.iter().map(|e| i16::from(e.source.is_some()) + i16::from(book(e).is_some())).collect();
                    let v: Vec<ByteArray> = part.iter().filter_map(|e| book(e).map(|b| bytes_of(&b))).collect();
                    column.typed::<ByteArrayType>().write_batch(&v, Some(&d), None)
                }
                7 => {
                    let keys = |e: &Entry| Some((0..e.counts.as_ref()?.len()).map(|i| Some(bytes_of(&format!("k{i}")))).collect());
                    let (v, d, r) = listed(part, keys, 2);
                    column.typed::<ByteArrayType>().write_batch(&v, Some(&d), Some(&r))
                }
                _ => {
                    let (v, d, r) = listed(part, |e| Some(e.counts.as_ref()?.iter().map(|&n| Some(n)).collect()), 3);
                    column.typed::<Int32Type>().write_batch(&v, Some(&d), Some(&r))
                }
            };
            written.expect("values");
            column.close().expect("column ends");
        }
        group.close().expect("group ends");
    }
    writer.close().expect("file ends");
    file
}

fn rows(file: &[u8]) -> Result<Vec<Value>> {
    let (rows, complete) = silently(|ctx| read(Path::new("x.parquet"), &file, None, ctx))?;
    assert!(complete);
    Ok(rows.into_iter().map(|r| Value::Object(r.fields)).collect())
}

/// Every way to write the same table.
fn ways() -> Vec<WriterPropertiesBuilder> {
    let new = || WriterProperties::builder().set_data_page_row_count_limit(3).set_write_batch_size(2);
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let mut all = vec![
        new(),
        new().set_compression(Compression::SNAPPY),
        new().set_compression(Compression::GZIP(GzipLevel::default())).set_dictionary_enabled(false),
        new().set_compression(Compression::BROTLI(BrotliLevel::default())),
        new().set_compression(Compression::LZ4),
        new().set_compression(Compression::LZ4_RAW).set_dictionary_enabled(false),
        new().set_compression(zstd).set_writer_version(WriterVersion::PARQUET_2_0),
        // The second version's own encodings: deltas for numbers and texts, runs for truth values.
        new().set_compression(Compression::SNAPPY).set_writer_version(WriterVersion::PARQUET_2_0).set_dictionary_enabled(false),
    ];
    let column = |path: &[&str]| path.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>().into();
    all.push(
        new()
            .set_dictionary_enabled(false)
            .set_column_encoding(column(&["question"]), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_encoding(column(&["choices", "list", "element"]), Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding(column(&["label"]), Encoding::DELTA_BINARY_PACKED)
            .set_column_encoding(column(&["score"]), Encoding::BYTE_STREAM_SPLIT),
    );
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_whatever_the_encoding(entries in proptest::collection::vec(entry(), 1..12)) {
        let expected: Vec<Value> = entries.iter().map(Entry::expected).collect();
        for (i, way) in ways().into_iter().enumerate() {
            let file = write(&entries, way);
            prop_assert_eq!(&rows(&file).expect("reads"), &expected, "way {}", i);
        }
    }

    #[test]
    fn changed_bytes_give_rows_or_an_error(
        entries in proptest::collection::vec(entry(), 1..6),
        way in 0usize..9,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = write(&entries, ways().swap_remove(way));
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = rows(&file);
    }
}

#[test]
fn the_beginning_of_a_file_is_read_alone() {
    let entries: Vec<Entry> = (0..50)
        .map(|i| Entry {
            question: Some(format!("question {i}")),
            choices: Some(vec![Some("a".into()), Some(format!("b{i}"))]),
            label: i,
            hard: None,
            score: None,
            source: None,
            counts: None,
        })
        .collect();
    let file = write(&entries, WriterProperties::builder().set_data_page_row_count_limit(4).set_write_batch_size(4));
    for n in [1, 7, 25, 26, 49, 50, 60] {
        let (rows, complete) = silently(|ctx| read(Path::new("x"), &&file[..], Some(n), ctx)).expect("rows");
        assert_eq!((rows.len() as u64, complete), (n.min(50), n >= 50));
        let last = rows.last().expect("row");
        assert_eq!(Value::Object(last.fields.clone()), entries[last.line - 1].expected());
    }
}

#[test]
fn a_cut_file_says_so() {
    let one = Entry { question: Some("q".into()), choices: None, label: 1, hard: None, score: None, source: None, counts: None };
    let file = write(&[one], WriterProperties::builder());
    for n in 0..file.len() {
        let e = rows(&file[..n]).expect_err("cut").to_string();
        assert!(e.contains("x.parquet") && (e.contains("cut short") || e.contains("bytes")), "{n}: {e}");
    }
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    // 40 million times one text of 200 bytes from one dictionary entry: 8 GB from some hundred bytes.
    let schema = Arc::new(parse_message_type("message m { REQUIRED BYTE_ARRAY text (UTF8); }").expect("schema"));
    let mut file = Vec::new();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let properties =
        properties.set_data_page_row_count_limit(usize::MAX).set_statistics_enabled(::parquet::file::properties::EnabledStatistics::None);
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties.build())).expect("writer");
    let mut group = writer.next_row_group().expect("group");
    let mut column = group.next_column().expect("column").expect("one");
    let same = vec![bytes_of(&"x".repeat(200)); 400_000];
    column.typed::<ByteArrayType>().write_batch(&same, None, None).expect("values");
    column.close().expect("column ends");
    group.close().expect("group ends");
    writer.close().expect("file ends");
    assert!(file.len() < 10_000, "{} bytes", file.len());
    let e = rows(&file).expect_err("80 MB from a few hundred bytes").to_string();
    assert!(e.contains("many times its size") && e.contains("column `text`"), "{e}");
}
