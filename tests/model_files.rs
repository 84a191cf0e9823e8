//! Model folders: every way a good one may be laid out, and what is said of a bad one.

use brodmann::{
    base::{CancelToken, Ctx, Error, job::silently, rng::Rng},
    compute::cpu::CpuBackend,
    model::{
        Batch, Decoder, LoadOptions, Matrix, Model, Role, SaveDtype, Tensor, Weights, load_embedded, load_model, load_model_with,
        save_model,
    },
};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// Name -> type, shape, bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

const WEIGHTS: &str = "model.safetensors";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

fn load(folder: &Path) -> brodmann::base::Result<Model> {
    silently(|ctx| load_model(folder, ctx))
}

fn message(folder: &Path) -> String {
    load(folder).err().expect("refused").to_string()
}

/// A writable copy of the fixture.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        fs::copy(fixture().join(file), folder.path().join(file)).expect("copy");
    }
    folder
}

/// Name, dtype, shape and bytes of every tensor of the fixture.
fn tensors() -> Tensors {
    let bytes = fs::read(fixture().join(WEIGHTS)).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    file.tensors().into_iter().map(|(n, t)| (n, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect()
}

fn write(path: &Path, tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) {
    let views = tensors.iter().map(|(n, (dtype, shape, data))| (n, TensorView::new(*dtype, shape.clone(), data).expect("view")));
    fs::write(path, safetensors::serialize(views, None).expect("serialise")).expect("write");
}

fn set_config(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("config")).expect("json");
    config[key] = value;
    fs::write(&path, config.to_string()).expect("write");
}

fn logits(model: Model) -> Vec<f32> {
    Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None))).forward_logits(&Batch::new(&[[1u32, 40, 99, 300, 7]])).expect("logits")
}

#[test]
fn f32_weights_are_borrowed_from_the_file() {
    let model = load(&fixture()).expect("model");
    assert!(model.weights.embedding.is_mapped());
    assert!(Matrix::ALL.iter().all(|&m| model.weights.block(2).matrix(m).is_mapped()));
    assert_eq!((model.info.dtype.as_str(), model.info.model_type.as_str(), model.info.name.as_str()), ("f32", "llama", "tiny-llama"));
    // 2 x 512 x 32 outside the blocks; in each 32x32 q and o, 16x32 k and v, 3 x 88 x 32, two gains; one gain at the end.
    assert_eq!(model.info.n_params, 2 * 512 * 32 + 3 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 88 * 32 + 64) + 32);
}

#[test]
fn the_digest_is_what_sha256sum_gives() {
    use brodmann::base::hash::sha256_bytes;
    let line = |file: &str| format!("{}  {file}\n", sha256_bytes(&fs::read(fixture().join(file)).expect(file)));
    let want = sha256_bytes(["config.json", WEIGHTS, "tokenizer.json"].map(line).concat().as_bytes());
    assert_eq!(load(&fixture()).expect("model").info.sha256, want);
}

#[test]
fn a_model_inside_the_program_is_the_same_as_its_folder() {
    let read = |file: &str| -> &'static [u8] { fs::read(fixture().join(file)).expect(file).leak() };
    let embedded =
        silently(|ctx| load_embedded("demo", read("config.json"), read("tokenizer.json"), read(WEIGHTS), ctx)).expect("embedded");
    let folder = load(&fixture()).expect("folder");
    assert_eq!(embedded.info.sha256, folder.info.sha256);
    assert!(logits(embedded) == logits(folder));
}

#[test]
fn shards_give_the_same_model_as_one_file() {
    let folder = copy();
    fs::remove_file(folder.path().join(WEIGHTS)).expect("remove");
    let all = tensors();
    let shard =
        |name: &str| if name.contains("layers.1") { "model-00002-of-00002.safetensors" } else { "model-00001-of-00002.safetensors" };
    for file in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        write(&folder.path().join(file), &all.iter().filter(|(n, _)| shard(n) == file).map(|(n, t)| (n.clone(), t.clone())).collect());
    }
    let map: Map<String, Value> = all.keys().map(|n| (n.clone(), shard(n).into())).collect();
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, json!({ "metadata": {}, "weight_map": map }).to_string()).expect("index");
    assert!(logits(load(folder.path()).expect("sharded")) == logits(load(&fixture()).expect("single")));

    // A shard elsewhere is not followed.
    let mut outside = map.clone();
    outside["lm_head.weight"] = "../model-00001-of-00002.safetensors".into();
    fs::write(&index, json!({ "weight_map": outside }).to_string()).expect("index");
    let e = message(folder.path());
    assert!(e.contains("lm_head.weight") && e.contains("beside it"), "{e}");
    // A tensor that is not where the index says.
    let mut wrong = map;
    wrong["lm_head.weight"] = "model-00002-of-00002.safetensors".into();
    fs::write(&index, json!({ "weight_map": wrong }).to_string()).expect("index");
    let e = message(folder.path());
    assert!(e.contains("tensor lm_head.weight should be in model-00002-of-00002.safetensors"), "{e}");
}

#[test]
fn half_precision_is_widened_exactly_and_stored_blocks_compute_the_same() {
    let model = load(&fixture()).expect("model");
    for (dtype, name) in [(Dtype::F16, "f16"), (Dtype::BF16, "bf16")] {
        let folder = copy();
        let mut all = tensors();
        let narrow = |v: f32| match dtype {
            Dtype::F16 => half::f16::from_f32(v).to_le_bytes(),
            _ => half::bf16::from_f32(v).to_le_bytes(),
        };
        for (stored, _, bytes) in all.values_mut() {
            *bytes = bytes.as_chunks::<4>().0.iter().flat_map(|b| narrow(f32::from_le_bytes(*b))).collect();
            *stored = dtype;
        }
        write(&folder.path().join(WEIGHTS), &all);
        let resident = load(folder.path()).expect("half");
        assert_eq!(resident.info.dtype, name);
        assert!(resident.weights.is_resident());
        let widened = |v: f32| if dtype == Dtype::F16 { half::f16::from_f32(v).to_f32() } else { half::bf16::from_f32(v).to_f32() };
        let down = Role::Weight(1, Matrix::Down);
        let want: Vec<f32> = model.weights.get(down).expect("down").iter().map(|&v| widened(v)).collect();
        assert!(resident.weights.get(down).expect("down")[..] == want[..]);

        let stored = silently(|ctx| load_model_with(folder.path(), &LoadOptions { resident_bytes: Some(1000) }, ctx)).expect("stored");
        assert!(!stored.weights.is_resident());
        assert!(logits(stored) == logits(resident));
    }
}

#[test]
fn a_cancel_between_two_tensors_ends_the_opening() {
    let cancel = CancelToken::default();
    let report = |_| cancel.cancel();
    let cancelled = load_model(&fixture(), &Ctx::new(&cancel, &report));
    assert!(matches!(cancelled, Err(Error::Cancelled)));
}

#[test]
fn a_saved_model_loads_again_and_saving_twice_gives_the_same_bytes() {
    let source = load(&fixture()).expect("model");
    for dtype in [SaveDtype::F32, SaveDtype::Bf16] {
        let save = || {
            let folder = tempfile::tempdir().expect("folder");
            let extra = Map::from_iter([("eos_token_id".to_owned(), json!(2))]);
            save_model(folder.path(), "llama", &source.spec, &source.weights, dtype, &extra).expect("save");
            fs::copy(fixture().join("tokenizer.json"), folder.path().join("tokenizer.json")).expect("tokenizer");
            folder
        };
        let (first, second) = (save(), save());
        for file in [WEIGHTS, "config.json"] {
            assert_eq!(fs::read(first.path().join(file)).expect("first"), fs::read(second.path().join(file)).expect("second"), "{file}");
        }
        let again = load(first.path()).expect("saved");
        assert_eq!(again.spec, source.spec);
        assert_eq!(again.info.dtype, if dtype == SaveDtype::F32 { "f32" } else { "bf16" });
        if dtype == SaveDtype::F32 {
            assert!(logits(again) == logits(load(&fixture()).expect("model")));
        }
    }
}

/// transformers refuses a whole number that is written with a point.
#[test]
fn a_saved_gemma3_has_the_whole_numbers_of_its_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-gemma3");
    let (source, folder) = (load(&path).expect("model"), tempfile::tempdir().expect("folder"));
    save_model(folder.path(), "gemma3_text", &source.spec, &source.weights, SaveDtype::F32, &Map::new()).expect("save");
    let config: Value = serde_json::from_slice(&fs::read(folder.path().join("config.json")).expect("file")).expect("json");
    assert!(config["query_pre_attn_scalar"].is_u64(), "{config}");
}

#[test]
fn writing_to_weights_leaves_the_file_and_other_holders_alone() {
    let folder = copy();
    let before = fs::read(folder.path().join(WEIGHTS)).expect("bytes");
    let mut model = load(folder.path()).expect("model");
    let other = model.weights.clone();
    let role = Role::Weight(0, Matrix::Gate);
    model.weights.get_mut(role).expect("gate").values_mut()[0] = 42.0;
    assert_eq!(model.weights.block(0).matrix(Matrix::Gate)[0], 42.0);
    assert_ne!(other.block(0).matrix(Matrix::Gate)[0], 42.0);
    assert_eq!(fs::read(folder.path().join(WEIGHTS)).expect("bytes"), before);
}

#[test]
fn a_tied_head_is_the_embedding() {
    let folder = copy();
    set_config(folder.path(), "tie_word_embeddings", true.into());
    // The head that is still in the file is named in a warning and not used.
    let model = load(folder.path()).expect("tied");
    assert!(std::ptr::eq(model.weights.head().values(), model.weights.embedding.values()));
    assert!(model.weights.get(Role::Head).is_none());
    assert_eq!(model.info.n_params, load(&fixture()).expect("untied").info.n_params - 512 * 32);
}

#[test]
fn what_does_not_fit_is_named() {
    let refused = |change: &dyn Fn(&mut Tensors), want: &str| {
        let folder = copy();
        let mut all = tensors();
        change(&mut all);
        write(&folder.path().join(WEIGHTS), &all);
        let e = message(folder.path());
        assert!(e.contains(want), "{e}");
    };
    let up = "model.layers.2.mlp.up_proj.weight";
    refused(
        &|all| all.get_mut(up).expect("up").1 = vec![32, 88],
        "model.safetensors: tensor model.layers.2.mlp.up_proj.weight has shape [32, 88], expected [88, 32]",
    );
    refused(
        &|all| {
            all.remove(up);
        },
        "1 of 30 tensors are missing: model.layers.2.mlp.up_proj.weight",
    );
    refused(
        &|all| {
            let t = all.remove(up).expect("up");
            all.insert("model.layers.2.mlp.up.weight".into(), t);
        },
        "; present but unused: model.layers.2.mlp.up.weight",
    );
    refused(
        &|all| {
            all.insert("model.layers.0.self_attn.q_proj.bias".into(), (Dtype::F32, vec![32], vec![0; 128]));
        },
        "config.json describes no such tensors: model.layers.0.self_attn.q_proj.bias",
    );
    refused(&|all| all.get_mut(up).expect("up").0 = Dtype::I32, "model.layers.2.mlp.up_proj.weight is I32, expected F32, F16 or BF16");
}

#[test]
fn buffers_outside_the_computation_are_left_alone() {
    let folder = copy();
    let mut all = tensors();
    all.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), (Dtype::F32, vec![4], vec![0; 16]));
    all.insert("score.weight".into(), (Dtype::I64, vec![1], vec![0; 8]));
    write(&folder.path().join(WEIGHTS), &all);
    assert!(logits(load(folder.path()).expect("loads")) == logits(load(&fixture()).expect("model")));
}

#[test]
fn a_folder_without_weights_says_what_is_there_instead() {
    let folder = copy();
    fs::remove_file(folder.path().join(WEIGHTS)).expect("remove");
    assert!(message(folder.path()).contains("expected model.safetensors or model.safetensors.index.json"));
    fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02").expect("write");
    let e = message(folder.path());
    assert!(e.contains("pytorch_model.bin") && e.contains("runs code") && e.contains("safe_serialization=True"), "{e}");
}

#[test]
fn missing_parts_are_named() {
    for (file, words) in [("config.json", "no config.json"), ("tokenizer.json", "needs its tokenizer")] {
        let folder = copy();
        fs::remove_file(folder.path().join(file)).expect("remove");
        let e = message(folder.path());
        assert!(e.contains(words), "{e}");
    }
    assert!(message(Path::new("no/such/folder")).contains("no such folder"));
    // A file of the folder picked instead of the folder.
    assert!(load(&fixture().join(WEIGHTS)).is_ok());
    let folder = copy();
    set_config(folder.path(), "model_type", "rwkv".into());
    let e = message(folder.path());
    assert!(e.contains("config.json: model_type `rwkv` is not supported; supported: llama"), "{e}");
    set_config(folder.path(), "model_type", "llama".into());
    // Billions of layers or columns are found missing without room being made for them.
    set_config(folder.path(), "num_hidden_layers", 16_000.into());
    assert!(message(folder.path()).contains("tensors are missing: model.layers.3."));
    set_config(folder.path(), "num_hidden_layers", 3.into());
    set_config(folder.path(), "intermediate_size", 200_000_000.into());
    assert!(message(folder.path()).contains("expected [200000000, 32]"));
}

#[test]
fn text_round_trips_and_pieces_join_to_it() {
    let tokenizer = load(&fixture()).expect("model").tokenizer;
    let text = "def f(x):\n\treturn x # π ≈ 3";
    let ids = tokenizer.encode(text).expect("encode");
    assert_eq!((tokenizer.prefix_len(), tokenizer.suffix_len(), tokenizer.bos_policy()), (1, 0, "adds <s>".to_owned()));
    assert_eq!((ids[0], tokenizer.piece(ids[0])), (1, "<s>".to_owned()));
    assert_eq!(tokenizer.decode(&ids).expect("decode"), text);
    let pieces: String = ids[1..].iter().map(|&id| tokenizer.piece(id)).collect();
    // Letters outside the small vocabulary come as single bytes.
    assert_eq!(pieces, text.replace('π', "\\xCF\\x80").replace('≈', "\\xE2\\x89\\x88"));
    assert_eq!(tokenizer.piece(9_999_999), "<9999999?>");
}

#[test]
fn pieces_of_a_sentencepiece_vocabulary_show_spaces_and_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/stories260K");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let tokenizer = load(&folder).expect("stories").tokenizer;
    let ids = tokenizer.encode("Once upon a time\u{1}").expect("encode");
    let pieces: Vec<String> = ids.iter().map(|&id| tokenizer.piece(id)).collect();
    assert_eq!(pieces[0], "<s>");
    assert_eq!(pieces[1..].concat(), " Once upon a time\\x01".replace("\\x01", "\u{1}"));
}

/// A random model of another shape, to be sure that nothing above hangs on the fixture's.
#[test]
fn built_weights_have_every_tensor_of_the_spec() {
    let mut spec = load(&fixture()).expect("model").spec;
    spec.attention.qkv_bias = true;
    spec.tied_head = true;
    let mut asked = Vec::new();
    let weights = Weights::build(&spec, |role, shape| {
        asked.push(role);
        Ok(Tensor::zeros(shape))
    })
    .expect("weights");
    assert_eq!(asked, spec.roles());
    let total: usize = spec.roles().iter().map(|&r| weights.get(r).expect("tensor").len()).sum();
    assert_eq!(total as u64, spec.n_params());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_file_is_refused_without_a_panic(share in 0.0f64..1.0, which in 0usize..3) {
        let folder = copy();
        let file = folder.path().join(["config.json", "tokenizer.json", WEIGHTS][which]);
        let bytes = fs::read(&file).expect("read");
        let keep = ((bytes.len() - 2) as f64 * share) as usize;
        fs::write(&file, &bytes[..keep]).expect("write");
        let e = message(folder.path());
        prop_assert!(e.contains(file.file_name().expect("name").to_str().expect("utf-8")), "{}", e);
    }

    #[test]
    fn garbled_bytes_never_panic(seed in any::<u64>(), which in 0usize..3, edits in 1usize..12) {
        let folder = copy();
        let file = folder.path().join(["config.json", "tokenizer.json", WEIGHTS][which]);
        let mut bytes = fs::read(&file).expect("read");
        let mut rng = Rng::new(seed);
        // Of a weight file the header is what is read as more than numbers.
        let span = if which == 2 { bytes.len().min(3_200) } else { bytes.len() };
        for _ in 0..edits {
            let at = rng.below(span);
            bytes[at] = if rng.below(2) == 0 { rng.below(256) as u8 } else { *rng.pick(b"0123456789[]{}\",:-e") };
        }
        fs::write(&file, &bytes).expect("write");
        if let Ok(model) = load(folder.path()) {
            prop_assert!(model.spec.n_params() < 1 << 40);
            let _ = model.tokenizer.encode("a").map(|ids| ids.iter().map(|&id| model.tokenizer.piece(id)).collect::<String>());
        }
    }
}
