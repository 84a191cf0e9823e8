//! Similarities of all pairs of samples: from the request to the run they belong to, or to a file of their own.

use super::{
    App, NoPace, NoticeLevel, Pace,
    cut_rows::{self, CutRows},
    device,
    event::{Event, JobTarget},
    library::Loading,
    project_file::is_demo,
    run::shell_word,
};
use crate::{
    base::{memory::Memory, number},
    compute::cpu::Products,
    data::Domain,
    model::Decoder,
    scan::{self, Limits, MetricKind, ObjectiveKind, Order, SampleSimilarity, SamplesEstimate, ScanConfig, ScanOutput, estimate_samples},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the matrices will cost.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplesCost {
    pub estimate: SamplesEstimate,
    /// Bytes that are allowed.
    pub allowed_bytes: u64,
    /// What tells the time, or why nothing does.
    pub pace: Result<Pace, NoPace>,
}

impl SamplesCost {
    /// The work would be refused.
    pub fn too_much(&self) -> bool {
        self.estimate.least_bytes > self.allowed_bytes
    }
    /// `about 12 s`, where something tells it.
    pub fn time_words(&self) -> Option<String> {
        self.pace.as_ref().ok().map(|p| p.time_words(self.estimate.flops))
    }
}

impl App {
    /// All pairs of the samples of these domains (none named: the shown run's, without one the enabled ones) at these layers. Of a shown run the same
    /// rows in the same order, with its objective, kept beside it; with `out` into that file.
    pub(super) fn sample_similarity(&mut self, layers: Vec<usize>, samples: usize, domains: Vec<String>, out: Option<PathBuf>) {
        let (names, config, run) = match self.library.run() {
            Some(run) => {
                let all = || run.output.domains.iter().map(|d| d.name.clone()).collect();
                let names: Vec<String> = if domains.is_empty() { all() } else { domains };
                (names, ScanConfig { samples, ..run.output.config.clone() }, Some(run.clone()))
            }
            None => {
                let all = || self.project.enabled().map(|d| d.name.clone()).collect();
                (if domains.is_empty() { all() } else { domains }, ScanConfig { samples, ..self.project.scan.clone() }, None)
            }
        };
        let read = match self.domains_as_scanned(&names, run.as_ref().map(|r| &*r.output)) {
            Ok(read) => read,
            Err(problem) => return self.notice(NoticeLevel::Error, "Samples cannot be compared", problem),
        };
        let Some(decoder) = self.decoder.clone() else {
            return self.notice(NoticeLevel::Error, "Samples cannot be compared", "There is no model: open it, and wait until it is read.");
        };
        if self.runner.is_running(|t| matches!(t, JobTarget::Samples)) {
            return self.notice(NoticeLevel::Error, "Samples cannot be compared", "They are being compared; cancel that first.");
        }
        let old = run.as_ref().and_then(|r| r.samples.as_ref()).filter(|_| out.is_none());
        if let Some(before) = old.map(|s| Products::named_in(&s.provenance.dtype)).filter(|p| *p != self.products()) {
            let details = format!(
                "This run's were compared with {before} products, and would be lost to ones with {}. Choose {before} in the settings, or scan again and \
                 compare the new run's.",
                self.products()
            );
            return self.notice(NoticeLevel::Error, "Samples cannot be compared", details);
        }
        let command = self.samples_command(&read, &config, &layers, out.as_deref());
        let (device, context) = (self.settings.device, decoder.model.spec.max_positions);
        let limits = self.samples_limits();
        let n = read.iter().map(|d| d.items.len().min(samples)).sum::<usize>();
        let title = format!("Similarity of {}", number::counted(n as u64, "sample"));
        let own_file = run.as_ref().and_then(|r| r.path.as_ref()).filter(|p| !is_demo(p)).map(|p| p.join(scan::store::SAMPLES_FILE));
        self.runner.spawn(&mut self.jobs, title, JobTarget::Samples, move |ctx, outbox| {
            let work = |decoder: &Decoder| scan::sample_similarity(decoder, &read, &config, &layers, limits, ctx);
            let (mut made, again) = device::on_device(decoder, device, ctx, work)?;
            made.provenance.command = again.map_or(command.clone(), |device| format!("{command} --device {device}"));
            ctx.check()?;
            let rows: Vec<CutRows<'_>> = made.domains.iter().map(|d| CutRows::of_source(&d.name, &d.source)).collect();
            cut_rows::warn(&rows, context, config.max_tokens, outbox);
            if let Some(path) = &out {
                scan::store::write_samples(path, &made)?;
            }
            let Some(run) = run else { return Ok(()) };
            // Layers of the same samples that are there already stay.
            let all = run.samples.as_ref().and_then(|old| old.join(&made).ok()).unwrap_or(made);
            if let Some(path) = own_file.filter(|_| out.is_none()) {
                scan::store::write_samples(&path, &all)?;
            }
            outbox.send(Event::Samples { run: run.output, samples: Arc::new(all) });
            Ok(())
        });
    }

    /// The domains, if model, files and prompts are still those of the run.
    fn domains_as_scanned(&self, names: &[String], run: Option<&ScanOutput>) -> Result<Vec<Arc<Domain>>, String> {
        if names.is_empty() {
            return Err("There is no domain: add a dataset and switch it on.".into());
        }
        let model = self.library.model_info();
        if let (Some(run), Some(model)) = (run, model)
            && run.provenance.model_sha256 != model.sha256
        {
            let details =
                format!("The shown run is of {}, and another model is open. Open that model, or scan this one.", run.provenance.model);
            return Err(details);
        }
        let mut read = Vec::new();
        for name in names {
            let domain = match self.library.domain(name).map(|d| &d.state) {
                Some(Loading::Ready(domain)) => domain,
                Some(Loading::Working) => return Err(format!("{name} is still being read.")),
                Some(Loading::Failed(message)) => return Err(format!("{name}: {message}")),
                Some(Loading::Stopped) => return Err(format!("Reading {name} was stopped: read it again first.")),
                None => return Err(format!("There is no domain `{name}` in the project: add the file it was scanned from.")),
            };
            if let Some(scanned) = run.and_then(|r| r.domain(name))
                && (scanned.source.sha256 != domain.sha256 || scanned.source.template != domain.template)
            {
                return Err(format!("{name} is not what the run scanned: its file or its prompts have changed. Scan again."));
            }
            read.push(domain.clone());
        }
        Ok(read)
    }

    fn samples_limits(&self) -> Limits {
        let mut limits = Limits::of(Memory::lately());
        if let Some(bytes) = self.settings.preferences.memory_bytes {
            limits.memory_bytes = bytes;
        }
        limits
    }

    /// What [`super::Command::SampleSimilarity`] over the shown run would take; `None` without run and model.
    pub fn samples_cost(&self, layers: &[usize], samples: usize, domains: &[String]) -> Option<SamplesCost> {
        let (run, spec) = (self.library.scan()?, self.library.spec()?);
        let chosen = || run.domains.iter().filter(|d| domains.is_empty() || domains.contains(&d.name));
        let (mut tokens, mut n) = (0.0, 0);
        for d in chosen().filter(|d| d.samples > 0) {
            let here = samples.min(self.library.domain(&d.name).and_then(|e| e.state.ready()).map_or(d.samples, |e| e.items.len()));
            tokens += d.tokens as f64 / d.samples as f64 * here as f64;
            n += here;
        }
        let cost = estimate_samples(spec, tokens.ceil() as usize, n, layers);
        Some(SamplesCost { estimate: cost, allowed_bytes: self.samples_limits().memory_bytes, pace: self.scan_pace() })
    }

    pub(super) fn samples_made(&mut self, run: &Arc<ScanOutput>, samples: Arc<SampleSimilarity>) {
        if let Some(entry) = self.library.runs.iter_mut().find(|r| Arc::ptr_eq(&r.output, run)) {
            entry.samples = Some(samples);
        }
    }

    /// The command line that makes the same matrices again.
    fn samples_command(&self, domains: &[Arc<Domain>], config: &ScanConfig, layers: &[usize], out: Option<&Path>) -> String {
        let mut words = self.words_of("similarity", domains.iter().map(|d| d.name.as_str()));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        layers.iter().for_each(|l| add("--layer", l.to_string()));
        add("--samples", config.samples.to_string());
        add("--seed", config.seed.to_string());
        add("--order", if config.order == Order::File { "file" } else { "shuffle" }.into());
        add("--max-tokens", config.max_tokens.to_string());
        add("--objective", if config.objective == ObjectiveKind::Loss { "loss" } else { "max-logit" }.into());
        let out = out.map_or_else(|| PathBuf::from(scan::store::SAMPLES_FILE), |p| std::path::absolute(p).unwrap_or_else(|_| p.to_owned()));
        add("--out", out.display().to_string());
        words.join(" ")
    }
}

/// What lies beside a run's own files; `None` where there is nothing.
pub(super) fn kept_samples(run: &Path, output: &ScanOutput) -> Option<crate::base::Result<SampleSimilarity>> {
    let path = run.join(scan::store::SAMPLES_FILE);
    if is_demo(run) || !path.exists() {
        return None;
    }
    let read = scan::store::read_samples(&path).and_then(|s| {
        let same = s.provenance.model_sha256 == output.provenance.model_sha256 && s.config.metrics.contains(&MetricKind::Llmdcos);
        if same { Ok(s) } else { Err(crate::base::Error::format(&path, "belongs to another model than the run beside it")) }
    });
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Command, testing};

    fn compare(layers: &[usize], samples: usize) -> Command {
        Command::SampleSimilarity { layers: layers.to_vec(), samples, domains: Vec::new(), out: None }
    }

    fn errors(app: &App) -> Vec<String> {
        app.log.iter().filter(|n| n.level == NoticeLevel::Error).map(|n| n.details.clone()).collect()
    }

    #[test]
    fn matrices_of_the_demo_belong_to_its_run_and_further_layers_join_them() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::for_tests(dir.path());
        app.apply(Command::OpenDemo);
        testing::settle(&mut app);
        app.apply(compare(&[3], 4));
        testing::settle(&mut app);
        app.apply(compare(&[5], 4));
        testing::settle(&mut app);
        assert_eq!(errors(&app), Vec::<String>::new());
        let run = app.library.run().expect("run");
        let samples = run.samples.as_ref().expect("matrices");
        assert_eq!((samples.n(), samples.layers.keys().copied().collect::<Vec<_>>()), (24, vec![3, 5]));
        assert!(samples.provenance.command.starts_with("brodmann similarity --model demo --data demo --layer 5 --samples 4"));
        // The rows are the run's, so that pairs which the run has are the same numbers.
        let (a, b) = (&run.output.domains[0], &run.output.domains[1]);
        assert_eq!(samples.domains[0].source.sample_lines[..], a.source.sample_lines[..4]);
        let pair = run.output.pair(&a.name, &b.name).expect("pair");
        for m in 0..4 {
            let (got, want) = (samples.cosine(5, m, 4 + m).expect("cosine"), pair.cosines[m][5].expect("cosine"));
            // The stored run may come from another processor.
            assert!((got - want).abs() < 1e-4, "{m}: {got} {want}");
        }
        assert!(samples.domains[0].texts.iter().all(|t| !t.is_empty()));
    }

    #[test]
    fn matrices_are_kept_in_the_runs_folder_and_open_with_it() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::for_tests(dir.path());
        app.apply(Command::OpenDemo);
        testing::settle(&mut app);
        let folder = dir.path().join("run");
        app.apply(Command::SetScanConfig {
            config: ScanConfig { samples: 3, metrics: vec![MetricKind::Llmdcos], ..app.project.scan.clone() },
        });
        app.apply(Command::StartScan { out: Some(folder.clone()) });
        testing::settle(&mut app);
        app.apply(compare(&[2], 3));
        testing::settle(&mut app);
        let made = app.library.run().expect("run").samples.clone().expect("matrices");
        let mut other = testing::for_tests(dir.path());
        other.apply(Command::OpenRun { path: folder.clone() });
        testing::settle(&mut other);
        assert_eq!(other.library.run().expect("run").samples, Some(made));
        // A file that does not fit is told, and the run opens without it.
        std::fs::write(folder.join(scan::store::SAMPLES_FILE), b"nothing").expect("file");
        let mut third = testing::for_tests(dir.path());
        third.apply(Command::OpenRun { path: folder });
        testing::settle(&mut third);
        assert!(third.library.run().expect("run").samples.is_none());
        assert!(third.log.iter().any(|n| n.level == NoticeLevel::Warn && n.details.contains("safetensors")));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::for_tests(dir.path());
        app.apply(compare(&[0], 4));
        assert!(errors(&app)[0].contains("no domain"));
        app.apply(Command::OpenDemo);
        testing::settle(&mut app);
        app.apply(compare(&[77], 4));
        testing::settle(&mut app);
        assert!(errors(&app).last().expect("error").contains("no layer 77"));
        let cost = app.samples_cost(&[0, 1], 64, &[]).expect("cost");
        assert!(!cost.too_much() && cost.estimate.samples == 384, "{cost:?}");
        app.settings.preferences.memory_bytes = Some(1);
        assert!(app.samples_cost(&[0, 1], 64, &[]).expect("cost").too_much());
    }
}
