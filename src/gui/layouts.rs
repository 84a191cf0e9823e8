//! The layouts as they are delivered, for windows of three sizes: what stands behind tabs in a small window has a place of its own in a large one.

use super::dock::Pane;
use crate::app::Place;
use eframe::egui::{Id, Vec2};
use egui_tiles::Tree;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayoutId {
    Explore,
    Compare,
    Ablate,
    Tasks,
}

/// What a window has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Usual,
    /// Some 1920 by 1080 and more.
    Large,
    /// Some 3840 by 2160 at 100 or 125 %.
    VeryLarge,
}

impl Room {
    pub const ALL: [Self; 3] = [Self::Usual, Self::Large, Self::VeryLarge];

    /// `window`: its size in points.
    pub fn of(window: Vec2) -> Self {
        let holds = |width, height| window.x >= width && window.y >= height;
        if holds(2800.0, 1500.0) {
            Self::VeryLarge
        } else if holds(1700.0, 900.0) {
            Self::Large
        } else {
            Self::Usual
        }
    }
}

fn tabs(panels: &[&str]) -> Place {
    Place::Tabs(panels.iter().map(|id| Place::Panel((*id).to_owned())).collect())
}

fn row<const N: usize>(parts: [(f32, Place); N]) -> Place {
    Place::Row(parts.into())
}

fn column<const N: usize>(parts: [(f32, Place); N]) -> Place {
    Place::Column(parts.into())
}

impl LayoutId {
    pub const ALL: [Self; 4] = [Self::Explore, Self::Compare, Self::Ablate, Self::Tasks];

    pub fn name(self) -> &'static str {
        match self {
            Self::Explore => "Explore",
            Self::Compare => "Compare",
            Self::Ablate => "Ablate",
            Self::Tasks => "Tasks",
        }
    }
    pub fn hint(self) -> &'static str {
        match self {
            Self::Explore => "One domain: its neurons, density and similarity by layer",
            Self::Compare => "Domains beside each other: similarity, overlap, maps",
            Self::Ablate => "Switch neurons off and watch each domain's accuracy",
            Self::Tasks => "The neurons that each task needs: find them, prove them, tune only them",
        }
    }
    /// The panels and their shares, as a window of this size shows them at first.
    pub(super) fn delivered(self, room: Room) -> Place {
        match room {
            Room::Usual => self.usual(),
            Room::Large => self.large(),
            Room::VeryLarge => self.very_large(),
        }
    }
    pub(super) fn tree(self, room: Room) -> Tree<Pane> {
        super::arrangement::tree_of(&self.delivered(room), self).unwrap_or_else(|| Tree::empty(Id::unique(("dock", self.name()))))
    }

    fn usual(self) -> Place {
        match self {
            Self::Explore => row([
                (
                    0.57,
                    column([
                        (0.62, tabs(&["neurons"])),
                        (0.38, tabs(&["scan", "domains", "models", "sets", "history", "lens", "jobs", "log"])),
                    ]),
                ),
                (0.43, column([(0.46, tabs(&["density"])), (0.54, tabs(&["similarity", "overlap"]))])),
            ]),
            Self::Compare => row([
                (0.45, column([(0.5, tabs(&["similarity"])), (0.5, tabs(&["overlap"]))])),
                (0.55, column([(0.62, tabs(&["maps", "neurons"])), (0.38, tabs(&["density"]))])),
            ]),
            Self::Ablate => row([
                (0.52, tabs(&["ablation"])),
                (
                    0.48,
                    column([
                        (0.55, tabs(&["neurons"])),
                        (0.45, tabs(&["prediction", "sweep", "sets", "overlap", "history", "lens", "jobs", "log"])),
                    ]),
                ),
            ]),
            Self::Tasks => row([
                (0.62, tabs(&["tasks"])),
                (0.38, column([(0.5, tabs(&["sets", "domains", "models", "jobs", "log"])), (0.5, tabs(&["neurons", "overlap"]))])),
            ]),
        }
    }

    fn large(self) -> Place {
        match self {
            Self::Explore | Self::Compare => self.usual(),
            Self::Ablate => row([
                (0.6, column([(0.6, tabs(&["ablation"])), (0.4, tabs(&["overlap", "sets", "history", "lens", "jobs", "log"]))])),
                (0.4, column([(0.44, tabs(&["neurons"])), (0.56, tabs(&["prediction", "sweep"]))])),
            ]),
            Self::Tasks => row([
                (0.6, tabs(&["tasks"])),
                (
                    0.4,
                    column([
                        (0.24, tabs(&["sets", "domains", "models", "jobs", "log"])),
                        (0.38, tabs(&["neurons"])),
                        (0.38, tabs(&["overlap"])),
                    ]),
                ),
            ]),
        }
    }

    fn very_large(self) -> Place {
        match self {
            Self::Explore => row([
                (
                    0.54,
                    column([
                        (0.5, tabs(&["neurons"])),
                        (
                            0.5,
                            row([
                                (0.34, tabs(&["scan"])),
                                (0.33, tabs(&["domains", "models"])),
                                (0.33, column([(0.4, tabs(&["sets"])), (0.6, tabs(&["lens", "history", "jobs", "log"]))])),
                            ]),
                        ),
                    ]),
                ),
                (0.46, column([(0.32, tabs(&["density"])), (0.34, tabs(&["similarity"])), (0.34, tabs(&["overlap"]))])),
            ]),
            Self::Compare => row([
                (0.45, column([(0.5, tabs(&["similarity"])), (0.5, tabs(&["overlap"]))])),
                (0.55, column([(0.58, tabs(&["maps"])), (0.42, row([(0.5, tabs(&["density"])), (0.5, tabs(&["neurons"]))]))])),
            ]),
            Self::Ablate => column([
                (0.39, row([(0.5, tabs(&["ablation"])), (0.5, tabs(&["neurons"]))])),
                (
                    0.61,
                    row([
                        (0.33, tabs(&["prediction"])),
                        (0.34, tabs(&["sweep"])),
                        (0.33, column([(0.6, tabs(&["overlap"])), (0.4, tabs(&["sets", "history", "lens", "jobs", "log"]))])),
                    ]),
                ),
            ]),
            Self::Tasks => row([
                (0.55, column([(0.58, tabs(&["tasks"])), (0.42, tabs(&["neurons"]))])),
                (
                    0.45,
                    column([
                        (0.38, tabs(&["overlap"])),
                        (0.36, tabs(&["similarity"])),
                        (0.26, row([(0.5, tabs(&["sets"])), (0.5, tabs(&["domains", "models", "jobs", "log"]))])),
                    ]),
                ),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::dock::Dock;
    use eframe::egui::vec2;

    #[test]
    fn a_larger_window_has_every_panel_of_a_usual_one() {
        for layout in LayoutId::ALL {
            let mut dock = Dock::new(None);
            dock.active = layout;
            let usual: Vec<&str> = crate::gui::panels::PANELS.iter().map(|p| p.id).filter(|id| dock.has(id)).collect();
            let seen = |dock: &Dock| usual.iter().filter(|id| dock.shows(id)).count();
            let usually = seen(&dock);
            dock.fit(vec2(1920.0, 1080.0));
            let large = seen(&dock);
            assert!(usual.iter().all(|id| dock.has(id)) && large >= usually, "{layout:?}");
            dock.fit(vec2(3840.0, 2160.0));
            assert!(usual.iter().all(|id| dock.has(id)) && seen(&dock) > large, "{layout:?} shows more of them at once");
        }
    }

    #[test]
    fn what_a_user_arranged_stays_in_a_window_of_any_size() {
        let mut dock = Dock::new(None);
        dock.show_panel("maps");
        let arranged = dock.arrangement();
        assert!(dock.fit(vec2(3840.0, 2160.0)), "the other layouts are those for such a window");
        assert_eq!(dock.arrangement().layouts["Explore"], arranged.layouts["Explore"]);
        assert_ne!(dock.arrangement().layouts["Ablate"], arranged.layouts["Ablate"]);
        dock.arrange(&arranged);
        assert!(dock.fit(vec2(3840.0, 2160.0)), "those that a project brings too");
        assert!(!dock.fit(vec2(3840.0, 2160.0)), "once");
        dock.reset();
        assert!(dock.shows("scan") && dock.shows("domains") && !dock.has("maps"), "as it is delivered for this window");
        assert!(dock.fit(vec2(1280.0, 720.0)));
        assert_eq!(dock.arrangement(), Dock::new(None).arrangement());
    }
}
