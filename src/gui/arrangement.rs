//! The dock's layouts as a project holds them, and back.

use super::dock::{Dock, LayoutId, Pane, simple};
use crate::app::{Arrangement, Place};
use eframe::egui::Id;
use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};

impl Dock {
    /// Which panels lie where, whatever is in front.
    pub fn arrangement(&self) -> Arrangement {
        let one = |id: LayoutId| Some((id.name().to_owned(), place_of(self.trees.get(id.name())?)?));
        Arrangement { layouts: LayoutId::ALL.into_iter().filter_map(one).collect() }
    }

    /// Lays the panels as a project says; those in front stay there. What is not named stays as it is.
    pub fn arrange(&mut self, arrangement: &Arrangement) {
        for id in LayoutId::ALL {
            let Some(place) = arrangement.layouts.get(id.name()) else { continue };
            if self.trees.get(id.name()).and_then(place_of).as_ref() == Some(place) {
                continue;
            }
            if let Some(tree) = tree_of(place, id) {
                self.lay(id, tree);
                self.unfitted = true;
            }
        }
    }
}

/// Ids of the panels that are seen.
pub(super) fn in_front(tree: &Tree<Pane>) -> Vec<String> {
    let pane = |id: TileId| match tree.tiles.get(id) {
        Some(Tile::Pane(p)) => Some(p.id.clone()),
        _ => None,
    };
    tree.active_tiles().into_iter().filter_map(pane).collect()
}

/// As the next frame will show it: what a panel left empty is gone, which is no change of its own.
pub(super) fn place_of(tree: &Tree<Pane>) -> Option<Place> {
    let mut tree = tree.clone();
    tree.simplify(&simple());
    part(&tree.tiles, tree.root?)
}

fn part(tiles: &Tiles<Pane>, id: TileId) -> Option<Place> {
    let parts = |children: &[TileId]| children.iter().filter_map(|c| Some((*c, part(tiles, *c)?))).collect::<Vec<_>>();
    match tiles.get(id)? {
        Tile::Pane(pane) => Some(Place::Panel(pane.id.clone())),
        Tile::Container(Container::Tabs(tabs)) => {
            let parts: Vec<Place> = parts(&tabs.children).into_iter().map(|p| p.1).collect();
            (!parts.is_empty()).then_some(Place::Tabs(parts))
        }
        Tile::Container(Container::Linear(linear)) => {
            let parts = parts(&linear.children);
            let whole: f32 = parts.iter().map(|(id, _)| linear.shares[*id]).sum();
            // Four digits: a frame must not change what nobody moved.
            let share = |id: TileId| (linear.shares[id] / whole.max(f32::MIN_POSITIVE) * 1e4).round() / 1e4;
            let shared: Vec<(f32, Place)> = parts.into_iter().map(|(id, p)| (share(id), p)).collect();
            (!shared.is_empty()).then_some(match linear.dir {
                LinearDir::Horizontal => Place::Row(shared),
                LinearDir::Vertical => Place::Column(shared),
            })
        }
        // No layout begins with a grid, and no drag makes one.
        Tile::Container(Container::Grid(grid)) => {
            let parts: Vec<&TileId> = grid.children().collect();
            let share = 1.0 / parts.len().max(1) as f32;
            Some(Place::Row(parts.into_iter().filter_map(|c| Some((share, part(tiles, *c)?))).collect()))
        }
    }
}

pub(super) fn tree_of(place: &Place, layout: LayoutId) -> Option<Tree<Pane>> {
    let mut tiles = Tiles::default();
    let root = tile_of(place, &mut tiles)?;
    let mut tree = Tree::new(Id::unique(("dock", layout.name())), root, tiles);
    tree.simplify(&simple());
    Some(tree)
}

fn tile_of(place: &Place, tiles: &mut Tiles<Pane>) -> Option<TileId> {
    let mut linear = |parts: &[(f32, Place)], dir: LinearDir| {
        let made: Vec<(f32, TileId)> = parts.iter().filter_map(|(s, p)| Some((*s, tile_of(p, tiles)?))).collect();
        let mut linear = Linear::new(dir, made.iter().map(|m| m.1).collect());
        // A share that a file made up must not take the others' room.
        made.iter().filter(|m| m.0.is_finite() && m.0 > 0.0).for_each(|(share, id)| linear.shares.set_share(*id, *share));
        (!made.is_empty()).then(|| tiles.insert_new(Tile::Container(Container::Linear(linear))))
    };
    match place {
        Place::Row(parts) => linear(parts, LinearDir::Horizontal),
        Place::Column(parts) => linear(parts, LinearDir::Vertical),
        // A file may name panels that this version has not.
        Place::Panel(id) => super::panels::find(id).is_some().then(|| tiles.insert_pane(Pane { id: id.clone() })),
        Place::Tabs(parts) => {
            let made: Vec<TileId> = parts.iter().filter_map(|p| tile_of(p, tiles)).collect();
            (!made.is_empty()).then(|| tiles.insert_tab_tile(made))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_comes_back_as_it_was() {
        let mut dock = Dock::new(None);
        let delivered = dock.arrangement();
        assert_eq!(delivered.layouts.len(), LayoutId::ALL.len());
        dock.show_panel("maps");
        let with_maps = dock.arrangement();
        assert_eq!(with_maps.change_since(&delivered), "open maps in Explore");
        dock.arrange(&delivered);
        assert_eq!(dock.arrangement(), delivered);
        assert!(!dock.has("maps"));
        dock.arrange(&with_maps);
        assert_eq!(dock.arrangement(), with_maps);
    }

    #[test]
    fn what_is_in_front_stays_in_front() {
        let mut dock = Dock::new(None);
        let delivered = dock.arrangement();
        dock.show_panel("log");
        assert_eq!(dock.arrangement(), delivered, "a click on a tab moves nothing");
        let Some(Place::Row(mut columns)) = delivered.layouts.get("Explore").cloned() else { panic!("columns") };
        (columns[0].0, columns[1].0) = (0.3, 0.7);
        let mut wider = delivered.clone();
        wider.layouts.insert("Explore".into(), Place::Row(columns));
        dock.arrange(&wider);
        assert!(dock.shows("log") && dock.arrangement() == wider);
    }

    #[test]
    fn panels_of_another_version_are_left_out() {
        let mut dock = Dock::new(None);
        let place = Place::Tabs(vec![Place::Panel("of the future".into()), Place::Panel("log".into())]);
        dock.arrange(&Arrangement { layouts: [("Explore".to_owned(), place)].into() });
        assert_eq!(dock.arrangement().layouts["Explore"], Place::Tabs(vec![Place::Panel("log".into())]));
    }
}
