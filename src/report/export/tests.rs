use super::*;
use crate::{
    ablate::{AblationReport, DomainAblation},
    base::{Grid, job::silently, long_table::LongRow},
    data::DomainKind,
    eval::{AblationAt, AblationMode, DomainScore, ItemScore},
    scan::{DomainSource, PairSeries, SampleSimilarity, SampledDomain, ScanConfig, ScanOutput},
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

/// Layer 2 of three and two samples.
fn samples() -> SampleSimilarity {
    let domain = |name: &str, n: usize| SampledDomain {
        name: name.into(),
        source: DomainSource { sample_lines: (7..7 + n).collect(), ..DomainSource::default() },
        tokens: vec![4; n],
        texts: vec!["x".into(); n],
    };
    let cosine = |a: usize, b: usize| if a == b { 1.0 } else { 0.1 * (a + b) as f32 };
    let values: Vec<f32> = (0..25).map(|i| cosine(i / 5, i % 5)).collect();
    SampleSimilarity {
        provenance: scan().provenance,
        n_layers: 3,
        domains: vec![domain("a<b", 3), domain("c&d, e", 2)],
        layers: [(2, Grid::new(5, 5, values).expect("grid"))].into(),
        ..SampleSimilarity::default()
    }
}

/// Of every view that no run stores; names need escaping here too.
fn live() -> Live {
    use crate::{
        ablate::{BreakStep, KCurve, KPoint, Summary, Sweep, SweepSpec, SweepUnit, Totals},
        base::{Head, Neuron},
        inspect::{DomainStats, HeadFacts, NeuronFacts},
    };
    use live::{HeadSheet, NeuronSheet, PeakText, Piece, Point, PointKind, Search};
    let summary = |v: f64| Summary { acc: Some(v), margin: Some(2.0 * v), loss: Some(-v) };
    let point = |i: usize| Point {
        label: "L1N2".into(),
        kind: [PointKind::Set, PointKind::Control, PointKind::Sweep][i % 3],
        mode: "zero".into(),
        neurons: std::sync::Arc::new(NeuronSet::parse("L1N2").expect("set")),
        domain: ["a<b", "c&d, e"][i % 2].into(),
        n: 4,
        predicted: summary(-0.01 * i as f64),
        measured: summary(-0.012 * i as f64),
    };
    let totals = |v: f64| Totals { n: 4, correct: Some((4.0 * v) as usize), margin: Some(v), loss: Some(1.0 - v) };
    let sweep = Sweep {
        spec: SweepSpec { unit: SweepUnit::Neuron, layers: None, mode: AblationMode::Zero, at: AblationAt::All },
        domain: "a<b".into(),
        n_layers: 3,
        width: WIDTH,
        baseline: totals(0.75),
        effects: (0..3 * WIDTH).map(|i| (i % 7 > 0).then(|| totals(0.25 + 0.005 * (i % 90) as f64))).collect(),
        total: 3 * WIDTH,
        provenance: scan().provenance,
    };
    let curve = KCurve {
        ranking: "relevance of a<b".into(),
        domains: vec!["a<b".into(), "c&d, e".into()],
        baseline: vec![totals(0.75), totals(0.5)],
        points: [1.0, 10.0]
            .map(|percent| KPoint {
                percent,
                neurons: 12,
                scores: vec![totals(0.5), totals(0.5)],
                controls: vec![vec![totals(0.75), totals(0.5)]],
            })
            .to_vec(),
        provenance: scan().provenance,
    };
    let step = |i: u32| BreakStep { neuron: Neuron::new(1, i), accuracy: Some(0.5), damage: f64::from(i), others: 0.1, merit: 0.5 };
    let piece = |piece: &str, value: f32| Piece { piece: piece.into(), value };
    let stats = DomainStats { tokens: 9, mean: 0.1, std: 0.2, mean_abs: 0.1, min: -0.5, max: 2.0, sparsity: None };
    let domains = || vec!["a<b".to_owned(), "c&d, e".to_owned()];
    let neuron = NeuronSheet {
        facts: NeuronFacts {
            neuron: Neuron::new(1, 2),
            stats: vec![stats; 2],
            edges: vec![-0.5, 0.0, 0.5, 2.0],
            turn: 0.1,
            histogram: vec![vec![1, 5, 3], vec![9, 0, 0]],
            top: Vec::new(),
            bottom: Vec::new(),
        },
        domains: domains(),
        relevance: vec![("a<b".into(), 0.5), ("c&d, e".into(), 0.25)],
        texts: vec![PeakText {
            domain: "a<b".into(),
            line: Some(7),
            value: 2.0,
            at: 1,
            first: 3,
            tokens: vec![piece(" <one>", 0.1), piece(" & two", 2.0)],
        }],
        promotes: vec![piece(" <x>", 0.5)],
        suppresses: vec![piece("y", -0.5)],
        lens_formula: "column of down".into(),
    };
    let head = HeadSheet {
        head: Head::new(1, 0),
        facts: Some(HeadFacts { by_offset: vec![0.5, 0.3, 0.2], first_token: 0.25, entropy_bits: 1.5, z_norm: vec![0.5, 0.25] }),
        domains: domains(),
        relevance: vec![("a<b".into(), 0.5)],
        pattern: vec![1.0, 0.0, 0.25, 0.75],
        pieces: vec!["<s>".into(), " & two".into()],
        writes: vec![(piece("a", 0.5), piece("b", -0.5)); 2],
        lens_formula: "hook_z".into(),
    };
    Live {
        provenance: scan().provenance,
        points: (0..9).map(point).collect(),
        units: Some(std::sync::Arc::new(sweep)),
        curve: Some(std::sync::Arc::new(curve)),
        broken: Some(Search { domain: "a<b".into(), steps: (1..4).map(step).collect(), outcome: None }),
        neuron: Some(neuron),
        head: Some(head),
        ..tasks_live()
    }
}

/// The views of the tasks, of the same two names.
fn tasks_live() -> Live {
    use crate::{
        ablate::{KPoint, Totals},
        task::{
            Cell, ContinualConfig, ContinualState, KneeCurve, MatrixPlan, Ranking, RowCounts, Score, Stability, TaskMatrix, TaskNeurons,
            TransferConfig, TransferState, TransferUnit,
        },
        tune::{Evaluated, TunePoint},
    };
    use live::{Found, TuningSheet};
    use std::sync::Arc;
    let names = ["a<b", "c&d, e"];
    let totals = |v: f64| Totals { n: 4, correct: Some((4.0 * v) as usize), margin: Some(v), loss: Some(1.0 - v) };
    let task = |d: usize| TaskNeurons {
        name: names[d].into(),
        source: DomainSource::default(),
        samples: 4,
        tokens: 9,
        mean_loss: 1.0,
        relevance: scan().domains[d].relevance.clone().expect("map"),
        columns: None,
        stability: [1.0, 10.0].map(|percent| Stability { percent, neurons: 3, mean: 0.6, low: 0.5, high: 0.75, chance: 0.1 }).to_vec(),
        draws: 5,
        completeness: None,
    };
    let mut curve = KneeCurve {
        task: names[0].into(),
        rows: "validation".into(),
        lines: vec![1],
        baseline: totals(0.75),
        points: [1.0, 10.0]
            .map(|percent| KPoint { percent, neurons: 1, scores: vec![totals(0.5)], controls: vec![vec![totals(0.75)]] })
            .to_vec(),
        knee: None,
    };
    curve.conclude();
    let tasks = (0..2).map(|d| Arc::new(task(d))).collect();
    let plan = MatrixPlan {
        tasks: names.map(str::to_owned).to_vec(),
        percents: vec![1.0, 10.0],
        controls: 1,
        factors: vec![0.0, 1.0, 2.0],
        scaled_at: 1,
        scaled_controls: 0,
    };
    let cell = |id: &crate::task::CellId| {
        let own = id.seed.is_none() && id.set == id.task;
        Cell { totals: totals(if own { 0.25 } else { 0.5 }), lost: 2, gained: 0 }
    };
    let matrix = TaskMatrix {
        cells: plan.cells().iter().map(|id| (*id, cell(id))).collect(),
        total: plan.cells().len(),
        neurons: vec![vec![1, 1], vec![12, 12]],
        sets: "top k %".into(),
        switched: "set to 0".into(),
        before: vec![totals(0.75), totals(0.5)],
        left_out: vec![1, 0],
        plan,
        provenance: scan().provenance,
    };
    let score = |correct: usize| Some(Score { n: 4, correct, loss: 0.5 });
    let rows = || names.map(|n| RowCounts { name: n.into(), train: 4, validation: 2, test: 4, words: "splits".into() }).to_vec();
    let config = ContinualConfig { seeds: vec![0, 1], ..ContinualConfig::default() };
    let mut sequence = ContinualState::new("k".into(), vec![names[0].into()], vec![names[1].into()], rows(), config, scan().provenance);
    sequence.before = vec![score(1), score(2)];
    for run in &mut sequence.runs {
        run.cells = vec![vec![score(3), score(run.seed as usize)]];
    }
    let mut transfer = TransferState::new("k".into(), rows(), 3, TransferConfig::default(), scan().provenance);
    (transfer.before, transfer.overlap) = (vec![score(1), score(2)], vec![vec![1.0, 0.25], vec![0.25, 1.0]]);
    transfer.units = (0..2)
        .map(|task| TransferUnit {
            seed: 0,
            percent: transfer.config.percent,
            task,
            cells: vec![score(3), score(2)],
            neurons: 12,
            trained: 99,
            steps: 5,
            best_step: 5,
            seconds: 1.0,
            similarity: vec![vec![Some(0.5), None, Some(0.75)]; 2],
        })
        .collect();
    let evaluated = |v: f64| Evaluated {
        accuracy: names.map(|n| (n.to_owned(), v)).into(),
        loss: names.map(|n| (n.to_owned(), 1.0 - v)).into(),
        score: v,
    };
    let point = |step: usize| TunePoint {
        step,
        loss: (step > 0).then_some(1.0 / step as f64),
        gradient_norm: None,
        learning_rate: 1e-3,
        evaluated: Some(evaluated(0.1 * step as f64)),
    };
    let tuning = TuningSheet {
        task: names[0].into(),
        what: "its top 10 %".into(),
        trained: 99,
        parameters: 300,
        judged_on: "test".into(),
        points: (0..4).map(point).collect(),
        before: evaluated(0.25),
        after: evaluated(0.75),
        best_step: 3,
        steps: 3,
    };
    Live {
        found: Some(Found { tasks, curves: vec![curve], percent: 10.0, ranking: Ranking::Global }),
        matrix: Some(Arc::new(matrix)),
        tuning: Some(tuning),
        continual: Some(Arc::new(sequence)),
        transfer: Some(Arc::new(transfer)),
        ..Live::default()
    }
}

fn exported(spec: &ExportSpec, name: &str) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().expect("folder");
    let (scan, samples, live) = (scan(), samples(), live());
    let report = Report {
        scan: &scan,
        model: None,
        metric: spec.metric,
        top_percent: spec.top_percent,
        scores: &[],
        ablation: None,
        colours: &[],
        map: spec.colours,
        samples: Some(&samples),
        other: Some(&scan),
        live: Some(&live),
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
        if what == View::Ablation {
            continue;
        }
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
        assert_eq!(reader.headers().expect("head").iter().collect::<Vec<_>>(), crate::base::long_table::HEAD);
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
    // One pair: index, chance and its band, p and Holm's; then index and chance of each of three layers.
    assert_eq!(overlap.len(), 6 + 2 * 3);
    let metrics: Vec<&str> = overlap.iter().take(7).map(|r| r[5].as_str()).collect();
    assert_eq!((metrics[0], metrics[4], metrics[6]), ("jaccard_top_50_relevance", "log10_p_top_50_relevance", "jaccard_top_50_relevance"));

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

/// Rows of a table but for the head: layer, domain, metric, value, n.
fn rows(spec: &ExportSpec) -> Vec<(String, String, String, String, String)> {
    let text = text(spec, "x.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |r: csv::StringRecord| (r[1].to_owned(), r[4].to_owned(), r[5].to_owned(), r[6].to_owned(), r[8 - 1].to_owned());
    reader.records().map(|r| row(r.expect("record"))).collect()
}

#[test]
fn intersections_of_a_table_add_up_to_the_sets() {
    let all = rows(&ExportSpec { top_percent: 20.0, ..spec(View::Upset, FileKind::Csv) });
    let of = |member: &str| -> f64 {
        let counted = all.iter().filter(|r| r.2 == "exclusive_count_top_20_relevance" && r.1.split('|').any(|d| d == member));
        counted.map(|r| r.3.parse::<f64>().expect("number")).sum()
    };
    // 20 % of 3 x 40.
    assert_eq!((of("a<b"), of("c&d, e")), (24.0, 24.0));
}

#[test]
fn the_tables_of_the_tasks_have_every_number_with_its_place() {
    let of = |what: View| rows(&spec(what, FileKind::Csv));
    let value = |all: &[(String, String, String, String, String)], domain: &str, metric: &str| -> f64 {
        let found: Vec<_> = all.iter().filter(|r| r.1 == domain && r.2 == metric).collect();
        assert_eq!(found.len(), 1, "{metric} of {domain}");
        found[0].3.parse().expect("number")
    };
    let found = of(View::TaskNeurons);
    // 10 % of 3 x 40, two tasks.
    assert_eq!(found.iter().filter(|r| r.2 == "relevance_top_10").count(), 24);
    assert_eq!(value(&found, "a<b", "stability_chance_top_1"), 0.1);
    assert_eq!((value(&found, "a<b", "accuracy_off_10"), value(&found, "a<b", "accuracy_random_off_10")), (0.5, 0.75));
    let matrix = of(View::Deactivation);
    assert_eq!(value(&matrix, "a<b", "accuracy_off_top_10_of_a<b"), 0.25);
    assert_eq!(value(&matrix, "a<b", "accuracy_off_random_like_top_10_of_c&d, e"), 0.5);
    assert_eq!(value(&matrix, "c&d, e", "accuracy_times_2_top_10_of_c&d, e"), 0.25);
    assert_eq!(value(&matrix, "a<b", "change_off_top_1_of_c&d, e"), -0.5);
    let tuning = of(View::Tuning);
    assert_eq!((value(&tuning, "a<b", "accuracy_before"), value(&tuning, "c&d, e", "accuracy_after")), (0.25, 0.75));
    assert_eq!(value(&tuning, "a<b", "training_loss_at_step_2"), 0.5);
    let sequence = of(View::Continual);
    assert_eq!(sequence.iter().filter(|r| r.2 == "accuracy_w-ncft_after_a<b" && r.1 == "c&d, e").count(), 2, "one a seed");
    assert_eq!(value(&sequence, "c&d, e", "accuracy_before"), 0.5);
    let transfer = of(View::Transfer);
    assert_eq!(value(&transfer, "c&d, e", "overlap_with_a<b"), 0.25);
    assert_eq!(transfer.iter().filter(|r| r.2 == "parameter_cosine_with_a<b").count(), 4, "two layers have one, two tasks");
}

#[test]
fn the_curves_table_has_every_share_and_its_chance() {
    let all = rows(&spec(View::OverlapCurve, FileKind::Csv));
    let of = |metric: &str| all.iter().filter(|r| r.2.starts_with(metric)).count();
    assert_eq!((of("jaccard_top_"), of("jaccard_by_chance_top_"), of("jaccard_by_chance_low95_top_")), (28, 28, 28));
    let last = all.iter().find(|r| r.2 == "jaccard_by_chance_top_50.0_relevance").expect("row");
    // Half of all by chance: about 60 * 60 / 120 shared of 90.
    assert!((last.3.parse::<f64>().expect("number") - 1.0 / 3.0).abs() < 0.05, "{last:?}");
}

#[test]
fn the_trees_table_has_cophenetic_distances_and_the_samples_every_pair() {
    let tree = rows(&ExportSpec { layers: Some((0, 0)), ..spec(View::Tree, FileKind::Csv) });
    // One pair: mean of 0.75 and 0.25, and 1 less that.
    assert_eq!(
        tree.iter().map(|r| (r.2.as_str(), r.3.as_str())).collect::<Vec<_>>(),
        [("llmdcos_layers_0_0", "0.5"), ("cophenetic_distance_layers_0_0", "0.5")]
    );
    let pairs = rows(&spec(View::Samples, FileKind::Csv));
    assert_eq!(pairs.len(), 10);
    let one = pairs.iter().find(|r| r.1 == "a<b:8|c&d, e:7").expect("samples 1 and 3");
    assert_eq!((one.0.as_str(), one.2.as_str(), one.3.as_str()), ("2", "llmdcos", "0.4"));
}

#[test]
fn a_layer_that_was_not_compared_is_refused_with_those_that_were() {
    let message = exported(&ExportSpec { layer: Some(1), ..spec(View::Samples, FileKind::Svg) }, "x.svg").expect_err("refused").to_string();
    assert!(message.contains("layer 1") && message.contains("at 2"), "{message}");
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

/// Twenty questions of which `right` are answered right; `shift` moves the margins.
fn score(right: usize) -> DomainScore {
    let items = (0..20)
        .map(|i| ItemScore {
            line: i + 1,
            log_likelihoods: vec![-1.0, -2.0],
            correct: i < right,
            correct_norm: i < right,
            margin: Some(1.0),
            nll: 1.5,
            n_tokens: 1,
        })
        .collect();
    DomainScore { domain: "a<b".into(), kind: DomainKind::MultipleChoice, items }
}

fn ablated(spec: &ExportSpec) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().expect("folder");
    let scan = ScanOutput::default();
    let domain = DomainAblation {
        name: "a<b".into(),
        before: score(18),
        after: score(9),
        controls: vec![score(17), score(16)],
        left_out: 4,
        chosen_on: 0,
    };
    let text = DomainAblation {
        name: "prose".into(),
        before: DomainScore { domain: "prose".into(), kind: DomainKind::Text, ..score(0) },
        after: DomainScore { domain: "prose".into(), kind: DomainKind::Text, ..score(0) },
        controls: Vec::new(),
        left_out: 0,
        chosen_on: 0,
    };
    let ablation = AblationReport {
        mode: AblationMode::Zero,
        at: AblationAt::All,
        neurons: 12,
        heads: 1,
        domains: vec![domain, text],
        provenance: Provenance { model: "tiny".into(), seed: 3, command: "brodmann ablate x".into(), ..Provenance::default() },
    };
    let report = Report {
        scan: &scan,
        model: None,
        metric: spec.metric,
        top_percent: 10.0,
        scores: &[],
        ablation: Some(&ablation),
        colours: &[],
        map: spec.colours,
        samples: None,
        other: None,
        live: None,
    };
    let path = dir.path().join("x");
    let files = silently(|ctx| write(&path, spec, &report, "brodmann ablate x --export y", ctx))?;
    Ok((dir, files))
}

#[test]
fn an_ablation_is_exported_as_its_picture_and_its_numbers() {
    let (_dir, files) = ablated(&spec(View::Ablation, FileKind::Svg)).expect("picture");
    let svg = std::fs::read_to_string(&files[0]).expect("text");
    let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).expect(&svg);
    assert!(tree.size().width() > 900.0);
    for part in ["12 neurons and 1 head off", "a&lt;b", "perplexity", "4 rows", "file: brodmann ablate x --export y"] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    let (_dir, files) = ablated(&spec(View::Ablation, FileKind::Csv)).expect("table");
    let text = std::fs::read_to_string(&files[0]).expect("text");
    // 18 and 9 of 20 right; the second control has 16.
    assert!(text.contains("\ntiny,,model,,a<b,accuracy,0.9,20,3\n") && text.contains("a<b,accuracy_ablated,0.45,20,3\n"), "{text}");
    assert!(text.contains("a<b,accuracy_control,0.8,20,1\n") && text.contains("a<b,mcnemar_p,") && text.contains("prose,loss,1.5,20,3"));
    let e = ablated(&spec(View::Ablation, FileKind::Safetensors)).expect_err("no arrays").to_string();
    assert!(e.contains("csv, tsv or parquet"), "{e}");
    // A run alone has no ablation.
    let e = exported(&spec(View::Ablation, FileKind::Svg), "x.svg").expect_err("none").to_string();
    assert!(e.contains("switch neurons off"), "{e}");
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

#[test]
fn live_views_have_a_row_for_every_number() {
    let rows = |what| text(&spec(what, FileKind::Csv), "x.csv").lines().count() - 1;
    // Nine points, three quantities, predicted and measured.
    assert_eq!(rows(View::Prediction), 9 * 3 * 2);
    // Units with i % 7 > 0 of 120, three measures, each with its change.
    assert_eq!(rows(View::Sweep), (0..120).filter(|i| i % 7 > 0).count() * 3 * 2);
    // Two domains: the baseline, two k with one control each, three measures.
    assert_eq!(rows(View::AgainstK), 2 * (1 + 2 + 2) * 3);
    assert_eq!(rows(View::Break), 3 * 4);
    // Five statistics and three bins a domain, two relevances, two tokens, two words.
    assert_eq!(rows(View::Neuron), 2 * (5 + 3) + 2 + 2 + 2);
    // Three offsets, two means, two lengths, one relevance, three cells of the triangle, two words at each of two tokens.
    assert_eq!(rows(View::Head), 3 + 2 + 2 + 1 + 3 + 4);
    let csv = text(&spec(View::Sweep, FileKind::Csv), "x.csv");
    assert!(csv.contains("tiny,0,mlp.hook_post,1,a<b,change_of_loss,"), "{}", &csv[..300]);
}

#[test]
fn maps_beside_each_other_are_those_that_were_asked_for() {
    let maps = ["relevance:a<b", "relevance:b/a<b:difference:a<b"].map(|m| m.parse().expect(m)).to_vec();
    let wanted = ExportSpec { maps, ..spec(View::Maps, FileKind::Csv) };
    let csv = text(&wanted, "x.csv");
    assert_eq!(csv.lines().count() - 1, 2 * 3 * WIDTH);
    // The run against itself: nothing changed anywhere.
    let deltas: Vec<&str> = csv.lines().filter(|l| l.contains(",b/a<b,relevance minus a<b,")).collect();
    assert_eq!(deltas.len(), 3 * WIDTH);
    assert!(deltas.iter().all(|l| l.split(',').nth_back(2) == Some("0")), "{}", deltas[0]);
    let svg = text(&ExportSpec { kind: FileKind::Svg, ..wanted }, "x.svg");
    // Maps of two kinds have a colour bar each.
    assert_eq!(svg.matches("neuron (coordinate of mlp.hook_post)").count(), 2);
    let missing = exported(&ExportSpec { maps: vec!["relevance:tides".parse().expect("map")], ..spec(View::Maps, FileKind::Csv) }, "x.csv");
    assert!(missing.is_err_and(|e| e.to_string().contains("tides")));
}
