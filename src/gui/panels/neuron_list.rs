//! Neurons by name with their values in some domains, as many to a line as there is room for.

use crate::{
    base::Neuron,
    gui::{PanelCx, theme, widgets::number::sig3},
    scan::MetricKind,
};
use eframe::egui::{Align2, FontId, RichText, Role, ScrollArea, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Height of a line.
pub(super) const LINE: f32 = 20.0;
/// Widths of a name, and of a value with the spot of its domain.
const NAME: f32 = 72.0;
const VALUE: f32 = 96.0;
/// Between two neurons on a line.
const APART: f32 = 24.0;

/// Gives the one that was clicked: every view shows where it is.
pub(super) fn neurons_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    metric: MetricKind,
    salt: &str,
    neurons: &[(Neuron, Vec<f32>)],
    domains: &[&str],
) -> Option<Neuron> {
    if neurons.is_empty() {
        ui.label(RichText::new("None at this share.").color(cx.theme.secondary));
        return None;
    }
    let mut clicked = None;
    let width = ui.available_width();
    let n = domains.len().max(1) as f32;
    let on_a_line = (((width + APART) / (NAME + n * VALUE + APART)) as usize).clamp(1, neurons.len());
    let lines = neurons.len().div_ceil(on_a_line);
    let place = (width + APART) / on_a_line as f32 - APART;
    ScrollArea::vertical().id_salt(salt).auto_shrink([false, false]).show_rows(ui, LINE, lines, |ui, shown| {
        ui.spacing_mut().item_spacing = vec2(APART, 0.0);
        ui.spacing_mut().interact_size.y = LINE;
        for line in shown {
            ui.horizontal(|ui| {
                for neuron in neurons.iter().skip(line * on_a_line).take(on_a_line) {
                    if neuron_ui(ui, cx, metric, neuron, domains, place) {
                        clicked = Some(neuron.0);
                    }
                }
            });
        }
    });
    if let Some(n) = clicked {
        cx.link.focus_neuron = Some(n);
        cx.link.reveal = Some(n);
    }
    clicked
}

fn neuron_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    metric: MetricKind,
    (n, values): &(Neuron, Vec<f32>),
    domains: &[&str],
    width: f32,
) -> bool {
    let n = *n;
    let (rect, r) = ui.allocate_exact_size(vec2(width, LINE), Sense::click());
    let off = cx.app.project.is_off(n);
    let each: Vec<String> = domains.iter().zip(values).map(|(d, v)| format!("{d} {}", sig3(f64::from(*v)))).collect();
    let words = format!("{n}: {}{}", each.join(", "), if off { ", off" } else { "" });
    r.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
    if r.hovered() || cx.link.hover().neuron == Some(n) {
        ui.painter().rect_filled(rect, 3.0, cx.theme.raised);
    }
    if r.hovered() {
        cx.link.hover_neuron(n);
        cx.link.readout(format!("{words} · {}", metric.info().label.to_lowercase()));
    }
    let p = ui.painter();
    let ink = if off { cx.theme.secondary } else { cx.theme.text };
    let at = |x: f32| pos2(rect.left() + x, rect.center().y);
    let name = p.text(at(4.0), Align2::LEFT_CENTER, n.to_string(), FontId::monospace(12.0), ink);
    if off {
        p.hline(name.x_range(), name.center().y, Stroke::new(1.0, ink));
    }
    // Columns of figures after the name, as far apart as there is room; as many as fit.
    let column = ((width - NAME) / domains.len().max(1) as f32).clamp(44.0, VALUE);
    for (i, (v, name)) in values.iter().zip(domains).enumerate() {
        let right = NAME + column * (i as f32 + 1.0);
        if right > width + 1.0 {
            break;
        }
        if column > 72.0 {
            p.circle_filled(at(right - 64.0), 3.0, cx.domain_colour(name));
        }
        p.text(at(right), Align2::RIGHT_CENTER, sig3(f64::from(*v)), FontId::proportional(theme::BODY), cx.theme.text);
    }
    r.clicked()
}
