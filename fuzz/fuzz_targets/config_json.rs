//! A config.json into the description of a model, by every family.
#![no_main]

use brodmann::model::family::{ConfigFile, FAMILIES};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(config) = ConfigFile::parse(Path::new("config.json"), data) else { return };
    for family in FAMILIES {
        if let Ok(spec) = (family.spec)(&config) {
            // What a spec says must be cheap to ask, whatever sizes the file names.
            let _ = (spec.n_params(), spec.roles().len());
        }
    }
});
