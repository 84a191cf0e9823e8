//! The arithmetic of matrix products, as a row of the settings: what there is, what it means, why some cannot be had.

use super::{
    PanelCx, theme,
    widgets::control::{choice_among, remark},
};
use crate::{
    app::{Products, ProductsChoice, Settings},
    base::number::capital,
};
use eframe::egui::Ui;

/// The words to choose among.
pub fn products_choice(ui: &mut Ui, cx: &PanelCx<'_>, chosen: &mut ProductsChoice) {
    let usable = cx.app.settings.usable_products;
    let all = [ProductsChoice::Auto].into_iter().chain(Products::ALL.map(ProductsChoice::Of));
    let words: Vec<(ProductsChoice, String, String, bool)> = all
        .map(|choice| {
            let about = sentence(&choice, &cx.app.settings);
            let (hover, there) = match choice.taken(usable) {
                Ok(_) => (about, true),
                Err(problem) => (format!("{about}\n{}.", problem), false),
            };
            (choice.clone(), choice.to_string(), hover, there)
        })
        .collect();
    let options: Vec<(ProductsChoice, &str, &str, bool)> =
        words.iter().map(|(choice, word, hover, there)| (choice.clone(), word.as_str(), hover.as_str(), *there)).collect();
    choice_among(ui, cx.theme, chosen, &options);
}

/// Below them, in the column of the controls: what is chosen means, and what is computed with instead where something else is.
pub fn products_remark(ui: &mut Ui, cx: &PanelCx<'_>, chosen: &ProductsChoice, indent: f32) {
    let settings = &cx.app.settings;
    let words = match (settings.given_products, chosen.taken(settings.usable_products)) {
        (Some(given), _) => {
            format!("{given} was given at start and holds until the program ends; the choice here holds from the next start.")
        }
        (None, Err(problem)) => format!("{}: auto takes {} instead.", problem, settings.auto_products()),
        (None, Ok(_)) => sentence(chosen, settings),
    };
    ui.horizontal_top(|ui| {
        ui.add_space(indent);
        ui.vertical(|ui| remark(ui, cx.theme, words));
    });
    ui.add_space(theme::GRID);
}

/// What it means.
fn sentence(choice: &ProductsChoice, settings: &Settings) -> String {
    match choice {
        ProductsChoice::Of(products) => format!("{}.", capital(products.about())),
        _ => format!("{}. Here: {}.", capital(Products::ABOUT_AUTO), settings.auto_products()),
    }
}
