//! What the tabs of learning share: how a task is trained, start and stop, figures as text.

use crate::{
    app::{Command, Failure, JobTarget},
    gui::{
        PanelCx,
        widgets::{
            control::{caption, parse_number, room_for},
            number::sig3,
            states::{failed_strip_ui, job_line_ui, stopped_line_ui},
        },
    },
    task::Spread,
    tune::TuneConfig,
};
use eframe::egui::{DragValue, TextEdit, Ui};

/// How each task is trained: what a user changes most.
pub(super) struct Training {
    pub steps: usize,
    pub batch: usize,
    rate: String,
    pub seeds: usize,
    pub percent: f64,
}

impl Training {
    pub fn new(seeds: usize) -> Self {
        Self { steps: 200, batch: 16, rate: "1e-3".into(), seeds, percent: 10.0 }
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>) {
        room_for(ui, 130.0);
        caption(ui, cx.theme, "neurons");
        let share = DragValue::new(&mut self.percent).range(0.01..=100.0).speed(0.1).suffix(" %").max_decimals(2);
        ui.add(share).accessible_name("Share of the neurons").on_hover_text("How many of all neurons are a task's own");
        room_for(ui, 110.0);
        caption(ui, cx.theme, "steps");
        ui.add(DragValue::new(&mut self.steps).range(1..=100_000).speed(5.0))
            .accessible_name("Steps a task")
            .on_hover_text("At most: a task ends early where its validation rows get no better");
        room_for(ui, 100.0);
        caption(ui, cx.theme, "batch");
        ui.add(DragValue::new(&mut self.batch).range(1..=1024)).accessible_name("Sequences a step");
        room_for(ui, 100.0);
        caption(ui, cx.theme, "rate");
        ui.add(TextEdit::singleline(&mut self.rate).desired_width(48.0))
            .accessible_name("Learning rate")
            .on_hover_text("Highest learning rate");
        room_for(ui, 100.0);
        caption(ui, cx.theme, "seeds");
        ui.add(DragValue::new(&mut self.seeds).range(1..=20))
            .accessible_name("Number of seeds")
            .on_hover_text("Everything is repeated so often; figures are means with their standard deviation");
    }

    /// `None` where the learning rate is no number.
    pub fn config(&self, usual: TuneConfig) -> Option<TuneConfig> {
        let learning_rate = parse_number(&self.rate).filter(|r| r.is_finite() && *r > 0.0)?;
        Some(TuneConfig { steps: self.steps, batch: self.batch, learning_rate, ..usual })
    }
    pub fn seed_list(&self) -> Vec<u64> {
        (0..self.seeds as u64).collect()
    }
}

/// Where the work stands.
pub(super) struct Work<'a> {
    pub running: bool,
    pub failed: Option<&'a Failure>,
    /// Which job does it.
    pub target: JobTarget,
    /// What Start asks for; `None`: it cannot be meant.
    pub start: Option<Command>,
    /// Words on its button.
    pub words: &'a str,
    /// What goes on with it.
    pub again: Option<Command>,
}

/// Start, or how far it is with a way to stop it, or how to go on.
pub(super) fn work_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, work: Work<'_>) {
    if work.running {
        let job = cx.app.job_for(|t| *t == work.target);
        job_line_ui(ui, cx, job, "Stop", "Finished cells and a checkpoint stay; it can be gone on with", "");
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.add_enabled_ui(work.start.is_some(), |ui| {
            if ui.add(cx.theme.primary(work.words)).clicked()
                && let Some(start) = work.start.clone()
            {
                cx.send(start);
            }
        });
        if let (Some(Failure::Cancelled), Some(again)) = (work.failed, &work.again)
            && stopped_line_ui(ui, cx.theme, "Resume", "Goes on at the step where it was stopped", "stopped; what was finished is kept")
        {
            cx.send(again.clone());
        }
    });
    if let Some(Failure::Failed(message)) = work.failed
        && failed_strip_ui(ui, cx, "The training failed", message, "Try again")
        && let Some(again) = work.again
    {
        cx.send(again);
    }
}

/// `71.3 ± 0.4`, in percent.
pub(super) fn percent_text(s: Option<Spread>) -> String {
    s.map_or("–".to_owned(), |s| format!("{:.1}{}", 100.0 * s.mean, s.sd.map_or(String::new(), |sd| format!(" ± {:.1}", 100.0 * sd))))
}

/// A p-value as people print it.
pub(super) fn p_text(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p {}", sig3(p)) }
}
