//! Forward pass against Hugging Face transformers: logits, hidden states and the neurons of every layer.
//!
//! The golden values were stored by transformers 5.23.0 (float32, eager attention) on torch 2.15; see tests/fixtures/README.md.

use brodmann::{
    base::{HookPoint, Result, job::silently, provenance::Provenance},
    compute::cpu::CpuBackend,
    model::{Batch, Decoder, Hooks, NoHooks, Role, SaveDtype, hook_points, load_model, save_model, trace},
};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Of the issue: f32 sums in another order than torch's differ by about 1e-6 of values near 1.
const TOLERANCE: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn decoder(folder: &Path) -> Decoder {
    let model = silently(|ctx| load_model(folder, ctx)).expect("the model loads");
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)))
}

struct Golden {
    tokens: Vec<u32>,
    prompt: String,
    floats: BTreeMap<String, Vec<f32>>,
}

fn golden(folder: &Path) -> Golden {
    let bytes = std::fs::read(folder.join("golden.safetensors")).expect("golden file");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("header");
    let file = SafeTensors::deserialize(&bytes).expect("golden tensors");
    let ids = file.tensor("input_ids").expect("ids");
    let tokens = ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
    let floats = file
        .tensors()
        .into_iter()
        .filter(|(_, t)| t.dtype() == Dtype::F32)
        .map(|(name, t)| (name, t.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()))
        .collect();
    let prompt = metadata.metadata().as_ref().and_then(|m| m.get("prompt")).cloned().unwrap_or_default();
    Golden { tokens, prompt, floats }
}

/// Keeps every tensor it is shown.
#[derive(Default)]
struct Recorder(BTreeMap<HookPoint, Vec<f32>>);

impl Hooks for Recorder {
    fn wants(&self, _: HookPoint) -> bool {
        true
    }
    fn at(&mut self, point: HookPoint, _: &Batch, values: &mut [f32]) -> Result<()> {
        self.0.entry(point).or_default().extend_from_slice(values);
        Ok(())
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // A NaN must not pass for agreement.
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
}

/// Every golden tensor against ours; says how near the worst is.
fn compare(folder: &Path) {
    let decoder = decoder(folder);
    let golden = golden(folder);
    let layers = decoder.model.spec.n_layers;
    assert_eq!(decoder.model.tokenizer.encode(&golden.prompt).expect("encode"), golden.tokens, "token ids of `{}`", golden.prompt);
    let batch = Batch::new(&[&golden.tokens]);
    let mut seen = Recorder::default();
    let resid = decoder.forward(&batch, &mut seen).expect("forward");
    let logits = decoder.logits_hooked(&batch, &resid, &mut seen).expect("logits");
    assert_eq!(
        seen.0.keys().copied().collect::<BTreeSet<_>>(),
        decoder.model.spec.hook_points().into_iter().collect(),
        "every hook point is called"
    );

    let mut worst = (0.0, String::new());
    let mut compared = 0;
    for (name, want) in &golden.floats {
        let parts: Vec<&str> = name.split('.').collect();
        let number = |text: &str| text.parse::<usize>().expect("layer");
        let ours = match parts[..] {
            ["logits"] => logits.clone(),
            // The last hidden state of Hugging Face is after the final norm, gain included.
            ["hidden_states", l] if number(l) == layers => {
                let d = decoder.model.spec.d_model;
                let outer = |role| decoder.model.weights.outer(role).map(|t| t.to_vec());
                let gain = outer(Role::NormFinal).expect("gain");
                let bias = outer(Role::NormFinalBias).unwrap_or_else(|| vec![0.0; d]);
                let offset = decoder.model.spec.norm.gain_offset;
                let whole = |row: &[f32]| (0..d).map(|i| row[i] * (offset + gain[i]) + bias[i]).collect::<Vec<_>>();
                seen.0[&HookPoint::FinalNorm].chunks(d).flat_map(whole).collect()
            }
            ["hidden_states", l] => seen.0[&HookPoint::ResidPre(number(l))].clone(),
            ["layers", l, "mlp_neurons"] => seen.0[&HookPoint::MlpPost(number(l))].clone(),
            ["layers", l, "mlp_out"] => seen.0[&HookPoint::MlpOut(number(l))].clone(),
            _ => panic!("no idea what golden tensor {name} is"),
        };
        let difference = largest_difference(&ours, want);
        assert!(difference <= TOLERANCE, "{name}: differs by {difference}");
        if difference >= worst.0 {
            worst = (difference, name.clone());
        }
        compared += 1;
    }
    assert!(compared >= 1 + (layers + 1) + layers, "only {compared} golden tensors");
    println!("{}: {compared} tensors, worst {:.1e} at {}", folder.display(), worst.0, worst.1);
}

#[test]
fn every_family_agrees_with_transformers() {
    for family in brodmann::model::family::FAMILIES {
        compare(&fixture(&format!("tiny-{}", family.model_type.trim_end_matches("_text"))));
    }
}

/// What the tiny-* models do not use: scaled rotations, windows, caps, norms elsewhere, projected embeddings, other activations.
#[test]
fn every_option_agrees_with_transformers() {
    let mut compared = 0;
    for folder in std::fs::read_dir(fixture("options")).expect("options").map(|e| e.expect("entry").path()) {
        let with_tokenizer = tempfile::tempdir().expect("folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(folder.join(file), with_tokenizer.path().join(file)).expect(file);
        }
        std::fs::copy(fixture("tiny-llama/tokenizer.json"), with_tokenizer.path().join("tokenizer.json")).expect("tokenizer");
        let decoder = decoder(with_tokenizer.path());
        let golden = golden(&folder);
        let batch = Batch::new(&[&golden.tokens]);
        let layers = decoder.model.spec.n_layers;
        let mut seen = Recorder::default();
        let resid = decoder.forward(&batch, &mut seen).expect("forward");
        let logits = decoder.logits(&resid, &(0..batch.n_tokens()).collect::<Vec<_>>()).expect("logits");
        let difference = largest_difference(&logits, &golden.floats["logits"]);
        let largest = golden.floats["logits"].iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.01 && difference <= TOLERANCE, "{}: logits differ by {difference}", folder.display());
        for l in 0..layers {
            let difference = largest_difference(&seen.0[&HookPoint::ResidPre(l)], &golden.floats[&format!("hidden_states.{l}")]);
            assert!(difference <= TOLERANCE, "{}: hidden state {l} differs by {difference}", folder.display());
        }
        println!("{}: logits up to {largest:.2}, off by {difference:.1e}", folder.file_name().unwrap_or_default().display());
        // What is saved means the same.
        let saved = tempfile::tempdir().expect("folder");
        let model = &decoder.model;
        save_model(saved.path(), &model.info.model_type, &model.spec, &model.weights, SaveDtype::F32, &Default::default()).expect("save");
        std::fs::copy(fixture("tiny-llama/tokenizer.json"), saved.path().join("tokenizer.json")).expect("tokenizer");
        assert_eq!(silently(|ctx| load_model(saved.path(), ctx)).expect("saved").spec, model.spec, "{}", folder.display());
        compared += 1;
    }
    assert!(compared >= 14, "only {compared} options");
}

#[test]
fn a_saved_model_of_every_family_computes_the_same_and_has_the_same_tensors() {
    for family in brodmann::model::family::FAMILIES {
        let source = fixture(&format!("tiny-{}", family.model_type.trim_end_matches("_text")));
        let first = decoder(&source);
        let folder = tempfile::tempdir().expect("folder");
        let model = &first.model;
        save_model(folder.path(), family.model_type, &model.spec, &model.weights, SaveDtype::F32, &Default::default()).expect("save");
        std::fs::copy(source.join("tokenizer.json"), folder.path().join("tokenizer.json")).expect("tokenizer");
        let second = decoder(folder.path());
        assert_eq!(second.model.spec, model.spec, "{}", family.label);
        let batch = Batch::new(&[vec![1u32, 40, 99, 300, 7, 12, 13, 14, 15, 16, 17]]);
        assert!(second.forward_logits(&batch).expect("saved") == first.forward_logits(&batch).expect("original"), "{}", family.label);
        let read = |folder: &Path| std::fs::read(folder.join("model.safetensors")).expect("weights");
        let (a, b) = (read(&source), read(folder.path()));
        let (a, b) = (SafeTensors::deserialize(&a).expect("a"), SafeTensors::deserialize(&b).expect("b"));
        for (name, tensor) in a.tensors() {
            let saved = b.tensor(&name).expect(&name);
            assert!(saved.shape() == tensor.shape() && saved.data() == tensor.data(), "{}: {name}", family.label);
        }
        assert_eq!(a.len(), b.len(), "{}", family.label);
    }
}

/// A second opinion on the forward pass, which knows neither our code nor transformers'.
#[test]
fn tiny_llama_agrees_with_candle_transformers() {
    use candle_core::{DType, Device, Tensor};
    use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
    let folder = fixture("tiny-llama");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).expect("config")).expect("JSON");
    let mut old = config.clone();
    // candle reads the older generation's keys.
    old["rope_theta"] = config["rope_parameters"]["rope_theta"].clone();
    let config: LlamaConfig = serde_json::from_value(old).expect("llama config");
    let config = config.into_config(false);
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
    let weights = candle_nn::VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).expect("tensors");
    let model = Llama::load(weights, &config).expect("candle's model");
    let ours = decoder(&folder);
    let tokens = golden(&folder).tokens;
    let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).expect("cache");
    // It gives the logits of the last position only.
    for end in [1, 5, tokens.len()] {
        let input = Tensor::new(&tokens[..end], &Device::Cpu).and_then(|t| t.unsqueeze(0)).expect("tokens");
        let theirs: Vec<f32> = model.forward(&input, 0, &mut cache).and_then(|t| t.squeeze(0)?.to_vec1()).expect("forward");
        let logits = ours.forward_logits(&Batch::new(&[&tokens[..end]])).expect("ours");
        let difference = largest_difference(&logits[(end - 1) * theirs.len()..], &theirs);
        assert!(difference <= TOLERANCE, "logits after {end} tokens differ by {difference}");
    }
}

#[test]
fn stories260k_agrees_with_transformers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260K");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    compare(&folder);
}

#[test]
fn a_sequence_gives_the_same_bits_alone_and_in_a_batch() {
    let decoder = decoder(&fixture("tiny-llama"));
    let sequences: Vec<Vec<u32>> = [1usize, 7, 33, 2, 64, 19]
        .iter()
        .enumerate()
        .map(|(s, &n)| (0..n as u32).map(|i| (i * 37 + s as u32 * 11) % 512).collect())
        .collect();
    let together = Batch::new(&sequences);
    let vocab = decoder.model.spec.vocab;
    let all = decoder.forward_logits(&together).expect("batch");
    for (i, sequence) in sequences.iter().enumerate() {
        let alone = decoder.forward_logits(&Batch::new(&[sequence])).expect("alone");
        let span = together.span(i);
        assert!(alone == all[span.start * vocab..span.end * vocab], "sequence {i} of {} tokens", sequence.len());
    }
}

#[test]
fn hooks_that_change_nothing_leave_the_logits_bit_equal() {
    let decoder = decoder(&fixture("tiny-llama"));
    let batch = Batch::new(&[vec![1u32, 40, 99, 300, 7], vec![1, 2]]);
    let plain = decoder.forward_logits(&batch).expect("plain");
    let mut seen = Recorder::default();
    let resid = decoder.forward(&batch, &mut seen).expect("hooked");
    assert!(decoder.logits(&resid, &(0..batch.n_tokens()).collect::<Vec<_>>()).expect("logits") == plain);
}

/// Sets one neuron, or one row of the residual, to 0.
struct Zero(HookPoint, usize);

impl Hooks for Zero {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.0
    }
    fn at(&mut self, _: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        let width = values.len() / batch.n_tokens();
        values.iter_mut().skip(self.1).step_by(width).for_each(|v| *v = 0.0);
        Ok(())
    }
}

#[test]
fn a_zeroed_neuron_acts_as_a_zeroed_column_of_down() {
    let folder = fixture("tiny-llama");
    let mut edited = silently(|ctx| load_model(&folder, ctx)).expect("model");
    let (layer, neuron, f) = (1, 5, edited.spec.d_mlp);
    let down = edited.weights.get_mut(Role::Weight(layer, brodmann::model::Matrix::Down)).expect("down");
    down.values_mut().iter_mut().skip(neuron).step_by(f).for_each(|w| *w = 0.0);
    let edited = Decoder::new(Arc::new(edited), Arc::new(CpuBackend::new(None)));
    let whole = decoder(&folder);
    let batch = Batch::new(&[vec![1u32, 40, 99, 300, 7]]);
    let rows: Vec<usize> = (0..batch.n_tokens()).collect();
    let hooked = whole.forward(&batch, &mut Zero(HookPoint::MlpPost(layer), neuron)).expect("hooked");
    let want = edited.forward_logits(&batch).expect("edited");
    // Both add +0 or -0 products at the same places of the same sums.
    assert!(whole.logits(&hooked, &rows).expect("logits") == want);
    assert!(whole.logits(&whole.forward(&batch, &mut NoHooks).expect("plain"), &rows).expect("logits") != want);
}

#[test]
fn a_trace_holds_the_golden_tensors_in_transformer_lens_shapes() {
    let decoder = decoder(&fixture("tiny-llama"));
    let golden = golden(&fixture("tiny-llama"));
    let points = hook_points(
        &["blocks.*.mlp.hook_post", "blocks.1.attn.hook_q", "blocks.1.attn.hook_k", "blocks.1.attn.hook_pattern"],
        &decoder.model.spec,
    )
    .expect("points");
    let trace = silently(|ctx| trace(&decoder, &golden.tokens, &points, ctx)).expect("trace");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("trace.safetensors");
    let provenance = Provenance { model: "tiny-llama".into(), ..Provenance::default() };
    trace.save(&path, &provenance).expect("save");

    let bytes = std::fs::read(&path).expect("file");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("header");
    let metadata = header.metadata().as_ref().expect("metadata");
    assert_eq!(serde_json::from_str::<Provenance>(&metadata["provenance"]).expect("provenance"), provenance);
    assert!(metadata["layout"].contains("hook_pattern [n_heads, query, key]"));
    let file = SafeTensors::deserialize(&bytes).expect("tensors");
    let floats = |name: &str| -> Vec<f32> {
        file.tensor(name).expect(name).data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let shape = |name: &str| file.tensor(name).expect(name).shape().to_vec();
    let n = golden.tokens.len();
    assert_eq!(file.len(), 3 + 3 + 2);
    assert_eq!((shape("blocks.1.attn.hook_q"), shape("blocks.1.attn.hook_k")), (vec![n, 4, 8], vec![n, 2, 8]));
    assert_eq!((shape("blocks.1.attn.hook_pattern"), shape("logits"), shape("tokens")), (vec![4, n, n], vec![n, 512], vec![n]));
    assert_eq!(file.tensor("tokens").expect("tokens").dtype(), Dtype::I64);
    assert!(largest_difference(&floats("logits"), &golden.floats["logits"]) <= TOLERANCE);
    for l in 0..3 {
        let neurons = floats(&format!("blocks.{l}.mlp.hook_post"));
        assert!(largest_difference(&neurons, &golden.floats[&format!("layers.{l}.mlp_neurons")]) <= TOLERANCE);
    }
    // Rows of a pattern are probabilities over what stands before.
    for (i, row) in floats("blocks.1.attn.hook_pattern").chunks(n).enumerate() {
        let (seen, ahead) = row.split_at(i % n + 1);
        assert!((seen.iter().sum::<f32>() - 1.0).abs() < 1e-5 && ahead.iter().all(|&p| p == 0.0));
    }
}
