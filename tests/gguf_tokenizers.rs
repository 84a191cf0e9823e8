//! Tokenizers from GGUF metadata against llama.cpp itself (ids stored by scripts/reference/gguf_tokens.py) and against the tokenizer.json of the same
//! model, on thousands of strings.

#[path = "support/gguf.rs"]
mod gguf;

use brodmann::{
    base::{hash::sha256_bytes, job::silently},
    model::{TextTokenizer, load_model},
};
use gguf::{Gguf, Tensor, Value};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn reference() -> Json {
    let bytes = std::fs::read(root().join("tests/fixtures/gguf_tokens.json")).expect("fixture");
    serde_json::from_slice(&bytes).expect("fixture")
}

fn texts_of(value: &Json) -> Vec<String> {
    value.as_array().expect("list").iter().map(|t| t.as_str().expect("text").to_owned()).collect()
}

/// The strings of the script, by the same generator.
fn strings(reference: &Json) -> Vec<String> {
    let atoms = texts_of(&reference["atoms"]);
    let mut state = 2024u64;
    let mut pick = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let count = reference["count"].as_u64().expect("count");
    let mut made: Vec<String> = (0..count)
        .map(|_| {
            let n = 1 + pick(14);
            (0..n).map(|_| atoms[pick(atoms.len())].as_str()).collect()
        })
        .collect();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("assets/demo/data"))
        .expect("demo")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.to_string_lossy().ends_with(".validation.jsonl"))
        .collect();
    files.sort();
    for file in files {
        made.extend(std::fs::read_to_string(file).expect("demo file").lines().map(str::to_owned));
    }
    assert_eq!(made.len() as u64, reference["strings"].as_u64().expect("strings"));
    made
}

fn ids(tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// A digest for every hundred strings. `BRODMANN_TOKENS_FULL` may name the file that the script writes beside the fixture: then the strings themselves are told.
fn compare(name: &str, tokenizer: &TextTokenizer, texts: &[String], want: &Json) -> Result<(), String> {
    let ours: Vec<Vec<u32>> = texts.iter().map(|t| ids(tokenizer, t)).collect();
    let line = |ids: &Vec<u32>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + "\n";
    let digests: Vec<String> =
        ours.chunks(100).map(|group| sha256_bytes(group.iter().map(line).collect::<String>().as_bytes())[..12].to_owned()).collect();
    let differ: Vec<usize> =
        digests.iter().zip(texts_of(want)).enumerate().filter(|(_, (a, b))| **a != *b).map(|(group, _)| group).collect();
    if let (false, Some(full)) = (differ.is_empty(), std::env::var_os("BRODMANN_TOKENS_FULL")) {
        let full: Json = serde_json::from_slice(&std::fs::read(full).expect("full")).expect("full");
        let theirs: Vec<Vec<u32>> = serde_json::from_value(full[name].clone()).expect("ids");
        let all = strings(&reference());
        let theirs: Vec<&Vec<u32>> = all.iter().zip(&theirs).filter(|(text, _)| texts.contains(text)).map(|(_, ids)| ids).collect();
        let wrong = ours.iter().zip(&theirs).zip(texts).filter(|((a, b), _)| a != *b);
        println!("{name}: {} strings differ", wrong.clone().count());
        for ((a, b), text) in wrong.take(8) {
            let spell = |ids: &[u32]| ids.iter().map(|&id| tokenizer.piece(id)).collect::<Vec<_>>().join("·");
            println!("{text:?}\n  ours   {}\n  theirs {}", spell(a), spell(b));
        }
    }
    assert_eq!(digests.len(), want.as_array().expect("digests").len());
    if differ.is_empty() { Ok(()) } else { Err(format!("{name}: strings of {differ:?} (each a hundred) have other ids")) }
}

/// A one-layer model around the fixture's vocabulary.
fn small(reference: &Json) -> Gguf {
    let mut file = Gguf::default();
    file.set("general.architecture", "llama");
    for (key, value) in
        [("context_length", 512u32), ("embedding_length", 2), ("block_count", 1), ("feed_forward_length", 2), ("attention.head_count", 1)]
    {
        file.set(&format!("llama.{key}"), value);
    }
    file.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    let merges: Vec<String> = reference["merges"].as_str().expect("merges").lines().map(str::to_owned).collect();
    let mut tokens = texts_of(&reference["special"]);
    tokens.extend(reference["alphabet"].as_str().expect("alphabet").chars().map(String::from));
    for merge in &merges {
        let token = merge.replace(' ', "");
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    let kinds = (0..tokens.len()).map(|id| [3, 3, 3, 4].get(id).copied().unwrap_or(1)).collect();
    file.set("tokenizer.ggml.model", "gpt2");
    file.set("tokenizer.ggml.token_type", Value::I32s(kinds));
    file.set("tokenizer.ggml.merges", Value::Texts(merges));
    file.set("tokenizer.ggml.bos_token_id", 0);
    file.set("tokenizer.ggml.eos_token_id", 1);
    let matrix = |name: &str, rows: usize| Tensor::f32(name, &[rows, 2], &vec![0.0; 2 * rows]);
    let gain = |name: &str| Tensor::f32(name, &[2], &[1.0; 2]);
    file.tensors = vec![matrix("token_embd.weight", tokens.len()), gain("output_norm.weight")];
    file.tensors.extend(["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"].map(gain));
    for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        file.tensors.push(matrix(&format!("blk.0.{part}.weight"), 2));
    }
    file.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    file
}

fn tokenizer_of(file: &Gguf) -> TextTokenizer {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.gguf");
    file.write(&path);
    silently(|ctx| load_model(&path, ctx)).unwrap_or_else(|e| panic!("{e}")).tokenizer
}

#[test]
fn every_pre_tokenizer_cuts_as_llama_cpp_does() {
    let reference = reference();
    let texts = strings(&reference);
    let mut wrong = Vec::new();
    for (pre, want) in reference["pre"].as_object().expect("pre") {
        let mut file = small(&reference);
        file.set("tokenizer.ggml.pre", pre.as_str());
        // Where llama.cpp differs from the models' own tokenizer.json: see the script.
        let left_out = reference["left_out"].get(pre).map(texts_of).unwrap_or_default();
        let kept: Vec<String> = texts.iter().filter(|t| !left_out.iter().any(|part| t.contains(part))).cloned().collect();
        assert!(kept.len() > 3000, "{pre}: {}", kept.len());
        wrong.extend(compare(pre, &tokenizer_of(&file), &kept, want).err());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_stored_samples_can_be_read() {
    let reference = reference();
    let texts = strings(&reference);
    let mut file = small(&reference);
    file.set("tokenizer.ggml.pre", "qwen2");
    let tokenizer = tokenizer_of(&file);
    for sample in reference["samples"].as_array().expect("samples") {
        let index = sample["index"].as_u64().expect("index") as usize;
        assert_eq!(sample["text"], texts[index].as_str());
        let want: Vec<u32> = serde_json::from_value(sample["qwen2"].clone()).expect("ids");
        assert_eq!(ids(&tokenizer, &texts[index]), want, "{:?}", texts[index]);
    }
}

#[test]
fn ends_are_added_as_the_file_or_its_kind_says() {
    let reference = reference();
    let policy = |change: &dyn Fn(&mut Gguf)| {
        let mut file = small(&reference);
        file.set("tokenizer.ggml.pre", "gpt-2");
        change(&mut file);
        tokenizer_of(&file).bos_policy()
    };
    assert_eq!(policy(&|_| {}), "none");
    assert_eq!(policy(&|f| f.set("tokenizer.ggml.pre", "llama-bpe")), "adds <s>");
    assert_eq!(policy(&|f| f.set("tokenizer.ggml.add_bos_token", true)), "adds <s>");
    assert_eq!(policy(&|f| f.set("tokenizer.ggml.add_eos_token", true)), "adds </s> at the end");
    assert_eq!(
        policy(&|f| {
            f.set("tokenizer.ggml.pre", "llama-bpe");
            f.set("tokenizer.ggml.add_bos_token", false);
        }),
        "none"
    );
}

#[test]
fn a_chat_template_is_kept_with_the_tokens_it_names() {
    let mut file = small(&reference());
    file.set("tokenizer.ggml.pre", "gpt-2");
    assert!(tokenizer_of(&file).chat.is_none());
    file.set("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}");
    let chat = tokenizer_of(&file).chat.expect("template");
    assert_eq!((chat.source.len(), chat.bos_token.as_str(), chat.eos_token.as_str()), (40, "<s>", "</s>"));
}

#[test]
fn a_whole_tokenizer_json_in_the_metadata_is_the_tokenizer() {
    let json = std::fs::read_to_string(root().join("tests/fixtures/tiny-llama/tokenizer.json")).expect("tokenizer");
    let mut file = gguf::convert(&root().join("tests/fixtures/tiny-llama"));
    file.metadata.retain(|(key, _)| !key.starts_with("tokenizer.ggml"));
    file.set("tokenizer.huggingface.json", json.as_str());
    let own = silently(|ctx| load_model(&root().join("tests/fixtures/tiny-llama"), ctx)).expect("folder").tokenizer;
    let text = "it's 12 of them";
    assert_eq!(ids(&tokenizer_of(&file), text), ids(&own, text));
}

/// The file, or `None` with a line that says so.
fn there(path: PathBuf) -> Option<PathBuf> {
    let found = path.exists();
    if !found {
        println!("skipped: {} is not there", path.display());
    }
    found.then_some(path)
}

#[test]
fn stories260k_agrees_with_llama_cpp_and_with_its_tokenizer_json() {
    let Some(folder) = there(root().join("../shared/models/stories260K")) else { return };
    let reference = reference();
    let mut texts = strings(&reference);
    let load = |path: &Path| silently(|ctx| load_model(path, ctx)).unwrap_or_else(|e| panic!("{e}")).tokenizer;
    let (from_gguf, from_json) = (load(&folder.join("stories260K.f32.gguf")), load(&folder));
    compare("stories260K.f32.gguf", &from_gguf, &texts, &reference["models"]["stories260K.f32.gguf"]).expect("llama.cpp");
    if let Some(data) = there(root().join("../shared/data/tinystories.jsonl")) {
        texts.extend(std::fs::read_to_string(data).expect("stories").lines().map(str::to_owned));
    }
    assert_eq!(from_gguf.bos_policy(), from_json.bos_policy());
    for text in &texts {
        let (a, b) = (ids(&from_gguf, text), ids(&from_json, text));
        assert_eq!(a, b, "{text:?}");
        assert_eq!(from_gguf.decode(&a).expect("gguf"), from_json.decode(&b).expect("json"), "{text:?}");
    }
    println!("{} strings agree", texts.len());
}

#[test]
fn smollm2_agrees_with_llama_cpp() {
    let Some(path) = gguf::smollm2() else { return };
    let reference = reference();
    let model = silently(|ctx| load_model(&path, ctx)).unwrap_or_else(|e| panic!("{e}"));
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    compare(name, &model.tokenizer, &strings(&reference), &reference["models"][name]).expect("llama.cpp");
    assert_eq!((model.info.dtype.as_str(), model.tokenizer.bos_policy().as_str()), ("gguf q4_1/q8_0 mixed", "none"));
    let chat = model.tokenizer.chat.expect("an instruction model has a template");
    assert!(chat.source.contains("<|im_start|>") && chat.bos_token == "<|im_start|>" && chat.eos_token == "<|im_end|>");
}
