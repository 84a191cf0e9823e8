//! The right side: what is under the pointer, or was picked last. A neuron over all domains, its layer, a pair of domains, a domain.

use super::{
    inspect_head::HeadView,
    inspect_index::{index_line_ui, index_state_ui},
    inspect_neuron::NeuronView,
    inspect_parts::section,
    neuron_list::{self, neurons_ui},
};
use crate::{
    app::{Command, Loading},
    base::{Head, Neuron, NeuronSet},
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            chart::{lines_that_fit, small_font},
            matrix::readable_on,
            number::{self, sig3},
            table::{Fact, facts},
        },
    },
    report,
    scan::ScanOutput,
};
use eframe::egui::{self, Align, Align2, Color32, Label, Layout, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

#[derive(Default)]
pub struct Inspector {
    neuron: NeuronView,
    head: HeadView,
    /// The neuron kept last: another one takes the head's place.
    kept: Option<Neuron>,
}

impl Panel for Inspector {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.spacing_mut().item_spacing.y = 2.0;
        let hover = cx.link.hover().clone();
        let app = cx.app;
        let selection = &app.project.view.selection;
        let picked = selection.iter().next().filter(|_| selection.len() == 1);
        let kept = picked.or(cx.link.focus_neuron);
        if std::mem::replace(&mut self.kept, kept) != kept && kept.is_some() {
            cx.link.focus_head = None;
        }
        // Numbers stand at the right edge: the scroll bar beside them, not on them.
        ui.spacing_mut().scroll.floating_allocated_width = 6.0;
        ScrollArea::vertical().id_salt("inspector").auto_shrink([false, false]).show(ui, |ui| {
            if hover.neuron.is_none()
                && let Some((a, b)) = &hover.pair
            {
                pair_ui(ui, cx, a, b);
            } else if hover.neuron.is_none()
                && let Some(layer) = hover.layer
                // Who has just clicked a head still points at its layer.
                && cx.link.focus_head.is_none_or(|h| h.layer as usize != layer)
            {
                layer_ui(ui, cx, layer);
            } else if let Some(n) = hover.neuron {
                self.neuron.ui(ui, cx, n, kept != Some(n));
                section(ui, cx, "Its layer", true, |ui, cx| layer_ui(ui, cx, n.layer as usize));
            } else if let Some(head) = cx.link.focus_head {
                self.head.ui(ui, cx, head);
            } else if let Some(n) = kept {
                self.neuron.ui(ui, cx, n, false);
                section(ui, cx, "Its layer", true, |ui, cx| layer_ui(ui, cx, n.layer as usize));
            } else if let Some(domain) = hover.domain.as_ref().or(cx.link.focus_domain.clone().as_ref()) {
                domain_ui(ui, cx, domain);
            } else if let Some(run) = app.library.scan() {
                ui.label(cx.theme.title("Inspector"));
                ui.add(
                    Label::new(cx.theme.faint("Point at a neuron, a layer or a pair of domains to read it here. Click to keep it.")).wrap(),
                );
                ui.add_space(4.0);
                match app.index() {
                    Some(entry) => index_line_ui(ui, cx, entry),
                    None => index_state_ui(ui, cx),
                }
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

fn layer_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, layer: usize) {
    let app = cx.app;
    ui.label(cx.theme.strong(format!("Layer {layer}")));
    let Some(run) = app.library.scan() else { return };
    let off = app.project.sets.iter().filter(|s| s.on).map(|s| s.neurons.layer(layer).count()).sum::<usize>()
        + app.project.single.layer(layer).count();
    let mut list = vec![Fact::new("weights", number::count(run.params_per_layer.get(layer).copied().unwrap_or(0)))];
    list.push(Fact::new("neurons", number::count(run.d_mlp as u64)));
    if off > 0 {
        list.push(Fact::new("in sets off", number::count(off as u64)));
    }
    facts(ui, cx.theme, &list);
    heads_ui(ui, cx, run, layer);
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

/// A layer's heads, coloured by their relevance to the shown domain; a click turns the inspector to one.
fn heads_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &ScanOutput, layer: usize) {
    let app = cx.app;
    let domain = app.project.view.domain.as_deref().and_then(|d| run.domain(d)).or(run.domains.first());
    let map = domain.and_then(|d| d.head_relevance.as_ref()).filter(|g| layer < g.rows());
    let n = map.map(|g| g.cols()).or_else(|| app.library.spec().map(|s| s.attention.n_heads)).unwrap_or(0);
    if n == 0 {
        return;
    }
    let most = map.and_then(|g| g.range()).map_or(0.0, |r| r.1);
    let what = match (map, domain) {
        (Some(_), Some(d)) => format!("heads, by relevance to {}", d.name),
        _ => "heads".to_owned(),
    };
    ui.add_space(4.0);
    ui.label(cx.theme.small(what));
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(3.0, 3.0);
        for h in 0..n {
            let head = Head::new(layer as u32, h as u32);
            let value = map.and_then(|g| g.get(layer, h));
            let (rect, r) = ui.allocate_exact_size(vec2(24.0, 24.0), Sense::click());
            let spoken = value.map_or(head.to_string(), |v| format!("{head}, relevance {}", sig3(f64::from(v))));
            r.widget_info(|| WidgetInfo::labeled(egui::Role::Button, true, &spoken));
            let place = Rect::from_center_size(rect.center(), vec2(20.0, 20.0));
            let share = value.map_or(0.0, |v| if most > 0.0 { f64::from(v / most) } else { 0.0 });
            let [red, green, blue] = app.settings.preferences.colours.at(share);
            let fill = if value.is_some() { Color32::from_rgb(red, green, blue) } else { cx.theme.raised };
            ui.painter().rect_filled(place, 3.0, fill);
            let ink = if value.is_some() { readable_on(fill) } else { cx.theme.text };
            ui.painter().text(place.center(), Align2::CENTER_CENTER, h, small_font(), ink);
            if app.project.heads.contains(&head) {
                ui.painter().line_segment([place.left_bottom(), place.right_top()], Stroke::new(1.5, ink));
            }
            if r.hovered() || r.has_focus() || cx.link.focus_head == Some(head) {
                ui.painter().rect_stroke(place, 3.0, Stroke::new(1.5, cx.theme.accent), StrokeKind::Outside);
            }
            if r.clicked() {
                cx.link.focus_head = Some(head);
            }
            r.on_hover_text(format!("{spoken}\nClick to see what it looks at"));
        }
    });
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
    selected_ui(ui, cx, selection);
}

/// Fewer lines are no list.
const LEAST_LIST: usize = 4;

/// As many of the selected neurons as fit below, by layer and index, with what the shown map has of each.
fn selected_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, selection: &NeuronSet) {
    let lines = lines_that_fit(ui, neuron_list::LINE).saturating_sub(2).min(selection.len());
    let (Some(run), true) = (cx.app.library.scan(), lines >= LEAST_LIST) else { return };
    let view = &cx.app.project.view;
    let metric = report::metric_of(run, view.metric);
    let shown: Vec<_> = view.domain.iter().chain(&view.minus).filter_map(|d| run.domain(d)).collect();
    let maps: Vec<_> = shown.iter().filter_map(|d| Some((d.name.as_str(), d.map(metric)?))).collect();
    let values = |n: Neuron| maps.iter().map(|(_, map)| map.get(n.layer as usize, n.index as usize).unwrap_or(f32::NAN)).collect();
    let first: Vec<(Neuron, Vec<f32>)> = selection.iter().take(lines).map(|n| (n, values(n))).collect();
    let names: Vec<&str> = maps.iter().map(|m| m.0).collect();
    let left = selection.len() - lines;
    let more = if left > 0 { format!(" · the first {lines}") } else { String::new() };
    ui.label(cx.theme.small(format!("{} of {}{more}", metric.label(), names.join(" and "))));
    ui.allocate_ui(vec2(ui.available_width(), ui.available_height()), |ui| {
        neurons_ui(ui, cx, metric, "selected neurons", &first, &names);
    });
}
