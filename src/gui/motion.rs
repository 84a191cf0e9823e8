//! Whether the system asks for less motion. egui does not tell; each desktop has a place where it says so.

use eframe::egui::{Context, style::ScrollAnimation};
use std::process::{Command, Stdio};

/// Asks the system on a thread of its own; where it wants less motion, nothing in the window moves by itself any more.
pub fn follow_system(ctx: &Context) {
    let ctx = ctx.clone();
    std::thread::spawn(move || {
        if less_is_asked() {
            ctx.all_styles_mut(|s| {
                s.animation_time = 0.0;
                s.scroll_animation = ScrollAnimation::none();
            });
            ctx.request_repaint();
        }
    });
}

/// The program that knows, and what it prints where less motion is wanted.
const ASK: Option<(&str, &[&str], &str)> = if cfg!(target_os = "macos") {
    Some(("defaults", &["read", "com.apple.universalaccess", "reduceMotion"], "1"))
} else if cfg!(target_os = "linux") {
    // GNOME, and desktops that keep its settings.
    Some(("gsettings", &["get", "org.gnome.desktop.interface", "enable-animations"], "false"))
} else if cfg!(target_os = "windows") {
    Some(("reg", &["query", r"HKCU\Control Panel\Desktop\WindowMetrics", "/v", "MinAnimate"], "0"))
} else {
    None
};

fn less_is_asked() -> bool {
    let Some((program, arguments, wanted)) = ASK else { return false };
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    // A system without that program asks for nothing.
    out.is_ok_and(|o| o.status.success() && says(&String::from_utf8_lossy(&o.stdout), wanted))
}

/// The last word of the answer is the value.
fn says(answer: &str, wanted: &str) -> bool {
    answer.split_whitespace().last() == Some(wanted)
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_are_read_by_their_last_word() {
        assert!(super::says("false\n", "false") && !super::says("true\n", "false") && !super::says("", "1"));
        assert!(super::says("\r\nHKEY_CURRENT_USER\\...\r\n    MinAnimate    REG_SZ    0\r\n\r\n", "0"));
    }
}
