//! How wide a text is in our own type. Whoever shows a file with another type is told the width to keep to.

use std::sync::LazyLock;
use ttf_parser::Face;

/// The faces of the program: regular, medium, semibold, italic.
pub(super) const FACES: [&[u8]; 4] = [
    include_bytes!("../../assets/fonts/InterTabular-Regular.otf"),
    include_bytes!("../../assets/fonts/InterTabular-Medium.otf"),
    include_bytes!("../../assets/fonts/InterTabular-SemiBold.otf"),
    include_bytes!("../../assets/fonts/InterTabular-Italic.otf"),
];

static PARSED: LazyLock<Vec<Option<Face<'static>>>> = LazyLock::new(|| FACES.iter().map(|bytes| Face::parse(bytes, 0).ok()).collect());

/// Width of a text in ems: the sum of its advances, without kerning. A character that the type lacks counts as one em.
pub fn em_width(text: &str, weight: u16, italic: bool) -> f32 {
    let index = match weight {
        _ if italic => 3,
        500 => 1,
        600.. => 2,
        _ => 0,
    };
    let Some(Some(face)) = PARSED.get(index) else { return 0.6 * text.chars().count() as f32 };
    let units = f32::from(face.units_per_em());
    let advance = |c| match face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph)) {
        _ if ('\u{300}'..='\u{36f}').contains(&c) => 0.0,
        Some(advance) => f32::from(advance) / units,
        None => 1.0,
    };
    text.chars().map(advance).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_wide_as_each_other_and_marks_take_no_room() {
        assert_eq!(em_width("0123456789", 400, false), 10.0 * em_width("7", 400, false));
        assert_eq!(em_width("x\u{302}", 400, true), em_width("x", 400, true));
        assert!(em_width("Wide", 600, false) > em_width("Wide", 400, false));
        assert_eq!(em_width("", 400, false), 0.0);
    }
}
