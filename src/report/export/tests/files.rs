//! The kinds of file hold the same numbers, to the bit.

use super::{super::*, made::*};
use crate::base::{job::silently, long_table::LongRow};

#[test]
fn a_kind_of_file_is_known_by_its_end() {
    assert_eq!(FileKind::of(Path::new("a/b.PNG")), Some(FileKind::Png));
    assert_eq!(FileKind::of(Path::new("b.tar")), None);
}

/// The cells of a Parquet file as the crate's own reader gives them: numbers as bits, nothing for null.
fn parquet_cells(path: &Path) -> (Vec<Vec<String>>, String) {
    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        record::Field,
    };
    let reader = SerializedFileReader::new(std::fs::File::open(path).expect("open")).expect("Parquet");
    let meta = reader.metadata().file_metadata();
    let note = meta.key_value_metadata().expect("metadata").iter().find(|p| p.key == "provenance").expect("note").value.clone();
    let cell = |f: &Field| match f {
        Field::Null => String::new(),
        Field::Str(s) => s.clone(),
        Field::Int(i) => i.to_string(),
        Field::Long(i) => i.to_string(),
        Field::ULong(i) => i.to_string(),
        Field::Double(d) => format!("{:016x}", d.to_bits()),
        other => panic!("{other:?} is no cell of the long form"),
    };
    let rows = reader.get_row_iter(None).expect("rows");
    (rows.map(|r| r.expect("row").get_column_iter().map(|(_, f)| cell(f)).collect()).collect(), note.expect("text"))
}

#[test]
fn csv_tsv_and_parquet_hold_the_same_numbers_to_the_bit() {
    for what in View::ALL.into_iter().filter(|v| v.info().stored) {
        let table = |kind: FileKind| {
            let name = format!("x.{}", kind.extension());
            exported(&ExportSpec { domains: vec![], ..spec(what, kind) }, &name).expect("exported")
        };
        let texts = [(FileKind::Csv, b','), (FileKind::Tsv, b'\t')].map(|(kind, separator)| {
            let (_dir, files) = table(kind);
            let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_path(&files[0]).expect("open");
            let rows = reader.records().map(|r| r.expect("record").iter().map(str::to_owned).collect::<Vec<_>>());
            rows.map(|mut cells| {
                if let Ok(value) = cells[6].parse::<f64>() {
                    cells[6] = format!("{:016x}", value.to_bits());
                }
                cells
            })
            .collect::<Vec<_>>()
        });
        let (_dir, files) = table(FileKind::Parquet);
        let (cells, note) = parquet_cells(&files[0]);
        assert!(!cells.is_empty() && texts[0] == texts[1], "{what:?}");
        assert_eq!(cells, texts[0], "{what:?}");
        let note: serde_json::Value = serde_json::from_str(&note).expect("json");
        assert_eq!(note["provenance"]["model_sha256"], "5a".repeat(32));
    }
}

#[test]
fn a_table_longer_than_a_row_group_and_an_empty_one_read_back() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("x.parquet");
    let row = |i: u32| LongRow {
        layer: Some(i % 7),
        neuron: Some(i),
        value: (!i.is_multiple_of(3)).then(|| f64::from(i) / 3.0),
        n: u64::from(i),
        ..LongRow::default()
    };
    for n in [0, 300_000] {
        let table = LongTable { rows: (0..n).map(row).collect(), ..LongTable::new("m", u64::MAX) };
        silently(|ctx| write_table(&path, FileKind::Parquet, &table, "{}", ctx)).expect("written");
        let (cells, _) = parquet_cells(&path);
        assert_eq!(cells.len(), n as usize);
        if let Some(last) = cells.last() {
            let value = format!("{:016x}", (299_999.0f64 / 3.0).to_bits());
            assert_eq!(*last, ["m", "0", "", "299999", "", "", &value, "299999", &u64::MAX.to_string()]);
        }
    }
}

#[test]
fn a_row_about_no_domain_has_null_there_as_readers_take_an_empty_cell_of_a_csv() {
    use parquet::{file::reader::SerializedFileReader, record::RowAccessor as _};
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("x.parquet");
    let row = |domain: &str| LongRow { domain: domain.to_owned(), ..LongRow::default() };
    let table = LongTable { rows: vec![row("code"), row(""), row("logic")], ..LongTable::new("m", 0) };
    silently(|ctx| write_table(&path, FileKind::Parquet, &table, "{}", ctx)).expect("written");
    let reader = SerializedFileReader::try_from(path.as_path()).expect("Parquet");
    let domains: Vec<Option<String>> = reader.into_iter().map(|r| r.expect("row").get_string(4).ok().cloned()).collect();
    assert_eq!(domains, [Some("code".to_owned()), None, Some("logic".to_owned())]);
}

#[test]
fn dense_arrays_open_with_the_bits_of_the_run() {
    let scan = scan();
    let (_dir, files) = exported(&spec(View::Neurons, FileKind::Safetensors), "x.safetensors").expect("exported");
    let bytes = std::fs::read(&files[0]).expect("read");
    let (_, meta) = safetensors::SafeTensors::read_metadata(&bytes).expect("head");
    let note: serde_json::Value = serde_json::from_str(&meta.metadata().as_ref().expect("metadata")["provenance"]).expect("json");
    assert_eq!((note["provenance"]["seed"].as_u64(), note["command"].as_str()), (Some(7), Some("brodmann export x")));
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let map = file.tensor("relevance/c&d, e").expect("map");
    assert_eq!(map.shape(), [3, WIDTH]);
    let own: Vec<u8> = scan.domains[1].relevance.as_ref().expect("map").values().iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(map.data(), own);

    let names = |what: View| {
        let (_dir, files) = exported(&spec(what, FileKind::Safetensors), "y.safetensors").expect("exported");
        let bytes = std::fs::read(&files[0]).expect("read");
        let mut names: Vec<String> =
            safetensors::SafeTensors::deserialize(&bytes).expect("safetensors").names().iter().map(|n| (*n).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(View::Density), ["density/a<b", "density/c&d, e"]);
    assert_eq!(names(View::Similarity), ["llmdcos/a<b|a<b", "llmdcos/a<b|c&d, e", "llmdcos/c&d, e|c&d, e"]);
    assert_eq!(names(View::Overlap), ["jaccard", "top/a<b", "top/c&d, e"]);
}

#[test]
fn what_is_copied_is_what_is_written() {
    let scan = scan();
    let report = Report {
        scan: &scan,
        model: None,
        metric: MetricKind::Relevance,
        top_percent: 10.0,
        scores: &[],
        scored_in: "",
        ablation: None,
        colours: &[],
        map: ColourMap::Viridis,
        samples: None,
        other: None,
        live: None,
    };
    let tsv = spec(View::Density, FileKind::Tsv);
    let copied = silently(|ctx| copy(&tsv, &report, "", ctx)).expect("table");
    assert_eq!(copied, Copied::Table(text(&tsv, "x.tsv")));
    let png = spec(View::Density, FileKind::Png);
    let Copied::Image { width, height, rgba } = silently(|ctx| copy(&png, &report, "brodmann export x", ctx)).expect("image") else {
        panic!("no image")
    };
    let (_dir, files) = exported(&png, "x.png").expect("exported");
    let file = image::ImageReader::open(&files[0]).expect("open").with_guessed_format().expect("format").decode().expect("png").to_rgba8();
    assert_eq!((file.dimensions(), file.as_raw()), ((width, height), &rgba));
}
