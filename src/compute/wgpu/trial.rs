//! A short race between the processor and a card over one matrix, transfers included: what `--device auto` decides by.

use crate::{
    base::{Result, rng::Rng},
    compute::{Backend, Mat, SampleSpan, ScanDevice, ScanJob, ScanSums},
};
use serde::Serialize;
use std::time::Instant;

/// The matrix of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TrialShape {
    pub out: usize,
    pub input: usize,
    pub samples: usize,
    /// Of each sample.
    pub tokens: usize,
}

impl TrialShape {
    /// Like the widest matrix of a model, cut so that a race stays well below a second on two cores.
    pub fn like(out: usize, input: usize) -> Self {
        Self { out: out.clamp(1, 2048), input: input.clamp(1, 2048), samples: 8, tokens: 128 }
    }
}

/// Milliseconds: medians of three, after one that warms up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    pub card_ms: f64,
    pub cpu_ms: f64,
}

impl Trial {
    /// The card wins by more than the noise of a race.
    pub fn card_wins(self) -> bool {
        self.card_ms < 0.9 * self.cpu_ms
    }
}

/// Both scan the same matrix of random numbers, in turns.
///
/// # Errors
/// Those of the card.
pub fn race(card: &dyn ScanDevice, cpu: &dyn Backend, shape: TrialShape, check: &dyn Fn() -> Result<()>) -> Result<Trial> {
    let TrialShape { out, input, samples, tokens } = shape;
    let n = samples * tokens;
    let mut rng = Rng::stream(0, "trial");
    // A few thousand draws repeated: their values do not matter, and drawing millions would take longer than the race.
    let draws: Vec<f32> = (0..4099).map(|_| (rng.unit() - 0.5) as f32).collect();
    let fill = |len: usize| -> Vec<f32> { draws.iter().copied().cycle().take(len).collect() };
    let (w, x, delta) = (fill(out * input), fill(n * input), fill(n * out));
    let spans: Vec<SampleSpan> = (0..samples).map(|i| SampleSpan { start: i * tokens, end: (i + 1) * tokens, domain: i % 2 }).collect();
    let pairs: Vec<(usize, usize)> = (0..samples).map(|i| (i, (i + 1) % samples)).collect();
    let job = ScanJob {
        w: Mat::new(&w, out, input),
        x: Mat::new(&x, n, input),
        delta: Mat::new(&delta, n, out),
        samples: &spans,
        n_domains: 2,
        pairs: &pairs,
        gamma: 1e-3,
        want_means: true,
    };
    let (mut on_card, mut on_cpu) = (Vec::new(), Vec::new());
    for round in 0..4 {
        check()?;
        let begun = Instant::now();
        card.scan(std::slice::from_ref(&job), check)?;
        let card_ms = begun.elapsed().as_secs_f64() * 1e3;
        check()?;
        let begun = Instant::now();
        let mut sums = ScanSums::zeros(&job);
        cpu.scan(&job, &mut sums);
        let cpu_ms = begun.elapsed().as_secs_f64() * 1e3;
        if round > 0 {
            on_card.push(card_ms);
            on_cpu.push(cpu_ms);
        }
    }
    let median = |mut ms: Vec<f64>| {
        ms.sort_by(f64::total_cmp);
        ms[ms.len() / 2]
    };
    Ok(Trial { card_ms: median(on_card), cpu_ms: median(on_cpu) })
}
