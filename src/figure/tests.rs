//! What crosses the files of this room: a figure through every format and back.

use super::*;
use crate::host::HostTensor;
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

const INKS: Inks = Inks { text: [20, 24, 31], dim: [82, 91, 105], line: [211, 215, 222], ground: None };

fn picture(name: &str, shift: usize) -> Picture {
    let tensor = HostTensor::from_fn([3, 16, 16], |i| ((i + shift) % 256) as f32 / 255.0);
    Picture::new(name, tensor, Paint::Rgb)
}

fn chart() -> Chart {
    let axis = |label: &str, range, log| Axis { label: vec![Run::plain(label, INKS.dim)], range, log };
    let points: Arc<[[f64; 2]]> = (0..=100).map(|i| [f64::from(i) * 10.0, 10_f64.powf(-f64::from(i) / 25.0)]).collect();
    let series = Series { name: "cosine & <co>".into(), color: [0, 112, 112], width: 2.5, opacity: 1.0, points };
    Chart {
        x: axis("timestep t", (0.0, 1000.0), false),
        y: axis("", (1e-4, 10.0), true),
        series: vec![series],
        playhead: Some(400.0),
        dots: vec![(400.0, 0.025, [0, 112, 112])],
        legend: true,
        aspect: 0.6,
    }
}

fn figure(shift: usize) -> Figure {
    let heading = vec![Run::symbol("x", [148, 86, 0]), Run::index("t", [148, 86, 0]), Run::plain("  the noisy picture", INKS.dim)];
    let first = Panel::new("x_t", Body::Picture(picture("x_t", shift))).heading(heading).remark("exact pixels");
    let second = Panel::new("Plot of SNR", Body::Chart(chart())).foot(vec![Run::plain("SNR", INKS.text)]);
    let caption = vec!["a “red” house & a <tent>".to_owned(), "Littleworld, seed 7, 20 steps, DDIM, w 5.0, cosine".to_owned()];
    Figure::new("A lab", vec![Row::of([first, second])], caption, INKS)
}

fn export(format: &str, target: &Path, figures: Vec<Figure>, scale: f32) -> Export {
    let state = State {
        version: VERSION,
        lab: "guidance".into(),
        work: serde_json::Value::Null,
        clock: ClockMark { timestep: 3.0, forward: true },
        look: LookMark::default(),
        model: ModelMark::default(),
        machine: String::new(),
        picture: None,
        shown: None,
    };
    let shown = figures.first().cloned();
    let format = Format::find(format).expect("in the table");
    Export { target: target.to_owned(), format, figures, scale, frames_per_second: 5.0, state: Some(state), shown }
}

fn nodes(group: &resvg::usvg::Group) -> Vec<resvg::usvg::Node> {
    let mut all = Vec::new();
    for node in group.children() {
        all.push(node.clone());
        if let resvg::usvg::Node::Group(group) = node {
            all.extend(nodes(group));
        }
    }
    all
}

#[test]
fn an_svg_is_well_formed_and_holds_the_curve_the_picture_and_the_text() {
    use resvg::usvg::Node;
    let text = svg(&figure(0)).unwrap();
    let tree = parse_svg(&text).unwrap();
    let nodes = nodes(tree.root());
    let green = resvg::usvg::Color::new_rgb(0, 112, 112);
    let is_curve = |path: &resvg::usvg::Path| {
        let stroked = path.stroke().is_some_and(|s| *s.paint() == resvg::usvg::Paint::Color(green));
        let place = path.abs_bounding_box();
        stroked && place.width() > 250.0 && place.height() > 100.0
    };
    assert!(nodes.iter().any(|node| matches!(node, Node::Path(path) if is_curve(path))), "the curve, all over the plot");
    assert_eq!(nodes.iter().filter(|node| matches!(node, Node::Image(_))).count(), 1);
    for part in ["Littleworld, seed 7", "a “red” house &amp; a &lt;tent&gt;", "cosine &amp; &lt;co&gt;", "timestep t", "10⁻²"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn a_png_grows_with_its_scale_and_its_corner_is_transparent_or_the_ground() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut sizes = Vec::new();
    for scale in [1.0, 2.0, 4.0] {
        export("png", &path, vec![figure(0)], scale).perform(&mut |_, _| true).unwrap();
        let image = image::open(&path).unwrap().into_rgba8();
        assert_eq!(image.get_pixel(0, 0).0[3], 0, "transparent");
        assert!(image.pixels().any(|p| p.0 == [20, 24, 31, 255]), "text is drawn");
        sizes.push(image.dimensions());
    }
    assert_eq!(sizes[0].0, Figure::WIDE as u32);
    assert_eq!([sizes[1], sizes[2]], [(2 * sizes[0].0, 2 * sizes[0].1), (4 * sizes[0].0, 4 * sizes[0].1)]);
    let mut white = figure(0);
    white.inks.ground = Some([255; 3]);
    export("png", &path, vec![white], 1.0).perform(&mut |_, _| true).unwrap();
    let image = image::open(&path).unwrap();
    assert_eq!((image.color(), image.to_rgb8().get_pixel(0, 0).0), (image::ColorType::Rgb8, [255; 3]));
}

#[test]
fn a_picture_alone_without_caption_is_the_picture() {
    let mut whole = figure(0);
    whole.caption.clear();
    let alone = &whole.alone()[0];
    let pixels = render_svg(&svg(alone).unwrap(), 1.0).unwrap();
    assert_eq!((pixels.width, pixels.height), (512, 512));
    let corner = &pixels.rgba[..4];
    assert_eq!(corner[3], 255, "no margin: {corner:?}");
}

#[test]
fn symbols_with_marks_are_drawn_in_our_own_type() {
    let drawn = |text: &str| {
        let runs = vec![Run::symbol(text, [0; 3])];
        let line = Line { left: runs, right: Vec::new(), size: 40.0 };
        let figure = Figure::new("f", vec![Row::of([Panel::new("e", Body::Lines(vec![line]))])], Vec::new(), INKS);
        render_svg(&svg(&figure).unwrap(), 1.0).unwrap().rgba
    };
    let ink = |rgba: &[u8]| rgba.chunks(4).map(|p| usize::from(p[3])).sum::<usize>();
    let (x, hat, nothing) = (ink(&drawn("x")), ink(&drawn("x\u{302}")), ink(&drawn("")));
    assert!(nothing == 0 && x > 0 && hat > x && hat < 2 * x, "{nothing} {x} {hat}");
    for symbol in ["ᾱ", "ε\u{303}", "√", "∅", "−", "∏", "²"] {
        assert!(drawn(symbol) != drawn("\u{10fffd}"), "{symbol} is not the box of a missing letter");
    }
}

#[test]
fn the_state_and_the_digest_travel_in_png_and_apng() {
    let folder = tempfile::tempdir().unwrap();
    for (format, frames) in [("png", 1), ("apng", 3)] {
        let path = folder.path().join(format);
        let figures: Vec<_> = (0..frames).map(figure).collect();
        export(format, &path, figures, 1.0).perform(&mut |_, _| true).unwrap();
        let state = State::of_file(&path).unwrap().expect("a state");
        assert_eq!(state.lab, "guidance");
        let shown = state.shown.expect("a digest");
        assert!(shown.compare(&figure(0)).same);
        assert!(!shown.compare(&figure(1)).same);
    }
}

#[test]
fn a_gif_has_a_frame_for_each_step_at_the_pace_asked_for() {
    use image::AnimationDecoder;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    let mut told = Vec::new();
    let mut film: Vec<_> = (0..4).map(|i| figure(i * 40)).collect();
    film.iter_mut().for_each(|frame| frame.inks.ground = Some([255; 3]));
    export("gif", &path, film, 1.0).perform(&mut |done, total| (told.push((done, total)), true).1).unwrap();
    let decoder = image::codecs::gif::GifDecoder::new(BufReader::new(fs::File::open(&path).unwrap())).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    let delays: Vec<_> = frames.iter().map(|frame| frame.delay().numer_denom_ms()).collect();
    assert_eq!(delays, [(200, 1), (200, 1), (200, 1), (1600, 1)]);
    assert!(frames[0].buffer() != frames[3].buffer());
    assert_eq!(told, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
}

#[test]
fn an_apng_has_a_frame_for_each_step_at_the_pace_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    export("apng", &path, (0..3).map(|i| figure(i * 40)).collect(), 1.0).perform(&mut |_, _| true).unwrap();
    let mut reader = ::png::Decoder::new(BufReader::new(fs::File::open(&path).unwrap())).read_info().unwrap();
    assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
    let mut seen = Vec::new();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    for _ in 0..3 {
        reader.next_frame(&mut buffer).unwrap();
        let control = reader.info().frame_control().unwrap();
        seen.push((f64::from(control.delay_num) / f64::from(control.delay_den), buffer.clone()));
    }
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [0.2, 0.2, 1.6]);
    assert!(seen[0].1 != seen[1].1);
}

#[test]
fn numbered_frames_fill_a_folder_and_work_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let film = || (0..3).map(figure).collect();
    export("frames", folder.path(), film(), 1.0).perform(&mut |_, _| true).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a-lab-001.png", "a-lab-002.png", "a-lab-003.png"]);
    let path = folder.path().join("stopped.gif");
    let stopped = export("gif", &path, film(), 1.0).perform(&mut |done, _| done < 1);
    assert!(matches!(stopped, Err(FigureError::Stopped)) && !path.exists());
}

#[test]
fn what_a_format_cannot_hold_is_said_before_anything_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut plain = figure(0);
    plain.rows[0].panels.pop();
    for (format, figures) in [("csv", vec![plain]), ("gif", vec![figure(0)]), ("png", vec![]), ("svg", vec![figure(0), figure(1)])] {
        let message = export(format, &path, figures, 1.0).perform(&mut |_, _| true).unwrap_err().to_string();
        assert!(message.contains("nothing here that") && !path.exists(), "{message}");
    }
    let huge = export("png", &path, vec![figure(0)], 400.0).perform(&mut |_, _| true).unwrap_err().to_string();
    assert!(huge.contains("smaller scale"), "{huge}");
    let mut frames = vec![figure(0), figure(1)];
    frames[1].caption.push("one line more".into());
    let message = export("gif", &path, frames, 1.0).perform(&mut |_, _| true).unwrap_err().to_string();
    assert!(message.contains("frame 2"), "{message}");
}
