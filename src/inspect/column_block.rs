//! Some neighbouring neurons over all recorded tokens of their layer: everything an index keeps of them.

use super::{
    IndexShape,
    index::{NONE, STATS, window},
    symlog,
};
use half::f16;

/// Where samples lie among the recorded tokens.
pub(super) struct Samples {
    /// Tokens of sample `s`: `starts[s]..starts[s + 1]`.
    pub starts: Vec<u32>,
    /// Domain of each sample, ascending.
    pub domain: Vec<usize>,
    /// Tokens of each domain.
    pub tokens: Vec<usize>,
    /// Tokens at which neurons are compared.
    pub positions: Vec<u32>,
}

/// One layer's `mlp.hook_post` over all recorded tokens.
pub(super) struct Layer<'a> {
    /// `[tokens, f]`
    pub post: &'a [f32],
    pub f: usize,
}

/// Where the results of neurons `first..first + n` go; shapes as in [`super::NeuronIndex`], for those neurons.
pub(super) struct Out<'a> {
    pub scale: &'a mut [f32],
    pub histogram: &'a mut [u16],
    pub stats: &'a mut [f32],
    pub peaks: &'a mut [u32],
    pub peak_values: &'a mut [f32],
    pub windows: &'a mut [f16],
    pub compared: &'a mut [f16],
}

/// Largest (or, negated, smallest) values of one neuron, at most one a sample, sorted.
struct Extremes {
    most: usize,
    kept: Vec<(f32, u32)>,
}

impl Extremes {
    fn offer(&mut self, value: f32, token: u32) {
        if value <= 0.0 || (self.kept.len() == self.most && self.kept.last().is_none_or(|k| value <= k.0)) {
            return;
        }
        let at = self.kept.partition_point(|k| k.0 >= value);
        self.kept.insert(at, (value, token));
        self.kept.truncate(self.most);
    }
}

/// Neurons `first..first + n` of a layer. Sums in f64.
pub(super) fn record_block(layer: &Layer<'_>, first: usize, n: usize, samples: &Samples, shape: &IndexShape, out: &mut Out<'_>) {
    let d = samples.tokens.len();
    let row = |t: usize| &layer.post[t * layer.f + first..t * layer.f + first + n];
    let extremes = |most: usize| (0..n).map(|_| Extremes { most, kept: Vec::with_capacity(most + 1) }).collect::<Vec<_>>();
    let (mut top, mut bottom) = (extremes(shape.top), extremes(shape.bottom));
    let (mut lowest, mut highest) = (vec![f32::INFINITY; n * d], vec![f32::NEG_INFINITY; n * d]);
    let mut sums = vec![[0f64; 3]; n * d];

    let (mut hi, mut lo) = (vec![0f32; n], vec![0f32; n]);
    let (mut hi_at, mut lo_at) = (vec![0u32; n], vec![0u32; n]);
    for (s, span) in samples.starts.windows(2).enumerate() {
        let domain = samples.domain[s];
        hi.fill(f32::NEG_INFINITY);
        lo.fill(f32::INFINITY);
        for t in span[0]..span[1] {
            for (j, &v) in row(t as usize).iter().enumerate() {
                let [sum, abs, square] = &mut sums[domain * n + j];
                let wide = f64::from(v);
                *sum += wide;
                *abs += wide.abs();
                *square += wide * wide;
                if v > hi[j] {
                    (hi[j], hi_at[j]) = (v, t);
                }
                if v < lo[j] {
                    (lo[j], lo_at[j]) = (v, t);
                }
            }
        }
        for j in 0..n {
            top[j].offer(hi[j], hi_at[j]);
            bottom[j].offer(-lo[j], lo_at[j]);
            let at = domain * n + j;
            highest[at] = highest[at].max(hi[j]);
            lowest[at] = lowest[at].min(lo[j]);
        }
    }

    let total = samples.tokens.iter().sum::<usize>().max(1) as f64;
    for j in 0..n {
        let all = |at: usize| (0..d).map(|k| sums[k * n + j][at]).sum::<f64>();
        let turn = (all(1) / total) as f32;
        let turn = if turn > 0.0 { turn } else { 1.0 };
        let ends = (0..d).map(|k| (lowest[k * n + j], highest[k * n + j])).fold((0f32, 0f32), |(a, b), (l, h)| (a.min(l), b.max(h)));
        out.scale[3 * j..3 * j + 3].copy_from_slice(&[turn, symlog::position(ends.0, turn), symlog::position(ends.1, turn)]);
        for k in 0..d {
            let count = samples.tokens[k].max(1) as f64;
            let [sum, abs, square] = sums[k * n + j];
            let mean = sum / count;
            let variance = (square / count - mean * mean).max(0.0);
            let stats = [mean, variance.sqrt(), abs / count].map(|v| v as f32);
            let at = (j * d + k) * STATS;
            out.stats[at..at + 3].copy_from_slice(&stats);
            out.stats[at + 3..at + 5].copy_from_slice(&[lowest[k * n + j], highest[k * n + j]]);
        }
        put_peaks(layer, first + j, &top[j].kept, 1.0, j * shape.peaks(), samples, shape, out);
        put_peaks(layer, first + j, &bottom[j].kept, -1.0, j * shape.peaks() + shape.top, samples, shape, out);
    }
    for (s, span) in samples.starts.windows(2).enumerate() {
        for t in span[0]..span[1] {
            for (j, &v) in row(t as usize).iter().enumerate() {
                let [turn, low, high] = [out.scale[3 * j], out.scale[3 * j + 1], out.scale[3 * j + 2]];
                let bin = symlog::bin(v, turn, low, high, shape.bins);
                let count = &mut out.histogram[(j * d + samples.domain[s]) * shape.bins + bin];
                *count = count.saturating_add(1);
            }
        }
    }
    compare(layer, first, n, samples, out.compared);
}

#[expect(clippy::too_many_arguments, reason = "where one neuron's extremes come from and go")]
fn put_peaks(
    layer: &Layer<'_>,
    neuron: usize,
    kept: &[(f32, u32)],
    sign: f32,
    at: usize,
    samples: &Samples,
    shape: &IndexShape,
    out: &mut Out<'_>,
) {
    for (k, &(value, token)) in kept.iter().enumerate() {
        out.peaks[at + k] = token;
        out.peak_values[at + k] = sign * value;
        let s = samples.starts.partition_point(|&start| start <= token) - 1;
        let span = window(token as usize, samples.starts[s] as usize, samples.starts[s + 1] as usize, shape);
        let place = &mut out.windows[(at + k) * shape.window()..];
        for (place, t) in place.iter_mut().zip(span) {
            // f16 ends at 65,504; a greater activation is shown as that.
            *place = f16::from_f32(layer.post[t * layer.f + neuron].clamp(-65_504.0, 65_504.0));
        }
    }
    debug_assert!(out.peaks[at + kept.len()..].first().is_none_or(|p| *p == NONE || kept.len() == shape.top));
}

/// Activations at the compared positions, less their mean, with length 1: dot products are Pearson correlations.
fn compare(layer: &Layer<'_>, first: usize, n: usize, samples: &Samples, out: &mut [f16]) {
    let m = samples.positions.len();
    for j in 0..n {
        let at = |t: &u32| f64::from(layer.post[*t as usize * layer.f + first + j]);
        let mean = samples.positions.iter().map(at).sum::<f64>() / m.max(1) as f64;
        let length = samples.positions.iter().map(|t| (at(t) - mean).powi(2)).sum::<f64>().sqrt();
        // A constant has no correlation with anything; rounding leaves it some 1e-8 of its size.
        let scale = if length > 1e-6 * mean.abs() && length > 0.0 { 1.0 / length } else { 0.0 };
        for (t, place) in samples.positions.iter().zip(&mut out[j * m..(j + 1) * m]) {
            *place = f16::from_f64((at(t) - mean) * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_keep_the_first_of_equals_and_nothing_that_is_not_above_zero() {
        let mut e = Extremes { most: 2, kept: Vec::new() };
        for (v, t) in [(1.0, 0), (3.0, 1), (0.0, 2), (-1.0, 3), (3.0, 4), (2.0, 5)] {
            e.offer(v, t);
        }
        assert_eq!(e.kept, [(3.0, 1), (3.0, 4)]);
    }
}
