//! Token sequences laid one after another without padding, so that batch composition cannot change a result.

/// Sequence `i` holds tokens `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub tokens: Vec<u32>,
    pub starts: Vec<usize>,
    /// Position of each token inside its sequence.
    pub positions: Vec<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { tokens: Vec::new(), starts: vec![0], positions: Vec::new() }
    }
}

impl Batch {
    pub fn new<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self::default();
        for s in sequences {
            batch.push(s.as_ref());
        }
        batch
    }
    pub fn push(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(0..tokens.len() as u32);
        self.starts.push(self.tokens.len());
    }
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }
    pub fn n_sequences(&self) -> usize {
        self.starts.len() - 1
    }
    pub fn sequence(&self, i: usize) -> &[u32] {
        &self.tokens[self.starts[i]..self.starts[i + 1]]
    }
    pub fn span(&self, i: usize) -> std::ops::Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }
}
