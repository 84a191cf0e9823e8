//! An [`App`] with a made-up library, for tests and snapshots of the fronts. No number here was measured on anything.

use super::{
    App, Command, DomainEntry, Measured, ModelEntry, Origin, ProjectDomain, RunEntry, Settings, SimilarityView,
    library::Loading,
    prediction::label_of,
    state::{Notice, NoticeLevel},
};
use crate::{
    ablate::{Prediction, Summary},
    base::{Grid, Neuron, NeuronSet, provenance::Provenance, rng::Rng},
    compute::{
        HISTOGRAM_BINS,
        cpu::Products,
        scan_job::{histogram_bin, histogram_edge},
    },
    data::{Domain, DomainKind, Item, Mapping, Prompting},
    eval::{DomainScore, ItemScore},
    model::{DecoderSpec, ModelInfo, spec::Sizes},
    scan::{DomainScan, DomainSource, MetricKind, PairSeries, SampleSimilarity, SampledDomain, ScanConfig, ScanOutput, Timing},
};
use std::{collections::BTreeSet, path::Path, sync::Arc};

pub const DOMAINS: [&str; 6] = ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"];
const CREATED: &str = "2026-01-31T12:00:00Z";

/// An empty app whose files live below `data_dir`.
pub fn for_tests(data_dir: &Path) -> App {
    let settings = Settings { data_dir: data_dir.to_owned(), ..Settings::from_env() };
    App::with_settings(Arc::new(|| {}), settings)
}

/// Opens the small fixture model, which computes, and two domains of 30 questions that are written into `folder`.
#[cfg(test)]
pub fn open_two_domains(app: &mut App, folder: &Path) {
    app.apply(Command::OpenModel { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama") });
    for name in ["a", "b"] {
        let path = folder.join(format!("{name}.jsonl"));
        let row = |i| format!(r#"{{"question":"{name}: which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3);
        std::fs::write(&path, (0..30).map(row).collect::<Vec<_>>().join("\n")).expect("questions");
        app.apply(Command::AddDomain { name: name.into(), path, mapping: Mapping::default() });
    }
}

/// A model of 8 layers x 512 neurons, six domains, one shown run: everything but an engine.
pub fn sample_app(data_dir: &Path) -> App {
    sample_app_of(data_dir, 8, 512)
}

/// The same for another shape, e.g. 32 x 14,336 for a large map.
pub fn sample_app_of(data_dir: &Path, n_layers: usize, d_mlp: usize) -> App {
    let mut app = for_tests(data_dir);
    (app.settings.usable_products, app.settings.given_products) = (f32_alone, None);
    let (info, spec) = sample_model(n_layers, d_mlp);
    app.project.model = Some("demo".into());
    app.library.model = Some(ModelEntry { path: "demo".into(), state: Loading::Ready((info, spec)) });
    for (colour, name) in DOMAINS.iter().enumerate() {
        let mapping = Mapping::default();
        app.project.domains.push(ProjectDomain {
            name: (*name).into(),
            path: "demo".into(),
            mapping: mapping.clone(),
            enabled: true,
            colour,
        });
        app.library.domains.push(DomainEntry {
            name: (*name).into(),
            path: "demo".into(),
            mapping,
            state: Loading::Ready(Arc::new(sample_domain(name, "validation", 64))),
            test: Some(Arc::new(sample_domain(name, "test", 240))),
        });
    }
    app.library.runs.push(RunEntry {
        name: "run 1".into(),
        path: Some("demo".into()),
        output: Arc::new(sample_output(n_layers, d_mlp, 0)),
        samples: None,
    });
    app.show_run(0);
    app
}

/// Made-up numbers are the same on every machine, whatever its processor has.
fn f32_alone(products: Products) -> Result<Products, String> {
    if products == Products::F32 { Ok(products) } else { Err(format!("{products} needs {}", products.needs())) }
}

/// As [`sample_app`], with the top 10 % of arithmetic switched off and its accuracies measured.
pub fn sample_app_ablated(data_dir: &Path) -> App {
    let mut app = sample_app(data_dir);
    app.apply(Command::AddTopSet { domain: DOMAINS[0].into(), metric: MetricKind::Relevance, percent: 10.0 });
    let mut rng = Rng::new(5);
    for (i, name) in DOMAINS.iter().enumerate() {
        let before = 0.88 + 0.02 * i as f64;
        let after = if i == 0 { 0.31 } else { before - 0.03 * (i % 3) as f64 };
        app.ablation.n_total.insert((*name).into(), 240);
        app.ablation.before.insert((*name).into(), sample_score(name, 240, before, &mut rng));
        app.ablation.after.insert((*name).into(), sample_score(name, 240, after, &mut rng));
        let controls = (0..5).map(|_| sample_score(name, 240, before - 0.05, &mut rng)).collect();
        app.ablation.controls.insert((*name).into(), controls);
    }
    app
}

/// As [`sample_app_ablated`], with what was predicted of it, and a session's changes that were predicted and measured.
pub fn sample_app_predicted(data_dir: &Path) -> App {
    let mut app = sample_app_ablated(data_dir);
    let mut rng = Rng::new(11);
    for name in DOMAINS {
        let (Some(before), Some(after)) = (app.ablation.before.get(name), app.ablation.after.get(name)) else { continue };
        let (before, after) = (Summary::of(before), Summary::of(after));
        let part = |v: Option<f64>, b: Option<f64>| Some(b? + 0.6 * (v? - b?));
        let predicted =
            Summary { acc: part(after.acc, before.acc), margin: part(after.margin, before.margin), loss: part(after.loss, before.loss) };
        let prediction = Prediction { n: 240, n_all: 240, before, after: predicted };
        app.measured.push(sample_measured(&app, name, Origin::Toggle, prediction.change(), after.minus(&before)));
        app.prediction.domains.insert(name.into(), prediction);
    }
    for (i, name) in DOMAINS.iter().cycle().take(48).enumerate() {
        let size = 0.6 * rng.normal();
        let summary = |v: f64| Summary { acc: Some(0.08 * v), margin: Some(v), loss: Some(-0.4 * v) };
        // The linear picture holds for small changes and overshoots large ones.
        let measured = size - 0.2 * size * size.abs() + 0.05 * rng.normal();
        let origin = if i % 3 == 0 { Origin::Control } else { Origin::Toggle };
        let mut point = sample_measured(&app, name, origin, summary(size), summary(measured));
        if origin == Origin::Toggle {
            point.neurons = Arc::new(NeuronSet::from_iter([Neuron::new(i as u32 % 8, i as u32 * 7 % 512)]));
            point.label = point.neurons.to_string();
        }
        app.measured.push(point);
    }
    app
}

fn sample_measured(app: &App, domain: &str, origin: Origin, predicted: Summary, measured: Summary) -> Measured {
    let neurons = match origin {
        Origin::Control => app.project.off().random_like(512, 0),
        _ => app.project.off(),
    };
    Measured {
        label: label_of(&neurons, &BTreeSet::new()),
        neurons: Arc::new(neurons),
        heads: BTreeSet::new(),
        mode: app.project.mode.clone(),
        at: app.project.at,
        domain: domain.into(),
        n: 240,
        predicted,
        measured,
        origin,
        computed: app.computing_key(),
    }
}

/// As [`sample_app`], with eight samples of each domain compared at layers 3 and 5.
pub fn sample_app_compared(data_dir: &Path) -> App {
    let mut app = sample_app(data_dir);
    app.library.runs[0].samples = Some(Arc::new(sample_similarity(8)));
    app.project.view.similarity = SimilarityView::Samples;
    app
}

/// Samples of one domain alike, those of neighbours less so.
pub fn sample_similarity(each: usize) -> SampleSimilarity {
    let n = DOMAINS.len() * each;
    let layer = |l: usize| {
        let mut rng = Rng::stream(l as u64, "similarity of samples");
        let mut values = vec![1.0f32; n * n];
        for a in 0..n {
            for b in 0..a {
                let apart = (a / each).abs_diff(b / each) as f64;
                let alike = if apart == 0.0 { 0.82 } else { 0.62 - 0.05 * apart } - 0.02 * l as f64;
                let v = (alike + 0.04 * rng.normal()).clamp(0.0, 1.0) as f32;
                (values[a * n + b], values[b * n + a]) = (v, v);
            }
        }
        Grid::new(n, n, values).ok().map(|g| (l, g))
    };
    let domain = |name: &&str| {
        let items = sample_domain(name, "validation", each).items;
        SampledDomain {
            name: (*name).into(),
            source: DomainSource { sample_lines: (0..each).map(|m| 3 * m + 1).collect(), ..DomainSource::default() },
            tokens: (0..each).map(|m| 14 + m % 3).collect(),
            texts: items.into_iter().map(|i| i.context).collect(),
        }
    };
    SampleSimilarity {
        provenance: sample_output(8, 512, 0).provenance,
        n_layers: 8,
        domains: DOMAINS.iter().map(domain).collect(),
        layers: [3, 5].into_iter().filter_map(layer).collect(),
        ..SampleSimilarity::default()
    }
}

/// As [`sample_app`], with sets of every origin and a history of two branches.
pub fn sample_app_with_sets(data_dir: &Path) -> App {
    let mut app = sample_app(data_dir);
    let keep = |name: &str, neurons: NeuronSet| Command::KeepSet {
        name: name.into(),
        neurons,
        source: "selected in a view".into(),
        chosen_on: Vec::new(),
    };
    app.apply(keep("brushed", sample_set()));
    app.apply(Command::AddFormula { name: "logic, not code".into(), formula: "top(logic, 10%) - top(code, 10%)".into(), on: true });
    app.apply(Command::ColourSet { index: 1, colour: 1 });
    app.apply(Command::NoteSet { index: 1, notes: "What logic has to itself.".into() });
    app.apply(Command::Undo);
    app.apply(Command::Undo);
    app.apply(Command::AddFormula { name: "few of arithmetic".into(), formula: "cap(top(arithmetic, 5%), 12)".into(), on: false });
    app.apply(Command::AddFormula { name: "control".into(), formula: "random_like('logic, not code', 1)".into(), on: false });
    app.history.date(CREATED);
    app
}

/// Pumps until no job works.
///
/// # Panics
/// After two minutes: a job hangs.
pub fn settle(app: &mut App) {
    let started = std::time::Instant::now();
    while { app.pump() } || !app.is_idle() {
        assert!(started.elapsed().as_secs() < 120, "still running: {:?}", app.running().map(|j| &j.title));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A log line with a fixed time.
pub fn notice(level: NoticeLevel, title: &str, details: &str) -> Notice {
    Notice { level, title: title.into(), details: details.into(), time: CREATED.into() }
}

pub fn sample_model(n_layers: usize, d_mlp: usize) -> (ModelInfo, DecoderSpec) {
    let sizes = Sizes {
        n_layers,
        d_model: d_mlp / 4,
        d_mlp,
        vocab: 2_048,
        max_positions: 256,
        n_heads: 8,
        n_kv_heads: 4,
        head_dim: (d_mlp / 32).max(2),
    };
    let spec = DecoderSpec { tied_head: true, ..DecoderSpec::llama(sizes) };
    let n_params = (n_layers * params_per_layer(d_mlp) + spec.vocab * spec.d_model) as u64;
    let info = ModelInfo {
        name: "demo".into(),
        folder: "demo".into(),
        model_type: "llama".into(),
        n_params,
        dtype: "bf16".into(),
        size_bytes: 2 * n_params,
        sha256: "5a".repeat(32),
    };
    (info, spec)
}

fn params_per_layer(d_mlp: usize) -> usize {
    let d = d_mlp / 4;
    3 * d * d + 3 * d * d_mlp
}

pub fn sample_domain(name: &str, split: &str, items: usize) -> Domain {
    let items: Vec<Item> = (0..items)
        .map(|i| Item {
            line: i + 1,
            context: format!("Question {i} of {name}: is {} larger than {}?\nAnswer:", i * 7 % 13, i * 5 % 11),
            choices: vec!["yes".into(), "no".into()],
            gold: Some(usize::from(i * 7 % 13 <= i * 5 % 11)),
            ..Item::default()
        })
        .collect();
    Domain {
        name: name.into(),
        source: "demo".into(),
        split: split.into(),
        kind: DomainKind::MultipleChoice,
        template: "question, then `Answer:`".into(),
        items_sha256: Domain::digest(&items),
        items,
        skipped: Vec::new(),
        sha256: "d0".repeat(32),
        prompt: Prompting::default(),
    }
}

pub fn sample_score(domain: &str, n: usize, acc: f64, rng: &mut Rng) -> DomainScore {
    let items = (0..n)
        .map(|i| {
            let correct = rng.unit() < acc;
            let margin = rng.unit() * 4.0 * if correct { 1.0 } else { -1.0 };
            ItemScore {
                line: i + 1,
                log_likelihoods: vec![-1.0 + margin.min(0.0), -1.0 - margin.max(0.0)],
                correct,
                correct_norm: correct,
                margin: Some(margin),
                nll: 1.0 - margin.min(0.0),
                n_tokens: 1,
                cut: 0,
            }
        })
        .collect();
    DomainScore { domain: domain.into(), kind: DomainKind::MultipleChoice, items }
}

/// Plausible and seeded: density falls with depth, every domain has its own hot neurons in the deep half, cosines fall with depth faster
/// for unlike domains.
pub fn sample_output(n_layers: usize, d_mlp: usize, seed: u64) -> ScanOutput {
    let config = ScanConfig::default();
    let params = params_per_layer(d_mlp) as f64;
    let depth = |l: usize| l as f64 / (n_layers.max(2) - 1) as f64;
    let domains: Vec<DomainScan> = DOMAINS
        .iter()
        .enumerate()
        .map(|(d, name)| {
            let mut rng = Rng::stream(seed, name);
            // log2 of the mean activation is logistic, so that counts follow in closed form.
            let centre = |l: usize| -19.0 - 3.0 * depth(l) + 0.35 * ((d * 5 + l * 3) % 7) as f64 / 3.0;
            let above = |l: usize, value: f32| params / (1.0 + ((f64::from(value.log2()) - centre(l)) / 1.6).exp());
            let histogram = |l: usize| -> Vec<u64> {
                let mut bins = vec![0u64; HISTOGRAM_BINS];
                let mut rest = params.round() as u64;
                for (i, bin) in bins.iter_mut().enumerate().skip(1).rev() {
                    let count = (above(l, histogram_edge(i)).round() as u64).saturating_sub(params.round() as u64 - rest);
                    *bin = count.min(rest);
                    rest -= *bin;
                }
                bins[0] = rest;
                bins
            };
            let histogram: Vec<Vec<u64>> = (0..n_layers).map(histogram).collect();
            let count = |l: usize| -> u64 {
                let bin = histogram_bin(config.gamma);
                let sure: u64 = histogram[l][bin + 1..].iter().sum();
                let exact = above(l, config.gamma).round() as u64;
                exact.clamp(sure, sure + histogram[l][bin])
            };
            let activated_count: Vec<u64> = (0..n_layers).map(count).collect();
            let mut map = |scale: f64, signed: bool| {
                let values: Vec<f32> = (0..n_layers * d_mlp)
                    .map(|i| {
                        let (l, j) = (i / d_mlp, i % d_mlp);
                        let own = (j * 37 + l * 11) % 61 == d * 7;
                        let hot = if own && depth(l) > 0.4 { 8.0 } else { 1.0 };
                        let v = scale * hot * (0.9 * rng.normal()).exp();
                        (if signed && rng.unit() < 0.5 { -v } else { v }) as f32
                    })
                    .collect();
                Grid::new(n_layers, d_mlp, values).ok()
            };
            DomainScan {
                name: (*name).into(),
                samples: 64,
                tokens: 64 * (18 + 3 * d),
                mean_objective: 9.0 + 0.7 * d as f64,
                density: activated_count.iter().map(|&c| c as f64 / params).collect(),
                activated_count,
                histogram,
                param_activation: map(2e-3, false),
                relevance: map(4e-3, false),
                attribution: None,
                mean_activation: map(0.05, true),
                mean_abs_activation: map(0.08, false),
                ..DomainScan::default()
            }
        })
        .collect();
    let mut llmdcos = Vec::new();
    for (a, name_a) in DOMAINS.iter().enumerate() {
        for (b, name_b) in DOMAINS.iter().enumerate().skip(a) {
            let mut rng = Rng::stream(seed, &format!("{name_a}|{name_b}"));
            let unlike = if a == b { 0.2 } else { 0.35 + 0.08 * ((a * 3 + b * 5) % 6) as f64 };
            let cosines = (0..64)
                .map(|_| (0..n_layers).map(|l| Some((0.86 - unlike * depth(l) + 0.05 * rng.normal()).clamp(0.0, 1.0) as f32)).collect())
                .collect();
            llmdcos.push(PairSeries { a: (*name_a).into(), b: (*name_b).into(), cosines });
        }
    }
    ScanOutput {
        config,
        provenance: Provenance {
            program: "brodmann 0.0.0 (sample)".into(),
            model: "demo".into(),
            model_sha256: "5a".repeat(32),
            data_sha256: DOMAINS.iter().map(|d| ((*d).to_owned(), "d0".repeat(32))).collect(),
            formula: "A = |w * dD/dw| (arXiv 2405.17799)".into(),
            objective: "max-logit".into(),
            seed,
            dtype: "f32".into(),
            device: "cpu (sample)".into(),
            command: "brodmann scan --model demo --samples 64 --seed 0".into(),
            created: CREATED.into(),
            ..Provenance::default()
        },
        timing: Timing { seconds: 12.5, samples_per_second: 30.7, peak_rss_bytes: 210 << 20 },
        n_layers,
        d_mlp,
        params_per_layer: vec![params as u64; n_layers],
        domains,
        llmdcos,
    }
}

/// Some neurons to select.
pub fn sample_set() -> NeuronSet {
    NeuronSet::parse("L3N17,L4N0-15,L7N500").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_consistent() {
        let out = sample_output(8, 512, 0);
        for d in &out.domains {
            for l in 0..8 {
                assert_eq!(d.histogram[l].iter().sum::<u64>(), out.params_per_layer[l]);
                assert!(d.density[l] > 0.0 && d.density[l] < 1.0, "{}", d.density[l]);
            }
            assert!(d.density[0] > d.density[7]);
        }
        assert_eq!(out.llmdcos.len(), 21);
        assert_eq!(out, sample_output(8, 512, 0));
    }
}
