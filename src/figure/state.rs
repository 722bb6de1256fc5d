//! What travels inside a PNG: everything that the lab was set to, and the digest of what it showed.
//!
//! It is JSON in an iTXt chunk (PNG 3rd edition, W3C 2025, section 11.3.3.4) with the keyword [`KEYWORD`], before the pixels, where
//! every program leaves it alone. What is read comes from anywhere, so nothing in it is believed: sizes are limited before
//! anything is allocated, and what cannot be read gives a message.

use super::FigureError;
use super::digest::Evidence;
use super::picture::{Picture, Rgb8};
use super::png::encode_rgb;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The keyword of the chunk.
pub const KEYWORD: &str = "diffuscope";
/// The version that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// Most bytes that a state may take.
const MAX_STATE_BYTES: u32 = 8 << 20;
/// Largest side of a picture inside a state.
const MAX_CARRIED_SIDE: u32 = 2048;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// Everything that a lab was set to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this form.
    pub version: u32,
    /// Id of the lab.
    pub lab: String,
    /// Its settings, as the window keeps them.
    pub work: serde_json::Value,
    /// Where the clock stood.
    pub clock: ClockMark,
    /// How near the lab was looked at, and where.
    #[serde(default)]
    pub look: LookMark,
    /// The model that ran.
    pub model: ModelMark,
    /// What it ran on, for messages.
    pub machine: String,
    /// The person's own picture at the model's size, where one was open in place of a scene.
    pub picture: Option<Carried>,
    /// What was shown; none when it was still being computed.
    pub shown: Option<Evidence>,
}

/// Where the clock stood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockMark {
    /// The timestep.
    pub timestep: f64,
    /// Whether it ran towards noise.
    pub forward: bool,
}

/// How near a lab was looked at, and where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LookMark {
    /// How near: 0 is the lab as a whole.
    pub level: usize,
    /// The place, in shares of the width and the height.
    pub at: [f32; 2],
    /// The channel.
    pub channel: usize,
}

/// Which model ran.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelMark {
    /// Its name.
    pub name: String,
    /// Digest of its facts and its noise levels.
    pub digest: String,
}

/// A picture inside a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// What it is called.
    pub name: String,
    /// A PNG file as base64.
    pub png: String,
}

/// A state that cannot be read. Each message says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// The file.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The state is not whole.
    #[error(
        "the state inside {name} is damaged ({problem}); save the figure anew, or open the file as a picture after removing its metadata"
    )]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A newer program wrote it.
    #[error("the state inside {name} has version {version}, and this program reads up to {VERSION}; open it with a newer Diffuscope")]
    Newer {
        /// The file.
        name: String,
        /// The version that it has.
        version: u64,
    },
    /// There is none, where one is needed.
    #[error("{name} holds no state of a lab; choose a PNG that Diffuscope saved with Ctrl+S")]
    None {
        /// The file.
        name: String,
    },
}

impl Carried {
    /// A picture to travel.
    ///
    /// # Errors
    /// [`FigureError::NotAPicture`], [`FigureError::Encode`].
    pub fn of(picture: &Picture) -> Result<Self, FigureError> {
        let Rgb8 { width, height, bytes } = picture.rgb8()?;
        Ok(Self { name: picture.name.clone(), png: STANDARD.encode(encode_rgb(width, height, &bytes)?) })
    }

    /// The file's bytes; none when they are damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.png).ok()
    }

    /// Its pixels; none when they are damaged or more than anyone would have put there.
    pub fn pixels(&self) -> Option<Rgb8> {
        let bytes = self.bytes()?;
        let mut reader = image::ImageReader::with_format(std::io::Cursor::new(bytes), image::ImageFormat::Png);
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(MAX_CARRIED_SIDE), Some(MAX_CARRIED_SIDE));
        reader.limits(limits);
        let picture = reader.decode().ok()?.into_rgb8();
        Some(Rgb8 { width: picture.width(), height: picture.height(), bytes: picture.into_raw() })
    }
}

impl State {
    /// As the text of the chunk.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The state inside a PNG file; none when it is another kind of file, or a PNG without one.
    ///
    /// # Errors
    /// [`StateError`] when there is one and it cannot be read.
    pub fn of_file(path: &Path) -> Result<Option<Self>, StateError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let failed = |source| StateError::Read { name: path.display().to_string(), source };
        // Opening a pipe would wait for its other end; what is no file is no PNG.
        if !path.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        Self::of(&mut BufReader::new(File::open(path).map_err(failed)?), &name)
    }

    /// The same of anything that can be read. `name` is for messages.
    ///
    /// # Errors
    /// As [`Self::of_file`].
    pub fn of(reader: &mut (impl Read + Seek), name: &str) -> Result<Option<Self>, StateError> {
        let Some(text) = find(reader, name)? else { return Ok(None) };
        let damaged = |problem: String| StateError::Damaged { name: name.to_owned(), problem };
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let version = json.get("version").and_then(serde_json::Value::as_u64).ok_or_else(|| damaged("it names no version".into()))?;
        if version > u64::from(VERSION) {
            return Err(StateError::Newer { name: name.to_owned(), version });
        }
        serde_json::from_value(json).map(Some).map_err(|error| damaged(error.to_string()))
    }
}

/// The text of our chunk, if there is one before the pixels.
fn find(reader: &mut (impl Read + Seek), name: &str) -> Result<Option<Vec<u8>>, StateError> {
    let damaged = |problem: &str| StateError::Damaged { name: name.to_owned(), problem: problem.to_owned() };
    let failed = |source| StateError::Read { name: name.to_owned(), source };
    let mut signature = [0; 8];
    if reader.read_exact(&mut signature).is_err() || signature != SIGNATURE {
        return Ok(None);
    }
    loop {
        let mut head = [0; 8];
        // A PNG that ends here is damaged, but that is for whoever opens it as a picture to say.
        if reader.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"IDAT" | b"IEND" => return Ok(None),
            b"iTXt" => {
                let mut keyword = vec![0; (KEYWORD.len() + 1).min(length as usize)];
                reader.read_exact(&mut keyword).map_err(|_| damaged("it ends too early"))?;
                let rest = length - keyword.len() as u32;
                if keyword.strip_suffix(&[0]) != Some(KEYWORD.as_bytes()) {
                    reader.seek(SeekFrom::Current(i64::from(rest) + 4)).map_err(failed)?;
                    continue;
                }
                if rest > MAX_STATE_BYTES {
                    return Err(damaged("it claims to be larger than any state is"));
                }
                let mut data = Vec::new();
                reader.take(u64::from(rest)).read_to_end(&mut data).map_err(failed)?;
                if data.len() < rest as usize {
                    return Err(damaged("it ends too early"));
                }
                return text_of(&data).map(Some).map_err(damaged);
            }
            _ => {
                reader.seek(SeekFrom::Current(i64::from(length) + 4)).map_err(failed)?;
            }
        }
    }
}

/// The text behind compression flag, method, language and translated keyword.
fn text_of(data: &[u8]) -> Result<Vec<u8>, &'static str> {
    let [flag, _, rest @ ..] = data else { return Err("it ends too early") };
    if *flag != 0 {
        return Err("another program has compressed it");
    }
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let (Some(_), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else { return Err("it ends too early") };
    Ok(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn state() -> State {
        State {
            version: VERSION,
            lab: "guidance".into(),
            work: serde_json::json!({ "seed": 7, "prompt": "ein rotes Häuschen, 月" }),
            clock: ClockMark { timestep: 431.5, forward: false },
            look: LookMark { level: 2, at: [0.25, 0.5], channel: 3 },
            model: ModelMark { name: "Littleworld".into(), digest: "00".into() },
            machine: "linux x86_64".into(),
            picture: None,
            shown: None,
        }
    }

    fn png(text: &str) -> Vec<u8> {
        crate::figure::png::encode(&crate::figure::Pixels { width: 2, height: 2, rgba: vec![255; 16] }, true, 1.0, Some(text))
            .expect("encodes")
    }

    fn read(bytes: &[u8]) -> Result<Option<State>, StateError> {
        State::of(&mut Cursor::new(bytes), "a.png")
    }

    fn chunk(kind: &[u8; 4], length: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend(kind);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_state_goes_through_a_file_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, png(&state().text())).unwrap();
        assert_eq!(State::of_file(&path).unwrap(), Some(state()));
        assert!(image::open(&path).is_ok(), "and it is a picture to everyone else");
        assert!(State::of_file(&folder.path().join("none.png")).is_err());
        assert!(State::of_file(folder.path()).unwrap().is_none(), "a folder is no figure");
    }

    #[test]
    fn pictures_of_other_programs_hold_none() {
        assert!(read(b"").unwrap().is_none());
        assert!(read(b"GIF89a............").unwrap().is_none());
        assert!(read(&SIGNATURE).unwrap().is_none());
        let plain = crate::figure::encode_rgba(1, 1, &[0; 4]).unwrap();
        assert!(read(&plain).unwrap().is_none());
        assert!(read(&chunk(b"iTXt", 9, b"Comment\0x\0\0\0\0")).unwrap().is_none());
        assert!(read(&chunk(b"zTXt", u32::MAX, b"bomb")).unwrap().is_none());
    }

    #[test]
    fn hostile_states_give_messages() {
        let whole = png(&state().text());
        let start = whole.windows(KEYWORD.len()).position(|w| w == KEYWORD.as_bytes()).unwrap();
        for end in [start + 4, start + 14, start + 60] {
            let message = read(&whole[..end]).unwrap_err().to_string();
            assert!(message.contains("a.png") && message.contains("ends too early"), "{message}");
        }
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(message(&chunk(b"iTXt", u32::MAX, b"diffuscope\0\0\0\0\0{}")).contains("larger than any state"));
        assert!(message(&chunk(b"iTXt", 12, b"diffuscope\0\0")).contains("ends too early"));
        assert!(message(&chunk(b"iTXt", 20, b"diffuscope\0\x01\0\0\0zzzzz")).contains("compressed"));
        assert!(message(&png("no json")).contains("damaged"));
        assert!(message(&png("[1, 2]")).contains("no version"));
        assert!(message(&png("{\"version\": 1}")).contains("damaged"));
        assert!(message(&png("{\"version\": 2, \"lab\": []}")).contains("version 2"));
        assert!(message(&png(&"[".repeat(100_000))).contains("damaged"), "depth is limited");
    }

    #[test]
    fn no_byte_anywhere_makes_it_panic() {
        let whole = png(&state().text());
        for at in 0..whole.len() {
            for change in [0x00, 0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                let _ = read(&bytes);
            }
            let _ = read(&whole[..at]);
        }
    }

    #[test]
    fn a_carried_picture_that_is_damaged_or_huge_is_none() {
        for png in ["%%%", "AAAA", &STANDARD.encode(png("x"))[..40]] {
            assert!(Carried { name: "x".into(), png: png.into() }.pixels().is_none());
        }
        let wide = encode_rgb(MAX_CARRIED_SIDE + 1, 1, &vec![0; 3 * (MAX_CARRIED_SIDE as usize + 1)]).unwrap();
        assert!(Carried { name: "x".into(), png: STANDARD.encode(wide) }.pixels().is_none());
    }
}
