//! What each neuron, head or layer does by itself; accuracy against k; the smallest set found that breaks a domain. Filled while it is measured.

use super::{open_model::model_and_domain_ui, prediction_state, sweep_break::BreakTab, sweep_curve::CurveTab, sweep_units::UnitsTab};
use crate::{
    app::{Command, Failure, JobTarget, SweepKind, SweepRequest, SweepView},
    gui::{
        Panel, PanelCx,
        export::Subject,
        widgets::{
            control::{caption, choice, keep_together, remark},
            states::{empty_ui, failed_strip_ui, job_line_ui},
        },
    },
    report::export::View,
    scan::MetricKind,
};
use eframe::egui::{Button, ComboBox, Ui};
use egui_material_icons::icons;

pub struct SweepPanel {
    tab: SweepKind,
    units: UnitsTab,
    curve: CurveTab,
    search: BreakTab,
    /// Model whose first-order effects were asked for.
    asked: Option<String>,
}

impl Panel for SweepPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if !ready(ui, cx) {
            return;
        }
        prediction_state::ask_ui(cx, &mut self.asked);
        ui.horizontal_wrapped(|ui| {
            let options = [
                (SweepKind::Units, "one at a time", "Every neuron, head or layer switched by itself, over one domain"),
                (SweepKind::AgainstK, "against k", "Accuracy with the top k % of a map switched, for rising k"),
                (SweepKind::Break, "smallest set", "A greedy search for the smallest set that breaks a domain and spares the others"),
            ];
            choice(ui, cx.theme, &mut self.tab, &options);
        });
        match self.tab {
            SweepKind::Units => self.units.ui(ui, cx),
            SweepKind::AgainstK => self.curve.ui(ui, cx),
            SweepKind::Break => self.search.ui(ui, cx),
        }
    }
    fn exports(&self) -> Option<(View, Subject)> {
        let view = match self.tab {
            SweepKind::Units => View::Sweep,
            SweepKind::AgainstK => View::AgainstK,
            SweepKind::Break => View::Break,
        };
        Some((view, Subject::default()))
    }
}

/// Whether there is a model with a domain to sweep over; else says what to do.
fn ready(ui: &mut Ui, cx: &mut PanelCx<'_>) -> bool {
    let sentence = "Open a model and a dataset to see what each neuron, head or layer does by itself.";
    model_and_domain_ui(ui, cx, icons::ICON_GRADIENT, sentence, "Add a dataset to sweep over.")
}

/// Said where nothing was measured yet in this session.
const GOES_ON: &str = "Once broken off, the same request goes on from what was measured, in a later session too.";
/// A panel as high has it in its middle.
const HIGH: f32 = 320.0;

/// What `words` say of a sweep that was not begun, under its form.
pub(super) fn nothing_yet_ui(ui: &mut Ui, cx: &PanelCx<'_>, words: &str) {
    let words = format!("{words} {GOES_ON}");
    if ui.available_height() < HIGH {
        remark(ui, cx.theme, words);
    } else {
        empty_ui(ui, cx.theme, icons::ICON_GRADIENT, &words, "");
    }
}

/// What is asked for by `form`, with the words of the button that starts it; then that button, or how far it is with a way to stop it, or how to go on.
pub(super) fn control_ui<T>(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    view: Option<&SweepView<T>>,
    kind: SweepKind,
    form: impl FnOnce(&mut Ui, &mut PanelCx<'_>) -> (Option<SweepRequest>, String),
) {
    // What runs says itself what it is; the form would only take its place.
    if view.is_some_and(|v| v.running) {
        let job = cx.app.job_for(|t| *t == JobTarget::Sweep(kind));
        job_line_ui(ui, cx, job, "Cancel", "What was measured stays, and can be gone on with", "");
        return;
    }
    let ended = view.and_then(|v| Some((v, v.failed.as_ref()?)));
    let stopped = ended.filter(|(_, failure)| **failure == Failure::Cancelled);
    ui.horizontal_wrapped(|ui| {
        let (request, words) = form(ui, cx);
        keep_together(ui, [words.as_str(), "Resume"].into_iter().take(if stopped.is_some() { 2 } else { 1 }));
        // Who stopped a sweep goes on with it more often than not.
        if let Some((view, _)) = stopped
            && ui.add(cx.theme.primary("Resume")).on_hover_text("Goes on where it was stopped; what was measured is kept").clicked()
        {
            cx.send(Command::Sweep { request: view.request.clone(), out: view.folder.clone() });
        }
        ui.add_enabled_ui(request.is_some(), |ui| {
            let start = if stopped.is_some() { Button::new(&words) } else { cx.theme.primary(&words) };
            if ui.add(start).clicked()
                && let Some(request) = request.clone()
            {
                cx.send(Command::Sweep { request, out: None });
            }
        });
        if stopped.is_some() {
            ui.label(cx.theme.small("stopped, all kept"));
        }
    });
    if let Some((view, Failure::Failed(message))) = ended
        && failed_strip_ui(ui, cx, "The sweep failed", message, "Try again")
    {
        cx.send(Command::Sweep { request: view.request.clone(), out: view.folder.clone() });
    }
}

/// A choice among the domains that are switched on; the first of them where none, or one that left, was chosen.
pub(super) fn domain_choice(ui: &mut Ui, cx: &PanelCx<'_>, label: &str, chosen: &mut Option<String>) -> Option<String> {
    let names: Vec<&str> = cx.app.project.enabled().map(|d| d.name.as_str()).collect();
    if chosen.as_deref().is_none_or(|c| !names.contains(&c)) {
        *chosen =
            cx.app.project.view.domain.clone().filter(|d| names.contains(&d.as_str())).or_else(|| names.first().map(|n| (*n).to_owned()));
    }
    let combo = ComboBox::from_id_salt(label).selected_text(chosen.clone().unwrap_or_default()).width(110.0);
    let shown = combo.show_ui(ui, |ui| {
        for name in names {
            if ui.selectable_label(chosen.as_deref() == Some(name), name).clicked() {
                *chosen = Some(name.to_owned());
            }
        }
    });
    shown.response.accessible_name(label);
    chosen.clone()
}

/// A choice among the maps that the shown run has of a domain; `None`, and what to do, where it has none.
pub(super) fn ranking_choice(ui: &mut Ui, cx: &PanelCx<'_>, label: &str, domain: &str, metric: &mut MetricKind) -> Option<MetricKind> {
    let scan = cx.app.library.scan()?.domain(domain)?;
    let maps: Vec<MetricKind> = MetricKind::ALL.into_iter().filter(|&m| scan.map(m).is_some()).collect();
    if !maps.contains(metric) {
        *metric = *maps.first()?;
    }
    caption(ui, cx.theme, "by");
    let combo = ComboBox::from_id_salt(label).selected_text(metric.label()).width(130.0);
    let shown = combo.show_ui(ui, |ui| {
        for m in maps {
            ui.selectable_value(metric, m, m.label()).on_hover_text(m.info().formula);
        }
    });
    shown.response.accessible_name(label);
    Some(*metric)
}

/// How neurons are switched, said where it matters: the project's settings.
pub(super) fn settings_words(cx: &PanelCx<'_>) -> String {
    let p = &cx.app.project;
    format!("{} {}", p.mode.words(), p.at.words())
}

pub fn make() -> Box<dyn Panel> {
    Box::new(SweepPanel {
        tab: SweepKind::Units,
        units: UnitsTab::default(),
        curve: CurveTab::default(),
        search: BreakTab::default(),
        asked: None,
    })
}
