//! Every state the project has been in, as a tree: undo goes to the parent, redo to the child that was left last, and what was undone stays as a branch
//! when something else is done instead.

use super::{NamedSet, Project};
use crate::base::{NeuronSet, provenance::now_utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Commands of one gesture closer together than this are one step.
const GESTURE: Duration = Duration::from_millis(600);
/// Steps kept, and neurons kept over all steps (a set of a large model holds hundreds of thousands).
const STEPS: usize = 1_000;
const NEURONS: usize = 4_000_000;

#[derive(Clone)]
struct Step {
    parent: Option<u64>,
    /// What led here; of the root: how it began.
    label: String,
    /// UTC.
    time: String,
    /// The project here. Of the current step: as it was when it was last left, for the program holds it.
    project: Arc<Project>,
    gesture: Option<(&'static str, Instant)>,
    /// Where redo goes.
    next: Option<u64>,
}

#[derive(Clone)]
pub(super) struct History {
    /// By number, which grows: parents come before their children.
    steps: BTreeMap<u64, Step>,
    current: u64,
    /// Lower than all others when the oldest were forgotten.
    last: u64,
}

/// A step as the History panel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub id: u64,
    pub parent: Option<u64>,
    pub label: String,
    /// UTC.
    pub time: String,
    /// Branches beside each other: 0 for the first.
    pub lane: usize,
    pub current: bool,
    /// Undo and redo pass here: it lies between the beginning and the tip of the current branch.
    pub on_branch: bool,
}

impl Default for History {
    fn default() -> Self {
        let root = Step { parent: None, label: "beginning".into(), time: now_utc(), project: Arc::default(), gesture: None, next: None };
        Self { steps: [(0, root)].into(), current: 0, last: 0 }
    }
}

impl History {
    /// Notes that `before` was left behind by a command.
    pub fn record(&mut self, label: String, before: Project, gesture: Option<&'static str>, now: Instant) {
        let leaf = self.steps.values().all(|s| s.parent != Some(self.current));
        if let Some(step) = self.steps.get_mut(&self.current) {
            let same = gesture.zip(step.gesture).is_some_and(|(g, (h, at))| g == h && now.duration_since(at) < GESTURE);
            if same && leaf {
                step.gesture = gesture.map(|g| (g, now));
                step.label = label;
                return;
            }
            step.project = Arc::new(before);
        }
        self.last += 1;
        let step = Step {
            parent: Some(self.current),
            label,
            time: now_utc(),
            project: Arc::default(),
            gesture: gesture.map(|g| (g, now)),
            next: None,
        };
        self.steps.insert(self.last, step);
        if let Some(parent) = self.steps.get_mut(&self.current) {
            parent.next = Some(self.last);
        }
        self.current = self.last;
        self.forget_oldest();
    }

    /// Leaves out the oldest ends of other branches, then the beginning, while there are too many.
    fn forget_oldest(&mut self) {
        let mut weight: usize = self.steps.values().map(|s| s.project.weight()).sum();
        while self.steps.len() > STEPS || self.steps.len() > 1 && weight > NEURONS {
            let path = self.path(self.current);
            let is_leaf = |id: &u64| self.steps.values().all(|s| s.parent != Some(*id));
            let leaf = self.steps.keys().copied().find(|id| !path.contains(id) && is_leaf(id));
            let Some(gone) = leaf.or_else(|| path.last().copied().filter(|r| *r != self.current)) else { return };
            if let Some(step) = self.steps.remove(&gone) {
                weight -= step.project.weight();
            }
            for step in self.steps.values_mut() {
                step.parent = step.parent.filter(|p| *p != gone);
                step.next = step.next.filter(|n| *n != gone);
            }
        }
    }

    /// From a step to the beginning.
    fn path(&self, from: u64) -> Vec<u64> {
        let mut path = vec![from];
        while let Some(parent) = path.last().and_then(|id| self.steps.get(id)?.parent) {
            path.push(parent);
        }
        path
    }

    fn forward(&self) -> Option<u64> {
        self.steps.get(&self.current)?.next
    }

    /// Goes to a step; gives the project there. `current`: the project as it is now.
    pub fn go(&mut self, to: u64, current: &Project) -> Option<Project> {
        if to == self.current || !self.steps.contains_key(&to) {
            return None;
        }
        if let Some(step) = self.steps.get_mut(&self.current) {
            if *step.project != *current {
                step.project = Arc::new(current.clone());
            }
            // What follows is no part of this gesture.
            step.gesture = None;
        }
        // Redo follows the way back to where one came from, and then on to the target.
        for from in [self.current, to] {
            let path = self.path(from);
            for pair in path.windows(2) {
                if let Some(parent) = self.steps.get_mut(&pair[1]) {
                    parent.next = Some(pair[0]);
                }
            }
        }
        self.current = to;
        let step = self.steps.get_mut(&to)?;
        step.gesture = None;
        Some((*step.project).clone())
    }
    pub fn undo(&mut self, current: &Project) -> Option<Project> {
        self.go(self.steps.get(&self.current)?.parent?, current)
    }
    pub fn redo(&mut self, current: &Project) -> Option<Project> {
        self.go(self.forward()?, current)
    }
    pub fn undo_label(&self) -> Option<&str> {
        let step = self.steps.get(&self.current)?;
        step.parent.map(|_| step.label.as_str())
    }
    pub fn redo_label(&self) -> Option<&str> {
        self.forward().and_then(|id| self.steps.get(&id)).map(|s| s.label.as_str())
    }

    /// Oldest first.
    pub fn rows(&self) -> Vec<HistoryRow> {
        let mut branch = self.path(self.current);
        branch.reverse();
        while let Some(next) = branch.last().and_then(|id| self.steps.get(id)?.next) {
            branch.push(next);
        }
        let mut lanes: BTreeMap<u64, usize> = BTreeMap::new();
        let branch: BTreeSet<u64> = branch.into_iter().collect();
        let mut continued: BTreeSet<u64> = BTreeSet::new();
        let mut free = 0;
        for (id, step) in &self.steps {
            // The first child goes on in its parent's lane; every other begins a lane.
            let lane = match step.parent.filter(|p| !continued.contains(p)) {
                Some(parent) => {
                    continued.insert(parent);
                    lanes.get(&parent).copied().unwrap_or(0)
                }
                None => {
                    free += 1;
                    free - 1
                }
            };
            lanes.insert(*id, lane);
        }
        let row = |(&id, step): (&u64, &Step)| HistoryRow {
            id,
            parent: step.parent,
            label: step.label.clone(),
            time: step.time.clone(),
            lane: lanes.get(&id).copied().unwrap_or(0),
            current: id == self.current,
            on_branch: branch.contains(&id),
        };
        self.steps.iter().map(row).collect()
    }
    /// Changes every project of the tree: something lies elsewhere than it did.
    pub fn rewrite(&mut self, change: impl Fn(&mut Project)) {
        for step in self.steps.values_mut() {
            change(Arc::make_mut(&mut step.project));
        }
    }
    /// Every step at the same time, for pictures.
    pub fn date(&mut self, time: &str) {
        for step in self.steps.values_mut() {
            time.clone_into(&mut step.time);
        }
    }
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// For a file; `current`: the project as it is now. `outside`: what is done to each project on its way out.
    pub fn saved(&self, current: &Project, outside: &dyn Fn(&mut Project)) -> SavedHistory {
        let mut known: BTreeMap<u64, (Value, Heavy)> = BTreeMap::new();
        let mut steps = Vec::new();
        for (&id, step) in &self.steps {
            let mut project = if id == self.current { current.clone() } else { (*step.project).clone() };
            outside(&mut project);
            let heavy = Heavy::take(&mut project);
            // A project is plain data with text keys: it always serialises.
            let light = serde_json::to_value(&project).unwrap_or_default();
            let change = match step.parent.and_then(|p| known.get(&p)) {
                Some((parent, parent_heavy)) => heavy.patch(parent_heavy, difference(parent, &light)),
                None => heavy.patch(&Heavy::default(), light.clone()),
            };
            known.insert(id, (light, heavy));
            steps.push(SavedStep { id, parent: step.parent, label: step.label.clone(), time: step.time.clone(), next: step.next, change });
        }
        SavedHistory { current: self.current, steps }
    }

    /// Reads what [`History::saved`] wrote; steps that cannot be read are left out with all that follows from them. `None` where the current one is not
    /// among those that can, or is not `current`. `inside`: what is done to each project on its way in.
    pub fn restored(saved: &SavedHistory, current: &Project, inside: &dyn Fn(&mut Project)) -> Option<Self> {
        let mut known: BTreeMap<u64, (Value, Heavy)> = BTreeMap::new();
        let mut steps: BTreeMap<u64, Step> = BTreeMap::new();
        let beginning = (Value::Null, Heavy::default());
        for s in &saved.steps {
            let before = match s.parent {
                Some(parent) => known.get(&parent),
                None => Some(&beginning),
            };
            let Some((light, heavy)) = before else { continue };
            let mut patch = s.change.clone();
            let Some(heavy) = heavy.patched(&mut patch) else { continue };
            let light = changed(light, &patch);
            let Ok(mut project) = serde_json::from_value::<Project>(light.clone()) else { continue };
            heavy.clone().put(&mut project);
            inside(&mut project);
            known.insert(s.id, (light, heavy));
            let (label, time, project) = (s.label.clone(), s.time.clone(), Arc::new(project));
            steps.insert(s.id, Step { parent: s.parent, label, time, project, gesture: None, next: s.next });
        }
        let readable: BTreeSet<u64> = steps.keys().copied().collect();
        for step in steps.values_mut() {
            step.next = step.next.filter(|n| readable.contains(n));
        }
        let without_run = |p: &Project| Project { run: None, ..p.clone() };
        let same = steps.get(&saved.current).is_some_and(|s| without_run(&s.project) == without_run(current));
        let last = *steps.keys().next_back()?;
        same.then_some(Self { steps, current: saved.current, last })
    }

    /// Hangs another tree under the current step, and goes to where that one was: undo leads from it back to here. `before`: the project as it was.
    pub fn graft(&mut self, other: Self, label: String, before: Project) {
        if let Some(step) = self.steps.get_mut(&self.current) {
            step.project = Arc::new(before);
        }
        let shift = self.last + 1;
        for (id, mut step) in other.steps {
            let root = step.parent.is_none();
            step.parent = step.parent.map(|p| p + shift).or(Some(self.current));
            step.next = step.next.map(|n| n + shift);
            if root {
                step.label.clone_from(&label);
            }
            self.steps.insert(id + shift, step);
        }
        self.last = other.last + shift;
        let from = other.current + shift;
        let path = self.path(from);
        for pair in path.windows(2) {
            if let Some(parent) = self.steps.get_mut(&pair[1]) {
                parent.next = Some(pair[0]);
            }
        }
        self.current = from;
        self.forget_oldest();
    }
}

/// The tree as a project file holds it: the first project whole, of every other what differs from its parent's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedHistory {
    current: u64,
    /// Parents before children.
    steps: Vec<SavedStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedStep {
    id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
    label: String,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// As JSON Merge Patch (RFC 7386): `null` takes a field away, which for a project means its default.
    change: Value,
}

/// What of a project may hold a hundred thousand neurons: compared as it is, and written only where it differs.
#[derive(Clone, Default, PartialEq)]
struct Heavy {
    sets: Vec<NamedSet>,
    single: NeuronSet,
    spared: NeuronSet,
    selection: NeuronSet,
}

impl Heavy {
    fn take(project: &mut Project) -> Self {
        Self {
            sets: std::mem::take(&mut project.sets),
            single: std::mem::take(&mut project.single),
            spared: std::mem::take(&mut project.spared),
            selection: std::mem::take(&mut project.view.selection),
        }
    }
    fn put(self, project: &mut Project) {
        (project.sets, project.single, project.spared, project.view.selection) = (self.sets, self.single, self.spared, self.selection);
    }

    /// `patch` with what differs from `before` added.
    fn patch(&self, before: &Self, mut patch: Value) -> Value {
        fn add<T: PartialEq + Serialize>(patch: &mut Value, key: &str, before: &T, now: &T) {
            if before != now {
                let value = |v: &T| serde_json::to_value(v).unwrap_or_default();
                patch[key] = difference(&value(before), &value(now));
            }
        }
        add(&mut patch, "sets", &before.sets, &self.sets);
        add(&mut patch, "single", &before.single, &self.single);
        add(&mut patch, "spared", &before.spared, &self.spared);
        if before.selection != self.selection {
            if !patch["view"].is_object() {
                patch["view"] = Value::Object(Map::new());
            }
            add(&mut patch["view"], "selection", &before.selection, &self.selection);
        }
        patch
    }

    /// This with its part of a patch applied, which is taken out of it; `None` where that cannot be read.
    fn patched(&self, patch: &mut Value) -> Option<Self> {
        fn part<T: Clone + Serialize + serde::de::DeserializeOwned>(patch: Option<&mut Value>, key: &str, before: &T) -> Option<T> {
            match patch.and_then(Value::as_object_mut).and_then(|p| p.shift_remove(key)) {
                None => Some(before.clone()),
                Some(change) => serde_json::from_value(changed(&serde_json::to_value(before).ok()?, &change)).ok(),
            }
        }
        Some(Self {
            sets: part(Some(&mut *patch), "sets", &self.sets)?,
            single: part(Some(&mut *patch), "single", &self.single)?,
            spared: part(Some(&mut *patch), "spared", &self.spared)?,
            selection: part(patch.get_mut("view"), "selection", &self.selection)?,
        })
    }
}

/// The patch that makes `new` of `old`.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for key in a.keys().filter(|k| !b.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in b {
        match a.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), difference(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// `old` with a patch applied.
fn changed(old: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut out = match old {
        Value::Object(o) => o.clone(),
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            out.shift_remove(key);
        } else {
            let before = out.get(key).unwrap_or(&Value::Null);
            let after = changed(before, value);
            out.insert(key.clone(), after);
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_gamma(gamma: f32) -> Project {
        let mut p = Project::default();
        p.view.gamma = Some(gamma);
        p
    }

    #[test]
    fn a_drag_is_one_step_and_a_pause_starts_another() {
        let (mut h, t) = (History::default(), Instant::now());
        for i in 0..10u16 {
            h.record("gamma".into(), with_gamma(f32::from(i)), Some("gamma"), t + Duration::from_millis(500) * u32::from(i));
        }
        h.record("gamma".into(), with_gamma(10.0), Some("gamma"), t + Duration::from_millis(4_500 + 601));
        let now = with_gamma(11.0);
        assert_eq!(h.undo(&now), Some(with_gamma(10.0)));
        assert_eq!(h.undo(&with_gamma(10.0)), Some(with_gamma(0.0)));
        assert_eq!(h.undo(&with_gamma(0.0)), None);
        assert_eq!(h.redo(&with_gamma(0.0)), Some(with_gamma(10.0)));
        assert_eq!(h.redo(&with_gamma(10.0)), Some(now));
    }

    #[test]
    fn what_was_undone_stays_as_a_branch() {
        let (mut h, t) = (History::default(), Instant::now());
        h.record("a".into(), with_gamma(0.0), None, t);
        h.record("b".into(), with_gamma(1.0), None, t);
        assert_eq!(h.undo(&with_gamma(2.0)), Some(with_gamma(1.0)));
        assert_eq!(h.redo_label(), Some("b"));
        h.record("c".into(), with_gamma(1.0), None, t);
        assert_eq!((h.redo_label(), h.undo_label()), (None, Some("c")));
        let rows = h.rows();
        let of = |label: &str| rows.iter().find(|r| r.label == label).expect(label);
        assert_eq!((of("a").lane, of("b").lane, of("c").lane), (0, 0, 1));
        assert!(of("c").current && of("a").on_branch && !of("b").on_branch);
        // The old branch is one click away, and redo then follows it.
        let b = of("b").id;
        assert_eq!(h.go(b, &with_gamma(3.0)), Some(with_gamma(2.0)));
        assert_eq!(h.undo(&with_gamma(2.0)), Some(with_gamma(1.0)));
        assert_eq!(h.redo_label(), Some("b"));
        let c = of("c").id;
        assert_eq!(h.go(c, &with_gamma(1.0)), Some(with_gamma(3.0)));
    }

    #[test]
    fn old_steps_fall_off_but_never_the_way_here() {
        let (mut h, t) = (History::default(), Instant::now());
        for i in 0..u16::try_from(STEPS + 100).expect("small") {
            h.record("x".into(), with_gamma(f32::from(i)), None, t);
        }
        assert_eq!(h.len(), STEPS);
        let mut now = with_gamma(2_000.0);
        let mut back = 0;
        while let Some(before) = h.undo(&now) {
            (now, back) = (before, back + 1);
        }
        assert_eq!(back, STEPS - 1);
        // Branches go before the way to the current step does.
        h.redo(&now).expect("one forward");
        h.record("y".into(), now.clone(), None, t);
        assert_eq!(h.len(), STEPS);
        assert_eq!(h.undo_label(), Some("y"));
    }

    #[test]
    fn a_tree_goes_through_a_file() {
        let (mut h, t) = (History::default(), Instant::now());
        h.record("a".into(), with_gamma(0.5), None, t);
        h.record("b".into(), Project { notes: "n".into(), ..with_gamma(1.0) }, None, t);
        h.undo(&with_gamma(2.0));
        h.record("c".into(), Project { notes: "n".into(), ..with_gamma(1.0) }, None, t);
        let now = Project { controls: 9, ..Project::default() };
        let text = serde_json::to_string(&h.saved(&now, &|_| ())).expect("json");
        let saved: SavedHistory = serde_json::from_str(&text).expect("own json");
        let mut back = History::restored(&saved, &now, &|_| ()).expect("whole");
        assert_eq!(back.rows(), h.rows());
        let b = h.rows().iter().find(|r| r.label == "b").expect("b").id;
        assert_eq!(back.go(b, &now), Some(with_gamma(2.0)));
        assert_eq!(back.undo(&with_gamma(2.0)), Some(Project { notes: "n".into(), ..with_gamma(1.0) }));
        // A file whose project was changed by hand has no history any more.
        assert!(History::restored(&saved, &Project::default(), &|_| ()).is_none());
    }

    #[test]
    fn opening_another_project_hangs_its_tree_under_this_one() {
        let (mut h, t) = (History::default(), Instant::now());
        h.record("a".into(), with_gamma(0.0), None, t);
        let mut other = History::default();
        other.record("z".into(), with_gamma(7.0), None, t);
        h.graft(other, "open p.json".into(), with_gamma(1.0));
        let now = with_gamma(8.0);
        assert_eq!(h.undo_label(), Some("z"));
        assert_eq!(h.undo(&now), Some(with_gamma(7.0)));
        assert_eq!(h.undo_label(), Some("open p.json"));
        assert_eq!(h.undo(&with_gamma(7.0)), Some(with_gamma(1.0)));
        assert_eq!(h.redo(&with_gamma(1.0)), Some(with_gamma(7.0)));
        assert_eq!(h.redo(&with_gamma(7.0)), Some(now));
    }

    fn json() -> impl Strategy<Value = Value> {
        // No null: a patch means "take away" by it, and a project's fields that are null are those it lacks.
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_new_value_of_the_old(old in json(), new in json()) {
            prop_assert_eq!(changed(&old, &difference(&old, &new)), new);
        }
    }
}
