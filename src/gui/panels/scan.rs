//! The scan: its settings, what it will cost, the run itself, and where the shown numbers came from.

use super::{scan_cost::Cost, shown_run::scan_job};
use crate::{
    app::{Command, JobState, Loading, Preferences, RunEntry},
    base::number::capital,
    gui::{
        Ask, Panel, PanelCx,
        device_combo::device_combo,
        theme,
        widgets::{
            control::{choice, group, log_slider, name_cell},
            number::{bytes, count, duration, sig3},
            states::{empty_ui, failed_strip_ui, job_bar_ui, progress_line},
            table::{Fact, facts, icon_button},
        },
    },
    scan::{MetricKind, ObjectiveKind, Order, ScanConfig},
};
use eframe::egui::{self, Align, DragValue, Layout, ScrollArea, Ui, vec2};
use egui_material_icons::icons;
use std::time::Duration;

#[derive(Default)]
pub struct ScanPanel;

impl Panel for ScanPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if cx.app.library.model.is_none() {
            if empty_ui(ui, cx.theme, icons::ICON_RADAR, "Open a model to scan it.", "Open the demo") {
                cx.send(Command::OpenDemo);
            }
            return;
        }
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            domains_ui(ui, cx);
            settings_ui(ui, cx);
            device_ui(ui, cx);
            products_ui(ui, cx);
            run_ui(ui, cx);
            if let Some(run) = cx.app.library.run() {
                last_ui(ui, cx, run);
            }
        });
    }
}

/// Where scans run: a setting of this machine, not of the project.
fn device_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut device = cx.app.settings.device;
    let hover = "Where the scan's kernels run; forward and backward are always computed on the processor";
    setting(ui, cx, "device", hover, None, |ui, cx| device_combo(ui, cx, &mut device));
    if device != cx.app.settings.device {
        let preferences = Preferences { device, ..cx.app.settings.preferences.clone() };
        cx.send(Command::SetPreferences { preferences });
    }
}

/// What the next scan multiplies with: it changes its numbers, so it is told here and chosen in the settings.
fn products_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let hover = "How the processor multiplies matrices, for everything that is computed";
    setting(ui, cx, "products", hover, None, |ui, cx| {
        let (settings, products) = (&cx.app.settings, cx.app.products());
        let by = match settings.given_products {
            Some(given) => given.to_string(),
            None if settings.products().is_none() => "auto".to_owned(),
            None => "settings".to_owned(),
        };
        ui.label(format!("{products} ({by})")).on_hover_text(format!("{}.", capital(products.about())));
        if icon_button(ui, icons::ICON_SETTINGS, "Choose products", "In the settings").clicked() {
            cx.link.ask(Ask::ShowSettings);
        }
    });
}

fn domains_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
        for d in &app.project.domains {
            let colour = cx.theme.domain(d.colour);
            let mark = if d.enabled { icons::ICON_CHECK_CIRCLE } else { icons::ICON_RADIO_BUTTON_UNCHECKED };
            let mark = mark.rich_text().size(14.0).color(colour);
            let name = egui::RichText::new(&d.name).color(if d.enabled { cx.theme.text } else { cx.theme.secondary });
            let button = egui::Button::new((mark, name)).min_size(vec2(0.0, theme::ROW)).frame_when_inactive(d.enabled);
            let hover = if d.enabled { "In the next scan; click to leave it out" } else { "Left out; click to include it" };
            if ui.add(button).on_hover_text(hover).accessible_name(&d.name).clicked() {
                cx.send(Command::EnableDomain { name: d.name.clone(), on: !d.enabled });
            }
        }
        if icon_button(ui, icons::ICON_ADD, "Add a domain", "A dataset: JSON Lines, CSV, TSV or text").clicked() {
            cx.link.ask(Ask::AddDomain);
        }
    });
}

/// Width of the names of settings.
const NAMES: f32 = 76.0;

/// One line of the settings; the default is named once the value differs from it.
fn setting(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    name: &str,
    hover: &str,
    default: Option<String>,
    add: impl FnOnce(&mut Ui, &mut PanelCx<'_>),
) {
    ui.horizontal(|ui| {
        let response = name_cell(ui, cx.theme.faint(name), NAMES, theme::ROW);
        if !hover.is_empty() {
            response.on_hover_text(hover);
        }
        add(ui, cx);
        if let Some(default) = default {
            ui.label(cx.theme.small(format!("default {default}")));
        }
    });
}

fn settings_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let usual = ScanConfig::default();
    let mut c = cx.app.project.scan.clone();
    let before = c.clone();
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(cx.theme.group("SETTINGS"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_enabled_ui(c != usual, |ui| {
                if icon_button(ui, icons::ICON_RESTART_ALT, "Back to the defaults", "").clicked() {
                    c = usual.clone();
                }
            });
        });
    });
    let differs = |same: bool, text: String| (!same).then_some(text);
    let hover = "Samples a domain; fewer where a domain has fewer";
    setting(ui, cx, "samples", hover, differs(c.samples == usual.samples, usual.samples.to_string()), |ui, _| {
        ui.add(DragValue::new(&mut c.samples).range(1..=100_000).speed(1.0)).accessible_name("Samples a domain");
    });
    setting(ui, cx, "seed", "Decides the shuffle and the pairs", differs(c.seed == usual.seed, usual.seed.to_string()), |ui, _| {
        ui.add(DragValue::new(&mut c.seed).speed(0.1)).accessible_name("Seed");
    });
    setting(ui, cx, "order", "", None, |ui, cx| {
        let options =
            [(Order::Shuffle, "shuffle", "A random choice of rows, the same for the same seed"), (Order::File, "file", "The first rows")];
        choice(ui, cx.theme, &mut c.order, &options);
    });
    let hover = "Longest sample. A text keeps its first tokens, a prompt loses its left end";
    let context = cx.app.library.spec().map(|s| s.max_positions);
    setting(ui, cx, "max tokens", hover, differs(c.max_tokens == usual.max_tokens, usual.max_tokens.to_string()), |ui, cx| {
        ui.add(DragValue::new(&mut c.max_tokens).range(2..=1_000_000).speed(4.0)).accessible_name("Longest sample in tokens");
        if let Some(context) = context.filter(|&context| context < c.max_tokens) {
            ui.label(cx.theme.small(format!("the model takes {}", count(context as u64))))
                .on_hover_text("Its context: longer samples are cut to that");
        }
    });
    setting(ui, cx, "objective", "What the parameters' effect is measured on", None, |ui, cx| {
        let options = [
            (ObjectiveKind::MaxLogit, "max logit", "The largest logit at the end of the prompt; needs no answer (the paper's)"),
            (ObjectiveKind::Loss, "loss", "Cross-entropy of the answer, or of the whole text; spares relevance its second backward pass"),
        ];
        choice(ui, cx.theme, &mut c.objective, &options);
    });
    let default = differs(c.gamma == usual.gamma, sig3(f64::from(usual.gamma)));
    setting(ui, cx, "γ", "A weight counts as activated above this; it can be moved after the scan too", default, |ui, cx| {
        let mut gamma = f64::from(c.gamma);
        if log_slider(ui, cx.theme, &mut gamma, 1e-9..=1e-2, f64::from(usual.gamma), "Gamma of the scan").changed() {
            c.gamma = gamma as f32;
        }
    });
    ui.horizontal_top(|ui| {
        name_cell(ui, cx.theme.faint("metrics"), NAMES, theme::ROW);
        ui.vertical(|ui| {
            ui.horizontal_wrapped(|ui| {
                for kind in MetricKind::ALL {
                    let mut on = c.metrics.contains(&kind);
                    let info = kind.info();
                    let hover = format!("{}\n{}", info.formula, info.source);
                    if ui.checkbox(&mut on, kind.label()).on_hover_text(hover).changed() {
                        // In the registry's order, so that a run's settings do not depend on the order of clicks.
                        c.metrics = MetricKind::ALL.into_iter().filter(|m| if *m == kind { on } else { c.metrics.contains(m) }).collect();
                    }
                }
            })
        });
    });
    if c != before {
        cx.send(Command::SetScanConfig { config: c });
    }
}

fn run_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    ui.add_space(8.0);
    if let Some(job) = scan_job(cx).filter(|j| j.state == JobState::Running) {
        ui.horizontal(|ui| {
            ui.label(cx.theme.strong(&job.title));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if job.stopping {
                    ui.label(cx.theme.faint("stopping"));
                } else if ui.button("Cancel").on_hover_text("Felt within a second (Esc)").accessible_name("Cancel the scan").clicked() {
                    cx.send(Command::CancelJob { id: job.id.0 });
                }
            });
        });
        job_bar_ui(ui, job, ui.available_width());
        let phase = if job.progress.phase.is_empty() { String::new() } else { format!("{} · ", job.progress.phase) };
        ui.label(cx.theme.small(format!("{phase}{}", progress_line(job))));
        return;
    }
    let cost = Cost::of(app);
    let enabled = app.project.domains.iter().filter(|d| d.enabled).count();
    let read = matches!(app.library.model.as_ref().map(|m| &m.state), Some(Loading::Ready(_)));
    let possible = read && enabled > 0 && !app.project.scan.metrics.is_empty();
    if let Some(cost) = &cost {
        let words = ui.add(egui::Label::new(cx.theme.small(cost.words())).wrap());
        if let Ok(pace) = &cost.pace {
            words.on_hover_text(pace.assumed());
        }
    }
    ui.horizontal(|ui| {
        let text = if enabled == 1 { "Scan 1 domain".to_owned() } else { format!("Scan {enabled} domains") };
        let button = ui.add_enabled(possible, cx.theme.primary(text));
        let why = if !read {
            "The model is not there yet"
        } else if enabled == 0 {
            "Every domain is left out"
        } else {
            "No metric is chosen"
        };
        if button.on_disabled_hover_text(why).clicked() {
            cx.send(Command::StartScan { out: None });
        }
    });
    if let Some(JobState::Failed(message)) = scan_job(cx).map(|j| &j.state) {
        failed_strip_ui(ui, cx, "The last scan failed", message, "");
    }
}

/// Where the shown numbers came from, down to the command that makes them again.
fn last_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry) {
    let out = &*run.output;
    let p = &out.provenance;
    group(ui, cx.theme, &format!("SHOWN: {}", run.name.to_uppercase()));
    let samples: usize = out.domains.iter().map(|d| d.samples).sum();
    let tokens: usize = out.domains.iter().map(|d| d.tokens).sum();
    let time = Duration::from_secs_f64(out.timing.seconds.clamp(0.0, 1e9));
    let mut list = vec![
        Fact::new("made", &p.created),
        Fact::new("took", format!("{} · {} samples /s", duration(time), sig3(out.timing.samples_per_second))),
        Fact::new("read", format!("{} samples, {} tokens, {} domains", count(samples as u64), count(tokens as u64), out.domains.len())),
        Fact::new("objective", format!("{}, γ {}, seed {}", p.objective, sig3(f64::from(out.config.gamma)), p.seed)),
        Fact::new("computed", format!("{} on {}, peak {}", p.dtype, p.device, bytes(out.timing.peak_rss_bytes))),
        Fact::new("formula", &p.formula).hover(&p.formula),
        Fact::new("program", &p.program),
        Fact::hash("model", &p.model_sha256),
    ];
    let cut: Vec<String> =
        (out.domains.iter().filter(|d| d.source.cut > 0)).map(|d| format!("{}: {}", d.name, d.source.cut_words())).collect();
    if !cut.is_empty() {
        list.insert(3, Fact::new("cut", cut.join(", ")).hover(cut.join("\n")));
    }
    if let Some(path) = &run.path {
        let text = path.display().to_string();
        list.push(Fact::copied("folder", text.clone(), text));
    }
    list.push(Fact::copied("command", &p.command, &p.command));
    facts(ui, cx.theme, &list);
}

pub fn make() -> Box<dyn Panel> {
    Box::<ScanPanel>::default()
}
