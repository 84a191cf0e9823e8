//! How many of something lie in each layer, as bars no larger than a word, or in a small chart of their own.

use super::chart::small_font;
use crate::gui::Theme;
use eframe::egui::{Align2, Color32, Painter, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Bars over layers `0..counts.len()`, on the scale of the fullest. `name` is spoken.
pub fn sparkline(ui: &mut Ui, theme: &Theme, counts: &[usize], colour: Color32, width: f32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, 16.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    bars(&ui.painter_at(rect), theme, rect, counts, colour);
    response
}

/// The same as wide as its panel and `height` high, with the first and the last layer under it and the largest count over it.
pub fn layer_bars(ui: &mut Ui, theme: &Theme, counts: &[usize], colour: Color32, height: f32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let painter = ui.painter_at(rect);
    let (font, ink) = (small_font(), theme.secondary);
    let inner = Rect::from_min_max(rect.min + vec2(0.0, 16.0), rect.max - vec2(0.0, 16.0));
    bars(&painter, theme, inner, counts, colour);
    let last = counts.len().saturating_sub(1);
    painter.text(rect.left_bottom(), Align2::LEFT_BOTTOM, "layer 0", font.clone(), ink);
    painter.text(rect.right_bottom(), Align2::RIGHT_BOTTOM, last, font.clone(), ink);
    if let Some((layer, most)) = counts.iter().enumerate().max_by_key(|(layer, n)| (**n, last - layer)).filter(|(_, n)| **n > 0) {
        let x = inner.left() + (layer as f32 + 0.5) * inner.width() / counts.len() as f32;
        // Over its bar, but inside.
        let (anchor, x) = if layer == 0 {
            (Align2::LEFT_TOP, rect.left())
        } else if layer == last {
            (Align2::RIGHT_TOP, rect.right())
        } else {
            (Align2::CENTER_TOP, x)
        };
        painter.text(pos2(x, rect.top()), anchor, most, font, ink);
    }
    response
}

fn bars(painter: &Painter, theme: &Theme, rect: Rect, counts: &[usize], colour: Color32) {
    painter.hline(rect.x_range(), rect.bottom() - 0.5, theme.hairline_stroke());
    let most = counts.iter().copied().max().unwrap_or(0);
    if most > 0 {
        let step = rect.width() / counts.len() as f32;
        let gap = if step >= 4.0 { 1.0 } else { 0.0 };
        for (layer, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let x = rect.left() + layer as f32 * step;
            // A single neuron still shows.
            let high = (n as f32 / most as f32 * (rect.height() - 1.0)).max(1.5);
            let bar = Rect::from_min_max(pos2(x, rect.bottom() - 1.0 - high), pos2((x + step - gap).max(x + 1.0), rect.bottom() - 1.0));
            painter.rect_filled(bar, 0.0, colour);
        }
    }
}

/// `layer 3: 17, layer 4: 2` of the layers that hold some, at most `most` of them.
pub fn by_layer(counts: &[usize], most: usize) -> String {
    let held: Vec<String> = counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(l, n)| format!("layer {l}: {n}")).collect();
    let rest = held.len().saturating_sub(most);
    let shown = held.into_iter().take(most).collect::<Vec<_>>().join(", ");
    if rest > 0 { format!("{shown} and {rest} more layers") } else { shown }
}

#[cfg(test)]
mod tests {
    #[test]
    fn layers_are_told_in_order_and_long_lists_are_cut() {
        assert_eq!(super::by_layer(&[0, 3, 0, 1], 8), "layer 1: 3, layer 3: 1");
        assert_eq!(super::by_layer(&[1; 5], 2), "layer 0: 1, layer 1: 1 and 3 more layers");
    }
}
