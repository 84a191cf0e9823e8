//! One attention head: what it looks at, on the whole and in one text.

use super::{
    inspect_index::{index_line_ui, unknown_ui},
    inspect_parts::{export_button, remark, section, words_ui},
};
use crate::{
    app::{Command, Reading, inspect::HeadReading},
    base::{Head, heatmap::ColourMap, visible},
    gui::{
        Ask, PanelCx,
        export::Subject,
        theme,
        widgets::{number::sig3, table::icon_button},
    },
    inspect::HeadFacts,
    report::export::View,
};
use eframe::egui::{self, Align, Align2, Color32, FontId, Label, Layout, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons;

/// What is chosen in the view of a head.
pub struct HeadView {
    /// Of the index; the first at first.
    sample: usize,
    /// The text of "Try a text" instead.
    own_text: bool,
    /// Whose output is read; the last at first.
    token: usize,
}

impl Default for HeadView {
    fn default() -> Self {
        Self { sample: 0, own_text: false, token: usize::MAX }
    }
}

impl HeadView {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, head: Head) {
        let app = cx.app;
        let off = app.project.heads.contains(&head);
        ui.horizontal(|ui| {
            ui.label(cx.theme.title(head.to_string()));
            if off {
                ui.label(cx.theme.small("off"));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                if icon_button(ui, icons::ICON_CLOSE, "Leave the head", "").clicked() {
                    cx.link.focus_head = None;
                }
                export_button(ui, cx, View::Head, Subject { head: Some(head), ..Subject::default() });
                if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy its name", "").clicked() {
                    cx.link.ask(Ask::Copy(head.to_string()));
                }
            });
        });
        ui.add(Label::new(cx.theme.small(format!("blocks.{}.attn.hook_z, head {}", head.layer, head.index))).truncate());
        ui.add_space(4.0);
        let text = if off { "Switch back on" } else { "Switch off" };
        if ui.add_sized([ui.available_width(), theme::ROW], egui::Button::new(text)).clicked() {
            cx.send(Command::ToggleHead { head });
        }
        let facts = app.index().and_then(|e| Some((e, e.index.head(head)?)));
        section(ui, cx, "How far back it looks", true, |ui, cx| match &facts {
            Some((entry, facts)) => {
                offsets_ui(ui, cx, facts);
                let first =
                    format!("{} to the first token · entropy {} bits", percent(facts.first_token), sig3(f64::from(facts.entropy_bits)));
                remark(ui, cx, first);
                index_line_ui(ui, cx, entry);
            }
            None => unknown_ui(ui, cx, "head"),
        });
        if let Some((entry, facts)) = &facts {
            section(ui, cx, "Length of its output by domain", true, |ui, cx| {
                let names: Vec<&str> = entry.index.about.domains.iter().map(|d| d.name.as_str()).collect();
                value_bars_ui(ui, cx, &names, &facts.z_norm, "mean length of hook_z");
            });
        }
        if let Some(map) = app.library.scan().map(|r| &r.domains) {
            let values: Vec<(&str, f32)> = map
                .iter()
                .filter_map(|d| Some((d.name.as_str(), d.head_relevance.as_ref()?.get(head.layer as usize, head.index as usize)?)))
                .collect();
            if !values.is_empty() {
                section(ui, cx, "Relevance of the head", true, |ui, cx| {
                    let (names, values): (Vec<&str>, Vec<f32>) = values.into_iter().unzip();
                    value_bars_ui(ui, cx, &names, &values, "relevance");
                });
            }
        }
        if app.device().is_some() || app.inspection.head.found.is_some() {
            section(ui, cx, "What it looks at and writes", true, |ui, cx| self.pattern_ui(ui, cx, head));
        }
    }

    fn pattern_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, head: Head) {
        let app = cx.app;
        let samples = app.index().map_or(0, |e| e.index.n_samples());
        let typed = !app.lens.text.is_empty();
        self.own_text = (self.own_text && typed) || samples == 0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            if samples > 0 && !self.own_text {
                let last = samples - 1;
                if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Previous text", "").clicked() {
                    self.sample = self.sample.checked_sub(1).unwrap_or(last);
                }
                if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next text", "").clicked() {
                    self.sample = if self.sample >= last { 0 } else { self.sample + 1 };
                }
                self.sample = self.sample.min(last);
                if let Some(entry) = app.index() {
                    let (d, number) = entry.index.domain_of(self.sample);
                    ui.add(Label::new(cx.theme.small(format!("{} {}", entry.index.about.domains[d].name, number + 1))).truncate());
                }
            }
            if typed && samples > 0 {
                let text = if self.own_text { "A scanned text" } else { "My text" };
                if ui.button(text).on_hover_text("The text of the panel “Try a text”, or one of the samples").clicked() {
                    self.own_text = !self.own_text;
                }
            }
        });
        if samples == 0 && !typed {
            return remark(ui, cx, "Type something in “Try a text” to see what this head looks at in it.");
        }
        let reading = if self.own_text { Reading::Text(app.lens.text.clone()) } else { Reading::Sample(self.sample) };
        let asked = &app.inspection.head;
        let wish = Some((head, reading.clone()));
        if asked.wish != wish {
            cx.send(Command::ReadHead { head, reading: reading.clone() });
        }
        if let Some(why) = asked.failed.as_ref().filter(|_| asked.wish == wish) {
            return remark(ui, cx, why.clone());
        }
        match asked.found.as_deref().filter(|f| f.pattern.layer == head.layer as usize && f.reading == reading) {
            Some(found) if (head.index as usize) < found.pattern.n_heads => {
                let pointed = pattern_map_ui(ui, cx, found, head);
                self.token = pointed.unwrap_or(self.token).min(found.pieces.len().saturating_sub(1));
                ui.add_space(4.0);
                self.writes_ui(ui, cx, found, head);
            }
            _ => {
                ui.spinner();
            }
        }
    }

    /// What the head's output at one token makes likelier and less likely.
    fn writes_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, found: &HeadReading, head: Head) {
        let last = found.pieces.len().saturating_sub(1);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Previous token", "").clicked() {
                self.token = self.token.checked_sub(1).unwrap_or(last);
            }
            if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next token", "").clicked() {
                self.token = if self.token >= last { 0 } else { self.token + 1 };
            }
            let piece = found.pieces.get(self.token).map_or_else(String::new, |p| visible::alone(p));
            ui.add(Label::new(cx.theme.small(format!("what it writes at `{piece}` ({})", self.token))).truncate());
        });
        let Some(written) = found.writes.get(self.token).filter(|_| found.head == head) else {
            ui.spinner();
            return;
        };
        let more = format!(
            "mean over the vocabulary {}; length of what is written {}",
            sig3(f64::from(written.mean)),
            sig3(f64::from(written.norm))
        );
        words_ui(ui, cx, (&written.promotes, &written.suppresses), written.mean, &found.lens_formula, &more);
        let words = "hook_z through the head's part of W_O and the unembedding; final norm's gain folded in, its scale left out";
        ui.add(Label::new(cx.theme.small(words)).wrap()).on_hover_text(&found.lens_formula);
    }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn offsets_ui(ui: &mut Ui, cx: &PanelCx<'_>, facts: &HeadFacts) {
    let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 84.0), Sense::hover());
    let (p, font) = (ui.painter_at(rect), FontId::proportional(theme::SMALL));
    let plot = Rect::from_min_max(rect.min + vec2(30.0, 6.0), rect.max - vec2(2.0, 16.0));
    let n = facts.by_offset.len();
    let top = facts.by_offset.iter().copied().fold(0.0f32, f32::max).max(1e-6);
    let best = (0..n).fold(0, |b, i| if facts.by_offset[i] > facts.by_offset[b] { i } else { b });
    let name = |i: usize| if i + 1 == n { format!("{i} or more tokens back") } else { format!("{i} tokens back") };
    r.widget_info(|| {
        WidgetInfo::labeled(egui::Role::Figure, true, format!("Mean attention by distance, most {} {}", name(best), percent(top)))
    });
    p.rect_filled(plot, 2.0, cx.theme.tint(cx.theme.raised, 0.55));
    let step = plot.width() / n as f32;
    let pointed = r.hover_pos().filter(|p| plot.contains(*p)).map(|p| (((p.x - plot.left()) / step) as usize).min(n - 1));
    for (i, &v) in facts.by_offset.iter().enumerate() {
        let x = plot.left() + i as f32 * step;
        let bar = Rect::from_min_max(pos2(x, plot.bottom() - v / top * plot.height()), pos2(x + (step - 1.0).max(1.0), plot.bottom()));
        p.rect_filled(bar, 0.0, if pointed == Some(i) { cx.theme.accent } else { cx.theme.secondary });
    }
    p.text(pos2(plot.left() - 4.0, plot.top()), Align2::RIGHT_TOP, percent(top), font.clone(), cx.theme.secondary);
    p.text(pos2(plot.left() - 4.0, plot.bottom()), Align2::RIGHT_BOTTOM, "0", font.clone(), cx.theme.secondary);
    for i in [0, n / 4, n / 2, 3 * n / 4] {
        let at = pos2(plot.left() + (i as f32 + 0.5) * step, plot.bottom() + 2.0);
        p.text(at, Align2::CENTER_TOP, i.to_string(), font.clone(), cx.theme.secondary);
    }
    p.text(pos2(plot.right(), plot.bottom() + 2.0), Align2::RIGHT_TOP, "back", font, cx.theme.secondary);
    if let Some(i) = pointed {
        r.on_hover_text(format!("{}: {} of its attention", name(i), percent(facts.by_offset[i])));
    }
}

fn value_bars_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, names: &[&str], values: &[f32], what: &str) {
    let top = values.iter().map(|v| v.abs()).fold(f32::MIN_POSITIVE, f32::max);
    let font = FontId::proportional(theme::SMALL);
    for (name, &v) in names.iter().zip(values) {
        let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
        r.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("{what} for {name}: {}", sig3(f64::from(v)))));
        if r.hovered() {
            cx.link.hover_domain(name);
        }
        let p = ui.painter_at(rect);
        let mut job = egui::text::LayoutJob::simple_singleline((*name).to_owned(), font.clone(), cx.theme.text);
        job.wrap = egui::text::TextWrapping::truncate_at_width(72.0);
        let galley = p.layout_job(job);
        p.galley(pos2(rect.left(), rect.center().y - galley.size().y / 2.0), galley, cx.theme.text);
        let track = Rect::from_min_max(pos2(rect.left() + 80.0, rect.center().y - 4.0), pos2(rect.right() - 56.0, rect.center().y + 4.0));
        p.rect_filled(track, 2.0, cx.theme.raised);
        p.rect_filled(Rect::from_min_size(track.min, vec2(track.width() * v.abs() / top, track.height())), 2.0, cx.domain_colour(name));
        p.text(rect.right_center(), Align2::RIGHT_CENTER, sig3(f64::from(v)), font.clone(), cx.theme.text);
    }
}

/// Queries from top to bottom, keys from left to right; the tokens of the row and column under the pointer are written below. Gives the row that was
/// clicked.
fn pattern_map_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, found: &HeadReading, head: Head) -> Option<usize> {
    let n = found.pattern.tokens.len();
    let values = found.pattern.head(head.index as usize);
    let font = FontId::proportional(theme::SMALL);
    let label = |i: usize| visible::alone(&found.pieces[i]);
    let room = ui.available_width();
    // Labels where a row is high enough to read them.
    let names = if n <= 22 { 64.0 } else { 0.0 };
    let side = ((room - names) / n as f32).min(16.0);
    let (rect, r) = ui.allocate_exact_size(vec2(room, side * n as f32), Sense::click());
    r.widget_info(|| WidgetInfo::labeled(egui::Role::Figure, true, format!("Attention of {head} on {n} tokens")));
    let cells = Rect::from_min_size(pos2(rect.left() + names, rect.top()), vec2(side * n as f32, side * n as f32));
    let mut clicked = None;
    let p = ui.painter_at(rect.expand(1.0));
    let map = cx.app.settings.preferences.colours;
    let colour = |v: f32| {
        let [r, g, b] = map.at(f64::from(v));
        Color32::from_rgb(r, g, b)
    };
    p.rect_filled(cells, 0.0, cx.theme.tint(cx.theme.raised, 0.55));
    for q in 0..n {
        for k in 0..=q {
            let cell = Rect::from_min_size(cells.min + vec2(k as f32, q as f32) * side, vec2(side, side));
            p.rect_filled(cell, 0.0, colour(values[q * n + k]));
        }
        if names > 0.0 {
            let mut job = egui::text::LayoutJob::simple_singleline(label(q), font.clone(), cx.theme.text);
            job.wrap = egui::text::TextWrapping::truncate_at_width(names - 6.0);
            let galley = p.layout_job(job);
            let y = cells.top() + (q as f32 + 0.5) * side - galley.size().y / 2.0;
            p.galley(pos2(cells.left() - 4.0 - galley.size().x, y), galley, cx.theme.text);
        }
    }
    p.rect_stroke(cells, 0.0, cx.theme.hairline_stroke(), StrokeKind::Outside);
    let at = r.hover_pos().filter(|p| cells.contains(*p)).map(|p| {
        let c = (p - cells.min) / side;
        ((c.y as usize).min(n - 1), (c.x as usize).min(n - 1))
    });
    if let Some((q, k)) = at {
        let cell = Rect::from_min_size(cells.min + vec2(k as f32, q as f32) * side, vec2(side, side));
        p.rect_stroke(cell, 0.0, Stroke::new(1.5, cx.theme.text), StrokeKind::Outside);
        let value = sig3(f64::from(values[q * n + k]));
        let text = if k > q {
            format!("token {q} does not see token {k}")
        } else {
            format!("{head} · `{}` ({q}) looks at `{}` ({k}): {value}", label(q), label(k))
        };
        cx.link.readout(text.clone());
        clicked = r.clicked().then_some(q);
        r.on_hover_text(text);
    }
    let (bar, _) = ui.allocate_exact_size(vec2(room, 16.0), Sense::hover());
    let p = ui.painter_at(bar);
    p.text(bar.left_center(), Align2::LEFT_CENTER, "attention  0", font.clone(), cx.theme.secondary);
    let strip = Rect::from_x_y_ranges(bar.left() + 72.0..=bar.right() - 14.0, bar.center().y - 4.0..=bar.center().y + 4.0);
    for i in 0..32 {
        let w = strip.width() / 32.0;
        p.rect_filled(
            Rect::from_min_size(strip.min + vec2(i as f32 * w, 0.0), vec2(w + 0.5, strip.height())),
            0.0,
            colour(i as f32 / 31.0),
        );
    }
    p.text(bar.right_center(), Align2::RIGHT_CENTER, "1", font, cx.theme.secondary);
    debug_assert!(map != ColourMap::BlueRed);
    let mut words = "rows: the token that looks, click to read what it writes; columns: what it looks at".to_owned();
    if found.left_out > 0 {
        words.push_str(&format!("; the last {} tokens of the text are left out", found.left_out));
    }
    remark(ui, cx, words);
    clicked
}
