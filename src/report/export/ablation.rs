//! What breaks when neurons are off: the dumbbell plot on a sheet, and its numbers.

use super::{
    super::{Report, dumbbell},
    ExportSpec,
    sheet::Content,
};
use crate::{
    ablate::{AblationReport, DomainAblation},
    base::{
        Ctx, Error, LongTable, Result,
        long_table::{LongRow, MODEL},
        number,
    },
    eval::{AblationAt, DomainScore},
    scan::DomainScan,
};

fn measured<'a>(report: &Report<'a>) -> Result<&'a AblationReport> {
    report.ablation.filter(|a| !a.domains.is_empty()).ok_or_else(|| {
        Error::invalid("no ablation has been measured to its end: switch neurons off and wait until every question is scored")
    })
}

fn at_in_words(at: AblationAt) -> &'static str {
    match at {
        AblationAt::All => "",
        AblationAt::Answer => " where the answer is predicted",
    }
}

pub fn content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let ablation = measured(report)?;
    let mut what = Vec::new();
    if ablation.neurons > 0 {
        what.push(number::counted(ablation.neurons as u64, "neuron"));
    }
    if ablation.heads > 0 {
        what.push(number::counted(ablation.heads as u64, "head"));
    }
    let what = what.join(" and ");
    let controls = ablation.domains.iter().map(|d| d.controls.len()).max().unwrap_or(0);
    let mut notes = Vec::new();
    if controls > 0 {
        notes.push(format!(
            "Whiskers: 95 % Wilson interval. Band: mean ± standard deviation of {}, with as many neurons and heads in each layer.",
            number::counted(controls as u64, "random control")
        ));
    }
    let rows = |n: usize| number::counted(n as u64, "row");
    for d in &ablation.domains {
        if d.left_out > 0 {
            notes.push(format!("{}: {} that the neurons were chosen on are not scored.", d.name, rows(d.left_out)));
        }
        if d.chosen_on > 0 {
            notes.push(format!(
                "{}: {} that the neurons were chosen on are scored too; too few others are left.",
                d.name,
                rows(d.chosen_on)
            ));
        }
    }
    Ok(Content {
        title: format!("{} with {what} off", ablation.provenance.model),
        subtitle: format!("{what} {}{}; ± one standard error", ablation.mode.words(), at_in_words(ablation.at)),
        rows: dumbbell::dumbbells(report, ablation).into_iter().map(|p| vec![p]).collect(),
        notes,
    })
}

pub fn table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let ablation = measured(report)?;
    let p = &ablation.provenance;
    let rows = ablation.domains.iter().flat_map(domain_rows).collect();
    Ok(LongTable { rows, ..LongTable::new(&p.model, p.seed) })
}

fn domain_rows(d: &DomainAblation) -> Vec<LongRow> {
    let mut rows = Vec::new();
    let mut add = |part: &str, score: &DomainScore, seed: Option<u64>| {
        let mut row = |metric: &str, value: Option<f64>| {
            if let Some(value) = value {
                rows.push(LongRow {
                    module: MODEL.into(),
                    domain: d.name.clone(),
                    metric: format!("{metric}{part}"),
                    value: Some(value),
                    n: score.n() as u64,
                    seed,
                    ..LongRow::default()
                });
            }
        };
        row("accuracy", score.acc());
        row("accuracy_norm", score.acc_norm());
        row("loss", score.loss());
        row("margin", score.mean_margin());
    };
    add("", &d.before, None);
    add("_ablated", &d.after, None);
    for (seed, control) in d.controls.iter().enumerate() {
        add("_control", control, Some(seed as u64));
    }
    if let Some(p) = d.p_value() {
        rows.push(LongRow {
            module: MODEL.into(),
            domain: d.name.clone(),
            metric: "mcnemar_p".into(),
            value: Some(p),
            n: d.after.n() as u64,
            ..LongRow::default()
        });
    }
    rows
}
