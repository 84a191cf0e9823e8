//! Scores of an ablation as rows of the dumbbell plot and of its table.

use crate::{
    app::App,
    base::stats,
    eval::DomainScore,
    gui::{
        PanelCx,
        widgets::{
            axis::Axis,
            dumbbell::{DumbbellRow, Mark},
            number::{change, plus_minus, sig3},
            table::Table,
        },
    },
};

pub const COLUMNS: [(&str, f32); 5] = [("before", 84.0), ("after", 84.0), ("change", 56.0), ("control", 84.0), ("n", 68.0)];

#[derive(Default)]
pub struct Rows {
    /// Domains with choices.
    pub accuracy: Vec<DumbbellRow>,
    /// Plain texts and answers without choices.
    pub perplexity: Vec<DumbbellRow>,
}

/// Items scored so far and items to score, all parts together.
pub fn scored(app: &App) -> (u64, u64) {
    let live = &app.ablation;
    let done = live.before.values().chain(live.after.values()).chain(live.controls.values().flatten()).map(|s| s.n() as u64).sum();
    let parts = if app.project.off().is_empty() && app.project.heads.is_empty() { 1 } else { 2 + app.project.controls as u64 };
    let items: u64 = live.n_total.values().map(|&n| n as u64).sum();
    (done, (items * parts).max(done))
}

pub fn rows(cx: &PanelCx<'_>) -> Rows {
    let live = &cx.app.ablation;
    // In the project's order; domains that left it since come last.
    let mut names: Vec<&String> = cx.app.project.domains.iter().filter(|d| d.enabled).map(|d| &d.name).collect();
    names.extend(live.before.keys().filter(|n| cx.app.project.domains.iter().all(|d| d.name != **n)));
    let mut rows = Rows::default();
    for name in names {
        let (before, after) = (live.before.get(name), live.after.get(name));
        let Some(any) = before.or(after).filter(|s| s.n() > 0) else { continue };
        let controls = live.controls.get(name).map_or(&[][..], Vec::as_slice);
        let total = live.n_total.get(name).copied().unwrap_or_else(|| any.n());
        let row = Row { name, colour: cx.domain_colour(name), before, after, controls, total };
        if any.acc().is_some() { rows.accuracy.push(row.accuracy()) } else { rows.perplexity.push(row.perplexity()) }
    }
    rows
}

struct Row<'a> {
    name: &'a str,
    colour: eframe::egui::Color32,
    before: Option<&'a DomainScore>,
    after: Option<&'a DomainScore>,
    controls: &'a [DomainScore],
    total: usize,
}

impl Row<'_> {
    fn n(&self) -> (String, f32) {
        let done = self.after.or(self.before).map_or(0, DomainScore::n);
        let text = if done < self.total { format!("{done}/{}", self.total) } else { self.total.to_string() };
        (text, done as f32 / self.total.max(1) as f32)
    }

    fn accuracy(self) -> DumbbellRow {
        let mark = |s: &DomainScore| Some(Mark { value: s.acc()?, interval: s.acc_interval() });
        let text = |s: Option<&DomainScore>| s.and_then(|s| Some(plus_minus(s.acc()?, s.stderr()))).unwrap_or_default();
        let accs: Vec<f64> = self.controls.iter().filter_map(DomainScore::acc).collect();
        let control = spread_of(&accs);
        let control_text = stats::mean(&accs).map(|m| plus_minus(m, stats::std_dev(&accs))).unwrap_or_default();
        let (before, after) = (self.before.and_then(mark), self.after.and_then(mark));
        let delta = before.zip(after).map(|(b, a)| change(a.value - b.value)).unwrap_or_default();
        let (n, done) = self.n();
        let cells = [text(self.before), text(self.after), delta, control_text.clone(), n.clone()];
        let summary = summary(self.name, &text(self.before), &text(self.after), &control_text, accs.len(), &n, "accuracy");
        DumbbellRow {
            name: self.name.to_owned(),
            colour: self.colour,
            before,
            after,
            control,
            chance: self.before.or(self.after).and_then(chance),
            folded: folded(&cells),
            cells: cells.to_vec(),
            summary,
            scored: done,
        }
    }

    fn perplexity(self) -> DumbbellRow {
        let mark = |s: &DomainScore| Some(Mark { value: s.perplexity()?, interval: None });
        let text = |s: Option<&DomainScore>| s.and_then(|s| Some(sig3(s.perplexity()?))).unwrap_or_default();
        let values: Vec<f64> = self.controls.iter().filter_map(DomainScore::perplexity).collect();
        let control_text = match (stats::mean(&values), stats::std_dev(&values)) {
            (Some(m), Some(s)) => format!("{} ± {}", sig3(m), sig3(s)),
            (Some(m), None) => sig3(m),
            _ => String::new(),
        };
        let (before, after) = (self.before.and_then(mark), self.after.and_then(mark));
        let delta = before.zip(after).map(|(b, a)| format!("× {}", sig3(a.value / b.value))).unwrap_or_default();
        let (n, done) = self.n();
        let cells = [text(self.before), text(self.after), delta, control_text.clone(), n.clone()];
        let summary = summary(self.name, &text(self.before), &text(self.after), &control_text, values.len(), &n, "perplexity");
        DumbbellRow {
            name: self.name.to_owned(),
            colour: self.colour,
            before,
            after,
            control: spread_of(&values),
            chance: None,
            folded: folded(&cells),
            cells: cells.to_vec(),
            summary,
            scored: done,
        }
    }
}

/// `0.92 ± 0.02 → 0.55 ± 0.03 (-0.38) · random 0.77 ± 0.03 · n 300`
fn folded(cells: &[String; 5]) -> String {
    let [before, after, change, control, n] = cells;
    let mut text = if before.is_empty() { "not measured".to_owned() } else { before.clone() };
    if !after.is_empty() {
        text.push_str(&format!(" → {after}"));
    }
    if !change.is_empty() {
        text.push_str(&format!(" ({change})"));
    }
    if !control.is_empty() {
        text.push_str(&format!(" · random {control}"));
    }
    text.push_str(&format!(" · n {n}"));
    text
}

fn spread_of(values: &[f64]) -> Option<Mark> {
    let value = stats::mean(values)?;
    Some(Mark { value, interval: stats::std_dev(values).map(|s| (value - s, value + s)) })
}

/// Accuracy of guessing: mean of 1 / number of choices.
fn chance(score: &DomainScore) -> Option<f64> {
    let shares: Vec<f64> = score.items.iter().map(|i| 1.0 / i.log_likelihoods.len().max(1) as f64).collect();
    stats::mean(&shares)
}

fn summary(name: &str, before: &str, after: &str, control: &str, controls: usize, n: &str, what: &str) -> String {
    let mut text = format!("{name}: {what} before {}", if before.is_empty() { "not measured" } else { before });
    if !after.is_empty() {
        text.push_str(&format!(", after {after}"));
    }
    if !control.is_empty() {
        text.push_str(&format!(", {controls} random control{} {control}", if controls == 1 { "" } else { "s" }));
    }
    text.push_str(&format!(" (n {n})"));
    text
}

impl Rows {
    pub fn accuracy_axis(&self) -> Axis {
        Axis::linear(0.0, 1.0, "accuracy (share of questions answered right)")
    }
    pub fn perplexity_axis(&self) -> Axis {
        let marks = self.perplexity.iter().flat_map(|r| [r.before, r.after, r.control]).flatten().map(|m| m.value);
        let (lo, hi) = marks.fold((f64::INFINITY, 1.0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let title = "perplexity (lower is better)";
        if hi > 8.0 * lo {
            Axis::log(10f64.powf(lo.max(1.0).log10().floor()), 10f64.powf(hi.log10().ceil()), format!("{title}, logarithmic"))
        } else {
            Axis::around([1.0f64.min(lo), hi], title)
        }
    }
    pub fn table(&self) -> Table {
        let mut t = Table::new(&[("domain", false), ("measure", false)]);
        for (title, _) in COLUMNS {
            t.column(title, true);
        }
        for (rows, measure) in [(&self.accuracy, "accuracy"), (&self.perplexity, "perplexity")] {
            for r in rows {
                t.row([vec![r.name.clone(), measure.to_owned()], r.cells.clone()].concat());
            }
        }
        t
    }
}
