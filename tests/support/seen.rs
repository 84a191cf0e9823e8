//! What a program can see of a frame without painting it: text that is cut, that other text or a box lies upon. (Controls without a name fail every test: the harness
//! looks for them.)

#![allow(dead_code, reason = "each test binary uses its own part")]

use eframe::egui::{Event, Modifiers, MouseWheelSource, MouseWheelUnit, Pos2, Rect, Shape, TouchPhase, epaint::ClippedShape, vec2};
use egui_kittest::Harness;

/// Ink of text, in points: one rectangle a row.
struct Ink {
    text: String,
    rows: Vec<Rect>,
    clip: Rect,
    /// Where this has been painted over.
    covered: bool,
}

/// As much is the soft edge of a letter, not a part of it.
const EDGE: f32 = 1.5;
/// Rows of one text box may touch by the ends of their letters; what lies on another text does so by more.
const TOUCH: f32 = 2.0;

#[derive(Default)]
pub struct Seen {
    /// Nobody should see these.
    pub faults: Vec<String>,
    floating: bool,
    /// Shortened on purpose, with an ellipsis.
    pub notes: Vec<String>,
    /// Cut at top or bottom, where it is seen and by which rectangle: no fault where it scrolls.
    pub cut: Vec<(String, Pos2, Rect)>,
}

/// What stands where inside this rectangle.
fn places(shapes: &[ClippedShape], clip: Rect) -> Vec<(String, f32)> {
    let near = |r: Rect| r.min.distance(clip.min) < 1.0 && r.max.distance(clip.max) < 1.0;
    let text = |s: &ClippedShape| if let Shape::Text(t) = &s.shape { Some((t.galley.text().to_owned(), t.pos.y)) } else { None };
    shapes.iter().filter(|s| near(s.clip_rect)).filter_map(text).collect()
}

/// Whether what is cut at top or bottom moves with the wheel, so that all of it can be seen.
pub fn scrolls<S>(h: &mut Harness<'_, S>, at: Pos2, clip: Rect) -> bool {
    let wheel = |h: &mut Harness<'_, S>, by: f32| {
        h.event(Event::MouseWheel {
            unit: MouseWheelUnit::Point,
            delta: vec2(0.0, by),
            phase: TouchPhase::Move,
            modifiers: Modifiers::NONE,
            source: MouseWheelSource::Wheel,
        });
        h.run_steps(8);
    };
    let before = places(&h.output().shapes, clip);
    h.hover_at(at);
    h.run_steps(2);
    let mut moved = false;
    // Less than a row: rows of one kind look alike.
    for by in [-7.0, 7.0] {
        wheel(h, by);
        moved |= places(&h.output().shapes, clip) != before;
    }
    h.remove_cursor();
    h.run_steps(2);
    moved
}

/// `floating`: something lies over the window and hides what is under it.
pub fn seen<S>(h: &Harness<'_, S>, floating: bool) -> Seen {
    let mut seen = Seen { floating, ..Seen::default() };
    look(&h.output().shapes, &mut seen);
    seen
}

fn look(shapes: &[ClippedShape], seen: &mut Seen) {
    let mut texts: Vec<Ink> = Vec::new();
    for s in shapes {
        walk(&s.shape, s.clip_rect, &mut texts, seen);
    }
    for (i, a) in texts.iter().enumerate().filter(|(_, a)| !a.covered) {
        for b in texts[i + 1..].iter().filter(|b| !b.covered) {
            let on = |a: &Rect, b: &Rect| {
                let both = a.intersect(*b);
                both.width() > TOUCH && both.height() > TOUCH
            };
            let same = a.text == b.text && a.rows.first().zip(b.rows.first()).is_some_and(|(a, b)| a.min.distance(b.min) < 1.0);
            if !same && a.rows.iter().any(|ra| b.rows.iter().any(|rb| on(&ra.intersect(a.clip), &rb.intersect(b.clip)))) {
                seen.faults.push(format!("`{}` and `{}` lie on each other", short(&a.text), short(&b.text)));
            }
        }
    }
}

fn walk(shape: &Shape, clip: Rect, texts: &mut Vec<Ink>, seen: &mut Seen) {
    match shape {
        Shape::Vec(all) => all.iter().for_each(|s| walk(s, clip, texts, seen)),
        Shape::Rect(r) if r.fill.a() == 255 => {
            let over = r.rect.intersect(clip);
            for t in texts.iter_mut().filter(|t| !t.covered) {
                let shown: Vec<Rect> = t.rows.iter().map(|r| r.intersect(t.clip)).filter(|r| r.is_positive()).collect();
                if !shown.is_empty() && shown.iter().all(|r| over.contains_rect(r.shrink(EDGE.min(r.height() / 3.0)))) {
                    t.covered = true;
                } else if let Some(on) = shown.iter().map(|r| r.intersect(over)).find(|r| r.width() > TOUCH && r.height() > TOUCH) {
                    t.covered |= seen.floating;
                    if seen.floating {
                        continue;
                    }
                    seen.faults.push(format!("`{}` is painted over at {:.0}, {:.0}", short(&t.text), on.center().x, on.center().y));
                }
            }
        }
        Shape::Text(t) if t.opacity_factor > 0.05 && t.galley.mesh_bounds.is_positive() => {
            let ink = t.visual_bounding_rect();
            let text = t.galley.text().to_owned();
            let visible = ink.intersect(clip);
            if !visible.is_positive() {
                return;
            }
            if t.galley.elided {
                seen.notes.push(format!("`{}` is shortened", short(&text)));
            }
            let (left, right) = (clip.left() - ink.left(), ink.right() - clip.right());
            if left > EDGE || right > EDGE {
                let side = if left > right { "left" } else { "right" };
                seen.faults.push(format!("`{}` is cut by {:.0} at its {side}", short(&text), left.max(right)));
            }
            if clip.top() - ink.top() > EDGE || ink.bottom() - clip.bottom() > EDGE {
                seen.cut.push((text.clone(), visible.center(), clip));
            }
            // A box round slanted text says little of what lies where.
            let rows = if t.angle == 0.0 {
                let rows = t.galley.rows.iter().map(|r| r.visuals.mesh_bounds.translate(t.pos.to_vec2() + r.pos.to_vec2()));
                rows.filter(Rect::is_positive).collect()
            } else if t.angle.rem_euclid(std::f32::consts::FRAC_PI_2) < 1e-3 {
                vec![ink]
            } else {
                Vec::new()
            };
            texts.push(Ink { text, rows, clip, covered: false });
        }
        _ => {}
    }
}

pub fn short(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() > 60 { text.chars().take(59).chain(['…']).collect() } else { text }
}
