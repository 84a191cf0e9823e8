//! Keys as people write them: `Ctrl+,` and `[`, not `Ctrl+Comma` and `OpenBracket`.

use eframe::egui::{Context, Key, KeyboardShortcut, ModifierNames};

/// For menus, the palette and hover texts.
pub fn shortcut(ctx: &Context, keys: &KeyboardShortcut) -> String {
    let mac = ctx.os().is_mac();
    let names = ModifierNames::NAMES;
    let held = names.format(&keys.modifiers, mac);
    let key = name(keys.logical_key);
    if held.is_empty() { key.to_owned() } else { format!("{held}{}{key}", names.concat) }
}

fn name(key: Key) -> &'static str {
    match key {
        Key::Escape => "Esc",
        // The bundled faces have no arrows of this kind.
        Key::ArrowDown | Key::ArrowUp | Key::ArrowLeft | Key::ArrowRight => key.name(),
        _ => key.symbol_or_name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Modifiers, os::OperatingSystem};

    #[test]
    fn keys_read_as_they_are_printed_on_them() {
        let ctx = Context::default();
        ctx.set_os(OperatingSystem::Nix);
        let text = |modifiers, key| shortcut(&ctx, &KeyboardShortcut::new(modifiers, key));
        assert_eq!(text(Modifiers::NONE, Key::OpenBracket), "[");
        assert_eq!(text(Modifiers::NONE, Key::CloseBracket), "]");
        assert_eq!(text(Modifiers::COMMAND, Key::Comma), "Ctrl+,");
        assert_eq!(text(Modifiers::COMMAND, Key::Minus), "Ctrl+−");
        assert_eq!(text(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z), "Ctrl+Shift+Z");
        assert_eq!(text(Modifiers::NONE, Key::Escape), "Esc");
        assert_eq!(text(Modifiers::NONE, Key::PageDown), "PageDown");
    }
}
