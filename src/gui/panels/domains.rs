//! The domains: which there are, which are included, how their rows are read, and the first prompts before anything runs.

use super::{domain_mapping::MappingEditor, domain_prompts::Prompts};
use crate::{
    app::{Command, DomainEntry, JobTarget, Loading, ProjectDomain},
    data::{Domain, DomainKind, Mapping},
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            control::{caption, caption_width, colour_spot, group, remark, room_for, tag},
            number::{count, counted},
            states::{failed_strip_ui, progress_line},
            table::{Fact, Table, facts, icon_button},
        },
    },
};
use eframe::egui::{self, Align, Key, Label, Layout, Popup, RichText, ScrollArea, Sense, TextEdit, Ui, vec2};
use egui_material_icons::icons;
use std::path::PathBuf;

#[derive(Default)]
pub struct DomainsPanel {
    path: String,
    prompts: Prompts,
    mapping: MappingEditor,
    /// Skipped rows are listed.
    skipped: bool,
}

impl Panel for DomainsPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            if app.project.domains.is_empty() {
                remark(ui, cx.theme, "No domain yet. A domain is a dataset: questions with choices, labelled text, or plain text.");
            }
            for d in &app.project.domains {
                row_ui(ui, cx, d);
            }
            self.add_ui(ui, cx);
            let chosen = cx.link.focus_domain.clone().or_else(|| app.project.view.domain.clone());
            let shown = chosen.and_then(|n| app.library.domain(&n)).or(app.library.domains.first());
            if let Some(entry) = shown {
                ui.add_space(4.0);
                ui.separator();
                self.detail_ui(ui, cx, entry);
            }
        });
    }
}

fn row_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, d: &ProjectDomain) {
    let entry = cx.app.library.domain(&d.name);
    let selected = cx.link.focus_domain.as_deref() == Some(d.name.as_str());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let mut on = d.enabled;
        let check = ui.add(egui::Checkbox::without_text(&mut on)).on_hover_text("Included in the next scan and in accuracies");
        if check.accessible_name(format!("Include {}", d.name)).changed() {
            cx.send(Command::EnableDomain { name: d.name.clone(), on });
        }
        let spot = colour_spot(ui, cx.theme, cx.theme.domain(d.colour), &d.name);
        Popup::menu(&spot).accessible_name(format!("Colours for {}", d.name)).show(|ui| {
            ui.horizontal(|ui| {
                for colour in 0..crate::app::project::PALETTE {
                    let (rect, response) = ui.allocate_exact_size(vec2(theme::ROW, theme::ROW), Sense::click());
                    let name = format!("Colour {}", colour + 1);
                    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &name));
                    ui.painter().circle_filled(rect.center(), 7.0, cx.theme.domain(colour));
                    if response.hovered() || colour == d.colour {
                        ui.painter().circle_stroke(rect.center(), 10.0, egui::Stroke::new(1.5, cx.theme.text));
                    }
                    if response.clicked() {
                        cx.send(Command::ColourDomain { name: d.name.clone(), colour });
                        ui.close();
                    }
                }
            });
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, icons::ICON_CLOSE, &format!("Remove {}", d.name), "Undo brings it back").clicked() {
                cx.send(Command::RemoveDomain { name: d.name.clone() });
            }
            state_tags(ui, cx, entry);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let ink = if d.enabled { cx.theme.text } else { cx.theme.secondary };
                let button = egui::Button::selectable(selected, RichText::new(&d.name).color(ink)).truncate();
                let response = ui.add(button.min_size(vec2(0.0, theme::ROW)));
                if response.hovered() {
                    cx.link.hover_domain(&d.name);
                }
                if response.clicked() {
                    cx.link.focus_domain = Some(d.name.clone());
                }
            });
        });
    });
}

fn state_tags(ui: &mut Ui, cx: &PanelCx<'_>, entry: Option<&DomainEntry>) {
    match entry.map(|e| &e.state) {
        Some(Loading::Ready(d)) => {
            ui.label(cx.theme.faint(count(d.items.len() as u64))).on_hover_text(format!("items in the {} split", d.split));
            tag(ui, cx.theme, kind_word(d.kind), cx.theme.secondary).on_hover_text(kind_sentence(d.kind));
            if !d.skipped.is_empty() {
                let text = format!("{} skipped", count(d.skipped.len() as u64));
                tag(ui, cx.theme, &text, cx.theme.warn).on_hover_text("Rows that could not be used; select the domain to see why");
            }
        }
        Some(Loading::Working) => {
            ui.label(cx.theme.small("reading"));
        }
        Some(Loading::Failed(message)) => {
            ui.label(icons::ICON_ERROR.rich_text().size(16.0).color(cx.theme.bad)).on_hover_text(message);
        }
        Some(Loading::Stopped) => {
            ui.label(cx.theme.small("stopped")).on_hover_text("Reading it was stopped; select it to read it");
        }
        None => {
            ui.label(cx.theme.small("not read"));
        }
    }
}

pub fn kind_word(kind: DomainKind) -> &'static str {
    match kind {
        DomainKind::Text => "text",
        DomainKind::Answer => "answer",
        DomainKind::MultipleChoice => "choices",
        DomainKind::Pairs => "pairs",
    }
}

fn kind_sentence(kind: DomainKind) -> &'static str {
    match kind {
        DomainKind::Text => "Plain text: loss and perplexity over all tokens",
        DomainKind::Answer => "One right answer: loss over its tokens",
        DomainKind::MultipleChoice => "Multiple choice: accuracy by log-likelihood",
        DomainKind::Pairs => "Two texts with a score of their likeness: loss and perplexity over all tokens",
    }
}

impl DomainsPanel {
    fn add_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        ui.add_space(4.0);
        ui.horizontal_wrapped(|ui| {
            if ui
                .button("Add a domain…")
                .on_hover_text("JSON Lines, JSON, CSV, TSV, Parquet or text; files can be dropped on the window too")
                .clicked()
            {
                cx.link.ask(Ask::AddDomain);
            }
            // Name, field and button stay together.
            room_for(ui, caption_width(ui, "or its path") + 232.0);
            caption(ui, cx.theme, "or its path");
            let room = (ui.available_size_before_wrap().x - 64.0).max(80.0);
            let edit = TextEdit::singleline(&mut self.path).hint_text("/data/questions.jsonl").desired_width(room);
            let field = ui.add(edit).accessible_name("Path of a dataset");
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let filled = !self.path.trim().is_empty();
            let add = ui.add_enabled(filled, egui::Button::new("Add")).clicked();
            if filled && (add || entered) {
                let path = PathBuf::from(self.path.trim());
                let name = free_name(cx, &path);
                cx.link.focus_domain = Some(name.clone());
                cx.send(Command::AddDomain { name, path, mapping: Mapping::default() });
                self.path.clear();
            }
        });
    }

    fn detail_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &DomainEntry) {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(10.0, theme::ROW), Sense::hover());
            ui.painter().circle_filled(rect.center(), 5.0, cx.domain_colour(&entry.name));
            ui.label(cx.theme.title(&entry.name));
        });
        match &entry.state {
            Loading::Working => {
                let job = cx.app.job_for(|t| matches!(t, JobTarget::Domain { name, .. } if *name == entry.name));
                let text = job.map_or("Reading".to_owned(), |j| format!("{} · {}", j.title, progress_line(j)));
                remark(ui, cx.theme, text);
            }
            Loading::Stopped => {
                remark(ui, cx.theme, format!("Reading {} was stopped.", entry.path.display()));
                if ui.button("Read it").clicked() {
                    cx.send(Command::AddDomain { name: entry.name.clone(), path: entry.path.clone(), mapping: entry.mapping.clone() });
                }
            }
            Loading::Failed(message) => {
                let what = format!("{} could not be read", entry.path.display());
                if failed_strip_ui(ui, cx, &what, message, "Read again") {
                    cx.send(Command::AddDomain { name: entry.name.clone(), path: entry.path.clone(), mapping: entry.mapping.clone() });
                }
                self.mapping.ui(ui, cx, entry);
            }
            Loading::Ready(domain) => {
                let test = entry.test.as_deref();
                self.ready_ui(ui, cx, entry, domain, test);
            }
        }
    }

    fn ready_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, entry: &DomainEntry, domain: &Domain, test: Option<&Domain>) {
        let path = domain.source.display().to_string();
        let mut list = vec![
            Fact::copied("file", path.clone(), path),
            Fact::new("scanned", format!("{}, split {}", counted(domain.items.len() as u64, "item"), domain.split)),
        ];
        if let Some(test) = test {
            list.push(Fact::new("scored", format!("{}, split {}", counted(test.items.len() as u64, "item"), test.split)));
        }
        list.push(Fact::new("prompt", &domain.template).hover(&domain.template));
        list.push(Fact::hash("SHA-256", &domain.sha256));
        facts(ui, cx.theme, &list);
        self.skipped_ui(ui, cx, domain);
        self.mapping.ui(ui, cx, entry);
        group(ui, cx.theme, "WHAT THE MODEL READS");
        remark(ui, cx.theme, "A dot is a space at the end of a piece.");
        self.prompts.ui(ui, cx, domain);
    }

    fn skipped_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, domain: &Domain) {
        if domain.skipped.is_empty() {
            return;
        }
        ui.horizontal(|ui| {
            ui.label(icons::ICON_WARNING.rich_text().size(16.0).color(cx.theme.warn));
            ui.label(format!("{} skipped", counted(domain.skipped.len() as u64, "row")));
            let text = if self.skipped { "Hide" } else { "Show why" };
            if ui.button(text).clicked() {
                self.skipped = !self.skipped;
            }
            if ui.button("Copy as a table").clicked() {
                cx.link.ask(Ask::Copy(skipped_table(domain).tsv()));
            }
        });
        if self.skipped {
            let file = domain.source.file_name().map_or(String::new(), |f| f.to_string_lossy().into_owned());
            for p in domain.skipped.iter().take(50) {
                ui.add(Label::new(RichText::new(format!("{file}:{}: {}", p.line, p.message)).size(theme::SMALL)).wrap().selectable(true));
            }
            if domain.skipped.len() > 50 {
                remark(ui, cx.theme, format!("and {} more; copy them as a table", count((domain.skipped.len() - 50) as u64)));
            }
        }
    }
}

fn skipped_table(domain: &Domain) -> Table {
    let mut t = Table::new(&[("file", false), ("line", true), ("reason", false)]);
    for p in &domain.skipped {
        t.row(vec![domain.source.display().to_string(), p.line.to_string(), p.message.clone()]);
    }
    t
}

/// The file's name without its end, made different from the names there are.
fn free_name(cx: &PanelCx<'_>, path: &std::path::Path) -> String {
    let stem = path.file_stem().map_or("domain".to_owned(), |s| s.to_string_lossy().into_owned());
    let taken = |name: &str| cx.app.project.domain(name).is_some();
    if !taken(&stem) {
        return stem;
    }
    (2..).map(|i| format!("{stem} {i}")).find(|n| !taken(n)).unwrap_or(stem)
}

pub fn make() -> Box<dyn Panel> {
    Box::<DomainsPanel>::default()
}
