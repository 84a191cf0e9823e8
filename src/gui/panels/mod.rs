//! The panels, one file each. The registry gives the menu, the dock, saved layouts and the snapshot test.

pub mod inspector;
pub mod library;

use super::PanelInfo;

/// In the order of the menu.
pub const PANELS: &[PanelInfo] = &[];

pub fn find(id: &str) -> Option<&'static PanelInfo> {
    PANELS.iter().find(|p| p.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_titles_say_something() {
        for (i, p) in PANELS.iter().enumerate() {
            assert!(!p.id.is_empty() && !p.title.is_empty());
            assert!(PANELS[..i].iter().all(|q| q.id != p.id && q.title != p.title), "{} twice", p.id);
            assert!(p.id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}: ids are stored in files", p.id);
        }
    }
}
