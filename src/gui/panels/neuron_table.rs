//! The neuron map as a table: every neuron with its value in each domain, sorted, filtered, selected and copied.

use super::neuron_rows::{Among, Filter, Rows, Wanted, cell, columns, problem, tsv};
use crate::{
    app::{Command, RunEntry},
    base::{Neuron, NeuronSet},
    gui::{
        Ask, PanelCx, theme,
        widgets::{
            control::{choice, parse_number},
            number,
            table::{ColumnWindow, icon_button},
        },
    },
    scan::MetricKind,
};
use eframe::egui::{Align, Label, Layout, RichText, Sense, TextEdit, Ui, vec2};
use egui_extras::{Column, TableBuilder};
use egui_material_icons::icons;

/// Rows on one page: more would not scroll exactly.
const PAGE: usize = 100_000;
/// Rows that go to the clipboard at once.
const COPIED: usize = 100_000;
/// Widths of a row's name, of its mark and the least of a value.
const NAME: f32 = 92.0;
const MARK: f32 = 40.0;
const VALUE: f32 = 80.0;

#[derive(Default)]
pub struct NeuronTable {
    filter: Filter,
    above: String,
    sort: Option<(usize, bool)>,
    rows: Rows,
    page: usize,
    /// Where a range begins that shift ends.
    anchor: Option<usize>,
    /// Kept with the version it was made at.
    in_sets: Option<(u64, NeuronSet)>,
}

/// What a table asks the map to do.
pub enum Asked {
    Nothing,
    /// Shows this neuron in the map.
    Show(Neuron),
}

impl NeuronTable {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, run: &RunEntry, metric: MetricKind, off: &NeuronSet, version: u64) -> Asked {
        let mut asked = Asked::Nothing;
        let among = match self.filter.among {
            Among::All => None,
            Among::Selected => Some(&cx.app.project.view.selection),
            Among::Off => Some(off),
            Among::InSet => {
                if self.in_sets.as_ref().is_none_or(|s| s.0 != version) {
                    let all = cx.app.project.sets.iter().fold(NeuronSet::new(), |all, s| all.union(&s.neurons));
                    self.in_sets = Some((version, all));
                }
                self.in_sets.as_ref().map(|s| &s.1)
            }
        };
        self.sort = self.sort.filter(|s| s.0 < columns(&run.output, metric).len());
        let wanted = Wanted { metric, filter: self.filter.clone(), sort: self.sort };
        let (rows, current) = self.rows.get(ui.ctx(), &run.output, &wanted, among, if among.is_some() { version } else { 0 });
        self.bar_ui(ui, cx, run, metric, &rows, current, off);
        if let Some(problem) = problem(&self.filter) {
            ui.label(RichText::new(problem).color(cx.theme.warn));
        }
        let pages = rows.len().div_ceil(PAGE).max(1);
        self.page = self.page.min(pages - 1);
        let page = &rows[self.page * PAGE..rows.len().min((self.page + 1) * PAGE)];
        let mut window = self.window(ui, columns(&run.output, metric).len());
        let foot = if pages > 1 || window.is_part() { ColumnWindow::FOOT + 2.0 } else { 0.0 };
        let room = vec2(ui.available_width(), (ui.available_height() - foot).max(60.0));
        let table = ui.allocate_ui(room, |ui| {
            ui.set_min_size(room);
            self.table_ui(ui, cx, run, metric, page, off, &window, &mut asked);
        });
        if foot > 0.0 {
            ui.horizontal(|ui| {
                window.foot_ui(ui, cx.theme, table.response.rect);
                if pages < 2 {
                    return;
                }
                if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Page before", "").clicked() {
                    self.page = self.page.saturating_sub(1);
                }
                let first = self.page * PAGE;
                let text = format!(
                    "{} to {} of {}",
                    number::count(first as u64 + 1),
                    number::count((first + page.len()) as u64),
                    number::count(rows.len() as u64)
                );
                ui.label(cx.theme.small(text));
                if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Next page", "").clicked() {
                    self.page = (self.page + 1).min(pages - 1);
                }
            });
        }
        asked
    }

    /// Names and marks always stay; of the domains as many as have room share what is left.
    fn window(&self, ui: &Ui, domains: usize) -> ColumnWindow {
        let gap = ui.spacing().item_spacing.x;
        let room = ui.available_width() - NAME - MARK - 2.0 * gap - 10.0;
        let fit = (((room + gap) / (VALUE + gap)) as usize).max(1);
        let value = if fit < domains { (room + gap) / fit as f32 - gap - 0.01 } else { VALUE };
        let widths: Vec<f32> = [NAME, MARK].into_iter().chain(std::iter::repeat_n(value, domains)).collect();
        ColumnWindow::new(ui, &widths, 2)
    }

    #[expect(clippy::too_many_arguments, reason = "the bar says and does all that the rows below are")]
    fn bar_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        metric: MetricKind,
        rows: &[u32],
        current: bool,
        off: &NeuronSet,
    ) {
        let before = self.filter.clone();
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 4.0);
            let field = TextEdit::singleline(&mut self.filter.names).hint_text("L2-5, N17, L3N10-20").desired_width(156.0);
            ui.add(field).on_hover_text("Layers, neuron numbers, or neurons").accessible_name("Filter neurons");
            let field = TextEdit::singleline(&mut self.above).hint_text("value from").desired_width(88.0);
            let hover = format!("The least magnitude in any domain ({})", metric.info().unit);
            if ui.add(field).on_hover_text(hover.replace(" ()", "")).accessible_name("Least value").changed() {
                self.filter.above = parse_number(&self.above);
            }
            let options = [
                (Among::All, "all", "Every neuron"),
                (Among::Selected, "selected", "Those in the selection"),
                (Among::Off, "off", "Those that are switched off"),
                (Among::InSet, "in a set", "Those of any set, whether it is off or not"),
            ];
            choice(ui, cx.theme, &mut self.filter.among, &options);
            let n = rows.len();
            if !current {
                ui.spinner();
            }
            let text = format!("Select {}", number::counted(n as u64, "neuron"));
            if ui
                .add_enabled(n > 0 && current, eframe::egui::Button::new(text))
                .on_hover_text("Makes the listed rows the selection")
                .clicked()
            {
                cx.send(Command::SelectNeurons { neurons: rows.iter().map(|&i| neuron(i, run)).collect() });
            }
            let more = if n > COPIED {
                format!("The first {} rows, tab-separated", number::count(COPIED as u64))
            } else {
                "Tab-separated".to_owned()
            };
            if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the neurons as a table", &more).clicked() {
                cx.link.ask(Ask::Copy(tsv(&run.output, metric, &rows[..n.min(COPIED)], off)));
            }
        });
        if before != self.filter {
            (self.page, self.anchor) = (0, None);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a row shows what the run, the project and the filter say of it")]
    fn table_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelCx<'_>,
        run: &RunEntry,
        metric: MetricKind,
        page: &[u32],
        off: &NeuronSet,
        window: &ColumnWindow,
        asked: &mut Asked,
    ) {
        let columns = columns(&run.output, metric);
        let selection = &cx.app.project.view.selection;
        let theme = cx.theme;
        let mut sort = self.sort;
        let mut picked = None;
        let hovered = cx.link.hover().neuron;
        let mut over = None;
        let mut builder = TableBuilder::new(ui)
            .striped(false)
            .sense(Sense::click())
            .cell_layout(Layout::left_to_right(Align::Center))
            .auto_shrink([false, false])
            .column(Column::exact(NAME))
            .column(Column::exact(MARK));
        let seen: Vec<usize> = window.shown().into_iter().filter_map(|i| i.checked_sub(2)).collect();
        for &k in &seen {
            builder = builder.column(Column::exact(window.width(k + 2)).clip(true));
        }
        builder
            .header(theme::ROW, |mut head| {
                let mut title = |text: &str, key: Option<usize>, right: bool| {
                    head.col(|ui| {
                        let layout = if right { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
                        ui.with_layout(layout, |ui| {
                            let mark = match (sort, key) {
                                (Some((c, true)), Some(k)) if c == k => " ↓",
                                (Some((c, false)), Some(k)) if c == k => " ↑",
                                _ => "",
                            };
                            let label = Label::new(theme.group(format!("{text}{mark}"))).sense(Sense::click()).truncate();
                            if ui.add(label).on_hover_text("Click to sort").clicked() {
                                sort = key.map(|k| (k, sort != Some((k, true))));
                            }
                        });
                    });
                };
                title("neuron", None, false);
                title("", None, false);
                seen.iter().for_each(|&k| title(columns[k].0, Some(k), true));
            })
            .body(|body| {
                body.rows(20.0, page.len(), |mut row| {
                    let at = row.index();
                    let i = page[at];
                    let n = neuron(i, run);
                    row.set_selected(selection.contains(n));
                    row.set_hovered(hovered == Some(n));
                    row.col(|ui| {
                        ui.add(Label::new(RichText::new(n.to_string()).color(theme.text)).selectable(false));
                    });
                    row.col(|ui| {
                        if off.contains(n) {
                            ui.add(Label::new(theme.small("off")).selectable(false));
                        }
                    });
                    for grid in seen.iter().map(|&k| columns[k].1) {
                        row.col(|ui| {
                            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                                let text = cell(grid.values()[i as usize]);
                                ui.add(Label::new(RichText::new(text).color(theme.text)).selectable(false));
                            });
                        });
                    }
                    let response = row.response();
                    if response.hovered() {
                        over = Some(n);
                    }
                    if response.double_clicked() {
                        *asked = Asked::Show(n);
                    } else if response.clicked() {
                        picked = Some((at, n));
                    }
                    response.on_hover_text("Click selects, Ctrl adds, Shift takes a range; double click shows it in the map");
                });
            });
        if sort != self.sort {
            (self.sort, self.page, self.anchor) = (sort, 0, None);
        }
        if let Some(n) = over {
            cx.link.hover_neuron(n);
        }
        let Some((at, n)) = picked else { return };
        let (shift, command) = ui.input(|i| (i.modifiers.shift, i.modifiers.command));
        let mut neurons = if shift || command { selection.clone() } else { NeuronSet::new() };
        match self.anchor.filter(|a| shift && *a < page.len()) {
            Some(from) => {
                for &i in &page[from.min(at)..=from.max(at)] {
                    neurons.insert(neuron(i, run));
                }
            }
            None => {
                if !(command && neurons.remove(n)) {
                    neurons.insert(n);
                }
                self.anchor = Some(at);
            }
        }
        cx.link.focus_neuron = Some(n);
        cx.send(Command::SelectNeurons { neurons });
    }
}

fn neuron(i: u32, run: &RunEntry) -> Neuron {
    let cols = run.output.d_mlp.max(1) as u32;
    Neuron::new(i / cols, i % cols)
}
