//! An UpSet plot: which neurons lie in exactly these domains. Bars over columns, dots for the domains of each, the domains' own sizes at the left.

use super::{
    axis::nice_step,
    chart::small_font,
    number::{counted, short_count, sig3},
};
use crate::{base::overlap::Intersection, gui::Theme};
use eframe::egui::{
    Align2, Color32, Key, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};

pub struct Upset<'a> {
    /// Name, colour and size of each set.
    pub sets: &'a [(String, Color32, usize)],
    /// In the order shown.
    pub columns: &'a [&'a Intersection],
    pub selected: Option<usize>,
    /// A set to bring forward.
    pub marked: Option<usize>,
    pub size: Vec2,
}

pub struct UpsetOutput {
    pub hovered: Option<usize>,
    pub clicked: Option<usize>,
    pub hovered_set: Option<usize>,
}

const COLUMN: f32 = 26.0;
/// Before the first column.
const EDGE: f32 = 4.0;
const ROW: f32 = 22.0;

/// A row as low as still tells its dots apart.
const LEAST_ROW: f32 = 12.0;
/// Bars lower than this cannot be compared.
const LEAST_BARS: f32 = 36.0;
/// What stands over the bars, and the space under all.
const OVER: f32 = 26.0;

/// Room that the rows under the bars need.
pub fn rows_height(sets: usize) -> f32 {
    sets as f32 * ROW + 16.0
}

/// How the height is shared.
#[derive(Clone, Copy)]
struct Plan {
    bars: f32,
    row: f32,
}

impl Plan {
    /// The middle of a set's row, where the plot begins at `top`.
    fn middle(self, top: f32, i: usize) -> f32 {
        top + 20.0 + self.bars + 8.0 + (i as f32 + 0.5) * self.row
    }
}

impl Upset<'_> {
    pub fn show(self, ui: &mut Ui, theme: &Theme) -> UpsetOutput {
        let font = small_font();
        let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), theme.text).size().x;
        let names = self.sets.iter().map(|s| width(&s.0)).fold(0.0f32, f32::max).min(130.0) + 10.0;
        let left = self.sizes() + names + 10.0;
        let n = self.sets.len().max(1) as f32;
        // Where it is low, rows give way before bars do: all of it is to be seen at once.
        let row = ((self.size.y - OVER - 16.0 - LEAST_BARS) / n).clamp(LEAST_ROW, ROW);
        let rows = n * row + 16.0;
        let bars = (self.size.y - rows - OVER).max(LEAST_BARS);
        let height = bars + rows + OVER;
        let plan = Plan { bars, row };
        let mut out = UpsetOutput { hovered: None, clicked: None, hovered_set: None };
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            let (side, _) = ui.allocate_exact_size(vec2(left, height), Sense::hover());
            let axis = self.left_ui(ui, theme, side, plan, &mut out);
            // Whole columns only, so that none of their numbers is cut at the edge.
            let (room, all) = (ui.available_width(), COLUMN * self.columns.len() as f32 + 12.0);
            let seen = if all > room { ((room - EDGE) / COLUMN).floor().max(1.0) * COLUMN + EDGE } else { room };
            ScrollArea::horizontal().id_salt("intersections").max_width(seen).auto_shrink([false, false]).show(ui, |ui| {
                let wide = all.max(seen);
                let (field, _) = ui.allocate_exact_size(vec2(wide, height - 10.0), Sense::hover());
                self.columns_ui(ui, theme, field, plan, axis, &mut out);
            });
        });
        out
    }

    /// Room for the sets' own sizes: where it is narrow hardly more than the number.
    fn sizes(&self) -> f32 {
        if self.size.x < 460.0 { 62.0 } else { 104.0 }
    }

    /// Names, sizes and the bars' axis; gives back the axis' top value.
    fn left_ui(&self, ui: &mut Ui, theme: &Theme, rect: Rect, plan: Plan, out: &mut UpsetOutput) -> f64 {
        let (font, sizes, Plan { bars, row: row_height }) = (small_font(), self.sizes(), plan);
        let p = ui.painter().clone();
        let highest = self.columns.iter().map(|c| (c.neurons.len() as f64).max(c.expected)).fold(1.0, f64::max);
        let (top, step) = nice_top(highest);
        let base = rect.top() + 20.0 + bars;
        // Over low bars, whose numbers come near it, in few words.
        let title = if bars >= 56.0 { "neurons in exactly these domains" } else { "neurons in exactly…" };
        p.text(rect.left_top(), Align2::LEFT_TOP, title, font.clone(), theme.secondary);
        let mut v = 0.0;
        while v <= top * (1.0 + 1e-9) {
            let y = base - (v / top) as f32 * bars;
            p.text(pos2(rect.right() - 6.0, y), Align2::RIGHT_CENTER, short_count(v as u64), font.clone(), theme.secondary);
            v += step;
        }
        let half = (row_height / 2.0 - 3.0).min(6.0);
        let widest = self.sets.iter().map(|s| s.2).max().unwrap_or(0).max(1) as f32;
        for (i, (name, colour, size)) in self.sets.iter().enumerate() {
            let y = plan.middle(rect.top(), i);
            let row = Rect::from_min_max(pos2(rect.left(), y - row_height / 2.0), pos2(rect.right(), y + row_height / 2.0));
            let r = ui.interact(row, ui.scope_id().with(("set", i)), Sense::hover());
            r.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {}", counted(*size as u64, "neuron"))));
            if r.hovered() {
                out.hovered_set = Some(i);
            }
            let bar = *size as f32 / widest * (sizes - 46.0);
            p.rect_filled(Rect::from_min_max(pos2(rect.left() + sizes - bar, y - half), pos2(rect.left() + sizes, y + half)), 1.0, *colour);
            let number = pos2(rect.left() + sizes - bar - 5.0, y);
            p.text(number, Align2::RIGHT_CENTER, short_count(*size as u64), font.clone(), theme.secondary);
            let mut job = LayoutJob::simple_singleline(name.clone(), font.clone(), theme.text);
            job.wrap = TextWrapping::truncate_at_width(rect.width() - sizes - 14.0);
            let galley = p.layout_job(job);
            p.galley(pos2(rect.left() + sizes + 8.0, y - galley.size().y / 2.0), galley, theme.text);
        }
        top
    }

    fn columns_ui(&self, ui: &mut Ui, theme: &Theme, field: Rect, plan: Plan, top: f64, out: &mut UpsetOutput) {
        let (font, Plan { bars, row: row_height }) = (small_font(), plan);
        let p = ui.painter().clone();
        let base = field.top() + 20.0 + bars;
        let y = |v: f64| base - (v / top) as f32 * bars;
        let (_, step) = nice_top(top);
        let dot = (row_height / 2.0 - 2.0).min(6.0);
        let mut v = 0.0;
        while v <= top * (1.0 + 1e-9) {
            p.hline(field.x_range(), p.round_to_pixel_center(y(v)), theme.hairline_stroke());
            v += step;
        }
        for i in (0..self.sets.len()).step_by(2) {
            let middle = plan.middle(field.top(), i);
            let stripe = Rect::from_x_y_ranges(field.x_range(), middle - row_height / 2.0..=middle + row_height / 2.0);
            p.rect_filled(stripe, 2.0, theme.raised);
        }
        // Only what is in sight is drawn and listened to; the first columns exist for the keyboard and assistive technology all the same.
        let clip = ui.clip_rect();
        let mut moved = None;
        for (k, c) in self.columns.iter().enumerate() {
            let x = field.left() + EDGE + (k as f32 + 0.5) * COLUMN;
            if x + COLUMN < clip.left() || x - COLUMN > clip.right() {
                continue;
            }
            let column = Rect::from_x_y_ranges(x - COLUMN / 2.0..=x + COLUMN / 2.0, field.y_range());
            let r = ui.interact(column, ui.scope_id().with(("column", k)), Sense::click());
            let members: Vec<&str> = c.members.iter().map(|&i| self.sets[i].0.as_str()).collect();
            let n = c.neurons.len() as u64;
            let what = if members.len() == self.sets.len() { "all domains".to_owned() } else { format!("only {}", members.join(" and ")) };
            let words = format!("{what}: {}, {} by chance", counted(n, "neuron"), sig3(c.expected));
            r.widget_info(|| WidgetInfo::selected(Role::Button, true, self.selected == Some(k), &words));
            if r.hovered() || r.has_focus() {
                out.hovered = Some(k);
                p.rect_filled(column, 3.0, theme.text.gamma_multiply(0.06));
            }
            if r.has_focus() {
                let by = |key, d: isize| ui.input(|i| i.key_pressed(key)).then(|| k.saturating_add_signed(d).min(self.columns.len() - 1));
                moved = by(Key::ArrowLeft, -1).or(by(Key::ArrowRight, 1)).or(moved);
            }
            if r.clicked() {
                out.clicked = Some(k);
            }
            let faded = self.marked.is_some_and(|m| !c.members.contains(&m));
            let ink = if faded { theme.tint(theme.text, 0.3) } else { theme.tint(theme.text, 0.85) };
            let bar = Rect::from_min_max(pos2(x - 7.0, y(n as f64).min(base - 1.0)), pos2(x + 7.0, base));
            p.rect_filled(bar, 1.0, if self.selected == Some(k) { theme.accent } else { ink });
            p.hline(x - 10.0..=x + 10.0, p.round_to_pixel_center(y(c.expected)), Stroke::new(2.0, theme.warn));
            let over = pos2(x, y((n as f64).max(c.expected)) - 3.0);
            p.text(over, Align2::CENTER_BOTTOM, short_count(n), font.clone(), if faded { theme.secondary } else { theme.text });
            if let (Some(&first), Some(&last)) = (c.members.first(), c.members.last()) {
                let from = plan.middle(field.top(), first)..=plan.middle(field.top(), last);
                p.vline(x, from, Stroke::new(1.5, theme.tint(theme.secondary, 0.7)));
            }
            for (i, (_, colour, _)) in self.sets.iter().enumerate() {
                let at = pos2(x, plan.middle(field.top(), i));
                match c.members.contains(&i) {
                    true => p.circle_filled(at, dot, if faded { theme.tint(*colour, 0.35) } else { *colour }),
                    false => p.circle_filled(at, dot * 0.42, theme.tint(theme.secondary, 0.4)),
                };
            }
            if self.selected == Some(k) {
                p.rect_stroke(column.shrink2(vec2(0.0, 1.0)), 3.0, Stroke::new(1.5, theme.accent), StrokeKind::Inside);
            }
            r.on_hover_ui(|ui| {
                ui.set_max_width(360.0);
                ui.label(theme.strong(format!("{} in {what}", counted(n, "neuron"))));
                let ratio = if c.expected > 0.0 { format!(", {} times as many", sig3(n as f64 / c.expected)) } else { String::new() };
                ui.label(theme.small(format!("{} expected by chance{ratio}", sig3(c.expected))));
                ui.label(theme.small("Click to select them in every view"));
            });
        }
        if let Some(k) = moved {
            out.clicked = Some(k);
            ui.memory_mut(|m| m.request_focus(ui.scope_id().with(("column", k))));
        }
    }
}

/// The end of an axis that holds `value`, and the step of its marks.
fn nice_top(value: f64) -> (f64, f64) {
    let step = nice_step(value / 4.0).max(1.0);
    ((value / step - 1e-9).ceil().max(1.0) * step, step)
}

#[cfg(test)]
mod tests {
    use super::nice_top;

    #[test]
    fn the_axis_ends_at_a_whole_mark_and_keeps_its_step() {
        for value in [1.0, 3.0, 41.0, 410.0, 999.0] {
            let (top, step) = nice_top(value);
            assert!(top >= value && (top / step).fract() == 0.0, "{value}: {top} {step}");
            assert_eq!(nice_top(top), (top, step), "{value}");
        }
    }
}
