//! The demo model's folder, compiled in: `load_embedded("demo", CONFIG, TOKENIZER, WEIGHTS, ..)` needs no file.

pub const CONFIG: &[u8] = include_bytes!("../../../assets/demo/model/config.json");
pub const TOKENIZER: &[u8] = include_bytes!("../../../assets/demo/model/tokenizer.json");
/// bf16 safetensors.
pub const WEIGHTS: &[u8] = include_bytes!("../../../assets/demo/model/model.safetensors");
/// Seed, settings, loss curve and accuracy of the run that made the weights.
pub const TRAINING_RECORD: &[u8] = include_bytes!("../../../assets/demo/model/training.json");
