//! The activations of every neuron of a model over the samples of a run, in bounded memory.

use super::{IndexShape, symlog};
use crate::base::{Head, Neuron, provenance::Provenance};
use half::{f16, slice::HalfFloatSliceExt as _};
use serde::{Deserialize, Serialize};

/// Numbers kept of a neuron in a domain: mean, standard deviation, mean magnitude, minimum, maximum.
pub(super) const STATS: usize = 5;
/// Attention offsets that are told apart: 0 is the query itself; those beyond the last share it.
pub(super) const OFFSETS: usize = 48;
/// No extreme in this place.
pub(super) const NONE: u32 = u32::MAX;

/// What an index is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Same key: same model, same tokens, same shape.
    pub key: String,
    pub n_layers: usize,
    pub d_mlp: usize,
    pub n_heads: usize,
    pub shape: IndexShape,
    pub domains: Vec<DomainAbout>,
    /// What was left out so that it fits, in words.
    pub thinned: Vec<String>,
    pub seconds: f64,
    pub provenance: Provenance,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainAbout {
    pub name: String,
    pub samples: usize,
    pub tokens: usize,
    /// Line in the domain's file of each sample; may be empty.
    pub lines: Vec<usize>,
}

/// `N` neurons, layer by layer; `D` domains; sizes by [`IndexShape`].
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronIndex {
    pub about: About,
    /// All samples' tokens, domain by domain.
    pub(super) tokens: Vec<u32>,
    /// Sample `s` has tokens `starts[s]..starts[s + 1]`.
    pub(super) starts: Vec<u32>,
    /// `[N, 3]`: where the histogram's scale turns logarithmic, positions of its ends ([`symlog`]).
    pub(super) scale: Vec<f32>,
    /// `[N, D, bins]`
    pub(super) histogram: Vec<u16>,
    /// `[N, D, 5]`
    pub(super) stats: Vec<f32>,
    /// `[N, top + bottom]`: token index of each extreme, at most one a sample.
    pub(super) peaks: Vec<u32>,
    pub(super) peak_values: Vec<f32>,
    /// `[N, top + bottom, window]`, zero after the window's end.
    pub(super) windows: Vec<f16>,
    /// Token indices at which neurons are compared, ascending.
    pub(super) positions: Vec<u32>,
    /// `[N, positions]`: activations there, less their mean, with length 1; all 0 for a constant.
    pub(super) compared: Vec<f16>,
    /// `[L, heads, 48]`: mean attention by offset, over the queries that have a key there.
    pub(super) offsets: Vec<f32>,
    /// `[L, heads, 2]`: mean attention to the first token, mean entropy (bits).
    pub(super) looks: Vec<f32>,
    /// `[L, heads, D]`: mean length of `attn.hook_z`.
    pub(super) z_norm: Vec<f32>,
}

/// One neuron in one domain, over all tokens of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DomainStats {
    pub tokens: usize,
    pub mean: f32,
    /// Of the population (divided by n).
    pub std: f32,
    pub mean_abs: f32,
    pub min: f32,
    pub max: f32,
    /// `(sqrt(n) - sum|a| / sqrt(sum a^2)) / (sqrt(n) - 1)`: 0 where all tokens fire alike, 1 where one does. Hoyer, JMLR 5 (2004) 1457-1469.
    /// `None` for a neuron that is 0 everywhere.
    pub sparsity: Option<f32>,
}

/// An extreme activation and the tokens round it.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    pub value: f32,
    pub domain: usize,
    /// Of all samples of the index.
    pub sample: usize,
    /// Line in the domain's file, where it is known.
    pub line: Option<usize>,
    /// Position in the sample.
    pub position: usize,
    /// Position in the sample of the first token of `tokens`.
    pub first: usize,
    pub tokens: Vec<u32>,
    /// `mlp.hook_post` at each of `tokens`, rounded to f16.
    pub values: Vec<f32>,
    /// Tokens that the sample has in all.
    pub sample_tokens: usize,
}

/// All that the index holds of one neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronFacts {
    pub neuron: Neuron,
    /// One for each domain, in the index's order.
    pub stats: Vec<DomainStats>,
    /// `bins + 1` values, the same for all domains.
    pub edges: Vec<f32>,
    /// Where the scale turns logarithmic.
    pub turn: f32,
    /// `[D][bins]` counts of tokens.
    pub histogram: Vec<Vec<u16>>,
    /// Largest first; only above 0.
    pub top: Vec<Peak>,
    /// Smallest first; only below 0.
    pub bottom: Vec<Peak>,
}

/// All that the index holds of one head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadFacts {
    /// Mean attention to the key `offset` places before the query; the last entry takes all that lie further back.
    pub by_offset: Vec<f32>,
    /// Mean attention to the first token, of queries that are not it.
    pub first_token: f32,
    pub entropy_bits: f32,
    /// Mean length of `attn.hook_z`, by domain.
    pub z_norm: Vec<f32>,
}

impl NeuronIndex {
    pub fn n_neurons(&self) -> usize {
        self.about.n_layers * self.about.d_mlp
    }
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }
    pub fn n_samples(&self) -> usize {
        self.starts.len() - 1
    }
    pub fn sample_tokens(&self, sample: usize) -> &[u32] {
        &self.tokens[self.starts[sample] as usize..self.starts[sample + 1] as usize]
    }
    /// Domain of a sample, and its number there.
    pub fn domain_of(&self, sample: usize) -> (usize, usize) {
        let mut rest = sample;
        for (d, about) in self.about.domains.iter().enumerate() {
            if rest < about.samples {
                return (d, rest);
            }
            rest -= about.samples;
        }
        (0, sample)
    }
    /// What it takes in memory and, nearly, on the disk.
    pub fn size_bytes(&self) -> u64 {
        let words = self.tokens.len() + self.starts.len() + self.positions.len() + self.peaks.len();
        let floats =
            self.scale.len() + self.stats.len() + self.peak_values.len() + self.offsets.len() + self.looks.len() + self.z_norm.len();
        let halves = self.histogram.len() + self.windows.len() + self.compared.len();
        (4 * (words + floats) + 2 * halves) as u64
    }
    /// Token positions at which activations are compared.
    pub fn n_compared(&self) -> usize {
        self.positions.len()
    }
    /// Indices into all samples' tokens, ascending.
    pub fn compared_positions(&self) -> &[u32] {
        &self.positions
    }
    pub(super) fn place(&self, neuron: Neuron) -> Option<usize> {
        let (l, j) = (neuron.layer as usize, neuron.index as usize);
        (l < self.about.n_layers && j < self.about.d_mlp).then(|| l * self.about.d_mlp + j)
    }

    /// `None` for a neuron outside the model.
    pub fn stats(&self, neuron: Neuron) -> Option<Vec<DomainStats>> {
        let n = self.place(neuron)?;
        let domains = &self.about.domains;
        let kept = &self.stats[n * domains.len() * STATS..(n + 1) * domains.len() * STATS];
        Some(domains.iter().zip(kept.chunks_exact(STATS)).map(|(d, s)| domain_stats(d.tokens, s)).collect())
    }

    /// `None` for a neuron outside the model.
    pub fn neuron(&self, neuron: Neuron) -> Option<NeuronFacts> {
        let n = self.place(neuron)?;
        let (shape, d) = (&self.about.shape, self.about.domains.len());
        let [turn, lo, hi] = [0, 1, 2].map(|i| self.scale[3 * n + i]);
        let counts = &self.histogram[n * d * shape.bins..(n + 1) * d * shape.bins];
        let (top, bottom) = (0..shape.peaks()).map(|k| (k < shape.top, self.peak(n, k))).partition::<Vec<_>, _>(|p| p.0);
        let there = |peaks: Vec<(bool, Option<Peak>)>| peaks.into_iter().filter_map(|p| p.1).collect();
        Some(NeuronFacts {
            neuron,
            stats: self.stats(neuron)?,
            edges: symlog::edges(turn, lo, hi, shape.bins),
            turn,
            histogram: counts.chunks_exact(shape.bins).map(<[u16]>::to_vec).collect(),
            top: there(top),
            bottom: there(bottom),
        })
    }

    fn peak(&self, n: usize, k: usize) -> Option<Peak> {
        let shape = &self.about.shape;
        let at = n * shape.peaks() + k;
        let token = self.peaks[at];
        if token == NONE {
            return None;
        }
        let sample = self.starts.partition_point(|&s| s <= token).checked_sub(1)?;
        let (start, end) = (self.starts[sample] as usize, self.starts[sample + 1] as usize);
        let token = token as usize;
        let span = window(token, start, end, shape);
        let (domain, number) = self.domain_of(sample);
        Some(Peak {
            value: self.peak_values[at],
            domain,
            sample,
            line: self.about.domains[domain].lines.get(number).copied(),
            position: token - start,
            first: span.start - start,
            tokens: self.tokens[span.clone()].to_vec(),
            values: self.windows[at * shape.window()..][..span.len()].to_f32_vec(),
            sample_tokens: end - start,
        })
    }

    /// `None` for a head outside the model.
    pub fn head(&self, head: Head) -> Option<HeadFacts> {
        let (l, h, heads) = (head.layer as usize, head.index as usize, self.about.n_heads);
        if l >= self.about.n_layers || h >= heads {
            return None;
        }
        let (n, d) = (l * heads + h, self.about.domains.len());
        Some(HeadFacts {
            by_offset: self.offsets[n * OFFSETS..(n + 1) * OFFSETS].to_vec(),
            first_token: self.looks[2 * n],
            entropy_bits: self.looks[2 * n + 1],
            z_norm: self.z_norm[n * d..(n + 1) * d].to_vec(),
        })
    }
}

fn domain_stats(tokens: usize, s: &[f32]) -> DomainStats {
    let (mean, std, mean_abs) = (f64::from(s[0]), f64::from(s[1]), f64::from(s[2]));
    let rms = (mean * mean + std * std).sqrt();
    let root = (tokens as f64).sqrt();
    // sum|a| / sqrt(sum a^2) = sqrt(n) mean|a| / rms
    let sparsity = (rms > 0.0 && tokens > 1).then(|| ((root - root * mean_abs / rms) / (root - 1.0)).clamp(0.0, 1.0) as f32);
    DomainStats { tokens, mean: s[0], std: s[1], mean_abs: s[2], min: s[3], max: s[4], sparsity }
}

/// Tokens round `token` that are kept: all of a short sample, else a full window that stays inside it.
pub(super) fn window(token: usize, start: usize, end: usize, shape: &IndexShape) -> std::ops::Range<usize> {
    let full = shape.window();
    let first = token.saturating_sub(shape.before).max(start).min(end.saturating_sub(full).max(start));
    first..end.min(first + full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_stays_in_its_sample_and_is_full_where_it_can_be() {
        let shape = IndexShape { before: 3, after: 2, ..IndexShape::full() };
        assert_eq!(window(50, 40, 60, &shape), 47..53);
        assert_eq!(window(40, 40, 60, &shape), 40..46);
        assert_eq!(window(59, 40, 60, &shape), 54..60);
        assert_eq!(window(41, 40, 43, &shape), 40..43);
    }

    #[test]
    fn sparsity_is_hoyers() {
        // 1 of 4 tokens fires at 2: mean 0.5, population deviation sqrt(1 - 0.25), sparsity 1.
        let s = domain_stats(4, &[0.5, 0.75f32.sqrt(), 0.5, 0.0, 2.0]);
        assert!((s.sparsity.expect("fires") - 1.0).abs() < 1e-6);
        // All fire alike.
        assert_eq!(domain_stats(4, &[2.0, 0.0, 2.0, 2.0, 2.0]).sparsity, Some(0.0));
        assert_eq!(domain_stats(4, &[0.0; 5]).sparsity, None);
    }
}
