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

    /// Virtualised; a click on a head sorts. `salt` keeps the sort between frames.
    pub fn ui(&self, ui: &mut Ui, theme: &Theme, salt: &str) {
        let id = ui.scope_id().with(("sort", salt));
        let mut sort: Option<(usize, bool)> = ui.data(|d| d.get_temp(id)).flatten();
        sort = sort.filter(|(c, _)| *c < self.columns.len());
        let order = self.order(sort);
        ui.push_id(salt, |ui| {
            egui::ScrollArea::horizontal().id_salt("wide").show(ui, |ui| {
                let mut builder =
                    TableBuilder::new(ui).striped(false).cell_layout(Layout::left_to_right(Align::Center)).auto_shrink([true, true]);
                for (i, (title, _)) in self.columns.iter().enumerate() {
                    let widest = self.rows.iter().take(200).map(|r| r[i].chars().count()).max().unwrap_or(0).max(title.chars().count() + 2);
                    builder = builder.column(Column::initial((widest as f32 * 6.6 + 12.0).clamp(44.0, 320.0)).at_least(36.0).clip(true));
                }
                builder
                    .header(theme::ROW, |mut head| {
                        for (i, (title, right)) in self.columns.iter().enumerate() {
                            head.col(|ui| {
                                let layout =
                                    if *right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
                                ui.with_layout(layout, |ui| {
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
                            for (cell, (_, right)) in cells.iter().zip(&self.columns) {
                                row.col(|ui| {
                                    let layout =
                                        if *right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
                                    ui.with_layout(layout, |ui| {
                                        ui.add(Label::new(RichText::new(cell).color(theme.text)).truncate());
                                    });
                                });
                            }
                        });
                    });
            });
        });
        ui.data_mut(|d| d.insert_temp(id, sort));
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
