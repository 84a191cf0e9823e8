//! The neuron inspector's engine against direct computations: f64 arithmetic over traced tensors, and the values that transformers stored.

use brodmann::{
    base::{Head, HookPoint, Neuron, NeuronSet, job::silently},
    compute::{NormKind, cpu::CpuBackend},
    eval::{AblationMode, Intervention},
    inspect::{self, IndexDomain, IndexLimits, IndexShape, LensRow, LogitLens, NeuronIndex, symlog},
    model::{BlockNorm, Decoder, Matrix, Role, load_model, spec::Residual, trace},
    scan::{Limits, MetricKind, ObjectiveKind, PreparedDomain, ScanConfig, scan_prepared},
};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn decoder_of(folder: &Path) -> Decoder {
    let model = silently(|ctx| load_model(folder, ctx)).expect("the model loads");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)))
}

fn decoder(name: &str) -> Decoder {
    decoder_of(&fixture(name))
}

/// A model of tests/fixtures/options, which has no tokenizer of its own.
fn option(name: &str) -> Decoder {
    let with_tokenizer = tempfile::tempdir().expect("folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("options").join(name).join(file), with_tokenizer.path().join(file)).expect(file);
    }
    std::fs::copy(fixture("tiny-llama/tokenizer.json"), with_tokenizer.path().join("tokenizer.json")).expect("tokenizer");
    decoder_of(with_tokenizer.path())
}

/// Two domains of seeded token sequences of different lengths.
fn domains(vocab: u32) -> Vec<IndexDomain> {
    let sequence =
        |d: u32, s: u32| -> Vec<u32> { (0..5 + (s * 7 + d * 3) % 23).map(|i| (i * i * 31 + s * 17 + d * 101 + i) % vocab).collect() };
    let domain = |(d, name): (u32, &str)| IndexDomain {
        name: name.into(),
        sha256: "00".repeat(32),
        lines: (0..14).map(|s| s as usize + 1).collect(),
        sequences: (0..14).map(|s| sequence(d, s)).collect(),
        ..IndexDomain::default()
    };
    [(0, "a"), (1, "b")].into_iter().map(domain).collect()
}

fn index(decoder: &Decoder) -> NeuronIndex {
    let plan = inspect::plan(decoder, domains(decoder.model.spec.vocab as u32), 7, IndexLimits::default()).expect("plan");
    silently(|ctx| inspect::build(decoder, plan, ctx)).expect("index")
}

/// `mlp.hook_post` of a layer, by sample: the trace is another way through the decoder, one sequence at a time.
fn traced(decoder: &Decoder, sequence: &[u32]) -> BTreeMap<HookPoint, Vec<f32>> {
    let points = decoder.model.spec.hook_points();
    let trace = silently(|ctx| trace(decoder, sequence, &points, ctx)).expect("trace");
    trace.tensors.into_iter().map(|(p, _, v)| (p, v)).collect()
}

#[test]
fn statistics_histograms_and_extremes_are_those_of_the_traced_activations() {
    let decoder = decoder("tiny-llama");
    let (f, index, domains) = (decoder.model.spec.d_mlp, index(&decoder), domains(512));
    let traces: Vec<Vec<_>> = domains.iter().map(|d| d.sequences.iter().map(|s| traced(&decoder, s)).collect()).collect();
    for (layer, j) in [(0, 0), (0, 87), (1, 33), (2, 5), (2, 86)] {
        let neuron = Neuron::new(layer, j);
        let facts = index.neuron(neuron).expect("inside");
        let column = |t: &BTreeMap<HookPoint, Vec<f32>>| -> Vec<f32> {
            t[&HookPoint::MlpPost(layer as usize)].chunks_exact(f).map(|r| r[j as usize]).collect()
        };
        let mut extremes: Vec<(f32, usize, usize)> = Vec::new();
        for (d, samples) in traces.iter().enumerate() {
            let columns: Vec<Vec<f32>> = samples.iter().map(column).collect();
            let all: Vec<f64> = columns.iter().flatten().map(|&v| f64::from(v)).collect();
            let n = all.len() as f64;
            let mean = all.iter().sum::<f64>() / n;
            let std = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let s = &facts.stats[d];
            assert_eq!(s.tokens, all.len());
            // Sums in f64, stored as f32: a relative 6e-8 of values near 0.1; the variance is a difference of squares in f64.
            assert!((f64::from(s.mean) - mean).abs() < 1e-7 && (f64::from(s.std) - std).abs() < 1e-6, "{neuron}: {s:?} {mean} {std}");
            let abs = all.iter().map(|v| v.abs()).sum::<f64>() / n;
            assert!((f64::from(s.mean_abs) - abs).abs() < 1e-7);
            let hoyer =
                (n.sqrt() - all.iter().map(|v| v.abs()).sum::<f64>() / all.iter().map(|v| v * v).sum::<f64>().sqrt()) / (n.sqrt() - 1.0);
            assert!((f64::from(s.sparsity.expect("fires")) - hoyer).abs() < 1e-5);
            assert_eq!(f64::from(s.max), all.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            assert_eq!(f64::from(s.min), all.iter().copied().fold(f64::INFINITY, f64::min));
            let bins = facts.histogram[d].len();
            let mut counts = vec![0u16; bins];
            let (lo, hi) = (symlog::position(facts.edges[0], facts.turn), symlog::position(facts.edges[facts.edges.len() - 1], facts.turn));
            for &v in columns.iter().flatten() {
                counts[symlog::bin(v, facts.turn, lo, hi, bins)] += 1;
            }
            assert_eq!(facts.histogram[d].iter().map(|&c| u64::from(c)).sum::<u64>(), all.len() as u64);
            // The ends come back from the edges with rounding: a value on an edge may change sides.
            let moved: u16 = counts.iter().zip(&facts.histogram[d]).map(|(a, b)| a.abs_diff(*b)).sum();
            assert!(moved <= 2, "{neuron}: {moved} values in other bins");
            for (s, column) in columns.iter().enumerate() {
                let best = column.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (t, &v)| if v > b.1 { (t, v) } else { b });
                extremes.push((best.1, d * 14 + s, best.0));
            }
        }
        extremes.sort_by(|a, b| b.0.total_cmp(&a.0));
        let want: Vec<_> = extremes.into_iter().filter(|e| e.0 > 0.0).take(8).collect();
        let got: Vec<_> = facts.top.iter().map(|p| (p.value, p.sample, p.position)).collect();
        assert_eq!(got, want, "{neuron}");
        for p in &facts.top {
            let (d, s) = index.domain_of(p.sample);
            assert_eq!((p.domain, p.line), (d, Some(s + 1)));
            let column = column(&traces[d][s]);
            assert_eq!(p.tokens, domains[d].sequences[s][p.first..p.first + p.tokens.len()]);
            for (kept, v) in p.values.iter().zip(&column[p.first..]) {
                // f16 has 11 bits.
                assert!((kept - v).abs() <= 5e-4 * v.abs() + 1e-7, "{kept} {v}");
            }
        }
        assert!(facts.bottom.iter().all(|p| p.value < 0.0) && facts.bottom.windows(2).all(|w| w[0].value <= w[1].value));
    }
}

#[test]
fn means_are_those_of_a_scan_of_the_same_samples() {
    let decoder = decoder("tiny-qwen2");
    let (index, domains) = (index(&decoder), domains(512));
    let prepared: Vec<_> =
        domains.iter().map(|d| PreparedDomain::from_tokens(d.name.as_str(), d.sequences.clone(), ObjectiveKind::MaxLogit, 7)).collect();
    let config = ScanConfig { metrics: vec![MetricKind::MeanActivation], ..ScanConfig::default() };
    let scan = silently(|ctx| scan_prepared(&decoder, &prepared, &config, Limits::default(), ctx)).expect("scan");
    for l in 0..decoder.model.spec.n_layers {
        for j in 0..decoder.model.spec.d_mlp {
            let stats = index.stats(Neuron::new(l as u32, j as u32)).expect("inside");
            for (d, s) in stats.iter().enumerate() {
                let mean = scan.domains[d].mean_activation.as_ref().expect("measured").get(l, j).expect("inside");
                // The same f64 sum of the same values, in micro-batches of other sizes: at most one f32 step apart.
                assert!((s.mean - mean).abs() <= 2e-7 * mean.abs().max(1e-3), "L{l}N{j}: {} and {mean}", s.mean);
            }
        }
    }
}

#[test]
fn correlations_are_pearsons_over_the_compared_positions() {
    let decoder = decoder("tiny-gpt2");
    let (f, index, domains) = (decoder.model.spec.d_mlp, index(&decoder), domains(512));
    // Every neuron at every compared position, in f64.
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); f * decoder.model.spec.n_layers];
    let mut token = 0;
    for sequence in domains.iter().flat_map(|d| &d.sequences) {
        let trace = traced(&decoder, sequence);
        for t in 0..sequence.len() {
            if index.compared_positions().contains(&(token + t as u32)) {
                assert_ne!(t, 0, "the first token of a text is not compared");
                for (n, of) in values.iter_mut().enumerate() {
                    of.push(f64::from(trace[&HookPoint::MlpPost(n / f)][t * f + n % f]));
                }
            }
        }
        token += sequence.len() as u32;
    }
    assert_eq!(values[0].len(), index.n_compared());
    assert!(index.n_compared() > 100, "{}", index.n_compared());
    let pearson = |a: &[f64], b: &[f64]| {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let cross: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
        let square = |v: &[f64], m: f64| v.iter().map(|x| (x - m).powi(2)).sum::<f64>();
        cross / (square(a, ma) * square(b, mb)).sqrt()
    };
    for own in [Neuron::new(0, 3), Neuron::new(2, 100)] {
        let at = own.layer as usize * f + own.index as usize;
        let found = inspect::by_activation(&index, own, 8).expect("neighbours");
        let mut want: Vec<(f64, usize)> = (0..values.len()).filter(|&n| n != at).map(|n| (pearson(&values[at], &values[n]), n)).collect();
        want.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (n, (r, _)) in found.in_model.iter().zip(&want) {
            // Both factors are kept in f16 (11 bits): sums of some hundred products are off by 1e-4 or less.
            assert!((f64::from(n.likeness) - r).abs() < 1e-3, "{own}: {n:?} instead of {r}");
        }
        let in_layer = want.iter().filter(|w| w.1 / f == own.layer as usize);
        for (n, (r, _)) in found.in_layer.iter().zip(in_layer) {
            assert_eq!(n.neuron.layer, own.layer);
            assert!((f64::from(n.likeness) - r).abs() < 1e-3);
        }
        assert_eq!((found.in_model.len(), found.in_layer.len()), (8, 8));
    }
}

#[test]
fn likeness_by_weight_is_the_mean_cosine_of_rows_and_columns() {
    for name in ["tiny-llama", "tiny-gpt2"] {
        let decoder = decoder(name);
        let spec = &decoder.model.spec;
        let (f, d) = (spec.d_mlp, spec.d_model);
        let parts = |n: usize| -> Vec<Vec<f64>> {
            let block = decoder.model.weights.block(n / f);
            let row = |m: Matrix| block.matrix(m)[(n % f) * d..(n % f + 1) * d].iter().map(|&v| f64::from(v)).collect();
            let mut parts: Vec<Vec<f64>> =
                if spec.mlp.is_gated() { vec![row(Matrix::Gate), row(Matrix::Up)] } else { vec![row(Matrix::Up)] };
            parts.push((0..d).map(|i| f64::from(block.matrix(Matrix::Down)[i * f + n % f])).collect());
            parts
        };
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let own = Neuron::new(1, 4);
        let mine = parts(f + 4);
        let mut want: Vec<(f64, usize)> = (0..f * spec.n_layers)
            .filter(|&n| n != f + 4)
            .map(|n| (parts(n).iter().zip(&mine).map(|(a, b)| cosine(a, b)).sum::<f64>() / mine.len() as f64, n))
            .collect();
        want.sort_by(|a, b| b.0.total_cmp(&a.0));
        let found = silently(|ctx| inspect::by_weight(&decoder, own, 8, ctx)).expect("neighbours");
        for (n, (c, at)) in found.in_model.iter().zip(&want) {
            // f32 sums of 32 to 128 products.
            assert!((f64::from(n.likeness) - c).abs() < 1e-5, "{name}: {n:?}, expected {c}");
            assert_eq!((n.neuron.layer as usize * f) + n.neuron.index as usize, *at, "{name}");
        }
        assert_eq!(found.in_layer.len(), 8);
    }
}

/// The formula by hand, in f64: centre (layer norms), times gain, through every norm that follows and the output projection.
fn logits_by_hand(decoder: &Decoder, neuron: Neuron) -> Vec<f64> {
    let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
    let (f, d) = (spec.d_mlp, spec.d_model);
    let block = weights.block(neuron.layer as usize);
    let mut row: Vec<f64> = (0..d).map(|i| f64::from(block.matrix(Matrix::Down)[i * f + neuron.index as usize])).collect();
    let mut gains: Vec<Vec<f32>> = Vec::new();
    match spec.residual {
        Residual::Sandwich => gains.push(block.norm(BlockNorm::PostMlp).to_vec()),
        Residual::PostNorm => gains.push(block.norm(BlockNorm::Mlp).to_vec()),
        _ => {}
    }
    gains.extend(weights.outer(Role::NormFinal).map(|g| g.to_vec()));
    for gain in gains {
        let mean = if spec.norm.kind == NormKind::Layer { row.iter().sum::<f64>() / d as f64 } else { 0.0 };
        row.iter_mut().zip(gain).for_each(|(v, g)| *v = (*v - mean) * (f64::from(spec.norm.gain_offset) + f64::from(g)));
    }
    let width = spec.embedding.width;
    if let Some(project) = weights.outer(Role::ProjectOut) {
        row = (0..width).map(|o| (0..d).map(|i| f64::from(project[o * d + i]) * row[i]).sum()).collect();
    }
    (0..spec.vocab).map(|v| (0..width).map(|i| f64::from(weights.head()[v * width + i]) * row[i]).sum()).collect()
}

#[test]
fn the_logit_lens_of_every_family_is_the_formula_by_hand() {
    let tiny =
        ["llama", "qwen2", "qwen3", "gemma3", "phi3", "gpt2", "gpt_neox", "opt", "mistral"].map(|n| (n, decoder(&format!("tiny-{n}"))));
    let options = ["opt-post-norm", "gemma3-capped", "gpt_neox-sequential"].map(|n| (n, option(n)));
    for (name, decoder) in tiny.into_iter().chain(options) {
        let spec = decoder.model.spec.clone();
        let neuron = Neuron::new(spec.n_layers as u32 - 1, 3);
        let want = logits_by_hand(&decoder, neuron);
        let lens = silently(|ctx| inspect::logit_lens(&decoder, neuron, 10, ctx)).expect("lens");
        let largest = want.iter().fold(0f64, |m, v| m.max(v.abs()));
        assert!(largest > 1e-4, "{name} writes nothing");
        let mut order: Vec<usize> = (0..want.len()).collect();
        order.sort_by(|&a, &b| want[b].total_cmp(&want[a]));
        for (words, order) in [(&lens.promotes, order.clone()), (&lens.suppresses, order.into_iter().rev().collect())] {
            assert_eq!(words.len(), 10);
            for (&(token, logit), &place) in words.iter().zip(&order) {
                // f32 sums of up to 128 products: 1e-6 of the largest; two tokens nearer than that may change places.
                let slack = 4e-6 * largest;
                assert!((f64::from(logit) - want[token as usize]).abs() < slack, "{name}: token {token}");
                assert!((f64::from(logit) - want[place]).abs() < slack, "{name}: place of token {token}");
            }
        }
        let mean = want.iter().sum::<f64>() / want.len() as f64;
        assert!((f64::from(lens.mean) - mean).abs() < 1e-6 * largest.max(1.0));
        let words = LogitLens::formula(&spec);
        assert_eq!(words.contains("soft cap"), spec.logit_soft_cap.is_some(), "{name}: {words}");
        assert_eq!(words.contains("centred"), spec.norm.kind == NormKind::Layer && spec.final_norm, "{name}: {words}");
    }
}

/// On a model whose final norm changes little: what the lens promises is what a small push does, up to the norm's scale.
#[test]
fn a_push_along_the_output_row_moves_the_logits_as_the_lens_says() {
    let decoder = decoder("tiny-llama");
    let spec = &decoder.model.spec;
    let neuron = Neuron::new(spec.n_layers as u32 - 1, 11);
    let tokens = [1u32, 40, 99, 300, 7];
    let resid = decoder.forward(&brodmann::model::Batch::new(&[&tokens]), &mut brodmann::model::NoHooks).expect("forward");
    let last = &resid[4 * spec.d_model..];
    let block = decoder.model.weights.block(neuron.layer as usize);
    let row: Vec<f32> = block.matrix(Matrix::Down).chunks_exact(spec.d_mlp).map(|r| r[neuron.index as usize]).collect();
    let scale = (last.iter().map(|v| v * v).sum::<f32>() / spec.d_model as f32 + spec.norm.eps).sqrt();
    let step = 0.02 * scale / row.iter().map(|v| v * v).sum::<f32>().sqrt();
    let pushed = |by: f32| -> Vec<f32> {
        let x: Vec<f32> = last.iter().zip(&row).map(|(x, r)| x + by * r).collect();
        decoder.logits(&x, &[0]).expect("logits")
    };
    let (up, down) = (pushed(step), pushed(-step));
    let lens = logits_by_hand(&decoder, neuron);
    let slopes: Vec<f64> = up.iter().zip(&down).map(|(a, b)| f64::from((a - b) / (2.0 * step) * scale)).collect();
    // The norm also takes away what lies along the residual, which the lens leaves out with the scale: the two agree in direction.
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let cosine = dot(&slopes, &lens) / (dot(&slopes, &slopes) * dot(&lens, &lens)).sqrt();
    assert!(cosine > 0.9, "{cosine}");
}

#[test]
fn a_strip_is_the_column_of_the_trace() {
    let decoder = decoder("tiny-gemma3");
    let tokens: Vec<u32> = (0..20).map(|i| i * 23 % 512).collect();
    let (trace, f) = (traced(&decoder, &tokens), decoder.model.spec.d_mlp);
    for (l, j) in [(0, 1), (1, 60), (2, 87)] {
        let strip = silently(|ctx| inspect::strip(&decoder, &tokens, Neuron::new(l, j), ctx)).expect("strip");
        let column: Vec<f32> = trace[&HookPoint::MlpPost(l as usize)].chunks_exact(f).map(|r| r[j as usize]).collect();
        assert_eq!(strip, column);
    }
    let e = silently(|ctx| inspect::strip(&decoder, &tokens, Neuron::new(3, 0), ctx)).expect_err("outside").to_string();
    assert!(e.contains("L3N0") && e.contains("layers 0..2"), "{e}");
}

#[test]
fn patterns_are_those_of_the_trace_and_offsets_their_means() {
    let decoder = decoder("tiny-llama");
    let tokens: Vec<u32> = (0..17).map(|i| i * 29 % 512).collect();
    let pattern = silently(|ctx| inspect::pattern(&decoder, &tokens, 1, ctx)).expect("pattern");
    let trace = traced(&decoder, &tokens);
    assert_eq!(pattern.values, trace[&HookPoint::Pattern(1)]);
    let a = &decoder.model.spec.attention;
    let z = &trace[&HookPoint::Z(1)];
    let length = |h: usize, t: usize| z[(t * a.n_heads + h) * a.head_dim..][..a.head_dim].iter().map(|v| v * v).sum::<f32>().sqrt();
    assert_eq!(pattern.z_norm(3)[5], length(3, 5));

    // One domain of one sample: means over that sample alone.
    let domain = IndexDomain { name: "one".into(), sequences: vec![tokens.clone()], ..IndexDomain::default() };
    let plan = inspect::plan(&decoder, vec![domain], 0, IndexLimits::default()).expect("plan");
    let index = silently(|ctx| inspect::build(&decoder, plan, ctx)).expect("index");
    for h in 0..a.n_heads {
        let facts = index.head(Head::new(1, h as u32)).expect("inside");
        let (n, p) = (tokens.len(), pattern.head(h));
        for offset in 0..n {
            let mean = (offset..n).map(|q| f64::from(p[q * n + q - offset])).sum::<f64>() / (n - offset) as f64;
            assert!((f64::from(facts.by_offset[offset]) - mean).abs() < 1e-7);
        }
        let first = (1..n).map(|q| f64::from(p[q * n])).sum::<f64>() / (n - 1) as f64;
        assert!((f64::from(facts.first_token) - first).abs() < 1e-7);
        let entropy = p.iter().map(|&p| f64::from(p)).filter(|p| *p > 0.0).map(|p| -p * p.log2()).sum::<f64>() / n as f64;
        assert!((f64::from(facts.entropy_bits) - entropy).abs() < 1e-6);
        let z = (0..n).map(|t| f64::from(length(h, t))).sum::<f64>() / n as f64;
        assert!((f64::from(facts.z_norm[0]) - z).abs() < 1e-6);
    }
}

struct Golden {
    tokens: Vec<u32>,
    floats: BTreeMap<String, Vec<f32>>,
}

/// What transformers computed (eager attention, float32); see tests/fixtures/README.md.
fn golden(name: &str) -> Golden {
    let bytes = std::fs::read(fixture(name).join("golden.safetensors")).expect("golden file");
    let file = SafeTensors::deserialize(&bytes).expect("golden tensors");
    let ids = file.tensor("input_ids").expect("ids");
    let floats = file.tensors().into_iter().filter(|(_, t)| t.dtype() == Dtype::F32);
    Golden {
        tokens: ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect(),
        floats: floats.map(|(n, t)| (n, t.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())).collect(),
    }
}

fn rows(decoder: &Decoder, tokens: &[u32], change: Option<&Intervention>) -> Vec<LensRow> {
    let mut rows = vec![LensRow::new(); decoder.model.spec.n_layers];
    silently(|ctx| inspect::lens(decoder, tokens, change, 5, ctx, &mut |l, row| rows[l] = row)).expect("lens");
    rows
}

/// Final norm and head in f64 over transformers' hidden states, softmax in f64.
#[test]
fn every_layers_answer_is_that_of_transformers_hidden_states() {
    for name in ["tiny-llama", "tiny-gpt2", "tiny-gemma3"] {
        let (decoder, golden) = (decoder(name), golden(name));
        let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
        let d = spec.d_model;
        let ours = rows(&decoder, &golden.tokens, None);
        let gain = weights.outer(Role::NormFinal).expect("gain");
        let bias = weights.outer(Role::NormFinalBias);
        let head = weights.head();
        for layer in 0..spec.n_layers {
            for (t, cell) in ours[layer].iter().enumerate() {
                let logits: Vec<f64> = if layer + 1 == spec.n_layers {
                    golden.floats["logits"][t * spec.vocab..(t + 1) * spec.vocab].iter().map(|&v| f64::from(v)).collect()
                } else {
                    let x: Vec<f64> =
                        golden.floats[&format!("hidden_states.{}", layer + 1)][t * d..(t + 1) * d].iter().map(|&v| f64::from(v)).collect();
                    let mean = if spec.norm.kind == NormKind::Layer { x.iter().sum::<f64>() / d as f64 } else { 0.0 };
                    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
                    let scale = 1.0 / (variance + f64::from(spec.norm.eps)).sqrt();
                    let y: Vec<f64> = (0..d)
                        .map(|i| {
                            let gain = f64::from(spec.norm.gain_offset) + f64::from(gain[i]);
                            (x[i] - mean) * scale * gain + bias.map_or(0.0, |b| f64::from(b[i]))
                        })
                        .collect();
                    (0..spec.vocab).map(|v| (0..d).map(|i| f64::from(head[v * d + i]) * y[i]).sum()).collect()
                };
                let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logits.iter().map(|v| (v - top).exp()).sum();
                let p = |v: f64| (v - top).exp() / sum;
                let entropy = -logits.iter().map(|&v| p(v) * p(v).log2()).sum::<f64>();
                // The golden test's tolerance for a logit is 1e-4: of a probability that relative part, of the entropy (up to 9 bits) 1e-3.
                assert!((f64::from(cell.entropy_bits) - entropy).abs() < 1e-3, "{name} layer {layer}: {} and {entropy}", cell.entropy_bits);
                for (token, probability) in &cell.top {
                    let want = p(logits[*token as usize]);
                    assert!((f64::from(*probability) - want).abs() < 2e-4 * want + 1e-7, "{name} layer {layer} token {token}");
                }
                assert!(cell.top.windows(2).all(|w| w[0].1 >= w[1].1) && cell.top.len() == 5);
                let answer = ours[spec.n_layers - 1][t].top[0].0 as usize;
                let above = |slack: f64| logits.iter().filter(|v| **v > logits[answer] + slack).count() as u32;
                assert!((above(1e-4)..=above(-1e-4)).contains(&cell.rank), "{name} layer {layer}: rank {}", cell.rank);
            }
        }
        assert!(ours[spec.n_layers - 1].iter().all(|c| c.rank == 0));
    }
}

#[test]
fn an_ablation_changes_the_answers_from_its_layer_on() {
    let decoder = decoder("tiny-llama");
    let tokens = golden("tiny-llama").tokens;
    let change = Intervention::new(NeuronSet::parse("L1N0-80").expect("set"), Default::default(), AblationMode::Zero);
    let (plain, changed) = (rows(&decoder, &tokens, None), rows(&decoder, &tokens, Some(&change)));
    assert_eq!(plain[0].iter().map(|c| &c.top).collect::<Vec<_>>(), changed[0].iter().map(|c| &c.top).collect::<Vec<_>>());
    assert!(plain[1] != changed[1] && plain[2] != changed[2]);
}

#[test]
fn a_long_text_is_read_out_at_its_end() {
    let decoder = decoder("tiny-llama");
    let tokens: Vec<u32> = (0..100).map(|i| i * 13 % 512).collect();
    let rows = rows(&decoder, &tokens, None);
    assert!(rows.iter().all(|r| r.len() == inspect::MOST_POSITIONS));
    let logits = decoder.forward_logits(&brodmann::model::Batch::new(&[&tokens])).expect("logits");
    let last = &logits[99 * 512..];
    let best = (0..512).max_by(|&a, &b| last[a].total_cmp(&last[b])).expect("vocab");
    assert_eq!(rows[2][63].top[0].0 as usize, best);
}

#[test]
fn an_index_comes_back_from_its_file_and_a_damaged_one_is_refused() {
    let decoder = decoder("tiny-llama");
    let index = index(&decoder);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("i.safetensors");
    inspect::write_index(&path, &index).expect("written");
    assert!(inspect::read_index(&path).expect("read") == index);
    let size = std::fs::metadata(&path).expect("file").len();
    let stated = index.size_bytes();
    // Beside the tensors: the header with what the index is of.
    assert!(size >= stated && size < stated + 40_000, "{size} on the disk, {stated} stated");
    let mut bytes = std::fs::read(&path).expect("bytes");
    bytes.truncate(bytes.len() - 10);
    std::fs::write(&path, &bytes).expect("cut");
    assert!(inspect::read_index(&path).expect_err("cut").to_string().contains("i.safetensors"));
    std::fs::write(&path, b"12345678 nothing").expect("write");
    inspect::read_index(&path).expect_err("nothing");
}

#[test]
fn the_key_follows_the_inputs_and_the_limits_thin() {
    let decoder = decoder("tiny-llama");
    let plan = |domains, seed, limits| inspect::plan(&decoder, domains, seed, limits).expect("plan");
    let limits = IndexLimits::default();
    let first = plan(domains(512), 7, limits);
    assert_eq!(first.key, plan(domains(512), 7, limits).key);
    assert_ne!(first.key, plan(domains(512), 8, limits).key);
    let mut other = domains(512);
    other[0].sequences[3][1] ^= 1;
    assert_ne!(first.key, plan(other, 7, limits).key);
    assert_eq!((first.shape, first.thinned.len()), (IndexShape::full(), 0));

    // 264 neurons; 100 kB hold some 380 bytes of each. 64 kB of work hold 107 tokens of 152 floats.
    let thin = plan(domains(512), 7, IndexLimits { index_bytes: 100_000, work_bytes: 65_536 });
    assert!(thin.shape.positions < 512 && thin.thinned.len() == 3, "{:?}", thin.thinned);
    assert!(thin.thinned[1].starts_with("a: the first "), "{:?}", thin.thinned);
    let index = silently(|ctx| inspect::build(&decoder, thin, ctx)).expect("index");
    assert!(index.n_tokens() <= 107 && index.about.thinned.len() == 3);
    let e = inspect::plan(&decoder, Vec::new(), 0, limits).err().expect("nothing").to_string();
    assert!(e.contains("at least one domain"), "{e}");
}

#[test]
fn recording_stops_when_asked() {
    use brodmann::base::{CancelToken, Ctx};
    let decoder = decoder("tiny-llama");
    let plan = inspect::plan(&decoder, domains(512), 7, IndexLimits::default()).expect("plan");
    let cancel = CancelToken::default();
    let stop = cancel.clone();
    let report = move |_| stop.cancel();
    assert!(inspect::build(&decoder, plan, &Ctx::new(&cancel, &report)).is_err_and(|e| e.is_cancelled()));
}

#[test]
fn the_heads_of_a_layer_write_what_attention_adds_to_the_logits() {
    // Gains folded in, nothing else: what a head writes is linear, so that the heads' logits add up to those of `hook_attn_out`.
    let decoder = decoder("tiny-llama");
    let (spec, weights) = (&decoder.model.spec, &decoder.model.weights);
    let (d, vocab, layer) = (spec.d_model, spec.vocab, 1);
    let tokens: Vec<u32> = (0..19).map(|i| (i * 37 + 5) % vocab as u32).collect();
    let pattern = silently(|ctx| inspect::pattern(&decoder, &tokens, layer, ctx)).expect("pattern");
    let attn_out = &traced(&decoder, &tokens)[&HookPoint::AttnOut(layer)];
    let gain = weights.outer(Role::NormFinal).expect("a final norm");
    let (head, formula) = (weights.head(), inspect::HeadLens::formula(spec));
    assert!(formula.contains("columns of o") && formula.contains("final norm") && formula.contains("left out"), "{formula}");
    let mut sums = vec![vec![0f64; vocab]; tokens.len()];
    for h in 0..spec.attention.n_heads {
        let all = silently(|ctx| inspect::head_lens(&decoder, &pattern, Head::new(layer as u32, h as u32), vocab, ctx)).expect("lens");
        assert_eq!(all.len(), tokens.len());
        for (sum, lens) in sums.iter_mut().zip(&all) {
            assert!(lens.promotes.windows(2).all(|w| w[0].1 >= w[1].1) && lens.suppresses[0] == *lens.promotes.last().expect("words"));
            let mean = lens.promotes.iter().map(|w| f64::from(w.1)).sum::<f64>() / vocab as f64;
            assert!((mean - f64::from(lens.mean)).abs() < 1e-6, "{mean} {}", lens.mean);
            lens.promotes.iter().for_each(|&(t, v)| sum[t as usize] += f64::from(v));
        }
    }
    for (t, sum) in sums.iter().enumerate() {
        let row = &attn_out[t * d..(t + 1) * d];
        for (v, found) in sum.iter().enumerate() {
            let want: f64 = (0..d).map(|i| f64::from(row[i]) * f64::from(gain[i]) * f64::from(head[v * d + i])).sum();
            // Sums of f32 products of size 1e-2 and below over d_model and the heads.
            assert!((want - found).abs() < 2e-5, "token {t}, word {v}: {found}, expected {want}");
        }
    }
    let other = inspect::head_lens;
    assert!(silently(|ctx| other(&decoder, &pattern, Head::new(0, 0), 3, ctx)).is_err(), "the pattern is of another layer");
}
