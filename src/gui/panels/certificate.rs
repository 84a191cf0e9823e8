//! The certificate of the open model: a badge beside its name; below its facts what was compared, and the way to have it made.

use crate::{
    app::{Command, JobState},
    check::CheckReport,
    gui::{
        Ask, PanelCx,
        widgets::{
            control::{group, remark, tag},
            number::{count, counted},
            states::{failed_strip_ui, job_bar_ui, progress_line},
            table::Table,
        },
    },
};
use eframe::egui::{self, Ui};
use egui_material_icons::icons;

/// `checked`, `check failed` or `not checked`.
pub fn badge_ui(ui: &mut Ui, cx: &PanelCx<'_>) {
    let (text, ink, hover) = match &cx.app.library.check {
        Some(report) if report.passed => ("checked", cx.theme.good, report.summary()),
        Some(report) => ("check failed", cx.theme.bad, report.summary()),
        None => ("not checked", cx.theme.secondary, "No certificate of these weights has been made yet: see below".to_owned()),
    };
    tag(ui, cx.theme, text, ink).on_hover_text(hover);
}

/// What a check says of this model; while there is none, the offer of one.
pub fn certificate_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    group(ui, cx.theme, "CERTIFICATE");
    let job = cx.app.check_job();
    if let Some(job) = job.filter(|j| j.state == JobState::Running) {
        let line = progress_line(job);
        ui.horizontal(|ui| {
            job_bar_ui(ui, job, 120.0);
            ui.label(cx.theme.small(if line.is_empty() { "starting".to_owned() } else { line }));
            if ui.small_button("Stop").on_hover_text("Stops the check; nothing is kept of it").clicked() {
                cx.send(Command::CancelJob { id: job.id.0 });
            }
        });
        return;
    }
    match cx.app.library.check.clone() {
        Some(report) => report_ui(ui, cx, &report),
        None => {
            if let Some(JobState::Failed(message)) = job.map(|j| &j.state)
                && failed_strip_ui(ui, cx, "The check could not be made", message, "Check again")
            {
                cx.send(Command::CheckModel { again: true });
                return;
            }
            remark(
                ui,
                cx.theme,
                "Compares the logits with plain f64 arithmetic, and the gradient of every block matrix with central differences. Kept for these weights.",
            );
            if ui.button("Check this model").on_hover_text("Takes about ten seconds for 135 million parameters").clicked() {
                cx.send(Command::CheckModel { again: false });
            }
        }
    }
}

fn report_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, report: &CheckReport) {
    let (icon, ink) = if report.passed { (icons::ICON_VERIFIED, cx.theme.good) } else { (icons::ICON_ERROR, cx.theme.bad) };
    ui.horizontal_top(|ui| {
        ui.label(icon.rich_text().size(18.0).color(ink));
        ui.add(egui::Label::new(report.summary()).wrap());
    });
    if let Some(golden) = &report.golden {
        remark(
            ui,
            cx.theme,
            format!(
                "stored logits of {}: off by {:.1e}, allowed {:.0e}",
                counted(golden.tokens as u64, "token"),
                golden.worst,
                golden.tolerance
            ),
        );
    }
    let table = table(report);
    table.ui(ui, cx.theme, "certificate");
    remark(
        ui,
        cx.theme,
        format!(
            "worst: largest difference from the central difference in f64, as a share of it or of the matrix's rms; allowed {:.0e} · {} · {}",
            report.tolerance, report.provenance.device, report.provenance.created
        ),
    );
    ui.horizontal(|ui| {
        if ui.button("Check again").clicked() {
            cx.send(Command::CheckModel { again: true });
        }
        if ui.button("Copy certificate").on_hover_text("Summary, table and the command that repeats it").clicked() {
            let text = format!("{}\n{}\n\n{}\n\n{}", report.model, report.summary(), table.tsv(), report.provenance.command);
            cx.link.ask(Ask::Copy(text));
        }
    });
}

fn table(report: &CheckReport) -> Table {
    let mut table = Table::new(&[("matrix", false), ("layers", true), ("weights", true), ("worst", true), ("", false)]);
    for m in report.by_matrix() {
        let failed: Vec<String> = m.failed.iter().map(|l| format!("L{l}")).collect();
        let verdict = if failed.is_empty() { "ok".to_owned() } else { format!("failed: {}", failed.join(" ")) };
        table.row(vec![m.matrix.to_string(), count(m.layers as u64), count(m.weights as u64), format!("{:.1e}", m.worst), verdict]);
    }
    table
}
