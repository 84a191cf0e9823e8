//! The smallest set found that breaks a domain and spares the others: the search step by step, and how the set is judged.

use super::{
    arithmetic::other_arithmetic_ui,
    sweep::{control_ui, domain_choice, nothing_yet_ui, ranking_choice},
    sweep_sought::Sought,
};
use crate::{
    ablate::{BreakStep, Broken, Rule, Totals},
    app::{BreakLive, Command, SweepKind, SweepRequest, SweepView},
    base::stats,
    gui::{
        Ask, PanelCx, theme,
        widgets::{
            axis::Axis,
            control::{caption, group, remark, room_for},
            curves::{Curve, Curves},
            number::{counted, plus_minus, sig3},
            states::empty_ui,
            table::{Table, icon_button},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{self, DragValue, ScrollArea, Ui, vec2};
use egui_material_icons::icons;

pub struct BreakTab {
    domain: Option<String>,
    metric: MetricKind,
    candidates: usize,
    rule: Rule,
    /// Request that the form was last made to show.
    followed: Option<SweepRequest>,
    sought: Sought,
}

impl Default for BreakTab {
    fn default() -> Self {
        let (metric, rule) = (MetricKind::Relevance, Rule::default());
        Self { domain: None, metric, candidates: 200, rule, followed: None, sought: Sought::default() }
    }
}

impl BreakTab {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if cx.app.library.scan().is_none() {
            let sentence = "Scan the domains: the map of the domain gives the candidates.";
            if empty_ui(ui, cx.theme, icons::ICON_GRADIENT, sentence, "Scan the domains") {
                cx.send(Command::StartScan { out: None });
            }
            return;
        }
        let app = cx.app;
        let view = app.sweeps.broken.as_ref();
        self.follow(view);
        control_ui(ui, cx, view, SweepKind::Break, |ui, cx| {
            let request = self.request_ui(ui, cx);
            self.sought.look(cx, SweepKind::Break, view, request.as_ref());
            (request, "Search".to_owned())
        });
        let Some(live) = view.and_then(|v| v.result.as_ref()) else {
            let words = "Neurons are added one by one: each round the one that hurts the domain most for what it costs the others. \
                         The set is sought on one half of the questions and judged on the other.";
            nothing_yet_ui(ui, cx, words);
            return;
        };
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            if let Some(outcome) = &live.outcome {
                outcome_ui(ui, cx, outcome);
            }
            steps_ui(ui, cx, live);
        });
    }

    /// The form asks for what is shown, wherever that came from.
    fn follow(&mut self, view: Option<&SweepView<BreakLive>>) {
        let Some(view) = view.filter(|v| self.followed.as_ref() != Some(&v.request)) else { return };
        if let SweepRequest::Break { domain, metric, candidates, rule } = &view.request {
            self.domain = Some(domain.clone());
            (self.metric, self.candidates, self.rule) = (*metric, *candidates, *rule);
        }
        self.followed = Some(view.request.clone());
    }

    fn request_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) -> Option<SweepRequest> {
        caption(ui, cx.theme, "break");
        let domain = domain_choice(ui, cx, "Domain to break", &mut self.domain)?;
        let metric = ranking_choice(ui, cx, "Metric of the candidates", &domain, &mut self.metric);
        room_for(ui, 120.0);
        caption(ui, cx.theme, "candidates");
        ui.add(DragValue::new(&mut self.candidates).range(1..=100_000).speed(1.0))
            .on_hover_text("The top of the map that neurons are taken from")
            .accessible_name("Candidates");
        room_for(ui, 100.0);
        caption(ui, cx.theme, "at most");
        ui.add(DragValue::new(&mut self.rule.most).range(1..=10_000).speed(0.2))
            .on_hover_text("Neurons of the largest set")
            .accessible_name("Neurons at most");
        room_for(ui, 110.0);
        caption(ui, cx.theme, "penalty");
        ui.add(DragValue::new(&mut self.rule.penalty).range(0.0..=100.0).speed(0.05))
            .on_hover_text("Weight of the mean damage to the other domains")
            .accessible_name("Penalty for damage to the others");
        Some(SweepRequest::Break { domain, metric: metric?, candidates: self.candidates, rule: self.rule })
    }
}

fn steps_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, live: &BreakLive) {
    let steps = live.outcome.as_ref().map_or(&live.steps, |o| &o.steps);
    group(ui, cx.theme, "STEPS");
    if steps.is_empty() {
        remark(ui, cx.theme, "The first round tries every candidate.");
        return;
    }
    let table = table(steps);
    if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the steps as a table", "Tab-separated, for a spreadsheet or a notebook").clicked() {
        cx.link.ask(Ask::Copy(table.tsv()));
    }
    table.ui(ui, cx.theme, "steps of the search");
    if steps.len() > 1 && ui.available_height() > STEPS_CHART {
        ui.add_space(theme::GRID * 2.0);
        damage_ui(ui, cx, live.outcome.as_ref().map(|o| o.domain.as_str()), steps);
    }
}

/// Where less is left the table stands alone.
const STEPS_CHART: f32 = 240.0;

/// What the search weighs: the damage to the domain against that to the others, round by round.
fn damage_ui(ui: &mut Ui, cx: &PanelCx<'_>, domain: Option<&str>, steps: &[BreakStep]) {
    let of = |value: fn(&BreakStep) -> f64| steps.iter().enumerate().map(|(i, s)| ((i + 1) as f64, Some(value(s)))).collect();
    let curve = |name: &str, colour, dashed, points| Curve { name: name.to_owned(), colour, points, dashed, ghost: false };
    let colour = domain.map_or(cx.theme.accent, |d| cx.domain_colour(d));
    let curves = [
        curve(domain.unwrap_or("the domain"), colour, false, of(|s| s.damage)),
        curve("the others", cx.theme.secondary, true, of(|s| s.others)),
    ];
    let values = curves.iter().flat_map(|c| c.points.iter().filter_map(|p| p.1)).chain([0.0]);
    let chart = Curves {
        name: "Damage round by round",
        x: Axis { whole: true, ..Axis::linear(0.6, steps.len() as f64 + 0.4, "round") },
        y: Axis::around(values, "damage (standard deviations of the questions' margins)"),
        curves: &curves,
        band: None,
        size: vec2(ui.available_width(), (ui.available_height() - 8.0).min(0.6 * ui.available_width())),
        mark: None,
        place: None,
    };
    chart.show(ui, cx.theme);
}

fn table(steps: &[BreakStep]) -> Table {
    let mut t = Table::new(&[("round", true), ("neuron", false)]);
    for title in ["accuracy", "damage, sd", "others' damage, sd", "merit, sd"] {
        t.column(title, true);
    }
    for (i, s) in steps.iter().enumerate() {
        let accuracy = s.accuracy.map_or(String::new(), |a| format!("{a:.2}"));
        t.row(vec![(i + 1).to_string(), s.neuron.to_string(), accuracy, sig3(s.damage), sig3(s.others), sig3(s.merit)]);
    }
    t
}

fn outcome_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, broken: &Broken) {
    let n = counted(broken.set.len() as u64, "neuron");
    let words = if broken.reached {
        format!("{n} of {} candidates bring {} to {:.2} or less", broken.candidates, broken.domain, broken.threshold)
    } else {
        format!("No set was found that brings {} to {:.2}; {n} came nearest", broken.domain, broken.threshold)
    };
    ui.horizontal_wrapped(|ui| {
        ui.add(egui::Label::new(cx.theme.strong(words)).wrap());
        other_arithmetic_ui(ui, cx, &broken.provenance);
        let name = format!("smallest set that breaks {}", broken.domain);
        ui.add_enabled_ui(!broken.set.is_empty(), |ui| {
            if ui.button("Make set").on_hover_text("A new set, in force at once").clicked() {
                let source = format!("greedy search among {}, penalty {}", broken.ranking, broken.rule.penalty);
                let neurons = broken.set.clone();
                cx.send(Command::AddSet { name: name.clone(), neurons, source, chosen_on: vec![broken.domain.clone()] });
            }
            if ui.button("Select").on_hover_text("Marks its neurons in every view").accessible_name("Select the set").clicked() {
                cx.send(Command::SelectNeurons { neurons: broken.set.clone() });
            }
        });
    });
    group(ui, cx.theme, "JUDGED ON THE OTHER HALF");
    let mut t = Table::new(&[("domain", false)]);
    for title in ["before", "after", "change", "random", "n"] {
        t.column(title, true);
    }
    let value = |t: &Totals| t.accuracy().or(t.loss);
    for j in &broken.judged {
        let controls: Vec<f64> = j.controls.iter().filter_map(value).collect();
        let random = stats::mean(&controls).map_or(String::new(), |m| plus_minus(m, stats::std_dev(&controls)));
        let text = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.2}"));
        let change = value(&j.after).zip(value(&j.before)).map(|(a, b)| format!("{:+.2}", a - b)).unwrap_or_default();
        let what = if j.before.accuracy().is_some() { j.domain.clone() } else { format!("{} (loss)", j.domain) };
        t.row(vec![what, text(value(&j.before)), text(value(&j.after)), change, random, j.before.n.to_string()]);
    }
    t.ui(ui, cx.theme, "judged domains");
}
