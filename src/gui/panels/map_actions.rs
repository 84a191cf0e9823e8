//! What the pointer and the keys do in any map of neurons: read out, select, switch off, the menu of a neuron.

use super::map_controls::MapWords;
use crate::{
    app::{Command, MapChange, RunEntry},
    base::{Neuron, NeuronSet, heatmap::Scale},
    gui::{
        Ask, PanelCx,
        widgets::{heatmap_view::HeatmapOutput, number::sig3, prepared_map::PreparedMap, provenance},
    },
    report::export::View,
};
use eframe::egui::Ui;

/// A map as the pointer meets it.
pub struct Pointed<'a> {
    pub map: &'a PreparedMap,
    pub words: &'a MapWords,
    pub scale: &'a Scale,
    pub off: &'a NeuronSet,
    pub run: &'a RunEntry,
    /// `data d0d0d0d0` of what is compared, for the tooltip.
    pub data: String,
}

/// Sends what was done, writes the readout, shows menu and tooltip; gives back the coloured value under the pointer.
pub fn act_on(ui: &Ui, cx: &mut PanelCx<'_>, out: HeatmapOutput, p: &Pointed<'_>) -> Option<f32> {
    let mut hovered = None;
    if let Some(n) = out.pointed {
        hovered = p.map.grid.get(n.layer as usize, n.index as usize);
        cx.link.hover_neuron(n);
        cx.link.readout(readout(n, p));
    }
    if let Some(n) = out.clicked {
        select(cx, n, out.adding);
    }
    if let Some(neuron) = out.toggled {
        cx.send(Command::ToggleNeuron { neuron });
    }
    if let Some(neurons) = out.brushed {
        cx.send(Command::SelectNeurons { neurons });
    }
    menu_ui(&out.response, cx, out.pointed, p);
    if let Some(n) = out.pointed.filter(|_| !out.by_keys && out.response.hovered() && rests(ui)) {
        let theme = cx.theme;
        out.response.on_hover_ui_at_pointer(|ui| {
            ui.set_max_width(420.0);
            ui.label(theme.strong(format!("{n}   {}", value_words(n, p))));
            ui.label(theme.small(&p.words.what));
            ui.label(theme.small(&p.words.formula));
            ui.label(theme.small(format!("{}{}", p.data, provenance::short(&p.run.output.provenance))));
        });
    }
    hovered
}

/// `0.283 nat`, with its share or rank where layers have their own scale.
fn value_words(n: Neuron, p: &Pointed<'_>) -> String {
    let (l, i) = (n.layer as usize, n.index as usize);
    let Some(v) = p.map.measured.get(l, i).filter(|v| v.is_finite()) else { return "no value".to_owned() };
    let mut words = format!("{} {}", sig3(f64::from(v)), p.words.unit).trim_end().to_owned();
    if !p.map.per_layer().words().is_empty()
        && let Some(v) = p.map.grid.get(l, i)
    {
        words.push_str(&format!(", {} {}", sig3(f64::from(v)), p.map.per_layer().words()));
    }
    words
}

fn readout(n: Neuron, p: &Pointed<'_>) -> String {
    let off = if p.off.contains(n) { " · off" } else { "" };
    let (metric, of) = p.words.what.split_once(" of ").unwrap_or((&p.words.what, ""));
    format!("L{} N{} · {metric} {} ({of}) · {} · scale {}{off}", n.layer, n.index, value_words(n, p), p.run.name, p.scale.label())
}

/// The neuron alone, or beside what is selected.
pub fn select(cx: &mut PanelCx<'_>, n: Neuron, adding: bool) {
    let mut neurons = if adding { cx.app.project.view.selection.clone() } else { NeuronSet::new() };
    if !(adding && neurons.remove(n)) {
        neurons.insert(n);
    }
    cx.link.focus_neuron = Some(n);
    cx.send(Command::SelectNeurons { neurons });
}

fn menu_ui(response: &eframe::egui::Response, cx: &mut PanelCx<'_>, pointed: Option<Neuron>, p: &Pointed<'_>) {
    // The menu stays with the neuron it was opened on.
    let id = response.id.with("menu");
    if response.secondary_clicked() {
        response.ctx.data_mut(|d| d.insert_temp(id, pointed));
    }
    let Some(n) = response.ctx.data(|d| d.get_temp::<Option<Neuron>>(id)).flatten() else { return };
    response.context_menu(|ui| {
        ui.label(cx.theme.group(n.to_string()));
        let toggle = if p.off.contains(n) { format!("Switch {n} back on") } else { format!("Switch {n} off") };
        let pinned = cx.app.project.view.map.pinned.contains(&n.layer);
        let pin = if pinned { format!("Unpin layer {}", n.layer) } else { format!("Pin layer {} at the top", n.layer) };
        let mut done = true;
        if ui.button(toggle).clicked() {
            cx.send(Command::ToggleNeuron { neuron: n });
        } else if ui.button("Add to the selection").clicked() {
            select(cx, n, true);
        } else if ui.button(format!("Select layer {}", n.layer)).clicked() {
            let neurons = (0..p.map.grid.cols() as u32).map(|i| Neuron::new(n.layer, i)).collect();
            cx.send(Command::SelectNeurons { neurons });
        } else if ui.button(pin).clicked() {
            cx.send(Command::ChangeMap { change: MapChange::Pin { layer: n.layer, on: !pinned } });
        } else {
            done = false;
        }
        ui.separator();
        if ui.button("Copy its name").clicked() {
            cx.link.ask(Ask::Copy(n.to_string()));
            done = true;
        }
        if ui.button("Copy the map's provenance").clicked() {
            cx.link.ask(Ask::Copy(provenance::text(&p.run.output.provenance, Some(&p.words.formula))));
            done = true;
        }
        if ui.button("Export the map…").clicked() {
            cx.link.ask(Ask::Export(View::Neurons));
            done = true;
        }
        if done {
            ui.close();
        }
    });
}

/// The pointer has been still for a second: longer than for other tooltips, since this one covers cells that may be wanted next.
fn rests(ui: &Ui) -> bool {
    let still = ui.input(|i| i.pointer.time_since_last_movement());
    if still < 1.0 {
        ui.ctx().request_repaint_after_secs(1.0 - still);
    }
    still >= 1.0 && !ui.ctx().text_edit_focused()
}
