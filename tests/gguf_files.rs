//! GGUF files: a converted model computes what its folder does, in every stored type; and what is said of a file that is wrong.

#[path = "support/gguf.rs"]
mod gguf;

use brodmann::{
    base::job::silently,
    compute::cpu::CpuBackend,
    model::{Batch, Decoder, LoadOptions, Matrix, Model, Role, load_model, load_model_with},
};
use candle_core::quantized::GgmlDType;
use gguf::{Gguf, Tensor, Value, convert};
use safetensors::SafeTensors;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn stories() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260K");
    let there = folder.is_dir();
    if !there {
        println!("skipped: {} is not there", folder.display());
    }
    there.then_some(folder)
}

fn load(path: &Path) -> Model {
    silently(|ctx| load_model(path, ctx)).unwrap_or_else(|e| panic!("{e}"))
}

/// The file on the disk, loaded; the folder keeps it there.
fn opened(file: &Gguf) -> (tempfile::TempDir, brodmann::base::Result<Model>) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tiny.Q4_K.gguf");
    file.write(&path);
    let model = silently(|ctx| load_model(&path, ctx));
    (folder, model)
}

fn refused(file: &Gguf) -> String {
    opened(file).1.err().expect("refused").to_string()
}

fn logits(model: Model, tokens: &[u32]) -> Vec<f32> {
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None))).forward_logits(&Batch::new(&[tokens])).expect("logits")
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
}

const TOKENS: &[u32] = &[1, 40, 99, 300, 7, 511, 40];

#[test]
fn a_converted_model_gives_the_same_bits_as_its_folder() {
    for name in ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3", "tiny-phi3", "tiny-gpt2", "tiny-gpt_neox"] {
        let folder = load(&fixture(name));
        for version in [1, 2, 3] {
            let (_keep, file) = opened(&Gguf { version, ..convert(&fixture(name)) });
            let file = file.unwrap_or_else(|e| panic!("{name}, version {version}: {e}"));
            assert_eq!(file.spec, folder.spec, "{name}");
            assert_eq!((&file.info.model_type, file.info.n_params), (&folder.info.model_type, folder.info.n_params));
            assert_eq!((file.info.dtype.as_str(), file.info.name.as_str()), ("gguf f32", "tiny.Q4_K"));
            let text = "def f(x):\n\treturn x # π ≈ 3, it's <s> 12";
            assert_eq!(file.tokenizer.encode(text).expect("file"), folder.tokenizer.encode(text).expect("folder"));
            assert_eq!(file.tokenizer.bos_policy(), "adds <s>");
            // Only what had to be put in another order is not borrowed from the file; parts of fused matrices are borrowed too.
            assert!(file.weights.block(1).matrix(Matrix::Up).is_mapped() && file.weights.embedding.is_mapped(), "{name}");
            let interleaved = ["tiny-llama", "tiny-mistral"].contains(&name);
            assert_eq!(file.weights.block(1).matrix(Matrix::Q).is_mapped(), !interleaved, "{name}");
            let (ours, want) = (logits(file, TOKENS), logits(load(&fixture(name)), TOKENS));
            // Gains are stored plus 1 there, and lose their last bits by it.
            let tolerance = if name == "tiny-gemma3" { 1e-5 } else { 0.0 };
            assert!(worst(&ours, &want) <= tolerance, "{name}, version {version}: {}", worst(&ours, &want));
        }
    }
}

/// For a look by another program: `BRODMANN_KEEP_GGUF` names a folder that the converted models are kept in.
#[test]
fn converted_models_can_be_kept() {
    let Some(out) = std::env::var_os("BRODMANN_KEEP_GGUF").map(PathBuf::from) else { return };
    for entry in std::fs::read_dir(fixture("")).expect("fixtures") {
        let folder = entry.expect("entry").path();
        let name = folder.file_name().expect("name").to_string_lossy().into_owned();
        if name.starts_with("tiny-") && name != "tiny-opt" {
            convert(&folder).write(&out.join(name + ".gguf"));
        }
    }
}

#[test]
fn the_digest_is_the_files_own() {
    let (keep, model) = opened(&convert(&fixture("tiny-llama")));
    let bytes = std::fs::read(keep.path().join("tiny.Q4_K.gguf")).expect("bytes");
    let info = model.expect("model").info;
    assert_eq!((info.sha256, info.size_bytes), (brodmann::base::hash::sha256_bytes(&bytes), bytes.len() as u64));
}

/// A wider llama, so that rows are whole blocks of every type.
fn wide() -> Gguf {
    let mut file = convert(&fixture("tiny-llama"));
    let (d, f, vocab) = (256, 512, 512);
    file.remove("llama.attention.key_length");
    file.remove("llama.attention.value_length");
    file.remove("llama.rope.dimension_count");
    for (key, value) in [("embedding_length", d), ("feed_forward_length", f), ("block_count", 2)] {
        file.set(&format!("llama.{key}"), value as u32);
    }
    let value = |i: usize| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) / 16.0;
    let tensor = |name: &str, shape: &[usize]| Tensor::f32(name, shape, &(0..shape.iter().product()).map(value).collect::<Vec<_>>());
    let ones = |name: &str| Tensor::f32(name, &[d], &vec![1.0; d]);
    file.tensors = vec![tensor("token_embd.weight", &[vocab, d]), ones("output_norm.weight")];
    for l in 0..2 {
        let name = |part: &str| format!("blk.{l}.{part}.weight");
        file.tensors.extend([ones(&name("attn_norm")), ones(&name("ffn_norm"))]);
        for (part, rows, columns) in [
            ("attn_q", d, d),
            ("attn_k", d / 2, d),
            ("attn_v", d / 2, d),
            ("attn_output", d, d),
            ("ffn_gate", f, d),
            ("ffn_up", f, d),
            ("ffn_down", d, f),
        ] {
            file.tensors.push(tensor(&name(part), &[rows, columns]));
        }
    }
    file
}

#[test]
fn every_type_computes_as_its_widened_values_do() {
    use GgmlDType as T;
    let plain = wide();
    for (kind, dtype, name) in [
        (1, T::F16, "f16"),
        (30, T::BF16, "bf16"),
        (2, T::Q4_0, "q4_0"),
        (3, T::Q4_1, "q4_1"),
        (6, T::Q5_0, "q5_0"),
        (7, T::Q5_1, "q5_1"),
        (8, T::Q8_0, "q8_0"),
        (9, T::Q8_1, "q8_1"),
        (10, T::Q2K, "q2_k"),
        (11, T::Q3K, "q3_k"),
        (12, T::Q4K, "q4_k"),
        (13, T::Q5K, "q5_k"),
        (14, T::Q6K, "q6_k"),
        (15, T::Q8K, "q8_k"),
    ] {
        let (mut packed, mut widened) = (plain.clone(), plain.clone());
        for (t, w) in packed.tensors.iter_mut().zip(&mut widened.tensors).filter(|(t, _)| t.shape.len() == 2) {
            *t = t.packed(kind, dtype);
            // By candle's own way from file bytes to values.
            let cpu = candle_core::Device::Cpu;
            let storage = candle_core::quantized::QStorage::from_data(t.bytes.clone().into(), &cpu, dtype).expect("storage");
            let tensor = candle_core::quantized::QTensor::new(storage, t.shape.clone()).and_then(|q| q.dequantize(&cpu)).expect("values");
            *w = Tensor::f32(&t.name, &t.shape, &tensor.flatten_all().and_then(|v| v.to_vec1()).expect("f32"));
        }
        let (keep, model) = opened(&packed);
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.info.dtype, format!("gguf {name}"));
        assert!(model.weights.is_resident());
        let want = logits(opened(&widened).1.expect("widened"), TOKENS);
        assert!(logits(model, TOKENS) == want, "{name}");
        // The same when a block is widened anew each time it is used.
        let options = LoadOptions { resident_bytes: Some(1000) };
        let stored = silently(|ctx| load_model_with(&keep.path().join("tiny.Q4_K.gguf"), &options, ctx)).expect(name);
        assert!(!stored.weights.is_resident());
        assert!(logits(stored, TOKENS) == want, "{name} by blocks");
    }
}

#[test]
fn types_may_be_mixed_and_are_listed_by_their_share() {
    let mut file = wide();
    for (name, kind, dtype) in [("token_embd.weight", 8, GgmlDType::Q8_0), ("blk.0.attn_k.weight", 14, GgmlDType::Q6K)] {
        let packed = file.tensor(name).packed(kind, dtype);
        *file.tensor(name) = packed;
    }
    let model = opened(&file).1.expect("mixed");
    assert_eq!(model.info.dtype, "gguf f32/q8_0/q6_k mixed");
    // No `output.weight`: the head is the embedding.
    assert!(model.spec.tied_head && model.weights.get(Role::Head).is_none());
}

#[test]
fn a_folder_with_one_gguf_file_is_that_file() {
    let (keep, _) = opened(&convert(&fixture("tiny-llama")));
    std::fs::write(keep.path().join("config.json"), "{}").expect("the original's config");
    assert_eq!(load(keep.path()).info.name, "tiny.Q4_K");
    std::fs::copy(keep.path().join("tiny.Q4_K.gguf"), keep.path().join("other.gguf")).expect("copy");
    let e = silently(|ctx| load_model(keep.path(), ctx)).err().expect("which?").to_string();
    assert!(e.contains("2 GGUF files") && e.contains("other.gguf, tiny.Q4_K.gguf"), "{e}");
}

#[test]
fn what_is_not_supported_is_named() {
    let base = || convert(&fixture("tiny-llama"));
    let with = |key: &str, value: Value| {
        let mut file = base();
        file.set(key, value);
        refused(&file)
    };
    let says = |e: &str, parts: &[&str]| assert!(parts.iter().all(|p| e.contains(p)), "{e}");
    says(&with("general.architecture", "mamba".into()), &["architecture `mamba`", "llama, qwen2, qwen3, gemma3"]);
    says(&with("general.type", "adapter".into()), &["`adapter`", "whole model"]);
    says(&with("split.count", 3.into()), &["one of 3 parts", "llama-gguf-split --merge"]);
    says(&with("llama.expert_count", 8.into()), &["`llama.expert_count` is 8"]);
    says(&with("llama.rope.scaling.type", "dynamic".into()), &["`dynamic`", "linear"]);
    says(&with("llama.rope.scaling.type", "longrope".into()), &["`longrope` needs rope_factors_short.weight"]);
    says(&with("llama.attention.head_count", "four".into()), &["`llama.attention.head_count` is `four`", "whole number"]);
    says(&with("llama.embedding_length", 64.into()), &["tensor token_embd.weight has shape [512, 32], expected [512, 64]"]);
    says(&with("llama.block_count", 4.into()), &["tensors are missing: blk.3.attn_norm.weight"]);
    says(&with("llama.block_count", 16_000.into()), &["16000 layers", "30 tensors"]);
    says(&with("tokenizer.ggml.model", "bert".into()), &["`bert`", "gpt2, llama"]);
    says(&with("tokenizer.ggml.pre", "klingon".into()), &["`klingon`", "smollm"]);
    let mut file = base();
    file.remove("llama.context_length");
    says(&refused(&file), &["`llama.context_length` is missing"]);
    let mut file = base();
    file.tensor("blk.1.ffn_up.weight").kind = 23;
    says(&refused(&file), &["tensor blk.1.ffn_up.weight is IQ4_XS", "Q4_1", "Q6_K"]);
    let mut file = base();
    file.tensors.push(Tensor::f32("blk.0.attn_q_norm.weight", &[8], &[1.0; 8]));
    says(&refused(&file), &["no such tensors: blk.0.attn_q_norm.weight"]);
    // What stands outside the blocks and is not asked for does no harm.
    let mut file = base();
    file.tensors.push(Tensor { kind: 26, ..Tensor::f32("positions", &[4], &[0.0; 4]) });
    assert!(opened(&file).1.is_ok());
}

/// `rope_freqs.weight` holds what Llama 3's scaling comes to; the four numbers behind it are found again.
#[test]
fn llama_3_scaling_is_read_from_its_divisors() {
    use brodmann::model::spec::{PositionSpec, RopeScaling};
    let (theta, pairs) = (500_000f64, 32usize);
    let divisor = |i: usize, factor: f64| {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(i as f64 / pairs as f64);
        if wavelength < 8192.0 / 4.0 {
            1.0
        } else if wavelength > 8192.0 {
            factor
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    let with = |divisors: &[f32]| {
        let mut file = wide();
        file.set("llama.attention.head_count", 4);
        file.set("llama.attention.head_count_kv", 2);
        file.set("llama.rope.freq_base", theta as f32);
        file.tensors.push(Tensor::f32("rope_freqs.weight", &[pairs], divisors));
        file
    };
    let scaling = |divisors: &[f32]| match opened(&with(divisors)).1.expect("model").spec.positions {
        PositionSpec::Rope { rope, .. } => rope.scaling,
        PositionSpec::Learned { .. } => panic!("rotary"),
    };
    for factor in [8.0, 32.0] {
        let divisors: Vec<f32> = (0..pairs).map(|i| divisor(i, factor) as f32).collect();
        let want = RopeScaling::Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_positions: 8192 };
        assert_eq!(scaling(&divisors), want);
    }
    assert_eq!(scaling(&[1.0; 32]), RopeScaling::None);
    // Others are taken one by one.
    assert!(matches!(scaling(&[2.5; 32]), RopeScaling::LongRope { short, attention_factor: 1.0, .. } if short == [2.5; 32]));
    let e = refused(&with(&[-1.0; 32]));
    assert!(e.contains("rope_freqs.weight holds -1"), "{e}");
}

/// Phi-3's divisors for short and long texts, and its rotation of a part of each head.
#[test]
fn long_rope_is_read_from_its_tables() {
    let keep = tempfile::tempdir().expect("folder");
    let folder = keep.path();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("options/phi3-longrope").join(file), folder.join(file)).expect(file);
    }
    std::fs::copy(fixture("tiny-phi3/tokenizer.json"), folder.join("tokenizer.json")).expect("tokenizer");
    let want = load(folder);
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).expect("config")).expect("json");
    let rope = &config["rope_parameters"];
    let list = |key: &str| -> Vec<f32> { rope[key].as_array().expect(key).iter().map(|v| v.as_f64().expect(key) as f32).collect() };
    let mut file = convert(folder);
    for (name, key) in [("rope_factors_short.weight", "short_factor"), ("rope_factors_long.weight", "long_factor")] {
        file.tensors.push(Tensor::f32(name, &[list(key).len()], &list(key)));
    }
    let original = config["original_max_position_embeddings"].as_u64().or(rope["original_max_position_embeddings"].as_u64());
    file.set("phi3.rope.scaling.original_context_length", original.expect("original") as u32);
    if let Some(by) = rope["attention_factor"].as_f64() {
        file.set("phi3.rope.scaling.attn_factor", by as f32);
    }
    let model = opened(&file).1.expect("model");
    assert_eq!(model.spec, want.spec);
    // Longer than the original context of 16, so that both tables are used.
    let tokens: Vec<u32> = (0..24).map(|i| 3 + i * 7 % 60).collect();
    assert!(logits(model, &tokens) == logits(want, &tokens));
}

#[test]
fn stories_files_agree_with_the_folder_and_with_transformers() {
    let Some(folder) = stories() else { return };
    let bytes = std::fs::read(folder.join("golden.safetensors")).expect("golden");
    let golden = SafeTensors::deserialize(&bytes).expect("golden");
    let ids = golden.tensor("input_ids").expect("ids");
    let tokens: Vec<u32> = ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
    let want: Vec<f32> =
        golden.tensor("logits").expect("logits").data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();

    let exact = load(&folder.join("stories260K.f32.gguf"));
    assert_eq!(exact.info.dtype, "gguf f32");
    let original = load(&folder);
    let (q, k) = (Role::Weight(3, Matrix::Q), Role::Weight(3, Matrix::K));
    assert!([q, k].into_iter().all(|r| exact.weights.get(r).expect("file")[..] == original.weights.get(r).expect("folder")[..]));
    let difference = worst(&logits(exact, &tokens), &want);
    assert!(difference < 1e-4, "f32 differs from transformers by {difference}");

    let packed = load(&folder.join("stories260K.q8_0.gguf"));
    assert_eq!(packed.info.dtype, "gguf q8_0/f32 mixed");
    let difference = worst(&logits(packed, &tokens), &want);
    // Eight bits a weight: near, and not the same.
    assert!(difference > 1e-4 && difference < 0.5, "q8_0 differs from f32 by {difference}");
    println!("stories260K q8_0 differs from f32 by {difference}");
}
