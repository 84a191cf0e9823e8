//! What is known of the model without one neuron: predicted to first order, and measured.

use super::inspect_parts::remark;
use crate::{
    ablate::{Summary, SweepMeasure, SweepUnit, UnitId},
    app::ProjectDomain,
    base::{Neuron, NeuronSet, number},
    gui::{Ask, PanelCx, theme},
};
use eframe::egui::{self, Align2, FontId, Sense, Ui, WidgetInfo, pos2, vec2};
use std::collections::BTreeSet;

/// One domain's row.
struct Row<'a> {
    domain: &'a ProjectDomain,
    predicted: Option<Summary>,
    measured: Option<Measured>,
}

/// Changes that were measured with this neuron alone switched.
struct Measured {
    loss: Option<f64>,
    accuracy: Option<f64>,
    items: usize,
    /// By a sweep, not by the ablation in force.
    swept: bool,
}

/// A change of the loss: `+0.0123`.
fn signed(v: Option<f64>) -> String {
    v.map_or("–".into(), |v| if v.abs() < 5e-5 { "0.0000".into() } else { format!("{v:+.4}") })
}

pub fn without_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, n: Neuron) {
    let app = cx.app;
    let rows: Vec<Row<'_>> = app.project.enabled().map(|d| row(cx, d, n)).collect();
    let (predicted, measured) = (rows.iter().any(|r| r.predicted.is_some()), rows.iter().any(|r| r.measured.is_some()));
    if let Some(failure) = app.ablation.failed.as_ref().filter(|_| is_alone(cx, n)) {
        remark(ui, cx, failure.message().unwrap_or("Stopped before all was scored; Ablate goes on with it."));
    }
    if !predicted && !measured {
        let words = match (app.project.is_off(n), is_alone(cx, n)) {
            (false, _) => "Not measured. Switch it off to see what each domain loses.",
            (true, true) => "Being measured.",
            (true, false) => "It is off together with others; Ablate shows what they do together.",
        };
        return remark(ui, cx, words);
    }
    let font = FontId::proportional(theme::SMALL);
    let columns = |rect: egui::Rect| [rect.right() - 62.0, rect.right()];
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), Sense::hover());
    let p = ui.painter_at(rect);
    p.text(rect.left_center(), Align2::LEFT_CENTER, "change of loss, nat/token", font.clone(), cx.theme.secondary);
    let [left, right] = columns(rect);
    p.text(pos2(left, rect.center().y), Align2::RIGHT_CENTER, "predicted", font.clone(), cx.theme.secondary);
    p.text(pos2(right, rect.center().y), Align2::RIGHT_CENTER, "measured", font.clone(), cx.theme.secondary);
    for r in &rows {
        let name = &r.domain.name;
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
        let painter = ui.painter_at(rect);
        painter.circle_filled(pos2(rect.left() + 4.0, rect.center().y), 3.5, cx.domain_colour(name));
        let mut job = egui::text::LayoutJob::simple_singleline(name.clone(), font.clone(), cx.theme.text);
        job.wrap = egui::text::TextWrapping::truncate_at_width((rect.width() - 150.0).max(40.0));
        let galley = painter.layout_job(job);
        painter.galley(pos2(rect.left() + 12.0, rect.center().y - galley.size().y / 2.0), galley, cx.theme.text);
        let [left, right] = columns(rect);
        let (guess, found) = (signed(r.predicted.and_then(|s| s.loss)), signed(r.measured.as_ref().and_then(|m| m.loss)));
        painter.text(pos2(left, rect.center().y), Align2::RIGHT_CENTER, &guess, font.clone(), cx.theme.secondary);
        painter.text(pos2(right, rect.center().y), Align2::RIGHT_CENTER, &found, font.clone(), cx.theme.text);
        let spoken = format!("Loss of {name} without {n}: predicted {guess}, measured {found}");
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &spoken));
        let mut hover = spoken.clone();
        if let Some(m) = &r.measured {
            let how = if m.swept { "by the sweep" } else { "by the ablation in force" };
            hover.push_str(&format!("\n{} items, {how}", number::count(m.items as u64)));
            if let Some(a) = m.accuracy {
                hover.push_str(&format!("\naccuracy {}", number::change(a)));
            }
        }
        response.on_hover_text(hover);
    }
    remark(ui, cx, format!("neurons are {}; predicted: first order, from gradients", app.project.mode.words()));
    if app.project.is_off(n) && ui.button("Open Ablation").clicked() {
        cx.link.ask(Ask::ShowPanel("ablation"));
    }
}

/// This neuron and nothing else is off.
fn is_alone(cx: &PanelCx<'_>, n: Neuron) -> bool {
    let p = &cx.app.project;
    p.is_off(n) && p.heads.is_empty() && p.single.len() == 1 && p.sets.iter().all(|s| !s.on)
}

fn row<'a>(cx: &PanelCx<'a>, domain: &'a ProjectDomain, n: Neuron) -> Row<'a> {
    let app = cx.app;
    let p = &app.project;
    let predicted = app
        .effects(&domain.name)
        .and_then(|e| e.predict(&NeuronSet::from_iter([n]), &BTreeSet::new(), &p.mode, None))
        .filter(|found| found.n > 0)
        .map(|found| found.change());
    let measured = if is_alone(cx, n) {
        let (before, after) = (app.ablation.before.get(&domain.name), app.ablation.after.get(&domain.name));
        before.zip(after).filter(|(b, a)| a.n() > 0 && a.n() == b.n()).map(|(before, after)| {
            let change = Summary::of(after).minus(&Summary::of(before));
            Measured { loss: change.loss, accuracy: change.acc, items: after.n(), swept: false }
        })
    } else {
        let sweep = app.sweeps.units.as_ref().and_then(|v| v.result.as_ref());
        let same = |s: &&crate::ablate::Sweep| {
            let (unit, mode, at) = (s.spec.unit, &s.spec.mode, s.spec.at);
            unit == SweepUnit::Neuron && s.domain == domain.name && (mode, at) == (&p.mode, p.at) && app.is_computed_as_now(&s.provenance)
        };
        sweep.filter(same).and_then(|s| {
            let found = s.get(UnitId { layer: n.layer as usize, index: n.index as usize })?;
            let change = |m: SweepMeasure| Some(found.get(m)? - s.baseline.get(m)?);
            Some(Measured { loss: change(SweepMeasure::Loss), accuracy: change(SweepMeasure::Accuracy), items: found.n, swept: true })
        })
    };
    Row { domain, predicted, measured }
}
