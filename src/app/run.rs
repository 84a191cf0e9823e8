//! From requests to engines: what runs on a worker for each [`super::Command`].

use super::{
    App, NoticeLevel, TraceInput,
    cut_rows::{self, CutRows},
    demo, device,
    event::{Event, JobTarget},
    held_out::fold_lines,
    library::Loading,
    models,
    opening::backend,
    project::ProjectDomain,
    project_file::is_demo,
};
use crate::{
    ablate::{AblationReport, ControlMatch, DomainAblation},
    base::{Error, Result, atomic_file, heatmap::ColourMap, number, provenance, provenance::Provenance},
    data::{
        Domain, ShotOrder, Shots, is_hub,
        prompt::{SHOT_SEED, escape},
    },
    eval::{AblationAt, DomainScore},
    model::{self, Decoder},
    report::{self, Report},
    scan::{self, MetricKind, ObjectiveKind, Order, ScanConfig},
    tune,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A run goes into a new folder, an empty one, or over an older run; never among other files.
pub(super) fn verify_run_folder(folder: &Path) -> Result<()> {
    if !folder.exists() || folder.join(scan::store::RUN_FILE).exists() {
        return Ok(());
    }
    let mut inside = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    match inside.next() {
        None => Ok(()),
        Some(_) => Err(Error::format(folder, "holds other files and no run; name a new folder for the run")),
    }
}

/// As a POSIX shell reads it back.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The flags that make a domain's prompts again.
fn prompt_flags(d: &ProjectDomain, full: &dyn Fn(&Path) -> PathBuf) -> Vec<(&'static str, String)> {
    let prompt = &d.mapping.prompt;
    let mut flags = Vec::new();
    let mut add = |flag, value: String| flags.push((flag, format!("{}={value}", d.name)));
    if let Some(t) = &prompt.template {
        add("--template", escape::to_line(&t.text));
        t.choices.iter().for_each(|c| add("--template-choices", escape::to_line(c)));
        t.target.iter().for_each(|t| add("--template-target", escape::to_line(t)));
    }
    prompt.description.iter().for_each(|t| add("--description", escape::to_line(t)));
    let Shots { count, seed, order, from } = &prompt.shots;
    if *count > 0 {
        add("--shots", count.to_string());
        match order {
            ShotOrder::Random if *seed == SHOT_SEED => {}
            ShotOrder::Random => add("--shots-seed", seed.to_string()),
            ShotOrder::First => add("--shots-order", "first".to_owned()),
        }
        from.iter().for_each(|f| add("--shots-from", full(f).display().to_string()));
    }
    if prompt.chat {
        flags.push(("--chat-template", d.name.clone()));
    }
    flags
}

impl App {
    /// Scans the enabled domains, now or as soon as model and domains are read.
    pub(super) fn start_scan(&mut self, out: Option<PathBuf>) {
        if let Some(problem) = self.not_ready_to_scan() {
            return self.notice(NoticeLevel::Error, "A scan cannot start", problem);
        }
        self.scan_wish = Some(out);
        self.start_wished_scan();
    }

    fn not_ready_to_scan(&self) -> Option<String> {
        if self.library.model.is_none() {
            return Some("There is no model: open a model folder, or `demo`.".into());
        }
        if self.project.enabled().next().is_none() {
            return Some("There is no domain: add a dataset and switch it on.".into());
        }
        if self.project.scan.metrics.is_empty() {
            return Some("No metric is chosen.".into());
        }
        self.runner.is_running(|t| matches!(t, JobTarget::Scan)).then(|| "A scan is running; cancel it first.".into())
    }

    pub(super) fn start_wished_scan(&mut self) {
        if self.scan_wish.is_none() {
            return;
        }
        let problem = self.library.model.as_ref().and_then(|m| m.state.failed()).map(str::to_owned);
        let mut domains = Vec::new();
        let mut failed = problem;
        let mut stopped = matches!(self.library.model.as_ref().map(|m| &m.state), Some(Loading::Stopped));
        for d in self.project.enabled() {
            match self.library.domain(&d.name).map(|e| &e.state) {
                Some(Loading::Ready(domain)) => domains.push(domain.clone()),
                Some(Loading::Failed(message)) => failed = failed.or_else(|| Some(format!("{}: {message}", d.name))),
                Some(Loading::Stopped) => stopped = true,
                Some(Loading::Working) | None => return,
            }
        }
        // Who stops the reading of what a scan waits for does not want the scan either.
        if stopped && failed.is_none() {
            self.scan_wish = None;
            return;
        }
        if let Some(message) = failed {
            self.scan_wish = None;
            return self.notice(NoticeLevel::Error, "The scan did not start", message);
        }
        let Some(decoder) = self.decoder.clone() else { return };
        let Some(out) = self.scan_wish.take() else { return };
        self.pause_index();
        let (config, device) = (self.project.scan.clone(), self.settings.device);
        let folder = if self.settings.keep_runs { Some(out.unwrap_or_else(|| self.new_run_folder())) } else { out };
        let command = self.scan_command(&domains, &config);
        let mut limits = scan::Limits::default();
        if let Some(bytes) = self.settings.preferences.memory_bytes {
            limits.memory_bytes = bytes;
        }
        let (model, context) = (decoder.model.info.clone(), decoder.model.spec.max_positions);
        let colours: Vec<(String, usize)> = self.project.domains.iter().map(|d| (d.name.clone(), d.colour)).collect();
        let title = format!("Scan of {}", number::counted(domains.len() as u64, "domain"));
        self.runner.spawn(&mut self.jobs, title, JobTarget::Scan, move |ctx, out| {
            if let Some(folder) = &folder {
                verify_run_folder(folder)?;
            }
            let work = |decoder: &Decoder| scan::run_scan_within(decoder, &domains, &config, limits, ctx);
            let (mut output, again) = device::on_device(decoder, device, ctx, work)?;
            output.provenance.command = again.map_or(command.clone(), |device| format!("{command} --device {device}"));
            ctx.check()?;
            let rows: Vec<CutRows<'_>> = output.domains.iter().map(|d| CutRows::of_source(&d.name, &d.source)).collect();
            cut_rows::warn(&rows, context, config.max_tokens, out);
            if let Some(folder) = &folder {
                scan::store::write_run(folder, &output)?;
                let metric = report::metric_of(&output, MetricKind::Relevance);
                let page = report::html(&Report {
                    scan: &output,
                    model: Some(&model),
                    metric,
                    top_percent: 10.0,
                    scores: &[],
                    scored_in: "",
                    ablation: None,
                    colours: &colours,
                    map: ColourMap::Viridis,
                    samples: None,
                    other: None,
                    live: None,
                });
                atomic_file::write(&folder.join("report.html"), page.as_bytes())?;
            }
            out.send(Event::Run { output: Arc::new(output), path: folder });
            Ok(())
        });
    }

    pub(super) fn find_devices(&mut self) {
        if self.runner.is_running(|t| matches!(t, JobTarget::Devices)) {
            return;
        }
        let how = self.settings.backend();
        self.runner.spawn(&mut self.jobs, "Looking for graphics cards", JobTarget::Devices, move |ctx, out| {
            out.send(Event::Devices(Arc::new(device::report(&*backend(how), ctx)?)));
            Ok(())
        });
    }

    pub(super) fn find_models(&mut self) {
        if self.runner.is_running(|t| matches!(t, JobTarget::Models)) {
            return;
        }
        self.runner.spawn(&mut self.jobs, "Looking for models", JobTarget::Models, |ctx, out| {
            out.send(Event::Models(Arc::new(models::report(ctx)?)));
            Ok(())
        });
    }

    /// `2026-01-31T120000Z-name` below the data folder, with a number where that exists.
    pub(super) fn new_run_folder(&self) -> PathBuf {
        let name = self.library.model_info().map_or("model", |m| m.name.as_str());
        let name: String = name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let base = format!("{}-{name}", provenance::now_utc().replace(':', ""));
        let runs = self.settings.runs_dir();
        let mut folder = runs.join(&base);
        for n in 2.. {
            if !folder.exists() {
                break;
            }
            folder = runs.join(format!("{base}-{n}"));
        }
        folder
    }

    /// `brodmann VERB` with the model and the domains, as a shell reads it.
    pub(super) fn words_of<'a>(&self, verb: &str, domains: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut words = vec!["brodmann".to_owned(), verb.to_owned()];
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        let full = |p: &Path| if is_demo(p) || is_hub(p) { p.to_owned() } else { std::path::absolute(p).unwrap_or_else(|_| p.to_owned()) };
        if let Some(model) = &self.library.model {
            // A name of the cache stays a name.
            let path = if model::is_cache_name(&model.path) { model.path.clone() } else { full(&model.path) };
            add("--model", path.display().to_string());
        }
        // What trains starts from the base, whichever computes.
        let trains = ["tune", "continual", "transfer"].contains(&verb);
        if let Some(tuned) = self.tuned.as_ref().filter(|t| t.on && !trains) {
            add("--tuned", full(&tuned.folder).display().to_string());
        }
        if let Some(products) = self.products_flag() {
            add("--products", products.to_string());
        }
        let domains: Vec<_> = domains.filter_map(|name| self.project.domain(name)).collect();
        if domains.iter().map(|d| d.name.as_str()).eq(demo::NAMES) && domains.iter().all(|d| is_demo(&d.path)) {
            add("--data", "demo".into());
        } else {
            for d in &domains {
                add("--data", format!("{}={}", d.name, full(&d.path).display()));
                for (field, column) in &d.mapping.columns {
                    add("--map", format!("{}.{field}={column}", d.name));
                }
            }
        }
        for d in &domains {
            for (flag, value) in prompt_flags(d, &full) {
                add(flag, value);
            }
        }
        if domains.iter().any(|d| d.mapping.strict) {
            words.push("--strict".into());
        }
        words
    }

    /// The command line that makes the same scan again.
    fn scan_command(&self, domains: &[Arc<Domain>], config: &ScanConfig) -> String {
        let mut words = self.words_of("scan", domains.iter().map(|d| d.name.as_str()));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        add("--samples", config.samples.to_string());
        add("--seed", config.seed.to_string());
        add("--order", if config.order == Order::File { "file" } else { "shuffle" }.into());
        add("--max-tokens", config.max_tokens.to_string());
        add("--objective", if config.objective == ObjectiveKind::Loss { "loss" } else { "max-logit" }.into());
        add("--gamma", format!("{:e}", config.gamma));
        if config.metrics.len() < MetricKind::ALL.len() {
            let ids: Vec<String> = config.metrics.iter().map(|m| m.info().id.replace('_', "-")).collect();
            add("--metrics", ids.join(","));
        }
        words.join(" ")
    }

    /// The command line that reads a text with what is off now.
    pub(super) fn lens_command(&self, text: &str) -> String {
        let mut words = self.words_of("lens", std::iter::empty());
        words.extend(["--text".to_owned(), shell_word(text)]);
        let off = self.off_flags();
        if !off.is_empty() && self.project.at != AblationAt::All {
            words.extend(["--at".to_owned(), self.project.at.word().to_owned()]);
        }
        words.extend(off);
        words.join(" ")
    }

    /// What is off now, as `--neurons` and `--mode` write it; nothing where nothing is.
    fn off_flags(&self) -> Vec<String> {
        let p = &self.project;
        let off = p.off();
        let names: Vec<String> =
            (!off.is_empty()).then(|| off.to_string()).into_iter().chain(p.heads.iter().map(ToString::to_string)).collect();
        if names.is_empty() {
            return Vec::new();
        }
        ["--neurons".to_owned(), shell_word(&names.join(",")), "--mode".to_owned(), shell_word(&p.mode.word())].to_vec()
    }

    /// The command line that makes the same accuracies again.
    fn score_command(&self) -> String {
        let p = &self.project;
        let off = p.off();
        let ablates = !off.is_empty() || !p.heads.is_empty();
        let mut words = self.words_of(if ablates { "ablate" } else { "eval" }, p.enabled().map(|d| d.name.as_str()));
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        if ablates {
            let names = (!off.is_empty()).then(|| off.to_string()).into_iter().chain(p.heads.iter().map(ToString::to_string));
            add("--neurons", names.collect::<Vec<_>>().join(","));
            add("--mode", p.mode.word());
            if p.at != AblationAt::All {
                add("--at", p.at.word().into());
            }
            add("--controls", p.controls.to_string());
            if p.control_match != ControlMatch::Size {
                add("--match", p.control_match.word().into());
                self.library.run().and_then(|r| r.path.as_ref()).iter().for_each(|run| add("--run", run.display().to_string()));
            }
        }
        let domains: Vec<_> = p.enabled().filter_map(|d| self.library.domain(&d.name)?.scored().cloned()).collect();
        words.extend(self.eval_words(&self.eval_in_force(&domains).0));
        // Where nothing can be predicted the flag would be an error.
        if ablates && !self.prediction.domains.is_empty() {
            words.push("--predict".to_owned());
        }
        words.join(" ")
    }

    /// The flags that choose the same items to score.
    pub(super) fn eval_words(&self, eval: &super::EvalConfig) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), shell_word(&value)]);
        if let Some(n) = eval.samples {
            add("--samples", n.to_string());
        }
        add("--seed", eval.seed.to_string());
        add("--order", if eval.order == Order::File { "file" } else { "shuffle" }.into());
        add("--max-tokens", eval.max_tokens.to_string());
        for (name, lines) in &eval.exclude {
            if self.project.enabled().any(|d| d.name == *name) {
                add("--exclude", format!("{name}={}", fold_lines(lines)));
            }
        }
        words
    }

    pub(super) fn trace(&mut self, input: TraceInput, hooks: Vec<String>, path: PathBuf) {
        let Some(decoder) = self.decoder.clone() else {
            return self.notice(
                NoticeLevel::Error,
                "There is no model to trace",
                "Open a model folder, or `demo`, and wait until it is read.",
            );
        };
        let mut provenance = self.provenance();
        provenance.formula = "one forward pass".into();
        provenance.objective.clear();
        provenance.command = {
            let mut words = self.words_of("trace", std::iter::empty());
            words.extend(match &input {
                TraceInput::Text(text) => ["--text".to_owned(), shell_word(text)],
                TraceInput::Tokens(t) => ["--tokens".to_owned(), t.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")],
            });
            words.join(" ")
        };
        provenance.data_sha256.clear();
        self.runner.spawn(&mut self.jobs, format!("Trace into {}", path.display()), JobTarget::Other, move |ctx, _| {
            let model = &decoder.model;
            let points = model::trace::hook_points(&hooks, &model.spec)?;
            let tokens = match input {
                TraceInput::Text(text) => model.tokenizer.encode(&text)?,
                TraceInput::Tokens(tokens) => tokens,
            };
            if tokens.is_empty() {
                return Err(Error::invalid("there is no token to trace: give a text or token ids"));
            }
            let (vocab, most) = (model.spec.vocab, model.spec.max_positions);
            if let Some(bad) = tokens.iter().find(|&&t| t as usize >= vocab) {
                return Err(Error::invalid(format!("token {bad} is outside this model's vocabulary of {vocab} (0..{})", vocab - 1)));
            }
            if tokens.len() > most {
                return Err(Error::invalid(format!(
                    "{} tokens are more than this model's {most} positions; shorten the text",
                    tokens.len()
                )));
            }
            model::trace::trace(&decoder, &tokens, &points, ctx)?.save(&path, &provenance)
        });
    }

    pub(super) fn train_demo(&mut self, folder: PathBuf, seed: u64, steps: Option<usize>, without: Vec<String>) {
        let how = self.settings.backend();
        self.runner.spawn(&mut self.jobs, "Training the demo model", JobTarget::Other, move |ctx, _| {
            let usual = tune::demo::DemoOptions::default();
            let options = tune::demo::DemoOptions { steps: steps.unwrap_or(usual.steps), without, ..usual };
            tune::demo::train(&folder, seed, options, backend(how), ctx).map(|_| ())
        });
    }
    pub(super) fn write_report(&mut self, path: PathBuf) {
        let Some(run) = self.library.run() else {
            return self.notice(NoticeLevel::Error, "There is no run to report on", "Scan first, or open a run.");
        };
        let (scan, model) = (run.output.clone(), self.library.model_info().cloned());
        let scores: Vec<DomainScore> =
            scan.domains.iter().filter_map(|d| self.complete(self.ablation.before.get(&d.name)?)).cloned().collect();
        let (ablation, scored_in) = (self.ablation_report(), self.provenance().dtype);
        let colours: Vec<(String, usize)> = self.project.domains.iter().map(|d| (d.name.clone(), d.colour)).collect();
        let (metric, top_percent) = (report::metric_of(&scan, self.project.view.metric), self.project.view.top_percent);
        self.runner.spawn(&mut self.jobs, format!("Writing {}", path.display()), JobTarget::Other, move |_, _| {
            let html = report::html(&Report {
                scan: &scan,
                model: model.as_ref(),
                metric,
                top_percent,
                scores: &scores,
                scored_in: &scored_in,
                ablation: ablation.as_ref(),
                colours: &colours,
                map: ColourMap::Viridis,
                samples: None,
                other: None,
                live: None,
            });
            atomic_file::write(&path, html.as_bytes())
        });
    }

    /// The score, once all its items are in.
    fn complete<'a>(&self, score: &'a DomainScore) -> Option<&'a DomainScore> {
        (self.ablation.n_total.get(&score.domain) == Some(&score.n())).then_some(score)
    }

    /// The ablation in force as a result; `None` while anything of it is missing.
    pub fn ablation_report(&self) -> Option<AblationReport> {
        let live = &self.ablation;
        if live.after.is_empty() {
            return None;
        }
        let mut domains = Vec::new();
        for d in self.project.enabled().filter(|d| live.n_total.contains_key(&d.name)) {
            let controls = live.controls.get(&d.name).cloned().unwrap_or_default();
            let held = live.held_out.get(&d.name).copied().unwrap_or_default();
            for c in &controls {
                self.complete(c)?;
            }
            domains.push(DomainAblation {
                name: d.name.clone(),
                before: self.complete(live.before.get(&d.name)?)?.clone(),
                after: self.complete(live.after.get(&d.name)?)?.clone(),
                controls,
                left_out: held.left_out,
                chosen_on: held.chosen_on,
            });
        }
        let off = self.project.off();
        Some(AblationReport {
            mode: self.project.mode.clone(),
            at: self.project.at,
            neurons: off.len(),
            heads: self.project.heads.len(),
            domains,
            provenance: self.provenance(),
        })
    }

    /// Whose activations the change in force takes, in words; `None` where it takes none.
    pub(super) fn taken_from(&self) -> Option<String> {
        let mode = &self.project.mode;
        let decoder = self.decoder.clone().filter(|_| mode.needs_data())?;
        let domains: Vec<_> = self.project.enabled().filter_map(|d| self.library.domain(&d.name)?.scored().cloned()).collect();
        self.scorer(decoder, &self.eval_in_force(&domains).0).taken_from(mode)
    }

    /// What numbers measured now come from.
    pub fn provenance(&self) -> Provenance {
        let (p, off) = (&self.project, self.project.off());
        let change = if off.is_empty() && p.heads.is_empty() {
            String::new()
        } else {
            let what = format!("{} and {}", number::counted(off.len() as u64, "neuron"), number::counted(p.heads.len() as u64, "head"));
            let texts = self.taken_from().map_or_else(String::new, |from| format!(", over {from},"));
            format!("; {what} {}{texts} {}; controls: {}", p.mode.words(), p.at.words(), p.control_match.words())
        };
        let info = self.library.model_info();
        let read = || self.project.enabled().filter_map(|d| self.library.domain(&d.name)?.scored());
        Provenance {
            program: provenance::program(),
            model: info.map_or_else(String::new, |m| m.name.clone()),
            model_sha256: info.map_or_else(String::new, |m| m.sha256.clone()),
            data_sha256: read().map(|d| (d.name.clone(), d.sha256.clone())).collect(),
            prompts: read().map(|d| (d.name.clone(), d.template.clone())).collect(),
            bos: self.decoder.as_ref().map_or_else(String::new, |d| d.model.tokenizer.bos_policy()),
            formula: format!("multiple choice by log-likelihood (lm-evaluation-harness); loss and perplexity by token{change}"),
            objective: "log-likelihood of the right answer".into(),
            seed: self.project.eval.seed,
            dtype: self
                .decoder
                .as_ref()
                .map_or_else(String::new, |d| format!("{} computed in {}", d.model.info.dtype, d.backend.arithmetic())),
            device: self.device().unwrap_or_default(),
            command: self.score_command(),
            created: provenance::now_utc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::app::{Command, testing};

    #[test]
    fn the_report_of_a_run_is_written() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app_ablated(dir.path());
        let path = std::env::var_os("BRODMANN_KEEP_REPORT").map_or_else(|| dir.path().join("r.html"), Into::into);
        app.apply(Command::WriteReport { path: path.clone() });
        testing::settle(&mut app);
        let page = std::fs::read_to_string(path).expect("report");
        // Maps, density, LLMDcos, boxes, overlap, intersections, accuracy, ablation.
        assert_eq!(page.matches("<figure>").count(), 8);
    }
}
