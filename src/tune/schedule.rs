//! Learning rate by step.

use serde::{Deserialize, Serialize};

/// Linear warm-up to `peak`, then half a cosine down to `peak * floor` at the last step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub peak: f64,
    pub warmup_steps: usize,
    pub total_steps: usize,
    /// Share of the peak that is left at the end, in `[0, 1]`.
    pub floor: f64,
}

impl Schedule {
    /// Learning rate of step `step`, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let done = ((step - self.warmup_steps) as f64 / span as f64).min(1.0);
        self.peak * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_the_peak_and_falls_to_the_floor() {
        let s = Schedule { peak: 2.0, warmup_steps: 4, total_steps: 104, floor: 0.1 };
        assert_eq!(s.rate(0), 0.5);
        assert_eq!(s.rate(3), 2.0);
        assert_eq!(s.rate(4), 2.0);
        // Half way down: 2 * (0.1 + 0.9 * 0.5).
        assert!((s.rate(54) - 1.1).abs() < 1e-12);
        assert!((s.rate(104) - 0.2).abs() < 1e-12);
        assert!((s.rate(1_000) - 0.2).abs() < 1e-12);
    }
}
