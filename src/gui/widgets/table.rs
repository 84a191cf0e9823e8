//! Tables: the twin of every chart, sortable, copyable as TSV; and short lists of facts.

use super::number;
use crate::gui::{Theme, theme};
use eframe::egui::{self, Align, Label, Layout, Response, RichText, Sense, Ui};
use egui_extras::{Column, TableBuilder};

/// Cells as they are shown. A column whose cells are numbers is right-aligned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<(String, bool)>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[(&str, bool)]) -> Self {
        Self { columns: columns.iter().map(|(t, right)| ((*t).to_owned(), *right)).collect(), rows: Vec::new() }
    }
    pub fn column(&mut self, title: impl Into<String>, right: bool) {
        self.columns.push((title.into(), right));
    }
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }
    /// Tab-separated, with a head; tabs and line breaks inside cells become spaces.
    pub fn tsv(&self) -> String {
        let clean = |s: &str| s.replace(['\t', '\n', '\r'], " ");
        let head = self.columns.iter().map(|(t, _)| clean(t)).collect::<Vec<_>>().join("\t");
        let rows = self.rows.iter().map(|r| r.iter().map(|c| clean(c)).collect::<Vec<_>>().join("\t"));
        std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
    }
    /// Row order for a sort by `column`: by number where both cells start with one, else by text.
    pub fn order(&self, sort: Option<(usize, bool)>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if let Some((column, descending)) = sort {
            order.sort_by(|&a, &b| {
                let (x, y) = (&self.rows[a][column], &self.rows[b][column]);
                let by = match (leading_number(x), leading_number(y)) {
                    (Some(p), Some(q)) => p.total_cmp(&q),
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (None, None) => x.cmp(y),
                };
                if descending { by.reverse() } else { by }
            });
        }
        order
    }

    /// Room that a column wants: of its title, with the mark of a sort, and of the longest of its first cells.
    fn width(&self, ui: &Ui, i: usize, title: &str) -> f32 {
        let longest = self.rows.iter().take(200).map(|r| r[i].as_str()).max_by_key(|c| c.chars().count()).unwrap_or_default();
        let wide = |text: &str| super::control::caption_width(ui, text);
        (wide(longest).max(wide(title) + 16.0) + 10.0 + self.before(i)).clamp(44.0, 320.0)
    }
    /// Words that follow a column of numbers stand clear of them.
    fn before(&self, i: usize) -> f32 {
        let right = |i: usize| self.columns.get(i).is_some_and(|c| c.1);
        if i > 0 && right(i - 1) && !right(i) { 10.0 } else { 0.0 }
    }

    /// Virtualised; a click on a head sorts. Where not all columns have room, the first stays and whole ones of the others are seen.
    /// `salt` keeps the sort between frames.
    pub fn ui(&self, ui: &mut Ui, theme: &Theme, salt: &str) {
        let id = ui.scope_id().with(("sort", salt));
        let mut sort: Option<(usize, bool)> = ui.data(|d| d.get_temp(id)).flatten();
        sort = sort.filter(|(c, _)| *c < self.columns.len());
        let order = self.order(sort);
        let widths: Vec<f32> = self.columns.iter().enumerate().map(|(i, (title, _))| self.width(ui, i, title)).collect();
        ui.push_id(salt, |ui| {
            let mut window = ColumnWindow::new(ui, &widths, 1);
            let (shown, room_below) = (window.shown(), ui.available_height());
            let mut builder =
                TableBuilder::new(ui).striped(false).cell_layout(Layout::left_to_right(Align::Center)).auto_shrink([true, true]);
            if window.is_part() {
                let room = room_below;
                builder = builder.max_scroll_height((room - theme::ROW - ColumnWindow::FOOT - 8.0).max(60.0));
            }
            for &i in &shown {
                builder = builder.column(Column::initial(window.width(i)).at_least(36.0).clip(true));
            }
            builder
                .header(theme::ROW, |mut head| {
                    for &i in &shown {
                        let (title, right) = &self.columns[i];
                        head.col(|ui| {
                            let layout = if *right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
                            ui.with_layout(layout, |ui| {
                                ui.add_space(self.before(i));
                                let mark = match sort {
                                    Some((c, true)) if c == i => " ↓",
                                    Some((c, false)) if c == i => " ↑",
                                    _ => "",
                                };
                                let text = theme.group(format!("{title}{mark}"));
                                if ui.add(Label::new(text).sense(Sense::click())).on_hover_text("Click to sort").clicked() {
                                    sort = match sort {
                                        Some((c, false)) if c == i => Some((i, true)),
                                        Some((c, true)) if c == i => None,
                                        _ => Some((i, false)),
                                    };
                                }
                            });
                        });
                    }
                })
                .body(|body| {
                    body.rows(20.0, order.len(), |mut row| {
                        let cells = &self.rows[order[row.index()]];
                        for &i in &shown {
                            row.col(|ui| {
                                let right = self.columns[i].1;
                                let layout =
                                    if right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
                                ui.with_layout(layout, |ui| {
                                    ui.add_space(self.before(i));
                                    ui.add(Label::new(RichText::new(&cells[i]).color(theme.text)).truncate());
                                });
                            });
                        }
                    });
                });
            let table = ui.min_rect();
            window.foot_ui(ui, theme, table);
        });
        ui.data_mut(|d| d.insert_temp(id, sort));
    }
}

/// Which columns of a table are seen where not all have room: whole ones only, since a number that is cut at an edge reads as another number.
pub struct ColumnWindow {
    id: egui::Id,
    widths: Vec<f32>,
    /// So many columns at the left always stay.
    fixed: usize,
    /// The first of the others that is seen, and how many.
    first: usize,
    seen: usize,
}

/// Columns may be this share of what they want before some of them are left out.
const SQUEEZE: f32 = 0.8;

impl ColumnWindow {
    /// Room that the line below the table takes.
    pub const FOOT: f32 = 30.0;

    /// `widths`: what each column wants, without the space between them.
    pub fn new(ui: &Ui, widths: &[f32], fixed: usize) -> Self {
        let id = ui.scope_id().with("columns");
        let fixed = fixed.min(widths.len());
        let gap = ui.spacing().item_spacing.x;
        // A scroll bar may come. What stays leaves room for something beside it, and nothing is wider than its room.
        let all = ui.available_width() - 10.0;
        let mut widths = widths.to_vec();
        // Wants are rounded up: what is a little too wide for the room is squeezed, not split.
        let gaps = gap * widths.len().saturating_sub(1) as f32;
        let share = (all - gaps) / widths.iter().sum::<f32>().max(1.0);
        if (SQUEEZE..1.0).contains(&share) {
            widths.iter_mut().for_each(|w| *w *= share - 1e-3);
        }
        let most = (all * 0.6 / fixed.max(1) as f32).max(36.0);
        widths[..fixed].iter_mut().for_each(|w| *w = w.min(most));
        let room = all - widths[..fixed].iter().map(|w| w + gap).sum::<f32>();
        widths[fixed..].iter_mut().for_each(|w| *w = w.min(room.max(36.0)));
        let others = &widths[fixed..];
        let fit = |from: usize| {
            let mut left = room + gap;
            let fits = |w: &&f32| {
                left -= **w + gap;
                left >= 0.0
            };
            others[from..].iter().take_while(fits).count()
        };
        // As far right as leaves no room empty that a column could take.
        let last = (0..others.len()).find(|&f| f + fit(f) >= others.len()).unwrap_or(others.len().saturating_sub(1));
        let first = ui.data(|d| d.get_temp::<usize>(id)).unwrap_or(0).min(last);
        let seen = fit(first).max(1).min(others.len());
        Self { id, fixed, first, seen, widths }
    }
    pub fn is_part(&self) -> bool {
        self.seen < self.widths.len() - self.fixed
    }
    /// Numbers of the columns that are seen.
    pub fn shown(&self) -> Vec<usize> {
        let others = self.fixed + self.first..self.fixed + self.first + self.seen;
        (0..self.fixed).chain(others).collect()
    }
    pub fn width(&self, column: usize) -> f32 {
        self.widths[column]
    }
    /// Which are seen and the way to the others; turning the wheel sideways goes there too.
    pub fn foot_ui(&mut self, ui: &mut Ui, theme: &Theme, table: egui::Rect) {
        use egui_material_icons::icons::{ICON_CHEVRON_LEFT, ICON_CHEVRON_RIGHT};
        if !self.is_part() {
            return;
        }
        let all = self.widths.len() - self.fixed;
        let mut to = self.first;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            ui.add_enabled_ui(self.first > 0, |ui| {
                if icon_button(ui, ICON_CHEVRON_LEFT, "Columns before", "Shift and the wheel go there too").clicked() {
                    to = to.saturating_sub(self.seen);
                }
            });
            let last = self.first + self.seen;
            let words =
                if self.seen == 1 { format!("column {last} of {all}") } else { format!("columns {} to {last} of {all}", self.first + 1) };
            ui.label(theme.small(words));
            ui.add_enabled_ui(last < all, |ui| {
                if icon_button(ui, ICON_CHEVRON_RIGHT, "Next columns", "Shift and the wheel go there too").clicked() {
                    to += self.seen;
                }
            });
        });
        // What the wheel has turned and no column has answered yet.
        let turned = self.id.with("turned");
        if ui.rect_contains_pointer(table) {
            let sideways = ui.input(|i| i.smooth_scroll_delta.x);
            let mut rest = ui.data(|d| d.get_temp::<f32>(turned)).unwrap_or(0.0) + sideways;
            const STEP: f32 = 60.0;
            while rest.abs() >= STEP {
                to = if rest < 0.0 { to + 1 } else { to.saturating_sub(1) };
                rest -= STEP.copysign(rest);
            }
            ui.data_mut(|d| d.insert_temp(turned, rest));
        }
        if to != self.first {
            ui.data_mut(|d| d.insert_temp(self.id, to));
            ui.ctx().request_repaint();
        }
    }
}

fn leading_number(text: &str) -> Option<f64> {
    let word = text.split_whitespace().next()?;
    word.replace(',', "").parse().ok()
}

/// The switch between a chart and its table, and the copy button beside it. Returns whether the table shows.
pub fn twin_switch(ui: &mut Ui, table_shown: &mut bool, what: &str, table: impl FnOnce() -> Table) {
    use egui_material_icons::icons::{ICON_CONTENT_COPY, ICON_SHOW_CHART, ICON_TABLE_ROWS};
    let copy = icon_button(ui, ICON_CONTENT_COPY, &format!("Copy {what} as a table"), "Tab-separated, for a spreadsheet or a notebook");
    if copy.clicked() {
        ui.ctx().copy_text(table().tsv());
    }
    let (icon, name) = if *table_shown { (ICON_SHOW_CHART, "chart") } else { (ICON_TABLE_ROWS, "table") };
    if icon_button(ui, icon, &format!("Show {what} as a {name}"), "").clicked() {
        *table_shown = !*table_shown;
    }
}

/// A flat button with an icon, a spoken name and a hover text.
pub fn icon_button(ui: &mut Ui, icon: egui_material_icons::MaterialIcon, name: &str, more: &str) -> Response {
    let text = icon.rich_text().size(16.0);
    let button = egui::Button::new(text).frame_when_inactive(false).min_size(egui::vec2(theme::ROW, theme::ROW));
    let hover = if more.is_empty() { name.to_owned() } else { format!("{name}\n{more}") };
    let padding = std::mem::replace(&mut ui.spacing_mut().button_padding.x, (ICON - 16.0) / 2.0);
    let response = ui.add(button).on_hover_text(hover).accessible_name(name);
    ui.spacing_mut().button_padding.x = padding;
    response
}

/// Width of an icon button.
const ICON: f32 = 28.0;

/// Width of `n` icon buttons in a row of [`super::control::bar`].
pub fn icons_width(n: usize) -> f32 {
    n as f32 * (ICON + 2.0)
}

/// Facts, one a line: name in secondary, value in text. A value given with `copy` has a copy button for the whole of it.
pub struct Fact<'a> {
    pub name: &'a str,
    pub value: String,
    pub copy: Option<String>,
    pub hover: Option<String>,
}

impl<'a> Fact<'a> {
    pub fn new(name: &'a str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), copy: None, hover: None }
    }
    pub fn copied(name: &'a str, value: impl Into<String>, whole: impl Into<String>) -> Self {
        let whole = whole.into();
        Self { name, value: value.into(), hover: Some(whole.clone()), copy: Some(whole) }
    }
    pub fn hover(mut self, text: impl Into<String>) -> Self {
        self.hover = Some(text.into());
        self
    }
    /// A SHA-256, shown by its ends.
    pub fn hash(name: &'a str, hash: &str) -> Self {
        Self::copied(name, number::elided(hash, 8, 4), hash)
    }
}

pub fn facts(ui: &mut Ui, theme: &Theme, facts: &[Fact<'_>]) {
    let names = facts
        .iter()
        .map(|f| ui.painter().layout_no_wrap(f.name.to_owned(), super::chart::small_font(), theme.secondary).size().x)
        .fold(0.0f32, f32::max);
    for fact in facts {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            super::control::name_cell(ui, theme.small(fact.name), names + 8.0, 20.0);
            let room = ui.available_width() - if fact.copy.is_some() { 28.0 } else { 0.0 };
            let value = ui
                .scope(|ui| {
                    ui.set_max_width(room.max(40.0));
                    ui.add(Label::new(&fact.value).truncate())
                })
                .inner;
            if let Some(text) = &fact.hover {
                value.on_hover_text(text);
            }
            if let Some(text) = &fact.copy {
                let icon = egui_material_icons::icons::ICON_CONTENT_COPY.rich_text().size(13.0).color(theme.secondary);
                let button = egui::Button::new(icon).frame_when_inactive(false).min_size(egui::vec2(20.0, 20.0));
                let name = format!("Copy {}", fact.name);
                if ui.add(button).on_hover_text(&name).accessible_name(name).clicked() {
                    ui.ctx().copy_text(text.clone());
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tsv_has_a_head_and_no_stray_breaks() {
        let mut t = Table::new(&[("layer", true), ("note", false)]);
        t.row(vec!["0".into(), "a\tb\nc".into()]);
        assert_eq!(t.tsv(), "layer\tnote\n0\ta b c");
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut t = Table::new(&[("n", true)]);
        for v in ["10", "9", "undefined", "1,200"] {
            t.row(vec![v.into()]);
        }
        let sorted = |sort| t.order(sort).iter().map(|&i| t.rows[i][0].as_str()).collect::<Vec<_>>();
        assert_eq!(sorted(Some((0, false))), ["9", "10", "1,200", "undefined"]);
        assert_eq!(sorted(None), ["10", "9", "undefined", "1,200"]);
    }
}
