//! How many of something lie in each layer, as bars no larger than a word.

use crate::gui::Theme;
use eframe::egui::{Color32, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Bars over layers `0..counts.len()`, on the scale of the fullest. `name` is spoken.
pub fn sparkline(ui: &mut Ui, theme: &Theme, counts: &[usize], colour: Color32, width: f32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, 16.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let painter = ui.painter_at(rect);
    painter.hline(rect.x_range(), rect.bottom() - 0.5, theme.hairline_stroke());
    let most = counts.iter().copied().max().unwrap_or(0);
    if most > 0 {
        let step = rect.width() / counts.len() as f32;
        let gap = if step >= 4.0 { 1.0 } else { 0.0 };
        for (layer, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let x = rect.left() + layer as f32 * step;
            // A single neuron still shows.
            let high = (n as f32 / most as f32 * (rect.height() - 1.0)).max(1.5);
            let bar = eframe::egui::Rect::from_min_max(
                pos2(x, rect.bottom() - 1.0 - high),
                pos2((x + step - gap).max(x + 1.0), rect.bottom() - 1.0),
            );
            painter.rect_filled(bar, 0.0, colour);
        }
    }
    response
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
