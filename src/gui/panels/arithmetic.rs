//! What a finished result says of itself where it was made in another arithmetic than the one in force.

use crate::{
    app::Products,
    base::provenance::Provenance,
    gui::{PanelCx, widgets::control::tag},
};
use eframe::egui::Ui;

/// A quiet mark in a row; nothing where numbers made now would be of the same arithmetic.
pub(super) fn other_arithmetic_ui(ui: &mut Ui, cx: &PanelCx<'_>, made: &Provenance) {
    let (then, now) = (Products::named_in(&made.dtype), cx.app.products());
    if then != now {
        tag(ui, cx.theme, then.key(), cx.theme.secondary).on_hover_text(sentence(then, now));
    }
}

fn sentence(then: Products, now: Products) -> String {
    let apart = if then.is_coarse() || now.is_coarse() {
        "numbers of the two are not of one accuracy"
    } else {
        "errors of both are of f32's order, and last digits may differ"
    };
    format!(
        "Made with {then} products. The model computes with {now} now: {apart}. Start it again to have it in {now}, or choose products in the settings."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_numbers_are_told_from_those_of_the_same_accuracy() {
        assert!(sentence(Products::Bf16, Products::F32).contains("not of one accuracy"));
        assert!(sentence(Products::F32, Products::Bf16x3).contains("not of one accuracy"));
        assert!(sentence(Products::F32, Products::Int8x8).contains("of f32's order"));
    }
}
