//! A model folder with this safetensors file, beside the config of a model of one layer four numbers wide and the tokenizer of the tests.
#![no_main]

use brodmann::{base::job::silently, model::load_model};
use std::{path::Path, sync::OnceLock};

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
    "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 512, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": true}"#;

/// In memory where the system has a place for it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.expect("folder");
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny-llama");
        std::fs::copy(tiny.join("tokenizer.json"), folder.path().join("tokenizer.json")).expect("fixture");
        std::fs::write(folder.path().join("config.json"), CONFIG).expect("config");
        folder
    });
    folder.path()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let folder = folder();
    std::fs::write(folder.join("model.safetensors"), data).expect("write");
    if let Ok(model) = silently(|ctx| load_model(folder, ctx)) {
        assert!(model.info.n_params > 0);
    }
});
