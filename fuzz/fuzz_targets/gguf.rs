//! A GGUF file into a model, tokenizer and chat template.
#![no_main]

use brodmann::{base::job::silently, model::load_model};
use std::{path::Path, sync::OnceLock};

fn file() -> &'static Path {
    static FILE: OnceLock<tempfile::NamedTempFile> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let builder = || tempfile::Builder::new().suffix(".gguf").to_owned();
        let shm = Path::new("/dev/shm");
        if shm.is_dir() { builder().tempfile_in(shm) } else { builder().tempfile() }.expect("file")
    });
    file.path()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    std::fs::write(file(), data).expect("write");
    if let Ok(model) = silently(|ctx| load_model(file(), ctx)) {
        let _ = model.tokenizer.encode("a b");
    }
});
