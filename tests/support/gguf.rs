//! Writes GGUF files for tests: any metadata, any tensors, and a whole model folder converted as llama.cpp's converter does it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use safetensors::SafeTensors;
use serde_json::Value as Json;
use std::path::Path;

#[derive(Clone, Debug)]
pub enum Value {
    U32(u32),
    U64(u64),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
    Bools(Vec<bool>),
    /// Anything else: type number and bytes.
    Raw(u32, Vec<u8>),
}

impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Self::U32(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.into())
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<f32> for Value {
    fn from(v: f32) -> Self {
        Self::F32(v)
    }
}

#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    /// Slowest first, as everywhere but in the file.
    pub shape: Vec<usize>,
    /// `ggml_type`
    pub kind: u32,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), shape: shape.to_vec(), kind: 0, bytes }
    }
    /// The same packed by candle, which llama.cpp's own packing of these types equals.
    pub fn packed(&self, kind: u32, dtype: candle_core::quantized::GgmlDType) -> Self {
        use candle_core::{Device, quantized::QTensor};
        let source = candle_core::Tensor::from_slice(&self.values(), self.shape.clone(), &Device::Cpu).expect("tensor");
        let packed = QTensor::quantize(&source, dtype).expect("quantised");
        Self { kind, bytes: packed.data().expect("bytes").into_owned(), ..self.clone() }
    }
    pub fn values(&self) -> Vec<f32> {
        assert_eq!(self.kind, 0);
        self.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Gguf {
    pub version: u32,
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

impl Default for Gguf {
    fn default() -> Self {
        Self { version: 3, metadata: Vec::new(), tensors: Vec::new() }
    }
}

impl Gguf {
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remove(key);
        self.metadata.push((key.into(), value.into()));
    }
    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(k, _)| k != key);
    }
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        self.length(&mut out, self.tensors.len());
        self.length(&mut out, self.metadata.len());
        for (key, value) in &self.metadata {
            self.text(&mut out, key);
            self.value(&mut out, value);
        }
        let mut offset = 0u64;
        for t in &self.tensors {
            self.text(&mut out, &t.name);
            out.extend((t.shape.len() as u32).to_le_bytes());
            for &dim in t.shape.iter().rev() {
                self.length(&mut out, dim);
            }
            out.extend(t.kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (t.bytes.len() as u64).next_multiple_of(32);
        }
        for t in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(&t.bytes);
        }
        out
    }
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).expect("write");
    }

    fn length(&self, out: &mut Vec<u8>, n: usize) {
        if self.version == 1 {
            out.extend((n as u32).to_le_bytes());
        } else {
            out.extend((n as u64).to_le_bytes());
        }
    }
    fn text(&self, out: &mut Vec<u8>, text: &str) {
        self.length(out, text.len());
        out.extend(text.as_bytes());
    }
    fn value(&self, out: &mut Vec<u8>, value: &Value) {
        let kind: u32 = match value {
            Value::U32(_) => 4,
            Value::I32(_) => 5,
            Value::F32(_) => 6,
            Value::Bool(_) => 7,
            Value::Text(_) => 8,
            Value::Texts(_) | Value::F32s(_) | Value::I32s(_) | Value::Bools(_) => 9,
            Value::U64(_) => 10,
            Value::Raw(kind, _) => *kind,
        };
        out.extend(kind.to_le_bytes());
        let mut list = |kind: u32, n: usize| {
            out.extend(kind.to_le_bytes());
            self.length(out, n);
        };
        match value {
            Value::U32(v) => out.extend(v.to_le_bytes()),
            Value::U64(v) => out.extend(v.to_le_bytes()),
            Value::I32(v) => out.extend(v.to_le_bytes()),
            Value::F32(v) => out.extend(v.to_le_bytes()),
            Value::Bool(v) => out.push(u8::from(*v)),
            Value::Text(v) => self.text(out, v),
            Value::Texts(all) => {
                list(8, all.len());
                all.iter().for_each(|t| self.text(out, t));
            }
            Value::F32s(all) => {
                list(6, all.len());
                all.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Value::I32s(all) => {
                list(5, all.len());
                all.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Value::Bools(all) => {
                list(7, all.len());
                out.extend(all.iter().map(|b| u8::from(*b)));
            }
            Value::Raw(_, bytes) => out.extend(bytes),
        }
    }
}

/// A Hugging Face folder as a GGUF file: f32 weights, byte-level BPE tokenizer cut like GPT-2.
pub fn convert(folder: &Path) -> Gguf {
    let json = |name: &str| -> Json { serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect(name) };
    let (config, tokenizer) = (json("config.json"), json("tokenizer.json"));
    let family = config["model_type"].as_str().expect("model_type").to_owned();
    let architecture = match family.as_str() {
        "mistral" => "llama",
        "gemma3_text" => "gemma3",
        "gpt_neox" => "gptneox",
        other => other,
    };
    // The same thing has several names.
    let number = |keys: &[&str]| keys.iter().find_map(|k| config[*k].as_u64()).map(|n| n as u32);
    let need = |keys: &[&str]| number(keys).unwrap_or_else(|| panic!("none of {keys:?}"));
    let (d, heads) = (need(&["hidden_size", "n_embd"]), need(&["num_attention_heads", "n_head"]));
    let kv_heads = number(&["num_key_value_heads"]).unwrap_or(heads);
    let mut file = Gguf::default();
    file.set("general.architecture", architecture);
    let own = |key: &str| format!("{architecture}.{key}");
    for (key, value) in [
        ("context_length", need(&["max_position_embeddings", "n_positions"])),
        ("embedding_length", d),
        ("block_count", need(&["num_hidden_layers", "n_layer"])),
        ("feed_forward_length", number(&["intermediate_size", "n_inner"]).unwrap_or(4 * d)),
        ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads),
    ] {
        file.set(&own(key), value);
    }
    for (key, from) in
        [("attention.key_length", "head_dim"), ("attention.value_length", "head_dim"), ("attention.sliding_window", "sliding_window")]
    {
        if let Some(value) = number(&[from]) {
            file.set(&own(key), value);
        }
    }
    for (key, from) in [
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ("final_logit_softcapping", "final_logit_softcapping"),
    ] {
        if let Some(value) = config[from].as_f64() {
            file.set(&own(key), value as f32);
        }
    }
    let rope = &config["rope_parameters"];
    let rope = if rope["full_attention"].is_object() { &rope["full_attention"] } else { rope };
    let partial = rope["partial_rotary_factor"].as_f64().or(config["partial_rotary_factor"].as_f64()).unwrap_or(1.0);
    let dims = (partial * f64::from(number(&["head_dim"]).unwrap_or(d / heads))) as u32;
    if family != "gpt2" {
        file.set(&own("rope.dimension_count"), dims);
        file.set(&own("rope.freq_base"), rope["rope_theta"].as_f64().unwrap_or(10_000.0) as f32);
    }
    if family == "gpt_neox" {
        file.set(&own("use_parallel_residual"), config["use_parallel_residual"].as_bool().unwrap_or(true));
    }
    if family == "gemma3_text" {
        let layers = config["layer_types"].as_array().expect("layer types");
        let slides = layers.iter().map(|t| t == "sliding_attention").collect();
        file.set(&own("attention.sliding_window_pattern"), Value::Bools(slides));
    }
    bpe(&mut file, &tokenizer, need(&["vocab_size"]) as usize);
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
    let stored = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut names: Vec<String> = stored.names().into_iter().map(ToOwned::to_owned).collect();
    names.sort();
    for name in names {
        let view = stored.tensor(&name).expect("tensor");
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let (rows, shape) = (view.shape()[0], view.shape().to_vec());
        let (values, shape) = match architecture {
            "llama" if name.contains("q_proj") => (interleave(&values, rows, heads as usize), shape),
            "llama" if name.contains("k_proj") => (interleave(&values, rows, kv_heads as usize), shape),
            "gemma3" if name.ends_with("norm.weight") => (values.iter().map(|v| v + 1.0).collect(), shape),
            "gpt2" if shape.len() == 2 && name.contains(".h.") => (transpose(&values, rows), vec![shape[1], rows]),
            "gptneox" if name.contains("query_key_value") => (split_heads(&values, rows, heads as usize), shape),
            _ => (values, shape),
        };
        file.tensors.push(Tensor::f32(&tensor_name(&name, architecture), &shape, &values));
    }
    file
}

fn transpose(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// From head by head with its q, k and v to all queries, all keys, all values.
fn split_heads(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, head) = (values.len() / rows, rows / heads / 3);
    let piece = |h: usize, part: usize| &values[(3 * h + part) * head * width..(3 * h + part + 1) * head * width];
    (0..3).flat_map(|part| (0..heads).flat_map(move |h| piece(h, part).iter().copied())).collect()
}

/// Its first `vocab` tokens.
fn bpe(file: &mut Gguf, tokenizer: &Json, vocab: usize) {
    let model = &tokenizer["model"];
    let mut tokens: Vec<(u64, String)> =
        model["vocab"].as_object().expect("vocab").iter().map(|(t, id)| (id.as_u64().expect("id"), t.clone())).collect();
    tokens.sort();
    tokens.truncate(vocab);
    let special = |id: u64| tokenizer["added_tokens"].as_array().expect("added").iter().any(|t| t["id"] == id);
    file.set("tokenizer.ggml.model", "gpt2");
    file.set("tokenizer.ggml.pre", "gpt-2");
    file.set("tokenizer.ggml.token_type", Value::I32s(tokens.iter().map(|(id, _)| if special(*id) { 3 } else { 1 }).collect()));
    let tokens: Vec<String> = tokens.into_iter().map(|(_, t)| t).collect();
    let merge = |m: &Json| match m {
        Json::String(m) => m.clone(),
        pair => format!("{} {}", pair[0].as_str().expect("left"), pair[1].as_str().expect("right")),
    };
    let merges = model["merges"].as_array().expect("merges").iter().map(merge).filter(|m| tokens.contains(&m.replacen(' ', "", 1)));
    file.set("tokenizer.ggml.merges", Value::Texts(merges.collect()));
    file.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    file.set("tokenizer.ggml.bos_token_id", 1);
    file.set("tokenizer.ggml.eos_token_id", 2);
    file.set("tokenizer.ggml.add_bos_token", true);
}

/// In order: what is replaced first is not found again.
const NAMES: &[(&str, &str)] = &[
    ("transformer.h.", "blk."),
    ("transformer.", ""),
    ("gpt_neox.", ""),
    ("model.", ""),
    ("lm_head", "output"),
    ("embed_out", "output"),
    ("embed_tokens", "token_embd"),
    ("embed_in", "token_embd"),
    ("wte", "token_embd"),
    ("wpe", "position_embd"),
    ("ln_f", "output_norm"),
    ("final_layer_norm", "output_norm"),
    ("layers.", "blk."),
    ("input_layernorm", "attn_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("ln_1", "attn_norm"),
    ("ln_2", "ffn_norm"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("attn.c_attn", "attn_qkv"),
    ("attention.query_key_value", "attn_qkv"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("attn.c_proj", "attn_output"),
    ("attention.dense", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.c_fc", "ffn_up"),
    ("mlp.c_proj", "ffn_down"),
    ("mlp.dense_h_to_4h", "ffn_up"),
    ("mlp.dense_4h_to_h", "ffn_down"),
];

fn tensor_name(name: &str, architecture: &str) -> String {
    if name == "model.norm.weight" {
        return "output_norm.weight".into();
    }
    let name = NAMES.iter().fold(name.to_owned(), |name, (from, to)| name.replacen(from, to, 1));
    // Gemma has a norm of its own under the name of other families' second norm.
    name.replace("post_attention_layernorm", if architecture == "gemma3" { "post_attention_norm" } else { "ffn_norm" })
}

/// `weights.reshape(heads, 2, rows / heads / 2, ...).swapaxes(1, 2)` of the converter.
fn interleave(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, head) = (values.len() / rows, rows / heads);
    let mut out = vec![0.0; values.len()];
    for h in 0..heads {
        for half in 0..2 {
            for i in 0..head / 2 {
                let (from, to) = (h * head + half * (head / 2) + i, h * head + 2 * i + half);
                out[to * width..(to + 1) * width].copy_from_slice(&values[from * width..(from + 1) * width]);
            }
        }
    }
    out
}

/// SmolLM2-135M-Instruct.Q4_1.gguf: where `BRODMANN_SMOLLM2_GGUF` says, else in the Hugging Face cache; without it a line that says so.
pub fn smollm2() -> Option<std::path::PathBuf> {
    const NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
    if let Some(path) = std::env::var_os("BRODMANN_SMOLLM2_GGUF") {
        return Some(path.into());
    }
    let home = || std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache/huggingface"));
    let hub = std::env::var_os("HF_HUB_CACHE").map(Into::into);
    let hub = hub.or_else(|| std::env::var_os("HF_HOME").map(std::path::PathBuf::from).or_else(home).map(|h| h.join("hub")))?;
    let snapshots = std::fs::read_dir(hub).into_iter().flatten().flatten().map(|repo| repo.path().join("snapshots"));
    let found = snapshots
        .flat_map(|s| std::fs::read_dir(s).into_iter().flatten().flatten())
        .map(|snapshot| snapshot.path().join(NAME))
        .find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: {NAME} is not in the Hugging Face cache, and BRODMANN_SMOLLM2_GGUF does not name it");
    }
    found
}
