//! How maps of neurons are drawn: scale, order, folding, links. Side by side where the row has room for them, else behind one button.

use super::{
    map_controls::combines_ui,
    neurons_collapsed::{folds, in_force},
};
use crate::{
    app::{Collapse, Command, Loading, MapChange, MapScale, RunEntry},
    base::heatmap::{PerLayer, scale},
    gui::{
        PanelCx, theme,
        widgets::control::{choice, choice_width, combo_width, parse_number},
    },
    report::neuron_order::NeuronOrder,
    scan::MetricKind,
};
use eframe::egui::{Button, ComboBox, DragValue, Frame, Popup, PopupCloseBehavior, RichText, Ui, vec2};
use egui_material_icons::icons;

/// What some panels choose besides scale and order.
#[derive(Clone, Copy, Default)]
pub struct More<'a> {
    /// What the columns are.
    pub fold: bool,
    /// Whether maps beside each other share range and view.
    pub links: bool,
    /// How two domains are compared, where the row itself has no room for it.
    pub compared: bool,
    /// The domains that may be compared with the shown one, where the row has no room for their button.
    pub others: &'a [&'a str],
}

/// `after`: width that the row keeps for what follows.
pub fn options_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, (metric, domain): (MetricKind, &str), more: More<'_>, after: f32) {
    let gap = ui.spacing().item_spacing.x;
    let map = &cx.app.project.view.map;
    let scale = choice_width(ui, SCALES.iter().map(|s| s.1)) + if cx.app.project.view.scale == MapScale::Clipped { 58.0 } else { 0.0 };
    let mut rest =
        combo_width(ui, per_layer_name(map.per_layer), LAYERS_WIDTH) + combo_width(ui, &order_name(&map.order), ORDER_WIDTH) + gap;
    if more.fold {
        rest += combo_width(ui, "modules", FOLD_WIDTH) + gap;
    }
    if more.links {
        rest += choice_width(ui, ["range", "view"].into_iter()) + 2.0 * (14.0 + gap);
    }
    let room = ui.available_size_before_wrap().x - after;
    let all = scale + rest + gap <= room && !more.compared && more.others.is_empty();
    let scale_fits = scale + gap + BUTTON <= room;
    if scale_fits {
        scale_ui(ui, cx);
    }
    if all {
        per_layer_ui(ui, cx);
        order_ui(ui, cx, run, (metric, domain));
        if more.fold {
            fold_ui(ui, cx, run, metric);
        }
        if more.links {
            links_ui(ui, cx);
        }
    } else {
        button_ui(ui, cx, run, (metric, domain), more, !scale_fits);
    }
    order_state_ui(ui, cx);
}

/// Width of the button.
const BUTTON: f32 = 30.0;
const LAYERS_WIDTH: f32 = 96.0;
const ORDER_WIDTH: f32 = 84.0;
const FOLD_WIDTH: f32 = 84.0;

fn button_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, (metric, domain): (MetricKind, &str), more: More<'_>, with_scale: bool) {
    let map = &cx.app.project.view.map;
    // What is not as it comes can be seen without opening it.
    let changed = map.per_layer != PerLayer::None
        || map.order != NeuronOrder::Index
        || more.fold && in_force(map.collapse, run, metric) != Collapse::Neurons
        || more.links && (map.own_range || map.own_view);
    let button = Button::selectable(changed, icons::ICON_TUNE.rich_text().size(16.0)).min_size(vec2(28.0, theme::ROW));
    let padding = std::mem::replace(&mut ui.spacing_mut().button_padding.x, 6.0);
    let r = ui.add(button).accessible_name("Scale and order");
    ui.spacing_mut().button_padding.x = padding;
    let popup = Popup::from_toggle_button_response(&r).close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    popup.gap(theme::GRID).frame(Frame::popup(ui.style()).inner_margin(theme::GRID * 3.0)).show(|ui| {
        ui.set_width(280.0);
        ui.spacing_mut().item_spacing.y = 4.0;
        let row = |ui: &mut Ui, name: &str, add: &mut dyn FnMut(&mut Ui)| {
            ui.label(cx.theme.group(name));
            ui.horizontal_wrapped(|ui| add(ui));
            ui.add_space(theme::GRID);
        };
        let mut send = Vec::new();
        if with_scale {
            row(ui, "Colour scale", &mut |ui| send.extend(scale_choice(ui, cx)));
        }
        row(ui, "Within layers", &mut |ui| {
            let mut chosen = map.per_layer;
            let options = PerLayer::ALL.map(|p| (p, per_layer_name(p), per_layer_hover(p)));
            if choice(ui, cx.theme, &mut chosen, &options) {
                send.push(change(MapChange::PerLayer(chosen)));
            }
        });
        row(ui, "Order of neurons", &mut |ui| {
            ui.vertical(|ui| send.extend(orders_ui(ui, cx, (metric, domain))));
        });
        if more.fold {
            row(ui, "Columns", &mut |ui| send.extend(folds_ui(ui, cx, run, metric)));
        }
        if !more.others.is_empty() {
            row(ui, "Compared with", &mut |ui| {
                for n in more.others {
                    if ui.selectable_label(false, *n).clicked() {
                        send.push(Command::ShowDomain { domain: Some(domain.to_owned()), minus: Some((*n).to_owned()) });
                    }
                }
            });
        }
        if more.compared {
            row(ui, "Compared by", &mut |ui| {
                ui.vertical(|ui| send.extend(combines_ui(ui, map.combine).map(|c| change(MapChange::Combine(c)))));
            });
        }
        if more.links {
            row(ui, "Linked among maps", &mut |ui| send.extend(link_buttons(ui, cx)));
        }
        for command in send {
            cx.out.push(command);
        }
    });
    r.on_hover_text("Scale, order of the neurons, folding");
}

fn change(change: MapChange) -> Command {
    Command::ChangeMap { change }
}

const SCALES: [(MapScale, &str, &str); 3] = [
    (MapScale::Linear, "linear", "Colour follows the value"),
    (MapScale::Log, "log", "Each step of the colour is a factor"),
    (MapScale::Clipped, "clipped", "Linear up to a percentile; larger values share the last colour"),
];

fn scale_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let send = scale_choice(ui, cx);
    cx.out.extend(send);
}

/// Linear, log or clipped, and where it is clipped.
fn scale_choice(ui: &mut Ui, cx: &PanelCx<'_>) -> Vec<Command> {
    let view = &cx.app.project.view;
    let (mut chosen, mut send) = (view.scale, Vec::new());
    if choice(ui, cx.theme, &mut chosen, &SCALES) {
        send.push(Command::SetMapScale { scale: chosen });
    }
    if view.scale == MapScale::Clipped {
        let mut percentile = f64::from(view.map.percentile);
        let (lo, hi) = (f64::from(*scale::PERCENTILES.start()), f64::from(*scale::PERCENTILES.end()));
        let drag = DragValue::new(&mut percentile)
            .range(lo..=hi)
            .speed(0.05)
            .custom_formatter(|v, _| scale::ordinal(v as f32))
            .custom_parser(|text| parse_number(text.trim_end_matches(|c: char| c.is_alphabetic())));
        let r = ui.name_inputs("Percentile of the clip", |ui| ui.add(drag)).accessible_name("Percentile of the clip");
        if r.on_hover_text("Percentile of all magnitudes at which the colours end; drag or type, 50 to 100").changed() {
            send.push(change(MapChange::Percentile(percentile as f32)));
        }
    }
    send
}

fn per_layer_name(p: PerLayer) -> &'static str {
    match p {
        PerLayer::None => "as measured",
        PerLayer::Max => "layer max",
        PerLayer::Rank => "layer rank",
    }
}

fn per_layer_hover(p: PerLayer) -> &'static str {
    match p {
        PerLayer::None => "All layers on one scale, in the metric's unit",
        PerLayer::Max => "Each value by the largest magnitude of its layer: shows what stands out in every layer",
        PerLayer::Rank => "Rank of the magnitude within its layer, 0 to 1, sign kept",
    }
}

/// As measured, or each layer on a scale of its own.
fn per_layer_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let now = cx.app.project.view.map.per_layer;
    let combo = ComboBox::from_id_salt("per layer").width(LAYERS_WIDTH).selected_text(per_layer_name(now));
    let r = combo.show_ui(ui, |ui| {
        for p in PerLayer::ALL {
            if ui.selectable_label(p == now, per_layer_name(p)).on_hover_text(per_layer_hover(p)).clicked() && p != now {
                cx.send(change(MapChange::PerLayer(p)));
            }
        }
    });
    r.response.accessible_name("Scale within layers").on_hover_text(per_layer_hover(now));
}

fn order_name(order: &NeuronOrder) -> String {
    match order {
        NeuronOrder::Index => "by index".to_owned(),
        NeuronOrder::Value { domain, .. } => format!("by {domain}"),
        NeuronOrder::Profile { .. } => "clustered".to_owned(),
    }
}

/// By index, by value of what is shown, or clustered.
fn order_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, of: (MetricKind, &str)) {
    let now = &cx.app.project.view.map.order;
    let combo = ComboBox::from_id_salt("order").width(ORDER_WIDTH).selected_text(order_name(now));
    let r = combo.show_ui(ui, |ui| orders_ui(ui, cx, of));
    cx.out.extend(r.inner.flatten());
    let words = now.words(run.output.d_mlp);
    let hover = if words.is_empty() { "Order of the neurons within a layer: by index".to_owned() } else { words };
    r.response.accessible_name("Order of neurons").on_hover_text(hover);
}

/// The orders one under the other; the one that was chosen.
fn orders_ui(ui: &mut Ui, cx: &PanelCx<'_>, (metric, domain): (MetricKind, &str)) -> Option<Command> {
    let now = &cx.app.project.view.map.order;
    let mut options = vec![(NeuronOrder::Index, "by index".to_owned(), "Neurons stand where the checkpoint has them")];
    options.push((
        NeuronOrder::Value { metric, domain: domain.to_owned() },
        format!("by {} of {domain}", metric.label()),
        "Largest first within each layer; further maps keep this order",
    ));
    if let NeuronOrder::Value { metric: m, domain: d } = now
        && (*m != metric || d != domain)
    {
        options.push((now.clone(), format!("by {} of {d}", m.label()), "The order in force"));
    }
    options.push((
        NeuronOrder::Profile { metric },
        format!("clustered by {}", metric.label()),
        "Neurons that serve the same domains stand together (average linkage of their profiles over the domains)",
    ));
    let mut new = None;
    for (order, text, hover) in options {
        if ui.selectable_label(*now == order, text).on_hover_text(hover).clicked() && *now != order {
            new = Some(change(MapChange::Order(order)));
        }
    }
    new
}

/// That an order is being worked out, or why there is none.
fn order_state_ui(ui: &mut Ui, cx: &PanelCx<'_>) {
    match cx.app.neuron_order() {
        Some(Loading::Working) => {
            ui.spinner().on_hover_text("The order is being worked out; Esc stops it. Until then neurons stand by their index.");
        }
        Some(Loading::Stopped) => {
            ui.label(cx.theme.small("not ordered")).on_hover_text("Working out the order was stopped; choose it again to have it");
        }
        Some(Loading::Failed(message)) => {
            ui.label(RichText::new("not ordered").color(cx.theme.warn)).on_hover_text(message);
        }
        _ => {}
    }
}

/// What the columns are.
fn fold_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind) {
    let now = in_force(cx.app.project.view.map.collapse, run, metric);
    let name = folds(run, metric).iter().find(|f| f.to == now).map_or("", |f| f.name);
    let r = ComboBox::from_id_salt("collapse").width(FOLD_WIDTH).selected_text(name).show_ui(ui, |ui| folds_ui(ui, cx, run, metric));
    cx.out.extend(r.inner.flatten());
    r.response.accessible_name("Collapse the map to").on_hover_text("What the columns are: every neuron, or folded up");
}

fn folds_ui(ui: &mut Ui, cx: &PanelCx<'_>, run: &RunEntry, metric: MetricKind) -> Option<Command> {
    let now = in_force(cx.app.project.view.map.collapse, run, metric);
    let mut new = None;
    for f in folds(run, metric) {
        let ink = if f.to == now { cx.theme.text } else { cx.theme.secondary };
        let item = ui.add_enabled(f.can, Button::selectable(f.to == now, RichText::new(f.name).color(ink)));
        if item.on_hover_text(f.hover).on_disabled_hover_text(f.why_not).clicked() && f.to != now {
            new = Some(change(MapChange::Collapse(f.to)));
        }
    }
    new
}

fn links_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let send = link_buttons(ui, cx);
    cx.out.extend(send);
}

/// Whether maps share their scale, and what they show of the model.
fn link_buttons(ui: &mut Ui, cx: &PanelCx<'_>) -> Option<Command> {
    let map = &cx.app.project.view.map;
    let link = |ui: &mut Ui, own: bool, what: &str, hover: &str| {
        let icon = if own { icons::ICON_LINK_OFF } else { icons::ICON_LINK };
        let r = ui.add(Button::selectable(!own, (icon.rich_text().size(14.0), what))).on_hover_text(hover);
        r.accessible_name(format!("Link the maps' {what}")).clicked()
    };
    let mut new = None;
    if link(ui, map.own_range, "range", "Linked: all maps share one scale and one colour bar") {
        new = Some(change(MapChange::OwnRange(!map.own_range)));
    }
    if link(ui, map.own_view, "view", "Linked: panning and zooming one map moves all") {
        new = Some(change(MapChange::OwnView(!map.own_view)));
    }
    new
}
