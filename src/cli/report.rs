//! The figures of `diffuscope eval` as tables: for the terminal, for a model's card, and as JSON.

use crate::measure::{Proportion, Sample, Tally};
use crate::train::evaluate::{Plan, Report, Scores};
use crate::train::tasks::Set;
use serde_json::{Value, json};
use std::fmt::Write;

/// A table with a sentence above it and one below.
struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
    note: Option<&'static str>,
}

fn percent(share: &Proportion) -> String {
    if share.trials == 0 { "-".to_owned() } else { format!("{:.1} ± {:.1}", 100.0 * share.value(), 100.0 * share.half_width()) }
}

fn mean(sample: &Sample, factor: f64, digits: usize) -> String {
    match sample.is_empty() {
        true => "-".to_owned(),
        false => format!("{:.digits$} ± {:.digits$}", factor * sample.mean(), factor * sample.half_width()),
    }
}

/// Renderings, reconstructions and each guidance scale.
fn rows(report: &Report) -> Vec<(String, &Scores)> {
    let mut rows = vec![("rendered".to_owned(), &report.real), ("reconstructed".to_owned(), &report.reconstructed)];
    rows.extend(report.guided.iter().map(|(scale, scores)| (format!("w = {scale}"), scores)));
    rows
}

fn tables(report: &Report, plan: &Plan) -> Vec<Table> {
    let texts = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>();
    let fidelity = &report.fidelity;
    let kept = [("scenes", &fidelity.psnr, &fidelity.ssim), ("generic pictures", &fidelity.generic_psnr, &fidelity.generic_ssim)];
    let mut tables = vec![
        Table {
            title: "Autoencoder, held-out pictures".to_owned(),
            columns: texts(&["pictures", "PSNR, dB", "SSIM"]),
            rows: kept.map(|(name, p, s)| (name.to_owned(), vec![p.len().to_string(), mean(p, 1.0, 2), mean(s, 1.0, 4)])).to_vec(),
            note: None,
        },
        Table {
            title: format!("CLIP, {} held-out scenes", report.held_out),
            columns: texts(&["right, %"]),
            rows: [
                ("caption of a picture", 100.0 * report.retrieval.text_of_picture),
                ("picture of a caption", 100.0 * report.retrieval.picture_of_text),
                ("scene, not its twin of exchanged colours", 100.0 * report.binding.colors.value()),
                ("scene, not its twin of exchanged places", 100.0 * report.binding.places.value()),
            ]
            .map(|(name, share)| (name.to_owned(), vec![format!("{share:.1}")]))
            .to_vec(),
            note: Some("The first two are top-1 in one batch, where equal captions count as right; chance is 50 % for the other two."),
        },
    ];
    for set in Set::ALL {
        let asked: Vec<&str> = report.real.tally(set).columns().filter(|(_, share)| share.trials > 0).map(|(name, _)| name).collect();
        if asked.is_empty() {
            continue;
        }
        let cells = |tally: &Tally| tally.columns().filter(|(name, _)| asked.contains(name)).map(|(_, share)| percent(&share)).collect();
        let (count, steps) = (report.real.tally(set).all.trials, plan.steps);
        tables.push(Table {
            title: format!("Judged right, {count} {}, % ± half of the 95 % interval, DDIM {steps} steps", set.label()),
            columns: texts(&asked),
            rows: rows(report).into_iter().map(|(label, scores)| (label, cells(scores.tally(set)))).collect(),
            note: (set == Set::One).then_some(Tally::LEGEND),
        });
    }
    tables.push(Table {
        title: "Diversity among samples of one caption (mean RMS difference of pairs) and strength of colour".to_owned(),
        columns: texts(&["judge's features", "pixels", "clipped, %", "HSV saturation"]),
        rows: rows(report)
            .into_iter()
            .map(|(label, s)| {
                let cells = [(&s.feature_diversity, 1.0), (&s.pixel_diversity, 1.0), (&s.clipped, 100.0), (&s.hsv, 1.0)];
                (label, cells.map(|(sample, factor)| mean(sample, factor, 3)).to_vec())
            })
            .collect(),
        note: None,
    });
    tables
}

/// All tables for the terminal.
pub fn to_text(report: &Report, plan: &Plan) -> String {
    let mut text = String::new();
    for Table { title, columns, rows, note } in tables(report, plan) {
        let first = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).max(14);
        let width =
            |at: usize| rows.iter().map(|(_, cells)| cells[at].chars().count()).max().unwrap_or(0).max(columns[at].chars().count()) + 2;
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let line = |cells: &[String]| widths.iter().zip(cells).map(|(width, cell)| format!("{cell:>width$}")).collect::<String>();
        _ = writeln!(text, "{title}\n  {:first$}{}", "", line(&columns));
        for (label, cells) in &rows {
            _ = writeln!(text, "  {label:first$}{}", line(cells));
        }
        if let Some(note) = note {
            _ = writeln!(text, "  ({note})");
        }
    }
    _ = write!(text, "Most captions are met at w = {}", report.best);
    text
}

/// All tables in Markdown, with the captions of the samples.
pub fn to_markdown(report: &Report, plan: &Plan) -> String {
    let mut text = String::new();
    for Table { title, columns, rows, note } in tables(report, plan) {
        _ = writeln!(text, "{title}:\n\n| | {} |\n|{}", columns.join(" | "), " --- |".repeat(columns.len() + 1));
        for (label, cells) in rows {
            _ = writeln!(text, "| {label} | {} |", cells.join(" | "));
        }
        _ = writeln!(text, "{}", note.map_or(String::new(), |note| format!("\n{note}\n")));
    }
    _ = writeln!(text, "Captions of `samples.png`, unselected, at w = {}, in rows of {SAMPLE_COLUMNS}:\n", report.best);
    for (row, samples) in (1..).zip(report.samples.chunks(SAMPLE_COLUMNS)) {
        let captions: Vec<&str> = samples.iter().map(|(caption, _)| caption.as_str()).collect();
        _ = writeln!(text, "{row}. {}", captions.join("; "));
    }
    text
}

/// Pictures in a row of the samples.
pub const SAMPLE_COLUMNS: usize = 10;

/// All figures.
pub fn to_json(report: &Report, plan: &Plan) -> Value {
    let sample = |sample: &Sample| json!({ "mean": sample.mean(), "half_width": sample.half_width(), "count": sample.len() });
    let share = |share: Proportion| json!({ "share": share.value(), "half_width": share.half_width(), "pictures": share.trials });
    let tally = |tally: &Tally| -> Value {
        Value::Object(tally.columns().filter(|(_, s)| s.trials > 0).map(|(name, s)| (name.to_owned(), share(s))).collect())
    };
    let scores = |scores: &Scores| {
        let mut record = json!({
            "feature_diversity": sample(&scores.feature_diversity),
            "pixel_diversity": sample(&scores.pixel_diversity),
            "clipped": sample(&scores.clipped),
            "hsv_saturation": sample(&scores.hsv),
        });
        for set in Set::ALL {
            record[set.key()] = tally(scores.tally(set));
        }
        record
    };
    let guided = report.guided.iter().map(|(scale, found)| json!({ "guidance_scale": scale, "scores": scores(found) }));
    let captions: Vec<&str> = report.samples.iter().map(|(caption, _)| caption.as_str()).collect();
    let [one, two, pairs] = plan.captions;
    json!({
        "captions": { Set::One.key(): one, Set::Two.key(): two, Set::Pairs.key(): pairs },
        "steps": plan.steps,
        "sampler": "ddim",
        "held_out_scenes": report.held_out,
        "vae": {
            "psnr_db": sample(&report.fidelity.psnr), "ssim": sample(&report.fidelity.ssim),
            "generic_psnr_db": sample(&report.fidelity.generic_psnr), "generic_ssim": sample(&report.fidelity.generic_ssim),
        },
        "retrieval": { "text_of_picture": report.retrieval.text_of_picture, "picture_of_text": report.retrieval.picture_of_text },
        "twins": { "colours_exchanged": share(report.binding.colors), "places_exchanged": share(report.binding.places) },
        "rendered": scores(&report.real),
        "reconstructed": scores(&report.reconstructed),
        "guided": guided.collect::<Vec<_>>(),
        "best_guidance_scale": report.best,
        "samples": captions,
    })
}
