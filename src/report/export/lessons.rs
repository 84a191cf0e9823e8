//! What was learnt: one tuning, a sequence of tasks, and what learning one task does to the others.

use super::{
    super::{
        Report,
        charts::{self, Square, range_of},
        picture::Picture,
        svg::escape,
        xy::{Span, Xy},
    },
    ExportSpec,
    before_after::{BeforeAfter, before_after},
    live::{TuningSheet, live},
    rows::BLOCK,
    sheet::Content,
    sweeps::whole,
};
use crate::{
    base::{
        Ctx, Error, LongTable, Result,
        heatmap::ColourMap,
        long_table::LongRow,
        mantel::{Correlation, line},
        number::{self, sig3},
    },
    scan::DomainScan,
    task::{ContinualState, FIGURES, Method, Outcome, Pair, TransferState, seeds_words},
    tune::Evaluated,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const NO_TUNING: &str = "nothing is tuned: the Tasks panel does it under Train, `brodmann tune` on the command line";
const NO_SEQUENCE: &str =
    "no sequence of tasks has a score: the Tasks panel makes one under Continual, `brodmann continual` on the command line";
const NO_TRANSFER: &str = "no pair of tasks is measured: the Tasks panel does it under Generalise, `brodmann transfer` on the command line";

fn tuning<'a>(report: &Report<'a>) -> Result<&'a TuningSheet> {
    live(report, NO_TUNING)?.tuning.as_ref().ok_or_else(|| Error::invalid(NO_TUNING))
}

fn sequence<'a>(report: &Report<'a>) -> Result<&'a ContinualState> {
    let state = live(report, NO_SEQUENCE)?.continual.as_deref();
    state.filter(|s| s.before.iter().any(Option::is_some)).ok_or_else(|| Error::invalid(NO_SEQUENCE))
}

fn transfer<'a>(report: &Report<'a>) -> Result<&'a TransferState> {
    let state = live(report, NO_TRANSFER)?.transfer.as_deref();
    state.filter(|s| !s.units.is_empty()).ok_or_else(|| Error::invalid(NO_TRANSFER))
}

/// Accuracies, or the losses of domains that have none.
fn domains_of(e: &Evaluated, accuracy: bool) -> BTreeMap<&str, f64> {
    let values = if accuracy { &e.accuracy } else { &e.loss };
    values.iter().filter(|(name, _)| accuracy || !e.accuracy.contains_key(*name)).map(|(name, v)| (name.as_str(), *v)).collect()
}

pub fn tuning_content<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let t = tuning(report)?;
    // Domains with choices by accuracy, texts by loss.
    let kinds: Vec<bool> = [true, false].into_iter().filter(|k| !domains_of(&t.after, *k).is_empty()).collect();
    let mut rows: Vec<Vec<Picture>> = kinds.iter().map(|k| vec![curves(report, t, *k)]).collect();
    let losses: Vec<(f64, f64)> = t.points.iter().filter_map(|p| Some((p.step as f64, p.loss?))).collect();
    if losses.len() > 1 {
        let x = Span { from: 0.0, to: t.steps.max(1) as f64, log: false };
        let mut xy = Xy::new((760.0, 240.0), 150.0, x, Span::around(losses.iter().map(|p| p.1), true));
        xy.line(&losses, &report.colour(&t.task), 1.4, "", &format!("{}, training rows", t.task));
        rows.push(vec![xy.finish("step", "training loss, nat a token", "Training loss by step")]);
    }
    rows.extend(kinds.iter().map(|k| vec![judged(report, t, *k)]));
    Ok(Content {
        title: format!("{} tuned on {}", live(report, NO_TUNING)?.provenance.model, t.task),
        subtitle: format!(
            "{}: {} of {} scalars trained; step {} of {} kept; judged on {}",
            t.what,
            number::count(t.trained as u64),
            number::count(t.parameters),
            t.best_step,
            t.steps,
            t.judged_on
        ),
        rows,
        notes: vec!["Curves, hollow (before) and filled (after): rows that judge only; the step was chosen on validation rows.".to_owned()],
    })
}

fn curves(report: &Report<'_>, t: &TuningSheet, accuracy: bool) -> Picture {
    let evaluated = || t.points.iter().filter_map(|p| Some((p.step as f64, p.evaluated.as_ref()?)));
    let names: BTreeSet<&str> = evaluated().flat_map(|(_, e)| domains_of(e, accuracy).into_keys()).collect();
    let values = evaluated().flat_map(|(_, e)| domains_of(e, accuracy).into_values());
    let y = if accuracy { Span { from: 0.0, to: 1.0, log: false } } else { Span::around(values, true) };
    let mut xy = Xy::new((760.0, 320.0), 150.0, Span { from: 0.0, to: t.steps.max(1) as f64, log: false }, y);
    let mut labels = Vec::new();
    for name in names {
        let colour = report.colour(name);
        let points: Vec<(f64, f64)> = evaluated().filter_map(|(s, e)| Some((s, *domains_of(e, accuracy).get(name)?))).collect();
        xy.line(&points, &colour, if name == t.task { 2.4 } else { 1.4 }, "", name);
        for p in &points {
            xy.disc(*p, 2.4, &colour, &format!("{name}, step {}: {}", p.0, sig3(p.1)));
        }
        labels.extend(points.last().map(|p| (name.to_owned(), *p, colour)));
    }
    if t.best_step > 0 {
        xy.line(&[(t.best_step as f64, y.from), (t.best_step as f64, y.to)], "var(--faint)", 1.0, "4 3", "the step that is kept");
    }
    xy.end_labels(&labels);
    xy.finish("step", if accuracy { "accuracy" } else { "loss, nat a token" }, "Every domain while it was tuned")
}

/// One row a domain.
fn judged(report: &Report<'_>, t: &TuningSheet, accuracy: bool) -> Picture {
    let (before, after) = (domains_of(&t.before, accuracy), domains_of(&t.after, accuracy));
    let rows: Vec<BeforeAfter<'_>> = after
        .iter()
        .map(|(&domain, &after)| {
            let before = before.get(domain).copied().unwrap_or(after);
            BeforeAfter { domain, before, after, controls: None, n: None }
        })
        .collect();
    let most = if accuracy { 1.0 } else { before.values().chain(after.values()).fold(1e-9f64, |m, v| m.max(*v)) };
    before_after(report, &rows, most, if accuracy { "accuracy" } else { "loss, nat a token" })
}

fn evaluated_rows(e: &Evaluated, when: &str, rows: &mut Vec<LongRow>) {
    for (kind, values) in [("accuracy", &e.accuracy), ("loss", &e.loss)] {
        rows.extend(values.iter().map(|(domain, v)| whole(domain, format!("{kind}_{when}"), *v, 0, None)));
    }
}

pub fn tuning_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let t = tuning(report)?;
    let mut rows = Vec::new();
    evaluated_rows(&t.before, "before", &mut rows);
    evaluated_rows(&t.after, "after", &mut rows);
    for p in &t.points {
        rows.extend(p.loss.map(|l| whole(&t.task, format!("training_loss_at_step_{}", p.step), l, 0, None)));
        if let Some(e) = &p.evaluated {
            evaluated_rows(e, &format!("at_step_{}", p.step), &mut rows);
        }
    }
    let p = &live(report, NO_TUNING)?.provenance;
    Ok(LongTable { rows, ..LongTable::new(&p.model, p.seed) })
}

/// A matrix a method, mean over seeds; the figures by which methods are compared below.
pub fn sequence_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let s = sequence(report)?;
    let columns: Vec<&str> = s.column_names().collect();
    let names: Vec<&str> = s.tasks.iter().map(String::as_str).collect();
    let methods: Vec<Method> = s.config.methods.iter().copied().collect();
    let square = |label| Square { label, unit: "accuracy", range: (0.0, 1.0), colours: spec.colours };
    let pictures: Vec<Picture> = methods
        .iter()
        .map(|m| {
            let matrix = s.mean_matrix(*m);
            let seeds = s.mean_seeds(*m);
            // The subtitle says the seeds of all that are finished.
            let name = if seeds.len() < s.config.seeds.len() && !seeds.is_empty() {
                format!("{}, {}", m.label(), seeds_words(&seeds, &s.config.seeds))
            } else {
                m.label().to_owned()
            };
            titled(&name, charts::table(report, &names, &columns, &square(m.label()), |i, j| matrix[i][j]))
        })
        .collect();
    let mut rows: Vec<Vec<Picture>> = Vec::new();
    for picture in pictures {
        match rows.last_mut() {
            Some(row) if row.len() < 2 => row.push(picture),
            _ => rows.push(vec![picture]),
        }
    }
    rows.push(vec![figures(s, &methods)]);
    let before: Vec<String> = columns.iter().zip(s.before_accuracy()).filter_map(|(c, v)| Some(format!("{c} {:.1}", 100.0 * v?))).collect();
    let mut notes = vec![
        "Rows: after this task was learnt; columns: which domain is judged, on rows that neither trained nor chose.".to_owned(),
        format!("As the model was, %: {}.", before.join(", ")),
    ];
    notes.extend(FIGURES.iter().map(|f| format!("{}: {}.", f.id, f.words)));
    if !s.finished {
        notes.push("Not finished: grey cells are not measured.".to_owned());
    }
    Ok(Content {
        title: format!("{} learnt in turn by {}", s.tasks.join(", "), s.provenance.model),
        subtitle: format!("accuracy, {}; {} steps a task", seeds_words(&s.config.seeds, &s.config.seeds), s.config.tune.steps),
        rows,
        notes,
    })
}

/// A picture with a name above it.
fn titled(name: &str, picture: Picture) -> Picture {
    let head = format!("<text x=\"0\" y=\"14\" class=\"lab\" fill=\"var(--text)\" font-weight=\"600\">{}</text>", escape(name));
    let body = format!("{head}<g transform=\"translate(0 16)\">{}</g>", picture.body);
    Picture { body, height: picture.height + 16.0, ..picture }
}

fn figures(s: &ContinualState, methods: &[Method]) -> Picture {
    const FIRST: f64 = 190.0;
    const COLUMN: f64 = 108.0;
    const ROW: f64 = 22.0;
    let shown: Vec<_> = FIGURES.iter().filter(|f| f.id != "others" || !s.others.is_empty()).collect();
    let right = |c: usize| FIRST + COLUMN * (c + 1) as f64;
    let mut body = String::new();
    for (c, f) in shown.iter().enumerate() {
        let _ = write!(body, "<text x=\"{:.1}\" y=\"14\" class=\"axis\" text-anchor=\"end\">{}</text>", right(c), escape(f.label));
    }
    for (r, m) in methods.iter().enumerate() {
        let y = 14.0 + ROW * (r + 1) as f64;
        let _ = write!(body, "<text x=\"0\" y=\"{y:.1}\" class=\"lab\" fill=\"var(--text)\">{}</text>", escape(m.label()));
        for (c, f) in shown.iter().enumerate() {
            let text = f.text(s.spread(*m, f.of));
            let _ = write!(body, "<text x=\"{:.1}\" y=\"{y:.1}\" class=\"tick\" text-anchor=\"end\">{text}</text>", right(c));
        }
    }
    let height = 22.0 + ROW * methods.len() as f64;
    Picture {
        width: right(shown.len().saturating_sub(1)) + 8.0,
        height,
        body,
        label: "Figures of every method".into(),
        rasters: Vec::new(),
    }
}

pub fn sequence_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let s = sequence(report)?;
    let columns: Vec<&str> = s.column_names().collect();
    let mut rows = Vec::new();
    for (name, score) in columns.iter().zip(&s.before).filter_map(|(n, b)| Some((n, b.as_ref()?))) {
        rows.push(whole(name, "accuracy_before".into(), score.accuracy(), score.n, None));
        rows.push(whole(name, "loss_before".into(), score.loss, score.n, None));
    }
    for run in &s.runs {
        let (method, seed) = (run.method.id(), Some(run.seed));
        for (task, cells) in s.tasks.iter().zip(&run.cells) {
            for (name, score) in columns.iter().zip(cells).filter_map(|(n, c)| Some((n, c.as_ref()?))) {
                rows.push(whole(name, format!("accuracy_{method}_after_{task}"), score.accuracy(), score.n, seed));
                rows.push(whole(name, format!("loss_{method}_after_{task}"), score.loss, score.n, seed));
            }
        }
        if let Some(m) = s.measures(run.method, run.seed) {
            rows.extend(FIGURES.iter().filter_map(|f| Some(whole("", format!("{}_{method}", f.id), (f.of)(&m)?, s.tasks.len(), seed))));
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&s.provenance.model, s.provenance.seed) })
}

/// Of a pair of tasks, where it is defined.
type Quantity = fn(&Pair) -> Option<f64>;

/// Overlap and likeness of two tasks' neurons against what learning one does to the other, and the proportion study.
pub fn transfer_content<'a>(spec: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let s = transfer(report)?;
    let names: Vec<&str> = s.rows.iter().map(|r| r.name.as_str()).collect();
    let pairs = s.pairs();
    let gain = |i: usize, j: usize| Some(pairs.iter().find(|p| p.learnt == i && p.judged == j)?.gain);
    let most = pairs.iter().fold(0.05f64, |m, p| m.max(p.gain.abs()));
    let square = Square { label: "Change of accuracy", unit: "change of accuracy", range: (most, -most), colours: ColourMap::BlueRed };
    let mut first =
        vec![titled("Change of the column's accuracy by learning the row", charts::table(report, &names, &names, &square, gain))];
    if !s.overlap.is_empty() {
        let flat: Vec<f64> = (0..names.len())
            .flat_map(|i| (0..names.len()).filter(move |j| i != *j).map(move |j| (i, j)))
            .filter_map(|(i, j)| s.overlap.get(i)?.get(j).copied())
            .collect();
        let square = Square { label: "Overlap of the sets", unit: "Jaccard index", range: (0.0, range_of(&flat).1), colours: spec.colours };
        let overlap = |i: usize, j: usize| s.overlap.get(i)?.get(j).copied().filter(|_| i != j);
        first.push(titled("Overlap of the two tasks' neurons", charts::table(report, &names, &names, &square, overlap)));
    }
    let mut rows = vec![first];
    let mut notes = Vec::new();
    if !pairs.is_empty() {
        let against = |of: Quantity| s.correlation(&pairs, Outcome::Gain, of);
        let (overlap, likeness): (Quantity, Quantity) = (|p| Some(p.overlap), Pair::mean_similarity);
        let (a, b) = (against(overlap), against(likeness));
        rows.push(vec![
            scatter(report, s, &pairs, overlap, "overlap (Jaccard index)"),
            scatter(report, s, &pairs, likeness, "cosine of the parameters, mean of layers"),
        ]);
        let words = |c: Option<Correlation>| {
            let Some(c) = c else { return "not defined yet".to_owned() };
            let (r, rho) = (sig3(c.pearson), sig3(c.spearman));
            format!("Pearson r {r} (p {}), Spearman rho {rho} (p {}), {}", sig3(c.pearson_p), sig3(c.spearman_p), c.words())
        };
        notes.push(format!("Change of accuracy against overlap: {}. Against the likeness of the parameters: {}.", words(a), words(b)));
    }
    let points = s.proportions();
    if points.len() > 1 && points.iter().any(|p| p.inside.is_some()) {
        rows.push(vec![proportions(&points)]);
        let known: Vec<_> = points.iter().filter(|p| p.inside.is_some()).collect();
        let differ = known.iter().any(|p| p.seeds != known[0].seeds);
        let of = |p: &&crate::task::Proportion| format!("{} %: {}", p.percent, seeds_words(&p.seeds, &s.config.seeds));
        let seeds = if differ { format!(" {}.", known.iter().map(of).collect::<Vec<_>>().join("; ")) } else { String::new() };
        notes.push(format!(
            "Below: share of all neurons that trained against accuracy on the task that was learnt and on all others, mean over tasks.{seeds}"
        ));
    }
    Ok(Content {
        title: format!("What learning one task does to the others, in {}", s.provenance.model),
        subtitle: format!(
            "top {} % of each task's neurons trained; {}; {} steps",
            s.config.percent,
            seeds_words(&s.pair_seeds(), &s.config.seeds),
            s.config.tune.steps
        ),
        rows,
        notes,
    })
}

fn scatter(report: &Report<'_>, s: &TransferState, pairs: &[Pair], x: Quantity, title: &str) -> Picture {
    let points: Vec<(f64, f64, &Pair)> = pairs.iter().filter_map(|p| Some((x(p)?, 100.0 * p.gain, p))).collect();
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().map(|p| (p.0, p.1)).unzip();
    let span = Span::around(xs.iter().copied(), false);
    let mut xy = Xy::new((520.0, 320.0), 20.0, span, Span::around(ys.iter().copied(), true));
    xy.line(&[(span.from, 0.0), (span.to, 0.0)], "var(--faint)", 1.0, "4 3", "no change");
    if let Some((slope, at_zero)) = line(&xs, &ys) {
        xy.line(&[(span.from, at_zero + slope * span.from), (span.to, at_zero + slope * span.to)], "var(--text)", 1.2, "", "least squares");
    }
    for (x, y, p) in &points {
        let (learnt, judged) = (&s.rows[p.learnt].name, &s.rows[p.judged].name);
        xy.disc(
            (*x, *y),
            3.4,
            &report.colour(judged),
            &format!("{learnt} learnt, {judged} judged: {}, change {} points", sig3(*x), sig3(*y)),
        );
    }
    xy.finish(title, "change of accuracy, points", &format!("Change of accuracy against {title}"))
}

fn proportions(points: &[crate::task::Proportion]) -> Picture {
    let x = Span::log_around(points.iter().map(|p| p.percent));
    let mut xy = Xy::new((760.0, 320.0), 150.0, x, Span { from: 0.0, to: 1.0, log: false });
    let mut labels = Vec::new();
    for (name, ink, of) in [
        ("the task itself", "var(--text)", (|p| p.inside) as fn(&crate::task::Proportion) -> Option<crate::task::Spread>),
        ("all others", "var(--d1)", |p| p.outside),
    ] {
        let known: Vec<(f64, crate::task::Spread)> = points.iter().filter_map(|p| Some((p.percent, of(p)?))).collect();
        let band: Vec<(f64, f64, f64)> = known.iter().filter_map(|(p, s)| Some((*p, s.mean - s.sd?, s.mean + s.sd?))).collect();
        if band.len() > 1 {
            xy.band(&band, ink);
        }
        let means: Vec<(f64, f64)> = known.iter().map(|(p, s)| (*p, s.mean)).collect();
        xy.line(&means, ink, 1.8, "", name);
        for p in &means {
            xy.disc(*p, 2.6, ink, &format!("{name}, {} % trained: {}", p.0, sig3(p.1)));
        }
        labels.extend(means.last().map(|p| (name.to_owned(), *p, ink.to_owned())));
    }
    xy.end_labels(&labels);
    xy.finish("neurons that train (%), logarithmic", "accuracy, mean over tasks", "Accuracy against the share that trains")
}

pub fn transfer_table<'a>(_: &ExportSpec, report: &Report<'a>, _: &[&'a DomainScan], _: &Ctx<'_>) -> Result<LongTable> {
    let s = transfer(report)?;
    let name = |i: usize| s.rows.get(i).map_or("", |r| r.name.as_str());
    let mut rows = Vec::new();
    for (i, score) in s.before.iter().enumerate().filter_map(|(i, b)| Some((i, b.as_ref()?))) {
        rows.push(whole(name(i), "accuracy_before".into(), score.accuracy(), score.n, None));
    }
    for (i, row) in s.overlap.iter().enumerate() {
        rows.extend(
            row.iter().enumerate().filter(|(j, _)| i != *j).map(|(j, v)| whole(name(j), format!("overlap_with_{}", name(i)), *v, 0, None)),
        );
    }
    for u in &s.units {
        let (learnt, percent, seed) = (name(u.task), u.percent, Some(u.seed));
        for (j, score) in u.cells.iter().enumerate().filter_map(|(j, c)| Some((j, c.as_ref()?))) {
            rows.push(whole(name(j), format!("accuracy_trained_{percent}_of_{learnt}"), score.accuracy(), score.n, seed));
            rows.push(whole(name(j), format!("loss_trained_{percent}_of_{learnt}"), score.loss, score.n, seed));
        }
        for (j, layers) in u.similarity.iter().enumerate() {
            rows.extend(layers.iter().enumerate().filter_map(|(l, v)| {
                Some(LongRow {
                    layer: Some(l as u32),
                    module: BLOCK.into(),
                    domain: name(j).to_owned(),
                    metric: format!("parameter_cosine_with_{learnt}"),
                    value: Some((*v)?),
                    seed,
                    ..LongRow::default()
                })
            }));
        }
    }
    Ok(LongTable { rows, ..LongTable::new(&s.provenance.model, s.provenance.seed) })
}
