//! One small histogram a domain, all on one axis: where a value lies in each, on a scale that takes both signs and decades.

use super::{
    chart::{small_font, small_width},
    number::sig3,
};
use crate::{gui::Theme, inspect::symlog};
use eframe::egui::{
    Align2, Color32, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};

/// One domain's row.
pub struct HistogramRow<'a> {
    pub name: &'a str,
    pub colour: Color32,
    pub counts: &'a [u16],
    /// Marked on the row and written at its end.
    pub mean: f32,
    /// What assistive technology reads.
    pub spoken: String,
}

const ROW: f32 = 24.0;
const NAME: f32 = 76.0;
const VALUE: f32 = 40.0;

/// `edges` are the values between the bins, `turn` where the scale turns logarithmic. Gives back the response of each row.
pub fn histograms(ui: &mut Ui, theme: &Theme, rows: &[HistogramRow<'_>], edges: &[f32], turn: f32) -> Vec<Response> {
    let font = small_font();
    let most = rows.iter().flat_map(|r| r.counts).copied().max().unwrap_or(1).max(1);
    let top = f32::from(most).ln_1p();
    let (first, last) = (edges.first().copied().unwrap_or(0.0), edges.last().copied().unwrap_or(1.0));
    let (lo, hi) = (symlog::position(first, turn), symlog::position(last, turn));
    let unit = |v: f32| if hi > lo { (symlog::position(v, turn) - lo) / (hi - lo) } else { 0.5 };
    // Means stand clear of the bars.
    let value = rows.iter().map(|r| small_width(ui, &sig3(f64::from(r.mean)))).fold(VALUE, f32::max) + 6.0;
    let mut out = Vec::with_capacity(rows.len());
    let mut plot = Rect::NOTHING;
    for row in rows {
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &row.spoken));
        let p = ui.painter_at(rect);
        let mut job = LayoutJob::simple_singleline(row.name.to_owned(), font.clone(), theme.text);
        job.wrap = TextWrapping::truncate_at_width(NAME - 16.0);
        let galley = p.layout_job(job);
        p.circle_filled(pos2(rect.left() + 4.0, rect.center().y), 3.5, row.colour);
        p.galley(pos2(rect.left() + 12.0, rect.center().y - galley.size().y / 2.0), galley, theme.text);
        let area = Rect::from_min_max(pos2(rect.left() + NAME, rect.top() + 2.0), pos2(rect.right() - value, rect.bottom() - 1.0));
        plot = area;
        p.rect_filled(area, 2.0, theme.tint(theme.raised, if response.hovered() { 1.0 } else { 0.55 }));
        let bins = row.counts.len().max(1) as f32;
        for (i, &n) in row.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            // A single token is still two points high.
            let high = (f32::from(n).ln_1p() / top * area.height()).max(2.0);
            let (x0, x1) = (area.left() + area.width() * i as f32 / bins, area.left() + area.width() * (i + 1) as f32 / bins);
            let bar = Rect::from_min_max(pos2(x0, area.bottom() - high), pos2(x1.max(x0 + 1.0), area.bottom()));
            p.rect_filled(bar, 0.0, row.colour.gamma_multiply(0.85));
        }
        if first < 0.0 && last > 0.0 {
            p.vline(area.left() + unit(0.0) * area.width(), area.y_range(), Stroke::new(1.0, theme.tint(theme.secondary, 0.5)));
        }
        let x = area.left() + unit(row.mean).clamp(0.0, 1.0) * area.width();
        p.vline(x, area.y_range(), Stroke::new(1.5, theme.text));
        p.text(pos2(rect.right(), rect.center().y), Align2::RIGHT_CENTER, sig3(f64::from(row.mean)), font.clone(), theme.text);
        out.push(response);
    }
    if plot.is_positive() {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::hover());
        let p = ui.painter_at(rect);
        let y = rect.top() + 2.0;
        // Ends first; what would touch them is left out.
        let mut taken: Vec<(f32, f32)> = Vec::new();
        for v in [first, last, 0.0, turn, -turn, 4.0 * turn, -4.0 * turn] {
            if v < first || v > last {
                continue;
            }
            let x = plot.left() + unit(v) * plot.width();
            let galley = p.layout_no_wrap(sig3(f64::from(v)), font.clone(), theme.secondary);
            let from = (x - galley.size().x / 2.0).clamp(plot.left() - 4.0, plot.right() + 4.0 - galley.size().x);
            let to = from + galley.size().x;
            if taken.iter().any(|t| from < t.1 + 8.0 && to > t.0 - 8.0) {
                continue;
            }
            taken.push((from, to));
            p.vline(x, rect.top()..=y + 1.0, Stroke::new(1.0, theme.secondary));
            p.galley(pos2(from, y), galley, theme.secondary);
        }
        p.text(pos2(rect.right(), y), Align2::RIGHT_TOP, "mean", font, theme.secondary);
    }
    out
}
