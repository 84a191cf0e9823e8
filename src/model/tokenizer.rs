//! Text to token ids, by the model's own tokenizer.json.

use crate::base::Result;
use std::path::Path;

pub struct TextTokenizer {}

impl TextTokenizer {
    /// # Errors
    /// When the file is missing or is no tokenizer.
    pub fn from_file(_path: &Path) -> Result<Self> {
        todo!()
    }
    /// Ids with the special tokens the tokenizer itself adds (BOS where its post-processor says so).
    pub fn encode(&self, _text: &str) -> Result<Vec<u32>> {
        todo!()
    }
    pub fn decode(&self, _ids: &[u32]) -> Result<String> {
        todo!()
    }
    /// The piece of text one id stands for, for token strips (bytes that are no character alone are shown as `\xNN`).
    pub fn piece(&self, _id: u32) -> String {
        todo!()
    }
    /// Tokens that `encode` puts before the text itself.
    pub fn prefix_len(&self) -> usize {
        todo!()
    }
    /// For provenance: `adds <s>` or `none`.
    pub fn bos_policy(&self) -> String {
        todo!()
    }
}
