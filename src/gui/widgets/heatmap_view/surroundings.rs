//! What is drawn over and beside the cells: names of layers and columns, crosshair, outlines, flash, brush.

use super::{
    Columns, HeatmapInput,
    input::value_words,
    place::Place,
    view::{CAPTION, PIN_RULE},
};
use crate::{
    base::Neuron,
    gui::{Theme, theme, widgets::axis::nice_step},
};
use eframe::egui::{
    Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, StrokeKind, Ui, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};
use std::time::Duration;

/// Seconds that a neuron flashes after it was looked for.
const FLASH: f32 = 1.5;

/// What surrounds one picture of a map.
pub struct Surroundings<'a> {
    pub theme: &'a Theme,
    pub input: &'a HeatmapInput<'a>,
    pub place: &'a Place<'a>,
    /// Of layers that stay at the top.
    pub pins: &'a [Place<'a>],
    /// The cells and the room beside them.
    pub outer: Rect,
    pub under: Option<Neuron>,
}

fn font() -> FontId {
    FontId::proportional(theme::SMALL)
}

impl Surroundings<'_> {
    /// Names of layers at the left, of columns below.
    pub fn axes(&self, ui: &Ui) {
        // Names of low layers stand out over the map's ends.
        let p = ui.painter_at(self.outer.expand2(vec2(2.0, 6.0)));
        let marked = self.under.map(|n| n.layer as usize).or(self.input.hovered_layer);
        self.layers(&p, marked);
        self.pinned(&p, marked);
        match self.input.columns {
            _ if self.input.bare => {}
            Columns::Named(names) => self.names(&p, names),
            Columns::Neurons | Columns::Heads => self.ticks(&p),
        }
        if !self.input.bare {
            self.caption(&p);
        }
    }

    fn layers(&self, p: &Painter, marked: Option<usize>) {
        let Place { rect, window, shape, .. } = *self.place;
        let row = f64::from(rect.height()) / window.height;
        let every = (14.0 / row).ceil().max(1.0) as usize;
        for l in (0..shape.0).filter(|l| l % every == 0 || Some(*l) == marked) {
            let y = rect.top() + ((l as f64 + 0.5 - window.y) * row) as f32;
            if y < rect.top() || y > rect.bottom() {
                continue;
            }
            let is = marked == Some(l);
            if !is && marked.is_some_and(|m| m.abs_diff(l) < every && m % every != 0) {
                continue;
            }
            self.layer(p, pos2(rect.left(), y), l, is);
        }
        if let Some(l) = marked {
            let y = |at: f64| rect.top() + ((at - window.y) * row) as f32;
            let band = Rect::from_x_y_ranges(rect.left() - 3.0..=rect.left() - 1.0, y(l as f64)..=y(l as f64 + 1.0))
                .intersect(rect.expand2(vec2(4.0, 0.0)));
            p.rect_filled(band, 0.0, self.theme.text);
        }
    }

    fn layer(&self, p: &Painter, at: Pos2, layer: usize, marked: bool) {
        let ink = if marked { self.theme.text } else { self.theme.secondary };
        p.text(at - vec2(6.0, 0.0), Align2::RIGHT_CENTER, format!("L{layer}"), font(), ink);
    }

    fn pinned(&self, p: &Painter, marked: Option<usize>) {
        for pin in self.pins {
            let layer = pin.window.y as usize;
            self.layer(p, pin.rect.left_center(), layer, marked == Some(layer));
        }
        if let Some(last) = self.pins.last() {
            let y = last.rect.bottom() + PIN_RULE / 2.0;
            // Beside it stand the names of layers, which are higher than low rows.
            p.hline(self.place.rect.x_range(), y, Stroke::new(1.0, self.theme.accent));
        }
    }

    fn names(&self, p: &Painter, names: &[String]) {
        let Place { rect, window, .. } = *self.place;
        let cell = f64::from(rect.width()) / window.width;
        for (i, name) in names.iter().enumerate() {
            let x = rect.left() + ((i as f64 + 0.5 - window.x) * cell) as f32;
            let is = self.under.is_some_and(|n| n.index as usize == i);
            let ink = if is { self.theme.text } else { self.theme.secondary };
            let text = truncated(p, name.clone(), (cell as f32 - 4.0).max(12.0), ink);
            if rect.x_range().contains(x) {
                p.galley(pos2(x - text.size().x / 2.0, rect.bottom() + 4.0), text, ink);
            }
        }
    }

    /// Numbers of neurons, heads or places.
    fn ticks(&self, p: &Painter) {
        let Self { theme, input, outer, .. } = *self;
        let Place { rect, window, shape, .. } = *self.place;
        let cell = f64::from(rect.width()) / window.width;
        let step = nice_step(window.width / f64::from((rect.width() / 72.0).max(2.0))).max(1.0);
        let first = (window.x / step).ceil() as i64;
        let mut taken = None;
        if let Some(n) = self.under {
            let x = rect.left() + ((f64::from(self.place.place(n)) + 0.5 - window.x) * cell) as f32;
            let letter = if input.columns == Columns::Heads { 'H' } else { 'N' };
            let text = p.layout_no_wrap(format!("{letter}{}", n.index), font(), theme.text);
            let from = (x - text.size().x / 2.0).clamp(outer.left(), outer.right() - text.size().x);
            taken = Some(from..from + text.size().x);
            p.galley(pos2(from, rect.bottom() + 4.0), text, theme.text);
        }
        for k in first..first + 40 {
            let at = k as f64 * step;
            let x = rect.left() + ((at + 0.5 - window.x) * cell) as f32;
            if at > window.x + window.width || at >= shape.1 as f64 || x > rect.right() {
                break;
            }
            p.vline(x, rect.bottom()..=rect.bottom() + 3.0, Stroke::new(1.0, theme.hairline));
            let text = p.layout_no_wrap(format!("{at:.0}"), font(), theme.secondary);
            let from = (x - text.size().x / 2.0).clamp(rect.left() - 4.0, rect.right() - text.size().x);
            let clear = taken.as_ref().is_none_or(|t| from + text.size().x < t.start - 8.0 || from > t.end + 8.0);
            if clear {
                p.galley(pos2(from, rect.bottom() + 4.0), text, theme.secondary);
            }
        }
    }

    /// By what neurons are ordered.
    fn caption(&self, p: &Painter) {
        if self.input.ordered.is_empty() {
            return;
        }
        let (rect, ink) = (self.place.rect, self.theme.secondary);
        let text = truncated(p, format!("place in the layer, {}", self.input.ordered), rect.width(), ink);
        p.galley(pos2(rect.center().x - text.size().x / 2.0, self.outer.bottom() - CAPTION), text, ink);
    }

    /// Rings round a neuron that was looked for; `since` in seconds of the window's clock.
    pub fn flash(&self, ui: &Ui, n: Neuron, since: f64) {
        let age = (ui.input(|i| i.time) - since) as f32;
        if age >= FLASH {
            return;
        }
        let (p, accent) = (ui.painter_at(self.place.rect), self.theme.accent);
        let ring = |wider: f32, ink: Color32| {
            p.rect_stroke(self.place.cell_rect(n).expand(wider), 4.0, Stroke::new(2.5, ink), StrokeKind::Outside);
        };
        if ui.style().animation_time > 0.0 {
            // Rings that close in on the neuron, three times.
            let t = (age / FLASH * 3.0).fract();
            ring(2.0 + 26.0 * (1.0 - t), accent.gamma_multiply(0.35 + 0.65 * t));
            ui.ctx().request_repaint_after(Duration::from_millis(16));
        } else {
            // Less motion is asked for: one ring that stands still.
            ring(6.0, accent);
            ui.ctx().request_repaint_after(Duration::from_secs_f32(FLASH - age));
        }
    }

    /// Lines through the pointed cell, its outline and that of the cell cursor.
    pub fn pointed(&self, ui: &Ui, cursor: Option<Neuron>) {
        let p = ui.painter_at(self.place.rect);
        let pointed = self.under.or(self.input.hovered_neuron);
        if let Some(n) = pointed.filter(|_| self.input.crosshair) {
            let at = self.place.cell_rect(n).center();
            let line = Stroke::new(1.0, Color32::from_white_alpha(150));
            let shade = Stroke::new(3.0, Color32::from_black_alpha(70));
            for stroke in [shade, line] {
                p.vline(at.x, self.place.rect.y_range(), stroke);
                p.hline(self.place.rect.x_range(), at.y, stroke);
            }
        }
        let outline = |n: Neuron, colour: Color32| {
            let r = self.place.cell_rect(n);
            let r = if r.width() < 4.0 { r.expand2(vec2((4.0 - r.width()) / 2.0, 0.0)) } else { r };
            p.rect_stroke(r, 0.0, Stroke::new(1.0, Color32::BLACK), StrokeKind::Outside);
            p.rect_stroke(r.expand(1.0), 0.0, Stroke::new(1.5, colour), StrokeKind::Outside);
        };
        if let Some(n) = cursor {
            outline(n, self.theme.accent);
        }
        if let Some(n) = pointed {
            outline(n, Color32::WHITE);
        }
        if let Some(n) = pointed.filter(|_| self.input.crosshair && self.under.is_none()) {
            self.value(ui, n);
        }
    }

    /// What the neuron has that is pointed at in a map beside this one.
    fn value(&self, ui: &Ui, n: Neuron) {
        let (rect, at) = (self.place.rect, self.place.cell_rect(n).center());
        if !rect.expand(1.0).contains(at) {
            return;
        }
        let p = ui.painter_at(self.outer.expand2(vec2(2.0, 6.0)));
        let text = p.layout_no_wrap(value_words(self.input, n), font(), self.theme.text);
        let size = text.size() + vec2(8.0, 4.0);
        let x = if at.x + 8.0 + size.x <= rect.right() { at.x + 8.0 } else { (at.x - 8.0 - size.x).max(rect.left()) };
        let y = if at.y - 6.0 - size.y >= rect.top() { at.y - 6.0 - size.y } else { at.y + 6.0 };
        let label = Rect::from_min_size(pos2(x, y), size);
        p.rect_filled(label, 3.0, self.theme.panel.gamma_multiply(0.92));
        p.galley(label.min + vec2(4.0, 2.0), text, self.theme.text);
    }

    /// The rectangle that is being brushed, and how many layers and neurons it holds.
    pub fn brush(&self, ui: &Ui, from: Pos2, to: Pos2) {
        let (rect, theme) = (self.place.rect, self.theme);
        let p = ui.painter_at(rect);
        let r = Rect::from_two_pos(from, to).intersect(rect);
        p.rect_filled(r, 0.0, theme.accent.gamma_multiply(0.2));
        p.rect_stroke(r, 0.0, Stroke::new(1.5, theme.accent), StrokeKind::Inside);
        let cells = self.place.cells(r);
        let p = ui.painter_at(self.outer.expand2(vec2(2.0, 6.0)));
        let ink = p.layout_no_wrap(format!("{} × {}", cells.0.len(), cells.1.len()), font(), theme.text);
        let label = Rect::from_min_size(pos2(r.right() + 4.0, r.top()).min(rect.right_bottom() - ink.size()), ink.size()).expand(2.0);
        p.rect_filled(label, 2.0, theme.panel);
        p.galley(label.min + vec2(2.0, 2.0), ink, theme.text);
    }
}

fn truncated(p: &Painter, words: String, width: f32, ink: Color32) -> std::sync::Arc<eframe::egui::Galley> {
    let mut job = LayoutJob::simple_singleline(words, font(), ink);
    job.wrap = TextWrapping::truncate_at_width(width);
    p.layout_job(job)
}
