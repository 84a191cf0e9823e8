//! A dendrogram beside the rows that it orders: leaves at the left, the root at the right.

use super::{chart::small_font, number::sig3};
use crate::{base::dendrogram::Tree, gui::Theme};
use eframe::egui::{Align2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2};

/// Room it asks for.
pub const WIDTH: f32 = 104.0;

/// Paints the tree into `rect`; row `k` of `rows` equal ones from the top is leaf `tree.order[k]`. `names` by leaf, `unit`: what a height is.
pub fn dendrogram_ui(ui: &mut Ui, theme: &Theme, tree: &Tree, names: &[String], rect: Rect, unit: &str) {
    let response = ui.interact(rect, ui.scope_id().with("dendrogram"), Sense::hover());
    let merges: Vec<String> = tree.merges.iter().map(|m| format!("{} leaves at {}", m.size, sig3(m.height))).collect();
    response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, format!("Dendrogram, {unit}: {}", merges.join(", "))));
    if tree.merges.is_empty() {
        return;
    }
    let p = ui.painter();
    let cell = rect.height() / tree.leaves() as f32;
    // A little room beyond the root for its stem.
    let top = tree.height().max(1e-9) * 1.06;
    let x = |h: f64| rect.left() + 4.0 + (h / top) as f32 * (rect.width() - 8.0);
    let places = tree.places();
    let y = |c: usize| rect.top() + (places[c] as f32 + 0.5) * cell;
    let pointer = response.hover_pos();
    let n = tree.leaves();
    let mut pointed = None;
    for (k, m) in tree.merges.iter().enumerate() {
        let (xm, ya, yb) = (x(m.height), y(m.a), y(m.b));
        let near = pointer.is_some_and(|q| (q.x - xm).abs() < 5.0 && q.y > ya.min(yb) - 3.0 && q.y < ya.max(yb) + 3.0);
        if near {
            pointed = Some(k);
        }
        let points = [pos2(x(tree.height_of(m.a)), ya), pos2(xm, ya), pos2(xm, yb), pos2(x(tree.height_of(m.b)), yb)];
        p.add(Shape::line(points.to_vec(), Stroke::new(if near { 2.5 } else { 1.5 }, if near { theme.accent } else { theme.text })));
    }
    p.hline(x(tree.height())..=x(top), y(n + tree.merges.len() - 1), Stroke::new(1.5, theme.text));
    let (foot, font) = (rect.bottom() + 3.0, small_font());
    p.text(pos2(x(0.0), foot), Align2::LEFT_TOP, "0", font.clone(), theme.secondary);
    p.text(pos2(x(top), foot), Align2::RIGHT_TOP, sig3(tree.height()), font.clone(), theme.secondary);
    p.text(pos2(rect.center().x, foot + 13.0), Align2::CENTER_TOP, unit, font, theme.secondary);
    if let Some(k) = pointed {
        let m = tree.merges[k];
        let mut leaves = Vec::new();
        let mut open = vec![n + k];
        while let Some(c) = open.pop() {
            match c.checked_sub(n) {
                None => leaves.push(names[c].as_str()),
                Some(k) => open.extend([tree.merges[k].b, tree.merges[k].a]),
            }
        }
        let words = if leaves.len() <= 8 { leaves.join(", ") } else { format!("{} and {} more", leaves[..7].join(", "), leaves.len() - 7) };
        response.on_hover_text_at_pointer(format!("{words}\nmeet at {} ({unit}, mean over all pairs)", sig3(m.height)));
    }
}
