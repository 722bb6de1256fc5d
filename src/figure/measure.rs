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

/// How wide plain text is.
pub(super) fn plain_width(text: &str, size: f32) -> f32 {
    em_width(text, 400, false) * size
}

/// Breaks a text between words, and a word that is too long by itself anywhere.
pub(super) fn wrap(text: &str, width: f32, size: f32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().map_or_else(String::new, std::mem::take);
            let joined = if line.is_empty() { word.clone() } else { format!("{line} {word}") };
            let at = lines.len() - 1;
            if plain_width(&joined, size) <= width {
                lines[at] = joined;
                break;
            }
            if line.is_empty() {
                let fits = word.char_indices().skip(1).map(|(i, _)| i).take_while(|i| plain_width(&word[..*i], size) <= width).last();
                let rest = word.split_off(fits.unwrap_or_else(|| word.chars().next().map_or(word.len(), char::len_utf8)));
                lines[at] = word;
                if rest.is_empty() {
                    break;
                }
                lines.push(String::new());
                word = rest;
            } else {
                lines[at] = line;
                lines.push(String::new());
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_wide_as_each_other_and_marks_take_no_room() {
        assert!((em_width("0123456789", 400, false) - 10.0 * em_width("7", 400, false)).abs() < 1e-4);
        assert_eq!(em_width("x\u{302}", 400, true), em_width("x", 400, true));
        assert!(em_width("Wide", 600, false) > em_width("Wide", 400, false));
        assert_eq!(em_width("", 400, false), 0.0);
    }

    #[test]
    fn long_texts_break_between_words_and_long_words_anywhere() {
        let text = "a red house left of a yellow balloon over the sea at night";
        let lines = wrap(text, 120.0, 14.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| plain_width(line, 14.0) <= 120.0), "{lines:?}");
        assert_eq!(lines.join(" "), text);
        let word = "ä".repeat(200);
        assert_eq!(wrap(&word, 50.0, 14.0).concat(), word);
        assert!(wrap("  ", 50.0, 14.0).is_empty());
        assert_eq!(wrap("abc", 0.0, 14.0), ["a", "b", "c"]);
    }
}
