//! Whether the project's numbers come again: every array that it holds, made anew and compared.

use crate::{
    app::{Command, Compared, Failure, JobTarget, ReplayReport, ReplayView, Results, TOLERANCE, Verdict, verdict_words},
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            control::{bar, group, remark},
            number::{duration, sig3},
            states::{empty_ui, failed_ui, stopped_ui, working_ui},
            table::{Fact, Table, facts, icon_button},
        },
    },
};
use eframe::egui::{Label, RichText, ScrollArea, Ui};
use egui_material_icons::icons;
use std::time::Duration;

#[derive(Default)]
pub struct ReplayPanel {
    /// Arrays that came again to the last bit too.
    all: bool,
}

pub fn make() -> Box<dyn Panel> {
    Box::<ReplayPanel>::default()
}

const SENTENCE: &str =
    "A replay makes every number of a project again, from its model and data, and compares them bit by bit with those it holds.";

impl Panel for ReplayPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let app = cx.app;
        let Some(view) = &app.replay else {
            if empty_ui(ui, cx.theme, icons::ICON_REPLAY, SENTENCE, "Replay this project") {
                cx.send(Command::Replay { path: None, model: None });
            }
            return;
        };
        if view.running {
            match app.job_for(|t| *t == JobTarget::Replay) {
                Some(job) => working_ui(ui, cx, job),
                None => {
                    empty_ui(ui, cx.theme, icons::ICON_REPLAY, "The replay begins.", "");
                }
            }
            return;
        }
        if let Some(failure) = &view.failed {
            let pressed = match failure {
                Failure::Cancelled => {
                    stopped_ui(ui, cx.theme, &format!("The replay of {} was stopped.", view.file.display()), "Replay again")
                }
                Failure::Failed(why) => failed_ui(ui, cx, "The project could not be replayed", why, "Replay again"),
            };
            if pressed {
                cx.send(again(view));
            }
            return;
        }
        if let Some(report) = &view.report {
            self.report_ui(ui, cx, view, report);
        }
    }
}

/// The file again, or the project as it is by now.
fn again(view: &ReplayView) -> Command {
    Command::Replay { path: (!view.of_project).then(|| view.file.clone()), model: None }
}

impl ReplayPanel {
    fn report_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &ReplayView, report: &ReplayReport) {
        let theme = cx.theme;
        let all = &mut self.all;
        let shown: Vec<&Compared> = report.lines.iter().filter(|l| *all || l.verdict != Verdict::Identical).collect();
        let table = table(&shown);
        bar(
            ui,
            2,
            cx,
            |ui, _| {
                ui.checkbox(all, "identical ones too");
            },
            |ui, cx| {
                if icon_button(ui, icons::ICON_CONTENT_COPY, "Copy the comparison as a table", "Tab-separated").clicked() {
                    cx.link.ask(Ask::Copy(table.tsv()));
                }
                if ui.button("Replay again").clicked() {
                    cx.send(again(view));
                }
                if ui.button("Another file…").clicked() {
                    cx.link.ask(Ask::ReplayProject);
                }
            },
        );
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            let (icon, ink) = match report.bad() {
                0 => (icons::ICON_CHECK_CIRCLE, theme.accent),
                _ => (icons::ICON_ERROR, theme.bad),
            };
            ui.horizontal_wrapped(|ui| {
                ui.label(icon.rich_text().size(18.0).color(ink));
                ui.add(Label::new(theme.strong(verdict_words(report))).wrap());
            });
            let (close, bad) = (report.count(Verdict::Close), report.bad());
            if close > 0 {
                remark(ui, theme, format!("{close} are within {TOLERANCE} of norm, sum and largest value: other arithmetic made them."));
            }
            if bad > 0 {
                ui.label(RichText::new(format!("{bad} are not the numbers that the project holds.")).color(theme.bad));
            }
            group(ui, theme, "MADE BY");
            facts(ui, theme, &made_by(report));
            if !shown.is_empty() {
                group(ui, theme, "ARRAYS");
                table.ui(ui, theme, "compared arrays");
            }
            ui.add_space(theme::GRID);
        });
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// What computed then and now.
fn made_by(r: &ReplayReport) -> Vec<Fact<'_>> {
    let both = |a: String, b: String| if a == b { a } else { format!("{a} then, {b} now") };
    let device = |r: &Results| r.scan.as_ref().map_or_else(|| "–".to_owned(), |s| s.device.clone());
    let mut list = vec![
        Fact::new("file", r.file.display().to_string()),
        Fact::new("model SHA-256", both(short(&r.stored.model_sha256), short(&r.found.model_sha256))),
        Fact::new("arithmetic", both(r.stored.arithmetic.clone(), r.found.arithmetic.clone())),
        Fact::new("scanned on", both(device(&r.stored), device(&r.found))),
    ];
    if let Some(scan) = &r.stored.scan {
        let c = &scan.config;
        list.push(Fact::new("domains", scan.domains.join(", ")));
        list.push(Fact::new("samples", format!("{} a domain, seed {}", c.samples, c.seed)));
    }
    list.push(Fact::new("took", format!("{}, {}", duration(Duration::from_secs_f64(r.seconds.clamp(0.0, 1e9))), r.finished)));
    list
}

fn table(lines: &[&Compared]) -> Table {
    let mut t = Table::new(&[("array", false), ("verdict", false)]);
    t.column("distance", true);
    t.column("stored", false);
    t.column("found", false);
    let hash = |h: &Option<String>| h.as_deref().map_or_else(|| "–".to_owned(), short);
    for l in lines {
        let distance = l.distance.map_or_else(|| "–".to_owned(), |d| if d == 0.0 { "0".into() } else { sig3(d) });
        t.row(vec![l.what.clone(), l.verdict.word().into(), distance, hash(&l.stored), hash(&l.found)]);
    }
    t
}
