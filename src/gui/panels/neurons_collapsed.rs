//! The neuron map folded up: one number a layer and domain, heads, or attention beside MLP. A click unfolds it again.

use super::{
    map_controls::{MapWords, scale_kind},
    neurons::Shown,
};
use crate::{
    app::{Collapse, Command, MapChange, RunEntry},
    base::{
        Grid, Head, Neuron, NeuronSet,
        heatmap::{ColourMap, Combine, PerLayer, Reduce, Scale},
    },
    gui::{
        PanelCx,
        widgets::{
            control::choice,
            heatmap_view::{Columns, HeatmapInput, HeatmapView},
            legend::{self, Legend},
            number::sig3,
            prepared_map::{MapSource, Maps},
            table::{Table, twin_switch},
        },
    },
    scan::{DomainScan, MetricKind},
};
use eframe::egui::{Ui, vec2};
use std::sync::{Arc, mpsc};

/// One way to fold the map up.
pub struct Fold {
    pub to: Collapse,
    pub name: &'static str,
    pub hover: &'static str,
    /// Whether the run has what it takes, and why not.
    pub can: bool,
    pub why_not: &'static str,
}

/// What the columns may be, for the chosen metric; what the run has not is among them with the reason.
pub fn folds(run: &RunEntry, metric: MetricKind) -> [Fold; 4] {
    let fold = |to, name, hover, why_not| Fold { to, name, hover, can: in_force(to, run, metric) == to, why_not };
    [
        fold(Collapse::Neurons, "neurons", "Every neuron", ""),
        fold(Collapse::Layers, "layers", "One number a layer, all domains beside each other", ""),
        fold(
            Collapse::Heads,
            "heads",
            "Relevance of every attention head",
            "Heads have a relevance only: choose it, in a run that measured it",
        ),
        fold(
            Collapse::Modules,
            "modules",
            "Attention (sum over heads) beside MLP (sum over neurons), by layer",
            "Runs keep relevance by head and by neuron, and densities by block: choose relevance, in a run that measured it",
        ),
    ]
}

/// What can be shown of what was chosen.
pub fn in_force(wanted: Collapse, run: &RunEntry, metric: MetricKind) -> Collapse {
    let heads = metric == MetricKind::Relevance && run.output.domains.iter().any(|d| d.head_relevance.is_some());
    match wanted {
        Collapse::Heads | Collapse::Modules if !heads => Collapse::Neurons,
        c => c,
    }
}

/// All that decides the folded map.
#[derive(Clone, PartialEq)]
struct Key {
    run: usize,
    metric: MetricKind,
    collapse: Collapse,
    reduce: Reduce,
    /// Of [`Reduce::ShareOnTop`], else 0.
    top_percent: f64,
    domain: String,
    minus: Option<String>,
    combine: Combine,
}

struct Folded {
    grid: Grid,
    columns: Vec<String>,
}

#[derive(Default)]
pub struct CollapsedMap {
    view: HeatmapView,
    maps: Maps,
    done: Option<(Key, Arc<Folded>)>,
    working: Option<(Key, mpsc::Receiver<Folded>)>,
    table_shown: bool,
}

impl CollapsedMap {
    /// Draws the folded map where one is asked for; `false`: every neuron is to be shown.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, shown: &Shown<'_>, metric: MetricKind) -> bool {
        let view = &cx.app.project.view;
        let collapse = in_force(view.map.collapse, run, metric);
        if collapse == Collapse::Neurons {
            return false;
        }
        let reduce = if collapse == Collapse::Layers { view.map.reduce } else { Reduce::Sum };
        let top_percent = view.top_percent;
        let key = Key {
            run: Arc::as_ptr(&run.output) as usize,
            metric,
            collapse,
            reduce,
            top_percent: if reduce == Reduce::ShareOnTop { top_percent } else { 0.0 },
            domain: shown.domain.to_owned(),
            minus: shown.minus.map(str::to_owned),
            combine: view.map.combine,
        };
        let folded = self.folded(ui, run, &key);
        ui.horizontal(|ui| {
            if collapse == Collapse::Layers {
                let mut chosen = reduce;
                let options = [
                    (Reduce::Mean, "mean", "Mean of the layer's neurons"),
                    (Reduce::Max, "max", "The value of largest magnitude"),
                    (Reduce::Sum, "sum", "Sum over the layer's neurons"),
                    (
                        Reduce::ShareOnTop,
                        "share on top",
                        "Share of the layer's neurons among the model's top share, set beside the neuron map",
                    ),
                ];
                if choice(ui, cx.theme, &mut chosen, &options) {
                    cx.send(Command::ChangeMap { change: MapChange::Reduce(chosen) });
                }
            }
            if let Some(folded) = &folded {
                twin_switch(ui, &mut self.table_shown, "folded map", || table(folded, collapse));
            }
        });
        let Some(folded) = folded else {
            ui.centered_and_justified(|ui| ui.spinner());
            return true;
        };
        if self.table_shown {
            table(&folded, collapse).ui(ui, cx.theme, "folded map");
            return true;
        }
        let Some(map) = self.maps.get(ui.ctx(), &MapSource { per_layer: PerLayer::None, ..MapSource::plain(&folded.grid) }) else {
            return true;
        };
        self.maps.sweep();
        let compared = shown.minus.map(|m| (m, view.map.combine));
        let of = if collapse == Collapse::Layers { "each domain" } else { shown.domain };
        let mut words = MapWords::of(metric, of, compared, PerLayer::None);
        let more = match collapse {
            Collapse::Layers => reduce.words(top_percent),
            Collapse::Heads => "by head (attn.hook_z)".to_owned(),
            _ => "sum over heads, sum over neurons".to_owned(),
        };
        words.name = format!("{}, {more}", words.name);
        words.what = format!("{}, {more}", words.what);
        let share = collapse == Collapse::Layers && reduce == Reduce::ShareOnTop;
        let unit = if share { "share" } else { words.unit };
        let signed = map.summary(100.0).min < 0.0 || (compared.is_some() && !share);
        let scale = Scale::fit(&map.summary(view.map.percentile), scale_kind(view.scale), signed);
        let colours = if signed { ColourMap::BlueRed } else { cx.app.settings.preferences.colours };
        let hover = cx.link.hover().clone();
        let off: NeuronSet = match collapse {
            Collapse::Heads => cx.app.project.heads.iter().map(|h| Neuron::new(h.layer, h.index)).collect(),
            _ => NeuronSet::new(),
        };
        let none = NeuronSet::new();
        let mut hovered = None;
        let height = (ui.available_height() - legend::HEIGHT - 4.0).max(60.0);
        ui.allocate_ui(vec2(ui.available_width(), height), |ui| {
            let input = HeatmapInput {
                map: &map,
                scale,
                colours,
                off: &off,
                selected: &none,
                marks_version: cx
                    .app
                    .project
                    .heads
                    .iter()
                    .fold(7, |h: u64, x| h.wrapping_mul(31).wrapping_add(u64::from(x.layer) << 16 | u64::from(x.index))),
                what: &words.what,
                unit,
                columns: if collapse == Collapse::Heads { Columns::Heads } else { Columns::Named(&folded.columns) },
                ordered: "",
                bare: false,
                pinned: &[],
                crosshair: false,
                hovered_layer: hover.layer,
                hovered_neuron: None,
                reveal: None,
            };
            let out = self.view.ui(ui, cx.theme, cx.gpu, &input);
            if let Some(n) = out.pointed {
                hovered = map.grid.get(n.layer as usize, n.index as usize);
                cx.link.hover_layer(n.layer as usize);
                if let Some(name) = folded.columns.get(n.index as usize).filter(|_| collapse == Collapse::Layers) {
                    cx.link.hover_domain(name);
                }
                let value = hovered.filter(|v| v.is_finite()).map_or_else(|| "no value".to_owned(), |v| sig3(f64::from(v)));
                cx.link.readout(format!("{} · {} {value} {unit} · {}", input.columns.name(n), words.what, run.name));
            }
            if let Some(n) = out.clicked {
                match collapse {
                    Collapse::Heads => {
                        let head = Head { layer: n.layer, index: n.index };
                        cx.link.focus_head = Some(head);
                        cx.send(Command::ToggleHead { head });
                    }
                    Collapse::Layers => {
                        if let Some(domain) = folded.columns.get(n.index as usize) {
                            cx.send(Command::ShowDomain { domain: Some(domain.clone()), minus: view.minus.clone() });
                        }
                        cx.send(Command::ChangeMap { change: MapChange::Collapse(Collapse::Neurons) });
                    }
                    _ => cx.send(Command::ChangeMap {
                        change: MapChange::Collapse(if n.index == 0 { Collapse::Heads } else { Collapse::Neurons }),
                    }),
                }
            }
            if let Some(n) = out.toggled.filter(|_| collapse == Collapse::Heads) {
                cx.send(Command::ToggleHead { head: Head { layer: n.layer, index: n.index } });
            }
            let hint = match collapse {
                Collapse::Heads => "Click a head to switch it off or back on; the inspector shows what it looks at",
                Collapse::Layers => "Click a cell to see the domain's neurons",
                _ => "Click to see the heads, or the neurons",
            };
            out.response.on_hover_text(hint);
        });
        let non_finite = map.summary(100.0).non_finite > 0;
        let _ = Legend { name: &words.name, unit, scale: &scale, map: colours, has_nan: non_finite, hovered }.show(ui, cx.theme);
        true
    }

    fn folded(&mut self, ui: &Ui, run: &RunEntry, key: &Key) -> Option<Arc<Folded>> {
        if let Some((k, receive)) = &self.working
            && let Ok(folded) = receive.try_recv()
        {
            self.done = Some((k.clone(), Arc::new(folded)));
            self.working = None;
        }
        if let Some((k, folded)) = &self.done
            && k == key
        {
            return Some(folded.clone());
        }
        if run.output.n_layers * run.output.d_mlp <= 100_000 {
            let folded = Arc::new(fold(&run.output.domains, run.output.n_layers, key));
            self.done = Some((key.clone(), folded.clone()));
            return Some(folded);
        }
        if self.working.is_none() {
            let (send, receive) = mpsc::channel();
            let (scan, own, ctx) = (run.output.clone(), key.clone(), ui.ctx().clone());
            std::thread::spawn(move || {
                // The panel may be gone.
                let _ = send.send(fold(&scan.domains, scan.n_layers, &own));
                ctx.request_repaint();
            });
            self.working = Some((key.clone(), receive));
        }
        None
    }
}

fn fold(domains: &[DomainScan], layers: usize, key: &Key) -> Folded {
    let minus = key.minus.as_ref().and_then(|m| domains.iter().find(|d| d.name == *m));
    let compared = |own: &Grid, other: Option<&Grid>| match other {
        Some(other) => key.combine.of(own, other).unwrap_or_else(|_| own.clone()),
        None => own.clone(),
    };
    let shown = domains.iter().find(|d| d.name == key.domain);
    let column = |grid: &Grid, reduce: Reduce| -> Vec<f32> {
        reduce.of(grid, key.top_percent).into_iter().map(|v| v.map_or(f32::NAN, |v| v as f32)).collect()
    };
    let from_columns = |columns: Vec<(String, Vec<f32>)>| {
        let values: Vec<f32> = (0..layers).flat_map(|l| columns.iter().map(move |c| c.1.get(l).copied().unwrap_or(f32::NAN))).collect();
        let grid = Grid::new(layers, columns.len(), values).unwrap_or_else(|_| Grid::zeros(0, 0));
        Folded { grid, columns: columns.into_iter().map(|c| c.0).collect() }
    };
    match key.collapse {
        Collapse::Heads => {
            let grid = shown.and_then(|d| Some(compared(d.head_relevance.as_ref()?, minus.and_then(|m| m.head_relevance.as_ref()))));
            Folded { grid: grid.unwrap_or_else(|| Grid::zeros(0, 0)), columns: Vec::new() }
        }
        Collapse::Modules => {
            // Sums first: a module's number is compared, not the mean of its parts' comparisons.
            let sums = |d: Option<&DomainScan>, heads: bool| {
                let map = d.and_then(|d| if heads { d.head_relevance.as_ref() } else { d.relevance.as_ref() })?;
                let sums = column(map, Reduce::Sum);
                Grid::new(sums.len(), 1, sums).ok()
            };
            let of = |heads: bool| {
                sums(shown, heads).map(|own| compared(&own, sums(minus, heads).as_ref()).values().to_vec()).unwrap_or_default()
            };
            from_columns(vec![("attention".into(), of(true)), ("MLP".into(), of(false))])
        }
        Collapse::Layers | Collapse::Neurons => {
            let minus_map = minus.and_then(|m| m.map(key.metric));
            let others = domains.iter().filter(|d| minus.is_none_or(|m| m.name != d.name));
            let column = |d: &DomainScan| Some((d.name.clone(), column(&compared(d.map(key.metric)?, minus_map), key.reduce)));
            from_columns(others.filter_map(column).collect())
        }
    }
}

fn table(folded: &Folded, collapse: Collapse) -> Table {
    let mut table = Table::new(&[("layer", true)]);
    for i in 0..folded.grid.cols() {
        let name = folded.columns.get(i).cloned().unwrap_or_else(|| format!("{}{i}", if collapse == Collapse::Heads { "H" } else { "" }));
        table.column(name, true);
    }
    for l in 0..folded.grid.rows() {
        let values = folded.grid.row(l).iter().map(|v| if v.is_finite() { sig3(f64::from(*v)) } else { "–".to_owned() });
        table.row(std::iter::once(l.to_string()).chain(values).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(collapse: Collapse, reduce: Reduce, minus: Option<&str>) -> Key {
        Key {
            run: 0,
            metric: MetricKind::Relevance,
            collapse,
            reduce,
            top_percent: 25.0,
            domain: "a".into(),
            minus: minus.map(str::to_owned),
            combine: Combine::Difference,
        }
    }

    fn domains() -> Vec<DomainScan> {
        let grid = |cols: usize, v: &[f32]| Grid::new(v.len() / cols, cols, v.to_vec()).ok();
        let domain = |name: &str, neurons: &[f32], heads: &[f32]| DomainScan {
            name: name.into(),
            relevance: grid(2, neurons),
            head_relevance: grid(1, heads),
            ..DomainScan::default()
        };
        vec![domain("a", &[1.0, 3.0, 5.0, 7.0], &[10.0, 20.0]), domain("b", &[1.0, 1.0, 1.0, 1.0], &[1.0, 2.0])]
    }

    #[test]
    fn layers_stand_beside_each_other_by_domain() {
        let f = fold(&domains(), 2, &key(Collapse::Layers, Reduce::Mean, None));
        assert_eq!((f.columns.as_slice(), f.grid.values()), (["a".to_owned(), "b".to_owned()].as_slice(), [2.0, 1.0, 6.0, 1.0].as_slice()));
        let f = fold(&domains(), 2, &key(Collapse::Layers, Reduce::Max, Some("b")));
        assert_eq!((f.columns.as_slice(), f.grid.values()), (["a".to_owned()].as_slice(), [2.0, 6.0].as_slice()));
        // One of four neurons is the top 25 %: L1N1.
        let f = fold(&domains(), 2, &key(Collapse::Layers, Reduce::ShareOnTop, Some("b")));
        assert_eq!(f.grid.values(), [0.0, 0.5]);
    }

    #[test]
    fn modules_sum_heads_and_neurons_before_they_are_compared() {
        let f = fold(&domains(), 2, &key(Collapse::Modules, Reduce::Sum, None));
        assert_eq!(f.grid.values(), [10.0, 4.0, 20.0, 12.0]);
        let f = fold(&domains(), 2, &key(Collapse::Modules, Reduce::Sum, Some("b")));
        assert_eq!(f.grid.values(), [9.0, 2.0, 18.0, 10.0]);
        let f = fold(&domains(), 2, &key(Collapse::Heads, Reduce::Sum, Some("b")));
        assert_eq!(f.grid.values(), [9.0, 18.0]);
        assert_eq!(table(&f, Collapse::Heads).tsv(), "layer\tH0\n0\t9.00\n1\t18.0");
    }
}
