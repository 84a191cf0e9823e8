//! What the next scan will cost: tokens, memory, time.

use crate::{
    app::{App, NoPace, Pace},
    gui::widgets::number::{bytes, count, sig3},
    scan::{Estimate, estimate},
};

pub struct Cost {
    pub tokens: u64,
    /// The token counts come from a run over the same domains, not from the length of the texts.
    pub measured: bool,
    pub estimate: Estimate,
    /// What tells the time, or why nothing does.
    pub pace: Result<Pace, NoPace>,
}

impl Cost {
    /// `None` without a model or an enabled domain.
    pub fn of(app: &App) -> Option<Self> {
        let spec = app.library.spec()?;
        let config = &app.project.scan;
        let run = app.library.scan();
        let (mut tokens, mut sequences, mut measured) = (0.0, 0, true);
        for d in app.project.domains.iter().filter(|d| d.enabled) {
            let Some(entry) = app.library.domains.iter().find(|e| e.name == d.name) else { continue };
            let Some(domain) = entry.state.ready() else { continue };
            let n = config.samples.min(domain.items.len());
            let scanned = run.and_then(|r| r.domain(&d.name)).filter(|s| s.samples > 0);
            let each = match scanned {
                Some(s) => s.tokens as f64 / s.samples as f64,
                None => {
                    measured = false;
                    // Four characters a token is the usual rule for English; the first items stand for all.
                    let some = domain.items.iter().take(64);
                    let chars: usize = some.clone().map(|i| i.gold_text().len()).sum();
                    chars as f64 / some.count().max(1) as f64 / 4.0
                }
            };
            tokens += each.min(config.max_tokens as f64) * n as f64;
            sequences += n;
        }
        if sequences == 0 {
            return None;
        }
        let next = estimate(spec, tokens.ceil() as usize, sequences, config);
        Some(Self { tokens: tokens.round() as u64, measured, estimate: next, pace: app.scan_pace() })
    }

    /// `4,514 tokens · 58.2 MB to 332 MB of memory · about 12 s`
    pub fn words(&self) -> String {
        let exact = if self.measured { "" } else { "about " };
        let Estimate { least_bytes, fast_bytes, flops } = self.estimate;
        let time = match &self.pace {
            Ok(pace) => pace.time_words(flops),
            Err(none) => format!("{} GFLOP ({})", sig3(flops / 1e9), none.until()),
        };
        format!("{exact}{} tokens · {} to {} of memory · {time}", count(self.tokens), bytes(least_bytes), bytes(fast_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[test]
    fn the_same_scan_again_takes_as_long_as_it_took() {
        let dir = tempfile::tempdir().expect("folder");
        let app = testing::sample_app(dir.path());
        let cost = Cost::of(&app).expect("cost");
        let run = app.library.scan().expect("run");
        let tokens: usize = run.domains.iter().map(|d| d.tokens).sum();
        assert_eq!(cost.tokens, tokens as u64);
        assert!(cost.measured);
        assert!((cost.pace.expect("a speed").seconds(cost.estimate.flops) / run.timing.seconds - 1.0).abs() < 0.01);
    }

    #[test]
    fn without_a_run_there_is_no_time() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        (app.library.shown, app.library.runs) = (None, Vec::new());
        let cost = Cost::of(&app).expect("cost");
        assert!(cost.pace == Err(NoPace::Runs) && !cost.measured && cost.tokens > 0);
    }
}
