//! One neuron: where it fires, the texts that drive it, what it writes, what is like it, what happens without it.

use super::{
    inspect_index::{index_line_ui, index_state_ui, unknown_ui},
    inspect_parts::{export_button, remark, section, words_ui},
    inspect_without::without_ui,
};
use crate::{
    app::{Command, IndexEntry, NeuronDetails, Reading},
    base::{Neuron, NeuronSet, number, visible},
    gui::{
        Ask, PanelCx,
        export::Subject,
        theme,
        widgets::{
            control::choice,
            histograms::{HistogramRow, histograms},
            number::sig3,
            table::icon_button,
            token_strip::{StripLook, StripWord, strip_legend, token_strip},
        },
    },
    inspect::{ACTIVATION_FORMULA, Neighbour, NeuronFacts, Peak, WEIGHT_FORMULA},
    report::export::View,
    scan::{MetricKind, ScanOutput},
};
use eframe::egui::{self, Align, Align2, FontId, Label, Layout, Rect, Sense, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons;

/// What is chosen in the views of a neuron.
#[derive(Default)]
pub struct NeuronView {
    /// The smallest activations instead of the largest.
    smallest: bool,
    /// Neighbours by activation instead of by weight; of the whole model instead of the layer.
    by_activation: bool,
    in_model: bool,
    /// The text that is shown whole.
    whole: Option<(Neuron, usize)>,
}

impl NeuronView {
    /// `preview`: the pointer is over it for now, so nothing is worked out.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, n: Neuron, preview: bool) {
        head_ui(ui, cx, n, preview);
        let app = cx.app;
        let facts = app.index().and_then(|e| Some((e, e.index.neuron(n)?)));
        if !preview && app.wants_details(n) {
            cx.send(Command::InspectNeuron { neuron: n });
        }
        section(ui, cx, "Activation by domain", true, |ui, cx| match &facts {
            Some((entry, facts)) => activation_ui(ui, cx, entry, facts),
            None => unknown_ui(ui, cx, "neuron"),
        });
        if let Some((entry, facts)) = &facts {
            section(ui, cx, "Texts that drive it", true, |ui, cx| self.texts_ui(ui, cx, entry, facts, preview));
        }
        if let Some(run) = app.library.scan() {
            section(ui, cx, "Measured by the scan", true, |ui, cx| {
                for metric in
                    [MetricKind::Relevance, MetricKind::MeanActivation, MetricKind::MeanAbsActivation, MetricKind::ParamActivation]
                {
                    bars_ui(ui, cx, run, n, metric);
                }
            });
        }
        if preview {
            return;
        }
        if app.device().is_some() || app.inspection.details.contains_key(&n) {
            section(ui, cx, "What it writes", true, |ui, cx| match details(cx, n) {
                Some(d) => writes_ui(ui, cx, d),
                None => waiting_ui(ui, cx, n),
            });
            section(ui, cx, "Neurons like it", true, |ui, cx| match details(cx, n) {
                Some(d) => self.neighbours_ui(ui, cx, d),
                None => waiting_ui(ui, cx, n),
            });
        }
        section(ui, cx, "Without it", true, |ui, cx| without_ui(ui, cx, n));
        let sets: Vec<&str> = app.project.sets.iter().filter(|s| s.neurons.contains(n)).map(|s| s.name.as_str()).collect();
        if !sets.is_empty() {
            section(ui, cx, "In the sets", true, |ui, _| {
                for s in sets {
                    ui.add(Label::new(s).truncate());
                }
            });
        }
    }

    fn texts_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &IndexEntry, facts: &NeuronFacts, preview: bool) {
        let n = facts.neuron;
        let both = !facts.bottom.is_empty();
        if !both {
            self.smallest = false;
        }
        if both && !preview {
            let options =
                [(false, "largest", "The texts with the largest activations"), (true, "smallest", "Those with the smallest, below 0")];
            ui.horizontal(|ui| choice(ui, cx.theme, &mut self.smallest, &options));
        }
        let peaks = if self.smallest { &facts.bottom } else { &facts.top };
        if peaks.is_empty() {
            remark(ui, cx, "It is never above 0 in these samples.");
            return;
        }
        let largest = facts.top.iter().chain(&facts.bottom).map(|p| p.value.abs()).fold(0.0, f32::max);
        strip_legend(ui, cx.theme, largest, "activation");
        ui.add_space(2.0);
        for p in peaks.iter().take(if preview { 3 } else { peaks.len() }) {
            self.text_ui(ui, cx, entry, n, p, largest);
        }
        if preview && peaks.len() > 3 {
            remark(ui, cx, format!("and {} more", peaks.len() - 3));
        }
    }

    fn text_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &IndexEntry, n: Neuron, p: &Peak, largest: f32) {
        let app = cx.app;
        let about = &entry.index.about.domains[p.domain];
        let line = p.line.map_or(String::new(), |l| format!(" · line {l}"));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 5.0;
            let (rect, _) = ui.allocate_exact_size(vec2(8.0, 16.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 3.5, cx.domain_colour(&about.name));
            ui.add(Label::new(cx.theme.small(format!("{}{line} · token {}", about.name, p.position))).truncate());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(egui::RichText::new(sig3(f64::from(p.value))).size(theme::SMALL));
            });
        });
        let open = self.whole == Some((n, p.sample));
        let whole = app.inspection.strip.found.as_deref().filter(|s| open && s.neuron == n && s.reading == Reading::Sample(p.sample));
        let words: Vec<StripWord<'_>> = match whole {
            Some(strip) => {
                let words = strip.words.iter().enumerate();
                words.map(|(i, w)| StripWord { piece: &w.piece, value: w.value, marked: i == p.position }).collect()
            }
            None => {
                let words = p.tokens.iter().zip(&p.values).enumerate();
                words.map(|(i, (&t, &value))| StripWord { piece: entry.piece(t), value, marked: p.first + i == p.position }).collect()
            }
        };
        let first = if whole.is_some() { 0 } else { p.first };
        let look = StripLook {
            largest,
            rows: if whole.is_some() { 0 } else { 3 },
            breaks: whole.is_some(),
            cut: if whole.is_some() { (false, false) } else { (p.first > 0, p.first + p.tokens.len() < p.sample_tokens) },
        };
        let token = visible::alone(words.iter().find(|w| w.marked).map_or("", |w| w.piece));
        let spoken = format!("Text of {}, {} at {token}", about.name, sig3(f64::from(p.value)));
        let (r, pointed) = token_strip(ui, cx.theme, &words, &look, &spoken);
        if let Some(w) = pointed.map(|i| (i, &words[i])) {
            let text =
                format!("{n} · {} at token {} `{}` · {}", sig3(f64::from(w.1.value)), first + w.0, visible::alone(w.1.piece), about.name);
            cx.link.readout(text);
        }
        if r.clicked() {
            self.whole = (!open).then_some((n, p.sample));
            if !open {
                cx.send(Command::ReadNeuron { neuron: n, reading: Reading::Sample(p.sample) });
            }
        }
        if self.whole == Some((n, p.sample))
            && let Some(why) = &app.inspection.strip.failed
        {
            remark(ui, cx, why.clone());
        }
        r.on_hover_text(if whole.is_some() { "Click to fold it" } else { "Click for the whole text" });
        ui.add_space(4.0);
    }

    fn neighbours_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, d: &NeuronDetails) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            choice(
                ui,
                cx.theme,
                &mut self.by_activation,
                &[(false, "by weight", WEIGHT_FORMULA), (true, "by activation", ACTIVATION_FORMULA)],
            );
            choice(ui, cx.theme, &mut self.in_model, &[(false, "layer", "Of the same layer"), (true, "model", "Of the whole model")]);
        });
        let found = if self.by_activation {
            match &d.by_activation {
                None => return index_state_ui(ui, cx),
                Some(Err(why)) => return remark(ui, cx, why.clone()),
                Some(Ok(found)) => found,
            }
        } else {
            match &d.by_weight {
                None => {
                    ui.spinner();
                    return;
                }
                Some(found) => found,
            }
        };
        let list = if self.in_model { &found.in_model } else { &found.in_layer };
        for neighbour in list {
            neighbour_ui(ui, cx, neighbour);
        }
        let n = cx.app.index().map_or(0, |e| e.index.n_compared());
        let what =
            if self.by_activation { format!("correlation over {} tokens", number::count(n as u64)) } else { "cosine of weights".into() };
        remark(ui, cx, what);
    }
}

fn details<'a>(cx: &PanelCx<'a>, n: Neuron) -> Option<&'a NeuronDetails> {
    cx.app.inspection.details.get(&n).map(|d| &**d)
}

fn waiting_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, n: Neuron) {
    match &cx.app.inspection.details_failed {
        Some((of, why)) if *of == n => remark(ui, cx, why.clone()),
        _ => {
            ui.spinner();
        }
    }
}

fn head_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, n: Neuron, preview: bool) {
    let off = cx.app.project.is_off(n);
    ui.horizontal(|ui| {
        ui.label(cx.theme.title(n.to_string()));
        if off {
            ui.label(cx.theme.small("off"));
        }
        if preview {
            ui.label(cx.theme.small("click to keep it"));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            export_button(ui, cx, View::Neuron, Subject { neuron: Some(n), ..Subject::default() });
            if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy its name", "").clicked() {
                cx.link.ask(Ask::Copy(n.to_string()));
            }
            if !preview && icon_button(ui, icons::ICON_MY_LOCATION, "Show it in the map", "").clicked() {
                focus(cx, n);
            }
        });
    });
    ui.add(Label::new(cx.theme.small(format!("blocks.{}.mlp.hook_post[{}]", n.layer, n.index))).truncate());
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        let half = (ui.available_width() - 6.0) / 2.0;
        ui.spacing_mut().item_spacing.x = 6.0;
        let text = if off { "Switch back on" } else { "Switch off" };
        let r = ui.add_sized([half, theme::ROW], egui::Button::new(text)).on_hover_text("Space while pointing at it");
        if r.clicked() {
            cx.send(Command::ToggleNeuron { neuron: n });
        }
        let chosen = cx.app.project.view.selection.contains(n);
        let text = if chosen { "Unselect" } else { "Select" };
        let r = ui.add_sized([half, theme::ROW], egui::Button::new(text)).on_hover_text("A selection becomes a set in the map's menu");
        if r.clicked() {
            let mut neurons = cx.app.project.view.selection.clone();
            if !neurons.remove(n) {
                neurons.insert(n);
            }
            cx.link.focus_neuron = Some(n);
            cx.send(Command::SelectNeurons { neurons });
        }
    });
}

/// The inspector and the maps turn to a neuron.
pub fn focus(cx: &mut PanelCx<'_>, n: Neuron) {
    cx.link.focus_neuron = Some(n);
    cx.link.reveal = Some(n);
    cx.link.focus_head = None;
    cx.send(Command::SelectNeurons { neurons: NeuronSet::from_iter([n]) });
    cx.link.ask(Ask::ShowPanel("neurons"));
}

fn activation_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &IndexEntry, facts: &NeuronFacts) {
    let domains = &entry.index.about.domains;
    let rows: Vec<HistogramRow<'_>> = domains
        .iter()
        .zip(facts.stats.iter().zip(&facts.histogram))
        .map(|(d, (s, counts))| HistogramRow {
            name: &d.name,
            colour: cx.domain_colour(&d.name),
            counts,
            mean: s.mean,
            spoken: format!(
                "Activation in {}: mean {}, from {} to {}",
                d.name,
                sig3(f64::from(s.mean)),
                sig3(f64::from(s.min)),
                sig3(f64::from(s.max))
            ),
        })
        .collect();
    let responses = histograms(ui, cx.theme, &rows, &facts.edges, facts.turn);
    for (r, (d, s)) in responses.into_iter().zip(domains.iter().zip(&facts.stats)) {
        if r.hovered() {
            cx.link.hover_domain(&d.name);
        }
        let theme = cx.theme;
        r.on_hover_ui(|ui| {
            ui.label(theme.strong(format!("{} in {}", facts.neuron, d.name)));
            let sparsity = s.sparsity.map_or("undefined".into(), |v| sig3(f64::from(v)));
            let v = |v: f32| sig3(f64::from(v));
            ui.label(theme.small(format!(
                "{} tokens · mean {} · standard deviation {} · mean magnitude {}\nfrom {} to {} · sparsity {sparsity} (Hoyer: 0 alike everywhere, 1 at one token)",
                number::count(s.tokens as u64),
                v(s.mean),
                v(s.std),
                v(s.mean_abs),
                v(s.min),
                v(s.max)
            )));
        });
    }
    remark(ui, cx, "tokens by activation; heights log, axis linear round 0, then log");
    index_line_ui(ui, cx, entry);
}

fn writes_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, d: &NeuronDetails) {
    let more = format!("mean over the vocabulary {}, standard deviation {}", sig3(f64::from(d.lens.mean)), sig3(f64::from(d.lens.std)));
    words_ui(ui, cx, (&d.promotes, &d.suppresses), d.lens.mean, &d.lens_formula, &more);
    let r = ui.add(Label::new(cx.theme.small("logit per unit of activation, final norm's gain folded in, its scale left out")).wrap());
    r.on_hover_text(&d.lens_formula);
}

fn neighbour_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, neighbour: &Neighbour) {
    let n = neighbour.neuron;
    let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::click());
    let value = format!("{:.2}", neighbour.likeness);
    r.widget_info(|| WidgetInfo::labeled(egui::Role::Button, true, format!("{n}, {value}")));
    let p = ui.painter_at(rect);
    if r.hovered() || r.has_focus() {
        p.rect_filled(rect, 3.0, cx.theme.raised);
    }
    let body = FontId::proportional(theme::BODY);
    let ink = if cx.app.project.is_off(n) { cx.theme.secondary } else { cx.theme.text };
    p.text(pos2(rect.left() + 4.0, rect.center().y), Align2::LEFT_CENTER, n.to_string(), body.clone(), ink);
    let track = Rect::from_min_max(pos2(rect.left() + 84.0, rect.center().y - 3.0), pos2(rect.right() - 46.0, rect.center().y + 3.0));
    p.rect_filled(track, 2.0, cx.theme.tint(cx.theme.raised, 1.0));
    let bar = Rect::from_min_size(track.min, vec2(track.width() * neighbour.likeness.abs().min(1.0), track.height()));
    p.rect_filled(bar, 2.0, cx.theme.secondary);
    p.text(pos2(rect.right() - 4.0, rect.center().y), Align2::RIGHT_CENTER, value, body, cx.theme.text);
    if r.clicked() {
        focus(cx, n);
    }
    r.on_hover_text(format!("Click to turn to {n}"));
}

/// A metric of one neuron over all domains: name, bar and value.
fn bars_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, run: &ScanOutput, n: Neuron, metric: MetricKind) {
    let at = |d: &crate::scan::DomainScan| d.map(metric).and_then(|g| g.get(n.layer as usize, n.index as usize));
    let values: Vec<(&str, f32)> = run.domains.iter().filter_map(|d| Some((d.name.as_str(), at(d)?))).collect();
    let top = values.iter().map(|(_, v)| v.abs()).filter(|v| v.is_finite()).fold(0.0f32, f32::max);
    if values.is_empty() {
        return;
    }
    let info = metric.info();
    ui.add_space(4.0);
    let title = if info.unit.is_empty() { info.label.to_owned() } else { format!("{} ({})", info.label, info.unit) };
    ui.add(Label::new(cx.theme.small(title)).truncate()).on_hover_text(format!("{}\n{}", info.formula, info.source));
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
