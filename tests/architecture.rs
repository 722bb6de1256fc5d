//! Holds the house's rules: who imports whom, and what is named where.
//!
//! The text of every file under `src/` is read without its comments, strings and test modules, its `use` lines and inline paths
//! are taken apart, and each `crate::room` is held against [`MAY_IMPORT`]. Three entries go beyond the plain table, and say why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. Everyone may import `host` and `noise`, and itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("host", &[]),
    ("noise", &[]),
    ("diffusion", &[]),
    ("compute", &[]),
    ("world", &[]),
    ("lesson", &[]),
    ("model", &["compute"]),
    ("pipeline", &["model", "diffusion", "compute"]),
    ("measure", &["world", "model", "compute"]),
    ("train", &["model", "diffusion", "compute", "world", "measure"]),
    // Its jobs name levels, samplers and guidance, which the pipeline's requests are made of.
    ("worker", &["pipeline", "train", "measure", "world", "figure", "diffusion"]),
    ("figure", &["diffusion"]),
    // Of the worker, its protocol alone; see `the_window_knows_the_protocol_alone`.
    ("ui", &["worker", "diffusion", "figure", "lesson"]),
    // Everything but ui: `gallery` and `bench` draw the window through a trait that `main` implements.
    ("cli", &["compute", "diffusion", "figure", "lesson", "measure", "model", "pipeline", "train", "worker", "world"]),
    // Joins the worker with the window.
    ("main", &["ui", "cli", "worker", "figure"]),
];

/// Rooms that everyone may import.
const COMMON: [&str; 2] = ["host", "noise"];

/// A file's text without comments, string contents, character literals and test modules, so that only code is judged.
fn code_of(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut i = 0;
    let at = |i: usize| bytes.get(i).copied().unwrap_or('\0');
    while i < bytes.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < bytes.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= bytes.len() {
                        break;
                    }
                }
            }
            'r' if (at(i + 1) == '"' || at(i + 1) == '#')
                && !code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && raw_string(&bytes, i).is_some() =>
            {
                code.push_str("\"\"");
                i = raw_string(&bytes, i).unwrap_or(i + 1);
            }
            '"' => {
                i += 1;
                while i < bytes.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                code.push_str("\"\"");
            }
            // A character, not a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < bytes.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
                code.push_str("' '");
            }
            c => {
                code.push(c);
                i += 1;
            }
        }
    }
    without_test_modules(&code)
}

/// The index behind a raw string that begins at `start`.
fn raw_string(bytes: &[char], start: usize) -> Option<usize> {
    let mut i = start + 1;
    while bytes.get(i) == Some(&'#') {
        i += 1;
    }
    let hashes = i - start - 1;
    if bytes.get(i) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let found = bytes[i + 1..].windows(closing.len()).position(|window| window == closing);
    Some(found.map_or(bytes.len(), |offset| i + 1 + offset + closing.len()))
}

/// Cuts `#[cfg(test)] mod name { .. }` out: a test may look wherever it needs to.
fn without_test_modules(code: &str) -> String {
    let (mut rest, mut kept) = (code, String::new());
    while let Some(start) = rest.find("#[cfg(test)]") {
        let (before, from) = rest.split_at(start);
        kept.push_str(before);
        let opens = from.find('{').unwrap_or(from.len());
        let ends = from.find(';').unwrap_or(from.len());
        if ends < opens {
            rest = &from[ends + 1..];
            continue;
        }
        let mut depth = 0;
        let close = from.char_indices().find_map(|(i, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (c == '}' && depth == 0).then_some(i + 1)
        });
        rest = &from[close.unwrap_or(from.len())..];
    }
    kept + rest
}

/// All paths that a file's code names, groups taken apart: `use a::{b, c::d};` gives `a::b` and `a::c::d`.
fn paths_of(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut rest = code;
    while let Some(start) = find_word(rest, "use") {
        let from = &rest[start + 3..];
        let end = from.find(';').unwrap_or(from.len());
        expand("", &from[..end], &mut paths);
        rest = &from[end..];
    }
    // Inline paths: identifiers joined by `::`.
    let mut path = String::new();
    for c in code.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' || c == ':' {
            path.push(c);
        } else {
            if path.contains("::") {
                paths.insert(path.trim_matches(':').to_owned());
            }
            path.clear();
        }
    }
    paths
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '#';
    text.match_indices(word).map(|(i, _)| i).find(|&i| {
        let (before, after) = (text[..i].chars().next_back(), text[i + word.len()..].chars().next());
        !before.is_some_and(is_part) && after.is_some_and(char::is_whitespace)
    })
}

fn expand(prefix: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let inner = tree[open + 1..].strip_suffix('}').unwrap_or(&tree[open + 1..]);
        let prefix = format!("{prefix}{}", tree[..open].split_whitespace().collect::<String>());
        let (mut depth, mut start) = (0, 0);
        for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == ',' && depth == 0 {
                expand(&prefix, &inner[start..i], paths);
                start = i + 1;
            }
        }
    } else if !tree.is_empty() {
        let name = tree.split(" as ").next().unwrap_or(tree);
        paths.insert(format!("{prefix}{}", name.split_whitespace().collect::<String>()));
    }
}

/// What `room` imports of the others, by `crate::` or, from the binary, by `diffuscope::`; from a room's root file also by `super::`.
fn imported_rooms(room: &str, is_root: bool, code: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(room, _)| *room).collect();
    let mut rooms = BTreeSet::new();
    for path in paths_of(code) {
        let mut parts = path.split("::");
        let first = parts.next().unwrap_or_default();
        let outward = first == "crate" || first == "diffuscope" || (is_root && first == "super");
        if let Some(second) = parts.next().filter(|second| outward && known.contains(second))
            && second != room
        {
            rooms.insert(second.to_owned());
        }
    }
    rooms
}

/// What is wrong with a file's imports.
fn forbidden_imports(room: &str, is_root: bool, code: &str) -> Vec<String> {
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
        return vec![format!("the room `{room}` is not in the table")];
    };
    let imported = imported_rooms(room, is_root, code);
    imported
        .into_iter()
        .filter(|other| !COMMON.contains(&other.as_str()) && !allowed.contains(&other.as_str()))
        .map(|other| format!("`{room}` imports `{other}`"))
        .collect()
}

/// Whether a file's code names `name` as a whole word.
fn names(code: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(i, _)| {
        let (before, after) = (code[..i].chars().next_back(), code[i + name.len()..].chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Crates of tensors that a room must not name.
fn forbidden_crates(room: &str, code: &str) -> Vec<&'static str> {
    let candle = ["candle_core", "candle_nn", "candle_transformers"];
    let mut forbidden = Vec::new();
    if room != "compute" {
        forbidden.extend(candle);
    }
    // Drawing goes through eframe's wgpu in the rooms that draw; tensors on wgpu belong to compute.
    let draws = ["ui", "figure", "cli"].contains(&room) && paths_of(code).contains("eframe::egui_wgpu::wgpu");
    if room != "compute" && !draws {
        forbidden.push("wgpu");
    }
    forbidden.into_iter().filter(|name| names(code, name)).collect()
}

/// Calls that make a channel without a bound.
fn unbounded_channels(code: &str) -> Vec<&'static str> {
    let flat: String = code.split_whitespace().collect();
    let mut found = Vec::new();
    if flat.contains("mpsc::channel(") || flat.contains("mpsc::channel::<") {
        found.push("mpsc::channel");
    }
    let imported = paths_of(code).iter().any(|path| path.ends_with("mpsc::channel"));
    if imported {
        found.push("use of mpsc::channel");
    }
    if flat.contains("unbounded(") || flat.contains("unbounded_channel(") {
        found.push("unbounded");
    }
    found
}

/// Ways to make a colour out of numbers.
const COLOR_MAKERS: [&str; 9] = [
    "from_rgb",
    "from_rgba_premultiplied",
    "from_rgba_unmultiplied",
    "from_gray",
    "from_black_alpha",
    "from_white_alpha",
    "from_hex",
    "hex_color",
    "from_additive_luminance",
];
/// Colours that egui names.
const COLOR_NAMES: [&str; 12] =
    ["WHITE", "BLACK", "GRAY", "RED", "GREEN", "BLUE", "YELLOW", "ORANGE", "LIGHT_GRAY", "DARK_GRAY", "LIGHT_BLUE", "GOLD"];

/// Colours made outside of the theme. Turning pixels into a texture (`ColorImage::from_rgb`) makes no colour.
fn colors_made(code: &str) -> Vec<String> {
    let flat: String = code.split_whitespace().collect();
    let mut found: Vec<_> =
        COLOR_MAKERS.iter().map(|maker| format!("Color32::{maker}")).filter(|maker| flat.contains(maker.as_str())).collect();
    found.extend(["Rgba::from_", "Hsva::new", "hex_color!"].iter().filter(|maker| flat.contains(**maker)).map(ToString::to_string));
    found.extend(COLOR_NAMES.iter().map(|name| format!("Color32::{name}")).filter(|name| names(&flat, name)));
    found
}

struct SourceFile {
    path: PathBuf,
    room: String,
    /// The room's own file, from which `super` is the crate.
    is_root: bool,
    code: String,
}

impl SourceFile {
    fn is(&self, path: &str) -> bool {
        self.path == Path::new(path)
    }
}

/// Every file under `src/`, except the map.
fn sources() -> Vec<SourceFile> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    let relative = files.into_iter().map(|path| (path.strip_prefix(&src).unwrap().to_owned(), path));
    relative
        .filter(|(path, _)| path != Path::new("lib.rs"))
        .map(|(path, full)| {
            let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let room = first.trim_end_matches(".rs").to_owned();
            let depth = path.components().count();
            let is_root = depth == 1 || (depth == 2 && path.ends_with("mod.rs"));
            // A file of tests is a test module.
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests") || path.components().any(|part| part.as_os_str() == "tests");
            let code = if is_test { String::new() } else { code_of(&fs::read_to_string(full).unwrap()) };
            SourceFile { path, room, is_root, code }
        })
        .collect()
}

fn hold(rule: &str, wrong: impl Fn(&SourceFile) -> Vec<String>) {
    let files = sources();
    assert!(files.len() > 30, "only {} files were found", files.len());
    let found: Vec<_> =
        files.iter().flat_map(|file| wrong(file).into_iter().map(|what| format!("src/{}: {what}", file.path.display()))).collect();
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

#[test]
fn rooms_import_what_the_table_allows() {
    hold("a room imports what the house's table does not allow", |file| forbidden_imports(&file.room, file.is_root, &file.code));
}

#[test]
fn the_window_knows_the_protocol_alone() {
    hold("ui may name worker::protocol and nothing else of the worker", |file| {
        let paths = if file.room == "ui" { paths_of(&file.code) } else { BTreeSet::new() };
        paths.into_iter().filter(|path| path.starts_with("crate::worker") && !path.starts_with("crate::worker::protocol")).collect()
    });
}

#[test]
fn tensors_of_devices_stay_in_their_rooms() {
    hold("only compute names candle or wgpu tensors; ui, figure and cli may draw through eframe::egui_wgpu", |file| {
        forbidden_crates(&file.room, &file.code).into_iter().map(|name| format!("names {name}")).collect()
    });
    hold("ui and diffusion name no device tensor", |file| {
        let judged = ["ui", "diffusion", "figure", "worker"].contains(&file.room.as_str());
        let device = ["CandleTensor", "WgpuTensor", "crate::compute"];
        if judged { device.iter().filter(|name| file.code.contains(**name)).map(ToString::to_string).collect() } else { Vec::new() }
    });
}

#[test]
fn colours_are_made_in_the_theme_alone() {
    hold("a colour is made outside of ui/theme.rs", |file| {
        if file.room == "ui" && !file.is("ui/theme.rs") { colors_made(&file.code) } else { Vec::new() }
    });
}

#[test]
fn no_channel_is_unbounded() {
    hold("a channel has no bound", |file| unbounded_channels(&file.code).into_iter().map(str::to_owned).collect());
}

#[test]
fn the_map_names_every_room_and_is_short() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let lines = map.lines().filter(|line| line.starts_with("//!")).count();
    assert!((5..80).contains(&lines), "the map in src/lib.rs has {lines} lines");
    let rooms: BTreeSet<_> = sources().into_iter().map(|file| file.room).filter(|room| room != "main").collect();
    let text: String = map.lines().filter(|line| line.starts_with("//!")).collect();
    let missing: Vec<_> = rooms.into_iter().filter(|room| !names(&text, room)).collect();
    assert!(missing.is_empty(), "the map in src/lib.rs does not name {missing:?}");
}

/// The checks themselves: each finds what it is there to find, and lets pass what is allowed.
mod the_checker {
    use super::*;

    #[test]
    fn reads_plain_grouped_and_inline_paths() {
        let code = code_of(
            "use crate::{host::HostTensor, world::{self, Scene}};\nuse crate::ui\n    ::theme;\nfn f() { crate::train::run(); }\npub(crate) use crate::model::unet as m;",
        );
        let rooms: Vec<_> = imported_rooms("diffusion", false, &code).into_iter().collect();
        assert_eq!(rooms, ["host", "model", "train", "ui", "world"]);
    }

    #[test]
    fn finds_what_the_table_forbids() {
        assert_eq!(forbidden_imports("diffusion", false, "use crate::{noise, compute::Tensor};"), ["`diffusion` imports `compute`"]);
        assert_eq!(forbidden_imports("diffusion", true, "use super::model::unet;"), ["`diffusion` imports `model`"]);
        assert_eq!(forbidden_imports("cli", false, "fn f() { crate::ui::run() }"), ["`cli` imports `ui`"]);
        assert_eq!(forbidden_imports("main", true, "use diffuscope::{cli, model};"), ["`main` imports `model`"]);
        assert_eq!(forbidden_imports("attic", true, ""), ["the room `attic` is not in the table"]);
        assert!(forbidden_imports("pipeline", false, "use crate::{model, diffusion, compute, host, noise, pipeline};").is_empty());
        assert!(forbidden_imports("diffusion", false, "use super::model;").is_empty(), "a file of the room, not the room of models");
    }

    #[test]
    fn is_not_misled_by_comments_strings_and_tests() {
        let text = r##"
            //! use crate::ui;
            /* crate::ui /* nested */ crate::train */
            const A: &str = "crate::ui \" crate::train";
            const B: &str = r#"crate::ui " "#;
            const C: (char, char) = ('"', '\'');
            fn f<'a>(x: &'a str) -> &'a str { x }
            #[cfg(test)] mod tests { use crate::ui; fn g() { if true { crate::train::h() } } }
            use crate::compute;
        "##;
        let rooms: Vec<_> = imported_rooms("world", false, &code_of(text)).into_iter().collect();
        assert_eq!(rooms, ["compute"]);
    }

    #[test]
    fn finds_crates_of_tensors() {
        assert_eq!(forbidden_crates("diffusion", "use candle_core::Tensor;"), ["candle_core"]);
        assert_eq!(forbidden_crates("diffusion", "fn f(d: &wgpu::Device) {}"), ["wgpu"]);
        assert_eq!(forbidden_crates("ui", "use wgpu::Device;"), ["wgpu"]);
        assert_eq!(forbidden_crates("cli", "use candle_nn::Module; use eframe::egui_wgpu::wgpu;"), ["candle_nn"]);
        assert!(forbidden_crates("cli", "use eframe::egui_wgpu::{RenderState, wgpu}; fn f(d: &wgpu::Device) {}").is_empty());
        assert!(forbidden_crates("compute", "use candle_core::Tensor; use wgpu::Device;").is_empty());
        assert_eq!(forbidden_crates("train", "use candle_core::backprop::GradStore;"), ["candle_core"]);
        assert_eq!(forbidden_crates("train", "use wgpu::Device;"), ["wgpu"]);
    }

    #[test]
    fn finds_unbounded_channels() {
        assert!(!unbounded_channels("let (a, b) = std::sync::mpsc::channel();").is_empty());
        assert!(!unbounded_channels("let (a, b) = mpsc\n::channel::<u8>();").is_empty());
        assert!(!unbounded_channels("use std::sync::mpsc::{self, channel}; fn f() { channel(); }").is_empty());
        assert!(!unbounded_channels("crossbeam::channel::unbounded()").is_empty());
        assert!(unbounded_channels("let (a, b) = mpsc::sync_channel(4);").is_empty());
    }

    #[test]
    fn finds_colours() {
        assert_eq!(colors_made("Color32::from_rgb(1, 2, 3)"), ["Color32::from_rgb"]);
        assert_eq!(colors_made("let c = egui::Color32::RED;"), ["Color32::RED"]);
        assert!(!colors_made("egui::hex_color!(\"\")").is_empty());
        assert!(colors_made("ColorImage::from_rgb([1, 1], &b); theme.color(Symbol::Noise); Color32::TRANSPARENT").is_empty());
    }
}
