//! Find: the neurons that each task needs, how sure that is, and how many are worth taking.

use super::{
    arithmetic::other_arithmetic_ui,
    tasks::{TabInfo, percent_of},
    tasks_find_charts::{layers_ui, shares_ui},
    tasks_find_options::OptionsUi,
    tasks_outline::outline_ui,
};
use crate::{
    app::{Command, Failure, FindRequest, FindView, JobTarget, TaskJob},
    base::{
        Neuron, NeuronSet,
        overlap::{TopSets, shared},
    },
    gui::{
        Panel, PanelCx,
        export::Subject,
        widgets::{
            axis::Axis,
            chart::{filled, grown},
            control::{bar, caption, choice, log_slider, remark, room_for},
            curves::{Curve, Curves},
            matrix::{Matrix, sequential},
            number::{count, counted, sig3},
            states::{failed_strip_ui, job_line_ui},
            table::{Table, twin_switch},
        },
    },
    report::export::View,
    task::{self, TaskNeurons},
};
use eframe::egui::{Button, RichText, ScrollArea, Ui, Vec2, vec2};

pub(super) const TAB: TabInfo = TabInfo {
    id: "find",
    title: "Find",
    hint: "The neurons that each task needs, how stable they are, and how many are worth taking",
    done: |app| app.tasks.find.as_ref().is_some_and(|v| !v.running && !v.tasks.is_empty()),
    make: || Box::new(FindTab::default()),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Task,
    Overlap,
}

struct FindTab {
    options: OptionsUi,
    percent: f64,
    task: Option<String>,
    shown: Shown,
    table: bool,
    taken: Option<Taken>,
    /// By version and share.
    overlap: Option<((u64, u64), TopSets)>,
}

/// What a share of a task's neurons is, until task, share or result change.
struct Taken {
    key: (u64, String, u64),
    set: NeuronSet,
    by_layer: Vec<usize>,
    /// The first of the ranking, with their relevance.
    first: Vec<(Neuron, f32)>,
}

/// Neurons of the ranked list.
const LISTED: usize = 200;
const DEFAULT_PERCENT: f64 = 10.0;
/// The legend of the charts, and two rows of the first neurons.
const BELOW_CHARTS: f32 = 150.0;
/// Of the first neurons are shown at least as many; more where the panel has room.
const CHIPS: usize = 24;
const MOST_ROWS: usize = 8;
/// Width and height of a chip with the space after it.
const CHIP: (f32, f32) = (72.0, 24.0);

impl Default for FindTab {
    fn default() -> Self {
        Self {
            options: OptionsUi::default(),
            percent: DEFAULT_PERCENT,
            task: None,
            shown: Shown::Task,
            table: false,
            taken: None,
            overlap: None,
        }
    }
}

impl Panel for FindTab {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let view = cx.app.tasks.find.as_ref();
        self.options.ui(ui, cx);
        start_ui(ui, cx, view, &self.options, self.percent);
        let Some(view) = view.filter(|v| !v.tasks.is_empty()) else {
            if view.is_none_or(|v| !v.running && v.failed.is_none()) {
                let sentence = "Relevance of a neuron for a task: how much the task's loss would change, to first order, were the neuron switched off. \
                                Resamples of the task's rows tell how sure the choice is; rows that did not choose tell how many are worth taking.";
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| outline_ui(ui, cx, TAB.id, sentence));
            }
            return;
        };
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| self.result_ui(ui, cx, view));
    }
    fn exports(&self) -> Option<(View, Subject)> {
        Some((View::TaskNeurons, Subject { percent: Some(self.percent), ..Subject::default() }))
    }
}

/// Start; or how far it is, and a way to stop it; and what went wrong.
fn start_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: Option<&FindView>, options: &OptionsUi, percent: f64) {
    let n = cx.app.project.enabled().count();
    let ask = |cx: &mut PanelCx<'_>, request: FindRequest| cx.send(Command::FindTaskNeurons { request: Box::new(request), out: None });
    if let Some(view) = view.filter(|v| v.running) {
        let job = cx.app.job_for(|t| *t == JobTarget::Tasks(TaskJob::Find));
        let found = format!("{} of {} found", view.tasks.len(), counted(view.expected.len() as u64, "task"));
        job_line_ui(ui, cx, job, "Cancel", "What was found stays", &found);
        return;
    }
    let ended = view.and_then(|v| Some((v, v.failed.as_ref()?)));
    let words = format!("Find the neurons of {}", counted(n as u64, "task"));
    ui.horizontal_wrapped(|ui| {
        if ui.add(cx.theme.primary(&words)).clicked() {
            ask(cx, options.request(percent));
        }
        if let Some((_, Failure::Cancelled)) = ended {
            ui.label(cx.theme.small("stopped; what was found is kept"));
        }
    });
    if let Some((view, Failure::Failed(message))) = ended
        && failed_strip_ui(ui, cx, "The search failed", message, "Try again")
    {
        ask(cx, view.request.clone());
    }
}

impl FindTab {
    fn result_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &FindView) {
        let names: Vec<String> = view.tasks.iter().map(|t| t.name.clone()).collect();
        if self.task.as_ref().is_none_or(|t| !names.contains(t)) {
            self.task = names.first().cloned();
        }
        ui.separator();
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 240.0);
            let label = caption(ui, cx.theme, "k");
            label.on_hover_text("Share of the neurons that a task's set takes, percent");
            log_slider(ui, cx.theme, &mut self.percent, 0.01..=100.0, DEFAULT_PERCENT, "Share of neurons");
            caption(ui, cx.theme, &format!("% {}", view.ranking().words()));
            other_arithmetic_ui(ui, cx, &view.provenance);
        });
        ui.horizontal_wrapped(|ui| {
            let options = [
                (Shown::Task, "one task", "A task's neurons by layer and rank, their stability, and how many are worth taking"),
                (Shown::Overlap, "overlap", "What the tasks' sets have in common"),
            ];
            choice(ui, cx.theme, &mut self.shown, &options);
        });
        match self.shown {
            Shown::Overlap => overlap_ui(ui, cx, view, self.percent, &mut self.overlap),
            Shown::Task => {
                ui.horizontal_wrapped(|ui| {
                    let mut chosen = names.iter().position(|n| Some(n) == self.task.as_ref()).unwrap_or(0);
                    for (i, name) in names.iter().enumerate() {
                        let spot = RichText::new("●").color(cx.domain_colour(name));
                        let button = Button::selectable(i == chosen, (spot, name.as_str()));
                        let button = ui.add(button).accessible_name(format!("Neurons of {name}"));
                        if button.clicked() {
                            chosen = i;
                        }
                    }
                    self.task = names.get(chosen).cloned();
                });
                if let Some(task) = self.task.as_deref().and_then(|name| view.task(name)).cloned() {
                    self.task_ui(ui, cx, view, &task);
                }
            }
        }
    }

    fn task_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &FindView, task: &TaskNeurons) {
        let taken = take(&mut self.taken, view, task, self.percent);
        let curve = view.curve(&task.name);
        facts_ui(ui, cx, view, task, taken, self.percent);
        let mut percent = self.percent;
        ui.horizontal_wrapped(|ui| {
            for (on, words, hover) in [
                (false, "Save as set", "Into the Sets panel, not in force. The rows that chose these neurons will never judge them."),
                (true, "Save and switch off", "The same, in force: watch each domain's accuracy in the Ablation panel"),
            ] {
                if ui.button(words).on_hover_text(hover).clicked() {
                    cx.send(Command::KeepTaskSet { task: task.name.clone(), percent, on });
                }
            }
            if ui.button("Select").on_hover_text("Marks these neurons in every view").clicked() {
                cx.send(Command::SelectNeurons { neurons: taken.set.clone() });
            }
            if let Some(knee) = curve.and_then(|c| c.knee)
                && ui
                    .button(format!("Take the suggested {} %", percent_of(knee.percent)))
                    .on_hover_text("Where accuracy against k bends")
                    .clicked()
            {
                percent = knee.percent;
            }
        });
        self.percent = percent;
        let table = &mut self.table;
        bar(
            ui,
            2,
            cx,
            |ui, cx| {
                ui.label(cx.theme.group(format!("{} by layer and by k", task.name)));
            },
            |ui, _| twin_switch(ui, table, "the neurons", || ranked_table(taken)),
        );
        if self.table {
            return ranked_table(taken).ui(ui, cx.theme, "ranked neurons");
        }
        let wide = ui.available_width() >= 560.0;
        let colour = cx.domain_colour(&task.name);
        let width = if wide { (ui.available_width() - 12.0) / 2.0 } else { ui.available_width() };
        let high = if wide { filled(ui, 170.0, BELOW_CHARTS, width) } else { grown(ui, 170.0) };
        let size = vec2(width, high);
        let draw = |ui: &mut Ui, cx: &mut PanelCx<'_>, right: bool| {
            if right {
                shares_ui(ui, cx, view, task, curve, self.percent, size)
            } else {
                layers_ui(ui, cx, task, &taken.by_layer, colour, size)
            }
        };
        if wide {
            ui.horizontal_top(|ui| {
                for right in [false, true] {
                    ui.vertical(|ui| {
                        ui.set_max_width(width);
                        draw(ui, cx, right);
                    });
                }
            });
        } else {
            draw(ui, cx, false);
            draw(ui, cx, true);
        }
        list_ui(ui, cx, taken);
    }
}

/// The set at a share, from the last time where nothing changed.
fn take<'a>(kept: &'a mut Option<Taken>, view: &FindView, task: &TaskNeurons, percent: f64) -> &'a Taken {
    let key = (view.version, task.name.clone(), percent.to_bits());
    if kept.as_ref().is_none_or(|t| t.key != key) {
        let set = task.set(percent, view.ranking());
        let value = |n: Neuron| task.relevance.get(n.layer as usize, n.index as usize).unwrap_or(f32::NAN);
        let mut first: Vec<(Neuron, f32)> = set.iter().map(|n| (n, value(n))).collect();
        first.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        first.truncate(LISTED);
        *kept = Some(Taken { key, by_layer: task.by_layer(&set), set, first });
    }
    kept.get_or_insert_with(|| unreachable!("made above"))
}

fn facts_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: &FindView, task: &TaskNeurons, taken: &Taken, percent: f64) {
    let mut parts = vec![format!("{} of {}", counted(taken.set.len() as u64, "neuron"), count(task.relevance.values().len() as u64))];
    if let Some(s) = task.stability_near(percent) {
        parts.push(format!(
            "stability at {} %: {} ({} to {}), by chance {}",
            percent_of(s.percent),
            sig3(s.mean),
            sig3(s.low),
            sig3(s.high),
            sig3(s.chance)
        ));
    }
    match view.curve(&task.name) {
        Some(c) => match c.knee {
            Some(k) => {
                let least = if c.bends_at_smallest() { ", the least measured" } else { "" };
                parts.push(format!("suggested k: {} %{least}", percent_of(k.percent)));
            }
            None if view.running => {}
            None => parts.push("no k is suggested: accuracy bends nowhere, or falls by no more than chance would".into()),
        },
        None if view.request.curve.is_some() && view.running => parts.push("the suggestion of k is being measured".into()),
        None => {}
    }
    if let Some(c) = task.completeness {
        parts.push(format!("the integrals miss {} % of the loss they must add up to", sig3(100.0 * c.error())));
    }
    let hover = format!(
        "{}\n{} rows, mean loss {} nat; stability: Jaccard index of this set and those of {}, mean and the middle 95 %",
        view.provenance.formula,
        count(task.samples as u64),
        sig3(task.mean_loss),
        counted(task.draws as u64, "bootstrap resample")
    );
    ui.add(eframe::egui::Label::new(cx.theme.small(parts.join(" · "))).wrap()).on_hover_text(hover);
}

fn ranked_table(taken: &Taken) -> Table {
    let mut t = Table::new(&[("rank", true), ("neuron", false), ("layer", true), ("index", true), ("relevance, nat", true)]);
    for (i, (n, v)) in taken.first.iter().enumerate() {
        t.row(vec![(i + 1).to_string(), n.to_string(), n.layer.to_string(), n.index.to_string(), sig3(f64::from(*v))]);
    }
    t
}

/// The first neurons as chips: a click points every view at one.
fn list_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, taken: &Taken) {
    ui.label(cx.theme.group("highest relevance"));
    let room = ui.available_size();
    let chips = ((room.x / CHIP.0) as usize * ((room.y / CHIP.1) as usize).saturating_sub(1).min(MOST_ROWS)).max(CHIPS);
    ui.horizontal_wrapped(|ui| {
        for (n, v) in taken.first.iter().take(chips) {
            let hover = format!("relevance {} nat; click to look at it", sig3(f64::from(*v)));
            let chip = ui.small_button(n.to_string()).on_hover_text(hover);
            if chip.hovered() {
                cx.link.hover_neuron(*n);
            }
            if chip.clicked() {
                cx.link.focus_neuron = Some(*n);
                cx.link.reveal = Some(*n);
            }
        }
        let more = taken.set.len() - taken.first.len().min(chips);
        if more > 0 {
            ui.label(cx.theme.small(format!("and {} more", count(more as u64))));
        }
    });
}

fn overlap_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: &FindView, percent: f64, kept: &mut Option<((u64, u64), TopSets)>) {
    if view.tasks.len() < 2 {
        return remark(ui, cx.theme, "One task has no other to share neurons with.");
    }
    let key = (view.version, percent.to_bits());
    if kept.as_ref().is_none_or(|k| k.0 != key) {
        *kept = Some((key, task::overlap(&view.tasks, percent, view.ranking())));
    }
    let Some((_, tops)) = kept.as_ref() else { return };
    let labels: Vec<_> = tops.names.iter().map(|n| (n.clone(), cx.domain_colour(n))).collect();
    let tip = |ui: &mut Ui, a: usize, b: usize| {
        let both = shared(&tops.sets[a], &tops.sets[b]).count();
        ui.label(format!("{} and {}", tops.names[a], tops.names[b]));
        ui.label(format!(
            "{} in both, of {} and {}",
            counted(both as u64, "neuron"),
            count(tops.sets[a].len() as u64),
            count(tops.sets[b].len() as u64)
        ));
    };
    let wide = ui.available_width() >= 900.0;
    let high = (ui.available_height() - 24.0).clamp(220.0, grown(ui, 460.0));
    let size = vec2(if wide { (0.5 * ui.available_width()).min(high + 160.0) } else { ui.available_width() }, high);
    let matrix = Matrix {
        name: "Overlap of the tasks' neurons",
        labels: &labels,
        values: &tops.jaccard,
        selected: None,
        marked: None,
        range: (0.0, 1.0),
        unit: "Jaccard index",
        map: sequential(cx.app.settings.preferences.colours),
        size,
        tip: &tip,
    };
    if wide {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 24.0;
            matrix.show(ui, cx.theme);
            by_layer_ui(ui, cx, tops, vec2(ui.available_width(), high));
        });
    } else {
        matrix.show(ui, cx.theme);
    }
    remark(ui, cx.theme, "Two random sets of this size would share about k/(200 − k) of their union (k in %): 0.053 at 10 %.");
}

/// How many neurons each layer gives to every task's set: where sets can overlap.
fn by_layer_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, tops: &TopSets, size: Vec2) {
    let forward = cx.link.hover().domain.clone();
    let curves: Vec<Curve> = tops
        .names
        .iter()
        .zip(&tops.sets)
        .map(|(name, set)| {
            let of_layer = |layer: usize| set.iter().filter(|n| **n as usize / tops.d_mlp.max(1) == layer).count() as f64;
            Curve {
                name: name.clone(),
                colour: cx.domain_colour(name),
                points: (0..tops.n_layers).map(|layer| (layer as f64, Some(of_layer(layer)))).collect(),
                dashed: false,
                ghost: forward.as_ref().is_some_and(|f| f != name),
            }
        })
        .collect();
    let most = curves.iter().flat_map(|c| c.points.iter().filter_map(|p| p.1)).fold(1.0, f64::max);
    let chart = Curves {
        name: "Neurons of every task by layer",
        x: Axis::layers(tops.n_layers),
        y: Axis::linear(0.0, 1.05 * most, "neurons of the set"),
        curves: &curves,
        band: None,
        size,
        mark: None,
        place: cx.link.hover().layer,
    };
    if let Some(layer) = chart.show(ui, cx.theme).hovered {
        cx.link.hover_layer(layer);
        let at = |c: &Curve| c.points.get(layer).and_then(|p| Some(format!("{} {:.0}", c.name, p.1?)));
        cx.link.readout(format!("layer {layer} · {}", curves.iter().filter_map(at).collect::<Vec<_>>().join(" · ")));
    }
}
