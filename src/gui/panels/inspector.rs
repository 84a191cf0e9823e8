//! The right side: what is under the pointer, or was picked last. A neuron over all domains, its layer, a pair of domains, a domain.

use crate::{
    app::{Command, Loading},
    base::{Neuron, NeuronSet},
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            number::{self, sig3},
            table::{Fact, facts, icon_button},
        },
    },
    scan::{MetricKind, ScanOutput},
};
use eframe::egui::{self, Align, Align2, FontId, Label, Layout, Rect, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons;

#[derive(Default)]
pub struct Inspector;

impl Panel for Inspector {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.spacing_mut().item_spacing.y = 2.0;
        let hover = cx.link.hover().clone();
        let app = cx.app;
        let selection = &app.project.view.selection;
        let picked = selection.iter().next().filter(|_| selection.len() == 1);
        let neuron = hover.neuron.or(picked).or(cx.link.focus_neuron);
        ScrollArea::vertical().id_salt("inspector").auto_shrink([false, false]).show(ui, |ui| {
            if hover.neuron.is_none()
                && let Some((a, b)) = &hover.pair
            {
                pair_ui(ui, cx, a, b);
            } else if hover.neuron.is_none()
                && let Some(layer) = hover.layer
            {
                layer_ui(ui, cx, layer);
            } else if let Some(n) = neuron {
                neuron_ui(ui, cx, n);
                layer_ui(ui, cx, n.layer as usize);
            } else if let Some(domain) = hover.domain.as_ref().or(cx.link.focus_domain.clone().as_ref()) {
                domain_ui(ui, cx, domain);
            } else if let Some(run) = app.library.scan() {
                ui.label(cx.theme.title("Inspector"));
                ui.add(
                    Label::new(cx.theme.faint("Point at a neuron, a layer or a pair of domains to read it here. Click to keep it.")).wrap(),
                );
                ui.add_space(8.0);
                run_ui(ui, cx, run);
            } else {
                ui.label(cx.theme.title("Inspector"));
                ui.add(Label::new(cx.theme.faint("After a scan, what the pointer is over is read out here.")).wrap());
            }
            if selection.len() > 1 {
                selection_ui(ui, cx, selection);
            }
        });
    }
}

fn group(ui: &mut Ui, cx: &PanelCx<'_>, title: &str) {
    ui.add_space(12.0);
    ui.label(cx.theme.group(title));
    ui.add_space(2.0);
}

fn neuron_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, n: Neuron) {
    let app = cx.app;
    let off = app.project.is_off(n);
    ui.horizontal(|ui| {
        ui.label(cx.theme.title(n.to_string()));
        if off {
            ui.label(cx.theme.small("off"));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy its name", "").clicked() {
                cx.link.ask(Ask::Copy(n.to_string()));
            }
        });
    });
    ui.label(cx.theme.small(format!("blocks.{}.mlp.hook_post[{}]", n.layer, n.index)));
    ui.add_space(4.0);
    let text = if off { "Switch back on" } else { "Switch off" };
    let r = ui.add_sized([ui.available_width(), theme::ROW], egui::Button::new(text)).on_hover_text("Space while pointing at it");
    if r.clicked() {
        cx.send(Command::ToggleNeuron { neuron: n });
    }
    let Some(run) = app.library.scan() else { return };
    for metric in [MetricKind::Relevance, MetricKind::MeanActivation, MetricKind::MeanAbsActivation, MetricKind::ParamActivation] {
        bars_ui(ui, cx, run, n, metric);
    }
    let sets: Vec<&str> = app.project.sets.iter().filter(|s| s.neurons.contains(n)).map(|s| s.name.as_str()).collect();
    if !sets.is_empty() {
        group(ui, cx, "In the sets");
        for s in sets {
            ui.label(s);
        }
    }
}

/// A metric of one neuron over all domains: name, bar, value, and its rank in the domain as a share of all neurons.
fn bars_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &ScanOutput, n: Neuron, metric: MetricKind) {
    let at = |d: &crate::scan::DomainScan| d.map(metric).and_then(|g| g.get(n.layer as usize, n.index as usize));
    let values: Vec<(&str, f32)> = run.domains.iter().filter_map(|d| Some((d.name.as_str(), at(d)?))).collect();
    let top = values.iter().map(|(_, v)| v.abs()).filter(|v| v.is_finite()).fold(0.0f32, f32::max);
    if values.is_empty() {
        return;
    }
    let info = metric.info();
    group(ui, cx, &if info.unit.is_empty() { info.label.to_owned() } else { format!("{} ({})", info.label, info.unit) });
    let small = FontId::proportional(theme::SMALL);
    let signed = values.iter().any(|(_, v)| *v < 0.0);
    for (name, v) in values {
        let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
        r.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("{} of {n} for {name}: {}", info.label, sig3(f64::from(v)))));
        if r.hovered() {
            cx.link.hover_domain(name);
        }
        let painter = ui.painter_at(rect);
        let mut job = egui::text::LayoutJob::simple_singleline(name.to_owned(), small.clone(), cx.theme.text);
        job.wrap = egui::text::TextWrapping::truncate_at_width(72.0);
        let galley = painter.layout_job(job);
        painter.galley(pos2(rect.left(), rect.center().y - galley.size().y / 2.0), galley, cx.theme.text);
        let track = Rect::from_min_max(pos2(rect.left() + 80.0, rect.center().y - 4.0), pos2(rect.right() - 56.0, rect.center().y + 4.0));
        painter.rect_filled(track, 2.0, cx.theme.raised);
        if v.is_finite() && top > 0.0 && track.width() > 4.0 {
            let zero = if signed { track.center().x } else { track.left() };
            let full = if signed { track.width() / 2.0 } else { track.width() };
            let end = zero + v / top * full;
            let bar = Rect::from_x_y_ranges(zero.min(end)..=zero.max(end).max(zero.min(end) + 1.0), track.y_range());
            painter.rect_filled(bar, 2.0, cx.domain_colour(name));
            if signed {
                painter.vline(zero, track.y_range(), egui::Stroke::new(1.0, cx.theme.secondary));
            }
        }
        painter.text(pos2(rect.right(), rect.center().y), Align2::RIGHT_CENTER, sig3(f64::from(v)), small.clone(), cx.theme.text);
    }
}

fn layer_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, layer: usize) {
    let app = cx.app;
    group(ui, cx, &format!("Layer {layer}"));
    let Some(run) = app.library.scan() else { return };
    let off = app.project.sets.iter().filter(|s| s.on).map(|s| s.neurons.layer(layer).count()).sum::<usize>()
        + app.project.single.layer(layer).count();
    let mut list = vec![Fact::new("weights", number::count(run.params_per_layer.get(layer).copied().unwrap_or(0)))];
    list.push(Fact::new("neurons", number::count(run.d_mlp as u64)));
    if off > 0 {
        list.push(Fact::new("in sets off", number::count(off as u64)));
    }
    facts(ui, cx.theme, &list);
    if run.domains.iter().any(|d| layer < d.density.len()) {
        ui.add_space(4.0);
        ui.label(cx.theme.small("density"));
        for d in &run.domains {
            let Some(v) = d.density.get(layer) else { continue };
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                let (rect, _) = ui.allocate_exact_size(vec2(8.0, 16.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 3.5, cx.domain_colour(&d.name));
                ui.label(cx.theme.small(d.name.as_str()));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(egui::RichText::new(sig3(*v)).size(theme::SMALL)));
            });
        }
    }
}

fn pair_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, a: &str, b: &str) {
    ui.label(cx.theme.title(if a == b { a.to_owned() } else { format!("{a} | {b}") }));
    let app = cx.app;
    let Some(pair) = app.library.scan().and_then(|r| r.pair(a, b)) else { return };
    ui.label(cx.theme.small(if a == b { "the domain with itself, other samples" } else { "sample m of one with sample m of the other" }));
    group(ui, cx, "LLMDcos");
    let text = |v: Option<f64>| v.map_or_else(|| "undefined".to_owned(), sig3);
    let mut list = vec![Fact::new("scalar", text(pair.scalar())).hover("Mean over samples and layers L/2 to L-3")];
    list.push(Fact::new("sample pairs", number::count(pair.cosines.len() as u64)));
    facts(ui, cx.theme, &list);
    group(ui, cx, "Mean by layer");
    for (l, v) in pair.per_layer_mean().into_iter().enumerate() {
        ui.horizontal(|ui| {
            ui.label(cx.theme.small(format!("L{l}")));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(egui::RichText::new(text(v)).size(theme::SMALL)));
        });
    }
}

fn domain_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, name: &str) {
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(12.0, theme::ROW), Sense::hover());
        ui.painter().circle_filled(rect.center(), 5.0, cx.domain_colour(name));
        ui.label(cx.theme.title(name));
    });
    let app = cx.app;
    let mut list = Vec::new();
    if let Some(Loading::Ready(d)) = app.library.domain(name).map(|d| &d.state) {
        list.push(Fact::new("items", number::count(d.items.len() as u64)));
        list.push(Fact::new("split", d.split.clone()));
        if !d.skipped.is_empty() {
            list.push(Fact::new("skipped rows", number::count(d.skipped.len() as u64)));
        }
        list.push(Fact::hash("sha256", &d.sha256));
    }
    if let Some(d) = app.library.scan().and_then(|r| r.domain(name)) {
        list.push(Fact::new("samples scanned", number::count(d.samples as u64)));
        list.push(Fact::new("tokens", number::count(d.tokens as u64)));
        list.push(Fact::new("mean objective", sig3(d.mean_objective)));
    }
    facts(ui, cx.theme, &list);
}

fn run_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &ScanOutput) {
    ui.label(cx.theme.group("Shown run"));
    let p = &run.provenance;
    let mut list = vec![
        Fact::new("model", p.model.clone()),
        Fact::hash("model hash", &p.model_sha256),
        Fact::new("objective", p.objective.clone()),
        Fact::new("seed", p.seed.to_string()),
        Fact::new("device", format!("{} · {}", p.device, p.dtype)),
        Fact::new("made", p.created.clone()),
    ];
    if !p.command.is_empty() {
        list.push(Fact::copied("command", p.command.clone(), p.command.clone()));
    }
    facts(ui, cx.theme, &list);
}

fn selection_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, selection: &NeuronSet) {
    group(ui, cx, &format!("Selection: {}", number::counted(selection.len() as u64, "neuron")));
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
        let name = format!("selection of {}", number::count(selection.len() as u64));
        if ui.button("Switch off").on_hover_text("Makes it a set and switches it off").clicked() {
            let chosen_on = cx.app.project.view.domain.iter().chain(&cx.app.project.view.minus).cloned().collect();
            cx.send(Command::AddSet { name, neurons: selection.clone(), source: "selected by hand".into(), chosen_on });
        }
        if ui.button("Copy").on_hover_text("As --neurons reads it").clicked() {
            cx.link.ask(Ask::Copy(selection.to_string()));
        }
        if ui.button("Clear").clicked() {
            cx.send(Command::SelectNeurons { neurons: NeuronSet::new() });
        }
    });
}
