//! Scores of an ablation as rows of the dumbbell plot and of its table.

use crate::{
    ablate::{Prediction, Summary, paired},
    app::{AblationLive, App, Effect},
    base::stats,
    data::DomainKind,
    eval::DomainScore,
    gui::{
        PanelCx,
        widgets::{
            axis::Axis,
            dumbbell::{DumbbellRow, Mark},
            number::{plus_minus, sig3},
            table::Table,
        },
    },
};

/// Columns of the table and of the chart: title, width. The last one is the table's alone.
pub const COLUMNS: [(&str, f32); 8] = [
    ("before", 78.0),
    ("predicted", 66.0),
    ("after", 84.0),
    ("points", 112.0),
    ("p", 60.0),
    ("random, points", 90.0),
    ("n", 54.0),
    ("beyond random, points", 150.0),
];

/// Those that a chart of this width has room for, most telling first to stay.
pub fn columns(width: f32, predicted: bool) -> Vec<usize> {
    let all: &[usize] = match width {
        w if w >= 800.0 => &[0, 1, 2, 3, 4, 5, 6],
        w if w >= 670.0 => &[0, 2, 3, 5, 6],
        _ => &[0, 2, 3, 6],
    };
    all.iter().copied().filter(|&c| predicted || COLUMNS[c].0 != "predicted").collect()
}

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
        // A part that has no score yet has no mark.
        let some = |s: &&DomainScore| s.n() > 0;
        let (before, after) = (live.before.get(name).filter(some), live.after.get(name).filter(some));
        let prediction = cx.app.prediction.domains.get(name);
        let any = before.or(after);
        // A prediction has a row before any question is scored: it knows the model as it is.
        let choices = match any {
            Some(score) => score.acc().is_some(),
            None => match prediction {
                Some(p) => p.before.acc.is_some(),
                // Every domain has its line as soon as the work begins: none moves another when its first score comes.
                None if live.running && live.n_total.contains_key(name) => {
                    cx.app.library.domain(name).and_then(|d| d.scored()).is_some_and(|d| d.kind == DomainKind::MultipleChoice)
                }
                None => continue,
            },
        };
        let controls = live.controls.get(name).map_or(&[][..], Vec::as_slice);
        let known = any.map(DomainScore::n).or(prediction.map(|p| p.n_all));
        let total = live.n_total.get(name).copied().or(known).unwrap_or(0);
        let row = Row { name, colour: cx.domain_colour(name), before, after, controls, total, prediction, live };
        if choices { rows.accuracy.push(row.accuracy()) } else { rows.perplexity.push(row.perplexity()) }
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
    prediction: Option<&'a Prediction>,
    live: &'a AblationLive,
}

impl Row<'_> {
    fn n(&self) -> (String, f32) {
        let done = self.after.or(self.before).map_or(0, DomainScore::n);
        let text = if done < self.total { format!("{done}/{}", self.total) } else { self.total.to_string() };
        (text, done as f32 / self.total.max(1) as f32)
    }

    /// Before, as measured where it is, else of the questions that the prediction is made of; and the predicted change.
    fn predicted(&self, of: impl Fn(&Summary) -> Option<f64>, measured: Option<f64>) -> Option<f64> {
        let p = self.prediction?;
        Some(measured.or(of(&p.before))? + of(&p.change())?)
    }

    fn accuracy(self) -> DumbbellRow {
        let mark = |s: &DomainScore| Some(Mark { value: s.acc()?, interval: s.acc_interval() });
        let text = |s: Option<&DomainScore>| s.and_then(|s| Some(plus_minus(s.acc()?, s.stderr()))).unwrap_or_default();
        let accs: Vec<f64> = self.controls.iter().filter_map(DomainScore::acc).collect();
        let unscored = self.before.is_none().then(|| self.prediction?.before.acc).flatten();
        let before = self.before.and_then(mark).or(unscored.map(|value| Mark { value, interval: None }));
        let after = self.after.and_then(mark);
        let predicted = self.predicted(|s| s.acc, before.map(|b| b.value)).map(|v| v.clamp(0.0, 1.0));
        let effect = self.live.effect(self.name);
        let random: Vec<f64> = self.live.control_effects(self.name).iter().map(|e| 100.0 * e.difference).collect();
        let (n, done) = self.n();
        let beyond = effect.and_then(|e| beyond(&e, &self.live.control_effects(self.name)));
        let cells = Cells {
            before: unscored.map_or_else(|| text(self.before), |v| format!("{v:.2}")),
            predicted: predicted.map(|v| format!("{v:.2}")).unwrap_or_default(),
            after: text(self.after),
            change: effect.map(|e| points(&e)).unwrap_or_default(),
            p: effect.map(|e| p_text(e.p_value)).unwrap_or_default(),
            random: spread_text(&random),
            n,
            beyond: beyond.unwrap_or_default(),
        };
        DumbbellRow {
            name: self.name.to_owned(),
            colour: self.colour,
            before,
            after,
            predicted,
            control: spread_of(&accs),
            chance: self.before.or(self.after).and_then(chance),
            folded: cells.folded(),
            summary: cells.summary(self.name, "accuracy", "points", self.controls.len(), self.prediction),
            cells: cells.list(),
            scored: done,
        }
    }

    fn perplexity(self) -> DumbbellRow {
        let mark = |s: &DomainScore| Some(Mark { value: s.perplexity()?, interval: None });
        let text = |s: Option<&DomainScore>| s.and_then(|s| Some(sig3(s.perplexity()?))).unwrap_or_default();
        let values: Vec<f64> = self.controls.iter().filter_map(DomainScore::perplexity).collect();
        let unscored = self.before.is_none().then(|| self.prediction?.before.loss).flatten().map(f64::exp);
        let before = self.before.and_then(mark).or(unscored.map(|value| Mark { value, interval: None }));
        let after = self.after.and_then(mark);
        let predicted = self.predicted(|s| s.loss, self.before.and_then(DomainScore::loss)).map(f64::exp);
        let times = |v: f64| before.map(|b| v / b.value);
        let random: Vec<f64> = values.iter().filter_map(|&v| times(v)).collect();
        let (n, done) = self.n();
        let cells = Cells {
            before: unscored.map_or_else(|| text(self.before), sig3),
            predicted: predicted.map(sig3).unwrap_or_default(),
            after: text(self.after),
            change: after.and_then(|a| times(a.value)).map(|t| format!("× {}", sig3(t))).unwrap_or_default(),
            p: String::new(),
            random: match spread_text(&random) {
                text if text.is_empty() => text,
                text => format!("× {}", text.trim_start_matches('+')),
            },
            n,
            beyond: String::new(),
        };
        DumbbellRow {
            name: self.name.to_owned(),
            colour: self.colour,
            before,
            after,
            predicted,
            control: spread_of(&values),
            chance: None,
            folded: cells.folded(),
            summary: cells.summary(self.name, "perplexity", "", self.controls.len(), self.prediction),
            cells: cells.list(),
            scored: done,
        }
    }
}

/// The numbers of a row, in the order of [`COLUMNS`].
struct Cells {
    before: String,
    predicted: String,
    after: String,
    change: String,
    p: String,
    random: String,
    n: String,
    /// The change less that of random sets, with the interval and p-value that their spread gives.
    beyond: String,
}

impl Cells {
    fn list(self) -> Vec<String> {
        vec![self.before, self.predicted, self.after, self.change, self.p, self.random, self.n, self.beyond]
    }

    /// `0.92 ± 0.02 → 0.55 ± 0.03 (-38.3 [-44, -32], p < 0.001) · predicted 0.61 · random -1.2 ± 0.8 · n 300`
    fn folded(&self) -> String {
        let mut text = if self.before.is_empty() { "not measured".to_owned() } else { self.before.clone() };
        if !self.after.is_empty() {
            text.push_str(&format!(" → {}", self.after));
        }
        if !self.change.is_empty() {
            let p = if self.p.is_empty() { String::new() } else { format!(", {}", self.p_words()) };
            text.push_str(&format!(" ({}{p})", self.change));
        }
        if !self.predicted.is_empty() {
            text.push_str(&format!(" · predicted {}", self.predicted));
        }
        if !self.random.is_empty() {
            text.push_str(&format!(" · random {}", self.random));
        }
        text.push_str(&format!(" · n\u{a0}{}", self.n));
        text
    }

    fn p_words(&self) -> String {
        if self.p.starts_with('<') { format!("p {}", self.p) } else { format!("p = {}", self.p) }
    }

    fn summary(&self, name: &str, what: &str, unit: &str, controls: usize, prediction: Option<&Prediction>) -> String {
        let mut text = format!("{name}: {what} before {}", if self.before.is_empty() { "not measured" } else { &self.before });
        if !self.predicted.is_empty() {
            let part = prediction.filter(|p| p.n < p.n_all).map_or(String::new(), |p| format!(" from {} of {} items", p.n, p.n_all));
            text.push_str(&format!(", predicted {}{part} (first order)", self.predicted));
        }
        if !self.after.is_empty() {
            text.push_str(&format!(", after {}", self.after));
        }
        if !self.change.is_empty() {
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            text.push_str(&format!(", change {}{unit}", self.change));
        }
        if !self.p.is_empty() {
            text.push_str(&format!(", McNemar {}", self.p_words()));
        }
        if !self.random.is_empty() {
            text.push_str(&format!(", {controls} random control{} {}", if controls == 1 { "" } else { "s" }, self.random));
        }
        if !self.beyond.is_empty() {
            text.push_str(&format!(", beyond random {}", self.beyond));
        }
        text.push_str(&format!(" (n {})", self.n));
        text
    }
}

/// `-37.1 [-41, -33], p < 0.001`, once the set and all controls are measured on the same questions.
fn beyond(effect: &Effect, controls: &[Effect]) -> Option<String> {
    if controls.iter().any(|c| c.n != effect.n) {
        return None;
    }
    let random: Vec<f64> = controls.iter().map(|c| c.difference).collect();
    let d = paired::beyond_controls(effect.difference, &random, effect.n)?;
    let p = p_text(d.p);
    let p = if p.starts_with('<') { format!("p {p}") } else { format!("p = {p}") };
    Some(format!("{} [{:.0}, {:.0}], {p}", signed(100.0 * d.value), 100.0 * d.low, 100.0 * d.high))
}

/// `-38.3 [-44, -32]`
fn points(e: &Effect) -> String {
    let (lo, hi) = e.interval;
    format!("{} [{:.0}, {:.0}]", signed(100.0 * e.difference), 100.0 * lo, 100.0 * hi)
}

fn signed(points: f64) -> String {
    if points.abs() < 0.05 { "0.0".to_owned() } else { format!("{points:+.1}") }
}

fn p_text(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else if p >= 0.995 {
        "1".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// `-1.2 ± 0.8`: mean and standard deviation.
fn spread_text(values: &[f64]) -> String {
    match (stats::mean(values), stats::std_dev(values)) {
        (Some(m), Some(s)) => format!("{} ± {s:.1}", signed(m)),
        (Some(m), None) => signed(m),
        _ => String::new(),
    }
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

impl Rows {
    /// Some row has a prediction.
    pub fn predicted(&self) -> bool {
        self.accuracy.iter().chain(&self.perplexity).any(|r| r.predicted.is_some())
    }
    pub fn accuracy_axis(&self) -> Axis {
        Axis::linear(0.0, 1.0, "accuracy (share of questions answered right)")
    }
    pub fn perplexity_axis(&self) -> Axis {
        let marks =
            self.perplexity.iter().flat_map(|r| [r.before, r.after, r.control].into_iter().flatten().map(|m| m.value).chain(r.predicted));
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

#[cfg(test)]
mod tests {
    use super::{COLUMNS, columns};

    #[test]
    fn no_column_stands_empty_where_nothing_is_predicted() {
        for width in [400.0, 700.0, 1000.0, 2000.0] {
            let names = |predicted| columns(width, predicted).into_iter().map(|c| COLUMNS[c].0).collect::<Vec<_>>();
            assert!(!names(false).contains(&"predicted"));
            assert!(names(true).iter().filter(|n| **n != "predicted").eq(names(false).iter()));
        }
        assert!(columns(1000.0, true).iter().any(|&c| COLUMNS[c].0 == "predicted"));
    }
}
