//! Tuning: all of the model, some neurons, as many random ones, or an adapter; how; and what came of it.

use super::{
    sweep::domain_choice,
    tasks::TabInfo,
    tasks_outline::outline_ui,
    tasks_train_result::{Outcome, curves_ui},
};
use crate::{
    app::{Command, Failure, JobState, JobView, TrainWhat, TuneRequest, TuningView},
    base::{hash::sha256_bytes, number::counted},
    gui::{
        Panel, PanelCx,
        export::Subject,
        theme,
        widgets::{
            chart::small_width,
            control::{caption, caption_width, choice, log_slider, name_cell, remark, room_for},
            states::{failed_strip_ui, job_bar_ui, progress_line},
        },
    },
    model::Matrix,
    report::export::View,
    tune::{AdamWConfig, Learn, LoraConfig, OptimizerConfig, SgdConfig, TuneConfig},
};
use eframe::egui::{ComboBox, DragValue, ScrollArea, Ui};

pub(super) const TAB: TabInfo = TabInfo {
    id: "train",
    title: "Train",
    hint: "Tune all of the model, only a task's neurons, as many random ones, or a LoRA adapter",
    done: |app| app.tuning.as_ref().is_some_and(|v| v.report.is_some()),
    make,
};

fn make() -> Box<dyn Panel> {
    Box::<TrainTab>::default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Top,
    Set,
    Random,
    All,
    Lora,
}

pub struct TrainTab {
    task: Option<String>,
    kind: Kind,
    percent: f64,
    /// A set of the project, by place.
    set: usize,
    lora: LoraConfig,
    config: TuneConfig,
    items: Option<usize>,
    /// The form is folded away while there is a result to look at.
    folded: bool,
    result: Outcome,
}

impl Default for TrainTab {
    fn default() -> Self {
        Self {
            task: None,
            kind: Kind::Top,
            percent: 10.0,
            set: 0,
            lora: LoraConfig::default(),
            config: TuneConfig { evaluate_every: 25, patience: 4, ..TuneConfig::default() },
            items: None,
            folded: false,
            result: Outcome::default(),
        }
    }
}

/// Width of the names before the controls.
const NAMES: f32 = 76.0;

impl Panel for TrainTab {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        let view = app.tuning.as_ref();
        let running = view.and_then(|v| v.job).and_then(|id| app.jobs.iter().find(|j| j.id == id && j.state == JobState::Running));
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            if let (Some(view), Some(job)) = (view, running) {
                working(ui, cx, view, job);
                curves_ui(ui, cx, view, &mut self.result);
                return;
            }
            let done = view.is_some_and(|v| v.report.is_some() || !v.points.is_empty());
            if done {
                let words = if self.folded { "Show the settings" } else { "Hide the settings" };
                if ui.small_button(words).clicked() {
                    self.folded = !self.folded;
                }
            }
            if !(done && self.folded) {
                let request = self.form_ui(ui, cx);
                self.start_ui(ui, cx, view, request);
            }
            if let Some(view) = view {
                ended(ui, cx, view);
                if done {
                    curves_ui(ui, cx, view, &mut self.result);
                    self.result.ui(ui, cx, view);
                }
            }
            if !done {
                let words = "Every domain is judged before and after, on rows that are never learnt. The result is an overlay: base and tuned model are \
                             switched at once, and the overlay can be saved as a model folder, or a LoRA tuning as a PEFT adapter.";
                match view {
                    None => outline_ui(ui, cx, TAB.id, words),
                    Some(_) => remark(ui, cx.theme, words),
                }
            }
        });
    }
    fn exports(&self) -> Option<(View, Subject)> {
        Some((View::Tuning, Subject::default()))
    }
}

fn line(ui: &mut Ui, cx: &mut PanelCx<'_>, name: &str, hover: &str, add: impl FnOnce(&mut Ui, &mut PanelCx<'_>)) {
    ui.horizontal_wrapped(|ui| {
        let name = name_cell(ui, cx.theme.faint(name), NAMES, theme::ROW);
        if !hover.is_empty() {
            name.on_hover_text(hover);
        }
        add(ui, cx);
    });
}

/// The name of a control after the first of its line: together they begin a new one, under the first control, where they do not fit.
fn named(ui: &mut Ui, cx: &PanelCx<'_>, name: &str, control: f32) {
    let gap = ui.spacing().item_spacing.x;
    if ui.available_size_before_wrap().x < caption_width(ui, name) + gap + control {
        ui.end_row();
        ui.add_space(NAMES + gap);
    }
    caption(ui, cx.theme, name);
}

fn working(ui: &mut Ui, cx: &mut PanelCx<'_>, view: &TuningView, job: &JobView) {
    ui.horizontal_wrapped(|ui| {
        ui.label(cx.theme.strong(format!("Tuning on {}", view.task)));
        job_bar_ui(ui, job, 160.0);
        ui.label(cx.theme.small(progress_line(job)));
        let hover = "Ends after the step it is at; the best weights so far are kept, and it can be gone on with";
        if ui.button("Stop and keep the best").on_hover_text(hover).clicked() {
            cx.send(Command::CancelJob { id: job.id.0 });
        }
    });
    if !job.progress.phase.is_empty() {
        ui.label(cx.theme.small(&job.progress.phase));
    }
}

/// What went wrong, or how it can be gone on with.
fn ended(ui: &mut Ui, cx: &mut PanelCx<'_>, view: &TuningView) {
    let again = |cx: &mut PanelCx<'_>| {
        if let Some(request) = &view.request {
            cx.send(Command::Tune { request: Box::new(request.clone()) });
        }
    };
    if let Some(Failure::Failed(message)) = &view.failed {
        if failed_strip_ui(ui, cx, "The tuning failed", message, "Try again") {
            again(cx);
        }
        return;
    }
    let cancelled = view.report.as_ref().is_some_and(|r| r.ended == crate::tune::Ended::Cancelled);
    if (cancelled || view.failed.is_some()) && view.request.is_some() {
        ui.horizontal_wrapped(|ui| {
            if ui
                .button("Resume")
                .on_hover_text("Goes on at the step where it was stopped, to the same weights as an unbroken run")
                .clicked()
            {
                again(cx);
            }
            let steps = view.points.last().map_or(0, |p| p.step);
            ui.label(cx.theme.small(format!("stopped after {}; what was best is kept", counted(steps as u64, "step"))));
        });
    }
}

impl TrainTab {
    /// What is asked for; `None` where something is missing.
    fn form_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) -> Option<(String, TrainWhat)> {
        let mut task = None;
        line(ui, cx, "learn", "The domain whose rows are learnt", |ui, cx| {
            task = domain_choice(ui, cx, "Task to learn", &mut self.task);
            let options = [
                (Learn::Answer, "its answers", "Cross-entropy of the right answer's tokens given the prompt"),
                (Learn::All, "all tokens", "Cross-entropy of every token"),
            ];
            choice(ui, cx.theme, &mut self.config.learn, &options);
        });
        let mut what = None;
        line(ui, cx, "train", "What does not train stays bit for bit", |ui, cx| {
            let options = [
                (Kind::Top, "its neurons", "The neurons most relevant to the rows that are learnt: rows of gate and up, columns of down"),
                (Kind::Set, "a set", "The neurons of a set of the project"),
                (Kind::Random, "random", "As many random neurons in each layer as its neurons would be: the control"),
                (Kind::All, "everything", "Every parameter"),
                (Kind::Lora, "LoRA", "A low-rank adapter: the baseline"),
            ];
            choice(ui, cx.theme, &mut self.kind, &options);
        });
        match self.kind {
            Kind::Top | Kind::Random => line(ui, cx, "share", "Of all neurons of the model", |ui, cx| {
                log_slider(ui, cx.theme, &mut self.percent, 0.01..=100.0, 10.0, "Percent of all neurons that train");
                ui.label("%");
            }),
            Kind::Set => line(ui, cx, "set", "", |ui, cx| self.set_ui(ui, cx)),
            Kind::Lora => self.lora_ui(ui, cx),
            Kind::All => {}
        }
        match self.kind {
            Kind::Top => what = Some(TrainWhat::Top { percent: self.percent }),
            Kind::Random => what = Some(TrainWhat::Random { percent: self.percent }),
            Kind::All => what = Some(TrainWhat::All),
            Kind::Lora => what = Some(TrainWhat::Lora { config: self.lora.clone() }).filter(|_| !self.lora.targets.is_empty()),
            Kind::Set => {
                if let Some(set) = cx.app.project.sets.get(self.set).filter(|s| !s.neurons.is_empty()) {
                    what = Some(TrainWhat::Neurons { neurons: set.neurons.clone() });
                }
            }
        }
        self.config_ui(ui, cx);
        task.zip(what)
    }

    fn set_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let sets = &cx.app.project.sets;
        if sets.is_empty() {
            ui.label(cx.theme.small("the project has no set yet; make one in Neurons, Overlap or Sets"));
            return;
        }
        self.set = self.set.min(sets.len() - 1);
        let chosen = format!("{} ({})", sets[self.set].name, counted(sets[self.set].neurons.len() as u64, "neuron"));
        let combo = ComboBox::from_id_salt("set that trains").selected_text(chosen).width(220.0).truncate();
        let shown = combo.show_ui(ui, |ui| {
            for (i, s) in sets.iter().enumerate() {
                ui.selectable_value(&mut self.set, i, format!("{} ({})", s.name, counted(s.neurons.len() as u64, "neuron")));
            }
        });
        shown.response.accessible_name("Set that trains");
    }

    fn lora_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        line(ui, cx, "adapter", "W + alpha / rank · B A, of which A and B train", |ui, cx| {
            ui.label(cx.theme.faint("rank"));
            ui.add(DragValue::new(&mut self.lora.rank).range(1..=1024).speed(0.1)).accessible_name("Rank of the adapter");
            ui.label(cx.theme.faint("alpha"));
            ui.add(DragValue::new(&mut self.lora.alpha).range(0.01..=4096.0).speed(0.2)).accessible_name("Alpha of the adapter");
        });
        line(ui, cx, "targets", "Matrices that are adapted, in every layer", |ui, cx| {
            let matrices: Vec<Matrix> = cx.app.library.spec().map(|s| s.matrices().to_vec()).unwrap_or_default();
            for m in matrices {
                let mut on = self.lora.targets.contains(&m);
                if ui.checkbox(&mut on, m.name()).changed() {
                    if on {
                        self.lora.targets.insert(m);
                    } else {
                        self.lora.targets.remove(&m);
                    }
                }
            }
        });
    }

    fn config_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let c = &mut self.config;
        line(ui, cx, "optimiser", "", |ui, cx| {
            let mut adam = matches!(c.optimizer, OptimizerConfig::AdamW(_));
            let options = [(true, "AdamW", "β 0.9 and 0.999, no weight decay"), (false, "SGD", "With momentum 0.9")];
            if choice(ui, cx.theme, &mut adam, &options) {
                c.optimizer = if adam {
                    OptimizerConfig::AdamW(AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 })
                } else {
                    OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.0 })
                };
            }
            named(ui, cx, "weight decay", 48.0);
            let decay = match &mut c.optimizer {
                OptimizerConfig::AdamW(a) => &mut a.weight_decay,
                OptimizerConfig::Sgd(s) => &mut s.weight_decay,
            };
            ui.add(DragValue::new(decay).range(0.0..=1.0).speed(0.001).max_decimals(4)).accessible_name("Weight decay");
            named(ui, cx, "clip", 48.0);
            ui.add(DragValue::new(&mut c.clip).range(1e-6..=1e6).speed(0.01))
                .on_hover_text("Gradients are scaled down to this length where theirs is larger")
                .accessible_name("Longest gradient");
        });
        line(ui, cx, "rate", "Highest learning rate", |ui, cx| {
            log_slider(ui, cx.theme, &mut c.learning_rate, 1e-7..=1.0, 1e-4, "Learning rate");
            named(ui, cx, "warm-up", 56.0);
            percent_ui(ui, &mut c.warmup, "Share of the steps in which the rate rises, percent");
            named(ui, cx, "cosine to", 56.0);
            percent_ui(ui, &mut c.floor, "Share of the rate left at the last step, percent; 100 keeps it");
        });
        line(ui, cx, "steps", "", |ui, cx| {
            ui.add(DragValue::new(&mut c.steps).range(1..=1_000_000).speed(2.0)).accessible_name("Steps");
            named(ui, cx, "batch", 40.0);
            ui.add(DragValue::new(&mut c.batch).range(1..=4096).speed(0.1))
                .on_hover_text("Sequences a step; what does not fit into a micro-batch is accumulated")
                .accessible_name("Sequences a step");
            named(ui, cx, "micro-batch", 92.0);
            ui.add(DragValue::new(&mut c.micro_batch_tokens).range(64..=1 << 20).speed(16.0).suffix(" tokens"))
                .on_hover_text("Tokens that are computed at once; gradients of a batch are summed over as many as it takes")
                .accessible_name("Tokens of a micro-batch");
            named(ui, cx, "seed", 32.0);
            ui.add(DragValue::new(&mut c.seed).speed(0.1)).accessible_name("Seed of the tuning");
        });
        line(ui, cx, "judge", "On rows that are never learnt; the weights of the best judgement are kept", |ui, cx| {
            ui.label(cx.theme.faint("every"));
            ui.add(DragValue::new(&mut c.evaluate_every).range(0..=100_000).speed(0.5).suffix(" steps"))
                .on_hover_text("0: only before the first and after the last")
                .accessible_name("Steps between two evaluations");
            named(ui, cx, "stop after", 32.0);
            ui.add(DragValue::new(&mut c.patience).range(0..=1000).speed(0.1))
                .on_hover_text("Evaluations without a better one after which it stops; 0: never")
                .accessible_name("Evaluations without a better one");
            named(ui, cx, "questions", 40.0);
            let mut n = self.items.unwrap_or(0);
            let drag = DragValue::new(&mut n)
                .range(0..=100_000)
                .speed(1.0)
                .custom_formatter(|n, _| if n < 1.0 { "all".to_owned() } else { format!("{n:.0}") });
            let drag = drag.custom_parser(|t| if t.trim() == "all" { Some(0.0) } else { t.trim().parse().ok() });
            if ui.add(drag).accessible_name("Questions of each domain that judge").changed() {
                self.items = (n > 0).then_some(n);
            }
        });
    }

    fn start_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: Option<&TuningView>, request: Option<(String, TrainWhat)>) {
        ui.add_space(theme::GRID * 2.0);
        ui.horizontal_wrapped(|ui| {
            let label = request.as_ref().map_or("Train".to_owned(), |(task, what)| format!("Train {} on {task}", what.words()));
            let button = ui.add_enabled(request.is_some(), cx.theme.primary(&label));
            let button = button.on_disabled_hover_text("Choose a set with neurons, or matrices for the adapter");
            if button.accessible_name("Train").clicked()
                && let Some((task, what)) = request
            {
                // The same request goes on in its folder.
                let mut request = TuneRequest {
                    task,
                    what,
                    config: self.config.clone(),
                    train_items: None,
                    eval_items: self.items,
                    out: std::path::PathBuf::new(),
                    save_model: None,
                };
                let text = serde_json::to_string(&request).unwrap_or_default();
                let kind = match self.kind {
                    Kind::Top => "top",
                    Kind::Set => "set",
                    Kind::Random => "random",
                    Kind::All => "all",
                    Kind::Lora => "lora",
                };
                request.out = cx.app.tune_folder(&request.task, kind, &sha256_bytes(text.as_bytes()));
                self.folded = true;
                cx.send(Command::Tune { request: Box::new(request) });
            }
            if ui.button("Open a tuning…").on_hover_text("The folder that an earlier one wrote").clicked() {
                cx.link.ask(crate::gui::Ask::OpenTuned);
            }
            if view.is_none() && cx.app.tuned.is_none() {
                let words = "runs in the background; the window stays free";
                room_for(ui, small_width(ui, words));
                ui.label(cx.theme.small(words));
            }
        });
    }
}

fn percent_ui(ui: &mut Ui, share: &mut f64, name: &str) {
    let mut percent = *share * 100.0;
    let drag = DragValue::new(&mut percent).range(0.0..=100.0).speed(0.5).suffix(" %").max_decimals(1);
    if ui.add(drag).on_hover_text(name).accessible_name(name).changed() {
        *share = percent / 100.0;
    }
}
