//! What breaks when neurons are switched off: accuracy of every domain before and after, beside random controls of the same size.

use super::{
    ablation_mode,
    ablation_rows::{self, Rows},
    ablation_sets::{self, Adder, Rename},
    open_model::model_and_domain_ui,
    prediction_state,
};
use crate::{
    ablate::predict,
    app::{Command, Failure, JobTarget},
    gui::{
        Ask, Panel, PanelCx,
        widgets::{
            chart::grown,
            control::{bar, fits, group, keep_together, remark},
            dumbbell::{self, Dumbbell},
            number::{count, counted, sig3},
            states::stopped_line_ui,
            table::{icon_button, twin_switch},
        },
    },
};
use eframe::egui::{self, ScrollArea, Ui};
use egui_material_icons::icons;

#[derive(Default)]
pub struct AblationPanel {
    table: bool,
    adder: Adder,
    rename: Rename,
    /// Model whose first-order effects were asked for.
    asked: Option<String>,
}

impl Panel for AblationPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if !ready(ui, cx) {
            return;
        }
        prediction_state::ask_ui(cx, &mut self.asked);
        let rows = ablation_rows::rows(cx);
        self.bar_ui(ui, cx, &rows);
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            state_ui(ui, cx);
            if self.table {
                rows.table().ui(ui, cx.theme, "ablation");
            } else {
                chart_ui(ui, cx, &rows);
            }
            group(ui, cx.theme, "SETS");
            ablation_sets::sets_ui(ui, cx, &mut self.rename);
            ablation_sets::singles_ui(ui, cx);
            group(ui, cx.theme, "SWITCH MORE OFF");
            self.adder.ui(ui, cx);
        });
    }
}

/// Whether there is a model with a domain to measure; else says what to do.
fn ready(ui: &mut Ui, cx: &mut PanelCx<'_>) -> bool {
    let sentence = "Open a model and a dataset, then switch neurons off and watch each domain's accuracy.";
    model_and_domain_ui(ui, cx, icons::ICON_TOGGLE_OFF, sentence, "Add a dataset to measure accuracy on.")
}

impl AblationPanel {
    fn bar_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, rows: &Rows) {
        let app = cx.app;
        let table = &mut self.table;
        let off = app.project.off();
        bar(
            ui,
            4,
            cx,
            |ui, cx| {
                ablation_mode::mode_ui(ui, cx);
                ui.add_space(4.0);
                ablation_mode::controls_ui(ui, cx);
            },
            |ui, cx| {
                twin_switch(ui, table, "accuracies", || rows.table());
                ui.add_enabled_ui(!off.is_empty(), |ui| {
                    let name = "Copy the neurons that are off";
                    if icon_button(ui, icons::ICON_TERMINAL, name, "As text for `brodmann ablate --neurons`").clicked() {
                        cx.link.ask(Ask::Copy(off.to_string()));
                    }
                });
                ui.add_enabled_ui(app.project.has_ablation(), |ui| {
                    if icon_button(ui, icons::ICON_RESTART_ALT, "Clear the ablation", "Every neuron works again; undo brings it back")
                        .clicked()
                    {
                        cx.send(Command::ClearAblation);
                    }
                });
            },
        );
    }
}

/// How many are off, how far the measuring is, and what went wrong with it.
fn state_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let off = app.project.off();
    let all = app.library.spec().map(|s| (s.n_layers * s.d_mlp) as u64);
    ui.horizontal_wrapped(|ui| {
        let mut parts = Vec::new();
        if !off.is_empty() {
            let of = all.map_or(String::new(), |a| format!(" of {} ({} %)", count(a), sig3(off.len() as f64 * 100.0 / a as f64)));
            parts.push(format!("{}{of} off in {}", counted(off.len() as u64, "neuron"), counted(off.layers().count() as u64, "layer")));
        }
        if !app.project.heads.is_empty() {
            parts.push(format!("{} off", counted(app.project.heads.len() as u64, "head")));
        }
        let text = if parts.is_empty() { "Nothing is switched off".to_owned() } else { parts.join(", ") };
        ui.label(cx.theme.strong(text));
        let live = &app.ablation;
        if live.running {
            let (scored, wanted) = ablation_rows::scored(app);
            // No spinner: it would redraw the window for as long as the measuring takes.
            let share = if wanted > 0 { scored as f32 / wanted as f32 } else { 0.0 };
            let text = format!("scored {} of {}", count(scored), count(wanted));
            let short = format!("{} of {}", count(scored), count(wanted));
            // On the line of what is off even where that is narrow: the chart below stays where it is when the measuring ends.
            let whole = fits(ui, ["a bar of 80", &text, "Stop"].into_iter());
            if !whole {
                keep_together(ui, [short.as_str(), "Stop"].into_iter());
            }
            // A line within the line: in one that wraps a low bar hangs at the top.
            ui.horizontal(|ui| {
                if whole {
                    let bar = egui::ProgressBar::new(share).desired_width(80.0).desired_height(6.0).fill(cx.theme.accent);
                    ui.add(bar).accessible_name(&text);
                    ui.label(cx.theme.small(text));
                } else {
                    ui.label(cx.theme.small(short)).on_hover_text(text);
                }
                if let Some(job) = app.job_for(|t| matches!(t, JobTarget::Evaluation(_)))
                    && ui.small_button("Stop").on_hover_text("Keeps what was scored").clicked()
                {
                    cx.send(Command::CancelJob { id: job.id.0 });
                }
            });
        } else if live.failed == Some(Failure::Cancelled) {
            let words = "stopped; what was scored is kept";
            if stopped_line_ui(ui, cx.theme, "Go on", "Scores what is left", words) {
                cx.send(Command::Evaluate);
            }
        } else if live.before.is_empty() && live.failed.is_none() && ui.button("Measure accuracy").clicked() {
            cx.send(Command::Evaluate);
        }
    });
    prediction_state::state_ui(ui, cx, false);
    held_out_ui(ui, cx);
    if let Some(Failure::Failed(message)) = &app.ablation.failed {
        ui.horizontal_wrapped(|ui| {
            ui.label(icons::ICON_ERROR.rich_text().size(16.0).color(cx.theme.bad));
            ui.add(egui::Label::new(format!("The accuracies could not be measured: {message}")).wrap());
            if ui.button("Measure again").clicked() {
                cx.send(Command::Evaluate);
            }
            if ui.button("Copy details").clicked() {
                cx.link.ask(Ask::Copy(message.clone()));
            }
        });
    }
}

/// Rows that a set was chosen on: left out, or scored because too few others are left.
fn held_out_ui(ui: &mut Ui, cx: &PanelCx<'_>) {
    let held = &cx.app.ablation.held_out;
    let left_out: Vec<String> =
        held.iter().filter(|h| h.1.left_out > 0).map(|(d, h)| format!("{} of {d}", count(h.left_out as u64))).collect();
    if !left_out.is_empty() {
        remark(ui, cx.theme, format!("not scored, since the set was chosen on them: {}", left_out.join(", ")));
    }
    for (domain, h) in held.iter().filter(|h| h.1.chosen_on > 0) {
        ui.horizontal_wrapped(|ui| {
            ui.label(icons::ICON_WARNING.rich_text().size(16.0).color(cx.theme.warn));
            let rows = counted(h.chosen_on as u64, "scored row");
            ui.label(format!("{domain}: the set was chosen on {rows}; the effect may look stronger than on new data."));
        });
    }
}

/// Head and foot of the charts, the sets and what adds to them.
const BELOW_CHART: f32 = 340.0;
/// Rows that stand further apart no longer read as one chart.
const HIGHEST_ROW: f32 = 54.0;

fn chart_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, rows: &Rows) {
    let width = ui.available_width();
    let marked = cx.link.hover().domain.clone();
    let predicted = rows.predicted();
    // The column is there from the beginning, so that none moves when predictions come; not where there will be none.
    let explained = predicted || cx.app.settings.predicts && cx.app.prediction.not_predicted.is_none();
    let shown = ablation_rows::columns(width, explained);
    let n = (rows.accuracy.len() + rows.perplexity.len()).max(1) as f32;
    let row = ((ui.available_height() - BELOW_CHART) / n).clamp(dumbbell::ROW, grown(ui, dumbbell::ROW).min(HIGHEST_ROW));
    let columns: Vec<_> = shown.iter().map(|&c| ablation_rows::COLUMNS[c]).collect();
    let mut hovered = None;
    for (name, all, axis, chance) in
        [("Accuracy", &rows.accuracy, rows.accuracy_axis(), true), ("Perplexity", &rows.perplexity, rows.perplexity_axis(), false)]
    {
        if all.is_empty() {
            continue;
        }
        let fitting: Vec<_> = all.iter().map(|r| r.with_cells(&shown)).collect();
        let marked = marked.as_deref();
        let chart = Dumbbell { name, axis, rows: &fitting, columns: &columns, width, row, marked, control: true, chance, predicted };
        hovered = chart.show(ui, cx.theme).map(|i| &all[i]).or(hovered);
    }
    if let Some(row) = hovered {
        cx.link.hover_domain(&row.name);
        cx.link.readout(row.summary.clone());
    }
    if rows.accuracy.is_empty() && rows.perplexity.is_empty() {
        remark(ui, cx.theme, "No accuracy has been measured yet. Switch neurons off below, or measure the model as it is.");
        return;
    }
    let mut words =
        "whiskers: 95 % Wilson interval · band: mean ± standard deviation of the random controls · before, after: ± standard error · \
                     points: difference with its paired 95 % interval · p: McNemar, exact"
            .to_owned();
    if explained {
        words.push_str(" · hollow diamond: first-order prediction");
    }
    let response = ui.add(egui::Label::new(cx.theme.small(words)).wrap());
    if explained {
        response.on_hover_text(format!("{}\n{}", predict::FORMULA, predict::OBJECTIVE));
    }
}

pub fn make() -> Box<dyn Panel> {
    Box::<AblationPanel>::default()
}
