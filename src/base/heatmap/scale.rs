//! From a value to a position on the colour bar, and back.

use crate::base::Grid;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleKind {
    #[default]
    Linear,
    /// Logarithmic; of signed values `sign(v) ln(1 + |v|/c)`, with c their median magnitude.
    Log,
    /// Linear up to a percentile of the magnitude; larger values take the end's colour.
    Clipped,
}

/// Where a clipped scale ends unless something else is asked for.
pub const PERCENTILE: f32 = 99.9;
/// Between these a percentile can be chosen.
pub const PERCENTILES: std::ops::RangeInclusive<f32> = 50.0..=100.0;

/// What a scale needs to know about a map. Non-finite values are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub min: f32,
    pub max: f32,
    /// This percentile of |v|, zeros counted.
    pub clip: f32,
    pub percentile: f32,
    /// 1st percentile of the positive magnitudes.
    pub p01: f32,
    /// Median of the positive magnitudes.
    pub median: f32,
    pub non_finite: usize,
}

/// The magnitudes of a map in order: any percentile at once.
pub struct Magnitudes {
    /// Positive ones, ascending.
    sorted: Vec<f32>,
    zeros: usize,
    min: f32,
    max: f32,
    non_finite: usize,
}

impl Magnitudes {
    pub fn of(grid: &Grid) -> Self {
        let (min, max) = grid.range().unwrap_or((0.0, 0.0));
        let finite = grid.values().iter().filter(|v| v.is_finite()).count();
        let mut sorted: Vec<f32> = grid.values().iter().map(|v| v.abs()).filter(|v| v.is_finite() && *v > 0.0).collect();
        sorted.par_sort_unstable_by(f32::total_cmp);
        Self { zeros: finite - sorted.len(), sorted, min, max, non_finite: grid.values().len() - finite }
    }
    /// Nearest rank: the smallest magnitude that at least `percentile` % of all finite cells do not exceed.
    pub fn percentile(&self, percentile: f32) -> f32 {
        let finite = self.zeros + self.sorted.len();
        // As it was written, not as f32 has it; and a hair less, so that a product like 999.0000000000001 stays rank 999.
        let written = (f64::from(percentile) * 1e4).round() / 1e4;
        let rank = (finite as f64 * (written / 100.0 - 1e-9)).ceil().max(1.0) as usize - 1;
        let rank = rank.min(finite.max(1) - 1);
        rank.checked_sub(self.zeros).and_then(|k| self.sorted.get(k)).copied().unwrap_or(0.0)
    }
    pub fn summary(&self, percentile: f32) -> Summary {
        let n = self.sorted.len();
        let nth = |k: usize| self.sorted.get(k.min(n.saturating_sub(1))).copied().unwrap_or(0.0);
        Summary {
            min: self.min,
            max: self.max,
            clip: self.percentile(percentile),
            percentile,
            p01: nth(n / 100),
            median: nth(n / 2),
            non_finite: self.non_finite,
        }
    }
}

impl Summary {
    pub fn of(grid: &Grid) -> Self {
        Self::at(grid, PERCENTILE)
    }
    /// With another percentile.
    pub fn at(grid: &Grid, percentile: f32) -> Self {
        Magnitudes::of(grid).summary(percentile)
    }
    pub fn max_abs(&self) -> f32 {
        self.max.abs().max(self.min.abs())
    }
    /// Of two maps that share one scale.
    pub fn join(&self, other: &Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            clip: self.clip.max(other.clip),
            percentile: self.percentile,
            p01: if self.p01 > 0.0 && other.p01 > 0.0 { self.p01.min(other.p01) } else { self.p01.max(other.p01) },
            median: self.median.max(other.median),
            non_finite: self.non_finite + other.non_finite,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub kind: ScaleKind,
    /// Runs from `-hi` to `hi` with zero in the middle; otherwise from `lo` to `hi`.
    pub signed: bool,
    /// Lower end of a logarithmic scale; of a signed one the value where it turns from linear to logarithmic. Else 0.
    pub lo: f32,
    pub hi: f32,
    /// Values beyond `hi` exist.
    pub clips: bool,
    /// Of a clipped scale.
    pub percentile: f32,
}

impl Scale {
    pub fn fit(summary: &Summary, kind: ScaleKind, signed: bool) -> Self {
        let top = if signed { summary.max_abs() } else { summary.max.max(0.0) };
        let hi = match kind {
            ScaleKind::Clipped if summary.clip > 0.0 => summary.clip.min(top),
            _ => top,
        };
        let hi = if hi > 0.0 { hi } else { 1.0 };
        let lo = match kind {
            ScaleKind::Log if signed => summary.median.clamp(hi * 1e-4, hi * 0.5),
            ScaleKind::Log => summary.p01.clamp(hi * 1e-6, hi * 0.5),
            _ => 0.0,
        };
        Self { kind, signed, lo, hi, clips: top > hi, percentile: summary.percentile }
    }
    /// Position of a value on the colour bar, 0 to 1.
    pub fn position(&self, value: f64) -> f64 {
        let (lo, hi) = (f64::from(self.lo), f64::from(self.hi));
        let t = match (self.kind, self.signed) {
            (ScaleKind::Log, true) => 0.5 + 0.5 * value.signum() * (value.abs() / lo).ln_1p() / (hi / lo).ln_1p(),
            (ScaleKind::Log, false) => (value.max(lo) / lo).ln() / (hi / lo).ln(),
            (_, true) => 0.5 + 0.5 * value / hi,
            (_, false) => value / hi,
        };
        t.clamp(0.0, 1.0)
    }
    /// The value at a position: the inverse of [`Self::position`] where that does not clamp.
    pub fn value(&self, position: f64) -> f64 {
        let (lo, hi) = (f64::from(self.lo), f64::from(self.hi));
        let s = 2.0 * position - 1.0;
        match (self.kind, self.signed) {
            (ScaleKind::Log, true) => s.signum() * lo * (s.abs() * (hi / lo).ln_1p()).exp_m1(),
            (ScaleKind::Log, false) => lo * (position * (hi / lo).ln()).exp(),
            (_, true) => s * hi,
            (_, false) => position * hi,
        }
    }
    /// Smallest value of each of the 256 colours, ascending; the first holds for everything below the second. The only thing that decides a
    /// pixel's colour, so that CPU and GPU cannot disagree about a logarithm's last bit.
    pub fn starts(&self) -> [f32; 256] {
        let mut out = [f32::MIN; 256];
        for i in 1..256 {
            let v = self.value((i as f64 - 0.5) / 255.0) as f32;
            out[i] = v.max(out[i - 1]);
        }
        out
    }
    /// Round values for the colour bar's ticks, about `count` of them, ends included where they are round.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let (lo, hi) = (f64::from(self.lo), f64::from(self.hi));
        match (self.kind, self.signed) {
            (ScaleKind::Log, false) => {
                let (a, b) = (lo.log10().ceil() as i32, hi.log10().floor() as i32);
                let every = ((b - a) / count.max(1) as i32 + 1).max(1);
                (a..=b).filter(|e| (e - a) % every == 0).map(|e| 10f64.powi(e)).collect()
            }
            (ScaleKind::Log, true) => {
                let b = hi.log10().floor() as i32;
                let a = lo.log10().ceil() as i32;
                let every = ((b - a) / (count as i32 / 2).max(1) + 1).max(1);
                let up: Vec<f64> = (a..=b).rev().step_by(every as usize).map(|e| 10f64.powi(e)).collect();
                up.iter().map(|v| -v).chain(std::iter::once(0.0)).chain(up.iter().rev().copied()).collect()
            }
            (_, signed) => {
                let (from, span) = if signed { (-hi, 2.0 * hi) } else { (0.0, hi) };
                let raw = span / count.max(1) as f64;
                let power = 10f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| span / s <= count as f64).unwrap_or(raw);
                let first = (from / step).ceil() as i64;
                (first..).map(|k| k as f64 * step).take_while(|v| *v <= hi * (1.0 + 1e-9)).collect()
            }
        }
    }
    /// For the legend: `linear`, `log`, `linear, clipped at the 99.9th percentile`.
    pub fn label(&self) -> String {
        match (self.kind, self.signed) {
            (ScaleKind::Linear, _) => "linear".into(),
            (ScaleKind::Log, false) => "log".into(),
            (ScaleKind::Log, true) => "log both ways from 0".into(),
            (ScaleKind::Clipped, _) => format!("linear, clipped at the {} percentile", ordinal(self.percentile)),
        }
    }
}

/// `99.9th`, `91st`
pub fn ordinal(n: f32) -> String {
    // As many digits as were chosen, not those of the nearest f32.
    let text = format!("{n:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let end = match (text.contains('.'), text.ends_with("11") || text.ends_with("12") || text.ends_with("13"), text.chars().last()) {
        (false, false, Some('1')) => "st",
        (false, false, Some('2')) => "nd",
        (false, false, Some('3')) => "rd",
        _ => "th",
    };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> impl Strategy<Value = Scale> {
        let summary = Summary { min: -2.0, max: 8.0, clip: 4.0, percentile: 99.9, p01: 0.001, median: 0.1, non_finite: 0 };
        prop_oneof![Just(ScaleKind::Linear), Just(ScaleKind::Log), Just(ScaleKind::Clipped)]
            .prop_flat_map(move |kind| prop_oneof![Just(Scale::fit(&summary, kind, false)), Just(Scale::fit(&summary, kind, true))])
    }

    proptest! {
        #[test]
        fn value_undoes_position(scale in all(), t in 0.001..0.999f64) {
            prop_assert!((scale.position(scale.value(t)) - t).abs() < 1e-9);
        }
        #[test]
        fn starts_agree_with_position(scale in all(), v in -9.0..9.0f32) {
            let index = scale.starts()[1..].iter().filter(|s| **s <= v).count();
            let t = scale.position(f64::from(v)) * 255.0;
            // The start is rounded to f32, so a value right at one may fall on either side.
            prop_assert!((index as f64 - t).abs() <= 0.5 + 1e-3, "{index} {t}");
        }
        #[test]
        fn ticks_lie_inside(scale in all(), n in 2..9usize) {
            for v in scale.ticks(n) {
                let inside = (f64::from(if scale.signed { -scale.hi } else { 0.0 }) - 1e-9..=f64::from(scale.hi) * (1.0 + 1e-6)).contains(&v);
                prop_assert!(inside, "{v}");
            }
        }
    }

    #[test]
    fn summary_counts_zeros_and_leaves_out_nan() {
        // 998 zeros, then 1, 2 and NaN: rank ceil(0.999 * 1000) = 999 of 1000 finite cells is the value 1.
        let mut v = vec![0.0; 998];
        v.extend([2.0, 1.0, f32::NAN]);
        let s = Summary::of(&Grid::new(1, 1001, v).expect("grid"));
        assert_eq!((s.min, s.max, s.clip, s.non_finite), (0.0, 2.0, 1.0, 1));
    }

    #[test]
    fn any_percentile_is_the_nearest_rank() {
        let grid = Grid::new(1, 100, (1..=100u8).map(f32::from).collect::<Vec<_>>()).expect("grid");
        let m = Magnitudes::of(&grid);
        // 100 cells with the values 1 to 100: the p-th percentile is the value p.
        for p in [50.0, 90.0, 95.0, 99.0, 100.0] {
            assert_eq!(m.percentile(p), p);
            assert_eq!(Summary::at(&grid, p).clip, p);
        }
        let scale = Scale::fit(&m.summary(95.0), ScaleKind::Clipped, false);
        assert_eq!((scale.hi, scale.clips), (95.0, true));
        assert_eq!(scale.label(), "linear, clipped at the 95th percentile");
        assert_eq!([50.0, 91.0, 92.0, 93.0, 99.95, 99.9].map(ordinal), ["50th", "91st", "92nd", "93rd", "99.95th", "99.9th"]);
    }

    #[test]
    fn a_map_of_zeros_has_a_scale() {
        let s = Scale::fit(&Summary::of(&Grid::zeros(2, 2)), ScaleKind::Log, false);
        assert!(s.hi > s.lo && s.lo > 0.0);
        assert_eq!(s.position(0.0), 0.0);
        let s = Scale::fit(&Summary::of(&Grid::zeros(0, 0)), ScaleKind::Log, true);
        assert_eq!(s.position(0.0), 0.5);
    }

    #[test]
    fn zero_is_in_the_middle_of_a_signed_scale() {
        for kind in [ScaleKind::Linear, ScaleKind::Log, ScaleKind::Clipped] {
            let s =
                Scale::fit(&Summary { min: -1.0, max: 3.0, clip: 2.0, percentile: 99.9, p01: 0.1, median: 0.2, non_finite: 0 }, kind, true);
            assert!((s.position(0.0) - 0.5).abs() < 1e-12);
            assert!(s.ticks(5).contains(&0.0), "{:?}", s.ticks(5));
        }
    }
}
