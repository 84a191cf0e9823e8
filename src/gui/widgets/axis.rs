//! One axis of a chart: from values to points on the screen, and round numbers to label.

use super::number;

/// Maps `[min, max]` (or their logarithms) onto `[0, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub min: f64,
    pub max: f64,
    pub log: bool,
    /// With its unit: `density (share of weights)`.
    pub title: String,
    /// Whole numbers (layers): ticks fall on integers and there is half a step of room at both ends.
    pub whole: bool,
}

impl Axis {
    pub fn linear(min: f64, max: f64, title: impl Into<String>) -> Self {
        let (min, max) = if max > min { (min, max) } else { (min - 0.5, min + 0.5) };
        Self { min, max, log: false, title: title.into(), whole: false }
    }
    /// `min` and `max` must be positive; anything else gives one decade around 1.
    pub fn log(min: f64, max: f64, title: impl Into<String>) -> Self {
        let (min, max) = if min > 0.0 && max > min { (min, max) } else { (0.1, 10.0) };
        Self { min, max, log: true, title: title.into(), whole: false }
    }
    /// Layers `0..n`.
    pub fn layers(n: usize) -> Self {
        Self { min: -0.4, max: n.max(1) as f64 - 0.6, log: false, title: "layer".to_owned(), whole: true }
    }
    /// The smallest round range that holds `values`, starting at 0 when that is near.
    pub fn around(values: impl IntoIterator<Item = f64>, title: impl Into<String>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi {
            return Self::linear(0.0, 1.0, title);
        }
        let lo = if lo > 0.0 && lo < 0.5 * hi { 0.0 } else { lo };
        let step = nice_step((hi - lo).max(hi.abs() * 1e-6).max(1e-12) / 4.0);
        Self::linear((lo / step).floor() * step, (hi / step).ceil() * step, title)
    }

    /// 0 at `min`, 1 at `max`.
    pub fn unit(&self, value: f64) -> f32 {
        let t = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        t as f32
    }
    /// The value at `t` of the way.
    pub fn value(&self, t: f32) -> f64 {
        let t = f64::from(t);
        if self.log { self.min * (self.max / self.min).powf(t) } else { self.min + t * (self.max - self.min) }
    }

    /// At most about `at_most` labelled values, ascending.
    pub fn ticks(&self, at_most: usize) -> Vec<f64> {
        let at_most = at_most.max(2);
        if self.log {
            let (first, last) = (self.min.log10().ceil() as i32, self.max.log10().floor() as i32);
            let stride = ((last - first + 1).max(1) as usize).div_ceil(at_most).max(1);
            return (first..=last).step_by(stride).map(|e| 10f64.powi(e)).collect();
        }
        let mut ticks = self.steps(at_most);
        // One label says nothing about the scale.
        for more in at_most + 1..at_most + 4 {
            if ticks.len() > 1 {
                break;
            }
            ticks = self.steps(more);
        }
        ticks
    }

    fn steps(&self, at_most: usize) -> Vec<f64> {
        let mut step = nice_step((self.max - self.min) / at_most as f64);
        if self.whole {
            step = step.max(1.0).round();
        }
        let first = (self.min / step - 1e-9).ceil() as i64;
        let last = (self.max / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// How a tick is written: no more decimals than neighbouring ticks need.
    pub fn tick_label(&self, value: f64, step: f64) -> String {
        if self.whole {
            return format!("{value:.0}");
        }
        if self.log || (value != 0.0 && !(1e-3..1e6).contains(&value.abs())) {
            let plain = number::sig3(value);
            return if plain.contains('e') { plain.replace(".00e", "e") } else { trim_zeros(&plain) };
        }
        let decimals = if step > 0.0 { (-(step.log10() + 1e-9)).ceil().clamp(0.0, 6.0) as usize } else { 0 };
        // 0.25 steps need a second decimal.
        let decimals = if decimals > 0 && (step * 10f64.powi(decimals as i32)).fract().abs() > 1e-6 { decimals + 1 } else { decimals };
        format!("{value:.decimals$}")
    }
}

fn trim_zeros(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

/// 1, 2 or 5 times a power of ten, not below `raw`.
pub fn nice_step(raw: f64) -> f64 {
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let factor = raw / power;
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|&n| factor <= n * (1.0 + 1e-9)).unwrap_or(10.0);
    nice * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!(nice_step(0.13), 0.2);
        assert_eq!(nice_step(3.0), 5.0);
        assert_eq!(nice_step(f64::NAN), 1.0);
    }

    #[test]
    fn an_axis_maps_back_and_forth() {
        for axis in [Axis::linear(0.2, 0.9, ""), Axis::log(1e-8, 1e-2, ""), Axis::layers(8)] {
            for t in [0.0f32, 0.3, 1.0] {
                assert!((axis.unit(axis.value(t)) - t).abs() < 1e-5, "{axis:?} {t}");
            }
        }
    }

    #[test]
    fn layers_get_whole_ticks_inside() {
        assert_eq!(Axis::layers(4).ticks(10), vec![0.0, 1.0, 2.0, 3.0]);
        assert_eq!(Axis::layers(80).ticks(8), vec![0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]);
    }

    #[test]
    fn there_are_always_two_labels() {
        assert_eq!(Axis::linear(0.0, 0.46, "").ticks(1), vec![0.0, 0.2, 0.4]);
        assert_eq!(Axis::layers(1).ticks(9), vec![0.0]);
    }

    #[test]
    fn decades_on_a_log_axis() {
        let axis = Axis::log(1e-8, 1e-2, "");
        assert_eq!(axis.ticks(10).len(), 7);
        assert_eq!(axis.tick_label(1e-6, 0.0), "1e-6");
        assert_eq!(axis.tick_label(10.0, 0.0), "10");
    }

    #[test]
    fn labels_carry_the_decimals_of_their_step() {
        let axis = Axis::linear(0.0, 1.0, "");
        assert_eq!(axis.tick_label(0.5, 0.1), "0.5");
        assert_eq!(axis.tick_label(0.0, 0.25), "0.00");
        assert_eq!(axis.tick_label(20.0, 10.0), "20");
    }

    #[test]
    fn a_range_around_data_is_round_and_holds_it() {
        let axis = Axis::around([0.03, 0.71, f64::NAN], "");
        assert_eq!((axis.min, axis.max), (0.0, 0.8));
        let flat = Axis::around([0.5, 0.5], "");
        assert!(flat.min <= 0.5 && flat.max >= 0.5 && flat.max > flat.min);
        assert_eq!(Axis::around([], "").max, 1.0);
    }
}
