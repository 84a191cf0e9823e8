//! How the window's panels lie, as a project holds it and undo restores it: which panels, beside, above or behind each other, and how large. Which of
//! them is in front is no part of it: a click on a tab takes nothing back.

use super::App;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A part of a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// By the panel's id.
    Panel(String),
    /// Behind each other.
    Tabs(Vec<Place>),
    /// Beside each other, with the share of each.
    Row(Vec<(f32, Place)>),
    /// Above each other, with the share of each.
    Column(Vec<(f32, Place)>),
}

impl Place {
    fn add_panels<'a>(&'a self, to: &mut BTreeSet<&'a str>) {
        match self {
            Self::Panel(id) => {
                to.insert(id);
            }
            Self::Tabs(parts) => parts.iter().for_each(|p| p.add_panels(to)),
            Self::Row(parts) | Self::Column(parts) => parts.iter().for_each(|(_, p)| p.add_panels(to)),
        }
    }

    /// The same without the shares.
    fn outline(&self) -> Self {
        let bare = |parts: &[(f32, Self)]| parts.iter().map(|(_, p)| (1.0, p.outline())).collect();
        match self {
            Self::Panel(id) => Self::Panel(id.clone()),
            Self::Tabs(parts) => Self::Tabs(parts.iter().map(Self::outline).collect()),
            Self::Row(parts) => Self::Row(bare(parts)),
            Self::Column(parts) => Self::Column(bare(parts)),
        }
    }
}

/// The window's layouts by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrangement {
    pub layouts: BTreeMap<String, Place>,
}

impl Arrangement {
    /// What was done to get here from `before`, for the Edit menu.
    pub fn change_since(&self, before: &Self) -> String {
        let changed = |name: &&String| self.layouts.get(*name) != before.layouts.get(*name);
        let names: Vec<&String> = self.layouts.keys().filter(changed).collect();
        let [name] = names[..] else { return "arrange the panels".into() };
        let (Some(old), Some(new)) = (before.layouts.get(name), self.layouts.get(name)) else { return format!("arrange {name}") };
        let (mut was, mut is) = (BTreeSet::new(), BTreeSet::new());
        old.add_panels(&mut was);
        new.add_panels(&mut is);
        let (gone, come): (Vec<_>, Vec<_>) = (was.difference(&is).collect(), is.difference(&was).collect());
        match (&gone[..], &come[..]) {
            ([one], []) => format!("close {one} in {name}"),
            ([], [one]) => format!("open {one} in {name}"),
            ([], []) if old.outline() == new.outline() => format!("panel sizes in {name}"),
            _ => format!("arrange {name}"),
        }
    }
}

impl App {
    /// The panels lay like this before anything was done about it: what a first change of them goes back to.
    pub(super) fn settle_arrangement(&mut self, from: &Arrangement) {
        if self.project.arrangement.is_none() {
            self.project.arrangement = Some(from.clone());
            self.arrangement_is_no_change(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Command, testing::for_tests};

    fn panel(id: &str) -> Place {
        Place::Panel(id.into())
    }

    fn with(place: Place) -> Arrangement {
        Arrangement { layouts: [("Explore".to_owned(), place), ("Compare".to_owned(), panel("maps"))].into() }
    }

    #[test]
    fn a_change_is_named_by_what_came_went_or_grew() {
        let row = |shares: [f32; 2]| with(Place::Row(vec![(shares[0], panel("neurons")), (shares[1], Place::Tabs(vec![panel("log")]))]));
        let before = row([0.5, 0.5]);
        assert_eq!(row([0.25, 0.75]).change_since(&before), "panel sizes in Explore");
        assert_eq!(with(panel("neurons")).change_since(&before), "close log in Explore");
        let more = with(Place::Row(vec![(0.5, panel("neurons")), (0.5, Place::Tabs(vec![panel("log"), panel("jobs")]))]));
        assert_eq!(more.change_since(&before), "open jobs in Explore");
        assert_eq!(before.change_since(&more), "close jobs in Explore");
        let moved = with(Place::Column(vec![(0.5, panel("neurons")), (0.5, panel("log"))]));
        assert_eq!(moved.change_since(&before), "arrange Explore");
    }

    #[test]
    fn panels_go_back_and_forth_with_undo_and_through_a_file() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = for_tests(dir.path());
        let (a, b) = (with(panel("neurons")), with(Place::Tabs(vec![panel("neurons"), panel("log")])));
        app.apply(Command::SetNotes { notes: "n".into() });
        app.apply(Command::Arrange { from: a.clone(), to: b.clone() });
        assert_eq!(app.undo_label(), Some("open log in Explore"));
        app.apply(Command::Undo);
        assert_eq!((app.project.arrangement.as_ref(), app.project.notes.as_str()), (Some(&a), "n"));
        app.apply(Command::Redo);
        let path = dir.path().join("p.json");
        app.apply(Command::SaveProject { path: Some(path.clone()) });
        let mut other = for_tests(dir.path());
        other.apply(Command::OpenProject { path });
        assert_eq!(other.project.arrangement.as_ref(), Some(&b));
        other.apply(Command::Undo);
        assert_eq!(other.project.arrangement.as_ref(), Some(&a));
        other.apply(Command::Undo);
        assert_eq!(other.project.notes, "");
    }

    #[test]
    fn how_the_panels_lay_at_first_is_no_change_to_save() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = for_tests(dir.path());
        let a = with(panel("neurons"));
        app.apply(Command::Arrange { from: a.clone(), to: a });
        assert!(!app.is_dirty() && app.undo_label().is_none());
    }
}
