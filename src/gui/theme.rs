//! Colours, type and spacing of the window, for dark and light. The numbers are the design's; contrast is tested.

use eframe::egui::{
    self, Color32, Context, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, RichText, Shadow, Stroke, Style,
    TextStyle, Vec2, Visuals, style::HandleShape, vec2,
};
use std::sync::Arc;

/// Secondary remarks, axis ticks, table heads.
pub const SMALL: f32 = 11.0;
/// Everything else.
pub const BODY: f32 = 12.5;
/// Panel titles, figures that matter.
pub const TITLE: f32 = 15.0;
/// One a screen at most.
pub const DISPLAY: f32 = 20.0;
/// Height of a row of controls or of a list.
pub const ROW: f32 = 24.0;
/// The grid that all spacing is a multiple of.
pub const GRID: f32 = 4.0;

/// The semibold face; use [`Theme::strong`] or `RichText::family`.
pub const STRONG: &str = "strong";

/// Colours of one background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theme {
    pub dark: bool,
    /// Behind the panels.
    pub background: Color32,
    pub panel: Color32,
    /// Buttons, chips, fields.
    pub raised: Color32,
    pub hairline: Color32,
    pub text: Color32,
    pub secondary: Color32,
    /// Selection and the primary action, nothing else.
    pub accent: Color32,
    /// Text on an accent fill.
    pub on_accent: Color32,
    pub good: Color32,
    pub warn: Color32,
    pub bad: Color32,
    /// By palette number of a domain; see [`Theme::domain`].
    pub domains: [Color32; 8],
}

const fn hex(rgb: u32) -> Color32 {
    Color32::from_rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

pub const DARK: Theme = Theme {
    dark: true,
    background: hex(0x14161a),
    panel: hex(0x1b1e24),
    raised: hex(0x242830),
    hairline: hex(0x2e333c),
    text: hex(0xe6e8eb),
    secondary: hex(0x9aa3ad),
    accent: hex(0x6ea8fe),
    on_accent: hex(0x0b1524),
    good: hex(0x4cc38a),
    warn: hex(0xf0b429),
    bad: hex(0xff7b72),
    // Okabe and Ito (2008), blue and purple lifted for the dark ground; the last is their black turned into a grey.
    domains: [hex(0xe69f00), hex(0x56b4e9), hex(0x18b286), hex(0xf0e442), hex(0x3d8fd1), hex(0xe0661a), hex(0xcc79a7), hex(0xa7adb5)],
};

pub const LIGHT: Theme = Theme {
    dark: false,
    background: hex(0xf7f8fa),
    panel: hex(0xffffff),
    raised: hex(0xf0f2f5),
    hairline: hex(0xdfe3e8),
    text: hex(0x1b1f24),
    secondary: hex(0x5b6570),
    accent: hex(0x1f6feb),
    on_accent: hex(0xffffff),
    good: hex(0x177545),
    warn: hex(0x8a6100),
    bad: hex(0xc4292f),
    // The same hues, those too pale for white darkened.
    domains: [hex(0xb87a00), hex(0x2f8fcb), hex(0x00875f), hex(0x8c8200), hex(0x0072b2), hex(0xd55e00), hex(0xb5588f), hex(0x5b6570)],
};

impl Theme {
    pub fn of(ctx: &Context) -> &'static Self {
        Self::get(ctx.theme() == egui::Theme::Dark)
    }
    pub fn get(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }
    /// The colour of domain number `n`; the palette repeats after eight.
    pub fn domain(&self, n: usize) -> Color32 {
        self.domains[n % self.domains.len()]
    }
    /// `colour` laid over the panel with the given opacity, as an opaque colour.
    pub fn tint(&self, colour: Color32, opacity: f32) -> Color32 {
        let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * opacity).round() as u8;
        Color32::from_rgb(mix(self.panel.r(), colour.r()), mix(self.panel.g(), colour.g()), mix(self.panel.b(), colour.b()))
    }
    pub fn hairline_stroke(&self) -> Stroke {
        Stroke::new(1.0, self.hairline)
    }

    /// Semibold body text.
    pub fn strong(&self, text: impl Into<String>) -> RichText {
        RichText::new(text).family(FontFamily::Name(STRONG.into())).color(self.text)
    }
    /// A panel's heading.
    pub fn title(&self, text: impl Into<String>) -> RichText {
        self.strong(text).size(TITLE)
    }
    /// The head of a group inside a panel.
    pub fn group(&self, text: impl Into<String>) -> RichText {
        RichText::new(text).family(FontFamily::Name(STRONG.into())).size(SMALL).color(self.secondary)
    }
    pub fn small(&self, text: impl Into<String>) -> RichText {
        RichText::new(text).size(SMALL).color(self.secondary)
    }
    pub fn faint(&self, text: impl Into<String>) -> RichText {
        RichText::new(text).color(self.secondary)
    }
    /// Identifiers, paths, prompts. (Figures need it not: they are tabular in the proportional face too.)
    pub fn mono(&self, text: impl Into<String>) -> RichText {
        RichText::new(text).monospace()
    }
    /// The one primary action of a view.
    pub fn primary(&self, text: impl Into<String>) -> egui::Button<'static> {
        let text = RichText::new(text).family(FontFamily::Name(STRONG.into())).color(self.on_accent);
        egui::Button::new(text).fill(self.accent).stroke(Stroke::NONE).min_size(vec2(0.0, ROW))
    }

    fn visuals(&self) -> Visuals {
        let mut v = if self.dark { Visuals::dark() } else { Visuals::light() };
        let radius = CornerRadius::same(4);
        let shade = |amount: f32| {
            let towards = if self.dark { Color32::WHITE } else { Color32::BLACK };
            let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * amount).round() as u8;
            Color32::from_rgb(mix(self.raised.r(), towards.r()), mix(self.raised.g(), towards.g()), mix(self.raised.b(), towards.b()))
        };
        for w in
            [&mut v.widgets.noninteractive, &mut v.widgets.inactive, &mut v.widgets.hovered, &mut v.widgets.active, &mut v.widgets.open]
        {
            w.corner_radius = radius;
            w.expansion = 0.0;
            w.fg_stroke = Stroke::new(1.0, self.text);
            w.bg_stroke = Stroke::NONE;
        }
        v.widgets.noninteractive.bg_fill = self.panel;
        v.widgets.noninteractive.weak_bg_fill = self.panel;
        v.widgets.noninteractive.bg_stroke = self.hairline_stroke();
        v.widgets.inactive.bg_fill = shade(0.10);
        v.widgets.inactive.weak_bg_fill = self.raised;
        v.widgets.hovered.bg_fill = shade(0.18);
        v.widgets.hovered.weak_bg_fill = shade(0.07);
        v.widgets.active.bg_fill = shade(0.24);
        v.widgets.active.weak_bg_fill = shade(0.12);
        v.widgets.open.bg_fill = shade(0.10);
        v.widgets.open.weak_bg_fill = shade(0.07);
        v.selection.bg_fill = self.tint(self.accent, if self.dark { 0.30 } else { 0.18 });
        v.selection.stroke = Stroke::new(1.0, self.text);
        v.weak_text_color = Some(self.secondary);
        v.hyperlink_color = self.accent;
        v.faint_bg_color = self.tint(self.raised, 0.6);
        v.extreme_bg_color = if self.dark { self.background } else { self.raised };
        v.text_edit_bg_color = Some(if self.dark { self.background } else { self.raised });
        v.code_bg_color = self.raised;
        v.warn_fg_color = self.warn;
        v.error_fg_color = self.bad;
        v.window_fill = self.panel;
        v.window_stroke = self.hairline_stroke();
        v.panel_fill = self.panel;
        v.window_corner_radius = CornerRadius::same(6);
        v.menu_corner_radius = CornerRadius::same(6);
        let shadow = Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(if self.dark { 110 } else { 40 }) };
        v.window_shadow = shadow;
        v.popup_shadow = shadow;
        v.handle_shape = HandleShape::Circle;
        v.slider_trailing_fill = true;
        v.indent_has_left_vline = false;
        v.striped = false;
        v
    }

    fn style(&self, s: &mut Style) {
        s.visuals = self.visuals();
        s.text_styles = [
            (TextStyle::Small, FontId::proportional(SMALL)),
            (TextStyle::Body, FontId::proportional(BODY)),
            (TextStyle::Button, FontId::proportional(BODY)),
            (TextStyle::Monospace, FontId::monospace(12.0)),
            (TextStyle::Heading, FontId::new(TITLE, FontFamily::Name(STRONG.into()))),
        ]
        .into();
        let sp = &mut s.spacing;
        sp.item_spacing = vec2(8.0, 4.0);
        sp.button_padding = vec2(8.0, 4.0);
        sp.interact_size = vec2(ROW, ROW);
        sp.menu_margin = Margin::same(4);
        sp.window_margin = Margin::same(8);
        sp.indent = 16.0;
        sp.icon_width = 16.0;
        sp.icon_width_inner = 8.0;
        sp.icon_spacing = 8.0;
        sp.slider_width = 120.0;
        sp.slider_rail_height = 4.0;
        sp.combo_width = 96.0;
        sp.text_edit_width = 200.0;
        sp.tooltip_width = 400.0;
        sp.menu_width = 240.0;
        sp.scroll = egui::style::ScrollStyle::floating();
        s.interaction.selectable_labels = false;
        s.interaction.tooltip_delay = 0.4;
        s.interaction.show_tooltips_only_when_still = true;
        s.animation_time = 0.1;
    }

    /// Fonts and both styles; which of them shows follows the context's theme preference.
    pub fn install(ctx: &Context) {
        ctx.set_fonts(fonts());
        ctx.style_mut_of(egui::Theme::Dark, |s| DARK.style(s));
        ctx.style_mut_of(egui::Theme::Light, |s| LIGHT.style(s));
    }
}

/// Inter and JetBrains Mono first, the icon font and egui's own faces after them.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let icons = egui_material_icons::font_insert();
    for (name, bytes) in [
        ("Inter", &include_bytes!("../../assets/fonts/Inter-Regular.otf")[..]),
        ("Inter SemiBold", &include_bytes!("../../assets/fonts/Inter-SemiBold.otf")[..]),
        ("JetBrains Mono", &include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf")[..]),
    ] {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    fonts.font_data.insert(icons.name.clone(), Arc::new(icons.data));
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.insert(0, "Inter".to_owned());
    proportional.insert(1, icons.name.clone());
    let rest = proportional[1..].to_vec();
    let strong = std::iter::once("Inter SemiBold".to_owned()).chain(rest).collect();
    fonts.families.insert(FontFamily::Name(STRONG.into()), strong);
    fonts.families.insert(FontFamily::Name(egui_material_icons::FONT_FAMILY.into()), vec![icons.name.clone(), "Inter".to_owned()]);
    let mono = fonts.families.entry(FontFamily::Monospace).or_default();
    mono.insert(0, "JetBrains Mono".to_owned());
    mono.push(icons.name);
    fonts
}

/// Space left and right of a panel's content.
pub const PANEL_MARGIN: Vec2 = vec2(12.0, 8.0);

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1 contrast ratio.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let light = |c: Color32| {
            let f = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * f(c.r()) + 0.7152 * f(c.g()) + 0.0722 * f(c.b())
        };
        let (a, b) = (light(a), light(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_reaches_4_5_to_1_on_every_ground() {
        for t in [DARK, LIGHT] {
            for ground in [t.background, t.panel, t.raised] {
                for text in [t.text, t.secondary, t.good, t.warn, t.bad] {
                    let c = contrast(text, ground);
                    assert!(c >= 4.5, "{text:?} on {ground:?}: {c:.2}");
                }
            }
            let c = contrast(t.on_accent, t.accent);
            assert!(c >= 4.5, "text on the primary button: {c:.2}");
        }
    }

    #[test]
    fn domain_colours_reach_3_to_1_and_differ() {
        // 3:1 is what WCAG asks of graphics; names stand beside them in text colour.
        for t in [DARK, LIGHT] {
            for (i, &a) in t.domains.iter().enumerate() {
                let c = contrast(a, t.panel);
                assert!(c >= 3.0, "domain {i} on {:?}: {c:.2}", t.panel);
                assert!(t.domains[..i].iter().all(|&b| a != b));
            }
        }
        assert_eq!(DARK.domain(9), DARK.domain(1));
    }

    #[test]
    fn figures_are_tabular_and_icons_are_found() {
        let ctx = Context::default();
        Theme::install(&ctx);
        let frame = |draw: &mut dyn FnMut(&mut egui::Ui)| ctx.run_ui(egui::RawInput::default(), |ui| draw(ui)).textures_delta.clear();
        let width = |text: &str, font: FontId| {
            let mut w = 0.0;
            frame(&mut |ui| w = ui.fonts_mut(|f| f.layout_no_wrap(text.to_owned(), font.clone(), Color32::WHITE).size().x));
            w
        };
        for font in [FontId::proportional(BODY), FontId::monospace(12.0), FontId::new(TITLE, FontFamily::Name(STRONG.into()))] {
            assert_eq!(width("11111", font.clone()), width("88888", font.clone()), "{font:?}");
        }
        frame(&mut |ui| {
            let family = FontFamily::Name(egui_material_icons::FONT_FAMILY.into());
            let icon = egui_material_icons::icons::ICON_UNDO.codepoint;
            assert!(ui.fonts_mut(|f| f.has_glyphs(&FontId::new(16.0, family), icon)));
            assert!(ui.fonts_mut(|f| f.has_glyphs(&FontId::proportional(BODY), "±·−×→⏎%₂²γ")));
        });
    }
}
