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
            Value::Texts(_) | Value::F32s(_) | Value::I32s(_) => 9,
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
            Value::Raw(_, bytes) => out.extend(bytes),
        }
    }
}

/// A Hugging Face folder as a GGUF file: f32 weights, byte-level BPE tokenizer cut like GPT-2.
pub fn convert(folder: &Path) -> Gguf {
    let json = |name: &str| -> Json { serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect(name) };
    let (config, tokenizer) = (json("config.json"), json("tokenizer.json"));
    let architecture = config["model_type"].as_str().expect("model_type");
    let number = |key: &str| config[key].as_u64().expect(key) as u32;
    let (heads, kv_heads) = (number("num_attention_heads"), number("num_key_value_heads"));
    let mut file = Gguf::default();
    file.set("general.architecture", architecture);
    for (key, value) in [
        ("context_length", number("max_position_embeddings")),
        ("embedding_length", number("hidden_size")),
        ("block_count", number("num_hidden_layers")),
        ("feed_forward_length", number("intermediate_size")),
        ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads),
    ] {
        file.set(&format!("{architecture}.{key}"), value);
    }
    let eps = config["rms_norm_eps"].as_f64().expect("eps") as f32;
    file.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), eps);
    bpe(&mut file, &tokenizer);
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
    let stored = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut names: Vec<String> = stored.names().into_iter().map(ToOwned::to_owned).collect();
    names.sort();
    for name in names {
        let view = stored.tensor(&name).expect("tensor");
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let values = match architecture {
            "llama" if name.contains("q_proj") => interleave(&values, view.shape()[0], heads as usize),
            "llama" if name.contains("k_proj") => interleave(&values, view.shape()[0], kv_heads as usize),
            _ => values,
        };
        file.tensors.push(Tensor::f32(&tensor_name(&name), view.shape(), &values));
    }
    file
}

fn bpe(file: &mut Gguf, tokenizer: &Json) {
    let model = &tokenizer["model"];
    let mut tokens: Vec<(u64, String)> =
        model["vocab"].as_object().expect("vocab").iter().map(|(t, id)| (id.as_u64().expect("id"), t.clone())).collect();
    tokens.sort();
    let special = |id: u64| tokenizer["added_tokens"].as_array().expect("added").iter().any(|t| t["id"] == id);
    file.set("tokenizer.ggml.model", "gpt2");
    file.set("tokenizer.ggml.pre", "gpt-2");
    file.set("tokenizer.ggml.token_type", Value::I32s(tokens.iter().map(|(id, _)| if special(*id) { 3 } else { 1 }).collect()));
    file.set("tokenizer.ggml.tokens", Value::Texts(tokens.into_iter().map(|(_, t)| t).collect()));
    let merge = |m: &Json| match m {
        Json::String(m) => m.clone(),
        pair => format!("{} {}", pair[0].as_str().expect("left"), pair[1].as_str().expect("right")),
    };
    file.set("tokenizer.ggml.merges", Value::Texts(model["merges"].as_array().expect("merges").iter().map(merge).collect()));
    file.set("tokenizer.ggml.bos_token_id", 1);
    file.set("tokenizer.ggml.eos_token_id", 2);
    file.set("tokenizer.ggml.add_bos_token", true);
}

fn tensor_name(name: &str) -> String {
    match name {
        "model.embed_tokens.weight" => return "token_embd.weight".into(),
        "model.norm.weight" => return "output_norm.weight".into(),
        "lm_head.weight" => return "output.weight".into(),
        _ => {}
    }
    let inner = name.strip_prefix("model.layers.").expect("a layer");
    let mut name = format!("blk.{inner}");
    for (from, to) in [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        name = name.replace(from, to);
    }
    name
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
