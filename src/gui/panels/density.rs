//! Density by layer and domain: the share of a layer's weights whose mean activation exceeds gamma, recounted as gamma moves: exactly where it is dragged to,
//! estimated where another value is typed.

use super::shown_run::shown_run;
use crate::{
    app::{Command, RunEntry},
    compute::{HISTOGRAM_BINS, scan_job::histogram_edge},
    gui::{
        Panel, PanelCx,
        widgets::{
            axis::Axis,
            chart::{Chart, small_font},
            control::{bar, caption, choice, choice_width, keep_together, log_slider, remark, remark_height, room_for},
            line_chart::{LineChart, Series},
            number::{count, sig3},
            recount::{self, Density},
            table::{Table, icon_button, icons_width, twin_switch},
        },
    },
    scan::{DomainScan, ScanOutput},
};
use eframe::egui::{self, Align, CursorIcon, Label, Layout, ScrollArea, Sense, Stroke, Ui, vec2};
use egui_material_icons::icons;

/// A chart lower than this, which is what six names beside it take, gets the room of the lines under it.
const LEAST: f32 = 102.0;

#[derive(Default)]
pub struct DensityPanel {
    table: bool,
    relative: bool,
}

impl Panel for DensityPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(run) = shown_run(ui, cx, icons::ICON_SHOW_CHART, "how densely each layer answers to each domain") else { return };
        let out = &*run.output;
        let scanned: Vec<&DomainScan> = out.domains.iter().filter(|d| !d.density.is_empty()).collect();
        if scanned.is_empty() {
            remark(
                ui,
                cx.theme,
                "This run holds no densities. Choose parameter activation among the metrics of the scan and run it again.",
            );
            return;
        }
        let gamma = self.gamma_ui(ui, cx, out, &scanned);
        let densities: Vec<Vec<Option<Density>>> = scanned.iter().map(|d| by_layer(out, d, gamma)).collect();
        if self.table {
            remark(ui, cx.theme, provenance(run, out, gamma, &densities));
            table(&scanned, &densities).ui(ui, cx.theme, "density");
            return;
        }
        let room = ui.available_height();
        let strip = if room > 300.0 { (room * 0.3).clamp(96.0, 150.0) } else { 0.0 };
        let source = provenance(run, out, gamma, &densities);
        // In a low panel one line says it, all of it where the pointer rests; the lowest scrolls.
        let said = remark_height(ui, &source);
        let below = [said, 16.0].into_iter().find(|h| room - strip - h - 10.0 >= LEAST);
        let size = vec2(ui.available_width(), (room - strip - below.unwrap_or(0.0) - 10.0).max(LEAST));
        let scroll = ScrollArea::vertical().scroll([false, below.is_none()]).auto_shrink([false, true]);
        scroll.show(ui, |ui| {
            let hovered = chart_ui(ui, cx, run, out, &scanned, &densities, gamma, size);
            if strip > 0.0 {
                let layer = hovered.or(cx.link.hover().layer).filter(|&l| l < out.n_layers);
                histogram_ui(ui, cx, out, &scanned, layer, gamma, strip);
            }
            if below.is_some_and(|h| h < said) {
                ui.add(Label::new(cx.theme.small(source.as_str())).truncate()).on_hover_text(source);
            } else {
                remark(ui, cx.theme, source);
            }
        });
    }
}

fn by_layer(out: &ScanOutput, d: &DomainScan, gamma: f32) -> Vec<Option<Density>> {
    let params = |l: usize| out.params_per_layer.get(l).copied().unwrap_or(0);
    (0..out.n_layers).map(|l| recount::density(d, l, params(l), out.config.gamma, gamma)).collect()
}

/// The range of gamma worth looking at: nearly all magnitudes of the run, and room around its own gamma.
fn span(out: &ScanOutput, scanned: &[&DomainScan]) -> (f64, f64) {
    let own = f64::from(out.config.gamma.max(f32::MIN_POSITIVE));
    let histograms = || scanned.iter().flat_map(|d| d.histogram.iter().map(Vec::as_slice));
    // All but the outermost of the weights: a hundredth below, a millionth above.
    let lo = recount::gamma_of_share(histograms(), 0.99).map_or(own / 64.0, f64::from);
    let hi = recount::gamma_of_share(histograms(), 1e-6).map_or(own * 64.0, f64::from);
    // Ends that a pointer can rest at.
    [lo.min(own / 8.0).max(1e-12), hi.max(own * 8.0)].map(|end| f64::from(recount::exact_near(out.config.gamma, end as f32))).into()
}

impl DensityPanel {
    /// The threshold in force, after its controls.
    fn gamma_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, out: &ScanOutput, scanned: &[&DomainScan]) -> f32 {
        let own = out.config.gamma;
        let gamma = cx.app.project.view.gamma.unwrap_or(own);
        let mut chosen = gamma;
        let own_table = &mut self.table;
        let relative = &mut self.relative;
        bar(
            ui,
            2,
            cx,
            |ui, cx| {
                caption(ui, cx.theme, "threshold γ");
                if *relative {
                    let pooled = || scanned.iter().flat_map(|d| d.histogram.iter().map(Vec::as_slice));
                    let total: u64 = pooled().flatten().sum();
                    let above: f64 = pooled().map(|h| recount::above(h, gamma)).sum();
                    let mut percent = if total > 0 { above / total as f64 * 100.0 } else { 0.0 };
                    let name = "Share of all weights above gamma, percent";
                    let response = log_slider(ui, cx.theme, &mut percent, 0.001..=100.0, 10.0, name);
                    if response.changed()
                        && let Some(g) = recount::gamma_of_share(pooled(), percent / 100.0)
                    {
                        chosen = g;
                    }
                    // One word, in the other row as a whole where this one is full.
                    let above = format!("% above γ {}", sig3(f64::from(chosen)));
                    keep_together(ui, [above.as_str()].into_iter());
                    ui.add(Label::new(above).extend())
                        .on_hover_text("Share of all weights of all shown domains whose mean activation exceeds γ");
                } else {
                    let (lo, hi) = span(out, scanned);
                    let mut value = f64::from(gamma);
                    // A shorter rail where all then stand in one row.
                    let usual = ui.spacing().slider_width;
                    let after = choice_width(ui, ["absolute", "relative"].into_iter()) + icons_width(1) + 84.0;
                    let rail = ui.available_size_before_wrap().x - after - 3.0 * ui.spacing().item_spacing.x;
                    ui.spacing_mut().slider_width = if (64.0..usual).contains(&rail) { rail } else { usual };
                    let response = log_slider(ui, cx.theme, &mut value, lo..=hi, f64::from(own), "Threshold gamma");
                    ui.spacing_mut().slider_width = usual;
                    if response.changed() {
                        chosen = value as f32;
                    }
                }
                let options = [
                    (false, "absolute", "One threshold for every model, as in the paper"),
                    (true, "relative", "A share of the pooled magnitudes: compares models whose weights differ in size"),
                ];
                choice(ui, cx.theme, relative, &options);
                let reset = format!("Back to the run's own gamma, {}", sig3(f64::from(own)));
                room_for(ui, icons_width(1));
                ui.add_enabled_ui(gamma != own, |ui| {
                    if icon_button(ui, icons::ICON_RESTART_ALT, &reset, "There the counts are exact").clicked() {
                        chosen = own;
                    }
                });
            },
            |ui, _| {
                twin_switch(ui, own_table, "density", || {
                    let densities: Vec<_> = scanned.iter().map(|d| by_layer(out, d, gamma)).collect();
                    table(scanned, &densities)
                });
            },
        );
        // A pointer does not aim at one number; a typed one stays.
        if chosen != gamma && ui.input(|i| i.pointer.any_down() || i.pointer.any_released()) {
            chosen = recount::exact_near(own, chosen);
        }
        if chosen != gamma {
            cx.send(Command::SetGamma { gamma: chosen });
        }
        chosen
    }
}

#[expect(clippy::too_many_arguments, reason = "one chart, one call")]
fn chart_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    run: &RunEntry,
    out: &ScanOutput,
    scanned: &[&DomainScan],
    densities: &[Vec<Option<Density>>],
    gamma: f32,
    size: egui::Vec2,
) -> Option<usize> {
    let series: Vec<Series> = scanned
        .iter()
        .zip(densities)
        .map(|(d, values)| Series {
            name: d.name.clone(),
            colour: cx.domain_colour(&d.name),
            values: values.iter().map(|v| v.map(|v| v.share)).collect(),
        })
        .collect();
    let highest = series.iter().flat_map(|s| s.values.iter().flatten()).copied().fold(0.0, f64::max);
    let y = Axis::around([0.0, highest.max(1e-6)], "density (share of the layer's weights above γ)");
    let forward = cx.link.hover().domain.clone();
    let marked = cx.link.hover().layer;
    let chart = LineChart { name: "Density by layer", y, series: &series, size, marked, forward: forward.as_deref() };
    let (plot, hover) = chart.show(ui, cx.theme);
    let hover = hover?;
    cx.link.hover_layer(hover.layer);
    if let Some(i) = hover.series {
        cx.link.hover_domain(&series[i].name);
        if let Some(d) = densities[i][hover.layer] {
            let params = out.params_per_layer.get(hover.layer).copied().unwrap_or(0);
            cx.link.readout(format!(
                "layer {} · density {} ({}) · {} of {} weights above {} · {}",
                hover.layer,
                sig3(d.share),
                series[i].name,
                count(d.count),
                count(params),
                sig3(f64::from(gamma)),
                run.name
            ));
        }
    } else {
        cx.link.readout(format!("layer {} · {}", hover.layer, run.name));
    }
    let theme = cx.theme;
    let source = provenance_line(out);
    plot.response.on_hover_ui_at_pointer(|ui| {
        ui.label(theme.strong(format!("Layer {}", hover.layer)));
        let mut order: Vec<usize> = (0..series.len()).collect();
        order.sort_by(|&a, &b| value(&densities[b][hover.layer]).total_cmp(&value(&densities[a][hover.layer])));
        egui::Grid::new("values").num_columns(3).spacing(vec2(12.0, 2.0)).show(ui, |ui| {
            for i in order {
                let (rect, _) = ui.allocate_exact_size(vec2(8.0, 14.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 3.5, series[i].colour);
                ui.label(&series[i].name);
                let text = densities[i][hover.layer].map_or("undefined".to_owned(), |d| sig3(d.share));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(text));
                ui.end_row();
            }
        });
        ui.label(theme.small(source));
    });
    Some(hover.layer)
}

fn provenance_line(out: &ScanOutput) -> String {
    crate::gui::widgets::provenance::short(&out.provenance)
}

fn value(d: &Option<Density>) -> f64 {
    d.map_or(-1.0, |d| d.share)
}

/// Magnitudes of the mean activation in one layer (or all), as a share of weights an octave; drag to move gamma.
fn histogram_ui(
    ui: &mut Ui,
    cx: &mut PanelCx<'_>,
    out: &ScanOutput,
    scanned: &[&DomainScan],
    layer: Option<usize>,
    gamma: f32,
    height: f32,
) {
    let (lo, hi) = span(out, scanned);
    let place = layer.map_or("all layers".to_owned(), |l| format!("layer {l}"));
    let shares: Vec<Vec<(f64, f64)>> = scanned.iter().map(|d| outline(d, layer)).collect();
    let top = shares.iter().flatten().map(|p| p.1).fold(1e-9, f64::max);
    let chart = Chart {
        name: "Magnitudes",
        x: Axis::log(lo, hi, "mean parameter activation"),
        y: Axis::linear(0.0, top * 1.05, format!("share an octave, {place} (drag to move γ)")),
        size: vec2(ui.available_width(), height),
        right: 8.0,
    };
    let spoken = || format!("{place}; gamma {}", sig3(f64::from(gamma)));
    let plot = chart.begin(ui, cx.theme, spoken);
    let painter = plot.inside();
    for (d, points) in scanned.iter().zip(&shares) {
        let colour = cx.domain_colour(&d.name);
        let faded = cx.link.hover().domain.as_ref().is_some_and(|h| *h != d.name);
        let line: Vec<_> = points.iter().map(|&(x, y)| plot.at(x, y)).collect();
        painter.line(line, Stroke::new(1.25, if faded { cx.theme.tint(colour, 0.3) } else { colour }));
    }
    plot.upright(f64::from(gamma), Stroke::new(1.5, cx.theme.text));
    // Over the curves, so on a ground of its own; at the other side of the threshold where there is no room at this one.
    let label = plot.painter.layout_no_wrap(format!("γ {}", sig3(f64::from(gamma))), small_font(), cx.theme.text);
    let at = plot.at(f64::from(gamma), top * 1.05) + vec2(4.0, 1.0);
    let at = if at.x + label.size().x <= plot.rect.right() { at } else { at - vec2(label.size().x + 8.0, 0.0) };
    plot.painter.rect_filled(egui::Rect::from_min_size(at, label.size()).expand2(vec2(2.0, 0.0)), 2.0, cx.theme.panel.gamma_multiply(0.85));
    plot.painter.galley(at, label, cx.theme.text);
    let drag = plot.response.interact(Sense::drag()).on_hover_cursor(CursorIcon::ResizeHorizontal);
    if (drag.dragged() || drag.clicked())
        && let Some(p) = drag.interact_pointer_pos()
    {
        let t = ((p.x - plot.rect.left()) / plot.rect.width()).clamp(0.0, 1.0);
        let chosen = recount::exact_near(out.config.gamma, plot.x.value(t) as f32);
        if chosen != gamma {
            cx.send(Command::SetGamma { gamma: chosen });
        }
    }
}

/// Middle of each filled bin and the share of weights an octave there. (Bins are not equally wide in octaves; the share is.)
fn outline(d: &DomainScan, layer: Option<usize>) -> Vec<(f64, f64)> {
    let mut sums = vec![0u64; HISTOGRAM_BINS];
    let layers = layer.map_or(0..d.histogram.len(), |l| l..(l + 1).min(d.histogram.len()));
    for h in &d.histogram[layers] {
        sums.iter_mut().zip(h).for_each(|(s, n)| *s += n);
    }
    let total: u64 = sums.iter().sum();
    let (Some(first), Some(last)) = (sums.iter().skip(1).position(|&n| n > 0), sums.iter().rposition(|&n| n > 0)) else {
        return Vec::new();
    };
    // Bin 0 also holds zeros and everything below the range, so it has no width.
    (first + 1..=last.max(first + 1))
        .map(|i| {
            let (a, b) = (f64::from(histogram_edge(i)), f64::from(histogram_edge(i + 1)));
            ((a * b).sqrt(), sums[i] as f64 / total.max(1) as f64 / (b / a).log2())
        })
        .collect()
}

fn provenance(run: &RunEntry, out: &ScanOutput, gamma: f32, densities: &[Vec<Option<Density>>]) -> String {
    let known = || densities.iter().flatten().flatten();
    let how = if gamma == out.config.gamma {
        "γ is the run's own: counts are exact".to_owned()
    } else if known().all(|d| d.exact) {
        "recounted from the histogram between two of its bins: counts are exact".to_owned()
    } else {
        let worst = known().map(|d| d.error).fold(0.0, f64::max);
        let (lower, upper) = recount::exact_around(out.config.gamma, gamma);
        let [lower, upper] = [lower, upper].map(|g| sig3(f64::from(g)));
        format!("estimated from the histogram, off by at most {} (the bin that holds γ); exact at {lower} and {upper}", sig3(worst))
    };
    let objective = out.provenance.objective.split(':').next().unwrap_or_default();
    format!("{} · {how} · objective {objective}, {} samples a domain", run.name, out.config.samples)
}

fn table(scanned: &[&DomainScan], densities: &[Vec<Option<Density>>]) -> Table {
    let mut t = Table::new(&[("layer", true)]);
    for d in scanned {
        t.column(&d.name, true);
    }
    for l in 0..densities.iter().map(Vec::len).max().unwrap_or(0) {
        let mut row = vec![l.to_string()];
        row.extend(densities.iter().map(|d| d[l].map_or("undefined".to_owned(), |d| sig3(d.share))));
        t.row(row);
    }
    t
}

/// For tests and the registry.
pub fn make() -> Box<dyn Panel> {
    Box::<DensityPanel>::default()
}
