//! The colour bar under a map: what is measured, its unit and scale, and where the hovered value lies.

use crate::{
    base::heatmap::{ColourMap, Scale},
    gui::{Theme, theme, widgets::number::sig3},
};
use eframe::egui::{Align2, Color32, FontId, Mesh, Rect, Response, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

pub struct Legend<'a> {
    /// `Relevance`
    pub name: &'a str,
    pub unit: &'a str,
    pub scale: &'a Scale,
    pub map: ColourMap,
    /// Cells without a number are in the map.
    pub has_nan: bool,
    pub hovered: Option<f32>,
}

pub const HEIGHT: f32 = 38.0;
const BAR: f32 = 10.0;
/// A bar that still tells its colours apart.
const NARROWEST: f32 = 72.0;

impl Legend<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> Response {
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::click());
        let font = FontId::proportional(theme::SMALL);
        let mut words = self.name.to_owned();
        if !self.unit.is_empty() {
            words = format!("{words} ({})", self.unit);
        }
        let scale = self.scale.label();
        let ends = [self.scale.value(0.0), self.scale.value(1.0)].map(tick_text);
        let spoken = format!("Colour bar: {words}, {scale}, {} to {}", ends[0], ends[1]);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
        let p = ui.painter_at(rect);
        let right = p.layout_no_wrap(scale.clone(), font.clone(), theme.secondary);
        // Where the whole name leaves no room for the bar: what is shown, else its unit, else the bar alone.
        let names = [words.as_str(), words.split_once(": ").map_or(self.unit, |w| w.1), self.unit, ""];
        let lefts = names.map(|w| p.layout_no_wrap(w.to_owned(), font.clone(), theme.text));
        let most = rect.width() - right.size().x - 40.0 - NARROWEST;
        let left = lefts.iter().find(|g| g.size().x <= most).unwrap_or(&lefts[3]).clone();
        let y = rect.top() + 8.0;
        let room = rect.width() - left.size().x - right.size().x - 40.0;
        let width = room.clamp(60.0, 360.0);
        let bar = Rect::from_min_size(pos2(rect.left() + left.size().x + 16.0, y), vec2(width, BAR));
        p.galley(pos2(rect.left(), bar.center().y - left.size().y / 2.0), left, theme.text);
        p.galley(pos2(bar.right() + 12.0, bar.center().y - right.size().y / 2.0), right, theme.secondary);

        let mut mesh = Mesh::default();
        for i in 0..=255_u32 {
            let [r, g, b] = self.map.colour(i as u8);
            let x = bar.left() + bar.width() * i as f32 / 255.0;
            for y in [bar.top(), bar.bottom()] {
                mesh.colored_vertex(pos2(x, y), Color32::from_rgb(r, g, b));
            }
            if i > 0 {
                mesh.add_triangle(2 * i - 2, 2 * i - 1, 2 * i);
                mesh.add_triangle(2 * i - 1, 2 * i, 2 * i + 1);
            }
        }
        p.add(Shape::mesh(mesh));
        p.rect_stroke(bar, 0.0, theme.hairline_stroke(), StrokeKind::Outside);
        let at = |v: f64| bar.left() + bar.width() * self.scale.position(v) as f32;
        let mut free_from = f32::NEG_INFINITY;
        let mut ticks = self.scale.ticks((bar.width() / 56.0) as usize);
        if ticks.len() < 2 {
            let lo = self.scale.value(0.0);
            ticks = vec![lo, f64::from(self.scale.hi)];
        }
        for v in ticks {
            let x = at(v);
            let text = p.layout_no_wrap(tick_text(v), font.clone(), theme.secondary);
            let from = (x - text.size().x / 2.0).clamp(rect.left(), rect.right() - text.size().x);
            p.vline(x, bar.bottom()..=bar.bottom() + 3.0, Stroke::new(1.0, theme.secondary));
            if from > free_from {
                free_from = from + text.size().x + 8.0;
                p.galley(pos2(from, bar.bottom() + 4.0), text, theme.secondary);
            }
        }
        if self.scale.clips {
            p.text(pos2(bar.right() + 2.0, bar.center().y), Align2::LEFT_CENTER, "›", font, theme.text);
        }
        if let Some(v) = self.hovered.filter(|v| v.is_finite()) {
            let x = at(f64::from(v));
            p.vline(x, bar.y_range().expand(1.0), Stroke::new(1.0, Color32::BLACK));
            let tip = pos2(x, bar.top() - 1.0);
            p.add(Shape::convex_polygon(vec![tip, tip + vec2(-4.0, -6.0), tip + vec2(4.0, -6.0)], theme.text, Stroke::NONE));
        }
        let mut words = format!("{}: {}, {scale}", self.name, self.map.name());
        if self.scale.clips {
            words.push_str("\nSome values lie beyond the end and share its colour");
        }
        if self.has_nan {
            words.push_str("\nGrey hatched cells have no number");
        }
        if !self.map.is_signed() {
            words.push_str("\nClick for the other colour map (viridis, cividis)");
        }
        response.on_hover_text(words)
    }
}

/// Powers of ten as such, other values short.
fn tick_text(v: f64) -> String {
    if v == 0.0 {
        return "0".to_owned();
    }
    let e = v.abs().log10();
    if (e - e.round()).abs() < 1e-9 && !(-2.0..4.0).contains(&e) {
        let sign = if v < 0.0 { "−" } else { "" };
        return format!("{sign}1e{}", e.round());
    }
    let text = sig3(v);
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ticks_are_written_short() {
        for (v, text) in [(0.0, "0"), (0.5, "0.5"), (1e-6, "1e-6"), (-1e-6, "−1e-6"), (20.0, "20"), (0.01, "0.01"), (1e5, "1e5")] {
            assert_eq!(super::tick_text(v), text);
        }
    }
}
