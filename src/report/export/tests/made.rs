//! A small run, its live results, and what is exported of them.

use super::super::*;
use crate::{
    base::{Grid, job::silently},
    eval::{AblationAt, AblationMode},
    scan::{DomainSource, PairSeries, SampleSimilarity, SampledDomain, ScanConfig, ScanOutput},
};

pub const WIDTH: usize = 40;

/// Three layers of 40 neurons, two domains whose names need escaping.
pub fn scan() -> ScanOutput {
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
pub fn samples() -> SampleSimilarity {
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
pub fn live() -> Live {
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
    let rows = || names.map(|n| RowCounts { name: n.into(), train: 4, validation: 2, test: 4, cut: 0, words: "splits".into() }).to_vec();
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

pub fn exported(spec: &ExportSpec, name: &str) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().expect("folder");
    let (scan, samples, live) = (scan(), samples(), live());
    let report = Report {
        scan: &scan,
        model: None,
        metric: spec.metric,
        top_percent: spec.top_percent,
        scores: &[],
        scored_in: "",
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

pub fn text(spec: &ExportSpec, name: &str) -> String {
    let (_dir, files) = exported(spec, name).expect("exported");
    std::fs::read_to_string(&files[0]).expect("text")
}

pub fn spec(what: View, kind: FileKind) -> ExportSpec {
    ExportSpec { what, kind, pixels: 1.0, ..ExportSpec::default() }
}

/// Rows of a table but for the head: layer, domain, metric, value, n.
pub fn rows(spec: &ExportSpec) -> Vec<(String, String, String, String, String)> {
    let text = text(spec, "x.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |r: csv::StringRecord| (r[1].to_owned(), r[4].to_owned(), r[5].to_owned(), r[6].to_owned(), r[8 - 1].to_owned());
    reader.records().map(|r| row(r.expect("record"))).collect()
}
