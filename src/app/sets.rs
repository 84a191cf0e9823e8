//! Named neuron sets: from the top of a map, a selection, a formula or a file; kept, copied, written.

use super::{App, NamedSet, NoticeLevel};
use crate::{
    ablate::{
        Formula, NeuronSetFile, Vocabulary,
        formula::{Names, quoted},
        set_file,
    },
    base::{Error, Grid, NeuronSet, Result},
    scan::MetricKind,
};
use std::path::Path;

/// A set that is not in force yet.
pub(super) fn made(name: String, neurons: NeuronSet, source: String) -> NamedSet {
    NamedSet { name, neurons, source, ..NamedSet::default() }
}

/// What a formula gives, and from which domains' maps.
#[derive(Clone, Debug, PartialEq)]
pub struct FormulaResult {
    pub neurons: NeuronSet,
    pub domains: Vec<String>,
}

impl Names for App {
    fn set(&self, name: &str) -> Result<NeuronSet> {
        if let Some(set) = self.project.sets.iter().find(|s| s.name == name) {
            return Ok(set.neurons.clone());
        }
        match name {
            "selection" => return Ok(self.project.view.selection.clone()),
            "off" => return Ok(self.project.off()),
            _ if name.to_lowercase().ends_with(".json") => return set_file::read(Path::new(name)).map(|f| f.neurons),
            _ => {}
        }
        let mut known: Vec<String> = self.project.sets.iter().map(|s| quoted(&s.name)).collect();
        known.extend(["selection".into(), "off".into()]);
        Err(Error::invalid(format!("there is no set `{name}`; there are {}. A neuron is written L3N17", known.join(", "))))
    }

    fn map(&self, domain: &str, metric: Option<&str>) -> Result<Grid> {
        let run =
            self.library.run().ok_or_else(|| Error::invalid("there is no run whose maps could be read: scan first, or open a run"))?;
        let has = |m: MetricKind| run.output.domains.iter().any(|d| d.map(m).is_some());
        let named = |word: &str| MetricKind::ALL.into_iter().find(|m| m.info().id == word && has(*m));
        let metric = match metric {
            None => crate::report::metric_of(&run.output, MetricKind::Relevance),
            Some(word) => named(word).ok_or_else(|| {
                let known: Vec<&str> = MetricKind::ALL.into_iter().filter(|m| has(*m)).map(|m| m.info().id).collect();
                Error::invalid(format!("{} has no map of `{word}`; it has {}", run.name, known.join(", ")))
            })?,
        };
        run.output.domain(domain).and_then(|d| d.map(metric)).cloned().ok_or_else(|| {
            let known: Vec<&str> = run.output.domains.iter().filter(|d| d.map(metric).is_some()).map(|d| d.name.as_str()).collect();
            Error::invalid(format!("{} has no {} of `{domain}`; it has {}", run.name, metric.label(), known.join(", ")))
        })
    }

    fn d_mlp(&self) -> Result<usize> {
        let known = self.library.spec().map(|s| s.d_mlp).or_else(|| self.library.scan().map(|s| s.d_mlp));
        known.ok_or_else(|| Error::invalid("there is no model and no run that say how wide a layer is"))
    }
}

impl App {
    /// The neurons of a formula as things stand, for a live count. Reads maps of the shown run; no engine runs.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn formula(&self, text: &str) -> Result<FormulaResult> {
        let formula: Formula = text.parse()?;
        let neurons = formula.evaluate(self)?;
        Ok(FormulaResult { neurons, domains: formula.domains().into_iter().collect() })
    }

    /// A name that no set has yet: `name`, else `name 2` and so on.
    pub fn free_set_name(&self, name: &str) -> String {
        let taken = |n: &str| self.project.sets.iter().any(|s| s.name == n);
        if !taken(name) {
            return name.to_owned();
        }
        (2..).map(|i| format!("{name} {i}")).find(|n| !taken(n)).unwrap_or_default()
    }

    /// `chosen_on`: domains whose maps of the shown run it was chosen by.
    pub(super) fn add_set(&mut self, set: NamedSet, chosen_on: &[String]) {
        if !self.inside(&set.neurons) {
            return;
        }
        let set = NamedSet {
            chosen_on: self.scanned_rows(chosen_on),
            run: self.library.run().map_or_else(String::new, |r| r.name.clone()),
            model_sha256: self.library.model_info().map_or_else(String::new, |m| m.sha256.clone()),
            ..set
        };
        let on = set.on;
        self.project.sets.push(set);
        if on {
            self.warn_of_chosen_rows();
        }
    }

    /// `name` empty: the formula itself.
    pub(super) fn add_formula(&mut self, name: &str, formula: &str, on: bool) {
        match self.formula(formula) {
            Ok(found) if found.neurons.is_empty() => {
                self.notice(NoticeLevel::Error, "The set is empty", format!("No neuron is in {formula}"));
            }
            Ok(found) => {
                let name = if name.trim().is_empty() { formula.trim() } else { name.trim() };
                let source = match self.library.run() {
                    Some(run) if !found.domains.is_empty() => format!("{}, {}", formula.trim(), run.name),
                    _ => formula.trim().to_owned(),
                };
                let set = NamedSet { on, formula: formula.trim().to_owned(), ..made(self.free_set_name(name), found.neurons, source) };
                self.add_set(set, &found.domains);
            }
            Err(e) => self.notice(NoticeLevel::Error, "The formula gives no set", e.to_string()),
        }
    }

    pub(super) fn duplicate_set(&mut self, index: usize) {
        let Some(set) = self.project.sets.get(index) else { return };
        let copy = NamedSet { name: self.free_set_name(&set.name), on: false, ..set.clone() };
        self.project.sets.insert(index + 1, copy);
    }

    pub(super) fn change_set(&mut self, index: usize, change: impl FnOnce(&mut NamedSet)) {
        if let Some(set) = self.project.sets.get_mut(index) {
            change(set);
        }
    }

    pub(super) fn add_set_file(&mut self, path: &Path) {
        match set_file::read(path) {
            Ok(file) if file.neurons.is_empty() && file.heads.is_empty() => {
                self.notice(NoticeLevel::Error, "The set is empty", format!("{}: names no neuron", path.display()));
            }
            Ok(file) => {
                if !self.inside(&file.neurons) {
                    return;
                }
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let file_name = path.file_name().unwrap_or_default().to_string_lossy();
                let ours = self.library.model_info().map(|m| m.sha256.clone()).unwrap_or_default();
                if !ours.is_empty() && !file.model_sha256.is_empty() && file.model_sha256 != ours {
                    let details = format!(
                        "{file_name} was made on the model with SHA-256 {}, the open one has {ours}. Its neurons may mean something else here.",
                        file.model_sha256
                    );
                    self.notice(NoticeLevel::Warn, "The set is of another model", details);
                }
                let name = if file.name.is_empty() { stem } else { file.name };
                let source = if file.source.is_empty() { file_name.into_owned() } else { format!("{file_name}: {}", file.source) };
                self.project.sets.push(NamedSet {
                    on: true,
                    formula: file.formula,
                    run: file.run,
                    model_sha256: file.model_sha256,
                    notes: file.notes,
                    colour: file.colour,
                    chosen_on: file.chosen_on,
                    ..made(self.free_set_name(&name), file.neurons, source)
                });
                self.project.heads.extend(file.heads);
                self.warn_of_chosen_rows();
            }
            Err(e) => self.notice(NoticeLevel::Error, "The set could not be read", e.to_string()),
        }
    }

    pub(super) fn save_set(&mut self, index: usize, path: &Path, vocabulary: Vocabulary) {
        let Some(set) = self.project.sets.get(index).cloned() else {
            return self.notice(NoticeLevel::Error, format!("There is no set number {index}"), "");
        };
        let ours = || self.library.model_info().map_or_else(String::new, |m| m.sha256.clone());
        let file = NeuronSetFile {
            name: set.name,
            neurons: set.neurons,
            heads: Vec::new(),
            source: set.source,
            formula: set.formula,
            run: set.run,
            model_sha256: if set.model_sha256.is_empty() { ours() } else { set.model_sha256 },
            notes: set.notes,
            colour: set.colour,
            chosen_on: set.chosen_on,
        };
        let model = self.library.model_info().map(|m| m.model_type.as_str()).zip(self.library.spec());
        match set_file::write(path, &file, vocabulary, model) {
            Ok(()) => self.notice(NoticeLevel::Done, "Set saved", path.display().to_string()),
            Err(e) => self.notice(NoticeLevel::Error, "The set could not be saved", e.to_string()),
        }
    }

    pub(super) fn add_top_set(&mut self, domain: &str, metric: MetricKind, percent: f64) {
        let Some(run) = self.library.run() else {
            return self.notice(NoticeLevel::Error, "There is no run to take the top neurons from", "Scan first, or open a run.");
        };
        let Some(map) = run.output.domain(domain).and_then(|d| d.map(metric)) else {
            let title = format!("{} holds no {} of `{domain}`", run.name, metric.label());
            let details =
                format!("It holds the domains {}.", run.output.domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", "));
            return self.notice(NoticeLevel::Error, title, details);
        };
        if !(percent > 0.0 && percent <= 100.0) {
            return self.notice(NoticeLevel::Error, format!("A top share lies above 0 % and up to 100 %, not at {percent} %"), "");
        }
        let source = format!("top {percent} % {} of {domain}, {}", metric.label(), run.name);
        let formula = format!("top({}, {percent}%, {})", quoted(domain), metric.info().id);
        let set = NamedSet { on: true, formula, ..made(format!("{domain} top {percent} %"), NeuronSet::top_percent(map, percent), source) };
        self.add_set(set, &[domain.to_owned()]);
    }

    /// After a set was added: says where its own rows have to judge it.
    pub(super) fn warn_of_chosen_rows(&mut self) {
        let domains: Vec<_> = self.project.enabled().filter_map(|d| self.library.domain(&d.name)?.scored().cloned()).collect();
        for (name, held) in self.eval_in_force(&domains).1 {
            if held.chosen_on > 0 {
                let n = domains.iter().find(|d| d.name == name).map_or(0, |d| d.items.len());
                let title = format!("The accuracy of {name} includes rows that its neurons were chosen on");
                let details = format!(
                    "{} of its {n} were scanned for the choice, and the others are too few to score alone. The effect may look stronger than on \
                     new data: scan fewer samples, or score another file.",
                    held.chosen_on
                );
                self.notice(NoticeLevel::Warn, title, details);
            }
        }
    }

    /// True when the set fits the model or, without one, the shown run; otherwise says so.
    pub(super) fn inside(&mut self, set: &NeuronSet) -> bool {
        let shape = self.library.spec().map(|s| (s.n_layers, s.d_mlp)).or_else(|| self.library.scan().map(|s| (s.n_layers, s.d_mlp)));
        let Some((layers, width)) = shape else { return true };
        match set.check_inside(layers, width) {
            Ok(()) => true,
            Err(e) => {
                self.notice(NoticeLevel::Error, "That neuron does not exist", e.to_string());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Command, testing::sample_app};

    #[test]
    fn a_formula_becomes_a_set_that_says_where_it_came_from() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        let formula = "top(logic, 10%) - top(code, 10%)";
        app.apply(Command::AddFormula { name: String::new(), formula: formula.into(), on: false });
        let set = app.project.sets.last().expect("set").clone();
        let top = |d: &str| NeuronSet::top_percent(app.map(d, None).as_ref().expect("map"), 10.0);
        assert_eq!(set.neurons, top("logic").minus(&top("code")));
        assert_eq!((set.name.as_str(), set.formula.as_str(), set.run.as_str(), set.on), (formula, formula, "run 1", false));
        assert_eq!(set.model_sha256, "5a".repeat(32));
        assert_eq!(app.undo_label(), Some("add set top(logic, 10%) - top(code, 10%)"));
        assert!(app.project.off().is_empty());

        // The set is a word of the next formula; a name that is taken gets a number.
        app.apply(Command::AddFormula { name: "few".into(), formula: format!("cap({}, 3)", quoted(formula)), on: true });
        app.apply(Command::AddFormula { name: "few".into(), formula: "few & L0N0-511".into(), on: true });
        let sets = &app.project.sets;
        assert_eq!((sets[1].name.as_str(), sets[2].name.as_str()), ("few", "few 2"));
        assert!((0..8).all(|l| sets[1].neurons.layer(l).count() <= 3) && sets[2].neurons.layers().eq([0]));
        assert_eq!(app.project.off(), sets[1].neurons);
    }

    #[test]
    fn a_formula_that_gives_nothing_says_why() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        for (formula, part) in [
            ("top(tides, 5%)", "it has arithmetic, logic"),
            ("top(logic, 5%, attention)", "it has param_activation, relevance"),
            ("mine", "there are selection, off"),
            ("L0N0 - L0N0", "No neuron"),
            ("L99N0", "0..7"),
            ("top(logic 5%)", "expected `,`"),
        ] {
            app.apply(Command::AddFormula { name: String::new(), formula: formula.into(), on: true });
            let last = app.log.last().expect("notice");
            assert!(last.level == NoticeLevel::Error && app.project.sets.is_empty(), "{formula}: {last:?}");
            assert!(last.details.contains(part), "{formula}: {last:?}");
        }
    }

    #[test]
    fn a_set_goes_through_a_file_of_either_vocabulary_whole() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        app.apply(Command::AddFormula { name: "mine".into(), formula: "top(logic, 5)".into(), on: true });
        app.apply(Command::NoteSet { index: 0, notes: "why".into() });
        app.apply(Command::ColourSet { index: 0, colour: 3 });
        let path = dir.path().join("s.json");
        for vocabulary in [Vocabulary::Layers, Vocabulary::HookPoints, Vocabulary::Tensors] {
            app.apply(Command::ExportSet { index: 0, vocabulary, path: path.clone() });
            let mut other = sample_app(dir.path());
            other.apply(Command::AddSetFile { path: path.clone() });
            let (a, b) = (&app.project.sets[0], &other.project.sets[0]);
            assert_eq!((&a.name, &a.neurons, &a.formula, &a.notes, a.colour), (&b.name, &b.neurons, &b.formula, &b.notes, b.colour));
            assert_eq!((&a.run, &a.model_sha256, b.source.as_str()), (&b.run, &b.model_sha256, "s.json: top(logic, 5), run 1"));
            assert!(other.log.iter().all(|n| n.level < NoticeLevel::Warn), "{:?}", other.log);
        }
    }

    #[test]
    fn a_set_of_another_model_is_taken_with_a_warning() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        let path = dir.path().join("s.json");
        std::fs::write(&path, r#"{"neurons": {"3": [1]}, "model_sha256": "another"}"#).expect("write");
        app.apply(Command::AddSetFile { path });
        assert!(app.log.iter().any(|n| n.level == NoticeLevel::Warn && n.details.contains("another")), "{:?}", app.log);
        assert_eq!(app.project.sets.len(), 1);
    }

    #[test]
    fn a_copy_stands_beside_its_set_and_is_not_in_force() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = sample_app(dir.path());
        for name in ["a", "b"] {
            app.apply(Command::AddFormula { name: name.into(), formula: "L0N1".into(), on: true });
        }
        app.apply(Command::DuplicateSet { index: 0 });
        let names: Vec<(&str, bool)> = app.project.sets.iter().map(|s| (s.name.as_str(), s.on)).collect();
        assert_eq!(names, [("a", true), ("a 2", false), ("b", true)]);
        app.apply(Command::Undo);
        assert_eq!(app.project.sets.len(), 2);
    }
}
