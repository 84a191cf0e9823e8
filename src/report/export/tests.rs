use super::*;
use crate::{
    base::{Grid, job::silently},
    scan::{PairSeries, ScanConfig, ScanOutput},
};

const WIDTH: usize = 40;

/// Three layers of 40 neurons, two domains whose names need escaping.
fn scan() -> ScanOutput {
    let grid = |k: usize| Grid::new(3, WIDTH, (0..3 * WIDTH).map(|i| ((i * 7 + k * 13) % 97) as f32 + 0.5).collect::<Vec<_>>()).ok();
    let domain = |(k, name): (usize, &&str)| DomainScan {
        name: (*name).into(),
        samples: 4,
        density: vec![0.3, 0.2, 0.1],
        activated_count: vec![30, 20, 10],
        relevance: grid(k),
        ..DomainScan::default()
    };
    let pair = |a: &str, b: &str| PairSeries {
        a: a.into(),
        b: b.into(),
        cosines: vec![vec![Some(0.75), Some(0.5), None], vec![Some(0.25), Some(0.5), None]],
    };
    let names = ["a<b", "c&d, e"];
    ScanOutput {
        config: ScanConfig::default(),
        n_layers: 3,
        d_mlp: WIDTH,
        params_per_layer: vec![100; 3],
        domains: names.iter().enumerate().map(domain).collect(),
        llmdcos: names.iter().enumerate().flat_map(|(i, a)| names[i..].iter().map(move |b| pair(a, b))).collect(),
        provenance: Provenance {
            program: "brodmann 0.0.0".into(),
            model: "tiny".into(),
            model_sha256: "5a".repeat(32),
            seed: 7,
            command: "brodmann scan --model tiny".into(),
            ..Provenance::default()
        },
        ..ScanOutput::default()
    }
}

fn exported(spec: &ExportSpec, name: &str) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().expect("folder");
    let scan = scan();
    let report = Report {
        scan: &scan,
        model: None,
        metric: spec.metric,
        top_percent: spec.top_percent,
        scores: &[],
        ablation: None,
        colours: &[],
        map: spec.colours,
    };
    let files = silently(|ctx| write(&dir.path().join(name), spec, &report, "brodmann export x", ctx))?;
    Ok((dir, files))
}

fn text(spec: &ExportSpec, name: &str) -> String {
    let (_dir, files) = exported(spec, name).expect("exported");
    std::fs::read_to_string(&files[0]).expect("text")
}

fn spec(what: View, kind: FileKind) -> ExportSpec {
    ExportSpec { what, kind, pixels: 1.0, ..ExportSpec::default() }
}

#[test]
fn every_view_is_a_whole_svg_with_its_provenance() {
    for what in View::ALL {
        for dark in [false, true] {
            let pair = Some(("a<b".to_owned(), "c&d, e".to_owned()));
            let svg = text(&ExportSpec { dark, pair, ..spec(what, FileKind::Svg) }, "x.svg");
            // A parser that refuses anything not well-formed.
            let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).expect(&svg);
            assert!(tree.size().width() > 700.0 && tree.size().height() > 300.0, "{what:?}");
            assert!(svg.contains("<metadata>") && svg.contains("brodmann scan --model tiny") && svg.contains("file: brodmann export x"));
            assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{what:?}");
            assert!(!svg.contains("var(") && !svg.contains("NaN"), "{what:?}");
        }
    }
}

#[test]
fn a_png_has_the_asked_scale_and_carries_its_provenance() {
    let sizes: Vec<(u32, u32)> = [1.0, 2.0]
        .map(|pixels| {
            let (_dir, files) = exported(&ExportSpec { pixels, ..spec(View::Neurons, FileKind::Png) }, "x.png").expect("exported");
            let file = std::io::BufReader::new(std::fs::File::open(&files[0]).expect("open"));
            let reader = png::Decoder::new(file).read_info().expect("png");
            let info = reader.info();
            let note = info.utf8_text.iter().find(|t| t.keyword == "Provenance").expect("chunk").get_text().expect("text");
            let note: serde_json::Value = serde_json::from_str(&note).expect("json");
            assert_eq!(note["provenance"]["model_sha256"], "5a".repeat(32));
            assert_eq!((note["shows"]["what"].as_str(), note["command"].as_str()), (Some("neurons"), Some("brodmann export x")));
            (info.width, info.height)
        })
        .to_vec();
    assert_eq!((sizes[0].0 * 2, sizes[0].1 * 2), sizes[1]);
}

#[test]
fn the_cells_of_a_png_are_the_maps_own() {
    let one = ExportSpec { domains: vec!["a<b".into()], pixels: 2.0, ..spec(View::Neurons, FileKind::Png) };
    let (_dir, files) = exported(&one, "x.png").expect("exported");
    let image = image::ImageReader::open(&files[0]).expect("open").decode().expect("png").to_rgba8();
    // The only cell with the largest value, 96.5, has the last colour of the map; 960 points and 26 a row hold 40 x 3 cells of 48 x 52 pixels.
    let last = ColourMap::Viridis.colour(255);
    let hot = |p: &&image::Rgba<u8>| p.0[..3] == last;
    let map = scan().domains[0].relevance.clone().expect("map");
    assert_eq!(map.values().iter().filter(|v| **v == 96.5).count(), 1);
    // That cell, less the hairline under its row; the colour bar's last strip has the same colour.
    let found = image.pixels().filter(hot).count();
    assert!((48 * 51..48 * 52 + 300).contains(&found), "{found}");
}

#[test]
fn tables_are_in_long_form_and_say_where_they_come_from() {
    let rows = |spec: &ExportSpec| -> Vec<Vec<String>> {
        let text = text(spec, "x.csv");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().expect("head").iter().collect::<Vec<_>>(), table::HEAD);
        reader.records().map(|r| r.expect("record").iter().map(str::to_owned).collect()).collect()
    };
    let all = rows(&spec(View::Neurons, FileKind::Csv));
    assert_eq!(all.len(), 2 * 3 * WIDTH);
    assert_eq!(all[1], ["tiny", "0", "mlp.hook_post", "1", "a<b", "relevance", "7.5", "4", "7"]);
    assert_eq!(all.last().expect("row")[4], "c&d, e");
    // Value and seed are numbers, so a difference keeps its sign: cell 0 is 0.5 in one and 13.5 in the other.
    let minus = rows(&ExportSpec { minus: Some("c&d, e".into()), ..spec(View::Neurons, FileKind::Csv) });
    assert_eq!((minus.len(), minus[0][5].as_str(), minus[0][6].as_str()), (3 * WIDTH, "relevance minus c&d, e", "-13"));

    let density = rows(&spec(View::Density, FileKind::Csv));
    assert_eq!(density[0], ["tiny", "0", "block", "", "a<b", "density", "0.3", "4", "7"]);
    assert_eq!(density[1][5..7], ["activated_count", "30"]);

    let cosines = rows(&spec(View::Similarity, FileKind::Csv));
    // Mean of 0.75 and 0.25; layer 2 has no value, so it is empty with n 0.
    assert_eq!(cosines[0], ["tiny", "0", "block", "", "a<b|a<b", "llmdcos", "0.5", "2", "7"]);
    assert_eq!((cosines[4][1].as_str(), cosines[4][6].as_str(), cosines[4][7].as_str()), ("2", "", "0"));
    // METHODS' range for three layers is layer 1 alone.
    assert_eq!((cosines[6][5].as_str(), cosines[6][6].as_str()), ("llmdcos_layers_1_1", "0.5"));

    let overlap = rows(&ExportSpec { top_percent: 50.0, ..spec(View::Overlap, FileKind::Csv) });
    assert_eq!(overlap.len(), 4);
    assert_eq!(overlap[0][5], "jaccard_top_50_relevance");

    let (_dir, files) = exported(&spec(View::Density, FileKind::Csv), "x.csv").expect("exported");
    assert_eq!(files.len(), 2);
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[1]).expect("beside")).expect("json");
    assert_eq!((note["provenance"]["seed"].as_u64(), note["command"].as_str()), (Some(7), Some("brodmann export x")));
}

#[test]
fn what_the_run_has_not_is_an_error_that_says_what_it_has() {
    let fails = |spec: ExportSpec, part: &str| {
        let e = exported(&spec, "x").expect_err(part).to_string();
        assert!(e.contains(part), "{e}");
    };
    fails(ExportSpec { domains: vec!["z".into()], ..spec(View::Density, FileKind::Svg) }, "it has a<b, c&d, e");
    fails(ExportSpec { metric: MetricKind::MeanActivation, ..spec(View::Neurons, FileKind::Csv) }, "no map of mean activation");
    fails(ExportSpec { metric: MetricKind::MeanActivation, ..spec(View::Overlap, FileKind::Png) }, "two domains");
    fails(ExportSpec { pixels: 99.0, ..spec(View::Density, FileKind::Png) }, "between 0.5 and 8");
    let alone = ExportSpec { domains: vec!["a<b".into()], minus: Some("a<b".into()), ..spec(View::Neurons, FileKind::Svg) };
    fails(alone, "taken off itself");
}

#[test]
fn a_kind_of_file_is_known_by_its_end() {
    assert_eq!(FileKind::of(Path::new("a/b.PNG")), Some(FileKind::Png));
    assert_eq!(FileKind::of(Path::new("b.tar")), None);
}
