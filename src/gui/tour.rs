//! A short tour for the first start: what stands where, one card at a time. Sent away, it never comes by itself again.

use super::{Theme, theme};
use eframe::egui::{self, Align, Align2, Area, Context, Frame, Id, Key, Layout, Modifiers, Order, Rect, Stroke, StrokeKind, vec2};

/// What a card points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Library,
    Maps,
    Layouts,
    Status,
}

struct Card {
    place: Place,
    title: &'static str,
    text: &'static str,
}

const CARDS: [Card; 4] = [
    Card {
        place: Place::Library,
        title: "Model, domains, runs, sets",
        text: "Everything at hand stands here. The demo is open: a small model trained from nothing and six domains it knows. Open your own model with Ctrl+O, \
               drop datasets anywhere, press Scan.",
    },
    Card {
        place: Place::Maps,
        title: "One cell, one neuron",
        text: "The map shows how much every neuron matters for a domain. Wheel zooms, drag pans, shift-drag selects; [ and ] go through the domains. What is \
               selected here is selected in every view.",
    },
    Card {
        place: Place::Layouts,
        title: "Explore, compare, ablate",
        text: "Four layouts over the same panels. In Ablate, switch neurons off and watch each domain's accuracy, beside random sets of the same size. Space \
               switches off the neuron under the pointer.",
    },
    Card {
        place: Place::Status,
        title: "Nothing is lost, everything is found",
        text: "Below stands what you point at, and where its numbers come from. Ctrl+Z takes any step back, the History panel keeps all branches, and Ctrl+P finds \
               every action by name.",
    },
];

/// Where the parts of the window are in this frame.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// `None` while it is closed.
    pub library: Option<Rect>,
    pub maps: Rect,
    pub layouts: Rect,
    pub status: Rect,
}

#[derive(Default)]
pub struct Tour {
    at: Option<usize>,
    pressed: Pressed,
}

/// What was asked for by the keyboard.
#[derive(Default)]
struct Pressed {
    back: bool,
    next: bool,
    end: bool,
}

impl Tour {
    pub fn begin(&mut self) {
        self.at = Some(0);
    }
    pub fn is_open(&self) -> bool {
        self.at.is_some()
    }

    /// While it is open its keys are its own: to be called before a panel can take them.
    pub fn keys(&mut self, ctx: &Context) {
        if !self.is_open() || ctx.text_edit_focused() {
            return;
        }
        ctx.input_mut(|i| {
            let mut take = |key| i.consume_key(Modifiers::NONE, key);
            let next = take(Key::ArrowRight) | take(Key::Enter);
            self.pressed = Pressed { next, back: take(Key::ArrowLeft), end: take(Key::Escape) };
        });
    }

    /// True in the frame in which it was finished or sent away.
    pub fn ui(&mut self, ctx: &Context, theme: &Theme, places: &Places) -> bool {
        let Some(at) = self.at else { return false };
        let card = &CARDS[at];
        let rect = match card.place {
            Place::Library => places.library.unwrap_or(places.maps),
            Place::Maps => places.maps,
            Place::Layouts => places.layouts,
            Place::Status => places.status,
        };
        let frame = ctx.layer_painter(egui::LayerId::new(Order::Foreground, Id::unique("tour frame")));
        frame.rect_stroke(rect.shrink(1.0), 4.0, Stroke::new(2.0, theme.accent), StrokeKind::Inside);
        let Pressed { mut back, mut next, mut end } = std::mem::take(&mut self.pressed);
        let (anchor, offset) = beside(card.place, rect, ctx.content_rect());
        let area = Area::new(Id::unique("tour")).order(Order::Tooltip).pivot(anchor).fixed_pos(offset).constrain(true);
        area.show(ctx, |ui| {
            Frame::popup(ui.style()).fill(theme.raised).inner_margin(16.0).show(ui, |ui| {
                ui.set_width(320.0);
                ui.label(theme.title(card.title));
                ui.add_space(theme::GRID);
                ui.add(egui::Label::new(card.text).wrap());
                ui.add_space(theme::GRID * 3.0);
                ui.horizontal(|ui| {
                    ui.label(theme.small(format!("{} of {}", at + 1, CARDS.len())));
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let last = at + 1 == CARDS.len();
                        next |= ui.add(theme.primary(if last { "Done" } else { "Next" })).on_hover_text("→ or Enter").clicked();
                        if at > 0 {
                            back |= ui.button("Back").on_hover_text("←").clicked();
                        }
                        if !last {
                            end |= ui.button("Skip the tour").on_hover_text("Esc; the menu View has it").clicked();
                        }
                    });
                });
            });
        });
        if back {
            self.at = Some(at.saturating_sub(1));
        } else if next {
            self.at = (at + 1 < CARDS.len()).then_some(at + 1);
        }
        if end {
            self.at = None;
        }
        if back || next || end {
            ctx.request_repaint();
        }
        self.at.is_none()
    }
}

/// Which corner of the card stands where.
fn beside(place: Place, rect: Rect, window: Rect) -> (Align2, egui::Pos2) {
    match place {
        Place::Library => (Align2::LEFT_TOP, rect.right_top() + vec2(16.0, 24.0)),
        Place::Maps => (Align2::CENTER_CENTER, rect.center()),
        Place::Layouts => (Align2::LEFT_TOP, rect.left_bottom() + vec2(8.0, 12.0)),
        Place::Status => (Align2::LEFT_BOTTOM, egui::pos2(window.left() + 24.0, rect.top() - 16.0)),
    }
}
