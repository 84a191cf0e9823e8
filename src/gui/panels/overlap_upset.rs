//! The UpSet view of the overlap panel: a column is clicked, its neurons are selected, and can be made a set.

use super::{neuron_list::neurons_ui, overlap_found::Found};
use crate::{
    app::{Command, RunEntry},
    base::{
        Neuron, NeuronSet,
        overlap::{Intersection, MOST_SETS},
    },
    gui::{
        PanelCx,
        widgets::{
            chart::small_width,
            control::{keep_together, remark},
            number::{counted, sig3},
            table::{Table, icon_button},
            upset::{Upset, rows_height},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{Color32, Label, Popup, ScrollArea, Ui, vec2};
use egui_material_icons::icons;
use std::sync::Arc;

#[derive(Clone, Copy, Default, PartialEq)]
enum Order {
    #[default]
    Size,
    Degree,
    /// How far beyond what chance gives.
    Surprise,
}

#[derive(Default)]
pub struct UpsetState {
    order: Order,
    /// Sets that meet in the selected column.
    selected: Option<Vec<usize>>,
    listed: Option<Listed>,
}

/// Neurons of the selected column with their values in its domains, strongest first.
struct Listed {
    found: Arc<Found>,
    members: Vec<usize>,
    neurons: Vec<(Neuron, Vec<f32>)>,
}

fn ordered(found: &Found, order: Order) -> Vec<&Intersection> {
    let mut columns: Vec<&Intersection> = found.upset.iter().collect();
    // They come by size; sorts are stable.
    match order {
        Order::Size => {}
        Order::Degree => columns.sort_by_key(|c| c.members.len()),
        Order::Surprise => {
            let ratio = |c: &Intersection| c.neurons.len() as f64 / c.expected.max(1e-12);
            columns.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
        }
    }
    columns
}

fn words_of(found: &Found, members: &[usize]) -> String {
    let names: Vec<&str> = members.iter().map(|&i| found.top.names[i].as_str()).collect();
    if names.len() == found.top.names.len() { "all domains".to_owned() } else { format!("only {}", names.join(" and ")) }
}

/// In which order columns stand, each with its name and what it means.
const ORDERS: [(Order, &str, &str); 3] = [
    (Order::Size, "by size", "The largest first"),
    (Order::Degree, "by number of domains", "Those of one domain first, then of two, and so on"),
    (Order::Surprise, "beyond chance", "By how many times the size that chance gives"),
];

impl UpsetState {
    /// The order of the columns, behind one icon.
    pub fn order_ui(&mut self, ui: &mut Ui) {
        let name = ORDERS.iter().find(|o| o.0 == self.order).map_or("", |o| o.1);
        let r = icon_button(ui, icons::ICON_SORT, "Order of the columns", name);
        Popup::menu(&r).show(|ui| {
            for (order, name, hover) in ORDERS {
                if ui.selectable_label(self.order == order, name).on_hover_text(hover).clicked() {
                    self.order = order;
                }
            }
        });
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind, found: &Arc<Found>) {
        let top = &found.top;
        if top.names.len() > MOST_SETS {
            remark(ui, cx.theme, format!("The first {MOST_SETS} of {} domains", top.names.len()));
        }
        let columns = ordered(found, self.order);
        if columns.is_empty() {
            remark(ui, cx.theme, "No neuron is in any set at this share.");
            return;
        }
        let sets: Vec<(String, Color32, usize)> =
            top.names.iter().zip(&top.sets).map(|(name, set)| (name.clone(), cx.domain_colour(name), set.len())).collect();
        let room = ui.available_size();
        // The list below keeps some lines where there is height for both.
        let list = if room.y > rows_height(sets.len()) + 330.0 { (room.y * 0.34).clamp(110.0, 260.0) } else { 0.0 };
        let selected = self.selected.as_ref().and_then(|s| columns.iter().position(|c| c.members == *s));
        let marked = cx.link.hover().domain.as_deref().and_then(|d| top.names.iter().position(|n| n == d));
        let foot = if room.y < 230.0 { 18.0 } else { 28.0 };
        let plot = Upset { sets: &sets, columns: &columns, selected, marked, size: vec2(room.x, room.y - list - foot) };
        // Where there is less height than rows and bars need, it scrolls.
        let height = room.y - list - foot;
        let scroll = ScrollArea::vertical().id_salt("upset").max_height(height.max(60.0)).auto_shrink([false, true]);
        let out = scroll.show(ui, |ui| plot.show(ui, cx.theme)).inner;
        if let Some(i) = out.hovered_set {
            cx.link.hover_domain(&top.names[i]);
            cx.link.readout(format!(
                "{} · {} in its top {} %",
                top.names[i],
                counted(sets[i].2 as u64, "neuron"),
                sig3(cx.app.project.view.top_percent)
            ));
        }
        if let Some(c) = out.hovered.map(|k| columns[k]) {
            cx.link.readout(format!(
                "{} · {} · {} by chance · top {} % by {} · {}",
                words_of(found, &c.members),
                counted(c.neurons.len() as u64, "neuron"),
                sig3(c.expected),
                sig3(cx.app.project.view.top_percent),
                metric.label(),
                run.name
            ));
        }
        if let Some(c) = out.clicked.map(|k| columns[k]) {
            self.selected = Some(c.members.clone());
            cx.send(Command::SelectNeurons { neurons: c.neurons.iter().map(|&n| top.neuron(n)).collect() });
        }
        let Some(c) = self.selected.as_ref().and_then(|s| found.upset.iter().find(|c| c.members == *s)) else {
            let words = "Click a column to select its neurons. Orange: by chance.";
            let words = if small_width(ui, words) <= ui.available_width() { words } else { "Click a column. Orange: by chance." };
            ui.add(Label::new(cx.theme.small(words)).truncate())
                .on_hover_text("The size that chance gives, with as many neurons of each domain in each layer");
            return;
        };
        self.column_ui(ui, cx, run, metric, found, c, list > 0.0);
    }

    #[expect(clippy::too_many_arguments, reason = "one column, one call")]
    fn column_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        metric: MetricKind,
        found: &Arc<Found>,
        c: &Intersection,
        listed: bool,
    ) {
        let top = &found.top;
        let percent = sig3(cx.app.project.view.top_percent);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let words = format!("{} in {}", counted(c.neurons.len() as u64, "neuron"), words_of(found, &c.members));
            ui.add(Label::new(cx.theme.strong(words)).truncate());
            keep_together(ui, ["Make a set"].into_iter());
            let set = || -> NeuronSet { c.neurons.iter().map(|&n| top.neuron(n)).collect() };
            let names: Vec<String> = c.members.iter().map(|&i| top.names[i].clone()).collect();
            let source = || format!("top {percent} % {} of exactly {}, {}", metric.label(), names.join(" and "), run.name);
            let name = || if names.len() == 1 { format!("only {}", names[0]) } else { names.join(" ∩ ") };
            if ui.small_button("Make a set").on_hover_text("A set of its own, switched off in the ablation until you spare it").clicked() {
                cx.send(Command::AddSet { name: name(), neurons: set(), source: source(), chosen_on: names.clone() });
            }
        });
        if !listed {
            return;
        }
        if !self.listed.as_ref().is_some_and(|l| Arc::ptr_eq(&l.found, found) && l.members == c.members) {
            let maps: Vec<_> = c.members.iter().filter_map(|&i| run.output.domain(&top.names[i])?.map(metric)).collect();
            let value = |g: &crate::base::Grid, n: Neuron| g.get(n.layer as usize, n.index as usize).unwrap_or(f32::NAN);
            let each = |&flat: &u32| {
                let n = top.neuron(flat);
                (n, maps.iter().map(|g| value(g, n)).collect::<Vec<f32>>())
            };
            let mut neurons: Vec<(Neuron, Vec<f32>)> = c.neurons.iter().map(each).collect();
            let least = |v: &[f32]| v.iter().copied().fold(f32::INFINITY, f32::min);
            neurons.sort_by(|x, y| least(&y.1).total_cmp(&least(&x.1)).then(x.0.cmp(&y.0)));
            self.listed = Some(Listed { found: found.clone(), members: c.members.clone(), neurons });
        }
        let Some(l) = &self.listed else { return };
        let domains: Vec<&str> = c.members.iter().map(|&i| top.names[i].as_str()).collect();
        if let Some(n) = neurons_ui(ui, cx, metric, "neurons of the column", &l.neurons, &domains) {
            cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([n]) });
        }
    }
}

pub fn upset_table(found: &Found) -> Table {
    let mut table = Table::new(&[("in exactly", false), ("domains", true), ("neurons", true), ("by chance", true), ("times chance", true)]);
    for c in &found.upset {
        let names: Vec<&str> = c.members.iter().map(|&i| found.top.names[i].as_str()).collect();
        let n = c.neurons.len();
        let ratio = if c.expected > 0.0 { sig3(n as f64 / c.expected) } else { "undefined".to_owned() };
        table.row(vec![names.join(" and "), c.members.len().to_string(), n.to_string(), sig3(c.expected), ratio]);
    }
    table
}
