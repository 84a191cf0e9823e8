//! "Try a text": a text of one's own, and what every layer would say next, with the model as it is and with the ablation in force.

use super::open_model::model_ui;
use crate::{
    app::{Command, Failure, LensAnswer, LensGrid},
    base::visible,
    gui::{
        Ask, Panel, PanelCx, Theme, theme,
        widgets::{
            number::{counted, sig3},
            provenance,
            states::{empty_ui, failed_strip_ui, stopped_line_ui},
            table::{Table, icon_button},
            token_strip::ink_on,
        },
    },
};
use eframe::egui::{
    self, Align, Align2, Color32, FontId, Label, Layout, Rect, ScrollArea, Sense, Stroke, StrokeKind, TextEdit, Ui, WidgetInfo, pos2,
    text::{LayoutJob, TextWrapping},
    vec2,
};
use egui_material_icons::icons;

pub fn make() -> Box<dyn Panel> {
    Box::<TryText>::default()
}

#[derive(Default)]
pub struct TryText {
    text: String,
    /// The text as the program has it, to follow changes from elsewhere.
    known: String,
    /// Token whose answers are listed; the last where it is none.
    position: Option<usize>,
}

const EXAMPLES: [&str; 3] = ["12 + 7 =", "The capital of France is", "def add(a, b):\n    return"];
const CELL: egui::Vec2 = vec2(66.0, 20.0);
const LAYER: f32 = 34.0;

impl Panel for TryText {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        let ready = app.device().is_some() || !app.lens.plain.is_empty();
        if !ready {
            return no_model_ui(ui, cx);
        }
        if app.lens.text != self.known {
            self.known.clone_from(&app.lens.text);
            self.text.clone_from(&app.lens.text);
        }
        ui.spacing_mut().item_spacing.y = 6.0;
        self.field_ui(ui, cx);
        let live = &app.lens;
        let again = match &live.failed {
            None => false,
            Some(Failure::Cancelled) => stopped_line_ui(ui, cx.theme, "Read it again", "", "stopped"),
            Some(Failure::Failed(why)) => failed_strip_ui(ui, cx, "The text could not be read", why, "Try again"),
        };
        if again {
            // The same text again, through an empty one.
            cx.send(Command::TryText { text: String::new() });
            cx.send(Command::TryText { text: self.text.clone() });
        }
        if live.text.is_empty() {
            return self.examples_ui(ui, cx);
        }
        if live.tokens.is_empty() {
            if live.failed.is_none() {
                ui.spinner();
            }
            return;
        }
        let last = live.tokens.len() - 1;
        let position = self.position.map_or(last, |p| p.min(last));
        let room = ui.available_height();
        let n_layers = live.plain.len().max(1);
        let grid_height = ((n_layers + 1) as f32 * CELL.y + 14.0).min((room * 0.55).max(110.0));
        match &live.changed {
            None => self.grid_ui(ui, cx, &live.plain, "", position, grid_height, ui.available_width()),
            Some(changed) => {
                let half = (ui.available_width() - 12.0) / 2.0;
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 12.0;
                    for (grid, name) in [(&live.plain, "as it is"), (changed, "ablated")] {
                        ui.allocate_ui_with_layout(vec2(half, grid_height + 18.0), Layout::top_down(Align::Min), |ui| {
                            ui.set_width(half);
                            ui.label(cx.theme.group(name));
                            self.grid_ui(ui, cx, grid, name, position, grid_height, half);
                        });
                    }
                });
            }
        }
        probability_bar_ui(ui, cx);
        answers_ui(ui, cx, position);
    }
}

fn no_model_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let what = "Open a model to see what each of its layers makes of a text of yours.";
    if model_ui(ui, cx, icons::ICON_EDIT_NOTE, what) {
        // Its facts are there, what computes is not yet.
        empty_ui(ui, cx.theme, icons::ICON_EDIT_NOTE, "The model is being read.", "");
    }
}

impl TryText {
    fn field_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        let live = &app.lens;
        let field =
            TextEdit::multiline(&mut self.text).desired_rows(2).desired_width(f32::INFINITY).hint_text("Type a text, in any script");
        let r = ui.add(field).accessible_name("Text to read");
        if r.changed() {
            self.known.clone_from(&self.text);
            self.position = None;
            cx.send(Command::TryText { text: self.text.clone() });
        }
        ui.horizontal(|ui| {
            let mut words = if live.tokens.is_empty() { String::new() } else { counted((live.from + live.tokens.len()) as u64, "token") };
            if live.from > 0 {
                words.push_str(&format!(", the last {} shown", live.tokens.len()));
            }
            if live.left_out > 0 {
                words.push_str(&format!(", {} at the end left out", live.left_out));
            }
            ui.label(cx.theme.small(words));
            if live.running {
                ui.add(egui::Spinner::new().size(12.0));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                if live.tokens.is_empty() {
                    return;
                }
                if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the answers as a table", "Every layer at the chosen token").clicked() {
                    let last = live.tokens.len() - 1;
                    cx.link.ask(Ask::Copy(table(&live.plain, self.position.map_or(last, |p| p.min(last))).tsv()));
                }
                if let Some(p) = &live.provenance
                    && icon_button(ui, icons::ICON_INFO, "Copy the provenance", &provenance::short(p)).clicked()
                {
                    cx.link.ask(Ask::Copy(provenance::text(p, None)));
                }
            });
        });
    }

    fn examples_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.add(Label::new(cx.theme.faint("While you type, every layer says which token it would put next.")).wrap());
        ui.horizontal_wrapped(|ui| {
            ui.label(cx.theme.small("For example"));
            for text in EXAMPLES {
                if ui.button(visible::inline(text)).clicked() {
                    self.text = text.to_owned();
                    self.known.clone_from(&self.text);
                    cx.send(Command::TryText { text: text.to_owned() });
                }
            }
        });
    }

    /// Layers (the last on top) by tokens: what each would say next, coloured by its probability.
    #[expect(clippy::too_many_arguments, reason = "one of two grids beside each other")]
    fn grid_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, grid: &LensGrid, name: &str, position: usize, height: f32, width: f32) {
        let app = cx.app;
        let live = &app.lens;
        let (n, layers) = (live.tokens.len(), grid.len());
        let size = vec2(LAYER + n as f32 * CELL.x, (layers + 1) as f32 * CELL.y);
        let scroll = ScrollArea::both()
            .id_salt(("lens grid", name))
            .max_height(height)
            .min_scrolled_height(height)
            .max_width(width)
            .auto_shrink([false, true])
            .stick_to_right(true);
        scroll.show(ui, |ui| {
            let (rect, r) = ui.allocate_exact_size(size, Sense::click());
            let what = if name.is_empty() { "Next token by layer".to_owned() } else { format!("Next token by layer, {name}") };
            r.widget_info(|| WidgetInfo::labeled(egui::Role::Figure, true, format!("{what}: {layers} layers, {n} tokens")));
            let clip = ui.clip_rect();
            let p = ui.painter_at(clip);
            let font = FontId::proportional(theme::SMALL);
            let body = FontId::proportional(theme::BODY);
            let cell = |row: usize, column: usize| {
                Rect::from_min_size(rect.min + vec2(LAYER + column as f32 * CELL.x, row as f32 * CELL.y), CELL).shrink(0.5)
            };
            let at = r.hover_pos().map(|pos| {
                let c = pos - rect.min - vec2(LAYER, 0.0);
                ((c.y / CELL.y).floor() as isize, (c.x / CELL.x).floor() as isize)
            });
            let at = at.filter(|(y, x)| (0..=layers as isize).contains(y) && (0..n as isize).contains(x));
            let put = |text: &str, rect: Rect, font: &FontId, ink: Color32| {
                let mut job = LayoutJob::simple_singleline(text.to_owned(), font.clone(), ink);
                job.wrap = TextWrapping::truncate_at_width(rect.width() - 6.0);
                let galley = p.layout_job(job);
                p.galley(pos2(rect.left() + 3.0, rect.center().y - galley.size().y / 2.0), galley, ink);
            };
            for (column, word) in live.tokens.iter().enumerate() {
                let head = cell(0, column);
                if !clip.intersects(Rect::from_x_y_ranges(head.x_range(), rect.y_range())) {
                    continue;
                }
                if column == position {
                    p.rect_filled(head, 2.0, cx.theme.tint(cx.theme.accent, 0.25));
                }
                put(&visible::alone(&word.piece), head, &body, cx.theme.text);
                for row in 1..=layers {
                    let place = cell(row, column);
                    if !clip.intersects(place) {
                        continue;
                    }
                    let Some(top) = grid[layers - row].get(column).and_then(|a| a.top.first()) else { continue };
                    let colour = probability_colour(cx, top.value);
                    p.rect_filled(place, 2.0, colour);
                    put(&visible::alone(&top.piece), place, &font, ink_on(colour));
                }
            }
            let chosen = Rect::from_min_max(cell(0, position).min, cell(layers, position).max);
            p.rect_stroke(chosen, 2.0, Stroke::new(1.5, cx.theme.accent), StrokeKind::Outside);
            // The layers' names stay in sight.
            let left = clip.left().max(rect.left());
            p.rect_filled(Rect::from_x_y_ranges(left..=left + LAYER - 1.0, rect.y_range()), 0.0, cx.theme.panel);
            for row in 1..=layers {
                let y = rect.top() + (row as f32 + 0.5) * CELL.y;
                let ink = if cx.link.is_layer_hovered(layers - row) { cx.theme.text } else { cx.theme.secondary };
                p.text(pos2(left + LAYER - 6.0, y), Align2::RIGHT_CENTER, format!("L{}", layers - row), font.clone(), ink);
            }
            if r.clicked()
                && let Some((_, x)) = at
            {
                self.position = Some(x as usize);
            }
            if let Some((y, x)) = at {
                let (y, x) = (y as usize, x as usize);
                if y > 0 {
                    cx.link.hover_layer(layers - y);
                    p.rect_stroke(cell(y, x), 2.0, Stroke::new(1.0, cx.theme.text), StrokeKind::Outside);
                    if let Some(a) = grid[layers - y].get(x) {
                        let said = a.top.iter().map(|w| format!("{} {}", visible::alone(&w.piece), sig3(f64::from(w.value))));
                        let said = said.collect::<Vec<_>>().join("   ");
                        cx.link.readout(format!("L{} after `{}` · {said}", layers - y, visible::alone(&live.tokens[x].piece)));
                        r.on_hover_text(format!(
                            "{said}\nentropy {:.2} bits · the model's answer is number {}",
                            a.entropy_bits,
                            a.rank + 1
                        ));
                    }
                }
            }
        });
    }
}

fn probability_colour(cx: &PanelCx<'_>, p: f32) -> Color32 {
    let [r, g, b] = cx.app.settings.preferences.colours.at(f64::from(p));
    Color32::from_rgb(r, g, b)
}

fn probability_bar_ui(ui: &mut Ui, cx: &PanelCx<'_>) {
    let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 14.0), Sense::hover());
    r.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, "Colour bar: probability of the likeliest next token, 0 to 1"));
    let p = ui.painter_at(rect);
    let font = FontId::proportional(theme::SMALL);
    let name = p.layout_no_wrap("probability of the likeliest next token   0".to_owned(), font.clone(), cx.theme.secondary);
    let bar_left = rect.left() + name.size().x + 6.0;
    p.galley(pos2(rect.left(), rect.center().y - name.size().y / 2.0), name, cx.theme.secondary);
    let bar = Rect::from_x_y_ranges(bar_left..=(bar_left + 160.0).min(rect.right() - 16.0), rect.center().y - 4.0..=rect.center().y + 4.0);
    for i in 0..40 {
        let w = bar.width() / 40.0;
        let part = Rect::from_min_size(bar.min + vec2(i as f32 * w, 0.0), vec2(w + 0.5, bar.height()));
        p.rect_filled(part, 0.0, probability_colour(cx, i as f32 / 39.0));
    }
    p.text(pos2(bar.right() + 6.0, rect.center().y), Align2::LEFT_CENTER, "1", font, cx.theme.secondary);
}

/// Every layer at one token: its five likeliest next tokens, entropy, place of the model's answer.
fn answers_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, position: usize) {
    let app = cx.app;
    let live = &app.lens;
    let token = visible::alone(&live.tokens[position].piece);
    ui.horizontal(|ui| {
        ui.label(cx.theme.strong(format!("After {} `{token}`", live.from + position)));
        ui.add(Label::new(cx.theme.small("click a column for another token")).truncate());
    });
    let grids: Vec<(&str, &LensGrid)> = match &live.changed {
        None => vec![("", &live.plain)],
        Some(changed) => vec![("as it is", &live.plain), ("ablated", changed)],
    };
    let theme = cx.theme;
    ScrollArea::vertical().id_salt("lens answers").auto_shrink([false, false]).show(ui, |ui| {
        let width = (ui.available_width() - 12.0 * (grids.len() - 1) as f32) / grids.len() as f32;
        let layers = live.plain.len();
        for layer in (0..layers).rev() {
            let (rect, r) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
            if r.hovered() {
                cx.link.hover_layer(layer);
            }
            if cx.link.is_layer_hovered(layer) {
                ui.painter().rect_filled(rect, 2.0, theme.raised);
            }
            let mut spoken = format!("L{layer}");
            for (i, (name, grid)) in grids.iter().enumerate() {
                let Some(a) = grid[layer].get(position) else { continue };
                let place = Rect::from_min_size(rect.min + vec2(i as f32 * (width + 12.0), 0.0), vec2(width, rect.height()));
                answer_row(ui, theme, place, layer, a);
                let said: Vec<String> =
                    a.top.iter().map(|w| format!("{} {}", visible::alone(&w.piece), sig3(f64::from(w.value)))).collect();
                spoken.push_str(&format!("{name} {}, entropy {:.2} bits, rank {}; ", said.join(", "), a.entropy_bits, a.rank + 1));
            }
            r.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, spoken.trim_end_matches("; ")));
        }
    });
}

/// `L7  ·Paris 0.42  ·the 0.11 …        2.31 bits  #1`
fn answer_row(ui: &Ui, theme: &Theme, rect: Rect, layer: usize, a: &LensAnswer) {
    let p = ui.painter_at(rect);
    let (small, body) = (FontId::proportional(theme::SMALL), FontId::proportional(theme::BODY));
    p.text(rect.left_center(), Align2::LEFT_CENTER, format!("L{layer}"), small.clone(), theme.secondary);
    let right = p.layout_no_wrap(format!("{:.1} bits  #{}", a.entropy_bits, a.rank + 1), small.clone(), theme.secondary);
    let end = rect.right() - right.size().x;
    p.galley(pos2(end, rect.center().y - right.size().y / 2.0), right, theme.secondary);
    let mut x = rect.left() + 30.0;
    for (i, word) in a.top.iter().enumerate() {
        let mut job = LayoutJob::simple_singleline(visible::alone(&word.piece), body.clone(), theme.text);
        job.wrap = TextWrapping::truncate_at_width(120.0);
        let text = p.layout_job(job);
        let value = p.layout_no_wrap(sig3(f64::from(word.value)), small.clone(), theme.secondary);
        let needed = text.size().x + 4.0 + value.size().x;
        // The likeliest is always there, the others where there is room for all of them.
        if i > 0 && x + needed > end - 10.0 {
            break;
        }
        p.galley(pos2(x, rect.center().y - text.size().y / 2.0), text.clone(), theme.text);
        p.galley(pos2(x + text.size().x + 4.0, rect.center().y - value.size().y / 2.0), value, theme.secondary);
        x += needed + 12.0;
    }
}

fn table(grid: &LensGrid, position: usize) -> Table {
    let mut t = Table::new(&[("layer", true), ("entropy (bits)", true), ("rank of the answer", true)]);
    let most = grid.iter().filter_map(|r| r.get(position)).map(|a| a.top.len()).max().unwrap_or(0);
    for i in 1..=most {
        t.column(format!("token {i}"), false);
        t.column(format!("p {i}"), true);
    }
    for (layer, row) in grid.iter().enumerate() {
        let Some(a) = row.get(position) else { continue };
        let mut cells = vec![layer.to_string(), format!("{:.4}", a.entropy_bits), (a.rank + 1).to_string()];
        for i in 0..most {
            let word = a.top.get(i);
            cells.push(word.map_or_else(String::new, |w| visible::alone(&w.piece)));
            cells.push(word.map_or_else(String::new, |w| format!("{:.6}", w.value)));
        }
        t.row(cells);
    }
    t
}
