//! How many neurons two sets share by chance, given how many each has in each layer.

/// One layer of `n` neurons, of which one set has `a` and the other `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stratum {
    pub n: usize,
    pub a: usize,
    pub b: usize,
}

/// `ln k!` for `k` up to some number.
#[derive(Clone, Debug)]
pub struct LnFactorials(Vec<f64>);

impl LnFactorials {
    pub fn up_to(n: usize) -> Self {
        let mut table = Vec::with_capacity(n + 1);
        let mut sum = 0.0;
        table.push(0.0);
        for k in 1..=n {
            sum += (k as f64).ln();
            table.push(sum);
        }
        Self(table)
    }
    fn ln_choose(&self, n: usize, k: usize) -> f64 {
        self.0[n] - self.0[k] - self.0[n - k]
    }
}

/// Probabilities (or weights) of the counts `first..`.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    first: usize,
    weights: Vec<f64>,
}

/// What chance alone gives: mean and the middle 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance {
    pub expected: f64,
    pub low: f64,
    pub high: f64,
}

/// Weights below this share of the largest are cut off at both ends: together they are far below the last bit of any sum.
const CUT: f64 = 1e-22;

impl Counts {
    fn one() -> Self {
        Self { first: 0, weights: vec![1.0] }
    }
    fn trimmed(mut self) -> Self {
        let least = self.weights.iter().copied().fold(0.0, f64::max) * CUT;
        let keep = |w: &f64| *w >= least && *w > 0.0;
        let from = self.weights.iter().position(keep).unwrap_or(0);
        let to = self.weights.iter().rposition(keep).map_or(self.weights.len(), |i| i + 1);
        self.weights.truncate(to);
        self.weights.drain(..from);
        self.first += from;
        self
    }
    /// Of the sum of two independent counts.
    fn plus(&self, other: &Self) -> Self {
        let (short, long) = if self.weights.len() < other.weights.len() { (self, other) } else { (other, self) };
        let mut weights = vec![0.0; short.weights.len() + long.weights.len() - 1];
        for (i, w) in short.weights.iter().enumerate() {
            weights[i..].iter_mut().zip(&long.weights).for_each(|(to, v)| *to += w * v);
        }
        Self { first: short.first + long.first, weights }.trimmed()
    }
    fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.weights.iter().enumerate().map(|(i, w)| (self.first + i, *w))
    }
    pub fn mean_of(&self, value: impl Fn(usize) -> f64) -> f64 {
        self.iter().map(|(k, w)| w * value(k)).sum()
    }
    /// The smallest count that at least `q` of the probability does not exceed.
    pub fn quantile(&self, q: f64) -> usize {
        let mut below = 0.0;
        // A sum of thousands of weights ends a few bits beside 1.
        self.iter()
            .find(|(_, w)| {
                below += w;
                below >= q * (1.0 - 1e-12)
            })
            .map_or(self.first + self.weights.len() - 1, |(k, _)| k)
    }
    /// Of the Jaccard index of sets of these sizes; `None` where both are empty.
    pub fn jaccard(&self, size_a: usize, size_b: usize) -> Option<Chance> {
        let of = |shared: usize| shared as f64 / (size_a + size_b - shared) as f64;
        (size_a + size_b > 0).then(|| Chance { expected: self.mean_of(of), low: of(self.quantile(0.025)), high: of(self.quantile(0.975)) })
    }
}

/// Logarithms of a layer's hypergeometric probabilities, from its smallest possible count on.
struct Layer {
    first: usize,
    ln: Vec<f64>,
}

impl Layer {
    fn new(s: &Stratum, f: &LnFactorials) -> Self {
        let (first, last) = ((s.a + s.b).saturating_sub(s.n), s.a.min(s.b));
        let total = f.ln_choose(s.n, s.b);
        Self { first, ln: (first..=last).map(|k| f.ln_choose(s.a, k) + f.ln_choose(s.n - s.a, s.b - k) - total).collect() }
    }
    /// Weights `p(k) e^(tilt k)`, divided by their sum, and the logarithm of that sum.
    fn tilted(&self, tilt: f64) -> (Counts, f64) {
        let of = |i: usize| self.ln[i] + tilt * (self.first + i) as f64;
        let top = (0..self.ln.len()).map(of).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = (0..self.ln.len()).map(|i| (of(i) - top).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let weights = weights.into_iter().map(|w| w / sum).collect();
        (Counts { first: self.first, weights }.trimmed(), top + sum.ln())
    }
}

fn sum_of(layers: &[Layer], tilt: f64) -> (Counts, f64) {
    layers.iter().fold((Counts::one(), 0.0), |(all, ln), layer| {
        let (own, own_ln) = layer.tilted(tilt);
        (all.plus(&own), ln + own_ln)
    })
}

fn layers(strata: &[Stratum], f: &LnFactorials) -> Vec<Layer> {
    strata.iter().filter(|s| s.a > 0 && s.b > 0).map(|s| Layer::new(s, f)).collect()
}

/// The distribution of the count shared. `f` must reach the largest layer.
pub fn null_of_shared(strata: &[Stratum], f: &LnFactorials) -> Counts {
    sum_of(&layers(strata, f), 0.0).0
}

/// Natural logarithm of the probability that chance makes them share at least `shared` neurons: exact to about ten digits however small it is, since
/// the sum is taken under the exponentially tilted distribution whose mean is `shared`.
pub fn ln_p_at_least(strata: &[Stratum], shared: usize, f: &LnFactorials) -> f64 {
    let layers = layers(strata, f);
    let least: usize = layers.iter().map(|l| l.first).sum();
    let most: usize = layers.iter().map(|l| l.first + l.ln.len() - 1).sum();
    if shared <= least {
        return 0.0;
    }
    if shared > most {
        return f64::NEG_INFINITY;
    }
    let mean = |tilt: f64| -> f64 { layers.iter().map(|l| l.tilted(tilt).0.mean_of(|k| k as f64)).sum() };
    let wanted = shared as f64;
    let mut tilt = 0.0;
    if mean(0.0) < wanted {
        // Any tilt near the right one will do; the answer does not depend on it.
        let (mut low, mut high) = (0.0, 1.0);
        while mean(high) < wanted - 0.25 && high < 256.0 {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..40 {
            tilt = 0.5 * (low + high);
            let off = mean(tilt) - wanted;
            if off.abs() < 0.25 {
                break;
            }
            if off < 0.0 { low = tilt } else { high = tilt }
        }
    }
    let (counts, ln) = sum_of(&layers, tilt);
    let tail: f64 = counts.iter().filter(|(k, _)| *k >= shared).map(|(k, w)| w * (-tilt * (k - shared) as f64).exp()).sum();
    (ln - tilt * wanted + tail.ln()).min(0.0)
}

/// Holm's adjustment of logarithms of p-values for as many tests (Holm, Scand. J. Statist. 6 (1979) 65-70), in the order given.
pub fn holm(ln_p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ln_p.len()).collect();
    order.sort_by(|&a, &b| ln_p[a].total_cmp(&ln_p[b]));
    let mut adjusted = vec![0.0; ln_p.len()];
    let mut largest = f64::NEG_INFINITY;
    for (rank, &i) in order.iter().enumerate() {
        largest = f64::max(largest, (ln_p[i] + ((ln_p.len() - rank) as f64).ln()).min(0.0));
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Counts shared over every placement of the first set's neurons in each layer, by brute force.
    fn brute(strata: &[Stratum]) -> Vec<f64> {
        let mut all = vec![1.0];
        for s in strata {
            let mut own = vec![0.0; s.n + 1];
            for set in 0u32..1 << s.n {
                if set.count_ones() as usize == s.a {
                    // The other set: the first b neurons.
                    own[(set & ((1 << s.b) - 1)).count_ones() as usize] += 1.0;
                }
            }
            let total: f64 = own.iter().sum();
            let mut sum = vec![0.0; all.len() + s.n];
            for (i, x) in all.iter().enumerate() {
                own.iter().enumerate().for_each(|(k, v)| sum[i + k] += x * v / total);
            }
            all = sum;
        }
        all
    }

    fn stratum(n: usize, a: usize, b: usize) -> Stratum {
        Stratum { n, a, b }
    }

    #[test]
    fn tails_agree_with_every_placement_counted() {
        let f = LnFactorials::up_to(12);
        for strata in [
            vec![stratum(8, 4, 4)],
            vec![stratum(6, 3, 2), stratum(9, 4, 5)],
            vec![stratum(10, 1, 10), stratum(7, 0, 3), stratum(12, 6, 3), stratum(5, 5, 4)],
        ] {
            let counts = brute(&strata);
            let most: usize = strata.iter().map(|s| s.a.min(s.b)).sum();
            let null = null_of_shared(&strata, &f);
            let mean: f64 = counts.iter().enumerate().map(|(k, p)| k as f64 * p).sum();
            assert!((null.mean_of(|k| k as f64) - mean).abs() < 1e-12);
            for shared in 0..=most {
                let want: f64 = counts[shared..].iter().sum();
                let got = ln_p_at_least(&strata, shared, &f).exp();
                assert!((got - want).abs() <= 1e-11 * want, "{strata:?} {shared}: {got} for {want}");
            }
            assert_eq!(ln_p_at_least(&strata, most + 1, &f), f64::NEG_INFINITY);
        }
        // Fisher's lady: all four cups of eight by chance 1 in 70.
        assert!((ln_p_at_least(&[stratum(8, 4, 4)], 4, &f) + 70f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_smallest_tails_keep_their_digits() {
        let f = LnFactorials::up_to(1000);
        // All 100 of 1000 the same in each of three layers: C(1000, 100)^-3, about 10^-418.
        let ln_choose = (0..100).map(|i| (f64::from(1000 - i) / f64::from(100 - i)).ln()).sum::<f64>();
        let got = ln_p_at_least(&[stratum(1000, 100, 100); 3], 300, &f);
        assert!((got + 3.0 * ln_choose).abs() < 1e-8 * ln_choose, "{got} {}", -3.0 * ln_choose);
        // One neuron fewer in one of the layers adds 3 * 100 * 900 ways.
        let got = ln_p_at_least(&[stratum(1000, 100, 100); 3], 299, &f);
        assert!((got - (-3.0 * ln_choose + (1.0f64 + 3.0 * 100.0 * 900.0).ln())).abs() < 1e-8 * ln_choose);
    }

    #[test]
    fn seeded_permutations_within_layers_give_the_same_mean_band_and_p() {
        let strata = [stratum(60, 12, 9), stratum(60, 3, 20), stratum(60, 30, 6)];
        let f = LnFactorials::up_to(60);
        let null = null_of_shared(&strata, &f);
        let mut rng = Rng::new(11);
        let draws: Vec<usize> =
            (0..20_000).map(|_| strata.iter().map(|s| rng.sample(s.n, s.a).iter().filter(|i| **i < s.b).count()).sum()).collect();
        let share = |k: usize| draws.iter().filter(|d| **d >= k).count() as f64 / draws.len() as f64;
        for k in 2..14 {
            let p = ln_p_at_least(&strata, k, &f).exp();
            // Five standard errors of a share of 20,000 draws.
            assert!((p - share(k)).abs() < 5.0 * (p * (1.0 - p) / 2e4).sqrt() + 1e-4, "{k}: {p} {}", share(k));
        }
        let chance = null.jaccard(45, 35).expect("sets");
        let mean = draws.iter().map(|&k| k as f64 / (80 - k) as f64).sum::<f64>() / draws.len() as f64;
        assert!((chance.expected - mean).abs() < 1e-3 && chance.low < mean && mean < chance.high, "{chance:?} {mean}");
    }

    #[test]
    fn holm_steps_down() {
        let p = [0.01, 0.04, 0.03, 0.005].map(f64::ln);
        let adjusted: Vec<f64> = holm(&p).into_iter().map(f64::exp).collect();
        // 4 x 0.005, 3 x 0.01, 2 x 0.03, then never below the one before.
        for (got, want) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - want).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9f64.ln(), 0.8f64.ln()]), [0.0, 0.0]);
    }
}
